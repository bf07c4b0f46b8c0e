//! A chart repository for tests: `index.yaml` and archives over HTTPS, with an optional password, an outage at will and a record of every
//! request. What is in the archives is the test's matter.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hyper::header::{ETAG, HeaderValue, IF_NONE_MATCH, WWW_AUTHENTICATE};
use hyper::{Request, Response, StatusCode};

use crate::git_server::Answering;
use crate::web_server::{WebServer, plain, shows};

/// Where the charts are on the server.
const PATH: &str = "/charts/";

/// Entries by chart and version.
type Charts = BTreeMap<(String, String), Entry>;

/// What the index leads to.
enum Entry {
    /// An archive of this server.
    Archive(Bytes),
    /// Some other place.
    Reference(String),
}

/// A running chart repository. Dropping it ends it.
pub struct ChartRepository {
    server: WebServer,
    charts: Arc<Mutex<Charts>>,
}

impl ChartRepository {
    /// Starts a repository without charts that anyone may read.
    ///
    /// # Errors
    /// No port, certificate or thread to be had.
    pub fn start() -> anyhow::Result<Self> {
        Self::serve(None)
    }

    /// Starts a repository that answers 401 to everyone but `user` with `password`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with_password(user: &str, password: &str) -> anyhow::Result<Self> {
        Self::serve(Some((user.to_owned(), password.to_owned())))
    }

    fn serve(password: Option<(String, String)>) -> anyhow::Result<Self> {
        let charts = Arc::new(Mutex::new(Charts::new()));
        let served = Arc::clone(&charts);
        let server = WebServer::start(move |request| {
            if password.as_ref().is_some_and(|(user, password)| !shows(request, user, password)) {
                let mut refusal = plain(StatusCode::UNAUTHORIZED, "user and password needed\n");
                refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"charts\""));
                return refusal;
            }
            answer(request, &lock(&served))
        })?;
        Ok(Self { server, charts })
    }

    /// The URL of the repository.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}{}", self.server.url(), PATH.trim_end_matches('/'))
    }

    /// The certificate of the authority that vouches for the server, in PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.server.ca_pem()
    }

    /// Puts an archive into the repository, in the place of what has the same version.
    pub fn publish(&self, chart: &str, version: &str, archive: &[u8]) {
        let entry = Entry::Archive(Bytes::copy_from_slice(archive));
        lock(&self.charts).insert((chart.to_owned(), version.to_owned()), entry);
    }

    /// Puts an entry into the index that leads somewhere else, such as `oci://host/path:tag`, without a digest.
    pub fn publish_reference(&self, chart: &str, version: &str, url: &str) {
        lock(&self.charts).insert((chart.to_owned(), version.to_owned()), Entry::Reference(url.to_owned()));
    }

    /// Takes a version out of the repository, if it is there.
    pub fn withdraw(&self, chart: &str, version: &str) {
        lock(&self.charts).remove(&(chart.to_owned(), version.to_owned()));
    }

    /// Changes how the server answers, from now on and for requests that wait.
    pub fn answer(&self, answering: Answering) {
        self.server.answer(answering);
    }

    /// Every request that was answered so far, oldest first: `GET /charts/index.yaml 200`.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.server.requests()
    }
}

fn lock(charts: &Mutex<Charts>) -> MutexGuard<'_, Charts> {
    charts.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(request: &Request<()>, charts: &Charts) -> Response<Bytes> {
    let missing = || plain(StatusCode::NOT_FOUND, "there is no such file\n");
    let Some(file) = request.uri().path().strip_prefix(PATH) else { return missing() };
    let content = if file == "index.yaml" {
        Some(Bytes::from(index(charts)))
    } else {
        charts.iter().find_map(|((chart, version), entry)| match entry {
            Entry::Archive(archive) if file == file_name(chart, version) => Some(archive.clone()),
            Entry::Archive(_) | Entry::Reference(_) => None,
        })
    };
    let Some(content) = content else { return missing() };
    let tag = format!("\"{}\"", sha256(&content));
    let mut response = if request.headers().get(IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == tag.as_bytes()) {
        plain(StatusCode::NOT_MODIFIED, "")
    } else {
        Response::new(content)
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

fn file_name(chart: &str, version: &str) -> String {
    format!("{chart}-{version}.tgz")
}

/// What `helm repo index` writes, without the copies of `Chart.yaml`. JSON is YAML.
fn index(charts: &Charts) -> String {
    let mut entries: BTreeMap<&str, Vec<serde_json::Value>> = BTreeMap::new();
    for ((chart, version), entry) in charts {
        let (url, digest) = match entry {
            Entry::Archive(archive) => (file_name(chart, version), sha256(archive)),
            Entry::Reference(url) => (url.clone(), String::new()),
        };
        entries.entry(chart).or_default().push(serde_json::json!({
            "apiVersion": "v2",
            "name": chart,
            "version": version,
            "urls": [url],
            "digest": digest,
            "created": "2026-11-21T10:00:00Z",
        }));
    }
    let mut text = "apiVersion: v1\ngenerated: \"2026-11-21T10:00:00Z\"\nentries:\n".to_owned();
    for (chart, versions) in entries {
        text.push_str(&format!("  {chart}:\n"));
        for version in versions {
            text.push_str(&format!("  - {version}\n"));
        }
    }
    text
}

/// In hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
