//! `images`: another name, tag or digest for the container images of one name.

use std::cell::RefCell;
use std::sync::Arc;

use regex::Regex;
use shared_manifest::{Text, Tree, TreeMap};

use crate::facts::{Facts, Question};
use crate::field_spec::{Applicable, Create, FieldSpecs, Visitor};
use crate::fields::Fields;
use crate::problem::{Fault, Reason};
use crate::resource::Resource;
use crate::resources::Resources;
use crate::selector::regular_expression;
use crate::transform::Transformer;
use crate::value::{is_collection, raw, restyled, type_of};

/// What to change, as a kustomization says it.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// The name as the kustomization has it.
    pub(crate) written_name: String,
    name: Name,
    pub(crate) new_name: String,
    pub(crate) new_tag: String,
    tag_suffix: String,
    pub(crate) digest: String,
}

/// kustomize reads the name as a regular expression, and so it is.
#[derive(Debug, Clone)]
enum Name {
    /// One in which only `.` means anything but itself.
    Plain(String),
    /// Any other.
    Expression(Regex),
}

impl Name {
    fn read(name: &str) -> Result<Self, Reason> {
        if name.chars().all(|character| character.is_ascii_alphanumeric() || "_-/:@.".contains(character)) {
            return Ok(Self::Plain(name.to_owned()));
        }
        let expression = format!("^{name}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$");
        regular_expression(&expression, name).map(Self::Expression)
    }

    fn matches(&self, image: &str) -> bool {
        match self {
            Self::Plain(name) => {
                let mut rest = image.chars();
                name.chars().all(|wanted| rest.next().is_some_and(|found| found == wanted || (wanted == '.' && found != '\n')))
                    && is_tag_and_digest(rest.as_str())
            }
            Self::Expression(expression) => expression.is_match(image),
        }
    }
}

/// Whether a text is what may follow the name of an image.
fn is_tag_and_digest(text: &str) -> bool {
    let after =
        |text: &str| text.trim_start_matches(|character: char| character.is_ascii_alphanumeric() || "_.{}-".contains(character)).len();
    let text = text.strip_prefix(':').map_or(text, |tag| &tag[tag.len() - after(tag)..]);
    text.is_empty() || text.strip_prefix("@sha256:").is_some_and(|digest| after(digest) == 0)
}

impl Image {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        let written_name = fields.text("name")?;
        Ok(Self {
            name: Name::read(&written_name).map_err(|reason| Fault::at(fields.line, reason))?,
            new_name: fields.text("newName")?,
            new_tag: fields.text("newTag")?,
            tag_suffix: fields.text("tagSuffix")?,
            digest: fields.text("digest")?,
            written_name,
        })
    }

    /// The most bytes by which it makes an image longer.
    fn longest(&self) -> usize {
        self.new_name.len() + self.new_tag.len() + self.tag_suffix.len() + self.digest.len()
    }

    /// The image instead of `image`, if it is one of this name and another one.
    fn replace(&self, image: &str) -> Option<String> {
        if !self.name.matches(image) {
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
        Some(result).filter(|result| result != image)
    }
}

/// The transformer for images that are changed one after the other.
pub(crate) struct Images {
    pub(crate) images: Arc<Vec<Image>>,
    pub(crate) fields: FieldSpecs,
}

impl Transformer for Images {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        resources.look(1)?;
        resources.work.step(resources.len() * self.images.len())?;
        let mut applicable = Applicable::new(&self.fields);
        let (resources, work) = resources.parts_mut();
        for resource in resources.iter_mut().filter(|resource| resource.kind() != "CustomResourceDefinition") {
            let mut present = present(&resource.value, &mut applicable)?;
            for (position, image) in self.images.iter().enumerate() {
                if present.iter().all(|present| image.replace(present).is_none()) {
                    continue;
                }
                work.walk(4 * resource.bytes)?;
                work.write(present.len() * image.longest())?;
                let resource = Resource::to_change(resource);
                if let Some(replaced) = replaced_in_containers(&resource.value, image) {
                    resource.value = replaced;
                }
                applicable.visit(&mut resource.value, Create::Never, &mut Set { image })?;
                // The next one is about what stands there now.
                if position + 1 < self.images.len() {
                    present = self::present(&resource.value, &mut applicable)?;
                }
            }
        }
        Ok(())
    }

    fn looks_at_each_alone(&self) -> bool {
        true
    }
}

/// All images that a resource names: in containers, and where the specifications lead.
fn present(resource: &Tree, applicable: &mut Applicable<'_>) -> Result<Vec<Text>, Reason> {
    let mut found = Vec::new();
    find_in_containers(resource, &mut found);
    let mut find = Find(RefCell::new(found));
    applicable.visit(&mut resource.clone(), Create::Never, &mut find)?;
    Ok(find.0.into_inner())
}

/// Notes the images, and changes nothing.
struct Find(RefCell<Vec<Text>>);

impl Visitor for Find {
    fn wants(&self, value: &Tree) -> bool {
        self.0.borrow_mut().extend(value.written().cloned());
        is_collection(value)
    }

    fn visit(&mut self, value: &mut Tree) -> Result<(), Reason> {
        if is_collection(value) { Err(no_image(value)) } else { Ok(()) }
    }
}

fn no_image(value: &Tree) -> Reason {
    Reason::WrongType { field: "an image".to_owned(), wanted: "text", found: type_of(value), hint: "" }
}

struct Set<'i> {
    image: &'i Image,
}

impl Visitor for Set<'_> {
    fn wants(&self, value: &Tree) -> bool {
        is_collection(value) || self.image.replace(raw(value)).is_some()
    }

    fn visit(&mut self, value: &mut Tree) -> Result<(), Reason> {
        if is_collection(value) {
            return Err(no_image(value));
        }
        if let Some(image) = self.image.replace(raw(value)) {
            *value = restyled(value, &image);
        }
        Ok(())
    }
}

/// The fields that hold containers, wherever they are: kustomize looks at all of them before it goes by the field specifications.
fn holds_containers(field: &str) -> bool {
    field == "containers" || field == "initContainers"
}

/// The images of all containers.
fn find_in_containers(value: &Tree, found: &mut Vec<Text>) {
    match value {
        Tree::List(items) => items.iter().for_each(|item| find_in_containers(item, found)),
        Tree::Map(fields) => match Facts::of(fields, Question::Images) {
            Some(facts) => {
                let of_fields = || {
                    let mut found = Vec::new();
                    find_in_fields(fields, &mut found);
                    found.into()
                };
                found.extend(facts.images.get_or_init(of_fields).iter().cloned());
            }
            None => find_in_fields(fields, found),
        },
        _ => {}
    }
}

fn find_in_fields(fields: &TreeMap, found: &mut Vec<Text>) {
    for (name, field) in fields.iter() {
        if !is_collection(field) {
            continue;
        }
        find_in_containers(field, found);
        if holds_containers(name) {
            let containers = field.as_list().unwrap_or_default();
            found.extend(containers.iter().filter_map(|container| container.get("image")?.written().cloned()));
        }
    }
}

/// The value with another image in its containers; `None` if it holds none.
fn replaced_in_containers(value: &Tree, image: &Image) -> Option<Tree> {
    match value {
        Tree::List(items) => replaced_items(items, |item| replaced_in_containers(item, image)),
        Tree::Map(fields) => {
            if Facts::of(fields, Question::Images).and_then(|facts| facts.images.get()).is_some_and(|images| images.is_empty()) {
                return None;
            }
            let mut changes: Vec<(Text, Tree)> = Vec::new();
            for (name, field) in fields.iter().filter(|(_, field)| is_collection(field)) {
                let inside = replaced_in_containers(field, image);
                let own = match inside.as_ref().unwrap_or(field) {
                    Tree::List(containers) if holds_containers(name) => replaced_items(containers, |container| {
                        let old = container.get("image").filter(|old| !is_collection(old))?;
                        let mut container = TreeMap::clone(container.as_map()?);
                        container.insert(Text::new_static("image"), restyled(old, &image.replace(raw(old))?));
                        Some(container.into())
                    }),
                    _ => None,
                };
                changes.extend(own.or(inside).map(|changed| (name.clone(), changed)));
            }
            if changes.is_empty() {
                return None;
            }
            let mut fields = TreeMap::clone(fields);
            fields.extend(changes);
            Some(fields.into())
        }
        _ => None,
    }
}

fn replaced_items(items: &[Tree], replace: impl Fn(&Tree) -> Option<Tree>) -> Option<Tree> {
    let mut changed: Option<Vec<Tree>> = None;
    for (index, item) in items.iter().enumerate() {
        if let Some(item) = replace(item) {
            changed.get_or_insert_with(|| items.to_vec())[index] = item;
        }
    }
    changed.map(Tree::list)
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
    fn a_plain_name_matches_as_its_expression_would() {
        for name in ["nginx", "docker.io/a/b", "host:5000/x", "a-b_c"] {
            let expression = format!("^{name}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$");
            let expression = Regex::new(&expression).expect("an expression");
            let plain = Name::read(name).expect("a name");
            assert!(matches!(plain, Name::Plain(_)));
            for tail in
                ["", ":", ":1.2", ":1@sha256:ff", "@sha256:", "@sha256:ff:1", ":1:2", "@md5:1", "/x", "-x", ":1@sha256:a/b", ":\u{e9}"]
            {
                for image in [format!("{name}{tail}"), format!("{}{tail}", name.replace('.', "x")), format!("x{name}{tail}")] {
                    assert_eq!(plain.matches(&image), expression.is_match(&image), "{name} {image}");
                }
            }
        }
    }

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
