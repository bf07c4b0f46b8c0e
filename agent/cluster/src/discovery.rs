//! Which kinds the API server serves: aggregated discovery, two requests for the whole cluster. A group that is stale or missing from the
//! answer of a failing server is unknown and never "not served".

use std::collections::{BTreeMap, BTreeSet};

use agent_plan::KindState;
use serde_json::Value;
use shared_model::{GroupKind, Reason, Scope, Severity};
use shared_session::API_VERSION_LIMIT;

/// How one kind is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// API group.
    pub group: String,
    /// Version, without the group.
    pub version: String,
    /// The resource's name in paths.
    pub plural: String,
    /// Kind.
    pub kind: String,
    /// Whether its objects live in namespaces.
    pub scope: Scope,
    /// It can be listed and watched.
    pub watchable: bool,
}

/// What the API server serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovery {
    resources: BTreeMap<GroupKind, Vec<Resource>>,
    stale_groups: BTreeSet<String>,
}

impl Discovery {
    /// How to reach `kind` in `version`, or in the server's preferred version if that one is not served.
    pub fn resource(&self, kind: &GroupKind, version: &str) -> Option<&Resource> {
        let versions = self.resources.get(kind)?;
        versions.iter().find(|resource| resource.version == version).or_else(|| versions.first())
    }

    /// What is known of `kind`.
    pub fn state(&self, kind: &GroupKind) -> KindState {
        match self.resources.get(kind).and_then(|versions| versions.first()) {
            Some(resource) => KindState::Served(resource.scope),
            None if self.stale_groups.contains(&kind.group) => KindState::Unknown(Reason::new(
                Severity::Error,
                "GroupUnavailable",
                format!("the API group {} answers errors; nothing is concluded about its objects", kind.group),
            )),
            None => KindState::NotServed,
        }
    }

    /// Everything served, as charts ask for it: `group/version`, and with the kind, `apps/v1/Deployment` (Helm's `GetVersionSet`). Of more than can
    /// be reported, kinds are left out. `None` while a group cannot be read: what is unreadable must not look absent to a chart.
    pub fn api_versions(&self) -> Option<BTreeSet<String>> {
        if !self.stale_groups.is_empty() {
            return None;
        }
        let version = |r: &Resource| if r.group.is_empty() { r.version.clone() } else { format!("{}/{}", r.group, r.version) };
        let mut names: BTreeSet<String> = self.resources.values().flatten().map(version).collect();
        let kinds = self.resources.values().flatten().map(|resource| format!("{}/{}", version(resource), resource.kind));
        let room = API_VERSION_LIMIT.saturating_sub(names.len());
        names.extend(kinds.take(room));
        Some(names)
    }

    /// Adds one answer of `/api` or `/apis` (`APIGroupDiscoveryList`, apidiscovery.k8s.io/v2).
    pub(crate) fn add(&mut self, answer: &Value) {
        for group in list(answer, "items") {
            let name = group.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            for version in list(group, "versions") {
                if text(version, "freshness") == "Stale" {
                    self.stale_groups.insert(name.to_owned());
                }
                for resource in list(version, "resources") {
                    self.add_resource(name, text(version, "version"), resource);
                }
            }
        }
    }

    fn add_resource(&mut self, group: &str, version: &str, resource: &Value) {
        let Some(kind) = resource.pointer("/responseKind/kind").and_then(Value::as_str) else { return };
        let verbs: Vec<&str> = list(resource, "verbs").filter_map(Value::as_str).collect();
        let scope = if text(resource, "scope") == "Namespaced" { Scope::Namespaced } else { Scope::Cluster };
        let resource = Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: text(resource, "resource").to_owned(),
            kind: kind.to_owned(),
            scope,
            watchable: verbs.contains(&"list") && verbs.contains(&"watch"),
        };
        self.resources.entry(GroupKind::new(group, kind)).or_default().push(resource);
    }
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn charts_are_told_versions_and_kinds() {
        let mut discovery = Discovery::default();
        let kind = |plural: &str, kind: &str| json!({"resource": plural, "responseKind": {"kind": kind}, "scope": "Namespaced", "verbs": ["list"]});
        let groups = [("", "v1", kind("pods", "Pod")), ("apps", "v1", kind("deployments", "Deployment"))];
        let groups = groups.map(|(group, version, resource)| {
            json!({"metadata": {"name": group}, "versions": [{"version": version, "freshness": "Current", "resources": [resource]}]})
        });
        discovery.add(&json!({"items": groups}));
        let names: Vec<String> = discovery.api_versions().expect("all can be read").into_iter().collect();
        assert_eq!(names, ["apps/v1", "apps/v1/Deployment", "v1", "v1/Pod"]);
    }

    #[test]
    fn a_stale_group_is_unknown_and_a_missing_kind_is_not_served() {
        let mut discovery = Discovery::default();
        discovery.add(&json!({"items": [
            {"metadata": {"name": "apps"}, "versions": [{"version": "v1", "freshness": "Current", "resources": [
                {"resource": "deployments", "responseKind": {"kind": "Deployment"}, "scope": "Namespaced", "verbs": ["list", "watch", "patch"]}]}]},
            {"metadata": {"name": "metrics.k8s.io"}, "versions": [{"version": "v1beta1", "freshness": "Stale"}]}]}));
        assert_eq!(discovery.state(&GroupKind::new("apps", "Deployment")), KindState::Served(Scope::Namespaced));
        assert_eq!(discovery.state(&GroupKind::new("apps", "Gadget")), KindState::NotServed);
        assert!(matches!(discovery.state(&GroupKind::new("metrics.k8s.io", "PodMetrics")), KindState::Unknown(_)));
        assert_eq!(discovery.api_versions(), None);
        let deployments = discovery.resource(&GroupKind::new("apps", "Deployment"), "v1beta1").expect("served");
        assert_eq!((deployments.version.as_str(), deployments.watchable), ("v1", true));
    }
}
