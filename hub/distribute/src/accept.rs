//! The accept loop of both listeners: TCP, then TLS in a task of its own with a time limit, then who the peer is, once. What a connection may do
//! afterwards is not decided here.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;
use tracing::{info, warn};

use crate::limits::HANDSHAKE_TIMEOUT;

/// How long the loop rests when the system refuses a connection (no file descriptors), instead of spinning.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Connections that are ready and wait for the server to take them; it takes them at once.
const READY_QUEUE: usize = 64;

/// Who is at the other end of a connection, and how to cut it.
pub(crate) trait Peer: Clone + Send + Sync + 'static {
    /// Reads the peer from a finished handshake; an error is logged and ends the connection.
    fn of(tls: &ServerConnection, address: SocketAddr) -> Result<Self, String>;
    /// Cancelled when the connection must end.
    fn cut(&self) -> CancellationToken;
}

/// How much the loop may have open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AcceptLimits {
    pub(crate) handshakes: usize,
    pub(crate) connections: usize,
}

/// A connection after its handshake.
pub(crate) struct PeerIo<P> {
    tls: TlsStream<TcpStream>,
    peer: P,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _open: OwnedSemaphorePermit,
}

/// Accepts until `stop`. The listener is closed when the loop ends.
pub(crate) fn accept<P: Peer>(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    limits: AcceptLimits,
    stop: CancellationToken,
) -> ReceiverStream<io::Result<PeerIo<P>>> {
    let (ready, incoming) = mpsc::channel(READY_QUEUE);
    tokio::spawn(stop.run_until_cancelled_owned(accept_all(listener, TlsAcceptor::from(tls), limits, ready)));
    ReceiverStream::new(incoming)
}

async fn accept_all<P: Peer>(listener: TcpListener, tls: TlsAcceptor, limits: AcceptLimits, ready: mpsc::Sender<io::Result<PeerIo<P>>>) {
    let handshakes = Arc::new(Semaphore::new(limits.handshakes));
    let connections = Arc::new(Semaphore::new(limits.connections));
    loop {
        // Taken before accepting: what is too much waits in the kernel's backlog and costs nothing here.
        let Ok(handshake) = Arc::clone(&handshakes).acquire_owned().await else { return };
        let (tcp, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        let Ok(open) = Arc::clone(&connections).try_acquire_owned() else {
            warn!(%address, limit = limits.connections, "too many connections, this one is closed");
            continue;
        };
        let (tls, ready) = (tls.clone(), ready.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, shake::<P>(tls, tcp, address, open)).await {
                Ok(Ok(io)) => {
                    let _: Result<(), _> = ready.send(Ok(io)).await;
                }
                Ok(Err(reason)) => info!(%address, reason, "connection refused"),
                Err(_) => info!(%address, "connection refused: the handshake took too long"),
            }
            drop(handshake);
        });
    }
}

async fn shake<P: Peer>(tls: TlsAcceptor, tcp: TcpStream, address: SocketAddr, open: OwnedSemaphorePermit) -> Result<PeerIo<P>, String> {
    tcp.set_nodelay(true).map_err(|error| error.to_string())?;
    let tls = tls.accept(tcp).await.map_err(|error| error.to_string())?;
    if tls.get_ref().1.alpn_protocol() != Some(shared_identity::ALPN) {
        return Err("the peer does not speak HTTP/2".into());
    }
    let peer = P::of(tls.get_ref().1, address)?;
    let cut = Box::pin(peer.cut().cancelled_owned());
    Ok(PeerIo { tls, peer, cut, _open: open })
}

impl<P: Peer> Connected for PeerIo<P> {
    type ConnectInfo = P;

    fn connect_info(&self) -> P {
        self.peer.clone()
    }
}

impl<P> PeerIo<P> {
    /// Fails once the connection was cut, and wakes whoever reads when it is.
    fn alive(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the hub has cut this connection")),
            Poll::Pending => Ok(()),
        }
    }
}

impl<P: Unpin> AsyncRead for PeerIo<P> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.alive(context)?;
        Pin::new(&mut self.tls).poll_read(context, buffer)
    }
}

impl<P: Unpin> AsyncWrite for PeerIo<P> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.alive(context)?;
        Pin::new(&mut self.tls).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.alive(context).is_err() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.tls).poll_shutdown(context)
    }
}
