//! The hub, played by the benchmark: both of its real listeners, and a desk that holds one cluster's index. Rendering and planning are not here:
//! what is measured begins with a signed index.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use hub_distribute::{
    Admission, Desk, DistributeConfig, EnrolRefusal, EnrolRequest, Enrolled, EnrolmentConfig, EnrolmentHandle, Handle, Later,
    ReattestRequest, Unavailable, serve, serve_enrolment,
};
use shared_identity::{
    AGENT_CERTIFICATE_LIFETIME, AgentIdentity, CaPin, CertificateAuthority, CertificateChain, CertificateRequest, PeerCertificate,
    RotatingCertificate, SERVER_CERTIFICATE_LIFETIME, agent_listener_config, enrolment_listener_config,
};
use shared_manifest::Object;
use shared_model::{AppName, ClusterUid, Digest, Epoch, Generation, Timestamp};
use shared_release::{DataKey, Entry, Freshness, Index, IndexApp, Phase, Policy, Release, Root, SignedIndex, SigningKey, encode_object};
use shared_session::{CloneSuspicion, FreshnessDocument, Heard, IndexDocument, KeySet, RootDocument, StatusChange, StatusIndex, Target};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::workload::App;

/// How often the index is said to be wanted still: as the real hub does.
const FRESHNESS_EVERY: Duration = Duration::from_secs(15);

/// The cluster's name.
const CLUSTER: &str = "bench";

/// A hub with one cluster. It ends when it is dropped.
pub(super) struct Hub {
    desk: Arc<OneCluster>,
    /// Where agents connect.
    pub(super) agents: SocketAddr,
    /// Where they enrol.
    pub(super) enrolment: SocketAddr,
    sequence: u64,
    apps: BTreeMap<AppName, IndexApp>,
    keeps_fresh: JoinHandle<()>,
    _listeners: (Handle, EnrolmentHandle),
}

struct OneCluster {
    authority: CertificateAuthority,
    signing: SigningKey,
    uid: ClusterUid,
    root: RootDocument,
    /// No Secrets are applied here.
    keys: Arc<KeySet>,
    contents: Mutex<BTreeMap<Digest, Bytes>>,
    newest: Mutex<Option<SignedIndex>>,
    target: watch::Sender<Option<Arc<Target>>>,
    heard: watch::Sender<Option<Heard>>,
    recorded: Mutex<StatusIndex>,
    admissions: watch::Sender<u64>,
}

impl Hub {
    /// Starts it on free ports, for the cluster with this uid.
    pub(super) async fn start(uid: ClusterUid) -> anyhow::Result<Self> {
        let signing = SigningKey::from_seed([3; 32]);
        let root = Root { version: 1, epoch: Epoch(1), keys: vec![signing.public()], authorities: Vec::new(), previous: None };
        let desk = Arc::new(OneCluster {
            authority: CertificateAuthority::generate("bench", Timestamp::now())?,
            root: RootDocument::new(root.sign(&[&signing]).to_bytes()),
            signing,
            keys: Arc::new(KeySet::new([])?),
            uid,
            contents: Mutex::default(),
            newest: Mutex::default(),
            target: watch::Sender::default(),
            heard: watch::Sender::default(),
            recorded: Mutex::new(StatusIndex::empty()),
            admissions: watch::Sender::new(0),
        });
        let server = desk.authority.issue_server(&["127.0.0.1".into()], Timestamp::now(), SERVER_CERTIFICATE_LIFETIME)?;
        let certificate = RotatingCertificate::server(&server)?;
        let (listener, door) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let (agents, enrolment) = (listener.local_addr()?, door.local_addr()?);
        let tls = agent_listener_config(&desk.authority.certificate(), certificate.clone())?;
        let session = serve(listener, tls, DistributeConfig::default(), desk.clone());
        let door = serve_enrolment(door, enrolment_listener_config(certificate)?, &EnrolmentConfig::default(), desk.clone());
        let keeps_fresh = tokio::spawn(keep_fresh(desk.clone()));
        Ok(Self { desk, agents, enrolment, sequence: 0, apps: BTreeMap::new(), keeps_fresh, _listeners: (session, door) })
    }

    /// The pin that an agent is given.
    pub(super) fn pin(&self) -> CaPin {
        self.desk.authority.pin()
    }

    /// Publishes an index in which these apps have these objects and all others stay. Returns the digest by which the agent calls it.
    pub(super) fn publish(&mut self, apps: &[App]) -> anyhow::Result<Digest> {
        for app in apps {
            let name: AppName = app.name.parse()?;
            let release = self.release(&name, app)?;
            self.apps.insert(name, IndexApp { release: Some(release), ..IndexApp::default() });
        }
        self.sequence += 1;
        let index = Index {
            cluster: CLUSTER.parse()?,
            uid: self.desk.uid.clone(),
            generation: Generation::new(1, self.sequence),
            parent: None,
            apps: self.apps.clone(),
        };
        let signed = index.sign(&self.desk.signing);
        let document = IndexDocument::new(signed.to_bytes()).digest();
        *lock(&self.desk.newest) = Some(signed);
        self.desk.offer();
        Ok(document)
    }

    fn release(&self, name: &AppName, app: &App) -> anyhow::Result<Digest> {
        let key = DataKey::from_bytes([5; 32]).app_key(name);
        let mut contents = lock(&self.desk.contents);
        let mut entries = Vec::new();
        for value in &app.objects {
            let object = Object::from_value(value.clone())?;
            let (digest, blob) = encode_object(&object, &key)?;
            contents.insert(digest, blob.into());
            entries.push(Entry {
                object: object.key().into(),
                version: object.api_version().rsplit('/').next().unwrap_or_default().to_owned(),
                digest,
                sealed: None,
                phase: Phase::Sync,
                wave: 0,
                hook: None,
                policy: Policy::default(),
            });
        }
        let (digest, bytes) = Release::new(name.clone(), entries).encode();
        contents.insert(digest, bytes.into());
        Ok(digest)
    }

    /// Waits until the agent says that it applied the index with this digest, and that the hub has its status.
    pub(super) async fn applied(&self, index: Digest, limit: Duration) -> anyhow::Result<()> {
        self.told(limit, |heard| heard.held.applied == Some(index) && heard.status_current).await
    }

    /// Forgets what the agent said, so that only its next word counts.
    pub(super) fn forget(&self) {
        self.desk.heard.send_replace(None);
    }

    async fn told(&self, limit: Duration, good: impl Fn(&Heard) -> bool) -> anyhow::Result<()> {
        let mut heard = self.desk.heard.subscribe();
        let waiting = heard.wait_for(|heard| heard.as_ref().is_some_and(&good));
        match tokio::time::timeout(limit, waiting).await {
            Ok(found) => found.map(drop).context("the hub ended"),
            Err(_) => {
                anyhow::bail!("after {limit:?} the agent still says {:?}", self.desk.heard.borrow().as_ref().map(|heard| &heard.held))
            }
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.keeps_fresh.abort();
    }
}

async fn keep_fresh(desk: Arc<OneCluster>) {
    loop {
        tokio::time::sleep(FRESHNESS_EVERY).await;
        desk.offer();
    }
}

impl OneCluster {
    /// Offers the newest index with a new statement that it is wanted.
    fn offer(&self) {
        let Some(signed) = lock(&self.newest).clone() else { return };
        let statement = Freshness { uid: self.uid.clone(), index: signed.digest(), at: Timestamp::now() };
        let target = Target {
            root: self.root.clone(),
            index: IndexDocument::new(signed.to_bytes()),
            freshness: Some(FreshnessDocument::new(statement.sign(&self.signing).to_bytes())),
            keys: self.keys.clone(),
        };
        self.target.send_replace(Some(Arc::new(target)));
    }

    fn enrolled(&self, request: &CertificateRequest) -> Result<Enrolled, EnrolRefusal> {
        let identity = AgentIdentity::new(CLUSTER.parse().map_err(|_| Unavailable)?, self.uid.clone());
        Ok(Enrolled { certificate: self.issue(request, &identity)?, authority: self.authority.certificate(), root: self.root.clone() })
    }

    fn issue(&self, request: &CertificateRequest, identity: &AgentIdentity) -> Result<CertificateChain, EnrolRefusal> {
        self.authority.issue(request, identity, Timestamp::now(), AGENT_CERTIFICATE_LIFETIME).map_err(|_| Unavailable.into())
    }
}

impl Desk for OneCluster {
    fn admit<'a>(&'a self, _: &'a PeerCertificate) -> Later<'a, Admission> {
        ready(Admission::Admit)
    }

    fn admissions(&self) -> watch::Receiver<u64> {
        self.admissions.subscribe()
    }

    fn recorded<'a>(&'a self, _: &'a AgentIdentity) -> Later<'a, StatusIndex> {
        ready(lock(&self.recorded).clone())
    }

    fn target(&self, _: &AgentIdentity) -> watch::Receiver<Option<Arc<Target>>> {
        self.target.subscribe()
    }

    fn objects<'a>(&'a self, _: &'a AgentIdentity, wanted: &'a [Digest]) -> Later<'a, Result<Vec<Option<Bytes>>, Unavailable>> {
        let contents = lock(&self.contents);
        ready(Ok(wanted.iter().map(|digest| contents.get(digest).cloned()).collect()))
    }

    fn heard(&self, _: &AgentIdentity, heard: Heard) {
        self.heard.send_replace(Some(heard));
    }

    fn parted(&self, _: &AgentIdentity) {}

    fn report<'a>(&'a self, _: &'a AgentIdentity, change: StatusChange) -> Later<'a, Result<(), Unavailable>> {
        *lock(&self.recorded) = change.index;
        ready(Ok(()))
    }

    fn suspect_clone(&self, _: &AgentIdentity, _: CloneSuspicion) {}

    fn renew<'a>(&'a self, peer: &'a PeerCertificate, request: CertificateRequest) -> Later<'a, Result<CertificateChain, EnrolRefusal>> {
        ready(self.issue(&request, &peer.identity))
    }

    fn enrol<'a>(&'a self, request: EnrolRequest, _: SocketAddr) -> Later<'a, Result<Enrolled, EnrolRefusal>> {
        ready(self.enrolled(&request.request))
    }

    fn reattest<'a>(&'a self, request: ReattestRequest, _: SocketAddr) -> Later<'a, Result<Enrolled, EnrolRefusal>> {
        ready(self.enrolled(&request.request))
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> Later<'a, T> {
    Box::pin(std::future::ready(value))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
