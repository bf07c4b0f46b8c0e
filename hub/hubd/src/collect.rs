//! Takes away contents that nothing has named for a week: old indexes, releases and objects. A week, because a rollout may be taken back to a
//! release that no cluster runs any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hub_store::{BlobInfo, PAGE_LIMIT, Version};
use shared_model::{Digest, Timestamp};

use crate::conduct::KnownRecord;
use crate::core::Core;
use crate::publish::{TargetRecord, reachable};
use crate::record;
use crate::rollouts::RolloutRecord;

/// How often contents are looked through.
const EVERY: Duration = Duration::from_secs(3600);

/// How long a content must have been named by nothing.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// Contents that nothing names, since when, and in which version: one that is put again meanwhile starts anew.
type Idle = BTreeMap<Digest, (Version, Timestamp)>;

/// Collects again and again.
pub(crate) async fn run(core: Arc<Core>) {
    let mut idle = Idle::new();
    loop {
        tokio::time::sleep(EVERY).await;
        match collect(&core, &mut idle).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "contents that nothing names were taken away"),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "contents could not be collected; it is tried again"),
        }
    }
}

/// Looks through all contents once; returns how many went.
async fn collect(core: &Core, idle: &mut Idle) -> anyhow::Result<u64> {
    let named = named(core).await?;
    let now = core.now();
    let (mut seen, mut removed) = (BTreeSet::new(), 0);
    let mut after: Option<Digest> = None;
    loop {
        let page = core.store.list_blobs(after, PAGE_LIMIT).await?;
        let due = due(&page.blobs, &named, idle, now);
        seen.extend(page.blobs.iter().map(|blob| blob.digest));
        if !due.is_empty() {
            removed += core.store.delete_blobs(None, due).await?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    idle.retain(|digest, _| seen.contains(digest));
    Ok(removed)
}

/// The contents of a page whose time is over; takes down since when the others are idle.
fn due(blobs: &[BlobInfo], named: &BTreeSet<Digest>, idle: &mut Idle, now: Timestamp) -> Vec<BlobInfo> {
    let mut due = Vec::new();
    for blob in blobs {
        if named.contains(&blob.digest) {
            idle.remove(&blob.digest);
            continue;
        }
        let (version, since) = *idle.entry(blob.digest).or_insert((blob.touched, now));
        if version != blob.touched {
            idle.insert(blob.digest, (blob.touched, now));
        } else if Duration::try_from(now.duration_since(since)).is_ok_and(|age| age >= KEEP) {
            due.push(*blob);
        }
    }
    due
}

/// Every content that a record names, and what those name in turn.
async fn named(core: &Core) -> anyhow::Result<BTreeSet<Digest>> {
    let mut named = BTreeSet::new();
    for (_, record) in record::read_all::<KnownRecord>(&*core.store).await? {
        named.insert(record.content.parse()?);
    }
    for (_, record) in record::read_all::<RolloutRecord>(&*core.store).await? {
        named.insert(record.content.parse()?);
    }
    let mut releases = BTreeMap::new();
    let picture = core.picture.borrow().clone();
    let wanted: BTreeSet<Digest> = picture.pairs.values().filter_map(|pair| pair.wanted).collect();
    let mut indexes = Vec::new();
    for (name, record) in record::read_all::<TargetRecord>(&*core.store).await? {
        named.extend(record.contents()?);
        indexes.extend(core.told(&name.parse()?).await?);
    }
    let running = indexes.iter().flat_map(|told| told.index.apps.values()).filter_map(shared_release::IndexApp::content);
    for digest in running.chain(wanted).collect::<BTreeSet<_>>() {
        if let Some(release) = core.release(digest).await? {
            releases.insert(digest, release);
        }
    }
    named.extend(indexes.iter().flat_map(|told| reachable(&told.index, &releases)));
    named.extend(releases.iter().flat_map(|(digest, release)| release.entries.values().map(|entry| entry.digest).chain([*digest])));
    Ok(named)
}

#[cfg(test)]
mod tests {
    use hub_store::{MemoryStore, Store as _};

    use super::*;

    fn day(days: i64) -> Timestamp {
        Timestamp::from_second(days * 24 * 3600).expect("valid")
    }

    #[tokio::test]
    async fn a_content_goes_when_nothing_named_it_for_a_week() {
        let store = MemoryStore::new();
        let put = |text: &'static str| store.put_blobs(vec![text.as_bytes().into()]);
        for text in ["named", "idle", "put again"] {
            put(text).await.expect("stored");
        }
        let named = BTreeSet::from([Digest::of(b"named")]);
        let mut idle = Idle::new();
        let blobs = async || store.list_blobs(None, PAGE_LIMIT).await.expect("listed").blobs;
        assert!(due(&blobs().await, &named, &mut idle, day(0)).is_empty());
        assert!(due(&blobs().await, &named, &mut idle, day(6)).is_empty());
        put("put again").await.expect("stored");
        let gone: Vec<Digest> = due(&blobs().await, &named, &mut idle, day(7)).iter().map(|blob| blob.digest).collect();
        assert_eq!(gone, [Digest::of(b"idle")]);
        let gone = due(&blobs().await, &named, &mut idle, day(14));
        assert!(gone.iter().any(|blob| blob.digest == Digest::of(b"put again")));
    }
}
