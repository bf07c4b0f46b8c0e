//! Which fields the transformers touch: the built-in specifications, and what `configurations` and `crds` add to them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use shared_manifest::{Node, Text, Value};

use crate::field_spec::{FieldPath, FieldSpec, FieldSpecs, merge};
use crate::fields::{Fields, Reading, read_all};
use crate::id::Gvk;
use crate::problem::{Fault, Reason};
use crate::transform::name_reference::Referrers;

/// The specifications of one build.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    pub(crate) name_prefix: FieldSpecs,
    pub(crate) name_suffix: FieldSpecs,
    pub(crate) namespace: FieldSpecs,
    pub(crate) common_labels: FieldSpecs,
    pub(crate) labels: FieldSpecs,
    pub(crate) template_labels: FieldSpecs,
    pub(crate) common_annotations: FieldSpecs,
    pub(crate) images: FieldSpecs,
    pub(crate) replicas: FieldSpecs,
    pub(crate) variables: FieldSpecs,
    pub(crate) names: Vec<NameReference>,
    /// What `names` says of each kind that was asked for.
    pub(crate) referrers: Referrers,
}

/// The fields that hold the name of something of `target`.
#[derive(Debug, Clone)]
pub(crate) struct NameReference {
    pub(crate) target: Gvk,
    pub(crate) fields: FieldSpecs,
}

impl Config {
    /// The built-in specifications, read once.
    pub(crate) fn built_in() -> Arc<Self> {
        static BUILT_IN: LazyLock<Arc<Config>> = LazyLock::new(|| Arc::new(parse_built_in(include_str!("defaults.txt"))));
        BUILT_IN.clone()
    }

    /// Whether nobody has added anything.
    pub(crate) fn is_built_in(config: &Arc<Self>) -> bool {
        Arc::ptr_eq(config, &Self::built_in())
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
        self.referrers = Referrers::default();
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
            Arc::make_mut(specs).sort_by_cached_key(|spec| spec.kinds.rank());
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
                    let target = Gvk {
                        group: fields.text("group")?.into(),
                        version: fields.text("version")?.into(),
                        kind: fields.text("kind")?.into(),
                    };
                    Ok(NameReference { target, fields: specs(fields, "fieldSpecs")? })
                })?,
                referrers: Referrers::default(),
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
                let kind = Gvk { kind: name.rsplit('.').next().unwrap_or(name).into(), ..Gvk::default() };
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
            let spec = || FieldSpec { kinds: kind.clone(), path: FieldPath::new(path.join("/")), create: false };
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
                let referrer = FieldSpec { path: FieldPath::new(format!("{}/{name_key}", path.join("/"))), ..spec() };
                let target = Gvk { version: version.into(), kind: target.into(), ..Gvk::default() };
                self.merge(&Self { names: vec![NameReference { target, fields: Arc::new(vec![referrer]) }], ..Self::default() })?;
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
pub(crate) fn specs(fields: &mut Fields<'_>, name: &'static str) -> Result<FieldSpecs, Fault> {
    fields.each(name, "a field specification", FieldSpec::read).map(Arc::new)
}

/// Reads the built-in table, whose form its own first lines explain. It is in kustomize's order.
fn parse_built_in(table: &'static str) -> Config {
    let part = |word: Option<&'static str>| Text::new_static(word.filter(|word| *word != "*").unwrap_or_default());
    let mut sections: BTreeMap<&str, Vec<FieldSpec>> = BTreeMap::new();
    let mut names: Vec<NameReference> = Vec::new();
    let mut section = "";
    let mut specs: Vec<FieldSpec> = Vec::new();
    let mut end = |section: &'static str, names: &mut Vec<NameReference>, specs: Vec<FieldSpec>| match names.last_mut() {
        Some(reference) if section == "nameReference" => reference.fields = Arc::new(specs),
        _ => drop(sections.insert(section, specs)),
    };
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let header = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
        let mut words = header.unwrap_or(line).split(' ');
        if header.is_some() {
            end(section, &mut names, std::mem::take(&mut specs));
            section = words.next().unwrap_or_default();
        }
        let kinds = Gvk { kind: part(words.next()), version: part(words.next()), group: part(words.next()) };
        if header.is_none() {
            let create = words.next() == Some("create");
            let path = FieldPath::new(Text::new_static(words.next().unwrap_or_default()));
            specs.push(FieldSpec { kinds, path, create });
        } else if section == "nameReference" {
            names.push(NameReference { target: kinds, fields: FieldSpecs::default() });
        }
    }
    end(section, &mut names, specs);
    let mut take = |name: &str| Arc::new(sections.remove(name).unwrap_or_default());
    Config {
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
        referrers: Referrers::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_is_in_kustomizes_order() {
        let built_in = Config::built_in();
        let mut sorted = Config::clone(&built_in);
        for reference in &mut sorted.names {
            assert!(!reference.fields.is_empty());
        }
        sorted.sort();
        assert_eq!(format!("{built_in:?}"), format!("{sorted:?}"));
    }
}
