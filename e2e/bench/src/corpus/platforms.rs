//! What a platform team runs: several services in one base, components that environments switch on, values copied from one place to many.

use e2e_oracle::Chance;

use super::{Corpus, Family, chance, kustomization, objects};

/// The platforms. Each gives three targets.
pub(super) const PLATFORMS: [&str; 10] =
    ["backup", "dashboards", "delivery-tools", "events", "gateways", "identity-hub", "logging", "metrics", "registry", "tracing"];

const MONITORING: &str = "apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
resources:
- monitor.yaml
configMapGenerator:
- name: NAME-dashboards
  files:
  - overview.json
  options:
    labels:
      grafana_dashboard: \"1\"
patches:
- target:
    kind: Service
    labelSelector: app.kubernetes.io/name
  patch: |-
    - op: add
      path: /metadata/labels/monitored
      value: \"true\"
";

const HARDENING: &str = "apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
patches:
- target:
    kind: Deployment|StatefulSet
  path: hardening.yaml
- target:
    kind: NetworkPolicy
  patch: |-
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata:
      name: any
    spec:
      egress:
      - to:
        - ipBlock: {cidr: 10.0.0.0/8}
";

const HARDENED: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: any
spec:
  template:
    metadata:
      annotations:
        container.apparmor.security.beta.kubernetes.io/main: runtime/default
    spec:
      hostUsers: false
      automountServiceAccountToken: false
      securityContext:
        fsGroup: 65532
        supplementalGroups: [65532]
";

/// Adds all platforms.
pub(super) fn add(corpus: &mut Corpus) {
    for name in PLATFORMS {
        let mut dice = chance(name);
        let services: Vec<String> = (0..dice.between(4, 12))
            .map(|index| format!("{name}-{}", ["api", "ui", "worker", "store"][index % 4]) + &number(index / 4))
            .collect();
        base(corpus, &mut dice, name, &services);
        components(corpus, &mut dice, name, &services);
        for (environment, replicas) in [("dev", 1), ("staging", 2), ("prod", 5)] {
            overlay(corpus, &mut dice, name, &services, environment, replicas);
        }
    }
}

fn number(index: usize) -> String {
    if index == 0 { String::new() } else { format!("-{index}") }
}

fn base(corpus: &mut Corpus, dice: &mut Chance, name: &str, services: &[String]) {
    let dir = format!("platforms/{name}/base");
    for service in services {
        let image = objects::image(dice, service);
        corpus.file(format!("{dir}/{service}/deployment.yaml"), objects::deployment(dice, service, &image));
        corpus.file(format!("{dir}/{service}/service.yaml"), objects::service(service));
        corpus.file(format!("{dir}/{service}/rbac.yaml"), objects::rights(service));
        corpus.file(
            format!("{dir}/{service}/policy.yaml"),
            objects::network_policy(service) + "---\n" + &objects::disruption_budget(service),
        );
        corpus.file(format!("{dir}/{service}/settings.yaml"), objects::settings(dice, service));
        let more = format!(
            "configMapGenerator:\n- name: {service}-config\n  files:\n  - settings.yaml\n  literals:\n  - version=v{}\n",
            dice.below(9)
        );
        let files = ["deployment.yaml", "service.yaml", "rbac.yaml", "policy.yaml"];
        corpus.file(format!("{dir}/{service}/kustomization.yaml"), kustomization(&files, &more));
    }
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n");
    corpus.file(format!("{dir}/namespace.yaml"), namespace);
    let settings = format!("domain={name}.example.com\nlogLevel=info\nregion=eu-central-1\nrequestTimeout=30s\n");
    corpus.file(format!("{dir}/platform.env"), settings);
    let more = format!(
        "namespace: {name}
labels:
- pairs:
    app.kubernetes.io/part-of: {name}
  includeTemplates: true
generatorOptions:
  annotations:
    example.com/generated: \"true\"
configMapGenerator:
- name: platform-settings
  envs:
  - platform.env
replacements:
- source:
    kind: ConfigMap
    name: platform-settings
    fieldPath: data.logLevel
  targets:
  - select:
      kind: Deployment
    fieldPaths:
    - spec.template.spec.containers.*.env.[name=LOG_LEVEL].value
    options:
      create: true
- source:
    kind: ConfigMap
    name: platform-settings
    fieldPath: data.domain
  targets:
  - select:
      kind: Deployment
    fieldPaths:
    - spec.template.metadata.annotations.[example.com/domain]
    - metadata.annotations.[example.com/domain]
    options:
      create: true
"
    )
    .replace(".[example.com/domain]", ".domain");
    let mut resources = vec!["namespace.yaml".to_owned()];
    resources.extend(services.iter().cloned());
    corpus.file(format!("{dir}/kustomization.yaml"), kustomization(&resources, &more));
}

fn components(corpus: &mut Corpus, dice: &mut Chance, name: &str, services: &[String]) {
    let dir = format!("platforms/{name}/components");
    corpus.file(format!("{dir}/monitoring/kustomization.yaml"), MONITORING.replace("NAME", name));
    let mut monitors = String::new();
    for service in services {
        monitors.push_str(&format!(
            "---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {service}
spec:
  selector:
    matchLabels:
      app.kubernetes.io/name: {service}
  endpoints:
  - port: metrics
    interval: 30s
    relabelings:
    - sourceLabels: [__meta_kubernetes_pod_name]
      targetLabel: pod
"
        ));
    }
    corpus.file(format!("{dir}/monitoring/monitor.yaml"), monitors);
    let mut board = format!("{{\n  \"title\": \"{name}\",\n  \"panels\": [\n");
    for panel in 0..dice.between(5, 60) {
        board.push_str(&format!(
            "    {{\"id\": {panel}, \"type\": \"timeseries\", \"targets\": [{{\"expr\": \"sum(rate(http_requests_total{{namespace=\\\"{name}\\\"}}[5m])) \
             by (code)\"}}]}},\n"
        ));
    }
    board.push_str("    {}\n  ]\n}\n");
    corpus.file(format!("{dir}/monitoring/overview.json"), board);
    corpus.file(format!("{dir}/hardening/kustomization.yaml"), HARDENING);
    corpus.file(format!("{dir}/hardening/hardening.yaml"), HARDENED);
}

fn overlay(corpus: &mut Corpus, dice: &mut Chance, name: &str, services: &[String], environment: &str, replicas: usize) {
    let dir = format!("platforms/{name}/overlays/{environment}");
    let mut more = String::from("components:\n- ../../components/monitoring\n");
    if environment != "dev" {
        more.push_str("- ../../components/hardening\n");
    }
    if environment == "prod" {
        more.push_str("buildMetadata: [originAnnotations]\n");
    } else {
        more.push_str(&format!("nameSuffix: -{environment}\n"));
    }
    more.push_str(&format!(
        "commonAnnotations:\n  example.com/environment: {environment}\nconfigMapGenerator:\n- name: platform-settings\n  namespace: {name}\n  \
         behavior: merge\n  literals:\n  - region={environment}-1\n  - domain={environment}.{name}.example.com\nreplicas:\n"
    ));
    for service in services {
        more.push_str(&format!("- name: {service}\n  count: {replicas}\n"));
    }
    more.push_str("images:\n");
    for service in services.iter().take(5) {
        more.push_str(&format!("- name: ghcr.io/example/{service}\n  newTag: {environment}-{:x}\n", dice.below(1 << 28)));
    }
    more.push_str("patches:\n");
    for service in services.iter().take(3) {
        more.push_str(&format!("- path: {service}.yaml\n"));
        let patch = format!(
            "apiVersion: apps/v1
kind: Deployment
metadata:
  name: {service}
spec:
  template:
    spec:
      containers:
      - name: {service}
        env:
        - name: ENVIRONMENT
          value: {environment}
        resources:
          requests:
            memory: {}Mi
",
            dice.between(1, 64) * 64
        );
        corpus.file(format!("{dir}/{service}.yaml"), patch);
    }
    corpus.target(Family::Platform, dir, kustomization(&["../../base"], &more));
}
