//! Change notices: for each watched prefix the version of the last commit that touched it. What changed, the watcher reads for itself.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;

use crate::key::{Key, Prefix, Version};

/// The watched prefixes of a store.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    senders: BTreeMap<String, watch::Sender<u64>>,
}

impl Watches {
    /// A receiver for `prefix` that starts at `now`, already seen.
    pub(crate) fn subscribe(&mut self, prefix: &Prefix, now: Version) -> watch::Receiver<u64> {
        // Forgetting what nobody watches, only now and then, so that ten thousand subscriptions do not each look at all others.
        if self.senders.len().is_power_of_two() {
            self.senders.retain(|_, sender| sender.receiver_count() > 0);
        }
        self.senders.entry(prefix.as_str().to_owned()).or_insert_with(|| watch::Sender::new(now.0)).subscribe()
    }

    /// Tells each watcher of a touched prefix that `version` happened.
    pub(crate) fn notify(&self, touched: &BTreeSet<Key>, version: Version) {
        for key in touched {
            // Only prefixes of this key are looked up: at most one per byte, and mostly there are far more watchers than that.
            for end in (1..=key.as_str().len()).filter(|&end| key.as_str().is_char_boundary(end)) {
                if let Some(sender) = self.senders.get(&key.as_str()[..end]) {
                    sender.send_if_modified(|seen| std::mem::replace(seen, version.0.max(*seen)) < version.0);
                }
            }
        }
    }
    /// Tells every watcher that `version` happened: an import touches everything.
    pub(crate) fn notify_all(&self, version: Version) {
        for sender in self.senders.values() {
            sender.send_replace(version.0);
        }
    }
}
