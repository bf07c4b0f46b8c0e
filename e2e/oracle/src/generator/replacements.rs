//! Values that are copied between objects: replacements and the older variables.

use serde_json::{Value, json};

use super::fields;
use super::known;
use super::objects::Known;
use super::pen::{RAW, is_doubtful};
use crate::Chance;

/// The way to a scalar of `known`, as text, and what is there.
fn scalar_path(chance: &mut Chance, known: &Known) -> Option<(String, Value)> {
    let scalars: Vec<_> =
        fields::ways(&known.value).into_iter().filter(|way| fields::at(&known.value, way).is_some_and(fields::is_scalar)).collect();
    if scalars.is_empty() || chance.percent(20) {
        return Some(("metadata.name".to_owned(), json!(known.name)));
    }
    let way = chance.pick(&scalars);
    Some((fields::field_path(chance, &known.value, way), fields::at(&known.value, way)?.clone()))
}

/// As [`scalar_path`], but mostly to a text: a number that a text replaces cannot be printed any more.
fn text_path(chance: &mut Chance, known: &Known) -> Option<(String, Value)> {
    let plain = |value: &Value| value.as_str().is_some_and(|text| !text.starts_with(RAW) && !is_doubtful(text));
    let found = (0..8).find_map(|_| scalar_path(chance, known).filter(|(path, value)| path != "metadata.name" && plain(value)));
    if !known::TYPES_OF_REPLACEMENTS || chance.percent(85) { found } else { scalar_path(chance, known) }
}

/// As [`scalar_path`], to what may be copied.
fn source_path(chance: &mut Chance, known: &Known) -> Option<(String, Value)> {
    if known::TYPES_OF_REPLACEMENTS {
        scalar_path(chance, known)
    } else {
        text_path(chance, known).or_else(|| Some(("metadata.name".to_owned(), json!(known.name))))
    }
}

fn any_path(chance: &mut Chance, known: &Known) -> String {
    let ways = fields::ways(&known.value);
    if ways.is_empty() {
        return "metadata.name".to_owned();
    }
    let way = chance.pick(&ways);
    fields::field_path(chance, &known.value, way)
}

/// One replacement among `known`.
pub(super) fn replacement(chance: &mut Chance, known: &[Known]) -> Value {
    let from = chance.pick(known);
    let mut replacement = json!({});
    if chance.percent(10) {
        replacement["sourceValue"] = json!(chance.pick(if known::TYPES_OF_REPLACEMENTS {
            &["static", "1", "true", "a/b:c"]
        } else {
            &["static", "x", "two words", "a/b:c"]
        }));
    } else {
        replacement["source"] = source(chance, from);
    }
    let targets: Vec<Value> = (0..chance.between(1, 2)).map(|_| target(chance, known)).collect();
    replacement["targets"] = Value::Array(targets);
    replacement
}

fn source(chance: &mut Chance, from: &Known) -> Value {
    let mut source = json!({"kind": from.kind, "name": from.name});
    if let Some(namespace) = from.namespace()
        && chance.percent(50)
    {
        source["namespace"] = json!(namespace);
    }
    if chance.percent(25) {
        source["version"] = json!(from.version());
        if !from.group().is_empty() {
            source["group"] = json!(from.group());
        }
    }
    if chance.percent(90)
        && let Some((path, value)) = source_path(chance, from)
    {
        let path = if known::TYPES_OF_REPLACEMENTS && chance.percent(8) { any_path(chance, from) } else { path };
        let path = if chance.percent(95) { path.replace(".*", ".0") } else { path };
        source["fieldPath"] = json!(path);
        let delimiter = *chance.pick(&[":", "/", ".", "-", "="]);
        if value.as_str().is_some_and(|text| text.contains(delimiter)) && chance.percent(60) {
            source["options"] = json!({"delimiter": delimiter, "index": chance.below(2)});
        }
    }
    source
}

fn target(chance: &mut Chance, known: &[Known]) -> Value {
    let to = chance.pick(known);
    let mut select = json!({"kind": to.kind});
    if chance.percent(80) {
        select["name"] = json!(to.name);
    }
    if chance.percent(10) && !to.group().is_empty() {
        select["group"] = json!(to.group());
    }
    let mut paths = Vec::new();
    let mut options = json!({});
    for _ in 0..chance.between(1, 2) {
        match chance.below(10) {
            0 => {
                options["create"] = json!(true);
                paths.push(
                    (*chance.pick(&["metadata.labels.copied", "metadata.annotations.[example.com/copied]", "spec.deep.new", "data.new"]))
                        .to_owned(),
                );
            }
            1 if to.value["data"].get("settings.json").is_some() => {
                paths.push(
                    (*chance.pick(&["data.settings\\.json.host", "data.settings\\.json.deep.name", "data.[settings.json].host"]))
                        .to_owned(),
                );
            }
            1 | 2 if known::YAML_IN_TEXTS && to.value["data"].get("config.yaml").is_some() => {
                paths.push((*chance.pick(&["data.config\\.yaml.server.host", "data.[config.yaml].name"])).to_owned());
            }
            _ => match text_path(chance, to) {
                Some((path, value)) => {
                    let delimiter = *chance.pick(&[":", "/", ".", "-", "="]);
                    if value.as_str().is_some_and(|text| text.contains(delimiter)) && chance.percent(50) {
                        options["delimiter"] = json!(delimiter);
                        options["index"] = json!(*chance.pick(&[-1, 0, 1, 2]));
                    }
                    paths.push(path);
                }
                None => {
                    options["create"] = json!(true);
                    paths.push("metadata.annotations.copied".to_owned());
                }
            },
        }
    }
    if chance.percent(5) {
        options["create"] = json!(true);
    }
    let mut target = json!({"select": select, "fieldPaths": paths});
    if options.as_object().is_some_and(|map| !map.is_empty()) {
        target["options"] = options;
    }
    if chance.percent(12) {
        let other = chance.pick(known);
        target["reject"] = json!([{"kind": other.kind, "name": other.name}]);
    }
    target
}

/// Variables: a name, an object and a field of it.
pub(super) fn variables(chance: &mut Chance, known: &[Known], taken: &mut Vec<String>) -> Value {
    let mut variables = Vec::new();
    for name in ["NAME", "HOST"] {
        let from = chance.pick(known);
        // Two that an object's name fits alike are refused; most names are found once.
        let unique = known.iter().filter(|other| other.kind == from.kind && other.name == from.name).count() == 1;
        if taken.iter().any(|other| other == name) || !unique || chance.percent(30) {
            continue;
        }
        taken.push(name.to_owned());
        let mut variable = json!({"name": name, "objref": {"kind": from.kind, "name": from.name, "apiVersion": from.api_version()}});
        if chance.percent(60)
            && let Some((path, _)) = scalar_path(chance, from)
        {
            let plain = !path.contains(['[', '*', '\\']);
            variable["fieldref"] = json!({"fieldpath": if plain { path } else { "metadata.name".to_owned() }});
        }
        variables.push(variable);
    }
    Value::Array(variables)
}
