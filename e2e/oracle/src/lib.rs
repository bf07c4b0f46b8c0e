//! What the real kustomize says, for tests: a client of the resident oracle (`go/`, built by `setup.sh`), kustomizations made at random from a
//! seed, and the smallest case that shows a difference. What is compared with kustomize, and how, is left to the tests that ask.

mod chance;
mod client;
mod generator;
mod minimise;
mod report;

pub use chance::Chance;
pub use client::{Answer, AskError, MissingOracle, Oracle, must_not_skip, note_skip};
pub use generator::{Case, case};
pub use minimise::minimise;
pub use report::{diff, show};
