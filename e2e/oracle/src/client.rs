//! The resident oracle as a value: it is started, asked, and killed with it. What the answers mean is left to who asks.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// The programs that were looked for and not found.
#[derive(Debug, thiserror::Error)]
#[error("no kustomize-oracle at {}; run e2e/oracle/setup.sh, or set CAPSTAN_ORACLE_DIR to a directory that has it", .0.display())]
pub struct MissingOracle(PathBuf);

/// Why the oracle gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The pipe to it broke: it ended, which it does only when Go gives up (out of memory, stack overflow).
    #[error("the oracle ended while it was asked")]
    Pipe(#[from] std::io::Error),
    /// What it said is no JSON.
    #[error("the oracle's answer is no JSON")]
    Json(#[from] serde_json::Error),
    /// What it said is no answer to the question.
    #[error("the oracle answered neither what was asked for nor a refusal: {0}")]
    Form(Value),
}

/// What kustomize makes of a kustomization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What `kustomize build` prints.
    Built(String),
    /// What it says instead.
    Refused(String),
}

/// A running oracle.
#[derive(Debug)]
pub struct Oracle {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Oracle {
    /// Where the program is: `CAPSTAN_ORACLE`, else in `CAPSTAN_ORACLE_DIR`, else where `setup.sh` puts it.
    ///
    /// # Errors
    /// It is not there.
    pub fn program() -> Result<PathBuf, MissingOracle> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = || set("CAPSTAN_CACHE").or_else(|| set("XDG_CACHE_HOME")).or_else(|| Some(set("HOME")?.join(".cache")));
        let program = set("CAPSTAN_ORACLE")
            .or_else(|| Some(set("CAPSTAN_ORACLE_DIR")?.join("kustomize-oracle")))
            .or_else(|| Some(cache()?.join("capstan/oracle/current/kustomize-oracle")))
            .unwrap_or_else(|| PathBuf::from("kustomize-oracle"));
        if program.is_file() { Ok(program) } else { Err(MissingOracle(program)) }
    }

    /// Starts `program`. It ends with the returned value, or when this process does: its stdin closes.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(program: &Path) -> std::io::Result<Self> {
        let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(std::io::Error::other("a piped child has no pipes"));
        };
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// Asks one question, in the protocol of `go/main.go`.
    ///
    /// # Errors
    /// There is no answer.
    pub fn ask(&mut self, question: &Value) -> Result<Value, AskError> {
        let mut line = question.to_string();
        line.push('\n');
        self.input.write_all(line.as_bytes())?;
        let mut answer = String::new();
        if self.output.read_line(&mut answer)? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        Ok(serde_json::from_str(&answer)?)
    }

    /// Builds the directory `dir` of `files` (path to text) as `kustomize build` does.
    ///
    /// # Errors
    /// There is no answer.
    pub fn build(&mut self, files: &BTreeMap<String, String>, dir: &str) -> Result<Answer, AskError> {
        let answer = self.ask(&json!({"op": "build", "files": files, "dir": dir}))?;
        match (answer["yaml"].as_str(), answer["error"].as_str()) {
            (Some(yaml), None) => Ok(Answer::Built(yaml.to_owned())),
            (None, Some(error)) => Ok(Answer::Refused(error.to_owned())),
            _ => Err(AskError::Form(answer)),
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether `REQUIRE_ORACLE=1` or `CI=true` says that a test without oracle must fail.
#[must_use]
pub fn must_not_skip() -> bool {
    let is = |name, value| env::var(name).is_ok_and(|set| set == value);
    is("REQUIRE_ORACLE", "1") || is("CI", "true")
}

/// Says in one line that a test is skipped and why, past the test harness, which hides the output of tests that pass.
pub fn note_skip(reason: &dyn std::fmt::Display) {
    let thread = std::thread::current();
    let line = format!("skipped {}: {reason}\n", thread.name().unwrap_or("a test"));
    // A closed stderr leaves nobody to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
