//! `capstan-agent`: reads its configuration and runs one agent, or examines why it cannot.

use std::process::ExitCode;
use std::time::Duration;

use agent_agentd::{
    AgentConfig, Flags, JoinError, LeaveError, Leaving, LeavingSeat, Parting, ProcessConfig, SettingsError, examine, leave, run,
};
use agent_cluster::{Cluster, ClusterConfig};
use clap::{Parser, Subcommand};
use shared_daemon::{Shutdown, init_tracing};
use shared_model::{AppName, Clock, Timestamp};

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
    /// Take Capstan's marks off what this agent owns, so that another tool can take over; tells only what would happen unless --yes is given. No
    /// object is deleted or changed otherwise. The agent itself must be stopped.
    Leave {
        /// Only these apps, which the fleet must not run here any more. Everything if left out, and then the agent's Secrets and Lease go too.
        #[arg(long = "app", value_name = "APP")]
        apps: Vec<AppName>,
        /// Do it.
        #[arg(long)]
        yes: bool,
    },
}

fn main() -> ExitCode {
    // Fails only if there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or(Command::Run);
    let outcome = arguments.flags.resolve().map_err(anyhow::Error::from).and_then(|config| {
        // One thread for everything but what blocks. Each thread gets memory of its own from the C library and keeps what it needed at most: with
        // three threads that the loop wandered between, the agent held three times as much as it used.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        match command {
            Command::Run => runtime.block_on(keep(config)).map(|()| ExitCode::SUCCESS),
            Command::Doctor => Ok(runtime.block_on(doctor(&config))),
            Command::Leave { apps, yes } => runtime.block_on(part(config, Leaving { apps: apps.into_iter().collect(), is_meant: yes })),
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

async fn part(config: ProcessConfig, leaving: Leaving) -> anyhow::Result<ExitCode> {
    let cluster = Cluster::connect(&ClusterConfig { kubeconfig: config.kubeconfig }).await?;
    let instance = format!("leave-{}-{}", std::process::id(), Timestamp::now().as_millisecond());
    let AgentConfig { data_dir, namespace, .. } = &config.agent;
    let seat = LeavingSeat { cluster: &cluster, ledger: data_dir, namespace, instance };
    let parted = leave(&seat, &leaving, &Clock::new(Timestamp::now)).await?;
    for one in &parted {
        println!("{}: {} {}", one.app, one.object, one.outcome);
    }
    let failed = parted.iter().filter(|one| matches!(one.outcome, Parting::Failed(_))).count();
    match (failed, leaving.is_meant) {
        (0, false) => println!("{} objects; nothing was changed: add --yes to let go of them", parted.len()),
        (0, true) => println!("{} objects; they are nobody's now", parted.len()),
        _ => println!("{failed} of {} objects could not be let go and are owned as before; run it again when that is mended", parted.len()),
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn code(error: &anyhow::Error) -> u8 {
    if error.is::<SettingsError>() {
        CONFIGURATION
    } else if error.is::<JoinError>() || error.is::<LeaveError>() {
        NOT_ADMITTED
    } else {
        FAILED
    }
}
