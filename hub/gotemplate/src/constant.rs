//! Constants of the language: Go's quoted strings, characters and numbers.

use crate::lex::Token;
use crate::tree::{Ideal, Number, Span};
use crate::{Text, fmt};

/// The first number that is too large for an `int`.
const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

/// What `strconv` says of what it does not understand.
const SYNTAX: &str = "invalid syntax";

/// What stands between the quotes, as `strconv.Unquote`.
pub(crate) fn unquote(quoted: &[u8]) -> Result<Text, String> {
    let (mark, inner) = match quoted {
        [mark @ (b'"' | b'`'), inner @ .., last] if mark == last => (*mark, inner),
        _ => return Err(SYNTAX.to_owned()),
    };
    if mark == b'`' {
        if memchr::memchr(b'\r', inner).is_none() {
            return Ok(Text::new(inner));
        }
        let kept: Vec<u8> = inner.iter().copied().filter(|byte| *byte != b'\r').collect();
        return Ok(kept.into());
    }
    if memchr::memchr(b'\\', inner).is_none() && std::str::from_utf8(inner).is_ok() {
        return Ok(Text::new(inner));
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while !rest.is_empty() {
        let (unescaped, size) = unescape(rest, mark)?;
        match unescaped {
            Unescaped::Byte(byte) => out.push(byte),
            Unescaped::Char(char) => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = &rest[size..];
    }
    Ok(out.into())
}

enum Unescaped {
    Byte(u8),
    Char(char),
}

/// The first character of `rest`, and how many bytes it took.
fn unescape(rest: &[u8], mark: u8) -> Result<(Unescaped, usize), String> {
    let syntax = || SYNTAX.to_owned();
    let [b'\\', escape, after @ ..] = rest else {
        let (char, size) = fmt::next_char(rest).ok_or_else(syntax)?;
        return if char == char::from(mark) { Err(syntax()) } else { Ok((Unescaped::Char(char), size)) };
    };
    let number = |digits: usize, radix: u32| {
        let text = after.get(..digits).filter(|text| text.iter().all(|byte| char::from(*byte).is_digit(radix)));
        text.and_then(|text| std::str::from_utf8(text).ok()).and_then(|text| u32::from_str_radix(text, radix).ok()).ok_or_else(syntax)
    };
    Ok(match escape {
        b'a' => (Unescaped::Byte(7), 2),
        b'b' => (Unescaped::Byte(8), 2),
        b'f' => (Unescaped::Byte(12), 2),
        b'n' => (Unescaped::Byte(b'\n'), 2),
        b'r' => (Unescaped::Byte(b'\r'), 2),
        b't' => (Unescaped::Byte(b'\t'), 2),
        b'v' => (Unescaped::Byte(11), 2),
        b'\\' => (Unescaped::Byte(b'\\'), 2),
        b'\'' | b'"' if *escape == mark => (Unescaped::Byte(mark), 2),
        b'x' => (Unescaped::Byte(number(2, 16)? as u8), 4),
        b'u' => (Unescaped::Char(char::from_u32(number(4, 16)?).ok_or_else(syntax)?), 6),
        b'U' => (Unescaped::Char(char::from_u32(number(8, 16)?).ok_or_else(syntax)?), 10),
        b'0'..=b'7' => {
            let octal = rest.get(1..4).filter(|text| text.iter().all(|byte| (b'0'..=b'7').contains(byte))).ok_or_else(syntax)?;
            let value = octal.iter().fold(0, |value, digit| value * 8 + u32::from(digit - b'0'));
            (Unescaped::Byte(u8::try_from(value).map_err(|_| syntax())?), 4)
        }
        _ => return Err(syntax()),
    })
}

/// A number constant, as all that it can be.
pub(crate) fn number(text: &[u8], token: Token, span: Span) -> Result<Number, String> {
    // Most are small and written plainly.
    if let Some(number) = small(text) {
        return Ok(Number { span, int: Some(number), float: Some(number as f64), ideal: Ideal::Int(number) });
    }
    let source = String::from_utf8_lossy(text);
    let complex = Number { span, int: None, float: None, ideal: Ideal::Complex };
    match token {
        Token::CharConstant => {
            let (unescaped, size) = unescape(&text[1..], b'\'')?;
            if text[1 + size..] != *b"'" {
                return Err(format!("malformed character constant: {source}"));
            }
            let code = match unescaped {
                Unescaped::Byte(byte) => i64::from(byte),
                Unescaped::Char(char) => i64::from(u32::from(char)),
            };
            return Ok(Number { span, int: Some(code), float: Some(code as f64), ideal: Ideal::Int(code) });
        }
        Token::Complex => return Ok(complex),
        _ if source.ends_with('i') && parse_float(&source[..source.len() - 1]).is_some() => return Ok(complex),
        _ => {}
    }
    let (unsigned, signed) = parse_integer(&source);
    if signed.is_some() || unsigned.is_some() {
        let float = signed.map(|number| number as f64).or(unsigned.map(|number| number as f64));
        return Ok(Number { span, int: signed, float, ideal: signed.map_or(Ideal::Overflow, Ideal::Int) });
    }
    let float = parse_float(&source).ok_or_else(|| format!("illegal number syntax: {}", fmt::quote(text)))?;
    if !source.contains(['.', 'e', 'E', 'p', 'P']) {
        return Err(format!("integer overflow: {}", fmt::quote(text)));
    }
    let int = Some(float).filter(|float| float.trunc() == *float && (-TWO_TO_63..TWO_TO_63).contains(float)).map(|float| float as i64);
    Ok(Number { span, int, float: Some(float), ideal: Ideal::Float(float) })
}

/// The number of at most nine decimal digits that `text` is, if it is nothing else. One that begins with zero may be octal.
fn small(text: &[u8]) -> Option<i64> {
    let is_plain = matches!(text, [b'1'..=b'9', ..] | [_]) && text.len() <= 9 && text.iter().all(u8::is_ascii_digit);
    is_plain.then(|| text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// As `strconv.ParseUint(text, 0, 64)` and `strconv.ParseInt(text, 0, 64)`.
fn parse_integer(text: &str) -> (Option<u64>, Option<i64>) {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if !underscores_separate_digits(&lower) {
        return (None, None);
    }
    let body = body.replace('_', "");
    if body.starts_with(['+', '-']) {
        return (None, None);
    }
    let magnitude = u64::from_str_radix(&body, radix).ok();
    let signed =
        magnitude.and_then(|magnitude| if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() });
    let has_sign = text.len() != digits.len();
    (magnitude.filter(|magnitude| !has_sign || *magnitude == 0), signed)
}

/// Go's rule: an underscore stands between digits, or between the prefix of a base and a digit.
fn underscores_separate_digits(lower: &str) -> bool {
    if !lower.contains('_') {
        return true;
    }
    let bytes = lower.as_bytes();
    let (has_prefix, body) = match bytes {
        [b'0', b'x' | b'o' | b'b', body @ ..] => (true, body),
        _ => (false, bytes),
    };
    let hexadecimal = bytes.get(1) == Some(&b'x');
    let is_digit = |byte: u8| byte.is_ascii_digit() || hexadecimal && byte.is_ascii_hexdigit();
    body.iter().enumerate().filter(|(_, byte)| **byte == b'_').all(|(index, _)| {
        let before = if index == 0 { has_prefix } else { is_digit(body[index - 1]) };
        before && body.get(index + 1).is_some_and(|byte| is_digit(*byte))
    })
}

/// As `strconv.ParseFloat(text, 64)`.
fn parse_float(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let unsigned = lower.trim_start_matches(['+', '-']);
    if lower.len() - unsigned.len() > 1 {
        return None;
    }
    if !underscores_separate_digits(unsigned) {
        return None;
    }
    if let Some(hexadecimal) = unsigned.strip_prefix("0x") {
        let magnitude = parse_hexadecimal_float(&hexadecimal.replace('_', ""))?;
        return Some(if lower.starts_with('-') { -magnitude } else { magnitude });
    }
    let is_decimal = unsigned.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'+' | b'-' | b'_'));
    if !is_decimal {
        return None;
    }
    lower.replace('_', "").parse().ok().filter(|number: &f64| number.is_finite())
}

/// `1.8p3`, without the `0x`. More than 60 bits of mantissa are cut.
fn parse_hexadecimal_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut exponent: i32 = exponent.parse().ok().filter(|exponent: &i32| exponent.abs() < 5000)?;
    let mut value = 0u64;
    for (index, digit) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = digit.to_digit(16)?;
        let behind_point = index >= whole.len();
        if value >> 60 == 0 {
            value = value * 16 + u64::from(digit);
            exponent -= if behind_point { 4 } else { 0 };
        } else {
            exponent += if behind_point { 0 } else { 4 };
        }
    }
    // In two steps, so that a tiny number does not vanish on the way.
    let half = exponent / 2;
    Some(value as f64 * 2f64.powi(half) * 2f64.powi(exponent - half)).filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_number_is_what_the_long_way_makes_of_it() {
        for text in ["0", "7", "10", "999999999", "123456789"] {
            assert_eq!((small(text.as_bytes()), small(text.as_bytes())), (text.parse().ok(), parse_integer(text).1), "{text}");
        }
        for text in ["", "00", "08", "1_0", "0x1", "-1", "1.", "1234567890", "1i", "a"] {
            assert_eq!(small(text.as_bytes()), None, "{text}");
        }
    }
}
