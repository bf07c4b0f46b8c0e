//! Rendering every app for every cluster that wants it. Work follows change: a result is used again as long as every answer that it read from
//! the tree still holds, and clusters that agree on all that was used share one result.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use hub_fleet::{App, Cluster, Fleet, Project, choose_path, place, resolve};
use hub_plan::{Assembled, LeftOut, RenderedApp, RenderedApps, assemble};
use hub_render::{Builds, ClusterFacts, InputDigest, InputsUsed, Quarantine, RenderInput, STACK_BYTES, render};
use hub_tree::{Budget, Mount, MountedTree, Mounts, ReadSet, Reader, SourceTree, TreePath};
use shared_manifest::Object;
use shared_model::{AppName, ClusterName, Digest, Reason, Severity, SourceName};
use shared_release::Release;

use crate::charts::{Charted, WantedCharts};
use crate::keys::HubKeys;
use crate::mounts::{RemoteBase, mounts_for};
use crate::picture::Trouble;

/// The tree of a source at the revision that is planned.
#[derive(Clone)]
pub(crate) struct Revised {
    pub(crate) revision: shared_model::Revision,
    pub(crate) tree: Arc<dyn SourceTree>,
}

/// All sources, as they are planned.
pub(crate) struct Sources {
    /// Which holds the fleet repository.
    pub(crate) fleet: SourceName,
    pub(crate) trees: BTreeMap<SourceName, Revised>,
    pub(crate) remote_bases: Arc<Vec<RemoteBase>>,
    /// Charts from repositories.
    pub(crate) charts: BTreeMap<Mount, Charted>,
    /// Which of them each app asks for.
    pub(crate) wanted: Arc<WantedCharts>,
    /// What is known about each cluster.
    pub(crate) facts: BTreeMap<ClusterName, ClusterFacts>,
    /// The time in seconds since 1970, for certificates of charts.
    pub(crate) today: i64,
}

/// What the rendering of a whole fleet came to.
#[derive(Default)]
pub(crate) struct Rendering {
    pub(crate) pairs: RenderedApps,
    pub(crate) troubles: Vec<Trouble>,
    /// Contents that are new since the last time and must be stored before anything names them.
    pub(crate) blobs: Vec<(Digest, Vec<u8>)>,
    /// All contents that these results name.
    named: BTreeSet<Digest>,
    /// When something has to be rendered again although nothing has changed, in seconds since 1970.
    pub(crate) good_until: Option<i64>,
    /// How many renders were made, and how many results were used again.
    pub(crate) rendered: usize,
    pub(crate) reused: usize,
}

/// An app that is rendered for one cluster after the other.
struct Wish<'a> {
    fleet: &'a Fleet,
    app: &'a App,
    project: Option<&'a Project>,
    /// What it may read beside its own source.
    mounts: Arc<Mounts>,
}

/// One remembered result.
struct Cached {
    input: RenderInput,
    used: InputsUsed,
    read_set: ReadSet,
    app: App,
    /// The project that the objects were held against.
    project: Option<Project>,
    result: Result<Shared, Box<Trouble>>,
    warnings: Vec<Trouble>,
}

/// An assembled release, shared by every cluster that has it.
struct Shared {
    release: Arc<Release>,
    digest: Digest,
    /// The release and its objects, as they are stored.
    blobs: Vec<(Digest, Vec<u8>)>,
    left_out: Vec<LeftOut>,
}

impl From<Assembled> for Shared {
    fn from(assembled: Assembled) -> Self {
        let mut blobs: Vec<_> = assembled.blobs.into_iter().collect();
        blobs.push((assembled.digest, assembled.bytes));
        Self { release: Arc::new(assembled.release), digest: assembled.digest, blobs, left_out: assembled.left_out }
    }
}

/// Renders fleets and remembers what it can use again.
pub(crate) struct Renderer {
    cache: BTreeMap<AppName, Vec<Cached>>,
    quarantine: Quarantine,
    quarantine_file: PathBuf,
    stored: BTreeSet<Digest>,
    /// Parsed files and builds that clusters share.
    builds: Builds,
}

/// The parsed files of all sources: 64 MiB of text, which is a fleet of 10,000 apps of 6 KiB. Their trees take about 256 MiB.
const FILE_BYTES: usize = 64 << 20;

/// The most remembered results of one app: one for each cluster of a fleet that shares nothing.
const CACHE_PER_APP: usize = 256;

impl Renderer {
    /// Reads the quarantine; what was being rendered when the last process ended is held from now on.
    pub(crate) fn open(quarantine_file: PathBuf) -> anyhow::Result<Self> {
        let mut quarantine = match std::fs::read(&quarantine_file) {
            Ok(bytes) => Quarantine::decode(&bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Quarantine::default(),
            Err(error) => return Err(error.into()),
        };
        for suspect in quarantine.at_start() {
            tracing::error!(app = %suspect.app, times = suspect.times, "rendering this app took the hub down; it is quarantined");
        }
        Ok(Self { cache: BTreeMap::new(), quarantine, quarantine_file, stored: BTreeSet::new(), builds: Builds::new(FILE_BYTES) })
    }

    /// Renders `fleet` on a thread of its own, whose stack is large enough for every render.
    pub(crate) async fn run(mut self, fleet: Arc<Fleet>, sources: Sources, key: Arc<HubKeys>) -> anyhow::Result<(Self, Rendering)> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name("render".to_owned()).stack_size(STACK_BYTES).spawn(move || {
            let rendering = self.render_all(&fleet, &sources, &key);
            // If nobody waits any more the hub is ending.
            let _ = sender.send((self, rendering));
        })?;
        Ok(receiver.await?)
    }

    fn render_all(&mut self, fleet: &Fleet, sources: &Sources, key: &HubKeys) -> Rendering {
        let mut rendering = Rendering::default();
        let mut current = BTreeSet::new();
        for app in fleet.apps.values() {
            let project = app.project.as_ref().and_then(|name| fleet.projects.get(name));
            let wish = Wish { fleet, app, project, mounts: Arc::new(mounts_for(app, project, sources)) };
            for name in place(fleet, app).clusters {
                let Some(cluster) = fleet.clusters.get(&name) else { continue };
                let outcome = self.pair(&wish, cluster, sources, key, &mut rendering, &mut current);
                let outcome = outcome.map_err(|trouble| {
                    let reason = trouble.reason.clone();
                    rendering.note(*trouble);
                    reason
                });
                rendering.pairs.insert((app.name.clone(), name), outcome);
            }
        }
        self.cache.retain(|app, _| fleet.apps.contains_key(app));
        // What nothing names any more may be collected: if it comes back it is stored again.
        self.stored.retain(|digest| rendering.named.contains(digest));
        self.quarantine.keep(|input| current.contains(input));
        self.write_quarantine();
        rendering
    }

    fn pair(
        &mut self,
        wish: &Wish<'_>,
        cluster: &Cluster,
        sources: &Sources,
        key: &HubKeys,
        rendering: &mut Rendering,
        current: &mut BTreeSet<InputDigest>,
    ) -> Result<RenderedApp, Box<Trouble>> {
        let Wish { fleet, app, project, ref mounts } = *wish;
        let trouble = |reason: Reason| {
            Box::new(Trouble {
                source: Some(sources.fleet.clone()),
                app: Some(app.name.clone()),
                cluster: Some(cluster.name.clone()),
                place: Some((app.location.file.to_string(), Some((app.location.line, app.location.column)))),
                reason,
                hint: None,
                blocks: vec![format!("app {} on {}", app.name, cluster.name)],
            })
        };
        let resolved = resolve(fleet, app, cluster).map_err(|error| trouble((&error).into()))?;
        let source = resolved.source.as_ref().unwrap_or(&sources.fleet);
        let Some(revised) = sources.trees.get(source) else {
            let message = format!("the source {source} is not configured on this hub, or was never fetched");
            return Err(trouble(Reason::new(Severity::Error, "SourceNotAvailable", message)));
        };
        let tree = MountedTree::new(revised.tree.clone(), mounts.clone());
        let reader = Reader::new(&tree, Budget::RENDER);
        let choice = choose_path(&resolved, &reader).map_err(|error| trouble((&error).into()))?;
        let facts = sources.facts.get(&cluster.name).cloned().unwrap_or_default();
        let input = RenderInput::of(&resolved, choice.path.clone(), facts);
        let input = input.map(|input| input.with_chance(key.chance.clone(), sources.today));
        let input =
            input.map_err(|error| trouble(Reason::new(Severity::Error, "InvalidValue", format!("postBuild.substitute: {error}"))))?;
        let place_of = |file: Option<(TreePath, Option<u32>)>, reason: Reason| {
            let place = file.map(|(file, line)| (file.to_string(), line.map(|line| (line, 1))));
            Box::new(Trouble { source: Some(source.clone()), place, ..*trouble(reason) })
        };
        let cached = self.cache.entry(app.name.clone()).or_default();
        let found = cached.iter().position(|cached| {
            cached.used.agree(&cached.input, &input)
                && cached.app == *app
                && cached.project.as_ref() == project
                && cached.read_set.still_holds(&tree)
        });
        let cached = match found {
            Some(position) => {
                rendering.reused += 1;
                &cached[position]
            }
            None => {
                rendering.rendered += 1;
                let digest = InputDigest::of(&tree.identity(), &cluster.name, &resolved.vars, &input);
                current.insert(digest);
                if !self.quarantine.note(digest, &app.name) {
                    let message =
                        "rendering this input took the hub down; change the input, or release it by removing the hub's quarantine file";
                    return Err(trouble(Reason::new(Severity::Error, "Quarantined", message)));
                }
                self.write_quarantine();
                let outcome = render(&input, &tree, &self.builds);
                self.quarantine.clear(&digest);
                let result = match outcome.result {
                    Ok(rendered) => permitted(project, &rendered.objects).map_err(&trouble).and_then(|()| {
                        assemble(app, resolved.namespace.as_deref(), &rendered.objects, &key.data.app_key(&app.name))
                            .map(Shared::from)
                            .map_err(|errors| trouble(first_of(&errors)))
                    }),
                    Err(problem) => {
                        let location = problem.location().map(|(file, line)| (file.clone(), line));
                        Err(place_of(location, (&problem).into()))
                    }
                };
                let warn = |warning: &hub_render::Warning| {
                    *place_of(Some((warning.file.clone(), None)), Reason::new(Severity::Warning, "RenderWarning", warning.text.clone()))
                };
                let mut warnings: Vec<Trouble> = outcome.warnings.iter().map(warn).collect();
                let left_out = result.as_ref().map(|shared| &shared.left_out[..]).unwrap_or_default();
                warnings.extend(left_out.iter().map(|left_out| *trouble(Reason::from(left_out))));
                let entry = self.cache.entry(app.name.clone()).or_default();
                if entry.len() >= CACHE_PER_APP {
                    entry.remove(0);
                }
                entry.retain(|cached| cached.app == *app);
                let (app, project) = (app.clone(), project.cloned());
                entry.push(Cached { input, used: outcome.inputs_used, read_set: outcome.read_set, app, project, result, warnings });
                &entry[entry.len() - 1]
            }
        };
        for warning in &cached.warnings {
            rendering.note(warning.clone());
        }
        rendering.good_until = [rendering.good_until, cached.used.charts.good_until].into_iter().flatten().min();
        let assembled = cached.result.as_ref().map_err(Clone::clone)?;
        for (digest, bytes) in &assembled.blobs {
            rendering.named.insert(*digest);
            if self.stored.insert(*digest) {
                rendering.blobs.push((*digest, bytes.clone()));
            }
        }
        Ok(RenderedApp {
            choice,
            objects: u32::try_from(assembled.release.entries.len()).unwrap_or(u32::MAX),
            release: assembled.release.clone(),
            digest: assembled.digest,
        })
    }

    /// What was new could not be stored: it is new again the next time.
    pub(crate) fn not_stored(&mut self, blobs: &[(Digest, Vec<u8>)]) {
        for (digest, _) in blobs {
            self.stored.remove(digest);
        }
    }

    /// Survives the death of the process, which is what it is for; a lost disk needs no quarantine.
    fn write_quarantine(&self) {
        let temporary = self.quarantine_file.with_extension("new");
        let written =
            std::fs::write(&temporary, self.quarantine.encode()).and_then(|()| std::fs::rename(&temporary, &self.quarantine_file));
        if let Err(error) = written {
            tracing::warn!(%error, "the quarantine could not be written");
        }
    }
}

/// A tenant's objects stay within its project, whatever namespace a manifest names.
fn permitted(project: Option<&Project>, objects: &[Object]) -> Result<(), Reason> {
    let Some(project) = project else { return Ok(()) };
    for object in objects {
        project.permits_object(&object.key()).map_err(|refusal| {
            let reason = Reason::from(&refusal);
            Reason { message: format!("{}: {}", object.key(), reason.message), ..reason }
        })?;
    }
    Ok(())
}

fn first_of(errors: &[hub_plan::AssembleError]) -> Reason {
    let more = if errors.len() > 1 { format!(" (and {} more)", errors.len() - 1) } else { String::new() };
    match errors.first() {
        Some(error) => {
            let reason = Reason::from(error);
            Reason { message: format!("{}{more}", reason.message), ..reason }
        }
        None => Reason::new(Severity::Error, "Unassembled", "BUG: an app could not be assembled and nothing says why"),
    }
}

impl Rendering {
    /// Notes a trouble once, however many clusters have it.
    fn note(&mut self, trouble: Trouble) {
        let same = |other: &&mut Trouble| other.app == trouble.app && other.place == trouble.place && other.reason == trouble.reason;
        match self.troubles.iter_mut().find(same) {
            Some(known) => {
                known.cluster = None;
                known.blocks.extend(trouble.blocks);
                known.blocks.dedup();
            }
            None => self.troubles.push(trouble),
        }
    }
}
