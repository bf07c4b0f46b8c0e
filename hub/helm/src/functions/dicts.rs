//! Functions of maps, most of which look at them or change them in place.

use std::collections::BTreeMap;

use hub_gotemplate::{Args, Call, CallError, Function, List, Map, MapType, Text, Type, Value, type_name};

use super::conversion::text_of;
use super::merge::{Overwrite, merge};
use super::{DEEPEST, function, panics, variadic};

use Type::{Any, Map as Dict, Text as Str};

pub(super) static FUNCTIONS: &[Function] = &[
    function("deepCopy", &[Any], deep_copy),
    variadic("dict", &[], Any, dict),
    variadic("dig", &[], Any, dig),
    function("get", &[Dict, Str], |_, args| Ok(args.map(0).get(args.text(1)).unwrap_or_else(|| "".into()))),
    function("hasKey", &[Dict, Str], |_, args| Ok(args.map(0).entries().contains_key(args.text(1).as_bytes()).into())),
    variadic("keys", &[], Dict, keys),
    variadic("merge", &[Dict], Dict, |call, args| merged(call, args, Overwrite::Empty)),
    variadic("mergeOverwrite", &[Dict], Dict, |call, args| merged(call, args, Overwrite::Always)),
    function("mustDeepCopy", &[Any], deep_copy),
    variadic("mustMerge", &[Dict], Dict, |call, args| merged(call, args, Overwrite::Empty)),
    variadic("mustMergeOverwrite", &[Dict], Dict, |call, args| merged(call, args, Overwrite::Always)),
    variadic("omit", &[Dict], Str, omit),
    variadic("pick", &[Dict], Str, pick),
    variadic("pluck", &[Str], Dict, |_, args| {
        let found = (1..args.0.len()).filter_map(|index| args.map(index).get(args.text(0)));
        Ok(Value::list(found.collect()))
    }),
    function("set", &[Dict, Str, Any], |call, args| {
        if args.map(0).is_nil() {
            return Err(CallError::failed("assignment to entry in nil map"));
        }
        call.spend(ENTRY)?;
        args.map(0).set(args.text(1).clone(), args.any(2).clone());
        Ok(args.any(0).clone())
    }),
    function("unset", &[Dict, Str], |_, args| {
        args.map(0).remove(args.text(1));
        Ok(args.any(0).clone())
    }),
    function("values", &[Dict], |call, args| {
        call.make(args.map(0).len().saturating_mul(size_of::<Value>()))?;
        Ok(Value::list(args.map(0).entries().values().cloned().collect()))
    }),
];

/// Steps for an entry that is copied or put into a map: it takes memory and has to find its place, which is as long as a dozen empty nodes.
pub(super) const ENTRY: usize = 12;

/// A map of keys and values in turn. A key without value has the empty text.
fn dict(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let mut entries = BTreeMap::new();
    for pair in args.0.chunks(2) {
        let key = text_of(call, &pair[0])?;
        entries.insert(key, pair.get(1).cloned().unwrap_or_else(|| "".into()));
    }
    Ok(Map::new(entries).into())
}

/// `dig KEY... DEFAULT MAP`: the value at the path of keys, or the default where a key is missing.
fn dig(_: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let [path @ .., otherwise, top] = args.0 else {
        return Err(CallError::failed("dig needs at least three arguments"));
    };
    if path.is_empty() {
        return Err(CallError::failed("dig needs at least three arguments"));
    }
    let mut found = plain_map(top)?.clone();
    let keys = path.iter().map(|key| match key {
        Value::Text(key) => Ok(key),
        other => Err(panics::conversion(&asserted(other), "string")),
    });
    let keys = keys.collect::<Result<Vec<&Text>, CallError>>()?;
    let last = keys.len() - 1;
    for (index, key) in keys.into_iter().enumerate() {
        let Some(value) = found.get(key) else { return Ok(otherwise.clone()) };
        if index == last {
            return Ok(value);
        }
        found = plain_map(&value)?.clone();
    }
    Ok(otherwise.clone())
}

/// The value as a `map[string]interface {}`, which is the one type that `dig` goes through: not `.Values` itself, for example.
fn plain_map(value: &Value) -> Result<&Map, CallError> {
    match value {
        Value::Map(map) if map.kind() == MapType::Any => Ok(map),
        other => Err(panics::conversion(&asserted(other), "map[string]interface {}")),
    }
}

fn asserted(value: &Value) -> String {
    if matches!(value, Value::Nil) { "nil".into() } else { type_name(value).into_owned() }
}

fn keys(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let mut keys = Vec::new();
    for index in 0..args.0.len() {
        call.make(args.map(index).len().saturating_mul(size_of::<Value>()))?;
        keys.extend(args.map(index).entries().keys().cloned());
    }
    Ok(List::of_texts(keys).into())
}

/// A new map of the entries with the keys given.
fn pick(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let keys = (1..args.0.len()).map(|index| args.text(index));
    let picked: BTreeMap<Text, Value> = keys.filter_map(|key| Some((key.clone(), args.map(0).get(key)?))).collect();
    spend_copies(call, picked.len(), size_of::<(Text, Value)>())?;
    Ok(Map::new(picked).into())
}

/// A new map of the entries but those with the keys given.
fn omit(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    spend_copies(call, args.map(0).len(), size_of::<(Text, Value)>())?;
    let mut kept = args.map(0).entries().clone();
    for index in 1..args.0.len() {
        kept.remove(args.text(index));
    }
    Ok(Map::new(kept).into())
}

/// All further maps merged into the first, one after another.
fn merged(call: &mut Call<'_>, args: Args<'_>, overwrite: Overwrite) -> Result<Value, CallError> {
    for index in 1..args.0.len() {
        merge(call, args.map(0), args.map(index), overwrite)?;
    }
    Ok(args.any(0).clone())
}

fn deep_copy(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    match args.any(0) {
        Value::Nil => Err(CallError::failed("reflect: call of reflect.Value.Type on zero Value")),
        value => copied(call, value, DEEPEST),
    }
}

fn copied(call: &mut Call<'_>, value: &Value, depth: u32) -> Result<Value, CallError> {
    let within = |depth: u32| depth.checked_sub(1).ok_or_else(panics::too_deep);
    match value {
        Value::List(list) => {
            let depth = within(depth)?;
            spend_copies(call, list.items().len(), size_of::<Value>())?;
            let items = list.items().iter().map(|item| copied(call, item, depth)).collect::<Result<_, _>>()?;
            Ok(List::of(list.kind(), items).into())
        }
        Value::Map(map) => {
            let depth = within(depth)?;
            spend_copies(call, map.len(), size_of::<(Text, Value)>())?;
            let entries = map.entries();
            let entries = entries.iter().map(|(key, value)| Ok((key.clone(), copied(call, value, depth)?)));
            Ok(Map::of(map.kind(), entries.collect::<Result<_, CallError>>()?).into())
        }
        other => Ok(other.clone()),
    }
}

fn spend_copies(call: &mut Call<'_>, count: usize, size: usize) -> Result<(), CallError> {
    call.spend(count.saturating_mul(ENTRY))?;
    call.make(count.saturating_mul(size))
}
