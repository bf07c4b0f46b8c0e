//! Why an app cannot be rendered, in words for those who can change it.

use hub_kustomize::{BuildError, Place};
use hub_tree::{ReadError, TreePath};
use shared_manifest::{InvalidObject, YamlError};
use shared_model::{Reason, Severity};

use crate::substitute::{InvalidVariable, SubstitutionProblem};

/// A render that has no result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RenderProblem {
    /// The tree refused or could not tell.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The app's directory is not there.
    #[error("{path} is no directory of the source; correct the app's path")]
    NoDirectory {
        /// The directory.
        path: TreePath,
    },
    /// The directory holds a Helm chart.
    #[error("{path} holds a Helm chart, which this version does not render; commit its rendered manifests and name their directory")]
    Chart {
        /// The directory.
        path: TreePath,
    },
    /// kustomize refuses.
    #[error(transparent)]
    Kustomize(#[from] BuildError),
    /// A manifest is no YAML.
    #[error("{file}: {error}")]
    Yaml {
        /// The file.
        file: TreePath,
        /// What and where.
        error: YamlError,
    },
    /// A manifest is no text.
    #[error("{file} is not UTF-8 text; convert it")]
    NotText {
        /// The file.
        file: TreePath,
    },
    /// A document is no Kubernetes object.
    #[error("{place}: {error}")]
    NotAnObject {
        /// Where it stands.
        place: Place,
        /// What is missing.
        error: InvalidObject,
    },
    /// The variables of an object's text cannot be replaced.
    #[error("{place}: {object}{}: {problem}", in_text(*line))]
    Substitution {
        /// The object, as it was built.
        object: String,
        /// Where it stands.
        place: Place,
        /// The line in its text as it was built, from 1; 0 if it is the whole.
        line: u32,
        /// What is wrong.
        problem: SubstitutionProblem,
    },
    /// A variable that the manifests cannot name.
    #[error("postBuild.substitute: {0}")]
    Variable(#[from] InvalidVariable),
    /// The same object twice.
    #[error("{object} is there twice: {first} and {second}; remove one")]
    Duplicate {
        /// The object.
        object: String,
        /// Where the first stands.
        first: Place,
        /// Where the second stands.
        second: Place,
    },
    /// An object that needs a namespace and has none.
    #[error("{place}: {object} names no namespace and the app has none either; set the app's `namespace`, or metadata.namespace")]
    NoNamespace {
        /// The object.
        object: String,
        /// Where it stands.
        place: Place,
    },
    /// More objects than a release holds.
    #[error("{found} objects are more than the {limit} that one app may have; split the app")]
    TooManyObjects {
        /// How many there are, counted until it was too much.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// More bytes than a release holds.
    #[error("the objects have more than {limit} bytes; split the app")]
    TooManyBytes {
        /// The limit.
        limit: usize,
    },
    /// The engine panicked.
    #[error(
        "BUG: the render engine failed on this app ({message}); please report it with the app's manifests. Other apps are not affected"
    )]
    EngineBug {
        /// What it said.
        message: String,
    },
}

fn in_text(line: u32) -> String {
    if line == 0 { String::new() } else { format!(", line {line} of its text as it was built") }
}

impl RenderProblem {
    /// The file to change, and the line in it from 1, where known.
    pub fn location(&self) -> Option<(&TreePath, Option<u32>)> {
        let line = |line: u32| Some(line).filter(|line| *line > 0);
        match self {
            Self::Read(_) | Self::Variable(_) | Self::TooManyObjects { .. } | Self::TooManyBytes { .. } | Self::EngineBug { .. } => None,
            Self::NoDirectory { path } | Self::Chart { path } => Some((path, None)),
            Self::Kustomize(error) => Some((&error.file, error.line)),
            Self::Yaml { file, error } => Some((file, line(error.line))),
            Self::NotText { file } => Some((file, None)),
            Self::NotAnObject { place, .. } | Self::NoNamespace { place, .. } | Self::Substitution { place, .. } => {
                Some((&place.file, line(place.line)))
            }
            Self::Duplicate { second, .. } => Some((&second.file, line(second.line))),
        }
    }
}

impl From<&RenderProblem> for Reason {
    fn from(problem: &RenderProblem) -> Self {
        let code = match problem {
            RenderProblem::Read(_) => "SourceUnreadable",
            RenderProblem::NoDirectory { .. } => "PathMissing",
            RenderProblem::Chart { .. } => "EngineMissing",
            RenderProblem::Kustomize(_) => "KustomizeRefused",
            RenderProblem::Yaml { .. } | RenderProblem::NotText { .. } | RenderProblem::NotAnObject { .. } => "InvalidManifest",
            RenderProblem::Substitution { .. } | RenderProblem::Variable(_) => "SubstitutionRefused",
            RenderProblem::Duplicate { .. } => "DuplicateObject",
            RenderProblem::NoNamespace { .. } => "NamespaceMissing",
            RenderProblem::TooManyObjects { .. } | RenderProblem::TooManyBytes { .. } => "AppTooLarge",
            RenderProblem::EngineBug { .. } => "EngineBug",
        };
        Self::new(Severity::Error, code, problem.to_string())
    }
}
