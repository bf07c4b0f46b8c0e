//! Values read through their schema: the field set of a value, comparing, merging and removing. Who owns what is in `managed`.
//! The rules are those of Kubernetes' structured merge, version 6.

use serde_json::{Map, Value};

use crate::fieldset::{Atom, FieldSet, Step};
use crate::schema::{ListKind, Scalar, Ty, Type};

static ATOMIC: ListKind = ListKind::Atomic;

/// How a value is walked once its type has been resolved.
enum Node<'a> {
    Leaf,
    List(Option<Ty<'a>>, &'a ListKind),
    Map(bool),
}

fn node<'a>(ty: Ty<'a>, value: Option<&Value>) -> Node<'a> {
    match ty.shape() {
        Type::Scalar(_) | Type::Opaque => Node::Leaf,
        Type::List { kind, .. } => Node::List(ty.item(), kind),
        Type::Map(m) => Node::Map(m.atomic),
        Type::Deduced => match value {
            Some(Value::Array(_)) => Node::List(None, &ATOMIC),
            Some(Value::Object(_) | Value::Null) | None => Node::Map(false),
            _ => Node::Leaf,
        },
    }
}

/// What a typed walk refuses, with the path and the words of the real server.
pub(crate) type Faults = Vec<(String, String)>;

/// Faults as one message.
pub(crate) fn describe(faults: &Faults) -> String {
    let one = |(p, m): &(String, String)| if p.is_empty() { m.clone() } else { format!("{p}: {m}") };
    match faults.as_slice() {
        [f] => one(f),
        many => format!("errors:\n{}", many.iter().map(|f| format!("  {}", one(f))).collect::<Vec<_>>().join("\n")),
    }
}

fn go_type(v: &Value) -> &'static str {
    match v {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// `valueUnstructured` as Go prints it with `%v`.
fn go_value(v: &Value) -> String {
    match v {
        Value::String(s) => format!("{s:?}"),
        other => other.to_string(),
    }
}

/// Checks shapes and declared fields, as a server does before it applies.
pub(crate) fn validate(ty: Ty<'_>, v: &Value, allow_duplicates: bool) -> Faults {
    let mut out = Faults::new();
    check(ty, v, "", allow_duplicates, &mut out);
    out
}

fn check(ty: Ty<'_>, v: &Value, path: &str, dups: bool, out: &mut Faults) {
    let fault = |m: String| (path.to_owned(), m);
    match ty.shape() {
        Type::Opaque | Type::Deduced => {}
        Type::Scalar(_) if v.is_null() => {}
        Type::Scalar(s) => {
            let wrong = match s {
                Scalar::Int32 | Scalar::Int64 | Scalar::Number if !v.is_number() => {
                    Some(format!("expected numeric (int or float), got {}", go_type(v)))
                }
                Scalar::Text | Scalar::Bytes if !v.is_string() => {
                    Some(format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_value(v)))
                }
                Scalar::Bool if !v.is_boolean() => {
                    Some(format!("expected boolean, got &{{{}}}", v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
                }
                _ if v.is_array() || v.is_object() => Some(format!("expected any scalar, got &{{{v}}}")),
                _ => None,
            };
            out.extend(wrong.map(fault));
        }
        Type::List { kind, .. } => {
            let Value::Array(items) = v else {
                if !v.is_null() {
                    out.push(fault(format!("expected list, got &{{{}}}", v.as_str().map_or_else(|| v.to_string(), str::to_owned))));
                }
                return;
            };
            let mut seen = std::collections::BTreeSet::new();
            for (i, item) in items.iter().enumerate() {
                let step = match kind {
                    ListKind::Atomic => Step::Index(i64::try_from(i).unwrap_or(i64::MAX)),
                    _ => match item_step(ty.item(), kind, item) {
                        Ok(s) => s,
                        Err(m) => return out.push(fault(format!("element {i}: {m}"))),
                    },
                };
                let sub = format!("{path}{step}");
                if !seen.insert(step.clone()) && !dups {
                    out.push(fault(format!("duplicate entries for key {step}")));
                }
                if let Some(t) = ty.item() {
                    check(t, item, &sub, dups, out);
                }
            }
        }
        Type::Map(m) => {
            let Value::Object(fields) = v else {
                if !v.is_null() {
                    out.push(fault(format!("expected map, got &{{{}}}", v.as_str().map_or_else(|| v.to_string(), str::to_owned))));
                }
                return;
            };
            for (name, value) in fields {
                let sub = format!("{path}.{name}");
                match ty.member(name) {
                    Some(t) => check(t, value, &sub, dups, out),
                    None if m.preserve_unknown => {}
                    // The real walk ends here, at whatever field its random order has reached.
                    None => return out.push((sub, "field not declared in schema".into())),
                }
            }
        }
    }
}

/// The step that names a list item.
pub(crate) fn item_step(item: Option<Ty<'_>>, kind: &ListKind, v: &Value) -> Result<Step, String> {
    match kind {
        ListKind::Atomic => Err("invalid indexing of non-associative list".into()),
        ListKind::Set => match v {
            Value::Object(_) => Err("associative list without keys has an element that's a map type".into()),
            Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
            Value::Null => Err("associative list without keys has an element that's an explicit null".into()),
            scalar => Ok(Step::Value(Atom(scalar.clone()))),
        },
        ListKind::Map(keys) => {
            let Value::Object(fields) = v else {
                return Err(if v.is_null() {
                    "associative list with keys may not have a null element".into()
                } else {
                    "associative list with keys may not have non-map elements".into()
                });
            };
            let mut key: Vec<(String, Atom)> = keys
                .iter()
                .filter_map(|k| {
                    let v = fields.get(k).cloned().or_else(|| item.and_then(|t| t.field(k)).and_then(|f| f.default.clone()))?;
                    Some((k.clone(), Atom(v)))
                })
                .collect();
            if key.is_empty() {
                return Err(format!(
                    "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                    keys.iter().map(|k| format!("{k:?}")).collect::<Vec<_>>().join(" ")
                ));
            }
            key.sort();
            Ok(Step::Key(key))
        }
    }
}

fn items(v: Option<&Value>) -> &[Value] {
    v.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is_empty(v: Option<&Value>) -> bool {
    match v {
        Some(Value::Array(a)) => a.is_empty(),
        Some(Value::Object(m)) => m.is_empty(),
        _ => true,
    }
}

/// Items grouped by step, in the order of their first occurrence; items without a step are left out.
fn grouped<'v>(item: Option<Ty<'_>>, kind: &ListKind, list: &'v [Value]) -> Vec<(Step, Vec<&'v Value>)> {
    let mut out: Vec<(Step, Vec<&Value>)> = Vec::new();
    for v in list {
        if let Ok(step) = item_step(item, kind, v) {
            match out.iter_mut().find(|(s, _)| *s == step) {
                Some((_, vs)) => vs.push(v),
                None => out.push((step, vec![v])),
            }
        }
    }
    out
}

/// All paths that a value sets.
pub(crate) fn to_set(ty: Ty<'_>, v: &Value) -> FieldSet {
    let mut out = FieldSet::default();
    collect(ty, v, &mut Vec::new(), &mut out);
    out
}

fn collect(ty: Ty<'_>, v: &Value, path: &mut Vec<Step>, out: &mut FieldSet) {
    match node(ty, Some(v)) {
        Node::Leaf | Node::List(_, ListKind::Atomic) | Node::Map(true) => out.insert(path),
        Node::List(item, kind) => {
            for (step, vs) in grouped(item, kind, items(Some(v))) {
                path.push(step);
                if let ([one], Some(t)) = (vs.as_slice(), item) {
                    collect(t, one, path, out);
                }
                out.insert(path);
                path.pop();
            }
        }
        Node::Map(false) => {
            for (name, value) in v.as_object().into_iter().flatten() {
                path.push(Step::field(name));
                if let Some(t) = ty.member(name) {
                    collect(t, value, path, out);
                }
                let declared = ty.field(name).is_some();
                if value.is_null() || value.as_object().is_some_and(Map::is_empty) || !declared {
                    out.insert(path);
                }
                path.pop();
            }
        }
    }
}

/// What changed between two values of one type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) removed: FieldSet,
    pub(crate) modified: FieldSet,
    pub(crate) added: FieldSet,
}

impl Comparison {
    pub(crate) fn without_trees(&self, ignored: &FieldSet) -> Comparison {
        Comparison {
            removed: self.removed.without_trees(ignored),
            modified: self.modified.without_trees(ignored),
            added: self.added.without_trees(ignored),
        }
    }
}

/// Compares two values.
pub(crate) fn compare(ty: Ty<'_>, old: &Value, new: &Value) -> Comparison {
    let mut out = Comparison::default();
    diff(ty, Some(old), Some(new), &mut Vec::new(), &mut out);
    out
}

fn leaf_diff(l: Option<&Value>, r: Option<&Value>, path: &[Step], out: &mut Comparison) {
    match (l, r) {
        (None, Some(_)) => out.added.insert(path),
        (Some(_), None) => out.removed.insert(path),
        (Some(l), Some(r)) if !same(l, r) => out.modified.insert(path),
        _ => {}
    }
}

/// Equality with numbers compared by value.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => Atom(a.clone()) == Atom(b.clone()),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(a, b)| same(a, b)),
        (Value::Object(x), Value::Object(y)) => x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| same(v, w))),
        _ => a == b,
    }
}

fn diff(ty: Ty<'_>, l: Option<&Value>, r: Option<&Value>, path: &mut Vec<Step>, out: &mut Comparison) {
    let shape = match (l, r) {
        (Some(a), Some(b)) if matches!(ty.shape(), Type::Deduced) && std::mem::discriminant(a) != std::mem::discriminant(b) => {
            if a.is_null() || b.is_null() {
                node(ty, if b.is_null() { l } else { r })
            } else {
                // Values of different shapes: the whole changes, and what was below a map goes or comes.
                for (name, v) in a.as_object().into_iter().chain(b.as_object()).flatten() {
                    path.push(Step::field(name));
                    let (l, r) = if a.is_object() { (Some(v), None) } else { (None, Some(v)) };
                    diff(ty, l, r, path, out);
                    path.pop();
                }
                Node::Leaf
            }
        }
        (l, None) => node(ty, l),
        _ => node(ty, r),
    };
    match shape {
        Node::Leaf | Node::List(_, ListKind::Atomic) | Node::Map(true) => return leaf_diff(l, r, path, out),
        _ if is_empty(l) && is_empty(r) => return leaf_diff(l, r, path, out),
        Node::List(item, kind) => {
            let (ls, rs) = (grouped(item, kind, items(l)), grouped(item, kind, items(r)));
            let none: Vec<&Value> = Vec::new();
            let find = |list: &[(Step, Vec<&Value>)], s: &Step| list.iter().position(|(x, _)| x == s);
            let steps = ls.iter().map(|(s, _)| s).chain(rs.iter().map(|(s, _)| s).filter(|s| find(&ls, s).is_none()));
            for step in steps {
                let a = find(&ls, step).map_or(&none, |i| &ls[i].1);
                let b = find(&rs, step).map_or(&none, |i| &rs[i].1);
                path.push(step.clone());
                match (a.len() > 1, b.len() > 1) {
                    (false, false) => {
                        if let Some(t) = item {
                            diff(t, a.first().copied(), b.first().copied(), path, out);
                        }
                    }
                    (true, true) => {
                        if a != b {
                            out.modified.insert(path);
                        }
                    }
                    (true, false) => {
                        if let (Some(first), Some(t)) = (b.first(), item) {
                            diff(t, None, Some(first), path, out);
                        }
                        out.removed.insert(path);
                    }
                    (false, true) => {
                        if let (Some(first), Some(t)) = (a.first(), item) {
                            diff(t, Some(first), None, path, out);
                        }
                        out.added.insert(path);
                    }
                }
                path.pop();
            }
        }
        Node::Map(false) => {
            let empty = Map::new();
            let (lm, rm) = (l.and_then(Value::as_object).unwrap_or(&empty), r.and_then(Value::as_object).unwrap_or(&empty));
            for name in lm.keys().chain(rm.keys().filter(|k| !lm.contains_key(*k))) {
                if let Some(t) = ty.member(name) {
                    path.push(Step::field(name));
                    diff(t, lm.get(name), rm.get(name), path, out);
                    path.pop();
                }
            }
        }
    }
    if l.is_none() {
        out.added.insert(path);
    } else if r.is_none() {
        out.removed.insert(path);
    }
}

/// Lays `r` over `l`.
pub(crate) fn merge(ty: Ty<'_>, l: Option<&Value>, r: Option<&Value>) -> Option<Value> {
    let shape = match (l, r) {
        (l, None) => node(ty, l),
        _ => node(ty, r),
    };
    let leaf = || r.or(l).cloned();
    match shape {
        Node::Leaf | Node::List(_, ListKind::Atomic) | Node::Map(true) => leaf(),
        _ if is_empty(l) && is_empty(r) => leaf(),
        Node::List(item, kind) => {
            let out = merge_list(item?, kind, items(l), items(r));
            (!out.is_empty()).then_some(Value::Array(out))
        }
        Node::Map(false) => {
            let empty = Map::new();
            let (lm, rm) = (l.and_then(Value::as_object).unwrap_or(&empty), r.and_then(Value::as_object).unwrap_or(&empty));
            let mut out = Map::new();
            for name in lm.keys().chain(rm.keys().filter(|k| !lm.contains_key(*k))) {
                if let Some(v) = ty.member(name).and_then(|t| merge(t, lm.get(name), rm.get(name))) {
                    out.insert(name.clone(), v);
                }
            }
            (!out.is_empty()).then_some(Value::Object(out))
        }
    }
}

/// Applied items keep their order; items only the server has keep their place before the next shared one.
fn merge_list(item: Ty<'_>, kind: &ListKind, l: &[Value], r: &[Value]) -> Vec<Value> {
    let steps = |list: &[Value]| -> Vec<Step> { list.iter().filter_map(|v| item_step(Some(item), kind, v).ok()).collect() };
    let (ls, rs) = (steps(l), steps(r));
    if ls.len() != l.len() || rs.len() != r.len() {
        return r.to_vec();
    }
    // An item that the server has twice is not merged with what is applied.
    let old = |s: &Step| {
        let mut at = ls.iter().enumerate().filter(|(_, x)| *x == s).map(|(i, _)| i);
        match (at.next(), at.next()) {
            (Some(i), None) => Some(&l[i]),
            _ => None,
        }
    };
    let mut shared = rs.iter().filter(|s| ls.contains(s));
    let mut next = shared.next();
    let mut merged: Vec<&Step> = Vec::new();
    let mut out = Vec::new();
    let (mut li, mut ri) = (0, 0);
    while li < ls.len() || ri < rs.len() {
        if li < ls.len() && ri < rs.len() {
            if ls[li] == rs[ri] {
                merged.push(&rs[ri]);
                out.extend(merge(item, old(&rs[ri]), Some(&r[ri])));
                li += 1;
                ri += 1;
                next = shared.next();
                continue;
            }
            if rs.contains(&ls[li]) && next.is_some_and(|n| *n != ls[li]) {
                li += 1;
                continue;
            }
        }
        if li < ls.len() {
            if !rs.contains(&ls[li]) {
                out.extend(merge(item, Some(&l[li]), None));
                li += 1;
                continue;
            } else if merged.contains(&&ls[li]) {
                li += 1;
            }
        }
        if ri < rs.len() {
            merged.push(&rs[ri]);
            out.extend(merge(item, old(&rs[ri]), Some(&r[ri])));
            if next == Some(&rs[ri]) {
                next = shared.next();
            }
            ri += 1;
        }
    }
    out
}

/// The value without the paths of `gone`; `Null` where nothing is left.
pub(crate) fn remove(ty: Ty<'_>, v: &Value, gone: &FieldSet) -> Value {
    match (node(ty, Some(v)), v) {
        (Node::List(item, kind), Value::Array(list)) if *kind != ListKind::Atomic => {
            let mut out = Vec::new();
            for value in list {
                match item_step(item, kind, value) {
                    Ok(step) if gone.has(&step) => {}
                    Ok(step) => match (gone.below(&step), item) {
                        (Some(sub), Some(t)) => out.push(remove(t, value, sub)),
                        _ => out.push(value.clone()),
                    },
                    Err(_) => out.push(value.clone()),
                }
            }
            if out.is_empty() { Value::Null } else { Value::Array(out) }
        }
        (Node::Map(false), Value::Object(m)) => {
            let mut out = Map::new();
            for (name, value) in m {
                let step = Step::field(name);
                if gone.has(&step) {
                    continue;
                }
                let kept = match (gone.below(&step), ty.member(name)) {
                    (Some(sub), Some(t)) => remove(t, value, sub),
                    _ => value.clone(),
                };
                out.insert(name.clone(), kept);
            }
            if out.is_empty() { Value::Null } else { Value::Object(out) }
        }
        (Node::Leaf, v) => v.clone(),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::builtin;
    use serde_json::json;

    #[test]
    fn an_applied_container_is_owned_by_its_name() {
        let s = builtin("", "v1", "Pod").expect("a built-in kind");
        let v = json!({"spec": {"containers": [{"name": "a", "image": "x", "args": ["1"]}], "nodeSelector": {"k": "v"}}});
        assert_eq!(
            to_set(s.root(), &v).to_fields_v1(),
            json!({"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {".": {}, "f:name": {}, "f:image": {}, "f:args": {}}},
                "f:nodeSelector": {}}})
        );
    }

    #[test]
    fn applied_items_keep_their_order_and_others_stay() {
        let s = builtin("", "v1", "Pod").expect("a built-in kind");
        let l = json!({"spec": {"containers": [{"name": "a"}, {"name": "x"}, {"name": "b"}]}});
        let r = json!({"spec": {"containers": [{"name": "b"}, {"name": "a"}]}});
        let merged = merge(s.root(), Some(&l), Some(&r)).expect("a value");
        let names: Vec<_> = merged["spec"]["containers"].as_array().expect("a list").iter().map(|c| c["name"].clone()).collect();
        assert_eq!(names, ["x", "b", "a"]);
    }

    #[test]
    fn an_undeclared_field_is_refused_by_its_path() {
        let s = builtin("apps", "v1", "Deployment").expect("a built-in kind");
        let f = validate(s.root(), &json!({"spec": {"replicas": "2", "nope": 1}}), false);
        assert_eq!(describe(&f), ".spec.nope: field not declared in schema");
    }
}
