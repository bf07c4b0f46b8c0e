//! Transactional releases: nothing is written until the API server has accepted a dry run of everything. What only the release itself makes
//! possible (objects of a kind, or in a namespace, that it brings) cannot be tried beforehand and is judged when it is applied.

use std::sync::Arc;

use shared_model::{Digest, Health, Reason, Severity, Timestamp};
use shared_release::{Entry, Existing, Release};

use crate::inventory::AppInventory;
use crate::observed::Observed;
use crate::plan::{AppPlanner, StepKind};

/// What a release waits for before anything of it is written.
pub(crate) struct Rehearsal<'a> {
    /// Dry runs to make now.
    pub(crate) steps: Vec<(&'a Arc<Entry>, StepKind)>,
    /// Why nothing may be written yet.
    pub(crate) reason: Reason,
    /// Something was refused.
    pub(crate) refused: bool,
    /// When the next dry run is due.
    pub(crate) wake: Option<Timestamp>,
}

impl AppPlanner<'_> {
    /// What has to be tried before `entries`, which are not applied yet, may be. `None` if the API server accepted all that can be tried.
    pub(crate) fn rehearse<'a>(&self, digest: &Digest, release: &'a Release, entries: &[&'a Arc<Entry>]) -> Option<Rehearsal<'a>> {
        let attempts = self.input.attempts;
        let mut steps = Vec::new();
        let mut wake = None;
        let mut refusals = Vec::new();
        let mut open = 0_usize;
        for entry in entries {
            let key = &entry.object;
            if let Some(standing) = self.stand_unready(entry, release) {
                // Otherwise it waits for its kind, or comes over from another app.
                if let (Health::Degraded | Health::Unknown, Some(reason)) = (standing.health, standing.reason) {
                    refusals.push((entry, reason));
                }
                continue;
            }
            if self.waits_for_namespace(entry, release).is_some() || attempts.is_rehearsed(self.app, digest, key) {
                continue;
            }
            open += 1;
            if let Some(reason) = attempts.error(self.app, key) {
                refusals.push((entry, reason.clone()));
            }
            let due = attempts.next(self.app, key, false);
            if due > self.input.now {
                wake = [wake, Some(due)].into_iter().flatten().min();
            } else {
                steps.push((*entry, StepKind::Rehearse { entry: (*entry).clone(), release: *digest }));
            }
        }
        let reason = match refusals.first() {
            Some((entry, reason)) => {
                let others = if refusals.len() > 1 { format!(" ({} more are refused too)", refusals.len() - 1) } else { String::new() };
                let message = format!("nothing of the release is applied, because {} is refused{others}: {}", entry.object, reason.message);
                Reason::new(Severity::Error, "ReleaseRefused", message)
            }
            None if open > 0 => Reason::new(Severity::Wait, "Rehearsing", format!("{open} objects are tried before anything is written")),
            None => return None,
        };
        Some(Rehearsal { steps, reason, refused: !refusals.is_empty(), wake })
    }

    /// The entries of `release` that are to be applied or run and are not yet.
    pub(crate) fn unapplied<'a>(&self, digest: &Digest, release: &'a Release) -> Vec<&'a Arc<Entry>> {
        let nothing = AppInventory::default();
        let inventory = self.input.inventory.apps.get(self.app).map_or(&nothing, |inventory| &**inventory);
        let applied = |entry: &Arc<Entry>| match &entry.hook {
            Some(_) => inventory.hooks.get(digest, &entry.object, entry.phase).is_some(),
            None => inventory.objects.get(&entry.object).is_some_and(|owned| owned.applied == Some(entry.digest)),
        };
        release.entries.values().filter(|entry| self.is_written(entry) && entry.is_of_rollout() && !applied(entry)).collect()
    }

    /// Whether applying the release writes this object.
    fn is_written(&self, entry: &Arc<Entry>) -> bool {
        match entry.policy.existing {
            Existing::Override | Existing::Merge => true,
            Existing::IfNotPresent => matches!(self.input.objects.get(&entry.object), Some(Observed::Absent | Observed::Ended { .. })),
            Existing::Ignore => false,
        }
    }
}
