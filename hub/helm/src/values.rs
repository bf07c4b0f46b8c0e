//! The values that a release brings: files, maps and `--set` lines, laid over each other in order.

use hub_gotemplate::{Map, Text, Value};

use crate::set::{Reading, set};
use crate::stored::Stored;
use crate::{HelmError, ValuesLayer, yaml};

/// All layers as one map.
pub(crate) fn values(layers: &[ValuesLayer]) -> Result<Map, HelmError> {
    let values = Map::default();
    for layer in layers {
        lay(&values, layer).map_err(HelmError::Values)?;
    }
    Ok(values)
}

fn lay(values: &Map, layer: &ValuesLayer) -> Result<(), String> {
    match layer {
        ValuesLayer::File { name, text } => {
            let table = yaml::read_values(text).map_err(|message| format!("failed to parse {name}: {message}"))?;
            merge(values, table);
        }
        ValuesLayer::Inline(json) => match Stored::of_json(json) {
            Stored::Nil => {}
            Stored::Map(table) => merge(values, table),
            other => return Err(format!("values must be a map, not of type {}", other.json_kind())),
        },
        ValuesLayer::Set(line) => set(values, line, Reading::Typed).map_err(|why| format!("failed parsing --set data: {why}"))?,
        ValuesLayer::SetString(line) => {
            set(values, line, Reading::Text).map_err(|why| format!("failed parsing --set-string data: {why}"))?;
        }
        ValuesLayer::SetJson(line) if line.trim_start().starts_with('{') => match serde_json::from_str(line) {
            Ok(json) => lay(values, &ValuesLayer::Inline(json))?,
            Err(why) => return Err(format!("failed parsing --set-json data JSON: {why}")),
        },
        ValuesLayer::SetJson(line) => set(values, line, Reading::Json).map_err(|why| format!("failed parsing --set-json data: {why}"))?,
        ValuesLayer::SetFile { key, content } => {
            set(values, &format!("{key}=x"), Reading::Content(content)).map_err(|why| format!("failed parsing --set-file data: {why}"))?;
        }
        ValuesLayer::SetLiteral(line) => {
            set(values, line, Reading::Literal).map_err(|why| format!("failed parsing --set-literal data: {why}"))?;
        }
    }
    Ok(())
}

/// Lays `over` on `values`: maps are merged, everything else is replaced; null is a value like others.
fn merge(values: &Map, over: std::collections::BTreeMap<Text, Stored>) {
    for (key, value) in over {
        match (values.get(&key), value) {
            (Some(Value::Map(below)), Stored::Map(above)) => merge(&below, above),
            (_, value) => values.set(key, value.to_value()),
        }
    }
}
