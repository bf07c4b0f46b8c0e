//! `patchesJson6902`, and RFC 6902 as kustomize's library applies it: negative indexes count from the end, and every operation has to apply.

use shared_manifest::{Content, Node, Value};

use crate::problem::{Fault, Reason};
use crate::resource::Resource;
use crate::resources::Resources;
use crate::selector::Selector;
use crate::transform::Transformer;
use crate::value::size;

/// The most bytes that `copy` operations of one patch may make: the largest output of a build.
const COPY_LIMIT: usize = crate::OUTPUT_LIMIT;

/// A parsed patch.
#[derive(Debug, Clone)]
pub(crate) struct JsonPatch(Vec<Operation>);

#[derive(Debug, Clone)]
struct Operation {
    verb: Verb,
    path: String,
}

#[derive(Debug, Clone)]
enum Verb {
    Add(Value),
    Remove,
    Replace(Value),
    Move(String),
    Copy(String),
    Test(Value),
}

impl Operation {
    fn name(&self) -> &'static str {
        match self.verb {
            Verb::Add(_) => "add",
            Verb::Remove => "remove",
            Verb::Replace(_) => "replace",
            Verb::Move(_) => "move",
            Verb::Copy(_) => "copy",
            Verb::Test(_) => "test",
        }
    }
}

impl JsonPatch {
    /// Reads a list of operations.
    pub(crate) fn read(node: &Node) -> Result<Self, Fault> {
        let Content::List(items) = &node.content else {
            return Err(crate::fields::wrong_type(node, "a JSON patch", "a list of operations"));
        };
        items.iter().map(operation).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Changes `resource`.
    pub(crate) fn apply_to(&self, resource: &mut Resource) -> Result<(), Reason> {
        let mut copied = 0;
        resource.show_annotations();
        for operation in &self.0 {
            carry_out(&mut resource.value, operation, &mut copied).map_err(|problem| Reason::JsonPatch {
                id: resource.id().to_string(),
                operation: format!("{} {}", operation.name(), operation.path),
                problem,
            })?;
        }
        Ok(())
    }
}

fn operation(node: &Node) -> Result<Operation, Fault> {
    let refused = |problem: &str| Fault::at(node.line, Reason::Patch { patch: "JSON patch".to_owned(), problem: problem.to_owned() });
    let fields = node.to_value();
    let text = |name: &str| fields[name].as_str().map(str::to_owned);
    let value = || fields.get("value").cloned().ok_or_else(|| refused("the operation needs a value"));
    let from = || text("from").ok_or_else(|| refused("the operation needs a `from`"));
    let verb = match fields["op"].as_str() {
        Some("add") => Verb::Add(value()?),
        Some("remove") => Verb::Remove,
        Some("replace") => Verb::Replace(value()?),
        Some("move") => Verb::Move(from()?),
        Some("copy") => Verb::Copy(from()?),
        Some("test") => Verb::Test(fields["value"].clone()),
        _ => return Err(refused("`op` must be add, remove, replace, move, copy or test")),
    };
    Ok(Operation { verb, path: text("path").ok_or_else(|| refused("the operation needs a path"))? })
}

fn carry_out(document: &mut Value, operation: &Operation, copied: &mut usize) -> Result<(), String> {
    let path = &operation.path;
    match &operation.verb {
        Verb::Add(value) => add(document, path, value.clone()),
        Verb::Remove => remove(document, path).map(|_| ()),
        Verb::Replace(value) => {
            *get_mut(document, path)? = value.clone();
            Ok(())
        }
        Verb::Move(from) => {
            let value = remove(document, from)?;
            add(document, path, value)
        }
        Verb::Copy(from) => {
            let value = get_mut(document, from)?.clone();
            *copied += size(&value);
            if *copied > COPY_LIMIT {
                return Err("the patch copies more than 10 MiB".to_owned());
            }
            add(document, path, value)
        }
        Verb::Test(wanted) => {
            let found = get_mut(document, path).map(|value| value.clone()).unwrap_or(Value::Null);
            if found == *wanted { Ok(()) } else { Err("the value there is another".to_owned()) }
        }
    }
}

fn segments(path: &str) -> Result<Vec<String>, String> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let path = path.strip_prefix('/').ok_or("the path must begin with \"/\"")?;
    Ok(path.split('/').map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect())
}

fn missing(segment: &str) -> String {
    format!("there is no \"{segment}\"")
}

/// The place of an existing item; negative numbers count from the end.
fn index_of(segment: &str, length: usize) -> Result<usize, String> {
    let number: i64 = segment.parse().map_err(|_| format!("\"{segment}\" is no index of a list"))?;
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let index = if number < 0 { number + length } else { number };
    usize::try_from(index).ok().filter(|_| index < length).ok_or_else(|| format!("the list has {length} items and no {number}"))
}

fn descend<'a>(value: &'a mut Value, segments: &[String]) -> Result<&'a mut Value, String> {
    segments.iter().try_fold(value, |here, segment| match here {
        Value::Object(fields) => fields.get_mut(segment).ok_or_else(|| missing(segment)),
        Value::Array(items) => {
            let index = index_of(segment, items.len())?;
            Ok(&mut items[index])
        }
        _ => Err(missing(segment)),
    })
}

fn get_mut<'a>(document: &'a mut Value, path: &str) -> Result<&'a mut Value, String> {
    descend(document, &segments(path)?)
}

fn add(document: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let segments = segments(path)?;
    let Some((last, before)) = segments.split_last() else {
        *document = value;
        return Ok(());
    };
    match descend(document, before)? {
        Value::Object(fields) => {
            fields.insert(last.clone(), value);
            Ok(())
        }
        Value::Array(items) => {
            let index = if last == "-" || *last == items.len().to_string() { items.len() } else { index_of(last, items.len())? };
            items.insert(index, value);
            Ok(())
        }
        _ => Err("its parent is neither a list nor a map".to_owned()),
    }
}

fn remove(document: &mut Value, path: &str) -> Result<Value, String> {
    let segments = segments(path)?;
    let (last, before) = segments.split_last().ok_or("the whole object cannot be removed; use `$patch: delete`")?;
    match descend(document, before)? {
        Value::Object(fields) => fields.remove(last).ok_or_else(|| missing(last)),
        Value::Array(items) => {
            let index = index_of(last, items.len())?;
            Ok(items.remove(index))
        }
        _ => Err(missing(last)),
    }
}

/// The transformer.
pub(crate) struct JsonPatches {
    pub(crate) patch: JsonPatch,
    pub(crate) target: Selector,
}

impl Transformer for JsonPatches {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        for index in resources.select(&self.target) {
            self.patch.apply_to(resources.get_mut(index))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn operations_apply_as_in_rfc_6902_and_negative_indexes_from_the_end() {
        let start = json!({"a": {"b": [1, 2, 3]}, "x/y": "~"});
        for (operation, result) in [
            (json!({"op": "add", "path": "/a/b/1", "value": 9}), Some(json!({"a": {"b": [1, 9, 2, 3]}, "x/y": "~"}))),
            (json!({"op": "add", "path": "/a/b/-", "value": 9}), Some(json!({"a": {"b": [1, 2, 3, 9]}, "x/y": "~"}))),
            (json!({"op": "add", "path": "/a/b/3", "value": 9}), Some(json!({"a": {"b": [1, 2, 3, 9]}, "x/y": "~"}))),
            (json!({"op": "add", "path": "/a/b/4", "value": 9}), None),
            (json!({"op": "add", "path": "/q/r", "value": 9}), None),
            (json!({"op": "remove", "path": "/a/b/-1"}), Some(json!({"a": {"b": [1, 2]}, "x/y": "~"}))),
            (json!({"op": "remove", "path": "/a/c"}), None),
            (json!({"op": "replace", "path": "/x~1y", "value": null}), Some(json!({"a": {"b": [1, 2, 3]}, "x/y": null}))),
            (json!({"op": "replace", "path": "/missing", "value": 1}), None),
            (json!({"op": "move", "from": "/a/b", "path": "/c"}), Some(json!({"a": {}, "c": [1, 2, 3], "x/y": "~"}))),
            (json!({"op": "copy", "from": "/a/b/0", "path": "/c"}), Some(json!({"a": {"b": [1, 2, 3]}, "c": 1, "x/y": "~"}))),
            (json!({"op": "test", "path": "/a/b/0", "value": 1}), Some(start.clone())),
            (json!({"op": "test", "path": "/a/b/0", "value": 2}), None),
        ] {
            let patch = JsonPatch::read(&crate::fields::node_of(&json!([operation]), 1)).expect("a patch");
            let mut document = start.clone();
            let applied = carry_out(&mut document, &patch.0[0], &mut 0);
            assert_eq!(applied.is_ok().then_some(document), result, "{operation}");
        }
    }
}
