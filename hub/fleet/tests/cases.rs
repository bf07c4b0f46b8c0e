//! Fixture repositories in, expected problems and fleet out: one directory below `tests/cases` each, with the repository in `in/`. Set
//! `UPDATE_CASES=1` to write what comes out in place of comparing it, and read the difference.
#![expect(clippy::disallowed_methods, reason = "the fixtures are files, and an environment variable rewrites them")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use hub_fleet::{App, Apply, Conflicts, FLEET_BUDGET, Fleet, Problem, choose_path, place, read_fleet, resolve};
use hub_tree::{Budget, MemoryTree, Reader, TreePath};

#[test]
fn every_case_gives_its_problems_and_its_fleet() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let update = std::env::var("UPDATE_CASES").is_ok();
    let mut cases: Vec<PathBuf> = fs::read_dir(&root).expect("cases").map(|entry| entry.expect("entry").path()).collect();
    cases.sort();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let tree = load(&case.join("in"));
        let (fleet, problems) = read_fleet(&Reader::new(&tree, FLEET_BUDGET));
        for (file, text) in [("problems.txt", show_problems(&problems)), ("fleet.txt", show_fleet(&fleet, &tree))] {
            let path = case.join(file);
            if update {
                fs::write(&path, &text).expect("written");
            } else if fs::read_to_string(&path).unwrap_or_default() != text {
                wrong.push(format!("{}\n{text}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Files whose name ends with `.link` are symlinks to what they hold.
fn load(root: &Path) -> MemoryTree {
    let mut tree = MemoryTree::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                todo.push(path);
                continue;
            }
            let name = path.strip_prefix(root).expect("inside").to_str().expect("UTF-8");
            let bytes = fs::read(&path).expect("readable");
            match name.strip_suffix(".link") {
                Some(link) => tree.insert_link(TreePath::parse(link).expect("valid"), String::from_utf8(bytes).expect("UTF-8").trim()),
                None => tree.insert(TreePath::parse(name).expect("valid"), bytes),
            }
        }
    }
    tree
}

fn show_problems(problems: &[Problem]) -> String {
    let mut out = String::new();
    for problem in problems {
        let _ = writeln!(out, "{} {:?} {}\n  {}", problem.location(), problem.severity, problem.code, problem.message);
        if let Some(hint) = &problem.hint {
            let _ = writeln!(out, "  hint: {hint}");
        }
        if let Some(blocks) = &problem.blocks {
            let _ = writeln!(out, "  blocks: {blocks}");
        }
    }
    out
}

fn show_fleet(fleet: &Fleet, tree: &MemoryTree) -> String {
    let mut out = String::new();
    for (group, members) in &fleet.approvers {
        let _ = writeln!(out, "approvers {group}: {}", members.iter().cloned().collect::<Vec<_>>().join(", "));
    }
    for region in fleet.regions.values() {
        let _ = writeln!(out, "region {}", region.name);
    }
    for cluster in fleet.clusters.values() {
        let labels: Vec<String> = cluster.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let _ = writeln!(out, "cluster {} {}", cluster.name, labels.join(" "));
    }
    for project in fleet.projects.values() {
        let _ = writeln!(out, "project {}", project.name);
    }
    for rollout in fleet.rollouts.values() {
        let _ = writeln!(out, "rollout {} {:?}", rollout.name, rollout.supersede);
        for stage in &rollout.stages {
            let _ = writeln!(
                out,
                "  stage {} {:?} at most {} soak {:?} deadline {:?} failures {} {:?} {:?} approval {}",
                stage.name,
                stage.each_region,
                stage.max_concurrency,
                stage.soak,
                stage.deadline,
                stage.max_failures,
                stage.on_failure,
                stage.when_lost,
                stage.approval.as_ref().map_or("-".to_owned(), |a| format!("{} x{} for {:?}", a.group, a.count, a.expires)),
            );
        }
    }
    for app in fleet.apps.values() {
        show_app(&mut out, fleet, app, tree);
    }
    let blocked = &fleet.blocked;
    for (word, names) in [
        ("region", places(&blocked.regions)),
        ("cluster", places(&blocked.clusters)),
        ("project", places(&blocked.projects)),
        ("rollout", places(&blocked.rollouts)),
        ("app", places(&blocked.apps)),
    ] {
        for (name, at) in names {
            let _ = writeln!(out, "blocked {word} {name} by {at}");
        }
    }
    for gap in &fleet.incomplete {
        let _ = writeln!(out, "incomplete {}", gap.path);
    }
    out
}

fn places<N: ToString, L: ToString>(map: &std::collections::BTreeMap<N, L>) -> Vec<(String, String)> {
    map.iter().map(|(name, at)| (name.to_string(), at.to_string())).collect()
}

fn show_app(out: &mut String, fleet: &Fleet, app: &App, tree: &MemoryTree) {
    let _ = writeln!(
        out,
        "app {} prune {} heal {:?} delete {:?} create {} project {} rollout {}",
        app.name,
        app.prune,
        app.heal,
        app.on_delete,
        app.create_namespace,
        app.project.as_ref().map_or("-", |p| p.as_str()),
        app.rollout.as_ref().map_or("-", |r| r.as_str()),
    );
    if app.apply != Apply::Isolated {
        let _ = writeln!(out, "  applied {:?}", app.apply);
    }
    if app.conflicts != Conflicts::Force {
        let _ = writeln!(out, "  conflicts {:?}", app.conflicts);
    }
    for ignored in &app.ignore_differences {
        let _ = writeln!(out, "  {ignored:?}");
    }
    for expression in &app.health_check_exprs {
        let _ = writeln!(out, "  {expression:?}");
    }
    let placement = place(fleet, app);
    for name in &placement.clusters {
        let resolved = resolve(fleet, app, &fleet.clusters[name]).expect("a placed app resolves");
        let reader = Reader::new(tree, Budget::RENDER);
        let path = match choose_path(&resolved, &reader) {
            Ok(choice) => choice.path.to_string(),
            Err(error) => format!("({error})"),
        };
        let vars: Vec<String> = resolved.vars.iter().map(|(key, value)| format!(" {key}={value}")).collect();
        let _ = writeln!(out, "  on {name} in {} from {path}{}", resolved.namespace.as_deref().unwrap_or("-"), vars.join(""));
        if let Some(account) = &resolved.service_account {
            let _ = writeln!(out, "    as {account}");
        }
        if app.kustomize != hub_fleet::KustomizeLayers::default() {
            let _ = writeln!(out, "    {:?}", resolved.kustomize);
        }
        if let Some(helm) = &resolved.helm {
            let _ = writeln!(out, "    {helm:?}");
        }
        if let Some(post_build) = &resolved.post_build {
            let _ = writeln!(out, "    {post_build:?}");
        }
    }
    for (cluster, at) in &placement.held {
        let _ = writeln!(out, "  held on {cluster} by {at}");
    }
}
