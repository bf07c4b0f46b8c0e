//! What the index in force asks for, read from the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use agent_ledger::Contents;
use agent_plan::{Desired, DesiredApp};
use shared_model::{AppName, Digest, ObjectKey, Reason, Severity};
use shared_release::{Entry, IndexApp, Release, SUPPORTED_FEATURES, SignedIndex};

/// The index in force with its releases.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// The index; `None` before the first.
    pub(crate) index: Option<Digest>,
    pub(crate) desired: Desired,
    /// Everything that the index reaches: releases and objects.
    pub(crate) digests: BTreeSet<Digest>,
    by_key: BTreeMap<ObjectKey, (AppName, Entry)>,
    withdrawn: BTreeSet<ObjectKey>,
    incomplete: bool,
}

impl Wanted {
    /// Reads the index in force and its releases; those that `before` holds already are not read again. A release that cannot be used is a
    /// reason in its app and harms no other.
    pub(crate) fn read(signed: Option<&SignedIndex>, contents: &Contents, before: &Self) -> Self {
        let Some(signed) = signed else { return Self::default() };
        let mut wanted = Self { index: Some(signed.digest()), ..Self::default() };
        // It was verified before it was written; the ledger's checksum covers it since.
        let index = match signed.read_own() {
            Ok(index) => index,
            Err(error) => {
                tracing::error!(%error, "the index in the ledger cannot be read");
                return wanted;
            }
        };
        for (name, app) in &index.apps {
            let known = before.desired.apps.get(name).and_then(|app| app.release.as_ref().ok()?.as_ref());
            let desired = wanted.read_app(contents, name, app, known);
            wanted.desired.apps.insert(name.clone(), desired);
        }
        wanted
    }

    fn read_app(&mut self, contents: &Contents, name: &AppName, app: &IndexApp, known: Option<&(Digest, Arc<Release>)>) -> DesiredApp {
        let release = match (&app.release, known) {
            (None, _) => Ok(None),
            (Some(digest), Some((same, release))) if digest == same => Ok(Some((*digest, release.clone()))),
            (Some(digest), _) => self.read_release(contents, digest).map(|release| Some((*digest, release))),
        };
        if let Ok(Some((digest, release))) = &release {
            self.digests.insert(*digest);
            self.digests.extend(release.entries.values().map(|entry| entry.digest));
            for entry in release.entries.values() {
                self.by_key.insert(entry.object.clone(), (name.clone(), entry.clone()));
            }
        }
        self.withdrawn.extend(app.withdrawals.iter().map(|withdrawal| withdrawal.object.clone()));
        DesiredApp { release, withdrawals: app.withdrawals.clone(), approved: app.is_approved(name), depends_on: app.depends_on.clone() }
    }

    fn read_release(&mut self, contents: &Contents, digest: &Digest) -> Result<Arc<Release>, Reason> {
        let bytes = contents.read(digest).map_err(|error| {
            self.incomplete = true;
            Reason::new(Severity::Error, "ContentMissing", error.to_string())
        })?;
        let release = Release::decode(&bytes, SUPPORTED_FEATURES)
            .map_err(|error| Reason::new(Severity::Error, "ReleaseNotUnderstood", error.to_string()))?;
        Ok(Arc::new(release))
    }

    /// Whether content was missing when it was read, so that it should be read again.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// All objects that are wanted or withdrawn.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.by_key.keys().chain(&self.withdrawn)
    }

    /// The entries of all apps.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&AppName, &Entry)> {
        self.by_key.values().map(|(app, entry)| (app, entry))
    }

    /// The entry that wants `key`.
    pub(crate) fn entry(&self, key: &ObjectKey) -> Option<&Entry> {
        self.by_key.get(key).map(|(_, entry)| entry)
    }
}
