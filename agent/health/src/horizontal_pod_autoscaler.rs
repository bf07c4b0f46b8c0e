//! HorizontalPodAutoscaler: able to read its target and its metrics (Argo CD's list of reasons).

use serde_json::Value;

use crate::Verdict;
use crate::condition::{condition, text};

const BROKEN: [&str; 8] = [
    "FailedGetScale",
    "FailedUpdateScale",
    "FailedGetResourceMetric",
    "FailedGetObjectMetric",
    "FailedGetPodsMetric",
    "FailedGetExternalMetric",
    "FailedComputeMetricsReplicas",
    "InvalidSelector",
];

pub(crate) fn assess(object: &Value) -> Verdict {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if let Some(broken) = conditions.iter().find(|c| BROKEN.contains(&text(c, "reason"))) {
        return Verdict::degraded(text(broken, "reason"), text(broken, "message"));
    }
    if ["AbleToScale", "ScalingLimited"].iter().any(|kind| condition(object, kind).is_some_and(|c| c.is_true())) {
        return Verdict::HEALTHY;
    }
    Verdict::progressing("WaitingToAutoscale", "it has not scaled its target yet")
}
