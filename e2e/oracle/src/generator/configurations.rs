//! What kustomizations keep in files of their own besides objects: generators, transformers and validators by configuration, field
//! specifications, definitions of custom resources, schemas.

use serde_json::{Value, json};

use super::objects::Known;
use super::patches;
use super::replacements;
use crate::Chance;

/// A transformer by configuration.
pub(super) fn transformer(chance: &mut Chance, known: &[Known]) -> Value {
    let metadata = json!({"metadata": {"name": "not-important"}});
    let all_names = json!([{"path": "metadata/name"}]);
    let labels = json!([{"path": "metadata/labels", "create": true}, {"path": "spec/template/metadata/labels", "create": chance.percent(50), "kind": "Deployment"}]);
    let aim = chance.pick(known);
    let (kind, rest) = match chance.below(14) {
        0 => ("PrefixTransformer", json!({"prefix": "t-", "fieldSpecs": all_names})),
        1 => ("SuffixTransformer", json!({"suffix": "-t", "fieldSpecs": all_names})),
        2 => ("LabelTransformer", json!({"labels": {"by": "transformer"}, "fieldSpecs": labels})),
        3 => (
            "AnnotationsTransformer",
            json!({"annotations": {"by": "transformer", "num": "1"}, "fieldSpecs": [{"path": "metadata/annotations", "create": true}]}),
        ),
        4 => {
            let mut rest = json!({"metadata": {"name": "x", "namespace": "set"}});
            if chance.percent(50) {
                rest["unsetOnly"] = json!(true);
            }
            if chance.percent(50) {
                rest["setRoleBindingSubjects"] = json!(chance.pick(&["none", "allServiceAccounts", "defaultOnly"]));
            }
            if chance.percent(50) {
                rest["fieldSpecs"] = json!([{"path": "metadata/namespace", "create": true}, {"path": "spec/ns", "kind": "Widget"}]);
            }
            ("NamespaceTransformer", rest)
        }
        5 => ("ImageTagTransformer", json!({"imageTag": {"name": "nginx", "newTag": "t1"}, "fieldSpecs": [{"path": "spec/image"}]})),
        6 if matches!(aim.kind.as_str(), "Deployment" | "StatefulSet") => (
            "ReplicaCountTransformer",
            json!({"replica": {"name": aim.name, "count": 7}, "fieldSpecs": [{"path": "spec/replicas", "create": true, "kind": "Deployment"}]}),
        ),
        7 => {
            let body = patches::strategic(chance, aim);
            ("PatchTransformer", json!({"patch": patches::write(chance, false, &body)}))
        }
        8 => {
            let body = patches::json_patch(chance, aim);
            ("PatchTransformer", json!({"patch": patches::write(chance, true, &body), "target": {"kind": aim.kind, "name": aim.name}}))
        }
        9 => {
            let body = patches::json_patch(chance, aim);
            ("PatchJson6902Transformer", json!({"jsonOp": patches::write(chance, true, &body), "target": target(aim)}))
        }
        10 => {
            let body = patches::strategic(chance, aim);
            ("PatchStrategicMergeTransformer", json!({"patches": patches::write(chance, false, &body)}))
        }
        11 => ("ReplacementTransformer", json!({"replacements": [replacements::replacement(chance, known)]})),
        12 => (
            "ValueAddTransformer",
            json!({"value": "added", "targets": [{"selector": {"kind": aim.kind}, "fieldPath": "metadata/namespace"}]}),
        ),
        _ => ("PrefixSuffixTransformer", json!({"prefix": "p-", "suffix": "-s", "fieldSpecs": all_names})),
    };
    builtin(kind, metadata, rest)
}

fn target(aim: &Known) -> Value {
    let mut target = json!({"version": aim.version(), "kind": aim.kind, "name": aim.name});
    if !aim.group().is_empty() {
        target["group"] = json!(aim.group());
    }
    target
}

/// A generator by configuration.
pub(super) fn generator(chance: &mut Chance, name: &str) -> Value {
    let metadata = json!({"metadata": {"name": name}});
    match chance.below(4) {
        0 | 1 => builtin("ConfigMapGenerator", metadata, json!({"literals": ["a=1", "b=two words"]})),
        2 => builtin(
            "SecretGenerator",
            metadata,
            json!({"literals": ["token=x"], "type": "Opaque", "options": {"disableNameSuffixHash": chance.percent(50)}}),
        ),
        _ => builtin(
            "IAMPolicyGenerator",
            metadata,
            json!({"cloud": "gke", "kubernetesService": {"name": name, "namespace": "prod"}, "serviceAccount": {"name": "gsa", "projectId": "p"}}),
        ),
    }
}

/// A validator that finds nothing to change, or something.
pub(super) fn validator(chance: &mut Chance, known: &[Known]) -> Value {
    let aim = chance.pick(known);
    let metadata = json!({"metadata": {"name": "valid"}});
    if chance.percent(70) {
        builtin(
            "AnnotationsTransformer",
            metadata,
            json!({"annotations": {"valid": "yes"}, "fieldSpecs": [{"path": "spec/nothing/annotations"}]}),
        )
    } else {
        builtin("LabelTransformer", metadata, json!({"labels": {"valid": aim.name}, "fieldSpecs": [{"path": "spec/nowhere/labels"}]}))
    }
}

fn builtin(kind: &str, metadata: Value, rest: Value) -> Value {
    let mut object = json!({"apiVersion": "builtin", "kind": kind});
    for part in [metadata, rest] {
        if let (Value::Object(object), Value::Object(fields)) = (&mut object, part) {
            object.extend(fields);
        }
    }
    object
}

/// Field specifications for `configurations`.
pub(super) fn field_specifications(chance: &mut Chance) -> Value {
    let mut all = json!({
        "nameReference": [{"kind": "Secret", "version": "v1", "fieldSpecs": [{"path": "spec/secretRef/name", "kind": "Widget"}]}],
        "images": [{"path": "spec/image", "kind": "Widget"}],
        "commonLabels": [{"path": "spec/labels", "create": true, "kind": "Widget"}],
        "commonAnnotations": [{"path": "spec/annotations", "create": true, "group": "example.com"}],
        "varReference": [{"path": "spec/size", "kind": "Widget"}, {"path": "data", "kind": "ConfigMap"}],
        "namespace": [{"path": "spec/namespace", "kind": "Widget", "create": true}],
        "namePrefix": [{"path": "spec/prefixed", "kind": "Widget"}],
        "nameSuffix": [{"path": "metadata/annotations/note"}],
        "replicas": [{"path": "spec/size", "kind": "Widget", "create": true}],
        "templateLabels": [{"path": "spec/template/metadata/labels", "create": true, "kind": "Widget"}],
        "labels": [{"path": "spec/marks", "create": true, "kind": "Widget"}],
    });
    if let Value::Object(map) = &mut all {
        map.retain(|_, _| chance.percent(40));
    }
    all
}

/// Definitions for `crds`, in the form of the OpenAPI generator.
pub(super) fn definitions() -> Value {
    let text = json!({"type": "string"});
    json!({
        "github.com/example/v1.Widget": {"Schema": {"properties": {
            "apiVersion": text, "kind": text, "metadata": {"$ref": "k8s.io/apimachinery/pkg/apis/meta/v1.ObjectMeta"}, "spec": {"$ref": "github.com/example/v1.WidgetSpec"},
        }, "x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1", "kind": "Widget"}]}, "Dependencies": ["github.com/example/v1.WidgetSpec"]},
        "github.com/example/v1.WidgetSpec": {"Schema": {"properties": {
            "secretRef": {"x-kubernetes-object-ref-api-version": "v1", "x-kubernetes-object-ref-kind": "Secret", "$ref": "k8s.io/api/core/v1.LocalObjectReference"},
            "chosen": {"x-kubernetes-label-selector": ""}, "notes": {"x-kubernetes-annotation": ""}, "who": {"x-kubernetes-identity": ""},
        }}, "Dependencies": []},
        "k8s.io/api/core/v1.LocalObjectReference": {"Schema": {"properties": {"name": text}}, "Dependencies": []},
    })
}

/// A schema for `openapi`, by which lists of a Widget merge by key.
pub(super) fn schema() -> Value {
    let parts = json!({"type": "array", "items": {"$ref": "#/definitions/v1.Part"}, "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge"});
    json!({"definitions": {
        "v1.Widget": {"type": "object", "properties": {"spec": {"type": "object", "properties": {"parts": parts}}},
            "x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1", "kind": "Widget"}]},
        "v1.Part": {"type": "object", "properties": {"name": {"type": "string"}}},
    }})
}
