//! How the link is, for readiness and metrics. An agent is ready also while the hub is away: it heals by itself.

use std::time::Duration;

use shared_model::Timestamp;
use shared_session::ProtocolVersion;

/// How the link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// A connection is being made.
    Connecting,
    /// The hub took the agent in.
    Connected {
        /// Since when, by the agent's clock.
        since: Timestamp,
        /// The protocol version spoken.
        version: ProtocolVersion,
        /// Whether the hub has acknowledged the newest status.
        status_known: bool,
    },
    /// There is no connection.
    Away {
        /// Why the last one ended or could not be made.
        reason: String,
        /// Whether an operator must act before it can work again; it is tried nevertheless.
        needs_an_operator: bool,
        /// How long until the next attempt.
        retry_in: Duration,
    },
}

impl LinkState {
    /// Whether the hub can be talked to.
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }
}
