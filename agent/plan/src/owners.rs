//! Which app owns an object, found without asking each app: the index is made when somebody asks for the first time.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use shared_model::{AppName, ObjectKey};

use crate::inventory::{Inventory, Owned};

/// The owners of one inventory's objects.
pub(crate) struct Owners<'a> {
    inventory: &'a Inventory,
    by_object: OnceCell<Index<'a>>,
}

type Index<'a> = BTreeMap<&'a ObjectKey, (&'a AppName, &'a Owned)>;

impl<'a> Owners<'a> {
    /// Of this inventory.
    pub(crate) fn of(inventory: &'a Inventory) -> Self {
        Self { inventory, by_object: OnceCell::new() }
    }

    /// The app other than `app` that owns `object`. An object has one owner: where `app` has it, nobody else is asked.
    pub(crate) fn other(&self, app: &AppName, object: &ObjectKey) -> Option<(&'a AppName, &'a Owned)> {
        if self.inventory.get(app, object).is_some() {
            return None;
        }
        let index = self.by_object.get_or_init(|| self.inventory.iter().map(|(app, key, owned)| (&**key, (app, owned))).collect());
        index.get(object).copied()
    }
}
