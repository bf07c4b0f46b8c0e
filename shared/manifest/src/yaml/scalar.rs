//! What a plain scalar is: Go's rules, which kubectl and kustomize share but for booleans and dates. The order of the tests is that of
//! `resolve.go` in goyaml.v2 and goyaml.v3 (`sigs.k8s.io/yaml`).

use serde_json::Number;

use super::YamlMode;

/// The meaning of a plain scalar.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Plain {
    Null,
    Bool(bool),
    /// Written without fraction and exponent.
    Int(Number),
    /// Written with a fraction or an exponent, or an integer beyond 64 bits.
    Float(f64),
    /// Infinity or not-a-number, as kubectl spells it in a key.
    NotFinite(&'static str),
    /// `<<`.
    Merge,
    /// A date, in RFC 3339.
    Timestamp(String),
    /// The text itself.
    Text,
}

/// Resolves a plain scalar without tag.
pub(super) fn resolve(text: &str, mode: YamlMode) -> Plain {
    let Some(&first) = text.as_bytes().first() else { return Plain::Null };
    match first {
        b'0'..=b'9' | b'+' | b'-' | b'.' => resolve_number(text, first, mode),
        b'<' if text == "<<" => Plain::Merge,
        b'~' if text.len() == 1 => Plain::Null,
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' => resolve_word(text, mode),
        _ => Plain::Text,
    }
}

/// The longest plain scalar that starts with a letter and is no text: `false`.
const LONGEST_WORD: usize = 5;

/// Whether a plain scalar is text by its first byte and its length; what is not may still be text.
#[inline]
pub(super) fn is_text_at_sight(text: &str) -> bool {
    match text.as_bytes() {
        [] | [b'0'..=b'9' | b'+' | b'-' | b'.' | b'<' | b'~', ..] => false,
        [b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O', ..] => text.len() > LONGEST_WORD,
        _ => true,
    }
}

fn resolve_word(text: &str, mode: YamlMode) -> Plain {
    if text.len() > LONGEST_WORD {
        return Plain::Text;
    }
    match text {
        "null" | "Null" | "NULL" => Plain::Null,
        "true" | "True" | "TRUE" => Plain::Bool(true),
        "false" | "False" | "FALSE" => Plain::Bool(false),
        _ if mode == YamlMode::Kustomize => Plain::Text,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Plain::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Plain::Bool(false),
        _ => Plain::Text,
    }
}

fn resolve_number(text: &str, first: u8, mode: YamlMode) -> Plain {
    if text.len() <= 5 {
        match text {
            ".nan" | ".NaN" | ".NAN" => return Plain::NotFinite(".nan"),
            ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Plain::NotFinite(".inf"),
            "-.inf" | "-.Inf" | "-.INF" => return Plain::NotFinite("-.inf"),
            _ => {}
        }
    }
    if first == b'.' {
        return if is_float(text) { float(text) } else { Plain::Text };
    }
    if mode == YamlMode::Kustomize
        && let Some(timestamp) = timestamp(text)
    {
        return Plain::Timestamp(timestamp);
    }
    if text.contains('_') { decimal(&text.replace('_', "")) } else { decimal(text) }
}

/// Integers in Go's base 0, then floats.
fn decimal(text: &str) -> Plain {
    if let Some(number) = integer(text) {
        return Plain::Int(number);
    }
    if is_float(text) { float(text) } else { Plain::Text }
}

/// `strconv.ParseInt(text, 0, 64)`, then `strconv.ParseUint(text, 0, 64)`: `0x`, `0o`, `0b`, and a leading zero for octal.
fn integer(text: &str) -> Option<Number> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (Some(b'-'), &text[1..]),
        b'+' => (Some(b'+'), &text[1..]),
        _ => (None, text),
    };
    let bytes = digits.as_bytes();
    let (radix, digits) = match (bytes.first()?, bytes.get(1)) {
        (b'0', Some(b'x' | b'X')) if bytes.len() > 2 => (16, &digits[2..]),
        (b'0', Some(b'o' | b'O')) if bytes.len() > 2 => (8, &digits[2..]),
        (b'0', Some(b'b' | b'B')) if bytes.len() > 2 => (2, &digits[2..]),
        (b'0', Some(_)) => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.bytes().all(|digit| digit.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    match sign {
        Some(b'-') => 0_i64.checked_sub_unsigned(magnitude).map(Number::from),
        Some(_) => i64::try_from(magnitude).ok().map(Number::from),
        None => Some(Number::from(magnitude)),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let after_whole = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let has_whole = after_whole.len() < rest.len();
    let after_fraction = match after_whole.strip_prefix('.') {
        Some(fraction) => {
            let after = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if !has_whole && after.len() == fraction.len() {
                return false;
            }
            after
        }
        None if has_whole => after_whole,
        None => return false,
    };
    match after_fraction.strip_prefix(['e', 'E']) {
        Some(exponent) => {
            let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit())
        }
        None => after_fraction.is_empty(),
    }
}

/// What overflows stays text, as in Go.
fn float(text: &str) -> Plain {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Plain::Float(number),
        _ => Plain::Text,
    }
}

/// A float as JSON number; one without a fraction is an integer if 64 bits hold it, as Go's encoder writes it.
pub(super) fn number(float: f64) -> Number {
    crate::canonical::integral(float).unwrap_or_else(|| Number::from_f64(float).unwrap_or_else(|| Number::from(0)))
}

/// A float key as kubectl spells it: Go's `FormatFloat(f, 'g', -1, 32)`, infinity as in YAML.
pub(super) fn key_of_float(float: f64) -> String {
    // The narrowing is kubectl's: it formats with the digits that a 32-bit float needs.
    let narrow = float as f32;
    if narrow == 0.0 {
        return if narrow.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    if narrow.is_infinite() {
        return if narrow > 0.0 { ".inf".to_owned() } else { "-.inf".to_owned() };
    }
    let scientific = format!("{narrow:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..6).contains(&exponent) {
        format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
    } else {
        format!("{narrow}")
    }
}

/// The date formats that goyaml.v3 takes, as RFC 3339: `2001-1-2`, `2001-1-2 15:4:5.9`, `2001-1-2T15:4:5.9Z`, `…+07:00`.
pub(super) fn timestamp(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || bytes[4] != b'-' || !bytes[..4].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut cursor = Cursor { rest: text };
    let year = cursor.fixed(4)?;
    cursor.skip('-')?;
    let month = cursor.one_or_two()?;
    cursor.skip('-')?;
    let day = cursor.one_or_two()?;
    if !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) {
        return None;
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    if cursor.rest.is_empty() {
        return Some(format!("{date}T00:00:00Z"));
    }
    let zoned = match cursor.rest.as_bytes()[0] {
        b'T' | b't' => true,
        b' ' => false,
        _ => return None,
    };
    cursor.rest = &cursor.rest[1..];
    let hour = cursor.one_or_two()?;
    cursor.skip(':')?;
    let minute = cursor.one_or_two()?;
    cursor.skip(':')?;
    let second = cursor.one_or_two()?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut fraction = String::new();
    if let Some(rest) = cursor.rest.strip_prefix(['.', ',']) {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = &rest[..rest.len() - after.len()];
        if digits.is_empty() {
            return None;
        }
        let kept = digits[..digits.len().min(9)].trim_end_matches('0');
        if !kept.is_empty() {
            fraction = format!(".{kept}");
        }
        cursor.rest = after;
    }
    let zone = match (zoned, cursor.rest) {
        (false, "") | (true, "Z") => "Z".to_owned(),
        (true, zone) => offset(zone)?,
        _ => return None,
    };
    Some(format!("{date}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}"))
}

/// `±hh:mm`; no offset at all is written `Z`.
fn offset(zone: &str) -> Option<String> {
    let mut cursor = Cursor { rest: zone.strip_prefix(['+', '-'])? };
    let hours = cursor.fixed(2)?;
    cursor.skip(':')?;
    let minutes = cursor.fixed(2)?;
    if !cursor.rest.is_empty() || hours > 24 || minutes > 60 {
        return None;
    }
    Some(if hours == 0 && minutes == 0 { "Z".to_owned() } else { zone.to_owned() })
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Reads digits from the front of a text.
struct Cursor<'t> {
    rest: &'t str,
}

impl Cursor<'_> {
    fn fixed(&mut self, count: usize) -> Option<u32> {
        let digits = self.rest.get(..count).filter(|digits| digits.bytes().all(|c| c.is_ascii_digit()))?;
        self.rest = &self.rest[count..];
        digits.parse().ok()
    }

    fn one_or_two(&mut self) -> Option<u32> {
        let two = self.rest.len() > 1 && self.rest.as_bytes()[1].is_ascii_digit();
        self.fixed(if two { 2 } else { 1 })
    }

    fn skip(&mut self, separator: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(separator)?;
        Some(())
    }
}
