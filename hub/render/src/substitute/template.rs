//! A text with expressions, read as Flux reads it (`fluxcd/pkg/envsubst` 1.9): `${name}` and what may follow the name, expressions inside of
//! expressions, and `$$` for a `$` that begins none. What an expression stands for is left to `evaluate`.

use super::problem::{Fault, SubstitutionProblem};

/// How many expressions may stand inside of each other. Flux has no limit; defaults of defaults are three deep at most.
pub(super) const DEPTH_LIMIT: usize = 32;

/// A text that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template<'t> {
    text: &'t str,
    pub(super) pieces: Vec<Piece<'t>>,
}

/// Text, or what is put in its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    Text(&'t str),
    /// Text from which characters that escape others were taken out.
    Unescaped(String),
    Expression(Expression<'t>),
}

/// `${name…}`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expression<'t> {
    pub(super) name: &'t str,
    pub(super) operation: Operation,
    /// What stands after the operation: patterns, numbers, parts of a default.
    pub(super) arguments: Vec<Piece<'t>>,
    /// Where its `${` stands in the text, in bytes.
    pub(super) at: usize,
}

/// What is done with the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// `${v}`; also `${v,^}` and `${v^,}`, which Flux reads and which do nothing.
    Value,
    /// `${#v}`.
    Length,
    /// `${v^}`.
    UpperFirst,
    /// `${v^^}`.
    Upper,
    /// `${v,}`.
    LowerFirst,
    /// `${v,,}`.
    Lower,
    /// `${v:-d}`, `${v=d}`, `${v:=d}`: the only ones that a variable without a value may have.
    Default,
    /// `${v:n}` and `${v:n:length}`.
    Substring,
    /// `${v#p}`.
    ShortestPrefix,
    /// `${v##p}`.
    LongestPrefix,
    /// `${v%p}`.
    ShortestSuffix,
    /// `${v%%p}`.
    LongestSuffix,
    /// `${v/a/b}`.
    ReplaceFirst,
    /// `${v//a/b}`.
    ReplaceAll,
    /// `${v/#a/b}`.
    ReplacePrefix,
    /// `${v/%a/b}`.
    ReplaceSuffix,
}

impl<'t> Template<'t> {
    /// Reads `text`.
    pub(super) fn parse(text: &'t str) -> Result<Self, Fault> {
        let mut parser = Parser { text, at: 0, open: Vec::new() };
        let mut pieces = Vec::new();
        while parser.at < text.len() {
            pieces.push(if parser.opens() { Piece::Expression(parser.expression()?) } else { parser.outside() });
        }
        Ok(Self { text, pieces })
    }

    /// The line, from 1, in which something stands.
    pub(super) fn line_of(&self, at: usize) -> u32 {
        line_of(self.text, at)
    }
}

/// The line, from 1, of the byte `at` of `text`.
fn line_of(text: &str, at: usize) -> u32 {
    let breaks = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(breaks).map_or(u32::MAX, |breaks| breaks.saturating_add(1))
}

/// Where the text of an argument ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    Brace,
    BraceOrColon,
    Slash,
}

impl Until {
    fn ends(self, next: u8) -> bool {
        match self {
            Self::Brace => next == b'}',
            Self::BraceOrColon => matches!(next, b'}' | b':'),
            Self::Slash => next == b'/',
        }
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    /// The expressions that are open, by their place and name.
    open: Vec<(usize, &'t str)>,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Whether an expression begins here.
    fn opens(&self) -> bool {
        self.rest().starts_with("${")
    }

    /// Takes up to `most` of the bytes that `wanted` says yes to.
    fn take(&mut self, most: usize, wanted: impl Fn(u8) -> bool) -> &'t str {
        let length = self.rest().bytes().take(most).take_while(|byte| wanted(*byte)).count();
        let taken = &self.rest()[..length];
        self.at += length;
        taken
    }

    fn fault(&self, problem: impl FnOnce(String) -> SubstitutionProblem) -> Fault {
        let (at, name) = self.open.last().copied().unwrap_or((self.at, ""));
        Fault { line: line_of(self.text, at), problem: problem(name.to_owned()) }
    }

    fn malformed<T>(&self, wanted: &'static str) -> Result<T, Fault> {
        Err(self.fault(|name| SubstitutionProblem::Malformed { name, wanted }))
    }

    /// The text up to the next expression, `$$` read as `$`.
    fn outside(&mut self) -> Piece<'t> {
        let rest = self.rest();
        let mut from = 0;
        while let Some(found) = rest[from..].find('$') {
            let dollar = from + found;
            match rest.as_bytes().get(dollar + 1) {
                // One of the two is left out, and neither begins an expression.
                Some(b'$') => {
                    self.at += dollar + 2;
                    return Piece::Text(&rest[..=dollar]);
                }
                Some(b'{') => {
                    self.at += dollar;
                    return Piece::Text(&rest[..dollar]);
                }
                _ => from = dollar + 1,
            }
        }
        self.at = self.text.len();
        Piece::Text(rest)
    }

    fn expression(&mut self) -> Result<Expression<'t>, Fault> {
        let at = self.at;
        self.at += 2;
        self.open.push((at, ""));
        if self.open.len() > DEPTH_LIMIT {
            return Err(self.fault(|_| SubstitutionProblem::TooDeep));
        }
        let (name, operation, arguments) = if self.peek() == Some(b'#') {
            self.at += 1;
            (self.name()?, Operation::Length, Vec::new())
        } else {
            let name = self.name()?;
            let (operation, arguments) = self.operation()?;
            (name, operation, arguments)
        };
        if self.peek() != Some(b'}') {
            return self.malformed("closing \"}\"");
        }
        self.at += 1;
        self.open.pop();
        Ok(Expression { name, operation, arguments, at })
    }

    /// Letters of any script, as Flux has it; only those of ASCII can be set.
    fn name(&mut self) -> Result<&'t str, Fault> {
        let rest = self.rest();
        let is_part = |c: char| c == '_' || c.is_ascii_alphanumeric() || (!c.is_ascii() && c.is_alphabetic());
        let name = rest.split(|c| !is_part(c)).next().unwrap_or_default();
        if name.is_empty() {
            return self.malformed("name of a variable");
        }
        self.at += name.len();
        if let Some(open) = self.open.last_mut() {
            open.1 = name;
        }
        Ok(name)
    }

    /// What follows the name, up to the closing brace.
    fn operation(&mut self) -> Result<(Operation, Vec<Piece<'t>>), Fault> {
        match self.peek() {
            Some(b':') => self.after_colon(),
            Some(b'=') => {
                self.at += 1;
                Ok((Operation::Default, self.default_parts()?))
            }
            Some(b',' | b'^') => {
                let operation = match self.take(2, |byte| matches!(byte, b',' | b'^')) {
                    "," => Operation::LowerFirst,
                    ",," => Operation::Lower,
                    "^" => Operation::UpperFirst,
                    "^^" => Operation::Upper,
                    _ => Operation::Value,
                };
                Ok((operation, Vec::new()))
            }
            Some(b'/') => self.replacement(),
            Some(sign @ (b'#' | b'%')) => {
                let operation = match self.take(2, |byte| byte == sign) {
                    "#" => Operation::ShortestPrefix,
                    "##" => Operation::LongestPrefix,
                    "%" => Operation::ShortestSuffix,
                    _ => Operation::LongestSuffix,
                };
                Ok((operation, vec![self.argument(Until::Brace, false)?]))
            }
            Some(sign @ (b'-' | b'+' | b'?')) => Err(self.fault(|name| SubstitutionProblem::NoColon { name, sign: char::from(sign) })),
            _ => Ok((Operation::Value, Vec::new())),
        }
    }

    fn after_colon(&mut self) -> Result<(Operation, Vec<Piece<'t>>), Fault> {
        self.at += 1;
        match self.peek() {
            Some(b'-' | b'=') => {
                self.at += 1;
                Ok((Operation::Default, self.default_parts()?))
            }
            Some(sign @ (b'+' | b'?')) => Err(self.fault(|name| SubstitutionProblem::Unlike { name, sign: char::from(sign) })),
            Some(next) if next.is_ascii() => {
                let mut arguments = vec![self.argument(Until::BraceOrColon, false)?];
                if !self.take(usize::MAX, |byte| byte == b':').is_empty() {
                    arguments.push(self.argument(Until::Brace, false)?);
                }
                Ok((Operation::Substring, arguments))
            }
            _ => self.malformed("position, or \"-\" and a default, after the \":\""),
        }
    }

    fn default_parts(&mut self) -> Result<Vec<Piece<'t>>, Fault> {
        let mut parts = Vec::new();
        while self.peek() != Some(b'}') {
            parts.push(self.argument(Until::Brace, false)?);
        }
        Ok(parts)
    }

    fn replacement(&mut self) -> Result<(Operation, Vec<Piece<'t>>), Fault> {
        self.at += 1;
        let operation = match self.take(1, |byte| matches!(byte, b'/' | b'#' | b'%')) {
            "/" => Operation::ReplaceAll,
            "#" => Operation::ReplacePrefix,
            "%" => Operation::ReplaceSuffix,
            _ => Operation::ReplaceFirst,
        };
        let mut arguments = vec![self.argument(Until::Slash, true)?];
        if self.take(usize::MAX, |byte| byte == b'/').is_empty() {
            return self.malformed("\"/\" between what is replaced and the replacement");
        }
        if self.peek() != Some(b'}') {
            arguments.push(self.argument(Until::Brace, true)?);
        }
        Ok((operation, arguments))
    }

    /// An expression, or text that ends where one begins. With `escapes`, `$$`, `\\` and `\/` stand for their second character.
    fn argument(&mut self, until: Until, escapes: bool) -> Result<Piece<'t>, Fault> {
        if self.opens() {
            return self.expression().map(Piece::Expression);
        }
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let is_escape = |at: usize| escapes && matches!(&bytes[at..], [b'$', b'$', ..] | [b'\\', b'\\' | b'/', ..]);
        let mut unescaped: Option<String> = None;
        let (mut kept, mut at) = (0, 0);
        while at < bytes.len() && !rest[at..].starts_with("${") {
            if is_escape(at) {
                unescaped.get_or_insert_default().push_str(&rest[kept..at]);
                kept = at + 1;
                at += 2;
            } else if until.ends(bytes[at]) {
                break;
            } else {
                at += rest[at..].chars().next().map_or(1, char::len_utf8);
            }
        }
        if at == 0 {
            return self.malformed("text after the operation");
        }
        self.at += at;
        Ok(match unescaped {
            None => Piece::Text(&rest[..at]),
            Some(mut text) => {
                text.push_str(&rest[kept..at]);
                Piece::Unescaped(text)
            }
        })
    }
}
