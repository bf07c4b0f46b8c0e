//! Places of fields: where a field is in an object, and where the same field is in another one, whose lists may be in another order.

use serde_json::{Map, Value};
use shared_expression::jq::Key;
use shared_manifest::{FieldPath, ListKind, Step, list_kind};
use shared_model::GroupKind;

/// A place in one object, and the same place in another one.
pub(crate) struct Followed<'v> {
    pub(crate) here: Option<&'v Value>,
    pub(crate) place_here: Vec<Key>,
    pub(crate) steps_here: Vec<Step>,
    pub(crate) there: Option<&'v Value>,
    pub(crate) place_there: Vec<Key>,
    pub(crate) steps_there: Vec<Step>,
    /// An element of a list on the way has no like.
    pub(crate) is_new: bool,
}

/// Goes the way of `keys` through an object, and the same way through another one: elements of lists are found by what makes them the same.
/// Where the way ends here it goes on there as it is written.
pub(crate) fn follow<'v>(kind: &GroupKind, here: &'v Value, there: &'v Value, keys: &[Key]) -> Followed<'v> {
    let mut at = Followed {
        here: Some(here),
        place_here: Vec::new(),
        steps_here: Vec::new(),
        there: Some(there),
        place_there: Vec::new(),
        steps_there: Vec::new(),
        is_new: false,
    };
    for key in keys {
        let is_list = at.here.or(at.there).is_some_and(Value::is_array);
        let index = match key {
            Key::Index(index) => Some(*index),
            Key::Field(name) => name.parse().ok().filter(|_| is_list),
        };
        match (index, key) {
            (Some(index), _) => at.element(kind, index),
            (None, Key::Field(name)) => at.field(name),
            (None, Key::Index(_)) => {}
        }
    }
    at
}

impl Followed<'_> {
    fn field(&mut self, name: &str) {
        (self.here, self.there) = (self.here.and_then(|here| here.get(name)), self.there.and_then(|there| there.get(name)));
        for place in [&mut self.place_here, &mut self.place_there] {
            place.push(Key::Field(name.to_owned()));
        }
        for steps in [&mut self.steps_here, &mut self.steps_there] {
            steps.push(Step::Field(name.to_owned()));
        }
    }

    fn element(&mut self, kind: &GroupKind, index: usize) {
        let list = list_kind(kind, &self.steps_here);
        let here = self.here.and_then(Value::as_array).map(Vec::as_slice);
        let there = self.there.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let element = here.and_then(|here| here.get(index));
        let other = match (here, element) {
            (Some(here), Some(_)) => twin(list, here, index, there),
            // Only there: the index is meant as it is written, but not for what is the like of something else.
            (Some(here), None) => Some(index).filter(|_| (0..here.len()).all(|other| twin(list, here, other, there) != Some(index))),
            (None, _) => Some(index),
        };
        self.is_new |= element.is_some() && other.is_none();
        (self.here, self.there) = (element, other.and_then(|other| there.get(other)));
        let step = |element: Option<&Value>, index| element.map_or(Step::Index(index), |element| step_of(list, element, index));
        self.steps_here.push(step(self.here, index));
        self.steps_there.push(step(self.there, other.unwrap_or(index)));
        self.place_here.push(Key::Index(index));
        self.place_there.push(Key::Index(other.unwrap_or(index)));
    }
}

/// Which element of `there` is the same as the one at `index` of `here`. In lists of one owner, and in those of kinds that are not known, it is the
/// one of the same name, or at the same index if there are no names.
pub(crate) fn twin(list: ListKind, here: &[Value], index: usize, there: &[Value]) -> Option<usize> {
    let element = here.get(index)?;
    match step_of(list, element, index) {
        Step::Index(_) => {
            let name = element.get("name");
            let fits = |other: &Value| other.get("name") == name;
            let at_index = there.get(index).filter(|other| fits(other) || name.is_none() || other.get("name").is_none());
            let named = name.and_then(|_| there.iter().position(fits));
            if there.get(index).is_some_and(fits) { Some(index) } else { named.or(at_index.map(|_| index)) }
        }
        step => position(there, &step),
    }
}

/// How an element of a list is pointed at.
pub(crate) fn step_of(list: ListKind, element: &Value, index: usize) -> Step {
    match list {
        ListKind::Map(keys) => {
            let pairs: Vec<_> = keys.iter().filter_map(|key| Some(((*key).to_owned(), element.get(key)?.clone()))).collect();
            if pairs.is_empty() { Step::Index(index) } else { Step::Key(pairs) }
        }
        ListKind::Set => Step::Value(element.clone()),
        ListKind::Atomic => Step::Index(index),
    }
}

fn position(list: &[Value], step: &Step) -> Option<usize> {
    match step {
        Step::Index(index) => (*index < list.len()).then_some(*index),
        Step::Value(value) => list.iter().position(|element| element == value),
        // A key that the API server has filled in may be missing in what is wanted.
        Step::Key(pairs) => {
            list.iter().position(|element| pairs.iter().all(|(key, value)| element.get(key).is_none_or(|found| found == value)))
        }
        Step::Field(_) => None,
    }
}

/// Where the field `path` is in `object`.
pub(crate) fn locate(object: &Value, path: &FieldPath) -> Option<Vec<Key>> {
    let mut value = object;
    let mut place = Vec::with_capacity(path.0.len());
    for step in &path.0 {
        let key = match step {
            Step::Field(name) => Key::Field(name.clone()),
            step => Key::Index(position(value.as_array()?, step)?),
        };
        value = at(value, &key)?;
        place.push(key);
    }
    Some(place)
}

pub(crate) fn at<'a>(value: &'a Value, key: &Key) -> Option<&'a Value> {
    match (value, key) {
        (Value::Object(map), Key::Field(name)) => map.get(name),
        (Value::Array(list), Key::Field(name)) => list.get(name.parse::<usize>().ok()?),
        (Value::Array(list), Key::Index(index)) => list.get(*index),
        _ => None,
    }
}

pub(crate) fn at_mut<'a>(value: &'a mut Value, place: &[Key]) -> Option<&'a mut Value> {
    place.iter().try_fold(value, |value, key| match (value, key) {
        (Value::Object(map), Key::Field(name)) => map.get_mut(name),
        (Value::Array(list), Key::Field(name)) => list.get_mut(name.parse::<usize>().ok()?),
        (Value::Array(list), Key::Index(index)) => list.get_mut(*index),
        _ => None,
    })
}

/// Puts a value at a place where there is none: maps on the way to it are made, and an element goes to the end of its list.
pub(crate) fn put(prepared: &mut Value, place: &[Key], value: &Value) {
    let there = (0..place.len()).rev().find(|length| place[..*length].iter().try_fold(&*prepared, |at_it, key| at(at_it, key)).is_some());
    let (parent, missing) = place.split_at(there.unwrap_or_default());
    let Some((first, inner)) = missing.split_first() else { return };
    // From the innermost map outwards.
    let wrapped = inner.iter().rev().try_fold(value.clone(), |value, key| match key {
        Key::Field(name) => Some(Value::Object(Map::from_iter([(name.clone(), value)]))),
        Key::Index(_) => None,
    });
    match (at_mut(prepared, parent), first, wrapped) {
        (Some(Value::Object(map)), Key::Field(name), Some(value)) => drop(map.insert(name.clone(), value)),
        (Some(Value::Array(list)), Key::Index(_), Some(value)) => list.push(value),
        _ => {}
    }
}

/// Takes places away, the last first, so that those before stay where they are. The object itself is none of them.
pub(crate) fn remove_all(object: &mut Value, mut places: Vec<Vec<Key>>) {
    places.retain(|place| !place.is_empty());
    places.sort();
    places.dedup();
    for place in places.iter().rev() {
        let Some((last, parents)) = place.split_last() else { continue };
        match (at_mut(object, parents), last) {
            (Some(Value::Object(map)), Key::Field(name)) => {
                map.remove(name);
            }
            (Some(Value::Array(list)), key) => {
                let index = match key {
                    Key::Index(index) => Some(*index),
                    Key::Field(name) => name.parse().ok(),
                };
                if let Some(index) = index.filter(|index| *index < list.len()) {
                    list.remove(index);
                }
            }
            _ => {}
        }
    }
}
