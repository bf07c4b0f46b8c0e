//! Looking into a real cluster through the hub: nodes and GPUs as facts, an app's objects down to its pods, one of them in full, events, logs that are
//! followed; and nothing else. There is no kubelet: a small TLS server on the node's address answers what the API server asks a kubelet for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use e2e_cluster::{CertificatePair, ControlPlane, Options, require_control_plane};
use e2e_fleet::{FleetRepository, TestAgent, TestHub, eventually, prepare};
use hub_api::{HealthWord, LogParameters, ObjectParameters, SyncWord};
use hub_cli::Exit;
use hub_client::{ClientError, LogEvent};
use hub_store::{OpenError, PAGE_LIMIT, Prefix, SledConfig, SledStore, Store};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use shared_model::{AppName, ClusterName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Long enough for a busy machine; what works never waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What must never be seen outside of the cluster: "canary-7113" in base64.
const CANARY: &str = "Y2FuYXJ5LTcxMTM=";

const APP: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec:\n  replicas: 1\n  selector: {matchLabels: {app: api}}\n  template:\n    metadata: {labels: {app: api}}\n    spec: {containers: [{name: main, image: \"example.test/api:1\"}]}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: key}\ndata: {token: Y2FuYXJ5LTcxMTM=}\n";

const FLEET: [(&str, &str); 5] = [
    ("fleet.yaml", "apiVersion: capstan.dev/v1\nkind: Fleet\nmetadata: {name: test}\nspec: {}\n"),
    ("regions/eu-west/region.yaml", "apiVersion: capstan.dev/v1\nkind: Region\nmetadata: {name: eu-west}\nspec: {}\n"),
    (
        "regions/eu-west/eu-1.yaml",
        "apiVersion: capstan.dev/v1\nkind: Cluster\nmetadata: {name: eu-1, labels: {workload: serving}}\nspec: {}\n",
    ),
    (
        "apps/web/app.yaml",
        "apiVersion: capstan.dev/v1\nkind: App\nmetadata: {name: web}\nspec:\n  namespace: default\n  clusters: {matchLabels: {workload: serving}}\n  source: {path: manifests}\n",
    ),
    ("apps/web/manifests/web.yaml", APP),
];

/// What a kubelet is to the API server, as far as logs go.
struct Kubelet {
    port: u16,
    /// The path and query of each request.
    asked: Arc<Mutex<Vec<String>>>,
    /// What the one container has said so far.
    said: watch::Sender<String>,
    /// How many logs are being followed.
    followers: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Kubelet {
    async fn start(certificate: &CertificatePair) -> anyhow::Result<Self> {
        let chain = CertificateDer::pem_slice_iter(certificate.certificate_pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let acceptor = TlsAcceptor::from(Arc::new(tls.with_no_client_auth().with_single_cert(chain, key)?));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (said, asked) = (watch::Sender::new("line 1\nline 2\n".to_owned()), Arc::new(Mutex::new(Vec::new())));
        let (following, followers) = watch::channel(0);
        let (words, notes) = (said.clone(), asked.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let log = answer(stream, acceptor.clone(), words.subscribe(), notes.clone(), following.clone());
                tokio::spawn(async move {
                    // A connection that breaks is its reader's matter.
                    let _: anyhow::Result<()> = log.await;
                });
            }
        });
        Ok(Self { port, asked, said, followers, task })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers one request on one connection: what was said, and with `follow` what is said from then on, until the reader leaves.
async fn answer(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    mut words: watch::Receiver<String>,
    notes: Arc<Mutex<Vec<String>>>,
    following: watch::Sender<usize>,
) -> anyhow::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        anyhow::ensure!(stream.read_buf(&mut head).await? > 0, "no request");
    }
    let head = String::from_utf8(head)?;
    let path = head.split(' ').nth(1).context("a request has a path")?.to_owned();
    let follow = path.contains("follow=true");
    notes.lock().unwrap_or_else(PoisonError::into_inner).push(path);
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n").await?;
    let mut sent = 0;
    if follow {
        following.send_modify(|count| *count += 1);
    }
    let outcome = loop {
        let all = words.borrow_and_update().clone();
        stream.write_all(&all.as_bytes()[sent..]).await?;
        stream.flush().await?;
        sent = all.len();
        if !follow {
            stream.shutdown().await?;
            return Ok(());
        }
        let mut byte = [0];
        tokio::select! {
            changed = words.changed() => if changed.is_err() { break Ok(()) },
            read = stream.read(&mut byte) => break read.map(|_| ()),
        }
    };
    following.send_modify(|count| *count -= 1);
    Ok(outcome?)
}

async fn create(plane: &ControlPlane, object: &Value) -> anyhow::Result<Value> {
    let made = plane.kubectl_reading(&object.to_string(), &["create", "-f", "-", "-o", "json"]).await?;
    Ok(serde_json::from_str(&made)?)
}

fn node(port: u16) -> Value {
    json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "gpu-1", "labels": {"nvidia.com/gpu.product": "NVIDIA-H100", "node.kubernetes.io/instance-type": "p5.48xlarge",
            "kubernetes.io/arch": "amd64", "topology.kubernetes.io/region": "eu-west-1", "topology.kubernetes.io/zone": "eu-west-1a"}},
        "status": {"capacity": {"nvidia.com/gpu": "8", "cpu": "96", "pods": "110"}, "allocatable": {"nvidia.com/gpu": "8", "cpu": "96", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.34.1", "architecture": "amd64", "bootID": "",
                "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "", "machineID": "", "operatingSystem": "linux",
                "osImage": "", "systemUUID": ""},
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}], "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}})
}

fn pod(name: &str, gpus: u32, owner: Option<(&str, &Value)>) -> Value {
    let owners: Vec<Value> = owner.into_iter().map(|(kind, owner)| owner_reference(kind, owner)).collect();
    let amounts = if gpus == 0 { json!({}) } else { json!({"limits": {"nvidia.com/gpu": gpus.to_string()}}) };
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": {"app": "api"}, "ownerReferences": owners},
        "spec": {"nodeName": "gpu-1", "automountServiceAccountToken": false,
            "containers": [{"name": "main", "image": "example.test/api:1", "resources": amounts}]}})
}

fn owner_reference(kind: &str, owner: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": kind, "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "controller": true})
}

/// The app's Deployment with what its controllers would make, and what would be said about it.
async fn grow(plane: &ControlPlane) -> anyhow::Result<()> {
    let deployment: Value = serde_json::from_str(&plane.kubectl(&["get", "deployment", "api", "-o", "json"]).await?)?;
    let spec = json!({"replicas": 1, "selector": deployment["spec"]["selector"], "template": deployment["spec"]["template"]});
    let replicas = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "spec": spec,
        "metadata": {"name": "api-1", "namespace": "default", "ownerReferences": [owner_reference("Deployment", &deployment)]}});
    let replicas = create(plane, &replicas).await?;
    let made = create(plane, &pod("api-1-x", 0, Some(("ReplicaSet", &replicas)))).await?;
    let about = |object: &Value| json!({"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": object["metadata"]["name"], "uid": object["metadata"]["uid"]});
    let trainer: Value = serde_json::from_str(&plane.kubectl(&["get", "pod", "trainer", "-o", "json"]).await?)?;
    for (object, code) in [(&made, "BackOff"), (&trainer, "Foreign")] {
        let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"generateName": "e-", "namespace": "default"}, "involvedObject": about(object),
            "type": "Warning", "reason": code, "message": "it waits", "count": 3, "source": {"component": "kubelet"},
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:05:00Z"});
        create(plane, &event).await?;
    }
    Ok(())
}

fn named(kind: &str, name: &str) -> ObjectParameters {
    ObjectParameters { kind: Some(kind.to_owned()), namespace: None, name: Some(name.to_owned()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_what_belongs_to_an_app_in_a_cluster_and_nothing_else() -> anyhow::Result<()> {
    require_control_plane!();
    prepare();
    let disk = tempfile::tempdir()?;
    let fleet = FleetRepository::init(&disk.path().join("fleet"), &FLEET)?;
    let mut hub = TestHub::start(disk.path().join("hub"), fleet.source()?).await?;
    let plane = ControlPlane::start(Options::default()).await?;
    let kubelet = Kubelet::start(&plane.serving_certificate(&["127.0.0.1"])?).await?;
    create(&plane, &node(kubelet.port)).await?;
    create(&plane, &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}})).await?;
    create(&plane, &pod("trainer", 2, None)).await?;
    let mut agent = TestAgent::new(&hub.add_cluster("eu-1", "eu-west").await?, disk.path().join("agent"))?;
    agent.start(&plane).await?;
    eventually("the app is applied", || hub.row("web", "eu-1"), |row| row.sync == SyncWord::Synced).await?;

    nodes_and_gpus_are_facts(&hub).await?;
    grow(&plane).await?;
    the_tree_goes_down_to_the_pods(&hub).await?;
    objects_are_shown_without_secrets_and_only_those_of_the_app(&hub).await?;
    logs_are_read_and_followed(&hub, &kubelet).await?;

    agent.stop().await?;
    let silent = async || hub.client()?.tree(&"web".parse()?, &"eu-1".parse()?).await.map_err(anyhow::Error::from);
    let refused =
        eventually("the hub knows that the agent left", async || Ok(silent().await.err().map(|error| error.to_string())), Option::is_some)
            .await?;
    assert!(
        refused.0.is_some_and(|why| why.contains("not connected and was heard last")),
        "a silent cluster says so at once, with its age"
    );

    hub.stop().await?;
    // A task of the hub that ends a moment later holds it as long.
    let store = loop {
        match SledStore::open(hub.data_dir().join("store"), SledConfig::default()) {
            Err(OpenError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            opened => break opened?,
        }
    };
    let page = store.range(&Prefix::tree("audit")?, None, PAGE_LIMIT).await?;
    let audit: Vec<String> = page.entries.iter().map(|(_, entry)| String::from_utf8_lossy(&entry.value).into_owned()).collect();
    for fact in [
        "the objects of app web in cluster eu-1",
        "secret/key of app web in cluster eu-1",
        "the log of pod/api-1-x in namespace default of app web in cluster eu-1",
    ] {
        assert!(audit.iter().any(|entry| entry.contains(fact) && entry.contains("token/bootstrap")), "{fact} is not among {audit:#?}");
    }
    Ok(())
}

async fn nodes_and_gpus_are_facts(hub: &TestHub) -> anyhow::Result<()> {
    let view = async || Ok(hub.client()?.cluster(&"eu-1".parse()?).await?);
    let (cluster, _) =
        eventually("the nodes are reported", view, |cluster| cluster.nodes.as_ref().is_some_and(|nodes| nodes.total == 1)).await?;
    let nodes = cluster.nodes.context("nodes")?;
    let device = nodes.devices.first().context("a device")?;
    assert_eq!((nodes.ready, device.resource.as_str(), device.product.as_str()), (1, "nvidia.com/gpu", "NVIDIA-H100"));
    assert_eq!((device.capacity, device.allocatable, device.used), (8, 8, Some(2)));
    assert!(cluster.api_versions.iter().any(|version| version == "apps/v1"));
    let (exit, table) = hub.capstan(&["get", "clusters", "-o", "wide"]).await?;
    assert!(exit == Exit::Ok && table.contains("1/1 ready") && table.contains("NVIDIA-H100 2/8"), "{table}");
    let (_, text) = hub.capstan(&["describe", "cluster", "eu-1"]).await?;
    assert!(text.contains("1/1    p5.48xlarge  amd64  eu-west-1  eu-west-1a  v1.34.1"), "{text}");
    Ok(())
}

async fn the_tree_goes_down_to_the_pods(hub: &TestHub) -> anyhow::Result<()> {
    let (_, tree) = hub.capstan(&["tree", "web", "--cluster", "eu-1"]).await?;
    let objects: Vec<&str> = tree.lines().skip(1).map(|line| line.split("  ").find(|part| !part.is_empty()).unwrap_or_default()).collect();
    let expected = ["Secret default/key", "Deployment.apps default/api", "└ ReplicaSet.apps default/api-1", "└ Pod default/api-1-x"];
    assert_eq!(objects, expected, "{tree}");
    let (_, events) = hub.capstan(&["events", "web", "--cluster", "eu-1"]).await?;
    assert!(events.contains("BackOff") && !events.contains("Foreign"), "{events}");
    let (exit, diff) = hub.capstan(&["diff", "web", "--cluster", "eu-1", "--live"]).await?;
    assert_eq!((exit, diff.as_str()), (Exit::Ok, "web in eu-1: no difference\n"));
    Ok(())
}

async fn objects_are_shown_without_secrets_and_only_those_of_the_app(hub: &TestHub) -> anyhow::Result<()> {
    let (_, deployment) = hub.capstan(&["live", "web", "deploy/api", "--cluster", "eu-1"]).await?;
    assert!(deployment.contains("image: example.test/api:1") && !deployment.contains("managedFields"), "{deployment}");
    let (_, secret) = hub.capstan(&["live", "web", "secret/key", "--cluster", "eu-1"]).await?;
    assert!(secret.contains("token: ++") && !secret.contains(CANARY), "{secret}");
    let (_, pod) = hub.capstan(&["live", "web", "pod/api-1-x", "--cluster", "eu-1", "-o", "json"]).await?;
    assert_eq!(serde_json::from_str::<Value>(&pod)?["spec"]["nodeName"], "gpu-1");
    let (app, cluster): (AppName, ClusterName) = ("web".parse()?, "eu-1".parse()?);
    for (kind, name) in [("pod", "trainer"), ("node", "gpu-1"), ("configmap", "kube-root-ca.crt"), ("deployment", "other")] {
        let refused = hub.client()?.live_object(&app, &cluster, &named(kind, name)).await;
        let is_refused = matches!(&refused, Err(ClientError::NotFound(faults)) if faults.code == "NoSuchObject");
        assert!(is_refused, "{kind}/{name} is none of the app's: {refused:?}");
    }
    let foreign = LogParameters { kind: Some("pod".into()), name: Some("trainer".into()), ..LogParameters::default() };
    assert!(matches!(hub.client()?.log(&app, &cluster, &foreign).await, Err(ClientError::NotFound(_))), "nor are logs of others");
    Ok(())
}

async fn logs_are_read_and_followed(hub: &TestHub, kubelet: &Kubelet) -> anyhow::Result<()> {
    let (_, log) = hub.capstan(&["logs", "web", "deploy/api", "--cluster", "eu-1", "--tail", "5"]).await?;
    assert_eq!(log, "line 1\nline 2\n");
    let asked = kubelet.asked();
    assert!(asked.iter().any(|path| path.starts_with("/containerLogs/default/api-1-x/main?") && path.contains("tailLines=5")), "{asked:?}");

    let (app, cluster): (AppName, ClusterName) = ("web".parse()?, "eu-1".parse()?);
    let follow = LogParameters { follow: true, ..LogParameters::default() };
    let client = hub.client()?;
    let mut log = client.log(&app, &cluster, &follow).await?;
    for expected in ["line 1", "line 2", "line 3"] {
        let line = tokio::time::timeout(PATIENCE, log.next()).await.context("the next line")??;
        assert_eq!(line, Some(LogEvent::Line(expected.to_owned())));
        kubelet.said.send_if_modified(|said| {
            let more = expected == "line 2";
            if more {
                said.push_str("line 3\n");
            }
            more
        });
    }
    assert_eq!(client.live_diff(&app, &cluster).await?.objects, [], "a log that is followed holds up nothing");
    drop(log);
    let mut followers = kubelet.followers.clone();
    tokio::time::timeout(PATIENCE, followers.wait_for(|count| *count == 0)).await.context("the kubelet is left alone")??;
    let health = hub.row("web", "eu-1").await?.judged.health();
    assert_ne!(health, HealthWord::Unknown, "the agent is still heard");
    Ok(())
}
