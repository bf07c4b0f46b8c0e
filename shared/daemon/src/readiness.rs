//! Whether the process can do its work: named checks that its tasks set and the admin endpoint reads. What makes a check pass is left to
//! the task that owns it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The checks of one process. Clones share them. Without any check the process is ready.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, CheckResult>>>);

/// What a check found last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    /// Whether the process can work as far as this check sees.
    pub passes: bool,
    /// The facts, and the remedy if it fails.
    pub message: String,
}

/// One check, held by the task that sets it. Clones are the same check.
#[derive(Debug, Clone)]
pub struct Check {
    readiness: Readiness,
    name: &'static str,
}

impl Readiness {
    /// No checks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the check `name`; it fails until its task says otherwise. Adding it again gives the same check, failing again.
    pub fn check(&self, name: &'static str) -> Check {
        let check = Check { readiness: self.clone(), name };
        check.fail("not yet done");
        check
    }

    /// All checks in the order of their names.
    pub fn results(&self) -> BTreeMap<&'static str, CheckResult> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether all checks pass.
    pub fn is_ready(&self) -> bool {
        self.results().values().all(|result| result.passes)
    }
}

impl Check {
    /// The check passes; `message` says what is known ("3 sources fetched").
    pub fn pass(&self, message: impl Into<String>) {
        self.set(true, message.into());
    }

    /// The check fails; `message` says why and what to do.
    pub fn fail(&self, message: impl Into<String>) {
        self.set(false, message.into());
    }

    fn set(&self, passes: bool, message: String) {
        self.readiness.0.lock().unwrap_or_else(PoisonError::into_inner).insert(self.name, CheckResult { passes, message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_every_check_passes() {
        let readiness = Readiness::new();
        assert!(readiness.is_ready());
        let (store, source) = (readiness.check("store"), readiness.check("source"));
        store.pass("open");
        assert!(!readiness.is_ready());
        source.pass("fetched");
        assert!(readiness.is_ready());
        store.fail("the disk is full");
        assert_eq!(readiness.results()["store"], CheckResult { passes: false, message: "the disk is full".to_owned() });
    }
}
