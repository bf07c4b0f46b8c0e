//! The hub's HTTP API: routes below `/api/v1/`, authentication by token, limits, one shape of error. It leaves what the answers say to the
//! [`Hub`] behind it, and the making of TLS configurations to `shared/identity`.

mod access;
mod config;
mod hub;
mod live;
mod page;
mod refusal;
mod routes;
mod server;

pub use access::{AccessToken, Right, WRONG_TOKENS_LIMIT, WRONG_TOKENS_WINDOW};
pub use config::{ANSWER_TIME, REFRESH_TIME, WebConfig};
pub use hub::{Actor, Answer, Approval, ClusterAddition, HoldWish, Hub, HubError, StatusPage, TestWish};
pub use live::{LiveHub, LogPiece, LogStream, Place};
pub use server::serve;
pub use shared_session::{LogQuestion, ObjectQuery};
