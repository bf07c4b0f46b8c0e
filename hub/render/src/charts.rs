//! Charts on their way to manifests: compiled once by content, told about the cluster, and what they made use of. Which chart an app wants, and
//! which values, is left to `helm` and to `hub_kustomize`.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use hub_helm::{Calendar, Capabilities, Chance, Chart, KubeVersion, Manifest, Request, Scope, Used, ValuesLayer, template};
use hub_kustomize::{ChartRequest, ChartValues, Inflate, ManifestText};
use hub_tree::{ContentId, EntryKind, Observed, Reader, TreePath};
use zeroize::Zeroizing;

use crate::input::{ClusterFacts, RenderInput};
use crate::problem::RenderProblem;
use crate::render::Warning;

/// What random values, keys and certificates of charts are derived from: a secret of the fleet, which is never printed, and its age.
#[derive(Clone, PartialEq, Eq)]
pub struct ChanceKey {
    secret: Arc<Zeroizing<[u8; 32]>>,
    made: i64,
}

impl ChanceKey {
    /// The secret, and when it was made in seconds since 1970: the time that charts are told, always.
    pub fn new(secret: [u8; 32], made: i64) -> Self {
        Self { secret: Arc::new(Zeroizing::new(secret)), made }
    }
}

impl fmt::Debug for ChanceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChanceKey").field("made", &self.made).finish_non_exhaustive()
    }
}

/// How many compiled charts are kept: those of one app on its clusters and regions, and of its neighbours. A chart of 1 MB takes about 10 MB
/// compiled, so that these are at most a few hundred.
const CHARTS_KEPT: usize = 32;

/// Charts as they were compiled, by their content.
#[derive(Debug, Default)]
pub(crate) struct Charts(Mutex<VecDeque<Compiled>>);

#[derive(Debug)]
struct Compiled {
    at: (TreePath, ContentId),
    chart: Chart,
    observed: Observed,
}

impl Charts {
    /// The chart at `path`, compiled before or now.
    fn get(&self, reader: &Reader<'_>, path: &TreePath) -> Result<Chart, RenderProblem> {
        let Some((real, entry)) = reader.entry(path)? else { return Err(RenderProblem::NoChart { path: path.clone() }) };
        let at = (real.clone(), entry.id);
        {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = kept.iter().position(|kept| kept.at == at).and_then(|found| kept.remove(found)) {
                let chart = reader.adopt(&found.observed).then(|| found.chart.clone());
                kept.push_front(found);
                if let Some(chart) = chart {
                    return Ok(chart);
                }
            }
        }
        let directory = if entry.kind == EntryKind::Directory { real.clone() } else { real.parent().unwrap_or_else(|| real.own_root()) };
        let (loaded, observed) = reader.observe(&directory, || Chart::load(reader, &real));
        let chart = loaded.map_err(|error| RenderProblem::Chart { path: real, error })?;
        if let Some(observed) = observed {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.retain(|kept| kept.at != at);
            kept.truncate(CHARTS_KEPT - 1);
            kept.push_front(Compiled { at, chart: chart.clone(), observed });
        }
        Ok(chart)
    }
}

/// A chart, and what it is rendered with.
pub(crate) struct Wish<'a> {
    pub(crate) path: &'a TreePath,
    pub(crate) release_name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) values: Vec<ValuesLayer>,
    pub(crate) include_crds: bool,
    pub(crate) skip_hooks: bool,
    pub(crate) skip_tests: bool,
    pub(crate) skip_schema: bool,
    /// The version of Kubernetes that the chart is told, instead of the cluster's.
    pub(crate) kube_version: Option<&'a str>,
    /// API versions that the chart is told, beside the cluster's.
    pub(crate) api_versions: &'a [String],
}

/// A rendered chart.
pub(crate) struct Inflated {
    pub(crate) manifests: Vec<ManifestText>,
    pub(crate) warnings: Vec<Warning>,
    /// What it made use of, as far as that is not always the same.
    pub(crate) used: Used,
}

/// Renders a chart for `input`.
pub(crate) fn inflate(wish: Wish<'_>, input: &RenderInput, charts: &Charts, reader: &Reader<'_>) -> Result<Inflated, RenderProblem> {
    let path = wish.path;
    let chart = charts.get(reader, path)?;
    let mut request = Request::new(wish.release_name, wish.namespace);
    request.values = wish.values;
    request.capabilities = told(&input.facts, wish.kube_version, wish.api_versions)?;
    request.include_crds = wish.include_crds;
    request.skip_schema = wish.skip_schema;
    request.chance = input.chance.as_ref().map(|ChanceKey { secret, made }| {
        let scope = Scope { app: input.app.as_str(), cluster: input.cluster.as_str(), release: wish.release_name };
        Chance::new(secret, &scope, Calendar { anchor: *made, today: input.today })
    });
    let templated = template(&chart, &request).map_err(|error| RenderProblem::Helm { path: path.clone(), error })?;
    let is_wanted = |manifest: &Manifest| match &manifest.hook {
        Some(hook) => !(wish.skip_hooks || wish.skip_tests && hook.is_test()),
        None => true,
    };
    let manifests = templated.crds.into_iter().chain(templated.manifests).filter(is_wanted);
    let manifests = manifests.map(|manifest| ManifestText { file: place_of(path, &manifest.source), text: manifest.text }).collect();
    let file = place_of(path, "x/Chart.yaml");
    let remarks = templated.warnings.into_iter().chain(remarks(&templated.used));
    let mut used = templated.used;
    // What was said here is the same everywhere.
    used.kube_version &= wish.kube_version.is_none();
    used.api_versions.retain(|version, _| !wish.api_versions.contains(version));
    Ok(Inflated { manifests, warnings: remarks.map(|text| Warning { file: file.clone(), text }).collect(), used })
}

/// Where a manifest comes from: `source` begins with the name of the chart.
fn place_of(chart: &TreePath, source: &str) -> TreePath {
    let within = source.split_once('/').map_or(source, |(_, within)| within);
    chart.join(within).unwrap_or_else(|_| chart.clone())
}

/// What a chart is told of the cluster: what is said for it before what the cluster has reported before what Helm assumes.
fn told(facts: &ClusterFacts, kube_version: Option<&str>, api_versions: &[String]) -> Result<Capabilities, RenderProblem> {
    let capabilities = reported(facts);
    let capabilities = match kube_version {
        None => capabilities,
        Some(version) => {
            let version = KubeVersion::parse(version).map_err(|error| RenderProblem::KubeVersion { problem: error.to_string() })?;
            capabilities.with_kube_version(version)
        }
    };
    Ok(if api_versions.is_empty() { capabilities } else { capabilities.with_api_versions(api_versions.iter().cloned()) })
}

fn reported(facts: &ClusterFacts) -> Capabilities {
    let mut capabilities = Capabilities::assumed();
    if let Some(served) = &facts.api_versions {
        capabilities.api_versions = served.iter().cloned().collect();
    }
    match facts.kube_version.as_deref().map(KubeVersion::parse) {
        Some(Ok(version)) => capabilities.with_kube_version(version),
        _ => capabilities,
    }
}

/// Whether `other` gives charts that used so much of `this` the same answers.
pub(crate) fn agree(used: &Used, this: &RenderInput, other: &RenderInput) -> bool {
    let asked_the_cluster = used.kube_version || used.all_api_versions || !used.api_versions.is_empty();
    if asked_the_cluster && this.facts != other.facts {
        let (then, now) = (reported(&this.facts), reported(&other.facts));
        let same_version = !used.kube_version || then.kube_version == now.kube_version;
        let same_list = !used.all_api_versions || then.api_versions == now.api_versions;
        let same_answers = used.api_versions.iter().all(|(version, answer)| now.api_versions.contains(version) == *answer);
        if !(same_version && same_list && same_answers) {
            return false;
        }
    }
    let is_fresh = used.good_until.is_none_or(|until| (this.today..until).contains(&other.today));
    is_fresh && (used.chance.is_empty() || (this.chance == other.chance && this.app == other.app && this.cluster == other.cluster))
}

/// Everything that a render may make use of: what has to be assumed of one that failed on the way.
pub(crate) fn all_used() -> Used {
    Used { kube_version: true, all_api_versions: true, ..Used::default() }
}

/// What to know about a chart that asks for more than its values.
fn remarks(used: &Used) -> Option<String> {
    let drawn: BTreeSet<&str> = used.chance.iter().map(|(function, _)| *function).collect();
    let drawn = drawn.into_iter().collect::<Vec<_>>().join(", ");
    match (drawn.is_empty(), used.lookups.is_empty()) {
        (true, true) => None,
        (false, true) => Some(format!(
            "it uses {drawn}: what they give is derived from a secret of the fleet, for this app and cluster, and is the same at every render"
        )),
        (true, false) => Some(format!(
            "it looks {} up in the cluster, and is told that nothing is there: the hub reads no objects of clusters. Set what it would find as values",
            listed(used)
        )),
        (false, false) => Some(format!(
            "it uses {drawn}, and looks {} up in the cluster to keep what it had, which finds nothing here. What it gets is derived from a secret of the \
             fleet instead, and is the same at every render; to keep what an earlier installation has made, set it as values, or name the \
             existing Secret there",
            listed(used)
        )),
    }
}

/// How many lookups a remark names.
const LOOKUPS_LISTED: usize = 3;

fn listed(used: &Used) -> String {
    let mut text = used.lookups.iter().take(LOOKUPS_LISTED).cloned().collect::<Vec<_>>().join(", ");
    if used.lookups.len() > LOOKUPS_LISTED {
        text.push_str(&format!(" and {} more", used.lookups.len() - LOOKUPS_LISTED));
    }
    text
}

/// Renders the charts that kustomizations name in `helmCharts`, and remembers what they made use of.
#[derive(Debug)]
pub(crate) struct ChartInflater<'a> {
    input: &'a RenderInput,
    charts: &'a Charts,
    used: RefCell<Used>,
    warnings: RefCell<Vec<Warning>>,
}

impl<'a> ChartInflater<'a> {
    pub(crate) fn new(input: &'a RenderInput, charts: &'a Charts) -> Self {
        Self { input, charts, used: RefCell::default(), warnings: RefCell::default() }
    }

    /// What all charts made use of, and what to know about them.
    pub(crate) fn into_notes(self) -> (Used, Vec<Warning>) {
        (self.used.into_inner(), self.warnings.into_inner())
    }
}

impl Inflate for ChartInflater<'_> {
    fn inflate(&self, reader: &Reader<'_>, request: &ChartRequest) -> Result<Vec<ManifestText>, String> {
        let values = request.values.iter().map(|values| match values.clone() {
            ChartValues::File { name, text } => ValuesLayer::File { name, text },
            ChartValues::Inline(values) => ValuesLayer::Inline(values),
        });
        let wish = Wish {
            path: &request.chart,
            release_name: &request.release_name,
            namespace: if request.namespace.is_empty() { "default" } else { &request.namespace },
            values: values.collect(),
            include_crds: request.include_crds,
            skip_hooks: request.skip_hooks,
            skip_tests: request.skip_tests,
            skip_schema: false,
            kube_version: Some(request.kube_version.as_str()).filter(|version| !version.is_empty()),
            api_versions: &request.api_versions,
        };
        let inflated = inflate(wish, self.input, self.charts, reader).map_err(|problem| problem.to_string())?;
        let mut used = self.used.borrow_mut();
        used.kube_version |= inflated.used.kube_version;
        used.all_api_versions |= inflated.used.all_api_versions;
        used.api_versions.extend(inflated.used.api_versions);
        used.lookups.extend(inflated.used.lookups);
        used.chance.extend(inflated.used.chance);
        used.good_until = [used.good_until, inflated.used.good_until].into_iter().flatten().min();
        self.warnings.borrow_mut().extend(inflated.warnings);
        Ok(inflated.manifests)
    }
}

/// Renders charts for a build that is for no cluster: with what Helm assumes of one.
#[derive(Debug)]
pub struct LocalCharts {
    input: RenderInput,
    charts: Charts,
}

impl LocalCharts {
    /// Derives what is random from `chance`, with certificates that are valid `today`, in seconds since 1970.
    pub fn new(chance: ChanceKey, today: i64) -> Self {
        Self { input: RenderInput::local(chance, today), charts: Charts::default() }
    }
}

impl Inflate for LocalCharts {
    fn inflate(&self, reader: &Reader<'_>, request: &ChartRequest) -> Result<Vec<ManifestText>, String> {
        ChartInflater::new(&self.input, &self.charts).inflate(reader, request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_printed() {
        assert_eq!(format!("{:?}", ChanceKey::new([7; 32], 5)), "ChanceKey { made: 5, .. }");
    }
}
