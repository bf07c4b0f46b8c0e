//! Every fixture in `cases/` gets the verdict that its first line says: the health, and the code of its reason.
#![expect(clippy::disallowed_methods, reason = "the cases are files; the crate itself reads none")]

use std::path::Path;

use shared_manifest::{YamlBudget, YamlMode, parse_yaml};

#[test]
fn every_fixture_gets_the_verdict_that_its_first_line_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(directory).expect("the cases are there") {
        let path = entry.expect("readable").path();
        let text = std::fs::read_to_string(&path).expect("readable");
        let expected = text.lines().next().and_then(|line| line.strip_prefix("# ")).expect("the first line is the verdict");
        let documents = parse_yaml(&text, YamlMode::Kubernetes, YamlBudget::MANIFEST).expect("valid");
        let verdict = agent_health::assess(&documents[0].value);
        let found = match &verdict.reason {
            Some(reason) => format!("{} {}", verdict.health, reason.code),
            None => verdict.health.to_string(),
        };
        if found != expected {
            wrong.push(format!("{}: expected {expected}, found {found}", path.display()));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 207, "only {count} cases were found");
}
