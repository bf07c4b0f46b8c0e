//! A hub or an agent as a process that a test can kill: the entry points, flags and files of `capstan-hub` and `capstan-agent`, which a test of
//! this package could not name. A hub says on standard output where it listens, once it does. Each ends with its standard input, so that none is
//! left behind.

use std::io::Read as _;
use std::process::ExitCode;
use std::time::Duration;

use agent_agentd::{Flags, run};
use agent_cluster::{Cluster, ClusterConfig};
use clap::Parser;
use hub_hubd::{Arguments, HubConfig, start};
use shared_daemon::{LogConfig, Shutdown, init_tracing};

/// As in the processes that this stands for.
const DRAIN: Duration = Duration::from_secs(20);

#[derive(Parser)]
enum Role {
    /// As `capstan-hub`.
    Hub(Box<Arguments>),
    /// As `capstan-agent run`.
    Agent(Box<Flags>),
}

fn main() -> ExitCode {
    // The only provider in this build; nothing can have installed another one before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    std::thread::spawn(|| {
        // Whoever started this is gone when the pipe ends; what it says before does not matter.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(3);
    });
    match play(Role::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet-process: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn play(role: Role) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match role {
        Role::Hub(arguments) => {
            let config = HubConfig::load(*arguments)?;
            log(&config.logs)?;
            runtime.block_on(async {
                let (_trigger, shutdown) = Shutdown::on_signals(DRAIN)?;
                let hub = start(config, shutdown).await?;
                println!("{} {} {} {}", hub.api, hub.agents, hub.enrolment, hub.admin);
                hub.ended().await;
                Ok(())
            })
        }
        Role::Agent(flags) => {
            let config = flags.resolve()?;
            log(&config.logs)?;
            runtime.block_on(async {
                let (_trigger, shutdown) = Shutdown::on_signals(DRAIN)?;
                let cluster = Cluster::connect(&ClusterConfig { kubeconfig: config.kubeconfig }).await?;
                run(config.agent, cluster, shutdown).await
            })
        }
    }
}

fn log(config: &LogConfig) -> anyhow::Result<()> {
    init_tracing(config)?;
    tracing::info!(process = std::process::id(), "started");
    Ok(())
}
