//! What was tried on each object and how it went: when to try again, and when healing has become a fight.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared_model::{AppName, Digest, Drift, DriftKind, FieldChange, ObjectKey, Reason, Severity, TakenOver, Timestamp};

/// The longest pause between two attempts: an error that was mended is noticed within five minutes even if no event tells of it.
pub const RETRY_CAP: Duration = Duration::from_secs(300);

/// The longest pause after an error that is the API server's own: it passes without anybody mending the object, and then everything that
/// suffered from it should be tried soon.
const PASSING_CAP: Duration = Duration::from_secs(30);

/// The first pause after a failed attempt; each next one is twice as long up to [`RETRY_CAP`].
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// Healing the same object this often within [`FIGHT_WINDOW`] slows down; by the same other manager it is called a fight.
pub const FIGHT_AFTER: usize = 3;

/// The window in which heals are counted.
const FIGHT_WINDOW: Duration = Duration::from_secs(600);

/// Drift that was healed is reported for this long: an operator who comes after lunch still sees it.
const DRIFT_REMEMBERED: Duration = Duration::from_secs(6 * 3600);

/// The history of all objects since the agent's start. Losing it costs an attempt that comes a little early.
#[derive(Debug, Clone, Default)]
pub struct Attempts {
    /// Only what there is something to say about: an object that was applied without ado is not in here.
    objects: BTreeMap<AppName, BTreeMap<ObjectKey, History>>,
    /// Of each app with a transactional release under way: what the API server accepted in a dry run.
    rehearsed: BTreeMap<AppName, (Digest, BTreeSet<ObjectKey>)>,
}

#[derive(Debug, Clone, Default)]
struct History {
    failures: u32,
    error: Option<(Reason, Timestamp)>,
    heals: Vec<Heal>,
    drifts: Vec<Drift>,
    /// The object as it was when others held fields that its app leaves to them: its fingerprint, if it was known.
    held: Option<Option<Digest>>,
    /// What the last apply that met others' fields took over.
    taken: Vec<TakenOver>,
}

#[derive(Debug, Clone)]
struct Heal {
    at: Timestamp,
    managers: Vec<String>,
}

impl Attempts {
    /// An attempt on `object` failed.
    pub fn failed(&mut self, app: &AppName, object: &ObjectKey, reason: Reason, now: Timestamp) {
        let history = self.history(app, object);
        history.failures = history.failures.saturating_add(1);
        history.error = Some((reason, now));
        history.held = None;
    }

    /// An attempt on `object` failed because others hold fields that its app leaves to them. `mark` is its fingerprint.
    pub fn yielded(&mut self, app: &AppName, object: &ObjectKey, reason: Reason, mark: Option<Digest>, now: Timestamp) {
        self.failed(app, object, reason, now);
        self.history(app, object).held = Some(mark);
    }

    /// Why `object` is left to others, if the last attempt on it found that they hold fields of it.
    pub fn fields_held(&self, app: &AppName, object: &ObjectKey) -> Option<&Reason> {
        let history = self.known(app, object)?;
        history.held.as_ref().and(history.error.as_ref()).map(|(reason, _)| reason)
    }

    /// Has objects that were left to others tried again at once if they are not any more as they were then. `mark` tells their fingerprints.
    pub fn reconsider(&mut self, mark: impl Fn(&ObjectKey) -> Option<Digest>) {
        let histories = self.objects.values_mut().flatten();
        for (object, history) in histories.filter(|(_, history)| history.held.is_some()) {
            if history.held != Some(mark(object)) {
                (history.failures, history.error, history.held) = (0, None, None);
            }
        }
    }

    /// An attempt on `object` succeeded.
    pub fn succeeded(&mut self, app: &AppName, object: &ObjectKey, now: Timestamp) {
        self.mended(app, object);
        self.settled(app, object, now);
    }

    /// Dry runs of `release` begin, or go on. What was accepted of another release counts no more.
    pub fn rehearsing(&mut self, app: &AppName, release: &Digest) {
        let (of, accepted) = self.rehearsed.entry(app.clone()).or_insert_with(|| (*release, BTreeSet::new()));
        if of != release {
            (*of, *accepted) = (*release, BTreeSet::new());
        }
    }

    /// Whether `release` is the one whose dry runs began last: the answer to one of another came too late to say anything.
    pub fn is_rehearsing(&self, app: &AppName, release: &Digest) -> bool {
        self.rehearsed.get(app).is_some_and(|(of, _)| of == release)
    }

    /// The API server accepted a dry run of `object` as `release` wants it, if that is still what is rehearsed.
    pub fn rehearsed(&mut self, app: &AppName, release: &Digest, object: &ObjectKey) {
        if let Some((_, accepted)) = self.rehearsed.get_mut(app).filter(|(of, _)| of == release) {
            accepted.insert(object.clone());
            self.mended(app, object);
        }
    }

    /// Whether the API server accepted a dry run of `object` as `release` wants it.
    pub fn is_rehearsed(&self, app: &AppName, release: &Digest, object: &ObjectKey) -> bool {
        self.rehearsed.get(app).is_some_and(|(of, accepted)| of == release && accepted.contains(object))
    }

    /// The release of `app` is applied: its dry runs need not be remembered.
    pub fn completed(&mut self, app: &AppName) {
        self.rehearsed.remove(app);
    }

    /// `object` is about to be healed of `changes`; none means that it was deleted.
    pub fn healing(&mut self, app: &AppName, object: &ObjectKey, changes: &[FieldChange], now: Timestamp) {
        let history = self.history(app, object);
        history.heals.retain(|heal| since(now, heal.at) < FIGHT_WINDOW);
        let mut managers: Vec<String> = changes.iter().filter_map(|change| change.manager.clone()).collect();
        managers.sort_unstable();
        managers.dedup();
        history.heals.push(Heal { at: now, managers });
    }

    /// `object` was seen to differ by `changes`; none means that it was deleted. Seeing the same standing drift again changes nothing.
    pub fn drifted(&mut self, app: &AppName, object: &ObjectKey, changes: &[FieldChange], now: Timestamp) {
        let fight = self.fight(app, object).is_some();
        let history = self.history(app, object);
        history.drifts.retain(|drift| drift.healed.is_none_or(|healed| since(now, healed) < DRIFT_REMEMBERED));
        let kind = match (changes.is_empty(), fight) {
            (true, _) => DriftKind::Deleted,
            (false, true) => DriftKind::Fight,
            (false, false) => DriftKind::Changed,
        };
        let fields: Vec<FieldChange> = changes.iter().take(Drift::FIELD_LIMIT).cloned().collect();
        match history.drifts.iter_mut().find(|drift| drift.healed.is_none()) {
            Some(standing) => {
                standing.kind = kind;
                standing.fields = fields;
            }
            None => history.drifts.push(Drift { object: object.clone(), kind, fields, seen: now, healed: None }),
        }
        let excess = history.drifts.len().saturating_sub(shared_model::AppState::DRIFT_LIMIT);
        history.drifts.drain(..excess);
    }

    /// Whether there is something to say about `object`.
    pub fn remembers(&self, app: &AppName, object: &ObjectKey) -> bool {
        self.objects.get(app).is_some_and(|objects| objects.contains_key(object))
    }

    /// The drift of an object went away without us.
    pub fn settled(&mut self, app: &AppName, object: &ObjectKey, now: Timestamp) {
        if let Some(history) = self.objects.get_mut(app).and_then(|objects| objects.get_mut(object)) {
            for drift in history.drifts.iter_mut().filter(|drift| drift.healed.is_none()) {
                drift.healed = Some(now);
            }
        }
    }

    /// The drift of `app`, newest first.
    pub fn drift(&self, app: &AppName) -> Vec<Drift> {
        let histories = self.objects.get(app).into_iter().flat_map(BTreeMap::values);
        let mut drift: Vec<Drift> = histories.flat_map(|history| history.drifts.iter().cloned()).collect();
        drift.sort_by_key(|drift| std::cmp::Reverse(drift.seen));
        drift.truncate(shared_model::AppState::DRIFT_LIMIT);
        drift
    }

    /// An apply of `object` took these fields over, each with the manager that held it.
    pub fn took_over(&mut self, app: &AppName, object: &ObjectKey, fields: &[(String, String)], now: Timestamp) {
        let mut by_manager: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (field, manager) in fields {
            by_manager.entry(manager).or_default().push(field.clone());
        }
        let taken = by_manager.into_iter().take(shared_model::AppState::TAKEN_OVER_LIMIT).map(|(manager, mut fields)| {
            fields.truncate(Drift::FIELD_LIMIT);
            TakenOver { object: object.clone(), manager: manager.to_owned(), fields, at: now }
        });
        self.history(app, object).taken = taken.collect();
    }

    /// What was taken over from other managers for `app`, newest first.
    pub fn taken_over(&self, app: &AppName) -> Vec<TakenOver> {
        let histories = self.objects.get(app).into_iter().flat_map(BTreeMap::values);
        let mut taken: Vec<TakenOver> = histories.flat_map(|history| history.taken.iter().cloned()).collect();
        taken.sort_by_key(|taken| std::cmp::Reverse(taken.at));
        taken.truncate(shared_model::AppState::TAKEN_OVER_LIMIT);
        taken
    }

    /// The error of the last attempt, if it failed.
    pub fn error(&self, app: &AppName, object: &ObjectKey) -> Option<&Reason> {
        self.known(app, object)?.error.as_ref().map(|(reason, _)| reason)
    }

    /// The manager that rewrites `object` again and again, if there is one.
    pub fn fight(&self, app: &AppName, object: &ObjectKey) -> Option<String> {
        let history = self.known(app, object)?;
        let recent = history.heals.len().checked_sub(FIGHT_AFTER).map(|from| &history.heals[from..])?;
        let manager = recent.last()?.managers.first()?;
        recent.iter().all(|heal| heal.managers.contains(manager)).then(|| manager.clone())
    }

    /// When `object` may be tried again. In the past if at once.
    pub fn next(&self, app: &AppName, object: &ObjectKey, healing: bool) -> Timestamp {
        let Some(history) = self.known(app, object) else { return Timestamp::UNIX_EPOCH };
        let retry = history.error.as_ref().map(|(reason, at)| {
            let cap = if passes(reason) { PASSING_CAP } else { RETRY_CAP };
            *at + backoff(history.failures.saturating_sub(1)).min(cap)
        });
        let slowed = history.heals.len().checked_sub(FIGHT_AFTER).filter(|_| healing);
        let heal = slowed.and_then(|excess| {
            let last = history.heals.last()?;
            Some(last.at + backoff(u32::try_from(excess).unwrap_or(u32::MAX).saturating_add(2)))
        });
        [retry, heal].into_iter().flatten().max().unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Drops the history of objects that `keep` does not name.
    pub fn retain(&mut self, keep: impl Fn(&AppName, &ObjectKey) -> bool) {
        self.objects.retain(|app, objects| {
            objects.retain(|object, _| keep(app, object));
            !objects.is_empty()
        });
    }

    /// Forgets failures, so that everything is tried at once: new content deserves a new attempt.
    pub fn forgive(&mut self, app: &AppName) {
        for history in self.objects.get_mut(app).into_iter().flat_map(BTreeMap::values_mut) {
            history.failures = 0;
            history.error = None;
            history.held = None;
            history.heals.clear();
            history.taken.clear();
        }
    }

    /// An attempt went well: what failed before it does not count any more.
    fn mended(&mut self, app: &AppName, object: &ObjectKey) {
        let Some(objects) = self.objects.get_mut(app) else { return };
        let Some(history) = objects.get_mut(object) else { return };
        history.failures = 0;
        history.error = None;
        history.held = None;
        if history.heals.is_empty() && history.drifts.is_empty() && history.taken.is_empty() {
            objects.remove(object);
        }
    }

    fn known(&self, app: &AppName, object: &ObjectKey) -> Option<&History> {
        self.objects.get(app)?.get(object)
    }

    fn history(&mut self, app: &AppName, object: &ObjectKey) -> &mut History {
        self.objects.entry(app.clone()).or_default().entry(object.clone()).or_default()
    }
}

/// Whether an error says nothing about the object: the API server or a webhook could not be reached, failed, or asked to wait.
fn passes(reason: &Reason) -> bool {
    reason.severity == Severity::Wait || reason.code.starts_with("ApiServer") || reason.code == "WebhookUnavailable"
}

/// `RETRY_FIRST` × 2ⁿ up to `RETRY_CAP`.
fn backoff(exponent: u32) -> Duration {
    RETRY_FIRST.saturating_mul(2_u32.saturating_pow(exponent.min(16))).min(RETRY_CAP)
}

fn since(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use shared_model::GroupKind;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("valid")
    }

    fn subject() -> (AppName, ObjectKey) {
        ("web".parse().expect("valid"), ObjectKey::new(GroupKind::new("", "ConfigMap"), Some("web"), "a"))
    }

    fn change(manager: &str) -> Vec<FieldChange> {
        vec![FieldChange { path: "data.a".into(), wanted: None, found: None, manager: Some(manager.into()), since: None }]
    }

    #[test]
    fn pauses_double_up_to_the_cap_and_never_end() {
        let (app, object) = subject();
        let mut attempts = Attempts::default();
        assert_eq!(attempts.next(&app, &object, false), Timestamp::UNIX_EPOCH);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            attempts.failed(&app, &object, Reason::new(Severity::Error, "ApplyRefused", "no"), at(1_000));
            pauses.push(attempts.next(&app, &object, false).as_second() - 1_000);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        attempts.failed(&app, &object, Reason::new(Severity::Error, "ApiServerFailing", "etcd is slow"), at(1_000));
        assert_eq!(attempts.next(&app, &object, false), at(1_030), "what passes by itself is tried again soon");
        attempts.succeeded(&app, &object, at(2_000));
        assert_eq!(attempts.next(&app, &object, false), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn healing_is_immediate_until_it_is_a_fight() {
        let (app, object) = subject();
        let mut attempts = Attempts::default();
        for second in 0..2 {
            assert!(attempts.next(&app, &object, true) <= at(second));
            attempts.healing(&app, &object, &change("other"), at(second));
        }
        assert_eq!(attempts.fight(&app, &object), None);
        attempts.healing(&app, &object, &change("other"), at(2));
        assert_eq!(attempts.fight(&app, &object).as_deref(), Some("other"));
        assert!(attempts.next(&app, &object, true) > at(5));
        assert!(attempts.next(&app, &object, false) <= at(5), "new content does not wait for a fight");
    }

    #[test]
    fn a_dry_run_of_an_earlier_release_that_is_accepted_late_neither_counts_nor_takes_away_what_counts() {
        let (app, a) = subject();
        let b = ObjectKey { name: "b".to_owned(), ..a.clone() };
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let mut attempts = Attempts::default();
        attempts.rehearsing(&app, &old);
        attempts.rehearsed(&app, &old, &a);
        assert!(attempts.is_rehearsed(&app, &old, &a));

        attempts.rehearsing(&app, &new);
        attempts.rehearsed(&app, &new, &a);
        attempts.failed(&app, &b, Reason::new(Severity::Error, "ApplyRefused", "no"), at(1_000));
        attempts.rehearsed(&app, &old, &b);
        assert!(attempts.is_rehearsed(&app, &new, &a), "what was accepted stays accepted");
        assert!(!attempts.is_rehearsed(&app, &new, &b) && !attempts.is_rehearsed(&app, &old, &b));
        assert!(attempts.error(&app, &b).is_some(), "nor does it mend what the new release was refused for");
        assert!(attempts.is_rehearsing(&app, &new) && !attempts.is_rehearsing(&app, &old));

        attempts.rehearsing(&app, &old);
        assert!(!attempts.is_rehearsed(&app, &old, &a), "what comes back is tried again");
        attempts.completed(&app);
        attempts.rehearsed(&app, &old, &a);
        assert!(!attempts.is_rehearsed(&app, &old, &a), "an answer after the end says nothing");
    }

    #[test]
    fn several_managers_are_no_fight() {
        let (app, object) = subject();
        let mut attempts = Attempts::default();
        for (second, manager) in ["a", "b", "c"].into_iter().enumerate() {
            attempts.healing(&app, &object, &change(manager), at(i64::try_from(second).expect("small")));
        }
        assert_eq!(attempts.fight(&app, &object), None);
    }

    #[test]
    fn a_drift_keeps_the_time_it_was_first_seen_and_says_when_it_was_healed() {
        let (app, object) = subject();
        let mut attempts = Attempts::default();
        attempts.drifted(&app, &object, &change("kubectl-edit"), at(10));
        attempts.drifted(&app, &object, &change("kubectl-edit"), at(20));
        attempts.succeeded(&app, &object, at(21));
        let drift = attempts.drift(&app);
        assert_eq!((drift.len(), drift[0].seen, drift[0].healed), (1, at(10), Some(at(21))));
    }
}
