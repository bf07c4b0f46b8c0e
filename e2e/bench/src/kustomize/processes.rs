//! (a) As processes, one after the other, as a pipeline or a plugin starts them: the whole of start, reading, building, printing.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;

use super::Bench;
use crate::stopwatch::{Measured, ratio, repeat_in_children};
use crate::table::Table;

/// How much faster than `kubectl kustomize`, and than `kustomize build`.
const GOALS: (&str, &str) = ("50x", "30x");

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Table> {
    let programs = &bench.programs;
    let ours = all(bench, &programs.capstan, "build", bench.repetitions)?;
    let count = bench.targets().len().max(1) as f64;
    let columns = ["what", "wall time", "each", "processor time", "ratio", "by processor", "goal"];
    let mut table = Table::new("(a) As processes, all targets one after the other", &columns);
    let mut row = |what: &str, time: &Measured, goal: &str| {
        let seconds = [&time.wall, &time.processor, &ours.wall, &ours.processor].map(|times| times.median().as_secs_f64());
        let ratios = if goal.is_empty() { Default::default() } else { [ratio(seconds[0], seconds[2]), ratio(seconds[1], seconds[3])] };
        let [by_wall, by_processor] = ratios;
        let each = format!("{:.2} ms", seconds[0] * 1e3 / count);
        table.row([what.to_owned(), time.wall.text(), each, time.processor.text(), by_wall, by_processor, goal.to_owned()]);
    };
    row("capstan build", &ours, "");
    row("kustomize build", &all(bench, &programs.kustomize, "build", 1)?, GOALS.1);
    if let Some(kubectl) = &programs.kubectl {
        row("kubectl kustomize", &all(bench, kubectl, "kustomize", 1)?, GOALS.0);
    }
    row("a process that does nothing (`true`)", &nothing(bench)?, "");
    Ok(table)
}

fn all(bench: &Bench, program: &Path, command: &str, times: usize) -> anyhow::Result<Measured> {
    repeat_in_children(times, || {
        bench.targets().iter().try_for_each(|target| {
            let mut process = Command::new(program);
            run(process.arg(command).arg(bench.place(target))).with_context(|| format!("while {} was built", target.dir))
        })
    })
}

/// What starting as many processes costs.
fn nothing(bench: &Bench) -> anyhow::Result<Measured> {
    repeat_in_children(bench.repetitions, || bench.targets().iter().try_for_each(|_| run(&mut Command::new("true"))))
}

fn run(process: &mut Command) -> anyhow::Result<()> {
    let status = process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot start {process:?}"))?;
    anyhow::ensure!(status.success(), "{process:?} ended with {status}");
    Ok(())
}
