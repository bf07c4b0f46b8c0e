//! The process `capstan-hub`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use hub_hubd::{Arguments, HubConfig, start};
use shared_daemon::{Shutdown, init_tracing};

/// How long the hub takes to end at most.
const DRAIN: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    // The only provider in this build; nothing can have installed another one before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("capstan-hub: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let config = HubConfig::load(Arguments::parse())?;
    init_tracing(&config.logs)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let (_trigger, shutdown) = Shutdown::on_signals(DRAIN)?;
        start(config, shutdown).await?.ended().await;
        Ok(())
    })
}
