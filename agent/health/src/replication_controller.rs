//! ReplicationController: as many available replicas as it wants. Argo CD has no rule for it, kstatus none either; it is a ReplicaSet by an older
//! name, and judged as one.

use serde_json::Value;

use crate::{Verdict, replica_set};

pub(crate) fn assess(object: &Value) -> Verdict {
    replica_set::assess(object)
}
