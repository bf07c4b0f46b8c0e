//! From the arena to values: aliases are followed, merge keys dissolved, duplicate keys refused, and everything that multiplies is counted.

use std::collections::BTreeMap;
use std::vec::Drain;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::tree::{Text, Tree, TreeMap};

use super::load::{NodeId, Raw, RawContent, ScalarTag, Stream};
use super::scalar::{self, Plain};
use super::{Content, Key, Node, Place, YamlBudget, YamlError, YamlMode, YamlProblem};

/// What can be built: plain values, trees, spanned nodes, and what others make of YAML.
pub(super) trait Built: Sized {
    /// The key of an entry.
    type Key;

    /// Whether it keeps the columns of places; if not, they need not be right.
    const PLACED: bool;

    fn key(place: Place, text: &str) -> Self::Key;
    /// Text: a plain scalar that means nothing else.
    fn text(place: Place, text: &str) -> Self;
    /// Text: a scalar in quotes or in a block.
    fn quoted(place: Place, text: &str) -> Self {
        Self::text(place, text)
    }
    /// A plain scalar without tag; `None` if JSON has no such number.
    fn plain(place: Place, meaning: Plain, written: &str) -> Option<Self>;
    /// A scalar with a tag, which may say what `written` alone does not.
    fn tagged(place: Place, meaning: Plain, written: &str) -> Option<Self>;
    fn list(place: Place, items: Drain<'_, Self>) -> Self;
    /// Whether it is null.
    fn is_nothing(&self) -> bool;
    /// A map; `None` if a key is there twice.
    fn map(place: Place, entries: Drain<'_, (Self::Key, Self)>) -> Option<Self>;
}

/// What two readings are compared by.
pub(super) trait Comparable: Built {
    /// Whether it is the same as another, where that matters also in its quotes.
    fn agrees(&self, other: &Self) -> bool;
}

impl Comparable for Value {
    fn agrees(&self, other: &Self) -> bool {
        self == other
    }
}

impl Comparable for Tree {
    fn agrees(&self, other: &Self) -> bool {
        self.is_written_as(other)
    }
}

impl Comparable for Node {
    fn agrees(&self, other: &Self) -> bool {
        self == other
    }
}

/// A scalar as JSON has it.
fn json_scalar(meaning: Plain, written: &str) -> Option<Value> {
    Some(match meaning {
        Plain::Null => Value::Null,
        Plain::Bool(claim) => Value::Bool(claim),
        Plain::Int(number) => Value::Number(number),
        Plain::Float(float) => Value::Number(scalar::number(float)),
        Plain::NotFinite(_) => return None,
        Plain::Timestamp(timestamp) => Value::String(timestamp),
        Plain::Merge | Plain::Text => Value::String(written.to_owned()),
    })
}

impl Built for Value {
    type Key = String;

    const PLACED: bool = false;

    fn key(_: Place, text: &str) -> String {
        text.to_owned()
    }

    fn text(_: Place, text: &str) -> Self {
        Self::String(text.to_owned())
    }

    fn plain(_: Place, meaning: Plain, written: &str) -> Option<Self> {
        json_scalar(meaning, written)
    }

    fn tagged(_: Place, meaning: Plain, written: &str) -> Option<Self> {
        json_scalar(meaning, written)
    }

    fn is_nothing(&self) -> bool {
        self.is_null()
    }

    fn list(_: Place, items: Drain<'_, Self>) -> Self {
        Self::Array(items.collect())
    }

    fn map(_: Place, entries: Drain<'_, (String, Self)>) -> Option<Self> {
        let count = entries.len();
        let map: Map<_, _> = entries.collect();
        (map.len() == count).then_some(Self::Object(map))
    }
}

impl Built for Tree {
    type Key = Text;

    const PLACED: bool = false;

    fn key(_: Place, text: &str) -> Text {
        Text::new(text)
    }

    fn text(_: Place, text: &str) -> Self {
        Self::String(Text::new(text))
    }

    fn quoted(_: Place, text: &str) -> Self {
        Self::Quoted(Text::new(text))
    }

    fn plain(_: Place, meaning: Plain, written: &str) -> Option<Self> {
        Some(match meaning {
            Plain::Null => Self::Null(Text::new(written)),
            Plain::Bool(_) if matches!(written.as_bytes()[0], b't' | b'T' | b'f' | b'F') => Self::Bool(Text::new(written)),
            // kubectl's other words for them.
            Plain::Bool(claim) => claim.into(),
            Plain::Int(_) | Plain::Float(_) => Self::Number(Text::new(written)),
            Plain::NotFinite(_) => return None,
            Plain::Timestamp(_) => Self::Date(Text::new(written)),
            Plain::Merge | Plain::Text => Self::String(Text::new(written)),
        })
    }

    /// Where the tag says what the text alone does not, the tree holds the text that says it by itself.
    fn tagged(place: Place, meaning: Plain, written: &str) -> Option<Self> {
        let number = match &meaning {
            Plain::Bool(claim) if scalar::resolve(written, YamlMode::Kustomize) != Plain::Bool(*claim) => return Some((*claim).into()),
            Plain::Int(number) => number.clone(),
            Plain::Float(float) => scalar::number(*float),
            _ => return Self::plain(place, meaning, written),
        };
        let told = super::number_of(written).as_ref() == Some(&number);
        Some(Self::Number(if told { Text::new(written) } else { number.to_string().into() }))
    }

    fn is_nothing(&self) -> bool {
        self.is_null()
    }

    fn list(_: Place, items: Drain<'_, Self>) -> Self {
        Self::list(items.collect())
    }

    fn map(_: Place, entries: Drain<'_, (Text, Self)>) -> Option<Self> {
        TreeMap::from_entries(entries.collect()).ok().map(Self::from)
    }
}

impl Built for Node {
    type Key = Key;

    const PLACED: bool = true;

    fn key(Place { line, column }: Place, text: &str) -> Key {
        Key { text: text.to_owned(), line, column }
    }

    fn text(place: Place, text: &str) -> Self {
        node(place, Content::String(text.to_owned()))
    }

    fn plain(place: Place, meaning: Plain, written: &str) -> Option<Self> {
        let content = match json_scalar(meaning, written)? {
            Value::Bool(claim) => Content::Bool(claim),
            Value::Number(number) => Content::Number(number),
            Value::String(text) => Content::String(text),
            _ => Content::Null,
        };
        Some(node(place, content))
    }

    fn tagged(place: Place, meaning: Plain, written: &str) -> Option<Self> {
        Self::plain(place, meaning, written)
    }

    fn is_nothing(&self) -> bool {
        self.content == Content::Null
    }

    fn list(place: Place, items: Drain<'_, Self>) -> Self {
        node(place, Content::List(items.collect()))
    }

    fn map(place: Place, entries: Drain<'_, (Key, Self)>) -> Option<Self> {
        let keys = entries.as_slice();
        first_duplicate(keys.len(), |at| &keys[at].0.text).is_none().then(|| node(place, Content::Map(entries.collect())))
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
                self.scalar(text, *plain, *tag, raw.place)
            }
            RawContent::List(items) => {
                self.check_depth(depth, raw.place)?;
                let mut items = items.iter().map(|&item| self.value(item, depth + 1)).collect::<Result<Vec<_>, _>>()?;
                Ok(B::list(raw.place, items.drain(..)))
            }
            RawContent::Map(children) => {
                self.check_depth(depth, raw.place)?;
                let entries = self.entries(children, 0)?;
                let mut built = Vec::with_capacity(entries.len());
                for Entry { key, place, value } in entries {
                    self.count_text(&key, place)?;
                    let value = self.value(value, depth + 1)?;
                    built.push((B::key(place, &key), value));
                }
                Ok(B::map(raw.place, built.drain(..)).unwrap_or_else(|| unreachable!("BUG: a duplicate key was not refused")))
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

    fn scalar<B: Built>(&self, text: &str, plain: bool, tag: ScalarTag, place: Place) -> Result<B, YamlError> {
        let built = match tag {
            ScalarTag::None if !plain => Some(B::quoted(place, text)),
            ScalarTag::None => B::plain(place, scalar::resolve(text, self.mode), text),
            ScalarTag::Binary => {
                let bytes = binary(text).ok_or_else(|| place.error(YamlProblem::TagMismatch { tag: "!!binary" }))?;
                Some(B::text(place, &bytes))
            }
            _ => match self.meaning(text, plain, tag, place)? {
                Plain::Text if !plain => Some(B::quoted(place, text)),
                meaning => B::tagged(place, meaning, text),
            },
        };
        built.ok_or_else(|| place.error(YamlProblem::NotFinite))
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
    match first_duplicate(entries.len(), |at| &entries[at].key) {
        None => Ok(()),
        Some((first, second)) => {
            let (key, first_line) = (entries[second].key.clone(), entries[first].place.line);
            Err(entries[second].place.error(YamlProblem::DuplicateKey { key, first_line }))
        }
    }
}

/// The first of `count` keys that repeats another, behind that other.
pub(super) fn first_duplicate<'k>(count: usize, key: impl Fn(usize) -> &'k str) -> Option<(usize, usize)> {
    if count <= PAIRWISE {
        return (1..count).find_map(|second| (0..second).find(|&first| key(first) == key(second)).map(|first| (first, second)));
    }
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&at| key(at));
    order.windows(2).filter(|pair| key(pair[0]) == key(pair[1])).map(|pair| (pair[0], pair[1])).min_by_key(|pair| pair.1)
}

/// Base64 over any number of lines. kubectl replaces what is no UTF-8 by `\u{fffd}`; lost bytes are an error here.
fn binary(text: &str) -> Option<String> {
    let compact: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    String::from_utf8(STANDARD.decode(compact).ok()?).ok()
}
