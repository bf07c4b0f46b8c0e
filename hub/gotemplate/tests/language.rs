//! The language, case by case, against what Go's `text/template` answered.

mod support;

use hub_gotemplate::MissingKey;

/// The cases of `table` in which the answer is another one.
fn differences(table: &str, least: usize) {
    let mut lines = table.lines();
    let data: serde_json::Value = serde_json::from_str(lines.next().expect("the data")).expect("the data are JSON");
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in lines {
        let [mode, template, kind, expected]: [String; 4] = serde_json::from_str(line).expect("a case");
        let missing_key = if mode == "error" { MissingKey::Error } else { MissingKey::Zero };
        let (got_kind, got) = support::answer(&template, &data, missing_key);
        count += 1;
        if (got_kind, got.as_str()) != (kind.as_str(), expected.as_str()) {
            wrong.push(format!("{template:?}\n  go:  {kind}: {expected:?}\n  got: {got_kind}: {got:?}"));
        }
    }
    assert!(count > least, "only {count} cases were read");
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn templates_give_what_go_gives() {
    differences(include_str!("language.jsonl"), 600);
}

#[test]
fn values_print_as_go_prints_them() {
    differences(include_str!("printing.jsonl"), 3000);
}
