//! How the values of a release, of a chart and of the charts in it become one tree: Helm's coalescing, with its rules for null and its habit of
//! sharing tables between charts. Maps are references here as they are in Go, because what Helm shares by accident shows in its results.

use hub_gotemplate::{Map, Text, Value, fmt as go};

use crate::dependencies::Node;
use crate::stored::{deep_copy_map, to_map};

/// The key of the values that all charts see.
const GLOBAL: &[u8] = b"global";

/// A name in the values of a parent that should be a table for its subchart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypeMismatch {
    chart: String,
    found: String,
}

impl std::fmt::Display for TypeMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "type mismatch on {}: {}", self.chart, self.found)
    }
}

/// Whether nulls are kept for a later pass (merging), or take effect (coalescing).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nulls {
    Keep,
    Apply,
}

/// The values of `chart` and of the charts in it under `values`, which are left as they are.
pub(crate) fn values_of(chart: &Node, values: &Map, nulls: Nulls, warnings: &mut Vec<String>) -> Result<Map, TypeMismatch> {
    let values = deep_copy_map(values);
    Coalescing { warnings }.chart(chart, &values, "", nulls)?;
    Ok(values)
}

/// Lays the entries of `below` under those of `over`, which win.
pub(crate) fn merge_tables(over: &Map, below: &Map, warnings: &mut Vec<String>) {
    Coalescing { warnings }.tables(over, below, "", Nulls::Keep);
}

struct Coalescing<'a> {
    warnings: &'a mut Vec<String>,
}

impl Coalescing<'_> {
    fn chart(&mut self, chart: &Node, values: &Map, prefix: &str, nulls: Nulls) -> Result<(), TypeMismatch> {
        self.defaults(chart, values, prefix, nulls);
        let prefix = joined(prefix, chart.name());
        for subchart in &chart.children {
            let name = subchart.name().as_bytes();
            let inner = match values.get(name) {
                None => {
                    let inner = Map::default();
                    values.set(subchart.name().into(), Value::Map(inner.clone()));
                    inner
                }
                Some(Value::Map(inner)) => inner,
                Some(other) => {
                    let found = go::sprintf(b"%t", &[other]).unwrap_or_default();
                    return Err(TypeMismatch { chart: subchart.name().to_owned(), found: found.to_string() });
                }
            };
            self.globals(&inner, values, &prefix);
            self.chart(subchart, &inner, &prefix, nulls)?;
        }
        Ok(())
    }

    /// Brings the globals of `from` into those of `into`, which lose.
    fn globals(&mut self, into: &Map, from: &Map, prefix: &str) {
        let table = |map: &Map| match map.get(GLOBAL) {
            None => Some(Map::default()),
            Some(Value::Map(globals)) => Some(globals),
            Some(_) => None,
        };
        let Some(own) = table(into) else {
            return self.warn("warning: skipping globals because destination global is not a table.");
        };
        let Some(given) = table(from) else {
            return self.warn("warning: skipping globals because source global is not a table.");
        };
        for (key, value) in entries(&given) {
            match (value, own.get(&key)) {
                (Value::Map(table), before) => {
                    // Only the table itself is copied: what is in it stays that of the parent, and what is merged into that is seen by all.
                    let shallow = Map::new(table.entries().clone());
                    match before {
                        None => own.set(key, Value::Map(shallow)),
                        Some(Value::Map(before)) => {
                            self.tables(&shallow, &before, &joined(prefix, &key.to_str()), Nulls::Keep);
                            own.set(key, Value::Map(shallow));
                        }
                        Some(_) => {
                            let key = go::quote(&key);
                            self.warn(&format!("Conflict: cannot merge map onto non-map for {key}. Skipping."));
                        }
                    }
                }
                (_, Some(Value::Map(_))) => self.warn(&format!("key {key} is table. Skipping")),
                (value, _) => own.set(key, value),
            }
        }
        into.set(Text::new(GLOBAL), Value::Map(own));
    }

    /// Lays the chart's own values under `values`.
    fn defaults(&mut self, chart: &Node, values: &Map, prefix: &str, nulls: Nulls) {
        let prefix = joined(prefix, chart.name());
        for (key, default) in to_map(chart.values()).entries().iter() {
            match values.get(key) {
                Some(Value::Nil) if nulls == Nulls::Apply => {
                    values.remove(key);
                }
                Some(Value::Map(over)) => match default {
                    Value::Map(below) => {
                        // A subchart's values go through here again as its own, which is when their nulls take effect.
                        let is_subchart = chart.children.iter().any(|child| child.name().as_bytes() == key.as_bytes());
                        let nulls = if is_subchart { Nulls::Keep } else { nulls };
                        if nulls == Nulls::Apply {
                            remove_nulls(below);
                        }
                        self.tables(&over, below, &joined(&prefix, &key.to_str()), nulls);
                    }
                    Value::Nil => {}
                    _ => self.warn(&format!("warning: skipped value for {prefix}.{key}: Not a table.")),
                },
                Some(_) => {}
                None => {
                    if nulls == Nulls::Apply {
                        match default {
                            Value::Nil => continue,
                            Value::Map(table) => remove_nulls(table),
                            _ => {}
                        }
                    }
                    values.set(key.clone(), default.clone());
                }
            }
        }
    }

    /// Lays `below` under `over`. Both are changed.
    fn tables(&mut self, over: &Map, below: &Map, prefix: &str, nulls: Nulls) {
        if over.is(below) {
            return;
        }
        let before: Vec<(Text, Value)> = entries(below);
        for (key, value) in over.entries().iter() {
            if matches!(value, Value::Nil) {
                below.set(key.clone(), Value::Nil);
            }
        }
        // Keys that were not there before are null in both now, and nothing happens to them.
        for (key, value) in before {
            let over_value = over.get(&key);
            let is_set = !matches!(value, Value::Nil);
            match over_value {
                Some(Value::Nil) if nulls == Nulls::Apply && is_set => {
                    over.remove(&key);
                }
                None => over.set(key, value),
                Some(Value::Map(over_table)) => match value {
                    Value::Map(table) => self.tables(&over_table, &table, &joined(prefix, &key.to_str()), nulls),
                    Value::Nil => {}
                    other => {
                        let key = joined(prefix, &key.to_str());
                        let shown = go::sprint(&other).unwrap_or_default();
                        self.warn(&format!("warning: destination for {key} is a table. Ignoring non-table value ({shown})"));
                    }
                },
                // Where both were set, the one above is null by now and no table.
                Some(over_value) => {
                    if let (Value::Map(_), false) = (&value, matches!(over_value, Value::Nil)) {
                        let key = joined(prefix, &key.to_str());
                        let shown = go::sprint(&value).unwrap_or_default();
                        self.warn(&format!("warning: cannot overwrite table with non table for {key} ({shown})"));
                    }
                }
            }
        }
    }

    fn warn(&mut self, warning: &str) {
        if self.warnings.len() < WARNINGS_LIMIT {
            self.warnings.push(warning.to_owned());
        }
    }
}

/// The most warnings that are kept: nobody reads more.
const WARNINGS_LIMIT: usize = 1000;

/// The entries as they are now, for loops that change the map.
fn entries(map: &Map) -> Vec<(Text, Value)> {
    map.entries().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn joined(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { [prefix, ".", name].concat() }
}

/// Takes all nulls out, at any depth.
fn remove_nulls(map: &Map) {
    let mut any = false;
    for value in map.entries().values() {
        match value {
            Value::Nil => any = true,
            Value::Map(inner) => remove_nulls(inner),
            _ => {}
        }
    }
    // Few maps have any, and to look is quicker than to take out.
    if any {
        map.entries_mut().retain(|_, value| !matches!(value, Value::Nil));
    }
}
