//! Tables of templates with what Go's evaluator and sprig 3.3.0 print for them, or say is wrong: a line with the template, and one with `= ` and the
//! output or `! ` and the error, both as Go quotes strings. `.Values` is `values.json`.
#![expect(clippy::disallowed_methods, reason = "the tables are files")]

use std::fs;
use std::path::{Path, PathBuf};

use hub_gotemplate::fmt::quote;
use hub_gotemplate::{Budget, Execution, Limits, Map, MapType, MissingKey, Templates, Text, Value};

use super::{FILES, Table};

#[test]
fn every_template_of_the_tables_prints_what_go_prints() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/functions");
    let values: serde_json::Value = serde_json::from_str(&fs::read_to_string(directory.join("values.json")).unwrap()).unwrap();
    let mut files: Vec<PathBuf> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    let (mut cases, mut wrong) = (0, Vec::new());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        while let (Some(template), Some(wanted)) = (lines.next(), lines.next()) {
            cases += 1;
            let given = printed(template, &values);
            if given != wanted.trim_start() {
                wrong.push(format!("{}\n{template}\n  Go:   {}\n  here: {given}", file.display(), wanted.trim_start()));
            }
        }
    }
    assert!(cases >= 1000, "only {cases} cases");
    assert!(wrong.is_empty(), "{} of {cases} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_functions_are_those_of_helm() {
    let names = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/functions/names.list")).unwrap();
    let mut found: Vec<_> = FILES.iter().flat_map(|functions| functions.iter()).map(|function| function.name).collect();
    found.sort_unstable();
    assert_eq!(found, names.lines().collect::<Vec<_>>());
}

fn printed(template: &str, values: &serde_json::Value) -> String {
    let mut templates = Templates::new("t", &Table);
    if let Err(error) = templates.parse("t", template) {
        return format!("! {}", quote(error.to_string().as_bytes()));
    }
    let serde_json::Value::Object(values) = values else { panic!("the values are an object") };
    let values = Map::of(MapType::Values, values.iter().map(|(key, value)| (Text::from(key.as_str()), value_of(value))).collect());
    let dot = Map::new([(Text::from("Values"), Value::from(values))].into_iter().collect());
    let budget = Budget::new(Limits::default());
    let execution = Execution { host: &(), budget: &budget, missing_key: MissingKey::Zero };
    match templates.execute("t", dot.into(), execution) {
        Ok(text) => format!("= {}", quote(&text)),
        Err(error) => format!("! {}", quote(error.to_string().as_bytes())),
    }
}

/// The value that Go's JSON gives: every number is a `float64`.
fn value_of(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(truth) => (*truth).into(),
        serde_json::Value::Number(number) => number.as_f64().unwrap().into(),
        serde_json::Value::String(text) => text.as_str().into(),
        serde_json::Value::Array(items) => Value::list(items.iter().map(value_of).collect()),
        serde_json::Value::Object(entries) => {
            Map::new(entries.iter().map(|(key, value)| (Text::from(key.as_str()), value_of(value))).collect()).into()
        }
    }
}
