//! What takes long to make and is made of the secret of a fleet is kept with the chart, so that it is made once and not in each render. It is no
//! secret more than there is: whoever can read it here can read the one that it is derived from.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

/// How many results are kept of one chart: the eight keys of a large one for thirty clusters. The longest, a key of 4,096 bits, has 2.4 KB, so that
/// all are less than a megabyte.
const KEPT_LIMIT: usize = 256;

/// Keys and hashes by the names of the streams of chance that they were made of.
#[derive(Default)]
pub(crate) struct Kept(Mutex<BTreeMap<[u8; 32], Zeroizing<Vec<u8>>>>);

impl Kept {
    /// What was made under `name`, or what `make` makes now.
    pub(crate) fn of(&self, name: [u8; 32], make: impl FnOnce() -> Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return known.clone();
        }
        // Others may go on meanwhile; of two that make the same the result is the same.
        let made = make();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_LIMIT {
            kept.clear();
        }
        kept.insert(name, made.clone());
        made
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_not_made_again_and_is_not_printed() {
        let kept = Kept::default();
        let make = |byte: u8| move || Zeroizing::new(vec![byte]);
        assert_eq!(*kept.of([1; 32], make(65)), [65]);
        assert_eq!(*kept.of([1; 32], || unreachable!("it is kept")), [65]);
        assert_eq!(*kept.of([2; 32], make(66)), [66]);
        assert_eq!(format!("{kept:?}"), "Kept(..)");
        for more in 3..=255 {
            kept.of([more; 32], make(more));
        }
        kept.of([0; 32], make(0));
        assert_eq!(kept.0.lock().unwrap().len(), KEPT_LIMIT);
        kept.of([7; 31].iter().copied().chain([8]).collect::<Vec<_>>().try_into().unwrap(), make(9));
        assert_eq!(kept.0.lock().unwrap().len(), 1);
    }
}
