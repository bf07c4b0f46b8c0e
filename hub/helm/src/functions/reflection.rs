//! Types and kinds of values as Go names them, and `reflect.DeepEqual`.

use hub_gotemplate::{Call, CallError, Function, Type, Value, kind_name, type_name};

use super::{DEEPEST, function, panics};

use Type::{Any, Text as Str};

pub(super) static FUNCTIONS: &[Function] = &[
    function("deepEqual", &[Any, Any], |call, args| Ok(deep_equal(call, args.any(0), args.any(1))?.into())),
    function("kindIs", &[Str, Any], |_, args| Ok((args.text(0).as_bytes() == kind_name(args.any(1)).as_bytes()).into())),
    function("kindOf", &[Any], |_, args| Ok(kind_name(args.any(0)).into())),
    function("typeIs", &[Str, Any], |_, args| Ok((args.text(0).as_bytes() == type_name(args.any(1)).as_bytes()).into())),
    function("typeIsLike", &[Str, Any], |_, args| {
        let name = type_name(args.any(1));
        Ok((args.text(0).as_bytes() == name.strip_prefix('*').unwrap_or(&name).as_bytes() || args.text(0).as_bytes() == name.as_bytes())
            .into())
    }),
    function("typeOf", &[Any], |_, args| Ok(type_name(args.any(0)).into_owned().into())),
];

/// Whether both are of one type and hold the same all the way down.
pub(super) fn deep_equal(call: &mut Call<'_>, left: &Value, right: &Value) -> Result<bool, CallError> {
    equal_within(call, left, right, DEEPEST)
}

fn equal_within(call: &mut Call<'_>, left: &Value, right: &Value, depth: u32) -> Result<bool, CallError> {
    call.spend(1)?;
    let within = |depth: u32| depth.checked_sub(1).ok_or_else(panics::too_deep);
    match (left, right) {
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::Int(left), Value::Int(right)) | (Value::Int64(left), Value::Int64(right)) => Ok(left == right),
        (Value::Float(left), Value::Float(right)) => Ok(left == right),
        (Value::Text(left), Value::Text(right)) => {
            call.spend(left.len() / 64)?;
            Ok(left == right)
        }
        (Value::List(left), Value::List(right)) => {
            if left.kind() != right.kind() || left.is_nil() != right.is_nil() || left.items().len() != right.items().len() {
                return Ok(false);
            }
            if std::ptr::eq(left.items(), right.items()) {
                return Ok(true);
            }
            let depth = within(depth)?;
            for (left, right) in left.items().iter().zip(right.items()) {
                if !equal_within(call, left, right, depth)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::Map(left), Value::Map(right)) => {
            if left.kind() != right.kind() || left.is_nil() != right.is_nil() || left.len() != right.len() {
                return Ok(false);
            }
            if left.is(right) {
                return Ok(true);
            }
            let depth = within(depth)?;
            for ((left_key, left), (right_key, right)) in left.entries().iter().zip(right.entries().iter()) {
                if left_key != right_key || !equal_within(call, left, right, depth)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::Object(left), Value::Object(right)) => {
            if left.type_name() != right.type_name() {
                return Ok(false);
            }
            if std::rc::Rc::ptr_eq(left, right) {
                return Ok(true);
            }
            equal_within(call, &left.plain(), &right.plain(), within(depth)?)
        }
        _ => Ok(false),
    }
}
