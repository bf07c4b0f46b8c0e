//! Functions and arithmetic: the standard library, and the extensions for texts, sets, base64 and optional values that Flux turns on.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use jiff::{SignedDuration, Timestamp};

use super::run::{Eval, Meter, overflow};
use super::value::Val;
use super::{EvalError, Operator};

/// The most bytes of a text that is computed: as long as the longest object is, and paid for by the step.
const TEXT_LIMIT: usize = 1 << 20;

/// Every function, by its name and how many values it takes (the one it is called on among them).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    ToInt,
    ToUint,
    ToDouble,
    ToText,
    ToBool,
    ToBytes,
    Dyn,
    Type,
    Duration,
    Timestamp,
    CharAt,
    IndexOf,
    LastIndexOf,
    Join,
    LowerAscii,
    UpperAscii,
    Replace,
    Split,
    Substring,
    Trim,
    Reverse,
    SetsContains,
    SetsEquivalent,
    SetsIntersects,
    Base64Encode,
    Base64Decode,
    OptionalOf,
    OptionalNone,
    OptionalOfNonZero,
    OrValue,
    Or,
    HasValue,
    Value,
}

impl Function {
    /// The function `name` (`_.` before it when it is called on a value) of `count` values.
    pub(super) fn find(name: &str, count: usize) -> Option<Self> {
        let takes = |least: usize, most: usize, function: Self| (least..=most).contains(&count).then_some(function);
        match name {
            "size" | "_.size" => takes(1, 1, Self::Size),
            "_.contains" => takes(2, 2, Self::Contains),
            "_.startsWith" => takes(2, 2, Self::StartsWith),
            "_.endsWith" => takes(2, 2, Self::EndsWith),
            "int" => takes(1, 1, Self::ToInt),
            "uint" => takes(1, 1, Self::ToUint),
            "double" => takes(1, 1, Self::ToDouble),
            "string" => takes(1, 1, Self::ToText),
            "bool" => takes(1, 1, Self::ToBool),
            "bytes" => takes(1, 1, Self::ToBytes),
            "dyn" => takes(1, 1, Self::Dyn),
            "type" => takes(1, 1, Self::Type),
            "duration" => takes(1, 1, Self::Duration),
            "timestamp" => takes(1, 1, Self::Timestamp),
            "_.charAt" => takes(2, 2, Self::CharAt),
            "_.indexOf" => takes(2, 3, Self::IndexOf),
            "_.lastIndexOf" => takes(2, 3, Self::LastIndexOf),
            "_.join" => takes(1, 2, Self::Join),
            "_.lowerAscii" => takes(1, 1, Self::LowerAscii),
            "_.upperAscii" => takes(1, 1, Self::UpperAscii),
            "_.replace" => takes(3, 4, Self::Replace),
            "_.split" => takes(2, 3, Self::Split),
            "_.substring" => takes(2, 3, Self::Substring),
            "_.trim" => takes(1, 1, Self::Trim),
            "_.reverse" => takes(1, 1, Self::Reverse),
            "sets.contains" => takes(2, 2, Self::SetsContains),
            "sets.equivalent" => takes(2, 2, Self::SetsEquivalent),
            "sets.intersects" => takes(2, 2, Self::SetsIntersects),
            "base64.encode" => takes(1, 1, Self::Base64Encode),
            "base64.decode" => takes(1, 1, Self::Base64Decode),
            "optional.of" => takes(1, 1, Self::OptionalOf),
            "optional.none" => takes(0, 0, Self::OptionalNone),
            "optional.ofNonZeroValue" => takes(1, 1, Self::OptionalOfNonZero),
            "_.orValue" => takes(2, 2, Self::OrValue),
            "_.or" => takes(2, 2, Self::Or),
            "_.hasValue" => takes(1, 1, Self::HasValue),
            "_.value" => takes(1, 1, Self::Value),
            _ => None,
        }
    }
}

fn no_overload(function: Function, values: &[Val<'_>]) -> EvalError {
    let types: Vec<_> = values.iter().map(Val::type_name).collect();
    EvalError::NoSuchOverload(format!("{function:?}({})", types.join(", ")))
}

pub(super) fn call<'v>(function: Function, values: &[Val<'v>], meter: &mut Meter) -> Eval<'v> {
    let misfit = || no_overload(function, values);
    // What a text costs: the whole of it may be looked at.
    let length: usize = values.iter().filter_map(Val::as_text).map(str::len).sum();
    meter.spend(length / 32)?;
    match (function, values) {
        (Function::Size, [Val::Text(text)]) => Ok(Val::Int(text.as_str().chars().count() as i64)),
        (Function::Size, [Val::Bytes(bytes)]) => Ok(Val::Int(bytes.len() as i64)),
        (Function::Size, [value]) => value.count().map(|count| Val::Int(count as i64)).ok_or_else(misfit),
        (Function::Dyn, [value]) => Ok(value.clone()),
        (Function::Type, [value]) => Ok(Val::Type(value.type_name())),
        (Function::ToInt | Function::ToUint | Function::ToDouble | Function::ToText | Function::ToBool | Function::ToBytes, [value]) => {
            convert(function, value).unwrap_or_else(|| Err(misfit()))
        }
        (Function::Duration, [Val::Duration(_)]) | (Function::Timestamp, [Val::Timestamp(_)]) => Ok(values[0].clone()),
        (Function::Duration, [Val::Text(text)]) => {
            duration(text.as_str()).map(Val::Duration).ok_or_else(|| EvalError::Value("this is no duration".to_owned()))
        }
        (Function::Timestamp, [Val::Text(text)]) => {
            text.as_str().parse().map(Val::Timestamp).map_err(|_| EvalError::Value("this is no timestamp".to_owned()))
        }
        (Function::Timestamp, [Val::Int(seconds)]) => {
            Timestamp::from_second(*seconds).map(Val::Timestamp).map_err(|_| EvalError::Value("timestamp overflow".to_owned()))
        }
        (Function::SetsContains, [a, b]) => subset(b, a, meter)?.map(Val::Bool).ok_or_else(misfit),
        (Function::SetsEquivalent, [a, b]) => {
            let both = subset(a, b, meter)?.zip(subset(b, a, meter)?);
            both.map(|(a, b)| Val::Bool(a && b)).ok_or_else(misfit)
        }
        (Function::SetsIntersects, [a, b]) => {
            let (Some(a), Some(b)) = (a.elements(), b.elements()) else { return Err(misfit()) };
            for a in &a {
                if is_among(a, &b, meter)? {
                    return Ok(Val::Bool(true));
                }
            }
            Ok(Val::Bool(false))
        }
        (Function::Base64Encode, [Val::Bytes(bytes)]) => Ok(Val::text(STANDARD.encode(bytes))),
        (Function::Base64Decode, [Val::Text(text)]) => {
            let decoded = STANDARD.decode(text.as_str()).or_else(|_| STANDARD_NO_PAD.decode(text.as_str()));
            decoded.map(|bytes| Val::Bytes(bytes.into())).map_err(|_| EvalError::Value("illegal base64 data".to_owned()))
        }
        (Function::OptionalNone, []) => Ok(Val::Optional(None)),
        (Function::OptionalOf, [value]) => Ok(Val::Optional(Some(Arc::new(value.clone())))),
        (Function::OptionalOfNonZero, [value]) => Ok(Val::Optional((!is_zero(value)).then(|| Arc::new(value.clone())))),
        (Function::OrValue, [Val::Optional(inner), other]) => Ok(inner.as_ref().map_or_else(|| other.clone(), |inner| (**inner).clone())),
        (Function::Or, [Val::Optional(inner), Val::Optional(other)]) => Ok(Val::Optional(inner.clone().or_else(|| other.clone()))),
        (Function::HasValue, [Val::Optional(inner)]) => Ok(Val::Bool(inner.is_some())),
        (Function::Value, [Val::Optional(inner)]) => {
            inner.as_ref().map(|inner| (**inner).clone()).ok_or_else(|| EvalError::Value("optional.none() dereference".to_owned()))
        }
        (Function::Join, [list, separator @ ..]) => {
            let Some(elements) = list.elements() else { return Err(misfit()) };
            let Some(texts) = elements.iter().map(Val::as_text).collect::<Option<Vec<_>>>() else { return Err(misfit()) };
            let separator = match separator {
                [] => "",
                [separator, ..] => separator.as_text().ok_or_else(misfit)?,
            };
            let length: usize = texts.iter().map(|text| text.len() + separator.len()).sum();
            pay_for(length, meter)?;
            Ok(Val::text(texts.join(separator)))
        }
        (_, [Val::Text(text), rest @ ..]) => on_text(function, text.as_str(), rest, meter)?.ok_or_else(misfit),
        _ => Err(misfit()),
    }
}

/// Pays for a text that is about to be made.
fn pay_for(length: usize, meter: &mut Meter) -> Result<(), EvalError> {
    if length > TEXT_LIMIT {
        return Err(EvalError::Spent);
    }
    meter.spend(1 + length / 32)
}

/// Functions on texts; positions are counted in characters. `None` if the values do not fit.
fn on_text<'v>(function: Function, text: &str, rest: &[Val<'v>], meter: &mut Meter) -> Result<Option<Val<'v>>, EvalError> {
    let out_of_range = || EvalError::Value("index out of range".to_owned());
    let position = |value: &Val<'v>| match value {
        Val::Int(position) => Some(usize::try_from(*position).map_err(|_| out_of_range())),
        _ => None,
    };
    Ok(Some(match (function, rest) {
        (Function::Contains, [Val::Text(part)]) => Val::Bool(text.contains(part.as_str())),
        (Function::StartsWith, [Val::Text(start)]) => Val::Bool(text.starts_with(start.as_str())),
        (Function::EndsWith, [Val::Text(end)]) => Val::Bool(text.ends_with(end.as_str())),
        (Function::LowerAscii, []) => Val::text(text.to_ascii_lowercase()),
        (Function::UpperAscii, []) => Val::text(text.to_ascii_uppercase()),
        (Function::Trim, []) => Val::text(text.trim()),
        (Function::Reverse, []) => Val::text(text.chars().rev().collect::<String>()),
        (Function::CharAt, [at]) => {
            let Some(at) = position(at).transpose()? else { return Ok(None) };
            if at > text.chars().count() {
                return Err(out_of_range());
            }
            Val::text(text.chars().nth(at).map_or(String::new(), String::from))
        }
        (Function::IndexOf | Function::LastIndexOf, [Val::Text(part), from @ ..]) => {
            let count = text.chars().count();
            let from = match from {
                [] => None,
                [from, ..] => Some(match position(from) {
                    Some(from) => from?,
                    None => return Ok(None),
                }),
            };
            if from.is_some_and(|from| from > count) {
                return Ok(Some(Val::Int(-1)));
            }
            let byte = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
            let found = if function == Function::IndexOf {
                let start = byte(from.unwrap_or(0));
                text[start..].find(part.as_str()).map(|at| start + at)
            } else {
                let last = from.map_or(text.len(), byte);
                text.rmatch_indices(part.as_str()).map(|(at, _)| at).find(|at| *at <= last)
            };
            Val::Int(found.map_or(-1, |at| text[..at].chars().count() as i64))
        }
        (Function::Substring, [from, to @ ..]) => {
            let count = text.chars().count();
            let Some(from) = position(from).transpose()? else { return Ok(None) };
            let to = match to {
                [] => count,
                [to, ..] => match position(to) {
                    Some(to) => to?,
                    None => return Ok(None),
                },
            };
            if from > to || to > count {
                return Err(out_of_range());
            }
            Val::text(text.chars().skip(from).take(to - from).collect::<String>())
        }
        (Function::Replace, [Val::Text(old), Val::Text(new), limit @ ..]) => {
            let limit = match limit {
                [] => usize::MAX,
                [Val::Int(limit)] => usize::try_from(*limit).unwrap_or(usize::MAX),
                _ => return Ok(None),
            };
            let count = text.matches(old.as_str()).count().min(limit);
            pay_for(text.len() + count.saturating_mul(new.as_str().len()), meter)?;
            Val::text(text.replacen(old.as_str(), new.as_str(), limit))
        }
        (Function::Split, [Val::Text(separator), limit @ ..]) => {
            let limit = match limit {
                [] => usize::MAX,
                [Val::Int(limit)] => usize::try_from(*limit).unwrap_or(usize::MAX),
                _ => return Ok(None),
            };
            pay_for(text.len().saturating_mul(8), meter)?;
            let parts: Vec<Val<'v>> = if limit == 0 {
                Vec::new()
            } else if separator.as_str().is_empty() {
                characters(text, limit)
            } else {
                text.splitn(limit, separator.as_str()).map(Val::text).collect()
            };
            Val::List(Arc::new(parts))
        }
        _ => return Ok(None),
    }))
}

/// The characters of a text, the last of `limit` parts with the rest.
fn characters<'v>(text: &str, limit: usize) -> Vec<Val<'v>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if parts.len() + 1 == limit { rest.len() } else { first.len_utf8() };
        parts.push(Val::text(&rest[..end]));
        rest = &rest[end..];
    }
    parts
}

fn is_among<'v>(value: &Val<'v>, list: &[Val<'v>], meter: &mut Meter) -> Result<bool, EvalError> {
    for element in list {
        if element.equals(value, meter)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether all elements of `a` are in `b`; `None` if one of the two is no list.
fn subset<'v>(a: &Val<'v>, b: &Val<'v>, meter: &mut Meter) -> Result<Option<bool>, EvalError> {
    let (Some(a), Some(b)) = (a.elements(), b.elements()) else { return Ok(None) };
    for element in &a {
        if !is_among(element, &b, meter)? {
            return Ok(Some(false));
        }
    }
    Ok(Some(true))
}

fn is_zero(value: &Val<'_>) -> bool {
    match value {
        Val::Null | Val::Bool(false) | Val::Int(0) | Val::Uint(0) | Val::Optional(None) => true,
        Val::Double(value) => *value == 0.0,
        Val::Text(text) => text.as_str().is_empty(),
        Val::Bytes(bytes) => bytes.is_empty(),
        Val::Duration(duration) => duration.is_zero(),
        value => value.count() == Some(0),
    }
}

/// A conversion; `None` if there is none between these types.
fn convert<'v>(function: Function, value: &Val<'v>) -> Option<Eval<'v>> {
    let range = || EvalError::Value("range error".to_owned());
    let unreadable = |what: &str| EvalError::Value(format!("this text is no {what}"));
    Some(match (function, value) {
        (Function::ToInt, Val::Int(_))
        | (Function::ToUint, Val::Uint(_))
        | (Function::ToDouble, Val::Double(_))
        | (Function::ToText, Val::Text(_))
        | (Function::ToBool, Val::Bool(_))
        | (Function::ToBytes, Val::Bytes(_)) => Ok(value.clone()),
        (Function::ToInt, Val::Uint(value)) => i64::try_from(*value).map(Val::Int).map_err(|_| range()),
        (Function::ToInt, Val::Double(value)) => {
            (*value > -9.223_372_036_854_776e18 && *value < 9.223_372_036_854_776e18).then_some(Val::Int(*value as i64)).ok_or_else(range)
        }
        (Function::ToInt, Val::Text(text)) => text.as_str().parse().map(Val::Int).map_err(|_| unreadable("int")),
        (Function::ToInt, Val::Timestamp(time)) => Ok(Val::Int(time.as_second())),
        (Function::ToInt, Val::Duration(duration)) => i64::try_from(duration.as_nanos()).map(Val::Int).map_err(|_| range()),
        (Function::ToUint, Val::Int(value)) => u64::try_from(*value).map(Val::Uint).map_err(|_| range()),
        (Function::ToUint, Val::Double(value)) => {
            (*value >= 0.0 && *value < 1.844_674_407_370_955_2e19).then_some(Val::Uint(*value as u64)).ok_or_else(range)
        }
        (Function::ToUint, Val::Text(text)) => text.as_str().parse().map(Val::Uint).map_err(|_| unreadable("uint")),
        (Function::ToDouble, Val::Int(value)) => Ok(Val::Double(*value as f64)),
        (Function::ToDouble, Val::Uint(value)) => Ok(Val::Double(*value as f64)),
        (Function::ToDouble, Val::Text(text)) => text.as_str().parse().map(Val::Double).map_err(|_| unreadable("double")),
        (Function::ToText, Val::Bytes(bytes)) => {
            String::from_utf8(bytes.to_vec()).map(Val::text).map_err(|_| EvalError::Value("invalid UTF-8 in bytes".to_owned()))
        }
        (Function::ToText, value) => plain(value).map(|text| Ok(Val::text(text)))?,
        (Function::ToBool, Val::Text(text)) => match text.as_str() {
            "1" | "t" | "true" | "TRUE" | "True" => Ok(Val::Bool(true)),
            "0" | "f" | "false" | "FALSE" | "False" => Ok(Val::Bool(false)),
            _ => Err(unreadable("bool")),
        },
        (Function::ToBytes, Val::Text(text)) => Ok(Val::Bytes(text.as_str().as_bytes().into())),
        _ => return None,
    })
}

/// A value as text, if it has one.
pub(super) fn plain(value: &Val<'_>) -> Option<String> {
    Some(match value {
        Val::Text(text) => text.as_str().to_owned(),
        Val::Bool(value) => value.to_string(),
        Val::Int(value) => value.to_string(),
        Val::Uint(value) => value.to_string(),
        Val::Double(value) => double_text(*value),
        Val::Timestamp(time) => time.to_string(),
        Val::Duration(duration) => format!("{}s", double_text(duration.as_secs_f64())),
        _ => return None,
    })
}

/// A double as Go's `strconv` writes it in the shortest way (`g`: with an exponent from a million on).
fn double_text(value: f64) -> String {
    let magnitude = value.abs();
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        format!("{mantissa}e{sign}{digits:0>2}")
    } else {
        value.to_string()
    }
}

/// A duration as Go writes it: `1h30m`, `-1.5s`, `100ms`.
fn duration(text: &str) -> Option<SignedDuration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    let mut nanos = 0_i128;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).filter(|end| (1..=30).contains(end))?;
        let (number, after) = rest.split_at(end);
        let units = [
            ("ns", 1_i128),
            ("us", 1_000),
            ("µs", 1_000),
            ("μs", 1_000),
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
            ("m", 60_000_000_000),
            ("h", 3_600_000_000_000),
        ];
        let (unit, factor) =
            units.into_iter().find(|(unit, _)| after.strip_prefix(unit).is_some_and(|rest| !rest.starts_with(char::is_alphabetic)))?;
        rest = &after[unit.len()..];
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        nanos = nanos.checked_add(whole.checked_mul(factor)?)?;
        let fraction = &fraction[..fraction.len().min(15)];
        if !fraction.is_empty() {
            nanos = nanos.checked_add(fraction.parse::<i128>().ok()?.checked_mul(factor)? / 10_i128.pow(fraction.len() as u32))?;
        }
    }
    // Go counts nanoseconds in 64 bits.
    i64::try_from(if negative { -nanos } else { nanos }).ok().map(SignedDuration::from_nanos)
}

pub(super) fn calculate<'v>(operator: Operator, a: &Val<'v>, b: &Val<'v>, meter: &mut Meter) -> Eval<'v> {
    use Operator::{Add, Divide, Multiply, Remainder, Subtract};
    let misfit = || EvalError::NoSuchOverload(format!("{operator:?} of {} and {}", a.type_name(), b.type_name()));
    let zero = |remainder: bool| EvalError::Value(if remainder { "modulus by zero" } else { "division by zero" }.to_owned());
    match (a, b) {
        (Val::Int(_), Val::Int(0)) | (Val::Uint(_), Val::Uint(0)) if matches!(operator, Divide | Remainder) => {
            Err(zero(operator == Remainder))
        }
        (Val::Int(a), Val::Int(b)) => match operator {
            Add => a.checked_add(*b),
            Subtract => a.checked_sub(*b),
            Multiply => a.checked_mul(*b),
            Divide => a.checked_div(*b),
            _ => a.checked_rem(*b),
        }
        .map(Val::Int)
        .ok_or_else(overflow),
        (Val::Uint(a), Val::Uint(b)) => match operator {
            Add => a.checked_add(*b),
            Subtract => a.checked_sub(*b),
            Multiply => a.checked_mul(*b),
            Divide => a.checked_div(*b),
            _ => a.checked_rem(*b),
        }
        .map(Val::Uint)
        .ok_or_else(overflow),
        (Val::Double(a), Val::Double(b)) => Ok(Val::Double(match operator {
            Add => a + b,
            Subtract => a - b,
            Multiply => a * b,
            Divide => a / b,
            _ => return Err(misfit()),
        })),
        (Val::Text(a), Val::Text(b)) if operator == Add => {
            pay_for(a.as_str().len() + b.as_str().len(), meter)?;
            Ok(Val::text([a.as_str(), b.as_str()].concat()))
        }
        (Val::Bytes(a), Val::Bytes(b)) if operator == Add => {
            pay_for(a.len() + b.len(), meter)?;
            Ok(Val::Bytes([&**a, &**b].concat().into()))
        }
        (a, b) if operator == Add && a.is_list() && b.is_list() => {
            meter.spend(a.count().unwrap_or(0) + b.count().unwrap_or(0))?;
            let mut list = a.elements().unwrap_or_default();
            list.extend(b.elements().unwrap_or_default());
            Ok(Val::List(Arc::new(list)))
        }
        (Val::Duration(a), Val::Duration(b)) if matches!(operator, Add | Subtract) => {
            let sum = if operator == Add { a.checked_add(*b) } else { a.checked_sub(*b) };
            sum.map(Val::Duration).ok_or_else(overflow)
        }
        (Val::Timestamp(time), Val::Duration(by)) if matches!(operator, Add | Subtract) => {
            let moved = if operator == Add { time.checked_add(*by) } else { time.checked_sub(*by) };
            moved.map(Val::Timestamp).map_err(|_| overflow())
        }
        (Val::Duration(by), Val::Timestamp(time)) if operator == Add => time.checked_add(*by).map(Val::Timestamp).map_err(|_| overflow()),
        (Val::Timestamp(a), Val::Timestamp(b)) if operator == Subtract => Ok(Val::Duration(a.duration_since(*b))),
        _ => Err(misfit()),
    }
}
