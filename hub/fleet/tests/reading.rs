//! Reading a fleet from trees that fail, from changed trees, and from text that nobody meant.

use hub_fleet::{App, Blocks, FLEET_BUDGET, FleetFiles, ProblemCode, WhyNot, place, read_fleet, why_not};
use hub_tree::{Budget, Content, Entry, Lookup, MemoryTree, ReadSet, Reader, SourceTree, TreePath};
use proptest::prelude::*;

const FILES: [(&str, &str); 6] = [
    (
        "fleet.yaml",
        "apiVersion: capstan.dev/v1\nkind: Fleet\nmetadata: {name: f}\nspec:\n  defaults: {prune: true}\n  approverGroups: [{name: sre, members: [ada]}]\n",
    ),
    (
        "regions/eu/region.yaml",
        "apiVersion: capstan.dev/v1\nkind: Region\nmetadata: {name: eu, labels: {tier: prod}}\nspec: {vars: {host: \"${cluster}.example\"}}\n",
    ),
    ("regions/eu/a.yaml", "apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata:\n  name: a\n  labels: {ring: one}\n"),
    (
        "rollouts/r.yaml",
        "apiVersion: capstan.dev/v1\nkind: Rollout\nmetadata: {name: r}\nspec:\n  defaults: {soak: 15m, maxConcurrency: 25%}\n  stages:\n  - {name: all, regions: [\"*\"], approval: {group: sre, count: 2}}\n",
    ),
    (
        "projects/p.yaml",
        "apiVersion: capstan.dev/v1\nkind: Project\nmetadata: {name: p}\nspec: {sources: [fleet], namespaces: [\"*\"], regions: [\"*\"]}\n",
    ),
    (
        "apps/web/app.yaml",
        "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {name: web}\nspec:\n  project: p\n  namespace: web-${region}\n  source: {path: {firstOf: [\"over/${cluster}\", base]}}\n  clusters: {matchLabels: {ring: one}}\n  vars: {url: \"https://${vars.host}\"}\n  rollout: r\n  ignoreDifferences: [{group: apps, kind: Deployment, jsonPointers: [/spec/replicas]}]\n",
    ),
];

fn path(text: &str) -> TreePath {
    TreePath::parse(text).expect("valid")
}

/// A tree in which one path cannot be read.
struct Failing {
    tree: MemoryTree,
    at: TreePath,
}

impl Failing {
    fn answer<T>(&self, path: &TreePath, answer: Lookup<T>) -> Lookup<T> {
        if *path == self.at { Lookup::Unreadable("the object is missing".to_owned()) } else { answer }
    }
}

impl SourceTree for Failing {
    fn entry(&self, path: &TreePath) -> Lookup<Entry> {
        self.tree.entry(path)
    }

    fn list(&self, path: &TreePath) -> Lookup<Vec<Entry>> {
        self.answer(path, self.tree.list(path))
    }

    fn content(&self, path: &TreePath, limit: u64) -> Lookup<Content> {
        self.answer(path, self.tree.content(path, limit))
    }
}

#[test]
fn the_files_of_these_tests_are_without_problems() {
    let (fleet, problems) = read_fleet(&Reader::new(&MemoryTree::of(&FILES), FLEET_BUDGET));
    assert_eq!(problems, []);
    assert_eq!(fleet.apps.len(), 1);
}

#[test]
fn what_cannot_be_read_leaves_a_gap_and_is_never_absent() {
    for at in ["apps", "apps/web", "apps/web/app.yaml", "regions/eu", "regions/eu/a.yaml"] {
        let tree = Failing { tree: MemoryTree::of(&FILES), at: path(at) };
        let (fleet, problems) = read_fleet(&Reader::new(&tree, FLEET_BUDGET));
        let problem = problems.iter().find(|problem| problem.code == ProblemCode::Unreadable).expect("a problem");
        assert_eq!((&problem.file, &problem.blocks), (&path(at), &Some(Blocks::File(path(at)))));
        assert_eq!(fleet.incomplete.iter().map(|gap| gap.path.as_str()).collect::<Vec<_>>(), [at]);
    }
}

#[test]
fn without_the_defaults_every_app_stands_still() {
    let tree = Failing { tree: MemoryTree::of(&FILES), at: path("fleet.yaml") };
    let (fleet, _) = read_fleet(&Reader::new(&tree, FLEET_BUDGET));
    assert!(fleet.apps.is_empty());
    assert_eq!(fleet.blocked.apps.keys().map(|app| app.as_str()).collect::<Vec<_>>(), ["web"]);
}

#[test]
fn a_budget_ends_the_reading_with_one_problem() {
    let budget = Budget { reads: 4, ..FLEET_BUDGET };
    let (fleet, problems) = read_fleet(&Reader::new(&MemoryTree::of(&FILES), budget));
    assert_eq!(problems.iter().filter(|problem| problem.code == ProblemCode::Unreadable).count(), 1, "{problems:?}");
    assert_eq!(fleet.incomplete.len(), 1);
}

#[test]
fn files_parsed_before_give_the_same_fleet_and_the_same_read_set() {
    let mut files = FleetFiles::new();
    let mut tree = MemoryTree::of(&FILES);
    for step in 0..3 {
        let (fresh, kept) = (Reader::new(&tree, FLEET_BUDGET), Reader::new(&tree, FLEET_BUDGET));
        assert_eq!(files.read(&kept), read_fleet(&fresh), "step {step}");
        assert_eq!(kept.into_read_set(), fresh.into_read_set());
        match step {
            0 => tree.insert(path("apps/api/app.yaml"), FILES[5].1.replace("name: web", "name: api").into_bytes()),
            _ => tree.remove(&path("apps/web/app.yaml")),
        }
    }
    assert_eq!(files.len(), 6, "a file that is gone is not kept");
}

#[test]
fn the_read_set_sees_a_new_app_and_not_the_content_of_one() {
    let before = MemoryTree::of(&FILES);
    let reader = Reader::new(&before, FLEET_BUDGET);
    read_fleet(&reader);
    let set: ReadSet = reader.into_read_set();
    assert!(set.still_holds(&before));
    for (file, holds) in
        [("apps/api/app.yaml", false), ("fleet.yml", false), ("projects/q.yaml", false), ("README.md", true), ("src/app.yaml", true)]
    {
        let mut after = before.clone();
        after.insert(path(file), "x: 1".as_bytes());
        assert_eq!(set.still_holds(&after), holds, "{file}");
    }
}

#[test]
fn every_no_has_a_reason() {
    let mut files = FILES.to_vec();
    files.push(("regions/eu/b.yaml", "apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata: {name: b, labels: {ring: two}}\n"));
    files.push(("regions/eu/c.yaml", "apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata: {name: c}\nspec: {x: 1}\n"));
    files.push(("apps/bad/app.yaml", "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {name: bad}\n"));
    files.push((
        "apps/pair/app.yaml",
        "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {name: pair}\nspec: {source: {path: \"${vars.x}\"}, clusters: {}}\n",
    ));
    let (fleet, _) = read_fleet(&Reader::new(&MemoryTree::of(&files), FLEET_BUDGET));
    let why = |app: &str, cluster: &str| why_not(&fleet, &app.parse().expect("valid"), &cluster.parse().expect("valid"));
    assert_eq!(why("web", "a"), None);
    let not_wanted = why("web", "b").expect("a reason");
    assert_eq!(not_wanted.to_string(), "the app does not want the cluster: ring=one is asked for, and its label ring is \"two\"");
    assert!(matches!(why("web", "c"), Some(WhyNot::ClusterBlocked(_))));
    assert!(matches!(why("bad", "a"), Some(WhyNot::AppBlocked(_))));
    assert!(matches!(why("pair", "a"), Some(WhyNot::PairBlocked(_))));
    assert!(matches!(why("gone", "a"), Some(WhyNot::NoSuchApp(_))));
    assert!(matches!(why("web", "gone"), Some(WhyNot::NoSuchCluster(_))));
    let held: Vec<String> = place(&fleet, &fleet.apps[&"pair".parse().expect("valid")]).held.keys().map(ToString::to_string).collect();
    assert_eq!(held, ["a", "b", "c"]);
}

/// Whether an app is where it must be: either in the fleet, or blocked, or hidden by a gap, and a problem says why.
fn accounted(name: &str, fleet: &hub_fleet::Fleet) -> bool {
    let name = name.parse().expect("valid");
    fleet.apps.contains_key(&name) || fleet.blocked.apps.contains_key(&name) || !fleet.incomplete.is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn mutated_text_never_panics_and_problems_point_into_the_file(
        which in 0..FILES.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..5_usize, 0..24_usize), 1..6),
    ) {
        const PIECES: [&str; 24] = [
            "", ":", "- ", "{", "}", "[", "]", "\"", "'", "${", "}", "\n", "  ", "\t", "null", "true", "0", "-1", "&a ", "*a", "<<: ", "!!int ", "---\n", "é",
        ];
        let mut text = FILES[which].1.to_owned();
        for (at, remove, piece) in edits {
            let places: Vec<usize> = text.char_indices().map(|(place, _)| place).chain([text.len()]).collect();
            let from = at.index(places.len());
            let to = (from + remove).min(places.len() - 1);
            text.replace_range(places[from]..places[to], PIECES[piece]);
        }
        let mut tree = MemoryTree::of(&FILES);
        tree.insert(path(FILES[which].0), text.as_bytes());
        let reader = Reader::new(&tree, FLEET_BUDGET);
        let (fleet, problems) = read_fleet(&reader);
        for problem in &problems {
            prop_assert!(problem.line >= 1 && problem.column >= 1);
            prop_assert!(!problem.message.starts_with("BUG"), "{}", problem);
            if problem.file.as_str() == FILES[which].0 {
                prop_assert!(problem.line as usize <= text.lines().count() + 1, "{}", problem);
            }
        }
        if which != 5 {
            prop_assert!(accounted("web", &fleet), "{:?}", problems);
        }
        let apps: Vec<&App> = fleet.apps.values().collect();
        for app in apps {
            for cluster in place(&fleet, app).clusters {
                prop_assert!(hub_fleet::resolve(&fleet, app, &fleet.clusters[&cluster]).is_ok(), "a placed app resolves");
            }
        }
    }
}
