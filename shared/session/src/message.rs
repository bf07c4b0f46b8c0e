//! What hub and agent say to each other, as values. The wire form is in `shared/proto`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shared_model::{AppName, Digest, Generation, Reason, Timestamp};

use crate::document::{FreshnessDocument, IndexDocument, RootDocument};
use crate::keys::KeySet;
use crate::status::{AppReport, ClusterFacts, StatusIndex};
use crate::version::{ProtocolVersion, VersionOffer};

/// How often an agent says that it lives: three of them fit into the 30 seconds after which a cluster counts as stale.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// How many heartbeats in a row may be missed before a side gives the connection up.
pub const MISSED_HEARTBEATS: u32 = 3;

/// One start of one agent process, chosen at random. Two that alternate under one identity are two agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(pub [u8; 16]);

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What an agent holds durably, by digest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// The generation of the index held; the default if none.
    pub generation: Generation,
    /// The index held.
    pub index: Option<Digest>,
    /// The index refused last, as long as nothing changed that would make it acceptable.
    pub refused: Option<Digest>,
    /// The index whose content was applied as far as it can be.
    pub applied: Option<Digest>,
    /// The root document held.
    pub root: Option<Digest>,
    /// The freshness statement held.
    pub freshness: Option<Digest>,
    /// The key set held.
    pub keys: Option<Digest>,
}

/// The first thing that an agent says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The protocol versions it speaks.
    pub versions: VersionOffer,
    /// Which start of the agent this is.
    pub boot: BootId,
    /// What it holds.
    pub held: Held,
    /// The digest of its status.
    pub status: Digest,
    /// The agent's own version, for people.
    pub agent_version: String,
    /// The API server's version, for people.
    pub kubernetes_version: String,
}

/// An agent lives, and this is what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// What it holds.
    pub held: Held,
    /// The digest of its status.
    pub status: Digest,
}

/// What an agent's core says about an index that it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Verified and durable; it is what the agent works towards from now on.
    Accepted(Generation),
    /// Not taken: the last accepted one stays.
    Refused(Reason),
}

/// On the control lane, from agent to hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentMessage {
    /// The first message.
    Hello(Hello),
    /// Every [`HEARTBEAT`] and at once when what is held changed.
    Heartbeat(Heartbeat),
    /// The answer to an index.
    IndexJudged {
        /// Which index.
        digest: Digest,
        /// What became of it.
        verdict: Verdict,
    },
}

/// The hub's answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The version that is spoken from now on.
    pub version: ProtocolVersion,
    /// How often to send heartbeats.
    pub heartbeat: Duration,
    /// The hub's clock.
    pub server_time: Timestamp,
    /// The digest of the status that the hub holds of this agent.
    pub status: Digest,
}

/// Why a hub ends a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GoodbyeReason {
    /// The hub stops or restarts.
    Draining,
    /// Another connection of the same identity took over.
    Replaced,
    /// The cluster is not, or no longer, admitted.
    NotAdmitted,
    /// The hub has too much to do.
    Overloaded,
    /// The connection or its certificate is old; connect again.
    Age,
    /// No protocol version in common.
    Version,
    /// The agent broke the protocol.
    Protocol,
    /// The agent was silent.
    Silent,
    /// A reason that this version does not know.
    Unknown,
}

/// The last thing that a hub says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goodbye {
    /// Why.
    pub reason: GoodbyeReason,
    /// The facts and the remedy in one sentence.
    pub message: String,
    /// When to come back at the earliest; `None` leaves it to the agent.
    pub retry_after: Option<Duration>,
}

/// On the control lane, from hub to agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubMessage {
    /// The first message.
    Welcome(Welcome),
    /// The root document, sent before anything that it makes verifiable.
    Root(RootDocument),
    /// The keys of the apps in the index.
    Keys(Arc<KeySet>),
    /// The index.
    Index(IndexDocument),
    /// The freshness statement.
    Freshness(FreshnessDocument),
    /// Tell your status from the beginning: it is not the one that the hub holds.
    SendStatus,
    /// A heartbeat was heard.
    HeartbeatSeen {
        /// The hub's clock.
        server_time: Timestamp,
    },
    /// The last message.
    Goodbye(Goodbye),
}

/// On the status lane, from agent to hub; at most one is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusUpdate {
    /// The digests of all, from which the hub says what it lacks.
    Summary(StatusIndex),
    /// What changed since what the hub is known to hold.
    Changes {
        /// The facts and their digest, if they changed.
        facts: Option<(Arc<ClusterFacts>, Digest)>,
        /// Apps that changed.
        apps: Vec<(AppName, AppReport)>,
        /// Apps that are gone.
        removed: Vec<AppName>,
    },
}

/// On the status lane, from hub to agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusAck {
    /// Recorded; the hub now holds a status with this digest.
    Held {
        /// The digest of the whole.
        root: Digest,
    },
    /// The hub lacks these; what it held beyond the summary it has forgotten.
    Need {
        /// Whether it lacks the facts.
        facts: bool,
        /// The apps that it lacks.
        apps: Vec<AppName>,
    },
}
