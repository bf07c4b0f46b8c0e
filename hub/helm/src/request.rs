//! What a render of a chart is asked with.

use hub_gotemplate::Limits;

use crate::{Capabilities, Chance};

/// One render of a chart.
#[derive(Debug, Clone)]
pub struct Request {
    /// The name of the release: at most 53 characters of lower-case letters, digits, `-` and `.`.
    pub release_name: String,
    /// The namespace that objects go to unless they say otherwise.
    pub namespace: String,
    /// What is laid over the chart's own values, in order; later ones win.
    pub values: Vec<ValuesLayer>,
    /// What the chart is told of the cluster.
    pub capabilities: Capabilities,
    /// Whether the files in `crds/` are among the results.
    pub include_crds: bool,
    /// Whether the chart is told that an earlier release is there.
    pub is_upgrade: bool,
    /// Whether the values are not checked against the schemas of the charts.
    pub skip_schema: bool,
    /// Where random text, keys and the time come from. Without it such functions fail and say why.
    pub chance: Option<Chance>,
    /// What the templates may take in all.
    pub budget: Limits,
}

impl Request {
    /// A request with the chart's own values, for the cluster that `helm template` assumes, without anything random.
    pub fn new(release_name: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self {
            release_name: release_name.into(),
            namespace: namespace.into(),
            values: Vec::new(),
            capabilities: Capabilities::assumed(),
            include_crds: false,
            is_upgrade: false,
            skip_schema: false,
            chance: None,
            budget: Limits::default(),
        }
    }
}

/// Values that are laid over what is there.
#[derive(Clone, PartialEq)]
pub enum ValuesLayer {
    /// A file of values, in one or more documents, as `-f` takes it.
    File {
        /// Its name, for messages.
        name: String,
        /// What it holds.
        text: String,
    },
    /// A map of values.
    Inline(serde_json::Value),
    /// `a.b=1,c[0]=x` as `--set` takes it.
    Set(String),
    /// The same where every value is text, as `--set-string` takes it.
    SetString(String),
    /// `a={"b":1}` or `{"a":{"b":1}}` as `--set-json` takes it.
    SetJson(String),
    /// A value that is the content of a file, as `--set-file` takes it.
    SetFile {
        /// Where it goes, such as `a.b`.
        key: String,
        /// What the file holds.
        content: Vec<u8>,
    },
    /// `a.b=text` where nothing in the text means anything, as `--set-literal` takes it.
    SetLiteral(String),
}

/// Values may be secrets: only the form and the names are printed.
impl std::fmt::Debug for ValuesLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { name, text } => write!(f, "File({name}, {} bytes)", text.len()),
            Self::Inline(_) => f.write_str("Inline(..)"),
            Self::Set(_) => f.write_str("Set(..)"),
            Self::SetString(_) => f.write_str("SetString(..)"),
            Self::SetJson(_) => f.write_str("SetJson(..)"),
            Self::SetFile { key, content } => write!(f, "SetFile({key}, {} bytes)", content.len()),
            Self::SetLiteral(_) => f.write_str("SetLiteral(..)"),
        }
    }
}
