//! (d) The peak of memory of a process that renders the target with the longest output.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::Bench;
use super::charts::{load, render};
use crate::memory::{mebibytes, peak_while_printing};
use crate::stopwatch::ratio;
use crate::table::Table;

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Table> {
    let mut longest = None;
    for target in &bench.targets {
        let bytes = render(&load(&target.tree()?)?, &target.request())?.len();
        if longest.is_none_or(|(_, most)| bytes > most) {
            longest = Some((target, bytes));
        }
    }
    let (target, bytes) = longest.context("there is no target")?;
    let peak = |program: &Path| peak_while_printing(Command::new(program).args(target.arguments()));
    let (ours, theirs) = (peak(&bench.programs.capstan)?, peak(&bench.programs.helm)?);
    let mut table = Table::new("(d) Peak of memory of a process", &["what", "capstan template", "helm template", "ratio"]);
    table.row([
        format!("{} ({:.0} KB of output)", target.name(), bytes as f64 / 1e3),
        mebibytes(ours),
        mebibytes(theirs),
        ratio(theirs as f64, ours as f64),
    ]);
    Ok(table)
}
