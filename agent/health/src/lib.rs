//! Health of Kubernetes objects, one file per kind. A verdict is a function of the object alone; which objects matter, and what a bad one
//! holds up, is decided by `agent/plan`.
//!
//! Rules: Argo CD's and kstatus's where both agree (`gitops-engine/pkg/health`, `cli-utils/pkg/kstatus`); where they do not, the file says
//! which is taken and why.

mod api_service;
mod argo_application;
mod argo_rollout;
mod argo_workflow;
mod canary;
mod cert_manager;
mod condition;
mod cron_job;
mod custom_resource_definition;
mod daemon_set;
mod deployment;
mod flux;
mod gateway;
mod generic;
mod horizontal_pod_autoscaler;
mod inference_service;
mod job;
mod job_set;
mod knative;
mod kueue;
mod leader_worker_set;
mod llm_inference_service;
mod namespace;
mod notebook;
mod nvidia;
mod persistent_volume_claim;
mod pod;
mod pod_disruption_budget;
mod queue;
mod ray_cluster;
mod ray_job;
mod ray_service;
mod replica_set;
mod sealed_secret;
mod service;
mod stateful_set;
mod train_job;
mod training_job;
mod volcano;

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
        ("cert-manager.io", "Certificate") => cert_manager::certificate,
        ("cert-manager.io", "Issuer" | "ClusterIssuer") => cert_manager::issuer,
        ("gateway.networking.k8s.io", "GatewayClass") => gateway::class,
        ("gateway.networking.k8s.io", "Gateway") => gateway::gateway,
        ("gateway.networking.k8s.io", "HTTPRoute" | "GRPCRoute" | "TLSRoute" | "TCPRoute" | "UDPRoute") => gateway::route,
        ("serving.knative.dev" | "eventing.knative.dev" | "messaging.knative.dev" | "sources.knative.dev", _) => knative::assess,
        ("argoproj.io", "Workflow") => argo_workflow::workflow,
        ("argoproj.io", "CronWorkflow") => argo_workflow::cron,
        ("argoproj.io", "Rollout") => argo_rollout::rollout,
        ("argoproj.io", "AnalysisRun" | "Experiment") => argo_rollout::analysis,
        ("argoproj.io", "Application") => argo_application::assess,
        (group, _) if group.ends_with(".toolkit.fluxcd.io") => flux::assess,
        ("flagger.app", "Canary") => canary::assess,
        ("bitnami.com", "SealedSecret") => sealed_secret::assess,
        ("external-secrets.io", _) => condition::ready_or_degraded,
        ("serving.kserve.io", "InferenceService") => inference_service::assess,
        ("serving.kserve.io", "LLMInferenceService") => llm_inference_service::assess,
        ("ray.io", "RayCluster") => ray_cluster::assess,
        ("ray.io", "RayService") => ray_service::assess,
        ("ray.io", "RayJob") => ray_job::assess,
        ("kueue.x-k8s.io", "Workload") => kueue::workload,
        ("kueue.x-k8s.io", "ClusterQueue" | "LocalQueue" | "AdmissionCheck") => kueue::queue,
        ("jobset.x-k8s.io", "JobSet") => job_set::assess,
        ("leaderworkerset.x-k8s.io", "LeaderWorkerSet") => leader_worker_set::assess,
        ("batch.volcano.sh", "Job") => volcano::job,
        ("scheduling.volcano.sh", "PodGroup") => volcano::pod_group,
        ("scheduling.volcano.sh", "Queue") => volcano::queue,
        ("kubeflow.org", "PyTorchJob" | "TFJob" | "MPIJob" | "XGBoostJob" | "PaddleJob" | "JAXJob" | "Experiment") => training_job::assess,
        ("trainer.kubeflow.org", "TrainJob") => train_job::assess,
        ("kubeflow.org", "Notebook") => notebook::assess,
        ("nvidia.com", "ClusterPolicy" | "NVIDIADriver") => nvidia::assess,
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
