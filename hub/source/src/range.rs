//! Ranges of semantic versions, as Flux and Helm write them, and the versions that tags name. The rules are those of
//! Masterminds/semver 3: partial versions, `x`, `~`, `^`, hyphens, `,` or space for "and", `||` for "or".

use std::fmt;
use std::str::FromStr;

use semver::{Prerelease, Version};

/// The longest range: a dozen alternatives of two full comparisons.
const RANGE_LIMIT: usize = 1024;

/// A set of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange {
    text: String,
    alternatives: Vec<Vec<Comparison>>,
}

/// The text is no range of versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no range of versions: {rule}; write for example \">=1.2 <2\", \"~1.4\", \"^2.0.0\", \"1.x || 3.x\"")]
pub struct InvalidRange {
    /// What was read, cut to 80 characters.
    pub text: String,
    /// The rule that it breaks.
    pub rule: &'static str,
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

/// How much of a version was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    Nothing,
    Major,
    Minor,
    Patch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparison {
    operator: Operator,
    version: Version,
    precision: Precision,
}

impl VersionRange {
    /// Whether `version` is in the range. A pre-release is only if a comparison beside it names one.
    pub fn contains(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|all| {
            let names_pre_release = all.iter().any(|comparison| !comparison.version.pre.is_empty());
            (version.pre.is_empty() || names_pre_release) && all.iter().all(|comparison| comparison.holds(version))
        })
    }
}

/// The version that a tag names: `1.2.3` or `v1.2.3`. Shorter tags, such as a moving `v1`, name none, as in Flux.
pub fn version_of_tag(tag: &str) -> Option<Version> {
    Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

impl Comparison {
    fn holds(&self, version: &Version) -> bool {
        let (wanted, precision) = (&self.version, self.precision);
        let order = version.cmp_precedence(wanted);
        match self.operator {
            Operator::Equal if precision == Precision::Patch => order.is_eq(),
            Operator::Equal => self.shares_what_is_written(version),
            Operator::NotEqual if precision == Precision::Patch => order.is_ne(),
            Operator::NotEqual => !self.shares_what_is_written(version),
            // `>1.2` begins at 1.3.0: no 1.2.x is greater than "1.2".
            Operator::Greater => order.is_gt() && (precision == Precision::Patch || !self.shares_what_is_written(version)),
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::Less => order.is_lt(),
            // `<=1.2` holds all of 1.2.x.
            Operator::LessOrEqual => order.is_le() || (precision < Precision::Patch && self.shares_what_is_written(version)),
            Operator::Tilde => order.is_ge() && self.shares(version, precision.min(Precision::Minor)),
            Operator::Caret => order.is_ge() && self.shares(version, self.caret_precision()),
        }
    }

    fn shares_what_is_written(&self, version: &Version) -> bool {
        self.shares(version, self.precision)
    }

    fn shares(&self, version: &Version, precision: Precision) -> bool {
        let wanted = &self.version;
        (precision < Precision::Major || version.major == wanted.major)
            && (precision < Precision::Minor || version.minor == wanted.minor)
            && (precision < Precision::Patch || version.patch == wanted.patch)
    }

    /// `^` keeps the leftmost number that is not zero, or the last that is written.
    fn caret_precision(&self) -> Precision {
        let leftmost = match &self.version {
            Version { major: 0, minor: 0, .. } => Precision::Patch,
            Version { major: 0, .. } => Precision::Minor,
            _ => Precision::Major,
        };
        leftmost.min(self.precision)
    }
}

impl FromStr for VersionRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let invalid = |rule| InvalidRange { text: text.chars().take(80).collect(), rule };
        if text.len() > RANGE_LIMIT {
            return Err(invalid("it is longer than 1024 bytes"));
        }
        let alternatives: Result<_, _> = text.split("||").map(|part| alternative(part).map_err(invalid)).collect();
        Ok(Self { text: text.trim().to_owned(), alternatives: alternatives? })
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One side of `||`: comparisons that all must hold.
fn alternative(text: &str) -> Result<Vec<Comparison>, &'static str> {
    let words = joined_operators(text);
    let mut comparisons = Vec::new();
    let mut rest = words.as_slice();
    loop {
        rest = match rest {
            [] => break,
            [from, hyphen, to, rest @ ..] if hyphen == "-" => {
                comparisons.push(bound(Operator::GreaterOrEqual, from)?);
                comparisons.push(bound(Operator::LessOrEqual, to)?);
                rest
            }
            [word, rest @ ..] => {
                comparisons.push(comparison(word)?);
                rest
            }
        };
    }
    if comparisons.is_empty() { Err("a side of \"||\" is empty") } else { Ok(comparisons) }
}

/// The words of `text`, with an operator that stands alone joined to the version after it: `>= 1.2` is one word.
fn joined_operators(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let is_operator = |word: &str| word.chars().all(|c| "=!<>~^".contains(c));
    for word in text.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
        match words.last_mut() {
            Some(last) if is_operator(last) => last.push_str(word),
            _ => words.push(word.to_owned()),
        }
    }
    words
}

fn comparison(word: &str) -> Result<Comparison, &'static str> {
    let end = word.find(|c| !"=!<>~^".contains(c)).unwrap_or(word.len());
    let (operator, version) = word.split_at(end);
    let operator = match operator {
        "" | "=" => Operator::Equal,
        "!=" => Operator::NotEqual,
        ">" => Operator::Greater,
        ">=" | "=>" => Operator::GreaterOrEqual,
        "<" => Operator::Less,
        "<=" | "=<" => Operator::LessOrEqual,
        "~" | "~>" => Operator::Tilde,
        "^" => Operator::Caret,
        _ => return Err("an operator is one of = != > >= < <= ~ ~> ^"),
    };
    bound(operator, version)
}

fn bound(operator: Operator, text: &str) -> Result<Comparison, &'static str> {
    const RULE: &str = "a version has up to three numbers, each of which may end it as x or *";
    let text = text.strip_prefix('v').unwrap_or(text);
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    if build.is_some_and(|build| semver::BuildMetadata::new(build).is_err()) {
        return Err("build metadata after \"+\" has letters, digits, \"-\" and \".\"");
    }
    let (numbers, pre) = text.split_once('-').map_or((text, ""), |(numbers, pre)| (numbers, pre));
    let mut parts = [0; 3];
    let mut precision = Precision::Nothing;
    let mut open = false;
    for (place, part) in numbers.split('.').enumerate() {
        let slot = parts.get_mut(place).ok_or(RULE)?;
        if matches!(part, "x" | "X" | "*") {
            open = true;
            continue;
        }
        if open || part.is_empty() || (part.len() > 1 && part.starts_with('0')) || !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err(RULE);
        }
        *slot = part.parse().map_err(|_| RULE)?;
        precision = [Precision::Major, Precision::Minor, Precision::Patch][place];
    }
    let [major, minor, patch] = parts;
    let pre = if text.contains('-') {
        Prerelease::new(pre).map_err(|_| "a pre-release after \"-\" has letters, digits and \".\"")?
    } else {
        Prerelease::EMPTY
    };
    if text.contains('-') && pre.is_empty() {
        return Err("a pre-release after \"-\" is not empty");
    }
    Ok(Comparison { operator, version: Version { major, minor, patch, pre, build: semver::BuildMetadata::EMPTY }, precision })
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
    ];

    #[test]
    fn a_range_holds_what_masterminds_semver_says() {
        for (range, inside, outside) in TABLE {
            let parsed: VersionRange = range.parse().unwrap_or_else(|error| panic!("{error}"));
            for (versions, holds) in [(inside, true), (outside, false)] {
                for text in versions.split(' ').filter(|text| !text.is_empty()) {
                    let version = version_of_tag(text).expect(text);
                    assert_eq!(parsed.contains(&version), holds, "{range} and {text}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_range_is_refused_with_the_rule() {
        for bad in ["", " ", "||", "1 ||", "a", "1.a", "1.2.3.4", ">", ">>1", "1.x.3", "01", "1..2", "1.2.3-", "1.2.3-ä", "~~1", "-", "1 -"]
        {
            let error = bad.parse::<VersionRange>().map(|range| format!("{range:?}")).expect_err(bad);
            assert!(error.to_string().contains("no range of versions"), "{error}");
        }
    }

    #[test]
    fn only_a_full_version_is_a_version_tag() {
        for (tag, is) in [
            ("1.2.3", true),
            ("v1.2.3", true),
            ("v1.2.3-rc.1+7", true),
            ("v1", false),
            ("1.2", false),
            ("V1.2.3", false),
            ("release-1.2.3", false),
        ] {
            assert_eq!(version_of_tag(tag).is_some(), is, "{tag}");
        }
    }
}
