//! Numbers that only go forward: the epoch of a hub's authority and the sequence of a cluster's index within it.

use std::fmt;

/// The hub's authority. It rises when a hub is restored from a backup or its keys are replaced by the root document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

/// The number of an index within an epoch; the first is 1, 0 means "none yet".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(pub u64);

/// Which index this is. Ordered by epoch, then sequence; agents never go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation {
    /// The hub's authority.
    pub epoch: Epoch,
    /// The number within that authority.
    pub sequence: Sequence,
}

impl Generation {
    /// The generation of `epoch` and `sequence`.
    pub const fn new(epoch: u64, sequence: u64) -> Self {
        Self { epoch: Epoch(epoch), sequence: Sequence(sequence) }
    }

    /// The next one in the same epoch.
    pub const fn next(self) -> Self {
        Self { epoch: self.epoch, sequence: Sequence(self.sequence.0 + 1) }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch.0, self.sequence.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_epoch_is_newer_whatever_the_sequence() {
        assert!(Generation::new(2, 1) > Generation::new(1, 900));
        assert!(Generation::new(1, 2).next() == Generation::new(1, 3));
    }
}
