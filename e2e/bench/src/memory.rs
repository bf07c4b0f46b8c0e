//! The peak of a process's memory (`VmHWM`), read while it still lives.

use std::io::Read;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::machine::{field, kilobytes};

/// How much is read between two looks: as much as a pipe holds, so that whoever prints more than that waits for the look.
const PIPE_BYTES: usize = 64 << 10;

/// The peak of this process so far, in bytes.
pub(crate) fn own_peak() -> anyhow::Result<u64> {
    peak_of("self").context("this system does not say how much memory a process takes")
}

/// The peak of `command` in bytes, which has to print more than a pipe holds: it is looked at before each piece of its output is taken.
pub(crate) fn peak_while_printing(command: &mut Command) -> anyhow::Result<u64> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().with_context(|| format!("cannot start {command:?}"))?;
    let process = child.id().to_string();
    let mut output = child.stdout.take().context("BUG: a piped child has no pipe")?;
    let (mut piece, mut peak) = (vec![0; PIPE_BYTES], 0);
    let taken = loop {
        match output.read(&mut piece) {
            Ok(0) => break Ok(()),
            Ok(_) => peak = peak.max(peak_of(&process).unwrap_or(0)),
            Err(error) => break Err(error),
        }
    };
    let status = child.wait().with_context(|| format!("cannot wait for {command:?}"))?;
    taken.with_context(|| format!("cannot read what {command:?} prints"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(peak)
}

fn peak_of(process: &str) -> Option<u64> {
    Some(kilobytes(&field(&format!("/proc/{process}/status"), "VmHWM")?)? << 10)
}

/// Bytes as MiB.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
