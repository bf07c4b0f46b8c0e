//! Why a chart cannot be rendered: which chart, which file and line, through which templates, and what to do. Helm's own words stay recognisable,
//! because people search for them.

use hub_gotemplate::{Exceeded, ExecError, ParseError};

use crate::functions::{MESSAGE_END, MESSAGE_START};

/// What names of releases look like.
const RELEASE_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// The longest name of a release: Kubernetes allows 63 characters for most names, and charts append to it.
pub(crate) const RELEASE_NAME_LIMIT: usize = 53;

/// Why a chart cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HelmError {
    /// The name of the release is none.
    #[error(
        "release name check failed: release name {0:?}: invalid release name, must match regex {RELEASE_NAME} and the length must not be longer than {RELEASE_NAME_LIMIT}"
    )]
    ReleaseName(String),
    /// A library cannot be rendered by itself.
    #[error("library charts are not installable: {chart} only holds definitions; list it in the dependencies of a chart that uses it")]
    Library {
        /// The chart.
        chart: String,
    },
    /// Dependencies are not in `charts/`.
    #[error("an error occurred while checking for chart dependencies. You may need to run 'helm dependency build' to fetch missing dependencies: found in Chart.yaml, but missing in charts/ directory: {} (of {chart}; commit what it fetches)", missing.join(", "))]
    MissingDependencies {
        /// The chart.
        chart: String,
        /// Their names.
        missing: Vec<String>,
    },
    /// Values cannot be read.
    #[error("{0}")]
    Values(String),
    /// A value has the wrong type where a chart lies.
    #[error("{chart}: {message}: a map of values belongs there, because a chart of this name is in it")]
    Coalescing {
        /// The chart.
        chart: String,
        /// Helm's words.
        message: String,
    },
    /// Values break the rules of a chart.
    #[error("values don't meet the specifications of the schema(s) in the following chart(s):\n{0}")]
    Schema(String),
    /// The cluster is too old or too new.
    #[error("chart requires kubeVersion: {wanted} which is incompatible with Kubernetes {found}")]
    KubeVersion {
        /// The range in `Chart.yaml`.
        wanted: String,
        /// The version of the cluster.
        found: String,
    },
    /// A template cannot be parsed.
    #[error("parse error at ({file}:{line}): {message}")]
    Parse {
        /// The template.
        file: String,
        /// The line, from 1.
        line: usize,
        /// Go's words.
        message: String,
    },
    /// A template failed.
    #[error("{message}")]
    Template {
        /// The template file that was being rendered.
        file: String,
        /// Helm's text: places and reasons, the outermost first.
        message: String,
        /// The templates that include each other, the outermost first, as `file:line`.
        chain: Vec<String>,
    },
    /// A template takes too much.
    #[error("{file}: {exceeded}{}; does a template include itself, or loop over something it grows?", through(chain))]
    Exceeded {
        /// The template file that was being rendered.
        file: String,
        /// The budget.
        exceeded: Exceeded,
        /// The templates that include each other, the outermost first, as `file:line`; of a long chain its two ends.
        chain: Vec<String>,
    },
    /// What a template gave is no YAML, or no manifest.
    #[error("YAML parse error on {file}: {message}")]
    Manifest {
        /// The template file.
        file: String,
        /// Go's words, or the parser's.
        message: String,
    },
    /// A file that was asked for gave nothing.
    #[error("could not find template {file} in chart")]
    NotShown {
        /// What was asked for.
        file: String,
    },
}

/// The most links of a chain that are shown: half from each end.
const CHAIN_LIMIT: usize = 10;

fn through(chain: &[String]) -> String {
    if chain.is_empty() { String::new() } else { format!(" (through {})", chain.join(" > ")) }
}

impl HelmError {
    /// A template that cannot be parsed, as Helm says it: only the last of Go's words.
    pub(crate) fn parse(error: &ParseError) -> Self {
        let message = error.message.rsplit(": ").next().unwrap_or_default().to_owned();
        Self::Parse { file: error.template.to_string(), line: error.line, message }
    }

    /// A failed execution of the template `file`.
    pub(crate) fn execution(file: &str, error: &ExecError) -> Self {
        let chain = chain(error);
        if let Some(exceeded) = error.exceeded() {
            return Self::Exceeded { file: file.to_owned(), exceeded, chain };
        }
        Self::Template { file: file.to_owned(), message: helms_words(error), chain }
    }
}

/// The places of a failure, the outermost first.
fn chain(error: &ExecError) -> Vec<String> {
    let mut places: Vec<String> =
        error.chain().filter_map(|failure| failure.place.as_ref()).map(|place| format!("{}:{}", place.source, place.line)).collect();
    places.dedup();
    if places.len() > CHAIN_LIMIT {
        let left_out = places.len() - CHAIN_LIMIT;
        places.splice(CHAIN_LIMIT / 2..CHAIN_LIMIT / 2 + left_out, [format!("{left_out} more")]);
    }
    places
}

/// The text of an error as Helm puts it together from Go's.
fn helms_words(error: &ExecError) -> String {
    let whole = error.to_string();
    let mut tokens = whole.splitn(3, ": ");
    let (Some(_), Some(location), Some(rest)) = (tokens.next(), tokens.next(), tokens.next()) else { return whole };
    // The message of `fail` or `required`, which is all that its author wants to be read.
    if let Some(start) = rest.find(MESSAGE_START)
        && let Some(end) = rest.rfind(MESSAGE_END)
        && let Some(message) = rest.get(start + MESSAGE_START.len()..end)
    {
        return format!("execution error at ({location}): {message}");
    }
    let mut parts: Vec<String> = Vec::new();
    for message in error.unwrapped() {
        let Some(part) = one_part(&message) else { return whole };
        if parts.last() != Some(&part) {
            parts.push(part);
        }
    }
    parts.concat().trim().to_owned()
}

/// Place, function and reason of one of Go's messages, on lines of their own. `None` if it has another form.
fn one_part(message: &str) -> Option<String> {
    let rest = message.strip_prefix("template: ")?;
    if rest.starts_with("no template ") {
        return Some(format!("{message}\n"));
    }
    // What failed within is a part of its own.
    let without_inner = |text: &str| text.split(" template:").next().unwrap_or_default().to_owned();
    if let Some((location, after)) = rest.split_once(": executing ") {
        let (function, after) = after.strip_prefix('"')?.split_once('"')?;
        let (place, reason) = after.strip_prefix(" at <")?.split_once(">: ")?;
        return Some(format!("{location}\n  executing \"{function}\" at <{place}>:\n    {}\n", without_inner(reason)));
    }
    let (location, reason) = rest.rsplit_once(": ")?;
    Some(format!("{location}\n  {}\n", without_inner(reason)))
}
