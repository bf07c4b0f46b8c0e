//! The agent as a process against a real API server: one part a file, beside the limit in the same run (a bare client that applies the same
//! objects and holds the same watches), and beside what is known of Flux and Argo CD.

mod client;
mod heal;
mod hub;
mod large;
mod peers;
mod processes;
mod profile;
mod rate;
mod requests;
mod size;
mod stage;
mod workload;

use std::path::PathBuf;

use clap::Args;

use crate::machine;
use crate::table::Table;

/// The parts of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// (1) Many apps at once.
    Rate,
    /// (2) One field healed.
    Heal,
    /// (3), (4), (6) Quiet, memory and restart with 10,000 objects.
    Large,
    /// (5) The size of the program.
    Size,
    /// (7) The peers' workload.
    Peers,
    /// Where the bytes are. Only when asked for: it takes `heaptrack`.
    Profile,
}

const PARTS: [Part; 5] = [Part::Rate, Part::Heal, Part::Large, Part::Size, Part::Peers];

/// What is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// A tenth of the apps, a fifth of the objects, one quiet minute.
    #[arg(long)]
    quick: bool,
    /// So many objects of 2 KB instead of 10,000 (with --quick: 2,000), to look at one thing soon. The goals are those of 10,000.
    #[arg(long, value_name = "COUNT")]
    objects: Option<usize>,
    /// So many quiet minutes instead of ten (with --quick: one).
    #[arg(long, value_name = "MINUTES")]
    quiet: Option<u32>,
    /// Only these parts.
    #[arg(long = "part", value_enum)]
    parts: Vec<Part>,
    /// Where the agent's program is; otherwise beside this program.
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

/// What each part needs.
struct Bench {
    quick: bool,
    /// Objects of the large workload.
    objects: usize,
    /// Quiet minutes with it.
    minutes: u32,
    agent: PathBuf,
}

/// Measures and prints the tables.
///
/// # Errors
/// The control plane or the agent is missing or fails.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let agent = match &options.agent {
        Some(path) => path.canonicalize()?,
        None => processes::beside_this_program("capstan-agent")?,
    };
    let (objects, minutes) = if options.quick { (2_000, 1) } else { (10_000, 10) };
    let bench =
        Bench { quick: options.quick, objects: options.objects.unwrap_or(objects), minutes: options.quiet.unwrap_or(minutes), agent };
    println!("{}", setting());
    tokio::runtime::Runtime::new()?.block_on(async {
        let parts: &[Part] = if options.parts.is_empty() { &PARTS } else { &options.parts };
        for part in parts {
            for table in measure(&bench, *part).await? {
                println!("{table}");
            }
            println!("Load after this part (1 minute): {}\n", load());
        }
        Ok(())
    })
}

async fn measure(bench: &Bench, part: Part) -> anyhow::Result<Vec<Table>> {
    Ok(match part {
        Part::Rate => vec![rate::measure(bench).await?],
        Part::Heal => vec![heal::measure(bench).await?],
        Part::Large => large::measure(bench).await?,
        Part::Size => vec![size::measure(bench)?],
        Part::Peers => vec![peers::measure(bench).await?],
        Part::Profile => profile::measure(bench).await?,
    })
}

fn setting() -> Table {
    let mut table = Table::new("Setting", &["what", "which"]);
    let mut row = |what: &str, which: String| table.row([what.to_owned(), which]);
    row("machine", machine::description());
    row("load before (1 minute)", load());
    row("control plane", "etcd, kube-apiserver, kube-controller-manager of e2e/cluster, no nodes".to_owned());
    row("agent", env!("CARGO_PKG_VERSION").to_owned());
    table
}

fn load() -> String {
    machine::load().map_or("unknown".to_owned(), |load| format!("{load:.2}"))
}
