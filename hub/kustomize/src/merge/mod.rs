//! Strategic merge as kustomize does it: maps field by field, null and `$patch: delete` remove, `$patch: replace` replaces, and lists that
//! the built-in schema says so are joined by their keys; all other lists are replaced. Which resource is patched is left to the transformers.

mod list;
mod schema;

use shared_manifest::{Map, Value};

use crate::id::Id;
use crate::problem::Reason;
use crate::value::type_of;

use schema::Kind;
pub(crate) use schema::Schema;

/// The patch's side of one step of the walk.
enum Patch {
    /// The patch does not mention it.
    Silent,
    /// The patch says this.
    Says(Value),
    /// The base has nothing here, so that what the patch said has become the base and is now merged with itself: directives are carried out
    /// and nulls go.
    IsBase,
}

/// What `$patch` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

/// The name of the directive's field.
const DIRECTIVE: &str = "$patch";

/// Merges `patch` into `base`. `None` says that the patch deletes all of it.
pub(crate) fn strategic_merge(base: Value, patch: Value, schema: &Schema) -> Result<Option<Value>, Reason> {
    let mut merge = Merge { schema, id: Id::of(&base).to_string(), path: Vec::new() };
    Ok(merge.walk(Some(base), Patch::Says(patch), Kind::Unknown)?.filter(|value| !value.is_null()))
}

struct Merge<'s> {
    schema: &'s Schema,
    /// The resource, for messages.
    id: String,
    /// Where the walk is, for messages.
    path: Vec<String>,
}

impl<'s> Merge<'s> {
    /// One step: the merged value, or `None` where nothing is left. A null that comes out is one that the base states and keeps.
    fn walk(&mut self, base: Option<Value>, patch: Patch, kind: Kind<'s>) -> Result<Option<Value>, Reason> {
        let said = match &patch {
            Patch::Says(value) if !value.is_null() => Some(value),
            _ => None,
        };
        let Some(first) = base.as_ref().filter(|value| !value.is_null()).or(said) else { return Ok(merge_nothing(base, &patch)) };
        if let Some(said) = said {
            self.check_same_type(first, said)?;
        }
        match first {
            Value::Object(_) => {
                let kind = match kind {
                    Kind::Unknown => self.schema.kind_of(base.as_ref(), said),
                    known => known,
                };
                self.walk_map(base, patch, kind)
            }
            Value::Array(_) => match kind {
                Kind::Joined(_, joined) => self.walk_joined_list(base, patch, joined, kind.item()),
                Kind::Unknown | Kind::Type(..) => Ok(replace(base, patch)),
            },
            _ => Ok(replace(base, patch)),
        }
    }

    fn walk_map(&mut self, base: Option<Value>, patch: Patch, kind: Kind<'s>) -> Result<Option<Value>, Reason> {
        let (base, patch) = match (base.filter(|value| !value.is_null()), patch) {
            (_, Patch::Says(Value::Null)) => return Ok(None),
            (None, Patch::Says(mut said)) => match self.directive(&mut said)? {
                Directive::Delete => return Ok(None),
                Directive::Merge | Directive::Replace => (said, Patch::IsBase),
            },
            (Some(base), Patch::Says(mut said)) => match self.directive(&mut said)? {
                Directive::Delete => return Ok(None),
                Directive::Replace => (said, Patch::IsBase),
                Directive::Merge => (base, Patch::Says(said)),
            },
            (Some(mut base), Patch::IsBase) => match self.directive(&mut base)? {
                Directive::Delete => return Ok(None),
                Directive::Merge | Directive::Replace => (base, Patch::IsBase),
            },
            (Some(base), Patch::Silent) => (base, Patch::Silent),
            (None, Patch::Silent | Patch::IsBase) => return Ok(None),
        };
        let Value::Object(base) = base else { return Ok(Some(base)) };
        let is_base = matches!(patch, Patch::IsBase);
        let mut said = match patch {
            Patch::Says(Value::Object(said)) => said,
            _ => Map::new(),
        };
        let mut merged = Map::new();
        for (field, value) in base {
            let patch = match said.remove(&field) {
                Some(said) => Patch::Says(said),
                None if is_base => Patch::IsBase,
                None => Patch::Silent,
            };
            self.merge_field(&mut merged, field, Some(value), patch, kind)?;
        }
        for (field, value) in said {
            self.merge_field(&mut merged, field, None, Patch::Says(value), kind)?;
        }
        Ok(Some(Value::Object(merged)))
    }

    fn merge_field(
        &mut self,
        merged: &mut Map<String, Value>,
        field: String,
        base: Option<Value>,
        patch: Patch,
        kind: Kind<'s>,
    ) -> Result<(), Reason> {
        let kind = kind.field(&field);
        self.path.push(field);
        let value = self.walk(base, patch, kind)?;
        let field = self.path.pop().unwrap_or_default();
        if let Some(value) = value {
            merged.insert(field, value);
        }
        Ok(())
    }

    /// Takes the directive out of a map of the patch.
    fn directive(&self, patch: &mut Value) -> Result<Directive, Reason> {
        let Some(fields) = patch.as_object_mut() else { return Ok(Directive::Merge) };
        let Some(word) = fields.get(DIRECTIVE) else { return Ok(Directive::Merge) };
        let directive = self.directive_named(word)?;
        fields.remove(DIRECTIVE);
        Ok(directive)
    }

    fn directive_named(&self, word: &Value) -> Result<Directive, Reason> {
        match word.as_str() {
            Some("merge") => Ok(Directive::Merge),
            Some("replace") => Ok(Directive::Replace),
            Some("delete") => Ok(Directive::Delete),
            _ => Err(Reason::Patch {
                patch: format!("patch of {}", self.id),
                problem: format!("$patch in {} must be merge, replace or delete", self.place()),
            }),
        }
    }

    fn check_same_type(&self, base: &Value, patch: &Value) -> Result<(), Reason> {
        let class = |value: &Value| match value {
            Value::Object(_) => 0,
            Value::Array(_) => 1,
            _ => 2,
        };
        if class(base) == class(patch) {
            return Ok(());
        }
        Err(Reason::Merge { id: self.id.clone(), field: self.place(), base: type_of(base), patch: type_of(patch) })
    }

    fn place(&self) -> String {
        if self.path.is_empty() { "the object".to_owned() } else { self.path.join(".") }
    }
}

/// What becomes of a field that both sides leave without a value.
fn merge_nothing(base: Option<Value>, patch: &Patch) -> Option<Value> {
    match patch {
        Patch::Silent => base,
        Patch::Says(_) | Patch::IsBase => None,
    }
}

/// Scalars and plain lists: what the patch says, null removing it.
fn replace(base: Option<Value>, patch: Patch) -> Option<Value> {
    match patch {
        Patch::Says(value) => Some(value).filter(|value| !value.is_null()),
        Patch::Silent | Patch::IsBase => base,
    }
}
