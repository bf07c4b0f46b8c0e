//! One app for many places: the same base, and for each variant other variables, another name and a patch.

use std::fmt::Write as _;

use super::{Corpus, Family, chance, kustomization, objects};

/// How many variants there are.
const VARIANTS: usize = 200;

/// The directory of the base that all variants share.
const APP: &str = "base";

/// The app and its variants; each variant is a target.
pub fn variants() -> Corpus {
    let mut corpus = Corpus::default();
    let mut dice = chance("variants");
    let mut names = Vec::new();
    for service in ["store", "queue", "api", "worker", "ui"] {
        let image = objects::image(&mut dice, service);
        let texts = [
            ("deployment", objects::deployment(&mut dice, service, &image)),
            ("service", objects::service(service)),
            ("rbac", objects::rights(service)),
            ("policy", objects::network_policy(service)),
            ("ingress", objects::ingress(service)),
            ("cron", objects::cron_job(&mut dice, service, &image)),
        ];
        for (what, text) in texts {
            corpus.file(format!("{APP}/{service}-{what}.yaml"), text);
            names.push(format!("{service}-{what}.yaml"));
        }
    }
    let mut more = "configMapGenerator:\n".to_owned();
    for service in ["store", "queue", "api", "worker", "ui"] {
        let _ = write!(more, "- name: {service}-config\n  files: [{service}.conf]\n");
        corpus.file(format!("{APP}/{service}.conf"), objects::settings(&mut dice, service));
    }
    corpus.file(format!("{APP}/kustomization.yaml"), kustomization(&names, &more));
    for variant in 0..VARIANTS {
        let name = format!("shop-{variant:03}");
        let more = format!(
            "namespace: {name}
namePrefix: {name}-
configMapGenerator:
- name: api-config
  behavior: merge
  literals:
  - CUSTOMER={name}
  - SHARD={}
  - QUOTA={}
images:
- name: docker.io/fluent/fluent-bit
  newTag: 3.2.{}
patches:
- target: {{kind: Deployment, name: api}}
  patch: |-
    apiVersion: apps/v1
    kind: Deployment
    metadata: {{name: api}}
    spec:
      replicas: {}
      template:
        spec:
          containers:
          - name: api
            env:
            - name: REGION
              value: region-{}
",
            variant % 16,
            dice.between(1, 1000),
            variant % 10,
            1 + variant % 7,
            variant % 23
        );
        corpus.target(Family::App, format!("variants/{name}"), kustomization(&[format!("../../{APP}")], &more));
    }
    corpus
}
