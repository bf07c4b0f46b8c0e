//! A peer that speaks TLS and the wire format directly, for what an agent never does.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use agent_link::LinkConfig;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use shared_identity::{ConnectionBinding, RotatingCertificate, agent_client_config, connection_binding};
use shared_proto::wire;
use shared_session::{AgentMessage, BootId, Goodbye, Held, Hello, HubMessage, StatusIndex, VersionOffer};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

use crate::place::Place;
use crate::wait::PATIENCE;

/// A stranger's connection.
pub struct Stranger {
    /// The channel.
    pub channel: Channel,
    /// What only the two ends of the connection know.
    pub binding: ConnectionBinding,
    /// The certificate that the hub showed.
    pub hub_certificate: Vec<u8>,
}

impl Stranger {
    /// Connects with a TLS configuration; the error is what TLS or TCP said.
    pub async fn connect(address: SocketAddr, tls: Arc<ClientConfig>) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        let name = rustls::pki_types::ServerName::from(address.ip());
        let stream = TlsConnector::from(tls).connect(name, tcp).await?;
        let binding = connection_binding(stream.get_ref().1).map_err(io::Error::other)?;
        let hub_certificate = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        let once = Mutex::new(Some(TokioIo::new(stream)));
        let connector = tower::service_fn(move |_| {
            let stream = once.lock().unwrap().take();
            async move { stream.ok_or_else(|| io::Error::other("the connection ended")) }
        });
        let channel = Endpoint::from_static("http://hub").connect_with_connector(connector).await.map_err(io::Error::other)?;
        Ok(Self { channel, binding, hub_certificate })
    }

    /// A client of the session.
    pub fn session(&self) -> wire::session_client::SessionClient<Channel> {
        wire::session_client::SessionClient::new(self.channel.clone())
    }

    /// A client of the enrolment door.
    pub fn door(&self) -> wire::enrolment_client::EnrolmentClient<Channel> {
        wire::enrolment_client::EnrolmentClient::new(self.channel.clone())
    }

    /// Opens the control lane with a first message.
    pub async fn control(
        &self,
        first: wire::AgentControl,
    ) -> Result<(mpsc::Sender<wire::AgentControl>, Streaming<wire::HubControl>), Status> {
        let (control, outgoing) = mpsc::channel(8);
        control.send(first).await.unwrap();
        let response = tokio::time::timeout(PATIENCE, self.session().control(ReceiverStream::new(outgoing))).await.unwrap()?;
        Ok((control, response.into_inner()))
    }
}

/// A hello as a well-behaved agent would say it.
pub fn hello(boot: u8) -> wire::AgentControl {
    let hello = Hello {
        versions: VersionOffer::ours(),
        boot: BootId([boot; 16]),
        held: Held::default(),
        status: StatusIndex::empty().root(),
        agent_version: "stranger".into(),
        kubernetes_version: "v1.34.1".into(),
    };
    AgentMessage::Hello(hello).into()
}

impl Stranger {
    /// Connects to the session with an agent's certificate.
    pub async fn as_agent(place: &Place, config: &LinkConfig) -> io::Result<Self> {
        let certificate = RotatingCertificate::agent(&config.certificate.chain, &config.key).unwrap();
        Self::connect(place.address, agent_client_config(&config.trusted, certificate).unwrap()).await
    }

    /// Says hello and reads the welcome; keep both ends to stay connected.
    pub async fn welcomed(&self) -> (mpsc::Sender<wire::AgentControl>, Streaming<wire::HubControl>) {
        let (control, mut messages) = self.control(hello(1)).await.unwrap();
        assert!(matches!(next(&mut messages).await, Some(HubMessage::Welcome(_))));
        (control, messages)
    }
}

/// The next message of a hub; `None` when the lane ended in whatever way.
pub async fn next(messages: &mut Streaming<wire::HubControl>) -> Option<HubMessage> {
    let message = tokio::time::timeout(PATIENCE, messages.message()).await.expect("waited for a message").ok().flatten()?;
    Some(HubMessage::try_from(message).unwrap())
}

/// Reads until the goodbye; `None` if the lane ended without one.
pub async fn goodbye(messages: &mut Streaming<wire::HubControl>) -> Option<Goodbye> {
    loop {
        if let HubMessage::Goodbye(goodbye) = next(messages).await? {
            return Some(goodbye);
        }
    }
}
