//! Places, spans and layout: what the tables of values do not show.

use serde_json::json;
use shared_manifest::{Content, YamlBudget, YamlMode, parse_yaml, parse_yaml_spanned, to_yaml, to_yaml_documents};

const BUDGET: YamlBudget = YamlBudget::MANIFEST;

#[test]
fn documents_know_their_first_line() {
    let text = "# comment\n---\na: 1\n---\n# only a comment\n---\n\n\n  b: 2\n...\n---\nnull\n--- [3]\n";
    let lines: Vec<u32> = parse_yaml(text, YamlMode::Kubernetes, BUDGET).unwrap().iter().map(|document| document.line).collect();
    assert_eq!(lines, [3, 9, 13]);
}

#[test]
fn fields_know_their_line_and_column() {
    let text = "\u{feff}kind: App\nspec:\n  \u{e4}: [x, {y1: 2}]\n  later: |\n    text\n";
    let nodes = parse_yaml_spanned(text, YamlMode::Kubernetes, BUDGET).unwrap();
    let Content::Map(fields) = &nodes[0].content else { panic!("a map") };
    let names: Vec<_> = fields.iter().map(|(key, node)| (key.text.as_str(), key.line, key.column, node.line, node.column)).collect();
    assert_eq!(names, [("kind", 1, 1, 1, 7), ("spec", 2, 1, 3, 3)]);
    let Content::Map(spec) = &fields[1].1.content else { panic!("a map") };
    let Content::List(items) = &spec[0].1.content else { panic!("a list") };
    assert_eq!((items[0].line, items[0].column), (3, 7));
    let Content::Map(inner) = &items[1].content else { panic!("a map") };
    assert_eq!((inner[0].0.text.as_str(), inner[0].0.line, inner[0].0.column, inner[0].1.column), ("y1", 3, 11, 15));
    assert_eq!(nodes[0].to_value(), json!({"kind": "App", "spec": {"\u{e4}": ["x", {"y1": 2}], "later": "text\n"}}));
}

#[test]
fn fields_keep_the_order_of_the_text_with_merges_in_place() {
    let text = "z: &z {b: 1, a: 2}\na:\n  c: 0\n  <<: *z\n  a: 3\n";
    let nodes = parse_yaml_spanned(text, YamlMode::Kubernetes, BUDGET).unwrap();
    let Content::Map(fields) = &nodes[0].content else { panic!("a map") };
    let Content::Map(merged) = &fields[1].1.content else { panic!("a map") };
    let order: Vec<_> = merged.iter().map(|(key, node)| (key.text.as_str(), key.line, node.to_value())).collect();
    assert_eq!(order, [("c", 3, json!(0)), ("b", 1, json!(1)), ("a", 5, json!(3))]);
}

#[test]
fn quoted_texts_may_go_on_in_lines_that_are_not_deeper() {
    let text = "a:\n- name: X\n  value: \"\n  -Dx=1\n  -Dy: 2\n    \"\n- name: Z\nb: 'one\ntwo'\n";
    let expected = json!({"a": [{"name": "X", "value": " -Dx=1 -Dy: 2 "}, {"name": "Z"}], "b": "one two"});
    for mode in [YamlMode::Kubernetes, YamlMode::Kustomize] {
        assert_eq!(parse_yaml(text, mode, BUDGET).unwrap()[0].value, expected, "{mode:?}");
        // There the document ends, and the quote is open.
        assert!(parse_yaml("a: 'one\n---\ntwo'\n", mode, BUDGET).is_err());
        assert!(parse_yaml(&format!("a: '{}'\n", "x\n".repeat(100)), mode, BUDGET).is_err(), "too many lines to mend");
    }
}

#[test]
fn yaml_is_laid_out_as_kustomize_does() {
    let value = json!({
        "apiVersion": "v1", "kind": "X",
        "metadata": {"name": "a", "annotations": {}, "labels": {"on": "yes", "version": "1.10", "y": "y"}},
        "spec": {
            "args": ["--a=b", "-x", "", "a: b", "#", "it's", "12:30", "2024-01-01"], "empty": [], "nothing": null, "number": 1.5,
            "list": [["a", ["b"]], {"k": [1], "l": {"m": true}}],
            "script": "#!/bin/sh\necho \"hi\"\n", "stripped": "a\nb", "kept": "a\n\n", "tabs": "\ta\n", "quote": "say \"hi\"",
        },
    });
    let expected = r##"apiVersion: v1
kind: X
metadata:
  annotations: {}
  labels:
    "on": "yes"
    version: "1.10"
    "y": "y"
  name: a
spec:
  args:
  - --a=b
  - -x
  - ""
  - 'a: b'
  - '#'
  - it's
  - "12:30"
  - "2024-01-01"
  empty: []
  kept: |+
    a

  list:
  - - a
    - - b
  - k:
    - 1
    l:
      m: true
  nothing: null
  number: 1.5
  quote: say "hi"
  script: |
    #!/bin/sh
    echo "hi"
  stripped: |-
    a
    b
  tabs: "\ta\n"
"##;
    assert_eq!(to_yaml(&value), expected);
    assert_eq!(to_yaml_documents([&json!({"a": 1}), &json!([1]), &json!("x")]), "a: 1\n---\n- 1\n---\nx\n");
}
