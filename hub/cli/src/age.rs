//! Ages as people read them.

/// `12s`, `3m`, `3h`, `2d`; two units below ten of the greater, as in `1h20m`, where the difference matters.
pub(crate) fn age(seconds: u64) -> String {
    const UNITS: [(u64, char); 4] = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];
    let greatest = UNITS.iter().position(|(length, _)| seconds >= *length).unwrap_or(3);
    let (length, unit) = UNITS[greatest];
    let whole = format!("{}{unit}", seconds / length);
    match UNITS.get(greatest + 1) {
        Some((smaller, letter)) if seconds / length < 10 && seconds % length >= *smaller => {
            format!("{whole}{}{letter}", seconds % length / smaller)
        }
        _ => whole,
    }
}

/// The age of something that may never have been.
pub(crate) fn age_or_never(seconds: Option<u64>) -> String {
    seconds.map_or_else(|| "never".to_owned(), age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let ages = [0, 12, 59, 60, 95, 600, 3_599, 3_600, 4_800, 86_400, 90_061, 900_000].map(age);
        assert_eq!(ages, ["0s", "12s", "59s", "1m", "1m35s", "10m", "59m", "1h", "1h20m", "1d", "1d1h", "10d"]);
    }
}
