//! An agent's key: made once by the agent, never leaves it, bound to its cluster by the hub at enrolment.

use std::fmt;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use shared_model::Digest;
use zeroize::Zeroizing;

use crate::certificate::KeyFingerprint;

/// A P-256 private key. Its `Debug` shows the fingerprint only.
pub struct AgentKey(KeyPair);

/// The key could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system gave no randomness.
    #[error("a key could not be generated")]
    Generate(#[source] rcgen::Error),
    /// The text is no PKCS#8 P-256 key in PEM.
    #[error("the stored agent key cannot be read; remove it and enrol the cluster again with `capstan cluster add`")]
    Unreadable(#[source] rcgen::Error),
    /// Signing failed, which ring does only without randomness.
    #[error("the agent key could not sign")]
    Sign(#[source] rcgen::Error),
}

impl AgentKey {
    /// Makes a new key from the system's randomness.
    pub fn generate() -> Result<Self, KeyError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Self).map_err(KeyError::Generate)
    }

    /// Reads what [`AgentKey::to_pem`] wrote.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ECDSA_P256_SHA256).map(Self).map_err(KeyError::Unreadable)
    }

    /// The key as PKCS#8 in PEM, to be stored where only the agent reads.
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.serialize_pem())
    }

    /// What the hub binds to the cluster: the digest of the public key.
    pub fn fingerprint(&self) -> KeyFingerprint {
        use rcgen::PublicKeyData;
        KeyFingerprint(Digest::of(&self.0.subject_public_key_info()))
    }

    /// A signing request in PEM. It asks for nothing: what the certificate says is the hub's decision.
    pub fn request(&self) -> Result<String, KeyError> {
        let request = CertificateParams::default().serialize_request(&self.0).map_err(KeyError::Sign)?;
        request.pem().map_err(KeyError::Sign)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.0.sign(message).map_err(KeyError::Sign)
    }

    pub(crate) fn to_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.serialize_der()).into()
    }
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentKey({})", self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_never_shows_itself() {
        let key = AgentKey::generate().unwrap();
        let again = AgentKey::from_pem(&key.to_pem()).unwrap();
        assert_eq!(key.fingerprint(), again.fingerprint());
        assert!(!format!("{key:?}").contains("PRIVATE"));
        assert!(AgentKey::from_pem("nonsense").unwrap_err().to_string().contains("cluster add"));
    }
}
