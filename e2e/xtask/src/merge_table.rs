//! `merge-table`: writes the table that strategic merge goes by from the OpenAPI schema that is built into kustomize; `merge-table --check`
//! proves that it is fresh. kustomize's schema is told by the oracle of `e2e/oracle`; how the table is read is `hub/kustomize`'s business.
//!
//! Only what a merge asks for stays: the lists that are joined, and the types on the way to one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use e2e_oracle::Oracle;
use serde_json::{Value, json};

/// What stands above the table, below its origin: its form.
const FORM: &str = "\
# `@ apiVersion kind type` starts at a type; a type's line is its number, its definition and its fields: `field=type`, or for a list
# that is joined `field=[keys]type`, where no keys means a list of scalars.
";

/// Kinds of answers and requests. Nobody keeps one in a file to be patched, so they would only make the table longer.
const NEVER_IN_A_FILE: [&str; 3] = ["DeleteOptions", "WatchEvent", "Status"];

fn table_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hub/kustomize/src/merge/table.txt")
}

/// Makes the table and writes it into the source tree.
pub(crate) fn write() -> anyhow::Result<()> {
    let path = table_path();
    std::fs::write(&path, table_of_kustomize()?).with_context(|| format!("cannot write {}", path.display()))
}

/// Fails if the checked-in table is not what kustomize's schema gives.
pub(crate) fn check() -> anyhow::Result<()> {
    let path = table_path();
    let present = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if present != table_of_kustomize()? {
        bail!("{} is not what kustomize's schema gives; run `cargo run -p e2e-xtask -- merge-table`", path.display());
    }
    Ok(())
}

fn table_of_kustomize() -> anyhow::Result<String> {
    let mut oracle = Oracle::start(&Oracle::program()?).context("cannot start the oracle")?;
    let kustomize = oracle.ask(&json!({"op": "version"}))?;
    let schema = oracle.ask(&json!({"op": "openapi"}))?;
    let number = |answer: &Value, field: &str| {
        let number = answer[field].as_str().map(|text| text.trim_start_matches('v').to_owned());
        number
            .filter(|number| number.starts_with(|first: char| first.is_ascii_digit()))
            .with_context(|| format!("the oracle tells no {field} version: {answer}"))
    };
    let kubernetes = number(&schema, "version")?;
    let kubernetes = kubernetes.rsplit_once('.').map_or(kubernetes.as_str(), |(minor, _)| minor);
    let kustomize = number(&kustomize, "kustomize")?;
    let origin = "# Lists that strategic merge joins instead of replacing, from the schema built into kustomize";
    Ok(format!("{origin} {kustomize} (Kubernetes {kubernetes}).\n{FORM}{}", table(&schema)?))
}

/// A field that a merge goes through.
struct Field {
    name: String,
    /// The keys by which its items are told apart, if it is a list that is joined.
    joined_by: Option<Vec<String>>,
    /// The definition of its value, or of its items.
    definition: Option<String>,
}

/// The fields of every definition, by its name.
type Definitions = BTreeMap<String, Vec<Field>>;

/// The table of an OpenAPI document.
fn table(document: &Value) -> anyhow::Result<String> {
    let schemas = document["definitions"].as_object().context("kustomize's schema has no definitions")?;
    let mut definitions = Definitions::new();
    for (name, schema) in schemas {
        definitions.insert(name.clone(), fields(schema).with_context(|| format!("definition {name}"))?);
    }
    let joining = joining(&definitions);
    for (name, schema) in schemas {
        refuse_what_the_table_cannot_say(schema, &joining).with_context(|| format!("definition {name}"))?;
    }
    for fields in definitions.values_mut() {
        for field in fields.iter_mut() {
            field.definition.take_if(|definition| !joining.contains(definition));
        }
        fields.retain(|field| field.joined_by.is_some() || field.definition.is_some());
    }
    let mut kinds = kinds(schemas)?;
    kinds.retain(|_, definition| joining.contains(definition));
    Ok(print(&kinds, &definitions))
}

/// The fields of a definition that are joined lists or values of another definition, by name.
fn fields(schema: &Value) -> anyhow::Result<Vec<Field>> {
    let mut fields = Vec::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let name = name.clone();
        if let Some(definition) = reference(property) {
            fields.push(Field { name, joined_by: None, definition: Some(definition) });
        } else if is_joined(property) {
            let joined_by = Some(keys(property).with_context(|| format!("the keys of {name}"))?);
            fields.push(Field { name, joined_by, definition: reference(&property["items"]) });
        }
    }
    Ok(fields)
}

fn reference(schema: &Value) -> Option<String> {
    Some(schema["$ref"].as_str()?.strip_prefix("#/definitions/")?.to_owned())
}

fn is_joined(property: &Value) -> bool {
    let strategy = property["x-kubernetes-patch-strategy"].as_str().unwrap_or_default();
    is_list(property) && strategy.split(',').any(|part| part == "merge")
}

fn is_list(property: &Value) -> bool {
    property["type"] == "array" || property["type"].as_array().is_some_and(|types| types.len() == 1 && types[0] == "array")
}

/// kustomize takes the keys of a list map before the one merge key; neither means that the items are told apart by themselves.
fn keys(property: &Value) -> anyhow::Result<Vec<String>> {
    let text = |key: &Value| key.as_str().map(str::to_owned).with_context(|| format!("{key} is no key"));
    match (&property["x-kubernetes-list-map-keys"], &property["x-kubernetes-patch-merge-key"]) {
        (Value::Array(keys), _) => keys.iter().map(text).collect(),
        (_, Value::Null) => Ok(Vec::new()),
        (_, key) => Ok(vec![text(key)?]),
    }
}

/// The definitions that have a joined list in them, at any depth.
fn joining(definitions: &Definitions) -> BTreeSet<String> {
    let mut joining = BTreeSet::new();
    loop {
        let leads_there = |field: &Field| field.joined_by.is_some() || field.definition.as_ref().is_some_and(|of| joining.contains(of));
        let found: Vec<String> = definitions
            .iter()
            .filter(|(name, fields)| !joining.contains(*name) && fields.iter().any(leads_there))
            .map(|(name, _)| name.clone())
            .collect();
        if found.is_empty() {
            return joining;
        }
        joining.extend(found);
    }
}

/// A joined list below the values of a map with free keys has no place in the table. The schema has none; a later one that does needs
/// another form.
fn refuse_what_the_table_cannot_say(schema: &Value, joining: &BTreeSet<String>) -> anyhow::Result<()> {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let values = &property["additionalProperties"];
        let lost = is_joined(values) || reference(values).is_some_and(|definition| joining.contains(&definition));
        ensure!(!lost, "{name} is a map whose values have lists that are joined; the table has no word for that");
    }
    Ok(())
}

/// The definition of every kind that may stand in a file, by apiVersion and kind with a space between.
fn kinds(schemas: &serde_json::Map<String, Value>) -> anyhow::Result<BTreeMap<String, String>> {
    let mut kinds = BTreeMap::new();
    for (definition, schema) in schemas {
        for named in schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            let text = |field: &str| named[field].as_str().with_context(|| format!("definition {definition} has a kind without {field}"));
            let (group, version, kind) = (text("group")?, text("version")?, text("kind")?);
            if NEVER_IN_A_FILE.contains(&kind) || (kind != "List" && kind.ends_with("List")) {
                continue;
            }
            let slash = if group.is_empty() { "" } else { "/" };
            let kind = format!("{group}{slash}{version} {kind}");
            if let Some(other) = kinds.insert(kind.clone(), definition.clone()) {
                bail!("{kind} is both {other} and {definition}");
            }
        }
    }
    Ok(kinds)
}

/// The table: the kinds by name, then the types in the order in which the kinds reach them.
fn print(kinds: &BTreeMap<String, String>, definitions: &Definitions) -> String {
    let mut order = Order::default();
    for definition in kinds.values() {
        order.reach(definition, definitions);
    }
    let mut table = String::new();
    for (kind, definition) in kinds {
        let _ = writeln!(table, "@ {kind} {}", order.numbers[definition]);
    }
    for (number, definition) in order.reached.iter().enumerate() {
        let _ = write!(table, "{number} {definition}");
        for Field { name, joined_by, definition } in &definitions[definition] {
            let keys = joined_by.as_ref().map(|keys| format!("[{}]", keys.join(","))).unwrap_or_default();
            let number = definition.as_ref().map(|definition| order.numbers[definition].to_string()).unwrap_or_default();
            let _ = write!(table, " {name}={keys}{number}");
        }
        table.push('\n');
    }
    table
}

/// Definitions in the order in which they were reached, depth first.
#[derive(Default)]
struct Order {
    reached: Vec<String>,
    numbers: BTreeMap<String, usize>,
}

impl Order {
    fn reach(&mut self, definition: &str, definitions: &Definitions) {
        if self.numbers.contains_key(definition) {
            return;
        }
        self.numbers.insert(definition.to_owned(), self.reached.len());
        self.reached.push(definition.to_owned());
        for field in &definitions[definition] {
            if let Some(definition) = &field.definition {
                self.reach(definition, definitions);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use e2e_oracle::{Oracle, must_not_skip, note_skip};
    use serde_json::json;

    #[test]
    fn the_merge_table_is_fresh() {
        match Oracle::program() {
            Err(missing) if !must_not_skip() => note_skip(&missing),
            _ => super::check().unwrap(),
        }
    }

    fn document(pod: &serde_json::Value) -> serde_json::Value {
        let kind = json!([{"group": "", "version": "v1", "kind": "Pod"}]);
        json!({"definitions": {
            "Pod": {"x-kubernetes-group-version-kind": kind, "properties": {"spec": {"$ref": "#/definitions/Spec"}}},
            "PodList": {
                "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "PodList"}],
                "properties": {"items": {"type": "array", "items": {"$ref": "#/definitions/Pod"}}},
            },
            "Spec": {"properties": pod},
            "Part": {"properties": {"name": {"type": "string"}}},
        }})
    }

    fn lines(pod: &serde_json::Value) -> Result<Vec<String>, String> {
        let table = super::table(&document(pod)).map_err(|error| format!("{error:#}"))?;
        Ok(table.lines().map(str::to_owned).collect())
    }

    #[test]
    fn only_joined_lists_and_the_way_to_them_stay() {
        let parts = |more: &[(&str, serde_json::Value)]| {
            let mut list = json!({"type": "array", "items": {"$ref": "#/definitions/Part"}});
            for (key, value) in more {
                list[*key] = value.clone();
            }
            list
        };
        let merge = ("x-kubernetes-patch-strategy", json!("merge,retainKeys"));
        let spec = json!({
            "byKey": parts(&[merge.clone(), ("x-kubernetes-patch-merge-key", json!("name"))]),
            "byKeys": parts(&[
                merge.clone(),
                ("x-kubernetes-patch-merge-key", json!("port")),
                ("x-kubernetes-list-map-keys", json!(["port", "protocol"])),
            ]),
            "byValue": parts(std::slice::from_ref(&merge)),
            "nested": {"$ref": "#/definitions/Spec"},
            "part": {"$ref": "#/definitions/Part"},
            "replaced": parts(&[("x-kubernetes-patch-strategy", json!("replace"))]),
        });
        let wanted = ["@ v1 Pod 0", "0 Pod spec=1", "1 Spec byKey=[name] byKeys=[port,protocol] byValue=[] nested=1"];
        assert_eq!(lines(&spec).expect("a table"), wanted);
        assert!(lines(&json!({"part": {"$ref": "#/definitions/Part"}})).expect("an empty table").is_empty());
    }

    #[test]
    fn what_the_table_has_no_word_for_is_an_error_and_not_left_out() {
        let map = json!({
            "joined": {"type": "array", "x-kubernetes-patch-strategy": "merge"},
            "map": {"type": "object", "additionalProperties": {"$ref": "#/definitions/Spec"}},
        });
        let error = lines(&map).expect_err("no word for it");
        assert!(error.contains("definition Spec: map is a map whose values have lists that are joined"), "{error}");
    }
}
