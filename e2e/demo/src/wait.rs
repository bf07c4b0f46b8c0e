//! Waiting for something to become true, and saying what was seen instead if it does not.

use std::time::{Duration, Instant};

use anyhow::bail;

/// Long enough for a busy machine; what works never waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two looks, so that looking does not slow down what is looked at.
const BETWEEN: Duration = Duration::from_millis(5);

/// Why something is not true yet.
pub(crate) type NotYet = String;

/// Looks until there is an answer. Times out with why there was none.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, NotYet>) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(answer) => return Ok(answer),
            Err(why) if start.elapsed() > PATIENCE => bail!("{what}: not so after {} s: {why}", PATIENCE.as_secs()),
            Err(_) => tokio::time::sleep(BETWEEN).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_answer_is_given_when_it_comes() {
        let mut looks = 0;
        let answer = until("three looks", async || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err(format!("only {looks}")) }
        });
        assert_eq!(answer.await.expect("an answer"), 3);
    }
}
