//! That the answers in `hub/helm/tests` are those of the real Helm, and that the table of cases knows all of its functions. That they are ours as
//! well is tested there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e_oracle::{HelmAnswer, HelmOracle, HelmPrograms, must_not_skip, note_skip};
use serde_json::json;

/// The programs, or `None` if this test is skipped.
fn programs() -> Option<HelmPrograms> {
    match HelmPrograms::find() {
        Ok(programs) => Some(programs),
        Err(missing) if must_not_skip() => panic!("{missing}"),
        Err(missing) => {
            note_skip(&missing);
            None
        }
    }
}

fn tests_of_helm() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hub/helm/tests")
}

fn check(programs: &HelmPrograms, what: &str) {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("helm-record.sh"));
    command.args(["--check", what]).env("CAPSTAN_HELM_ORACLE_DIR", programs.helm.parent().expect("a folder"));
    let output = command.output().expect("bash runs");
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    assert!(output.status.success(), "run e2e/oracle/helm-record.sh and look at what changed\n{said}");
    println!("{said}");
}

#[test]
fn the_answers_in_the_table_of_cases_are_those_of_helm() {
    let Some(programs) = programs() else { return };
    check(&programs, "cases");
}

#[test]
fn the_renders_of_our_charts_are_those_of_helm() {
    let Some(programs) = programs() else { return };
    check(&programs, "charts");
}

#[test]
fn every_function_of_helm_has_cases() {
    let Some(programs) = programs() else { return };
    let mut oracle = HelmOracle::start(&programs.oracle).expect("the oracle starts");
    let answer = oracle.ask(&json!({"op": "functions"})).expect("an answer");
    let functions: Vec<&str> = answer["functions"].as_array().expect("a list").iter().filter_map(|name| name.as_str()).collect();
    assert!(functions.len() >= 240, "{answer}");
    let mut called = BTreeSet::new();
    for entry in tests_of_helm().join("cases").read_dir().expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let text = std::fs::read_to_string(&path).expect("a file of cases");
            let templates = text
                .lines()
                .filter(|line| line.starts_with('>'))
                .flat_map(|line| line.split(|letter: char| !letter.is_alphanumeric() && letter != '_'));
            called.extend(templates.map(str::to_owned));
        }
    }
    let missing: Vec<&str> = functions.into_iter().filter(|name| !called.contains(*name)).collect();
    assert!(missing.is_empty(), "no case calls {missing:?}");
}

#[test]
fn the_resident_library_prints_what_the_command_prints() {
    let Some(programs) = programs() else { return };
    let mut oracle = HelmOracle::start(&programs.oracle).expect("the oracle starts");
    let chart = tests_of_helm().join("charts/web/chart").canonicalize().expect("the chart").display().to_string();
    let arguments = ["template", "demo", &chart, "--namespace", "apps"].map(str::to_owned);
    let printed = Command::new(&programs.helm).args(&arguments).output().expect("helm runs");
    assert_eq!(oracle.run(&arguments).expect("an answer"), HelmAnswer::Given(String::from_utf8(printed.stdout).expect("UTF-8")));
    let refused = oracle.run(&["template", "demo", "/nowhere", "--namespace", "apps"].map(str::to_owned)).expect("an answer");
    assert!(matches!(refused, HelmAnswer::Refused(_)), "{refused:?}");
}
