//! The tables of `docs/architecture.md` that are rules: which crates there are and in which layer, where heavy dependencies live, what pure
//! crates may use. What follows from them is checked in `layers`.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::workspace::Workspace;

/// The page.
pub(super) const PAGE: &str = "docs/architecture.md";
/// The section whose table lists crates: path, layer, what it is.
const CODE_MAP: &str = "## Code map";
/// The section whose table lists dependencies and the crates that may name them.
const HOMES: &str = "## Homes of heavy dependencies";
/// The section that lists what pure crates may name from outside.
const PURE: &str = "## What pure crates may use";

/// What a crate may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Layer {
    /// Computes; knows no I/O, clock, chance or environment.
    Pure,
    /// Does I/O.
    Edge,
    /// Composes the others to a program.
    Composition,
    /// Is for tests, the demo and development.
    Development,
}

impl Layer {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "P" => Self::Pure,
            "E" => Self::Edge,
            "C" => Self::Composition,
            "dev" => Self::Development,
            _ => return None,
        })
    }
}

/// The rules that the page states.
#[derive(Default)]
pub(super) struct Map {
    layers: BTreeMap<String, Layer>,
    homes: BTreeMap<String, BTreeSet<String>>,
    pure: BTreeSet<String>,
}

impl Map {
    /// The layer of the crate at `path`.
    pub(super) fn layer(&self, path: &str) -> Option<Layer> {
        self.layers.get(path).copied()
    }

    /// The crates that may name `dependency`; `None` if all may.
    pub(super) fn homes(&self, dependency: &str) -> Option<&BTreeSet<String>> {
        self.homes.get(dependency)
    }

    /// Whether a pure crate may name `dependency`.
    pub(super) fn is_pure(&self, dependency: &str) -> bool {
        self.pure.contains(dependency)
    }
}

/// Reads the page and compares it with the crates that there are.
pub(super) fn read(workspace: &Workspace) -> (Map, Vec<Finding>) {
    let mut map = Map::default();
    let mut findings = Vec::new();
    let text = workspace.text(PAGE);
    for heading in [CODE_MAP, HOMES, PURE] {
        if !text.lines().any(|line| line == heading) {
            findings.push(Finding::new(PAGE, 1, format!("there is no section `{heading}`"), "write it; tidy reads its rules from there"));
        }
    }
    let mut section = "";
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with('#') {
            section = line;
        }
        match section {
            CODE_MAP if line.starts_with("| `") => read_crate(workspace, line, number, &mut map, &mut findings),
            HOMES if line.starts_with("| `") => read_homes(workspace, line, number, &mut map, &mut findings),
            PURE => map.pure.extend(quoted(line)),
            _ => {}
        }
    }
    for missing in workspace.crates.iter().filter(|of| !map.layers.contains_key(&of.path)) {
        findings.push(Finding::new(
            missing.manifest(),
            1,
            format!("the code map does not list `{}`", missing.path),
            format!("add a row with its layer to \"Code map\" in {PAGE}"),
        ));
    }
    (map, findings)
}

fn read_crate(workspace: &Workspace, line: &str, number: usize, map: &mut Map, findings: &mut Vec<Finding>) {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let [_, path, layer, ..] = cells[..] else { return };
    let path = path.trim_matches('`').to_owned();
    let mut finding = |what: String, remedy: &str| findings.push(Finding::new(PAGE, number, what, remedy));
    if !workspace.crates.iter().any(|of| of.path == path) {
        finding(format!("the code map lists `{path}`, and there is no such crate"), "remove the row, or write the crate");
    }
    let Some(layer) = Layer::parse(layer) else {
        return finding(format!("`{path}` has the layer `{layer}`"), "a layer is P, E, C or dev");
    };
    if map.layers.insert(path.clone(), layer).is_some() {
        finding(format!("the code map lists `{path}` twice"), "keep one row");
    }
}

fn read_homes(workspace: &Workspace, line: &str, number: usize, map: &mut Map, findings: &mut Vec<Finding>) {
    let cells: Vec<&str> = line.split('|').collect();
    let [_, dependencies, homes, ..] = cells[..] else { return };
    let dependencies: BTreeSet<String> = quoted(dependencies).collect();
    let homes: BTreeSet<String> = quoted(homes).collect();
    for home in &homes {
        let wrong = match workspace.crates.iter().find(|of| of.path == *home) {
            None => format!("`{home}` is named as a home, and there is no such crate"),
            Some(of) if !of.dependencies.iter().any(|named| !named.for_tests && dependencies.contains(&named.name)) => {
                format!("`{home}` is named as a home of what it does not use")
            }
            Some(_) => continue,
        };
        findings.push(Finding::new(PAGE, number, wrong, "correct the row"));
    }
    map.homes.extend(dependencies.into_iter().map(|dependency| (dependency, homes.clone())));
}

/// What stands between back-quotes.
fn quoted(line: &str) -> impl Iterator<Item = String> {
    line.split('`').skip(1).step_by(2).map(str::to_owned)
}
