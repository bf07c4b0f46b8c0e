//! One resource on its way through a build: its value, the names it had before, and what generators and `buildMetadata` need to remember.
//! kustomize keeps this memory in annotations; here it stays beside the value, where no patch can lose it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use hub_tree::TreePath;
use shared_manifest::{Text, Tree, TreeMap};

use crate::id::{Id, Kind};
use crate::origin::{self, Origin};
use crate::transform::hash::Hashed;
use crate::transform::shared::Shared;
use crate::value::{field, in_quotes_of, new_text, raw_text, text, through_json};

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
    pub(crate) kind: Text,
    pub(crate) name: Text,
    /// The effective namespace.
    pub(crate) namespace: Text,
}

/// A resource, cheap to copy. A value of `Null` is one that a patch has deleted.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) value: Tree,
    pub(crate) place: Place,
    /// The bytes of the value when it was read, as `size` counts them: what steps that look at all of it are bounded by.
    pub(crate) bytes: usize,
    pub(crate) previous: Vec<Previous>,
    pub(crate) prefixes: Vec<Text>,
    pub(crate) suffixes: Vec<Text>,
    /// The labels and annotations that are one value in several maps.
    pub(crate) shared: Vec<Shared>,
    pub(crate) variables: Vec<String>,
    pub(crate) is_generated: bool,
    /// Whether a chart has made it, whose namespace it keeps.
    pub(crate) is_of_chart: bool,
    pub(crate) behavior: Behavior,
    pub(crate) needs_hash: bool,
    /// The hash of the content that it had when its base was kept.
    pub(crate) hashed: Option<Hashed>,
    pub(crate) origin: Option<Origin>,
    pub(crate) transformations: Vec<Origin>,
    /// The hash of its identity, once somebody has asked for it.
    hash: OnceLock<u64>,
}

impl Resource {
    pub(crate) fn new(value: Tree, bytes: usize, place: Place) -> Self {
        Self {
            value,
            place,
            bytes,
            previous: Vec::new(),
            prefixes: Vec::new(),
            suffixes: Vec::new(),
            shared: Vec::new(),
            variables: Vec::new(),
            is_generated: false,
            is_of_chart: false,
            behavior: Behavior::Create,
            needs_hash: false,
            hashed: None,
            origin: None,
            transformations: Vec::new(),
            hash: OnceLock::new(),
        }
    }

    /// The resource to change: another one, if somebody else holds this one too.
    pub(crate) fn to_change(resource: &mut Arc<Self>) -> &mut Self {
        let resource = Arc::make_mut(resource);
        resource.hash = OnceLock::new();
        resource
    }

    /// The hash of its identity.
    pub(crate) fn hash(&self) -> u64 {
        *self.hash.get_or_init(|| self.id().hash())
    }

    /// What it is called now.
    pub(crate) fn id(&self) -> Id<'_> {
        Id::of(&self.value)
    }

    /// What it was called before, the oldest first. Group and version are those of now.
    pub(crate) fn previous_ids(&self) -> impl Iterator<Item = Id<'_>> {
        let Kind { group, version, .. } = Kind::of(&self.value);
        self.previous.iter().map(move |previous| Id {
            group,
            version,
            kind: &previous.kind,
            name: &previous.name,
            namespace: &previous.namespace,
            written_namespace: &previous.namespace,
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
        let previous = Previous { kind: id.kind.into(), name: id.name.into(), namespace: id.namespace.into() };
        self.previous.push(previous);
    }

    /// Whether references by name, and the order, take it as they take the other: it is called what that one is and has the same past. What is
    /// called by a hash of its content is not like another one.
    pub(crate) fn is_called_as(&self, other: &Self) -> bool {
        let is_plain = |resource: &Self| !resource.needs_hash && resource.origin.is_none();
        is_plain(self) && is_plain(other) && self.has_names_of(other)
    }

    /// Whether it is and was called what the other is and was.
    pub(crate) fn has_names_of(&self, other: &Self) -> bool {
        self.id() == other.id() && (&self.previous, &self.prefixes, &self.suffixes) == (&other.previous, &other.prefixes, &other.suffixes)
    }

    /// Whether it is or was called `name`: quicker than looking at whole identities.
    pub(crate) fn bears(&self, name: &str) -> bool {
        self.name() == name || self.previous.iter().any(|previous| previous.name == name)
    }

    /// Carries what a step may have changed of a label or annotation to all maps that hold the same one.
    pub(crate) fn settle_shared(&mut self, may_change: impl Fn(&str) -> bool) {
        if !self.shared.is_empty() {
            Shared::settle(&mut self.shared, &mut self.value, may_change);
        }
    }

    pub(crate) fn is_deleted(&self) -> bool {
        match &self.value {
            Tree::Null(_) => true,
            Tree::Map(fields) => fields.is_empty(),
            _ => false,
        }
    }

    pub(crate) fn kind(&self) -> &str {
        Kind::of(&self.value).kind
    }

    pub(crate) fn name(&self) -> &str {
        self.metadata("name")
    }

    pub(crate) fn namespace(&self) -> &str {
        self.metadata("namespace")
    }

    fn metadata(&self, name: &str) -> &str {
        field(&self.value, "metadata").and_then(|metadata| field(metadata, name)).map_or("", text)
    }

    /// Sets a text field of the metadata, or removes it when `text` is empty and it is the namespace.
    pub(crate) fn set_metadata(&mut self, field: &str, text: &str) {
        let Some(fields) = self.value.as_map_mut() else { return };
        let metadata = fields.get_or_insert_with("metadata", Tree::map);
        if !metadata.is_map() {
            *metadata = Tree::map();
        }
        if metadata[field].as_str() == Some(text) && !text.is_empty() {
            return;
        }
        if let Some(metadata) = metadata.as_map_mut() {
            if text.is_empty() {
                metadata.remove(field);
            } else {
                let text = match metadata.get(field) {
                    Some(old) => in_quotes_of(old, text.into()),
                    None => new_text(text.into()),
                };
                metadata.insert(Text::new(field), text);
            }
        }
    }

    /// The labels or annotations, as they are written.
    pub(crate) fn texts_of(&self, field: &str) -> impl Iterator<Item = (&Text, &Tree)> {
        self.value["metadata"][field].as_map().into_iter().flat_map(TreeMap::iter)
    }

    /// Sets the labels or annotations; none removes the field.
    pub(crate) fn set_texts_of(&mut self, field: &str, entries: TreeMap) {
        let Some(metadata) = self.value.get_mut("metadata").and_then(Tree::as_map_mut) else { return };
        if entries.is_empty() {
            metadata.remove(field);
        } else {
            metadata.insert(Text::new(field), entries.into());
        }
    }

    /// Makes all of the value what a way through JSON makes of it.
    pub(crate) fn pass_through_json(&mut self) {
        if let Some(plain) = through_json(&self.value) {
            self.value = plain;
        }
    }

    /// Makes every annotation a text as it is written, as kustomize does to each resource whose memory it keeps there.
    pub(crate) fn make_annotations_texts(&mut self) {
        if self.texts_of("annotations").all(|(_, value)| value.is_text()) {
            return;
        }
        let entries = self.texts_of("annotations").map(|(key, value)| (key.clone(), raw_text(value).into())).collect();
        self.set_texts_of("annotations", entries);
    }

    /// Makes the map of annotations if kustomize would have one by now, to keep its memory in: a JSON patch finds it there.
    pub(crate) fn show_annotations(&mut self) {
        let has_memory = self.is_generated || self.origin.is_some() || !self.previous.is_empty();
        if !has_memory {
            return;
        }
        // Where an origin is noted, all annotations are written anew.
        if self.origin.is_some() {
            self.make_annotations_texts();
        }
        if let Some(metadata) = self.value.get_mut("metadata").and_then(Tree::as_map_mut) {
            let annotations = metadata.get_or_insert_with("annotations", Tree::map);
            if annotations.is_null() {
                *annotations = Tree::map();
            }
        }
    }

    /// Whether `after` says the same, once a validator's label is taken away.
    pub(crate) fn is_unchanged_in(&self, after: &Self) -> bool {
        let mut after = after.clone();
        if after.texts_of("labels").any(|(key, _)| key == VALIDATED_BY) {
            let labels = after.texts_of("labels").filter(|(key, _)| *key != VALIDATED_BY);
            let labels = labels.map(|(key, value)| (key.clone(), raw_text(value).into())).collect();
            after.set_texts_of("labels", labels);
        }
        let memory = |resource: &Self| (resource.previous.len(), resource.prefixes.len(), resource.suffixes.len());
        memory(self) == memory(&after) && (self.value.is_same(&after.value) || self.value.to_value() == after.value.to_value())
    }

    /// Whether its prefixes and suffixes end as the other's do. With `or_none`, one that has none fits all.
    pub(crate) fn affixes_fit(&self, other: &Self, or_none: bool) -> bool {
        let fits = |a: &[Text], b: &[Text]| (or_none && (a.is_empty() || b.is_empty())) || same_ending(a, b);
        fits(&self.prefixes, &other.prefixes) && fits(&self.suffixes, &other.suffixes)
    }

    /// The value as it leaves the build: annotations are texts, none of them internal, and `buildMetadata` has added what it was asked for.
    pub(crate) fn finish(mut self, with_origin: bool, with_transformations: bool) -> Tree {
        let adds = (with_origin && self.origin.is_some()) || (with_transformations && !self.transformations.is_empty());
        let annotations = &self.value["metadata"]["annotations"];
        let is_clean = |(key, value): (&Text, &Tree)| value.is_text() && !is_internal(key);
        let stays = match annotations {
            Tree::Map(entries) => !entries.is_empty() && entries.iter().all(is_clean),
            _ => self.value["metadata"].get("annotations").is_none(),
        };
        if stays && !adds {
            return self.value;
        }
        let kept = self.texts_of("annotations").filter(|(key, _)| !is_internal(key));
        let mut entries: TreeMap = kept.map(|(key, value)| (key.clone(), raw_text(value).into())).collect();
        if let Some(origin) = self.origin.take().filter(|_| with_origin) {
            entries.insert(Text::new_static(origin::ORIGIN), origin.to_annotation().into());
        }
        if with_transformations && !self.transformations.is_empty() {
            entries.insert(Text::new_static(origin::TRANSFORMATIONS), origin::transformations(&self.transformations).into());
        }
        self.set_texts_of("annotations", entries);
        self.value
    }
}

fn is_internal(annotation: &str) -> bool {
    INTERNAL.contains(&annotation) || annotation.starts_with("internal.config.kubernetes.io/")
}

/// The label that a validator may add.
const VALIDATED_BY: &str = "validated-by";

/// Annotations that kustomize removes from every output.
const INTERNAL: &[&str] =
    &[origin::ORIGIN, origin::TRANSFORMATIONS, "config.kubernetes.io/path", "config.kubernetes.io/index", "config.k8s.io/id"];

/// Whether the shorter list is the end of the longer. An empty one is the end of an empty one only.
fn same_ending(a: &[Text], b: &[Text]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if short.is_empty() { long.is_empty() } else { long.ends_with(short) }
}
