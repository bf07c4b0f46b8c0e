//! What comparing live objects with what is wanted came to, and what of that outlives a restart: an agent that starts again reads no object
//! whose mark is still the one at which it was as wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use agent_cluster::Mark;
use agent_ledger::Settled;
use agent_plan::Comparison;
use serde_json::Value;
use shared_model::{Digest, FieldChange, ObjectKey, Timestamp};
use shared_release::{Entry, Ignore};

/// How often what was found as wanted is written down while it changes: what a killed agent forgets costs one read for each object.
const WRITE_EVERY: Duration = Duration::from_secs(30);

/// What was found when an object was last compared.
pub(crate) struct Compare {
    pub(crate) mark: Mark,
    pub(crate) digest: Digest,
    pub(crate) changes: Vec<FieldChange>,
    /// What was left out of the comparison, if anything was: its digest.
    terms: Option<Box<Digest>>,
}

impl Compare {
    /// Compares; with the fields that an autoscaler governs, which are no changes.
    pub(crate) fn of(entry: &Entry, wanted: &Value, yielded: &BTreeSet<String>, live: &Value) -> (Self, BTreeSet<String>) {
        let ignore: BTreeSet<Ignore> = entry.policy.ignore.iter().cloned().chain(yielded.iter().cloned().map(Ignore::Pointer)).collect();
        let Comparison { changes, yields } = agent_plan::compare(wanted, live, &ignore, agent_cluster::FIELD_MANAGER);
        let terms = match yields.is_subset(yielded) {
            true => terms(entry, yielded),
            false => terms(entry, &yielded.union(&yields).cloned().collect()),
        };
        (Self { mark: agent_plan::fingerprint(live), digest: entry.digest, changes, terms }, yields)
    }
}

/// The last comparison of each object.
pub(crate) struct Comparisons {
    by_object: BTreeMap<Arc<ObjectKey>, Compare>,
    /// What an earlier start found as wanted.
    remembered: Settled,
    changed: bool,
    write_at: Option<Timestamp>,
}

impl Comparisons {
    /// None yet, but what an earlier start of this agent has left.
    pub(crate) fn new(remembered: Settled) -> Self {
        Self { by_object: BTreeMap::new(), remembered, changed: false, write_at: None }
    }

    /// What is known of `key` at this mark.
    pub(crate) fn at(&self, key: &ObjectKey, mark: &Mark) -> Option<&Compare> {
        self.by_object.get(key).filter(|known| known.mark == *mark)
    }

    /// Whether `entry` was compared at this mark, by this start of the agent or by one before it.
    pub(crate) fn knows(&mut self, entry: &Entry, yielded: &BTreeSet<String>, mark: &Mark) -> bool {
        if let Some(known) = self.at(&entry.object, mark) {
            return known.digest == entry.digest && known.terms == terms(entry, yielded);
        }
        let remembered = !self.remembered.is_empty() && self.remembered.contains(&moment(entry, yielded, mark));
        if remembered {
            let known = Compare { mark: *mark, digest: entry.digest, changes: Vec::new(), terms: terms(entry, yielded) };
            self.by_object.insert(entry.object.clone(), known);
        }
        remembered
    }

    /// Takes in a comparison.
    pub(crate) fn insert(&mut self, key: Arc<ObjectKey>, compare: Compare) {
        self.changed = true;
        self.by_object.insert(key, compare);
    }

    /// Forgets everything: what was seen may not be so any more.
    pub(crate) fn forget(&mut self) {
        self.by_object.clear();
        self.remembered = Settled::default();
        self.changed = true;
    }

    /// Forgets all objects but these.
    pub(crate) fn retain(&mut self, keep: impl Fn(&ObjectKey) -> bool) {
        self.by_object.retain(|key, _| keep(key));
    }

    /// When there is something to write down.
    pub(crate) fn write_at(&self) -> Option<Timestamp> {
        self.write_at
    }

    /// What is to be written down now, if it is time: all objects that were as wanted. `entries` are what is wanted, with what is left to
    /// autoscalers.
    pub(crate) fn settled<'a>(
        &mut self,
        now: Timestamp,
        at_once: bool,
        entries: impl Iterator<Item = (&'a Entry, &'a BTreeSet<String>)>,
    ) -> Option<Settled> {
        if !self.changed {
            return None;
        }
        let due = *self.write_at.get_or_insert(now + WRITE_EVERY);
        if now < due && !at_once {
            return None;
        }
        (self.changed, self.write_at) = (false, None);
        let as_wanted = entries.filter_map(|(entry, yielded)| {
            let known = self.by_object.get(&entry.object)?;
            let same = known.digest == entry.digest && known.terms == terms(entry, yielded);
            (same && known.changes.is_empty()).then(|| moment(entry, yielded, &known.mark))
        });
        Some(as_wanted.collect())
    }
}

/// What is left out of comparing `entry`; nothing for nearly all objects.
fn terms(entry: &Entry, yielded: &BTreeSet<String>) -> Option<Box<Digest>> {
    let ignored = &entry.policy.ignore;
    let any = !ignored.is_empty() || !yielded.is_empty();
    any.then(|| Box::new(Digest::of(format!("{ignored:?}\0{yielded:?}").as_bytes())))
}

/// Everything that a comparison depends on. How the policy prints may change with the agent's version; objects are then compared once more.
fn moment(entry: &Entry, yielded: &BTreeSet<String>, mark: &Mark) -> Digest {
    Digest::of(format!("{}\0{}\0{mark}\0{:?}\0{yielded:?}", entry.object, entry.digest, entry.policy).as_bytes())
}

#[cfg(test)]
mod tests {
    use shared_model::GroupKind;
    use shared_release::{Phase, Policy};

    use super::*;

    fn entry() -> Entry {
        Entry {
            object: ObjectKey::new(GroupKind::new("", "ConfigMap"), Some("web"), "a").into(),
            version: "v1".into(),
            digest: Digest::of(b"content"),
            sealed: None,
            phase: Phase::Sync,
            wave: 0,
            hook: None,
            policy: Policy::default(),
        }
    }

    fn knows(comparisons: &mut Comparisons, entry: &Entry, mark: &Mark) -> bool {
        comparisons.knows(entry, &BTreeSet::new(), mark)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("valid")
    }

    #[test]
    fn a_restarted_agent_knows_what_was_as_wanted_at_the_same_mark_and_nothing_else() {
        let (entry, none, mark) = (entry(), BTreeSet::new(), Digest::of(b"mark"));
        let mut before = Comparisons::new(Settled::default());
        before.insert(entry.object.clone(), Compare { mark, digest: entry.digest, changes: Vec::new(), terms: None });
        assert_eq!(before.settled(at(0), false, [(&entry, &none)].into_iter()), None, "not at each change");
        let written = before.settled(at(40), false, [(&entry, &none)].into_iter()).expect("it is time");
        let mut after = Comparisons::new(written);
        assert!(!knows(&mut after, &entry, &Digest::of(b"moved")));
        assert!(knows(&mut after, &entry, &mark));
        assert!(after.at(&entry.object, &mark).is_some_and(|known| known.changes.is_empty()));
        let mut lenient = entry.clone();
        lenient.policy.ignore.insert(Ignore::Pointer("/data/a".to_owned()));
        assert!(!knows(&mut after, &lenient, &mark), "what is left out now may have been a difference");
        let mut ignoring = entry.clone();
        ignoring.policy.ignore.insert(Ignore::Pointer("/data/a".to_owned()));
        Arc::make_mut(&mut ignoring.object).name = "b".to_owned();
        assert!(!knows(&mut after, &ignoring, &mark));
    }

    #[test]
    fn what_differed_is_compared_again_after_a_restart() {
        let (entry, none, mark) = (entry(), BTreeSet::new(), Digest::of(b"mark"));
        let change = FieldChange { path: "data.a".into(), wanted: None, found: None, manager: None, since: None };
        let mut before = Comparisons::new(Settled::default());
        before.insert(entry.object.clone(), Compare { mark, digest: entry.digest, changes: vec![change], terms: None });
        let written = before.settled(at(0), true, [(&entry, &none)].into_iter()).expect("at once");
        assert!(written.is_empty());
    }
}
