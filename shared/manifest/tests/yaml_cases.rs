//! YAML cases with the values that kubectl and kustomize read from them, measured once with kubectl 1.32 (`yaml_cases.jsonl`).
//!
//! A line of the file is one case: `yaml` is the value of `spec` in an object, or a whole text if `stream` is set; `kubernetes` and `kustomize`
//! are the values read, or `"error"` with words of our message; `measured` keeps what the tool itself does where we differ on purpose, and
//! `why` says the purpose.

use serde_json::{Value, json};
use shared_manifest::{YamlBudget, YamlMode, canonical_json, parse_yaml, parse_yaml_spanned};

const CASES: &str = include_str!("yaml_cases.jsonl");
const HEADER: &str = "apiVersion: x.io/v1\nkind: X\nmetadata: {name: nm}\nspec:";

fn cases() -> Vec<Value> {
    CASES.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What is read from a case: `[spec]`, all documents of a stream, or the error.
fn read(case: &Value, mode: YamlMode) -> Result<Value, String> {
    let stream = case["stream"] == true;
    let yaml = case["yaml"].as_str().unwrap();
    let text = if stream { yaml.to_owned() } else { format!("{HEADER}{yaml}") };
    let documents = parse_yaml(&text, mode, YamlBudget::MANIFEST).map_err(|error| error.to_string());
    let spanned = parse_yaml_spanned(&text, mode, YamlBudget::MANIFEST).map_err(|error| error.to_string());
    let values = documents.map(|documents| documents.into_iter().map(|document| document.value).collect::<Vec<_>>());
    assert_eq!(values, spanned.map(|nodes| nodes.iter().map(|node| node.to_value()).collect()), "{}: both readers agree", case["about"]);
    values.map(|values| if stream { json!(values) } else { json!([values[0]["spec"]]) })
}

fn check(mode: YamlMode, expectation: &str) {
    let cases = cases();
    assert!(cases.len() >= 150, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let expected = &case[expectation];
        let matches = match (&read(case, mode), expected["error"].as_str()) {
            (Err(message), Some(words)) => message.contains(words),
            (Ok(value), None) => canonical_json(value) == canonical_json(expected),
            _ => false,
        };
        if !matches {
            wrong.push(format!(
                "{}: {}\n   expected {expected}\n   read     {:?}",
                case["about"],
                case["yaml"],
                read(case, mode).map(|v| v.to_string())
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn kubernetes_mode_reads_as_kubectl() {
    check(YamlMode::Kubernetes, "kubernetes");
}

#[test]
fn kustomize_mode_reads_as_kustomize() {
    check(YamlMode::Kustomize, "kustomize");
}

#[test]
fn differences_from_the_tools_are_chosen_and_few() {
    let chosen: Vec<Value> = cases().into_iter().filter(|case| !case["measured"].is_null()).collect();
    assert!(chosen.len() <= 40, "{}", chosen.len());
    for case in chosen {
        assert!(case["why"].is_string(), "{} says no reason", case["about"]);
    }
}
