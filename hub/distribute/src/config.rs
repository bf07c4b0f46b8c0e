//! What somebody may turn, with defaults that fit ten thousand agents on two cores.

use std::time::Duration;

use shared_model::{Clock, Timestamp};
use shared_session::HubConfig;

/// The session's listener.
#[derive(Debug, Clone)]
pub struct DistributeConfig {
    /// Versions and heartbeat. Tests shorten the heartbeat.
    pub session: HubConfig,
    /// The clock. The simulator brings its own.
    pub clock: Clock,
    /// TLS handshakes at once. Raise it on a hub with more than two cores: each takes about 1 ms of one.
    pub handshakes: usize,
    /// Connections at once, admitted or not. Each takes about 80 KB: 12,000 are under 1 GiB.
    pub connections: usize,
    /// Agents that may be brought in sync at once; others are told to come back. Bounds what a herd reads from the store.
    pub joining: usize,
    /// How long an agent that is told to come back should wait at least; up to as much again is added by chance.
    pub come_back: Duration,
    /// How long one connection may live, ±20 % by chance, so that agents spread over hubs and new certificates are shown.
    pub connection_age: Duration,
    /// Reads of objects from the desk at once, over all agents.
    pub fetches: usize,
}

impl Default for DistributeConfig {
    fn default() -> Self {
        Self {
            session: HubConfig::default(),
            clock: Clock::new(Timestamp::now),
            handshakes: 256,
            connections: 12_000,
            joining: 256,
            come_back: Duration::from_secs(5),
            connection_age: Duration::from_secs(3600),
            fetches: 64,
        }
    }
}

/// The enrolment listener. It is open to everybody, hence small.
#[derive(Debug, Clone)]
pub struct EnrolmentConfig {
    /// TLS handshakes at once.
    pub handshakes: usize,
    /// Connections at once. A fleet that outlived its certificates comes here in one herd, 10,000 agents within minutes, a second each.
    pub connections: usize,
    /// Enrolments in work at once.
    pub enrolments: usize,
}

impl Default for EnrolmentConfig {
    fn default() -> Self {
        Self { handshakes: 32, connections: 512, enrolments: 32 }
    }
}
