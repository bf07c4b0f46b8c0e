//! Both ends of the conversation between hub and agent as state machines without I/O: what is said, in which order, what is sent again and what
//! is not. Transport, clock and chance come in as inputs; the wire form is `shared/proto`'s, verifying signed documents is the agent core's.
//!
//! State travels, not events. Each side knows digests of what the other holds; every connect and every heartbeat compares them, and only what
//! differs is sent. Nothing is queued: each kind of content has one slot, and the newest replaces the older.

mod agent;
mod backoff;
mod canon;
mod clone_watch;
mod document;
mod hub;
mod interactive;
mod keys;
mod message;
mod moment;
mod nodes;
mod status;
mod version;

pub use agent::{AgentConfig, AgentInput, AgentOutput, AgentSession, Delivery, Ending, STATUS_GAP};
pub use backoff::{RECONNECT_CAP, RECONNECT_FIRST, directed_delay, reconnect_delay, spread};
pub use clone_watch::{CLONE_WINDOW, CloneSuspicion, CloneWatch};
pub use document::{FreshnessDocument, IndexDocument, RootDocument};
pub use hub::{HELLO_PATIENCE, Heard, HubConfig, HubInput, HubOutput, HubSession, RESEND_AFTER, StatusChange, Target};
pub use interactive::{
    Answer, AnswerError, CONTAINER_LIMIT, DIFF_OBJECT_LIMIT, EVENT_LIMIT, Event, LIVE_OBJECT_LIMIT, LOG_CHUNK_LIMIT, LOG_LIMIT,
    LOG_LONGEST, LOGS_AT_ONCE, LogQuestion, ObjectDiff, ObjectQuery, PodFacts, Question, TREE_LIMIT, TreeNode, UNSEEN_LIMIT,
};
pub use keys::{AppKey, KEY_LIMIT, KeySet, KeySetError, Secret};
pub use message::{
    AgentMessage, BootId, Goodbye, GoodbyeReason, HEARTBEAT, Heartbeat, Held, Hello, HubMessage, MISSED_HEARTBEATS, StatusAck,
    StatusUpdate, Verdict, Welcome,
};
pub use moment::Moment;
pub use nodes::{DEVICE_LIMIT, Device, NODE_GROUP_LIMIT, NodeFacts, NodeGroup, Nodes};
pub use status::{
    API_VERSION_LIMIT, APP_LIMIT, AppReport, ClusterFacts, FACT_LIMIT, OBJECT_NAME_LIMIT, STATUS_CHUNK, Status, StatusIndex, TEXT_LIMIT,
    VALUE_LIMIT, WAITING_LIMIT,
};
pub use version::{NoCommonVersion, OUR_VERSIONS, ProtocolVersion, VersionOffer, VersionRange};
