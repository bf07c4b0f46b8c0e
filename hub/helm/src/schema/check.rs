//! Checking a value against a schema. The messages are those that Helm's users know: `at '/replicas': got string, want integer`.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use hub_gotemplate::{Text, Value};
use serde_json::{Map as Fields, Value as Json};

use super::number::{compare, is_multiple, shown};
use super::{Compiled, Draft, format};

/// The deepest schemas applied within each other, by references too. Values are 255 levels deep at most, and few schemas have a reference to
/// themselves that does not go down.
const DEPTH_LIMIT: usize = 600;

/// The most words of schemas that are looked at: the largest public schema, of kube-prometheus-stack's size, takes 50,000.
const STEP_LIMIT: usize = 5_000_000;

/// The most lines of a message: nobody reads more.
const LINES_LIMIT: usize = 100;

/// What is wrong with `value`, one line each.
pub(super) fn check(compiled: &Compiled, value: &Value) -> Result<(), String> {
    let mut checker = Checker { compiled, lines: Vec::new(), path: Vec::new(), steps: 0, depth: 0 };
    let fits = checker.fits(&compiled.root, value, &mut Seen::default())?;
    if fits { Ok(()) } else { Err(checker.message()) }
}

struct Checker<'a> {
    compiled: &'a Compiled,
    lines: Vec<Line>,
    /// Where in the value it is.
    path: Vec<Text>,
    steps: usize,
    depth: usize,
}

struct Line {
    indent: usize,
    text: String,
}

/// The properties and items that some word has said something about.
#[derive(Default)]
struct Seen {
    properties: BTreeSet<Text>,
    all_properties: bool,
    items: BTreeSet<usize>,
    all_items: bool,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.properties.extend(other.properties);
        self.items.extend(other.items);
        self.all_properties |= other.all_properties;
        self.all_items |= other.all_items;
    }
}

/// Whether a value fits; an error ends the check as a whole.
type Fits = Result<bool, String>;

impl<'a> Checker<'a> {
    fn fits(&mut self, schema: &'a Json, value: &Value, seen: &mut Seen) -> Fits {
        self.steps += 1;
        if self.steps > STEP_LIMIT {
            return Err(format!("values.schema.json takes more than {STEP_LIMIT} steps to check; make it simpler"));
        }
        match schema {
            Json::Bool(true) => Ok(true),
            Json::Bool(false) => Ok(self.wrong("false schema")),
            Json::Object(fields) => {
                self.depth += 1;
                if self.depth > DEPTH_LIMIT {
                    return Err(format!(
                        "values.schema.json: more than {DEPTH_LIMIT} schemas within each other; a reference leads to itself"
                    ));
                }
                let fits = self.all_words(fields, value, seen);
                self.depth -= 1;
                fits
            }
            _ => Err("values.schema.json: a schema is neither an object nor a boolean".to_owned()),
        }
    }

    fn all_words(&mut self, fields: &'a Fields<String, Json>, value: &Value, seen: &mut Seen) -> Fits {
        let mut fits = true;
        if let Some(reference) = fields.get("$ref").and_then(Json::as_str) {
            fits &= self.fits(self.compiled.target(reference)?, value, seen)?;
            // Before 2019 a reference stands for all.
            if self.compiled.draft < Draft::Year2019 {
                return Ok(fits);
            }
        }
        for word in ["$dynamicRef", "$recursiveRef"] {
            if let Some(reference) = fields.get(word).and_then(Json::as_str) {
                fits &= self.fits(self.compiled.target(reference)?, value, seen)?;
            }
        }
        for (word, rule) in fields {
            self.steps += 1;
            fits &= self.word(word, rule, fields, value, seen)?;
        }
        // These look at what all others have seen.
        if let Some(rule) = fields.get("unevaluatedProperties").filter(|_| self.compiled.draft >= Draft::Year2019) {
            fits &= self.rest_of_properties(rule, value, seen)?;
        }
        if let Some(rule) = fields.get("unevaluatedItems").filter(|_| self.compiled.draft >= Draft::Year2019) {
            fits &= self.rest_of_items(rule, value, seen)?;
        }
        Ok(fits)
    }

    fn word(&mut self, word: &str, rule: &'a Json, fields: &'a Fields<String, Json>, value: &Value, seen: &mut Seen) -> Fits {
        match word {
            "type" => Ok(self.of_type(rule, value)),
            "enum" => match rule {
                Json::Array(choices) if !choices.iter().any(|choice| equal(choice, value)) => {
                    let choices: Vec<String> = choices.iter().map(written).collect();
                    let one = if choices.len() == 1 { "" } else { "one of " };
                    Ok(self.wrong(&format!("value must be {one}{}", choices.join(", "))))
                }
                _ => Ok(true),
            },
            "const" if !equal(rule, value) => Ok(self.wrong(&format!("value must be {}", written(rule)))),
            "not" => {
                let lines = self.lines.len();
                let fits = self.fits(rule, value, &mut Seen::default())?;
                self.lines.truncate(lines);
                Ok(if fits { self.wrong("'not' failed") } else { true })
            }
            "allOf" => {
                let mut fits = true;
                for schema in list(rule) {
                    fits &= self.fits(schema, value, seen)?;
                }
                Ok(fits)
            }
            "anyOf" => self.any_of(list(rule), value, seen),
            "oneOf" => self.one_of(list(rule), value, seen),
            "if" => self.condition(rule, fields, value, seen),
            _ => match value {
                Value::Int(number) | Value::Int64(number) => {
                    #[expect(clippy::cast_precision_loss, reason = "as Go compares them with the floats of the schema")]
                    let number = *number as f64;
                    Ok(self.number(word, rule, fields, number))
                }
                Value::Float(number) => Ok(self.number(word, rule, fields, *number)),
                Value::Text(text) => self.text(word, rule, text),
                Value::List(items) => self.items(word, rule, fields, items.items(), seen),
                Value::Map(map) => self.properties(word, rule, fields, &map.entries(), seen),
                _ => Ok(true),
            },
        }
    }

    fn of_type(&mut self, rule: &Json, value: &Value) -> bool {
        let is = |wanted: &str| match wanted {
            "integer" => matches!(value, Value::Int(_) | Value::Int64(_)) || matches!(value, Value::Float(number) if number.fract() == 0.0),
            wanted => kind(value) == wanted,
        };
        let wanted: Vec<&str> = match rule {
            Json::String(one) => vec![one],
            other => list(other).iter().filter_map(Json::as_str).collect(),
        };
        if wanted.is_empty() || wanted.iter().any(|wanted| is(wanted)) {
            return true;
        }
        self.wrong(&format!("got {}, want {}", kind(value), wanted.join(" or ")))
    }

    fn any_of(&mut self, schemas: &'a [Json], value: &Value, seen: &mut Seen) -> Fits {
        let lines = self.lines.len();
        let mut found = false;
        self.wrong("'anyOf' failed");
        for schema in schemas {
            let mut own = Seen::default();
            if self.nested(schema, value, &mut own)? {
                found = true;
                seen.add(own);
                // What else fits only matters to words that look at what was seen.
                if self.compiled.draft < Draft::Year2019 {
                    break;
                }
            }
        }
        if found {
            self.lines.truncate(lines);
        }
        Ok(found)
    }

    fn one_of(&mut self, schemas: &'a [Json], value: &Value, seen: &mut Seen) -> Fits {
        let lines = self.lines.len();
        let mut found: Option<usize> = None;
        self.wrong("'oneOf' failed, none matched");
        for (at, schema) in schemas.iter().enumerate() {
            let mut own = Seen::default();
            if self.nested(schema, value, &mut own)? {
                if let Some(first) = found {
                    self.lines.truncate(lines);
                    return Ok(self.wrong(&format!("'oneOf' failed, subschemas {first}, {at} matched")));
                }
                found = Some(at);
                seen.add(own);
            }
        }
        if found.is_some() {
            self.lines.truncate(lines);
        }
        Ok(found.is_some())
    }

    /// A schema whose complaints are details of another.
    fn nested(&mut self, schema: &'a Json, value: &Value, seen: &mut Seen) -> Fits {
        let lines = self.lines.len();
        let fits = self.fits(schema, value, seen)?;
        if fits {
            self.lines.truncate(lines);
        }
        self.lines[lines..].iter_mut().for_each(|line| line.indent += 1);
        Ok(fits)
    }

    fn condition(&mut self, rule: &'a Json, fields: &'a Fields<String, Json>, value: &Value, seen: &mut Seen) -> Fits {
        if self.compiled.draft < Draft::Seven {
            return Ok(true);
        }
        let lines = self.lines.len();
        let mut own = Seen::default();
        let fits = self.fits(rule, value, &mut own)?;
        self.lines.truncate(lines);
        if fits {
            seen.add(own);
        }
        match fields.get(if fits { "then" } else { "else" }) {
            Some(schema) => self.fits(schema, value, seen),
            None => Ok(true),
        }
    }

    fn number(&mut self, word: &str, rule: &Json, fields: &Fields<String, Json>, number: f64) -> bool {
        let Some(limit) = rule.as_f64() else { return true };
        // In draft 4 a boolean beside a limit makes it exclusive.
        let excludes = |name: &str| fields.get(name) == Some(&Json::Bool(true));
        let order = compare(number, limit);
        let (fits, name) = match word {
            "minimum" if excludes("exclusiveMinimum") => (order == Ordering::Greater, "exclusiveMinimum"),
            "maximum" if excludes("exclusiveMaximum") => (order == Ordering::Less, "exclusiveMaximum"),
            "minimum" => (order != Ordering::Less, word),
            "maximum" => (order != Ordering::Greater, word),
            "exclusiveMinimum" => (order == Ordering::Greater, word),
            "exclusiveMaximum" => (order == Ordering::Less, word),
            "multipleOf" => (is_multiple(number, limit), word),
            _ => (true, word),
        };
        fits || self.wrong(&format!("{name}: got {}, want {}", shown(number), shown(limit)))
    }

    fn text(&mut self, word: &str, rule: &Json, text: &Text) -> Fits {
        let text = text.to_str();
        Ok(match (word, rule) {
            ("minLength" | "maxLength", Json::Number(_)) => self.size(word, rule, text.chars().count()),
            ("pattern", Json::String(pattern)) => {
                let fits = self.compiled.pattern(pattern, |regex| regex.is_match(&text))?;
                fits || self.wrong(&format!("'{text}' does not match pattern '{pattern}'"))
            }
            ("format", Json::String(name)) if self.compiled.draft <= Draft::Seven => {
                format::has(&text, name) || self.wrong(&format!("'{text}' is not valid {name}"))
            }
            _ => true,
        })
    }

    fn size(&mut self, word: &str, rule: &Json, size: usize) -> bool {
        let Some(limit) = rule.as_f64() else { return true };
        #[expect(clippy::cast_precision_loss, reason = "nothing here has 2^53 parts")]
        let order = compare(size as f64, limit);
        let fits = if word.starts_with("min") { order != Ordering::Less } else { order != Ordering::Greater };
        fits || self.wrong(&format!("{word}: got {size}, want {}", shown(limit)))
    }

    fn items(&mut self, word: &str, rule: &'a Json, fields: &'a Fields<String, Json>, items: &[Value], seen: &mut Seen) -> Fits {
        let is_new = self.compiled.draft >= Draft::Year2020;
        match word {
            "minItems" | "maxItems" => Ok(self.size(word, rule, items.len())),
            "uniqueItems" if *rule == Json::Bool(true) => Ok(self.unique(items)),
            "prefixItems" if is_new => self.first_items(list(rule), items, seen),
            "items" => match rule {
                Json::Array(schemas) if !is_new => self.first_items(schemas, items, seen),
                schema => {
                    let first = if is_new { fields.get("prefixItems").map_or(0, |prefix| list(prefix).len()) } else { 0 };
                    seen.all_items = true;
                    self.each_item(schema, items, first)
                }
            },
            "additionalItems" if !is_new => match fields.get("items") {
                Some(Json::Array(schemas)) => {
                    seen.all_items = true;
                    if *rule == Json::Bool(false) && items.len() > schemas.len() {
                        return Ok(self.wrong(&format!("last {} additionalItem(s) not allowed", items.len() - schemas.len())));
                    }
                    self.each_item(rule, items, schemas.len())
                }
                _ => Ok(true),
            },
            "contains" if self.compiled.draft >= Draft::Six => self.contains(rule, fields, items, seen),
            _ => Ok(true),
        }
    }

    fn first_items(&mut self, schemas: &'a [Json], items: &[Value], seen: &mut Seen) -> Fits {
        let mut fits = true;
        for (at, (schema, item)) in schemas.iter().zip(items).enumerate() {
            fits &= self.item(schema, item, at)?;
            seen.items.insert(at);
        }
        Ok(fits)
    }

    fn each_item(&mut self, schema: &'a Json, items: &[Value], first: usize) -> Fits {
        let mut fits = true;
        for (at, item) in items.iter().enumerate().skip(first) {
            fits &= self.item(schema, item, at)?;
        }
        Ok(fits)
    }

    fn item(&mut self, schema: &'a Json, item: &Value, at: usize) -> Fits {
        self.path.push(at.to_string().into());
        let fits = self.fits(schema, item, &mut Seen::default());
        self.path.pop();
        fits
    }

    fn unique(&mut self, items: &[Value]) -> bool {
        let mut known = std::collections::BTreeMap::new();
        for (at, item) in items.iter().enumerate() {
            self.steps += 1;
            let mut key = String::new();
            identity(item, &mut key);
            if let Some(first) = known.insert(key, at) {
                return self.wrong(&format!("items at {first} and {at} are equal"));
            }
        }
        true
    }

    fn contains(&mut self, rule: &'a Json, fields: &Fields<String, Json>, items: &[Value], seen: &mut Seen) -> Fits {
        let lines = self.lines.len();
        let mut found = 0_usize;
        for (at, item) in items.iter().enumerate() {
            if self.item(rule, item, at)? {
                found += 1;
                if self.compiled.draft >= Draft::Year2020 {
                    seen.items.insert(at);
                }
            }
        }
        self.lines.truncate(lines);
        let bound = |word| fields.get(word).filter(|_| self.compiled.draft >= Draft::Year2019).and_then(Json::as_u64);
        let (least, most) = (bound("minContains").unwrap_or(1), bound("maxContains"));
        let found = found as u64;
        Ok(if found < least {
            let what = if least == 1 {
                "no items match contains schema".to_owned()
            } else {
                format!("min {least} items required to match contains schema, but matched {found}")
            };
            self.wrong(&what)
        } else if let Some(most) = most.filter(|most| found > *most) {
            self.wrong(&format!("max {most} items required to match contains schema, but matched {found}"))
        } else {
            true
        })
    }

    fn properties(
        &mut self,
        word: &str,
        rule: &'a Json,
        fields: &'a Fields<String, Json>,
        entries: &std::collections::BTreeMap<Text, Value>,
        seen: &mut Seen,
    ) -> Fits {
        let has = |name: &str| entries.contains_key(name.as_bytes());
        match (word, rule) {
            ("minProperties" | "maxProperties", _) => Ok(self.size(word, rule, entries.len())),
            ("required", Json::Array(names)) => {
                let missing: Vec<&str> = names.iter().filter_map(Json::as_str).filter(|name| !has(name)).collect();
                Ok(match missing.as_slice() {
                    [] => true,
                    [one] => self.wrong(&format!("missing property '{one}'")),
                    several => self.wrong(&format!("missing properties '{}'", several.join("', '"))),
                })
            }
            ("properties", Json::Object(schemas)) => {
                let mut fits = true;
                for (name, schema) in schemas {
                    if let Some((name, value)) = entries.get_key_value(name.as_bytes()) {
                        fits &= self.property(schema, name, value)?;
                        seen.properties.insert(name.clone());
                    }
                }
                Ok(fits)
            }
            ("patternProperties", Json::Object(schemas)) => {
                let mut fits = true;
                for (pattern, schema) in schemas {
                    for (name, value) in entries {
                        self.steps += 1;
                        if self.compiled.pattern(pattern, |regex| regex.is_match(&name.to_str()))? {
                            fits &= self.property(schema, name, value)?;
                            seen.properties.insert(name.clone());
                        }
                    }
                }
                Ok(fits)
            }
            ("additionalProperties", schema) => self.additional(schema, fields, entries, seen),
            ("propertyNames", schema) if self.compiled.draft >= Draft::Six => {
                let mut fits = true;
                for name in entries.keys() {
                    let lines = self.lines.len();
                    self.wrong(&format!("invalid propertyName '{name}'"));
                    if self.nested(schema, &Value::Text(name.clone()), &mut Seen::default())? {
                        self.lines.truncate(lines);
                    } else {
                        fits = false;
                    }
                }
                Ok(fits)
            }
            ("dependencies" | "dependentRequired" | "dependentSchemas", Json::Object(rules)) => {
                let mut fits = true;
                for (name, rule) in rules.iter().filter(|(name, _)| has(name)) {
                    match rule {
                        Json::Array(names) => {
                            let missing: Vec<&str> = names.iter().filter_map(Json::as_str).filter(|name| !has(name)).collect();
                            if !missing.is_empty() {
                                fits = self.wrong(&format!("properties '{}' required, if '{name}' exists", missing.join("', '")));
                            }
                        }
                        schema => {
                            let value = Value::Map(hub_gotemplate::Map::new(entries.clone()));
                            fits &= self.fits(schema, &value, seen)?;
                        }
                    }
                }
                Ok(fits)
            }
            _ => Ok(true),
        }
    }

    fn property(&mut self, schema: &'a Json, name: &Text, value: &Value) -> Fits {
        self.path.push(name.clone());
        let fits = self.fits(schema, value, &mut Seen::default());
        self.path.pop();
        fits
    }

    /// `additionalProperties`: what neither `properties` nor a pattern beside it names.
    fn additional(
        &mut self,
        schema: &'a Json,
        fields: &'a Fields<String, Json>,
        entries: &std::collections::BTreeMap<Text, Value>,
        seen: &mut Seen,
    ) -> Fits {
        let named = fields.get("properties").and_then(Json::as_object);
        let patterns = fields.get("patternProperties").and_then(Json::as_object);
        let (mut fits, mut unwanted) = (true, Vec::new());
        for (name, value) in entries {
            self.steps += 1;
            let text = name.to_str();
            if named.is_some_and(|named| named.contains_key(&*text)) {
                continue;
            }
            let mut is_matched = false;
            for pattern in patterns.into_iter().flat_map(Fields::keys) {
                is_matched |= self.compiled.pattern(pattern, |regex| regex.is_match(&text))?;
            }
            if is_matched {
                continue;
            }
            if *schema == Json::Bool(false) {
                unwanted.push(format!("'{text}'"));
            } else {
                fits &= self.property(schema, name, value)?;
            }
        }
        seen.all_properties = true;
        if !unwanted.is_empty() {
            fits = self.wrong(&format!("additional properties {} not allowed", unwanted.join(", ")));
        }
        Ok(fits)
    }

    fn rest_of_properties(&mut self, schema: &'a Json, value: &Value, seen: &mut Seen) -> Fits {
        let Value::Map(map) = value else { return Ok(true) };
        if std::mem::replace(&mut seen.all_properties, true) {
            return Ok(true);
        }
        let mut fits = true;
        for (name, value) in map.entries().iter().filter(|(name, _)| !seen.properties.contains(*name)) {
            fits &= self.property(schema, name, value)?;
        }
        Ok(fits)
    }

    fn rest_of_items(&mut self, schema: &'a Json, value: &Value, seen: &mut Seen) -> Fits {
        let Value::List(list) = value else { return Ok(true) };
        if std::mem::replace(&mut seen.all_items, true) {
            return Ok(true);
        }
        let mut fits = true;
        for (at, item) in list.items().iter().enumerate().filter(|(at, _)| !seen.items.contains(at)) {
            fits &= self.item(schema, item, at)?;
        }
        Ok(fits)
    }

    /// Notes a complaint about the present place; always `false`.
    fn wrong(&mut self, what: &str) -> bool {
        if self.lines.len() < LINES_LIMIT {
            let path: String = self.path.iter().map(|step| format!("/{}", step.to_str().replace('~', "~0").replace('/', "~1"))).collect();
            self.lines.push(Line { indent: 0, text: format!("- at '{path}': {what}") });
        }
        false
    }

    fn message(&self) -> String {
        self.lines.iter().map(|line| format!("{}{}", "  ".repeat(line.indent), line.text)).collect::<Vec<_>>().join("\n")
    }
}

fn list(rule: &Json) -> &[Json] {
    rule.as_array().map_or(&[], Vec::as_slice)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Nil => "null",
        Value::Bool(_) => "boolean",
        Value::Int(_) | Value::Int64(_) | Value::Float(_) => "number",
        Value::Text(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) | Value::Object(_) => "object",
    }
}

/// A value of the schema in a message.
fn written(value: &Json) -> String {
    match value {
        Json::String(text) => format!("'{text}'"),
        other => other.to_string(),
    }
}

/// Whether both are the same to JSON: 1 and 1.0 are.
fn equal(json: &Json, value: &Value) -> bool {
    match (json, value) {
        (Json::Null, Value::Nil) => true,
        (Json::Bool(a), Value::Bool(b)) => a == b,
        (Json::String(a), Value::Text(b)) => a.as_bytes() == b.as_bytes(),
        (Json::Number(a), Value::Int(b) | Value::Int64(b)) => a.as_i64().map_or_else(
            || {
                #[expect(clippy::cast_precision_loss, reason = "the other number is a float")]
                let b = *b as f64;
                a.as_f64() == Some(b)
            },
            |a| a == *b,
        ),
        (Json::Number(a), Value::Float(b)) => a.as_f64() == Some(*b),
        (Json::Array(a), Value::List(b)) => a.len() == b.items().len() && a.iter().zip(b.items()).all(|(a, b)| equal(a, b)),
        (Json::Object(a), Value::Map(b)) => {
            let b = b.entries();
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key.as_bytes()).is_some_and(|b| equal(a, b)))
        }
        _ => false,
    }
}

/// A text that is equal for equal values.
fn identity(value: &Value, out: &mut String) {
    use std::fmt::Write;
    // Writing to a text cannot fail.
    let _ = match value {
        Value::Nil => write!(out, "n"),
        Value::Bool(claim) => write!(out, "{claim}"),
        Value::Int(number) | Value::Int64(number) => write!(out, "{number}"),
        Value::Float(number) => write!(out, "{number}"),
        Value::Text(text) => write!(out, "{text:?}"),
        Value::List(list) => {
            out.push('[');
            list.items().iter().for_each(|item| {
                identity(item, out);
                out.push(',');
            });
            write!(out, "]")
        }
        Value::Map(map) => {
            out.push('{');
            map.entries().iter().for_each(|(key, value)| {
                let _ = write!(out, "{key:?}:");
                identity(value, out);
                out.push(',');
            });
            write!(out, "}}")
        }
        Value::Object(object) => write!(out, "{}", object.print()),
    };
}
