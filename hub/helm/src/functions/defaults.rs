//! Functions that choose among values by what is empty: all that `if` takes for false.

use hub_gotemplate::{Function, Type, Value, is_true};

use super::{function, variadic};

use Type::{Any, Bool};

pub(super) static FUNCTIONS: &[Function] = &[
    variadic("all", &[], Any, |_, args| Ok(args.0.iter().all(is_true).into())),
    variadic("any", &[], Any, |_, args| Ok(args.0.iter().any(is_true).into())),
    variadic("coalesce", &[], Any, |_, args| Ok(args.0.iter().find(|value| is_true(value)).cloned().unwrap_or(Value::Nil))),
    variadic("default", &[Any], Any, |_, args| Ok(args.rest(1).first().filter(|given| is_true(given)).unwrap_or(args.any(0)).clone())),
    function("empty", &[Any], |_, args| Ok((!is_true(args.any(0))).into())),
    function("ternary", &[Any, Any, Bool], |_, args| Ok(args.any(usize::from(!args.bool(2))).clone())),
];
