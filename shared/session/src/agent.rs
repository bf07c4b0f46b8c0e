//! The agent's end of one conversation. It is told what arrives, what is held and what time it is, and says what to send and what to hand to the
//! agent's core. Fetching objects and reconnecting are `agent/link`'s.

use std::sync::Arc;
use std::time::Duration;

use shared_model::{Digest, Timestamp};

use crate::document::{FreshnessDocument, IndexDocument, RootDocument};
use crate::keys::KeySet;
use crate::message::{
    AgentMessage, BootId, Goodbye, GoodbyeReason, HEARTBEAT, Heartbeat, Held, Hello, HubMessage, MISSED_HEARTBEATS, StatusAck,
    StatusUpdate, Verdict,
};
use crate::moment::Moment;
use crate::status::{STATUS_CHUNK, Status, StatusIndex};
use crate::version::{ProtocolVersion, VersionOffer};

/// The least time between two status updates: a cluster in turmoil reports at most ten times a second, always the newest state.
pub const STATUS_GAP: Duration = Duration::from_millis(100);

/// The hub may ask for heartbeats between these bounds; anything else is taken to the nearest.
const HEARTBEAT_BOUNDS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(60));

/// What one agent process brings to all its conversations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// The versions it speaks.
    pub versions: VersionOffer,
    /// Which start of the agent this is.
    pub boot: BootId,
    /// Its own version.
    pub agent_version: String,
}

/// Something that the agent's core must make durable or judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// A root document to verify against the one held.
    Root(RootDocument),
    /// Keys; replaces all held.
    Keys(Arc<KeySet>),
    /// An index to judge. Its verdict goes into [`AgentInput::Delivered`].
    Index(IndexDocument),
    /// A freshness statement to verify.
    Freshness(FreshnessDocument),
}

/// What happens to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentInput {
    /// A message on the control lane.
    Received(HubMessage),
    /// A message on the status lane.
    StatusAcknowledged(StatusAck),
    /// The core is done with the last [`Delivery`]: what is held now, and for an index its verdict.
    Delivered {
        /// What is held now.
        held: Held,
        /// What became of an index.
        verdict: Option<Verdict>,
    },
    /// What is held changed by the agent's own work.
    Held(Held),
    /// The status is now this.
    Status(Status),
    /// Nothing happened, time passed.
    Tick,
}

/// What a session wants done, in this order.
#[expect(clippy::large_enum_variant, reason = "handled one at a time, never kept in bulk")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentOutput {
    /// Send on the control lane.
    Send(AgentMessage),
    /// Send on the status lane.
    SendStatus(StatusUpdate),
    /// Hand to the agent's core, then answer with [`AgentInput::Delivered`]. At most one is open.
    Deliver(Delivery),
    /// The hub took the agent in.
    Welcomed {
        /// The version spoken.
        version: ProtocolVersion,
        /// The hub's clock.
        server_time: Timestamp,
    },
    /// The conversation is over.
    End(Ending),
}

/// Why a conversation is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    /// The hub said so.
    #[error("the hub ended the session: {}", .0.message)]
    Goodbye(Goodbye),
    /// The hub was silent.
    #[error("the hub has not answered for {} seconds", .0.as_secs())]
    Silent(Duration),
    /// The hub broke the protocol.
    #[error("the hub broke the protocol: {0}")]
    Protocol(&'static str),
    /// The connection ended; the driver of the session says how.
    #[error("{0}")]
    Lost(String),
}

/// One slot for each kind of content; the newest replaces the older.
#[derive(Debug, Default)]
struct Inbox {
    root: Option<RootDocument>,
    keys: Option<Arc<KeySet>>,
    index: Option<IndexDocument>,
    freshness: Option<FreshnessDocument>,
}

/// What is being handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Index(Digest),
    Other,
}

/// The status lane as the agent sees it.
#[derive(Debug)]
struct Reporting {
    /// What the hub is known to hold; `None` until it was asked.
    hub_holds: Option<StatusIndex>,
    /// What the hub will hold once the update on its way is acknowledged.
    on_the_way: Option<StatusIndex>,
    last_sent: Option<Duration>,
}

/// The agent's end of one conversation.
#[derive(Debug)]
pub struct AgentSession {
    held: Held,
    status: Status,
    heartbeat: Duration,
    welcomed: bool,
    inbox: Inbox,
    open: Option<Open>,
    reporting: Reporting,
    last_heard: Duration,
    last_beat: Duration,
    ended: bool,
}

impl AgentSession {
    /// Begins a conversation; the first output is the hello.
    pub fn open(now: Moment, config: &AgentConfig, held: Held, status: Status) -> (Self, Vec<AgentOutput>) {
        let hello = Hello {
            versions: config.versions.clone(),
            boot: config.boot,
            held: held.clone(),
            status: status.index().root(),
            agent_version: config.agent_version.clone(),
            kubernetes_version: status.facts().kubernetes.clone(),
        };
        let session = Self {
            held,
            status,
            heartbeat: HEARTBEAT,
            welcomed: false,
            inbox: Inbox::default(),
            open: None,
            reporting: Reporting { hub_holds: None, on_the_way: None, last_sent: None },
            last_heard: now.uptime,
            last_beat: now.uptime,
            ended: false,
        };
        (session, vec![AgentOutput::Send(AgentMessage::Hello(hello))])
    }

    /// What the agent holds, the refused index included; give it to the next conversation.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// Whether the hub holds the status that the agent has.
    pub fn status_is_known(&self) -> bool {
        self.reporting.hub_holds.as_ref() == Some(self.status.index())
    }

    /// When to say [`AgentInput::Tick`] at the latest, in uptime.
    pub fn wake(&self) -> Duration {
        let silent = self.last_heard + self.heartbeat * MISSED_HEARTBEATS;
        if !self.welcomed {
            return silent;
        }
        let beat = self.last_beat + self.heartbeat;
        match self.reporting.last_sent {
            Some(sent) if self.reporting.on_the_way.is_none() && !self.status_is_known() => silent.min(beat).min(sent + STATUS_GAP),
            _ => silent.min(beat),
        }
    }

    /// Takes one input and says what to do about it.
    pub fn handle(&mut self, now: Moment, input: AgentInput) -> Vec<AgentOutput> {
        let mut out = Vec::new();
        if self.ended {
            return out;
        }
        match input {
            AgentInput::Received(message) => self.received(now, message, &mut out),
            AgentInput::StatusAcknowledged(ack) => self.acknowledged(now, ack, &mut out),
            AgentInput::Delivered { held, verdict } => self.delivered(now, held, verdict, &mut out),
            AgentInput::Held(held) => {
                self.hold(held);
                self.beat(now, &mut out);
            }
            AgentInput::Status(status) => self.status = status,
            AgentInput::Tick => self.tick(now, &mut out),
        }
        if !self.ended && self.welcomed {
            self.report(now, &mut out);
        }
        out
    }

    fn received(&mut self, now: Moment, message: HubMessage, out: &mut Vec<AgentOutput>) {
        self.last_heard = now.uptime;
        if !self.welcomed && !matches!(message, HubMessage::Welcome(_) | HubMessage::Goodbye(_)) {
            return self.end(Ending::Protocol("it sent something before its welcome"), out);
        }
        match message {
            HubMessage::Welcome(_) if self.welcomed => self.end(Ending::Protocol("it sent a second welcome"), out),
            HubMessage::Welcome(welcome) => {
                self.welcomed = true;
                self.heartbeat = welcome.heartbeat.clamp(HEARTBEAT_BOUNDS.0, HEARTBEAT_BOUNDS.1);
                if welcome.status == self.status.index().root() {
                    self.reporting.hub_holds = Some(self.status.index().clone());
                }
                out.push(AgentOutput::Welcomed { version: welcome.version, server_time: welcome.server_time });
            }
            HubMessage::Root(root) => self.inbox.root = Some(root),
            HubMessage::Keys(keys) => self.inbox.keys = Some(keys),
            HubMessage::Index(index) => self.inbox.index = Some(index),
            HubMessage::Freshness(freshness) => self.inbox.freshness = Some(freshness),
            HubMessage::SendStatus => self.reporting.hub_holds = None,
            HubMessage::HeartbeatSeen { .. } => {}
            HubMessage::Goodbye(goodbye) => return self.end(Ending::Goodbye(goodbye), out),
        }
        self.deliver(out);
    }

    /// Hands over the next thing if the core is free: the root first, since it makes the rest verifiable, the keys before what they open.
    fn deliver(&mut self, out: &mut Vec<AgentOutput>) {
        if self.open.is_some() {
            return;
        }
        let inbox = &mut self.inbox;
        let delivery = (inbox.root.take().map(Delivery::Root))
            .or_else(|| inbox.keys.take().map(Delivery::Keys))
            .or_else(|| inbox.index.take().map(Delivery::Index))
            .or_else(|| inbox.freshness.take().map(Delivery::Freshness));
        if let Some(delivery) = delivery {
            self.open = Some(if let Delivery::Index(index) = &delivery { Open::Index(index.digest()) } else { Open::Other });
            out.push(AgentOutput::Deliver(delivery));
        }
    }

    fn delivered(&mut self, now: Moment, held: Held, verdict: Option<Verdict>, out: &mut Vec<AgentOutput>) {
        let Some(open) = self.open.take() else { return };
        self.hold(held);
        match (open, verdict) {
            (Open::Index(digest), Some(verdict)) => {
                self.held.refused = matches!(verdict, Verdict::Refused(_)).then_some(digest);
                out.push(AgentOutput::Send(AgentMessage::IndexJudged { digest, verdict }));
            }
            // The heartbeat tells the hub at once what is held, so that it does not send it again.
            _ => self.beat(now, out),
        }
        self.deliver(out);
    }

    /// Takes over what is held. Only the session knows what was refused, and a new root may make it acceptable.
    fn hold(&mut self, held: Held) {
        let refused = self.held.refused.filter(|_| held.root == self.held.root);
        self.held = held;
        self.held.refused = refused;
    }

    fn tick(&mut self, now: Moment, out: &mut Vec<AgentOutput>) {
        let silence = now.uptime.saturating_sub(self.last_heard);
        if silence >= self.heartbeat * MISSED_HEARTBEATS {
            return self.end(Ending::Silent(silence), out);
        }
        if self.welcomed && now.uptime >= self.last_beat + self.heartbeat {
            self.beat(now, out);
        }
    }

    fn beat(&mut self, now: Moment, out: &mut Vec<AgentOutput>) {
        if self.welcomed {
            self.last_beat = now.uptime;
            let beat = Heartbeat { held: self.held.clone(), status: self.status.index().root() };
            out.push(AgentOutput::Send(AgentMessage::Heartbeat(beat)));
        }
    }

    /// Sends the next status update if none is on its way and the hub does not hold the newest.
    fn report(&mut self, now: Moment, out: &mut Vec<AgentOutput>) {
        let too_soon = self.reporting.last_sent.is_some_and(|sent| now.uptime < sent + STATUS_GAP);
        if self.reporting.on_the_way.is_some() || too_soon || self.status_is_known() {
            return;
        }
        let (update, after) = match &self.reporting.hub_holds {
            None => (StatusUpdate::Summary(self.status.index().clone()), self.status.index().clone()),
            Some(holds) => changes(&self.status, holds),
        };
        self.reporting.on_the_way = Some(after);
        self.reporting.last_sent = Some(now.uptime);
        out.push(AgentOutput::SendStatus(update));
    }

    fn acknowledged(&mut self, now: Moment, ack: StatusAck, out: &mut Vec<AgentOutput>) {
        self.last_heard = now.uptime;
        let Some(mut after) = self.reporting.on_the_way.take() else {
            return self.end(Ending::Protocol("it acknowledged a status that was not sent"), out);
        };
        self.reporting.hub_holds = match ack {
            // Anything else than what was expected means that the hub holds something unknown: tell it from the beginning.
            StatusAck::Held { root } => (root == after.root()).then_some(after),
            StatusAck::Need { facts, apps } => {
                if facts {
                    after.facts = None;
                }
                for name in &apps {
                    after.apps.remove(name);
                }
                Some(after)
            }
        };
    }

    fn end(&mut self, ending: Ending, out: &mut Vec<AgentOutput>) {
        self.ended = true;
        out.push(AgentOutput::End(ending));
    }
}

/// The next part of what a hub that holds `holds` lacks, and what it holds afterwards.
fn changes(status: &Status, holds: &StatusIndex) -> (StatusUpdate, StatusIndex) {
    let mut after = holds.clone();
    let current = status.index();
    let facts = (holds.facts != current.facts).then(|| current.facts.map(|digest| (Arc::clone(status.facts()), digest))).flatten();
    after.facts = current.facts;
    let removed: Vec<_> = holds.apps.keys().filter(|name| !current.apps.contains_key(*name)).cloned().collect();
    for name in &removed {
        after.apps.remove(name);
    }
    let mut weight = 0;
    let mut apps = Vec::new();
    for (name, report) in status.apps().iter().filter(|(name, report)| holds.apps.get(*name) != Some(&report.digest)) {
        if weight >= STATUS_CHUNK {
            break;
        }
        weight += report.weight + name.as_str().len();
        after.apps.insert(name.clone(), report.digest);
        apps.push((name.clone(), report.clone()));
    }
    (StatusUpdate::Changes { facts, apps, removed }, after)
}

/// A goodbye after which coming back by itself is of no use: somebody must act first.
impl Goodbye {
    /// Whether an operator must act before the agent can come back.
    pub fn needs_an_operator(&self) -> bool {
        matches!(self.reason, GoodbyeReason::NotAdmitted | GoodbyeReason::Version)
    }
}
