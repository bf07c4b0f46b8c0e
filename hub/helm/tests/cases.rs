//! The table of cases: what templates and functions give, as Helm says it. `e2e/oracle/helm-record.sh` writes the answers of the real Helm 4.2.4
//! into the files in `cases/`, and `e2e/oracle/tests/helm.rs` checks that they are still its answers; the form of the files is told in
//! `e2e/oracle/helm-go/cases.go`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use hub_helm::{Calendar, Capabilities, Chance, Chart, KubeVersion, Request, Scope, ValuesLayer, template};
use hub_tree::{Budget, MemoryTree, Reader, TreePath};

/// Where the template of a case lies in its chart: what it gives is neither read as YAML nor trimmed.
const TEMPLATE: &str = "templates/NOTES.txt";

/// Behind this stands what a YAML parser says.
const YAML: &str = "error converting YAML to JSON: yaml:";

/// How many differences are shown.
const SHOWN: usize = 200;

#[derive(Debug)]
struct Case {
    place: String,
    template: String,
    values: String,
    /// Files of its chart beside those of all cases.
    files: BTreeMap<String, String>,
    expected: Answer,
    /// Why it is answered otherwise here.
    differs: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Output(String),
    Error(String),
}

#[test]
fn every_case_is_answered_as_helm_answers_it() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let chart = read_chart(&folder.join("chart"));
    let (mut count, mut equal_errors, mut errors, mut on_purpose, mut wrong) = (0, 0, 0, 0, Vec::new());
    for file in files(&folder) {
        for case in cases(&file) {
            count += 1;
            let answer = answer(&case, &chart);
            let equal = match (&case.expected, &answer) {
                (Answer::Output(theirs), Answer::Output(ours)) => theirs == ours,
                (Answer::Error(theirs), Answer::Error(ours)) => {
                    errors += 1;
                    equal_errors += usize::from(theirs == ours);
                    last_part(theirs) == last_part(ours)
                }
                _ => false,
            };
            match (equal, &case.differs) {
                (true, None) => {}
                (false, Some(_)) => on_purpose += 1,
                (true, Some(_)) => wrong.push(format!("{}: answered as Helm answers it now: remove its %", case.place)),
                (false, None) => {
                    wrong.push(format!("{}\n  {}\n  Helm: {:?}\n  here: {:?}", case.place, case.template, case.expected, answer));
                }
            }
        }
    }
    println!("{count} cases, {} wrong, {on_purpose} differ on purpose; {equal_errors} of {errors} refusals are the same text", wrong.len());
    assert!(count >= 3_500, "{count} cases");
    assert!(wrong.is_empty(), "{} of {count} wrong\n{}", wrong.len(), wrong[..wrong.len().min(SHOWN)].join("\n"));
}

/// The last line of a message: what went wrong, without the templates around it; and without what a YAML parser says in its own words.
fn last_part(message: &str) -> &str {
    let message = message.find(YAML).map_or(message, |at| &message[..at + YAML.len()]);
    message.trim_end().lines().last().unwrap_or_default().trim()
}

fn answer(case: &Case, chart: &BTreeMap<String, String>) -> Answer {
    let mut tree = MemoryTree::new();
    for (path, text) in chart.iter().chain(&case.files).chain([(&TEMPLATE.to_owned(), &case.template)]) {
        tree.insert(TreePath::parse(path).expect("a path"), text.as_bytes());
    }
    let result = Chart::load(&Reader::new(&tree, Budget::RENDER), &TreePath::root()).map_err(|error| error.to_string());
    let result = result.and_then(|chart| template(&chart, &request(&case.values)).map_err(|error| error.to_string()));
    match result {
        Ok(templated) => Answer::Output(templated.notes.unwrap_or_default()),
        Err(message) => Answer::Error(message),
    }
}

/// As the recorder asks.
fn request(values: &str) -> Request {
    let mut request = Request::new("rel", "ns");
    request.values = vec![ValuesLayer::File { name: "values.yaml".into(), text: values.into() }];
    request.capabilities = Capabilities::assumed()
        .with_kube_version(KubeVersion::parse("v1.31.2").expect("a version"))
        .with_api_versions(["example.com/v1", "example.com/v1/Thing"].map(str::to_owned));
    request.chance = Some(chance());
    request
}

/// The files of cases in `folder`, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = folder.read_dir().expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    found.sort();
    found
}

fn read_chart(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in directory.read_dir().expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let inside = path.strip_prefix(root).expect("inside").to_str().expect("UTF-8").to_owned();
                found.insert(inside, read(&path));
            }
        }
    }
    found
}

#[expect(clippy::disallowed_methods, reason = "a test reads its cases")]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cases of one file.
fn cases(file: &Path) -> Vec<Case> {
    let text = read(file);
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (mut cases, mut values, mut files, mut path): (Vec<Case>, _, BTreeMap<String, String>, _) =
        (Vec::new(), String::new(), BTreeMap::new(), String::new());
    let mut template = None;
    let mut after_gap = true;
    for (number, mark, lines) in blocks(&text) {
        let said = || said(&lines);
        match mark {
            Some('~') => values = said(),
            Some('@') => {
                if after_gap {
                    files.clear();
                }
                path = said().trim().to_owned();
                files.insert(path.clone(), String::new());
            }
            Some('|') => {
                files.insert(path.clone(), said() + "\n");
            }
            Some('>') => template = Some((number, said())),
            Some('%') => cases.last_mut().expect("a case before its %").differs = Some(said()),
            Some(mark) => {
                let (number, template) = template.take().unwrap_or_else(|| panic!("{name}:{number}: an answer without a template"));
                let expected = if mark == '=' { Answer::Output(said()) } else { Answer::Error(said()) };
                let place = format!("{name}:{number}");
                cases.push(Case { place, template, values: values.clone(), files: files.clone(), expected, differs: None });
            }
            None => {}
        }
        after_gap = mark.is_none();
        assert!(mark.is_some() || template.is_none(), "{name}:{number}: a template without an answer: run e2e/oracle/helm-record.sh");
    }
    cases
}

/// Lines that follow each other and begin alike, with the number of the first.
fn blocks(text: &str) -> Vec<(usize, Option<char>, Vec<&str>)> {
    let mut found: Vec<(usize, Option<char>, Vec<&str>)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mark = line.chars().next().filter(|first| "~@|>=!%".contains(*first));
        match found.last_mut() {
            Some((_, last, lines)) if *last == mark && mark != Some('@') => lines.push(line),
            _ => found.push((index + 1, mark, vec![line])),
        }
    }
    found
}

/// What the lines of a block say behind their marks.
fn said(lines: &[&str]) -> String {
    if let [line] = lines
        && line[1..].starts_with('"')
    {
        return serde_json::from_str(&line[1..]).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let line = &line[1..];
        // Writing to a String cannot fail.
        let _ = write!(text, "{}{}", if index > 0 { "\n" } else { "" }, line.strip_prefix(' ').unwrap_or(line));
    }
    text
}

fn chance() -> Chance {
    let midnight = 1_767_225_600; // 2026-01-01
    Chance::new(&[7; 32], &Scope { app: "cases", cluster: "", release: "" }, Calendar { anchor: midnight, today: midnight })
}
