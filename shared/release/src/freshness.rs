//! Freshness: "index I is still what I want at time T". Apart from the index, so that saying it again signs a few bytes and moves nothing.

use serde::{Deserialize, Serialize};
use shared_model::{ClusterUid, Digest, Timestamp};

use crate::{DecodeError, Format, PublicKey, Signed, SigningKey, VerifyError};

/// The statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freshness {
    /// For which cluster.
    pub uid: ClusterUid,
    /// The digest of the index that is still wanted.
    pub index: Digest,
    /// When it was said, by the hub's clock.
    pub at: Timestamp,
}

impl Freshness {
    /// Signs it.
    pub fn sign(&self, key: &SigningKey) -> SignedFreshness {
        let file = FreshnessFile { uid: self.uid.to_string(), index: self.index.to_string(), at: self.at.to_string() };
        SignedFreshness(Signed::sign(Format::FRESHNESS, Format::FRESHNESS.encode(&file), &[key]))
    }
}

/// A freshness statement with its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedFreshness(Signed);

impl SignedFreshness {
    /// Reads the envelope; believes nothing yet.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Signed::decode(Format::FRESHNESS, bytes).map(Self)
    }

    /// As it is sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.encode()
    }

    /// The digest of the statement.
    pub fn digest(&self) -> Digest {
        self.0.digest()
    }

    /// The statement, if one of `keys` signed it.
    pub fn verify(&self, keys: &[PublicKey]) -> Result<Freshness, VerifyError> {
        let malformed = |error: String| DecodeError::Malformed { format: Format::FRESHNESS.name, detail: error };
        let file: FreshnessFile = Format::FRESHNESS.decode(self.0.verify(keys)?)?;
        Ok(Freshness {
            uid: file.uid.parse().map_err(|error| malformed(format!("{error}")))?,
            index: file.index.parse().map_err(|error| malformed(format!("{error}")))?,
            at: file.at.parse().map_err(|error| malformed(format!("{error}")))?,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct FreshnessFile {
    uid: String,
    index: String,
    at: String,
}
