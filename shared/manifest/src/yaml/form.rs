//! YAML as other crates want to have it: they say what becomes of scalars, lists and maps, and no value is made on the way.

use std::vec::Drain;

use super::Place;
use super::build::{Built, first_duplicate};
use super::scalar::{self, Plain};
use crate::tree::Text;

/// What can be made of YAML.
pub trait FromYaml: Sized {
    /// The key of an entry.
    type Key;

    /// A key, as text.
    fn key(text: &str) -> Self::Key;

    /// `null`, `~`, or nothing.
    fn null() -> Self;

    /// Whether it is [`FromYaml::null`].
    fn is_null(&self) -> bool;

    /// A boolean of the mode.
    fn bool(claim: bool) -> Self;

    /// A number; one without a fraction may have lost digits beyond the 53rd bit.
    fn number(number: f64) -> Self;

    /// Text.
    fn text(text: &str) -> Self;

    /// A sequence.
    fn list(items: Drain<'_, Self>) -> Self;

    /// A mapping, in the order of the text; `None` if a key is there twice.
    fn map(entries: Drain<'_, (Self::Key, Self)>) -> Option<Self>;
}

/// Whether a key is there twice, for those who do not see it otherwise.
pub fn has_duplicates<T>(entries: &[(Text, T)]) -> bool {
    first_duplicate(entries.len(), |at| &entries[at].0).is_some()
}

impl<T: FromYaml> Built for T {
    type Key = T::Key;

    const PLACED: bool = false;

    fn key(_: Place, text: &str) -> T::Key {
        T::key(text)
    }

    fn text(_: Place, text: &str) -> Self {
        T::text(text)
    }

    fn plain(_: Place, meaning: Plain, written: &str) -> Option<Self> {
        Some(match meaning {
            Plain::Null => T::null(),
            Plain::Bool(claim) => T::bool(claim),
            Plain::Int(number) => T::number(number.as_f64().unwrap_or_default()),
            Plain::Float(float) => T::number(scalar::number(float).as_f64().unwrap_or_default()),
            Plain::NotFinite(_) => return None,
            Plain::Timestamp(timestamp) => T::text(&timestamp),
            Plain::Merge | Plain::Text => T::text(written),
        })
    }

    fn tagged(place: Place, meaning: Plain, written: &str) -> Option<Self> {
        Self::plain(place, meaning, written)
    }

    fn is_nothing(&self) -> bool {
        self.is_null()
    }

    fn list(_: Place, items: Drain<'_, Self>) -> Self {
        T::list(items)
    }

    fn map(_: Place, entries: Drain<'_, (T::Key, Self)>) -> Option<Self> {
        T::map(entries)
    }
}
