//! What the watches have seen of the objects that matter: a few words each, never a body.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use agent_health::{Verdict, assess};
use agent_plan::{Compared, Observed, Present, TRACKING_ANNOTATION, Tracking, fingerprint};
use serde_json::Value;
use shared_model::{Digest, GroupKind, Health, ObjectKey, Reason, Severity};
use tokio::sync::Notify;

/// The mark of an object's state: equal marks mean that nothing we own can have changed.
pub type Mark = Digest;

/// Everything that is known of the objects that matter. Shared between the watches, which write it, and the agent's loop, which reads it.
#[derive(Default)]
pub struct View {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    interest: BTreeSet<ObjectKey>,
    kinds: BTreeMap<GroupKind, WatchState>,
    objects: BTreeMap<ObjectKey, Seen>,
    /// The last that was seen of objects that ran to an end and are gone since.
    ended: BTreeMap<ObjectKey, (String, Verdict)>,
    /// Keys that became interesting after their kind was listed: nothing is known of them until somebody looks.
    unchecked: BTreeSet<ObjectKey>,
}

enum WatchState {
    /// A complete list was taken and the watch goes on from there.
    Synced,
    /// What was seen may be out of date.
    Unknown(Reason),
}

struct Seen {
    uid: String,
    version: u64,
    mark: Mark,
    tracking: Option<Tracking>,
    deleting: bool,
    verdict: Verdict,
}

impl View {
    /// Waits until something changed since the last wait.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Wakes whoever waits.
    pub fn notify(&self) {
        self.changed.notify_one();
    }

    /// Names the objects that matter from now on. Everything else is forgotten.
    pub fn set_interest(&self, interest: BTreeSet<ObjectKey>) {
        let mut inner = self.lock();
        let new: Vec<ObjectKey> = interest.difference(&inner.interest).cloned().collect();
        inner.objects.retain(|key, _| interest.contains(key));
        inner.unchecked.retain(|key| interest.contains(key));
        inner.ended.retain(|key, _| interest.contains(key));
        for key in new {
            if inner.kinds.contains_key(&key.kind) {
                inner.unchecked.insert(key);
            }
        }
        inner.interest = interest;
    }

    /// The objects that no list has covered; look at each once and [`View::record`] or [`View::record_absent`] it.
    pub fn unchecked(&self) -> Vec<ObjectKey> {
        self.lock().unchecked.iter().cloned().collect()
    }

    /// What is known of `key`, with its mark; `None` if nothing yet. `compared` is filled in by the caller.
    pub fn observed(&self, key: &ObjectKey) -> Option<(Observed, Option<Mark>)> {
        let inner = self.lock();
        match inner.kinds.get(&key.kind) {
            None => return None,
            Some(WatchState::Unknown(reason)) => return Some((Observed::Unknown(reason.clone()), None)),
            Some(WatchState::Synced) => {}
        }
        if inner.unchecked.contains(key) {
            return None;
        }
        let Some(seen) = inner.objects.get(key) else {
            let ended = inner.ended.get(key).map(|(uid, verdict)| Observed::Ended { uid: uid.clone(), verdict: verdict.clone() });
            return Some((ended.unwrap_or(Observed::Absent), None));
        };
        let present = Present {
            uid: seen.uid.clone(),
            tracking: seen.tracking.clone(),
            deleting: seen.deleting,
            verdict: seen.verdict.clone(),
            compared: Compared::NotYet,
        };
        Some((Observed::Present(present), Some(seen.mark)))
    }

    /// Takes in an object that somebody got or applied. Older news than what is known is dropped.
    pub fn record(&self, key: &ObjectKey, object: &Value) {
        if self.lock().take(key, object, false) {
            self.notify();
        }
    }

    /// Takes in that an object is certainly not there.
    pub fn record_absent(&self, key: &ObjectKey) {
        let mut inner = self.lock();
        inner.unchecked.remove(key);
        inner.objects.remove(key);
        drop(inner);
        self.notify();
    }

    /// The keys of `kind` that matter now; a list that starts now covers exactly these.
    pub(crate) fn interest_in(&self, kind: &GroupKind) -> BTreeSet<ObjectKey> {
        self.lock().interest.iter().filter(|key| key.kind == *kind).cloned().collect()
    }

    /// A complete list was taken: `covered` are the keys that mattered when it began, `found` those of them that are there.
    pub(crate) fn listed(&self, kind: &GroupKind, covered: &BTreeSet<ObjectKey>, found: &BTreeMap<ObjectKey, Value>) {
        let mut inner = self.lock();
        for key in covered {
            inner.unchecked.remove(key);
            match found.get(key) {
                Some(object) => {
                    inner.take(key, object, true);
                }
                None => {
                    inner.objects.remove(key);
                }
            }
        }
        // What became interesting while the list was under way is not covered by it.
        let late: Vec<ObjectKey> = inner.interest.iter().filter(|key| key.kind == *kind && !covered.contains(*key)).cloned().collect();
        inner.unchecked.extend(late);
        inner.kinds.insert(kind.clone(), WatchState::Synced);
        drop(inner);
        self.notify();
    }

    /// A watch event: the object is there.
    pub(crate) fn appeared(&self, key: &ObjectKey, object: &Value) {
        self.record(key, object);
    }

    /// A watch event: the object with this uid is gone.
    pub(crate) fn vanished(&self, key: &ObjectKey, uid: &str) {
        let mut inner = self.lock();
        let gone = inner.objects.get(key).is_some_and(|seen| seen.uid == uid);
        if gone {
            let last = inner.objects.remove(key);
            if let Some(seen) = last.filter(|seen| is_end(&key.kind, &seen.verdict)) {
                inner.ended.insert(key.clone(), (seen.uid, seen.verdict));
            }
            drop(inner);
            self.notify();
        }
    }

    /// The kind cannot be observed at the moment.
    pub(crate) fn lost(&self, kind: &GroupKind, reason: Reason) {
        self.lock().kinds.insert(kind.clone(), WatchState::Unknown(reason));
        self.notify();
    }

    /// The watch goes on from where it was: what was seen is still true.
    pub(crate) fn resumed(&self, kind: &GroupKind) {
        let mut inner = self.lock();
        if let Some(state @ WatchState::Unknown(_)) = inner.kinds.get_mut(kind) {
            *state = WatchState::Synced;
            drop(inner);
            self.notify();
        }
    }

    /// The kind is not watched any more.
    pub(crate) fn dropped(&self, kind: &GroupKind) {
        let mut inner = self.lock();
        inner.kinds.remove(kind);
        inner.objects.retain(|key, _| key.kind != *kind);
    }

    /// The kind begins to be watched: nothing is known of it yet.
    pub(crate) fn begun(&self, kind: &GroupKind) {
        let starting = Reason::new(Severity::Wait, "NotObserved", format!("the watch of {kind} is starting"));
        self.lock().kinds.insert(kind.clone(), WatchState::Unknown(starting));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes in an object. Says whether anything that we keep changed. After a restored etcd versions go backwards: a list is believed
    /// whatever its versions (`authoritative`).
    fn take(&mut self, key: &ObjectKey, object: &Value, authoritative: bool) -> bool {
        if !self.interest.contains(key) {
            return false;
        }
        let seen = Seen::of(object);
        self.unchecked.remove(key);
        match self.objects.get(key) {
            Some(known) if !authoritative && known.uid == seen.uid && known.version > seen.version => return false,
            Some(known) if known.uid == seen.uid && known.mark == seen.mark && known.verdict == seen.verdict => {
                let same = known.tracking == seen.tracking && known.deleting == seen.deleting;
                self.objects.insert(key.clone(), seen);
                return !same;
            }
            _ => {}
        }
        self.ended.remove(key);
        self.objects.insert(key.clone(), seen);
        true
    }
}

/// Whether the object came to its end by itself and may be taken away right then (`ttlSecondsAfterFinished` of a Job).
fn is_end(kind: &GroupKind, verdict: &Verdict) -> bool {
    kind.group == "batch" && kind.kind == "Job" && matches!(verdict.health, Health::Healthy | Health::Degraded)
}

impl Seen {
    fn of(object: &Value) -> Self {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let annotation = object.pointer("/metadata/annotations").and_then(|map| map.get(TRACKING_ANNOTATION)).and_then(Value::as_str);
        Self {
            uid: text("/metadata/uid").to_owned(),
            version: text("/metadata/resourceVersion").parse().unwrap_or(0),
            mark: fingerprint(object),
            tracking: annotation.and_then(Tracking::parse),
            deleting: object.pointer("/metadata/deletionTimestamp").is_some(),
            verdict: assess(object),
        }
    }
}
