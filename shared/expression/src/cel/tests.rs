//! Expressions that parse and those that are refused, and the answers of a few; tables of many stand in `tests/`.

use serde_json::json;

use super::*;

#[test]
fn what_is_no_expression_is_refused_with_its_place() {
    for (text, error) in [
        ("", "at line 1, column 1: an expression is missing"),
        ("status.", "at line 1, column 8: a field's name is missing after the dot; one with other signs stands as [\"…\"]"),
        ("a &&\n  b c", "at line 2, column 5: nothing may follow here"),
        ("a == 'x", "at line 1, column 8: the closing quote is missing"),
        ("has(a)", "at line 1, column 7: has(…) takes one field, as in has(status.phase)"),
        ("if", "at line 1, column 3: \"if\" is a reserved word"),
        ("a.format('x')", "at line 1, column 14: there is no function format that takes 1 values"),
        ("now()", "at line 1, column 6: there is no function now that takes 0 values"),
        ("a.matches(b)", "at line 1, column 13: matches(…) takes a pattern that is written out"),
        ("a.all(b.c, true)", "at line 1, column 17: the first of these must be a variable's name"),
        ("a.exists(b)", "at line 1, column 12: exists(…) takes a variable and a condition and not 1 values"),
        ("99999999999999999999", "at line 1, column 1: this number is too large"),
    ] {
        assert_eq!(Expression::parse(text).map_err(|error| error.to_string()).err().as_deref(), Some(error), "{text}");
    }
}

#[test]
fn hostile_expressions_are_bounded_in_depth_size_and_steps() {
    assert_eq!(Expression::parse(&"a".repeat(LENGTH + 1)).err(), Some(ParseError::TooLong(LENGTH + 1)));
    for nested in [
        format!("{}1{}", "(".repeat(1000), ")".repeat(1000)),
        "[".repeat(4000),
        "!".repeat(4000),
        "-".repeat(4000),
        "a?b:".repeat(1000),
        "a.b".repeat(1000),
        "1+".repeat(2000),
        "a[".repeat(2000),
        format!("{}1{}", "(".repeat(60), "+1+1+1+1+1+1+1+1+1+1)".repeat(60)),
    ] {
        let answer = Expression::parse(&nested).and_then(|expression| expression.holds(&json!({})).map_err(|_| ParseError::TooDeep));
        assert!(answer.is_err(), "{nested}");
    }
    let wide = Expression::parse(&vec!["a"; 1000].join("||")).expect("a long list is no deep one");
    assert_eq!(wide.holds(&json!({"a": false})), Ok(false));
    let list = json!({"l": (0..100).collect::<Vec<_>>(), "s": "x".repeat(100_000)});
    for costly in [
        "l.all(a, l.all(b, l.all(c, l.all(d, true))))",
        "l.all(a, s.replace('x', s) == '')",
        "l.map(a, s + s + s + s).size() > l.map(a, s + s).size()",
        "l.exists(a, l.map(b, l) == l.map(b, l) && false)",
    ] {
        assert_eq!(Expression::parse(costly).expect("is one").holds(&list), Err(EvalError::Spent), "{costly}");
    }
}
