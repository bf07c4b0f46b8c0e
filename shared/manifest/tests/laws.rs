//! Laws that hold for all values: what is written reads back, equal objects have no difference, additions by others are no drift.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use shared_manifest::{
    Object, YamlBudget, YamlMode, canonical_json, diff, digest, owned_diff, parse_yaml, redact, to_yaml, to_yaml_documents,
};
use shared_model::GroupKind;

/// Words that some reader of YAML takes for something else, and characters that need care.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9._/:-]{0,12}",
        "[ -~]{0,16}",
        "[ a\n\t:#'\"-]{0,10}",
        r"[\x00-\x20\x7f-\xa0\u{2028}\u{2029}\u{feff}\u{fffe}ä€😀a\r\n]{0,6}",
        "[-+]?[0-9_.:exo]{1,8}",
        prop::sample::select(vec![
            "y",
            "Yes",
            "no",
            "On",
            "off",
            "null",
            "~",
            "",
            "true",
            "FALSE",
            "<<",
            "=",
            "0644",
            "0o17",
            "0x1F",
            "1_000",
            "1e3",
            "12:30",
            ".inf",
            "-.INF",
            ".nan",
            "2024-01-01",
            "2024-01-01T00:00:00Z",
            "1e400",
            "08",
            "- a",
            "---",
            "...",
            "--- x",
            "? a",
            "a: b",
            "a #b",
            "#",
            "&a",
            "*a",
            "!t",
            "|",
            ">",
            "%d",
            "@",
            "`",
            "[]",
            "{}",
            "a,b",
            "'",
            "\"",
            "\\",
            " a",
            "a ",
            "a\nb",
            "a\nb\n",
            "a\n\nb\n\n",
            "\na",
            "a\n b",
            " a\nb",
            "a\n\tb",
            "a \nb",
            "a\t\nb",
            "\t",
            "a\r\nb",
            "\u{85}",
            "---\na",
            "a\n---\nb",
            "a\n...\n",
            "# a\nb",
            "a:\n  b",
            "\u{feff}a",
            "x\u{a0}",
        ])
        .prop_map(str::to_owned),
    ]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1000_i64..1000).prop_map(Value::from),
        any::<f64>().prop_filter("JSON has finite numbers", |float| float.is_finite()).prop_map(Value::from),
        (-1000.0..1000.0_f64).prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number(), text().prop_map(Value::from)];
    leaf.prop_recursive(5, 48, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map(text(), inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// An object of a kind with rich lists; the values in it are arbitrary.
fn deployment() -> impl Strategy<Value = Value> {
    let container = (text(), value(), vec((text(), value()), 0..4)).prop_map(|(name, extra, env)| {
        let env: Vec<Value> = env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        json!({"name": name, "env": env, "args": [extra], "ports": [{"containerPort": 80}]})
    });
    (vec(container, 0..4), value(), value()).prop_map(|(containers, data, labels)| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "a", "labels": labels, "finalizers": ["x/y"]},
            "spec": {"data": data, "template": {"spec": {"containers": containers, "tolerations": [{"key": "gpu"}]}}},
        })
    })
}

fn kinds() -> [GroupKind; 3] {
    [GroupKind::of("apps/v1", "Deployment"), GroupKind::of("v1", "Secret"), GroupKind::of("x.io/v1", "Custom")]
}

/// The value with integral floats as integers, as the loader gives them.
fn canonical(value: &Value) -> Value {
    serde_json::from_slice(&canonical_json(value)).unwrap()
}

/// JSON with everything outside ASCII escaped: YAML does not allow all characters that JSON does.
fn ascii(json: &str) -> String {
    let mut units = [0; 2];
    json.chars()
        .map(|c| match c {
            ' '..='~' => c.to_string(),
            _ => c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        })
        .collect()
}

/// Adds a field to every map that is no element of a list, and elements to lists merged by key: what defaulting and other managers do.
fn with_extras(value: &Value, inside_list: bool) -> Value {
    match value {
        Value::Object(map) => {
            let mut map: Map<String, Value> = map.iter().map(|(key, value)| (key.clone(), with_extras(value, inside_list))).collect();
            if !inside_list {
                map.insert("zzzAddedByAnother".to_owned(), json!({"x": [1]}));
            }
            Value::Object(map)
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| with_extras(item, true)).collect()),
        _ => value.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn canonical_json_reads_back_and_is_stable(value in value()) {
        let read = canonical(&value);
        prop_assert_eq!(canonical_json(&read), canonical_json(&value));
        prop_assert_eq!(digest(&read), digest(&value));
        prop_assert_eq!(canonical(&read), read);
    }

    #[test]
    fn yaml_reads_back_in_both_modes(value in value()) {
        let text = to_yaml(&value);
        for mode in [YamlMode::Kubernetes, YamlMode::Kustomize] {
            let read = parse_yaml(&text, mode, YamlBudget::MANIFEST).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            let read = read.into_iter().next().map_or(Value::Null, |document| document.value);
            prop_assert_eq!(&read, &canonical(&value), "{:?}\n{}", mode, text);
        }
    }

    #[test]
    fn json_reads_back_in_both_modes(value in value()) {
        let text = ascii(&json!({"v": value}).to_string());
        for mode in [YamlMode::Kubernetes, YamlMode::Kustomize] {
            let read = parse_yaml(&text, mode, YamlBudget::MANIFEST).map_err(|error| TestCaseError::fail(format!("{error}\n{value}")))?;
            prop_assert_eq!(&read[0].value["v"], &canonical(&value));
        }
    }

    #[test]
    fn documents_read_back_in_order(values in vec(value(), 0..5)) {
        let text = to_yaml_documents(&values);
        let read: Vec<Value> = parse_yaml(&text, YamlMode::Kubernetes, YamlBudget::MANIFEST).unwrap().into_iter().map(|document| document.value).collect();
        let wanted: Vec<Value> = values.iter().map(canonical).filter(|value| !value.is_null()).collect();
        prop_assert_eq!(read, wanted, "{}", text);
    }

    #[test]
    fn nothing_differs_from_itself(value in prop_oneof![value(), deployment()]) {
        for kind in kinds() {
            prop_assert!(diff(&kind, &value, &value).is_empty());
            prop_assert!(owned_diff(&kind, &value, &value).is_empty());
        }
    }

    #[test]
    fn what_others_add_is_no_drift(wanted in deployment()) {
        for kind in kinds() {
            prop_assert!(owned_diff(&kind, &wanted, &with_extras(&wanted, false)).is_empty());
        }
    }

    #[test]
    fn a_difference_is_seen_from_both_sides(a in deployment(), b in deployment()) {
        for kind in kinds() {
            let (forth, back) = (diff(&kind, &a, &b), diff(&kind, &b, &a));
            prop_assert_eq!(forth.len(), back.len());
            let by_key_only = canonical_json(&a) != canonical_json(&b) && forth.is_empty();
            prop_assert!(!by_key_only || kind.group == "apps", "only a list merged by key may differ in order");
        }
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in r"[-?:,\[\]{}#&*!|>'%@a1\n\t \x22<=~.\\]{0,40}") {
        for mode in [YamlMode::Kubernetes, YamlMode::Kustomize] {
            if let Ok(documents) = parse_yaml(&text, mode, YamlBudget::MANIFEST) {
                for document in documents {
                    let written = to_yaml(&document.value);
                    prop_assert_eq!(&parse_yaml(&written, mode, YamlBudget::MANIFEST).unwrap()[0].value, &document.value, "{}", written);
                }
            }
        }
    }

    #[test]
    fn no_secret_is_left_after_redaction(values in vec("[a-z]{12}", 1..6)) {
        let data: Map<String, Value> = values.iter().enumerate().map(|(i, value)| (format!("k{i}"), value.as_str().into())).collect();
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": data});
        let mut applied = secret.clone();
        applied["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": secret.to_string()});
        let shown = redact(&applied).to_string() + &format!("{:?}", Object::from_value(applied).unwrap());
        for value in values {
            prop_assert!(!shown.contains(&value));
        }
    }
}
