//! Which resources a patch or replacement is for: anchored regular expressions over group, version, kind, name and namespace, and label
//! selectors over labels and annotations.

use regex::Regex;
use shared_manifest::TreeMap;

use crate::fields::Fields;
use crate::problem::{Fault, Reason};
use crate::resource::Resource;
use crate::value::raw;

/// A selector; parts that were left empty take everything.
#[derive(Debug, Clone)]
pub(crate) struct Selector {
    group: Option<Pattern>,
    version: Option<Pattern>,
    kind: Option<Pattern>,
    name: Option<Pattern>,
    namespace: Option<Pattern>,
    labels: LabelSelector,
    annotations: LabelSelector,
    /// Whether the name was given.
    pub(crate) names: bool,
}

/// A regular expression for all of a text.
#[derive(Debug, Clone)]
enum Pattern {
    /// One that means itself.
    Text(String),
    /// Any other.
    Expression(Regex),
}

impl Selector {
    /// Reads the fields of a selector.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        let line = fields.line;
        let mut part = |name| -> Result<Option<Pattern>, Fault> {
            let pattern = fields.text(name)?;
            anchored(&pattern).map_err(|reason| Fault::at(line, reason))
        };
        let (group, version, kind) = (part("group")?, part("version")?, part("kind")?);
        let (name, namespace) = (part("name")?, part("namespace")?);
        let labels = LabelSelector::parse(&fields.text("labelSelector")?).map_err(|reason| Fault::at(line, reason))?;
        let annotations = LabelSelector::parse(&fields.text("annotationSelector")?).map_err(|reason| Fault::at(line, reason))?;
        Ok(Self { names: name.is_some(), group, version, kind, name, namespace, labels, annotations })
    }

    pub(crate) fn takes_kind(&self, group: &str, version: &str, kind: &str) -> bool {
        takes(&self.group, group) && takes(&self.version, version) && takes(&self.kind, kind)
    }

    pub(crate) fn takes_name(&self, name: &str) -> bool {
        takes(&self.name, name)
    }

    pub(crate) fn takes_namespace(&self, namespace: &str) -> bool {
        takes(&self.namespace, namespace)
    }

    /// Whether labels and annotations fit.
    pub(crate) fn takes_metadata(&self, resource: &Resource) -> bool {
        let field = |field: &'static str| resource.value["metadata"][field].as_map();
        self.labels.takes(field("labels")) && self.annotations.takes(field("annotations"))
    }

    /// Whether it says anything about group, version, kind, name or namespace.
    pub(crate) fn says_identity(&self) -> bool {
        [&self.group, &self.version, &self.kind, &self.name, &self.namespace].into_iter().any(Option::is_some)
    }

    /// Whether it says anything about labels or annotations.
    pub(crate) fn says_metadata(&self) -> bool {
        !self.labels.0.is_empty() || !self.annotations.0.is_empty()
    }
}

fn takes(pattern: &Option<Pattern>, text: &str) -> bool {
    pattern.as_ref().is_none_or(|pattern| match pattern {
        Pattern::Text(wanted) => wanted == text,
        Pattern::Expression(expression) => expression.is_match(text),
    })
}

fn anchored(pattern: &str) -> Result<Option<Pattern>, Reason> {
    if pattern.is_empty() {
        return Ok(None);
    }
    if pattern.chars().all(|character| character.is_ascii_alphanumeric() || "-_/:".contains(character)) {
        return Ok(Some(Pattern::Text(pattern.to_owned())));
    }
    regular_expression(&format!("^(?:{pattern})$"), pattern).map(|expression| Some(Pattern::Expression(expression)))
}

/// Compiles `expression`, shown as `written` in messages. The regex crate's own size limit bounds the work.
pub(crate) fn regular_expression(expression: &str, written: &str) -> Result<Regex, Reason> {
    Regex::new(expression).map_err(|error| Reason::Selector {
        text: written.to_owned(),
        what: "regular expression",
        problem: error.to_string().lines().last().unwrap_or_default().to_owned(),
    })
}

/// Kubernetes' label selector language; all requirements have to hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct LabelSelector(Vec<Requirement>);

#[derive(Debug, Clone)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

impl LabelSelector {
    /// Parses `a=b, c!=d, e in (f,g), h notin (i), j, !k, l>1`.
    pub(crate) fn parse(text: &str) -> Result<Self, Reason> {
        let refused = |problem: String| Reason::Selector { text: text.to_owned(), what: "label selector", problem };
        split_outside_parentheses(text).into_iter().map(|part| requirement(part).map_err(refused)).collect::<Result<_, _>>().map(Self)
    }

    fn takes(&self, entries: Option<&TreeMap>) -> bool {
        self.0.iter().all(|requirement| {
            let value = entries.and_then(|entries| entries.get(&requirement.key)).map(raw);
            let holds = |values: &[String], value: &str| values.iter().any(|one| one == value);
            match (&requirement.test, value) {
                (Test::Exists, value) => value.is_some(),
                (Test::Absent, value) => value.is_none(),
                (Test::In(wanted), value) => value.is_some_and(|value| holds(wanted, value)),
                (Test::NotIn(unwanted), value) => value.is_none_or(|value| !holds(unwanted, value)),
                (Test::Above(bound), value) => value.and_then(|value| value.parse::<i64>().ok()).is_some_and(|value| value > *bound),
                (Test::Below(bound), value) => value.and_then(|value| value.parse::<i64>().ok()).is_some_and(|value| value < *bound),
            }
        })
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_u32, 0);
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn requirement(part: &str) -> Result<Requirement, String> {
    if let Some(key) = part.strip_prefix('!') {
        return Ok(Requirement { key: label_key(key)?, test: Test::Absent });
    }
    for (operator, negated) in [("!=", true), ("==", false), ("=", false)] {
        if let Some((key, value)) = part.split_once(operator) {
            let values = vec![value.trim().to_owned()];
            return Ok(Requirement { key: label_key(key)?, test: if negated { Test::NotIn(values) } else { Test::In(values) } });
        }
    }
    for (operator, above) in [('>', true), ('<', false)] {
        if let Some((key, bound)) = part.split_once(operator) {
            let bound = bound.trim().parse().map_err(|_| format!("\"{}\" is no integer", bound.trim()))?;
            return Ok(Requirement { key: label_key(key)?, test: if above { Test::Above(bound) } else { Test::Below(bound) } });
        }
    }
    if let Some((before, values)) = part.strip_suffix(')').and_then(|part| part.split_once('(')) {
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        return match before.trim().rsplit_once(char::is_whitespace) {
            Some((key, "in")) => Ok(Requirement { key: label_key(key)?, test: Test::In(values) }),
            Some((key, "notin")) => Ok(Requirement { key: label_key(key)?, test: Test::NotIn(values) }),
            _ => Err(format!("\"{part}\" needs `in` or `notin` before the parenthesis")),
        };
    }
    Ok(Requirement { key: label_key(part)?, test: Test::Exists })
}

fn label_key(text: &str) -> Result<String, String> {
    let text = text.trim();
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
    if !text.is_empty() && text.chars().all(allowed) { Ok(text.to_owned()) } else { Err(format!("\"{text}\" is no label key")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_selectors_read_as_kubernetes_reads_them() {
        let labels: TreeMap = [("app".into(), "web".into()), ("tier".into(), 2.into())].into_iter().collect();
        for (selector, takes) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier", true),
            ("app!=web", false),
            ("missing!=x", true),
            ("app in (api, web)", true),
            ("app notin (web)", false),
            ("missing notin (web)", true),
            ("!missing", true),
            ("!app", false),
            ("tier>1", true),
            ("tier<2", false),
        ] {
            assert_eq!(LabelSelector::parse(selector).expect(selector).takes(Some(&labels)), takes, "{selector}");
        }
        for selector in ["a b", "app in web", "tier>x", "app of (a)"] {
            assert!(LabelSelector::parse(selector).is_err(), "{selector}");
        }
    }
}
