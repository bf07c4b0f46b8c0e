//! The index: what one cluster should run. The newest replaces all before it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shared_model::{AppName, ClusterName, ClusterUid, Digest, Generation, GroupKind, ObjectKey, Timestamp};

use crate::{DecodeError, Format, PublicKey, Signed, SigningKey, VerifyError};

/// An object that an app once had in this cluster and no longer has. Only what is withdrawn is ever deleted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Withdrawal {
    /// The object.
    pub object: ObjectKey,
    /// The app that takes it over. It is then not deleted: it changes hands.
    pub to: Option<AppName>,
}

/// Somebody's word that an app's withdrawals, exactly these, may exceed the deletion budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The digest of what was approved: [`IndexApp::withdrawals_digest`].
    pub of: Digest,
    /// Who approved.
    pub by: String,
    /// When, by the hub's clock.
    pub at: Timestamp,
}

/// One app in an index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexApp {
    /// What to run; `None` when the app leaves the cluster.
    pub release: Option<Digest>,
    /// What it no longer has, until the agent has reported it gone.
    pub withdrawals: BTreeSet<Withdrawal>,
    /// The approval of withdrawals over the budget.
    pub approval: Option<Approval>,
    /// The apps that must be healthy at their wanted release first, in this cluster.
    pub depends_on: BTreeSet<AppName>,
}

impl IndexApp {
    /// The digest that an approval is bound to: the app, and the objects whose deletion it asks for, exactly.
    pub fn withdrawals_digest(&self, app: &AppName) -> Digest {
        let mut text = format!("capstan.dev/withdrawals.v1\n{app}\n");
        for withdrawal in self.withdrawals.iter().filter(|withdrawal| withdrawal.to.is_none()) {
            text.push_str(&format!("{}\n", withdrawal.object));
        }
        Digest::of(text.as_bytes())
    }

    /// Whether the withdrawals, as they stand, were approved.
    pub fn is_approved(&self, app: &AppName) -> bool {
        self.approval.as_ref().is_some_and(|approval| approval.of == self.withdrawals_digest(app))
    }
}

/// What one cluster should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The cluster's name.
    pub cluster: ClusterName,
    /// Which cluster that is.
    pub uid: ClusterUid,
    /// Its number.
    pub generation: Generation,
    /// The index before it, if there was one.
    pub parent: Option<Generation>,
    /// The apps.
    pub apps: BTreeMap<AppName, IndexApp>,
}

impl Index {
    /// The most apps in one cluster.
    pub const APP_LIMIT: usize = 5_000;

    /// Signs it.
    pub fn sign(&self, key: &SigningKey) -> SignedIndex {
        SignedIndex(Signed::sign(Format::INDEX, Format::INDEX.encode(&IndexFile::from(self)), &[key]))
    }

    /// Whether both ask for the same, whatever their numbers.
    pub fn same_content(&self, other: &Self) -> bool {
        self.cluster == other.cluster && self.uid == other.uid && self.apps == other.apps
    }
}

/// An index with its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIndex(Signed);

impl SignedIndex {
    /// Reads the envelope; believes nothing yet.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Signed::decode(Format::INDEX, bytes).map(Self)
    }

    /// As it is stored and sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.encode()
    }

    /// The digest of the index.
    pub fn digest(&self) -> Digest {
        self.0.digest()
    }

    /// The index, if one of `keys` signed it.
    pub fn verify(&self, keys: &[PublicKey]) -> Result<Index, VerifyError> {
        let file: IndexFile = Format::INDEX.decode(self.0.verify(keys)?)?;
        Ok(file.try_into()?)
    }

    /// The index without a look at its signature, for the hub that stored it itself.
    pub fn read_own(&self) -> Result<Index, DecodeError> {
        Format::INDEX.decode::<IndexFile>(self.0.payload())?.try_into()
    }
}

#[derive(Serialize, Deserialize)]
struct IndexFile {
    cluster: String,
    uid: String,
    epoch: u64,
    sequence: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<ParentFile>,
    apps: BTreeMap<String, AppFile>,
}

#[derive(Serialize, Deserialize)]
struct ParentFile {
    epoch: u64,
    sequence: u64,
}

#[derive(Serialize, Deserialize)]
struct AppFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    withdrawals: Vec<WithdrawalFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    approval: Option<ApprovalFile>,
    #[serde(rename = "dependsOn", default, skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct WithdrawalFile {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    group: String,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct ApprovalFile {
    of: String,
    by: String,
    at: String,
}

impl From<&Index> for IndexFile {
    fn from(index: &Index) -> Self {
        let app = |app: &IndexApp| AppFile {
            release: app.release.as_ref().map(ToString::to_string),
            withdrawals: app.withdrawals.iter().map(WithdrawalFile::from).collect(),
            approval: app.approval.as_ref().map(|approval| ApprovalFile {
                of: approval.of.to_string(),
                by: approval.by.clone(),
                at: approval.at.to_string(),
            }),
            depends_on: app.depends_on.iter().map(ToString::to_string).collect(),
        };
        Self {
            cluster: index.cluster.to_string(),
            uid: index.uid.to_string(),
            epoch: index.generation.epoch.0,
            sequence: index.generation.sequence.0,
            parent: index.parent.map(|parent| ParentFile { epoch: parent.epoch.0, sequence: parent.sequence.0 }),
            apps: index.apps.iter().map(|(name, content)| (name.to_string(), app(content))).collect(),
        }
    }
}

impl From<&Withdrawal> for WithdrawalFile {
    fn from(withdrawal: &Withdrawal) -> Self {
        let ObjectKey { kind, namespace, name } = withdrawal.object.clone();
        Self { group: kind.group, kind: kind.kind, namespace, name, to: withdrawal.to.as_ref().map(ToString::to_string) }
    }
}

fn malformed(error: impl std::fmt::Display) -> DecodeError {
    DecodeError::Malformed { format: Format::INDEX.name, detail: error.to_string() }
}

impl TryFrom<IndexFile> for Index {
    type Error = DecodeError;

    fn try_from(file: IndexFile) -> Result<Self, DecodeError> {
        if file.apps.len() > Self::APP_LIMIT {
            return Err(malformed(format!("{} apps are more than {}", file.apps.len(), Self::APP_LIMIT)));
        }
        let mut apps = BTreeMap::new();
        for (name, app) in file.apps {
            apps.insert(name.parse().map_err(malformed)?, app.try_into()?);
        }
        Ok(Self {
            cluster: file.cluster.parse().map_err(malformed)?,
            uid: file.uid.parse().map_err(malformed)?,
            generation: Generation::new(file.epoch, file.sequence),
            parent: file.parent.map(|parent| Generation::new(parent.epoch, parent.sequence)),
            apps,
        })
    }
}

impl TryFrom<AppFile> for IndexApp {
    type Error = DecodeError;

    fn try_from(file: AppFile) -> Result<Self, DecodeError> {
        let approval = |file: ApprovalFile| -> Result<Approval, DecodeError> {
            Ok(Approval { of: file.of.parse().map_err(malformed)?, by: file.by, at: file.at.parse().map_err(malformed)? })
        };
        Ok(Self {
            release: file.release.map(|digest| digest.parse().map_err(malformed)).transpose()?,
            withdrawals: file.withdrawals.into_iter().map(Withdrawal::try_from).collect::<Result<_, _>>()?,
            approval: file.approval.map(approval).transpose()?,
            depends_on: file.depends_on.iter().map(|name| name.parse().map_err(malformed)).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<WithdrawalFile> for Withdrawal {
    type Error = DecodeError;

    fn try_from(file: WithdrawalFile) -> Result<Self, DecodeError> {
        Ok(Self {
            object: ObjectKey::new(GroupKind::new(file.group, file.kind), file.namespace.as_deref(), file.name),
            to: file.to.map(|name| name.parse().map_err(malformed)).transpose()?,
        })
    }
}
