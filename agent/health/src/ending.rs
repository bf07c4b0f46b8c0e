//! How what runs to an end ended, and how long it stays then. It is read from the object alone and never from its health: an app's own
//! expressions may call a Job healthy that runs, and a JobSet that runs is healthy for everybody.

use std::time::Duration;

use serde_json::Value;
use shared_model::{GroupKind, Timestamp};

use crate::condition::condition;
use crate::{job, job_set, ray_job, train_job, training_job, volcano_job, workflow};

/// How something that runs to an end ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Well.
    Succeeded,
    /// Badly; with what its object said, at most [`END_MESSAGE_LIMIT`] characters of it.
    Failed(String),
}

/// The longest message of what failed, in characters: what fits on a line of a terminal, and a thousand of them into a Secret.
pub const END_MESSAGE_LIMIT: usize = 300;

impl End {
    /// Badly, with as much of `message` as is kept.
    pub fn failed(message: &str) -> Self {
        Self::Failed(message.chars().take(END_MESSAGE_LIMIT).collect())
    }
}

/// The end of an object, as the object tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// How it ended.
    pub end: End,
    /// When its controller takes it away, by that controller's clock; `None` if it has no time to live. If it does not say when it ended, long
    /// ago.
    pub expires: Option<Timestamp>,
    /// It was a hook, and says itself that it goes before the next of its name: Argo CD and Helm leave such objects behind.
    pub gives_way: bool,
}

impl Ending {
    /// An end at `at`, in RFC 3339, of what lives so many seconds longer.
    pub(crate) fn new(end: End, at: &str, seconds_to_live: Option<i64>) -> Self {
        let ended = at.parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let expires = seconds_to_live.map(|seconds| {
            let to_live = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
            ended.checked_add(to_live).unwrap_or(Timestamp::MAX)
        });
        Self { end, expires, gives_way: false }
    }
}

type Rule = fn(&Value) -> Option<Ending>;

/// The kinds that run to an end and may be taken away right then, by their own controller. Pods are not among them: one may run for ever, and
/// one that was evicted has not run to its end.
fn rule(kind: &GroupKind) -> Option<Rule> {
    Some(match (kind.group.as_str(), kind.kind.as_str()) {
        ("batch", "Job") => job::ending,
        ("jobset.x-k8s.io", "JobSet") => job_set::ending,
        ("argoproj.io", "Workflow") => workflow::ending,
        ("batch.volcano.sh", "Job") => volcano_job::ending,
        ("kubeflow.org", "PyTorchJob" | "TFJob" | "MPIJob" | "XGBoostJob" | "PaddleJob" | "JAXJob") => training_job::ending,
        ("ray.io", "RayJob") => ray_job::ending,
        ("trainer.kubeflow.org", "TrainJob") => train_job::ending,
        _ => return None,
    })
}

/// Whether objects of this kind run to an end that they tell themselves. Of one that is gone after it nothing is missing.
pub fn runs_to_an_end(kind: &GroupKind) -> bool {
    rule(kind).is_some()
}

/// The end of `object`, which is of this kind; `None` while it runs, and for all kinds that do not run to an end.
pub fn ending(kind: &GroupKind, object: &Value) -> Option<Ending> {
    let ending = rule(kind)?(object)?;
    Some(Ending { gives_way: gives_way(object), ..ending })
}

/// A hook of Argo CD or Helm, and what it is deleted for; both take a hook that says nothing for one that goes before its next run.
const HOOKS: [(&str, &str, &str); 2] = [
    ("argocd.argoproj.io/hook", "argocd.argoproj.io/hook-delete-policy", "BeforeHookCreation"),
    ("helm.sh/hook", "helm.sh/hook-delete-policy", "before-hook-creation"),
];

fn gives_way(object: &Value) -> bool {
    let annotation = |name: &str| object.pointer("/metadata/annotations")?.get(name)?.as_str();
    let Some((_, policy, word)) = HOOKS.into_iter().find(|(hook, ..)| annotation(hook).is_some()) else { return false };
    annotation(policy).is_none_or(|policies| policies.split(',').any(|policy| policy.trim() == word))
}

/// The end of what says it with a condition `well` or Failed. SuccessCriteriaMet and FailureTarget of a Job are none: they say what it will come
/// to while its pods still run.
pub(crate) fn by_condition(object: &Value, well: &str) -> Option<Ending> {
    let holds = |kind: &str| condition(object, kind).filter(|condition| condition.is_true());
    let (end, condition) = match holds("Failed") {
        Some(failed) => (End::failed(&failed.text()), failed),
        None => (End::Succeeded, holds(well)?),
    };
    let fields = ["/spec/ttlSecondsAfterFinished", "/spec/runPolicy/ttlSecondsAfterFinished"];
    let to_live = fields.into_iter().find_map(|field| object.pointer(field)?.as_i64());
    Some(Ending::new(end, condition.since, to_live))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(kind: &str, object: &Value) -> Option<(End, Option<String>)> {
        let ending = ending(&GroupKind::of(object["apiVersion"].as_str().expect("a version"), kind), object)?;
        Some((ending.end, ending.expires.map(|at| at.to_string())))
    }

    #[test]
    fn the_end_of_a_job_is_what_its_conditions_say_and_its_time_to_live_begins_there() {
        let job = |conditions: &[(&str, &str)], spec: Value| {
            let condition = |(kind, status): &(&str, &str)| json!({"type": kind, "status": status, "reason": "BackoffLimitExceeded", "message": "no", "lastTransitionTime": "2026-03-01T10:00:00Z"});
            let conditions: Vec<Value> = conditions.iter().map(condition).collect();
            told("Job", &json!({"apiVersion": "batch/v1", "spec": spec, "status": {"active": 1, "conditions": conditions}}))
        };
        let failed = || End::Failed("BackoffLimitExceeded: no".to_owned());
        assert_eq!(job(&[], json!({})), None);
        assert_eq!(job(&[("Suspended", "True")], json!({})), None);
        assert_eq!(job(&[("Failed", "False"), ("Complete", "Unknown")], json!({})), None);
        assert_eq!(job(&[("SuccessCriteriaMet", "True")], json!({})), None, "its pods still run");
        assert_eq!(job(&[("FailureTarget", "True")], json!({})), None, "its pods still run");
        assert_eq!(job(&[("SuccessCriteriaMet", "True"), ("Complete", "True")], json!({})), Some((End::Succeeded, None)));
        assert_eq!(job(&[("FailureTarget", "True"), ("Failed", "True")], json!({})), Some((failed(), None)));
        let hour = json!({"ttlSecondsAfterFinished": 3600});
        assert_eq!(job(&[("Failed", "True")], hour), Some((failed(), Some("2026-03-01T11:00:00Z".to_owned()))));
    }

    #[test]
    fn an_end_without_a_time_is_long_ago_and_nothing_that_an_object_says_is_too_much() {
        let job = |ttl: i64, at: &str, message: &str| {
            let condition = json!({"type": "Failed", "status": "True", "message": message, "lastTransitionTime": at});
            let spec = json!({"ttlSecondsAfterFinished": ttl});
            told("Job", &json!({"apiVersion": "batch/v1", "spec": spec, "status": {"conditions": [condition]}}))
        };
        let failed = |message: &str, at: Timestamp| Some((End::Failed(message.to_owned()), Some(at.to_string())));
        assert_eq!(job(0, "yesterday", "no"), failed("no", Timestamp::UNIX_EPOCH));
        assert_eq!(job(-5, "", "no"), failed("no", Timestamp::UNIX_EPOCH));
        assert_eq!(job(i64::MAX, "2026-03-01T10:00:00Z", "no"), failed("no", Timestamp::MAX));
        assert_eq!(job(0, "", &"é".repeat(10_000)), failed(&"é".repeat(END_MESSAGE_LIMIT), Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn a_hook_that_another_tool_left_gives_way_if_it_says_so() {
        let gives_way = |annotations: Value| {
            let conditions = json!([{"type": "Complete", "status": "True"}]);
            let job = json!({"apiVersion": "batch/v1", "metadata": {"annotations": annotations}, "status": {"conditions": conditions}});
            ending(&GroupKind::of("batch/v1", "Job"), &job).expect("it ended").gives_way
        };
        assert!(!gives_way(json!({})));
        assert!(!gives_way(json!({"helm.sh/hook-delete-policy": "before-hook-creation"})), "it is no hook");
        for (hook, word, other) in
            [("argocd.argoproj.io/hook", "BeforeHookCreation", "HookFailed"), ("helm.sh/hook", "before-hook-creation", "hook-succeeded")]
        {
            let policy = format!("{hook}-delete-policy");
            assert!(gives_way(json!({hook: "any"})), "{hook}");
            assert!(gives_way(json!({hook: "any", &policy: format!("{other}, {word}")})), "{hook}");
            assert!(!gives_way(json!({hook: "any", &policy: other})), "{hook}");
        }
    }

    #[test]
    fn other_kinds_that_run_to_an_end_tell_it_in_their_own_words() {
        let workflow = |phase: &str, more: Value| {
            let mut object = json!({"apiVersion": "argoproj.io/v1alpha1",
                "status": {"phase": phase, "message": "child failed", "finishedAt": "2026-03-01T10:00:00Z"}});
            object.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
            told("Workflow", &object)
        };
        let at = |time: &str| Some(format!("2026-03-01T{time}Z"));
        let failed = End::Failed("child failed".to_owned());
        assert_eq!(workflow("Running", json!({})), None);
        assert_eq!(workflow("Succeeded", json!({})), Some((End::Succeeded, None)));
        let lives = json!({"secondsAfterCompletion": 60, "secondsAfterSuccess": 600});
        assert_eq!(workflow("Error", json!({"spec": {"ttlStrategy": lives}})), Some((failed.clone(), at("10:01:00"))));
        assert_eq!(workflow("Succeeded", json!({"spec": {"ttlStrategy": lives}})), Some((End::Succeeded, at("10:10:00"))));
        let stored = json!({"phase": "Failed", "message": "child failed", "finishedAt": "2026-03-01T10:00:00Z",
            "storedWorkflowTemplateSpec": {"ttlStrategy": {"secondsAfterFailure": 5}}});
        assert_eq!(workflow("", json!({"status": stored})), Some((failed.clone(), at("10:00:05"))), "by the template that it refers to");
        let set = json!({"apiVersion": "jobset.x-k8s.io/v1alpha2", "spec": {"ttlSecondsAfterFinished": 1}, "status": {"conditions": [
            {"type": "Completed", "status": "True", "lastTransitionTime": "2026-03-01T10:00:00Z"}]}});
        assert_eq!(told("JobSet", &set), Some((End::Succeeded, at("10:00:01"))));
        let torch = json!({"apiVersion": "kubeflow.org/v1", "spec": {"runPolicy": {"ttlSecondsAfterFinished": 60}}, "status": {"conditions": [
            {"type": "Running", "status": "False"}, {"type": "Succeeded", "status": "True", "lastTransitionTime": "2026-03-01T10:00:00Z"}]}});
        assert_eq!(told("PyTorchJob", &torch), Some((End::Succeeded, at("10:01:00"))));
        let train = json!({"apiVersion": "trainer.kubeflow.org/v1alpha1", "status": {"conditions": [
            {"type": "Failed", "status": "True", "message": "child failed"}]}});
        assert_eq!(told("TrainJob", &train), Some((failed.clone(), None)));
        let ray = |deployment: &str, job: &str| {
            let status = json!({"jobDeploymentStatus": deployment, "jobStatus": job, "message": "child failed"});
            told("RayJob", &json!({"apiVersion": "ray.io/v1", "spec": {"ttlSecondsAfterFinished": 60}, "status": status}))
        };
        assert_eq!(ray("Running", "RUNNING"), None);
        assert_eq!(ray("Retrying", "FAILED"), None);
        assert_eq!(ray("Complete", "SUCCEEDED"), Some((End::Succeeded, None)), "the time to live is its cluster's");
        assert_eq!(ray("Failed", "FAILED"), Some((End::Failed("FAILED child failed".to_owned()), None)));
        let volcano = |phase: &str| {
            let state = json!({"phase": phase, "message": "child failed", "lastTransitionTime": "2026-03-01T10:00:00Z"});
            told(
                "Job",
                &json!({"apiVersion": "batch.volcano.sh/v1alpha1", "spec": {"ttlSecondsAfterFinished": 60}, "status": {"state": state}}),
            )
        };
        assert_eq!(volcano("Aborted"), None, "it can be resumed");
        assert_eq!(volcano("Completed"), Some((End::Succeeded, at("10:01:00"))));
        assert_eq!(volcano("Failed"), Some((failed, at("10:01:00"))));
        let pod = json!({"apiVersion": "v1", "status": {"phase": "Failed"}});
        assert_eq!(told("Pod", &pod), None);
    }
}
