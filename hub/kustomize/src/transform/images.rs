//! `images`: another name, tag or digest for the container images of one name.

use regex::Regex;
use shared_manifest::Value;

use crate::field_spec::{Create, FieldSpec};
use crate::fields::Fields;
use crate::problem::{Fault, Reason};
use crate::resources::Resources;
use crate::selector::regular_expression;
use crate::transform::Transformer;
use crate::value::{text, type_of};

/// What to change, as a kustomization says it.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// kustomize reads the name as a regular expression, and so it is.
    name: Regex,
    new_name: String,
    new_tag: String,
    tag_suffix: String,
    digest: String,
}

impl Image {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        let name = fields.text("name")?;
        let expression = format!("^{name}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$");
        Ok(Self {
            name: regular_expression(&expression, &name).map_err(|reason| Fault::at(fields.line, reason))?,
            new_name: fields.text("newName")?,
            new_tag: fields.text("newTag")?,
            tag_suffix: fields.text("tagSuffix")?,
            digest: fields.text("digest")?,
        })
    }

    /// The image instead of `image`, if it is one of this name.
    fn replace(&self, image: &str) -> Option<String> {
        if !self.name.is_match(image) {
            return None;
        }
        let (name, mut tag, mut digest) = split(image);
        let mut result = if self.new_name.is_empty() { name.to_owned() } else { self.new_name.clone() };
        let suffixed = format!("{tag}{}", self.tag_suffix);
        match (self.new_tag.is_empty(), self.digest.is_empty()) {
            (false, _) => (tag, digest) = (&self.new_tag, &self.digest),
            (true, false) => (tag, digest) = ("", &self.digest),
            (true, true) if !self.tag_suffix.is_empty() => (tag, digest) = (&suffixed, ""),
            (true, true) => {}
        }
        if !tag.is_empty() {
            result.push(':');
            result.push_str(tag);
        }
        if !digest.is_empty() {
            result.push('@');
            result.push_str(digest);
        }
        Some(result)
    }
}

/// The transformer.
pub(crate) struct Images {
    pub(crate) image: Image,
    pub(crate) fields: Vec<FieldSpec>,
}

impl Transformer for Images {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        for resource in resources.iter_mut().filter(|resource| resource.kind() != "CustomResourceDefinition") {
            self.replace_in_containers(&mut resource.value);
            for field in &self.fields {
                field.visit(&mut resource.value, Create::Never, &mut |value| {
                    if value.is_object() || value.is_array() {
                        let found = type_of(value);
                        return Err(Reason::WrongType { field: field.path.to_string(), wanted: "text", found, hint: "" });
                    }
                    if let Some(image) = self.image.replace(&text(value)) {
                        *value = image.into();
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    }
}

impl Images {
    /// Replaces the images of all lists called `containers` or `initContainers`, wherever they are: kustomize does so before it goes by the
    /// field specifications.
    fn replace_in_containers(&self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.replace_in_containers(item)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    self.replace_in_containers(field);
                    let Value::Array(containers) = field else { continue };
                    if name != "containers" && name != "initContainers" {
                        continue;
                    }
                    for image in containers.iter_mut().filter_map(|container| container.get_mut("image")) {
                        if let Some(replaced) = self.image.replace(&text(image)) {
                            *image = replaced.into();
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

/// Name, tag and digest of an image. A colon before the first slash belongs to a port.
fn split(image: &str) -> (&str, &str, &str) {
    let path = image.find('/').filter(|slash| *slash > 0).unwrap_or(0);
    let at = image[path..].find('@').map(|index| index + path);
    let colon = image[path..].find(':').map(|index| index + path);
    match (colon, at) {
        (None, None) => (image, "", ""),
        (Some(colon), Some(at)) if colon < at => (&image[..colon], &image[colon + 1..at], &image[at + 1..]),
        (_, Some(at)) => (&image[..at], "", &image[at + 1..]),
        (Some(colon), None) => (&image[..colon], &image[colon + 1..], ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_splits_at_its_last_parts() {
        for (image, parts) in [
            ("nginx", ("nginx", "", "")),
            ("nginx:1.2", ("nginx", "1.2", "")),
            ("host:5000/a/b", ("host:5000/a/b", "", "")),
            ("host:5000/a/b:1@sha256:ff", ("host:5000/a/b", "1", "sha256:ff")),
            ("a@sha256:ff", ("a", "", "sha256:ff")),
        ] {
            assert_eq!(split(image), parts, "{image}");
        }
    }
}
