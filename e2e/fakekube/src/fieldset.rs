//! Sets of field paths: what a manager owns, as `fieldsV1` writes it. How paths follow from values is in `typed`.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use crate::schema::{Ty, Type};

/// A JSON scalar with a total order, numbers by value.
#[derive(Clone, Debug)]
pub(crate) struct Atom(pub(crate) Value);

impl Atom {
    fn rank(&self) -> u8 {
        match self.0 {
            Value::Number(_) => 0,
            Value::String(_) => 1,
            Value::Bool(_) => 2,
            _ => 3,
        }
    }
}

impl Ord for Atom {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0)),
            },
            (Value::String(a), Value::String(b)) => a.cmp(b),
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}
impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Atom {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Atom {}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Field(String),
    Key(Vec<(String, Atom)>),
    Value(Atom),
    Index(i64),
}

impl Step {
    pub(crate) fn field(name: &str) -> Step {
        Step::Field(name.to_owned())
    }

    fn encode(&self) -> String {
        match self {
            Step::Field(f) => format!("f:{f}"),
            Step::Key(k) => {
                let m: Map<String, Value> = k.iter().map(|(n, v)| (n.clone(), v.0.clone())).collect();
                format!("k:{}", Value::Object(m))
            }
            Step::Value(v) => format!("v:{}", v.0),
            Step::Index(i) => format!("i:{i}"),
        }
    }

    fn decode(text: &str) -> Option<Step> {
        let (tag, rest) = text.split_once(':')?;
        match tag {
            "f" => Some(Step::field(rest)),
            "k" => match serde_json::from_str(rest).ok()? {
                Value::Object(m) => Some(Step::Key(m.into_iter().map(|(n, v)| (n, Atom(v))).collect())),
                _ => None,
            },
            "v" => Some(Step::Value(Atom(serde_json::from_str(rest).ok()?))),
            "i" => Some(Step::Index(rest.parse().ok()?)),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Field(n) => write!(f, ".{n}"),
            Step::Key(k) => {
                write!(f, "[")?;
                for (i, (n, v)) in k.iter().enumerate() {
                    write!(f, "{}{n}={}", if i == 0 { "" } else { "," }, v.0)?;
                }
                write!(f, "]")
            }
            Step::Value(v) => write!(f, "[={}]", v.0),
            Step::Index(i) => write!(f, "[{i}]"),
        }
    }
}

/// A set of paths. A node may be a member itself, have members below it, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    members: BTreeSet<Step>,
    children: BTreeMap<Step, FieldSet>,
}

impl FieldSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(FieldSet::is_empty)
    }

    pub(crate) fn insert(&mut self, path: &[Step]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    pub(crate) fn of(paths: &[&[&str]]) -> FieldSet {
        let mut s = FieldSet::default();
        for p in paths {
            s.insert(&p.iter().map(|f| Step::field(f)).collect::<Vec<_>>());
        }
        s
    }

    pub(crate) fn has(&self, step: &Step) -> bool {
        self.members.contains(step)
    }

    pub(crate) fn has_path(&self, path: &[Step]) -> bool {
        match path {
            [] => true,
            [last] => self.members.contains(last),
            [first, rest @ ..] => self.children.get(first).is_some_and(|c| c.has_path(rest)),
        }
    }

    pub(crate) fn below(&self, step: &Step) -> Option<&FieldSet> {
        self.children.get(step).filter(|c| !c.is_empty())
    }

    pub(crate) fn union(&self, other: &FieldSet) -> FieldSet {
        let mut out = self.clone();
        out.members.extend(other.members.iter().cloned());
        for (step, set) in &other.children {
            let merged = out.children.get(step).map_or_else(|| set.clone(), |mine| mine.union(set));
            out.children.insert(step.clone(), merged);
        }
        out
    }

    pub(crate) fn intersection(&self, other: &FieldSet) -> FieldSet {
        FieldSet {
            members: self.members.intersection(&other.members).cloned().collect(),
            children: self
                .children
                .iter()
                .filter_map(|(s, c)| Some((s.clone(), c.intersection(other.children.get(s)?))))
                .filter(|(_, c)| !c.is_empty())
                .collect(),
        }
    }

    /// Paths of `self` that `other` lacks; a path of `other` does not take what is below it.
    pub(crate) fn difference(&self, other: &FieldSet) -> FieldSet {
        FieldSet {
            members: self.members.difference(&other.members).cloned().collect(),
            children: self
                .children
                .iter()
                .map(|(s, c)| (s.clone(), other.children.get(s).map_or_else(|| c.clone(), |o| c.difference(o))))
                .filter(|(_, c)| !c.is_empty())
                .collect(),
        }
    }

    /// Like [`difference`](Self::difference), and a path of `other` takes what is below it.
    pub(crate) fn without_trees(&self, other: &FieldSet) -> FieldSet {
        FieldSet {
            members: self.members.difference(&other.members).cloned().collect(),
            children: self
                .children
                .iter()
                .filter(|(s, _)| !other.members.contains(s))
                .map(|(s, c)| (s.clone(), other.children.get(s).map_or_else(|| c.clone(), |o| c.without_trees(o))))
                .filter(|(_, c)| !c.is_empty())
                .collect(),
        }
    }

    /// Adds each declared struct field that has members below it.
    pub(crate) fn with_struct_fields(&self, ty: Option<Ty<'_>>) -> FieldSet {
        let mut out = FieldSet { members: self.members.clone(), children: BTreeMap::new() };
        for (step, child) in &self.children {
            let sub = match (step, ty) {
                (Step::Field(n), Some(t)) => {
                    if t.field(n).is_some() {
                        out.members.insert(step.clone());
                    }
                    match t.shape() {
                        Type::Map(_) | Type::Deduced => t.member(n),
                        _ => None,
                    }
                }
                (Step::Key(_), Some(t)) => t.item(),
                _ => None,
            };
            out.children.insert(step.clone(), child.with_struct_fields(sub));
        }
        out
    }

    /// All paths, members of a node before what is below it.
    pub(crate) fn paths(&self) -> Vec<Vec<Step>> {
        let mut out = Vec::new();
        self.walk(&mut Vec::new(), &mut out);
        out
    }

    fn walk(&self, prefix: &mut Vec<Step>, out: &mut Vec<Vec<Step>>) {
        for m in &self.members {
            let mut p = prefix.clone();
            p.push(m.clone());
            out.push(p);
        }
        for (s, c) in &self.children {
            prefix.push(s.clone());
            c.walk(prefix, out);
            prefix.pop();
        }
    }

    pub(crate) fn to_fields_v1(&self) -> Value {
        let mut out = Map::new();
        for m in &self.members {
            out.insert(m.encode(), Value::Object(Map::new()));
        }
        for (s, c) in &self.children {
            if c.is_empty() {
                continue;
            }
            let mut below = match c.to_fields_v1() {
                Value::Object(m) => m,
                _ => Map::new(),
            };
            if self.members.contains(s) {
                below.insert(".".into(), Value::Object(Map::new()));
            }
            out.insert(s.encode(), Value::Object(below));
        }
        Value::Object(out)
    }

    /// `None` when the text is not a field set.
    pub(crate) fn from_fields_v1(v: &Value) -> Option<FieldSet> {
        let mut out = FieldSet::default();
        for (k, below) in v.as_object()? {
            if k == "." {
                continue;
            }
            let step = Step::decode(k)?;
            let below = below.as_object()?;
            if below.is_empty() || below.contains_key(".") {
                out.members.insert(step.clone());
            }
            if below.keys().any(|k| k != ".") {
                out.children.insert(step, FieldSet::from_fields_v1(&Value::Object(below.clone()))?);
            }
        }
        Some(out)
    }
}

/// A path as error messages show it.
pub(crate) fn show(path: &[Step]) -> String {
    path.iter().map(Step::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_v1_survives_a_round_trip() {
        let v = json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {"f:ports": {".": {}, "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}, "f:x": {"v:\"a\"": {}}}});
        assert_eq!(FieldSet::from_fields_v1(&v).map(|s| s.to_fields_v1()), Some(v));
    }

    #[test]
    fn taking_a_parent_leaves_its_children() {
        let s = FieldSet::of(&[&["a", "b"], &["a"]]);
        assert_eq!(s.difference(&FieldSet::of(&[&["a"]])), FieldSet::of(&[&["a", "b"]]));
        assert!(s.without_trees(&FieldSet::of(&[&["a"]])).is_empty());
    }
}
