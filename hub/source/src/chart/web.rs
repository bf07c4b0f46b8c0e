//! One conversation over HTTP within an allowance: who is shown the credentials, which addresses may be asked, how far redirects are followed,
//! and how much is read. What is asked for is left to `repository` and `registry`.

use std::cell::OnceCell;
use std::error::Error as StdError;
use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;

use reqwest::blocking::{Client, Response};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};

use super::address::{Forbidden, Resolver};
use super::spec::{ChartLimits, ChartRepositorySpec, ChartRepositoryUrl, InvalidChartUrl, NamedBy};
use crate::credentials::Credentials;
use crate::error::{FetchError, cut};
use crate::transport::{Allowance, CONNECT_TIME, Metered};

/// The most redirects that are followed, as in browsers and curl by default within a factor of five.
const REDIRECTS: usize = 10;

/// The most headers of an answer; clouds send about 30.
const HEADERS: usize = 100;

/// What the hub calls itself.
const AGENT: &str = concat!("capstan-hub/", env!("CARGO_PKG_VERSION"));

/// The token server of Docker's registry, which is neither its host nor a domain above it.
const DOCKER: (&str, &str) = ("registry-1.docker.io", "auth.docker.io");

/// A conversation with a repository and what it leads to.
pub(crate) struct Web {
    spec: ChartRepositorySpec,
    limits: ChartLimits,
    home: Url,
    allowance: Arc<Allowance>,
    resolver: Resolver,
    /// Trusts the authorities of the repository.
    own: OnceCell<Client>,
    /// Trusts those of the system: for other hosts.
    foreign: OnceCell<Client>,
}

/// A question.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a Url,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) authorization: Authorization,
}

/// What is shown with a question.
pub(crate) enum Authorization {
    /// The credentials of the repository, to those who may see them.
    Credentials,
    /// This token, to the home alone.
    Token(HeaderValue),
    /// The credentials, to the token server that this is the URL of.
    TokenServer(Url),
    /// Nothing.
    None,
}

/// An answer whose body is still to be read.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Where it came from in the end.
    pub(crate) url: Url,
    body: Metered<Response>,
}

impl Web {
    pub(crate) fn new(spec: &ChartRepositorySpec, limits: &ChartLimits, home: Url, allowance: &Arc<Allowance>) -> Result<Self, FetchError> {
        if spec.named_by == NamedBy::Fleet && home.scheme() != "https" {
            return Err(FetchError::AddressRefused {
                url: spec.url.to_string(),
                detail: "a chart repository that the fleet repository names has https or oci; an operator can configure another".to_owned(),
            });
        }
        let (own, foreign) = (OnceCell::new(), OnceCell::new());
        Ok(Self { spec: spec.clone(), limits: *limits, home, allowance: allowance.clone(), resolver: Resolver::default(), own, foreign })
    }

    /// The conversation with a registry that this repository names in its index. On another host it is shown nothing, and may be no address of
    /// this machine.
    pub(crate) fn with_registry(&self, url: &ChartRepositoryUrl) -> Result<Self, FetchError> {
        let malformed = |error: InvalidChartUrl| self.unexpected(&self.home, &error.to_string());
        let home = url.base(false).map_err(malformed)?;
        let mut spec = ChartRepositorySpec::new(self.spec.name.clone(), url.clone(), NamedBy::Fleet);
        if home.host_str() == self.home.host_str() {
            (spec.named_by, spec.ca) = (self.spec.named_by, self.spec.ca.clone());
        }
        if self.may_see_credentials(&home) {
            (spec.credentials, spec.credential_hosts) = (self.spec.credentials.clone(), self.spec.credential_hosts.clone());
        }
        Self::new(&spec, &self.limits, home, &self.allowance)
    }

    /// Where the repository is.
    pub(crate) fn home(&self) -> &Url {
        &self.home
    }

    /// What errors say: the repository as it was configured.
    pub(crate) fn place(&self) -> String {
        self.spec.url.to_string()
    }

    /// Whether there are credentials.
    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        self.spec.credentials.as_ref()
    }

    /// Whether the allowance still lasts.
    pub(crate) fn goes_on(&self) -> Result<(), FetchError> {
        self.allowance.check().map_err(|_| FetchError::Interrupted)
    }

    /// Asks, and follows redirects. The status may be any.
    pub(crate) fn ask(&self, ask: &Ask<'_>) -> Result<Answer, FetchError> {
        let mut url = ask.url.clone();
        for _ in 0..=REDIRECTS {
            let response = self.ask_once(ask, &url)?;
            let next = match response.status() {
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => self.redirected(&url, response.headers())?,
                _ => None,
            };
            match next {
                Some(next) => url = next,
                None => {
                    let (status, headers) = (response.status(), response.headers().clone());
                    return Ok(Answer { status, headers, url, body: Metered::new(response, self.allowance.clone()) });
                }
            }
        }
        Err(FetchError::RedirectRefused { url: shown(ask.url), detail: format!("it leads on more than {REDIRECTS} times") })
    }

    fn ask_once(&self, ask: &Ask<'_>, url: &Url) -> Result<Response, FetchError> {
        self.goes_on()?;
        self.admit(url)?;
        let client = self.client(url)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &ask.headers {
            let value = HeaderValue::from_str(value).map_err(|_| self.unexpected(url, "it gave a text that is no value of a header"))?;
            headers.append(name.clone(), value);
        }
        let authorization = match &ask.authorization {
            Authorization::Credentials if self.may_see_credentials(url) => self.credentials_header()?,
            Authorization::Token(token) if is_same_origin(url, &self.home) => Some(token.clone()),
            Authorization::TokenServer(server) if is_same_origin(url, server) && self.is_token_server(server) => {
                self.credentials_header()?
            }
            _ => None,
        };
        if let Some(mut authorization) = authorization {
            if is_readable_on_the_way(url) {
                return Err(FetchError::CredentialsUnsafe { url: shown(url), reason: "the connection is not encrypted; use https" });
            }
            authorization.set_sensitive(true);
            headers.insert(AUTHORIZATION, authorization);
        }
        client.request(ask.method.clone(), url.clone()).headers(headers).send().map_err(|error| self.failed(url, &error))
    }

    /// The credentials as a header; keys for ssh are none.
    fn credentials_header(&self) -> Result<Option<HeaderValue>, FetchError> {
        let Some(credentials) = &self.spec.credentials else { return Ok(None) };
        let reason = |reason| FetchError::CredentialsUnsafe { url: self.place(), reason };
        let header = credentials.http_header().ok_or(reason("a key is for ssh; give a user and password, or a token"))?;
        let value = header.strip_prefix("Authorization: ").unwrap_or(&header);
        HeaderValue::from_str(value).map(Some).map_err(|_| reason("they hold characters that no header can have"))
    }

    /// Where a redirect leads; `None` is an answer that leads nowhere.
    fn redirected(&self, from: &Url, headers: &HeaderMap) -> Result<Option<Url>, FetchError> {
        let Some(location) = headers.get(LOCATION) else { return Ok(None) };
        let refused = |detail: &str| FetchError::RedirectRefused { url: shown(from), detail: detail.to_owned() };
        let location = location.to_str().map_err(|_| refused("where it leads cannot be read"))?;
        let next = from.join(location).map_err(|_| refused("where it leads is no URL"))?;
        if from.scheme() == "https" && next.scheme() != "https" {
            return Err(refused("it leads from https to something else"));
        }
        Ok(Some(next))
    }

    /// Whether `url` may be asked at all.
    fn admit(&self, url: &Url) -> Result<(), FetchError> {
        let refused = |detail: String| FetchError::AddressRefused { url: shown(url), detail };
        if !matches!(url.scheme(), "https" | "http") {
            return Err(refused("only https and http are fetched".to_owned()));
        }
        let host = url.host_str().ok_or_else(|| refused("it has no host".to_owned()))?;
        if url.scheme() == "http" && self.home.scheme() == "https" {
            return Err(refused("a repository with https leads to http".to_owned()));
        }
        if self.spec.named_by == NamedBy::Operator && self.home.host_str() == Some(host) {
            return Ok(());
        }
        self.resolver.guard(host).map_err(|forbidden| refused(forbidden.to_string()))
    }

    /// The credentials are for the scheme, host and port of the repository, and for hosts that were named, over TLS.
    fn may_see_credentials(&self, url: &Url) -> bool {
        is_same_origin(url, &self.home) || (url.scheme() == "https" && self.is_named(url))
    }

    fn is_named(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let with_port = url.port_or_known_default().map(|port| format!("{host}:{port}")).unwrap_or_default();
        let is_this = |named: &String| named.eq_ignore_ascii_case(&with_port) || (url.port().is_none() && named.eq_ignore_ascii_case(host));
        self.spec.credential_hosts.iter().any(is_this)
    }

    /// Whether the token server at `realm` may be shown the credentials of the registry: it is the same host, a domain above it (whoever has
    /// that can take the host's place anyway), Docker's, or was named.
    pub(crate) fn is_token_server(&self, realm: &Url) -> bool {
        let (own, other) = (self.home.host_str().unwrap_or_default(), realm.host_str().unwrap_or_default());
        let secure = realm.scheme() == "https" || !is_readable_on_the_way(realm);
        let above = other.contains('.') && own.strip_suffix(other).is_some_and(|below| below.ends_with('.'));
        secure
            && ((!own.is_empty() && own == other)
                || (own.parse::<IpAddr>().is_err() && above)
                || (own, other) == DOCKER
                || self.is_named(realm))
    }

    fn client(&self, url: &Url) -> Result<&Client, FetchError> {
        let own = self.spec.ca.is_some() && url.host_str() == self.home.host_str();
        let cell = if own { &self.own } else { &self.foreign };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let builder = Client::builder()
            .user_agent(AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .http1_max_headers(HEADERS)
            .connect_timeout(CONNECT_TIME)
            .timeout(self.limits.stall.min(self.limits.time))
            .dns_resolver(Arc::new(self.resolver.clone()));
        let builder = match self.spec.ca.as_ref().filter(|_| own) {
            // The bundle was parsed when the specification was made.
            Some(ca) => builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(ca.as_pem()).unwrap_or_default()),
            None => builder,
        };
        let client = builder.build().map_err(|error| self.failed(url, &error))?;
        Ok(cell.get_or_init(|| client))
    }

    fn failed(&self, url: &Url, error: &reqwest::Error) -> FetchError {
        let mut detail = String::new();
        let mut next: Option<&(dyn StdError + 'static)> = error.source();
        while let Some(inner) = next {
            if let Some(forbidden) = inner.downcast_ref::<Forbidden>() {
                return FetchError::AddressRefused { url: shown(url), detail: forbidden.to_string() };
            }
            let text = inner.to_string();
            if !detail.contains(&text) {
                detail = if detail.is_empty() { text } else { format!("{detail}: {text}") };
            }
            next = inner.source();
        }
        let (url, detail) = (shown(url), cut(&detail));
        let lower = detail.to_lowercase();
        if lower.contains("certificate") || lower.contains("unknownissuer") {
            FetchError::TlsUntrusted { url, detail }
        } else if error.is_timeout() && !error.is_connect() {
            FetchError::Timeout { url, after: self.limits.stall.min(self.limits.time) }
        } else {
            FetchError::Unreachable { url, detail }
        }
    }

    pub(crate) fn unexpected(&self, url: &Url, detail: &str) -> FetchError {
        FetchError::NotAChartRepository { url: shown(url), detail: cut(detail) }
    }
}

impl Answer {
    /// The whole body.
    pub(crate) fn body(mut self, web: &Web, limit: usize) -> Result<Vec<u8>, FetchError> {
        let too_large = || FetchError::TooLarge { url: shown(&self.url), limit: limit as u64 };
        let announced = self.header("content-length").and_then(|length| length.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        let read = self.body.by_ref().take(limit as u64 + 1).read_to_end(&mut bytes);
        if let Err(error) = read {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<reqwest::Error>());
            let url = shown(&self.url);
            return Err(match inner {
                Some(inner) => web.failed(&self.url, inner),
                None => FetchError::Unreachable { url, detail: cut(&error.to_string()) },
            });
        }
        if bytes.len() > limit { Err(too_large()) } else { Ok(bytes) }
    }

    /// Whether the server says that there is no such thing.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self.status, StatusCode::NOT_FOUND | StatusCode::GONE)
    }

    /// The failure that the status is, of something without which the place is no repository.
    pub(crate) fn failure(&self, web: &Web) -> FetchError {
        let url = shown(&self.url);
        match self.status.as_u16() {
            401 if web.credentials().is_none() => FetchError::AuthenticationNeeded { url },
            401 | 403 => FetchError::AuthenticationRefused { url },
            404 | 410 => FetchError::NotAChartRepository { url, detail: "the server says that it does not exist".to_owned() },
            429 | 500.. => FetchError::Unreachable { url, detail: format!("it answered {}", self.status) },
            _ => FetchError::NotAChartRepository { url, detail: format!("it answered {}", self.status) },
        }
    }

    /// A header, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("url", &shown(&self.url)).finish_non_exhaustive()
    }
}

/// A URL for people: redirects carry signatures in their queries, and those are secrets.
pub(crate) fn shown(url: &Url) -> String {
    let mut plain = url.clone();
    plain.set_query(None);
    plain.set_fragment(None);
    // A URL without a host has no user either.
    let _ = plain.set_username("");
    let _ = plain.set_password(None);
    plain.to_string()
}

fn is_same_origin(a: &Url, b: &Url) -> bool {
    a.origin().is_tuple() && a.origin() == b.origin()
}

/// Plain HTTP to anything but this machine.
fn is_readable_on_the_way(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    url.scheme() != "https" && host != "localhost" && !address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    fn web(url: &str, named_by: NamedBy, hosts: &[&str]) -> Result<Web, FetchError> {
        let mut spec = ChartRepositorySpec::new("charts".parse().expect("a name"), url.parse().expect("a URL"), named_by);
        spec.credentials = Some(Credentials::basic("ann", "hunter2"));
        spec.credential_hosts = hosts.iter().map(|host| (*host).to_owned()).collect::<BTreeSet<_>>();
        let home = spec.url.base(spec.plain_http).expect("a base");
        Web::new(&spec, &ChartLimits::DEFAULT, home, &Allowance::new(Duration::from_secs(60), 1 << 20))
    }

    fn url(text: &str) -> Url {
        text.parse().expect(text)
    }

    #[test]
    fn credentials_are_for_the_same_scheme_host_and_port() {
        let web =
            web("https://charts.example.com/stable", NamedBy::Operator, &["CDN.example.net", "x.example.net:8443", "y.example.net:443"])
                .expect("allowed");
        for (text, may) in [
            ("https://charts.example.com/stable/index.yaml", true),
            ("https://charts.example.com:443/else", true),
            ("https://charts.example.com:8443/x", false),
            ("http://charts.example.com/x", false),
            ("https://charts.example.com.evil.example/x", false),
            ("https://evil.example/charts.example.com", false),
            ("https://cdn.example.net/x", true),
            ("https://cdn.example.net:8443/x", false),
            ("http://cdn.example.net/x", false),
            ("https://x.example.net:8443/x", true),
            ("https://x.example.net/x", false),
            ("https://y.example.net/x", true),
        ] {
            assert_eq!(web.may_see_credentials(&url(text)), may, "{text}");
        }
    }

    #[test]
    fn a_token_server_is_the_host_a_domain_above_it_or_one_that_was_named() {
        let gitlab = web("oci://registry.gitlab.com/acme", NamedBy::Operator, &["auth.example.com"]).expect("allowed");
        for (realm, is) in [
            ("https://registry.gitlab.com/token", true),
            ("https://gitlab.com/jwt/auth", true),
            ("http://gitlab.com/jwt/auth", false),
            ("https://notgitlab.com/", false),
            ("https://lab.com/", false),
            ("https://com/", false),
            ("https://auth.gitlab.com/", false),
            ("https://auth.example.com/token", true),
            ("https://evil.example/token", false),
        ] {
            assert_eq!(gitlab.is_token_server(&url(realm)), is, "{realm}");
        }
        let docker = web("oci://docker.io/acme", NamedBy::Operator, &[]).expect("allowed");
        assert!(docker.is_token_server(&url("https://auth.docker.io/token")));
        let address = web("oci://10.1.2.3/acme", NamedBy::Operator, &[]).expect("allowed");
        assert!(!address.is_token_server(&url("https://2.3/token")), "what follows a dot in an address is no domain above it");
    }

    #[test]
    fn what_the_operator_named_may_be_anywhere_and_what_it_leads_to_may_not() {
        let operator = web("http://127.0.0.1:8080/", NamedBy::Operator, &[]).expect("allowed");
        assert_eq!(operator.admit(&url("http://127.0.0.1:8080/x")), Ok(()));
        assert_eq!(operator.admit(&url("https://cdn.example.net/x")), Ok(()));
        for text in ["http://169.254.169.254/latest/meta-data", "http://[::1]/x", "http://127.0.0.2/x", "ftp://cdn.example.net/x"] {
            let refused = operator.admit(&url(text));
            assert!(matches!(refused, Err(FetchError::AddressRefused { .. })), "{text}: {refused:?}");
        }
        let fleet = web("https://127.0.0.1:8080/", NamedBy::Fleet, &[]).expect("judged when it is asked");
        assert!(fleet.admit(&url("https://127.0.0.1:8080/index.yaml")).is_err());
        assert!(web("http://charts.example.com", NamedBy::Fleet, &[]).is_err(), "without TLS");
        let secure = web("https://charts.example.com", NamedBy::Operator, &[]).expect("allowed");
        assert!(secure.admit(&url("http://cdn.example.net/x")).is_err(), "no way down from https");
    }

    #[test]
    fn a_redirect_never_leads_from_https_to_something_else() {
        let web = web("https://charts.example.com", NamedBy::Operator, &[]).expect("allowed");
        let from = url("https://charts.example.com/index.yaml");
        let lead = |location: &'static str| web.redirected(&from, &HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(location))]));
        assert_eq!(lead("/other"), Ok(Some(url("https://charts.example.com/other"))));
        assert_eq!(lead("https://cdn.example.net/x"), Ok(Some(url("https://cdn.example.net/x"))));
        assert!(lead("http://charts.example.com/index.yaml").is_err() && lead("ftp://charts.example.com/").is_err());
        assert_eq!(web.redirected(&from, &HeaderMap::new()), Ok(None));
    }

    #[test]
    fn a_url_is_shown_without_what_could_be_a_secret() {
        assert_eq!(shown(&url("https://a:b@cdn.example.net/x?X-Amz-Signature=hunter2#y")), "https://cdn.example.net/x");
    }
}
