//! The index: what one cluster should run. The newest replaces all before it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shared_model::{AppName, ClusterName, ClusterUid, Digest, Generation, GroupKind, ObjectKey, ServiceAccount, TestId, Timestamp};

use crate::object::misnamed;
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

/// Somebody's wish that the tests of an app's release, the one in the same index, run once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRequest {
    /// Which request. One that was carried out is never carried out again.
    pub id: TestId,
    /// Who asked.
    pub by: String,
    /// How many seconds the tests may take from when the agent sees the request; at least 1 and at most [`TestRequest::SECONDS_LIMIT`].
    pub seconds: u32,
}

impl TestRequest {
    /// The longest time that tests may take: a day, as tests of trained models do.
    pub const SECONDS_LIMIT: u32 = 86_400;

    /// The longest name of somebody who asks, in bytes: room for that of a token.
    pub const BY_LIMIT: usize = 253;
}

/// Somebody's wish that nothing of an app is changed in this cluster for a while: nothing is applied, healed or deleted until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Who asked.
    pub by: String,
    /// Why, in their words; at most [`Hold::REASON_LIMIT`] bytes.
    pub reason: String,
    /// Until when. The agent's own clock ends it, so that it ends while the hub is away too.
    pub until: Timestamp,
}

impl Hold {
    /// The longest reason, in bytes: a sentence or two with a link.
    pub const REASON_LIMIT: usize = 500;

    /// The longest hold from when it is given: a week. What is to last longer belongs into Git.
    pub const LONGEST: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);
}

/// The removal of an app whose last release has hooks for that. The index names the release until the agent has reported the removal over, so
/// that the hooks are at hand wherever the agent starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    /// The last release.
    pub release: Digest,
    /// The index with which the removal began. Another removal of the same release runs its hooks anew.
    pub since: Generation,
    /// The app's withdrawals name everything that is to go: none is left out because it is not approved yet, or for want of room.
    pub complete: bool,
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
    /// Whose rights everything of this app is written and deleted with; the agent's own if `None`.
    pub service_account: Option<ServiceAccount>,
    /// The request to run the release's tests, until the agent has reported its end.
    pub test: Option<TestRequest>,
    /// Until when nothing of it is changed.
    pub hold: Option<Hold>,
    /// The removal whose hooks run, if the app leaves the cluster and has such hooks; none runs where the objects are to stay.
    pub removal: Option<Removal>,
}

impl IndexApp {
    /// The release whose content it needs: the one that runs, or the last one while its hooks of removal run.
    pub fn content(&self) -> Option<Digest> {
        self.release.or_else(|| self.removal.map(|removal| removal.release))
    }

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

    /// The most requests for tests that one index holds at a time: 200 of about 400 bytes at most are 80 KB of its 2 MiB.
    pub const TEST_LIMIT: usize = 200;

    /// Signs it.
    pub fn sign(&self, key: &SigningKey) -> SignedIndex {
        let format = self.format();
        SignedIndex(Signed::sign(format, format.encode(&IndexFile::from(self)), &[key]))
    }

    /// The oldest format whose readers do what this index asks. One of version 1 would pass over a service account and use its own rights, and
    /// over a hold and change what is held, so that an index with one of these is not for it. One of version 2 would delete without running the
    /// hooks that must succeed first.
    fn format(&self) -> Format {
        if self.apps.values().any(|app| app.removal.is_some()) {
            return Format::INDEX;
        }
        let asks_more = self.apps.values().any(|app| app.service_account.is_some() || app.hold.is_some());
        if asks_more { Format::INDEX_V2 } else { Format::INDEX_V1 }
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
    #[serde(rename = "serviceAccount", default, skip_serializing_if = "Option::is_none")]
    service_account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    test: Option<TestFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold: Option<HoldFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    removal: Option<RemovalFile>,
}

#[derive(Serialize, Deserialize)]
struct RemovalFile {
    release: String,
    epoch: u64,
    sequence: u64,
    complete: bool,
}

#[derive(Serialize, Deserialize)]
struct HoldFile {
    by: String,
    reason: String,
    until: String,
}

#[derive(Serialize, Deserialize)]
struct TestFile {
    request: String,
    by: String,
    seconds: u32,
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
            service_account: app.service_account.as_ref().map(ToString::to_string),
            test: app.test.as_ref().map(|test| TestFile { request: test.id.to_string(), by: test.by.clone(), seconds: test.seconds }),
            hold: app.hold.as_ref().map(|hold| HoldFile {
                by: hold.by.clone(),
                reason: hold.reason.clone(),
                until: hold.until.to_string(),
            }),
            removal: app.removal.as_ref().map(|removal| RemovalFile {
                release: removal.release.to_string(),
                epoch: removal.since.epoch.0,
                sequence: removal.since.sequence.0,
                complete: removal.complete,
            }),
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
        let test = |file: TestFile| -> Result<TestRequest, DecodeError> {
            if !(1..=TestRequest::SECONDS_LIMIT).contains(&file.seconds) {
                return Err(malformed(format!("tests may take 1 to {} seconds, not {}", TestRequest::SECONDS_LIMIT, file.seconds)));
            }
            if file.by.len() > TestRequest::BY_LIMIT {
                return Err(malformed("the name of who asks for tests is too long"));
            }
            Ok(TestRequest { id: file.request.parse().map_err(malformed)?, by: file.by, seconds: file.seconds })
        };
        let hold = |file: HoldFile| -> Result<Hold, DecodeError> {
            if file.reason.len() > Hold::REASON_LIMIT || file.by.len() > TestRequest::BY_LIMIT {
                return Err(malformed("the reason of a hold, or the name of who asked for it, is too long"));
            }
            Ok(Hold { by: file.by, reason: file.reason, until: file.until.parse().map_err(malformed)? })
        };
        let removal = |file: RemovalFile| -> Result<Removal, DecodeError> {
            let since = Generation::new(file.epoch, file.sequence);
            Ok(Removal { release: file.release.parse().map_err(malformed)?, since, complete: file.complete })
        };
        if file.removal.is_some() && file.release.is_some() {
            return Err(malformed("an app runs a release and is removed at once"));
        }
        Ok(Self {
            release: file.release.map(|digest| digest.parse().map_err(malformed)).transpose()?,
            withdrawals: file.withdrawals.into_iter().map(Withdrawal::try_from).collect::<Result<_, _>>()?,
            approval: file.approval.map(approval).transpose()?,
            depends_on: file.depends_on.iter().map(|name| name.parse().map_err(malformed)).collect::<Result<_, _>>()?,
            service_account: file.service_account.map(|account| account.parse().map_err(malformed)).transpose()?,
            test: file.test.map(test).transpose()?,
            hold: file.hold.map(hold).transpose()?,
            removal: file.removal.map(removal).transpose()?,
        })
    }
}

impl TryFrom<WithdrawalFile> for Withdrawal {
    type Error = DecodeError;

    fn try_from(file: WithdrawalFile) -> Result<Self, DecodeError> {
        let object = ObjectKey::new(GroupKind::new(file.group, file.kind), file.namespace.as_deref(), file.name);
        if let Some(problem) = misnamed(&object) {
            return Err(malformed(problem));
        }
        Ok(Self { object, to: file.to.map(|name| name.parse().map_err(malformed)).transpose()? })
    }
}
