//! The patterns of `${v#p}` and its kin, byte for byte as Flux matches them: `*`, `?`, `[a-z]`, `[^a]` and `\` before a character that is meant
//! literally. What is bad in a pattern shows only where a match gets there, and part of a character counts as one that is wrong.

use super::evaluate::Budget;
use super::problem::SubstitutionProblem;

/// What [`decode`] gives for a byte that is no UTF-8.
const REPLACEMENT: char = '\u{fffd}';

/// The result of looking for a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    Yes,
    No,
    /// The pattern is none.
    Bad,
}

/// What comes of the text between two stars.
enum Step<'n> {
    /// It is there; this is what follows it.
    Rest(&'n [u8]),
    No,
    Bad,
}

/// Whether `pattern` is all of `name`.
pub(super) fn matches(mut pattern: &[u8], mut name: &[u8], budget: &mut Budget) -> Result<Match, SubstitutionProblem> {
    'pattern: while !pattern.is_empty() {
        let stars = pattern.iter().take_while(|byte| **byte == b'*').count();
        let length = literal_length(&pattern[stars..]);
        let (literal, after) = pattern[stars..].split_at(length);
        pattern = after;
        if stars > 0 && literal.is_empty() {
            return Ok(Match::Yes);
        }
        let is_last = pattern.is_empty();
        match literal_at(literal, name, budget)? {
            Step::Rest(rest) if rest.is_empty() || !is_last => {
                name = rest;
                continue;
            }
            Step::Bad => return Ok(Match::Bad),
            Step::Rest(_) | Step::No => {}
        }
        if stars > 0 {
            for skipped in 1..=name.len() {
                match literal_at(literal, &name[skipped..], budget)? {
                    Step::Rest(rest) if rest.is_empty() || !is_last => {
                        name = rest;
                        continue 'pattern;
                    }
                    Step::Bad => return Ok(Match::Bad),
                    Step::Rest(_) | Step::No => {}
                }
            }
        }
        return Ok(Match::No);
    }
    Ok(if name.is_empty() { Match::Yes } else { Match::No })
}

/// The bytes up to the next star that is one.
fn literal_length(pattern: &[u8]) -> usize {
    let (mut at, mut in_class) = (0, false);
    while let Some(byte) = pattern.get(at) {
        match byte {
            b'\\' if at + 1 < pattern.len() => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class => break,
            _ => {}
        }
        at += 1;
    }
    at
}

/// Whether `name` begins with what `literal`, which has no stars, says.
fn literal_at<'n>(mut literal: &[u8], mut name: &'n [u8], budget: &mut Budget) -> Result<Step<'n>, SubstitutionProblem> {
    while let Some((first, rest)) = literal.split_first() {
        budget.step()?;
        if name.is_empty() {
            return Ok(Step::No);
        }
        match first {
            b'[' => {
                let (c, width) = decode(name);
                let Some((holds, after)) = class(rest, c, budget)? else { return Ok(Step::Bad) };
                if !holds {
                    return Ok(Step::No);
                }
                (literal, name) = (after, &name[width..]);
            }
            b'?' => (literal, name) = (rest, &name[decode(name).1..]),
            first => {
                let (wanted, after) = match (first, rest.split_first()) {
                    (b'\\', None) => return Ok(Step::Bad),
                    (b'\\', Some((escaped, after))) => (escaped, after),
                    (first, _) => (first, rest),
                };
                if name[0] != *wanted {
                    return Ok(Step::No);
                }
                (literal, name) = (after, &name[1..]);
            }
        }
    }
    Ok(Step::Rest(name))
}

/// Whether the class that begins `pattern` (after its bracket) takes `c`, and what follows the class. `None` if it is no class.
fn class<'p>(pattern: &'p [u8], c: char, budget: &mut Budget) -> Result<Option<(bool, &'p [u8])>, SubstitutionProblem> {
    let (is_negated, mut pattern) = match pattern.split_first() {
        Some((b'^', rest)) => (true, rest),
        _ => (false, pattern),
    };
    let (mut found, mut is_first) = (false, true);
    loop {
        budget.step()?;
        if let Some((b']', rest)) = pattern.split_first()
            && !is_first
        {
            return Ok(Some((found != is_negated, rest)));
        }
        let Some((low, rest)) = member(pattern) else { return Ok(None) };
        pattern = rest;
        let mut high = low;
        if let Some((b'-', rest)) = pattern.split_first() {
            let Some((last, rest)) = member(rest) else { return Ok(None) };
            (high, pattern) = (last, rest);
        }
        found |= (low..=high).contains(&c);
        is_first = false;
    }
}

/// A character of a class and what follows it, which must not be nothing.
fn member(pattern: &[u8]) -> Option<(char, &[u8])> {
    let pattern = match pattern.split_first()? {
        (b'-' | b']', _) => return None,
        (b'\\', rest) => rest,
        _ => pattern,
    };
    if pattern.is_empty() {
        return None;
    }
    let (c, width) = decode(pattern);
    let is_broken = c == REPLACEMENT && width == 1;
    (!is_broken && pattern.len() > width).then(|| (c, &pattern[width..]))
}

/// The first character of `bytes`, which are not empty, and its length. A byte that begins none counts as U+FFFD of one byte.
pub(super) fn decode(bytes: &[u8]) -> (char, usize) {
    (1..=bytes.len().min(4))
        .find_map(|width| {
            let c = std::str::from_utf8(&bytes[..width]).ok()?.chars().next()?;
            Some((c, width))
        })
        .unwrap_or((REPLACEMENT, 1))
}
