//! A certificate that can be swapped while a listener or a client runs. New handshakes show the new one; running connections are untouched.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::authority::ServerCertificate;
use crate::certificate::CertificateChain;
use crate::key::AgentKey;
use crate::tls::provider;

/// A chain and its key, replaceable at any time. Hand clones of the `Arc` to a TLS configuration and keep one to swap.
#[derive(Debug)]
pub struct RotatingCertificate(ArcSwap<CertifiedKey>);

/// The chain and the key cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The key is damaged.
    #[error("the private key cannot be read")]
    Key,
    /// The certificate is for another key.
    #[error("the certificate and the private key do not belong together; enrol again")]
    Mismatch(#[source] rustls::Error),
}

impl RotatingCertificate {
    /// An agent's certificate.
    pub fn agent(chain: &CertificateChain, key: &AgentKey) -> Result<Arc<Self>, RotationError> {
        Ok(Arc::new(Self(ArcSwap::from_pointee(certified(chain, key.to_der())?))))
    }

    /// A hub's certificate.
    pub fn server(certificate: &ServerCertificate) -> Result<Arc<Self>, RotationError> {
        Ok(Arc::new(Self(ArcSwap::from_pointee(certified(&certificate.chain, server_key(certificate)?)?))))
    }

    /// Shows another agent certificate from now on.
    pub fn swap_agent(&self, chain: &CertificateChain, key: &AgentKey) -> Result<(), RotationError> {
        self.0.store(Arc::new(certified(chain, key.to_der())?));
        Ok(())
    }

    /// Shows another hub certificate from now on.
    pub fn swap_server(&self, certificate: &ServerCertificate) -> Result<(), RotationError> {
        self.0.store(Arc::new(certified(&certificate.chain, server_key(certificate)?)?));
        Ok(())
    }
}

fn server_key(certificate: &ServerCertificate) -> Result<PrivateKeyDer<'static>, RotationError> {
    PrivatePkcs8KeyDer::from_pem_slice(certificate.key_pem.as_bytes()).map(Into::into).map_err(|_| RotationError::Key)
}

fn certified(chain: &CertificateChain, key: PrivateKeyDer<'static>) -> Result<CertifiedKey, RotationError> {
    CertifiedKey::from_der(chain.certificates().to_vec(), key, &provider()).map_err(RotationError::Mismatch)
}

impl ResolvesServerCert for RotatingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ResolvesClientCert for RotatingCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
