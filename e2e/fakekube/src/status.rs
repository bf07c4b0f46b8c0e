//! The error answers of the API: `Status` objects with the reasons, codes and words of the real server.

use serde_json::{Map, Value, json};

use crate::registry::{Resource, qualified};

/// A refused request.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) code: u16,
    reason: &'static str,
    pub(crate) message: String,
    details: Option<Value>,
}

/// One cause in the details of an `Invalid` answer.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) field: String,
}

impl Cause {
    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Cause {
        let message = if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        Cause { reason: "FieldValueRequired", message, field: field.into() }
    }

    pub(crate) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Cause {
        Cause { reason: "FieldValueInvalid", message: format!("Invalid value: {value}: {detail}"), field: field.into() }
    }

    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Cause {
        Cause { reason: "FieldValueForbidden", message: format!("Forbidden: {detail}"), field: field.into() }
    }

    pub(crate) fn unsupported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Cause {
        let list = supported.iter().map(|s| format!("{s:?}")).collect::<Vec<_>>().join(", ");
        Cause {
            reason: "FieldValueNotSupported",
            message: format!("Unsupported value: {value}: supported values: {list}"),
            field: field.into(),
        }
    }

    pub(crate) fn duplicate(field: impl Into<String>, value: &Value) -> Cause {
        Cause { reason: "FieldValueDuplicate", message: format!("Duplicate value: {value}"), field: field.into() }
    }
}

fn details(r: &Resource, name: &str) -> Map<String, Value> {
    let mut d = Map::new();
    if !name.is_empty() {
        d.insert("name".into(), json!(name));
    }
    if !r.group.is_empty() {
        d.insert("group".into(), json!(r.group));
    }
    d.insert("kind".into(), json!(r.plural));
    d
}

impl ApiError {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { code, reason, message: message.into(), details: None }
    }

    fn about(mut self, d: Map<String, Value>) -> ApiError {
        self.details = Some(Value::Object(d));
        self
    }

    pub(crate) fn with_details(mut self, d: Value) -> ApiError {
        self.details = Some(d);
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(400, "BadRequest", message)
    }

    pub(crate) fn no_path() -> ApiError {
        ApiError::new(404, "NotFound", "the server could not find the requested resource").with_details(json!({}))
    }

    pub(crate) fn not_found(r: &Resource, name: &str) -> ApiError {
        ApiError::new(404, "NotFound", format!("{} \"{name}\" not found", r.qualified())).about(details(r, name))
    }

    pub(crate) fn namespace_not_found(name: &str) -> ApiError {
        ApiError::new(404, "NotFound", format!("namespaces \"{name}\" not found")).with_details(json!({"name": name, "kind": "namespaces"}))
    }

    pub(crate) fn exists(r: &Resource, name: &str) -> ApiError {
        ApiError::new(409, "AlreadyExists", format!("{} \"{name}\" already exists", r.qualified())).about(details(r, name))
    }

    pub(crate) fn conflict(r: &Resource, name: &str, why: &str) -> ApiError {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", r.qualified());
        ApiError::new(409, "Conflict", message).about(details(r, name))
    }

    pub(crate) fn modified(r: &Resource, name: &str) -> ApiError {
        ApiError::conflict(r, name, "the object has been modified; please apply your changes to the latest version and try again")
    }

    pub(crate) fn apply_conflict(message: String, causes: &[Value]) -> ApiError {
        ApiError::new(409, "Conflict", message).with_details(json!({"causes": causes}))
    }

    pub(crate) fn forbidden(r: &Resource, name: &str, why: &str) -> ApiError {
        let who = if name.is_empty() { r.qualified() } else { format!("{} \"{name}\"", r.qualified()) };
        ApiError::new(403, "Forbidden", format!("{who} is forbidden: {why}")).about(details(r, name))
    }

    pub(crate) fn namespace_terminating(r: &Resource, name: &str, namespace: &str) -> ApiError {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut e = ApiError::forbidden(r, name, &why);
        if let Some(Value::Object(d)) = &mut e.details {
            d.insert(
                "causes".into(),
                json!([{"reason": "NamespaceTerminating", "message": format!("namespace {namespace} is being terminated"),
                    "field": "metadata.namespace"}]),
            );
        }
        e
    }

    pub(crate) fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> ApiError {
        let who = format!("{} \"{name}\"", qualified(kind, group));
        let mut all: Vec<String> = Vec::new();
        for c in causes {
            let text = format!("{}: {}", c.field, c.message);
            if !all.contains(&text) {
                all.push(text);
            }
        }
        let message = match all.as_slice() {
            [one] => format!("{who} is invalid: {one}"),
            many => format!("{who} is invalid: [{}]", many.join(", ")),
        };
        let mut d = Map::new();
        if !name.is_empty() {
            d.insert("name".into(), json!(name));
        }
        if !group.is_empty() {
            d.insert("group".into(), json!(group));
        }
        d.insert("kind".into(), json!(kind));
        let list: Vec<Value> = causes.iter().map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field})).collect();
        d.insert("causes".into(), Value::Array(list));
        ApiError::new(422, "Invalid", message).about(d)
    }

    pub(crate) fn method_not_allowed() -> ApiError {
        ApiError::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource").with_details(json!({}))
    }

    pub(crate) fn unsupported_media(accepted: &[&str]) -> ApiError {
        let message = format!("the body of the request was in an unknown format - accepted media types include: {}", accepted.join(", "));
        ApiError::new(415, "UnsupportedMediaType", message)
    }

    pub(crate) fn unauthorized() -> ApiError {
        ApiError::new(401, "Unauthorized", "Unauthorized")
    }

    pub(crate) fn expired(message: impl Into<String>) -> ApiError {
        ApiError::new(410, "Expired", message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> ApiError {
        ApiError::new(503, "ServiceUnavailable", message)
    }

    /// An error without a reason, as the server answers what it did not expect.
    pub(crate) fn plain(message: impl Into<String>) -> ApiError {
        ApiError::new(500, "", message)
    }

    pub(crate) fn to_value(&self) -> Value {
        let mut v = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message,
            "code": self.code});
        if !self.reason.is_empty() {
            v["reason"] = json!(self.reason);
        }
        if let Some(d) = &self.details {
            v["details"] = d.clone();
        }
        v
    }
}
