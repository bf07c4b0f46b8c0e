//! What a template computes with: the Go values that JSON, YAML, constants and functions give, with Go's identity. A map is a reference, so
//! that `set` is seen by all who hold it; everything else is a value.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use crate::{CallError, Text, Type};

/// A Go value.
#[derive(Clone, Default)]
pub enum Value {
    /// `nil` in an interface: a null, or what a missing key of a `map[string]interface {}` gives. Printed as an action's result it is
    /// `<no value>`.
    #[default]
    Nil,
    /// `bool`.
    Bool(bool),
    /// `int`.
    Int(i64),
    /// `int64`.
    Int64(i64),
    /// `float64`: every number that was read from JSON or YAML.
    Float(f64),
    /// `string`.
    Text(Text),
    /// A slice.
    List(List),
    /// A map with string keys.
    Map(Map),
    /// A value of another Go type: a struct such as `.Chart`, a named type such as `time.Duration`, a `[]byte`.
    Object(Rc<dyn Object>),
}

/// A value whose type has fields or methods, or prints in its own way.
pub trait Object {
    /// The Go type as `printf "%T"` and `typeOf` print it, such as `*semver.Version`.
    fn type_name(&self) -> &str;

    /// The Go kind as `kindOf` prints it, such as `struct`, `ptr` or `int64`.
    fn kind(&self) -> &'static str;

    /// The field or the method without arguments `name`; `None` if the type has neither.
    fn field(&self, name: &str) -> Option<Result<Value, CallError>>;

    /// The method `name` called with `arguments`; `None` if the type has no such method.
    fn method(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, CallError>>;

    /// What the value is for functions that look inside: the entries of a struct by the names of its JSON form, the number of a
    /// `time.Duration`. Encoders use it, and `range`, `len` and `index` where the kind is a map or a slice.
    fn plain(&self) -> Value;

    /// As `fmt.Sprint` prints it.
    fn print(&self) -> Text;

    /// As an action prints it. Go takes the address of a field there, so that a `String` method of the pointer counts.
    fn show(&self) -> Text {
        self.print()
    }

    /// The types of the parameters of the method `name`. Arguments are checked against them if there are as many.
    fn parameters(&self, _name: &str) -> &'static [Type] {
        &[]
    }

    /// Whether `if` takes it for true.
    fn is_true(&self) -> bool;

    /// For functions that know the type.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// The Go type of a list's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListType {
    /// `[]interface {}`.
    #[default]
    Any,
    /// `[]string`.
    Text,
    /// `[]int`.
    Int,
    /// `[][]interface {}`.
    List,
    /// `[]map[string]interface {}`.
    Map,
}

/// A Go slice. No function of a template changes a slice in place.
#[derive(Clone, Default)]
pub struct List {
    kind: ListType,
    nil: bool,
    items: Rc<Items>,
}

#[derive(Default)]
struct Items(Vec<Value>);

impl List {
    /// A `[]interface {}`.
    pub fn new(items: Vec<Value>) -> Self {
        Self::of(ListType::Any, items)
    }

    /// A `[]string`.
    pub fn of_texts(items: impl IntoIterator<Item = Text>) -> Self {
        Self::of(ListType::Text, items.into_iter().map(Value::Text).collect())
    }

    /// A slice of another type; the items are of it.
    pub fn of(kind: ListType, items: Vec<Value>) -> Self {
        Self { kind, nil: false, items: Rc::new(Items(items)) }
    }

    /// A nil slice: without elements, and encoded as null.
    pub fn nil(kind: ListType) -> Self {
        Self { kind, nil: true, items: Rc::default() }
    }

    /// Whether it is [`List::nil`]. To most functions that is an empty list like others.
    pub fn is_nil(&self) -> bool {
        self.nil
    }

    /// The type of the elements.
    pub fn kind(&self) -> ListType {
        self.kind
    }

    /// The elements.
    pub fn items(&self) -> &[Value] {
        &self.items.0
    }

    /// The elements to take, copied if another list has them too.
    pub fn into_items(self) -> Vec<Value> {
        match Rc::try_unwrap(self.items) {
            Ok(mut items) => std::mem::take(&mut items.0),
            Err(shared) => shared.0.clone(),
        }
    }
}

/// The Go type of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MapType {
    /// `map[string]interface {}`.
    #[default]
    Any,
    /// `map[string]string`.
    Text,
    /// Helm's `common.Values`, a named `map[string]interface {}`.
    Values,
}

/// A Go map with string keys, by reference, in the order in which templates range over it: sorted bytewise.
#[derive(Clone, Default)]
pub struct Map(Rc<MapCell>);

#[derive(Default)]
struct MapCell {
    kind: MapType,
    nil: bool,
    entries: RefCell<BTreeMap<Text, Value>>,
}

impl Map {
    /// A `map[string]interface {}`.
    pub fn new(entries: BTreeMap<Text, Value>) -> Self {
        Self::of(MapType::Any, entries)
    }

    /// A map of another type; the values are of it.
    pub fn of(kind: MapType, entries: BTreeMap<Text, Value>) -> Self {
        Self(Rc::new(MapCell { kind, nil: false, entries: RefCell::new(entries) }))
    }

    /// A nil `map[string]interface {}`: without entries, and encoded as null. Nothing can be set in it.
    pub fn nil() -> Self {
        Self(Rc::new(MapCell { kind: MapType::Any, nil: true, entries: RefCell::default() }))
    }

    /// Whether it is [`Map::nil`]. To most functions that is an empty map like others.
    pub fn is_nil(&self) -> bool {
        self.0.nil
    }

    /// Its type.
    pub fn kind(&self) -> MapType {
        self.0.kind
    }

    /// The value at `key`, if the key is there.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<Value> {
        value_at(&self.0.entries.borrow(), key).cloned()
    }

    /// Sets `key`, for all who hold this map.
    pub fn set(&self, key: Text, value: Value) {
        self.0.entries.borrow_mut().insert(key, value);
    }

    /// Takes `key` away, for all who hold this map.
    pub fn remove(&self, key: &[u8]) -> Option<Value> {
        self.0.entries.borrow_mut().remove(key)
    }

    /// The entries to look at. No template code may run while they are held.
    pub fn entries(&self) -> Ref<'_, BTreeMap<Text, Value>> {
        self.0.entries.borrow()
    }

    /// The entries to change. No template code may run while they are held.
    pub fn entries_mut(&self) -> RefMut<'_, BTreeMap<Text, Value>> {
        self.0.entries.borrow_mut()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.entries.borrow().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.entries.borrow().is_empty()
    }

    /// Whether both are one and the same map.
    pub fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

/// The value at `key`. Short texts are compared faster with each other than with other bytes.
#[inline]
pub(crate) fn value_at<'m>(entries: &'m BTreeMap<Text, Value>, key: &[u8]) -> Option<&'m Value> {
    match Text::inline(key) {
        Some(key) => entries.get(&key),
        None => entries.get(key),
    }
}

/// So many levels of values may drop each other: 32 of at most 512 bytes of stack are 16 KiB.
const SHALLOW: u32 = 32;

// Values in values in values are taken apart one after another: a template can nest a million lists, and letting each drop the next would
// overflow the stack. Only what is deeper than values usually are is worth the detour.
thread_local! {
    static DROP_DEPTH: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
    static DROPPING: RefCell<Option<Vec<Value>>> = const { RefCell::new(None) };
}

/// Drops `values`, of which some hold others.
fn take_apart(values: impl Iterator<Item = Value>) {
    let outermost = DROPPING.with_borrow_mut(|pending| {
        let outermost = pending.is_none();
        pending.get_or_insert_default().extend(values.filter(Value::holds_others));
        outermost
    });
    if outermost {
        while let Some(value) = DROPPING.with_borrow_mut(|pending| pending.as_mut().and_then(Vec::pop)) {
            drop(value);
        }
        DROPPING.set(None);
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        if !self.0.iter().any(Value::holds_others) {
            return;
        }
        let items = std::mem::take(&mut self.0);
        match DROP_DEPTH.get() {
            depth if depth < SHALLOW => {
                DROP_DEPTH.set(depth + 1);
                drop(items);
                DROP_DEPTH.set(depth);
            }
            _ => take_apart(items.into_iter()),
        }
    }
}

impl Drop for MapCell {
    fn drop(&mut self) {
        let entries = self.entries.get_mut();
        if !entries.values().any(Value::holds_others) {
            return;
        }
        let entries = std::mem::take(entries);
        match DROP_DEPTH.get() {
            depth if depth < SHALLOW => {
                DROP_DEPTH.set(depth + 1);
                drop(entries);
                DROP_DEPTH.set(depth);
            }
            _ => take_apart(entries.into_values()),
        }
    }
}

impl Value {
    fn holds_others(&self) -> bool {
        match self {
            Self::List(list) => Rc::strong_count(&list.items) == 1,
            Self::Map(map) => Rc::strong_count(&map.0) == 1,
            _ => false,
        }
    }

    /// A `string`.
    pub fn text(text: impl Into<Text>) -> Self {
        Self::Text(text.into())
    }

    /// A `[]interface {}`.
    pub fn list(items: Vec<Value>) -> Self {
        Self::List(List::new(items))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::text(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::text(value)
    }
}

impl From<Text> for Value {
    fn from(value: Text) -> Self {
        Self::Text(value)
    }
}

impl From<List> for Value {
    fn from(value: List) -> Self {
        Self::List(value)
    }
}

impl From<Map> for Value {
    fn from(value: Map) -> Self {
        Self::Map(value)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Int64(value) => write!(f, "int64({value})"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(value) => write!(f, "{value:?}"),
            Self::List(list) => f.debug_list().entries(list.items()).finish(),
            Self::Map(map) => f.debug_map().entries(map.entries().iter()).finish(),
            Self::Object(object) => write!(f, "{}({})", object.type_name(), object.print()),
        }
    }
}
