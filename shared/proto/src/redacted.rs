//! The text forms of the two messages that carry secrets: everything but the secret. The generator is told not to derive them.

use std::fmt;

use crate::wire;

impl fmt::Debug for wire::AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for wire::EnrolRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolRequest").field("cluster_uid", &self.cluster_uid).finish_non_exhaustive()
    }
}
