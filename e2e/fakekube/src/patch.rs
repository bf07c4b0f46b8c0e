//! The three patches that are not an apply: JSON patch, JSON merge patch, strategic merge patch. Ownership is kept by `managed`.

use serde_json::{Map, Value};

use crate::schema::Ty;

/// JSON merge patch (RFC 7386).
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(t) = target {
        for (k, v) in fields {
            if v.is_null() {
                t.remove(k);
            } else {
                merge(t.entry(k.clone()).or_insert(Value::Null), v);
            }
        }
    }
}

/// JSON patch (RFC 6902). The error is the first operation that could not be done.
pub(crate) fn json_patch(target: &mut Value, patch: &Value) -> Result<(), String> {
    let ops = patch.as_array().ok_or("a JSON patch is a list of operations")?;
    for op in ops {
        let kind = op["op"].as_str().unwrap_or_default();
        let path = op["path"].as_str().unwrap_or_default();
        let missing = || format!("{kind} operation does not apply: doc is missing path: {path:?}: missing value");
        match kind {
            "test" => {
                let found = target.pointer(path).unwrap_or(&Value::Null);
                if *found != op["value"] {
                    return Err(format!("testing value {path} failed: test failed"));
                }
            }
            "add" => add(target, path, op["value"].clone())?,
            "replace" => {
                let missing = || format!("replace operation does not apply: doc is missing key: {path}: missing value");
                *target.pointer_mut(path).ok_or_else(missing)? = op["value"].clone();
            }
            "remove" => {
                take(target, path)
                    .ok_or_else(|| format!("remove operation does not apply: doc is missing path: {path:?}: missing value"))?;
            }
            "move" | "copy" => {
                let from = op["from"].as_str().unwrap_or_default();
                let v = if kind == "move" { take(target, from) } else { target.pointer(from).cloned() };
                add(target, path, v.ok_or_else(missing)?)?;
            }
            _ => return Err(format!("Unexpected kind: {kind}")),
        }
    }
    Ok(())
}

fn split(path: &str) -> (&str, String) {
    let (parent, last) = path.rsplit_once('/').unwrap_or(("", path));
    (parent, last.replace("~1", "/").replace("~0", "~"))
}

fn add(target: &mut Value, path: &str, v: Value) -> Result<(), String> {
    let missing = || format!("add operation does not apply: doc is missing path: {path:?}: missing value");
    let (parent, last) = split(path);
    match target.pointer_mut(parent).ok_or_else(missing)? {
        Value::Object(m) => {
            m.insert(last, v);
        }
        Value::Array(a) if last == "-" => a.push(v),
        Value::Array(a) => {
            let i: usize = last.parse().ok().filter(|i| *i <= a.len()).ok_or_else(missing)?;
            a.insert(i, v);
        }
        _ => return Err(missing()),
    }
    Ok(())
}

fn take(target: &mut Value, path: &str) -> Option<Value> {
    let (parent, last) = split(path);
    match target.pointer_mut(parent)? {
        Value::Object(m) => m.remove(&last),
        Value::Array(a) => {
            let i: usize = last.parse().ok().filter(|i| *i < a.len())?;
            Some(a.remove(i))
        }
        _ => None,
    }
}

/// Strategic merge patch.
pub(crate) fn strategic(ty: Ty<'_>, target: &mut Value, patch: &Value) -> Result<(), String> {
    let Value::Object(fields) = patch else {
        return Err("unable to find api field in struct for a patch that is no object".into());
    };
    structure(Some(ty), target, fields)
}

fn structure(ty: Option<Ty<'_>>, target: &mut Value, fields: &Map<String, Value>) -> Result<(), String> {
    match fields.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            let kept = fields.iter().filter(|(k, _)| *k != "$patch").map(|(k, v)| (k.clone(), v.clone()));
            *target = Value::Object(kept.collect());
            return Ok(());
        }
        Some("delete") => {
            *target = Value::Object(Map::new());
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => return Err(format!("Unknown patch type found: {other}")),
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(t) = target else { return Ok(()) };
    if let Some(Value::Array(keep)) = fields.get("$retainKeys") {
        t.retain(|k, _| keep.iter().any(|x| x == k));
    }
    for (name, v) in fields {
        if name == "$patch" || name == "$retainKeys" {
            continue;
        }
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(items)), Value::Array(gone)) = (t.get_mut(list), v) {
                items.retain(|i| !gone.contains(i));
            }
            continue;
        }
        if let Some(list) = name.strip_prefix("$setElementOrder/") {
            if let (false, Some(Value::Array(items)), Value::Array(order)) = (fields.contains_key(list), t.get_mut(list), v) {
                let key = ty.and_then(|t| t.field(list)).and_then(|f| f.patch.key.as_deref());
                let before = items.clone();
                settle(key, items, order, &before);
            }
            continue;
        }
        if v.is_null() {
            t.remove(name);
            continue;
        }
        let sub = ty.and_then(|t| t.member(name));
        match v {
            Value::Object(m) => structure(sub, t.entry(name.clone()).or_insert(Value::Null), m)?,
            Value::Array(items) => {
                let rule = ty.and_then(|t| t.field(name)).map(|f| f.patch.clone()).unwrap_or_default();
                if rule.merge {
                    let before = t.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
                    let mut merged = before.clone();
                    list(sub.and_then(Ty::item), rule.key.as_deref(), &mut merged, items)?;
                    let order = fields.get(&format!("$setElementOrder/{name}")).and_then(Value::as_array);
                    settle(rule.key.as_deref(), &mut merged, order.unwrap_or(items), &before);
                    t.insert(name.clone(), Value::Array(merged));
                } else {
                    t.insert(name.clone(), v.clone());
                }
            }
            scalar => {
                t.insert(name.clone(), scalar.clone());
            }
        }
    }
    Ok(())
}

fn list(item: Option<Ty<'_>>, key: Option<&str>, items: &mut Vec<Value>, patch: &[Value]) -> Result<(), String> {
    let Some(key) = key else {
        for p in patch {
            if !items.contains(p) {
                items.push(p.clone());
            }
        }
        return Ok(());
    };
    if patch.iter().any(|p| p["$patch"] == "replace") {
        *items = patch.iter().filter(|p| p["$patch"] != "replace").cloned().collect();
        return Ok(());
    }
    for p in patch {
        let Value::Object(fields) = p else { return Err(format!("expected an object in a list merged by {key}")) };
        let id = fields.get(key).ok_or_else(|| format!("map: map[] does not contain declared merge key: {key}"))?;
        if fields.get("$patch").is_some_and(|d| d == "delete") {
            items.retain(|i| i.get(key) != Some(id));
            continue;
        }
        match items.iter_mut().find(|i| i.get(key) == Some(id)) {
            Some(found) => structure(item, found, fields)?,
            None => {
                let mut fresh = Value::Object(Map::new());
                structure(item, &mut fresh, fields)?;
                items.push(fresh);
            }
        }
    }
    Ok(())
}

/// Items that the patch names come in the patch's order, the others in the server's; an item new to the server comes first.
fn settle(key: Option<&str>, merged: &mut Vec<Value>, named: &[Value], before: &[Value]) {
    let id = |v: &Value| key.map_or_else(|| v.clone(), |k| v[k].clone());
    let at = |list: &[Value], v: &Value| list.iter().position(|w| id(w) == id(v));
    let (mut ours, mut theirs): (Vec<Value>, Vec<Value>) = merged.drain(..).partition(|v| at(named, v).is_some());
    ours.sort_by_key(|v| at(named, v));
    theirs.sort_by_key(|v| at(before, v));
    let (mut ours, mut theirs) = (ours.into_iter().peekable(), theirs.into_iter().peekable());
    loop {
        let take_theirs = match (theirs.peek(), ours.peek()) {
            (Some(t), Some(o)) => matches!((at(before, t), at(before, o)), (Some(t), Some(o)) if t < o),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return,
        };
        merged.extend(if take_theirs { theirs.next() } else { ours.next() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::builtin;
    use serde_json::json;

    #[test]
    fn a_strategic_patch_merges_containers_by_name_and_deletes_on_demand() {
        let s = builtin("", "v1", "Pod").expect("a built-in kind");
        let mut v = json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}});
        let p = json!({"spec": {"containers": [{"name": "a", "image": "2"}, {"name": "b", "$patch": "delete"}, {"name": "c"}]}});
        strategic(s.root(), &mut v, &p).expect("a patch");
        assert_eq!(v, json!({"spec": {"containers": [{"name": "a", "image": "2"}, {"name": "c"}]}}));
        let p =
            json!({"spec": {"containers": [{"name": "d"}], "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}, {"name": "d"}]}});
        strategic(s.root(), &mut v, &p).expect("a patch");
        let names: Vec<_> = v["spec"]["containers"].as_array().expect("a list").iter().map(|c| c["name"].clone()).collect();
        assert_eq!(names, ["c", "a", "d"]);
    }

    #[test]
    fn json_patch_tests_before_it_replaces() {
        let mut v = json!({"a": [1, 2]});
        let p = json!([{"op": "test", "path": "/a/0", "value": 1}, {"op": "replace", "path": "/a/0", "value": 9}, {"op": "add", "path": "/a/-", "value": 3}]);
        json_patch(&mut v, &p).expect("a patch");
        assert_eq!(v, json!({"a": [9, 2, 3]}));
        assert!(json_patch(&mut v, &json!([{"op": "remove", "path": "/b"}])).is_err());
    }
}
