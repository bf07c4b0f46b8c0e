//! Tests of a release, which run once for each request in the signed index: which is next, how they stand, when it is over. They run one
//! after the other by weight and name, and the first that fails is the last (Helm's `release_testing.go` and `hooks.go`). How one object comes
//! to its end is left to `hook`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_health::{END_MESSAGE_LIMIT, End};
use shared_model::{AppTest, Digest, ObjectKey, Reason, Severity, TestOutcome, TestResult, Timestamp};
use shared_release::{Entry, Hook, HookDelete, Release, TestRequest, waits_always};

use crate::hook::{Ran, is_of, may_delete};
use crate::inventory::{AppInventory, HookRun, TestEnd, TestRuns};
use crate::observed::{Objects, Observed};
use crate::order::rank;
use crate::plan::{Standing, StepKind};

/// What is written down about the tests of an app, before anything else is done about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestNote {
    /// A new request is begun; what an older one came to is forgotten.
    Begin(TestRuns),
    /// This test failed by what is seen without its object.
    Fail {
        /// The test.
        object: Arc<ObjectKey>,
        /// Why.
        message: String,
    },
    /// All of it came to an end.
    End(TestEnd),
}

impl AppInventory {
    /// Takes down a note about the tests.
    pub fn take_test_note(&mut self, note: &TestNote, now: Timestamp) {
        match (note, &mut self.tests) {
            (TestNote::Begin(tests), _) => self.tests = Some(tests.clone()),
            (TestNote::Fail { object, message }, Some(tests)) => {
                let run = tests.runs.entry(object.clone()).or_default();
                run.end = Some(End::Failed(message.clone()));
                run.ended = Some(now);
            }
            (TestNote::End(end), Some(tests)) => tests.end = Some((end.clone(), now)),
            (TestNote::Fail { .. } | TestNote::End(_), None) => {}
        }
    }
}

/// What deciding about tests needs.
pub(crate) struct TestInput<'a> {
    /// The request in the index.
    pub(crate) request: Option<&'a TestRequest>,
    /// The release in the index; `None` if there is none, or it cannot be used.
    pub(crate) release: Option<(&'a Digest, &'a Release)>,
    /// Why the release cannot be used, if it cannot.
    pub(crate) unusable: Option<&'a Reason>,
    /// Why the release is not applied and healthy, if it is not.
    pub(crate) unready: Option<Reason>,
    pub(crate) inventory: &'a AppInventory,
    pub(crate) objects: &'a Objects,
    pub(crate) now: Timestamp,
}

/// What to do about tests, and how they stand.
#[derive(Default)]
pub(crate) struct Testing {
    pub(crate) note: Option<TestNote>,
    pub(crate) step: Option<(Arc<ObjectKey>, StepKind)>,
    pub(crate) wake: Option<Timestamp>,
    pub(crate) report: Option<AppTest>,
}

/// Decides what comes next. `stand` tells how a test stands whose end is not known.
pub(crate) fn plan_tests(input: &TestInput<'_>, stand: impl Fn(&Arc<Entry>, &Hook, Option<&HookRun>) -> Standing) -> Testing {
    let tests = input.inventory.tests.as_ref();
    let asked = input.request.zip(input.release).filter(|(request, _)| tests.is_none_or(|tests| tests.request != request.id));
    if let Some((request, (digest, release))) = asked {
        return begin(input, request, *digest, release);
    }
    let Some(tests) = tests else { return Testing::default() };
    let release = input.release.filter(|(digest, _)| **digest == tests.release).map(|(_, release)| release);
    if tests.end.is_some() {
        return Testing { report: Some(report(tests, release, None)), ..Testing::default() };
    }
    let wanted = input.request.is_some_and(|request| request.id == tests.request);
    match release.filter(|_| wanted) {
        Some(release) => go_on(input, tests, release, stand),
        None if input.unusable.is_some() => Testing { report: Some(report(tests, None, input.unusable)), ..Testing::default() },
        None => {
            let why = match input.release {
                Some((digest, _)) if *digest != tests.release => {
                    format!("release {} came before the tests of {} had ended", digest.short(), tests.release.short())
                }
                Some(_) => "the hub took the request back".to_owned(),
                None => "the app leaves this cluster".to_owned(),
            };
            ended(tests, release, TestEnd::Cancelled(why))
        }
    }
}

/// Nothing of a request is done before it is written down that it was begun.
fn begin(input: &TestInput<'_>, request: &TestRequest, release: Digest, content: &Release) -> Testing {
    let until = input.now + Duration::from_secs(u64::from(request.seconds));
    let tests = TestRuns { request: request.id.clone(), release, seen: input.now, until, runs: BTreeMap::new(), end: None };
    let report = report(&tests, Some(content), None);
    Testing { note: Some(TestNote::Begin(tests)), step: None, wake: None, report: Some(report) }
}

fn go_on(
    input: &TestInput<'_>,
    tests: &TestRuns,
    release: &Release,
    stand: impl Fn(&Arc<Entry>, &Hook, Option<&HookRun>) -> Standing,
) -> Testing {
    let (entries, late) = (in_order(release), tests.until <= input.now);
    if entries.is_empty() {
        return ended(tests, Some(release), TestEnd::Cancelled("the release has no tests".to_owned()));
    }
    let began = tests.runs.values().any(|run| run.uid.is_some() || run.end.is_some());
    if let Some(reason) = input.unready.as_ref().filter(|_| !began) {
        if late {
            let message = format!("they did not begin in time, as {}", reason.message);
            return ended(tests, Some(release), TestEnd::Failed(message));
        }
        return Testing { wake: Some(tests.until), report: Some(report(tests, Some(release), Some(reason))), ..Testing::default() };
    }
    for (entry, hook) in entries {
        let run = tests.runs.get(&entry.object);
        match run.and_then(|run| run.end.as_ref()) {
            Some(End::Succeeded) => continue,
            Some(End::Failed(message)) => {
                let message = format!("{} failed: {message}", entry.object);
                return ended(tests, Some(release), TestEnd::Failed(message));
            }
            None => {}
        }
        let standing = stand(entry, hook, run);
        if let Some(message) = self_evident(input, entry, hook, run, &standing) {
            return failed(tests, release, entry, message);
        }
        let ends = matches!(standing.step, Some(StepKind::EndHook { .. }));
        if late && !ends {
            let why = standing.reason.as_ref().map_or(String::new(), |reason| format!(" ({})", reason.message));
            let seconds = tests.until.duration_since(tests.seen).as_secs();
            return failed(tests, release, entry, format!("it did not end within {seconds} seconds{why}"));
        }
        let wake = [standing.wake, Some(tests.until).filter(|_| !late)].into_iter().flatten().min();
        let report = Some(report(tests, Some(release), standing.reason.as_ref()));
        return Testing { note: None, step: standing.step.map(|step| (entry.object.clone(), step)), wake, report };
    }
    ended(tests, Some(release), TestEnd::Succeeded)
}

/// Why a test failed although its object does not say so: it is gone before its end was seen, or what another has made stands in its place.
/// An ordinary hook would run again, or be applied over it; a test that was run is not run twice, and one that runs over something old would
/// tell how that went.
fn self_evident(input: &TestInput<'_>, entry: &Arc<Entry>, hook: &Hook, run: Option<&HookRun>, standing: &Standing) -> Option<String> {
    let seen = input.objects.get(&entry.object);
    if let Some(run) = run.filter(|run| run.uid.is_some()) {
        let gone = match seen? {
            Observed::Absent => true,
            Observed::Ended { uid, .. } => !is_of(run, uid),
            Observed::Present(present) => !is_of(run, &present.uid),
            Observed::Unknown(_) => false,
        };
        return gone.then(|| "its object was deleted before its end was seen".to_owned());
    }
    let Some(StepKind::RunHook { over: Some(uid), .. }) = &standing.step else { return None };
    let owned = input.inventory.objects.get(&entry.object);
    let of_a_run = owned.is_some_and(|owned| owned.hook && owned.uid.as_ref() == Some(uid));
    if of_a_run && waits_always(&entry.object) {
        return None;
    }
    let makes_room = may_delete(entry, owned, uid) && hook.delete.contains(&HookDelete::BeforeHookCreation);
    let remedy = match of_a_run {
        true => "its delete policy keeps what an earlier run left; delete that, or add before-hook-creation to helm.sh/hook-delete-policy",
        false => "no run of a test made it; delete it, or give one of the two another name",
    };
    (!makes_room).then(|| format!("it is there already, and {remedy}"))
}

fn failed(tests: &TestRuns, release: &Release, entry: &Arc<Entry>, message: String) -> Testing {
    let note = TestNote::Fail { object: entry.object.clone(), message: cut(message) };
    Testing { note: Some(note), step: None, wake: None, report: Some(report(tests, Some(release), None)) }
}

fn ended(tests: &TestRuns, release: Option<&Release>, end: TestEnd) -> Testing {
    let end = match end {
        TestEnd::Succeeded => TestEnd::Succeeded,
        TestEnd::Failed(message) => TestEnd::Failed(cut(message)),
        TestEnd::Cancelled(message) => TestEnd::Cancelled(cut(message)),
    };
    let report = report(tests, release, None);
    // What is reported as an end is on disk.
    Testing { note: Some(TestNote::End(end)), step: None, wake: None, report: Some(report) }
}

fn cut(message: String) -> String {
    if message.chars().count() <= END_MESSAGE_LIMIT { message } else { message.chars().take(END_MESSAGE_LIMIT).collect() }
}

/// The tests of a release as Helm runs them: by weight, then by name; of two with one name what others need comes first.
fn in_order(release: &Release) -> Vec<(&Arc<Entry>, &Hook)> {
    let mut entries: Vec<(&Arc<Entry>, &Hook)> = release.tests().filter_map(|entry| Some((entry, entry.hook.as_ref()?))).collect();
    entries.sort_by(|(a, _), (b, _)| {
        let order = |entry: &Arc<Entry>| (entry.wave, entry.object.name.clone(), rank(&entry.object.kind));
        order(a).cmp(&order(b)).then_with(|| a.object.cmp(&b.object))
    });
    entries
}

/// What is told of the tests. `reason` says why the one that is next is not at its end.
fn report(tests: &TestRuns, release: Option<&Release>, reason: Option<&Reason>) -> AppTest {
    let (outcome, told, ended) = match &tests.end {
        Some((TestEnd::Succeeded, at)) => (TestOutcome::Succeeded, None, Some(*at)),
        Some((TestEnd::Failed(why), at)) => (TestOutcome::Failed, Some(Reason::new(Severity::Error, "TestFailed", why.clone())), Some(*at)),
        Some((TestEnd::Cancelled(why), at)) => {
            (TestOutcome::Cancelled, Some(Reason::new(Severity::Warning, "TestCancelled", why.clone())), Some(*at))
        }
        None if tests.runs.is_empty() => (TestOutcome::Waiting, reason.cloned(), None),
        None => (TestOutcome::Running, reason.cloned(), None),
    };
    let keys: Vec<&ObjectKey> = match release {
        Some(release) => in_order(release).into_iter().map(|(entry, _)| &*entry.object).collect(),
        None => tests.runs.keys().map(Arc::as_ref).collect(),
    };
    let over = tests.end.is_some();
    let result = |object: &ObjectKey| {
        let run = tests.runs.get(object);
        let (outcome, message) = match run.map(|run| &run.end) {
            Some(Some(End::Succeeded)) => (TestOutcome::Succeeded, None),
            Some(Some(End::Failed(message))) => (TestOutcome::Failed, Some(message.clone())),
            _ if over => (TestOutcome::Cancelled, None),
            Some(None) => (TestOutcome::Running, reason.map(|reason| reason.message.clone())),
            None => (TestOutcome::Waiting, None),
        };
        let (began, ended) = run.map_or((None, None), |run| (run.began, run.ended));
        TestResult { object: object.clone(), outcome, message, began, ended }
    };
    AppTest {
        request: tests.request.clone(),
        release: tests.release,
        outcome,
        reason: told,
        seen: tests.seen,
        ended,
        results: keys.into_iter().take(AppTest::RESULT_LIMIT).map(result).collect(),
    }
}

/// The runs of the tests of `release` that have ended and whose objects may be left; none before all have.
pub(crate) fn test_runs<'a>(release: (&Digest, &'a Release), inventory: &'a AppInventory) -> Vec<Ran<'a>> {
    let over = inventory.tests.as_ref().filter(|tests| tests.end.is_some() && tests.release == *release.0);
    let Some(tests) = over else { return Vec::new() };
    let runs = in_order(release.1).into_iter().map(|(entry, hook)| (entry, hook, tests.runs.get(&entry.object)));
    runs.filter(|(_, _, run)| run.is_some_and(|run| run.end.is_some())).collect::<Vec<_>>()
}
