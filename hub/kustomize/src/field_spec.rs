//! Field specifications: which field of which kinds a transformer touches, and the walk to that field through maps and lists.

use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};

use shared_manifest::{Text, Tree, TreeMap};

use crate::facts::{Facts, Name, Question, References};
use crate::fields::Fields;
use crate::id::{Gvk, Id, Kind};
use crate::problem::{Fault, Reason};
use crate::value::{field, split_path, type_of};

/// The most field specifications of one transformer: each that is added is compared with all others, and 4,000 are 16 million comparisons.
const SPEC_LIMIT: usize = 4_000;

/// A list of specifications, shared by all that go by it.
pub(crate) type FieldSpecs = Arc<Vec<FieldSpec>>;

/// A field of the resources that `kinds` selects. The path is split by `/`; lists on the way are entered item by item; `[]` after a segment
/// says that it must be a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldSpec {
    pub(crate) kinds: Gvk,
    pub(crate) path: Arc<FieldPath>,
    pub(crate) create: bool,
}

/// A path as written, taken apart when somebody follows it: few builds follow more than some of the built-in ones.
#[derive(Debug)]
pub(crate) struct FieldPath {
    pub(crate) text: Text,
    segments: OnceLock<Vec<Segment>>,
}

impl PartialEq for FieldPath {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for FieldPath {}

#[derive(Debug, PartialEq, Eq)]
struct Segment {
    name: Text,
    is_list: bool,
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

/// What happens to each value that a path leads to.
pub(crate) trait Visitor {
    /// Whether there is anything to do: what says no stays shared with its copies. A value that has to be refused says yes.
    fn wants(&self, _value: &Tree) -> bool {
        true
    }

    /// Is told the way before the values at its end are visited.
    fn enter(&mut self, _path: &Arc<FieldPath>) {}

    /// Changes the value.
    fn visit(&mut self, value: &mut Tree) -> Result<(), Reason>;
}

impl<F: FnMut(&mut Tree) -> Result<(), Reason>> Visitor for F {
    fn visit(&mut self, value: &mut Tree) -> Result<(), Reason> {
        self(value)
    }
}

impl FieldPath {
    pub(crate) fn new(text: impl Into<Text>) -> Arc<Self> {
        Arc::new(Self { text: text.into(), segments: OnceLock::new() })
    }

    /// Whether a segment says that it must be a list.
    pub(crate) fn demands_a_list(&self) -> bool {
        self.segments().iter().any(|segment| segment.is_list)
    }

    fn segments(&self) -> &[Segment] {
        self.segments.get_or_init(|| {
            let segments = split_path(&self.text, '/');
            let segments = segments.iter().map(|segment| match segment.strip_suffix("[]") {
                Some(name) => Segment { name: name.into(), is_list: true },
                None => Segment { name: segment.into(), is_list: false },
            });
            segments.collect()
        })
    }
}

impl FieldSpec {
    pub(crate) fn new(kinds: Gvk, path: &str, create: bool) -> Self {
        Self { kinds, path: FieldPath::new(path), create }
    }

    /// Reads a specification from a configuration.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        let kinds = Gvk { group: fields.text("group")?.into(), version: fields.text("version")?.into(), kind: fields.text("kind")?.into() };
        Ok(Self { kinds, path: FieldPath::new(&fields.text("path")?), create: fields.flag("create")? })
    }

    /// Lets `visitor` visit each value of `resource` that the path leads to, whatever the resource's kind.
    pub(crate) fn visit(&self, resource: &mut Tree, create: Create, visitor: &mut dyn Visitor) -> Result<(), Reason> {
        let create = if self.create { create } else { Create::Never };
        let segments = self.path.segments();
        if !leads(resource, segments, create, visitor) {
            return Ok(());
        }
        visitor.enter(&self.path);
        walk(resource, segments, create, visitor).map_err(|stop| match stop {
            Stop::Refused(reason) => reason,
            Stop::NoWay(problem) => Reason::Field { path: self.path.text.to_string(), id: Id::of(resource).to_string(), problem },
        })
    }

    /// Whether visiting may change the resource's kind or version.
    fn touches_kind(&self) -> bool {
        self.path.segments().first().is_none_or(|segment| segment.name == "kind" || segment.name == "apiVersion")
    }
}

/// Whether the walk has anything to do or to refuse.
fn leads(value: &Tree, segments: &[Segment], create: Create, visitor: &dyn Visitor) -> bool {
    let Some((segment, rest)) = segments.split_first() else { return visitor.wants(value) };
    match value {
        Tree::Null(_) => false,
        Tree::List(items) => items.iter().any(|item| leads(item, segments, create, visitor)),
        Tree::Map(_) => match field(value, &segment.name) {
            None => (create != Create::Never && !segment.is_list) || segment.name.is_empty(),
            Some(Tree::Null(_)) if segment.is_list || create != Create::Never => true,
            Some(inner) => leads(inner, rest, create, visitor),
        },
        _ => true,
    }
}

enum Stop {
    Refused(Reason),
    NoWay(String),
}

fn walk(value: &mut Tree, segments: &[Segment], create: Create, visitor: &mut dyn Visitor) -> Result<(), Stop> {
    let Some((segment, rest)) = segments.split_first() else { return visitor.visit(value).map_err(Stop::Refused) };
    if let Tree::List(items) = value {
        // What nothing is done to stays shared.
        for index in 0..items.len() {
            if leads(&items[index], segments, create, visitor) {
                walk(&mut Arc::make_mut(items)[index], segments, create, visitor)?;
            }
        }
        return Ok(());
    }
    let Segment { name, is_list } = segment;
    let fields = match value {
        Tree::Null(_) => return Ok(()),
        Tree::Map(fields) => Arc::make_mut(fields),
        other => {
            let found = type_of(other);
            return Err(Stop::NoWay(format!("the way to \"{name}\" leads through {found}; correct the path or the resource")));
        }
    };
    if name.is_empty() {
        return Err(Stop::NoWay("a segment of the path is empty".to_owned()));
    }
    let made = || match (create, rest.is_empty()) {
        (Create::Scalar, true) => Tree::NULL,
        _ => Tree::map(),
    };
    let creates = create != Create::Never && !is_list;
    let field = if creates { Some(fields.get_or_insert_with(name, made)) } else { fields.get_mut(name) };
    let Some(field) = field else { return Ok(()) };
    if field.is_null() && *is_list {
        *field = Tree::list(Vec::new());
    } else if field.is_null() && creates && !(create == Create::Scalar && rest.is_empty()) {
        *field = Tree::map();
    }
    walk(field, rest, create, visitor)
}

/// Which of a list of specifications apply to a kind, found once for each kind.
pub(crate) struct Applicable<'s> {
    specs: &'s [FieldSpec],
    /// Whether one of them may change a resource's kind: then each is asked anew before its turn.
    any_kind: bool,
    known: Vec<(Gvk, Vec<&'s FieldSpec>)>,
}

impl<'s> Applicable<'s> {
    pub(crate) fn new(specs: &'s [FieldSpec]) -> Self {
        Self { specs, any_kind: specs.iter().any(FieldSpec::touches_kind), known: Vec::new() }
    }

    /// The specifications for the kind of `resource`, in their order. With one that may change the kind it is all of them.
    fn to(&mut self, resource: &Tree) -> &[&'s FieldSpec] {
        let of = Kind::of(resource);
        let place = self.known.binary_search_by(|(kind, _)| kind.parts().cmp(&of.parts()));
        let place = place.unwrap_or_else(|place| {
            let any_kind = self.any_kind;
            let specs = self.specs.iter().filter(|spec| any_kind || of.is_selected(&spec.kinds)).collect();
            self.known.insert(place, (of.to_owned(), specs));
            place
        });
        &self.known[place].1
    }

    /// Visits the fields of `resource` that its kind has a specification for.
    pub(crate) fn visit(&mut self, resource: &mut Tree, create: Create, visitor: &mut dyn Visitor) -> Result<(), Reason> {
        self.visit_some(resource, &|_| true, create, visitor)
    }

    /// As [`Applicable::visit`], but leaves out the specifications that `is_meant` says no to.
    pub(crate) fn visit_some(
        &mut self,
        resource: &mut Tree,
        is_meant: &dyn Fn(&FieldSpec) -> bool,
        create: Create,
        visitor: &mut dyn Visitor,
    ) -> Result<(), Reason> {
        let any_kind = self.any_kind;
        for spec in self.to(resource) {
            if is_meant(spec) && (!any_kind || Kind::of(resource).is_selected(&spec.kinds)) {
                spec.visit(resource, create, visitor)?;
            }
        }
        Ok(())
    }
}

/// Paths by their common beginnings: one walk over a value finds all of them that lead somewhere.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    /// The numbers of the paths that end here.
    ends: Vec<usize>,
    /// By name, as the fields of maps are.
    next: Vec<(Text, Self)>,
}

impl Paths {
    /// Adds a path under a number.
    pub(crate) fn add(&mut self, path: &FieldPath, number: usize) {
        let mut here = self;
        for segment in path.segments() {
            let place = here.next.binary_search_by(|(name, _)| name.as_str().cmp(&segment.name)).unwrap_or_else(|place| {
                here.next.insert(place, (segment.name.clone(), Self::default()));
                place
            });
            here = &mut here.next[place].1;
        }
        here.ends.push(number);
    }

    /// Whether no path is the beginning of another one, and none has an empty segment: then what is changed at the end of one is no matter of
    /// the others.
    pub(crate) fn ends_are_apart(&self) -> bool {
        (self.ends.is_empty() || self.next.is_empty()) && self.next.iter().all(|(name, paths)| !name.is_empty() && paths.ends_are_apart())
    }

    /// Finds the names at the ends of the paths, and the paths that cannot be followed, which have none. `set` is the number of the set of paths
    /// that these are the whole or a part of; no two sets have the same.
    pub(crate) fn find(&self, set: u64, value: &Tree, found: &mut Found<'_>) {
        if !self.ends.is_empty() {
            self.find_names(value, found);
        }
        if !self.next.is_empty() {
            self.find_below(set, value, found);
        }
    }

    /// The names in what stands at an end: a name, a map with one, or a list of those.
    fn find_names(&self, value: &Tree, found: &mut Found<'_>) {
        match value {
            Tree::Null(_) => {}
            Tree::List(items) => {
                for item in items.iter() {
                    if item.is_list() { self.end(None, found) } else { self.find_names(item, found) }
                }
            }
            Tree::Map(fields) => match fields.get("name") {
                Some(name) => self.end(Some(name.written().unwrap_or(&Text::new_static(""))), found),
                None => self.end(None, found),
            },
            scalar => self.end(Some(scalar.written().unwrap_or(&Text::new_static(""))), found),
        }
    }

    fn end(&self, name: Option<&Text>, found: &mut Found<'_>) {
        self.ends.iter().for_each(|end| found(*end, name));
    }

    /// Follows the paths into a value, or into the items of a list, which are no ends of a path that ends at the list.
    fn find_below(&self, set: u64, value: &Tree, found: &mut Found<'_>) {
        match value {
            Tree::Null(_) => {}
            Tree::List(items) => items.iter().for_each(|item| self.find_below(set, item, found)),
            Tree::Map(map) => {
                let paths = self.number(set);
                let own = || {
                    let mut own = Vec::new();
                    self.find_in_map(set, map, &mut |path, name| own.push(Name { path, name: name.cloned() }));
                    References { paths, found: own.into() }
                };
                match Facts::of(map, Question::References)
                    .map(|facts| facts.references.get_or_init(own))
                    .filter(|known| known.paths == paths)
                {
                    Some(known) => known.found.iter().for_each(|Name { path, name }| found(*path, name.as_ref())),
                    None => self.find_in_map(set, map, found),
                }
            }
            _ => self.next.iter().for_each(|(_, paths)| paths.give_up(found)),
        }
    }

    /// The set of paths, and how far the way has come in it.
    fn number(&self, set: u64) -> (u64, usize) {
        (set, std::ptr::from_ref(self).addr())
    }

    fn find_in_map(&self, set: u64, map: &TreeMap, found: &mut Found<'_>) {
        if let Some((name, paths)) = self.next.first()
            && name.is_empty()
        {
            paths.give_up(found);
        }
        for (_, value, paths) in self.led_to(map) {
            paths.find(set, value, found);
            if value.is_null() {
                paths.give_up(found);
            }
        }
    }

    /// The fields of a map that paths lead to, with the rest of these paths.
    fn led_to<'a>(&'a self, map: &'a TreeMap) -> impl Iterator<Item = (&'a Text, &'a Tree, &'a Self)> {
        let mut next = match self.next.split_first() {
            Some(((name, _), rest)) if name.is_empty() => rest,
            _ => self.next.as_slice(),
        };
        // Both are in order: one way through both finds what is in both.
        let mut fields = map.iter();
        let mut field = fields.next();
        std::iter::from_fn(move || {
            while let (Some((name, value)), Some(((wanted, paths), rest))) = (field, next.split_first()) {
                match (name.as_bytes().first(), name.as_str()).cmp(&(wanted.as_bytes().first(), wanted.as_str())) {
                    Ordering::Less => field = fields.next(),
                    Ordering::Greater => next = rest,
                    Ordering::Equal => {
                        (field, next) = (fields.next(), rest);
                        return Some((name, value, paths));
                    }
                }
            }
            None
        })
    }

    /// Notes all paths as ones that cannot be followed.
    fn give_up(&self, found: &mut Found<'_>) {
        self.end(None, found);
        self.next.iter().for_each(|(_, paths)| paths.give_up(found));
    }

    /// What `change` makes of what stands at the ends of the paths; `None` if it changes nothing. Maps of which it is known that `change` has
    /// nothing to do in them are not entered. The paths can all be followed, and their ends are apart.
    pub(crate) fn rewritten(&self, set: u64, value: &Tree, change: &mut dyn Change) -> Result<Option<Tree>, Reason> {
        if !self.ends.is_empty() {
            return change.at_end(&self.ends, value);
        }
        match value {
            Tree::List(items) => {
                let mut changed: Option<Vec<Tree>> = None;
                for (index, item) in items.iter().enumerate() {
                    if let Some(item) = self.rewritten(set, item, change)? {
                        changed.get_or_insert_with(|| items.to_vec())[index] = item;
                    }
                }
                Ok(changed.map(Tree::list))
            }
            Tree::Map(map) => {
                let known = Facts::known(map).and_then(|facts| facts.references.get()).filter(|known| known.paths == self.number(set));
                if known.is_some_and(|known| !known.found.iter().any(|found| change.is_about(found))) {
                    return Ok(None);
                }
                let mut changed: Option<TreeMap> = None;
                for (name, value, paths) in self.led_to(map) {
                    if let Some(value) = paths.rewritten(set, value, change)? {
                        changed.get_or_insert_with(|| TreeMap::clone(map)).insert(name.clone(), value);
                    }
                }
                Ok(changed.map(Tree::from))
            }
            _ => Ok(None),
        }
    }
}

/// Is told the number of a path and the name at its end; none where it cannot be followed, or leads to what is no name.
pub(crate) type Found<'f> = dyn FnMut(usize, Option<&Text>) + 'f;

/// Changes what stands at the ends of paths.
pub(crate) trait Change {
    /// Whether there may be anything to do where this was found.
    fn is_about(&self, found: &Name) -> bool;

    /// What becomes of `value`, at which the paths of these numbers end; `None` if it stays.
    fn at_end(&mut self, paths: &[usize], value: &Tree) -> Result<Option<Tree>, Reason>;
}

/// Adds `more` to `specs`. Of two for the same field the first stays.
pub(crate) fn merge(specs: &mut FieldSpecs, more: &[FieldSpec]) -> Result<(), Reason> {
    for spec in more {
        match specs.iter().find(|known| known.kinds.is_selected(&spec.kinds) && known.path.text == spec.path.text) {
            Some(known) if known.create != spec.create => return Err(Reason::FieldSpecs { path: spec.path.text.to_string() }),
            Some(_) => {}
            None => Arc::make_mut(specs).push(spec.clone()),
        }
    }
    if specs.len() > SPEC_LIMIT {
        return Err(Reason::TooMuch { what: "field specifications", limit: SPEC_LIMIT, remedy: "name kinds and paths once" });
    }
    Ok(())
}
