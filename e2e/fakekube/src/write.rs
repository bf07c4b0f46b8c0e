//! Every write, from a decoded request to the stored object: decoding, ownership, admission, metadata, validation, versions. Routes
//! and bodies are read in `serve`; what happens later by itself is in `lifecycle`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::codec;
use crate::defaults;
use crate::faults::{Admission, AdmissionHook};
use crate::fieldset::FieldSet;
use crate::managed::{self, Managers, Writer};
use crate::patch;
use crate::registry::{Generation, Resource};
use crate::state::State;
use crate::status::{ApiError, Cause};
use crate::typed;
use crate::validation;
use crate::watch::TEMPLATE_GENERATION;

/// How unknown fields are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// The four bodies of a PATCH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

/// What a write request asks beside its body.
#[derive(Clone, Debug)]
pub(crate) struct WriteOptions {
    pub(crate) dry_run: bool,
    pub(crate) manager: String,
    pub(crate) validation: FieldValidation,
    pub(crate) force: bool,
}

/// One write on one object.
pub(crate) struct Write<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) resource: Arc<Resource>,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// Empty, `status` or `scale`.
    pub(crate) subresource: &'a str,
    pub(crate) options: WriteOptions,
    /// RFC 3339.
    pub(crate) now: &'a str,
    pub(crate) admission: &'a [AdmissionHook],
    pub(crate) warnings: Vec<String>,
}

/// An answer: HTTP status and object.
pub(crate) type Written = Result<(u16, Value), ApiError>;

impl Write<'_> {
    fn writer<'w>(&'w self, api_version: &'w str, resets: &'w FieldSet) -> Writer<'w> {
        Writer { manager: &self.options.manager, api_version, subresource: self.subresource, now: self.now, resets }
    }

    fn resets(&self) -> FieldSet {
        if self.subresource == "status" { self.resource.status_resets.clone() } else { self.resource.resets.clone() }
    }

    /// The object as the server's own types read it, with defaults.
    fn decode(&mut self, mut v: Value) -> Result<Value, ApiError> {
        let r = self.resource.clone();
        let prefix = format!("{} in version \"{}\" cannot be handled as a {}: ", r.kind, r.version, r.kind);
        if !v.is_object() {
            let what =
                format!("json: cannot unmarshal {} into Go value of type v1.{}", if v.is_array() { "array" } else { "string" }, r.kind);
            return Err(ApiError::bad_request(format!("{prefix}{what}")));
        }
        let (group, kind) = (v["apiVersion"].as_str().unwrap_or_default(), v["kind"].as_str().unwrap_or_default());
        if r.is_custom() && (kind.is_empty() || group.is_empty()) {
            let what = if kind.is_empty() { "Kind" } else { "apiVersion" };
            return Err(ApiError::bad_request(format!("Object '{what}' is missing in '{v}'")));
        }
        if !group.is_empty() && group != r.api_version() {
            return Err(ApiError::bad_request(format!(
                "the API version in the data ({group}) does not match the expected API version ({})",
                r.api_version()
            )));
        }
        if !kind.is_empty() && kind != r.kind {
            return Err(ApiError::bad_request(if r.is_custom() {
                format!("the kind in the data ({kind}) does not match the expected kind ({})", r.kind)
            } else {
                let package = r.group.split('.').next().filter(|g| !g.is_empty()).unwrap_or("core");
                format!(
                    "{kind} in version \"{}\" cannot be handled as a {}: converting ({}.{kind}) to ({package}.{}): unknown conversion",
                    r.version, r.kind, r.version, r.kind
                )
            }));
        }
        v["apiVersion"] = json!(r.api_version());
        v["kind"] = json!(r.kind);
        let decoded = codec::decode(r.schema.root(), &v, r.is_custom()).map_err(|e| ApiError::bad_request(format!("{prefix}{e}")))?;
        match self.options.validation {
            FieldValidation::Strict if !decoded.unknown.is_empty() => {
                let list = decoded.unknown.iter().map(|u| format!("unknown field \"{u}\"")).collect::<Vec<_>>().join(", ");
                return Err(ApiError::bad_request(format!("{prefix}strict decoding error: {list}")));
            }
            FieldValidation::Warn => self.warnings.extend(decoded.unknown.iter().map(|u| format!("unknown field \"{u}\""))),
            _ => {}
        }
        let mut o = decoded.object;
        if !r.is_custom() {
            defaults::apply(&r.group, &r.kind, &mut o);
        }
        Ok(o)
    }

    /// An object of the kind as it is before anything has been said about it.
    fn blank(&self) -> Value {
        let r = &self.resource;
        let shell = json!({"apiVersion": r.api_version(), "kind": r.kind});
        if r.is_custom() {
            return json!({"apiVersion": r.api_version(), "kind": r.kind, "metadata": {}});
        }
        codec::decode(r.schema.root(), &shell, false).map_or(shell, |d| d.object)
    }

    fn place(&self, o: &mut Value) -> Result<(), ApiError> {
        let ns = o["metadata"]["namespace"].as_str().unwrap_or_default();
        if self.resource.namespaced {
            if !ns.is_empty() && ns != self.namespace {
                return Err(ApiError::bad_request("the namespace of the provided object does not match the namespace sent on the request"));
            }
            o["metadata"]["namespace"] = json!(self.namespace);
        } else if let Some(m) = o["metadata"].as_object_mut() {
            m.remove("namespace");
        }
        Ok(())
    }

    /// The namespace must exist and, for new content, live.
    fn namespace_lives(&self, name: &str, creating: bool) -> Result<(), ApiError> {
        if !self.resource.namespaced {
            return Ok(());
        }
        let Some(ns) = self.state.by_key("", "namespaces", "", self.namespace) else {
            return Err(ApiError::namespace_not_found(self.namespace));
        };
        if creating && ns["metadata"]["deletionTimestamp"].is_string() {
            return Err(ApiError::namespace_terminating(&self.resource, name, self.namespace));
        }
        Ok(())
    }

    fn admit(&self, old: Option<&Value>, new: &mut Value) -> Result<(), ApiError> {
        let request = Admission {
            group: &self.resource.group,
            version: &self.resource.version,
            plural: &self.resource.plural,
            subresource: self.subresource,
            manager: &self.options.manager,
            dry_run: self.options.dry_run,
            old,
        };
        for hook in self.admission {
            hook(&request, new).map_err(|why| {
                let message = format!("admission webhook \"fakekube\" denied the request: {why}");
                ApiError::new(403, "Forbidden", message)
            })?;
        }
        Ok(())
    }

    /// POST.
    pub(crate) fn create(&mut self, body: Value) -> Written {
        let mut o = self.decode(body)?;
        self.place(&mut o)?;
        let blank = self.blank();
        let name = o["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.namespace_lives(&name, true)?;
        if o["metadata"]["resourceVersion"].is_string() {
            return Err(ApiError::plain("resourceVersion should not be set on objects to be created"));
        }
        self.own_update(&blank, &mut o);
        self.insert(o)
    }

    /// Ownership after a write that is no apply.
    fn own_update(&self, live: &Value, o: &mut Value) {
        let entries = &o["metadata"]["managedFields"];
        let reset =
            entries.as_array().is_some_and(|e| e.is_empty() || (e.len() == 1 && e[0].as_object().is_some_and(serde_json::Map::is_empty)));
        let managers = if reset {
            Some(Managers::default())
        } else {
            let given = if self.subresource.is_empty() { Managers::decode(o) } else { None };
            match given.filter(|m| !m.is_empty()) {
                Some(m) => Some(m),
                None => Managers::decode(live),
            }
        };
        let mut managers = managers.unwrap_or_default();
        let untracked = managers.is_empty() && live["metadata"]["uid"].is_string();
        if !untracked {
            let (api_version, resets) = (self.resource.api_version(), self.resets());
            managers.update(self.resource.schema.root(), live, o, &self.writer(&api_version, &resets));
        }
        managers.encode(o);
    }

    /// The last steps of every creation.
    fn insert(&mut self, mut o: Value) -> Written {
        let r = self.resource.clone();
        self.admit(None, &mut o)?;
        self.prepare_new(&mut o);
        let name = o["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let mut causes = validation::metadata(&r, &o);
        causes.extend(validation::content(&r, &o));
        if !causes.is_empty() {
            return Err(ApiError::invalid(&r.group, &r.kind, &name, &causes));
        }
        if self.state.get(&r, self.namespace_of(&o), &name).is_some() {
            return Err(ApiError::exists(&r, &name));
        }
        self.warnings.extend(validation::warnings(&r, &o));
        if self.options.dry_run {
            return Ok((201, o));
        }
        let stored = self.state.put(&r, o);
        if r.is("apiextensions.k8s.io", "customresourcedefinitions") {
            self.accept_names(&r, &stored);
        }
        Ok((201, (*stored).clone()))
    }

    fn namespace_of<'o>(&self, o: &'o Value) -> &'o str {
        o["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    fn prepare_new(&mut self, o: &mut Value) {
        let r = self.resource.clone();
        let blank = self.blank();
        // A node's status comes with it; every other status begins empty.
        if r.status && r.plural != "nodes" {
            match blank.get("status").filter(|_| !r.is_custom()) {
                Some(s) => o["status"] = s.clone(),
                None => {
                    if let Some(m) = o.as_object_mut() {
                        m.remove("status");
                    }
                }
            }
            if !r.is_custom() {
                defaults::apply(&r.group, &r.kind, o);
            }
        }
        let uid = self.state.uid();
        let m = &mut o["metadata"];
        if let Some(m) = m.as_object_mut() {
            m.remove("deletionTimestamp");
            m.remove("deletionGracePeriodSeconds");
            m.remove("resourceVersion");
            m.remove("selfLink");
            m.remove("generation");
        }
        m["uid"] = json!(uid);
        m["creationTimestamp"] = json!(self.now);
        if r.generation != Generation::Never {
            m["generation"] = json!(1);
        }
        if let (None, Some(base)) =
            (m.get("name").and_then(Value::as_str).filter(|n| !n.is_empty()), m["generateName"].as_str().map(str::to_owned))
        {
            m["name"] = json!(format!("{base}{}", self.state.suffix()));
        }
        if m["generateName"].is_null()
            && let Some(m) = m.as_object_mut()
        {
            m.remove("generateName");
        }
        self.prepare_kind(None, o);
    }

    /// What single kinds get from the server itself.
    fn prepare_kind(&mut self, old: Option<&Value>, o: &mut Value) {
        match (self.resource.group.as_str(), self.resource.plural.as_str()) {
            ("", "namespaces") if old.is_none() => {
                o["spec"]["finalizers"] = json!(["kubernetes"]);
                defaults::apply("", "Namespace", o);
            }
            ("", "services") => self.allot(old, o),
            ("", "pods") if old.is_none() => prepare_pod(o),
            ("batch", "jobs") if old.is_none() && o["spec"]["manualSelector"] != true => {
                let (uid, name) = (o["metadata"]["uid"].clone(), o["metadata"]["name"].clone());
                let labels = &mut o["spec"]["template"]["metadata"]["labels"];
                if !labels.is_object() {
                    *labels = json!({});
                }
                labels["batch.kubernetes.io/controller-uid"] = uid.clone();
                labels["batch.kubernetes.io/job-name"] = name.clone();
                labels["controller-uid"] = uid.clone();
                labels["job-name"] = name;
                o["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
                defaults::apply("batch", "Job", o);
            }
            ("apps", "daemonsets") => {
                let before = old.and_then(|o| o["metadata"]["annotations"][TEMPLATE_GENERATION].as_str()?.parse::<i64>().ok());
                let changed = old.is_none_or(|old| old["spec"]["template"] != o["spec"]["template"]);
                let annotations = &mut o["metadata"]["annotations"];
                if !annotations.is_object() {
                    *annotations = json!({});
                }
                annotations[TEMPLATE_GENERATION] = json!((before.unwrap_or(0) + i64::from(changed)).to_string());
            }
            ("apiextensions.k8s.io", _) => self.name_definition(old, o),
            ("", "persistentvolumeclaims") if old.is_none() => {
                let finalizers = &mut o["metadata"]["finalizers"];
                if !finalizers.is_array() {
                    *finalizers = json!([]);
                }
                if let Some(f) = finalizers.as_array_mut()
                    && !f.contains(&json!("kubernetes.io/pvc-protection"))
                {
                    f.push(json!("kubernetes.io/pvc-protection"));
                }
            }
            ("", "persistentvolumes") if old.is_none() => {
                o["metadata"]["finalizers"] = json!(["kubernetes.io/pv-protection"]);
            }
            _ => {}
        }
    }

    /// Cluster addresses, node ports and address families of a Service.
    fn allot(&mut self, old: Option<&Value>, o: &mut Value) {
        let kind = o["spec"]["type"].as_str().unwrap_or("ClusterIP").to_owned();
        let spec = &mut o["spec"];
        if kind == "ExternalName" {
            return;
        }
        if let Some(old) = old {
            for f in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"] {
                if spec[f].is_null() && old["spec"][f] != Value::Null {
                    spec[f] = old["spec"][f].clone();
                }
            }
            if let Some(m) = spec.as_object_mut() {
                m.retain(|_, v| !v.is_null());
            }
        }
        if spec["clusterIP"].is_null() {
            spec["clusterIP"] = json!(self.state.cluster_ip());
        }
        let ip = spec["clusterIP"].clone();
        let fill = |spec: &mut Value, f: &str, v: Value| {
            if spec[f].is_null() {
                spec[f] = v;
            }
        };
        fill(spec, "clusterIPs", json!([ip]));
        fill(spec, "ipFamilies", json!(["IPv4"]));
        fill(spec, "ipFamilyPolicy", json!("SingleStack"));
        // What the old type needed goes with it, unless it was asked for anew.
        if let Some(old) = old
            && kind == "ClusterIP"
            && old["spec"]["type"] != "ClusterIP"
        {
            for f in ["externalTrafficPolicy", "healthCheckNodePort", "allocateLoadBalancerNodePorts"] {
                if spec[f] == old["spec"][f]
                    && let Some(m) = spec.as_object_mut()
                {
                    m.remove(f);
                }
            }
            for p in spec["ports"].as_array_mut().into_iter().flatten() {
                let known = old["spec"]["ports"].as_array().into_iter().flatten().any(|b| b["nodePort"] == p["nodePort"]);
                if known && let Some(m) = p.as_object_mut() {
                    m.remove("nodePort");
                }
            }
        }
        let wants_ports = kind == "NodePort" || (kind == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] != false);
        let before = old.map(|o| o["spec"]["ports"].clone()).unwrap_or_default();
        for p in spec["ports"].as_array_mut().into_iter().flatten() {
            if wants_ports && p["nodePort"].is_null() {
                let kept = before.as_array().into_iter().flatten().find(|b| b["port"] == p["port"] && b["protocol"] == p["protocol"]);
                p["nodePort"] = match kept.map(|b| b["nodePort"].clone()).filter(|n| !n.is_null()) {
                    Some(n) => n,
                    None => json!(self.state.node_port()),
                };
            } else if let Some(m) = p.as_object_mut() {
                m.retain(|_, v| !v.is_null());
            }
        }
        if let Some(m) = spec.as_object_mut() {
            m.retain(|_, v| !v.is_null());
        }
    }

    /// A new definition has no names yet; they are accepted right after, in `accept_names`.
    fn name_definition(&self, old: Option<&Value>, o: &mut Value) {
        if old.is_some_and(crate::state::is_established) {
            o["status"]["acceptedNames"] = o["spec"]["names"].clone();
            return;
        }
        let stored: Vec<Value> =
            o["spec"]["versions"].as_array().into_iter().flatten().filter(|v| v["storage"] == true).map(|v| v["name"].clone()).collect();
        o["status"] = json!({"acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored, "conditions": null});
    }

    /// Accepts a definition's names, as the server's own controllers do within a moment. The names of no other are looked at.
    fn accept_names(&mut self, r: &Resource, definition: &Value) {
        let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "lastTransitionTime": self.now, "reason": reason, "message": message});
        let mut o = definition.clone();
        o["status"]["acceptedNames"] = o["spec"]["names"].clone();
        o["status"]["conditions"] = json!([
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ]);
        let mut managers = Managers::decode(definition).unwrap_or_default();
        let api_version = r.api_version();
        let writer =
            Writer { manager: "kube-apiserver", api_version: &api_version, subresource: "status", now: self.now, resets: &r.status_resets };
        managers.update(r.schema.root(), definition, &o, &writer);
        managers.encode(&mut o);
        self.state.put(r, o);
    }

    fn live(&self) -> Result<Arc<Value>, ApiError> {
        self.state.get(&self.resource, self.namespace, self.name).ok_or_else(|| ApiError::not_found(&self.resource, self.name))
    }

    fn named_as_asked(&self, o: &Value) -> Result<(), ApiError> {
        let name = o["metadata"]["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            let message = format!("the name of the object ({} based on URL) was undeterminable: name must be provided", self.name);
            return Err(ApiError::bad_request(message));
        }
        if name != self.name {
            let message = format!("the name of the object ({name}) does not match the name on the URL ({})", self.name);
            return Err(ApiError::bad_request(message));
        }
        let ns = o["metadata"]["namespace"].as_str().unwrap_or_default();
        if self.resource.namespaced && !ns.is_empty() && ns != self.namespace {
            let message = format!("the namespace of the object ({ns}) does not match the namespace on the request ({})", self.namespace);
            return Err(ApiError::bad_request(message));
        }
        Ok(())
    }

    /// PUT.
    pub(crate) fn replace(&mut self, body: Value) -> Written {
        let mut o = self.decode(body)?;
        self.place(&mut o)?;
        self.named_as_asked(&o)?;
        let Some(live) = self.state.get(&self.resource, self.namespace, self.name) else {
            if self.resource.create_on_update && self.subresource.is_empty() {
                self.namespace_lives(self.name, true)?;
                let blank = self.blank();
                self.own_update(&blank, &mut o);
                return self.insert(o);
            }
            return Err(ApiError::not_found(&self.resource, self.name));
        };
        if o["metadata"]["resourceVersion"].is_null() {
            if !self.resource.unconditional_update {
                let c = Cause::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
                return Err(ApiError::invalid(&self.resource.group, &self.resource.plural, self.name, &[c]));
            }
            o["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
        }
        self.reset(&live, &mut o);
        self.own_update(&live, &mut o);
        self.store(&live, o)
    }

    /// PATCH, all four kinds.
    pub(crate) fn patch(&mut self, kind: PatchKind, body: &Value) -> Written {
        if kind == PatchKind::Apply {
            return self.apply(body);
        }
        let live = self.live()?;
        let mut o = (*live).clone();
        o["apiVersion"] = json!(self.resource.api_version());
        match kind {
            PatchKind::Merge => patch::merge(&mut o, body),
            PatchKind::Json => patch::json_patch(&mut o, body).map_err(|_| {
                ApiError::new(422, "Invalid", "the server rejected our request due to an error in our request").with_details(json!({}))
            })?,
            PatchKind::Strategic => {
                patch::strategic(self.resource.schema.root(), &mut o, body).map_err(ApiError::bad_request)?;
            }
            PatchKind::Apply => {}
        }
        let mut o = self.decode(o)?;
        self.named_as_asked(&o)?;
        self.reset(&live, &mut o);
        self.own_update(&live, &mut o);
        self.store(&live, o)
    }

    fn apply(&mut self, config: &Value) -> Written {
        let r = self.resource.clone();
        if config["apiVersion"] != r.api_version().as_str() || config["kind"] != r.kind.as_str() {
            return Err(ApiError::bad_request(format!("invalid object type: {}", group_version_kind(config))));
        }
        if config["metadata"]["managedFields"].is_array() {
            return Err(ApiError::bad_request("metadata.managedFields must be nil"));
        }
        let live = self.state.get(&r, self.namespace, self.name);
        if live.is_none() && !self.subresource.is_empty() {
            return Err(ApiError::not_found(&r, self.name));
        }
        if live.is_none()
            && let Some(uid) = config["metadata"]["uid"].as_str()
        {
            let why = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(ApiError::conflict(&r, self.name, &why));
        }
        let root = r.schema.root();
        let faults = typed::validate(root, config, false);
        if !faults.is_empty() {
            let (ns, name) =
                (config["metadata"]["namespace"].as_str().unwrap_or_default(), config["metadata"]["name"].as_str().unwrap_or_default());
            return Err(ApiError::plain(format!(
                "failed to create typed patch object ({ns}/{name}; {}): {}",
                group_version_kind(config),
                typed::describe(&faults)
            )));
        }
        let base = live.as_deref().cloned().unwrap_or_else(|| self.blank());
        let (api_version, resets) = (r.api_version(), self.resets());
        let mut managers = Managers::decode(&base).unwrap_or_default();
        if managers.is_empty() {
            let first = Writer { manager: "before-first-apply", ..self.writer(&api_version, &resets) };
            managers.update(root, &self.blank(), &base, &first);
        }
        let before = managers.clone();
        let mut outcome = managers.apply(root, &base, config, &self.writer(&api_version, &resets), self.options.force);
        if let (Err(conflicts), "kubectl") = (&outcome, self.options.manager.as_str()) {
            // What `kubectl apply` recorded in its annotation passes to its server-side form without a conflict.
            if let Some(held) = managed::held_by_last_applied(root, &base, &api_version) {
                let rest: Vec<_> = conflicts.iter().filter(|c| !held.has_path(&c.path)).cloned().collect();
                managers = before;
                outcome = if rest.is_empty() {
                    managers.apply(root, &base, config, &self.writer(&api_version, &resets), true)
                } else {
                    Err(rest)
                };
            }
        }
        let merged = outcome.map_err(|conflicts| {
            let causes: Vec<Value> = conflicts
                .iter()
                .map(|c| json!({"reason": "FieldManagerConflict", "message": format!("conflict with {}", c.who()), "field": c.field()}))
                .collect();
            ApiError::apply_conflict(managed::conflict_message(&conflicts), &causes)
        })?;
        let mut o = match merged {
            Some(v) => {
                let kept = std::mem::replace(&mut self.options.validation, FieldValidation::Ignore);
                let decoded = self.decode(v);
                self.options.validation = kept;
                decoded?
            }
            None => base.clone(),
        };
        if self.options.manager == "kubectl" {
            managed::refresh_last_applied(&mut o, config);
        }
        managers.encode(&mut o);
        self.named_as_asked(&o)?;
        let Some(live) = live else {
            self.place(&mut o)?;
            self.namespace_lives(self.name, true)?;
            return self.insert(o);
        };
        self.reset(&live, &mut o);
        self.store(&live, o)
    }

    /// What this door may not change goes back to what it was.
    fn reset(&self, live: &Value, o: &mut Value) {
        let r = &self.resource;
        let restore = |o: &mut Value, f: &str| match live.get(f) {
            Some(v) => o[f] = v.clone(),
            None => {
                if let Some(m) = o.as_object_mut() {
                    m.remove(f);
                }
            }
        };
        if self.subresource == "status" {
            let names: Vec<String> = o
                .as_object()
                .into_iter()
                .flatten()
                .map(|(k, _)| k.clone())
                .chain(live.as_object().into_iter().flatten().map(|(k, _)| k.clone()))
                .collect();
            for f in names {
                if !matches!(f.as_str(), "status" | "metadata" | "apiVersion" | "kind") {
                    restore(o, &f);
                }
            }
            if r.is_custom() || r.plural == "customresourcedefinitions" {
                let (managed, version, uid) =
                    (o["metadata"]["managedFields"].clone(), o["metadata"]["resourceVersion"].clone(), o["metadata"]["uid"].clone());
                o["metadata"] = live["metadata"].clone();
                for (f, v) in [("managedFields", managed), ("resourceVersion", version), ("uid", uid)] {
                    if !v.is_null() {
                        o["metadata"][f] = v;
                    }
                }
            } else if r.plural == "deployments" {
                match live["metadata"].get("labels") {
                    Some(l) => o["metadata"]["labels"] = l.clone(),
                    None => {
                        if let Some(m) = o["metadata"].as_object_mut() {
                            m.remove("labels");
                        }
                    }
                }
            }
        } else if r.status {
            restore(o, "status");
        }
    }

    /// The last steps of every update.
    fn store(&mut self, live: &Value, mut o: Value) -> Written {
        let r = self.resource.clone();
        let (given, current) = (&o["metadata"]["resourceVersion"], &live["metadata"]["resourceVersion"]);
        if given.is_string() && given != current {
            return Err(ApiError::modified(&r, self.name));
        }
        let (uid, live_uid) = (&o["metadata"]["uid"], &live["metadata"]["uid"]);
        if uid.is_string() && uid != live_uid {
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {}, UID in object meta: {}",
                self.storage_key(),
                uid.as_str().unwrap_or_default(),
                live_uid.as_str().unwrap_or_default()
            );
            return Err(ApiError::conflict(&r, self.name, &why));
        }
        self.admit(Some(live), &mut o)?;
        for f in
            ["uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "namespace"]
        {
            match live["metadata"].get(f) {
                Some(v) => o["metadata"][f] = v.clone(),
                None => {
                    if let Some(m) = o["metadata"].as_object_mut() {
                        m.remove(f);
                    }
                }
            }
        }
        self.prepare_kind(Some(live), &mut o);
        if r.plural == "namespaces" && self.subresource.is_empty() {
            o["spec"]["finalizers"] = live["spec"]["finalizers"].clone();
        }
        if self.subresource != "status" && self.raises_generation(live, &o) {
            o["metadata"]["generation"] = json!(live["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
        }
        let mut causes = validation::metadata(&r, &o);
        if self.subresource.is_empty() || self.subresource == "scale" {
            causes.extend(validation::content(&r, &o));
            causes.extend(validation::change(&r, live, &o));
        } else if r.is_custom() {
            causes.extend(validation::content(&r, &o));
        }
        if live["metadata"]["deletionTimestamp"].is_string() {
            let old: Vec<&Value> = live["metadata"]["finalizers"].as_array().into_iter().flatten().collect();
            let extra: Vec<String> =
                o["metadata"]["finalizers"].as_array().into_iter().flatten().filter(|f| !old.contains(f)).map(|f| format!("{f}")).collect();
            if !extra.is_empty() {
                let why = format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    extra.join(", ")
                );
                // The real server checks metadata twice, and says so twice.
                causes.extend([Cause::forbidden("metadata.finalizers", &why), Cause::forbidden("metadata.finalizers", &why)]);
            }
        }
        if !causes.is_empty() {
            return Err(ApiError::invalid(&r.group, &r.kind, self.name, &causes));
        }
        if o["metadata"]["generation"] != live["metadata"]["generation"] {
            self.warnings.extend(validation::warnings(&r, &o));
        }
        if managed::same_but_times(&o, live) {
            o["metadata"]["managedFields"] = live["metadata"]["managedFields"].clone();
        }
        if o == *live || self.options.dry_run {
            return Ok((200, o));
        }
        let finished = o["metadata"]["deletionTimestamp"].is_string()
            && o["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)
            && o["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
            && o["spec"]["finalizers"].as_array().is_none_or(|f| f.is_empty() || r.plural != "namespaces");
        if finished {
            self.state.take(&r, self.namespace, self.name);
            return Ok((200, o));
        }
        let stored = self.state.put(&r, o);
        Ok((200, (*stored).clone()))
    }

    fn raises_generation(&self, old: &Value, new: &Value) -> bool {
        match self.resource.generation {
            Generation::Never => false,
            Generation::Spec => old["spec"] != new["spec"],
            Generation::SpecOrAnnotations => {
                old["spec"] != new["spec"] || old["metadata"].get("annotations") != new["metadata"].get("annotations")
            }
            Generation::Content => {
                let rest = |v: &Value| {
                    let mut v = v.clone();
                    if let Some(m) = v.as_object_mut() {
                        m.remove("metadata");
                        m.remove("apiVersion");
                        if self.resource.status || !self.resource.is_custom() {
                            m.remove("status");
                        }
                    }
                    v
                };
                rest(old) != rest(new)
            }
        }
    }

    fn storage_key(&self) -> String {
        let r = &self.resource;
        let plural = match (r.group.as_str(), r.plural.as_str()) {
            ("", "services") => "services/specs".to_owned(),
            ("", "nodes") => "minions".to_owned(),
            ("networking.k8s.io", "ingresses") => "ingress".to_owned(),
            _ if r.is_custom() => format!("{}/{}", r.group, r.plural),
            _ => r.plural.clone(),
        };
        if r.namespaced {
            format!("/registry/{plural}/{}/{}", self.namespace, self.name)
        } else {
            format!("/registry/{plural}/{}", self.name)
        }
    }

    /// `metadata.*`, replicas and selector as the scale subresource shows them.
    pub(crate) fn scale_of(&self, o: &Value) -> Result<Value, ApiError> {
        let scale = self.resource.scale.as_ref().ok_or_else(ApiError::no_path)?;
        let at = |path: &[String]| path.iter().try_fold(o, |v, s| v.get(s)).cloned();
        let m = &o["metadata"];
        let mut out = json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
            "metadata": {"name": m["name"], "namespace": m["namespace"], "uid": m["uid"], "resourceVersion": m["resourceVersion"],
                "creationTimestamp": m["creationTimestamp"]},
            "spec": {}, "status": {"replicas": at(&scale.status).unwrap_or_else(|| json!(0))}});
        if let Some(n) = at(&scale.spec).filter(|n| *n != 0) {
            out["spec"]["replicas"] = n;
        }
        if let Some(sel) = scale.selector.as_ref().and_then(|p| at(p)) {
            let text = match &sel {
                Value::String(s) => s.clone(),
                s => s["matchLabels"]
                    .as_object()
                    .or(s.as_object())
                    .into_iter()
                    .flatten()
                    .filter_map(|(k, v)| Some(format!("{k}={}", v.as_str()?)))
                    .collect::<Vec<_>>()
                    .join(","),
            };
            out["status"]["selector"] = json!(text);
        }
        Ok(out)
    }

    /// PUT and PATCH on the scale subresource.
    pub(crate) fn rescale(&mut self, kind: Option<PatchKind>, body: &Value) -> Written {
        let live = self.live()?;
        let mut scale = self.scale_of(&live)?;
        match kind {
            None => scale = body.clone(),
            Some(PatchKind::Json) => patch::json_patch(&mut scale, body).map_err(ApiError::bad_request)?,
            Some(_) => patch::merge(&mut scale, body),
        }
        let version = &scale["metadata"]["resourceVersion"];
        if version.is_string() && *version != live["metadata"]["resourceVersion"] {
            return Err(ApiError::modified(&self.resource, self.name));
        }
        let wanted = scale["spec"]["replicas"].as_i64().unwrap_or(0);
        if wanted < 0 {
            let c = Cause::invalid("spec.replicas", &json!(wanted), "must be greater than or equal to 0");
            return Err(ApiError::invalid("autoscaling", "Scale", self.name, &[c]));
        }
        let mut o = (*live).clone();
        let path = self.resource.scale.as_ref().ok_or_else(ApiError::no_path)?.spec.clone();
        let target = path.iter().fold(&mut o, |v, s| &mut v[s.as_str()]);
        *target = json!(wanted);
        // The real server keeps no entry for the scale of a custom resource.
        if !self.resource.is_custom() {
            self.own_update(&live, &mut o);
        }
        let (code, stored) = self.store(&live, o)?;
        Ok((code, self.scale_of(&stored)?))
    }
}

/// As Go prints it: the core group is empty before the slash.
fn group_version_kind(o: &Value) -> String {
    let api = o["apiVersion"].as_str().unwrap_or_default();
    let slash = if api.contains('/') { "" } else { "/" };
    format!("{slash}{api}, Kind={}", o["kind"].as_str().unwrap_or_default())
}

fn prepare_pod(o: &mut Value) {
    o["status"] = json!({"phase": "Pending", "qosClass": qos(&o["spec"])});
    let has_name = o["spec"]["serviceAccountName"].is_string();
    if !has_name {
        o["spec"]["serviceAccountName"] = json!("default");
        o["spec"]["serviceAccount"] = json!("default");
    }
    let spec = &mut o["spec"];
    if spec["priority"].is_null() {
        spec["priority"] = json!(0);
    }
    if spec["preemptionPolicy"].is_null() {
        spec["preemptionPolicy"] = json!("PreemptLowerPriority");
    }
    let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        if !tolerations.iter().any(|t| t["key"] == key) {
            tolerations.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
    spec["tolerations"] = json!(tolerations);
}

fn qos(spec: &Value) -> &'static str {
    let containers: Vec<&Value> = spec["containers"].as_array().into_iter().flatten().collect();
    let has = |c: &&Value, f: &str| c["resources"][f].as_object().is_some_and(|m| !m.is_empty());
    if containers.iter().all(|c| !has(c, "requests") && !has(c, "limits")) {
        return "BestEffort";
    }
    let full = |c: &&Value| {
        ["cpu", "memory"].iter().all(|r| {
            let l = &c["resources"]["limits"][*r];
            l.is_string() && (c["resources"]["requests"][*r].is_null() || c["resources"]["requests"][*r] == *l)
        })
    };
    if containers.iter().all(full) { "Guaranteed" } else { "Burstable" }
}
