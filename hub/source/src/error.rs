//! Why a source could not be refreshed, in words for the operator, and how the failures of the Git library become them.

use std::error::Error as StdError;
use std::time::Duration;

use gix::protocol::transport::client::AuthenticationRequired;

use crate::spec::{Limits, SourceSpec};

/// The longest detail that an error repeats from a server or a library, in characters.
const DETAIL_LIMIT: usize = 400;

/// Why a source could not be refreshed. No message holds a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The place is there and holds no Git repository.
    #[error("{url} is no Git repository ({detail}); check the URL, and that the credentials may see it")]
    NotARepository {
        /// The place.
        url: String,
        /// What was found instead.
        detail: String,
    },
    /// A local path that is not there.
    #[error("{path} does not exist on the machine of the hub; check the path, and that it is mounted")]
    LocalPathMissing {
        /// The path.
        path: String,
    },
    /// The server cannot be reached, or broke off.
    #[error("{url} cannot be reached ({detail}); check the host, the network and the server")]
    Unreachable {
        /// The place.
        url: String,
        /// What failed.
        detail: String,
    },
    /// The server is too slow.
    #[error("{url} did not finish within {} s; look at the server and the network, or raise the source's time limit", after.as_secs_f32())]
    Timeout {
        /// The place.
        url: String,
        /// The limit.
        after: Duration,
    },
    /// The server wants credentials and the source has none.
    #[error("{url} asks for credentials, and the source names none; add them to the source")]
    AuthenticationNeeded {
        /// The place.
        url: String,
    },
    /// The server does not take the credentials.
    #[error("{url} refuses the credentials of the source; check that they are current and may read the repository")]
    AuthenticationRefused {
        /// The place.
        url: String,
    },
    /// The credentials would cross a network in clear text, or do not fit the kind of URL.
    #[error("the credentials of the source cannot be used with {url}: {reason}")]
    CredentialsUnsafe {
        /// The place.
        url: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// No such reference.
    #[error("{url} has no {wanted}{}; correct the source's reference, or push it", suggestion(similar))]
    UnknownReference {
        /// The place.
        url: String,
        /// What is followed, `branch=main`.
        wanted: String,
        /// Names there that look like it.
        similar: Vec<String>,
    },
    /// No tag in the range.
    #[error("{url} has no tag in the range {range} (newest versions: {}); correct the range, or push a tag", listed_or_none(newest))]
    NoVersionMatches {
        /// The place.
        url: String,
        /// The range.
        range: String,
        /// The newest version tags there.
        newest: Vec<String>,
    },
    /// The server's certificate is not trusted.
    #[error("the certificate of {url} is not trusted ({detail}); give the source the CA that signed it, or renew it")]
    TlsUntrusted {
        /// The place.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The server's ssh key is not known.
    #[error("the ssh host key of {url} is not known or has changed; put the right one in the source's known_hosts file")]
    HostKeyUnknown {
        /// The place.
        url: String,
    },
    /// There is no `ssh`.
    #[error("{url} needs the program {program}, which cannot be run ({detail}); install OpenSSH, or use https")]
    SshMissing {
        /// The place.
        url: String,
        /// The program.
        program: String,
        /// Why.
        detail: String,
    },
    /// The refresh was called off, as when the hub stops.
    #[error("the refresh was called off")]
    Interrupted,
    /// More than the source may bring.
    #[error("{url} sent more than {limit} bytes; make the repository smaller, or raise the source's limit")]
    TooLarge {
        /// The place.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// One object is larger than the hub takes into memory.
    #[error("{url} holds a file of more than {limit} bytes ({detail}); take it out of the history, or raise the source's limit")]
    ObjectTooLarge {
        /// The place.
        url: String,
        /// The limit in bytes.
        limit: u64,
        /// What was refused.
        detail: String,
    },
    /// The server said something that is not Git, or that is not expected.
    #[error("{url} answered in an unexpected way ({detail}); check that it is a Git server with smart HTTP")]
    Unexpected {
        /// The place.
        url: String,
        /// What it said.
        detail: String,
    },
    /// Objects are missing or damaged.
    #[error("the objects of {url} are damaged or incomplete ({detail}); run `git fsck` there; a damaged mirror can be deleted")]
    Corrupt {
        /// The place.
        url: String,
        /// What is wrong.
        detail: String,
    },
    /// The place is there and has no charts.
    #[error("{url} is no chart repository ({detail}); check the URL: a repository has an index.yaml there, a registry is written oci://")]
    NotAChartRepository {
        /// The place.
        url: String,
        /// What was found instead.
        detail: String,
    },
    /// The repository does not have the chart.
    #[error("{url} has no chart {chart}{}; correct the name, or publish it", suggestion(similar))]
    UnknownChart {
        /// The place.
        url: String,
        /// The chart.
        chart: String,
        /// Names there that look like it.
        similar: Vec<String>,
    },
    /// No version of the chart is the wanted one.
    #[error("{url} has no version {wanted} of chart {chart} (newest: {}); correct the version, or publish one", listed_or_none(newest))]
    NoChartVersion {
        /// The place.
        url: String,
        /// The chart.
        chart: String,
        /// The version or range.
        wanted: String,
        /// The newest versions there.
        newest: Vec<String>,
    },
    /// What came is not what was announced.
    #[error("{url} gave other content than was announced: {expected} was expected and {actual} came; refresh, or publish the chart anew")]
    WrongDigest {
        /// The place.
        url: String,
        /// The digest that the index or the registry names.
        expected: String,
        /// The digest of what came.
        actual: String,
    },
    /// What came is no chart.
    #[error("{url} is no chart ({detail}); check the address, and that it was published with helm")]
    NotAChart {
        /// The place.
        url: String,
        /// What it is instead.
        detail: String,
    },
    /// The address may not be connected to.
    #[error("{url} is not asked: {detail}; correct the address, or let an operator configure it as a source")]
    AddressRefused {
        /// The place.
        url: String,
        /// Why.
        detail: String,
    },
    /// A redirect that is not followed.
    #[error("{url} leads somewhere else and is not followed: {detail}")]
    RedirectRefused {
        /// The place.
        url: String,
        /// Why.
        detail: String,
    },
    /// A registry sends its credentials' user to another host.
    #[error("{url} wants the credentials of the source to be shown to {host}; if that is right, name {host} among its credential hosts")]
    TokenServer {
        /// The registry.
        url: String,
        /// The host of its token server.
        host: String,
    },
    /// The mirror cannot be written.
    #[error("the mirror in {path} cannot be written ({detail}); check the disk's free space and the permissions")]
    Disk {
        /// The path.
        path: String,
        /// What failed.
        detail: String,
    },
    /// The code that fetches is wrong.
    #[error("BUG: fetching {url} panicked ({detail}); please report it")]
    Panicked {
        /// The place.
        url: String,
        /// What it said.
        detail: String,
    },
}

fn suggestion(similar: &[String]) -> String {
    if similar.is_empty() { String::new() } else { format!(" (did you mean {}?)", similar.join(", ")) }
}

fn listed_or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// All that an error says, from the outside in, in one line of bounded length.
pub(crate) fn detail_of(error: &gix::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for text in error.iter_errors().map(ToString::to_string).filter(|text| !text.is_empty()) {
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
    }
    cut(&parts.join(": "))
}

pub(crate) fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(DETAIL_LIMIT).collect()
}

/// What a failed conversation with a remote means.
pub(crate) fn classify(spec: &SourceSpec, limits: &Limits, error: &gix::Error) -> FetchError {
    let url = spec.url.to_string();
    let facts = Facts::of(error);
    let detail = facts.detail.clone();
    if facts.unauthenticated {
        return if spec.credentials.is_some() {
            FetchError::AuthenticationRefused { url }
        } else {
            FetchError::AuthenticationNeeded { url }
        };
    }
    if facts.says(&["not our ref", "couldn't find remote ref"]) {
        return FetchError::UnknownReference { url, wanted: spec.reference.to_string().replacen('=', " ", 1), similar: Vec::new() };
    }
    if facts.says(&["certificate", "unknownissuer", "unknown issuer"]) {
        return FetchError::TlsUntrusted { url, detail };
    }
    if facts.says(&["no space left", "read-only file system", "os error 28"]) {
        return FetchError::Disk { path: "the mirror's directory".to_owned(), detail };
    }
    match facts.status {
        Some(403) => return FetchError::AuthenticationRefused { url },
        Some(404 | 410) => return FetchError::NotARepository { url, detail: "the server says that it does not exist".to_owned() },
        Some(429 | 500..) => return FetchError::Unreachable { url, detail },
        _ => {}
    }
    if facts.says(&["indicate 'smart' protocol", "not exported", "no such repository", "does not appear to be a git repository"]) {
        return FetchError::NotARepository { url, detail };
    }
    if facts.unreachable {
        return FetchError::Unreachable { url, detail };
    }
    if facts.says(&["too large to fit in memory", "allocation limit"]) {
        return FetchError::ObjectTooLarge { url, limit: limits.object_bytes, detail };
    }
    if facts.says(&["corrupt", "checksum", "hash mismatch", "failed to write the received pack"]) || facts.corrupted {
        return FetchError::Corrupt { url, detail };
    }
    FetchError::Unexpected { url, detail }
}

/// What can be told from a chain of errors.
struct Facts {
    detail: String,
    lower: String,
    unauthenticated: bool,
    corrupted: bool,
    unreachable: bool,
    status: Option<u16>,
}

impl Facts {
    fn of(error: &gix::Error) -> Self {
        let mut facts = Self {
            detail: detail_of(error),
            lower: String::new(),
            unauthenticated: error.is_unauthenticated(),
            corrupted: error.is_corrupted(),
            unreachable: error.is_retryable(),
            status: None,
        };
        for outer in error.iter_errors() {
            let mut next: Option<&(dyn StdError + 'static)> = Some(outer);
            while let Some(inner) = next {
                facts.note(inner);
                next = inner.source();
            }
        }
        facts.lower = facts.detail.to_lowercase();
        facts
    }

    fn note(&mut self, error: &(dyn StdError + 'static)) {
        if error.is::<AuthenticationRequired>() {
            self.unauthenticated = true;
        }
        if let Some(http) = error.downcast_ref::<reqwest::Error>() {
            self.status = self.status.or(http.status().map(|status| status.as_u16()));
            self.unreachable |= http.status().is_none() && (http.is_connect() || http.is_timeout() || http.is_request());
            let mut source = http.source();
            while let Some(inner) = source {
                let text = inner.to_string();
                if !self.detail.contains(&text) {
                    self.detail = cut(&format!("{}: {text}", self.detail));
                }
                source = inner.source();
            }
        }
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind as Kind;
            self.unreachable |= matches!(
                io.kind(),
                Kind::ConnectionRefused
                    | Kind::ConnectionReset
                    | Kind::ConnectionAborted
                    | Kind::NotConnected
                    | Kind::BrokenPipe
                    | Kind::TimedOut
                    | Kind::WouldBlock
                    | Kind::UnexpectedEof
                    | Kind::HostUnreachable
                    | Kind::NetworkUnreachable
            );
        }
    }

    fn says(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.lower.contains(word))
    }
}
