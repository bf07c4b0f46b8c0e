//! Go's quoting of strings and characters, and which characters count as what.

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use super::next_char;

/// Whether Go prints the character as it stands: letters, marks, numbers, punctuation, symbols, and the ASCII space.
pub fn is_print(char: char) -> bool {
    if char.is_ascii() {
        return (' '..='~').contains(&char);
    }
    matches!(
        char.general_category_group(),
        GeneralCategoryGroup::Letter
            | GeneralCategoryGroup::Mark
            | GeneralCategoryGroup::Number
            | GeneralCategoryGroup::Punctuation
            | GeneralCategoryGroup::Symbol
    )
}

/// As `unicode.IsLetter`.
pub fn is_letter(char: char) -> bool {
    if char.is_ascii() { char.is_ascii_alphabetic() } else { char.general_category_group() == GeneralCategoryGroup::Letter }
}

/// As `unicode.IsDigit`.
pub fn is_digit(char: char) -> bool {
    if char.is_ascii() { char.is_ascii_digit() } else { char.general_category() == GeneralCategory::DecimalNumber }
}

/// As `strconv.Quote`.
pub fn quote(bytes: &[u8]) -> String {
    String::from_utf8(quote_bytes(bytes)).unwrap_or_default()
}

/// As `strconv.Quote`, as bytes, which are always UTF-8.
pub fn quote_bytes(bytes: &[u8]) -> Vec<u8> {
    quote_with(bytes, b'"', false)
}

/// As `strconv.QuoteRune`.
pub fn quote_char(char: char) -> String {
    String::from_utf8(quote_char_with(char, false)).unwrap_or_default()
}

pub(super) fn quote_char_with(char: char, ascii: bool) -> Vec<u8> {
    let mut out = vec![b'\''];
    escape(&mut out, char, b'\'', ascii);
    out.push(b'\'');
    out
}

pub(super) fn quote_with(mut bytes: &[u8], mark: u8, ascii: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 2);
    out.push(mark);
    loop {
        // Most of a text stands as it is.
        let plain = bytes.iter().position(|byte| !matches!(byte, b' '..=b'~') || *byte == mark || *byte == b'\\').unwrap_or(bytes.len());
        out.extend_from_slice(&bytes[..plain]);
        bytes = &bytes[plain..];
        let Some((char, size)) = next_char(bytes) else { break };
        if char == char::REPLACEMENT_CHARACTER && size == 1 {
            out.extend_from_slice(format!("\\x{:02x}", bytes[0]).as_bytes());
        } else {
            escape(&mut out, char, mark, ascii);
        }
        bytes = &bytes[size..];
    }
    out.push(mark);
    out
}

fn escape(out: &mut Vec<u8>, char: char, mark: u8, ascii: bool) {
    if char == char::from(mark) || char == '\\' {
        out.extend_from_slice(&[b'\\', char as u8]);
    } else if is_print(char) && (!ascii || char.is_ascii()) {
        out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        let escaped = match char {
            '\x07' => "\\a".to_owned(),
            '\x08' => "\\b".to_owned(),
            '\x0c' => "\\f".to_owned(),
            '\n' => "\\n".to_owned(),
            '\r' => "\\r".to_owned(),
            '\t' => "\\t".to_owned(),
            '\x0b' => "\\v".to_owned(),
            _ if char < ' ' || char == '\x7f' => format!("\\x{:02x}", u32::from(char)),
            _ if u32::from(char) < 0x10000 => format!("\\u{:04x}", u32::from(char)),
            _ => format!("\\U{:08x}", u32::from(char)),
        };
        out.extend_from_slice(escaped.as_bytes());
    }
}

/// Whether the text can stand between backquotes: no control characters other than tab, no backquote, no byte order mark, valid.
pub(super) fn can_be_raw(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| {
        text.chars().all(|char| {
            !(char < ' ' && char != '\t') && char != '`' && char != '\x7f' && char != '\u{feff}' && char != char::REPLACEMENT_CHARACTER
        })
    })
}
