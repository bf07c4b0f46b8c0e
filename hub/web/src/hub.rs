//! What the web server asks of a hub, in the hub's words. Where the answers come from is left to whoever implements it.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Duration;

use hub_api::{
    AppView, ApprovalView, ClusterView, DiffView, EnrolmentView, HoldView, ProblemView, RegionView, SourceView, StatusFilter, StatusView,
    TestView,
};
use shared_model::{AppName, ClusterName, ClusterUid, Digest, Reason, RegionName, SourceName};

use crate::{LiveHub, Right};

/// An answer to come.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, HubError>> + Send + 'a>>;

/// A hub as its API sees it. Lists may come in any order: the web server sorts and pages them, except for [`status`](Hub::status).
///
/// A call may be dropped before it ends, as its client went away or the answer took too long: a change then happened whole or not at all.
pub trait Hub: LiveHub + Send + Sync + 'static {
    /// All regions.
    fn regions(&self) -> Answer<'_, Vec<RegionView>>;

    /// All clusters, also those that wait, are held or are revoked.
    fn clusters(&self) -> Answer<'_, Vec<ClusterView>>;

    /// One cluster.
    fn cluster(&self, name: ClusterName) -> Answer<'_, ClusterView>;

    /// All apps.
    fn apps(&self) -> Answer<'_, Vec<AppView>>;

    /// One app.
    fn app(&self, name: AppName) -> Answer<'_, AppView>;

    /// The rows that `filter` admits ([`StatusFilter::admits`]), in the order of app, then cluster, from `page` on.
    fn status(&self, filter: StatusFilter, page: StatusPage) -> Answer<'_, Vec<StatusView>>;

    /// All problems, of files, renders and sources.
    fn problems(&self) -> Answer<'_, Vec<ProblemView>>;

    /// All sources.
    fn sources(&self) -> Answer<'_, Vec<SourceView>>;

    /// What would change of `app`, in `cluster` or in each of its clusters. Secret values are redacted.
    fn diff(&self, app: AppName, cluster: Option<ClusterName>) -> Answer<'_, Vec<DiffView>>;

    /// Fetches `source`, or all, and answers when that is done, with what was seen. A fetch that failed is no error here: its source says so.
    fn refresh(&self, actor: Actor, source: Option<SourceName>) -> Answer<'_, Vec<SourceView>>;

    /// Records a cluster that may enrol, and makes its one-time token.
    fn add_cluster(&self, actor: Actor, addition: ClusterAddition) -> Answer<'_, EnrolmentView>;

    /// Accepts the held cluster `name` if it is still `uid` that asks.
    fn accept_cluster(&self, actor: Actor, name: ClusterName, uid: ClusterUid) -> Answer<'_, ClusterView>;

    /// Revokes the agent of `name` and forgets the enrolment; what runs in the cluster is left as it is.
    fn remove_cluster(&self, actor: Actor, name: ClusterName) -> Answer<'_, ClusterView>;

    /// Lets the held change of exactly this digest happen.
    fn approve(&self, actor: Actor, approval: Approval) -> Answer<'_, ApprovalView>;

    /// The holds that stand.
    fn holds(&self) -> Answer<'_, Vec<HoldView>>;

    /// Lets nothing of an app be changed for a while, in the place of an earlier hold of the same app and cluster.
    fn hold(&self, actor: Actor, wish: HoldWish) -> Answer<'_, HoldView>;

    /// How the tests of `app` stand, in `cluster` or in each of its clusters.
    fn tests(&self, app: AppName, cluster: Option<ClusterName>) -> Answer<'_, Vec<TestView>>;

    /// Asks for tests, in the place of a request that did not end.
    fn request_tests(&self, actor: Actor, wish: TestWish) -> Answer<'_, Vec<TestView>>;

    /// Ends a hold before its time.
    fn resume(&self, actor: Actor, app: AppName, cluster: Option<ClusterName>) -> Answer<'_, HoldView>;
}

/// Who asks for a change: the name of the token, for the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The name of the token that was shown.
    pub name: String,
    /// What the token lets its holder do.
    pub rights: BTreeSet<Right>,
}

/// Which rows of the status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusPage {
    /// The rows after this one; it need not be there any more.
    pub after: Option<(AppName, ClusterName)>,
    /// At most so many.
    pub limit: usize,
}

/// A cluster that may enrol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterAddition {
    /// Its name.
    pub name: ClusterName,
    /// Its region.
    pub region: RegionName,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// What an operator approves. At least one of app and cluster is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The app, if the change is an app's.
    pub app: Option<AppName>,
    /// The cluster, if the change is in one cluster.
    pub cluster: Option<ClusterName>,
    /// The digest of the change that was shown.
    pub digest: Digest,
}

/// What an operator wants tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestWish {
    /// The app.
    pub app: AppName,
    /// The cluster; all of the app's clusters if `None`.
    pub cluster: Option<ClusterName>,
    /// How many seconds the tests may take.
    pub seconds: Option<u32>,
}

/// What an operator wants held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldWish {
    /// The app.
    pub app: AppName,
    /// The cluster; all of the app's clusters if `None`.
    pub cluster: Option<ClusterName>,
    /// Why.
    pub reason: String,
    /// For how long from now.
    pub time: Duration,
}

/// Why a hub does not answer as asked. Messages reach the operator word for word and hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    /// Nothing of that name.
    #[error("there is no {what} \"{name}\"")]
    NotFound {
        /// What was asked for: `cluster`, `app`, `source`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The hub understands and will not: a name that is taken, a digest that is another by now, a policy.
    #[error("{message}")]
    Refused {
        /// CamelCase, stable.
        code: &'static str,
        /// Why.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The hub cannot answer now and may later: its store has no space, another hub leads.
    #[error("{message}")]
    Unavailable {
        /// Why.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The cluster that was asked will not: its agent says why.
    #[error("{}", .0.message)]
    Cluster(Reason),
    /// A fault of the hub. The message is logged; the operator is told where to look.
    #[error("{message}")]
    Internal {
        /// What happened.
        message: String,
    },
}
