//! Holds as they are stored, given and ended: while one stands, agents change nothing of its app.

use std::collections::BTreeMap;

use hub_api::HoldView;
use hub_store::{Commit, CommitOutcome, Condition, Operation, Store, Version};
use hub_web::{HoldWish, HubError};
use serde::{Deserialize, Serialize};
use shared_model::{AppName, ClusterName, Timestamp};
use shared_release::{Hold, TestRequest};

use crate::record::{self, Record, RecordError};

/// The most holds at a time. What more would say belongs into Git; 1,000 records of at most 1 KB are read at each planning.
pub(crate) const HOLDS_LIMIT: usize = 1_000;

/// A hold under `app/cluster`, or under `app/_` for all clusters of the app.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HoldRecord {
    app: String,
    cluster: Option<String>,
    by: String,
    reason: String,
    until: String,
}

impl Record for HoldRecord {
    const TREE: &'static str = "holds";
}

/// All holds that stand at one time.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    of: BTreeMap<(AppName, Option<ClusterName>), Hold>,
    /// Some have ended and are still in the store.
    pub(crate) any_ended: bool,
}

impl Holds {
    /// Those of the store that have not ended.
    pub(crate) async fn read(store: &dyn Store, now: Timestamp) -> Result<Self, RecordError> {
        let mut holds = Self::default();
        for (_, record) in record::read_all::<HoldRecord>(store).await? {
            let cluster = record.cluster.as_deref().map(str::parse).transpose();
            // Names and times were checked when it was written.
            let (Ok(app), Ok(cluster), Ok(until)) = (record.app.parse(), cluster, record.until.parse::<Timestamp>()) else { continue };
            if until > now {
                holds.of.insert((app, cluster), Hold { by: record.by, reason: record.reason, until });
            } else {
                holds.any_ended = true;
            }
        }
        Ok(holds)
    }

    /// What is held in `cluster`: of two holds of an app the one that ends later.
    pub(crate) fn in_cluster(&self, cluster: &ClusterName) -> BTreeMap<AppName, Hold> {
        let mut held: BTreeMap<AppName, Hold> = BTreeMap::new();
        for ((app, of), hold) in &self.of {
            let is_here = of.as_ref().is_none_or(|of| of == cluster);
            if is_here && held.get(app).is_none_or(|other| other.until < hold.until) {
                held.insert(app.clone(), hold.clone());
            }
        }
        held
    }

    /// When the next one ends.
    pub(crate) fn next_end(&self) -> Option<Timestamp> {
        self.of.values().map(|hold| hold.until).min()
    }

    pub(crate) fn views(&self, now: Timestamp) -> Vec<HoldView> {
        self.of.iter().map(|((app, cluster), hold)| view(app, cluster.as_ref(), hold, now)).collect()
    }

    /// Whether there is one of exactly this app and cluster.
    pub(crate) fn has(&self, app: &AppName, cluster: Option<&ClusterName>) -> bool {
        self.of.contains_key(&(app.clone(), cluster.cloned()))
    }

    /// How many stand.
    pub(crate) fn len(&self) -> usize {
        self.of.len()
    }
}

/// What a wish comes to at `now`, if it is one that can be granted.
pub(crate) fn grant(wish: &HoldWish, by: &str, now: Timestamp) -> Result<Hold, HubError> {
    let refused = |message: String, hint: &str| HubError::Refused { code: "NotHeld", message, hint: Some(hint.to_owned()) };
    if wish.reason.trim().is_empty() || wish.reason.len() > Hold::REASON_LIMIT || wish.reason.contains(char::is_control) {
        let message = format!("a hold needs a reason of 1 to {} bytes in one line", Hold::REASON_LIMIT);
        return Err(refused(message, "say why, for whoever wonders meanwhile"));
    }
    if wish.time.is_zero() || wish.time > Hold::LONGEST {
        let message = format!("a hold is for at least a second and at most {} hours", Hold::LONGEST.as_secs() / 3600);
        return Err(refused(message, "what is to last longer belongs into Git: `heal: report`, or a pinned revision"));
    }
    let by: String = by.chars().take(TestRequest::BY_LIMIT / 4).collect();
    Ok(Hold { by, reason: wish.reason.clone(), until: now + wish.time })
}

/// The commit that writes a hold in the place of one that stands.
pub(crate) async fn put(store: &dyn Store, wish: &HoldWish, hold: &Hold) -> Result<Commit, RecordError> {
    let record = HoldRecord {
        app: wish.app.to_string(),
        cluster: wish.cluster.as_ref().map(ToString::to_string),
        by: hold.by.clone(),
        reason: hold.reason.clone(),
        until: hold.until.to_string(),
    };
    let name = name(&wish.app, wish.cluster.as_ref());
    let version = record::read::<HoldRecord>(store, &name).await?.map(|(_, version)| version);
    Ok(record::commit(&name, &record, version))
}

/// The hold of exactly this app and cluster, and the commit that ends it.
pub(crate) async fn end(store: &dyn Store, app: &AppName, cluster: Option<&ClusterName>) -> Result<Option<(Hold, Commit)>, RecordError> {
    let name = name(app, cluster);
    let Some((record, version)) = record::read::<HoldRecord>(store, &name).await? else { return Ok(None) };
    let until = record.until.parse().unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(Some((Hold { by: record.by, reason: record.reason, until }, removal(&name, version))))
}

/// Removes what has ended by `now`, so that the store does not fill with it.
pub(crate) async fn sweep(store: &dyn Store, now: Timestamp) -> Result<(), RecordError> {
    for (name, record) in record::read_all::<HoldRecord>(store).await? {
        let ended = record.until.parse::<Timestamp>().is_ok_and(|until| until <= now);
        if let Some((_, version)) = record::read::<HoldRecord>(store, &name).await?.filter(|_| ended) {
            // Somebody who gave it anew meanwhile comes first.
            let _: CommitOutcome = store.commit(removal(&name, version)).await?;
        }
    }
    Ok(())
}

fn removal(name: &str, version: Version) -> Commit {
    let key = record::key::<HoldRecord>(name);
    Commit { conditions: vec![Condition::Version(key.clone(), version)], operations: vec![Operation::Delete(key)], ..Commit::default() }
}

fn name(app: &AppName, cluster: Option<&ClusterName>) -> String {
    format!("{app}/{}", cluster.map_or("_", ClusterName::as_str))
}

pub(crate) fn view(app: &AppName, cluster: Option<&ClusterName>, hold: &Hold, now: Timestamp) -> HoldView {
    HoldView {
        app: app.to_string(),
        cluster: cluster.map(ToString::to_string),
        by: hold.by.clone(),
        reason: hold.reason.clone(),
        until: hold.until.to_string(),
        ends_in_seconds: u64::try_from(hold.until.duration_since(now).as_secs()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hub_store::MemoryStore;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    fn wish(place: &str, reason: &str, seconds: u64) -> HoldWish {
        let (app, cluster) = place.split_once('@').map_or((place, None), |(app, cluster)| (app, Some(cluster)));
        HoldWish {
            app: app.parse().expect("an app's name"),
            cluster: cluster.map(|cluster| cluster.parse().expect("a cluster's name")),
            reason: reason.to_owned(),
            time: Duration::from_secs(seconds),
        }
    }

    /// Gives what is wished for at `now`.
    async fn give(store: &MemoryStore, place: &str, reason: &str, seconds: u64, now: i64) -> Result<(), RecordError> {
        let wish = wish(place, reason, seconds);
        let hold = grant(&wish, "ann", at(now)).expect("granted");
        record::won(store.commit(put(store, &wish, &hold).await?).await?).map(drop)
    }

    async fn held(store: &MemoryStore, cluster: &str, now: i64) -> Result<Vec<String>, RecordError> {
        let holds = Holds::read(store, at(now)).await?.in_cluster(&cluster.parse().expect("a cluster's name"));
        Ok(holds.iter().map(|(app, hold)| format!("{app}: {} until {}", hold.reason, hold.until.as_second())).collect())
    }

    #[tokio::test]
    async fn a_hold_is_of_one_cluster_or_of_all_and_of_two_the_one_that_ends_later_counts() -> Result<(), RecordError> {
        let store = MemoryStore::default();
        give(&store, "web", "everywhere", 100, 0).await?;
        give(&store, "web@eu-1", "longer here", 200, 0).await?;
        give(&store, "web@us-1", "shorter here", 50, 0).await?;
        give(&store, "api@eu-1", "only here", 10, 0).await?;
        assert_eq!(held(&store, "eu-1", 0).await?, ["api: only here until 10", "web: longer here until 200"]);
        assert_eq!(held(&store, "us-1", 0).await?, ["web: everywhere until 100"]);
        assert_eq!(held(&store, "ap-1", 0).await?, ["web: everywhere until 100"]);
        assert_eq!(Holds::read(&store, at(0)).await?.next_end(), Some(at(10)), "the planning wakes when the next one ends");
        Ok(())
    }

    #[tokio::test]
    async fn a_hold_given_again_is_replaced_also_by_a_shorter_one() -> Result<(), RecordError> {
        let store = MemoryStore::default();
        give(&store, "web", "first", 1_000, 0).await?;
        give(&store, "web", "second", 20, 5).await?;
        assert_eq!(held(&store, "eu-1", 5).await?, ["web: second until 25"]);
        let holds = Holds::read(&store, at(5)).await?;
        let views: Vec<String> =
            holds.views(at(5)).iter().map(|view| format!("{} by {}, {} s", view.app, view.by, view.ends_in_seconds)).collect();
        assert_eq!((views, holds.len()), (vec!["web by ann, 20 s".to_owned()], 1));
        Ok(())
    }

    #[tokio::test]
    async fn what_has_ended_is_not_read_and_is_swept_and_what_was_given_anew_stays() -> Result<(), RecordError> {
        let store = MemoryStore::default();
        give(&store, "web", "short", 10, 0).await?;
        give(&store, "api", "long", 100, 0).await?;
        let at_its_end = Holds::read(&store, at(10)).await?;
        assert!(at_its_end.any_ended && !at_its_end.has(&"web".parse().expect("a name"), None), "it ends at its second");
        assert_eq!(record::read_all::<HoldRecord>(&store).await?.len(), 2, "reading removes nothing");
        sweep(&store, at(10)).await?;
        let left = Holds::read(&store, at(10)).await?;
        assert!(!left.any_ended && left.len() == 1 && left.has(&"api".parse().expect("a name"), None));
        give(&store, "web", "again", 10, 50).await?;
        sweep(&store, at(55)).await?;
        assert_eq!(held(&store, "eu-1", 55).await?, ["api: long until 100", "web: again until 60"]);
        Ok(())
    }

    #[tokio::test]
    async fn a_hold_is_ended_exactly_where_it_was_given_and_once() -> Result<(), RecordError> {
        let store = MemoryStore::default();
        give(&store, "web@eu-1", "here", 100, 0).await?;
        let (web, eu): (AppName, ClusterName) = ("web".parse().expect("a name"), "eu-1".parse().expect("a name"));
        assert!(end(&store, &web, None).await?.is_none(), "nobody held it everywhere");
        let (hold, removal) = end(&store, &web, Some(&eu)).await?.expect("it is held here");
        assert_eq!((hold.reason.as_str(), hold.until), ("here", at(100)));
        // Somebody gives it anew before the end is written: theirs comes first.
        give(&store, "web@eu-1", "anew", 100, 1).await?;
        assert!(matches!(store.commit(removal).await?, CommitOutcome::Conflict { .. }));
        let (_, removal) = end(&store, &web, Some(&eu)).await?.expect("it is held here");
        record::won(store.commit(removal).await?)?;
        assert!(end(&store, &web, Some(&eu)).await?.is_none());
        Ok(())
    }

    #[test]
    fn a_hold_needs_a_reason_in_one_line_and_a_time_of_at_most_a_week() {
        let week = Hold::LONGEST.as_secs();
        for (reason, seconds, granted) in [
            ("incident", 1, true),
            ("incident", week, true),
            ("incident", 0, false),
            ("incident", week + 1, false),
            ("  ", 60, false),
            ("two\nlines", 60, false),
            (&"x".repeat(Hold::REASON_LIMIT), 60, true),
            (&"x".repeat(Hold::REASON_LIMIT + 1), 60, false),
        ] {
            let outcome = grant(&wish("web", reason, seconds), "ann", at(0));
            assert_eq!(outcome.is_ok(), granted, "{reason:?} for {seconds} s: {outcome:?}");
        }
    }
}
