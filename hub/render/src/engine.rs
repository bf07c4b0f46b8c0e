//! Which engine makes an app's manifests, and how that is found out from its directory.

use hub_tree::{ReadError, Reader, TreePath};

/// The version of everything that turns files into objects. It is part of every input: a new one is a change like a commit.
pub const ENGINE_VERSION: &str = "render-3 kustomize-5.8.1 helm-4.2.4 envsubst-1.9";

/// What makes the manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// A kustomization, built as kustomize builds it.
    Kustomize,
    /// A chart, rendered as Helm renders it.
    Helm,
    /// Files of manifests, taken as they are.
    Plain,
}

/// How an app chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum EngineChoice {
    /// By what is in the directory: a chart, a kustomization file, else plain manifests.
    #[default]
    Detect,
    /// This one.
    Use(Engine),
}

/// The files that make a directory a kustomization.
const KUSTOMIZATION_FILES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The engine for the directory `path`; what is laid over manifests needs kustomize.
pub(crate) fn choose(choice: EngineChoice, has_layers: bool, reader: &Reader<'_>, path: &TreePath) -> Result<Engine, ReadError> {
    if let EngineChoice::Use(engine) = choice {
        return Ok(if has_layers && engine == Engine::Plain { Engine::Kustomize } else { engine });
    }
    let has = |name: &str| -> Result<bool, ReadError> { Ok(reader.entry(&path.child(name))?.is_some()) };
    if has("Chart.yaml")? {
        return Ok(Engine::Helm);
    }
    for name in KUSTOMIZATION_FILES {
        if has(name)? {
            return Ok(Engine::Kustomize);
        }
    }
    Ok(if has_layers { Engine::Kustomize } else { Engine::Plain })
}
