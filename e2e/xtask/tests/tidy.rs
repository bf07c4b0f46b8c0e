//! The project keeps its own rules, and each rule of tidy finds what breaks it: every file in `tidy_cases` is a small workspace that is laid
//! over the one in `clean.txt`, with the findings it must give.

use std::path::Path;
use std::process::{Command, Output};

const CLEAN: &str = include_str!("tidy_cases/clean.txt");
const PURE_CLIPPY: &str = include_str!("../src/tidy/pure-clippy.toml");
/// Marks what stands for itself in a case, because the rules read the cases too.
const PLACEHOLDERS: [(&str, &str); 2] = [("$PURE_CLIPPY", PURE_CLIPPY), ("$MACHINE", concat!("/wo", "rk"))];
/// The content of a file that is taken away.
const GONE: &str = "$GONE\n";

fn xtask(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_e2e-xtask")).args(arguments).output().expect("xtask runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The files of a case in the order in which they stand, the findings last.
fn sections(case: &str) -> Vec<(String, String)> {
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in case.lines() {
        let name = line.strip_prefix("-- ").and_then(|line| line.strip_suffix(" --"));
        match (name, sections.last_mut()) {
            (Some(name), _) => sections.push((name.to_owned(), String::new())),
            (None, Some((_, content))) => *content += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    for (_, content) in &mut sections {
        for (placeholder, meaning) in PLACEHOLDERS {
            *content = content.replace(&format!("{placeholder}\n"), meaning).replace(placeholder, meaning);
        }
    }
    sections
}

fn write_tree(root: &Path, files: &[(String, String)]) {
    for (path, content) in files {
        let path = root.join(path);
        if content == GONE {
            std::fs::remove_file(path).expect("a file to take away");
            continue;
        }
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
        std::fs::write(path, content).expect("the file can be written");
    }
}

/// What tidy finds in a case, and what it should.
fn found_and_wanted(case: &str) -> (String, String) {
    let tree = tempfile::tempdir().expect("a temporary directory");
    let (mut files, mut wanted) = (sections(CLEAN), String::new());
    files.retain(|(name, _)| name != "findings");
    write_tree(tree.path(), &files);
    let mut files = sections(case);
    if let Some((name, findings)) = files.pop() {
        assert_eq!(name, "findings", "a case ends with its findings");
        wanted = findings;
    }
    write_tree(tree.path(), &files);
    let output = xtask(&["tidy", &tree.path().to_string_lossy()]);
    let found = text(&output.stdout);
    assert_eq!(output.status.success(), found.is_empty(), "{}", text(&output.stderr));
    (found, wanted)
}

#[test]
fn this_project_is_tidy() {
    let output = xtask(&["tidy"]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn each_case_gives_its_findings() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tidy_cases");
    let mut cases: Vec<_> = std::fs::read_dir(cases).expect("the cases").map(|case| case.expect("a case").path()).collect();
    cases.sort();
    let mut wrong = Vec::new();
    for case in cases {
        let (found, wanted) = found_and_wanted(&std::fs::read_to_string(&case).expect("a case"));
        if found != wanted {
            wrong.push(format!("{}\nfound:\n{found}wanted:\n{wanted}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_schema_that_is_changed_missing_or_left_over_is_stale_until_written_again() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().to_string_lossy().into_owned();
    let stale = |expected: &[&str]| {
        let output = xtask(&["schemas", "--check", &path]);
        let found = text(&output.stdout);
        assert_eq!(output.status.success(), expected.is_empty(), "{found}");
        let found: Vec<&str> = found.lines().filter_map(|line| line.strip_prefix(&format!("{path}/"))).collect();
        assert_eq!(found, expected);
    };
    assert!(xtask(&["schemas", &path]).status.success());
    stale(&[]);
    std::fs::write(folder.path().join("app.json"), "{}").expect("written");
    std::fs::write(folder.path().join("pig.json"), "{}").expect("written");
    std::fs::remove_file(folder.path().join("region.json")).expect("removed");
    stale(&["app.json:1: it is not what the parser reads by", "pig.json:1: no kind has this schema", "region.json:1: it is missing"]);
    assert!(xtask(&["schemas", &path]).status.success());
    stale(&[]);
}
