//! Substitution beside the real thing: `tests/substitute/objects.jsonl` holds objects, variables and what `SubstituteVariables` of
//! `github.com/fluxcd/pkg/kustomize` v1.41.0 made of them after kustomize 5.8.1 had read them.

use std::collections::BTreeMap;

use hub_kustomize::Layers;
use hub_render::{Builds, ClusterFacts, CommonMetadata, EngineChoice, RenderInput, RenderProblem, Substitution, Variables, render};
use hub_tree::{MemoryTree, TreePath};
use shared_manifest::{Value, YamlBudget, YamlMode, canonical_json, parse_yaml};

fn cases() -> impl Iterator<Item = Value> {
    include_str!("substitute/objects.jsonl").lines().map(json)
}

fn json(text: &str) -> Value {
    parse_yaml(text, YamlMode::Kustomize, YamlBudget::MANIFEST).expect("JSON").remove(0).value
}

/// The object with its variables replaced, or why not.
fn substituted(case: &Value) -> Result<Value, String> {
    let texts = case["variables"].as_object().expect("variables").iter();
    let texts = texts.map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned())).collect::<BTreeMap<_, _>>();
    let flag = |name: &str| case[name].as_bool().expect("a flag");
    let variables = Variables::new(texts).map_err(|error| error.to_string())?;
    let input = RenderInput {
        app: "web".parse().expect("a name"),
        cluster: "gpu-a".parse().expect("a name"),
        path: TreePath::parse("app").expect("a path"),
        base: TreePath::root(),
        helm: None,
        chance: None,
        today: 0,
        namespace: None,
        engine: EngineChoice::Detect,
        recurse: false,
        layers: Layers::default(),
        substitution: Some(Substitution { variables, is_always: flag("always"), is_strict: flag("strict") }),
        common: CommonMetadata::default(),
        facts: ClusterFacts::default(),
    };
    let object = case["object"].as_str().expect("an object");
    let tree = MemoryTree::of(&[("app/kustomization.yaml", "resources: [object.yaml]"), ("app/object.yaml", object)]);
    let outcome = render(&input, &tree, &Builds::new(0));
    match outcome.result {
        Ok(rendered) => Ok(rendered.objects[0].value().clone()),
        Err(problem @ RenderProblem::Substitution { .. }) => Err(problem.to_string()),
        Err(problem) => panic!("{problem}\n{object}"),
    }
}

#[test]
fn objects_become_what_flux_makes_of_them() {
    let (mut wrong, mut count) = (Vec::new(), [0, 0, 0]);
    for case in cases() {
        let wanted = match (&case["value"], &case["skipped"]) {
            (Value::Null, Value::Null) => None,
            (Value::Null, _) => Some(json(case["object"].as_str().expect("an object"))),
            (value, _) => Some(value.clone()),
        };
        let ours = substituted(&case);
        let is_same = match (&ours, &wanted) {
            (Ok(ours), Some(wanted)) => canonical_json(ours) == canonical_json(wanted),
            (Err(_), None) => true,
            (Err(problem), Some(_)) => problem.contains("is already set in line"),
            (Ok(_), None) => false,
        };
        count[usize::from(wanted.is_none()) + usize::from(wanted.is_none() != ours.is_err())] += 1;
        if !is_same {
            wrong.push(format!("{case}\nours: {}", ours.map_or_else(|problem| problem, |value| value.to_string())));
        }
    }
    assert!(wrong.is_empty(), "{} of {count:?} differ:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n\n"));
    assert!(count[0] >= 100 && count[1] >= 50, "{count:?}");
}
