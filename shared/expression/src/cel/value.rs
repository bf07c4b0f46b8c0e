//! Values while an expression is evaluated. What stands in the object is borrowed from it; only what is computed is made.

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::run::Meter;
use super::{EvalError, Literal};

#[derive(Debug, Clone)]
pub(super) enum Val<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Str<'v>),
    Bytes(Arc<[u8]>),
    /// A list or map of the object.
    Json(&'v Value),
    List(Arc<Vec<Val<'v>>>),
    Map(Arc<Vec<(Val<'v>, Val<'v>)>>),
    Timestamp(Timestamp),
    Duration(SignedDuration),
    Type(&'static str),
    Optional(Option<Arc<Val<'v>>>),
}

#[derive(Debug, Clone)]
pub(super) enum Str<'v> {
    Borrowed(&'v str),
    Owned(Arc<str>),
}

impl Str<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
        }
    }
}

impl<'v> Val<'v> {
    pub(super) fn of(value: &'v Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => number.as_i64().map_or_else(|| Self::Double(number.as_f64().unwrap_or(f64::NAN)), Self::Int),
            Value::String(text) => Self::Text(Str::Borrowed(text)),
            Value::Array(_) | Value::Object(_) => Self::Json(value),
        }
    }

    pub(super) fn literal(literal: &Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Int(value) => Self::Int(*value),
            Literal::Uint(value) => Self::Uint(*value),
            Literal::Double(value) => Self::Double(*value),
            Literal::Text(text) => Self::Text(Str::Owned(text.clone())),
            Literal::Bytes(bytes) => Self::Bytes(bytes.clone()),
        }
    }

    pub(super) fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(Str::Owned(text.into()))
    }

    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Json(Value::Array(_)) | Self::List(_) => "list",
            Self::Json(_) | Self::Map(_) => "map",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Type(_) => "type",
            Self::Optional(_) => "optional_type",
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    pub(super) fn elements(&self) -> Option<Vec<Val<'v>>> {
        match self {
            Self::Json(Value::Array(list)) => Some(list.iter().map(Val::of).collect()),
            Self::List(list) => Some(list.to_vec()),
            _ => None,
        }
    }

    /// Keys and values, if it is a map.
    pub(super) fn entries(&self) -> Option<Vec<(Val<'v>, Val<'v>)>> {
        match self {
            Self::Json(Value::Object(map)) => {
                Some(map.iter().map(|(key, value)| (Val::Text(Str::Borrowed(key)), Val::of(value))).collect())
            }
            Self::Map(map) => Some(map.to_vec()),
            _ => None,
        }
    }

    /// The number of elements or entries, if it is a list or map.
    pub(super) fn count(&self) -> Option<usize> {
        match self {
            Self::Json(Value::Array(list)) => Some(list.len()),
            Self::Json(Value::Object(map)) => Some(map.len()),
            Self::List(list) => Some(list.len()),
            Self::Map(map) => Some(map.len()),
            _ => None,
        }
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self, Self::Json(Value::Array(_)) | Self::List(_))
    }

    /// The value under `key` of a map; an error if it is none.
    pub(super) fn entry(&self, key: &Val<'v>, meter: &mut Meter) -> Result<Option<Val<'v>>, EvalError> {
        match (self, key) {
            (Self::Json(Value::Object(map)), Self::Text(key)) => Ok(map.get(key.as_str()).map(Val::of)),
            (Self::Json(Value::Object(_)), _) => Ok(None),
            (Self::Map(map), key) => {
                for (known, value) in map.iter() {
                    if known.equals(key, meter)? {
                        return Ok(Some(value.clone()));
                    }
                }
                Ok(None)
            }
            _ => Err(EvalError::NoSuchOverload(format!("a field of {}", self.type_name()))),
        }
    }

    /// Numbers of all types are equal by value; values of different types are unequal.
    pub(super) fn equals(&self, other: &Val<'v>, meter: &mut Meter) -> Result<bool, EvalError> {
        meter.spend(1)?;
        if let Some(order) = compare_numbers(self, other) {
            return Ok(order == Some(Ordering::Equal));
        }
        Ok(match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => {
                meter.spend(a.as_str().len().min(b.as_str().len()) / 64)?;
                a.as_str() == b.as_str()
            }
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::Type(a), Self::Type(b)) => a == b,
            (Self::Optional(None), Self::Optional(None)) => true,
            (Self::Optional(Some(a)), Self::Optional(Some(b))) => a.equals(b, meter)?,
            (a, b) if a.is_list() && b.is_list() => {
                if a.count() != b.count() {
                    return Ok(false);
                }
                meter.spend(a.count().unwrap_or(0))?;
                for (a, b) in a.elements().unwrap_or_default().iter().zip(&b.elements().unwrap_or_default()) {
                    if !a.equals(b, meter)? {
                        return Ok(false);
                    }
                }
                true
            }
            (a, b) if a.type_name() == "map" && b.type_name() == "map" => {
                if a.count() != b.count() {
                    return Ok(false);
                }
                meter.spend(a.count().unwrap_or(0))?;
                for (key, value) in a.entries().unwrap_or_default() {
                    match b.entry(&key, meter)? {
                        Some(other) if value.equals(&other, meter)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            _ => false,
        })
    }

    /// Which of two comes first; an error if they have no order.
    pub(super) fn order(&self, other: &Val<'v>) -> Result<Option<Ordering>, EvalError> {
        if let Some(order) = compare_numbers(self, other) {
            return Ok(order);
        }
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Ok(Some(a.cmp(b))),
            (Self::Text(a), Self::Text(b)) => Ok(Some(a.as_str().cmp(b.as_str()))),
            (Self::Bytes(a), Self::Bytes(b)) => Ok(Some(a.cmp(b))),
            (Self::Timestamp(a), Self::Timestamp(b)) => Ok(Some(a.cmp(b))),
            (Self::Duration(a), Self::Duration(b)) => Ok(Some(a.cmp(b))),
            _ => Err(EvalError::NoSuchOverload(format!("comparing {} with {}", self.type_name(), other.type_name()))),
        }
    }
}

/// The order of two numbers; the outer `None` if one of the two is no number, the inner if one is not a number (NaN).
fn compare_numbers(a: &Val<'_>, b: &Val<'_>) -> Option<Option<Ordering>> {
    use Val::{Double, Int, Uint};
    Some(match (a, b) {
        (Int(a), Int(b)) => Some(a.cmp(b)),
        (Uint(a), Uint(b)) => Some(a.cmp(b)),
        (Double(a), Double(b)) => a.partial_cmp(b),
        (Int(a), Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Uint(a), Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Double(a), Int(b)) => compare_double(*a, i128::from(*b)),
        (Double(a), Uint(b)) => compare_double(*a, i128::from(*b)),
        (Int(a), Double(b)) => compare_double(*b, i128::from(*a)).map(Ordering::reverse),
        (Uint(a), Double(b)) => compare_double(*b, i128::from(*a)).map(Ordering::reverse),
        _ => return None,
    })
}

/// A double and a whole number of at most 64 bits, without rounding the latter.
fn compare_double(double: f64, whole: i128) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    let floor = double.floor();
    // Beyond the range of i128 the cast saturates, which keeps the order.
    Some((floor as i128).cmp(&whole).then(if double > floor { Ordering::Greater } else { Ordering::Equal }))
}
