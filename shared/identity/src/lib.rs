//! Keys, certificates and rustls set-up for both ends of the session: the hub's certificate authority, an agent's identity as its certificate
//! states it, proof of possession, renewal, and the four TLS configurations. It leaves storing, networking and deciding who may join to others.

mod agent;
mod authority;
mod certificate;
mod chance;
mod key;
mod pin;
mod proof;
mod renewal;
mod request;
mod rotation;
mod tls;

pub use agent::{AgentIdentity, IdentityError, TRUST_DOMAIN};
pub use authority::{
    AGENT_CERTIFICATE_LIFETIME, AuthorityError, CA_LIFETIME, CLOCK_SKEW, CertificateAuthority, CertificateAuthorityPem,
    SERVER_CERTIFICATE_LIFETIME, ServerCertificate,
};
pub use certificate::{AgentCertificate, CertificateChain, ChainError, KeyFingerprint, PeerCertificate};
pub use chance::{random, random_seed};
pub use key::{AgentKey, KeyError};
pub use pin::{CaPin, InvalidPin};
pub use proof::{ConnectionBinding, ProofError};
pub use renewal::{RenewalMoment, renewal};
pub use request::{CSR_LIMIT, CertificateRequest, RequestError};
pub use rotation::{RotatingCertificate, RotationError};
pub use tls::{
    ALPN, TlsError, agent_client_config, agent_listener_config, connection_binding, enrolment_client_config, enrolment_listener_config,
};
