//! Health of Kubernetes objects, one file per kind. A verdict is a function of the object alone; which objects matter, and what a bad one
//! holds up, is decided by `agent/plan`.
//!
//! Rules: Argo CD's and kstatus's where both agree (`gitops-engine/pkg/health`, `cli-utils/pkg/kstatus`); where they do not, the file says
//! which is taken and why.

mod api_service;
mod condition;
mod cron_job;
mod custom_resource_definition;
mod daemon_set;
mod deployment;
mod generic;
mod horizontal_pod_autoscaler;
mod job;
mod namespace;
mod persistent_volume_claim;
mod pod;
mod pod_disruption_budget;
mod replica_set;
mod service;
mod stateful_set;

use serde_json::Value;
use shared_model::{GroupKind, Health, Reason, Severity};

/// The health of one object, and why it is not healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The health.
    pub health: Health,
    /// Why; always there unless the health is Healthy.
    pub reason: Option<Reason>,
}

impl Verdict {
    /// Healthy.
    pub const HEALTHY: Self = Self { health: Health::Healthy, reason: None };

    fn new(health: Health, code: &str, message: impl Into<String>) -> Self {
        let severity = match health {
            Health::Degraded | Health::Missing | Health::Unknown => Severity::Error,
            Health::Healthy | Health::Suspended | Health::Progressing | Health::Waiting => Severity::Wait,
        };
        Self { health, reason: Some(Reason::new(severity, code, message)) }
    }

    fn progressing(code: &str, message: impl Into<String>) -> Self {
        Self::new(Health::Progressing, code, message)
    }

    fn degraded(code: &str, message: impl Into<String>) -> Self {
        Self::new(Health::Degraded, code, message)
    }

    fn suspended(code: &str, message: impl Into<String>) -> Self {
        Self::new(Health::Suspended, code, message)
    }
}

type Rule = fn(&Value) -> Verdict;

/// The rule of a kind: `None` if objects of the kind are healthy by existing.
fn rule(kind: &GroupKind) -> Option<Rule> {
    Some(match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment") => deployment::assess,
        ("apps", "StatefulSet") => stateful_set::assess,
        ("apps", "DaemonSet") => daemon_set::assess,
        ("apps", "ReplicaSet") => replica_set::assess,
        ("batch", "Job") => job::assess,
        ("batch", "CronJob") => cron_job::assess,
        ("", "Pod") => pod::assess,
        ("", "Namespace") => namespace::assess,
        ("", "PersistentVolumeClaim") => persistent_volume_claim::assess,
        ("", "Service") => service::assess,
        ("autoscaling", "HorizontalPodAutoscaler") => horizontal_pod_autoscaler::assess,
        ("policy", "PodDisruptionBudget") => pod_disruption_budget::assess,
        ("apiregistration.k8s.io", "APIService") => api_service::assess,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => custom_resource_definition::assess,
        (
            ""
            | "rbac.authorization.k8s.io"
            | "networking.k8s.io"
            | "storage.k8s.io"
            | "scheduling.k8s.io"
            | "node.k8s.io"
            | "coordination.k8s.io"
            | "admissionregistration.k8s.io"
            | "discovery.k8s.io"
            | "policy",
            _,
        ) => return None,
        _ => generic::assess,
    })
}

/// Whether the health of this kind can only be told from the object's body. Objects of the other kinds can be watched by metadata alone.
pub fn needs_body(kind: &GroupKind) -> bool {
    rule(kind).is_some()
}

/// The health of `object`. An object that is being deleted is on its way, whatever its kind.
pub fn assess(object: &Value) -> Verdict {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let kind = GroupKind::of(text("apiVersion"), text("kind"));
    if let Some(since) = object.pointer("/metadata/deletionTimestamp").and_then(Value::as_str) {
        return Verdict::progressing("Deleting", format!("is being deleted since {since}{}", held_by_finalizers(object)));
    }
    rule(&kind).map_or(Verdict::HEALTHY, |rule| rule(object))
}

fn held_by_finalizers(object: &Value) -> String {
    let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let names: Vec<&str> = finalizers.iter().filter_map(Value::as_str).collect();
    if names.is_empty() { String::new() } else { format!(", held by the finalizers {}", names.join(", ")) }
}

/// The integer at `pointer`, or `default` if there is none.
fn integer(object: &Value, pointer: &str, default: i64) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(default)
}

/// Whether the kind's controller has seen the newest spec; `Some` verdict if it has not.
fn behind_generation(object: &Value) -> Option<Verdict> {
    let generation = integer(object, "/metadata/generation", 0);
    let observed = integer(object, "/status/observedGeneration", 0);
    (observed < generation).then(|| {
        let seen = format!("its controller has seen generation {observed} of {generation}");
        Verdict::progressing("NotObserved", seen)
    })
}
