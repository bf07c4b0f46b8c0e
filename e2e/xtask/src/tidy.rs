//! `tidy`: the project's rules about itself that neither the compiler nor clippy checks. Each rule is a file below that turns what was read
//! into findings; what is generated is left to `codegen` and `schemas`, which are asked here too.
//!
//! The rules about crates are read from the tables of `docs/architecture.md`, so that page and code cannot disagree.

mod architecture;
mod layers;
mod lockfile;
mod manifests;
mod modules;
mod pages;
mod texts;
mod tokens;
mod unused;
mod workspace;

use std::fmt;
use std::path::Path;

use anyhow::bail;

use crate::{codegen, schemas};
use workspace::Workspace;

/// Something that breaks a rule, and what to do about it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Finding {
    /// The file, relative to the workspace, with `/`.
    pub(crate) path: String,
    /// The line, from 1.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) what: String,
    /// What to do.
    pub(crate) remedy: String,
}

impl Finding {
    /// A finding at `path:line`.
    pub(crate) fn new(path: impl Into<String>, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { path: path.into(), line, what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    {}", self.path, self.line, self.what, self.remedy)
    }
}

/// Checks this workspace, what is generated in it included.
pub(crate) fn check_project() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut findings = findings(&root)?;
    findings.extend(
        schemas::stale(&root.join("docs/schemas"))?
            .into_iter()
            .map(|stale| Finding::new(format!("docs/schemas/{}", stale.file), 1, stale.what, "run `cargo run -p e2e-xtask -- schemas`")),
    );
    if let Err(stale) = codegen::check() {
        findings.push(Finding::new(
            "shared/proto/src/generated/capstan.v1.rs",
            1,
            format!("{stale:#}"),
            "run `cargo run -p e2e-xtask -- codegen`",
        ));
    }
    report(findings)
}

/// Checks the workspace at `root` by the rules that need nothing generated.
pub(crate) fn check_tree(root: &Path) -> anyhow::Result<()> {
    report(findings(root)?)
}

fn findings(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let workspace = Workspace::read(root)?;
    let (map, mut findings) = architecture::read(&workspace);
    findings.extend(layers::check(&workspace, &map));
    findings.extend(lockfile::check(&workspace));
    findings.extend(manifests::check(&workspace, &map));
    findings.extend(modules::check(&workspace, &map));
    findings.extend(pages::check(&workspace));
    findings.extend(unused::check(&workspace));
    findings.extend(texts::check(&workspace));
    Ok(findings)
}

fn report(mut findings: Vec<Finding>) -> anyhow::Result<()> {
    findings.sort();
    findings.dedup();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("tidy: 1 finding"),
        count => bail!("tidy: {count} findings"),
    }
}
