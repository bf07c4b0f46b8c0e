//! Whole agents against a hub's listeners: enrolment, index, healing without the hub, and what each refusal says. The clusters are in memory;
//! the desk behind the listeners is a double that signs real documents.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent_agentd::{AgentConfig, Guardrail, JoinError, Token, run};
use agent_cluster::Cluster;
use bytes::Bytes;
use e2e_fakekube::{FakeKube, Options};
use e2e_session::{DeskDouble, DeskState};
use hub_distribute::{
    Admission, Desk, DistributeConfig, EnrolRefusal, EnrolRequest, Enrolled, EnrolmentConfig, EnrolmentHandle, Handle, Later,
    ReattestRequest, Unavailable, serve, serve_enrolment,
};
use serde_json::{Value, json};
use shared_daemon::{Shutdown, Trigger};
use shared_identity::{
    AgentIdentity, CaPin, CertificateChain, CertificateRequest, PeerCertificate, RotatingCertificate, SERVER_CERTIFICATE_LIFETIME,
    agent_listener_config, enrolment_listener_config,
};
use shared_manifest::Object;
use shared_model::{AppName, ClusterUid, Digest, Epoch, Generation, Health, Timestamp};
use shared_release::{DataKey, Entry, Freshness, Index, IndexApp, Phase, Policy, Release, Root, SigningKey, encode_object};
use shared_session::{
    Answer, AppKey, CloneSuspicion, FreshnessDocument, Heard, HubConfig, IndexDocument, KeySet, Question, RootDocument, Secret,
    StatusChange, StatusIndex, Target,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What works never waits for this.
const PATIENCE: Duration = Duration::from_secs(30);

/// The double's desk with a root document that agents can verify.
struct SigningDesk {
    desk: Arc<DeskDouble>,
    key: SigningKey,
}

impl SigningDesk {
    fn root(&self) -> RootDocument {
        let root = Root {
            version: 1,
            epoch: Epoch(1),
            keys: vec![self.key.public()],
            authorities: vec![self.desk.authority.certificate().to_pem()],
            previous: None,
        };
        RootDocument::new(root.sign(&[&self.key]).to_bytes())
    }
}

impl Desk for SigningDesk {
    fn admit<'a>(&'a self, peer: &'a PeerCertificate) -> Later<'a, Admission> {
        self.desk.admit(peer)
    }
    fn admissions(&self) -> watch::Receiver<u64> {
        self.desk.admissions()
    }
    fn recorded<'a>(&'a self, who: &'a AgentIdentity) -> Later<'a, StatusIndex> {
        self.desk.recorded(who)
    }
    fn target(&self, who: &AgentIdentity) -> watch::Receiver<Option<Arc<Target>>> {
        self.desk.target(who)
    }
    fn objects<'a>(&'a self, who: &'a AgentIdentity, wanted: &'a [Digest]) -> Later<'a, Result<Vec<Option<Bytes>>, Unavailable>> {
        self.desk.objects(who, wanted)
    }
    fn heard(&self, who: &AgentIdentity, heard: Heard) {
        self.desk.heard(who, heard);
    }
    fn parted(&self, who: &AgentIdentity) {
        self.desk.parted(who);
    }
    fn report<'a>(&'a self, who: &'a AgentIdentity, change: StatusChange) -> Later<'a, Result<(), Unavailable>> {
        self.desk.report(who, change)
    }
    fn suspect_clone(&self, who: &AgentIdentity, suspicion: CloneSuspicion) {
        self.desk.suspect_clone(who, suspicion);
    }
    fn renew<'a>(&'a self, peer: &'a PeerCertificate, request: CertificateRequest) -> Later<'a, Result<CertificateChain, EnrolRefusal>> {
        self.desk.renew(peer, request)
    }
    fn enrol<'a>(&'a self, request: EnrolRequest, from: SocketAddr) -> Later<'a, Result<Enrolled, EnrolRefusal>> {
        Box::pin(async move { Ok(Enrolled { root: self.root(), ..self.desk.enrol(request, from).await? }) })
    }
    fn reattest<'a>(&'a self, request: ReattestRequest, from: SocketAddr) -> Later<'a, Result<Enrolled, EnrolRefusal>> {
        Box::pin(async move { Ok(Enrolled { root: self.root(), ..self.desk.reattest(request, from).await? }) })
    }
}

/// A hub's listeners with their desk.
struct Hub {
    desk: Arc<SigningDesk>,
    certificate: Arc<RotatingCertificate>,
    session: Handle,
    address: SocketAddr,
    _door: EnrolmentHandle,
    door_address: SocketAddr,
    data_key: DataKey,
}

impl Hub {
    async fn start() -> Self {
        let desk = Arc::new(SigningDesk { desk: DeskDouble::new(), key: SigningKey::from_seed([3; 32]) });
        let server = desk.desk.authority.issue_server(&["127.0.0.1".into()], Timestamp::now(), SERVER_CERTIFICATE_LIFETIME).unwrap();
        let certificate = RotatingCertificate::server(&server).unwrap();
        let (listener, door) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let (address, door_address) = (listener.local_addr().unwrap(), door.local_addr().unwrap());
        let session = serve_session(listener, &desk, &certificate);
        let tls = enrolment_listener_config(certificate.clone()).unwrap();
        let door = serve_enrolment(door, tls, &EnrolmentConfig::default(), desk.clone());
        Self { desk, certificate, session, address, _door: door, door_address, data_key: DataKey::from_bytes([5; 32]) }
    }

    async fn stop_session(&self) {
        self.session.drain(Duration::from_millis(500)).await;
    }

    async fn start_session(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.session = serve_session(listener, &self.desk, &self.certificate);
    }

    fn config(&self, disk: &Path, token: Option<&str>) -> AgentConfig {
        AgentConfig {
            data_dir: disk.to_owned(),
            namespace: "capstan-system".into(),
            hub: self.address.to_string().parse().unwrap(),
            enrolment: self.door_address.to_string().parse().unwrap(),
            ca_pin: Some(CaPin::of(self.desk.desk.authority.certificate().leaf()).unwrap()),
            token: token.map(|token| Token::Text(Secret::new(token.as_bytes().to_vec()))),
            admin_listen: None,
            guardrail: Guardrail::open("capstan-system"),
        }
    }

    /// Publishes app `web` with `objects`; of its contents only the first `deliver` can be got.
    fn publish(&self, who: &AgentIdentity, sequence: u64, objects: &[Value], deliver: usize) -> IndexDocument {
        let app: AppName = "web".parse().unwrap();
        let key = self.data_key.app_key(&app);
        let mut contents = Vec::new();
        let entries: Vec<Entry> = objects
            .iter()
            .map(|value| {
                let object = Object::from_value(value.clone()).unwrap();
                let (digest, blob) = encode_object(&object, &key).unwrap();
                contents.push(Bytes::from(blob));
                let sealed = object.is_secret().then(|| key.id().clone());
                let (object, policy) = (object.key(), Policy::default());
                Entry { object: object.into(), version: "v1".into(), digest, sealed, phase: Phase::Sync, wave: 0, hook: None, policy }
            })
            .collect();
        let (release, bytes) = Release::new(app.clone(), entries).encode();
        contents.insert(0, Bytes::from(bytes));
        contents.truncate(deliver);
        let content = IndexApp { release: Some(release), ..IndexApp::default() };
        let index = Index {
            cluster: who.cluster.clone(),
            uid: who.uid.clone(),
            generation: Generation::new(1, sequence),
            parent: None,
            apps: BTreeMap::from([(app.clone(), content)]),
        };
        let signed = index.sign(&self.desk.key);
        let freshness = Freshness { uid: who.uid.clone(), index: signed.digest(), at: Timestamp::now() }.sign(&self.desk.key);
        let app_key = AppKey { id: app.to_string(), secret: Secret::new(key.as_bytes().to_vec()) };
        let target = Target {
            root: self.desk.root(),
            index: IndexDocument::new(signed.to_bytes()),
            freshness: Some(FreshnessDocument::new(freshness.to_bytes())),
            keys: Arc::new(KeySet::new([app_key]).unwrap()),
        };
        let document = target.index.clone();
        self.desk.desk.publish(who, target, contents);
        document
    }

    async fn until(&self, what: &str, holds: impl FnMut(&DeskState) -> bool) {
        self.desk.desk.until(what, holds).await;
    }
}

fn serve_session(listener: TcpListener, desk: &Arc<SigningDesk>, certificate: &Arc<RotatingCertificate>) -> Handle {
    let tls = agent_listener_config(&desk.desk.authority.certificate(), certificate.clone()).unwrap();
    let session = HubConfig { heartbeat: Duration::from_millis(100), ..HubConfig::default() };
    serve(listener, tls, DistributeConfig { session, ..DistributeConfig::default() }, desk.clone())
}

/// A cluster in memory and the agents on it.
struct Site {
    kube: FakeKube,
    driver: JoinHandle<()>,
    disk: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let kube = FakeKube::new(Options::default());
        Self { driver: tokio::spawn(kube.clone().drive()), kube, disk: tempfile::tempdir().unwrap() }
    }

    fn cluster(&self) -> Cluster {
        Cluster::with_client(kube::Client::new(self.kube.service(), "default"))
    }

    async fn identity(&self, name: &str) -> AgentIdentity {
        let uid: ClusterUid = self.cluster().uid().await.unwrap();
        AgentIdentity::new(name.parse().unwrap(), uid)
    }

    fn start(&self, hub: &Hub, disk: &str, token: Option<&str>) -> Running {
        let (trigger, shutdown) = Shutdown::manual(PATIENCE);
        let mut config = hub.config(&self.disk.path().join(disk), token);
        let admin = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        config.admin_listen = Some(admin);
        Running { admin, trigger, task: tokio::spawn(run(config, self.cluster(), shutdown)) }
    }

    fn value(&self, name: &str) -> Option<String> {
        Some(self.kube.object("", "configmaps", "default", name)?.pointer("/data/value")?.as_str()?.to_owned())
    }

    async fn until_value(&self, name: &str, expected: &str) {
        until(&format!("{name} with {expected}"), || self.value(name).as_deref() == Some(expected)).await;
    }

    async fn delete(&self, name: &str) {
        let api: kube::Api<kube::api::DynamicObject> = kube::Api::namespaced_with(
            kube::Client::new(self.kube.service(), "default"),
            "default",
            &kube::api::ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&()),
        );
        api.delete(name, &kube::api::DeleteParams::default()).await.unwrap();
    }

    fn has_secret(&self, name: &str) -> bool {
        self.kube.object("", "secrets", "capstan-system", name).is_some()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

struct Running {
    admin: SocketAddr,
    trigger: Trigger,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn stop(self) {
        self.trigger.begin();
        self.task.await.unwrap().unwrap();
    }

    /// Waits until the admin endpoint's answer has all these words.
    async fn shows(&self, path: &str, words: &[&str]) {
        let mut answer = String::new();
        let asking = async {
            while answer.is_empty() || words.iter().any(|word| !answer.contains(word)) {
                let mut stream = TcpStream::connect(self.admin).await.unwrap();
                stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: agent\r\n\r\n").as_bytes()).await.unwrap();
                answer.clear();
                stream.read_to_string(&mut answer).await.unwrap();
            }
        };
        let found = tokio::time::timeout(PATIENCE, asking).await;
        assert!(found.is_ok(), "{words:?} in {answer}");
    }

    /// Waits until it gives up by itself.
    async fn error(self) -> anyhow::Error {
        tokio::time::timeout(PATIENCE, self.task).await.expect("it gives up").unwrap().expect_err("an error")
    }
}

/// Waits for something in memory, which nobody tells of.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"));
}

fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": {"value": value}})
}

/// Whether the hub holds a current report in which everything of this index is applied.
fn applied(state: &DeskState, who: &AgentIdentity, index: &IndexDocument) -> bool {
    let heard = state.heard.get(who).is_some_and(|heard| heard.held.applied == Some(index.digest()) && heard.status_current);
    let healthy =
        state.apps.get(who).is_some_and(|apps| apps.values().all(|app| app.health == Health::Healthy && app.applied == app.wanted));
    heard && healthy
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_enrols_applies_its_index_heals_without_the_hub_and_is_in_sync_again() {
    let (mut hub, site) = (Hub::start().await, Site::new());
    let who = site.identity("gpu-a").await;
    hub.desk.desk.token("word", "gpu-a");
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}, "stringData": {"k": "canary"}});
    let index = hub.publish(&who, 1, &[config_map("settings", "1"), secret], usize::MAX);
    let agent = site.start(&hub, "one", Some("word"));
    site.until_value("settings", "1").await;
    hub.until("the report", |state| applied(state, &who, &index)).await;
    hub.until("the facts", |state| {
        state.facts.get(&who).is_some_and(|facts| facts.api_versions.contains("apps/v1") && !facts.kubernetes.is_empty())
    })
    .await;
    let held = hub.desk.desk.state().heard[&who].held.clone();
    assert_eq!((held.index, held.generation), (Some(index.digest()), Generation::new(1, 1)));
    assert_eq!(held.root, Some(hub.desk.root().digest()));
    assert!(held.keys.is_some() && held.freshness.is_some());

    let ask = async |app: &str| hub.session.ask(&who, &Question::Diff { app: app.parse().unwrap() }, PATIENCE).await;
    assert_eq!(ask("web").await, Ok(Answer::diff(vec![])));
    let unknown = ask("nobody").await.expect_err("refused");
    assert!(unknown.to_string().contains("NoSuchApp"), "{unknown}");

    hub.stop_session().await;
    site.delete("settings").await;
    site.until_value("settings", "1").await;
    agent.shows("/readyz?verbose", &["HTTP/1.1 200", "[+] hub: away", "[+] enrolled: as gpu-a", "[+] ledger: writable"]).await;
    let numbers = [
        "capstan_agent_connected 0",
        "capstan_agent_objects 2",
        "capstan_agent_apps{health=\"Healthy\"} 1",
        "capstan_agent_healed_total 1",
    ];
    agent.shows("/metrics", &numbers).await;
    agent.shows("/metrics", &["capstan_agent_index_generation{part=\"sequence\"} 1", "capstan_agent_freshness_age_seconds"]).await;
    until("the copy", || site.has_secret("capstan-ledger-content-0")).await;
    agent.stop().await;
    site.delete("settings").await;
    // Neither hub nor disk nor token.
    let again = site.start(&hub, "two", None);
    site.until_value("settings", "1").await;

    hub.start_session().await;
    hub.until("the agent again", |state| applied(state, &who, &index) && state.parted.contains_key(&who)).await;
    let next = hub.publish(&who, 2, &[config_map("settings", "2")], usize::MAX);
    site.until_value("settings", "2").await;
    hub.until("the next report", |state| state.heard[&who].held.index == Some(next.digest())).await;
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_whose_content_the_hub_cannot_give_is_held_and_the_one_before_it_is_healed() {
    let (hub, site) = (Hub::start().await, Site::new());
    let who = site.identity("gpu-a").await;
    hub.desk.desk.token("word", "gpu-a");
    let first = hub.publish(&who, 1, &[config_map("settings", "1")], usize::MAX);
    let agent = site.start(&hub, "one", Some("word"));
    hub.until("the report", |state| applied(state, &who, &first)).await;
    // The release can be got, its object cannot.
    let second = hub.publish(&who, 2, &[config_map("settings", "2")], 1);
    hub.until("the second", |state| state.heard[&who].held.index == Some(second.digest())).await;
    assert_eq!(hub.desk.desk.state().heard[&who].held.applied, Some(first.digest()));
    site.delete("settings").await;
    site.until_value("settings", "1").await;
    hub.publish(&who, 2, &[config_map("settings", "2")], usize::MAX);
    site.until_value("settings", "2").await;
    hub.until("the second, applied", |state| applied(state, &who, &second)).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_not_taken_in_says_what_to_do() {
    let (hub, site) = (Hub::start().await, Site::new());
    hub.desk.desk.token("old", "gpu-a");
    hub.desk.desk.change(|state| state.tokens.get_mut("old").unwrap().expired = true);
    for (token, expected) in [
        (None, "the one-time token is not set; run `capstan cluster add NAME`"),
        (Some("wrong"), "the token is not known; run `capstan cluster add` for a new one"),
        (Some("old"), "the token has expired"),
    ] {
        let error = site.start(&hub, "disk", token).error().await;
        assert!(error.is::<JoinError>() && error.to_string().contains(expected), "{error}");
    }
    let other = Hub::start().await;
    let mut config = other.config(site.disk.path(), Some("word"));
    config.ca_pin = hub.config(site.disk.path(), None).ca_pin;
    let (_trigger, shutdown) = Shutdown::manual(PATIENCE);
    let error = run(config, site.cluster(), shutdown).await.expect_err("another authority");
    assert!(error.is::<JoinError>() && error.to_string().contains("TLS"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_must_be_accepted_waits_with_the_same_key_also_over_a_restart() {
    let (hub, site) = (Hub::start().await, Site::new());
    let who = site.identity("gpu-a").await;
    hub.desk.desk.token("word", "gpu-a");
    hub.desk.desk.change(|state| state.must_accept = true);
    let agent = site.start(&hub, "one", Some("word"));
    hub.until("the question", |state| state.tokens["word"].used_by.is_some()).await;
    agent.stop().await;
    // A lost disk: the key is in the copy.
    let again = site.start(&hub, "two", Some("word"));
    hub.desk.desk.change(|state| state.must_accept = false);
    hub.until("the agent", |state| state.heard.contains_key(&who)).await;
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_of_another_cluster_is_refused() {
    let (hub, site) = (Hub::start().await, Site::new());
    let who = site.identity("gpu-a").await;
    hub.desk.desk.token("word", "gpu-a");
    let agent = site.start(&hub, "one", Some("word"));
    hub.until("the agent", |state| state.heard.contains_key(&who)).await;
    agent.stop().await;
    let created_anew = Site::new();
    let (_trigger, shutdown) = Shutdown::manual(PATIENCE);
    let error = run(hub.config(&site.disk.path().join("one"), None), created_anew.cluster(), shutdown).await.expect_err("refused");
    assert!(matches!(error.downcast_ref(), Some(JoinError::OtherCluster { .. })), "{error}");
    assert!(error.to_string().contains("the cluster was re-created") && error.to_string().contains("capstan cluster add gpu-a"), "{error}");
}
