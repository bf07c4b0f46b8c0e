//! The one place that talks to the Kubernetes API: discovery, server-side apply, deletion, watches, and the agent's own Secrets and Lease.
//! What to apply or delete is decided by `agent/plan`; this crate carries it out and says what it saw.

mod connect;
mod discovery;
mod error;
mod evidence;
mod field;
mod lease;
mod listing;
mod live;
mod nodes;
mod pace;
mod request;
mod secrets;
mod view;
mod watch;

pub use connect::{Cluster, ClusterConfig, FIELD_MANAGER, Right};
pub use discovery::{Discovery, Resource};
pub use error::{ClusterError, HeldField, Refusal};
pub use evidence::Finding;
pub use lease::{Lease, LeaseState, Role};
pub use live::LogOptions;
pub use pace::Limits;
pub use secrets::SecretParts;
pub use view::{Ailing, HealthRules, Keys, Mark, News, View};
pub use watch::Watches;
