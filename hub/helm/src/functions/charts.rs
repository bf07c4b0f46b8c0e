//! The functions that know of charts: `include`, `tpl`, `required`, `fail` and `lookup`.

use std::borrow::Cow;

use hub_gotemplate::{Args, Call, CallError, Function, Map, Text, Type, Value, fmt};

use super::function;
use crate::host::Host;
use crate::stored::Stored;

/// What stands around the message of `fail` and `required`, as in Helm: whoever reports the error takes the message from between them.
pub(crate) const MESSAGE_START: &str = "HELM_ERR_START";
/// See [`MESSAGE_START`].
pub(crate) const MESSAGE_END: &str = "HELM_ERR_END";

pub(super) const FUNCTIONS: &[Function] = &[
    function("fail", &[Type::Text], |_, args| Err(marked(args.text(0)))),
    function("include", &[Type::Text, Type::Any], include),
    function("lookup", &[Type::Text, Type::Text, Type::Text, Type::Text], lookup),
    function("required", &[Type::Text, Type::Any], required),
    function("tpl", &[Type::Text, Type::Any], tpl),
];

/// The first document of `text`, as templates read it with `fromYaml`; nil if there is none.
///
/// # Errors
/// The parser's words.
pub(crate) fn read_yaml(text: &str) -> Result<Stored, String> {
    super::yaml_read::read_stored(text.as_bytes()).map_err(|refused| refused.0)
}

fn marked(message: &Text) -> CallError {
    CallError::failed(format!("{MESSAGE_START}{message}{MESSAGE_END}"))
}

fn include(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let name = args.text(0);
    Host::of(call).enter(name)?;
    let made = call.execute(name, args.any(1).clone());
    Host::of(call).leave(name);
    made.map(Value::Text)
}

fn tpl(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let source = args.text(0);
    match call.evaluate(source, args.any(1).clone()) {
        Ok(text) => Ok(Value::Text(match without_no_value(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(kept) => kept.into(),
        })),
        Err(CallError::Unparsed(error)) => Err(CallError::failed(format!("cannot parse template {}: {error}", fmt::quote(source)))),
        Err(CallError::Nested { prefix, error }) => {
            Err(CallError::Nested { prefix: format!("error during tpl function execution for {}: {prefix}", fmt::quote(source)), error })
        }
        Err(other) => Err(other),
    }
}

/// What a missing value prints, which Helm takes out of what was rendered.
const NO_VALUE: &str = "<no value>";

/// `text` without what missing values print.
pub(crate) fn without_no_value(text: &[u8]) -> Cow<'_, [u8]> {
    let finder = memchr::memmem::Finder::new(NO_VALUE);
    let Some(mut at) = finder.find(text) else { return Cow::Borrowed(text) };
    let (mut kept, mut rest) = (Vec::with_capacity(text.len()), text);
    loop {
        kept.extend_from_slice(&rest[..at]);
        rest = &rest[at + NO_VALUE.len()..];
        match finder.find(rest) {
            Some(next) => at = next,
            None => {
                kept.extend_from_slice(rest);
                return Cow::Owned(kept);
            }
        }
    }
}

fn required(_: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    match args.any(1) {
        Value::Nil => Err(marked(args.text(0))),
        Value::Text(text) if text.is_empty() => Err(marked(args.text(0))),
        value => Ok(value.clone()),
    }
}

/// No cluster is asked: nothing is there, and the question is remembered.
fn lookup(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let [api_version, kind, namespace, name] = [0, 1, 2, 3].map(|index| args.text(index));
    Host::of(call).note_lookup(format!("{api_version} {kind} {namespace}/{name}"));
    Ok(Value::Map(Map::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_missing_values_print_is_taken_out() {
        let cases = [("", ""), ("a", "a"), ("<no value>", ""), ("a<no value><no value>b<no ", "ab<no ")];
        for (text, expected) in cases {
            assert_eq!(*without_no_value(text.as_bytes()), *expected.as_bytes());
        }
    }
}
