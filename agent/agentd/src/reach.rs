//! What an index reaches: its releases and their objects, and which of them are not here yet. What was found complete is remembered, so that
//! a change of one app costs the work of one app.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use agent_ledger::Contents;
use shared_model::Digest;
use shared_release::{Index, IndexApp, Release, SUPPORTED_FEATURES};

/// Releases that are here with all their objects, and what those are.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    complete: BTreeMap<Digest, Arc<[Digest]>>,
}

impl Reach {
    /// What `index` reaches and is not here: releases first, because they tell of more. Objects of a release that is missing are not known
    /// yet; ask again when it is here.
    pub(crate) fn missing(&mut self, contents: &Contents, index: &Index) -> Vec<Digest> {
        let mut releases = BTreeSet::new();
        let mut objects = BTreeSet::new();
        for release in releases_of(index) {
            if self.complete.contains_key(&release) {
                continue;
            }
            match objects_of(contents, &release) {
                None => {
                    releases.insert(release);
                }
                Some(all) => {
                    let lacking: Vec<Digest> = all.iter().filter(|digest| !contents.has(digest)).copied().collect();
                    if lacking.is_empty() {
                        self.complete.insert(release, all);
                    }
                    objects.extend(lacking);
                }
            }
        }
        releases.into_iter().chain(objects).collect()
    }

    /// Everything that `indexes` reach, as far as their releases are here; nothing else is remembered from now on.
    pub(crate) fn all(&mut self, contents: &Contents, indexes: &[Index]) -> BTreeSet<Digest> {
        let releases: BTreeSet<Digest> = indexes.iter().flat_map(releases_of).collect();
        self.complete.retain(|release, _| releases.contains(release));
        let mut all = BTreeSet::new();
        for release in releases {
            let objects = self.complete.get(&release).cloned().or_else(|| objects_of(contents, &release));
            all.insert(release);
            all.extend(objects.iter().flat_map(|objects| objects.iter().copied()));
        }
        all
    }

    /// Something that was here is not any more: everything is looked at again.
    pub(crate) fn doubt(&mut self) {
        self.complete.clear();
    }
}

/// The releases that `index` asks for: those that run, and those whose removal has hooks.
fn releases_of(index: &Index) -> impl Iterator<Item = Digest> {
    index.apps.values().filter_map(IndexApp::content)
}

/// The objects of a release; `None` if it is not here. One that this build does not understand is here and tells of none: its app says so.
fn objects_of(contents: &Contents, release: &Digest) -> Option<Arc<[Digest]>> {
    let bytes = contents.read(release).ok()?;
    let entries = Release::decode(&bytes, SUPPORTED_FEATURES).map(|release| release.entries).unwrap_or_default();
    Some(entries.values().map(|entry| entry.digest).collect())
}
