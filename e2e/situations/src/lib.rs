//! Situations in which tools of this kind are known to fail, each a file with what happens and what must follow, run with the real agent
//! against a real API server and against the one in memory. Also the hub that tests of the agent play, and the count of its requests.

mod act;
mod api;
mod expect;
mod hub;
mod kinds;
mod requests;
mod run;
mod situation;
mod webhook;

pub use act::{Act, Injection};
pub use api::Api;
pub use expect::{AppExpectation, DriftExpectation, Expectation, Mismatch, ObjectExpectation, Text, UnhealthyExpectation};
pub use hub::{CLUSTER, Publication, PublishedApp, PublishedObject, TestHub};
pub use kinds::{Kinds, Subject};
pub use requests::{Requests, Sent};
pub use run::{Failure, run};
pub use situation::{Action, Change, Situation, Step};
