//! Label and field selectors, as list, watch and deletecollection take them.

use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

/// A label selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels(Vec<Rule>);

impl Labels {
    /// The text form of query parameters.
    pub(crate) fn parse(text: &str) -> Result<Labels, String> {
        let mut rules = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            // A comma inside parentheses does not end a requirement.
            let mut depth = 0;
            let end = rest
                .char_indices()
                .find(|(_, c)| {
                    match c {
                        '(' => depth += 1,
                        ')' => depth -= 1,
                        _ => {}
                    }
                    *c == ',' && depth == 0
                })
                .map_or(rest.len(), |(i, _)| i);
            rules.push(rule(rest[..end].trim()).ok_or_else(|| format!("unable to parse requirement: {:?}", &rest[..end]))?);
            rest = rest[end..].trim_start_matches(',').trim();
        }
        Ok(Labels(rules))
    }

    /// The object form of specifications; `None` for no selector.
    pub(crate) fn from_selector(s: &Value) -> Option<Labels> {
        let s = s.as_object()?;
        let mut rules = Vec::new();
        for (k, v) in s.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            rules.push(Rule::In(k.clone(), vec![v.as_str().unwrap_or_default().to_owned()]));
        }
        for e in s.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let key = e["key"].as_str()?.to_owned();
            let values = e["values"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            rules.push(match e["operator"].as_str()? {
                "In" => Rule::In(key, values),
                "NotIn" => Rule::NotIn(key, values),
                "Exists" => Rule::Exists(key),
                _ => Rule::Absent(key),
            });
        }
        Some(Labels(rules))
    }

    pub(crate) fn matches(&self, labels: &Value) -> bool {
        self.0.iter().all(|r| match r {
            Rule::In(k, vs) => labels[k].as_str().is_some_and(|v| vs.iter().any(|x| x == v)),
            Rule::NotIn(k, vs) => labels[k].as_str().is_none_or(|v| vs.iter().all(|x| x != v)),
            Rule::Exists(k) => labels[k].is_string(),
            Rule::Absent(k) => !labels[k].is_string(),
        })
    }
}

fn rule(text: &str) -> Option<Rule> {
    let key = |k: &str| Some(k.trim().to_owned()).filter(|k| !k.is_empty() && !k.contains(' '));
    let values = |v: &str| v.trim().trim_start_matches('(').trim_end_matches(')').split(',').map(|x| x.trim().to_owned()).collect();
    if let Some((k, v)) = text.split_once("!=") {
        return Some(Rule::NotIn(key(k)?, vec![v.trim().to_owned()]));
    }
    if let Some((k, v)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Some(Rule::In(key(k)?, vec![v.trim().to_owned()]));
    }
    if let Some((k, v)) = text.split_once(" notin ") {
        return Some(Rule::NotIn(key(k)?, values(v)));
    }
    if let Some((k, v)) = text.split_once(" in ") {
        return Some(Rule::In(key(k)?, values(v)));
    }
    if let Some(k) = text.strip_prefix('!') {
        return Some(Rule::Absent(key(k)?));
    }
    Some(Rule::Exists(key(text)?))
}

/// A field selector: paths that must, or must not, have a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String, bool)>);

impl Fields {
    /// `allowed` are the paths beside name and namespace that the kind can be selected by.
    pub(crate) fn parse(text: &str, allowed: &[&str]) -> Result<Fields, String> {
        let mut out = Vec::new();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let (path, value, equal) = match part.split_once("!=") {
                Some((p, v)) => (p, v, false),
                None => match part.split_once("==").or_else(|| part.split_once('=')) {
                    Some((p, v)) => (p, v, true),
                    None => return Err(format!("invalid selector: '{text}'; can't understand '{part}'")),
                },
            };
            if !["metadata.name", "metadata.namespace"].contains(&path) && !allowed.contains(&path) {
                return Err(if allowed.is_empty() {
                    format!("\"{path}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
                } else {
                    format!("field label not supported: {path}")
                });
            }
            out.push((path.to_owned(), value.to_owned(), equal));
        }
        Ok(Fields(out))
    }

    pub(crate) fn matches(&self, o: &Value) -> bool {
        self.0.iter().all(|(path, value, equal)| {
            let found = path.split('.').try_fold(o, |v, s| v.get(s));
            let found = match found {
                Some(Value::String(s)) => s.clone(),
                Some(Value::Bool(b)) => b.to_string(),
                Some(Value::Number(n)) => n.to_string(),
                _ => String::new(),
            };
            (found == *value) == *equal
        })
    }
}

/// What a kind can be selected by, beside name and namespace.
pub(crate) fn selectable(group: &str, plural: &str) -> &'static [&'static str] {
    match (group, plural) {
        ("", "pods") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        ("", "events") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("", "secrets") => &["type"],
        ("", "namespaces") => &["status.phase"],
        ("", "nodes") => &["spec.unschedulable"],
        ("", "services") => &["spec.clusterIP", "spec.type"],
        ("apps", "replicasets") | ("", "replicationcontrollers") => &["status.replicas"],
        ("batch", "jobs") => &["status.successful"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn label_selectors_read_every_form() {
        let l = json!({"app": "web", "tier": "a"});
        for (text, want) in [
            ("app=web", true),
            ("app==web,tier!=b", true),
            ("app in (web, db),tier notin (b,c)", true),
            ("!gone", true),
            ("app", true),
            ("gone", false),
            ("tier in (b)", false),
            ("", true),
        ] {
            assert_eq!(Labels::parse(text).map(|s| s.matches(&l)), Ok(want), "{text}");
        }
    }
}
