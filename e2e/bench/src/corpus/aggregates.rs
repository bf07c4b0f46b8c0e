//! Whole distributions in one kustomization, as Kubeflow's `example` is: dozens of bases, each with its own definitions, old and new fields
//! beside each other.

use super::{Corpus, Family, apps, chance, kustomization, ml, platforms};

/// How many bases each distribution pulls, and which bundles of definitions it brings.
const DISTRIBUTIONS: [(&str, usize, &[&str]); 8] = [
    ("starter", 20, &[]),
    ("shop", 30, &["certificates", "gateway"]),
    ("batch", 22, &["kueue", "jobset"]),
    ("training", 28, &["kueue", "training", "jobset"]),
    ("serving", 35, &["serving", "gateway", "certificates"]),
    ("research", 45, &["ray", "kueue"]),
    ("everything", 60, &["certificates", "gateway", "kueue", "training"]),
    ("kubeflow", 52, &["training", "serving", "certificates"]),
];

/// Adds the distributions.
pub(super) fn add(corpus: &mut Corpus) {
    let mut bases: Vec<String> = apps::APPS.iter().map(|name| format!("../../apps/{name}/overlays/prod")).collect();
    bases.extend(platforms::PLATFORMS.iter().map(|name| format!("../../platforms/{name}/base")));
    bases.extend(ml::PROJECTS.iter().map(|name| format!("../../ml/{name}/base")));
    bases.push("../../tenants/team-00".to_owned());
    bases.push("../../tenants/team-01/".to_owned());
    for (name, count, definitions) in DISTRIBUTIONS {
        let mut dice = chance(name);
        let mut left = bases.clone();
        let mut resources: Vec<String> = definitions.iter().map(|bundle| format!("../../crds/{bundle}")).collect();
        for _ in 0..count.min(bases.len()) {
            resources.push(left.remove(dice.below(left.len())));
        }
        resources.push("params".to_owned());
        let dir = format!("distributions/{name}");
        corpus.file(
            format!("{dir}/params/params.env"),
            format!("clusterDomain=cluster.local\nuserid-header=x-{name}-user\nadmin={name}@example.com\n"),
        );
        corpus.file(format!("{dir}/params/params.yaml"), PARAMETERS);
        corpus.file(format!("{dir}/params/profile.yaml"), PROFILE);
        corpus.file(format!("{dir}/params/kustomization.yaml"), kustomization(&["profile.yaml"], &LEGACY.replace("NAME", name)));
        let more = "sortOptions:
  order: legacy
  legacySortOptions:
    orderFirst: [Namespace, CustomResourceDefinition, ServiceAccount]
    orderLast: [ValidatingWebhookConfiguration]
labels:
- pairs:
    example.com/distribution: NAME
patches:
- target:
    kind: Deployment
    annotationSelector: example.com/on-call
  patch: |-
    - op: add
      path: /metadata/annotations/example.com~1distribution
      value: NAME
";
        corpus.target(Family::Aggregate, dir, kustomization(&resources, &more.replace("NAME", name)));
    }
}

/// The fields that old distributions still have.
const LEGACY: &str = "namespace: NAME
commonLabels:
  app: profile-controller
configMapGenerator:
- name: profile-parameters
  envs: [params.env]
generatorOptions:
  disableNameSuffixHash: true
vars:
- name: ADMIN
  fieldref:
    fieldPath: data.admin
  objref:
    apiVersion: v1
    kind: ConfigMap
    name: profile-parameters
- name: HEADER
  fieldref:
    fieldPath: data.userid-header
  objref:
    apiVersion: v1
    kind: ConfigMap
    name: profile-parameters
configurations:
- params.yaml
";

const PARAMETERS: &str = "varReference:
- path: spec/template/spec/containers/command
  kind: Deployment
- path: spec/owner/name
  kind: Profile
";

const PROFILE: &str = "apiVersion: kubeflow.org/v1
kind: Profile
metadata:
  name: default
spec:
  owner:
    kind: User
    name: $(ADMIN)
  plugins: []
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: profile-controller
spec:
  selector:
    matchLabels:
      kustomize.component: profiles
  template:
    metadata:
      labels:
        kustomize.component: profiles
    spec:
      containers:
      - name: manager
        image: ghcr.io/example/profile-controller:v1.9.0
        command:
        - /manager
        - -userid-header
        - $(HEADER)
        - -admin=$(ADMIN)
        env:
        - name: ADMIN
          valueFrom:
            configMapKeyRef:
              name: profile-parameters
              key: admin
";
