//! Whether an index is accepted: signed by a trusted key, for this very cluster, and newer than everything before it.

use shared_model::{ClusterName, ClusterUid, Digest, Generation, Reason, Severity};
use shared_release::{Index, Root, SignedIndex, VerifyError};

/// Who this agent is and what it has accepted so far.
#[derive(Debug, Clone, Copy)]
pub struct Standpoint<'a> {
    /// The cluster's name.
    pub cluster: &'a ClusterName,
    /// Its uid.
    pub uid: &'a ClusterUid,
    /// The trusted root.
    pub root: &'a Root,
    /// Nothing older than this is accepted.
    pub floor: Generation,
    /// The digest of the index that is held.
    pub held: Option<Digest>,
}

/// Why an index is refused. Nothing of a refused index is used, and the one before it stays in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexRefusal {
    /// Not signed by a trusted key, or not readable.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Made for another cluster.
    #[error("this index is for cluster {name} ({uid}), not for this one; the hub must not send it here")]
    OtherCluster {
        /// For which cluster it is.
        name: ClusterName,
        /// Its uid.
        uid: ClusterUid,
    },
    /// Older than what was accepted.
    #[error(
        "index {offered} is older than {floor}, which this agent has seen; if the hub was restored from a backup, raise its epoch with `capstan-hub restore`"
    )]
    Older {
        /// The index that was offered.
        offered: Generation,
        /// The newest that was seen.
        floor: Generation,
    },
    /// Another content under a number that was already used.
    #[error("index {generation} was accepted before with another content; a hub never uses a number twice, so this one is not believed")]
    Reused {
        /// The number.
        generation: Generation,
    },
}

impl IndexRefusal {
    /// The reason that hub and operator see.
    pub fn reason(&self) -> Reason {
        let code = match self {
            Self::Verify(_) => "IndexNotTrusted",
            Self::OtherCluster { .. } => "IndexForOtherCluster",
            Self::Older { .. } => "IndexOlder",
            Self::Reused { .. } => "IndexNumberReused",
        };
        Reason::new(Severity::Error, code, self.to_string())
    }
}

/// Judges an index that was offered.
pub fn judge_index(signed: &SignedIndex, standpoint: &Standpoint<'_>) -> Result<Index, IndexRefusal> {
    let index = signed.verify(&standpoint.root.keys)?;
    if index.cluster != *standpoint.cluster || index.uid != *standpoint.uid {
        return Err(IndexRefusal::OtherCluster { name: index.cluster, uid: index.uid });
    }
    if index.generation < standpoint.floor || index.generation.epoch < standpoint.root.epoch {
        return Err(IndexRefusal::Older { offered: index.generation, floor: standpoint.floor });
    }
    if index.generation == standpoint.floor && standpoint.held.is_some_and(|held| held != signed.digest()) {
        return Err(IndexRefusal::Reused { generation: index.generation });
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use shared_model::Epoch;
    use shared_release::{IndexApp, SigningKey};

    use super::*;

    fn index(cluster: &str, generation: Generation) -> Index {
        Index {
            cluster: cluster.parse().expect("valid"),
            uid: "u-1".parse().expect("valid"),
            generation,
            parent: None,
            apps: BTreeMap::new(),
        }
    }

    #[test]
    fn only_a_newer_index_of_this_cluster_by_a_trusted_key_is_accepted() {
        let (key, stranger) = (SigningKey::from_seed([1; 32]), SigningKey::from_seed([2; 32]));
        let root = Root { version: 1, epoch: Epoch(2), keys: vec![key.public()], authorities: Vec::new(), previous: None };
        let (cluster, uid) = ("gpu-a".parse().expect("valid"), "u-1".parse().expect("valid"));
        let held = index("gpu-a", Generation::new(2, 7));
        let held_digest = held.sign(&key).digest();
        let standpoint = Standpoint { cluster: &cluster, uid: &uid, root: &root, floor: Generation::new(2, 7), held: Some(held_digest) };
        let code = |signed: SignedIndex| judge_index(&signed, &standpoint).map_err(|refusal| refusal.reason().code);

        assert!(code(index("gpu-a", Generation::new(2, 8)).sign(&key)).is_ok());
        assert!(code(index("gpu-a", Generation::new(3, 1)).sign(&key)).is_ok(), "a later epoch begins anew");
        assert!(code(held.sign(&key)).is_ok(), "the same index again is nothing new");
        assert_eq!(code(index("gpu-a", Generation::new(2, 6)).sign(&key)), Err("IndexOlder".into()));
        assert_eq!(code(index("gpu-a", Generation::new(1, 99)).sign(&key)), Err("IndexOlder".into()));
        assert_eq!(code(index("gpu-b", Generation::new(2, 8)).sign(&key)), Err("IndexForOtherCluster".into()));
        assert_eq!(code(index("gpu-a", Generation::new(2, 8)).sign(&stranger)), Err("IndexNotTrusted".into()));
        let mut other = held;
        other.apps.insert("web".parse().expect("valid"), IndexApp::default());
        assert_eq!(code(other.sign(&key)), Err("IndexNumberReused".into()));
    }

    #[test]
    fn a_changed_byte_breaks_the_signature() {
        let key = SigningKey::from_seed([1; 32]);
        let root = Root { version: 1, epoch: Epoch(1), keys: vec![key.public()], authorities: Vec::new(), previous: None };
        let (cluster, uid) = ("gpu-a".parse().expect("valid"), "u-1".parse().expect("valid"));
        let standpoint = Standpoint { cluster: &cluster, uid: &uid, root: &root, floor: Generation::default(), held: None };
        let a = String::from_utf8(index("gpu-a", Generation::new(1, 1)).sign(&key).to_bytes()).expect("JSON");
        let b = String::from_utf8(index("gpu-a", Generation::new(1, 2)).sign(&key).to_bytes()).expect("JSON");
        let signature = |text: &str| text.split("\"sig\":\"").nth(1).expect("signed").split('"').next().expect("ends").to_owned();
        let forged = a.replace(&signature(&a), &signature(&b));
        let refusal = judge_index(&SignedIndex::from_bytes(forged.as_bytes()).expect("readable"), &standpoint).expect_err("refused");
        assert!(matches!(refusal, IndexRefusal::Verify(VerifyError::BadSignature { .. })), "{refusal}");
    }
}
