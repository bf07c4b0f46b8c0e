//! Expressions that parse and those that are refused, and the answers of a few; tables of many stand in `tests/`.

use serde_json::json;

use super::*;

#[test]
fn what_points_at_nothing_or_computes_is_refused_with_a_remedy() {
    for (text, error) in [
        ("", "at column 1: an expression is missing"),
        (".spec.", "at column 7: a field's name is missing after the dot; one with other signs stands in quotes"),
        (
            ".a[",
            "at column 4: a computed index is not taken here; write the name in quotes or the number; for elements by their content, [] | select(…)",
        ),
        (".a | length", "it computes a value and points at no field; begin with a path such as .spec.replicas"),
        ("\"a\"", "it computes a value and points at no field; begin with a path such as .spec.replicas"),
        (".a = 1", "at column 4: an assignment is not taken here; name the field alone"),
        (".a |= 1", "at column 4: an assignment is not taken here; name the field alone"),
        (".a + .b", "at column 4: arithmetic (+) is not taken here; compare with a number that is written out"),
        ("$x.a", "at column 1: a variable is not taken here; write its value"),
        ("[.a]", "at column 1: making a list or map is not taken here; name the fields one by one, with commas between"),
        ("def f: .; f", "at column 4: \"def\" is not taken here; write a path with [], select(…) and ?"),
        (".a | select(.b | test(.c))", "at column 26: a computed pattern is not taken here; write the pattern as a text"),
        (".a | select(.b == \"x)", "at column 19: the closing quote is missing"),
        (".a b", "at column 4: nothing may follow here"),
    ] {
        assert_eq!(
            JqPath::parse(text).map(|path| path.as_str().to_owned()).map_err(|error| error.to_string()),
            Err(error.to_owned()),
            "{text}"
        );
    }
    let function = JqPath::parse(".a | to_entries[]").map_err(|error| error.to_string()).expect_err("computes");
    assert!(function.starts_with("at column 16: the function to_entries/0 is not taken here; taken are select"), "{function}");
}

#[test]
fn hostile_expressions_are_bounded_in_depth_size_and_steps() {
    assert_eq!(JqPath::parse(&".a".repeat(LENGTH)).err(), Some(JqError::TooLong(LENGTH * 2)));
    for nested in [
        format!("{}.{}", "(".repeat(1000), ")".repeat(1000)),
        "if ".repeat(600),
        ".?".repeat(900),
        ".a".repeat(1000),
        "select(".repeat(280),
    ] {
        assert!(JqPath::parse(&nested).is_err(), "{nested}");
    }
    let wide = JqPath::parse(&vec![".a"; 500].join(",")).expect("a long list is no deep one");
    assert_eq!(wide.places(&json!({"a": 1})), Ok(vec![vec![Key::Field("a".to_owned())]]));
    let list = json!((0..1000).collect::<Vec<_>>());
    let squared = JqPath::parse(".. | select(. == 1) , (.[]? | select(any(.[]?; . == 1))), (.. | .. | .. | ..)").expect("is one");
    assert!(squared.places(&list).is_ok());
    let cubed = JqPath::parse("select(any(.[]; . as_text)) ").err();
    assert!(cubed.is_some());
    let many =
        JqPath::parse(".[] | select((1,2,3,4,5,6,7,8,9,10) == (1,2,3,4,5,6,7,8,9,10) and (1,2,3,4,5,6,7,8,9,10) == 1)").expect("is one");
    assert_eq!(many.places(&list), Err(SpentError));
}
