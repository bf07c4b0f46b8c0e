//! Two agents with one identity: a copied key, or the same agent deployed twice. A restart changes the boot id and never goes back to the one
//! before; two agents that push each other out do.

use std::collections::VecDeque;
use std::time::Duration;

use crate::message::BootId;

/// How far back alternation counts.
pub const CLONE_WINDOW: Duration = Duration::from_secs(600);

/// How many past boots are remembered for each identity: enough to see A, B, A among some restarts.
const REMEMBERED: usize = 8;

/// The boots seen lately under one identity.
#[derive(Debug, Clone, Default)]
pub struct CloneWatch {
    boots: VecDeque<(BootId, Duration)>,
}

/// Two processes use one identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloneSuspicion {
    /// The boot that came back.
    pub returned: BootId,
    /// The boot that was seen in between.
    pub between: BootId,
}

impl CloneWatch {
    /// Takes note that `boot` connected at `uptime`, and says whether that shows two agents.
    pub fn connected(&mut self, boot: BootId, uptime: Duration) -> Option<CloneSuspicion> {
        self.boots.retain(|(_, seen)| uptime.saturating_sub(*seen) <= CLONE_WINDOW);
        let between = match self.boots.back() {
            Some((last, _)) if *last == boot => None,
            Some((last, _)) if self.boots.iter().any(|(seen, _)| *seen == boot) => Some(*last),
            _ => None,
        };
        if self.boots.back().is_some_and(|(last, _)| *last == boot) {
            self.boots.pop_back();
        }
        self.boots.push_back((boot, uptime));
        if self.boots.len() > REMEMBERED {
            self.boots.pop_front();
        }
        between.map(|between| CloneSuspicion { returned: boot, between })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_are_no_clones_and_alternation_is() {
        let boot = |n: u8| BootId([n; 16]);
        let seen = |boots: &[(u8, u64)]| {
            let mut watch = CloneWatch::default();
            boots.iter().filter(|(n, at)| watch.connected(boot(*n), Duration::from_secs(*at)).is_some()).count()
        };
        assert_eq!(seen(&[(1, 0), (1, 1), (1, 2)]), 0, "one agent with a bad network");
        assert_eq!(seen(&[(1, 0), (2, 1), (3, 2), (3, 3)]), 0, "one agent that restarts");
        assert_eq!(seen(&[(1, 0), (2, 1), (1, 2), (2, 3)]), 2, "two agents");
        assert_eq!(seen(&[(1, 0), (2, 1), (1, 700)]), 0, "long ago");
    }
}
