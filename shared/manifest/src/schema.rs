//! What is known about the built-in Kubernetes kinds without asking a cluster: their scope, how server-side apply merges their lists, and where
//! the API server changes how a value is written. Taken from the `+listType`, `+listMapKey` and pointer types of Kubernetes 1.36 (`api/openapi-spec`, `k8s.io/api`). Custom kinds
//! are unknown here; strategic-merge keys are left to the kustomize engine.

use serde_json::Value;
use shared_model::{GroupKind, Scope};

use crate::path::Step;
use ListKind::{Map, Set};

/// How the elements of a list belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// One value: whoever sets it sets all of it.
    Atomic,
    /// Scalars without order; each has its own owner.
    Set,
    /// Maps, each known by these fields.
    Map(&'static [&'static str]),
}

/// The kind of the list at `path` (its fields; list steps between them are skipped). A list that the table does not name is atomic, as it is
/// to the API server.
pub fn list_kind(kind: &GroupKind, path: &[Step]) -> ListKind {
    let fields = fields_of(path);
    let built_in = scope_of(kind).is_some();
    match fields.as_slice() {
        ["metadata", list] => return metadata_list(list),
        [.., "metadata", list] if built_in => return metadata_list(list),
        ["status", "conditions"] if built_in && !(kind.group == "batch" && kind.kind == "Job") => return Map(&["type"]),
        _ => {}
    }
    if let Some(prefix) = pod_template(kind)
        && let Some(["spec", rest @ ..]) = fields.strip_prefix(prefix)
    {
        return match rest {
            ["containers" | "initContainers" | "ephemeralContainers", rest @ ..] if !rest.is_empty() => lookup(CONTAINER_LISTS, rest),
            rest => lookup(POD_LISTS, rest),
        };
    }
    kind_list(kind, &fields)
}

fn kind_list(kind: &GroupKind, fields: &[&str]) -> ListKind {
    KIND_LISTS
        .iter()
        .filter(|(group, name, _, _)| *group == kind.group && *name == kind.kind)
        .find(|(_, _, path, _)| path.split('.').eq(fields.iter().copied()))
        .map_or(ListKind::Atomic, |(_, _, _, list)| *list)
}

/// Whether objects of a built-in kind live in a namespace; `None` for kinds that are not built in.
pub fn scope_of(kind: &GroupKind) -> Option<Scope> {
    let find = |table: &[(&str, &[&str])]| table.iter().any(|(group, kinds)| *group == kind.group && kinds.contains(&kind.kind.as_str()));
    if find(NAMESPACED) {
        Some(Scope::Namespaced)
    } else if find(CLUSTER) {
        Some(Scope::Cluster)
    } else {
        None
    }
}

/// The value that the API server puts for a merge key that is left out.
pub(crate) fn default_of_key(key: &str) -> Option<Value> {
    (key == "protocol").then(|| Value::from("TCP"))
}

/// Whether the field at `path` of a built-in kind is a quantity, which the API server spells anew.
pub(crate) fn is_quantity(kind: &GroupKind, path: &[Step]) -> bool {
    if kind.group == "apiextensions.k8s.io" {
        return false;
    }
    match fields_of(path).as_slice() {
        [.., "sizeLimit" | "divisor" | "averageValue" | "targetAverageValue" | "targetValue"] => true,
        [.., "target", "value"] => kind.kind == "HorizontalPodAutoscaler",
        [.., "limits" | "requests" | "hard" | "capacity" | "podFixed" | "allocatedResources", _] => true,
        ["spec", "limits", "default" | "defaultRequest" | "max" | "min" | "maxLimitRequestRatio", _] => kind.kind == "LimitRange",
        ["capacity" | "maximumVolumeSize"] => kind.kind == "CSIStorageCapacity",
        _ => false,
    }
}

/// Whether `wanted` at `path` of a built-in kind may be absent after the API server has stored it: empty text and lists everywhere, empty maps of
/// free keys, and zeros of fields that are no pointers in `k8s.io/api`. Entries of free maps are kept as they are.
pub(crate) fn stored_as_absent(path: &[Step], wanted: &Value) -> bool {
    let fields = fields_of(path);
    let (parent, field) = match fields.as_slice() {
        [.., parent, field] => (*parent, *field),
        [field] => ("", *field),
        [] => return false,
    };
    if FREE_MAPS.contains(&parent) && !matches!(path.last(), Some(Step::Index(_))) && !FREE_MAPS.contains(&field) {
        return false;
    }
    match wanted {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty() && FREE_MAPS.contains(&field),
        Value::Bool(claim) => !claim && PLAIN_FIELDS.contains(&field),
        Value::Number(number) => number.as_f64() == Some(0.0) && (PLAIN_FIELDS.contains(&field) || DEFAULTED_PLAIN_FIELDS.contains(&field)),
    }
}

/// Whether a zero or empty `wanted` at `path` of a built-in kind asks the API server to choose.
pub(crate) fn leaves_choice(path: &[Step], wanted: &Value) -> bool {
    match (fields_of(path).last(), wanted) {
        (Some(field), Value::Number(number)) => number.as_f64() == Some(0.0) && DEFAULTED_PLAIN_FIELDS.contains(field),
        (
            Some(&("clusterIP" | "type" | "terminationMessagePath" | "terminationMessagePolicy" | "imagePullPolicy")),
            Value::String(text),
        ) => text.is_empty(),
        _ => false,
    }
}

/// Whether the API server may have added `live` at `path` inside an element of an atomic list of a built-in kind.
pub(crate) fn is_server_default(kind: &GroupKind, path: &[Step], live: &Value) -> bool {
    let empty = match live {
        Value::Null => true,
        Value::Bool(claim) => !claim,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    };
    let fields = fields_of(path);
    let Some(field) = fields.last() else { return empty };
    empty
        || ELEMENT_DEFAULTS.iter().any(|(name, text)| name == field && live.as_str() == Some(text))
        || match *field {
            "status" => fields.contains(&"volumeClaimTemplates"),
            "default" | "defaultRequest" => kind.kind == "LimitRange",
            "expirationSeconds" => live.as_u64() == Some(3600),
            "count" => kind.group == "resource.k8s.io" && live.as_u64() == Some(1),
            _ => false,
        }
}

fn fields_of(path: &[Step]) -> Vec<&str> {
    path.iter().filter_map(|step| if let Step::Field(name) = step { Some(name.as_str()) } else { None }).collect()
}

fn lookup(table: &[(&str, ListKind)], fields: &[&str]) -> ListKind {
    table.iter().find(|(path, _)| path.split('.').eq(fields.iter().copied())).map_or(ListKind::Atomic, |(_, list)| *list)
}

fn metadata_list(field: &str) -> ListKind {
    match field {
        "finalizers" => Set,
        "ownerReferences" => Map(&["uid"]),
        _ => ListKind::Atomic,
    }
}

/// Where the `spec` of pods is in a kind, without the `spec` itself.
fn pod_template(kind: &GroupKind) -> Option<&'static [&'static str]> {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => Some(&[]),
        ("", "PodTemplate") => Some(&["template"]),
        ("", "ReplicationController") | ("apps", "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet") | ("batch", "Job") => {
            Some(&["spec", "template"])
        }
        ("batch", "CronJob") => Some(&["spec", "jobTemplate", "spec", "template"]),
        _ => None,
    }
}

/// Lists of a pod's `spec`; containers below.
const POD_LISTS: &[(&str, ListKind)] = &[
    ("containers", Map(&["name"])),
    ("initContainers", Map(&["name"])),
    ("ephemeralContainers", Map(&["name"])),
    ("volumes", Map(&["name"])),
    ("imagePullSecrets", Map(&["name"])),
    ("hostAliases", Map(&["ip"])),
    ("topologySpreadConstraints", Map(&["topologyKey", "whenUnsatisfiable"])),
    ("schedulingGates", Map(&["name"])),
    ("resourceClaims", Map(&["name"])),
    ("resources.claims", Map(&["name"])),
];

/// Lists of a container.
const CONTAINER_LISTS: &[(&str, ListKind)] = &[
    ("ports", Map(&["containerPort", "protocol"])),
    ("env", Map(&["name"])),
    ("volumeMounts", Map(&["mountPath"])),
    ("volumeDevices", Map(&["devicePath"])),
    ("resources.claims", Map(&["name"])),
];

/// Lists outside pods that are not atomic: group, kind, fields, list kind.
const KIND_LISTS: &[(&str, &str, &str, ListKind)] = &[
    ("", "Service", "spec.ports", Map(&["port", "protocol"])),
    ("", "ServiceAccount", "secrets", Map(&["name"])),
    ("", "Node", "spec.podCIDRs", Set),
    ("", "Node", "status.addresses", Map(&["type"])),
    ("", "ComponentStatus", "conditions", Map(&["type"])),
    ("", "Pod", "status.podIPs", Map(&["ip"])),
    ("", "Pod", "status.resourceClaimStatuses", Map(&["name"])),
    ("", "Pod", "status.resources.claims", Map(&["name"])),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration", "webhooks", Map(&["name"])),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration", "webhooks.matchConditions", Map(&["name"])),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "webhooks", Map(&["name"])),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "webhooks.matchConditions", Map(&["name"])),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", "spec.matchConditions", Map(&["name"])),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", "spec.variables", Map(&["name"])),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", "spec.validationActions", Set),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy", "spec.matchConditions", Map(&["name"])),
    ("batch", "Job", "status.uncountedTerminatedPods.failed", Set),
    ("batch", "Job", "status.uncountedTerminatedPods.succeeded", Set),
    ("internal.apiserver.k8s.io", "StorageVersion", "status.storageVersions", Map(&["apiServerID"])),
    ("internal.apiserver.k8s.io", "StorageVersion", "status.storageVersions.decodableVersions", Set),
    ("internal.apiserver.k8s.io", "StorageVersion", "status.storageVersions.servedVersions", Set),
    ("resource.k8s.io", "ResourceClaim", "status.devices", Map(&["driver", "device", "pool", "shareID"])),
    ("resource.k8s.io", "ResourceClaim", "status.devices.conditions", Map(&["type"])),
    ("resource.k8s.io", "ResourceClaim", "status.reservedFor", Map(&["uid"])),
    ("scheduling.k8s.io", "PodGroup", "spec.resourceClaims", Map(&["name"])),
    ("scheduling.k8s.io", "PodGroup", "status.resourceClaimStatuses", Map(&["name"])),
    ("scheduling.k8s.io", "Workload", "spec.podGroupTemplates", Map(&["name"])),
    ("scheduling.k8s.io", "Workload", "spec.podGroupTemplates.resourceClaims", Map(&["name"])),
    ("storage.k8s.io", "CSIDriver", "spec.volumeLifecycleModes", Set),
    ("storage.k8s.io", "CSINode", "spec.drivers", Map(&["name"])),
];

const NAMESPACED: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "Binding",
            "ConfigMap",
            "Endpoints",
            "Event",
            "LimitRange",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
        ],
    ),
    ("apps", &["ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"]),
    ("authentication.k8s.io", &["TokenRequest"]),
    ("authorization.k8s.io", &["LocalSubjectAccessReview"]),
    ("autoscaling", &["HorizontalPodAutoscaler", "Scale"]),
    ("batch", &["CronJob", "Job"]),
    ("certificates.k8s.io", &["PodCertificateRequest"]),
    ("coordination.k8s.io", &["Lease", "LeaseCandidate"]),
    ("discovery.k8s.io", &["EndpointSlice"]),
    ("events.k8s.io", &["Event"]),
    ("networking.k8s.io", &["Ingress", "NetworkPolicy"]),
    ("policy", &["Eviction", "PodDisruptionBudget"]),
    ("rbac.authorization.k8s.io", &["Role", "RoleBinding"]),
    ("resource.k8s.io", &["ResourceClaim", "ResourceClaimTemplate"]),
    ("scheduling.k8s.io", &["PodGroup", "Workload"]),
    ("storage.k8s.io", &["CSIStorageCapacity"]),
];

const CLUSTER: &[(&str, &[&str])] = &[
    ("", &["ComponentStatus", "Namespace", "Node", "PersistentVolume"]),
    (
        "admissionregistration.k8s.io",
        &[
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ],
    ),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["APIService"]),
    ("authentication.k8s.io", &["SelfSubjectReview", "TokenReview"]),
    ("authorization.k8s.io", &["SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview"]),
    ("certificates.k8s.io", &["CertificateSigningRequest", "ClusterTrustBundle"]),
    ("flowcontrol.apiserver.k8s.io", &["FlowSchema", "PriorityLevelConfiguration"]),
    ("internal.apiserver.k8s.io", &["StorageVersion"]),
    ("networking.k8s.io", &["IPAddress", "IngressClass", "ServiceCIDR"]),
    ("node.k8s.io", &["RuntimeClass"]),
    ("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding"]),
    ("resource.k8s.io", &["DeviceClass", "DeviceTaintRule", "ResourcePoolStatusRequest", "ResourceSlice"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    ("storage.k8s.io", &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"]),
    ("storagemigration.k8s.io", &["StorageVersionMigration"]),
];

/// Maps whose keys are free: the API server keeps empty values in them, and leaves out the map when it is empty.
const FREE_MAPS: &[&str] = &[
    "labels",
    "annotations",
    "matchLabels",
    "nodeSelector",
    "data",
    "binaryData",
    "limits",
    "requests",
    "hard",
    "capacity",
    "podFixed",
    "parameters",
    "volumeAttributes",
    "default",
    "defaultRequest",
    "max",
    "min",
];

/// Fields that are no pointers in `k8s.io/api` and left out when zero: absent and zero are the same object. Fields that are pointers there (as
/// `automountServiceAccountToken`, `runAsUser`, `replicas`) are not here, for their absence means something else than zero.
const PLAIN_FIELDS: &[&str] = &[
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "hostPort",
    "stdin",
    "stdinOnce",
    "tty",
    "readOnly",
    "paused",
    "publishNotReadyAddresses",
    "unschedulable",
    "globalDefault",
    "initialDelaySeconds",
    "minReadySeconds",
    "nodePort",
    "healthCheckNodePort",
    "insecureSkipTLSVerify",
    "nullable",
    "uniqueItems",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "preserveUnknownFields",
    "deprecated",
    "priority",
];

/// As [`PLAIN_FIELDS`], but the API server replaces their zero by a default.
const DEFAULTED_PLAIN_FIELDS: &[&str] = &["timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];

/// Text that the API server adds inside elements of atomic lists: ports of network policies and slices, claim templates of StatefulSets, field
/// references of volumes, rules of webhooks, subjects of role bindings, pod conditions of failure policies, device requests.
const ELEMENT_DEFAULTS: &[(&str, &str)] = &[
    ("protocol", "TCP"),
    ("volumeMode", "Filesystem"),
    ("apiVersion", "v1"),
    ("kind", "PersistentVolumeClaim"),
    ("divisor", "0"),
    ("scope", "*"),
    ("apiGroup", "rbac.authorization.k8s.io"),
    ("status", "True"),
    ("allocationMode", "ExactCount"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::FieldPath;

    fn list(api_version: &str, kind: &str, path: &str) -> ListKind {
        list_kind(&GroupKind::of(api_version, kind), &FieldPath::of(path.split('.')))
    }

    #[test]
    fn lists_merge_as_server_side_apply_merges_them() {
        for (api_version, kind, path, expected) in [
            ("apps/v1", "Deployment", "spec.template.spec.containers", Map(&["name"])),
            ("apps/v1", "Deployment", "spec.template.spec.containers.env", Map(&["name"])),
            ("apps/v1", "Deployment", "spec.template.spec.containers.envFrom", ListKind::Atomic),
            ("apps/v1", "Deployment", "spec.template.spec.containers.args", ListKind::Atomic),
            ("apps/v1", "Deployment", "spec.template.spec.tolerations", ListKind::Atomic),
            ("apps/v1", "Deployment", "spec.template.metadata.finalizers", Set),
            ("apps/v1", "StatefulSet", "spec.volumeClaimTemplates", ListKind::Atomic),
            ("batch/v1", "CronJob", "spec.jobTemplate.spec.template.spec.initContainers.volumeMounts", Map(&["mountPath"])),
            ("v1", "Pod", "spec.containers.ports", Map(&["containerPort", "protocol"])),
            ("v1", "Pod", "spec.imagePullSecrets", Map(&["name"])),
            ("v1", "ServiceAccount", "imagePullSecrets", ListKind::Atomic),
            ("v1", "ServiceAccount", "secrets", Map(&["name"])),
            ("v1", "Service", "spec.ports", Map(&["port", "protocol"])),
            ("v1", "Service", "metadata.finalizers", Set),
            ("apps/v1", "Deployment", "status.conditions", Map(&["type"])),
            ("x.io/v1", "Custom", "spec.template.spec.containers", ListKind::Atomic),
            ("x.io/v1", "Custom", "metadata.ownerReferences", Map(&["uid"])),
            ("x.io/v1", "Custom", "status.conditions", ListKind::Atomic),
            ("x.io/v1", "Deployment", "spec.template.spec.containers", ListKind::Atomic),
        ] {
            assert_eq!(list(api_version, kind, path), expected, "{kind} {path}");
        }
    }

    #[test]
    fn scopes_of_built_in_kinds_are_known_and_of_others_not() {
        let scope = |api_version, kind: &str| scope_of(&GroupKind::of(api_version, kind));
        assert_eq!(scope("v1", "Pod"), Some(Scope::Namespaced));
        assert_eq!(scope("v1", "Namespace"), Some(Scope::Cluster));
        assert_eq!(scope("rbac.authorization.k8s.io/v1", "ClusterRole"), Some(Scope::Cluster));
        assert_eq!(scope("autoscaling/v2", "HorizontalPodAutoscaler"), Some(Scope::Namespaced));
        assert_eq!(scope("x.io/v1", "Pod"), None);
    }
}
