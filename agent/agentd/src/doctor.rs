//! `capstan-agent doctor`: tries every hop that the agent needs and says which one does not work and what to do. What it writes to try it is
//! removed again; the agent's namespace and directory are made if they are not there, as the agent would.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent_cluster::{Cluster, ClusterConfig, ClusterError, Lease, Resource, SecretParts};
use agent_ledger::{Identity, Ledger, MIRROR_LIMIT};
use agent_link::HubAddress;
use shared_identity::{CaPin, CertificateChain, enrolment_client_config};
use shared_model::{ClusterUid, GroupKind, ObjectKey, Scope, Timestamp};
use shared_release::SignedIndex;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::config::{AgentConfig, ProcessConfig};
use crate::join::known_member;
use crate::reach::Reach;
use crate::rights;

/// How long one hop may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The name of what is written to see whether it can be; it is removed again.
const PROBE: &str = "doctor";

/// What was found out about one hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The hop.
    pub hop: &'static str,
    /// What works, or what does not and what to do.
    pub outcome: Result<String, String>,
}

/// Tries every hop.
pub async fn examine(config: &ProcessConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |hop, outcome: Result<String, String>| findings.push(Finding { hop, outcome });
    let (mut uid, mut reached) = (None, None);
    match Cluster::connect(&ClusterConfig { kubeconfig: config.kubeconfig.clone() }).await {
        Err(error) => found("api-server", Err(error.to_string())),
        Ok(cluster) => match api_server(&cluster, &config.agent).await {
            Err(error) => found("api-server", Err(format!("{error}; check --kubeconfig, or the pod's network and service account"))),
            Ok((here, version)) => {
                found("api-server", Ok(format!("Kubernetes {version}, cluster uid {here}")));
                uid = Some(here);
                let namespace = &config.agent.namespace;
                found("secrets", may_write(write_secret(&cluster, namespace).await, "secrets", namespace));
                found("lease", may_write(hold_lease(&cluster, namespace).await, "leases.coordination.k8s.io", namespace));
                reached = Some(cluster);
            }
        },
    }
    let ledger = Ledger::open(&config.agent.data_dir).map(|opened| opened.ledger);
    found(
        "ledger",
        match &ledger {
            Err(error) => Err(error.to_string()),
            Ok(ledger) => ledger
                .check_writable()
                .map(|()| format!("{} is writable", config.agent.data_dir.display()))
                .map_err(|error| error.to_string()),
        },
    );
    let ledger = ledger.ok();
    found("identity", identity(ledger.as_ref(), &config.agent, uid.as_ref()));
    if let Some(cluster) = &reached {
        found("rights", rights::examine(cluster, &config.agent, ledger.as_ref()).await);
    }
    if let Some(ledger) = &ledger {
        found("mirror", mirror_size(ledger, &config.agent.data_dir));
    }
    let pin = config.agent.ca_pin.or_else(|| enrolled_pin(ledger.as_ref()?));
    found("hub", reach(&config.agent.hub, pin).await);
    found("enrolment", reach(&config.agent.enrolment, pin).await);
    findings
}

/// What tells this cluster from others: the uid of `kube-system`, or that of the agent's own namespace where it may look at no more.
pub(crate) async fn identity_of(cluster: &Cluster, config: &AgentConfig) -> Result<ClusterUid, ClusterError> {
    match config.guardrail.installed_for {
        None => cluster.uid().await,
        Some(_) => cluster.namespace_uid(&config.namespace).await,
    }
}

async fn api_server(cluster: &Cluster, config: &AgentConfig) -> Result<(ClusterUid, String), ClusterError> {
    let answers = async { Ok((identity_of(cluster, config).await?, cluster.version().await?)) };
    tokio::time::timeout(PATIENCE, answers).await.unwrap_or_else(|_| Err(ClusterError::Unreachable("no answer within 10 seconds".into())))
}

fn may_write(outcome: Result<(), ClusterError>, what: &str, namespace: &str) -> Result<String, String> {
    match outcome {
        Ok(()) => Ok(format!("may write {what} in {namespace}")),
        Err(error) => {
            Err(format!("{error}; grant the agent's service account get, list, create, patch, update and delete on {what} in {namespace}"))
        }
    }
}

async fn write_secret(cluster: &Cluster, namespace: &str) -> Result<(), ClusterError> {
    let parts = SecretParts::new(cluster.clone(), namespace);
    parts.read().await?;
    parts.write([(PROBE.to_owned(), Vec::new())].into()).await?;
    parts.remove(&[PROBE.to_owned()]).await
}

/// Takes a lease beside the agent's own, so that a running agent is not disturbed.
async fn hold_lease(cluster: &Cluster, namespace: &str) -> Result<(), ClusterError> {
    let name = "capstan-agent-doctor";
    Lease::new(cluster.clone(), namespace, name, PROBE).hold(Timestamp::now()).await?;
    let leases = Resource {
        group: "coordination.k8s.io".to_owned(),
        version: "v1".to_owned(),
        plural: "leases".to_owned(),
        kind: "Lease".to_owned(),
        scope: Scope::Namespaced,
        watchable: true,
    };
    let key = ObjectKey::new(GroupKind::new("coordination.k8s.io", "Lease"), Some(namespace), name);
    let lease = cluster.get(&leases, &key).await?;
    let uid = lease.as_ref().and_then(|lease| lease.pointer("/metadata/uid")?.as_str()).unwrap_or_default();
    cluster.delete(&leases, &key, uid).await.map(|_| ())
}

fn identity(ledger: Option<&Ledger>, config: &AgentConfig, uid: Option<&ClusterUid>) -> Result<String, String> {
    let (Some(ledger), Some(uid)) = (ledger, uid) else { return Err("it needs the ledger and the API server; mend those first".into()) };
    match known_member(ledger, config, uid) {
        Err(error) => Err(error.to_string()),
        Ok(Some(member)) => {
            let facts = &member.certificate.facts;
            Ok(format!("enrolled as {}; the certificate is good until {}", facts.identity, facts.not_after))
        }
        Ok(None) if config.token.is_some() && config.ca_pin.is_some() => Ok("not on this disk; token and pin are set, or the copy has it".into()),
        Ok(None) => Err("this disk has none; if the copy in the cluster has none either, run `capstan cluster add NAME` and start the agent as it prints".into()),
    }
}

/// How much of the copy's limit the desired state takes.
fn mirror_size(ledger: &Ledger, directory: &Path) -> Result<String, String> {
    let Some(index) = ledger.index().and_then(|signed: &SignedIndex| signed.read_own().ok()) else {
        return Ok("no index yet, nothing to copy".into());
    };
    let reach = Reach::default().all(ledger.contents(), &[index]);
    let mut bytes = 0;
    let count = |_, part: Vec<u8>| {
        bytes += part.len();
        Ok(())
    };
    match ledger.contents().pack(&reach, count) {
        Err(error) => Err(format!("{error}, when the hub is connected")),
        Ok(false) => Err(format!(
            "the desired state is over {} MiB compressed, too much for Secrets: mount a volume at {}, or a lost pod cannot heal without the hub",
            MIRROR_LIMIT >> 20,
            directory.display()
        )),
        Ok(true) => Ok(format!("the desired state takes {} of {} KiB", bytes.div_ceil(1024), MIRROR_LIMIT >> 10)),
    }
}

/// The pin of the authority that the agent was enrolled with.
fn enrolled_pin(ledger: &Ledger) -> Option<CaPin> {
    let Identity { certified, .. } = ledger.identity()?;
    let authority = CertificateChain::from_pem(&certified.as_ref()?.authority_pem).ok()?;
    CaPin::of(authority.leaf()).ok()
}

/// DNS, TCP and TLS to one of the hub's listeners.
async fn reach(address: &HubAddress, pin: Option<CaPin>) -> Result<String, String> {
    let within = tokio::time::timeout(PATIENCE, shake(address, pin)).await;
    within.unwrap_or_else(|_| Err(format!("{address} did not answer within 10 seconds; check firewalls and proxies on the way")))
}

async fn shake(address: &HubAddress, pin: Option<CaPin>) -> Result<String, String> {
    let text = address.to_string();
    let ips: Vec<_> =
        lookup_host(&text).await.map_err(|error| format!("the name in {text} cannot be resolved: {error}; check DNS"))?.collect();
    let ip = ips.first().ok_or_else(|| format!("the name in {text} has no address; check DNS"))?;
    let refused = |error| format!("{text} ({ip}) refuses connections: {error}; check the port, firewalls, and that the hub runs");
    let tcp = TcpStream::connect(ip).await.map_err(refused)?;
    let Some(pin) = pin else {
        return Err(format!("{text} ({ip}) listens; without --ca-pin nothing can be said about who it is"));
    };
    let config = enrolment_client_config(pin).map_err(|error| error.to_string())?;
    let host = text.rsplit_once(':').map_or(text.as_str(), |(host, _)| host).trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(Arc::clone(&config)).connect(name, tcp).await;
    stream.map_err(|error| {
        format!(
            "{text} ({ip}) listens, and TLS fails: {error}; the pin is {pin}: is it this hub's, and does nothing on the way intercept TLS?"
        )
    })?;
    Ok(format!("{text} ({ip}) shows a certificate of the pinned authority"))
}
