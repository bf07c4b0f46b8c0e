//! What stands in the way of an apply that the API server refuses: fields that another tool applied before, and fields that were filled in and
//! exclude what is wanted now. Both go as soon as we hold them and do not want them.

use serde_json::{Value, json};
use shared_model::GroupKind;

use crate::ownership::{is_own_entry, take_over};

/// Group, kind, the fields down to what both are in, the choice in its `type`, and the field beside it that the choice excludes.
const EXCLUDED: [(&str, &str, [&str; 2], &str, &str); 2] = [
    ("apps", "Deployment", ["spec", "strategy"], "Recreate", "rollingUpdate"),
    ("apps", "StatefulSet", ["spec", "updateStrategy"], "OnDelete", "rollingUpdate"),
];

/// The `managedFields` of `live` under which the next apply of `wanted` removes what stands in its way. `None` if nothing does.
pub fn make_way(wanted: &Value, live: &Value, own: &str) -> Option<Value> {
    let taken = take_over(live, own);
    let claims = filled_in(wanted, live);
    if claims.is_empty() {
        return taken;
    }
    let mut managed = taken.or_else(|| live.pointer("/metadata/managedFields").cloned())?;
    let ours = managed.as_array_mut()?.iter_mut().find(|entry| is_own_entry(entry, own))?;
    for (path, fields) in claims {
        let mut at = &mut ours["fieldsV1"];
        for field in path {
            at = &mut at[format!("f:{field}")];
        }
        for field in fields {
            at[format!("f:{field}")] = json!({});
        }
    }
    Some(managed)
}

/// The fields of `live` that the choices of `wanted` exclude: where they are, and their names.
fn filled_in<'a>(wanted: &Value, live: &'a Value) -> Vec<([&'static str; 3], Vec<&'a str>)> {
    let text = |field: &str| wanted.get(field).and_then(Value::as_str).unwrap_or_default();
    let kind = GroupKind::of(text("apiVersion"), text("kind"));
    let of_kind = EXCLUDED.into_iter().filter(|(group, name, ..)| kind.group == *group && kind.kind == *name);
    let claims = of_kind.filter_map(|(_, _, [outer, inner], choice, excluded)| {
        let fields = wanted.get(outer)?.get(inner)?;
        let chosen = fields.get("type").and_then(Value::as_str) == Some(choice) && fields.get(excluded).is_none();
        let found = live.get(outer)?.get(inner)?.get(excluded)?.as_object().filter(|_| chosen)?;
        Some(([outer, inner, excluded], found.keys().map(String::as_str).collect()))
    });
    claims.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(strategy: &Value, fields: &Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"strategy": strategy},
            "metadata": {"managedFields": [{"manager": "capstan", "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": fields}]}})
    }

    #[test]
    fn what_a_choice_excludes_is_claimed_so_that_it_goes() {
        let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
        let live = deployment(&rolling, &json!({"f:spec": {"f:replicas": {}}}));
        let wanted = |strategy: Value| deployment(&strategy, &json!({}));
        let claimed = make_way(&wanted(json!({"type": "Recreate"})), &live, "capstan").expect("something stands in the way");
        let fields = json!({"f:replicas": {}, "f:strategy": {"f:rollingUpdate": {"f:maxSurge": {}, "f:maxUnavailable": {}}}});
        assert_eq!(claimed[0]["fieldsV1"]["f:spec"], fields);
        assert_eq!(make_way(&wanted(json!({"type": "RollingUpdate"})), &live, "capstan"), None);
        let asked_for = json!({"type": "Recreate", "rollingUpdate": {"maxSurge": 1}});
        assert_eq!(make_way(&wanted(asked_for), &live, "capstan"), None, "the API server refuses that in its own words");
    }
}
