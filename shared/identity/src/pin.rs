//! The pin of a certificate authority: short enough for a command line, enough to trust a hub that was never met.

use std::fmt;
use std::str::FromStr;

use shared_model::{Digest, InvalidDigest};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The SHA-256 of the authority's public key (SubjectPublicKeyInfo in DER), so that it outlives a re-issued CA certificate. Written like a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaPin(Digest);

/// The text or certificate gives no pin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPin {
    /// Not written like a digest.
    #[error("the CA pin is wrong: {0}; copy the whole command that `capstan cluster add` printed")]
    Text(#[from] InvalidDigest),
    /// The bytes are no certificate.
    #[error("the CA certificate cannot be read")]
    Certificate,
}

impl CaPin {
    /// The pin of the authority whose certificate is `der`.
    pub fn of(der: &[u8]) -> Result<Self, InvalidPin> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| InvalidPin::Certificate)?;
        Ok(Self(Digest::of(certificate.public_key().raw)))
    }
}

impl fmt::Display for CaPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for CaPin {
    type Err = InvalidPin;

    fn from_str(text: &str) -> Result<Self, InvalidPin> {
        Ok(Self(text.parse()?))
    }
}
