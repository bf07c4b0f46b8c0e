//! Field ownership: which manager owns which paths after an apply or any other write. Values are merged by `typed`; when a write
//! counts as no change is decided by `write`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::fieldset::{FieldSet, Step, show};
use crate::schema::Ty;
use crate::typed;

/// More update managers than this are folded into `ancient-changes`, as the real server does.
const MAX_UPDATE_MANAGERS: usize = 10;

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ManagerId {
    pub(crate) name: String,
    pub(crate) applied: bool,
    /// Empty for appliers: they stay one manager over versions.
    pub(crate) api_version: String,
    pub(crate) subresource: String,
}

#[derive(Clone, Debug)]
struct Owned {
    set: FieldSet,
    api_version: String,
    time: Option<String>,
}

/// All managers of one object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Managers(BTreeMap<ManagerId, Owned>);

/// One field that another manager owns with another value.
#[derive(Clone, Debug)]
pub(crate) struct Conflict {
    pub(crate) manager: ManagerId,
    pub(crate) path: Vec<Step>,
}

impl Conflict {
    /// The manager as messages name it.
    pub(crate) fn who(&self) -> String {
        let mut s = format!("{:?}", self.manager.name);
        if !self.manager.subresource.is_empty() {
            s = format!("{s} with subresource {:?}", self.manager.subresource);
        }
        if !self.manager.applied {
            s = format!("{s} using {}", self.manager.api_version);
        }
        s
    }

    pub(crate) fn field(&self) -> String {
        show(&self.path)
    }
}

/// The message over all conflicts.
pub(crate) fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [c] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {}: {}", c.who(), c.field());
    }
    // Appliers of a name come before its updaters.
    let mut by: BTreeMap<_, Vec<&Conflict>> = BTreeMap::new();
    for c in conflicts {
        let m = &c.manager;
        by.entry((&m.name, !m.applied, &m.api_version, &m.subresource)).or_default().push(c);
    }
    let mut lines = Vec::new();
    for list in by.values() {
        lines.push(format!("conflicts with {}:", list[0].who()));
        lines.extend(list.iter().map(|c| format!("- {}", c.field())));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

fn never_owned() -> FieldSet {
    FieldSet::of(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
}

/// Who writes, through which door, and when.
pub(crate) struct Writer<'a> {
    pub(crate) manager: &'a str,
    pub(crate) api_version: &'a str,
    pub(crate) subresource: &'a str,
    /// RFC 3339, whole seconds.
    pub(crate) now: &'a str,
    /// Paths that this door resets; nobody owns them through it.
    pub(crate) resets: &'a FieldSet,
}

impl Writer<'_> {
    fn id(&self, applied: bool) -> ManagerId {
        ManagerId {
            name: self.manager.to_owned(),
            applied,
            api_version: if applied { String::new() } else { self.api_version.to_owned() },
            subresource: self.subresource.to_owned(),
        }
    }
}

impl Managers {
    /// Reads `metadata.managedFields`; `None` when an entry is malformed.
    pub(crate) fn decode(object: &Value) -> Option<Managers> {
        let mut out = Managers::default();
        for e in object["metadata"]["managedFields"].as_array().into_iter().flatten() {
            let applied = match e["operation"].as_str()? {
                "Apply" => true,
                "Update" => false,
                _ => return None,
            };
            let api_version = e["apiVersion"].as_str().filter(|v| !v.is_empty())?.to_owned();
            if e["fieldsType"] != "FieldsV1" {
                return None;
            }
            let id = ManagerId {
                name: e["manager"].as_str().unwrap_or_default().to_owned(),
                applied,
                api_version: if applied { String::new() } else { api_version.clone() },
                subresource: e["subresource"].as_str().unwrap_or_default().to_owned(),
            };
            let set = match &e["fieldsV1"] {
                Value::Null => FieldSet::default(),
                v => FieldSet::from_fields_v1(v)?,
            };
            out.0.insert(id, Owned { set, api_version, time: e["time"].as_str().map(str::to_owned) });
        }
        Some(out)
    }

    /// Writes `metadata.managedFields`, appliers first, oldest first.
    pub(crate) fn encode(&self, object: &mut Value) {
        let Some(meta) = object["metadata"].as_object_mut() else { return };
        if self.0.is_empty() {
            meta.remove("managedFields");
            return;
        }
        let mut entries: Vec<(&ManagerId, &Owned)> = self.0.iter().collect();
        entries.sort_by(|(a, x), (b, y)| {
            (!a.applied, &x.time, &a.name, &x.api_version, &a.subresource).cmp(&(
                !b.applied,
                &y.time,
                &b.name,
                &y.api_version,
                &b.subresource,
            ))
        });
        let list = entries
            .into_iter()
            .map(|(id, owned)| {
                let mut e = Map::new();
                if !id.name.is_empty() {
                    e.insert("manager".into(), json!(id.name));
                }
                e.insert("operation".into(), json!(if id.applied { "Apply" } else { "Update" }));
                e.insert("apiVersion".into(), json!(owned.api_version));
                e.insert("fieldsType".into(), json!("FieldsV1"));
                e.insert("fieldsV1".into(), owned.set.to_fields_v1());
                if let Some(t) = &owned.time {
                    e.insert("time".into(), json!(t));
                }
                if !id.subresource.is_empty() {
                    e.insert("subresource".into(), json!(id.subresource));
                }
                Value::Object(e)
            })
            .collect();
        meta.insert("managedFields".into(), Value::Array(list));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn settle(&mut self, comparison: &typed::Comparison, me: Option<&ManagerId>) {
        let touched = comparison.modified.union(&comparison.added);
        for (id, owned) in &mut self.0 {
            if Some(id) != me {
                owned.set = owned.set.difference(&owned.set.intersection(&touched)).difference(&comparison.removed);
            }
        }
        self.0.retain(|_, o| !o.set.is_empty());
    }

    /// Any write but an apply: what changed now belongs to the writer.
    pub(crate) fn update(&mut self, ty: Ty<'_>, old: &Value, new: &Value, w: &Writer<'_>) {
        let comparison = typed::compare(ty, &bare(old), &bare(new)).without_trees(w.resets);
        self.settle(&comparison, None);
        let set = comparison.modified.union(&comparison.added).difference(&never_owned());
        if !set.is_empty() {
            let id = w.id(false);
            let set = self.0.get(&id).map_or_else(|| set.clone(), |o| o.set.union(&set));
            // The real server loses the time on the way from a Scale to its object.
            let time = (w.subresource != "scale").then(|| w.now.to_owned());
            self.0.insert(id, Owned { set, api_version: w.api_version.to_owned(), time });
        }
        self.fold_ancient();
    }

    fn fold_ancient(&mut self) {
        let mut updaters: Vec<ManagerId> = self.0.keys().filter(|i| !i.applied).cloned().collect();
        let mut count = updaters.len();
        if count <= MAX_UPDATE_MANAGERS {
            return;
        }
        updaters.sort_by(|a, b| (&self.0[a].time, a).cmp(&(&self.0[b].time, b)));
        let mut first_of: BTreeMap<String, ManagerId> = BTreeMap::new();
        for id in updaters {
            if count <= MAX_UPDATE_MANAGERS {
                break;
            }
            let version = self.0[&id].api_version.clone();
            let bucket =
                ManagerId { name: "ancient-changes".into(), applied: false, api_version: version.clone(), subresource: String::new() };
            let Some(first) = first_of.get(&version) else {
                first_of.insert(version, id);
                continue;
            };
            if !self.0.contains_key(&bucket)
                && let Some(o) = self.0.remove(first)
            {
                self.0.insert(bucket.clone(), o);
            }
            if let Some(o) = self.0.remove(&id)
                && let Some(b) = self.0.get_mut(&bucket)
            {
                b.set = b.set.union(&o.set);
                b.time = o.time;
            }
            count -= 1;
        }
    }

    /// Merges an applied configuration into `live`. `None` is a no-op apply: the live object stays as it is.
    ///
    /// # Errors
    /// The conflicts, when others own fields with other values and `force` is not set.
    pub(crate) fn apply(
        &mut self,
        ty: Ty<'_>,
        live: &Value,
        config: &Value,
        w: &Writer<'_>,
        force: bool,
    ) -> Result<Option<Value>, Vec<Conflict>> {
        let live = bare(live);
        let config = &bare(config);
        let merged = typed::merge(ty, Some(&live), Some(config)).unwrap_or_else(|| json!({}));
        let me = w.id(true);
        let last = self.0.get(&me).map(|o| o.set.clone());
        let set = typed::to_set(ty, config).without_trees(w.resets);
        let time = self.0.get(&me).and_then(|o| o.time.clone());
        self.0.insert(me.clone(), Owned { set, api_version: w.api_version.to_owned(), time });
        let new = match last.filter(|l| !l.is_empty()) {
            Some(last) => self.prune(ty, &merged, &last),
            None => merged,
        };
        let comparison = typed::compare(ty, &live, &new).without_trees(w.resets);
        let touched = comparison.modified.union(&comparison.added);
        if !force {
            let conflicts: Vec<Conflict> = self
                .0
                .iter()
                .filter(|(id, _)| **id != me)
                .flat_map(|(id, o)| o.set.intersection(&touched).paths().into_iter().map(|path| Conflict { manager: id.clone(), path }))
                .collect();
            if !conflicts.is_empty() {
                return Err(conflicts);
            }
        }
        self.settle(&comparison, Some(&me));
        if let Some(o) = self.0.get_mut(&me) {
            o.set = o.set.difference(&never_owned());
            if o.set.is_empty() {
                self.0.remove(&me);
            }
        }
        if new == live {
            return Ok(None);
        }
        if let Some(o) = self.0.get_mut(&me) {
            o.time = Some(w.now.to_owned());
        }
        Ok(Some(new))
    }

    /// Takes away what this applier set last time, sets no more, and nobody else owns.
    fn prune(&self, ty: Ty<'_>, merged: &Value, last: &FieldSet) -> Value {
        let full = |s: &FieldSet| s.with_struct_fields(Some(ty));
        let all = |v: &Value| full(&typed::to_set(ty, v));
        let pruned = typed::remove(ty, merged, &full(last));
        let merged_set = all(merged);
        let managed = self.0.values().fold(FieldSet::default(), |acc, o| acc.union(&o.set));
        let pruned = typed::remove(ty, merged, &merged_set.difference(&all(&pruned).union(&full(&managed))));
        typed::remove(ty, merged, &merged_set.difference(&all(&pruned)).intersection(&full(last)))
    }
}

/// An object without its ownership records, which never own themselves.
fn bare(v: &Value) -> Value {
    let mut v = v.clone();
    if let Some(m) = v.get_mut("metadata").and_then(Value::as_object_mut) {
        m.remove("managedFields");
    }
    v
}

/// Equal but for the times in `managedFields`, of which at least one differs.
pub(crate) fn same_but_times(a: &Value, b: &Value) -> bool {
    let untimed = |v: &Value| {
        let mut v = v.clone();
        for e in v["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
            if let Some(e) = e.as_object_mut() {
                e.remove("time");
            }
        }
        v
    };
    a["metadata"]["managedFields"].is_array() && untimed(a) == untimed(b)
}

/// The fields that `kubectl apply` recorded in its annotation and that still hold: `kubectl apply --server-side` may take them.
pub(crate) fn held_by_last_applied(ty: Ty<'_>, live: &Value, api_version: &str) -> Option<FieldSet> {
    let text = live["metadata"]["annotations"][LAST_APPLIED].as_str().filter(|t| !t.is_empty())?;
    let last: Value = serde_json::from_str(text).ok()?;
    if last["apiVersion"] != api_version {
        return None;
    }
    let c = typed::compare(ty, &last, &bare(live));
    Some(typed::to_set(ty, &last).difference(&c.modified).difference(&c.added).difference(&c.removed))
}

/// After `kubectl apply --server-side` on an object with that annotation, the annotation follows.
pub(crate) fn refresh_last_applied(object: &mut Value, config: &Value) {
    let present = object["metadata"]["annotations"][LAST_APPLIED].as_str().is_some_and(|t| !t.is_empty());
    if present {
        let mut c = config.clone();
        if let Some(a) = c["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
            a.remove(LAST_APPLIED);
        }
        object["metadata"]["annotations"][LAST_APPLIED] = json!(format!("{c}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::builtin;

    fn writer<'a>(manager: &'a str, resets: &'a FieldSet) -> Writer<'a> {
        Writer { manager, api_version: "v1", subresource: "", now: "2026-01-01T00:00:00Z", resets }
    }

    #[test]
    fn a_field_no_longer_applied_goes_unless_another_owns_it() {
        let s = builtin("", "v1", "ConfigMap").expect("a built-in kind");
        let none = FieldSet::default();
        let mut m = Managers::default();
        let empty = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}});
        let one = m
            .apply(s.root(), &empty, &json!({"data": {"a": "1", "b": "1"}}), &writer("x", &none), false)
            .expect("no conflict")
            .expect("a change");
        let two = m.apply(s.root(), &one, &json!({"data": {"a": "1"}}), &writer("y", &none), false).expect("no conflict");
        assert!(two.is_none(), "co-owning an equal value changes no content");
        let three = m.apply(s.root(), &one, &json!({}), &writer("x", &none), false).expect("no conflict").expect("a change");
        assert_eq!(three["data"], json!({"a": "1"}));
    }

    #[test]
    fn another_value_of_an_owned_field_is_a_conflict_with_the_real_words() {
        let s = builtin("", "v1", "ConfigMap").expect("a built-in kind");
        let none = FieldSet::default();
        let mut m = Managers::default();
        let empty = json!({"metadata": {}});
        let live = json!({"metadata": {}, "data": {"a": "1"}});
        m.update(s.root(), &empty, &live, &writer("kubectl-edit", &none));
        let c = m.apply(s.root(), &live, &json!({"data": {"a": "2"}}), &writer("x", &none), false).expect_err("a conflict");
        assert_eq!(conflict_message(&c), "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1: .data.a");
    }
}
