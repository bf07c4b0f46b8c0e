//! The render itself: build where a panic cannot get out, replace variables, set what is common, settle namespaces, refuse duplicates and
//! excess, take the digest.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use hub_kustomize::Place;
use hub_tree::{ReadSet, SourceTree, TreePath};
use shared_manifest::{Object, Tree, canonical_json};
use shared_model::Digest;

use crate::builds::{Builds, Made};
use crate::charts;
use crate::engine::Engine;
use crate::input::{InputsUsed, RenderInput};
use crate::problem::RenderProblem;
use crate::substitute::{Substituting, SubstitutionProblem, value_has_dollar};
use crate::{OBJECT_LIMIT, OUTPUT_LIMIT, namespace};

/// All that came of a render, also of one that failed.
#[derive(Debug, Clone)]
pub struct RenderOutcome {
    /// The objects, or why there are none.
    pub result: Result<Rendered, RenderProblem>,
    /// What was learned from the tree. As long as it holds, and the inputs agree, the result is the same.
    pub read_set: ReadSet,
    /// Which parts of the input made a difference.
    pub inputs_used: InputsUsed,
    /// What is allowed and worth a look.
    pub warnings: Vec<Warning>,
}

/// Something that is allowed and worth a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file it is about.
    pub file: TreePath,
    /// What to know.
    pub text: String,
}

/// The objects of an app on a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// The objects in the order of the engine, each of another identity.
    pub objects: Vec<Object>,
    /// The digest of the objects and their order.
    pub digest: Digest,
}

impl Rendered {
    /// Whether there is no object at all: a fact, which the planner holds against a release that had some.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}

/// Renders `input` from `tree`, within the budgets of one render. Never panics: a panic of an engine is [`RenderProblem::EngineBug`]. What was
/// built before is taken from `builds`.
pub fn render(input: &RenderInput, tree: &dyn SourceTree, builds: &Builds) -> RenderOutcome {
    let mut notes = Notes::default();
    let result = guarded(|| run(input, tree, builds, &mut notes));
    RenderOutcome { result, read_set: notes.read_set, inputs_used: notes.used, warnings: notes.warnings }
}

/// What is known about a render however it ends.
#[derive(Default)]
struct Notes {
    read_set: ReadSet,
    used: InputsUsed,
    warnings: Vec<Warning>,
}

/// Runs `work` and turns a panic into a problem. What `work` has written until then is only ever added to, never half changed.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, RenderProblem>) -> Result<T, RenderProblem> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(RenderProblem::EngineBug { message: panic_text(panic.as_ref()) }))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").chars().take(200).collect()
}

fn run(input: &RenderInput, tree: &dyn SourceTree, builds: &Builds, notes: &mut Notes) -> Result<Rendered, RenderProblem> {
    let build = builds.get(input, tree);
    notes.read_set = build.read_set;
    notes.used.engine = build.engine;
    if build.built.is_err() && build.engine != Some(Engine::Plain) {
        // What a chart asked before it failed is not known.
        notes.used.charts = charts::all_used();
    }
    let built = build.built?;
    notes.warnings.clone_from(&built.warnings);
    notes.used.charts = built.used.clone();
    if built.objects.len() > OBJECT_LIMIT {
        return Err(RenderProblem::TooManyObjects { found: built.objects.len(), limit: OBJECT_LIMIT });
    }
    let mut work = input.needed_substitution().map(Substituting::new);
    let mut objects = Vec::with_capacity(built.objects.len());
    for (made, place) in &built.objects {
        let mut object = object(made, place, work.as_mut(), &mut notes.used)?;
        input.common.apply(&mut object);
        objects.push((object, place.clone()));
    }
    namespace::settle(&mut objects, input, &mut notes.used)?;
    refuse_duplicates(&objects)?;
    digested(objects.into_iter().map(|(object, _)| object).collect())
}

/// The object that was made, with its variables replaced.
fn object(made: &Made, place: &Place, work: Option<&mut Substituting<'_>>, used: &mut InputsUsed) -> Result<Object, RenderProblem> {
    let not_an_object = |error| RenderProblem::NotAnObject { place: place.clone(), error };
    let as_it_was = || match made {
        Made::Tree(tree) | Made::Read(tree) => tree.to_value(),
        Made::Value(value) => value.clone(),
    };
    let again = match (work, made) {
        (Some(work), Made::Tree(tree)) => work.object(tree, used),
        (Some(work), Made::Value(value)) if value_has_dollar(value) => work.object(&Tree::from(value), used),
        (Some(work), Made::Read(tree)) => {
            let value = tree.to_value();
            if value_has_dollar(&value) { work.object(&Tree::from(&value), used) } else { Ok(None) }
        }
        _ => Ok(None),
    };
    let refused = |line, problem| match Object::from_value(as_it_was()) {
        Ok(object) => RenderProblem::Substitution { object: object.to_string(), place: place.clone(), line, problem },
        // It was none before.
        Err(error) => not_an_object(error),
    };
    match again {
        Ok(None) => Object::from_value(as_it_was()).map_err(not_an_object),
        Ok(Some(tree)) => Object::from_value(tree.to_value()).map_err(|error| refused(0, SubstitutionProblem::NotAnObject(error))),
        Err((line, problem)) => Err(refused(line, problem)),
    }
}

fn refuse_duplicates(objects: &[(Object, Place)]) -> Result<(), RenderProblem> {
    let mut seen = BTreeMap::new();
    for (object, place) in objects {
        if let Some(first) = seen.insert(object.key(), place) {
            return Err(RenderProblem::Duplicate { object: object.to_string(), first: first.clone(), second: place.clone() });
        }
    }
    Ok(())
}

fn digested(objects: Vec<Object>) -> Result<Rendered, RenderProblem> {
    let mut total = 0;
    let mut digests = Vec::with_capacity(objects.len() * 32);
    for object in &objects {
        let canonical = canonical_json(object.value());
        total += canonical.len();
        if total > OUTPUT_LIMIT {
            return Err(RenderProblem::TooManyBytes { limit: OUTPUT_LIMIT });
        }
        digests.extend_from_slice(Digest::of(&canonical).as_bytes());
    }
    Ok(Rendered { digest: Digest::of(&digests), objects })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_an_engine_is_a_problem_of_its_app_alone() {
        let problem = guarded::<()>(|| panic!("index 7 of {}", 3)).expect_err("a problem");
        assert_eq!(problem, RenderProblem::EngineBug { message: "index 7 of 3".to_owned() });
        assert!(problem.to_string().starts_with("BUG:"));
    }
}
