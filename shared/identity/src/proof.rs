//! Proof that a peer without a valid certificate holds a key: a signature over what only the two ends of this one TLS connection know
//! (RFC 5705 / RFC 8446 §7.5). The connection itself is the challenge, so that a recorded proof is worth nothing anywhere else.

use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use shared_model::ClusterUid;

use crate::key::{AgentKey, KeyError};
use crate::request::CertificateRequest;

/// The label under which both ends derive the binding.
pub(crate) const EXPORTER_LABEL: &[u8] = b"EXPORTER-capstan-reattestation-v1";

/// What is signed begins with this, so that the signature is good for nothing else.
const CONTEXT: &[u8] = b"capstan re-attestation v1\0";

/// 32 bytes that only the two ends of one TLS connection know.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionBinding(pub(crate) [u8; 32]);

impl std::fmt::Debug for ConnectionBinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConnectionBinding(..)")
    }
}

/// The signature does not prove possession of the key on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the proof of possession was not made with this key, for this cluster, on this connection")]
pub struct ProofError;

fn message(binding: &ConnectionBinding, uid: &ClusterUid) -> Vec<u8> {
    [CONTEXT, binding.0.as_slice(), uid.as_str().as_bytes()].concat()
}

impl AgentKey {
    /// Proves on one connection that this key is held by the agent of cluster `uid`.
    pub fn prove(&self, binding: &ConnectionBinding, uid: &ClusterUid) -> Result<Vec<u8>, KeyError> {
        self.sign(&message(binding, uid))
    }
}

impl CertificateRequest {
    /// Checks that the holder of the request's key is at the other end of this connection and speaks for cluster `uid`.
    pub fn verify_proof(&self, binding: &ConnectionBinding, uid: &ClusterUid, proof: &[u8]) -> Result<(), ProofError> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, self.public_key_bits())
            .verify(&message(binding, uid), proof)
            .map_err(|_| ProofError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_bound_to_key_connection_and_cluster() {
        let key = AgentKey::generate().unwrap();
        let request = CertificateRequest::parse(&key.request().unwrap()).unwrap();
        let (here, there) = (ConnectionBinding([1; 32]), ConnectionBinding([2; 32]));
        let (uid, other): (ClusterUid, ClusterUid) = ("u-1".parse().unwrap(), "u-2".parse().unwrap());
        let proof = key.prove(&here, &uid).unwrap();
        assert_eq!(request.verify_proof(&here, &uid, &proof), Ok(()));
        assert_eq!(request.verify_proof(&there, &uid, &proof), Err(ProofError), "another connection");
        assert_eq!(request.verify_proof(&here, &other, &proof), Err(ProofError), "another cluster");
        let stranger = AgentKey::generate().unwrap().prove(&here, &uid).unwrap();
        assert_eq!(request.verify_proof(&here, &uid, &stranger), Err(ProofError), "another key");
    }
}
