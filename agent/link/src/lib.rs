//! The agent's side of the conversation with the hub: one outbound connection, kept for ever, driving `shared/session`; enrolment, renewal and
//! re-attestation of its certificate. What is held, judged and stored is the agent core's, which this crate knows as a [`Site`].

mod config;
mod conversation;
mod dial;
mod enrol;
mod fetch;
mod interactive;
mod link;
mod renew;
mod site;
mod state;

pub use config::LinkConfig;
pub use dial::{DialError, HubAddress, InvalidAddress};
pub use enrol::{EnrolConfig, EnrolError, Enrolled, enrol, reattest};
pub use link::{Link, LinkError};
pub use site::{Later, LogSource, Site};
pub use state::LinkState;
