//! (5) The size of the agent's program.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::Bench;
use super::processes::work_directory;
use crate::table::Table;

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Table> {
    let mut table = Table::new("(5) The program", &["what", "MB", "goal"]);
    let megabytes = |path: &Path| -> anyhow::Result<String> { Ok(format!("{:.1}", fs::metadata(path)?.len() as f64 / 1e6)) };
    let directory = work_directory()?;
    let stripped = directory.path().join("stripped");
    // The profile `dist`, which is what is shipped, has none left.
    let status =
        Command::new("strip").arg("-o").arg(&stripped).arg(&bench.agent).status().context("strip cannot be run; it comes with binutils")?;
    ensure!(status.success(), "strip ended with {status}");
    table.row(["as measured here".to_owned(), megabytes(&bench.agent)?]);
    table.row(["without symbols".to_owned(), megabytes(&stripped)?, "20".to_owned()]);
    Ok(table)
}
