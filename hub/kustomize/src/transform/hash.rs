//! The hash of a generated ConfigMap's or Secret's content after its name, so that a change of content is a change of name and rolls the pods.

use shared_manifest::{Map, Tree, Value};
use shared_model::Digest;

use crate::json;
use crate::problem::{Fault, Reason};
use crate::resource::Resource;
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::value::raw;

/// The transformer.
pub(crate) struct Hash;

impl Transformer for Hash {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        if resources.iter().all(|resource| !resource.needs_hash) {
            return Ok(());
        }
        for resource in resources.iter_mut(|resource| resource.needs_hash) {
            let known = resource.hashed.as_ref().filter(|hashed| hashed.is_of(&resource.value)).map(|hashed| hashed.digits.clone());
            let hash = known.or_else(|| content_hash(&resource.value)).ok_or_else(|| changed_kind(resource))?;
            resource.remember_id();
            let name = format!("{}-{hash}", resource.name());
            resource.set_metadata("name", &name);
        }
        Ok(())
    }
}

/// The hash of a content that is kept with it, so that it is not made again where the content is still the same in memory.
#[derive(Debug, Clone)]
pub(crate) struct Hashed {
    content: [Tree; 5],
    digits: String,
}

/// All fields that a hash may be made of.
const FIELDS: [&str; 5] = ["binaryData", "data", "kind", "stringData", "type"];

impl Hashed {
    /// The hash of `value`, if it has one.
    pub(crate) fn of(value: &Tree) -> Option<Self> {
        Some(Self { digits: content_hash(value)?, content: FIELDS.map(|name| value[name].clone()) })
    }

    fn is_of(&self, value: &Tree) -> bool {
        FIELDS.iter().zip(&self.content).all(|(name, content)| value[*name].is_same(content))
    }
}

/// The first ten digits of the SHA-256 of the content as Go writes it, with the digits that could spell words exchanged. The name is part of the
/// content only as an empty text: kustomize looks it up under a key that no object has.
fn content_hash(value: &Tree) -> Option<String> {
    let field = |name: &str| match &value[name] {
        // A list is no map, and what cannot be read into one is nothing.
        Tree::List(_) => Value::Null,
        map @ Tree::Map(_) => map.to_value(),
        scalar => raw(scalar).into(),
    };
    let kind = raw(&value["kind"]);
    let (more, extra): (&[&str], _) = match kind {
        "Secret" => (&["type"], "stringData"),
        "ConfigMap" => (&[], "binaryData"),
        _ => return None,
    };
    let mut content = Map::new();
    content.insert("kind".to_owned(), kind.into());
    content.insert("name".to_owned(), "".into());
    for name in ["data"].iter().chain(more) {
        content.insert((*name).to_owned(), field(name));
    }
    if value[extra].is_map() {
        content.insert(extra.to_owned(), value[extra].to_value());
    }
    let digits = Digest::of(json::compact(&Value::Object(content)).as_bytes()).hex();
    let digits = digits
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
        .collect();
    Some(digits)
}

fn changed_kind(resource: &Resource) -> Reason {
    let problem = format!(
        "a patch has made it {}, and kustomize's hash of that depends on lines and quotes of the source; set disableNameSuffixHash",
        resource.kind()
    );
    Reason::Generator { name: resource.name().to_owned(), problem }
}
