//! What can be seen of a rendered document from outside: kind, name and Helm's annotations. All of it is read, as only then it is known to be YAML,
//! but nothing is kept of what nobody asks for.

use std::vec::Drain;

use shared_manifest::{FromYaml, Text, has_duplicates};

/// What the annotations begin with that mean something to Helm.
const OF_HELM: &str = "helm.sh/";

/// The longest text that is kept, in bytes: `ValidatingAdmissionPolicyBinding` has 32, a hook of three events about as many.
const LONGEST: usize = 64;

/// A value, as far as it matters.
#[derive(Debug)]
pub(crate) enum Outside {
    Nothing,
    Text(Text),
    /// Longer than [`LONGEST`].
    LongText,
    /// A boolean, a number or a list.
    Other,
    Map(Entries),
}

/// The entries of a map that somebody may ask for.
#[derive(Debug)]
pub(crate) struct Entries {
    kept: Vec<(Text, Outside)>,
    has_texts_only: bool,
}

impl Outside {
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text(_) | Self::LongText)
    }

    /// The text, if it is one that was kept.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_map(&self) -> Option<&Entries> {
        match self {
            Self::Map(entries) => Some(entries),
            _ => None,
        }
    }
}

impl Entries {
    /// The value of one of the keys that are kept.
    pub(crate) fn get(&self, key: &str) -> Option<&Outside> {
        self.kept.iter().find(|(found, _)| found == key).map(|(_, value)| value)
    }

    /// Whether all values are texts, also those that are not kept.
    pub(crate) fn has_texts_only(&self) -> bool {
        self.has_texts_only
    }

    /// What means something to Helm.
    pub(crate) fn of_helm(&self) -> impl Iterator<Item = (&str, &Outside)> {
        self.kept.iter().filter(|(key, _)| key.starts_with(OF_HELM)).map(|(key, value)| (key.as_str(), value))
    }
}

fn is_asked_for(key: &str) -> bool {
    matches!(key, "apiVersion" | "kind" | "metadata" | "name" | "annotations") || key.starts_with(OF_HELM)
}

impl FromYaml for Outside {
    type Key = Text;

    fn key(text: &str) -> Text {
        Text::new(text)
    }

    fn null() -> Self {
        Self::Nothing
    }

    fn is_null(&self) -> bool {
        self.is_nothing()
    }

    fn bool(_: bool) -> Self {
        Self::Other
    }

    fn number(_: f64) -> Self {
        Self::Other
    }

    fn text(text: &str) -> Self {
        if text.len() <= LONGEST { Self::Text(Text::new(text)) } else { Self::LongText }
    }

    fn list(_: Drain<'_, Self>) -> Self {
        Self::Other
    }

    fn map(entries: Drain<'_, (Text, Self)>) -> Option<Self> {
        if has_duplicates(entries.as_slice()) {
            return None;
        }
        let has_texts_only = entries.as_slice().iter().all(|(_, value)| value.is_text());
        let any = entries.as_slice().iter().any(|(key, _)| is_asked_for(key));
        let kept = if any { entries.filter(|(key, _)| is_asked_for(key)).collect() } else { Vec::new() };
        Some(Self::Map(Entries { kept, has_texts_only }))
    }
}
