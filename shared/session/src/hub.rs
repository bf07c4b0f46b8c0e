//! The hub's end of one conversation. It is told what arrives, what is wanted and what time it is, and says what to send, record and report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared_model::{AppName, Digest, Reason, Timestamp};

use crate::document::{FreshnessDocument, IndexDocument, RootDocument};
use crate::keys::KeySet;
use crate::message::{
    AgentMessage, BootId, Goodbye, GoodbyeReason, HEARTBEAT, Heartbeat, Held, Hello, HubMessage, MISSED_HEARTBEATS, StatusAck,
    StatusUpdate, Verdict, Welcome,
};
use crate::moment::Moment;
use crate::status::{AppReport, ClusterFacts, StatusIndex};
use crate::version::{ProtocolVersion, VersionOffer};

/// How long a new connection may take to say hello.
pub const HELLO_PATIENCE: Duration = Duration::from_secs(10);

/// Content that was sent and is still not held is sent again after this long: six heartbeats, in which any agent stores any index.
pub const RESEND_AFTER: Duration = Duration::from_secs(60);

/// What one hub process brings to all its conversations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubConfig {
    /// The versions it speaks.
    pub versions: VersionOffer,
    /// How often it wants heartbeats. Longer than [`HEARTBEAT`] breaks the promise of showing a silent cluster in 90 seconds.
    pub heartbeat: Duration,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self { versions: VersionOffer::ours(), heartbeat: HEARTBEAT }
    }
}

/// What one cluster's agent should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The root document.
    pub root: RootDocument,
    /// The index. Planning keeps it under the wire's limit (`shared_proto::INDEX_LIMIT`); a larger one is refused by every agent.
    pub index: IndexDocument,
    /// The newest freshness statement about it.
    pub freshness: Option<FreshnessDocument>,
    /// The keys of the apps in the index.
    pub keys: Arc<KeySet>,
}

/// What the hub knows of an agent after its latest word. A level, not an event: the newest replaces all before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// When it spoke, by the hub's clock.
    pub at: Timestamp,
    /// Which start of the agent.
    pub boot: BootId,
    /// The protocol version spoken.
    pub version: ProtocolVersion,
    /// The agent's own version.
    pub agent_version: String,
    /// The API server's version.
    pub kubernetes_version: String,
    /// What it holds.
    pub held: Held,
    /// Which index it refused and why, if it did so in this conversation and was not given a better one since.
    pub refusal: Option<(Digest, Reason)>,
    /// Whether the hub holds the status that the agent has.
    pub status_current: bool,
}

/// What changed in an agent's status. Record it as a whole before saying so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusChange {
    /// The facts, if they changed.
    pub facts: Option<Arc<ClusterFacts>>,
    /// Apps that changed.
    pub apps: Vec<(AppName, AppReport)>,
    /// Apps that are gone.
    pub removed: Vec<AppName>,
    /// The digests after the change: store them beside the status and give them to the next conversation.
    pub index: StatusIndex,
}

/// What happens to a session.
#[expect(clippy::large_enum_variant, reason = "handled one at a time, never kept in bulk")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubInput {
    /// A message on the control lane.
    Received(AgentMessage),
    /// A message on the status lane.
    Status(StatusUpdate),
    /// The change of the last [`HubOutput::Record`] is durable.
    Recorded,
    /// That change could not be recorded.
    RecordFailed,
    /// What the agent should hold is now this; `None` if nothing is decided yet.
    Target(Option<Arc<Target>>),
    /// End the conversation.
    Leave(Goodbye),
    /// Nothing happened, time passed.
    Tick,
}

/// What a session wants done, in this order.
#[expect(clippy::large_enum_variant, reason = "handled one at a time, never kept in bulk")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubOutput {
    /// Send on the control lane.
    Send(HubMessage),
    /// Send on the status lane.
    Acknowledge(StatusAck),
    /// Record, then answer with [`HubInput::Recorded`] or [`HubInput::RecordFailed`]. At most one is open.
    Record(StatusChange),
    /// This is what is known of the agent now.
    Heard(Heard),
    /// Nothing more will come; a goodbye was sent before.
    End,
}

/// The digests of what was sent and is not known to be held yet, with the time.
#[derive(Debug, Default)]
struct OnTheWay {
    root: Option<(Digest, Duration)>,
    keys: Option<(Digest, Duration)>,
    index: Option<(Digest, Duration)>,
    freshness: Option<(Digest, Duration)>,
}

/// An agent that said hello.
#[derive(Debug)]
struct Agent {
    hello: Hello,
    version: ProtocolVersion,
    held: Held,
    refusal: Option<(Digest, Reason)>,
    on_the_way: OnTheWay,
    /// The digest of the agent's status at its last word.
    status: Digest,
    /// Whether a status update came since the last heartbeat, so that a difference is on its way to vanish by itself.
    status_moving: bool,
}

/// What waits for a record to become durable.
#[derive(Debug)]
struct Recording {
    index: StatusIndex,
    acknowledgement: StatusAck,
}

/// The hub's end of one conversation.
#[derive(Debug)]
pub struct HubSession {
    config: HubConfig,
    agent: Option<Agent>,
    target: Option<Arc<Target>>,
    /// The digests of the status that the hub holds.
    recorded: StatusIndex,
    recording: Option<Recording>,
    last_heard: Duration,
    ended: bool,
}

impl HubSession {
    /// Begins a conversation with an agent of whose status the hub holds `recorded`.
    pub fn open(now: Moment, config: HubConfig, recorded: StatusIndex) -> Self {
        Self { config, agent: None, target: None, recorded, recording: None, last_heard: now.uptime, ended: false }
    }

    /// Which start of the agent this is, once it said hello.
    pub fn boot(&self) -> Option<BootId> {
        self.agent.as_ref().map(|agent| agent.hello.boot)
    }

    /// Whether the agent holds all that it should, or has refused it, so that nothing of size is left to send.
    pub fn in_sync(&self) -> bool {
        let Some(agent) = &self.agent else { return false };
        self.target.as_ref().is_none_or(|target| {
            let index = Some(target.index.digest());
            index == agent.held.index || index == agent.held.refused
        })
    }

    /// When to say [`HubInput::Tick`] at the latest, in uptime.
    pub fn wake(&self) -> Duration {
        self.last_heard + self.patience()
    }

    fn patience(&self) -> Duration {
        if self.agent.is_some() { self.config.heartbeat * MISSED_HEARTBEATS } else { HELLO_PATIENCE }
    }

    /// Takes one input and says what to do about it.
    pub fn handle(&mut self, now: Moment, input: HubInput) -> Vec<HubOutput> {
        let mut out = Vec::new();
        if self.ended {
            return out;
        }
        match input {
            HubInput::Received(message) => self.received(now, message, &mut out),
            HubInput::Status(update) => self.status(now, update, &mut out),
            HubInput::Recorded => self.recorded(&mut out),
            HubInput::RecordFailed => {
                self.leave(GoodbyeReason::Overloaded, "the hub could not store the status; it will be asked for again", &mut out);
            }
            HubInput::Target(target) => {
                self.target = target;
                self.offer(now, &mut out);
            }
            HubInput::Leave(goodbye) => self.end(goodbye, &mut out),
            HubInput::Tick => {
                if now.uptime >= self.wake() {
                    self.leave(GoodbyeReason::Silent, "the hub has heard no heartbeat", &mut out);
                }
            }
        }
        out
    }

    fn received(&mut self, now: Moment, message: AgentMessage, out: &mut Vec<HubOutput>) {
        self.last_heard = now.uptime;
        match (message, &mut self.agent) {
            (AgentMessage::Hello(hello), None) => self.hello(now, hello, out),
            (AgentMessage::Heartbeat(heartbeat), Some(_)) => self.heartbeat(now, heartbeat, out),
            (AgentMessage::IndexJudged { digest, verdict }, Some(agent)) => {
                agent.judged(digest, verdict);
                out.push(self.heard(now));
                self.offer(now, out);
            }
            (AgentMessage::Hello(_), Some(_)) => self.leave(GoodbyeReason::Protocol, "a second hello on one connection", out),
            (_, None) => self.leave(GoodbyeReason::Protocol, "the first message must be a hello", out),
        }
    }

    fn hello(&mut self, now: Moment, hello: Hello, out: &mut Vec<HubOutput>) {
        let version = match VersionOffer::negotiate(&self.config.versions, &hello.versions) {
            Ok(version) => version,
            Err(refusal) => return self.leave(GoodbyeReason::Version, refusal.to_string(), out),
        };
        out.push(HubOutput::Send(HubMessage::Welcome(Welcome {
            version,
            heartbeat: self.config.heartbeat,
            server_time: now.wall,
            status: self.recorded.root(),
        })));
        let (held, status) = (hello.held.clone(), hello.status);
        self.agent = Some(Agent { hello, version, held, refusal: None, on_the_way: OnTheWay::default(), status, status_moving: true });
        out.push(self.heard(now));
        self.offer(now, out);
    }

    fn heartbeat(&mut self, now: Moment, heartbeat: Heartbeat, out: &mut Vec<HubOutput>) {
        let Some(agent) = &mut self.agent else { return };
        agent.held = heartbeat.held;
        agent.status = heartbeat.status;
        if agent.refusal.as_ref().map(|(digest, _)| *digest) != agent.held.refused {
            agent.refusal = None;
        }
        let lost = agent.status != self.recorded.root() && !agent.status_moving && self.recording.is_none();
        agent.status_moving = false;
        out.push(HubOutput::Send(HubMessage::HeartbeatSeen { server_time: now.wall }));
        if lost {
            out.push(HubOutput::Send(HubMessage::SendStatus));
        }
        out.push(self.heard(now));
        self.offer(now, out);
    }

    fn heard(&self, now: Moment) -> HubOutput {
        let agent = self.agent.as_ref().expect("only an agent that said hello is heard");
        HubOutput::Heard(Heard {
            at: now.wall,
            boot: agent.hello.boot,
            version: agent.version,
            agent_version: agent.hello.agent_version.clone(),
            kubernetes_version: agent.hello.kubernetes_version.clone(),
            held: agent.held.clone(),
            refusal: agent.refusal.clone(),
            status_current: agent.status == self.recorded.root(),
        })
    }

    /// Sends what the agent should hold and does not: the root first, since it makes the rest verifiable, the keys before what they open.
    fn offer(&mut self, now: Moment, out: &mut Vec<HubOutput>) {
        let (Some(agent), Some(target)) = (&mut self.agent, &self.target) else { return };
        let Agent { held, on_the_way, .. } = agent;
        let mut send = |message| out.push(HubOutput::Send(message));
        if due(target.root.digest(), held.root, &mut on_the_way.root, now.uptime) {
            send(HubMessage::Root(target.root.clone()));
        }
        if due(target.keys.digest(), held.keys, &mut on_the_way.keys, now.uptime) {
            send(HubMessage::Keys(Arc::clone(&target.keys)));
        }
        // One index at a time: a newer one waits until the older is judged, and replaces all between.
        let unjudged = on_the_way.index.is_some_and(|(_, sent)| now.uptime.saturating_sub(sent) < RESEND_AFTER);
        if held.refused != Some(target.index.digest())
            && !unjudged
            && due(target.index.digest(), held.index, &mut on_the_way.index, now.uptime)
        {
            send(HubMessage::Index(target.index.clone()));
        }
        if let Some(freshness) = &target.freshness
            && due(freshness.digest(), held.freshness, &mut on_the_way.freshness, now.uptime)
        {
            send(HubMessage::Freshness(freshness.clone()));
        }
    }

    fn status(&mut self, now: Moment, update: StatusUpdate, out: &mut Vec<HubOutput>) {
        self.last_heard = now.uptime;
        let Some(agent) = &mut self.agent else {
            return self.leave(GoodbyeReason::Protocol, "a status before the hello", out);
        };
        agent.status_moving = true;
        if self.recording.is_some() {
            return self.leave(GoodbyeReason::Protocol, "a second status before the first was acknowledged", out);
        }
        match update {
            StatusUpdate::Summary(summary) => self.summary(&summary, out),
            StatusUpdate::Changes { facts, apps, removed } => {
                let mut index = self.recorded.clone();
                if let Some((_, digest)) = &facts {
                    index.facts = Some(*digest);
                }
                index.apps.extend(apps.iter().map(|(name, report)| (name.clone(), report.digest)));
                for name in &removed {
                    index.apps.remove(name);
                }
                let acknowledgement = StatusAck::Held { root: index.root() };
                let facts = facts.map(|(facts, _)| facts);
                self.record(StatusChange { facts, apps, removed, index }, acknowledgement, out);
            }
        }
    }

    /// Compares an agent's digests with what is recorded: what the agent no longer has is forgotten, what differs is asked for.
    fn summary(&mut self, summary: &StatusIndex, out: &mut Vec<HubOutput>) {
        let known = |name: &AppName, digest: &Digest| self.recorded.apps.get(name) == Some(digest);
        let need: Vec<AppName> = summary.apps.iter().filter(|(name, digest)| !known(name, digest)).map(|(name, _)| name.clone()).collect();
        let need_facts = summary.facts != self.recorded.facts;
        let kept: BTreeMap<AppName, Digest> = self
            .recorded
            .apps
            .iter()
            .filter(|(name, _)| summary.apps.contains_key(*name))
            .map(|(name, digest)| (name.clone(), *digest))
            .collect();
        let removed: Vec<AppName> = self.recorded.apps.keys().filter(|name| !kept.contains_key(*name)).cloned().collect();
        let index = StatusIndex { facts: self.recorded.facts, apps: kept };
        let acknowledgement = if need.is_empty() && !need_facts {
            StatusAck::Held { root: index.root() }
        } else {
            StatusAck::Need { facts: need_facts, apps: need }
        };
        if removed.is_empty() {
            out.push(HubOutput::Acknowledge(acknowledgement));
        } else {
            self.record(StatusChange { facts: None, apps: vec![], removed, index }, acknowledgement, out);
        }
    }

    fn record(&mut self, change: StatusChange, acknowledgement: StatusAck, out: &mut Vec<HubOutput>) {
        self.recording = Some(Recording { index: change.index.clone(), acknowledgement });
        out.push(HubOutput::Record(change));
    }

    fn recorded(&mut self, out: &mut Vec<HubOutput>) {
        if let Some(Recording { index, acknowledgement }) = self.recording.take() {
            self.recorded = index;
            out.push(HubOutput::Acknowledge(acknowledgement));
        }
    }

    fn leave(&mut self, reason: GoodbyeReason, message: impl Into<String>, out: &mut Vec<HubOutput>) {
        self.end(Goodbye { reason, message: message.into(), retry_after: None }, out);
    }

    fn end(&mut self, goodbye: Goodbye, out: &mut Vec<HubOutput>) {
        self.ended = true;
        out.push(HubOutput::Send(HubMessage::Goodbye(goodbye)));
        out.push(HubOutput::End);
    }
}

impl Agent {
    fn judged(&mut self, digest: Digest, verdict: Verdict) {
        if self.on_the_way.index.is_some_and(|(sent, _)| sent == digest) {
            self.on_the_way.index = None;
        }
        match verdict {
            Verdict::Accepted(generation) => {
                self.held.index = Some(digest);
                self.held.generation = generation;
                self.held.refused = None;
                self.refusal = None;
            }
            Verdict::Refused(reason) => {
                self.held.refused = Some(digest);
                self.refusal = Some((digest, reason));
            }
        }
    }
}

/// Whether content with digest `wanted` must be sent now; if so, notes it as on its way.
fn due(wanted: Digest, held: Option<Digest>, on_the_way: &mut Option<(Digest, Duration)>, now: Duration) -> bool {
    if held == Some(wanted) {
        *on_the_way = None;
        return false;
    }
    if on_the_way.is_some_and(|(digest, sent)| digest == wanted && now.saturating_sub(sent) < RESEND_AFTER) {
        return false;
    }
    *on_the_way = Some((wanted, now));
    true
}
