//! Health of Kubernetes objects, one file per kind; kinds that share their status share a file. A verdict is a function of the object alone
//! ([`assess`]), by its kind's rule or by the app's own expressions ([`assess_by`]); with what was found beside a bad one it becomes a cause
//! ([`explain`]). Beside it stands how an object ended that runs to an end ([`ending`]). Which objects matter, and what a bad one holds up, is decided by `agent/plan`.
//!
//! Rules: Argo CD's and kstatus's where both agree (`gitops-engine/pkg/health`, `cli-utils/pkg/kstatus`); where they do not, the file says
//! which is taken and why.

mod analysis_run;
mod api_service;
mod argo_application;
mod canary;
mod cause;
mod certificate;
mod certificate_signing_request;
mod cluster_policy;
mod condition;
mod cron_job;
mod cron_workflow;
mod custom_resource_definition;
mod daemon_set;
mod deployment;
mod ending;
mod experiment;
mod expressions;
mod external_secret;
mod flow_schema;
mod flux;
mod gateway;
mod gateway_class;
mod generic;
mod horizontal_pod_autoscaler;
mod inference_service;
mod issuer;
mod job;
mod job_set;
mod knative;
mod knative_service;
mod kueue_queue;
mod leader_worker_set;
mod llm_inference_service;
mod masking;
mod namespace;
mod notebook;
mod nvidia_driver;
mod persistent_volume;
mod persistent_volume_claim;
mod pod;
mod pod_disruption_budget;
mod pod_group;
mod queue;
mod ray_cluster;
mod ray_job;
mod ray_service;
mod replica_set;
mod replication_controller;
mod resource_claim;
mod rollout;
mod route;
mod scaled_object;
mod scarcity;
mod sealed_secret;
mod secret_store;
mod service;
mod stateful_set;
mod train_job;
mod training_job;
mod volcano_job;
mod volcano_queue;
mod workflow;
mod workload;

pub use cause::{Crashed, EVENT_LIMIT, Evidence, POD_LIMIT, Search, crashed, explain, may_tell_more, search};
pub use ending::{END_MESSAGE_LIMIT, End, Ending, ending, runs_to_an_end};
pub use masking::masked_line;

use serde_json::Value;
use shared_expression::HealthExpressions;
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

    fn waiting(code: &str, message: impl Into<String>) -> Self {
        Self::new(Health::Waiting, code, message)
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
        ("", "ReplicationController") => replication_controller::assess,
        ("", "PersistentVolume") => persistent_volume::assess,
        ("", "Namespace") => namespace::assess,
        ("", "PersistentVolumeClaim") => persistent_volume_claim::assess,
        ("", "Service") => service::assess,
        ("autoscaling", "HorizontalPodAutoscaler") => horizontal_pod_autoscaler::assess,
        ("certificates.k8s.io", "CertificateSigningRequest") => certificate_signing_request::assess,
        ("resource.k8s.io", "ResourceClaim") => resource_claim::assess,
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => flow_schema::assess,
        ("keda.sh", "ScaledObject") => scaled_object::assess,
        ("policy", "PodDisruptionBudget") => pod_disruption_budget::assess,
        ("apiregistration.k8s.io", "APIService") => api_service::assess,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => custom_resource_definition::assess,
        ("cert-manager.io", "Certificate") => certificate::assess,
        ("cert-manager.io", "Issuer" | "ClusterIssuer") => issuer::assess,
        ("gateway.networking.k8s.io", "GatewayClass") => gateway_class::assess,
        ("gateway.networking.k8s.io", "Gateway") => gateway::assess,
        ("gateway.networking.k8s.io", "HTTPRoute" | "GRPCRoute" | "TLSRoute" | "TCPRoute" | "UDPRoute") => route::assess,
        ("serving.knative.dev", "Service") => knative_service::assess,
        ("serving.knative.dev" | "eventing.knative.dev" | "messaging.knative.dev" | "sources.knative.dev", _) => knative::assess,
        ("argoproj.io", "Workflow") => workflow::assess,
        ("argoproj.io", "CronWorkflow") => cron_workflow::assess,
        ("argoproj.io", "Rollout") => rollout::assess,
        ("argoproj.io", "AnalysisRun" | "Experiment") => analysis_run::assess,
        ("argoproj.io", "Application") => argo_application::assess,
        (group, _) if group.ends_with(".toolkit.fluxcd.io") => flux::assess,
        ("flagger.app", "Canary") => canary::assess,
        ("bitnami.com", "SealedSecret") => sealed_secret::assess,
        ("external-secrets.io", "SecretStore" | "ClusterSecretStore") => secret_store::assess,
        ("external-secrets.io", _) => external_secret::assess,
        ("serving.kserve.io", "InferenceService") => inference_service::assess,
        ("serving.kserve.io", "LLMInferenceService") => llm_inference_service::assess,
        ("ray.io", "RayCluster") => ray_cluster::assess,
        ("ray.io", "RayService") => ray_service::assess,
        ("ray.io", "RayJob") => ray_job::assess,
        ("kueue.x-k8s.io", "Workload") => workload::assess,
        ("kueue.x-k8s.io", "ClusterQueue" | "LocalQueue" | "AdmissionCheck") => kueue_queue::assess,
        ("jobset.x-k8s.io", "JobSet") => job_set::assess,
        ("leaderworkerset.x-k8s.io", "LeaderWorkerSet") => leader_worker_set::assess,
        ("batch.volcano.sh", "Job") => volcano_job::assess,
        ("scheduling.volcano.sh", "PodGroup") => pod_group::assess,
        ("scheduling.volcano.sh", "Queue") => volcano_queue::assess,
        ("kubeflow.org", "PyTorchJob" | "TFJob" | "MPIJob" | "XGBoostJob" | "PaddleJob" | "JAXJob") => training_job::assess,
        ("kubeflow.org", "Experiment") => experiment::assess,
        ("trainer.kubeflow.org", "TrainJob") => train_job::assess,
        ("kubeflow.org", "Notebook") => notebook::assess,
        ("nvidia.com", "ClusterPolicy") => cluster_policy::assess,
        ("nvidia.com", "NVIDIADriver") => nvidia_driver::assess,
        // Healthy by existing. An Ingress too, as kstatus has it: many controllers never write an address, and Argo CD waits for one for ever.
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
            | "policy"
            | "events.k8s.io",
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

/// The health of `object`, of a kind that its app judges itself.
pub fn assess_by(expressions: &HealthExpressions, object: &Value) -> Verdict {
    let is_going = object.pointer("/metadata/deletionTimestamp").is_some();
    if is_going { assess(object) } else { expressions::assess(expressions, object) }
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

/// The same for kinds whose controller tells the generation in newer versions only.
fn behind_generation_if_told(object: &Value) -> Option<Verdict> {
    object.pointer("/status/observedGeneration").and_then(|_| behind_generation(object))
}
