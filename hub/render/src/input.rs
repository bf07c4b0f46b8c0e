//! What a render is given, what it turned out to use of it, and the digest by which an input is recognised that took a process down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hub_fleet::{HelmSource, PatchTarget, Resolved, SubstituteStrategy};
use hub_kustomize::{ImageLayer, Layers, PatchLayer, PatchSelector};
use hub_tree::{ContentId, TreePath};
use shared_model::{AppName, ClusterName, Digest, GroupKind, Scope};

use crate::charts::{self, ChanceKey};
use crate::common::CommonMetadata;
use crate::engine::{ENGINE_VERSION, Engine, EngineChoice};
use crate::helm;
use crate::substitute::{InvalidVariable, Substitution, Variables};

/// One app on one cluster, every choice made but the engine's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderInput {
    /// The app, for messages.
    pub app: AppName,
    /// The cluster.
    pub cluster: ClusterName,
    /// The directory of its manifests in the source tree, or its chart, which may be a mounted one.
    pub path: TreePath,
    /// The directory that what is laid over a chart is relative to.
    pub base: TreePath,
    /// What is rendered, if it is a chart by name.
    pub helm: Option<HelmSource<String, TreePath>>,
    /// What the random values of charts are derived from. Without it, functions that give such values are refused.
    pub chance: Option<ChanceKey>,
    /// When certificates of charts must be valid, in seconds since 1970. Nothing else depends on it.
    pub today: i64,
    /// The namespace of objects that name none.
    pub namespace: Option<String>,
    /// The engine.
    pub engine: EngineChoice,
    /// Whether plain manifests are looked for in the directories below, too.
    pub recurse: bool,
    /// What is laid over the kustomization.
    pub layers: Layers,
    /// The variables that are replaced after the build.
    pub substitution: Option<Substitution>,
    /// Labels and annotations of all objects.
    pub common: CommonMetadata,
    /// What is known about the cluster.
    pub facts: ClusterFacts,
}

impl RenderInput {
    /// An app on a cluster, from the directory that was chosen for it.
    ///
    /// # Errors
    /// A variable of the manifests whose name is none.
    pub fn of(resolved: &Resolved, path: TreePath, facts: ClusterFacts) -> Result<Self, InvalidVariable> {
        let path = helm::path_of(resolved.helm.as_ref(), path);
        let kustomize = &resolved.kustomize;
        let substitution = resolved.post_build.as_ref().map(|post_build| {
            Ok(Substitution {
                variables: Variables::new(post_build.substitute.clone())?,
                is_always: post_build.strategy == SubstituteStrategy::Always,
                is_strict: post_build.is_strict,
            })
        });
        Ok(Self {
            app: resolved.app.clone(),
            cluster: resolved.cluster.clone(),
            path,
            base: resolved.base.clone(),
            helm: resolved.helm.clone(),
            chance: None,
            today: 0,
            namespace: resolved.namespace.clone(),
            engine: EngineChoice::Detect,
            recurse: false,
            layers: layers(kustomize),
            substitution: substitution.transpose()?,
            common: CommonMetadata { labels: kustomize.common_labels.clone(), annotations: kustomize.common_annotations.clone() },
            facts,
        })
    }

    /// The same with a secret that random values of charts are derived from; `today` is when their certificates must be valid.
    #[must_use]
    pub fn with_chance(mut self, key: ChanceKey, today: i64) -> Self {
        (self.chance, self.today) = (Some(key), today);
        self
    }

    /// The input of a build that is for no app and no cluster.
    pub(crate) fn local(chance: ChanceKey, today: i64) -> Self {
        let name = "local";
        Self {
            app: name.parse().unwrap_or_else(|_| unreachable!("BUG: it is a name")),
            cluster: name.parse().unwrap_or_else(|_| unreachable!("BUG: it is a name")),
            path: TreePath::root(),
            base: TreePath::root(),
            helm: None,
            chance: Some(chance),
            today,
            namespace: None,
            engine: EngineChoice::Detect,
            recurse: false,
            layers: Layers::default(),
            substitution: None,
            common: CommonMetadata::default(),
            facts: ClusterFacts::default(),
        }
    }

    /// What there is to substitute, if anything.
    pub(crate) fn needed_substitution(&self) -> Option<&Substitution> {
        self.substitution.as_ref().filter(|substitution| substitution.is_needed())
    }
}

/// The layers in the words of kustomize, where an empty text of an image is none.
fn layers(of: &hub_fleet::KustomizeLayers<String>) -> Layers {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let image = |image: &hub_fleet::ImageLayer<String>| ImageLayer {
        name: image.name.clone(),
        new_name: text(&image.new_name),
        new_tag: text(&image.new_tag),
        digest: text(&image.digest),
    };
    let patch = |patch: &hub_fleet::PatchLayer| PatchLayer { patch: patch.patch.clone(), target: patch.target.as_ref().map(selector) };
    Layers {
        target_namespace: of.target_namespace.clone(),
        name_prefix: of.name_prefix.clone(),
        name_suffix: of.name_suffix.clone(),
        components: of.components.clone(),
        ignore_missing_components: of.ignore_missing_components,
        images: of.images.iter().map(image).collect(),
        patches: of.patches.iter().map(patch).collect(),
    }
}

fn selector(target: &PatchTarget) -> PatchSelector {
    let PatchTarget { group, version, kind, name, namespace, label_selector, annotation_selector } = target.clone();
    PatchSelector { group, version, kind, name, namespace, label_selector, annotation_selector }
}

/// What an agent has reported about its cluster and a render may ask. Nothing here is needed: a cluster that has never reported renders, too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterFacts {
    /// The kinds that the cluster serves, and whether they live in namespaces.
    pub scopes: BTreeMap<GroupKind, Scope>,
    /// The version of Kubernetes, as its API server says it: `v1.34.1`.
    pub kube_version: Option<Arc<str>>,
    /// Every group and version that it serves: `apps/v1`, `v1`.
    pub api_versions: Option<Arc<BTreeSet<String>>>,
}

/// Which parts of the input made a difference. Inputs that agree in these, over trees for which the read set holds, have the same result.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InputsUsed {
    /// The engine; `None` if the render ended before it was chosen.
    pub engine: Option<Engine>,
    /// Whether an object got the input's namespace, or would have needed one.
    pub namespace: bool,
    /// Whether an object was substituted.
    pub substituted: bool,
    /// The variables that its expressions named, and their values; `None` is "not set".
    pub variables: BTreeMap<String, Option<String>>,
    /// What was asked about the cluster, and the answers; `None` is "not known".
    pub scopes: BTreeMap<GroupKind, Option<Scope>>,
    /// What charts made use of beside their values.
    pub charts: hub_helm::Used,
}

impl InputsUsed {
    /// Whether `other` would have given the same answers as `this`, the input that these were recorded from.
    pub fn agree(&self, this: &RenderInput, other: &RenderInput) -> bool {
        this.path == other.path
            && this.engine == other.engine
            && this.recurse == other.recurse
            && (!self.namespace || this.namespace == other.namespace)
            && this.helm == other.helm
            && this.base == other.base
            && self.agree_on_charts(this, other)
            && this.layers == other.layers
            && this.common == other.common
            && self.agree_on_variables(this.needed_substitution(), other.needed_substitution())
            && self.scopes.iter().all(|(kind, answer)| other.facts.scopes.get(kind) == answer.as_ref())
    }
}

impl InputsUsed {
    fn agree_on_charts(&self, this: &RenderInput, other: &RenderInput) -> bool {
        // The name of a release is the app's unless it says otherwise, and its namespace is the app's.
        let is_chart = self.engine == Some(Engine::Helm);
        (!is_chart || (this.namespace == other.namespace && this.app == other.app)) && charts::agree(&self.charts, this, other)
    }

    fn agree_on_variables(&self, this: Option<&Substitution>, other: Option<&Substitution>) -> bool {
        match (this, other) {
            (None, None) => true,
            (Some(_), Some(_)) if !self.substituted => true,
            (Some(this), Some(other)) => this.is_strict == other.is_strict && other.gives(&self.variables),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

/// The digest of everything that is known before an input's first render.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputDigest(pub Digest);

impl InputDigest {
    /// The digest for an app on a cluster: `tree` is the root of the source's revision, `vars` are all variables of the cluster, `input` is what
    /// is rendered.
    pub fn of(tree: &ContentId, cluster: &ClusterName, vars: &BTreeMap<String, String>, input: &RenderInput) -> Self {
        let mut bytes = Vec::new();
        let mut add = |part: &[u8]| {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        };
        for part in [ENGINE_VERSION.as_bytes(), tree.as_bytes(), input.app.as_str().as_bytes(), cluster.as_str().as_bytes()] {
            add(part);
        }
        // Names alone are not enough: another value may be what takes a process down.
        add(format!("{:?}{:?}{:?}{:?}", input.layers, input.common, input.substitution, input.helm).as_bytes());
        add(format!("{:?}{:?}", input.facts.kube_version, input.facts.api_versions).as_bytes());
        let values = input.substitution.iter().flat_map(|substitution| substitution.variables.iter());
        values.for_each(|(name, value)| {
            add(name.as_bytes());
            add(value.as_bytes());
        });
        for (name, value) in vars {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        Self(Digest::of(&bytes))
    }
}
