//! (b) In process and in one thread, beside kustomize's Go library kept warm, which reads the same files from the disk.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, ensure};
use e2e_oracle::Oracle;
use hub_kustomize::Files;
use serde_json::json;

use super::Bench;
use super::engine::{build, directory};
use crate::stopwatch::{Measured, Times, ratio, repeat, repeat_in_children};
use crate::table::Table;

/// How much faster with nothing shared between targets, and with parsed files shared.
const GOALS: (&str, &str) = ("20x", "50x");

/// Theirs gets warm on every so manyth target: its schema is parsed then, and its heap has grown.
const WARMING_STEP: usize = 10;

/// Enough for all parsed files of the corpus: 20 times its text.
pub(super) const FILES_BYTES: usize = 512 << 20;

/// Where files come from.
#[derive(Clone, Copy)]
enum Origin {
    /// Looked at anew for each target, as a process would.
    Disk,
    Memory,
}

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Table> {
    let everywhere = theirs(bench, 0)?;
    let single = theirs(bench, 1)?;
    let columns = ["what", "wall time", "processor time", "default / ours", "one / ours", "one / ours, by processor", "goal"];
    let mut table = Table::new("(b) In process, one thread, all targets", &columns);
    for (what, time) in [("default", &everywhere), ("one", &single)] {
        table.row([format!("kustomize's library, GOMAXPROCS: {what}"), time.wall.text(), time.processor.text()]);
    }
    let mut row = |what: &str, time: &Measured, goal: &str| {
        let [ours, ours_by_processor] = [&time.wall, &time.processor].map(|times| times.median().as_secs_f64());
        let against = |theirs: &Times, ours| ratio(theirs.median().as_secs_f64(), ours);
        table.row([
            format!("Capstan, {what}"),
            time.wall.text(),
            time.processor.text(),
            against(&everywhere.wall, ours),
            against(&single.wall, ours),
            against(&single.processor, ours_by_processor),
            goal.to_owned(),
        ]);
    };
    row("nothing shared, files from the disk", &cold(bench, Origin::Disk)?, GOALS.0);
    row("nothing shared, files as Git objects in memory", &cold(bench, Origin::Memory)?, GOALS.0);
    row("parsed files shared, first round", &first_round(bench, Origin::Memory)?, "");
    row("parsed files shared, from the second round on", &later_rounds(bench, Origin::Memory)?, GOALS.1);
    row("the same, files from the disk", &later_rounds(bench, Origin::Disk)?, GOALS.1);
    Ok(table)
}

fn all(bench: &Bench, origin: Origin, files: Option<&Files>) -> anyhow::Result<()> {
    bench.targets().iter().try_for_each(|target| {
        black_box(match origin {
            Origin::Disk => build(&directory(&bench.root)?, &target.dir, files)?,
            Origin::Memory => build(&bench.snapshot, &target.dir, files)?,
        });
        Ok(())
    })
}

fn cold(bench: &Bench, origin: Origin) -> anyhow::Result<Measured> {
    repeat(bench.repetitions, || all(bench, origin, None))
}

fn first_round(bench: &Bench, origin: Origin) -> anyhow::Result<Measured> {
    repeat(bench.repetitions, || all(bench, origin, Some(&Files::new(FILES_BYTES))))
}

fn later_rounds(bench: &Bench, origin: Origin) -> anyhow::Result<Measured> {
    let files = Files::new(FILES_BYTES);
    all(bench, origin, Some(&files))?;
    repeat(bench.repetitions, || all(bench, origin, Some(&files)))
}

/// All targets in a fresh process of kustomize's library, after it has built some of them.
fn theirs(bench: &Bench, processors: usize) -> anyhow::Result<Measured> {
    let mut oracle = Oracle::start(&bench.programs.oracle).context("cannot start the oracle")?;
    let mut ask = |targets: &[&str]| -> anyhow::Result<Duration> {
        let question = json!({"op": "time", "root": bench.root, "targets": targets, "repeat": 1, "gomaxprocs": processors});
        let answer = oracle.ask(&question)?;
        let failed = answer["targets"].as_array().into_iter().flatten().find(|target| target["error"].is_string());
        ensure!(failed.is_none(), "kustomize's library refuses a target: {failed:?}");
        let nanoseconds = answer["nanoseconds"][0].as_u64().with_context(|| format!("the oracle answers {answer}"))?;
        Ok(Duration::from_nanos(nanoseconds))
    };
    let dirs = bench.dirs();
    ask(&dirs.iter().copied().step_by(WARMING_STEP).collect::<Vec<_>>())?;
    let mut wall = Vec::new();
    let outside = repeat_in_children(1, || ask(&dirs).map(|taken| wall.push(taken)))?;
    // What the library itself took, without question and answer.
    Ok(Measured { wall: Times::new(wall), ..outside })
}
