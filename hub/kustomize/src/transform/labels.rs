//! `labels` and `commonLabels`: labels on every resource and, if asked for, on selectors and the pod templates they select.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared_manifest::{Text, Tree};

use crate::field_spec::{Applicable, Create, FieldPath, FieldSpecs, Visitor};
use crate::problem::{Fault, Reason};
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::transform::shared::Shared;
use crate::value::{in_quotes_of, map_in, new_text, type_of};

/// The transformer.
pub(crate) struct Labels {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) fields: FieldSpecs,
}

impl Transformer for Labels {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        set_pairs(resources, &self.fields, &self.labels)
    }

    fn looks_at_each_alone(&self) -> bool {
        true
    }
}

/// Sets `pairs` in the maps that `fields` lead to.
pub(super) fn set_pairs(resources: &mut Resources, fields: &FieldSpecs, pairs: &BTreeMap<String, String>) -> Result<(), Fault> {
    if pairs.is_empty() {
        return Ok(());
    }
    resources.look(1 + pairs.len() / 4)?;
    resources.work.write(pairs.iter().map(|(key, text)| key.len() + text.len()).sum::<usize>() * resources.len())?;
    let pairs: Vec<(Text, Tree)> = pairs.iter().map(|(key, text)| (Text::new(key), new_text(Text::new(text)))).collect();
    let mut applicable = Applicable::new(fields);
    for resource in resources.iter_mut(|_| true) {
        let mut set = Set { pairs: &pairs, path: None, added: Vec::new() };
        applicable.visit(&mut resource.value, Create::Map, &mut set)?;
        let added = set.added;
        resource.settle_shared(|key| pairs.binary_search_by(|(set, _)| set.as_str().cmp(key)).is_ok());
        if added.len() > 1 {
            Shared::note(&mut resource.shared, &pairs, added);
        }
    }
    Ok(())
}

struct Set<'p> {
    pairs: &'p [(Text, Tree)],
    /// The way to the map that is visited.
    path: Option<Arc<FieldPath>>,
    /// The places of pairs that maps lacked, with the ways to these.
    added: Vec<(usize, Arc<FieldPath>)>,
}

impl Visitor for Set<'_> {
    fn wants(&self, value: &Tree) -> bool {
        value.as_map().is_none_or(|map| self.pairs.iter().any(|(key, text)| map.get(key) != Some(text)))
    }

    fn enter(&mut self, path: &Arc<FieldPath>) {
        self.path = Some(path.clone());
    }

    fn visit(&mut self, value: &mut Tree) -> Result<(), Reason> {
        let found = type_of(value);
        let Some(map) = map_in(value) else {
            return Err(Reason::WrongType { field: "what labels or annotations are set in".to_owned(), wanted: "a map", found, hint: "" });
        };
        for (place, (key, text)) in self.pairs.iter().enumerate() {
            match map.get(key) {
                Some(old) if old == text => {}
                Some(old) => {
                    let text = in_quotes_of(old, text.clone());
                    map.insert(key.clone(), text);
                }
                None => {
                    map.insert(key.clone(), text.clone());
                    self.added.extend(self.path.clone().map(|path| (place, path)));
                }
            }
        }
        Ok(())
    }
}
