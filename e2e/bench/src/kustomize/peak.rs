//! (c) The peak of memory: of a process that builds the largest target, and of one that stays and builds all of them.

use std::hint::black_box;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use clap::Args;
use e2e_oracle::Oracle;
use hub_kustomize::Files;
use serde_json::json;

use super::Bench;
use super::engine::{build, directory};
use super::in_process::FILES_BYTES;
use crate::corpus::{Corpus, Target};
use crate::memory::{mebibytes, own_peak, peak_while_printing};
use crate::snapshot::Snapshot;
use crate::stopwatch::ratio;
use crate::table::Table;

/// How much less memory it should be.
const GOAL: &str = "3x";

/// Builds the directories that standard input names, a line each.
#[derive(Debug, Args)]
pub struct Resident {
    /// Where they lie.
    root: PathBuf,
    /// Keeps parsed files for the targets that follow.
    #[arg(long)]
    shared: bool,
    /// Reads everything below the root into memory first, so that a profile shows building alone.
    #[arg(long)]
    in_memory: bool,
    /// How often, for whoever wants a profile of it.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
}

/// Builds all that standard input names and prints the peak of memory in bytes.
///
/// # Errors
/// A target is refused, or the system does not say.
pub fn run_resident(resident: &Resident) -> anyhow::Result<()> {
    let mut dirs = String::new();
    std::io::stdin().read_to_string(&mut dirs)?;
    let snapshot = if resident.in_memory { Some(Snapshot::of(&Corpus::read(&resident.root)?)) } else { None };
    let files = resident.shared.then(|| Files::new(FILES_BYTES));
    for _ in 0..resident.rounds {
        for dir in dirs.lines() {
            black_box(match &snapshot {
                Some(snapshot) => build(snapshot, dir, files.as_ref())?,
                None => build(&directory(&resident.root)?, dir, files.as_ref())?,
            });
        }
    }
    println!("{}", own_peak()?);
    Ok(())
}

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Table> {
    let mut table = Table::new("(c) Peak of memory", &["what", "capstan", "kustomize", "ratio", "goal"]);
    let mut row = |what: String, ours: u64, theirs: u64| {
        table.row([what, mebibytes(ours), mebibytes(theirs), ratio(theirs as f64, ours as f64), GOAL.to_owned()]);
    };
    let (largest, bytes) = largest(bench)?;
    let place = bench.place(largest);
    let process = |program: &Path| peak_while_printing(Command::new(program).arg("build").arg(&place));
    let (capstan, kustomize) = (process(&bench.programs.capstan)?, process(&bench.programs.kustomize)?);
    row(format!("a process that builds {} ({:.1} MB of output)", largest.dir, bytes as f64 / 1e6), capstan, kustomize);
    let theirs = library(bench)?;
    row("in process, all targets, nothing shared".to_owned(), resident(bench, false)?, theirs);
    row("in process, all targets, parsed files shared and kept".to_owned(), resident(bench, true)?, theirs);
    Ok(table)
}

/// The target with the longest output, and how long that is.
fn largest(bench: &Bench) -> anyhow::Result<(&Target, usize)> {
    let mut largest = None;
    for target in bench.targets() {
        let bytes = build(&bench.snapshot, &target.dir, None)?.len();
        if largest.is_none_or(|(_, most)| bytes > most) {
            largest = Some((target, bytes));
        }
    }
    largest.context("there is no target")
}

fn library(bench: &Bench) -> anyhow::Result<u64> {
    let mut oracle = Oracle::start(&bench.programs.oracle).context("cannot start the oracle")?;
    let answer = oracle.ask(&json!({"op": "time", "root": bench.root, "targets": bench.dirs(), "repeat": 1}))?;
    answer["peak_rss"].as_u64().with_context(|| format!("the oracle answers {answer}"))
}

fn resident(bench: &Bench, shared: bool) -> anyhow::Result<u64> {
    let program = std::env::current_exe().context("this program does not know where it lies")?;
    let mut command = Command::new(program);
    command.arg("kustomize-resident").arg(&bench.root).stdin(Stdio::piped()).stdout(Stdio::piped());
    if shared {
        command.arg("--shared");
    }
    let mut child = command.spawn().context("cannot start this program again")?;
    let sent = child.stdin.take().map(|mut input| input.write_all(bench.dirs().join("\n").as_bytes()));
    let output = child.wait_with_output().context("cannot wait for this program")?;
    sent.context("BUG: a piped child has no pipe")?.context("this program does not read its input")?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| format!("this program ended with {} and printed {text:?}", output.status))
}
