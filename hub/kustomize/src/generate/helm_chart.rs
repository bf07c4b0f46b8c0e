//! `helmCharts`: charts that lie in the tree, as kustomize would hand them to Helm. Rendering one is left to whoever the build was given for it.

use std::fmt;
use std::sync::Arc;

use hub_tree::{Reader, TreePath};
use serde_json::{Map, Value};
use shared_manifest::{Content, YamlBudget, YamlMode, parse_yaml};

use crate::documents::read_resources;
use crate::fields::{Fields, wrong_type};
use crate::loader::Loader;
use crate::problem::{Fault, Reason};
use crate::remote::is_harmless;
use crate::resource::Resource;

/// A chart that a build needs rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartRequest {
    /// Its directory.
    pub chart: TreePath,
    /// The name of the release.
    pub release_name: String,
    /// The namespace of the release; empty is Helm's default.
    pub namespace: String,
    /// Values in the order in which they win.
    pub values: Vec<ChartValues>,
    /// Whether the definitions in `crds/` are part of it.
    pub include_crds: bool,
    /// Whether hooks are left out.
    pub skip_hooks: bool,
    /// Whether tests are left out.
    pub skip_tests: bool,
    /// API versions that the chart is told, beside those of the cluster.
    pub api_versions: Vec<String>,
    /// The version of Kubernetes that the chart is told; empty is the cluster's.
    pub kube_version: String,
}

/// Values for a chart.
#[derive(Clone, PartialEq)]
pub enum ChartValues {
    /// A file.
    File {
        /// Its name, for messages.
        name: String,
        /// What it holds.
        text: String,
    },
    /// A map.
    Inline(Value),
}

/// Values may be secrets: only names are printed.
impl fmt::Debug for ChartValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, text } => write!(f, "File({name}, {} bytes)", text.len()),
            Self::Inline(_) => f.write_str("Inline(..)"),
        }
    }
}

/// A text of manifests, and the file that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestText {
    /// The file: a template of a chart, for one.
    pub file: TreePath,
    /// The manifests as YAML.
    pub text: String,
}

/// Whoever can render charts.
pub trait Inflate: fmt::Debug {
    /// The manifests of a chart, in Helm's order.
    ///
    /// # Errors
    /// What is wrong, for people.
    fn inflate(&self, reader: &Reader<'_>, request: &ChartRequest) -> Result<Vec<ManifestText>, String>;
}

/// What holds for all charts of a kustomization.
#[derive(Debug, Clone, Default)]
pub(crate) struct Globals {
    chart_home: String,
}

/// An entry of `helmCharts`.
#[derive(Debug, Clone)]
pub(crate) struct HelmChart {
    pub(crate) line: u32,
    name: String,
    version: String,
    repo: String,
    release_name: String,
    name_template: String,
    namespace: String,
    values_file: String,
    additional_values_files: Vec<String>,
    values_inline: Map<String, Value>,
    winner: Winner,
    include_crds: bool,
    skip_hooks: bool,
    skip_tests: bool,
    api_versions: Vec<String>,
    kube_version: String,
}

/// What becomes of the file of values beside inline ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Winner {
    /// The inline ones: `override`.
    Inline,
    /// The file's: `merge`.
    File,
    /// The inline ones, and the file is passed over: `replace`.
    InlineAlone,
}

/// Where charts are unless something else is said.
const CHART_HOME: &str = "charts";

impl Globals {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        // Where Helm has its own configuration is nothing that matters here.
        fields.take("configHome");
        Ok(Self { chart_home: fields.text("chartHome")? })
    }

    /// These, where they say something, and else `others`.
    pub(crate) fn over(self, others: Self) -> Self {
        if self.chart_home.is_empty() { others } else { self }
    }
}

impl HelmChart {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        for of_no_matter in ["debug", "devel"] {
            fields.flag(of_no_matter)?;
        }
        let line = fields.line;
        let values_merge = fields.text("valuesMerge")?;
        let inline = fields.take("valuesInline");
        Ok(Self {
            line,
            name: fields.text("name")?,
            version: fields.text("version")?,
            repo: fields.text("repo")?,
            release_name: fields.text("releaseName")?,
            name_template: fields.text("nameTemplate")?,
            namespace: fields.text("namespace")?,
            values_file: fields.text("valuesFile")?,
            additional_values_files: fields.plain_texts("additionalValuesFiles")?,
            values_inline: inline.map(|node| map_in(node, "valuesInline")).transpose()?.unwrap_or_default(),
            winner: winner_of(&values_merge, line)?,
            include_crds: fields.flag("includeCRDs")?,
            skip_hooks: fields.flag("skipHooks")?,
            skip_tests: fields.flag("skipTests")?,
            api_versions: fields.plain_texts("apiVersions")?,
            kube_version: fields.text("kubeVersion")?,
        })
    }

    /// An entry of the deprecated `helmChartInflationGenerator`, with what it says for all charts.
    pub(crate) fn read_old(fields: &mut Fields<'_>) -> Result<(Self, Globals), Fault> {
        for of_no_matter in ["chartRepoName", "helmBin", "helmHome", "releaseNamespace", "extraArgs"] {
            fields.take(of_no_matter);
        }
        let line = fields.line;
        let values_merge = fields.text("valuesMerge")?;
        let inline = fields.take("valuesLocal");
        let chart = Self {
            line,
            name: fields.text("chartName")?,
            version: fields.text("chartVersion")?,
            repo: fields.text("chartRepoUrl")?,
            release_name: fields.text("releaseName")?,
            name_template: String::new(),
            namespace: String::new(),
            values_file: fields.text("values")?,
            additional_values_files: Vec::new(),
            values_inline: inline.map(|node| map_in(node, "valuesLocal")).transpose()?.unwrap_or_default(),
            winner: winner_of(&values_merge, line)?,
            include_crds: false,
            skip_hooks: false,
            skip_tests: false,
            api_versions: Vec::new(),
            kube_version: String::new(),
        };
        Ok((chart, Globals { chart_home: fields.text("chartHome")? }))
    }

    /// The resources of the chart. `namespace` is that of the kustomizations around it.
    pub(crate) fn inflate(&self, globals: &Globals, namespace: &str, loader: &Loader<'_>) -> Result<Vec<Resource>, Fault> {
        let Some(charts) = loader.charts else {
            let why = "charts are rendered only where that is asked for, with --enable-helm";
            return Err(Reason::Unsupported { what: "helmCharts".to_owned(), why }.into());
        };
        let request = self.request(globals, namespace, loader)?;
        let manifests = charts.inflate(loader.reader, &request).map_err(|problem| self.refused(problem))?;
        let mut resources = Vec::new();
        for ManifestText { file, text } in manifests {
            for resource in read_resources(&text, &file, 0).map_err(|fault| Fault { line: None, ..fault })? {
                let mut resource = Arc::unwrap_or_clone(resource);
                resource.place.line = 0;
                resource.is_of_chart = true;
                resources.push(resource);
            }
        }
        Ok(resources)
    }

    fn request(&self, globals: &Globals, namespace: &str, loader: &Loader<'_>) -> Result<ChartRequest, Reason> {
        if self.name.is_empty() {
            return Err(self.refused("a chart needs a name".to_owned()));
        }
        let home = if globals.chart_home.is_empty() { CHART_HOME } else { &globals.chart_home };
        // Where kustomize would have put the chart that it pulls.
        let home = match self.version.is_empty() || self.repo.is_empty() {
            true => home.to_owned(),
            false => format!("{}/{}-{}", home.trim_end_matches('/'), self.name, self.version),
        };
        let written = format!("{}/{}", home.trim_end_matches('/'), self.name);
        let chart = loader.path(&written)?;
        if loader.reader.entry(&chart)?.is_none_or(|(_, entry)| entry.kind != hub_tree::EntryKind::Directory) {
            return Err(self.refused(self.missing(&chart, &home)));
        }
        Ok(ChartRequest {
            chart,
            release_name: self.release()?,
            namespace: if self.namespace.is_empty() { namespace.to_owned() } else { self.namespace.clone() },
            values: self.values(&written, loader)?,
            include_crds: self.include_crds,
            skip_hooks: self.skip_hooks,
            skip_tests: self.skip_tests,
            api_versions: self.api_versions.clone(),
            kube_version: self.kube_version.clone(),
        })
    }

    /// The name of the release. Without one, Helm would make another one up each time.
    fn release(&self) -> Result<String, Reason> {
        if !self.name_template.is_empty() && !self.release_name.is_empty() {
            return Err(self.refused("releaseName and nameTemplate exclude each other; remove one".to_owned()));
        }
        let name = if self.name_template.is_empty() { &self.release_name } else { &self.name_template };
        if name.contains("{{") {
            return Err(self.refused(
                "nameTemplate is a template, and a name that is not the same each time cannot be kept; set releaseName".to_owned(),
            ));
        }
        if name.is_empty() {
            return Err(
                self.refused("it has no releaseName, and Helm would make up another one at every build; set releaseName".to_owned())
            );
        }
        Ok(name.clone())
    }

    fn values(&self, chart: &str, loader: &Loader<'_>) -> Result<Vec<ChartValues>, Reason> {
        let (file, is_default) = match self.values_file.is_empty() {
            true => (format!("{chart}/values.yaml"), true),
            false => (self.values_file.clone(), false),
        };
        let mut values = Vec::new();
        if self.values_inline.is_empty() || self.winner != Winner::InlineAlone {
            match text_at(&file, "valuesFile", loader) {
                // A chart may have none.
                Err(Reason::Missing { .. }) if is_default => {}
                Err(reason) => return Err(reason),
                Ok(text) => values.push(ChartValues::File { name: file, text }),
            }
        }
        if !self.values_inline.is_empty() {
            let below = values.pop().map(|below| self.parsed(&below)).transpose()?.unwrap_or_default();
            let inline = self.values_inline.clone();
            let merged = match self.winner {
                Winner::Inline => merged(below, inline),
                Winner::File => merged(inline, below),
                Winner::InlineAlone => inline,
            };
            values.push(ChartValues::Inline(Value::Object(merged)));
        }
        for file in &self.additional_values_files {
            values.push(ChartValues::File { name: file.clone(), text: text_at(file, "additionalValuesFiles", loader)? });
        }
        Ok(values)
    }

    /// The map in a file of values.
    fn parsed(&self, values: &ChartValues) -> Result<Map<String, Value>, Reason> {
        let ChartValues::File { name, text } = values else { return Ok(Map::new()) };
        let documents =
            parse_yaml(text, YamlMode::Kubernetes, YamlBudget::MANIFEST).map_err(|error| self.refused(format!("{name}: {error}")))?;
        match documents.into_iter().next().map(|document| document.value) {
            None => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map),
            Some(_) => Err(self.refused(format!("{name} holds no map of values"))),
        }
    }

    /// What to do about a chart that is not there.
    fn missing(&self, chart: &TreePath, home: &str) -> String {
        let mut command = vec!["helm", "pull", "--untar", "--untardir", home];
        let address = format!("{}/{}", self.repo.trim_end_matches('/'), self.name);
        if self.repo.starts_with("oci://") {
            command.push(&address);
        } else {
            command.extend(["--repo", self.repo.as_str(), self.name.as_str()]);
        }
        if !self.version.is_empty() {
            command.extend(["--version", self.version.as_str()]);
        }
        let can_be_shown = !self.repo.is_empty() && command.iter().all(|word| is_harmless(word)) && !self.name.starts_with('-');
        match can_be_shown {
            true => format!(
                "{chart} is not there, and nothing is fetched while rendering. Vendor it: {}, beside the kustomization",
                command.join(" ")
            ),
            false => format!("{chart} is not there, and nothing is fetched while rendering. Vendor it: copy the chart there"),
        }
    }

    fn refused(&self, problem: String) -> Reason {
        Reason::Chart { name: self.name.clone(), problem }
    }
}

fn winner_of(word: &str, line: u32) -> Result<Winner, Fault> {
    match word {
        "" | "override" => Ok(Winner::Inline),
        "merge" => Ok(Winner::File),
        "replace" => Ok(Winner::InlineAlone),
        other => {
            let problem = format!("valuesMerge is \"{other}\" and must be merge, override or replace");
            Err(Fault::at(line, Reason::Chart { name: String::new(), problem }))
        }
    }
}

fn map_in(node: &shared_manifest::Node, field: &'static str) -> Result<Map<String, Value>, Fault> {
    match (&node.content, node.to_value()) {
        (_, Value::Object(map)) => Ok(map),
        (Content::Null, _) => Ok(Map::new()),
        _ => Err(wrong_type(node, field, "a map of values")),
    }
}

fn text_at(file: &str, field: &'static str, loader: &Loader<'_>) -> Result<String, Reason> {
    let bytes = loader.bytes_at(file, field)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(Reason::NotText { path: loader.path(file)? }),
    }
}

/// `over` on `below`, as kyaml merges: maps key by key, null takes away, all else replaces.
fn merged(mut below: Map<String, Value>, over: Map<String, Value>) -> Map<String, Value> {
    for (key, value) in over {
        match (below.get_mut(&key), value) {
            (_, Value::Null) => {
                below.remove(&key);
            }
            (Some(Value::Object(inner)), Value::Object(over)) => *inner = merged(std::mem::take(inner), over),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
    below
}
