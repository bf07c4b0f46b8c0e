//! Whether Capstan prints what kustomize prints: by bytes, else by what the YAML means.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use e2e_oracle::{Answer, Oracle};
use shared_manifest::{YamlBudget, YamlMode, parse_yaml};

use super::Bench;
use super::engine::build_with_files_read;
use super::programs::Programs;
use crate::corpus::{Corpus, Target};
use crate::snapshot::Snapshot;
use crate::table::Table;

/// How many targets that differ are named.
const NAMED: usize = 10;

/// What became of one target in both tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The same bytes.
    SameBytes,
    /// The same objects in the same order, written differently.
    SameObjects,
    /// Both refuse.
    BothRefuse,
    /// It reads a file that is no text, about which the oracle cannot be asked.
    NotCompared,
    /// None of these; what it is, in a line.
    Different(String),
}

/// Compares all targets of a corpus.
///
/// # Errors
/// The oracle does not answer.
pub fn verdicts(oracle: &mut Oracle, corpus: &Corpus) -> anyhow::Result<Vec<(Target, Verdict)>> {
    let tree = Snapshot::of(corpus);
    let mut verdicts = Vec::new();
    for target in &corpus.targets {
        let verdict = match build_with_files_read(&tree, &target.dir) {
            (ours, Some(files)) => {
                let theirs = oracle.build(&files, &target.dir).with_context(|| format!("while {} was built", target.dir))?;
                verdict(&ours, &theirs)
            }
            (_, None) => Verdict::NotCompared,
        };
        verdicts.push((target.clone(), verdict));
    }
    Ok(verdicts)
}

fn verdict(ours: &anyhow::Result<String>, theirs: &Answer) -> Verdict {
    match (ours, theirs) {
        (Ok(ours), Answer::Built(theirs)) if ours == theirs => Verdict::SameBytes,
        (Ok(ours), Answer::Built(theirs)) => match (objects(ours), objects(theirs)) {
            (Some(left), Some(right)) if left == right => Verdict::SameObjects,
            _ => Verdict::Different(first_difference(ours, theirs)),
        },
        (Err(_), Answer::Refused(_)) => Verdict::BothRefuse,
        (Err(error), Answer::Built(_)) => Verdict::Different(format!("only Capstan refuses: {error:#}")),
        (Ok(_), Answer::Refused(why)) => Verdict::Different(format!("only kustomize refuses: {why}")),
    }
}

fn objects(text: &str) -> Option<Vec<serde_json::Value>> {
    let documents = parse_yaml(text, YamlMode::Kustomize, YamlBudget::BUNDLE).ok()?;
    Some(documents.into_iter().map(|document| document.value).collect())
}

fn first_difference(ours: &str, theirs: &str) -> String {
    let lines = ours.lines().map(Some).chain([None]).zip(theirs.lines().map(Some).chain([None])).enumerate();
    let differs = lines.into_iter().find(|(_, (ours, theirs))| ours != theirs);
    let show = |line: Option<&str>| line.map_or("the end".to_owned(), |line| format!("{line:?}"));
    differs.map_or("only in line breaks".to_owned(), |(number, (ours, theirs))| {
        format!("line {}: {} where kustomize has {}", number + 1, show(ours), show(theirs))
    })
}

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Table> {
    let mut oracle = Oracle::start(&bench.programs.oracle).context("cannot start the oracle")?;
    let verdicts = verdicts(&mut oracle, &bench.corpus)?;
    let mut table = Table::new(
        "Equality with kustomize",
        &["targets", "all", "same bytes", "same objects", "both refuse", "not compared", "different"],
    );
    for family in bench.corpus.families() {
        let count = |wanted: fn(&Verdict) -> bool| {
            verdicts.iter().filter(|(target, verdict)| target.family == family && wanted(verdict)).count().to_string()
        };
        table.row([
            family.to_string(),
            count(|_| true),
            count(|verdict| *verdict == Verdict::SameBytes),
            count(|verdict| *verdict == Verdict::SameObjects),
            count(|verdict| *verdict == Verdict::BothRefuse),
            count(|verdict| *verdict == Verdict::NotCompared),
            count(|verdict| matches!(verdict, Verdict::Different(_))),
        ]);
    }
    let different = verdicts.iter().filter_map(|(target, verdict)| match verdict {
        Verdict::Different(what) => Some(format!("{}: {what}", target.dir)),
        _ => None,
    });
    different.take(NAMED).for_each(|line| table.note(line));
    Ok(table)
}

/// Those of `targets` below `root` that kustomize builds.
pub(super) fn buildable(programs: &Programs, root: &Path, targets: Vec<Target>) -> anyhow::Result<Vec<Target>> {
    let mut kept = Vec::new();
    for target in targets {
        let mut command = Command::new(&programs.kustomize);
        command.arg("build").arg(root.join(&target.dir)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Whoever wants what lies elsewhere is refused at once, instead of after a time-out.
        command.env("GIT_ALLOW_PROTOCOL", "none").env("HTTPS_PROXY", "http://127.0.0.1:9");
        if command.status().context("cannot start kustomize")?.success() {
            kept.push(target);
        }
    }
    Ok(kept)
}
