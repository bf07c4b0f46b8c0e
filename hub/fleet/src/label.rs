//! Labels and selectors as Kubernetes defines them (`apimachinery/pkg/util/validation`, `meta/v1.LabelSelector`). Which labels a cluster has
//! is decided in `fleet`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Labels by key.
pub type Labels = BTreeMap<String, String>;

/// The longest name part of a key, and the longest value.
const PART_LIMIT: usize = 63;
/// The longest prefix of a key: a DNS subdomain.
const PREFIX_LIMIT: usize = 253;

/// Whether `key` is a label key: an optional DNS subdomain and `/`, then a name of up to 63 characters.
pub(crate) fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if let Some(prefix) = prefix
        && !is_subdomain(prefix)
    {
        return Err(format!("\"{key}\" is no label key: before the '/' stands a DNS name of lower-case letters, digits, '-' and '.'"));
    }
    if name.is_empty() || !is_qualified(name) {
        return Err(format!(
            "\"{key}\" is no label key: use up to 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
        ));
    }
    Ok(())
}

/// Whether `value` is a label value: empty, or up to 63 characters.
pub(crate) fn check_value(value: &str) -> Result<(), String> {
    if value.is_empty() || is_qualified(value) {
        return Ok(());
    }
    Err(format!(
        "\"{value}\" is no label value: use up to 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
    ))
}

fn is_qualified(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= PART_LIMIT
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_subdomain(text: &str) -> bool {
    let part = |part: &str| {
        let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let bytes = part.as_bytes();
        edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
    };
    text.len() <= PREFIX_LIMIT && text.split('.').all(part)
}

/// One line of `matchExpressions`, or of `matchLabels` (which is `In` with one value).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// The key is there with one of these values.
    In(String, BTreeSet<String>),
    /// The key is not there, or has none of these values.
    NotIn(String, BTreeSet<String>),
    /// The key is there.
    Exists(String),
    /// The key is not there.
    DoesNotExist(String),
}

impl Requirement {
    /// Whether `labels` fulfil it.
    pub fn holds(&self, labels: &Labels) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Self::Exists(key) => labels.contains_key(key),
            Self::DoesNotExist(key) => !labels.contains_key(key),
        }
    }

    /// The label that it is about.
    pub fn key(&self) -> &str {
        match self {
            Self::In(key, _) | Self::NotIn(key, _) | Self::Exists(key) | Self::DoesNotExist(key) => key,
        }
    }
}

impl fmt::Display for Requirement {
    /// As `kubectl -l` takes it: `ring in (a, b)`, `workload=serving`, `!gpu`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &BTreeSet<String>| values.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        match self {
            Self::In(key, values) if values.len() == 1 => write!(f, "{key}={}", list(values)),
            Self::In(key, values) => write!(f, "{key} in ({})", list(values)),
            Self::NotIn(key, values) => write!(f, "{key} notin ({})", list(values)),
            Self::Exists(key) => f.write_str(key),
            Self::DoesNotExist(key) => write!(f, "!{key}"),
        }
    }
}

/// A label selector: all requirements together. The empty one takes everything, as in Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// What must hold.
    pub requirements: Vec<Requirement>,
}

impl Selector {
    /// The first requirement that `labels` do not fulfil.
    pub fn first_unmet<'s>(&'s self, labels: &Labels) -> Option<&'s Requirement> {
        self.requirements.iter().find(|requirement| !requirement.holds(labels))
    }

    /// Whether `labels` fulfil all of it.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.first_unmet(labels).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_follow_the_rules_of_kubernetes() {
        for good in ["a", "ring", "app.kubernetes.io/name", "A_b.c-9", &"x".repeat(63)] {
            assert_eq!(check_key(good), Ok(()), "{good}");
        }
        for bad in ["", "/a", "a/", "A.io/x", "a/b/c", "-a", "a-", "a b", "ä", &"x".repeat(64)] {
            assert!(check_key(bad).is_err(), "{bad}");
        }
        for good in ["", "a", "NVIDIA-H200", "1.2_3"] {
            assert_eq!(check_value(good), Ok(()), "{good}");
        }
        for bad in ["a b", "-", "a/b", &"x".repeat(64)] {
            assert!(check_value(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn requirements_hold_as_in_kubernetes() {
        let labels = Labels::from([("ring".to_owned(), "canary".to_owned())]);
        let set = |values: &[&str]| values.iter().map(|&v| v.to_owned()).collect::<BTreeSet<_>>();
        for (requirement, holds, text) in [
            (Requirement::In("ring".into(), set(&["canary", "x"])), true, "ring in (canary, x)"),
            (Requirement::In("ring".into(), set(&["x"])), false, "ring=x"),
            (Requirement::In("gone".into(), set(&["x"])), false, "gone=x"),
            (Requirement::NotIn("ring".into(), set(&["canary"])), false, "ring notin (canary)"),
            (Requirement::NotIn("gone".into(), set(&["canary"])), true, "gone notin (canary)"),
            (Requirement::Exists("ring".into()), true, "ring"),
            (Requirement::DoesNotExist("ring".into()), false, "!ring"),
        ] {
            assert_eq!(requirement.holds(&labels), holds, "{requirement}");
            assert_eq!(requirement.to_string(), text);
        }
        assert!(Selector::default().matches(&labels));
    }
}
