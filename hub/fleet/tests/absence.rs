//! Absence is suspicious: what was planned before and is missing now is held, said, and forgotten only once it is approved.

use std::collections::BTreeMap;

use hub_fleet::{FLEET_BUDGET, Fleet, Known, Present, Suspicion, choose_path, place, read_fleet, resolve, suspicions};
use hub_tree::{Budget, MemoryTree, Reader, TreePath};
use shared_model::{AppName, ClusterName, Reason};

type Now = BTreeMap<(AppName, ClusterName), Present>;

const REGION: &str = "apiVersion: capstan.dev/v1\nkind: Region\nmetadata: {name: eu}\n";
const A: &str = "apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata: {name: a, labels: {ring: one}}\n";
const B: &str = "apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata: {name: b, labels: {ring: two}}\n";
const WEB: &str = "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {name: web}\nspec:\n  source: {path: {firstOf: [\"over/${cluster}\", base]}}\n  clusters: {matchExpressions: [{key: ring, operator: Exists}]}\n";

fn tree() -> MemoryTree {
    MemoryTree::of(&[
        ("regions/eu/region.yaml", REGION),
        ("regions/eu/a.yaml", A),
        ("regions/eu/b.yaml", B),
        ("apps/web/app.yaml", WEB),
        ("apps/web/base/x.yaml", "x"),
        ("apps/web/over/a/x.yaml", "x"),
    ])
}

fn path(text: &str) -> TreePath {
    TreePath::parse(text).expect("valid")
}

/// The fleet, and what its apps take: as many objects as the directory has files.
fn look(tree: &MemoryTree) -> (Fleet, Now) {
    let (fleet, _) = read_fleet(&Reader::new(tree, FLEET_BUDGET));
    let mut now = Now::new();
    for app in fleet.apps.values() {
        for cluster in place(&fleet, app).clusters {
            let resolved = resolve(&fleet, app, &fleet.clusters[&cluster]).expect("resolves");
            let reader = Reader::new(tree, Budget::RENDER);
            if let Ok(choice) = choose_path(&resolved, &reader) {
                let (_, entries) = reader.list(&choice.path).expect("readable").expect("a directory");
                let objects = entries.iter().filter(|entry| entry.name.ends_with(".yaml")).count();
                now.insert((app.name.clone(), cluster), Present { choice, objects: u32::try_from(objects).expect("few") });
            }
        }
    }
    (fleet, now)
}

fn known() -> Known {
    let (fleet, now) = look(&tree());
    let known = Known::default().after(&fleet, &now, &[]);
    assert_eq!(Known::decode(&known.encode()), Ok(known.clone()), "what is known survives its text");
    known
}

/// What is suspicious after `change`. Held, it must stay suspicious; approved, it must be forgotten.
fn after(change: impl FnOnce(&mut MemoryTree)) -> Vec<Suspicion> {
    let mut tree = tree();
    change(&mut tree);
    let (fleet, now) = look(&tree);
    let known = known();
    let found = suspicions(&known, &fleet, &now);
    let held = known.after(&fleet, &now, &found);
    assert_eq!(suspicions(&held, &fleet, &now), found, "a held suspicion stands");
    if found.iter().all(Suspicion::can_be_approved) {
        let approved = known.after(&fleet, &now, &[]);
        assert_eq!(suspicions(&approved, &fleet, &now), [], "an approved one is settled");
    }
    if !found.is_empty() {
        let (fleet, now) = look(&self::tree());
        assert_eq!(suspicions(&held, &fleet, &now), [], "what is back is no longer suspicious");
    }
    found
}

fn said(found: &[Suspicion]) -> Vec<String> {
    found.iter().map(|suspicion| Reason::from(suspicion).to_string()).collect()
}

#[test]
fn nothing_is_suspicious_about_the_same_fleet_or_an_ordinary_change() {
    assert_eq!(after(|_| {}), []);
    assert_eq!(after(|tree| tree.insert(path("apps/web/over/b/y.yaml"), "y".as_bytes())), [], "a more special directory");
    assert_eq!(after(|tree| tree.insert(path("regions/eu/c.yaml"), A.replace("name: a", "name: c").into_bytes())), [], "a new cluster");
    let moved = |tree: &mut MemoryTree| {
        tree.remove(&path("apps/web/app.yaml"));
        let text = WEB.replace("over/", "../web/over/").replace("base]", "../web/base]");
        tree.insert(path("apps/other/app.yaml"), text.into_bytes());
    };
    assert_eq!(after(moved), [], "an app that moved to another file");
    let longer = |tree: &mut MemoryTree| tree.insert(path("apps/web/app.yaml"), WEB.replace("[\"over", "[none, \"over").into_bytes());
    assert_eq!(after(longer), [], "the same directory at a later place of a longer list");
}

#[test]
fn a_choice_that_moves_to_a_later_directory_is_held() {
    let found = after(|tree| {
        tree.remove(&path("apps/web/over/a/x.yaml"));
    });
    assert_eq!(
        said(&found),
        ["PathMovedLater: app web on a would take apps/web/base in place of apps/web/over/a, which is gone or no longer named"]
    );
    let mistyped = |tree: &mut MemoryTree| tree.insert(path("apps/web/app.yaml"), WEB.replace("over/$", "ovre/$").into_bytes());
    assert_eq!(after(mistyped).len(), 1);
}

#[test]
fn a_selector_that_starts_to_match_nothing_is_held() {
    let found = after(|tree| tree.insert(path("apps/web/app.yaml"), WEB.replace("key: ring", "key: rnig").into_bytes()));
    assert_eq!(said(&found), ["MatchesNothing: app web matches no cluster any more; it runs on a, b"]);
}

#[test]
fn a_source_that_turns_empty_is_held() {
    let found = after(|tree| {
        tree.remove(&path("apps/web/base/x.yaml"));
        tree.insert(path("apps/web/base/.gitkeep"), "".as_bytes());
    });
    assert_eq!(said(&found), ["TurnedEmpty: nothing comes of apps/web/base for app web on b, where 1 objects came of its source before"]);
}

#[test]
fn an_app_or_a_cluster_that_disappears_is_held_and_a_cluster_orphans() {
    let found = after(|tree| tree.remove(&path("apps/web/app.yaml")));
    assert_eq!(said(&found), ["AppDisappeared: app web is gone, which apps/web/app.yaml defined; it runs on a, b"]);
    let found = after(|tree| tree.remove(&path("regions/eu/b.yaml")));
    assert_eq!(said(&found), ["ClusterDisappeared: cluster b is gone, which regions/eu/b.yaml defined; what runs there stays: web"]);
    let emptied = |tree: &mut MemoryTree| tree.insert(path("apps/web/app.yaml"), "# nothing\n".as_bytes());
    assert!(matches!(after(emptied)[..], [Suspicion::AppDisappeared { .. }]));
}

#[test]
fn all_clusters_gone_at_once_say_so_and_the_app_is_not_taken_for_unwanted() {
    let found = after(|tree| {
        tree.remove(&path("regions/eu/a.yaml"));
        tree.remove(&path("regions/eu/b.yaml"));
    });
    assert!(matches!(found[..], [Suspicion::ClusterDisappeared { .. }, Suspicion::ClusterDisappeared { .. }]), "{found:?}");
}

#[test]
fn what_cannot_be_read_is_undetermined_and_no_approval_lets_it_go() {
    let found = after(|tree| tree.insert(path("apps/web/app.yaml"), "a: [".as_bytes()));
    assert!(matches!(&found[..], [undetermined @ Suspicion::AppUndetermined { .. }] if !undetermined.can_be_approved()), "{found:?}");
    let elsewhere = after(|tree| {
        tree.remove(&path("apps/web/app.yaml"));
        tree.insert(path("apps/other/app.yaml"), "a: [".as_bytes());
    });
    assert!(matches!(elsewhere[..], [Suspicion::AppUndetermined { .. }]), "it may have moved there");
    let cluster = after(|tree| tree.insert(path("regions/eu/a.yaml"), "a: [".as_bytes()));
    assert!(matches!(cluster[..], [Suspicion::ClusterUndetermined { .. }]), "{cluster:?}");
}

#[test]
fn what_is_blocked_keeps_running_and_is_not_suspected() {
    let broken = |tree: &mut MemoryTree| tree.insert(path("apps/web/app.yaml"), format!("{WEB}  prune: maybe\n").into_bytes());
    assert_eq!(after(broken), []);
    let duplicate = |tree: &mut MemoryTree| tree.insert(path("regions/eu/again.yaml"), A.as_bytes());
    assert_eq!(after(duplicate), []);
    let region = |tree: &mut MemoryTree| tree.remove(&path("regions/eu/region.yaml"));
    assert_eq!(after(region), [], "its clusters are blocked, not gone");
}
