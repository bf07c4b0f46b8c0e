//! The render itself: choose the engine, run it where a panic cannot get out, settle namespaces, refuse duplicates and excess, take the digest.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use hub_kustomize::{BuildOptions, Place, build};
use hub_tree::{Budget, EntryKind, ReadSet, Reader, SourceTree, TreePath};
use shared_manifest::{Object, canonical_json};
use shared_model::Digest;

use crate::engine::{Engine, choose};
use crate::input::{InputsUsed, RenderInput};
use crate::problem::RenderProblem;
use crate::{OBJECT_LIMIT, OUTPUT_LIMIT, namespace, plain};

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

/// Renders `input` from `tree`, within the budgets of one render. Never panics: a panic of an engine is [`RenderProblem::EngineBug`].
pub fn render(input: &RenderInput, tree: &dyn SourceTree) -> RenderOutcome {
    let reader = Reader::new(tree, Budget::RENDER);
    let mut used = InputsUsed::default();
    let mut warnings = Vec::new();
    let result = guarded(|| run(input, &reader, &mut used, &mut warnings));
    RenderOutcome { result, read_set: reader.into_read_set(), inputs_used: used, warnings }
}

/// Runs `work` and turns a panic into a problem. What `work` has written until then is only ever added to, never half changed.
fn guarded<T>(work: impl FnOnce() -> Result<T, RenderProblem>) -> Result<T, RenderProblem> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(RenderProblem::EngineBug { message: panic_text(panic.as_ref()) }))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").chars().take(200).collect()
}

fn run(input: &RenderInput, reader: &Reader<'_>, used: &mut InputsUsed, warnings: &mut Vec<Warning>) -> Result<Rendered, RenderProblem> {
    match reader.entry(&input.path)? {
        Some((_, entry)) if entry.kind == EntryKind::Directory => {}
        _ => return Err(RenderProblem::NoDirectory { path: input.path.clone() }),
    }
    let engine = choose(input.engine, reader, &input.path)?;
    used.engine = Some(engine);
    let mut objects = match engine {
        Engine::Plain => plain::objects(reader, &input.path, input.recurse)?,
        Engine::Kustomize => {
            let built = build(reader, &input.path, &BuildOptions::default())?;
            warnings.extend(built.warnings.into_iter().map(|warning| Warning { file: warning.file, text: warning.text }));
            built.objects.into_iter().zip(built.places).collect()
        }
    };
    if objects.len() > OBJECT_LIMIT {
        return Err(RenderProblem::TooManyObjects { found: objects.len(), limit: OBJECT_LIMIT });
    }
    namespace::settle(&mut objects, input, used)?;
    refuse_duplicates(&objects)?;
    digested(objects.into_iter().map(|(object, _)| object).collect())
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
