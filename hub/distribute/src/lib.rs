//! The hub's side of the conversation with agents: two gRPC listeners (the session, and the enrolment door), one task per agent that drives
//! `shared/session`. Everything that needs the hub's knowledge it asks of a [`Desk`]; TLS configurations come from `shared/identity`.

mod accept;
mod config;
mod connection;
mod conversation;
mod desk;
mod enrolment;
mod fetch;
mod handle;
mod interactive;
mod limits;
mod registry;
mod session;

pub use config::{DistributeConfig, EnrolmentConfig};
pub use desk::{Admission, Desk, EnrolRefusal, EnrolRequest, Enrolled, Later, ReattestRequest, Unavailable};
pub use enrolment::{EnrolmentHandle, serve_enrolment};
pub use handle::{Handle, serve};
pub use interactive::{AskError, LogReader};
pub use limits::{
    CONNECTION_WINDOW, ENROL_MESSAGE_LIMIT, HANDSHAKE_TIMEOUT, HEADER_LIST_LIMIT, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, LOCAL_RESET_LIMIT,
    PENDING_RESET_LIMIT, STREAM_LIMIT, STREAM_WINDOW,
};
pub use shared_proto::LogPiece;
