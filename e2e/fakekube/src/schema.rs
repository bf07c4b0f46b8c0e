//! What a kind looks like: fields, list and map semantics, defaults. Built-in kinds come from `data/schema.json` (facts of the
//! published OpenAPI documents of Kubernetes 1.36), custom ones from the schema in their definition. Merging is in `typed`.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

/// A scalar's kind as far as decoding and ownership care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    Text,
    Bytes,
    Int32,
    Int64,
    Number,
    Bool,
    Time,
    IntOrString,
    Quantity,
}

/// How items of a list are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListKind {
    Atomic,
    Set,
    Map(Vec<String>),
}

/// How a strategic merge patch treats a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PatchRule {
    pub(crate) merge: bool,
    pub(crate) retain_keys: bool,
    pub(crate) key: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) ty: Ref,
    pub(crate) default: Option<Value>,
    /// The server's own type drops this field when it has its zero value.
    pub(crate) drop_zero: bool,
    /// The server's own type writes `null` when the field is absent.
    pub(crate) null_when_absent: bool,
    pub(crate) patch: PatchRule,
}

/// A struct or a free map.
#[derive(Clone, Debug, Default)]
pub(crate) struct MapShape {
    /// The struct's name in the server's source, for decoding errors; empty for free maps.
    pub(crate) name: String,
    pub(crate) fields: BTreeMap<String, Field>,
    pub(crate) elem: Option<Ref>,
    pub(crate) atomic: bool,
    /// Fields without a declaration are kept (custom resources that ask for it).
    pub(crate) preserve_unknown: bool,
    /// The value carries its own `apiVersion`, `kind` and `metadata`.
    pub(crate) embedded: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Type {
    Scalar(Scalar),
    List {
        elem: Ref,
        kind: ListKind,
    },
    Map(MapShape),
    /// Anything, merged by the shape that the value has.
    Deduced,
    /// Anything, owned as a whole.
    Opaque,
}

/// A type in its own arena, or one of the built-in arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ref {
    Local(u32),
    Builtin(u32),
}

#[derive(Debug, Default)]
pub(crate) struct Arena {
    types: Vec<Type>,
}

/// A type together with the arena in which its references are looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ty<'a> {
    arena: &'a Arena,
    at: Ref,
}

impl<'a> Ty<'a> {
    pub(crate) fn shape(self) -> &'a Type {
        match self.at {
            Ref::Local(i) => &self.arena.types[i as usize],
            Ref::Builtin(i) => &BUILTIN.arena.types[i as usize],
        }
    }

    pub(crate) fn follow(self, r: Ref) -> Ty<'a> {
        // A built-in type refers to built-in types only.
        let at = match (self.at, r) {
            (Ref::Builtin(_), Ref::Local(i)) => Ref::Builtin(i),
            (_, r) => r,
        };
        Ty { arena: self.arena, at }
    }

    /// The declared field of a struct.
    pub(crate) fn field(self, name: &str) -> Option<&'a Field> {
        match self.shape() {
            Type::Map(m) => m.fields.get(name),
            _ => None,
        }
    }

    /// The type of a struct's field or of a free map's values.
    pub(crate) fn member(self, name: &str) -> Option<Ty<'a>> {
        match self.shape() {
            Type::Map(m) => match m.fields.get(name) {
                Some(f) => Some(self.follow(f.ty)),
                None => m.elem.map(|e| self.follow(e)),
            },
            Type::Deduced => Some(self),
            _ => None,
        }
    }

    /// The type of a list's items.
    pub(crate) fn item(self) -> Option<Ty<'a>> {
        match self.shape() {
            Type::List { elem, .. } => Some(self.follow(*elem)),
            _ => None,
        }
    }
}

/// A kind's schema: an arena and the root in it.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    arena: Arc<Arena>,
    root: Ref,
}

impl Schema {
    pub(crate) fn root(&self) -> Ty<'_> {
        Ty { arena: &self.arena, at: self.root }
    }
}

struct Builtin {
    arena: Arena,
    kinds: BTreeMap<String, u32>,
    names: BTreeMap<String, u32>,
}

static BUILTIN: LazyLock<Builtin> = LazyLock::new(load);
static NO_TYPES: LazyLock<Arc<Arena>> = LazyLock::new(|| Arc::new(Arena::default()));

/// The schema of a built-in kind; `None` for a kind that the table lacks.
pub(crate) fn builtin(group: &str, version: &str, kind: &str) -> Option<Schema> {
    let i = BUILTIN.kinds.get(&format!("{group}/{version}/{kind}"))?;
    Some(Schema { arena: NO_TYPES.clone(), root: Ref::Builtin(*i) })
}

/// The raw table, from which the OpenAPI documents are written.
pub(crate) fn table() -> &'static Value {
    static TABLE: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(include_str!("../data/schema.json")).expect("data/schema.json is JSON"));
    &TABLE
}

fn object_meta() -> Ref {
    Ref::Builtin(BUILTIN.names["~apis.meta.v1.ObjectMeta"])
}

struct Loader<'t> {
    raw: &'t serde_json::Map<String, Value>,
    names: BTreeMap<String, u32>,
    types: Vec<Type>,
}

fn load() -> Builtin {
    let table = table();
    let raw = table["types"].as_object().expect("the table lists types");
    let mut l = Loader { raw, names: BTreeMap::new(), types: Vec::new() };
    for name in raw.keys() {
        l.named(name);
    }
    let kinds = table["kinds"].as_object().expect("the table lists kinds");
    let kinds = kinds.iter().map(|(k, n)| (k.clone(), l.names[n.as_str().expect("a type name")])).collect();
    Builtin { arena: Arena { types: l.types }, kinds, names: l.names }
}

impl Loader<'_> {
    fn push(&mut self, t: Type) -> u32 {
        self.types.push(t);
        u32::try_from(self.types.len() - 1).expect("a few hundred types")
    }

    fn named(&mut self, name: &str) -> u32 {
        if let Some(i) = self.names.get(name) {
            return *i;
        }
        let i = self.push(Type::Opaque);
        self.names.insert(name.to_owned(), i);
        let def = &self.raw[name];
        let t = if let Some(fields) = def.get("f").and_then(Value::as_object) {
            let fields = fields.iter().map(|(n, f)| (n.clone(), self.field(f))).collect();
            let name = name.rsplit('.').next().unwrap_or(name).to_owned();
            Type::Map(MapShape { name, fields, atomic: def["mt"] == "atomic", ..MapShape::default() })
        } else if name == "~apis.meta.v1.FieldsV1" {
            Type::Opaque
        } else {
            self.shape(def)
        };
        self.types[i as usize] = t;
        i
    }

    fn field(&mut self, f: &Value) -> Field {
        let strategy = f["ps"].as_str().unwrap_or_default();
        Field {
            ty: self.type_of(f),
            default: f.get("d").cloned(),
            drop_zero: f.get("z").is_some(),
            null_when_absent: f.get("n").is_some(),
            patch: PatchRule {
                merge: strategy.contains("merge"),
                retain_keys: strategy.contains("retainKeys"),
                key: f["mk"].as_str().map(str::to_owned),
            },
        }
    }

    fn type_of(&mut self, f: &Value) -> Ref {
        if let Some(r) = f["r"].as_str() {
            let i = self.named(r);
            // A reference may override the map semantics of what it names.
            if f["mt"] == "atomic"
                && let Type::Map(m) = &self.types[i as usize]
                && !m.atomic
            {
                let atomic = Type::Map(MapShape { atomic: true, ..m.clone() });
                return Ref::Local(self.push(atomic));
            }
            return Ref::Local(i);
        }
        let t = self.shape(f);
        Ref::Local(self.push(t))
    }

    fn shape(&mut self, f: &Value) -> Type {
        match f["t"].as_str().unwrap_or("x") {
            "s" => Type::Scalar(Scalar::Text),
            "byte" => Type::Scalar(Scalar::Bytes),
            "i32" => Type::Scalar(Scalar::Int32),
            "i64" => Type::Scalar(Scalar::Int64),
            "num" => Type::Scalar(Scalar::Number),
            "b" => Type::Scalar(Scalar::Bool),
            "time" => Type::Scalar(Scalar::Time),
            "ios" => Type::Scalar(Scalar::IntOrString),
            "qty" => Type::Scalar(Scalar::Quantity),
            "a" => Type::List { elem: self.type_of(&f["e"]), kind: list_kind(f, "lt", "k") },
            "m" => Type::Map(MapShape { elem: f.get("e").map(|e| self.type_of(e)), atomic: f["mt"] == "atomic", ..MapShape::default() }),
            _ => Type::Deduced,
        }
    }
}

fn list_kind(f: &Value, kind: &str, keys: &str) -> ListKind {
    match f[kind].as_str() {
        Some("set") => ListKind::Set,
        Some("map") => ListKind::Map(f[keys].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()),
        Some(_) => ListKind::Atomic,
        None if f["ps"].as_str().is_some_and(|s| s.contains("merge")) => match f["mk"].as_str() {
            Some(k) => ListKind::Map(vec![k.to_owned()]),
            None => ListKind::Set,
        },
        None => ListKind::Atomic,
    }
}

/// The schema of a custom kind from `openAPIV3Schema` (or none: then anything goes).
pub(crate) fn custom(open_api: Option<&Value>) -> Schema {
    let mut types = Vec::new();
    let root = match open_api {
        Some(s) => custom_type(&mut types, s, true),
        None => {
            let mut m = MapShape { preserve_unknown: true, ..MapShape::default() };
            embed(&mut types, &mut m);
            push(&mut types, Type::Map(m))
        }
    };
    Schema { arena: Arc::new(Arena { types }), root }
}

fn push(types: &mut Vec<Type>, t: Type) -> Ref {
    types.push(t);
    Ref::Local(u32::try_from(types.len() - 1).expect("schemas are smaller than 4 GiB"))
}

fn plain(ty: Ref, default: Option<Value>) -> Field {
    Field { ty, default, drop_zero: false, null_when_absent: false, patch: PatchRule::default() }
}

fn embed(types: &mut Vec<Type>, m: &mut MapShape) {
    m.embedded = true;
    let text = push(types, Type::Scalar(Scalar::Text));
    m.fields.insert("apiVersion".into(), plain(text, None));
    m.fields.insert("kind".into(), plain(text, None));
    m.fields.insert("metadata".into(), plain(object_meta(), None));
}

fn custom_type(types: &mut Vec<Type>, s: &Value, top: bool) -> Ref {
    if s["x-kubernetes-int-or-string"] == true {
        return push(types, Type::Scalar(Scalar::IntOrString));
    }
    let preserve = s["x-kubernetes-preserve-unknown-fields"] == true;
    let t = match s["type"].as_str() {
        Some("object") => {
            let mut m = MapShape { atomic: s["x-kubernetes-map-type"] == "atomic", preserve_unknown: preserve, ..MapShape::default() };
            for (name, sub) in s["properties"].as_object().into_iter().flatten() {
                let ty = custom_type(types, sub, false);
                m.fields.insert(name.clone(), plain(ty, sub.get("default").cloned()));
            }
            if s["additionalProperties"].is_object() {
                m.elem = Some(custom_type(types, &s["additionalProperties"], false));
            } else if s["additionalProperties"] == true || preserve {
                m.elem = Some(push(types, Type::Deduced));
            }
            if top || s["x-kubernetes-embedded-resource"] == true {
                embed(types, &mut m);
            }
            Type::Map(m)
        }
        Some("array") => {
            let elem = custom_type(types, &s["items"], false);
            Type::List { elem, kind: list_kind(s, "x-kubernetes-list-type", "x-kubernetes-list-map-keys") }
        }
        Some("string") => Type::Scalar(if s["format"] == "byte" { Scalar::Bytes } else { Scalar::Text }),
        Some("integer") => Type::Scalar(Scalar::Int64),
        Some("number") => Type::Scalar(Scalar::Number),
        Some("boolean") => Type::Scalar(Scalar::Bool),
        _ => Type::Deduced,
    };
    push(types, t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_of_a_deployment_are_told_apart_by_name_and_their_ports_by_number_and_protocol() {
        let s = builtin("apps", "v1", "Deployment").expect("a built-in kind");
        let containers = ["spec", "template", "spec", "containers"].iter().fold(s.root(), |t, f| t.member(f).expect("a field"));
        assert!(matches!(containers.shape(), Type::List { kind: ListKind::Map(k), .. } if k == &["name"]));
        let ports = containers.item().and_then(|c| c.member("ports")).expect("ports");
        assert!(matches!(ports.shape(), Type::List { kind: ListKind::Map(k), .. } if k == &["containerPort", "protocol"]));
        let selector = s.root().member("spec").and_then(|t| t.member("selector")).expect("selector");
        assert!(matches!(selector.shape(), Type::Map(m) if m.atomic));
    }
}
