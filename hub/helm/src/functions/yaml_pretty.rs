//! YAML as `toYamlPretty` prints it: goyaml.v3 with an indentation of two. Lists are indented under their key, nothing is folded, and values come as
//! they are instead of through JSON. How a text in one line is quoted is the same as in goyaml.v2 and asked of `shared/manifest`.

use std::borrow::Cow;
use std::cmp::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub_gotemplate::{Call, Map, Object, Text, Value};
use shared_manifest::{Tree, write_yaml};

use super::json::{self, Unwritable};
use super::{DEEPEST, panics};
use crate::objects::{self, Field};

/// `value` as YAML, without the last line break.
pub(super) fn write(call: &mut Call<'_>, value: &Value) -> Result<Text, Unwritable> {
    let mut writer = Writer { call, out: String::new(), spent: 0 };
    writer.node(value, 0, 0)?;
    let mut text = writer.out;
    if text.ends_with('\n') {
        text.pop();
    }
    call.spend(text.len())?;
    Ok(text.into())
}

/// Every node is written from where it starts, up to and including its last line break.
struct Writer<'c, 'h> {
    call: &'c mut Call<'h>,
    out: String,
    /// Bytes of `out` that are taken from the budget already.
    spent: usize,
}

/// Columns by which something stands to the right of what it is in.
const INDENT: usize = 2;

/// A key of more bytes gets a line of its own after `? `.
const SIMPLE_KEY_BYTES: usize = 128;

impl Writer<'_, '_> {
    /// What begins at column `indent`, its first line being indented already.
    fn node(&mut self, value: &Value, indent: usize, depth: u32) -> Result<(), Unwritable> {
        if depth >= DEEPEST {
            return Err(panics::too_deep().into());
        }
        let written = self.out.len() - self.spent;
        self.call.spend(1 + written)?;
        self.spent = self.out.len();
        match value {
            Value::Map(map) if !map.is_empty() => self.map(map, indent, depth),
            Value::List(list) if !list.items().is_empty() => {
                for (place, item) in list.items().iter().enumerate() {
                    if place > 0 {
                        self.pad(indent);
                    }
                    self.out.push_str("- ");
                    self.node(item, indent + INDENT, depth + 1)?;
                }
                Ok(())
            }
            Value::Object(object) => match objects::fields(&**object) {
                Some(fields) => fields.iter().enumerate().try_for_each(|(place, Field { name, value, .. })| {
                    self.entry(place, &Text::from(name.to_ascii_lowercase()), value, indent, depth)
                }),
                None => self.node(&plain(&**object), indent, depth + 1),
            },
            _ => {
                self.leaf(value, indent);
                Ok(())
            }
        }
    }

    fn map(&mut self, map: &Map, indent: usize, depth: u32) -> Result<(), Unwritable> {
        let entries = map.entries();
        let sorted = entries.iter().map(|(key, value)| (key.to_str(), key, value)).collect();
        // Go's comparison has circles, which the sort of the standard library may refuse; a merge sort takes any relation and gives one order.
        merge_sorted(sorted).into_iter().enumerate().try_for_each(|(place, (_, key, value))| self.entry(place, key, value, indent, depth))
    }

    /// The entry at `place` of what begins at column `indent`.
    fn entry(&mut self, place: usize, key: &Text, value: &Value, indent: usize, depth: u32) -> Result<(), Unwritable> {
        if place > 0 {
            self.pad(indent);
        }
        let name = key.to_str();
        if name.len() > SIMPLE_KEY_BYTES || name.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) {
            self.out.push_str("? ");
            self.leaf(&Value::Text(key.clone()), indent + INDENT);
            self.pad(indent);
            self.out.push_str(": ");
            return self.node(value, indent + INDENT, depth + 1);
        }
        self.out.push_str(&in_one_line(&name));
        self.out.push(':');
        let is_nested = match value {
            Value::Object(object) => has_elements(&plain(&**object)),
            other => has_elements(other),
        };
        if is_nested {
            self.out.push('\n');
            self.pad(indent + INDENT);
        } else {
            self.out.push(' ');
        }
        self.node(value, indent + INDENT, depth + 1)
    }

    fn leaf(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Nil | Value::Object(_) => self.out.push_str("null"),
            Value::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            Value::Int(value) | Value::Int64(value) => self.out.push_str(&value.to_string()),
            Value::Float(value) => self.out.push_str(&float(*value)),
            Value::List(_) => self.out.push_str("[]"),
            Value::Map(_) => self.out.push_str("{}"),
            Value::Text(text) => match text.as_str() {
                None => {
                    self.out.push_str("!!binary ");
                    self.out.push_str(&STANDARD.encode(text));
                }
                Some(text) if text.contains('\n') && allows_block(text) => return self.block(text, indent),
                Some(text) => self.out.push_str(&indented(&in_one_line(text), indent)),
            },
        }
        self.out.push('\n');
    }

    /// A text of several lines as they are.
    fn block(&mut self, text: &str, indent: usize) {
        const BREAKS: [char; 3] = ['\n', '\u{2028}', '\u{2029}'];
        let indent = indent.max(INDENT);
        self.out.push('|');
        if text.starts_with([' ', '\n', '\u{2028}', '\u{2029}']) {
            self.out.push('2');
        }
        let without_last = text.strip_suffix(BREAKS);
        match without_last {
            None => self.out.push('-'),
            Some(rest) if rest.is_empty() || rest.ends_with(BREAKS) => self.out.push('+'),
            Some(_) => {}
        }
        self.out.push('\n');
        for line in text.split_inclusive(BREAKS) {
            if !line.starts_with(BREAKS) {
                self.pad(indent);
            }
            self.out.push_str(line);
        }
        if without_last.is_none() {
            self.out.push('\n');
        }
    }

    fn pad(&mut self, columns: usize) {
        self.out.extend(std::iter::repeat_n(' ', columns));
    }
}

/// What an object is to YAML: a `[]byte` is a list of numbers.
pub(super) fn plain(object: &dyn Object) -> Value {
    match objects::bytes(object) {
        Some(bytes) => Value::list(bytes.iter().map(|byte| Value::Int(i64::from(*byte))).collect()),
        None => object.plain(),
    }
}

fn has_elements(value: &Value) -> bool {
    match value {
        Value::Map(map) => !map.is_empty(),
        Value::List(list) => !list.items().is_empty(),
        _ => false,
    }
}

/// A float as `strconv.FormatFloat(value, 'g', -1, 64)` prints it: with an exponent below 10^-4 and from 10^6 on.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let plain = json::float(value.abs()).unwrap_or_default();
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let (digits, exponent) = json::scientific(&plain);
    if digits == "0" || (-4..6).contains(&exponent) {
        return format!("{sign}{plain}");
    }
    let (first, others) = digits.split_at(1);
    let point = if others.is_empty() { "" } else { "." };
    format!("{sign}{first}{point}{others}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// Whether a text may stand as a block: nothing in it needs an escape, and no line ends in a space.
fn allows_block(text: &str) -> bool {
    let mut last = ' ';
    for (at, c) in text.char_indices() {
        let is_break = matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let is_printable = matches!(c, '\t' | '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}';
        if !is_printable || is_break && last == ' ' && at > 0 {
            return false;
        }
        last = c;
    }
    last != ' '
}

/// A text in single quotes with the lines after U+2028 and U+2029, which are line breaks, at column `indent`.
fn indented(written: &str, indent: usize) -> Cow<'_, str> {
    if !written.contains(['\u{2028}', '\u{2029}']) || indent == INDENT {
        return Cow::Borrowed(written);
    }
    let pad = " ".repeat(indent.max(INDENT));
    Cow::Owned(written.replace("\u{2028}  ", &format!("\u{2028}{pad}")).replace("\u{2029}  ", &format!("\u{2029}{pad}")))
}

const NEXT_LINE: char = '\u{85}';

/// A character that needs double quotes and has one escape.
const DELETE: char = '\u{7f}';

/// A text as goyaml.v2 quotes it, without the line breaks with which that folds it.
fn in_one_line(text: &str) -> String {
    if text.contains(NEXT_LINE) {
        // `shared/manifest` takes it for a line break, as kustomize does; a text with it is in double quotes, piece by piece. What stands around
        // a piece keeps its ends from being the ends of a text, where a byte order mark and spaces mean something else.
        let (before, written) = if text.starts_with('\u{feff}') { ('\u{feff}', "\"\\uFEFF") } else { (DELETE, "\"\\x7F") };
        let pieces: Vec<String> = text.split(NEXT_LINE).map(|piece| in_one_line(&format!("{before}{piece}{DELETE}"))).collect();
        let bodies =
            pieces.iter().map(|piece| piece.strip_prefix(written).and_then(|body| body.strip_suffix("\\x7F\"")).unwrap_or_default());
        return format!("\"{}\"", bodies.collect::<Vec<_>>().join("\\N"));
    }
    let mut written = String::new();
    write_yaml(&Tree::from(text), &mut written);
    if written.ends_with('\n') {
        written.pop();
    }
    if !written.contains('\n') {
        return written;
    }
    // In double quotes a backslash before a space is no escape but keeps the second of two spaces between which a line was folded.
    let unfolded = if written.starts_with('"') { written.replace("\n  \\ ", "  ") } else { written };
    unfolded.replace("\n  ", " ")
}

type Entry<'a> = (Cow<'a, str>, &'a Text, &'a Value);

fn merge_sorted(mut entries: Vec<Entry<'_>>) -> Vec<Entry<'_>> {
    if entries.len() < 2 {
        return entries;
    }
    let upper = merge_sorted(entries.split_off(entries.len() / 2));
    let lower = merge_sorted(entries);
    let mut merged = Vec::with_capacity(lower.len() + upper.len());
    let (mut lower, mut upper) = (lower.into_iter().peekable(), upper.into_iter().peekable());
    while let (Some(low), Some(up)) = (lower.peek(), upper.peek()) {
        merged.extend(if natural(&up.0, &low.0).is_lt() { upper.next() } else { lower.next() });
    }
    merged.extend(lower);
    merged.extend(upper);
    merged
}

/// Go's comparison of keys: digits by the number that they write, letters after everything else but digits that follow the same digits.
fn natural(a: &str, b: &str) -> Ordering {
    let mut digits = false;
    let mut started = false;
    let (mut left, mut right) = (a.chars(), b.chars());
    loop {
        let (rest_a, rest_b) = (left.as_str(), right.as_str());
        let (Some(x), Some(y)) = (left.next(), right.next()) else { return rest_a.len().cmp(&rest_b.len()) };
        if x == y {
            // Whether the digits before the difference began with another than zero.
            started = x.is_ascii_digit() && (digits && started || x != '0');
            digits = x.is_ascii_digit();
            continue;
        }
        return match (x.is_alphabetic(), y.is_alphabetic()) {
            (true, true) => x.cmp(&y),
            (true, false) => {
                if digits {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (false, true) => {
                if digits {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (false, false) => {
                let start = i64::from(started && (x == '0' || y == '0'));
                (leading_number(rest_a, start), x).cmp(&(leading_number(rest_b, start), y))
            }
        };
    }
}

/// The number that the leading digits append to `start`, and how many digits there are. Overflow wraps, as in Go.
fn leading_number(text: &str, start: i64) -> (i64, usize) {
    text.chars().take_while(char::is_ascii_digit).fold((start, 0), |(number, digits), c| {
        (number.wrapping_mul(10).wrapping_add(i64::from(u32::from(c) - u32::from('0'))), digits + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_one_line_is_quoted_as_goyaml_quotes_it_and_never_folded() {
        let long = "x".repeat(90);
        for (text, written) in [
            (format!("{long} b"), format!("{long} b")),
            (format!("{long} \\ b: c "), format!("'{long} \\ b: c '")),
            (format!("{long}\t  b"), format!("\"{long}\\t  b\"")),
            ("a\u{85} b\u{85}".to_owned(), "\"a\\N b\\N\"".to_owned()),
            ("\u{feff}a\u{85}b".to_owned(), "\"\\uFEFF\\x61\\N\\x62\"".to_owned()),
            ("a\u{85}\u{feff}b".to_owned(), "\"a\\N\\uFEFFb\"".to_owned()),
        ] {
            assert_eq!(in_one_line(&text), written);
        }
    }

    #[test]
    fn floats_have_an_exponent_from_a_million_on() {
        for (value, text) in [(8080.0, "8080"), (999_999.0, "999999"), (1e6, "1e+06"), (-0.0001, "-0.0001"), (1e-5, "1e-05"), (0.0, "0")] {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn keys_are_in_the_order_of_their_numbers() {
        for keys in [&["a1", "a2", "a10", "b"][..], &["1", "2", "10", "a"], &["a1b", "a10"], &["-", "_", "a"], &["a20x", "a100", "a101"]] {
            assert!(keys.windows(2).all(|pair| natural(pair[0], pair[1]).is_lt()), "{keys:?}");
        }
    }
}
