//! The real Helm for tests: its command, and its library as a resident oracle (`helm-go/`, built by `helm-setup.sh`). What is compared with it,
//! and how, is left to the tests that ask.

use std::env;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::client::{AskError, Oracle};

/// The programs that were looked for and not found.
#[derive(Debug, thiserror::Error)]
#[error("no helm and helm-oracle in {}; run e2e/oracle/helm-setup.sh, or set CAPSTAN_HELM_ORACLE_DIR to a directory that has them", .0.display())]
pub struct MissingHelm(PathBuf);

/// Where the programs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelmPrograms {
    /// The command.
    pub helm: PathBuf,
    /// The library, resident.
    pub oracle: PathBuf,
}

impl HelmPrograms {
    /// Looks in `CAPSTAN_HELM_ORACLE_DIR`, else where `helm-setup.sh` puts them.
    ///
    /// # Errors
    /// They are not there.
    pub fn find() -> Result<Self, MissingHelm> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = || set("CAPSTAN_CACHE").or_else(|| set("XDG_CACHE_HOME")).or_else(|| Some(set("HOME")?.join(".cache")));
        let folder = set("CAPSTAN_HELM_ORACLE_DIR").or_else(|| Some(cache()?.join("capstan/helm-oracle/current"))).unwrap_or_default();
        let programs = Self { helm: folder.join("helm"), oracle: folder.join("helm-oracle") };
        if programs.helm.is_file() && programs.oracle.is_file() { Ok(programs) } else { Err(MissingHelm(folder)) }
    }
}

/// What Helm says to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HelmAnswer<T> {
    /// What it gives.
    Given(T),
    /// What it says instead.
    Refused(String),
}

/// A running oracle for Helm.
#[derive(Debug)]
pub struct HelmOracle(Oracle);

impl HelmOracle {
    /// Starts `program`. It ends with the returned value.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(program: &Path) -> std::io::Result<Self> {
        Ok(Self(Oracle::start(program)?))
    }

    /// Asks one question, in the protocol of `helm-go/main.go`.
    ///
    /// # Errors
    /// There is no answer.
    pub fn ask(&mut self, question: &Value) -> Result<Value, AskError> {
        self.0.ask(question)
    }

    /// What the command line `helm ARGUMENTS...` prints.
    ///
    /// # Errors
    /// There is no answer.
    pub fn run(&mut self, arguments: &[String]) -> Result<HelmAnswer<String>, AskError> {
        let answer = self.ask(&json!({"op": "run", "args": arguments}))?;
        match (answer["output"].as_str(), answer["error"].as_str()) {
            (Some(text), None) => Ok(HelmAnswer::Given(text.to_owned())),
            (None, Some(message)) => Ok(HelmAnswer::Refused(message.to_owned())),
            _ => Err(AskError::Form(answer)),
        }
    }
}
