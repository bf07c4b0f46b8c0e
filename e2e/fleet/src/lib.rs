//! Whole fleets of real parts for tests: the hub and agents as they are, a Git server over the wire, real API servers. What is shown with them
//! lives in `tests/`.

mod agent;
mod http;
mod hub;
mod process;
mod repository;
mod wait;

pub use agent::TestAgent;
pub use http::get;
pub use hub::TestHub;
pub use process::Process;
pub use repository::FleetRepository;
pub use wait::{PATIENCE, eventually, eventually_within};

/// Sets up what each test process needs once: the TLS provider, and logs by `RUST_LOG`.
pub fn prepare() {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn,kube_client=off".to_owned());
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
}
