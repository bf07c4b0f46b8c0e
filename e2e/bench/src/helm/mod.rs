//! Rendering charts, measured beside `helm template` and Helm's Go engine: one part a file. What comes out differently, but for chance, is named
//! and not measured: a time of something else would say nothing.

mod charts;
mod in_process;
mod peak;
mod processes;
mod programs;
mod variants;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::stopwatch;
use crate::stopwatch::{duration, ratio};
use crate::table::Table;
use crate::{machine, stopwatch::Times};
use charts::{Target, targets};
use programs::Programs;

/// The parts of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// (a) As processes.
    Processes,
    /// (b) In process, one thread.
    InProcess,
    /// (c) Variants of one chart.
    Variants,
    /// (d) Peak of memory.
    Peak,
}

const PARTS: [Part; 4] = [Part::Processes, Part::InProcess, Part::Variants, Part::Peak];

/// What is measured, on what.
#[derive(Debug, Args)]
pub struct Options {
    /// Every fourth target and fewer repetitions.
    #[arg(long)]
    quick: bool,
    /// Measures the charts in these directories, each with its own values and with each file in its `ci/`, instead of the project's own charts.
    #[arg(long, value_name = "DIR")]
    corpus: Vec<PathBuf>,
    /// Only these parts.
    #[arg(long = "part", value_enum)]
    parts: Vec<Part>,
    /// Where Capstan's command is; otherwise beside this program.
    #[arg(long, value_name = "FILE")]
    capstan: Option<PathBuf>,
}

/// What each part needs.
struct Bench {
    /// How often each target is measured.
    repetitions: usize,
    targets: Vec<Target>,
    programs: Programs,
}

/// Measures and prints the tables.
///
/// # Errors
/// A program is missing or fails.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let programs = Programs::find(options.capstan.clone())?;
    let mut targets = targets(&options.corpus)?;
    if options.quick {
        targets = targets.into_iter().step_by(4).collect();
    }
    let found = targets.len();
    let (targets, left_out) = charts::comparable(&programs, targets)?;
    let repetitions = if options.quick { 1 } else { 3 };
    let bench = Bench { repetitions, targets, programs };
    println!("{}", setting(&bench, found, &left_out));
    for part in PARTS.into_iter().filter(|part| options.parts.is_empty() || options.parts.contains(part)) {
        stopwatch::warm_up();
        let table = match part {
            Part::Processes => processes::measure(&bench)?,
            Part::InProcess => in_process::measure(&bench)?,
            Part::Variants => variants::measure(&bench)?,
            Part::Peak => peak::measure(&bench)?,
        };
        println!("{table}");
    }
    Ok(())
}

fn setting(bench: &Bench, found: usize, left_out: &[String]) -> Table {
    let mut table = Table::new("Setting", &["what", "which"]);
    let mut row = |what: &str, which: String| table.row([what.to_owned(), which]);
    row("machine", machine::description());
    row("load before (1 minute)", machine::load().map_or("unknown".to_owned(), |load| format!("{load:.2}")));
    let charts: std::collections::BTreeSet<&PathBuf> = bench.targets.iter().map(|target| &target.chart).collect();
    row("targets", format!("{} charts, {} renders of {found}", charts.len(), bench.targets.len()));
    for (name, version) in bench.programs.versions() {
        row(&name, version);
    }
    for name in left_out {
        table.note(format!("Left out: {name}"));
    }
    table
}

/// The times of all targets in one row: mean, median, largest, and how much faster than `ours`.
fn row(table: &mut Table, what: &str, times: &[Duration], ours: Option<&[Duration]>, goals: [&str; 2]) {
    let median = |times: &[Duration]| Times::new(times.to_vec()).median();
    let largest = times.iter().max().copied().unwrap_or_default();
    let against = |theirs: Duration, of: fn(&[Duration]) -> Duration| {
        ours.map_or(String::new(), |ours| ratio(theirs.as_secs_f64(), of(ours).as_secs_f64()))
    };
    table.row([
        what.to_owned(),
        duration(mean(times)),
        duration(median(times)),
        duration(largest),
        against(mean(times), mean),
        against(median(times), |times| Times::new(times.to_vec()).median()),
        goals[0].to_owned(),
        goals[1].to_owned(),
    ]);
}

/// The columns of such rows.
const COLUMNS: [&str; 8] = ["what", "mean", "median", "largest", "mean / ours", "median / ours", "goal of the mean", "of the median"];

fn mean(times: &[Duration]) -> Duration {
    times.iter().sum::<Duration>() / u32::try_from(times.len().max(1)).unwrap_or(u32::MAX)
}
