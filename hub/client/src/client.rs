//! The questions, each one request or as many as the list has pages.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use hub_api::{
    AcceptRequest, AddClusterRequest, AppView, ApprovalRequest, ApprovalView, ClusterView, DiffView, EnrolmentView, ErrorBody, HoldRequest,
    HoldView, List, One, PAGE_LIMIT, ProblemView, RefreshRequest, RegionView, SourceView, StatusFilter, StatusView, TestAppRequest,
    TestView,
};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared_model::{AppName, ClusterName, SourceName};

use crate::{ClientConfig, ClientError, Faults, SetUpError};

/// The largest answer: a page of 1,000 rows takes about 1 MB; with the most drift that agents report, 50 times that.
pub const ANSWER_BYTES_LIMIT: usize = 64 << 20;

/// The most pages of one list: 1,000 pages of 1,000 rows are ten times the largest fleet.
pub const PAGES_LIMIT: usize = 1_000;

/// The longest a connection may take to come about.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// The longest an answer may take: a little more than the hub gives itself, so that the hub's own words arrive.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(35);

/// The longest a refresh may take, for the same reason.
const REFRESH_TIME: Duration = Duration::from_secs(125);

/// A client of one hub. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    hub: String,
}

impl Client {
    /// A client as configured. Nothing is asked yet.
    ///
    /// # Errors
    /// See [`SetUpError`].
    pub fn new(config: &ClientConfig) -> Result<Self, SetUpError> {
        let hub = config.hub.trim_end_matches('/').to_owned();
        let bad = || SetUpError::BadAddress { hub: hub.clone() };
        let base = Url::parse(&format!("{hub}/api/v1/")).map_err(|_| bad())?;
        if base.host_str().is_none() || !base.username().is_empty() || base.password().is_some() || base.query().is_some() {
            return Err(bad());
        }
        // reqwest takes the process's cryptography; a second installation is no fault, as all of Capstan uses this one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut token = HeaderValue::from_str(&format!("Bearer {}", config.token.expose())).map_err(|_| bad())?;
        token.set_sensitive(true);
        // A redirect could carry the token elsewhere.
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIME)
            .redirect(Policy::none())
            .user_agent(config.user_agent.clone())
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, token)]))
            .tls_certs_only(authorities(config.authorities_pem.as_deref())?);
        match base.scheme() {
            "https" if config.authorities_pem.is_none() => return Err(SetUpError::NoAuthority { hub }),
            "https" => http = http.https_only(true),
            // A proxy would see the token too.
            "http" if is_loopback(&base) => http = http.no_proxy(),
            "http" => return Err(SetUpError::Insecure { hub }),
            _ => return Err(bad()),
        }
        Ok(Self { http: http.build().map_err(SetUpError::Client)?, base, hub })
    }

    /// All regions.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn regions(&self) -> Result<Vec<RegionView>, ClientError> {
        self.list("regions", &[]).await
    }

    /// All clusters.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn clusters(&self) -> Result<Vec<ClusterView>, ClientError> {
        self.list("clusters", &[]).await
    }

    /// One cluster.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn cluster(&self, name: &ClusterName) -> Result<ClusterView, ClientError> {
        self.one(Method::GET, &format!("clusters/{name}"), &()).await
    }

    /// All apps.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn apps(&self) -> Result<Vec<AppView>, ClientError> {
        self.list("apps", &[]).await
    }

    /// One app.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn app(&self, name: &AppName) -> Result<AppView, ClientError> {
        self.one(Method::GET, &format!("apps/{name}"), &()).await
    }

    /// Each app in each cluster, as far as `filter` admits it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn status(&self, filter: &StatusFilter) -> Result<Vec<StatusView>, ClientError> {
        let StatusFilter { app, cluster, region, health } = filter;
        let query = [
            ("app", app.as_ref().map(AppName::as_str)),
            ("cluster", cluster.as_ref().map(ClusterName::as_str)),
            ("region", region.as_ref().map(|region| region.as_str())),
            ("health", health.map(|health| health.as_str())),
        ];
        self.list("status", &query).await
    }

    /// All problems.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn problems(&self) -> Result<Vec<ProblemView>, ClientError> {
        self.list("problems", &[]).await
    }

    /// All sources.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn sources(&self) -> Result<Vec<SourceView>, ClientError> {
        self.list("sources", &[]).await
    }

    /// What would change of `app`, in `cluster` or in each of its clusters.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn diff(&self, app: &AppName, cluster: Option<&ClusterName>) -> Result<Vec<DiffView>, ClientError> {
        self.list("diff", &[("app", Some(app.as_str())), ("cluster", cluster.map(ClusterName::as_str))]).await
    }

    /// Fetches `source`, or all, and returns what was seen.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn refresh(&self, source: Option<&SourceName>) -> Result<Vec<SourceView>, ClientError> {
        let request = RefreshRequest { source: source.map(ToString::to_string) };
        let list: List<SourceView> = self.ask(Method::POST, self.url("refresh"), &request, REFRESH_TIME).await?;
        Ok(list.items)
    }

    /// Adds a cluster and returns how to enrol it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn add_cluster(&self, request: &AddClusterRequest) -> Result<EnrolmentView, ClientError> {
        self.one(Method::POST, "clusters", request).await
    }

    /// Accepts the held cluster `name` if it is still the one in `request`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn accept_cluster(&self, name: &ClusterName, request: &AcceptRequest) -> Result<ClusterView, ClientError> {
        self.one(Method::POST, &format!("clusters/{name}/accept"), request).await
    }

    /// Revokes the agent of a cluster; what runs there stays.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn remove_cluster(&self, name: &ClusterName) -> Result<ClusterView, ClientError> {
        self.one(Method::DELETE, &format!("clusters/{name}"), &()).await
    }

    /// Lets exactly the change with this digest happen.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn approve(&self, request: &ApprovalRequest) -> Result<ApprovalView, ClientError> {
        self.one(Method::POST, "approvals", request).await
    }

    /// The holds that stand.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn holds(&self) -> Result<Vec<HoldView>, ClientError> {
        self.list("holds", &[]).await
    }

    /// Lets nothing of an app be changed for a while.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn hold(&self, request: &HoldRequest) -> Result<HoldView, ClientError> {
        self.one(Method::POST, "holds", request).await
    }

    /// Ends the hold of `app` in `cluster`, or the one in all of its clusters, before its time.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn resume(&self, app: &AppName, cluster: Option<&ClusterName>) -> Result<HoldView, ClientError> {
        let cluster = cluster.map(|cluster| format!("/{cluster}")).unwrap_or_default();
        self.one(Method::DELETE, &format!("holds/{app}{cluster}"), &()).await
    }

    /// How the tests of `app` stand, in `cluster` or in each of its clusters.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn tests(&self, app: &AppName, cluster: Option<&ClusterName>) -> Result<Vec<TestView>, ClientError> {
        self.list(&format!("apps/{app}/tests"), &[("cluster", cluster.map(ClusterName::as_str))]).await
    }

    /// Asks for the tests of `app`, and returns where.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn request_tests(&self, app: &AppName, request: &TestAppRequest) -> Result<Vec<TestView>, ClientError> {
        let list: List<TestView> = self.ask(Method::POST, self.url(&format!("apps/{app}/tests")), request, ANSWER_TIME).await?;
        Ok(list.items)
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        // Paths are made of names, which need no escaping.
        url.set_path(&format!("{}{path}", self.base.path()));
        url
    }

    async fn one<T: DeserializeOwned>(&self, method: Method, path: &str, request: &impl Serialize) -> Result<T, ClientError> {
        let one: One<T> = self.ask(method, self.url(path), request, ANSWER_TIME).await?;
        Ok(one.value)
    }

    /// All pages of a list.
    async fn list<T: DeserializeOwned>(&self, path: &str, query: &[(&str, Option<&str>)]) -> Result<Vec<T>, ClientError> {
        let mut items = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..PAGES_LIMIT {
            let mut url = self.url(path);
            {
                let mut pairs = url.query_pairs_mut();
                pairs.append_pair("limit", &PAGE_LIMIT.to_string());
                for (key, value) in query.iter().copied().chain([("continue", next.as_deref())]) {
                    if let Some(value) = value {
                        pairs.append_pair(key, value);
                    }
                }
            }
            let page: List<T> = self.ask(Method::GET, url, &(), ANSWER_TIME).await?;
            items.extend(page.items);
            let after = page.metadata.r#continue;
            if after.is_none() {
                return Ok(items);
            }
            if after == next {
                break;
            }
            next = after;
        }
        Err(self.not_the_api("a list has no end"))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        request: &impl Serialize,
        limit: Duration,
    ) -> Result<T, ClientError> {
        let mut ask = self.http.request(method.clone(), url);
        if method == Method::POST {
            ask = ask.json(request);
        }
        self.whole(ask, limit).await
    }

    /// A request that is not sent yet.
    pub(crate) fn request(&self, method: Method, path: &str, parameters: &[(String, String)]) -> RequestBuilder {
        let mut url = self.url(path);
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        self.http.request(method, url)
    }

    /// The one thing that answers a request.
    pub(crate) async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder, limit: Duration) -> Result<T, ClientError> {
        let one: One<T> = self.whole(request, limit).await?;
        Ok(one.value)
    }

    async fn whole<T: DeserializeOwned>(&self, request: RequestBuilder, limit: Duration) -> Result<T, ClientError> {
        let response = request.timeout(limit).send().await.map_err(|error| self.broken(&error, limit))?;
        if !response.status().is_success() {
            return Err(self.failed(response, limit).await);
        }
        let bytes = self.body(response, limit).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.not_the_api(&format!("its answer cannot be read: {error}")))
    }

    async fn body(&self, mut response: Response, limit: Duration) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error, limit))? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_LIMIT {
                return Err(self.not_the_api("an answer is larger than 64 MiB"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Why an answer is no success.
    pub(crate) async fn failed(&self, response: Response, limit: Duration) -> ClientError {
        let status = response.status();
        match self.body(response, limit).await {
            Ok(bytes) => match serde_json::from_slice::<ErrorBody>(&bytes) {
                Ok(body) => refusal(status, body.into()),
                Err(_) => self.not_the_api(&format!("it answers {status} without saying why")),
            },
            Err(error) => error,
        }
    }

    pub(crate) fn not_the_api(&self, why: &str) -> ClientError {
        ClientError::NotTheApi { hub: self.hub.clone(), why: why.to_owned() }
    }

    pub(crate) fn broken(&self, error: &reqwest::Error, limit: Duration) -> ClientError {
        let hub = self.hub.clone();
        if let Some(tls) = chain(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
            return ClientError::Untrusted { hub, why: tls.to_string() };
        }
        if error.is_timeout() && !error.is_connect() {
            return ClientError::TimedOut { hub, seconds: limit.as_secs() };
        }
        let why = chain(error).last().map_or_else(|| error.to_string(), ToString::to_string);
        ClientError::Unreachable { hub, why }
    }
}

fn refusal(status: StatusCode, faults: Faults) -> ClientError {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => ClientError::Unauthorised(faults),
        StatusCode::NOT_FOUND => ClientError::NotFound(faults),
        StatusCode::CONFLICT => ClientError::Refused(faults),
        status if status.is_client_error() => ClientError::Invalid(faults),
        _ => ClientError::HubFailed(faults),
    }
}

fn authorities(pem: Option<&[u8]>) -> Result<Vec<Certificate>, SetUpError> {
    let Some(pem) = pem else { return Ok(Vec::new()) };
    let authorities = Certificate::from_pem_bundle(pem).map_err(|_| SetUpError::BadAuthority)?;
    if authorities.is_empty() { Err(SetUpError::BadAuthority) } else { Ok(authorities) }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The causes of an error, itself left out. An I/O error hides its cause inside instead of naming it as its source.
fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&error| {
        let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        inside.map(|inside| inside as &(dyn Error + 'static)).or_else(|| error.source())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Token;

    fn client(hub: &str, authorities_pem: Option<&[u8]>) -> Result<Client, SetUpError> {
        let token = Token::parse("t0k3n").unwrap();
        let authorities_pem = authorities_pem.map(<[u8]>::to_vec);
        Client::new(&ClientConfig { hub: hub.to_owned(), token, authorities_pem, user_agent: "test".to_owned() })
    }

    #[test]
    fn the_token_goes_nowhere_unencrypted_but_to_this_machine() {
        for hub in ["http://127.0.0.1:1", "http://localhost:1/", "http://[::1]:1", "http://127.0.0.1:1/prefix"] {
            assert!(client(hub, None).is_ok(), "{hub}");
        }
        for hub in ["http://hub.example.org", "http://10.0.0.1:1", "http://localhost.example.org", "http://127.0.0.1.example.org"] {
            assert!(matches!(client(hub, None), Err(SetUpError::Insecure { .. })), "{hub}");
        }
        assert!(matches!(client("https://hub.example.org", None), Err(SetUpError::NoAuthority { .. })));
        assert!(matches!(client("https://hub.example.org", Some(b"nonsense")), Err(SetUpError::BadAuthority)));
        for hub in ["", "hub:8443", "ftp://hub", "https://user:password@hub", "127.0.0.1:80"] {
            assert!(matches!(client(hub, None), Err(SetUpError::BadAddress { .. })), "{hub}");
        }
    }

    #[test]
    fn a_client_does_not_print_its_token() {
        assert!(!format!("{:?}", client("http://127.0.0.1:1", None).unwrap()).contains("t0k3n"));
    }

    #[tokio::test]
    async fn an_address_where_nothing_listens_is_unreachable() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = client(&format!("http://{free}"), None).unwrap().apps().await.unwrap_err();
        assert!(matches!(&error, ClientError::Unreachable { why, .. } if why.contains("refused")), "{error}");
    }
}
