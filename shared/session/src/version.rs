//! Which protocol two ends speak: each offers ranges, the highest version in both is spoken.

use std::fmt;

/// A protocol version. A new minor adds fields and messages that older readers ignore; a new major changes meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion {
    /// Meanings.
    pub major: u32,
    /// Additions.
    pub minor: u32,
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// All minors of one major from `oldest` to `newest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionRange {
    /// The major.
    pub major: u32,
    /// The oldest minor that is spoken.
    pub oldest: u32,
    /// The newest minor that is spoken.
    pub newest: u32,
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { major, oldest, newest } = self;
        if oldest == newest { write!(f, "{major}.{oldest}") } else { write!(f, "{major}.{oldest} to {major}.{newest}") }
    }
}

/// What one side speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionOffer(Vec<VersionRange>);

/// What this build speaks. A release keeps the two minors before it (`oldest` trails `newest` by 2 at least), so that hub and agent may differ by
/// two minor versions.
pub const OUR_VERSIONS: VersionRange = VersionRange { major: 1, oldest: 0, newest: 0 };

/// Hub and agent have no version in common.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the hub speaks protocol {hub}, the agent {agent}; upgrade the {older}")]
pub struct NoCommonVersion {
    /// What the hub offers.
    pub hub: VersionOffer,
    /// What the agent offers.
    pub agent: VersionOffer,
    /// Which side is behind.
    pub older: &'static str,
}

impl VersionOffer {
    /// The most ranges that are read: the current major, one before, and one after.
    pub const RANGE_LIMIT: usize = 3;

    /// An offer of `ranges`; those beyond [`VersionOffer::RANGE_LIMIT`] and those that hold nothing are left out.
    pub fn new(ranges: impl IntoIterator<Item = VersionRange>) -> Self {
        Self(ranges.into_iter().filter(|range| range.oldest <= range.newest).take(Self::RANGE_LIMIT).collect())
    }

    /// What this build offers.
    pub fn ours() -> Self {
        Self::new([OUR_VERSIONS])
    }

    /// The ranges.
    pub fn ranges(&self) -> &[VersionRange] {
        &self.0
    }

    fn newest(&self) -> Option<ProtocolVersion> {
        self.0.iter().map(|range| ProtocolVersion { major: range.major, minor: range.newest }).max()
    }

    /// The highest version that `hub` and `agent` both speak.
    pub fn negotiate(hub: &Self, agent: &Self) -> Result<ProtocolVersion, NoCommonVersion> {
        let common = |one: &VersionRange, other: &VersionRange| {
            let minor = one.newest.min(other.newest);
            (one.major == other.major && minor >= one.oldest.max(other.oldest)).then_some(ProtocolVersion { major: one.major, minor })
        };
        let best = hub.0.iter().flat_map(|one| agent.0.iter().filter_map(move |other| common(one, other))).max();
        let older = if agent.newest() < hub.newest() { "agent" } else { "hub" };
        best.ok_or_else(|| NoCommonVersion { hub: hub.clone(), agent: agent.clone(), older })
    }
}

impl fmt::Display for VersionOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (place, range) in self.0.iter().enumerate() {
            write!(f, "{}{range}", if place == 0 { "" } else { " and " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(ranges: &[(u32, u32, u32)]) -> VersionOffer {
        VersionOffer::new(ranges.iter().map(|&(major, oldest, newest)| VersionRange { major, oldest, newest }))
    }

    #[test]
    fn the_highest_version_in_both_offers_is_spoken() {
        for (hub, agent, spoken) in [
            (&[(1, 0, 0)][..], &[(1, 0, 0)][..], Some((1, 0))),
            // Two minors apart, either side ahead.
            (&[(1, 1, 3)], &[(1, 0, 1)], Some((1, 1))),
            (&[(1, 0, 1)], &[(1, 1, 3)], Some((1, 1))),
            (&[(1, 0, 9), (2, 0, 1)], &[(1, 4, 9), (2, 1, 4)], Some((2, 1))),
            (&[(1, 0, 9), (2, 0, 1)], &[(1, 4, 7)], Some((1, 7))),
            (&[(1, 2, 4)], &[(1, 0, 1)], None),
            (&[(2, 0, 0)], &[(1, 0, 9)], None),
            (&[(1, 0, 0)], &[(1, 3, 2)], None),
            (&[(1, 0, 0)], &[], None),
        ] {
            let found = VersionOffer::negotiate(&offer(hub), &offer(agent)).ok().map(|version| (version.major, version.minor));
            assert_eq!(found, spoken, "hub {hub:?} agent {agent:?}");
        }
    }

    #[test]
    fn a_refusal_names_both_offers_and_who_must_move() {
        let refusal = VersionOffer::negotiate(&offer(&[(1, 2, 4)]), &offer(&[(1, 0, 1)])).unwrap_err();
        assert_eq!(refusal.to_string(), "the hub speaks protocol 1.2 to 1.4, the agent 1.0 to 1.1; upgrade the agent");
    }
}
