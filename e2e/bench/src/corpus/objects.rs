//! The ordinary objects of an app, written as people write them: comments, keys in their usual order, quotes where somebody thought of them.

use e2e_oracle::Chance;

const REGISTRIES: [&str; 5] =
    ["ghcr.io/example", "registry.example.com/team", "docker.io/library", "quay.io/example", "europe-docker.pkg.dev/example/prod"];

const VARIABLES: [(&str, &str); 12] = [
    ("LOG_LEVEL", "info"),
    ("PORT", "\"8080\""),
    ("TZ", "Europe/Berlin"),
    ("GOMAXPROCS", "\"2\""),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel-collector.monitoring:4317"),
    ("DATABASE_POOL", "'20'"),
    ("FEATURE_FLAGS", "checkout-v2,new-search,dark-mode"),
    ("CACHE_URL", "redis://cache:6379/0"),
    ("REQUEST_TIMEOUT", "30s"),
    ("ALLOWED_ORIGINS", "https://shop.example.com,https://admin.example.com"),
    ("DEBUG", "\"false\""),
    ("REGION", "eu-central-1"),
];

/// The image of an app, without a tag.
pub(super) fn image(dice: &mut Chance, name: &str) -> String {
    format!("{}/{name}", dice.pick(&REGISTRIES))
}

/// Variables of a container, indented by `indent`.
fn environment(dice: &mut Chance, name: &str, indent: usize) -> String {
    let pad = " ".repeat(indent);
    let mut text = String::new();
    let first = dice.below(4);
    for (variable, value) in VARIABLES.iter().skip(first).step_by(dice.between(1, 3)) {
        text.push_str(&format!("{pad}- name: {variable}\n{pad}  value: {value}\n"));
    }
    if dice.percent(50) {
        text.push_str(&format!(
            "{pad}- name: DATABASE_PASSWORD\n{pad}  valueFrom:\n{pad}    secretKeyRef:\n{pad}      name: {name}-credentials\n{pad}      key: \
             password\n"
        ));
    }
    text.push_str(&format!(
        "{pad}- name: POD_NAME\n{pad}  valueFrom:\n{pad}    fieldRef:\n{pad}      fieldPath: metadata.name\n{pad}- name: CONFIG_HASH\n{pad}  \
         valueFrom:\n{pad}    configMapKeyRef:\n{pad}      name: {name}-config\n{pad}      key: version\n{pad}      optional: true\n"
    ));
    text
}

/// The pod template of `name`, indented by four.
fn template(dice: &mut Chance, name: &str, image: &str) -> String {
    let environment = environment(dice, name, 8);
    let cpu = dice.pick(&["100m", "250m", "500m", "1", "\"2\""]);
    let memory = dice.pick(&["128Mi", "256Mi", "512Mi", "1Gi", "4Gi"]);
    let tag = format!("{}.{}.{}", dice.between(0, 4), dice.between(0, 30), dice.between(0, 9));
    let sidecar = if dice.percent(30) {
        "      # Ships the logs until the platform does it.
      - name: logs
        image: docker.io/fluent/fluent-bit:3.1.9
        args: [\"-c\", \"/fluent-bit/etc/fluent-bit.conf\"]
        resources:
          limits: {cpu: 50m, memory: 64Mi}
        volumeMounts:
        - name: scratch
          mountPath: /var/log/app
"
    } else {
        ""
    };
    let initial = if dice.percent(25) {
        format!(
            "      initContainers:\n      - name: migrate\n        image: {image}:{tag}\n        command: [\"/app/migrate\", \"--yes\"]\n"
        )
    } else {
        String::new()
    };
    format!(
        "    metadata:
      labels:
        app.kubernetes.io/name: {name}
      annotations:
        prometheus.io/scrape: \"true\"
        prometheus.io/port: \"9090\"
    spec:
      serviceAccountName: {name}
      terminationGracePeriodSeconds: 30
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        seccompProfile:
          type: RuntimeDefault
{initial}      containers:
      - name: {name}
        image: {image}:{tag}
        imagePullPolicy: IfNotPresent
        args:
        - --config=/etc/{name}/config.yaml
        - --listen=:8080
        ports:
        - name: http
          containerPort: 8080
          protocol: TCP
        - name: metrics
          containerPort: 9090
        env:
{environment}        envFrom:
        - configMapRef:
            name: {name}-config
        resources:
          requests:
            cpu: {cpu}
            memory: {memory}
          limits:
            memory: {memory}
        readinessProbe:
          httpGet:
            path: /healthz/ready
            port: http
          periodSeconds: 5
          failureThreshold: 3
        livenessProbe:
          httpGet:
            path: /healthz
            port: http
          initialDelaySeconds: 10
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities:
            drop: [ALL]
        volumeMounts:
        - name: config
          mountPath: /etc/{name}
          readOnly: true
        - name: scratch
          mountPath: /tmp
{sidecar}      volumes:
      - name: config
        configMap:
          name: {name}-config
      - name: scratch
        emptyDir: {{}}
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - weight: 100
            podAffinityTerm:
              topologyKey: kubernetes.io/hostname
              labelSelector:
                matchLabels:
                  app.kubernetes.io/name: {name}
"
    )
}

/// A Deployment.
pub(super) fn deployment(dice: &mut Chance, name: &str, image: &str) -> String {
    let replicas = dice.between(1, 3);
    let template = template(dice, name, image);
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  labels:
    app.kubernetes.io/name: {name}
    app.kubernetes.io/component: server
spec:
  replicas: {replicas}
  revisionHistoryLimit: 3
  selector:
    matchLabels:
      app.kubernetes.io/name: {name}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 25%
      maxUnavailable: 0
  template:
{template}"
    )
}

/// A StatefulSet with a volume.
pub(super) fn stateful_set(dice: &mut Chance, name: &str, image: &str) -> String {
    let template = template(dice, name, image);
    let size = dice.pick(&["1Gi", "10Gi", "50Gi", "200Gi"]);
    format!(
        "apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {name}
spec:
  serviceName: {name}
  replicas: 3
  podManagementPolicy: Parallel
  selector:
    matchLabels:
      app.kubernetes.io/name: {name}
  template:
{template}  volumeClaimTemplates:
  - metadata:
      name: data
    spec:
      accessModes: [\"ReadWriteOnce\"]
      storageClassName: fast
      resources:
        requests:
          storage: {size}
"
    )
}

/// A Service.
pub(super) fn service(name: &str) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata:
  name: {name}
  labels:
    app.kubernetes.io/name: {name}
spec:
  selector:
    app.kubernetes.io/name: {name}
  ports:
  - name: http
    port: 80
    targetPort: http
  - name: metrics
    port: 9090
    targetPort: metrics
"
    )
}

/// A ServiceAccount with a Role and its binding, in one file.
pub(super) fn rights(name: &str) -> String {
    format!(
        "apiVersion: v1
kind: ServiceAccount
metadata:
  name: {name}
automountServiceAccountToken: true
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {name}
rules:
- apiGroups: [\"\"]
  resources: [\"configmaps\", \"secrets\"]
  verbs: [\"get\", \"list\", \"watch\"]
- apiGroups:
  - coordination.k8s.io
  resources:
  - leases
  verbs:
  - get
  - create
  - update
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {name}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {name}
subjects:
- kind: ServiceAccount
  name: {name}
"
    )
}

/// An Ingress.
pub(super) fn ingress(name: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {name}
  annotations:
    cert-manager.io/cluster-issuer: letsencrypt
    nginx.ingress.kubernetes.io/proxy-body-size: 8m
    nginx.ingress.kubernetes.io/configuration-snippet: |
      more_set_headers \"X-Frame-Options: DENY\";
      more_set_headers \"Referrer-Policy: same-origin\";
spec:
  ingressClassName: nginx
  tls:
  - hosts:
    - {name}.example.com
    secretName: {name}-tls
  rules:
  - host: {name}.example.com
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service:
            name: {name}
            port:
              name: http
"
    )
}

/// A HorizontalPodAutoscaler.
pub(super) fn autoscaler(dice: &mut Chance, name: &str) -> String {
    let most = dice.between(4, 20);
    format!(
        "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {name}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {name}
  minReplicas: 2
  maxReplicas: {most}
  metrics:
  - type: Resource
    resource:
      name: cpu
      target:
        type: Utilization
        averageUtilization: 70
  behavior:
    scaleDown:
      stabilizationWindowSeconds: 300
      policies:
      - {{type: Percent, value: 50, periodSeconds: 60}}
"
    )
}

/// A PodDisruptionBudget.
pub(super) fn disruption_budget(name: &str) -> String {
    format!(
        "apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {name}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      app.kubernetes.io/name: {name}
"
    )
}

/// A NetworkPolicy.
pub(super) fn network_policy(name: &str) -> String {
    format!(
        "# Who may talk to {name}.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {name}
spec:
  podSelector:
    matchLabels:
      app.kubernetes.io/name: {name}
  policyTypes:
  - Ingress
  - Egress
  ingress:
  - from:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: ingress
    ports:
    - port: 8080 # http
      protocol: TCP
  egress:
  - {{}}
"
    )
}

/// A CronJob.
pub(super) fn cron_job(dice: &mut Chance, name: &str, image: &str) -> String {
    let minute = dice.below(60);
    format!(
        "apiVersion: batch/v1
kind: CronJob
metadata:
  name: {name}-cleanup
spec:
  schedule: \"{minute} 3 * * *\"
  concurrencyPolicy: Forbid
  successfulJobsHistoryLimit: 1
  jobTemplate:
    spec:
      backoffLimit: 2
      template:
        spec:
          restartPolicy: OnFailure
          serviceAccountName: {name}
          containers:
          - name: cleanup
            image: {image}:latest
            command:
            - /bin/sh
            - -c
            - |
              set -eu
              for table in sessions carts events; do
                /app/cleanup --table \"$table\" --older-than 30d
              done
            envFrom:
            - configMapRef:
                name: {name}-config
"
    )
}

/// The configuration file that an app mounts.
pub(super) fn settings(dice: &mut Chance, name: &str) -> String {
    let mut text =
        format!("# Settings of {name}\nserver:\n  listen: :8080\n  timeout: {}s\nlog:\n  format: json\nroutes:\n", dice.between(5, 60));
    for route in 0..dice.between(2, 30) {
        text.push_str(&format!(
            "- path: /api/v1/things/{route}\n  upstream: http://backend-{}:8080\n  retries: {}\n",
            route % 5,
            dice.below(4)
        ));
    }
    text
}
