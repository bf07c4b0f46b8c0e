//! The keys that open an agent's sealed objects: those of the apps in its index and no others.

use std::collections::BTreeMap;
use std::fmt;

use shared_model::Digest;
use zeroize::Zeroizing;

/// The most keys in a set: an index of 1,000 apps, each with its key and the one before it.
pub const KEY_LIMIT: usize = 2_000;

/// Bytes that never show themselves and are wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes of a secret.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the one who uses them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// One app's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppKey {
    /// The key's id, as it stands in sealed objects.
    pub id: String,
    /// The key.
    pub secret: Secret,
}

/// All keys that an agent should hold, by id, with a digest over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet {
    keys: BTreeMap<String, Secret>,
    digest: Digest,
}

/// The keys are no set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// More than [`KEY_LIMIT`].
    #[error("a key set holds at most {KEY_LIMIT} keys, this one has {0}")]
    TooMany(usize),
    /// Two keys with one id.
    #[error("the key id \"{0}\" occurs twice")]
    Twice(String),
}

impl KeySet {
    /// The set of `keys`.
    pub fn new(keys: impl IntoIterator<Item = AppKey>) -> Result<Self, KeySetError> {
        let mut set = BTreeMap::new();
        for AppKey { id, secret } in keys {
            if set.insert(id.clone(), secret).is_some() {
                return Err(KeySetError::Twice(id));
            }
        }
        if set.len() > KEY_LIMIT {
            return Err(KeySetError::TooMany(set.len()));
        }
        let mut text = Zeroizing::new(b"capstan key set v1\0".to_vec());
        for (id, secret) in &set {
            for part in [id.as_bytes(), secret.expose()] {
                text.extend_from_slice(&(part.len() as u64).to_be_bytes());
                text.extend_from_slice(part);
            }
        }
        Ok(Self { keys: set, digest: Digest::of(&text) })
    }

    /// By which both sides tell whether they hold the same keys. The keys are 256 random bits each, so the digest tells nothing about them.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The keys in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.keys.iter().map(|(id, secret)| (id.as_str(), secret))
    }

    /// The key with this id.
    pub fn get(&self, id: &str) -> Option<&Secret> {
        self.keys.get(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_set_is_its_content_and_shows_no_secret() {
        let key = |id: &str, secret: &[u8]| AppKey { id: id.into(), secret: Secret::new(secret.to_vec()) };
        let set = |keys: Vec<AppKey>| KeySet::new(keys).unwrap();
        let one = set(vec![key("a", b"canary"), key("b", b"y")]);
        assert_eq!(one.digest(), set(vec![key("b", b"y"), key("a", b"canary")]).digest());
        assert_ne!(one.digest(), set(vec![key("a", b"canary")]).digest());
        assert_ne!(set(vec![key("a", b"bc")]).digest(), set(vec![key("ab", b"c")]).digest());
        assert!(KeySet::new(vec![key("a", b"1"), key("a", b"2")]).is_err());
        let shown = format!("{one:?}");
        assert!(!shown.contains("canary") && !shown.contains("99, 97"), "{shown}");
    }
}
