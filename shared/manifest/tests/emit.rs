//! What `write_yaml` prints is what `kustomize build` 5.8.1 prints, and it reads back.
//!
//! A line of `emit_cases.jsonl` is a value and the text that the kustomize library (api v0.21.1: `json.Marshal`, then `JSONToYAML` of
//! `sigs.k8s.io/yaml` v1.5.0) makes of it. The values are every ASCII character at every place of a text and a key, texts that look like other
//! types, texts whose spaces meet the width, keys around 128 bytes, and random ones.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use shared_manifest::{Tree, YamlBudget, YamlMode, canonical_json, parse_yaml, to_yaml, write_yaml, write_yaml_documents};

const CASES: &str = include_str!("emit_cases.jsonl");

fn written(value: &Value) -> String {
    let mut text = String::new();
    write_yaml(&Tree::from(value), &mut text);
    text
}

#[test]
fn values_are_printed_as_kustomize_prints_them() {
    let mut cases = 0;
    for line in CASES.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let text = written(&case["value"]);
        assert_eq!(text, case["text"], "{}\n{text}", case["value"]);
        cases += 1;
    }
    assert!(cases > 1_000, "{cases} cases");
}

#[test]
fn scalars_are_printed_by_what_they_mean_not_as_they_were_written() {
    let tree: Tree = [
        ("bool", Tree::Bool("TRUE".into())),
        ("date", Tree::Date("2001-1-2 3:04:05.60".into())),
        ("null", Tree::Null("~".into())),
        ("nothing", Tree::NULL),
        ("number", Tree::Number("0x1_F".into())),
        ("text", Tree::String("0x1_F".into())),
    ]
    .into_iter()
    .map(|(key, value)| (key.into(), value))
    .collect();
    let mut text = String::new();
    write_yaml(&tree, &mut text);
    assert_eq!(text, "bool: true\ndate: \"2001-01-02T03:04:05.6Z\"\nnothing: null\n\"null\": null\nnumber: 31\ntext: \"0x1_F\"\n");
}

#[test]
fn documents_follow_each_other_and_what_was_there() {
    let trees = [json!({"a": "x\n\n"}), json!({}), json!([[], {}])].map(|value| Tree::from(&value));
    let mut text = "# before\n".to_owned();
    write_yaml_documents(&trees, &mut text);
    assert_eq!(text, "# before\na: |+\n  x\n\n---\n{}\n---\n- []\n- {}\n");
}

#[test]
fn what_kustomize_itself_refuses_is_written_and_reads_back() {
    let value = json!({"a\u{7f}": "b\u{80}", "c": "d\u{ffff}", "e\u{85}": "f", "k".repeat(2_000): ["x"]});
    let text = written(&value);
    assert!(text.starts_with("\"a\\x7F\": \"b\\x80\"\nc: \"d\\uFFFF\"\n? \"e\\N\"\n: f\n? kkk"), "{text}");
    assert_reads_back(&value, &text);
}

#[test]
fn people_get_quotes_where_kustomize_leaves_a_choice() {
    let value = json!({"<<": "=", "a": "<<", "b": "c\u{2028}d \u{85} e", "e": (u64::MAX - 2_047) as f64});
    assert_eq!(written(&value), "<<: =\na: <<\nb: 'c\u{2028}  d e'\ne: 18446744073709550000\n");
    let text = to_yaml(&value);
    assert_eq!(text, "\"<<\": \"=\"\na: \"<<\"\nb: \"c\\Ld \\N e\"\ne: 18446744073709549568\n");
    assert_reads_back(&value, &text);
}

#[test]
fn a_map_deeper_than_the_width_and_wider_than_a_machine_word_is_printed_in_order() {
    let mut value = json!("a b c");
    for _ in 0..60 {
        value = json!({ "k": value });
    }
    let text = written(&value);
    let indent = " ".repeat(120);
    assert!(text.ends_with(&format!("k: a\n{indent}b\n{indent}c\n")), "{text}");
    assert_reads_back(&value, &text);

    let ports: Map<String, Value> = (0..1_000).map(|n| (format!("port{n}"), n.into())).collect();
    let lines: String = (0..1_000).map(|n| format!("port{n}: {n}\n")).collect();
    assert_eq!(written(&Value::Object(ports)), lines);
}

fn assert_reads_back(value: &Value, text: &str) {
    for mode in [YamlMode::Kubernetes, YamlMode::Kustomize] {
        let read = parse_yaml(text, mode, YamlBudget::MANIFEST).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let read = read.into_iter().next().map_or(Value::Null, |document| document.value);
        assert_eq!(canonical_json(&read), canonical_json(value), "{mode:?}\n{text}");
    }
}

/// Texts made of what matters to a YAML writer. U+2028 and U+2029 are left out, because kustomize prints them as line breaks, which readers of YAML
/// 1.2 do not take for any, and U+0085, which it loses.
fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        r"[ -~]{1,4}",
        r"[a-z]{1,12}",
        "[-+.0-9xobeE_:]{1,6}",
        "(true|y|No|null|~|<<|=|2001-01-02|12:30|---|- |: | #)",
        r"[\t\r\u{1}\u{7f}\u{80}\u{a0}\u{feff}\u{ffff}é日😀]{1,2}",
        r"[ ]{1,3}",
        r"\n{1,3}[ ]{0,3}",
    ];
    prop_oneof![vec(word.clone(), 0..4), vec(word, 20..40)].prop_map(|words| words.concat())
}

fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![any::<i64>().prop_map(Value::from), any::<u64>().prop_map(Value::from), (-1e15..1e15).prop_map(Value::from)];
    let leaf =
        prop_oneof![1 => Just(Value::Null), 1 => any::<bool>().prop_map(Value::from), 1 => number, 6 => text().prop_map(Value::from)];
    let key = text().prop_filter("kustomize leaves the merge key without quotes", |key| key != "<<").boxed();
    leaf.prop_recursive(6, 40, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(key.clone(), inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn what_is_written_reads_back_in_both_modes(value in value()) {
        assert_reads_back(&value, &written(&value));
        assert_reads_back(&value, &to_yaml(&value));
    }
}
