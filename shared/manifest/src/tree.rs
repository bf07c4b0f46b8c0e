//! A value that is cheap to copy and keeps its scalars as they were written: copies share every list and map until one of them changes it. The
//! engines that render work on trees; everything after them works on [`Value`]s. Reading and writing YAML is left to `yaml`.

use std::any::Any;
use std::fmt;
use std::ops::Index;
use std::sync::Arc;

use serde_json::{Map, Number, Value};

use crate::learned::Learned;
use crate::yaml::number_of;

/// A text of up to 23 bytes without an allocation; longer ones are shared by their copies.
pub type Text = smol_str::SmolStr;

/// A YAML value. A scalar holds what stands in the source, because kustomize reads it in two ways: as text while it builds (an annotation `1.10`
/// is the text `1.10`), and as a value when it prints. Equality is that of what was written.
#[derive(Debug, Clone)]
pub enum Tree {
    /// Nothing: an empty text, `null` or `~`.
    Null(Text),
    /// `true` or `false`, each also in capitals or with one; kubectl's other words for them are replaced when they are read.
    Bool(Text),
    /// A number that JSON can hold, in any notation of Go's: `0o644`, `1_000`, `1e3`.
    Number(Text),
    /// A date that stands without quotes where kustomize reads; it is printed as RFC 3339 in quotes.
    Date(Text),
    /// Text.
    String(Text),
    /// Text that stands in quotes or in a block in the source. It is text as [`Tree::String`] is and equal to it; only kustomize tells them
    /// apart, which keeps the quotes of a scalar where it sets another one.
    Quoted(Text),
    /// A sequence.
    List(Arc<Vec<Self>>),
    /// A mapping.
    Map(Arc<TreeMap>),
}

static NULL: Tree = Tree::NULL;

impl Tree {
    /// A null that nobody wrote.
    pub const NULL: Self = Self::Null(Text::new_static(""));

    /// An empty map.
    pub fn map() -> Self {
        Self::Map(Arc::default())
    }

    /// A list of `items`.
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(Arc::new(items))
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null(_))
    }

    /// Whether it is text, quoted or not.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::String(_) | Self::Quoted(_))
    }

    /// Whether it is text that stands in quotes or in a block.
    pub fn is_quoted(&self) -> bool {
        matches!(self, Self::Quoted(_))
    }

    /// Whether it is a list.
    pub fn is_list(&self) -> bool {
        matches!(self, Self::List(_))
    }

    /// Whether it is a map.
    pub fn is_map(&self) -> bool {
        matches!(self, Self::Map(_))
    }

    /// The text, if it is text; numbers and booleans are none.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) | Self::Quoted(text) => Some(text),
            _ => None,
        }
    }

    /// What stands in the source, if it is a scalar of any type; a null that nobody wrote is the empty text.
    pub fn written(&self) -> Option<&Text> {
        match self {
            Self::Null(text) | Self::Bool(text) | Self::Number(text) | Self::Date(text) | Self::String(text) | Self::Quoted(text) => {
                Some(text)
            }
            Self::List(_) | Self::Map(_) => None,
        }
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The items to change, if it is a list. Copies keep theirs.
    pub fn as_list_mut(&mut self) -> Option<&mut Vec<Self>> {
        match self {
            Self::List(items) => Some(Arc::make_mut(items)),
            _ => None,
        }
    }

    /// The entries, if it is a map.
    pub fn as_map(&self) -> Option<&TreeMap> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The entries to change, if it is a map. Copies keep theirs.
    pub fn as_map_mut(&mut self) -> Option<&mut TreeMap> {
        match self {
            Self::Map(map) => Some(Arc::make_mut(map)),
            _ => None,
        }
    }

    /// The value of a key, if it is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.get(key)
    }

    /// The value of a key to change. A map without the key stays shared.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        let Self::Map(map) = self else { return None };
        let at = map.find(key).ok()?;
        Some(&mut Arc::make_mut(map).entries_mut()[at].1)
    }

    /// Whether both are equal and have their quotes in the same places.
    pub(crate) fn is_written_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::String(_), Self::Quoted(_)) | (Self::Quoted(_), Self::String(_)) => false,
            (Self::List(a), Self::List(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.is_written_as(b)),
            (Self::Map(a), Self::Map(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|((k, a), (l, b))| k == l && a.is_written_as(b))
            }
            (a, b) => a == b,
        }
    }

    /// Whether both are the same list or map in memory, or equal scalars: a quick way to see that nothing has changed.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(a), Self::List(b)) => Arc::ptr_eq(a, b),
            (Self::Map(a), Self::Map(b)) => Arc::ptr_eq(a, b),
            (a, b) => a == b,
        }
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<Number> {
        match self {
            Self::Number(text) => number_of(text),
            _ => None,
        }
    }

    /// What is printed: numbers and booleans resolved, dates as RFC 3339.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Null(_) => Value::Null,
            Self::Bool(text) => Value::Bool(text.starts_with(['t', 'T'])),
            Self::Number(text) => number_of(text).map_or(Value::Null, Value::Number),
            Self::Date(text) => Value::String(crate::yaml::timestamp_of(text)),
            Self::String(text) | Self::Quoted(text) => Value::String(text.to_string()),
            Self::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Self::Map(map) => Value::Object(map.iter().map(|(key, value)| (key.to_string(), value.to_value())).collect::<Map<_, _>>()),
        }
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::NULL
    }
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null(a), Self::Null(b))
            | (Self::Bool(a), Self::Bool(b))
            | (Self::Number(a), Self::Number(b))
            | (Self::Date(a), Self::Date(b))
            | (Self::String(a) | Self::Quoted(a), Self::String(b) | Self::Quoted(b)) => a == b,
            (Self::List(a), Self::List(b)) => Arc::ptr_eq(a, b) || a == b,
            (Self::Map(a), Self::Map(b)) => Arc::ptr_eq(a, b) || a == b,
            _ => false,
        }
    }
}

/// The value of a key; null if there is none or this is no map.
impl Index<&str> for Tree {
    type Output = Self;

    fn index(&self, key: &str) -> &Self {
        self.get(key).unwrap_or(&NULL)
    }
}

impl From<&Value> for Tree {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null(Text::new_static("null")),
            Value::Bool(claim) => (*claim).into(),
            Value::Number(number) => Self::Number(Text::new(number.to_string())),
            Value::String(text) => text.as_str().into(),
            Value::Array(items) => Self::list(items.iter().map(Self::from).collect()),
            Value::Object(map) => map.iter().map(|(key, value)| (Text::new(key), value.into())).collect(),
        }
    }
}

impl From<bool> for Tree {
    fn from(claim: bool) -> Self {
        Self::Bool(Text::new_static(if claim { "true" } else { "false" }))
    }
}

impl From<i64> for Tree {
    fn from(number: i64) -> Self {
        Self::Number(Text::new(number.to_string()))
    }
}

impl From<&str> for Tree {
    fn from(text: &str) -> Self {
        Self::String(Text::new(text))
    }
}

impl From<String> for Tree {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<Text> for Tree {
    fn from(text: Text) -> Self {
        Self::String(text)
    }
}

impl From<TreeMap> for Tree {
    fn from(map: TreeMap) -> Self {
        Self::Map(Arc::new(map))
    }
}

/// A map; of several values for one key the last counts.
impl FromIterator<(Text, Self)> for Tree {
    fn from_iter<I: IntoIterator<Item = (Text, Self)>>(entries: I) -> Self {
        entries.into_iter().collect::<TreeMap>().into()
    }
}

/// The entries of a map in the order of their keys, by bytes: the order in which kustomize prints them.
#[derive(Default)]
pub struct TreeMap {
    entries: Vec<(Text, Tree)>,
    learned: Learned,
}

impl fmt::Debug for TreeMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Clone for TreeMap {
    fn clone(&self) -> Self {
        Self::of(self.entries.clone())
    }
}

impl PartialEq for TreeMap {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

/// Up to this many entries, looking at each is quicker than halving.
const FEW: usize = 8;

impl TreeMap {
    /// An empty map.
    pub const fn new() -> Self {
        Self::of(Vec::new())
    }

    const fn of(entries: Vec<(Text, Tree)>) -> Self {
        Self { entries, learned: Learned::nothing() }
    }

    /// The entries to change. What is known of them is forgotten.
    fn entries_mut(&mut self) -> &mut Vec<(Text, Tree)> {
        self.learned.forget();
        &mut self.entries
    }

    /// What an engine remembers of this map and all that is in it: an empty `T` at first and again once the map may have changed, whatever has
    /// changed in it. Copies of the map remember for themselves. `None` if something else than a `T` is remembered, and when the question of
    /// this number, below 7, is asked for the first time: what nobody asks again is not worth remembering.
    pub fn remembered<T: Any + Send + Sync + Default>(&self, question: u32) -> Option<&T> {
        self.learned.engine(question)
    }

    /// What an engine remembers of this map by now: as [`TreeMap::remembered`], which is not asked by this.
    pub fn recalled<T: Any>(&self) -> Option<&T> {
        self.learned.recalled()
    }

    pub(crate) fn learned(&self) -> &Learned {
        &self.learned
    }

    /// The map with these entries in any order.
    ///
    /// # Errors
    /// A key that is there twice.
    pub fn from_entries(mut entries: Vec<(Text, Tree)>) -> Result<Self, Text> {
        if !entries.is_sorted_by(|(a, _), (b, _)| a < b) {
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(pair[0].0.clone());
            }
        }
        Ok(Self::of(entries))
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        if self.entries.len() <= FEW {
            for (at, (present, _)) in self.entries.iter().enumerate() {
                match present.as_str().cmp(key) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => return Ok(at),
                    std::cmp::Ordering::Greater => return Err(at),
                }
            }
            return Err(self.entries.len());
        }
        self.entries.binary_search_by(|(present, _)| present.as_str().cmp(key))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a key is set, also to null.
    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_ok()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Tree> {
        self.find(key).ok().map(|at| &self.entries[at].1)
    }

    /// The value of a key to change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Tree> {
        self.find(key).ok().map(|at| &mut self.entries_mut()[at].1)
    }

    /// The value of a key to change; `value` makes the one of a key that is not set.
    pub fn get_or_insert_with(&mut self, key: &str, value: impl FnOnce() -> Tree) -> &mut Tree {
        let at = self.find(key).unwrap_or_else(|at| {
            self.entries.insert(at, (Text::new(key), value()));
            at
        });
        &mut self.entries_mut()[at].1
    }

    /// Sets a key and returns what it was.
    pub fn insert(&mut self, key: Text, value: Tree) -> Option<Tree> {
        match self.find(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.entries_mut()[at].1, value)),
            Err(at) => {
                self.entries_mut().insert(at, (key, value));
                None
            }
        }
    }

    /// Takes a key away and returns what it was.
    pub fn remove(&mut self, key: &str) -> Option<Tree> {
        self.find(key).ok().map(|at| self.entries_mut().remove(at).1)
    }

    /// Keeps the entries that `keep` says yes to; it may change them.
    pub fn retain(&mut self, mut keep: impl FnMut(&Text, &mut Tree) -> bool) {
        self.entries_mut().retain_mut(|(key, value)| keep(key, value));
    }

    /// The entries by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Text, &Tree)> + DoubleEndedIterator {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// The entries by key, the values to change.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&Text, &mut Tree)> {
        self.entries_mut().iter_mut().map(|(key, value)| (&*key, value))
    }

    /// The keys in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Text> {
        self.entries.iter().map(|(key, _)| key)
    }

    /// The values in the order of their keys.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Tree> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// The values to change, in the order of their keys.
    pub fn values_mut(&mut self) -> impl ExactSizeIterator<Item = &mut Tree> {
        self.entries_mut().iter_mut().map(|(_, value)| value)
    }
}

/// Of several values for one key the last counts.
impl FromIterator<(Text, Tree)> for TreeMap {
    fn from_iter<I: IntoIterator<Item = (Text, Tree)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl Extend<(Text, Tree)> for TreeMap {
    fn extend<I: IntoIterator<Item = (Text, Tree)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl IntoIterator for TreeMap {
    type Item = (Text, Tree);
    type IntoIter = std::vec::IntoIter<(Text, Tree)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_copy_keeps_what_the_other_changes_and_shares_the_rest() {
        let original = Tree::from(&json!({"metadata": {"name": "a"}, "spec": {"x": [1, 2]}}));
        let mut copy = original.clone();
        *copy.get_mut("metadata").and_then(|metadata| metadata.get_mut("name")).expect("a name") = "b".into();
        assert_eq!(original["metadata"]["name"].as_str(), Some("a"));
        assert_eq!(copy["metadata"]["name"].as_str(), Some("b"));
        assert!(copy["spec"].is_same(&original["spec"]));
        assert!(!copy["metadata"].is_same(&original["metadata"]));
        assert_eq!(copy.to_value(), json!({"metadata": {"name": "b"}, "spec": {"x": [1, 2]}}));
    }

    #[test]
    fn text_in_quotes_or_in_a_block_is_known_and_equal_to_plain_text() {
        use crate::{YamlBudget, YamlMode, parse_trees};
        let read = |text| {
            let mut documents = parse_trees(text, YamlMode::Kustomize, YamlBudget::MANIFEST).expect("YAML");
            documents.remove(0).tree
        };
        let plain = read("a: x\nb: x\nc: x\nd: !!str x\ne: [x]\n");
        let quoted = read("a: 'x'\nb: \"x\"\nc: |-\n  x\nd: !!str 'x'\ne: ['x']\n");
        assert!(plain["a"].is_text() && matches!(plain["d"], Tree::String(_)));
        assert!(["a", "b", "c", "d"].iter().all(|key| matches!(quoted[*key], Tree::Quoted(_))));
        assert_eq!(plain, quoted);
        assert_eq!(plain.to_value(), quoted.to_value());
        assert!(plain.is_written_as(&plain.clone()) && !plain.is_written_as(&quoted) && !plain["e"].is_written_as(&quoted["e"]));
    }

    #[test]
    fn a_map_is_ordered_by_key_however_it_was_filled() {
        let keys = ["m", "a", "z", "b", "y", "c", "x", "d", "w", "e", "v"];
        let mut map = TreeMap::new();
        for key in keys {
            assert!(map.insert(key.into(), key.into()).is_none());
        }
        let at_once = TreeMap::from_entries(keys.iter().map(|key| ((*key).into(), (*key).into())).collect()).expect("no key twice");
        assert_eq!(map, at_once);
        assert!(map.keys().is_sorted());
        for key in keys {
            assert_eq!(map.get(key).and_then(Tree::as_str), Some(key));
        }
        assert_eq!(map.remove("m").as_ref().and_then(Tree::as_str), Some("m"));
        assert!(!map.contains_key("m") && map.get("n").is_none());
        assert_eq!(
            TreeMap::from_entries(vec![("b".into(), Tree::NULL), ("a".into(), Tree::NULL), ("b".into(), Tree::NULL)]),
            Err("b".into())
        );
    }
}
