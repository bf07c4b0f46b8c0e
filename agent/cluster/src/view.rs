//! What the watches have seen of the objects that matter: a few words each, never a body.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_health::{Ending, Verdict, assess, assess_by, ending, may_tell_more};
use agent_plan::{Compared, Observed, Present, TRACKING_ANNOTATION, Tracking, fingerprint};
use serde_json::Value;
use shared_expression::HealthExpressions;
use shared_model::{AppName, Digest, GroupKind, Health, ObjectKey, Reason, Severity};
use tokio::sync::{Notify, watch};

use crate::evidence::Finding;
use crate::field::Field;

/// The mark of an object's state: equal marks mean that nothing we own can have changed.
pub type Mark = Digest;

/// Everything that is known of the objects that matter. Shared between the watches, which write it, and the agent's loop, which reads it.
#[derive(Default)]
pub struct View {
    inner: Mutex<Inner>,
    changed: Notify,
    doubts: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    /// The keys are shared with everything here that speaks of these objects, and with whoever named them.
    interest: Keys,
    fields: BTreeMap<GroupKind, BTreeMap<Option<String>, FieldState>>,
    objects: BTreeMap<Arc<ObjectKey>, Seen>,
    /// The last that was seen of objects that ran to an end and are gone since.
    ended: BTreeMap<ObjectKey, (String, Ending)>,
    /// Keys that became interesting after their kind was listed: nothing is known of them until somebody looks.
    unchecked: Keys,
    /// For each field whose list is under way, what was taken in since it began: the list may be older than that.
    listing: BTreeMap<Field, Keys>,
    /// Why all that was seen counts as out of date.
    out_of_date: Option<Reason>,
    /// A watched kind is not served any more in the version that was watched.
    unserved: bool,
    news: News,
    /// Objects whose health their app judges itself.
    rules: Arc<HealthRules>,
    /// What was found out about objects that are not healthy.
    findings: BTreeMap<ObjectKey, Finding>,
}

/// The expressions by which an app judges the health of its objects itself.
pub type HealthRules = BTreeMap<ObjectKey, Arc<HealthExpressions>>;

/// An object that is not healthy, and of which its pods may tell more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ailing {
    /// Which object.
    pub key: ObjectKey,
    /// Its uid.
    pub uid: String,
    /// What it says itself.
    pub verdict: Verdict,
}

/// Many keys, each in memory once however many hold it.
pub type Keys = BTreeSet<Arc<ObjectKey>>;

/// More changed objects than this are not named: whoever looks then looks at everything.
const MOST_NEWS: usize = 1_000;

/// What changed since somebody looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// These objects; none if nothing did.
    Objects(BTreeSet<ObjectKey>),
    /// More than can be named: a whole field came or went.
    Everything,
}

impl Default for News {
    fn default() -> Self {
        Self::Objects(BTreeSet::new())
    }
}

impl News {
    fn add(&mut self, key: &ObjectKey) {
        if let Self::Objects(keys) = self {
            keys.insert(key.clone());
            if keys.len() > MOST_NEWS {
                *self = Self::Everything;
            }
        }
    }
}

struct FieldState {
    watch: WatchState,
    /// The version up to which list and watch have told everything; 0 if they did not.
    told: u64,
}

/// Who tells of an object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Teller {
    /// A complete list. After a restored etcd versions go backwards: it is believed whatever its versions.
    List,
    /// The watch, which tells everything in its order.
    Watch,
    /// Somebody who read or wrote this one object: the watch may have told of something newer before the answer was looked at.
    Read,
}

enum WatchState {
    /// A complete list was taken and the watch goes on from there.
    Synced,
    /// What was seen may be out of date.
    Unknown(Reason),
}

/// What is kept of an object.
pub(crate) struct Seen {
    uid: Box<str>,
    version: u64,
    mark: Mark,
    tracking: Tracked,
    deleting: bool,
    /// `None` if it is healthy and has not ended: so are nearly all.
    more: Option<Box<More>>,
}

/// What is kept of the few objects that are not healthy, or have come to their end.
#[derive(PartialEq, Eq)]
struct More {
    verdict: Verdict,
    ending: Option<Box<Ending>>,
}

static HEALTHY: Verdict = Verdict::HEALTHY;

impl Seen {
    fn verdict(&self) -> &Verdict {
        self.more.as_ref().map_or(&HEALTHY, |more| &more.verdict)
    }

    fn ending(&self) -> Option<&Ending> {
        self.more.as_ref()?.ending.as_deref()
    }
}

/// The tracking annotation. Nearly all name the very object that they are on, which then need not be kept twice.
#[derive(PartialEq, Eq)]
enum Tracked {
    Not,
    Here(AppName),
    Elsewhere(Box<Tracking>),
}

impl Tracked {
    fn of(key: &ObjectKey, tracking: Option<Tracking>) -> Self {
        match tracking {
            None => Self::Not,
            Some(Tracking { app, object }) if object == *key => Self::Here(app),
            Some(tracking) => Self::Elsewhere(Box::new(tracking)),
        }
    }

    fn tracking(&self, key: &ObjectKey) -> Option<Tracking> {
        match self {
            Self::Not => None,
            Self::Here(app) => Some(Tracking { app: app.clone(), object: key.clone() }),
            Self::Elsewhere(tracking) => Some(Tracking::clone(tracking)),
        }
    }
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

    /// What changed since this was asked last.
    pub fn take_news(&self) -> News {
        std::mem::take(&mut self.lock().news)
    }

    /// Names the objects that matter from now on. Everything else is forgotten.
    pub fn set_interest(&self, interest: Keys) {
        let mut inner = self.lock();
        let new: Vec<Arc<ObjectKey>> = interest.difference(&inner.interest).cloned().collect();
        inner.objects.retain(|key, _| interest.contains(key));
        inner.unchecked.retain(|key| interest.contains(key));
        inner.ended.retain(|key, _| interest.contains(key));
        inner.findings.retain(|key, _| interest.contains(key));
        for key in new {
            if inner.watch(&key).is_some() {
                inner.unchecked.insert(key);
            }
        }
        inner.interest = interest;
    }

    /// Names the objects whose health their app judges itself. What is known of one whose rule changed is looked at anew.
    pub fn set_rules(&self, rules: HealthRules) {
        let mut inner = self.lock();
        if *inner.rules == rules {
            return;
        }
        let before = std::mem::replace(&mut inner.rules, Arc::new(rules));
        let now = inner.rules.clone();
        let is_changed = |key: &&Arc<ObjectKey>| before.get(key.as_ref()) != now.get(key.as_ref());
        let changed: Vec<Arc<ObjectKey>> = inner.objects.keys().filter(is_changed).cloned().collect();
        inner.unchecked.extend(changed);
        inner.news = News::Everything;
        drop(inner);
        self.notify();
    }

    /// The health of an object, by its app's expressions if there are some for it.
    pub fn judge(&self, key: &ObjectKey, object: &Value) -> Verdict {
        let rules = self.lock().rules.clone();
        judge(&rules, key, object)
    }

    /// Whether an app judges objects of this kind itself, so that their bodies are needed.
    pub(crate) fn judges(&self, kind: &GroupKind) -> bool {
        self.lock().rules.keys().any(|key| key.kind == *kind)
    }

    /// The first `most` objects that are not healthy and of which their pods may tell more.
    pub fn ailing(&self, most: usize) -> Vec<Ailing> {
        let inner = self.lock();
        let is_ailing =
            |seen: &Seen| matches!(seen.verdict().health, Health::Progressing | Health::Waiting | Health::Degraded) && !seen.deleting;
        let found = inner.objects.iter().filter(|(key, seen)| is_ailing(seen) && may_tell_more(&key.kind));
        let ailing = |(key, seen): (&Arc<ObjectKey>, &Seen)| Ailing {
            key: ObjectKey::clone(key),
            uid: seen.uid.to_string(),
            verdict: seen.verdict().clone(),
        };
        found.take(most).map(ailing).collect()
    }

    /// Takes in what was found out about an object. It counts as long as the object itself says what it said then.
    pub fn explain(&self, key: &ObjectKey, finding: Finding) {
        let mut inner = self.lock();
        if inner.interest.contains(key) && inner.findings.get(key) != Some(&finding) {
            inner.findings.insert(key.clone(), finding);
            inner.news.add(key);
            drop(inner);
            self.notify();
        }
    }

    /// The objects that no list has covered; look at each once and [`View::record`] or [`View::record_absent`] it.
    pub fn unchecked(&self) -> Vec<Arc<ObjectKey>> {
        self.lock().unchecked.iter().cloned().collect()
    }

    /// The mark of an object that is there, is not being deleted, and of which the watches tell what is so now.
    pub fn mark(&self, key: &ObjectKey) -> Option<Mark> {
        let inner = self.lock();
        let told = inner.out_of_date.is_none() && matches!(inner.watch(key), Some(WatchState::Synced)) && !inner.unchecked.contains(key);
        inner.objects.get(key).filter(|seen| told && !seen.deleting).map(|seen| seen.mark)
    }

    /// What is known of `key`, with its mark; `None` if nothing yet. `compared` is filled in by the caller.
    pub fn observed(&self, key: &ObjectKey) -> Option<(Observed, Option<Mark>)> {
        let inner = self.lock();
        if let Some(reason) = &inner.out_of_date {
            return Some((Observed::Unknown(reason.clone()), None));
        }
        match inner.watch(key) {
            None => return None,
            Some(WatchState::Unknown(reason)) => return Some((Observed::Unknown(reason.clone()), None)),
            Some(WatchState::Synced) => {}
        }
        if inner.unchecked.contains(key) {
            return None;
        }
        let Some(seen) = inner.objects.get(key) else {
            let ended = inner.ended.get(key).map(|(uid, ending)| Observed::Ended { uid: uid.clone(), ending: ending.clone() });
            return Some((ended.unwrap_or(Observed::Absent), None));
        };
        let present = Present {
            uid: seen.uid.to_string(),
            tracking: seen.tracking.tracking(key),
            deleting: seen.deleting,
            verdict: inner.finding(key, seen).unwrap_or(seen.verdict()).clone(),
            ending: seen.ending().cloned().map(Box::new),
            compared: Compared::NotYet,
        };
        Some((Observed::Present(present), Some(seen.mark)))
    }

    /// Takes in an object that somebody got or applied. Older news than what is known is dropped; whether an object is still there that the watch
    /// does not know though it is past this version is looked at again.
    pub fn record(&self, key: &ObjectKey, object: &Value) {
        if self.lock().take(key, object, Teller::Read) {
            self.notify();
        }
    }

    /// Takes in that an object is certainly not there.
    pub fn record_absent(&self, key: &ObjectKey) {
        let mut inner = self.lock();
        inner.unchecked.remove(key);
        inner.objects.remove(key);
        inner.news.add(key);
        drop(inner);
        self.notify();
    }

    /// What was seen may not be how things are, whatever the watches say: each of them lists again, and until then its field is unknown.
    pub fn doubt(&self) {
        self.doubts.send_modify(|doubts| *doubts += 1);
    }

    /// How often there was doubt, and when there is doubt again.
    pub fn doubts(&self) -> watch::Receiver<u64> {
        self.doubts.subscribe()
    }

    /// All that was seen counts as out of date for this reason, or no longer does. Says whether that is news.
    pub fn set_out_of_date(&self, reason: Option<Reason>) -> bool {
        let mut inner = self.lock();
        if inner.out_of_date == reason {
            return false;
        }
        let news = inner.out_of_date.is_some() != reason.is_some();
        inner.out_of_date = reason;
        inner.news = News::Everything;
        drop(inner);
        self.notify();
        news
    }

    /// Whether a kind is being listed of which nothing was known before.
    pub fn is_starting(&self) -> bool {
        let inner = self.lock();
        let mut fields = inner.fields.values().flat_map(BTreeMap::values);
        fields.any(|field| matches!(&field.watch, WatchState::Unknown(reason) if reason.severity == Severity::Wait))
    }

    /// Whether a watch found its kind not served since this was asked last; discovery is out of date then.
    pub fn take_unserved(&self) -> bool {
        std::mem::take(&mut self.lock().unserved)
    }

    /// The API server does not serve a kind in the version that is watched.
    pub(crate) fn note_unserved(&self) {
        self.lock().unserved = true;
        self.notify();
    }

    /// By which expressions objects are judged now.
    pub(crate) fn rules(&self) -> Arc<HealthRules> {
        self.lock().rules.clone()
    }

    /// The keys in `field` that matter now; a list that starts now covers exactly these.
    pub(crate) fn interest_in(&self, field: &Field) -> Keys {
        let mut inner = self.lock();
        inner.listing.insert(field.clone(), Keys::new());
        inner.interest.iter().filter(|key| field.covers(key)).cloned().collect()
    }

    /// A complete list was taken: `covered` are the keys that mattered when it began, `found` those of them that are there, `version` its own.
    pub(crate) fn listed(&self, field: &Field, covered: &Keys, mut found: BTreeMap<Arc<ObjectKey>, Seen>, version: u64) {
        let mut inner = self.lock();
        let newer = inner.listing.remove(field).unwrap_or_default();
        for key in covered.difference(&newer) {
            inner.unchecked.remove(key);
            match found.remove(key) {
                Some(seen) => {
                    inner.take_seen(key, seen, Teller::List);
                }
                None => {
                    inner.objects.remove(key);
                }
            }
        }
        // What was taken in meanwhile may be older than the list as well, and then no event tells of it any more: one that the list does not
        // have was made after it, or is gone since before it.
        for key in newer.intersection(covered) {
            match found.remove(key) {
                Some(seen) => drop(inner.take_seen(key, seen, Teller::Watch)),
                None if inner.objects.contains_key(key) => drop(inner.unchecked.insert(key.clone())),
                None => {}
            }
        }
        // What became interesting while the list was under way is not covered by it.
        let late: Vec<Arc<ObjectKey>> = inner.interest.iter().filter(|key| field.covers(key) && !covered.contains(*key)).cloned().collect();
        inner.unchecked.extend(late);
        // What is put in one by one leaves half of each node free; made anew of all, nodes are full.
        inner.objects = std::mem::take(&mut inner.objects).into_iter().collect();
        inner.set_field(field, WatchState::Synced);
        inner.told(field, version, true);
        drop(inner);
        self.notify();
    }

    /// A watch event: the object is there.
    pub(crate) fn appeared(&self, field: &Field, key: &ObjectKey, object: &Value) {
        let mut inner = self.lock();
        let changed = inner.take(key, object, Teller::Watch);
        inner.told(field, version_of(object), false);
        drop(inner);
        if changed {
            self.notify();
        }
    }

    /// A watch event: this object, as it was last, is gone.
    pub(crate) fn vanished(&self, field: &Field, key: &ObjectKey, object: &Value) {
        let uid = object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
        let mut inner = self.lock();
        inner.told(field, version_of(object), false);
        let known = inner.objects.get(key).map(|seen| *seen.uid == *uid);
        // Of what nobody has looked at yet this is the first that is known.
        let gone = known.unwrap_or_else(|| inner.unchecked.contains(key));
        if gone {
            inner.unchecked.remove(key);
            let last = inner.objects.remove(key);
            // It came to its end by itself and may have been taken away right then (`ttlSecondsAfterFinished` of a Job).
            let ending = last.as_ref().and_then(Seen::ending).cloned().or_else(|| ending(&key.kind, object));
            if let Some(ending) = ending {
                inner.ended.insert(key.clone(), (uid.to_owned(), ending));
            }
            inner.news.add(key);
            drop(inner);
            self.notify();
        }
    }

    /// The field cannot be observed at the moment.
    pub(crate) fn lost(&self, field: &Field, reason: Reason) {
        self.lock().set_field(field, WatchState::Unknown(reason));
        self.notify();
    }

    /// The watch goes on from where it was: what was seen is still true.
    pub(crate) fn resumed(&self, field: &Field) {
        let mut inner = self.lock();
        let state = inner.fields.get_mut(&field.kind).and_then(|of_kind| of_kind.get_mut(&field.namespace));
        if let Some(FieldState { watch: watch @ WatchState::Unknown(_), .. }) = state {
            *watch = WatchState::Synced;
            inner.news = News::Everything;
            drop(inner);
            self.notify();
        }
    }

    /// The field is not watched any more.
    pub(crate) fn dropped(&self, field: &Field) {
        let mut inner = self.lock();
        if let Some(of_kind) = inner.fields.get_mut(&field.kind) {
            of_kind.remove(&field.namespace);
        }
        inner.objects.retain(|key, _| !field.covers(key));
        inner.news = News::Everything;
    }

    /// The field is not watched: each object that matters is looked at once. No effect on one that is looked at already.
    pub(crate) fn looked_at(&self, field: &Field) {
        if !self.lock().knows(field) {
            self.listed(field, &Keys::new(), BTreeMap::new(), 0);
        }
    }

    /// The field is outside of what the agent was installed for.
    pub(crate) fn outside(&self, field: &Field) {
        let message = format!("this agent is installed for some namespaces and does not see {}, which is in none", field.kind);
        let reason = Reason::new(Severity::Error, "NotObservable", message);
        let mut inner = self.lock();
        if !inner.knows(field) {
            inner.set_field(field, WatchState::Unknown(reason));
        }
    }

    /// The field begins to be watched: nothing is known of it yet.
    pub(crate) fn begun(&self, field: &Field) {
        let starting = Reason::new(Severity::Wait, "NotObserved", format!("the watch of {} is starting", field.kind));
        self.lock().set_field(field, WatchState::Unknown(starting));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What is known of the field that an object is in.
    fn field(&self, key: &ObjectKey) -> Option<&FieldState> {
        let of_kind = self.fields.get(&key.kind)?;
        of_kind.get(&None).or_else(|| of_kind.get(&key.namespace))
    }

    fn watch(&self, key: &ObjectKey) -> Option<&WatchState> {
        self.field(key).map(|field| &field.watch)
    }

    /// Takes down how far the field's list or watch has told everything; a list begins anew.
    fn told(&mut self, field: &Field, version: u64, anew: bool) {
        let state = self.fields.get_mut(&field.kind).and_then(|of_kind| of_kind.get_mut(&field.namespace));
        if let Some(state) = state {
            state.told = if anew { version } else { state.told.max(version) };
        }
    }

    fn knows(&self, field: &Field) -> bool {
        self.fields.get(&field.kind).is_some_and(|of_kind| of_kind.contains_key(&field.namespace))
    }

    /// What was found out about an object, if it still says what it said then.
    fn finding(&self, key: &ObjectKey, seen: &Seen) -> Option<&Verdict> {
        let finding = self.findings.get(key).filter(|finding| finding.uid == *seen.uid && finding.before == *seen.verdict())?;
        Some(&finding.after)
    }

    fn set_field(&mut self, field: &Field, watch: WatchState) {
        let of_kind = self.fields.entry(field.kind.clone()).or_default();
        let told = of_kind.get(&field.namespace).map_or(0, |known| known.told);
        of_kind.insert(field.namespace.clone(), FieldState { watch, told });
        self.news = News::Everything;
    }

    fn take(&mut self, key: &ObjectKey, object: &Value, teller: Teller) -> bool {
        // What does not matter is not even read.
        let Some(key) = self.interest.get(key).cloned() else { return false };
        for (_, taken) in self.listing.iter_mut().filter(|(field, _)| field.covers(&key)) {
            taken.insert(key.clone());
        }
        let rules = self.rules.clone();
        self.take_seen(&key, Seen::of(&key, object, &rules), teller)
    }

    /// Takes in an object. Says whether anything that we keep changed.
    fn take_seen(&mut self, key: &Arc<ObjectKey>, seen: Seen, teller: Teller) -> bool {
        if !self.interest.contains(key) {
            return false;
        }
        if self.unchecked.remove(key) {
            self.news.add(key);
        } else if teller == Teller::Read && self.was_told_of(key, &seen) {
            // It went before the answer was looked at, and no event tells of it any more.
            self.unchecked.insert(key.clone());
            self.news.add(key);
            return true;
        }
        match self.objects.get_mut(key) {
            Some(known) if teller != Teller::List && known.version > seen.version => return false,
            Some(known) if known.uid == seen.uid && known.mark == seen.mark && known.more == seen.more => {
                let same = known.tracking == seen.tracking && known.deleting == seen.deleting;
                *known = seen;
                if !same {
                    self.news.add(key);
                }
                return !same;
            }
            _ => {}
        }
        self.ended.remove(key.as_ref());
        self.objects.insert(key.clone(), seen);
        self.news.add(key);
        true
    }

    /// Whether list and watch are past this state of an object that they do not know.
    fn was_told_of(&self, key: &ObjectKey, seen: &Seen) -> bool {
        !self.objects.contains_key(key) && self.field(key).is_some_and(|field| field.told >= seen.version && field.told > 0)
    }
}

fn judge(rules: &HealthRules, key: &ObjectKey, object: &Value) -> Verdict {
    rules.get(key).map_or_else(|| assess(object), |expressions| assess_by(expressions, object))
}

/// An object's version, to tell older from newer; 0 if it is no number, as an aggregated API may have it.
fn version_of(object: &Value) -> u64 {
    object.pointer("/metadata/resourceVersion").and_then(Value::as_str).and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl Seen {
    /// Reads an object.
    pub(crate) fn of(key: &ObjectKey, object: &Value, rules: &HealthRules) -> Self {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let annotation = object.pointer("/metadata/annotations").and_then(|map| map.get(TRACKING_ANNOTATION)).and_then(Value::as_str);
        let verdict = judge(rules, key, object);
        let ending = ending(&key.kind, object).map(Box::new);
        Self {
            uid: text("/metadata/uid").into(),
            version: version_of(object),
            mark: fingerprint(object),
            tracking: Tracked::of(key, annotation.and_then(Tracking::parse)),
            deleting: object.pointer("/metadata/deletionTimestamp").is_some(),
            more: (verdict != HEALTHY || ending.is_some()).then(|| Box::new(More { verdict, ending })),
        }
    }
}

#[cfg(test)]
mod tests {
    use agent_health::End;
    use serde_json::json;
    use shared_expression::cel::Expression;

    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(GroupKind::new("", "ConfigMap"), Some("web"), name)
    }

    fn object(name: &str, version: u64) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": name, "namespace": "web", "uid": format!("u-{name}"), "resourceVersion": version.to_string(),
        }})
    }

    #[test]
    fn what_was_read_while_a_list_was_under_way_and_is_not_in_it_is_looked_at_again() {
        let view = View::default();
        let field = Field::whole(&key("a").kind);
        view.set_interest([key("read"), key("listed"), key("missing")].map(Arc::new).into());
        view.begun(&field);
        let covered = view.interest_in(&field);
        // Read before somebody deleted it, and listed after that: no event will tell.
        view.record(&key("read"), &object("read", 5));
        let seen = Seen::of(&key("listed"), &object("listed", 6), &HealthRules::default());
        view.listed(&field, &covered, [(Arc::new(key("listed")), seen)].into(), 6);
        assert_eq!(view.unchecked(), [Arc::new(key("read"))]);
        assert!(view.observed(&key("read")).is_none());
        view.record_absent(&key("read"));
        assert!(matches!(view.observed(&key("read")), Some((Observed::Absent, None))));
        assert!(matches!(view.observed(&key("listed")), Some((Observed::Present(_), Some(_)))));
        assert!(matches!(view.observed(&key("missing")), Some((Observed::Absent, None))));
    }

    /// A view of ConfigMaps in which `a` and `b` were listed at version 5.
    fn listed() -> (View, Field) {
        let view = View::default();
        let field = Field::whole(&key("a").kind);
        view.set_interest([key("a"), key("b")].map(Arc::new).into());
        view.begun(&field);
        let covered = view.interest_in(&field);
        let seen = |name: &str| (Arc::new(key(name)), Seen::of(&key(name), &object(name, 5), &HealthRules::default()));
        view.listed(&field, &covered, [seen("a"), seen("b")].into(), 5);
        (view, field)
    }

    #[test]
    fn that_nothing_is_out_of_date_is_said_again_and_again_and_is_no_news() {
        let (view, _) = listed();
        assert_eq!(view.take_news(), News::Everything);
        assert!(!view.set_out_of_date(None));
        assert_eq!(view.take_news(), News::default());
        let unreachable = |why: &str| Some(Reason::new(Severity::Error, "ApiServerUnreachable", why));
        assert!(view.set_out_of_date(unreachable("refused")));
        assert_eq!(view.take_news(), News::Everything);
        // Another reason is to be told, and it is as long ago as before.
        assert!(!view.set_out_of_date(unreachable("no answer")));
        assert_eq!(view.take_news(), News::Everything);
        assert!(view.set_out_of_date(None));
    }

    #[test]
    fn what_was_read_before_it_went_does_not_come_back_with_the_answer() {
        let (view, field) = listed();
        view.vanished(&field, &key("a"), &object("a", 6));
        assert!(matches!(view.observed(&key("a")), Some((Observed::Absent, None))));
        // Asked before it was deleted, and looked at after the watch told of that.
        view.record(&key("a"), &object("a", 5));
        assert_eq!(view.unchecked(), [Arc::new(key("a"))]);
        assert!(view.observed(&key("a")).is_none());
        view.record_absent(&key("a"));
        assert!(matches!(view.observed(&key("a")), Some((Observed::Absent, None))));
        // What somebody made since is newer than all that the watch told.
        view.record(&key("a"), &object("a", 7));
        assert!(matches!(view.observed(&key("a")), Some((Observed::Present(_), Some(_)))));
    }

    #[test]
    fn what_was_read_before_it_was_made_anew_is_older_news() {
        let (view, field) = listed();
        let mut anew = object("b", 8);
        anew["metadata"]["uid"] = json!("u-anew");
        view.vanished(&field, &key("b"), &object("b", 7));
        view.appeared(&field, &key("b"), &anew);
        view.record(&key("b"), &object("b", 5));
        let Some((Observed::Present(present), _)) = view.observed(&key("b")) else { panic!("it is there") };
        assert_eq!(present.uid, "u-anew");
    }

    #[test]
    fn the_end_of_a_job_outlives_it_and_is_not_told_by_its_health() {
        let job = ObjectKey::new(GroupKind::new("batch", "Job"), Some("web"), "j");
        let view = View::default();
        let field = Field::whole(&job.kind);
        view.set_interest([job.clone()].map(Arc::new).into());
        let [current, in_progress, failed] =
            ["has(status.active)", "false", "has(status.failed)"].map(|text| Expression::parse(text).expect("valid"));
        let expressions = HealthExpressions { current, in_progress: Some(in_progress), failed: Some(failed) };
        view.set_rules([(job.clone(), Arc::new(expressions))].into());
        view.begun(&field);
        view.listed(&field, &view.interest_in(&field), BTreeMap::new(), 1);
        let object = |uid: &str, version: u64, status: Value| {
            let metadata = json!({"name": "j", "namespace": "web", "uid": uid, "resourceVersion": version.to_string()});
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "status": status})
        };
        let conditions = |kind: &str| json!([{"type": kind, "status": "True", "message": "too slow"}]);
        // What it says of itself while it is there, by its app's health and by its own end, and what is known of it when it is gone.
        let failed = Some(End::Failed("too slow".to_owned()));
        for (uid, status, health, end) in [
            ("a", json!({"active": 1}), Health::Healthy, None),
            ("b", json!({"active": 1, "failed": 1}), Health::Degraded, None),
            ("c", json!({"conditions": conditions("Complete")}), Health::Progressing, Some(End::Succeeded)),
            ("d", json!({"active": 0, "conditions": conditions("Failed")}), Health::Healthy, failed),
        ] {
            let version = u64::from(uid.as_bytes()[0]) * 10;
            view.appeared(&field, &job, &object(uid, version, status.clone()));
            let Some((Observed::Present(present), _)) = view.observed(&job) else { panic!("{uid} is there") };
            assert_eq!((present.verdict.health, present.ending.map(|ending| ending.end)), (health, end.clone()), "{uid}");
            view.vanished(&field, &job, &object(uid, version + 1, status));
            let gone = match view.observed(&job).expect("known").0 {
                Observed::Ended { uid: of, ending } if of == uid => Some(ending.end),
                Observed::Absent => None,
                other => panic!("{uid}: {other:?}"),
            };
            // Also the next of its name does not inherit it.
            assert_eq!(gone, end, "{uid}");
        }
    }

    #[test]
    fn what_nobody_looked_at_yet_is_gone_when_the_watch_says_so() {
        let (view, field) = listed();
        view.set_interest([key("a"), key("late")].map(Arc::new).into());
        view.vanished(&field, &key("late"), &object("late", 9));
        assert!(matches!(view.observed(&key("late")), Some((Observed::Absent, None))));
        view.record(&key("late"), &object("late", 8));
        assert_eq!(view.unchecked(), [Arc::new(key("late"))]);
        // Looked at again, it is there: versions went back, or the watch told of an earlier one.
        view.record(&key("late"), &object("late", 8));
        assert!(matches!(view.observed(&key("late")), Some((Observed::Present(_), Some(_)))));
    }
}
