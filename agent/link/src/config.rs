//! What a link is started with.

use std::sync::Arc;

use shared_identity::{AgentCertificate, AgentKey, CertificateChain};
use shared_model::Clock;
use shared_session::VersionOffer;

use crate::dial::HubAddress;

/// One agent's link to its hub.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    /// Where the hub serves the session.
    pub hub: HubAddress,
    /// Where the hub's enrolment door is, for the day that the certificate has run out.
    pub enrolment: HubAddress,
    /// The authorities that sign the hub's certificate. When the root document names others, start the link anew with those.
    pub trusted: CertificateChain,
    /// The agent's key.
    pub key: Arc<AgentKey>,
    /// The agent's certificate, also if it has run out.
    pub certificate: AgentCertificate,
    /// The agent's own version, for people.
    pub agent_version: String,
    /// The protocol versions to offer.
    pub versions: VersionOffer,
    /// The clock. The simulator brings its own.
    pub clock: Clock,
}
