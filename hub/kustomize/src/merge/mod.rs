//! Strategic merge as kustomize does it: maps field by field, null and `$patch: delete` remove, `$patch: replace` replaces, and lists that
//! the built-in schema says so are joined by their keys; all other lists are replaced. Which resource is patched is left to the transformers.
//!
//! What the patch does not mention is looked at, too: a field that the base leaves blank goes, and joined lists lose what they hold twice.

mod list;
mod schema;

use std::sync::Arc;

use shared_manifest::{Text, Tree, TreeMap};

use crate::facts::{Facts, Question, Settled};
use crate::id::Id;
use crate::problem::Reason;
use crate::value::{LONGEST_WORD, in_quotes_of, new_text, raw, type_of};

use schema::Kind;
pub(crate) use schema::Schema;

/// The patch's side of one step of the walk.
enum Patch {
    /// The patch does not mention it.
    Silent,
    /// The patch says this.
    Says(Tree),
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

/// A merged value, and how much work it was.
pub(crate) struct Merged {
    /// `None` if the patch deletes all of it.
    pub(crate) value: Option<Tree>,
    /// How often an item of a joined list was compared with another.
    pub(crate) comparisons: usize,
}

/// Merges `patch` into `base`.
pub(crate) fn strategic_merge(base: Tree, patch: Tree, schema: &Schema) -> Result<Merged, Reason> {
    // kustomize forgets to take over what replaces an object as a whole.
    if patch.get(DIRECTIVE).is_some_and(|word| raw(word) == "replace") {
        return Ok(Merged { value: Some(base), comparisons: 0 });
    }
    let mut merge = Merge { schema, id: Id::of(&base).to_string(), path: Vec::new(), comparisons: 0, remembers: schema.is_built_in() };
    let value = merge.walk(Some(base), Patch::Says(patch), Kind::Unknown)?.filter(|value| !value.is_null());
    Ok(Merged { value, comparisons: merge.comparisons })
}

struct Merge<'s> {
    schema: &'s Schema,
    /// The resource, for messages.
    id: String,
    /// Where the walk is, for messages.
    path: Vec<Text>,
    comparisons: usize,
    /// Whether what is found out about maps is remembered.
    remembers: bool,
}

impl<'s> Merge<'s> {
    /// One step: the merged value, or `None` where nothing is left. A null that comes out is one that the base states and keeps.
    fn walk(&mut self, base: Option<Tree>, patch: Patch, kind: Kind<'s>) -> Result<Option<Tree>, Reason> {
        let (Some(Tree::Map(map)), Patch::Silent, true) = (&base, &patch, self.remembers) else { return self.walk_on(base, patch, kind) };
        let (map, kind_number) = (map.clone(), kind.number());
        let Some(facts) = Facts::of(&map, Question::Settled) else { return self.walk_on(base, patch, kind) };
        if let Some(settled) = facts.settled.get().filter(|settled| settled.kind == kind_number) {
            self.comparisons += settled.comparisons;
            return Ok(base);
        }
        let before = self.comparisons;
        self.remembers = false;
        let merged = self.walk_on(base, patch, kind)?;
        self.remembers = true;
        if matches!(&merged, Some(Tree::Map(merged)) if Arc::ptr_eq(merged, &map)) {
            facts.settled.get_or_init(|| Settled { kind: kind_number, comparisons: self.comparisons - before });
        }
        Ok(merged)
    }

    fn walk_on(&mut self, base: Option<Tree>, patch: Patch, kind: Kind<'s>) -> Result<Option<Tree>, Reason> {
        let said = match &patch {
            Patch::Says(value) if !value.is_null() => Some(value),
            _ => None,
        };
        let Some(first) = base.as_ref().filter(|value| !value.is_null()).or(said) else { return Ok(merge_nothing(base, &patch)) };
        if let Some(said) = said {
            self.check_same_type(first, said)?;
        }
        match first {
            Tree::Map(_) => {
                let kind = match kind {
                    Kind::Unknown => self.schema.kind_of(base.as_ref(), said),
                    known => known,
                };
                self.walk_map(base, patch, kind)
            }
            Tree::List(_) => match kind {
                Kind::Joined(_, joined) => self.walk_joined_list(base, patch, joined, kind.item()),
                Kind::Unknown | Kind::Type(..) => Ok(replace(base, patch)),
            },
            _ => Ok(replace(base, patch)),
        }
    }

    fn walk_map(&mut self, base: Option<Tree>, patch: Patch, kind: Kind<'s>) -> Result<Option<Tree>, Reason> {
        let (base, patch) = match (base.filter(|value| !value.is_null()), patch) {
            (_, Patch::Says(Tree::Null(_))) => return Ok(None),
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
        let Tree::Map(mut base) = base else { return Ok(Some(base)) };
        let is_base = matches!(patch, Patch::IsBase);
        let said = match patch {
            Patch::Says(Tree::Map(said)) => said,
            _ => Arc::default(),
        };
        let mut changes: Vec<(Text, Option<Tree>)> = Vec::new();
        for (field, value) in base.iter() {
            let patch = match said.get(field) {
                Some(said) => Patch::Says(said.clone()),
                None if is_base => Patch::IsBase,
                None => Patch::Silent,
            };
            let merged = self.walk_field(field, Some(value.clone()), patch, kind)?;
            if merged.as_ref().is_none_or(|merged| !merged.is_same(value) || merged.is_quoted() != value.is_quoted()) {
                changes.push((field.clone(), merged));
            }
        }
        for (field, value) in said.iter().filter(|(field, _)| !base.contains_key(field)) {
            let merged = self.walk_field(field, None, Patch::Says(value.clone()), kind)?;
            changes.extend(merged.map(|merged| (field.clone(), Some(merged))));
        }
        if changes.len() > FEW {
            base = Arc::new(with_all(&base, changes));
        } else if !changes.is_empty() {
            let fields: &mut TreeMap = Arc::make_mut(&mut base);
            for (field, value) in changes {
                match value {
                    Some(value) => drop(fields.insert(field, value)),
                    None => drop(fields.remove(&field)),
                }
            }
        }
        Ok(Some(Tree::Map(base)))
    }

    fn walk_field(&mut self, field: &Text, base: Option<Tree>, patch: Patch, kind: Kind<'s>) -> Result<Option<Tree>, Reason> {
        self.path.push(field.clone());
        let value = self.walk(base, patch, kind.field(field))?;
        self.path.pop();
        Ok(value.map(quoted_if_odd))
    }

    /// Takes the directive out of a map of the patch.
    fn directive(&self, patch: &mut Tree) -> Result<Directive, Reason> {
        let Some(word) = patch.get(DIRECTIVE) else { return Ok(Directive::Merge) };
        let directive = self.directive_named(word)?;
        if let Some(fields) = patch.as_map_mut() {
            fields.remove(DIRECTIVE);
        }
        Ok(directive)
    }

    fn directive_named(&self, word: &Tree) -> Result<Directive, Reason> {
        match raw(word) {
            "merge" => Ok(Directive::Merge),
            "replace" => Ok(Directive::Replace),
            "delete" => Ok(Directive::Delete),
            _ => Err(Reason::Patch {
                patch: format!("patch of {}", self.id),
                problem: format!("$patch in {} must be merge, replace or delete", self.place()),
            }),
        }
    }

    fn check_same_type(&self, base: &Tree, patch: &Tree) -> Result<(), Reason> {
        let class = |value: &Tree| (value.is_map(), value.is_list());
        if class(base) == class(patch) {
            return Ok(());
        }
        Err(Reason::Merge { id: self.id.clone(), field: self.place(), base: type_of(base), patch: type_of(patch) })
    }

    fn place(&self) -> String {
        if self.path.is_empty() { "the object".to_owned() } else { self.path.join(".") }
    }
}

/// Up to this many fields are set one after the other: each may move all that stand behind it.
const FEW: usize = 16;

/// The map with these fields set, or taken away.
fn with_all(base: &TreeMap, mut changes: Vec<(Text, Option<Tree>)>) -> TreeMap {
    changes.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut entries = Vec::with_capacity(base.len() + changes.len());
    let mut changes = changes.into_iter().peekable();
    for (field, value) in base.iter() {
        while let Some((before, value)) = changes.next_if(|(changed, _)| changed < field) {
            entries.extend(value.map(|value| (before, value)));
        }
        match changes.next_if(|(changed, _)| changed == field) {
            Some((_, changed)) => entries.extend(changed.map(|changed| (field.clone(), changed))),
            None => entries.push((field.clone(), value.clone())),
        }
    }
    entries.extend(changes.filter_map(|(field, value)| Some((field, value?))));
    entries.into_iter().collect()
}

/// What becomes of a field that both sides leave without a value: a null that the base spells out stays, one that it leaves blank goes.
fn merge_nothing(base: Option<Tree>, patch: &Patch) -> Option<Tree> {
    match patch {
        Patch::Silent => base.filter(|null| !raw(null).is_empty()),
        Patch::Says(_) | Patch::IsBase => None,
    }
}

/// A text that stands in a map without quotes and is a word, number or date of YAML 1.1 gets quotes by a merge, mentioned or not: kustomize
/// prints it in quotes in any case, and keeps them for what is set in its place later.
fn quoted_if_odd(value: Tree) -> Tree {
    match value {
        Tree::String(text) if may_be_odd(&text) => new_text(text),
        value => value,
    }
}

/// Whether a text may be anything but text in YAML 1.1: a short word, or what begins as numbers and dates do.
fn may_be_odd(text: &str) -> bool {
    text.len() <= LONGEST_WORD || text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first))
}

/// Scalars and plain lists: what the patch says, null removing it.
fn replace(base: Option<Tree>, patch: Patch) -> Option<Tree> {
    match patch {
        Patch::Says(value) if value.is_null() => None,
        Patch::Says(value) => Some(match base {
            Some(base) => in_quotes_of(&base, value),
            None => value,
        }),
        Patch::Silent | Patch::IsBase => base,
    }
}
