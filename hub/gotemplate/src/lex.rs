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
const IS_WORD: [bool; 256] = table(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

/// The ASCII characters that may follow a name. Two right braces may too.
const ENDS_WORD: [bool; 256] = table(b" \t\r\n.,|:()");

const fn table(characters: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut index = 0;
    while index < characters.len() {
        table[characters[index] as usize] = true;
        index += 1;
    }
    table
}

/// The longest keyword, `continue` or `template`.
const LONGEST_KEYWORD: usize = 8;

/// Where the lexer stands in a source.
pub(crate) struct Lexer<'s> {
    source: &'s [u8],
    at: usize,
    start: usize,
    parens: u32,
    /// Whether the action that was read last has parentheses.
    pub(crate) has_parens: bool,
    /// Whether `break` and `continue` are no functions.
    pub(crate) loops: (bool, bool),
    /// What is wrong, after a [`Token::Error`].
    pub(crate) error: String,
}

impl<'s> Lexer<'s> {
    pub(crate) fn new(source: &'s [u8]) -> Self {
        Self { source, at: 0, start: 0, parens: 0, has_parens: false, loops: (true, true), error: String::new() }
    }

    /// Reads on, to the end of the next action or that of the source. The last of the `tokens` is then a right delimiter, the end, or an error.
    pub(crate) fn read(&mut self, tokens: &mut Vec<Item>) {
        self.start = self.at;
        loop {
            let Some(length) = find_delimiter(self.rest()) else {
                self.at = self.source.len();
                if self.at > self.start {
                    tokens.push(self.item(Token::Text, false));
                    self.start = self.at;
                }
                return tokens.push(self.item(Token::Eof, false));
            };
            let delimiter = self.at + length;
            let has_left_trim = has_left_trim(&self.source[delimiter + 2..]);
            self.at = if has_left_trim { self.start + trim_end(&self.source[self.start..delimiter]).len() } else { delimiter };
            if self.at > self.start {
                tokens.push(self.item(Token::Text, false));
            }
            self.start = delimiter;
            self.at = delimiter + 2;
            let marker = if has_left_trim { 2 } else { 0 };
            if !self.source[self.at + marker..].starts_with(b"/*") {
                tokens.push(self.item(Token::LeftDelim, false));
                self.at += marker;
                return self.action(tokens);
            }
            self.at += marker;
            self.start = self.at;
            if let Err(message) = self.comment() {
                self.fail(message);
                self.at = self.start;
                return tokens.push(self.item(Token::Error, false));
            }
        }
    }

    fn rest(&self) -> &'s [u8] {
        &self.source[self.at..]
    }

    #[inline]
    fn item(&self, token: Token, spaced: bool) -> Item {
        Item { token, spaced, start: self.start as u32, end: self.at as u32 }
    }

    #[cold]
    fn fail(&mut self, message: impl Into<String>) -> Token {
        self.error = message.into();
        Token::Error
    }

    fn comment(&mut self) -> Result<(), &'static str> {
        self.at += 2;
        let length = memchr::memmem::find(self.rest(), b"*/").ok_or("unclosed comment")?;
        self.at += length + 2;
        let trim = self.right_delimiter().ok_or("comment ends before closing delimiter")?;
        self.close(trim);
        self.start = self.at;
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
    }

    /// The tokens of an action whose left delimiter is behind.
    fn action(&mut self, tokens: &mut Vec<Item>) {
        let mut spaced = false;
        (self.parens, self.has_parens) = (0, false);
        loop {
            self.start = self.at;
            let token = match self.rest() {
                [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] => {
                    if let [b'-', b'}', b'}', ..] = rest {
                        return self.end_of_action(true, tokens);
                    }
                    self.at += 1;
                    spaced = true;
                    continue;
                }
                [b'a'..=b'z' | b'A'..=b'Z' | b'_', ..] => self.identifier(),
                [b'.', b'a'..=b'z' | b'A'..=b'Z' | b'_', ..] => {
                    self.at += 1;
                    self.word(Token::Field)
                }
                [b'}', b'}', ..] => return self.end_of_action(false, tokens),
                [b'|', ..] => {
                    self.at += 1;
                    Token::Pipe
                }
                [b'"', ..] => {
                    self.at += 1;
                    self.quoted(b'"', Token::String, "unterminated quoted string")
                }
                _ => self.other(),
            };
            if token == Token::Error {
                self.at = self.start;
                return tokens.push(self.item(token, spaced));
            }
            tokens.push(self.item(token, spaced));
            spaced = false;
        }
    }

    /// A token that begins with none of those that most begin with.
    fn other(&mut self) -> Token {
        let Some((char, size)) = next_char(self.rest()) else {
            return self.fail("unclosed action");
        };
        self.at += size;
        match char {
            '=' => Token::Assign,
            ':' => {
                if self.rest().first() != Some(&b'=') {
                    return self.fail("expected :=");
                }
                self.at += 1;
                Token::Declare
            }
            '`' => match memchr::memchr(b'`', self.rest()) {
                Some(length) => {
                    self.at += length + 1;
                    Token::RawString
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
                self.has_parens = true;
                Token::LeftParen
            }
            ')' => match self.parens.checked_sub(1) {
                Some(parens) => {
                    self.parens = parens;
                    Token::RightParen
                }
                None => self.fail("unexpected right paren"),
            },
            '!'..='~' => Token::Char,
            _ => self.fail(format!("unrecognized character in action: {}", unicode(char))),
        }
    }

    fn end_of_action(&mut self, trim: bool, tokens: &mut Vec<Item>) {
        if self.parens > 0 {
            self.fail("unclosed left paren");
            return tokens.push(self.item(Token::Error, false));
        }
        let start = self.at + if trim { 2 } else { 0 };
        self.close(trim);
        tokens.push(Item { token: Token::RightDelim, spaced: false, start: start as u32, end: start as u32 + 2 });
    }

    fn quoted(&mut self, mark: u8, token: Token, unterminated: &str) -> Token {
        loop {
            let rest = self.rest();
            let length = memchr::memchr3(mark, b'\\', b'\n', rest).unwrap_or(rest.len());
            self.at += length;
            match rest[length..] {
                [b'\\', escaped, ..] if escaped != b'\n' => self.at += 2,
                [byte, ..] if byte == mark => {
                    self.at += 1;
                    return token;
                }
                _ => return self.fail(unterminated),
            }
        }
    }

    /// A field or a variable, of which `.` or `$` is behind.
    fn name(&mut self, token: Token) -> Token {
        if self.at_terminator() {
            return if token == Token::Variable { Token::Variable } else { Token::Dot };
        }
        self.word(token)
    }

    /// The same, where it is more than the `.` or `$`.
    #[inline]
    fn word(&mut self, token: Token) -> Token {
        self.alphanumerics();
        if self.at_terminator() { token } else { self.bad_character() }
    }

    fn identifier(&mut self) -> Token {
        self.alphanumerics();
        if !self.at_terminator() {
            return self.bad_character();
        }
        let word = &self.source[self.start..self.at];
        if word.len() > LONGEST_KEYWORD {
            return Token::Identifier;
        }
        match word {
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
        }
    }

    #[inline]
    fn alphanumerics(&mut self) {
        let rest = self.rest();
        self.at += rest.iter().position(|byte| !IS_WORD[usize::from(*byte)]).unwrap_or(rest.len());
        if matches!(self.source.get(self.at), Some(0x80..)) {
            self.other_alphanumerics();
        }
    }

    /// Goes on in a name in which there is more than ASCII.
    #[cold]
    fn other_alphanumerics(&mut self) {
        while let Some((char, size)) = next_char(self.rest())
            && is_alphanumeric(char)
        {
            self.at += size;
        }
    }

    #[cold]
    fn bad_character(&mut self) -> Token {
        let char = next_char(self.rest()).map_or(char::REPLACEMENT_CHARACTER, |(char, _)| char);
        self.fail(format!("bad character {}", unicode(char)))
    }

    #[inline]
    fn at_terminator(&self) -> bool {
        match self.rest() {
            [] => true,
            [first, rest @ ..] => ENDS_WORD[usize::from(*first)] || *first == b'}' && rest.first() == Some(&b'}'),
        }
    }

    fn number(&mut self) -> Token {
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
        token
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
