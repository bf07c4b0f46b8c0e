//! (a) As processes, one after the other, as a pipeline starts them: the whole of start, reading, rendering, printing.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::{Bench, COLUMNS, mean, row};
use crate::stopwatch::{Measured, duration, ratio, repeat_in_children};
use crate::table::Table;

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Table> {
    let mut table = Table::new("(a) As processes", &COLUMNS);
    let ours = all(bench, &bench.programs.capstan)?;
    let theirs = all(bench, &bench.programs.helm)?;
    let wall = |of: &[Measured]| of.iter().map(|one| one.wall.median()).collect::<Vec<_>>();
    row(&mut table, "capstan template", &wall(&ours), None, ["", ""]);
    row(&mut table, "helm template", &wall(&theirs), Some(&wall(&ours)), ["20x", "20x"]);
    row(&mut table, "a process that does nothing (`true`)", &wall(&nothing(bench)?), None, ["", ""]);
    // Told in hundredths of a second: only the mean over many says something.
    let worked = |of: &[Measured]| mean(&of.iter().map(|one| one.processor.median()).collect::<Vec<_>>());
    let (mine, others) = (worked(&ours), worked(&theirs));
    let times = ratio(others.as_secs_f64(), mine.as_secs_f64());
    table.note(format!(
        "Processors worked {} for a `capstan template` and {} for a `helm template` in the mean: {times}.",
        duration(mine),
        duration(others)
    ));
    Ok(table)
}

/// What starting as many processes costs.
fn nothing(bench: &Bench) -> anyhow::Result<Vec<Measured>> {
    let one = |_| {
        repeat_in_children(bench.repetitions, || {
            Command::new("true").stdin(Stdio::null()).stdout(Stdio::null()).status().context("cannot start `true`")?;
            Ok(())
        })
    };
    bench.targets.iter().map(one).collect()
}

fn all(bench: &Bench, program: &Path) -> anyhow::Result<Vec<Measured>> {
    let one = |target: &super::Target| {
        repeat_in_children(bench.repetitions, || {
            let status =
                Command::new(program).args(target.arguments()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
            let status = status.with_context(|| format!("cannot start {}", program.display()))?;
            ensure!(status.success(), "{} ended with {status} for {}", program.display(), target.name());
            Ok(())
        })
    };
    bench.targets.iter().map(one).collect()
}
