//! A chart in an OCI registry, by the distribution specification 1.1 and Helm's media types: tags are versions (`_` for `+`), a manifest names
//! the archive, and what comes is verified by the digests of both. Tokens are fetched as registries ask for them.

use std::fmt;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, HeaderValue, LINK, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use shared_model::Digest;

use super::conversation::{Archive, Before, Found, came, kept};
use super::repository::ChartRepository;
use super::spec::{ChartRepositoryUrl, ChartSpec, is_path_component};
use super::version::{is_plain_version, newest_of};
use super::web::{Answer, Ask, Authorization, Web, shown};
use crate::credentials::Credentials;
use crate::error::FetchError;

/// Media types of a chart (`pkg/registry/constants.go` of Helm): its configuration, which is `Chart.yaml` as JSON, and its archive.
const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
const ARCHIVE: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// What charts of before Helm 3.5 have instead.
const LEGACY_ARCHIVE: &str = "application/tar+gzip";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The longest manifest, page of tags or configuration: what the specification asks of registries for manifests.
const DOCUMENT_LIMIT: usize = 4 << 20;
/// The longest answer of a token server; a token has some KiB.
const TOKEN_LIMIT: usize = 64 << 10;
/// How many tags a page is asked for.
const PAGE: usize = 1_000;
/// The most pages: 50,000 tags at a thousand each; a version a day for a century.
const PAGES: usize = 50;
/// How long a token is good if its server does not say (distribution specification for tokens).
const TOKEN_TIME: Duration = Duration::from_secs(60);
/// The longest time that a token is used, whatever its server says.
const TOKEN_TIME_LIMIT: Duration = Duration::from_secs(3600);
/// How long before its end a token is no longer used.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);

/// What a registry wants to be shown for one repository.
#[derive(Clone)]
pub(crate) enum Token {
    /// The credentials as they are.
    Credentials,
    /// A token, until then.
    Bearer(HeaderValue, Instant),
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// One repository of a registry.
struct Registry<'a> {
    web: &'a Web,
    place: &'a ChartRepository,
    repository: String,
}

/// What is asked for: a tag or a digest.
enum Target<'a> {
    Tag(&'a str),
    Digest(Digest),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    media_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

#[derive(Deserialize)]
struct Tags {
    /// `null` where there are none.
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    version: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// Looks at the tags or the manifest, and fetches the archive if it is new. The text is the digest of the manifest.
pub(crate) fn look(
    web: &Web,
    place: &ChartRepository,
    path: &str,
    spec: &ChartSpec,
    before: Option<&Before>,
) -> Result<(Found, Option<String>), FetchError> {
    let chart = spec.chart.as_str();
    let unknown = || FetchError::UnknownChart { url: web.place(), chart: chart.to_owned(), similar: Vec::new() };
    if !is_path_component(chart) {
        return Err(unknown());
    }
    let repository = if path.is_empty() { chart.to_owned() } else { format!("{path}/{chart}") };
    let registry = Registry { web, place, repository };
    if let Some(digest) = spec.version.digest() {
        if let Some(before) = before.filter(|before| before.origin.as_deref() == Some(&digest.to_string()))
            && let Some(archive) = kept(place.store(), &before.archive)
        {
            // What a digest names never changes: there is nothing to ask.
            return Ok((Found { version: before.version.clone(), archive, deprecated: false }, before.origin.clone()));
        }
        let (manifest, digest) = registry.manifest(&Target::Digest(digest))?.ok_or_else(unknown)?;
        let version = registry.version_of(&manifest)?;
        let archive = registry.archive(&manifest)?;
        return Ok((Found { version, archive, deprecated: false }, Some(digest.to_string())));
    }
    if let Some(version) = spec.version.exact()
        && let Some(found) = registry.look_at_version(version, before)?
    {
        return Ok(found);
    }
    let versions = registry.versions()?.ok_or_else(unknown)?;
    let names = || versions.iter().map(String::as_str);
    let version = spec.version.pick(names()).and_then(|at| versions.get(at)).ok_or_else(|| FetchError::NoChartVersion {
        url: web.place(),
        chart: chart.to_owned(),
        wanted: spec.version.to_string(),
        newest: newest_of(names()),
    })?;
    registry.look_at_version(version, before)?.ok_or_else(|| FetchError::Unreachable {
        url: web.place(),
        detail: format!("the registry lists the tag of version {version} and does not have it"),
    })
}

/// The archive at `address`, `oci://host/path:tag` or `oci://host/path@sha256:…`, which an index names. `expected` is the digest that the index
/// has: of the archive, or of the manifest.
pub(crate) fn fetch_address(web: &Web, place: &ChartRepository, address: &str, expected: Option<&Digest>) -> Result<Archive, FetchError> {
    let malformed = || web.unexpected(web.home(), "an address in its index is not written oci://host/path:tag");
    let start = address.rfind('/').ok_or_else(malformed)?;
    let end = start + address[start..].find([':', '@']).ok_or_else(malformed)?;
    let (url, target) = (&address[..end], &address[end + 1..]);
    let url: ChartRepositoryUrl = url.parse().map_err(|_| malformed())?;
    let ChartRepositoryUrl::Oci { path, .. } = &url else { return Err(malformed()) };
    let target = match target.parse() {
        Ok(digest) => Target::Digest(digest),
        Err(_) if is_tag(target) => Target::Tag(target),
        Err(_) => return Err(malformed()),
    };
    let web = web.with_registry(&url)?;
    let registry = Registry { web: &web, place, repository: path.clone() };
    let missing = || FetchError::NotAChart { url: address.to_owned(), detail: "the registry does not have it".to_owned() };
    let (manifest, digest) = registry.manifest(&target)?.ok_or_else(missing)?;
    let archive = registry.archive_descriptor(&manifest)?.1;
    if let Some(expected) = expected.filter(|expected| **expected != digest && **expected != archive) {
        return Err(FetchError::WrongDigest { url: address.to_owned(), expected: expected.to_string(), actual: archive.to_string() });
    }
    registry.archive(&manifest)
}

impl Registry<'_> {
    /// The version that has this tag, if there is one. One request settles it when the tag is where it was.
    fn look_at_version(&self, version: &str, before: Option<&Before>) -> Result<Option<(Found, Option<String>)>, FetchError> {
        let tag = version.replace('+', "_");
        if !is_tag(&tag) {
            return Ok(None);
        }
        let before = before.filter(|before| before.version == version && before.origin.is_some());
        if let Some(before) = before
            && let Some(archive) = kept(self.place.store(), &before.archive)
        {
            let url = self.url(&format!("manifests/{tag}"))?;
            let answer = self.ask(&Method::HEAD, &url, MANIFEST)?;
            if answer.is_missing() {
                return Ok(None);
            }
            if !answer.status.is_success() {
                return Err(answer.failure(self.web));
            }
            if answer.header("docker-content-digest") == before.origin.as_deref() {
                return Ok(Some((Found { version: version.to_owned(), archive, deprecated: false }, before.origin.clone())));
            }
        }
        let Some((manifest, digest)) = self.manifest(&Target::Tag(&tag))? else { return Ok(None) };
        let archive = self.archive(&manifest)?;
        Ok(Some((Found { version: version.to_owned(), archive, deprecated: false }, Some(digest.to_string()))))
    }

    /// The versions that the tags name; `None` if the registry does not have the repository.
    fn versions(&self) -> Result<Option<Vec<String>>, FetchError> {
        let mut url = self.url(&format!("tags/list?n={PAGE}"))?;
        let mut versions = Vec::new();
        for _ in 0..PAGES {
            let answer = self.ask(&Method::GET, &url, "application/json")?;
            if answer.is_missing() {
                return Ok(None);
            }
            if !answer.status.is_success() {
                return Err(answer.failure(self.web));
            }
            let next = match answer.header(LINK.as_str()).and_then(next_page) {
                Some(next) => Some(url.join(next).map_err(|_| self.web.unexpected(&url, "where its tags go on is no URL"))?),
                None => None,
            };
            let tags: Tags = self.read(answer)?;
            let named = tags.tags.unwrap_or_default().into_iter().map(|tag| tag.replace('_', "+"));
            // As Helm does: what is no full version is no version of a chart, though a range could hold it.
            versions.extend(named.filter(|version| is_plain_version(version) && hub_version::Version::parse_strict(version).is_ok()));
            match next {
                Some(next) if next.origin() == url.origin() => url = next,
                Some(_) => return Err(self.web.unexpected(&url, "its tags go on at another host")),
                None => return Ok(Some(versions)),
            }
        }
        Err(FetchError::TooLarge { url: shown(&url), limit: (PAGE * PAGES) as u64 })
    }

    /// The manifest at `target` with its digest; `None` if there is none.
    fn manifest(&self, target: &Target<'_>) -> Result<Option<(Manifest, Digest)>, FetchError> {
        let reference = match target {
            Target::Tag(tag) => (*tag).to_owned(),
            Target::Digest(digest) => digest.to_string(),
        };
        let url = self.url(&format!("manifests/{reference}"))?;
        let answer = self.ask(&Method::GET, &url, MANIFEST)?;
        if answer.is_missing() {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(answer.failure(self.web));
        }
        let announced = answer.header("docker-content-digest").map(str::to_owned);
        let from = shown(&answer.url);
        let bytes = answer.body(self.web, DOCUMENT_LIMIT)?;
        let digest = Digest::of(&bytes);
        let expected = match target {
            Target::Digest(digest) => Some(digest.to_string()),
            Target::Tag(_) => announced.filter(|announced| announced.starts_with("sha256:")),
        };
        if let Some(expected) = expected.filter(|expected| *expected != digest.to_string()) {
            return Err(FetchError::WrongDigest { url: from, expected, actual: digest.to_string() });
        }
        let not_a_chart = |detail: String| FetchError::NotAChart { url: from.clone(), detail };
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| not_a_chart(format!("its manifest cannot be read: {error}")))?;
        if let Some(other) = manifest.media_type.as_deref().filter(|media_type| *media_type != MANIFEST) {
            return Err(not_a_chart(format!("it is {:.100}", other)));
        }
        match manifest.config.as_ref().map(|config| config.media_type.as_str()) {
            Some(CONFIG) => Ok(Some((manifest, digest))),
            other => Err(not_a_chart(format!("it is an artifact of type {:.100}", other.unwrap_or("unknown")))),
        }
    }

    /// The one layer that is the archive.
    fn archive_descriptor<'m>(&self, manifest: &'m Manifest) -> Result<(&'m Descriptor, Digest), FetchError> {
        let mut layers = manifest.layers.iter().filter(|layer| matches!(layer.media_type.as_str(), ARCHIVE | LEGACY_ARCHIVE));
        match (layers.next(), layers.next()) {
            (Some(layer), None) => Ok((layer, self.digest(layer)?)),
            _ => Err(FetchError::NotAChart { url: self.shown(), detail: "its manifest names not exactly one archive".to_owned() }),
        }
    }

    fn archive(&self, manifest: &Manifest) -> Result<Archive, FetchError> {
        let (layer, digest) = self.archive_descriptor(manifest)?;
        if let Some(kept) = kept(self.place.store(), &digest) {
            return Ok(kept);
        }
        let bytes = self.blob(layer, &digest, self.place.store().limits().archive_bytes)?;
        came(&self.shown(), bytes, Some(&digest))
    }

    /// The version that the configuration of a chart names, for a chart without a tag.
    fn version_of(&self, manifest: &Manifest) -> Result<String, FetchError> {
        let not_a_chart = |detail: &str| FetchError::NotAChart { url: self.shown(), detail: detail.to_owned() };
        let config = manifest.config.as_ref().ok_or_else(|| not_a_chart("its manifest names no configuration"))?;
        let digest = self.digest(config)?;
        let bytes = self.blob(config, &digest, DOCUMENT_LIMIT)?;
        let actual = Digest::of(&bytes);
        if actual != digest {
            return Err(FetchError::WrongDigest { url: self.shown(), expected: digest.to_string(), actual: actual.to_string() });
        }
        let configuration = serde_json::from_slice::<Configuration>(&bytes).ok();
        let version = configuration.map(|configuration| configuration.version).filter(|version| is_plain_version(version));
        version.ok_or_else(|| not_a_chart("its configuration names no version"))
    }

    fn blob(&self, descriptor: &Descriptor, digest: &Digest, limit: usize) -> Result<Vec<u8>, FetchError> {
        if descriptor.size > limit as u64 {
            return Err(FetchError::TooLarge { url: self.shown(), limit: limit as u64 });
        }
        let url = self.url(&format!("blobs/{digest}"))?;
        let answer = self.ask(&Method::GET, &url, "application/octet-stream")?;
        if answer.is_missing() {
            let detail = format!("its manifest names the blob {digest}, and the registry does not have it");
            return Err(FetchError::NotAChart { url: self.shown(), detail });
        }
        if !answer.status.is_success() {
            return Err(answer.failure(self.web));
        }
        answer.body(self.web, limit)
    }

    fn digest(&self, descriptor: &Descriptor) -> Result<Digest, FetchError> {
        let unknown = |_| FetchError::NotAChart { url: self.shown(), detail: "its manifest names a digest that is not SHA-256".to_owned() };
        descriptor.digest.parse().map_err(unknown)
    }

    fn read<T: DeserializeOwned>(&self, answer: Answer) -> Result<T, FetchError> {
        let from = answer.url.clone();
        let bytes = answer.body(self.web, DOCUMENT_LIMIT)?;
        serde_json::from_slice(&bytes).map_err(|error| self.web.unexpected(&from, &format!("its answer cannot be read: {error}")))
    }

    fn url(&self, rest: &str) -> Result<Url, FetchError> {
        let joined = self.web.home().join(&format!("v2/{}/{rest}", self.repository));
        joined.map_err(|_| self.web.unexpected(self.web.home(), "nothing can be below this URL"))
    }

    fn shown(&self) -> String {
        format!("oci://{}/{}", self.web.home().authority(), self.repository)
    }

    /// What `tokens` has this repository's under: two registries never share one.
    fn scope(&self) -> String {
        format!("{}{}", self.web.home(), self.repository)
    }

    /// Asks, and shows what the registry then wants to be shown.
    fn ask(&self, method: &Method, url: &Url, accept: &str) -> Result<Answer, FetchError> {
        let ask = |authorization| {
            let headers = vec![(ACCEPT, accept.to_owned())];
            self.web.ask(&Ask { method: method.clone(), url, headers, authorization })
        };
        let known = self.place.tokens().get(&self.scope()).cloned();
        let shown = match known {
            Some(Token::Bearer(token, until)) if Instant::now() + TOKEN_MARGIN < until => Authorization::Token(token),
            Some(Token::Credentials) => Authorization::Credentials,
            _ if matches!(self.web.credentials(), Some(Credentials::Bearer(_))) => Authorization::Credentials,
            _ => Authorization::None,
        };
        let showed_credentials = matches!(shown, Authorization::Credentials);
        let answer = ask(shown)?;
        if answer.status != StatusCode::UNAUTHORIZED || showed_credentials || answer.url.origin() != self.web.home().origin() {
            return Ok(answer);
        }
        let challenges = answer.headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenges: Vec<Challenge> = challenges.filter_map(Challenge::parse).collect();
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service } => Some((realm, service)),
            Challenge::Basic => None,
        });
        let token = match bearer {
            Some((realm, service)) => self.fetch_token(realm, service.as_deref())?,
            None if challenges.is_empty() || self.web.credentials().is_none() => return Ok(answer),
            None => Token::Credentials,
        };
        self.place.tokens().insert(self.scope(), token.clone());
        ask(match token {
            Token::Credentials => Authorization::Credentials,
            Token::Bearer(token, _) => Authorization::Token(token),
        })
    }

    /// Fetches a token to pull from this repository and no more, with the credentials if there are any.
    fn fetch_token(&self, realm: &str, service: Option<&str>) -> Result<Token, FetchError> {
        let mut url = Url::parse(realm).map_err(|_| self.web.unexpected(self.web.home(), "its token server has no URL"))?;
        let server = url.clone();
        let authorization = match self.web.credentials() {
            None => Authorization::None,
            Some(_) if self.web.is_token_server(&server) => Authorization::TokenServer(server),
            Some(_) => {
                let host = url.host_str().unwrap_or("a place without a host").to_owned();
                return Err(FetchError::TokenServer { url: self.web.place(), host });
            }
        };
        url.query_pairs_mut()
            .extend_pairs(service.map(|service| ("service", service)))
            .append_pair("scope", &format!("repository:{}:pull", self.repository));
        let headers = vec![(ACCEPT, "application/json".to_owned())];
        let answer = self.web.ask(&Ask { method: Method::GET, url: &url, headers, authorization })?;
        if !answer.status.is_success() {
            return Err(answer.failure(self.web));
        }
        let bytes = answer.body(self.web, TOKEN_LIMIT)?;
        let useless = || self.web.unexpected(&url, "it gave no token");
        // The library's message could repeat the token.
        let given: TokenAnswer = serde_json::from_slice(&bytes).map_err(|_| useless())?;
        let token = given.token.or(given.access_token).filter(|token| !token.is_empty()).ok_or_else(useless)?;
        let mut header = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| useless())?;
        header.set_sensitive(true);
        let time = given.expires_in.map_or(TOKEN_TIME, Duration::from_secs).clamp(TOKEN_TIME, TOKEN_TIME_LIMIT);
        Ok(Token::Bearer(header, Instant::now() + time))
    }
}

/// What a registry answers to who shows nothing.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// Reads one `WWW-Authenticate` (RFC 9110, 11.6.1), as far as registries use it: one challenge in each header.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service) = (None, None);
        for (name, value) in parameters(rest) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                _ => {}
            }
        }
        Some(Self::Bearer { realm: realm?, service })
    }
}

/// `name="value", name=value` with backslashes in quotes.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches(|c: char| c == ',' || c.is_whitespace()).to_owned();
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        found.push((name, value));
        rest = next;
    }
    found
}

/// A quoted text up to its end, and what follows.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => value.push(c),
        }
    }
    (value, "")
}

/// Where a `Link` header says that the list goes on (RFC 8288, as far as the distribution specification uses it).
fn next_page(link: &str) -> Option<&str> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.split(';').any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"));
    is_next.then_some(target)
}

/// A tag by the rule of the distribution specification: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
fn is_tag(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    (1..=128).contains(&text.len()) && !text.starts_with(['.', '-']) && text.chars().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let bearer =
            |realm: &str, service: Option<&str>| Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) });
        for (text, challenge) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                bearer("https://auth.docker.io/token", Some("registry.docker.io")),
            ),
            (r#"bearer Service=x, realm = "https://a/\"q\"""#, bearer("https://a/\"q\"", Some("x"))),
            (r#"Bearer realm="unended"#, bearer("unended", None)),
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            ("Basic", Some(Challenge::Basic)),
            ("Bearer service=x", None),
            ("Bearer", None),
            ("Negotiate", None),
            ("", None),
        ] {
            assert_eq!(Challenge::parse(text), challenge, "{text}");
        }
    }

    #[test]
    fn the_list_of_tags_goes_on_where_the_link_says() {
        assert_eq!(next_page("</v2/a/tags/list?last=1.0.0&n=2>; rel=\"next\""), Some("/v2/a/tags/list?last=1.0.0&n=2"));
        for none in ["", "</x>", "</x>; rel=\"prev\"", "/x; rel=\"next\"", "</x"] {
            assert_eq!(next_page(none), None, "{none}");
        }
    }

    #[test]
    fn a_tag_is_no_path() {
        for (text, is) in [("1.2.3_a", true), ("latest", true), ("", false), ("../x", false), ("a/b", false), ("-a", false), ("a+b", false)]
        {
            assert_eq!(is_tag(text), is, "{text}");
        }
        assert!(!is_tag(&"x".repeat(129)));
    }
}
