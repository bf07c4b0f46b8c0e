//! Why an app cannot be rendered, in words for those who can change it.

use hub_helm::{ChartError, HelmError};
use hub_kustomize::{BuildError, Place};
use hub_tree::{MountRefusal, ReadError, TreePath};
use shared_manifest::{InvalidObject, YamlError};
use shared_model::{Reason, Severity};

use crate::substitute::{InvalidVariable, SubstitutionProblem};
use crate::values_from::ValuesFromProblem;

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
    /// There is no chart.
    #[error("there is no chart at {path}; correct source.helm.chart")]
    NoChart {
        /// Where it should be.
        path: TreePath,
    },
    /// A chart of another source or repository is not there.
    #[error("the chart {chart}: {}", not_fetched(.refusal))]
    ChartNotFetched {
        /// The chart.
        chart: String,
        /// Why.
        refusal: MountRefusal,
    },
    /// A chart cannot be loaded.
    #[error("{path}: {error}")]
    Chart {
        /// Its directory or archive.
        path: TreePath,
        /// Why.
        error: ChartError,
    },
    /// A chart cannot be rendered.
    #[error("{path}: {error}")]
    Helm {
        /// Its directory or archive.
        path: TreePath,
        /// What is wrong, in which template and line.
        error: HelmError,
    },
    /// What a template gives is no YAML.
    #[error("{file} does not give YAML: in line {} of its output, {}", .error.line, .error.problem)]
    Manifest {
        /// The template.
        file: TreePath,
        /// What and where.
        error: YamlError,
    },
    /// A file of values is not there.
    #[error("{file} is not there, and source.helm names it; make it, or allow it to be missing with ignoreMissingValueFiles: true")]
    NoValuesFile {
        /// The file.
        file: TreePath,
    },
    /// Values cannot be taken from a ConfigMap or Secret.
    #[error("{file}, which {field} names: {problem}")]
    ValuesFrom {
        /// The field.
        field: String,
        /// The file of the manifest.
        file: TreePath,
        /// The line of the object in it, from 1, where known.
        line: Option<u32>,
        /// What is wrong.
        problem: ValuesFromProblem,
    },
    /// A chart cannot be rendered with values from Secrets, which a message could hold.
    #[error(
        "{path}: {place}. What the chart says is not shown, because some of its values are from Secrets; see it with `capstan template` and values that are not secret"
    )]
    WithSecretValues {
        /// The chart's directory or archive.
        path: TreePath,
        /// What fails.
        place: String,
    },
    /// No version of Kubernetes.
    #[error("source.helm.kubeVersion: {problem}")]
    KubeVersion {
        /// What is wrong.
        problem: String,
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

/// What to do about a chart that is not there.
fn not_fetched(refusal: &MountRefusal) -> String {
    match refusal {
        MountRefusal::NotOffered => {
            "the hub fetches charts only from the repositories and sources of its configuration; have its repository added to \
                                     chartRepositories there, or commit the chart and name its directory in source.helm.chart"
                .to_owned()
        }
        refusal => refusal.to_string(),
    }
}

fn in_text(line: u32) -> String {
    if line == 0 { String::new() } else { format!(", line {line} of its text as it was built") }
}

impl RenderProblem {
    /// The file to change, and the line in it from 1, where known.
    pub fn location(&self) -> Option<(&TreePath, Option<u32>)> {
        let line = |line: u32| Some(line).filter(|line| *line > 0);
        match self {
            Self::ChartNotFetched { .. } | Self::KubeVersion { .. } => None,
            Self::Read(_) | Self::Variable(_) | Self::TooManyObjects { .. } | Self::TooManyBytes { .. } | Self::EngineBug { .. } => None,
            Self::NoDirectory { path } | Self::NoChart { path } | Self::Chart { path, .. } | Self::Helm { path, .. } => Some((path, None)),
            Self::WithSecretValues { path, .. } => Some((path, None)),
            Self::ValuesFrom { file, line, .. } => Some((file, *line)),
            Self::NoValuesFile { file } | Self::Manifest { file, .. } => Some((file, None)),
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
            RenderProblem::NoDirectory { .. } | RenderProblem::NoChart { .. } | RenderProblem::NoValuesFile { .. } => "PathMissing",
            RenderProblem::ChartNotFetched { .. } => "ChartNotAvailable",
            RenderProblem::Chart { .. }
            | RenderProblem::Helm { .. }
            | RenderProblem::KubeVersion { .. }
            | RenderProblem::WithSecretValues { .. } => "HelmRefused",
            RenderProblem::ValuesFrom { .. } => "ValuesRefused",
            RenderProblem::Kustomize(_) => "KustomizeRefused",
            RenderProblem::Yaml { .. }
            | RenderProblem::Manifest { .. }
            | RenderProblem::NotText { .. }
            | RenderProblem::NotAnObject { .. } => "InvalidManifest",
            RenderProblem::Substitution { .. } | RenderProblem::Variable(_) => "SubstitutionRefused",
            RenderProblem::Duplicate { .. } => "DuplicateObject",
            RenderProblem::NoNamespace { .. } => "NamespaceMissing",
            RenderProblem::TooManyObjects { .. } | RenderProblem::TooManyBytes { .. } => "AppTooLarge",
            RenderProblem::EngineBug { .. } => "EngineBug",
        };
        Self::new(Severity::Error, code, problem.to_string())
    }
}
