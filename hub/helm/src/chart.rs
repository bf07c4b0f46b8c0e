//! A loaded chart, and what is kept of it between renders: for every choice of the charts in it, their values and parsed templates.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hub_gotemplate::{Map, MapType, Templates, Text, Value};
use hub_tree::{Reader, TreePath};

use crate::coalesce::TypeMismatch;
use crate::dependencies::{self, Node};
use crate::functions;
use crate::kept::Kept;
use crate::load::{self, ChartError, Package};
use crate::manifest::Heads;
use crate::stored::{Table, table_of, to_map};
use crate::{HelmError, Metadata};

/// How many choices of charts are kept parsed. A fleet renders one chart with a few sets of switches; 32 are five switches in every combination.
const KEPT_LIMIT: usize = 32;

/// A chart. Cheap to clone; its templates are parsed once.
#[derive(Clone)]
pub struct Chart(Arc<Loaded>);

struct Loaded {
    package: Arc<Package>,
    warnings: Vec<String>,
    prepared: Mutex<BTreeMap<Vec<bool>, Arc<Prepared>>>,
    kept: Arc<Kept>,
}

/// A chart after it is known which of the charts in it take part.
pub(crate) struct Prepared {
    pub(crate) root: Node,
    /// What it took to find out.
    pub(crate) warnings: Vec<String>,
    pub(crate) templates: Templates,
    /// The files to parse and, but for partials, to execute, in Helm's order.
    pub(crate) files: Vec<TemplateFile>,
    /// The charts, parents before their children.
    pub(crate) scopes: Vec<Scope>,
    /// What is known of documents that were rendered before.
    pub(crate) heads: Heads,
}

/// A file in `templates/`.
pub(crate) struct TemplateFile {
    /// Such as `parent/charts/child/templates/service.yaml`.
    pub(crate) name: Text,
    /// The chart it belongs to, in [`Prepared::scopes`].
    pub(crate) scope: usize,
    /// Whether it only defines what others include.
    pub(crate) is_partial: bool,
}

/// What does not change for the templates of one chart from render to render.
pub(crate) struct Scope {
    /// The chart it lies in.
    pub(crate) parent: Option<usize>,
    /// The name it has there.
    pub(crate) name: String,
    /// Such as `parent/charts/child`.
    pub(crate) path: String,
    /// Such as `parent/charts/child/templates`.
    pub(crate) base_path: Text,
    chart: Table,
    pub(crate) files: Arc<BTreeMap<Text, Text>>,
}

impl Chart {
    /// Loads the chart at `path` of a tree: a directory, or an archive made by `helm package`.
    ///
    /// # Errors
    /// What is wrong with the chart, mostly in Helm's words.
    pub fn load(reader: &Reader<'_>, path: &TreePath) -> Result<Self, ChartError> {
        let mut warnings = Vec::new();
        let package = load::load(reader, path, &mut warnings)?;
        Ok(Self::of(package, warnings))
    }

    /// Loads a chart from the bytes of an archive made by `helm package`.
    ///
    /// # Errors
    /// What is wrong with the chart, mostly in Helm's words.
    pub fn from_archive(bytes: &[u8]) -> Result<Self, ChartError> {
        let mut warnings = Vec::new();
        let package = load::from_archive(bytes, "chart archive", &mut warnings)?;
        Ok(Self::of(package, warnings))
    }

    fn of(package: Package, warnings: Vec<String>) -> Self {
        Self(Arc::new(Loaded { package: Arc::new(package), warnings, prepared: Mutex::default(), kept: Arc::default() }))
    }

    /// What the chart says about itself.
    pub fn metadata(&self) -> &Metadata {
        &self.0.package.metadata
    }

    /// Keys that were made for it.
    pub(crate) fn keys(&self) -> Arc<Kept> {
        self.0.kept.clone()
    }

    pub(crate) fn package(&self) -> &Package {
        &self.0.package
    }

    /// What loading it warned of.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    /// The chart as `values` switch the charts in it on and off.
    pub(crate) fn prepared(&self, values: &Map, warnings: &mut Vec<String>) -> Result<Arc<Prepared>, HelmError> {
        let mismatch = |error: TypeMismatch| HelmError::Coalescing { chart: self.metadata().name.clone(), message: error.to_string() };
        // Without a switch there is one choice only, and nothing needs to be looked at.
        if let Some(known) = self.kept(&[]) {
            return Ok(known);
        }
        let mut root = Node::of(&self.0.package);
        let has_switches = dependencies::depends_on_values(&root);
        let mut choice = dependencies::select(&mut root, values, warnings).map_err(mismatch)?;
        if !has_switches {
            choice.clear();
        } else if let Some(known) = self.kept(&choice) {
            return Ok(known);
        }
        let prepared = Arc::new(Prepared::of(root).map_err(|error| match error {
            Unprepared::Mismatch(error) => mismatch(error),
            Unprepared::Parse(error) => HelmError::parse(&error),
        })?);
        let mut kept = self.0.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_LIMIT {
            kept.clear();
        }
        kept.insert(choice, prepared.clone());
        Ok(prepared)
    }

    fn kept(&self, choice: &[bool]) -> Option<Arc<Prepared>> {
        self.0.prepared.lock().unwrap_or_else(PoisonError::into_inner).get(choice).cloned()
    }
}

impl std::fmt::Debug for Chart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chart({} {})", self.metadata().name, self.metadata().version)
    }
}

enum Unprepared {
    Mismatch(TypeMismatch),
    Parse(hub_gotemplate::ParseError),
}

impl Prepared {
    fn of(mut root: Node) -> Result<Self, Unprepared> {
        let mut warnings = Vec::new();
        dependencies::import_values(&mut root, &mut warnings).map_err(Unprepared::Mismatch)?;
        let (mut scopes, mut sources) = (Vec::new(), BTreeMap::new());
        collect(&root, None, &mut scopes, &mut sources);
        let mut names: Vec<&Text> = sources.keys().collect();
        // Deeper paths first, so that a parent's definitions replace those of the charts in it.
        let order = |name: &Text| (name.iter().filter(|byte| **byte == b'/').count(), name.clone());
        names.sort_by_cached_key(|name| std::cmp::Reverse(order(name)));
        let mut templates = Templates::new("gotpl", &functions::Table);
        templates.parse_all(names.iter().map(|name| (Text::clone(name), sources[*name].1.clone()))).map_err(Unprepared::Parse)?;
        let file = |name: &Text| {
            let is_partial = name.rsplit(|byte| *byte == b'/').next().is_some_and(|last| last.starts_with(b"_"));
            TemplateFile { name: name.clone(), scope: sources[name].0, is_partial }
        };
        let files = names.into_iter().map(file).collect();
        Ok(Self { warnings, templates, files, scopes, root, heads: Heads::default() })
    }
}

/// Notes the scopes and templates of `chart` and of those in it. Of two templates of one name that of the parent counts, then the later one.
fn collect<'a>(chart: &'a Node, parent: Option<usize>, scopes: &mut Vec<Scope>, sources: &mut BTreeMap<Text, (usize, &'a Text)>) {
    let path = match parent {
        Some(parent) => format!("{}/charts/{}", scopes[parent].path, chart.name()),
        None => chart.name().to_owned(),
    };
    let scope = scopes.len();
    scopes.push(Scope {
        parent,
        name: chart.name().to_owned(),
        base_path: format!("{path}/templates").into(),
        path: path.clone(),
        chart: table_of(&chart.metadata.to_map(parent.is_none())),
        files: chart.package.files_by_name.clone(),
    });
    for child in &chart.children {
        collect(child, Some(scope), scopes, sources);
    }
    let is_library = chart.metadata.is_library();
    for file in &chart.package.templates {
        if !is_library || file.name.rsplit('/').next().is_some_and(|last| last.starts_with('_')) {
            sources.insert(format!("{path}/{}", file.name).into(), (scope, &file.data));
        }
    }
}

impl Scope {
    /// `.Chart`.
    pub(crate) fn chart(&self) -> Value {
        let chart = to_map(&self.chart);
        if let Some(Value::Map(annotations)) = chart.get(b"Annotations") {
            chart.set("Annotations".into(), Value::Map(Map::of(MapType::Text, annotations.entries().clone())));
        }
        Value::Map(chart)
    }
}
