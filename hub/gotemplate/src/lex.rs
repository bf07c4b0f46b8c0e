//! Cuts the source of a template into texts and tokens, with Go's rules for trimming. It does not look into numbers and quoted strings; the
//! parser does.

use crate::fmt::{is_digit, is_letter, next_char};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// The lexer's error; its message is in [`Lexer::error`].
    Error,
    Bool,
    /// An ASCII character that means something to no one but the parser: a comma.
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    String,
    Text,
    Variable,
    Block,
    Break,
    Continue,
    Dot,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

impl Token {
    pub(crate) fn is_keyword(self) -> bool {
        use Token::{Block, Break, Continue, Define, Dot, Else, End, If, Nil, Range, Template, With};
        matches!(self, Block | Break | Continue | Define | Dot | Else | End | If | Nil | Range | Template | With)
    }
}

/// A token and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) token: Token,
    /// There is space before it.
    pub(crate) spaced: bool,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// The ASCII characters that names are made of.
const IS_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_';
        byte += 1;
    }
    table
};

/// Where the lexer stands in a source.
pub(crate) struct Lexer<'s> {
    source: &'s [u8],
    at: usize,
    start: usize,
    inside: bool,
    parens: u32,
    spaced: bool,
    /// Whether `break` and `continue` are no functions.
    pub(crate) loops: (bool, bool),
    /// What is wrong, after a [`Token::Error`].
    pub(crate) error: String,
}

impl<'s> Lexer<'s> {
    pub(crate) fn new(source: &'s [u8]) -> Self {
        Self { source, at: 0, start: 0, inside: false, parens: 0, spaced: false, loops: (true, true), error: String::new() }
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Item {
        if self.inside { self.action() } else { self.text() }
    }

    fn rest(&self) -> &'s [u8] {
        &self.source[self.at..]
    }

    fn emit(&mut self, token: Token) -> Item {
        let item = Item { token, spaced: self.spaced, start: self.start as u32, end: self.at as u32 };
        self.start = self.at;
        item
    }

    fn fail(&mut self, message: impl Into<String>) -> Item {
        self.error = message.into();
        Item { token: Token::Error, spaced: self.spaced, start: self.start as u32, end: self.start as u32 }
    }

    fn text(&mut self) -> Item {
        self.spaced = false;
        loop {
            let Some(length) = find_delimiter(self.rest()) else {
                self.at = self.source.len();
                return if self.at > self.start { self.emit(Token::Text) } else { self.emit(Token::Eof) };
            };
            if length > 0 {
                let delimiter = self.at + length;
                let mut end = delimiter;
                if has_left_trim(&self.source[delimiter + 2..]) {
                    end = self.start + trim_end(&self.source[self.start..delimiter]).len();
                }
                self.at = end;
                let item = self.emit(Token::Text);
                self.at = delimiter;
                self.start = delimiter;
                if item.end > item.start {
                    return item;
                }
            }
            // At the left delimiter.
            self.at += 2;
            let marker = if has_left_trim(self.rest()) { 2 } else { 0 };
            if !self.source[self.at + marker..].starts_with(b"/*") {
                let item = self.emit(Token::LeftDelim);
                self.inside = true;
                self.at += marker;
                self.start = self.at;
                self.parens = 0;
                return item;
            }
            self.at += marker;
            self.start = self.at;
            if let Err(message) = self.comment() {
                return self.fail(message);
            }
        }
    }

    fn comment(&mut self) -> Result<(), &'static str> {
        self.at += 2;
        let length = memchr::memmem::find(self.rest(), b"*/").ok_or("unclosed comment")?;
        self.at += length + 2;
        let trim = self.right_delimiter().ok_or("comment ends before closing delimiter")?;
        self.close(trim);
        Ok(())
    }

    /// Whether a right delimiter comes, and if so whether it trims.
    fn right_delimiter(&self) -> Option<bool> {
        let rest = self.rest();
        match rest {
            [b'}', b'}', ..] => Some(false),
            [space, b'-', b'}', b'}', ..] if is_space(*space) => Some(true),
            _ => None,
        }
    }

    /// Goes past the right delimiter that comes.
    fn close(&mut self, trim: bool) {
        self.at += if trim { 4 } else { 2 };
        if trim {
            self.at += self.rest().iter().take_while(|byte| is_space(**byte)).count();
        }
        self.start = self.at;
    }

    fn action(&mut self) -> Item {
        self.spaced = false;
        while let Some(byte) = self.source.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {
                    if self.source.get(self.at + 1) == Some(&b'-') && self.source[self.at + 2..].starts_with(b"}}") {
                        return self.end_of_action(true);
                    }
                    self.at += 1;
                    self.start = self.at;
                    self.spaced = true;
                }
                b'a'..=b'z' | b'A'..=b'Z' | b'_' => return self.identifier(),
                b'.' if matches!(self.source.get(self.at + 1), Some(b'a'..=b'z' | b'A'..=b'Z' | b'_')) => {
                    self.at += 1;
                    return self.name(Token::Field);
                }
                b'}' if self.source.get(self.at + 1) == Some(&b'}') => return self.end_of_action(false),
                _ => return self.other(),
            }
        }
        self.fail("unclosed action")
    }

    /// A token that does not begin with an ASCII letter.
    fn other(&mut self) -> Item {
        let Some((char, size)) = next_char(self.rest()) else {
            return self.fail("unclosed action");
        };
        self.at += size;
        match char {
            '=' => self.emit(Token::Assign),
            ':' => {
                if self.rest().first() != Some(&b'=') {
                    return self.fail("expected :=");
                }
                self.at += 1;
                self.emit(Token::Declare)
            }
            '|' => self.emit(Token::Pipe),
            '"' => self.quoted(b'"', Token::String, "unterminated quoted string"),
            '`' => match memchr::memchr(b'`', self.rest()) {
                Some(length) => {
                    self.at += length + 1;
                    self.emit(Token::RawString)
                }
                None => self.fail("unterminated raw quoted string"),
            },
            '$' => self.name(Token::Variable),
            '\'' => self.quoted(b'\'', Token::CharConstant, "unterminated character constant"),
            '.' if self.rest().first().is_some_and(|byte| !byte.is_ascii_digit()) => self.name(Token::Field),
            '.' | '+' | '-' | '0'..='9' => {
                self.at -= 1;
                self.number()
            }
            _ if is_alphanumeric(char) => self.identifier(),
            '(' => {
                self.parens += 1;
                self.emit(Token::LeftParen)
            }
            ')' => match self.parens.checked_sub(1) {
                Some(parens) => {
                    self.parens = parens;
                    self.emit(Token::RightParen)
                }
                None => self.fail("unexpected right paren"),
            },
            '!'..='~' => self.emit(Token::Char),
            _ => self.fail(format!("unrecognized character in action: {}", unicode(char))),
        }
    }

    fn end_of_action(&mut self, trim: bool) -> Item {
        if self.parens > 0 {
            return self.fail("unclosed left paren");
        }
        let start = self.at + if trim { 2 } else { 0 };
        self.close(trim);
        self.inside = false;
        Item { token: Token::RightDelim, spaced: self.spaced, start: start as u32, end: start as u32 + 2 }
    }

    fn quoted(&mut self, mark: u8, token: Token, unterminated: &str) -> Item {
        loop {
            let Some(byte) = self.rest().first() else { return self.fail(unterminated) };
            self.at += 1;
            match *byte {
                b'\\' => match self.rest().first() {
                    None | Some(b'\n') => return self.fail(unterminated),
                    Some(_) => self.at += 1,
                },
                b'\n' => return self.fail(unterminated),
                byte if byte == mark => return self.emit(token),
                _ => {}
            }
        }
    }

    /// A field or a variable, of which `.` or `$` is behind.
    fn name(&mut self, token: Token) -> Item {
        if self.at_terminator() {
            return self.emit(if token == Token::Variable { Token::Variable } else { Token::Dot });
        }
        self.alphanumerics();
        if !self.at_terminator() {
            return self.bad_character();
        }
        self.emit(token)
    }

    fn identifier(&mut self) -> Item {
        self.alphanumerics();
        if !self.at_terminator() {
            return self.bad_character();
        }
        let token = match &self.source[self.start..self.at] {
            b"block" => Token::Block,
            b"break" if self.loops.0 => Token::Break,
            b"continue" if self.loops.1 => Token::Continue,
            b"define" => Token::Define,
            b"else" => Token::Else,
            b"end" => Token::End,
            b"if" => Token::If,
            b"nil" => Token::Nil,
            b"range" => Token::Range,
            b"template" => Token::Template,
            b"with" => Token::With,
            b"true" | b"false" => Token::Bool,
            _ => Token::Identifier,
        };
        self.emit(token)
    }

    fn alphanumerics(&mut self) {
        loop {
            let rest = &self.source[self.at..];
            self.at += rest.iter().position(|byte| !IS_WORD[usize::from(*byte)]).unwrap_or(rest.len());
            match self.source.get(self.at) {
                Some(0x80..) => {}
                _ => return,
            }
            match next_char(self.rest()) {
                Some((char, size)) if is_alphanumeric(char) => self.at += size,
                _ => return,
            }
        }
    }

    fn bad_character(&mut self) -> Item {
        let char = next_char(self.rest()).map_or(char::REPLACEMENT_CHARACTER, |(char, _)| char);
        self.fail(format!("bad character {}", unicode(char)))
    }

    fn at_terminator(&self) -> bool {
        match self.rest() {
            [] | [b' ' | b'\t' | b'\r' | b'\n' | b'.' | b',' | b'|' | b':' | b')' | b'(', ..] => true,
            rest => rest.starts_with(b"}}"),
        }
    }

    fn number(&mut self) -> Item {
        let mut good = self.scan_number();
        let mut token = Token::Number;
        if good && matches!(self.rest().first(), Some(b'+' | b'-')) {
            good = self.scan_number() && self.source[self.at - 1] == b'i';
            token = Token::Complex;
        }
        if !good {
            let quoted = crate::fmt::quote(&self.source[self.start..self.at]);
            return self.fail(format!("bad number syntax: {quoted}"));
        }
        self.emit(token)
    }

    fn accept(&mut self, valid: &[u8]) -> bool {
        let accepted = self.rest().first().is_some_and(|byte| valid.contains(byte));
        self.at += usize::from(accepted);
        accepted
    }

    fn scan_number(&mut self) -> bool {
        self.accept(b"+-");
        let mut digits: &[u8] = b"0123456789_";
        let (mut decimal, mut hexadecimal) = (true, false);
        if self.accept(b"0") {
            if self.accept(b"xX") {
                (digits, decimal, hexadecimal) = (b"0123456789abcdefABCDEF_", false, true);
            } else if self.accept(b"oO") {
                (digits, decimal) = (b"01234567_", false);
            } else if self.accept(b"bB") {
                (digits, decimal) = (b"01_", false);
            }
        }
        while self.accept(digits) {}
        if self.accept(b".") {
            while self.accept(digits) {}
        }
        if decimal && self.accept(b"eE") || hexadecimal && self.accept(b"pP") {
            self.accept(b"+-");
            while self.accept(b"0123456789_") {}
        }
        self.accept(b"i");
        match next_char(self.rest()) {
            Some((char, size)) if is_alphanumeric(char) => {
                self.at += size;
                false
            }
            _ => true,
        }
    }
}

pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_alphanumeric(char: char) -> bool {
    char == '_' || is_letter(char) || is_digit(char)
}

fn has_left_trim(rest: &[u8]) -> bool {
    matches!(rest, [b'-', space, ..] if is_space(*space))
}

fn trim_end(text: &[u8]) -> &[u8] {
    &text[..text.iter().rposition(|byte| !is_space(*byte)).map_or(0, |index| index + 1)]
}

/// Where the next `{{` is.
pub(crate) fn find_delimiter(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr(b'{', text.get(from..)?)?;
        if text.get(at + 1) == Some(&b'{') {
            return Some(at);
        }
        from = at + 1;
    }
}

/// As `%#U` prints a character.
fn unicode(char: char) -> String {
    let code = format!("U+{:04X}", u32::from(char));
    if crate::fmt::is_print(char) { format!("{code} '{char}'") } else { code }
}
