//! The four TLS configurations: the session's two ends and the enrolment door's two ends. Nothing else of Capstan configures rustls.
//!
//! All speak TLS 1.3 and HTTP/2 only. Session resumption is off at both ends: a resumed session would keep the identity of an old certificate and
//! skip the verification of a new one, which defeats rotation and revocation.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};

use crate::certificate::CertificateChain;
use crate::pin::CaPin;
use crate::proof::{ConnectionBinding, EXPORTER_LABEL};
use crate::rotation::RotatingCertificate;

/// The only application protocol: HTTP/2.
pub const ALPN: &[u8] = b"h2";

/// A configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No usable authority among the trusted ones.
    #[error("the trusted certificate authority cannot be used; enrol again or restore it")]
    Authority,
    /// rustls refuses the combination.
    #[error("TLS cannot be configured")]
    Refused(#[source] rustls::Error),
    /// The connection has no keying material to export.
    #[error("the TLS connection gives no binding")]
    Binding(#[source] rustls::Error),
}

/// The one cryptographic provider of the project.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(trusted: &CertificateChain) -> Result<Arc<RootCertStore>, TlsError> {
    let mut store = RootCertStore::empty();
    for authority in trusted.certificates() {
        store.add(authority.clone()).map_err(|_| TlsError::Authority)?;
    }
    Ok(Arc::new(store))
}

/// The hub's end of the session: a client certificate of `trusted` is required.
pub fn agent_listener_config(trusted: &CertificateChain, certificate: Arc<RotatingCertificate>) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(trusted)?, provider()).build().map_err(|_| TlsError::Authority)?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Refused)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    Ok(without_resumption(config))
}

/// The hub's end of the enrolment door: the hub proves itself, the client brings no certificate.
pub fn enrolment_listener_config(certificate: Arc<RotatingCertificate>) -> Result<Arc<ServerConfig>, TlsError> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Refused)?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    Ok(without_resumption(config))
}

fn without_resumption(mut config: ServerConfig) -> Arc<ServerConfig> {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Arc::new(config)
}

/// The agent's end of the session: trusts only `trusted`, shows its certificate.
pub fn agent_client_config(trusted: &CertificateChain, certificate: Arc<RotatingCertificate>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Refused)?
        .with_root_certificates(roots(trusted)?)
        .with_client_cert_resolver(certificate);
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The agent's end of the enrolment door: trusts the authority whose public key has this pin, and nothing else.
pub fn enrolment_client_config(pin: CaPin) -> Result<Arc<ClientConfig>, TlsError> {
    let verifier = PinnedAuthority { pin, provider: provider() };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Refused)?
        // rustls files every verifier of one's own under this word. This one verifies chain, name, time and usage exactly as the
        // default does, with one trust anchor that it recognises by its public key.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// What only the two ends of this connection know, for a proof of possession.
pub fn connection_binding<Side>(connection: &rustls::ConnectionCommon<Side>) -> Result<ConnectionBinding, TlsError> {
    connection.export_keying_material([0; 32], EXPORTER_LABEL, None).map(ConnectionBinding).map_err(TlsError::Binding)
}

/// Looks for the pinned authority among the certificates that the server sends, then verifies as usual with that one as the only trust anchor.
struct PinnedAuthority {
    pin: CaPin,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for PinnedAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PinnedAuthority({})", self.pin)
    }
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let authority = sent.iter().find(|der| CaPin::of(der).is_ok_and(|pin| pin == self.pin)).ok_or_else(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone()).build().map_err(|_| unknown())?;
        usual.verify_server_cert(end_entity, &[], name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
