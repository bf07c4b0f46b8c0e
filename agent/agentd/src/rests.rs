//! Kinds that could not be read: each is left alone for a while, longer with every failure, so that a broken group costs others nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared_model::{GroupKind, Timestamp};

/// The first pause after a read that failed; each next one is twice as long up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(1);

/// The longest pause: a group that works again is noticed within half a minute.
const LONGEST: Duration = Duration::from_secs(30);

/// Which kinds rest, and until when. Asked by several readers at once.
#[derive(Default)]
pub(crate) struct Rests(Mutex<BTreeMap<GroupKind, Rest>>);

struct Rest {
    until: Timestamp,
    failures: u32,
}

impl Rests {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<GroupKind, Rest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `kind` is to be left alone now.
    pub(crate) fn contains(&self, kind: &GroupKind, now: Timestamp) -> bool {
        self.lock().get(kind).is_some_and(|rest| rest.until > now)
    }

    /// Notes how reading an object of `kind` went. Failures while it rests already were asked before that, and do not count again.
    pub(crate) fn note(&self, kind: &GroupKind, read: bool, now: Timestamp) {
        let mut rests = self.lock();
        if read {
            rests.remove(kind);
            return;
        }
        let rest = rests.entry(kind.clone()).or_insert(Rest { until: Timestamp::UNIX_EPOCH, failures: 0 });
        if rest.until <= now {
            rest.until = now + FIRST.saturating_mul(2_u32.saturating_pow(rest.failures.min(16))).min(LONGEST);
            rest.failures = rest.failures.saturating_add(1);
        }
    }

    /// When the first of them has rested.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.lock().values().map(|rest| rest.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_rests_longer_with_every_failure_and_not_at_all_once_it_was_read() {
        let at = |seconds| Timestamp::from_second(seconds).expect("valid");
        let (kind, other) = (GroupKind::new("example.com", "Widget"), GroupKind::new("", "ConfigMap"));
        let rests = Rests::default();
        let mut now = at(0);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            rests.note(&kind, false, now);
            rests.note(&kind, false, now);
            let until = rests.next().expect("it rests");
            pauses.push(until.as_second() - now.as_second());
            assert!(rests.contains(&kind, now) && !rests.contains(&other, now) && !rests.contains(&kind, until));
            now = until;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        rests.note(&kind, true, now);
        assert_eq!(rests.next(), None);
    }
}
