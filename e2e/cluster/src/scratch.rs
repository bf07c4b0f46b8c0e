//! A directory that vanishes with its value, and also when the test process is killed. It lies in memory where the system offers that.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Removes the directory once stdin ends (see `process.rs`); again for a while, because a database that is being killed at the same moment
/// may still create files. 100 times 0.1 s is far more than a killed process needs to end.
const REMOVER: &str = r#"
read -r _
tries=0
until rm -rf -- "$1" 2>/dev/null || [ "$tries" -ge 100 ]; do tries=$((tries + 1)); sleep 0.1; done
"#;

#[derive(Debug)]
pub(crate) struct ScratchDirectory {
    path: PathBuf,
    remover: Child,
    lifeline: Option<ChildStdin>,
}

impl ScratchDirectory {
    pub(crate) fn new(prefix: &str) -> io::Result<Self> {
        let in_memory = Path::new("/dev/shm");
        let parent = if in_memory.is_dir() { in_memory.to_owned() } else { std::env::temp_dir() };
        let directory = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?;
        let mut remover = Command::new("/bin/sh")
            .args(["-c", REMOVER, "remover"])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let lifeline = remover.stdin.take();
        Ok(Self { path: directory.keep(), remover, lifeline })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchDirectory {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        let _ = self.remover.wait();
    }
}
