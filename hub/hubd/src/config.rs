//! What an operator may set of a hub: by file, environment and flags, each with a default.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use hub_source::{CertificateAuthorities, ChartRepositorySpec, Credentials, GitUrl, NamedBy, ReferenceFields, SourceSpec};
use serde::Deserialize;
use shared_daemon::{LogConfig, layered, read_config};
use shared_model::{Clock, SourceName, Timestamp};

/// The hub's flags. Each can also be given by its environment variable or in the configuration file; the flag wins over the environment, the
/// environment over the file.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "capstan-hub", version, about = "The hub of a Capstan fleet: reads Git, renders, and hands each cluster its signed index")]
pub struct Arguments {
    /// A YAML file with the settings below in camelCase, and with `sources`.
    #[arg(long, env = "CAPSTAN_HUB_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where the hub keeps its state [default: /var/lib/capstan-hub].
    #[arg(long, env = "CAPSTAN_HUB_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The file with the key that seals the hub's secrets; made at the first start [default: hub.key in the data directory]. Keep it elsewhere
    /// if the data directory is copied.
    #[arg(long, env = "CAPSTAN_HUB_KEY_FILE")]
    pub key_file: Option<PathBuf>,
    /// Where the HTTP API listens [default: 127.0.0.1:8080].
    #[arg(long, env = "CAPSTAN_HUB_LISTEN_API")]
    pub listen_api: Option<SocketAddr>,
    /// Where agents connect [default: 0.0.0.0:8443].
    #[arg(long, env = "CAPSTAN_HUB_LISTEN_AGENTS")]
    pub listen_agents: Option<SocketAddr>,
    /// Where agents enrol [default: 0.0.0.0:8444].
    #[arg(long, env = "CAPSTAN_HUB_LISTEN_ENROLMENT")]
    pub listen_enrolment: Option<SocketAddr>,
    /// Where metrics and readiness are served [default: 127.0.0.1:9464].
    #[arg(long, env = "CAPSTAN_HUB_LISTEN_ADMIN")]
    pub listen_admin: Option<SocketAddr>,
    /// The names and addresses by which agents reach the hub; they stand in its certificate. The first one stands in enrolment commands
    /// [default: localhost, 127.0.0.1].
    #[arg(long, env = "CAPSTAN_HUB_NAMES", value_delimiter = ',')]
    pub names: Option<Vec<String>>,
    /// The file with the token of the HTTP API; made at the first start [default: bootstrap-token in the data directory].
    #[arg(long, env = "CAPSTAN_HUB_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Whether an operator must accept each new cluster [default: false].
    #[arg(long, env = "CAPSTAN_HUB_ACCEPT_CLUSTERS")]
    pub accept_clusters: Option<bool>,
    /// A Git repository with the fleet, if there is only one source: its URL or path.
    #[arg(long, env = "CAPSTAN_HUB_FLEET")]
    pub fleet: Option<String>,
    /// Log lines as `text` or `json` [default: text].
    #[arg(long, env = "CAPSTAN_HUB_LOG_FORMAT")]
    pub log_format: Option<String>,
    /// Which log lines, as tracing's filter says it [default: info].
    #[arg(long, env = "CAPSTAN_HUB_LOG")]
    pub log: Option<String>,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct File {
    data_dir: Option<PathBuf>,
    key_file: Option<PathBuf>,
    listen_api: Option<SocketAddr>,
    listen_agents: Option<SocketAddr>,
    listen_enrolment: Option<SocketAddr>,
    listen_admin: Option<SocketAddr>,
    names: Option<Vec<String>>,
    token_file: Option<PathBuf>,
    accept_clusters: Option<bool>,
    log_format: Option<String>,
    log: Option<String>,
    /// The source that holds the fleet repository; the first if not said.
    fleet_source: Option<String>,
    sources: Vec<SourceFile>,
    /// Where charts may come from that apps name by their repository.
    chart_repositories: Vec<ChartRepositoryFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ChartRepositoryFile {
    name: String,
    /// `https://…`, `http://…` or `oci://…`; of a registry, also everything below it.
    url: String,
    /// Seconds between two looks for a chart.
    interval_seconds: Option<u64>,
    username: Option<String>,
    password_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
    /// Other hosts that are shown the credentials: where archives or the token server are.
    #[serde(default)]
    credential_hosts: Vec<String>,
    ca_file: Option<PathBuf>,
    /// A registry without TLS.
    #[serde(default)]
    plain_http: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SourceFile {
    name: String,
    url: String,
    #[serde(default, rename = "ref")]
    reference: RefFile,
    /// Seconds between two looks at the remote.
    interval_seconds: Option<u64>,
    username: Option<String>,
    password_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
    ssh_key_file: Option<PathBuf>,
    known_hosts_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    ignore: Option<String>,
    /// Whether kustomizations of all sources may name it by its URL, as a remote base.
    #[serde(default)]
    remote_base: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RefFile {
    branch: Option<String>,
    tag: Option<String>,
    semver: Option<String>,
    name: Option<String>,
    commit: Option<String>,
}

/// A hub's settings, complete.
#[derive(Clone)]
pub struct HubConfig {
    /// Where the hub keeps its state.
    pub data_dir: PathBuf,
    /// The file with the key that seals its secrets.
    pub key_file: PathBuf,
    /// Where the HTTP API listens.
    pub listen_api: SocketAddr,
    /// Where agents connect.
    pub listen_agents: SocketAddr,
    /// Where agents enrol.
    pub listen_enrolment: SocketAddr,
    /// Where metrics and readiness are served.
    pub listen_admin: SocketAddr,
    /// The names in the hub's certificate.
    pub names: Vec<String>,
    /// The file with the API's token.
    pub token_file: PathBuf,
    /// An operator must accept each new cluster.
    pub accept_clusters: bool,
    /// The sources; the fleet repository is one of them.
    pub sources: Vec<SourceSpec>,
    /// Which source is the fleet repository.
    pub fleet_source: SourceName,
    /// The repositories of charts that apps may name. Projects may permit an app fewer of them.
    pub chart_repositories: Vec<ChartRepositorySpec>,
    /// The sources that kustomizations may name by their URLs, as remote bases. Projects may permit an app fewer of them.
    pub remote_bases: BTreeSet<SourceName>,
    /// How logs are written.
    pub logs: LogConfig,
    /// The clock.
    pub clock: Clock,
}

impl HubConfig {
    /// Reads the file that the arguments name, and lays arguments over it.
    pub fn load(arguments: Arguments) -> anyhow::Result<Self> {
        let file: File = match &arguments.config {
            Some(path) => read_config(path)?,
            None => File::default(),
        };
        let port = |port: u16, open: bool| SocketAddr::from((if open { [0, 0, 0, 0] } else { [127, 0, 0, 1] }, port));
        let data_dir = layered(arguments.data_dir, file.data_dir, PathBuf::from("/var/lib/capstan-hub"));
        let mut sources = Vec::new();
        let mut remote_bases = BTreeSet::new();
        if let Some(url) = arguments.fleet {
            let fleet = SourceFile { name: "fleet".to_owned(), url, ..SourceFile::empty() };
            sources.push(fleet.into_spec()?);
        }
        for source in file.sources {
            let (name, is_remote_base) = (source.name.clone(), source.remote_base);
            let spec = source.into_spec().with_context(|| format!("the source {name:?} is not as it should be"))?;
            if is_remote_base {
                remote_bases.insert(spec.name.clone());
            }
            sources.push(spec);
        }
        crate::mounts::remote_bases(&sources, &remote_bases)?;
        let mut chart_repositories: Vec<ChartRepositorySpec> = Vec::new();
        for repository in file.chart_repositories {
            let name = repository.name.clone();
            let spec = repository.into_spec().with_context(|| format!("the chart repository {name:?} is not as it should be"))?;
            let is_taken =
                chart_repositories.iter().any(|other| other.name == spec.name) || sources.iter().any(|source| source.name == spec.name);
            if is_taken {
                bail!("two sources are called {}; projects permit sources by name: rename one", spec.name);
            }
            chart_repositories.push(spec);
        }
        let Some(first) = sources.first() else {
            bail!("there is no source: give the fleet repository with --fleet URL, or sources in the configuration file");
        };
        let fleet_source = match file.fleet_source {
            Some(name) => name.parse().context("fleetSource")?,
            None => first.name.clone(),
        };
        if !sources.iter().any(|source| source.name == fleet_source) {
            bail!("fleetSource names {fleet_source}, which is not among the sources");
        }
        let format = layered(arguments.log_format, file.log_format, "text".to_owned());
        Ok(Self {
            key_file: layered(arguments.key_file, file.key_file, data_dir.join("hub.key")),
            token_file: layered(arguments.token_file, file.token_file, data_dir.join("bootstrap-token")),
            data_dir,
            listen_api: layered(arguments.listen_api, file.listen_api, port(8080, false)),
            listen_agents: layered(arguments.listen_agents, file.listen_agents, port(8443, true)),
            listen_enrolment: layered(arguments.listen_enrolment, file.listen_enrolment, port(8444, true)),
            listen_admin: layered(arguments.listen_admin, file.listen_admin, port(9464, false)),
            names: layered(arguments.names, file.names, vec!["localhost".to_owned(), "127.0.0.1".to_owned()]),
            accept_clusters: layered(arguments.accept_clusters, file.accept_clusters, false),
            sources,
            fleet_source,
            remote_bases,
            chart_repositories,
            logs: LogConfig { format: format.parse()?, filter: layered(arguments.log, file.log, "info".to_owned()) },
            clock: Clock::new(Timestamp::now),
        })
    }
}

impl SourceFile {
    fn empty() -> Self {
        Self {
            name: String::new(),
            url: String::new(),
            reference: RefFile::default(),
            interval_seconds: None,
            username: None,
            password_file: None,
            token_file: None,
            ssh_key_file: None,
            known_hosts_file: None,
            ca_file: None,
            ignore: None,
            remote_base: false,
        }
    }

    fn into_spec(self) -> anyhow::Result<SourceSpec> {
        let url: GitUrl = self.url.parse()?;
        let RefFile { branch, tag, semver, name, commit } = self.reference;
        let reference = ReferenceFields { commit, name, semver, tag, branch }.choose()?;
        let mut spec = SourceSpec::new(self.name.parse()?, url, reference);
        if let Some(seconds) = self.interval_seconds {
            spec.interval = Duration::from_secs(seconds.max(1));
        }
        spec.credentials = match (self.username, self.password_file, self.token_file, self.ssh_key_file, self.known_hosts_file) {
            (None, None, None, None, None) => None,
            (Some(user), Some(file), None, None, None) => Some(Credentials::basic(&user, &secret(&file)?)),
            (None, None, Some(file), None, None) => Some(Credentials::bearer(&secret(&file)?)),
            (None, None, None, Some(key), known_hosts) => Some(Credentials::Ssh { key, known_hosts }),
            _ => bail!("give either username and passwordFile, or tokenFile, or sshKeyFile with a knownHostsFile if need be"),
        };
        spec.ca = self.ca_file.map(|path| authorities(&path)).transpose()?;
        spec.ignore = self.ignore;
        Ok(spec)
    }
}

impl ChartRepositoryFile {
    fn into_spec(self) -> anyhow::Result<ChartRepositorySpec> {
        let mut spec = ChartRepositorySpec::new(self.name.parse()?, self.url.parse()?, NamedBy::Operator);
        if let Some(seconds) = self.interval_seconds {
            spec.interval = Duration::from_secs(seconds.max(1));
        }
        spec.credentials = match (self.username, self.password_file, self.token_file) {
            (None, None, None) => None,
            (Some(user), Some(file), None) => Some(Credentials::basic(&user, &secret(&file)?)),
            (None, None, Some(file)) => Some(Credentials::bearer(&secret(&file)?)),
            _ => bail!("give either username and passwordFile, or tokenFile"),
        };
        spec.credential_hosts = self.credential_hosts.into_iter().collect();
        spec.ca = self.ca_file.map(|path| authorities(&path)).transpose()?;
        spec.plain_http = self.plain_http;
        Ok(spec)
    }
}

fn authorities(path: &Path) -> anyhow::Result<CertificateAuthorities> {
    let pem = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(CertificateAuthorities::from_pem(&pem)?)
}

/// The secret in a file, without the line's end.
fn secret(path: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, arguments: Arguments) -> anyhow::Result<HubConfig> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("hub.yaml");
        fs::write(&path, text)?;
        HubConfig::load(Arguments { config: Some(path), ..arguments })
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let text = "dataDir: /data\nlistenApi: 127.0.0.1:1\nsources:\n- {name: fleet, url: 'https://git.example.com/fleet.git', ref: {branch: prod}}\n";
        let flags = Arguments { listen_api: Some("127.0.0.1:2".parse().expect("valid")), ..Arguments::default() };
        let config = load(text, flags).expect("complete");
        assert_eq!((config.listen_api.port(), config.listen_agents.port()), (2, 8443));
        assert_eq!(config.key_file, Path::new("/data/hub.key"));
        assert_eq!(config.fleet_source.as_str(), "fleet");
    }

    #[test]
    fn what_is_missing_or_contradictory_is_said() {
        let cases = [
            ("{}", "there is no source"),
            ("sourcs: []", "unknown field `sourcs`"),
            ("fleetSource: other\nsources: [{name: fleet, url: /srv/fleet}]", "not among the sources"),
            ("sources: [{name: fleet, url: /srv/fleet, username: x}]", "username and passwordFile"),
            ("sources: [{name: Fleet, url: /srv/fleet}]", "no source name"),
            (
                "sources: [{name: fleet, url: /srv/fleet}]\nchartRepositories: [{name: fleet, url: 'oci://registry.example.com'}]",
                "two sources are called fleet",
            ),
            ("sources: [{name: fleet, url: /srv/fleet}]\nchartRepositories: [{name: x, url: 'ftp://x'}]", "no way to fetch charts"),
            ("sources: [{name: fleet, url: /srv/fleet, remoteBase: true}]", "has no URL by which a kustomization could name it"),
        ];
        for (text, expected) in cases {
            let error = load(text, Arguments::default()).err().map(|error| format!("{error:#}")).unwrap_or_default();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
