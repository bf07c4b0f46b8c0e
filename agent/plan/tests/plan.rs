//! Plans as data: a scene in words, the steps that follow from it, and how each app then stands. Steps of one order share a line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use agent_health::Verdict;
use agent_plan::{
    Attempts, Compared, Desired, DesiredApp, ForgetCause, Guardrail, HookEnd, HookRun, Input, Inventory, KindState, Kinds, Observed, Owned,
    Plan, Present, PrunePermit, StepKind, Tracking, plan,
};
use proptest::prelude::*;
use shared_model::{AppName, Digest, FieldChange, GroupKind, Health, ObjectKey, Reason, Scope, Severity, Timestamp};
use shared_release::{Entry, Existing, Heal, Hook, HookDelete, Phase, Policy, Release, Withdrawal, deletion_budget};

/// Everything that a plan is made from.
struct Scene {
    wants: BTreeMap<AppName, Vec<Entry>>,
    leaves: BTreeSet<AppName>,
    withdraws: BTreeMap<AppName, BTreeSet<Withdrawal>>,
    needs: BTreeMap<AppName, BTreeSet<AppName>>,
    approved: BTreeSet<AppName>,
    inventory: Inventory,
    /// Runs of hooks at the wanted release, in words.
    ran: Vec<(AppName, ObjectKey, Vec<String>)>,
    over: BTreeSet<AppName>,
    objects: BTreeMap<ObjectKey, Observed>,
    kinds: Kinds,
    attempts: Attempts,
    permit: PrunePermit,
    guardrail: Guardrail,
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

impl Scene {
    /// Reads a scene, one fact a line.
    fn read(text: &str) -> Self {
        let mut scene = Self {
            wants: BTreeMap::new(),
            leaves: BTreeSet::new(),
            withdraws: BTreeMap::new(),
            needs: BTreeMap::new(),
            approved: BTreeSet::new(),
            inventory: Inventory::default(),
            ran: Vec::new(),
            over: BTreeSet::new(),
            objects: BTreeMap::new(),
            kinds: Kinds::new(),
            attempts: Attempts::default(),
            permit: PrunePermit::Granted,
            guardrail: Guardrail::open("capstan-system"),
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
                let Some(Observed::Present(Present { uid, verdict, .. })) = self.objects.remove(&key(object)) else { unreachable!() };
                self.see(key(object), Observed::Ended { uid, verdict });
            }
            ["unknown", object] => {
                self.see(key(object), Observed::Unknown(Reason::new(Severity::Error, "NotObservable", "it cannot be observed")));
            }
            ["there", object, ref rest @ ..] => self.there(key(object), rest),
            [name, "wants", object, ref rest @ ..] => self.want(app(name), key(object), rest),
            [name, "leaves"] => drop(self.leaves.insert(app(name))),
            [name, "ran", object, ref rest @ ..] => self.ran.push((app(name), key(object), rest.iter().map(ToString::to_string).collect())),
            [name, "is", "over"] => drop(self.over.insert(app(name))),
            [name, "owns", object, ref rest @ ..] => self.own(&app(name), &key(object), rest),
            [name, "withdraws", object, ref rest @ ..] => {
                let to = after(rest, "to").map(app);
                self.withdraws.entry(app(name)).or_default().insert(Withdrawal { object: key(object), to });
            }
            [name, "needs", other] => drop(self.needs.entry(app(name)).or_default().insert(app(other))),
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
            existing: if words.contains(&"once") { Existing::IfNotPresent } else { Existing::Override },
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
            object,
        };
        self.wants.entry(app).or_default().push(entry);
    }

    fn own(&mut self, app: &AppName, object: &ObjectKey, words: &[&str]) {
        let intent = words.contains(&"intent");
        *self.inventory.entry(app, object) = Owned {
            uid: (!intent).then(|| after(words, "uid").map_or_else(|| format!("u-{}", object.name), str::to_owned)),
            applied: (!intent).then(|| content(object, after(words, "content").unwrap_or("v1"))),
            stage: (Phase::Sync, after(words, "wave").map_or(0, |wave| wave.parse().expect("a number"))),
            finished: words.contains(&"finished"),
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
        let digest = |name: &AppName| match &desired.apps.get(name).expect("a wanted app").release {
            Ok(Some((digest, _))) => *digest,
            other => panic!("no release: {other:?}"),
        };
        for (name, object, words) in &self.ran {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let release = if words.contains(&"earlier") { Digest::of(b"earlier") } else { digest(name) };
            let uid = (!words.contains(&"intent")).then(|| format!("u-{}", object.name));
            let end = match (words.contains(&"succeeded"), words.contains(&"failed")) {
                (true, _) => Some(HookEnd::Succeeded),
                (_, true) => Some(HookEnd::Failed("no".into())),
                _ => None,
            };
            let run = HookRun { uid, over: after(&words, "over").map(str::to_owned), end, removed: words.contains(&"removed") };
            *inventory.apps.entry(name.clone()).or_default().hooks.entry(release, object, phase(words[0])) = run;
        }
        for name in &self.over {
            let hooks = &mut inventory.apps.entry(name.clone()).or_default().hooks;
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
            compared,
        };
        self.see(object, Observed::Present(present));
    }

    fn desired(&self) -> Desired {
        let names = self.wants.keys().chain(&self.leaves).chain(self.withdraws.keys());
        let apps = names.map(|name| {
            let release = self.wants.get(name).map(|entries| Release::new(name.clone(), entries.clone()));
            let desired = DesiredApp {
                release: Ok(release.map(|release| (release.encode().0, Arc::new(release)))),
                withdrawals: self.withdraws.get(name).cloned().unwrap_or_default(),
                approved: self.approved.contains(name),
                depends_on: self.needs.get(name).cloned().unwrap_or_default(),
            };
            (name.clone(), desired)
        });
        Desired { apps: apps.collect() }
    }

    fn plan(&self) -> Plan {
        let mut kinds = self.kinds.clone();
        let entries = self.wants.values().flatten().map(|entry| &entry.object);
        for key in entries.chain(self.inventory.iter().map(|(_, key, _)| key)) {
            kinds.entry(key.kind.clone()).or_insert(KindState::Served(Scope::Namespaced));
        }
        let desired = self.desired();
        plan(&Input {
            now: now(),
            inventory: &self.inventory(&desired),
            desired: &desired,
            objects: &self.objects,
            kinds: &kinds,
            attempts: &self.attempts,
            guardrail: &self.guardrail,
            prune: &self.permit,
            deletions_last_hour: self.deletions_last_hour,
        })
    }
}

/// The plan in words.
fn tell(plan: &Plan) -> String {
    let mut text = String::new();
    let mut order = None;
    for step in &plan.steps {
        let object = short(&step.object);
        let what = match &step.kind {
            StepKind::Apply { drift: None, .. } => format!("apply {object}"),
            StepKind::Apply { drift: Some(_), .. } => format!("heal {object}"),
            StepKind::Delete { uid } => format!("delete {object} {uid}"),
            StepKind::Adopt { from: Some(from), .. } => format!("adopt {object} from {from}"),
            StepKind::Adopt { from: None, .. } => format!("adopt {object}"),
            StepKind::Forget(ForgetCause::Gone) => format!("forget {object} gone"),
            StepKind::Forget(ForgetCause::NotOurs) => format!("forget {object} not-ours"),
            StepKind::Finish => format!("finish {object}"),
            StepKind::RunHook { again, .. } => format!("{} {object}", if *again { "run-again" } else { "run" }),
            StepKind::EndHook { end: HookEnd::Succeeded, .. } => format!("succeeded {object}"),
            StepKind::EndHook { end: HookEnd::Failed(_), .. } => format!("failed {object}"),
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
        ("it fails", "web wants Job/j\nweb owns Job/j\nthere Job/j Degraded", "finish Job/j\nweb: Degraded applied JobFailed"),
        ("it runs", "web wants Job/j\nweb owns Job/j\nthere Job/j Progressing", "web: Progressing applied NotReady"),
        ("it ended and its time to live is over", "web wants Job/j\nweb owns Job/j finished\nabsent Job/j", "web: Healthy applied"),
        ("it ended and was taken away at once", "web wants Job/j\nweb owns Job/j\nended Job/j", "finish Job/j\nweb: Healthy applied"),
        ("it was deleted while it ran", "web wants Job/j\nweb owns Job/j\nabsent Job/j", "heal Job/j\nweb: Missing applied Drifted"),
        (
            "new content runs again",
            "web wants Job/j content v2\nweb owns Job/j finished\nabsent Job/j",
            "apply Job/j\nweb: Progressing Applying",
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
            "web ran Job/m PreSync intent over u-m\nthere Job/m",
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
            "web owns Job/m\nthere Job/m",
            "run Job/m\nweb: Waiting WaveNotHealthy",
        ),
        ("a stranger's object is not deleted", "there Job/m", "run Job/m\nweb: Waiting WaveNotHealthy"),
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
            "web wants ConfigMap/a once\nthere ConfigMap/a changed",
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
    let owned = prop_oneof![Just(""), Just("intent"), Just("content v0"), Just("uid other"), Just("wave 1"), Just("finished")];
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
                prop_assert!(app.withdrawals.contains(&Withdrawal { object: step.object.clone(), to: None }), "not withdrawn: {}", step.object);
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
