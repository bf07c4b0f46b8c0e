//! Starting and stopping the session's listener, and reaching connected agents from the rest of the hub.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use shared_identity::{AgentIdentity, random_seed};
use shared_session::{Answer, Goodbye, GoodbyeReason, LogQuestion, Moment, Question, spread};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::accept::{AcceptLimits, accept};
use crate::config::DistributeConfig;
use crate::connection::{Connection, ConnectionRef};
use crate::desk::Desk;
use crate::interactive::{AskError, LogReader};
use crate::limits::{CONTROL_PATIENCE, session_server};
use crate::registry::Registry;
use crate::session::SessionService;

/// What all tasks of the listener share.
pub(crate) struct Shared {
    pub(crate) config: DistributeConfig,
    pub(crate) desk: Arc<dyn Desk>,
    pub(crate) registry: Registry,
    pub(crate) joining: Arc<Semaphore>,
    pub(crate) fetches: Semaphore,
    /// The origin of uptime.
    pub(crate) started: Instant,
    /// Cancelled when no connection is accepted any more.
    stop: CancellationToken,
    /// Cancelled when every connection must end, also those that never began to talk.
    cut_all: CancellationToken,
}

impl Shared {
    pub(crate) fn now(&self) -> Moment {
        Moment { uptime: self.started.elapsed(), wall: self.config.clock.now() }
    }

    pub(crate) fn seed(&self) -> u64 {
        random_seed()
    }
}

/// The running listener. Dropping it leaves the listener running; [`Handle::drain`] ends it.
pub struct Handle {
    shared: Arc<Shared>,
    server: Mutex<Option<JoinHandle<()>>>,
}

/// Serves the session on `listener`. `tls` comes from `shared_identity::agent_listener_config`.
pub fn serve(listener: TcpListener, tls: Arc<ServerConfig>, config: DistributeConfig, desk: Arc<dyn Desk>) -> Handle {
    let shared = Arc::new(Shared {
        joining: Arc::new(Semaphore::new(config.joining)),
        fetches: Semaphore::new(config.fetches),
        registry: Registry::default(),
        started: Instant::now(),
        stop: CancellationToken::new(),
        cut_all: CancellationToken::new(),
        desk,
        config,
    });
    let limits = AcceptLimits { handshakes: shared.config.handshakes, connections: shared.config.connections };
    let cut_all = shared.cut_all.clone();
    let incoming = accept::<ConnectionRef>(listener, tls, limits, shared.stop.clone()).map(move |io| {
        if let Ok(io) = &io {
            tokio::spawn(watch_over(tonic::transport::server::Connected::connect_info(io).0, cut_all.clone()));
        }
        io
    });
    let router = session_server().add_service(SessionService::server(Arc::clone(&shared)));
    let stop = shared.stop.clone();
    let server = tokio::spawn(async move {
        if let Err(error) = router.serve_with_incoming_shutdown(incoming, stop.cancelled_owned()).await {
            error!(%error, "the session's server ended");
        }
    });
    Handle { shared, server: Mutex::new(Some(server)) }
}

/// Cuts a connection that opens no control lane, and every connection when the listener ends.
async fn watch_over(connection: Arc<Connection>, cut_all: CancellationToken) {
    tokio::select! {
        () = connection.cut.cancelled() => return,
        () = cut_all.cancelled() => {}
        () = tokio::time::sleep(CONTROL_PATIENCE) => {
            if connection.has_begun() {
                tokio::select! {
                    () = connection.cut.cancelled() => return,
                    () = cut_all.cancelled() => {}
                }
            }
        }
    }
    connection.cut.cancel();
}

impl Handle {
    /// The agents that are connected.
    pub fn connected(&self) -> Vec<AgentIdentity> {
        self.shared.registry.all().iter().map(|connection| connection.peer.identity.clone()).collect()
    }

    /// Asks a connected agent, and waits for at most `timeout`. For logs there is [`Handle::log`].
    pub async fn ask(&self, who: &AgentIdentity, question: &Question, timeout: Duration) -> Result<Answer, AskError> {
        let connection = self.shared.registry.of(who).ok_or(AskError::NotConnected)?;
        connection.asking.ask(question, timeout).await
    }

    /// Asks a connected agent for a log, and waits for at most `timeout` until it begins. The log ends with the agent's connection.
    pub async fn log(&self, who: &AgentIdentity, question: LogQuestion, timeout: Duration) -> Result<LogReader, AskError> {
        let connection = self.shared.registry.of(who).ok_or(AskError::NotConnected)?;
        connection.asking.log(question, timeout).await
    }

    /// Ends the listener: accepts no more, says goodbye to every agent and asks them to come back spread over `within`, waits until they are gone
    /// but no longer than `within`, then cuts the rest.
    pub async fn drain(&self, within: Duration) {
        self.shared.stop.cancel();
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        for connection in self.shared.registry.all() {
            connection.leave.send_replace(Some(Goodbye {
                reason: GoodbyeReason::Draining,
                message: "the hub is stopping".into(),
                retry_after: Some(spread(within, self.shared.seed())),
            }));
        }
        let Some(mut server) = server else { return };
        if tokio::time::timeout(within, &mut server).await.is_err() {
            self.shared.cut_all.cancel();
            if let Err(error) = server.await {
                error!(%error, "the session's server panicked");
            }
        }
    }
}
