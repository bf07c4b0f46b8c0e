//! One page of a list, read one object at a time: as a tree a page is ten times the size of its text, and of each object only a few words are
//! kept.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::error::ClusterError;

/// What a page says beside its objects.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Page {
    /// The version to watch from.
    #[serde(rename = "resourceVersion")]
    pub(crate) version: String,
    /// How to ask for the next page; empty after the last.
    #[serde(rename = "continue")]
    pub(crate) next: String,
}

/// Reads a page and gives each of its objects to `each`.
pub(crate) fn read_page(text: &str, mut each: impl FnMut(Value)) -> Result<Page, ClusterError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let page = reader.deserialize_map(List(&mut each)).and_then(|page| reader.end().map(|()| page));
    page.map_err(|error| ClusterError::Unreadable(format!("a list: {error}")))
}

struct List<'a>(&'a mut dyn FnMut(Value));

impl<'de> Visitor<'de> for List<'_> {
    type Value = Page;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Page, A::Error> {
        let mut page = Page::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "metadata" => page = map.next_value()?,
                "items" => map.next_value_seed(Items(&mut *self.0))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(page)
    }
}

struct Items<'a>(&'a mut dyn FnMut(Value));

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        // An empty list may be `null`.
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list's items")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element()? {
            (self.0)(item);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<(Page, Vec<Value>), ClusterError> {
        let mut items = Vec::new();
        read_page(text, |item| items.push(item)).map(|page| (page, items))
    }

    #[test]
    fn a_page_gives_its_objects_and_how_to_go_on() {
        let text =
            r#"{"kind":"List","metadata":{"resourceVersion":"7","continue":"abc","remainingItemCount":3},"items":[{"a":1},{"a":2}]}"#;
        let (page, items) = read(text).expect("a list");
        assert_eq!(page, Page { version: "7".into(), next: "abc".into() });
        assert_eq!(items, [json!({"a": 1}), json!({"a": 2})]);
        let (page, items) = read(r#"{"items":null,"metadata":{"resourceVersion":"8"}}"#).expect("an empty list");
        assert_eq!((page.version.as_str(), page.next.as_str(), items.len()), ("8", "", 0));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["", "[]", r#"{"items":[{"a":1}"#, r#"{"items":"x"}"#, r#"{"items":[]} tail"#] {
            assert!(matches!(read(text), Err(ClusterError::Unreadable(_))), "{text}");
        }
    }
}
