//! What this agent owns in its cluster. Only what is in here can ever be deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use agent_health::End;
use shared_model::{AppName, Digest, Generation, ObjectKey, TestId, Timestamp};
use shared_release::Phase;

/// The objects of all apps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// The apps by name.
    pub apps: BTreeMap<AppName, Arc<AppInventory>>,
}

/// The objects of one app.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppInventory {
    /// The release whose objects were all applied last.
    pub release: Option<Digest>,
    /// The objects by key.
    pub objects: BTreeMap<Arc<ObjectKey>, Owned>,
    /// What the hooks of the release in hand came to.
    pub hooks: HookRuns,
    /// What the tests came to that were asked for last.
    pub tests: Option<TestRuns>,
    /// What the hooks of its removal came to, if it is removed or was.
    pub removal: Option<RemovalRuns>,
}

impl AppInventory {
    /// The record of `object` in `phase` of `release`, made if there is none. Tests are remembered by their request, hooks of a removal by the
    /// index that it began with, all else by its release.
    pub fn run(&mut self, release: Digest, object: &Arc<ObjectKey>, phase: Phase) -> &mut HookRun {
        match (&mut self.tests, &mut self.removal, phase) {
            (Some(tests), _, Phase::Test) => tests.runs.entry(object.clone()).or_default(),
            (_, Some(removal), Phase::PreDelete | Phase::PostDelete) => removal.runs.entry((object.clone(), phase)).or_default(),
            _ => self.hooks.entry(release, object, phase),
        }
    }
}

/// What the tests of one request came to. It outlives their objects and the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRuns {
    /// The request. Once it ended it is not carried out again.
    pub request: TestId,
    /// The release that is tested.
    pub release: Digest,
    /// When the request was seen.
    pub seen: Timestamp,
    /// When the tests must have ended.
    pub until: Timestamp,
    /// The runs by object.
    pub runs: BTreeMap<Arc<ObjectKey>, HookRun>,
    /// How all of them ended, and when.
    pub end: Option<(TestEnd, Timestamp)>,
}

/// How the tests of a request ended. Messages have at most [`END_MESSAGE_LIMIT`](agent_health::END_MESSAGE_LIMIT) characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestEnd {
    /// All succeeded.
    Succeeded,
    /// One failed, or they took too long.
    Failed(String),
    /// They were not run to their end.
    Cancelled(String),
}

/// What the hooks of one removal came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovalRuns {
    /// The index with which the removal began. For another one nothing has run yet, be it of the same release.
    pub since: Generation,
    /// The runs by object and phase.
    pub runs: BTreeMap<(Arc<ObjectKey>, Phase), HookRun>,
}

/// What the hooks of one release came to. It outlives their objects: a Job that its time to live took away has run all the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HookRuns {
    /// The release. For another one nothing has run yet.
    pub release: Option<Digest>,
    /// The runs by object and phase.
    pub runs: BTreeMap<(Arc<ObjectKey>, Phase), HookRun>,
    /// The release came to its end with everything healthy: what fails from here on is not a failed rollout.
    pub over: bool,
}

/// One run of one hook.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HookRun {
    /// The uid of its object. `None` while only the intent to create it is recorded.
    pub uid: Option<String>,
    /// The uid of what was there when it began, which is not its object before an apply has said so.
    pub over: Option<String>,
    /// How it ended, if it did.
    pub end: Option<End>,
    /// When its object's time to live ends, if it has one: gone after that, it was its time to live and nobody's wish.
    pub expires: Option<Timestamp>,
    /// Its object was deleted, as its policy says.
    pub removed: bool,
    /// When it began.
    pub began: Option<Timestamp>,
    /// When its end was seen.
    pub ended: Option<Timestamp>,
}

impl HookRuns {
    /// What is known of `object` in `phase` of `release`.
    pub fn get(&self, release: &Digest, object: &Arc<ObjectKey>, phase: Phase) -> Option<&HookRun> {
        (self.release.as_ref() == Some(release)).then(|| self.runs.get(&(object.clone(), phase))).flatten()
    }

    /// The record of `object` in `phase` of `release`, made if there is none. What is known of other releases is forgotten.
    pub fn entry(&mut self, release: Digest, object: &Arc<ObjectKey>, phase: Phase) -> &mut HookRun {
        self.begin(release);
        self.runs.entry((object.clone(), phase)).or_default()
    }

    /// Forgets what is known of other releases than this one.
    pub fn begin(&mut self, release: Digest) {
        if self.release != Some(release) {
            *self = Self { release: Some(release), ..Self::default() };
        }
    }
}

/// One owned object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owned {
    /// Its uid. `None` while only the intent to create it is recorded; such an object is never deleted.
    pub uid: Option<String>,
    /// The digest of the blob that was applied last.
    pub applied: Option<Digest>,
    /// The phase and wave that it was applied in, for deleting in reverse.
    pub stage: (Phase, i32),
    /// How it ended, of what runs to an end: nothing is missing then when it is gone, and it is not run again for the same content.
    pub ended: Option<End>,
    /// A run of a hook made it. Nothing else is ever deleted because a hook says so: an object that was there before its manifest became a hook
    /// is deleted as all others are, withdrawn and within the budget.
    pub hook: bool,
    /// JSON pointers to fields that an autoscaler governs, and that are left to it.
    pub yielded: BTreeSet<String>,
    /// Fields that the release dropped and that another manager keeps there: their steps in managedFields, and the manager.
    pub kept: BTreeMap<Vec<String>, String>,
}

impl Inventory {
    /// The app that owns `object`, with what is known of it.
    pub fn owner(&self, object: &ObjectKey) -> Option<(&AppName, &Owned)> {
        self.apps.iter().find_map(|(app, inventory)| inventory.objects.get(object).map(|owned| (app, owned)))
    }

    /// What `app` knows of `object`.
    pub fn get(&self, app: &AppName, object: &ObjectKey) -> Option<&Owned> {
        self.apps.get(app)?.objects.get(object)
    }

    /// The book of `app`, made if there is none. A copy of the inventory that is held elsewhere shares all other books.
    pub fn app(&mut self, app: &AppName) -> &mut AppInventory {
        Arc::make_mut(self.apps.entry(app.clone()).or_default())
    }

    /// The record of `object` under `app`, made if there is none.
    pub fn entry(&mut self, app: &AppName, object: &Arc<ObjectKey>) -> &mut Owned {
        self.app(app).objects.entry(object.clone()).or_default()
    }

    /// Lets `object` of `app` go.
    pub fn forget(&mut self, app: &AppName, object: &ObjectKey) {
        if self.get(app, object).is_some() {
            self.app(app).objects.remove(object);
        }
    }

    /// All objects with their apps.
    pub fn iter(&self) -> impl Iterator<Item = (&AppName, &Arc<ObjectKey>, &Owned)> {
        self.apps.iter().flat_map(|(app, inventory)| inventory.objects.iter().map(move |(key, owned)| (app, key, owned)))
    }
}
