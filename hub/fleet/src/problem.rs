//! What is wrong in a fleet repository, said to the person who wrote it: where, what, how to mend it, and what stands still meanwhile.
//! Which rule finds what is left to the modules of the rules.

use std::fmt;

use hub_tree::TreePath;
use shared_model::{AppName, ClusterName, ProjectName, Reason, RegionName, RolloutName, Severity};

/// The kind of a problem. Closed: each code is documented once and stays the same word in CLI, API, page and metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemCode {
    /// The text is not YAML.
    InvalidYaml,
    /// A file or directory is there and could not be read.
    Unreadable,
    /// A file that should hold documents of ours holds none.
    EmptyFile,
    /// Nothing in the whole tree is a document of ours.
    NoFleet,
    /// The document is of another API, or of a version that this hub does not know.
    BadApiVersion,
    /// No kind of ours.
    UnknownKind,
    /// A field that the kind does not have.
    UnknownField,
    /// A field that must be there is not.
    MissingField,
    /// A value of another type than the field's.
    WrongType,
    /// None of the words that the field takes.
    UnknownValue,
    /// The right type, and against the field's rule.
    InvalidValue,
    /// Fields that exclude each other, or of which one is needed.
    FieldConflict,
    /// A document in a file where its kind may not stand.
    MisplacedDocument,
    /// A known kind, field or value that this version does not carry out. It is never dropped in silence.
    NotHonoured,
    /// Two documents of one kind have the same name; neither can be trusted.
    DuplicateName,
    /// A name that nothing has.
    UnknownReference,
    /// Something that is named exists and cannot be used because of problems of its own.
    BlockedReference,
    /// Apps depend on each other in a circle.
    DependencyCycle,
    /// The app runs on a cluster where one that it depends on does not.
    DependencyNotPlaced,
    /// No cluster matches the app.
    NoClusterMatches,
    /// No stage of the app's rollout takes a cluster.
    NoStageTakesCluster,
    /// A variable has no value on some cluster.
    UnsetVariable,
    /// The app's project does not permit it.
    NotPermitted,
    /// More problems than a file may list.
    TooManyProblems,
}

impl ProblemCode {
    /// All codes.
    pub const ALL: [Self; 24] = [
        Self::InvalidYaml,
        Self::Unreadable,
        Self::EmptyFile,
        Self::NoFleet,
        Self::BadApiVersion,
        Self::UnknownKind,
        Self::UnknownField,
        Self::MissingField,
        Self::WrongType,
        Self::UnknownValue,
        Self::InvalidValue,
        Self::FieldConflict,
        Self::MisplacedDocument,
        Self::NotHonoured,
        Self::DuplicateName,
        Self::UnknownReference,
        Self::BlockedReference,
        Self::DependencyCycle,
        Self::DependencyNotPlaced,
        Self::NoClusterMatches,
        Self::NoStageTakesCluster,
        Self::UnsetVariable,
        Self::NotPermitted,
        Self::TooManyProblems,
    ];

    /// The word used in every table, API and metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidYaml => "InvalidYaml",
            Self::Unreadable => "Unreadable",
            Self::EmptyFile => "EmptyFile",
            Self::NoFleet => "NoFleet",
            Self::BadApiVersion => "BadApiVersion",
            Self::UnknownKind => "UnknownKind",
            Self::UnknownField => "UnknownField",
            Self::MissingField => "MissingField",
            Self::WrongType => "WrongType",
            Self::UnknownValue => "UnknownValue",
            Self::InvalidValue => "InvalidValue",
            Self::FieldConflict => "FieldConflict",
            Self::MisplacedDocument => "MisplacedDocument",
            Self::NotHonoured => "NotHonoured",
            Self::DuplicateName => "DuplicateName",
            Self::UnknownReference => "UnknownReference",
            Self::BlockedReference => "BlockedReference",
            Self::DependencyCycle => "DependencyCycle",
            Self::DependencyNotPlaced => "DependencyNotPlaced",
            Self::NoClusterMatches => "NoClusterMatches",
            Self::NoStageTakesCluster => "NoStageTakesCluster",
            Self::UnsetVariable => "UnsetVariable",
            Self::NotPermitted => "NotPermitted",
            Self::TooManyProblems => "TooManyProblems",
        }
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What stands still because of a problem. Blocked things keep running as they are: nothing of them is changed and nothing removed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blocks {
    /// Everything: what all apps take from `Fleet` is not known.
    Fleet,
    /// The region's clusters.
    Region(RegionName),
    /// The cluster.
    Cluster(ClusterName),
    /// The apps of the project.
    Project(ProjectName),
    /// The apps that follow the rollout.
    Rollout(RolloutName),
    /// The app on every cluster.
    App(AppName),
    /// The app on these clusters; elsewhere it goes on.
    AppOn {
        /// The app.
        app: AppName,
        /// Where, in the order of names.
        clusters: Vec<ClusterName>,
    },
    /// Whatever the file defines, which cannot be told. While it stands, nothing in the fleet may be taken for removed.
    File(TreePath),
}

impl fmt::Display for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet => f.write_str("the whole fleet"),
            Self::Region(name) => write!(f, "region {name}"),
            Self::Cluster(name) => write!(f, "cluster {name}"),
            Self::Project(name) => write!(f, "project {name}"),
            Self::Rollout(name) => write!(f, "rollout {name}"),
            Self::App(name) => write!(f, "app {name}"),
            Self::AppOn { app, clusters } => write!(f, "app {app} on {}", some_of(clusters)),
            Self::File(path) => write!(f, "what {path} defines, and every removal"),
        }
    }
}

/// A place in a file of the fleet repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The file, from the root of the repository.
    pub file: TreePath,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Location {
    /// `apps/web/app.yaml:7:3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One problem. The order is that of files, then lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, from the root of the repository.
    pub file: TreePath,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// How serious it is. Only an error blocks.
    pub severity: Severity,
    /// Its kind.
    pub code: ProblemCode,
    /// What is wrong, with the facts.
    pub message: String,
    /// How to mend it, where that is known.
    pub hint: Option<String>,
    /// What stands still because of it.
    pub blocks: Option<Blocks>,
}

impl Problem {
    /// Where it is.
    pub fn location(&self) -> Location {
        Location { file: self.file.clone(), line: self.line, column: self.column }
    }
}

impl From<&Problem> for Reason {
    fn from(problem: &Problem) -> Self {
        Self::new(problem.severity, problem.code.as_str(), problem.to_string())
    }
}

impl fmt::Display for Problem {
    /// `apps/web/app.yaml:7:3: "spcae" is no field of App.spec (did you mean "space"?)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// How many names a sentence lists before it only counts: what fits in two lines of a terminal.
const NAMES_LISTED: usize = 5;

/// `a, b, c and 4 more`.
pub(crate) fn some_of<T: fmt::Display>(names: &[T]) -> String {
    let listed: Vec<String> = names.iter().take(NAMES_LISTED).map(ToString::to_string).collect();
    match names.len().saturating_sub(NAMES_LISTED) {
        0 => listed.join(", "),
        more => format!("{} and {more} more", listed.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_one_word() {
        let words: std::collections::BTreeSet<&str> = ProblemCode::ALL.into_iter().map(ProblemCode::as_str).collect();
        assert_eq!(words.len(), ProblemCode::ALL.len());
    }

    #[test]
    fn a_long_list_of_names_is_cut_and_counted() {
        assert_eq!(some_of(&["a", "b"]), "a, b");
        assert_eq!(some_of(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }
}
