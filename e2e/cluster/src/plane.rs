//! One real control plane: etcd, kube-apiserver and, if asked for, kube-controller-manager, on free ports, with certificates, audit log and
//! kubectl. There is no scheduler and no kubelet; [`crate::Fakelet`] stands in for both.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use base64::Engine;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::audit::{self, AuditEvent};
use crate::binaries::{Binaries, MissingBinaries};
use crate::pki::{self, Authority, CertificatePair, TokenKey};
use crate::ports::PortLease;
use crate::process::Watched;
use crate::scratch::ScratchDirectory;

/// How long one program may take to be ready. Measured on two busy cores: 5 s; a machine ten times as loaded still passes.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Pause between two looks at something that is not ready. A start takes 3 s, so this costs at most 1 % of it.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// Bound of one look: an API server that is up answers `/readyz` in milliseconds.
const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// How long the audit log may lag behind an answer. It is written synchronously, right after the answer: milliseconds.
const AUDIT_LAG_LIMIT: Duration = Duration::from_secs(10);
/// Soft limit of the API server's Go heap: idle it needs 160–200 MiB, and without a limit garbage grows to 1.6 GiB under load.
const API_SERVER_MEMORY: &str = "512MiB";
/// Cluster addresses: 65,534, more than a test has services.
const SERVICE_RANGE: &str = "10.0.0.0/16";
/// Size in MB at which the audit log is rotated. A Metadata entry has about 1 KB, so 4 million requests: never.
const AUDIT_LOG_MAX_MB: &str = "4096";

/// What a plane consists of.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Run kube-controller-manager: Deployments get pods, owners' garbage is collected, namespaces finish.
    pub controllers: bool,
    /// Further flags of kube-apiserver, such as `--feature-gates=…`.
    pub api_server_flags: Vec<String>,
}

/// Why a control plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Programs are missing; tests skip on this, see [`crate::require_control_plane!`].
    #[error(transparent)]
    MissingBinaries(#[from] MissingBinaries),
    /// A directory, file, port or process could not be had.
    #[error("cannot prepare the control plane: {what}")]
    Prepare {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make the control plane's certificates")]
    Certificates(#[from] rcgen::Error),
    /// A client for the new API server could not be made.
    #[error("cannot make a client for the control plane")]
    Client(#[source] anyhow::Error),
    /// A program ended by itself.
    #[error("{program} ended with {status}; its last words:\n{log}")]
    Exited {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// A program is still running but not ready.
    #[error("{program} was not ready after {} s ({last}); its last words:\n{log}", waited.as_secs())]
    NotReady {
        /// The program.
        program: String,
        /// How long it was given.
        waited: Duration,
        /// What was seen last.
        last: String,
        /// The end of its log.
        log: String,
    },
}

/// A running control plane. Dropping it kills its processes and removes its directory.
pub struct ControlPlane {
    // Dropped in this order: first who writes, then the store, then the directory.
    controllers: Option<Watched>,
    api_server: Mutex<Option<Watched>>,
    etcd: Mutex<Option<Watched>>,
    binaries: Binaries,
    authority: Authority,
    api_server_flags: Vec<String>,
    port: PortLease,
    etcd_ports: [PortLease; 2],
    saved: AtomicU64,
    kubeconfigs: AtomicU64,
    audit_marks: AtomicU64,
    scratch: ScratchDirectory,
}

impl ControlPlane {
    /// Starts a plane and waits until it can be used: the API server ready and, with controllers, the first ServiceAccount made by them.
    ///
    /// # Errors
    /// [`StartError::MissingBinaries`] when there is nothing to start; else what failed, with the end of the program's log.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        install_crypto();
        let binaries = Binaries::find(options.controllers)?;
        let prepare = |what| move |source| StartError::Prepare { what, source };
        let scratch = ScratchDirectory::new("capstan-plane-").map_err(prepare("a temporary directory"))?;
        let take_port = || PortLease::take().map_err(prepare("a free port"));
        let (port, etcd_ports) = (take_port()?, [take_port()?, take_port()?]);
        let authority = Authority::new()?;
        write_files(scratch.path(), &authority)?;

        let etcd = start_etcd(&binaries.etcd, scratch.path(), &etcd_ports).await?;
        let api_server_flags = api_server_flags(scratch.path(), &port, &etcd_ports[0], &options.api_server_flags);
        let mut plane = Self {
            controllers: None,
            api_server: Mutex::new(None),
            etcd: Mutex::new(Some(etcd)),
            binaries,
            authority,
            api_server_flags,
            port,
            etcd_ports,
            saved: AtomicU64::new(0),
            kubeconfigs: AtomicU64::new(0),
            audit_marks: AtomicU64::new(0),
            scratch,
        };
        plane.write_kubeconfig("admin", "admin", &["system:masters"])?;
        plane.start_api_server().await?;
        if options.controllers {
            plane.start_controllers().await?;
        }
        Ok(plane)
    }

    /// Where the API server listens.
    #[must_use]
    pub fn server_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port.number())
    }

    /// The certificate of the authority behind the API server's and all clients' certificates.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.authority.certificate_pem()
    }

    /// The directory of this plane's files: etcd's data, `etcd.log`, `kube-apiserver.log`, `kube-controller-manager.log`, `audit.log`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// A kubeconfig of `admin` in `system:masters`. In the audit log that is the test itself.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.scratch.path().join("admin.kubeconfig")
    }

    /// Writes a kubeconfig with a fresh client certificate for `user` in `groups` (at most two), so that the audit log tells users apart.
    ///
    /// # Errors
    /// More than two groups, or the file cannot be written.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> anyhow::Result<PathBuf> {
        anyhow::ensure!(
            groups.len() <= pki::MOST_GROUPS,
            "a client certificate carries at most {} groups here, not {}",
            pki::MOST_GROUPS,
            groups.len()
        );
        let number = self.kubeconfigs.fetch_add(1, Ordering::Relaxed);
        Ok(self.write_kubeconfig(&format!("user-{number}"), user, groups)?)
    }

    /// A certificate for a server under these names and addresses, signed by [`Self::ca_pem`]; for admission webhooks.
    ///
    /// # Errors
    /// A name that no certificate can hold.
    pub fn serving_certificate(&self, names: &[&str]) -> anyhow::Result<CertificatePair> {
        Ok(self.authority.serving(names)?)
    }

    /// A client of the API server as `admin`. It belongs to the runtime of the caller: take a new one per test.
    ///
    /// # Errors
    /// The kubeconfig cannot be read: the plane's directory is damaged.
    pub async fn client(&self) -> anyhow::Result<Client> {
        client_from(&self.kubeconfig()).await
    }

    /// A client as `user` in `groups`, see [`Self::kubeconfig_for`].
    ///
    /// # Errors
    /// As [`Self::kubeconfig_for`].
    pub async fn client_for(&self, user: &str, groups: &[&str]) -> anyhow::Result<Client> {
        client_from(&self.kubeconfig_for(user, groups)?).await
    }

    /// Runs kubectl as `admin` and returns what it printed.
    ///
    /// # Errors
    /// kubectl failed; the message is what it wrote to stderr.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.kubectl_reading("", arguments).await
    }

    /// Runs kubectl as `admin` with `input` on stdin, such as a manifest for `apply -f -`.
    ///
    /// # Errors
    /// kubectl failed; the message is what it wrote to stderr.
    pub async fn kubectl_reading(&self, input: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let command_line = || format!("kubectl {}", arguments.join(" "));
        let mut child = tokio::process::Command::new(&self.binaries.kubectl)
            .args(arguments)
            .env("KUBECONFIG", self.kubeconfig())
            // Its caches and preferences go there, and the user's stay untouched.
            .env("HOME", self.scratch.path())
            .env_remove("KUBECTL_EXTERNAL_DIFF")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(command_line)?;
        let mut stdin = child.stdin.take().expect("stdin was asked to be a pipe");
        let feed = async move {
            // A kubectl that does not read says itself what is wrong.
            let _ = stdin.write_all(input.as_bytes()).await;
        };
        let ((), output) = futures_util::join!(feed, child.wait_with_output());
        let output = output.with_context(command_line)?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "{} failed with {}: {}", command_line(), output.status, stderr.trim_end());
        String::from_utf8(output.stdout).with_context(command_line)
    }

    /// Makes a namespace with a name of its own. With controllers it waits for its ServiceAccount, without which no pod is admitted.
    /// Namespaces are not to be deleted at the end of a test: that takes 5 s and more.
    ///
    /// # Errors
    /// The API server refuses or is away.
    pub async fn fresh_namespace(&self) -> anyhow::Result<String> {
        let client = self.client().await?;
        let wanted: Namespace = serde_json::from_value(json!({"metadata": {"generateName": "test-"}}))?;
        let made = Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &wanted).await?;
        let name = made.metadata.name.context("the API server made a namespace without a name")?;
        if self.controllers.is_some() {
            wait_for_service_account(&client, &name, START_LIMIT).await.map_err(anyhow::Error::msg)?;
        }
        Ok(name)
    }

    /// Everything that the API server was asked and has answered before this call, in the order of the first entries. Watches appear once
    /// they have begun.
    ///
    /// The API server writes an entry right after its answer. So this asks it for a page of its own and waits for that request's entry;
    /// what was answered before is written by then. While the API server is stopped it returns what the log holds.
    ///
    /// # Errors
    /// The log cannot be read, or the entry does not appear.
    pub async fn audit_events(&self) -> anyhow::Result<Vec<AuditEvent>> {
        let log = self.scratch.path().join("audit.log");
        let read = || fs::read_to_string(&log).with_context(|| format!("cannot read the audit log {}", log.display()));
        if !self.api_server_runs() {
            return Ok(audit::parse(&read()?));
        }
        let mark = format!("/version?capstan-audit-mark={}", self.audit_marks.fetch_add(1, Ordering::Relaxed));
        ask(&self.client().await?, &mark).await?;
        let started = Instant::now();
        loop {
            let mut events = audit::parse(&read()?);
            if events.iter().any(|event| event.uri == mark) {
                events.retain(|event| !event.uri.contains("capstan-audit-mark"));
                return Ok(events);
            }
            anyhow::ensure!(started.elapsed() < AUDIT_LAG_LIMIT, "the audit log has no entry for {mark}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Kills the API server, as an outage does: connections break, etcd and controllers stay. No effect on one that is stopped.
    pub fn stop_api_server(&self) {
        drop(self.api_server.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
    }

    /// Starts the API server on its old port and data and waits until it is ready. No effect on one that runs.
    ///
    /// # Errors
    /// It ends by itself or does not get ready.
    pub async fn start_api_server(&self) -> Result<(), StartError> {
        if self.api_server_runs() {
            return Ok(());
        }
        let client = self.client().await.map_err(StartError::Client)?;
        let mut server = Watched::spawn(
            &self.binaries.kube_apiserver,
            &self.api_server_flags,
            &[("GOMEMLIMIT", API_SERVER_MEMORY)],
            &self.scratch.path().join("kube-apiserver.log"),
        )
        .map_err(|source| StartError::Prepare { what: "starting kube-apiserver", source })?;
        wait_until_ready(&mut server, async || {
            ask(&client, "/readyz").await.map_err(|error| error.to_string())?;
            has_system_namespaces(&client).await
        })
        .await?;
        *self.api_server.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(server);
        Ok(())
    }

    /// Makes etcd forget its history up to now: a watch cannot go on from before it once the API server has been restarted, as until then
    /// the API server remembers by itself.
    ///
    /// # Errors
    /// etcd does not answer.
    pub async fn compact(&self) -> anyhow::Result<()> {
        let ask = async |path: &str, body: serde_json::Value| -> anyhow::Result<serde_json::Value> {
            let url = format!("http://127.0.0.1:{}{path}", self.etcd_ports[0].number());
            let answer = reqwest::Client::new().post(url).body(body.to_string()).send().await?.error_for_status()?;
            Ok(serde_json::from_slice(&answer.bytes().await?)?)
        };
        let now = ask("/v3/kv/range", json!({"key": base64::engine::general_purpose::STANDARD.encode("/"), "limit": "1"})).await?;
        let revision = now.pointer("/header/revision").context("etcd names no revision")?;
        ask("/v3/kv/compaction", json!({"revision": revision, "physical": true})).await.map(drop)
    }

    /// Saves what the cluster holds now, as a backup of etcd does, and returns where. The API server is away meanwhile.
    ///
    /// # Errors
    /// The data cannot be copied, or a program does not come back.
    pub async fn save_store(&self) -> anyhow::Result<PathBuf> {
        let saved = self.scratch.path().join(format!("saved-{}", self.saved.fetch_add(1, Ordering::Relaxed)));
        self.with_store_stopped(|data| copy_directory(data, &saved)).await?;
        Ok(saved)
    }

    /// Puts back what [`Self::save_store`] saved: all later writes are undone, and versions go on from there.
    ///
    /// # Errors
    /// As [`Self::save_store`].
    pub async fn restore_store(&self, saved: &Path) -> anyhow::Result<()> {
        self.with_store_stopped(|data| {
            fs::remove_dir_all(data)?;
            copy_directory(saved, data)
        })
        .await
    }

    async fn with_store_stopped(&self, act: impl FnOnce(&Path) -> io::Result<()>) -> anyhow::Result<()> {
        self.stop_api_server();
        drop(self.etcd.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
        act(&self.scratch.path().join("etcd")).context("etcd's data")?;
        let etcd = start_etcd(&self.binaries.etcd, self.scratch.path(), &self.etcd_ports).await?;
        *self.etcd.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(etcd);
        Ok(self.start_api_server().await?)
    }

    fn api_server_runs(&self) -> bool {
        self.api_server.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_some()
    }

    async fn start_controllers(&mut self) -> Result<(), StartError> {
        let program = self
            .binaries
            .kube_controller_manager
            .clone()
            .ok_or_else(|| MissingBinaries { names: vec!["kube-controller-manager"], looked_in: Vec::new() })?;
        let directory = self.scratch.path();
        let kubeconfig = self.write_kubeconfig("kube-controller-manager", "system:kube-controller-manager", &[])?;
        let file = |name: &str| directory.join(name).display().to_string();
        let flags = [
            format!("--kubeconfig={}", kubeconfig.display()),
            "--leader-elect=false".into(),
            format!("--service-account-private-key-file={}", file("service-account.key")),
            format!("--root-ca-file={}", file("ca.crt")),
            "--use-service-account-credentials=true".into(),
            // With the default of 20 requests a second the controllers take 5 s to begin, with this 1 s.
            "--kube-api-qps=500".into(),
            "--kube-api-burst=1000".into(),
            "--secure-port=0".into(),
        ];
        let log = directory.join("kube-controller-manager.log");
        let mut controllers = Watched::spawn(&program, &flags, &[], &log)
            .map_err(|source| StartError::Prepare { what: "starting kube-controller-manager", source })?;
        let client = self.client().await.map_err(StartError::Client)?;
        let accounts = Api::<ServiceAccount>::namespaced(client, "default");
        wait_until_ready(&mut controllers, async || match accounts.get_opt("default").await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("no ServiceAccount default/default yet".to_owned()),
            Err(error) => Err(error.to_string()),
        })
        .await?;
        self.controllers = Some(controllers);
        Ok(())
    }

    fn write_kubeconfig(&self, file: &str, user: &str, groups: &[&str]) -> Result<PathBuf, StartError> {
        let identity = self.authority.client(user, groups)?;
        let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        // JSON is YAML, and quoting is right by construction.
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "plane", "cluster": {
                "server": self.server_url(),
                "certificate-authority-data": base64(&self.ca_pem()),
            }}],
            "users": [{"name": user, "user": {
                "client-certificate-data": base64(&identity.certificate_pem),
                "client-key-data": base64(&identity.key_pem),
            }}],
            "contexts": [{"name": "plane", "context": {"cluster": "plane", "user": user}}],
            "current-context": "plane",
        });
        let path = self.scratch.path().join(format!("{file}.kubeconfig"));
        fs::write(&path, config.to_string()).map_err(|source| StartError::Prepare { what: "writing a kubeconfig", source })?;
        Ok(path)
    }
}

/// kube takes its cryptography from the process; a second installation is refused and changes nothing.
pub(crate) fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

pub(crate) async fn client_from(kubeconfig: &Path) -> anyhow::Result<Client> {
    install_crypto();
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn write_files(directory: &Path, authority: &Authority) -> Result<(), StartError> {
    let serving = authority.serving(&["localhost", "127.0.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"])?;
    let token_key = TokenKey::new()?;
    let ca = authority.certificate_pem();
    for (name, content) in [
        ("ca.crt", ca.as_str()),
        ("serving.crt", &serving.certificate_pem),
        ("serving.key", &serving.key_pem),
        ("service-account.key", &token_key.private_pem),
        ("service-account.pub", &token_key.public_pem),
        ("audit-policy.json", audit::POLICY),
    ] {
        fs::write(directory.join(name), content)
            .map_err(|source| StartError::Prepare { what: "writing the control plane's files", source })?;
    }
    Ok(())
}

async fn start_etcd(program: &Path, directory: &Path, [client, peer]: &[PortLease; 2]) -> Result<Watched, StartError> {
    let (client_url, peer_url) = (format!("http://127.0.0.1:{}", client.number()), format!("http://127.0.0.1:{}", peer.number()));
    let flags = [
        "--name=plane".to_owned(),
        format!("--data-dir={}", directory.join("etcd").display()),
        format!("--listen-client-urls={client_url}"),
        format!("--advertise-client-urls={client_url}"),
        format!("--listen-peer-urls={peer_url}"),
        format!("--initial-advertise-peer-urls={peer_url}"),
        format!("--initial-cluster=plane={peer_url}"),
        "--unsafe-no-fsync=true".to_owned(),
    ];
    let mut etcd = Watched::spawn(program, &flags, &[], &directory.join("etcd.log"))
        .map_err(|source| StartError::Prepare { what: "starting etcd", source })?;
    let port = client.number();
    wait_until_ready(&mut etcd, async || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map(drop).map_err(|error| error.to_string()))
        .await?;
    Ok(etcd)
}

fn api_server_flags(directory: &Path, port: &PortLease, etcd: &PortLease, further: &[String]) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    let mut flags = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", etcd.number()),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", port.number()),
        // A loopback address is refused as an endpoint of the service `kubernetes`.
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--tls-cert-file={}", file("serving.crt")),
        format!("--tls-private-key-file={}", file("serving.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("service-account.pub")),
        format!("--service-account-signing-key-file={}", file("service-account.key")),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--allow-privileged=true".to_owned(),
        format!("--audit-policy-file={}", file("audit-policy.json")),
        format!("--audit-log-path={}", file("audit.log")),
        format!("--audit-log-maxsize={AUDIT_LOG_MAX_MB}"),
    ];
    flags.extend_from_slice(further);
    flags
}

/// Waits until `look` finds the program ready, it ends, or [`START_LIMIT`] has passed.
async fn wait_until_ready(program: &mut Watched, look: impl AsyncFn() -> Result<(), String>) -> Result<(), StartError> {
    let started = Instant::now();
    loop {
        let last = match tokio::time::timeout(LOOK_LIMIT, look()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(reason)) => reason,
            Err(_) => "no answer".to_owned(),
        };
        let name = program.name().to_owned();
        let status = program.exited().map_err(|source| StartError::Prepare { what: "watching a process", source })?;
        if let Some(status) = status {
            return Err(StartError::Exited { program: name, status, log: program.log_tail() });
        }
        if started.elapsed() >= START_LIMIT {
            return Err(StartError::NotReady { program: name, waited: START_LIMIT, last, log: program.log_tail() });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The API server makes these after it has become ready.
async fn has_system_namespaces(client: &Client) -> Result<(), String> {
    let namespaces = Api::<Namespace>::all(client.clone()).list(&ListParams::default()).await.map_err(|error| error.to_string())?;
    let missing = ["default", "kube-system", "kube-public", "kube-node-lease"]
        .into_iter()
        .find(|wanted| !namespaces.iter().any(|namespace| namespace.metadata.name.as_deref() == Some(wanted)));
    missing.map_or(Ok(()), |name| Err(format!("no namespace {name} yet")))
}

async fn wait_for_service_account(client: &Client, namespace: &str, limit: Duration) -> Result<(), String> {
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    let started = Instant::now();
    loop {
        match accounts.get_opt("default").await {
            Ok(Some(_)) => return Ok(()),
            _ if started.elapsed() < limit => tokio::time::sleep(LOOK_AGAIN).await,
            Ok(None) => return Err(format!("no ServiceAccount {namespace}/default after {} s", limit.as_secs())),
            Err(error) => return Err(error.to_string()),
        }
    }
}

async fn ask(client: &Client, path: &str) -> anyhow::Result<()> {
    let request = hyper::Request::get(path).body(Vec::new())?;
    client.request_text(request).await?;
    Ok(())
}
