//! Connections: accepts them, bounds them, speaks TLS if configured, and ends them in order. What a request means is left to the routes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::config::{CONNECTIONS_LIMIT, HANDSHAKE_TIME, HEAD_BYTES_LIMIT, HEAD_TIME, STREAMS_LIMIT};
use crate::routes::{Peer, router};
use crate::{Hub, WebConfig};

/// How long to wait after the system refuses a connection (no file descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `hub` on `listener` until `shutdown` is done, then finishes the requests that have begun and returns. How long that may take is
/// left to the caller, who may drop the future.
pub async fn serve(listener: TcpListener, config: WebConfig, hub: Arc<dyn Hub>, shutdown: impl Future<Output = ()>) {
    let WebConfig { tokens, tls } = config;
    let router = router(tokens, hub);
    let tls = tls.map(TlsAcceptor::from);
    let slots = Arc::new(Semaphore::new(CONNECTIONS_LIMIT));
    let (close, closing) = watch::channel(false);
    let mut connections = JoinSet::new();
    let accepting = async {
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            while connections.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let (router, tls, closing) = (router.clone(), tls.clone(), closing.clone());
                    connections.spawn(async move {
                        connection(stream, peer, router, tls, closing).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the API cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = shutdown => {}
    }
    drop(listener);
    close.send_replace(true);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, tls: Option<TlsAcceptor>, closing: watch::Receiver<bool>) {
    // A lost setting costs 40 ms on small answers and nothing else.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request)
    });
    let Some(tls) = tls else {
        return http1_connection(TokioIo::new(stream), service, closing).await;
    };
    match tokio::time::timeout(HANDSHAKE_TIME, tls.accept(stream)).await {
        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            http2_connection(TokioIo::new(stream), service, closing).await;
        }
        Ok(Ok(stream)) => http1_connection(TokioIo::new(stream), service, closing).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
}

/// Returns when the server closes.
async fn begun(closing: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which closes too.
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn http1_connection<S>(io: impl Read + Write + Unpin + 'static, service: S, mut closing: watch::Receiver<bool>)
where
    S: Service<Request<Incoming>, Response = axum::response::Response, Error = Infallible>,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES_LIMIT);
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = begun(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn http2_connection<S>(io: impl Read + Write + Unpin + 'static, service: S, mut closing: watch::Receiver<bool>)
where
    S: Service<Request<Incoming>, Response = axum::response::Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_LIMIT)
        .max_header_list_size(HEAD_BYTES_LIMIT as u32)
        .keep_alive_interval(HEAD_TIME)
        .keep_alive_timeout(HEAD_TIME);
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = begun(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection broke");
    }
}
