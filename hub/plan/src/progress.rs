//! What a rollout must remember between two looks at it: its target, and since when each cluster has had it and was healthy with it. What
//! follows from it is left to `rollout`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared_model::{ClusterName, Digest, Timestamp};

use crate::stored::{InvalidStored, decode, encode, malformed};

/// The version of the stored form. A hub refuses a newer one.
pub const PROGRESS_VERSION: u64 = 1;

const WHAT: &str = "progress of a rollout";

/// How far the rollout of one app is. If it is lost, all clusters are watched anew from the first stage on; nothing moves sooner for that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RolloutState {
    /// The release that each cluster is to take; empty before the first.
    pub target: BTreeMap<ClusterName, Digest>,
    /// Since when that is the target.
    pub since: Option<Timestamp>,
    /// All stages were done once. What fails later is no failure of this rollout.
    pub finished: bool,
    /// It failed and was taken back: when, and why.
    pub taken_back: Option<(Timestamp, String)>,
    /// The clusters.
    pub clusters: BTreeMap<ClusterName, Progress>,
}

/// How far one cluster is with its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The target.
    pub release: Digest,
    /// This rollout let it move.
    pub granted: bool,
    /// What it ran before, if this rollout let it move and it ran something.
    pub before: Option<Digest>,
    /// Since when its index names the target.
    pub moved: Option<Timestamp>,
    /// Since when it has been healthy at the target without a break that is known.
    pub healthy: Option<Timestamp>,
}

impl Progress {
    pub(crate) const fn new(release: Digest) -> Self {
        Self { release, granted: false, before: None, moved: None, healthy: None }
    }
}

#[derive(Serialize, Deserialize)]
struct StateFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(default)]
    finished: bool,
    #[serde(rename = "takenBack", default, skip_serializing_if = "Option::is_none")]
    taken_back: Option<TakenBackFile>,
    target: BTreeMap<String, String>,
    clusters: BTreeMap<String, ProgressFile>,
}

#[derive(Serialize, Deserialize)]
struct TakenBackFile {
    at: String,
    why: String,
}

#[derive(Serialize, Deserialize)]
struct ProgressFile {
    release: String,
    #[serde(default)]
    granted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    moved: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    healthy: Option<String>,
}

impl RolloutState {
    /// As it is stored.
    pub fn encode(&self) -> Vec<u8> {
        let time = |at: &Option<Timestamp>| at.map(|at| at.to_string());
        let progress = |progress: &Progress| ProgressFile {
            release: progress.release.to_string(),
            granted: progress.granted,
            before: progress.before.map(|digest| digest.to_string()),
            moved: time(&progress.moved),
            healthy: time(&progress.healthy),
        };
        let file = StateFile {
            since: time(&self.since),
            finished: self.finished,
            taken_back: self.taken_back.as_ref().map(|(at, why)| TakenBackFile { at: at.to_string(), why: why.clone() }),
            target: self.target.iter().map(|(name, digest)| (name.to_string(), digest.to_string())).collect(),
            clusters: self.clusters.iter().map(|(name, cluster)| (name.to_string(), progress(cluster))).collect(),
        };
        encode(PROGRESS_VERSION, &file)
    }

    /// Reads what [`RolloutState::encode`] wrote.
    ///
    /// # Errors
    /// A newer version, or damage.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidStored> {
        fn read<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, InvalidStored> {
            text.parse().map_err(|error| malformed(WHAT, error))
        }
        let time = |text: Option<String>| text.map(|text| read::<Timestamp>(&text)).transpose();
        let file: StateFile = decode(WHAT, PROGRESS_VERSION, bytes)?;
        let mut state = Self { since: time(file.since)?, finished: file.finished, ..Self::default() };
        if let Some(TakenBackFile { at, why }) = file.taken_back {
            state.taken_back = Some((read(&at)?, why));
        }
        for (name, digest) in &file.target {
            state.target.insert(read(name)?, read(digest)?);
        }
        for (name, cluster) in file.clusters {
            let progress = Progress {
                release: read(&cluster.release)?,
                granted: cluster.granted,
                before: cluster.before.map(|text| read(&text)).transpose()?,
                moved: time(cluster.moved)?,
                healthy: time(cluster.healthy)?,
            };
            state.clusters.insert(read(&name)?, progress);
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_reads_back_what_it_writes_and_refuses_a_newer_one() {
        let name: ClusterName = "a".parse().expect("valid");
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let at = Timestamp::from_second(1_800_000_000).expect("valid");
        let full = Progress { release: one, granted: true, before: Some(two), moved: Some(at), healthy: Some(at) };
        for progress in [Progress::new(one), full] {
            let state = RolloutState {
                target: BTreeMap::from([(name.clone(), one)]),
                since: Some(at),
                finished: true,
                taken_back: Some((at, "because".to_owned())),
                clusters: BTreeMap::from([(name.clone(), progress)]),
            };
            assert_eq!(RolloutState::decode(&state.encode()), Ok(state));
        }
        assert_eq!(RolloutState::decode(&RolloutState::default().encode()), Ok(RolloutState::default()));
        let newer = InvalidStored::Newer { what: WHAT, version: 9, supported: 1 };
        assert_eq!(RolloutState::decode(br#"{"version":9}"#), Err(newer));
        assert!(RolloutState::decode(br#"{"version":1,"target":{"a":"x"},"clusters":{}}"#).is_err());
    }
}
