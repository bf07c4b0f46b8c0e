//! How objects end: deletion with preconditions, finalizers and grace, what the garbage collector takes along, and the end of
//! namespaces. Collection follows at once, under the same lock, where the real one follows within a second.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::registry::Resource;
use crate::state::{CollectionKey, Key, State, rfc3339, seconds};
use crate::status::ApiError;

/// What the real server says when a job is deleted without a propagation policy.
pub(crate) const JOB_WARNING: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning";

/// The body or parameters of a DELETE.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) uid: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) propagation: Option<String>,
    pub(crate) grace: Option<i64>,
    pub(crate) dry_run: bool,
}

/// What a DELETE answers with: the object, and whether it is gone.
pub(crate) struct Deleted {
    pub(crate) object: Value,
    pub(crate) gone: bool,
}

/// Deletes one object, or marks it when finalizers or grace keep it.
pub(crate) fn delete(
    state: &mut State,
    r: &Resource,
    ns: &str,
    name: &str,
    options: &DeleteOptions,
    now: i64,
) -> Result<Deleted, ApiError> {
    let live = state.get(r, ns, name).ok_or_else(|| ApiError::not_found(r, name))?;
    let text = |f: &str| live["metadata"][f].as_str().unwrap_or_default().to_owned();
    let mismatch = |what: &str, given: &str, found: &str| {
        let kind = Resource { plural: r.kind.clone(), ..r.clone() };
        let why = format!(
            "the {what} in the precondition ({given}) does not match the {what} in record ({found}). The object might have been {}",
            if what == "UID" { "deleted and then recreated" } else { "modified" }
        );
        ApiError::conflict(&kind, name, &why)
    };
    if let Some(u) = options.uid.as_ref().filter(|u| **u != text("uid")) {
        return Err(mismatch("UID", u, &text("uid")));
    }
    if let Some(v) = options.version.as_ref().filter(|v| **v != text("resourceVersion")) {
        return Err(mismatch("ResourceVersion", v, &text("resourceVersion")));
    }
    let mut o = (*live).clone();
    // Jobs and replication controllers leave their pods alone unless told otherwise.
    let orphans = r.is("batch", "jobs") || r.is("", "replicationcontrollers");
    let propagation = options.propagation.as_deref().or(orphans.then_some("Orphan"));
    adjust_finalizers(&mut o, propagation);
    let finalizers = o["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
    let namespace = r.is("", "namespaces");
    let grace = grace_of(r, &o, options);
    let stays = finalizers || grace > 0 || (namespace && o["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty()));
    if !stays {
        if r.is("", "pods") {
            // A pod is marked before it goes, also without grace.
            stamp(&mut o, now, 0);
        }
        if !options.dry_run {
            if r.is("", "pods") {
                state.put(r, o.clone());
            }
            if let Some(last) = state.take(r, ns, name) {
                o = (*last).clone();
            }
        }
        return Ok(Deleted { object: o, gone: true });
    }
    let marked = o["metadata"]["deletionTimestamp"].is_string();
    if !marked {
        stamp(&mut o, now, grace);
        if namespace {
            if let Some(m) = o["metadata"].as_object_mut() {
                m.remove("deletionGracePeriodSeconds");
            }
            o["status"]["phase"] = json!("Terminating");
        }
    } else if o["metadata"]["deletionGracePeriodSeconds"].as_i64().is_some_and(|g| grace < g) {
        o["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        o["metadata"]["deletionTimestamp"] = json!(rfc3339(now + grace));
    }
    if o != *live && !options.dry_run {
        o = (*state.put(r, o)).clone();
    }
    Ok(Deleted { object: o, gone: false })
}

/// Marks an object as being deleted.
fn stamp(o: &mut Value, now: i64, grace: i64) {
    o["metadata"]["deletionTimestamp"] = json!(rfc3339(now + grace));
    o["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    if let Some(g) = o["metadata"]["generation"].as_i64() {
        o["metadata"]["generation"] = json!(g + 1);
    }
}

fn grace_of(r: &Resource, o: &Value, options: &DeleteOptions) -> i64 {
    let scheduled = r.is("", "pods") && o["spec"]["nodeName"].is_string();
    if !scheduled || matches!(o["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
        return 0;
    }
    options.grace.or(o["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30)
}

fn adjust_finalizers(o: &mut Value, propagation: Option<&str>) {
    let mut list: Vec<Value> = o["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let before = list.clone();
    let wanted = match propagation {
        Some("Orphan") => Some("orphan"),
        Some("Foreground") => Some("foregroundDeletion"),
        _ => None,
    };
    if propagation.is_some() {
        list.retain(|f| (f != "orphan" && f != "foregroundDeletion") || Some(f.as_str().unwrap_or_default()) == wanted);
    }
    if let Some(w) = wanted
        && !list.contains(&json!(w))
    {
        list.push(json!(w));
    }
    if list != before {
        if list.is_empty() {
            if let Some(m) = o["metadata"].as_object_mut() {
                m.remove("finalizers");
            }
        } else {
            o["metadata"]["finalizers"] = json!(list);
        }
    }
}

type Place = (CollectionKey, Key, Arc<Value>);

fn all(state: &State) -> Vec<Place> {
    state.collections.iter().flat_map(|(c, col)| col.objects.iter().map(|(k, o)| (c.clone(), k.clone(), o.clone()))).collect()
}

fn finalizer(o: &Value, name: &str) -> bool {
    o["metadata"]["finalizers"].as_array().is_some_and(|f| f.iter().any(|x| x == name))
}

/// The garbage collector: dependants of what is gone, foreground and orphaning deletions, until nothing more follows.
pub(crate) fn collect(state: &mut State, now: i64) {
    while collect_once(state, now) {}
}

fn collect_once(state: &mut State, now: i64) -> bool {
    let interesting = |o: &Value| o["metadata"]["ownerReferences"].is_array() || o["metadata"]["deletionTimestamp"].is_string();
    if !state.collections.values().any(|c| c.objects.values().any(|o| interesting(o))) {
        return false;
    }
    let places = all(state);
    let uids: BTreeSet<&str> = places.iter().filter_map(|p| p.2["metadata"]["uid"].as_str()).collect();
    let owners = |o: &Value| o["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    for ((group, plural), (ns, name), o) in &places {
        let Some(r) = state.resource_of(&(group.clone(), plural.clone())) else { continue };
        let uid = o["metadata"]["uid"].as_str().unwrap_or_default();
        let dying = o["metadata"]["deletionTimestamp"].is_string();
        let dependants = || places.iter().filter(|(_, _, d)| owners(d).iter().any(|w| w["uid"] == uid));
        if dying && finalizer(o, "orphan") {
            for ((g, p), (dns, dname), d) in dependants() {
                let Some(dr) = state.resource_of(&(g.clone(), p.clone())) else { continue };
                let mut d = (**d).clone();
                let rest: Vec<Value> = owners(&d).into_iter().filter(|w| w["uid"] != uid).collect();
                set_or_remove(&mut d["metadata"], "ownerReferences", rest);
                if state.get(&dr, dns, dname).is_some() {
                    state.put(&dr, d);
                }
            }
            drop_finalizer(state, &r, o, "orphan");
            return true;
        }
        if dying && finalizer(o, "foregroundDeletion") {
            let blocking: Vec<&Place> =
                dependants().filter(|(_, _, d)| owners(d).iter().any(|w| w["uid"] == uid && w["blockOwnerDeletion"] == true)).collect();
            let waiting = dependants().find(|(_, _, d)| !d["metadata"]["deletionTimestamp"].is_string());
            if let Some((dkey, (dns, dname), _)) = waiting {
                if let Some(dr) = state.resource_of(dkey) {
                    let options = DeleteOptions { propagation: Some("Foreground".into()), ..DeleteOptions::default() };
                    let _ = mark(state, &dr, dns, dname, &options, now);
                }
                return true;
            }
            if blocking.is_empty() {
                drop_finalizer(state, &r, o, "foregroundDeletion");
                return true;
            }
            continue;
        }
        let refs = owners(o);
        let orphaned = !refs.is_empty() && refs.iter().all(|w| !w["uid"].as_str().is_some_and(|u| uids.contains(u)));
        if orphaned && !dying {
            let _ = mark(state, &r, ns, name, &DeleteOptions { propagation: Some("Background".into()), ..DeleteOptions::default() }, now);
            return true;
        }
    }
    false
}

/// [`delete`] without the collection that follows it.
fn mark(state: &mut State, r: &Resource, ns: &str, name: &str, options: &DeleteOptions, now: i64) -> Option<()> {
    let live = state.get(r, ns, name)?;
    let mut o = (*live).clone();
    adjust_finalizers(&mut o, options.propagation.as_deref());
    let kept = o["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
    let grace = grace_of(r, &o, options);
    if !kept && grace == 0 {
        state.take(r, ns, name);
        return Some(());
    }
    if !o["metadata"]["deletionTimestamp"].is_string() {
        stamp(&mut o, now, grace);
        state.put(r, o);
    }
    Some(())
}

fn set_or_remove(m: &mut Value, field: &str, list: Vec<Value>) {
    if let Some(m) = m.as_object_mut() {
        if list.is_empty() {
            m.remove(field);
        } else {
            m.insert(field.to_owned(), Value::Array(list));
        }
    }
}

/// Takes a finalizer away; the object goes when it was the last.
pub(crate) fn drop_finalizer(state: &mut State, r: &Resource, o: &Value, name: &str) {
    let mut o = o.clone();
    let rest: Vec<Value> = o["metadata"]["finalizers"].as_array().cloned().unwrap_or_default().into_iter().filter(|f| f != name).collect();
    let last = rest.is_empty();
    set_or_remove(&mut o["metadata"], "finalizers", rest);
    let (ns, n) = crate::state::key_of(&o);
    let dying = o["metadata"]["deletionTimestamp"].is_string();
    if last && dying && o["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0 {
        state.take(r, &ns, &n);
    } else {
        state.put(r, o);
    }
}

/// Ends what is due at `now`: pods past their grace, and namespaces that have been terminating for `namespace_delay` seconds. Returns
/// when to look again.
pub(crate) fn advance(state: &mut State, now: i64, namespace_delay: i64) -> Option<i64> {
    let mut next: Option<i64> = None;
    let mut at = |t: i64| next = Some(next.map_or(t, |n: i64| n.min(t)));
    for ((group, plural), (ns, name), o) in all(state) {
        let Some(stamp) = o["metadata"]["deletionTimestamp"].as_str().and_then(seconds) else { continue };
        let Some(r) = state.resource_of(&(group, plural)) else { continue };
        if r.is("", "namespaces") {
            if now < stamp + namespace_delay {
                at(stamp + namespace_delay);
            } else {
                finalize_namespace(state, &r, &name, now);
            }
        } else if r.is("", "pods") && o["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) > 0 {
            if now < stamp {
                at(stamp);
            } else if o["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
                state.take(&r, &ns, &name);
            }
        }
    }
    next
}

fn finalize_namespace(state: &mut State, r: &Resource, name: &str, now: i64) {
    let inside: Vec<Place> = all(state).into_iter().filter(|(_, (ns, _), _)| ns == name).collect();
    for (key, (ns, n), _) in &inside {
        if let Some(r) = state.resource_of(key) {
            let options = DeleteOptions { propagation: Some("Background".into()), grace: Some(0), ..DeleteOptions::default() };
            let _ = mark(state, &r, ns, n, &options, now);
        }
    }
    let left = all(state).iter().filter(|(_, (ns, _), _)| ns == name).count();
    let Some(live) = state.get(r, "", name) else { return };
    if left == 0 && live["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
        state.take(r, "", name);
    } else if left > 0 {
        let message = format!("Some content in the namespace has finalizers remaining: {left} objects");
        let condition = json!({"type": "NamespaceFinalizersRemaining", "status": "True", "reason": "SomeFinalizersRemain",
            "message": message, "lastTransitionTime": rfc3339(now)});
        if live["status"]["conditions"][0]["message"] != condition["message"] {
            let mut o = (*live).clone();
            o["status"]["conditions"] = json!([condition]);
            state.put(r, o);
        }
    }
}
