//! What a cluster holds: collections of objects with one version counter, and per collection a bounded log of events from which
//! watches read. What may be written is decided in `write`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::registry::{self, Resource};
use crate::workloads::Rollouts;

/// Events that a collection remembers; a watch that starts before them gets 410. 1,000 events of some 2 KB are 2 MB at the most in
/// one collection, and nothing in an idle one.
pub(crate) const WATCH_WINDOW: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) version: u64,
    pub(crate) change: Change,
    pub(crate) object: Arc<Value>,
    pub(crate) previous: Option<Arc<Value>>,
}

/// Namespace (empty for cluster scope) and name.
pub(crate) type Key = (String, String);

#[derive(Debug, Default)]
pub(crate) struct Collection {
    pub(crate) objects: BTreeMap<Key, Arc<Value>>,
    pub(crate) log: VecDeque<Event>,
    /// Events up to this version are forgotten.
    pub(crate) forgotten: u64,
    pub(crate) wake: Arc<Notify>,
}

/// Group and plural name.
pub(crate) type CollectionKey = (String, String);

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) version: u64,
    pub(crate) collections: BTreeMap<CollectionKey, Collection>,
    pub(crate) custom: Vec<Arc<Resource>>,
    pub(crate) rollouts: Rollouts,
    random: u64,
    next_ip: u32,
    next_port: u32,
}

impl State {
    pub(crate) fn new(seed: u64) -> State {
        State {
            version: 1,
            collections: BTreeMap::new(),
            custom: Vec::new(),
            rollouts: Rollouts::default(),
            random: seed,
            next_ip: 1,
            next_port: 30_000,
        }
    }

    /// The next number of the instance's own sequence (splitmix64).
    pub(crate) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn uid(&mut self) -> String {
        let (a, b) = (self.random(), self.random());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xfff,
            b >> 48 & 0x3fff | 0x8000,
            b & 0xffff_ffff_ffff
        )
    }

    /// Five letters and digits, as generated names end.
    pub(crate) fn suffix(&mut self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let mut n = self.random();
        (0..5)
            .map(|_| {
                let c = char::from(LETTERS[(n % LETTERS.len() as u64) as usize]);
                n /= LETTERS.len() as u64;
                c
            })
            .collect()
    }

    /// A free cluster address of 10.0.0.0/16.
    pub(crate) fn cluster_ip(&mut self) -> String {
        self.next_ip = self.next_ip % 65_000 + 1;
        format!("10.0.{}.{}", self.next_ip >> 8, self.next_ip & 0xff)
    }

    pub(crate) fn node_port(&mut self) -> u32 {
        self.next_port = if self.next_port >= 32_767 { 30_000 } else { self.next_port + 1 };
        self.next_port
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        let fits = |r: &&Arc<Resource>| r.group == group && r.version == version && r.plural == plural;
        registry::builtin().iter().find(fits).or_else(|| self.custom.iter().find(fits)).cloned()
    }

    /// All resources, built-in first.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        registry::builtin().iter().chain(&self.custom)
    }

    /// Some served version of a collection's resource.
    pub(crate) fn resource_of(&self, key: &CollectionKey) -> Option<Arc<Resource>> {
        self.resources().find(|r| r.is(&key.0, &key.1)).cloned()
    }

    pub(crate) fn collection(&mut self, r: &Resource) -> &mut Collection {
        self.collections.entry((r.group.clone(), r.plural.clone())).or_default()
    }

    pub(crate) fn get(&self, r: &Resource, ns: &str, name: &str) -> Option<Arc<Value>> {
        self.by_key(&r.group, &r.plural, ns, name)
    }

    pub(crate) fn by_key(&self, group: &str, plural: &str, ns: &str, name: &str) -> Option<Arc<Value>> {
        let c = self.collections.get(&(group.to_owned(), plural.to_owned()))?;
        c.objects.get(&(ns.to_owned(), name.to_owned())).cloned()
    }

    /// Stores an object under the next version and tells the watchers.
    pub(crate) fn put(&mut self, r: &Resource, mut object: Value) -> Arc<Value> {
        self.version += 1;
        let version = self.version;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let object = Arc::new(object);
        let key = key_of(&object);
        let c = self.collection(r);
        let previous = c.objects.insert(key, object.clone());
        let change = if previous.is_some() { Change::Modified } else { Change::Added };
        c.record(Event { version, change, object: object.clone(), previous });
        if r.is("apiextensions.k8s.io", "customresourcedefinitions") {
            self.reload_definitions();
        }
        object
    }

    /// Removes an object under the next version and tells the watchers. Returns its last state.
    pub(crate) fn take(&mut self, r: &Resource, ns: &str, name: &str) -> Option<Arc<Value>> {
        let version = self.version + 1;
        let c = self.collection(r);
        let previous = c.objects.remove(&(ns.to_owned(), name.to_owned()))?;
        let mut last = (*previous).clone();
        last["metadata"]["resourceVersion"] = json!(version.to_string());
        let last = Arc::new(last);
        c.record(Event { version, change: Change::Deleted, object: last.clone(), previous: Some(previous) });
        self.version = version;
        if r.is("apiextensions.k8s.io", "customresourcedefinitions") {
            self.reload_definitions();
        }
        Some(last)
    }

    fn reload_definitions(&mut self) {
        let key = ("apiextensions.k8s.io".to_owned(), "customresourcedefinitions".to_owned());
        let crds = self.collections.get(&key).map(|c| c.objects.values().cloned().collect::<Vec<_>>()).unwrap_or_default();
        self.custom = crds.iter().filter(|c| is_established(c)).flat_map(|c| registry::of_definition(c)).collect();
    }
}

/// Whether a definition is served.
pub(crate) fn is_established(crd: &Value) -> bool {
    let list = crd["status"]["conditions"].as_array();
    list.is_some_and(|c| c.iter().any(|c| c["type"] == "Established" && c["status"] == "True"))
}

impl Collection {
    fn record(&mut self, e: Event) {
        self.log.push_back(e);
        if self.log.len() > WATCH_WINDOW
            && let Some(old) = self.log.pop_front()
        {
            self.forgotten = old.version;
        }
        self.wake.notify_waiters();
    }
}

pub(crate) fn key_of(o: &Value) -> Key {
    let text = |n: &str| o["metadata"][n].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

/// Seconds since 1970 as RFC 3339 in UTC.
pub(crate) fn rfc3339(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400);
    let rest = seconds.rem_euclid(86_400);
    // Civil date from days, after Howard Hinnant's public-domain algorithm.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// The inverse of [`rfc3339`] for what it writes.
pub(crate) fn seconds(text: &str) -> Option<i64> {
    let n = |r: std::ops::Range<usize>| text.get(r)?.parse::<i64>().ok();
    let (y, m, d) = (n(0..4)?, n(5..7)?, n(8..10)?);
    let y = if m <= 2 { y - 1 } else { y };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (if m > 2 { m - 3 } else { m + 9 }) + 2) / 5 + d - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    Some((era * 146_097 + doe - 719_468) * 86_400 + n(11..13)? * 3600 + n(14..16)? * 60 + n(17..19)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_a_round_trip() {
        for (s, text) in [(0, "1970-01-01T00:00:00Z"), (951_782_400, "2000-02-29T00:00:00Z"), (1_795_259_682, "2026-11-21T11:14:42Z")] {
            assert_eq!(rfc3339(s), text);
            assert_eq!(seconds(text), Some(s));
        }
    }
}
