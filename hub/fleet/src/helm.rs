//! A chart as the source of an app: which chart, which release, which values. Rendering it is left to the renderer, finding it in a repository of
//! charts to `hub/source`.
//!
//! `T` is what the texts with variables are: templates as written, texts where they are resolved. `F` is what a file is: the text of its path as
//! written, its place in a tree where it is resolved.

use std::collections::BTreeMap;

use hub_version::VersionRange;
use serde_json::Value;
use shared_model::SourceName;

use crate::template::Template;

/// `spec.source.helm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelmSource<T = Template, F = T> {
    /// The chart.
    pub chart: ChartFrom<T, F>,
    /// The name of the release; the app's if left out, and always there where it is resolved.
    pub release_name: Option<T>,
    /// Files of values, later ones over earlier.
    pub values_files: Vec<F>,
    /// Whether files of values that are not there are passed over.
    pub ignore_missing_values_files: bool,
    /// ConfigMaps and Secrets with values, over those of the files; later ones over earlier.
    pub values_from: Vec<ValuesFrom<T, F>>,
    /// Values, over those of the files and of `values_from`; a map.
    pub values: Values<T>,
    /// Single values as `helm --set` takes them, over all else.
    pub parameters: Vec<Parameter<T>>,
    /// Single values that are the contents of files.
    pub file_parameters: Vec<FileParameter<F>>,
    /// Whether the definitions in the chart's `crds/` are left out.
    pub skip_crds: bool,
    /// Whether hooks are left out.
    pub skip_hooks: bool,
    /// Whether tests are left out before anybody looks at them.
    pub skip_tests: bool,
    /// Whether the values are not checked against the chart's schema.
    pub skip_schema_validation: bool,
    /// The version of Kubernetes that the chart is told, instead of the cluster's.
    pub kube_version: Option<String>,
    /// API versions that the chart is told, beside the cluster's.
    pub api_versions: Vec<String>,
}

/// Where a chart is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChartFrom<T = Template, F = T> {
    /// A directory or archive in the app's source.
    Here(F),
    /// One in another source of the hub.
    Source {
        /// The source.
        name: SourceName,
        /// The directory or archive, from its root.
        path: F,
    },
    /// In a repository of charts.
    Repository {
        /// Its address, or the name by which the hub knows it.
        repository: String,
        /// The chart's name.
        name: T,
        /// Its version, or a range of versions; empty is the newest.
        version: T,
    },
}

/// Values as YAML has them. Keys have no variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values<T = Template> {
    /// A text.
    Text(T),
    /// Nothing, a number, true or false.
    Plain(Value),
    /// A list.
    List(Vec<Self>),
    /// A map.
    Map(BTreeMap<String, Self>),
}

/// A ConfigMap or Secret in the app's source, and what of it are values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ValuesFrom<T = Template, F = T> {
    /// Which of the two.
    pub kind: ValuesKind,
    /// Its name.
    pub name: T,
    /// The file of its manifest, perhaps among others.
    pub path: F,
    /// The key of the values in it.
    pub key: String,
    /// Where they go as a single value, as `helm --set` takes it. Such a value wins over all that are merged. At the root, as a file of values,
    /// if left out.
    pub target_path: Option<String>,
    /// Whether a single value is text, whatever is in it (`helm --set-literal`).
    pub is_literal: bool,
    /// Whether the file, the object or the key may be missing.
    pub is_optional: bool,
}

/// The kinds of objects that hold values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValuesKind {
    /// `ConfigMap`.
    ConfigMap,
    /// `Secret`.
    Secret,
}

impl ValuesKind {
    /// The kind, as manifests write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// A single value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Parameter<T = Template> {
    /// Where it goes: `image.tag`, `hosts[0].name`.
    pub name: String,
    /// The value.
    pub value: T,
    /// Whether it is text, whatever it looks like.
    pub force_string: bool,
}

/// A single value that is the content of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileParameter<F> {
    /// Where it goes.
    pub name: String,
    /// The file.
    pub path: F,
}

impl<T> Default for Values<T> {
    fn default() -> Self {
        Self::Map(BTreeMap::new())
    }
}

impl<T> Values<T> {
    fn try_map<U, E>(&self, field: &str, to: &mut impl FnMut(&str, &T) -> Result<U, E>) -> Result<Values<U>, E> {
        Ok(match self {
            Self::Text(text) => Values::Text(to(field, text)?),
            Self::Plain(value) => Values::Plain(value.clone()),
            Self::List(items) => {
                let items = items.iter().enumerate().map(|(at, item)| item.try_map(&format!("{field}[{at}]"), to));
                Values::List(items.collect::<Result<_, E>>()?)
            }
            Self::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| Ok((key.clone(), value.try_map(&format!("{field}.{key}"), to)?)));
                Values::Map(entries.collect::<Result<_, E>>()?)
            }
        })
    }
}

impl Values<String> {
    /// The same as a JSON value.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => Value::String(text.clone()),
            Self::Plain(value) => value.clone(),
            Self::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Self::Map(entries) => Value::Object(entries.iter().map(|(key, value)| (key.clone(), value.to_json())).collect()),
        }
    }
}

/// The fields whose texts are paths, as problems name them.
pub(crate) const CHART: &str = "source.helm.chart";
/// The field of a version.
pub(crate) const VERSION: &str = "source.helm.version";
/// The field of a release's name.
pub(crate) const RELEASE_NAME: &str = "source.helm.releaseName";

impl<T, F> HelmSource<T, F> {
    /// The same with other texts and other files; both are told the field, as in `source.helm.valuesFiles[0]`.
    pub(crate) fn try_map<U, G, E>(
        &self,
        mut to: impl FnMut(&str, &T) -> Result<U, E>,
        mut file: impl FnMut(&str, &F) -> Result<G, E>,
    ) -> Result<HelmSource<U, G>, E> {
        let chart = match &self.chart {
            ChartFrom::Here(path) => ChartFrom::Here(file(CHART, path)?),
            ChartFrom::Source { name, path } => ChartFrom::Source { name: name.clone(), path: file(CHART, path)? },
            ChartFrom::Repository { repository, name, version } => {
                ChartFrom::Repository { repository: repository.clone(), name: to(CHART, name)?, version: to(VERSION, version)? }
            }
        };
        let release_name = self.release_name.as_ref().map(|name| to(RELEASE_NAME, name)).transpose()?;
        let values_files = self.values_files.iter().enumerate().map(|(at, path)| file(&format!("source.helm.valuesFiles[{at}]"), path));
        let values_files = values_files.collect::<Result<_, E>>()?;
        let file_parameters = self.file_parameters.iter().enumerate().map(|(at, parameter)| {
            let path = file(&format!("source.helm.fileParameters[{at}].path"), &parameter.path)?;
            Ok(FileParameter { name: parameter.name.clone(), path })
        });
        let file_parameters = file_parameters.collect::<Result<_, E>>()?;
        let values_from = self.values_from.iter().enumerate().map(|(at, from)| {
            let field = format!("source.helm.valuesFrom[{at}]");
            Ok(ValuesFrom {
                kind: from.kind,
                name: to(&format!("{field}.name"), &from.name)?,
                path: file(&format!("{field}.path"), &from.path)?,
                key: from.key.clone(),
                target_path: from.target_path.clone(),
                is_literal: from.is_literal,
                is_optional: from.is_optional,
            })
        });
        let values_from = values_from.collect::<Result<_, E>>()?;
        let values = self.values.try_map("source.helm.values", &mut to)?;
        let parameters = self.parameters.iter().enumerate().map(|(at, parameter)| {
            let value = to(&format!("source.helm.parameters[{at}].value"), &parameter.value)?;
            Ok(Parameter { name: parameter.name.clone(), value, force_string: parameter.force_string })
        });
        Ok(HelmSource {
            chart,
            release_name,
            values_files,
            ignore_missing_values_files: self.ignore_missing_values_files,
            values_from,
            values,
            parameters: parameters.collect::<Result<_, E>>()?,
            file_parameters,
            skip_crds: self.skip_crds,
            skip_hooks: self.skip_hooks,
            skip_tests: self.skip_tests,
            skip_schema_validation: self.skip_schema_validation,
            kube_version: self.kube_version.clone(),
            api_versions: self.api_versions.clone(),
        })
    }

    /// Whether it reads files of the app's own source.
    pub(crate) fn reads_own_source(&self) -> bool {
        matches!(self.chart, ChartFrom::Here(_))
            || !self.values_files.is_empty()
            || !self.values_from.is_empty()
            || !self.file_parameters.is_empty()
    }
}

/// The longest name of a release: Helm's limit, which leaves room for what charts append.
const RELEASE_NAME_LIMIT: usize = 53;

/// Whether Helm takes `name` for a release.
pub(crate) fn check_release_name(name: &str) -> Result<(), String> {
    let label = |label: &str| {
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        label.starts_with(edge) && label.ends_with(edge) && label.chars().all(|c| edge(c) || c == '-')
    };
    if name.len() <= RELEASE_NAME_LIMIT && name.split('.').all(label) {
        return Ok(());
    }
    Err(format!(
        "\"{name}\" is no name of a release: use up to {RELEASE_NAME_LIMIT} lower-case letters, digits, '-' and '.', beginning and ending with a letter \
         or digit; set source.helm.releaseName"
    ))
}

/// Whether `version` names versions of a chart.
pub(crate) fn check_version(version: &str) -> Result<(), String> {
    let version = version.trim();
    if version.is_empty() || version.starts_with("sha256:") {
        return Ok(());
    }
    let range = version.parse::<VersionRange>();
    range
        .map(|_| ())
        .map_err(|error| format!("\"{version}\" is no version and no range of versions: {error}; write for example 1.4.2 or \"^1.4\""))
}

/// Whether `name` is that of a chart in a repository.
pub(crate) fn check_chart_name(name: &str) -> Result<(), String> {
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.len() <= 250 && !name.starts_with('.') && name.chars().all(named) {
        return Ok(());
    }
    Err(format!("\"{name}\" is no name of a chart; with \"repo\" it is a name as in the repository's index, and without, a path"))
}

/// Whether `repository` says where charts are: an address, or the name of a source.
pub(crate) fn check_repository(repository: &str) -> Result<(), String> {
    let is_address =
        ["https://", "http://", "oci://"].iter().any(|scheme| repository.starts_with(scheme) && repository.len() > scheme.len());
    if is_address && repository.split_once("://").is_some_and(|(_, rest)| rest.split('/').next().unwrap_or_default().contains('@')) {
        return Err("a repository's address holds no user and no password; the hub's configuration has them".to_owned());
    }
    if is_address || repository.parse::<SourceName>().is_ok() {
        return Ok(());
    }
    Err(format!(
        "\"{repository}\" is no repository of charts: write https://…, oci://… or the name that it has in the hub's configuration; for a chart in a \
         directory leave \"repo\" out"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_versions_and_repositories_follow_helms_rules() {
        type Check = fn(&str) -> Result<(), String>;
        let (longest, longer) = ("a".repeat(53), "a".repeat(54));
        for (check, good, bad) in [
            (check_release_name as Check, vec!["web", "web.eu-1", "0", &longest], vec!["", "Web", "-web", "web.", "we_b", &longer]),
            (check_version, vec!["", "1.2.3", "^1.4", ">=1 <2", "1.x", "sha256:00"], vec!["latest", "^", "1.2.3.4"]),
            (check_chart_name, vec!["nginx", "my_chart-2.x"], vec!["", ".nginx", "charts/nginx", "a b"]),
            (
                check_repository,
                vec!["https://charts.example.com/x", "oci://registry.example.com/charts", "bitnami"],
                vec!["", "https://", "charts/x", "ftp://x", "https://user:hunter2@charts.example.com", "Bitnami"],
            ),
        ] {
            for text in good {
                assert_eq!(check(text), Ok(()), "{text}");
            }
            for text in bad {
                let error = check(text).expect_err(text);
                assert!(!error.contains("hunter2"), "{error}");
            }
        }
    }
}
