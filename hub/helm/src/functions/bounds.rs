//! That templates which want too much end by the budget, and that values within themselves end.

use hub_gotemplate::{Budget, CallError, Exceeded, Execution, Limits, Map, MissingKey, Reason, Templates};

use super::Table;

/// What ends `template`, which may take a million steps and make a megabyte.
fn end_of(template: &str) -> String {
    let mut templates = Templates::new("t", &Table);
    templates.parse("t", template).unwrap();
    let budget = Budget::new(Limits { steps: 1_000_000, output: 1 << 20, ..Limits::default() });
    let execution = Execution { host: &(), budget: &budget, missing_key: MissingKey::Zero };
    match templates.execute("t", Map::default().into(), execution) {
        Ok(text) => format!("{} bytes", text.len()),
        Err(error) => match error.failure().reason {
            Reason::Exceeded(exceeded) | Reason::Call { error: CallError::Exceeded(exceeded), .. } => match exceeded {
                Exceeded::Steps(_) => "steps".into(),
                Exceeded::Output(_) => "output".into(),
                Exceeded::Depth(_) => "depth".into(),
            },
            _ => error.to_string(),
        },
    }
}

#[test]
fn what_is_too_large_ends_before_it_is_made() {
    let cases = [
        (r#"{{ repeat 1000000000 "a" }}"#, "output"),
        (r#"{{ indent 1000000000 "a" }}"#, "output"),
        (r#"{{ nindent 1000 (repeat 100000 "\n") }}"#, "output"),
        ("{{ until 100000000 }}", "steps"),
        ("{{ untilStep -9223372036854775808 9223372036854775807 1 }}", "steps"),
        ("{{ seq 100000000 }}", "steps"),
        (r#"{{ replace "" (repeat 10000 "a") (repeat 10000 "a") }}"#, "output"),
        (r#"{{ replace "a" (repeat 10000 "a") (repeat 10000 "a") }}"#, "output"),
        (r#"{{ splitList "" (repeat 500000 "a") }}"#, "output"),
        (r#"{{ wrapWith 1 (repeat 10000 "a") (repeat 10000 "a") }}"#, "output"),
        (r#"{{ regexReplaceAll "" (repeat 10000 "a") (repeat 10000 "a") }}"#, "output"),
        (
            r#"{{ regexReplaceAll ".*" (repeat 10000 "a") "$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0" }}"#,
            "output",
        ),
        (r#"{{ regexFindAll "" (repeat 500000 "a") -1 }}"#, "output"),
        ("{{ $l := until 30000 }}{{ range until 100 }}{{ $_ := concat $l $l $l }}{{ end }}", "output"),
    ];
    for (template, wanted) in cases {
        assert_eq!(end_of(template), wanted, "{template}");
    }
}

#[test]
fn work_that_grows_with_the_square_ends() {
    let cases = [
        "{{ uniq (until 20000) }}",
        "{{ $l := until 2000 }}{{ without $l $l $l $l }}{{ range $l }}{{ $_ := has -1 $l }}{{ end }}",
        r#"{{ regexFindAll ".*[^A-Z]|[A-Z]" (repeat 20000 "A") -1 }}"#,
        r#"{{ regexMatch "(a|b)*a(a|b){500}c" (repeat 20000 "ab") }}"#,
        r#"{{ range until 10000 }}{{ regexMatch (printf "%d" .) "a" }}{{ end }}"#,
        "{{ range until 10000 }}{{ $_ := addf 1e300 1e-300 1e-323 }}{{ end }}",
    ];
    for template in cases {
        assert_eq!(end_of(template), "steps", "{template}");
    }
}

#[test]
fn large_expressions_are_refused() {
    for template in
        [r#"{{ mustRegexMatch "((a{30}){30}b{100}){1}(\\pL{900})" "a" }}"#, r#"{{ mustRegexMatch "(\\pL{100}|\\pN{100}){10}" "a" }}"#]
    {
        assert!(end_of(template).contains("expression too large"), "{template}");
    }
    let nested = format!(r#"{{{{ mustRegexMatch "{}a{}" "a" }}}}"#, "(".repeat(5000), ")".repeat(5000));
    assert!(end_of(&nested).contains("expression nests too deeply"));
}

#[test]
fn values_within_themselves_end() {
    let cases = [
        r#"{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ deepCopy $d }}"#,
        r#"{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ $e := dict }}{{ $_ := set $e "d" $e }}{{ deepEqual $d $e }}"#,
        r#"{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ $e := dict }}{{ $_ := set $e "d" $e }}{{ merge $d $e }}"#,
        r#"{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ mergeOverwrite $d $d }}"#,
    ];
    for template in cases {
        assert_eq!(end_of(template), "depth", "{template}");
    }
}
