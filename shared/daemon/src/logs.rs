//! Logs on standard error, as JSON for collectors or text for people. What is worth a line is left to the code that logs.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// One line of text, coloured on a terminal unless `NO_COLOR` is set.
    Text,
}

impl LogFormat {
    /// The word used in flags, environment and files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no log format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no log format; use json or text")]
pub struct UnknownLogFormat {
    /// What was read.
    pub text: String,
}

impl FromStr for LogFormat {
    type Err = UnknownLogFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Json, Self::Text]
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| UnknownLogFormat { text: text.chars().take(40).collect() })
    }
}

/// What is logged and how. An operator turns `filter` to `debug` to follow one part, as in `info,hub_source=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// How a line looks; JSON by default.
    pub format: LogFormat,
    /// Directives as `tracing_subscriber::EnvFilter` reads them; `info` by default.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::default(), filter: "info".to_owned() }
    }
}

/// Logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("the log filter \"{filter}\" cannot be read; write for example info or info,hub_source=debug")]
    BadFilter {
        /// The filter as given.
        filter: String,
        /// What the reader says.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Another part of the process set up logs before.
    #[error("BUG: logs were set up twice in one process")]
    AlreadySet,
}

/// Sends the whole process's logs to standard error.
///
/// # Errors
/// See [`LogError`].
pub fn init_tracing(config: &LogConfig) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|source| LogError::BadFilter { filter: config.filter.chars().take(200).collect(), source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).finish().try_init(),
        LogFormat::Text => lines.with_ansi(wants_colour()).finish().try_init(),
    }
    .map_err(|_| LogError::AlreadySet)
}

/// Colour is for terminals whose owner has not asked for none (<https://no-color.org>).
fn wants_colour() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_reads_back_what_it_writes_and_anything_else_names_the_choices() {
        for format in [LogFormat::Json, LogFormat::Text] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let error = "JSON".parse::<LogFormat>().unwrap_err().to_string();
        assert_eq!(error, "\"JSON\" is no log format; use json or text");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_named() {
        let error = init_tracing(&LogConfig { filter: "info,=[".to_owned(), ..LogConfig::default() }).unwrap_err();
        assert!(error.to_string().contains("\"info,=[\""), "{error}");
    }
}
