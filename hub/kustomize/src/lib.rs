//! kustomize in process: builds a kustomization from a source tree with the output of `kustomize build` 5.8.1, without a checkout, a network
//! or another program. What the objects mean, and how they reach a cluster, is left to others.
//!
//! The way of an object: `loader` finds the file, `documents` reads it, `target` carries it from the innermost kustomization to the one that is
//! asked for, through the generators in `generate` and the transformers in `transform`, which go by the field specifications in `config`;
//! at the end come hashes, references by name, variables and the order.
//!
//! Directories of other repositories are read where the tree has them mounted, and refused elsewhere.
//!
//! Not carried out, and refused by name: plugins that are programs, `helmCharts`, replacements inside of YAML that is itself a
//! text and holds comments, brackets or folded texts, and the hash of a generated object that a patch has given another kind.
//!
//! Known to differ, because it takes sources that nobody writes on purpose: blanks that a strategic merge puts where the old object stands in
//! braces or brackets (kustomize prints empty texts); infinities, dates and integers beyond 64 bits in labels, in annotations or in an object out
//! of a `List`; scalars without a type (made by a replacement) before another replacement or variables; keys twice in one map of a patch, and keys
//! that YAML 1.1 takes for booleans; items that lack one of the two keys by which a list of ports is joined, beside one that is deleted; patches
//! that may change kinds and name no apiVersion, for several targets; files of replacements or configurations that begin with an empty document
//! and go on; variables in generated literals; a line `---` in an annotation of generator options; the label `?` in a patch; `<<` as an item of a
//! list with variables. `e2e/oracle` leaves most of these out.
//!
//! Values are [`Tree`]s: what no transformer changes stays shared with the parsed file, which [`Files`] keeps for other builds. So is what costs
//! time and can be known again: what a base comes to (`base`), what transformers make of an object that is the same in memory (`made`), how a
//! build ends whose objects are called as before (`conclusion`), and what a walk through a part of an object finds (`facts`). Nothing of it shows:
//! `e2e/oracle` changes kustomizations at random and compares with builds that know nothing.

mod base;
mod conclusion;
mod config;
mod configure;
mod documents;
mod embedded;
mod facts;
mod field_spec;
mod fields;
mod files;
mod generate;
mod id;
mod json;
mod kustomization;
mod layers;
mod loader;
mod made;
mod merge;
mod origin;
mod problem;
mod remote;
mod resource;
mod resources;
mod selector;
mod target;
mod transform;
mod value;

use hub_tree::{Reader, TreePath};
use shared_manifest::{Object, Tree, write_yaml_documents, write_yaml_documents_and_keep};

pub use files::Files;
pub use generate::helm_chart::{ChartRequest, ChartValues, Inflate, ManifestText};
pub use layers::{ImageLayer, Layers, PatchLayer, PatchSelector};
pub use loader::without_first_use;
pub use problem::{BuildError, Reason, Warning};
pub use resource::Place;

use loader::Loader;
use problem::Fault;
use target::Build;

/// The most bytes of objects that one build may make: 10 MiB, the limit of a rendered bundle (2 KB for each of 5,000 objects).
pub const OUTPUT_LIMIT: usize = 10 << 20;

/// Which kustomize the output equals.
pub const KUSTOMIZE_VERSION: &str = "5.8.1";

/// Where a kustomization may read files from. Bases may always lie anywhere in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoadRestriction {
    /// In or below its own directory.
    #[default]
    RootOnly,
    /// Anywhere in the tree.
    Tree,
}

/// How to build.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuildOptions<'a> {
    /// Where files may lie.
    pub load_restriction: LoadRestriction,
    /// Parsed files and built bases to share with other builds; without them a build shares its files with itself only.
    pub files: Option<&'a Files>,
    /// Who renders the charts of `helmCharts`; without it they are refused.
    pub charts: Option<&'a dyn Inflate>,
    /// What is laid over the kustomization. With it a directory without a kustomization is built too, with all YAML files in and below it.
    pub layers: Option<&'a Layers>,
}

/// The result of a build: what kustomize prints, which may lack what Kubernetes needs of an object: an apiVersion, for one.
#[derive(Debug, Clone)]
pub struct Built {
    /// The objects, in the order in which kustomize prints them.
    pub trees: Vec<Tree>,
    /// Where each of them was read or generated.
    pub places: Vec<Place>,
    /// What is allowed and worth a look.
    pub warnings: Vec<Warning>,
    /// Whether other builds share files with this one, and so may print the same.
    is_shared: bool,
}

impl Built {
    /// The text that `kustomize build` prints.
    pub fn to_yaml(&self) -> String {
        let mut text = String::new();
        if self.is_shared {
            write_yaml_documents_and_keep(&self.trees, &mut text);
        } else {
            write_yaml_documents(&self.trees, &mut text);
        }
        text
    }

    /// The objects, each with its place.
    ///
    /// # Errors
    /// The first that is no Kubernetes object.
    pub fn into_objects(self) -> Result<Vec<(Object, Place)>, BuildError> {
        let object = |(tree, place): (Tree, Place)| match Object::from_value(tree.to_value()) {
            Ok(object) => Ok((object, place)),
            Err(invalid) => {
                let line = Some(place.line).filter(|line| *line > 0);
                Err(BuildError { file: place.file, line, chain: Vec::new(), reason: Box::new(Reason::NotAnObject(invalid)) })
            }
        };
        self.trees.into_iter().zip(self.places).map(object).collect()
    }
}

/// The most bytes of parsed files that a build keeps for itself: the largest tree of one render.
const OWN_FILES_LIMIT: usize = 100 << 20;

/// Builds the kustomization in the directory `dir`. `reader` records what was read, also when the build is refused.
///
/// # Errors
/// What is wrong, with file, line where known, and the kustomizations that led there.
pub fn build(reader: &Reader<'_>, dir: &TreePath, options: &BuildOptions<'_>) -> Result<Built, BuildError> {
    run(reader, dir, options, |build, loader| build.run(loader, options.layers))
}

/// Lays the layers of `options` over `manifests`, as over a kustomization in the directory `dir` that lists them and says nothing else.
///
/// # Errors
/// As [`build`].
pub fn overlay(reader: &Reader<'_>, dir: &TreePath, manifests: &[ManifestText], options: &BuildOptions<'_>) -> Result<Built, BuildError> {
    let nothing = Layers::default();
    run(reader, dir, options, |build, loader| build.run_over(manifests, options.layers.unwrap_or(&nothing), loader))
}

fn run(
    reader: &Reader<'_>,
    dir: &TreePath,
    options: &BuildOptions<'_>,
    run: impl FnOnce(&mut Build, Loader<'_>) -> Result<Vec<(Tree, Place)>, Fault>,
) -> Result<Built, BuildError> {
    let own_files;
    let files = match options.files {
        Some(files) => files,
        None => {
            own_files = Files::of_one_build(OWN_FILES_LIMIT);
            &own_files
        }
    };
    let mut build = Build::default();
    let built = Loader::new(reader, files, dir, options).and_then(|loader| run(&mut build, loader)).map_err(|fault| error(fault, dir))?;
    let (trees, places) = built.into_iter().unzip();
    Ok(Built { trees, places, warnings: build.warnings, is_shared: options.files.is_some() })
}

fn error(fault: Fault, dir: &TreePath) -> BuildError {
    let Fault { file, line, mut chain, reason } = fault;
    chain.reverse();
    BuildError { file: file.unwrap_or_else(|| dir.clone()), line, chain, reason }
}
