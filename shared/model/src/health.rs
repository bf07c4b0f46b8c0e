//! Health of an object or an app, and freshness of what is known about a cluster.

use std::fmt;
use std::time::Duration;

/// How an object or an app is. Ordered from best to worst, so that an app's health is the maximum over its objects
/// (Argo CD's order Healthy < Suspended < Progressing < Missing < Degraded < Unknown, with Waiting beside Progressing).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Health {
    /// Works as its kind defines it.
    Healthy,
    /// Held on purpose: paused, suspended.
    Suspended,
    /// On its way.
    Progressing,
    /// Cannot go on yet through no fault of its own: quota, GPUs, an approval.
    Waiting,
    /// Wanted and not there.
    Missing,
    /// Failed, or past its deadline.
    Degraded,
    /// Could not be observed. Never shown as green.
    #[default]
    Unknown,
}

impl Health {
    /// All values, best first.
    pub const ALL: [Self; 7] =
        [Self::Healthy, Self::Suspended, Self::Progressing, Self::Waiting, Self::Missing, Self::Degraded, Self::Unknown];

    /// The word used in every table, API and metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Suspended => "Suspended",
            Self::Progressing => "Progressing",
            Self::Waiting => "Waiting",
            Self::Missing => "Missing",
            Self::Degraded => "Degraded",
            Self::Unknown => "Unknown",
        }
    }

    /// The value of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|health| health.as_str() == word)
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A cluster that has not been heard for this long is Stale: three heartbeats of 10 seconds were missed.
pub const STALE_AFTER: Duration = Duration::from_secs(30);

/// A cluster that has not been heard for this long is Offline; with [`STALE_AFTER`] this keeps the promise of 90 seconds.
pub const OFFLINE_AFTER: Duration = Duration::from_secs(90);

/// How old the last word from a cluster is, by the hub's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Freshness {
    /// Heard within [`STALE_AFTER`].
    Fresh,
    /// Silent for [`STALE_AFTER`] or more.
    Stale,
    /// Silent for [`OFFLINE_AFTER`] or more, or never heard.
    Offline,
}

impl Freshness {
    /// The freshness of a report that is `age` old; `None` if there never was one.
    pub fn of_age(age: Option<Duration>) -> Self {
        match age {
            Some(age) if age < STALE_AFTER => Self::Fresh,
            Some(age) if age < OFFLINE_AFTER => Self::Stale,
            _ => Self::Offline,
        }
    }

    /// What may be said of a health that was reported this long ago: only a fresh report counts, everything else is Unknown.
    pub fn judge(self, reported: Health) -> Health {
        match self {
            Self::Fresh => reported,
            Self::Stale | Self::Offline => Health::Unknown,
        }
    }

    /// The word used in every table, API and metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "Fresh",
            Self::Stale => "Stale",
            Self::Offline => "Offline",
        }
    }
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_cluster_is_stale_then_offline_and_never_green() {
        let at = |s| Freshness::of_age(Some(Duration::from_secs(s)));
        assert_eq!([at(0), at(29), at(30), at(89), at(90)], {
            use Freshness::{Fresh, Offline, Stale};
            [Fresh, Fresh, Stale, Stale, Offline]
        });
        assert_eq!(Freshness::of_age(None), Freshness::Offline);
        assert_eq!(at(31).judge(Health::Healthy), Health::Unknown);
    }

    #[test]
    fn the_worst_health_wins() {
        assert_eq!([Health::Healthy, Health::Degraded, Health::Progressing].into_iter().max(), Some(Health::Degraded));
        assert!(Health::ALL.into_iter().all(|h| Health::parse(h.as_str()) == Some(h)));
    }
}
