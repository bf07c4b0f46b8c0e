//! A child process that cannot outlive the process that started it. What it runs and when it is ready is the caller's matter.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

/// Runs the program it is given in a process group of its own and kills it as soon as stdin ends. Stdin is a pipe whose other end only the
/// test process holds, so it ends on drop, on exit, and when that process is killed with SIGKILL. (A parent-death signal would not do:
/// it is bound to the *thread* that spawned, and runtimes retire threads.) At the end it takes the rest of its group along: the program's
/// own children and the reader of stdin.
const WATCHDOG: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- &
child=$!
( read -r _ <&3; kill -s KILL "$child" ) &
wait "$child"
code=$?
trap '' TERM
kill -s TERM -- -$$
exit "$code"
"#;

/// Lines of a program's log that an error shows: what etcd and kube-apiserver say last fits.
const LOG_TAIL_LINES: usize = 15;

/// A running program that dies with this value, or with the process that holds it.
#[derive(Debug)]
pub(crate) struct Watched {
    name: String,
    log: PathBuf,
    child: Child,
    lifeline: Option<ChildStdin>,
}

impl Watched {
    /// Starts `program`; its output goes to `log` (appended), or to stderr when `KUBEBUILDER_ATTACH_CONTROL_PLANE_OUTPUT=true`.
    pub(crate) fn spawn<A: AsRef<OsStr>>(program: &Path, arguments: &[A], environment: &[(&str, &str)], log: &Path) -> io::Result<Self> {
        let (out, err) = if std::env::var("KUBEBUILDER_ATTACH_CONTROL_PLANE_OUTPUT").is_ok_and(|value| value == "true") {
            (Stdio::inherit(), Stdio::inherit())
        } else {
            let file = File::options().create(true).append(true).open(log)?;
            (Stdio::from(file.try_clone()?), Stdio::from(file))
        };
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let mut child = Command::new("/bin/sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()?;
        let lifeline = child.stdin.take();
        Ok(Self { name, log: log.to_owned(), child, lifeline })
    }

    /// The file name of the program.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How the program ended, if it has.
    pub(crate) fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// The last lines that the program wrote.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // The watchdog kills and reaps the program. Waiting makes the end visible to the caller and leaves no zombie.
        let _ = self.child.wait();
    }
}
