//! `Chart.yaml` and `requirements.yaml`: reading as Helm reads them, the rules a chart's metadata must keep, and how templates see it.

use std::collections::BTreeMap;

use hub_gotemplate::{Map, MapType, Text, Value, fmt as go};
use hub_version::Version;

use crate::stored::{Stored, Table};

/// What a chart says about itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata {
    /// `v1` or `v2`.
    pub api_version: String,
    /// The chart's name.
    pub name: String,
    /// The chart's version, a semantic one.
    pub version: String,
    /// The range of versions of Kubernetes that it works with; empty for all.
    pub kube_version: String,
    /// One sentence.
    pub description: String,
    /// `application`, `library`, or empty for the first.
    pub kind: String,
    /// Words to find it by.
    pub keywords: Vec<String>,
    /// An address.
    pub home: String,
    /// Addresses of its source.
    pub sources: Vec<String>,
    /// Charts it depends on.
    pub dependencies: Vec<Dependency>,
    /// Whether dependencies were written down at all, if none.
    pub(crate) lists_dependencies: bool,
    /// Who keeps it.
    pub maintainers: Vec<Maintainer>,
    /// The address of a picture.
    pub icon: String,
    /// The version of what it deploys.
    pub app_version: String,
    /// Whether it should no longer be used.
    pub deprecated: bool,
    /// Anything else.
    pub annotations: BTreeMap<String, String>,
    /// Not used by Helm any more, and visible to templates.
    pub(crate) condition: String,
    /// Not used by Helm any more, and visible to templates.
    pub(crate) tags: String,
}

/// Who keeps a chart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Maintainer {
    /// The name.
    pub name: String,
    /// The address for mail.
    pub email: String,
    /// Another address.
    pub url: String,
}

/// A chart that another depends on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dependency {
    /// The name of the chart.
    pub name: String,
    /// The range of versions.
    pub version: String,
    /// Where it comes from.
    pub repository: String,
    /// Paths of values that switch it on or off, separated by commas; the first that is there counts.
    pub condition: String,
    /// Tags that switch it on or off.
    pub tags: Vec<String>,
    /// What is taken over from its values.
    pub(crate) import_values: Vec<Stored>,
    /// The name it is used under, if another.
    pub alias: String,
    /// Whether it is switched on.
    pub(crate) enabled: bool,
}

/// Why a chart's metadata cannot be used, in Helm's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidMetadata(String);

fn invalid(message: impl Into<String>) -> InvalidMetadata {
    InvalidMetadata(format!("validation: {}", message.into()))
}

impl Metadata {
    /// Reads what `document` says over what is there: `requirements.yaml` after `Chart.yaml`.
    pub(crate) fn read(&mut self, document: &Stored) -> Result<(), InvalidMetadata> {
        let fields = match document {
            Stored::Nil => return Ok(()),
            Stored::Map(fields) => fields,
            other => return Err(mistyped(other, "Go value", "v2.Metadata")),
        };
        let of = Fields { fields, structure: "Metadata" };
        of.text("name", &mut self.name)?;
        of.text("home", &mut self.home)?;
        of.texts("sources", &mut self.sources)?;
        of.text("version", &mut self.version)?;
        of.text("description", &mut self.description)?;
        of.texts("keywords", &mut self.keywords)?;
        of.text("icon", &mut self.icon)?;
        of.text("apiVersion", &mut self.api_version)?;
        of.text("condition", &mut self.condition)?;
        of.text("tags", &mut self.tags)?;
        of.text("appVersion", &mut self.app_version)?;
        of.claim("deprecated", &mut self.deprecated)?;
        of.text("kubeVersion", &mut self.kube_version)?;
        of.text("type", &mut self.kind)?;
        if let Some(maintainers) = of.list("maintainers", "[]*v2.Maintainer")? {
            self.maintainers = maintainers.iter().map(maintainer).collect::<Result<_, _>>()?;
        }
        if let Some(annotations) = of.get("annotations") {
            let Stored::Map(entries) = annotations else {
                return Err(mistyped(annotations, "Go struct field Metadata.annotations", "map[string]string"));
            };
            for (key, value) in entries {
                let text = as_text(value).ok_or_else(|| mistyped(value, "Go struct field Metadata.annotations", "string"))?;
                self.annotations.insert(key.to_string(), text);
            }
        }
        if let Some(dependencies) = of.list("dependencies", "[]*v2.Dependency")? {
            self.dependencies = dependencies.iter().map(dependency).collect::<Result<_, _>>()?;
            self.lists_dependencies = true;
        }
        Ok(())
    }

    /// Whether the chart only holds definitions for others.
    pub fn is_library(&self) -> bool {
        self.kind.eq_ignore_ascii_case("library")
    }

    /// Helm's rules; what cannot be printed is taken out of the texts, as Helm does.
    pub(crate) fn validate(&mut self) -> Result<(), InvalidMetadata> {
        let texts = [&mut self.name, &mut self.description, &mut self.home, &mut self.icon, &mut self.condition, &mut self.tags];
        texts.into_iter().chain([&mut self.app_version, &mut self.kube_version]).for_each(sanitize);
        self.sources.iter_mut().chain(&mut self.keywords).for_each(sanitize);
        if self.api_version.is_empty() {
            return Err(invalid("chart.metadata.apiVersion is required"));
        }
        if self.name.is_empty() {
            return Err(invalid("chart.metadata.name is required"));
        }
        if self.name == "." || self.name == ".." {
            return Err(invalid(format!("chart.metadata.name {:?} is not allowed", self.name)));
        }
        if self.name.contains('/') {
            return Err(invalid(format!("chart.metadata.name {:?} is invalid", self.name)));
        }
        if self.version.is_empty() {
            return Err(invalid("chart.metadata.version is required"));
        }
        if Version::parse(&self.version).is_err() {
            return Err(invalid(format!("chart.metadata.version {:?} is invalid", self.version)));
        }
        if !matches!(self.kind.as_str(), "" | "application" | "library") {
            return Err(invalid("chart.metadata.type must be application or library"));
        }
        for Maintainer { name, email, url } in &mut self.maintainers {
            [name, email, url].into_iter().for_each(sanitize);
        }
        let mut names = std::collections::BTreeSet::new();
        for dependency in &mut self.dependencies {
            let texts = [&mut dependency.name, &mut dependency.version, &mut dependency.repository, &mut dependency.condition];
            texts.into_iter().chain(&mut dependency.tags).for_each(sanitize);
            let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
            if !dependency.alias.chars().all(allowed) {
                return Err(invalid(format!("dependency {:?} has disallowed characters in the alias", dependency.name)));
            }
            if !names.insert(dependency.local_name()) {
                return Err(invalid(format!("more than one dependency with name or alias {:?}", dependency.local_name())));
            }
        }
        Ok(())
    }

    /// As templates see it in `.Chart`, under the names of Go's fields.
    pub(crate) fn to_map(&self, is_root: bool) -> Map {
        let text = |text: &String| Value::text(text.as_str());
        let texts = |texts: &Vec<String>| Value::list(texts.iter().map(text).collect());
        let maintainers = self
            .maintainers
            .iter()
            .map(|Maintainer { name, email, url }| Value::Map(map([("Name", text(name)), ("Email", text(email)), ("URL", text(url))])));
        let annotations = self.annotations.iter().map(|(key, value)| (key.as_str().into(), text(value))).collect();
        map([
            ("Name", text(&self.name)),
            ("Home", text(&self.home)),
            ("Sources", texts(&self.sources)),
            ("Version", text(&self.version)),
            ("Description", text(&self.description)),
            ("Keywords", texts(&self.keywords)),
            ("Maintainers", Value::list(maintainers.collect())),
            ("Icon", text(&self.icon)),
            ("APIVersion", text(&self.api_version)),
            ("Condition", text(&self.condition)),
            ("Tags", text(&self.tags)),
            ("AppVersion", text(&self.app_version)),
            ("Deprecated", Value::Bool(self.deprecated)),
            ("Annotations", Value::Map(Map::of(MapType::Text, annotations))),
            ("KubeVersion", text(&self.kube_version)),
            ("Dependencies", Value::list(self.dependencies.iter().map(|one| Value::Map(one.to_map())).collect())),
            ("Type", text(&self.kind)),
            ("IsRoot", Value::Bool(is_root)),
        ])
    }
}

impl Dependency {
    /// The name it is used under.
    pub(crate) fn local_name(&self) -> &str {
        if self.alias.is_empty() { &self.name } else { &self.alias }
    }

    fn to_map(&self) -> Map {
        let text = |text: &String| Value::text(text.as_str());
        let import = |value: &Stored| match value {
            Stored::Map(entries) => Value::Map(Map::of(MapType::Text, entries.iter().map(|(k, v)| (k.clone(), v.to_value())).collect())),
            other => other.to_value(),
        };
        map([
            ("Name", text(&self.name)),
            ("Version", text(&self.version)),
            ("Repository", text(&self.repository)),
            ("Condition", text(&self.condition)),
            ("Tags", Value::list(self.tags.iter().map(text).collect())),
            ("Enabled", Value::Bool(self.enabled)),
            ("ImportValues", Value::list(self.import_values.iter().map(import).collect())),
            ("Alias", text(&self.alias)),
        ])
    }
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Map {
    Map::new(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

fn maintainer(document: &Stored) -> Result<Maintainer, InvalidMetadata> {
    let fields = match document {
        Stored::Nil => return Err(invalid("maintainers must not contain empty or null nodes")),
        Stored::Map(fields) => fields,
        other => return Err(mistyped(other, "Go struct field Metadata.maintainers", "v2.Maintainer")),
    };
    let (of, mut maintainer) = (Fields { fields, structure: "Metadata.maintainers" }, Maintainer::default());
    of.text("name", &mut maintainer.name)?;
    of.text("email", &mut maintainer.email)?;
    of.text("url", &mut maintainer.url)?;
    Ok(maintainer)
}

fn dependency(document: &Stored) -> Result<Dependency, InvalidMetadata> {
    let fields = match document {
        Stored::Nil => return Err(invalid("dependencies must not contain empty or null nodes")),
        Stored::Map(fields) => fields,
        other => return Err(mistyped(other, "Go struct field Metadata.dependencies", "v2.Dependency")),
    };
    let (of, mut dependency) = (Fields { fields, structure: "Metadata.dependencies" }, Dependency::default());
    of.text("name", &mut dependency.name)?;
    of.text("version", &mut dependency.version)?;
    of.text("repository", &mut dependency.repository)?;
    of.text("condition", &mut dependency.condition)?;
    of.texts("tags", &mut dependency.tags)?;
    of.claim("enabled", &mut dependency.enabled)?;
    of.text("alias", &mut dependency.alias)?;
    dependency.import_values = of.list("import-values", "[]interface {}")?.unwrap_or_default().to_vec();
    Ok(dependency)
}

/// The fields of a structure, read as Go's JSON does after YAML: names match in any case, and numbers and booleans become text where text is
/// wanted.
struct Fields<'a> {
    fields: &'a Table,
    structure: &'static str,
}

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a Stored> {
        let folded = || self.fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value);
        self.fields.get(name.as_bytes()).or_else(folded).filter(|value| **value != Stored::Nil)
    }

    fn mistyped(&self, name: &str, value: &Stored, wanted: &str) -> InvalidMetadata {
        mistyped(value, &format!("Go struct field {}.{name}", self.structure), wanted)
    }

    fn text(&self, name: &str, into: &mut String) -> Result<(), InvalidMetadata> {
        if let Some(value) = self.get(name) {
            *into = as_text(value).ok_or_else(|| self.mistyped(name, value, "string"))?;
        }
        Ok(())
    }

    fn texts(&self, name: &str, into: &mut Vec<String>) -> Result<(), InvalidMetadata> {
        if let Some(items) = self.list(name, "[]string")? {
            *into = items.iter().map(|item| as_text(item).ok_or_else(|| self.mistyped(name, item, "string"))).collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    fn claim(&self, name: &str, into: &mut bool) -> Result<(), InvalidMetadata> {
        match self.get(name) {
            None => {}
            Some(Stored::Bool(claim)) => *into = *claim,
            Some(other) => return Err(self.mistyped(name, other, "bool")),
        }
        Ok(())
    }

    fn list(&self, name: &str, wanted: &str) -> Result<Option<&'a [Stored]>, InvalidMetadata> {
        match self.get(name) {
            None => Ok(None),
            Some(Stored::List(items)) => Ok(Some(items)),
            Some(other) => Err(self.mistyped(name, other, wanted)),
        }
    }
}

fn mistyped(value: &Stored, place: &str, wanted: &str) -> InvalidMetadata {
    InvalidMetadata(format!(
        "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into {place} of type {wanted}",
        value.json_kind()
    ))
}

/// A scalar where text is wanted: `version: 1.10` is the text `1.1`, as for Helm. Null is nothing.
pub(crate) fn as_text(value: &Stored) -> Option<String> {
    match value {
        Stored::Nil => Some(String::new()),
        Stored::Bool(claim) => Some(claim.to_string()),
        Stored::Int64(number) => Some(number.to_string()),
        Stored::Float(number) => Some(number_text(*number)),
        Stored::Text(text) => Some(text.to_string()),
        Stored::List(_) | Stored::Map(_) => None,
    }
}

/// A number as Go's shortest form; whole numbers without an exponent, because YAML read them as integers.
fn number_text(number: f64) -> String {
    let is_whole = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    if is_whole {
        format!("{number:.0}")
    } else {
        go::sprint(&Value::Float(number)).map_or_else(|_| number.to_string(), |text| text.to_string())
    }
}

fn sanitize(text: &mut String) {
    if !text.bytes().all(|byte| (b' '..0x7f).contains(&byte)) {
        let letters = text.chars().map(|letter| if letter.is_whitespace() { ' ' } else { letter });
        *text = letters.filter(|letter| go::is_print(*letter)).collect();
    }
}

/// An entry of a `map[string]string`.
pub(crate) fn text_entry(key: &str, text: &str) -> (Text, Stored) {
    (key.into(), Stored::Text(text.into()))
}
