//! (b) In process and in one thread, beside Helm's Go library kept warm. Both have the chart's files in memory. Times are those that a processor
//! worked.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, bail};
use e2e_oracle::HelmOracle;
use serde_json::{Value, json};

use super::charts::{NAMESPACE, RELEASE, Target, load, render};
use super::{Bench, COLUMNS, row};
use crate::stopwatch::{Times, repeat};
use crate::table::Table;

/// How much faster if templates are parsed each time, and if they are parsed once.
const GOALS: (&str, &str) = ("10x", "20x");

/// One target with Helm's library.
#[derive(Debug, Clone, Copy)]
pub(super) struct Theirs {
    pub(super) load: Duration,
    pub(super) prepare: Duration,
    pub(super) render: Duration,
    pub(super) sort: Duration,
}

impl Theirs {
    /// What a chart costs that is loaded already.
    pub(super) fn without_load(&self) -> Duration {
        self.prepare + self.render + self.sort
    }
}

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Table> {
    let mut oracle = HelmOracle::start(&bench.programs.oracle).context("cannot start the oracle")?;
    let theirs: Vec<Theirs> = bench.targets.iter().map(|target| ask(&mut oracle, target, bench.repetitions)).collect::<Result<_, _>>()?;
    let (mut each, mut once) = (Vec::new(), Vec::new());
    for target in &bench.targets {
        let (tree, request) = (target.tree()?, target.request());
        let work = || load(&tree).and_then(|chart| render(&chart, &request)).map(|text| drop(black_box(text)));
        work()?;
        each.push(repeat(bench.repetitions, work)?.processor.median());
        let chart = load(&tree)?;
        // From the second render on, what documents are is remembered.
        for _ in 0..2 {
            render(&chart, &request)?;
        }
        once.push(repeat(bench.repetitions, || render(&chart, &request).map(|text| drop(black_box(text))))?.processor.median());
    }
    let pick = |of: fn(&Theirs) -> Duration| theirs.iter().map(of).collect::<Vec<_>>();
    let mut table = Table::new("(b) In process, one thread, templates parsed each time and once", &COLUMNS);
    row(&mut table, "Capstan: chart loaded and templates parsed each time", &each, None, ["", ""]);
    row(&mut table, "Helm: chart loaded, values, engine, sorted", &pick(|one| one.load + one.without_load()), Some(&each), [GOALS.0; 2]);
    row(&mut table, "Helm: the engine alone, which parses each time", &pick(|one| one.render), Some(&each), ["", ""]);
    row(&mut table, "Capstan: templates parsed once", &once, None, ["", ""]);
    row(&mut table, "Helm, chart loaded before: values, engine, sorted", &pick(Theirs::without_load), Some(&once), [GOALS.1; 2]);
    row(&mut table, "Helm: the engine alone, which parses each time", &pick(|one| one.render), Some(&once), [GOALS.1; 2]);
    table.note(slowest(bench, &each, &once, &theirs));
    Ok(table)
}

/// The targets that take longest here, for whoever wants to know where the mean comes from.
fn slowest(bench: &Bench, each: &[Duration], once: &[Duration], theirs: &[Theirs]) -> String {
    let mut order: Vec<usize> = (0..bench.targets.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(once[index]));
    let line = |index: usize| {
        let milliseconds = [each[index], once[index], theirs[index].render].map(|time| format!("{:.2}", time.as_secs_f64() * 1e3));
        format!("{} ({} / {} / {} ms)", bench.targets[index].name(), milliseconds[0], milliseconds[1], milliseconds[2])
    };
    let lines: Vec<String> = order.into_iter().take(6).map(line).collect();
    format!("Longest (parsed each time / once / Helm's engine): {}.", lines.join("; "))
}

/// The times of Helm's library for `target`: medians over `times` renders after one that warms it.
pub(super) fn ask(oracle: &mut HelmOracle, target: &Target, times: usize) -> anyhow::Result<Theirs> {
    let answer = oracle.ask(&json!({
        "op": "time", "chart": target.chart, "values": target.values_text(), "release": RELEASE, "namespace": NAMESPACE,
        "repeat": times + 1, "gomaxprocs": 1,
    }))?;
    if let Some(message) = answer["error"].as_str() {
        bail!("Helm's library refuses {}: {message}", target.name());
    }
    let median = |name: &str| -> anyhow::Result<Duration> {
        let taken = answer[name].as_array().with_context(|| format!("the oracle answers {answer}"))?;
        let warm = taken.iter().skip(1).filter_map(Value::as_u64).map(Duration::from_nanos).collect();
        Ok(Times::new(warm).median())
    };
    Ok(Theirs { load: median("load")?, prepare: median("prepare")?, render: median("render")?, sort: median("sort")? })
}
