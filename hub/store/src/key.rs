//! Keys, prefixes and the numbers that a store hands out. What the trees are called and what their values mean is left to the hub.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

/// The longest key in bytes, tree and slash included. Three names of 63 bytes, a tree and separators fit one and a half times. sled keeps
/// up to 257 keys in an index page: 257 × (384 + 32) = 107 KB, below the 128 KB where sled starts to write files that it never syncs.
pub const KEY_LIMIT: usize = 384;

/// The longest name of a tree in bytes; short, because each key of the tree repeats it.
pub const TREE_LIMIT: usize = 32;

/// Where a value lives: `tree/name`. Keys are ordered by their bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// The start of a key within one tree; it selects the keys that begin with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(String);

/// The text cannot be a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// No `tree/` in front, or the tree's name breaks its rule.
    #[error("\"{text}\" does not start with a tree: a lower-case letter, then up to 31 letters, digits or dashes, then a slash")]
    Tree {
        /// What was given, cut to 80 characters.
        text: String,
    },
    /// Nothing after the slash.
    #[error("\"{text}\" has no name after the tree")]
    NoName {
        /// What was given, cut to 80 characters.
        text: String,
    },
    /// A control character in the name; NUL would make stored keys ambiguous.
    #[error("\"{text}\" has a control character in its name")]
    Control {
        /// What was given, escaped and cut to 80 characters.
        text: String,
    },
    /// Longer than [`KEY_LIMIT`].
    #[error("a key of {bytes} bytes is longer than the limit of {KEY_LIMIT}")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
}

impl Key {
    /// The key `tree/name`.
    pub fn new(tree: &str, name: &str) -> Result<Self, InvalidKey> {
        format!("{tree}/{name}").parse()
    }

    /// The tree, without the slash.
    pub fn tree(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(tree, _)| tree)
    }

    /// What follows the tree's slash.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }

    /// The whole key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        match validate(text)? {
            "" => Err(InvalidKey::NoName { text: shown(text) }),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key's order is that of its text, so a range may start at any text.
impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Prefix {
    /// All keys of `tree`.
    pub fn tree(tree: &str) -> Result<Self, InvalidKey> {
        Self::new(tree, "")
    }

    /// The keys of `tree` whose name begins with `start`.
    pub fn new(tree: &str, start: &str) -> Result<Self, InvalidKey> {
        let text = format!("{tree}/{start}");
        validate(&text)?;
        Ok(Self(text))
    }

    /// Whether `key` begins with this prefix.
    pub fn contains(&self, key: &Key) -> bool {
        key.0.starts_with(&self.0)
    }

    /// The prefix as text, tree and slash included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&Key> for Prefix {
    /// The prefix that is the whole key, to watch one key.
    fn from(key: &Key) -> Self {
        Self(key.0.clone())
    }
}

/// The name part of a text whose tree, characters and length are in order.
fn validate(text: &str) -> Result<&str, InvalidKey> {
    let (tree, name) = text.split_once('/').ok_or_else(|| InvalidKey::Tree { text: shown(text) })?;
    let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    if tree.len() > TREE_LIMIT || !tree.starts_with(|c: char| c.is_ascii_lowercase()) || !tree.bytes().all(letters) {
        return Err(InvalidKey::Tree { text: shown(text) });
    }
    if name.chars().any(char::is_control) {
        return Err(InvalidKey::Control { text: shown(text) });
    }
    if text.len() > KEY_LIMIT {
        return Err(InvalidKey::TooLong { bytes: text.len() });
    }
    Ok(name)
}

fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

/// The number of the write that put a value. It rises by one with each request that changes a store (commit, term, blobs), so the version of
/// a key never comes back; 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub u64);

/// The fencing token of a leader. Each [`Store::acquire_term`](crate::Store::acquire_term) gives a higher one and shuts out all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Term(pub u64);

impl Version {
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Term {
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_tree_and_a_name() {
        let key: Key = "targets/gpu-a/llm".parse().unwrap();
        assert_eq!((key.tree(), key.name()), ("targets", "gpu-a/llm"));
        assert!(Prefix::tree("targets").unwrap().contains(&key));
        assert!(Prefix::new("targets", "gpu-").unwrap().contains(&key));
        assert!(!Prefix::new("targets", "gpu-b").unwrap().contains(&key));
        assert!(!Prefix::tree("target").unwrap().contains(&key), "a prefix ends at its tree's slash");
    }

    #[test]
    fn what_is_no_key_is_refused_by_the_rule_it_breaks() {
        let longest = format!("t/{}", "n".repeat(KEY_LIMIT - 2));
        assert!(longest.parse::<Key>().is_ok());
        assert_eq!(format!("{longest}n").parse::<Key>(), Err(InvalidKey::TooLong { bytes: KEY_LIMIT + 1 }));
        assert!(matches!("t/".parse::<Key>(), Err(InvalidKey::NoName { .. })));
        assert!(matches!("t/a\0b".parse::<Key>(), Err(InvalidKey::Control { .. })));
        let long_tree = format!("{}/n", "t".repeat(TREE_LIMIT + 1));
        for text in ["", "/n", "tree", "Tree/n", "1tree/n", "tr ee/n", &long_tree] {
            assert!(matches!(text.parse::<Key>(), Err(InvalidKey::Tree { .. })), "{text}");
        }
    }
}
