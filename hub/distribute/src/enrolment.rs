//! The enrolment door: a listener of its own without client certificates, small in every respect. Who gets a certificate the desk decides; here is
//! checked what can be checked without knowledge: the request's own signature and, for re-attestation, possession of the key.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection};
use shared_identity::{CertificateRequest, ConnectionBinding, connection_binding};
use shared_proto::{EnrolCall, Issued, ReattestCall, wire};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};
use tracing::{error, info, warn};

use crate::accept::{AcceptLimits, Peer, accept};
use crate::config::EnrolmentConfig;
use crate::desk::{Desk, EnrolRefusal, EnrolRequest, Enrolled, ReattestRequest};
use crate::limits::{ENROL_CONNECTION_AGE, ENROL_MESSAGE_LIMIT, enrolment_server};

/// A stranger at the door.
#[derive(Clone)]
struct Stranger {
    address: SocketAddr,
    binding: ConnectionBinding,
    cut: CancellationToken,
}

impl Peer for Stranger {
    fn of(tls: &ServerConnection, address: SocketAddr) -> Result<Self, String> {
        let binding = connection_binding(tls).map_err(|error| error.to_string())?;
        let cut = CancellationToken::new();
        // The server's own age limit waits for a peer that reads; this does not.
        let old = cut.clone();
        tokio::spawn(async move {
            tokio::time::sleep(ENROL_CONNECTION_AGE * 2).await;
            old.cancel();
        });
        Ok(Self { address, binding, cut })
    }

    fn cut(&self) -> CancellationToken {
        self.cut.clone()
    }
}

/// The running enrolment listener.
pub struct EnrolmentHandle {
    stop: CancellationToken,
    server: Mutex<Option<JoinHandle<()>>>,
}

/// Serves the enrolment door on `listener`. `tls` comes from `shared_identity::enrolment_listener_config`.
pub fn serve_enrolment(listener: TcpListener, tls: Arc<ServerConfig>, config: &EnrolmentConfig, desk: Arc<dyn Desk>) -> EnrolmentHandle {
    let stop = CancellationToken::new();
    let limits = AcceptLimits { handshakes: config.handshakes, connections: config.connections };
    let incoming = accept::<Stranger>(listener, tls, limits, stop.clone());
    let service = Door { desk, enrolments: Semaphore::new(config.enrolments) };
    let service = wire::enrolment_server::EnrolmentServer::new(service)
        .max_decoding_message_size(ENROL_MESSAGE_LIMIT)
        .max_encoding_message_size(shared_proto::MESSAGE_LIMIT);
    let router = enrolment_server().add_service(service);
    let stopped = stop.clone();
    let server = tokio::spawn(async move {
        if let Err(error) = router.serve_with_incoming_shutdown(incoming, stopped.cancelled_owned()).await {
            error!(%error, "the enrolment server ended");
        }
    });
    EnrolmentHandle { stop, server: Mutex::new(Some(server)) }
}

impl EnrolmentHandle {
    /// Accepts no more, and waits for at most `within` for enrolments in work.
    pub async fn drain(&self, within: Duration) {
        self.stop.cancel();
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut server) = server
            && tokio::time::timeout(within, &mut server).await.is_err()
        {
            server.abort();
        }
    }
}

struct Door {
    desk: Arc<dyn Desk>,
    enrolments: Semaphore,
}

impl Door {
    fn enter(&self) -> Result<SemaphorePermit<'_>, Status> {
        self.enrolments
            .try_acquire()
            .map_err(|_| Status::resource_exhausted("the hub has too many enrolments in work; try again in some seconds"))
    }
}

fn stranger<T>(request: &Request<T>) -> Result<Stranger, Status> {
    request.extensions().get::<Stranger>().cloned().ok_or_else(|| Status::internal("BUG: a request without a connection"))
}

fn malformed(error: &dyn std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

/// A refusal as the agent gets it. The code tells whether asking again can help.
pub(crate) fn refused(refusal: &EnrolRefusal) -> Status {
    let code = match refusal {
        EnrolRefusal::AwaitingAcceptance { .. } | EnrolRefusal::OtherUid { .. } => Code::FailedPrecondition,
        EnrolRefusal::Unavailable(_) => Code::Unavailable,
        EnrolRefusal::TokenUnknown
        | EnrolRefusal::TokenUsed
        | EnrolRefusal::TokenExpired
        | EnrolRefusal::KeyNotBound
        | EnrolRefusal::Revoked { .. } => Code::PermissionDenied,
    };
    Status::new(code, refusal.to_string())
}

fn reply(outcome: Result<Enrolled, EnrolRefusal>, address: SocketAddr) -> Result<Response<wire::CertificateReply>, Status> {
    match outcome {
        Ok(enrolled) => {
            info!(%address, certificate = ?enrolled.certificate, "certificate issued");
            let issued = Issued {
                certificate_pem: enrolled.certificate.to_pem(),
                authority_pem: enrolled.authority.to_pem(),
                root: Some(enrolled.root),
            };
            Ok(Response::new(issued.into()))
        }
        Err(refusal) => {
            warn!(%address, reason = %refusal, "enrolment refused");
            Err(refused(&refusal))
        }
    }
}

#[tonic::async_trait]
impl wire::enrolment_server::Enrolment for Door {
    async fn enrol(&self, request: Request<wire::EnrolRequest>) -> Result<Response<wire::CertificateReply>, Status> {
        let _permit = self.enter()?;
        let Stranger { address, .. } = stranger(&request)?;
        let call = EnrolCall::try_from(request.into_inner()).map_err(|error| malformed(&error))?;
        let csr = CertificateRequest::parse(&call.csr_pem).map_err(|error| malformed(&error))?;
        let request = EnrolRequest { token: call.token, uid: call.uid, request: csr, agent_version: call.agent_version };
        reply(self.desk.enrol(request, address).await, address)
    }

    async fn reattest(&self, request: Request<wire::ReattestRequest>) -> Result<Response<wire::CertificateReply>, Status> {
        let _permit = self.enter()?;
        let Stranger { address, binding, .. } = stranger(&request)?;
        let call = ReattestCall::try_from(request.into_inner()).map_err(|error| malformed(&error))?;
        let csr = CertificateRequest::parse(&call.csr_pem).map_err(|error| malformed(&error))?;
        csr.verify_proof(&binding, &call.uid, &call.proof).map_err(|error| Status::permission_denied(error.to_string()))?;
        reply(self.desk.reattest(ReattestRequest { uid: call.uid, request: csr }, address).await, address)
    }
}
