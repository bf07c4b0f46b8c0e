//! kustomize in process: builds a kustomization from a source tree with the output of `kustomize build` 5.8.1, without a checkout, a network
//! or another program. What the objects mean, and how they reach a cluster, is left to others.
//!
//! The way of an object: `loader` finds the file, `documents` reads it, `target` carries it from the innermost kustomization to the one that is
//! asked for, through the generators in `generate` and the transformers in `transform`, which go by the field specifications in `config`;
//! at the end come hashes, references by name, variables and the order.
//!
//! Not carried out, and refused by name: remote bases, plugins that are programs, `helmCharts`, `validators`, and replacements inside of YAML
//! that is itself a text.
//!
//! Known differences from the original: a value that a resource leaves blank counts as `null` written out; a number that stands for the text of
//! an annotation is written as the number reads (`1.10` as `1.1`); keys that lists are joined by and that are null; the hash of a generated
//! object whose kind a patch has changed.

mod config;
mod configure;
mod documents;
mod field_spec;
mod fields;
mod generate;
mod id;
mod kustomization;
mod loader;
mod merge;
mod origin;
mod problem;
mod resource;
mod resources;
mod selector;
mod target;
mod transform;
mod value;

use hub_tree::{Reader, TreePath};
use shared_manifest::{Object, Value};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BuildOptions {
    /// Where files may lie.
    pub load_restriction: LoadRestriction,
}

/// The result of a build.
#[derive(Debug, Clone)]
pub struct Built {
    /// The objects, in the order in which kustomize prints them.
    pub objects: Vec<Object>,
    /// Where each of them was read or generated.
    pub places: Vec<Place>,
    /// What is allowed and worth a look.
    pub warnings: Vec<Warning>,
}

/// Builds the kustomization in the directory `dir`. `reader` records what was read, also when the build is refused.
///
/// # Errors
/// What is wrong, with file, line where known, and the kustomizations that led there.
pub fn build(reader: &Reader<'_>, dir: &TreePath, options: &BuildOptions) -> Result<Built, BuildError> {
    let (values, warnings) = run(reader, dir, options)?;
    let (mut objects, mut places) = (Vec::with_capacity(values.len()), Vec::with_capacity(values.len()));
    for (value, place) in values {
        let refused = |invalid| error(Fault::at(place.line, Reason::NotAnObject(invalid)).in_file(&place.file), dir);
        objects.push(Object::from_value(value).map_err(refused)?);
        places.push(place);
    }
    Ok(Built { objects, places, warnings })
}

/// As [`build`], but gives what kustomize prints, which may lack what Kubernetes needs of an object: an apiVersion, for one.
///
/// # Errors
/// As [`build`].
pub fn build_values(reader: &Reader<'_>, dir: &TreePath, options: &BuildOptions) -> Result<(Vec<Value>, Vec<Warning>), BuildError> {
    let (values, warnings) = run(reader, dir, options)?;
    Ok((values.into_iter().map(|(value, _)| value).collect(), warnings))
}

type Values = (Vec<(Value, Place)>, Vec<Warning>);

fn run(reader: &Reader<'_>, dir: &TreePath, options: &BuildOptions) -> Result<Values, BuildError> {
    let mut build = Build::default();
    let root_only = options.load_restriction == LoadRestriction::RootOnly;
    let values = Loader::new(reader, dir, root_only).and_then(|loader| build.run(loader)).map_err(|fault| error(fault, dir))?;
    Ok((values, build.warnings))
}

fn error(fault: Fault, dir: &TreePath) -> BuildError {
    let Fault { file, line, mut chain, reason } = fault;
    chain.reverse();
    BuildError { file: file.unwrap_or_else(|| dir.clone()), line, chain, reason }
}
