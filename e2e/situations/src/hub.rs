//! A hub played by a test: it signs indexes with a key of its own and hands them, and what they name, to an agent's door. What a real hub
//! decides (rendering, waves, what is withdrawn) the test says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent_agentd::Intake;
use anyhow::Context as _;
use serde_json::Value;
use shared_manifest::Object;
use shared_model::{AppName, ClusterUid, Digest, Epoch, Generation, ServiceAccount, Timestamp};
use shared_release::{
    AppKey, Apply, Approval, DataKey, Entry, Freshness, HealthRule, Hold, Hook, Index, IndexApp, Policy, Release, Removal, Root,
    SigningKey, TestRequest, Withdrawal, encode_object,
};

/// The name that the cluster has in the indexes.
pub const CLUSTER: &str = "test";

/// How many missing contents are asked for at once; any number would do.
const CONTENTS_AT_ONCE: usize = 256;

/// An object as it is published.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedObject {
    /// The manifest.
    pub manifest: Value,
    /// Its wave.
    pub wave: i32,
    /// If it is a hook.
    pub hook: Option<Hook>,
    /// How it is treated.
    pub policy: Policy,
}

impl PublishedObject {
    /// An object in wave 0 that is treated as all are.
    pub fn plain(manifest: Value) -> Self {
        Self { manifest, wave: 0, hook: None, policy: Policy::default() }
    }
}

/// An app as it is published.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PublishedApp {
    /// What it consists of; `None` when it leaves the cluster.
    pub objects: Option<Vec<PublishedObject>>,
    /// What it consisted of, while hooks of its removal run, and the number of that removal.
    pub removes: Option<(Vec<PublishedObject>, u64)>,
    /// What it no longer has.
    pub withdrawals: BTreeSet<Withdrawal>,
    /// Its withdrawals are approved.
    pub approved: bool,
    /// The apps that come first.
    pub depends_on: BTreeSet<AppName>,
    /// It is applied as a whole or not at all.
    pub transactional: bool,
    /// Nothing of it is changed for this long, and why.
    pub hold: Option<(Duration, String)>,
    /// Whose rights it is written with; the agent's own if `None`.
    pub service_account: Option<ServiceAccount>,
    /// The request to run its tests.
    pub test: Option<TestRequest>,
    /// How it judges objects itself.
    pub judged: Vec<HealthRule>,
}

/// Everything that is published at once.
pub type Publication = BTreeMap<AppName, PublishedApp>;

/// The hub of one cluster.
pub struct TestHub {
    key: SigningKey,
    uid: ClusterUid,
    data_key: DataKey,
    sequence: Arc<AtomicU64>,
}

impl TestHub {
    /// The hub of the cluster with this uid.
    pub fn new(uid: ClusterUid) -> Self {
        Self::numbering(uid, Arc::default())
    }

    /// One that takes its numbers from `sequence`, as the next one of the same cluster does.
    pub fn numbering(uid: ClusterUid, sequence: Arc<AtomicU64>) -> Self {
        Self { key: SigningKey::from_seed([3; 32]), uid, data_key: DataKey::from_bytes([5; 32]), sequence }
    }

    /// Lets an agent trust this hub.
    ///
    /// # Errors
    /// The agent trusts another one, or cannot write its ledger.
    pub fn introduce_to(&self, agent: &Intake) -> anyhow::Result<()> {
        let root = Root { version: 1, epoch: Epoch(1), keys: vec![self.key.public()], authorities: Vec::new(), previous: None };
        agent.offer_root(&root.sign(&[&self.key])).map_err(|reason| anyhow::anyhow!("{reason}"))
    }

    /// Publishes `apps` as the next index, delivers what it names, and says that it is still wanted.
    ///
    /// # Errors
    /// The agent refuses it.
    pub fn publish(&self, agent: &Intake, apps: &Publication) -> anyhow::Result<()> {
        self.publish_unconfirmed(agent, apps)?;
        self.confirm(agent)
    }

    /// As [`Self::publish`], but does not say that it is still wanted: the hub is gone right after.
    ///
    /// # Errors
    /// The agent refuses it.
    pub fn publish_unconfirmed(&self, agent: &Intake, apps: &Publication) -> anyhow::Result<()> {
        let contents = self.offer(agent, self.next_sequence(), apps)?;
        deliver(agent, &contents)
    }

    /// Publishes an index whose content never comes.
    ///
    /// # Errors
    /// The agent refuses it.
    pub fn publish_without_content(&self, agent: &Intake, apps: &Publication) -> anyhow::Result<()> {
        self.offer(agent, self.next_sequence(), apps)?;
        self.confirm(agent)
    }

    /// Publishes an index under a number of one's own.
    ///
    /// # Errors
    /// The agent refuses it, as it must if it has seen a newer one.
    pub fn publish_at_sequence(&self, agent: &Intake, sequence: u64, apps: &Publication) -> anyhow::Result<()> {
        let contents = self.offer(agent, sequence, apps)?;
        deliver(agent, &contents)
    }

    /// Says that the index that the agent holds is still wanted.
    ///
    /// # Errors
    /// The agent holds none, or does not believe it.
    pub fn confirm(&self, agent: &Intake) -> anyhow::Result<()> {
        let held = agent.held().context("no index is held")?;
        let statement = Freshness { uid: self.uid.clone(), index: held, at: Timestamp::now() };
        agent.confirm(&statement.sign(&self.key), Timestamp::now()).map_err(|reason| anyhow::anyhow!("{reason}"))
    }

    fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn offer(&self, agent: &Intake, sequence: u64, apps: &Publication) -> anyhow::Result<BTreeMap<Digest, Vec<u8>>> {
        let mut contents = BTreeMap::new();
        let mut keys = BTreeMap::new();
        let mut index = Index {
            cluster: CLUSTER.parse()?,
            uid: self.uid.clone(),
            generation: Generation::new(1, sequence),
            parent: None,
            apps: BTreeMap::new(),
        };
        for (name, app) in apps {
            let key = self.data_key.app_key(name);
            let mut content = IndexApp {
                withdrawals: app.withdrawals.clone(),
                depends_on: app.depends_on.clone(),
                service_account: app.service_account.clone(),
                test: app.test.clone(),
                ..IndexApp::default()
            };
            if let Some(objects) = &app.objects {
                let apply = if app.transactional { Apply::Transactional } else { Apply::Isolated };
                let (digest, bytes) = release(name, objects, &key, &mut contents)?.applied(apply).judged(app.judged.clone()).encode();
                contents.insert(digest, bytes);
                content.release = Some(digest);
            } else if let Some((objects, number)) = &app.removes {
                let (digest, bytes) = release(name, objects, &key, &mut contents)?.encode();
                contents.insert(digest, bytes);
                content.removal = Some(Removal { release: digest, since: Generation::new(1, *number), complete: true });
            }
            if app.approved {
                content.approval = Some(Approval { of: content.withdrawals_digest(name), by: "tester".into(), at: Timestamp::now() });
            }
            content.hold = app.hold.as_ref().map(|(time, reason)| Hold {
                by: "tester".to_owned(),
                reason: reason.clone(),
                until: Timestamp::now() + *time,
            });
            keys.insert(name.clone(), key);
            index.apps.insert(name.clone(), content);
        }
        let refused = |reason| anyhow::anyhow!("{reason}");
        agent.set_keys(keys).map_err(refused)?;
        agent.offer_index(&index.sign(&self.key)).map_err(refused)?;
        Ok(contents)
    }
}

fn deliver(agent: &Intake, contents: &BTreeMap<Digest, Vec<u8>>) -> anyhow::Result<()> {
    loop {
        let missing = agent.missing(CONTENTS_AT_ONCE);
        if missing.is_empty() {
            return Ok(());
        }
        let found: Option<Vec<_>> = missing.iter().map(|digest| Some((*digest, contents.get(digest)?.clone()))).collect();
        agent.store(&found.context("something is missing that the hub does not have")?).map_err(|reason| anyhow::anyhow!("{reason}"))?;
    }
}

fn release(app: &AppName, objects: &[PublishedObject], key: &AppKey, contents: &mut BTreeMap<Digest, Vec<u8>>) -> anyhow::Result<Release> {
    let mut entries = Vec::new();
    for published in objects {
        let object = Object::from_value(published.manifest.clone())?;
        let (digest, blob) = encode_object(&object, key)?;
        contents.insert(digest, blob);
        entries.push(Entry {
            object: object.key().into(),
            version: object.api_version().rsplit('/').next().unwrap_or_default().to_owned(),
            digest,
            sealed: object.is_secret().then(|| key.id().clone()),
            phase: published.hook.as_ref().and_then(|hook| hook.phases.first().copied()).unwrap_or_default(),
            wave: published.wave,
            hook: published.hook.clone(),
            policy: published.policy.clone(),
        });
    }
    Ok(Release::new(app.clone(), entries))
}
