//! What is laid over a kustomization without being written in it, as Flux's Kustomization does (`fluxcd/pkg/kustomize` 1.44): fields are set,
//! added or merged in the kustomization that is built, before it is built; where there is none, one is made up that lists all YAML files.
//! Flux's `commonMetadata` comes after the build and is left to the caller.
//!
//! Differences from Flux: a kustomization with fields that kustomize does not know is refused and not stripped of them; one without resources
//! gets no `buildMetadata`, and one made up for nothing no namespace `_placeholder`, by which Flux gets empty files through.

use hub_tree::{EntryKind, TreePath};
use shared_manifest::{Content, Key, Node};

use crate::fields::{Reading, Spot, read_all};
use crate::kustomization::{Kustomization, Patch};
use crate::loader::{KUSTOMIZATION_FILES, Loader};
use crate::problem::{Fault, Reason};
use crate::transform::images::Image;

/// What is laid over a kustomization.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Layers {
    /// In place of `namespace`: the namespace of every object, also of those that name one. Empty takes the kustomization's away.
    pub target_namespace: Option<String>,
    /// In place of `namePrefix`, also if empty.
    pub name_prefix: Option<String>,
    /// In place of `nameSuffix`, also if empty.
    pub name_suffix: Option<String>,
    /// Directories of components, relative to the kustomization; after its own.
    pub components: Vec<String>,
    /// Whether components that are not there are passed over.
    pub ignore_missing_components: bool,
    /// Images by name: merged into the kustomization's of the same name, and else after them.
    pub images: Vec<ImageLayer>,
    /// Patches, after the kustomization's.
    pub patches: Vec<PatchLayer>,
}

/// An image and what stands for it. Empty texts are none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ImageLayer {
    /// The name in the manifests, without tag.
    pub name: String,
    /// The name that stands for it.
    pub new_name: String,
    /// The tag. Together with the digest it stands for both of the kustomization.
    pub new_tag: String,
    /// The digest.
    pub digest: String,
}

/// A patch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct PatchLayer {
    /// A strategic merge patch or a JSON patch.
    pub patch: String,
    /// What it is for; what the patch itself names if `None`.
    pub target: Option<PatchSelector>,
}

/// What a patch is for, as in `patches.target` of a kustomization. Empty texts take anything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct PatchSelector {
    /// A regular expression for the API group.
    pub group: String,
    /// One for the version.
    pub version: String,
    /// One for the kind.
    pub kind: String,
    /// One for the name.
    pub name: String,
    /// One for the namespace.
    pub namespace: String,
    /// A label selector.
    pub label_selector: String,
    /// The same for annotations.
    pub annotation_selector: String,
}

impl Layers {
    /// Whether there is nothing to lay over.
    pub fn is_empty(&self) -> bool {
        *self == Self { ignore_missing_components: self.ignore_missing_components, ..Self::default() }
    }

    /// The kustomization with these layers over it.
    pub(crate) fn over(&self, mut kustomization: Kustomization, loader: &Loader<'_>) -> Result<Kustomization, Fault> {
        for (text, field) in [
            (&self.target_namespace, &mut kustomization.namespace),
            (&self.name_prefix, &mut kustomization.name_prefix),
            (&self.name_suffix, &mut kustomization.name_suffix),
        ] {
            if let Some(text) = text {
                field.clone_from(text);
            }
        }
        for (at, layer) in self.patches.iter().enumerate() {
            let patch = read_all(&patch_node(layer), "a patch", Reading::Strict, Patch::read);
            let patch = patch.map_err(|fault| fault.in_layer(format!("patches[{at}]")))?;
            kustomization.patches.push(Patch { layer: Some(at), ..patch });
        }
        for (at, path) in self.components.iter().enumerate() {
            if self.is_missing(path, loader).map_err(|reason| Fault::from(reason).in_layer(format!("components[{at}]")))? {
                continue;
            }
            kustomization.components.push(Spot { line: 0, value: path.clone() });
        }
        let mut images = kustomization.images.to_vec();
        for (at, layer) in self.images.iter().enumerate() {
            match images.iter_mut().find(|image| image.written_name == layer.name) {
                Some(image) => merge(image, layer),
                None => {
                    let image = read_all(&image_node(layer), "an image", Reading::Strict, Image::read);
                    images.push(image.map_err(|fault| fault.in_layer(format!("images[{at}]")))?);
                }
            }
        }
        kustomization.images = images.into();
        Ok(kustomization)
    }

    /// Whether a component is not there and may be.
    fn is_missing(&self, path: &str, loader: &Loader<'_>) -> Result<bool, Reason> {
        Ok(self.ignore_missing_components && loader.reader.entry(&loader.path(path)?)?.is_none())
    }
}

/// Tag and digest both say which image: whoever sets one of them takes the other away.
fn merge(image: &mut Image, layer: &ImageLayer) {
    if !layer.new_name.is_empty() {
        image.new_name.clone_from(&layer.new_name);
    }
    if !layer.new_tag.is_empty() || !layer.digest.is_empty() {
        image.new_tag.clone_from(&layer.new_tag);
        image.digest.clone_from(&layer.digest);
    }
}

fn patch_node(layer: &PatchLayer) -> Node {
    let target = layer.target.as_ref().map(|target| {
        map(vec![
            ("group", text(&target.group)),
            ("version", text(&target.version)),
            ("kind", text(&target.kind)),
            ("name", text(&target.name)),
            ("namespace", text(&target.namespace)),
            ("labelSelector", text(&target.label_selector)),
            ("annotationSelector", text(&target.annotation_selector)),
        ])
    });
    let mut fields = vec![("patch", text(&layer.patch))];
    fields.extend(target.map(|target| ("target", target)));
    map(fields)
}

fn image_node(layer: &ImageLayer) -> Node {
    map(vec![
        ("name", text(&layer.name)),
        ("newName", text(&layer.new_name)),
        ("newTag", text(&layer.new_tag)),
        ("digest", text(&layer.digest)),
    ])
}

/// A node that stands in no file.
fn node(content: Content) -> Node {
    Node { line: 0, column: 0, content }
}

fn text(text: &str) -> Node {
    node(Content::String(text.to_owned()))
}

fn map(fields: Vec<(&str, Node)>) -> Node {
    let key = |name: &str| Key { text: name.to_owned(), line: 0, column: 0 };
    node(Content::Map(fields.into_iter().map(|(name, node)| (key(name), node)).collect()))
}

/// The kustomization for a directory that has none: it lists the YAML files in and below it in the order of their paths, and directories that
/// have a kustomization, into which it does not look.
pub(crate) fn made_up(loader: &Loader<'_>) -> Result<Kustomization, Fault> {
    let mut resources = Vec::new();
    list(loader, &loader.root, "./", DEPTH_LIMIT, &mut resources)?;
    let resources = resources.into_iter().map(|value| Spot { line: 0, value }).collect();
    Ok(Kustomization { resources, ..Kustomization::default() })
}

/// How deep directories may lie in a directory without a kustomization: nobody sorts manifests into more than a few, and each is a stack frame.
const DEPTH_LIMIT: usize = 64;

fn list(loader: &Loader<'_>, directory: &TreePath, written: &str, depth: usize, resources: &mut Vec<String>) -> Result<(), Fault> {
    if depth == 0 {
        let remedy = "write a kustomization that lists what is meant";
        let what = "directories inside of each other, without a kustomization";
        return Err(Fault::from(Reason::TooMuch { what, limit: DEPTH_LIMIT, remedy }).in_file(directory));
    }
    let Some((_, mut entries)) = loader.reader.list(directory).map_err(Reason::Read)? else { return Ok(()) };
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    for entry in entries {
        let (path, written) = (directory.child(&entry.name), format!("{written}{}", entry.name));
        match entry.kind {
            EntryKind::Directory if has_kustomization(loader, &path)? => resources.push(written),
            EntryKind::Directory => list(loader, &path, &format!("{written}/"), depth - 1, resources)?,
            _ if entry.name.ends_with(".yaml") || entry.name.ends_with(".yml") => resources.push(written),
            EntryKind::File | EntryKind::Symlink | EntryKind::Submodule => {}
        }
    }
    Ok(())
}

fn has_kustomization(loader: &Loader<'_>, directory: &TreePath) -> Result<bool, Fault> {
    for name in KUSTOMIZATION_FILES {
        if let Some((_, entry)) = loader.reader.entry(&directory.child(name)).map_err(Reason::Read)?
            && entry.kind != EntryKind::Directory
        {
            return Ok(true);
        }
    }
    Ok(false)
}
