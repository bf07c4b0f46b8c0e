//! CronJob: healthy by existing, as kstatus has it. Argo CD also judges the last run; a failed run is the Job's own health and would keep
//! an app red until the next schedule.

use serde_json::Value;

use crate::Verdict;

pub(crate) fn assess(object: &Value) -> Verdict {
    if object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) {
        return Verdict::suspended("CronJobSuspended", "the schedule is suspended (spec.suspend)");
    }
    Verdict::HEALTHY
}
