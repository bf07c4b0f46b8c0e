//! Loading, values, dependencies, objects, hooks and errors as the real Helm 4.2.4 has them: each file in `rendering/` is a chart with the flags of
//! one `helm template rel chart`, and at its end what Helm printed or said. Files in `x.tgz/` are packed into an archive. Messages may say more than
//! Helm's, and where a parser of YAML speaks it has its own words.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use hub_helm::{Calendar, Capabilities, Chance, Chart, KubeVersion, Request, Scope, Show, ValuesLayer, template};
use hub_tree::{Budget, MemoryTree, Reader, TreePath};

struct Case {
    flags: String,
    files: BTreeMap<String, Vec<u8>>,
    expected: Result<String, String>,
}

#[test]
fn every_chart_is_rendered_or_refused_as_helm_does_it() {
    let (mut count, mut wrong) = (0, Vec::new());
    let mut paths: Vec<_> =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rendering").read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        count += 1;
        #[expect(clippy::disallowed_methods, reason = "the cases are files")]
        let text = std::fs::read_to_string(&path).unwrap();
        let case = read(&text);
        let answer = run(&case);
        let is_equal = match (&case.expected, &answer) {
            (Ok(theirs), Ok(ours)) => theirs == ours,
            (Err(theirs), Err(ours)) => says(ours, theirs),
            _ => false,
        };
        if !is_equal {
            wrong.push(format!("{}\n--- Helm\n{}\n--- here\n{}", path.display(), shown(&case.expected), shown(&answer)));
        }
    }
    assert!(count > 80, "{count} cases");
    assert!(wrong.is_empty(), "{} of {count}\n\n{}", wrong.len(), wrong.join("\n\n"));
}

fn shown(answer: &Result<String, String>) -> String {
    answer.clone().unwrap_or_else(|error| format!("error: {error}"))
}

/// Whether `ours` says everything that Helm's message does.
fn says(ours: &str, theirs: &str) -> bool {
    theirs.lines().all(|line| {
        let line = line.trim();
        let wanted = line.split("yaml: ").next().unwrap_or(line);
        ours.contains(wanted)
    })
}

fn read(text: &str) -> Case {
    let mut case = Case { flags: String::new(), files: BTreeMap::new(), expected: Ok(String::new()) };
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        let name = line.trim_end().strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --"));
        match (name, sections.last_mut()) {
            (Some(name), _) => sections.push((name.to_owned(), String::new())),
            (None, Some((_, body))) => body.push_str(line),
            (None, None) => case.flags = line.strip_prefix("flags: ").unwrap_or_default().to_owned(),
        }
    }
    for (name, body) in sections {
        match name.as_str() {
            "expected" => case.expected = Ok(body),
            "error" => case.expected = Err(body),
            _ => {
                case.files.insert(name, body.into_bytes());
            }
        }
    }
    pack(&mut case.files);
    case
}

/// Packs what lies in `x.tgz/`, the innermost archive first.
fn pack(files: &mut BTreeMap<String, Vec<u8>>) {
    while let Some(archive) =
        files.keys().filter_map(|name| Some(name[..name.rfind(".tgz/")? + 4].to_owned())).max_by_key(|name| name.matches(".tgz").count())
    {
        let mut tar = Vec::new();
        let inside: Vec<String> = files.keys().filter(|name| name.starts_with(&format!("{archive}/"))).cloned().collect();
        for name in inside {
            let data = files.remove(&name).unwrap();
            let mut header = [0; 512];
            let short = &name[archive.len() + 1..];
            header[..short.len()].copy_from_slice(short.as_bytes());
            header[100..108].copy_from_slice(b"0000644\0");
            header[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
            header[156] = b'0';
            header[148..156].copy_from_slice(b"        ");
            let sum: u32 = header.iter().copied().map(u32::from).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            tar.extend_from_slice(&header);
            tar.extend_from_slice(&data);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.resize(tar.len() + 1024, 0);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&tar).unwrap();
        files.insert(archive, gzip.finish().unwrap());
    }
}

fn run(case: &Case) -> Result<String, String> {
    let mut tree = MemoryTree::new();
    for (name, data) in &case.files {
        tree.insert(TreePath::parse(name).unwrap(), data.as_slice());
    }
    let (request, show) = request(case);
    let reader = Reader::new(&tree, Budget::RENDER);
    let chart = Chart::load(&reader, &TreePath::parse("chart").unwrap()).map_err(|error| error.to_string())?;
    let rendered = template(&chart, &request).map_err(|error| error.to_string())?;
    // What is kept after the first render must not show.
    assert_eq!(template(&chart, &request).as_ref(), Ok(&rendered));
    rendered.to_text(&show).map_err(|error| error.to_string())
}

fn request(case: &Case) -> (Request, Show) {
    let (mut request, mut show) = (Request::new("rel", "default"), Show::default());
    let mut layers: Vec<(u8, ValuesLayer)> = Vec::new();
    let mut capabilities = Capabilities::assumed();
    let flags = words(&case.flags);
    let mut flags = flags.iter().map(String::as_str);
    while let Some(flag) = flags.next() {
        let mut value = || flags.next().unwrap().to_owned();
        match flag {
            "-f" => {
                let name = value();
                let text = String::from_utf8(case.files[&name].clone()).unwrap();
                layers.push((0, ValuesLayer::File { name, text }));
            }
            "--set-json" => layers.push((1, ValuesLayer::SetJson(value()))),
            "--set" => layers.push((2, ValuesLayer::Set(value()))),
            "--set-string" => layers.push((3, ValuesLayer::SetString(value()))),
            "--set-literal" => layers.push((5, ValuesLayer::SetLiteral(value()))),
            "-n" => request.namespace = value(),
            "-s" => show.only.push(value()),
            "--include-crds" => request.include_crds = true,
            "--is-upgrade" => request.is_upgrade = true,
            "--skip-schema-validation" => request.skip_schema = true,
            "--no-hooks" => show.no_hooks = true,
            "--skip-tests" => show.skip_tests = true,
            "--kube-version" => capabilities = capabilities.with_kube_version(KubeVersion::parse(&value()).unwrap()),
            "-a" => capabilities = capabilities.with_api_versions(value().split(',').map(str::to_owned)),
            other => panic!("{other}"),
        }
    }
    layers.sort_by_key(|(order, _)| *order);
    request.values = layers.into_iter().map(|(_, layer)| layer).collect();
    request.capabilities = capabilities;
    let scope = Scope { app: "app", cluster: "", release: "rel" };
    request.chance = Some(Chance::new(&[1; 32], &scope, Calendar { anchor: 1_700_000_000, today: 1_700_000_000 }));
    (request, show)
}

/// The words of a command line, as a shell takes them apart: with quotes of both kinds and backslashes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = line.trim().chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, ' ') => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (Some(open), letter) if letter == open => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(letters.next()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}
