//! Field specifications: which field of which kinds a transformer touches, and the walk to that field through maps and lists.

use std::borrow::Cow;

use shared_manifest::{Map, Value};

use crate::fields::Fields;
use crate::id::{Gvk, Id};
use crate::problem::{Fault, Reason};
use crate::value::{split_path, type_of};

/// A field of the resources that `kinds` selects. The path is split by `/`; lists on the way are entered item by item; `[]` after a segment
/// says that it must be a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldSpec {
    pub(crate) kinds: Gvk,
    pub(crate) path: Cow<'static, str>,
    pub(crate) create: bool,
}

/// What is made at the end of a path that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Create {
    /// Nothing, whatever the specification says.
    Never,
    /// A scalar, which is null when the visitor gets it.
    Scalar,
    /// An empty map.
    Map,
}

impl FieldSpec {
    pub(crate) const fn new(kinds: Gvk, path: &'static str, create: bool) -> Self {
        Self { kinds, path: Cow::Borrowed(path), create }
    }

    /// Reads a specification from a configuration.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        let kinds = Gvk { group: fields.text("group")?, version: fields.text("version")?, kind: fields.text("kind")? };
        Ok(Self { kinds, path: Cow::Owned(fields.text("path")?), create: fields.flag("create")? })
    }

    /// Calls `visit` on each value of `resource` that the specification leads to. `id` names the resource in messages.
    pub(crate) fn visit(
        &self,
        resource: &mut Value,
        create: Create,
        visit: &mut dyn FnMut(&mut Value) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        if !Id::of(resource).is_selected(&self.kinds) {
            return Ok(());
        }
        let segments = split_path(&self.path, '/');
        let create = if self.create { create } else { Create::Never };
        let walked = walk(resource, &segments, create, visit);
        walked.map_err(|stop| match stop {
            Stop::Refused(reason) => reason,
            Stop::NoWay(problem) => Reason::Field { path: self.path.to_string(), id: Id::of(resource).to_string(), problem },
        })
    }
}

enum Stop {
    Refused(Reason),
    NoWay(String),
}

fn walk(
    value: &mut Value,
    segments: &[String],
    create: Create,
    visit: &mut dyn FnMut(&mut Value) -> Result<(), Reason>,
) -> Result<(), Stop> {
    let Some((segment, rest)) = segments.split_first() else { return visit(value).map_err(Stop::Refused) };
    match value {
        Value::Null => Ok(()),
        Value::Array(items) => items.iter_mut().try_for_each(|item| walk(item, segments, create, visit)),
        Value::Object(fields) => {
            let (name, is_list) = segment.strip_suffix("[]").map_or((segment.as_str(), false), |name| (name, true));
            if name.is_empty() {
                return Err(Stop::NoWay("a segment of the path is empty".to_owned()));
            }
            let made = || match (create, rest.is_empty()) {
                (Create::Scalar, true) => Value::Null,
                _ => Value::Object(Map::new()),
            };
            let creates = create != Create::Never && !is_list;
            let field = match fields.get_mut(name) {
                Some(field) => field,
                None if creates => fields.entry(name).or_insert_with(made),
                None => return Ok(()),
            };
            if field.is_null() && is_list {
                *field = Value::Array(Vec::new());
            } else if field.is_null() && creates {
                *field = made();
            }
            walk(field, rest, create, visit)
        }
        other => Err(Stop::NoWay(format!("the way to \"{segment}\" leads through {}; correct the path or the resource", type_of(other)))),
    }
}

/// Adds `more` to `specs`. Of two for the same field the first stays.
pub(crate) fn merge(specs: &mut Vec<FieldSpec>, more: &[FieldSpec]) -> Result<(), Reason> {
    for spec in more {
        match specs.iter().find(|known| known.kinds.is_selected(&spec.kinds) && known.path == spec.path) {
            Some(known) if known.create != spec.create => return Err(Reason::FieldSpecs { path: spec.path.to_string() }),
            Some(_) => {}
            None => specs.push(spec.clone()),
        }
    }
    Ok(())
}
