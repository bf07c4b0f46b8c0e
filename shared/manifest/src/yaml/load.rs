//! From parser events to an arena of nodes, bounded while it grows. Aliases stay references here; scalars keep their source text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use super::{Place, YamlBudget, YamlError, YamlMode, YamlProblem};

/// Index of a node in [`Stream::nodes`].
pub(super) type NodeId = usize;

/// All documents of a text.
pub(super) struct Stream<'t> {
    pub(super) nodes: Vec<Raw<'t>>,
    pub(super) documents: Vec<NodeId>,
}

/// A node as written.
pub(super) struct Raw<'t> {
    pub(super) place: Place,
    pub(super) content: RawContent<'t>,
}

pub(super) enum RawContent<'t> {
    Scalar {
        text: Cow<'t, str>,
        plain: bool,
        tag: ScalarTag,
    },
    List(Vec<NodeId>),
    /// Keys and values in turn.
    Map(Vec<NodeId>),
    /// Another node, complete before this one.
    Alias(NodeId),
}

/// What a tag says about a scalar. Tags of collections change nothing and are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScalarTag {
    /// No tag.
    None,
    /// `!`, the non-specific tag.
    Bare,
    /// A tag that is not of YAML itself.
    Local,
    Null,
    Bool,
    Int,
    Float,
    Text,
    Binary,
    Timestamp,
    Merge,
}

/// A list or map that is still open.
struct Open {
    node: NodeId,
    anchor: usize,
    children: Vec<NodeId>,
    map: bool,
}

/// Reads the events of `text`. Only the end of the text depends on the mode: kubectl ends a last line that has no line break, kustomize does not.
pub(super) fn load(text: &str, mode: YamlMode, budget: YamlBudget) -> Result<Stream<'_>, YamlError> {
    if text.len() > budget.bytes {
        return Err(Place::START.error(YamlProblem::TooManyBytes { bytes: text.len(), limit: budget.bytes }));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let depth = budget.depth.min(YamlBudget::DEPTH_CEILING);
    // Where a block scalar ends without the line break that it would have, in characters.
    let unended = (mode == YamlMode::Kustomize && !text.ends_with('\n')).then(|| text.chars().count());
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: YamlBudget::DEPTH_CEILING + 1,
        block_nesting_limit: YamlBudget::DEPTH_CEILING + 1,
    };
    let mut loader =
        Loader { nodes: Vec::new(), documents: Vec::new(), open: Vec::new(), anchors: BTreeMap::new(), keys: 0, started: 0, depth, budget };
    for event in Parser::new_from_str_with_options(text, options) {
        let (mut event, span) = event.map_err(|error| scan_error(&error, depth))?;
        if let Event::Scalar(scalar, ScalarStyle::Literal | ScalarStyle::Folded, ..) = &mut event
            && unended == Some(span.end.index())
            && scalar.ends_with('\n')
        {
            scalar.to_mut().pop();
        }
        if let Event::Scalar(scalar, ScalarStyle::Plain, ..) = &mut event
            && span.is_empty()
        {
            // The parser gives `~` for what nobody wrote.
            *scalar = Cow::Borrowed("");
        }
        loader.take(event, place(&span.start))?;
    }
    Ok(Stream { nodes: loader.nodes, documents: loader.documents })
}

struct Loader<'t> {
    nodes: Vec<Raw<'t>>,
    documents: Vec<NodeId>,
    open: Vec<Open>,
    /// Anchors of complete nodes.
    anchors: BTreeMap<usize, NodeId>,
    /// How many of `nodes` are keys.
    keys: usize,
    started: usize,
    depth: usize,
    budget: YamlBudget,
}

impl<'t> Loader<'t> {
    fn take(&mut self, event: Event<'t>, place: Place) -> Result<(), YamlError> {
        match event {
            Event::DocumentStart(..) => {
                self.started += 1;
                if self.started > self.budget.documents {
                    return Err(place.error(YamlProblem::TooManyDocuments { limit: self.budget.documents }));
                }
                self.anchors.clear();
            }
            Event::Scalar(text, style, anchor, tag) => {
                let content = RawContent::Scalar {
                    text,
                    plain: style == ScalarStyle::Plain,
                    tag: tag.map_or(ScalarTag::None, |tag| scalar_tag(&tag)),
                };
                let node = self.add(Raw { place, content })?;
                self.remember(anchor, node);
            }
            Event::SequenceStart(_, anchor, _) => self.begin(place, anchor, false)?,
            Event::MappingStart(_, anchor, _) => self.begin(place, anchor, true)?,
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let Some(&target) = self.anchors.get(&anchor) else { return Err(place.error(YamlProblem::RecursiveAlias)) };
                self.add(Raw { place, content: RawContent::Alias(target) })?;
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, place: Place, anchor: usize, map: bool) -> Result<(), YamlError> {
        if self.open.len() >= self.depth {
            return Err(place.error(YamlProblem::TooDeep { limit: self.depth }));
        }
        let node = self.add(Raw { place, content: RawContent::List(Vec::new()) })?;
        self.open.push(Open { node, anchor, children: Vec::new(), map });
        Ok(())
    }

    fn end(&mut self) {
        let Some(Open { node, anchor, children, map }) = self.open.pop() else { return };
        self.nodes[node].content = if map { RawContent::Map(children) } else { RawContent::List(children) };
        self.remember(anchor, node);
    }

    /// The parser counts anchors from 1; 0 is none.
    fn remember(&mut self, anchor: usize, node: NodeId) {
        if anchor != 0 {
            self.anchors.insert(anchor, node);
        }
    }

    fn add(&mut self, raw: Raw<'t>) -> Result<NodeId, YamlError> {
        let node = self.nodes.len();
        match self.open.last_mut() {
            Some(parent) => {
                self.keys += usize::from(parent.map && parent.children.len().is_multiple_of(2));
                parent.children.push(node);
            }
            None => self.documents.push(node),
        }
        if node + 1 - self.keys > self.budget.nodes {
            return Err(raw.place.error(YamlProblem::TooManyNodes { limit: self.budget.nodes }));
        }
        self.nodes.push(raw);
        Ok(node)
    }
}

const YAML_NAMESPACE: &str = "tag:yaml.org,2002:";

fn scalar_tag(tag: &Tag) -> ScalarTag {
    let Some(name) = tag.suffix_in_namespace(YAML_NAMESPACE) else {
        return if tag.handle().is_empty() && tag.suffix() == "!" || tag.handle() == "!" && tag.suffix().is_empty() {
            ScalarTag::Bare
        } else {
            ScalarTag::Local
        };
    };
    match name.as_ref() {
        "null" => ScalarTag::Null,
        "bool" => ScalarTag::Bool,
        "int" => ScalarTag::Int,
        "float" => ScalarTag::Float,
        "str" => ScalarTag::Text,
        "binary" => ScalarTag::Binary,
        "timestamp" => ScalarTag::Timestamp,
        "merge" => ScalarTag::Merge,
        _ => ScalarTag::Local,
    }
}

fn scan_error(error: &ScanError, depth: usize) -> YamlError {
    let problem = match error.kind() {
        ErrorKind::RecursionLimitExceeded => YamlProblem::TooDeep { limit: depth },
        _ => YamlProblem::Syntax { message: error.info() },
    };
    place(error.marker()).error(problem)
}

/// The parser counts lines from 1 and columns from 0. A budget of 4 GiB is beyond use, so saturation cannot be met.
fn place(marker: &Marker) -> Place {
    let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Place { line: narrow(marker.line()).max(1), column: narrow(marker.col()).saturating_add(1) }
}
