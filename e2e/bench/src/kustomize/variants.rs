//! (f) Many variants of one app with parsed files and the built base shared, against as many builds that share nothing.

use std::hint::black_box;

use hub_kustomize::Files;
use hub_tree::SourceTree;

use super::Bench;
use super::engine::build;
use super::in_process::FILES_BYTES;
use crate::corpus::{Target, variants};
use crate::snapshot::Snapshot;
use crate::stopwatch::{Measured, repeat};
use crate::table::Table;

/// What part of the separate builds it may take at most.
const GOAL: &str = "0.20";

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Table> {
    let corpus = variants();
    let tree = Snapshot::of(&corpus);
    let (targets, times) = (&corpus.targets, bench.repetitions);
    let separate = repeat(times, || all(&tree, targets, None))?;
    let shared = repeat(times, || all(&tree, targets, Some(&Files::new(FILES_BYTES))))?;
    let alone = repeat(times, || all(&tree, &targets[..1], None))?;
    let mut table = Table::new(&format!("(f) {} variants of one app", targets.len()), &["what", "all", "each", "part", "goal"]);
    let mut row = |what: &str, taken: &Measured, count: usize, goal: &str| {
        let (time, whole) = (taken.processor.median().as_secs_f64(), separate.processor.median().as_secs_f64());
        let part = if count > 1 { format!("{:.2}", time / whole) } else { String::new() };
        table.row([what.to_owned(), taken.processor.text(), format!("{:.0} µs", time * 1e6 / count as f64), part, goal.to_owned()]);
    };
    row("one variant", &alone, 1, "");
    row("separate builds", &separate, targets.len(), "");
    row("parsed files and base shared", &shared, targets.len(), GOAL);
    Ok(table)
}

fn all(tree: &dyn SourceTree, targets: &[Target], files: Option<&Files>) -> anyhow::Result<()> {
    targets.iter().try_for_each(|target| {
        black_box(build(tree, &target.dir, files)?);
        Ok(())
    })
}
