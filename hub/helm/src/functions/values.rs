//! The methods of Helm's `common.Values`, which are `.Values`, the table of a chart in it, and the root of what templates see.

use hub_gotemplate::fmt::quote;
use hub_gotemplate::{Args, Call, CallError, Function, Type, Value};

use super::json::Unable;
use super::{function, yaml};
use crate::dependencies::scalar_at;

/// Each takes the values first.
pub(super) static METHODS: [Function; 4] = [
    function("AsMap", &[Type::Map], |_, args| Ok(args.any(0).clone())),
    function("PathValue", &[Type::Map, Type::Text], path_value),
    function("Table", &[Type::Map, Type::Text], table),
    function("YAML", &[Type::Map], to_yaml),
];

fn to_yaml(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let text = match Unable::Fails.result(yaml::write(call, args.any(0)))? {
        Value::Text(text) => text,
        _ => return Ok(Value::text("")),
    };
    Ok(Value::text([text.as_bytes(), b"\n"].concat()))
}

/// The table at names with dots between them.
fn table(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    call.spend(args.text(1).len())?;
    let mut table = args.map(0).clone();
    for name in args.text(1).split(|byte| *byte == b'.') {
        table = match table.get(name) {
            Some(Value::Map(inner)) => inner,
            _ => return Err(CallError::failed(format!("{} is not a table", quote(name)))),
        };
    }
    Ok(Value::Map(table))
}

/// What is no table at names with dots between them.
fn path_value(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    call.spend(args.text(1).len())?;
    let path = args.text(1).to_str();
    if path.is_empty() {
        return Err(CallError::failed("YAML path cannot be empty"));
    }
    scalar_at(args.map(0), &path).ok_or_else(|| {
        let name = path.rsplit('.').next().unwrap_or_default();
        CallError::failed(format!("{} is not a value", quote(name.as_bytes())))
    })
}
