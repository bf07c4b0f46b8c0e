//! Every limit of the two HTTP/2 servers, set explicitly: tonic's unset defaults switch h2's limit of local resets off and leave the number of
//! streams open.

use std::time::Duration;

use tonic::transport::Server;

/// How long a TLS handshake may take; an agent on a bad line needs three round trips.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Streams on one connection: control, status, interactive, renewal, four logs, and room for parallel fetches.
pub const STREAM_LIMIT: u32 = 16;

/// What one stream may have on its way to the hub: a usual status update.
pub const STREAM_WINDOW: u32 = 256 * 1024;

/// What one connection may have on its way: more than all its streams together, so that no lane can block another.
pub const CONNECTION_WINDOW: u32 = (STREAM_LIMIT + 1) * STREAM_WINDOW;

/// The headers of one request, decoded. gRPC sends less than 1 KiB.
pub const HEADER_LIST_LIMIT: u32 = 16 * 1024;

/// The largest frame: four of HTTP/2's default, so that a chunk of 1 MiB takes 16 frames.
pub(crate) const FRAME_LIMIT: u32 = 64 * 1024;

/// Streams that the peer opened and reset before they were served (rapid reset, RUSTSEC-2023-0034); h2's own default.
pub const PENDING_RESET_LIMIT: usize = 20;

/// Streams that the hub had to reset because of the peer's errors (RUSTSEC-2024-0003 and its kin); far below h2's default of 1,024.
pub const LOCAL_RESET_LIMIT: usize = 128;

/// How often a silent connection is probed.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// How long a probe may take; with the interval a dead peer is noticed within 30 s.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may stay without opening its control lane.
pub(crate) const CONTROL_PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may linger after a goodbye, so that it is read. Well under the 5 seconds in which a revoked agent must be gone.
pub(crate) const GOODBYE_GRACE: Duration = Duration::from_secs(1);

/// Messages that wait on the control lane of one agent. The session sends at most six in a row (a welcome, four contents, a heartbeat's answer);
/// an agent that leaves 32 unread is cut.
pub(crate) const CONTROL_QUEUE: usize = 32;

/// The largest enrolment message: a token, a uid and a request of 4 KiB.
pub const ENROL_MESSAGE_LIMIT: usize = 32 * 1024;

/// Streams on an enrolment connection: one call, and one that is retried.
const ENROL_STREAM_LIMIT: u32 = 2;

/// How long an enrolment connection lives.
pub(crate) const ENROL_CONNECTION_AGE: Duration = Duration::from_secs(30);

/// How long one enrolment may take.
const ENROL_TIMEOUT: Duration = Duration::from_secs(20);

/// The server of the session.
pub(crate) fn session_server() -> Server {
    Server::builder()
        .accept_http1(false)
        .max_concurrent_streams(STREAM_LIMIT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_adaptive_window(Some(false))
        .http2_max_header_list_size(HEADER_LIST_LIMIT)
        .max_frame_size(FRAME_LIMIT)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESET_LIMIT))
        .http2_max_local_error_reset_streams(Some(LOCAL_RESET_LIMIT))
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}

/// The server of the enrolment door: the same with less of everything, and nothing lives long.
pub(crate) fn enrolment_server() -> Server {
    session_server()
        .max_concurrent_streams(ENROL_STREAM_LIMIT)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(128 * 1024)
        .max_connection_age(ENROL_CONNECTION_AGE)
        .max_connection_age_grace(GOODBYE_GRACE)
        .timeout(ENROL_TIMEOUT)
}
