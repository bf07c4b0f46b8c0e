//! What expressions stand for, by the rules of `fluxcd/pkg/envsubst` 1.9 down to its oddities: lengths and positions count bytes, a default
//! stands for an empty value too, and every argument is worked out, also those that are not needed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::glob::{self, Match, decode};
use super::problem::{Fault, SubstitutionProblem};
use super::template::{Expression, Operation, Piece, Template};

/// The steps that patterns may take in one app: about a tenth of a second. `${v##*a*b}` takes as many as the square of the value's length.
const STEP_LIMIT: usize = 20_000_000;

/// The most bytes that the expressions of one app may make, intermediate values included: twice the largest output of an app.
pub(super) const BYTE_LIMIT: usize = 2 * crate::OUTPUT_LIMIT;

/// What evaluation may still use.
#[derive(Debug)]
pub(super) struct Budget {
    steps: usize,
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: STEP_LIMIT, bytes: BYTE_LIMIT }
    }
}

impl Budget {
    pub(super) fn step(&mut self) -> Result<(), SubstitutionProblem> {
        self.steps = self.steps.checked_sub(1).ok_or(SubstitutionProblem::TooManySteps { limit: STEP_LIMIT })?;
        Ok(())
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<(), SubstitutionProblem> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or(SubstitutionProblem::TooManyBytes { limit: BYTE_LIMIT })?;
        Ok(())
    }
}

/// What variables stand for, and what was asked about them.
pub(super) struct Evaluation<'a> {
    pub(super) variables: &'a BTreeMap<String, String>,
    /// Whether a variable that is not set is an error.
    pub(super) is_strict: bool,
    /// The answers; `None` is "not set".
    pub(super) asked: &'a mut BTreeMap<String, Option<String>>,
    pub(super) budget: &'a mut Budget,
}

impl Evaluation<'_> {
    /// The text with every expression replaced. It may be no UTF-8: `${v:1}` cuts bytes.
    pub(super) fn text(&mut self, template: &Template<'_>) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        for piece in &template.pieces {
            match piece {
                Piece::Expression(expression) => {
                    let line = |problem| Fault { line: template.line_of(expression.at), problem };
                    let value = self.value(expression).map_err(line)?;
                    self.budget.take(value.len()).map_err(line)?;
                    out.extend_from_slice(&value);
                }
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Unescaped(text) => out.extend_from_slice(text.as_bytes()),
            }
        }
        Ok(out)
    }

    fn value<'p>(&mut self, expression: &'p Expression<'_>) -> Result<Cow<'p, [u8]>, SubstitutionProblem> {
        let mut arguments = Vec::with_capacity(expression.arguments.len());
        for piece in &expression.arguments {
            arguments.push(match piece {
                Piece::Text(text) => Cow::Borrowed(text.as_bytes()),
                Piece::Unescaped(text) => Cow::Borrowed(text.as_bytes()),
                Piece::Expression(inner) => self.value(inner)?,
            });
        }
        let value = self.variables.get(expression.name);
        if !self.asked.contains_key(expression.name) {
            self.asked.insert(expression.name.to_owned(), value.cloned());
        }
        if value.is_none() && self.is_strict && expression.operation != Operation::Default {
            return Err(SubstitutionProblem::Unset { name: expression.name.to_owned() });
        }
        let value = value.map_or("", String::as_str).as_bytes();
        self.apply(expression.operation, value, &arguments)
    }

    fn apply<'p>(&mut self, operation: Operation, value: &[u8], arguments: &[Cow<'p, [u8]>]) -> Result<Cow<'p, [u8]>, SubstitutionProblem> {
        let first: &[u8] = arguments.first().map_or(&[], |argument| argument);
        let second: Option<&[u8]> = arguments.get(1).map(|argument| &**argument);
        self.budget.take(value.len())?;
        let made = match operation {
            Operation::Value => value.to_vec(),
            Operation::Length => value.len().to_string().into_bytes(),
            Operation::UpperFirst => first_changed(value, upper),
            Operation::LowerFirst => first_changed(value, lower),
            Operation::Upper => all_changed(value, upper),
            Operation::Lower => all_changed(value, lower),
            Operation::Default if value.is_empty() => {
                self.budget.take(arguments.iter().map(|argument| argument.len()).sum())?;
                match arguments {
                    [one] => return Ok(one.clone()),
                    several => several.concat(),
                }
            }
            Operation::Default => value.to_vec(),
            Operation::Substring => substring(value, first, second).to_vec(),
            Operation::ShortestPrefix => shortest(value, first, self.budget)?.to_vec(),
            Operation::LongestPrefix => longest(value, first, self.budget)?.to_vec(),
            Operation::ShortestSuffix => reversed(shortest(&reversed(value), &reversed(first), self.budget)?),
            Operation::LongestSuffix => reversed(longest(&reversed(value), &reversed(first), self.budget)?),
            Operation::ReplaceFirst => replaced(value, first, second.unwrap_or_default(), 1, self.budget)?,
            Operation::ReplaceAll => replaced(value, first, second.unwrap_or_default(), usize::MAX, self.budget)?,
            // Without a replacement these two do nothing.
            Operation::ReplacePrefix => match second {
                Some(by) if value.starts_with(first) => replaced(value, first, by, 1, self.budget)?,
                _ => value.to_vec(),
            },
            Operation::ReplaceSuffix => match (second, value.strip_suffix(first)) {
                (Some(by), Some(rest)) => [rest, by].concat(),
                _ => value.to_vec(),
            },
        };
        Ok(Cow::Owned(made))
    }
}

/// From a position, counted from the end if negative, and up to a length, or to a position from the end. Numbers that are none leave the value.
fn substring<'v>(value: &'v [u8], position: &[u8], length: Option<&[u8]>) -> &'v [u8] {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<i64>().ok();
    let from_end = |number: i64| value.len().checked_sub(usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX));
    let Some(position) = number(position) else { return value };
    let start = if position < 0 { from_end(position).unwrap_or(0) } else { usize::try_from(position).unwrap_or(usize::MAX) };
    let end = match length.map(number) {
        None => Some(value.len()),
        Some(None) => return value,
        Some(Some(length)) if length < 0 => from_end(length),
        Some(Some(length)) => Some(start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(value.len())),
    };
    end.and_then(|end| value.get(start..end)).unwrap_or_default()
}

/// The value without the shortest prefix that the pattern takes; unchanged if there is none but the empty one.
fn shortest<'v>(value: &'v [u8], pattern: &[u8], budget: &mut Budget) -> Result<&'v [u8], SubstitutionProblem> {
    let mut found = 0;
    for length in (1..=value.len()).rev() {
        match glob::matches(pattern, &value[..length], budget)? {
            Match::Yes => found = length,
            Match::No => {}
            Match::Bad => return Ok(value),
        }
    }
    Ok(&value[found..])
}

fn longest<'v>(value: &'v [u8], pattern: &[u8], budget: &mut Budget) -> Result<&'v [u8], SubstitutionProblem> {
    for length in (1..=value.len()).rev() {
        match glob::matches(pattern, &value[..length], budget)? {
            Match::Yes => return Ok(&value[length..]),
            Match::No => {}
            Match::Bad => return Ok(value),
        }
    }
    Ok(value)
}

/// The first `times` of `old` replaced. An empty `old` is found before every character and at the end.
fn replaced(value: &[u8], old: &[u8], new: &[u8], times: usize, budget: &mut Budget) -> Result<Vec<u8>, SubstitutionProblem> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    let mut is_first = true;
    for _ in 0..times {
        let before = match (old.is_empty(), is_first) {
            (true, true) => 0,
            (true, false) if rest.is_empty() => break,
            (true, false) => decode(rest).1,
            (false, _) => match find(rest, old) {
                Some(at) => at,
                None => break,
            },
        };
        budget.take(new.len())?;
        out.extend_from_slice(&rest[..before]);
        out.extend_from_slice(new);
        rest = &rest[before + old.len()..];
        is_first = false;
    }
    out.extend_from_slice(rest);
    Ok(out)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// The characters from the last to the first; bytes that are none become U+FFFD.
fn reversed(value: &[u8]) -> Vec<u8> {
    characters(value).collect::<Vec<_>>().into_iter().rev().collect::<String>().into_bytes()
}

fn characters(mut value: &[u8]) -> impl Iterator<Item = char> {
    std::iter::from_fn(move || {
        let (c, width) = (!value.is_empty()).then(|| decode(value))?;
        value = &value[width..];
        Some(c)
    })
}

fn first_changed(value: &[u8], change: fn(char) -> char) -> Vec<u8> {
    if value.is_empty() {
        return Vec::new();
    }
    let (c, width) = decode(value);
    let mut out = change(c).to_string().into_bytes();
    out.extend_from_slice(&value[width..]);
    out
}

fn all_changed(value: &[u8], change: fn(char) -> char) -> Vec<u8> {
    characters(value).map(change).collect::<String>().into_bytes()
}

/// The one character that is the capital of `c`: where Unicode writes several (ß), Go keeps `c`, but for the Greek ones with an iota below.
fn upper(c: char) -> char {
    let single = |code: u32| char::from_u32(code).unwrap_or(c);
    match c {
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => single(u32::from(c) + 8),
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => single(u32::from(c) + 9),
        c => only(c.to_uppercase()).unwrap_or(c),
    }
}

fn lower(c: char) -> char {
    match c {
        '\u{130}' => 'i',
        c => only(c.to_lowercase()).unwrap_or(c),
    }
}

fn only(mut characters: impl Iterator<Item = char>) -> Option<char> {
    characters.next().filter(|_| characters.next().is_none())
}
