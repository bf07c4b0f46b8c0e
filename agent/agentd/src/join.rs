//! How an agent comes to its identity: from its ledger, or from the enrolment door with a one-time token.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent_ledger::{Certified, Identity, Ledger, LedgerError, Mirror};
use agent_link::{DialError, EnrolConfig, EnrolError, Enrolled, enrol};
use shared_daemon::Check;
use shared_identity::{AgentCertificate, AgentKey, CertificateChain};
use shared_model::{ClusterName, ClusterUid};
use shared_release::SignedRoot;

use crate::config::AgentConfig;

/// The pause before the enrolment door is asked again: an operator who accepts a cluster sees it come within seconds.
const ASK_AGAIN: Duration = Duration::from_secs(3);

/// Who the agent is.
pub(crate) struct Member {
    pub(crate) key: Arc<AgentKey>,
    pub(crate) certificate: AgentCertificate,
    pub(crate) authority: CertificateChain,
}

/// Why an agent cannot start. Each says what to do; trying the same again does not help.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// There is no identity and no way to one.
    #[error(
        "this agent is not enrolled and {missing} is not set; run `capstan cluster add NAME` and start the agent as it prints \
         (the token works once, within 15 minutes)"
    )]
    NotEnrolled {
        /// What is missing.
        missing: &'static str,
    },
    /// The token's file cannot be read.
    #[error("the token in {} cannot be read: {source}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The hub refuses for good.
    #[error("the hub did not take this cluster in: {0}")]
    Refused(EnrolError),
    /// What the ledger holds is not an identity.
    #[error("the identity in the ledger cannot be used ({detail}); remove it and enrol this cluster again with `capstan cluster add`")]
    Identity {
        /// What is wrong.
        detail: String,
    },
    /// The ledger belongs to another cluster.
    #[error(
        "this cluster has the uid {here}, and the agent's memory belongs to cluster {name} with the uid {there}: the cluster was re-created, \
         or its Secrets or disk were restored from another one. If that is right, delete the Secrets with the label capstan.dev/ledger in the \
         namespace {namespace} and the files in {}, then enrol with a new token from `capstan cluster add {name}`", directory.display()
    )]
    OtherCluster {
        /// The uid of the cluster that was found.
        here: ClusterUid,
        /// The uid that the memory belongs to.
        there: ClusterUid,
        /// That cluster's name.
        name: ClusterName,
        /// Where the copy is.
        namespace: String,
        /// Where the ledger is.
        directory: PathBuf,
    },
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The identity in the ledger, if there is one and it is this cluster's.
pub(crate) fn known_member(ledger: &Ledger, config: &AgentConfig, here: &ClusterUid) -> Result<Option<Member>, JoinError> {
    let Some(Identity { key_pem, certified: Some(certified) }) = ledger.identity() else { return Ok(None) };
    let unusable = |detail: &dyn std::fmt::Display| JoinError::Identity { detail: detail.to_string() };
    let key = AgentKey::from_pem(key_pem).map_err(|error| unusable(&error))?;
    let chain = CertificateChain::from_pem(&certified.chain_pem).map_err(|error| unusable(&error))?;
    let certificate = AgentCertificate::new(chain).map_err(|error| unusable(&error))?;
    let authority = CertificateChain::from_pem(&certified.authority_pem).map_err(|error| unusable(&error))?;
    let identity = &certificate.facts.identity;
    if identity.uid != *here {
        return Err(JoinError::OtherCluster {
            here: here.clone(),
            there: identity.uid.clone(),
            name: identity.cluster.clone(),
            namespace: config.namespace.clone(),
            directory: config.data_dir.clone(),
        });
    }
    if certificate.facts.key != key.fingerprint() {
        return Err(unusable(&"the certificate is for another key"));
    }
    Ok(Some(Member { key: Arc::new(key), certificate, authority }))
}

/// Enrols: makes a key, remembers it on disk and in the copy, and asks until the hub has decided.
pub(crate) async fn become_member(
    ledger: &mut Ledger,
    mirror: &dyn Mirror,
    config: &AgentConfig,
    uid: &ClusterUid,
    check: &Check,
) -> Result<Member, JoinError> {
    let token = config.token.as_ref().ok_or(JoinError::NotEnrolled { missing: "the one-time token" })?;
    let pin = config.ca_pin.ok_or(JoinError::NotEnrolled { missing: "the pin of the hub's authority" })?;
    let token = token.read().map_err(|(path, source)| JoinError::Token { path, source })?;
    let key = key_for_ever(ledger, mirror).await?;
    let asking = EnrolConfig {
        address: config.enrolment.clone(),
        pin,
        token,
        uid: uid.clone(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let Enrolled { certificate, authority, root } = loop {
        match enrol(&asking, &key).await {
            Ok(enrolled) => break enrolled,
            Err(error) if may_succeed_later(&error) => {
                tracing::warn!(%error, door = %config.enrolment, "not enrolled yet; asking again");
                check.fail(error.to_string());
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Err(error) => return Err(JoinError::Refused(error)),
        }
    };
    // It came through the pinned connection; that it is signed by a key of its own shows that it is whole.
    let wrong = |error: &dyn std::fmt::Display| JoinError::Refused(EnrolError::Answer(error.to_string()));
    let root = SignedRoot::from_bytes(root.bytes()).map_err(|error| wrong(&error))?;
    root.trust_first().map_err(|error| wrong(&error))?;
    ledger.set_root(root)?;
    let certified = Certified { chain_pem: certificate.chain.to_pem(), authority_pem: authority.to_pem() };
    ledger.set_identity(Identity { key_pem: key.to_pem(), certified: Some(certified) })?;
    tracing::info!(cluster = %certificate.facts.identity, "enrolled");
    Ok(Member { key: Arc::new(key), certificate, authority })
}

/// The key that was made before, or a new one that is remembered before anybody hears of it: the hub binds the cluster to it.
async fn key_for_ever(ledger: &mut Ledger, mirror: &dyn Mirror) -> Result<AgentKey, JoinError> {
    let unusable = |error: shared_identity::KeyError| JoinError::Identity { detail: error.to_string() };
    if let Some(identity) = ledger.identity() {
        return AgentKey::from_pem(&identity.key_pem).map_err(unusable);
    }
    let key = AgentKey::generate().map_err(unusable)?;
    ledger.set_identity(Identity { key_pem: key.to_pem(), certified: None })?;
    if let Err(error) = mirror.write(ledger.core_parts()).await {
        tracing::warn!(%error, "the new key is on disk only; a lost pod would need a new token");
    }
    Ok(key)
}

/// Whether asking again may help: the hub says so, or it is not up yet. A hub that shows another authority than the pinned one never will.
fn may_succeed_later(error: &EnrolError) -> bool {
    match error {
        EnrolError::Refused { later, .. } => *later,
        EnrolError::TimedOut => true,
        EnrolError::Dial(DialError::Tls { error, .. }) => error.kind() != std::io::ErrorKind::InvalidData,
        EnrolError::Dial(_) => true,
        EnrolError::Answer(_) | EnrolError::Key(_) | EnrolError::Tls(_) => false,
    }
}
