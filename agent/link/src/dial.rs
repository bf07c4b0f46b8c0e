//! One connection to a hub: TCP, TLS, HTTP/2 with every limit set. Reconnecting is the caller's.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use shared_identity::{ConnectionBinding, connection_binding};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

/// How long TCP and TLS may take together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// What one stream may have on its way to the agent: at 50 ms round trip this allows 10 MB/s for objects.
const STREAM_WINDOW: u32 = 512 * 1024;

/// Streams that the agent has open at once: control, status, interactive, one fetch, one renewal, four logs; rounded up.
const STREAMS: u32 = 10;

/// More than all streams together, so that no lane can block another: 5.5 MiB at worst for an agent that is allowed 50 MiB.
const CONNECTION_WINDOW: u32 = (STREAMS + 1) * STREAM_WINDOW;

/// The headers of one response, decoded; a refusal with its text takes about 1 KiB.
const HEADER_LIST_LIMIT: u32 = 16 * 1024;

/// The largest frame.
const FRAME_LIMIT: u32 = 64 * 1024;

/// Streams of which the hub may send frames after they were reset here.
const RESET_STREAMS: usize = 16;

/// Streams that the agent had to reset because of the hub's errors.
const LOCAL_RESET_LIMIT: usize = 128;

/// How often a silent connection is probed, and how long the probe may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// Where a hub listens: host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubAddress {
    host: String,
    port: u16,
}

/// The text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no hub address; write HOST:PORT, for example hub.example.com:7443")]
pub struct InvalidAddress(String);

impl FromStr for HubAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.chars().take(200).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(invalid)?;
        ServerName::try_from(host.to_owned()).map_err(|_| invalid())?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HubAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// No connection was made.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The host was not found or does not listen.
    #[error("the hub at {address} cannot be reached: {error}")]
    Unreachable {
        /// Where it was looked for.
        address: HubAddress,
        /// What the system says.
        error: io::Error,
    },
    /// Somebody answered who is not the hub, or who refuses us.
    #[error(
        "TLS with the hub at {address} failed: {error}; the hub must show a certificate of the CA whose pin stood in the enrolment command"
    )]
    Tls {
        /// Where it was looked for.
        address: HubAddress,
        /// What TLS says.
        error: io::Error,
    },
    /// It took too long.
    #[error("the hub at {address} did not answer within {} seconds", DIAL_TIMEOUT.as_secs())]
    TimedOut {
        /// Where it was looked for.
        address: HubAddress,
    },
    /// HTTP/2 was not spoken.
    #[error("the connection to the hub at {address} broke at once: {error}")]
    Http {
        /// Where it was looked for.
        address: HubAddress,
        /// What the transport says.
        error: tonic::transport::Error,
    },
}

/// A fresh connection.
pub(crate) struct Dialled {
    pub(crate) channel: Channel,
    /// What only the two ends of it know.
    pub(crate) binding: Option<ConnectionBinding>,
}

/// Connects once. The channel does not reconnect by itself: when the connection ends, its calls fail.
pub(crate) async fn dial(address: &HubAddress, tls: Arc<ClientConfig>) -> Result<Dialled, DialError> {
    let stream = tokio::time::timeout(DIAL_TIMEOUT, shake(address, tls)).await;
    let stream = stream.map_err(|_| DialError::TimedOut { address: address.clone() })??;
    let binding = connection_binding(stream.get_ref().1).ok();
    let once = Mutex::new(Some(stream));
    let connector = tower::service_fn(move |_| {
        let stream = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move { stream.map(TokioIo::new).ok_or_else(|| io::Error::other("the connection ended")) }
    });
    let channel = endpoint().connect_with_connector(connector).await;
    let channel = channel.map_err(|error| DialError::Http { address: address.clone(), error })?;
    Ok(Dialled { channel, binding })
}

async fn shake(address: &HubAddress, tls: Arc<ClientConfig>) -> Result<TlsStream<TcpStream>, DialError> {
    let unreachable = |error| DialError::Unreachable { address: address.clone(), error };
    let tcp = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    let name = ServerName::try_from(address.host.clone()).expect("checked when the address was read");
    TlsConnector::from(tls).connect(name, tcp).await.map_err(|error| DialError::Tls { address: address.clone(), error })
}

/// The address in the URI is not used: the stream is made already.
fn endpoint() -> Endpoint {
    Endpoint::from_static("http://hub")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_adaptive_window(false)
        .http2_max_header_list_size(HEADER_LIST_LIMIT)
        .max_frame_size(FRAME_LIMIT)
        .http2_max_concurrent_reset_streams(RESET_STREAMS)
        .http2_max_local_error_reset_streams(LOCAL_RESET_LIMIT)
        .http2_keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .keep_alive_while_idle(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        for good in ["hub:7443", "hub.example.com:1", "127.0.0.1:65535", "[::1]:7443"] {
            assert_eq!(good.parse::<HubAddress>().unwrap().to_string(), good);
        }
        for bad in ["", "hub", "hub:", "hub:0", "hub:65536", "https://hub:1", "a b:1", ":1"] {
            assert!(bad.parse::<HubAddress>().is_err(), "{bad}");
        }
    }
}
