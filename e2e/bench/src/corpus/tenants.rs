//! The smallest targets: what a team gets of a cluster.

use super::{Corpus, Family, chance, kustomization};

const TENANTS: usize = 24;

const COMMON: &str = "apiVersion: v1
kind: ResourceQuota
metadata:
  name: quota
spec:
  hard:
    requests.cpu: \"20\"
    requests.memory: 64Gi
    limits.memory: 96Gi
    requests.nvidia.com/gpu: 4
    persistentvolumeclaims: \"30\"
---
apiVersion: v1
kind: LimitRange
metadata:
  name: defaults
spec:
  limits:
  - type: Container
    default: {cpu: 500m, memory: 512Mi}
    defaultRequest: {cpu: 100m, memory: 128Mi}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: deny-all
spec:
  podSelector: {}
  policyTypes: [Ingress]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: members
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: edit
subjects:
- apiGroup: rbac.authorization.k8s.io
  kind: Group
  name: nobody
";

/// Adds the tenants: one base for all, a namespace and a patch for each.
pub(super) fn add(corpus: &mut Corpus) {
    corpus.file("tenants/base/common.yaml", COMMON);
    corpus.target(Family::Tenant, "tenants/base", kustomization(&["common.yaml"], ""));
    for tenant in 0..TENANTS {
        let name = format!("team-{tenant:02}");
        let dir = format!("tenants/{name}");
        let mut dice = chance(&dir);
        let namespace = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels:\n    pod-security.kubernetes.io/enforce: {}\n",
            dice.pick(&["baseline", "restricted", "privileged"])
        );
        corpus.file(format!("{dir}/namespace.yaml"), namespace);
        let more = format!(
            "namespace: {name}
patches:
- target: {{kind: RoleBinding, name: members}}
  patch: '[{{\"op\": \"replace\", \"path\": \"/subjects/0/name\", \"value\": \"{name}@example.com\"}}]'
- target:
    kind: ResourceQuota
  patch: |-
    - op: replace
      path: /spec/hard/requests.cpu
      value: \"{}\"
",
            dice.between(10, 400)
        );
        corpus.target(Family::Tenant, dir, kustomization(&["namespace.yaml", "../base"], &more));
    }
}
