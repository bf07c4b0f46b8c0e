//! What a fleet asks of one of its clusters, app by app: from what was rendered, how far rollouts are, and what is suspicious or broken. What comes
//! of that is left to `plan_cluster`.

use std::collections::BTreeMap;
use std::sync::Arc;

use hub_fleet::{App, Choice, Cluster, Fleet, Location, Suspicion, held_on, service_account};
use shared_model::{AppName, ClusterName, Digest, Reason, Severity};
use shared_release::{Index, Release};

use crate::rollout::Permission;
use crate::wanted::{Wanted, WantedApp, WantedRelease};

/// What came of an app on a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedApp {
    /// The directory that it was made from.
    pub choice: Choice,
    /// How many objects it has.
    pub objects: u32,
    /// The release.
    pub release: Arc<Release>,
    /// Its digest.
    pub digest: Digest,
}

/// What came of each app on each cluster that it wants, or why nothing did.
pub type RenderedApps = BTreeMap<(AppName, ClusterName), Result<RenderedApp, Reason>>;

/// What a fleet asks of its clusters.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The fleet.
    pub fleet: &'a Fleet,
    /// What was rendered.
    pub rendered: &'a RenderedApps,
    /// What is gone that was there.
    pub suspected: &'a [Suspicion],
    /// How far rollouts let it go; an app without a rollout has no entry and moves at once.
    pub permissions: &'a BTreeMap<(AppName, ClusterName), Permission>,
    /// The releases that permissions name, by digest.
    pub releases: &'a BTreeMap<Digest, Arc<Release>>,
}

impl Asked<'_> {
    /// What is asked of `cluster`, which was told `previous`.
    pub fn of(&self, cluster: &ClusterName, previous: Option<&Index>) -> Wanted {
        if let Some(location) = self.fleet.blocked.clusters.get(cluster) {
            let message = format!("everything stays as it is because of the problem at {location}");
            return Wanted::KeepAll(Reason::new(Severity::Error, "ClusterBlocked", message));
        }
        let gone = |suspicion: &&Suspicion| suspicion.app().is_none() && suspicion.cluster() == Some(cluster);
        if let Some(suspicion) = self.suspected.iter().find(gone) {
            return Wanted::KeepAll(suspicion.into());
        }
        let Some(defined) = self.fleet.clusters.get(cluster) else {
            let message = format!(
                "no file of the fleet repository defines cluster {cluster}; add one below regions/, or run `capstan cluster remove {cluster}`"
            );
            return Wanted::KeepAll(Reason::new(Severity::Warning, "ClusterNotInFleet", message));
        };
        let runs = |app: &AppName| previous.is_some_and(|index| index.apps.contains_key(app));
        let mut apps: BTreeMap<AppName, WantedApp> = BTreeMap::new();
        for app in self.fleet.apps.values() {
            if let Some(wanted) = self.app(app, defined, runs(&app.name)) {
                apps.insert(app.name.clone(), wanted);
            }
        }
        for (app, location) in &self.fleet.blocked.apps {
            apps.insert(app.clone(), blocked(location));
        }
        for suspicion in self.suspected {
            let Some(app) = suspicion.app() else { continue };
            if suspicion.cluster().is_some_and(|of| of != cluster) || !(runs(app) || apps.contains_key(app)) {
                continue;
            }
            let then = apps.remove(app).unwrap_or(WantedApp::Removed);
            apps.insert(app.clone(), WantedApp::suspected(suspicion, then));
        }
        // An app whose removal was approved and carried out has only withdrawals left, until these are done.
        for (app, content) in previous.into_iter().flat_map(|index| &index.apps) {
            if content.release.is_none() && !apps.contains_key(app) && !self.fleet.blocked.apps.contains_key(app) {
                apps.insert(app.clone(), WantedApp::Removed);
            }
        }
        Wanted::Apps(apps)
    }

    /// What is asked of one app; `None` if nothing is.
    fn app(&self, app: &App, cluster: &Cluster, runs: bool) -> Option<WantedApp> {
        if let Some(location) = held_on(self.fleet, &app.name, &cluster.name) {
            return Some(blocked(location));
        }
        let pair = (app.name.clone(), cluster.name.clone());
        let rendered = match self.rendered.get(&pair) {
            Some(Ok(rendered)) => rendered,
            Some(Err(reason)) => return Some(WantedApp::Blocked(reason.clone())),
            None => return runs.then_some(WantedApp::Removed),
        };
        let permission = self.permissions.get(&pair);
        let digest = permission.map_or(rendered.digest, |permission| permission.release);
        let release = if digest == rendered.digest { Some(&rendered.release) } else { self.releases.get(&digest) };
        Some(match (release, service_account(self.fleet, app, cluster)) {
            (_, Err(error)) => WantedApp::Blocked(Reason::from(&error)),
            (Some(release), Ok(account)) => WantedApp::Release(WantedRelease {
                digest,
                release: release.clone(),
                depends_on: app.depends_on.clone(),
                service_account: account,
                on_delete: app.on_delete,
                waits: permission.and_then(|permission| permission.waits.clone()),
            }),
            (None, Ok(_)) => {
                let message = format!("the release {} of this rollout is not in the store any more", digest.short());
                WantedApp::Blocked(Reason::new(Severity::Error, "ReleaseMissing", message))
            }
        })
    }
}

fn blocked(location: &Location) -> WantedApp {
    let message = format!("what runs stays because of the problem at {location}");
    WantedApp::Blocked(Reason::new(Severity::Error, "AppBlocked", message))
}
