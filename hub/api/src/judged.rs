//! Health as it may be shown: passed through the freshness of the report it comes from, with the report's age beside it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_model::{Freshness, Health};

use crate::{FreshnessWord, HealthWord};

/// A health that may be shown. Only a fresh report counts; after that the health is Unknown, and what was reported last stands aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    health: HealthWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_reported_health: Option<HealthWord>,
    freshness: FreshnessWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    age_seconds: Option<u64>,
}

impl Judged {
    /// What may be said of `reported`, heard `age` ago by the hub's own clock. `None` for what was never reported or heard.
    pub fn of(reported: Option<Health>, age: Option<Duration>) -> Self {
        let freshness = Freshness::of_age(age);
        let fresh = freshness == Freshness::Fresh;
        Self {
            health: freshness.judge(reported.unwrap_or(Health::Unknown)).into(),
            last_reported_health: reported.filter(|_| !fresh).map(Into::into),
            freshness: freshness.into(),
            age_seconds: age.map(|age| age.as_secs()),
        }
    }

    /// The worst of several, each member for itself: one silent cluster makes the whole Unknown, and its age is the whole's. Nothing at
    /// all is Unknown.
    pub fn worst(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().reduce(Self::worse).unwrap_or_else(|| Self::of(None, None))
    }

    fn worse(self, other: Self) -> Self {
        let reported = |judged: Self| judged.last_reported_health.unwrap_or(judged.health);
        let freshness = self.freshness.max(other.freshness);
        let stale = freshness != FreshnessWord::Fresh;
        Self {
            health: self.health.max(other.health),
            last_reported_health: stale.then(|| reported(self).max(reported(other))),
            freshness,
            // Never heard is older than any age.
            age_seconds: self.age_seconds.zip(other.age_seconds).map(|(a, b)| a.max(b)),
        }
    }

    /// The health to show.
    pub fn health(&self) -> HealthWord {
        self.health
    }

    /// What was reported last, if it is too old to be the health.
    pub fn last_reported_health(&self) -> Option<HealthWord> {
        self.last_reported_health
    }

    /// How old the report is, as a word.
    pub fn freshness(&self) -> FreshnessWord {
        self.freshness
    }

    /// How old the report is; `None` if there never was one.
    pub fn age_seconds(&self) -> Option<u64> {
        self.age_seconds
    }
}

/// How many of something are in which health.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCounts {
    total: u32,
    healthy: u32,
    suspended: u32,
    progressing: u32,
    waiting: u32,
    missing: u32,
    degraded: u32,
    unknown: u32,
}

impl HealthCounts {
    /// Counts what may be shown, so that a silent cluster's apps count as unknown.
    pub fn of<'a>(all: impl IntoIterator<Item = &'a Judged>) -> Self {
        let mut counts = Self::default();
        for judged in all {
            counts.total += 1;
            *counts.slot(judged.health()) += 1;
        }
        counts
    }

    /// All.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Those in `health`.
    pub fn in_health(&self, health: HealthWord) -> u32 {
        let mut copy = *self;
        *copy.slot(health)
    }

    fn slot(&mut self, health: HealthWord) -> &mut u32 {
        match health {
            HealthWord::Healthy => &mut self.healthy,
            HealthWord::Suspended => &mut self.suspended,
            HealthWord::Progressing => &mut self.progressing,
            HealthWord::Waiting => &mut self.waiting,
            HealthWord::Missing => &mut self.missing,
            HealthWord::Degraded => &mut self.degraded,
            HealthWord::Unknown => &mut self.unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy(seconds: u64) -> Judged {
        Judged::of(Some(Health::Healthy), Some(Duration::from_secs(seconds)))
    }

    #[test]
    fn a_silent_cluster_is_unknown_and_says_what_it_said_last() {
        let show = |judged: Judged| serde_json::to_string(&judged).unwrap();
        assert_eq!(show(healthy(29)), r#"{"health":"Healthy","freshness":"Fresh","ageSeconds":29}"#);
        let stale = r#"{"health":"Unknown","lastReportedHealth":"Healthy","freshness":"Stale","ageSeconds":30}"#;
        assert_eq!(show(healthy(30)), stale);
        assert_eq!(serde_json::from_str::<Judged>(stale).unwrap(), healthy(30));
        assert_eq!(show(Judged::of(None, None)), r#"{"health":"Unknown","freshness":"Offline"}"#);
    }

    #[test]
    fn the_whole_is_as_old_as_its_oldest_part_and_no_better_than_its_worst() {
        let degraded = Judged::of(Some(Health::Degraded), Some(Duration::from_secs(3)));
        assert_eq!(Judged::worst([healthy(1), degraded]).health(), HealthWord::Degraded);
        let whole = Judged::worst([healthy(1), degraded, healthy(95)]);
        assert_eq!((whole.health(), whole.freshness(), whole.age_seconds()), (HealthWord::Unknown, FreshnessWord::Offline, Some(95)));
        assert_eq!(whole.last_reported_health(), Some(HealthWord::Degraded));
        assert_eq!(Judged::worst([healthy(1), Judged::of(None, None)]).age_seconds(), None);
        assert_eq!(Judged::worst([]).health(), HealthWord::Unknown);
    }

    #[test]
    fn counts_never_call_a_silent_cluster_healthy() {
        let counts = HealthCounts::of(&[healthy(1), healthy(2), healthy(31)]);
        assert_eq!((counts.total(), counts.in_health(HealthWord::Healthy), counts.in_health(HealthWord::Unknown)), (3, 2, 1));
    }
}
