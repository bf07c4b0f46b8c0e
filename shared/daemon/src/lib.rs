//! What each long-running process of Capstan has: logs, metrics, readiness, an orderly end, an admin endpoint, a configuration file.
//! It leaves what is logged, measured and checked to the parts that know, and all wiring to the binaries.

mod admin;
mod config;
mod logs;
mod metrics;
mod readiness;
mod shutdown;

pub use admin::AdminServer;
pub use config::{CONFIG_BYTES_LIMIT, ConfigError, layered, read_config};
pub use logs::{LogConfig, LogError, LogFormat, UnknownLogFormat, init_tracing};
pub use metrics::{Counter, Gauge, Histogram, Metric, MetricError, Registry, SERIES_LIMIT};
pub use readiness::{Check, CheckResult, Readiness};
pub use shutdown::{CutShort, Shutdown, Trigger};
