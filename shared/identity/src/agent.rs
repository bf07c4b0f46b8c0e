//! Who an agent is: the one URI SAN of its certificate as an exact structured value. Whether that agent is admitted is the hub's business.

use std::fmt;
use std::str::FromStr;

use shared_model::{ClusterName, ClusterUid, InvalidName};

/// The SPIFFE trust domain of every agent of Capstan; fleets are told apart by their certificate authority.
pub const TRUST_DOMAIN: &str = "capstan";

/// A cluster by name and uid, as its agent's certificate states it: `spiffe://capstan/cluster/<name>/<uid>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentIdentity {
    /// The cluster's name in the fleet.
    pub cluster: ClusterName,
    /// The uid of its `kube-system` namespace.
    pub uid: ClusterUid,
}

/// A certificate or URI does not state an agent's identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The bytes are no X.509 certificate.
    #[error("the peer's certificate cannot be read")]
    Unreadable,
    /// There must be exactly one subject alternative name, and it must be a URI.
    #[error(
        "an agent's certificate states exactly one URI name, this one has {names} names of which {uris} are URIs; enrol the agent again"
    )]
    NotOneUri {
        /// Subject alternative names of any type.
        names: usize,
        /// URI names among them.
        uris: usize,
    },
    /// The URI is not of our form.
    #[error("\"{uri}\" is no agent identity; one is written spiffe://capstan/cluster/NAME/UID")]
    NotAnAgent {
        /// What was read, cut to 200 characters.
        uri: String,
    },
    /// The name or uid in the URI breaks its rule.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl AgentIdentity {
    /// The identity of cluster `cluster` with uid `uid`.
    pub fn new(cluster: ClusterName, uid: ClusterUid) -> Self {
        Self { cluster, uid }
    }

    /// The URI that stands in certificates.
    pub fn uri(&self) -> String {
        format!("spiffe://{TRUST_DOMAIN}/cluster/{}/{}", self.cluster, self.uid)
    }
}

impl fmt::Display for AgentIdentity {
    /// `gpu-a (uid 6f0c…)`, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (uid {})", self.cluster, self.uid)
    }
}

impl FromStr for AgentIdentity {
    type Err = IdentityError;

    /// Reads the URI form; anything but the one spelling is refused.
    fn from_str(uri: &str) -> Result<Self, IdentityError> {
        let not_an_agent = || IdentityError::NotAnAgent { uri: uri.chars().take(200).collect() };
        let path = uri.strip_prefix("spiffe://").and_then(|rest| rest.strip_prefix(TRUST_DOMAIN)).ok_or_else(not_an_agent)?;
        let (cluster, uid) = path.strip_prefix("/cluster/").and_then(|rest| rest.split_once('/')).ok_or_else(not_an_agent)?;
        Ok(Self { cluster: cluster.parse()?, uid: uid.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_what_it_writes() {
        let identity = AgentIdentity::new("gpu-a".parse().unwrap(), "6f0c-1".parse().unwrap());
        assert_eq!(identity.uri(), "spiffe://capstan/cluster/gpu-a/6f0c-1");
        assert_eq!(identity.uri().parse(), Ok(identity));
    }

    #[test]
    fn anything_but_the_one_spelling_is_refused() {
        for bad in [
            "",
            "spiffe://capstan",
            "spiffe://capstan/cluster/a",
            "spiffe://capstan/cluster/a/",
            "spiffe://capstan/cluster//b",
            "spiffe://capstan/cluster/a/b/c",
            "spiffe://capstan/cluster/a/b/",
            "spiffe://capstan/cluster/A/b",
            "spiffe://capstan/cluster/a/b?x",
            "spiffe://capstan/cluster/%61/b",
            "spiffe://capstanx/cluster/a/b",
            "spiffe://other/cluster/a/b",
            "SPIFFE://capstan/cluster/a/b",
            "https://capstan/cluster/a/b",
        ] {
            assert!(bad.parse::<AgentIdentity>().is_err(), "{bad}");
        }
    }
}
