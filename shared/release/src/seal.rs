//! Sealing of Secrets: AES-256-GCM-SIV under a key per app, derived from the fleet's data key. Sealing is deterministic, so that equal
//! content has equal digests; GCM-SIV is made for that: with one nonce it reveals only whether two sealed texts of one app and one object
//! are equal (RFC 8452 §4).

use std::fmt;

use aes_gcm_siv::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hkdf;
use serde::{Deserialize, Serialize};
use shared_model::{AppName, ObjectKey};
use zeroize::Zeroizing;

use crate::{DecodeError, Format, KeyId};

/// The fleet's data key, from which the apps' keys are derived. It stays on the hub and cannot be printed.
pub struct DataKey(Zeroizing<[u8; 32]>);

impl DataKey {
    /// The key of these 32 bytes of good randomness.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for sealing them at rest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key of one app.
    pub fn app_key(&self, app: &AppName) -> AppKey {
        struct Length;
        impl hkdf::KeyType for Length {
            fn len(&self) -> usize {
                32
            }
        }
        let pseudo_random = hkdf::Salt::new(hkdf::HKDF_SHA256, b"capstan.dev/seal.v1").extract(&*self.0);
        let mut secret = Zeroizing::new([0; 32]);
        pseudo_random
            .expand(&[app.as_str().as_bytes()], Length)
            .and_then(|okm| okm.fill(&mut *secret))
            .unwrap_or_else(|_| unreachable!("BUG: 32 bytes are within HKDF's length"));
        AppKey { id: key_id(&secret), app: app.clone(), secret }
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// A name for a secret key that says nothing about it: the digest of a derivation and not of the key.
fn key_id(secret: &[u8; 32]) -> KeyId {
    let mac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    KeyId::of(ring::hmac::sign(&mac, b"capstan.dev/key-id.v1").as_ref())
}

/// The key of one app: seals and opens its Secrets. It travels to the agents that run the app and cannot be printed.
#[derive(Clone)]
pub struct AppKey {
    id: KeyId,
    app: AppName,
    secret: Zeroizing<[u8; 32]>,
}

impl AppKey {
    /// The key of `app` with these bytes.
    pub fn from_bytes(app: AppName, secret: [u8; 32]) -> Self {
        let secret = Zeroizing::new(secret);
        Self { id: key_id(&secret), app, secret }
    }

    /// Its name, as it stands in blobs and releases.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Whose key it is.
    pub fn app(&self) -> &AppName {
        &self.app
    }

    /// The bytes, for the session and the agent's ledger.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.secret
    }

    /// Seals `plain`, which is the content of `object`.
    pub(crate) fn seal(&self, object: &ObjectKey, plain: &[u8]) -> Vec<u8> {
        let aad = self.associated_data(object);
        let sealed = self
            .cipher()
            .encrypt(&Nonce::default(), Payload { msg: plain, aad: &aad })
            .unwrap_or_else(|_| unreachable!("BUG: an object is far below GCM-SIV's 64 GiB"));
        Format::SEALED.encode(&SealedFile { key: self.id.as_str().to_owned(), sealed: BASE64.encode(sealed) })
    }

    /// Opens what [`AppKey::seal`] made for the same app and object.
    pub(crate) fn open(&self, object: &ObjectKey, blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let file: SealedFile = Format::SEALED.decode(blob)?;
        if file.key != self.id.as_str() {
            return Err(SealError::OtherKey { object: object.to_string(), wanted: file.key, held: self.id.clone() });
        }
        let broken = || SealError::Broken { object: object.to_string() };
        let sealed = BASE64.decode(file.sealed).map_err(|_| broken())?;
        let aad = self.associated_data(object);
        let plain = self.cipher().decrypt(&Nonce::default(), Payload { msg: &sealed, aad: &aad }).map_err(|_| broken())?;
        Ok(Zeroizing::new(plain))
    }

    fn cipher(&self) -> Aes256GcmSiv {
        Aes256GcmSiv::new((&*self.secret).into())
    }

    /// Binds the sealed bytes to app and object: they open nowhere else.
    fn associated_data(&self, object: &ObjectKey) -> Vec<u8> {
        let namespace = object.namespace.as_deref().unwrap_or_default();
        format!("{}\0{}\0{}\0{}\0{namespace}\0{}", Format::SEALED.tag(), self.app, object.kind.group, object.kind.kind, object.name)
            .into_bytes()
    }
}

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppKey({} {})", self.app, self.id)
    }
}

#[derive(Serialize, Deserialize)]
struct SealedFile {
    key: String,
    sealed: String,
}

/// Why a sealed object could not be opened. The messages say nothing of its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Sealed with another key.
    #[error("{object} is sealed with key {wanted}, and this agent holds key {held}; it gets the right one from the hub")]
    OtherKey {
        /// The object.
        object: String,
        /// The key that sealed it.
        wanted: String,
        /// The key at hand.
        held: KeyId,
    },
    /// Changed, or moved from another app or object.
    #[error("the sealed content of {object} does not open: it was changed, or belongs to another app or object")]
    Broken {
        /// The object.
        object: String,
    },
    /// Not a sealed object.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}
