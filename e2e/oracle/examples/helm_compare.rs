//! Renders every chart below some folders with each of its `ci/*.yaml` values, with the real Helm and with Capstan, and tells where they differ:
//! `helm_compare [--cache FOLDER] [--quiet] FOLDER...`. Helm's answers are kept in the cache, so that the next run only takes as long as ours.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use e2e_oracle::HelmPrograms;
use hub_helm::{Calendar, Chance, Chart, Request, Scope, Show, ValuesLayer, template};
use hub_tree::{Budget, MemoryTree, Reader, TreePath};
use serde::Deserialize;

/// Charts and the charts in them that are looked for this deep.
const DEPTH: usize = 6;

/// How much of a difference is shown.
const SHOWN: usize = 400;

/// What came of one chart with one set of values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    SameBytes,
    SameObjects,
    /// The lines that differ do so between two runs of Helm too.
    SameButForChance,
    BothRefuse,
    BothRefuseOtherwise(String),
    OnlyHelmRefuses(String),
    OnlyWeRefuse(String),
    Differs(String),
}

impl Outcome {
    fn is_equal(&self) -> bool {
        matches!(self, Self::SameBytes | Self::SameObjects | Self::SameButForChance | Self::BothRefuse)
    }
}

struct Comparison {
    helm: PathBuf,
    cache: Option<PathBuf>,
}

fn main() -> Result<()> {
    let (mut cache, mut quiet, mut folders) = (None, false, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--cache" => cache = Some(PathBuf::from(arguments.next().context("--cache needs a folder")?)),
            "--quiet" => quiet = true,
            _ => folders.push(PathBuf::from(argument).canonicalize()?),
        }
    }
    if folders.is_empty() {
        bail!("name folders with charts");
    }
    let comparison = Comparison { helm: HelmPrograms::find()?.helm, cache };
    let (mut totals, mut charts_equal, mut charts) = (BTreeMap::<&str, usize>::new(), 0, 0);
    for folder in &folders {
        let mut found = Vec::new();
        find_charts(folder, 0, &mut found)?;
        for chart in found {
            let outcomes = comparison.chart(&chart)?;
            let name = chart.strip_prefix(folder).unwrap_or(&chart).display().to_string();
            let equal = outcomes.iter().filter(|(_, outcome)| outcome.is_equal()).count();
            charts += 1;
            charts_equal += usize::from(equal == outcomes.len());
            if !quiet || equal < outcomes.len() {
                println!("{} {name}: {equal} of {}", if equal == outcomes.len() { "=" } else { "!" }, outcomes.len());
            }
            for (set, outcome) in outcomes {
                let (kind, detail) = match &outcome {
                    Outcome::SameBytes => ("same bytes", None),
                    Outcome::SameObjects => ("same objects", None),
                    Outcome::SameButForChance => ("same but for chance", None),
                    Outcome::BothRefuse => ("both refuse", None),
                    Outcome::BothRefuseOtherwise(detail) => ("both refuse, otherwise", Some(detail)),
                    Outcome::OnlyHelmRefuses(detail) => ("only Helm refuses", Some(detail)),
                    Outcome::OnlyWeRefuse(detail) => ("only we refuse", Some(detail)),
                    Outcome::Differs(detail) => ("differs", Some(detail)),
                };
                *totals.entry(kind).or_default() += 1;
                if let Some(detail) = detail {
                    println!("    {set}: {kind}\n      {}", detail.trim_end().replace('\n', "\n      "));
                }
            }
        }
    }
    println!("\n{charts_equal} of {charts} charts are rendered equally with all their values");
    for (kind, count) in totals {
        println!("{count:6} {kind}");
    }
    Ok(())
}

/// Folders with a `Chart.yaml` that lie in no chart.
fn find_charts(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    if folder.join("Chart.yaml").is_file() {
        found.push(folder.to_owned());
        return Ok(());
    }
    if depth < DEPTH {
        let mut inside: Vec<PathBuf> =
            fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
        inside.sort();
        inside.iter().try_for_each(|path| find_charts(path, depth + 1, found))?;
    }
    Ok(())
}

impl Comparison {
    /// What comes of a chart with its own values and with each file in `ci/`.
    fn chart(&self, folder: &Path) -> Result<Vec<(String, Outcome)>> {
        let mut sets = vec![("its own values".to_owned(), None)];
        if let Ok(entries) = fs::read_dir(folder.join("ci")) {
            let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
            files.sort();
            sets.extend(files.into_iter().map(|file| (file.file_name().unwrap_or_default().to_string_lossy().into_owned(), Some(file))));
        }
        let loaded = load(folder);
        sets.into_iter().map(|(name, file)| Ok((name, self.outcome(folder, file.as_deref(), &loaded)?))).collect()
    }

    fn outcome(&self, folder: &Path, values: Option<&Path>, loaded: &std::result::Result<Chart, String>) -> Result<Outcome> {
        let theirs = self.helm(folder, values, 0)?;
        let ours = loaded.clone().and_then(|chart| render(&chart, values));
        Ok(match (theirs, ours) {
            (Ok(theirs), Ok(ours)) if theirs == ours => Outcome::SameBytes,
            (Ok(theirs), Ok(ours)) => {
                if objects(&theirs).is_ok_and(|theirs| objects(&ours).is_ok_and(|ours| theirs == ours)) {
                    Outcome::SameObjects
                } else if self.helm(folder, values, 1)?.is_ok_and(|again| differ_alike(&theirs, &again, &ours)) {
                    Outcome::SameButForChance
                } else {
                    Outcome::Differs(first_difference(&theirs, &ours))
                }
            }
            // Ours may say more: what to do.
            (Err(theirs), Err(ours)) if ours.contains(last_part(&theirs).rsplit(": ").next().unwrap_or_default()) => Outcome::BothRefuse,
            (Err(theirs), Err(ours)) => Outcome::BothRefuseOtherwise(format!("Helm: {}\nhere: {}", short(&theirs), short(&ours))),
            (Err(theirs), Ok(_)) => Outcome::OnlyHelmRefuses(short(&theirs)),
            (Ok(_), Err(ours)) => Outcome::OnlyWeRefuse(short(&ours)),
        })
    }

    /// What Helm prints, the first or second time it is asked.
    fn helm(&self, folder: &Path, values: Option<&Path>, time: usize) -> Result<std::result::Result<String, String>> {
        let key =
            format!("{}+{}+{time}", folder.display(), values.map_or(String::new(), |path| path.display().to_string())).replace('/', "_");
        let kept = self.cache.as_ref().map(|cache| cache.join(key));
        if let Some(text) = kept.as_ref().and_then(|path| fs::read_to_string(path).ok()) {
            return Ok(match text.strip_prefix("refused\n") {
                Some(message) => Err(message.to_owned()),
                None => Ok(text),
            });
        }
        let mut command = Command::new(&self.helm);
        command.env("TZ", "UTC").args(["template", "demo"]).arg(folder).args(["--namespace", "apps"]);
        if let Some(values) = values {
            command.arg("--values").arg(values);
        }
        let output = command.output().context("cannot start helm")?;
        let answer = if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let from = said.rfind("Error: ").map_or(0, |at| at + "Error: ".len());
            Err(said[from..].replace("\n\nUse --debug flag to render out invalid YAML", ""))
        };
        if let Some(path) = kept {
            fs::create_dir_all(path.parent().context("a cache has a folder")?)?;
            fs::write(
                path,
                match &answer {
                    Ok(text) => text.clone(),
                    Err(message) => format!("refused\n{message}"),
                },
            )?;
        }
        Ok(answer)
    }
}

fn load(folder: &Path) -> std::result::Result<Chart, String> {
    let mut tree = MemoryTree::new();
    add(&mut tree, folder, &TreePath::root()).map_err(|error| error.to_string())?;
    Chart::load(&Reader::new(&tree, Budget::RENDER), &TreePath::root()).map_err(|error| error.to_string())
}

fn add(tree: &mut MemoryTree, folder: &Path, path: &TreePath) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let child = path.child(entry.file_name().to_str().context("a name that is no UTF-8")?);
        let place = entry.path();
        if place.is_dir() {
            add(tree, &place, &child)?;
        } else if let Ok(bytes) = fs::read(&place) {
            tree.insert(child, bytes);
        }
    }
    Ok(())
}

fn render(chart: &Chart, values: Option<&Path>) -> std::result::Result<String, String> {
    let mut request = Request::new("demo", "apps");
    let midnight = 1_767_225_600; // 2026-01-01
    let scope = Scope { app: "comparison", cluster: "", release: "demo" };
    request.chance = Some(Chance::new(&[7; 32], &scope, Calendar { anchor: midnight, today: midnight }));
    if let Some(file) = values {
        let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
        request.values = vec![ValuesLayer::File { name: file.display().to_string(), text }];
    }
    let templated = template(chart, &request).map_err(|error| error.to_string())?;
    templated.to_text(&Show::default()).map_err(|error| error.to_string())
}

fn objects(text: &str) -> Result<Vec<serde_yaml::Value>> {
    let documents: std::result::Result<Vec<_>, _> = serde_yaml::Deserializer::from_str(text).map(serde_yaml::Value::deserialize).collect();
    Ok(documents?.into_iter().filter(|object| !object.is_null()).collect())
}

/// Whether `ours` differs from `theirs` only in lines in which Helm differs from itself.
fn differ_alike(theirs: &str, again: &str, ours: &str) -> bool {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (theirs, again, ours) = (lines(theirs), lines(again), lines(ours));
    theirs.len() == again.len()
        && theirs.len() == ours.len()
        && (0..theirs.len()).all(|line| theirs[line] == ours[line] || theirs[line] != again[line])
}

fn first_difference(theirs: &str, ours: &str) -> String {
    let (mut left, mut right) = (theirs.split('\n'), ours.split('\n'));
    let mut source = "";
    for line in 1.. {
        let (one, other) = (left.next(), right.next());
        if let Some(place) = one.and_then(|one| one.strip_prefix("# Source: ")) {
            source = place;
        }
        if one != other || one.is_none() {
            let show = |line: Option<&str>| line.map_or("(nothing more)".to_owned(), short);
            return format!("line {line} in {source}\nHelm: {}\nhere: {}", show(one), show(other));
        }
    }
    String::new()
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}... {}", &text[..at], last_part(text).chars().take(SHOWN).collect::<String>()),
        None => text.to_owned(),
    }
}

/// The last line of a message.
fn last_part(message: &str) -> &str {
    message.trim_end().lines().last().unwrap_or_default().trim()
}
