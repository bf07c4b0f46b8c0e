//! The canonical form of a value and its digest: equal values have equal bytes. Sealing and storage are left to `shared-release`.

use serde_json::{Number, Value};
use shared_model::Digest;

/// JSON with sorted keys and no whitespace; a float without fraction is an integer if 64 bits hold it, other floats are written as ECMAScript
/// and RFC 8785 write them. The form is spelled out here and depends on no library's taste, for digests are kept for years.
/// It reads back as the same value, but for floats that became integers.
pub fn canonical_json(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, value);
    out
}

/// The digest of the canonical form.
pub fn digest(value: &Value) -> Digest {
    Digest::of(&canonical_json(value))
}

/// The integer that a float equals, if 64 bits hold it.
pub(crate) fn integral(float: f64) -> Option<Number> {
    /// 2^63: all smaller floats without fraction are exact 64-bit integers.
    const SIGNED: f64 = 9_223_372_036_854_775_808.0;
    if float.fract() != 0.0 {
        None
    } else if (-SIGNED..SIGNED).contains(&float) {
        Some(Number::from(float as i64))
    } else if (SIGNED..SIGNED * 2.0).contains(&float) {
        Some(Number::from(float as u64))
    } else {
        None
    }
}

/// The canonical number.
pub(crate) fn canonical_number(number: &Number) -> Number {
    if number.is_f64() { number.as_f64().and_then(integral).unwrap_or_else(|| number.clone()) } else { number.clone() }
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(claim) => out.extend_from_slice(if *claim { b"true" } else { b"false" }),
        Value::Number(number) => write_number(out, &canonical_number(number)),
        Value::String(text) => write_text(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write(out, item);
            }
            out.push(b']');
        }
        // The map is a BTreeMap (serde_json without preserve_order): it iterates in the order of keys.
        Value::Object(map) => {
            out.push(b'{');
            for (position, (key, value)) in map.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_text(out, key);
                out.push(b':');
                write(out, value);
            }
            out.push(b'}');
        }
    }
}

fn write_number(out: &mut Vec<u8>, number: &Number) {
    let text = match number.as_f64().filter(|_| number.is_f64()) {
        Some(float) => float_text(float),
        None => number.to_string(),
    };
    out.extend_from_slice(text.as_bytes());
}

/// The shortest digits that give the float back (Rust's `{:e}`), with a decimal point from 1e-6 up to 1e21 and an exponent outside.
fn float_text(float: f64) -> String {
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(-6..=20) => format!("{float}"),
        Ok(exponent) => format!("{mantissa}e{exponent:+}"),
        Err(_) => scientific,
    }
}

/// JSON's shortest escapes: quote, backslash and control characters only.
fn write_text(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut clean = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            0..=0x1f => b'u',
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[clean..at]);
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            out.extend_from_slice(&[b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        clean = at + 1;
    }
    out.extend_from_slice(&text.as_bytes()[clean..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_values_have_equal_bytes() {
        let canonical = |value: &Value| String::from_utf8(canonical_json(value)).unwrap();
        assert_eq!(
            canonical(&json!({"b": 1.0, "a": [true, null, "ä<\u{1}\n\"\\"]})),
            "{\"a\":[true,null,\"ä<\\u0001\\n\\\"\\\\\"],\"b\":1}"
        );
        assert_eq!(
            canonical(&json!([1e3, -0.0, 0.1, 1e21, 1e19, -1e18, 1.5e-7, 1.5e-6, 1e20])),
            "[1000,0,0.1,1e+21,10000000000000000000,-1000000000000000000,1.5e-7,0.0000015,100000000000000000000]"
        );
        assert_eq!(digest(&json!({"a": 1})), digest(&json!({"a": 1.0})));
        assert_ne!(digest(&json!({"a": 1})), digest(&json!({"a": "1"})));
    }
}
