//! Merging of maps by the rules of mergo 1.0.1, as `merge` and `mergeOverwrite` have them. Maps within the first map are changed in place;
//! whatever else comes from another map is shared with it, not copied.

use hub_gotemplate::{Call, CallError, Map, MapType, Text, Value, is_true};

use super::dicts::ENTRY;
use super::{DEEPEST, panics};

/// Which values of the first map give way to those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overwrite {
    /// Those that are empty, and only to values that are not nil.
    Empty,
    /// All, also to values that are empty or nil; but maps are merged with maps.
    Always,
}

/// Merges `from` into `into`.
pub(super) fn merge(call: &mut Call<'_>, into: &Map, from: &Map, overwrite: Overwrite) -> Result<(), CallError> {
    merge_within(call, into, from, overwrite, DEEPEST)
}

fn merge_within(call: &mut Call<'_>, into: &Map, from: &Map, overwrite: Overwrite, depth: u32) -> Result<(), CallError> {
    let depth = depth.checked_sub(1).ok_or_else(panics::too_deep)?;
    call.spend(from.len().saturating_mul(ENTRY))?;
    // A map can be merged into itself or into one that it contains.
    let incoming: Vec<(Text, Value)> = from.entries().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for (key, value) in incoming {
        let present = into.get(&key);
        if let (Value::Map(from), Some(Value::Map(into))) = (&value, &present) {
            merge_within(call, into, from, overwrite, depth)?;
            if !into.is_empty() {
                continue;
            }
        }
        let gives_way = match overwrite {
            Overwrite::Always => true,
            Overwrite::Empty => !matches!(value, Value::Nil) && present.is_none_or(|present| !is_true(&present)),
        };
        if gives_way {
            put(into, key, value, from.kind())?;
        }
    }
    Ok(())
}

fn put(into: &Map, key: Text, value: Value, from: MapType) -> Result<(), CallError> {
    if into.kind() == MapType::Text && from != MapType::Text {
        // What comes from a map of anything is an interface to Go, whatever it holds.
        return Err(CallError::failed("reflect.Value.SetMapIndex: value of type interface {} is not assignable to type string"));
    }
    into.set(key, value);
    Ok(())
}
