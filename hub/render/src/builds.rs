//! What is the same for many renders: files that were parsed before, and whole builds as they are before variables are replaced. Two hundred
//! clusters with the same app and other variables build it once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use hub_kustomize::{BuildOptions, Files, Layers, Place, build};
use hub_tree::{Budget, ContentId, Lookup, ReadSet, Reader, SourceTree, TreePath};
use shared_manifest::{Tree, Value};

use crate::engine::{Engine, EngineChoice, choose};
use crate::input::RenderInput;
use crate::plain;
use crate::problem::RenderProblem;
use crate::render::{Warning, guarded};

/// How many builds are kept: clusters are rendered app by app, and those of one app take few directories in turn. Each has at most 10 MiB of
/// objects, about 40 MiB in memory.
const BUILDS_KEPT: usize = 4;

/// What renders leave for the next ones. What is in it never changes what a render gives.
#[derive(Debug)]
pub struct Builds {
    files: Files,
    kept: Mutex<VecDeque<Kept>>,
}

#[derive(Debug)]
struct Kept {
    key: Key,
    built: Arc<Built>,
    read_set: ReadSet,
}

/// All that a build depends on. Equal roots are equal trees.
#[derive(Debug, Clone, PartialEq)]
struct Key {
    root: ContentId,
    path: TreePath,
    engine: EngineChoice,
    recurse: bool,
    layers: Layers,
}

/// Objects as an engine made them.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) objects: Vec<(Made, Place)>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) engine: Engine,
}

/// An object of an engine: not known yet to be one of Kubernetes.
#[derive(Debug, Clone)]
pub(crate) enum Made {
    /// Of kustomize.
    Tree(Tree),
    /// Of plain manifests.
    Value(Value),
}

/// A build with what it learned from the tree, also if it failed.
pub(crate) struct Outcome {
    pub(crate) built: Result<Arc<Built>, RenderProblem>,
    pub(crate) read_set: ReadSet,
    /// What was chosen, also if it failed.
    pub(crate) engine: Option<Engine>,
}

impl Builds {
    /// Keeps parsed files of up to `file_bytes` bytes in all; their trees take about four times as much memory.
    pub fn new(file_bytes: usize) -> Self {
        Self { files: Files::new(file_bytes), kept: Mutex::default() }
    }

    /// What `input` is built to in `tree`.
    pub(crate) fn get(&self, input: &RenderInput, tree: &dyn SourceTree) -> Outcome {
        let key = match tree.entry(&TreePath::root()) {
            Lookup::Found(root) => Some(Key {
                root: root.id,
                path: input.path.clone(),
                engine: input.engine,
                recurse: input.recurse,
                layers: input.layers.clone(),
            }),
            Lookup::Absent | Lookup::Unreadable(_) => None,
        };
        if let Some(key) = &key
            && let Some(found) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|kept| kept.key == *key)
        {
            return Outcome { built: Ok(found.built.clone()), read_set: found.read_set.clone(), engine: Some(found.built.engine) };
        }
        let reader = Reader::new(tree, Budget::RENDER);
        let mut engine = None;
        // The read set of a build that panicked counts too: without it the panic would be remembered for every tree.
        let built = guarded(|| run(input, &self.files, &reader, &mut engine)).map(Arc::new);
        let read_set = reader.into_read_set();
        if let (Some(key), Ok(built)) = (key, &built) {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.truncate(BUILDS_KEPT - 1);
            kept.push_front(Kept { key, built: built.clone(), read_set: read_set.clone() });
        }
        Outcome { built, read_set, engine }
    }
}

fn run(input: &RenderInput, files: &Files, reader: &Reader<'_>, chosen: &mut Option<Engine>) -> Result<Built, RenderProblem> {
    match reader.entry(&input.path)? {
        Some((_, entry)) if entry.kind == hub_tree::EntryKind::Directory => {}
        _ => return Err(RenderProblem::NoDirectory { path: input.path.clone() }),
    }
    let layers = Some(&input.layers).filter(|layers| !layers.is_empty());
    let engine = choose(input.engine, layers.is_some(), reader, &input.path)?;
    *chosen = Some(engine);
    let (objects, warnings) = match engine {
        Engine::Plain => (plain::objects(reader, &input.path, input.recurse)?, Vec::new()),
        Engine::Kustomize => {
            let built = build(reader, &input.path, &BuildOptions { files: Some(files), layers, ..BuildOptions::default() })?;
            let warning = |warning: hub_kustomize::Warning| Warning { file: warning.file, text: warning.text };
            (built.trees.into_iter().map(Made::Tree).zip(built.places).collect(), built.warnings.into_iter().map(warning).collect())
        }
    };
    Ok(Built { objects, warnings, engine })
}
