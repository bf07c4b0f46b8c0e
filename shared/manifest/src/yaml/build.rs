//! From the arena to values: aliases are followed, merge keys dissolved, duplicate keys refused, and everything that multiplies is counted.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use super::load::{NodeId, Raw, RawContent, ScalarTag, Stream};
use super::scalar::{self, Plain};
use super::{Content, Key, Node, Place, YamlBudget, YamlError, YamlMode, YamlProblem};

/// What can be built from a stream: plain values or spanned nodes.
pub(super) trait Built: Sized {
    fn scalar(place: Place, scalar: Scalar) -> Self;
    fn list(place: Place, items: Vec<Self>) -> Self;
    fn map(place: Place, entries: Vec<(String, Place, Self)>) -> Self;
}

/// A resolved scalar.
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
}

impl Built for Value {
    fn scalar(_: Place, scalar: Scalar) -> Self {
        match scalar {
            Scalar::Null => Self::Null,
            Scalar::Bool(claim) => Self::Bool(claim),
            Scalar::Number(number) => Self::Number(number),
            Scalar::Text(text) => Self::String(text),
        }
    }

    fn list(_: Place, items: Vec<Self>) -> Self {
        Self::Array(items)
    }

    fn map(_: Place, entries: Vec<(String, Place, Self)>) -> Self {
        Self::Object(entries.into_iter().map(|(key, _, value)| (key, value)).collect::<Map<_, _>>())
    }
}

impl Built for Node {
    fn scalar(place: Place, scalar: Scalar) -> Self {
        let content = match scalar {
            Scalar::Null => Content::Null,
            Scalar::Bool(claim) => Content::Bool(claim),
            Scalar::Number(number) => Content::Number(number),
            Scalar::Text(text) => Content::String(text),
        };
        node(place, content)
    }

    fn list(place: Place, items: Vec<Self>) -> Self {
        node(place, Content::List(items))
    }

    fn map(place: Place, entries: Vec<(String, Place, Self)>) -> Self {
        let entry = |(text, Place { line, column }, value)| (Key { text, line, column }, value);
        node(place, Content::Map(entries.into_iter().map(entry).collect()))
    }
}

const fn node(Place { line, column }: Place, content: Content) -> Node {
    Node { line, column, content }
}

/// All documents with the place of their first value.
pub(super) fn build<B: Built>(stream: &Stream<'_>, mode: YamlMode, budget: YamlBudget) -> Result<Vec<(B, Place)>, YamlError> {
    let depth = budget.depth.min(YamlBudget::DEPTH_CEILING);
    let mut builder = Builder { stream, mode, budget, depth, nodes: 0, merged: 0, scalar_bytes: 0 };
    stream.documents.iter().map(|&root| Ok((builder.value(root, 0)?, stream.nodes[root].place))).collect()
}

struct Builder<'s, 't> {
    stream: &'s Stream<'t>,
    mode: YamlMode,
    budget: YamlBudget,
    depth: usize,
    nodes: usize,
    merged: usize,
    scalar_bytes: usize,
}

/// An entry of a map after merging: key, its place, and the node of the value.
struct Entry {
    key: String,
    place: Place,
    value: NodeId,
}

impl<'s, 't> Builder<'s, 't> {
    fn value<B: Built>(&mut self, id: NodeId, depth: usize) -> Result<B, YamlError> {
        let raw = self.follow(id);
        self.nodes += 1;
        if self.nodes > self.budget.nodes {
            return Err(raw.place.error(YamlProblem::TooManyNodes { limit: self.budget.nodes }));
        }
        match &raw.content {
            RawContent::Scalar { text, plain, tag } => {
                self.count_text(text, raw.place)?;
                Ok(B::scalar(raw.place, self.scalar(text, *plain, *tag, raw.place)?))
            }
            RawContent::List(items) => {
                self.check_depth(depth, raw.place)?;
                let items = items.iter().map(|&item| self.value(item, depth + 1)).collect::<Result<_, _>>()?;
                Ok(B::list(raw.place, items))
            }
            RawContent::Map(children) => {
                self.check_depth(depth, raw.place)?;
                let entries = self.entries(children, 0)?;
                let mut built = Vec::with_capacity(entries.len());
                for Entry { key, place, value } in entries {
                    self.count_text(&key, place)?;
                    let value = self.value(value, depth + 1)?;
                    built.push((key, place, value));
                }
                Ok(B::map(raw.place, built))
            }
            RawContent::Alias(_) => unreachable!("BUG: an alias was followed to an alias"),
        }
    }

    /// The node itself, or what its alias refers to. Aliases refer to earlier nodes, so this ends.
    fn follow(&self, mut id: NodeId) -> &'s Raw<'t> {
        while let RawContent::Alias(target) = self.stream.nodes[id].content {
            id = target;
        }
        &self.stream.nodes[id]
    }

    /// `depth` collections are around this one.
    fn check_depth(&self, depth: usize, place: Place) -> Result<(), YamlError> {
        if depth < self.depth { Ok(()) } else { Err(place.error(YamlProblem::TooDeep { limit: self.depth })) }
    }

    fn count_text(&mut self, text: &str, place: Place) -> Result<(), YamlError> {
        self.scalar_bytes += text.len();
        if self.scalar_bytes > self.budget.scalar_bytes {
            return Err(place.error(YamlProblem::TooManyScalarBytes { limit: self.budget.scalar_bytes }));
        }
        Ok(())
    }

    /// The entries of a map. `level` counts merges inside merges.
    fn entries(&mut self, children: &[NodeId], level: usize) -> Result<Vec<Entry>, YamlError> {
        let mut entries = Vec::with_capacity(children.len() / 2);
        let mut merges = Vec::new();
        for pair in children.chunks_exact(2) {
            let raw = self.follow(pair[0]);
            match self.key(raw)? {
                Some(key) => entries.push(Entry { key, place: self.stream.nodes[pair[0]].place, value: pair[1] }),
                None => merges.push(Merge { at: entries.len(), place: raw.place, value: pair[1] }),
            }
        }
        refuse_duplicates(&entries)?;
        if merges.is_empty() { Ok(entries) } else { self.dissolve(entries, &merges, level) }
    }

    /// Puts what merge keys bring among the explicit entries. kubectl goes from front to back, so that a merge overrides what stands before it;
    /// for kustomize explicit keys always win. In a list of maps the first one wins in both.
    fn dissolve(&mut self, explicit: Vec<Entry>, merges: &[Merge], level: usize) -> Result<Vec<Entry>, YamlError> {
        if self.mode == YamlMode::Kustomize
            && let [first, second, ..] = merges
        {
            return Err(second.place.error(YamlProblem::DuplicateMerge { first_line: first.place.line }));
        }
        let mut result = MergedEntries::default();
        let mut merges = merges.iter().peekable();
        for (at, entry) in explicit.into_iter().enumerate() {
            while self.mode == YamlMode::Kubernetes
                && let Some(merge) = merges.next_if(|merge| merge.at <= at)
            {
                for brought in self.brought(merge, level)? {
                    result.set(brought);
                }
            }
            result.set(entry);
        }
        for merge in merges {
            for brought in self.brought(merge, level)? {
                match self.mode {
                    YamlMode::Kubernetes => result.set(brought),
                    YamlMode::Kustomize => result.set_if_absent(brought),
                }
            }
        }
        Ok(result.entries)
    }

    /// The entries that one merge key brings.
    fn brought(&mut self, merge: &Merge, level: usize) -> Result<Vec<Entry>, YamlError> {
        if level >= self.depth {
            return Err(merge.place.error(YamlProblem::TooDeep { limit: self.depth }));
        }
        let raw = self.follow(merge.value);
        let brought = match &raw.content {
            RawContent::Map(children) => self.entries(children, level + 1)?,
            RawContent::List(items) => {
                let mut result = MergedEntries::default();
                for &item in items {
                    let RawContent::Map(children) = &self.follow(item).content else {
                        return Err(raw.place.error(YamlProblem::MergeNotMap));
                    };
                    for entry in self.entries(children, level + 1)? {
                        self.count_merged(merge.place)?;
                        result.set_if_absent(entry);
                    }
                }
                result.entries
            }
            _ => return Err(raw.place.error(YamlProblem::MergeNotMap)),
        };
        for _ in &brought {
            self.count_merged(merge.place)?;
        }
        Ok(brought)
    }

    /// Merges of merges multiply work without making nodes, so they are counted too.
    fn count_merged(&mut self, place: Place) -> Result<(), YamlError> {
        self.merged += 1;
        if self.merged > self.budget.nodes {
            return Err(place.error(YamlProblem::TooManyNodes { limit: self.budget.nodes }));
        }
        Ok(())
    }

    /// A key as text; `None` for a merge key.
    fn key(&self, raw: &Raw<'t>) -> Result<Option<String>, YamlError> {
        let not_scalar = |found| Err(raw.place.error(YamlProblem::KeyNotScalar { found }));
        let (text, plain, tag) = match &raw.content {
            RawContent::Scalar { text, plain, tag } => (text, *plain, *tag),
            RawContent::Map(_) => return not_scalar("a map"),
            _ => return not_scalar("a list"),
        };
        let kubernetes = self.mode == YamlMode::Kubernetes;
        let typed = |found, spelled: String| {
            if kubernetes { Ok(Some(spelled)) } else { Err(raw.place.error(YamlProblem::KeyNotText { key: text.to_string(), found })) }
        };
        match self.meaning(text, plain, tag, raw.place)? {
            Plain::Merge => Ok(None),
            Plain::Text => Ok(Some(text.to_string())),
            Plain::Timestamp(_) => typed("date", text.to_string()),
            Plain::Bool(claim) => typed("boolean", claim.to_string()),
            Plain::Int(number) => typed("number", number.to_string()),
            Plain::Float(float) => typed("number", scalar::key_of_float(float)),
            Plain::NotFinite(spelled) => typed("number", spelled.to_owned()),
            Plain::Null => not_scalar("null"),
        }
    }

    fn scalar(&self, text: &str, plain: bool, tag: ScalarTag, place: Place) -> Result<Scalar, YamlError> {
        if tag == ScalarTag::Binary {
            return binary(text).map(Scalar::Text).ok_or_else(|| place.error(YamlProblem::TagMismatch { tag: "!!binary" }));
        }
        Ok(match self.meaning(text, plain, tag, place)? {
            Plain::Null => Scalar::Null,
            Plain::Bool(claim) => Scalar::Bool(claim),
            Plain::Int(number) => Scalar::Number(number),
            Plain::Float(float) => Scalar::Number(scalar::number(float)),
            Plain::NotFinite(_) => return Err(place.error(YamlProblem::NotFinite)),
            Plain::Timestamp(timestamp) => Scalar::Text(timestamp),
            Plain::Merge | Plain::Text => Scalar::Text(text.to_owned()),
        })
    }

    /// What a scalar is, its style and tag considered.
    fn meaning(&self, text: &str, plain: bool, tag: ScalarTag, place: Place) -> Result<Plain, YamlError> {
        let resolve = || scalar::resolve(text, self.mode);
        let expect = |claim: bool, meaning: Plain, tag| {
            if claim { Ok(meaning) } else { Err(place.error(YamlProblem::TagMismatch { tag })) }
        };
        match tag {
            ScalarTag::None | ScalarTag::Local if !plain => Ok(Plain::Text),
            ScalarTag::None => Ok(resolve()),
            // kustomize resolves a plain scalar behind a lone `!`; kubectl and YAML itself take it for text.
            ScalarTag::Bare if plain && self.mode == YamlMode::Kustomize => Ok(resolve()),
            ScalarTag::Text | ScalarTag::Binary | ScalarTag::Bare | ScalarTag::Local => Ok(Plain::Text),
            ScalarTag::Merge => Ok(Plain::Merge),
            ScalarTag::Null => expect(resolve() == Plain::Null, Plain::Null, "!!null"),
            ScalarTag::Bool => {
                let meaning = resolve();
                expect(matches!(meaning, Plain::Bool(_)), meaning, "!!bool")
            }
            ScalarTag::Int => {
                let meaning = resolve();
                expect(matches!(meaning, Plain::Int(_)), meaning, "!!int")
            }
            ScalarTag::Float => match resolve() {
                meaning @ (Plain::Float(_) | Plain::NotFinite(_)) => Ok(meaning),
                Plain::Int(number) => Ok(Plain::Float(number.as_f64().unwrap_or_default())),
                _ => Err(place.error(YamlProblem::TagMismatch { tag: "!!float" })),
            },
            ScalarTag::Timestamp => match (scalar::timestamp(text), self.mode) {
                (Some(_), YamlMode::Kubernetes) => Ok(Plain::Text),
                (Some(timestamp), YamlMode::Kustomize) => Ok(Plain::Timestamp(timestamp)),
                (None, _) => Err(place.error(YamlProblem::TagMismatch { tag: "!!timestamp" })),
            },
        }
    }
}

/// A merge key: how many explicit entries stand before it, where it is, what it merges.
struct Merge {
    at: usize,
    place: Place,
    value: NodeId,
}

/// Entries in order of their first setting, found by key.
#[derive(Default)]
struct MergedEntries {
    entries: Vec<Entry>,
    index: BTreeMap<String, usize>,
}

impl MergedEntries {
    fn set(&mut self, entry: Entry) {
        match self.index.get(&entry.key) {
            Some(&at) => self.entries[at] = entry,
            None => self.append(entry),
        }
    }

    fn set_if_absent(&mut self, entry: Entry) {
        if !self.index.contains_key(&entry.key) {
            self.append(entry);
        }
    }

    fn append(&mut self, entry: Entry) {
        self.index.insert(entry.key.clone(), self.entries.len());
        self.entries.push(entry);
    }
}

/// Up to this many entries, comparing each with each is quicker than sorting.
const PAIRWISE: usize = 8;

fn refuse_duplicates(entries: &[Entry]) -> Result<(), YamlError> {
    let duplicate = if entries.len() <= PAIRWISE {
        (1..entries.len())
            .find_map(|second| (0..second).find(|&first| entries[first].key == entries[second].key).map(|first| (first, second)))
    } else {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_by(|&a, &b| entries[a].key.cmp(&entries[b].key));
        order
            .windows(2)
            .filter(|pair| entries[pair[0]].key == entries[pair[1]].key)
            .map(|pair| (pair[0], pair[1]))
            .min_by_key(|pair| pair.1)
    };
    match duplicate {
        None => Ok(()),
        Some((first, second)) => {
            let (key, first_line) = (entries[second].key.clone(), entries[first].place.line);
            Err(entries[second].place.error(YamlProblem::DuplicateKey { key, first_line }))
        }
    }
}

/// Base64 over any number of lines. kubectl replaces what is no UTF-8 by `\u{fffd}`; lost bytes are an error here.
fn binary(text: &str) -> Option<String> {
    let compact: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    String::from_utf8(STANDARD.decode(compact).ok()?).ok()
}
