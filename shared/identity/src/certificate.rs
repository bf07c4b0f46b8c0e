//! Certificates as values: a chain in PEM and DER, and what a verified agent's certificate says. Verification itself is rustls'.

use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use shared_model::{Digest, Timestamp};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use crate::agent::{AgentIdentity, IdentityError};

/// The SHA-256 of a public key (its SubjectPublicKeyInfo in DER): what the hub binds to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyFingerprint(pub Digest);

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The most certificates in a chain: a leaf and its authority, and room for one authority between.
const CHAIN_LIMIT: usize = 3;

/// Certificates, leaf first. Public by nature.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateChain(Vec<CertificateDer<'static>>);

/// The text is no certificate chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A PEM block is damaged or is no certificate.
    #[error("the certificate chain cannot be read as PEM")]
    Pem,
    /// Nothing in it, or too much.
    #[error("a certificate chain holds 1 to 3 certificates, this one has {0}")]
    Length(usize),
}

impl CertificateChain {
    /// Takes certificates that were just issued or received.
    pub fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, ChainError> {
        if (1..=CHAIN_LIMIT).contains(&certificates.len()) { Ok(Self(certificates)) } else { Err(ChainError::Length(certificates.len())) }
    }

    /// Reads PEM blocks, leaf first.
    pub fn from_pem(pem: &str) -> Result<Self, ChainError> {
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).take(CHAIN_LIMIT + 1).collect::<Result<Vec<_>, _>>();
        Self::new(certificates.map_err(|_| ChainError::Pem)?)
    }

    /// The chain as PEM blocks, leaf first.
    pub fn to_pem(&self) -> String {
        self.0.iter().map(|der| pem("CERTIFICATE", der)).collect()
    }

    /// The leaf.
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.0[0]
    }

    /// All certificates, leaf first.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }
}

impl fmt::Debug for CertificateChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateChain({} certificates, leaf {:?})", self.0.len(), Digest::of(self.leaf()))
    }
}

/// One PEM block with lines of 64 characters, as RFC 7468 wants it.
fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    // 48 bytes are 64 characters.
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let bits = u32::from_be_bytes([0, group[0], group.get(1).copied().unwrap_or(0), group.get(2).copied().unwrap_or(0)]);
            for place in 0..4 {
                let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
                text.push(if place <= group.len() { char::from(digit) } else { '=' });
            }
        }
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// What the certificate of a connected agent says, read once per connection after rustls has verified it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Who it is.
    pub identity: AgentIdentity,
    /// The serial number in hexadecimal digits.
    pub serial: String,
    /// The public key that the peer proved to hold.
    pub key: KeyFingerprint,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
}

impl PeerCertificate {
    /// Reads an agent's certificate. Exactly one subject alternative name, a URI of our form, is required.
    pub fn parse(der: &[u8]) -> Result<Self, IdentityError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| IdentityError::Unreadable)?;
        let names: Vec<&GeneralName<'_>> = certificate
            .extensions()
            .iter()
            .filter_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(san) => Some(&san.general_names),
                _ => None,
            })
            .flatten()
            .collect();
        let uris: Vec<&str> = names.iter().filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None }).collect();
        let [uri] = uris[..] else { return Err(IdentityError::NotOneUri { names: names.len(), uris: uris.len() }) };
        if names.len() != 1 {
            return Err(IdentityError::NotOneUri { names: names.len(), uris: 1 });
        }
        let validity = certificate.validity();
        let moment = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).map_err(|_| IdentityError::Unreadable);
        Ok(Self {
            identity: uri.parse()?,
            serial: certificate.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect(),
            key: KeyFingerprint(Digest::of(certificate.public_key().raw)),
            not_before: moment(validity.not_before)?,
            not_after: moment(validity.not_after)?,
        })
    }
}

/// An agent's own certificate chain and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCertificate {
    /// The chain, leaf first.
    pub chain: CertificateChain,
    /// What the leaf says.
    pub facts: PeerCertificate,
}

impl AgentCertificate {
    /// Takes a chain whose leaf states an agent's identity.
    pub fn new(chain: CertificateChain) -> Result<Self, IdentityError> {
        let facts = PeerCertificate::parse(chain.leaf())?;
        Ok(Self { chain, facts })
    }
}
