//! The agent's configuration: flags over environment (`CAPSTAN_AGENT_*`) over a YAML file over defaults. Who turns what stands at each knob.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use agent_link::{HubAddress, InvalidAddress};
use agent_plan::{AccountRule, Guardrail, InvalidAccountPattern, InvalidKindPattern, KindPattern, Pattern};
use clap::Args;
use serde::Deserialize;
use shared_daemon::{ConfigError, LogConfig, LogFormat, UnknownLogFormat, layered, read_config};
use shared_identity::{CaPin, InvalidPin};
use shared_session::Secret;

/// Where the ledger is kept unless somebody says otherwise: the place of the volume in the manifests.
pub const DEFAULT_DATA_DIR: &str = "/var/lib/capstan-agent";
/// The namespace of the agent's own Secrets and Lease.
pub const DEFAULT_NAMESPACE: &str = "capstan-system";
/// Where the admin endpoint listens. In a pod the manifests set `0.0.0.0:9465`, so that the kubelet reaches it.
pub const DEFAULT_ADMIN: &str = "127.0.0.1:9465";

/// Flags and environment of `capstan-agent`; what neither says comes from the file, and what the file does not say from the defaults.
#[derive(Args, Default)]
pub struct Flags {
    /// A YAML file with these settings in camelCase. For whoever prefers a ConfigMap to environment variables.
    #[arg(long, env = "CAPSTAN_AGENT_CONFIG", global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the agent remembers what it must not forget [default: /var/lib/capstan-agent]. Turned by whoever mounts the volume.
    #[arg(long, env = "CAPSTAN_AGENT_DATA_DIR", global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The namespace of the agent's own Secrets and Lease [default: capstan-system]. Turned by whoever installs it elsewhere.
    #[arg(long, env = "CAPSTAN_AGENT_NAMESPACE", global = true)]
    pub namespace: Option<String>,
    /// The namespaces to keep, separated by commas [default: the whole cluster]. Turned by whoever installs the agent without rights on the
    /// cluster: it then watches and writes in these alone, and is known by the uid of its own namespace.
    #[arg(long, env = "CAPSTAN_AGENT_NAMESPACES", global = true, value_delimiter = ',', value_name = "NAMESPACE,…")]
    pub namespaces: Option<Vec<String>>,
    /// A kubeconfig [default: the pod's service account]. Turned by whoever runs the agent outside of its cluster.
    #[arg(long, env = "CAPSTAN_AGENT_KUBECONFIG", global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// A YAML file of kind Guardrail: what this cluster lets its hub do [default: everything but the agent's own objects]. Written by the cluster's
    /// owner, read once at the start.
    #[arg(long, env = "CAPSTAN_AGENT_GUARDRAIL", global = true, value_name = "FILE")]
    pub guardrail: Option<PathBuf>,
    /// Where the hub serves agents, HOST:PORT. Printed by `capstan cluster add`.
    #[arg(long, env = "CAPSTAN_AGENT_HUB", global = true, value_name = "HOST:PORT")]
    pub hub: Option<String>,
    /// Where the hub takes clusters in, HOST:PORT. Printed by `capstan cluster add`.
    #[arg(long, env = "CAPSTAN_AGENT_ENROLMENT", global = true, value_name = "HOST:PORT")]
    pub enrolment: Option<String>,
    /// The pin of the hub's authority. Printed by `capstan cluster add`, needed only the first time.
    #[arg(long, env = "CAPSTAN_AGENT_CA_PIN", global = true, value_name = "sha256:…")]
    pub ca_pin: Option<String>,
    /// The one-time token. Printed by `capstan cluster add`, needed only the first time.
    #[arg(long, env = "CAPSTAN_AGENT_TOKEN", global = true, hide_env_values = true)]
    pub token: Option<String>,
    /// A file with the one-time token. For whoever mounts it as a Secret.
    #[arg(long, env = "CAPSTAN_AGENT_TOKEN_FILE", global = true, value_name = "FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
    /// Where /livez, /readyz and /metrics are served, or "none" [default: 127.0.0.1:9465]. Turned by whoever scrapes or probes it.
    #[arg(long, env = "CAPSTAN_AGENT_ADMIN_LISTEN", global = true, value_name = "ADDRESS")]
    pub admin_listen: Option<String>,
    /// How a log line looks, json or text [default: json]. Turned by a person at a terminal.
    #[arg(long, env = "CAPSTAN_AGENT_LOG_FORMAT", global = true)]
    pub log_format: Option<String>,
    /// What is logged [default: info,kube_client=off]. Turned by whoever looks for the cause of something: info,agent_link=debug.
    #[arg(long, env = "CAPSTAN_AGENT_LOG", global = true, value_name = "FILTER")]
    pub log: Option<String>,
}

/// Everything of note. kube's client calls each request that the API server refuses an error; what becomes of them is said where it is known.
const DEFAULT_LOG: &str = "info,kube_client=off";

/// The file.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Settings {
    data_dir: Option<PathBuf>,
    namespace: Option<String>,
    namespaces: Option<Vec<String>>,
    kubeconfig: Option<PathBuf>,
    guardrail: Option<PathBuf>,
    hub: Option<String>,
    enrolment: Option<String>,
    ca_pin: Option<String>,
    token: Option<String>,
    token_file: Option<PathBuf>,
    admin_listen: Option<String>,
    log_format: Option<String>,
    log: Option<String>,
}

/// Where the one-time token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// Here.
    Text(Secret),
    /// In this file, which is read only when the token is needed.
    File(PathBuf),
}

/// What an agent is started with. Who turns what stands at [`Flags`].
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The ledger's directory.
    pub data_dir: PathBuf,
    /// The namespace of the agent's own Secrets and Lease.
    pub namespace: String,
    /// Where the hub serves the session.
    pub hub: HubAddress,
    /// Where the hub's enrolment door is.
    pub enrolment: HubAddress,
    /// The pin of the hub's authority; needed for the enrolment only.
    pub ca_pin: Option<CaPin>,
    /// The one-time token; needed for the enrolment only.
    pub token: Option<Token>,
    /// Where the admin endpoint listens, if anywhere.
    pub admin_listen: Option<SocketAddr>,
    /// What this cluster lets its hub do.
    pub guardrail: Guardrail,
}

/// Everything that `capstan-agent` is started with.
#[derive(Debug, Clone)]
pub struct ProcessConfig {
    /// The agent.
    pub agent: AgentConfig,
    /// A kubeconfig; without one the pod's service account is used.
    pub kubeconfig: Option<PathBuf>,
    /// Logs.
    pub logs: LogConfig,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// A setting that must be there is not.
    #[error(
        "{setting} is not set; take it from the command that `capstan cluster add` printed (flag --{flag}, environment {environment}, or {setting} in the file)"
    )]
    Missing {
        /// Its name in the file.
        setting: &'static str,
        /// Its flag.
        flag: &'static str,
        /// Its environment variable.
        environment: &'static str,
    },
    /// A hub's address.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The pin.
    #[error(transparent)]
    Pin(#[from] InvalidPin),
    /// The log format.
    #[error(transparent)]
    LogFormat(#[from] UnknownLogFormat),
    /// The admin endpoint's address.
    #[error("\"{text}\" is no address to listen at; write ADDRESS:PORT, for example 127.0.0.1:9465, or none")]
    Listen {
        /// What was read.
        text: String,
    },
    /// A kind in the guardrail.
    #[error("the guardrail {path}: {field}: {source}")]
    GuardrailKind {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What is wrong.
        source: InvalidKindPattern,
    },
    /// A service account in the guardrail.
    #[error("the guardrail {path}: spec.impersonate: {source}")]
    GuardrailAccount {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: InvalidAccountPattern,
    },
    /// A rule of the guardrail that is about no app, or lets its apps run as nobody.
    #[error("the guardrail {path}: a rule of spec.impersonate needs apps, and serviceAccounts or agentsOwn: true")]
    GuardrailRule {
        /// The file.
        path: PathBuf,
    },
    /// A namespace that the agent cannot be installed for.
    #[error("namespaces: \"{namespace}\" {problem}")]
    Namespaces {
        /// What was read.
        namespace: String,
        /// What is wrong with it, and what to do.
        problem: &'static str,
    },
    /// The file is not a guardrail.
    #[error("{path} says apiVersion {api_version:?} and kind {kind:?}; a guardrail is capstan.dev/v1 and Guardrail")]
    NoGuardrail {
        /// The file.
        path: PathBuf,
        /// What it says.
        api_version: String,
        /// What it says.
        kind: String,
    },
    /// The token stands in two places.
    #[error("both token and tokenFile are set; keep one")]
    TwoTokens,
}

impl Flags {
    /// All layers together.
    pub fn resolve(self) -> Result<ProcessConfig, SettingsError> {
        let file: Settings = self.config.as_deref().map(read_config).transpose()?.unwrap_or_default();
        let given = |setting, flag, environment| SettingsError::Missing { setting, flag, environment };
        // An empty variable is what a manifest leaves behind whose value was taken out.
        let set = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let hub = set(self.hub).or(file.hub).ok_or_else(|| given("hub", "hub", "CAPSTAN_AGENT_HUB"))?;
        let enrolment = set(self.enrolment).or(file.enrolment).ok_or_else(|| given("enrolment", "enrolment", "CAPSTAN_AGENT_ENROLMENT"))?;
        let ca_pin = set(self.ca_pin).or(file.ca_pin);
        let namespace = layered(self.namespace, file.namespace, DEFAULT_NAMESPACE.to_owned());
        let mut guardrail = match self.guardrail.or(file.guardrail) {
            Some(path) => read_config::<GuardrailFile>(&path)?.into_guardrail(&path, &namespace)?,
            None => Guardrail::open(&namespace),
        };
        guardrail.installed_for = installed_for(self.namespaces.or(file.namespaces), &namespace)?;
        Ok(ProcessConfig {
            agent: AgentConfig {
                data_dir: layered(self.data_dir, file.data_dir, PathBuf::from(DEFAULT_DATA_DIR)),
                namespace,
                guardrail,
                hub: hub.parse()?,
                enrolment: enrolment.parse()?,
                ca_pin: ca_pin.map(|pin| pin.parse()).transpose()?,
                // A token of a nearer layer wins over both of the file.
                token: match token(self.token, self.token_file)? {
                    None => token(file.token, file.token_file)?,
                    nearer => nearer,
                },
                admin_listen: listen(&layered(self.admin_listen, file.admin_listen, DEFAULT_ADMIN.to_owned()))?,
            },
            kubeconfig: self.kubeconfig.or(file.kubeconfig),
            logs: LogConfig {
                format: self.log_format.or(file.log_format).map_or(Ok(LogFormat::default()), |format| LogFormat::from_str(&format))?,
                filter: layered(self.log, file.log, DEFAULT_LOG.to_owned()),
            },
        })
    }
}

/// The guardrail's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GuardrailFile {
    api_version: String,
    kind: String,
    #[serde(default, rename = "metadata")]
    _metadata: serde_json::Value,
    #[serde(default)]
    spec: GuardrailSpec,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct GuardrailSpec {
    namespaces: Option<Vec<String>>,
    cluster_scoped: Option<Vec<String>>,
    kinds: Option<Vec<String>>,
    deny: Vec<String>,
    secret_types: Option<BTreeSet<String>>,
    deny_namespace_labels: Vec<String>,
    impersonate: Option<Vec<AccountRuleFile>>,
    deletions_per_hour: Option<u32>,
    crash_lines: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct AccountRuleFile {
    apps: Vec<String>,
    service_accounts: Vec<String>,
    agents_own: bool,
    only_in_accounts_namespace: bool,
}

impl AccountRuleFile {
    fn into_rule(self, path: &Path) -> Result<AccountRule, SettingsError> {
        if self.apps.is_empty() || (self.service_accounts.is_empty() && !self.agents_own) {
            return Err(SettingsError::GuardrailRule { path: path.to_owned() });
        }
        let accounts = self.service_accounts.iter().map(|text| text.parse()).collect::<Result<_, _>>();
        Ok(AccountRule {
            apps: self.apps.into_iter().map(Pattern::new).collect(),
            accounts: accounts.map_err(|source| SettingsError::GuardrailAccount { path: path.to_owned(), source })?,
            agents_own: self.agents_own,
            only_in_accounts_namespace: self.only_in_accounts_namespace,
        })
    }
}

impl GuardrailFile {
    fn into_guardrail(self, path: &Path, own_namespace: &str) -> Result<Guardrail, SettingsError> {
        if (self.api_version.as_str(), self.kind.as_str()) != ("capstan.dev/v1", "Guardrail") {
            return Err(SettingsError::NoGuardrail { path: path.to_owned(), api_version: self.api_version, kind: self.kind });
        }
        let kinds = |field, texts: Vec<String>| -> Result<Vec<KindPattern>, SettingsError> {
            let parsed = texts.into_iter().map(|text| text.parse());
            parsed.collect::<Result<_, _>>().map_err(|source| SettingsError::GuardrailKind { path: path.to_owned(), field, source })
        };
        Ok(Guardrail {
            own_namespace: own_namespace.to_owned(),
            namespaces: self.spec.namespaces.map(|names| names.into_iter().map(Pattern::new).collect()),
            cluster_scoped: self.spec.cluster_scoped.map(|texts| kinds("spec.clusterScoped", texts)).transpose()?,
            kinds: self.spec.kinds.map(|texts| kinds("spec.kinds", texts)).transpose()?,
            deny: kinds("spec.deny", self.spec.deny)?,
            secret_types: self.spec.secret_types,
            deny_namespace_labels: self.spec.deny_namespace_labels.into_iter().map(Pattern::new).collect(),
            impersonate: self
                .spec
                .impersonate
                .map(|rules| rules.into_iter().map(|rule| rule.into_rule(path)).collect::<Result<_, _>>())
                .transpose()?,
            installed_for: None,
            deletions_per_hour: self.spec.deletions_per_hour,
            crash_lines: self.spec.crash_lines.unwrap_or(true),
        })
    }
}

/// The namespaces that the agent is installed for; the whole cluster if `None`.
fn installed_for(namespaces: Option<Vec<String>>, own: &str) -> Result<Option<BTreeSet<String>>, SettingsError> {
    // An empty variable is what a manifest leaves behind whose value was taken out.
    let named = namespaces.into_iter().flatten().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    let named: BTreeSet<String> = named.collect();
    let is_name = |name: &str| name.len() <= 63 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    for name in &named {
        let problem = if name == own {
            "is the agent's own namespace, in which it writes nothing for a hub; install the agent in one of its own"
        } else if !is_name(name) {
            "is no namespace; write their names, separated by commas"
        } else {
            continue;
        };
        return Err(SettingsError::Namespaces { namespace: name.clone(), problem });
    }
    Ok((!named.is_empty()).then_some(named))
}

fn token(text: Option<String>, file: Option<PathBuf>) -> Result<Option<Token>, SettingsError> {
    // An empty variable is what a manifest leaves behind whose token was taken out after the enrolment.
    match (text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()), file) {
        (Some(_), Some(_)) => Err(SettingsError::TwoTokens),
        (Some(text), None) => Ok(Some(Token::Text(Secret::new(text.into_bytes())))),
        (None, file) => Ok(file.map(Token::File)),
    }
}

fn listen(text: &str) -> Result<Option<SocketAddr>, SettingsError> {
    match text {
        "none" => Ok(None),
        address => address.parse().map(Some).map_err(|_| SettingsError::Listen { text: address.chars().take(80).collect() }),
    }
}

impl Token {
    /// The token itself.
    ///
    /// # Errors
    /// With the path if its file cannot be read.
    pub(crate) fn read(&self) -> Result<Secret, (PathBuf, std::io::Error)> {
        match self {
            Self::Text(secret) => Ok(secret.clone()),
            Self::File(path) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(Secret::new(text.trim().as_bytes().to_vec())),
                Err(error) => Err((path.clone(), error)),
            },
        }
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flags").field("config", &self.config).field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}
