//! One resource on its way through a build: its value, the names it had before, and what generators and `buildMetadata` need to remember.
//! kustomize keeps this memory in annotations; here it stays beside the value, where no patch can lose it.

use std::fmt;

use hub_tree::TreePath;
use shared_manifest::{Map, Value};

use crate::id::Id;
use crate::origin::{self, Origin};
use crate::value::text;

/// Where a resource was read or generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, which for what a field of a kustomization generates is the kustomization.
    pub file: TreePath,
    /// Line in it, from 1; 0 if it is not known.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { write!(f, "{}", self.file) } else { write!(f, "{}:{}", self.file, self.line) }
    }
}

/// What a generated resource does to one of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Behavior {
    /// There must be none.
    #[default]
    Create,
    /// It takes the other's place and keeps its name, labels and annotations.
    Replace,
    /// Its data is added.
    Merge,
}

/// A name that a resource had at an earlier point of the build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Previous {
    pub(crate) kind: String,
    pub(crate) name: String,
    /// The effective namespace.
    pub(crate) namespace: String,
}

/// A resource. A value of `Null` is one that a patch has deleted.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) value: Value,
    pub(crate) place: Place,
    pub(crate) previous: Vec<Previous>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) suffixes: Vec<String>,
    pub(crate) variables: Vec<String>,
    pub(crate) is_generated: bool,
    pub(crate) behavior: Behavior,
    pub(crate) needs_hash: bool,
    pub(crate) origin: Option<Origin>,
    pub(crate) transformations: Vec<Origin>,
}

impl Resource {
    pub(crate) fn new(value: Value, place: Place) -> Self {
        Self {
            value,
            place,
            previous: Vec::new(),
            prefixes: Vec::new(),
            suffixes: Vec::new(),
            variables: Vec::new(),
            is_generated: false,
            behavior: Behavior::Create,
            needs_hash: false,
            origin: None,
            transformations: Vec::new(),
        }
    }

    /// What it is called now.
    pub(crate) fn id(&self) -> Id<'_> {
        Id::of(&self.value)
    }

    /// What it was called before, the oldest first. Group and version are those of now.
    pub(crate) fn previous_ids(&self) -> impl Iterator<Item = Id<'_>> {
        let now = self.id();
        self.previous.iter().map(move |previous| Id {
            kind: &previous.kind,
            name: &previous.name,
            namespace: &previous.namespace,
            written_namespace: &previous.namespace,
            ..now
        })
    }

    /// What it was called first.
    pub(crate) fn original_id(&self) -> Id<'_> {
        self.previous_ids().next().unwrap_or_else(|| self.id())
    }

    /// All that it is and was called.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Id<'_>> {
        self.previous_ids().chain(std::iter::once(self.id()))
    }

    /// Remembers its present name before it changes.
    pub(crate) fn remember_id(&mut self) {
        let id = self.id();
        let previous = Previous { kind: id.kind.to_owned(), name: id.name.to_owned(), namespace: id.namespace.to_owned() };
        self.previous.push(previous);
    }

    pub(crate) fn is_deleted(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        }
    }

    pub(crate) fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }

    pub(crate) fn namespace(&self) -> &str {
        self.value["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    /// Sets a text field of the metadata, or removes it when `text` is empty and it is the namespace.
    pub(crate) fn set_metadata(&mut self, field: &str, text: &str) {
        let Value::Object(fields) = &mut self.value else { return };
        let metadata = fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if !metadata.is_object() {
            *metadata = Value::Object(Map::new());
        }
        if let Value::Object(metadata) = metadata {
            if text.is_empty() {
                metadata.remove(field);
            } else {
                metadata.insert(field.to_owned(), text.into());
            }
        }
    }

    /// The labels or annotations, as text.
    pub(crate) fn texts_of(&self, field: &str) -> Vec<(&str, String)> {
        match &self.value["metadata"][field] {
            Value::Object(entries) => entries.iter().map(|(key, value)| (key.as_str(), text(value))).collect(),
            _ => Vec::new(),
        }
    }

    /// Sets the labels or annotations; none removes the field.
    pub(crate) fn set_texts_of(&mut self, field: &str, entries: Map<String, Value>) {
        if let Some(Value::Object(metadata)) = self.value.get_mut("metadata") {
            if entries.is_empty() {
                metadata.remove(field);
            } else {
                metadata.insert(field.to_owned(), Value::Object(entries));
            }
        }
    }

    /// Makes the map of annotations if kustomize would have one by now, to keep its memory in: a JSON patch finds it there.
    pub(crate) fn show_annotations(&mut self) {
        let has_memory = self.is_generated || self.origin.is_some() || !self.previous.is_empty();
        if let Some(Value::Object(metadata)) = self.value.get_mut("metadata").filter(|_| has_memory) {
            let annotations = metadata.entry("annotations").or_insert(Value::Null);
            if annotations.is_null() {
                *annotations = Value::Object(Map::new());
            }
        }
    }

    /// Whether its prefixes and suffixes end as the other's do. With `or_none`, one that has none fits all.
    pub(crate) fn affixes_fit(&self, other: &Self, or_none: bool) -> bool {
        let fits = |a: &[String], b: &[String]| (or_none && (a.is_empty() || b.is_empty())) || same_ending(a, b);
        fits(&self.prefixes, &other.prefixes) && fits(&self.suffixes, &other.suffixes)
    }

    /// The value as it leaves the build: annotations are texts, none of them internal, and `buildMetadata` has added what it was asked for.
    pub(crate) fn finish(mut self, with_origin: bool, with_transformations: bool) -> Value {
        let mut annotations: Map<String, Value> = self
            .texts_of("annotations")
            .into_iter()
            .filter(|(key, _)| !INTERNAL.contains(key) && !key.starts_with("internal.config.kubernetes.io/"))
            .map(|(key, value)| (key.to_owned(), Value::String(value)))
            .collect();
        if let Some(origin) = self.origin.take().filter(|_| with_origin) {
            annotations.insert(origin::ORIGIN.to_owned(), origin.to_annotation().into());
        }
        if with_transformations && !self.transformations.is_empty() {
            annotations.insert(origin::TRANSFORMATIONS.to_owned(), origin::transformations(&self.transformations).into());
        }
        self.set_texts_of("annotations", annotations);
        self.value
    }
}

/// Annotations that kustomize removes from every output.
const INTERNAL: &[&str] =
    &[origin::ORIGIN, origin::TRANSFORMATIONS, "config.kubernetes.io/path", "config.kubernetes.io/index", "config.k8s.io/id"];

/// Whether the shorter list is the end of the longer. An empty one is the end of an empty one only.
fn same_ending(a: &[String], b: &[String]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if short.is_empty() { long.is_empty() } else { long.ends_with(short) }
}
