//! Which resources a server has: one table for the built-in ones, and those that custom resource definitions add. What their
//! objects look like is in `schema`.

use std::sync::{Arc, LazyLock};

use serde_json::Value;

use crate::fieldset::FieldSet;
use crate::schema::{self, Schema};

/// When a write raises `metadata.generation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// The kind has none.
    Never,
    /// On a change of `spec`.
    Spec,
    /// On a change of `spec` or of annotations.
    SpecOrAnnotations,
    /// On a change of anything but metadata and status.
    Content,
}

/// Where a kind keeps what its scale subresource shows.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    pub(crate) spec: Vec<String>,
    pub(crate) status: Vec<String>,
    pub(crate) selector: Option<Vec<String>>,
}

/// One resource in one version.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) namespaced: bool,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) status: bool,
    pub(crate) scale: Option<Scale>,
    pub(crate) generation: Generation,
    pub(crate) create_on_update: bool,
    pub(crate) unconditional_update: bool,
    pub(crate) returns_deleted: bool,
    pub(crate) schema: Schema,
    /// The definition's schema, for the checks that only custom resources get.
    pub(crate) custom: Option<Arc<Value>>,
    /// What a write through the main door, and through the status door, resets.
    pub(crate) resets: FieldSet,
    pub(crate) status_resets: FieldSet,
}

impl Resource {
    /// `v1` or `group/version`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `deployments.apps`, as messages name it.
    pub(crate) fn qualified(&self) -> String {
        qualified(&self.plural, &self.group)
    }

    pub(crate) fn is_custom(&self) -> bool {
        self.custom.is_some()
    }

    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }
}

pub(crate) fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

/// group, version, plural, kind, short names, categories, flags: n namespaced, s status, g generation by spec, a by spec or annotations,
/// c by content, p creates on PUT, u refuses PUT without a version, d answers a delete with the object, x scale.
const TABLE: &str = "\
 |v1|namespaces|Namespace|ns||sd
 |v1|pods|Pod|po|all|nsgd
 |v1|services|Service|svc|all|nspd
 |v1|serviceaccounts|ServiceAccount|sa||nd
 |v1|configmaps|ConfigMap|cm||n
 |v1|secrets|Secret|||n
 |v1|persistentvolumes|PersistentVolume|pv||sd
 |v1|persistentvolumeclaims|PersistentVolumeClaim|pvc||nsd
 |v1|nodes|Node|no||s
 |v1|events|Event|ev||np
 |v1|endpoints|Endpoints|ep||np
 |v1|resourcequotas|ResourceQuota|quota||nsd
 |v1|limitranges|LimitRange|limits||np
 |v1|replicationcontrollers|ReplicationController|rc|all|nsgx
apps|v1|deployments|Deployment|deploy|all|nsax
apps|v1|statefulsets|StatefulSet|sts|all|nsgx
apps|v1|daemonsets|DaemonSet|ds|all|nsg
apps|v1|replicasets|ReplicaSet|rs|all|nsgx
apps|v1|controllerrevisions|ControllerRevision|||n
batch|v1|jobs|Job||all|nsg
batch|v1|cronjobs|CronJob|cj|all|nsg
networking.k8s.io|v1|ingresses|Ingress|ing||nsg
networking.k8s.io|v1|ingressclasses|IngressClass|||g
networking.k8s.io|v1|networkpolicies|NetworkPolicy|netpol||ng
rbac.authorization.k8s.io|v1|roles|Role|||np
rbac.authorization.k8s.io|v1|rolebindings|RoleBinding|||np
rbac.authorization.k8s.io|v1|clusterroles|ClusterRole|||p
rbac.authorization.k8s.io|v1|clusterrolebindings|ClusterRoleBinding|||p
policy|v1|poddisruptionbudgets|PodDisruptionBudget|pdb||nsgu
autoscaling|v2|horizontalpodautoscalers|HorizontalPodAutoscaler|hpa|all|ns
scheduling.k8s.io|v1|priorityclasses|PriorityClass|pc||c
storage.k8s.io|v1|storageclasses|StorageClass|sc||d
coordination.k8s.io|v1|leases|Lease|||npu
admissionregistration.k8s.io|v1|validatingwebhookconfigurations|ValidatingWebhookConfiguration||api-extensions|cu
admissionregistration.k8s.io|v1|mutatingwebhookconfigurations|MutatingWebhookConfiguration||api-extensions|cu
apiextensions.k8s.io|v1|customresourcedefinitions|CustomResourceDefinition|crd,crds|api-extensions|sgu
discovery.k8s.io|v1|endpointslices|EndpointSlice|||nc";

fn words(s: &str) -> Vec<String> {
    s.split(',').filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

fn path(s: &str) -> Vec<String> {
    s.trim_start_matches('.').split('.').map(str::to_owned).collect()
}

fn row(line: &str) -> Resource {
    let c: Vec<&str> = line.split('|').map(str::trim).collect();
    let [group, version, plural, kind, short, categories, flags] = c[..] else { unreachable!("seven columns in {line}") };
    let flag = |f: char| flags.contains(f);
    let resets = if flag('s') { FieldSet::of(&[&["status"]]) } else { FieldSet::default() };
    let status_resets = match plural {
        "deployments" => FieldSet::of(&[&["spec"], &["metadata", "labels"]]),
        "pods" => FieldSet::of(&[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]]),
        "customresourcedefinitions" => FieldSet::of(&[&["metadata"], &["spec"]]),
        _ => FieldSet::of(&[&["spec"]]),
    };
    Resource {
        group: group.into(),
        version: version.into(),
        plural: plural.into(),
        singular: kind.to_lowercase(),
        kind: kind.into(),
        list_kind: format!("{kind}List"),
        namespaced: flag('n'),
        short_names: words(short),
        categories: words(categories),
        status: flag('s'),
        scale: flag('x').then(|| Scale {
            spec: path("spec.replicas"),
            status: path("status.replicas"),
            selector: Some(path("spec.selector")),
        }),
        generation: match () {
            () if flag('g') => Generation::Spec,
            () if flag('a') => Generation::SpecOrAnnotations,
            () if flag('c') => Generation::Content,
            () => Generation::Never,
        },
        create_on_update: flag('p'),
        unconditional_update: !flag('u'),
        returns_deleted: flag('d'),
        schema: schema::builtin(group, version, kind).expect("every row of the table has a schema"),
        custom: None,
        resets,
        status_resets,
    }
}

/// The built-in resources, shared by all instances of a process.
pub(crate) fn builtin() -> &'static [Arc<Resource>] {
    static ROWS: LazyLock<Vec<Arc<Resource>>> = LazyLock::new(|| TABLE.lines().map(|l| Arc::new(row(l))).collect());
    &ROWS
}

/// The resources that a definition serves, one per served version.
pub(crate) fn of_definition(crd: &Value) -> Vec<Arc<Resource>> {
    let spec = &crd["spec"];
    let names = &spec["names"];
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let list = |v: &Value| v.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    let versions = spec["versions"].as_array().into_iter().flatten().filter(|v| v["served"] == true);
    versions
        .map(|v| {
            let open = v["schema"].get("openAPIV3Schema");
            let sub = &v["subresources"];
            let status = sub["status"].is_object();
            Arc::new(Resource {
                group: text(&spec["group"]),
                version: text(&v["name"]),
                plural: text(&names["plural"]),
                singular: text(&names["singular"]),
                kind: text(&names["kind"]),
                list_kind: text(&names["listKind"]),
                namespaced: spec["scope"] == "Namespaced",
                short_names: list(&names["shortNames"]),
                categories: list(&names["categories"]),
                status,
                scale: sub["scale"].is_object().then(|| Scale {
                    spec: path(&text(&sub["scale"]["specReplicasPath"])),
                    status: path(&text(&sub["scale"]["statusReplicasPath"])),
                    selector: sub["scale"]["labelSelectorPath"].as_str().map(path),
                }),
                generation: Generation::Content,
                create_on_update: false,
                unconditional_update: false,
                returns_deleted: false,
                schema: schema::custom(open),
                custom: Some(Arc::new(open.cloned().unwrap_or(Value::Null))),
                resets: if status { FieldSet::of(&[&["status"]]) } else { FieldSet::default() },
                status_resets: FieldSet::of(&[&["metadata"], &["spec"]]),
            })
        })
        .collect()
}
