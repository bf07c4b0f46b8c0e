//! Signatures: Ed25519 over DSSE's pre-authentication encoding (<https://github.com/secure-systems-lab/dsse>), so that a signature
//! for one kind of document is never valid for another.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use shared_model::Digest;
use zeroize::Zeroizing;

use crate::{DecodeError, Format};

/// The most signatures on one document: one by the current key, one by the key before it, and room for a root of several keys.
const SIGNATURE_LIMIT: usize = 8;

/// A key's name: the first 16 hexadecimal digits of the SHA-256 of its public half.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// The name of the key with this public half.
    pub fn of(public: &[u8]) -> Self {
        Self(Digest::of(public).hex()[..16].to_owned())
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyId {
    type Err = DecodeError;

    fn from_str(text: &str) -> Result<Self, DecodeError> {
        if text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Ok(Self(text.to_owned()));
        }
        Err(DecodeError::Malformed { format: "key id", detail: "it is not 16 hexadecimal digits".to_owned() })
    }
}

/// The public half of a signing key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key with these 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.0)
    }
}

/// A signing key. It cannot be printed.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; 32]>,
}

impl SigningKey {
    /// The key that grows from `seed`, 32 bytes of good randomness.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).unwrap_or_else(|_| unreachable!("BUG: any 32 bytes are an Ed25519 seed"));
        Self { pair, seed }
    }

    /// The seed, for sealing it at rest.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(bytes)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().id())
    }
}

#[derive(Serialize, Deserialize)]
struct EnvelopeFile {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<SignatureFile>,
}

#[derive(Serialize, Deserialize)]
struct SignatureFile {
    keyid: String,
    sig: String,
}

/// A document with its signatures. Nothing is known about them until [`Signed::verify`].
#[derive(Clone, PartialEq, Eq)]
pub struct Signed {
    format: Format,
    payload: Vec<u8>,
    signatures: Vec<(String, Vec<u8>)>,
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed({} {})", self.format.name, self.digest().short())
    }
}

impl Signed {
    /// Signs `payload`, a document of `format`, with each of `keys`.
    pub(crate) fn sign(format: Format, payload: Vec<u8>, keys: &[&SigningKey]) -> Self {
        let input = signing_input(format, &payload);
        let signatures = keys.iter().map(|key| (key.public().id().as_str().to_owned(), key.pair.sign(&input).as_ref().to_vec())).collect();
        Self { format, payload, signatures }
    }

    /// Reads an envelope that should hold a document of `format`. Looks at no signature.
    pub(crate) fn decode(format: Format, bytes: &[u8]) -> Result<Self, DecodeError> {
        let malformed = |detail: &str| DecodeError::Malformed { format: format.name, detail: detail.to_owned() };
        // Base64 takes four bytes for three; the rest is the envelope's own.
        let limit = format.limit / 3 * 4 + 4096;
        if bytes.len() > limit {
            return Err(DecodeError::TooLarge { format: format.name, bytes: bytes.len(), limit });
        }
        let file: EnvelopeFile = serde_json::from_slice(bytes).map_err(|error| malformed(&error.to_string()))?;
        let format = written_in(format, &file.payload_type)?;
        if file.signatures.len() > SIGNATURE_LIMIT {
            return Err(malformed("it has more than 8 signatures"));
        }
        let payload = BASE64.decode(file.payload).map_err(|_| malformed("its payload is not base64"))?;
        let mut signatures = Vec::with_capacity(file.signatures.len());
        for signature in file.signatures {
            let bytes = BASE64.decode(signature.sig).map_err(|_| malformed("a signature is not base64"))?;
            signatures.push((signature.keyid, bytes));
        }
        Ok(Self { format, payload, signatures })
    }

    /// The envelope as it is stored and sent.
    pub fn encode(&self) -> Vec<u8> {
        let file = EnvelopeFile {
            payload_type: payload_type(self.format),
            payload: BASE64.encode(&self.payload),
            signatures: self.signatures.iter().map(|(id, sig)| SignatureFile { keyid: id.clone(), sig: BASE64.encode(sig) }).collect(),
        };
        serde_json::to_vec(&file).unwrap_or_else(|error| unreachable!("BUG: an envelope has only text keys: {error}"))
    }

    /// The digest of the document, whoever signed it.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.payload)
    }

    /// The document, if one of `keys` signed it.
    pub(crate) fn verify(&self, keys: &[PublicKey]) -> Result<&[u8], VerifyError> {
        let input = signing_input(self.format, &self.payload);
        let good = self.signatures.iter().any(|(id, signature)| {
            let key = keys.iter().find(|key| key.id().as_str() == id);
            key.is_some_and(|key| UnparsedPublicKey::new(&ED25519, key.as_bytes()).verify(&input, signature).is_ok())
        });
        if good {
            return Ok(&self.payload);
        }
        let known = self.signatures.iter().any(|(id, _)| keys.iter().any(|key| key.id().as_str() == id));
        Err(if known {
            VerifyError::BadSignature { format: self.format.name }
        } else {
            VerifyError::UnknownKey { format: self.format.name, key: self.signatures.first().map_or("none", |(id, _)| id).to_owned() }
        })
    }

    /// The document without looking at signatures, for those who only pass it on.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// Why a signed document is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The signature does not fit the content.
    #[error("the signature on this {format} is broken: it was changed after it was signed; nothing of it is used")]
    BadSignature {
        /// The document's kind.
        format: &'static str,
    },
    /// None of the trusted keys signed it.
    #[error("this {format} is signed by key {key}, which the root document does not name; nothing of it is used")]
    UnknownKey {
        /// The document's kind.
        format: &'static str,
        /// The key that it names.
        key: String,
    },
    /// It cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

fn payload_type(format: Format) -> String {
    format!("application/vnd.{}+json", format.tag())
}

/// The version of `format` that `payload_type` names, which is part of what was signed.
fn written_in(format: Format, payload_type: &str) -> Result<Format, DecodeError> {
    let inner = payload_type.strip_prefix("application/vnd.").and_then(|rest| rest.strip_suffix("+json"));
    match inner.and_then(|tag| format.version_of(tag)) {
        Some(version) if (1..=format.version).contains(&version) => Ok(Format { version, ..format }),
        Some(version) => Err(DecodeError::Newer { format: format.name, version, supported: format.version }),
        None => Err(DecodeError::Malformed { format: format.name, detail: format!("its payload type is {payload_type:?}") }),
    }
}

/// DSSE's PAE: `DSSEv1 <type length> <type> <body length> <body>`.
fn signing_input(format: Format, payload: &[u8]) -> Vec<u8> {
    let kind = payload_type(format);
    let mut input = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    input.extend_from_slice(payload);
    input
}
