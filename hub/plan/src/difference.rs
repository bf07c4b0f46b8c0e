//! What changed between two indexes, object by object, for people and the audit log. Fields are left to the diff of manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shared_model::{AppName, Digest, ObjectKey};
use shared_release::{Index, Release};

/// What changed in one app.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppDifference {
    /// The release before; `None` if the app had none.
    pub from: Option<Digest>,
    /// The release after; `None` if the app leaves.
    pub to: Option<Digest>,
    /// Objects that are new.
    pub added: BTreeSet<ObjectKey>,
    /// Objects whose content or treatment is another.
    pub changed: BTreeSet<ObjectKey>,
    /// Objects that are not part of the app any more.
    pub removed: BTreeSet<ObjectKey>,
    /// Objects whose deletion is asked anew.
    pub withdrawn: BTreeSet<ObjectKey>,
    /// Objects that now go over to another app.
    pub handed_over: BTreeMap<ObjectKey, AppName>,
    /// A release whose content is not at hand, so that its objects are not told.
    pub unknown: Option<Digest>,
}

/// The apps that differ between `previous` (nothing, if there was none) and `next`; `releases` holds the releases that both name.
pub fn difference(previous: Option<&Index>, next: &Index, releases: &BTreeMap<Digest, Arc<Release>>) -> BTreeMap<AppName, AppDifference> {
    let none = BTreeMap::new();
    let before = previous.map_or(&none, |index| &index.apps);
    let names: BTreeSet<&AppName> = before.keys().chain(next.apps.keys()).collect();
    let mut differences = BTreeMap::new();
    for name in names {
        let (old, new) = (before.get(name), next.apps.get(name));
        if old == new {
            continue;
        }
        let mut difference =
            AppDifference { from: old.and_then(|app| app.release), to: new.and_then(|app| app.release), ..Default::default() };
        if difference.from != difference.to {
            compare(&mut difference, releases);
        }
        for withdrawal in new.into_iter().flat_map(|app| &app.withdrawals) {
            if old.is_some_and(|old| old.withdrawals.contains(withdrawal)) {
                continue;
            }
            match &withdrawal.to {
                Some(to) => drop(difference.handed_over.insert(withdrawal.object.clone(), to.clone())),
                None => drop(difference.withdrawn.insert(withdrawal.object.clone())),
            }
        }
        differences.insert(name.clone(), difference);
    }
    differences
}

fn compare(difference: &mut AppDifference, releases: &BTreeMap<Digest, Arc<Release>>) {
    let none = BTreeMap::new();
    let mut unknown = None;
    let mut entries = |digest: Option<Digest>| match digest.map(|digest| (digest, releases.get(&digest))) {
        None => &none,
        Some((_, Some(release))) => &release.entries,
        Some((digest, None)) => {
            unknown = Some(digest);
            &none
        }
    };
    let (old, new) = (entries(difference.from), entries(difference.to));
    if unknown.is_some() {
        difference.unknown = unknown;
        return;
    }
    let own = |key: &Arc<ObjectKey>| ObjectKey::clone(key);
    difference.added = new.keys().filter(|key| !old.contains_key(*key)).map(own).collect();
    difference.removed = old.keys().filter(|key| !new.contains_key(*key)).map(own).collect();
    let changed = new.iter().filter(|(key, entry)| old.get(*key).is_some_and(|old| old != *entry));
    difference.changed = changed.map(|(key, _)| own(key)).collect();
}

#[cfg(test)]
mod tests {
    use shared_model::{Generation, GroupKind};
    use shared_release::{Entry, IndexApp, Phase, Policy, Withdrawal};

    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(GroupKind::new("", "ConfigMap"), Some("x"), name)
    }

    fn set(names: &[&str]) -> BTreeSet<ObjectKey> {
        names.iter().map(|name| key(name)).collect()
    }

    /// A release of objects, each `name` or `name=content`.
    fn release(objects: &[&str]) -> (Digest, Arc<Release>) {
        let entry = |text: &&str| {
            let name = text.split('=').next().expect("a name");
            let digest = Digest::of(text.as_bytes());
            let (phase, policy) = (Phase::Sync, Policy::default());
            Entry { object: key(name).into(), version: "v1".into(), digest, sealed: None, phase, wave: 0, hook: None, policy }
        };
        let release = Release::new("web".parse().expect("valid"), objects.iter().map(entry));
        (release.encode().0, Arc::new(release))
    }

    /// App, release, and withdrawn objects with their takers.
    type Row<'a> = (&'a str, Digest, &'a [(&'a str, Option<&'a str>)]);

    fn index(apps: &[Row<'_>]) -> Index {
        let mut indexed = BTreeMap::new();
        for (name, release, withdrawals) in apps {
            let withdrawals =
                withdrawals.iter().map(|(object, to)| Withdrawal { object: key(object), to: to.map(|to| to.parse().expect("valid")) });
            let app = IndexApp { release: Some(*release), withdrawals: withdrawals.collect(), ..IndexApp::default() };
            indexed.insert(name.parse().expect("valid"), app);
        }
        let (cluster, uid) = ("a".parse().expect("valid"), "u".parse().expect("valid"));
        Index { cluster, uid, generation: Generation::new(1, 1), parent: None, apps: indexed }
    }

    #[test]
    fn what_changed_is_told_object_by_object() {
        let (one, old) = release(&["a", "b", "c", "d"]);
        let (two, new) = release(&["a", "b=2", "e"]);
        let releases = BTreeMap::from([(one, old), (two, new)]);
        let before = index(&[("api", one, &[]), ("web", one, &[])]);
        let after = index(&[("api", one, &[]), ("web", two, &[("c", None), ("d", Some("api"))])]);
        let found = difference(Some(&before), &after, &releases);
        let expected = AppDifference {
            from: Some(one),
            to: Some(two),
            added: set(&["e"]),
            changed: set(&["b"]),
            removed: set(&["c", "d"]),
            withdrawn: set(&["c"]),
            handed_over: BTreeMap::from([(key("d"), "api".parse().expect("valid"))]),
            unknown: None,
        };
        assert_eq!(found, BTreeMap::from([("web".parse().expect("valid"), expected)]));
        assert_eq!(difference(Some(&after), &after, &releases), BTreeMap::new());
        let first = difference(None, &before, &releases);
        assert_eq!(first.values().map(|app| app.added.len()).collect::<Vec<_>>(), [4, 4]);
        let unknown = difference(Some(&before), &after, &BTreeMap::new());
        assert_eq!(unknown.values().map(|app| app.unknown).collect::<Vec<_>>(), [Some(two)]);
    }
}
