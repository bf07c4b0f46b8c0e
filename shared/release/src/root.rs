//! The root document: which keys and certificate authorities an agent trusts. A new one is signed by a key of the one before it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use shared_model::{Digest, Epoch};

use crate::{DecodeError, Format, PublicKey, Signed, SigningKey, VerifyError};

/// What agents trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its number; the first is 1, each next one is one more.
    pub version: u64,
    /// The least epoch of an index that may be accepted under it.
    pub epoch: Epoch,
    /// The keys that may sign indexes, freshness statements and the next root.
    pub keys: Vec<PublicKey>,
    /// The certificate authorities of hub and agents, as PEM.
    pub authorities: Vec<String>,
    /// The digest of the root before it; `None` for the first.
    pub previous: Option<Digest>,
}

impl Root {
    /// The most keys: the current one, its successor, and those of a threshold of signers.
    pub const KEY_LIMIT: usize = 8;

    /// Signs it with `keys`: one of its own, and for a successor one of its predecessor.
    pub fn sign(&self, keys: &[&SigningKey]) -> SignedRoot {
        let file = RootFile {
            version: self.version,
            epoch: self.epoch.0,
            keys: self.keys.iter().map(|key| BASE64.encode(key.as_bytes())).collect(),
            authorities: self.authorities.clone(),
            previous: self.previous.as_ref().map(ToString::to_string),
        };
        SignedRoot(Signed::sign(Format::ROOT, Format::ROOT.encode(&file), keys))
    }
}

/// A root document with its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRoot(Signed);

impl SignedRoot {
    /// Reads the envelope; believes nothing yet.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Signed::decode(Format::ROOT, bytes).map(Self)
    }

    /// As it is stored and sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.encode()
    }

    /// The digest of the document.
    pub fn digest(&self) -> Digest {
        self.0.digest()
    }

    /// A first root, which came by a trusted way (the enrolment's pinned connection). It must be signed by a key of its own.
    pub fn trust_first(&self) -> Result<Root, RootError> {
        let root = self.read()?;
        self.0.verify(&root.keys)?;
        Ok(root)
    }

    /// The successor of `current`: its next number, linked to it, signed by one of its keys and by one of its own, in no older epoch.
    pub fn succeed(&self, current: &Root, current_digest: &Digest) -> Result<Root, RootError> {
        let next = self.read()?;
        if next.version != current.version + 1 || next.previous.as_ref() != Some(current_digest) || next.epoch < current.epoch {
            return Err(RootError::NotSuccessor { version: next.version, current: current.version });
        }
        self.0.verify(&current.keys)?;
        self.0.verify(&next.keys)?;
        Ok(next)
    }

    fn read(&self) -> Result<Root, DecodeError> {
        let malformed = |detail: &str| DecodeError::Malformed { format: Format::ROOT.name, detail: detail.to_owned() };
        let file: RootFile = Format::ROOT.decode(self.0.payload())?;
        if file.keys.is_empty() || file.keys.len() > Root::KEY_LIMIT {
            return Err(malformed("it names no key, or more than 8"));
        }
        let mut keys = Vec::with_capacity(file.keys.len());
        for key in &file.keys {
            let bytes = BASE64.decode(key).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            keys.push(PublicKey::from_bytes(bytes.ok_or_else(|| malformed("a key is not 32 bytes in base64"))?));
        }
        let previous = file.previous.map(|text| text.parse().map_err(|_| malformed("its predecessor is no digest"))).transpose()?;
        Ok(Root { version: file.version, epoch: Epoch(file.epoch), keys, authorities: file.authorities, previous })
    }
}

#[derive(Serialize, Deserialize)]
struct RootFile {
    version: u64,
    epoch: u64,
    keys: Vec<String>,
    authorities: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
}

/// Why a root document is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// It does not follow the one that is trusted.
    #[error("root document {version} does not follow root document {current}, which this agent trusts; nothing of it is used")]
    NotSuccessor {
        /// Its number.
        version: u64,
        /// The number that is trusted.
        current: u64,
    },
    /// Its signature or content is not good.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// It cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}
