//! The source of everything that Go takes from chance or the clock: derived from a secret of the fleet, so that the same inputs give the same text
//! and nobody who reads the repository can compute it. What functions make of it is left to `functions`.

use std::fmt;
use std::sync::Arc;

use ring::hmac::{HMAC_SHA256, Key, sign};
use zeroize::Zeroizing;

/// What the text that is derived belongs to: two scopes share nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope<'a> {
    /// The app.
    pub app: &'a str,
    /// The cluster that the render is for; empty if it is for all.
    pub cluster: &'a str,
    /// The release.
    pub release: &'a str,
}

/// The instants that a render knows, in seconds since 1970. Neither is the moment of rendering, so that the result stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calendar {
    /// What `now` gives, always: the instant that the fleet's secret was made, say.
    pub anchor: i64,
    /// When certificates must be valid. Only whole periods since the anchor count: see [`Calendar::period`].
    pub today: i64,
}

/// From when a certificate is valid, and when a render makes the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) from: i64,
    pub(crate) until: i64,
    /// The number of the period since the anchor, which the key is of too.
    pub(crate) number: i64,
}

/// Seconds of a day.
const DAY: i64 = 86_400;

impl Calendar {
    /// The period for a certificate of so many days: two thirds of them, so that the last third is left to roll the next one out.
    pub(crate) fn period(self, days: i64) -> Period {
        let length = (days.saturating_mul(DAY) / 3).saturating_mul(2).max(1);
        let number = self.today.saturating_sub(self.anchor).div_euclid(length);
        let from = self.anchor.saturating_add(number.saturating_mul(length));
        Period { from, until: from.saturating_add(length), number }
    }
}

/// A secret for one scope, and the calendar.
#[derive(Clone)]
pub struct Chance {
    secret: Arc<Zeroizing<[u8; 32]>>,
    calendar: Calendar,
}

impl Chance {
    /// Derives from the fleet's secret `key` for `scope`.
    pub fn new(key: &[u8; 32], scope: &Scope<'_>, calendar: Calendar) -> Self {
        let Scope { app, cluster, release } = scope;
        Self {
            secret: Arc::new(derived(key, &[b"capstan chart chance 1", app.as_bytes(), cluster.as_bytes(), release.as_bytes()])),
            calendar,
        }
    }

    /// What is told of time.
    pub(crate) fn calendar(&self) -> Calendar {
        self.calendar
    }

    /// The bytes for one call: the `number`th of `function` in the file `template`.
    pub(crate) fn stream(&self, template: &[u8], function: &str, number: u64) -> Stream {
        Stream::new(&derived(&self.secret, &[template, function.as_bytes(), &number.to_be_bytes()]))
    }
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chance").field("calendar", &self.calendar).finish_non_exhaustive()
    }
}

/// HMAC-SHA256 of `parts`, each with its length before it.
fn derived(key: &[u8; 32], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut message = Zeroizing::new(Vec::new());
    for part in parts {
        message.extend((part.len() as u64).to_be_bytes());
        message.extend(*part);
    }
    let tag = sign(&Key::new(HMAC_SHA256, key), &message);
    let mut derived = Zeroizing::new([0; 32]);
    derived.copy_from_slice(tag.as_ref());
    derived
}

/// Endless bytes: HMAC-SHA256 of a counter.
pub(crate) struct Stream {
    key: Key,
    counter: u64,
    block: Zeroizing<[u8; 32]>,
    /// Bytes of `block` that are given out already.
    taken: usize,
}

impl Stream {
    fn new(key: &[u8; 32]) -> Self {
        Self { key: Key::new(HMAC_SHA256, key), counter: 0, block: Zeroizing::new([0; 32]), taken: 32 }
    }

    /// Other bytes, for one period of the calendar.
    pub(crate) fn of_period(&self, number: i64) -> Self {
        self.branch(&[b"period".as_slice(), &number.to_be_bytes()].concat())
    }

    /// Other bytes, for a part of what is made: taking more or less of them changes nothing else.
    pub(crate) fn branch(&self, name: &[u8]) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(sign(&self.key, name).as_ref());
        Self::new(&key)
    }

    /// What tells it from all other streams, from which nothing of it can be computed.
    pub(crate) fn name(&self) -> [u8; 32] {
        let mut name = [0; 32];
        name.copy_from_slice(sign(&self.key, b"name").as_ref());
        name
    }

    /// Fills `bytes` with the next ones.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.taken == self.block.len() {
                self.block.copy_from_slice(sign(&self.key, &self.counter.to_be_bytes()).as_ref());
                self.counter += 1;
                self.taken = 0;
            }
            *byte = self.block[self.taken];
            self.taken += 1;
        }
    }

    /// The next bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> Zeroizing<[u8; N]> {
        let mut bytes = Zeroizing::new([0; N]);
        self.fill(&mut *bytes);
        bytes
    }

    /// A number below `limit`, each as likely as the others; 0 if `limit` is 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        let Some(beyond) = u64::MAX.checked_rem(limit) else { return 0 };
        // Numbers above the last whole multiple of the limit would make small ones likelier.
        let last = u64::MAX - (beyond + 1) % limit;
        loop {
            let number = u64::from_be_bytes(*self.bytes());
            if number <= last {
                return number % limit;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALENDAR: Calendar = Calendar { anchor: 1_700_000_000, today: 1_710_000_000 };

    fn first_bytes(key: [u8; 32], [app, cluster, release]: [&str; 3], template: &str, function: &str, number: u64) -> [u8; 16] {
        *Chance::new(&key, &Scope { app, cluster, release }, CALENDAR).stream(template.as_bytes(), function, number).bytes()
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes_and_each_input_counts() {
        let base = || first_bytes([7; 32], ["a", "b", "c"], "t", "f", 0);
        assert_eq!(base(), base());
        let others = [
            first_bytes([8; 32], ["a", "b", "c"], "t", "f", 0),
            first_bytes([7; 32], ["x", "b", "c"], "t", "f", 0),
            first_bytes([7; 32], ["a", "x", "c"], "t", "f", 0),
            first_bytes([7; 32], ["a", "b", "x"], "t", "f", 0),
            first_bytes([7; 32], ["ab", "", "c"], "t", "f", 0),
            first_bytes([7; 32], ["a", "b", "c"], "x", "f", 0),
            first_bytes([7; 32], ["a", "b", "c"], "t", "x", 0),
            first_bytes([7; 32], ["a", "b", "c"], "tf", "", 0),
            first_bytes([7; 32], ["a", "b", "c"], "t", "f", 1),
        ];
        for (place, other) in others.iter().enumerate() {
            assert_ne!(*other, base(), "{place}");
            assert!(!others[..place].contains(other), "{place}");
        }
    }

    #[test]
    fn numbers_below_a_limit_are_evenly_spread() {
        let mut stream = Chance::new(&[1; 32], &Scope { app: "", cluster: "", release: "" }, CALENDAR).stream(b"", "", 0);
        let mut counts = [0; 7];
        for _ in 0..7_000 {
            counts[stream.below(7) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
        assert_eq!((stream.below(0), stream.below(1)), (0, 0));
    }

    #[test]
    fn a_period_holds_today_and_begins_whole_periods_from_the_anchor() {
        for days in [1, 2, 30, 365, 3650] {
            let period = CALENDAR.period(days);
            assert!((period.from..period.until).contains(&CALENDAR.today), "{days}");
            assert_eq!((period.from - CALENDAR.anchor) % (period.until - period.from), 0);
            assert_eq!(period.until - period.from, days * DAY * 2 / 3);
        }
        let before = Calendar { anchor: 1000, today: 999 }.period(1);
        assert!((before.from..before.until).contains(&999));
        for days in [i64::MIN, -1, 0, i64::MAX] {
            let _ = CALENDAR.period(days);
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        let chance = Chance::new(&[0x41; 32], &Scope { app: "a", cluster: "b", release: "c" }, CALENDAR);
        assert!(!format!("{chance:?}").contains("65"), "{chance:?}");
    }
}
