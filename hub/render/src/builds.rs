//! What is the same for many renders: files that were parsed before, and whole builds as they are before variables are replaced. Two hundred
//! clusters with the same app and other variables build it once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use hub_fleet::HelmSource;
use hub_helm::Used;
use hub_kustomize::{BuildOptions, Files, Layers, Place, build};
use hub_tree::{Budget, ContentId, Lookup, ReadSet, Reader, SourceTree, TreePath};
use shared_manifest::{Tree, Value};
use shared_model::AppName;

use crate::charts::{self, ChartInflater, Charts};
use crate::engine::{Engine, EngineChoice, choose};
use crate::helm;
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
    charts: Charts,
    kept: Mutex<VecDeque<Kept>>,
}

#[derive(Debug)]
struct Kept {
    key: Key,
    input: RenderInput,
    built: Arc<Built>,
    read_set: ReadSet,
}

impl Kept {
    /// Whether building again for `key` in `tree` would give the same.
    fn is_good_for(&self, key: &Key, input: &RenderInput, tree: &dyn SourceTree) -> bool {
        let is_same = self.key.is_same(key, self.built.engine == Engine::Helm);
        is_same && charts::agree(&self.built.used, &self.input, input) && self.read_set.holds_in_mounts(tree)
    }
}

impl Key {
    /// Whether both mean one build; `of_chart` says that it is one of a chart.
    fn is_same(&self, other: &Self, of_chart: bool) -> bool {
        let same_release = self.app == other.app && self.namespace == other.namespace;
        let same_build = self.root == other.root && self.path == other.path && self.engine == other.engine && self.recurse == other.recurse;
        same_build && self.layers == other.layers && self.helm == other.helm && self.base == other.base && (!of_chart || same_release)
    }
}

/// All that a build depends on besides what it read in mounted trees. Equal roots are equal trees.
#[derive(Debug, Clone)]
struct Key {
    root: ContentId,
    path: TreePath,
    engine: EngineChoice,
    recurse: bool,
    layers: Layers,
    /// Of a chart, also whose release it is, and where.
    helm: Option<HelmSource<String, TreePath>>,
    base: TreePath,
    app: AppName,
    namespace: Option<String>,
}

/// Objects as an engine made them.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) objects: Vec<(Made, Place)>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) engine: Engine,
    /// What charts made use of.
    pub(crate) used: Used,
}

/// An object of an engine: not known yet to be one of Kubernetes.
#[derive(Debug, Clone)]
pub(crate) enum Made {
    /// Of kustomize.
    Tree(Tree),
    /// Of a chart, as it was read.
    Read(Tree),
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
        Self { files: Files::new(file_bytes), charts: Charts::default(), kept: Mutex::default() }
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
                helm: input.helm.clone(),
                base: input.base.clone(),
                app: input.app.clone(),
                namespace: input.namespace.clone(),
            }),
            Lookup::Absent | Lookup::Unreadable(_) => None,
        };
        if let Some(key) = &key
            && let Some(found) =
                self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|kept| kept.is_good_for(key, input, tree))
        {
            return Outcome { built: Ok(found.built.clone()), read_set: found.read_set.clone(), engine: Some(found.built.engine) };
        }
        let reader = Reader::new(tree, Budget::RENDER);
        let mut engine = None;
        // The read set of a build that panicked counts too: without it the panic would be remembered for every tree.
        let built = guarded(|| self.build(input, &reader, &mut engine)).map(Arc::new);
        let read_set = reader.into_read_set();
        if let (Some(key), Ok(built)) = (key, &built) {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.truncate(BUILDS_KEPT - 1);
            kept.push_front(Kept { key, input: input.clone(), built: built.clone(), read_set: read_set.clone() });
        }
        Outcome { built, read_set, engine }
    }

    fn build(&self, input: &RenderInput, reader: &Reader<'_>, chosen: &mut Option<Engine>) -> Result<Built, RenderProblem> {
        let layers = Some(&input.layers).filter(|layers| !layers.is_empty());
        let engine = match &input.helm {
            Some(_) => Engine::Helm,
            None => {
                match reader.entry(&input.path)? {
                    Some((_, entry)) if entry.kind == hub_tree::EntryKind::Directory => {}
                    _ => return Err(RenderProblem::NoDirectory { path: input.path.clone() }),
                }
                choose(input.engine, layers.is_some(), reader, &input.path)?
            }
        };
        *chosen = Some(engine);
        let (objects, warnings, used) = match engine {
            Engine::Plain => (plain::objects(reader, &input.path, input.recurse)?, Vec::new(), Used::default()),
            Engine::Kustomize => {
                let charts = ChartInflater::new(input, &self.charts);
                let options = BuildOptions { files: Some(&self.files), charts: Some(&charts), layers, ..BuildOptions::default() };
                let built = build(reader, &input.path, &options)?;
                let (used, mut warnings) = charts.into_notes();
                warnings.extend(built.warnings.into_iter().map(|warning| Warning { file: warning.file, text: warning.text }));
                (built.trees.into_iter().map(Made::Tree).zip(built.places).collect(), warnings, used)
            }
            Engine::Helm => helm::objects(input, &self.files, &self.charts, reader)?,
        };
        Ok(Built { objects, warnings, engine, used })
    }
}
