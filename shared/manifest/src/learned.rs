//! What was found out about a map and all that is in it, kept with the map until somebody may change it: its text, so that what many results
//! share is printed once, and what engines want to remember. Only what is asked for a second time is kept: most maps are printed once and never
//! again. What engines remember is left to them.

use std::any::Any;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// A place for what was found out. A copy of a map begins with an empty one, and so does a map that is borrowed to be changed.
#[derive(Default)]
pub(crate) struct Learned {
    facts: OnceLock<Box<Facts>>,
    /// The questions that were asked, a bit each.
    asked: AtomicU8,
}

#[derive(Default)]
struct Facts {
    text: OnceLock<Printed>,
    engine: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// The text of a map from the first key on, as it is printed that many columns to the right.
struct Printed {
    indent: usize,
    text: Box<str>,
}

/// How many questions engines can tell apart.
pub(crate) const QUESTIONS: u32 = 7;

/// The bit of the question for the text.
const PRINTED: u8 = 1 << QUESTIONS;

impl Learned {
    pub(crate) const fn nothing() -> Self {
        Self { facts: OnceLock::new(), asked: AtomicU8::new(0) }
    }

    /// Forgets everything: the map may change.
    #[inline]
    pub(crate) fn forget(&mut self) {
        if *self.asked.get_mut() > 0 {
            *self = Self::nothing();
        }
    }

    /// Whether the question of this bit was asked before; it is now.
    fn is_asked_again(&self, question: u8) -> bool {
        self.asked.load(Ordering::Relaxed) & question > 0 || self.asked.fetch_or(question, Ordering::Relaxed) & question > 0
    }

    /// The text at this indentation, if it was printed there.
    pub(crate) fn text(&self, indent: usize) -> Option<&str> {
        let printed = self.facts.get()?.text.get()?;
        (printed.indent == indent).then_some(&*printed.text)
    }

    /// Keeps the text, if it was printed before. The first that was kept stays.
    pub(crate) fn keep_text(&self, indent: usize, text: &str) {
        if self.is_asked_again(PRINTED) {
            self.facts.get_or_init(Box::default).text.get_or_init(|| Printed { indent, text: text.into() });
        }
    }

    /// What an engine remembers already. Nothing is asked by this.
    pub(crate) fn recalled<T: Any>(&self) -> Option<&T> {
        self.facts.get()?.engine.get()?.downcast_ref()
    }

    /// What an engine remembers; nothing if it asks this for the first time, or if another engine was here first.
    pub(crate) fn engine<T: Any + Send + Sync + Default>(&self, question: u32) -> Option<&T> {
        if !self.is_asked_again(1 << (question % QUESTIONS)) {
            return None;
        }
        self.facts.get_or_init(Box::default).engine.get_or_init(|| Box::<T>::default()).downcast_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tree, write_yaml, write_yaml_documents_and_keep};
    use serde_json::json;

    #[test]
    fn a_kept_text_is_printed_until_something_in_the_map_changes() {
        let object =
            Tree::from(&json!({"kind": "A", "spec": {"list": [{"name": "a name that is long enough to be kept", "at": 1}], "on": "x"}}));
        let print = |tree: &Tree| {
            let (mut kept, mut plain) = (String::new(), String::new());
            write_yaml_documents_and_keep([tree], &mut kept);
            write_yaml(tree, &mut plain);
            assert_eq!(kept, plain);
            kept
        };
        let text_of = |tree: &Tree| tree.as_map().and_then(|map| map.learned().text(0).map(str::to_owned));
        let mut copy = object.clone();
        assert_eq!(text_of(&copy), None);
        let first = print(&copy);
        assert_eq!(text_of(&copy), None, "it may never be printed again");
        print(&copy);
        assert_eq!(text_of(&object), Some(first.clone()), "it is the same map");
        let spec = copy.get_mut("spec").and_then(|spec| spec.get_mut("list")).and_then(Tree::as_list_mut).expect("a list");
        *spec[0].get_mut("at").expect("a number") = 2.into();
        assert_eq!(text_of(&copy), None);
        assert_ne!(print(&copy), first);
        assert_eq!(print(&object), first);
    }

    #[test]
    fn what_an_engine_asks_again_is_remembered_until_the_map_changes() {
        let mut object = Tree::from(&json!({"a": {"b": 1}}));
        let count = |tree: &Tree, question| {
            tree.as_map().and_then(|map| map.remembered::<OnceLock<u8>>(question).map(|known| *known.get_or_init(|| 7)))
        };
        assert_eq!((count(&object, 0), count(&object, 1)), (None, None));
        assert_eq!((count(&object, 0), count(&object, 1)), (Some(7), Some(7)));
        let is_known =
            |tree: &Tree| tree.as_map().and_then(|map| map.remembered::<OnceLock<u8>>(0)).is_some_and(|known| known.get().is_some());
        assert!(is_known(&object) && object.as_map().is_some_and(|map| map.remembered::<u8>(0).is_none()));
        *object.get_mut("a").expect("a map") = Tree::NULL;
        assert!(!is_known(&object) && !is_known(&object.clone()));
    }
}
