//! `vars`: `$(NAME)` in the fields that may hold it, replaced by a field of a resource. Deprecated by kustomize in favour of replacements.

use std::collections::BTreeMap;

use shared_manifest::Value;

use crate::field_spec::{Create, FieldSpec};
use crate::fields::Fields;
use crate::id::{Gvk, group_version, is_cluster_scoped};
use crate::problem::{Fault, Reason};
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::value::{lookup, split_dotted, text, type_of};

/// The most bytes that variables may write in one build: the largest output of a build.
const WRITTEN_LIMIT: usize = crate::OUTPUT_LIMIT;

/// A variable, as a kustomization declares it.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) line: u32,
    kinds: Gvk,
    object: String,
    namespace: String,
    path: String,
}

impl Variable {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        let (name, line) = (fields.text("name")?, fields.line);
        let object = fields.nested("objref", "objref", |fields| {
            let api_version = fields.text("apiVersion")?;
            let mut kinds = Gvk { group: fields.text("group")?, version: fields.text("version")?, kind: fields.text("kind")? };
            if !api_version.is_empty() {
                let (group, version) = group_version(&api_version);
                kinds.version = version.to_owned();
                if !group.is_empty() {
                    kinds.group = group.to_owned();
                }
            }
            Ok((kinds, fields.text("name")?, fields.text("namespace")?))
        })?;
        let path = fields.nested("fieldref", "fieldref", |fields| fields.text("fieldPath"))?.unwrap_or_default();
        let path = if path.is_empty() { "metadata.name".to_owned() } else { path };
        let (kinds, object, namespace) = object.unwrap_or_default();
        Ok(Self { name, line, kinds, object, namespace, path })
    }

    /// Marks the resource that the variable names; one that names none is left for a kustomization further out.
    pub(crate) fn mark(&self, resources: &mut Resources) -> Result<(), Fault> {
        let exact = !self.namespace.is_empty() || is_cluster_scoped(&self.kinds.group, &self.kinds.version, &self.kinds.kind);
        let namespace = if self.namespace.is_empty() { crate::id::CLUSTER } else { &self.namespace };
        let named = resources.indexes(|resource| {
            resource.ids().any(|id| {
                id.name == self.object
                    && (id.group, id.version, id.kind) == (self.kinds.group.as_str(), self.kinds.version.as_str(), self.kinds.kind.as_str())
                    && (!exact || id.namespace == namespace)
            })
        });
        match named.as_slice() {
            [] => Ok(()),
            [index] => {
                resources.get_mut(*index).variables.push(self.name.clone());
                Ok(())
            }
            several => {
                let problem = format!("{} resources match its objref; add a namespace", several.len());
                Err(Fault::at(self.line, Reason::Variable { name: self.name.clone(), problem }))
            }
        }
    }

    fn resolve(&self, resources: &Resources) -> Result<Value, Reason> {
        let refused = |problem: String| Reason::Variable { name: self.name.clone(), problem };
        let marked = resources.iter().find(|resource| resource.variables.contains(&self.name));
        let resource = marked.ok_or_else(|| refused(format!("no resource is {} {}", self.kinds.kind, self.object)))?;
        let path = indexed(split_dotted(&self.path));
        let value = lookup(&resource.value, &path);
        value.cloned().ok_or_else(|| refused(format!("{} has no field {}", resource.id(), self.path)))
    }
}

/// `containers[0]` as two segments.
fn indexed(path: Vec<String>) -> Vec<String> {
    let mut segments = Vec::new();
    for segment in path {
        let parts = segment.strip_suffix(']').and_then(|rest| rest.rsplit_once('['));
        match parts.filter(|(_, index)| !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit())) {
            Some((field, index)) => segments.extend([field, index].into_iter().filter(|part| !part.is_empty()).map(str::to_owned)),
            None => segments.push(segment),
        }
    }
    segments
}

/// The transformer.
pub(crate) struct Variables<'a> {
    pub(crate) variables: &'a BTreeMap<String, Variable>,
    pub(crate) fields: &'a [FieldSpec],
}

impl Transformer for Variables<'_> {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        if self.variables.is_empty() {
            return Ok(());
        }
        let values: BTreeMap<&str, Value> = self
            .variables
            .iter()
            .map(|(name, variable)| Ok((name.as_str(), variable.resolve(resources)?)))
            .collect::<Result<_, Reason>>()?;
        let mut written = 0;
        for resource in resources.iter_mut() {
            let id = resource.id().to_string();
            for field in self.fields {
                field.visit(&mut resource.value, Create::Never, &mut |value| match value {
                    Value::Array(items) => items.iter_mut().try_for_each(|item| match item {
                        Value::String(_) => expand(item, &values, &mut written),
                        other => {
                            let problem = format!("an item is {} and must be text; quote it", type_of(other));
                            Err(Reason::Field { path: field.path.to_string(), id: id.clone(), problem })
                        }
                    }),
                    Value::Object(entries) => entries.values_mut().try_for_each(|item| expand(item, &values, &mut written)),
                    scalar => expand(scalar, &values, &mut written),
                })?;
            }
        }
        Ok(())
    }
}

/// Replaces the variables in a text; one that is nothing but a variable takes the variable's type.
fn expand(value: &mut Value, values: &BTreeMap<&str, Value>, written: &mut usize) -> Result<(), Reason> {
    let Value::String(whole) = value else { return Ok(()) };
    if !whole.contains('$') {
        return Ok(());
    }
    let mut out = String::new();
    let mut rest = whole.as_str();
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        let name = after.strip_prefix('(').and_then(|inside| inside.split_once(')'));
        match (name, after.chars().next()) {
            (Some((name, tail)), _) => {
                match values.get(name).filter(|value| !value.is_array() && !value.is_object()) {
                    Some(found) if whole.len() == name.len() + 3 => {
                        *value = found.clone();
                        return Ok(());
                    }
                    Some(found) => out.push_str(&text(found)),
                    None => out.extend(["$(", name, ")"]),
                }
                rest = tail;
            }
            // `$$` is one dollar.
            (None, Some('$')) => {
                out.push('$');
                rest = &after[1..];
            }
            (None, _) => {
                out.push('$');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    *written += out.len();
    if *written > WRITTEN_LIMIT {
        return Err(Reason::TooMuch { what: "bytes written by variables", limit: WRITTEN_LIMIT, remedy: "use them in fewer places" });
    }
    *value = out.into();
    Ok(())
}
