//! The render of a chart: values, schema, templates, manifests, in Helm's order and with its rules.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use hub_gotemplate::{Budget, Execution, Map, MapType, MissingKey, Value};

use crate::chart::{Chart, Prepared};
use crate::coalesce::{Nulls, values_of};
use crate::dependencies::{Node, is_compatible, missing, table_at};
use crate::error::RELEASE_NAME_LIMIT;
use crate::functions::without_no_value;
use crate::host::Host;
use crate::manifest::{Manifest, sorted};
use crate::objects::{self, Record};
use crate::values::values;
use crate::{HelmError, Request, Templated, Used};

/// The file that speaks to people.
const NOTES: &str = "NOTES.txt";

/// Renders `chart` as `helm template` does.
///
/// # Errors
/// What is wrong with the values, or where a template fails.
pub fn template(chart: &Chart, request: &Request) -> Result<Templated, HelmError> {
    if !is_release_name(&request.release_name) {
        return Err(HelmError::ReleaseName(request.release_name.clone()));
    }
    let metadata = chart.metadata();
    if !matches!(metadata.kind.as_str(), "" | "application") {
        return Err(HelmError::Library { chart: metadata.name.clone() });
    }
    let mut warnings = chart.warnings().to_vec();
    if metadata.deprecated {
        warnings.push("this chart is deprecated".to_owned());
    }
    let missing: Vec<String> = missing(chart.package()).into_iter().map(str::to_owned).collect();
    if !missing.is_empty() {
        return Err(HelmError::MissingDependencies { chart: metadata.name.clone(), missing });
    }
    let given = values(&request.values)?;
    let prepared = chart.prepared(&given, &mut warnings)?;
    warnings.extend_from_slice(&prepared.warnings);
    let values = values_of(&prepared.root, &given, Nulls::Apply, &mut warnings)
        .map_err(|error| HelmError::Coalescing { chart: metadata.name.clone(), message: error.to_string() })?;
    if !request.skip_schema {
        let mut wrong = String::new();
        check_schemas(&prepared.root, &values, &mut wrong);
        if !wrong.is_empty() {
            return Err(HelmError::Schema(wrong));
        }
    }
    let used = Record::default();
    check_kube_version(chart, request, &used)?;
    let rendered = render_files(chart, &prepared, request, &values, &used)?;

    let notes_file = format!("{}/templates/{NOTES}", prepared.root.name());
    let mut notes = None;
    let mut files = Vec::with_capacity(rendered.len());
    for (name, text) in rendered {
        if name == notes_file {
            notes = Some(text);
        } else if !name.ends_with(NOTES) {
            files.push((name, text));
        }
    }
    let manifests = sorted(files, &prepared.heads, &mut warnings)
        .map_err(|refused| HelmError::Manifest { file: refused.source, message: refused.message })?;
    let mut crds = Vec::new();
    if request.include_crds {
        collect_crds(&prepared.root, prepared.root.name(), &mut crds);
    }
    let mut seen = std::collections::BTreeSet::new();
    warnings.retain(|warning| seen.insert(warning.clone()));
    Ok(Templated { manifests, crds, notes, used: used.borrow().clone(), warnings })
}

/// Lower-case letters and digits, with `-` inside parts and `.` between them.
fn is_release_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let is_end = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let bytes = part.as_bytes();
        is_end(bytes.first())
            && is_end(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
    };
    name.len() <= RELEASE_NAME_LIMIT && name.split('.').all(is_part)
}

/// What the schemas of `chart` and of the charts in it say against `values`, under the names of the charts.
fn check_schemas(chart: &Node, values: &Map, wrong: &mut String) {
    if let Some(Err(lines)) = chart.package.schema.as_ref().map(|schema| schema.check(values)) {
        wrong.push_str(&format!("{}:\n{lines}\n", chart.name()));
    }
    for child in &chart.children {
        match values.get(child.name().as_bytes()) {
            None | Some(Value::Nil) => {}
            Some(Value::Map(values)) => check_schemas(child, &values, wrong),
            Some(other) => {
                let found = hub_gotemplate::type_name(&other);
                wrong.push_str(&format!("{}:\ninvalid type for values: expected object (map), got {found}\n", child.name()));
            }
        }
    }
}

fn check_kube_version(chart: &Chart, request: &Request, used: &Rc<RefCell<Used>>) -> Result<(), HelmError> {
    let wanted = &chart.metadata().kube_version;
    if wanted.is_empty() {
        return Ok(());
    }
    used.borrow_mut().kube_version = true;
    let found = &request.capabilities.kube_version;
    if is_compatible(wanted, &found.normalized) {
        return Ok(());
    }
    Err(HelmError::KubeVersion { wanted: wanted.clone(), found: found.to_string() })
}

/// The text of every file that is no partial, by name.
fn render_files(
    chart: &Chart,
    prepared: &Prepared,
    request: &Request,
    values: &Map,
    used: &Record,
) -> Result<BTreeMap<String, String>, HelmError> {
    let scopes = scopes(prepared, request, values, used);
    let host = Host::new(request.chance.clone(), used.clone(), chart.keys(), request.budget);
    let budget = Budget::new(request.budget);
    let (mut rendered, mut text) = (BTreeMap::new(), Vec::new());
    for file in prepared.files.iter().filter(|file| !file.is_partial) {
        let scope = &scopes[file.scope];
        // The templates of a chart share what they see, also what one of them changes.
        let template = [("Name", file.name.clone()), ("BasePath", prepared.scopes[file.scope].base_path.clone())];
        let template = template.into_iter().map(|(key, text)| (key.into(), Value::Text(text))).collect();
        scope.set("Template".into(), Value::Map(Map::of(MapType::Values, template)));
        host.begin(&file.name);
        let name = file.name.to_str();
        let execution = Execution { host: &host, budget: &budget, missing_key: MissingKey::Zero };
        let outcome = prepared.templates.execute_into(&mut text, &name, Value::Map(scope.clone()), execution);
        outcome.map_err(|error| HelmError::execution(&name, &error))?;
        // Most text is UTF-8, which is quicker to see than to mend.
        let kept = without_no_value(&text);
        let kept = std::str::from_utf8(&kept).map_or_else(|_| String::from_utf8_lossy(&kept).into_owned(), str::to_owned);
        rendered.insert(name.into_owned(), kept);
    }
    Ok(rendered)
}

/// What the templates of each chart see, parents before their children.
fn scopes(prepared: &Prepared, request: &Request, values: &Map, used: &Record) -> Vec<Map> {
    let release = [
        ("Name", Value::text(request.release_name.as_str())),
        ("Namespace", Value::text(request.namespace.as_str())),
        ("IsUpgrade", Value::Bool(request.is_upgrade)),
        ("IsInstall", Value::Bool(!request.is_upgrade)),
        ("Revision", Value::Int(1)),
        ("Service", Value::text("Helm")),
    ];
    let release = Value::Map(Map::new(release.into_iter().map(|(key, value)| (key.into(), value)).collect()));
    let capabilities = objects::capabilities(&request.capabilities, used);
    let root_values = Map::of(MapType::Values, std::mem::take(&mut *values.entries_mut()));
    let mut scopes: Vec<Map> = Vec::with_capacity(prepared.scopes.len());
    for scope in &prepared.scopes {
        let values = match scope.parent {
            None => root_values.clone(),
            // The table of the parent itself, so that both see what the other changes.
            Some(parent) => {
                table_at(&scopes[parent], &format!("Values.{}", scope.name)).unwrap_or_else(|| Map::of(MapType::Values, BTreeMap::new()))
            }
        };
        let seen = [
            ("Chart", scope.chart()),
            ("Files", objects::files(&scope.files)),
            ("Release", release.clone()),
            ("Capabilities", capabilities.clone()),
            ("Values", Value::Map(values)),
            ("Subcharts", Value::Map(Map::default())),
        ];
        let seen = Map::of(MapType::Values, seen.into_iter().map(|(key, value)| (key.into(), value)).collect());
        if let Some(parent) = scope.parent
            && let Some(Value::Map(subcharts)) = scopes[parent].get(b"Subcharts")
        {
            subcharts.set(scope.name.as_str().into(), Value::Map(seen.clone()));
        }
        scopes.push(seen);
    }
    scopes
}

/// The files in `crds/` of `chart`, which lies at `path`, and of the charts in it.
fn collect_crds(chart: &Node, path: &str, crds: &mut Vec<Manifest>) {
    let is_manifest = |name: &str| {
        let extension = name.rsplit('/').next().and_then(|last| last.rsplit_once('.')).map(|(_, extension)| extension);
        extension.is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known)))
    };
    for file in chart.package.files.iter().filter(|file| file.name.starts_with("crds/") && is_manifest(&file.name)) {
        crds.push(Manifest {
            source: format!("{path}/{}", file.name),
            text: file.data.to_string(),
            kind: "CustomResourceDefinition".to_owned(),
            hook: None,
            keep: false,
        });
    }
    for child in &chart.children {
        collect_crds(child, &format!("{path}/charts/{}", child.name()), crds);
    }
}
