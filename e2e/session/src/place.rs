//! Where hub and agents meet: both listeners on free ports of the loopback interface.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agent_link::{HubAddress, Link, LinkConfig};
use bytes::Bytes;
use hub_distribute::{DistributeConfig, EnrolmentConfig, EnrolmentHandle, Handle, serve, serve_enrolment};
use shared_identity::{
    AgentCertificate, AgentIdentity, AgentKey, CertificateRequest, RotatingCertificate, SERVER_CERTIFICATE_LIFETIME, agent_listener_config,
    enrolment_listener_config,
};
use shared_model::{Clock, Digest, Generation, Timestamp};
use shared_session::{AppKey, FreshnessDocument, HubConfig, IndexDocument, KeySet, RootDocument, Secret, Target, VersionOffer};
use tokio::net::TcpListener;

use crate::desk::DeskDouble;
use crate::site::SiteDouble;
use crate::wait::until;

/// How the hub is set up.
pub type PlaceOptions = DistributeConfig;

/// A hub with its desk.
pub struct Place {
    /// The desk.
    pub desk: Arc<DeskDouble>,
    /// The running session listener.
    pub hub: Handle,
    /// The running enrolment listener.
    pub door: EnrolmentHandle,
    /// Where the session is served.
    pub address: SocketAddr,
    /// Where the enrolment door is.
    pub door_address: SocketAddr,
    certificate: Arc<RotatingCertificate>,
    options: PlaceOptions,
}

/// An agent with its core.
pub struct Agent {
    /// Who it is.
    pub identity: AgentIdentity,
    /// Its core.
    pub site: Arc<SiteDouble>,
    /// How its link was started.
    pub config: LinkConfig,
    /// Its link.
    pub link: Link,
}

impl Place {
    /// A hub with a heartbeat a second: silence is three of them, which a busy machine does not reach by itself.
    pub async fn start() -> Self {
        Self::start_with(Self::options()).await
    }

    /// The options of [`Place::start`].
    pub fn options() -> PlaceOptions {
        DistributeConfig { session: HubConfig { heartbeat: Duration::from_secs(1), ..HubConfig::default() }, ..DistributeConfig::default() }
    }

    /// A hub as `options` say.
    pub async fn start_with(options: PlaceOptions) -> Self {
        let desk = DeskDouble::new();
        let server = desk.authority.issue_server(&["127.0.0.1".into()], Timestamp::now(), SERVER_CERTIFICATE_LIFETIME).unwrap();
        let certificate = RotatingCertificate::server(&server).unwrap();
        let (listener, address) = free_port().await;
        let (door_listener, door_address) = free_port().await;
        let hub = start_hub(&desk, listener, &certificate, &options);
        let tls = enrolment_listener_config(Arc::clone(&certificate)).unwrap();
        let door = serve_enrolment(door_listener, tls, &EnrolmentConfig::default(), Arc::clone(&desk) as _);
        Self { desk, hub, door, address, door_address, certificate, options }
    }

    /// Stops the hub's session listener.
    pub async fn stop_hub(&self) {
        self.hub.drain(Duration::from_millis(500)).await;
    }

    /// Starts it again at the same address.
    pub async fn start_hub_again(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.hub = start_hub(&self.desk, listener, &self.certificate, &self.options);
    }

    /// Gives the hub a new certificate while it runs; returns its leaf.
    pub fn swap_hub_certificate(&self) -> Vec<u8> {
        let server = self.desk.authority.issue_server(&["127.0.0.1".into()], Timestamp::now(), SERVER_CERTIFICATE_LIFETIME).unwrap();
        self.certificate.swap_server(&server).unwrap();
        server.chain.leaf().to_vec()
    }

    /// An agent that was taken in, not started.
    pub fn agent_config(&self, cluster: &str) -> LinkConfig {
        let identity = AgentIdentity::new(cluster.parse().unwrap(), format!("uid-{cluster}").parse().unwrap());
        let key = AgentKey::generate().unwrap();
        let chain = self.desk.take_in(&identity, &CertificateRequest::parse(&key.request().unwrap()).unwrap());
        LinkConfig {
            hub: address(self.address),
            enrolment: address(self.door_address),
            trusted: self.desk.authority.certificate(),
            key: Arc::new(key),
            certificate: AgentCertificate::new(chain).unwrap(),
            agent_version: "0.1.0".into(),
            versions: VersionOffer::ours(),
            clock: Clock::new(Timestamp::now),
        }
    }

    /// An agent that was taken in and is connected.
    pub async fn agent(&self, cluster: &str) -> Agent {
        let agent = Agent::start(self.agent_config(cluster), SiteDouble::new());
        agent.connected().await;
        agent
    }

    /// Publishes an index of this generation that reaches `content`.
    pub fn publish(&self, who: &AgentIdentity, generation: Generation, content: &[Bytes]) -> IndexDocument {
        let index = index(generation, content);
        let key = AppKey { id: "key-1".into(), secret: Secret::new(vec![7; 32]) };
        let target = Target {
            root: RootDocument::new(b"root 1".to_vec()),
            index: index.clone(),
            freshness: Some(FreshnessDocument::new(format!("fresh {}", index.digest()))),
            keys: Arc::new(KeySet::new([key]).unwrap()),
        };
        self.desk.publish(who, target, content.iter().cloned());
        index
    }
}

impl Agent {
    /// Starts an agent.
    pub fn start(config: LinkConfig, site: Arc<SiteDouble>) -> Self {
        let link = Link::start(config.clone(), Arc::clone(&site) as _).unwrap();
        Self { identity: config.certificate.facts.identity.clone(), site, config, link }
    }

    /// Waits until the hub took it in.
    pub async fn connected(&self) {
        until(&mut self.link.state(), "a connected link", agent_link::LinkState::is_connected).await;
    }

    /// Waits until it is connected and the hub holds its status.
    pub async fn in_sync(&self) {
        let known = |state: &agent_link::LinkState| matches!(state, agent_link::LinkState::Connected { status_known: true, .. });
        until(&mut self.link.state(), "a known status", known).await;
    }

    /// Waits until it is away for a reason that contains `text`.
    pub async fn away(&self, text: &str) {
        let away = |state: &agent_link::LinkState| matches!(state, agent_link::LinkState::Away { reason, .. } if reason.contains(text));
        until(&mut self.link.state(), &format!("a link that is away because of \"{text}\""), away).await;
    }
}

fn start_hub(desk: &Arc<DeskDouble>, listener: TcpListener, certificate: &Arc<RotatingCertificate>, options: &PlaceOptions) -> Handle {
    let tls = agent_listener_config(&desk.authority.certificate(), Arc::clone(certificate)).unwrap();
    serve(listener, tls, options.clone(), Arc::clone(desk) as _)
}

async fn free_port() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn address(address: SocketAddr) -> HubAddress {
    address.to_string().parse().unwrap()
}

/// An index as [`SiteDouble`] reads it.
pub fn index(generation: Generation, content: &[Bytes]) -> IndexDocument {
    let digests = content.iter().map(|content| format!("{}\n", Digest::of(content)));
    IndexDocument::new(format!("{} {}\n{}", generation.epoch.0, generation.sequence.0, digests.collect::<String>()))
}

/// What such an index says.
pub fn index_generation(index: &IndexDocument) -> (Generation, Vec<Digest>) {
    let text = String::from_utf8(index.bytes().to_vec()).unwrap();
    let mut lines = text.lines();
    let (epoch, sequence) = lines.next().and_then(|line| line.split_once(' ')).unwrap();
    (Generation::new(epoch.parse().unwrap(), sequence.parse().unwrap()), lines.map(|line| line.parse().unwrap()).collect())
}
