//! Whether an object that cannot be changed as its release wants may be deleted and made anew (Argo CD's `Force=true`, Flux's `force`).

use shared_model::Reason;
use shared_release::{Entry, waits_always};

use crate::inventory::Owned;
use crate::prune::PrunePermit;

/// The uid to delete. `refused` is why the object could not be changed.
///
/// # Errors
/// Nobody may delete at the moment, what would go with the object is more than the object, or it is not known to be ours.
pub fn replaceable<'a>(entry: &Entry, owned: &'a Owned, permit: &PrunePermit, refused: &Reason) -> Result<&'a str, Reason> {
    let uid = owned.uid.as_deref().ok_or_else(|| refused.clone())?;
    if waits_always(&entry.object) {
        let message =
            format!("{}; it is not recreated, as what is in it would go with it: undo the change, or delete it by hand", refused.message);
        return Err(Reason::new(refused.severity, refused.code.clone(), message));
    }
    match permit {
        PrunePermit::Granted => Ok(uid),
        PrunePermit::Held(reason) => Err(reason.clone()),
    }
}
