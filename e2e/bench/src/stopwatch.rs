//! Times that were taken more than once, and how they are written. Beside the time that passes stands the time that a processor worked: it
//! hardly depends on what else a machine does.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::machine;

/// How long a processor is kept busy before the first time is taken, so that it runs at its usual speed.
const WARM_UP: Duration = Duration::from_millis(300);

/// Times of the same work, sorted; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// These times.
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The one in the middle.
    pub(crate) fn median(&self) -> Duration {
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }

    /// How far the longest and the shortest lie apart, in percent of the median.
    pub(crate) fn spread(&self) -> f64 {
        let (Some(least), Some(most)) = (self.0.first(), self.0.last()) else { return 0.0 };
        100.0 * (*most - *least).as_secs_f64() / self.median().as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The median, and the spread if there are several.
    pub(crate) fn text(&self) -> String {
        match self.0.len() {
            0 | 1 => duration(self.median()),
            _ => format!("{} ±{:.0}%", duration(self.median()), self.spread() / 2.0),
        }
    }
}

/// The same work, timed in two ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Measured {
    /// The time that passed.
    pub(crate) wall: Times,
    /// The time that processors worked.
    pub(crate) processor: Times,
}

/// Does `work` some `times` in this thread. The first error ends it.
pub(crate) fn repeat<E>(times: usize, work: impl FnMut() -> Result<(), E>) -> Result<Measured, E> {
    measure(times, own_time, work)
}

/// Has `work` done some `times` by other processes that this one starts.
pub(crate) fn repeat_in_children<E>(times: usize, work: impl FnMut() -> Result<(), E>) -> Result<Measured, E> {
    measure(times, machine::children_time, work)
}

/// Does `work` some `times`, each after `prepare`, which is not timed; nor is giving back what it has prepared.
pub(crate) fn repeat_prepared<T, E>(
    times: usize,
    mut prepare: impl FnMut(usize) -> Result<T, E>,
    mut work: impl FnMut(&T) -> Result<(), E>,
) -> Result<Measured, E> {
    let mut taken = Vec::with_capacity(times);
    for round in 0..times.max(1) {
        let prepared = prepare(round)?;
        taken.push(one(own_time, || work(&prepared))?);
    }
    Ok(Measured::new(taken))
}

fn measure<E>(times: usize, clock: fn() -> Duration, mut work: impl FnMut() -> Result<(), E>) -> Result<Measured, E> {
    let taken: Result<Vec<_>, E> = (0..times.max(1)).map(|_| one(clock, &mut work)).collect();
    Ok(Measured::new(taken?))
}

fn one<E>(clock: fn() -> Duration, work: impl FnOnce() -> Result<(), E>) -> Result<(Duration, Duration), E> {
    let (before, started) = (clock(), Instant::now());
    work()?;
    Ok((started.elapsed(), clock().saturating_sub(before)))
}

/// How long this thread worked so far.
fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

impl Measured {
    fn new(taken: Vec<(Duration, Duration)>) -> Self {
        let (wall, processor) = taken.into_iter().unzip();
        Self { wall: Times::new(wall), processor: Times::new(processor) }
    }
}

/// Keeps the processor busy for a moment.
pub(crate) fn warm_up() {
    let started = Instant::now();
    let mut number = 1_u64;
    while started.elapsed() < WARM_UP {
        number = black_box(number.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1));
    }
}

/// A time with three digits.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        _ if seconds >= 1.0 => format!("{} s", three_digits(seconds)),
        _ if seconds >= 1e-3 => format!("{} ms", three_digits(seconds * 1e3)),
        _ => format!("{} µs", three_digits(seconds * 1e6)),
    }
}

/// How many times `ours` fits into `theirs`.
pub(crate) fn ratio(theirs: f64, ours: f64) -> String {
    format!("{}x", three_digits(theirs / ours.max(f64::MIN_POSITIVE)))
}

/// Megabytes (10^6) each second.
pub(crate) fn speed(bytes: usize, time: Duration) -> String {
    three_digits(bytes as f64 / 1e6 / time.as_secs_f64().max(f64::MIN_POSITIVE))
}

/// A number with three digits, or all of them in front of the point.
pub(crate) fn three_digits(number: f64) -> String {
    match number {
        _ if number >= 100.0 => format!("{number:.0}"),
        _ if number >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_some_times_counts_and_the_outer_ones_are_the_spread() {
        let times = Times::new([30, 10, 20].map(Duration::from_millis).to_vec());
        assert_eq!(times.median(), Duration::from_millis(20));
        assert_eq!(times.text(), "20.0 ms ±50%");
        assert_eq!(Times::new(vec![Duration::from_micros(1500)]).text(), "1.50 ms");
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!([0.123, 1.236, 12.36, 123.6, 12_345.0].map(three_digits), ["0.12", "1.24", "12.4", "124", "12345"]);
        assert_eq!(ratio(10.0, 4.0), "2.50x");
        assert_eq!(speed(3_000_000, Duration::from_millis(20)), "150");
    }
}
