//! What Go's runtime says where a function of sprig panics. The evaluator of Go turns a panic within a function into an error of the call, so
//! these texts reach users.

use hub_gotemplate::{CallError, Exceeded};

use super::DEEPEST;

/// The type or the length of a nil interface was asked for.
pub(super) fn nil_dereference() -> CallError {
    CallError::failed("runtime error: invalid memory address or nil pointer dereference")
}

/// A type assertion on an `interface {}` did not hold; `found` is the type, or `nil`.
pub(super) fn conversion(found: &str, wanted: &str) -> CallError {
    CallError::failed(format!("interface conversion: interface {{}} is {found}, not {wanted}"))
}

/// A slice of an impossible length was to be made.
pub(super) fn impossible_length() -> CallError {
    CallError::failed("runtime error: makeslice: len out of range")
}

/// An integer was divided by zero.
pub(super) fn division_by_zero() -> CallError {
    CallError::failed("runtime error: integer divide by zero")
}

/// A text of `length` bytes was to be cut at `end`.
pub(super) fn bad_end(end: i64, length: i64) -> CallError {
    CallError::failed(match end {
        ..0 => format!("runtime error: slice bounds out of range [:{end}]"),
        _ => format!("runtime error: slice bounds out of range [:{end}] with length {length}"),
    })
}

/// A text was to be cut from `start` on, which is after `end`.
pub(super) fn bad_start(start: i64, end: i64) -> CallError {
    CallError::failed(format!("runtime error: slice bounds out of range [{start}:{end}]"))
}

/// A value contains values deeper than [`DEEPEST`], or itself.
pub(super) fn too_deep() -> CallError {
    CallError::Exceeded(Exceeded::Depth(DEEPEST))
}
