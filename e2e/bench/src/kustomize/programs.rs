//! The programs that take part, and their versions.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use e2e_oracle::Oracle;
use serde_json::{Value, json};

/// Where they are.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) capstan: PathBuf,
    pub(super) kustomize: PathBuf,
    /// `None` if there is none; its rows are left out then.
    pub(super) kubectl: Option<PathBuf>,
    pub(super) oracle: PathBuf,
}

impl Programs {
    /// Takes what is named, and looks for the others.
    pub(super) fn find(capstan: Option<PathBuf>, kustomize: Option<PathBuf>, kubectl: Option<PathBuf>) -> anyhow::Result<Self> {
        let oracle = Oracle::program()?;
        let own = std::env::current_exe().context("this program does not know where it lies")?;
        let capstan = capstan.unwrap_or_else(|| own.with_file_name("capstan"));
        if !capstan.is_file() {
            bail!("{} is missing; run `cargo build --release -p hub-cli`", capstan.display());
        }
        let named = || std::env::var_os("KUSTOMIZE").filter(|path| !path.is_empty()).map(PathBuf::from);
        let kustomize = kustomize.or_else(named).unwrap_or_else(|| oracle.with_file_name("kustomize"));
        if !kustomize.is_file() {
            bail!("{} is missing; run e2e/oracle/setup.sh, or name it with --kustomize", kustomize.display());
        }
        let kubectl = kubectl.or_else(|| Some(PathBuf::from("kubectl")).filter(|kubectl| said(kubectl, &["version", "--client"]).is_ok()));
        Ok(Self { capstan, kustomize, kubectl, oracle })
    }

    /// Name and version of each.
    pub(super) fn versions(&self) -> Vec<(String, String)> {
        let or_unknown = |said: anyhow::Result<String>| said.unwrap_or_else(|error| format!("unknown: {error:#}"));
        let one_line = |text: String| text.lines().map(str::trim).collect::<Vec<_>>().join(", ");
        let capstan = format!("{}, builds as kustomize {}", env!("CARGO_PKG_VERSION"), hub_kustomize::KUSTOMIZE_VERSION);
        let mut versions = vec![("capstan".to_owned(), capstan)];
        versions.push(("kustomize".to_owned(), or_unknown(said(&self.kustomize, &["version"]).map(one_line))));
        if let Some(kubectl) = &self.kubectl {
            versions.push(("kubectl".to_owned(), or_unknown(said(kubectl, &["version", "--client"]).map(one_line))));
        }
        let library = self.ask(&json!({"op": "version"})).map(|answer| {
            let api = answer["modules"]["sigs.k8s.io/kustomize/api"].as_str().unwrap_or("unknown").to_owned();
            format!("api {api}, {}", answer["go"].as_str().unwrap_or("unknown Go"))
        });
        versions.push(("kustomize's library".to_owned(), or_unknown(library)));
        versions
    }

    /// Asks an oracle of its own.
    fn ask(&self, question: &Value) -> anyhow::Result<Value> {
        Ok(Oracle::start(&self.oracle)?.ask(question)?)
    }
}

fn said(program: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("cannot start {}", program.display()))?;
    if !output.status.success() {
        bail!("{} ended with {}", program.display(), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
