//! YAML as Kubernetes reads it: one loader with two readings (kubectl's and kustomize's), bounds on everything, and a writer whose text
//! both readings give back. What the values mean is left to the rest of the crate; comments are not kept.
//!
//! The path of a text: `fast` reads the usual style at once. For all else, `load` turns parser events into an arena of nodes and `build` walks the
//! arena (aliases, merge keys, duplicate keys, budgets). Both make values, trees, spanned nodes, or by `form` what others want; `scalar` says
//! what a plain scalar is, `deeper` mends what only the parser refuses.

mod build;
mod deeper;
mod fast;
mod form;
mod load;
mod scalar;
mod write;

use serde_json::{Number, Value};

use crate::tree::Tree;

use build::{Built, Comparable};

pub use form::{FromYaml, has_duplicates};
pub use write::{to_yaml, to_yaml_documents, write_yaml, write_yaml_documents, write_yaml_documents_and_keep};

/// Whose reading of YAML applies. They differ in booleans, keys, dates, and the place of merge keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum YamlMode {
    /// As `kubectl apply -f` reads (YAML 1.1, `sigs.k8s.io/yaml`): `y`, `yes`, `on`, `n`, `no`, `off` are booleans, also as keys (`n: 1` is
    /// `"false": 1`); numeric and boolean keys become text; a merge key overrides what stands before it. Unlike kubectl, which silently takes
    /// the last of two equal keys, a duplicate key is an error.
    Kubernetes,
    /// As `kustomize build` reads (`kyaml`): booleans are only `true` and `false`, keys must be text, dates become RFC 3339 timestamps, and a
    /// merge key never overrides an explicit key.
    Kustomize,
}

/// Bounds on one text. Each limit itself still passes; one more is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct YamlBudget {
    /// Length of the text in bytes.
    pub bytes: usize,
    /// Values (scalars, lists, maps) over all documents, each use of an alias counted anew; keys are not counted. Entries taken over by merge
    /// keys are bounded by the same number, counted apart.
    pub nodes: usize,
    /// Lists and maps around a value; `{a: [1]}` needs 2. At most [`YamlBudget::DEPTH_CEILING`].
    pub depth: usize,
    /// Bytes of all keys and scalars after unescaping, each use of an alias counted anew.
    pub scalar_bytes: usize,
    /// Documents, empty ones included.
    pub documents: usize,
}

impl YamlBudget {
    /// No budget allows more nesting than this: a level costs about 1 KiB of stack here and in what walks the values later, so 255 levels
    /// stay below 256 KiB.
    pub const DEPTH_CEILING: usize = 255;

    /// One file of manifests: 5 MiB of text (Helm's limit for a file); 250,000 values (5 MiB of the densest generated CRDs, 25 bytes a value, is
    /// 210,000); 64 levels (the deepest pod templates inside CRDs need about 50); 64 MiB of scalars (each byte of the file used by 12 aliases);
    /// 10,000 documents (twice the 5,000 objects of a bundle).
    pub const MANIFEST: Self = Self { bytes: 5 << 20, nodes: 250_000, depth: 64, scalar_bytes: 64 << 20, documents: 10_000 };

    /// One file that people write to configure Capstan (Fleet, App, Cluster): 1 MiB (a list of 10,000 clusters of 100 bytes), 50,000 values of
    /// 20 bytes, 32 levels, 4 MiB of scalars, 1,000 documents.
    pub const CONFIGURATION: Self = Self { bytes: 1 << 20, nodes: 50_000, depth: 32, scalar_bytes: 4 << 20, documents: 1_000 };

    /// The output of an engine for one app: 10 MiB (the limit of a rendered bundle) and twice the values and scalars of a file.
    pub const BUNDLE: Self = Self { bytes: 10 << 20, nodes: 500_000, depth: 64, scalar_bytes: 128 << 20, documents: 10_000 };
}

/// One document of a text. Documents without content (`---` alone, comments only, `null`) are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it says.
    pub value: Value,
    /// Line of its first value, from 1.
    pub line: u32,
}

/// One document of a text, as a tree. Documents without content are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct TreeDocument {
    /// What it says.
    pub tree: Tree,
    /// Line of its first value, from 1.
    pub line: u32,
}

/// A value with the place where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The value.
    pub content: Content,
}

/// What a [`Node`] holds. Maps keep the order of the text; keys are unique.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// `null`, `~`, or nothing.
    Null,
    /// A boolean of the mode.
    Bool(bool),
    /// A number; one without a fraction is an integer if 64 bits hold it.
    Number(Number),
    /// Text.
    String(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping.
    Map(Vec<(Key, Node)>),
}

/// A key of a map and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key as text.
    pub text: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Node {
    /// The value without places.
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(claim) => Value::Bool(*claim),
            Content::Number(number) => Value::Number(number.clone()),
            Content::String(text) => Value::String(text.clone()),
            Content::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Content::Map(entries) => Value::Object(entries.iter().map(|(key, node)| (key.text.clone(), node.to_value())).collect()),
        }
    }
}

/// Why a text cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct YamlError {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong there.
    pub problem: YamlProblem,
}

/// What can be wrong with a text. The messages name keys, never values: a value may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum YamlProblem {
    /// No YAML.
    #[error("not valid YAML: {message}; check the indentation, quotes and brackets here and in the line above")]
    Syntax {
        /// The parser's words.
        message: String,
    },
    /// The same key twice in one map, after keys became text.
    #[error("the key \"{key}\" is already set in line {first_line}; keep one of the two")]
    DuplicateKey {
        /// The key.
        key: String,
        /// Line of its first use.
        first_line: u32,
    },
    /// An alias to a list or map that it is itself a part of.
    #[error("this alias contains itself; write the value out")]
    RecursiveAlias,
    /// A list, a map or `null` as a key.
    #[error("a key must be text, not {found}; quote it")]
    KeyNotScalar {
        /// What stands there.
        found: &'static str,
    },
    /// A number or boolean as a key, which kustomize refuses.
    #[error("the key {key} is a {found} to kustomize, which takes text only; quote it")]
    KeyNotText {
        /// The key as written.
        key: String,
        /// What it is.
        found: &'static str,
    },
    /// The value of a merge key is no map and no list of maps.
    #[error("\"<<\" merges a map or a list of maps; give it an alias to a map, or quote the key to mean it literally")]
    MergeNotMap,
    /// Two merge keys in one map, which kustomize refuses.
    #[error("a second \"<<\" in one map, the first is in line {first_line}; merge a list instead: \"<<: [*a, *b]\"")]
    DuplicateMerge {
        /// Line of the first.
        first_line: u32,
    },
    /// A tag whose type the scalar does not have.
    #[error("this value is no {tag}; remove the tag or correct the value")]
    TagMismatch {
        /// The tag, as `!!int`.
        tag: &'static str,
    },
    /// Infinity or not-a-number, which JSON lacks.
    #[error("infinity and not-a-number do not exist in Kubernetes; quote the value to mean the text")]
    NotFinite,
    /// The text is longer than its budget.
    #[error("the text has {bytes} bytes, more than {limit}; split the file")]
    TooManyBytes {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// More values than the budget.
    #[error("more than {limit} values, aliases expanded; split the file or write fewer aliases")]
    TooManyNodes {
        /// The limit.
        limit: usize,
    },
    /// Deeper than the budget.
    #[error("nested deeper than {limit} lists and maps; flatten the structure")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// More scalar bytes than the budget.
    #[error("more than {limit} bytes of text, aliases expanded; split the file or write fewer aliases")]
    TooManyScalarBytes {
        /// The limit.
        limit: usize,
    },
    /// More documents than the budget.
    #[error("more than {limit} documents; split the file")]
    TooManyDocuments {
        /// The limit.
        limit: usize,
    },
}

/// Reads all documents of `text`; JSON is read too, if it escapes the control characters from U+007F on and U+FFFE, which YAML does not allow as
/// they are. Empty documents are left out.
///
/// # Errors
/// The first problem, with its place; nothing of the text is returned then.
pub fn parse_yaml(text: &str, mode: YamlMode, budget: YamlBudget) -> Result<Vec<Document>, YamlError> {
    let documents = read::<Value>(text, mode, budget)?;
    Ok(documents.into_iter().filter(|(value, _)| !value.is_nothing()).map(|(value, place)| Document { value, line: place.line }).collect())
}

/// Reads all documents of `text` as trees, whose scalars stay as they are written. Otherwise as [`parse_yaml`].
///
/// # Errors
/// As [`parse_yaml`].
pub fn parse_trees(text: &str, mode: YamlMode, budget: YamlBudget) -> Result<Vec<TreeDocument>, YamlError> {
    let documents = read::<Tree>(text, mode, budget)?;
    Ok(documents.into_iter().filter(|(tree, _)| !tree.is_nothing()).map(|(tree, place)| TreeDocument { tree, line: place.line }).collect())
}

/// Reads all documents of `text` as whatever the caller makes of them. Otherwise as [`parse_yaml`].
///
/// # Errors
/// As [`parse_yaml`].
pub fn parse_yaml_as<T: FromYaml>(text: &str, mode: YamlMode, budget: YamlBudget) -> Result<Vec<T>, YamlError> {
    let documents = read::<T>(text, mode, budget)?;
    Ok(documents.into_iter().map(|(value, _)| value).filter(|value| !value.is_null()).collect())
}

fn read<B: Built>(text: &str, mode: YamlMode, budget: YamlBudget) -> Result<Vec<(B, Place)>, YamlError> {
    fast::read(text, mode, budget).map_or_else(|| read_generally(text, mode, budget), Ok)
}

fn read_generally<B: Built>(text: &str, mode: YamlMode, budget: YamlBudget) -> Result<Vec<(B, Place)>, YamlError> {
    let read = |text: &str| build::build(&load::load(text, mode, budget)?, mode, budget);
    let mut outcome = read(text);
    let mut mended = None;
    for _ in 0..deeper::MOST_LINES {
        let Err(error) = &outcome else { break };
        let Some(text) = deeper::deeper(mended.as_deref().unwrap_or(text), error) else { break };
        outcome = read(&text);
        mended = Some(text);
    }
    outcome
}

/// For tests and fuzzing: whether the fast path, where it reads `text`, gives what the general path gives, in all modes and forms and also
/// with narrow budgets.
///
/// # Errors
/// What differs.
#[doc(hidden)]
pub fn fast_and_general_agree(text: &str) -> Result<(), String> {
    let narrow = YamlBudget { bytes: 4096, nodes: 12, depth: 3, scalar_bytes: 48, documents: 2 };
    for budget in [YamlBudget::MANIFEST, narrow] {
        for mode in [YamlMode::Kubernetes, YamlMode::Kustomize] {
            if let Some(nodes) = fast::read::<Node>(text, mode, budget) {
                let general = load::load(text, mode, budget).map_err(|error| format!("{mode:?} {text:?} {error}"))?;
                agree(nodes, &general, text, mode, budget)?;
                agree(fast::read::<Tree>(text, mode, budget).unwrap_or_default(), &general, text, mode, budget)?;
                agree(fast::read::<Value>(text, mode, budget).unwrap_or_default(), &general, text, mode, budget)?;
            }
        }
    }
    Ok(())
}

fn agree<B: Comparable + std::fmt::Debug>(
    fast: Vec<(B, Place)>,
    general: &load::Stream<'_>,
    text: &str,
    mode: YamlMode,
    budget: YamlBudget,
) -> Result<(), String> {
    let content = |documents: Vec<(B, Place)>| {
        documents.into_iter().filter(|(value, _)| !value.is_nothing()).map(|(value, place)| (value, place.line)).collect::<Vec<_>>()
    };
    let (fast, general) = (content(fast), build::build::<B>(general, mode, budget).map(content));
    let same = |(a, b): (&(B, u32), &(B, u32))| a.1 == b.1 && a.0.agrees(&b.0);
    if general.as_ref().is_ok_and(|general| general.len() == fast.len() && fast.iter().zip(general).all(same)) {
        return Ok(());
    }
    Err(format!("{mode:?}, {budget:?}\n{text:?}\nfast    {fast:?}\ngeneral {general:?}"))
}

/// For tests: whether the fast path reads `text`.
#[doc(hidden)]
pub fn fast_takes(text: &str, mode: YamlMode) -> bool {
    fast::read::<Tree>(text, mode, YamlBudget::MANIFEST).is_some()
}

/// The number that a plain scalar is, if it is one.
pub(crate) fn number_of(text: &str) -> Option<Number> {
    match scalar::resolve(text, YamlMode::Kustomize) {
        scalar::Plain::Int(number) => Some(number),
        scalar::Plain::Float(float) => Some(scalar::number(float)),
        _ => None,
    }
}

/// A date in RFC 3339; what is none stays as it is.
pub(crate) fn timestamp_of(text: &str) -> String {
    scalar::timestamp(text).unwrap_or_else(|| text.to_owned())
}

/// Reads all documents of `text` with the place of every field, for formats that report problems by line and column. An aliased value has the
/// place of its anchor. Empty documents are left out.
///
/// # Errors
/// The first problem, with its place.
pub fn parse_yaml_spanned(text: &str, mode: YamlMode, budget: YamlBudget) -> Result<Vec<Node>, YamlError> {
    let documents = read::<Node>(text, mode, budget)?;
    Ok(documents.into_iter().map(|(node, _)| node).filter(|node| !node.is_nothing()).collect())
}

/// A position in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    line: u32,
    column: u32,
}

impl Place {
    const START: Self = Self { line: 1, column: 1 };

    fn error(self, problem: YamlProblem) -> YamlError {
        YamlError { line: self.line, column: self.column, problem }
    }
}
