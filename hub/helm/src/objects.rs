//! The objects that templates see beside data: `.Capabilities`, `.Files`, and what they hold. What a template asks of the cluster's abilities is
//! recorded.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hub_gotemplate::{CallError, List, Map, Object, Text, Type, Value};
use shared_manifest::{Tree, write_yaml};

use crate::capabilities::{GO_VERSION, HELM_VERSION, KUBE_CLIENT_VERSION};
use crate::glob::Glob;
use crate::{Capabilities, KubeVersion, Used};

/// The record of what was used, shared by all objects of one render.
pub(crate) type Record = Rc<RefCell<Used>>;

/// `.Capabilities`.
pub(crate) fn capabilities(capabilities: &Capabilities, used: &Record) -> Value {
    let capabilities = Rc::new(Shown { capabilities: capabilities.clone(), used: used.clone() });
    Value::Object(Rc::new(CapabilitiesObject(capabilities)))
}

/// `.Files` of a chart with these files.
pub(crate) fn files(files: &Arc<BTreeMap<Text, Text>>) -> Value {
    Value::Object(Rc::new(Files(files.clone())))
}

/// The bytes that `object` is, if it is a `[]byte`.
pub(crate) fn bytes(object: &dyn Object) -> Option<&Text> {
    object.as_any().downcast_ref::<Bytes>().map(|Bytes(text)| text)
}

/// The fields of `object` in Go's order, if it is a structure of Go.
pub(crate) fn fields(object: &dyn Object) -> Option<Vec<Field>> {
    let object = object.as_any();
    let field = |name, value| Field { name, json_name: name, is_left_out: false, value };
    if let Some(capabilities) = object.downcast_ref::<CapabilitiesObject>() {
        return Some(capabilities.inner().map(|(name, inner)| field(name, Value::Object(inner))).into());
    }
    if let Some(KubeVersionObject(KubeVersion { version, major, minor, .. })) = object.downcast_ref() {
        return Some(
            [("Version", version), ("Major", major), ("Minor", minor)].map(|(name, text)| field(name, Value::text(&**text))).into(),
        );
    }
    object.is::<HelmVersion>().then(|| {
        let fields = HELM_VERSION_FIELDS.iter();
        fields.map(|(name, json_name, text)| Field { name, json_name, is_left_out: text.is_empty(), value: (*text).into() }).collect()
    })
}

/// A field of a structure of Go.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) json_name: &'static str,
    /// Whether JSON leaves it out.
    pub(crate) is_left_out: bool,
    pub(crate) value: Value,
}

type Called = Option<Result<Value, CallError>>;

struct Shown {
    capabilities: Capabilities,
    used: Record,
}

struct CapabilitiesObject(Rc<Shown>);

impl CapabilitiesObject {
    fn kube_version(&self) -> KubeVersionObject {
        self.0.used.borrow_mut().kube_version = true;
        KubeVersionObject(self.0.capabilities.kube_version.clone())
    }

    /// Its fields in Go's order.
    fn inner(&self) -> [(&'static str, Rc<dyn Object>); 3] {
        [
            ("KubeVersion", Rc::new(self.kube_version())),
            ("APIVersions", Rc::new(ApiVersions(self.0.clone()))),
            ("HelmVersion", Rc::new(HelmVersion)),
        ]
    }
}

impl Object for CapabilitiesObject {
    fn type_name(&self) -> &str {
        "*common.Capabilities"
    }

    fn kind(&self) -> &'static str {
        "ptr"
    }

    fn field(&self, name: &str) -> Called {
        match name {
            "KubeVersion" => Some(Ok(object(self.kube_version()))),
            "APIVersions" => Some(Ok(object(ApiVersions(self.0.clone())))),
            "HelmVersion" => Some(Ok(object(HelmVersion))),
            "Copy" => Some(Ok(object(Self(self.0.clone())))),
            _ => None,
        }
    }

    fn method(&self, name: &str, arguments: &[Value]) -> Called {
        (name == "Copy").then(|| no_arguments(name, arguments).map(|()| object(Self(self.0.clone()))))
    }

    fn plain(&self) -> Value {
        Value::Map(Map::new(self.inner().into_iter().map(|(name, inner)| (name.into(), inner.plain())).collect()))
    }

    fn print(&self) -> Text {
        let [kube, api, helm] = self.inner().map(|(_, inner)| inner.print());
        format!("&{{{kube} {api} {helm}}}").into()
    }

    fn is_true(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `.Capabilities.KubeVersion`.
struct KubeVersionObject(KubeVersion);

impl Object for KubeVersionObject {
    fn type_name(&self) -> &str {
        "common.KubeVersion"
    }

    fn kind(&self) -> &'static str {
        "struct"
    }

    fn field(&self, name: &str) -> Called {
        let text = match name {
            // The second name is the older one.
            "Version" | "GitVersion" => &self.0.version,
            "Major" => &self.0.major,
            "Minor" => &self.0.minor,
            "String" => &self.0.normalized,
            _ => return None,
        };
        Some(Ok(Value::text(&**text)))
    }

    fn method(&self, name: &str, arguments: &[Value]) -> Called {
        matches!(name, "GitVersion" | "String").then(|| {
            no_arguments(name, arguments)?;
            self.field(name).unwrap_or(Ok(Value::Nil))
        })
    }

    fn plain(&self) -> Value {
        structure(self)
    }

    fn print(&self) -> Text {
        let KubeVersion { version, normalized, major, minor } = &self.0;
        format!("{{{version} {normalized} {major} {minor}}}").into()
    }

    fn show(&self) -> Text {
        Text::from(&*self.0.normalized)
    }

    fn is_true(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `.Capabilities.APIVersions`.
struct ApiVersions(Rc<Shown>);

impl ApiVersions {
    fn has(&self, wanted: &Text) -> bool {
        let found = self.0.capabilities.api_versions.iter().any(|version| version.as_bytes() == wanted.as_bytes());
        self.0.used.borrow_mut().api_versions.insert(wanted.to_string(), found);
        found
    }

    /// All of them, which makes the render depend on all of them.
    fn all(&self) -> List {
        self.0.used.borrow_mut().all_api_versions = true;
        List::of_texts(self.0.capabilities.api_versions.iter().map(|version| version.as_str().into()))
    }
}

impl Object for ApiVersions {
    fn type_name(&self) -> &str {
        "common.VersionSet"
    }

    fn kind(&self) -> &'static str {
        "slice"
    }

    fn field(&self, name: &str) -> Called {
        (name == "Has").then(|| Err(wrong_count(name, 1, 0)))
    }

    fn parameters(&self, name: &str) -> &'static [Type] {
        if name == "Has" { &[Type::Text] } else { &[] }
    }

    fn method(&self, name: &str, arguments: &[Value]) -> Called {
        (name == "Has").then(|| Ok(Value::Bool(self.has(text_argument(name, arguments)?))))
    }

    fn plain(&self) -> Value {
        Value::List(self.all())
    }

    fn print(&self) -> Text {
        self.all();
        format!("[{}]", self.0.capabilities.api_versions.join(" ")).into()
    }

    fn is_true(&self) -> bool {
        self.0.used.borrow_mut().all_api_versions = true;
        !self.0.capabilities.api_versions.is_empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `.Capabilities.HelmVersion`.
struct HelmVersion;

/// Its fields in Go's order: their names, those in JSON, and what they hold.
const HELM_VERSION_FIELDS: [(&str, &str, &str); 5] = [
    ("Version", "version", HELM_VERSION),
    ("GitCommit", "git_commit", ""),
    ("GitTreeState", "git_tree_state", ""),
    ("GoVersion", "go_version", GO_VERSION),
    ("KubeClientVersion", "kube_client_version", KUBE_CLIENT_VERSION),
];

impl Object for HelmVersion {
    fn type_name(&self) -> &str {
        "version.BuildInfo"
    }

    fn kind(&self) -> &'static str {
        "struct"
    }

    fn field(&self, name: &str) -> Called {
        HELM_VERSION_FIELDS.iter().find(|(field, ..)| *field == name).map(|(.., text)| Ok(Value::from(*text)))
    }

    fn method(&self, _: &str, _: &[Value]) -> Called {
        None
    }

    fn plain(&self) -> Value {
        structure(self)
    }

    fn print(&self) -> Text {
        format!("{{{HELM_VERSION}   {GO_VERSION} {KUBE_CLIENT_VERSION}}}").into()
    }

    fn is_true(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `.Files`: the files of a chart that are no templates, values or charts, by name.
struct Files(Arc<BTreeMap<Text, Text>>);

impl Files {
    fn contents(&self, name: &[u8]) -> Text {
        self.0.get(name).cloned().unwrap_or_default()
    }

    fn glob(&self, pattern: &Text) -> Self {
        // A pattern that cannot be read stands for all files, as in Helm.
        let glob = Glob::files(&pattern.to_str()).ok();
        let is_meant = |name: &Text| glob.as_ref().is_none_or(|glob| glob.matches(&name.to_str()));
        Self(Arc::new(self.0.iter().filter(|(name, _)| is_meant(name)).map(|(name, text)| (name.clone(), text.clone())).collect()))
    }

    /// The lines of a file; the last one need not end.
    fn lines(&self, name: &[u8]) -> Result<Value, CallError> {
        let Some(text) = self.0.get(name) else { return Ok(Value::List(List::of_texts([]))) };
        if text.is_empty() {
            // Helm looks at the last byte.
            return Err(CallError::failed("runtime error: index out of range [-1]"));
        }
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        Ok(Value::List(List::of_texts(text.split(|byte| *byte == b'\n').map(Text::new))))
    }

    /// A map of YAML from the last names of the files' paths to what `encode` makes of them.
    fn to_yaml(&self, encode: fn(&[u8]) -> String) -> Text {
        let last = |name: &Text| name.to_str().rsplit('/').next().unwrap_or_default().to_owned();
        let entries: Tree = self.0.iter().map(|(name, text)| (last(name).into(), Tree::from(encode(text)))).collect();
        let mut text = String::new();
        write_yaml(&entries, &mut text);
        text.strip_suffix('\n').unwrap_or(&text).into()
    }
}

impl Object for Files {
    fn type_name(&self) -> &str {
        "engine.files"
    }

    fn kind(&self) -> &'static str {
        "map"
    }

    fn field(&self, name: &str) -> Called {
        match name {
            "AsConfig" => Some(Ok(Value::Text(self.to_yaml(|bytes| String::from_utf8_lossy(bytes).into_owned())))),
            "AsSecrets" => Some(Ok(Value::Text(self.to_yaml(|bytes| STANDARD.encode(bytes))))),
            "Get" | "GetBytes" | "Glob" | "Lines" => Some(Err(wrong_count(name, 1, 0))),
            // Any other name is that of a file: this is a map, where a missing entry is an empty `[]byte`.
            name => Some(Ok(object(Bytes(self.contents(name.as_bytes()))))),
        }
    }

    fn parameters(&self, name: &str) -> &'static [Type] {
        if matches!(name, "Get" | "GetBytes" | "Glob" | "Lines") { &[Type::Text] } else { &[] }
    }

    fn method(&self, name: &str, arguments: &[Value]) -> Called {
        match name {
            "Get" | "GetBytes" | "Glob" | "Lines" => Some(text_argument(name, arguments).and_then(|argument| match name {
                "Get" => Ok(Value::Text(self.contents(argument))),
                "GetBytes" => Ok(object(Bytes(self.contents(argument)))),
                "Glob" => Ok(object(self.glob(argument))),
                _ => self.lines(argument),
            })),
            "AsConfig" | "AsSecrets" => Some(no_arguments(name, arguments).and_then(|()| self.field(name).unwrap_or(Ok(Value::Nil)))),
            _ => None,
        }
    }

    fn plain(&self) -> Value {
        Value::Map(Map::new(self.0.iter().map(|(name, text)| (name.clone(), object(Bytes(text.clone())))).collect()))
    }

    fn print(&self) -> Text {
        let entries: Vec<String> = self.0.iter().map(|(name, text)| format!("{name}:{}", Bytes(text.clone()).print())).collect();
        format!("map[{}]", entries.join(" ")).into()
    }

    fn is_true(&self) -> bool {
        !self.0.is_empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A `[]byte`: what a file holds. It is plain as a text.
struct Bytes(Text);

impl Object for Bytes {
    fn type_name(&self) -> &str {
        "[]uint8"
    }

    fn kind(&self) -> &'static str {
        "slice"
    }

    fn field(&self, _: &str) -> Called {
        None
    }

    fn method(&self, _: &str, _: &[Value]) -> Called {
        None
    }

    fn plain(&self) -> Value {
        Value::Text(self.0.clone())
    }

    fn print(&self) -> Text {
        let numbers: Vec<String> = self.0.iter().map(u8::to_string).collect();
        format!("[{}]", numbers.join(" ")).into()
    }

    fn is_true(&self) -> bool {
        !self.0.is_empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn object(object: impl Object + 'static) -> Value {
    Value::Object(Rc::new(object))
}

/// A structure as JSON has it.
fn structure(object: &dyn Object) -> Value {
    let fields = fields(object).unwrap_or_default().into_iter().filter(|field| !field.is_left_out);
    Value::Map(Map::new(fields.map(|field| (field.json_name.into(), field.value)).collect()))
}

fn wrong_count(method: &str, wanted: usize, given: usize) -> CallError {
    CallError::Wrong(format!("wrong number of args for {method}: want {wanted} got {given}"))
}

fn no_arguments(method: &str, arguments: &[Value]) -> Result<(), CallError> {
    if arguments.is_empty() { Ok(()) } else { Err(wrong_count(method, 0, arguments.len())) }
}

fn text_argument<'a>(method: &str, arguments: &'a [Value]) -> Result<&'a Text, CallError> {
    match arguments {
        // Others were refused before.
        [Value::Text(text)] => Ok(text),
        _ => Err(wrong_count(method, 1, arguments.len())),
    }
}
