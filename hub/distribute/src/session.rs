//! The session service: six calls, each taking who the agent is from its connection and from nowhere else.

use std::sync::Arc;

use shared_identity::CertificateRequest;
use shared_proto::{Issued, MESSAGE_LIMIT, read_fetch, wire};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::connection::{Connection, StatusLane};
use crate::conversation::{Lanes, converse};
use crate::enrolment::refused;
use crate::fetch::{CHUNK_QUEUE, send_objects};
use crate::handle::Shared;
use crate::limits::CONTROL_QUEUE;

/// The service.
pub(crate) struct SessionService(pub(crate) Arc<Shared>);

impl SessionService {
    /// The service with its message limits, both ways.
    pub(crate) fn server(shared: Arc<Shared>) -> wire::session_server::SessionServer<Self> {
        wire::session_server::SessionServer::new(Self(shared))
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT)
    }
}

#[tonic::async_trait]
impl wire::session_server::Session for SessionService {
    type ControlStream = ReceiverStream<Result<wire::HubControl, Status>>;
    type StatusStream = ReceiverStream<Result<wire::StatusAck, Status>>;
    type FetchStream = ReceiverStream<Result<wire::ObjectChunk, Status>>;
    type InteractiveStream = ReceiverStream<Result<wire::InteractiveRequest, Status>>;

    async fn control(&self, request: Request<Streaming<wire::AgentControl>>) -> Result<Response<Self::ControlStream>, Status> {
        let connection = Connection::of(&request)?;
        let status = connection.begin().ok_or_else(|| Status::failed_precondition("this connection has a control lane already"))?;
        let (outgoing, messages) = mpsc::channel(CONTROL_QUEUE);
        tokio::spawn(converse(Arc::clone(&self.0), connection, Lanes { incoming: request.into_inner(), outgoing, status }));
        Ok(Response::new(ReceiverStream::new(messages)))
    }

    async fn status(&self, request: Request<Streaming<wire::StatusUpdate>>) -> Result<Response<Self::StatusStream>, Status> {
        let connection = Connection::of(&request)?;
        connection.must_be_admitted()?;
        let (acknowledgements, out) = mpsc::channel(1);
        connection.attach(StatusLane { updates: request.into_inner(), acknowledgements })?;
        Ok(Response::new(ReceiverStream::new(out)))
    }

    async fn fetch(&self, request: Request<wire::FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let connection = Connection::of(&request)?;
        connection.must_be_admitted()?;
        let wanted = read_fetch(request.get_ref()).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (out, chunks) = mpsc::channel(CHUNK_QUEUE);
        tokio::spawn(send_objects(Arc::clone(&self.0), connection, wanted, out));
        Ok(Response::new(ReceiverStream::new(chunks)))
    }

    async fn interactive(&self, request: Request<Streaming<wire::InteractiveReply>>) -> Result<Response<Self::InteractiveStream>, Status> {
        let connection = Connection::of(&request)?;
        connection.must_be_admitted()?;
        let requests = connection.asking.open();
        tokio::spawn(async move {
            let mut replies = request.into_inner();
            while let Ok(Some(reply)) = replies.message().await {
                connection.asking.replied(reply);
            }
            connection.asking.close();
        });
        Ok(Response::new(ReceiverStream::new(requests)))
    }

    async fn logs(&self, request: Request<Streaming<wire::LogChunk>>) -> Result<Response<wire::LogTaken>, Status> {
        let connection = Connection::of(&request)?;
        connection.must_be_admitted()?;
        tokio::select! {
            taken = connection.asking.take_log(request.into_inner()) => taken.map(|()| Response::new(wire::LogTaken {})),
            () = connection.over.cancelled() => Err(Status::unavailable("the session is over")),
        }
    }

    async fn renew(&self, request: Request<wire::RenewRequest>) -> Result<Response<wire::CertificateReply>, Status> {
        let connection = Connection::of(&request)?;
        connection.must_be_admitted()?;
        let csr = CertificateRequest::parse(&request.get_ref().csr_pem).map_err(|error| Status::invalid_argument(error.to_string()))?;
        if csr.fingerprint() != connection.peer.key {
            return Err(Status::permission_denied(
                "a certificate is renewed for the key that it was issued for; enrol again for another key",
            ));
        }
        let certificate = self.0.desk.renew(&connection.peer, csr).await.map_err(|refusal| refused(&refusal))?;
        tracing::info!(cluster = %connection.peer.identity, "certificate renewed");
        let issued = Issued { certificate_pem: certificate.to_pem(), authority_pem: String::new(), root: None };
        Ok(Response::new(issued.into()))
    }
}
