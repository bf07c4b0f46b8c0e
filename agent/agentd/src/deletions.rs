//! What was deleted within the last hour: there is a limit to it, whatever the reason.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared_model::Timestamp;

/// What the limits are about.
const HOUR: Duration = Duration::from_secs(3600);

/// When this agent deleted objects, as far back as an hour.
#[derive(Debug, Default)]
pub(crate) struct Deletions(Mutex<VecDeque<Timestamp>>);

impl Deletions {
    /// How many there were within the hour before `now`.
    pub(crate) fn within_an_hour(&self, now: Timestamp) -> u32 {
        count(&self.since(now))
    }

    /// Takes down a deletion.
    pub(crate) fn note(&self, now: Timestamp) {
        self.since(now).push_back(now);
    }

    /// Takes down one that is about to happen, unless there were `limit` of them already: says whether it may.
    pub(crate) fn reserve(&self, limit: u32, now: Timestamp) -> bool {
        let mut deletions = self.since(now);
        let may = count(&deletions) < limit;
        if may {
            deletions.push_back(now);
        }
        may
    }

    /// Takes back what was reserved at this time: it did not happen, and must not hold up other deletions.
    pub(crate) fn take_back(&self, reserved: Timestamp) {
        let mut deletions = self.since(reserved);
        if let Some(at) = deletions.iter().position(|at| *at == reserved) {
            deletions.remove(at);
        }
    }

    fn since(&self, now: Timestamp) -> MutexGuard<'_, VecDeque<Timestamp>> {
        let mut deletions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back makes none of them older.
        deletions.retain(|at| Duration::try_from(now.duration_since(*at)).map_or(true, |age| age < HOUR));
        deletions
    }
}

fn count(deletions: &VecDeque<Timestamp>) -> u32 {
    u32::try_from(deletions.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_within_an_hour() {
        let at = |seconds: i64| Timestamp::from_second(seconds).expect("valid");
        let deletions = Deletions::default();
        deletions.note(at(0));
        assert!(deletions.reserve(2, at(10)));
        assert!(!deletions.reserve(2, at(3_599)), "the first of two is not an hour old");
        assert!(!deletions.reserve(2, at(5)), "a clock that was set back makes room for none");
        assert!(deletions.reserve(2, at(3_600)));
        assert_eq!(deletions.within_an_hour(at(3_600)), 2);
        deletions.take_back(at(3_600));
        assert_eq!(deletions.within_an_hour(at(3_600)), 1, "it did not happen");
        deletions.take_back(at(3_600));
        assert_eq!(deletions.within_an_hour(at(3_600)), 1, "and is taken back once");
    }
}
