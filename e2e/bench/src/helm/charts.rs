//! The charts that are measured, how Capstan renders them, and which of them come out as Helm has them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow, bail};
use hub_helm::{Calendar, Chance, Chart, Request, Scope, Show, ValuesLayer, template};
use hub_source::FilesystemTree;
use hub_tree::{Budget, MemoryTree, Reader, TreePath};

use super::programs::Programs;

/// Charts are looked for this deep.
const DEPTH: usize = 6;

/// The release and the namespace of all renders.
pub(super) const RELEASE: &str = "demo";
pub(super) const NAMESPACE: &str = "apps";

/// A chart with one set of values.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) chart: PathBuf,
    pub(super) values: Option<PathBuf>,
    /// What the values say.
    text: Option<String>,
}

impl Target {
    fn new(chart: &Path, values: Option<PathBuf>) -> anyhow::Result<Self> {
        let text = values.as_ref().map(fs::read_to_string).transpose().with_context(|| format!("cannot read {values:?}"))?;
        Ok(Self { chart: chart.to_owned(), values, text })
    }

    /// The arguments of `helm template` and `capstan template`.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments =
            vec!["template".into(), RELEASE.into(), self.chart.display().to_string(), "--namespace".into(), NAMESPACE.into()];
        if let Some(values) = &self.values {
            arguments.extend(["--values".into(), values.display().to_string()]);
        }
        arguments
    }

    /// The values as Helm's engine is asked with.
    pub(super) fn values_text(&self) -> Vec<&str> {
        self.text.iter().map(String::as_str).collect()
    }

    pub(super) fn request(&self) -> Request {
        let mut request = request();
        request.values = self.text.iter().map(|text| ValuesLayer::File { name: "values.yaml".into(), text: text.clone() }).collect();
        request
    }

    pub(super) fn name(&self) -> String {
        let values = self.values.as_ref().and_then(|path| path.file_name()).map(|name| format!(" with {}", name.to_string_lossy()));
        format!("{}{}", self.chart.display(), values.unwrap_or_default())
    }

    /// The chart as a tree in memory, for loading it again and again.
    pub(super) fn tree(&self) -> anyhow::Result<MemoryTree> {
        let mut tree = MemoryTree::new();
        add(&mut tree, &self.chart, &TreePath::root())?;
        Ok(tree)
    }
}

/// A request without values of its own.
pub(super) fn request() -> Request {
    let mut request = Request::new(RELEASE, NAMESPACE);
    let midnight = 1_767_225_600; // 2026-01-01
    let scope = Scope { app: "benchmark", cluster: "", release: RELEASE };
    request.chance = Some(Chance::new(&[7; 32], &scope, Calendar { anchor: midnight, today: midnight }));
    request
}

/// Loads the chart that `tree` is.
pub(super) fn load(tree: &dyn hub_tree::SourceTree) -> anyhow::Result<Chart> {
    Ok(Chart::load(&Reader::new(tree, Budget::RENDER), &TreePath::root())?)
}

/// What `helm template` would print.
pub(super) fn render(chart: &Chart, request: &Request) -> anyhow::Result<String> {
    Ok(template(chart, request)?.to_text(&Show::default())?)
}

/// The charts below `folders`, or the project's own, each with its own values and with those beside it.
pub(super) fn targets(folders: &[PathBuf]) -> anyhow::Result<Vec<Target>> {
    let own = [Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hub/helm/tests/charts")];
    let folders = if folders.is_empty() { &own[..] } else { folders };
    let mut targets = Vec::new();
    for folder in folders {
        find(&folder.canonicalize().with_context(|| format!("no directory {}", folder.display()))?, 0, &mut targets)?;
    }
    if targets.is_empty() {
        bail!("no chart is in {folders:?}");
    }
    Ok(targets)
}

fn find(folder: &Path, depth: usize, targets: &mut Vec<Target>) -> anyhow::Result<()> {
    if folder.join("Chart.yaml").is_file() {
        targets.push(Target::new(folder, None)?);
        let mut sets = below(&folder.join("ci"));
        // The project's own charts have their values beside them.
        sets.extend(below(&folder.join("../sets")).iter().flat_map(|set| below(set)).filter(|file| file.ends_with("values.yaml")));
        sets.retain(|file| file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
        for file in sets {
            targets.push(Target::new(folder, Some(file))?);
        }
    } else if depth < DEPTH {
        below(folder).iter().filter(|path| path.is_dir()).try_for_each(|path| find(path, depth + 1, targets))?;
    }
    Ok(())
}

/// What is in `folder`, sorted; nothing if there is none.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.sort();
    found
}

fn add(tree: &mut MemoryTree, folder: &Path, path: &TreePath) -> anyhow::Result<()> {
    for place in below(folder) {
        let child = path.child(place.file_name().and_then(|name| name.to_str()).context("a name that is no text")?);
        if place.is_dir() {
            add(tree, &place, &child)?;
        } else if let Ok(bytes) = fs::read(&place) {
            tree.insert(child, bytes);
        }
    }
    Ok(())
}

/// The targets that Helm renders and Capstan renders with as many lines, equal but for those that chance is in; and what is left out, with why.
pub(super) fn comparable(programs: &Programs, targets: Vec<Target>) -> anyhow::Result<(Vec<Target>, Vec<String>)> {
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for target in targets {
        match compare(programs, &target) {
            Ok(None) => kept.push(target),
            Ok(Some(why)) => left_out.push(format!("{}: {why}", target.name())),
            Err(error) => return Err(error.context(target.name())),
        }
    }
    Ok((kept, left_out))
}

/// Why the target is not measured.
fn compare(programs: &Programs, target: &Target) -> anyhow::Result<Option<String>> {
    let run = || -> anyhow::Result<Option<String>> {
        let output = Command::new(&programs.helm).env("TZ", "UTC").args(target.arguments()).output().context("cannot start helm")?;
        Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
    };
    let Some(theirs) = run()? else { return Ok(Some("Helm refuses it".to_owned())) };
    let tree = FilesystemTree::of_working_directory(&target.chart).map_err(|error| anyhow!("{error}"))?;
    let ours = match load(&tree).and_then(|chart| render(&chart, &target.request())) {
        Ok(ours) => ours,
        Err(error) => return Ok(Some(format!("refused: {error:#}").lines().next().unwrap_or_default().to_owned())),
    };
    if theirs == ours {
        return Ok(None);
    }
    let again = run()?.unwrap_or_default();
    let lines: Vec<_> = theirs.lines().zip(again.lines()).zip(ours.lines()).collect();
    let as_long = theirs.lines().count() == lines.len() && ours.lines().count() == lines.len();
    let alike = as_long && lines.iter().all(|((one, again), ours)| one == ours || one != again);
    Ok((!alike).then(|| "it is rendered otherwise".to_owned()))
}
