//! What the tables of answers were made with: a few functions of each signature, `include` and `tpl` as Helm has them, and values from JSON.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeMap;

use hub_gotemplate::{
    Args, Budget, Call, CallError, Execution, Function, Functions, Limits, List, Map, MapType, MissingKey, Templates, Text, Type, Value,
    fmt,
};

pub(crate) struct Table;

impl Functions for Table {
    fn find(&self, name: &str) -> Option<&'static Function> {
        FUNCTIONS.iter().find(|function| function.name == name)
    }
}

type Answer = Result<Value, CallError>;

const fn function(
    name: &'static str,
    parameters: &'static [Type],
    variadic: Option<Type>,
    call: fn(&mut Call<'_>, Args<'_>) -> Answer,
) -> Function {
    Function { name, parameters, variadic, call }
}

static FUNCTIONS: &[Function] = &[
    function("upper", &[Type::Text], None, |_, args| Ok(Value::from(args.text(0).to_str().to_uppercase()))),
    function("dict", &[], Some(Type::Any), |_, args| {
        let mut entries = BTreeMap::new();
        for pair in args.rest(0).chunks_exact(2) {
            entries.insert(fmt::sprint(&pair[0])?, pair[1].clone());
        }
        Ok(Value::Map(Map::new(entries)))
    }),
    function("list", &[], Some(Type::Any), |_, args| Ok(Value::list(args.rest(0).to_vec()))),
    function("fail", &[Type::Text], None, |_, args| Err(CallError::failed(args.text(0).to_str()))),
    function("same", &[Type::Any], None, |_, args| Ok(args.any(0).clone())),
    function("nothing", &[], None, |_, _| Ok(Value::Nil)),
    function("two", &[], None, |_, _| Ok(Value::Int(2))),
    function("wantString", &[Type::Text], None, |_, args| shown("S%s", args)),
    function("wantInt", &[Type::Int], None, |_, args| shown("int %d", args)),
    function("wantInt64", &[Type::Int64], None, |_, args| shown("int64 %d", args)),
    function("wantFloat", &[Type::Float], None, |_, args| shown("float %v", args)),
    function("wantBool", &[Type::Bool], None, |_, args| shown("bool %v", args)),
    function("wantList", &[Type::List], None, |_, args| shown("list %v", args)),
    function("wantStrings", &[Type::Texts], None, |_, args| shown("strings %v", args)),
    function("wantMap", &[Type::Map], None, |_, args| shown("map %v", args)),
    function("wantTime", &[Type::Named("time.Time")], None, |_, args| shown("time", Args(args.rest(1)))),
    function("strings", &[], Some(Type::Text), |_, args| {
        Ok(Value::List(List::of_texts((0..args.0.len()).map(|index| args.text(index).clone()))))
    }),
    function("labels", &[], Some(Type::Text), |_, args| {
        let entries = args.rest(0).chunks_exact(2).map(|pair| (Args(pair).text(0).clone(), pair[1].clone())).collect();
        Ok(Value::Map(Map::of(MapType::Text, entries)))
    }),
    function("int64", &[Type::Int], None, |_, args| Ok(Value::Int64(args.int(0)))),
    function("until", &[Type::Int], None, |call, args| {
        call.spend(args.int(0) as usize)?;
        Ok(Value::list((0..args.int(0)).map(Value::Int).collect()))
    }),
    function("set", &[Type::Map, Type::Text, Type::Any], None, |_, args| {
        args.map(0).set(args.text(1).clone(), args.any(2).clone());
        Ok(args.any(0).clone())
    }),
    function("include", &[Type::Text, Type::Any], None, |call, args| Ok(Value::Text(call.execute(args.text(0), args.any(1).clone())?))),
    function("tpl", &[Type::Text, Type::Any], None, |call, args| {
        let source = args.text(0);
        let quoted = fmt::quote(source);
        match call.evaluate(source, args.any(1).clone()) {
            Ok(text) => Ok(Value::Text(text)),
            Err(CallError::Nested { error, .. }) => {
                Err(CallError::Nested { prefix: format!("error during tpl function execution for {quoted}: "), error })
            }
            Err(CallError::Unparsed(error)) => Err(CallError::failed(format!("cannot parse template {quoted}: {error}"))),
            Err(other) => Err(other),
        }
    }),
];

fn shown(format: &str, args: Args<'_>) -> Answer {
    Ok(Value::Text(fmt::sprintf(format.as_bytes(), args.rest(0))?))
}

/// The value that Go reads from this JSON.
pub(crate) fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(truth) => Value::Bool(*truth),
        serde_json::Value::Number(number) => Value::Float(number.as_f64().expect("a float")),
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => Value::list(items.iter().map(value).collect()),
        serde_json::Value::Object(entries) => {
            Value::Map(Map::new(entries.iter().map(|(key, item)| (Text::from(key.as_str()), value(item))).collect()))
        }
    }
}

/// How Go's answer begins, and the answer: `ok`, `error` or `unparsed`.
pub(crate) fn answer(template: &str, data: &serde_json::Value, missing_key: MissingKey) -> (&'static str, String) {
    answer_within(template, value(data), missing_key, &Budget::new(Limits::default()))
}

pub(crate) fn answer_within(template: &str, dot: Value, missing_key: MissingKey, budget: &Budget) -> (&'static str, String) {
    const NAME: &str = "chart/templates/main.yaml";
    let mut templates = Templates::new("gotpl", &Table);
    if let Err(error) = templates.parse(NAME, template) {
        return ("unparsed", error.to_string());
    }
    match templates.execute(NAME, dot, Execution { host: &(), budget, missing_key }) {
        Ok(text) => ("ok", text.to_string()),
        Err(error) => ("error", error.to_string()),
    }
}
