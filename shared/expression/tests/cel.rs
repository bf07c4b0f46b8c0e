//! An expression has the answer that cel-go gives as Flux configures it: `cel.jsonl` holds its answers (cel-go 0.26.1, the environment of
//! `fluxcd/pkg runtime/cel`) on the object in its first line, or on its own. What cel-go cannot read is refused here; what fails there fails here, when it is read or when it is evaluated.
#![expect(clippy::disallowed_methods, reason = "the table is a file; the crate itself reads none")]

use serde_json::Value;
use shared_expression::cel::Expression;

/// The one thing that is left out: cel-go computes this pattern beforehand.
const COMPUTED_PATTERN: &str = "'abc'.matches('a' + 'b')";

#[test]
fn an_expression_has_the_answer_of_cel_go() {
    let table = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cel.jsonl")).expect("the table is there");
    let mut lines = table.lines();
    let object: Value = serde_json::from_str(lines.next().expect("the first line is the object")).expect("valid");
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in lines {
        let case: Value = serde_json::from_str(line).expect("valid");
        let (text, expected) = (case["expr"].as_str().expect("a text"), case["answer"].as_str().expect("a text"));
        count += 1;
        let found = match Expression::parse(text) {
            Err(error) => format!("parse error: {error}"),
            Ok(expression) => match expression.holds(case.get("data").unwrap_or(&object["object"])) {
                Ok(answer) => answer.to_string(),
                Err(error) => format!("error: {error}"),
            },
        };
        let same = match expected {
            "true" if text == COMPUTED_PATTERN => found.starts_with("parse error"),
            "true" | "false" => found == expected,
            "parse error" => found.starts_with("parse error"),
            // Unknown functions and patterns that are computed fail when they are read.
            _ => found.starts_with("error") || found.starts_with("parse error"),
        };
        if !same {
            wrong.push(format!("{text}: cel-go says {expected}, here it is {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 200, "only {count} cases");
}
