//! What surrounds each answer: version and kind, and for lists the way to the next page.

use serde::{Deserialize, Serialize};

/// The version of the API that these types are.
pub const API_VERSION: &str = "capstan.dev/v1";

/// Something the API lists: it has a kind, a name in that kind, and a place in the list's order.
pub trait Named {
    /// The kind, as in `Cluster`.
    const KIND: &'static str;

    /// The name by which people ask for it, as in `cluster/gpu-a`.
    fn name(&self) -> String;

    /// Where it stands in a list: lists are in the order of these keys, and a page begins after one.
    fn order(&self) -> String {
        self.name()
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    /// Always [`API_VERSION`].
    pub api_version: String,
    /// The kind of the items with `List` behind it.
    pub kind: String,
    /// The way to the next page.
    #[serde(default)]
    pub metadata: ListMetadata,
    /// The items, in the order of the kind.
    pub items: Vec<T>,
}

/// What is said of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListMetadata {
    /// What to send as `continue` for the next page; absent on the last one. Opaque.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#continue: Option<String>,
}

impl<T: Named> List<T> {
    /// The list of `items`, followed by what `next` names.
    pub fn new(items: Vec<T>, next: Option<String>) -> Self {
        Self { api_version: API_VERSION.to_owned(), kind: format!("{}List", T::KIND), metadata: ListMetadata { r#continue: next }, items }
    }
}

/// One thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct One<T> {
    /// Always [`API_VERSION`].
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its fields.
    #[serde(flatten)]
    pub value: T,
}

impl<T: Named> One<T> {
    /// The answer that holds `value`.
    pub fn new(value: T) -> Self {
        Self { api_version: API_VERSION.to_owned(), kind: T::KIND.to_owned(), value }
    }
}
