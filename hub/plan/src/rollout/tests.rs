//! Tables of what happens in a small fleet and who may then move: c0 is the canary, e1 and e2 are in eu, u1 and u2 in us.

use hub_fleet::{FLEET_BUDGET, Fleet, read_fleet};
use hub_tree::{MemoryTree, Reader};
use shared_model::{GroupKind, ObjectKey, ObjectState, Reason, Severity};

use super::*;
use crate::approval::Sanction;

fn fleet(spec: &str) -> Fleet {
    let rollout = format!("apiVersion: capstan.dev/v1\nkind: Rollout\nmetadata: {{name: r}}\nspec:\n{spec}");
    let cluster = |name: &str, ring: &str| {
        format!("apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata: {{name: {name}, labels: {{ring: {ring}}}}}\nspec: {{}}\n")
    };
    let region = |name: &str| format!("apiVersion: capstan.dev/v1\nkind: Region\nmetadata: {{name: {name}}}\n");
    let groups =
        "apiVersion: capstan.dev/v1\nkind: Fleet\nmetadata: {name: f}\nspec: {approverGroups: [{name: sre, members: [ann, bob]}]}\n";
    let files = [
        ("fleet.yaml", groups.to_owned()),
        ("regions/eu/region.yaml", region("eu")),
        ("regions/us/region.yaml", region("us")),
        ("regions/eu/c0.yaml", cluster("c0", "canary")),
        ("regions/eu/e1.yaml", cluster("e1", "main")),
        ("regions/eu/e2.yaml", cluster("e2", "main")),
        ("regions/us/u1.yaml", cluster("u1", "main")),
        ("regions/us/u2.yaml", cluster("u2", "main")),
        ("rollouts/r.yaml", rollout),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let (fleet, problems) = read_fleet(&Reader::new(&MemoryTree::of(&files), FLEET_BUDGET));
    assert!(problems.is_empty(), "{problems:?}");
    fleet
}

struct Known {
    wanted: Digest,
    published: Option<Digest>,
    health: Health,
    age: Option<Duration>,
    report: Option<AppState>,
}

struct World {
    fleet: Fleet,
    now: Timestamp,
    app: AppName,
    clusters: BTreeMap<ClusterName, Known>,
    approvals: Vec<StageApproval>,
    state: RolloutState,
    plan: RolloutPlan,
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

impl World {
    fn new(spec: &str) -> Self {
        let fleet = fleet(spec);
        let known = || Known { wanted: digest("1"), published: None, health: Health::Healthy, age: Some(Duration::ZERO), report: None };
        let clusters = fleet.clusters.keys().map(|name| (name.clone(), known())).collect();
        Self {
            fleet,
            now: Timestamp::from_second(1_800_000_000).expect("valid"),
            app: "web".parse().expect("valid"),
            clusters,
            approvals: Vec::new(),
            state: RolloutState::default(),
            plan: RolloutPlan::default(),
        }
    }

    /// A fleet in which release 1 is everywhere and well.
    fn settled(spec: &str) -> Self {
        let mut world = Self::new(spec);
        for known in world.clusters.values_mut() {
            known.published = Some(digest("1"));
        }
        world.report();
        world.look();
        world.pass(100_000);
        world
    }

    fn look(&mut self) {
        let members = self
            .clusters
            .iter()
            .map(|(name, known)| {
                let heard = known.age.map(|age| Heard { age, app: known.report.as_ref() });
                (name.clone(), Member { cluster: &self.fleet.clusters[name], wanted: known.wanted, published: known.published, heard })
            })
            .collect();
        let input = RolloutInput {
            now: self.now,
            app: &self.app,
            rollout: self.fleet.rollouts.values().next(),
            members: &members,
            approvers: &self.fleet.approvers,
            approvals: &self.approvals,
            state: &self.state,
        };
        self.plan = advance(&input);
        assert_eq!(advance(&input), self.plan, "the same look says the same");
        self.state = RolloutState::decode(&self.plan.state.encode()).expect("reads back");
        assert_eq!(self.state, self.plan.state);
        for (name, permission) in &self.plan.permissions {
            let known = self.clusters.get_mut(name).expect("known");
            if permission.waits.is_none() {
                known.published = Some(permission.release);
            }
        }
    }

    /// Every cluster that can be heard says how it is.
    fn report(&mut self) {
        for known in self.clusters.values_mut().filter(|known| known.age == Some(Duration::ZERO)) {
            let object = ObjectKey::new(GroupKind::new("apps", "Deployment"), Some("web"), "api");
            let reason = Reason::new(Severity::Error, "CrashLoop", "container api crashes");
            let sick = (known.health != Health::Healthy).then_some(ObjectState { object, health: known.health, reason: Some(reason) });
            known.report = known.published.map(|release| AppState {
                wanted: Some(release),
                applied: Some(release),
                health: known.health,
                reason: None,
                objects: 1,
                unhealthy: sick.into_iter().collect(),
                drift: Vec::new(),
                awaiting_approval: Vec::new(),
                withdrawn: Vec::new(),
                removed: false,
                taken_over: Vec::new(),
                test: None,
            });
        }
    }

    fn pass(&mut self, seconds: i64) {
        self.now = Timestamp::from_second(self.now.as_second() + seconds).expect("valid");
        self.report();
        self.look();
    }

    fn happens(&mut self, what: &str) {
        let (word, rest) = what.split_once(' ').unwrap_or((what, ""));
        let one = || rest.parse::<ClusterName>().expect("a cluster");
        match word {
            "want" => self.clusters.values_mut().for_each(|known| known.wanted = digest(rest)),
            "sick" => self.clusters.get_mut(&one()).expect("known").health = Health::Degraded,
            "well" => self.clusters.get_mut(&one()).expect("known").health = Health::Healthy,
            "lost" => self.clusters.get_mut(&one()).expect("known").age = Some(Duration::from_secs(90)),
            "stale" => self.clusters.get_mut(&one()).expect("known").age = Some(Duration::from_secs(30)),
            "back" => self.clusters.get_mut(&one()).expect("known").age = Some(Duration::ZERO),
            "approve" => {
                let shown = self.plan.permissions.values().find_map(|permission| match &permission.waits {
                    Some(Gate::StageApproval { digest, .. }) => Some(*digest),
                    _ => None,
                });
                let sanction = Sanction { by: rest.to_owned(), at: self.now };
                self.approvals.push(StageApproval { digest: shown.expect("a stage waits"), sanction });
            }
            "pass" => return self.pass(rest.parse().expect("seconds")),
            _ => panic!("nothing like it happens: {what}"),
        }
        self.report();
        self.look();
    }

    /// The release in each index, c0 first, and the gates of those that wait.
    fn text(&self) -> String {
        let name = |release: Option<Digest>| ["1", "2", "3"].into_iter().find(|text| Some(digest(text)) == release).unwrap_or("-");
        let words = self.clusters.iter().map(|(cluster, known)| match self.plan.permissions[cluster].waits.as_ref() {
            Some(gate) => format!("{}!{}", name(known.published), gate.code()),
            None => name(known.published).to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    fn gate(&self, cluster: &str) -> String {
        let name: ClusterName = cluster.parse().expect("a cluster");
        self.plan.permissions[&name].waits.as_ref().map_or(String::new(), ToString::to_string)
    }
}

fn play(mut world: World, story: &[(&str, &str)]) -> World {
    for (number, (what, expected)) in story.iter().enumerate() {
        world.happens(what);
        assert_eq!(world.text(), *expected, "step {number}: {what}");
    }
    world
}

const TWO_STAGES: &str = "  defaults: {soak: 60s, deadline: 10m}
  stages:
  - {name: canary, clusters: {matchLabels: {ring: canary}}}
  - {name: world, regions: ['*'], maxConcurrency: 2}
";

#[test]
fn without_a_rollout_all_clusters_move_at_once() {
    let mut world = World::settled(TWO_STAGES);
    world.fleet.rollouts.clear();
    world.state = RolloutState::default();
    play(world, &[("want 2", "2 2 2 2 2")]);
}

#[test]
fn stages_follow_each_other_after_a_soak_and_few_clusters_change_at_once() {
    let world = play(
        World::settled(TWO_STAGES),
        &[
            ("want 2", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
            ("pass 0", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
            ("pass 59", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
            ("pass 1", "2 2 2 1!StageBusy 1!StageBusy"),
            ("pass 0", "2 2 2 1!StageBusy 1!StageBusy"),
            ("pass 59", "2 2 2 1!StageBusy 1!StageBusy"),
            ("pass 1", "2 2 2 2 2"),
            ("pass 0", "2 2 2 2 2"),
        ],
    );
    assert!(!world.state.finished);
    let world = play(world, &[("pass 60", "2 2 2 2 2")]);
    assert!(world.state.finished);
}

#[test]
fn the_wake_is_the_end_of_the_soak_or_of_the_deadline() {
    let mut world = World::settled(TWO_STAGES);
    world.happens("want 2");
    world.pass(0);
    assert_eq!(world.plan.wake.map(|wake| wake.as_second() - world.now.as_second()), Some(60));
    world.happens("sick c0");
    assert_eq!(world.plan.wake.map(|wake| wake.as_second() - world.now.as_second()), Some(600));
}

#[test]
fn a_first_release_goes_through_the_stages_too() {
    play(
        World::new(TWO_STAGES),
        &[
            ("want 1", "1 -!StageWaits -!StageWaits -!StageWaits -!StageWaits"),
            ("pass 0", "1 -!StageWaits -!StageWaits -!StageWaits -!StageWaits"),
            ("pass 60", "1 1 1 -!StageBusy -!StageBusy"),
        ],
    );
}

#[test]
fn a_word_about_an_older_release_counts_for_nothing() {
    let mut world = World::settled(TWO_STAGES);
    world.happens("want 2");
    // The index went out and the cluster still speaks of release 1, healthy as it is there.
    for _ in 0..5 {
        world.now = Timestamp::from_second(world.now.as_second() + 60).expect("valid");
        world.look();
    }
    assert_eq!(world.text(), "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits");
    assert_eq!(world.gate("e1"), "stage world waits for stage canary: c0 has not applied the release");
}

#[test]
fn health_that_breaks_starts_the_soak_anew() {
    play(
        World::settled(TWO_STAGES),
        &[
            ("want 2", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
            ("pass 30", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
            ("sick c0", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
            ("well c0", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
            ("pass 59", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
            ("pass 1", "2 2 2 1!StageBusy 1!StageBusy"),
        ],
    );
}

#[test]
fn a_failure_holds_the_rollout_and_names_cluster_object_health_and_time() {
    let world = play(
        World::settled(TWO_STAGES),
        &[
            ("want 2", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
            ("sick c0", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
            ("pass 599", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
        ],
    );
    let since = world.state.clusters.values().filter_map(|progress| progress.moved).max().expect("moved");
    assert_eq!(
        world.gate("u2"),
        format!(
            "stage world waits for stage canary: c0 has Deployment.apps web/api Degraded, with the release since {since} (container api crashes)"
        )
    );
    let world = play(world, &[("pass 1", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits")]);
    // The fix is another release, and passes: what failed is not under way any more.
    let world = play(
        world,
        &[
            ("want 3", "3 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
            ("well c0", "3 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
            ("pass 60", "3 3 3 1!StageBusy 1!StageBusy"),
        ],
    );
    let world = play(
        world,
        &[
            ("sick e1", "3 3 3 1!StageBusy 1!StageBusy"),
            ("pass 600", "3 3 3 1!StageFailed 1!StageFailed"),
            // e2 has long been well, so that one more may change beside e1.
            ("well e1", "3 3 3 3 1!StageBusy"),
            ("pass 60", "3 3 3 3 3"),
        ],
    );
    assert!(world.state.taken_back.is_none());
}

#[test]
fn so_many_may_fail_as_the_stage_says() {
    play(
        World::settled("  defaults: {maxFailures: 1, deadline: 10s}\n  stages:\n  - {name: all, regions: ['*']}\n"),
        &[
            ("want 2", "2 1!StageBusy 1!StageBusy 1!StageBusy 1!StageBusy"),
            ("sick c0", "2 1!StageBusy 1!StageBusy 1!StageBusy 1!StageBusy"),
            ("pass 10", "2 2 1!StageBusy 1!StageBusy 1!StageBusy"),
            ("sick e1", "2 2 1!StageBusy 1!StageBusy 1!StageBusy"),
            ("pass 10", "2 2 1!StageFailed 1!StageFailed 1!StageFailed"),
        ],
    );
}

#[test]
fn a_failed_change_is_taken_back_everywhere_and_not_tried_again() {
    let spec = "  defaults: {deadline: 10s, onFailure: rollback}
  stages:
  - {name: canary, clusters: {matchLabels: {ring: canary}}}
  - {name: world, regions: ['*'], maxConcurrency: 1}
";
    let world = play(
        World::settled(spec),
        &[
            ("want 2", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
            ("pass 0", "2 2 1!StageBusy 1!StageBusy 1!StageBusy"),
            ("sick e1", "2 2 1!StageBusy 1!StageBusy 1!StageBusy"),
            ("pass 10", "1 1 1!RolledBack 1!RolledBack 1!RolledBack"),
            ("well e1", "1!RolledBack 1!RolledBack 1!RolledBack 1!RolledBack 1!RolledBack"),
            ("pass 1000", "1!RolledBack 1!RolledBack 1!RolledBack 1!RolledBack 1!RolledBack"),
            ("want 3", "3 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
            ("pass 0", "3 3 1!StageBusy 1!StageBusy 1!StageBusy"),
            ("pass 0", "3 3 3 1!StageBusy 1!StageBusy"),
            ("pass 0", "3 3 3 3 1!StageBusy"),
            ("pass 0", "3 3 3 3 3"),
            ("pass 0", "3 3 3 3 3"),
            // What breaks after the end is no failure of the change.
            ("sick u1", "3 3 3 3 3"),
            ("pass 1000", "3 3 3 3 3"),
        ],
    );
    assert!(world.state.finished);
}

#[test]
fn a_lost_cluster_is_waited_for_or_gone_on_without() {
    for (word, after) in [("wait", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"), ("skip", "2 2 1!ClusterLost 2 1!StageBusy")] {
        let spec = TWO_STAGES.replace("deadline", &format!("whenLost: {word}, deadline"));
        let mut world = World::settled(&spec);
        world.happens("want 2");
        world.happens("lost e2");
        world.happens("lost c0");
        world.pass(120);
        assert_eq!(world.text(), after, "{word}");
    }
    // One that is lost in the stage under way keeps no other from changing, and follows when it is back.
    play(
        World::settled(&TWO_STAGES.replace("soak: 60s", "soak: 0s")),
        &[
            ("lost e1", "1 1 1 1 1"),
            ("want 2", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
            ("pass 0", "2 1!ClusterLost 2 2 1!StageBusy"),
            ("pass 0", "2 1!ClusterLost 2 2 2"),
            ("stale u2", "2 1!ClusterLost 2 2 2"),
            ("back e1", "2 2 2 2 2"),
        ],
    );
}

#[test]
fn regions_follow_each_other_where_the_stage_says_so() {
    let spec = "  stages:\n  - {name: world, regions: ['*'], eachRegion: sequential, maxConcurrency: 100%}\n";
    let world =
        play(World::settled(spec), &[("want 2", "2 2 2 1!StageWaits 1!StageWaits"), ("sick e2", "2 2 2 1!StageWaits 1!StageWaits")]);
    assert!(world.gate("u1").starts_with("stage world goes region by region and waits for e2: has Deployment.apps web/api Degraded"));
    play(world, &[("well e2", "2 2 2 2 2")]);
}

#[test]
fn a_stage_waits_for_its_approvers_and_for_no_others() {
    let spec = "  stages:
  - {name: canary, clusters: {matchLabels: {ring: canary}}}
  - {name: world, regions: ['*'], maxConcurrency: 4, approval: {group: sre, count: 2, expires: 1h}}
";
    let waits = "2 1!StageApprovalNeeded 1!StageApprovalNeeded 1!StageApprovalNeeded 1!StageApprovalNeeded";
    play(
        World::settled(spec),
        &[
            ("want 2", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
            ("pass 0", waits),
            ("approve eve", waits),
            ("approve ann", waits),
            ("approve ann", waits),
            ("pass 3601", waits),
            ("approve bob", waits),
            ("approve ann", "2 2 2 2 2"),
            ("pass 9999", "2 2 2 2 2"),
            // It was an approval of that change and of no other.
            ("want 3", "3 2!StageWaits 2!StageWaits 2!StageWaits 2!StageWaits"),
            ("pass 0", "3 2!StageApprovalNeeded 2!StageApprovalNeeded 2!StageApprovalNeeded 2!StageApprovalNeeded"),
        ],
    );
}

#[test]
fn a_newer_change_waits_for_the_one_under_way_or_takes_its_place() {
    let story = |third| [("want 2", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"), ("want 3", third)];
    let replace = format!("{TWO_STAGES}  supersede: replace\n");
    play(World::settled(&replace), &story("3 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"));
    let queue = play(World::settled(TWO_STAGES), &story("2!Queued 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"));
    play(
        queue,
        &[
            ("pass 60", "2!Queued 2 2 1!StageBusy 1!StageBusy"),
            ("pass 60", "2!Queued 2!Queued 2!Queued 1!StageBusy 1!StageBusy"),
            ("pass 60", "2!Queued 2!Queued 2!Queued 2 2"),
            ("pass 1", "2!Queued 2!Queued 2!Queued 2!Queued 2!Queued"),
            ("pass 60", "3 2!StageWaits 2!StageWaits 2!StageWaits 2!StageWaits"),
        ],
    );
}

#[test]
fn what_has_not_begun_is_replaced_without_waiting() {
    let spec = "  stages:\n  - {name: world, regions: ['*'], maxConcurrency: 5, approval: {group: sre}}\n";
    let world = play(
        World::settled(spec),
        &[
            ("want 2", &["1!StageApprovalNeeded"; 5].join(" ")),
            ("want 3", &["1!StageApprovalNeeded"; 5].join(" ")),
            ("approve ann", "3 3 3 3 3"),
        ],
    );
    assert_eq!(world.state.target.values().collect::<BTreeSet<_>>(), BTreeSet::from([&digest("3")]));
}

#[test]
fn a_closed_stage_and_a_cluster_without_a_stage_say_so() {
    // The fleet language refuses a maxConcurrency of 0; should one come here all the same, it lets nobody move.
    let mut closed = World::settled(TWO_STAGES);
    closed.fleet.rollouts.values_mut().for_each(|rollout| rollout.stages[1].max_concurrency = hub_fleet::Share::Percent(0));
    let world = play(
        closed,
        &[
            ("want 2", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
            ("pass 0", "2 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits"),
            ("pass 60", "2 1!StageClosed 1!StageClosed 1!StageClosed 1!StageClosed"),
        ],
    );
    assert_eq!(world.gate("e1"), "stage world lets no cluster change: its maxConcurrency is 0");
    let canary_only = "  stages:\n  - {name: canary, clusters: {matchLabels: {ring: canary}}}\n";
    let mut world = World::settled(canary_only);
    world.happens("want 2");
    assert_eq!(world.text(), "2 1!NoStageTakesCluster 1!NoStageTakesCluster 1!NoStageTakesCluster 1!NoStageTakesCluster");
}

#[test]
fn measurements_are_refused_by_name_and_not_passed_over() {
    let mut world = World::settled(TWO_STAGES);
    let gate = hub_fleet::MetricGate {
        name: "p99".parse().expect("valid"),
        url: hub_fleet::Template::parse("http://prometheus").expect("valid"),
        query: "up".into(),
        min: None,
        max: None,
    };
    world.fleet.rollouts.values_mut().for_each(|rollout| rollout.stages[0].gates.push(gate.clone()));
    world.happens("want 2");
    assert_eq!(world.text(), "1!NotHonoured 1!StageWaits 1!StageWaits 1!StageWaits 1!StageWaits");
}
