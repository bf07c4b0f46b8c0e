//! The repositories of a directory over the `git://` protocol, by `git daemon`; readable by everyone, not writable.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::ports::PortLease;
use crate::process::Watched;
use crate::work_tree::hermetic_environment;

/// How long `git daemon` may take to listen. It takes milliseconds.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A running `git daemon`. Dropping it kills it.
#[derive(Debug)]
pub struct GitDaemon {
    _daemon: Watched,
    _log: tempfile::NamedTempFile,
    port: PortLease,
}

impl GitDaemon {
    /// Serves every repository below `root`, such as [`crate::GitServer::root`], and waits until it listens.
    ///
    /// # Errors
    /// `git daemon` cannot be run or ends by itself.
    pub fn start(root: &Path) -> anyhow::Result<Self> {
        let port = PortLease::take()?;
        let log = tempfile::NamedTempFile::new()?;
        let arguments = [
            "daemon".to_owned(),
            "--listen=127.0.0.1".to_owned(),
            format!("--port={}", port.number()),
            "--reuseaddr".to_owned(),
            "--export-all".to_owned(),
            format!("--base-path={}", root.display()),
        ];
        let environment = hermetic_environment(root);
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut daemon = Watched::spawn(Path::new("git"), &arguments, &environment, log.path()).context("cannot run git daemon")?;
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port.number())).is_err() {
            let ended = daemon.exited()?;
            anyhow::ensure!(ended.is_none(), "git daemon ended: {}", daemon.log_tail());
            anyhow::ensure!(started.elapsed() < START_LIMIT, "git daemon does not listen: {}", daemon.log_tail());
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(Self { _daemon: daemon, _log: log, port })
    }

    /// The URL of a repository below the root.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("git://127.0.0.1:{}/{name}", self.port.number())
    }
}
