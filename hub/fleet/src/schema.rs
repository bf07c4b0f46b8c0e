//! JSON Schemas of all kinds, printed from the tables that the parser reads by. Where they are written to is left to the caller.

use shared_manifest::{Map, Value};

use crate::kinds::{API_VERSION, Kind};
use crate::rule::Rule;
use crate::table::{Choose, Field, Record, Support, Type, Word};

/// Where the schemas are published; each `$id` begins with it.
const BASE: &str = "https://capstan.dev/schemas/v1/";
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Text of a Go duration.
const DURATION: &str = "^(0|([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|ms|s|m|h)(([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|ms|s|m|h))*)$";

/// The schemas of all kinds, and one of any document, each with the name of its file. Draft 2020-12.
pub fn schemas() -> Vec<(String, Value)> {
    let known: Vec<(Kind, &Record)> = Kind::ALL.into_iter().filter_map(|kind| Some((kind, kind.record()?))).collect();
    let mut all: Vec<(String, Value)> = known.iter().map(|(kind, record)| (file_name(*kind), document(*kind, record))).collect();
    let any = known.iter().map(|(kind, _)| object([("$ref", Value::from(format!("{BASE}{}", file_name(*kind))))]));
    let any = object([
        ("$schema", DRAFT.into()),
        ("$id", format!("{BASE}document.json").into()),
        ("title", "Capstan document".into()),
        ("description", format!("Any document of {API_VERSION}.").into()),
        ("oneOf", any.collect()),
    ]);
    all.push(("document.json".to_owned(), any));
    all
}

fn file_name(kind: Kind) -> String {
    format!("{}.json", kind.as_str().to_lowercase())
}

fn document(kind: Kind, of: &Record) -> Value {
    let mut schema = vec![
        ("$schema", DRAFT.into()),
        ("$id", format!("{BASE}{}", file_name(kind)).into()),
        ("title", kind.as_str().into()),
        ("description", of.doc.into()),
    ];
    schema.extend(record(of));
    let mut schema = object(schema);
    for (field, value) in [("apiVersion", API_VERSION), ("kind", kind.as_str())] {
        if let Some(property) = schema.pointer_mut(&format!("/properties/{field}")) {
            *property = object([("const", value.into())]);
        }
    }
    schema
}

fn record(of: &Record) -> Vec<(&'static str, Value)> {
    let properties: Map<String, Value> = of.fields.iter().map(|of| (of.name.to_owned(), field(of))).collect();
    let required: Vec<Value> = of.fields.iter().filter(|field| field.required).map(|field| field.name.into()).collect();
    let mut schema = vec![("type", "object".into()), ("properties", Value::Object(properties)), ("additionalProperties", false.into())];
    if !required.is_empty() {
        schema.push(("required", Value::Array(required)));
    }
    let one_each = |names: &[&str]| names.iter().map(|name| object([("required", Value::Array(vec![(*name).into()]))])).collect();
    match of.rule {
        Choose::Any => {}
        Choose::AtLeastOne(names) => schema.push(("anyOf", one_each(names))),
        Choose::ExactlyOne(names) => schema.push(("oneOf", one_each(names))),
    }
    schema
}

fn field(of: &Field) -> Value {
    let mut schema = of_type(&of.of);
    let doc = match of.support {
        Support::Honoured => of.doc.to_owned(),
        Support::NotYet(missing) => format!("Refused so far: {missing}. {}", of.doc),
    };
    if let Type::Word(words) = of.of {
        let said: Vec<String> = words.iter().map(said).collect();
        schema.push(("description", format!("{doc} {}", said.join(" ")).into()));
    } else {
        schema.push(("description", doc.into()));
    }
    object(schema)
}

fn said(word: &Word) -> String {
    format!("{}: {}", word.word, word.doc)
}

fn of_type(of: &Type) -> Vec<(&'static str, Value)> {
    match of {
        Type::Text(rule) => text(*rule),
        Type::Flag => vec![("type", "boolean".into())],
        Type::Count(from, to) => vec![("type", "integer".into()), ("minimum", (*from).into()), ("maximum", (*to).into())],
        Type::Number => vec![("type", "number".into())],
        Type::Share => {
            let count = object([("type", "integer".into()), ("minimum", 0.into()), ("maximum", u32::MAX.into())]);
            let percent = object([("type", "string".into()), ("pattern", "^(0*[0-9]{1,2}|0*100)%$".into())]);
            vec![("oneOf", Value::Array(vec![count, percent]))]
        }
        Type::Duration => vec![("type", "string".into()), ("pattern", DURATION.into())],
        Type::Word(words) => vec![("type", "string".into()), ("enum", words.iter().map(|word| Value::from(word.word)).collect())],
        Type::Record(of) => record(of),
        Type::TextOr(rule, of) => vec![("oneOf", Value::Array(vec![object(text(*rule)), object(record(of))]))],
        Type::List(item, filled) => {
            let mut schema = vec![("type", "array".into()), ("items", object(of_type(item)))];
            if *filled {
                schema.push(("minItems", 1.into()));
            }
            schema
        }
        Type::Values => vec![("type", "object".into())],
        Type::Map(keys, values) => {
            let mut schema = vec![("type", "object".into()), ("additionalProperties", object(text(*values)))];
            if let Some(pattern) = keys.pattern() {
                schema.push(("propertyNames", object([("pattern", pattern.into())])));
            }
            schema
        }
    }
}

fn text(rule: Rule) -> Vec<(&'static str, Value)> {
    let mut schema = vec![("type", "string".into())];
    if let Some(pattern) = rule.pattern() {
        schema.push(("pattern", pattern.into()));
    }
    schema
}

fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
