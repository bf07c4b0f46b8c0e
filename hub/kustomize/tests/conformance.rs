//! Every case of the conformance folder against what the real kustomize printed. `not-yet.txt` lists the cases that are known to fail, with the
//! reason; a case on the list that passes fails the test, so that the list only shrinks.

mod cases;

use std::collections::BTreeMap;
use std::path::PathBuf;

const NOT_YET: &str = include_str!("not-yet.txt");

#[expect(clippy::disallowed_methods, reason = "a test is told where its cases are")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn not_yet() -> BTreeMap<&'static str, &'static str> {
    let lines = NOT_YET.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(": ").expect("a line of not-yet.txt is `case: reason`")).collect()
}

#[test]
fn what_kustomize_builds_is_built_and_what_it_refuses_is_refused() {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let folder = variable("CAPSTAN_CONFORMANCE").map_or(default, PathBuf::from).join("kustomize");
    if !folder.is_dir() {
        assert!(variable("CI").is_none_or(|value| value != "true"), "{} is missing; set CAPSTAN_CONFORMANCE", folder.display());
        println!("skipped: {} is missing; set CAPSTAN_CONFORMANCE", folder.display());
        return;
    }
    let mut names: Vec<PathBuf> = folder.read_dir().expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    names.sort();
    let listed = not_yet();
    let (mut passed, mut wrong) = (0, Vec::new());
    for case in names.iter().filter(|path| path.join("target").exists()) {
        let name = case.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        match (cases::failure(case), listed.get(name)) {
            (None, None) => passed += 1,
            (Some(_), Some(_)) => {}
            (None, Some(_)) => wrong.push(format!("{name} passes now: remove it from not-yet.txt")),
            (Some(failure), None) => wrong.push(format!("{name}: {failure}")),
        }
    }
    for name in listed.keys().filter(|name| !folder.join(name).is_dir()) {
        wrong.push(format!("{name} is listed in not-yet.txt and is no case"));
    }
    println!("kustomize conformance: {passed} passed, {} failed, {} listed as not yet, {} in all", wrong.len(), listed.len(), names.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
