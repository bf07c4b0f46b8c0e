//! `values.schema.json`: JSON Schema of drafts 4 to 2020-12, checked against values as templates see them. Nothing is fetched: a reference leads to
//! a place in the same file.

mod check;
mod format;
mod number;

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use hub_gotemplate::{Map, Text, Value};
use regex::Regex;
use serde_json::Value as Json;

/// The schema of a chart. It is read when it is first needed, once.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) text: Text,
    pub(crate) compiled: OnceLock<Result<Compiled, String>>,
}

impl Schema {
    /// What is wrong with `values`, one line each.
    ///
    /// # Errors
    /// The lines, or why the schema cannot be used.
    pub(crate) fn check(&self, values: &Map) -> Result<(), String> {
        let compiled = self.compiled.get_or_init(|| Compiled::read(&self.text)).as_ref().map_err(Clone::clone)?;
        check::check(compiled, &Value::Map(values.clone()))
    }
}

/// Which draft a schema is written in. They differ in what some words mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Draft {
    Four,
    Six,
    Seven,
    Year2019,
    Year2020,
}

impl Draft {
    fn of(address: &str) -> Option<Self> {
        let address = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://")).unwrap_or(address);
        Some(match address.strip_suffix('#').unwrap_or(address) {
            "json-schema.org/draft-04/schema" => Self::Four,
            "json-schema.org/draft-06/schema" => Self::Six,
            "json-schema.org/draft-07/schema" => Self::Seven,
            "json-schema.org/draft/2019-09/schema" => Self::Year2019,
            // Without a number it is the latest.
            "json-schema.org/schema" | "json-schema.org/draft/2020-12/schema" => Self::Year2020,
            _ => return None,
        })
    }
}

/// A schema that was read.
#[derive(Debug)]
pub(crate) struct Compiled {
    root: Json,
    draft: Draft,
    /// The places that have a name of their own, as JSON pointers by `#name` or by address.
    named: BTreeMap<String, String>,
    /// Patterns that were met.
    patterns: Mutex<BTreeMap<String, Option<Regex>>>,
}

/// The deepest schemas in schemas; the parser of JSON stops there.
const DEPTH_LIMIT: usize = 128;

/// The largest compiled pattern, in bytes: the default of the `regex` crate is ten times that.
const PATTERN_LIMIT: usize = 1 << 20;

impl Compiled {
    fn read(text: &Text) -> Result<Self, String> {
        let root: Json = serde_json::from_slice(text).map_err(|error| format!("values.schema.json is not valid JSON: {error}"))?;
        let draft = match root.get("$schema").and_then(Json::as_str) {
            None => Draft::Year2020,
            Some(address) => Draft::of(address).ok_or_else(|| {
                format!("values.schema.json: $schema is {address:?}, and nothing is fetched; name one of the drafts 4, 6, 7, 2019-09 and 2020-12 of json-schema.org")
            })?,
        };
        let mut compiled = Self { root: Json::Null, draft, named: BTreeMap::new(), patterns: Mutex::default() };
        compiled.index(&root, &mut String::new(), "", 0)?;
        compiled.root = root;
        compiled.verify(&compiled.root, 0)?;
        Ok(compiled)
    }

    /// Notes the names of places.
    fn index(&mut self, schema: &Json, pointer: &mut String, base: &str, depth: usize) -> Result<(), String> {
        if depth > DEPTH_LIMIT {
            return Err(format!("values.schema.json is nested deeper than {DEPTH_LIMIT}"));
        }
        let length = pointer.len();
        match schema {
            Json::Object(fields) => {
                let id = fields.get(if self.draft == Draft::Four { "id" } else { "$id" }).and_then(Json::as_str);
                let base = match id {
                    Some(anchor) if anchor.starts_with('#') => {
                        self.named.insert(format!("{base}{anchor}"), pointer.clone());
                        base.to_owned()
                    }
                    Some(address) => {
                        let address = joined(base, address.trim_end_matches('#'));
                        self.named.insert(address.clone(), pointer.clone());
                        address
                    }
                    None => base.to_owned(),
                };
                for anchor in ["$anchor", "$dynamicAnchor"].iter().filter_map(|key| fields.get(*key)?.as_str()) {
                    self.named.insert(format!("{base}#{anchor}"), pointer.clone());
                }
                for (key, value) in fields {
                    if matches!(key.as_str(), "enum" | "const" | "default" | "examples") {
                        continue;
                    }
                    pointer.push('/');
                    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                    self.index(value, pointer, &base, depth + 1)?;
                    pointer.truncate(length);
                }
            }
            Json::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    pointer.push_str(&format!("/{at}"));
                    self.index(item, pointer, base, depth + 1)?;
                    pointer.truncate(length);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Refuses references that lead nowhere before any value is looked at, so that a schema is either good or bad.
    fn verify(&self, schema: &Json, depth: usize) -> Result<(), String> {
        if depth > DEPTH_LIMIT {
            return Ok(());
        }
        match schema {
            Json::Object(fields) => {
                for (key, value) in fields {
                    match (key.as_str(), value) {
                        ("$ref" | "$dynamicRef" | "$recursiveRef", Json::String(reference)) => {
                            self.target(reference)?;
                        }
                        ("pattern", Json::String(pattern)) => {
                            self.pattern(pattern, |_| ())?;
                        }
                        ("patternProperties", Json::Object(patterns)) => {
                            for (pattern, below) in patterns {
                                self.pattern(pattern, |_| ())?;
                                self.verify(below, depth + 1)?;
                            }
                        }
                        ("enum" | "const" | "default" | "examples", _) => {}
                        // The names of properties are not words of a schema.
                        ("properties" | "definitions" | "$defs" | "dependentSchemas", Json::Object(schemas)) => {
                            schemas.values().try_for_each(|below| self.verify(below, depth + 2))?;
                        }
                        (_, below) => self.verify(below, depth + 1)?,
                    }
                }
                Ok(())
            }
            Json::Array(items) => items.iter().try_for_each(|item| self.verify(item, depth + 1)),
            _ => Ok(()),
        }
    }

    /// What a reference leads to.
    fn target(&self, reference: &str) -> Result<&Json, String> {
        let nowhere = || {
            let what = if reference.contains("://") { "is not in the file, and nothing is fetched" } else { "leads nowhere" };
            format!("values.schema.json: the reference {reference:?} {what}; copy the definition into the file")
        };
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        // A relative address is meant from the place where it stands; names are few, so the end of the address tells.
        let ends = |known: &str| {
            known == address || (!address.contains("://") && known.ends_with(&format!("/{}", address.trim_start_matches('/'))))
        };
        let base = if address.is_empty() {
            ""
        } else {
            self.named.iter().find(|(known, _)| ends(known)).map(|(_, pointer)| pointer.as_str()).ok_or_else(nowhere)?
        };
        let pointer = if fragment.is_empty() || fragment.starts_with('/') {
            format!("{base}{}", unescaped(fragment))
        } else {
            let anchor = format!("#{fragment}");
            let named = self.named.get(&format!("{address}{anchor}"));
            let any = || self.named.iter().find(|(known, _)| known.ends_with(&anchor)).map(|(_, pointer)| pointer);
            named.or_else(any).ok_or_else(nowhere)?.clone()
        };
        // While references are verified the root is in place.
        self.root.pointer(&pointer).ok_or_else(nowhere)
    }

    /// Asks something of a pattern of the schema.
    fn pattern<T>(&self, pattern: &str, ask: impl FnOnce(&Regex) -> T) -> Result<T, String> {
        let mut patterns = self.patterns.lock().unwrap_or_else(PoisonError::into_inner);
        let build = || regex::RegexBuilder::new(pattern).size_limit(PATTERN_LIMIT).build().ok();
        let regex = patterns.entry(pattern.to_owned()).or_insert_with(build);
        regex.as_ref().map(ask).ok_or_else(|| format!("values.schema.json: {pattern:?} is no regular expression of Go's"))
    }
}

/// `address` seen from `base`.
fn joined(base: &str, address: &str) -> String {
    if address.contains("://") || address.starts_with("urn:") || base.is_empty() {
        return address.to_owned();
    }
    let directory = base.rfind('/').map_or("", |at| &base[..=at]);
    format!("{directory}{address}")
}

/// A fragment without the escapes of addresses.
fn unescaped(fragment: &str) -> String {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
