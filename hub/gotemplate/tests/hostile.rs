//! Templates that want to take everything: each ends with a message, on a thread with the stack of any other thread.

mod support;

use hub_gotemplate::{Budget, Limits, MissingKey, Value};

/// What threads have by default; the main thread has four times as much.
const STACK: usize = 2 << 20;

fn answer(template: &str, limits: Limits) -> (&'static str, String) {
    let template = template.to_owned();
    let thread = std::thread::Builder::new().stack_size(STACK);
    let run = move || support::answer_within(&template, Value::Nil, MissingKey::Zero, &Budget::new(limits));
    thread.spawn(run).expect("a thread").join().expect("an answer")
}

#[track_caller]
fn ends_with(template: &str, limits: Limits, kind: &str, message: &str) {
    let (got_kind, got) = answer(template, limits);
    assert_eq!(got_kind, kind, "{}", &got[..got.len().min(300)]);
    assert!(got.ends_with(message), "…{}", &got[got.len().saturating_sub(300)..]);
}

fn steps(steps: u64) -> Limits {
    Limits { steps, ..Limits::default() }
}

#[test]
fn recursion_without_end_ends_at_the_depth_of_the_budget() {
    for template in [
        r#"{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}"#,
        r#"{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}"#,
        r#"{{ define "a" }}{{ range list 1 }}{{ if true }}{{ with 1 }}{{ print (upper (include "a" .)) }}{{ end }}{{ end }}{{ end }}{{ end }}{{ include "a" . }}"#,
        r#"{{ define "a" }}{{ tpl "{{ include \"a\" . }}" . }}{{ end }}{{ include "a" . }}"#,
        r#"{{ $x := "{{ tpl .x . }}" }}{{ tpl $x (dict "x" $x) }}"#,
    ] {
        ends_with(template, Limits::default(), "error", "nested deeper than 2048");
    }
}

#[test]
fn a_thousand_includes_within_each_other_fit_a_small_stack() {
    // A counter without arithmetic: the length of a text that grows by one.
    let template = r#"{{ define "a" }}{{ if lt . 1000 }}{{ include "a" (len (printf "%*s" . "" | print "x")) }}{{ end }}{{ end }}"#;
    let (kind, text) = answer(&format!("{template}{{{{ include \"a\" 0 }}}}done"), Limits::default());
    assert_eq!((kind, text.as_str()), ("ok", "done"));
}

#[test]
fn loops_end_at_the_steps_of_the_budget() {
    ends_with("{{ range 9223372036854775807 }}{{ end }}", steps(100_000), "error", "more than 100000 steps");
    ends_with(
        "{{ range until 1000 }}{{ range until 1000 }}{{ range until 1000 }}x{{ end }}{{ end }}{{ end }}",
        steps(100_000),
        "error",
        "more than 100000 steps",
    );
    let many = format!("{{{{ {} }}}}", "1 | print | ".repeat(900) + "print");
    ends_with(&many, steps(100), "unparsed", "non executable command in pipeline stage 3");
    let many = format!("{{{{ 1 {} }}}}", "| print ".repeat(900));
    ends_with(&many, steps(100), "error", "more than 100 steps");
}

#[test]
fn output_ends_at_the_bytes_of_the_budget() {
    let limits = Limits { output: 1000, ..Limits::default() };
    ends_with("{{ range 10000 }}0123456789{{ end }}", limits, "error", "more than 1000 bytes of output");
    ends_with(
        r#"{{ define "a" }}0123456789{{ end }}{{ range 10000 }}{{ $x := include "a" . }}{{ end }}"#,
        limits,
        "error",
        "more than 1000 bytes of output",
    );
    ends_with(r#"{{ $x := "0123456789" }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}"#, steps(u64::MAX), "error", "bytes of output");
    ends_with(r#"{{ range 100000 }}{{ $x := printf "%1000000d" 1 }}{{ end }}"#, steps(20_000_000), "error", "more than 20000000 steps");
}

#[test]
fn values_that_contain_themselves_or_multiply_do_not_print_for_ever() {
    ends_with(r#"{{ $d := dict }}{{ $d = set $d "a" $d }}{{ $d }}"#, Limits::default(), "error", "nested deeper than 512");
    ends_with(r#"{{ $d := dict }}{{ $d = set $d "a" $d }}{{ printf "%v" $d }}"#, Limits::default(), "error", "nested deeper than 512");
    ends_with(
        r#"{{ $d := list "x" }}{{ range 100 }}{{ $d = list $d $d }}{{ end }}{{ $d }}"#,
        Limits { output: 100_000, ..Limits::default() },
        "error",
        "bytes of output",
    );
}

#[test]
fn deep_values_are_dropped_without_a_deep_stack() {
    let (kind, text) = answer("{{ $x := list }}{{ range 300000 }}{{ $x = list $x }}{{ end }}ok", Limits::default());
    assert_eq!((kind, text.as_str()), ("ok", "ok"));
    let (kind, text) = answer(r#"{{ $x := dict }}{{ range 300000 }}{{ $x = dict "a" $x "b" 1 }}{{ end }}ok"#, Limits::default());
    assert_eq!((kind, text.as_str()), ("ok", "ok"));
}

#[test]
fn sources_nested_without_end_are_refused_and_those_below_the_limit_are_executed() {
    for (count, kind) in [(900, "ok"), (100_000, "unparsed")] {
        for (open, inner, close) in [
            ("{{ if true }}", "x", "{{ end }}"),
            ("{{ with 1 }}", "x", "{{ end }}"),
            ("{{ range list 1 }}", "x", "{{ end }}"),
            ("{{ if false }}{{ else if true }}{{ end }}{{ if false }}", "", "{{ end }}"),
            ("{{ define \"a\" }}{{ end }}{{ block \"b\" . }}", "", "{{ end }}"),
        ] {
            if kind == "ok" && open.contains("block") {
                continue;
            }
            let template = format!("{}{inner}{}", open.repeat(count), close.repeat(count));
            let (got, text) = answer(&template, Limits::default());
            assert_eq!(got, kind, "{open} {count}: {}", &text[..text.len().min(300)]);
        }
        let parentheses = format!("{{{{ {}1{} }}}}", "(print ".repeat(count), ")".repeat(count));
        let (got, text) = answer(&parentheses, Limits::default());
        assert_eq!(got, kind, "{}", &text[..text.len().min(300)]);
        let otherwise = format!("{{{{ if false }}}}{}{{{{ end }}}}", "{{ else if false }}".repeat(count));
        assert_eq!(answer(&otherwise, Limits::default()).0, kind);
    }
}

#[test]
fn errors_deep_within_are_located() {
    let template = format!("{}{{{{ .a.b.c | fail }}}}{}", "{{ if true }}".repeat(900), "{{ end }}".repeat(900));
    let (kind, text) = answer(&template, Limits::default());
    assert_eq!(kind, "error");
    assert!(text.contains("at <fail>"), "{text}");
    let template = format!("{{{{ {}(fail \"x\"){} }}}}", "(print ".repeat(900), ")".repeat(900));
    assert!(answer(&template, Limits::default()).1.ends_with("error calling fail: x"));
}

#[test]
fn bytes_that_are_no_text_are_no_problem() {
    for template in [
        "{{ \"\u{fffd}",
        "{{ \u{0} }}",
        "{{ .\u{e000} }}",
        "{{ '\\",
        "{{ \"\\",
        "{{ 0x",
        "{{ 1e",
        "{{ 1_",
        "{{ $",
        "{{ .",
        "{{-",
        "{{- ",
        "{{/*",
        "{{ -}",
        "{{ - }}",
    ] {
        for end in 0..=template.len() {
            if template.is_char_boundary(end) {
                let _ = answer(&template[..end], Limits::default());
            }
        }
    }
}

#[test]
fn complex_constants_are_refused() {
    ends_with("{{ print 1i }}", Limits::default(), "error", "1i: complex constants are not supported");
}
