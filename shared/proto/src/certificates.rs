//! Enrolment, re-attestation and renewal, both ways. Requests for certificates stay text here; `shared/identity` reads them.

use shared_model::ClusterUid;
use shared_session::{OBJECT_NAME_LIMIT, RootDocument, Secret};

use crate::INDEX_LIMIT;
use crate::field::{WireError, content, name, text};
use crate::wire;

/// The longest token: 256 random bits are 43 characters of base64; the rest is room for a prefix.
pub const TOKEN_LIMIT: usize = 128;

/// The longest request or chain in PEM that is read at all.
const PEM_LIMIT: usize = 16 * 1024;

/// The longest proof: an ECDSA P-256 signature in DER has at most 72 bytes.
const PROOF_LIMIT: usize = 72;

/// A cluster asks to be taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolCall {
    /// The one-time token.
    pub token: Secret,
    /// The uid of the cluster's `kube-system` namespace.
    pub uid: ClusterUid,
    /// A signing request for the agent's key.
    pub csr_pem: String,
    /// The agent's own version.
    pub agent_version: String,
}

/// A known cluster asks for a new certificate after its old one ran out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReattestCall {
    /// The uid of the cluster.
    pub uid: ClusterUid,
    /// A signing request for the bound key.
    pub csr_pem: String,
    /// Proof that the bound key is at the other end of this connection.
    pub proof: Vec<u8>,
}

/// A certificate as a hub hands it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The agent's chain, leaf first.
    pub certificate_pem: String,
    /// The authorities to trust.
    pub authority_pem: String,
    /// The newest root document; absent on renewal.
    pub root: Option<RootDocument>,
}

impl TryFrom<wire::EnrolRequest> for EnrolCall {
    type Error = WireError;

    fn try_from(request: wire::EnrolRequest) -> Result<Self, WireError> {
        let token = Secret::new(text("token", request.token, TOKEN_LIMIT)?.into_bytes());
        Ok(Self {
            token,
            uid: name("cluster_uid", &request.cluster_uid)?,
            csr_pem: text("csr_pem", request.csr_pem, PEM_LIMIT)?,
            agent_version: text("agent_version", request.agent_version, OBJECT_NAME_LIMIT)?,
        })
    }
}

impl From<EnrolCall> for wire::EnrolRequest {
    fn from(call: EnrolCall) -> Self {
        Self {
            token: String::from_utf8_lossy(call.token.expose()).into_owned(),
            cluster_uid: call.uid.to_string(),
            csr_pem: call.csr_pem,
            agent_version: call.agent_version,
        }
    }
}

impl TryFrom<wire::ReattestRequest> for ReattestCall {
    type Error = WireError;

    fn try_from(request: wire::ReattestRequest) -> Result<Self, WireError> {
        Ok(Self {
            uid: name("cluster_uid", &request.cluster_uid)?,
            csr_pem: text("csr_pem", request.csr_pem, PEM_LIMIT)?,
            proof: content("proof", request.proof, PROOF_LIMIT)?.to_vec(),
        })
    }
}

impl From<ReattestCall> for wire::ReattestRequest {
    fn from(call: ReattestCall) -> Self {
        Self { cluster_uid: call.uid.to_string(), csr_pem: call.csr_pem, proof: call.proof.into() }
    }
}

impl TryFrom<wire::CertificateReply> for Issued {
    type Error = WireError;

    fn try_from(reply: wire::CertificateReply) -> Result<Self, WireError> {
        Ok(Self {
            certificate_pem: text("certificate_pem", reply.certificate_pem, PEM_LIMIT)?,
            authority_pem: text("authority_pem", reply.authority_pem, PEM_LIMIT)?,
            root: reply.root.map(|root| content("root", root.content, INDEX_LIMIT).map(RootDocument::new)).transpose()?,
        })
    }
}

impl From<Issued> for wire::CertificateReply {
    fn from(issued: Issued) -> Self {
        Self {
            certificate_pem: issued.certificate_pem,
            authority_pem: issued.authority_pem,
            root: issued.root.map(|root| wire::Document { content: root.bytes().clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_replies_read_back_and_no_token_is_shown() {
        let call = EnrolCall {
            token: Secret::new(b"canary".to_vec()),
            uid: "u-1".parse().unwrap(),
            csr_pem: "csr".into(),
            agent_version: "1".into(),
        };
        let wire = wire::EnrolRequest::from(call.clone());
        assert_eq!(EnrolCall::try_from(wire), Ok(call.clone()));
        assert!(!format!("{call:?}").contains("canary"));
        let reattest = ReattestCall { uid: "u-1".parse().unwrap(), csr_pem: "csr".into(), proof: vec![1; 70] };
        assert_eq!(ReattestCall::try_from(wire::ReattestRequest::from(reattest.clone())), Ok(reattest));
        let issued = Issued { certificate_pem: "c".into(), authority_pem: "a".into(), root: Some(RootDocument::new(b"root".to_vec())) };
        assert_eq!(Issued::try_from(wire::CertificateReply::from(issued.clone())), Ok(issued));
    }

    #[test]
    fn a_token_or_uid_out_of_bounds_is_refused() {
        let request = |token: usize, uid: &str| wire::EnrolRequest {
            token: "t".repeat(token),
            cluster_uid: uid.into(),
            ..wire::EnrolRequest::default()
        };
        assert!(EnrolCall::try_from(request(TOKEN_LIMIT, "u")).is_ok());
        assert!(matches!(EnrolCall::try_from(request(TOKEN_LIMIT + 1, "u")), Err(WireError::TooLong { .. })));
        assert!(matches!(EnrolCall::try_from(request(1, "../u")), Err(WireError::Invalid { .. })));
    }
}
