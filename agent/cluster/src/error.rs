//! What the API server refuses, in words that say whose turn it is.

use shared_model::{Reason, Severity};

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
            _ => None,
        }
    }

    /// The reason that is shown for an object.
    pub fn reason(&self) -> Reason {
        let (severity, code, hint) = match self.refusal() {
            Some(Refusal::NotFound) => (Severity::Error, "NamespaceMissing", "; add the namespace to the app, or set createNamespace"),
            Some(Refusal::KindNotServed) => (Severity::Error, "KindUnknown", "; install its CustomResourceDefinition"),
            Some(Refusal::NamespaceTerminating) => (Severity::Wait, "NamespaceTerminating", "; it is applied when the namespace is gone"),
            Some(Refusal::Forbidden) => (Severity::Error, "Forbidden", "; grant the agent's service account this right"),
            Some(Refusal::Conflict) => (Severity::Wait, "Conflict", "; it is tried again"),
            Some(Refusal::Immutable) => (Severity::Error, "ImmutableField", "; undo the change, or let the object be recreated"),
            Some(Refusal::Invalid) => (Severity::Error, "Invalid", "; correct the manifest"),
            Some(Refusal::Denied) => (Severity::Error, "AdmissionDenied", "; satisfy the policy of that webhook"),
            Some(Refusal::Gone) => (Severity::Wait, "Gone", "; it is listed again"),
            Some(Refusal::Throttled) => (Severity::Wait, "Throttled", "; it is tried again later"),
            Some(Refusal::Failing) => (Severity::Error, "ApiServerFailing", "; it is tried again"),
            None => (Severity::Error, "ApiServerUnreachable", "; it is tried again"),
        };
        Reason::new(severity, code, format!("{self}{hint}"))
    }

    /// Whether the object or its namespace is certainly not there.
    pub fn is_not_found(&self) -> bool {
        self.refusal() == Some(Refusal::NotFound)
    }
}

impl From<kube::Error> for ClusterError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                Self::Refused { refusal: classify(status.code, &status.reason, &status.message), message: status.message }
            }
            kube::Error::SerdeError(error) => Self::Unreadable(error.to_string()),
            kube::Error::FromUtf8(error) => Self::Unreadable(error.to_string()),
            other => Self::Unreachable(chain(&other)),
        }
    }
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
        422 if message.contains("immutable") || message.contains("Forbidden: updates to") => Refusal::Immutable,
        429 => Refusal::Throttled,
        500 if message.contains("failed to create typed patch object") => Refusal::Invalid,
        500 if reason == "InternalError" && message.contains("failed calling webhook") => Refusal::Denied,
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
            (422, "Invalid", "spec.replicas: Invalid value: -1", Refusal::Invalid),
            (400, "BadRequest", "strict decoding error: unknown field \"spec.replica\"", Refusal::Invalid),
            (
                500,
                "",
                "failed to create typed patch object (a/b; /v1, Kind=ConfigMap): .date: field not declared in schema",
                Refusal::Invalid,
            ),
            (503, "ServiceUnavailable", "the server is currently unable to handle the request", Refusal::Failing),
        ];
        for (code, reason, message, expected) in cases {
            assert_eq!(classify(code, reason, message), expected, "{message}");
        }
    }
}
