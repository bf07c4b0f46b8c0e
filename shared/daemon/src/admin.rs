//! The admin endpoint of a process: `/livez`, `/readyz` and `/metrics` on a port of their own, for kubelets and Prometheus. It answers
//! nothing secret and changes nothing; what the checks and metrics say is left to their owners.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::{Readiness, Registry, Shutdown};

/// The most connections at once: a kubelet, two Prometheus servers and a person need four.
const CONNECTION_LIMIT: usize = 32;

/// The longest that one connection may live, from its first byte to the answer's last: ten times a slow scrape.
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// The longest a client may take for its request's head.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// The largest request head: one line and a browser's headers fit in 8 KiB, the least that hyper takes.
const HEAD_BYTES_LIMIT: usize = 8 * 1024;

/// How long to wait after the system refuses a connection (no file descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The running endpoint. Dropping it ends it.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl AdminServer {
    /// Binds `address` and serves there; port 0 takes a free one.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn bind(address: SocketAddr, registry: Registry, readiness: Readiness, shutdown: Shutdown) -> std::io::Result<Self> {
        Self::serve(TcpListener::bind(address).await?, registry, readiness, shutdown)
    }

    /// Serves on `listener`, also while the process drains (`/readyz` then fails and says so), until it is dropped.
    ///
    /// # Errors
    /// If the listener has no address.
    pub fn serve(listener: TcpListener, registry: Registry, readiness: Readiness, shutdown: Shutdown) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let state = Arc::new(State { registry, readiness, shutdown });
        Ok(Self { address, task: tokio::spawn(accept(listener, state)) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct State {
    registry: Registry,
    readiness: Readiness,
    shutdown: Shutdown,
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let slots = Arc::new(Semaphore::new(CONNECTION_LIMIT));
    let mut connections = JoinSet::new();
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let state = state.clone();
                connections.spawn(async move {
                    serve_connection(stream, state).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin endpoint cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let response = answer(&request, &state);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES_LIMIT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection broke"),
        Err(_) => tracing::debug!("an admin connection took too long"),
    }
}

fn answer<B>(request: &Request<B>, state: &State) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "this endpoint only answers GET\n".to_owned());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => {
            let verbose =
                request.uri().query().is_some_and(|query| query.split('&').any(|key| key == "verbose" || key.starts_with("verbose=")));
            let (ready, body) = readiness(&state.readiness, state.shutdown.has_begun(), verbose);
            text(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body)
        }
        "/metrics" => {
            let mut metrics = text(StatusCode::OK, state.registry.text());
            metrics.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
            metrics
        }
        _ => text(StatusCode::NOT_FOUND, "here are /livez, /readyz?verbose and /metrics\n".to_owned()),
    }
}

/// Whether the process is ready and how that is said.
fn readiness(readiness: &Readiness, shutting_down: bool, verbose: bool) -> (bool, String) {
    let results = readiness.results();
    let failing: Vec<&str> = results.iter().filter(|(_, result)| !result.passes).map(|(&name, _)| name).collect();
    let ready = failing.is_empty() && !shutting_down;
    if !verbose {
        let body = match (ready, shutting_down) {
            (true, _) => "ok\n".to_owned(),
            (false, true) => "not ready: shutting down\n".to_owned(),
            (false, false) => format!("not ready: {}; /readyz?verbose says why\n", failing.join(", ")),
        };
        return (ready, body);
    }
    let mut body = String::new();
    for (name, result) in &results {
        let _ = writeln!(body, "[{}] {name}: {}", if result.passes { '+' } else { '-' }, result.message);
    }
    if shutting_down {
        body.push_str("[-] shutdown: the process is shutting down\n");
    }
    body.push_str(if ready { "ready\n" } else { "not ready\n" });
    (ready, body)
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{request} HTTP/1.1\r\nHost: hub\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn each_failing_check_is_named_until_it_passes_and_draining_is_not_ready() {
        let readiness = Readiness::new();
        let store = readiness.check("store");
        readiness.check("source").pass("2 sources fetched");
        let registry = Registry::new("capstan-hub", "0", SystemTime::UNIX_EPOCH).unwrap();
        let (trigger, shutdown) = Shutdown::manual(Duration::from_secs(600));
        let server = AdminServer::bind("127.0.0.1:0".parse().unwrap(), registry, readiness, shutdown).await.unwrap();
        let at = server.address();

        store.fail("the disk is full; free some space");
        let verbose = ask(at, "GET /readyz?verbose").await;
        assert!(verbose.starts_with("HTTP/1.1 503 "), "{verbose}");
        assert!(verbose.ends_with("[+] source: 2 sources fetched\n[-] store: the disk is full; free some space\nnot ready\n"), "{verbose}");
        assert!(ask(at, "GET /readyz").await.ends_with("not ready: store; /readyz?verbose says why\n"));

        store.pass("open");
        assert!(ask(at, "GET /readyz").await.starts_with("HTTP/1.1 200 "));
        assert!(ask(at, "GET /livez").await.ends_with("ok\n"));
        assert!(ask(at, "GET /metrics").await.contains("capstan_build_info"));
        assert!(ask(at, "GET /").await.starts_with("HTTP/1.1 404 "));
        assert!(ask(at, "POST /livez").await.starts_with("HTTP/1.1 405 "));

        trigger.begin();
        assert!(ask(at, "GET /readyz").await.ends_with("not ready: shutting down\n"));
        assert!(ask(at, "GET /livez").await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    async fn a_head_without_end_is_refused() {
        let registry = Registry::new("capstan-hub", "0", SystemTime::UNIX_EPOCH).unwrap();
        let (_trigger, shutdown) = Shutdown::manual(Duration::ZERO);
        let server = AdminServer::bind("127.0.0.1:0".parse().unwrap(), registry, Readiness::new(), shutdown).await.unwrap();
        let answer = ask(server.address(), &format!("GET /livez?{}", "x".repeat(2 * HEAD_BYTES_LIMIT))).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
}
