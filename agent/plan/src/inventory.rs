//! What this agent owns in its cluster. Only what is in here can ever be deleted.

use std::collections::{BTreeMap, BTreeSet};

use shared_model::{AppName, Digest, ObjectKey};
use shared_release::Phase;

/// The objects of all apps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// The apps by name.
    pub apps: BTreeMap<AppName, AppInventory>,
}

/// The objects of one app.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppInventory {
    /// The release whose objects were all applied last.
    pub release: Option<Digest>,
    /// The objects by key.
    pub objects: BTreeMap<ObjectKey, Owned>,
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
    /// It is a Job that came to its end: gone is then as good as there, and it is not run again for the same content.
    pub finished: bool,
    /// JSON pointers to fields that an autoscaler governs, and that are left to it.
    pub yielded: BTreeSet<String>,
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

    /// The record of `object` under `app`, made if there is none.
    pub fn entry(&mut self, app: &AppName, object: &ObjectKey) -> &mut Owned {
        self.apps.entry(app.clone()).or_default().objects.entry(object.clone()).or_default()
    }

    /// Lets `object` of `app` go.
    pub fn forget(&mut self, app: &AppName, object: &ObjectKey) {
        if let Some(inventory) = self.apps.get_mut(app) {
            inventory.objects.remove(object);
        }
    }

    /// All objects with their apps.
    pub fn iter(&self) -> impl Iterator<Item = (&AppName, &ObjectKey, &Owned)> {
        self.apps.iter().flat_map(|(app, inventory)| inventory.objects.iter().map(move |(key, owned)| (app, key, owned)))
    }
}
