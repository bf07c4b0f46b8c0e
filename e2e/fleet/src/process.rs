//! Hubs and agents as processes of their own, for what can only be done to a process: killing and freezing it. The program is
//! `fleet-process` of this package.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::PATIENCE;

/// The lines of its log that an error quotes.
const LAST_WORDS: usize = 30;

/// A running process. It dies when this is dropped, and also when the test's own process ends in any way: its standard input ends then.
pub struct Process {
    child: Child,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Process {
    /// Starts `program`, which is what `env!("CARGO_BIN_EXE_fleet-process")` says in a test, with its log appended to `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(program: &str, arguments: &[OsString], log: &Path) -> anyhow::Result<Self> {
        let open = || -> std::io::Result<File> { OpenOptions::new().create(true).append(true).open(log) };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(open().with_context(|| format!("{} cannot be written", log.display()))?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{program} cannot be started"))?;
        let stdout = child.stdout.take().context("BUG: standard output was asked to be a pipe")?;
        Ok(Self { child, lines: BufReader::new(stdout).lines(), log: log.to_owned() })
    }

    /// The next line that it prints; `None` if it ended.
    ///
    /// # Errors
    /// The pipe cannot be read.
    pub async fn line(&mut self) -> anyhow::Result<Option<String>> {
        Ok(self.lines.next_line().await?)
    }

    /// Checks that it did not end by itself.
    ///
    /// # Errors
    /// It did; the message holds its last words.
    pub fn check_runs(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("it ended by itself with {status}; its last words:\n{}", self.last_words()),
        }
    }

    /// Kills it as nothing can be refused (`SIGKILL`) and waits until it is gone.
    ///
    /// # Errors
    /// It ended by itself before.
    pub async fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        self.check_runs()?;
        self.child.kill().await?;
        Ok(self.child.wait().await?)
    }

    /// Freezes it: it does nothing any more, and its connections stay open.
    ///
    /// # Errors
    /// It is gone.
    pub async fn freeze(&self) -> anyhow::Result<()> {
        self.signal("-STOP").await
    }

    /// Asks it to end, as Kubernetes asks a pod (`SIGTERM`), and waits until it has.
    ///
    /// # Errors
    /// It is gone, ends with an error, or does not end.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        // Waiting closes it, which would end the process out of order.
        let _input = self.child.stdin.take();
        self.signal("-TERM").await?;
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.context("it does not end")??;
        anyhow::ensure!(status.success(), "it ended with {status}; its last words:\n{}", self.last_words());
        Ok(())
    }

    async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let id = self.child.id().context("it is gone")?;
        let status = Command::new("kill").args([signal, &id.to_string()]).status().await.context("kill cannot be run")?;
        anyhow::ensure!(status.success(), "kill {signal} {id} ended with {status}");
        Ok(())
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
    }
}
