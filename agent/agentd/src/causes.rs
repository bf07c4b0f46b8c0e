//! Looks into why objects are not healthy, and puts what it finds into the view. Cheap by being rare: what has just begun to be on its way is
//! left alone, few are looked into at once, and one whose pods say nothing new is looked into less and less.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use agent_cluster::{Ailing, Cluster, Discovery, View};
use agent_health::Verdict;
use shared_model::{ObjectKey, Timestamp};
use tokio::task::JoinSet;

/// How often it is looked for objects that are not healthy.
const SCAN_EVERY: Duration = Duration::from_secs(5);

/// How long an object is given to become healthy by itself before its pods are read: most rollouts of small images are over by then.
const FIRST: Duration = Duration::from_secs(10);

/// The first and the longest pause until an object that says the same is looked into again: 20 objects that stay broken cost 20 × 4 requests in
/// five minutes, one in four seconds.
const AGAIN: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(300));

/// Looks under way at once; each holds a page of pods of some 200 KB.
const AT_ONCE: usize = 2;

/// The most objects that are looked into: of more, those that stand first.
const MOST: usize = 50;

/// What is being looked into.
#[derive(Default)]
pub(crate) struct Causes {
    known: BTreeMap<ObjectKey, Known>,
    under_way: JoinSet<()>,
    scan_at: Option<Timestamp>,
}

struct Known {
    uid: String,
    verdict: Verdict,
    due: Timestamp,
    pause: Duration,
}

/// With what is looked.
pub(crate) struct Means<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) view: &'a Arc<View>,
    pub(crate) discovery: &'a Discovery,
    /// Whether a line of a log may be read.
    pub(crate) lines: bool,
}

impl Causes {
    /// Begins the looks that are due. Says when to come back.
    pub(crate) fn look(&mut self, now: Timestamp, means: &Means<'_>) -> Option<Timestamp> {
        while self.under_way.try_join_next().is_some() {}
        if self.scan_at.is_none_or(|at| at <= now) {
            self.scan_at = Some(now + SCAN_EVERY);
            self.note(means.view.ailing(MOST), now);
        }
        for key in self.begin(now, AT_ONCE.saturating_sub(self.under_way.len())) {
            let Some(resource) = means.discovery.resource(&key.kind, "").cloned() else { continue };
            let (cluster, view, lines) = (means.cluster.clone(), means.view.clone(), means.lines);
            self.under_way.spawn(async move {
                match cluster.find_cause(&resource, &key, &view, lines).await {
                    Ok(Some(finding)) => view.explain(&key, finding),
                    Ok(None) => {}
                    Err(error) => tracing::debug!(object = %key, %error, "its pods could not be looked at"),
                }
            });
        }
        // A look under way wakes the loop when it finds something.
        self.known.values().map(|known| known.due).min().map(|due| due.max(now + Duration::from_secs(1)))
    }

    /// Takes down what is not healthy now. What says the same as before keeps its pause.
    fn note(&mut self, ailing: Vec<Ailing>, now: Timestamp) {
        let keys: BTreeSet<&ObjectKey> = ailing.iter().map(|ailing| &ailing.key).collect();
        self.known.retain(|key, _| keys.contains(key));
        for Ailing { key, uid, verdict } in ailing {
            match self.known.get_mut(&key) {
                Some(known) if known.uid == uid && known.verdict == verdict => {}
                // It moves on: look soon, and not at each step.
                Some(known) if known.uid == uid => {
                    (known.verdict, known.pause) = (verdict, AGAIN.0);
                    known.due = known.due.min(now + FIRST);
                }
                _ => {
                    self.known.insert(key, Known { uid, verdict, due: now + FIRST, pause: AGAIN.0 });
                }
            }
        }
    }

    /// The next `count` objects that are due, each with its next time set.
    fn begin(&mut self, now: Timestamp, count: usize) -> Vec<ObjectKey> {
        let mut due: Vec<_> = self.known.iter_mut().filter(|(_, known)| known.due <= now).collect();
        due.sort_by_key(|(_, known)| known.due);
        let begun = due.into_iter().take(count).map(|(key, known)| {
            known.due = now + known.pause;
            known.pause = (known.pause * 2).min(AGAIN.1);
            key.clone()
        });
        begun.collect()
    }
}

#[cfg(test)]
mod tests {
    use shared_model::{GroupKind, Health};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("in range")
    }

    fn ailing(name: &str, uid: &str, health: Health) -> Ailing {
        let key = ObjectKey::new(GroupKind::new("apps", "Deployment"), Some("n"), name);
        Ailing { key, uid: uid.to_owned(), verdict: Verdict { health, reason: None } }
    }

    #[test]
    fn an_object_is_looked_into_after_a_while_and_then_less_and_less() {
        let mut causes = Causes::default();
        let mut looked = Vec::new();
        for second in 0..900 {
            causes.note(vec![ailing("a", "1", Health::Progressing)], at(second));
            if !causes.begin(at(second), 1).is_empty() {
                looked.push(second);
            }
        }
        assert_eq!(looked, [10, 30, 70, 150, 310, 610]);
    }

    #[test]
    fn what_says_something_else_is_looked_into_soon_and_what_is_well_not_at_all() {
        let mut causes = Causes::default();
        causes.note(vec![ailing("a", "1", Health::Progressing)], at(0));
        assert_eq!(causes.begin(at(10), 1).len(), 1);
        assert_eq!(causes.begin(at(30), 1).len(), 1);
        causes.note(vec![ailing("a", "1", Health::Degraded)], at(31));
        assert_eq!((causes.begin(at(40), 1).len(), causes.begin(at(41), 1).len()), (0, 1));
        causes.note(Vec::new(), at(50));
        assert_eq!(causes.begin(at(1000), 1).len(), 0);
    }

    #[test]
    fn few_are_looked_into_at_once_and_all_in_their_turn() {
        let mut causes = Causes::default();
        let names = ["a", "b", "c"];
        causes.note(names.map(|name| ailing(name, "1", Health::Degraded)).to_vec(), at(0));
        let begun: Vec<String> = (0..3).flat_map(|_| causes.begin(at(10), 1)).map(|key| key.name).collect();
        assert_eq!(begun, names);
        assert!(causes.begin(at(10), 1).is_empty());
    }
}
