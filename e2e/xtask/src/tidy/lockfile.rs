//! What `Cargo.lock` brings in, against the bans of `deny.toml` and the one registry. Licences and advisories are left to cargo-deny.

use super::Finding;
use super::workspace::Workspace;

const LOCK: &str = "Cargo.lock";
const DENY: &str = "deny.toml";
/// As the lock file writes it.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks every package of the lock file.
pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let banned: Vec<&str> = workspace.text(DENY).lines().filter_map(banned_crate).collect();
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(workspace.text(LOCK).lines()) {
        if let Some(name) = value(line, "name").filter(|name| banned.contains(name)) {
            let remedy = format!("{DENY} says why and what to use instead; `cargo tree -i {name}` shows who brings it");
            findings.push(Finding::new(LOCK, number, format!("`{name}` is banned"), remedy));
        }
        if let Some(source) = value(line, "source").filter(|source| *source != CRATES_IO) {
            findings.push(Finding::new(LOCK, number, format!("a package comes from {source}"), "take a release from crates.io"));
        }
    }
    findings
}

/// The crate of a line of `deny.toml` such as `{ crate = "git2", reason = "…" },`.
fn banned_crate(line: &str) -> Option<&str> {
    line.trim().strip_prefix("{ crate = \"")?.split('"').next()
}

/// The text of a line such as `name = "gix"`.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')
}
