//! The language of a fleet repository: its kinds and their schema, problems with file and line, which app runs where, which directory it
//! takes, and what is suspicious about something that is no longer there. It leaves manifests to the render engines, the order of changes
//! and approvals to `hub/plan`, and where the tree comes from to `hub/source`.

mod absence;
mod account;
mod amount;
mod charts;
mod choice;
mod document;
mod fleet;
mod health;
mod helm;
mod kinds;
mod known;
mod label;
mod layers;
mod link;
mod near;
mod place;
mod problem;
mod project;
mod read;
mod resolve;
mod rule;
mod schema;
mod table;
mod template;

pub use absence::{Present, Suspicion, suspicions};
pub use account::{AccountError, service_account};
pub use amount::Share;
pub use charts::wanted_charts;
pub use choice::{Choice, ChoiceError, choose_path};
pub use fleet::{
    App, Apply, Approval, Blocked, CLUSTER_LABEL, Cluster, Conflicts, EachRegion, Fleet, Gap, Heal, IgnoreDifference, MetricGate, Mismatch,
    OnDelete, OnFailure, PathChoice, REGION_LABEL, Region, Rollout, Source, Stage, Supersede, Target, WhenLost,
};
pub use health::HealthCheckExpr;
pub use helm::{ChartFrom, FileParameter, HelmSource, Parameter, Values, ValuesFrom, ValuesKind};
pub use kinds::{API_VERSION, Kind};
pub use known::{InvalidKnown, KNOWN_VERSION, Known, KnownApp, KnownChoice};
pub use label::{Labels, Requirement, Selector};
pub use layers::{ImageLayer, KustomizeLayers, PatchLayer, PatchTarget, PostBuild, SubstituteStrategy};
pub use place::{Placement, WhyNot, held_on, place, why_not};
pub use problem::{Blocks, Location, Problem, ProblemCode};
pub use project::{FLEET_SOURCE, KindGlob, Project, Refusal};
pub use read::{FLEET_BUDGET, FleetFiles, read_fleet};
pub use resolve::{ResolveError, Resolved, resolve};
pub use schema::schemas;
pub use template::{Template, Variable, VariableError};
