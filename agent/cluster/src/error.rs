//! What the API server refuses, in words that say whose turn it is.

use shared_model::{Reason, ServiceAccount, Severity};

use crate::pace::LeftAlone;

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// The API server answered and refused.
    #[error("{message}")]
    Refused {
        /// What kind of refusal it is.
        refusal: Refusal,
        /// The API server's own words.
        message: String,
    },
    /// 409 to an apply without force: other managers hold fields with other values.
    #[error("{}", held_by_others(fields))]
    FieldsHeld {
        /// The fields, as many as the API server named.
        fields: Vec<HeldField>,
    },
    /// No answer.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    /// An answer that cannot be read.
    #[error("the API server's answer cannot be read: {0}")]
    Unreadable(String),
    /// The kubeconfig or the pod's service account cannot be used.
    #[error("no way to the API server: {0}; give a kubeconfig with --kubeconfig, or run in a pod with a service account")]
    Configuration(String),
}

/// A field that another manager holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldField {
    /// The field, as people write it: `spec.template.spec.containers[name=api].image`.
    pub path: String,
    /// Who holds it.
    pub manager: String,
}

/// How many held fields a message names: a line or two of a terminal.
const FIELDS_NAMED: usize = 5;

fn held_by_others(fields: &[HeldField]) -> String {
    let named: Vec<String> = fields.iter().take(FIELDS_NAMED).map(|field| format!("{} ({})", field.path, field.manager)).collect();
    let more = fields.len().saturating_sub(FIELDS_NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("others hold fields of it with other values: {}{more}", named.join(", "))
}

/// The refusals that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 404 for the object, or for its namespace.
    NotFound,
    /// 404 for the kind: it is not served (any more).
    KindNotServed,
    /// The namespace is being deleted.
    NamespaceTerminating,
    /// 403.
    Forbidden,
    /// 409: changed meanwhile, or another object than was meant.
    Conflict,
    /// A field that cannot be changed was changed.
    Immutable,
    /// 400 or 422: the object is not valid, or has unknown fields.
    Invalid,
    /// An admission webhook said no.
    Denied,
    /// An admission webhook that must be asked did not answer.
    WebhookFailing,
    /// 410: the history is gone.
    Gone,
    /// 429.
    Throttled,
    /// 5xx.
    Failing,
}

impl ClusterError {
    /// What kind of refusal it is, if it is one.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(*refusal),
            Self::FieldsHeld { .. } => Some(Refusal::Conflict),
            _ => None,
        }
    }

    /// The reason that is shown for an object.
    pub fn reason(&self) -> Reason {
        if let Self::FieldsHeld { .. } = self {
            let remedy = "it is left as it is, as its conflicts are to be reported; take the fields out of the source, have their holders let go, \
                          or say conflicts: force";
            return Reason::new(Severity::Error, "FieldsHeld", format!("{self}; {remedy}"));
        }
        let (severity, code, hint) = match self.refusal() {
            Some(Refusal::NotFound) => (Severity::Error, "NamespaceMissing", "; add the namespace to the app, or set createNamespace"),
            Some(Refusal::KindNotServed) => (Severity::Error, "KindUnknown", "; install its CustomResourceDefinition"),
            Some(Refusal::NamespaceTerminating) => (Severity::Wait, "NamespaceTerminating", "; it is applied when the namespace is gone"),
            Some(Refusal::Forbidden) => (Severity::Error, "Forbidden", "; grant the agent's service account this right"),
            Some(Refusal::Conflict) => (Severity::Wait, "Conflict", "; it is tried again"),
            Some(Refusal::Immutable) => (Severity::Error, "ImmutableField", "; undo the change, or let the object be recreated"),
            Some(Refusal::Invalid) => (Severity::Error, "Invalid", "; correct the manifest"),
            Some(Refusal::Denied) => (Severity::Error, "AdmissionDenied", "; satisfy the policy of that webhook"),
            Some(Refusal::WebhookFailing) => {
                (Severity::Error, "WebhookUnavailable", "; it is tried again, and that webhook needs its owner")
            }
            Some(Refusal::Gone) => (Severity::Wait, "Gone", "; it is listed again"),
            Some(Refusal::Throttled) => (Severity::Wait, "Throttled", "; it is tried again later"),
            Some(Refusal::Failing) => (Severity::Error, "ApiServerFailing", "; it is tried again"),
            None => (Severity::Error, "ApiServerUnreachable", "; it is tried again"),
        };
        Reason::new(severity, code, format!("{self}{hint}"))
    }

    /// Whether the API server shed the request as load before it looked at it (`apiserver/pkg/server/filters`, `tooManyRequests`).
    pub(crate) fn is_shed_load(&self) -> bool {
        self.refusal() == Some(Refusal::Throttled)
            && matches!(self, Self::Refused { message, .. } if message.starts_with("Too many requests"))
    }

    /// Whether an object was not deleted because it is another one than was meant.
    pub(crate) fn is_other_uid(&self) -> bool {
        self.refusal() == Some(Refusal::Conflict)
            && matches!(self, Self::Refused { message, .. } if message.contains("UID in precondition") || message.contains("UID in the precondition"))
    }

    /// Whether an object was not created because it is there.
    pub(crate) fn is_already_there(&self) -> bool {
        self.refusal() == Some(Refusal::Conflict) && matches!(self, Self::Refused { message, .. } if message.contains("already exists"))
    }

    /// Whether nothing was heard of the API server, so that nobody knows what it did.
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Unreadable(_))
    }

    /// The reason that is shown for an object that was written as `account`, or with the agent's own rights.
    pub fn reason_as(&self, account: Option<&ServiceAccount>) -> Reason {
        let (Self::Refused { refusal: Refusal::Forbidden, message }, Some(account)) = (self, account) else { return self.reason() };
        let (namespace, name) = (account.namespace(), account.name());
        // A role that grants too much is answered with every right that is missing, a line each.
        let message = message.lines().next().unwrap_or_default();
        if message.contains("cannot impersonate") {
            let hint = format!(
                "give the agent's own service account the verb impersonate on serviceaccounts, resourceNames [{name}], in a Role of namespace {namespace}"
            );
            return Reason::new(Severity::Error, "ImpersonationForbidden", format!("{message}; {hint}"));
        }
        if !message.contains(&account.user()) {
            return self.reason();
        }
        let hint =
            format!("grant it this right in {namespace}, or take the object out of the app; the agent's own rights are not used for it");
        Reason::new(Severity::Error, "Forbidden", format!("service account {account} may not do this: {message}; {hint}"))
    }

    /// Whether the object or its namespace is certainly not there.
    pub fn is_not_found(&self) -> bool {
        self.refusal() == Some(Refusal::NotFound)
    }
}

impl From<kube::Error> for ClusterError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if !held_fields(&status).is_empty() => Self::FieldsHeld { fields: held_fields(&status) },
            kube::Error::Api(status) => {
                Self::Refused { refusal: classify(status.code, &status.reason, &status.message), message: status.message }
            }
            kube::Error::Service(error) if error.is::<LeftAlone>() => {
                Self::Refused { refusal: Refusal::Throttled, message: error.to_string() }
            }
            kube::Error::SerdeError(error) => Self::Unreadable(error.to_string()),
            kube::Error::FromUtf8(error) => Self::Unreadable(error.to_string()),
            other => Self::Unreachable(chain(&other)),
        }
    }
}

/// The fields of a refused apply's conflicts (`apiserver/pkg/endpoints/handlers/fieldmanager`, `conflict.go`).
fn held_fields(status: &kube::core::Status) -> Vec<HeldField> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let held = causes.filter(|cause| cause.reason == "FieldManagerConflict");
    let field = |cause: &kube::core::response::StatusCause| HeldField {
        path: cause.field.trim_start_matches('.').replace('"', ""),
        manager: cause.message.split('"').nth(1).unwrap_or("another manager").to_owned(),
    };
    held.map(field).collect()
}

/// An error with its sources, which kube does not print.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}

/// How the API server says that it is only the change that it refuses (`pkg/apis/*/validation`).
const REFUSED_CHANGES: [&str; 6] = [
    "is immutable",
    "Forbidden: updates to",
    "cannot change roleRef",
    "may not be changed in an update",
    "may not change once set",
    "pod updates may not change fields",
];

/// The API server tells some refusals apart only by words (`pkg/registry`, `apiserver/pkg/admission`).
fn classify(code: u16, reason: &str, message: &str) -> Refusal {
    match code {
        404 if message.contains("the server could not find the requested resource") || message.contains("page not found") => {
            Refusal::KindNotServed
        }
        404 => Refusal::NotFound,
        403 if message.contains("because it is being terminated") => Refusal::NamespaceTerminating,
        400 | 403 if message.contains("admission webhook") => Refusal::Denied,
        403 => Refusal::Forbidden,
        409 => Refusal::Conflict,
        410 => Refusal::Gone,
        422 if REFUSED_CHANGES.iter().any(|words| message.contains(words)) => Refusal::Immutable,
        429 => Refusal::Throttled,
        500 if message.contains("failed to create typed patch object") => Refusal::Invalid,
        500 if reason == "InternalError" && message.contains("failed calling webhook") => Refusal::WebhookFailing,
        500.. => Refusal::Failing,
        _ => Refusal::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_by_code_and_words() {
        let cases = [
            (404, "NotFound", "configmaps \"a\" not found", Refusal::NotFound),
            (404, "NotFound", "the server could not find the requested resource", Refusal::KindNotServed),
            (
                403,
                "Forbidden",
                "configmaps \"a\" is forbidden: unable to create new content in namespace x because it is being terminated",
                Refusal::NamespaceTerminating,
            ),
            (403, "Forbidden", "admission webhook \"policy.example.com\" denied the request: no", Refusal::Denied),
            (403, "Forbidden", "User \"x\" cannot patch resource", Refusal::Forbidden),
            (422, "Invalid", "spec.selector: Invalid value: field is immutable", Refusal::Immutable),
            (422, "Invalid", "roleRef: Invalid value: {}: cannot change roleRef", Refusal::Immutable),
            (422, "Invalid", "value: Forbidden: may not be changed in an update.", Refusal::Immutable),
            (422, "Invalid", "spec.image: Invalid value: \"a:latest\": tags must be immutable", Refusal::Invalid),
            (422, "Invalid", "spec.replicas: Invalid value: -1", Refusal::Invalid),
            (403, "Forbidden", "admission webhook \"tags.example.com\" denied the request: tags must be immutable", Refusal::Denied),
            (400, "BadRequest", "strict decoding error: unknown field \"spec.replica\"", Refusal::Invalid),
            (
                500,
                "",
                "failed to create typed patch object (a/b; /v1, Kind=ConfigMap): .date: field not declared in schema",
                Refusal::Invalid,
            ),
            (
                500,
                "InternalError",
                "Internal error occurred: failed calling webhook \"policy.example.com\": failed to call webhook: connection refused",
                Refusal::WebhookFailing,
            ),
            (503, "ServiceUnavailable", "the server is currently unable to handle the request", Refusal::Failing),
        ];
        for (code, reason, message, expected) in cases {
            assert_eq!(classify(code, reason, message), expected, "{message}");
        }
    }

    #[test]
    fn a_refusal_names_whose_rights_are_missing() {
        let account: ServiceAccount = "team-a:deployer".parse().expect("an account");
        let refused = |message: &str| ClusterError::Refused { refusal: Refusal::Forbidden, message: message.to_owned() };
        for (message, code, part) in [
            (
                "users \"system:serviceaccount:team-a:deployer\" is forbidden: User \"agent\" cannot impersonate resource \"serviceaccounts\"",
                "ImpersonationForbidden",
                "resourceNames [deployer], in a Role of namespace team-a",
            ),
            (
                "configmaps \"a\" is forbidden: User \"system:serviceaccount:team-a:deployer\" cannot patch resource \"configmaps\"",
                "Forbidden",
                "service account team-a:deployer may not",
            ),
            ("configmaps \"a\" is forbidden: User \"agent\" cannot get resource", "Forbidden", "grant the agent's service account"),
        ] {
            let reason = refused(message).reason_as(Some(&account));
            assert!(reason.code == code && reason.message.contains(part), "{reason}");
        }
        assert_eq!(refused("x").reason_as(None), refused("x").reason());
    }
}
