//! Places in an object, in jq's words: `.spec.template.spec.initContainers[] | select(.name == "proxy")`.
//!
//! This is the part of jq that points at fields, and the part that decides which. What computes new values (`to_entries`, `map`, variables,
//! functions of one's own, assignment) points at nothing and is refused by name, so that an expression says at the hub already whether it is one.
//! Each evaluation has a budget of steps; nothing here recurses deeper than [`DEPTH`].

mod parse;
mod run;

use regex::Regex;
use serde_json::Value;

pub use run::SpentError;

use crate::cursor::is_shallow;

/// The longest expression, in bytes. Argo CD's examples have under 200.
pub const LENGTH: usize = 2048;

/// The deepest nesting of parentheses; an expression may be twice as deep by its chains. A step on the native stack is under 2 KB, so that this
/// is 256 KB.
pub(crate) const DEPTH: usize = 64;

/// A step into an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A field of a map.
    Field(String),
    /// An element of a list, from 0.
    Index(usize),
}

/// An expression that points at fields. It keeps its text alone, which is read anew for each object: that takes microseconds, and an expression
/// is then as good a key as its text is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JqPath {
    text: String,
}

/// Why a text is no expression that points at fields.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JqError {
    /// Over the limit.
    #[error("it has {0} bytes, more than the {LENGTH} allowed")]
    TooLong(usize),
    /// Parentheses in parentheses in parentheses.
    #[error("it is nested more than {DEPTH} levels deep")]
    TooDeep,
    /// Not jq.
    #[error("at column {column}: {problem}")]
    Syntax {
        /// The column, from 1.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
    /// A part of jq that is not taken here.
    #[error("at column {column}: {what} is not taken here; {remedy}")]
    Unsupported {
        /// The column, from 1.
        column: usize,
        /// What.
        what: String,
        /// What to write instead.
        remedy: &'static str,
    },
    /// It computes a value.
    #[error("it computes a value and points at no field; begin with a path such as .spec.replicas")]
    NoPath,
}

impl JqPath {
    /// Reads an expression.
    ///
    /// # Errors
    /// If it is not one that points at fields; the error says where and why.
    pub fn parse(text: &str) -> Result<Self, JqError> {
        let root = parse::parse(text)?;
        if !is_shallow(&root, DEPTH * 2, Expr::children) {
            return Err(JqError::TooDeep);
        }
        if root.is_path() { Ok(Self { text: text.to_owned() }) } else { Err(JqError::NoPath) }
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The places in `object` that it points at, in order and without repetition. An expression that does not fit the object (it iterates over
    /// what is no list) points at nothing, as `del(…)` then does nothing in Argo CD. A place need not exist.
    ///
    /// # Errors
    /// If the budget is spent.
    pub fn places(&self, object: &Value) -> Result<Vec<Vec<Key>>, SpentError> {
        parse::parse(&self.text).map_or_else(|_| Ok(Vec::new()), |root| run::places(&root, object))
    }
}

#[derive(Debug)]
pub(crate) enum Expr {
    Identity,
    Recurse,
    Field(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    Iterate,
    Literal(Value),
    Pipe(Box<Expr>, Box<Expr>),
    Comma(Box<Expr>, Box<Expr>),
    Alternative(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Compare(Order, Box<Expr>, Box<Expr>),
    Try(Box<Expr>),
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    Select(Box<Expr>),
    First(Box<Expr>),
    Empty,
    /// `any(generator; condition)` or `all`.
    Quantified {
        all: bool,
        generator: Box<Expr>,
        condition: Box<Expr>,
    },
    /// `IN(…)`: one of these.
    In(Box<Expr>),
    Not,
    Length,
    Type,
    Keys,
    ToText,
    LowerCase,
    Has(Box<Expr>),
    StartsWith(Box<Expr>),
    EndsWith(Box<Expr>),
    Contains(Box<Expr>),
    Test(Regex),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Expr {
    fn children(&self) -> Vec<&Self> {
        match self {
            Self::Pipe(a, b) | Self::Comma(a, b) | Self::Alternative(a, b) | Self::Or(a, b) | Self::And(a, b) | Self::Compare(_, a, b) => {
                vec![a, b]
            }
            Self::If(a, b, c) => vec![a, b, c],
            Self::Quantified { generator, condition, .. } => vec![generator, condition],
            Self::Try(a)
            | Self::Select(a)
            | Self::First(a)
            | Self::In(a)
            | Self::Has(a)
            | Self::StartsWith(a)
            | Self::EndsWith(a)
            | Self::Contains(a) => vec![a],
            _ => Vec::new(),
        }
    }

    /// Whether it yields the elements of a range, which jq takes for one list.
    fn ends_in_range(&self) -> bool {
        match self {
            Self::Slice(..) => true,
            Self::Pipe(_, last) | Self::Try(last) | Self::First(last) => last.ends_in_range(),
            Self::Comma(a, b) | Self::Alternative(a, b) | Self::If(_, a, b) => a.ends_in_range() || b.ends_in_range(),
            _ => false,
        }
    }

    /// Whether all that it yields is a place in its input.
    fn is_path(&self) -> bool {
        match self {
            Self::Identity
            | Self::Recurse
            | Self::Field(_)
            | Self::Index(_)
            | Self::Slice(..)
            | Self::Iterate
            | Self::Select(_)
            | Self::Empty => true,
            Self::Pipe(a, b) | Self::Comma(a, b) | Self::Alternative(a, b) | Self::If(_, a, b) => a.is_path() && b.is_path(),
            Self::Try(inner) | Self::First(inner) => inner.is_path(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
