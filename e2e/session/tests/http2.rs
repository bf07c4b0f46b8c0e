//! HTTP/2 abuse with a valid certificate, in raw frames: what a library's client would not send. Each attack must end its own connection, by the
//! limit that is meant for it, while others notice nothing.

use std::sync::Arc;
use std::time::Duration;

use e2e_session::Place;
use shared_identity::{RotatingCertificate, agent_client_config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_HEADERS: u8 = 4;

/// Error codes of RFC 9113 §7.
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

/// More streams than any limit here allows, few enough that a hub without limits answers them all in seconds.
const STREAMS: u32 = 5_000;

/// An attack must end by HTTP/2's own limits, before the ten seconds in which a connection without a control lane is cut anyway.
const SOON: Duration = Duration::from_secs(8);

async fn connect(place: &Place, cluster: &str) -> TlsStream<TcpStream> {
    let config = place.agent_config(cluster);
    let certificate = RotatingCertificate::agent(&config.certificate.chain, &config.key).unwrap();
    let tls = agent_client_config(&config.trusted, certificate).unwrap();
    let tcp = TcpStream::connect(place.address).await.unwrap();
    let name = rustls::pki_types::ServerName::from(place.address.ip());
    let mut stream = TlsConnector::from(Arc::clone(&tls)).connect(name, tcp).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    stream
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A POST to nowhere, with HPACK's static table and plain literals: no lane of the hub's own ends the connection before HTTP/2's limits do.
fn request() -> Vec<u8> {
    let path = b"/nowhere";
    [&[0x83, 0x86, 0x04, u8::try_from(path.len()).unwrap()][..], path, &[0x01, 3], b"hub"].concat()
}

/// The streams that a client opens: 1, 3, 5 …
fn opened() -> impl Iterator<Item = u32> {
    (0..STREAMS).map(|n| 2 * n + 1)
}

fn rapid_resets() -> Vec<u8> {
    opened()
        .flat_map(|stream| [frame(HEADERS, END_HEADERS, stream, &request()), frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat())
        .collect()
}

/// The client makes the server reset each stream, by a window that overflows (CVE-2025-8671).
fn resets_of_the_servers_own() -> Vec<u8> {
    let overflow = 0x7fff_ffff_u32.to_be_bytes();
    opened()
        .flat_map(|stream| [frame(HEADERS, END_HEADERS, stream, &request()), frame(WINDOW_UPDATE, 0, stream, &overflow)].concat())
        .collect()
}

fn endless_headers() -> Vec<u8> {
    // A literal header of 100 bytes, again and again, in one header block that never ends.
    let header = [&[0x00, 1, b'x', 100][..], &[b'y'; 100]].concat();
    let mut flood = frame(HEADERS, 0, 1, &request());
    for _ in 0..STREAMS {
        flood.extend(frame(CONTINUATION, 0, 1, &header.repeat(10)));
    }
    flood
}

/// How the hub answered a flood.
#[derive(Debug, Default)]
struct Ended {
    /// Streams that it reset itself.
    resets: usize,
    /// The code of its goodbye in HTTP/2's words; a goodbye can be lost when the hub closes on unread input.
    code: Option<u32>,
}

/// Reads frames until the hub hangs up.
async fn read_to_end(stream: &mut (impl AsyncReadExt + Unpin)) -> Ended {
    let mut ended = Ended::default();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        if stream.read_exact(&mut payload).await.is_err() {
            break;
        }
        match head[3] {
            RST_STREAM => ended.resets += 1,
            GOAWAY => ended.code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap())),
            _ => {}
        }
    }
    ended
}

#[tokio::test]
async fn each_attack_ends_its_own_connection_and_no_other() {
    let place = Place::start().await;
    let honest = place.agent("honest").await;
    for (name, flood) in [("rapid", rapid_resets()), ("made-you-reset", resets_of_the_servers_own()), ("continuation", endless_headers())] {
        let (mut reading, mut writing) = tokio::io::split(connect(&place, name).await);
        // The hub may hang up before it has read everything.
        let writer = tokio::spawn(async move { writing.write_all(&flood).await });
        let ended = tokio::time::timeout(SOON, read_to_end(&mut reading)).await.unwrap_or_else(|_| panic!("{name}: the hub bears it"));
        assert!(ended.code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{name}: {ended:?}");
        assert!(ended.resets <= hub_distribute::LOCAL_RESET_LIMIT, "{name}: {ended:?}");
        drop(reading);
        let _: Result<_, _> = writer.await.unwrap();
    }
    honest.in_sync().await;
    assert!(!place.desk.state().parted.contains_key(&honest.identity));
}

#[tokio::test]
async fn the_hub_announces_its_limits() {
    let place = Place::start().await;
    let mut stream = connect(&place, "reader").await;
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], SETTINGS);
    let mut payload = vec![0; usize::from(head[2])];
    stream.read_exact(&mut payload).await.unwrap();
    let setting = |id: u16| {
        let found = payload.chunks(6).find(|entry| entry[..2] == id.to_be_bytes());
        found.map(|entry| u32::from_be_bytes(entry[2..].try_into().unwrap()))
    };
    assert_eq!(setting(3), Some(hub_distribute::STREAM_LIMIT));
    assert_eq!(setting(4), Some(hub_distribute::STREAM_WINDOW));
    assert_eq!(setting(6), Some(hub_distribute::HEADER_LIST_LIMIT));
}
