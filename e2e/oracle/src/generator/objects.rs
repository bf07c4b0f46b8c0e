//! Objects of all common kinds that refer to each other by name. How they are written and what is done to them is left to others.

use serde_json::{Map, Value, json};

use super::known;
use super::pen::RAW;
use super::words::{LABEL_VALUES, NAMES, odd_text, raw_scalar};
use crate::Chance;

/// An object that a kustomization can speak of.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) kind: String,
    pub(super) name: String,
    /// As it was written first; later layers change it.
    pub(super) value: Value,
}

impl Known {
    pub(super) fn of(value: Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self { kind: text(&value["kind"]), name: text(&value["metadata"]["name"]), value }
    }

    /// Its group, empty for the core.
    pub(super) fn group(&self) -> &str {
        self.api_version().split_once('/').map_or("", |(group, _)| group)
    }

    /// Its version, without the group.
    pub(super) fn version(&self) -> &str {
        self.api_version().split_once('/').map_or(self.api_version(), |(_, version)| version)
    }

    /// Its apiVersion.
    pub(super) fn api_version(&self) -> &str {
        self.value["apiVersion"].as_str().unwrap_or_default()
    }

    /// Its namespace, where written.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.value["metadata"]["namespace"].as_str()
    }
}

/// How often each kind is made, and by what.
const KINDS: &[(usize, &str)] = &[
    (14, "Deployment"),
    (7, "StatefulSet"),
    (4, "DaemonSet"),
    (2, "ReplicaSet"),
    (4, "Job"),
    (5, "CronJob"),
    (3, "Pod"),
    (10, "Service"),
    (10, "ConfigMap"),
    (6, "Secret"),
    (5, "ServiceAccount"),
    (4, "PersistentVolumeClaim"),
    (4, "Ingress"),
    (4, "HorizontalPodAutoscaler"),
    (3, "PodDisruptionBudget"),
    (3, "Role"),
    (4, "RoleBinding"),
    (3, "ClusterRole"),
    (4, "ClusterRoleBinding"),
    (3, "Namespace"),
    (3, "CustomResourceDefinition"),
    (7, "Widget"),
    (3, "ValidatingWebhookConfiguration"),
    (2, "MutatingWebhookConfiguration"),
    (2, "APIService"),
    (3, "NetworkPolicy"),
    (2, "StorageClass"),
    (1, "PersistentVolume"),
    (1, "PriorityClass"),
    (1, "LimitRange"),
    (1, "ResourceQuota"),
    (3, "ServiceMonitor"),
    (1, "Endpoints"),
];

/// Makes an object that may refer to `others`.
pub(super) fn object(chance: &mut Chance, others: &[Known], name: &str) -> Value {
    let total: usize = KINDS.iter().map(|(weight, _)| weight).sum();
    let mut left = chance.below(total);
    let kind = KINDS.iter().find(|(weight, _)| {
        let here = left < *weight;
        left = left.saturating_sub(*weight);
        here
    });
    Maker { chance, others }.object(kind.map_or("ConfigMap", |(_, kind)| kind), name)
}

struct Maker<'a> {
    chance: &'a mut Chance,
    others: &'a [Known],
}

fn with(map: &mut Value, key: &str, value: Value) {
    if let Value::Object(map) = map {
        map.insert(key.to_owned(), value);
    }
}

impl Maker<'_> {
    fn object(&mut self, kind: &str, name: &str) -> Value {
        let labels = self.labels(name);
        match kind {
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => self.workload(kind, name, &labels),
            "Job" => {
                let mut spec = json!({"template": self.template(&labels)});
                if self.chance.percent(50) {
                    with(&mut spec, "backoffLimit", json!(self.chance.below(5)));
                }
                if self.chance.percent(10) {
                    with(&mut spec, "selector", json!({"matchLabels": labels}));
                }
                self.whole("batch/v1", kind, name, json!({"spec": spec}))
            }
            "CronJob" => {
                let version = *self.chance.pick(&["batch/v1", "batch/v1beta1"]);
                let job = json!({"spec": {"template": self.template(&labels)}});
                self.whole(version, kind, name, json!({"spec": {"schedule": "*/5 * * * *", "jobTemplate": job}}))
            }
            "Pod" => {
                let spec = self.pod(name);
                self.whole("v1", kind, name, json!({"spec": spec}))
            }
            "Service" => self.service(name, &labels),
            "ConfigMap" => {
                let data = self.data();
                self.whole("v1", kind, name, json!({"data": data}))
            }
            "Secret" => self.secret(name),
            "ServiceAccount" => {
                let mut rest = json!({});
                if self.chance.percent(40) {
                    rest = json!({"secrets": [{"name": self.name_of("Secret")}], "imagePullSecrets": [{"name": self.name_of("Secret")}]});
                }
                self.whole("v1", kind, name, rest)
            }
            "PersistentVolumeClaim" => {
                let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
                if self.chance.percent(50) {
                    with(&mut spec, "storageClassName", self.name_of("StorageClass"));
                }
                if self.chance.percent(30) {
                    with(&mut spec, "volumeName", self.name_of("PersistentVolume"));
                }
                if self.chance.percent(20) {
                    with(&mut spec, "selector", json!({"matchLabels": labels}));
                }
                self.whole("v1", kind, name, json!({"spec": spec}))
            }
            "Ingress" => self.ingress(name),
            "HorizontalPodAutoscaler" => self.autoscaler(name),
            "PodDisruptionBudget" => {
                let version = *self.chance.pick(&["policy/v1", "policy/v1beta1"]);
                let at_least = self.chance.pick(&[json!(1), json!("50%")]).clone();
                self.whole(version, kind, name, json!({"spec": {"minAvailable": at_least, "selector": {"matchLabels": labels}}}))
            }
            "Role" | "ClusterRole" => {
                let mut rules = json!([{"apiGroups": ["", "apps"], "resources": ["configmaps"], "verbs": ["get", "list"]}]);
                if self.chance.percent(40) {
                    with(&mut rules[0], "resourceNames", json!([self.name_of("ConfigMap"), self.name_of("Secret")]));
                }
                let mut rest = json!({"rules": rules});
                if kind == "ClusterRole" && self.chance.percent(20) {
                    with(&mut rest, "aggregationRule", json!({"clusterRoleSelectors": [{"matchLabels": {"agg": "yes"}}]}));
                }
                self.whole("rbac.authorization.k8s.io/v1", kind, name, rest)
            }
            "RoleBinding" | "ClusterRoleBinding" => self.binding(kind, name),
            "Namespace" => self.whole("v1", kind, name, json!({})),
            "CustomResourceDefinition" => json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": kind, "metadata": {"name": format!("{name}s.example.com")},
                "spec": {"group": "example.com", "scope": "Namespaced", "names": {"kind": "Widget", "plural": format!("{name}s")},
                    "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]},
            }),
            "Widget" => self.widget(name),
            "ServiceMonitor" => {
                let spec = json!({"selector": {"matchLabels": labels}, "endpoints": [{"port": "http", "interval": "30s"}]});
                self.whole("monitoring.coreos.com/v1", kind, name, json!({"spec": spec}))
            }
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => {
                let service = json!({"name": self.name_of("Service"), "namespace": self.namespace(), "path": "/check"});
                let hook = json!({"name": format!("{name}.example.com"), "clientConfig": {"service": service}, "sideEffects": "None",
                    "admissionReviewVersions": ["v1"], "rules": [{"apiGroups": ["*"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]});
                self.whole("admissionregistration.k8s.io/v1", kind, name, json!({"webhooks": [hook]}))
            }
            "APIService" => {
                let service = json!({"name": self.name_of("Service"), "namespace": self.namespace()});
                self.whole(
                    "apiregistration.k8s.io/v1",
                    kind,
                    name,
                    json!({"spec": {"service": service, "group": "m.example.com", "version": "v1"}}),
                )
            }
            "NetworkPolicy" => {
                let from = json!([{"podSelector": {"matchLabels": {"app": self.chance.pick(LABEL_VALUES)}}}, {"namespaceSelector": {"matchLabels": {"a": "b"}}}]);
                let ports = json!([{"protocol": "TCP", "port": 80}, {"protocol": "UDP", "port": 53}]);
                let spec = json!({"podSelector": {"matchLabels": labels}, "ingress": [{"from": from, "ports": ports}], "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]});
                self.whole("networking.k8s.io/v1", kind, name, json!({"spec": spec}))
            }
            "StorageClass" => {
                self.whole("storage.k8s.io/v1", kind, name, json!({"provisioner": "example.com/disk", "parameters": {"type": "fast"}}))
            }
            "PersistentVolume" => {
                let claim = json!({"name": self.name_of("PersistentVolumeClaim"), "namespace": self.namespace()});
                let class = self.name_of("StorageClass");
                self.whole(
                    "v1",
                    kind,
                    name,
                    json!({"spec": {"capacity": {"storage": "1Gi"}, "claimRef": claim, "storageClassName": class}}),
                )
            }
            "PriorityClass" => self.whole("scheduling.k8s.io/v1", kind, name, json!({"value": 1000, "globalDefault": false})),
            "LimitRange" => self.whole("v1", kind, name, json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}})),
            "ResourceQuota" => self.whole("v1", kind, name, json!({"spec": {"hard": {"pods": "10", "requests.cpu": 4}}})),
            _ => self.whole("v1", kind, name, json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]})),
        }
    }

    fn whole(&mut self, api_version: &str, kind: &str, name: &str, rest: Value) -> Value {
        let mut metadata = json!({"name": name});
        let scoped = !kind.starts_with("Cluster") && !kind.ends_with("WebhookConfiguration");
        if scoped && kind != "Namespace" && self.chance.percent(15) {
            with(&mut metadata, "namespace", self.namespace());
        }
        if self.chance.percent(45) {
            with(&mut metadata, "labels", self.labels(name));
        }
        if self.chance.percent(25) {
            with(&mut metadata, "annotations", self.annotations());
        }
        if self.chance.percent(3) {
            with(&mut metadata, "creationTimestamp", Value::Null);
        }
        let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
        if let Value::Object(fields) = rest {
            fields.into_iter().for_each(|(key, value)| with(&mut object, &key, value));
        }
        if self.chance.percent(3) {
            with(&mut object, "status", json!({}));
        }
        object
    }

    fn namespace(&mut self) -> Value {
        json!(self.chance.pick(&["default", "prod", "team-a"]))
    }

    fn labels(&mut self, name: &str) -> Value {
        let mut labels = json!({"app": name});
        if self.chance.percent(40) {
            with(&mut labels, "tier", json!(self.chance.pick(LABEL_VALUES)));
        }
        if self.chance.percent(10) {
            with(&mut labels, "app.kubernetes.io/version", json!(raw_scalar(self.chance)));
        }
        labels
    }

    fn annotations(&mut self) -> Value {
        let mut annotations = Map::new();
        for _ in 0..self.chance.between(1, 3) {
            let key = *self.chance.pick(&["note", "example.com/why", "a.b/c", "prometheus.io/port", "checksum", "owner"]);
            let value = match self.chance.below(4) {
                0 => raw_scalar(self.chance),
                1 => odd_text(self.chance),
                2 => "{\"a\": [1, \"x\"], \"b\": {\"c\": \"d\"}}".to_owned(),
                _ => "plain".to_owned(),
            };
            annotations.insert(key.to_owned(), Value::String(value));
        }
        if self.chance.percent(4) {
            annotations.insert("config.kubernetes.io/local-config".to_owned(), json!(self.chance.pick(&["true", "false"])));
        }
        if self.chance.percent(3) {
            annotations.insert("kustomize.config.k8s.io/needs-hash".to_owned(), json!("true"));
        }
        if self.chance.percent(3) {
            annotations.insert("internal.config.kubernetes.io/index".to_owned(), json!("3"));
        }
        Value::Object(annotations)
    }

    /// The name of something of this kind: mostly of one that exists.
    fn name_of(&mut self, kind: &str) -> Value {
        let known: Vec<&Known> = self.others.iter().filter(|other| other.kind == kind).collect();
        if known.is_empty() || self.chance.percent(15) { json!(self.chance.pick(NAMES)) } else { json!(self.chance.pick(&known).name) }
    }

    fn data(&mut self) -> Value {
        let mut data = Map::new();
        for index in 0..self.chance.between(0, 4) {
            let key = match self.chance.below(10) {
                0 if known::ODD_KEYS && self.chance.percent(15) => {
                    format!("{RAW}{}", self.chance.pick(&["1", "true", "1.5", "null", "~", "2021-01-01", "0x10"]))
                }
                0 => format!("{RAW}{}", self.chance.pick(&["\"quoted\"", "'single'", "\"1\"", "'true'", "v1.5"])),
                1 => "config.yaml".to_owned(),
                2 => "settings.json".to_owned(),
                _ => format!("key-{index}"),
            };
            let value = match key.as_str() {
                "config.yaml" => "server:\n  host: db\n  ports:\n  - 80\n  - 443 # tls\nname: \"x\"\n".to_owned(),
                "settings.json" => "{\"host\": \"db\", \"ports\": [80, 443], \"deep\": {\"name\": \"x\"}}".to_owned(),
                _ => match self.chance.below(3) {
                    0 => raw_scalar(self.chance),
                    1 => odd_text(self.chance),
                    _ => (*self.chance.pick(&["value", "host:5432", "a b c", "$(NAME)"])).to_owned(),
                },
            };
            data.insert(key, Value::String(value));
        }
        Value::Object(data)
    }

    fn secret(&mut self, name: &str) -> Value {
        let mut rest = json!({"type": "Opaque"});
        if self.chance.percent(60) {
            with(&mut rest, "data", json!({"password": "c2VjcmV0", "user": "YWRtaW4="}));
        }
        if self.chance.percent(40) {
            with(&mut rest, "stringData", self.data());
        }
        self.whole("v1", "Secret", name, rest)
    }

    fn workload(&mut self, kind: &str, name: &str, labels: &Value) -> Value {
        let version = if self.chance.percent(4) { "extensions/v1beta1" } else { "apps/v1" };
        let mut spec = json!({"template": self.template(labels)});
        if self.chance.percent(90) {
            with(&mut spec, "selector", json!({"matchLabels": labels}));
        }
        if kind != "DaemonSet" && self.chance.percent(70) {
            with(&mut spec, "replicas", json!(self.chance.between(1, 5)));
        }
        if kind == "StatefulSet" {
            with(&mut spec, "serviceName", self.name_of("Service"));
            if self.chance.percent(50) {
                let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
                with(&mut spec, "volumeClaimTemplates", json!([claim]));
            }
        }
        if kind == "Deployment" && self.chance.percent(25) {
            with(&mut spec, "strategy", json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}));
        }
        self.whole(version, kind, name, json!({"spec": spec}))
    }

    fn template(&mut self, labels: &Value) -> Value {
        let mut metadata = json!({});
        if self.chance.percent(90) {
            with(&mut metadata, "labels", labels.clone());
        }
        if self.chance.percent(15) {
            with(&mut metadata, "annotations", self.annotations());
        }
        let name = labels["app"].as_str().unwrap_or("app").to_owned();
        json!({"metadata": metadata, "spec": self.pod(&name)})
    }

    fn pod(&mut self, name: &str) -> Value {
        let mut spec = json!({});
        let mut names = vec![name.to_owned(), "sidecar".to_owned(), "proxy".to_owned()];
        names.truncate(*self.chance.pick(&[1, 1, 1, 2, 3]));
        let containers: Vec<Value> = names.iter().map(|name| self.container(name)).collect();
        with(&mut spec, "containers", Value::Array(containers));
        if self.chance.percent(15) {
            with(&mut spec, "initContainers", json!([self.container("init")]));
        }
        if self.chance.percent(30) {
            with(&mut spec, "serviceAccountName", self.name_of("ServiceAccount"));
        }
        if self.chance.percent(15) {
            with(&mut spec, "imagePullSecrets", json!([{"name": self.name_of("Secret")}]));
        }
        if self.chance.percent(45) {
            with(&mut spec, "volumes", self.volumes());
        }
        if self.chance.percent(10) {
            let term = json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": name}}});
            let preferred = json!([{"weight": 1, "podAffinityTerm": term}]);
            let affinity = json!({"requiredDuringSchedulingIgnoredDuringExecution": [term], "preferredDuringSchedulingIgnoredDuringExecution": preferred});
            with(&mut spec, "affinity", json!({(*self.chance.pick(&["podAffinity", "podAntiAffinity"])): affinity}));
        }
        if self.chance.percent(8) {
            let spread = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": name}}});
            with(&mut spec, "topologySpreadConstraints", json!([spread]));
        }
        if self.chance.percent(10) {
            with(&mut spec, "tolerations", json!([{"key": "a", "operator": "Exists"}, {"key": "b", "value": "c", "effect": "NoSchedule"}]));
        }
        if self.chance.percent(6) {
            with(&mut spec, "hostAliases", json!([{"ip": "10.0.0.1", "hostnames": ["a", "b"]}, {"ip": "10.0.0.2", "hostnames": ["c"]}]));
        }
        if self.chance.percent(10) {
            with(&mut spec, "nodeSelector", json!({"disk": "ssd"}));
        }
        if self.chance.percent(5) {
            with(&mut spec, "priorityClassName", self.name_of("PriorityClass"));
        }
        if self.chance.percent(10) {
            with(&mut spec, "securityContext", json!({"runAsUser": 1000, "fsGroup": self.odd_scalar()}));
        }
        spec
    }

    fn odd_scalar(&mut self) -> Value {
        Value::String(raw_scalar(self.chance))
    }

    fn volumes(&mut self) -> Value {
        let mut volumes = Vec::new();
        for index in 0..self.chance.between(1, 3) {
            let mut volume = match self.chance.below(6) {
                0 | 1 => json!({"configMap": {"name": self.name_of("ConfigMap"), "items": [{"key": "a", "path": "b"}]}}),
                2 => json!({"secret": {"secretName": self.name_of("Secret")}}),
                3 => json!({"persistentVolumeClaim": {"claimName": self.name_of("PersistentVolumeClaim")}}),
                4 => json!({"emptyDir": {}}),
                _ => {
                    json!({"projected": {"sources": [{"configMap": {"name": self.name_of("ConfigMap")}}, {"secret": {"name": self.name_of("Secret")}}]}})
                }
            };
            with(&mut volume, "name", json!(format!("vol-{index}")));
            volumes.push(volume);
        }
        Value::Array(volumes)
    }

    fn container(&mut self, name: &str) -> Value {
        let images = [
            "nginx",
            "nginx:1.25",
            "registry.example.com/team/app:v1",
            "localhost:5000/x",
            "db@sha256:0123abc",
            "nginx:1.25@sha256:0123abc",
            "redis:7-alpine",
            "a/b/c:latest",
        ];
        let mut container = json!({"name": name, "image": self.chance.pick(&images)});
        if self.chance.percent(20) {
            with(&mut container, "command", json!(["/bin/sh", "-c", "exec \"$0\" $(NAME)"]));
        }
        if self.chance.percent(30) {
            let args: Vec<Value> = (0..self.chance.between(1, 3)).map(|_| self.argument()).collect();
            with(&mut container, "args", Value::Array(args));
        }
        if self.chance.percent(55) {
            let env: Vec<Value> = (0..self.chance.between(1, 4)).map(|index| self.variable(index)).collect();
            with(&mut container, "env", Value::Array(env));
        }
        if self.chance.percent(20) {
            let from = json!([{"configMapRef": {"name": self.name_of("ConfigMap")}}, {"secretRef": {"name": self.name_of("Secret")}, "prefix": "S_"}]);
            with(&mut container, "envFrom", from);
        }
        if self.chance.percent(45) {
            let mut ports = vec![json!({"containerPort": 80, "name": "http"})];
            if self.chance.percent(40) {
                ports.push(json!({"containerPort": 53, "protocol": "UDP"}));
                ports.push(json!({"containerPort": 53, "protocol": "TCP"}));
            }
            with(&mut container, "ports", Value::Array(ports));
        }
        if self.chance.percent(30) {
            with(
                &mut container,
                "volumeMounts",
                json!([{"name": "vol-0", "mountPath": "/a"}, {"name": "vol-0", "mountPath": "/b", "subPath": "c"}]),
            );
        }
        if self.chance.percent(30) {
            with(
                &mut container,
                "resources",
                json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": self.chance.pick(&[json!(1), json!("1"), json!(0.5)])}}),
            );
        }
        if self.chance.percent(15) {
            with(
                &mut container,
                "livenessProbe",
                json!({"httpGet": {"path": "/", "port": "http", "httpHeaders": [{"name": "X", "value": "y"}]}, "periodSeconds": 5}),
            );
        }
        container
    }

    fn argument(&mut self) -> Value {
        match self.chance.below(16) {
            0 => Value::String(raw_scalar(self.chance)),
            1..=4 => Value::String(odd_text(self.chance)),
            5..=8 => json!("--host=$(NAME).$(HOST)"),
            _ => json!(self.chance.pick(&["--verbose", "run", "-v=2", "$$(NAME)", "$(NAME"])),
        }
    }

    fn variable(&mut self, index: usize) -> Value {
        let name = *self.chance.pick(&["NAME", "HOST", "PORT", "MODE"]);
        let name = format!("{name}_{index}");
        match self.chance.below(6) {
            0 => json!({"name": name, "valueFrom": {"configMapKeyRef": {"name": self.name_of("ConfigMap"), "key": "a"}}}),
            1 => json!({"name": name, "valueFrom": {"secretKeyRef": {"name": self.name_of("Secret"), "key": "password"}}}),
            2 => json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
            3 => json!({"name": name, "value": raw_scalar(self.chance)}),
            4 => json!({"name": name, "value": "http://$(HOST):80"}),
            _ => json!({"name": name, "value": odd_text(self.chance)}),
        }
    }

    fn service(&mut self, name: &str, labels: &Value) -> Value {
        let mut ports = vec![json!({"port": 80, "targetPort": self.chance.pick(&[json!("http"), json!(8080)]).clone(), "name": "http"})];
        if self.chance.percent(25) {
            ports.push(json!({"port": 53, "protocol": "UDP", "name": "dns"}));
            ports.push(json!({"port": 53, "protocol": "TCP", "name": "dns-tcp"}));
        }
        let mut spec = json!({"ports": ports});
        if self.chance.percent(90) {
            with(&mut spec, "selector", labels.clone());
        }
        if self.chance.percent(20) {
            with(&mut spec, "type", json!(self.chance.pick(&["ClusterIP", "NodePort", "LoadBalancer"])));
        }
        self.whole("v1", "Service", name, json!({"spec": spec}))
    }

    fn ingress(&mut self, name: &str) -> Value {
        let service = self.name_of("Service");
        if self.chance.percent(25) {
            let paths = json!([{"path": "/", "backend": {"serviceName": service, "servicePort": 80}}]);
            let rules = json!([{"host": "a.example.com", "http": {"paths": paths}}]);
            let backend = json!({"serviceName": self.name_of("Service"), "servicePort": "http"});
            return self.whole("networking.k8s.io/v1beta1", "Ingress", name, json!({"spec": {"rules": rules, "backend": backend}}));
        }
        let paths = json!([{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}}}]);
        let tls = json!([{"hosts": ["a.example.com"], "secretName": self.name_of("Secret")}]);
        self.whole(
            "networking.k8s.io/v1",
            "Ingress",
            name,
            json!({"spec": {"rules": [{"host": "a.example.com", "http": {"paths": paths}}], "tls": tls}}),
        )
    }

    fn autoscaler(&mut self, name: &str) -> Value {
        let version = *self.chance.pick(&["autoscaling/v2", "autoscaling/v2beta2", "autoscaling/v1"]);
        let kind = *self.chance.pick(&["Deployment", "StatefulSet"]);
        let target = json!({"apiVersion": "apps/v1", "kind": kind, "name": self.name_of(kind)});
        let metrics =
            json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]);
        self.whole(
            version,
            "HorizontalPodAutoscaler",
            name,
            json!({"spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3, "metrics": metrics}}),
        )
    }

    fn binding(&mut self, kind: &str, name: &str) -> Value {
        let role = if kind == "RoleBinding" { *self.chance.pick(&["Role", "ClusterRole"]) } else { "ClusterRole" };
        let mut subjects = Vec::new();
        for _ in 0..self.chance.between(1, 2) {
            let account = if self.chance.percent(20) { json!("default") } else { self.name_of("ServiceAccount") };
            let mut subject = json!({"kind": "ServiceAccount", "name": account});
            if self.chance.percent(60) {
                with(&mut subject, "namespace", self.namespace());
            }
            subjects.push(subject);
        }
        if self.chance.percent(20) {
            subjects.push(json!({"kind": "Group", "name": "admins", "apiGroup": "rbac.authorization.k8s.io"}));
        }
        let reference = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": self.name_of(role)});
        self.whole("rbac.authorization.k8s.io/v1", kind, name, json!({"roleRef": reference, "subjects": subjects}))
    }

    fn widget(&mut self, name: &str) -> Value {
        let mut spec = json!({"size": self.odd_scalar(), "secretRef": {"name": self.name_of("Secret")}, "image": "nginx:1.25"});
        if self.chance.percent(60) {
            with(&mut spec, "parts", json!([{"name": "a", "weight": 1}, {"name": "b", "weight": self.odd_scalar()}]));
        }
        if self.chance.percent(40) {
            with(&mut spec, "tags", json!(["x", self.odd_scalar(), "z"]));
        }
        if self.chance.percent(30) {
            with(&mut spec, "nothing", Value::Null);
        }
        if self.chance.percent(20) {
            with(&mut spec, "empty", self.chance.pick(&[json!({}), json!([]), json!("")]).clone());
        }
        if self.chance.percent(20) {
            with(&mut spec, "template", json!({"spec": {"containers": [{"name": "main", "image": "redis:7"}]}}));
        }
        if self.chance.percent(20) {
            with(&mut spec, "matrix", json!([[1, 2], ["a"], []]));
        }
        let version = *self.chance.pick(&["example.com/v1", "example.com/v1alpha1", "widgets.example.io/v2"]);
        self.whole(version, "Widget", name, json!({"spec": spec}))
    }
}
