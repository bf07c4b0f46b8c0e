//! The published schemas and the parser agree: on the design's example, on every fixture, and on what is wrong with them.
#![expect(clippy::disallowed_methods, reason = "the fixtures are files")]

use std::fs;
use std::path::{Path, PathBuf};

use hub_fleet::{FLEET_BUDGET, Kind, ProblemCode, read_fleet, schemas};
use hub_tree::{MemoryTree, Reader, TreePath};
use regex::Regex;
use shared_manifest::{Value, YamlBudget, YamlMode, parse_yaml};

/// The parts of JSON Schema that the schemas use; a keyword that is not known here fails the test.
fn valid(schema: &Value, value: &Value) -> Result<(), String> {
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        let array = || rule.as_array().expect("an array");
        let good = match (keyword.as_str(), value) {
            ("$schema" | "$id" | "title" | "description", _) => true,
            ("const", value) => rule == value,
            ("type", value) => match rule.as_str().expect("a type") {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "number" => value.is_number(),
                "integer" => value.is_i64() || value.is_u64(),
                other => panic!("type {other}"),
            },
            ("properties", Value::Object(fields)) => {
                for (name, value) in fields {
                    if let Some(rule) = rule.get(name) {
                        valid(rule, value).map_err(|error| format!("{name}: {error}"))?;
                    }
                }
                true
            }
            ("additionalProperties", Value::Object(fields)) => {
                let known = schema.get("properties").and_then(Value::as_object);
                let mut others = fields.iter().filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)));
                match rule {
                    Value::Bool(false) => others.next().is_none(),
                    rule => others.all(|(_, value)| valid(rule, value).is_ok()),
                }
            }
            ("propertyNames", Value::Object(fields)) => fields.keys().all(|name| valid(rule, &Value::from(name.as_str())).is_ok()),
            ("required", Value::Object(fields)) => array().iter().all(|name| fields.contains_key(name.as_str().expect("a name"))),
            ("enum", value) => array().contains(value),
            ("pattern", Value::String(text)) => Regex::new(rule.as_str().expect("a pattern")).expect("a regex").is_match(text),
            ("items", Value::Array(items)) => items.iter().all(|item| valid(rule, item).is_ok()),
            ("minItems", Value::Array(items)) => items.len() as u64 >= rule.as_u64().expect("a number"),
            ("minimum", Value::Number(number)) => number.as_f64() >= rule.as_f64(),
            ("maximum", Value::Number(number)) => number.as_f64() <= rule.as_f64(),
            ("oneOf", value) => array().iter().filter(|rule| valid(rule, value).is_ok()).count() == 1,
            ("anyOf", value) => array().iter().any(|rule| valid(rule, value).is_ok()),
            ("properties" | "additionalProperties" | "propertyNames" | "required", _) => true,
            ("pattern" | "items" | "minItems" | "minimum" | "maximum", _) => true,
            (other, _) => panic!("keyword {other}"),
        };
        if !good {
            return Err(format!("{keyword} {rule} refuses {value}"));
        }
    }
    Ok(())
}

fn schema_of(kind: &str) -> Option<Value> {
    let name = format!("{}.json", kind.to_lowercase());
    schemas().into_iter().find(|(file, _)| *file == name).map(|(_, schema)| schema)
}

fn fixtures() -> Vec<(PathBuf, String)> {
    let mut todo = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")];
    let mut found = Vec::new();
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                found.extend(fs::read_to_string(&path).ok().map(|text| (path, text)));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_parser_and_the_schemas_take_and_refuse_the_same_documents() {
    let (mut taken, mut refused) = (0, 0);
    for (path, text) in fixtures() {
        let Ok(documents) = parse_yaml(&text, YamlMode::Kustomize, YamlBudget::CONFIGURATION) else { continue };
        for document in documents {
            let value = &document.value;
            if value.get("apiVersion").and_then(Value::as_str) != Some(hub_fleet::API_VERSION) {
                continue;
            }
            let Some(schema) = value.get("kind").and_then(Value::as_str).and_then(schema_of) else { continue };
            let judged = valid(&schema, value);
            // JSON is YAML: the document by itself, so that each is judged alone.
            let file = if value["kind"] == "Fleet" { "fleet.yaml" } else { "rollouts/x.yaml" };
            let tree_path = TreePath::parse(file).expect("valid");
            let mut tree = MemoryTree::new();
            tree.insert(tree_path, value.to_string().into_bytes());
            let (_, problems) = read_fleet(&Reader::new(&tree, FLEET_BUDGET));
            use ProblemCode::{InvalidValue, MissingField, UnknownField, UnknownValue, WrongType};
            let structural = problems.iter().any(|problem| {
                // That a cluster has no region shows only in the whole.
                matches!(problem.code, UnknownField | WrongType | UnknownValue)
                    || problem.code == MissingField && !problem.message.contains("has no region")
            });
            let any = structural || problems.iter().any(|problem| matches!(problem.code, InvalidValue | ProblemCode::FieldConflict));
            match judged {
                Ok(()) => {
                    taken += 1;
                    assert!(!structural, "{}: the schema takes what the parser refuses: {problems:?}", path.display());
                }
                Err(error) => {
                    refused += 1;
                    assert!(any, "{}: the parser takes what the schema refuses: {error}", path.display());
                }
            }
        }
    }
    assert!(taken > 100 && refused > 15, "{taken} taken, {refused} refused");
}

#[test]
fn the_example_of_the_design_is_valid() {
    let text = include_str!("cases/design-example/in/apps/llm-gateway/app.yaml");
    let documents = parse_yaml(text, YamlMode::Kustomize, YamlBudget::CONFIGURATION).expect("YAML");
    assert_eq!(documents.len(), 2);
    for document in documents {
        let schema = schema_of(document.value["kind"].as_str().expect("a kind")).expect("a schema");
        assert_eq!(valid(&schema, &document.value), Ok(()));
    }
}

#[test]
fn every_kind_has_a_schema_with_an_id_and_every_field_is_described() {
    fn described(place: &str, schema: &Value) {
        for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let place = format!("{place}.{name}");
            let plain = ["apiVersion", "kind"].contains(&name.as_str()) && field.get("const").is_some();
            assert!(plain || field.get("description").and_then(Value::as_str).is_some_and(|text| text.ends_with(['.', ':'])), "{place}");
            described(&place, field);
            described(&place, field.get("items").unwrap_or(&Value::Null));
        }
    }
    let all = schemas();
    assert_eq!(all.len(), Kind::ALL.len(), "all kinds but Notify, and one for any document");
    for (file, schema) in all {
        assert_eq!(schema["$id"], Value::from(format!("https://capstan.dev/schemas/v1/{file}")));
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        described(&file, &schema);
    }
}

#[test]
fn no_key_and_no_word_is_a_boolean_of_an_older_yaml() {
    fn walk(value: &Value) {
        let boolean = |word: &str| ["y", "n", "yes", "no", "on", "off", "true", "false"].contains(&word.to_lowercase().as_str());
        match value {
            Value::Object(fields) => {
                for name in fields.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name) {
                    assert!(!boolean(name), "{name}");
                }
                for word in fields.get("enum").and_then(Value::as_array).into_iter().flatten() {
                    assert!(!boolean(word.as_str().expect("a word")), "{word}");
                }
                fields.values().for_each(walk);
            }
            Value::Array(items) => items.iter().for_each(walk),
            _ => {}
        }
    }
    schemas().iter().for_each(|(_, schema)| walk(schema));
}
