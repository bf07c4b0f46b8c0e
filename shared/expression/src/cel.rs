//! CEL as Flux evaluates it: `status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')`. Variables are the top-level fields of the
//! object; types are found out while evaluating (Flux parses and does not check); numbers of different types compare; the extensions for texts,
//! sets, base64 and optional values are there (`fluxcd/pkg runtime/cel`).
//!
//! Left out, and refused by name when an expression is read: `format`, parts of times, patterns that are computed. An unknown function is refused then
//! too; in Flux it fails when it is evaluated.

mod functions;
mod parse;
mod run;
mod value;

use std::sync::Arc;

use serde_json::Value;

use crate::cursor::is_shallow;
use functions::Function;

/// The longest expression, in bytes; Flux's library of expressions has none over 500.
pub const LENGTH: usize = 4096;

/// The deepest nesting of parentheses; an expression may be twice as deep by its chains of operators and fields. A step on the native stack is
/// under 4 KB, so that this is 512 KB.
const DEPTH: usize = 64;

/// The steps of one evaluation: an object of 2 KB has 100 values; a loop in a loop in a loop over ten conditions each takes some 10,000 steps. A
/// step takes under 100 ns, so that this is 10 ms.
const STEPS: u64 = 100_000;

/// An expression that was read.
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
    root: Arc<Expr>,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Over the limit.
    #[error("it has {0} bytes, more than the {LENGTH} allowed")]
    TooLong(usize),
    /// Parentheses in parentheses in parentheses.
    #[error("it is nested more than {DEPTH} levels deep")]
    TooDeep,
    /// Not CEL.
    #[error("at line {line}, column {column}: {problem}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
}

/// Why an expression has no answer on an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A field that is not there; `has(…)` asks first.
    #[error("no such key: {0}")]
    NoSuchKey(String),
    /// The object has no top-level field of this name.
    #[error("no such attribute: {0}")]
    NoSuchAttribute(String),
    /// A function or operator was given what it does not take.
    #[error("no such overload: {0}")]
    NoSuchOverload(String),
    /// A value is out of range, or a text cannot be read as what it should be.
    #[error("{0}")]
    Value(String),
    /// The answer is neither true nor false.
    #[error("the answer is {0} and not true or false")]
    NotBoolean(&'static str),
    /// The budget is spent.
    #[error("it costs more than {STEPS} steps on this object")]
    Spent,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// If it is none, or uses what is left out; the error says where.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let root = parse::parse(text)?;
        if is_shallow(&root, DEPTH * 2, Expr::children) {
            Ok(Self { text: text.to_owned(), root: Arc::new(root) })
        } else {
            Err(ParseError::TooDeep)
        }
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The answer on `object`.
    ///
    /// # Errors
    /// If there is none: a field is missing, types do not fit, or the budget is spent.
    pub fn holds(&self, object: &Value) -> Result<bool, EvalError> {
        run::holds(&self.root, object)
    }
}

#[derive(Debug)]
enum Expr {
    Literal(Literal),
    Variable(String),
    Select {
        from: Box<Expr>,
        field: String,
        optional: bool,
    },
    Has {
        from: Box<Expr>,
        field: String,
    },
    Index {
        from: Box<Expr>,
        index: Box<Expr>,
        optional: bool,
    },
    List(Vec<(Expr, bool)>),
    Map(Vec<(Expr, Expr, bool)>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    Call {
        function: Function,
        arguments: Vec<Expr>,
    },
    Matches(Box<Expr>, regex::Regex),
    Loop {
        kind: Loop,
        over: Box<Expr>,
        variable: String,
        condition: Option<Box<Expr>>,
        body: Box<Expr>,
    },
    /// `optMap`, `optFlatMap`.
    OptionalMap {
        flat: bool,
        over: Box<Expr>,
        variable: String,
        body: Box<Expr>,
    },
}

impl Expr {
    fn children(&self) -> Vec<&Self> {
        match self {
            Self::Literal(_) | Self::Variable(_) => Vec::new(),
            Self::Select { from, .. } | Self::Has { from, .. } | Self::Not(from) | Self::Negate(from) | Self::Matches(from, _) => {
                vec![from]
            }
            Self::Index { from, index, .. } => vec![from, index],
            Self::List(items) => items.iter().map(|(item, _)| item).collect(),
            Self::Map(items) => items.iter().flat_map(|(key, value, _)| [key, value]).collect(),
            Self::And(a, b) | Self::Or(a, b) | Self::Binary(_, a, b) => vec![a, b],
            Self::If(a, b, c) => vec![a, b, c],
            Self::Call { arguments, .. } => arguments.iter().collect(),
            Self::Loop { over, condition, body, .. } => [over, body].into_iter().chain(condition).map(|child| &**child).collect(),
            Self::OptionalMap { over, body, .. } => vec![over, body],
        }
    }
}

#[derive(Debug, Clone)]
enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loop {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[cfg(test)]
mod tests;
