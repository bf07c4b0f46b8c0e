//! `capstan-agent`: reads its configuration and runs one agent, or examines why it cannot.

use std::process::ExitCode;
use std::time::Duration;

use agent_agentd::{Flags, JoinError, ProcessConfig, SettingsError, examine, run};
use agent_cluster::{Cluster, ClusterConfig};
use clap::{Parser, Subcommand};
use shared_daemon::{Shutdown, init_tracing};

/// How long the agent may take to stop: less than the 30 seconds that Kubernetes gives a pod.
const DRAIN: Duration = Duration::from_secs(20);

/// Exit code: something that may pass, so that a restart may help.
const FAILED: u8 = 1;
/// Exit code: the configuration cannot be used.
const CONFIGURATION: u8 = 2;
/// Exit code: this agent may not keep this cluster; a person must act.
const NOT_ADMITTED: u8 = 3;

/// Keeps one cluster as its hub says, and repairs what drifts, also while the hub is away.
#[derive(Parser)]
#[command(name = "capstan-agent", version)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the agent; this is what happens without a command.
    Run,
    /// Try every hop that the agent needs, say which does not work, and exit with 1 if one does not.
    Doctor,
}

fn main() -> ExitCode {
    // Fails only if there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or(Command::Run);
    let outcome = arguments.flags.resolve().map_err(anyhow::Error::from).and_then(|config| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        match command {
            Command::Run => runtime.block_on(keep(config)).map(|()| ExitCode::SUCCESS),
            Command::Doctor => Ok(runtime.block_on(doctor(&config))),
        }
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("capstan-agent: {error:#}");
        ExitCode::from(code(&error))
    })
}

async fn keep(config: ProcessConfig) -> anyhow::Result<()> {
    init_tracing(&config.logs)?;
    let (_trigger, shutdown) = Shutdown::on_signals(DRAIN)?;
    let cluster = Cluster::connect(&ClusterConfig { kubeconfig: config.kubeconfig }).await?;
    run(config.agent, cluster, shutdown).await
}

async fn doctor(config: &ProcessConfig) -> ExitCode {
    let findings = examine(config).await;
    for finding in &findings {
        let (mark, text) = match &finding.outcome {
            Ok(text) => ('+', text),
            Err(text) => ('-', text),
        };
        println!("[{mark}] {}: {text}", finding.hop);
    }
    if findings.iter().all(|finding| finding.outcome.is_ok()) { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

fn code(error: &anyhow::Error) -> u8 {
    if error.is::<SettingsError>() {
        CONFIGURATION
    } else if error.is::<JoinError>() {
        NOT_ADMITTED
    } else {
        FAILED
    }
}
