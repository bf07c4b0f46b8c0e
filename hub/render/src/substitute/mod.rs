//! Flux's postBuild substitution: in the YAML text of every object that was built, expressions such as `${region}` are replaced, and the text is
//! read again as kubectl reads it, so that `replicas: ${n}` becomes a number. The rules are those of kustomize-controller (`fluxcd/pkg`
//! `envsubst` 1.9 and `kustomize` 1.44). Where the values come from is left to the fleet.
//!
//! Differences from Flux, all refusals: `${v:+x}` and `${v:?x}`, which Flux takes for defaults; two equal keys that come of a substitution, of
//! which Flux takes the last; what goes beyond a budget.

mod evaluate;
mod glob;
mod problem;
mod template;

use std::collections::BTreeMap;

use shared_manifest::{Text, Tree, Value, YamlBudget, YamlMode, parse_trees, write_yaml};

pub use problem::SubstitutionProblem;

use crate::input::InputsUsed;
use evaluate::{Budget, Evaluation};
use problem::Fault;
use template::Template;

/// The label or annotation by which an object stays as it is, if its value is `disabled`.
const SWITCH: &str = "kustomize.toolkit.fluxcd.io/substitute";

/// Variables of a substitution: names that Flux takes, and values of one line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Variables(BTreeMap<String, String>);

/// A name that no variable can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no name of a variable: use letters, digits and '_', beginning with no digit")]
pub struct InvalidVariable(pub String);

/// What to substitute, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Substitution {
    /// The variables.
    pub variables: Variables,
    /// Whether it is done also if there are no variables, for the sake of defaults.
    pub is_always: bool,
    /// Whether a variable that is not set and has no default is an error; otherwise it is empty.
    pub is_strict: bool,
}

impl Variables {
    /// The variables with these values, from which line breaks are taken out.
    ///
    /// # Errors
    /// The first name that is none.
    pub fn new(values: BTreeMap<String, String>) -> Result<Self, InvalidVariable> {
        let is_name = |name: &str| {
            name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic()) && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
        };
        if let Some(name) = values.keys().find(|name| !is_name(name)) {
            return Err(InvalidVariable(name.clone()));
        }
        Ok(Self(values.into_iter().map(|(name, value)| (name, value.replace('\n', ""))).collect()))
    }

    /// The values by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }
}

impl Substitution {
    /// Whether there is anything to do.
    pub(crate) fn is_needed(&self) -> bool {
        self.is_always || !self.variables.0.is_empty()
    }

    /// Whether `self` would have given the same answers.
    pub(crate) fn gives(&self, answers: &BTreeMap<String, Option<String>>) -> bool {
        answers.iter().all(|(name, answer)| self.variables.0.get(name) == answer.as_ref())
    }
}

/// Names only: a value may be a secret.
impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// One substitution at work on the objects of an app, which share its budget.
pub struct Substituting<'a> {
    substitution: &'a Substitution,
    budget: Budget,
    /// The text of the last object, kept for its room.
    text: String,
}

impl<'a> Substituting<'a> {
    /// Begins, with nothing used up.
    pub fn new(substitution: &'a Substitution) -> Self {
        Self { substitution, budget: Budget::default(), text: String::new() }
    }

    /// The object with its variables replaced; `None` if it stays as it was. `used` learns which they were.
    ///
    /// # Errors
    /// What is wrong, and the line in the object's text or 0.
    pub fn object(&mut self, object: &Tree, used: &mut InputsUsed) -> Result<Option<Tree>, (u32, SubstitutionProblem)> {
        let Substitution { variables, is_strict, .. } = self.substitution;
        if !has_dollar(object) || is_switched_off(object) {
            return Ok(None);
        }
        used.substituted = true;
        self.text.clear();
        write_yaml(object, &mut self.text);
        let template = Template::parse(&self.text).map_err(Fault::into_parts)?;
        let mut evaluation =
            Evaluation { variables: &variables.0, is_strict: *is_strict, asked: &mut used.variables, budget: &mut self.budget };
        let made = evaluation.text(&template).map_err(Fault::into_parts)?;
        let text = String::from_utf8(made).map_err(|_| (0, SubstitutionProblem::NotText))?;
        let documents = parse_trees(&text, YamlMode::Kubernetes, YamlBudget::MANIFEST)
            .map_err(|error| (error.line, SubstitutionProblem::Yaml(error)))?;
        // Of several documents Flux takes the first.
        Ok(Some(documents.into_iter().next().map(|document| document.tree).unwrap_or_default()))
    }
}

impl Fault {
    fn into_parts(self) -> (u32, SubstitutionProblem) {
        (self.line, self.problem)
    }
}

/// Whether any text of the object, keys included, has a `$`: without one its text stays as it is.
fn has_dollar(tree: &Tree) -> bool {
    match tree {
        Tree::List(items) => items.iter().any(has_dollar),
        Tree::Map(map) => map.iter().any(|(key, value)| key.contains('$') || has_dollar(value)),
        scalar => scalar.written().is_some_and(|text| text.contains('$')),
    }
}

/// As [`has_dollar`], for a value that is no tree yet.
pub(crate) fn value_has_dollar(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(value_has_dollar),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains('$') || value_has_dollar(value)),
        Value::String(text) => text.contains('$'),
        _ => false,
    }
}

fn is_switched_off(object: &Tree) -> bool {
    let metadata = &object["metadata"];
    ["labels", "annotations"].iter().any(|field| metadata[field][SWITCH].written().map(Text::as_str) == Some("disabled"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `text` becomes, with the line of what is wrong.
    fn evaluated(text: &str, variables: &[(&str, &str)], is_strict: bool) -> Result<Vec<u8>, (u32, SubstitutionProblem)> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (mut asked, mut budget) = (BTreeMap::new(), Budget::default());
        let template = Template::parse(text).map_err(Fault::into_parts)?;
        let mut evaluation = Evaluation { variables: &variables, is_strict, asked: &mut asked, budget: &mut budget };
        evaluation.text(&template).map_err(Fault::into_parts)
    }

    /// Each line of the file is a text with what `github.com/fluxcd/pkg/envsubst` v1.8.0 (of which v1.9.0 is a copy) answered.
    #[test]
    fn expressions_become_what_flux_makes_of_them() {
        let (mut wrong, mut values, mut refusals) = (Vec::new(), 0, 0);
        for line in include_str!("../../tests/substitute/expressions.jsonl").lines() {
            let case = shared_manifest::parse_yaml(line, YamlMode::Kustomize, YamlBudget::MANIFEST).expect("JSON").remove(0).value;
            let variables: Vec<(&str, &str)> = case["variables"]
                .as_object()
                .expect("variables")
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str().expect("text")))
                .collect();
            let ours = evaluated(case["text"].as_str().expect("a text"), &variables, case["strict"] == true);
            let wanted = match (case["value"].as_str(), case["bytes"].as_str()) {
                _ if case["refusedHereOnly"] == true => None,
                (Some(value), _) => Some(value.as_bytes().to_vec()),
                (_, bytes) => {
                    bytes.map(|hex| (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex")).collect())
                }
            };
            if wanted.is_some() {
                values += 1;
            } else {
                refusals += 1;
            }
            let is_unset = case["refused"].as_str().is_some_and(|refused| refused.contains("variable not set"));
            let says_unset = matches!(ours, Err((_, SubstitutionProblem::Unset { .. })));
            if ours.clone().ok() != wanted || is_unset != says_unset {
                wrong.push(format!("{line}\n  ours: {ours:?}"));
            }
        }
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
        assert!(values >= 200 && refusals >= 80, "{values} {refusals}");
    }

    #[test]
    fn each_budget_holds_at_its_limit_and_not_beyond() {
        let nested = |depth: usize| format!("{}x{}", "${a:=".repeat(depth), "}".repeat(depth));
        assert_eq!(evaluated(&nested(template::DEPTH_LIMIT), &[], true), Ok(b"x".to_vec()));
        assert_eq!(evaluated(&nested(template::DEPTH_LIMIT + 1), &[], true), Err((1, SubstitutionProblem::TooDeep)));
        let long = "a".repeat(60_000);
        let grown = evaluated("${a//a/${a}}", &[("a", &long)], true);
        assert!(matches!(grown, Err((1, SubstitutionProblem::TooManyBytes { .. }))));
        let matched = evaluated("\n${a##*a*a*a*b}", &[("a", &long)], true);
        assert!(matches!(matched, Err((2, SubstitutionProblem::TooManySteps { .. }))));
    }

    #[test]
    fn a_refusal_names_the_line_and_what_to_write() {
        for (text, line, said) in [
            ("a: 1\nb: ${x}", 2, "the variable x is not set; set it in postBuild.substitute, or give it a default: \"${x:=…}\"; text that"),
            ("${x-1}", 1, "\"${x-…}\" is not read by Flux either; with a colon a default is \"${x:-…}\""),
            ("\n\n${x:+1}", 3, "\"${x:+…}\" would be a default in Flux and is another thing in a shell"),
            ("${x", 1, "\"${x\" has no closing \"}\""),
            ("${}", 1, "\"${\" has no name of a variable"),
            ("${y:=${x/a}}", 1, "\"${x\" has no \"/\" between what is replaced and the replacement"),
        ] {
            let (at, problem) = evaluated(text, &[], true).expect_err("a refusal");
            let words = problem.to_string();
            assert!(at == line && words.starts_with(said), "{text}: line {at}: {words}");
        }
    }

    #[test]
    fn values_lose_their_line_breaks_and_names_follow_the_rule() {
        let pair = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let variables = Variables::new(pair("_a1", "one\ntwo\n")).expect("a name");
        assert_eq!(variables.0["_a1"], "onetwo");
        assert!(!format!("{variables:?}").contains("onetwo"), "a value may be a secret");
        for bad in ["", "1a", "a-b", "ä", "a b"] {
            assert_eq!(Variables::new(pair(bad, "")), Err(InvalidVariable(bad.to_owned())));
        }
    }
}
