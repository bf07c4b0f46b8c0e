//! Bundles of custom resource definitions as controller-gen writes them: deep schemas with some lines of description at every field. They are
//! the largest files that people hand to kustomize.

use e2e_oracle::Chance;

use super::prose::{sentences, wrapped};
use super::{Corpus, Family, chance, kustomization};

/// How deep fields lie in each other, about as far as in a pod template inside of a custom resource.
const DEPTH: usize = 7;

/// The bundles, and how many KB each of their definitions has: from a lone small one to what serving and workflow systems bring.
pub(super) const BUNDLES: [(&str, &[usize]); 10] = [
    ("certificates", &[20]),
    ("gateway", &[25, 30, 12]),
    ("kueue", &[40, 30, 18, 12, 90]),
    ("jobset", &[350]),
    ("ray", &[320, 280, 290]),
    ("training", &[180, 160, 190, 170]),
    ("monitoring", &[210, 150, 160, 120, 30]),
    ("serving", &[480, 420, 60, 25]),
    ("workflows", &[620, 580, 150]),
    ("inference", &[760, 520, 400, 280]),
];

const FIELDS: [&str; 48] = [
    "affinity",
    "annotations",
    "args",
    "automountServiceAccountToken",
    "backoffLimit",
    "command",
    "concurrencyPolicy",
    "conditions",
    "containerConcurrency",
    "containers",
    "defaultMode",
    "dnsConfig",
    "effect",
    "env",
    "failurePolicy",
    "gateways",
    "hostNetwork",
    "image",
    "initContainers",
    "items",
    "keys",
    "lifecycle",
    "livenessProbe",
    "matchExpressions",
    "maxReplicas",
    "minReplicas",
    "mountPath",
    "network",
    "nodeSelector",
    "observedGeneration",
    "optional",
    "ports",
    "predictor",
    "priorityClassName",
    "queueName",
    "readinessProbe",
    "replicas",
    "resourceFlavors",
    "resources",
    "runtimeClassName",
    "schedulerName",
    "secretRef",
    "securityContext",
    "strategy",
    "suspend",
    "template",
    "tolerations",
    "volumes",
];

/// What an installation adds to definitions that come from elsewhere.
const LABELLED: &str = "labels:
- pairs:
    app.kubernetes.io/part-of: platform
    app.kubernetes.io/managed-by: capstan
patches:
- target:
    kind: CustomResourceDefinition
  patch: |-
    - op: add
      path: /metadata/annotations/helm.sh~1resource-policy
      value: keep
";

/// Adds the bundles, each as a target of its own and once more with labels and a patch.
pub(super) fn add(corpus: &mut Corpus) {
    for (bundle, sizes) in BUNDLES {
        let mut names = Vec::new();
        for (index, kilobytes) in sizes.iter().enumerate() {
            let kind =
                format!("{}{}", capital(bundle.strip_suffix('s').unwrap_or(bundle)), ["", "Set", "Policy", "Runtime", "Graph"][index]);
            let name = format!("{}s.{bundle}.capstan.example", kind.to_lowercase());
            corpus.file(format!("crds/{bundle}/{name}.yaml"), definition(&kind, &name, kilobytes << 10));
            names.push(format!("{name}.yaml"));
        }
        corpus.target(Family::Definitions, format!("crds/{bundle}"), kustomization(&names, ""));
        corpus.target(Family::Definitions, format!("crds-labelled/{bundle}"), kustomization(&[format!("../../crds/{bundle}")], LABELLED));
    }
}

/// One definition of about `bytes`.
fn definition(kind: &str, name: &str, bytes: usize) -> String {
    let mut dice = chance(name);
    let (plural, group) = name.split_once('.').unwrap_or((name, ""));
    let singular = kind.to_lowercase();
    let mut text = format!(
        "---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  annotations:
    controller-gen.kubebuilder.io/version: v0.16.5
  name: {name}
spec:
  group: {group}
  names:
    kind: {kind}
    listKind: {kind}List
    plural: {plural}
    shortNames:
    - {}
    singular: {singular}
  scope: Namespaced
  versions:
  - additionalPrinterColumns:
    - jsonPath: .status.conditions[?(@.type=='Ready')].status
      name: Ready
      type: string
    - jsonPath: .metadata.creationTimestamp
      name: Age
      type: date
    name: v1
    schema:
      openAPIV3Schema:
        description: {kind} is the Schema for the {plural} API
        properties:
          apiVersion:
            description: |-
              APIVersion defines the versioned schema of this representation of an object.
              Servers should convert recognized schemas to the latest internal value, and
              may reject unrecognized values.
              More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources
            type: string
          kind:
            description: |-
              Kind is a string value representing the REST resource this object represents.
              Servers may infer this from the endpoint the client submits requests to.
              Cannot be updated.
              In CamelCase.
              More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds
            type: string
          metadata:
            type: object
          spec:
            description: {kind}Spec defines the desired state of {kind}
            properties:
",
        &singular[..singular.len().min(3)]
    );
    let mut field = 0;
    while text.len() < bytes {
        property(&mut text, &mut dice, &format!("field{field}"), 14, 1, bytes);
        field += 1;
    }
    text.push_str(
        "            type: object
          status:
            properties:
              observedGeneration:
                format: int64
                type: integer
            type: object
        required:
        - spec
        type: object
    served: true
    storage: true
    subresources:
      status: {}
",
    );
    text
}

/// The field `name` at column `indent`, with all below it; not much more than `limit` bytes of text in all.
fn property(text: &mut String, dice: &mut Chance, name: &str, indent: usize, depth: usize, limit: usize) {
    let pad = " ".repeat(indent);
    text.push_str(&format!("{pad}{name}:\n"));
    let inner = indent + 2;
    let pad = " ".repeat(inner);
    if dice.percent(85) {
        description(text, dice, inner);
    }
    let deeper = depth < DEPTH && text.len() < limit;
    match dice.below(if deeper { 10 } else { 5 }) {
        0 | 1 => text.push_str(&format!("{pad}type: string\n")),
        2 => text.push_str(&format!("{pad}format: int32\n{pad}minimum: 0\n{pad}type: integer\n")),
        3 if dice.percent(50) => text.push_str(&format!("{pad}default: false\n{pad}type: boolean\n")),
        3 => text.push_str(&format!("{pad}enum:\n{pad}- Always\n{pad}- Never\n{pad}- OnFailure\n{pad}- \"\"\n{pad}type: string\n")),
        4 => text.push_str(&format!(
            "{pad}anyOf:\n{pad}- type: integer\n{pad}- type: string\n{pad}pattern: \
             ^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$\n\
             {pad}x-kubernetes-int-or-string: true\n"
        )),
        5 => text.push_str(&format!("{pad}additionalProperties:\n{pad}  type: string\n{pad}type: object\n")),
        6 | 7 => {
            text.push_str(&format!("{pad}items:\n"));
            object(text, dice, inner + 2, depth + 1, limit);
            text.push_str(&format!("{pad}type: array\n{pad}x-kubernetes-list-type: atomic\n"));
        }
        _ => object(text, dice, inner, depth + 1, limit),
    }
}

fn object(text: &mut String, dice: &mut Chance, indent: usize, depth: usize, limit: usize) {
    let pad = " ".repeat(indent);
    text.push_str(&format!("{pad}properties:\n"));
    let first = dice.below(6);
    let mut at = first;
    let mut first_name = "";
    while at < FIELDS.len() {
        if first_name.is_empty() {
            first_name = FIELDS[at];
        }
        property(text, dice, FIELDS[at], indent + 2, depth, limit);
        at += dice.between(3, 14);
    }
    if dice.percent(40) {
        text.push_str(&format!("{pad}required:\n{pad}- {first_name}\n"));
    }
    text.push_str(&format!("{pad}type: object\n"));
    if dice.percent(10) {
        text.push_str(&format!("{pad}x-kubernetes-map-type: atomic\n"));
    }
}

/// Short ones in the line of the key, long ones in a block; old versions of the generator fold them instead.
fn description(text: &mut String, dice: &mut Chance, indent: usize) {
    let pad = " ".repeat(indent);
    let prose = {
        let count = dice.between(1, 4);
        sentences(dice, count)
    };
    let colon = prose.contains(": ");
    if prose.len() < 70 && !colon {
        text.push_str(&format!("{pad}description: {prose}\n"));
    } else if dice.percent(25) {
        let quote = if colon || prose.contains('"') { "'" } else { "" };
        let lines = wrapped(&prose.replace('\'', if quote.is_empty() { "'" } else { "''" }), 76 - indent.min(40));
        text.push_str(&format!("{pad}description: {quote}{}{quote}\n", lines.join(&format!("\n{pad}  "))));
    } else {
        text.push_str(&format!("{pad}description: |-\n"));
        for line in wrapped(&prose, 80) {
            text.push_str(&format!("{pad}  {line}\n"));
        }
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}
