//! Functions of lists. They take slices of any type and give `[]interface {}`, except where the type is kept, as by `slice`.

use std::borrow::Cow;

use hub_gotemplate::{Args, Call, CallError, Function, List, ListType, Text, Type, Value, is_true, kind_name};

use super::conversion::{text_of, texts_of, to_int};
use super::reflection::deep_equal;
use super::{function, panics, variadic};

use Type::{Any, Int};

pub(super) static FUNCTIONS: &[Function] = &[
    function("append", &[Any, Any], push),
    function("chunk", &[Int, Any], chunk),
    function("compact", &[Any], compact),
    variadic("concat", &[], Any, concat),
    function("first", &[Any], first),
    function("has", &[Any, Any], has),
    function("initial", &[Any], initial),
    function("last", &[Any], last),
    variadic("list", &[], Any, |_, args| Ok(Value::list(args.0.to_vec()))),
    function("mustAppend", &[Any, Any], push),
    function("mustChunk", &[Int, Any], chunk),
    function("mustCompact", &[Any], compact),
    function("mustFirst", &[Any], first),
    function("mustHas", &[Any, Any], has),
    function("mustInitial", &[Any], initial),
    function("mustLast", &[Any], last),
    function("mustPrepend", &[Any, Any], prepend),
    function("mustPush", &[Any, Any], push),
    function("mustRest", &[Any], rest),
    function("mustReverse", &[Any], reverse),
    variadic("mustSlice", &[Any], Any, slice),
    function("mustUniq", &[Any], uniq),
    variadic("mustWithout", &[Any], Any, without),
    function("prepend", &[Any, Any], prepend),
    function("push", &[Any, Any], push),
    function("rest", &[Any], rest),
    function("reverse", &[Any], reverse),
    variadic("slice", &[Any], Any, slice),
    function("sortAlpha", &[Any], sort_alpha),
    variadic("tuple", &[], Any, |_, args| Ok(Value::list(args.0.to_vec()))),
    function("uniq", &[Any], uniq),
    variadic("without", &[Any], Any, without),
];

/// The elements of a slice; `None` if it is none.
pub(super) fn elements(value: &Value) -> Option<Cow<'_, [Value]>> {
    match value {
        Value::List(list) => Some(list.items().into()),
        Value::Object(object) if object.kind() == "slice" => match object.plain() {
            Value::List(list) => Some(list.into_items().into()),
            // A `[]byte` is plain as a text.
            Value::Text(bytes) => Some(bytes.iter().map(|&byte| hub_gotemplate::Uint::value("uint8", byte.into())).collect()),
            _ => None,
        },
        _ => None,
    }
}

/// The elements of the argument at `index`, of which the error says that `what` cannot be done with it.
fn taken<'a>(call: &mut Call<'_>, args: Args<'a>, index: usize, what: &str) -> Result<Cow<'a, [Value]>, CallError> {
    let value = args.any(index);
    match elements(value) {
        Some(elements) => {
            call.spend(elements.len())?;
            Ok(elements)
        }
        None if matches!(value, Value::Nil) => Err(panics::nil_dereference()),
        None => Err(CallError::failed(format!("{what} {}", kind_name(value)))),
    }
}

/// Where Go gives a nil slice. An empty one differs from it by its encoding, which is `[]` and not `null`, and by `deepEqual` only.
pub(super) fn nil_slice(kind: ListType) -> Value {
    List::nil(kind).into()
}

/// A `[]interface {}` of `elements`, which takes memory for as many.
fn list(call: &mut Call<'_>, elements: Vec<Value>) -> Result<Value, CallError> {
    call.make(elements.len().saturating_mul(size_of::<Value>()))?;
    Ok(Value::list(elements))
}

fn push(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let elements = taken(call, args, 0, "Cannot push on type")?;
    list(call, [&elements, std::slice::from_ref(args.any(1))].concat())
}

fn prepend(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let elements = taken(call, args, 0, "Cannot prepend on type")?;
    list(call, [std::slice::from_ref(args.any(1)), &elements].concat())
}

fn first(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    Ok(taken(call, args, 0, "Cannot find first on type")?.first().cloned().unwrap_or_default())
}

fn last(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    Ok(taken(call, args, 0, "Cannot find last on type")?.last().cloned().unwrap_or_default())
}

fn rest(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    match taken(call, args, 0, "Cannot find rest on type")?.split_first() {
        Some((_, rest)) => list(call, rest.to_vec()),
        None => Ok(nil_slice(ListType::Any)),
    }
}

fn initial(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    match taken(call, args, 0, "Cannot find initial on type")?.split_last() {
        Some((_, initial)) => list(call, initial.to_vec()),
        None => Ok(nil_slice(ListType::Any)),
    }
}

fn reverse(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let mut elements = taken(call, args, 0, "Cannot find reverse on type")?.into_owned();
    elements.reverse();
    list(call, elements)
}

fn compact(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let elements = taken(call, args, 0, "Cannot compact on type")?;
    list(call, elements.iter().filter(|element| is_true(element)).cloned().collect())
}

fn uniq(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let mut unique: Vec<Value> = Vec::new();
    for element in taken(call, args, 0, "Cannot find uniq on type")?.iter() {
        if !contains(call, &unique, element)? {
            unique.push(element.clone());
        }
    }
    list(call, unique)
}

fn without(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let mut kept = Vec::new();
    for element in taken(call, args, 0, "Cannot find without on type")?.iter() {
        if !contains(call, args.rest(1), element)? {
            kept.push(element.clone());
        }
    }
    list(call, kept)
}

fn has(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    if matches!(args.any(1), Value::Nil) {
        return Ok(false.into());
    }
    let elements = taken(call, args, 1, "Cannot find has on type")?;
    Ok(contains(call, &elements, args.any(0))?.into())
}

fn contains(call: &mut Call<'_>, elements: &[Value], wanted: &Value) -> Result<bool, CallError> {
    for element in elements {
        if deep_equal(call, element, wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `slice LIST START END`, both of which may be left out. The type of the list is kept; a part of an empty list is nil.
fn slice(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let elements = taken(call, args, 0, "list should be type of slice or array but")?;
    if elements.is_empty() {
        return Ok(Value::Nil);
    }
    let kind = match args.any(0) {
        Value::List(list) => list.kind(),
        _ => ListType::Any,
    };
    let bound = |index: usize, otherwise: i64| args.0.get(index).map_or(otherwise, to_int);
    let bounds = (usize::try_from(bound(1, 0)), usize::try_from(bound(2, elements.len() as i64)));
    let part = if let (Ok(start), Ok(end)) = bounds { elements.get(start..end) } else { None };
    let part = part.ok_or_else(|| CallError::failed("reflect.Value.Slice: slice index out of bounds"))?;
    call.make(part.len().saturating_mul(size_of::<Value>()))?;
    Ok(List::of(kind, part.to_vec()).into())
}

fn concat(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let mut all = Vec::new();
    for value in args.0 {
        match elements(value) {
            Some(elements) => {
                call.spend(elements.len())?;
                call.make(elements.len().saturating_mul(size_of::<Value>()))?;
                all.extend_from_slice(&elements);
            }
            None if matches!(value, Value::Nil) => return Err(panics::nil_dereference()),
            None => return Err(CallError::failed(format!("Cannot concat type {} as list", kind_name(value)))),
        }
    }
    Ok(if all.is_empty() { nil_slice(ListType::Any) } else { Value::list(all) })
}

/// Parts of `size` elements each, and one of what is left over. Where a size below zero gives anything, it is what Go's arithmetic makes of it.
fn chunk(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let elements = taken(call, args, 1, "Cannot chunk type")?;
    let size = args.int(0);
    let parts: Vec<&[Value]> = match (size, elements.len()) {
        (1.., _) => elements.chunks(usize::try_from(size).unwrap_or(usize::MAX)).collect(),
        (..=-2, 1) => vec![&elements],
        (..=-1, length @ 2..) if length as u64 - 1 <= size.unsigned_abs() => Vec::new(),
        _ => return Err(panics::impossible_length()),
    };
    call.make(elements.len().saturating_add(parts.len()).saturating_mul(size_of::<Value>()))?;
    Ok(List::of(ListType::List, parts.into_iter().map(|part| Value::list(part.to_vec())).collect()).into())
}

/// The texts of a list in order, byte by byte; anything else is a single text.
fn sort_alpha(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let value = args.any(0);
    if elements(value).is_none() {
        return Ok(List::of_texts([text_of(call, value)?]).into());
    }
    let mut texts: Vec<Text> = texts_of(call, value)?;
    call.spend(texts.len().saturating_mul(texts.len().max(1).ilog2() as usize))?;
    texts.sort_unstable();
    Ok(List::of_texts(texts).into())
}
