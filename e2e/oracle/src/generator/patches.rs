//! Patches of objects that exist: strategic merges with their directives, JSON 6902 with all operations, and whom they aim at.

use serde_json::{Map, Value, json};

use super::fields::{self, Step};
use super::known;
use super::objects::Known;
use super::pen::{self, Style};
use super::words::{LABEL_VALUES, odd_text, raw_scalar};
use crate::Chance;

/// A new text for a field.
fn text(chance: &mut Chance) -> Value {
    if chance.percent(30) {
        return json!(odd_text(chance));
    }
    json!(chance.pick(&["patched", "other", "x-1"]))
}

/// A new value for a field.
fn scalar(chance: &mut Chance) -> Value {
    match chance.below(6) {
        0 => match raw_scalar(chance) {
            blank if blank.strip_prefix(pen::RAW) == Some("") && !known::BLANKS_IN_PATCHES => json!("blank"),
            raw => Value::String(raw),
        },
        1 => text(chance),
        2 => json!(chance.below(100)),
        3 => json!(chance.percent(50)),
        _ => json!(chance.pick(&["patched", "other", "x-1"])),
    }
}

/// What a patch may change. kustomize keeps notes among the annotations while it builds: what takes them as a whole is a known difference.
fn ways_of(known: &Known) -> Vec<Vec<Step>> {
    let mut ways = fields::ways(&known.value);
    ways.retain(|way| fields::pointer(way) != "/metadata/annotations");
    ways
}

/// A strategic merge patch for `known`.
pub(super) fn strategic(chance: &mut Chance, known: &Known) -> Value {
    let mut patch = json!({"apiVersion": known.value["apiVersion"], "kind": known.value["kind"], "metadata": {"name": known.value["metadata"]["name"]}});
    if let Some(namespace) = known.value["metadata"].get("namespace")
        && chance.percent(95)
    {
        patch["metadata"]["namespace"] = namespace.clone();
    }
    if chance.permille(25) {
        patch["$patch"] = json!(chance.pick(&["delete", "replace", "merge"]));
        return patch;
    }
    let ways = ways_of(known);
    for _ in 0..chance.between(1, 3) {
        let more = if ways.is_empty() || chance.percent(15) {
            new_field(chance)
        } else {
            let way = chance.pick(&ways);
            let value = fields::at(&known.value, way).unwrap_or(&Value::Null);
            change(chance, known, way, value)
        };
        fields::combine(&mut patch, more);
    }
    patch
}

fn new_field(chance: &mut Chance) -> Value {
    let value = scalar(chance);
    match chance.below(3) {
        0 => json!({"metadata": {"labels": {"patched": value}}}),
        1 => json!({"metadata": {"annotations": {"patched": value}}}),
        _ => json!({"spec": {"extra": {"deep": [value]}}}),
    }
}

fn change(chance: &mut Chance, known: &Known, way: &[Step], value: &Value) -> Value {
    let leaf = match value {
        Value::Object(map) => of_map(chance, map),
        Value::Array(list) => return of_list(chance, known, way, list),
        _ if chance.percent(8) => Value::Null,
        _ => scalar(chance),
    };
    fields::nested(&known.value, way, leaf)
}

fn of_map(chance: &mut Chance, map: &Map<String, Value>) -> Value {
    let added = scalar(chance);
    match chance.below(20) {
        0 => Value::Null,
        1 => json!({"$patch": "delete"}),
        2 => json!({"$patch": "replace", "added": added}),
        3 => json!({"$patch": "merge", "added": added}),
        4 => {
            let kept: Vec<&String> = map.keys().take(1).collect();
            json!({"$retainKeys": kept, "added": added})
        }
        5 => json!({}),
        6 => map.keys().next().map_or(json!({}), |key| json!({key.clone(): null})),
        _ => json!({"added": added}),
    }
}

fn of_list(chance: &mut Chance, known: &Known, way: &[Step], list: &[Value]) -> Value {
    let Some((Step::Key(name), above)) = way.split_last() else { return json!({}) };
    let item = list.first().cloned().unwrap_or(Value::Null);
    let key = fields::item_key(&item).map(|(key, _)| key);
    let known_by = |key: &str| Value::Object(Map::from_iter([(key.to_owned(), item[key].clone())]));
    // Ports of a service are joined by two keys.
    let is_port = item.get("port").is_some();
    let choice = chance.below(9);
    let choice = if is_port && choice < 7 && !known::ITEMS_WITHOUT_KEYS { 8 } else { choice };
    let leaf = match (key, choice) {
        (Some(key), 0) => {
            let mut gone = known_by(key);
            gone["$patch"] = json!("delete");
            json!({name: [gone]})
        }
        (Some(_), 1) => json!({name: [{"name": "fresh", "image": "fresh:1", "value": "v"}, {"$patch": "replace"}]}),
        (Some(key), 2) => {
            let mut order: Vec<Value> = list.iter().filter_map(|item| Some(json!({key: item.get(key)?}))).collect();
            chance.shuffle(&mut order);
            json!({name: [known_by(key)], format!("$setElementOrder/{name}"): order})
        }
        (Some(key), 3) => {
            let mut changed = known_by(key);
            changed["added"] = scalar(chance);
            json!({name: [changed]})
        }
        (Some(_), 4 | 5) => {
            json!({name: [{"name": "fresh", "image": "fresh:1", "containerPort": 9090, "mountPath": "/fresh", "value": scalar(chance)}]})
        }
        (Some(key), 6) => json!({name: [{key: item[key], "second": true}, {key: "another"}]}),
        (None, 0) => json!({format!("$deleteFromPrimitiveList/{name}"): [item]}),
        (None, 1) => {
            let mut order = list.to_vec();
            chance.shuffle(&mut order);
            json!({name: list, format!("$setElementOrder/{name}"): order})
        }
        (None, 2 | 3) => json!({name: [scalar(chance), scalar(chance)]}),
        (_, 7) => json!({name: null}),
        (_, 8) => json!({name: []}),
        _ => json!({name: [item]}),
    };
    fields::nested(&known.value, above, leaf)
}

/// A JSON patch for `known`.
pub(super) fn json_patch(chance: &mut Chance, known: &Known) -> Value {
    let ways = ways_of(known);
    let count = chance.between(1, 3);
    let operations: Vec<Value> = (1..=count).map(|number| operation(chance, known, &ways, number == count)).collect();
    Value::Array(operations)
}

/// `last` allows what takes away: what comes after might want it.
fn operation(chance: &mut Chance, known: &Known, ways: &[Vec<Step>], last: bool) -> Value {
    let fresh = if known.value["metadata"].get("labels").is_some() { "/metadata/labels/added" } else { "/metadata/labels" };
    let new = if fresh.ends_with("added") { scalar_text(chance) } else { json!({"added": scalar_text(chance)}) };
    if ways.is_empty() || chance.percent(20) {
        return json!({"op": "add", "path": fresh, "value": new});
    }
    let way = chance.pick(ways);
    let value = fields::at(&known.value, way).unwrap_or(&Value::Null);
    let path = fields::pointer(way);
    match (value, chance.below(10)) {
        (_, 0) if last => json!({"op": "remove", "path": path}),
        (_, 1) if chance.percent(40) => json!({"op": "test", "path": path, "value": value}),
        (_, 2) => json!({"op": "copy", "from": path, "path": "/metadata/copied"}),
        (_, 3) if last => json!({"op": "move", "from": path, "path": "/moved"}),
        (Value::Array(items), 4..=7) if items.iter().any(Value::is_object) && !known::SCALARS_AMONG_MAPS => {
            json!({"op": "add", "path": format!("{path}/-"), "value": {"name": "last", "value": scalar(chance)}})
        }
        (Value::Array(_), 4..=7) => json!({"op": "add", "path": format!("{path}/-"), "value": scalar(chance)}),
        (Value::Array(_), 8) => json!({"op": "add", "path": format!("{path}/0"), "value": {"name": "first"}}),
        (Value::Object(_), 4..=8) => json!({"op": "add", "path": format!("{path}/a~1b~0c"), "value": scalar(chance)}),
        (old, _) if way.len() > 2 && fields::is_scalar(old) && chance.percent(30) => {
            json!({"op": "add", "path": path, "value": scalar(chance)})
        }
        (Value::Object(map), _) if !known::SCALARS_AMONG_MAPS => {
            json!({"op": "replace", "path": path, "value": {"name": map.get("name"), "value": scalar(chance)}})
        }
        _ => json!({"op": "replace", "path": path, "value": scalar(chance)}),
    }
}

fn scalar_text(chance: &mut Chance) -> Value {
    if chance.percent(20) { scalar(chance) } else { json!("text") }
}

/// Whom a patch aims at: `known`, and often others.
pub(super) fn selector(chance: &mut Chance, known: &Known) -> Value {
    let mut target = json!({});
    match chance.below(10) {
        0 => target["kind"] = json!(known.kind),
        1 => target["name"] = json!(".*"),
        2 => target["name"] = json!(format!("{}|nothing", known.name)),
        3 => target["labelSelector"] = json!(label_selector(chance)),
        4 => target["annotationSelector"] = json!(chance.pick(&["note", "owner=plain", "!note", "checksum notin (a, b)"])),
        5 => {
            target["kind"] = json!(known.kind);
            target["version"] = json!(known.version());
        }
        6 => {
            target["group"] = json!(known.group());
            target["kind"] = json!(format!("{}.*", &known.kind[..known.kind.len().min(3)]));
        }
        _ => {
            target["kind"] = json!(known.kind);
            target["name"] = json!(known.name);
        }
    }
    if chance.percent(15) && known.namespace().is_some() {
        target["namespace"] = json!(known.namespace());
    }
    target
}

fn label_selector(chance: &mut Chance) -> String {
    let value = *chance.pick(LABEL_VALUES);
    match chance.below(6) {
        0 => format!("app={value}"),
        1 => format!("tier in (backend,{value})"),
        2 => "!tier".to_owned(),
        3 => format!("app!={value},tier"),
        4 => format!("app notin ({value})"),
        _ => "tier".to_owned(),
    }
}

/// A patch and whom it is for, as an entry of `patches`; a patch that lies in a file is put into `file`.
pub(super) fn entry(chance: &mut Chance, known: &[Known], file: &mut dyn FnMut(&mut Chance, String) -> String) -> Value {
    let aim = chance.pick(known);
    let is_json = chance.percent(35);
    let body = if is_json { json_patch(chance, aim) } else { strategic(chance, aim) };
    let text = write(chance, is_json, &body);
    let mut entry = json!({});
    if chance.percent(50) {
        entry["patch"] = json!(text);
    } else {
        entry["path"] = json!(file(chance, text));
    }
    if is_json || chance.percent(35) {
        // What fits one object fits few others: mostly it is aimed at exactly.
        let aimed = chance.percent(if is_json { 85 } else { 50 });
        entry["target"] = if aimed { json!({"kind": aim.kind, "name": aim.name}) } else { selector(chance, aim) };
        if !aim.group().is_empty() && aimed && chance.percent(30) {
            entry["target"]["group"] = json!(aim.group());
            entry["target"]["version"] = json!(aim.version());
        }
    }
    if chance.percent(10) {
        entry["options"] = json!({(*chance.pick(&["allowNameChange", "allowKindChange"])): chance.percent(70)});
    }
    entry
}

/// The text of a patch: JSON or YAML, plain or odd.
pub(super) fn write(chance: &mut Chance, is_json: bool, body: &Value) -> String {
    let raw = body.to_string().contains("\\u0001");
    if is_json && !raw && chance.percent(25) {
        return body.to_string();
    }
    if chance.percent(60) {
        return pen::plainly(chance, body);
    }
    let style = Style::of(chance);
    pen::file(chance, style, std::slice::from_ref(body)).trim_start_matches('\u{feff}').to_owned()
}
