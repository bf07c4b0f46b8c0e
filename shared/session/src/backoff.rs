//! When to come back: pure functions of the attempt and a seed.

use std::time::Duration;

/// The window of the first attempt after a connection ended.
pub const RECONNECT_FIRST: Duration = Duration::from_secs(2);

/// The longest window: after a long outage 10,000 agents come back within 30 s, about 330 a second, under the 870 handshakes a second that a hub
/// with two cores manages.
pub const RECONNECT_CAP: Duration = Duration::from_secs(30);

/// The shortest wait, so that a broken pair never spins.
const FLOOR: Duration = Duration::from_millis(100);

/// How long to wait before attempt number `attempt` (0 is the first): anywhere in a window that doubles from [`RECONNECT_FIRST`] to
/// [`RECONNECT_CAP`] ("full jitter").
pub fn reconnect_delay(attempt: u32, seed: u64) -> Duration {
    let window = RECONNECT_FIRST.saturating_mul(2_u32.saturating_pow(attempt.min(16))).min(RECONNECT_CAP);
    spread(window, seed).max(FLOOR)
}

/// How long to wait when the hub said `retry_after`: never less, and up to half more, so that those who were told the same do not come together.
pub fn directed_delay(retry_after: Duration, seed: u64) -> Duration {
    retry_after.saturating_add(spread(retry_after / 2, seed)).max(FLOOR)
}

/// A point in `0..window` chosen by `seed`.
pub fn spread(window: Duration, seed: u64) -> Duration {
    // The upper 32 bits of the mixed seed as a fraction; splitmix64 makes neighbours differ.
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let fraction = u128::from((mixed ^ (mixed >> 31)) >> 32);
    let nanos = window.as_nanos().saturating_mul(fraction) >> 32;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn delays_stay_in_their_window(attempt in 0_u32..100, seed: u64, asked in 0_u64..100_000) {
            let delay = reconnect_delay(attempt, seed);
            prop_assert!(delay >= FLOOR && delay <= RECONNECT_CAP);
            let asked = Duration::from_millis(asked);
            let directed = directed_delay(asked, seed);
            prop_assert!(directed >= asked && directed <= (asked * 3 / 2).max(FLOOR));
        }
    }

    #[test]
    fn ten_thousand_agents_do_not_come_together() {
        let mut second = [0; 30];
        for seed in 0..10_000 {
            second[reconnect_delay(10, seed).as_secs() as usize] += 1;
        }
        assert!(second.iter().all(|count| (200..500).contains(count)), "{second:?}");
    }
}
