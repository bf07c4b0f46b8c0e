//! An orderly end: SIGTERM or SIGINT begins it, a deadline or a second signal completes it. What each part finishes meanwhile is left to
//! that part.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How far the end of the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// New work is refused, work begun is finished until then.
    Draining {
        until: Instant,
    },
    /// Nothing waits any more.
    Ended,
}

/// The process's end as its parts see it. Clones see the same. If every [`Trigger`] is gone the end has come.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<Phase>);

/// Begins and completes the end. Clones do the same.
#[derive(Debug, Clone)]
pub struct Trigger {
    phase: watch::Sender<Phase>,
    drain: Duration,
}

/// Work was cut short because the time to drain was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work was cut short: the time to finish it was over, or a second signal came")]
pub struct CutShort;

impl Shutdown {
    /// An end that only the trigger begins, for tests and for processes that hold several hubs and agents; `drain` is the time that parts
    /// have to finish.
    pub fn manual(drain: Duration) -> (Trigger, Self) {
        let (phase, seen) = watch::channel(Phase::Running);
        (Trigger { phase, drain }, Self(seen))
    }

    /// An end that SIGTERM or SIGINT begins and a second one completes at once. The trigger does both too.
    ///
    /// # Errors
    /// If the signals cannot be watched.
    pub fn on_signals(drain: Duration) -> std::io::Result<(Trigger, Self)> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (trigger, shutdown) = Self::manual(drain);
        let signals = trigger.clone();
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                }
            };
            let name = next().await;
            tracing::info!(signal = name, drain_seconds = drain.as_secs(), "shutting down");
            signals.begin();
            let name = next().await;
            tracing::warn!(signal = name, "second signal: ending at once");
            signals.end();
        });
        Ok((trigger, shutdown))
    }

    /// Whether the end has begun: no new work.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow() != Phase::Running
    }

    /// Returns when the end begins.
    pub async fn begun(&self) {
        // An error means that no trigger is left, which is an end too.
        let _ = self.0.clone().wait_for(|phase| *phase != Phase::Running).await;
    }

    /// Returns when the end is complete: the time to drain is over, or a second signal came.
    pub async fn ended(&self) {
        self.begun().await;
        let until = match *self.0.borrow() {
            Phase::Draining { until } => until,
            Phase::Running | Phase::Ended => return,
        };
        let mut phase = self.0.clone();
        tokio::select! {
            () = sleep_until(until) => {}
            _ = phase.wait_for(|phase| *phase == Phase::Ended) => {}
        }
    }

    /// Runs `work` to its end, or until the end of the process is complete.
    ///
    /// # Errors
    /// [`CutShort`] if the work was dropped unfinished.
    pub async fn drain<T>(&self, work: impl Future<Output = T>) -> Result<T, CutShort> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.ended() => Err(CutShort),
        }
    }
}

impl Trigger {
    /// Begins the end: the deadline counts from here. Later calls change nothing.
    pub fn begin(&self) {
        let until = Instant::now() + self.drain;
        self.phase.send_if_modified(|phase| {
            let begins = *phase == Phase::Running;
            if begins {
                *phase = Phase::Draining { until };
            }
            begins
        });
    }

    /// Completes the end at once.
    pub fn end(&self) {
        self.phase.send_replace(Phase::Ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_finishes_in_time_is_finished() {
        let (trigger, shutdown) = Shutdown::manual(Duration::from_secs(600));
        assert!(!shutdown.has_begun());
        let seen = shutdown.clone();
        let work = tokio::spawn(async move { seen.drain(seen.begun()).await });
        trigger.begin();
        assert_eq!(work.await.unwrap(), Ok(()));
        assert!(shutdown.has_begun());
    }

    #[tokio::test]
    async fn the_deadline_cuts_work_short() {
        let (trigger, shutdown) = Shutdown::manual(Duration::from_millis(1));
        trigger.begin();
        assert_eq!(shutdown.drain(std::future::pending::<()>()).await, Err(CutShort));
    }

    #[tokio::test]
    async fn a_second_call_ends_before_the_deadline() {
        let (trigger, shutdown) = Shutdown::manual(Duration::from_secs(600));
        trigger.begin();
        trigger.end();
        shutdown.ended().await;
    }

    #[tokio::test]
    async fn an_end_that_nobody_can_begin_any_more_has_come() {
        let (trigger, shutdown) = Shutdown::manual(Duration::from_secs(600));
        drop(trigger);
        shutdown.ended().await;
    }
}
