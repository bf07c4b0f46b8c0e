//! Values of a chart from ConfigMaps and Secrets whose manifests are in the app's source: which object, which key, and how what is in it is
//! laid over the rest (Flux's `chartutil.ChartValuesFromReferences`). No message holds a value; where files come from is left to `hub_tree`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hub_fleet::{ValuesFrom, ValuesKind};
use hub_helm::{HelmError, ValuesLayer};
use hub_tree::{Reader, TreePath};
use serde_json::Value;
use shared_manifest::{Document, YamlBudget, YamlError, YamlMode, expand_list, parse_yaml};

use crate::problem::RenderProblem;

/// Why values cannot be taken from an object. The field, the file and the line stand around it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ValuesFromProblem {
    /// The file is not there.
    #[error("the file is not there; make it, correct path, or say optional: true")]
    NoFile,
    /// The file is no text.
    #[error("the file is not UTF-8 text; convert it")]
    FileNotText,
    /// The file is no YAML.
    #[error("{0}")]
    Yaml(YamlError),
    /// The object is not in the file.
    #[error("no {object} is in the file; correct kind and name, or say optional: true")]
    NoObject {
        /// The object.
        object: String,
    },
    /// The object is in the file more than once.
    #[error("{object} is in the file twice; take one of the two out")]
    Twice {
        /// The object.
        object: String,
    },
    /// The object is encrypted.
    #[error(
        "{object} is encrypted with SOPS, which Capstan does not open; keep what is secret out of the chart's values, in a Secret that the chart names"
    )]
    Encrypted {
        /// The object.
        object: String,
    },
    /// The key is not in the object.
    #[error("{object} has no key {key}; correct valuesKey, or say optional: true")]
    NoKey {
        /// The object.
        object: String,
        /// The key.
        key: String,
    },
    /// What is under the key cannot be read.
    #[error("the key {key} of {object} is no text: a Secret has base64 in data and text in stringData, a ConfigMap text in data")]
    NotText {
        /// The object.
        object: String,
        /// The key.
        key: String,
    },
}

/// The layers of `from`: those that are merged, in order, and those that are set over everything that is merged.
pub(crate) struct Layers {
    pub(crate) merged: Vec<ValuesLayer>,
    pub(crate) set: Vec<ValuesLayer>,
    /// Some are from a Secret.
    pub(crate) are_secret: bool,
}

/// Reads what `from` names.
pub(crate) fn layers(from: &[ValuesFrom<String, TreePath>], reader: &Reader<'_>) -> Result<Layers, RenderProblem> {
    let mut layers = Layers { merged: Vec::new(), set: Vec::new(), are_secret: false };
    for (at, one) in from.iter().enumerate() {
        let failed = |(line, problem): (Option<u32>, ValuesFromProblem)| RenderProblem::ValuesFrom {
            field: format!("source.helm.valuesFrom[{at}]"),
            file: one.path.clone(),
            line,
            problem,
        };
        let text = match reader.file(&one.path)? {
            None if one.is_optional => continue,
            None => return Err(failed((None, ValuesFromProblem::NoFile))),
            Some(content) => {
                let text = content.text().ok_or_else(|| failed((None, ValuesFromProblem::FileNotText)))?;
                find(one, text).map_err(failed)?
            }
        };
        let Some(text) = text else { continue };
        layers.are_secret |= one.kind == ValuesKind::Secret;
        match &one.target_path {
            None => layers.merged.push(ValuesLayer::File { name: format!("{} in {}", object(one), one.path), text }),
            Some(path) => layers.set.push(single(path, &text, one.is_literal)),
        }
    }
    Ok(layers)
}

/// A value at `path`. In quotes it is text, else it is what it looks like, as for `helm --set`.
fn single(path: &str, value: &str, is_literal: bool) -> ValuesLayer {
    let is_quoted = |quote: char| value.starts_with(quote) && value.ends_with(quote);
    if is_literal {
        ValuesLayer::SetLiteral(format!("{path}={value}"))
    } else if is_quoted('\'') || is_quoted('"') {
        ValuesLayer::SetString(format!("{path}={}", value.trim_matches(['\'', '"'])))
    } else {
        ValuesLayer::Set(format!("{path}={value}"))
    }
}

fn object(from: &ValuesFrom<String, TreePath>) -> String {
    format!("{} {}", from.kind.as_str(), from.name)
}

/// What is under the key; `None` if it is not there and may be missing. A problem comes with the line that it is about.
fn find(from: &ValuesFrom<String, TreePath>, text: &str) -> Result<Option<String>, (Option<u32>, ValuesFromProblem)> {
    let documents = parse_yaml(text, YamlMode::Kubernetes, YamlBudget::BUNDLE)
        .map_err(|error| (Some(error.line).filter(|line| *line > 0), ValuesFromProblem::Yaml(error)))?;
    let objects = documents.into_iter().flat_map(|Document { value, line }| expand_list(value).into_iter().map(move |value| (value, line)));
    let is_meant = |value: &Value| {
        value["apiVersion"] == "v1" && value["kind"] == from.kind.as_str() && value["metadata"]["name"] == from.name.as_str()
    };
    let mut found = objects.filter(|(value, _)| is_meant(value));
    let Some((value, line)) = found.next() else {
        return if from.is_optional { Ok(None) } else { Err((None, ValuesFromProblem::NoObject { object: object(from) })) };
    };
    if let Some((_, line)) = found.next() {
        return Err((Some(line), ValuesFromProblem::Twice { object: object(from) }));
    }
    if value.get("sops").is_some() {
        return Err((Some(line), ValuesFromProblem::Encrypted { object: object(from) }));
    }
    let key = || from.key.clone();
    let not_text = || (Some(line), ValuesFromProblem::NotText { object: object(from), key: key() });
    let (plain, encoded) = match from.kind {
        ValuesKind::ConfigMap => ("data", "binaryData"),
        // What is in both, the API server takes from stringData.
        ValuesKind::Secret => ("stringData", "data"),
    };
    if let Some(value) = value[plain].get(&from.key) {
        return value.as_str().map(|text| Some(text.to_owned())).ok_or_else(not_text);
    }
    match value[encoded].get(&from.key) {
        Some(value) => {
            let base64: String = value.as_str().ok_or_else(not_text)?.split_ascii_whitespace().collect();
            let bytes = BASE64.decode(base64).map_err(|_| not_text())?;
            String::from_utf8(bytes).map(Some).map_err(|_| not_text())
        }
        None if from.is_optional => Ok(None),
        None => Err((Some(line), ValuesFromProblem::NoKey { object: object(from), key: key() })),
    }
}

/// What may be told of a failed render whose values are from Secrets: nothing that could hold one of them.
pub(crate) fn without_values(problem: RenderProblem) -> RenderProblem {
    let RenderProblem::Helm { path, error } = problem else { return problem };
    let place = match &error {
        HelmError::ReleaseName(_) | HelmError::Library { .. } | HelmError::MissingDependencies { .. } | HelmError::KubeVersion { .. } => {
            return RenderProblem::Helm { path, error };
        }
        HelmError::Template { file, .. } => format!("the template {file} fails"),
        HelmError::Schema(_) => "the values break the rules of the chart's schema".to_owned(),
        _ => "the values and the chart do not fit together".to_owned(),
    };
    RenderProblem::WithSecretValues { path, place }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data:
  values.yaml: 'a: 1'
  port: '80'
binaryData:
  packed: YTogMg==
---
apiVersion: v1
kind: Secret
metadata: {name: web}
data:
  values.yaml: aHVudGVyMg==
  broken: '*hunter2*'
  both: b2xk
stringData:
  both: new
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: listed}, data: {values.yaml: 'l: 1'}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: twice}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: twice}}
---
{apiVersion: v1, kind: Secret, metadata: {name: sealed}, data: {values.yaml: ENC}, sops: {}}
";

    fn from(kind: ValuesKind, name: &str, key: &str) -> ValuesFrom<String, TreePath> {
        ValuesFrom {
            kind,
            name: name.to_owned(),
            path: TreePath::root(),
            key: key.to_owned(),
            target_path: None,
            is_literal: false,
            is_optional: false,
        }
    }

    #[test]
    fn a_key_is_read_as_the_api_server_would_give_it() {
        use ValuesKind::{ConfigMap, Secret};
        for (kind, name, key, expected) in [
            (ConfigMap, "web", "values.yaml", Ok("a: 1")),
            (ConfigMap, "web", "port", Ok("80")),
            (ConfigMap, "web", "packed", Ok("a: 2")),
            (ConfigMap, "listed", "values.yaml", Ok("l: 1")),
            (Secret, "web", "values.yaml", Ok("hunter2")),
            (Secret, "web", "both", Ok("new")),
            (Secret, "web", "broken", Err((Some(10), "the key broken of Secret web is no text"))),
            (Secret, "web", "none", Err((Some(10), "Secret web has no key none"))),
            (Secret, "other", "a", Err((None, "no Secret other is in the file"))),
            (ConfigMap, "twice", "a", Err((Some(27), "ConfigMap twice is in the file twice"))),
            (Secret, "sealed", "values.yaml", Err((Some(29), "Secret sealed is encrypted with SOPS"))),
        ] {
            let wish = from(kind, name, key);
            match (find(&wish, FILE), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.as_deref(), Some(expected), "{name} {key}"),
                (Err((line, problem)), Err((expected_line, expected))) => {
                    let problem = problem.to_string();
                    assert!(problem.starts_with(expected) && line == expected_line, "{name} {key}: {line:?} {problem}");
                    assert!(!problem.contains("hunter2"), "{problem}");
                }
                (found, expected) => panic!("{name} {key}: {found:?} and not {expected:?}"),
            }
            let optional = find(&ValuesFrom { is_optional: true, ..wish }, FILE);
            let may_miss = matches!(expected, Err((_, text)) if text.contains("no key") || text.contains("no Secret"));
            assert_eq!(matches!(optional, Ok(None)), may_miss, "{name} {key}");
        }
    }

    /// The table of Flux's `TestReplacePathValue`, as far as it is about reading a value.
    #[test]
    fn a_single_value_is_what_it_looks_like_unless_it_is_quoted_or_literal() {
        for (value, is_literal, expected) in [
            ("value", false, ValuesLayer::Set("a.b=value".into())),
            ("{a,b}", false, ValuesLayer::Set("a.b={a,b}".into())),
            ("true", false, ValuesLayer::Set("a.b=true".into())),
            ("\"true\"", false, ValuesLayer::SetString("a.b=true".into())),
            ("'1,2'", false, ValuesLayer::SetString("a.b=1,2".into())),
            ("a,b={c}", true, ValuesLayer::SetLiteral("a.b=a,b={c}".into())),
        ] {
            assert!(single("a.b", value, is_literal) == expected, "{value}");
        }
    }
}
