//! Reading single fields: presence, form and length are checked here, with the field's name in the error.

use bytes::Bytes;
use shared_model::{Digest, Timestamp};

/// A message does not say what it must.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field is not there.
    #[error("the field {0} is missing")]
    Missing(&'static str),
    /// A field has a value that it cannot have.
    #[error("the field {field} is wrong: {why}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A text or content is longer than its limit.
    #[error("the field {field} has {size} bytes, more than the limit of {limit}")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A list has more items than its limit.
    #[error("the field {field} has {count} items, more than the limit of {limit}")]
    TooMany {
        /// The field.
        field: &'static str,
        /// Its length.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// A message of a kind that this version does not know. Ignore it: a newer peer sends what an older one may miss.
    #[error("a message of an unknown kind")]
    UnknownKind,
}

pub(crate) fn present<T>(field: &'static str, value: Option<T>) -> Result<T, WireError> {
    value.ok_or(WireError::Missing(field))
}

pub(crate) fn invalid(field: &'static str) -> impl Fn(&dyn std::fmt::Display) -> WireError {
    move |why| WireError::Invalid { field, why: why.to_string() }
}

pub(crate) fn digest(field: &'static str, bytes: &Bytes) -> Result<Digest, WireError> {
    optional_digest(field, bytes)?.ok_or(WireError::Missing(field))
}

/// An empty field is "none".
pub(crate) fn optional_digest(field: &'static str, bytes: &Bytes) -> Result<Option<Digest>, WireError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let raw: [u8; 32] = bytes.as_ref().try_into().map_err(|_| WireError::Invalid { field, why: "a digest has 32 bytes".into() })?;
    Ok(Some(Digest::from_bytes(raw)))
}

pub(crate) fn write_digest(digest: &Digest) -> Bytes {
    Bytes::copy_from_slice(digest.as_bytes())
}

pub(crate) fn write_optional_digest(digest: Option<&Digest>) -> Bytes {
    digest.map(write_digest).unwrap_or_default()
}

pub(crate) fn text(field: &'static str, text: String, limit: usize) -> Result<String, WireError> {
    if text.len() > limit { Err(WireError::TooLong { field, size: text.len(), limit }) } else { Ok(text) }
}

pub(crate) fn optional_text(field: &'static str, value: Option<String>, limit: usize) -> Result<Option<String>, WireError> {
    value.map(|value| text(field, value, limit)).transpose()
}

pub(crate) fn name<T: std::str::FromStr<Err: std::fmt::Display>>(field: &'static str, text: &str) -> Result<T, WireError> {
    text.parse().map_err(|why: T::Err| WireError::Invalid { field, why: why.to_string() })
}

pub(crate) fn time(field: &'static str, nanoseconds: i64) -> Result<Timestamp, WireError> {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).map_err(|why| invalid(field)(&why))
}

/// Times from 1678 to 2261 are exact; others become the nearest of these.
pub(crate) fn write_time(time: Timestamp) -> i64 {
    let nanoseconds = time.as_nanosecond();
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

pub(crate) fn at_most<T>(field: &'static str, items: &[T], limit: usize) -> Result<(), WireError> {
    if items.len() > limit { Err(WireError::TooMany { field, count: items.len(), limit }) } else { Ok(()) }
}

pub(crate) fn content(field: &'static str, bytes: Bytes, limit: usize) -> Result<Bytes, WireError> {
    match bytes.len() {
        0 => Err(WireError::Missing(field)),
        size if size > limit => Err(WireError::TooLong { field, size, limit }),
        _ => Ok(bytes),
    }
}
