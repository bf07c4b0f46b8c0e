//! Plans as data: a scene in words, the steps that follow from it, and how each app then stands. Steps of one order share a line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use agent_health::{End, Ending, Verdict, runs_to_an_end};
use agent_plan::{
    AccountRule, Attempts, Compared, Desired, DesiredApp, DesiredRemoval, ForgetCause, Guardrail, HookRun, Input, Inventory, KindState,
    Kinds, Observed, Owned, Pattern, Plan, Present, PrunePermit, StepKind, TestEnd, TestNote, TestRuns, Tracking, plan,
};
use proptest::prelude::*;
use shared_model::{
    AppName, Digest, FieldChange, Generation, GroupKind, Health, ObjectKey, Reason, Scope, ServiceAccount, Severity, Timestamp,
};
use shared_release::{
    Apply, Entry, Existing, Heal, Hold, Hook, HookDelete, Phase, Policy, Release, Removal, TestRequest, Withdrawal, deletion_budget,
};

/// Everything that a plan is made from.
struct Scene {
    wants: BTreeMap<AppName, Vec<Entry>>,
    leaves: BTreeSet<AppName>,
    /// Hooks of removals, of apps that leave.
    farewells: BTreeMap<AppName, Vec<Entry>>,
    /// Removals that were begun, and those of which not everything is withdrawn yet.
    begun: BTreeSet<AppName>,
    incomplete: BTreeSet<AppName>,
    withdraws: BTreeMap<AppName, BTreeSet<Withdrawal>>,
    needs: BTreeMap<AppName, BTreeSet<AppName>>,
    approved: BTreeSet<AppName>,
    transactional: BTreeSet<AppName>,
    holds: BTreeMap<AppName, Hold>,
    /// Objects that a dry run at the wanted release accepted.
    rehearsed: Vec<(AppName, ObjectKey)>,
    inventory: Inventory,
    /// Runs of hooks at the wanted release, in words.
    ran: Vec<(AppName, ObjectKey, Vec<String>)>,
    over: BTreeSet<AppName>,
    /// Requests for tests.
    asks: BTreeMap<AppName, TestRequest>,
    /// What is known of tests, in words.
    tested: BTreeMap<AppName, Vec<String>>,
    objects: BTreeMap<ObjectKey, Observed>,
    kinds: Kinds,
    attempts: Attempts,
    permit: PrunePermit,
    guardrail: Guardrail,
    accounts: BTreeMap<AppName, ServiceAccount>,
    deletions_last_hour: u32,
}

/// `Kind/name`, in the namespace `ns` unless the kind has none.
fn key(text: &str) -> ObjectKey {
    let (kind, name) = text.split_once('/').expect("Kind/name");
    let (group, namespaced) = match kind {
        "Namespace" | "PersistentVolume" => ("", false),
        "CustomResourceDefinition" => ("apiextensions.k8s.io", false),
        "Deployment" | "StatefulSet" => ("apps", true),
        "Job" => ("batch", true),
        "JobSet" => ("jobset.x-k8s.io", true),
        "Widget" => ("example.com", true),
        _ => ("", true),
    };
    ObjectKey::new(GroupKind::new(group, kind), namespaced.then_some("ns"), name)
}

fn short(key: &ObjectKey) -> String {
    format!("{}/{}", key.kind.kind, key.name)
}

fn content(key: &ObjectKey, version: &str) -> Digest {
    Digest::of(format!("{} {version}", short(key)).as_bytes())
}

fn app(name: &str) -> AppName {
    name.parse().expect("an app's name")
}

fn health(word: &str) -> Option<Health> {
    Health::parse(word)
}

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).expect("valid")
}

fn phase(word: &str) -> Phase {
    match word {
        "PreSync" => Phase::PreSync,
        "Sync" => Phase::Sync,
        "PostSync" => Phase::PostSync,
        "SyncFail" => Phase::SyncFail,
        "Test" => Phase::Test,
        "PreDelete" => Phase::PreDelete,
        "PostDelete" => Phase::PostDelete,
        other => panic!("no phase: {other}"),
    }
}

fn deletion(word: &str) -> HookDelete {
    match word {
        "before" => HookDelete::BeforeHookCreation,
        "succeeded" => HookDelete::HookSucceeded,
        "failed" => HookDelete::HookFailed,
        other => panic!("no deletion policy: {other}"),
    }
}

/// The words after a keyword: `wave 1` gives `1` for `wave`.
fn after<'a>(words: &[&'a str], word: &str) -> Option<&'a str> {
    words.iter().position(|found| *found == word).map(|at| words[at + 1])
}

/// `lives 600`: so many seconds from now its time to live ends; `lives -600` is long ago.
fn expires(words: &[&str]) -> Option<Timestamp> {
    let seconds: i64 = after(words, "lives")?.parse().expect("a number");
    Some(Timestamp::from_second(now().as_second() + seconds).expect("valid"))
}

impl Scene {
    /// Reads a scene, one fact a line.
    fn read(text: &str) -> Self {
        let mut scene = Self {
            wants: BTreeMap::new(),
            leaves: BTreeSet::new(),
            farewells: BTreeMap::new(),
            begun: BTreeSet::new(),
            incomplete: BTreeSet::new(),
            withdraws: BTreeMap::new(),
            needs: BTreeMap::new(),
            approved: BTreeSet::new(),
            transactional: BTreeSet::new(),
            holds: BTreeMap::new(),
            rehearsed: Vec::new(),
            inventory: Inventory::default(),
            ran: Vec::new(),
            over: BTreeSet::new(),
            asks: BTreeMap::new(),
            tested: BTreeMap::new(),
            objects: BTreeMap::new(),
            kinds: Kinds::new(),
            attempts: Attempts::default(),
            permit: PrunePermit::Granted,
            guardrail: Guardrail::open("capstan-system"),
            accounts: BTreeMap::new(),
            deletions_last_hour: 0,
        };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            scene.take(&words);
        }
        scene
    }

    fn take(&mut self, words: &[&str]) {
        match *words {
            ["hub", "away"] => self.permit = PrunePermit::Held(Reason::new(Severity::Wait, "HubAway", "the hub is away")),
            ["guardrail", "denies", kind] => self.guardrail.deny.push(kind.parse().expect("a kind")),
            ["guardrail", "deletes", count] => self.guardrail.deletions_per_hour = Some(count.parse().expect("a number")),
            ["deleted", count, ..] => self.deletions_last_hour = count.parse().expect("a number"),
            ["kind", kind, state] => {
                let state = match state {
                    "missing" => KindState::NotServed,
                    "unknown" => KindState::Unknown(Reason::new(Severity::Error, "GroupUnavailable", "the group answers errors")),
                    other => panic!("no state of a kind: {other}"),
                };
                self.kinds.insert(key(&format!("{kind}/x")).kind, state);
            }
            ["absent", object] => self.see(key(object), Observed::Absent),
            ["ended", object, ref rest @ ..] => {
                self.there(key(object), rest);
                let Some(Observed::Present(Present { uid, ending, .. })) = self.objects.remove(&key(object)) else { unreachable!() };
                self.see(key(object), Observed::Ended { uid, ending: *ending.expect("it has ended") });
            }
            ["unknown", object] => {
                self.see(key(object), Observed::Unknown(Reason::new(Severity::Error, "NotObservable", "it cannot be observed")));
            }
            ["there", object, ref rest @ ..] => self.there(key(object), rest),
            [name, "wants", object, ref rest @ ..] => self.want(app(name), key(object), rest),
            [name, "leaves"] => drop(self.leaves.insert(app(name))),
            [name, "leaves", "with", object, ref rest @ ..] => {
                self.want(app(name), key(object), rest);
                let hook = self.wants.remove(&app(name)).expect("just taken in");
                self.farewells.entry(app(name)).or_default().extend(hook);
            }
            [name, "removal", "began"] => drop(self.begun.insert(app(name))),
            [name, "removal", "is", "incomplete"] => drop(self.incomplete.insert(app(name))),
            [name, "ran", object, ref rest @ ..] => self.ran.push((app(name), key(object), rest.iter().map(ToString::to_string).collect())),
            [name, "asks", "tests", request] => {
                let request = TestRequest { id: request.parse().expect("an id"), by: "ann".into(), seconds: 300 };
                self.asks.insert(app(name), request);
            }
            [name, "tests", ref rest @ ..] => drop(self.tested.insert(app(name), rest.iter().map(ToString::to_string).collect())),
            [name, "is", "over"] => drop(self.over.insert(app(name))),
            [name, "owns", object, ref rest @ ..] => self.own(&app(name), &key(object), rest),
            [name, "withdraws", object, ref rest @ ..] => {
                let to = after(rest, "to").map(app);
                self.withdraws.entry(app(name)).or_default().insert(Withdrawal { object: key(object), to });
            }
            [name, "needs", other] => drop(self.needs.entry(app(name)).or_default().insert(app(other))),
            [name, "is", "transactional"] => drop(self.transactional.insert(app(name))),
            [name, "is", "held", "until", until] => {
                let until = Timestamp::from_second(until.parse().expect("a number")).expect("valid");
                drop(self.holds.insert(app(name), Hold { by: "ada".into(), reason: "a look at it".into(), until }));
            }
            [name, "rehearsed", object] => self.rehearsed.push((app(name), key(object))),
            [name, "runs", "as", account] => drop(self.accounts.insert(app(name), account.parse().expect("an account"))),
            [name, "may", "run", "as", account] => self.guardrail.impersonate.get_or_insert_default().push(AccountRule {
                apps: vec![Pattern::new(name)],
                accounts: vec![account.parse().expect("accounts")],
                agents_own: false,
                only_in_accounts_namespace: false,
            }),
            [name, "is", "approved"] => drop(self.approved.insert(app(name))),
            [name, "failed", object] => {
                self.attempts.failed(&app(name), &key(object), Reason::new(Severity::Error, "Invalid", "no"), now());
            }
            _ => panic!("no fact: {words:?}"),
        }
    }

    fn see(&mut self, key: ObjectKey, observed: Observed) {
        self.objects.insert(key, observed);
    }

    fn want(&mut self, app: AppName, object: ObjectKey, words: &[&str]) {
        let policy = Policy {
            heal: match after(words, "heal") {
                Some("report") => Heal::Report,
                Some("none") => Heal::None,
                _ => Heal::Correct,
            },
            existing: match after(words, "existing") {
                Some("once") => Existing::IfNotPresent,
                Some("ignored") => Existing::Ignore,
                _ => Existing::Override,
            },
            ignore_health: words.contains(&"whatever-its-health"),
            ..Policy::default()
        };
        let hook = after(words, "hook").map(|phases| Hook {
            phases: phases.split(',').map(phase).collect(),
            delete: after(words, "delete").unwrap_or("before").split(',').map(deletion).collect(),
        });
        let entry = Entry {
            version: "v1".into(),
            digest: content(&object, after(words, "content").unwrap_or("v1")),
            sealed: None,
            phase: hook
                .as_ref()
                .map_or_else(|| after(words, "phase").map_or(Phase::Sync, phase), |hook| hook.phases.first().copied().expect("one")),
            wave: after(words, "wave").map_or(0, |wave| wave.parse().expect("a number")),
            hook,
            policy,
            object: object.into(),
        };
        self.wants.entry(app).or_default().push(entry);
    }

    fn own(&mut self, app: &AppName, object: &ObjectKey, words: &[&str]) {
        let intent = words.contains(&"intent");
        *self.inventory.entry(app, &Arc::new(object.clone())) = Owned {
            uid: (!intent).then(|| after(words, "uid").map_or_else(|| format!("u-{}", object.name), str::to_owned)),
            applied: (!intent).then(|| content(object, after(words, "content").unwrap_or("v1"))),
            stage: (Phase::Sync, after(words, "wave").map_or(0, |wave| wave.parse().expect("a number"))),
            ended: match (words.contains(&"succeeded"), words.contains(&"failed")) {
                (true, _) => Some(End::Succeeded),
                (_, true) => Some(End::Failed("not ready".into())),
                _ => None,
            },
            hook: words.contains(&"made-by-hook"),
            yielded: BTreeSet::new(),
            kept: after(words, "kept")
                .map(|manager| (vec!["f:data".to_owned(), "f:old".to_owned()], manager.to_owned()))
                .into_iter()
                .collect(),
        };
    }

    /// The inventory, with the runs of hooks under the digests of the wanted releases.
    fn inventory(&self, desired: &Desired) -> Inventory {
        let mut inventory = self.inventory.clone();
        let digest = |name: &AppName| {
            let app = desired.apps.get(name).expect("a wanted app");
            match (&app.release, &app.removal) {
                (Ok(Some((digest, _))), _) => *digest,
                (_, Some(leaving)) => leaving.removal.release,
                (other, None) => panic!("no release: {other:?}"),
            }
        };
        for name in &self.begun {
            inventory.app(name).begin_removal(SINCE);
        }
        for (name, words) in &self.tested {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let since = now() - Duration::from_secs(if words.contains(&"late") { 300 } else { 10 });
            let tests = TestRuns {
                request: words[0].parse().expect("an id"),
                release: if words.contains(&"earlier") { Digest::of(b"earlier") } else { digest(name) },
                seen: since,
                until: since + Duration::from_secs(300),
                runs: BTreeMap::new(),
                end: match (words.contains(&"succeeded"), words.contains(&"failed")) {
                    (true, _) => Some((TestEnd::Succeeded, now())),
                    (_, true) => Some((TestEnd::Failed("no".into()), now())),
                    _ => None,
                },
            };
            inventory.app(name).tests = Some(tests);
        }
        for (name, object, words) in &self.ran {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let release = if words.contains(&"earlier") { Digest::of(b"earlier") } else { digest(name) };
            let uid = (!words.contains(&"intent")).then(|| format!("u-{}", object.name));
            let end = match (words.contains(&"succeeded"), words.contains(&"failed")) {
                (true, _) => Some(End::Succeeded),
                (_, true) => Some(End::Failed("no".into())),
                _ => None,
            };
            let run = HookRun {
                uid,
                over: after(&words, "over").map(str::to_owned),
                end,
                expires: expires(&words),
                removed: words.contains(&"removed"),
                ..HookRun::default()
            };
            *inventory.app(name).run(release, &Arc::new(object.clone()), phase(words[0])) = run;
        }
        for name in &self.over {
            let hooks = &mut inventory.app(name).hooks;
            hooks.begin(digest(name));
            hooks.over = true;
        }
        inventory
    }

    fn there(&mut self, object: ObjectKey, words: &[&str]) {
        let found = words.iter().find_map(|word| health(word)).unwrap_or(Health::Healthy);
        let reason = (found != Health::Healthy).then(|| {
            let code = if found == Health::Degraded && object.kind.kind == "Job" { "JobFailed" } else { "NotReady" };
            Reason::new(Severity::Wait, code, "not ready")
        });
        // A Job tells its end itself, whatever its app thinks of its health.
        let end = match found {
            _ if !runs_to_an_end(&object.kind) || words.contains(&"running") => None,
            _ if words.contains(&"failed") => Some(End::Failed("not ready".into())),
            Health::Healthy => Some(End::Succeeded),
            Health::Degraded => Some(End::Failed("not ready".into())),
            _ => None,
        };
        let change = FieldChange {
            path: "data.value".into(),
            wanted: Some("1".into()),
            found: Some("2".into()),
            manager: Some("kubectl-edit".into()),
            since: None,
        };
        let compared = match words.contains(&"unseen") {
            true => Compared::NotYet,
            false => Compared::With {
                digest: content(&object, after(words, "content").unwrap_or("v1")),
                changes: if words.contains(&"changed") { vec![change] } else { Vec::new() },
            },
        };
        let present = Present {
            uid: after(words, "uid").map_or_else(|| format!("u-{}", object.name), str::to_owned),
            tracking: after(words, "of").map(|name| Tracking { app: app(name), object: object.clone() }),
            deleting: words.contains(&"deleting"),
            verdict: Verdict { health: found, reason },
            ending: end.map(|end| Box::new(Ending { end, expires: expires(words), gives_way: words.contains(&"spent-hook") })),
            compared,
        };
        self.see(object, Observed::Present(present));
    }

    fn removal(&self, name: &AppName) -> Option<DesiredRemoval> {
        let release = Release::new(name.clone(), self.farewells.get(name)?.clone());
        let complete = !self.incomplete.contains(name);
        Some(DesiredRemoval { removal: Removal { release: release.encode().0, since: SINCE, complete }, release: Arc::new(release) })
    }

    fn desired(&self) -> Desired {
        let names = self.wants.keys().chain(&self.leaves).chain(self.withdraws.keys()).chain(self.farewells.keys());
        let apps = names.map(|name| {
            let apply = if self.transactional.contains(name) { Apply::Transactional } else { Apply::Isolated };
            let release = self.wants.get(name).map(|entries| Release::new(name.clone(), entries.clone()).applied(apply));
            let desired = DesiredApp {
                release: Ok(release.map(|release| (release.encode().0, Arc::new(release)))),
                withdrawals: self.withdraws.get(name).cloned().unwrap_or_default(),
                approved: self.approved.contains(name),
                depends_on: self.needs.get(name).cloned().unwrap_or_default(),
                hold: self.holds.get(name).cloned(),
                service_account: self.accounts.get(name).cloned(),
                test: self.asks.get(name).cloned(),
                removal: self.removal(name),
            };
            (name.clone(), desired)
        });
        Desired { apps: apps.collect() }
    }

    fn plan(&self) -> Plan {
        let mut kinds = self.kinds.clone();
        let entries = self.wants.values().chain(self.farewells.values()).flatten().map(|entry| &entry.object);
        for key in entries.chain(self.inventory.iter().map(|(_, key, _)| key)) {
            kinds.entry(key.kind.clone()).or_insert(KindState::Served(Scope::Namespaced));
        }
        let desired = self.desired();
        let mut attempts = self.attempts.clone();
        for (name, object) in &self.rehearsed {
            let Ok(Some((digest, _))) = &desired.apps[name].release else { panic!("{name} wants nothing") };
            attempts.rehearsing(name, digest);
            attempts.rehearsed(name, digest, object);
        }
        plan(&Input {
            now: now(),
            inventory: &self.inventory(&desired),
            desired: &desired,
            objects: &self.objects,
            kinds: &kinds,
            attempts: &attempts,
            guardrail: &self.guardrail,
            prune: &self.permit,
            deletions_last_hour: self.deletions_last_hour,
        })
    }
}

/// The index with which removals began.
const SINCE: Generation = Generation::new(1, 7);

/// The plan in words.
fn tell(plan: &Plan) -> String {
    let mut text = String::new();
    let mut order = None;
    for step in &plan.steps {
        let object = short(&step.object);
        let what = match &step.kind {
            StepKind::Apply { drift: None, .. } => format!("apply {object}"),
            StepKind::Apply { drift: Some(_), .. } => format!("heal {object}"),
            StepKind::Rehearse { .. } => format!("try {object}"),
            StepKind::Delete { uid } => format!("delete {object} {uid}"),
            StepKind::Adopt { from: Some(from), .. } => format!("adopt {object} from {from}"),
            StepKind::Adopt { from: None, .. } => format!("adopt {object}"),
            StepKind::Forget(ForgetCause::Gone) => format!("forget {object} gone"),
            StepKind::Forget(ForgetCause::NotOurs) => format!("forget {object} not-ours"),
            StepKind::Forget(ForgetCause::LeftBehind) => format!("forget {object} left-behind"),
            StepKind::Finish { end: End::Succeeded } => format!("finish {object}"),
            StepKind::Finish { end: End::Failed(_) } => format!("finish-failed {object}"),
            StepKind::RunHook { again, .. } => format!("{} {object}", if *again { "run-again" } else { "run" }),
            StepKind::EndHook { end: End::Succeeded, .. } => format!("succeeded {object}"),
            StepKind::EndHook { end: End::Failed(_), expires: Some(at), .. } => {
                format!("failed {object} until {}", at.as_second() - now().as_second())
            }
            StepKind::EndHook { end: End::Failed(_), expires: None, .. } => format!("failed {object}"),
            StepKind::DeleteHook { ended, .. } => format!("{} {object}", if ended.is_some() { "remove" } else { "make-room" }),
        };
        let separator = if order.is_none() {
            ""
        } else if order == Some(step.order) {
            ", "
        } else {
            "\n"
        };
        write!(text, "{separator}{what}").expect("memory");
        order = Some(step.order);
    }
    for (name, app) in &plan.apps {
        let state = &app.state;
        let over = if app.rolled_out.is_some() { " over" } else { "" };
        let done = if state.wanted.is_some() && state.wanted == state.applied { " applied" } else { "" };
        let reason = state.reason.as_ref().map_or(String::new(), |reason| format!(" {}", reason.code));
        let separator = if text.is_empty() { "" } else { "\n" };
        write!(text, "{separator}{name}: {}{done}{over}{reason}", state.health).expect("memory");
        if app.removal_begins == Some(SINCE) {
            text.push_str(" begins its removal");
        }
        if state.removed {
            text.push_str(" is removed");
        }
        match &app.testing {
            Some(TestNote::Begin(tests)) => write!(text, " begins {}", tests.request).expect("memory"),
            Some(TestNote::Fail { object, message }) => write!(text, " fails {} ({message})", short(object)).expect("memory"),
            Some(TestNote::End(end)) => write!(text, " ends {end:?}").expect("memory"),
            None => {}
        }
        if let Some(test) = &state.test {
            let why = test.reason.as_ref().map_or(String::new(), |reason| format!(" {}", reason.code));
            write!(text, " test {} {}{why}", test.request, test.outcome.as_str()).expect("memory");
            for result in &test.results {
                write!(text, " {}={}", result.object.name, result.outcome.as_str()).expect("memory");
            }
        }
        for (word, keys) in [("awaits", &state.awaiting_approval), ("gone", &state.withdrawn)] {
            if !keys.is_empty() {
                let names: Vec<String> = keys.iter().map(short).collect();
                write!(text, " {word} {}", names.join(" ")).expect("memory");
            }
        }
    }
    text
}

/// Name, scene, plan.
type Case<'a> = (&'a str, &'a str, &'a str);

fn check(cases: &[Case<'_>]) {
    let mut wrong = String::new();
    for (name, scene, expected) in cases {
        let found = tell(&Scene::read(scene).plan());
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if found != expected.join("\n") {
            write!(wrong, "\n{name}\n  expected:\n{}\n  found:\n{found}\n", expected.join("\n")).expect("memory");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_transactional_release_is_tried_as_a_whole_before_anything_is_written() {
    check(&[
        (
            "everything is tried, whatever its wave",
            "web is transactional\nweb wants ConfigMap/a\nweb wants ConfigMap/b wave 3",
            "try ConfigMap/a, try ConfigMap/b\nweb: Waiting Rehearsing",
        ),
        (
            "and nothing is written before the last answer",
            "web is transactional\nweb wants ConfigMap/a\nweb wants ConfigMap/b\nweb rehearsed ConfigMap/a",
            "try ConfigMap/b\nweb: Waiting Rehearsing",
        ),
        (
            "what was accepted is applied, wave by wave",
            "web is transactional\nweb wants ConfigMap/a\nweb wants ConfigMap/b wave 1\nweb rehearsed ConfigMap/a\nweb rehearsed ConfigMap/b",
            "apply ConfigMap/a\nweb: Waiting WaveNotHealthy",
        ),
        (
            "one that is refused stops all, and is tried again later",
            "web is transactional\nweb wants ConfigMap/bad\nweb wants ConfigMap/good\nweb rehearsed ConfigMap/good\nweb failed ConfigMap/bad",
            "web: Degraded ReleaseRefused",
        ),
        (
            "what runs is healed meanwhile",
            "web is transactional\nweb wants ConfigMap/bad\nweb wants ConfigMap/good\nweb failed ConfigMap/bad\nweb owns ConfigMap/good
             there ConfigMap/good changed",
            "heal ConfigMap/good\nweb: Degraded ReleaseRefused",
        ),
        (
            "what only the release itself makes possible is not tried",
            "web is transactional\nweb wants Namespace/ns\nweb wants ConfigMap/a\nweb rehearsed Namespace/ns\nabsent Namespace/ns",
            "apply Namespace/ns\nweb: Progressing Applying",
        ),
        (
            "nor are objects of a kind whose definition it brings",
            "web is transactional\nweb wants CustomResourceDefinition/widgets.example.com\nweb wants Widget/w\nkind Widget missing
             web rehearsed CustomResourceDefinition/widgets.example.com",
            "apply CustomResourceDefinition/widgets.example.com\nweb: Progressing KindNotServedYet",
        ),
        (
            "hooks of a failure wait for what has not begun",
            "web is transactional\nweb wants Deployment/api\nweb owns Deployment/api\nthere Deployment/api Degraded\nweb wants ConfigMap/new
             web wants Job/f hook SyncFail\nabsent Job/f",
            "try ConfigMap/new, try Job/f\nweb: Degraded NotReady",
        ),
        (
            "what is made only once is tried where it is missing",
            "web is transactional\nweb wants ConfigMap/a existing once\nabsent ConfigMap/a\nweb wants ConfigMap/b existing once\nthere ConfigMap/b",
            "try ConfigMap/a\nweb: Waiting Rehearsing",
        ),
        (
            "an object of another app stops it",
            "web is transactional\nweb wants ConfigMap/a\nweb wants ConfigMap/mine\nweb rehearsed ConfigMap/mine\napi wants ConfigMap/a
             api owns ConfigMap/a\nthere ConfigMap/a",
            "api: Healthy applied\nweb: Degraded OwnedByOtherApp",
        ),
        (
            "an app without changes tries nothing",
            "web is transactional\nweb wants ConfigMap/a\nweb owns ConfigMap/a\nthere ConfigMap/a",
            "web: Healthy applied",
        ),
    ]);
}

#[test]
fn what_is_held_is_told_and_not_touched_until_the_hold_ends() {
    check(&[
        (
            "drift stays",
            "web is held until 1000060\nweb wants ConfigMap/a\nweb owns ConfigMap/a\nthere ConfigMap/a changed",
            "web: Healthy applied Held",
        ),
        ("new content waits", "web is held until 1000060\nweb wants ConfigMap/a", "web: Waiting Held"),
        (
            "nothing is deleted",
            "web is held until 1000060\nweb wants ConfigMap/a\nweb owns ConfigMap/a\nthere ConfigMap/a\nweb withdraws ConfigMap/old
             web owns ConfigMap/old\nthere ConfigMap/old",
            "web: Healthy applied Held",
        ),
        ("no hook runs", "web is held until 1000060\nweb wants Job/j hook PreSync\nabsent Job/j", "web: Waiting Held"),
        (
            "nothing of it changes hands",
            "web is held until 1000060\nweb wants ConfigMap/b\nweb owns ConfigMap/b\nthere ConfigMap/b\nweb owns ConfigMap/a\nthere ConfigMap/a
             web withdraws ConfigMap/a to api\napi wants ConfigMap/a",
            "api: Progressing HandOver\nweb: Healthy applied Held",
        ),
        (
            "what is only to be noted is noted",
            "web is held until 1000060\nweb wants ConfigMap/a\nweb owns ConfigMap/a\nthere ConfigMap/a\nweb owns Job/j\nweb wants Job/j\nended Job/j",
            "finish Job/j\nweb: Healthy applied Held",
        ),
        (
            "a hold that is over holds nothing",
            "web is held until 1000000\nweb wants ConfigMap/a\nweb owns ConfigMap/a\nthere ConfigMap/a changed",
            "heal ConfigMap/a\nweb: Healthy applied Drifted",
        ),
    ]);
}

#[test]
fn of_two_apps_that_name_an_object_which_nobody_has_one_takes_it() {
    check(&[
        (
            "the first",
            "api wants ConfigMap/a\nweb wants ConfigMap/a",
            "apply ConfigMap/a\napi: Progressing Applying\nweb: Progressing Applying",
        ),
        (
            "and the other is told",
            "api wants ConfigMap/a\napi owns ConfigMap/a\nthere ConfigMap/a\nweb wants ConfigMap/a",
            "api: Healthy applied\nweb: Degraded OwnedByOtherApp",
        ),
    ]);
}

#[test]
fn objects_may_ask_to_be_left_alone() {
    check(&[
        (
            "one that is ignored is neither made nor looked at",
            "web wants ConfigMap/a existing ignored\nabsent ConfigMap/a",
            "web: Healthy applied",
        ),
        (
            "one that is made once is made",
            "web wants ConfigMap/a existing once\nabsent ConfigMap/a",
            "apply ConfigMap/a\nweb: Progressing Applying",
        ),
        ("and left as it is", "web wants ConfigMap/a existing once\nthere ConfigMap/a", "web: Healthy applied"),
        (
            "one that is made once and crashes is told, whoever made it, and holds up what comes after it",
            "web wants Deployment/api existing once\nthere Deployment/api Degraded\nweb wants ConfigMap/b wave 1\nabsent ConfigMap/b",
            "web: Degraded NotReady",
        ),
        (
            "which goes on when that runs",
            "web wants Deployment/api existing once\nthere Deployment/api\nweb wants ConfigMap/b wave 1\nabsent ConfigMap/b",
            "apply ConfigMap/b\nweb: Progressing Applying",
        ),
        (
            "so do other apps that need it",
            "db wants Deployment/api existing once\nthere Deployment/api Degraded\nweb wants ConfigMap/a\nweb needs db\nabsent ConfigMap/a",
            "db: Degraded applied NotReady\nweb: Waiting DependencyNotReady",
        ),
        (
            "and none waits for what is ignored",
            "db wants Deployment/api existing ignored\nthere Deployment/api Degraded\nweb wants ConfigMap/a\nweb needs db\nabsent ConfigMap/a",
            "apply ConfigMap/a\ndb: Healthy applied\nweb: Progressing Applying",
        ),
        (
            "health that does not count leaves the app healthy",
            "web wants Deployment/api whatever-its-health\nweb owns Deployment/api\nthere Deployment/api Degraded",
            "web: Healthy applied NotReady",
        ),
    ]);
}

#[test]
fn objects_are_applied_in_the_order_of_phases_waves_and_kinds() {
    check(&[
        (
            "kinds that others need come first, equal kinds together",
            "web wants Deployment/api\nweb wants ConfigMap/b\nweb wants ConfigMap/a
             web wants CustomResourceDefinition/widgets.example.com\nweb wants Service/api",
            "apply CustomResourceDefinition/widgets.example.com\napply ConfigMap/a, apply ConfigMap/b\napply Service/api
             apply Deployment/api\nweb: Progressing Applying",
        ),
        (
            "what lives in a namespace of the same app waits until that is there",
            "web wants Namespace/ns\nweb wants ConfigMap/a",
            "apply Namespace/ns\nweb: Progressing Applying",
        ),
        (
            "and then is applied",
            "web wants Namespace/ns\nweb owns Namespace/ns\nthere Namespace/ns\nweb wants ConfigMap/a",
            "apply ConfigMap/a\nweb: Progressing Applying",
        ),
        (
            "a later wave waits for the health of an earlier one",
            "web wants Deployment/db\nweb wants Deployment/api wave 1\nweb owns Deployment/db\nthere Deployment/db Progressing",
            "web: Waiting WaveNotHealthy",
        ),
        (
            "and goes on when that is healthy",
            "web wants Deployment/db\nweb wants Deployment/api wave 1\nweb owns Deployment/db\nthere Deployment/db",
            "apply Deployment/api\nweb: Progressing Applying",
        ),
        (
            "what is suspended holds up no later wave",
            "web wants Deployment/db\nweb wants ConfigMap/a wave 1\nweb owns Deployment/db\nthere Deployment/db Suspended",
            "apply ConfigMap/a\nweb: Progressing Applying",
        ),
        (
            "a negative wave comes before the ordinary one",
            "web wants ConfigMap/a\nweb wants ConfigMap/first wave -1",
            "apply ConfigMap/first\nweb: Waiting WaveNotHealthy",
        ),
        (
            "a phase comes before all waves of the next",
            "web wants ConfigMap/a wave -5\nweb wants ConfigMap/check phase PreSync wave 9",
            "apply ConfigMap/check\nweb: Waiting WaveNotHealthy",
        ),
        (
            "a claim that waits for its first pod does not hold up that pod",
            "web wants PersistentVolumeClaim/data\nweb wants StatefulSet/db\nweb owns PersistentVolumeClaim/data
             there PersistentVolumeClaim/data Waiting",
            "apply StatefulSet/db\nweb: Waiting NotReady",
        ),
        (
            "an object that the API server refused waits, its neighbours do not",
            "web wants ConfigMap/bad\nweb wants ConfigMap/good\nweb failed ConfigMap/bad",
            "apply ConfigMap/good\nweb: Degraded Invalid",
        ),
    ]);
}

#[test]
fn an_app_waits_for_the_apps_that_it_needs() {
    let dependency = "db wants Deployment/db\nweb wants ConfigMap/a\nweb needs db\n";
    let cases = [
        ("not applied", "", "apply Deployment/db\ndb: Progressing Applying\nweb: Waiting DependencyNotReady"),
        (
            "not healthy",
            "db owns Deployment/db\nthere Deployment/db Progressing",
            "db: Progressing applied NotReady\nweb: Waiting DependencyNotReady",
        ),
        ("healthy", "db owns Deployment/db\nthere Deployment/db", "apply ConfigMap/a\ndb: Healthy applied\nweb: Progressing Applying"),
        (
            "not observed",
            "db owns Deployment/db\nunknown Deployment/db",
            "db: Unknown applied NotObservable\nweb: Waiting DependencyNotReady",
        ),
    ];
    for (name, rest, expected) in cases {
        assert_eq!(tell(&Scene::read(&format!("{dependency}{rest}")).plan()), expected, "{name}");
    }
    check(&[
        ("a dependency that does not run here", "web wants ConfigMap/a\nweb needs gone", "web: Waiting DependencyNotReady"),
        (
            "what runs already is healed while it waits",
            "web wants ConfigMap/a\nweb needs gone\nweb owns ConfigMap/a\nthere ConfigMap/a changed",
            "heal ConfigMap/a\nweb: Healthy applied Drifted",
        ),
    ]);
}

#[test]
fn drift_is_healed_as_the_policy_says() {
    let scene = |policy: &str, there: &str| format!("web wants ConfigMap/a {policy}\nweb owns ConfigMap/a\n{there}");
    for (name, policy, there, expected) in [
        ("changed", "", "there ConfigMap/a changed", "heal ConfigMap/a\nweb: Healthy applied Drifted"),
        ("changed, report", "heal report", "there ConfigMap/a changed", "web: Healthy applied Drifted"),
        ("not looked at", "heal none", "there ConfigMap/a unseen", "web: Healthy applied"),
        ("as wanted", "", "there ConfigMap/a", "web: Healthy applied"),
        ("not compared yet", "", "there ConfigMap/a unseen", "web: Healthy applied"),
        ("compared with older content", "", "there ConfigMap/a content v0 changed", "web: Healthy applied"),
        ("deleted", "", "absent ConfigMap/a", "heal ConfigMap/a\nweb: Missing applied Drifted"),
        ("deleted, report", "heal report", "absent ConfigMap/a", "web: Missing applied Drifted"),
        ("replaced by somebody", "", "there ConfigMap/a uid other", "heal ConfigMap/a\nweb: Healthy applied Drifted"),
        ("being deleted", "", "there ConfigMap/a deleting changed Progressing", "web: Progressing applied NotReady"),
        ("not observable", "", "unknown ConfigMap/a", "web: Unknown applied NotObservable"),
        ("not observed yet", "", "", "web: Unknown applied NotObserved"),
        ("new content", "content v2", "there ConfigMap/a", "apply ConfigMap/a\nweb: Progressing Applying"),
    ] {
        assert_eq!(tell(&Scene::read(&scene(policy, there)).plan()), expected, "{name}");
    }
}

#[test]
fn a_dropped_field_that_somebody_else_keeps_is_told() {
    check(&[
        ("it stays", "web wants ConfigMap/a\nweb owns ConfigMap/a kept scaler\nthere ConfigMap/a", "web: Healthy applied FieldKept"),
        (
            "drift is told first",
            "web wants ConfigMap/a\nweb owns ConfigMap/a kept scaler\nthere ConfigMap/a changed",
            "heal ConfigMap/a\nweb: Healthy applied Drifted",
        ),
    ]);
}

#[test]
fn jobs_that_ended_stay_ended() {
    check(&[
        ("it ends", "web wants Job/j\nweb owns Job/j\nthere Job/j", "finish Job/j\nweb: Healthy applied"),
        ("it fails", "web wants Job/j\nweb owns Job/j\nthere Job/j Degraded", "finish-failed Job/j\nweb: Degraded applied JobFailed"),
        ("it runs", "web wants Job/j\nweb owns Job/j\nthere Job/j Progressing", "web: Progressing applied NotReady"),
        ("it ended and its time to live is over", "web wants Job/j\nweb owns Job/j succeeded\nabsent Job/j", "web: Healthy applied"),
        ("it ended and was taken away at once", "web wants Job/j\nweb owns Job/j\nended Job/j", "finish Job/j\nweb: Healthy applied"),
        ("it was deleted while it ran", "web wants Job/j\nweb owns Job/j\nabsent Job/j", "heal Job/j\nweb: Missing applied Drifted"),
        (
            "new content runs again",
            "web wants Job/j content v2\nweb owns Job/j succeeded\nabsent Job/j",
            "apply Job/j\nweb: Progressing Applying",
        ),
        (
            "the same after a failure",
            "web wants Job/j content v2\nweb owns Job/j failed\nabsent Job/j",
            "apply Job/j\nweb: Progressing Applying",
        ),
        (
            "somebody else's of that name has not ended for us",
            "web wants Job/j\nweb owns Job/j\nthere Job/j uid other",
            "heal Job/j\nweb: Healthy applied Drifted",
        ),
        (
            "what an older agent took for a success is put right while it is there",
            "web wants Job/j\nweb owns Job/j succeeded\nthere Job/j Degraded",
            "finish-failed Job/j\nweb: Degraded applied JobFailed",
        ),
    ]);
}

#[test]
fn a_job_that_failed_stays_failed_when_its_time_to_live_has_removed_it() {
    let gone = "web wants Job/j\nweb owns Job/j failed\nabsent Job/j\n";
    check(&[
        ("it is told, and not run again", gone, "web: Degraded applied JobFailed"),
        (
            "it was taken away at once",
            "web wants Job/j\nweb owns Job/j\nended Job/j Degraded",
            "finish-failed Job/j\nweb: Degraded applied JobFailed",
        ),
        ("and that is known", "web wants Job/j\nweb owns Job/j failed\nended Job/j Degraded", "web: Degraded applied JobFailed"),
        ("later waves wait for it", &format!("{gone}web wants ConfigMap/a wave 1\nabsent ConfigMap/a"), "web: Degraded JobFailed"),
        (
            "and so do apps that need it",
            &format!("{gone}api wants ConfigMap/a\nabsent ConfigMap/a\napi needs web"),
            "api: Waiting DependencyNotReady\nweb: Degraded applied JobFailed",
        ),
        (
            "which a success does not hold up",
            "web wants Job/j\nweb owns Job/j succeeded\nabsent Job/j\napi wants ConfigMap/a\nabsent ConfigMap/a\napi needs web",
            "apply ConfigMap/a\napi: Progressing Applying\nweb: Healthy applied",
        ),
    ]);
    let plan = Scene::read(gone).plan();
    let reason = plan.apps[&app("web")].state.reason.clone().expect("a reason");
    assert_eq!(reason.message, "Job.batch ns/j failed (not ready) and is gone since; it is not run again before a commit changes it");
}

/// An app may call a Job healthy that runs: `current: has(status.active)`. That is no end of it.
#[test]
fn the_end_of_a_job_is_its_own_word_and_not_its_health() {
    check(&[
        ("it runs, and its app calls that healthy", "web wants Job/j\nweb owns Job/j\nthere Job/j running", "web: Healthy applied"),
        ("deleted then it comes back", "web wants Job/j\nweb owns Job/j\nabsent Job/j", "heal Job/j\nweb: Missing applied Drifted"),
        (
            "later waves go on beside it",
            "web wants Job/j\nweb owns Job/j\nthere Job/j running\nweb wants ConfigMap/a wave 1\nabsent ConfigMap/a",
            "apply ConfigMap/a\nweb: Progressing Applying",
        ),
        (
            "it runs, and its app calls that a failure",
            "web wants Job/j\nweb owns Job/j\nthere Job/j Degraded running",
            "web: Degraded applied JobFailed",
        ),
        (
            "it failed, whatever its app thinks",
            "web wants Job/j\nweb owns Job/j\nthere Job/j failed",
            "finish-failed Job/j\nweb: Healthy applied",
        ),
        (
            "a JobSet that runs is healthy and has not ended",
            "web wants JobSet/s\nweb owns JobSet/s\nthere JobSet/s running",
            "web: Healthy applied",
        ),
        (
            "and as a hook it is waited for",
            "web wants JobSet/s hook PreSync\nweb owns JobSet/s made-by-hook\nweb ran JobSet/s PreSync\nthere JobSet/s running",
            "web: Progressing HookRunning",
        ),
        (
            "until it ends",
            "web wants JobSet/s hook PreSync\nweb owns JobSet/s made-by-hook\nweb ran JobSet/s PreSync\nthere JobSet/s",
            "succeeded JobSet/s\nweb: Healthy applied over",
        ),
        (
            "a JobSet that its time to live removed is not missing",
            "web wants JobSet/s\nweb owns JobSet/s succeeded\nabsent JobSet/s",
            "web: Healthy applied",
        ),
    ]);
}

#[test]
fn the_guardrail_holds_whatever_the_hub_asks() {
    let doomed =
        "web leaves\nweb is approved\nweb owns ConfigMap/a\nweb owns ConfigMap/b\nweb withdraws ConfigMap/a\nweb withdraws ConfigMap/b
                  there ConfigMap/a\nthere ConfigMap/b\n";
    check(&[
        (
            "a kind that is denied is not applied, its neighbours are",
            "guardrail denies Secret\nweb wants Secret/s\nweb wants ConfigMap/a",
            "apply ConfigMap/a\nweb: Degraded GuardrailRefused",
        ),
        ("nor run as a hook", "guardrail denies *.batch\nweb wants Job/m hook PreSync\nabsent Job/m", "web: Degraded GuardrailRefused"),
        (
            "nor healed, nor deleted",
            "guardrail denies Secret\nweb wants Secret/s\nweb owns Secret/s\nabsent Secret/s\nweb owns Secret/old\nweb withdraws Secret/old\nthere Secret/old",
            "web: Degraded GuardrailRefused",
        ),
        (
            "an approval of the hub does not raise the guardrail's budget",
            &format!("guardrail deletes 1\n{doomed}"),
            "delete ConfigMap/a u-a\nweb: Healthy HourlyBudget",
        ),
        ("and what is left waits for the next hour", &format!("guardrail deletes 1\ndeleted 1\n{doomed}"), "web: Healthy HourlyBudget"),
        (
            "within it they happen",
            &format!("guardrail deletes 2\n{doomed}"),
            "delete ConfigMap/a u-a, delete ConfigMap/b u-b\nweb: Healthy",
        ),
    ]);
}

#[test]
fn an_app_that_may_not_run_as_its_account_is_left_as_it_is_and_disturbs_nobody() {
    let drifted = "web wants ConfigMap/a\nweb owns ConfigMap/a\nabsent ConfigMap/a\nweb owns ConfigMap/old\nweb withdraws ConfigMap/old\nthere ConfigMap/old\n";
    check(&[
        (
            "neither applied nor healed nor deleted with another account",
            &format!("web may run as team-a:deployer\nweb runs as team-b:admin\n{drifted}"),
            "web: Unknown AccountRefused",
        ),
        ("nor with the agent's own rights", &format!("web may run as team-a:deployer\n{drifted}"), "web: Unknown AccountRefused"),
        (
            "with its own it is",
            "web may run as team-a:*\nweb runs as team-a:deployer\nweb wants ConfigMap/a",
            "apply ConfigMap/a\nweb: Progressing Applying",
        ),
        (
            "its neighbour goes on",
            "web may run as team-a:*\nother may run as team-b:*\nother runs as team-b:x\nweb wants ConfigMap/a\nother wants ConfigMap/b",
            "apply ConfigMap/b\nother: Progressing Applying\nweb: Unknown AccountRefused",
        ),
    ]);
}

#[test]
fn a_deletion_that_was_refused_waits_before_it_is_asked_again() {
    let doomed = "web leaves\nweb owns ConfigMap/a\nweb withdraws ConfigMap/a\nthere ConfigMap/a\n";
    check(&[
        ("at once the first time", doomed, "delete ConfigMap/a u-a\nweb: Healthy"),
        ("later the next time, and it is said why", &format!("{doomed}web failed ConfigMap/a"), "web: Healthy Invalid"),
    ]);
    let scene = Scene::read(&format!("{doomed}web failed ConfigMap/a"));
    assert!(scene.plan().wake.is_some_and(|at| at > now()), "and it is woken for it");
}

#[test]
fn hooks_run_once_for_a_release_around_what_they_belong_to() {
    let before = "web wants Job/m hook PreSync\nweb wants ConfigMap/a\n";
    for (name, rest, expected) in [
        ("the first run", "absent Job/m", "run Job/m\nweb: Waiting WaveNotHealthy"),
        ("not observed yet", "", "web: Unknown NotObserved"),
        ("it runs", "web owns Job/m made-by-hook\nweb ran Job/m PreSync\nthere Job/m Progressing", "web: Waiting WaveNotHealthy"),
        (
            "it ends",
            "web owns Job/m made-by-hook\nweb ran Job/m PreSync\nthere Job/m",
            "succeeded Job/m\napply ConfigMap/a\nweb: Progressing Applying",
        ),
        (
            "it ended",
            "web owns Job/m made-by-hook\nweb ran Job/m PreSync succeeded\nabsent Job/m",
            "apply ConfigMap/a\nweb: Progressing Applying",
        ),
        (
            "its time to live took it away as it ended",
            "web owns Job/m made-by-hook\nweb ran Job/m PreSync\nended Job/m",
            "succeeded Job/m\napply ConfigMap/a\nweb: Progressing Applying",
        ),
        (
            "it was deleted while it ran",
            "web owns Job/m made-by-hook\nweb ran Job/m PreSync\nabsent Job/m",
            "run-again Job/m\nweb: Waiting WaveNotHealthy",
        ),
        ("it fails", "web owns Job/m made-by-hook\nweb ran Job/m PreSync\nthere Job/m Degraded", "failed Job/m\nweb: Degraded HookFailed"),
        ("it failed", "web owns Job/m made-by-hook\nweb ran Job/m PreSync failed\nthere Job/m Degraded", "web: Degraded HookFailed"),
        ("it failed and a person deleted it", "web ran Job/m PreSync failed\nabsent Job/m", "run-again Job/m\nweb: Waiting WaveNotHealthy"),
        (
            "the agent ended between intent and answer, and it was created",
            "web ran Job/m PreSync intent\nthere Job/m Progressing",
            "web: Waiting WaveNotHealthy",
        ),
        ("the same, and it was not", "web ran Job/m PreSync intent\nabsent Job/m", "run Job/m\nweb: Waiting WaveNotHealthy"),
        (
            "the same, over what was there before",
            "web ran Job/m PreSync intent over u-m\nthere Job/m Progressing",
            "run Job/m\nweb: Waiting WaveNotHealthy",
        ),
        (
            "a new release makes room first",
            "web owns Job/m made-by-hook\nweb ran Job/m PreSync succeeded earlier\nthere Job/m",
            "make-room Job/m\nweb: Waiting WaveNotHealthy",
        ),
        ("and waits for it", "web owns Job/m made-by-hook\nthere Job/m deleting", "web: Waiting WaveNotHealthy"),
        (
            "what was there before its manifest became a hook is not deleted",
            "web owns Job/m\nthere Job/m Progressing",
            "run Job/m\nweb: Waiting WaveNotHealthy",
        ),
        ("a stranger's object is not deleted", "there Job/m Progressing", "run Job/m\nweb: Waiting WaveNotHealthy"),
        ("an unobservable one has not failed", "web ran Job/m PreSync\nunknown Job/m", "web: Unknown NotObservable"),
        ("its creation was refused", "web failed Job/m\nabsent Job/m", "web: Degraded Invalid"),
    ] {
        assert_eq!(tell(&Scene::read(&format!("{before}{rest}")).plan()), expected, "{name}");
    }
    check(&[
        (
            "a hook does not drift, whatever its release was healed of",
            "web wants Job/m hook PreSync\nweb wants ConfigMap/a\nweb owns ConfigMap/a\nthere ConfigMap/a changed
             web owns Job/m made-by-hook\nweb ran Job/m PreSync succeeded\nthere Job/m changed\nweb is over",
            "heal ConfigMap/a\nweb: Healthy applied Drifted",
        ),
        (
            "a claim is never deleted because a hook says so",
            "web wants PersistentVolumeClaim/data hook PreSync\nweb owns PersistentVolumeClaim/data made-by-hook\nthere PersistentVolumeClaim/data",
            "run PersistentVolumeClaim/data\nweb: Progressing HookRunning",
        ),
        (
            "nor is what only ran over something that was there",
            "web wants ConfigMap/a hook PreSync delete succeeded\nweb owns ConfigMap/a\nweb ran ConfigMap/a PreSync succeeded\nthere ConfigMap/a",
            "web: Healthy applied over",
        ),
        (
            "after everything is healthy come the hooks of the end",
            "web wants Job/smoke hook PostSync\nweb wants Deployment/api\nweb owns Deployment/api\nthere Deployment/api\nabsent Job/smoke",
            "run Job/smoke\nweb: Progressing applied HookRunning",
        ),
        (
            "and not before",
            "web wants Job/smoke hook PostSync\nweb wants Deployment/api\nweb owns Deployment/api\nthere Deployment/api Progressing
             absent Job/smoke",
            "web: Waiting applied WaveNotHealthy",
        ),
        (
            "with them the rollout is over",
            "web wants Job/smoke hook PostSync\nweb wants Deployment/api\nweb owns Deployment/api\nthere Deployment/api
             web ran Job/smoke PostSync succeeded\nabsent Job/smoke",
            "web: Healthy applied over",
        ),
        (
            "one object in two phases runs twice, and makes room for itself",
            "web wants Job/m hook PreSync,PostSync\nweb wants ConfigMap/a\nweb owns ConfigMap/a\nthere ConfigMap/a\nweb owns Job/m made-by-hook
             there Job/m\nweb ran Job/m PreSync succeeded",
            "make-room Job/m\nweb: Progressing applied HookWaits",
        ),
        (
            "another app waits until the hooks have run",
            "db wants Job/m hook PostSync\ndb ran Job/m PostSync\nthere Job/m Progressing\nweb wants ConfigMap/a\nweb needs db",
            "db: Progressing applied HookRunning\nweb: Waiting DependencyNotReady",
        ),
    ]);
}

#[test]
fn a_hook_over_what_has_ended_before_has_not_run_and_says_so() {
    let hook = |policy: &str, rest: &str| format!("web wants Job/m hook PreSync delete {policy}\nweb wants ConfigMap/a\n{rest}");
    let blocked = "web: Degraded HookNotRun";
    check(&[
        ("Argo CD or Helm left it", &hook("before", "there Job/m"), blocked),
        ("it failed there", &hook("before", "there Job/m Degraded"), blocked),
        ("it bears our mark, and the inventory does not know it", &hook("before", "there Job/m of web"), blocked),
        ("it was there before its manifest became a hook", &hook("before", "web owns Job/m\nthere Job/m"), blocked),
        (
            "it was there, and the agent ended before the answer",
            &hook("before", "web ran Job/m PreSync intent over u-m\nthere Job/m"),
            blocked,
        ),
        (
            "an earlier run left it, and its policy keeps it",
            &hook("succeeded", "web owns Job/m made-by-hook\nthere Job/m Degraded"),
            blocked,
        ),
        (
            "an earlier run left it, and its policy makes room",
            &hook("before", "web owns Job/m made-by-hook\nthere Job/m Degraded"),
            "make-room Job/m\nweb: Waiting WaveNotHealthy",
        ),
        (
            "Argo CD or Helm left it, and it says itself that it gives way",
            &hook("before", "there Job/m spent-hook"),
            "make-room Job/m\nweb: Waiting WaveNotHealthy",
        ),
        ("it says so, and the hook's policy keeps what is there", &hook("succeeded", "there Job/m spent-hook"), blocked),
        ("it says so, and was there before its manifest became a hook", &hook("before", "web owns Job/m\nthere Job/m spent-hook"), blocked),
        ("it goes", &hook("before", "absent Job/m"), "run Job/m\nweb: Waiting WaveNotHealthy"),
        (
            "it has not ended, so its end is still to come",
            &hook("before", "there Job/m Progressing"),
            "run Job/m\nweb: Waiting WaveNotHealthy",
        ),
        (
            "what runs to no end is applied over",
            "web wants ConfigMap/c hook PreSync\nthere ConfigMap/c",
            "run ConfigMap/c\nweb: Progressing HookRunning",
        ),
        (
            "a hook of a removal",
            "web leaves with Job/m hook PreDelete\nweb removal began\nthere Job/m\nweb owns ConfigMap/a\nthere ConfigMap/a\nweb withdraws ConfigMap/a",
            blocked,
        ),
    ]);
    let says = |scene: &str| {
        let plan = Scene::read(scene).plan();
        plan.apps[&app("web")].state.reason.clone().expect("a reason").message
    };
    let foreign = says(&hook("before", "there Job/m"));
    assert!(foreign.ends_with("no run of this hook made it, so that it is left alone: delete it, and the hook runs"), "{foreign}");
    let kept = says(&hook("failed", "web owns Job/m made-by-hook\nthere Job/m"));
    assert!(kept.ends_with("delete that, or add BeforeHookCreation to the policy"), "{kept}");
}

#[test]
fn a_failed_hook_that_its_time_to_live_removed_does_not_run_again_for_that() {
    let ran = |words: &str, seen: &str| format!("web wants Job/m hook PreSync\nweb ran Job/m PreSync failed {words}\n{seen}");
    check(&[
        ("it has no time to live, so a person deleted it", &ran("", "absent Job/m"), "run-again Job/m\nweb: Progressing HookRunning"),
        ("a person deleted it in time", &ran("lives 600", "absent Job/m"), "run-again Job/m\nweb: Progressing HookRunning"),
        ("its time to live is over", &ran("lives -1", "absent Job/m"), "web: Degraded HookFailed"),
        ("or so nearly that clocks may differ", &ran("lives 60", "absent Job/m"), "web: Degraded HookFailed"),
        ("it went as it ended", &ran("lives 0", "ended Job/m Degraded"), "web: Degraded HookFailed"),
        (
            "its end is written down with its time to live",
            "web wants Job/m hook PreSync\nweb ran Job/m PreSync\nweb owns Job/m made-by-hook\nthere Job/m Degraded lives 600",
            "failed Job/m until 600\nweb: Degraded HookFailed",
        ),
        ("another release runs it", &ran("lives -1 earlier", "absent Job/m"), "run Job/m\nweb: Progressing HookRunning"),
        (
            "no other release can mend a removal, so there it runs again",
            "web leaves with Job/drain hook PreDelete\nweb removal began\nweb ran Job/drain PreDelete failed lives -1\nabsent Job/drain
             web owns ConfigMap/a\nthere ConfigMap/a\nweb withdraws ConfigMap/a",
            "run-again Job/drain\nweb: Degraded HookFailed",
        ),
    ]);
    let says = |scene: &str| {
        let plan = Scene::read(scene).plan();
        plan.apps[&app("web")].state.reason.clone().expect("a reason").message
    };
    for (words, seen, remedy) in [
        ("", "there Job/m Degraded", "delete it to run it again, or commit what mends it"),
        (
            "lives 600",
            "there Job/m Degraded lives 600",
            "delete it by 1970-01-12T13:55:40Z, before its time to live ends, to run it again, or commit what mends it",
        ),
        ("lives 30", "there Job/m Degraded lives 30", "commit what mends it; its time to live is too short to run it again by deleting it"),
        ("lives -1", "absent Job/m", "it is gone with its time to live, and is not run again for that; commit what mends it"),
    ] {
        let message = says(&ran(words, seen));
        assert_eq!(message, format!("Job.batch ns/m failed in PreSync (no); {remedy}"), "{words}");
    }
}

#[test]
fn the_hooks_of_a_failure_run_when_a_rollout_fails_and_only_then() {
    let scene = |rest: &str| {
        format!(
            "web wants Job/alarm hook SyncFail\nweb wants Job/m hook PreSync\nweb wants ConfigMap/a\nabsent Job/alarm\nweb owns Job/m made-by-hook\n{rest}"
        )
    };
    for (name, rest, expected) in [
        ("nothing failed", "web ran Job/m PreSync\nthere Job/m Progressing", "web: Waiting WaveNotHealthy"),
        ("a hook failed", "web ran Job/m PreSync failed\nthere Job/m Degraded", "run Job/alarm\nweb: Degraded HookFailed"),
        (
            "an object is broken",
            "web ran Job/m PreSync succeeded\nabsent Job/m\nweb owns ConfigMap/a\nthere ConfigMap/a Degraded",
            "run Job/alarm\nweb: Degraded applied NotReady",
        ),
        (
            "an object breaks long after",
            "web ran Job/m PreSync succeeded\nabsent Job/m\nweb owns ConfigMap/a\nthere ConfigMap/a Degraded\nweb is over",
            "web: Degraded applied NotReady",
        ),
    ] {
        assert_eq!(tell(&Scene::read(&scene(rest)).plan()), expected, "{name}");
    }
}

#[test]
fn hooks_of_a_removal_run_around_what_is_deleted() {
    check(&[
        (
            "a removal is written down before anything is done about it",
            "web leaves with Job/drain hook PreDelete\nabsent Job/drain\nweb owns ConfigMap/a\nthere ConfigMap/a\nweb withdraws ConfigMap/a",
            "web: Healthy Removing begins its removal",
        ),
        (
            "nothing is deleted before its hooks have succeeded",
            "web leaves with Job/drain hook PreDelete\nweb removal began\nabsent Job/drain\nweb owns ConfigMap/a\nthere ConfigMap/a
             web withdraws ConfigMap/a",
            "run Job/drain\nweb: Progressing HookRunning",
        ),
        (
            "nor while they run",
            "web leaves with Job/drain hook PreDelete\nweb removal began\nweb owns Job/drain made-by-hook\nweb ran Job/drain PreDelete
             there Job/drain Progressing\nweb owns ConfigMap/a\nthere ConfigMap/a\nweb withdraws ConfigMap/a",
            "web: Progressing HookRunning",
        ),
        (
            "nor when one has failed",
            "web leaves with Job/drain hook PreDelete\nweb removal began\nweb owns Job/drain made-by-hook\nweb ran Job/drain PreDelete failed
             there Job/drain Degraded\nweb owns ConfigMap/a\nthere ConfigMap/a\nweb withdraws ConfigMap/a",
            "web: Degraded HookFailed",
        ),
        (
            "what a hook of a removal made that was called off is let go, be it still there or not",
            "web wants ConfigMap/a\nweb owns ConfigMap/a\nthere ConfigMap/a same\nweb removal began\nweb owns Job/drain made-by-hook
             web ran Job/drain PreDelete failed\nthere Job/drain Degraded",
            "forget Job/drain left-behind\nweb: Healthy applied",
        ),
        (
            "what only has the name of such a hook stays, and is named",
            "web wants ConfigMap/a\nweb owns ConfigMap/a\nthere ConfigMap/a same\nweb removal began\nweb owns Job/drain
             web ran Job/drain PreDelete failed\nthere Job/drain",
            "web: Healthy applied Unaccounted",
        ),
        (
            "one that is deleted runs again",
            "web leaves with Job/drain hook PreDelete\nweb removal began\nweb ran Job/drain PreDelete failed\nabsent Job/drain
             web owns ConfigMap/a\nthere ConfigMap/a\nweb withdraws ConfigMap/a",
            "run-again Job/drain\nweb: Progressing HookRunning",
        ),
        (
            "and so does one that its policy deleted, as no new release can mend it",
            "web leaves with Job/drain hook PreDelete delete failed\nweb removal began\nweb ran Job/drain PreDelete failed removed
             absent Job/drain\nweb owns ConfigMap/a\nthere ConfigMap/a\nweb withdraws ConfigMap/a",
            "run-again Job/drain\nweb: Degraded HookFailed",
        ),
        (
            "then what is withdrawn is deleted",
            "web leaves with Job/drain hook PreDelete delete succeeded\nweb removal began\nweb owns Job/drain made-by-hook
             web ran Job/drain PreDelete succeeded\nthere Job/drain\nweb owns ConfigMap/a\nthere ConfigMap/a\nweb withdraws ConfigMap/a",
            "remove Job/drain\ndelete ConfigMap/a u-a\nweb: Healthy Removing",
        ),
        (
            "waves of hooks follow each other",
            "web leaves with Job/first hook PreDelete wave -1\nweb leaves with Job/second hook PreDelete\nweb removal began\nabsent Job/first
             absent Job/second",
            "run Job/first\nweb: Waiting WaveNotHealthy",
        ),
        (
            "a removal that waits for an approval runs no hook",
            "web leaves with Job/drain hook PreDelete\nweb removal began\nabsent Job/drain\nweb owns Namespace/ns\nthere Namespace/ns
             web withdraws Namespace/ns",
            "web: Waiting ApprovalNeeded awaits Namespace/ns",
        ),
        (
            "nor one while the hub is away",
            "web leaves with Job/drain hook PreDelete\nweb removal began\nabsent Job/drain\nhub away",
            "web: Waiting HubAway",
        ),
        (
            "nor one that is held",
            "web leaves with Job/drain hook PreDelete\nweb removal began\nabsent Job/drain\nweb is held until 1000600",
            "web: Waiting Held",
        ),
        (
            "what comes after it waits until all is gone",
            "web leaves with Job/bye hook PostDelete\nweb removal began\nabsent Job/bye\nweb owns ConfigMap/a\nthere ConfigMap/a deleting
             web withdraws ConfigMap/a",
            "web: Healthy Deleting",
        ),
        (
            "and until everything that is to go was withdrawn",
            "web leaves with Job/bye hook PostDelete\nweb removal began\nweb removal is incomplete\nabsent Job/bye",
            "web: Healthy Removing",
        ),
        (
            "then it runs",
            "web leaves with Job/bye hook PostDelete\nweb removal began\nabsent Job/bye\nabsent ConfigMap/a\nweb withdraws ConfigMap/a",
            "run Job/bye\nweb: Progressing HookRunning gone ConfigMap/a",
        ),
        (
            "what ends with this plan is not let go by the same",
            "web leaves with Job/bye hook PostDelete delete succeeded\nweb removal began\nweb owns Job/bye made-by-hook
             web ran Job/bye PostDelete\nthere Job/bye",
            "succeeded Job/bye\nweb: Healthy",
        ),
        (
            "what its policy leaves is let go",
            "web leaves with Job/bye hook PostDelete\nweb removal began\nweb owns Job/bye made-by-hook\nweb ran Job/bye PostDelete succeeded
             there Job/bye",
            "forget Job/bye left-behind\nweb: Healthy",
        ),
        (
            "what its policy takes goes, and only then the removal is over",
            "web leaves with Job/bye hook PostDelete delete succeeded\nweb removal began\nweb owns Job/bye made-by-hook
             web ran Job/bye PostDelete succeeded\nthere Job/bye",
            "remove Job/bye\nweb: Healthy",
        ),
        (
            "the removal is over",
            "web leaves with Job/bye hook PostDelete\nweb removal began\nweb ran Job/bye PostDelete succeeded\nthere Job/bye",
            "web: Healthy is removed",
        ),
        (
            "an object that the app had is deleted, and what its hook made under that name afterwards is not",
            "web leaves with Job/both hook PostSync,PostDelete\nweb removal began\nweb withdraws Job/both\nweb owns Job/both made-by-hook
             web ran Job/both PostDelete\nthere Job/both Progressing",
            "web: Progressing HookRunning gone Job/both",
        ),
        (
            "what is kept stays, and holds up nothing",
            "web leaves with Job/bye hook PostDelete\nweb removal began\nabsent Job/bye\nweb owns ConfigMap/kept\nthere ConfigMap/kept",
            "run Job/bye\nweb: Progressing HookRunning",
        ),
    ]);
}

#[test]
fn hooks_of_a_removal_have_no_part_in_a_rollout() {
    check(&[
        (
            "they are neither applied nor run",
            "web wants ConfigMap/a\nweb owns ConfigMap/a\nthere ConfigMap/a\nweb wants Job/drain hook PreDelete,PostDelete\nabsent Job/drain",
            "web: Healthy applied",
        ),
        (
            "one that also runs in a rollout does so there",
            "web wants Job/both hook PostSync,PreDelete\nabsent Job/both",
            "run Job/both\nweb: Progressing applied HookRunning",
        ),
    ]);
}

#[test]
fn what_hooks_leave_behind_goes_when_their_phase_has_ended() {
    let scene = |policy: &str, rest: &str| {
        format!(
            "web wants ConfigMap/role wave -1 hook PreSync delete {policy}\nweb wants Job/m hook PreSync delete {policy}\nweb owns Job/m made-by-hook
             web owns ConfigMap/role made-by-hook\nthere ConfigMap/role\nthere Job/m Progressing\nweb ran ConfigMap/role PreSync succeeded\n{rest}"
        )
    };
    for (name, policy, rest, expected) in [
        ("one still runs and may need the other", "succeeded", "web ran Job/m PreSync", "web: Progressing HookRunning"),
        ("all succeeded", "succeeded", "web ran Job/m PreSync succeeded", "remove ConfigMap/role, remove Job/m\nweb: Healthy applied over"),
        ("they are removed", "succeeded", "web ran Job/m PreSync succeeded removed", "remove ConfigMap/role\nweb: Healthy applied over"),
        ("the policy is another", "failed", "web ran Job/m PreSync succeeded", "web: Healthy applied over"),
        ("one failed", "failed", "web ran Job/m PreSync failed", "remove Job/m\nweb: Degraded HookFailed"),
        (
            "one failed, and what succeeded goes",
            "succeeded",
            "web ran Job/m PreSync failed",
            "remove ConfigMap/role\nweb: Degraded HookFailed",
        ),
        ("it failed and went", "failed", "web ran Job/m PreSync failed removed\nabsent Job/m", "web: Degraded HookFailed"),
    ] {
        assert_eq!(tell(&Scene::read(&scene(policy, rest)).plan()), expected, "{name}");
    }
}

/// Tests run once for each request, one after the other as Helm runs them, and never twice.
#[test]
fn tests_run_when_they_are_asked_for_and_once() {
    let base = "web wants ConfigMap/a\nweb owns ConfigMap/a\nthere ConfigMap/a
                web wants Pod/b hook Test\nweb wants Pod/z wave -1 hook Test delete succeeded\n";
    let nothing = "web: Healthy applied";
    let asked = |rest: &str| format!("web asks tests r1\nweb tests r1\n{rest}");
    let first = "web: Healthy applied test r1 Running TESTS";
    let said = |text: &str, tests: &str| text.replace("TESTS", tests);
    for (name, rest, expected) in [
        ("nobody asks", "absent Pod/b\nabsent Pod/z".to_owned(), nothing.to_owned()),
        ("a request is written down before anything runs", "web asks tests r1\nabsent Pod/z".into(), "web: Healthy applied begins r1 test r1 Waiting z=Waiting b=Waiting".into()),
        ("the first by weight runs alone", asked("absent Pod/b\nabsent Pod/z"), "run Pod/z\nweb: Healthy applied test r1 Waiting HookRunning z=Waiting b=Waiting".into()),
        ("it runs", asked("web ran Pod/z Test\nweb owns Pod/z made-by-hook\nthere Pod/z Progressing\nabsent Pod/b"), said(&first.replace("Running ", "Running HookRunning "), "z=Running b=Waiting")),
        ("it ends", asked("web ran Pod/z Test\nweb owns Pod/z made-by-hook\nthere Pod/z\nabsent Pod/b"), format!("succeeded Pod/z\n{}", said(first, "z=Running b=Waiting"))),
        ("then the next runs", asked("web ran Pod/z Test succeeded\nthere Pod/z\nabsent Pod/b"), format!("run Pod/b\n{}", said(&first.replace("Running ", "Running HookRunning "), "z=Succeeded b=Waiting"))),
        ("it fails", asked("web ran Pod/z Test\nthere Pod/z Degraded\nabsent Pod/b"), format!("failed Pod/z\n{}", said(&first.replace("Running ", "Running HookFailed "), "z=Running b=Waiting"))),
        ("the first that fails is the last", asked("web ran Pod/z Test failed\nabsent Pod/z\nabsent Pod/b"), "web: Healthy applied ends Failed(\"Pod ns/z failed: no\") test r1 Running z=Failed b=Waiting".into()),
        ("all succeeded", asked("web ran Pod/z Test succeeded\nweb ran Pod/b Test succeeded\nabsent Pod/z\nabsent Pod/b"), "web: Healthy applied ends Succeeded test r1 Running z=Succeeded b=Succeeded".into()),
        ("what was run is not run again", "web asks tests r1\nweb tests r1 succeeded\nweb ran Pod/z Test succeeded removed\nweb ran Pod/b Test succeeded\nabsent Pod/z\nabsent Pod/b".into(), "web: Healthy applied test r1 Succeeded z=Succeeded b=Succeeded".into()),
        ("what was run stays known when the request is gone", "web tests r1 failed\nweb ran Pod/z Test failed\nabsent Pod/z\nabsent Pod/b".into(), "web: Healthy applied test r1 Failed TestFailed z=Failed b=Cancelled".into()),
        ("a policy deletes what it names when all is over", "web tests r1 succeeded\nweb ran Pod/z Test succeeded\nweb owns Pod/z made-by-hook\nthere Pod/z\nweb ran Pod/b Test succeeded\nweb owns Pod/b made-by-hook\nthere Pod/b".into(), "remove Pod/z\nweb: Healthy applied test r1 Succeeded z=Succeeded b=Succeeded".into()),
        ("and not before", asked("web ran Pod/z Test succeeded\nweb owns Pod/z made-by-hook\nthere Pod/z\nweb ran Pod/b Test\nthere Pod/b Progressing"), said(&first.replace("Running ", "Running HookRunning "), "z=Succeeded b=Running")),
        ("a newer request begins at once", "web asks tests r2\nweb tests r1\nweb ran Pod/z Test\nthere Pod/z Progressing".into(), "web: Healthy applied begins r2 test r2 Waiting z=Waiting b=Waiting".into()),
        ("it makes room where the policy lets it", "web asks tests r2\nweb tests r2\nweb ran Pod/z Test succeeded\nabsent Pod/z\nweb owns Pod/b made-by-hook\nthere Pod/b".into(), "make-room Pod/b\nweb: Healthy applied test r2 Running HookWaits z=Succeeded b=Waiting".into()),
        ("and fails where it does not", "web asks tests r2\nweb tests r2\nweb owns Pod/z made-by-hook\nthere Pod/z".into(), "web: Healthy applied fails Pod/z (it is there already, and its delete policy keeps what an earlier run left; delete that, or add before-hook-creation to helm.sh/hook-delete-policy) test r2 Waiting z=Waiting b=Waiting".into()),
        ("a stranger's object is neither deleted nor applied over", asked("there Pod/z"), "web: Healthy applied fails Pod/z (it is there already, and no run of a test made it; delete it, or give one of the two another name) test r1 Waiting z=Waiting b=Waiting".into()),
        ("a test that is deleted while it runs has failed", asked("web ran Pod/z Test\nabsent Pod/z"), said(&first.replace("applied", "applied fails Pod/z (its object was deleted before its end was seen)"), "z=Running b=Waiting")),
        ("one that the agent lost between intent and answer is created", asked("web ran Pod/z Test intent\nabsent Pod/z\nabsent Pod/b"), format!("run Pod/z\n{}", said(&first.replace("Running ", "Running HookRunning "), "z=Running b=Waiting"))),
        ("an unobservable one has not failed", asked("web ran Pod/z Test\nunknown Pod/z"), said(&first.replace("Running ", "Running NotObservable "), "z=Running b=Waiting")),
        ("the hub takes the request back", "web tests r1\nweb ran Pod/z Test\nthere Pod/z Progressing".into(), "web: Healthy applied ends Cancelled(\"the hub took the request back\") test r1 Running z=Running b=Waiting".into()),
        ("too late", "web asks tests r1\nweb tests r1 late\nweb ran Pod/z Test\nthere Pod/z Progressing".into(), "web: Healthy applied fails Pod/z (it did not end within 300 seconds (Pod ns/z runs in Test (not ready))) test r1 Running z=Running b=Waiting".into()),
        ("an end counts that is seen as time runs out", "web asks tests r1\nweb tests r1 late\nweb ran Pod/z Test\nthere Pod/z".into(), format!("succeeded Pod/z\n{}", said(first, "z=Running b=Waiting"))),
    ] {
        assert_eq!(tell(&Scene::read(&format!("{base}{rest}")).plan()), expected, "{name}");
    }
    let cancelled = tell(&Scene::read(&format!("{base}web tests r1 earlier\nweb ran Pod/z Test\nthere Pod/z Progressing")).plan());
    assert!(cancelled.contains("ends Cancelled(\"release") && cancelled.ends_with("had ended\") test r1 Running z=Running"), "{cancelled}");
    check(&[
        (
            "tests wait for the health of the release",
            "web wants ConfigMap/a\nweb owns ConfigMap/a\nthere ConfigMap/a Progressing\nweb wants Pod/b hook Test\nweb asks tests r1\nweb tests r1\nabsent Pod/b",
            "web: Progressing applied NotReady test r1 Waiting TestsWait b=Waiting",
        ),
        (
            "and go on when they made it sick",
            "web wants ConfigMap/a\nweb owns ConfigMap/a\nthere ConfigMap/a Progressing\nweb wants Pod/b hook Test\nweb wants Pod/a wave -1 hook Test
             web asks tests r1\nweb tests r1\nweb ran Pod/a Test succeeded\nabsent Pod/a\nabsent Pod/b",
            "run Pod/b\nweb: Progressing applied NotReady test r1 Running HookRunning a=Succeeded b=Waiting",
        ),
        (
            "a test holds up nobody and is no reason to wait",
            "db wants ConfigMap/d\ndb owns ConfigMap/d\nthere ConfigMap/d\ndb wants Pod/b hook Test\ndb tests r1 failed\ndb ran Pod/b Test failed\nabsent Pod/b
             web wants ConfigMap/a\nweb needs db\nabsent ConfigMap/a",
            "apply ConfigMap/a\ndb: Healthy applied test r1 Failed TestFailed b=Failed\nweb: Progressing Applying",
        ),
        (
            "a release without tests says so",
            "web wants ConfigMap/a\nweb owns ConfigMap/a\nthere ConfigMap/a\nweb asks tests r1\nweb tests r1",
            "web: Healthy applied ends Cancelled(\"the release has no tests\") test r1 Waiting",
        ),
    ]);
}

#[test]
fn what_somebody_else_has_is_left_alone() {
    check(&[
        (
            "an object of another app",
            "one wants ConfigMap/a\none owns ConfigMap/a\ntwo wants ConfigMap/a content v2\nthere ConfigMap/a",
            "one: Healthy applied\ntwo: Degraded OwnedByOtherApp",
        ),
        (
            "an object that the other app hands over",
            "one wants ConfigMap/b\none owns ConfigMap/b\none owns ConfigMap/a\none withdraws ConfigMap/a to two\ntwo wants ConfigMap/a content v2
             there ConfigMap/a\nthere ConfigMap/b",
            "adopt ConfigMap/a from one\none: Healthy applied\ntwo: Progressing HandOver",
        ),
        (
            "an object that exists already and is created only once",
            "web wants ConfigMap/a existing once\nthere ConfigMap/a changed",
            "web: Healthy applied",
        ),
        (
            "an app that the index does not name keeps what it has",
            "old owns ConfigMap/a\nthere ConfigMap/a",
            "old: Unknown NotInIndex",
        ),
        (
            "an object that is neither wanted nor withdrawn stays",
            "web wants ConfigMap/a\nweb owns ConfigMap/a\nweb owns ConfigMap/b\nthere ConfigMap/a\nthere ConfigMap/b",
            "web: Healthy applied Unaccounted",
        ),
    ]);
}

#[test]
fn an_api_group_that_cannot_be_read_leads_to_nothing() {
    check(&[
        ("unknown", "web wants Widget/w\nkind Widget unknown", "web: Unknown GroupUnavailable"),
        (
            "unknown and owned",
            "web wants Widget/w\nweb owns Widget/w\nkind Widget unknown\nabsent Widget/w",
            "web: Unknown GroupUnavailable",
        ),
        ("not served", "web wants Widget/w\nkind Widget missing", "web: Degraded KindUnknown"),
        (
            "not served yet",
            "web wants Widget/w\nweb wants CustomResourceDefinition/widgets.example.com\nkind Widget missing",
            "apply CustomResourceDefinition/widgets.example.com\nweb: Progressing KindNotServedYet",
        ),
        (
            "a withdrawal that cannot be observed is neither done nor given up",
            "web leaves\nweb owns Widget/w\nweb withdraws Widget/w\nunknown Widget/w",
            "web: Healthy NotObservable",
        ),
    ]);
}

#[test]
fn only_what_is_withdrawn_owned_and_within_the_budget_is_deleted() {
    check(&[
        (
            "one of two goes",
            "web wants ConfigMap/a\nweb owns ConfigMap/a\nweb owns ConfigMap/b\nweb withdraws ConfigMap/b\nthere ConfigMap/a\nthere ConfigMap/b",
            "delete ConfigMap/b u-b\nweb: Healthy applied",
        ),
        (
            "it is gone",
            "web wants ConfigMap/a\nweb owns ConfigMap/a\nweb withdraws ConfigMap/b\nthere ConfigMap/a\nabsent ConfigMap/b",
            "web: Healthy applied gone ConfigMap/b",
        ),
        ("it went by itself", "web leaves\nweb owns ConfigMap/b\nweb withdraws ConfigMap/b\nabsent ConfigMap/b", "forget ConfigMap/b gone\nweb: Healthy"),
        (
            "another one has its name now",
            "web leaves\nweb owns ConfigMap/b\nweb withdraws ConfigMap/b\nthere ConfigMap/b uid other",
            "forget ConfigMap/b not-ours\nweb: Healthy",
        ),
        (
            "its creation was never confirmed",
            "web leaves\nweb owns ConfigMap/b intent\nweb withdraws ConfigMap/b\nthere ConfigMap/b",
            "forget ConfigMap/b not-ours\nweb: Healthy",
        ),
        ("a foreign one stays", "web leaves\nweb withdraws ConfigMap/b\nthere ConfigMap/b", "web: Healthy gone ConfigMap/b"),
        (
            "one that a lost inventory had is found by its annotation",
            "web leaves\nweb withdraws ConfigMap/b\nthere ConfigMap/b of web",
            "adopt ConfigMap/b\nweb: Healthy",
        ),
        ("one of another app's is not", "web leaves\nweb withdraws ConfigMap/b\nthere ConfigMap/b of other", "web: Healthy gone ConfigMap/b"),
        ("not while the hub is away", "hub away\nweb leaves\nweb owns ConfigMap/b\nweb withdraws ConfigMap/b\nthere ConfigMap/b", "web: Healthy HubAway"),
        (
            "more than the budget waits",
            "web leaves\nweb owns ConfigMap/a\nweb owns ConfigMap/b\nweb withdraws ConfigMap/a\nweb withdraws ConfigMap/b
             there ConfigMap/a\nthere ConfigMap/b",
            "web: Healthy ApprovalNeeded awaits ConfigMap/a ConfigMap/b",
        ),
        (
            "and goes with an approval",
            "web is approved\nweb leaves\nweb owns ConfigMap/a\nweb owns ConfigMap/b\nweb withdraws ConfigMap/a\nweb withdraws ConfigMap/b
             there ConfigMap/a\nthere ConfigMap/b",
            "delete ConfigMap/a u-a, delete ConfigMap/b u-b\nweb: Healthy",
        ),
        (
            "a namespace always waits",
            "web leaves\nweb owns Namespace/n\nweb withdraws Namespace/n\nthere Namespace/n",
            "web: Healthy ApprovalNeeded awaits Namespace/n",
        ),
        (
            "so does a volume's claim",
            "web leaves\nweb owns PersistentVolumeClaim/d\nweb withdraws PersistentVolumeClaim/d\nthere PersistentVolumeClaim/d",
            "web: Healthy ApprovalNeeded awaits PersistentVolumeClaim/d",
        ),
        (
            "the cluster's cap for the hour is reached",
            "deleted 100\nweb leaves\nweb owns ConfigMap/b\nweb withdraws ConfigMap/b\nthere ConfigMap/b",
            "web: Healthy HourlyBudget",
        ),
        (
            "the cap counts over apps",
            "deleted 99\na leaves\na owns ConfigMap/a\na withdraws ConfigMap/a\nthere ConfigMap/a
             b leaves\nb owns ConfigMap/b\nb withdraws ConfigMap/b\nthere ConfigMap/b",
            "delete ConfigMap/a u-a\na: Healthy\nb: Healthy HourlyBudget",
        ),
        (
            "later waves go first",
            "web is approved\nweb leaves\nweb owns ConfigMap/a\nweb owns ConfigMap/b wave 1\nweb withdraws ConfigMap/a\nweb withdraws ConfigMap/b
             there ConfigMap/a\nthere ConfigMap/b",
            "delete ConfigMap/b u-b\nweb: Healthy",
        ),
        (
            "and an earlier one waits until it is gone",
            "web is approved\nweb leaves\nweb owns ConfigMap/a\nweb owns ConfigMap/b wave 1\nweb withdraws ConfigMap/a\nweb withdraws ConfigMap/b
             there ConfigMap/a\nthere ConfigMap/b deleting",
            "web: Healthy Deleting",
        ),
        (
            "within a wave what needs others goes first",
            "web is approved\nweb leaves\nweb owns ConfigMap/a\nweb owns Deployment/b\nweb withdraws ConfigMap/a\nweb withdraws Deployment/b
             there ConfigMap/a\nthere Deployment/b",
            "delete Deployment/b u-b\ndelete ConfigMap/a u-a\nweb: Healthy",
        ),
        (
            "the release's own objects come first",
            "web wants ConfigMap/new\nweb owns ConfigMap/b\nweb withdraws ConfigMap/b\nthere ConfigMap/b\nabsent ConfigMap/new",
            "apply ConfigMap/new\nweb: Progressing Applying",
        ),
        (
            "what is wanted is not deleted, whatever is withdrawn",
            "web wants ConfigMap/a\nweb owns ConfigMap/a\nweb withdraws ConfigMap/a\nthere ConfigMap/a",
            "web: Healthy applied",
        ),
    ]);
}

/// One object of a random scene.
fn facts() -> impl Strategy<Value = String> {
    let kinds = prop::sample::select(vec!["ConfigMap", "Deployment", "Namespace", "Job"]);
    let apps = || prop::sample::select(vec!["one", "two"]);
    let owned =
        prop_oneof![Just(""), Just("intent"), Just("content v0"), Just("uid other"), Just("wave 1"), Just("succeeded"), Just("failed")];
    let seen = prop_oneof![
        Just("there OBJECT"),
        Just("there OBJECT"),
        Just("there OBJECT changed"),
        Just("there OBJECT uid third"),
        Just("there OBJECT of one"),
        Just("there OBJECT deleting"),
        Just("absent OBJECT"),
        Just("unknown OBJECT"),
        Just(""),
    ];
    let wanted = prop::option::weighted(0.3, apps());
    let owner = prop::option::weighted(0.8, (apps(), owned));
    let withdrawn = prop::option::weighted(0.6, (apps(), prop_oneof![4 => Just(""), 1 => Just("to two")]));
    (kinds, 0..40_u8, wanted, owner, withdrawn, seen).prop_map(|(kind, number, wanted, owner, withdrawn, seen)| {
        let object = format!("{kind}/n{number}");
        let mut text = String::new();
        if let Some(app) = wanted {
            writeln!(text, "{app} wants {object}").expect("memory");
        }
        if let Some((app, how)) = owner {
            writeln!(text, "{app} owns {object} {how}").expect("memory");
        }
        if let Some((app, to)) = withdrawn {
            writeln!(text, "{app} withdraws {object} {to}").expect("memory");
        }
        writeln!(text, "{}", seen.replace("OBJECT", &object)).expect("memory");
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_deleted_that_is_not_withdrawn_owned_by_uid_and_within_the_budget(
        objects in prop::collection::vec(facts(), 0..30),
        away in prop::bool::weighted(0.1),
        approved in prop::bool::weighted(0.3),
        deleted in prop_oneof![Just(0_u32), 90..101_u32],
    ) {
        let mut text = objects.concat();
        if away { text.push_str("hub away\n"); }
        if approved { text.push_str("one is approved\n"); }
        writeln!(text, "deleted {deleted}").expect("memory");
        let scene = Scene::read(&text);
        let desired = scene.desired();
        let plan = scene.plan();
        let mut unapproved = 0;
        for (name, app) in &desired.apps {
            let deletions: Vec<_> = plan.steps.iter().filter(|step| step.app == *name && matches!(step.kind, StepKind::Delete { .. })).collect();
            for step in &deletions {
                let StepKind::Delete { uid } = &step.kind else { continue };
                prop_assert!(!away, "the hub is away");
                prop_assert!(app.withdrawals.contains(&Withdrawal { object: ObjectKey::clone(&step.object), to: None }), "not withdrawn: {}", step.object);
                let owned = scene.inventory.get(name, &step.object).and_then(|owned| owned.uid.clone());
                prop_assert_eq!(owned.as_ref(), Some(uid), "not owned by uid");
                let there = matches!(scene.objects.get(&step.object), Some(Observed::Present(present)) if present.uid == *uid && !present.deleting);
                prop_assert!(there, "another one is there: {}", step.object);
                let wanted = matches!(&app.release, Ok(Some((_, release))) if release.entries.contains_key(&step.object));
                prop_assert!(!wanted, "still wanted: {}", step.object);
                prop_assert!(app.approved || step.object.kind.kind != "Namespace", "a namespace needs an approval");
            }
            if !app.approved {
                let owned = scene.inventory.apps.get(name).map_or(0, |inventory| inventory.objects.len());
                prop_assert!(deletions.len() <= deletion_budget(owned), "over the budget");
                unapproved += deletions.len();
            }
        }
        prop_assert!(approved || u32::try_from(unapproved).expect("few") + deleted <= 100.max(deleted), "over the cap of the hour");
        let of_the_index = plan.steps.iter().all(|step| desired.apps.contains_key(&step.app));
        prop_assert!(of_the_index, "an app that the index does not name is not touched");
        prop_assert_eq!(tell(&scene.plan()), tell(&plan), "planning is deterministic");
    }
}
