//! Waiting for something to become true, and saying what was seen instead if it does not.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::bail;

/// Long enough for a busy machine; what works never waits for it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The pause before it is asked again, so that the asking leaves the processor to what is waited for: at most this is added to a time that is
/// measured.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// Asks again and again until `good` says yes; returns the answer and how long that took.
///
/// # Errors
/// It did not become true within [`PATIENCE`]; the message shows the last answer.
pub async fn eventually<T: Debug, F: Future<Output = anyhow::Result<T>>>(
    what: &str,
    ask: impl Fn() -> F,
    good: impl Fn(&T) -> bool,
) -> anyhow::Result<(T, Duration)> {
    eventually_within(PATIENCE, what, ask, good).await
}

/// As [`eventually`], for what takes its time by design.
///
/// # Errors
/// It did not become true within `limit`; the message shows the last answer.
pub async fn eventually_within<T: Debug, F: Future<Output = anyhow::Result<T>>>(
    limit: Duration,
    what: &str,
    ask: impl Fn() -> F,
    good: impl Fn(&T) -> bool,
) -> anyhow::Result<(T, Duration)> {
    let start = Instant::now();
    loop {
        let answer = ask().await;
        match &answer {
            Ok(found) if good(found) => return Ok((answer?, start.elapsed())),
            _ if start.elapsed() > limit => bail!("{what}: still {answer:#?} after {limit:?}"),
            _ => tokio::time::sleep(ASK_AGAIN).await,
        }
    }
}
