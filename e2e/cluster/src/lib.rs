//! Real control planes (etcd, kube-apiserver, kube-controller-manager, kubectl), a real Git server, a chart repository and a real OCI registry
//! for tests. What is tested on them lives with the tests; clusters in memory are `e2e/fakekube`.
//!
//! The binaries come from `setup.sh` beside this crate (or from `KUBEBUILDER_ASSETS`). A test that needs them begins with
//! [`require_control_plane!`], which skips it on a machine without them and fails it there when `REQUIRE_CONTROL_PLANE=1`; the registry comes
//! from `registry.sh`, and [`require_registry!`] does the same for it.
//!
//! Everything started here ends with the value that started it, and also when the test process is killed: each process hangs on a
//! pipe that only the test process holds.

mod audit;
mod binaries;
mod chart_archive;
mod chart_repository;
mod fakelet;
mod fault_proxy;
mod git_daemon;
mod git_server;
mod oci_registry;
mod pki;
mod plane;
mod ports;
mod process;
mod scratch;
mod shared_plane;
mod token_server;
mod web_server;
mod work_tree;

pub use audit::AuditEvent;
pub use binaries::{Binaries, MissingBinaries, Skipped, must_not_skip, note_skip};
pub use chart_archive::pack_chart;
pub use chart_repository::ChartRepository;
pub use fakelet::{AFTER_ANNOTATION, FAULT_ANNOTATION, Fakelet, NODE_NAME};
pub use fault_proxy::{FaultProxy, Passed, ProxiedRequest, ProxyFault, ProxyHook};
pub use git_daemon::GitDaemon;
pub use git_server::{Answering, GitRequest, GitServer};
pub use oci_registry::{MissingRegistry, OciRegistry, REGISTRY_PASSWORD, REGISTRY_USER, RegistryAccess, RegistryOptions};
pub use pki::CertificatePair;
pub use plane::{ControlPlane, Options, StartError};
pub use ports::PortLease;
pub use shared_plane::SharedControlPlane;
pub use work_tree::WorkTree;
