//! A real OCI registry (the CNCF's distribution) for tests, over TLS or not, open, with a password or with tokens, and a small uploader of
//! charts by Helm's media types. The program comes from `registry.sh` beside this crate.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::Method;
use reqwest::blocking::{Client, Response};
use serde_json::json;

use crate::chart_repository::sha256;
use crate::ports::PortLease;
use crate::process::Watched;
use crate::scratch::ScratchDirectory;
use crate::token_server::TokenServer;
use crate::web_server;

/// How long the registry may take to listen. It takes a tenth of a second.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The user of registries that ask for one.
pub const REGISTRY_USER: &str = "ann";
/// Her password.
pub const REGISTRY_PASSWORD: &str = "hunter2";
/// User and password as the registry reads them. It takes nothing but bcrypt, here at its cheapest.
const HTPASSWD: &str = "ann:$2a$04$He2l7hjfnvG8C7DprQlsnO5XffxPxwjpe2QlPWqkjARb5l63eCK3G\n";

/// Who may use a registry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RegistryAccess {
    /// Anyone.
    Open,
    /// [`REGISTRY_USER`] with [`REGISTRY_PASSWORD`], at each request.
    Password,
    /// Who shows a token of a token server on another port, which gives one to the same user.
    Token,
}

/// What a registry is like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RegistryOptions {
    /// Serve HTTPS.
    pub tls: bool,
    /// Who may use it.
    pub access: RegistryAccess,
}

/// A running registry with its storage. Dropping it ends it and removes what is in it.
pub struct OciRegistry {
    program: PathBuf,
    options: RegistryOptions,
    directory: ScratchDirectory,
    port: PortLease,
    ca_pem: Option<String>,
    tokens: Option<TokenServer>,
    registry: Option<Watched>,
}

/// The registry's program was not found.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no registry in {}; run e2e/cluster/registry.sh, or set CAPSTAN_REGISTRY to one", looked_at.display())]
pub struct MissingRegistry {
    /// Where it was looked for.
    pub looked_at: PathBuf,
}

impl OciRegistry {
    /// Where the program is: what `CAPSTAN_REGISTRY` names, or what `registry.sh` has built.
    ///
    /// # Errors
    /// It is not there.
    pub fn program() -> Result<PathBuf, MissingRegistry> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = || set("CAPSTAN_CACHE").or_else(|| set("XDG_CACHE_HOME")).or_else(|| Some(set("HOME")?.join(".cache")));
        let built = || cache().unwrap_or_default().join("capstan/registry/current/registry");
        let path = set("CAPSTAN_REGISTRY").unwrap_or_else(built);
        if path.is_file() { Ok(path) } else { Err(MissingRegistry { looked_at: path }) }
    }

    /// Whether `REQUIRE_REGISTRY=1` says that a test without the registry must fail.
    #[must_use]
    pub fn must_not_be_missing() -> bool {
        env::var("REQUIRE_REGISTRY").is_ok_and(|value| value == "1")
    }

    /// Starts an open registry without TLS.
    ///
    /// # Errors
    /// The program is missing or does not start.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(RegistryOptions { tls: false, access: RegistryAccess::Open })
    }

    /// Starts a registry and waits until it listens.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(options: RegistryOptions) -> anyhow::Result<Self> {
        let program = Self::program()?;
        let directory = ScratchDirectory::new("capstan-registry-")?;
        let port = PortLease::take()?;
        let mut registry = Self { program, options, directory, port, ca_pem: None, tokens: None, registry: None };
        registry.configure()?;
        registry.start_again()?;
        Ok(registry)
    }

    fn configure(&mut self) -> anyhow::Result<()> {
        let file = |name: &str| self.directory.path().join(name);
        let mut http = json!({ "addr": self.authority() });
        if self.options.tls {
            let (pair, ca_pem) = web_server::certificate()?;
            fs::write(file("tls.crt"), &pair.certificate_pem)?;
            fs::write(file("tls.key"), &pair.key_pem)?;
            http["tls"] = json!({ "certificate": file("tls.crt"), "key": file("tls.key") });
            self.ca_pem = Some(ca_pem);
        }
        let auth = match self.options.access {
            RegistryAccess::Open => json!({}),
            RegistryAccess::Password => {
                fs::write(file("htpasswd"), HTPASSWD)?;
                json!({ "htpasswd": { "realm": "charts", "path": file("htpasswd") } })
            }
            RegistryAccess::Token => {
                let tokens = TokenServer::start()?;
                fs::write(file("jwks"), tokens.key_set().to_string())?;
                let (realm, service, issuer) = (tokens.url(), TokenServer::SERVICE, TokenServer::ISSUER);
                let settings = json!({ "realm": realm, "service": service, "issuer": issuer, "jwks": file("jwks") });
                self.tokens = Some(tokens);
                json!({ "token": settings })
            }
        };
        let configuration = json!({
            "version": "0.1",
            "log": { "level": "warn", "accesslog": { "disabled": false } },
            "storage": { "filesystem": { "rootdirectory": file("storage") }, "delete": { "enabled": true } },
            "http": http,
            "auth": auth,
        });
        // JSON is YAML.
        fs::write(file("config.yml"), configuration.to_string())?;
        Ok(())
    }

    /// Ends the registry. Its storage and its port stay.
    pub fn stop(&mut self) {
        self.registry = None;
    }

    /// Starts it after [`Self::stop`], and waits until it listens.
    ///
    /// # Errors
    /// It ends by itself, or does not listen.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        let log = self.directory.path().join("registry.log");
        let arguments = ["serve".into(), self.directory.path().join("config.yml").into_os_string()];
        let environment = [("OTEL_TRACES_EXPORTER", "none")];
        let mut registry = Watched::spawn(&self.program, &arguments, &environment, &log).context("cannot run the registry")?;
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port.number())).is_err() {
            let ended = registry.exited()?;
            anyhow::ensure!(ended.is_none(), "the registry ended: {}", registry.log_tail());
            anyhow::ensure!(started.elapsed() < START_LIMIT, "the registry does not listen: {}", registry.log_tail());
            std::thread::sleep(LOOK_AGAIN);
        }
        self.registry = Some(registry);
        Ok(())
    }

    /// Host and port, as they stand after `oci://`.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// The certificate of the authority that vouches for the registry, in PEM, if it has TLS.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// The certificate of the authority that vouches for the token server, in PEM, if there is one.
    #[must_use]
    pub fn token_server_ca_pem(&self) -> Option<&str> {
        self.tokens.as_ref().map(TokenServer::ca_pem)
    }

    /// What the token server was asked so far: `GET /token 200`.
    #[must_use]
    pub fn token_requests(&self) -> Vec<String> {
        self.tokens.as_ref().map(TokenServer::requests).unwrap_or_default()
    }

    /// The requests that reached the registry so far, as its access log has them: `GET /v2/charts/web/tags/list HTTP/1.1" 200`.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn requests(&self) -> anyhow::Result<Vec<String>> {
        let log = fs::read_to_string(self.directory.path().join("registry.log"))?;
        let requests = log.lines().filter_map(|line| {
            let (_, request) = line.split_once("] \"")?;
            let mut words = request.split(' ');
            Some([words.next()?, words.next()?, words.next()?, words.next()?].join(" "))
        });
        Ok(requests.collect())
    }

    /// Pushes a chart as `helm push` does: `repository` is the whole path, such as `charts/web`. The tag is the version, with `_` for `+`. Gives
    /// the digest of the manifest.
    ///
    /// # Errors
    /// What the registry answers.
    pub fn publish(&self, repository: &str, chart: &str, version: &str, archive: &[u8]) -> anyhow::Result<String> {
        let configuration = json!({ "apiVersion": "v2", "name": chart, "version": version }).to_string();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.cncf.helm.config.v1+json", configuration.as_bytes()),
            "layers": [descriptor("application/vnd.cncf.helm.chart.content.v1.tar+gzip", archive)],
        });
        let blobs = [configuration.as_bytes(), archive];
        self.publish_manifest(repository, &version.replace('+', "_"), &manifest, &blobs)
    }

    /// Pushes any manifest under a tag, after the blobs that it names. Gives its digest.
    ///
    /// # Errors
    /// What the registry answers.
    pub fn publish_manifest(&self, repository: &str, tag: &str, manifest: &serde_json::Value, blobs: &[&[u8]]) -> anyhow::Result<String> {
        // The client blocks, and must not do so on a thread of a runtime.
        std::thread::scope(|scope| {
            let pushing = scope.spawn(|| {
                let uploader = Uploader::new(self, repository)?;
                blobs.iter().try_for_each(|blob| uploader.push_blob(blob))?;
                uploader.push_manifest(tag, manifest.to_string())
            });
            pushing.join().map_err(|_| anyhow::anyhow!("BUG: the uploader panicked"))?
        })
    }
}

/// Names a blob in a manifest.
fn descriptor(media_type: &str, content: &[u8]) -> serde_json::Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{}", sha256(content)), "size": content.len() })
}

/// A client that pushes, by the distribution specification.
struct Uploader<'a> {
    client: Client,
    registry: &'a OciRegistry,
    repository: &'a str,
}

impl<'a> Uploader<'a> {
    fn new(registry: &'a OciRegistry, repository: &'a str) -> anyhow::Result<Self> {
        // TLS takes the cryptography of the process; another test may have chosen it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder().no_proxy();
        let builder = match registry.ca_pem() {
            Some(ca) => builder.tls_certs_only([reqwest::Certificate::from_pem(ca.as_bytes())?]),
            None => builder,
        };
        Ok(Self { client: builder.build()?, registry, repository })
    }

    fn push_blob(&self, content: &[u8]) -> anyhow::Result<()> {
        let begun = self.send(&Method::POST, &self.url("blobs/uploads/"), "", Vec::new())?;
        let location = begun.headers().get("location").context("no location of the upload")?.to_str()?;
        let separator = if location.contains('?') { '&' } else { '?' };
        let url = format!("{location}{separator}digest=sha256:{}", sha256(content));
        self.send(&Method::PUT, &url, "application/octet-stream", content.to_vec()).map(drop)
    }

    fn push_manifest(&self, tag: &str, manifest: String) -> anyhow::Result<String> {
        let digest = format!("sha256:{}", sha256(manifest.as_bytes()));
        let url = self.url(&format!("manifests/{tag}"));
        self.send(&Method::PUT, &url, "application/vnd.oci.image.manifest.v1+json", manifest.into_bytes())?;
        Ok(digest)
    }

    fn send(&self, method: &Method, url: &str, content_type: &str, body: Vec<u8>) -> anyhow::Result<Response> {
        let request = self.client.request(method.clone(), url).header("content-type", content_type).body(body);
        let request = match (&self.registry.tokens, self.registry.options.access) {
            (Some(tokens), _) => request.bearer_auth(tokens.token(self.repository, &["pull", "push"])?),
            (None, RegistryAccess::Password) => request.basic_auth(REGISTRY_USER, Some(REGISTRY_PASSWORD)),
            (None, _) => request,
        };
        let response = request.send()?;
        let status = response.status();
        anyhow::ensure!(status.is_success(), "{method} {url}: {status} {}", response.text().unwrap_or_default());
        Ok(response)
    }

    fn url(&self, rest: &str) -> String {
        let scheme = if self.registry.options.tls { "https" } else { "http" };
        format!("{scheme}://{}/v2/{}/{rest}", self.registry.authority(), self.repository)
    }
}

/// Returns from a test, with one line on stderr, when the registry's program is missing; panics instead when `REQUIRE_REGISTRY=1`.
#[macro_export]
macro_rules! require_registry {
    () => {
        if let Err(missing) = $crate::OciRegistry::program() {
            assert!(!$crate::OciRegistry::must_not_be_missing(), "REQUIRE_REGISTRY=1, but there is {missing}");
            $crate::note_skip(&missing);
            return $crate::Skipped::skipped();
        }
    };
}
