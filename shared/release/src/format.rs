//! Format names with versions, and the one way in which every document of this crate is read.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// A kind of document and the newest version of it that this build reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// The name before `.v<N>`: `capstan.dev/index`.
    pub name: &'static str,
    /// The version.
    pub version: u32,
    /// The most bytes of one document.
    pub limit: usize,
}

impl Format {
    /// A release: 5,000 objects of about 400 bytes each are 2 MiB; twice that is room for long names and policies.
    pub const RELEASE: Self = Self { name: "capstan.dev/release", version: 1, limit: 4 << 20 };
    /// An index: 5,000 apps of about 200 bytes, and withdrawals; it travels in one message, which holds 4 MiB with base64 (4/3). Since version 2
    /// an app may name a service account or be held, since version 3 its removal may have hooks.
    pub const INDEX: Self = Self { name: "capstan.dev/index", version: 3, limit: 2 << 20 };
    /// An index in which no removal has hooks, so that an agent of version 2 understands all of it.
    pub(crate) const INDEX_V2: Self = Self { version: 2, ..Self::INDEX };
    /// An index that asks for none of these, so that an agent of version 1 understands all of it.
    pub(crate) const INDEX_V1: Self = Self { version: 1, ..Self::INDEX };
    /// A freshness statement: fixed fields only.
    pub const FRESHNESS: Self = Self { name: "capstan.dev/freshness", version: 1, limit: 4 << 10 };
    /// A root document: a handful of keys and certificates of about 1 KiB.
    pub const ROOT: Self = Self { name: "capstan.dev/root", version: 1, limit: 64 << 10 };
    /// A sealed object: an object of at most 1.5 MiB in base64, and its header.
    pub const SEALED: Self = Self { name: "capstan.dev/sealed", version: 1, limit: 3 << 20 };

    /// `capstan.dev/index.v1`.
    pub fn tag(self) -> String {
        format!("{}.v{}", self.name, self.version)
    }

    /// The version that `tag` names, if it is one of this format.
    pub(crate) fn version_of(self, tag: &str) -> Option<u32> {
        tag.strip_prefix(self.name)?.strip_prefix(".v")?.parse().ok()
    }

    /// Encodes a document; `body` must not have a field `format`.
    pub(crate) fn encode(self, body: &impl serde::Serialize) -> Vec<u8> {
        let mut value = serde_json::to_value(body).unwrap_or_else(|error| unreachable!("BUG: a document has only text keys: {error}"));
        if let Value::Object(map) = &mut value {
            map.insert("format".to_owned(), Value::String(self.tag()));
        }
        shared_manifest::canonical_json(&value)
    }

    /// Reads a document of this format within its limit.
    pub(crate) fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, DecodeError> {
        if bytes.len() > self.limit {
            return Err(DecodeError::TooLarge { format: self.name, bytes: bytes.len(), limit: self.limit });
        }
        let malformed = |detail: String| DecodeError::Malformed { format: self.name, detail };
        let value: Value = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        let tag = value.get("format").and_then(Value::as_str).unwrap_or_default();
        match self.version_of(tag) {
            Some(version) if (1..=self.version).contains(&version) => {}
            Some(version) => return Err(DecodeError::Newer { format: self.name, version, supported: self.version }),
            None => return Err(malformed(format!("its format says {tag:?}"))),
        }
        serde_json::from_value(value).map_err(|error| malformed(error.to_string()))
    }
}

/// Why a document could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer Capstan.
    #[error("{format} version {version} is newer than version {supported}, the newest that this Capstan reads: upgrade it first")]
    Newer {
        /// The document's kind.
        format: &'static str,
        /// Its version.
        version: u32,
        /// The newest one that is understood.
        supported: u32,
    },
    /// Over the limit.
    #[error("a {format} of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// The document's kind.
        format: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Not such a document.
    #[error("not a readable {format}: {detail}")]
    Malformed {
        /// The kind that was expected.
        format: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The release needs something that this build does not know.
    #[error("the release needs the feature \"{feature}\", which this agent does not have: upgrade the agent")]
    UnknownFeature {
        /// The first such feature.
        feature: String,
    },
}
