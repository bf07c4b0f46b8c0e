//! Which clusters an app runs on, and for each other cluster why not. When it gets there is left to `hub/plan`.

use std::collections::BTreeMap;
use std::fmt;

use shared_model::{AppName, ClusterName, Reason, Severity};

use crate::fleet::{App, Fleet, Mismatch};
use crate::problem::Location;

/// Where an app runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// The clusters that it is wanted on, in the order of names.
    pub clusters: Vec<ClusterName>,
    /// Clusters where nothing of it may be added, changed or removed, each with the place of a problem that says why.
    pub held: BTreeMap<ClusterName, Location>,
}

/// Where `app` runs. Clusters that are blocked themselves are held, because it cannot be told whether the app is wanted there.
pub fn place(fleet: &Fleet, app: &App) -> Placement {
    let mut placement = Placement { clusters: Vec::new(), held: fleet.blocked.clusters.clone() };
    let pairs = fleet.blocked.pairs.get(&app.name).into_iter().flatten();
    placement.held.extend(pairs.map(|(cluster, location)| (cluster.clone(), location.clone())));
    let wanted = fleet.clusters.values().filter(|cluster| app.target.takes(cluster) && !placement.held.contains_key(&cluster.name));
    placement.clusters = wanted.map(|cluster| cluster.name.clone()).collect();
    placement
}

/// The place of the problem because of which nothing of `app` may be added, changed or removed on `cluster`, as [`Placement::held`] has it.
pub fn held_on<'a>(fleet: &'a Fleet, app: &AppName, cluster: &ClusterName) -> Option<&'a Location> {
    let pairs = fleet.blocked.pairs.get(app);
    pairs.and_then(|clusters| clusters.get(cluster)).or_else(|| fleet.blocked.clusters.get(cluster))
}

/// Why an app does not run on a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyNot {
    /// There is no such app.
    NoSuchApp(AppName),
    /// There is no such cluster.
    NoSuchCluster(ClusterName),
    /// The app stands still on all clusters.
    AppBlocked(Location),
    /// The cluster stands still for all apps.
    ClusterBlocked(Location),
    /// The app stands still on this cluster.
    PairBlocked(Location),
    /// The app does not want the cluster.
    NotWanted(Mismatch),
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchApp(app) => write!(f, "there is no app {app}"),
            Self::NoSuchCluster(cluster) => write!(f, "there is no cluster {cluster}"),
            Self::AppBlocked(location) => write!(f, "the app stands still because of the problem at {location}"),
            Self::ClusterBlocked(location) => write!(f, "the cluster stands still because of the problem at {location}"),
            Self::PairBlocked(location) => write!(f, "the app stands still on this cluster because of the problem at {location}"),
            Self::NotWanted(mismatch) => write!(f, "the app does not want the cluster: {mismatch}"),
        }
    }
}

impl From<&WhyNot> for Reason {
    fn from(why: &WhyNot) -> Self {
        let (severity, code) = match why {
            WhyNot::NoSuchApp(_) | WhyNot::NoSuchCluster(_) => (Severity::Error, "UnknownReference"),
            WhyNot::AppBlocked(_) | WhyNot::ClusterBlocked(_) | WhyNot::PairBlocked(_) => (Severity::Error, "Blocked"),
            WhyNot::NotWanted(_) => (Severity::Wait, "NotWanted"),
        };
        Self::new(severity, code, why.to_string())
    }
}

/// Why `app` does not run on `cluster`; `None` if it does.
pub fn why_not(fleet: &Fleet, app: &AppName, cluster: &ClusterName) -> Option<WhyNot> {
    if let Some(location) = fleet.blocked.apps.get(app) {
        return Some(WhyNot::AppBlocked(location.clone()));
    }
    if let Some(location) = fleet.blocked.clusters.get(cluster) {
        return Some(WhyNot::ClusterBlocked(location.clone()));
    }
    let Some(wanting) = fleet.apps.get(app) else { return Some(WhyNot::NoSuchApp(app.clone())) };
    let Some(wanted) = fleet.clusters.get(cluster) else { return Some(WhyNot::NoSuchCluster(cluster.clone())) };
    if let Some(location) = fleet.blocked.pairs.get(app).and_then(|clusters| clusters.get(cluster)) {
        return Some(WhyNot::PairBlocked(location.clone()));
    }
    wanting.target.mismatch(wanted).map(WhyNot::NotWanted)
}
