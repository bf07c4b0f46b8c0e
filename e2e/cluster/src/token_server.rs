//! A token server for the registry of tests: gives tokens by the distribution project's "token authentication" to one user, over HTTPS.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hyper::{Request, Response, StatusCode};
use rcgen::KeyPair;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

use crate::oci_registry::{REGISTRY_PASSWORD, REGISTRY_USER};
use crate::web_server::{WebServer, plain, shows};

/// How long a token is good, in seconds: longer than any test.
const TOKEN_SECONDS: u64 = 600;
/// What the key is called.
const KEY_ID: &str = "test";

/// Signs tokens.
struct Signer {
    key: EcdsaKeyPair,
}

/// A running token server. Dropping it ends it.
pub(crate) struct TokenServer {
    server: WebServer,
    signer: std::sync::Arc<Signer>,
}

impl TokenServer {
    /// What the registry calls itself.
    pub(crate) const SERVICE: &str = "registry of tests";
    /// What the server calls itself.
    pub(crate) const ISSUER: &str = "token server of tests";

    pub(crate) fn start() -> anyhow::Result<Self> {
        let pkcs8 = KeyPair::generate()?.serialize_der();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &SystemRandom::new());
        let key = key.map_err(|error| anyhow::anyhow!("the key of the token server: {error}"))?;
        let signer = std::sync::Arc::new(Signer { key });
        let signing = std::sync::Arc::clone(&signer);
        let server = WebServer::start(move |request| answer(request, &signing))?;
        Ok(Self { server, signer })
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/token", self.server.url())
    }

    pub(crate) fn ca_pem(&self) -> &str {
        self.server.ca_pem()
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.server.requests()
    }

    /// The keys that a registry trusts (RFC 7517).
    pub(crate) fn key_set(&self) -> serde_json::Value {
        // An uncompressed point: 4, then 32 bytes each of x and y.
        let point = self.signer.key.public_key().as_ref();
        let part = |from: usize| point.get(from..from + 32).map(|part| URL_SAFE_NO_PAD.encode(part));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID, "x": part(1), "y": part(33) }] })
    }

    /// A token for these actions on a repository.
    pub(crate) fn token(&self, repository: &str, actions: &[&str]) -> anyhow::Result<String> {
        self.signer.token(repository, actions)
    }
}

impl Signer {
    /// A JWT (RFC 7519) by the distribution project's "token scope" document.
    fn token(&self, repository: &str, actions: &[&str]) -> anyhow::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let header = json!({ "typ": "JWT", "alg": "ES256", "kid": KEY_ID });
        let claims = json!({
            "iss": TokenServer::ISSUER, "sub": REGISTRY_USER, "aud": TokenServer::SERVICE,
            "iat": now, "nbf": now, "exp": now + TOKEN_SECONDS, "jti": format!("{now}"),
            "access": [{ "type": "repository", "name": repository, "actions": actions }],
        });
        let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).ok().context("the token cannot be signed")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}

/// Gives a token to pull to whoever shows the password.
fn answer(request: &Request<()>, signer: &Signer) -> Response<Bytes> {
    if request.uri().path() != "/token" {
        return plain(StatusCode::NOT_FOUND, "tokens are at /token\n");
    }
    if !shows(request, REGISTRY_USER, REGISTRY_PASSWORD) {
        return plain(StatusCode::UNAUTHORIZED, "user and password needed\n");
    }
    let query = request.uri().query().unwrap_or_default().replace("%3A", ":").replace("%2F", "/");
    let scope = query.split('&').find_map(|pair| pair.strip_prefix("scope=repository:"));
    match scope.and_then(|scope| scope.strip_suffix(":pull")).map(|repository| signer.token(repository, &["pull"])) {
        Some(Ok(token)) => plain(StatusCode::OK, &json!({ "token": token, "expires_in": TOKEN_SECONDS }).to_string()),
        Some(Err(error)) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}\n")),
        None => plain(StatusCode::BAD_REQUEST, "only \"pull\" on one repository is given\n"),
    }
}
