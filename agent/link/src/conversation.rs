//! One connection's conversation: carries inputs to the `AgentSession` and outputs to the wire and the site. What is said when is decided there.

use std::error::Error as _;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use shared_identity::{AgentCertificate, RenewalMoment, renewal};
use shared_proto::{MESSAGE_LIMIT, WireError, wire};
use shared_session::{
    AgentConfig, AgentInput, AgentMessage, AgentOutput, AgentSession, Delivery, Ending, Goodbye, HubMessage, Moment, ProtocolVersion,
    StatusAck, Verdict,
};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use tracing::{info, warn};

use crate::enrol::EnrolError;
use crate::fetch::fetch_for_ever;
use crate::interactive::answer_for_ever;
use crate::link::Core;
use crate::renew::{RENEW_AGAIN, renew};
use crate::site::Later;
use crate::state::LinkState;

/// How long the hub may take to open a lane.
const LANE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a goodbye is waited for when another lane has ended.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Messages that wait on the control lane. The session sends a heartbeat every 10 s and a few answers; a hub that leaves 32 unread is left.
const CONTROL_QUEUE: usize = 32;

/// How a conversation ended.
pub(crate) struct Ended {
    /// Why, for people.
    pub(crate) reason: String,
    /// The hub's goodbye, if it said one.
    pub(crate) goodbye: Option<Goodbye>,
    /// Whether the hub had taken the agent in.
    pub(crate) welcomed: bool,
}

type Client = wire::session_client::SessionClient<Channel>;
type Renewing = Later<'static, Result<AgentCertificate, EnrolError>>;

/// The status lane once it is open.
struct StatusLane {
    updates: mpsc::Sender<wire::StatusUpdate>,
    acknowledgements: Streaming<wire::StatusAck>,
}

struct Conversation<'a> {
    core: &'a mut Core,
    client: Client,
    session: AgentSession,
    control: mpsc::Sender<wire::AgentControl>,
    status: Option<StatusLane>,
    delivery: Option<Later<'static, Option<Verdict>>>,
    renewing: Option<Renewing>,
    renew_at: Instant,
    welcomed: Option<(ProtocolVersion, shared_model::Timestamp)>,
    fetch: Arc<Notify>,
    /// The fetching and answering tasks; they end with the conversation.
    tasks: JoinSet<()>,
}

/// Talks over `channel` until the connection or the conversation ends.
pub(crate) async fn converse(core: &mut Core, channel: Channel) -> Ended {
    let client = Client::new(channel).max_decoding_message_size(MESSAGE_LIMIT).max_encoding_message_size(MESSAGE_LIMIT);
    let mut held = core.site.held().borrow().clone();
    held.refused = core.refused;
    let status = core.site.status().borrow().clone();
    let config = AgentConfig { versions: core.config.versions.clone(), boot: core.boot, agent_version: core.config.agent_version.clone() };
    let (session, hello) = AgentSession::open(core.now(), &config, held, status);
    let (control, outgoing) = mpsc::channel(CONTROL_QUEUE);
    let mut conversation = Conversation {
        client,
        session,
        control,
        status: None,
        delivery: None,
        renewing: None,
        renew_at: core.renewal(),
        welcomed: None,
        fetch: Arc::new(Notify::new()),
        tasks: JoinSet::new(),
        core,
    };
    let outcome = conversation.run(hello, outgoing).await;
    conversation.core.refused = conversation.session.held().refused;
    let welcomed = conversation.welcomed.is_some();
    match outcome {
        Ending::Goodbye(goodbye) => Ended { reason: goodbye.message.clone(), goodbye: Some(goodbye), welcomed },
        ending => Ended { reason: ending.to_string(), goodbye: None, welcomed },
    }
}

impl Conversation<'_> {
    async fn run(&mut self, hello: Vec<AgentOutput>, outgoing: mpsc::Receiver<wire::AgentControl>) -> Ending {
        for output in hello {
            if let Some(ending) = self.perform(output).await {
                return ending;
            }
        }
        let opened = tokio::time::timeout(LANE_TIMEOUT, self.client.control(ReceiverStream::new(outgoing))).await;
        let mut incoming = match opened {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(error)) => return broken(&error),
            Err(_) => return Ending::Silent(LANE_TIMEOUT),
        };
        let (mut held, mut status) = (self.core.site.held(), self.core.site.status());
        // Both were read before: only what changed since must be looked at, which the first look finds out.
        held.mark_changed();
        status.mark_changed();
        loop {
            let wake = self.core.started + self.session.wake();
            let input = tokio::select! {
                message = incoming.message() => match message {
                    Ok(Some(message)) => match HubMessage::try_from(message) {
                        Ok(message) => Some(AgentInput::Received(message)),
                        Err(WireError::UnknownKind) => None,
                        Err(error) => return wrong(&error),
                    },
                    Ok(None) => return Ending::Lost("the hub closed the connection".into()),
                    Err(error) => return broken(&error),
                },
                ack = next_acknowledgement(&mut self.status) => match ack {
                    Ok(ack) => ack.map(AgentInput::StatusAcknowledged),
                    Err(ending) => return last_word(&mut incoming).await.unwrap_or(ending),
                },
                verdict = delivered(&mut self.delivery) => {
                    self.delivery = None;
                    if matches!(verdict, Some(Verdict::Accepted(_))) {
                        self.fetch.notify_one();
                    }
                    Some(AgentInput::Delivered { held: held.borrow_and_update().clone(), verdict })
                }
                Ok(()) = held.changed() => {
                    let now_held = held.borrow_and_update().clone();
                    let same = shared_session::Held { refused: self.session.held().refused, ..now_held.clone() } == *self.session.held();
                    (!same).then_some(AgentInput::Held(now_held))
                }
                Ok(()) = status.changed() => Some(AgentInput::Status(status.borrow_and_update().clone())),
                outcome = renewed(&mut self.renewing) => {
                    self.renewing = None;
                    self.renewal_ended(outcome).await;
                    None
                }
                () = tokio::time::sleep_until(self.renew_at), if self.renewing.is_none() && self.welcomed.is_some() => {
                    self.begin_renewal();
                    None
                }
                () = tokio::time::sleep_until(wake) => Some(AgentInput::Tick),
                () = self.core.stop.cancelled() => return Ending::Lost("the agent stops".into()),
            };
            if let Some(input) = input {
                for output in self.session.handle(self.core.now(), input) {
                    if let Some(ending) = self.perform(output).await {
                        return ending;
                    }
                }
            }
            self.show();
        }
    }

    /// Carries one output out; gives the ending if the conversation ends with it.
    async fn perform(&mut self, output: AgentOutput) -> Option<Ending> {
        match output {
            AgentOutput::Send(message) => {
                if let AgentMessage::IndexJudged { digest, verdict: Verdict::Refused(reason) } = &message {
                    warn!(%digest, %reason, "index refused");
                }
                if self.control.try_send(message.into()).is_err() {
                    return Some(Ending::Lost("the hub does not read".into()));
                }
            }
            AgentOutput::SendStatus(update) => {
                let sent = self.status.as_ref().is_some_and(|lane| lane.updates.try_send(update.into()).is_ok());
                if !sent {
                    return Some(Ending::Lost("the status lane broke".into()));
                }
            }
            AgentOutput::Deliver(delivery) => self.delivery = Some(self.deliver(delivery)),
            AgentOutput::Welcomed { version, server_time } => {
                let now = self.core.config.clock.now();
                info!(%version, clock_difference_ms = server_time.duration_since(now).as_millis(), "connected to the hub");
                self.welcomed = Some((version, now));
                return self.open_lanes().await.err();
            }
            AgentOutput::End(ending) => return Some(ending),
        }
        None
    }

    fn deliver(&self, delivery: Delivery) -> Later<'static, Option<Verdict>> {
        let site = Arc::clone(&self.core.site);
        Box::pin(async move {
            match delivery {
                Delivery::Root(root) => site.take_root(root).await,
                Delivery::Keys(keys) => site.take_keys(keys).await,
                Delivery::Freshness(freshness) => site.take_freshness(freshness).await,
                Delivery::Index(index) => return Some(site.judge(index).await),
            }
            None
        })
    }

    /// Opens the other lanes, which the hub serves once it has said welcome.
    async fn open_lanes(&mut self) -> Result<(), Ending> {
        let (updates, outgoing) = mpsc::channel(1);
        let opened = tokio::time::timeout(LANE_TIMEOUT, self.client.status(ReceiverStream::new(outgoing))).await;
        let acknowledgements = opened.map_err(|_| Ending::Silent(LANE_TIMEOUT))?.map_err(|error| broken(&error))?.into_inner();
        self.status = Some(StatusLane { updates, acknowledgements });
        self.tasks.spawn(fetch_for_ever(self.client.clone(), Arc::clone(&self.core.site), Arc::clone(&self.fetch)));
        self.tasks.spawn(answer_for_ever(self.client.clone(), Arc::clone(&self.core.site)));
        Ok(())
    }

    fn begin_renewal(&mut self) {
        let (client, key, facts) = (self.client.clone(), Arc::clone(&self.core.config.key), self.core.config.certificate.facts.clone());
        self.renewing = Some(Box::pin(async move { renew(client, &key, &facts).await }));
    }

    async fn renewal_ended(&mut self, outcome: Result<AgentCertificate, EnrolError>) {
        let adopted = match outcome {
            Ok(certificate) => self.core.adopt(certificate).await,
            Err(error) => Err(error.to_string()),
        };
        self.renew_at = match adopted {
            Ok(()) => self.core.renewal(),
            Err(reason) => {
                warn!(reason, "the certificate could not be renewed; it is tried again");
                Instant::now() + RENEW_AGAIN
            }
        };
    }

    /// Shows how the link is.
    fn show(&self) {
        if let Some((version, since)) = self.welcomed {
            let state = LinkState::Connected { since, version, status_known: self.session.status_is_known() };
            self.core.state.send_if_modified(|shown| {
                let changed = *shown != state;
                *shown = state;
                changed
            });
        }
    }
}

impl Core {
    /// When the certificate is to be renewed; at once if it should have been already.
    fn renewal(&self) -> Instant {
        match renewal(&self.config.certificate.facts, self.renewal_seed, self.config.clock.now()) {
            RenewalMoment::In(wait) => Instant::now() + wait,
            RenewalMoment::Now | RenewalMoment::Expired => Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment { uptime: self.started.elapsed(), wall: self.config.clock.now() }
    }
}

/// What a failed call says about the connection. A refused certificate shows only here, at the bottom of the chain of causes: with TLS 1.3 the
/// agent's side of the handshake ends before the hub has looked at it.
fn broken(error: &Status) -> Ending {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let cause = if error.source().is_some() { cause.to_string() } else { error.message().to_owned() };
    Ending::Lost(format!("the connection to the hub broke ({}): {cause}", error.code()))
}

/// The goodbye that may be on its way on the control lane when another lane ends: all lanes end together, in any order.
async fn last_word(incoming: &mut Streaming<wire::HubControl>) -> Option<Ending> {
    let goodbye = async {
        loop {
            if let Ok(HubMessage::Goodbye(goodbye)) = HubMessage::try_from(incoming.message().await.ok()??) {
                return Some(Ending::Goodbye(goodbye));
            }
        }
    };
    tokio::time::timeout(LAST_WORD, goodbye).await.ok()?
}

fn wrong(error: &WireError) -> Ending {
    Ending::Lost(format!("the hub sent something that cannot be read: {error}"))
}

async fn next_acknowledgement(lane: &mut Option<StatusLane>) -> Result<Option<StatusAck>, Ending> {
    let Some(lane) = lane else { return pending().await };
    match lane.acknowledgements.message().await {
        Ok(Some(ack)) => match StatusAck::try_from(ack) {
            Ok(ack) => Ok(Some(ack)),
            Err(WireError::UnknownKind) => Ok(None),
            Err(error) => Err(wrong(&error)),
        },
        Ok(None) => Err(Ending::Lost("the hub closed the status lane".into())),
        Err(error) => Err(broken(&error)),
    }
}

async fn delivered(delivery: &mut Option<Later<'static, Option<Verdict>>>) -> Option<Verdict> {
    match delivery {
        Some(delivery) => delivery.await,
        None => pending().await,
    }
}

async fn renewed(renewing: &mut Option<Renewing>) -> Result<AgentCertificate, EnrolError> {
    match renewing {
        Some(renewing) => renewing.await,
        None => pending().await,
    }
}
