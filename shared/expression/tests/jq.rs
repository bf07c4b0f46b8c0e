//! Where expressions point at is where jq points at: `jq.jsonl` holds what `jq 'del(…)'` (1.6) leaves of one of the objects
//! in its first line, `null` where jq fails.
#![expect(clippy::disallowed_methods, reason = "the table is a file; the crate itself reads none")]

use serde_json::Value;
use shared_expression::jq::{JqPath, Key};

/// Takes places away, the last first.
fn without(mut object: Value, places: &[Vec<Key>]) -> Value {
    for place in places.iter().rev() {
        let Some((last, parents)) = place.split_last() else { return Value::Null };
        let parent = parents.iter().try_fold(&mut object, |value, key| match key {
            Key::Field(name) => value.get_mut(name),
            Key::Index(index) => value.get_mut(*index),
        });
        match (parent, last) {
            (Some(Value::Object(map)), Key::Field(name)) => drop(map.remove(name)),
            (Some(Value::Array(list)), Key::Index(index)) if *index < list.len() => drop(list.remove(*index)),
            _ => {}
        }
    }
    object
}

#[test]
fn an_expression_points_where_jq_points() {
    let table = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/jq.jsonl")).expect("the table is there");
    let mut lines = table.lines();
    let objects: Value = serde_json::from_str(lines.next().expect("the first line has the objects")).expect("valid");
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in lines {
        let case: Value = serde_json::from_str(line).expect("valid");
        let number = case["object"].as_u64().and_then(|number| usize::try_from(number).ok()).expect("the number of an object");
        let (text, object) = (case["expr"].as_str().expect("a text"), &objects["objects"][number]);
        count += 1;
        let places = match JqPath::parse(text) {
            Ok(path) => path.places(object).expect("cheap"),
            Err(error) => {
                wrong.push(format!("{text}: {error}"));
                continue;
            }
        };
        let left = without(object.clone(), &places);
        // What jq fails at points at nothing.
        let expected = if case["deleted"].is_null() && places.is_empty() { object } else { &case["deleted"] };
        if left != *expected {
            wrong.push(format!("{text}: {places:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 80, "only {count} cases");
}
