//! Reads JSON into the values of templates with the messages of Go's `encoding/json`. Numbers become `float64`.

use std::collections::BTreeMap;

use hub_gotemplate::{Text, Value};

use super::DEEPEST;

/// Go's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused(pub(super) String);

/// The value that `text` says; nil if it is no JSON. A number too large for a float is nil, the others stay, and it is told.
pub(super) fn read(text: &[u8]) -> (Value, Option<Refused>) {
    let mut reader = Reader { text, at: 0, out_of_range: None };
    match reader.document() {
        Ok(value) => (value, reader.out_of_range),
        Err(refused) => (Value::Nil, Some(refused)),
    }
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    out_of_range: Option<Refused>,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<Value, Refused> {
        let value = self.value(0)?;
        self.skip_space();
        match self.peek() {
            None => Ok(value),
            Some(_) => Err(self.unexpected("after top-level value")),
        }
    }

    fn value(&mut self, depth: u32) -> Result<Value, Refused> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Value::Text),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Nil),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    fn object(&mut self, depth: u32) -> Result<Value, Refused> {
        check_depth(depth)?;
        self.at += 1;
        let mut entries = BTreeMap::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(Value::Map(hub_gotemplate::Map::new(entries)));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            let key = self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return Err(self.unexpected("after object key"));
            }
            let value = self.value(depth + 1)?;
            entries.insert(key, value);
            self.skip_space();
            if self.take(b'}') {
                return Ok(Value::Map(hub_gotemplate::Map::new(entries)));
            }
            if !self.take(b',') {
                return Err(self.unexpected("after object key:value pair"));
            }
        }
    }

    fn array(&mut self, depth: u32) -> Result<Value, Refused> {
        check_depth(depth)?;
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(Value::list(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Value::list(items));
            }
            if !self.take(b',') {
                return Err(self.unexpected("after array element"));
            }
        }
    }

    fn word(&mut self, word: &'static str, value: Value) -> Result<Value, Refused> {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return Err(self.unexpected(&format!("in literal {word} (expecting {})", quoted(expected))));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, Refused> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits("in numeric literal")?;
        }
        if self.take(b'.') {
            self.digits("after decimal point in numeric literal")?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _signed = self.take(b'+') || self.take(b'-');
            self.digits("in exponent of numeric literal")?;
        }
        let written = String::from_utf8_lossy(&self.text[start..self.at]);
        match written.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => {
                let message = format!("json: cannot unmarshal number {written} into Go value of type float64");
                self.out_of_range.get_or_insert(Refused(message));
                Ok(Value::Nil)
            }
        }
    }

    fn digits(&mut self, context: &str) -> Result<(), Refused> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.unexpected(context));
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Text, Refused> {
        self.at += 1;
        let start = self.at;
        // Most texts have no escape and are taken as they are.
        while self.peek().is_some_and(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            self.at += 1;
        }
        if self.peek() == Some(b'"')
            && let Ok(text) = std::str::from_utf8(&self.text[start..self.at])
        {
            self.at += 1;
            return Ok(Text::from(text));
        }
        let mut bytes = self.text[start..self.at].to_vec();
        loop {
            match self.peek() {
                Some(b'"') => break self.at += 1,
                Some(b'\\') => self.escape(&mut bytes)?,
                Some(byte) if byte >= b' ' => {
                    bytes.push(byte);
                    self.at += 1;
                }
                _ => return Err(self.unexpected("in string literal")),
            }
        }
        Ok(Text::from(replaced(&bytes)))
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), Refused> {
        self.at += 1;
        bytes.push(match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0C,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let c = self.character()?;
                bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
                return Ok(());
            }
            _ => return Err(self.unexpected("in string escape code")),
        });
        self.at += 1;
        Ok(())
    }

    /// After a backslash: `uXXXX`, and the other half of a pair of surrogates. Half a pair is U+FFFD.
    fn character(&mut self) -> Result<char, Refused> {
        let unit = self.unit()?;
        if !(0xD800..0xE000).contains(&unit) {
            return Ok(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        if unit < 0xDC00 && self.text[self.at..].starts_with(b"\\u") {
            let before = self.at;
            self.at += 1;
            let low = self.unit()?;
            if (0xDC00..0xE000).contains(&low) {
                let code = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    /// `uXXXX`.
    fn unit(&mut self) -> Result<u32, Refused> {
        self.at += 1;
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            unit = unit * 16 + digit.ok_or_else(|| self.unexpected("in \\u hexadecimal character escape"))?;
            self.at += 1;
        }
        Ok(unit)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn unexpected(&self, context: &str) -> Refused {
        // To Go the text ends in a space, which may stand between values and in texts only.
        let allows_space = context.starts_with("looking for")
            || context == "in string literal"
            || context == "after array element"
            || context.starts_with("after object")
            || context.starts_with("after top-level");
        Refused(match self.peek() {
            None if allows_space => "unexpected end of JSON input".to_owned(),
            next => format!("invalid character {} {context}", quoted(next.unwrap_or(b' '))),
        })
    }
}

fn check_depth(depth: u32) -> Result<(), Refused> {
    if depth < DEEPEST { Ok(()) } else { Err(Refused("exceeded max depth".to_owned())) }
}

/// A byte as Go's messages show it: as the character with its number, in single quotes.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => "'\\\\'".to_owned(),
        0x07 => "'\\a'".to_owned(),
        0x08 => "'\\b'".to_owned(),
        0x0B => "'\\v'".to_owned(),
        0x0C => "'\\f'".to_owned(),
        b'\n' => "'\\n'".to_owned(),
        b'\r' => "'\\r'".to_owned(),
        b'\t' => "'\\t'".to_owned(),
        0x00..0x20 | 0x7F => format!("'\\x{byte:02x}'"),
        0x80..=0xA0 | 0xAD => format!("'\\u{byte:04x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}

/// The text with U+FFFD for every byte that is not UTF-8.
pub(super) fn replaced(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_refused_in_go_s_words() {
        for (text, message) in [
            ("", "unexpected end of JSON input"),
            ("  ", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("x", "invalid character 'x' looking for beginning of value"),
            ("'a'", "invalid character '\\'' looking for beginning of value"),
            ("{a}", "invalid character 'a' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("[1 2]", "invalid character '2' after array element"),
            ("1 2", "invalid character '2' after top-level value"),
            ("nul", "invalid character ' ' in literal null (expecting 'l')"),
            ("nux", "invalid character 'x' in literal null (expecting 'l')"),
            ("-", "invalid character ' ' in numeric literal"),
            ("\"\\", "invalid character ' ' in string escape code"),
            ("\"a", "unexpected end of JSON input"),
            ("[1", "unexpected end of JSON input"),
            ("-a", "invalid character 'a' in numeric literal"),
            ("01", "invalid character '1' after top-level value"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1e+x", "invalid character 'x' in exponent of numeric literal"),
            ("\"a\nb\"", "invalid character '\\n' in string literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape"),
            ("é", "invalid character 'Ã' looking for beginning of value"),
            ("[1e999]", "json: cannot unmarshal number 1e999 into Go value of type float64"),
        ] {
            assert_eq!(read(text.as_bytes()).1, Some(Refused(message.to_owned())), "{text:?}");
        }
        assert_eq!(read("[".repeat(300).as_bytes()).1, Some(Refused("exceeded max depth".to_owned())));
    }

    #[test]
    fn numbers_become_floats_and_half_a_surrogate_the_replacement_character() {
        let (value, refused) = read(br#" {"a":[1,-2.5e3,true,null],"b":"\u00e9\ud83d\ude00\ud83dx\n"} "#);
        assert_eq!(refused, None);
        assert_eq!(format!("{value:?}"), "{\"a\": [1.0, -2500.0, true, nil], \"b\": \"é\u{1F600}\u{FFFD}x\\n\"}");
        assert_eq!(format!("{:?}", read(b"\"a\xff\"").0), "\"a\u{FFFD}\"");
    }
}
