//! The fuzz targets without libFuzzer: replays inputs with the time of each, and writes the seeds that libFuzzer begins with.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use e2e_fuzz::{Target, inputs, write_seeds};

const USAGE: &str = "usage: cargo run --release -p e2e-fuzz -- COMMAND
  replay TARGET             checks every input that is kept, and names the slowest
  replay TARGET FILE...     checks these inputs and prints the time of each
  seeds TARGET FOLDER       writes the seeds into a folder";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["replay", target] => target.parse().and_then(replay_all),
        ["replay", target, ref files @ ..] => target.parse().and_then(|target| replay(target, files)),
        ["seeds", target, folder] => target.parse().and_then(|target| write_seeds(target, Path::new(folder))),
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn replay_all(target: Target) -> anyhow::Result<()> {
    let inputs = inputs(target)?;
    let slowest = inputs.iter().map(|input| (timed(target, &input.bytes), &input.name)).max();
    if let Some((time, name)) = slowest {
        println!("{target}: {} inputs, the slowest {} ms: {name}", inputs.len(), time.as_millis());
    }
    Ok(())
}

fn replay(target: Target, files: &[&str]) -> anyhow::Result<()> {
    for file in files.iter().map(PathBuf::from) {
        let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        println!("{} ms, {} bytes: {}", timed(target, &bytes).as_millis(), bytes.len(), file.display());
    }
    Ok(())
}

fn timed(target: Target, input: &[u8]) -> Duration {
    let started = Instant::now();
    target.run(input);
    started.elapsed()
}
