//! The small app that most repositories are full of: a base and an overlay for each environment.

use e2e_oracle::Chance;

use super::{Corpus, Family, chance, kustomization, objects};

/// The apps. Each gives three targets.
pub(super) const APPS: [&str; 32] = [
    "accounts",
    "adverts",
    "auth",
    "billing",
    "cart",
    "catalog",
    "checkout",
    "chat",
    "coupons",
    "currency",
    "delivery",
    "email",
    "exports",
    "feed",
    "frontend",
    "images",
    "inventory",
    "invoices",
    "ledger",
    "loyalty",
    "mobile-api",
    "notifier",
    "orders",
    "payments",
    "pricing",
    "profiles",
    "ratings",
    "recommend",
    "returns",
    "search",
    "shipping",
    "wishlist",
];

/// Adds all apps.
pub(super) fn add(corpus: &mut Corpus) {
    for name in APPS {
        let mut dice = chance(name);
        let image = objects::image(&mut dice, name);
        base(corpus, &mut dice, name, &image);
        development(corpus, &mut dice, name, &image);
        production(corpus, &mut dice, name, &image);
    }
}

fn base(corpus: &mut Corpus, dice: &mut Chance, name: &str, image: &str) {
    let dir = format!("apps/{name}/base");
    let stateful = dice.percent(15);
    let workload = if stateful { objects::stateful_set(dice, name, image) } else { objects::deployment(dice, name, image) };
    let mut files = vec![("workload.yaml", workload), ("service.yaml", objects::service(name)), ("rbac.yaml", objects::rights(name))];
    if dice.percent(50) {
        files.push(("ingress.yaml", objects::ingress(name)));
    }
    if dice.percent(40) {
        files.push(("networkpolicy.yaml", objects::network_policy(name)));
    }
    if dice.percent(30) {
        files.push(("cronjob.yaml", objects::cron_job(dice, name, image)));
    }
    if dice.percent(50) {
        files.push(("pdb.yaml", objects::disruption_budget(name)));
    }
    let labels = if dice.percent(60) {
        format!("labels:\n- includeSelectors: true\n  pairs:\n    app.kubernetes.io/part-of: shop\n    team: team-{}\n", dice.below(5))
    } else {
        format!("commonLabels:\n  app: {name}\n")
    };
    let more = format!(
        "{labels}configMapGenerator:
- name: {name}-config
  literals:
  - version=\"1\"
  - MODE=standard
  - GREETING=Hello, world
  files:
  - config.yaml=settings.yaml
"
    );
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    corpus.target(Family::App, dir.as_str(), kustomization(&names, &more));
    corpus.file(format!("{dir}/settings.yaml"), objects::settings(dice, name));
    for (file, text) in files {
        corpus.file(format!("{dir}/{file}"), text);
    }
}

fn development(corpus: &mut Corpus, dice: &mut Chance, name: &str, image: &str) {
    let dir = format!("apps/{name}/overlays/dev");
    let kind = workload_kind(corpus, name);
    let prefix = if dice.percent(40) { "namePrefix: dev-\n" } else { "" };
    let more = format!(
        "namespace: {name}-dev
{prefix}images:
- name: {image}
  newTag: main-{:08x}
replicas:
- name: {name}
  count: 1
configMapGenerator:
- name: {name}-config
  behavior: merge
  literals:
  - MODE=debug
patches:
- path: resources.yaml
",
        dice.below(1 << 30)
    );
    corpus.target(Family::App, dir.as_str(), kustomization(&["../../base"], &more));
    let patch = format!(
        "apiVersion: apps/v1
kind: {kind}
metadata:
  name: {name}
spec:
  template:
    spec:
      containers:
      - name: {name}
        resources:
          requests:
            cpu: 10m
            memory: 64Mi
          limits: null
        env:
        - name: LOG_LEVEL
          value: debug
      affinity:
        $patch: delete
"
    );
    corpus.file(format!("{dir}/resources.yaml"), patch);
}

fn production(corpus: &mut Corpus, dice: &mut Chance, name: &str, image: &str) {
    let dir = format!("apps/{name}/overlays/prod");
    let kind = workload_kind(corpus, name);
    let mut resources = vec!["../../base"];
    if kind == "Deployment" && dice.percent(70) {
        resources.push("hpa.yaml");
        corpus.file(format!("{dir}/hpa.yaml"), objects::autoscaler(dice, name));
    }
    let digest: String = (0..8).map(|_| format!("{:08x}", dice.below(1 << 32))).collect();
    let more = format!(
        "namespace: {name}
commonAnnotations:
  example.com/on-call: \"https://on-call.example.com/{name}\"
  example.com/revision: \"{}\"
images:
- name: {image}
  newName: registry.prod.example.com/{name}
  digest: sha256:{digest}
secretGenerator:
- name: {name}-credentials
  type: Opaque
  envs:
  - credentials.env
replicas:
- name: {name}
  count: {}
patches:
- target:
    kind: {kind}
    name: {name}
  patch: |-
    - op: replace
      path: /spec/template/spec/terminationGracePeriodSeconds
      value: 120
    - op: add
      path: /spec/template/spec/containers/0/args/-
      value: --production
- target:
    kind: (Deployment|StatefulSet)
  patch: |
    apiVersion: apps/v1
    kind: any
    metadata:
      name: any
    spec:
      template:
        spec:
          priorityClassName: production
          topologySpreadConstraints:
          - maxSkew: 1
            topologyKey: topology.kubernetes.io/zone
            whenUnsatisfiable: ScheduleAnyway
            labelSelector:
              matchLabels:
                app.kubernetes.io/name: {name}
",
        dice.between(1, 400),
        dice.between(3, 12)
    );
    corpus.target(Family::App, dir.as_str(), kustomization(&resources, &more));
    corpus.file(format!("{dir}/credentials.env"), format!("username={name}\npassword=not-{:x}-so-secret\n", dice.below(1 << 40)));
}

fn workload_kind(corpus: &Corpus, name: &str) -> &'static str {
    let workload = corpus.files.get(&format!("apps/{name}/base/workload.yaml")).map(Vec::as_slice).unwrap_or_default();
    if String::from_utf8_lossy(workload).contains("kind: StatefulSet") { "StatefulSet" } else { "Deployment" }
}
