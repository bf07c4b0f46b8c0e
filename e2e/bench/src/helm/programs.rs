//! The programs that take part, and their versions.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};
use e2e_oracle::{HelmOracle, HelmPrograms};
use serde_json::json;

/// Where they are.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) capstan: PathBuf,
    pub(super) helm: PathBuf,
    pub(super) oracle: PathBuf,
}

impl Programs {
    /// Takes what is named, and looks for the others.
    pub(super) fn find(capstan: Option<PathBuf>) -> anyhow::Result<Self> {
        let HelmPrograms { helm, oracle } = HelmPrograms::find()?;
        let own = std::env::current_exe().context("this program does not know where it lies")?;
        let capstan = capstan.unwrap_or_else(|| own.with_file_name("capstan"));
        if !capstan.is_file() {
            bail!("{} is missing; run `cargo build --release -p hub-cli`", capstan.display());
        }
        Ok(Self { capstan, helm, oracle })
    }

    /// Name and version of each.
    pub(super) fn versions(&self) -> Vec<(String, String)> {
        let said = Command::new(&self.helm).args(["version", "--short"]).output();
        let helm =
            said.map_or_else(|error| format!("unknown: {error}"), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let answer =
            HelmOracle::start(&self.oracle).map_err(anyhow::Error::from).and_then(|mut oracle| Ok(oracle.ask(&json!({"op": "version"}))?));
        let engine = answer.map_or_else(
            |error| format!("unknown: {error:#}"),
            |answer| {
                let part = |name: &str| answer[name].as_str().unwrap_or("unknown").to_owned();
                format!(
                    "{}, sprig {}, {}",
                    part("helm"),
                    answer["modules"]["github.com/Masterminds/sprig/v3"].as_str().unwrap_or("unknown"),
                    part("go")
                )
            },
        );
        let capstan = env!("CARGO_PKG_VERSION").to_owned();
        vec![("capstan".to_owned(), capstan), ("helm".to_owned(), helm), ("Helm's engine".to_owned(), engine)]
    }
}
