//! `schemas`: writes the JSON Schemas of the fleet language to `docs/schemas`; `schemas --check` proves that they are fresh. What is in them
//! is `hub/fleet`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Where the schemas are published.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas")
}

/// A published file that is not what the parser reads by.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Stale {
    /// Its name.
    pub(crate) file: String,
    /// What is wrong with it.
    pub(crate) what: &'static str,
}

/// Makes `directory` hold the schemas and nothing else.
pub(crate) fn write(directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let wanted = wanted()?;
    for stale in stale(directory)? {
        let path = directory.join(&stale.file);
        let done = match wanted.get(&stale.file) {
            Some(text) => std::fs::write(&path, text),
            None => std::fs::remove_file(&path),
        };
        done.with_context(|| format!("cannot change {}", path.display()))?;
    }
    Ok(())
}

/// Fails if `directory` does not hold the schemas as they are.
pub(crate) fn check(directory: &Path) -> anyhow::Result<()> {
    let stale = stale(directory)?;
    for Stale { file, what } in &stale {
        println!("{}:1: {what}", directory.join(file).display());
    }
    if !stale.is_empty() {
        bail!("the published schemas are not what the parser reads by; run `cargo run -p e2e-xtask -- schemas`");
    }
    Ok(())
}

/// What differs between `directory` and the schemas as they are.
pub(crate) fn stale(directory: &Path) -> anyhow::Result<Vec<Stale>> {
    let wanted = wanted()?;
    let present = present(directory)?;
    let names: BTreeSet<&String> = wanted.keys().chain(present.keys()).collect();
    let judge = |file: &String| match (wanted.get(file), present.get(file)) {
        (Some(wanted), Some(present)) => (wanted.as_bytes() != present).then_some("it is not what the parser reads by"),
        (Some(_), None) => Some("it is missing"),
        (None, _) => Some("no kind has this schema"),
    };
    Ok(names.into_iter().filter_map(|file| Some(Stale { what: judge(file)?, file: file.clone() })).collect())
}

fn wanted() -> anyhow::Result<BTreeMap<String, String>> {
    hub_fleet::schemas()
        .into_iter()
        .map(|(file, schema)| {
            let text = serde_json::to_string_pretty(&schema).with_context(|| format!("cannot write {file}"))?;
            Ok((file, text + "\n"))
        })
        .collect()
}

fn present(directory: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut present = BTreeMap::new();
    if !directory.exists() {
        return Ok(present);
    }
    for entry in std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry.with_context(|| format!("cannot read {}", directory.display()))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        present.insert(name, std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    Ok(present)
}
