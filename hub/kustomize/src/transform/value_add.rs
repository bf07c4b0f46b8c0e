//! `ValueAddTransformer`: a value put into a field of selected resources, as a whole or as a part of a path in it.

use shared_manifest::Tree;

use crate::field_spec::{Applicable, FieldSpecs};
use crate::fields::Fields;
use crate::problem::{Fault, Reason};
use crate::resources::Resources;
use crate::selector::Selector;
use crate::transform::Transformer;
use crate::transform::namespace::{Namespace, Subjects};
use crate::value::{is_collection, map_in, raw, split_path, type_of};

/// The transformer.
pub(crate) struct ValueAdd {
    pub(crate) value: String,
    pub(crate) targets: Vec<Target>,
}

/// A field that gets the value.
pub(crate) struct Target {
    selector: Option<Selector>,
    field: String,
    /// From 1, the place in the path that the field holds; 0 replaces the field.
    position: usize,
}

impl Target {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        let selector = fields.nested("selector", "a selector", Selector::read)?;
        let (field, position) = (fields.text("fieldPath")?, fields.integer("filePathPosition")?);
        let refused = |problem: &str| Reason::Patch { patch: "ValueAddTransformer".to_owned(), problem: problem.to_owned() };
        if field.is_empty() {
            return Err(refused("a target needs a fieldPath").into());
        }
        let position = usize::try_from(position).map_err(|_| refused("filePathPosition must not be negative"))?;
        Ok(Self { selector, field, position })
    }
}

impl Transformer for ValueAdd {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        for target in &self.targets {
            resources.work.step(resources.len())?;
            let selected = match &target.selector {
                Some(selector) => resources.select(selector),
                None => resources.indexes(|resource| !resource.is_deleted()),
            };
            for index in selected {
                let resource = resources.get_mut(index);
                if target.field == "metadata/namespace" {
                    let namespace = self.value.as_str().into();
                    let set = Namespace { namespace, fields: FieldSpecs::default(), unset_only: false, subjects: Subjects::Default };
                    set.set_in(&mut resource.value, &mut Applicable::new(&[]))?;
                    continue;
                }
                let id = resource.id().to_string();
                let segments = split_path(&target.field, '/');
                let field =
                    make(&mut resource.value, &segments).map_err(|problem| Reason::Field { path: target.field.clone(), id, problem })?;
                *field = match target.position {
                    0 => self.value.as_str().into(),
                    position => insert_part(raw(field), position - 1, &self.value).into(),
                };
            }
        }
        Ok(())
    }
}

fn make<'a>(value: &'a mut Tree, segments: &[String]) -> Result<&'a mut Tree, String> {
    let Some((segment, rest)) = segments.split_first() else {
        return if is_collection(value) { Err(format!("it is {}, not a scalar", type_of(value))) } else { Ok(value) };
    };
    let found = type_of(value);
    let map = map_in(value).ok_or_else(|| format!("the way to \"{segment}\" leads through {found}"))?;
    let next = map.get_or_insert_with(segment, || if rest.is_empty() { Tree::NULL } else { Tree::map() });
    make(next, rest)
}

/// Puts `part` into the path at `position`, or at the end if the path is shorter; an absolute path stays absolute.
fn insert_part(path: &str, position: usize, part: &str) -> String {
    let (root, path) = path.strip_prefix('/').map_or(("", path), |path| ("/", path));
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    parts.insert(position.min(parts.len()), part);
    format!("{root}{}", parts.join("/"))
}
