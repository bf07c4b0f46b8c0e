//! From text to expression, by precedence: `|`, `,`, `//`, `or`, `and`, comparisons, terms with their suffixes.

use regex::RegexBuilder;
use serde_json::Value;

use super::{DEPTH, Expr, JqError, LENGTH, Order};
use crate::cursor::{Cursor, PATTERN_LIMIT, balanced};

pub(super) fn parse(text: &str) -> Result<Expr, JqError> {
    if text.len() > LENGTH {
        return Err(JqError::TooLong(text.len()));
    }
    let mut parser = Parser { cursor: Cursor::new(text, |rest| rest.len() - rest.trim_start().len()), depth: 0 };
    let root = parser.pipe()?;
    if parser.cursor.is_at_end() { Ok(root) } else { Err(parser.wrong("nothing may follow here")) }
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    depth: usize,
}

type Parsed = Result<Expr, JqError>;

fn boxed(a: Expr, b: Expr) -> (Box<Expr>, Box<Expr>) {
    (Box::new(a), Box::new(b))
}

impl<'a> Parser<'a> {
    fn wrong(&self, problem: impl Into<String>) -> JqError {
        JqError::Syntax { column: self.column(), problem: problem.into() }
    }

    fn refused(&self, what: impl Into<String>, remedy: &'static str) -> JqError {
        JqError::Unsupported { column: self.column(), what: what.into(), remedy }
    }

    fn column(&self) -> usize {
        self.cursor.before().chars().count() + 1
    }

    fn expect(&mut self, token: &str) -> Result<(), JqError> {
        if self.cursor.take(token) { Ok(()) } else { Err(self.wrong(format!("\"{token}\" is missing"))) }
    }

    fn deeper(&mut self, inner: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        self.depth += 1;
        let result = if self.depth > DEPTH { Err(JqError::TooDeep) } else { inner(self) };
        self.depth -= 1;
        result
    }

    fn pipe(&mut self) -> Parsed {
        self.deeper(|parser| {
            let mut left = vec![parser.comma()?];
            loop {
                parser.cursor.space();
                if parser.cursor.rest().starts_with("|=") {
                    return Err(parser.refused("an assignment", "name the field alone"));
                }
                if !parser.cursor.take("|") {
                    break;
                }
                if left.last().is_some_and(Expr::ends_in_range) {
                    return Err(parser.refused("a range before a pipe", "write [] after it"));
                }
                left.push(parser.comma()?);
            }
            chain(left, Expr::Pipe)
        })
    }

    fn comma(&mut self) -> Parsed {
        let mut parts = vec![self.alternative()?];
        while self.cursor.take(",") {
            parts.push(self.alternative()?);
        }
        chain(parts, Expr::Comma)
    }

    fn alternative(&mut self) -> Parsed {
        let mut parts = vec![self.or()?];
        while self.cursor.take("//") {
            parts.push(self.or()?);
        }
        chain(parts, Expr::Alternative)
    }

    fn or(&mut self) -> Parsed {
        let mut parts = vec![self.and()?];
        while self.cursor.take_word("or") {
            parts.push(self.and()?);
        }
        chain(parts, Expr::Or)
    }

    fn and(&mut self) -> Parsed {
        let mut parts = vec![self.comparison()?];
        while self.cursor.take_word("and") {
            parts.push(self.comparison()?);
        }
        chain(parts, Expr::And)
    }

    fn comparison(&mut self) -> Parsed {
        use Order::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Unequal};
        let left = self.term()?;
        let orders = [("==", Equal), ("!=", Unequal), ("<=", LessOrEqual), (">=", GreaterOrEqual), ("<", Less), (">", Greater)];
        for (token, order) in orders {
            if self.cursor.take(token) {
                let (left, right) = boxed(left, self.term()?);
                return Ok(Expr::Compare(order, left, right));
            }
        }
        self.cursor.space();
        match self.cursor.rest().chars().next() {
            Some('=') => Err(self.refused("an assignment", "name the field alone")),
            Some(sign @ ('+' | '-' | '*' | '%')) => {
                Err(self.refused(format!("arithmetic ({sign})"), "compare with a number that is written out"))
            }
            Some('/') if !self.cursor.rest().starts_with("//") => {
                Err(self.refused("arithmetic (/)", "compare with a number that is written out"))
            }
            _ => Ok(left),
        }
    }

    /// A term and its suffixes. A `?` after a suffix is about that suffix alone, as in jq.
    fn term(&mut self) -> Parsed {
        self.cursor.space();
        let mut term = self.primary()?;
        for suffixes in 0.. {
            if suffixes > DEPTH * 2 {
                return Err(JqError::TooDeep);
            }
            self.cursor.space();
            let rest = self.cursor.rest();
            let next = if rest.starts_with('?') {
                self.cursor.at += 1;
                term = Expr::Try(Box::new(term));
                continue;
            } else if rest.starts_with('[') {
                self.bracket()?
            } else if rest.starts_with('.') && !rest.starts_with("..") {
                self.cursor.at += 1;
                self.after_dot()?
            } else {
                break;
            };
            // What a range yields is its elements, one by one.
            let next = match (term.ends_in_range(), next) {
                (true, Expr::Iterate) => Expr::Identity,
                (true, _) => return Err(self.refused("a range in the middle of a path", "write [] after it")),
                (false, next) => next,
            };
            let next = if self.cursor.take("?") { Expr::Try(Box::new(next)) } else { next };
            let (left, right) = boxed(term, next);
            term = Expr::Pipe(left, right);
        }
        Ok(term)
    }

    /// What follows a dot in a suffix: a name, a quoted name, or a bracket.
    fn after_dot(&mut self) -> Parsed {
        if self.cursor.rest().starts_with('[') {
            return self.bracket();
        }
        if self.cursor.rest().starts_with('"') {
            return Ok(Expr::Field(self.text_literal()?));
        }
        self.cursor
            .word()
            .map(|name| Expr::Field(name.to_owned()))
            .ok_or_else(|| self.wrong("a field's name is missing after the dot; one with other signs stands in quotes"))
    }

    /// `[]`, `["name"]`, `[0]`, `[1:3]`.
    fn bracket(&mut self) -> Parsed {
        self.cursor.at += 1;
        self.cursor.space();
        if self.cursor.take("]") {
            return Ok(Expr::Iterate);
        }
        if self.cursor.rest().starts_with('"') {
            let name = self.text_literal()?;
            self.expect("]")?;
            return Ok(Expr::Field(name));
        }
        let from = self.whole_number()?;
        if self.cursor.take(":") {
            let to = self.whole_number()?;
            self.expect("]")?;
            if from.is_none() && to.is_none() {
                return Err(self.wrong("a range needs a beginning or an end"));
            }
            return Ok(Expr::Slice(from, to));
        }
        let Some(index) = from else {
            return Err(
                self.refused("a computed index", "write the name in quotes or the number; for elements by their content, [] | select(…)")
            );
        };
        self.expect("]")?;
        Ok(Expr::Index(index))
    }

    fn whole_number(&mut self) -> Result<Option<i64>, JqError> {
        self.cursor.space();
        let rest = self.cursor.rest();
        let sign = usize::from(rest.starts_with('-'));
        let digits = rest[sign..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - sign);
        if digits == 0 {
            return Ok(None);
        }
        let number = rest[..sign + digits].parse().map_err(|_| self.wrong("this number is too large"))?;
        self.cursor.at += sign + digits;
        Ok(Some(number))
    }

    fn primary(&mut self) -> Parsed {
        let rest = self.cursor.rest();
        let Some(first) = rest.chars().next() else { return Err(self.wrong("an expression is missing")) };
        match first {
            '.' if rest.starts_with("..") => {
                self.cursor.at += 2;
                Ok(Expr::Recurse)
            }
            '.' => {
                self.cursor.at += 1;
                match self.cursor.rest().chars().next() {
                    Some('[' | '"') => self.after_dot(),
                    Some(next) if next.is_ascii_alphabetic() || next == '_' => self.after_dot(),
                    _ => Ok(Expr::Identity),
                }
            }
            '(' => {
                self.cursor.at += 1;
                let inner = self.pipe()?;
                self.expect(")")?;
                Ok(inner)
            }
            '"' => Ok(Expr::Literal(Value::String(self.text_literal()?))),
            '0'..='9' | '-' => self.number(),
            '$' => Err(self.refused("a variable", "write its value")),
            '[' | '{' => self.constant(),
            '@' => Err(self.refused("a format", "compare the text itself")),
            _ => match self.cursor.word() {
                Some(word) => self.call(word),
                None => Err(self.wrong(format!("{first:?} begins no expression"))),
            },
        }
    }

    /// A list or map that is written out.
    fn constant(&mut self) -> Parsed {
        let mut values = serde_json::Deserializer::from_str(self.cursor.rest()).into_iter::<Value>();
        let Some(Ok(value)) = values.next() else {
            return Err(self.refused("making a list or map", "name the fields one by one, with commas between"));
        };
        self.cursor.at += values.byte_offset();
        Ok(Expr::Literal(value))
    }

    fn number(&mut self) -> Parsed {
        let rest = self.cursor.rest();
        let end = rest
            .char_indices()
            .find(|(at, c)| !(c.is_ascii_alphanumeric() || *c == '.' || (*at == 0 && *c == '-')))
            .map_or(rest.len(), |(at, _)| at);
        let number: Value = serde_json::from_str(&rest[..end]).map_err(|_| self.wrong("this is no number"))?;
        self.cursor.at += end;
        Ok(Expr::Literal(number))
    }

    /// A quoted text with JSON's escapes. Interpolation is not taken.
    fn text_literal(&mut self) -> Result<String, JqError> {
        let rest = self.cursor.rest();
        let mut escaped = false;
        for (at, character) in rest.char_indices().skip(1) {
            match character {
                '(' if escaped => return Err(self.refused("a text with \\(…)", "write the text out")),
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    let text =
                        serde_json::from_str(&rest[..=at]).map_err(|_| self.wrong("this text has an escape that JSON does not know"))?;
                    self.cursor.at += at + 1;
                    return Ok(text);
                }
                _ => {}
            }
        }
        Err(self.wrong("the closing quote is missing"))
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, JqError> {
        let mut arguments = Vec::new();
        if self.cursor.rest().starts_with('(') {
            self.cursor.at += 1;
            arguments.push(self.pipe()?);
            while self.cursor.take(";") {
                arguments.push(self.pipe()?);
            }
            self.expect(")")?;
        }
        Ok(arguments)
    }

    fn call(&mut self, word: &str) -> Parsed {
        match word {
            "true" => return Ok(Expr::Literal(Value::Bool(true))),
            "false" => return Ok(Expr::Literal(Value::Bool(false))),
            "null" => return Ok(Expr::Literal(Value::Null)),
            "if" => return self.deeper(Self::if_then),
            "def" | "reduce" | "foreach" | "as" | "label" | "import" | "include" | "try" => {
                return Err(self.refused(format!("\"{word}\""), "write a path with [], select(…) and ?"));
            }
            _ => {}
        }
        let arguments = self.arguments()?;
        let count = arguments.len();
        let mut arguments = arguments.into_iter().map(Box::new);
        let (first, second) = (arguments.next(), arguments.next());
        Ok(match (word, count, first, second) {
            ("select", 1, Some(condition), _) => Expr::Select(condition),
            ("first", 1, Some(inner), _) => Expr::First(inner),
            ("recurse", 0, ..) => Expr::Recurse,
            ("empty", 0, ..) => Expr::Empty,
            ("not", 0, ..) => Expr::Not,
            ("length", 0, ..) => Expr::Length,
            ("type", 0, ..) => Expr::Type,
            ("keys", 0, ..) => Expr::Keys,
            ("tostring", 0, ..) => Expr::ToText,
            ("ascii_downcase", 0, ..) => Expr::LowerCase,
            ("has", 1, Some(key), _) => Expr::Has(key),
            ("startswith", 1, Some(start), _) => Expr::StartsWith(start),
            ("endswith", 1, Some(end), _) => Expr::EndsWith(end),
            ("contains", 1, Some(part), _) => Expr::Contains(part),
            ("IN", 1, Some(values), _) => Expr::In(values),
            ("test", 1 | 2, Some(pattern), flags) => self.pattern(&pattern, flags.as_deref())?,
            ("any" | "all", 0, ..) => quantified(word, Expr::Iterate, Expr::Identity),
            ("any" | "all", 1, Some(condition), _) => quantified(word, Expr::Iterate, *condition),
            ("any" | "all", 2, Some(generator), Some(condition)) => quantified(word, *generator, *condition),
            _ => {
                let remedy = "taken are select, first, recurse, empty, not, any, all, IN, has, length, type, keys, contains, startswith, endswith, test, tostring and ascii_downcase";
                return Err(self.refused(format!("the function {word}/{count}"), remedy));
            }
        })
    }

    fn if_then(&mut self) -> Parsed {
        let condition = Box::new(self.pipe()?);
        if !self.cursor.take_word("then") {
            return Err(self.wrong("\"then\" is missing"));
        }
        let then = Box::new(self.pipe()?);
        let otherwise = if self.cursor.take_word("elif") {
            return Ok(Expr::If(condition, then, Box::new(self.deeper(Self::if_then)?)));
        } else if self.cursor.take_word("else") {
            self.pipe()?
        } else {
            Expr::Identity
        };
        if self.cursor.take_word("end") {
            Ok(Expr::If(condition, then, Box::new(otherwise)))
        } else {
            Err(self.wrong("\"end\" is missing"))
        }
    }

    fn pattern(&self, pattern: &Expr, flags: Option<&Expr>) -> Parsed {
        let literal = |expr: &Expr| match expr {
            Expr::Literal(Value::String(text)) => Ok(text.clone()),
            _ => Err(self.refused("a computed pattern", "write the pattern as a text")),
        };
        let flags = flags.map(literal).transpose()?.unwrap_or_default();
        if let Some(flag) = flags.chars().find(|flag| !"ixs".contains(*flag)) {
            return Err(self.refused(format!("the flag {flag:?}"), "taken are i, x and s"));
        }
        let mut builder = RegexBuilder::new(&literal(pattern)?);
        builder.size_limit(PATTERN_LIMIT).dfa_size_limit(PATTERN_LIMIT);
        builder.case_insensitive(flags.contains('i')).ignore_whitespace(flags.contains('x')).dot_matches_new_line(flags.contains('s'));
        builder.build().map(Expr::Test).map_err(|error| self.wrong(format!("this pattern cannot be used: {error}")))
    }
}

fn quantified(word: &str, generator: Expr, condition: Expr) -> Expr {
    let (generator, condition) = boxed(generator, condition);
    Expr::Quantified { all: word == "all", generator, condition }
}

/// See [`balanced`]; the order of evaluation is from left to right.
fn chain(parts: Vec<Expr>, join: fn(Box<Expr>, Box<Expr>) -> Expr) -> Parsed {
    balanced(parts, join).ok_or(JqError::NoPath)
}
