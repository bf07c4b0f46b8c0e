//! Why a build is refused: what, where, and through which kustomizations it was reached. Finding problems is left to the modules that know.

use std::fmt;

use hub_tree::{ReadError, TreePath};
use shared_manifest::{InvalidObject, YamlError};

/// A refused build.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub struct BuildError {
    /// The file that has to change.
    pub file: TreePath,
    /// Line in it, from 1, where known.
    pub line: Option<u32>,
    /// The kustomizations that led there, from the one that was asked for; `file` may be the last of them.
    pub chain: Vec<TreePath>,
    /// What is wrong.
    pub reason: Box<Reason>,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.reason)?;
        let way: Vec<&str> = self.chain.iter().filter(|step| **step != self.file).map(TreePath::as_str).collect();
        if way.is_empty() { Ok(()) } else { write!(f, " (reached through {})", way.join(" → ")) }
    }
}

/// Something that is allowed and worth a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file it is about.
    pub file: TreePath,
    /// What to know.
    pub text: String,
}

/// What can be wrong with a kustomization and what it reads.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Reason {
    /// The tree refused or could not tell.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No YAML.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// A text file that is no text.
    #[error("{path} is not UTF-8 text; convert it")]
    NotText {
        /// The file.
        path: TreePath,
    },
    /// A directory without a kustomization file.
    #[error("no kustomization.yaml, kustomization.yml or Kustomization in {directory}; add one, or list the manifest files themselves")]
    NoKustomization {
        /// The directory.
        directory: TreePath,
    },
    /// A directory with more than one.
    #[error("{} in one directory; keep one of them", .names.join(" and "))]
    SeveralKustomizations {
        /// The file names.
        names: Vec<String>,
    },
    /// A kustomization that says nothing.
    #[error("the kustomization is empty; list at least one resource")]
    EmptyKustomization,
    /// Another kind or version than a kustomization's.
    #[error("{field} is \"{found}\" and should be {wanted}")]
    WrongHeader {
        /// `kind` or `apiVersion`.
        field: &'static str,
        /// What is written.
        found: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A Component in `resources`, or a Kustomization in `components`.
    #[error("{directory} holds a {found}; list it under `{belongs}`")]
    WrongList {
        /// The directory.
        directory: TreePath,
        /// Its kind.
        found: &'static str,
        /// The field where it belongs.
        belongs: &'static str,
    },
    /// A field that kustomize does not know.
    #[error("{within} has no field \"{field}\"{}", did_you_mean(.nearest))]
    UnknownField {
        /// What was being read.
        within: &'static str,
        /// The field.
        field: String,
        /// The nearest known name.
        nearest: Option<&'static str>,
    },
    /// A field of another type.
    #[error("{field} must be {wanted}, not {found}{hint}")]
    WrongType {
        /// The field.
        field: String,
        /// What it must be.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
        /// What to do, with its comma, or nothing.
        hint: &'static str,
    },
    /// Something kustomize can and this build cannot or will not.
    #[error("{what} is not supported: {why}")]
    Unsupported {
        /// The field or feature.
        what: String,
        /// Why, and what to do instead.
        why: &'static str,
    },
    /// A base or file of another repository.
    #[error("\"{reference}\" is remote; {why}")]
    Remote {
        /// As written, without a password.
        reference: String,
        /// Why it is not to be had, and what to do.
        why: String,
    },
    /// A file of another repository where a directory is wanted.
    #[error("{path} is a file, and a remote base is a directory with a kustomization; name its directory, or vendor the file")]
    RemoteFile {
        /// The file.
        path: TreePath,
    },
    /// Nothing at a path.
    #[error("{path} does not exist; {field} names it")]
    Missing {
        /// The path in the tree.
        path: TreePath,
        /// The field that names it.
        field: &'static str,
    },
    /// A directory where a file was wanted.
    #[error("{path} is a directory and {field} wants a file")]
    NotAFile {
        /// The path in the tree.
        path: TreePath,
        /// The field that names it.
        field: &'static str,
    },
    /// A file outside of the kustomization's own directory.
    #[error("{path} is not in or below {root}; a kustomization may read files only there. Move the file, or make a base of its directory")]
    OutsideRoot {
        /// The file.
        path: TreePath,
        /// The kustomization's directory.
        root: TreePath,
    },
    /// A kustomization that includes itself.
    #[error("{directory} contains {visited}, which is being built already: the kustomizations include each other")]
    Cycle {
        /// The directory asked for.
        directory: TreePath,
        /// The one it would be inside of.
        visited: TreePath,
    },
    /// A named limit is passed.
    #[error("more than {limit} {what}; {remedy}")]
    TooMuch {
        /// The unit.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// What to do.
        remedy: &'static str,
    },
    /// A document that is no Kubernetes object.
    #[error(transparent)]
    NotAnObject(#[from] InvalidObject),
    /// Two resources with one identity.
    #[error("{id} is there twice: {first} and {second}; remove or rename one")]
    Duplicate {
        /// The identity.
        id: String,
        /// Where the first comes from.
        first: String,
        /// Where the second comes from.
        second: String,
    },
    /// A generator that would replace something by accident.
    #[error("{id} exists already ({first}); set `behavior: merge` or `behavior: replace`, or choose another name")]
    GeneratedTwice {
        /// The identity.
        id: String,
        /// Where the existing one comes from.
        first: String,
    },
    /// A generator that wants to change what is not there.
    #[error("{id} does not exist, so there is nothing to merge into or to replace; remove `behavior`, or correct the name")]
    NothingToMerge {
        /// The identity.
        id: String,
    },
    /// A generator's sources are wrong.
    #[error("generator \"{name}\": {problem}")]
    Generator {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A chart that cannot be rendered.
    #[error("the chart \"{name}\" in helmCharts: {problem}")]
    Chart {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A patch that is wrong by itself.
    #[error("{patch}: {problem}")]
    Patch {
        /// Which patch.
        patch: String,
        /// What is wrong.
        problem: String,
    },
    /// A patch for something that is not there, or there several times.
    #[error("no unique target for the patch of {id}: {found} resources match; {}", if *.found == 0 { "correct kind, name or namespace" } else { "add a namespace, or name a target" })]
    PatchTarget {
        /// The identity the patch names.
        id: String,
        /// How many match.
        found: usize,
    },
    /// A strategic merge of two kinds of values.
    #[error("cannot merge into {field} of {id}: it is {base} there and {patch} in the patch")]
    Merge {
        /// The resource.
        id: String,
        /// The field.
        field: String,
        /// Type in the resource.
        base: &'static str,
        /// Type in the patch.
        patch: &'static str,
    },
    /// An operation of a JSON patch that does not apply.
    #[error("operation {operation} of the JSON patch does not apply to {id}: {problem}")]
    JsonPatch {
        /// The resource.
        id: String,
        /// The operation, as `replace /spec/replicas`.
        operation: String,
        /// What is wrong.
        problem: String,
    },
    /// A field path that leads through something that is no list or map.
    #[error("field {path} of {id}: {problem}")]
    Field {
        /// The path.
        path: String,
        /// The resource.
        id: String,
        /// What is wrong.
        problem: String,
    },
    /// Field specifications that contradict each other.
    #[error("the field specifications of {path} contradict each other in `create`; make them equal")]
    FieldSpecs {
        /// The path.
        path: String,
    },
    /// A replacement that cannot be carried out.
    #[error("replacement: {problem}")]
    Replacement {
        /// What is wrong.
        problem: String,
    },
    /// A variable that cannot be defined or resolved.
    #[error("variable {name}: {problem}")]
    Variable {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A reference by name that could mean several resources.
    #[error("field {path} of {id} names \"{name}\", which may be any of {}; use names that differ, or set the namespace", .candidates.join(", "))]
    Ambiguous {
        /// The path.
        path: String,
        /// The resource that refers.
        id: String,
        /// The name.
        name: String,
        /// The resources it may mean.
        candidates: Vec<String>,
    },
    /// A selector that is no regular expression or label selector.
    #[error("\"{text}\" is no valid {what}: {problem}")]
    Selector {
        /// As written.
        text: String,
        /// Which language.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A validator that changes something, or refuses.
    #[error("the validator {validator} {problem}")]
    Validator {
        /// Its configuration.
        validator: String,
        /// What it did.
        problem: String,
    },
    /// What is laid over the kustomization is wrong.
    #[error("{layer} of what is laid over the kustomization: {reason}")]
    Layer {
        /// Which part: `patches[0]`.
        layer: String,
        /// What is wrong with it.
        reason: Box<Reason>,
    },
    /// Nothing to set replicas of.
    #[error("`replicas` names \"{name}\", and no Deployment, ReplicaSet, ReplicationController or StatefulSet has this name")]
    NoReplicas {
        /// The name.
        name: String,
    },
    /// Sort options that do not fit.
    #[error("sortOptions: {problem}")]
    Sort {
        /// What is wrong.
        problem: &'static str,
    },
}

fn did_you_mean(nearest: &Option<&'static str>) -> String {
    nearest.map_or(String::new(), |name| format!("; did you mean \"{name}\"?"))
}

/// A reason on its way up, with the place if it is known better than "in this kustomization".
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) file: Option<TreePath>,
    pub(crate) line: Option<u32>,
    /// Filled in by the kustomizations on the way up, the innermost first.
    pub(crate) chain: Vec<TreePath>,
    pub(crate) reason: Box<Reason>,
}

impl Fault {
    pub(crate) fn at(line: u32, reason: impl Into<Reason>) -> Self {
        Self { line: Some(line).filter(|line| *line > 0), ..Self::from(reason.into()) }
    }

    /// Names the file, unless it is known already.
    pub(crate) fn in_file(mut self, file: &TreePath) -> Self {
        self.file.get_or_insert_with(|| file.clone());
        self
    }

    /// Names the line, unless a place is known already.
    pub(crate) fn or_line(mut self, line: u32) -> Self {
        if self.file.is_none() && self.line.is_none() && line > 0 {
            self.line = Some(line);
        }
        self
    }

    /// The fault as one of what is laid over a kustomization: it stands in no file of the tree.
    pub(crate) fn in_layer(self, layer: String) -> Self {
        Self { chain: self.chain, ..Self::from(Reason::Layer { layer, reason: self.reason }) }
    }

    /// The fault as seen through the kustomization `file`.
    pub(crate) fn through(mut self, file: &TreePath) -> Self {
        self.chain.push(file.clone());
        self.in_file(file)
    }
}

impl<R: Into<Reason>> From<R> for Fault {
    fn from(reason: R) -> Self {
        let reason = reason.into();
        let line = if let Reason::Yaml(error) = &reason { Some(error.line) } else { None };
        Self { file: None, line, chain: Vec::new(), reason: Box::new(reason) }
    }
}
