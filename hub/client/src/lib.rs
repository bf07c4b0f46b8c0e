//! A typed client of the hub's HTTP API. It leaves where address and token come from, and what to say to people, to its caller.

mod client;
mod config;
mod error;
mod live;

pub use client::{ANSWER_BYTES_LIMIT, Client, PAGES_LIMIT};
pub use config::{ClientConfig, InvalidToken, Token};
pub use error::{ClientError, Faults, SetUpError};
pub use live::{Log, LogEvent};
