//! Joining two lists by their keys. The order of the result, and what happens to items without keys or with equal ones, is kustomize's own and
//! follows from how it builds the list; this file builds it in the same steps, because users depend on the outcome.

use shared_manifest::{Text, Tree, TreeMap};

use super::schema::{Joined, Kind};
use super::{DIRECTIVE, Directive, Merge, Patch};
use crate::problem::Reason;
use crate::value::{is_item, raw, text};

/// The most items of a joined list: joining compares each with each, and 5,000 items are 25 million comparisons of two short texts.
const JOINED_LIST_LIMIT: usize = 5_000;

/// Items by number, so that one item can stand in several lists and be changed in all of them at once.
struct Items {
    values: Vec<Tree>,
}

impl<'s> Merge<'s> {
    /// Merges a list that is joined. At least one side is a list.
    pub(super) fn walk_joined_list(
        &mut self,
        base: Option<Tree>,
        patch: Patch,
        joined: &'s Joined,
        item: Kind<'s>,
    ) -> Result<Option<Tree>, Reason> {
        let (base, patch) = match (base.filter(|value| !value.is_null()), patch) {
            (Some(_), Patch::Says(Tree::Null(_))) => return Ok(None),
            (None, Patch::Says(said)) => (said, Patch::IsBase),
            (Some(mut base), Patch::IsBase) => match self.list_directive(&mut base)? {
                Directive::Delete => return Ok(None),
                Directive::Merge | Directive::Replace => (base, Patch::IsBase),
            },
            (Some(base), Patch::Says(mut said)) => match self.list_directive(&mut said)? {
                Directive::Delete => return Ok(None),
                Directive::Replace => (said, Patch::IsBase),
                Directive::Merge => (base, Patch::Says(said)),
            },
            (Some(base), Patch::Silent) => (base, Patch::Silent),
            (None, Patch::Silent | Patch::IsBase) => return Ok(None),
        };
        let Tree::List(list) = &base else { return Ok(Some(base)) };
        if matches!(patch, Patch::Silent) && is_in_order(list, joined) {
            return self.walk_items(&base, item);
        }
        let mut items = Items { values: list.to_vec() };
        let base: Vec<usize> = (0..items.values.len()).collect();
        let patch: Option<Vec<usize>> = match patch {
            Patch::IsBase => Some(base.clone()),
            Patch::Says(Tree::List(said)) => {
                items.values.extend(said.iter().cloned());
                Some((base.len()..items.values.len()).collect())
            }
            Patch::Says(_) | Patch::Silent => None,
        };
        if items.values.len() > JOINED_LIST_LIMIT {
            let remedy = "strategic merge joins it item by item; use a JSON patch, or split the resource";
            return Err(Reason::TooMuch { what: "items in one list", limit: JOINED_LIST_LIMIT, remedy });
        }
        self.comparisons += items.values.len() * items.values.len();
        if let Some(said) = patch.as_deref()
            && let [key] = joined.keys.as_slice()
            && is_in_order(&items.values[..base.len()], joined)
            && is_in_order(&items.values[base.len()..], joined)
            && items.values[base.len()..].iter().all(|said| said.get(DIRECTIVE).is_none())
            && !base.is_empty()
        {
            return self.join_orderly(items, base.len(), said, key, item).map(Some);
        }
        let keys: Vec<&str> = if joined.keys.is_empty() { vec![""] } else { joined.keys.iter().map(String::as_str).collect() };
        let order = self.join(&mut items, base, patch.as_deref(), &keys, item)?;
        let mut values: Vec<Option<Tree>> = items.values.into_iter().map(Some).collect();
        // An item stands twice in a list only if it was equal; the second takes a copy of the first.
        let mut list: Vec<Tree> = Vec::with_capacity(order.len());
        let mut placed: Vec<(usize, usize)> = Vec::new();
        for index in order {
            match values[index].take() {
                Some(value) => {
                    placed.push((index, list.len()));
                    list.push(value);
                }
                None => {
                    let at = placed.iter().find(|(known, _)| *known == index).map_or(0, |(_, at)| *at);
                    list.push(list[at].clone());
                }
            }
        }
        Ok(Some(Tree::list(list)))
    }

    /// The items of a list of which none is joined with another, each settled by itself.
    fn walk_items(&mut self, list: &Tree, kind: Kind<'s>) -> Result<Option<Tree>, Reason> {
        let mut settled = list.clone();
        for (index, item) in list.as_list().unwrap_or_default().iter().enumerate() {
            let Some(merged) = self.walk(Some(item.clone()), Patch::Silent, kind)? else { continue };
            if !merged.is_same(item)
                && let Some(items) = settled.as_list_mut()
            {
                items[index] = merged;
            }
        }
        Ok(Some(settled))
    }

    /// What [`Merge::join`] comes to where each item of each side is told apart by one key and nothing is to be replaced or deleted: the items
    /// of the patch, merged with those of their key, and then the others of the base, the first `count` items.
    fn join_orderly(&mut self, mut items: Items, count: usize, patch: &[usize], key: &str, kind: Kind<'s>) -> Result<Tree, Reason> {
        let mut is_merged = vec![false; count];
        let mut order = Vec::with_capacity(items.values.len());
        for said in patch {
            let name = raw(&items.values[*said][key]);
            let base = items.values[..count].iter().position(|item| raw(&item[key]) == name);
            if let Some(base) = base {
                is_merged[base] = true;
            }
            order.extend(self.merge_items(&mut items, base, Some(*said), kind)?);
        }
        for base in (0..count).filter(|base| !is_merged[*base]) {
            order.extend(self.merge_items(&mut items, Some(base), None, kind)?);
        }
        Ok(Tree::list(order.into_iter().map(|index| std::mem::take(&mut items.values[index])).collect()))
    }

    fn join(
        &mut self,
        items: &mut Items,
        mut base: Vec<usize>,
        patch: Option<&[usize]>,
        keys: &[&'s str],
        kind: Kind<'s>,
    ) -> Result<Vec<usize>, Reason> {
        let mut tuples = items.key_tuples(patch.unwrap_or_default(), &base, keys);
        if tuples.is_empty() {
            return Ok(base);
        }
        if keys.len() > 1 {
            complete(&mut tuples);
        }
        let mut added: Vec<usize> = Vec::new();
        let mut valid_keys: Vec<&str> = Vec::new();
        for tuple in &tuples {
            let values: Vec<String>;
            (valid_keys, values) = valid(&tuples, tuple, keys);
            let in_base = items.find(&base, &valid_keys, &values);
            let in_patch = patch.and_then(|patch| items.find(patch, &valid_keys, &values));
            let Some(merged) = self.merge_items(items, in_base, in_patch, kind)? else {
                items.set(&mut base, None, &valid_keys, &values);
                continue;
            };
            let is_missing = |(key, value): &(&&str, &String)| !value.is_empty() && items.values[merged].get(key).is_none();
            let missing: Vec<(Text, Tree)> =
                valid_keys.iter().zip(&values).filter(is_missing).map(|(key, value)| (Text::new(key), scalar(value))).collect();
            if let Some(fields) = items.values[merged].as_map_mut().filter(|_| !missing.is_empty()) {
                fields.extend(missing);
            }
            items.set(&mut added, Some(merged), &valid_keys, &values);
        }
        items.append_all(&mut added, &base, &valid_keys);
        Ok(added)
    }

    /// Merges one item of each side and says which of the two is the result; nothing if the patch deletes it or leaves it empty.
    fn merge_items(
        &mut self,
        items: &mut Items,
        base: Option<usize>,
        patch: Option<usize>,
        kind: Kind<'s>,
    ) -> Result<Option<usize>, Reason> {
        let is_base = base.is_some() && base == patch;
        let directive = match patch.and_then(|index| items.values[index].get(DIRECTIVE)) {
            Some(word) => self.directive_named(word)?,
            None => Directive::Merge,
        };
        let result = match (base, patch) {
            (None, None) => return Ok(None),
            (_, Some(_)) if directive == Directive::Delete => return Ok(None),
            (Some(_), Some(patch)) if directive == Directive::Replace && !is_base => patch,
            (_, Some(patch)) if !crate::value::is_collection(&items.values[patch]) => patch,
            (Some(base), _) => base,
            (None, Some(patch)) => patch,
        };
        let value = std::mem::take(&mut items.values[result]);
        let merged = if Some(result) == patch {
            // Alone, or the same item on both sides: merged with itself.
            self.walk(None, Patch::Says(value), kind)?
        } else {
            let said = match patch {
                Some(patch) => Patch::Says(items.values[patch].clone()),
                None => Patch::Silent,
            };
            self.walk(Some(value), said, kind)?
        };
        let Some(merged) = merged.filter(|merged| !merged.is_null()) else { return Ok(None) };
        let is_empty = merged.as_map().is_some_and(TreeMap::is_empty);
        items.values[result] = merged;
        Ok(Some(result).filter(|_| !is_empty))
    }

    /// Takes the directive out of a list of the patch: an item that says nothing else.
    fn list_directive(&self, patch: &mut Tree) -> Result<Directive, Reason> {
        let item = patch.as_list().and_then(|list| list.iter().find(|item| item.get(DIRECTIVE).is_some()));
        let Some(item) = item.filter(|item| item.as_map().is_some_and(|fields| fields.len() == 1)) else { return Ok(Directive::Merge) };
        let word = item[DIRECTIVE].clone();
        let directive = self.directive_named(&word)?;
        if let Some(list) = patch.as_list_mut() {
            list.retain(|item| item.get(DIRECTIVE).is_none_or(|found| raw(found) != raw(&word)));
        }
        Ok(directive)
    }
}

/// Up to this many items are compared each with each.
const FEW: usize = 16;

/// Whether each item of a list has all keys, with values that no other one has: then joining it with nothing leaves it as it is.
fn is_in_order(list: &[Tree], joined: &Joined) -> bool {
    let has_keys = |item: &Tree| joined.keys.iter().all(|key| item.get(key).is_some_and(|value| !text(value).is_empty()));
    let same = |a: &Tree, b: &Tree| joined.keys.iter().all(|key| raw(&a[key]) == raw(&b[key]));
    !joined.keys.is_empty()
        && list.len() <= FEW
        && list.iter().all(has_keys)
        && (1..list.len()).all(|second| (0..second).all(|first| !same(&list[first], &list[second])))
}

impl Items {
    /// The distinct key tuples, those of the patch first.
    fn key_tuples(&self, patch: &[usize], base: &[usize], keys: &[&str]) -> Vec<Vec<String>> {
        let mut seen = std::collections::BTreeSet::new();
        let mut tuples = Vec::new();
        for index in patch.iter().chain(base) {
            let item = &self.values[*index];
            let tuple: Vec<String> = keys.iter().map(|key| if key.is_empty() { raw(item) } else { text(&item[*key]) }.to_owned()).collect();
            if seen.insert(tuple.clone()) {
                tuples.push(tuple);
            }
        }
        tuples
    }

    /// The first item of `list` with exactly these values in these keys.
    fn find(&self, list: &[usize], keys: &[&str], values: &[String]) -> Option<usize> {
        let (keys, values) = valid(&[values.to_vec()], values, keys);
        list.iter().copied().find(|index| {
            let item = &self.values[*index];
            match keys.first() {
                Some(&"") => raw(item) == values[0],
                _ => item.is_map() && keys.iter().zip(&values).all(|(key, value)| is_item(item, key, value)),
            }
        })
    }

    /// Puts `element` in the place of every item with these values in these keys, or at the end if there is none; without an element the
    /// items go. An empty value asks only that the field is there. Empty items go always. Fewer values than keys ask nothing about the rest;
    /// no values at all keep nothing.
    fn set(&self, list: &mut Vec<usize>, element: Option<usize>, keys: &[&str], values: &[String]) {
        let by_field = keys.first().is_some_and(|key| !key.is_empty()) && values.first().is_some_and(|value| !value.is_empty());
        let mut kept = Vec::with_capacity(list.len() + 1);
        let mut is_placed = false;
        for index in list.iter().copied() {
            let item = &self.values[index];
            if item.is_null() || item.as_map().is_some_and(TreeMap::is_empty) {
                continue;
            }
            if !item.is_map() && by_field {
                kept.push(index);
                continue;
            }
            let mut holds = false;
            let matches = keys.iter().enumerate().all(|(position, key)| {
                if let Some(value) = values.get(position) {
                    holds = if value.is_empty() && !key.is_empty() { item.get(key).is_some() } else { is_item(item, key, value) };
                }
                holds
            });
            match (matches, element) {
                (false, _) if !values.is_empty() => kept.push(index),
                (false, _) | (true, None) => {}
                (true, Some(element)) => {
                    is_placed = true;
                    kept.push(element);
                }
            }
        }
        *list = kept;
        if let Some(element) = element.filter(|element| !is_placed && !self.values[*element].is_null()) {
            list.push(element);
        }
    }

    /// Sets each item of `base` in `list`: the items that were merged stand there already and keep their place.
    fn append_all(&self, list: &mut Vec<usize>, base: &[usize], keys: &[&str]) {
        for index in base.iter().copied() {
            let item = &self.values[index];
            if keys.first().is_none_or(|key| key.is_empty()) {
                self.set(list, Some(index), &[""], &[raw(item).to_owned()]);
                continue;
            }
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                match item.get(key) {
                    Some(value) => values.push(raw(value).to_owned()),
                    None => list.push(index),
                }
            }
            if keys.len() > 1 {
                self.set(list, None, keys, &values);
            }
            self.set(list, Some(index), keys, &values);
        }
    }
}

/// The keys that any tuple has a value for, with this tuple's values; all keys if none has.
fn valid<'k>(tuples: &[Vec<String>], tuple: &[String], keys: &[&'k str]) -> (Vec<&'k str>, Vec<String>) {
    let is_used: Vec<bool> =
        (0..keys.len()).map(|position| tuples.iter().any(|tuple| tuple.get(position).is_some_and(|v| !v.is_empty()))).collect();
    if !is_used.contains(&true) {
        return (keys.to_vec(), tuple.to_vec());
    }
    let used = |position: &usize| is_used[*position];
    let keys = (0..keys.len()).filter(used).map(|position| keys[position]).collect();
    let values =
        (0..tuple.len()).filter(|position| is_used.get(*position) == Some(&true)).map(|position| tuple[position].clone()).collect();
    (keys, values)
}

/// Fills the gaps of tuples that agree in at least one value and contradict each other in none.
fn complete(tuples: &mut [Vec<String>]) {
    for i in 0..tuples.len() {
        let first = tuples[i].clone();
        for j in 0..tuples.len() {
            if let Some(merged) = agree(&first, &tuples[j]) {
                tuples[i].clone_from(&merged);
                tuples[j] = merged;
            }
        }
    }
}

fn agree(a: &[String], b: &[String]) -> Option<Vec<String>> {
    let mut in_common = false;
    let mut merged = Vec::with_capacity(a.len());
    for (x, y) in a.iter().zip(b) {
        in_common |= x == y;
        if x != y && !x.is_empty() && !y.is_empty() {
            return None;
        }
        merged.push(if x.is_empty() { y.clone() } else { x.clone() });
    }
    in_common.then_some(merged)
}

/// A key's value as YAML would read its text.
fn scalar(text: &str) -> Tree {
    if text.parse::<i64>().is_ok() { Tree::Number(text.into()) } else { text.into() }
}
