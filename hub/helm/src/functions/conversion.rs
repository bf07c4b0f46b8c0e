//! Numbers and texts of any value, by the rules of cast 1.7.0: what cannot be converted is zero.

use hub_gotemplate::fmt::sprint;
use hub_gotemplate::{Call, CallError, Function, List, ListType, Object, Text, Type, Uint, Value};

use super::function;
use super::lists::elements;
use super::numbers::{Unread, parse_float, parse_int};

use Type::{Any, Text as Str};

pub(super) static FUNCTIONS: &[Function] = &[
    function("atoi", &[Str], |_, args| {
        Ok(Value::Int(match parse_int(args.text(0), 10) {
            Ok(number) | Err(Unread::Range(number)) => number,
            Err(Unread::Syntax) => 0,
        }))
    }),
    function("float64", &[Any], |_, args| Ok(Value::Float(to_float(args.any(0))))),
    function("int", &[Any], |_, args| Ok(Value::Int(to_int(args.any(0))))),
    function("int64", &[Any], |_, args| Ok(Value::Int64(to_int(args.any(0))))),
    function("toDecimal", &[Any], |call, args| {
        let text = sprint(args.any(0))?;
        call.spend(text.len())?;
        Ok(Value::Int64(parse_int(&text, 8).unwrap_or(0)))
    }),
    function("toString", &[Any], |call, args| text_of(call, args.any(0)).map(Value::Text)),
    function("toStrings", &[Any], |call, args| match args.any(0) {
        Value::List(list) if list.kind() == ListType::Text => Ok(Value::List(list.clone())),
        other => Ok(List::of_texts(texts_of(call, other)?).into()),
    }),
];

/// `cast.ToInt64`, which on 64 bits is `cast.ToInt` too.
pub(super) fn to_int(value: &Value) -> i64 {
    match value {
        Value::Int(number) | Value::Int64(number) => *number,
        Value::Float(number) => truncated(*number),
        Value::Bool(truth) => (*truth).into(),
        Value::Text(text) => parse_int(without_zero_fraction(text), 0).unwrap_or(0),
        Value::Object(object) if is_number(&**object) => to_int(&object.plain()),
        Value::Nil | Value::List(_) | Value::Map(_) | Value::Object(_) => 0,
    }
}

/// `cast.ToFloat64`.
pub(super) fn to_float(value: &Value) -> f64 {
    match value {
        Value::Int(number) | Value::Int64(number) => *number as f64,
        Value::Float(number) => *number,
        Value::Bool(truth) => (*truth).into(),
        Value::Text(text) => parse_float(text).unwrap_or(0.0),
        Value::Object(object) => match object.as_any().downcast_ref::<Uint>() {
            Some(uint) => uint.number as f64,
            None if is_number(&**object) => to_float(&object.plain()),
            None => 0.0,
        },
        Value::Nil | Value::List(_) | Value::Map(_) => 0.0,
    }
}

/// The named types that cast knows; a `time.Duration` is not among them.
fn is_number(object: &dyn Object) -> bool {
    matches!(object.type_name(), "uint" | "uint8" | "uint16" | "uint32" | "uint64" | "time.Month" | "time.Weekday")
}

/// `int64(number)` as amd64 does it: what does not fit is the smallest number.
pub(super) fn truncated(number: f64) -> i64 {
    /// Two to the power of 63, the first that does not fit.
    const END: f64 = 9_223_372_036_854_775_808.0;
    if (-END..END).contains(&number) { number as i64 } else { i64::MIN }
}

/// `1` of `1.00`.
fn without_zero_fraction(text: &[u8]) -> &[u8] {
    let mut seen_zero = false;
    for (at, byte) in text.iter().enumerate().rev() {
        match byte {
            b'.' if seen_zero => return &text[..at],
            b'.' => {}
            b'0' => seen_zero = true,
            _ => break,
        }
    }
    text
}

/// Sprig's `strval`: a text as it is, everything else as `fmt.Sprint` prints it.
pub(super) fn text_of(call: &mut Call<'_>, value: &Value) -> Result<Text, CallError> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        Value::Object(object) if object.type_name() == "[]uint8" => match object.plain() {
            Value::Text(text) => Ok(text),
            other => Ok(sprint(&other)?),
        },
        other => {
            let text = sprint(other)?;
            call.make(text.len())?;
            Ok(text)
        }
    }
}

/// Sprig's `strslice`: the elements of a list that are not nil as texts, a single text for everything else but nil.
pub(super) fn texts_of(call: &mut Call<'_>, value: &Value) -> Result<Vec<Text>, CallError> {
    if matches!(value, Value::Nil) {
        return Ok(Vec::new());
    }
    let Some(elements) = elements(value) else {
        return Ok(vec![text_of(call, value)?]);
    };
    call.spend(elements.len())?;
    elements.iter().filter(|element| !matches!(element, Value::Nil)).map(|element| text_of(call, element)).collect()
}
