//! YAML in and out as `sigs.k8s.io/yaml` 1.6.0 has it: writing is a round trip through JSON and the printing of goyaml.v2, which
//! `shared/manifest` does byte for byte. Reading is left to `yaml_read`, the other layout of `toYamlPretty` to `yaml_pretty`.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub_gotemplate::{Args, Call, CallError, Function, Text, Type, Value};
use shared_manifest::{Tree, TreeMap, write_yaml};

use super::json::{self, Unable, Unwritable};
use super::json_read::replaced;
use super::yaml_pretty;
use super::yaml_read;
use super::{DEEPEST, function, panics};
use crate::objects;

/// Writing and reading of YAML.
pub(super) const FUNCTIONS: &[Function] = &[
    function("toYaml", &[Type::Any], |call, args| to_yaml(call, args, Unable::Empty)),
    function("mustToYaml", &[Type::Any], |call, args| to_yaml(call, args, Unable::Fails)),
    function("toYamlPretty", &[Type::Any], |call, args| Unable::Empty.result(yaml_pretty::write(call, args.any(0)))),
    function("fromYaml", &[Type::Text], from_yaml),
    function("fromYamlArray", &[Type::Text], from_yaml_array),
];

fn to_yaml(call: &mut Call<'_>, args: Args<'_>, unable: Unable) -> Result<Value, CallError> {
    unable.result(write(call, args.any(0)))
}

fn from_yaml(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    call.spend(reading(args.text(0)))?;
    Ok(match yaml_read::read(args.text(0)) {
        Ok(value) => json::map_or_error((value, None), DECODING),
        Err(refused) => json::map_or_error((Value::Nil, Some(refused)), CONVERTING),
    })
}

fn from_yaml_array(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    call.spend(reading(args.text(0)))?;
    Ok(match yaml_read::read(args.text(0)) {
        Ok(value) => json::list_or_error((value, None), DECODING),
        Err(refused) => json::list_or_error((Value::Nil, Some(refused)), CONVERTING),
    })
}

/// Before the message where the text is no YAML.
const CONVERTING: &str = "error converting YAML to JSON: ";

/// Before the message where it is YAML of another type.
const DECODING: &str = "error unmarshaling JSON: while decoding JSON: ";

/// Steps for each byte of YAML that may begin a value: what is nearly all such bytes takes up to a microsecond for one of them, which is as long
/// as twenty empty nodes. The definitions of a large operator have one in ten.
const MARK: usize = 16;

/// What reading `text` costs: a step a byte, and more where there can be much in little.
fn reading(text: &[u8]) -> usize {
    let marks = text.iter().filter(|byte| matches!(byte, b'[' | b'{' | b',' | b':' | b'-' | b'?' | b'\n' | b'&' | b'*' | b'!')).count();
    text.len().saturating_add(marks.saturating_mul(MARK))
}

/// Steps for each value that is written: it becomes a node of a tree first.
const WRITING: usize = 6;

/// `value` as YAML, without the last line break.
pub(super) fn write(call: &mut Call<'_>, value: &Value) -> Result<Text, Unwritable> {
    let mut planter = Planter { call, unspent: 0 };
    let tree = planter.tree(value, 0)?;
    planter.call.spend(planter.unspent)?;
    let mut text = String::new();
    write_yaml(&tree, &mut text);
    if text.ends_with('\n') {
        text.pop();
    }
    call.spend(text.len())?;
    Ok(text.into())
}

/// Makes trees of values.
struct Planter<'c, 'h> {
    call: &'c mut Call<'h>,
    /// Steps that are not yet taken from the budget.
    unspent: usize,
}

/// Steps that are taken from the budget at once: a page of text.
const PAGE: usize = 4096;

impl Planter<'_, '_> {
    fn tree(&mut self, value: &Value, depth: u32) -> Result<Tree, Unwritable> {
        self.count(WRITING)?;
        Ok(match value {
            Value::Nil => Tree::NULL,
            Value::Bool(value) => Tree::from(*value),
            Value::Int(value) | Value::Int64(value) => Tree::from(*value),
            Value::Float(value) => {
                let text = json::float(*value).ok_or_else(|| with_prefix(json::unsupported_float(*value)))?;
                Tree::Number(shared_manifest::Text::new(text))
            }
            Value::Text(text) => Tree::String(self.text(text, UNWRITABLE)?),
            Value::List(list) if list.is_nil() => Tree::NULL,
            Value::Map(map) if map.is_nil() => Tree::NULL,
            Value::List(list) => {
                check_depth(depth)?;
                let items = list.items().iter().map(|item| self.tree(item, depth + 1));
                Tree::list(items.collect::<Result<_, _>>()?)
            }
            Value::Map(map) => {
                check_depth(depth)?;
                let map = map.entries();
                let mut entries = Vec::with_capacity(map.len());
                for (key, value) in map.iter() {
                    if key.len() > KEY_LIMIT {
                        return Err(Unwritable::Unsupported("yaml: could not find expected ':'".to_owned()));
                    }
                    entries.push((self.text(key, UNWRITABLE_KEY)?, self.tree(value, depth + 1)?));
                }
                // Keys that were no UTF-8 may have become one.
                TreeMap::from_entries(entries)
                    .map_err(|key| Unwritable::Unsupported(format!("yaml: the key {key:?} is there twice")))?
                    .into()
            }
            Value::Object(object) => {
                check_depth(depth)?;
                match objects::bytes(&**object) {
                    Some(bytes) => Tree::String(self.text(STANDARD.encode(bytes).as_bytes(), UNWRITABLE)?),
                    None => self.tree(&object.plain(), depth + 1)?,
                }
            }
        })
    }

    fn text(&mut self, text: &[u8], unwritable: fn(char) -> bool) -> Result<shared_manifest::Text, Unwritable> {
        self.count(text.len())?;
        let text = std::str::from_utf8(text).map_or_else(|_| Cow::Owned(replaced(text)), Cow::Borrowed);
        if text.bytes().any(|byte| byte >= 0x7F) && text.contains(unwritable) {
            return Err(Unwritable::Unsupported("yaml: control characters are not allowed".to_owned()));
        }
        Ok(shared_manifest::Text::new(text))
    }

    fn count(&mut self, steps: usize) -> Result<(), Unwritable> {
        self.unspent += steps;
        if self.unspent > PAGE {
            self.call.spend(std::mem::take(&mut self.unspent))?;
        }
        Ok(())
    }
}

fn check_depth(depth: u32) -> Result<(), Unwritable> {
    if depth < DEEPEST { Ok(()) } else { Err(panics::too_deep().into()) }
}

/// The longest key on the way through JSON, in bytes: YAML's own limit for a key in one line.
const KEY_LIMIT: usize = 1024;

/// Characters that JSON leaves as they are and YAML does not take.
const UNWRITABLE: fn(char) -> bool = |c| matches!(c, '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}');

/// In a key U+0085 is a line break too.
const UNWRITABLE_KEY: fn(char) -> bool = |c| c == '\u{85}' || UNWRITABLE(c);

fn with_prefix(error: Unwritable) -> Unwritable {
    match error {
        Unwritable::Unsupported(message) => Unwritable::Unsupported(format!("error marshaling into JSON: {message}")),
        exceeded => exceeded,
    }
}
