//! Any text with any variables: an object without `$` stays as it is, what is written with `$$` comes out with `$`, and nothing else than the
//! variables that were asked for matters. The input's sections are `object`, `variables` (a line `NAME=VALUE` each) and, if it shall be so,
//! `strict`.

use std::collections::BTreeMap;

use hub_render::{InputsUsed, Substituting, Substitution, SubstitutionProblem, Variables};
use shared_manifest::{Tree, Value, YamlBudget, YamlMode, parse_trees, write_yaml};

use crate::{reading_back, sections};

const READING: YamlBudget = YamlBudget::MANIFEST;
/// What was read fits [`READING`]; written out and with `$` doubled, it may be longer.
const READING_BACK: YamlBudget = YamlBudget::BUNDLE;

/// The most that is printed of what fits an app's output: indentation, quotes and escapes.
const PRINTED_LIMIT: usize = 8 * hub_render::OUTPUT_LIMIT;

/// What became of an object, printed, and what was used for it.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    result: Result<Option<String>, (u32, SubstitutionProblem)>,
    used: InputsUsed,
}

pub(crate) fn check(input: &[u8]) {
    let sections: BTreeMap<&str, &[u8]> = sections::split(input).into_iter().collect();
    let text = |name: &str| sections.get(name).and_then(|content| std::str::from_utf8(content).ok()).unwrap_or_default();
    let variables = variables(text("variables"));
    let is_strict = sections.contains_key("strict");
    for object in objects(text("object")) {
        check_object(&object, &variables, is_strict);
    }
}

/// The documents of a text. One that is no YAML is a text by itself.
fn objects(text: &str) -> Vec<Tree> {
    match parse_trees(text, YamlMode::Kustomize, READING) {
        Ok(documents) => documents.into_iter().map(|document| document.tree).collect(),
        Err(_) => vec![Tree::from(&Value::from(text))],
    }
}

/// What has no valid name is left out.
fn variables(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned()));
    pairs.filter(|(name, _)| Variables::new(BTreeMap::from([(name.clone(), String::new())])).is_ok()).collect()
}

fn check_object(object: &Tree, variables: &BTreeMap<String, String>, is_strict: bool) {
    let written = printed(object);
    let outcome = substituted(object, variables, is_strict);
    // Not that of the printed text: behind a byte order mark every character is escaped.
    if !object.to_value().to_string().contains('$') {
        let untouched = Outcome { result: Ok(None), used: InputsUsed::default() };
        assert_eq!(outcome, untouched, "without an expression\n{written}");
    }
    if let Err((line, problem)) = &outcome.result {
        assert!(!problem.to_string().is_empty() && *line as usize <= PRINTED_LIMIT, "line {line}: {problem}");
        if matches!(problem, SubstitutionProblem::TooManySteps { .. } | SubstitutionProblem::TooManyBytes { .. }) {
            // Once takes long enough.
            return;
        }
    }
    let asked = variables.iter().filter(|(name, _)| outcome.used.variables.contains_key(*name));
    let asked = asked.map(|(name, value)| (name.clone(), value.clone())).collect();
    assert_eq!(substituted(object, &asked, is_strict), outcome, "with no more than the variables that were asked for\n{written}");
    if is_strict && outcome.result.is_ok() {
        assert_eq!(substituted(object, variables, false), outcome, "not strict\n{written}");
    }
    if reading_back::is_exact(object) {
        check_escaped(&written, variables, is_strict);
    }
}

/// With every `$` doubled, the object comes out as the text with single ones is read.
fn check_escaped(written: &str, variables: &BTreeMap<String, String>, is_strict: bool) {
    let escaped = written.replace('$', "$$");
    let documents = parse_trees(&escaped, YamlMode::Kustomize, READING_BACK);
    let documents = documents.unwrap_or_else(|error| panic!("{error} with every $ doubled\n{escaped}"));
    let [document] = &documents[..] else { panic!("{} documents with every $ doubled\n{escaped}", documents.len()) };
    let outcome = substituted(&document.tree, variables, is_strict);
    let values = |text: &str| {
        let documents = parse_trees(text, YamlMode::Kubernetes, READING_BACK).ok()?;
        documents.first().map(|document| document.tree.to_value())
    };
    match &outcome.result {
        Ok(None) => {}
        Ok(Some(text)) => {
            let (wanted, got) = (values(written), values(text));
            let is_same = wanted.as_ref().zip(got.as_ref()).is_some_and(|(wanted, got)| reading_back::is_same(wanted, got));
            assert!(is_same, "{got:?} came of what stands for {wanted:?}\n{escaped}");
        }
        Err((line, SubstitutionProblem::Yaml(_))) => {
            assert_eq!(values(written), None, "line {line}: {:?}\n{escaped}", outcome.result);
        }
        Err((line, problem)) => panic!("line {line}: {problem} with every $ doubled\n{escaped}"),
    }
}

fn substituted(object: &Tree, variables: &BTreeMap<String, String>, is_strict: bool) -> Outcome {
    let variables = Variables::new(variables.clone()).expect("names were checked");
    let substitution = Substitution { variables, is_always: true, is_strict };
    let mut used = InputsUsed::default();
    let result = Substituting::new(&substitution).object(object, &mut used);
    Outcome { result: result.map(|made| made.as_ref().map(printed)), used }
}

fn printed(tree: &Tree) -> String {
    let mut text = String::new();
    write_yaml(tree, &mut text);
    assert!(text.len() <= PRINTED_LIMIT, "{} bytes are printed", text.len());
    text
}
