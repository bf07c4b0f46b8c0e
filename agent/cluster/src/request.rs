//! Requests as the API server wants them. Written by hand over kube's client: bodies stay plain JSON, so that nothing an object says is lost
//! in a typed round trip.

use http::{Request, header};
use serde_json::Value;
use shared_model::ObjectKey;

use crate::discovery::Resource;
use crate::error::ClusterError;

/// Asks for objects' metadata only.
pub(crate) const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// The same for a watch, whose events are single objects.
pub(crate) const METADATA_ONE: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
pub(crate) const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";

/// A request without a body.
pub(crate) fn get(path: &str, accept: &str) -> Result<Request<Vec<u8>>, ClusterError> {
    build(Request::get(path).header(header::ACCEPT, accept), Vec::new())
}

/// A server-side apply.
pub(crate) fn apply(path: &str, object: &Value) -> Result<Request<Vec<u8>>, ClusterError> {
    build(Request::patch(path).header(header::ACCEPT, JSON).header(header::CONTENT_TYPE, APPLY), bytes(object))
}

/// A JSON patch (RFC 6902).
pub(crate) fn json_patch(path: &str, patch: &Value) -> Result<Request<Vec<u8>>, ClusterError> {
    let builder = Request::patch(path).header(header::ACCEPT, JSON).header(header::CONTENT_TYPE, "application/json-patch+json");
    build(builder, bytes(patch))
}

/// A request with a JSON body.
pub(crate) fn send(method: http::Method, path: &str, body: &Value) -> Result<Request<Vec<u8>>, ClusterError> {
    let builder = Request::builder().method(method).uri(path).header(header::ACCEPT, JSON).header(header::CONTENT_TYPE, JSON);
    build(builder, bytes(body))
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn build(builder: http::request::Builder, body: Vec<u8>) -> Result<Request<Vec<u8>>, ClusterError> {
    builder.body(body).map_err(|error| ClusterError::Unreadable(format!("BUG: a request could not be built: {error}")))
}

/// The path of a kind's objects in all namespaces, or in one.
pub(crate) fn collection(resource: &Resource, namespace: Option<&str>) -> String {
    let base = version_path(resource);
    match namespace {
        Some(namespace) => format!("{base}/namespaces/{}/{}", escape(namespace), resource.plural),
        None => format!("{base}/{}", resource.plural),
    }
}

/// The path of one object.
pub(crate) fn object(resource: &Resource, key: &ObjectKey) -> String {
    let base = version_path(resource);
    let name = escape(&key.name);
    match &key.namespace {
        Some(namespace) => format!("{base}/namespaces/{}/{}/{name}", escape(namespace), resource.plural),
        None => format!("{base}/{}/{name}", resource.plural),
    }
}

fn version_path(resource: &Resource) -> String {
    if resource.group.is_empty() { format!("/api/{}", resource.version) } else { format!("/apis/{}/{}", resource.group, resource.version) }
}

/// Percent-encodes what may not stand in a path segment. Names of RBAC objects hold `:` and others, which may.
pub(crate) fn escape(segment: &str) -> String {
    encode(segment, b"-._~:@!$&'()*+,;=")
}

/// Percent-encodes the value of a query parameter.
pub(crate) fn escape_value(value: &str) -> String {
    encode(value, b"-._~:@!,")
}

/// Percent-encodes all but letters, digits and `plain`.
fn encode(text: &str, plain: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
