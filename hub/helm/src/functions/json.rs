//! JSON in and out, byte for byte as Go's `encoding/json` writes it and with its messages. Reading is left to `json_read`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub_gotemplate::{Args, Call, CallError, Function, Text, Type, Value};

use super::json_read::{self, Refused};
use super::{DEEPEST, function, panics};
use crate::objects::{self, Field};

/// Writing and reading of JSON.
pub(super) const FUNCTIONS: &[Function] = &[
    function("toJson", &[Type::Any], |call, args| to_json(call, args, Style::COMPACT, Unable::Empty)),
    function("mustToJson", &[Type::Any], |call, args| to_json(call, args, Style::COMPACT, Unable::Fails)),
    function("toPrettyJson", &[Type::Any], |call, args| to_json(call, args, Style::PRETTY, Unable::Empty)),
    function("mustToPrettyJson", &[Type::Any], |call, args| to_json(call, args, Style::PRETTY, Unable::Fails)),
    function("toRawJson", &[Type::Any], |call, args| to_json(call, args, Style::RAW, Unable::Fails)),
    function("mustToRawJson", &[Type::Any], |call, args| to_json(call, args, Style::RAW, Unable::Fails)),
    function("fromJson", &[Type::Text], from_json),
    function("mustFromJson", &[Type::Text], must_from_json),
    function("fromJsonArray", &[Type::Text], from_json_array),
];

/// What a function gives for a value that cannot be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unable {
    /// The empty text.
    Empty,
    /// It fails.
    Fails,
}

impl Unable {
    /// The result of a writing function.
    pub(super) fn result(self, written: Result<Text, Unwritable>) -> Result<Value, CallError> {
        match written {
            Ok(text) => Ok(Value::Text(text)),
            Err(Unwritable::Exceeded(error)) => Err(error),
            Err(Unwritable::Unsupported(message)) => match self {
                Self::Empty => Ok(Value::text("")),
                Self::Fails => Err(CallError::failed(message)),
            },
        }
    }
}

/// Why a value cannot be written.
pub(super) enum Unwritable {
    /// The format has no such value.
    Unsupported(String),
    /// A budget is used up.
    Exceeded(CallError),
}

impl From<CallError> for Unwritable {
    fn from(error: CallError) -> Self {
        Self::Exceeded(error)
    }
}

fn to_json(call: &mut Call<'_>, args: Args<'_>, style: Style, unable: Unable) -> Result<Value, CallError> {
    unable.result(write(call, args.any(0), style))
}

fn from_json(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    call.spend(args.text(0).len())?;
    Ok(match json_read::read(args.text(0)) {
        // Go decodes null into a nil map.
        (Value::Nil, None) => hub_gotemplate::Map::nil().into(),
        read => map_or_error(read, ""),
    })
}

fn must_from_json(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    call.spend(args.text(0).len())?;
    match json_read::read(args.text(0)) {
        (value, None) => Ok(value),
        (_, Some(Refused(message))) => Err(CallError::failed(message)),
    }
}

fn from_json_array(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    call.spend(args.text(0).len())?;
    Ok(list_or_error(json_read::read(args.text(0)), ""))
}

/// What decoding into a `map[string]interface {}` gives: with the message at `Error` if it cannot be.
pub(super) fn map_or_error((value, refused): (Value, Option<Refused>), prefix: &str) -> Value {
    let refused = refused.map(|Refused(message)| message);
    let (map, message) = match value {
        Value::Map(map) => (map, refused),
        Value::Nil => (hub_gotemplate::Map::default(), refused),
        other => (hub_gotemplate::Map::default(), refused.or_else(|| Some(mismatch(&other, "map[string]interface {}")))),
    };
    if let Some(message) = message {
        map.set(Text::from("Error"), Value::text(format!("{prefix}{message}")));
    }
    Value::Map(map)
}

/// What decoding into a `[]interface {}` gives: the message alone if it cannot be.
pub(super) fn list_or_error((value, refused): (Value, Option<Refused>), prefix: &str) -> Value {
    let refused = refused.map(|Refused(message)| message);
    let message = match value {
        Value::List(_) if refused.is_none() => return value,
        Value::Nil if refused.is_none() => return Value::list(Vec::new()),
        other => refused.unwrap_or_else(|| mismatch(&other, "[]interface {}")),
    };
    Value::list(vec![Value::text(format!("{prefix}{message}"))])
}

fn mismatch(value: &Value, wanted: &str) -> String {
    let found = match value {
        Value::Bool(_) => "bool",
        Value::Text(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
        _ => "number",
    };
    format!("json: cannot unmarshal {found} into Go value of type {wanted}")
}

/// How JSON looks.
#[derive(Clone, Copy)]
pub(super) struct Style {
    /// `<`, `>` and `&` as escapes.
    escapes_html: bool,
    /// Two columns for each level, everything in a line of its own.
    indents: bool,
}

impl Style {
    pub(super) const COMPACT: Self = Self { escapes_html: true, indents: false };
    const PRETTY: Self = Self { escapes_html: true, indents: true };
    const RAW: Self = Self { escapes_html: false, indents: false };
}

/// `value` as JSON.
pub(super) fn write(call: &mut Call<'_>, value: &Value, style: Style) -> Result<Text, Unwritable> {
    let mut writer = Writer { call, out: Vec::new(), style, spent: 0 };
    writer.value(value, 0)?;
    let written = writer.out.len() - writer.spent;
    writer.call.spend(written)?;
    Ok(writer.out.into())
}

struct Writer<'c, 'h> {
    call: &'c mut Call<'h>,
    out: Vec<u8>,
    style: Style,
    /// Bytes of `out` that are taken from the budget already.
    spent: usize,
}

/// Bytes after which what was written is taken from the budget.
const PAGE: usize = 4096;

impl Writer<'_, '_> {
    fn value(&mut self, value: &Value, depth: u32) -> Result<(), Unwritable> {
        if self.out.len() - self.spent > PAGE {
            self.call.spend(self.out.len() - self.spent)?;
            self.spent = self.out.len();
        }
        match value {
            Value::Nil => self.out.extend(b"null"),
            Value::Bool(value) => self.out.extend(if *value { &b"true"[..] } else { b"false" }),
            Value::Int(value) | Value::Int64(value) => self.out.extend(value.to_string().into_bytes()),
            Value::Float(value) => self.out.extend(float(*value).ok_or_else(|| unsupported_float(*value))?.into_bytes()),
            Value::Text(text) => push_text(&mut self.out, text, self.style.escapes_html),
            Value::List(list) if list.is_nil() => self.out.extend(b"null"),
            Value::Map(map) if map.is_nil() => self.out.extend(b"null"),
            Value::List(list) => self.each(depth, b'[', list.items().iter(), b']', |writer, item| writer.value(item, depth + 1))?,
            Value::Map(map) => {
                self.each(depth, b'{', map.entries().iter(), b'}', |writer, (key, value)| writer.entry(key, value, depth))?;
            }
            Value::Object(object) => {
                if depth >= DEEPEST {
                    return Err(panics::too_deep().into());
                }
                if let Some(bytes) = objects::bytes(&**object) {
                    push_text(&mut self.out, STANDARD.encode(bytes).as_bytes(), self.style.escapes_html);
                } else if let Some(mut fields) = objects::fields(&**object) {
                    fields.retain(|field| !field.is_left_out);
                    self.each(depth, b'{', fields.iter(), b'}', |writer, Field { json_name, value, .. }| {
                        writer.entry(json_name.as_bytes(), value, depth)
                    })?;
                } else {
                    self.value(&object.plain(), depth + 1)?;
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, key: &[u8], value: &Value, depth: u32) -> Result<(), Unwritable> {
        push_text(&mut self.out, key, self.style.escapes_html);
        self.out.extend(if self.style.indents { &b": "[..] } else { b":" });
        self.value(value, depth + 1)
    }

    fn each<T>(
        &mut self,
        depth: u32,
        open: u8,
        items: impl ExactSizeIterator<Item = T>,
        close: u8,
        mut write: impl FnMut(&mut Self, T) -> Result<(), Unwritable>,
    ) -> Result<(), Unwritable> {
        if depth >= DEEPEST {
            return Err(panics::too_deep().into());
        }
        let any = items.len() > 0;
        self.out.push(open);
        for (place, item) in items.enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            self.line_break(depth + 1);
            write(self, item)?;
        }
        if any {
            self.line_break(depth);
        }
        self.out.push(close);
        Ok(())
    }

    fn line_break(&mut self, depth: u32) {
        if self.style.indents {
            self.out.push(b'\n');
            self.out.extend(std::iter::repeat_n(b' ', 2 * depth as usize));
        }
    }
}

/// The message for a float that JSON does not have.
pub(super) fn unsupported_float(value: f64) -> Unwritable {
    let name = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    };
    Unwritable::Unsupported(format!("json: unsupported value: {name}"))
}

/// A float as JSON: the fewest digits that read back, with an exponent below 10^-6 and from 10^21 on. `None` if it is not finite.
pub(super) fn float(value: f64) -> Option<String> {
    /// Below it every integer is a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        let sign = if value == 0.0 && value.is_sign_negative() { "-" } else { "" };
        return Some(format!("{sign}{}", value as i64));
    }
    // Of two shortest texts that are equally near, JSON's writer takes the even one, as Go does; `f64`'s own `Display` takes the upper one.
    let shortest = serde_json::Number::from_f64(value)?.to_string();
    let (sign, magnitude) = shortest.strip_prefix('-').map_or(("", shortest.as_str()), |magnitude| ("-", magnitude));
    let (digits, exponent) = scientific(magnitude);
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    Some(if !(-6..21).contains(&exponent) {
        let (first, others) = digits.split_at(1);
        let point = if others.is_empty() { "" } else { "." };
        format!("{sign}{first}{point}{others}e{exponent:+}")
    } else if exponent < 0 {
        format!("{sign}0.{:0>width$}{digits}", "", width = (-exponent - 1) as usize)
    } else if exponent + 1 >= count {
        format!("{sign}{digits:0<width$}", width = (exponent + 1) as usize)
    } else {
        let (whole, fraction) = digits.split_at((exponent + 1) as usize);
        format!("{sign}{whole}.{fraction}")
    })
}

/// The digits of a decimal text, without zeros at the ends, and the exponent of the first: `0.0120` is `12`, -2.
pub(super) fn scientific(magnitude: &str) -> (String, i32) {
    let (mantissa, exponent) = magnitude.split_once('e').unwrap_or((magnitude, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0');
    if digits.is_empty() {
        return ("0".to_owned(), 0);
    }
    let zeros = all.len() - digits.len();
    // A float has at most 309 digits before and 324 after the point.
    (digits.trim_end_matches('0').to_owned(), exponent + whole.len() as i32 - 1 - zeros as i32)
}

/// Which ASCII characters stand for themselves in a text.
const fn stands_for_itself(byte: u8, escapes_html: bool) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\' && !(escapes_html && matches!(byte, b'<' | b'>' | b'&'))
}

/// A text in its quotes.
pub(super) fn push_text(out: &mut Vec<u8>, text: &[u8], escapes_html: bool) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        push_valid(out, chunk.valid(), escapes_html);
        for _ in chunk.invalid() {
            out.extend(b"\\ufffd");
        }
    }
    out.push(b'"');
}

fn push_valid(out: &mut Vec<u8>, text: &str, escapes_html: bool) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let length = match byte {
            0xE2 if matches!(bytes[at..], [_, 0x80, 0xA8 | 0xA9, ..]) => 3,
            _ if stands_for_itself(byte, escapes_html) => continue,
            _ => 1,
        };
        out.extend(&bytes[from..at]);
        from = at + length;
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x08 => out.extend(b"\\b"),
            0x0C => out.extend(b"\\f"),
            0xE2 => out.extend(if bytes[at + 2] == 0xA8 { b"\\u2028" } else { b"\\u2029" }),
            _ => {
                out.extend(b"\\u00");
                out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xF)]]);
            }
        }
    }
    out.extend(&bytes[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (-2.0, "-2"),
            (1e6, "1000000"),
            (123_456_789.0, "123456789"),
            (0.1, "0.1"),
            (1e-6, "0.000001"),
            (1.25e-7, "1.25e-7"),
            (1e-10, "1e-10"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (18_446_744_073_709_552_000.0, "18446744073709552000"),
            (979_875_214_924_630.2, "979875214924630.2"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(float(value).as_deref(), Some(text));
        }
        assert_eq!(float(f64::INFINITY), None);
        assert_eq!(float(f64::NAN), None);
    }

    #[test]
    fn texts_are_escaped_as_go_escapes_them() {
        for (text, compact, raw) in [
            (&b"plain"[..], "\"plain\"", "\"plain\""),
            (b"<a href=\"x\">&</a>", "\"\\u003ca href=\\\"x\\\"\\u003e\\u0026\\u003c/a\\u003e\"", "\"<a href=\\\"x\\\">&</a>\""),
            (b"\x00\x08\x0c\n\r\t\x1f\x7f\\", "\"\\u0000\\b\\f\\n\\r\\t\\u001f\x7f\\\\\"", "\"\\u0000\\b\\f\\n\\r\\t\\u001f\x7f\\\\\""),
            ("é\u{2028}\u{2029}\u{1F600}".as_bytes(), "\"é\\u2028\\u2029\u{1F600}\"", "\"é\\u2028\\u2029\u{1F600}\""),
            (b"a\xff\xe2\x80b", "\"a\\ufffd\\ufffd\\ufffdb\"", "\"a\\ufffd\\ufffd\\ufffdb\""),
        ] {
            for (escapes_html, wanted) in [(true, compact), (false, raw)] {
                let mut out = Vec::new();
                push_text(&mut out, text, escapes_html);
                assert_eq!(String::from_utf8_lossy(&out), wanted);
            }
        }
    }
}
