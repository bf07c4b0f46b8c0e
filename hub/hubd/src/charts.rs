//! Charts from repositories: each that the fleet asks for is followed as long as it does, and the tree of each at the revision that is planned. Only
//! repositories of the hub's configuration are asked; which charts is left to `hub-fleet`, how to `hub-source`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use hub_source::{
    ChartLimits, ChartRepository, ChartRepositorySpec, ChartRepositoryUrl, ChartSource, ChartSpec, ChartStore, SourceState, run,
};
use hub_tree::{Mount, MountRefusal, SourceTree};
use shared_model::{AppName, Clock, Revision, SourceName};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// The most charts that are followed at once, each with a look every ten minutes: three a second.
const FOLLOWED_LIMIT: usize = 2_000;

/// All charts that are followed.
pub(crate) struct Charts {
    /// The repositories of the configuration.
    known: Vec<ChartRepositorySpec>,
    /// `None` without repositories: then nothing is written to the disk.
    store: Option<Arc<ChartStore>>,
    followed: Mutex<Followed>,
    /// A chart has another state.
    pub(crate) changed: Arc<Notify>,
}

#[derive(Default)]
struct Followed {
    /// What is asked through one address, by one name, shares its index and its tokens. Another name for the same address has credentials of its own,
    /// and may be permitted to others.
    repositories: BTreeMap<(SourceName, String), Arc<ChartRepository>>,
    charts: BTreeMap<Mount, Chart>,
}

/// One chart with its poller.
struct Chart {
    repository: SourceName,
    source: Arc<ChartSource>,
    state: watch::Receiver<SourceState>,
    refresh: Arc<Notify>,
    /// The tree that is planned with.
    tree: Option<(Revision, Arc<dyn SourceTree>)>,
    _tasks: [Ending; 2],
}

/// A task that ends with its owner.
struct Ending(JoinHandle<()>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A chart as renders see it.
#[derive(Clone)]
pub(crate) struct Charted {
    /// The repository, if the hub knows it.
    pub(crate) repository: Option<SourceName>,
    pub(crate) revision: Option<Revision>,
    pub(crate) tree: Result<Arc<dyn SourceTree>, MountRefusal>,
}

/// A chart as operators see it.
pub(crate) struct Shown {
    pub(crate) repository: SourceName,
    /// Which chart, and which of its versions.
    pub(crate) chart: String,
    pub(crate) url: String,
    pub(crate) state: SourceState,
    pub(crate) planned: Option<Revision>,
}

impl Charts {
    /// Opens the store of archives in the hub's data.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub(crate) fn open(data_dir: &Path, known: Vec<ChartRepositorySpec>, clock: Clock) -> anyhow::Result<Self> {
        let directory = data_dir.join("charts");
        let open = || ChartStore::open(&directory, ChartLimits::DEFAULT, clock).context("the store of charts cannot be opened");
        let store = if known.is_empty() { None } else { Some(open()?) };
        Ok(Self { known, store, followed: Mutex::default(), changed: Arc::default() })
    }

    fn followed(&self) -> MutexGuard<'_, Followed> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows `wanted` and nothing else, and tells where each is.
    pub(crate) fn follow(&self, wanted: &BTreeSet<Mount>) -> BTreeMap<Mount, Charted> {
        let mut followed = self.followed();
        followed.charts.retain(|mount, _| wanted.contains(mount));
        let mut charted = BTreeMap::new();
        for mount in wanted {
            if !followed.charts.contains_key(mount) {
                let full = followed.charts.len() >= FOLLOWED_LIMIT;
                let begun = if full {
                    Err(away(format!("the hub follows {FOLLOWED_LIMIT} charts already")))
                } else {
                    self.begin(&mut followed, mount)
                };
                match begun {
                    Ok(chart) => drop(followed.charts.insert(mount.clone(), chart)),
                    Err((repository, refusal)) => {
                        charted.insert(mount.clone(), Charted { repository, revision: None, tree: Err(refusal) });
                        continue;
                    }
                }
            }
            if let Some(chart) = followed.charts.get_mut(mount) {
                charted.insert(mount.clone(), chart.charted());
            }
        }
        let Followed { repositories, charts } = &mut *followed;
        repositories.retain(|_, repository| charts.values().any(|chart| Arc::ptr_eq(chart.source.repository(), repository)));
        charted
    }

    fn begin(&self, followed: &mut Followed, mount: &Mount) -> Result<Chart, (Option<SourceName>, MountRefusal)> {
        let Mount::Chart { repository, name, version } = mount else { return Err((None, MountRefusal::NotOffered)) };
        let (Some(spec), Some(store)) = (self.spec(repository), &self.store) else { return Err((None, MountRefusal::NotOffered)) };
        let own_name = spec.name.clone();
        let refused = |reason: String| (Some(own_name.clone()), MountRefusal::NotPermitted { reason });
        let chart = ChartSpec {
            chart: name.parse().map_err(|error| refused(format!("{error}")))?,
            version: version.parse().map_err(|error| refused(format!("{error}")))?,
        };
        let place = followed
            .repositories
            .entry((spec.name.clone(), spec.url.to_string()))
            .or_insert_with(|| ChartRepository::new(store, spec.clone()));
        let source = ChartSource::open(place, chart);
        let source = Arc::new(source.map_err(|error| (Some(own_name.clone()), MountRefusal::NotFetched { reason: error.to_string() }))?);
        let refresh = Arc::new(Notify::new());
        let (sender, state) = watch::channel(source.state());
        let poll = tokio::spawn(run(source.clone(), refresh.clone(), sender));
        let (mut watched, changed) = (state.clone(), self.changed.clone());
        let tell = tokio::spawn(async move {
            while watched.changed().await.is_ok() {
                changed.notify_one();
            }
        });
        Ok(Chart { repository: own_name, source, state, refresh, tree: None, _tasks: [Ending(poll), Ending(tell)] })
    }

    /// The repository that an app means by its name, its address, or an address below it in a registry.
    fn spec(&self, written: &str) -> Option<ChartRepositorySpec> {
        if let Some(spec) = self.known.iter().find(|spec| spec.name.as_str() == written) {
            return Some(spec.clone());
        }
        let url: ChartRepositoryUrl = written.parse().ok()?;
        let spec = self.known.iter().find(|spec| spec.url == url).or_else(|| self.known.iter().find(|spec| is_below(&url, &spec.url)))?;
        Some(ChartRepositorySpec { url, ..spec.clone() })
    }

    /// Every chart that is followed, for those who look.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let followed = self.followed();
        let show = |(mount, chart): (&Mount, &Chart)| Shown {
            repository: chart.repository.clone(),
            chart: match mount {
                Mount::Chart { name, version, .. } => format!("{name} {version}").trim_end().to_owned(),
                other => other.to_string(),
            },
            url: chart.source.repository().spec().url.to_string(),
            state: chart.state.borrow().clone(),
            planned: chart.tree.as_ref().map(|(revision, _)| revision.clone()),
        };
        followed.charts.iter().map(show).collect()
    }

    /// The charts of `repository`, or of all: what asks for a look at each now, and its state.
    pub(crate) fn pollers(&self, repository: Option<&SourceName>) -> Vec<(Arc<Notify>, watch::Receiver<SourceState>)> {
        let followed = self.followed();
        let mine = followed.charts.values().filter(|chart| repository.is_none_or(|name| chart.repository == *name));
        mine.map(|chart| (chart.refresh.clone(), chart.state.clone())).collect()
    }

    /// Whether a repository of the configuration is called so.
    pub(crate) fn knows(&self, name: &SourceName) -> bool {
        self.known.iter().any(|spec| spec.name == *name)
    }
}

/// Whether `url` is a path in the registry, or below the path in it, that `known` is.
fn is_below(url: &ChartRepositoryUrl, known: &ChartRepositoryUrl) -> bool {
    match (url, known) {
        (ChartRepositoryUrl::Oci { authority, path }, ChartRepositoryUrl::Oci { authority: host, path: top }) => {
            authority == host && (top.is_empty() || path.strip_prefix(top.as_str()).is_some_and(|rest| rest.starts_with('/')))
        }
        _ => false,
    }
}

fn away(reason: String) -> (Option<SourceName>, MountRefusal) {
    (None, MountRefusal::NotFetched { reason })
}

impl Chart {
    /// Where it is, with the tree of its last good revision. One that cannot be read leaves the one before.
    fn charted(&mut self) -> Charted {
        let (last_good, failure) = {
            let state = self.state.borrow();
            (state.last_good.clone().map(|(revision, _)| revision), state.failure.as_ref().map(|failure| failure.error.to_string()))
        };
        if let Some(revision) = last_good.filter(|revision| self.tree.as_ref().is_none_or(|(planned, _)| planned != revision)) {
            match self.source.tree(&revision) {
                Ok(tree) => self.tree = Some((revision, tree)),
                Err(error) => {
                    tracing::error!(repository = %self.repository, %revision, %error, "a chart cannot be read; the one before stays");
                }
            }
        }
        let tree = self.tree.as_ref().map(|(_, tree)| tree.clone());
        let refusal =
            || MountRefusal::NotFetched { reason: failure.unwrap_or_else(|| format!("the repository {} is being asked", self.repository)) };
        Charted {
            repository: Some(self.repository.clone()),
            revision: self.tree.as_ref().map(|(revision, _)| revision.clone()),
            tree: tree.ok_or_else(refusal),
        }
    }
}

/// The charts of repositories that each app asks for.
pub(crate) type WantedCharts = BTreeMap<AppName, BTreeSet<Mount>>;

#[cfg(test)]
mod tests {
    use hub_source::NamedBy;

    use super::*;

    #[test]
    fn a_repository_is_meant_by_name_by_address_and_in_a_registry_by_a_path_below_it() {
        let spec =
            |name: &str, url: &str| ChartRepositorySpec::new(name.parse().expect("a name"), url.parse().expect("a URL"), NamedBy::Operator);
        let known = vec![spec("stable", "https://charts.example.com/stable"), spec("team", "oci://registry.example.com/team")];
        let charts = Charts { known, store: None, followed: Mutex::default(), changed: Arc::default() };
        let found = |written: &str| charts.spec(written).map(|spec| format!("{} {}", spec.name, spec.url));
        for (written, expected) in [
            ("stable", Some("stable https://charts.example.com/stable")),
            ("https://charts.example.com/stable/", Some("stable https://charts.example.com/stable")),
            ("https://charts.example.com/stable/more", None),
            ("https://charts.example.com", None),
            ("oci://registry.example.com/team", Some("team oci://registry.example.com/team")),
            ("oci://registry.example.com/team/ml", Some("team oci://registry.example.com/team/ml")),
            ("oci://registry.example.com/teammate", None),
            ("oci://registry.example.com", None),
            ("oci://other.example.com/team", None),
            ("other", None),
        ] {
            assert_eq!(found(written).as_deref(), expected, "{written}");
        }
    }
}
