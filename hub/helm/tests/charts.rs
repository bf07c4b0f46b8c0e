//! The project's own charts, which between them use what public charts use. Each has sets of values with the arguments of `helm template` in a
//! file, one a line; `e2e/oracle/helm-record.sh` writes what the real Helm 4.2.4 makes of them, `expected.yaml` or `expected-error.txt`.

use std::path::{Path, PathBuf};

use hub_helm::{Calendar, Capabilities, Chance, Chart, KubeVersion, Request, Scope, Show, ValuesLayer, template};
use hub_tree::{Budget, MemoryTree, Reader, TreePath};

/// Behind this stands what a YAML parser says.
const YAML: &str = "error converting YAML to JSON: yaml:";

/// A chart and one set of values.
struct Set {
    chart: PathBuf,
    folder: PathBuf,
}

#[test]
fn every_chart_is_rendered_as_helm_renders_it() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/charts");
    let (mut charts, mut count, mut wrong) = (0, 0, Vec::new());
    for chart in folders(&folder) {
        charts += 1;
        for set in folders(&chart.join("sets")) {
            count += 1;
            let name = set.strip_prefix(&folder).expect("inside").display().to_string();
            // Why a set is answered otherwise on purpose.
            let differs = set.join("differs.txt").exists();
            match difference(&Set { chart: chart.join("chart"), folder: set }) {
                Some(difference) if !differs => wrong.push(format!("{name}: {difference}")),
                None if differs => wrong.push(format!("{name} is answered as Helm answers it now: remove its differs.txt")),
                _ => {}
            }
        }
    }
    println!("{charts} charts, {count} renders, {} wrong", wrong.len());
    assert!(charts >= 12 && count >= 60, "{charts} charts, {count} renders");
    assert!(wrong.is_empty(), "{} of {count}\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn a_chart_is_rendered_the_same_each_time() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/charts/secrets");
    let set = Set { chart: folder.join("chart"), folder: folder.join("sets/generated") };
    assert_eq!(rendered(&set), rendered(&set));
}

/// How what is rendered here differs from what is expected.
fn difference(set: &Set) -> Option<String> {
    let refusal = set.folder.join("expected-error.txt");
    match (rendered(set), refusal.exists()) {
        (Ok(text), false) => first_difference(&String::from_utf8_lossy(&read(&set.folder.join("expected.yaml"))), &text),
        (Err(message), true) => {
            let expected = String::from_utf8_lossy(&read(&refusal)).into_owned();
            (last_part(&expected) != last_part(&message)).then(|| format!("refused otherwise\n  Helm: {expected}\n  here: {message}"))
        }
        (Ok(text), true) => Some(format!("rendered, though Helm says: {}\n{text}", String::from_utf8_lossy(&read(&refusal)))),
        (Err(message), false) => Some(format!("refused: {message}")),
    }
}

fn first_difference(theirs: &str, ours: &str) -> Option<String> {
    if theirs == ours {
        return None;
    }
    let (mut left, mut right) = (theirs.split('\n'), ours.split('\n'));
    for line in 1.. {
        match (left.next(), right.next()) {
            (one, other) if one == other => {}
            (one, other) => return Some(format!("line {line}\n  Helm: {one:?}\n  here: {other:?}")),
        }
    }
    None
}

/// The last line of a message: what went wrong, without the templates around it; and without what a YAML parser says in its own words.
fn last_part(message: &str) -> &str {
    let message = message.find(YAML).map_or(message, |at| &message[..at + YAML.len()]);
    message.trim_end().lines().last().unwrap_or_default().trim()
}

fn rendered(set: &Set) -> Result<String, String> {
    let mut tree = MemoryTree::new();
    add(&mut tree, &set.chart, &TreePath::root());
    let chart = Chart::load(&Reader::new(&tree, Budget::RENDER), &TreePath::root()).map_err(|error| error.to_string())?;
    let mut request = Request::new("demo", "apps");
    request.chance = Some(chance());
    let mut show = Show::default();
    let mut layers = Vec::new();
    for argument in String::from_utf8(read(&set.folder.join("arguments"))).expect("UTF-8").lines() {
        take(argument, &set.folder, &mut request, &mut layers, &mut show);
    }
    // Helm takes files first, then the others kind by kind.
    layers.sort_by_key(|(rank, _)| *rank);
    request.values = layers.into_iter().map(|(_, layer)| layer).collect();
    let templated = template(&chart, &request).map_err(|error| error.to_string())?;
    templated.to_text(&show).map_err(|error| error.to_string())
}

/// Takes one argument of `helm template`.
fn take(argument: &str, folder: &Path, request: &mut Request, layers: &mut Vec<(usize, ValuesLayer)>, show: &mut Show) {
    let (flag, value) = argument.split_once('=').unwrap_or((argument, ""));
    let text = |name: &str| String::from_utf8(read(&folder.join(name))).expect("UTF-8");
    match flag {
        "--values" => layers.push((0, ValuesLayer::File { name: value.into(), text: text(value) })),
        "--set-json" => layers.push((1, ValuesLayer::SetJson(value.into()))),
        "--set" => layers.push((2, ValuesLayer::Set(value.into()))),
        "--set-string" => layers.push((3, ValuesLayer::SetString(value.into()))),
        "--set-file" => {
            for (key, file) in hub_helm::split_set_file(value).expect("a key and a file") {
                layers.push((4, ValuesLayer::SetFile { key, content: read(&folder.join(file)) }));
            }
        }
        "--set-literal" => layers.push((5, ValuesLayer::SetLiteral(value.into()))),
        "--kube-version" => {
            request.capabilities = request.capabilities.clone().with_kube_version(KubeVersion::parse(value).expect("a version"));
        }
        "--api-versions" => request.capabilities = Capabilities::with_api_versions(request.capabilities.clone(), [value.to_owned()]),
        "--include-crds" => request.include_crds = true,
        "--is-upgrade" => request.is_upgrade = true,
        "--no-hooks" => show.no_hooks = true,
        "--skip-tests" => show.skip_tests = true,
        "--show-only" => show.only.push(value.into()),
        _ => panic!("{}: no argument {argument}", folder.display()),
    }
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = parent.read_dir().unwrap_or_else(|error| panic!("{}: {error}", parent.display()));
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn add(tree: &mut MemoryTree, directory: &Path, path: &TreePath) {
    for entry in directory.read_dir().unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
        let entry = entry.expect("a directory entry");
        let child = path.child(entry.file_name().to_str().expect("UTF-8"));
        if entry.path().is_dir() {
            add(tree, &entry.path(), &child);
        } else {
            tree.insert(child, read(&entry.path()));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test reads its cases")]
fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn chance() -> Chance {
    let midnight = 1_767_225_600; // 2026-01-01
    Chance::new(&[7; 32], &Scope { app: "charts", cluster: "", release: "" }, Calendar { anchor: midnight, today: midnight })
}
