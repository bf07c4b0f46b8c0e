//! When a source is looked at: at its interval, spread by jitter; sooner on demand; and after failures less and less often, up to a cap.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hub_tree::SourceTree;
use shared_model::Revision;
use tokio::sync::{Notify, watch};

use crate::error::FetchError;
use crate::mirror::CommitError;
use crate::state::{History, Refreshed, SourceState};

/// A place with content of which one revision is followed: a branch of a repository, a range of versions of a chart.
pub trait Source: Send + Sync + 'static {
    /// What logs call it.
    fn label(&self) -> String;

    /// The time between two looks at it.
    fn interval(&self) -> Duration;

    /// What is known about it.
    fn state(&self) -> SourceState;

    /// Looks at the remote and fetches what is new. Blocks, so that async code calls [`refresh_in_background`]; `interrupt` calls it off. On
    /// failure the last good revision stays.
    fn refresh(&self, interrupt: &AtomicBool) -> Result<Refreshed, FetchError>;

    /// The tree of `revision`, also of an older one that is still here.
    fn tree(&self, revision: &Revision) -> Result<Arc<dyn SourceTree>, CommitError>;
}

/// [`Source::refresh`] on a thread where it may block. A dropped future calls it off.
pub async fn refresh_in_background<S: Source + ?Sized>(source: Arc<S>) -> Result<Refreshed, FetchError> {
    struct SetOnDrop(Arc<AtomicBool>);
    impl Drop for SetOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let interrupt = Arc::new(AtomicBool::new(false));
    let _called_off = SetOnDrop(interrupt.clone());
    let label = source.label();
    match tokio::task::spawn_blocking(move || source.refresh(&interrupt)).await {
        Ok(result) => result,
        Err(error) => Err(FetchError::Panicked { url: label, detail: error.to_string() }),
    }
}

/// The wait after the first failure. A dropped connection is often whole again by then.
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// The longest wait that failures cause: whoever repairs a server sees it picked up within five minutes, without asking for it.
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// The part of a wait by which it may be shorter or longer: with 10 %, a thousand sources that started together are spread over the whole
/// interval after about ten rounds.
const JITTER: f64 = 0.1;

/// How long to wait after an attempt. `seed` differs from source to source and `attempt` from wait to wait; `failures` are those in a row.
pub fn next_delay(interval: Duration, failures: u32, seed: u64, attempt: u64) -> Duration {
    let base = match failures {
        0 => interval,
        failures => {
            let doubled = FIRST_RETRY.saturating_mul(1u32.checked_shl(failures - 1).unwrap_or(u32::MAX));
            doubled.min(LONGEST_RETRY.max(interval))
        }
    };
    // 2^-53 makes the upper 53 bits a fraction from 0 to 1.
    let fraction = (mixed(seed ^ attempt.wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
    base.mul_f64(1.0 - JITTER + 2.0 * JITTER * fraction)
}

/// SplitMix64's finaliser: neighbouring inputs give unrelated outputs.
fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A seed from a source's name, the same at each start (FNV-1a).
pub fn seed_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Refreshes `source` until nobody receives `states` any more: at once, at its interval, and when `refresh_now` is notified. Demands that
/// come during a refresh make one more, however many they are. Each refresh, also a failed one, sends the state.
pub async fn run<S: Source + ?Sized>(source: Arc<S>, refresh_now: Arc<Notify>, states: watch::Sender<SourceState>) {
    let label = source.label();
    let seed = seed_of(&label);
    let mut attempt = 0;
    loop {
        let outcome = tokio::select! {
            outcome = refresh_in_background(source.clone()) => outcome,
            () = states.closed() => return,
        };
        match &outcome {
            Ok(refreshed) => match &refreshed.history {
                History::Unchanged => {}
                History::Rewritten { lost_commit } => {
                    tracing::warn!(source = %label, revision = %refreshed.revision, lost_commit, "the source's history was rewritten");
                }
                _ => tracing::info!(source = %label, revision = %refreshed.revision, "the source has a new revision"),
            },
            Err(error) => tracing::warn!(source = %label, %error, "the source could not be refreshed"),
        }
        let state = source.state();
        let delay = next_delay(source.interval(), state.consecutive_failures, seed, attempt);
        attempt += 1;
        states.send_replace(state);
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = refresh_now.notified() => {}
            () = states.closed() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(delay: Duration, base: u64) -> bool {
        let base = Duration::from_secs(base);
        delay >= base.mul_f64(0.9) && delay <= base.mul_f64(1.1)
    }

    #[test]
    fn failures_double_the_wait_up_to_a_cap() {
        let minute = Duration::from_secs(60);
        for (failures, base) in
            [(0, 60), (1, 5), (2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 300), (8, 300), (40, 300), (u32::MAX, 300)]
        {
            let delay = next_delay(minute, failures, 7, 3);
            assert!(within(delay, base), "{failures} failures: {delay:?}");
        }
        assert!(within(next_delay(Duration::from_secs(3600), 30, 7, 3), 3600), "never more often than a long interval");
    }

    #[test]
    fn sources_and_rounds_are_spread() {
        let minute = Duration::from_secs(60);
        let delays: std::collections::BTreeSet<_> = (0..100).map(|n| next_delay(minute, 0, seed_of(&format!("source-{n}")), 0)).collect();
        assert_eq!(delays.len(), 100);
        assert!(delays.iter().any(|delay| *delay < Duration::from_secs(57)) && delays.iter().any(|delay| *delay > Duration::from_secs(63)));
        assert_ne!(next_delay(minute, 0, 7, 1), next_delay(minute, 0, 7, 2));
        assert_eq!(next_delay(minute, 0, 7, 1), next_delay(minute, 0, 7, 1));
    }
}
