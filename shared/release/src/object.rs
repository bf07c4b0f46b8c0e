//! Objects as they are stored and sent: canonical JSON, and for Secrets sealed.

use serde_json::Value;
use shared_manifest::{InvalidObject, Object, canonical_json};
use shared_model::{Digest, ObjectKey};

use crate::{AppKey, SealError};

/// The largest object in bytes of canonical JSON: etcd's request limit of 1.5 MiB, above which no API server takes it.
pub const OBJECT_LIMIT: usize = 3 << 19;

/// The blob of `object` and its digest. A Secret is sealed with `key`; everything else is plain.
pub fn encode_object(object: &Object, key: &AppKey) -> Result<(Digest, Vec<u8>), ObjectError> {
    let plain = canonical_json(object.value());
    if plain.len() > OBJECT_LIMIT {
        return Err(ObjectError::TooLarge { object: object.key().to_string(), bytes: plain.len() });
    }
    let blob = if object.is_secret() { key.seal(&object.key(), &plain) } else { plain };
    Ok((Digest::of(&blob), blob))
}

/// The object in `blob`, which was stored under `digest`. `sealed_with` is the key if the release says that it is sealed.
pub fn decode_object(expected: &ObjectKey, digest: &Digest, blob: &[u8], sealed_with: Option<&AppKey>) -> Result<Object, ObjectError> {
    if Digest::of(blob) != *digest {
        return Err(ObjectError::WrongDigest { object: expected.to_string(), digest: *digest });
    }
    let opened;
    let plain = match sealed_with {
        Some(key) => {
            opened = key.open(expected, blob)?;
            &opened[..]
        }
        None => blob,
    };
    let value: Value = serde_json::from_slice(plain).map_err(|_| ObjectError::Malformed { object: expected.to_string(), source: None })?;
    let object =
        Object::from_value(value).map_err(|source| ObjectError::Malformed { object: expected.to_string(), source: Some(source) })?;
    if object.value()["metadata"]["name"].as_str().is_none_or(str::is_empty) {
        return Err(ObjectError::Nameless { object: expected.to_string() });
    }
    if object.key() != *expected {
        return Err(ObjectError::OtherObject { expected: expected.to_string(), found: object.key().to_string() });
    }
    Ok(object)
}

/// Why an object cannot be stored or read. No message holds content.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// Over the limit.
    #[error("{object} has {bytes} bytes; an API server takes at most 1.5 MiB: split it")]
    TooLarge {
        /// The object.
        object: String,
        /// Its size.
        bytes: usize,
    },
    /// The bytes are others than the digest says.
    #[error("the stored content of {object} is damaged: it does not have the digest {digest}; it is fetched again")]
    WrongDigest {
        /// The object.
        object: String,
        /// What was expected.
        digest: Digest,
    },
    /// Not an object.
    #[error("the stored content of {object} is no Kubernetes object")]
    Malformed {
        /// The object.
        object: String,
        /// What is missing.
        #[source]
        source: Option<InvalidObject>,
    },
    /// Another object than the release says.
    #[error("the release says {expected} and its content is {found}")]
    OtherObject {
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The server would choose its name, so that nobody could say what was written.
    #[error("the stored content of {object} has no name of its own")]
    Nameless {
        /// The object.
        object: String,
    },
    /// Not to be opened.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Why `key` names no single object: the API server reads names as segments of a path, so that one with a slash would name a subresource or an
/// object elsewhere, and one that is empty all objects (`apimachinery/pkg/api/validation/path`).
pub(crate) fn misnamed(key: &ObjectKey) -> Option<String> {
    let good =
        |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains(['/', '%']) && !segment.chars().any(char::is_control);
    let bad = [Some(key.name.as_str()), key.namespace.as_deref()].into_iter().flatten().find(|segment| !good(segment))?;
    Some(format!("the {} {:?} names no single object", key.kind, bad.chars().take(80).collect::<String>()))
}
