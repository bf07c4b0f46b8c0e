//! `vars`: `$(NAME)` in the fields that may hold it, replaced by a field of a resource. Deprecated by kustomize in favour of replacements.

use std::collections::BTreeMap;

use shared_manifest::{Text, Tree};

use crate::field_spec::{Applicable, Create, FieldSpec, Visitor};
use crate::fields::Fields;
use crate::id::{Gvk, group_version, is_cluster_scoped};
use crate::problem::{Fault, Reason};
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::value::{lookup, split_dotted, type_of};

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
            let mut kinds =
                Gvk { group: fields.text("group")?.into(), version: fields.text("version")?.into(), kind: fields.text("kind")?.into() };
            if !api_version.is_empty() {
                let (group, version) = group_version(&api_version);
                kinds.version = version.into();
                if !group.is_empty() {
                    kinds.group = group.into();
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
        resources.work.step(resources.len())?;
        let named = resources.indexes(|resource| {
            resource.bears(&self.object)
                && resource.ids().any(|id| {
                    id.name == self.object
                        && (id.group, id.version, id.kind)
                            == (self.kinds.group.as_str(), self.kinds.version.as_str(), self.kinds.kind.as_str())
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

    fn resolve(&self, resources: &Resources) -> Result<Meaning, Reason> {
        let refused = |problem: String| Reason::Variable { name: self.name.clone(), problem };
        let marked = resources.iter().find(|resource| resource.variables.contains(&self.name));
        let resource = marked.ok_or_else(|| refused(format!("no resource is {} {}", self.kinds.kind, self.object)))?;
        let path = indexed(split_dotted(&self.path));
        let value = lookup(&resource.value, &path);
        let value = value.ok_or_else(|| refused(format!("{} has no field {}", resource.id(), self.path)))?;
        meaning(value)
            .ok_or_else(|| refused(format!("{} of {} is a number in a notation that kustomize cannot use here", self.path, resource.id())))
    }
}

/// What stands for a variable: by itself, and inside of a text.
struct Meaning {
    /// `None` for a list or a map, which stands for nothing.
    value: Option<Tree>,
    shown: Text,
}

fn meaning(value: &Tree) -> Option<Meaning> {
    let (value, shown) = match value {
        Tree::List(_) | Tree::Map(_) => (None, Text::default()),
        Tree::Bool(_) => (Some(value.clone()), if value.to_value() == true { "true".into() } else { "false".into() }),
        Tree::Number(text) if text.contains(['.', 'e', 'E']) && !text.starts_with("0x") => {
            let float: f64 = text.parse().ok()?;
            let size = float.abs();
            // As Go's `%v` writes it.
            let shown = if size != 0.0 && !(1e-4..1e21).contains(&size) { go_exponent(float) } else { float.to_string() };
            (Some(Tree::Number(float.to_string().into())), shown.into())
        }
        Tree::Number(text) => {
            let shown = Text::new(text.parse::<i64>().ok()?.to_string());
            (Some(Tree::Number(shown.clone())), shown)
        }
        Tree::Null(text) | Tree::Date(text) | Tree::String(text) | Tree::Quoted(text) => (Some(text.clone().into()), text.clone()),
    };
    Some(Meaning { value, shown })
}

/// A float with an exponent of at least two digits and a sign.
fn go_exponent(float: f64) -> String {
    let text = format!("{float:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
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
        let values: BTreeMap<&str, Meaning> = self
            .variables
            .iter()
            .map(|(name, variable)| Ok((name.as_str(), variable.resolve(resources)?)))
            .collect::<Result<_, Reason>>()?;
        resources.look(1)?;
        let mut expand = Expand { values: &values, written: 0 };
        let mut applicable = Applicable::new(self.fields);
        for resource in resources.iter_mut(|_| true) {
            applicable.visit(&mut resource.value, Create::Never, &mut expand)?;
            resource.settle_shared(|_| true);
        }
        resources.work.write(expand.written)?;
        Ok(())
    }
}

struct Expand<'v> {
    values: &'v BTreeMap<&'v str, Meaning>,
    written: usize,
}

impl Visitor for Expand<'_> {
    fn wants(&self, value: &Tree) -> bool {
        let has_dollar = |value: &Tree| value.as_str().is_some_and(|text| text.contains('$'));
        match value {
            Tree::List(items) => items.iter().any(|item| item.as_str().is_none_or(|text| text.contains('$'))),
            Tree::Map(entries) => entries.values().any(has_dollar),
            scalar => has_dollar(scalar),
        }
    }

    fn visit(&mut self, value: &mut Tree) -> Result<(), Reason> {
        if let Some(items) = value.as_list_mut() {
            return items.iter_mut().try_for_each(|item| match item {
                Tree::String(_) | Tree::Quoted(_) => self.expand(item),
                other => {
                    let found = type_of(other);
                    Err(Reason::WrongType {
                        field: "an item that may hold variables".to_owned(),
                        wanted: "text",
                        found,
                        hint: "; quote it",
                    })
                }
            });
        }
        match value.as_map_mut() {
            Some(entries) => entries.values_mut().try_for_each(|item| self.expand(item)),
            None => self.expand(value),
        }
    }
}

impl Expand<'_> {
    /// Replaces the variables in a text; one that is nothing but a variable takes the variable's type.
    fn expand(&mut self, value: &mut Tree) -> Result<(), Reason> {
        let (Tree::String(whole) | Tree::Quoted(whole)) = value else { return Ok(()) };
        if !whole.contains('$') {
            return Ok(());
        }
        let mut out = String::new();
        let mut rest = whole.as_str();
        // Where no parenthesis closes there is none further on; looking again each time would be quadratic.
        let mut closes = true;
        while let Some(dollar) = rest.find('$') {
            out.push_str(&rest[..dollar]);
            let after = &rest[dollar + 1..];
            let inside = after.strip_prefix('(').filter(|_| closes);
            let name = inside.and_then(|inside| inside.split_once(')'));
            closes &= inside.is_none() || name.is_some();
            match (name, after.chars().next()) {
                (Some((name, tail)), _) => {
                    match self.values.get(name).and_then(|meaning| Some((meaning.value.as_ref()?, &meaning.shown))) {
                        Some((found, _)) if whole.len() == name.len() + 3 => {
                            *value = found.clone();
                            return Ok(());
                        }
                        Some((_, shown)) => out.push_str(shown),
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
        self.written += out.len();
        if self.written > WRITTEN_LIMIT {
            return Err(Reason::TooMuch { what: "bytes written by variables", limit: WRITTEN_LIMIT, remedy: "use them in fewer places" });
        }
        *value = out.into();
        Ok(())
    }
}
