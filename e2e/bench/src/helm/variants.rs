//! (c) Many clusters' variants of one ordinary chart: the chart loaded once, other values each time.

use std::hint::black_box;
use std::path::Path;

use anyhow::Context;
use e2e_oracle::HelmOracle;
use hub_helm::ValuesLayer;
use serde_json::json;

use super::Bench;
use super::charts::{load, render, request, targets};
use super::in_process::ask;
use crate::stopwatch::{ratio, repeat};
use crate::table::Table;

/// How many clusters.
const CLUSTERS: usize = 200;

/// How long one may take.
const GOAL: &str = "under 1 ms";

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Table> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hub/helm/tests/charts/web");
    let target = targets(&[folder])?.into_iter().find(|target| target.values.is_some()).context("BUG: the ordinary chart has values")?;
    let chart = load(&target.tree()?)?;
    let variants: Vec<_> = (0..CLUSTERS)
        .map(|cluster| {
            let mut request = request();
            request.values = target.request().values;
            request.values.push(ValuesLayer::Inline(json!({
                "replicaCount": cluster % 7 + 1,
                "image": {"tag": format!("3.{cluster}")},
                "ingress": {"hosts": [{"host": format!("cluster-{cluster}.example"), "paths": [{"path": "/"}]}]},
                "config": {"region": format!("region-{}", cluster % 5), "cluster": format!("cluster-{cluster}")},
            })));
            request
        })
        .collect();
    render(&chart, &variants[0])?;
    let taken = repeat(bench.repetitions.max(3), || {
        variants.iter().try_for_each(|request| render(&chart, request).map(|text| drop(black_box(text))))
    })?;
    let mut oracle = HelmOracle::start(&bench.programs.oracle).context("cannot start the oracle")?;
    let theirs = ask(&mut oracle, &target, 20)?;
    let each = taken.processor.median() / u32::try_from(CLUSTERS).unwrap_or(1);
    let milliseconds = |time: std::time::Duration| format!("{:.3} ms", time.as_secs_f64() * 1e3);
    let mut table = Table::new(&format!("(c) {CLUSTERS} variants of the chart `web`"), &["what", "all", "each", "ratio", "goal"]);
    table.row(["Capstan".to_owned(), taken.processor.text(), milliseconds(each), String::new(), GOAL.to_owned()]);
    let whole = theirs.without_load();
    table.row([
        "Helm's library, chart loaded before".to_owned(),
        String::new(),
        milliseconds(whole),
        ratio(whole.as_secs_f64(), each.as_secs_f64()),
    ]);
    Ok(table)
}
