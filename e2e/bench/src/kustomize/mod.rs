//! Building kustomizations, measured beside `kubectl kustomize`, `kustomize build` and kustomize's Go library: one part a file. Equality of
//! the results comes first: a time of something else would say nothing.

mod cached;
mod engine;
mod equality;
mod in_process;
mod peak;
mod processes;
mod programs;
mod texts;
mod variants;
mod yaml;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::corpus::{Corpus, Target};
use crate::machine;
use crate::snapshot::Snapshot;
use crate::stopwatch;
use crate::table::Table;
use programs::Programs;

pub use equality::{Verdict, verdicts};
pub use peak::{Resident, run_resident};

/// The parts of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Whether the results are equal to kustomize's.
    Equality,
    /// (a) As processes.
    Processes,
    /// (b) In process, one thread.
    InProcess,
    /// (c) Peak of memory.
    Peak,
    /// (d) YAML read and written.
    Yaml,
    /// (e) A build again after one file changed.
    Cached,
    /// (f) Variants of one app.
    Variants,
}

const PARTS: [Part; 7] = [Part::Equality, Part::Processes, Part::InProcess, Part::Peak, Part::Yaml, Part::Cached, Part::Variants];

/// What is measured, on what.
#[derive(Debug, Args)]
pub struct Options {
    /// Every eighth target and fewer repetitions.
    #[arg(long)]
    quick: bool,
    /// Measures the kustomizations in this directory instead of those that are made for the purpose; those that kustomize refuses are left out.
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Only these parts.
    #[arg(long = "part", value_enum)]
    parts: Vec<Part>,
    /// Where Capstan's command is; otherwise beside this program.
    #[arg(long, value_name = "FILE")]
    capstan: Option<PathBuf>,
    /// Where kustomize is; otherwise `KUSTOMIZE`, or where `e2e/oracle/setup.sh` puts it.
    #[arg(long, value_name = "FILE")]
    kustomize: Option<PathBuf>,
    /// Where kubectl is; otherwise wherever `PATH` says.
    #[arg(long, value_name = "FILE")]
    kubectl: Option<PathBuf>,
}

/// What each part needs.
struct Bench {
    /// How often ours is measured; theirs takes long enough once.
    repetitions: usize,
    root: PathBuf,
    corpus: Corpus,
    snapshot: Snapshot,
    programs: Programs,
}

impl Bench {
    fn targets(&self) -> &[Target] {
        &self.corpus.targets
    }

    fn dirs(&self) -> Vec<&str> {
        self.targets().iter().map(|target| target.dir.as_str()).collect()
    }

    /// Where `target` lies on the disk.
    fn place(&self, target: &Target) -> PathBuf {
        self.root.join(&target.dir)
    }
}

/// Measures and prints the tables.
///
/// # Errors
/// A program is missing or fails, or a result cannot be built at all.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let scratch = tempfile::Builder::new().prefix("capstan-bench-").tempdir_in(scratch_place()).context("cannot create a directory")?;
    let mut corpus = match &options.corpus {
        Some(directory) => Corpus::read(directory)?,
        None => Corpus::made(),
    };
    if options.quick {
        corpus = corpus.thinned(8);
    }
    corpus.write(scratch.path())?;
    let programs = Programs::find(options.capstan.clone(), options.kustomize.clone(), options.kubectl.clone())?;
    if options.corpus.is_some() {
        corpus.targets = equality::buildable(&programs, scratch.path(), corpus.targets)?;
    }
    let snapshot = Snapshot::of(&corpus);
    let repetitions = if options.quick { 3 } else { 7 };
    let bench = Bench { repetitions, root: scratch.path().to_owned(), corpus, snapshot, programs };
    println!("{}", setting(&bench));
    for part in PARTS.into_iter().filter(|part| options.parts.is_empty() || options.parts.contains(part)) {
        stopwatch::warm_up();
        let table = match part {
            Part::Equality => equality::measure(&bench)?,
            Part::Processes => processes::measure(&bench)?,
            Part::InProcess => in_process::measure(&bench)?,
            Part::Peak => peak::measure(&bench)?,
            Part::Yaml => yaml::measure(&bench)?,
            Part::Cached => cached::measure(&bench)?,
            Part::Variants => variants::measure(&bench)?,
        };
        println!("{table}");
    }
    Ok(())
}

/// In memory where the system offers that: a disk would be measured otherwise.
fn scratch_place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

fn setting(bench: &Bench) -> Table {
    let mut table = Table::new("Setting", &["what", "which"]);
    let mut row = |what: &str, which: String| table.row([what.to_owned(), which]);
    row("machine", machine::description());
    row("load before (1 minute)", machine::load().map_or("unknown".to_owned(), |load| format!("{load:.2}")));
    let files = bench.corpus.files.len();
    row("corpus", format!("{} targets, {files} files, {:.1} MB", bench.targets().len(), bench.corpus.bytes() as f64 / 1e6));
    for family in bench.corpus.families() {
        row(&format!("targets: {family}"), bench.targets().iter().filter(|target| target.family == family).count().to_string());
    }
    for (name, version) in bench.programs.versions() {
        row(&name, version);
    }
    table
}
