//! `patchesJson6902`, and RFC 6902 as kustomize's library applies it: negative indexes count from the end, a key that a map lacks reads as null
//! and can be replaced, and every operation has to apply.

use std::sync::Arc;

use shared_manifest::{Content, Node, Text, Tree, TreeMap};

use crate::problem::{Fault, Reason};
use crate::resources::Resources;
use crate::selector::Selector;
use crate::transform::Transformer;
use crate::transform::patch::Body;
use crate::value::{quoted_as_printed, size, through_floats};

/// The most bytes that `copy` operations of one patch may make: the largest output of a build.
const COPY_LIMIT: usize = crate::OUTPUT_LIMIT;

/// The most entries of lists and maps that the operations of one patch may push aside for others: 3 to 6 GB in memory, half a second.
const SHIFT_LIMIT: usize = 100_000_000;

/// What the operations of one patch took so far.
#[derive(Default)]
struct Tally {
    /// Bytes of new values.
    written: usize,
    /// Entries that made room for others or closed a gap.
    shifted: usize,
}

impl Tally {
    fn write(&mut self, value: &Tree) {
        self.written += size(value);
    }

    fn shift(&mut self, entries: usize) -> Result<(), String> {
        self.shifted += entries;
        if self.shifted > SHIFT_LIMIT {
            return Err(format!(
                "the patch pushes list items and map entries aside more than {SHIFT_LIMIT} times; replace the list as a whole"
            ));
        }
        Ok(())
    }
}

/// A parsed patch.
#[derive(Debug, Clone, Default)]
pub(crate) struct JsonPatch(Vec<Operation>);

#[derive(Debug, Clone)]
struct Operation {
    verb: Verb,
    path: String,
}

#[derive(Debug, Clone)]
enum Verb {
    Add(Tree),
    Remove,
    Replace(Tree),
    Move(String),
    Copy(String),
    Test(Tree),
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

    /// Changes the resource at `index`, which takes a way through JSON.
    pub(crate) fn apply_at(&self, resources: &mut Resources, index: usize) -> Result<(), Reason> {
        resources.work.step(self.0.len())?;
        resources.work.walk(4 * resources.as_slice()[index].bytes)?;
        let mut tally = Tally::default();
        let resource = resources.get_mut(index);
        resource.show_annotations();
        resource.pass_through_json();
        resource.shared.clear();
        for operation in &self.0 {
            carry_out(&mut resource.value, operation, &mut tally).map_err(|problem| Reason::JsonPatch {
                id: resource.id().to_string(),
                operation: format!("{} {}", operation.name(), operation.path),
                problem,
            })?;
        }
        if let Some(rounded) = through_floats(&resource.value) {
            resource.value = rounded;
        }
        resource.make_annotations_texts();
        resources.work.write(tally.written)
    }
}

fn operation(node: &Node) -> Result<Operation, Fault> {
    let refused = |problem: &str| Fault::at(node.line, Reason::Patch { patch: "JSON patch".to_owned(), problem: problem.to_owned() });
    let fields = Tree::from(&node.to_value());
    let text = |name: &str| fields[name].as_str().map(str::to_owned);
    // Like the object, what is set takes a way through JSON and comes back as it is printed.
    let as_printed = |value: &Tree| quoted_as_printed(value).unwrap_or_else(|| value.clone());
    let value = || fields.get("value").map(as_printed).ok_or_else(|| refused("the operation needs a value"));
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

fn carry_out(document: &mut Tree, operation: &Operation, tally: &mut Tally) -> Result<(), String> {
    let path = &operation.path;
    match &operation.verb {
        Verb::Add(value) => {
            tally.write(value);
            add(document, path, value.clone(), tally)
        }
        Verb::Remove => remove(document, path, tally).map(|_| ()),
        Verb::Replace(value) => {
            tally.write(value);
            replace(document, path, value.clone(), tally)
        }
        Verb::Move(from) => {
            let value = remove(document, from, tally)?;
            add(document, path, value, tally)
        }
        Verb::Copy(from) => {
            let value = get(document, from)?;
            tally.write(&value);
            if tally.written > COPY_LIMIT {
                return Err("the patch copies more than 10 MiB".to_owned());
            }
            add(document, path, value, tally)
        }
        Verb::Test(wanted) => {
            let found = get(document, path)?;
            if (found.is_null() && wanted.is_null()) || found == *wanted { Ok(()) } else { Err("the value there is another".to_owned()) }
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

fn descend<'a>(value: &'a mut Tree, segments: &[String]) -> Result<&'a mut Tree, String> {
    segments.iter().try_fold(value, |here, segment| match here {
        Tree::Map(_) => here.get_mut(segment).ok_or_else(|| missing(segment)),
        Tree::List(items) => {
            let index = index_of(segment, items.len())?;
            Ok(&mut Arc::make_mut(items)[index])
        }
        _ => Err(missing(segment)),
    })
}

/// What lies at `path`; null where the last key is missing.
fn get(document: &mut Tree, path: &str) -> Result<Tree, String> {
    let segments = segments(path)?;
    let Some((last, before)) = segments.split_last() else { return Ok(document.clone()) };
    match descend(document, before)? {
        Tree::Map(fields) => Ok(fields.get(last).cloned().unwrap_or(Tree::Null(Text::new_static("null")))),
        list => descend(list, std::slice::from_ref(last)).map(|value| value.clone()),
    }
}

/// Replaces what lies at `path`, or adds it where the last key is missing.
fn replace(document: &mut Tree, path: &str, value: Tree, tally: &mut Tally) -> Result<(), String> {
    let segments = segments(path)?;
    let Some((last, before)) = segments.split_last() else {
        *document = value;
        return Ok(());
    };
    match descend(document, before)? {
        Tree::Map(fields) => set(fields, last, value, tally)?,
        list => *descend(list, std::slice::from_ref(last))? = value,
    }
    Ok(())
}

fn set(fields: &mut Arc<TreeMap>, key: &str, value: Tree, tally: &mut Tally) -> Result<(), String> {
    if !fields.contains_key(key) {
        tally.shift(fields.len())?;
    }
    Arc::make_mut(fields).insert(key.into(), value);
    Ok(())
}

fn add(document: &mut Tree, path: &str, value: Tree, tally: &mut Tally) -> Result<(), String> {
    let segments = segments(path)?;
    let Some((last, before)) = segments.split_last() else {
        *document = value;
        return Ok(());
    };
    match descend(document, before)? {
        Tree::Map(fields) => set(fields, last, value, tally),
        Tree::List(items) => {
            let items = Arc::make_mut(items);
            let index = if last == "-" || *last == items.len().to_string() { items.len() } else { index_of(last, items.len())? };
            tally.shift(items.len() - index)?;
            items.insert(index, value);
            Ok(())
        }
        _ => Err("its parent is neither a list nor a map".to_owned()),
    }
}

fn remove(document: &mut Tree, path: &str, tally: &mut Tally) -> Result<Tree, String> {
    let segments = segments(path)?;
    let (last, before) = segments.split_last().ok_or("the whole object cannot be removed; use `$patch: delete`")?;
    match descend(document, before)? {
        Tree::Map(fields) => {
            tally.shift(fields.len())?;
            Arc::make_mut(fields).remove(last).ok_or_else(|| missing(last))
        }
        Tree::List(items) => {
            let index = index_of(last, items.len())?;
            tally.shift(items.len() - index)?;
            Ok(Arc::make_mut(items).remove(index))
        }
        _ => Err(missing(last)),
    }
}

/// The transformer.
pub(crate) struct JsonPatches {
    /// A JSON patch; one of the other language changes nothing.
    pub(crate) body: Arc<Body>,
    pub(crate) target: Selector,
}

impl Transformer for JsonPatches {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        let Body::Json(patch) = self.body.as_ref() else { return Ok(()) };
        resources.work.step(resources.len())?;
        for index in resources.select(&self.target) {
            patch.apply_at(resources, index)?;
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
            (json!({"op": "replace", "path": "/new", "value": 1}), Some(json!({"a": {"b": [1, 2, 3]}, "x/y": "~", "new": 1}))),
            (json!({"op": "replace", "path": "/a/b/3", "value": 1}), None),
            (json!({"op": "replace", "path": "/missing/new", "value": 1}), None),
            (json!({"op": "move", "from": "/a/b", "path": "/c"}), Some(json!({"a": {}, "c": [1, 2, 3], "x/y": "~"}))),
            (json!({"op": "copy", "from": "/a/b/0", "path": "/c"}), Some(json!({"a": {"b": [1, 2, 3]}, "c": 1, "x/y": "~"}))),
            (json!({"op": "copy", "from": "/a/q", "path": "/c"}), Some(json!({"a": {"b": [1, 2, 3]}, "c": null, "x/y": "~"}))),
            (json!({"op": "copy", "from": "/q/r", "path": "/c"}), None),
            (json!({"op": "test", "path": "/a/b/0", "value": 1}), Some(start.clone())),
            (json!({"op": "test", "path": "/missing", "value": null}), Some(start.clone())),
            (json!({"op": "test", "path": "/missing/deeper", "value": null}), None),
            (json!({"op": "test", "path": "/a/b/0", "value": 2}), None),
        ] {
            let patch = JsonPatch::read(&crate::fields::node_of(&Tree::from(&json!([operation])), 1)).expect("a patch");
            let mut document = Tree::from(&start);
            let applied = carry_out(&mut document, &patch.0[0], &mut Tally::default());
            assert_eq!(applied.is_ok().then(|| document.to_value()), result, "{operation}");
        }
    }
}
