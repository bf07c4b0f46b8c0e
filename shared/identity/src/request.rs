//! A certificate signing request as the hub sees it: a public key whose holder signed the request. Everything that it asks for is ignored.

use rcgen::{CertificateSigningRequestParams, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use shared_model::Digest;

use crate::certificate::KeyFingerprint;

/// The longest request: one of ours has about 350 characters, so this leaves room for the attributes that other tools add.
pub const CSR_LIMIT: usize = 4096;

/// A request whose signature was verified. Holds the public key and nothing else of it.
pub struct CertificateRequest {
    params: CertificateSigningRequestParams,
    fingerprint: KeyFingerprint,
}

/// The request is refused.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Longer than [`CSR_LIMIT`].
    #[error("the certificate request has {0} bytes; at most {CSR_LIMIT} are read")]
    TooLong(usize),
    /// Not a request, or its own signature does not fit.
    #[error("the certificate request cannot be read or is not signed by its own key")]
    Invalid(#[source] rcgen::Error),
    /// Another kind of key than P-256.
    #[error("the certificate request is for a key that is not ECDSA P-256; agents of Capstan make their key themselves")]
    WrongKeyKind,
}

impl CertificateRequest {
    /// Reads a request in PEM and verifies that the holder of its key signed it.
    pub fn parse(pem: &str) -> Result<Self, RequestError> {
        if pem.len() > CSR_LIMIT {
            return Err(RequestError::TooLong(pem.len()));
        }
        let params = CertificateSigningRequestParams::from_pem(pem).map_err(RequestError::Invalid)?;
        if params.public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(RequestError::WrongKeyKind);
        }
        let fingerprint = KeyFingerprint(Digest::of(&params.public_key.subject_public_key_info()));
        Ok(Self { params, fingerprint })
    }

    /// The key that the certificate would be for.
    pub fn fingerprint(&self) -> KeyFingerprint {
        self.fingerprint
    }

    pub(crate) fn public_key_bits(&self) -> &[u8] {
        self.params.public_key.der_bytes()
    }

    pub(crate) fn public_key(&self) -> &rcgen::PublicKey {
        &self.params.public_key
    }
}

impl std::fmt::Debug for CertificateRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CertificateRequest({})", self.fingerprint)
    }
}
