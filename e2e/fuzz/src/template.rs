//! Any template with any values, in a chart of one file: it renders or is refused, the same each time and whether it was parsed for this render
//! or for one before. The input's sections are `template` and, if it shall be so, `helpers`, `values` and the lines of `set` and `set-json`.

use std::collections::BTreeMap;

use hub_helm::{HelmError, Limits, Request, Show, ValuesLayer};

use crate::{chart, sections};

const CHART: &str = "apiVersion: v2\nname: fuzz\nversion: 1.2.3\n";

pub(crate) fn check(input: &[u8]) {
    let sections: BTreeMap<&str, &[u8]> = sections::split(input).into_iter().collect();
    let section = |name: &str| sections.get(name).copied().unwrap_or_default();
    let lines = |name: &str| String::from_utf8_lossy(section(name)).lines().map(str::to_owned).collect::<Vec<_>>();
    let files = [
        ("Chart.yaml", CHART.as_bytes()),
        ("values.yaml", section("values")),
        ("templates/_helpers.tpl", section("helpers")),
        ("templates/object.yaml", section("template")),
    ];
    let tree = chart::tree(files);
    let mut request = request();
    request.values.extend(lines("set").into_iter().map(ValuesLayer::Set));
    request.values.extend(lines("set-json").into_iter().map(ValuesLayer::SetJson));
    chart::check(&tree, &request);
}

/// A request within what a fuzzer has time for.
pub(crate) fn request() -> Request {
    Request { budget: Limits { steps: 300_000, depth: 256, output: 1 << 20 }, ..Request::new("release", "default") }
}

/// What became of a render, as it is shown.
pub(crate) fn shown(result: Result<hub_helm::Templated, HelmError>) -> Result<String, HelmError> {
    result?.to_text(&Show::default())
}
