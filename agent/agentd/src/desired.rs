//! What the index in force asks for, read from the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use agent_cluster::HealthRules;
use agent_ledger::{Contents, contents_digest};
use agent_plan::{Desired, DesiredApp, DesiredRemoval};
use shared_model::{AppName, Digest, ObjectKey, Reason, Severity};
use shared_release::{Entry, IndexApp, Release, SUPPORTED_FEATURES, SignedIndex, health_rule};

/// The index in force with its releases.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// The index; `None` before the first.
    pub(crate) index: Option<Digest>,
    pub(crate) desired: Desired,
    /// What stands for everything that the index reaches, as the ledger's copy names it; `None` before the first index.
    pub(crate) contents: Option<Digest>,
    by_key: BTreeMap<Arc<ObjectKey>, AppName>,
    /// The apps of objects that several of them name.
    named_by_several: BTreeMap<Arc<ObjectKey>, BTreeSet<AppName>>,
    /// What is withdrawn, and by whom: it may come back with the app's mark.
    withdrawn: BTreeMap<Arc<ObjectKey>, BTreeSet<AppName>>,
    rules: HealthRules,
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
            let mut desired = wanted.read_app(contents, name, app, before);
            wanted.read_removal(contents, name, app, before, &mut desired);
            wanted.desired.apps.insert(name.clone(), desired);
        }
        // What is put in one by one leaves half of each node free; made anew of all, nodes are full.
        wanted.by_key = std::mem::take(&mut wanted.by_key).into_iter().collect();
        wanted.contents = Some(contents_digest(&wanted.digests()));
        wanted
    }

    /// Everything that the index reaches: releases and objects.
    pub(crate) fn digests(&self) -> BTreeSet<Digest> {
        let run =
            self.desired.apps.values().filter_map(|app| app.release.as_ref().ok()?.as_ref().map(|(digest, release)| (digest, release)));
        let leaving =
            self.desired.apps.values().filter_map(|app| app.removal.as_ref()).map(|removal| (&removal.removal.release, &removal.release));
        run.chain(leaving).flat_map(|(digest, release)| release.entries.values().map(|entry| entry.digest).chain([*digest])).collect()
    }

    fn read_app(&mut self, contents: &Contents, name: &AppName, app: &IndexApp, before: &Self) -> DesiredApp {
        let release = match (&app.release, before.release_of(name)) {
            (None, _) => Ok(None),
            (Some(digest), Some((same, release))) if digest == same => Ok(Some((*digest, release.clone()))),
            (Some(digest), _) => self.read_release(contents, digest).map(|release| Some((*digest, release))),
        };
        if let Ok(Some((_, release))) = &release {
            // What a test needs is watched only while one is asked for, and what a removal needs only during it: a chart with a test must
            // not cost a watch of all pods.
            let asleep = |entry: &Entry| !(entry.is_of_rollout() || (entry.is_test() && app.test.is_some()));
            for entry in release.entries.values().filter(|entry| !asleep(entry)) {
                self.note(&entry.object, name);
            }
        }
        if let Ok(Some((_, release))) = &release
            && !release.health.is_empty()
        {
            // What runs to an end is judged by its end.
            let judged = release.entries.values().filter(|entry| entry.hook.is_none());
            let rule = |entry: &Arc<Entry>| {
                Some((ObjectKey::clone(&entry.object), Arc::new(health_rule(&release.health, &entry.object.kind)?.expressions.clone())))
            };
            self.rules.extend(judged.filter_map(rule));
        }
        for withdrawal in &app.withdrawals {
            self.withdrawn.entry(Arc::new(withdrawal.object.clone())).or_default().insert(name.clone());
        }
        DesiredApp {
            release,
            withdrawals: app.withdrawals.clone(),
            approved: app.is_approved(name),
            depends_on: app.depends_on.clone(),
            hold: app.hold.clone(),
            service_account: app.service_account.clone(),
            test: app.test.clone(),
            removal: None,
        }
    }

    /// Reads what the hooks of an app's removal need. If they cannot be read the app is left as it is.
    fn read_removal(&mut self, contents: &Contents, name: &AppName, app: &IndexApp, before: &Self, desired: &mut DesiredApp) {
        let Some(removal) = app.removal else { return };
        let release = match before.release_of(name) {
            Some((same, release)) if *same == removal.release => Ok(release.clone()),
            _ => self.read_release(contents, &removal.release),
        };
        match release {
            Ok(release) => {
                for entry in release.removal_hooks() {
                    self.note(&entry.object, name);
                }
                desired.removal = Some(DesiredRemoval { removal, release });
            }
            Err(reason) => desired.release = Err(reason),
        }
    }

    /// Takes down that `app` names `object`.
    fn note(&mut self, object: &Arc<ObjectKey>, app: &AppName) {
        if let Some(other) = self.by_key.insert(object.clone(), app.clone()) {
            self.named_by_several.entry(object.clone()).or_default().extend([other, app.clone()]);
        }
    }

    fn release_of(&self, app: &AppName) -> Option<&(Digest, Arc<Release>)> {
        self.desired.apps.get(app)?.release.as_ref().ok()?.as_ref()
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

    /// By which expressions apps judge their objects themselves.
    pub(crate) fn rules(&self) -> &HealthRules {
        &self.rules
    }

    /// All objects that are wanted or withdrawn.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Arc<ObjectKey>> {
        self.by_key.keys().chain(self.withdrawn.keys())
    }

    /// Whether the object is wanted or withdrawn.
    pub(crate) fn names(&self, key: &ObjectKey) -> bool {
        self.by_key.contains_key(key) || self.withdrawn.contains_key(key)
    }

    /// The entries of all apps.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&AppName, &Entry)> {
        self.by_key.iter().filter_map(|(key, app)| Some((app, self.entry_of(app, key)?)))
    }

    /// The entries that `app` is the one to speak for.
    pub(crate) fn entries_of<'a>(&'a self, app: &'a AppName) -> impl Iterator<Item = (&'a AppName, &'a Entry)> {
        let keys = self.keys_of(app).filter(move |key| self.by_key.get(*key) == Some(app));
        keys.filter_map(move |key| Some((app, self.entry_of(app, key)?)))
    }

    /// The entry that wants `key`.
    pub(crate) fn entry(&self, key: &ObjectKey) -> Option<&Entry> {
        self.entry_of(self.by_key.get(key)?, key)
    }

    /// The apps that want or withdraw `key`.
    pub(crate) fn apps_of(&self, key: &ObjectKey) -> BTreeSet<AppName> {
        let mut apps: BTreeSet<AppName> = match self.named_by_several.get(key) {
            Some(apps) => apps.clone(),
            None => self.by_key.get(key).cloned().into_iter().collect(),
        };
        apps.extend(self.withdrawn.get(key).into_iter().flatten().cloned());
        apps
    }

    /// What `app` wants to see: its objects and withdrawals.
    pub(crate) fn keys_of(&self, app: &AppName) -> impl Iterator<Item = &ObjectKey> {
        let app = self.desired.apps.get(app);
        let release = app.and_then(|app| app.release.as_ref().ok()?.as_ref());
        let withdrawn = app.into_iter().flat_map(|app| app.withdrawals.iter().map(|withdrawal| &withdrawal.object));
        let leaving = app.and_then(|app| app.removal.as_ref()).into_iter().flat_map(|removal| removal.release.removal_hooks());
        release
            .into_iter()
            .flat_map(|(_, release)| release.entries.keys())
            .chain(leaving.map(|entry| &entry.object))
            .map(Arc::as_ref)
            .chain(withdrawn)
    }

    fn entry_of(&self, app: &AppName, key: &ObjectKey) -> Option<&Entry> {
        let app = self.desired.apps.get(app)?;
        let release = match (&app.removal, app.release.as_ref().ok()?) {
            (Some(removal), _) => &removal.release,
            (None, Some((_, release))) => release,
            (None, None) => return None,
        };
        release.entries.get(key).map(Arc::as_ref)
    }
}
