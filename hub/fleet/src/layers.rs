//! What an app lays over what is built from its source: the fields that Flux's Kustomization has for it (`images`, `patches`, `components`,
//! names, `commonMetadata`, `targetNamespace`) and its variables after the build (`postBuild`). How they are carried out is left to the renderer.
//!
//! `T` is what the texts with variables are: templates as written, texts where they are resolved.

use std::collections::BTreeMap;

use crate::template::Template;

/// `spec.kustomize`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KustomizeLayers<T = Template> {
    /// Stands before every name.
    pub name_prefix: Option<T>,
    /// Stands after every name.
    pub name_suffix: Option<T>,
    /// The namespace of every object, also of those that name one.
    pub target_namespace: Option<T>,
    /// Directories of components, relative to the kustomization.
    pub components: Vec<T>,
    /// Whether components that are not there are passed over.
    pub ignore_missing_components: bool,
    /// Images by name.
    pub images: Vec<ImageLayer<T>>,
    /// Patches, after those of the kustomization.
    pub patches: Vec<PatchLayer>,
    /// Labels of all objects.
    pub common_labels: BTreeMap<String, T>,
    /// Annotations of all objects.
    pub common_annotations: BTreeMap<String, T>,
}

/// An image and what stands for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageLayer<T = Template> {
    /// The image's name as the manifests have it, without tag.
    pub name: String,
    /// The name that stands for it.
    pub new_name: Option<T>,
    /// The tag.
    pub new_tag: Option<T>,
    /// The digest, which stands for a tag.
    pub digest: Option<T>,
}

/// A patch. Its text has no variables of the fleet; those of `postBuild` may stand in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PatchLayer {
    /// A strategic merge patch or a JSON patch, as YAML.
    pub patch: String,
    /// What it is for; what the patch itself names if `None`.
    pub target: Option<PatchTarget>,
}

/// Objects by what they are. Each part is a regular expression for the whole, as kustomize has them; empty takes any.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct PatchTarget {
    /// The API group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The namespace.
    pub namespace: String,
    /// A label selector.
    pub label_selector: String,
    /// The same for annotations.
    pub annotation_selector: String,
}

/// `spec.postBuild`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostBuild<T = Template> {
    /// The variables of the manifests.
    pub substitute: BTreeMap<String, T>,
    /// Whether there is something to do without variables.
    pub strategy: SubstituteStrategy,
    /// Whether a variable that is not set and has no default is an error.
    pub is_strict: bool,
}

/// When variables are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubstituteStrategy {
    /// If there are any.
    WithVariables,
    /// Also without, for the sake of defaults in the manifests.
    Always,
}

impl<T> Default for KustomizeLayers<T> {
    fn default() -> Self {
        Self {
            name_prefix: None,
            name_suffix: None,
            target_namespace: None,
            components: Vec::new(),
            ignore_missing_components: false,
            images: Vec::new(),
            patches: Vec::new(),
            common_labels: BTreeMap::new(),
            common_annotations: BTreeMap::new(),
        }
    }
}

impl<T> KustomizeLayers<T> {
    /// The same with other texts; `to` is told the field, as in `kustomize.images[0].newTag`.
    pub(crate) fn try_map<U, E>(&self, mut to: impl FnMut(&str, &T) -> Result<U, E>) -> Result<KustomizeLayers<U>, E> {
        let mut maybe = |field: &str, text: &Option<T>| text.as_ref().map(|text| to(field, text)).transpose();
        let name_prefix = maybe("kustomize.namePrefix", &self.name_prefix)?;
        let name_suffix = maybe("kustomize.nameSuffix", &self.name_suffix)?;
        let target_namespace = maybe("kustomize.targetNamespace", &self.target_namespace)?;
        let mut images = Vec::with_capacity(self.images.len());
        for (at, image) in self.images.iter().enumerate() {
            images.push(ImageLayer {
                name: image.name.clone(),
                new_name: maybe(&format!("kustomize.images[{at}].newName"), &image.new_name)?,
                new_tag: maybe(&format!("kustomize.images[{at}].newTag"), &image.new_tag)?,
                digest: maybe(&format!("kustomize.images[{at}].digest"), &image.digest)?,
            });
        }
        let components = self.components.iter().enumerate().map(|(at, path)| to(&format!("kustomize.components[{at}]"), path));
        let components = components.collect::<Result<_, _>>()?;
        let mut pairs = |field: &str, pairs: &BTreeMap<String, T>| {
            let pairs = pairs.iter().map(|(key, value)| Ok((key.clone(), to(&format!("{field}.{key}"), value)?)));
            pairs.collect::<Result<BTreeMap<_, _>, E>>()
        };
        Ok(KustomizeLayers {
            name_prefix,
            name_suffix,
            target_namespace,
            components,
            ignore_missing_components: self.ignore_missing_components,
            images,
            patches: self.patches.clone(),
            common_labels: pairs(COMMON_LABELS, &self.common_labels)?,
            common_annotations: pairs("kustomize.commonMetadata.annotations", &self.common_annotations)?,
        })
    }
}

/// The field of labels, as problems name it.
pub(crate) const COMMON_LABELS: &str = "kustomize.commonMetadata.labels";

impl<T> PostBuild<T> {
    /// The same with other texts; `to` is told the field, as in `postBuild.substitute.REPLICAS`.
    pub(crate) fn try_map<U, E>(&self, mut to: impl FnMut(&str, &T) -> Result<U, E>) -> Result<PostBuild<U>, E> {
        let values = self.substitute.iter().map(|(name, text)| Ok((name.clone(), to(&format!("postBuild.substitute.{name}"), text)?)));
        Ok(PostBuild { substitute: values.collect::<Result<_, E>>()?, strategy: self.strategy, is_strict: self.is_strict })
    }
}
