//! The API server's audit log, read back as values: who asked for what, and what came of it. Counting and judging is the test's matter.

use jiff::Timestamp;
use serde_json::Value;

/// Every request of every user, without bodies, once it was answered (a watch: also once it began).
pub(crate) const POLICY: &str =
    r#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy","omitStages":["RequestReceived"],"rules":[{"level":"Metadata"}]}"#;

/// One request that the API server answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuditEvent {
    /// Kubernetes' verb: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or an HTTP method in lower case.
    pub verb: String,
    /// Who asked.
    pub user: String,
    /// As whom, if not as itself (impersonation).
    pub acts_as: Option<String>,
    /// Path and query.
    pub uri: String,
    /// API group, empty for the core group; absent where the path names no resource.
    pub group: Option<String>,
    /// Resource in plural, such as `deployments`.
    pub resource: Option<String>,
    /// Namespace of the object.
    pub namespace: Option<String>,
    /// Name of the object.
    pub name: Option<String>,
    /// Subresource, such as `status`.
    pub subresource: Option<String>,
    /// HTTP status of the answer.
    pub code: u16,
    /// What the client calls itself.
    pub user_agent: String,
    /// When the request came in.
    pub time: Timestamp,
}

impl AuditEvent {
    /// Whether the request changed the cluster or tried to: a writing verb, and no dry run.
    #[must_use]
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection") && !self.uri.contains("dryRun=All")
    }
}

/// Reads the log. A request that was logged at several stages appears once, as it was logged last, at its first place. The last line may be
/// unfinished while the server writes it; it is left out.
pub(crate) fn parse(log: &str) -> Vec<AuditEvent> {
    let mut places = std::collections::HashMap::new();
    let mut events: Vec<AuditEvent> = Vec::new();
    for line in log.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let Some((id, event)) = serde_json::from_str(line).ok().as_ref().and_then(event) else {
            continue;
        };
        match places.get(&id) {
            Some(&place) => events[place] = event,
            None => {
                places.insert(id, events.len());
                events.push(event);
            }
        }
    }
    events
}

fn event(line: &Value) -> Option<(String, AuditEvent)> {
    let text = |pointer: &str| line.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let resource = text("/objectRef/resource");
    let event = AuditEvent {
        verb: text("/verb")?,
        user: text("/user/username")?,
        acts_as: text("/impersonatedUser/username"),
        uri: text("/requestURI")?,
        group: resource.is_some().then(|| text("/objectRef/apiGroup").unwrap_or_default()),
        resource,
        namespace: text("/objectRef/namespace"),
        name: text("/objectRef/name"),
        subresource: text("/objectRef/subresource"),
        code: line.pointer("/responseStatus/code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok())?,
        user_agent: text("/userAgent").unwrap_or_default(),
        time: text("/requestReceivedTimestamp")?.parse().ok()?,
    };
    Some((text("/auditID")?, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = concat!(
        r#"{"auditID":"1","stage":"ResponseStarted","requestURI":"/api/v1/pods?watch=true","verb":"watch","user":{"username":"a"},"objectRef":{"resource":"pods","apiVersion":"v1"},"responseStatus":{"code":200},"requestReceivedTimestamp":"2026-01-02T03:04:05.000006Z"}"#,
        "\n",
        r#"{"auditID":"2","stage":"ResponseComplete","requestURI":"/apis/apps/v1/namespaces/n/deployments/d?dryRun=All","verb":"patch","user":{"username":"b"},"userAgent":"x/1","objectRef":{"resource":"deployments","namespace":"n","name":"d","apiGroup":"apps"},"responseStatus":{"code":409},"requestReceivedTimestamp":"2026-01-02T03:04:06.000006Z"}"#,
        "\n",
        r#"{"auditID":"1","stage":"ResponseComplete","requestURI":"/api/v1/pods?watch=true","verb":"watch","user":{"username":"a"},"responseStatus":{"code":410},"requestReceivedTimestamp":"2026-01-02T03:04:05.000006Z"}"#,
        "\n",
        r#"{"auditID":"3","stage":"Resp"#,
    );

    #[test]
    fn a_request_logged_at_two_stages_is_one_event_and_an_unfinished_line_none() {
        let events = parse(LOG);
        let shown: Vec<_> = events.iter().map(|event| (event.user.as_str(), event.code, event.group.as_deref())).collect();
        assert_eq!(shown, [("a", 410, None), ("b", 409, Some("apps"))]);
    }

    #[test]
    fn a_dry_run_is_no_write() {
        let mut event = parse(LOG).remove(1);
        assert!(!event.is_write());
        event.uri = "/apis/apps/v1/namespaces/n/deployments/d".into();
        assert!(event.is_write());
    }
}
