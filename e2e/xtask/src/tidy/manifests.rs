//! What each crate's manifest takes over from the workspace, and the `clippy.toml` of each pure crate.

use super::Finding;
use super::architecture::{Layer, Map};
use super::workspace::{Crate, Workspace};

/// What a pure crate forbids beyond what metadata can see.
const PURE_CLIPPY: &str = include_str!("pure-clippy.toml");
/// Where that text lies.
const PURE_CLIPPY_PATH: &str = "e2e/xtask/src/tidy/pure-clippy.toml";

/// The section and key of everything that is said once, in the workspace's manifest.
const INHERITED: [(&str, &str); 6] = [
    ("[package]", "version"),
    ("[package]", "edition"),
    ("[package]", "rust-version"),
    ("[package]", "license"),
    ("[package]", "publish"),
    ("[lints]", ""),
];

/// Checks every crate.
pub(super) fn check(workspace: &Workspace, map: &Map) -> Vec<Finding> {
    let mut findings = Vec::new();
    for of in &workspace.crates {
        findings.extend(check_inherited(workspace, of));
        if map.layer(&of.path) == Some(Layer::Pure) {
            findings.extend(check_clippy(workspace, of));
        }
    }
    findings
}

fn check_inherited(workspace: &Workspace, of: &Crate) -> Vec<Finding> {
    let text = workspace.text(&of.manifest());
    let mut inherited = Vec::new();
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        }
        let line: String = line.chars().filter(|character| !character.is_whitespace()).collect();
        let key = match line.strip_suffix("workspace=true") {
            Some(key) => key.strip_suffix('.').unwrap_or(key).to_owned(),
            None => line.strip_suffix("={workspace=true}").unwrap_or("?").to_owned(),
        };
        inherited.push((section, key));
    }
    let missing = INHERITED.into_iter().filter(|(section, key)| !inherited.iter().any(|(of, found)| of == section && found == key));
    missing
        .map(|(section, key)| {
            let line = (1..).zip(text.lines()).find(|(_, line)| line.trim() == section).map_or(1, |(number, _)| number);
            let (subject, remedy) = match key {
                "" => ("the workspace's lints".to_owned(), "write `workspace = true` below `[lints]`".to_owned()),
                key => (format!("`{key}` of the workspace"), format!("write `{key}.workspace = true` below `{section}`")),
            };
            Finding::new(of.manifest(), line, format!("`{}` does not inherit {subject}", of.path), remedy)
        })
        .collect()
}

fn check_clippy(workspace: &Workspace, of: &Crate) -> Option<Finding> {
    let path = format!("{}/clippy.toml", of.path);
    let remedy = format!("copy {PURE_CLIPPY_PATH} there; what one pure crate forbids, all forbid");
    let Some(present) = workspace.files.get(&path) else {
        return Some(Finding::new(path, 1, format!("`{}` is pure and has no clippy.toml", of.path), remedy));
    };
    if present == PURE_CLIPPY {
        return None;
    }
    let same = present.lines().zip(PURE_CLIPPY.lines()).take_while(|(present, wanted)| present == wanted).count();
    Some(Finding::new(path, same + 1, format!("`{}` does not forbid what pure crates forbid", of.path), remedy))
}
