//! Where charts come from, which chart is followed there, and the bounds on fetching it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;
use shared_model::SourceName;

use super::version::WantedVersion;
use crate::credentials::Credentials;
use crate::spec::CertificateAuthorities;

/// How often a chart is looked for unless its repository says otherwise: what Flux's documentation recommends for Helm repositories. A look
/// costs one request.
pub const CHART_INTERVAL: Duration = Duration::from_secs(600);

/// The longest URL: what common HTTP servers accept in a request line.
const URL_LIMIT: usize = 8192;

/// The longest name of a chart: Helm's limit.
const NAME_LIMIT: usize = 250;

/// The longest path of a repository in a registry, from the distribution specification: 255 with the host.
const REGISTRY_PATH_LIMIT: usize = 255;

/// A place that has charts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartRepositorySpec {
    /// Its name; logs and messages have it.
    pub name: SourceName,
    /// Where it is.
    pub url: ChartRepositoryUrl,
    /// The time between two looks for a chart.
    pub interval: Duration,
    /// What is shown to the server: to its own scheme, host and port alone.
    pub credentials: Option<Credentials>,
    /// Other hosts that are shown the credentials, over TLS, as `host` or `host:port`: where the archives of a repository are, or the token
    /// server of a registry is.
    pub credential_hosts: BTreeSet<String>,
    /// The authorities that may vouch for the repository's own host, instead of those of the system.
    pub ca: Option<CertificateAuthorities>,
    /// A registry is spoken to without TLS. Only an operator can say so.
    pub plain_http: bool,
    /// Who named it, which decides what it may reach.
    pub named_by: NamedBy,
}

impl ChartRepositorySpec {
    /// A repository without credentials.
    pub fn new(name: SourceName, url: ChartRepositoryUrl, named_by: NamedBy) -> Self {
        Self {
            name,
            url,
            interval: CHART_INTERVAL,
            credentials: None,
            credential_hosts: BTreeSet::new(),
            ca: None,
            plain_http: false,
            named_by,
        }
    }
}

/// Who named a place.
///
/// What the place itself leads to (redirects, archives on other hosts, token servers) is never on this machine or link-local, where the
/// metadata services of clouds are, whoever named the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// The operator, in the configuration of the hub: it may be anywhere, and over plain HTTP.
    Operator,
    /// Somebody who can write to the fleet repository: it has TLS, and is not on this machine or link-local either.
    Fleet,
}

/// One chart of a repository, and which of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartSpec {
    /// The chart.
    pub chart: ChartName,
    /// Which version is followed.
    pub version: WantedVersion,
}

/// The bounds on fetching charts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChartLimits {
    /// One refresh from its first to its last byte.
    pub time: Duration,
    /// Silence of the server within it.
    pub stall: Duration,
    /// The `index.yaml` of a repository, in bytes.
    pub index_bytes: usize,
    /// One archive, in bytes.
    pub archive_bytes: usize,
    /// All archives on disk, in bytes. The least recently used go first; those that are followed or read stay.
    pub cache_bytes: u64,
}

impl ChartLimits {
    /// 5 min for a refresh, of which 60 s may be silence (Flux's default timeout); 50 MiB for an index and 10 MiB for an archive (Flux's
    /// limits; an index of 50 MiB at 1 MB/s takes 52 s); 1 GiB on disk: 100 archives of the largest kind, 20,000 of 50 KiB, which is usual.
    pub const DEFAULT: Self = Self {
        time: Duration::from_secs(300),
        stall: Duration::from_secs(60),
        index_bytes: 50 << 20,
        archive_bytes: 10 << 20,
        cache_bytes: 1 << 30,
    };
}

/// The name of a chart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChartName(String);

/// The text is no name of a chart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no name of a chart: it has up to 250 letters, digits, \"-\", \"_\" and \".\", and does not begin with \".\"")]
pub struct InvalidChartName {
    /// What was read, cut to 80 characters.
    pub text: String,
}

impl ChartName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ChartName {
    type Err = InvalidChartName;

    fn from_str(text: &str) -> Result<Self, InvalidChartName> {
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > NAME_LIMIT || text.starts_with('.') || !text.chars().all(named) {
            return Err(InvalidChartName { text: text.chars().take(80).collect() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ChartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The address of a chart repository or of a path in a registry, without any secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChartRepositoryUrl {
    /// `https://` or `http://`: what has an `index.yaml`.
    Http(Url),
    /// `oci://host/path`: the chart's name follows.
    Oci {
        /// The host and, if it is not the scheme's own, the port.
        authority: String,
        /// The path without a slash at either end; may be empty.
        path: String,
    },
}

/// The text is no address of a chart repository. What was written is not repeated, because it could hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChartUrl {
    /// A user or password.
    #[error("the URL of the chart repository holds a user or password; remove it, and name the credentials in the source's settings")]
    HoldsCredentials,
    /// A scheme that is not understood.
    #[error("\"{scheme}\" is no way to fetch charts; use https://, http:// or oci://")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// Something else.
    #[error("the URL of the chart repository is wrong: {rule}")]
    Malformed {
        /// The rule that it breaks.
        rule: &'static str,
    },
}

impl ChartRepositoryUrl {
    /// Takes the address of one chart in a registry, `oci://host/path/chart`, apart.
    pub fn parse_chart(text: &str) -> Result<(Self, ChartName), InvalidChartUrl> {
        const RULE: InvalidChartUrl = InvalidChartUrl::Malformed { rule: "write the address of a chart as oci://host/path/chart" };
        let (place, chart) = text.trim_end_matches('/').rsplit_once('/').ok_or(RULE)?;
        let place: Self = place.parse()?;
        match (&place, chart.parse()) {
            (Self::Oci { .. }, Ok(chart)) => Ok((place, chart)),
            _ => Err(RULE),
        }
    }

    /// Where the transport begins: the scheme, host and port that credentials are for.
    pub(crate) fn base(&self, plain_http: bool) -> Result<Url, InvalidChartUrl> {
        match self {
            Self::Http(url) => Ok(url.clone()),
            Self::Oci { authority, .. } => {
                let scheme = if plain_http { "http" } else { "https" };
                Url::parse(&format!("{scheme}://{authority}/")).map_err(|_| InvalidChartUrl::Malformed { rule: HOST_RULE })
            }
        }
    }
}

const HOST_RULE: &str = "after the scheme comes a host, perhaps with \":\" and a port";

impl FromStr for ChartRepositoryUrl {
    type Err = InvalidChartUrl;

    fn from_str(text: &str) -> Result<Self, InvalidChartUrl> {
        if text.is_empty() || text.len() > URL_LIMIT {
            return Err(InvalidChartUrl::Malformed { rule: "it has 1 to 8192 bytes" });
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(InvalidChartUrl::Malformed { rule: "it holds no spaces and control characters" });
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(InvalidChartUrl::Malformed { rule: "it begins with https://, http:// or oci://" });
        };
        match scheme {
            "https" | "http" => parse_http(text),
            "oci" => parse_oci(rest),
            _ => Err(InvalidChartUrl::Scheme { scheme: scheme.chars().take(20).collect() }),
        }
    }
}

fn parse_http(text: &str) -> Result<ChartRepositoryUrl, InvalidChartUrl> {
    let mut url = Url::parse(text).map_err(|_| InvalidChartUrl::Malformed { rule: HOST_RULE })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidChartUrl::HoldsCredentials);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(InvalidChartUrl::Malformed { rule: "a chart repository has no \"?\" or \"#\" in its URL" });
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(ChartRepositoryUrl::Http(url))
}

fn parse_oci(rest: &str) -> Result<ChartRepositoryUrl, InvalidChartUrl> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err(InvalidChartUrl::HoldsCredentials);
    }
    let path = path.trim_end_matches('/');
    if path.len() > REGISTRY_PATH_LIMIT || !(path.is_empty() || path.split('/').all(is_path_component)) {
        return Err(InvalidChartUrl::Malformed {
            rule: "a path in a registry has lower-case letters and digits, with \".\", \"_\", \"__\" or \"-\" between them; no tag and no digest",
        });
    }
    // What Docker's own clients do: the web site is no registry.
    let authority = if authority == "docker.io" { "registry-1.docker.io" } else { authority };
    let host = Url::parse(&format!("https://{authority}/")).map_err(|_| InvalidChartUrl::Malformed { rule: HOST_RULE })?;
    if host.host_str().is_none_or(str::is_empty) || host.path() != "/" || host.query().is_some() || host.fragment().is_some() {
        return Err(InvalidChartUrl::Malformed { rule: HOST_RULE });
    }
    Ok(ChartRepositoryUrl::Oci { authority: authority.to_ascii_lowercase(), path: path.to_owned() })
}

/// One step of a repository's path, by the rule of the OCI distribution specification:
/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
pub(crate) fn is_path_component(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !text.starts_with(alphanumeric) || !text.ends_with(alphanumeric) {
        return false;
    }
    let separators = text.split(alphanumeric).filter(|separator| !separator.is_empty());
    separators.into_iter().all(|separator| matches!(separator, "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

impl fmt::Display for ChartRepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => f.write_str(url.as_str().trim_end_matches('/')),
            Self::Oci { authority, path } if path.is_empty() => write!(f, "oci://{authority}"),
            Self::Oci { authority, path } => write!(f, "oci://{authority}/{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_address_prints_as_it_is_read() {
        for (text, printed) in [
            ("https://charts.example.com", "https://charts.example.com"),
            ("https://charts.example.com/stable/", "https://charts.example.com/stable"),
            ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
            ("oci://ghcr.io/acme/charts", "oci://ghcr.io/acme/charts"),
            ("oci://localhost:5000/", "oci://localhost:5000"),
            ("oci://docker.io/bitnamicharts", "oci://registry-1.docker.io/bitnamicharts"),
            ("oci://[::1]:5000/a", "oci://[::1]:5000/a"),
        ] {
            assert_eq!(text.parse::<ChartRepositoryUrl>().map(|url| url.to_string()), Ok(printed.to_owned()));
        }
        // As a browser reads it: the address rules see what will be connected to.
        assert_eq!("http://0x7f.1/".parse::<ChartRepositoryUrl>().map(|url| url.to_string()), Ok("http://127.0.0.1".to_owned()));
    }

    #[test]
    fn nothing_that_holds_a_secret_or_is_no_repository_is_an_address() {
        for text in [
            "",
            "charts.example.com",
            "file:///etc",
            "ftp://host/x",
            "https://user:hunter2@host/x",
            "https://hunter2@host/x",
            "https://host/x?token=hunter2",
            "https://host/x#hunter2",
            "https://",
            "http://host:99999/",
            "https://host/ x",
            "oci://user:hunter2@host/x",
            "oci://host/Upper",
            "oci://host/a//b",
            "oci://host/../b",
            "oci://host/a:1.2.3",
            "oci://host/a@sha256:0",
            "oci:///a",
            "oci://ho?st/a",
        ] {
            let error = text.parse::<ChartRepositoryUrl>().map(|url| url.to_string()).expect_err(text);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_address_of_a_chart_in_a_registry_has_two_parts() {
        let (place, chart) = ChartRepositoryUrl::parse_chart("oci://ghcr.io/acme/charts/web").expect("valid");
        assert_eq!((place.to_string().as_str(), chart.as_str()), ("oci://ghcr.io/acme/charts", "web"));
        for bad in ["https://host/charts/web", "oci://host", "web", "oci://host/a/..", "oci://host/a/web:1"] {
            assert!(ChartRepositoryUrl::parse_chart(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_name_of_a_chart_is_a_file_name_and_no_path() {
        for good in ["web", "kube-prometheus-stack", "A_b.c1"] {
            assert!(good.parse::<ChartName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "../a", "a\\b", "a b", ".hidden", "a\0", "ä", &"x".repeat(251)] {
            assert!(bad.parse::<ChartName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_in_a_registry_follows_the_distribution_specification() {
        for (text, is) in [("a", true), ("a-b", true), ("a--b", true), ("a__b", true), ("a.b_c", true), ("1", true)].into_iter().chain([
            ("", false),
            ("A", false),
            ("a___b", false),
            ("a..b", false),
            ("-a", false),
            ("a-", false),
            ("a-.b", false),
        ]) {
            assert_eq!(is_path_component(text), is, "{text}");
        }
    }
}
