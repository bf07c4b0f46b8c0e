//! The demo: hub, three regions with two clusters each in memory, their agents and a Git repository with a fleet, in one process. It needs
//! no other program. What a hub and an agent do is theirs; this crate only brings them together and shows what comes of it.

mod clock;
mod cluster;
mod fleet;
mod guide;
mod live;
mod once;
mod repository;
mod table;
mod wait;
mod world;

use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal, stderr, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::Context as _;
use clap::Parser;
use hub_cli::Console;
use shared_daemon::Shutdown;
use tracing_subscriber::EnvFilter;

use crate::world::World;

/// A hub, six clusters in memory, their agents and a Git repository, in one process.
#[derive(Parser)]
#[command(name = "e2e-demo")]
struct Arguments {
    /// Try all that can be tried, say what happened, and exit with an error if anything is not as it should be.
    #[arg(long)]
    once: bool,
    /// An empty or missing directory for everything [default: a temporary one].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Add the shapes of all requests that the clusters served to this list.
    #[arg(long, value_name = "FILE")]
    record_shapes: Option<PathBuf>,
    /// Which log lines are written to demo.log, as tracing's filter says it.
    #[arg(long, default_value = "info", value_name = "FILTER")]
    log: String,
}

/// Where everything is; a temporary directory goes with it.
struct Ground {
    path: PathBuf,
    temporary: Option<tempfile::TempDir>,
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the system gives this process no event loop: {error}");
            return ExitCode::FAILURE;
        }
    };
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words.first().is_some_and(|word| word == "capstan") {
        return runtime.block_on(capstan(words));
    }
    match runtime.block_on(demo(Arguments::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The operator's command; the script `capstan` in the demo's directory calls it.
async fn capstan(words: Vec<OsString>) -> ExitCode {
    let (mut input, mut out, mut err) = (std::io::BufReader::new(stdin()), stdout(), stderr());
    let interactive = stdin().is_terminal() && stderr().is_terminal();
    hub_cli::run(words, &mut Console { input: &mut input, out: &mut out, err: &mut err, interactive }).await.into()
}

async fn demo(arguments: Arguments) -> anyhow::Result<()> {
    let (_trigger, signals) = Shutdown::on_signals(std::time::Duration::from_secs(5)).context("signals cannot be watched")?;
    let mut ground = Ground::of(arguments.dir)?;
    log_to(&ground.path.join("demo.log"), &arguments.log)?;
    // All of Capstan uses this cryptography; that it is installed already is no fault.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = tokio::select! {
        outcome = play(&ground, arguments.once, arguments.record_shapes.as_deref(), &signals) => outcome,
        () = signals.ended() => Err(anyhow::anyhow!("ended at once")),
    };
    if outcome.is_err() {
        ground.keep();
        eprintln!("what was logged stands in {}", ground.path.join("demo.log").display());
    }
    outcome
}

async fn play(ground: &Ground, once: bool, shapes: Option<&Path>, signals: &Shutdown) -> anyhow::Result<()> {
    let mut world = World::start(&ground.path).await?;
    if !once {
        println!("{}", guide::guide(&world, ground.temporary.is_some()));
    }
    let playing = async { if once { once::run(&mut world).await } else { live::run(&mut world).await } };
    let outcome = tokio::select! {
        outcome = playing => outcome,
        () = signals.begun() => {
            println!("ending");
            if once { Err(anyhow::anyhow!("interrupted")) } else { Ok(()) }
        }
    };
    if let Some(path) = shapes {
        for cluster in &world.clusters {
            e2e_fakekube::shapes::append(path, &cluster.kube.shapes()).with_context(|| format!("{} cannot be written", path.display()))?;
        }
    }
    let ended = world.end().await;
    outcome.and(ended)
}

impl Ground {
    fn of(asked: Option<PathBuf>) -> anyhow::Result<Self> {
        let Some(path) = asked else {
            let temporary = tempfile::Builder::new().prefix("capstan-").tempdir().context("no temporary directory can be made")?;
            return Ok(Self { path: temporary.path().to_owned(), temporary: Some(temporary) });
        };
        std::fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        let path = path.canonicalize()?;
        anyhow::ensure!(path.read_dir()?.next().is_none(), "{} is not empty; name a directory for this demo alone", path.display());
        Ok(Self { path, temporary: None })
    }

    /// Leaves the directory behind for whoever looks for the cause of a failure.
    fn keep(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            let _ = temporary.keep();
        }
    }
}

fn log_to(path: &Path, filter: &str) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
    let filter = EnvFilter::try_new(filter).with_context(|| format!("{filter:?} is no filter of log lines"))?;
    let lines = tracing_subscriber::fmt().with_ansi(false).with_env_filter(filter).with_writer(Mutex::new(file));
    lines.try_init().map_err(|error| anyhow::anyhow!("BUG: logs were set up twice: {error}"))
}
