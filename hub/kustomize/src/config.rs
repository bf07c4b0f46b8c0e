//! Which fields the transformers touch: the built-in specifications, and what `configurations` and `crds` add to them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use shared_manifest::{Node, Value};

use crate::field_spec::{FieldSpec, merge};
use crate::fields::{Fields, Reading, read_all};
use crate::id::Gvk;
use crate::problem::{Fault, Reason};

/// The specifications of one build.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    pub(crate) name_prefix: Vec<FieldSpec>,
    pub(crate) name_suffix: Vec<FieldSpec>,
    pub(crate) namespace: Vec<FieldSpec>,
    pub(crate) common_labels: Vec<FieldSpec>,
    pub(crate) labels: Vec<FieldSpec>,
    pub(crate) template_labels: Vec<FieldSpec>,
    pub(crate) common_annotations: Vec<FieldSpec>,
    pub(crate) images: Vec<FieldSpec>,
    pub(crate) replicas: Vec<FieldSpec>,
    pub(crate) variables: Vec<FieldSpec>,
    pub(crate) names: Vec<NameReference>,
}

/// The fields that hold the name of something of `target`.
#[derive(Debug, Clone)]
pub(crate) struct NameReference {
    pub(crate) target: Gvk,
    pub(crate) fields: Vec<FieldSpec>,
}

impl Config {
    /// The built-in specifications, read once.
    pub(crate) fn built_in() -> &'static Self {
        static BUILT_IN: LazyLock<Config> = LazyLock::new(|| parse_built_in(include_str!("defaults.txt")));
        &BUILT_IN
    }

    /// Adds what another configuration says.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), Reason> {
        merge(&mut self.name_prefix, &other.name_prefix)?;
        merge(&mut self.name_suffix, &other.name_suffix)?;
        merge(&mut self.namespace, &other.namespace)?;
        merge(&mut self.common_labels, &other.common_labels)?;
        merge(&mut self.labels, &other.labels)?;
        merge(&mut self.template_labels, &other.template_labels)?;
        merge(&mut self.common_annotations, &other.common_annotations)?;
        merge(&mut self.images, &other.images)?;
        merge(&mut self.replicas, &other.replicas)?;
        merge(&mut self.variables, &other.variables)?;
        for reference in &other.names {
            match self.names.iter_mut().find(|known| known.target == reference.target) {
                Some(known) => merge(&mut known.fields, &reference.fields)?,
                None => self.names.push(reference.clone()),
            }
        }
        self.sort();
        Ok(())
    }

    /// Puts everything into kustomize's order. It decides which of two specifications counts as the other's equal when they are merged.
    fn sort(&mut self) {
        for specs in [
            &mut self.name_prefix,
            &mut self.name_suffix,
            &mut self.namespace,
            &mut self.common_labels,
            &mut self.labels,
            &mut self.template_labels,
            &mut self.common_annotations,
            &mut self.images,
            &mut self.replicas,
            &mut self.variables,
        ] {
            specs.sort_by_cached_key(|spec| spec.kinds.rank());
        }
        self.names.sort_by_cached_key(|reference| reference.target.rank());
    }

    /// Reads a file of `configurations`.
    pub(crate) fn read(node: &Node) -> Result<Self, Fault> {
        let mut config = read_all(node, "a transformer configuration", Reading::Strict, |fields| {
            Ok(Self {
                name_prefix: specs(fields, "namePrefix")?,
                name_suffix: specs(fields, "nameSuffix")?,
                namespace: specs(fields, "namespace")?,
                common_labels: specs(fields, "commonLabels")?,
                labels: specs(fields, "labels")?,
                template_labels: specs(fields, "templateLabels")?,
                common_annotations: specs(fields, "commonAnnotations")?,
                images: specs(fields, "images")?,
                replicas: specs(fields, "replicas")?,
                variables: specs(fields, "varReference")?,
                names: fields.each("nameReference", "a name reference", |fields| {
                    let target = Gvk { group: fields.text("group")?, version: fields.text("version")?, kind: fields.text("kind")? };
                    Ok(NameReference { target, fields: specs(fields, "fieldSpecs")? })
                })?,
            })
        })?;
        config.sort();
        Ok(config)
    }

    /// Reads a file of `crds`: OpenAPI definitions by type name, whose `x-kubernetes-*` extensions mark fields.
    pub(crate) fn read_crds(definitions: &Value) -> Result<Self, Reason> {
        let mut config = Self::default();
        let Some(types) = definitions.as_object() else { return Ok(config) };
        let properties = |name: &str| types.get(name).map(|definition| &definition["Schema"]["properties"]);
        for name in types.keys() {
            let is_kind = properties(name)
                .is_some_and(|properties| ["kind", "apiVersion", "metadata"].iter().all(|field| properties.get(field).is_some()));
            if is_kind {
                let kind = Gvk { kind: name.rsplit('.').next().unwrap_or(name).to_owned(), ..Gvk::default() };
                config.add_definition(&kind, types, name, &mut Vec::new(), &mut Vec::new())?;
            }
        }
        Ok(config)
    }

    fn add_definition<'a>(
        &mut self,
        kind: &Gvk,
        types: &'a shared_manifest::Map<String, Value>,
        name: &'a str,
        path: &mut Vec<&'a str>,
        inside: &mut Vec<&'a str>,
    ) -> Result<(), Reason> {
        let Some(properties) = types.get(name).and_then(|definition| definition["Schema"]["properties"].as_object()) else { return Ok(()) };
        // A type that contains itself has no end; what is marked in it is found the first time.
        if inside.contains(&name) {
            return Ok(());
        }
        inside.push(name);
        for (field, property) in properties {
            path.push(field);
            let spec = || FieldSpec { kinds: kind.clone(), path: Cow::Owned(path.join("/")), create: false };
            if property.get("x-kubernetes-annotation").is_some() {
                merge(&mut self.common_annotations, &[spec()])?;
            }
            if property.get("x-kubernetes-label-selector").is_some() {
                merge(&mut self.common_labels, &[spec()])?;
            }
            if property.get("x-kubernetes-identity").is_some() {
                merge(&mut self.name_prefix, &[spec()])?;
            }
            let extension = |name| property[name].as_str();
            let reference = extension("x-kubernetes-object-ref-api-version").zip(extension("x-kubernetes-object-ref-kind"));
            if let Some((version, target)) = reference {
                let name_key = extension("x-kubernetes-object-ref-name-key").unwrap_or("name");
                let referrer = FieldSpec { path: Cow::Owned(format!("{}/{name_key}", path.join("/"))), ..spec() };
                let target = Gvk { version: version.to_owned(), kind: target.to_owned(), ..Gvk::default() };
                self.merge(&Self { names: vec![NameReference { target, fields: vec![referrer] }], ..Self::default() })?;
            }
            if let Some(inner) = extension("$ref") {
                self.add_definition(kind, types, inner, path, inside)?;
            }
            path.pop();
        }
        inside.pop();
        Ok(())
    }
}

/// The list of specifications in a field.
pub(crate) fn specs(fields: &mut Fields<'_>, name: &'static str) -> Result<Vec<FieldSpec>, Fault> {
    fields.each(name, "a field specification", FieldSpec::read)
}

/// Reads the built-in table, whose form its own first lines explain.
fn parse_built_in(table: &'static str) -> Config {
    let part = |word: &str| if word == "*" { String::new() } else { word.to_owned() };
    let kinds = |words: &[&str]| Gvk { kind: part(words[0]), version: part(words[1]), group: part(words[2]) };
    let mut sections: BTreeMap<&str, Vec<FieldSpec>> = BTreeMap::new();
    let mut names: Vec<NameReference> = Vec::new();
    let mut section = "";
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            let words: Vec<&str> = header.split(' ').collect();
            section = words[0];
            if section == "nameReference" {
                names.push(NameReference { target: kinds(&words[1..]), fields: Vec::new() });
            }
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let spec = FieldSpec::new(kinds(&words), words[4], words[3] == "create");
        match names.last_mut().filter(|_| section == "nameReference") {
            Some(reference) => reference.fields.push(spec),
            None => sections.entry(section).or_default().push(spec),
        }
    }
    let mut take = |name: &str| sections.remove(name).unwrap_or_default();
    let mut config = Config {
        name_prefix: take("namePrefix"),
        name_suffix: take("nameSuffix"),
        namespace: take("namespace"),
        common_labels: take("commonLabels"),
        labels: take("labels"),
        template_labels: take("templateLabels"),
        common_annotations: take("commonAnnotations"),
        images: take("images"),
        replicas: take("replicas"),
        variables: take("varReference"),
        names,
    };
    config.sort();
    config
}
