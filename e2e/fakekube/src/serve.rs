//! One request from path and body to an answer: routes, parameters, media types, and which part serves it. The parts are `write`,
//! `lifecycle`, `watch` and `discovery`; sockets are in `http`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use crate::FakeKube;
use crate::discovery;
use crate::lifecycle::{self, DeleteOptions};
use crate::registry::Resource;
use crate::select::{Fields, Labels, selectable};
use crate::shapes::Shape;
use crate::state::{State, rfc3339};
use crate::status::{ApiError, Cause};
use crate::watch::{self, Form, ListOptions, Scope, Watch, WatchOptions};
use crate::write::{FieldValidation, PatchKind, Write, WriteOptions};

/// A request body larger than this is refused, as the real server does: 3 MiB.
pub(crate) const BODY_BYTES: usize = 3 * 1024 * 1024;

/// An answer: JSON, or an open watch.
pub(crate) enum Answer {
    Json {
        code: StatusCode,
        body: Value,
        warnings: Vec<String>,
        media_type: &'static str,
    },
    Text(&'static str),
    /// A path below which there is nothing.
    NoPage,
    Watch(Box<Watch>),
}

fn json_answer(code: u16, body: Value) -> Answer {
    Answer::Json {
        code: StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        body,
        warnings: Vec::new(),
        media_type: "application/json",
    }
}

impl From<ApiError> for Answer {
    fn from(e: ApiError) -> Answer {
        json_answer(e.code, e.to_value())
    }
}

/// What a path names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) resource: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
}

impl Target {
    /// `None` for paths that name no resource.
    pub(crate) fn parse(path: &str) -> Option<Target> {
        let parts: Vec<String> = path.split('/').filter(|p| !p.is_empty()).map(percent_decode).collect();
        let mut rest = parts.as_slice();
        let mut t = Target::default();
        match rest {
            [api, version, tail @ ..] if api == "api" => {
                t.version = version.clone();
                rest = tail;
            }
            [apis, group, version, tail @ ..] if apis == "apis" => {
                t.group = group.clone();
                t.version = version.clone();
                rest = tail;
            }
            _ => return None,
        }
        if let [word, ns, tail @ ..] = rest
            && word == "namespaces"
            && !(tail.is_empty() || (tail.len() == 1 && ["status", "finalize"].contains(&tail[0].as_str())))
        {
            t.namespace = ns.clone();
            rest = tail;
        }
        match rest {
            [resource] => t.resource = resource.clone(),
            [resource, name] => (t.resource, t.name) = (resource.clone(), name.clone()),
            [resource, name, sub @ ..] => {
                (t.resource, t.name) = (resource.clone(), name.clone());
                t.subresource = sub.join("/");
            }
            [] => return None,
        }
        Some(t)
    }
}

fn percent_decode(s: &str) -> String {
    let bytes = s.as_bytes();
    let mut out = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        let hex = (bytes[i] == b'%').then(|| s.get(i + 1..i + 3).and_then(|h| u8::from_str_radix(h, 16).ok())).flatten();
        match hex {
            Some(b) => {
                out.push(b);
                i += 3;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Query parameters.
pub(crate) type Parameters = BTreeMap<String, String>;

pub(crate) fn parameters(query: Option<&str>) -> Parameters {
    query
        .unwrap_or_default()
        .split('&')
        .filter(|p| !p.is_empty())
        .map(|p| {
            let (k, v) = p.split_once('=').unwrap_or((p, ""));
            (percent_decode(k), percent_decode(&v.replace('+', " ")))
        })
        .collect()
}

fn flag(p: &Parameters, name: &str) -> bool {
    p.get(name).is_some_and(|v| v == "true" || v == "1" || v.is_empty())
}

/// The media type without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let full = headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    full.split(';').next().unwrap_or_default().trim().to_owned()
}

/// The verb as the real server counts it, an apply apart.
pub(crate) fn verb(method: &Method, target: Option<&Target>, p: &Parameters, media: &str) -> &'static str {
    let one = target.is_none_or(|t| !t.name.is_empty());
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH if media.starts_with("application/apply-patch") => "apply",
        Method::PATCH => "patch",
        Method::DELETE if one => "delete",
        Method::DELETE => "deletecollection",
        // One object cannot be watched by its own path: the parameter is ignored.
        _ if one => "get",
        _ if flag(p, "watch") => "watch",
        _ => "list",
    }
}

/// The shape of a request.
pub(crate) fn shape(state: &State, path: &str, verb: &str, target: Option<&Target>, p: &Parameters, media: &str) -> Shape {
    let dash = |s: &str| if s.is_empty() { "-".to_owned() } else { s.to_owned() };
    let custom = target.is_some_and(|t| state.custom.iter().any(|r| r.group == t.group && r.plural == t.resource));
    let (group, resource, subresource) = match target {
        Some(t) if custom => ("custom".into(), "custom".into(), dash(&t.subresource)),
        Some(t) => (if t.group.is_empty() { "core".into() } else { t.group.clone() }, t.resource.clone(), dash(&t.subresource)),
        None => ("-".into(), path.to_owned(), "-".into()),
    };
    Shape {
        verb: verb.to_owned(),
        group,
        resource,
        subresource,
        content_type: if matches!(verb, "create" | "update" | "patch" | "apply" | "delete" | "deletecollection") {
            dash(media)
        } else {
            "-".into()
        },
        parameters: p.keys().cloned().collect(),
    }
}

/// Everything that was asked.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) target: Option<Target>,
    pub(crate) parameters: Parameters,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked<'_> {
    fn form(&self) -> Form {
        let accept = self.headers.get(http::header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        // The first form that is offered wins.
        for part in accept.split(',') {
            if part.contains("as=Table") {
                return Form::Table;
            }
            if part.contains("as=PartialObjectMetadata") {
                return Form::Metadata;
            }
            if part.trim_start().starts_with("application/json") || part.trim() == "*/*" {
                return Form::Whole;
            }
        }
        Form::Whole
    }

    fn aggregated(&self) -> bool {
        let accept = self.headers.get(http::header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        accept.split(',').next().is_some_and(|a| a.contains("as=APIGroupDiscoveryList") && a.contains("v=v2") && !a.contains("v2beta1"))
    }

    fn value(&self) -> Result<Value, ApiError> {
        let media = media_type(self.headers);
        if media.contains("protobuf") || media.contains("cbor") {
            return Err(ApiError::unsupported_media(&["application/json", "application/yaml"]));
        }
        parse_body(&self.body, media.contains("yaml"))
    }

    fn write_options(&self, kind: &str) -> Result<WriteOptions, ApiError> {
        let p = &self.parameters;
        let mut causes = Vec::new();
        let dry = p.get("dryRun");
        if dry.is_some_and(|d| d != "All" && !d.is_empty()) {
            causes.push(Cause::unsupported("dryRun", &json!([dry]), &["All"]));
        }
        let manager = p.get("fieldManager").cloned().unwrap_or_default();
        if manager.len() > 128 {
            causes.push(Cause {
                reason: "FieldValueTooLong",
                message: "Too long: may not be more than 128 bytes".into(),
                field: "fieldManager".into(),
            });
        }
        let apply = media_type(self.headers).starts_with("application/apply-patch");
        if kind == "PatchOptions" {
            if apply && manager.is_empty() {
                causes.push(Cause::required("fieldManager", "is required for apply patch"));
            }
            if !apply && p.contains_key("force") {
                causes.push(Cause::forbidden("force", "may not be specified for non-apply patch"));
            }
        }
        let validation = match p.get("fieldValidation").map(String::as_str) {
            Some("Ignore") => FieldValidation::Ignore,
            Some("Strict") => FieldValidation::Strict,
            Some("Warn" | "") | None => FieldValidation::Warn,
            Some(other) => {
                causes.push(Cause::unsupported("fieldValidation", &json!(other), &["Ignore", "Strict", "Warn"]));
                FieldValidation::Warn
            }
        };
        if !causes.is_empty() {
            return Err(ApiError::invalid("meta.k8s.io", kind, "", &causes));
        }
        let manager = if manager.is_empty() { self.user_agent() } else { manager };
        Ok(WriteOptions { dry_run: dry.is_some_and(|d| d == "All"), manager, validation, force: flag(p, "force") })
    }

    /// The part of the user agent before its version, as the real server names managers that do not name themselves.
    fn user_agent(&self) -> String {
        let full = self.headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        full.split('/').next().unwrap_or_default().chars().take(128).collect()
    }

    fn delete_options(&self) -> Result<DeleteOptions, ApiError> {
        let body = if self.body.is_empty() { json!({}) } else { self.value()? };
        let p = &self.parameters;
        let text = |v: &Value| v.as_str().map(str::to_owned);
        let orphan = body["orphanDependents"].as_bool().or_else(|| p.get("orphanDependents").map(|v| v == "true"));
        Ok(DeleteOptions {
            uid: text(&body["preconditions"]["uid"]),
            version: text(&body["preconditions"]["resourceVersion"]),
            propagation: text(&body["propagationPolicy"])
                .or_else(|| p.get("propagationPolicy").cloned())
                .or_else(|| orphan.map(|o| if o { "Orphan" } else { "Background" }.to_owned())),
            grace: body["gracePeriodSeconds"].as_i64().or_else(|| p.get("gracePeriodSeconds").and_then(|v| v.parse().ok())),
            dry_run: body["dryRun"].as_array().is_some_and(|d| d.iter().any(|x| x == "All")) || p.get("dryRun").is_some_and(|d| d == "All"),
        })
    }

    fn scope(&self, r: &Arc<Resource>, t: &Target) -> Result<Scope, ApiError> {
        let text = |n: &str| self.parameters.get(n).map_or("", String::as_str);
        Ok(Scope {
            resource: r.clone(),
            namespace: t.namespace.clone(),
            labels: Labels::parse(text("labelSelector")).map_err(ApiError::bad_request)?,
            fields: Fields::parse(text("fieldSelector"), selectable(&r.group, &r.plural)).map_err(ApiError::bad_request)?,
            form: self.form(),
        })
    }
}

fn parse_body(body: &Bytes, yaml: bool) -> Result<Value, ApiError> {
    if yaml {
        // JSON is YAML; reading it as JSON keeps numbers exact.
        if let Ok(v) = serde_json::from_slice(body) {
            return Ok(v);
        }
        return serde_yaml::from_slice(body)
            .map_err(|e| ApiError::bad_request(format!("error decoding YAML: error converting YAML to JSON: {e}")));
    }
    serde_json::from_slice(body)
        .map_err(|e| ApiError::bad_request(format!("the object provided is unrecognized (must be of type JSON): {e}")))
}

/// Serves a request.
pub(crate) fn serve(kube: &FakeKube, asked: &Asked<'_>) -> Answer {
    let mut guard = kube.lock();
    let state = &mut *guard;
    match &asked.target {
        None => about(state, asked),
        Some(t) => resource(kube, state, asked, t).unwrap_or_else(Answer::from),
    }
}

fn about(state: &State, asked: &Asked<'_>) -> Answer {
    let parts: Vec<&str> = asked.path.split('/').filter(|p| !p.is_empty()).collect();
    let found = match parts.as_slice() {
        ["version"] => Some(discovery::version()),
        ["healthz" | "livez" | "readyz", ..] => return Answer::Text("ok"),
        ["api"] if asked.aggregated() => return aggregated(discovery::aggregated(state, true)),
        ["apis"] if asked.aggregated() => return aggregated(discovery::aggregated(state, false)),
        ["api"] => Some(discovery::core_versions()),
        ["apis"] => Some(discovery::group_list(state)),
        ["api", v] => discovery::resource_list(state, "", v),
        ["apis", g] => discovery::one_group(state, g),
        ["apis", g, v] => discovery::resource_list(state, g, v),
        ["openapi", "v3"] => Some(discovery::open_api_index(state)),
        ["openapi", "v3", "api", v] => open_api(state, "", v),
        ["openapi", "v3", "apis", g, v] => open_api(state, g, v),
        _ => None,
    };
    found.map_or(Answer::NoPage, |v| json_answer(200, v))
}

fn open_api(state: &State, group: &str, version: &str) -> Option<Value> {
    discovery::builtin_open_api(group, version).cloned().or_else(|| discovery::open_api(state, group, version))
}

fn aggregated(body: Value) -> Answer {
    Answer::Json {
        code: StatusCode::OK,
        body,
        warnings: Vec::new(),
        media_type: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    }
}

fn resource(kube: &FakeKube, state: &mut State, asked: &Asked<'_>, t: &Target) -> Result<Answer, ApiError> {
    if t.group == "authorization.k8s.io" && t.resource == "selfsubjectaccessreviews" && *asked.method == Method::POST {
        // The answer does not depend on the question, so a body that cannot be read (protobuf) is answered too.
        let mut body = asked.value().unwrap_or_else(|_| json!({"spec": {}}));
        body["status"] = json!({"allowed": true});
        body["kind"] = json!("SelfSubjectAccessReview");
        body["apiVersion"] = json!("authorization.k8s.io/v1");
        body["metadata"] = json!({});
        return Ok(json_answer(201, body));
    }
    if !state.resources().any(|r| r.group == t.group && r.version == t.version) {
        return Ok(Answer::NoPage);
    }
    let r = state.find(&t.group, &t.version, &t.resource).ok_or_else(ApiError::no_path)?;
    // A namespaced object needs a namespace, a cluster-scoped one has none.
    if (!r.namespaced && !t.namespace.is_empty()) || (r.namespaced && t.namespace.is_empty() && !t.name.is_empty()) {
        return Err(ApiError::no_path());
    }
    let now = kube.now();
    let stamp = rfc3339(now);
    let collection = t.name.is_empty();
    match (asked.method, collection) {
        (&Method::GET, true) => read_collection(kube, state, asked, &r, t, now),
        (&Method::GET, false) => read_one(state, asked, &r, t, now),
        (&Method::DELETE, false) if t.subresource.is_empty() => {
            let options = asked.delete_options()?;
            refuse_protected(&r, &t.name)?;
            let jobs = r.is("batch", "jobs") && options.propagation.is_none();
            let d = lifecycle::delete(state, &r, &t.namespace, &t.name, &options, now)?;
            kube.collect(state, now);
            kube.changed();
            let body = if d.gone && !r.returns_deleted { deleted_status(&r, &d.object) } else { watch::shown(&r, Form::Whole, &d.object) };
            let warnings = if jobs { vec![lifecycle::JOB_WARNING.to_owned()] } else { Vec::new() };
            Ok(Answer::Json { code: StatusCode::OK, body, warnings, media_type: "application/json" })
        }
        (&Method::DELETE, true) if !r.is("", "namespaces") => delete_collection(kube, state, asked, &r, t, now),
        (&Method::POST | &Method::PUT | &Method::PATCH, _) => write(kube, state, asked, &r, t, &stamp),
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn refuse_protected(r: &Resource, name: &str) -> Result<(), ApiError> {
    if r.is("", "namespaces") && ["default", "kube-system", "kube-public"].contains(&name) {
        return Err(ApiError::forbidden(r, name, "this namespace may not be deleted"));
    }
    Ok(())
}

fn deleted_status(r: &Resource, o: &Value) -> Value {
    let mut details = json!({"name": o["metadata"]["name"], "kind": r.plural, "uid": o["metadata"]["uid"]});
    if !r.group.is_empty() {
        details["group"] = json!(r.group);
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

fn read_one(state: &mut State, asked: &Asked<'_>, r: &Arc<Resource>, t: &Target, now: i64) -> Result<Answer, ApiError> {
    let o = state.get(r, &t.namespace, &t.name).ok_or_else(|| ApiError::not_found(r, &t.name))?;
    match t.subresource.as_str() {
        "" => {}
        "status" if r.status => {}
        "scale" if r.scale.is_some() => return Ok(json_answer(200, scaled(state, r, t)?.scale_of(&o)?)),
        _ => return Err(ApiError::no_path()),
    }
    Ok(json_answer(
        200,
        match asked.form() {
            Form::Table => watch::table(r, std::iter::once(&*o), &json!({"resourceVersion": o["metadata"]["resourceVersion"]}), now),
            form => watch::shown(r, form, &o),
        },
    ))
}

fn scaled<'a>(state: &'a mut State, r: &Arc<Resource>, t: &'a Target) -> Result<Write<'a>, ApiError> {
    let options = WriteOptions { dry_run: true, manager: String::new(), validation: FieldValidation::Ignore, force: false };
    Ok(Write {
        state,
        resource: r.clone(),
        namespace: &t.namespace,
        name: &t.name,
        subresource: "scale",
        options,
        now: "",
        admission: &[],
        warnings: Vec::new(),
    })
}

/// Which parameters of a list or watch exclude each other.
fn check_list_options(p: &Parameters, watching: bool) -> Result<(), ApiError> {
    const MATCHES: [&str; 2] = ["Exact", "NotOlderThan"];
    let text = |n: &str| p.get(n).map_or("", String::as_str);
    let (version, wanted) = (text("resourceVersion"), text("resourceVersionMatch"));
    let initial = p.contains_key("sendInitialEvents");
    let mut causes = Vec::new();
    let mut refuse = |field: &str, why: &str| causes.push(Cause::forbidden(field, why));
    if watching && initial && wanted != "NotOlderThan" {
        refuse("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    }
    if watching && !initial && !wanted.is_empty() {
        refuse("resourceVersionMatch", "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
    }
    if !watching && !wanted.is_empty() {
        if version.is_empty() {
            refuse("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if !text("continue").is_empty() {
            refuse("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided");
        }
        if wanted == "Exact" && version == "0" {
            refuse("resourceVersionMatch", "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
        }
    }
    if !watching && initial {
        refuse("sendInitialEvents", "sendInitialEvents is forbidden for list");
    }
    if !wanted.is_empty() && !MATCHES.contains(&wanted) {
        causes.push(Cause::unsupported("resourceVersionMatch", &json!(wanted), &["Exact", "NotOlderThan", ""]));
    }
    if causes.is_empty() { Ok(()) } else { Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", &causes)) }
}

fn watch_options(p: &Parameters) -> Result<WatchOptions, ApiError> {
    let from = match p.get("resourceVersion").map(String::as_str) {
        None | Some("") => None,
        Some(v) => Some(v.parse().map_err(|_| {
            let message = format!("resourceVersion: Invalid value: {v:?}: strconv.ParseUint: parsing {v:?}: invalid syntax");
            ApiError::plain(message)
        })?),
    };
    Ok(WatchOptions {
        from,
        bookmarks: flag(p, "allowWatchBookmarks"),
        initial_events: p.get("sendInitialEvents").map(|v| v == "true"),
        timeout: p.get("timeoutSeconds").and_then(|v| v.parse().ok()),
    })
}

fn read_collection(
    kube: &FakeKube,
    state: &mut State,
    asked: &Asked<'_>,
    r: &Arc<Resource>,
    t: &Target,
    now: i64,
) -> Result<Answer, ApiError> {
    let watching = flag(&asked.parameters, "watch");
    check_list_options(&asked.parameters, watching)?;
    let scope = asked.scope(r, t)?;
    if watching {
        return Ok(Answer::Watch(Box::new(Watch::open(kube.state(), state, scope, &watch_options(&asked.parameters)?)?)));
    }
    let options = ListOptions {
        limit: asked.parameters.get("limit").and_then(|v| v.parse().ok()).unwrap_or(0),
        from: asked.parameters.get("continue").filter(|c| !c.is_empty()).cloned(),
    };
    Ok(json_answer(200, watch::list(state, &scope, &options, now)?))
}

fn delete_collection(
    kube: &FakeKube,
    state: &mut State,
    asked: &Asked<'_>,
    r: &Arc<Resource>,
    t: &Target,
    now: i64,
) -> Result<Answer, ApiError> {
    let options = asked.delete_options()?;
    let scope = Scope { form: Form::Whole, ..asked.scope(r, t)? };
    let list = watch::list(state, &scope, &ListOptions::default(), now)?;
    for o in list["items"].as_array().into_iter().flatten() {
        let (ns, name) = crate::state::key_of(o);
        match lifecycle::delete(state, r, &ns, &name, &options, now) {
            Ok(_) => {}
            Err(e) if e.code == 404 => {}
            Err(e) => return Err(e),
        }
    }
    kube.collect(state, now);
    kube.changed();
    Ok(json_answer(200, list))
}

fn write(kube: &FakeKube, state: &mut State, asked: &Asked<'_>, r: &Arc<Resource>, t: &Target, now: &str) -> Result<Answer, ApiError> {
    match (t.subresource.as_str(), asked.method) {
        ("", _) => {}
        ("status", &Method::PUT | &Method::PATCH) if r.status => {}
        ("scale", &Method::PUT | &Method::PATCH) if r.scale.is_some() => {}
        ("finalize", &Method::PUT) if r.is("", "namespaces") => {}
        ("eviction", &Method::POST) if r.is("", "pods") => {
            lifecycle::delete(state, r, &t.namespace, &t.name, &DeleteOptions::default(), kube.now())?;
            kube.collect(state, kube.now());
            kube.changed();
            return Ok(json_answer(201, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})));
        }
        _ => return Err(ApiError::no_path()),
    }
    let media = media_type(asked.headers);
    let kind = match media.as_str() {
        _ if asked.method != Method::PATCH => None,
        "application/json-patch+json" => Some(PatchKind::Json),
        "application/merge-patch+json" => Some(PatchKind::Merge),
        "application/strategic-merge-patch+json" if !r.is_custom() => Some(PatchKind::Strategic),
        "application/apply-patch+yaml" => Some(PatchKind::Apply),
        _ => {
            if r.is_custom() {
                let accepted = ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];
                return Err(ApiError::unsupported_media(&accepted));
            }
            let e = ApiError::new(415, "UnsupportedMediaType", "415: Unsupported Media Type");
            return Err(e.with_details(json!({})));
        }
    };
    let options = asked.write_options(match *asked.method {
        Method::POST => "CreateOptions",
        Method::PUT => "UpdateOptions",
        _ => "PatchOptions",
    })?;
    let body = asked.value()?;
    let admission = kube.admission_hooks();
    let mut w = Write {
        state,
        resource: r.clone(),
        namespace: &t.namespace,
        name: &t.name,
        subresource: if t.subresource == "finalize" { "" } else { &t.subresource },
        options,
        now,
        admission: &admission,
        warnings: Vec::new(),
    };
    let (code, o) = match (asked.method, kind) {
        (&Method::POST, _) if t.name.is_empty() => {
            if r.namespaced && t.namespace.is_empty() {
                return Err(ApiError::method_not_allowed());
            }
            w.create(body)?
        }
        (&Method::PUT, _) if t.subresource == "scale" => w.rescale(None, &body)?,
        (_, kind) if t.subresource == "scale" => w.rescale(kind, &body)?,
        (&Method::PUT, _) if !t.name.is_empty() => w.replace(body)?,
        (&Method::PATCH, Some(kind)) if !t.name.is_empty() => w.patch(kind, &body)?,
        _ => return Err(ApiError::method_not_allowed()),
    };
    let warnings = std::mem::take(&mut w.warnings);
    if !w.options.dry_run {
        let now = kube.now();
        crate::provide_namespace(state, r, &o, now);
        kube.collect(state, now);
    }
    kube.changed();
    let body = if t.subresource == "scale" {
        o
    } else {
        match asked.form() {
            Form::Table => watch::table(r, std::iter::once(&o), &json!({"resourceVersion": o["metadata"]["resourceVersion"]}), kube.now()),
            form => watch::shown(r, form, &o),
        }
    };
    let Answer::Json { code, body, media_type, .. } = json_answer(code, body) else {
        return Err(ApiError::plain("an answer without a body"));
    };
    Ok(Answer::Json { code, body, warnings, media_type })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_groups_namespaces_objects_and_subresources() {
        let t = |g: &str, ns: &str, r: &str, n: &str, s: &str| {
            Some(Target {
                group: g.into(),
                version: "v1".into(),
                namespace: ns.into(),
                resource: r.into(),
                name: n.into(),
                subresource: s.into(),
            })
        };
        for (path, want) in [
            ("/api/v1/namespaces", t("", "", "namespaces", "", "")),
            ("/api/v1/namespaces/a", t("", "", "namespaces", "a", "")),
            ("/api/v1/namespaces/a/status", t("", "", "namespaces", "a", "status")),
            ("/api/v1/namespaces/a/pods", t("", "a", "pods", "", "")),
            ("/apis/apps/v1/namespaces/a/deployments/d/scale", t("apps", "a", "deployments", "d", "scale")),
            ("/apis/apps/v1", None),
            ("/version", None),
        ] {
            assert_eq!(Target::parse(path), want, "{path}");
        }
    }
}
