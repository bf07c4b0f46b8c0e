//! From text to expression: tokens, precedence, and the macros (`has`, `all`, `exists`, `exists_one`, `map`, `filter`, `optMap`).

use std::sync::Arc;

use super::functions::Function;
use super::{DEPTH, Expr, LENGTH, Literal, Loop, Operator, ParseError};
use crate::cursor::{Cursor, PATTERN_LIMIT, balanced};

/// Words that name no variable. As the name of a field all but the first four are fine.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

pub(super) fn parse(text: &str) -> Result<Expr, ParseError> {
    if text.len() > LENGTH {
        return Err(ParseError::TooLong(text.len()));
    }
    let mut parser = Parser { cursor: Cursor::new(text, blank), depth: 0 };
    let root = parser.expression()?;
    if parser.cursor.is_at_end() { Ok(root) } else { Err(parser.wrong("nothing may follow here")) }
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    depth: usize,
}

type Parsed = Result<Expr, ParseError>;

impl<'a> Parser<'a> {
    fn wrong(&self, problem: impl Into<String>) -> ParseError {
        let before = self.cursor.before();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        ParseError::Syntax {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            problem: problem.into(),
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), ParseError> {
        if self.cursor.take(token) { Ok(()) } else { Err(self.wrong(format!("\"{token}\" is missing"))) }
    }

    fn word(&mut self) -> Option<&'a str> {
        self.cursor.space();
        self.cursor.word()
    }

    fn expression(&mut self) -> Parsed {
        self.depth += 1;
        let result = if self.depth > DEPTH { Err(ParseError::TooDeep) } else { self.conditional() };
        self.depth -= 1;
        result
    }

    fn conditional(&mut self) -> Parsed {
        let condition = self.or()?;
        if !self.cursor.take("?") {
            return Ok(condition);
        }
        let then = self.or()?;
        self.expect(":")?;
        let otherwise = self.expression()?;
        Ok(Expr::If(Box::new(condition), Box::new(then), Box::new(otherwise)))
    }

    fn or(&mut self) -> Parsed {
        let mut parts = vec![self.and()?];
        while self.cursor.take("||") {
            parts.push(self.and()?);
        }
        Ok(chain(parts, Expr::Or))
    }

    fn and(&mut self) -> Parsed {
        let mut parts = vec![self.relation()?];
        while self.cursor.take("&&") {
            parts.push(self.relation()?);
        }
        Ok(chain(parts, Expr::And))
    }

    fn relation(&mut self) -> Parsed {
        use Operator::{Equal, Greater, GreaterOrEqual, In, Less, LessOrEqual, Unequal};
        let orders = [("==", Equal), ("!=", Unequal), ("<=", LessOrEqual), (">=", GreaterOrEqual), ("<", Less), (">", Greater)];
        let mut left = self.sum()?;
        for links in 0.. {
            let mut operator = orders.into_iter().find(|(token, _)| self.cursor.take(token)).map(|(_, operator)| operator);
            let before = self.cursor.at;
            if operator.is_none() && self.word() == Some("in") {
                operator = Some(In);
            } else if operator.is_none() {
                self.cursor.at = before;
            }
            let Some(operator) = operator else { break };
            self.limit(links)?;
            left = Expr::Binary(operator, Box::new(left), Box::new(self.sum()?));
        }
        Ok(left)
    }

    /// A chain of operators of one rank leans to the left and is as deep as it is long.
    fn limit(&self, links: usize) -> Result<(), ParseError> {
        if links < DEPTH { Ok(()) } else { Err(ParseError::TooDeep) }
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        for links in 0.. {
            let operator = match () {
                () if self.cursor.take("+") => Operator::Add,
                () if self.cursor.take("-") => Operator::Subtract,
                () => break,
            };
            self.limit(links)?;
            left = Expr::Binary(operator, Box::new(left), Box::new(self.product()?));
        }
        Ok(left)
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.unary()?;
        for links in 0.. {
            let operator = match () {
                () if self.cursor.take("*") => Operator::Multiply,
                () if self.cursor.take("/") => Operator::Divide,
                () if self.cursor.take("%") => Operator::Remainder,
                () => break,
            };
            self.limit(links)?;
            left = Expr::Binary(operator, Box::new(left), Box::new(self.unary()?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed {
        self.cursor.space();
        let mut signs = 0_usize;
        let sign = match self.cursor.rest().chars().next() {
            Some('!') => '!',
            Some('-') => '-',
            _ => return self.member(),
        };
        while self.cursor.take(if sign == '!' { "!" } else { "-" }) {
            signs += 1;
        }
        self.cursor.space();
        // The smallest number has no positive twin.
        if sign == '-'
            && signs % 2 == 1
            && self.cursor.rest().starts_with(|c: char| c.is_ascii_digit())
            && let Some(number) = self.number(true)?
        {
            return self.suffixes(number);
        }
        let inner = self.member()?;
        Ok(match (sign, signs % 2) {
            ('!', 1) => Expr::Not(Box::new(inner)),
            ('!', _) => Expr::Not(Box::new(Expr::Not(Box::new(inner)))),
            (_, 1) => Expr::Negate(Box::new(inner)),
            _ => Expr::Negate(Box::new(Expr::Negate(Box::new(inner)))),
        })
    }

    fn member(&mut self) -> Parsed {
        let primary = self.primary()?;
        self.suffixes(primary)
    }

    fn suffixes(&mut self, mut member: Expr) -> Parsed {
        for links in 0.. {
            self.limit(links)?;
            if self.cursor.take(".") {
                let optional = self.cursor.take("?");
                let name = self
                    .word()
                    .ok_or_else(|| self.wrong("a field's name is missing after the dot; one with other signs stands as [\"…\"]"))?;
                if RESERVED[..4].contains(&name) {
                    return Err(self.wrong(format!("\"{name}\" is no name of a field here; write it as [\"{name}\"]")));
                }
                self.cursor.space();
                member = if !optional && self.cursor.rest().starts_with('(') {
                    self.cursor.at += 1;
                    self.method(member, name)?
                } else {
                    Expr::Select { from: Box::new(member), field: name.to_owned(), optional }
                };
            } else if self.cursor.take("[") {
                let optional = self.cursor.take("?");
                let index = Box::new(self.expression()?);
                self.expect("]")?;
                member = Expr::Index { from: Box::new(member), index, optional };
            } else {
                break;
            }
        }
        Ok(member)
    }

    fn primary(&mut self) -> Parsed {
        self.cursor.space();
        let rest = self.cursor.rest();
        let Some(first) = rest.chars().next() else { return Err(self.wrong("an expression is missing")) };
        match first {
            '(' => {
                self.cursor.at += 1;
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            '[' => self.list(),
            '{' => self.map(),
            '0'..='9' => self.number(false)?.ok_or_else(|| self.wrong("this is no number")),
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.number(false)?.ok_or_else(|| self.wrong("this is no number"))
            }
            '"' | '\'' => self.literal("").map(Expr::Literal),
            // A leading dot names a variable from the root; there are no other scopes than loops.
            '.' => {
                self.cursor.at += 1;
                self.named()
            }
            _ => {
                let start: String = rest.chars().take_while(|c| matches!(c, 'r' | 'R' | 'b' | 'B')).collect();
                if !start.is_empty() && start.len() <= 2 && rest[start.len()..].starts_with(['"', '\'']) {
                    self.cursor.at += start.len();
                    return self.literal(&start.to_ascii_lowercase()).map(Expr::Literal);
                }
                self.named()
            }
        }
    }

    fn named(&mut self) -> Parsed {
        let Some(word) = self.word() else {
            let found = self.cursor.rest().chars().next().unwrap_or(' ');
            return Err(self.wrong(format!("{found:?} begins no expression")));
        };
        self.cursor.space();
        match word {
            "true" | "false" => return Ok(Expr::Literal(Literal::Bool(word == "true"))),
            "null" => return Ok(Expr::Literal(Literal::Null)),
            _ if RESERVED.contains(&word) => return Err(self.wrong(format!("\"{word}\" is a reserved word"))),
            _ => {}
        }
        if !self.cursor.rest().starts_with('(') {
            return Ok(Expr::Variable(word.to_owned()));
        }
        self.cursor.at += 1;
        let mut arguments = self.arguments(")")?;
        if word == "has" {
            return match (arguments.pop(), arguments.is_empty()) {
                (Some(Expr::Select { from, field, optional: false }), true) => Ok(Expr::Has { from, field }),
                _ => Err(self.wrong("has(…) takes one field, as in has(status.phase)")),
            };
        }
        self.call(word, arguments)
    }

    /// A call on a value, or of a function with a prefix, or a macro.
    fn method(&mut self, target: Expr, name: &str) -> Parsed {
        let mut arguments = self.arguments(")")?;
        if let Expr::Variable(space) = &target
            && matches!(space.as_str(), "sets" | "base64" | "optional" | "strings")
        {
            return self.call(&format!("{space}.{name}"), arguments);
        }
        let kind = match (name, arguments.len()) {
            ("all", 2) => Loop::All,
            ("exists", 2) => Loop::Exists,
            ("exists_one", 2) => Loop::ExistsOne,
            ("map", 2 | 3) => Loop::Map,
            ("filter", 2) => Loop::Filter,
            ("optMap" | "optFlatMap", 2) => {
                let (variable, body) = (self.variable(arguments.remove(0))?, Box::new(arguments.remove(0)));
                return Ok(Expr::OptionalMap { flat: name == "optFlatMap", over: Box::new(target), variable, body });
            }
            ("all" | "exists" | "exists_one" | "map" | "filter", count) => {
                return Err(self.wrong(format!("{name}(…) takes a variable and a condition and not {count} values")));
            }
            ("matches", 1) => return self.pattern(target, &arguments[0]),
            _ => {
                arguments.insert(0, target);
                return self.call(&format!("_.{name}"), arguments);
            }
        };
        let variable = self.variable(arguments.remove(0))?;
        let condition = (arguments.len() == 2).then(|| Box::new(arguments.remove(0)));
        let body = Box::new(arguments.remove(0));
        Ok(Expr::Loop { kind, over: Box::new(target), variable, condition, body })
    }

    fn variable(&self, expr: Expr) -> Result<String, ParseError> {
        match expr {
            Expr::Variable(name) => Ok(name),
            _ => Err(self.wrong("the first of these must be a variable's name")),
        }
    }

    fn call(&self, name: &str, mut arguments: Vec<Expr>) -> Parsed {
        if name == "matches" && arguments.len() == 2 {
            let text = arguments.remove(0);
            return self.pattern(text, &arguments[0]);
        }
        match Function::find(name, arguments.len()) {
            Some(function) => Ok(Expr::Call { function, arguments }),
            None => {
                let count = arguments.len() - usize::from(name.starts_with("_."));
                Err(self.wrong(format!("there is no function {} that takes {count} values", name.trim_start_matches("_."))))
            }
        }
    }

    fn pattern(&self, text: Expr, pattern: &Expr) -> Parsed {
        let Expr::Literal(Literal::Text(pattern)) = pattern else {
            return Err(self.wrong("matches(…) takes a pattern that is written out"));
        };
        let built = regex::RegexBuilder::new(pattern).size_limit(PATTERN_LIMIT).dfa_size_limit(PATTERN_LIMIT).build();
        match built {
            Ok(pattern) => Ok(Expr::Matches(Box::new(text), pattern)),
            Err(error) => Err(self.wrong(format!("this pattern cannot be used: {error}"))),
        }
    }

    fn arguments(&mut self, end: &str) -> Result<Vec<Expr>, ParseError> {
        let mut arguments = Vec::new();
        if self.cursor.take(end) {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression()?);
            if !self.cursor.take(",") {
                break;
            }
        }
        self.expect(end)?;
        Ok(arguments)
    }

    fn list(&mut self) -> Parsed {
        self.cursor.at += 1;
        let mut items = Vec::new();
        while !self.cursor.take("]") {
            let optional = self.cursor.take("?");
            items.push((self.expression()?, optional));
            if !self.cursor.take(",") {
                self.expect("]")?;
                break;
            }
        }
        Ok(Expr::List(items))
    }

    fn map(&mut self) -> Parsed {
        self.cursor.at += 1;
        let mut items = Vec::new();
        while !self.cursor.take("}") {
            let optional = self.cursor.take("?");
            let key = self.expression()?;
            self.expect(":")?;
            items.push((key, self.expression()?, optional));
            if !self.cursor.take(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Expr::Map(items))
    }

    /// A number; `None` if none begins here.
    fn number(&mut self, negative: bool) -> Result<Option<Expr>, ParseError> {
        let rest = self.cursor.rest();
        if let Some(hex) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
            let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
            let (digits, after) = hex.split_at(end);
            let unsigned = after.starts_with(['u', 'U']);
            let literal = whole(digits, 16, negative, unsigned).ok_or_else(|| self.wrong("this number is too large"))?;
            self.cursor.at += 2 + end + usize::from(unsigned);
            return Ok(Some(Expr::Literal(literal)));
        }
        let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let mut end = digits(rest);
        let mut double = false;
        if rest[end..].starts_with('.') && rest[end + 1..].starts_with(|c: char| c.is_ascii_digit()) {
            double = true;
            end += 1 + digits(&rest[end + 1..]);
        }
        if let Some(exponent) = rest[end..].strip_prefix(['e', 'E']) {
            let sign = usize::from(exponent.starts_with(['+', '-']));
            let count = digits(&exponent[sign..]);
            if count > 0 {
                double = true;
                end += 1 + sign + count;
            }
        }
        if end == 0 {
            return Ok(None);
        }
        let text = &rest[..end];
        let unsigned = !double && rest[end..].starts_with(['u', 'U']);
        let literal = if double {
            let number: f64 = text.parse().map_err(|_| self.wrong("this is no number"))?;
            Literal::Double(if negative { -number } else { number })
        } else {
            whole(text, 10, negative, unsigned).ok_or_else(|| self.wrong("this number is too large"))?
        };
        self.cursor.at += end + usize::from(unsigned);
        Ok(Some(Expr::Literal(literal)))
    }

    /// A text or bytes, with `prefix` before the quote (`r`, `b`, both or none).
    fn literal(&mut self, prefix: &str) -> Result<Literal, ParseError> {
        let (raw, bytes) = (prefix.contains('r'), prefix.contains('b'));
        let rest = self.cursor.rest();
        let quote = ["\"\"\"", "'''", "\"", "'"]
            .into_iter()
            .find(|quote| rest.starts_with(quote))
            .ok_or_else(|| self.wrong("a quote is missing"))?;
        self.cursor.at += quote.len();
        let mut found: Vec<u8> = Vec::new();
        loop {
            let rest = self.cursor.rest();
            let Some(character) = rest.chars().next() else { return Err(self.wrong("the closing quote is missing")) };
            if rest.starts_with(quote) {
                self.cursor.at += quote.len();
                break;
            }
            if character == '\n' && quote.len() == 1 {
                return Err(self.wrong("the closing quote is missing"));
            }
            self.cursor.at += character.len_utf8();
            if character != '\\' || raw {
                found.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            self.escape(bytes, &mut found)?;
        }
        if bytes {
            return Ok(Literal::Bytes(found.into()));
        }
        String::from_utf8(found).map(|text| Literal::Text(Arc::from(text))).map_err(|_| self.wrong("this text is not UTF-8"))
    }

    fn escape(&mut self, bytes: bool, found: &mut Vec<u8>) -> Result<(), ParseError> {
        let rest = self.cursor.rest();
        let Some(sign) = rest.chars().next() else { return Err(self.wrong("the closing quote is missing")) };
        let simple = [
            ('a', 7),
            ('b', 8),
            ('f', 12),
            ('n', 10),
            ('r', 13),
            ('t', 9),
            ('v', 11),
            ('\\', b'\\'),
            ('?', b'?'),
            ('"', b'"'),
            ('\'', b'\''),
            ('`', b'`'),
        ];
        if let Some((_, byte)) = simple.into_iter().find(|(name, _)| *name == sign) {
            self.cursor.at += 1;
            found.push(byte);
            return Ok(());
        }
        let (skip, count, radix) = match sign {
            'x' | 'X' => (1, 2, 16),
            'u' if !bytes => (1, 4, 16),
            'U' if !bytes => (1, 8, 16),
            '0'..='3' => (0, 3, 8),
            _ => return Err(self.wrong(format!("there is no escape \\{sign}"))),
        };
        let number = rest
            .get(skip..skip + count)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, radix).ok());
        let Some(number) = number else { return Err(self.wrong("this escape lacks digits")) };
        self.cursor.at += skip + count;
        if bytes {
            found.push(number.try_into().map_err(|_| self.wrong("this escape is no byte"))?);
            return Ok(());
        }
        let character = char::from_u32(number).ok_or_else(|| self.wrong("this escape is no character"))?;
        found.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }
}

fn whole(digits: &str, radix: u32, negative: bool, unsigned: bool) -> Option<Literal> {
    if unsigned {
        let number = u64::from_str_radix(digits, radix).ok()?;
        return (!negative).then_some(Literal::Uint(number));
    }
    let number = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -number } else { number }).ok().map(Literal::Int)
}

/// See [`balanced`]; `&&` and `||` may be taken in any grouping.
fn chain(parts: Vec<Expr>, join: fn(Box<Expr>, Box<Expr>) -> Expr) -> Expr {
    balanced(parts, join).unwrap_or(Expr::Literal(Literal::Null))
}

/// White space and comments.
fn blank(text: &str) -> usize {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
        if !rest.starts_with("//") {
            return text.len() - rest.len();
        }
        rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
    }
}
