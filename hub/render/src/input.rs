//! What a render is given, what it turned out to use of it, and the digest by which an input is recognised that took a process down.

use std::collections::BTreeMap;

use hub_tree::{ContentId, TreePath};
use shared_model::{AppName, ClusterName, Digest, GroupKind, Scope};

use crate::engine::{ENGINE_VERSION, Engine, EngineChoice};

/// One app on one cluster, every choice made but the engine's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderInput {
    /// The app, for messages.
    pub app: AppName,
    /// The directory of its manifests in the source tree.
    pub path: TreePath,
    /// The namespace of objects that name none.
    pub namespace: Option<String>,
    /// The engine.
    pub engine: EngineChoice,
    /// Whether plain manifests are looked for in the directories below, too.
    pub recurse: bool,
    /// What is known about the cluster.
    pub facts: ClusterFacts,
}

/// What an agent has reported about its cluster and a render may ask. Nothing here is needed: a cluster that has never reported renders, too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterFacts {
    /// The kinds that the cluster serves, and whether they live in namespaces.
    pub scopes: BTreeMap<GroupKind, Scope>,
}

/// Which parts of the input made a difference. Inputs that agree in these, over trees for which the read set holds, have the same result.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InputsUsed {
    /// The engine; `None` if the render ended before it was chosen.
    pub engine: Option<Engine>,
    /// Whether an object got the input's namespace, or would have needed one.
    pub namespace: bool,
    /// What was asked about the cluster, and the answers; `None` is "not known".
    pub scopes: BTreeMap<GroupKind, Option<Scope>>,
}

impl InputsUsed {
    /// Whether `other` would have given the same answers as `this`, the input that these were recorded from.
    pub fn agree(&self, this: &RenderInput, other: &RenderInput) -> bool {
        this.path == other.path
            && this.engine == other.engine
            && this.recurse == other.recurse
            && (!self.namespace || this.namespace == other.namespace)
            && self.scopes.iter().all(|(kind, answer)| other.facts.scopes.get(kind) == answer.as_ref())
    }
}

/// The digest of everything that is known before an input's first render.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputDigest(pub Digest);

impl InputDigest {
    /// The digest for an app on a cluster: `tree` is the root of the source's revision, `vars` are all variables of the cluster.
    pub fn of(tree: &ContentId, app: &AppName, cluster: &ClusterName, vars: &BTreeMap<String, String>) -> Self {
        let mut bytes = Vec::new();
        let mut add = |part: &[u8]| {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        };
        for part in [ENGINE_VERSION.as_bytes(), tree.as_bytes(), app.as_str().as_bytes(), cluster.as_str().as_bytes()] {
            add(part);
        }
        for (name, value) in vars {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        Self(Digest::of(&bytes))
    }
}
