//! The namespace of every object: kinds that live in one get the app's if they name none, kinds that do not lose what they name.
//!
//! Whether a kind lives in a namespace is asked, in this order, of the table of built-in kinds, of the definitions in the same render, and of
//! what the cluster has reported. A custom kind that none of them knows is taken to live in one: most do, and an object put into a namespace
//! by mistake is refused by the API server by name, while one left out by mistake would land in `default` unseen.

use std::collections::BTreeMap;

use hub_kustomize::Place;
use shared_manifest::{Object, scope_of};
use shared_model::{GroupKind, Scope};

use crate::input::{InputsUsed, RenderInput};
use crate::problem::RenderProblem;

/// Sets the namespaces of `objects` and notes in `used` what was asked.
pub(crate) fn settle(objects: &mut [(Object, Place)], input: &RenderInput, used: &mut InputsUsed) -> Result<(), RenderProblem> {
    let defined = definitions(objects);
    for (object, place) in objects {
        let kind = object.group_kind();
        let known = scope_of(&kind).or_else(|| defined.get(&kind).copied());
        let scope = known.or_else(|| {
            let answer = input.facts.scopes.get(&kind).copied();
            used.scopes.insert(kind, answer);
            answer
        });
        match scope {
            Some(Scope::Cluster) => object.set_namespace(None),
            Some(Scope::Namespaced) | None if object.namespace().is_some() => {}
            scope => {
                used.namespace = true;
                match (&input.namespace, scope) {
                    (Some(namespace), _) => object.set_namespace(Some(namespace)),
                    (None, Some(_)) => return Err(RenderProblem::NoNamespace { object: object.to_string(), place: place.clone() }),
                    (None, None) => {}
                }
            }
        }
    }
    Ok(())
}

/// The scopes that custom definitions among the objects state.
fn definitions(objects: &[(Object, Place)]) -> BTreeMap<GroupKind, Scope> {
    let definition = |object: &Object| {
        let spec = &object.value()["spec"];
        let kind = GroupKind::new(spec["group"].as_str()?, spec["names"]["kind"].as_str()?);
        match spec["scope"].as_str()? {
            "Cluster" => Some((kind, Scope::Cluster)),
            "Namespaced" => Some((kind, Scope::Namespaced)),
            _ => None,
        }
    };
    let is_definition = |object: &&Object| object.kind() == "CustomResourceDefinition";
    objects.iter().map(|(object, _)| object).filter(is_definition).filter_map(definition).collect()
}
