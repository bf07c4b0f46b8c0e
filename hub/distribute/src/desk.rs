//! What distributing needs from the rest of the hub, in the hub's own words.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use shared_identity::{AgentIdentity, CertificateChain, CertificateRequest, PeerCertificate};
use shared_model::{ClusterUid, Digest, Reason};
use shared_session::{CloneSuspicion, Heard, RootDocument, Secret, StatusChange, StatusIndex, Target};
use tokio::sync::watch;

/// An answer that takes a while.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whether an agent with a valid certificate is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Admit,
    /// No: the cluster is unknown, revoked, held, or known under another uid. The message reaches the agent's log and status.
    Refuse(Reason),
}

/// The hub's store cannot serve now; the agent comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hub cannot serve this now; it is tried again")]
pub struct Unavailable;

/// A cluster asks to be taken in. The request's signature was verified.
#[derive(Debug)]
pub struct EnrolRequest {
    /// The one-time token. Compare it in constant time, or by its digest.
    pub token: Secret,
    /// The uid that the cluster claims.
    pub uid: ClusterUid,
    /// For whose key a certificate is asked.
    pub request: CertificateRequest,
    /// The agent's own version, as it claims.
    pub agent_version: String,
}

/// A known cluster asks for a new certificate. That the request's key is held at the other end was proved.
#[derive(Debug)]
pub struct ReattestRequest {
    /// The uid that the cluster claims; nothing but the bound key proves it.
    pub uid: ClusterUid,
    /// The request; its fingerprint must be the one bound to the uid.
    pub request: CertificateRequest,
}

/// A cluster was taken in.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// The agent's certificate.
    pub certificate: CertificateChain,
    /// The authorities to trust.
    pub authority: CertificateChain,
    /// The newest root document.
    pub root: RootDocument,
}

/// Why no certificate is issued. The texts reach the operator at the agent's side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnrolRefusal {
    /// No such token.
    #[error("the token is not known; run `capstan cluster add` for a new one")]
    TokenUnknown,
    /// The token was used.
    #[error(
        "the token was used already; if that was not this cluster, revoke it with `capstan cluster remove`, else run `capstan cluster add` for a new one"
    )]
    TokenUsed,
    /// The token is too old.
    #[error("the token has expired; run `capstan cluster add` for a new one and use it within 15 minutes")]
    TokenExpired,
    /// The cluster is known under another uid: it was re-created, or the token is used elsewhere.
    #[error("the cluster {cluster} is known with another uid; it was re-created: run `capstan cluster accept {cluster}` if that is right")]
    OtherUid {
        /// The cluster's name.
        cluster: String,
    },
    /// An operator must accept the cluster; ask again later with the same token and key.
    #[error("the cluster {cluster} waits to be accepted; run `capstan cluster accept {cluster}`")]
    AwaitingAcceptance {
        /// The cluster's name.
        cluster: String,
    },
    /// No cluster has this uid with this key.
    #[error("this key is not bound to this cluster; enrol again with `capstan cluster add`")]
    KeyNotBound,
    /// The cluster is not admitted any more.
    #[error("the cluster {cluster} was removed from the fleet; enrol it again with `capstan cluster add`")]
    Revoked {
        /// The cluster's name.
        cluster: String,
    },
    /// The hub cannot decide now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The rest of the hub as distributing sees it. Nothing here takes an identity from a message: each comes from a verified certificate.
pub trait Desk: Send + Sync + 'static {
    /// Whether the agent with this certificate is let in. Asked when it connects and whenever [`Desk::admissions`] changes.
    fn admit<'a>(&'a self, peer: &'a PeerCertificate) -> Later<'a, Admission>;

    /// A number that changes whenever somebody's admission may have changed. Live agents are asked about again at once.
    fn admissions(&self) -> watch::Receiver<u64>;

    /// The digests of the status that is recorded of this agent, [`StatusIndex::empty`] if none.
    fn recorded<'a>(&'a self, who: &'a AgentIdentity) -> Later<'a, StatusIndex>;

    /// What this agent should hold; `None` until that is decided.
    fn target(&self, who: &AgentIdentity) -> watch::Receiver<Option<Arc<Target>>>;

    /// The content of these digests in their order, `None` for each that this agent's own index does not reach, whether it exists or not.
    fn objects<'a>(&'a self, who: &'a AgentIdentity, wanted: &'a [Digest]) -> Later<'a, Result<Vec<Option<Bytes>>, Unavailable>>;

    /// What is known of a connected agent now. Called from the agent's task: must return at once.
    fn heard(&self, who: &AgentIdentity, heard: Heard);

    /// The agent's connection ended. Called from the agent's task: must return at once.
    fn parted(&self, who: &AgentIdentity);

    /// Records a change of an agent's status as a whole, durably. Never called twice at once for one agent.
    fn report<'a>(&'a self, who: &'a AgentIdentity, change: StatusChange) -> Later<'a, Result<(), Unavailable>>;

    /// Two processes use one identity. Called from the agent's task: must return at once.
    fn suspect_clone(&self, who: &AgentIdentity, suspicion: CloneSuspicion);

    /// A new certificate for the same identity and key; that both are the same was checked.
    fn renew<'a>(&'a self, peer: &'a PeerCertificate, request: CertificateRequest) -> Later<'a, Result<CertificateChain, EnrolRefusal>>;

    /// Takes a cluster in against a token.
    fn enrol<'a>(&'a self, request: EnrolRequest, from: SocketAddr) -> Later<'a, Result<Enrolled, EnrolRefusal>>;

    /// Gives a known cluster a new certificate for its bound key.
    fn reattest<'a>(&'a self, request: ReattestRequest, from: SocketAddr) -> Later<'a, Result<Enrolled, EnrolRefusal>>;
}

impl fmt::Debug for dyn Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk")
    }
}
