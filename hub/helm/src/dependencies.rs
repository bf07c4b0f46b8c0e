//! Which charts of a chart take part in a render, under which names, and what they hand up to their parents: aliases, conditions, tags and
//! import-values, in Helm's order.

use std::collections::BTreeSet;
use std::sync::Arc;

use hub_gotemplate::{Map, Value, fmt as go};
use hub_version::{Version, VersionRange};

use crate::coalesce::{Nulls, TypeMismatch, merge_tables, values_of};
use crate::load::Package;
use crate::metadata::{Dependency, Metadata, text_entry};
use crate::stored::{Stored, Table, deep_copy_map, table_of};

/// A chart that takes part, with those below it.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) package: Arc<Package>,
    /// As the chart says, with the name it has here and the dependencies that take part.
    pub(crate) metadata: Arc<Metadata>,
    /// The chart's values with what was imported; `None` where they are those of the package.
    values: Option<Arc<Table>>,
    pub(crate) children: Vec<Node>,
}

impl Node {
    /// The chart with all that are in it, before anything is decided.
    pub(crate) fn of(package: &Arc<Package>) -> Self {
        let children = package.dependencies.iter().map(Self::of).collect();
        Self { package: package.clone(), metadata: package.metadata.clone(), values: None, children }
    }

    /// The name it has here.
    pub(crate) fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Its own values.
    pub(crate) fn values(&self) -> &Table {
        self.values.as_deref().unwrap_or(&self.package.values)
    }
}

/// Whether `version` is in `range`; what cannot be read is in none.
pub(crate) fn is_compatible(range: &str, version: &str) -> bool {
    match (range.parse::<VersionRange>(), Version::parse(version)) {
        (Ok(range), Ok(version)) => range.contains(&version),
        _ => false,
    }
}

/// The names of dependencies in `Chart.yaml` that are not in `charts/`.
pub(crate) fn missing(package: &Package) -> Vec<&str> {
    let is_there = |name: &str| package.dependencies.iter().any(|chart| chart.metadata.name == name);
    package.metadata.dependencies.iter().map(|dependency| dependency.name.as_str()).filter(|name| !is_there(name)).collect()
}

/// Takes the charts out that `values` switch off, and gives those that stay the names they have here. The decisions, in order, say which tree came
/// out: equal ones of one chart give equal trees.
pub(crate) fn select(chart: &mut Node, values: &Map, warnings: &mut Vec<String>) -> Result<Vec<bool>, TypeMismatch> {
    let mut decisions = Vec::new();
    select_below(chart, values, "", warnings, &mut decisions)?;
    Ok(decisions)
}

fn select_below(
    chart: &mut Node,
    values: &Map,
    path: &str,
    warnings: &mut Vec<String>,
    decisions: &mut Vec<bool>,
) -> Result<(), TypeMismatch> {
    if !chart.metadata.lists_dependencies {
        return Ok(());
    }
    let listed = std::mem::take(&mut Arc::make_mut(&mut chart.metadata).dependencies);
    let found = std::mem::take(&mut chart.children);
    let is_meant = |child: &Node, dependency: &Dependency| {
        child.name() == dependency.name && is_compatible(&dependency.version, &child.metadata.version)
    };
    // Charts that Chart.yaml does not mention are always in, and come first.
    let unlisted = found.iter().filter(|child| !listed.iter().any(|dependency| is_meant(child, dependency)));
    chart.children = unlisted.cloned().collect();
    for dependency in &listed {
        if let Some(child) = found.iter().find(|child| is_meant(child, dependency)) {
            let mut child = child.clone();
            if !dependency.alias.is_empty() {
                Arc::make_mut(&mut child.metadata).name.clone_from(&dependency.alias);
            }
            chart.children.push(child);
        }
    }
    let metadata = Arc::make_mut(&mut chart.metadata);
    metadata.dependencies = listed;
    for dependency in &mut metadata.dependencies {
        dependency.name = dependency.local_name().to_owned();
        dependency.enabled = true;
    }
    if !depends_on_values(chart) {
        decisions.extend(chart.metadata.dependencies.iter().map(|_| true));
        return select_without_values(chart, values, path, warnings, decisions);
    }
    let values = values_of(chart, values, Nulls::Apply, warnings)?;
    let dependencies = &mut Arc::make_mut(&mut chart.metadata).dependencies;
    apply_tags(dependencies, &values, warnings);
    apply_conditions(dependencies, &values, path, warnings);
    decisions.extend(chart.metadata.dependencies.iter().map(|dependency| dependency.enabled));
    let off: BTreeSet<String> = chart.metadata.dependencies.iter().filter(|one| !one.enabled).map(|one| one.name.clone()).collect();
    chart.children.retain(|child| !off.contains(child.name()));
    for child in &mut chart.children {
        let path = format!("{path}{}.", child.name());
        select_below(child, &values, &path, warnings, decisions)?;
    }
    settle(chart, |dependency| !off.contains(&dependency.name));
    Ok(())
}

/// The same where no value is asked: what the values of charts below it are is then of no interest.
fn select_without_values(
    chart: &mut Node,
    values: &Map,
    path: &str,
    warnings: &mut Vec<String>,
    decisions: &mut Vec<bool>,
) -> Result<(), TypeMismatch> {
    for child in &mut chart.children {
        let path = format!("{path}{}.", child.name());
        select_below(child, values, &path, warnings, decisions)?;
    }
    settle(chart, |_| true);
    Ok(())
}

/// Whether a value can switch something off here or below.
pub(crate) fn depends_on_values(chart: &Node) -> bool {
    let asks = |dependency: &Dependency| !dependency.condition.trim().is_empty() || !dependency.tags.is_empty();
    chart.metadata.dependencies.iter().any(asks) || chart.children.iter().any(depends_on_values)
}

fn settle(chart: &mut Node, is_on: impl Fn(&Dependency) -> bool) {
    let metadata = Arc::make_mut(&mut chart.metadata);
    metadata.dependencies.retain(is_on);
    // A chart of which all dependencies are off counts as one without any.
    metadata.lists_dependencies = !metadata.dependencies.is_empty();
}

fn apply_tags(dependencies: &mut [Dependency], values: &Map, warnings: &mut Vec<String>) {
    let Some(tags) = table_at(values, "tags") else { return };
    for dependency in dependencies {
        let (mut on, mut off) = (false, false);
        for tag in &dependency.tags {
            match tags.get(tag.as_bytes()) {
                None => {}
                Some(Value::Bool(claim)) => {
                    on |= claim;
                    off |= !claim;
                }
                Some(_) => warnings.push(format!("returned non-bool value: tag {tag} of chart {}", dependency.name)),
            }
        }
        dependency.enabled = on || !off;
    }
}

fn apply_conditions(dependencies: &mut [Dependency], values: &Map, path: &str, warnings: &mut Vec<String>) {
    for dependency in dependencies {
        for condition in dependency.condition.trim().split(',').filter(|condition| !condition.is_empty()) {
            match scalar_at(values, &format!("{path}{condition}")) {
                None => {}
                Some(Value::Bool(claim)) => {
                    dependency.enabled = claim;
                    break;
                }
                Some(_) => warnings.push(format!("returned non-bool value: path {condition} of chart {}", dependency.name)),
            }
        }
    }
}

/// The table that a path of names with dots leads to.
pub(crate) fn table_at(values: &Map, path: &str) -> Option<Map> {
    path.split('.').try_fold(values.clone(), |table, name| match table.get(name.as_bytes()) {
        Some(Value::Map(inner)) => Some(inner),
        _ => None,
    })
}

/// What a path of names with dots leads to, if it is no table.
pub(crate) fn scalar_at(values: &Map, path: &str) -> Option<Value> {
    let value = match path.rsplit_once('.') {
        Some((tables, name)) => table_at(values, tables)?.get(name.as_bytes()),
        None => values.get(path.as_bytes()),
    };
    value.filter(|value| !matches!(value, Value::Map(_)))
}

/// Lets every chart take over from those below it what it says under `import-values`; the values of a chart with dependencies become those of the
/// whole tree below it.
pub(crate) fn import_values(chart: &mut Node, warnings: &mut Vec<String>) -> Result<(), TypeMismatch> {
    for child in &mut chart.children {
        import_values(child, warnings)?;
    }
    if !chart.metadata.lists_dependencies {
        return Ok(());
    }
    let values = values_of(chart, &Map::default(), Nulls::Keep, warnings)?;
    let imported = Map::default();
    for dependency in &mut Arc::make_mut(&mut chart.metadata).dependencies {
        let mut rules = Vec::new();
        for rule in &dependency.import_values {
            let (child, parent) = match rule {
                Stored::Map(entries) => {
                    let written = |key: &str| {
                        let value = entries.get(key.as_bytes()).map_or(Value::Nil, Stored::to_value);
                        go::sprint(&value).unwrap_or_default().to_string()
                    };
                    (written("child"), written("parent"))
                }
                Stored::Text(name) => (format!("exports.{name}"), ".".to_owned()),
                _ => continue,
            };
            rules.push(Stored::Map([text_entry("child", &child), text_entry("parent", &parent)].into()));
            let Some(table) = table_at(&values, &format!("{}.{child}", dependency.name)) else {
                let chart = &dependency.name;
                warnings.push(format!("ImportValues missing table from chart {chart}: {child} is not a table"));
                continue;
            };
            // Helm takes an empty table for a new one.
            let table = if table.is_empty() { Map::default() } else { table };
            merge_tables(&imported, &within(&parent, table), warnings);
        }
        dependency.import_values = rules;
    }
    let values = if imported.is_empty() { values } else { deep_copy_map(&values) };
    merge_tables(&values, &imported, warnings);
    chart.values = Some(Arc::new(table_of(&values)));
    Ok(())
}

/// `table` at the place that `path` names.
fn within(path: &str, table: Map) -> Map {
    if path == "." {
        return table;
    }
    path.split('.').rev().fold(table, |inner, name| {
        let outer = Map::default();
        outer.set(name.into(), Value::Map(inner));
        outer
    })
}
