//! `eq`, `lt` and their kin.

use std::cmp::Ordering;

use crate::{CallError, Value, fmt, kind_name, type_name};

/// What Go's comparison sees of a value.
enum Basic<'a> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(std::borrow::Cow<'a, [u8]>),
    /// Nil, and what has no basic kind.
    Other,
}

fn basic(value: &Value) -> Basic<'_> {
    match value {
        Value::Bool(truth) => Basic::Bool(*truth),
        Value::Int(number) | Value::Int64(number) => Basic::Int(*number),
        Value::Float(number) => Basic::Float(*number),
        Value::Text(text) => Basic::Text(text.as_bytes().into()),
        Value::Object(object) => match (object.kind(), object.plain()) {
            (kind, Value::Int(number) | Value::Int64(number)) if kind.starts_with("uint") => Basic::Uint(number as u64),
            (kind, Value::Int(number) | Value::Int64(number)) if kind.starts_with("int") => Basic::Int(number),
            ("bool", Value::Bool(truth)) => Basic::Bool(truth),
            ("float64" | "float32", Value::Float(number)) => Basic::Float(number),
            ("string", Value::Text(text)) => Basic::Text(text.to_vec().into()),
            _ => Basic::Other,
        },
        Value::Nil | Value::List(_) | Value::Map(_) => Basic::Other,
    }
}

/// As `eq left right`: whether they are equal, or why they cannot be compared.
pub fn equal(left: &Value, right: &Value) -> Result<bool, CallError> {
    if let (Value::Text(left), Value::Text(right)) = (left, right) {
        return Ok(left == right);
    }
    match (basic(left), basic(right)) {
        (Basic::Bool(left), Basic::Bool(right)) => Ok(left == right),
        (Basic::Int(left), Basic::Int(right)) => Ok(left == right),
        (Basic::Uint(left), Basic::Uint(right)) => Ok(left == right),
        (Basic::Int(signed), Basic::Uint(unsigned)) | (Basic::Uint(unsigned), Basic::Int(signed)) => {
            Ok(u64::try_from(signed) == Ok(unsigned))
        }
        (Basic::Float(left), Basic::Float(right)) => Ok(left == right),
        (Basic::Text(left), Basic::Text(right)) => Ok(left == right),
        (Basic::Other, Basic::Other) => equal_others(left, right),
        _ if matches!(left, Value::Nil) || matches!(right, Value::Nil) => Ok(false),
        _ => Err(incompatible(left, right)),
    }
}

fn equal_others(left: &Value, right: &Value) -> Result<bool, CallError> {
    match (left, right) {
        (Value::Nil, Value::Nil) => return Ok(true),
        // Lists and maps are never nil here.
        (Value::Nil, _) | (_, Value::Nil) => return Ok(false),
        _ => {}
    }
    if kind_name(left) != kind_name(right) {
        let (first, second) = (fmt::sprintf(b"%s", std::slice::from_ref(left))?, fmt::sprint(right)?);
        return Err(CallError::failed(format!("non-comparable types {first}: {}, {}: {second}", type_name(left), type_name(right))));
    }
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => Ok(left.type_name() == right.type_name()
            && (std::rc::Rc::ptr_eq(left, right) || left.kind() != "ptr" && left.print() == right.print())),
        _ => {
            let printed = fmt::sprintf(b"%s", std::slice::from_ref(right))?;
            Err(CallError::failed(format!("non-comparable type {printed}: {}", type_name(right))))
        }
    }
}

/// As `lt left right`, `eq` and `gt` would say together; `None` for numbers that are no numbers.
pub fn compare(left: &Value, right: &Value) -> Result<Option<Ordering>, CallError> {
    match (basic(left), basic(right)) {
        (Basic::Other, _) | (_, Basic::Other) | (Basic::Bool(_), Basic::Bool(_)) => Err(CallError::failed("invalid type for comparison")),
        (Basic::Int(left), Basic::Int(right)) => Ok(Some(left.cmp(&right))),
        (Basic::Uint(left), Basic::Uint(right)) => Ok(Some(left.cmp(&right))),
        (Basic::Int(left), Basic::Uint(right)) => Ok(Some(u64::try_from(left).map_or(Ordering::Less, |left| left.cmp(&right)))),
        (Basic::Uint(left), Basic::Int(right)) => Ok(Some(u64::try_from(right).map_or(Ordering::Greater, |right| left.cmp(&right)))),
        (Basic::Float(left), Basic::Float(right)) => Ok(left.partial_cmp(&right)),
        (Basic::Text(left), Basic::Text(right)) => Ok(Some(left.cmp(&right))),
        _ => Err(incompatible(left, right)),
    }
}

fn incompatible(left: &Value, right: &Value) -> CallError {
    CallError::failed(format!("incompatible types for comparison: {} and {}", type_name(left), type_name(right)))
}
