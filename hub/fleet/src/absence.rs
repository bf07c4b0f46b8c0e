//! Absence is suspicious: what was there when the fleet was last planned and is gone now is held and named, not acted upon. What is held
//! with which approval is left to `hub/plan`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use hub_tree::TreePath;
use shared_model::{AppName, ClusterName, Reason, Severity};

use crate::choice::Choice;
use crate::fleet::{Fleet, Gap};
use crate::known::{Known, KnownApp, KnownChoice};
use crate::place::place;
use crate::problem::some_of;

/// What an app takes on a cluster now. A pair for which this is not known, as its render failed, has none and is not suspected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The directory that was chosen.
    pub choice: Choice,
    /// How many objects came of it.
    pub objects: u32,
}

/// Something that was there and is gone. Each is a change that must not happen by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suspicion {
    /// A `firstOf` chooses a less special directory than before.
    PathMovedLater {
        /// The app.
        app: AppName,
        /// The cluster.
        cluster: ClusterName,
        /// The directory before.
        from: TreePath,
        /// The directory now.
        to: TreePath,
    },
    /// An app that ran somewhere matches no cluster any more.
    MatchesNothing {
        /// The app.
        app: AppName,
        /// Where it ran.
        was_on: Vec<ClusterName>,
    },
    /// Nothing comes of a source that had objects.
    TurnedEmpty {
        /// The app.
        app: AppName,
        /// The cluster.
        cluster: ClusterName,
        /// The directory now.
        path: TreePath,
        /// How many objects there were.
        objects: u32,
    },
    /// No file defines the app any more.
    AppDisappeared {
        /// The app.
        app: AppName,
        /// The file that defined it.
        file: TreePath,
        /// Where it ran.
        was_on: Vec<ClusterName>,
    },
    /// No file defines the cluster any more. What runs there is orphaned, always.
    ClusterDisappeared {
        /// The cluster.
        cluster: ClusterName,
        /// The file that defined it.
        file: TreePath,
        /// What ran there.
        had: Vec<AppName>,
    },
    /// Whether the app is still defined cannot be told.
    AppUndetermined {
        /// The app.
        app: AppName,
        /// The file that defined it.
        file: TreePath,
        /// The first place that cannot be read.
        gap: Gap,
    },
    /// Whether the cluster is still defined cannot be told.
    ClusterUndetermined {
        /// The cluster.
        cluster: ClusterName,
        /// The file that defined it.
        file: TreePath,
        /// The first place that cannot be read.
        gap: Gap,
    },
}

impl Suspicion {
    /// Whether an approval can let it happen. What cannot be told can only be mended.
    pub fn can_be_approved(&self) -> bool {
        !matches!(self, Self::AppUndetermined { .. } | Self::ClusterUndetermined { .. })
    }

    /// The app that it is about.
    pub fn app(&self) -> Option<&AppName> {
        match self {
            Self::PathMovedLater { app, .. }
            | Self::MatchesNothing { app, .. }
            | Self::TurnedEmpty { app, .. }
            | Self::AppDisappeared { app, .. }
            | Self::AppUndetermined { app, .. } => Some(app),
            Self::ClusterDisappeared { .. } | Self::ClusterUndetermined { .. } => None,
        }
    }

    /// The one cluster that it is about.
    pub fn cluster(&self) -> Option<&ClusterName> {
        match self {
            Self::PathMovedLater { cluster, .. }
            | Self::TurnedEmpty { cluster, .. }
            | Self::ClusterDisappeared { cluster, .. }
            | Self::ClusterUndetermined { cluster, .. } => Some(cluster),
            Self::MatchesNothing { .. } | Self::AppDisappeared { .. } | Self::AppUndetermined { .. } => None,
        }
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::PathMovedLater { .. } => "PathMovedLater",
            Self::MatchesNothing { .. } => "MatchesNothing",
            Self::TurnedEmpty { .. } => "TurnedEmpty",
            Self::AppDisappeared { .. } => "AppDisappeared",
            Self::ClusterDisappeared { .. } => "ClusterDisappeared",
            Self::AppUndetermined { .. } => "AppUndetermined",
            Self::ClusterUndetermined { .. } => "ClusterUndetermined",
        }
    }
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PathMovedLater { app, cluster, from, to } => {
                write!(f, "app {app} on {cluster} would take {to} in place of {from}, which is gone or no longer named")
            }
            Self::MatchesNothing { app, was_on } => write!(f, "app {app} matches no cluster any more; it runs on {}", some_of(was_on)),
            Self::TurnedEmpty { app, cluster, path, objects } => {
                write!(f, "nothing comes of {path} for app {app} on {cluster}, where {objects} objects came of its source before")
            }
            Self::AppDisappeared { app, file, was_on } if was_on.is_empty() => write!(f, "app {app} is gone, which {file} defined"),
            Self::AppDisappeared { app, file, was_on } => {
                write!(f, "app {app} is gone, which {file} defined; it runs on {}", some_of(was_on))
            }
            Self::ClusterDisappeared { cluster, file, had } if had.is_empty() => {
                write!(f, "cluster {cluster} is gone, which {file} defined; nothing runs there")
            }
            Self::ClusterDisappeared { cluster, file, had } => {
                write!(f, "cluster {cluster} is gone, which {file} defined; what runs there stays: {}", some_of(had))
            }
            Self::AppUndetermined { app, file, gap } => {
                write!(f, "app {app}, which {file} defined, is not found, and may be defined in {}: {}", gap.path, gap.reason)
            }
            Self::ClusterUndetermined { cluster, file, gap } => {
                write!(f, "cluster {cluster}, which {file} defined, is not found, and may be defined in {}: {}", gap.path, gap.reason)
            }
        }
    }
}

impl From<&Suspicion> for Reason {
    fn from(suspicion: &Suspicion) -> Self {
        let severity = if suspicion.can_be_approved() { Severity::Warning } else { Severity::Error };
        Self::new(severity, suspicion.code(), suspicion.to_string())
    }
}

/// What is suspicious about `fleet` and `now`, compared to what was `known`. What is blocked or held keeps running anyway and is not suspected.
pub fn suspicions(known: &Known, fleet: &Fleet, now: &BTreeMap<(AppName, ClusterName), Present>) -> Vec<Suspicion> {
    let mut found = Vec::new();
    for (name, app) in &known.apps {
        if fleet.blocked.apps.contains_key(name) {
            continue;
        }
        match fleet.apps.get(name) {
            None => found.push(missing_app(name, app, fleet.incomplete.first())),
            Some(wanted) => {
                let placement = place(fleet, wanted);
                // A cluster that is gone itself is suspected for all of its apps below.
                let was_on: Vec<ClusterName> = app.on.keys().filter(|cluster| fleet.clusters.contains_key(*cluster)).cloned().collect();
                if placement.clusters.is_empty() && placement.held.is_empty() && !was_on.is_empty() {
                    found.push(Suspicion::MatchesNothing { app: name.clone(), was_on });
                }
                for cluster in &placement.clusters {
                    let pair = (name.clone(), cluster.clone());
                    if let (Some(before), Some(present)) = (app.on.get(cluster), now.get(&pair)) {
                        found.extend(moved(&pair, before, present));
                        found.extend(emptied(&pair, before, present));
                    }
                }
            }
        }
    }
    let gone = known.clusters.iter().filter(|(name, _)| !fleet.clusters.contains_key(*name) && !fleet.blocked.clusters.contains_key(*name));
    found.extend(gone.map(|(name, file)| missing_cluster(name, file, known, fleet.incomplete.first())));
    found
}

fn missing_app(name: &AppName, app: &KnownApp, gap: Option<&Gap>) -> Suspicion {
    let (name, file) = (name.clone(), app.file.clone());
    match gap {
        Some(gap) => Suspicion::AppUndetermined { app: name, file, gap: gap.clone() },
        None => Suspicion::AppDisappeared { app: name, file, was_on: app.on.keys().cloned().collect() },
    }
}

fn missing_cluster(name: &ClusterName, file: &TreePath, known: &Known, gap: Option<&Gap>) -> Suspicion {
    let (cluster, file) = (name.clone(), file.clone());
    match gap {
        Some(gap) => Suspicion::ClusterUndetermined { cluster, file, gap: gap.clone() },
        None => {
            let had = known.apps.iter().filter(|(_, app)| app.on.contains_key(name)).map(|(app, _)| app.clone()).collect();
            Suspicion::ClusterDisappeared { cluster, file, had }
        }
    }
}

/// Another directory than before, which is passed over now or stood earlier in the list. The same directory at another place in an edited
/// list is no move.
fn moved((app, cluster): &(AppName, ClusterName), before: &KnownChoice, now: &Present) -> Option<Suspicion> {
    let later = now.choice.skipped.contains(&before.path) || now.choice.index > before.index as usize;
    (before.path != now.choice.path && later).then(|| Suspicion::PathMovedLater {
        app: app.clone(),
        cluster: cluster.clone(),
        from: before.path.clone(),
        to: now.choice.path.clone(),
    })
}

fn emptied((app, cluster): &(AppName, ClusterName), before: &KnownChoice, now: &Present) -> Option<Suspicion> {
    (before.objects > 0 && now.objects == 0).then(|| Suspicion::TurnedEmpty {
        app: app.clone(),
        cluster: cluster.clone(),
        path: now.choice.path.clone(),
        objects: before.objects,
    })
}

impl Known {
    /// What is to be known after this plan: the present, but for what is `held`, blocked or could not be told, which stays as it was. So a
    /// suspicion stands until it is approved (and left out of `held`) or what was missing is back.
    pub fn after(&self, fleet: &Fleet, now: &BTreeMap<(AppName, ClusterName), Present>, held: &[Suspicion]) -> Self {
        let held = Held::of(held);
        let mut next = Self::default();
        for (name, cluster) in &fleet.clusters {
            next.clusters.insert(name.clone(), cluster.location.file.clone());
        }
        for (name, file) in &self.clusters {
            if fleet.blocked.clusters.contains_key(name) || held.clusters.contains(name) {
                next.clusters.insert(name.clone(), file.clone());
            }
        }
        for (name, app) in &fleet.apps {
            let none = BTreeMap::new();
            let before = self.apps.get(name).map_or(&none, |before| &before.on);
            let placement = place(fleet, app);
            let mut on = BTreeMap::new();
            for cluster in &placement.clusters {
                let present = now.get(&(name.clone(), cluster.clone())).map(remembered);
                let held = held.pairs.contains(&(name, cluster));
                let choice = if held { None } else { present }.or_else(|| before.get(cluster).cloned());
                on.extend(choice.map(|choice| (cluster.clone(), choice)));
            }
            for (cluster, choice) in before {
                let gone = !fleet.clusters.contains_key(cluster) && next.clusters.contains_key(cluster);
                if gone || held.nowhere.contains(name) || placement.held.contains_key(cluster) {
                    on.insert(cluster.clone(), choice.clone());
                }
            }
            next.apps.insert(name.clone(), KnownApp { file: app.location.file.clone(), on });
        }
        for (name, app) in &self.apps {
            if fleet.blocked.apps.contains_key(name) || held.apps.contains(name) {
                next.apps.insert(name.clone(), app.clone());
            }
        }
        next
    }
}

/// What is held, by what it is about.
#[derive(Default)]
struct Held<'s> {
    pairs: BTreeSet<(&'s AppName, &'s ClusterName)>,
    nowhere: BTreeSet<&'s AppName>,
    apps: BTreeSet<&'s AppName>,
    clusters: BTreeSet<&'s ClusterName>,
}

impl<'s> Held<'s> {
    fn of(suspicions: &'s [Suspicion]) -> Self {
        let mut held = Self::default();
        for suspicion in suspicions {
            match suspicion {
                Suspicion::PathMovedLater { app, cluster, .. } | Suspicion::TurnedEmpty { app, cluster, .. } => {
                    held.pairs.insert((app, cluster));
                }
                Suspicion::MatchesNothing { app, .. } => {
                    held.nowhere.insert(app);
                }
                Suspicion::AppDisappeared { app, .. } | Suspicion::AppUndetermined { app, .. } => {
                    held.apps.insert(app);
                }
                Suspicion::ClusterDisappeared { cluster, .. } | Suspicion::ClusterUndetermined { cluster, .. } => {
                    held.clusters.insert(cluster);
                }
            }
        }
        held
    }
}

fn remembered(present: &Present) -> KnownChoice {
    KnownChoice {
        path: present.choice.path.clone(),
        index: u32::try_from(present.choice.index).unwrap_or(u32::MAX),
        objects: present.objects,
    }
}
