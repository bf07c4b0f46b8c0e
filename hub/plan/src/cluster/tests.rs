//! A small world around `plan_cluster`: a hub that keeps what a plan says, and an agent that follows the index as real agents do. Scenarios
//! are tables of steps and what the index then says; the laws are held against random sequences.

use proptest::prelude::*;
use shared_model::{GroupKind, Severity, Timestamp};
use shared_release::{Entry, Existing, Hook, Phase, Policy, TestRequest};

use super::*;
use crate::again::LastPlan;
use crate::claims;

/// The hub and the agent of one cluster.
struct World {
    name: ClusterName,
    uid: ClusterUid,
    previous: Option<Index>,
    memory: Memory,
    releases: BTreeMap<Digest, Arc<Release>>,
    wanted: Wanted,
    approvals: Vec<Approved>,
    holds: BTreeMap<AppName, Hold>,
    tests: BTreeMap<AppName, WantedTest>,
    gone: BTreeMap<AppName, Gone>,
    decisions: BTreeMap<AppName, AppDecision>,
    void: Vec<VoidApproval>,
    agent: Agent,
    ever: BTreeMap<AppName, BTreeSet<ObjectKey>>,
    approved: BTreeSet<(AppName, ObjectKey)>,
    /// A hub that plans again only what has changed; it must come to the same.
    last: LastPlan,
}

/// What an agent owns, and what exists in its cluster.
#[derive(Default)]
struct Agent {
    inventory: BTreeMap<AppName, BTreeSet<ObjectKey>>,
    exists: BTreeSet<ObjectKey>,
}

fn app(name: &str) -> AppName {
    name.parse().expect("an app's name")
}

/// `a` is a ConfigMap, `ns:a` a Namespace; `a?` must be confirmed, `a!` is never pruned, `a~` is only created where it is missing,
/// `a^` is a hook of the app's removal.
fn entry(text: &str) -> Entry {
    let name = text.trim_end_matches(['?', '!', '~', '^']);
    let object = match name.strip_prefix("ns:") {
        Some(name) => ObjectKey::new(GroupKind::new("", "Namespace"), None, name),
        None => ObjectKey::new(GroupKind::new("", "ConfigMap"), Some("x"), name),
    };
    let (prune, existing) = match text.chars().last() {
        Some('?') => (Prune::Confirm, Existing::Override),
        Some('!') => (Prune::Never, Existing::Override),
        Some('~') => (Prune::Never, Existing::IfNotPresent),
        _ => (Prune::Allowed, Existing::Override),
    };
    let policy = Policy { prune, existing, ..Policy::default() };
    let digest = Digest::of(text.as_bytes());
    let hook = text.ends_with('^').then(|| Hook { phases: BTreeSet::from([Phase::PreDelete]), delete: BTreeSet::new() });
    let phase = if hook.is_some() { Phase::PreDelete } else { Phase::Sync };
    Entry { object: object.into(), version: "v1".into(), digest, sealed: None, phase, wave: 0, hook, policy }
}

fn short(object: &ObjectKey) -> String {
    if object.kind.kind == "Namespace" { format!("ns:{}", object.name) } else { object.name.clone() }
}

fn suspicion() -> Reason {
    Reason::new(Severity::Warning, "AppDisappeared", "app is gone, which apps/x.yaml defined")
}

impl World {
    fn new() -> Self {
        Self {
            name: "gpu-a".parse().expect("a name"),
            uid: "u-1".parse().expect("a uid"),
            previous: None,
            memory: Memory::default(),
            releases: BTreeMap::new(),
            wanted: Wanted::Apps(BTreeMap::new()),
            approvals: Vec::new(),
            holds: BTreeMap::new(),
            tests: BTreeMap::new(),
            gone: BTreeMap::new(),
            decisions: BTreeMap::new(),
            void: Vec::new(),
            agent: Agent::default(),
            ever: BTreeMap::new(),
            approved: BTreeSet::new(),
            last: LastPlan::default(),
        }
    }

    fn release(&mut self, name: &AppName, objects: &str) -> WantedRelease {
        let entries = objects.split(',').filter(|text| !text.is_empty()).map(entry);
        let release = Arc::new(Release::new(name.clone(), entries));
        let (digest, _) = release.encode();
        self.releases.insert(digest, release.clone());
        WantedRelease { digest, release, depends_on: BTreeSet::new(), service_account: None, on_delete: OnDelete::Cascade, waits: None }
    }

    /// `removed`, `blocked`, `held:…`, `wait:…`, `orphan:…`, `as:ACCOUNT:…` (in the namespace `team`), or objects with commas.
    fn wanted_app(&mut self, name: &AppName, text: &str) -> WantedApp {
        match text.split_once(':').filter(|(word, _)| *word != "ns") {
            Some(("held", rest)) => WantedApp::Held { reason: suspicion(), then: Box::new(self.wanted_app(name, rest)) },
            Some(("wait", rest)) => WantedApp::Release(WantedRelease { waits: Some(Gate::NoStage), ..self.release(name, rest) }),
            Some(("as", rest)) => {
                let (account, rest) = rest.split_once(':').expect("as:ACCOUNT:objects");
                let service_account = Some(format!("team:{account}").parse().expect("an account"));
                WantedApp::Release(WantedRelease { service_account, ..self.release(name, rest) })
            }
            Some(("orphan", rest)) => WantedApp::Release(WantedRelease { on_delete: OnDelete::Orphan, ..self.release(name, rest) }),
            _ if text == "removed" => WantedApp::Removed,
            _ if text == "blocked" => WantedApp::Blocked(Reason::new(Severity::Error, "InvalidYaml", "is no YAML")),
            _ => WantedApp::Release(self.release(name, text)),
        }
    }

    fn want(&mut self, text: &str) {
        let mut apps = BTreeMap::new();
        for word in text.split_whitespace() {
            let (name, wish) = word.split_once('=').expect("app=wish");
            let name = app(name);
            let wish = self.wanted_app(&name, wish);
            apps.insert(name, wish);
        }
        self.wanted = Wanted::Apps(apps);
    }

    fn input(&self) -> ClusterInput<'_> {
        ClusterInput {
            cluster: &self.name,
            uid: &self.uid,
            previous: self.previous.as_ref(),
            releases: &self.releases,
            memory: &self.memory,
            wanted: &self.wanted,
            approvals: &self.approvals,
            holds: &self.holds,
            tests: &self.tests,
            gone: &self.gone,
            next: self.previous.as_ref().map_or(Generation::new(1, 1), |index| index.generation.next()),
        }
    }

    /// Plans, checks what must hold of each plan, and keeps what it says.
    fn plan(&mut self) -> ClusterPlan {
        let plan = plan_cluster(&self.input());
        let mut last = std::mem::take(&mut self.last);
        assert_eq!(*last.plan(&self.input()), plan, "planned again as if nothing had been planned before");
        self.check(&plan);
        for (name, entry) in &plan.index.apps {
            let had = self.ever.entry(name.clone()).or_default();
            had.extend(entry.release.iter().flat_map(|digest| claims(&self.releases[digest])).map(|entry| ObjectKey::clone(&entry.object)));
        }
        self.previous = Some(plan.index.clone());
        self.memory = plan.memory.clone();
        self.decisions = plan.decisions.clone();
        self.void = plan.void.clone();
        self.approvals.retain(|approval| !plan.used.contains(approval) && !plan.void.iter().any(|void| void.approval == *approval));
        let again = plan_cluster(&self.input());
        assert_eq!(*last.plan(&self.input()), again, "planned again with what was just told");
        assert!(Arc::ptr_eq(&last.plan(&self.input()), &last.plan(&self.input())), "what is the same is not planned again");
        self.last = last;
        assert_eq!((again.changed, &again.index, &again.memory), (false, &plan.index, &plan.memory), "a plan made again changes nothing");
        plan
    }

    fn check(&self, plan: &ClusterPlan) {
        let Wanted::Apps(wanted) = &self.wanted else { return };
        let mut owners: BTreeMap<&ObjectKey, &AppName> = BTreeMap::new();
        let named: BTreeSet<&ObjectKey> = plan
            .index
            .apps
            .values()
            .filter_map(|app| app.release)
            .flat_map(|digest| self.releases[&digest].entries.keys())
            .map(Arc::as_ref)
            .collect();
        for (name, entry) in &plan.index.apps {
            let indexed = self.previous.as_ref().is_some_and(|index| index.apps.contains_key(name));
            assert!(indexed || wanted.contains_key(name) || self.memory.leftovers.contains_key(name), "{name} came from nowhere");
            for claim in entry.release.iter().flat_map(|digest| claims(&self.releases[digest])) {
                assert_eq!(owners.insert(&claim.object, name), None, "{} has two owners", claim.object);
            }
        }
        for (name, entry) in &plan.index.apps {
            for Withdrawal { object, to } in &entry.withdrawals {
                assert!(self.ever.get(name).is_some_and(|had| had.contains(object)), "{name} never had {object}");
                match to {
                    Some(to) => assert_eq!(owners.get(object), Some(&to), "{object} goes to who does not have it"),
                    None => assert!(!named.contains(object), "{object} is wanted and withdrawn"),
                }
            }
            let before = self.previous.as_ref().and_then(|index| index.apps.get(name)).and_then(|app| app.release);
            if before.is_some() && entry.release != before {
                let wish = wanted.get(name).expect("only what was said changes an app");
                assert!(!matches!(wish, WantedApp::Blocked(_)), "{name} is blocked and changed");
                if let WantedApp::Release(release) = wish {
                    assert!(release.waits.is_none(), "{name} waits and changed");
                }
                if let WantedApp::Held { .. } = wish {
                    assert!(plan.decisions[name].held.as_ref().is_some_and(|held| held.approved), "{name} is held and changed");
                    assert!(self.approvals.iter().any(|approval| approval.app == *name), "{name} changed without an approval");
                }
            }
        }
    }

    /// Approves all that was shown for `name`.
    fn approve(&mut self, name: &AppName) {
        let Some(decision) = self.decisions.get(name) else { return };
        let held = decision.held.iter().filter(|held| !held.approved).map(|held| (held.digest, &held.withdraws));
        let deletions = decision.deletions.iter().filter(|deletions| deletions.waits).map(|asked| (asked.digest, &asked.objects));
        for (digest, objects) in held.chain(deletions) {
            let sanction = Sanction { by: "ann".into(), at: Timestamp::UNIX_EPOCH };
            self.approvals.push(Approved { app: name.clone(), digest, sanction });
            self.approved.extend(objects.iter().map(|object| (name.clone(), object.clone())));
        }
    }

    /// The agent carries out the index as it may and reports.
    fn run_agent(&mut self) {
        let Some(index) = self.previous.clone() else { return };
        let releases = |app: &IndexApp| app.release.map(|digest| self.releases[&digest].clone());
        let named: BTreeSet<ObjectKey> =
            index.apps.values().filter_map(releases).flat_map(|r| r.entries.clone().into_keys()).map(Arc::unwrap_or_clone).collect();
        for (name, entry) in &index.apps {
            for wanted in releases(entry).iter().flat_map(|release| release.entries.values()).filter(|entry| entry.is_of_rollout()) {
                let object = &*wanted.object;
                if !wanted.is_claimed() {
                    self.agent.exists.insert(object.clone());
                    continue;
                }
                let owner = self
                    .agent
                    .inventory
                    .iter()
                    .find(|(other, owned)| *other != name && owned.contains(object))
                    .map(|(other, _)| other.clone());
                let give = |owner: &AppName| {
                    let withdrawal = Withdrawal { object: object.clone(), to: Some(name.clone()) };
                    index.apps.get(owner).is_some_and(|app| app.withdrawals.contains(&withdrawal))
                };
                if let Some(owner) = owner {
                    assert!(give(&owner), "{object} of {owner} is wanted by {name}, and nobody hands it over");
                    self.agent.inventory.get_mut(&owner).expect("found").remove(object);
                }
                self.agent.inventory.entry(name.clone()).or_default().insert(object.clone());
                self.agent.exists.insert(object.clone());
            }
        }
        self.gone.clear();
        for (name, entry) in &index.apps {
            let owned = self.agent.inventory.entry(name.clone()).or_default();
            let asked: Vec<&ObjectKey> =
                entry.withdrawals.iter().filter(|w| w.to.is_none() && owned.contains(&w.object)).map(|w| &w.object).collect();
            let within = asked.len() <= deletion_budget(owned.len()) && !asked.iter().any(|object| waits_always(object));
            if within || entry.is_approved(name) {
                for object in asked {
                    assert!(!named.contains(object), "{object} is wanted and would be deleted");
                    assert!(within || self.approved.contains(&(name.clone(), object.clone())), "nobody approved the deletion of {object}");
                    owned.remove(object);
                    self.agent.exists.remove(object);
                }
            }
            let objects: BTreeSet<ObjectKey> =
                entry.withdrawals.iter().map(|w| &w.object).filter(|object| !owned.contains(*object)).cloned().collect();
            let removed = entry.removal.is_some_and(|removal| removal.complete) && objects.len() == entry.withdrawals.len();
            self.gone.insert(name.clone(), Gone { as_of: index.generation, objects, removed });
        }
    }

    /// `web{a b}-c-d>api+` and its gates: runs a and b, withdraws c, hands d over to api, approved; ` ?e`: asks for e, which the index does not
    /// name, because nobody approved it.
    fn text(&self) -> String {
        let mut words = Vec::new();
        let index = self.previous.as_ref().expect("planned");
        for name in index.apps.keys().chain(self.decisions.keys()).collect::<BTreeSet<_>>() {
            let mut word = name.to_string();
            if let Some(entry) = index.apps.get(name) {
                if let Some(digest) = entry.release {
                    let objects: Vec<String> = self.releases[&digest].entries.keys().map(|key| short(key)).collect();
                    word.push_str(&format!("{{{}}}", objects.join(" ")));
                }
                for Withdrawal { object, to } in &entry.withdrawals {
                    word.push_str(&format!("-{}", short(object)));
                    to.iter().for_each(|to| word.push_str(&format!(">{to}")));
                }
                if entry.is_approved(name) {
                    word.push('+');
                }
                entry.removal.iter().for_each(|removal| word.push_str(if removal.complete { "^" } else { "^..." }));
                entry.service_account.iter().for_each(|account| word.push_str(&format!(" as {}", account.name())));
            }
            for gate in self.decisions.get(name).into_iter().flat_map(|decision| &decision.gates) {
                word.push_str(&format!(" !{}", gate.code()));
            }
            if let Some(deletions) = self.decisions.get(name).and_then(|decision| decision.deletions.as_ref()) {
                let withdrawals = index.apps.get(name).map(|entry| &entry.withdrawals);
                let is_named =
                    |object: &ObjectKey| withdrawals.is_some_and(|all| all.iter().any(|w| w.to.is_none() && w.object == *object));
                let unnamed: Vec<&ObjectKey> = deletions.objects.iter().filter(|object| !is_named(object)).collect();
                assert_eq!(deletions.withheld, !unnamed.is_empty(), "{name}: {unnamed:?}");
                unnamed.into_iter().for_each(|object| word.push_str(&format!(" ?{}", short(object))));
            }
            if word != name.as_str() {
                words.push(word);
            }
        }
        words.join(" | ")
    }
}

/// Each scenario is a list of steps. `want …` sets what is wanted and plans; `approve APP` approves what is shown and plans; `agent` lets the
/// agent work, report, and plans.
fn play(steps: &[(&str, &str)]) {
    let mut world = World::new();
    for (number, (step, expected)) in steps.iter().enumerate() {
        match step.split_once(' ').unwrap_or((step, "")) {
            ("want", rest) => world.want(rest),
            ("approve", name) => world.approve(&app(name)),
            ("agent", _) => world.run_agent(),
            _ => panic!("no such step: {step}"),
        }
        world.plan();
        assert_eq!(world.text(), *expected, "step {number}: {step}");
    }
}

#[test]
fn an_object_that_leaves_is_withdrawn_until_it_is_reported_gone() {
    play(&[
        ("want web=a,b,c", "web{a b c}"),
        ("agent", "web{a b c}"),
        ("want web=a,b", "web{a b}-c"),
        ("want web=a,b", "web{a b}-c"),
        ("agent", "web{a b}"),
    ]);
}

#[test]
fn what_leaves_is_deleted_with_the_rights_that_it_was_written_with() {
    play(&[
        ("want web=as:a:a,b", "web{a b} as a"),
        ("want web=as:b:a,b", "web{a b} as b"),
        ("want web=blocked", "web{a b} as b !Blocked"),
        ("want web=as:b:a", "web{a}-b as b"),
        ("agent", "web{a} as b"),
        ("want web=removed", "web-a as b"),
        ("agent", ""),
    ]);
    let mut world = World::new();
    for (wish, expected) in [("web=as:a:ns:x", "web{ns:x} as a"), ("web=removed", "web-ns:x as a !ApprovalNeeded")] {
        world.want(wish);
        world.plan();
        assert_eq!(world.text(), expected);
    }
    // The entry is gone from the index, as with a hub that named no withdrawal before its approval; what is remembered tells.
    world.previous.as_mut().expect("planned").apps.clear();
    world.approve(&app("web"));
    world.plan();
    assert_eq!(world.text(), "web-ns:x+ as a");
}

#[test]
fn an_object_that_comes_back_is_withdrawn_no_more() {
    play(&[
        ("want web=a,b", "web{a b}"),
        ("want web=a", "web{a}-b"),
        ("want web=a,b", "web{a b}"),
        ("agent", "web{a b}"),
        ("want web=b", "web{b}-a"),
    ]);
}

#[test]
fn deletions_over_the_budget_go_after_an_approval_of_exactly_these() {
    play(&[
        ("want web=a,b,c,d", "web{a b c d}"),
        ("agent", "web{a b c d}"),
        ("want web=a", "web{a}-b-c-d !ApprovalNeeded"),
        ("agent", "web{a}-b-c-d !ApprovalNeeded"),
        ("approve web", "web{a}-b-c-d+"),
        ("agent", "web{a}"),
    ]);
}

#[test]
fn an_approval_stays_good_while_the_rest_of_what_was_approved_goes() {
    let mut world = World::new();
    world.want("web=a,b,c,d");
    world.plan();
    world.want("web=a");
    world.plan();
    world.approve(&app("web"));
    world.plan();
    let as_of = world.previous.as_ref().expect("planned").generation;
    let b = Arc::unwrap_or_clone(entry("b").object);
    world.gone.insert(app("web"), Gone { as_of, objects: BTreeSet::from([b]), removed: false });
    world.plan();
    assert_eq!(world.text(), "web{a}-c-d+");
    // One more is another matter: the whole waits again.
    world.want("web=e");
    world.plan();
    assert_eq!(world.text(), "web{e}-a-c-d !ApprovalNeeded");
}

#[test]
fn an_approval_of_something_else_is_void_and_says_what_is_shown() {
    let mut world = World::new();
    world.want("web=a,b,c,d");
    world.plan();
    world.want("web=a");
    world.plan();
    world.approve(&app("web"));
    world.want("web=a,b");
    let plan = world.plan();
    assert_eq!(world.text(), "web{a b}-c-d !ApprovalNeeded");
    let shown = plan.decisions[&app("web")].deletions.as_ref().expect("asked").digest;
    assert_eq!((plan.used.len(), plan.void.len(), &plan.void[0].shown[..]), (0, 1, &[shown][..]));
    let entry = &plan.index.apps[&app("web")];
    assert_eq!(entry.withdrawals_digest(&app("web")), shown, "what is shown is what the agent checks");
}

#[test]
fn a_used_approval_does_not_approve_the_same_a_second_time() {
    play(&[
        ("want web=a,ns:b", "web{a ns:b}"),
        ("agent", "web{a ns:b}"),
        ("want web=a", "web{a}-ns:b !ApprovalNeeded"),
        ("approve web", "web{a}-ns:b+"),
        ("want web=a,ns:b", "web{a ns:b}"),
        ("want web=a", "web{a}-ns:b !ApprovalNeeded"),
    ]);
}

#[test]
fn what_moves_to_another_app_arrives_together_and_is_not_deleted() {
    play(&[
        ("want web=a,b api=c", "api{c} | web{a b}"),
        ("agent", "api{c} | web{a b}"),
        ("want web=a api=b,c", "api{b c} | web{a}-b>api"),
        ("agent", "api{b c} | web{a}"),
        ("want web=a api=c", "api{c}-b | web{a}"),
        ("agent", "api{c} | web{a}"),
    ]);
}

#[test]
fn what_moves_waits_in_its_place_until_its_taker_may_change() {
    play(&[
        ("want web=a,b", "web{a b}"),
        ("agent", "web{a b}"),
        ("want web=a api=wait:b", "api !NoStageTakesCluster | web{a} !HandOverWaits"),
        ("agent", "api !NoStageTakesCluster | web{a} !HandOverWaits"),
        ("want web=a api=held:b", "api !Held | web{a} !HandOverWaits"),
        ("want web=a api=b", "api{b} | web{a}-b>api"),
        ("agent", "api{b} | web{a}"),
    ]);
}

#[test]
fn a_taker_waits_for_the_app_that_still_runs_the_object() {
    play(&[
        ("want web=a,b", "web{a b}"),
        ("want web=wait:a api=b", "api !StillRunByOtherApp | web{a b} !NoStageTakesCluster"),
        ("want web=blocked api=b,c", "api !StillRunByOtherApp | web{a b} !Blocked"),
        // In a circle of moves, who depends on the one that stays stays too.
        ("want web=blocked api=b dep=c", "api !StillRunByOtherApp | dep{c} | web{a b} !Blocked"),
        ("want web=blocked api=b,c dep=d", "api !StillRunByOtherApp | dep{d} !HandOverWaits | web{a b} !Blocked"),
    ]);
}

#[test]
fn two_apps_with_the_same_object_both_stay_as_they_are() {
    play(&[
        ("want web=a,b", "web{a b}"),
        ("want web=a,b,z api=b,c", "api !SharedObject | web{a b} !SharedObject"),
        ("want web=a,b api=b,c", "api !SharedObject | web{a b} !SharedObject"),
        ("want web=a,b api=c", "api{c} | web{a b}"),
        ("want web=a,b,z api=c,z dep=d", "api{c} !SharedObject | dep{d} | web{a b} !SharedObject"),
        ("want web=a,b,z api=c dep=d", "api{c} | dep{d} | web{a b z}"),
    ]);
}

#[test]
fn what_is_only_created_where_it_is_missing_is_shared_and_stays() {
    play(&[
        ("want web=a,ns:x~ api=c,ns:x~", "api{c ns:x} | web{a ns:x}"),
        ("agent", "api{c ns:x} | web{a ns:x}"),
        ("want web=a api=c,ns:x~", "api{c ns:x} | web{a}"),
        ("want web=a,ns:x api=c,ns:x~", "api{c ns:x} | web{a ns:x}"),
        // The owner leaves while another app names it: it stays.
        ("want web=a api=c,ns:x~", "api{c ns:x} | web{a}"),
        ("want web=a api=c", "api{c} | web{a}-ns:x !ApprovalNeeded"),
    ]);
}

#[test]
fn what_is_not_pruned_stays_and_can_still_change_hands() {
    play(&[
        ("want web=a,b!", "web{a b}"),
        ("agent", "web{a b}"),
        ("want web=a", "web{a}"),
        ("agent", "web{a}"),
        ("want web=a api=b", "api{b} | web{a}-b>api"),
        ("agent", "api{b} | web{a}"),
    ]);
}

#[test]
fn what_must_be_confirmed_is_withdrawn_once_it_is() {
    play(&[
        ("want web=a,b?,c,d,e,f", "web{a b c d e f}"),
        ("agent", "web{a b c d e f}"),
        ("want web=a,d,e,f", "web{a d e f}-c !ApprovalNeeded ?b"),
        ("approve web", "web{a d e f}-b-c+"),
        ("agent", "web{a d e f}"),
    ]);
}

#[test]
fn what_must_be_confirmed_goes_with_what_waits_beside_it_under_one_approval() {
    play(&[
        ("want web=a,b?,c,d", "web{a b c d}"),
        ("agent", "web{a b c d}"),
        ("want web=a", "web{a}-c-d !ApprovalNeeded ?b"),
        ("agent", "web{a}-c-d !ApprovalNeeded ?b"),
        ("approve web", "web{a}-b-c-d+"),
        ("agent", "web{a}"),
    ]);
}

#[test]
fn what_must_be_confirmed_waits_when_the_whole_app_leaves() {
    play(&[
        ("want web=a,b?", "web{a b}"),
        ("agent", "web{a b}"),
        ("want web=removed", "web-a !ApprovalNeeded ?b"),
        ("agent", "web !ApprovalNeeded ?b"),
        ("want", "web !ApprovalNeeded ?b"),
        ("approve web", "web-b+"),
        ("agent", ""),
    ]);
    play(&[
        ("want web=a,b?,bye^", "web{a b bye}"),
        ("agent", "web{a b bye}"),
        ("want web=removed", "web-a^... !ApprovalNeeded ?b"),
        ("approve web", "web-a-b+^"),
    ]);
    // What was held shows all of it.
    play(&[
        ("want web=a,b?", "web{a b}"),
        ("agent", "web{a b}"),
        ("want web=held:removed", "web{a b} !Held"),
        ("approve web", "web-a-b+"),
        ("agent", ""),
    ]);
}

#[test]
fn an_approval_of_what_must_be_confirmed_is_void_when_more_leaves() {
    let mut world = World::new();
    world.want("web=a,b?,c?,d,e,f");
    world.plan();
    world.want("web=a,c?,d,e,f");
    world.plan();
    assert_eq!(world.text(), "web{a c d e f} !ApprovalNeeded ?b");
    world.approve(&app("web"));
    world.want("web=a,d,e,f");
    let plan = world.plan();
    assert_eq!((world.text().as_str(), plan.used.len(), plan.void.len()), ("web{a d e f} !ApprovalNeeded ?b ?c", 0, 1));
}

#[test]
fn absence_removes_nothing() {
    play(&[
        ("want web=a,b", "web{a b}"),
        ("want", "web{a b} !Unmentioned"),
        ("want web=blocked", "web{a b} !Blocked"),
        ("want web=held:removed", "web{a b} !Held"),
        ("want web=held:a", "web{a b} !Held"),
        ("want web=held:", "web{a b} !Held"),
        ("want web=held:a,b", "web{a b}"),
    ]);
}

#[test]
fn what_is_held_happens_after_an_approval_which_covers_its_deletions() {
    play(&[
        ("want web=a,b,c,d", "web{a b c d}"),
        ("agent", "web{a b c d}"),
        ("want web=held:removed", "web{a b c d} !Held"),
        ("approve web", "web-a-b-c-d+"),
        ("want", "web-a-b-c-d+"),
        ("agent", ""),
        ("want web=held:removed", ""),
    ]);
}

#[test]
fn an_approval_of_what_was_held_does_not_cover_something_else() {
    let mut world = World::new();
    world.want("web=a,b,c,d");
    world.plan();
    world.want("web=held:a,b,c");
    world.plan();
    world.approve(&app("web"));
    world.want("web=held:a,b");
    let plan = world.plan();
    assert_eq!(world.text(), "web{a b c d} !Held");
    let held = plan.decisions[&app("web")].held.clone().expect("held");
    let withdrawn: Vec<String> = held.withdraws.iter().map(short).collect();
    assert_eq!((plan.used, plan.void.len(), withdrawn), (Vec::new(), 1, vec!["c".to_owned(), "d".to_owned()]));
}

#[test]
fn an_orphaned_app_leaves_its_objects() {
    play(&[
        ("want web=orphan:a,b", "web{a b}"),
        ("agent", "web{a b}"),
        ("want web=removed", ""),
        ("agent", ""),
        ("want api=a", "api{a} | web-a>api"),
        ("agent", "api{a}"),
        ("want api=a web=b", "api{a} | web{b}"),
        ("want api=a web=removed", "api{a} | web-b"),
    ]);
}

#[test]
fn a_removal_with_hooks_stays_in_the_index_until_it_is_over() {
    play(&[
        ("want web=a,bye^", "web{a bye}"),
        ("agent", "web{a bye}"),
        ("want web=removed", "web-a^"),
        ("agent", ""),
        ("want web=a,bye^", "web{a bye}"),
        ("agent", "web{a bye}"),
        ("want web=removed", "web-a^"),
        ("want web=a,bye^", "web{a bye}"),
        ("want web=orphan:a,bye^", "web{a bye}"),
        ("want web=removed", ""),
    ]);
    play(&[
        ("want web=a,b?,bye^", "web{a b bye}"),
        ("agent", "web{a b bye}"),
        ("want web=removed", "web-a^... !ApprovalNeeded ?b"),
        ("approve web", "web-a-b+^"),
        ("agent", ""),
    ]);
    play(&[("want web=bye^", "web{bye}"), ("want web=removed", "web^"), ("want web=blocked", "web^ !Blocked"), ("agent", "web !Blocked")]);
}

#[test]
fn hooks_of_a_removal_are_withdrawn_by_no_release_that_lacks_them() {
    play(&[("want web=a,bye^", "web{a bye}"), ("agent", "web{a bye}"), ("want web=a", "web{a}")]);
}

#[test]
fn a_report_about_an_older_index_settles_nothing() {
    let mut world = World::new();
    for want in ["web=a,b", "web=a"] {
        world.want(want);
        world.plan();
    }
    let older = world.previous.as_ref().expect("planned").generation;
    for want in ["web=a,b", "web=a"] {
        world.want(want);
        world.plan();
    }
    let objects = BTreeSet::from([Arc::unwrap_or_clone(entry("b").object)]);
    world.gone.insert(app("web"), Gone { as_of: older, objects: objects.clone(), removed: false });
    world.plan();
    assert_eq!(world.text(), "web{a}-b");
    let now = world.previous.as_ref().expect("planned").generation;
    world.gone.insert(app("web"), Gone { as_of: now, objects, removed: false });
    world.plan();
    assert_eq!(world.text(), "web{a}");
}

#[test]
fn when_nothing_can_be_told_everything_stays_to_the_number() {
    let mut world = World::new();
    world.want("web=a,b api=c");
    world.plan();
    let before = world.previous.clone();
    world.wanted = Wanted::KeepAll(Reason::new(Severity::Error, "Unreadable", "regions/ cannot be read"));
    let plan = world.plan();
    assert_eq!((plan.changed, Some(plan.index)), (false, before));
    assert_eq!(world.text(), "api{c} !KeptAsItIs | web{a b} !KeptAsItIs");
}

#[test]
fn a_lost_release_removes_nothing_and_says_so() {
    let mut world = World::new();
    world.want("web=a,b");
    world.plan();
    world.want("web=a");
    let lost = world.previous.as_ref().expect("planned").apps[&app("web")].release.expect("runs");
    world.releases.remove(&lost);
    let plan = plan_cluster(&world.input());
    assert!(!plan.changed);
    assert_eq!(plan.decisions[&app("web")].gates, [Gate::ContentUnknown { release: lost }]);
}

#[test]
fn a_lost_memory_keeps_what_the_index_says() {
    let mut world = World::new();
    world.want("web=a,b,c");
    world.plan();
    world.want("web=a");
    world.plan();
    world.approve(&app("web"));
    world.plan();
    assert_eq!(world.text(), "web{a}-b-c+");
    world.memory = Memory::default();
    world.plan();
    assert_eq!(world.text(), "web{a}-b-c+");
}

#[test]
fn a_created_again_cluster_inherits_nothing() {
    let mut world = World::new();
    world.want("web=a,b,c");
    world.plan();
    world.want("web=a");
    world.plan();
    world.uid = "u-2".parse().expect("a uid");
    let plan = plan_cluster(&world.input());
    assert!(plan.changed && plan.index.apps[&app("web")].withdrawals.is_empty());
    assert_eq!((plan.index.parent, plan.index.generation), (None, Generation::new(1, 3)));
}

#[test]
fn an_app_that_names_no_account_any_more_keeps_its_own_until_somebody_approves() {
    let mut world = World::new();
    world.want("web=as:deployer:a");
    world.plan();
    world.want("web=a,b");
    let plan = world.plan();
    assert!(!plan.changed);
    let held = world.decisions[&app("web")].held.clone().expect("it is held");
    assert_eq!((held.reason.code.as_str(), held.approved), ("AccountDropped", false));
    world.approve(&app("web"));
    let plan = world.plan();
    assert!(plan.changed && plan.index.apps[&app("web")].service_account.is_none());
    assert!(plan.decisions[&app("web")].held.as_ref().is_some_and(|held| held.approved));
    world.want("web=as:other:a,b");
    assert!(world.plan().changed, "from one account to another, or from none to one, is a change like others");
}

#[test]
fn a_hold_is_in_the_index_for_as_long_as_it_stands() {
    let mut world = World::new();
    world.want("web=a api=b");
    world.plan();
    let hold = Hold { by: "ann".into(), reason: "an incident".into(), until: Timestamp::UNIX_EPOCH };
    world.holds.insert(app("web"), hold.clone());
    world.holds.insert(app("unknown"), hold);
    let plan = world.plan();
    let held: Vec<_> = plan.index.apps.iter().map(|(name, app)| (name.as_str(), app.hold.is_some())).collect();
    assert_eq!((plan.changed, held), (true, vec![("api", false), ("web", true)]));
    world.holds.clear();
    let plan = world.plan();
    assert!(plan.changed && plan.index.apps.values().all(|app| app.hold.is_none()));
    world.wanted = Wanted::KeepAll(Reason::new(Severity::Error, "FleetIncomplete", "a file cannot be read"));
    world.holds.insert(app("web"), Hold { by: "ann".into(), reason: "a broken fleet".into(), until: Timestamp::UNIX_EPOCH });
    let plan = world.plan();
    assert!(plan.changed && plan.index.apps[&app("web")].hold.is_some(), "also while everything else is kept");
}

#[test]
fn tests_are_asked_of_one_release_and_of_no_other() {
    let mut world = World::new();
    world.want("web=a db=b");
    world.plan();
    let published = |world: &World, name: &str| world.previous.as_ref().expect("published").apps[&app(name)].clone();
    let release = published(&world, "web").release.expect("it runs");
    let request = TestRequest { id: "7f3a".parse().expect("valid"), by: "ann".into(), seconds: 300 };
    world.tests.insert(app("web"), WantedTest { release, request: request.clone() });
    assert!(world.plan().changed, "a request is published");
    assert_eq!(published(&world, "web").test, Some(request.clone()));
    assert_eq!(published(&world, "db").test, None);
    assert!(!world.plan().changed, "and once");
    world.want("web=blocked db=b");
    world.plan();
    assert_eq!(published(&world, "web").test, Some(request), "what runs is tested, whatever is wanted");
    world.want("web=a,c db=b");
    world.plan();
    assert_eq!(published(&world, "web").test, None, "another release is another thing");
}

#[test]
fn more_than_an_index_holds_goes_bit_by_bit() {
    let mut world = World::new();
    let many = |from: usize| (from..from + 5_000).map(|number| format!("o{number}")).collect::<Vec<_>>().join(",");
    world.want(&format!("api={} web={}", many(0), many(5_000)));
    world.plan();
    world.run_agent();
    world.want("api=removed web=removed");
    world.plan();
    world.approve(&app("api"));
    world.approve(&app("web"));
    let plan = world.plan();
    let counts: Vec<usize> = plan.index.apps.values().map(|app| app.withdrawals.len()).collect();
    assert_eq!(counts, [5_000, 3_000]);
    assert!(plan.index.apps.iter().all(|(name, app)| app.is_approved(name)));
    assert_eq!(plan.decisions[&app("web")].gates, [Gate::IndexFull { waiting: 2_000 }]);
    world.run_agent();
    let plan = world.plan();
    let web = &plan.index.apps[&app("web")];
    assert_eq!((web.withdrawals.len(), web.is_approved(&app("web"))), (2_000, true));
    world.run_agent();
    assert!(world.plan().index.apps.is_empty() && world.agent.exists.is_empty());
}

const APPS: [&str; 4] = ["api", "dep", "gpu", "web"];
const OBJECTS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "ns:h", "ns:i~", "j?", "k!", "l~"];

#[derive(Debug, Clone)]
enum Happening {
    Want(Vec<(u8, u16)>),
    Approve(usize),
    Agent,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => prop::collection::vec((0_u8..16, any::<u16>()), APPS.len()).prop_map(Happening::Want),
        2 => (0..APPS.len()).prop_map(Happening::Approve),
        3 => Just(Happening::Agent),
    ]
}

fn wishes(choices: &[(u8, u16)]) -> String {
    let mut words = Vec::new();
    for (name, (kind, bits)) in APPS.iter().zip(choices) {
        // Two draws make objects rare enough that apps often do not collide.
        let picked =
            OBJECTS.iter().enumerate().filter(|(number, _)| bits >> number & 1 == 1 && (number + usize::from(bits >> 12)) % 3 != 0);
        let objects: Vec<&str> = picked.map(|(_, object)| *object).collect();
        let objects = objects.join(",");
        words.push(match kind {
            0 => continue,
            1 => format!("{name}=blocked"),
            2 => format!("{name}=removed"),
            3 => format!("{name}=held:removed"),
            4 | 5 => format!("{name}=held:{objects}"),
            6 | 7 => format!("{name}=wait:{objects}"),
            8 => format!("{name}=orphan:{objects}"),
            _ => format!("{name}={objects}"),
        });
    }
    words.join(" ")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Each plan is checked by `World::check` and made a second time; the agent checks each deletion. In the end, with nothing in the way,
    /// what is wanted is what is owned, and nothing is withdrawn any more.
    #[test]
    fn no_sequence_of_plans_deletes_what_is_wanted_or_more_than_was_approved(story in prop::collection::vec(happening(), 1..40)) {
        let mut world = World::new();
        for happening in story {
            match happening {
                Happening::Want(choices) => world.want(&wishes(&choices)),
                Happening::Approve(number) => world.approve(&app(APPS[number])),
                Happening::Agent => world.run_agent(),
            }
            world.plan();
        }
        world.want("api=a,b dep=c,d gpu=e web=f,g");
        for _ in 0..6 {
            world.plan();
            APPS.iter().for_each(|name| world.approve(&app(name)));
            world.plan();
            world.run_agent();
        }
        world.plan();
        prop_assert_eq!(world.text(), "api{a b} | dep{c d} | gpu{e} | web{f g}");
        for (name, owned) in &world.agent.inventory {
            let release = world.previous.as_ref().expect("planned").apps[name].release.expect("runs");
            let wanted: BTreeSet<ObjectKey> = world.releases[&release].entries.keys().map(|key| ObjectKey::clone(key)).collect();
            let kept = world.memory.leftovers.get(name).into_iter().flat_map(BTreeMap::keys);
            let accounted: BTreeSet<ObjectKey> = kept.chain(&wanted).cloned().collect();
            prop_assert!(owned.is_superset(&wanted) && owned.is_subset(&accounted), "{} owns {:?}", name, owned);
        }
    }
}
