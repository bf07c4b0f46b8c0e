//! An app on one cluster becomes objects: picks the engine, runs it over the source tree, replaces variables, gives every object its namespace,
//! and records what the result depends on. Which directory an app takes is decided in `hub/fleet`; what changes and when is left to `hub/plan`.
//!
//! A render is a pure function of its input and the tree, and never panics into its caller. It may use a lot of stack (64 levels of YAML, 64
//! kustomizations inside of each other): the caller runs it on a thread of at least [`STACK_BYTES`].

mod builds;
mod charts;
mod common;
mod engine;
mod helm;
mod input;
mod namespace;
mod plain;
mod problem;
mod quarantine;
mod render;
mod substitute;
mod values_from;

pub use builds::Builds;
pub use charts::{ChanceKey, LocalCharts};
pub use common::CommonMetadata;
pub use engine::{ENGINE_VERSION, Engine, EngineChoice};
pub use input::{ClusterFacts, InputDigest, InputsUsed, RenderInput};
pub use problem::RenderProblem;
pub use quarantine::{InvalidQuarantine, Quarantine, Suspect};
pub use render::{RenderOutcome, Rendered, Warning, render};
pub use substitute::{InvalidVariable, Substituting, Substitution, SubstitutionProblem, Variables};
pub use values_from::ValuesFromProblem;

/// The most objects of one app on one cluster: what one release may hold.
pub const OBJECT_LIMIT: usize = 5_000;

/// The most bytes of one app's objects as canonical JSON: 10 MiB, 2 KB for each of 5,000 objects, and the limit that Argo CD has.
pub const OUTPUT_LIMIT: usize = 10 << 20;

/// The stack of a thread that renders: 64 kustomizations inside of each other, with values of 64 levels, fit into the 2 MB of a test's thread
/// in a debug build; four times that is room.
pub const STACK_BYTES: usize = 8 << 20;
