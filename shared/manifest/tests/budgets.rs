//! Bounds of the loader: each limit itself passes, one more is refused, and hostile texts end at once.

use std::fmt::Write as _;

use shared_manifest::{YamlBudget, YamlMode, YamlProblem, parse_yaml};

const MODES: [YamlMode; 2] = [YamlMode::Kubernetes, YamlMode::Kustomize];

/// A budget so wide that only the bound under test can matter.
const WIDE: YamlBudget = YamlBudget { bytes: 1 << 30, nodes: 1 << 20, depth: 255, scalar_bytes: 1 << 30, documents: 1 << 20 };

/// Passes with `limit` and is refused with one less.
fn limit_is_exact(text: &str, limit: usize, with: impl Fn(usize) -> YamlBudget, problem: impl Fn(usize) -> YamlProblem) {
    for mode in MODES {
        let passed = parse_yaml(text, mode, with(limit));
        assert!(passed.is_ok(), "{limit} {mode:?}: {}", passed.unwrap_err());
        let refused = parse_yaml(text, mode, with(limit - 1)).unwrap_err();
        assert_eq!(refused.problem, problem(limit - 1), "{mode:?}");
    }
}

#[test]
fn bytes_are_limited_exactly() {
    let text = "a: bcd\n";
    limit_is_exact(text, 7, |bytes| YamlBudget { bytes, ..WIDE }, |limit| YamlProblem::TooManyBytes { bytes: 7, limit });
}

#[test]
fn nodes_are_limited_exactly() {
    let problem = |limit| YamlProblem::TooManyNodes { limit };
    let with = |nodes| YamlBudget { nodes, ..WIDE };
    // The map, three values and two items; keys do not count.
    limit_is_exact("a: 1\nb: [x, z]\nc: null\n", 6, with, problem);
    // The alias counts what it brings: map, list and 2 items, list and 2 items.
    limit_is_exact("a: &a [1, 2]\nb: *a\n", 7, with, problem);
    // Over all documents.
    limit_is_exact("a: 1\n---\nb: 2\n---\n3\n", 5, with, problem);
    // A merge brings two entries of one node each: map, two maps, two values in each.
    limit_is_exact("a: &a {x: 1, z: 2}\nb: {<<: *a}\n", 7, with, problem);
}

#[test]
fn depth_is_limited_exactly() {
    let problem = |limit| YamlProblem::TooDeep { limit };
    let with = |depth| YamlBudget { depth, ..WIDE };
    limit_is_exact("{a: [[1]]}", 3, with, problem);
    limit_is_exact("a:\n  b:\n  - c: 1\n", 4, with, problem);
    // The anchor is shallow, its use is not: a map, two lists, and the list brought.
    limit_is_exact("a: &a [1]\nb: [[*a]]\n", 4, with, problem);
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    limit_is_exact(&deep(64), 64, with, problem);
    limit_is_exact(&deep(YamlBudget::DEPTH_CEILING), YamlBudget::DEPTH_CEILING, with, problem);
    let beyond = parse_yaml(&deep(256), YamlMode::Kubernetes, YamlBudget { depth: 1000, ..WIDE }).unwrap_err();
    assert_eq!(beyond.problem, problem(YamlBudget::DEPTH_CEILING));
}

#[test]
fn scalar_bytes_are_limited_exactly() {
    let problem = |limit| YamlProblem::TooManyScalarBytes { limit };
    let with = |scalar_bytes| YamlBudget { scalar_bytes, ..WIDE };
    // Keys and unescaped values: "key" + "ä" (2 bytes) + "n" (escaped line break is 1 byte).
    limit_is_exact("key: \"ä\\n\"\n", 6, with, problem);
    // Both uses of the alias: a + xyz + b + xyz.
    limit_is_exact("a: &a xyz\nb: *a\n", 8, with, problem);
}

#[test]
fn documents_are_limited_exactly() {
    let problem = |limit| YamlProblem::TooManyDocuments { limit };
    let with = |documents| YamlBudget { documents, ..WIDE };
    limit_is_exact("a: 1\n---\nb: 2\n---\n---\nc: 3\n", 4, with, problem);
}

/// `levels` anchors, each a list of `width` aliases to the one before.
fn alias_bomb(levels: usize, width: usize) -> String {
    let mut text = "a0: &a0 [lol]\n".to_owned();
    for level in 1..=levels {
        let aliases = vec![format!("*a{}", level - 1); width].join(", ");
        writeln!(text, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    text
}

/// As [`alias_bomb`], with merge keys: the result is small, the work is not.
fn merge_bomb(levels: usize, width: usize) -> String {
    let mut text = "a0: &a0 {x: 1, z: 2}\n".to_owned();
    for level in 1..=levels {
        let aliases = vec![format!("*a{}", level - 1); width].join(", ");
        writeln!(text, "a{level}: &a{level} {{<<: [{aliases}]}}").unwrap();
    }
    text
}

#[test]
fn hostile_texts_are_refused_by_their_bound() {
    let many_nodes = YamlProblem::TooManyNodes { limit: YamlBudget::MANIFEST.nodes };
    let too_deep = YamlProblem::TooDeep { limit: YamlBudget::MANIFEST.depth };
    let long = "x".repeat(1 << 20);
    let texts = [
        (alias_bomb(9, 9), many_nodes.clone()),
        (merge_bomb(40, 40), many_nodes.clone()),
        (format!("a: &a {long}\nb: [{}]\n", vec!["*a"; 64].join(", ")), YamlProblem::TooManyScalarBytes { limit: 64 << 20 }),
        (format!("[{}]", "a,".repeat(250_000)), many_nodes),
        ("[".repeat(100_000), too_deep.clone()),
        ("{a: ".repeat(50_000), too_deep.clone()),
        ("- ".repeat(100_000), too_deep.clone()),
        ((0..2_000).map(|level| format!("{}a:\n", " ".repeat(level))).collect(), too_deep),
        ("---\n".repeat(10_001), YamlProblem::TooManyDocuments { limit: 10_000 }),
        (" ".repeat((5 << 20) + 1), YamlProblem::TooManyBytes { bytes: (5 << 20) + 1, limit: 5 << 20 }),
        ("a: &a [*a]\n".to_owned(), YamlProblem::RecursiveAlias),
    ];
    for (text, problem) in texts {
        for mode in MODES {
            let refused = parse_yaml(&text, mode, YamlBudget::MANIFEST).unwrap_err();
            assert_eq!(refused.problem, problem, "{}", &text[..text.len().min(60)]);
        }
    }
}

#[test]
fn a_chain_of_merges_ends_at_the_depth() {
    let mut text = "a0: &a0 {x: 1}\n".to_owned();
    for level in 1..=100 {
        writeln!(text, "a{level}: &a{level} {{<<: *a{}}}", level - 1).unwrap();
    }
    let refused = parse_yaml(&text, YamlMode::Kubernetes, YamlBudget::MANIFEST).unwrap_err();
    assert_eq!(refused.problem, YamlProblem::TooDeep { limit: 64 });
}

#[test]
fn a_message_names_the_place_and_the_remedy() {
    let message = |text: &str, mode| parse_yaml(text, mode, YamlBudget::MANIFEST).unwrap_err().to_string();
    assert_eq!(
        message("a: 1\nb:\n  c: 1\n  c: 2\n", YamlMode::Kubernetes),
        "line 4, column 3: the key \"c\" is already set in line 3; keep one of the two"
    );
    assert_eq!(
        message("a: ä: x", YamlMode::Kubernetes),
        "line 1, column 5: not valid YAML: mapping values are not allowed in this context; check the indentation, quotes and brackets here and in the line above"
    );
    assert_eq!(
        message("\na:\n  8080: x\n", YamlMode::Kustomize),
        "line 3, column 3: the key 8080 is a number to kustomize, which takes text only; quote it"
    );
    assert_eq!(message("a: &x\n- *x\n", YamlMode::Kustomize), "line 2, column 3: this alias contains itself; write the value out");
    assert_eq!(
        message("a: 1\n---\nb: .inf\n", YamlMode::Kustomize),
        "line 3, column 4: infinity and not-a-number do not exist in Kubernetes; quote the value to mean the text"
    );
}
