//! Amounts as people write them in a fleet repository: durations as Go's `time.ParseDuration` reads them, and shares (`3` or `25%`).

use std::fmt;
use std::time::Duration;

/// The longest duration that a field takes: a year. Longer ones are typing errors.
pub(crate) const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Reads a Go duration without sign: `15m`, `1h30m`, `1.5h`, `300ms`, `0`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("\"{text}\" is no duration; write numbers with units, as in 90s, 15m or 1h30m (units: ms, s, m, h)");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanos: u128 = 0;
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic() && c != 'µ').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit: u128 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(invalid()),
        };
        nanos += decimal(number, unit).ok_or_else(invalid)?;
        if nanos > LONGEST.as_nanos() {
            return Err(format!("\"{text}\" is longer than a year"));
        }
        rest = tail;
    }
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| invalid())
}

/// `number` times `unit`, exactly but for digits below one nanosecond.
fn decimal(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 18 || fraction.len() > 18 {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    Some(whole.checked_mul(unit)? + fraction.checked_mul(unit)? / scale)
}

/// A number of clusters, or a part of those in question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Share {
    /// So many.
    Count(u32),
    /// So many of a hundred, 0 to 100.
    Percent(u8),
}

impl Share {
    /// How many of `total` it is. A percentage is rounded down, and to 1 if it is above 0 (as Argo CD's `maxUpdate`), so that a small stage
    /// goes on.
    pub fn of(self, total: usize) -> usize {
        match self {
            Self::Count(count) => count as usize,
            Self::Percent(0) => 0,
            Self::Percent(percent) => (total * usize::from(percent) / 100).max(1),
        }
    }

    /// Reads `25%`.
    pub(crate) fn parse_percent(text: &str) -> Option<Self> {
        let digits = text.strip_suffix('%')?;
        let percent: u8 = if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok()? } else { return None };
        (percent <= 100).then_some(Self::Percent(percent))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in [("0", 0), ("15m", 900_000), ("1h30m", 5_400_000), ("1.5h", 5_400_000), ("300ms", 300), (".5s", 500)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "15", "m", "1x", "-1s", "1 h", "1.2.3s", ".s", "9999999h", "1d", "9".repeat(99).as_str()] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_share_of_a_small_stage_is_at_least_one_cluster() {
        assert_eq!(Share::Percent(25).of(2), 1);
        assert_eq!(Share::Percent(25).of(9), 2);
        assert_eq!(Share::Percent(0).of(9), 0);
        assert_eq!(Share::Count(3).of(1), 3);
        for (text, read) in [("25%", Some(Share::Percent(25))), ("101%", None), ("%", None), ("+5%", None), ("5", None)] {
            assert_eq!(Share::parse_percent(text), read, "{text}");
        }
    }
}
