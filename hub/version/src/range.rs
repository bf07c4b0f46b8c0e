//! Ranges of versions, as Flux and Helm write them: partial versions, `x`, `~`, `^`, hyphens, `,` or space for "and", `||` for "or".

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::{InvalidVersion, Version};

/// The longest range: a dozen alternatives of two full comparisons.
const LENGTH_LIMIT: usize = 512;

/// The most alternatives: with the longest range, 16 bytes each.
const ALTERNATIVES_LIMIT: usize = 32;

/// A set of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange {
    alternatives: Vec<Alternative>,
}

/// The text is no range of versions. The messages are those of Masterminds/semver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// Longer than 512 bytes.
    #[error("constraint string is too long (max {LENGTH_LIMIT} bytes)")]
    TooLong,
    /// More than 32 sides of `||`.
    #[error("too many constraint groups (max {ALTERNATIVES_LIMIT})")]
    TooManyAlternatives,
    /// A side of `||` that is not made of comparisons.
    #[error("improper constraint: {text:?}")]
    Improper {
        /// The side.
        text: String,
    },
    /// A comparison with something that is no version.
    #[error("constraint parser error")]
    Version(#[source] InvalidVersion),
}

/// Comparisons that all must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alternative {
    comparisons: Vec<Comparison>,
    /// Whether a comparison names a pre-release: only then may a pre-release be in it.
    names_prerelease: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparison {
    operator: Operator,
    /// The operator and the version as they are written.
    written: (String, String),
    version: Version,
    precision: Precision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Tilde,
    Caret,
}

/// How much of a version is written, before the first `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    Nothing,
    Major,
    Minor,
    Patch,
}

/// All operators, longer ones before those that they begin with.
const OPERATORS: [(&str, Operator); 11] = [
    ("!=", Operator::NotEqual),
    (">=", Operator::GreaterOrEqual),
    ("=>", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    ("=<", Operator::LessOrEqual),
    ("~>", Operator::Tilde),
    ("=", Operator::Equal),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
];

impl VersionRange {
    /// Whether `version` is in the range. A pre-release is only if a comparison beside it names one.
    pub fn contains(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|alternative| {
            (version.prerelease().is_empty() || alternative.names_prerelease)
                && alternative.comparisons.iter().all(|comparison| comparison.holds(version))
        })
    }
}

impl Comparison {
    fn holds(&self, version: &Version) -> bool {
        let order = version.precedence(&self.version);
        let open = self.precision < Precision::Patch;
        match self.operator {
            Operator::Equal if open => self.tilde(version, order),
            Operator::Equal => order.is_eq(),
            Operator::NotEqual if open => self.differs(version),
            Operator::NotEqual => order.is_ne(),
            Operator::Greater if open => self.is_beyond(version, order),
            Operator::Greater => order.is_gt(),
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::Less => order.is_lt(),
            // `<=1.2` holds all of 1.2.x.
            Operator::LessOrEqual if open => {
                version.major() < self.version.major()
                    || (version.major() == self.version.major()
                        && (self.precision == Precision::Major || version.minor() <= self.version.minor()))
            }
            Operator::LessOrEqual => order.is_le(),
            Operator::Tilde => self.tilde(version, order),
            Operator::Caret => self.caret(version, order),
        }
    }

    /// `~1.2.3` and `~1.2` keep major and minor, `~1` the major; `*` and `~0.0.0` have no upper end.
    fn tilde(&self, version: &Version, order: Ordering) -> bool {
        let wanted = &self.version;
        let whole = matches!(self.precision, Precision::Nothing | Precision::Patch);
        let unbounded = whole && (wanted.major(), wanted.minor(), wanted.patch()) == (0, 0, 0);
        let same_minor = self.precision == Precision::Major || version.minor() == wanted.minor();
        order.is_ge() && (unbounded || (version.major() == wanted.major() && same_minor))
    }

    /// `^` keeps the leftmost number that is not zero, or the last that is written; `^*` holds 0.0.0 alone.
    fn caret(&self, version: &Version, order: Ordering) -> bool {
        let wanted = &self.version;
        let same_major = version.major() == wanted.major();
        let same_minor = version.minor() == wanted.minor();
        let shares = if wanted.major() > 0 || self.precision == Precision::Major {
            same_major
        } else if wanted.minor() > 0 || self.precision == Precision::Minor {
            same_major && same_minor
        } else {
            same_major && same_minor && version.patch() == wanted.patch()
        };
        order.is_ge() && shares
    }

    /// `!=1.2` leaves out all of 1.2.x, of its pre-releases only those that are named.
    fn differs(&self, version: &Version) -> bool {
        let wanted = &self.version;
        if version.major() != wanted.major() {
            return true;
        }
        match self.precision {
            Precision::Major => false,
            _ if version.minor() != wanted.minor() => true,
            Precision::Minor => version.prerelease() != wanted.prerelease(),
            _ => version.patch() != wanted.patch() || version.precedence(wanted).is_ne(),
        }
    }

    /// `>1.2` begins at 1.3.0: no 1.2.x is greater than "1.2".
    fn is_beyond(&self, version: &Version, order: Ordering) -> bool {
        match version.major().cmp(&self.version.major()) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => match self.precision {
                Precision::Major => false,
                Precision::Minor => version.minor() > self.version.minor(),
                _ => order.is_gt(),
            },
        }
    }
}

impl FromStr for VersionRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        if text.len() > LENGTH_LIMIT {
            return Err(InvalidRange::TooLong);
        }
        let text = without_hyphens(text);
        let sides: Vec<&str> = text.split("||").collect();
        if sides.len() > ALTERNATIVES_LIMIT {
            return Err(InvalidRange::TooManyAlternatives);
        }
        let alternatives = sides.into_iter().map(alternative).collect::<Result<_, _>>()?;
        Ok(Self { alternatives })
    }
}

impl fmt::Display for VersionRange {
    /// Without unnecessary spaces and with hyphens as two comparisons, in a form that parses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, alternative) in self.alternatives.iter().enumerate() {
            f.write_str(if place > 0 { " || " } else { "" })?;
            for (place, Comparison { written: (operator, version), .. }) in alternative.comparisons.iter().enumerate() {
                f.write_str(if place > 0 { " " } else { "" })?;
                write!(f, "{operator}{version}")?;
            }
        }
        Ok(())
    }
}

/// One side of `||`: comparisons with commas or spaces between them.
fn alternative(text: &str) -> Result<Alternative, InvalidRange> {
    let improper = || InvalidRange::Improper { text: text.to_owned() };
    let mut written = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    loop {
        let (name, operator) = OPERATORS.into_iter().find(|(name, _)| rest.starts_with(name)).unwrap_or(("", Operator::Equal));
        let (version, after) = partial_version(rest[name.len()..].trim_start_matches(is_space)).ok_or_else(improper)?;
        written.push((name, operator, version));
        let next = after.trim_start_matches(is_space);
        rest = match next.strip_prefix(',') {
            Some(next) => next.trim_start_matches(is_space),
            None if next.is_empty() => break,
            None if next.len() < after.len() => next,
            None => return Err(improper()),
        };
    }
    let comparisons =
        written.iter().map(|(name, operator, version)| comparison(name, *operator, version)).collect::<Result<Vec<_>, _>>()?;
    let names_prerelease = comparisons.iter().any(|comparison| !comparison.version.prerelease().is_empty());
    Ok(Alternative { comparisons, names_prerelease })
}

/// A version of which the end may be missing or `x`.
struct PartialVersion<'a> {
    text: &'a str,
    numbers: [&'a str; 3],
    /// With its hyphen.
    prerelease: &'a str,
}

fn comparison(name: &str, operator: Operator, partial: &PartialVersion<'_>) -> Result<Comparison, InvalidRange> {
    let PartialVersion { text, numbers: [major, minor, patch], prerelease } = partial;
    let is_open = |number: &str| matches!(number, "" | "x" | "X" | "*");
    let (precision, version) = if is_open(major) {
        (Precision::Nothing, format!("0.0.0{prerelease}"))
    } else if is_open(minor) {
        (Precision::Major, format!("{major}.0.0{prerelease}"))
    } else if is_open(patch) {
        (Precision::Minor, format!("{major}.{minor}.0{prerelease}"))
    } else {
        (Precision::Patch, (*text).to_owned())
    };
    let version = Version::parse(&version).map_err(InvalidRange::Version)?;
    Ok(Comparison { operator, written: (name.to_owned(), (*text).to_owned()), version, precision })
}

/// The partial version that `text` begins with, and what follows it.
fn partial_version(text: &str) -> Option<(PartialVersion<'_>, &str)> {
    // The bar is among them in Masterminds/semver by mistake; no version has one, so that it only decides which message is given.
    let number_of = |text: &str| text.find(|c: char| !(c.is_ascii_digit() || "xX*|".contains(c))).unwrap_or(text.len());
    let after_v = text.strip_prefix('v').unwrap_or(text);
    let (major, mut rest) = after_v.split_at(number_of(after_v));
    if major.is_empty() {
        return None;
    }
    let mut numbers = [major, "", ""];
    for slot in &mut numbers[1..] {
        let Some(after) = rest.strip_prefix('.') else { break };
        let (number, after) = after.split_at(number_of(after));
        if number.is_empty() {
            break;
        }
        (*slot, rest) = (number, after);
    }
    let (prerelease, rest) = rest.split_at(identifiers_after(rest, '-'));
    let rest = &rest[identifiers_after(rest, '+')..];
    Some((PartialVersion { text: &text[..text.len() - rest.len()], numbers, prerelease }, rest))
}

/// How many bytes `mark` and the identifiers after it take at the beginning of `text`.
fn identifiers_after(text: &str, mark: char) -> usize {
    let Some(after) = text.strip_prefix(mark) else { return 0 };
    let mut end = 0;
    loop {
        let identifier = after[end..].find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(after.len() - end);
        if identifier == 0 {
            // A dot that no identifier follows is not of it.
            return if end == 0 { 0 } else { end };
        }
        end += identifier;
        if !after[end..].starts_with('.') {
            return end + 1;
        }
        end += 1;
    }
}

/// Every `a - b` as `>= a, <= b`.
fn without_hyphens(text: &str) -> String {
    let mut result = text.to_owned();
    let mut rest = text;
    while !rest.is_empty() {
        match hyphenated(rest) {
            Some((from, to, after)) => {
                let found = &rest[..rest.len() - after.len()];
                result = result.replacen(found, &format!(">= {from}, <= {to} "), 1);
                rest = after;
            }
            None => rest = rest.char_indices().nth(1).map_or("", |(next, _)| &rest[next..]),
        }
    }
    result
}

/// The versions around the hyphen if `text` begins with such a pair, and what follows it.
fn hyphenated(text: &str) -> Option<(&str, &str, &str)> {
    let spaced = |text| Some(str::trim_start_matches(text, is_space)).filter(|trimmed| trimmed.len() < text.len());
    let (from, rest) = partial_version(text.trim_start_matches(is_space))?;
    let (to, rest) = partial_version(spaced(spaced(rest)?.strip_prefix('-')?)?)?;
    Some((from.text, to.text, rest.trim_start_matches(is_space)))
}

/// What `\s` means in Go.
fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\x0c' | '\r' | ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Range, versions inside, versions outside.
    const TABLE: &[(&str, &str, &str)] = &[
        ("1.2.3", "1.2.3 v1.2.3 1.2.3+build", "1.2.4 1.2.3-rc.1"),
        ("=1.2.3", "1.2.3", "1.2.2"),
        ("= 1.2.3", "1.2.3", "1.2.2"),
        ("v1.2.3", "1.2.3", "1.2.4"),
        ("1.2", "1.2.0 1.2.9", "1.3.0 1.1.9"),
        ("1", "1.0.0 1.9.9", "2.0.0 0.9.0"),
        ("1.2.x", "1.2.0 1.2.9", "1.3.0"),
        ("1.x", "1.0.0 1.9.0", "2.0.0"),
        ("1.X.X", "1.0.0 1.9.0", "2.0.0"),
        ("1.2.*", "1.2.5", "1.3.0"),
        ("*", "0.0.0 9.9.9", "1.0.0-alpha"),
        ("x", "0.0.1", "1.0.0-alpha"),
        ("*-0", "1.0.0-alpha 1.0.0", ""),
        ("!=1.2.3", "1.2.4 1.2.2", "1.2.3"),
        ("!=1.2", "1.3.0 1.1.0", "1.2.0 1.2.7"),
        ("!=1", "2.0.0", "1.0.0 1.9.9"),
        (">1.2.3", "1.2.4 2.0.0", "1.2.3 1.2.4-rc.1"),
        (">1.2", "1.3.0", "1.2.0 1.2.9"),
        (">11", "12.0.0", "11.0.0 11.1.0"),
        (">11.1", "11.2.0", "11.1.0 11.1.9"),
        (">=1.2.3", "1.2.3 2.0.0", "1.2.2"),
        ("=>1.2.3", "1.2.3", "1.2.2"),
        (">=1.2", "1.2.0 1.9.0", "1.1.9"),
        (">=1", "1.0.0 7.0.0", "0.9.9"),
        ("<1.2.3", "1.2.2 0.1.0", "1.2.3"),
        ("<1.2", "1.1.9", "1.2.0"),
        ("<11", "10.9.9", "11.0.0"),
        ("<=1.2.3", "1.2.3", "1.2.4"),
        ("=<1.2.3", "1.2.3", "1.2.4"),
        ("<=1.2", "1.2.9 1.0.0", "1.3.0"),
        ("<=11", "11.9.9", "12.0.0"),
        ("~1.2.3", "1.2.3 1.2.9", "1.3.0 1.2.2"),
        ("~>1.2.3", "1.2.9", "1.3.0"),
        ("~1.2", "1.2.0 1.2.9", "1.3.0"),
        ("~1", "1.0.0 1.9.0", "2.0.0"),
        ("~1.x", "1.9.0", "2.0.0"),
        ("~0.1.2", "0.1.5", "0.2.0"),
        ("^1.2.3", "1.2.3 1.9.0", "2.0.0 1.2.2"),
        ("^1.2", "1.2.0 1.9.0", "1.1.0 2.0.0"),
        ("^1.2.x", "1.2.0 1.9.9", "2.0.0"),
        ("^1", "1.0.0 1.9.0", "2.0.0"),
        ("^0.2.3", "0.2.3 0.2.9", "0.3.0"),
        ("^0.2", "0.2.0 0.2.9", "0.3.0"),
        ("^0.0.3", "0.0.3", "0.0.4"),
        ("^0.0", "0.0.0 0.0.9", "0.1.0"),
        ("^0", "0.0.0 0.9.9", "1.0.0"),
        ("1.2 - 1.4.5", "1.2.0 1.4.5", "1.4.6 1.1.9"),
        ("1.2.3 - 1.4", "1.4.9", "1.5.0"),
        ("2 - 3 || 5", "2.0.0 3.9.9 5.1.0", "4.0.0"),
        (">=1.2 <2", "1.2.0 1.9.9", "2.0.0"),
        (">=1.2, <2, !=1.3.5", "1.3.4", "1.3.5"),
        (">= 1.2, < 2", "1.2.0", "2.0.0"),
        ("<1 || >=2.1", "0.1.0 2.1.0", "1.5.0 2.0.0"),
        ("1.x||3.x", "1.1.0 3.1.0", "2.0.0"),
        (">=1.0.0-0", "1.0.0-alpha 1.0.0 2.0.0-beta", "0.9.9"),
        (">=1.0.0-0 <2.0.0", "1.5.0-rc.1 1.5.0", "2.0.0"),
        (">=1.0.0 <2.0.0", "1.5.0", "1.5.0-rc.1"),
        ("~1.2.3-beta.2", "1.2.3-beta.2 1.2.3-rc.1 1.2.4", "1.2.3-beta.1 1.3.0"),
        ("^1.2.3-beta.2", "1.2.3-beta.2 1.9.0", "1.2.3-alpha 2.0.0"),
        ("1.2.3-rc.1", "1.2.3-rc.1", "1.2.3 1.2.3-rc.2"),
        ("<1 || >=2.0.0-0", "2.0.0-rc.1", "0.9.0-rc.1"),
        ("01", "1.0.0 1.4.0", "2.0.0"),
        ("1.x.3", "1.0.0 1.9.0", "2.0.0"),
        ("~0.0.0", "0.0.0 7.1.0", ""),
        ("^*", "0.0.0", "0.0.1 1.0.0"),
        (">*", "0.0.1 1.0.0", "0.0.0"),
        ("!=*", "0.0.1 1.0.0", "0.0.0"),
        ("<=*", "0.0.0 0.0.9", "0.1.0 1.0.0"),
        ("<*", "", "0.0.0 1.0.0"),
        ("!=1.2-0", "1.2.0-alpha 1.3.0-rc.1", ""),
        (">=1.19-0", "1.19.0-gke.1 1.30.2-eks-1234 1.19.0", "1.18.9-gke.1"),
        (">= 1.19.0-0 < 1.31.0-0", "1.30.5-gke.7", "1.31.0-alpha.1 1.31.0"),
        ("1 - 2 || 1 - 2", "1.0.0 2.9.9", "3.0.0"),
    ];

    #[test]
    fn a_range_holds_what_masterminds_semver_says() {
        for (range, inside, outside) in TABLE {
            let parsed: VersionRange = range.parse().unwrap_or_else(|error| panic!("{range}: {error}"));
            assert_eq!(parsed.to_string().parse::<VersionRange>().map(|again| again.to_string()), Ok(parsed.to_string()), "{range}");
            for (versions, holds) in [(inside, true), (outside, false)] {
                for text in versions.split(' ').filter(|text| !text.is_empty()) {
                    let version = Version::parse(text).expect(text);
                    assert_eq!(parsed.contains(&version), holds, "{range} and {text}");
                }
            }
        }
    }

    #[test]
    fn a_range_is_printed_in_full_and_parses_again() {
        for (range, printed) in [
            ("  >= 1.2 ,<2||~> 3", ">=1.2 <2 || ~>3"),
            ("1.2 - 1.4.5", ">=1.2 <=1.4.5"),
            ("v1.x", "v1.x"),
            ("*-0", "*-0"),
            ("1.2.3+meta.1", "1.2.3+meta.1"),
        ] {
            assert_eq!(range.parse::<VersionRange>().map(|range| range.to_string()), Ok(printed.to_owned()));
        }
    }

    #[test]
    fn what_is_no_range_is_refused_in_the_words_of_masterminds_semver() {
        for (bad, message) in [
            ("", "improper constraint: \"\""),
            (" ", "improper constraint: \" \""),
            ("||", "improper constraint: \"\""),
            ("1 ||", "improper constraint: \"\""),
            ("a", "improper constraint: \"a\""),
            ("1.a", "improper constraint: \"1.a\""),
            ("1.2.3.4", "improper constraint: \"1.2.3.4\""),
            (">", "improper constraint: \">\""),
            (">>1", "improper constraint: \">>1\""),
            ("1..2", "improper constraint: \"1..2\""),
            ("1.2.3-", "improper constraint: \"1.2.3-\""),
            ("1.2.3-ä", "improper constraint: \"1.2.3-ä\""),
            ("1.2.3-a.", "improper constraint: \"1.2.3-a.\""),
            ("~~1", "improper constraint: \"~~1\""),
            ("-", "improper constraint: \"-\""),
            ("1 -", "improper constraint: \"1 -\""),
            ("1,,2", "improper constraint: \"1,,2\""),
            ("1,", "improper constraint: \"1,\""),
            (">=1.2 - 1.4", "improper constraint: \">=>= 1.2, <= 1.4 \""),
            ("1.2.3.4 - 5", "improper constraint: \"1.>= 2.3.4, <= 5 \""),
            ("1|2", "constraint parser error"),
            ("1xx", "constraint parser error"),
            ("1.2.3-01", "constraint parser error"),
            ("99999999999999999999", "constraint parser error"),
        ] {
            let error = bad.parse::<VersionRange>().map(|range| range.to_string()).expect_err(bad);
            assert_eq!(error.to_string(), message, "{bad:?}");
        }
        assert_eq!("1".repeat(513).parse::<VersionRange>(), Err(InvalidRange::TooLong));
        assert_eq!(["1"; 33].join("||").parse::<VersionRange>(), Err(InvalidRange::TooManyAlternatives));
    }
}
