//! The task of one connected agent: carries inputs to its `HubSession` and outputs to the wire and the desk. What is said when is decided there.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use shared_model::Timestamp;
use shared_proto::{WireError, wire};
use shared_session::{
    AgentMessage, Goodbye, GoodbyeReason, HubInput, HubMessage, HubOutput, HubSession, StatusChange, StatusUpdate, directed_delay, spread,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::Instant;
use tonic::{Code, Status, Streaming};
use tracing::{debug, info, warn};

use crate::connection::{Connection, StatusLane};
use crate::desk::{Admission, Later, Unavailable};
use crate::handle::Shared;
use crate::limits::GOODBYE_GRACE;

/// How long an agent may count as joining: a herd must not be stuck behind an agent that is slow to store its index.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);

/// The lanes of one conversation as they came from the wire.
pub(crate) struct Lanes {
    pub(crate) incoming: Streaming<wire::AgentControl>,
    pub(crate) outgoing: mpsc::Sender<Result<wire::HubControl, Status>>,
    pub(crate) status: mpsc::Receiver<StatusLane>,
}

/// Drives one conversation to its end, then cuts the connection.
pub(crate) async fn converse(shared: Arc<Shared>, connection: Arc<Connection>, mut lanes: Lanes) {
    let identity = &connection.peer.identity;
    let admissions = shared.desk.admissions();
    let goodbye = match Arc::clone(&shared.joining).try_acquire_owned() {
        Err(_) => Some(overloaded(&shared)),
        Ok(permit) => match refusal(&shared, &connection).await {
            Some(goodbye) => Some(goodbye),
            None => {
                shared.registry.enter(&connection).await;
                info!(cluster = %identity, address = %connection.address, serial = connection.peer.serial, "agent connected");
                let reason = Conversation::open(&shared, &connection, permit, admissions).await.run(&mut lanes).await;
                shared.desk.parted(identity);
                shared.registry.leave(&connection);
                info!(cluster = %identity, reason, "agent disconnected");
                None
            }
        },
    };
    connection.over.cancel();
    connection.asking.close();
    if let Some(goodbye) = goodbye {
        info!(cluster = %identity, address = %connection.address, reason = ?goodbye.reason, message = goodbye.message, "agent refused");
        let _: Result<(), _> = lanes.outgoing.try_send(Ok(HubMessage::Goodbye(goodbye).into()));
    }
    // The goodbye is on its way: the agent hangs up when it has read it, or is cut.
    let _: Result<(), _> = tokio::time::timeout(GOODBYE_GRACE, lanes.outgoing.closed()).await;
    connection.cut.cancel();
}

fn overloaded(shared: &Shared) -> Goodbye {
    let message = "the hub is bringing as many agents in sync as it can; come back later".into();
    Goodbye { reason: GoodbyeReason::Overloaded, message, retry_after: Some(directed_delay(shared.config.come_back, shared.seed())) }
}

/// Why the agent must not be here, if it must not.
async fn refusal(shared: &Shared, connection: &Connection) -> Option<Goodbye> {
    match shared.desk.admit(&connection.peer).await {
        Admission::Admit => None,
        Admission::Refuse(reason) => {
            Some(Goodbye { reason: GoodbyeReason::NotAdmitted, message: reason.to_string(), retry_after: Some(shared.config.come_back) })
        }
    }
}

type Recording = Later<'static, Result<(), Unavailable>>;

struct Conversation<'a> {
    shared: &'a Arc<Shared>,
    connection: &'a Arc<Connection>,
    session: HubSession,
    admissions: watch::Receiver<u64>,
    target: watch::Receiver<Option<Arc<shared_session::Target>>>,
    status: Option<StatusLane>,
    recording: Option<Recording>,
    /// Held until the agent is in sync, with the time at which it is given back anyway.
    joining: Option<(OwnedSemaphorePermit, Instant)>,
    greeted: bool,
    /// When the connection is too old.
    aged: Instant,
}

impl<'a> Conversation<'a> {
    async fn open(
        shared: &'a Arc<Shared>,
        connection: &'a Arc<Connection>,
        joining: OwnedSemaphorePermit,
        admissions: watch::Receiver<u64>,
    ) -> Self {
        let identity = &connection.peer.identity;
        let recorded = shared.desk.recorded(identity).await;
        let mut target = shared.desk.target(identity);
        target.mark_changed();
        let now = Instant::now();
        Self {
            session: HubSession::open(shared.now(), shared.config.session.clone(), recorded),
            admissions,
            target,
            status: None,
            recording: None,
            joining: Some((joining, now + JOIN_PATIENCE)),
            greeted: false,
            aged: now + life(shared, connection.peer.not_after),
            shared,
            connection,
        }
    }

    /// Runs until the session or the transport ends; gives the cause for the log.
    async fn run(&mut self, lanes: &mut Lanes) -> &'static str {
        let mut leave = self.connection.leave.subscribe();
        leave.mark_changed();
        let (mut watch_target, mut watch_admissions) = (true, true);
        loop {
            let wake = self.shared.started + self.session.wake();
            let wake = self.joining.as_ref().map_or(wake, |(_, until)| wake.min(*until)).min(self.aged);
            let input = tokio::select! {
                message = lanes.incoming.message() => match message {
                    Ok(Some(message)) => received(message),
                    Ok(None) => return "the agent closed the connection",
                    // The decoder refused it, for its size above all: said with a goodbye, so that it is not tried for ever.
                    Err(error) if error.code() == Code::OutOfRange => Some(HubInput::Leave(protocol(error.message()))),
                    Err(error) => {
                        debug!(cluster = %self.connection.peer.identity, %error, "control lane broke");
                        return "the connection broke";
                    }
                },
                update = next_update(&mut self.status) => match update {
                    Some(update) => updated(update),
                    None => {
                        self.status = None;
                        continue;
                    }
                },
                Some(lane) = lanes.status.recv() => {
                    self.status = Some(lane);
                    continue;
                }
                outcome = recorded(&mut self.recording) => {
                    self.recording = None;
                    Some(if outcome.is_ok() { HubInput::Recorded } else { HubInput::RecordFailed })
                }
                changed = self.target.changed(), if watch_target => {
                    watch_target = changed.is_ok();
                    Some(HubInput::Target(self.target.borrow_and_update().clone()))
                }
                changed = self.admissions.changed(), if watch_admissions => {
                    watch_admissions = changed.is_ok();
                    refusal(self.shared, self.connection).await.map(HubInput::Leave)
                }
                Ok(()) = leave.changed() => leave.borrow_and_update().clone().map(HubInput::Leave),
                () = tokio::time::sleep_until(wake) => Some(if Instant::now() >= self.aged { self.too_old() } else { HubInput::Tick }),
            };
            let Some(input) = input else { continue };
            for output in self.session.handle(self.shared.now(), input) {
                if let Some(end) = self.perform(output, lanes) {
                    return end;
                }
            }
            if self.joining.as_ref().is_some_and(|(_, until)| self.session.in_sync() || Instant::now() >= *until) {
                self.joining = None;
            }
        }
    }

    fn too_old(&self) -> HubInput {
        HubInput::Leave(Goodbye {
            reason: GoodbyeReason::Age,
            message: "the connection reached its age; connect again".into(),
            retry_after: Some(spread(Duration::from_secs(1), self.shared.seed())),
        })
    }

    /// Carries one output out; gives the cause if the conversation ends with it.
    fn perform(&mut self, output: HubOutput, lanes: &Lanes) -> Option<&'static str> {
        let identity = &self.connection.peer.identity;
        match output {
            HubOutput::Send(message) => {
                if let HubMessage::Goodbye(goodbye) = &message {
                    info!(cluster = %identity, reason = ?goodbye.reason, message = goodbye.message, "goodbye");
                }
                // Before the welcome is sent: the agent opens its other lanes as soon as it has read it.
                self.greet();
                if lanes.outgoing.try_send(Ok(message.into())).is_err() {
                    self.connection.cut.cancel();
                    return Some("the agent does not read");
                }
            }
            HubOutput::Acknowledge(acknowledgement) => {
                if let Some(lane) = &self.status {
                    // At most one update is on its way, so that one place suffices; a lane that closed meanwhile needs no answer.
                    let _: Result<(), _> = lane.acknowledgements.try_send(Ok(acknowledgement.into()));
                }
            }
            HubOutput::Record(change) => self.recording = Some(self.record(change)),
            HubOutput::Heard(heard) => self.shared.desk.heard(identity, heard),
            HubOutput::End => return Some("goodbye was said"),
        }
        None
    }

    /// The first time that the agent is welcomed: from now on its other lanes are served.
    fn greet(&mut self) {
        let Some(boot) = self.session.boot().filter(|_| !self.greeted) else { return };
        self.greeted = true;
        self.connection.set_admitted();
        let identity = &self.connection.peer.identity;
        if let Some(suspicion) = self.shared.registry.said_hello(identity, boot, self.shared.now().uptime) {
            warn!(cluster = %identity, returned = %suspicion.returned, between = %suspicion.between, "two agents use one identity");
            self.shared.desk.suspect_clone(identity, suspicion);
        }
    }

    fn record(&self, change: StatusChange) -> Recording {
        let (desk, identity) = (Arc::clone(&self.shared.desk), self.connection.peer.identity.clone());
        Box::pin(async move { desk.report(&identity, change).await })
    }
}

/// How long a connection may live: its configured age ±20 %, and never longer than the certificate that opened it.
fn life(shared: &Shared, not_after: Timestamp) -> Duration {
    let age = shared.config.connection_age;
    let jittered = age.saturating_sub(age / 5) + spread(age / 5 * 2, shared.seed());
    let certificate = not_after.duration_since(shared.config.clock.now());
    jittered.min(Duration::try_from(certificate).unwrap_or(Duration::ZERO))
}

fn protocol(message: &str) -> Goodbye {
    Goodbye { reason: GoodbyeReason::Protocol, message: message.to_owned(), retry_after: None }
}

fn received(message: wire::AgentControl) -> Option<HubInput> {
    match AgentMessage::try_from(message) {
        Ok(message) => Some(HubInput::Received(message)),
        Err(WireError::UnknownKind) => None,
        Err(error) => Some(HubInput::Leave(protocol(&error.to_string()))),
    }
}

fn updated(update: wire::StatusUpdate) -> Option<HubInput> {
    match StatusUpdate::try_from(update) {
        Ok(update) => Some(HubInput::Status(update)),
        Err(WireError::UnknownKind) => None,
        Err(error) => Some(HubInput::Leave(protocol(&error.to_string()))),
    }
}

/// The next update of a lane that is open; a lane that ends, or sends what is too large, gives `None`.
async fn next_update(lane: &mut Option<StatusLane>) -> Option<wire::StatusUpdate> {
    match lane {
        Some(lane) => lane.updates.message().await.ok().flatten(),
        None => pending().await,
    }
}

async fn recorded(recording: &mut Option<Recording>) -> Result<(), Unavailable> {
    match recording {
        Some(recording) => recording.await,
        None => pending().await,
    }
}
