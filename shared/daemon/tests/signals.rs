//! Real signals to a real process: the first begins the end, the second completes it. This file is a process of its own, so that no other
//! test receives them.

use std::process::Command;
use std::time::Duration;

use shared_daemon::Shutdown;

fn send(signal: &str) {
    assert!(Command::new("kill").args([signal, &std::process::id().to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn the_first_signal_begins_the_end_and_the_second_completes_it() {
    let (_trigger, shutdown) = Shutdown::on_signals(Duration::from_secs(600)).unwrap();
    assert!(!shutdown.has_begun());
    send("-TERM");
    shutdown.begun().await;
    send("-INT");
    shutdown.ended().await;
}
