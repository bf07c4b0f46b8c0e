//! Looks from outside at what a killed hub left on its disk, and at what an agent did to its API server. It reads a copy of the store, so that the
//! hub itself finds its directory as the kill left it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use e2e_cluster::AuditEvent;
use hub_store::{Entry, Key, PAGE_LIMIT, Prefix, SledConfig, SledStore, Store};
use serde_json::Value;
use shared_model::{AppName, Digest, Generation, ObjectKey, Timestamp};
use shared_release::{Index, Release, SUPPORTED_FEATURES, SignedIndex};

/// What the hub's API has answered with yes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Acknowledged {
    /// Clusters that were added.
    pub(crate) clusters: BTreeSet<String>,
    /// Approvals that were given.
    pub(crate) approvals: BTreeSet<String>,
}

/// An index that was published, as far as one app's ConfigMaps go.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) generation: Generation,
    /// Not later than when an agent could have it.
    pub(crate) at: Timestamp,
    pub(crate) wanted: BTreeSet<String>,
    pub(crate) withdrawn: BTreeSet<String>,
}

/// What was seen on the hub's disk so far.
pub(crate) struct Witness {
    app: AppName,
    cluster: String,
    /// The records of the audit log by their names.
    audit: BTreeMap<String, Vec<u8>>,
    published: BTreeMap<Generation, Published>,
    /// The digest of each index by its number.
    numbers: BTreeMap<Generation, String>,
    indexes: BTreeMap<String, Index>,
    looked_at: BTreeSet<Digest>,
    newest: Generation,
}

impl Witness {
    pub(crate) fn new(app: &str, cluster: &str) -> anyhow::Result<Self> {
        Ok(Self {
            app: app.parse()?,
            cluster: cluster.to_owned(),
            audit: BTreeMap::new(),
            published: BTreeMap::new(),
            numbers: BTreeMap::new(),
            indexes: BTreeMap::new(),
            looked_at: BTreeSet::new(),
            newest: Generation::default(),
        })
    }

    /// Checks what a hub that is gone has left in `data_dir`: everything acknowledged is there, the audit log only grew, and indexes only went
    /// forward, one content under each number, each in the audit log.
    pub(crate) async fn look(&mut self, data_dir: &Path, acknowledged: &Acknowledged) -> anyhow::Result<()> {
        let copy = tempfile::tempdir()?;
        copy_directory(&data_dir.join("store"), copy.path())?;
        let store = SledStore::open(copy.path(), SledConfig { ballast_bytes: 0, ..SledConfig::default() })?;
        let records: BTreeSet<String> = tree(&store, "clusters").await?.into_iter().map(|(key, _)| key.name().to_owned()).collect();
        let lost: Vec<&String> = acknowledged.clusters.difference(&records).collect();
        ensure!(lost.is_empty(), "clusters were acknowledged and are lost: {lost:?}");
        let audit = self.look_at_audit(&store).await?;
        let said = |action: &str, part: &str| audit.iter().any(|(_, found, message)| found == action && message.contains(part));
        let unsaid = acknowledged.clusters.iter().filter(|name| !said("ClusterAdded", &format!("cluster {name} ")));
        let unsaid: Vec<&String> = unsaid.chain(acknowledged.approvals.iter().filter(|digest| !said("Approved", digest))).collect();
        ensure!(unsaid.is_empty(), "acknowledged and not in the audit log: {unsaid:?}");
        self.look_at_indexes(&store, &audit).await
    }

    /// The audit log: time, action and message of each record.
    async fn look_at_audit(&mut self, store: &SledStore) -> anyhow::Result<Vec<(Timestamp, String, String)>> {
        let records = tree(store, "audit").await?;
        let now: BTreeMap<String, Vec<u8>> =
            records.into_iter().map(|(key, entry)| (key.name().to_owned(), entry.value.to_vec())).collect();
        let lost = self.audit.iter().find(|(name, record)| now.get(*name) != Some(record));
        ensure!(lost.is_none(), "the audit log lost or changed one of {} records: {lost:?}", self.audit.len());
        self.audit = now;
        // Each book is a chain of its own.
        let mut previous: BTreeMap<&str, Value> = BTreeMap::new();
        let mut said = Vec::with_capacity(self.audit.len());
        for (name, record) in &self.audit {
            let book = name.rsplit_once('/').map_or("", |(book, _)| book);
            let previous = previous.entry(book).or_default();
            let body = &serde_json::from_slice::<Value>(record)?["body"];
            ensure!(body["previous"] == *previous, "the audit log's chain is broken at {name}: {body}");
            *previous = Digest::of(record).to_string().into();
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            said.push((text("at").parse()?, text("action"), text("message")));
        }
        Ok(said)
    }

    async fn look_at_indexes(&mut self, store: &SledStore, audit: &[(Timestamp, String, String)]) -> anyhow::Result<()> {
        self.read_new_blobs(store).await?;
        let mut found: Vec<(Index, String, Timestamp)> = Vec::new();
        for (at, _, message) in audit.iter().filter(|(_, action, _)| action == "IndexPublished") {
            let name = message.split_once("is told index ").context("an IndexPublished without an index")?.1;
            let index = self.indexes.get(name).with_context(|| format!("index {name} was published and is not in the store"))?;
            found.push((index.clone(), name.to_owned(), *at));
        }
        for (key, entry) in tree(store, "targets").await?.into_iter().filter(|(key, _)| key.name() == self.cluster) {
            let digest = serde_json::from_slice::<Value>(&entry.value)?["body"]["index"].as_str().unwrap_or_default().to_owned();
            let bytes = store.get_blob(digest.parse()?).await?.with_context(|| format!("{key} names an index that is not in the store"))?;
            let (index, name) = read_index(&bytes).with_context(|| format!("{key} names no index"))?;
            ensure!(index.generation >= self.newest, "index {name} is in force after {}", self.newest);
            self.newest = index.generation;
            ensure!(found.iter().any(|(_, known, _)| *known == name), "index {name} is in force and the audit log does not say so");
        }
        for (index, name, at) in found {
            let number = self.numbers.entry(index.generation).or_insert_with(|| name.clone());
            ensure!(*number == name, "index {name} came after {number}, of the same number");
            if !self.published.contains_key(&index.generation) {
                let published = self.published(store, &index, at).await?;
                self.published.insert(index.generation, published);
            }
        }
        Ok(())
    }

    async fn published(&self, store: &SledStore, index: &Index, at: Timestamp) -> anyhow::Result<Published> {
        let app = index.apps.get(&self.app).cloned().unwrap_or_default();
        let wanted = match app.release {
            None => BTreeSet::new(),
            Some(digest) => {
                let bytes = store.get_blob(digest).await?.with_context(|| format!("release {digest} is not in the store"))?;
                Release::decode(&bytes, SUPPORTED_FEATURES)?.entries.keys().filter_map(|key| config_map(key)).collect()
            }
        };
        let withdrawn = app.withdrawals.iter().filter(|withdrawal| withdrawal.to.is_none());
        let withdrawn = withdrawn.filter_map(|withdrawal| config_map(&withdrawal.object)).collect();
        Ok(Published { generation: index.generation, at, wanted, withdrawn })
    }

    async fn read_new_blobs(&mut self, store: &SledStore) -> anyhow::Result<()> {
        let mut after = None;
        loop {
            let page = store.list_blobs(after, PAGE_LIMIT).await?;
            for blob in page.blobs {
                if self.looked_at.insert(blob.digest)
                    && let Some(bytes) = store.get_blob(blob.digest).await?
                    && let Some((index, name)) = read_index(&bytes)
                {
                    self.indexes.insert(name, index);
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// The newest index that was seen.
    pub(crate) fn newest(&self) -> Generation {
        self.newest
    }

    /// All that was published, in order.
    pub(crate) fn all_published(&self) -> Vec<&Published> {
        self.published.values().collect()
    }
}

/// The index in a blob, if it is one, and its name as the audit log says it.
fn read_index(bytes: &[u8]) -> Option<(Index, String)> {
    let signed = SignedIndex::from_bytes(bytes).ok()?;
    let index = signed.read_own().ok()?;
    let name = format!("{} ({})", index.generation, signed.digest().short());
    Some((index, name))
}

fn config_map(key: &ObjectKey) -> Option<String> {
    (key.kind.kind == "ConfigMap").then(|| key.name.clone())
}

async fn tree(store: &SledStore, name: &str) -> anyhow::Result<Vec<(Key, Entry)>> {
    let prefix = Prefix::tree(name)?;
    let (mut all, mut after) = (Vec::new(), None::<Key>);
    loop {
        let page = store.range(&prefix, after.as_ref(), PAGE_LIMIT).await?;
        all.extend(page.entries);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

/// Copies a store, without the file that only holds space.
fn copy_directory(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else if entry.file_name() != "ballast" {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// What an agent's requests came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Explained {
    pub(crate) creations: usize,
    pub(crate) deletions: usize,
}

/// Explains the ConfigMaps that an agent created and deleted in `namespace` by the indexes, in the order of their publication: an agent goes from
/// index to index and never back, so each creation needs an index that wants the object, and each deletion one that withdraws it, published
/// before, and none before the one that explains the request before it. A deletion of anything else has no explanation.
pub(crate) fn explain(events: &[AuditEvent], namespace: &str, indexes: &[&Published]) -> anyhow::Result<Explained> {
    let mut reached: BTreeMap<&str, usize> = BTreeMap::new();
    let mut explained = Explained::default();
    for event in events.iter().filter(|event| event.is_write()) {
        let deletes = event.verb.starts_with("delete");
        let (resource, name) = (event.resource.as_deref().unwrap_or_default(), event.name.as_deref().unwrap_or_default());
        if event.namespace.as_deref() == Some("capstan-system") && resource == "secrets" {
            // The agent's own copy of its memory.
            continue;
        }
        if (resource, event.namespace.as_deref()) != ("configmaps", Some(namespace)) || event.verb == "deletecollection" {
            ensure!(!deletes, "nothing withdrew what {} {} deletes", event.verb, event.uri);
            continue;
        }
        if !deletes && event.code != 201 {
            continue;
        }
        let explains = |index: &Published| if deletes { index.withdrawn.contains(name) } else { index.wanted.contains(name) };
        let from = reached.get(name).copied().unwrap_or(0);
        let possible = indexes.iter().enumerate().skip(from).take_while(|(_, index)| index.at <= event.time);
        let Some((at, _)) = possible.into_iter().find(|(_, index)| explains(index)) else {
            let known: Vec<_> = indexes
                .iter()
                .map(|index| (index.generation, index.at, index.wanted.contains(name), index.withdrawn.contains(name)))
                .collect();
            bail!(
                "no index from the {from}th explains {} {} at {}: (generation, at, wanted, withdrawn) {known:#?}",
                event.verb,
                event.uri,
                event.time
            );
        };
        reached.insert(name, at);
        explained.creations += usize::from(!deletes);
        explained.deletions += usize::from(deletes);
    }
    Ok(explained)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("valid")
    }

    /// An index published at a second: objects it wants, objects it withdraws.
    fn index(second: i64, wanted: &[&str], withdrawn: &[&str]) -> Published {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Published {
            generation: Generation::new(1, second.unsigned_abs()),
            at: at(second),
            wanted: names(wanted),
            withdrawn: names(withdrawn),
        }
    }

    fn event(second: i64, verb: &str, resource: &str, namespace: &str, name: &str) -> AuditEvent {
        AuditEvent {
            verb: verb.to_owned(),
            user: "agent".to_owned(),
            acts_as: None,
            uri: format!("/{resource}/{name}"),
            group: Some(String::new()),
            resource: Some(resource.to_owned()),
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            subresource: None,
            code: if verb == "patch" { 201 } else { 200 },
            user_agent: String::new(),
            time: at(second),
        }
    }

    fn judge(events: &[(i64, &str, &str)]) -> Result<Explained, String> {
        let indexes = [index(1, &["a", "b"], &[]), index(3, &["b"], &["a"]), index(5, &["a", "b"], &[])];
        let events: Vec<AuditEvent> = events.iter().map(|(at, verb, name)| event(*at, verb, "configmaps", "load", name)).collect();
        explain(&events, "load", &indexes.iter().collect::<Vec<_>>()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_agent_that_follows_its_indexes_is_explained_also_if_it_asks_twice() {
        let events = [(2, "patch", "a"), (4, "delete", "a"), (4, "delete", "a"), (6, "patch", "a")];
        assert_eq!(judge(&events), Ok(Explained { creations: 2, deletions: 2 }));
        assert_eq!(judge(&[(2, "patch", "a"), (7, "delete", "a")]), Ok(Explained { creations: 1, deletions: 1 }), "it may be slow");
    }

    #[test]
    fn a_deletion_that_no_index_withdrew_in_time_has_no_explanation() {
        for events in [
            &[(2, "patch", "b"), (4, "delete", "b")][..],
            &[(2, "patch", "a"), (2, "delete", "a")],
            &[(2, "patch", "a"), (4, "delete", "a"), (6, "patch", "a"), (7, "delete", "a")],
            &[(4, "delete", "foreign")],
            &[(4, "patch", "never-wanted")],
        ] {
            assert!(judge(events).is_err(), "{events:?}");
        }
    }

    #[test]
    fn a_deletion_of_something_else_has_no_explanation() {
        let elsewhere = |resource, namespace| explain(&[event(4, "delete", resource, namespace, "a")], "load", &[&index(1, &[], &["a"])]);
        assert!(
            elsewhere("secrets", "load").is_err() && elsewhere("configmaps", "other").is_err() && elsewhere("namespaces", "a").is_err()
        );
        assert!(elsewhere("configmaps", "load").is_ok() && elsewhere("secrets", "capstan-system").is_ok());
    }
}
