//! The process's metrics in Prometheus' text format. Which metrics exist, and the closed sets of their label values, are left to the
//! parts that measure: each declares its metrics as constants and takes label values from the words of its own enums.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, TextEncoder};

/// The most series of one metric: 100 regions × 14 values of two enums, seven times over. What comes after is counted in
/// `capstan_metric_series_refused_total` and not kept, so that names from outside cannot fill the memory (a series takes about 300
/// bytes: 3 MB a metric).
pub const SERIES_LIMIT: usize = 10_000;

/// A metric with `N` labels, declared as a constant beside what it measures.
///
/// ```
/// use shared_daemon::Metric;
/// /// Apps per region and health.
/// const APPS: Metric<2> = Metric { name: "capstan_hub_apps", help: "Apps per region and health.", labels: ["region", "health"] };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric<const N: usize> {
    /// Its name with its unit: `…_total`, `…_seconds`, `…_bytes`.
    pub name: &'static str,
    /// What it says, as a sentence.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: [&'static str; N],
}

/// A metric cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("BUG: the metric {name} cannot be registered: {why}")]
pub struct MetricError {
    /// Its name.
    pub name: &'static str,
    /// Registered twice, or a name or label that Prometheus does not take.
    pub why: String,
}

/// The metrics of this process. Clones share them.
#[derive(Clone)]
pub struct Registry(Arc<Families>);

struct Families {
    registry: prometheus::Registry,
    /// Held for writing while a gauge's series are replaced, so that no scrape sees half of them.
    replacing: RwLock<()>,
    refused: IntCounterVec,
    resident: prometheus::Gauge,
}

impl Registry {
    /// The registry of the process `process` ("capstan-hub") of `version`, which started at `started`.
    ///
    /// It has from the start: `capstan_build_info`, `process_start_time_seconds`, `process_resident_memory_bytes` (on Linux) and
    /// `capstan_metric_series_refused_total`.
    ///
    /// # Errors
    /// Never with the names above; they are checked by a test.
    pub fn new(process: &str, version: &str, started: SystemTime) -> Result<Self, MetricError> {
        const REFUSED: Metric<1> = Metric {
            name: "capstan_metric_series_refused_total",
            help: "Updates of metric series that were not kept because the metric has too many.",
            labels: ["metric"],
        };
        const BUILD: Metric<2> =
            Metric { name: "capstan_build_info", help: "Always 1; says which build runs.", labels: ["process", "version"] };
        const STARTED: Metric<0> =
            Metric { name: "process_start_time_seconds", help: "When the process started, as seconds since 1970.", labels: [] };
        const RESIDENT: Metric<0> =
            Metric { name: "process_resident_memory_bytes", help: "Memory of the process that is in RAM.", labels: [] };

        let registry = prometheus::Registry::new();
        let refused = IntCounterVec::new(opts(&REFUSED), &REFUSED.labels).map_err(|why| bug(REFUSED.name, &why))?;
        register(&registry, REFUSED.name, &refused)?;
        let resident = prometheus::Gauge::with_opts(opts(&RESIDENT)).map_err(|why| bug(RESIDENT.name, &why))?;
        if resident_bytes().is_some() {
            register(&registry, RESIDENT.name, &resident)?;
        }
        let registry = Self(Arc::new(Families { registry, replacing: RwLock::new(()), refused, resident }));
        registry.gauge(BUILD)?.set([process, version], 1.0);
        let started = started.duration_since(UNIX_EPOCH).unwrap_or_default();
        registry.gauge(STARTED)?.set([], started.as_secs_f64());
        Ok(registry)
    }

    /// Registers a number that only grows.
    ///
    /// # Errors
    /// See [`MetricError`].
    pub fn counter<const N: usize>(&self, metric: Metric<N>) -> Result<Counter<N>, MetricError> {
        let vec = IntCounterVec::new(opts(&metric), &metric.labels).map_err(|why| bug(metric.name, &why))?;
        register(&self.0.registry, metric.name, &vec)?;
        if N == 0 {
            vec.with_label_values::<&str>(&[]);
        }
        Ok(Counter { vec, series: self.series(metric.name) })
    }

    /// Registers a number that goes up and down.
    ///
    /// # Errors
    /// See [`MetricError`].
    pub fn gauge<const N: usize>(&self, metric: Metric<N>) -> Result<Gauge<N>, MetricError> {
        let vec = GaugeVec::new(opts(&metric), &metric.labels).map_err(|why| bug(metric.name, &why))?;
        register(&self.0.registry, metric.name, &vec)?;
        Ok(Gauge { vec, series: self.series(metric.name), families: self.0.clone() })
    }

    /// Registers a distribution of durations in seconds; `buckets` are upper bounds, ascending.
    ///
    /// # Errors
    /// See [`MetricError`].
    pub fn histogram<const N: usize>(&self, metric: Metric<N>, buckets: &[f64]) -> Result<Histogram<N>, MetricError> {
        let opts = HistogramOpts::new(metric.name, metric.help).buckets(buckets.to_vec());
        let vec = HistogramVec::new(opts, &metric.labels).map_err(|why| bug(metric.name, &why))?;
        register(&self.0.registry, metric.name, &vec)?;
        Ok(Histogram { vec, series: self.series(metric.name) })
    }

    /// All metrics in Prometheus' text format, version 0.0.4.
    pub fn text(&self) -> String {
        if let Some(bytes) = resident_bytes() {
            self.0.resident.set(bytes as f64);
        }
        let families = {
            let _whole = self.0.replacing.read().unwrap_or_else(PoisonError::into_inner);
            self.0.registry.gather()
        };
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|why| format!("# BUG: metrics cannot be written: {why}\n"))
    }

    fn series(&self, name: &'static str) -> Series {
        Series { name, known: Arc::default(), refused: self.0.refused.clone() }
    }
}

/// A number that only grows. Clones are the same counter.
#[derive(Clone)]
pub struct Counter<const N: usize> {
    vec: IntCounterVec,
    series: Series,
}

impl<const N: usize> Counter<N> {
    /// Adds `amount` to the series with these label values.
    pub fn add(&self, labels: [&str; N], amount: u64) {
        if self.series.admits(&labels) {
            self.vec.with_label_values(&labels).inc_by(amount);
        }
    }
}

/// A number that goes up and down. Clones are the same gauge.
#[derive(Clone)]
pub struct Gauge<const N: usize> {
    vec: GaugeVec,
    series: Series,
    families: Arc<Families>,
}

impl<const N: usize> Gauge<N> {
    /// Sets the series with these label values.
    pub fn set(&self, labels: [&str; N], value: f64) {
        if self.series.admits(&labels) {
            self.vec.with_label_values(&labels).set(value);
        }
    }

    /// Replaces all series at once; those not named are gone. A scrape sees the old ones or the new ones.
    pub fn replace<'a>(&self, series: impl IntoIterator<Item = ([&'a str; N], f64)>) {
        let _whole = self.families.replacing.write().unwrap_or_else(PoisonError::into_inner);
        self.vec.reset();
        self.series.forget();
        for (labels, value) in series {
            self.set(labels, value);
        }
    }
}

/// A distribution of durations. Clones are the same histogram.
#[derive(Clone)]
pub struct Histogram<const N: usize> {
    vec: HistogramVec,
    series: Series,
}

impl<const N: usize> Histogram<N> {
    /// Counts one `duration` in the series with these label values.
    pub fn observe(&self, labels: [&str; N], duration: Duration) {
        if self.series.admits(&labels) {
            self.vec.with_label_values(&labels).observe(duration.as_secs_f64());
        }
    }
}

/// The label values that one metric has, so that they stay below [`SERIES_LIMIT`].
#[derive(Clone)]
struct Series {
    name: &'static str,
    known: Arc<Mutex<BTreeSet<Vec<String>>>>,
    refused: IntCounterVec,
}

impl Series {
    fn admits(&self, labels: &[&str]) -> bool {
        let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = known.contains(&labels) || (known.len() < SERIES_LIMIT && known.insert(labels));
        if !admitted {
            self.refused.with_label_values(&[self.name]).inc();
        }
        admitted
    }

    fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn opts<const N: usize>(metric: &Metric<N>) -> Opts {
    Opts::new(metric.name, metric.help)
}

fn register(
    registry: &prometheus::Registry,
    name: &'static str,
    family: &(impl prometheus::core::Collector + Clone + 'static),
) -> Result<(), MetricError> {
    registry.register(Box::new(family.clone())).map_err(|why| bug(name, &why))
}

fn bug(name: &'static str, why: &prometheus::Error) -> MetricError {
    MetricError { name, why: why.to_string() }
}

/// `VmRSS` of this process; `None` where there is no `/proc`.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        Registry::new("capstan-hub", "1.2.3", UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap()
    }

    const APPS: Metric<2> = Metric { name: "capstan_hub_apps", help: "Apps per region and health.", labels: ["region", "health"] };

    #[test]
    fn a_process_says_which_build_it_is_and_since_when() {
        let text = registry().text();
        assert!(text.contains("capstan_build_info{process=\"capstan-hub\",version=\"1.2.3\"} 1\n"), "{text}");
        assert!(text.contains("process_start_time_seconds 1700000000\n"), "{text}");
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
    }

    #[test]
    fn replacing_a_gauge_drops_the_series_that_are_no_more() {
        let registry = registry();
        let apps = registry.gauge(APPS).unwrap();
        apps.replace([(["eu", "Healthy"], 3.0), (["us", "Degraded"], 1.0)]);
        apps.replace([(["eu", "Healthy"], 4.0)]);
        let lines: Vec<String> = registry.text().lines().filter(|line| line.starts_with("capstan_hub_apps")).map(str::to_owned).collect();
        assert_eq!(lines, ["capstan_hub_apps{health=\"Healthy\",region=\"eu\"} 4"]);
    }

    #[test]
    fn counters_and_histograms_add_up() {
        let registry = registry();
        let commits = registry.counter(Metric { name: "capstan_commits_total", help: "Commits.", labels: [] }).unwrap();
        assert!(registry.text().contains("capstan_commits_total 0\n"));
        commits.add([], 2);
        commits.add([], 1);
        let took = registry.histogram(Metric { name: "capstan_took_seconds", help: "Took.", labels: ["step"] }, &[0.1, 1.0]).unwrap();
        took.observe(["render"], Duration::from_millis(500));
        let text = registry.text();
        assert!(text.contains("capstan_commits_total 3\n"), "{text}");
        assert!(text.contains("capstan_took_seconds_bucket{step=\"render\",le=\"1\"} 1\n"), "{text}");
        assert!(text.contains("capstan_took_seconds_sum{step=\"render\"} 0.5\n"), "{text}");
    }

    #[test]
    fn label_values_from_outside_cannot_fill_the_memory() {
        let registry = registry();
        let apps = registry.gauge(APPS).unwrap();
        for number in 0..SERIES_LIMIT + 5 {
            apps.set([&number.to_string(), "Healthy"], 1.0);
        }
        let text = registry.text();
        assert_eq!(text.lines().filter(|line| line.starts_with("capstan_hub_apps{")).count(), SERIES_LIMIT);
        assert!(text.contains("capstan_metric_series_refused_total{metric=\"capstan_hub_apps\"} 5\n"));
    }

    #[test]
    fn a_metric_cannot_be_registered_twice() {
        let registry = registry();
        registry.gauge(APPS).unwrap();
        assert_eq!(registry.gauge(APPS).err().map(|error| error.name), Some("capstan_hub_apps"));
    }
}
