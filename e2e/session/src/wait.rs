//! Waiting for a predicate, never for time.

use std::time::Duration;

use tokio::sync::watch;

/// After this long a predicate that does not hold fails its test; a machine under load needs some of it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `holds`.
///
/// # Panics
/// If it does not within [`PATIENCE`].
pub async fn until<T>(receiver: &mut watch::Receiver<T>, what: &str, holds: impl FnMut(&T) -> bool) {
    match tokio::time::timeout(PATIENCE, receiver.wait_for(holds)).await {
        Ok(found) => {
            found.unwrap_or_else(|_| panic!("waited for {what}, and its source is gone"));
        }
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}
