//! The guardrail: what the owner of a cluster lets its hub do there, whatever the hub signs. It is read from the agent's own disk, so that no
//! hub can widen it. Judged by kind, namespace and name, by the account that an app is written as, and, where RBAC cannot tell apart, by the
//! type of a Secret and the labels of a Namespace; the rest of what is inside of an object is left to the cluster's admission.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use shared_model::{AppName, GroupKind, ObjectKey, Reason, ServiceAccount, Severity};

use crate::prune::HOURLY_DELETIONS;

/// Roles and bindings whose names begin so are the agent's own, also those in the namespaces of tenants.
const OWN_ROLE_PREFIX: &str = "capstan-agent";

/// The namespace of Kubernetes' own controllers, some of whose accounts may give themselves any right.
const SYSTEM_NAMESPACE: &str = "kube-system";

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
    /// The types of Secrets that may be written; `None` is all. A token of a service account is a Secret, and RBAC knows no types.
    pub secret_types: Option<BTreeSet<String>>,
    /// The labels that no Namespace may be given, such as `pod-security.kubernetes.io/*`. Apps without a service account of their own are held
    /// to it as well.
    pub deny_namespace_labels: Vec<Pattern>,
    /// Who apps may be written as: the first rule that is about an app decides. `None` lets the hub choose, the agent's own rights included.
    pub impersonate: Option<Vec<AccountRule>>,
    /// The namespaces that this agent was installed for, when it was not for the whole cluster: nothing else is written.
    pub installed_for: Option<BTreeSet<String>>,
    /// The most deletions in an hour, approved by the hub or not, without those of what runs of hooks made; `None` leaves the limit on deletions
    /// without an approval.
    pub deletions_per_hour: Option<u32>,
    /// Whether the last line of a container that crashed is told to the hub as a cause, without what looks like a secret. A secret that looks like
    /// a word passes, so that this is the cluster's owner's choice.
    pub crash_lines: bool,
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
            secret_types: None,
            deny_namespace_labels: Vec::new(),
            impersonate: None,
            installed_for: None,
            deletions_per_hour: None,
            crash_lines: true,
        }
    }

    /// How many objects may be deleted within an hour, with an approval or without one.
    pub fn deletions_an_hour(&self, approved: bool) -> u32 {
        self.deletions_per_hour.unwrap_or(if approved { u32::MAX } else { HOURLY_DELETIONS })
    }

    /// Whether the object may be written or deleted, and why not.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn permits(&self, object: &ObjectKey) -> Result<(), Reason> {
        let GroupKind { group, kind } = &object.kind;
        let is_namespace = group.is_empty() && kind == "Namespace";
        let own_role = group == "rbac.authorization.k8s.io" && object.name.starts_with(OWN_ROLE_PREFIX);
        let home = object.namespace.as_deref().or(is_namespace.then_some(object.name.as_str()));
        if own_role || home == Some(&self.own_namespace) {
            return Err(refused(object, "it belongs to the agent itself"));
        }
        if let Some(namespaces) = &self.installed_for
            && !home.is_some_and(|home| namespaces.contains(home))
        {
            let names = namespaces.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(refused(object, &format!("this agent is installed for the namespaces {names} alone")));
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

    /// Whether `content` may be written: what the object is, beyond its kind.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn permits_content(&self, object: &ObjectKey, content: &Value) -> Result<(), Reason> {
        if !object.kind.group.is_empty() {
            return Ok(());
        }
        match (object.kind.kind.as_str(), &self.secret_types) {
            ("Secret", Some(types)) => {
                let found = content.get("type").and_then(Value::as_str).unwrap_or("Opaque");
                if types.contains(found) { Ok(()) } else { Err(refused(object, &format!("Secrets of type {found} are not permitted"))) }
            }
            ("Namespace", _) => {
                let labels = content.pointer("/metadata/labels").and_then(Value::as_object);
                let denied = |label: &&String| self.deny_namespace_labels.iter().any(|pattern| pattern.matches(label));
                match labels.into_iter().flat_map(|labels| labels.keys()).find(denied) {
                    Some(label) => Err(refused(object, &format!("the label {label} is not for the hub to set on a Namespace"))),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Whether `app`, which is written as `account`, may bring the object or have it deleted.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn permits_for(&self, app: &AppName, account: Option<&ServiceAccount>, object: &ObjectKey) -> Result<(), Reason> {
        self.permits(object)?;
        let rule = self.impersonate.iter().flatten().find(|rule| rule.is_about(app));
        let (Some(account), Some(_)) = (account, rule.filter(|rule| rule.only_in_accounts_namespace)) else { return Ok(()) };
        let is_namespace = object.kind.group.is_empty() && object.kind.kind == "Namespace";
        let home = object.namespace.as_deref().or(is_namespace.then_some(object.name.as_str()));
        if home == Some(account.namespace()) {
            return Ok(());
        }
        Err(refused(object, &format!("app {app} runs as {account} and may bring objects to the namespace {} alone", account.namespace())))
    }

    /// Whether what `app` brings may be written and deleted as `account`, or with the agent's own rights if there is none.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn permits_account(&self, app: &AppName, account: Option<&ServiceAccount>) -> Result<(), Reason> {
        let rule = self.impersonate.as_ref().map(|rules| rules.iter().find(|rule| rule.is_about(app)));
        let Some(account) = account else {
            return match rule {
                None => Ok(()),
                Some(Some(rule)) if rule.agents_own => Ok(()),
                Some(Some(rule)) => Err(account_refused(app, &format!("it names no service account, and must run as {}", rule.told()))),
                Some(None) => Err(account_refused(app, "no rule of \"impersonate\" is about it")),
            };
        };
        if account.namespace() == self.own_namespace {
            return Err(account_refused(app, &format!("the service account {account} is in the agent's own namespace")));
        }
        match rule {
            None if account.namespace() == SYSTEM_NAMESPACE => {
                let why = format!("the service account {account} is one of Kubernetes' own and no rule of \"impersonate\" names it");
                Err(account_refused(app, &why))
            }
            None => Ok(()),
            Some(Some(rule)) if rule.accounts.iter().any(|pattern| pattern.matches(account)) => Ok(()),
            Some(Some(rule)) => Err(account_refused(app, &format!("it wants to run as {account} and may run as {}", rule.told()))),
            Some(None) => Err(account_refused(app, "no rule of \"impersonate\" is about it")),
        }
    }
}

/// Who certain apps may be written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRule {
    /// The apps that it is about, by name. A hub chooses the names of apps: whatever any rule grants, a hostile hub has.
    pub apps: Vec<Pattern>,
    /// The service accounts that they may run as.
    pub accounts: Vec<AccountPattern>,
    /// They may also be written with the agent's own rights.
    pub agents_own: bool,
    /// With a service account they bring objects to its namespace alone. Tenants are then apart also where their accounts' rights overlap.
    pub only_in_accounts_namespace: bool,
}

impl AccountRule {
    fn is_about(&self, app: &AppName) -> bool {
        self.apps.iter().any(|pattern| pattern.matches(app.as_str()))
    }

    fn told(&self) -> String {
        let accounts = self.accounts.iter().map(ToString::to_string);
        let all: Vec<String> = accounts.chain(self.agents_own.then(|| "the agent itself".to_owned())).collect();
        if all.is_empty() { "nobody".to_owned() } else { all.join(" or ") }
    }
}

/// Service accounts, as `NAMESPACE:NAME`, either of which may hold `*`. Those of `kube-system` are meant only where that is spelled out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPattern {
    namespace: Pattern,
    name: Pattern,
}

/// A pattern of service accounts that names none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" names no service account; write NAMESPACE:NAME, either of which may hold *")]
pub struct InvalidAccountPattern(String);

impl FromStr for AccountPattern {
    type Err = InvalidAccountPattern;

    fn from_str(text: &str) -> Result<Self, InvalidAccountPattern> {
        let part =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.*".contains(&b));
        let parts = text.split_once(':').filter(|(namespace, name)| part(namespace) && part(name));
        let (namespace, name) = parts.ok_or_else(|| InvalidAccountPattern(text.to_owned()))?;
        Ok(Self { namespace: Pattern::new(namespace), name: Pattern::new(name) })
    }
}

impl AccountPattern {
    fn matches(&self, account: &ServiceAccount) -> bool {
        let spelled_out = account.namespace() != SYSTEM_NAMESPACE || self.namespace.0 == SYSTEM_NAMESPACE;
        spelled_out && self.namespace.matches(account.namespace()) && self.name.matches(account.name())
    }
}

impl fmt::Display for AccountPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.namespace.0, self.name.0)
    }
}

fn account_refused(app: &AppName, why: &str) -> Reason {
    let message = format!(
        "this cluster's guardrail does not let app {app} be written: {why}; set serviceAccount in the app or its project, or ask the cluster's owner"
    );
    Reason::new(Severity::Error, "AccountRefused", message)
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
            "Role.rbac.authorization.k8s.io team-a/capstan-agent-impersonates",
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

    #[test]
    fn the_first_rule_about_an_app_says_who_it_may_be_written_as() {
        let rule = |apps: &str, accounts: &[&str], agents_own| AccountRule {
            apps: vec![Pattern::new(apps)],
            accounts: accounts.iter().map(|text| text.parse().expect("accounts")).collect(),
            agents_own,
            only_in_accounts_namespace: false,
        };
        let rules = vec![
            rule("team-a-*", &["team-a:deployer"], false),
            rule("platform-*", &["platform:*"], true),
            rule("dns", &["kube-system:dns-*"], false),
            rule("any-*", &["*:*"], false),
        ];
        let open = Guardrail::open("capstan-system");
        let ruled = Guardrail { impersonate: Some(rules), ..open.clone() };
        for (app, account, [by_open, by_ruled]) in [
            ("team-a-web", Some("team-a:deployer"), [true, true]),
            ("team-a-web", Some("team-a:admin"), [true, false]),
            ("team-a-web", Some("team-b:deployer"), [true, false]),
            ("team-a-web", None, [true, false]),
            ("platform-dns", None, [true, true]),
            ("platform-dns", Some("platform:x"), [true, true]),
            ("unheard-of", None, [true, false]),
            ("unheard-of", Some("team-a:deployer"), [true, false]),
            ("any-x", Some("team-b:x"), [true, true]),
            ("any-x", Some("kube-system:clusterrole-aggregation-controller"), [false, false]),
            ("dns", Some("kube-system:dns-operator"), [false, true]),
            ("any-x", Some("capstan-system:capstan-agent"), [false, false]),
        ] {
            let account = account.map(|text| text.parse().expect("an account"));
            let found = [&open, &ruled].map(|guardrail| guardrail.permits_account(&app.parse().expect("an app"), account.as_ref()).is_ok());
            assert_eq!(found, [by_open, by_ruled], "{app} as {account:?}");
        }
        for text in ["deployer", "a:", ":b", "a:b:c", "A:b", "system:serviceaccount:a:b"] {
            assert!(text.parse::<AccountPattern>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_app_may_be_kept_to_its_accounts_namespace() {
        let rule = AccountRule {
            apps: vec![Pattern::new("team-*")],
            accounts: vec!["*:deployer".parse().expect("accounts")],
            agents_own: true,
            only_in_accounts_namespace: true,
        };
        let guardrail = Guardrail { impersonate: Some(vec![rule]), ..Guardrail::open("capstan-system") };
        let (app, account) = ("team-a-web".parse().expect("an app"), "team-a:deployer".parse().expect("an account"));
        for (object, expected) in [
            ("ConfigMap team-a/x", true),
            ("Namespace team-a", true),
            ("ConfigMap team-b/x", false),
            ("Namespace team-b", false),
            ("PriorityClass.scheduling.k8s.io high", false),
            ("ConfigMap capstan-system/x", false),
        ] {
            assert_eq!(guardrail.permits_for(&app, Some(&account), &key(object)).is_ok(), expected, "{object}");
        }
        assert!(guardrail.permits_for(&app, None, &key("ConfigMap team-b/x")).is_ok(), "with the agent's own rights it is elsewhere");
    }

    #[test]
    fn an_agent_for_some_namespaces_writes_nothing_outside_of_them() {
        let namespaces = BTreeSet::from(["team-a".to_owned(), "team-b".to_owned()]);
        let scoped = Guardrail { installed_for: Some(namespaces), ..Guardrail::open("capstan-system") };
        for (object, expected) in [
            ("ConfigMap team-a/x", true),
            ("Namespace team-b", true),
            ("ConfigMap team-c/x", false),
            ("Namespace team-c", false),
            ("PriorityClass.scheduling.k8s.io high", false),
        ] {
            assert_eq!(scoped.permits(&key(object)).is_ok(), expected, "{object}");
        }
    }

    #[test]
    fn what_rbac_cannot_tell_apart_is_told_by_content() {
        let strict = Guardrail {
            secret_types: Some(BTreeSet::from(["Opaque".to_owned()])),
            deny_namespace_labels: vec![Pattern::new("pod-security.kubernetes.io/*")],
            ..Guardrail::open("capstan-system")
        };
        let token = serde_json::json!({"type": "kubernetes.io/service-account-token"});
        let privileged = serde_json::json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}});
        let plain = serde_json::json!({"metadata": {"labels": {"team": "a"}}});
        for (object, content, expected) in [
            ("Secret team-a/t", &token, false),
            ("Secret team-a/t", &plain, true),
            ("Namespace team-a", &privileged, false),
            ("Namespace team-a", &plain, true),
            ("ConfigMap team-a/t", &token, true),
            ("Secret.example.com team-a/t", &token, true),
        ] {
            assert_eq!(strict.permits_content(&key(object), content).is_ok(), expected, "{object} {content}");
            assert!(Guardrail::open("capstan-system").permits_content(&key(object), content).is_ok());
        }
    }
}
