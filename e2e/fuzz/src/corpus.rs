//! The inputs that are kept: written by hand or once found (`seeds/`), found by libFuzzer and minimised (`corpus/`), and the project's own test
//! data turned into inputs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use shared_manifest::{Value, YamlBudget, YamlMode, parse_yaml};

use crate::{Target, archive, sections};

/// Test data that is made of trees with kustomizations: a folder, and how its trees lie in it.
const GOLDEN: &str = "../../hub/kustomize/tests/golden";
/// Texts and objects with variables, and what Flux makes of them: a case a line.
const SUBSTITUTED: &str = "../../hub/render/tests/substitute";
/// Templates and what Helm makes of them: a case behind each `> `.
const TEMPLATES: &str = "../../hub/helm/tests/cases";
/// Charts, each in its folder `chart`.
const CHARTS: &str = "../../hub/helm/tests/charts";
/// Apps of the demo.
const DEMO: &str = "../demo/fleet/apps";

/// One input and where it comes from.
#[derive(Debug, Clone)]
pub struct Input {
    /// The file or case.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

/// All inputs of a target in the order of their names.
///
/// # Errors
/// A folder that cannot be read.
pub fn inputs(target: Target) -> anyhow::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for kind in ["seeds", "corpus"] {
        let folder = home().join(kind).join(target.name());
        if folder.exists() {
            inputs.extend(files_below(&folder)?.into_iter().map(|(name, bytes)| Input { name: format!("{kind}/{target}/{name}"), bytes }));
        }
    }
    inputs.extend(from_test_data(target)?);
    Ok(inputs)
}

/// Writes what is kept apart from the corpus into `folder`, one file each, for libFuzzer to begin with.
///
/// # Errors
/// A folder that cannot be read or written.
pub fn write_seeds(target: Target, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let corpus = format!("corpus/{target}/");
    for input in inputs(target)?.into_iter().filter(|input| !input.name.starts_with(&corpus)) {
        let file = folder.join(input.name.replace('/', "-"));
        fs::write(&file, input.bytes).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn from_test_data(target: Target) -> anyhow::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    match target {
        Target::Yaml => {
            for folder in [GOLDEN, DEMO] {
                let files = files_below(&home().join(folder))?;
                let texts = files.into_iter().filter(|(name, _)| name.ends_with(".yaml"));
                inputs.extend(texts.map(|(name, bytes)| Input { name, bytes }));
            }
        }
        Target::Kustomization => {
            for case in folders_in(&home().join(GOLDEN))? {
                let directory =
                    fs::read_to_string(case.join("target")).with_context(|| format!("cannot read {}/target", case.display()))?;
                inputs.push(tree(&case.join("in"), directory.trim())?);
            }
            for app in folders_in(&home().join(DEMO))? {
                for overlay in folders_in(&app.join("overlays")).unwrap_or_default() {
                    let name = overlay.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    inputs.push(tree(&app, &format!("overlays/{name}"))?);
                }
            }
        }
        Target::Substitute => {
            for (name, bytes) in files_below(&home().join(SUBSTITUTED))? {
                let text = String::from_utf8(bytes).with_context(|| format!("{name} is no text"))?;
                for (at, line) in text.lines().enumerate() {
                    let name = format!("{name}:{}", at + 1);
                    let case = parse_yaml(line, YamlMode::Kustomize, YamlBudget::MANIFEST).with_context(|| name.clone())?;
                    let case = case.first().with_context(|| format!("{name} is empty"))?;
                    inputs.push(Input { bytes: substitution(&case.value), name });
                }
            }
        }
        Target::Template => {
            for (name, bytes) in files_below(&home().join(TEMPLATES))?.into_iter().filter(|(name, _)| name.ends_with(".txt")) {
                let text = String::from_utf8(bytes).with_context(|| format!("{name} is no text"))?;
                let values: String = text.lines().filter_map(|line| line.strip_prefix("~ ")).map(|line| format!("{line}\n")).collect();
                for (at, case) in text.lines().enumerate().filter_map(|(at, line)| Some((at, line.strip_prefix("> ")?))) {
                    let files = [("template".to_owned(), case.into()), ("values".to_owned(), values.clone().into_bytes())];
                    inputs.push(Input { name: format!("{name}:{}", at + 1), bytes: sections::join(&files) });
                }
            }
        }
        Target::Chart | Target::Archive => {
            for case in folders_in(&home().join(CHARTS))? {
                let files = files_below(&case.join("chart"))?;
                let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let bytes = match target {
                    Target::Chart => sections::join(&files),
                    _ => archive::tar(files.iter().map(|(name, content)| (format!("chart/{name}"), &content[..]))),
                };
                inputs.push(Input { name, bytes });
            }
        }
        Target::Patch => {}
    }
    Ok(inputs)
}

/// A case of a substitution as an input.
fn substitution(case: &Value) -> Vec<u8> {
    let object = case["object"].as_str().or_else(|| case["text"].as_str()).unwrap_or_default();
    let values = case["variables"].as_object().into_iter().flatten();
    let lines = values.map(|(name, value)| format!("{name}={}\n", value.as_str().unwrap_or_default().replace('\n', "")));
    let mut files = vec![("object".to_owned(), object.into()), ("variables".to_owned(), lines.collect::<String>().into_bytes())];
    if case["strict"] == true {
        files.push(("strict".to_owned(), Vec::new()));
    }
    sections::join(&files)
}

/// The tree in a folder as an input; what lies in `directory` itself comes first, because the first file says what is built.
fn tree(folder: &Path, directory: &str) -> anyhow::Result<Input> {
    let mut files = files_below(folder)?;
    let own = |path: &str| path.rsplit_once('/').map_or("", |(directory, _)| directory) == directory.trim_matches(['.', '/']);
    files.sort_by_key(|(path, _)| !own(path));
    ensure!(files.first().is_some_and(|(path, _)| own(path)), "{}: nothing lies in {directory}", folder.display());
    let case = folder.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    let folder = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Input { name: format!("{case}/{folder}/{directory}"), bytes: sections::join(&files) })
}

/// Every file below a folder, by its path from there.
fn files_below(folder: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in entries(&next)? {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
            files.push((name, fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?));
        }
    }
    files.sort();
    Ok(files)
}

fn folders_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut paths: Vec<PathBuf> =
        entries.with_context(|| format!("cannot read {}", folder.display()))?.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    Ok(paths)
}
