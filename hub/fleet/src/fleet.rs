//! A fleet as it is wanted: regions, clusters, apps, projects and rollouts, with defaults and labels filled in and every name checked.
//! How they come out of files is left to `read`; which app runs where to `place`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use hub_tree::TreePath;
use shared_expression::jq::JqPath;
use shared_model::{AppName, ClusterName, GroupName, ProjectName, RegionName, RolloutName, SourceName, StageName};

use crate::amount::Share;
use crate::health::HealthCheckExpr;
use crate::helm::{ChartFrom, HelmSource};
use crate::label::{Labels, Requirement, Selector};
use crate::layers::{KustomizeLayers, PostBuild};
use crate::problem::Location;
use crate::project::Project;
use crate::template::Template;

/// The label that every cluster has with the name of its region.
pub const REGION_LABEL: &str = "region";
/// The label that every cluster has with its own name.
pub const CLUSTER_LABEL: &str = "cluster";

/// Everything that a fleet repository says and that can be trusted. What has problems of its own is in [`Fleet::blocked`] and nowhere else.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fleet {
    /// Who may approve.
    pub approvers: BTreeMap<GroupName, BTreeSet<String>>,
    /// Regions by name.
    pub regions: BTreeMap<RegionName, Region>,
    /// Clusters by name.
    pub clusters: BTreeMap<ClusterName, Cluster>,
    /// Projects by name.
    pub projects: BTreeMap<ProjectName, Project>,
    /// Rollouts by name.
    pub rollouts: BTreeMap<RolloutName, Rollout>,
    /// Apps by name.
    pub apps: BTreeMap<AppName, App>,
    /// What exists and stands still.
    pub blocked: Blocked,
    /// Places that may define more than is known. While there are any, nothing may be taken for removed.
    pub incomplete: Vec<Gap>,
}

/// What exists and cannot be trusted, each with the place of a problem that says why. It keeps running as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blocked {
    /// Regions; their clusters are blocked too.
    pub regions: BTreeMap<RegionName, Location>,
    /// Clusters: nothing is added there, changed or removed.
    pub clusters: BTreeMap<ClusterName, Location>,
    /// Projects; their apps are blocked too.
    pub projects: BTreeMap<ProjectName, Location>,
    /// Rollouts; the apps that follow them are blocked too.
    pub rollouts: BTreeMap<RolloutName, Location>,
    /// Apps, on all clusters.
    pub apps: BTreeMap<AppName, Location>,
    /// Apps on single clusters.
    pub pairs: BTreeMap<AppName, BTreeMap<ClusterName, Location>>,
}

/// A place that may define more than is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// The file or directory.
    pub path: TreePath,
    /// Why it is not known, for people.
    pub reason: String,
}

/// A region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Its name.
    pub name: RegionName,
    /// Labels of its clusters.
    pub labels: Labels,
    /// Variables of its clusters.
    pub vars: BTreeMap<String, Template>,
    /// Where it is defined.
    pub location: Location,
}

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Its region.
    pub region: RegionName,
    /// Its own labels over those of its region, with [`REGION_LABEL`] and [`CLUSTER_LABEL`].
    pub labels: Labels,
    /// Its own variables; those of its region are with the region.
    pub vars: BTreeMap<String, Template>,
    /// Where it is defined.
    pub location: Location,
}

/// What runs where, with the fleet's defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Its name.
    pub name: AppName,
    /// Its labels, for lists and selections.
    pub labels: Labels,
    /// The project that limits it.
    pub project: Option<ProjectName>,
    /// The namespace of objects that name none.
    pub namespace: Option<Template>,
    /// Whether the namespace is created where it is missing.
    pub create_namespace: bool,
    /// The service account that it is written with, as `NAME` or `NAMESPACE:NAME`; the agent's own rights if `None`.
    pub service_account: Option<String>,
    /// Where its manifests are.
    pub source: Source,
    /// Which clusters it wants.
    pub target: Target,
    /// Its variables.
    pub vars: BTreeMap<String, Template>,
    /// What is laid over its kustomization.
    pub kustomize: KustomizeLayers,
    /// The variables of its manifests.
    pub post_build: Option<PostBuild>,
    /// Apps that must be healthy first, on each cluster.
    pub depends_on: BTreeSet<AppName>,
    /// How a change goes from cluster to cluster; to all at once if there is none.
    pub rollout: Option<RolloutName>,
    /// Whether objects that leave the source are deleted.
    pub prune: bool,
    /// What to do about changes that others make.
    pub heal: Heal,
    /// What an object that the API server refuses means for the others.
    pub apply: Apply,
    /// What happens when another field manager holds a field with another value.
    pub conflicts: Conflicts,
    /// What becomes of the objects when the app is removed.
    pub on_delete: OnDelete,
    /// Fields that others may change.
    pub ignore_differences: Vec<IgnoreDifference>,
    /// The health of kinds that it judges itself.
    pub health_check_exprs: Vec<HealthCheckExpr>,
    /// Where it is defined.
    pub location: Location,
}

/// Where manifests are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The source, as configured on the hub; `None` is the fleet repository.
    pub name: Option<SourceName>,
    /// The directory in it. Of a chart from elsewhere, the directory that its files of values are relative to.
    pub path: PathChoice,
    /// What is rendered, if it is a chart by name.
    pub helm: Option<HelmSource>,
}

impl Source {
    /// The sources of the hub that it reads, as far as it names them; `None` is the fleet repository. Repositories of charts by their address
    /// are not among them.
    pub(crate) fn read(&self) -> Vec<Option<&SourceName>> {
        let own = self.name.as_ref();
        match &self.helm {
            Some(HelmSource { chart: ChartFrom::Source { name, .. }, .. }) if self.reads_own() => vec![own, Some(name)],
            Some(HelmSource { chart: ChartFrom::Source { name, .. }, .. }) => vec![Some(name)],
            _ if self.reads_own() => vec![own],
            _ => Vec::new(),
        }
    }

    fn reads_own(&self) -> bool {
        self.helm.as_ref().is_none_or(HelmSource::reads_own_source)
    }
}

/// Which directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathChoice {
    /// This one.
    One(Template),
    /// The first of these that is there.
    FirstOf(Vec<Template>),
}

impl PathChoice {
    /// The directories, the most special first.
    pub fn candidates(&self) -> &[Template] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::FirstOf(paths) => paths,
        }
    }
}

/// Which clusters: all three together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// By name; every name if empty.
    pub names: BTreeSet<ClusterName>,
    /// By labels.
    pub selector: Selector,
    /// By region; every region if `None`.
    pub regions: Option<BTreeSet<RegionName>>,
}

/// Why a target does not take a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// It takes clusters of other names.
    Name,
    /// It takes clusters of other regions.
    Region {
        /// The cluster's region.
        region: RegionName,
    },
    /// A requirement on labels does not hold.
    Label {
        /// The requirement.
        requirement: Requirement,
        /// What the cluster has.
        actual: Option<String>,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("its name is not among those listed"),
            Self::Region { region } => write!(f, "its region {region} is not among those listed"),
            Self::Label { requirement, actual: Some(actual) } => {
                write!(f, "{requirement} is asked for, and its label {} is \"{actual}\"", requirement.key())
            }
            Self::Label { requirement, actual: None } => {
                write!(f, "{requirement} is asked for, and it has no label {}", requirement.key())
            }
        }
    }
}

impl Target {
    /// The first reason why it does not take `cluster`; `None` if it does.
    pub fn mismatch(&self, cluster: &Cluster) -> Option<Mismatch> {
        if !self.names.is_empty() && !self.names.contains(&cluster.name) {
            return Some(Mismatch::Name);
        }
        if self.regions.as_ref().is_some_and(|regions| !regions.contains(&cluster.region)) {
            return Some(Mismatch::Region { region: cluster.region.clone() });
        }
        let requirement = self.selector.first_unmet(&cluster.labels)?.clone();
        let actual = cluster.labels.get(requirement.key()).cloned();
        Some(Mismatch::Label { requirement, actual })
    }

    /// Whether it takes `cluster`.
    pub fn takes(&self, cluster: &Cluster) -> bool {
        self.mismatch(cluster).is_none()
    }
}

/// What to do about changes that others make in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Heal {
    /// Put it right at once.
    Correct,
    /// Say so and leave it.
    Report,
    /// Do not look.
    None,
}

/// What an object that the API server refuses means for the others of its app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Apply {
    /// Objects that need it wait, the others go on.
    Isolated,
    /// Nothing is written until a dry run of all is accepted.
    Transactional,
}

/// What happens when another field manager holds a field with another value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Conflicts {
    /// The field is taken over, and the report names whom it was taken from.
    Force,
    /// The object is left as it is, and the report names managers and fields.
    Report,
}

/// What becomes of an app's objects when the app is removed, once that is approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnDelete {
    /// They are deleted.
    Cascade,
    /// They stay, and Capstan lets go of them.
    Orphan,
}

/// Fields that others may change, in Argo CD's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoreDifference {
    /// The API group as a glob; empty is the core group.
    pub group: String,
    /// The kind as a glob.
    pub kind: String,
    /// The object's name; any if `None`.
    pub name: Option<String>,
    /// The object's namespace; any if `None`.
    pub namespace: Option<String>,
    /// RFC 6901 pointers.
    pub json_pointers: Vec<String>,
    /// Paths in jq's words.
    pub jq_path_expressions: Vec<JqPath>,
    /// Managers whose fields are meant.
    pub managed_fields_managers: Vec<String>,
}

impl IgnoreDifference {
    /// Whether it is about this object.
    pub fn is_about(&self, object: &shared_model::ObjectKey) -> bool {
        crate::rule::glob_matches(&self.group, &object.kind.group)
            && crate::rule::glob_matches(&self.kind, &object.kind.kind)
            && self.name.as_ref().is_none_or(|name| *name == object.name)
            && self.namespace.as_ref().is_none_or(|namespace| object.namespace.as_ref() == Some(namespace))
    }
}

/// How a change goes from cluster to cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// Its name.
    pub name: RolloutName,
    /// Its stages in order; at least one.
    pub stages: Vec<Stage>,
    /// What a newer commit does to one that is under way.
    pub supersede: Supersede,
    /// Where it is defined.
    pub location: Location,
}

impl Rollout {
    /// The stage that takes `cluster`: the first that matches it.
    pub fn stage_of(&self, cluster: &Cluster) -> Option<usize> {
        self.stages.iter().position(|stage| stage.target.takes(cluster))
    }
}

/// What a newer commit does to a rollout that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Supersede {
    /// It waits for its end.
    Queue,
    /// It takes its place, from the first stage.
    Replace,
}

/// One stage of a rollout, with the rollout's defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Its name.
    pub name: StageName,
    /// Which clusters it takes, of those that no earlier stage took.
    pub target: Target,
    /// How it goes through its regions.
    pub each_region: EachRegion,
    /// How many of its clusters may be in change at once.
    pub max_concurrency: Share,
    /// How long a cluster must have been healthy with the change.
    pub soak: Duration,
    /// How long a cluster may take until it counts as failed.
    pub deadline: Duration,
    /// How many of its clusters may fail.
    pub max_failures: Share,
    /// What to do when more fail.
    pub on_failure: OnFailure,
    /// What to do about a cluster that is not heard from.
    pub when_lost: WhenLost,
    /// Measurements that must be within their limits before it is done. Empty while gates are refused as not honoured.
    pub gates: Vec<MetricGate>,
    /// Who must agree before it begins.
    pub approval: Option<Approval>,
}

/// How a stage goes through its regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EachRegion {
    /// All together.
    Parallel,
    /// One after another, in the order of names.
    Sequential,
}

/// What to do when more clusters of a stage fail than may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnFailure {
    /// Stop and wait for a person.
    Hold,
    /// Go back to what ran before.
    Rollback,
}

/// What to do about a cluster that is not heard from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WhenLost {
    /// Wait for it.
    Wait,
    /// Go on without it.
    Skip,
}

/// A measurement that must be within its limits.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricGate {
    /// Its name.
    pub name: StageName,
    /// The Prometheus server.
    pub url: Template,
    /// The PromQL query.
    pub query: String,
    /// The lowest value that passes.
    pub min: Option<f64>,
    /// The highest value that passes.
    pub max: Option<f64>,
}

/// Who must agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The group, which exists in [`Fleet::approvers`].
    pub group: GroupName,
    /// How many of them, at least 1.
    pub count: u32,
    /// How long an approval holds.
    pub expires: Duration,
}
