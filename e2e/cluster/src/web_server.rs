//! A small HTTPS server on 127.0.0.1 for servers of tests, with an outage at will and a record of its requests. What it answers is theirs.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio_rustls::TlsAcceptor;

use crate::git_server::Answering;
use crate::pki::{Authority, CertificatePair};

/// The names under which servers of tests are reached.
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// What a server answers to a request without its body.
type Answer = dyn Fn(&Request<()>) -> Response<Bytes> + Send + Sync;

/// A running server. Dropping it ends it.
pub(crate) struct WebServer {
    address: SocketAddr,
    ca_pem: String,
    answering: watch::Sender<Answering>,
    requests: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    answer: Box<Answer>,
    mode: watch::Receiver<Answering>,
    requests: Arc<Mutex<Vec<String>>>,
}

/// A certificate for 127.0.0.1 and localhost, and that of the authority which signed it.
pub(crate) fn certificate() -> anyhow::Result<(CertificatePair, String)> {
    let authority = Authority::new()?;
    Ok((authority.serving(&NAMES)?, authority.certificate_pem()))
}

impl WebServer {
    pub(crate) fn start(answer: impl Fn(&Request<()>) -> Response<Bytes> + Send + Sync + 'static) -> anyhow::Result<Self> {
        let (pair, ca_pem) = certificate()?;
        let acceptor = acceptor(&pair)?;
        let (answering, mode) = watch::channel(Answering::Normally);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::new(Shared { answer: Box::new(answer), mode, requests: requests.clone() });
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        // A thread of its own: tests block, and must not block the server with it.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("web-server".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, acceptor, shared) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, ca_pem, answering, requests, stop: Some(stop), thread: Some(thread) })
    }

    /// `https://127.0.0.1:port`.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub(crate) fn answer(&self, answering: Answering) {
        self.answering.send_replace(answering);
    }

    /// `GET /path 200`, oldest first.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The runtime ends in there, and with it all connections.
            let _ = thread.join();
        }
    }
}

fn acceptor(pair: &CertificatePair) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_slice_iter(pair.certificate_pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(pair.key_pem.as_bytes())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_no_client_auth().with_single_cert(chain, key).context("the certificate of the server")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: std::net::TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("a bound, non-blocking listener");
    loop {
        // A connection that broke before it was accepted is its client's matter, and so is all that follows on it.
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(serve(stream, acceptor.clone(), Arc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.answer(&request.map(drop)).await.map(Full::new)) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Shared {
    async fn answer(&self, request: &Request<()>) -> Response<Bytes> {
        let mut mode = self.mode.clone();
        // The sender lives as long as the server; without it nobody waits for an answer.
        let answering = mode.wait_for(|mode| *mode != Answering::Never).await.map_or(Answering::Unavailable, |mode| *mode);
        let response = match answering {
            Answering::Unavailable => plain(StatusCode::SERVICE_UNAVAILABLE, "this server is out of order on purpose\n"),
            Answering::Normally | Answering::Never => (self.answer)(request),
        };
        let line = format!("{} {} {}", request.method(), request.uri().path(), response.status().as_u16());
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        response
    }
}

/// An answer with a line of text.
pub(crate) fn plain(status: StatusCode, text: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::copy_from_slice(text.as_bytes()));
    *response.status_mut() = status;
    response
}

/// Whether the request shows this user and password.
pub(crate) fn shows(request: &Request<()>, user: &str, password: &str) -> bool {
    use base64::Engine;
    let wanted = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")));
    request.headers().get(hyper::header::AUTHORIZATION).is_some_and(|given| given.as_bytes() == wanted.as_bytes())
}
