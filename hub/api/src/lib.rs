//! The public HTTP API's types, version `capstan.dev/v1`: what the hub's web server writes and its clients read. It leaves transport and
//! authentication to `hub/web` and `hub/client`, and where the facts come from to the hub.
//!
//! Every field that speaks of health is part of a [`Judged`], which only its constructors make: they pass what an agent reported through
//! the freshness of the report, so that nothing is shown as healthy that was not heard within the last half minute.

mod app;
mod app_test;
mod approval;
mod cluster;
mod diff;
mod envelope;
mod error;
mod hold;
mod judged;
mod live;
mod nodes;
mod problem;
mod query;
mod secret;
mod source;
mod word;

pub use app::{AppView, DriftView, FieldChangeView, ObjectRef, ObjectView, StatusView, TakenOverView};
pub use app_test::{TestAppRequest, TestResultView, TestView};
pub use approval::{ApprovalRequest, ApprovalView, PendingApproval};
pub use cluster::{AcceptRequest, AddClusterRequest, ClusterCounts, ClusterView, EnrolmentView, RegionView};
pub use diff::{DiffView, FieldDiff, ObjectDiff};
pub use envelope::{API_VERSION, List, ListMetadata, Named, One};
pub use error::{ErrorBody, ErrorCode};
pub use hold::{HoldRequest, HoldView};
pub use judged::{HealthCounts, Judged};
pub use live::{
    EventView, EventsView, LiveDiffView, LiveObjectDiff, LiveObjectView, LogParameters, ObjectParameters, PodView, TreeNodeView, TreeView,
    log_event,
};
pub use nodes::{DeviceView, NodeGroupView, NodesView};
pub use problem::{ProblemView, ReasonView};
pub use query::{PAGE_DEFAULT, PAGE_LIMIT, PageQuery, StatusFilter, StatusQuery};
pub use secret::SecretText;
pub use source::{FetchFailure, RefreshRequest, RevisionView, SourceView};
pub use word::{ChangeWord, ClusterState, DriftWord, FreshnessWord, HealthWord, SeverityWord, SyncWord, TestWord};
