//! Fitting documents together: duplicates, defaults, references, cycles, permissions, and what each app meets on the clusters it wants.
//! Whatever fails is blocked with the place of its problem; everything else becomes the fleet.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::str::FromStr;

use hub_tree::TreePath;
use shared_model::{AppName, ClusterName, GroupName, ProjectName, RegionName, RolloutName, Severity};

use crate::account::AccountError;
use crate::document::{AppDoc, Body, ClusterDoc, FleetDoc, ProjectDoc, RolloutDoc, TargetDoc};
use crate::fleet::{
    App, Apply, Blocked, CLUSTER_LABEL, Cluster, Conflicts, Fleet, Gap, Heal, OnDelete, REGION_LABEL, Region, Rollout, Source, Target,
};
use crate::kinds::Kind;
use crate::near::nearest;
use crate::problem::{Blocks, Location, Problem, ProblemCode, some_of};
use crate::project::Project;
use crate::read::is_fleet_file;
use crate::resolve::{ResolveError, resolve};
use crate::table::{At, Finding};
use crate::template::{Template, Variable, VariableError};

/// A document and where it stands.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) location: Location,
    pub(crate) kind: Kind,
    pub(crate) name: Option<String>,
    /// The region whose directory it lies in.
    pub(crate) region: Option<RegionName>,
    pub(crate) body: Option<Body>,
    pub(crate) findings: Vec<Finding>,
}

/// Problems, and what stands still because of them.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) problems: Vec<Problem>,
    blocked: Blocked,
    incomplete: Vec<Gap>,
    /// The fleet's defaults are not known.
    everything: Option<Location>,
}

impl Report {
    pub(crate) fn add(
        &mut self,
        at: Location,
        severity: Severity,
        code: ProblemCode,
        message: String,
        hint: Option<String>,
        blocks: Option<Blocks>,
    ) {
        if let Some(blocks) = &blocks {
            self.block(blocks, &at, &message);
        }
        self.problems.push(Problem { file: at.file, line: at.line, column: at.column, severity, code, message, hint, blocks });
    }

    fn error(&mut self, at: &Location, code: ProblemCode, message: String, hint: Option<String>, blocks: Blocks) {
        self.add(at.clone(), Severity::Error, code, message, hint, Some(blocks));
    }

    fn block(&mut self, blocks: &Blocks, at: &Location, message: &str) {
        fn first<K: Ord + Clone>(map: &mut BTreeMap<K, Location>, key: &K, at: &Location) {
            map.entry(key.clone()).or_insert_with(|| at.clone());
        }
        match blocks {
            Blocks::Fleet => {
                self.everything.get_or_insert_with(|| at.clone());
            }
            Blocks::Region(name) => first(&mut self.blocked.regions, name, at),
            Blocks::Cluster(name) => first(&mut self.blocked.clusters, name, at),
            Blocks::Project(name) => first(&mut self.blocked.projects, name, at),
            Blocks::Rollout(name) => first(&mut self.blocked.rollouts, name, at),
            Blocks::App(name) => first(&mut self.blocked.apps, name, at),
            Blocks::AppOn { app, clusters } => {
                let pairs = self.blocked.pairs.entry(app.clone()).or_default();
                clusters.iter().for_each(|cluster| first(pairs, cluster, at));
            }
            Blocks::File(path) => self.missing(path, message),
        }
    }

    /// Notes that `path` may define more than is known.
    pub(crate) fn missing(&mut self, path: &TreePath, reason: &str) {
        if !self.incomplete.iter().any(|gap| gap.path == *path) {
            self.incomplete.push(Gap { path: path.clone(), reason: reason.to_owned() });
        }
    }
}

impl Placed {
    /// What stands still if the document cannot be used.
    fn blocks(&self) -> Option<Blocks> {
        fn named<T: FromStr>(name: Option<&String>, blocks: impl FnOnce(T) -> Blocks) -> Option<Blocks> {
            name.and_then(|name| name.parse().ok()).map(blocks)
        }
        let name = self.name.as_ref();
        let blocks = match self.kind {
            Kind::Notify => return None,
            Kind::Fleet => Some(Blocks::Fleet),
            Kind::Region => named(name, Blocks::Region),
            Kind::Cluster => named(name, Blocks::Cluster),
            Kind::Project => named(name, Blocks::Project),
            Kind::Rollout => named(name, Blocks::Rollout),
            Kind::App => named(name, Blocks::App),
        };
        Some(blocks.unwrap_or_else(|| Blocks::File(self.location.file.clone())))
    }
}

/// Makes a fleet of `docs`.
pub(crate) fn link(docs: Vec<Placed>, report: Report) -> (Fleet, Vec<Problem>) {
    let mut linker = Linker { report, fleet: Fleet::default(), defaults: FleetDoc::default(), defaults_file: None };
    let mut by_name: BTreeMap<(Kind, String), Vec<Placed>> = BTreeMap::new();
    for doc in docs {
        linker.findings(&doc);
        if doc.kind == Kind::Fleet && !is_fleet_file(&doc.location.file) {
            linker.misplaced(&doc);
            continue;
        }
        // One Fleet is enough for all, whatever it is called.
        let name = if doc.kind == Kind::Fleet { Some(String::new()) } else { doc.name.clone() };
        if let Some(name) = name {
            by_name.entry((doc.kind, name)).or_default().push(doc);
        }
    }
    let mut apps = Vec::new();
    // In the order of kinds, in which each refers only to those before it.
    for ((kind, name), same) in by_name {
        let Some(doc) = linker.only(kind, &name, same) else { continue };
        let Some(body) = doc.body else { continue };
        let at = doc.location;
        match body {
            Body::Fleet(doc) => {
                linker.fleet.approvers = doc.approvers.clone();
                linker.defaults = doc;
                linker.defaults_file = Some(at);
            }
            Body::Region(region) => {
                if let Ok(name) = name.parse::<RegionName>() {
                    let region = Region { name: name.clone(), labels: region.labels, vars: region.vars, location: at };
                    linker.fleet.regions.insert(name, region);
                }
            }
            Body::Cluster(cluster) => linker.cluster(&name, at, doc.region, cluster),
            Body::Project(project) => linker.project(&name, at, project),
            Body::Rollout(rollout) => linker.rollout(&name, at, rollout),
            Body::App(app) => apps.extend(name.parse().ok().map(|name: AppName| (name, at, *app))),
        }
    }
    linker.check_defaults();
    let marks = linker.apps(apps);
    linker.check_cycles(&marks);
    linker.check_clusters(&marks);
    linker.finish()
}

struct Linker {
    report: Report,
    fleet: Fleet,
    defaults: FleetDoc,
    defaults_file: Option<Location>,
}

/// Where the parts of an app stand that are judged when all apps are known.
struct Marks {
    target: Location,
    source: Location,
    namespace: Location,
    service_account: Location,
    /// The texts with variables of `source.helm`, `kustomize` and `postBuild`, by their fields.
    layers: BTreeMap<String, Location>,
    depends_on: BTreeMap<AppName, Location>,
}

/// What was found for a name.
enum Named<'a> {
    Good,
    Blocked(&'a Location),
    Unknown,
}

impl Linker {
    fn findings(&mut self, doc: &Placed) {
        for finding in &doc.findings {
            let at = Location { file: doc.location.file.clone(), line: finding.mark.line, column: finding.mark.column };
            self.report.add(at, finding.severity, finding.code, finding.message.clone(), finding.hint.clone(), doc.blocks());
        }
    }

    fn misplaced(&mut self, doc: &Placed) {
        let message = "a Fleet document stands in fleet.yaml at the top of the repository, and nowhere else".to_owned();
        let hint = Some("move it there".to_owned());
        self.report.error(&doc.location, ProblemCode::MisplacedDocument, message, hint, Blocks::Fleet);
    }

    /// The one document of a name. Several block each other: which of them is meant cannot be told.
    fn only(&mut self, kind: Kind, name: &str, mut same: Vec<Placed>) -> Option<Placed> {
        if same.len() == 1 {
            return same.pop();
        }
        let places: Vec<Location> = same.iter().map(|doc| doc.location.clone()).collect();
        for (index, doc) in same.iter().enumerate() {
            let others: Vec<&Location> = places.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, at)| at).collect();
            let message = if kind == Kind::Fleet {
                format!("there is another Fleet in {}; neither can be trusted, so the whole fleet stands still", some_of(&others))
            } else {
                let word = kind.as_str();
                format!("{word} {name} is also defined in {}; none of them can be trusted, so {name} stands still", some_of(&others))
            };
            let hint = Some("rename or remove all but one".to_owned());
            self.report.add(doc.location.clone(), Severity::Error, ProblemCode::DuplicateName, message, hint, doc.blocks());
        }
        None
    }

    fn cluster(&mut self, name: &str, at: Location, directory: Option<RegionName>, doc: ClusterDoc) {
        let Ok(name) = name.parse::<ClusterName>() else { return };
        let blocks = Blocks::Cluster(name.clone());
        let (region, stated) = match (doc.region, directory) {
            (Some(region), _) => (region.value.clone(), beside(&at, &region)),
            (None, Some(directory)) => (directory, at.clone()),
            (None, None) => {
                let message = format!("cluster {name} has no region");
                let hint = Some("write spec.region, or move the file to regions/NAME/".to_owned());
                return self.report.error(&at, ProblemCode::MissingField, message, hint, blocks);
            }
        };
        let named = named(&region, &self.fleet.regions, &self.report.blocked.regions);
        match named {
            Named::Good => {}
            // The region's problem says it for all of its clusters.
            Named::Blocked(cause) => {
                let cause = cause.clone();
                self.report.blocked.clusters.insert(name, cause);
                return;
            }
            Named::Unknown => {
                let hint = self.near_region(&region);
                let message = format!("cluster {name} is in region {region}, and there is no such Region");
                return self.report.error(&stated, ProblemCode::UnknownReference, message, hint, blocks);
            }
        }
        let mut labels = self.fleet.regions.get(&region).map(|region| region.labels.clone()).unwrap_or_default();
        labels.extend(doc.labels);
        labels.insert(REGION_LABEL.to_owned(), region.to_string());
        labels.insert(CLUSTER_LABEL.to_owned(), name.to_string());
        self.fleet.clusters.insert(name.clone(), Cluster { name, region, labels, vars: doc.vars, location: at });
    }

    fn project(&mut self, name: &str, at: Location, doc: ProjectDoc) {
        let Ok(name) = name.parse::<ProjectName>() else { return };
        let Some(target) = self.target(doc.target, &at, &Blocks::Project(name.clone())) else { return };
        let project = Project {
            name: name.clone(),
            description: doc.description,
            sources: doc.sources,
            namespaces: doc.namespaces,
            target,
            service_account: doc.service_account,
            kinds: doc.kinds,
            cluster_kinds: doc.cluster_kinds,
            denied_kinds: doc.denied_kinds,
            location: at,
        };
        self.fleet.projects.insert(name, project);
    }

    fn rollout(&mut self, name: &str, at: Location, doc: RolloutDoc) {
        let Ok(name) = name.parse::<RolloutName>() else { return };
        let blocks = Blocks::Rollout(name.clone());
        let mut stages = Vec::new();
        let mut good = true;
        for stage in doc.stages {
            // Without the Fleet document its groups are not known, and everything stands still for that.
            let unknown = |group: &&At<GroupName>| self.report.everything.is_none() && !self.fleet.approvers.contains_key(&group.value);
            if let Some(group) = stage.approval_group.as_ref().filter(unknown) {
                good = false;
                self.unknown_group(&at, group, &blocks);
            }
            match self.target(stage.target, &at, &blocks) {
                Some(target) => stages.push(crate::fleet::Stage { target, ..stage.stage }),
                None => good = false,
            }
        }
        if good {
            self.fleet.rollouts.insert(name.clone(), Rollout { name, stages, supersede: doc.supersede, location: at });
        }
    }

    fn unknown_group(&mut self, at: &Location, group: &At<GroupName>, blocks: &Blocks) {
        let hint = self.did_you_mean(
            group.value.as_str(),
            self.fleet.approvers.keys().map(GroupName::as_str),
            "list it in approverGroups of Fleet",
        );
        let message = format!("there is no group of approvers called {}", group.value);
        self.report.error(&beside(at, group), ProblemCode::UnknownReference, message, hint, blocks.clone());
    }

    /// Checks the names in a target. `None` if one is unknown, which is reported.
    fn target(&mut self, doc: TargetDoc, at: &Location, blocks: &Blocks) -> Option<Target> {
        let mut good = true;
        for cluster in &doc.names {
            if let Named::Unknown = named(&cluster.value, &self.fleet.clusters, &self.report.blocked.clusters) {
                good = false;
                let hint = self.near_cluster(&cluster.value);
                let message = format!("there is no cluster called {}", cluster.value);
                self.report.error(&beside(at, cluster), ProblemCode::UnknownReference, message, hint, blocks.clone());
            }
        }
        for region in doc.regions.iter().flatten() {
            if let Named::Unknown = named(&region.value, &self.fleet.regions, &self.report.blocked.regions) {
                good = false;
                let hint = self.near_region(&region.value);
                let message = format!("there is no region called {}", region.value);
                self.report.error(&beside(at, region), ProblemCode::UnknownReference, message, hint, blocks.clone());
            }
        }
        let names = doc.names.into_iter().map(|name| name.value).collect();
        let regions = doc.regions.map(|regions| regions.into_iter().map(|region| region.value).collect());
        good.then_some(Target { names, selector: doc.selector, regions })
    }

    fn near_region(&self, name: &RegionName) -> Option<String> {
        let known = self.fleet.regions.keys().chain(self.report.blocked.regions.keys());
        self.did_you_mean(name.as_str(), known.map(RegionName::as_str), "write a Region document for it")
    }

    fn near_cluster(&self, name: &ClusterName) -> Option<String> {
        let known = self.fleet.clusters.keys().chain(self.report.blocked.clusters.keys());
        self.did_you_mean(name.as_str(), known.map(ClusterName::as_str), "write a Cluster document for it")
    }

    /// What a name may have been meant to be, or else what to do; while files are unreadable, it may be in one of those.
    fn did_you_mean<'n>(&self, name: &str, known: impl IntoIterator<Item = &'n str>, otherwise: &str) -> Option<String> {
        if let Some(near) = nearest(name, known) {
            return Some(format!("did you mean \"{near}\"?"));
        }
        match self.report.incomplete.first() {
            Some(gap) => Some(format!("mend {} first, which may define it", gap.path)),
            None => Some(otherwise.to_owned()),
        }
    }

    /// The defaults name a project and a rollout that must exist, also if no app takes them. Only apps that take them are blocked.
    fn check_defaults(&mut self) {
        let Some(at) = self.defaults_file.clone() else { return };
        if let Some(project) = self.defaults.project.clone() {
            self.reference(&beside(&at, &project), "project", &project.value, None);
        }
        if let Some(rollout) = self.defaults.rollout.clone() {
            self.reference(&beside(&at, &rollout), "rollout", &rollout.value, None);
        }
    }

    /// Whether a project or rollout can be used; if not, that is reported.
    fn reference<N: Reference>(&mut self, at: &Location, word: &str, name: &N, blocks: Option<&Blocks>) -> bool {
        let (code, message, hint) = match name.find(&self.fleet, &self.report.blocked) {
            Named::Good => return true,
            Named::Blocked(cause) => {
                let message = format!("{word} {name} cannot be used because of the problem at {cause}");
                (ProblemCode::BlockedReference, message, None)
            }
            Named::Unknown => {
                let otherwise = format!("write a document for the {word}, or correct the name");
                let hint = self.did_you_mean(&name.to_string(), N::known(&self.fleet, &self.report.blocked), &otherwise);
                (ProblemCode::UnknownReference, format!("there is no {word} called {name}"), hint)
            }
        };
        self.report.add(at.clone(), Severity::Error, code, message, hint, blocks.cloned());
        false
    }

    /// Whether the project or rollout that an app takes, by itself or by default, can be used. What is wrong with a default is reported
    /// where the default is; here it blocks the app.
    fn taken<N: Reference + Clone>(
        &mut self,
        at: &Location,
        app: &AppName,
        word: &str,
        own: Option<&At<N>>,
        default: Option<At<N>>,
    ) -> bool {
        match (own, default, &self.defaults_file) {
            (Some(own), ..) => self.reference(&beside(at, own), word, &own.value, Some(&Blocks::App(app.clone()))),
            (None, Some(default), Some(defaults)) => {
                let good = matches!(default.value.find(&self.fleet, &self.report.blocked), Named::Good);
                if !good {
                    let cause = beside(defaults, &default);
                    self.report.blocked.apps.insert(app.clone(), cause);
                }
                good
            }
            _ => true,
        }
    }

    fn apps(&mut self, docs: Vec<(AppName, Location, AppDoc)>) -> BTreeMap<AppName, Marks> {
        let names: BTreeSet<AppName> = docs.iter().map(|(name, ..)| name.clone()).collect();
        let mut marks = BTreeMap::new();
        for (name, at, doc) in docs {
            let blocks = Blocks::App(name.clone());
            let places = Marks {
                target: doc.target.mark.map_or_else(|| at.clone(), |mark| Location { line: mark.line, column: mark.column, ..at.clone() }),
                source: beside(&at, &doc.source),
                namespace: doc.namespace.as_ref().map_or_else(|| at.clone(), |namespace| beside(&at, namespace)),
                service_account: doc.service_account.as_ref().map_or_else(|| at.clone(), |account| beside(&at, account)),
                layers: layer_marks(&at, &doc),
                depends_on: doc.depends_on.iter().map(|dependency| (dependency.value.clone(), beside(&at, dependency))).collect(),
            };
            if let Some(app) = self.app(&name, at, doc, &names, &blocks) {
                self.fleet.apps.insert(name.clone(), app);
                marks.insert(name, places);
            }
        }
        marks
    }

    fn app(&mut self, name: &AppName, at: Location, doc: AppDoc, names: &BTreeSet<AppName>, blocks: &Blocks) -> Option<App> {
        let mut good = self.taken(&at, name, "project", doc.project.as_ref(), self.defaults.project.clone());
        good &= self.taken(&at, name, "rollout", doc.rollout.as_ref(), self.defaults.rollout.clone());
        for dependency in &doc.depends_on {
            if !names.contains(&dependency.value) && !self.report.blocked.apps.contains_key(&dependency.value) {
                good = false;
                let hint = self.did_you_mean(
                    dependency.value.as_str(),
                    names.iter().map(AppName::as_str),
                    "correct the name, or take it out of dependsOn",
                );
                let message = format!("app {name} depends on {}, and there is no such app", dependency.value);
                self.report.error(&beside(&at, dependency), ProblemCode::UnknownReference, message, hint, blocks.clone());
            }
        }
        let target = self.target(doc.target, &at, blocks)?;
        let defaults = &self.defaults;
        let project = doc.project.or_else(|| defaults.project.clone()).map(|project| project.value);
        let required = project.as_ref().and_then(|project| self.fleet.projects.get(project)?.service_account.clone());
        if let (Some(own), Some(required), Some(project)) = (&doc.service_account, &required, &project)
            && own.value != *required
        {
            good = false;
            let message = format!("app {name} wants to run as \"{}\", and project {project} has its apps run as \"{required}\"", own.value);
            let hint = Some("take serviceAccount out of the app".to_owned());
            self.report.error(&beside(&at, own), ProblemCode::NotPermitted, message, hint, blocks.clone());
        }
        let service_account = required.or(doc.service_account.map(|own| own.value)).or_else(|| defaults.service_account.clone());
        let prune = doc.prune.or(defaults.prune).unwrap_or(false);
        let otherwise = if prune { OnDelete::Cascade } else { OnDelete::Orphan };
        let app = App {
            name: name.clone(),
            labels: doc.labels,
            create_namespace: doc.create_namespace.or(defaults.create_namespace).unwrap_or(false) && doc.namespace.is_some(),
            namespace: doc.namespace.map(|namespace| namespace.value),
            service_account,
            source: Source {
                name: doc.source.value.name,
                path: doc.source.value.path,
                helm: doc
                    .source
                    .value
                    .helm
                    .map(|helm| plain(helm.try_map(|_, text| Ok(text.value.clone()), |_, path| Ok(path.value.clone())))),
            },
            target,
            vars: doc.vars,
            kustomize: plain(doc.kustomize.try_map(|_, text| Ok(text.value.clone()))),
            post_build: doc.post_build.map(|post_build| plain(post_build.try_map(|_, text| Ok(text.value.clone())))),
            depends_on: doc.depends_on.into_iter().map(|dependency| dependency.value).collect(),
            rollout: doc.rollout.or_else(|| defaults.rollout.clone()).map(|rollout| rollout.value),
            prune,
            heal: doc.heal.or(defaults.heal).unwrap_or(Heal::Correct),
            apply: doc.apply.or(defaults.apply).unwrap_or(Apply::Isolated),
            conflicts: doc.conflicts.or(defaults.conflicts).unwrap_or(Conflicts::Force),
            on_delete: doc.on_delete.or(defaults.on_delete).unwrap_or(otherwise),
            ignore_differences: doc.ignore_differences,
            health_check_exprs: doc.health_check_exprs,
            project,
            location: at,
        };
        good.then_some(app)
    }

    /// Apps in a circle would wait for each other for ever.
    fn check_cycles(&mut self, marks: &BTreeMap<AppName, Marks>) {
        for (app, cycle) in cycles(&self.fleet.apps) {
            let at = marks.get(&app).zip(cycle.get(1)).and_then(|(marks, next)| marks.depends_on.get(next));
            let Some(at) = at.cloned() else { continue };
            let circle = cycle.iter().map(AppName::as_str).collect::<Vec<_>>().join(" → ");
            let message = format!("app {app} depends on itself: {circle}");
            let hint = Some("take one of these out of dependsOn".to_owned());
            self.report.error(&at, ProblemCode::DependencyCycle, message, hint, Blocks::App(app));
        }
    }

    /// What each app meets on the clusters that it wants.
    fn check_clusters(&mut self, marks: &BTreeMap<AppName, Marks>) {
        let mut met: Vec<(Location, ProblemCode, String, Option<String>, Blocks)> = Vec::new();
        let plain: BTreeSet<ClusterName> = self
            .fleet
            .clusters
            .values()
            .filter(|cluster| has_plain_vars(&self.fleet, cluster))
            .map(|cluster| cluster.name.clone())
            .collect();
        for (name, app) in &self.fleet.apps {
            let Some(marks) = marks.get(name) else { continue };
            let wanted: Vec<&Cluster> = self.fleet.clusters.values().filter(|cluster| app.target.takes(cluster)).collect();
            if self.report.blocked.apps.contains_key(name) {
                continue;
            }
            let all_known = self.report.blocked.clusters.is_empty() && self.report.incomplete.is_empty();
            if wanted.is_empty() && all_known {
                let hint = Some(why_none(&self.fleet, app));
                let message = format!("app {name} matches no cluster, so that it runs nowhere");
                self.report.add(marks.target.clone(), Severity::Warning, ProblemCode::NoClusterMatches, message, hint, None);
            }
            let mut together: BTreeMap<(Location, ProblemCode, String, Option<String>), Vec<ClusterName>> = BTreeMap::new();
            let mut good_on_all_plain = false;
            for cluster in wanted {
                let mut all = meets(&self.fleet, app, cluster, marks);
                if !(good_on_all_plain && plain.contains(&cluster.name)) {
                    let resolved = meets_resolved(&self.fleet, app, cluster, marks);
                    good_on_all_plain |= resolved.is_none() && is_same_everywhere(app);
                    all.extend(resolved);
                }
                for (at, code, message, hint) in all {
                    together.entry((at, code, message, hint)).or_default().push(cluster.name.clone());
                }
            }
            for ((at, code, message, hint), clusters) in together {
                let message = format!("{message} (on {})", some_of(&clusters));
                met.push((at, code, message, hint, Blocks::AppOn { app: name.clone(), clusters }));
            }
        }
        for (at, code, message, hint, blocks) in met {
            self.report.error(&at, code, message, hint, blocks);
        }
    }

    fn finish(mut self) -> (Fleet, Vec<Problem>) {
        if let Some(at) = &self.report.everything {
            let apps: Vec<AppName> = self.fleet.apps.keys().cloned().collect();
            for app in apps {
                self.report.blocked.apps.entry(app).or_insert_with(|| at.clone());
            }
        }
        self.fleet.apps.retain(|name, _| !self.report.blocked.apps.contains_key(name));
        self.fleet.blocked = self.report.blocked;
        self.fleet.incomplete = self.report.incomplete;
        self.fleet.incomplete.sort();
        self.report.problems.sort();
        self.report.problems.dedup();
        (self.fleet, self.report.problems)
    }
}

/// Where the texts with variables of `source.helm`, `kustomize` and `postBuild` stand.
fn layer_marks(at: &Location, doc: &AppDoc) -> BTreeMap<String, Location> {
    let marks = RefCell::new(BTreeMap::new());
    let note = |field: &str, text: &At<Template>| {
        marks.borrow_mut().insert(field.to_owned(), beside(at, text));
        Ok(())
    };
    if let Some(helm) = &doc.source.value.helm {
        plain(helm.try_map(note, note));
    }
    plain(doc.kustomize.try_map(note));
    if let Some(post_build) = &doc.post_build {
        plain(post_build.try_map(note));
    }
    marks.into_inner()
}

/// What could not fail.
fn plain<T>(result: Result<T, std::convert::Infallible>) -> T {
    let Ok(value) = result;
    value
}

type Met = (Location, ProblemCode, String, Option<String>);

/// What stands against `app` on a cluster that it wants.
fn meets(fleet: &Fleet, app: &App, cluster: &Cluster, marks: &Marks) -> Vec<Met> {
    let mut met: Vec<Met> = Vec::new();
    let rollout = app.rollout.as_ref().and_then(|name| fleet.rollouts.get(name));
    if let Some(rollout) = rollout.filter(|rollout| rollout.stage_of(cluster).is_none()) {
        let message = format!("no stage of rollout {} takes clusters that app {} wants", rollout.name, app.name);
        let hint = Some(format!("add a last stage with regions: [\"*\"] in {}", rollout.location.file));
        met.push((marks.target.clone(), ProblemCode::NoStageTakesCluster, message, hint));
    }
    for (dependency, at) in &marks.depends_on {
        if fleet.apps.get(dependency).is_some_and(|dependency| !dependency.target.takes(cluster)) {
            let message = format!("app {} depends on {dependency}, which is not wanted there", app.name);
            let hint = Some(format!("let {dependency} run there too, or make an app of its own for these clusters"));
            met.push((at.clone(), ProblemCode::DependencyNotPlaced, message, hint));
        }
    }
    let project = app.project.as_ref().and_then(|name| fleet.projects.get(name));
    if let Some(project) = project {
        let sources =
            app.source.read().into_iter().map(|source| project.permits_source(source).map_err(|refusal| (&marks.source, refusal)));
        let target = project.permits_cluster(cluster).map_err(|refusal| (&marks.target, refusal));
        for (at, refusal) in sources.chain([target]).filter_map(Result::err) {
            met.push((at.clone(), ProblemCode::NotPermitted, refusal.to_string(), None));
        }
    }
    met
}

/// Whether an app that resolves on one cluster does so on all that have plain variables: paths take at most the two names, which are
/// one segment wherever they stand, and nothing else has variables. A thousand apps on a hundred clusters are then resolved a thousand
/// times and not a hundred thousand.
fn is_same_everywhere(app: &App) -> bool {
    let names_only = |template: &Template| template.variables().all(|variable| matches!(variable, Variable::Region | Variable::Cluster));
    app.source.path.candidates().iter().all(names_only)
        && app.source.helm.as_ref().is_none_or(|helm| helm.try_map(has_no_variable, has_no_variable).is_ok())
        && app.vars.values().all(|value| value.constant().is_some())
        && app.namespace.as_ref().is_none_or(|namespace| namespace.constant().is_some())
        && app.kustomize.try_map(has_no_variable).is_ok()
        && app.post_build.as_ref().is_none_or(|post_build| post_build.try_map(has_no_variable).is_ok())
}

fn has_no_variable(_: &str, template: &Template) -> Result<(), ()> {
    template.constant().map(|_| ()).ok_or(())
}

fn has_plain_vars(fleet: &Fleet, cluster: &Cluster) -> bool {
    let region = fleet.regions.get(&cluster.region).into_iter().flat_map(|region| region.vars.values());
    cluster.vars.values().chain(region).all(|value| value.constant().is_some())
}

fn meets_resolved(fleet: &Fleet, app: &App, cluster: &Cluster, marks: &Marks) -> Option<Met> {
    let resolved = match resolve(fleet, app, cluster) {
        Ok(resolved) => resolved,
        Err(error) => return Some(unresolved(fleet, app, cluster, &error, marks)),
    };
    let project = app.project.as_ref().and_then(|name| fleet.projects.get(name))?;
    let target_mark = marks.layers.get("kustomize.targetNamespace").unwrap_or(&marks.namespace);
    let namespaces = [(resolved.namespace, &marks.namespace), (resolved.kustomize.target_namespace, target_mark)];
    let refused = namespaces.into_iter().find_map(|(namespace, at)| Some((project.permits_namespace(&namespace?).err()?, at)));
    let (refusal, at) = refused?;
    Some((at.clone(), ProblemCode::NotPermitted, refusal.to_string(), None))
}

fn unresolved(fleet: &Fleet, app: &App, cluster: &Cluster, error: &ResolveError, marks: &Marks) -> Met {
    match error {
        ResolveError::Variable { field, error } => {
            let at = match field.as_str() {
                "source.path" => &marks.source,
                "namespace" => &marks.namespace,
                layer if marks.layers.contains_key(layer) => &marks.layers[layer],
                _ => defined_at(fleet, app, cluster, field),
            };
            let hint = match error {
                VariableError::Unset(Variable::Label(name)) => {
                    Some(format!("set the label {name} in the Cluster or Region documents, or narrow the app's clusters"))
                }
                VariableError::Unset(Variable::Var(name)) => Some(format!("set vars.{name} in the App, Region or Cluster documents")),
                _ => None,
            };
            (at.clone(), ProblemCode::UnsetVariable, format!("{field} of app {}: {error}", app.name), hint)
        }
        ResolveError::Account(account) => {
            let code =
                if matches!(account, AccountError::NotPermitted { .. }) { ProblemCode::NotPermitted } else { ProblemCode::InvalidValue };
            (marks.service_account.clone(), code, format!("app {}: {error}", app.name), None)
        }
        ResolveError::Namespace { field, .. } => {
            let at = marks.layers.get(*field).unwrap_or(&marks.namespace);
            (at.clone(), ProblemCode::InvalidValue, format!("app {}: {error}", app.name), None)
        }
        ResolveError::Label { field, .. } => {
            let at = marks.layers.get(field).unwrap_or(&app.location);
            (at.clone(), ProblemCode::InvalidValue, format!("app {}: {error}", app.name), None)
        }
        ResolveError::Path { field, .. } | ResolveError::Helm { field, .. } if field != "source.path" => {
            let at = marks.layers.get(field).unwrap_or(&marks.source);
            (at.clone(), ProblemCode::InvalidValue, format!("app {}: {error}", app.name), None)
        }
        ResolveError::Path { .. } | ResolveError::Helm { .. } => {
            (marks.source.clone(), ProblemCode::InvalidValue, format!("app {}: {error}", app.name), None)
        }
    }
}

/// The document whose value of a variable counts on a cluster.
fn defined_at<'f>(fleet: &'f Fleet, app: &'f App, cluster: &'f Cluster, field: &str) -> &'f Location {
    let name = field.strip_prefix("vars.").unwrap_or(field);
    match fleet.regions.get(&cluster.region) {
        _ if cluster.vars.contains_key(name) => &cluster.location,
        Some(region) if region.vars.contains_key(name) => &region.location,
        _ => &app.location,
    }
}

/// How many reasons are given why no cluster matches.
const REASONS_LISTED: usize = 3;

fn why_none(fleet: &Fleet, app: &App) -> String {
    if fleet.clusters.is_empty() {
        return "there is no Cluster document".to_owned();
    }
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for mismatch in fleet.clusters.values().filter_map(|cluster| app.target.mismatch(cluster)) {
        *reasons.entry(mismatch.to_string()).or_default() += 1;
    }
    let mut reasons: Vec<(String, usize)> = reasons.into_iter().collect();
    reasons.sort_by(|(a, many), (b, more)| more.cmp(many).then(a.cmp(b)));
    let said: Vec<String> =
        reasons.iter().take(REASONS_LISTED).map(|(reason, count)| format!("{count} of {}: {reason}", fleet.clusters.len())).collect();
    said.join("; ")
}

/// Each app that depends on itself, with a shortest circle from it to itself.
fn cycles(apps: &BTreeMap<AppName, App>) -> Vec<(AppName, Vec<AppName>)> {
    let mut left: BTreeMap<&AppName, BTreeSet<&AppName>> =
        apps.iter().map(|(name, app)| (name, app.depends_on.iter().filter(|name| apps.contains_key(*name)).collect())).collect();
    // Whoever depends on nothing that is left is in no circle; what remains is in one or leads to one.
    loop {
        let done: Vec<&AppName> = left.iter().filter(|(_, needs)| needs.is_empty()).map(|(name, _)| *name).collect();
        if done.is_empty() {
            break;
        }
        for name in &done {
            left.remove(name);
        }
        let done: BTreeSet<&AppName> = done.into_iter().collect();
        left.values_mut().for_each(|needs| needs.retain(|need| !done.contains(need)));
    }
    left.keys().filter_map(|name| Some(((*name).clone(), circle(name, &left)?))).collect()
}

fn circle(start: &AppName, graph: &BTreeMap<&AppName, BTreeSet<&AppName>>) -> Option<Vec<AppName>> {
    let mut from: BTreeMap<&AppName, &AppName> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(here) = queue.pop_front() {
        for next in graph.get(here).into_iter().flatten() {
            if *next == start {
                let mut path = vec![start.clone()];
                let mut at = here;
                while at != start {
                    path.push(at.clone());
                    at = from.get(at)?;
                }
                path.push(start.clone());
                path.reverse();
                return Some(path);
            }
            if !from.contains_key(next) {
                from.insert(next, here);
                queue.push_back(next);
            }
        }
    }
    None
}

fn beside<T>(doc: &Location, part: &At<T>) -> Location {
    Location { file: doc.file.clone(), line: part.line, column: part.column }
}

fn named<'b, N: Ord, T>(name: &N, good: &BTreeMap<N, T>, blocked: &'b BTreeMap<N, Location>) -> Named<'b> {
    match (blocked.get(name), good.contains_key(name)) {
        (Some(cause), _) => Named::Blocked(cause),
        (None, true) => Named::Good,
        (None, false) => Named::Unknown,
    }
}

/// A name of something that apps refer to.
trait Reference: std::fmt::Display {
    fn find<'b>(&self, fleet: &Fleet, blocked: &'b Blocked) -> Named<'b>;
    fn known<'n>(fleet: &'n Fleet, blocked: &'n Blocked) -> Vec<&'n str>;
}

impl Reference for ProjectName {
    fn find<'b>(&self, fleet: &Fleet, blocked: &'b Blocked) -> Named<'b> {
        named(self, &fleet.projects, &blocked.projects)
    }

    fn known<'n>(fleet: &'n Fleet, blocked: &'n Blocked) -> Vec<&'n str> {
        fleet.projects.keys().chain(blocked.projects.keys()).map(Self::as_str).collect()
    }
}

impl Reference for RolloutName {
    fn find<'b>(&self, fleet: &Fleet, blocked: &'b Blocked) -> Named<'b> {
        named(self, &fleet.rollouts, &blocked.rollouts)
    }

    fn known<'n>(fleet: &'n Fleet, blocked: &'n Blocked) -> Vec<&'n str> {
        fleet.rollouts.keys().chain(blocked.rollouts.keys()).map(Self::as_str).collect()
    }
}
