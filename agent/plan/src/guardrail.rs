//! The guardrail: what the owner of a cluster lets its hub do there, whatever the hub signs. It is read from the agent's own disk, so that no
//! hub can widen it. Judged by kind, namespace and name; what is inside of an object is left to the cluster's admission.

use std::fmt;
use std::str::FromStr;

use shared_model::{GroupKind, ObjectKey, Reason, Severity};

/// Cluster roles and bindings whose names begin so are the agent's own.
const OWN_ROLE_PREFIX: &str = "capstan-agent";

/// What may be written and deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guardrail {
    /// The agent's namespace: nothing in it is ever touched on a hub's behalf.
    pub own_namespace: String,
    /// The namespaces whose objects may be written, by name; `None` is all.
    pub namespaces: Option<Vec<Pattern>>,
    /// The kinds outside of namespaces that may be written. `None` is all where `namespaces` is all, and otherwise the Namespaces that it names.
    pub cluster_scoped: Option<Vec<KindPattern>>,
    /// The kinds in namespaces that may be written; `None` is all.
    pub kinds: Option<Vec<KindPattern>>,
    /// The kinds that may not be written, whatever the rest says.
    pub deny: Vec<KindPattern>,
    /// The most deletions in an hour, approved by the hub or not, without those of what runs of hooks made; `None` leaves the limit on deletions
    /// without an approval.
    pub deletions_per_hour: Option<u32>,
}

impl Guardrail {
    /// One that forbids only what is the agent's own.
    pub fn open(own_namespace: impl Into<String>) -> Self {
        Self {
            own_namespace: own_namespace.into(),
            namespaces: None,
            cluster_scoped: None,
            kinds: None,
            deny: Vec::new(),
            deletions_per_hour: None,
        }
    }

    /// Whether the object may be written or deleted, and why not.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn permits(&self, object: &ObjectKey) -> Result<(), Reason> {
        let GroupKind { group, kind } = &object.kind;
        let is_namespace = group.is_empty() && kind == "Namespace";
        let own_role = group == "rbac.authorization.k8s.io" && object.namespace.is_none() && object.name.starts_with(OWN_ROLE_PREFIX);
        let home = object.namespace.as_deref().or(is_namespace.then_some(object.name.as_str()));
        if own_role || home == Some(&self.own_namespace) {
            return Err(refused(object, "it belongs to the agent itself"));
        }
        if let Some(rule) = self.deny.iter().find(|rule| rule.matches(&object.kind)) {
            return Err(refused(object, &format!("its kind is denied ({rule})")));
        }
        if let (Some(home), Some(namespaces)) = (home, &self.namespaces)
            && !namespaces.iter().any(|pattern| pattern.matches(home))
        {
            return Err(refused(object, &format!("the namespace {home} is not among the permitted ones")));
        }
        let any = |rules: &[KindPattern]| rules.iter().any(|rule| rule.matches(&object.kind));
        let permitted = match (&object.namespace, &self.kinds, &self.cluster_scoped) {
            (Some(_), kinds, _) => kinds.as_deref().is_none_or(any),
            (None, _, Some(kinds)) => any(kinds),
            (None, _, None) => is_namespace || self.namespaces.is_none(),
        };
        if permitted { Ok(()) } else { Err(refused(object, "its kind is not among the permitted ones")) }
    }
}

fn refused(object: &ObjectKey, why: &str) -> Reason {
    let message =
        format!("this cluster's guardrail does not let the hub touch {object}: {why}; take it out of the app, or ask the cluster's owner");
    Reason::new(Severity::Error, "GuardrailRefused", message)
}

/// A name, in which `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern that `text` writes.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether `name` is meant.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
        let Some(last) = self.0.contains('*').then(|| parts.next_back()).flatten() else { return rest.is_empty() };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

/// Kinds, as `Kind.group`, either of which may hold `*`; without a group, those of the core. `*` alone is every kind of every group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindPattern {
    kind: Pattern,
    group: Pattern,
}

/// A pattern of kinds that names none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" names no kind; write Kind.group (Deployment.apps), Kind for one of the core (Secret), *.group, or *")]
pub struct InvalidKindPattern(String);

impl FromStr for KindPattern {
    type Err = InvalidKindPattern;

    fn from_str(text: &str) -> Result<Self, InvalidKindPattern> {
        let (kind, group) = match text {
            "*" => ("*", "*"),
            _ => text.split_once('.').unwrap_or((text, "")),
        };
        let is_kind = kind.starts_with(|c: char| c.is_ascii_uppercase() || c == '*') && !text.chars().any(char::is_whitespace);
        is_kind.then(|| Self { kind: Pattern::new(kind), group: Pattern::new(group) }).ok_or_else(|| InvalidKindPattern(text.to_owned()))
    }
}

impl KindPattern {
    fn matches(&self, kind: &GroupKind) -> bool {
        self.kind.matches(&kind.kind) && self.group.matches(&kind.group)
    }
}

impl fmt::Display for KindPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, group) = (&self.kind.0, &self.group.0);
        if group.is_empty() || (kind == "*" && group == "*") { f.write_str(kind) } else { write!(f, "{kind}.{group}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> ObjectKey {
        let (kind, name) = text.split_once(' ').expect("Kind.group name");
        let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
        let (namespace, name) = name.split_once('/').map_or((None, name), |(namespace, name)| (Some(namespace), name));
        ObjectKey::new(GroupKind::new(group, kind), namespace, name)
    }

    fn kinds(texts: &[&str]) -> Vec<KindPattern> {
        texts.iter().map(|text| text.parse().expect("kinds")).collect()
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("team-*", "team-a", true),
            ("team-*", "a-team-b", false),
            ("*-dev", "web-dev", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxc", false),
            ("a*a", "a", false),
            ("web", "web", true),
            ("web", "web2", false),
            ("*", "", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
        for text in ["", "deployment.apps", "Secret ", ".apps"] {
            assert!(text.parse::<KindPattern>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_agent_is_its_own_whatever_else_is_open() {
        let open = Guardrail::open("capstan-system");
        for own in [
            "Secret capstan-system/capstan-ledger",
            "ConfigMap capstan-system/any",
            "Namespace capstan-system",
            "ClusterRoleBinding.rbac.authorization.k8s.io capstan-agent-writer",
        ] {
            assert_eq!(open.permits(&key(own)).expect_err(own).code, "GuardrailRefused");
        }
        for other in [
            "Secret web/x",
            "Namespace web",
            "ClusterRole.rbac.authorization.k8s.io web",
            "CustomResourceDefinition.apiextensions.k8s.io a.b",
        ] {
            assert_eq!(open.permits(&key(other)), Ok(()), "{other}");
        }
    }

    #[test]
    fn namespaces_and_kinds_hold_together() {
        let tenant = Guardrail {
            namespaces: Some(vec![Pattern::new("team-*")]),
            deny: kinds(&["*.rbac.authorization.k8s.io", "Secret"]),
            ..Guardrail::open("capstan-system")
        };
        let platform = Guardrail { cluster_scoped: Some(kinds(&["CustomResourceDefinition.apiextensions.k8s.io"])), ..tenant.clone() };
        let narrow = Guardrail { kinds: Some(kinds(&["Deployment.apps", "ConfigMap"])), ..tenant.clone() };
        for (object, [by_tenant, by_platform, by_narrow]) in [
            ("Deployment.apps team-a/api", [true, true, true]),
            ("Service team-a/api", [true, true, false]),
            ("Secret team-a/key", [false, false, false]),
            ("RoleBinding.rbac.authorization.k8s.io team-a/all", [false, false, false]),
            ("ConfigMap kube-system/x", [false, false, false]),
            ("Namespace team-a", [true, false, true]),
            ("Namespace kube-system", [false, false, false]),
            ("CustomResourceDefinition.apiextensions.k8s.io a.b", [false, true, false]),
            ("ClusterRole.rbac.authorization.k8s.io all", [false, false, false]),
            ("ValidatingWebhookConfiguration.admissionregistration.k8s.io w", [false, false, false]),
        ] {
            let found = [&tenant, &platform, &narrow].map(|guardrail| guardrail.permits(&key(object)).is_ok());
            assert_eq!(found, [by_tenant, by_platform, by_narrow], "{object}");
        }
    }
}
