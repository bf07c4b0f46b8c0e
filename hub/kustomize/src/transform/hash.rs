//! The hash of a generated ConfigMap's or Secret's content after its name, so that a change of content is a change of name and rolls the pods.

use serde_json::json;
use shared_manifest::Value;
use shared_model::Digest;

use crate::problem::Fault;
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::value::text;

/// The transformer.
pub(crate) struct Hash;

impl Transformer for Hash {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        for resource in resources.iter_mut().filter(|resource| resource.needs_hash) {
            let hash = content_hash(&resource.value);
            resource.remember_id();
            let name = format!("{}-{hash}", resource.name());
            resource.set_metadata("name", &name);
        }
        Ok(())
    }
}

/// The first ten digits of the SHA-256 of the content as Go writes it, with the digits that could spell words exchanged. The name is part of the
/// content only as an empty text: kustomize looks it up under a key that no object has.
fn content_hash(value: &Value) -> String {
    let field = |name: &str| match &value[name] {
        Value::Null => json!(""),
        scalar @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) => json!(text(scalar)),
        other => other.clone(),
    };
    let is_secret = value["kind"] == "Secret";
    let mut content = json!({"data": field("data"), "kind": value["kind"], "name": ""});
    if is_secret {
        content["type"] = field("type");
    }
    let extra = if is_secret { "stringData" } else { "binaryData" };
    if value[extra].is_object() {
        content[extra] = value[extra].clone();
    }
    let digits = Digest::of(go_json(&content).as_bytes()).hex();
    digits
        .chars()
        .take(10)
        .map(|digit| match digit {
            '0' => 'g',
            '1' => 'h',
            '3' => 'k',
            'a' => 'm',
            'e' => 't',
            other => other,
        })
        .collect()
}

/// Compact JSON as Go's `encoding/json` writes it: keys sorted, and the characters escaped that HTML and JavaScript trip over. Outside of
/// strings they do not occur.
fn go_json(value: &Value) -> String {
    let mut out = String::new();
    for character in value.to_string().chars() {
        match character {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
    out
}
