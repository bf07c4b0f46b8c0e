//! What an operator may set of the web server, and the limits that nobody has to.

use std::sync::Arc;
use std::time::Duration;

use crate::AccessToken;

/// The longest an answer may take.
pub const ANSWER_TIME: Duration = Duration::from_secs(30);

/// The longest a refresh may take: the fetch of a large repository's new commits.
pub const REFRESH_TIME: Duration = Duration::from_secs(120);

/// The largest request body: an addition with a hundred labels takes 15 KB.
pub(crate) const BODY_BYTES_LIMIT: usize = 1 << 20;

/// The largest request head: a token, a continuation and a browser's cookies fit in 16 KiB.
pub(crate) const HEAD_BYTES_LIMIT: usize = 16 * 1024;

/// The longest a client may take for a request's head, and to stay silent between two requests.
pub(crate) const HEAD_TIME: Duration = Duration::from_secs(15);

/// The longest a TLS handshake may take.
pub(crate) const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// The most connections at once: 512 × (16 KiB head + 64 KiB of buffers) stay under 40 MiB.
pub(crate) const CONNECTIONS_LIMIT: usize = 512;

/// The most streams of one HTTP/2 connection: a page with its parts asks for a dozen.
pub(crate) const STREAMS_LIMIT: u32 = 32;

/// The most requests in work at once: 64 pages of a status are 64 MB.
pub(crate) const REQUESTS_LIMIT: usize = 64;

/// The most logs that are read at once, over all clusters: 32 × about 300 KB on their way stay under 10 MB.
pub(crate) const LOGS_LIMIT: usize = 32;

/// The longest line of a log that is sent whole; a longer one is sent in parts.
pub(crate) const LOG_LINE_LIMIT: usize = 64 * 1024;

/// How often a log that says nothing shows that it is still read, so that a reader who went away without a word is noticed.
pub(crate) const LOG_SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// What the web server needs from its operator.
#[derive(Clone)]
pub struct WebConfig {
    /// Who may ask, by the hashes of their tokens. With none, nobody may.
    pub tokens: Vec<AccessToken>,
    /// TLS as made by whoever owns the certificates. Without it the server speaks plain HTTP, for loopback and for a proxy beside it.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}
