//! The schema that strategic merge goes by: which lists of which kinds are joined, and by which keys. Built in is the one of kustomize; a
//! kustomization may bring another as an OpenAPI document, which then stands alone.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use shared_manifest::{Map, Tree, Value};

use crate::value::raw;

/// A schema.
#[derive(Debug, Clone)]
pub(crate) struct Schema(Arc<Tables>);

/// What the schema says about a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind<'s> {
    /// Nothing.
    Unknown,
    /// A map of this type.
    Type(&'s Tables, usize),
    /// A list that is joined.
    Joined(&'s Tables, &'s Joined),
}

/// A list that is joined item by item.
#[derive(Debug, Clone)]
pub(super) struct Joined {
    /// The fields that tell items apart; none for a list of scalars.
    pub(super) keys: Vec<String>,
    /// The type of an item.
    item: Option<usize>,
}

#[derive(Debug, Clone)]
enum Field {
    Map(usize),
    List(Joined),
}

/// Types by number, and the kinds by apiVersion and kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    roots: BTreeMap<String, BTreeMap<String, usize>>,
    /// The types by the names of their definitions.
    names: BTreeMap<String, usize>,
    types: Vec<BTreeMap<String, Field>>,
}

/// The field that stands for all that a type does not name.
const ANY: &str = "*";

impl Default for Schema {
    /// The schema that is built in.
    fn default() -> Self {
        static BUILT_IN: LazyLock<Schema> = LazyLock::new(|| Schema(Arc::new(parse(include_str!("table.txt")))));
        BUILT_IN.clone()
    }
}

impl Schema {
    /// Whether it is the one that is built in.
    pub(crate) fn is_built_in(&self) -> bool {
        Arc::ptr_eq(&self.0, &Self::default().0)
    }

    /// The schema of an OpenAPI document with `definitions`, which on request stand before the built-in ones instead of alone.
    pub(crate) fn from_openapi(document: &Value, with_built_in: bool) -> Self {
        let none = Map::new();
        let definitions = document["definitions"].as_object().unwrap_or(&none);
        let mut tables = if with_built_in { Tables::clone(&Self::default().0) } else { Tables::default() };
        for name in definitions.keys() {
            tables.types.push(BTreeMap::new());
            tables.names.insert(name.clone(), tables.types.len() - 1);
        }
        for (name, definition) in definitions {
            let number = tables.names[name];
            let kinds = definition["x-kubernetes-group-version-kind"].as_array().map_or(&[][..], Vec::as_slice);
            for kind in kinds {
                let text = |field: &str| kind[field].as_str().unwrap_or_default();
                let api_version = format!("{}{}{}", text("group"), if text("group").is_empty() { "" } else { "/" }, text("version"));
                tables.roots.entry(api_version).or_default().insert(text("kind").to_owned(), number);
            }
            let fields = tables.fields_of(definition);
            tables.types[number] = fields;
        }
        Self(Arc::new(tables))
    }

    /// Whether the kind that `value` names is in the schema.
    pub(crate) fn knows(&self, value: &Tree) -> bool {
        matches!(self.kind_of(Some(value), None), Kind::Type(..))
    }

    /// The type that `apiVersion` and `kind` in one of the maps name.
    pub(super) fn kind_of<'s>(&'s self, base: Option<&Tree>, patch: Option<&Tree>) -> Kind<'s> {
        let named = |value: &Tree| {
            let number = self.0.roots.get(raw(&value["apiVersion"]))?.get(raw(&value["kind"]))?;
            Some(Kind::Type(&self.0, *number))
        };
        base.and_then(named).or_else(|| patch.and_then(named)).unwrap_or(Kind::Unknown)
    }
}

impl Tables {
    fn fields_of(&mut self, schema: &Value) -> BTreeMap<String, Field> {
        let mut fields = BTreeMap::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(field) = self.field_of(property) {
                fields.insert(name.clone(), field);
            }
        }
        if schema["additionalProperties"].is_object()
            && let Some(field) = self.field_of(&schema["additionalProperties"])
        {
            fields.insert(ANY.to_owned(), field);
        }
        fields
    }

    fn field_of(&mut self, property: &Value) -> Option<Field> {
        if property["type"] != "array" {
            return self.type_of(property).map(Field::Map);
        }
        let strategy = property["x-kubernetes-patch-strategy"].as_str()?;
        if !strategy.split(',').any(|part| part == "merge") {
            return None;
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let keys = match (&property["x-kubernetes-list-map-keys"], &property["x-kubernetes-patch-merge-key"]) {
            (Value::Array(keys), _) => keys.iter().filter_map(text).collect(),
            (_, key) => text(key).into_iter().collect(),
        };
        Some(Field::List(Joined { keys, item: self.type_of(&property["items"]) }))
    }

    /// The number of the type that a schema refers to, or of a new one for a schema that spells its fields out.
    fn type_of(&mut self, schema: &Value) -> Option<usize> {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.names.get(reference.strip_prefix("#/definitions/")?).copied();
        }
        let fields = self.fields_of(schema);
        if fields.is_empty() {
            return None;
        }
        self.types.push(fields);
        Some(self.types.len() - 1)
    }
}

impl<'s> Kind<'s> {
    /// A number that no other kind of the same schema has, those of lists aside.
    pub(super) fn number(self) -> usize {
        match self {
            Self::Type(_, number) => number + 1,
            Self::Unknown | Self::Joined(..) => 0,
        }
    }

    /// The type of a field.
    pub(super) fn field(self, name: &str) -> Self {
        let Self::Type(tables, number) = self else { return Self::Unknown };
        match tables.types.get(number).and_then(|fields| fields.get(name).or_else(|| fields.get(ANY))) {
            Some(Field::Map(number)) => Self::Type(tables, *number),
            Some(Field::List(joined)) => Self::Joined(tables, joined),
            None => Self::Unknown,
        }
    }

    /// The type of an item of a joined list.
    pub(super) fn item(self) -> Self {
        match self {
            Self::Joined(tables, Joined { item: Some(number), .. }) => Self::Type(tables, *number),
            _ => Self::Unknown,
        }
    }
}

/// Reads the table, whose form its own first lines explain.
fn parse(table: &str) -> Tables {
    let mut tables = Tables::default();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        if line.starts_with('@') {
            if let [_, api_version, kind, number] = words.collect::<Vec<_>>()[..] {
                tables.roots.entry(api_version.to_owned()).or_default().insert(kind.to_owned(), number.parse().unwrap_or_default());
            }
            continue;
        }
        if let Some(name) = words.nth(1) {
            tables.names.insert(name.to_owned(), tables.types.len());
        }
        let fields = words.filter_map(|word| word.split_once('='));
        tables.types.push(fields.map(|(name, target)| (name.to_owned(), field(target))).collect());
    }
    tables
}

fn field(target: &str) -> Field {
    match target.strip_prefix('[').and_then(|target| target.split_once(']')) {
        Some((keys, item)) => {
            let keys = keys.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect();
            Field::List(Joined { keys, item: item.parse().ok() })
        }
        None => Field::Map(target.parse().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_knows_the_lists_of_a_pod_template() {
        let schema = Schema::default();
        let deployment = Tree::from(&serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment"}));
        let kind = schema.kind_of(Some(&deployment), None);
        let containers = kind.field("spec").field("template").field("spec").field("containers");
        let Kind::Joined(_, joined) = containers else { panic!("containers are joined") };
        assert_eq!(joined.keys, ["name"]);
        let Kind::Joined(_, ports) = containers.item().field("ports") else { panic!("ports are joined") };
        assert_eq!(ports.keys, ["containerPort", "protocol"]);
        let Kind::Joined(_, finalizers) = kind.field("metadata").field("finalizers") else { panic!("finalizers are joined") };
        assert!(finalizers.keys.is_empty());
        assert!(matches!(containers.item().field("args"), Kind::Unknown));
        for (version, kinds) in &schema.0.roots {
            for (kind, number) in kinds {
                assert!(*number < schema.0.types.len(), "{version} {kind}");
            }
        }
    }
}
