//! Resources out of a text: every document is an object with a kind and a name, and lists are taken apart.

use std::collections::VecDeque;

use hub_tree::TreePath;
use shared_manifest::{InvalidObject, Value, YamlBudget, YamlMode, parse_yaml};

use crate::problem::{Fault, Reason};
use crate::resource::{Place, Resource};

/// The most objects that nested lists of one file may hold, counting the lists.
const EXPANSION_LIMIT: usize = 20_000;

/// The resources in `text`, which stands in `file`. `first_line` is the line of the text's first line there, less one.
pub(crate) fn read_resources(text: &str, file: &TreePath, first_line: u32) -> Result<Vec<Resource>, Fault> {
    let in_file = |fault: Fault| fault.in_file(file);
    let mut documents: VecDeque<(Value, u32)> = parse_yaml(text, YamlMode::Kustomize, YamlBudget::MANIFEST)
        .map_err(|error| in_file(error.into()))?
        .into_iter()
        .map(|document| (document.value, document.line + first_line))
        .collect();
    // A file that is one List is replaced by its items; any other list's items go to the end.
    if documents.len() == 1
        && let Some((Value::Object(list), line)) = documents.front()
        && matches!(list.get("kind").and_then(Value::as_str), Some("List" | "ResourceList"))
        && let Some(Value::Array(items)) = list.get("items")
    {
        documents = items.iter().map(|item| (item.clone(), *line)).collect();
    }
    let mut resources = Vec::new();
    let mut seen = 0_usize;
    while let Some((value, line)) = documents.pop_front() {
        seen += 1;
        if seen > EXPANSION_LIMIT {
            let reason = Reason::TooMuch { what: "objects in lists of one file", limit: EXPANSION_LIMIT, remedy: "split the file" };
            return Err(in_file(reason.into()));
        }
        if crate::value::is_empty(&value) {
            continue;
        }
        check(&value).map_err(|reason| in_file(Fault::at(line, reason)))?;
        let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        match value.get("items") {
            Some(Value::Array(items)) if is_list => documents.extend(items.iter().map(|item| (item.clone(), line))),
            Some(Value::Null) if is_list => {}
            _ => resources.push(Resource::new(value, Place { file: file.clone(), line })),
        }
    }
    Ok(resources)
}

/// Refuses what is no object with a kind and, unless it is a list, a name.
fn check(value: &Value) -> Result<(), InvalidObject> {
    let Value::Object(fields) = value else { return Err(InvalidObject::NotAMap { found: crate::value::type_of(value) }) };
    let kind = match fields.get("kind") {
        Some(Value::String(kind)) if !kind.is_empty() => kind,
        None | Some(Value::Null | Value::String(_)) => return Err(InvalidObject::NoKind),
        Some(other) => {
            return Err(InvalidObject::WrongType { field: "kind", wanted: "text", found: crate::value::type_of(other) });
        }
    };
    if kind.ends_with("List") {
        return Ok(());
    }
    match &value["metadata"]["name"] {
        Value::String(name) if !name.is_empty() => Ok(()),
        Value::Null | Value::String(_) => Err(InvalidObject::NoName { kind: kind.clone() }),
        other => Err(InvalidObject::WrongType { field: "metadata.name", wanted: "text", found: crate::value::type_of(other) }),
    }
}
