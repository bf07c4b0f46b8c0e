//! The kinds that situations speak of, by their short names: `Deployment api` is enough to find the object and its path.

use std::collections::BTreeMap;

use serde_json::Value;
use shared_model::{GroupKind, ObjectKey};

/// kind, apiVersion, plural, and whether it lives in namespaces.
const BUILT_IN: [(&str, &str, &str, bool); 31] = [
    ("ClusterRole", "rbac.authorization.k8s.io/v1", "clusterroles", false),
    ("ClusterRoleBinding", "rbac.authorization.k8s.io/v1", "clusterrolebindings", false),
    ("ConfigMap", "v1", "configmaps", true),
    ("CronJob", "batch/v1", "cronjobs", true),
    ("CustomResourceDefinition", "apiextensions.k8s.io/v1", "customresourcedefinitions", false),
    ("DaemonSet", "apps/v1", "daemonsets", true),
    ("Deployment", "apps/v1", "deployments", true),
    ("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers", true),
    ("Ingress", "networking.k8s.io/v1", "ingresses", true),
    ("IngressClass", "networking.k8s.io/v1", "ingressclasses", false),
    ("Job", "batch/v1", "jobs", true),
    ("LimitRange", "v1", "limitranges", true),
    ("MutatingWebhookConfiguration", "admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", false),
    ("Namespace", "v1", "namespaces", false),
    ("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies", true),
    ("PersistentVolume", "v1", "persistentvolumes", false),
    ("PersistentVolumeClaim", "v1", "persistentvolumeclaims", true),
    ("Pod", "v1", "pods", true),
    ("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets", true),
    ("PriorityClass", "scheduling.k8s.io/v1", "priorityclasses", false),
    ("ReplicaSet", "apps/v1", "replicasets", true),
    ("ResourceQuota", "v1", "resourcequotas", true),
    ("Role", "rbac.authorization.k8s.io/v1", "roles", true),
    ("RoleBinding", "rbac.authorization.k8s.io/v1", "rolebindings", true),
    ("Secret", "v1", "secrets", true),
    ("Service", "v1", "services", true),
    ("ServiceAccount", "v1", "serviceaccounts", true),
    ("StatefulSet", "apps/v1", "statefulsets", true),
    ("StorageClass", "storage.k8s.io/v1", "storageclasses", false),
    ("ValidatingWebhookConfiguration", "admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", false),
    ("Lease", "coordination.k8s.io/v1", "leases", true),
];

/// What is known of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    api_version: String,
    plural: String,
    namespaced: bool,
}

/// The kinds of one situation, its own definitions included, and the namespace that objects without one are in.
#[derive(Debug, Clone)]
pub struct Kinds {
    known: BTreeMap<String, Kind>,
    namespace: String,
}

/// An object that a situation speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its key.
    pub key: ObjectKey,
    /// The path of its kind's objects in its namespace.
    pub collection: String,
    /// Its path.
    pub path: String,
}

impl Kinds {
    /// The built-in kinds, and those of the definitions anywhere inside of `document`.
    pub fn new(namespace: &str, document: &Value) -> Self {
        let known = BUILT_IN.iter().map(|(kind, api_version, plural, namespaced)| {
            let known = Kind { api_version: (*api_version).to_owned(), plural: (*plural).to_owned(), namespaced: *namespaced };
            ((*kind).to_owned(), known)
        });
        let mut kinds = Self { known: known.collect(), namespace: namespace.to_owned() };
        kinds.learn(document);
        kinds
    }

    fn learn(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            Value::Object(fields) => {
                if fields.get("kind").and_then(Value::as_str) == Some("CustomResourceDefinition") {
                    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
                    let kind = Kind {
                        api_version: format!("{}/{}", text("/spec/group"), text("/spec/versions/0/name")),
                        plural: text("/spec/names/plural"),
                        namespaced: text("/spec/scope") == "Namespaced",
                    };
                    self.known.insert(text("/spec/names/kind"), kind);
                }
                fields.values().for_each(|field| self.learn(field));
            }
            _ => {}
        }
    }

    /// `ConfigMap settings`, or `ConfigMap other-namespace/settings`.
    ///
    /// # Errors
    /// It is not of that form, or its kind is not known.
    pub fn subject(&self, text: &str) -> Result<Subject, String> {
        let (kind_name, place) = text.split_once(' ').ok_or_else(|| format!("{text:?} is not `Kind name`"))?;
        let kind = self.known.get(kind_name).ok_or_else(|| format!("the kind {kind_name} is not known here"))?;
        let (namespace, name) = place.split_once('/').map_or((self.namespace.as_str(), place), |(namespace, name)| (namespace, name));
        let namespace = kind.namespaced.then_some(namespace);
        let root = if kind.api_version.contains('/') { "apis" } else { "api" };
        let middle = namespace.map(|namespace| format!("namespaces/{namespace}/")).unwrap_or_default();
        let collection = format!("/{root}/{}/{middle}{}", kind.api_version, kind.plural);
        let key = ObjectKey::new(GroupKind::of(&kind.api_version, kind_name), namespace, name);
        Ok(Subject { path: format!("{collection}/{name}"), collection, key })
    }

    /// The subject that a manifest describes.
    ///
    /// # Errors
    /// It has no kind or name, or its kind is not known.
    pub fn subject_of(&self, manifest: &Value) -> Result<Subject, String> {
        let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
        let (kind, name) = text("/kind").zip(text("/metadata/name")).ok_or_else(|| format!("{manifest} has no kind and name"))?;
        let place = text("/metadata/namespace").map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"));
        self.subject(&format!("{kind} {place}"))
    }

    /// Fills in `apiVersion` and `metadata.namespace` where a manifest leaves them out.
    ///
    /// # Errors
    /// It is no object with a kind, or an unknown one that names no `apiVersion`.
    pub fn complete(&self, mut manifest: Value) -> Result<Value, String> {
        let kind_name = manifest.get("kind").and_then(Value::as_str).ok_or_else(|| format!("{manifest} has no kind"))?.to_owned();
        let Some(kind) = self.known.get(&kind_name) else {
            // A kind that nothing here defines: the situation is about just that.
            let has_version = manifest.get("apiVersion").is_some();
            return if has_version { Ok(manifest) } else { Err(format!("the kind {kind_name} is not known here")) };
        };
        if manifest.get("apiVersion").is_none() {
            manifest["apiVersion"] = Value::String(kind.api_version.clone());
        }
        if kind.namespaced && manifest.pointer("/metadata/namespace").is_none() {
            manifest["metadata"]["namespace"] = Value::String(self.namespace.clone());
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_subject_is_found_by_kind_and_name_and_so_is_one_that_the_situation_defines() {
        let definition = json!([{"kind": "CustomResourceDefinition", "metadata": {"name": "widgets.a.example.com"}, "spec": {
            "group": "a.example.com", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"}, "versions": [{"name": "v1"}]}}]);
        let kinds = Kinds::new("web", &definition);
        let path = |text: &str| kinds.subject(text).map(|subject| subject.path);
        assert_eq!(path("Deployment api").as_deref(), Ok("/apis/apps/v1/namespaces/web/deployments/api"));
        assert_eq!(path("ConfigMap other/a").as_deref(), Ok("/api/v1/namespaces/other/configmaps/a"));
        assert_eq!(path("Namespace web").as_deref(), Ok("/api/v1/namespaces/web"));
        assert_eq!(path("Widget w").as_deref(), Ok("/apis/a.example.com/v1/namespaces/web/widgets/w"));
        assert!(path("Gadget g").is_err() && path("Deployment").is_err());
        let completed = kinds.complete(json!({"kind": "Widget", "metadata": {"name": "w"}}));
        assert_eq!(
            completed,
            Ok(json!({"apiVersion": "a.example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "web"}}))
        );
    }
}
