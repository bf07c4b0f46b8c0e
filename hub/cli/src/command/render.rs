//! `capstan render`: a working directory rendered for one cluster as the hub would render it, without the hub. Whether a change may go out
//! (budgets, what disappeared, rollouts) is for the hub to say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use hub_fleet::{App, ChartFrom, Cluster, FLEET_BUDGET, Fleet, Problem, WhyNot, choose_path, read_fleet, resolve, why_not};
use hub_render::{Builds, ChanceKey, ClusterFacts, RenderInput, RenderOutcome, STACK_BYTES};
use hub_source::FilesystemTree;
use hub_tree::{Budget, Reader};
use serde_json::{Value, json};
use shared_manifest::Object;
use shared_model::{AppName, ClusterName, ObjectKey, Severity};

use crate::Exit;
use crate::args::RenderArgs;
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{Format, document};
use crate::text::plain;

pub(crate) fn run(args: &RenderArgs, format: Format, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let tree = open(&args.path)?;
    let mut offline = on_a_deep_stack(|| render(&tree, &args.cluster, args.app.as_ref()))?;
    for problem in &offline.problems {
        console.say(&problem_line(problem))?;
    }
    for talk in &offline.talk {
        console.say(&plain(talk))?;
    }
    if tree.has_ignore_files() {
        console.say("warning: there are .sourceignore files; the hub leaves out what they name, and this command does not")?;
    }
    if let Some(failure) = offline.failure.take() {
        return Err(failure);
    }
    console.print(&printed(format, &offline.objects)?)?;
    Ok(if offline.failed { Exit::Differs } else { Exit::Ok })
}

/// What came of it: all objects that could be rendered, and all that is wrong.
#[derive(Default)]
struct Offline {
    objects: Vec<(AppName, Object)>,
    problems: Vec<Problem>,
    talk: Vec<String>,
    failed: bool,
    /// What was asked for is not there.
    failure: Option<Failure>,
}

impl Offline {
    fn fail(&mut self, app: &AppName, why: impl std::fmt::Display) {
        self.failed = true;
        self.talk.push(format!("error: app {app}: {why}"));
    }
}

fn render(tree: &FilesystemTree, cluster: &ClusterName, only: Option<&AppName>) -> Offline {
    let reader = Reader::new(tree, FLEET_BUDGET);
    let (fleet, problems) = read_fleet(&reader);
    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    let mut offline = Offline { problems, failed, ..Offline::default() };
    match (fleet.clusters.get(cluster), fleet.blocked.clusters.get(cluster)) {
        (Some(cluster), _) => {
            let builds = Builds::new(FILE_BYTES);
            for app in chosen(&fleet, cluster, only, &mut offline) {
                render_app(tree, &builds, &fleet, app, cluster, &mut offline);
            }
        }
        (None, Some(at)) => {
            offline.failed = true;
            offline.talk.push(format!("error: cluster {cluster} stands still because of the problem at {at}"));
        }
        (None, None) => offline.failure = Some(no_such_cluster(&fleet, cluster)),
    }
    refuse_two_owners(&mut offline);
    offline
}

/// The apps to render: the one that was asked for, or all that want the cluster. What stands still because of a problem is said.
fn chosen<'f>(fleet: &'f Fleet, cluster: &Cluster, only: Option<&AppName>, offline: &mut Offline) -> Vec<&'f App> {
    let names: BTreeSet<&AppName> = match only {
        Some(app) => BTreeSet::from([app]),
        None => fleet.apps.keys().chain(fleet.blocked.apps.keys()).collect(),
    };
    let mut apps = Vec::new();
    for name in names {
        match why_not(fleet, name, &cluster.name) {
            None => apps.extend(fleet.apps.get(name)),
            Some(WhyNot::NotWanted(_)) if only.is_none() => {}
            Some(why @ (WhyNot::NoSuchApp(_) | WhyNot::NotWanted(_))) => {
                let hint = format!("without --app, all apps of {} are rendered", cluster.name);
                offline.failure = Some(Failure::not_found(format!("{name} is not in {}: {why}", cluster.name), hint));
            }
            Some(why) => offline.fail(name, why),
        }
    }
    apps
}

/// What random text of charts is derived from here. It is no secret, and not what the hub derives.
const LOCAL_KEY: &[u8; 32] = b"capstan render, it is no secret.";

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0))
}

/// Files that several apps read are parsed once: 16 MiB of them, about 64 MiB in memory.
const FILE_BYTES: usize = 16 << 20;

fn render_app(tree: &FilesystemTree, builds: &Builds, fleet: &Fleet, app: &App, cluster: &Cluster, offline: &mut Offline) {
    let resolved = match resolve(fleet, app, cluster) {
        Ok(resolved) => resolved,
        Err(error) => return offline.fail(&app.name, error),
    };
    if let Some(source) = &resolved.source {
        return offline.fail(&app.name, format!("its manifests are in the source {source}, which this directory does not hold"));
    }
    match resolved.helm.as_ref().map(|helm| &helm.chart) {
        Some(ChartFrom::Source { name, .. }) => {
            return offline.fail(&app.name, format!("its chart is in the source {name}, which this directory does not hold"));
        }
        Some(ChartFrom::Repository { repository, name, .. }) => {
            return offline.fail(&app.name, format!("its chart {name} is in {repository}, and nothing is fetched here"));
        }
        Some(ChartFrom::Here(_)) | None => {}
    }
    let choice = match choose_path(&resolved, &Reader::new(tree, Budget::RENDER)) {
        Ok(choice) => choice,
        Err(error) => return offline.fail(&app.name, error),
    };
    let input = match RenderInput::of(&resolved, choice.path, ClusterFacts::default()) {
        Ok(input) => input.with_chance(ChanceKey::new(*LOCAL_KEY, now()), now()),
        Err(error) => return offline.fail(&app.name, format!("postBuild.substitute: {error}")),
    };
    let RenderOutcome { result, warnings, .. } = hub_render::render(&input, tree, builds);
    offline.talk.extend(warnings.iter().map(|warning| format!("warning: app {}: {}: {}", app.name, warning.file, warning.text)));
    match result {
        Ok(rendered) => offline.objects.extend(rendered.objects.into_iter().map(|object| (app.name.clone(), object))),
        Err(problem) => offline.fail(&app.name, problem),
    }
}

/// An object has one owner: of two apps that render the same one both are wrong, and neither is printed.
fn refuse_two_owners(offline: &mut Offline) {
    let mut owners: BTreeMap<ObjectKey, BTreeSet<AppName>> = BTreeMap::new();
    for (app, object) in &offline.objects {
        owners.entry(object.key()).or_default().insert(app.clone());
    }
    let mut wrong = BTreeSet::new();
    for (object, apps) in owners.into_iter().filter(|(_, apps)| apps.len() > 1) {
        for app in &apps {
            let others: Vec<&str> = apps.iter().filter(|other| *other != app).map(AppName::as_str).collect();
            offline.fail(app, format!("{object} is also rendered by {}; leave it to one of them", others.join(", ")));
        }
        wrong.extend(apps);
    }
    offline.objects.retain(|(app, _)| !wrong.contains(app));
}

fn printed(format: Format, objects: &[(AppName, Object)]) -> Result<String, Failure> {
    let values = objects.iter().map(|(_, object)| object.value());
    match format {
        Format::Table | Format::Wide | Format::Yaml => Ok(shared_manifest::to_yaml_documents(values)),
        Format::Json => document(format, &json!({"apiVersion": "v1", "kind": "List", "items": values.collect::<Vec<&Value>>()})),
        Format::Name => Ok(objects.iter().map(|(_, object)| format!("{}\n", kubectl_name(&object.key()))).collect()),
    }
}

/// As `kubectl -o name` writes it: `deployment.apps/api`.
fn kubectl_name(key: &ObjectKey) -> String {
    format!("{}/{}", key.kind.to_string().to_lowercase(), plain(&key.name))
}

fn problem_line(problem: &Problem) -> String {
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Wait => "note",
    };
    let blocks = problem.blocks.as_ref().map(|blocks| format!("; blocks {blocks}")).unwrap_or_default();
    plain(&format!("{severity}: {problem} [{}{blocks}]", problem.code))
}

fn open(path: &Path) -> Result<FilesystemTree, Failure> {
    FilesystemTree::of_working_directory(path)
        .map_err(|why| Failure::usage(format!("{} cannot be rendered: {why}", path.display()), "name the root of a fleet repository"))
}

fn no_such_cluster(fleet: &Fleet, cluster: &ClusterName) -> Failure {
    let names: Vec<&str> = fleet.clusters.keys().map(ClusterName::as_str).take(10).collect();
    let hint = if names.is_empty() { "regions/ defines no cluster".to_owned() } else { format!("there are {}", names.join(", ")) };
    Failure::not_found(format!("the fleet has no cluster \"{cluster}\""), hint)
}

/// Renders take more stack than the threads of a runtime have.
fn on_a_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Failure> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("render".to_owned()).stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, work).map_err(|error| Failure::local(format!("no thread can be started: {error}")))?;
        thread.join().map_err(|_| Failure::local("BUG: reading the fleet panicked; please report it with the repository"))
    })
}
