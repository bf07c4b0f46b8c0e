//! One owner per object and cluster: finds objects that two apps claim. What follows is left to `cluster`.

use std::collections::BTreeMap;

use shared_model::{AppName, ObjectKey};
use shared_release::Release;

use crate::wanted::{claims, claims_object};

/// The first shared object of each pair of apps, in both directions, where at least one app of the pair is `fresh`. Pairs of settled apps
/// were judged when one of them was fresh. The work is that of the fresh apps' objects, and a look at each settled app.
pub(crate) fn shared_objects<'a>(
    fresh: &BTreeMap<&'a AppName, &'a Release>,
    settled: &BTreeMap<&'a AppName, &'a Release>,
) -> BTreeMap<&'a AppName, BTreeMap<&'a AppName, &'a ObjectKey>> {
    let mut claimed: BTreeMap<&ObjectKey, Vec<&AppName>> = BTreeMap::new();
    for (app, release) in fresh {
        for entry in claims(release) {
            claimed.entry(&entry.object).or_default().push(app);
        }
    }
    let mut found: BTreeMap<&AppName, BTreeMap<&AppName, &ObjectKey>> = BTreeMap::new();
    let mut note = |one: &'a AppName, other: &'a AppName, object: &'a ObjectKey| {
        found.entry(one).or_default().entry(other).or_insert(object);
        found.entry(other).or_default().entry(one).or_insert(object);
    };
    for (object, apps) in &claimed {
        for (position, one) in apps.iter().enumerate() {
            apps[position + 1..].iter().for_each(|other| note(one, other, object));
        }
    }
    for (app, release) in settled {
        if release.entries.len() <= claimed.len() {
            for entry in claims(release) {
                claimed.get(&*entry.object).into_iter().flatten().for_each(|other| note(app, other, &entry.object));
            }
        } else {
            for (object, others) in claimed.iter().filter(|(object, _)| claims_object(release, object)) {
                others.iter().for_each(|other| note(app, other, object));
            }
        }
    }
    found
}
