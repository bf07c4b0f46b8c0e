//! The hub's clock in the demo: the real one, which `--once` moves forward so that a silent cluster need not be waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shared_model::{Clock, Timestamp};

/// A clock that can be ahead of the real one. Clones are the same clock.
#[derive(Clone, Default)]
pub(crate) struct MovableClock(Arc<AtomicU64>);

impl MovableClock {
    /// Moves it forward.
    pub(crate) fn forward(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    /// As the hub takes its clock.
    pub(crate) fn for_hub(&self) -> Clock {
        let ahead = self.0.clone();
        Clock::new(move || Timestamp::now() + Duration::from_secs(ahead.load(Ordering::SeqCst)))
    }
}
