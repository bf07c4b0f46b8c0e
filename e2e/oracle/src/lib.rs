//! What the real kustomize and the real Helm say, for tests: clients of the resident oracles (`go/`, built by `setup.sh`, and `helm-go/`, built by
//! `helm-setup.sh`), kustomizations made at random from a seed, and the smallest case that shows a difference. What is compared, and how, is left
//! to the tests that ask.

mod chance;
mod client;
mod generator;
mod helm;
mod minimise;
mod report;

pub use chance::Chance;
pub use client::{Answer, AskError, MissingOracle, Oracle, must_not_skip, note_skip};
pub use generator::{Case, case};
pub use helm::{HelmAnswer, HelmOracle, HelmPrograms, MissingHelm};
pub use minimise::minimise;
pub use report::{diff, show};
