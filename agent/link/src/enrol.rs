//! At the enrolment door: the first certificate against a token, and a new one after the old ran out, against proof of the bound key.

use shared_identity::{
    AgentCertificate, AgentKey, CaPin, CertificateChain, ChainError, IdentityError, InvalidPin, KeyError, TlsError, enrolment_client_config,
};
use shared_model::ClusterUid;
use shared_proto::{EnrolCall, Issued, MESSAGE_LIMIT, ReattestCall, WireError, wire};
use shared_session::{RootDocument, Secret};
use std::time::Duration;
use tonic::{Code, Status};

use crate::dial::{DialError, HubAddress, dial};

/// How long the hub may take to decide.
const ENROL_TIMEOUT: Duration = Duration::from_secs(20);

/// What `capstan cluster add` printed, and who we are.
#[derive(Debug, Clone)]
pub struct EnrolConfig {
    /// The enrolment door.
    pub address: HubAddress,
    /// The pin of the hub's authority.
    pub pin: CaPin,
    /// The one-time token.
    pub token: Secret,
    /// The uid of this cluster's `kube-system` namespace.
    pub uid: ClusterUid,
    /// The agent's own version.
    pub agent_version: String,
}

/// The cluster was taken in.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// The agent's certificate.
    pub certificate: AgentCertificate,
    /// The authorities to trust from now on.
    pub authority: CertificateChain,
    /// The root document.
    pub root: RootDocument,
}

/// No certificate was got.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The hub says no, in its own words.
    #[error("{message}")]
    Refused {
        /// The hub's words, with the remedy.
        message: String,
        /// Whether the same call may succeed later: an operator must accept the cluster, or the hub is busy.
        later: bool,
    },
    /// The hub did not decide in time.
    #[error("the hub did not answer within {} seconds; try again", ENROL_TIMEOUT.as_secs())]
    TimedOut,
    /// What the hub sent cannot be read.
    #[error("the hub's answer is wrong: {0}")]
    Answer(String),
    /// The key cannot sign.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// TLS cannot be configured.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl From<Status> for EnrolError {
    fn from(status: Status) -> Self {
        let later = matches!(status.code(), Code::FailedPrecondition | Code::Unavailable | Code::ResourceExhausted | Code::Cancelled);
        Self::Refused { message: status.message().to_owned(), later }
    }
}

macro_rules! wrong_answer {
    ($($error:ty),*) => {$(
        impl From<$error> for EnrolError {
            fn from(error: $error) -> Self {
                Self::Answer(error.to_string())
            }
        }
    )*};
}
wrong_answer!(WireError, ChainError, IdentityError, InvalidPin);

/// Asks to be taken in. With a refusal that says `later`, call again with the same key and token.
pub async fn enrol(config: &EnrolConfig, key: &AgentKey) -> Result<Enrolled, EnrolError> {
    let channel = dial(&config.address, enrolment_client_config(config.pin)?).await?.channel;
    let call = EnrolCall {
        token: config.token.clone(),
        uid: config.uid.clone(),
        csr_pem: key.request()?,
        agent_version: config.agent_version.clone(),
    };
    let mut client = wire::enrolment_client::EnrolmentClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
    let reply = tokio::time::timeout(ENROL_TIMEOUT, client.enrol(wire::EnrolRequest::from(call))).await;
    let reply = reply.map_err(|_| EnrolError::TimedOut)??;
    accept(reply.into_inner(), config.pin, &config.uid, key)
}

/// Gets a new certificate for the bound key after the old one ran out. `trusted` holds the authorities that the agent was enrolled with.
pub async fn reattest(address: &HubAddress, trusted: &CertificateChain, uid: &ClusterUid, key: &AgentKey) -> Result<Enrolled, EnrolError> {
    let pin = CaPin::of(trusted.leaf())?;
    let dialled = dial(address, enrolment_client_config(pin)?).await?;
    let binding = dialled.binding.ok_or_else(|| EnrolError::Answer("the TLS connection gives no binding".into()))?;
    let call = ReattestCall { uid: uid.clone(), csr_pem: key.request()?, proof: key.prove(&binding, uid)? };
    let mut client = wire::enrolment_client::EnrolmentClient::new(dialled.channel).max_decoding_message_size(MESSAGE_LIMIT);
    let reply = tokio::time::timeout(ENROL_TIMEOUT, client.reattest(wire::ReattestRequest::from(call))).await;
    let reply = reply.map_err(|_| EnrolError::TimedOut)??;
    accept(reply.into_inner(), pin, uid, key)
}

/// Checks that what came is for us: our key, our uid, and the authority that was pinned.
fn accept(reply: wire::CertificateReply, pin: CaPin, uid: &ClusterUid, key: &AgentKey) -> Result<Enrolled, EnrolError> {
    let issued = Issued::try_from(reply)?;
    let authority = CertificateChain::from_pem(&issued.authority_pem)?;
    if !authority.certificates().iter().any(|der| CaPin::of(der) == Ok(pin)) {
        return Err(EnrolError::Answer("the pinned authority is not among those to trust".into()));
    }
    let certificate = certificate_for(&issued.certificate_pem, uid, key)?;
    let root = issued.root.ok_or_else(|| EnrolError::Answer("there is no root document".into()))?;
    Ok(Enrolled { certificate, authority, root })
}

/// Reads a certificate that must be for our key and our uid.
pub(crate) fn certificate_for(pem: &str, uid: &ClusterUid, key: &AgentKey) -> Result<AgentCertificate, EnrolError> {
    let certificate = AgentCertificate::new(CertificateChain::from_pem(pem)?)?;
    if certificate.facts.key != key.fingerprint() {
        return Err(EnrolError::Answer("the certificate is for another key".into()));
    }
    if certificate.facts.identity.uid != *uid {
        return Err(EnrolError::Answer(format!("the certificate is for the cluster with uid {}", certificate.facts.identity.uid)));
    }
    Ok(certificate)
}
