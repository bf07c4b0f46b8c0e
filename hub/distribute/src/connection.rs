//! One connection of one agent: who it is, the lanes that arrived, and how it is told to end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConnection;
use shared_identity::PeerCertificate;
use shared_proto::wire;
use shared_session::Goodbye;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status, Streaming};

use crate::accept::Peer;
use crate::interactive::Asking;

/// The status lane as it arrived.
pub(crate) struct StatusLane {
    pub(crate) updates: Streaming<wire::StatusUpdate>,
    pub(crate) acknowledgements: mpsc::Sender<Result<wire::StatusAck, Status>>,
}

/// One connection.
pub(crate) struct Connection {
    pub(crate) peer: PeerCertificate,
    pub(crate) address: SocketAddr,
    /// Cancelled when the transport must end.
    pub(crate) cut: CancellationToken,
    /// Cancelled when the conversation is over and nothing will be reported any more.
    pub(crate) over: CancellationToken,
    /// The goodbye that somebody else wants said.
    pub(crate) leave: watch::Sender<Option<Goodbye>>,
    /// Whether the agent was admitted and said hello.
    admitted: AtomicBool,
    status_in: mpsc::Sender<StatusLane>,
    status_out: Mutex<Option<mpsc::Receiver<StatusLane>>>,
    pub(crate) asking: Asking,
}

/// A shared connection, as every request carries it.
#[derive(Clone)]
pub(crate) struct ConnectionRef(pub(crate) Arc<Connection>);

impl Peer for ConnectionRef {
    fn of(tls: &ServerConnection, address: SocketAddr) -> Result<Self, String> {
        let leaf = tls.peer_certificates().and_then(<[_]>::first).ok_or("no client certificate")?;
        let peer = PeerCertificate::parse(leaf).map_err(|error| error.to_string())?;
        let (status_in, status_out) = mpsc::channel(1);
        Ok(Self(Arc::new(Connection {
            peer,
            address,
            cut: CancellationToken::new(),
            over: CancellationToken::new(),
            leave: watch::Sender::new(None),
            admitted: AtomicBool::new(false),
            status_in,
            status_out: Mutex::new(Some(status_out)),
            asking: Asking::default(),
        })))
    }

    fn cut(&self) -> CancellationToken {
        self.0.cut.clone()
    }
}

impl Connection {
    /// The connection over which a request came.
    pub(crate) fn of<T>(request: &Request<T>) -> Result<Arc<Self>, Status> {
        let found = request.extensions().get::<ConnectionRef>();
        found.map(|connection| Arc::clone(&connection.0)).ok_or_else(|| Status::internal("BUG: a request without a connection"))
    }

    /// The status lanes that arrive, for the one conversation of this connection; `None` if it has one already.
    pub(crate) fn begin(&self) -> Option<mpsc::Receiver<StatusLane>> {
        self.status_out.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether the conversation has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.status_out.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Hands a status lane to the conversation.
    pub(crate) fn attach(&self, lane: StatusLane) -> Result<(), Status> {
        self.status_in.try_send(lane).map_err(|_| Status::failed_precondition("this connection has a status lane already"))
    }

    pub(crate) fn set_admitted(&self) {
        self.admitted.store(true, Ordering::Release);
    }

    /// Refuses requests of an agent that was not admitted or is about to leave.
    pub(crate) fn must_be_admitted(&self) -> Result<(), Status> {
        if self.admitted.load(Ordering::Acquire) && !self.over.is_cancelled() && self.leave.borrow().is_none() {
            Ok(())
        } else {
            Err(Status::failed_precondition("the control lane must be open and welcomed first"))
        }
    }
}
