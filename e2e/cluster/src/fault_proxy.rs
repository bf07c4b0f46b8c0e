//! A reverse proxy between a client and a plane's API server that does to requests what networks and busy servers do: refuse, delay, lose,
//! cut, fall silent. Which request suffers what is the test's matter; the words are those of `e2e/fakekube`'s faults.
//!
//! It speaks plain HTTP to the client, whose user it is towards the API server, so the audit log tells clients apart as ever.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::plane::{ControlPlane, install_crypto};
use crate::ports::PortLease;

/// A request as a fault hook sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxiedRequest {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `apply`, `delete`; `get` for paths without a resource.
    pub verb: &'static str,
    /// Path and query.
    pub uri: String,
    /// The API group; empty for the core group and for paths without a resource.
    pub group: String,
    /// The plural name; empty for paths without a resource.
    pub resource: String,
    /// The namespace; empty for cluster scope.
    pub namespace: String,
    /// The object's name; empty for collections.
    pub name: String,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyFault {
    /// It is served after a while.
    Delay(Duration),
    /// It is served at once, and the answer comes after a while.
    DelayAnswer(Duration),
    /// It is not served; the answer is a `Status` with this code, reason and message.
    Status(u16, &'static str, &'static str),
    /// It is not served: load is shed as priority and fairness does, with 429, `Retry-After` of so many seconds and a line of text.
    ShedLoad(u64),
    /// It is served, and its answer is lost: the client sees a broken connection.
    LoseAnswer,
    /// It is not served: the client sees a broken connection.
    Drop,
    /// It is served, and the connection breaks after half of the answer's body.
    Truncate,
    /// It is not served and not answered, and the connection stays open.
    Silence,
    /// A watch begins well and says 410 in its first event.
    GoneEvent,
}

/// Decides per request.
pub type ProxyHook = dyn Fn(&ProxiedRequest) -> Option<ProxyFault> + Send + Sync;

/// A request that came by.
#[derive(Clone, Debug)]
pub struct Passed {
    /// The request.
    pub request: ProxiedRequest,
    /// When it came.
    pub at: Instant,
    /// What was done to it.
    pub fault: Option<ProxyFault>,
}

/// A running proxy. Dropping it ends it and all its connections.
pub struct FaultProxy {
    state: Arc<State>,
    port: PortLease,
    listening: Mutex<Option<AbortHandle>>,
    directory: tempfile::TempDir,
}

struct State {
    upstream: Client,
    hook: Mutex<Option<Arc<ProxyHook>>>,
    passed: Mutex<Vec<Passed>>,
    /// Streams that began before its last change say nothing more.
    frozen: watch::Sender<u64>,
}

type AnswerBody = UnsyncBoxBody<Bytes, anyhow::Error>;

impl FaultProxy {
    /// Starts a proxy to `plane` that is `user` in `groups` there.
    ///
    /// # Errors
    /// No port, no client.
    pub async fn start(plane: &ControlPlane, user: &str, groups: &[&str]) -> anyhow::Result<Self> {
        install_crypto();
        let kubeconfig = Kubeconfig::read_from(plane.kubeconfig_for(user, groups)?)?;
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.default_retry = false;
        let state = State {
            upstream: Client::try_from(config)?,
            hook: Mutex::default(),
            passed: Mutex::default(),
            frozen: watch::Sender::default(),
        };
        let directory = tempfile::tempdir()?;
        let proxy = Self { state: Arc::new(state), port: PortLease::take()?, listening: Mutex::default(), directory };
        std::fs::write(proxy.kubeconfig(), proxy.kubeconfig_text())?;
        proxy.accept().await?;
        Ok(proxy)
    }

    /// A kubeconfig of this proxy.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("proxy.kubeconfig")
    }

    fn kubeconfig_text(&self) -> String {
        let server = format!("http://127.0.0.1:{}", self.port.number());
        // JSON is YAML.
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": server}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
            "current-context": "proxy",
        })
        .to_string()
    }

    /// From now on this hook decides what happens to each request.
    pub fn set_faults(&self, hook: impl Fn(&ProxiedRequest) -> Option<ProxyFault> + Send + Sync + 'static) {
        *lock(&self.state.hook) = Some(Arc::new(hook));
    }

    /// From now on all is well, but for streams that are frozen.
    pub fn heal(&self) {
        *lock(&self.state.hook) = None;
    }

    /// All streams that are open now say nothing more, and stay open: no end, no reset.
    pub fn freeze_streams(&self) {
        self.state.frozen.send_modify(|frozen| *frozen += 1);
    }

    /// Closes the port and all connections: the client is refused.
    pub fn refuse(&self) {
        if let Some(listening) = lock(&self.listening).take() {
            listening.abort();
        }
    }

    /// Opens the port again. No effect if it is open.
    ///
    /// # Errors
    /// The port cannot be bound.
    pub async fn accept(&self) -> anyhow::Result<()> {
        if lock(&self.listening).is_some() {
            return Ok(());
        }
        let mut bound = TcpListener::bind(("127.0.0.1", self.port.number())).await;
        let since = Instant::now();
        while bound.is_err() && since.elapsed() < Duration::from_secs(10) {
            // The listener before it ends when its task is dropped, a moment after it was aborted.
            tokio::time::sleep(Duration::from_millis(10)).await;
            bound = TcpListener::bind(("127.0.0.1", self.port.number())).await;
        }
        let task = tokio::spawn(listen(bound.context("the proxy's port")?, self.state.clone()));
        *lock(&self.listening) = Some(task.abort_handle());
        Ok(())
    }

    /// The requests so far.
    #[must_use]
    pub fn passed(&self) -> Vec<Passed> {
        lock(&self.state.passed).clone()
    }

    /// Where its files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.refuse();
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Accepts until it is aborted; its connections end with it.
async fn listen(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let state = state.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| serve(state.clone(), request));
            // An error here is a fault that was asked for, or a client that went away.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn serve(state: Arc<State>, request: Request<Incoming>) -> anyhow::Result<Response<AnswerBody>> {
    let facts = ProxiedRequest::of(&request);
    let hook = lock(&state.hook).clone();
    let fault = hook.and_then(|hook| hook(&facts));
    lock(&state.passed).push(Passed { request: facts.clone(), at: Instant::now(), fault: fault.clone() });
    match fault {
        None => forward(&state, request).await,
        Some(ProxyFault::Delay(pause)) => {
            tokio::time::sleep(pause).await;
            forward(&state, request).await
        }
        Some(ProxyFault::DelayAnswer(pause)) => {
            let answer = forward(&state, request).await;
            tokio::time::sleep(pause).await;
            answer
        }
        Some(ProxyFault::Status(code, reason, message)) => {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message});
            answer(code, "application/json", status.to_string())
        }
        Some(ProxyFault::ShedLoad(seconds)) => {
            let mut answer = answer(429, "text/plain; charset=utf-8", "Too many requests, please try again later.\n".to_owned())?;
            answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            Ok(answer)
        }
        Some(ProxyFault::LoseAnswer) => {
            let served = forward(&state, request).await?;
            let _ = served.into_body().collect().await;
            anyhow::bail!("the answer is lost on purpose")
        }
        Some(ProxyFault::Drop) => anyhow::bail!("dropped on purpose"),
        Some(ProxyFault::Truncate) => {
            let (head, body) = forward(&state, request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            let half = body.slice(..body.len() / 2);
            let pieces = futures_util::stream::iter([Ok(Frame::data(half)), Err(anyhow::anyhow!("cut on purpose"))]);
            Ok(Response::from_parts(head, StreamBody::new(pieces).boxed_unsync()))
        }
        Some(ProxyFault::Silence) => std::future::pending().await,
        Some(ProxyFault::GoneEvent) => {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410, "reason": "Expired", "message": "too old resource version: 1 (2)"});
            answer(200, "application/json", format!("{}\n", json!({"type": "ERROR", "object": status})))
        }
    }
}

fn answer(code: u16, kind: &'static str, text: String) -> anyhow::Result<Response<AnswerBody>> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    let answer = Response::builder().status(StatusCode::from_u16(code)?).header(header::CONTENT_TYPE, kind);
    Ok(answer.body(body.boxed_unsync())?)
}

/// Serves a request by the API server.
async fn forward(state: &State, request: Request<Incoming>) -> anyhow::Result<Response<AnswerBody>> {
    let (mut head, body) = request.into_parts();
    for hop in [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH] {
        head.headers.remove(hop);
    }
    head.version = hyper::Version::default();
    let body = Body::from(body.collect().await?.to_bytes());
    let (mut head, body) = state.upstream.send(Request::from_parts(head, body)).await?.into_parts();
    for hop in [header::CONNECTION, header::TRANSFER_ENCODING] {
        head.headers.remove(hop);
    }
    head.version = hyper::Version::default();
    let mut frozen = state.frozen.subscribe();
    frozen.mark_unchanged();
    let frames: Pin<Box<dyn futures_util::Stream<Item = Result<Frame<Bytes>, anyhow::Error>> + Send>> =
        Box::pin(futures_util::stream::unfold((body, frozen), |(mut body, mut frozen)| async move {
            let frame = tokio::select! {
                biased;
                _ = frozen.changed() => std::future::pending().await,
                frame = body.frame() => frame?,
            };
            Some((frame.map_err(anyhow::Error::from), (body, frozen)))
        }));
    Ok(Response::from_parts(head, StreamBody::new(frames.fuse()).boxed_unsync()))
}

impl ProxiedRequest {
    fn of<B>(request: &Request<B>) -> Self {
        let uri = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        let parts: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        let (group, rest) = match parts[..] {
            ["api", _, ref rest @ ..] => ("", rest),
            ["apis", group, _, ref rest @ ..] => (group, rest),
            _ => ("", &[][..]),
        };
        let (namespace, resource, name) = match *rest {
            ["namespaces", namespace, resource, ref name @ ..] => (namespace, resource, name.first().copied().unwrap_or_default()),
            [resource, ref name @ ..] => ("", resource, name.first().copied().unwrap_or_default()),
            [] => ("", "", ""),
        };
        let is_apply =
            request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/apply-patch"));
        let verb = match *request.method() {
            Method::GET if uri.contains("watch=true") => "watch",
            Method::GET if name.is_empty() && !resource.is_empty() => "list",
            Method::GET => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH if is_apply => "apply",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "other",
        };
        let own = str::to_owned;
        Self { verb, group: own(group), resource: own(resource), namespace: own(namespace), name: own(name), uri }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_by_verb_and_resource() {
        for (method, uri, kind, expected) in [
            ("GET", "/api/v1/configmaps?watch=true", "", ("watch", "", "configmaps", "", "")),
            ("GET", "/apis/apps/v1/deployments?limit=500", "", ("list", "apps", "deployments", "", "")),
            ("PATCH", "/api/v1/namespaces/n/secrets/s", "application/apply-patch+yaml", ("apply", "", "secrets", "n", "s")),
            ("DELETE", "/apis/batch/v1/namespaces/n/jobs/j", "", ("delete", "batch", "jobs", "n", "j")),
            ("GET", "/api/v1/namespaces/n", "", ("get", "", "namespaces", "", "n")),
            ("GET", "/apis", "", ("get", "", "", "", "")),
        ] {
            let request = Request::builder().method(method).uri(uri).header(header::CONTENT_TYPE, kind).body(()).expect("valid");
            let found = ProxiedRequest::of(&request);
            let found = (found.verb, found.group.as_str(), found.resource.as_str(), found.namespace.as_str(), found.name.as_str());
            assert_eq!(found, expected, "{method} {uri}");
        }
    }
}
