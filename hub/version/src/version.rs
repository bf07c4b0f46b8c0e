//! One version: read strictly or leniently, compared by precedence, counted up. Sets of versions are left to `range`.

use std::cmp::Ordering;
use std::fmt;

/// The longest version: three numbers of 20 digits, and room for a branch name and a commit in pre-release and metadata.
const LENGTH_LIMIT: usize = 256;

/// A semantic version and how it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    major: u64,
    minor: u64,
    patch: u64,
    pre: String,
    metadata: String,
    original: String,
}

/// The text is no version. The messages are those of Masterminds/semver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVersion {
    /// Not of the form.
    #[error("invalid semantic version")]
    Form,
    /// Nothing at all.
    #[error("version string empty")]
    Empty,
    /// Longer than 256 bytes.
    #[error("version string is too long (max {LENGTH_LIMIT} bytes)")]
    TooLong,
    /// A number with something else than digits.
    #[error("invalid characters in version")]
    Characters,
    /// A number with a zero before it.
    #[error("version segment starts with 0")]
    LeadingZero,
    /// What follows the `+`.
    #[error("invalid metadata string")]
    Metadata,
    /// What follows the `-`.
    #[error("invalid prerelease string")]
    Prerelease,
    /// A number that does not fit.
    #[error("{prefix}strconv.ParseUint: parsing \"{digits}\": {reason}")]
    Number {
        /// What lenient reading puts before the message.
        prefix: &'static str,
        /// The digits.
        digits: String,
        /// What is wrong with them.
        reason: &'static str,
    },
}

/// A number of a version is the greatest there is, and none follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{part} version increment would overflow uint64")]
pub struct Overflow {
    part: &'static str,
}

/// The version that a tag names: `1.2.3` or `v1.2.3`. Shorter tags, such as a moving `v1`, name none, as in Flux.
pub fn version_of_tag(tag: &str) -> Option<Version> {
    Version::parse_strict(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

impl Version {
    /// Reads leniently, as `NewVersion` does: `v` may stand before it, minor and patch may be missing, numbers may begin with zeros.
    pub fn parse(text: &str) -> Result<Self, InvalidVersion> {
        if text.len() > LENGTH_LIMIT {
            return Err(InvalidVersion::TooLong);
        }
        let (rest, metadata) = split_checked(text.strip_prefix('v').unwrap_or(text), '+')?;
        let (rest, pre) = split_checked(rest, '-')?;
        let mut numbers = [0; 3];
        for (place, digits) in rest.split('.').enumerate() {
            let slot = numbers.get_mut(place).ok_or(InvalidVersion::Form)?;
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(InvalidVersion::Form);
            }
            *slot = number(digits, "error parsing version segment: ")?;
        }
        check_prerelease(pre)?;
        let [major, minor, patch] = numbers;
        Ok(Self { major, minor, patch, pre: pre.to_owned(), metadata: metadata.to_owned(), original: text.to_owned() })
    }

    /// Reads strictly, as `StrictNewVersion` does: all three numbers and nothing before them.
    pub fn parse_strict(text: &str) -> Result<Self, InvalidVersion> {
        if text.is_empty() {
            return Err(InvalidVersion::Empty);
        }
        if text.len() > LENGTH_LIMIT {
            return Err(InvalidVersion::TooLong);
        }
        let mut parts = text.splitn(3, '.');
        let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(InvalidVersion::Form);
        };
        let (rest, metadata) = rest.split_once('+').map_or((rest, None), |(rest, metadata)| (rest, Some(metadata)));
        metadata.map_or(Ok(()), check_metadata)?;
        let (patch, pre) = rest.split_once('-').map_or((rest, None), |(rest, pre)| (rest, Some(pre)));
        pre.map_or(Ok(()), |pre| if pre.is_empty() { Err(InvalidVersion::Prerelease) } else { check_prerelease(pre) })?;
        for digits in [major, minor, patch] {
            if !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(InvalidVersion::Characters);
            }
            if digits.len() > 1 && digits.starts_with('0') {
                return Err(InvalidVersion::LeadingZero);
            }
        }
        Ok(Self {
            major: number(major, "")?,
            minor: number(minor, "")?,
            patch: number(patch, "")?,
            pre: pre.unwrap_or_default().to_owned(),
            metadata: metadata.unwrap_or_default().to_owned(),
            original: text.to_owned(),
        })
    }

    /// The version without pre-release and metadata that has these numbers.
    pub fn new(major: u64, minor: u64, patch: u64) -> Self {
        let version = Self { major, minor, patch, pre: String::new(), metadata: String::new(), original: String::new() };
        Self { original: version.to_string(), ..version }
    }

    /// The first number.
    pub fn major(&self) -> u64 {
        self.major
    }

    /// The second number.
    pub fn minor(&self) -> u64 {
        self.minor
    }

    /// The third number.
    pub fn patch(&self) -> u64 {
        self.patch
    }

    /// What follows the `-`; empty for a release.
    pub fn prerelease(&self) -> &str {
        &self.pre
    }

    /// What follows the `+`; empty if there is none.
    pub fn metadata(&self) -> &str {
        &self.metadata
    }

    /// The text that was read.
    pub fn original(&self) -> &str {
        &self.original
    }

    /// By precedence: a pre-release before its release, metadata without weight.
    pub fn precedence(&self, other: &Self) -> Ordering {
        let numbers = |version: &Self| (version.major, version.minor, version.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare_prereleases(&self.pre, &other.pre),
        })
    }

    /// The next major version.
    pub fn next_major(&self) -> Result<Self, Overflow> {
        let major = self.major.checked_add(1).ok_or(Overflow { part: "major" })?;
        Ok(self.renamed(Self::new(major, 0, 0)))
    }

    /// The next minor version.
    pub fn next_minor(&self) -> Result<Self, Overflow> {
        let minor = self.minor.checked_add(1).ok_or(Overflow { part: "minor" })?;
        Ok(self.renamed(Self::new(self.major, minor, 0)))
    }

    /// The next patch version; of a pre-release, its release.
    pub fn next_patch(&self) -> Result<Self, Overflow> {
        let one = u64::from(self.pre.is_empty());
        let patch = self.patch.checked_add(one).ok_or(Overflow { part: "patch" })?;
        Ok(self.renamed(Self::new(self.major, self.minor, patch)))
    }

    /// The same with another pre-release; with an empty one the release.
    pub fn with_prerelease(&self, pre: &str) -> Result<Self, InvalidVersion> {
        check_prerelease(pre)?;
        Ok(self.renamed(Self { pre: pre.to_owned(), ..self.clone() }))
    }

    /// The same with other metadata; with empty metadata none.
    pub fn with_metadata(&self, metadata: &str) -> Result<Self, InvalidVersion> {
        if !metadata.is_empty() {
            check_metadata(metadata)?;
        }
        Ok(self.renamed(Self { metadata: metadata.to_owned(), ..self.clone() }))
    }

    /// `next` with the `v` before it that this one has.
    fn renamed(&self, next: Self) -> Self {
        let prefix = if self.original.starts_with('v') { "v" } else { "" };
        Self { original: format!("{prefix}{next}"), ..next }
    }
}

impl fmt::Display for Version {
    /// In full, without the `v`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.pre.is_empty() {
            write!(f, "-{}", self.pre)?;
        }
        if !self.metadata.is_empty() {
            write!(f, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

/// What stands before `mark`, and after it identifiers in letters, digits and `-`; nothing after it if it is not there.
fn split_checked(text: &str, mark: char) -> Result<(&str, &str), InvalidVersion> {
    match text.split_once(mark) {
        None => Ok((text, "")),
        Some((before, after)) if is_identifiers(after) => Ok((before, after)),
        Some(_) => Err(InvalidVersion::Form),
    }
}

fn number(digits: &str, prefix: &'static str) -> Result<u64, InvalidVersion> {
    digits.parse().map_err(|_| InvalidVersion::Number {
        prefix,
        digits: digits.to_owned(),
        reason: if digits.is_empty() { "invalid syntax" } else { "value out of range" },
    })
}

/// Whether `text` is made of identifiers with dots between them.
fn is_identifiers(text: &str) -> bool {
    text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

/// Nothing, or identifiers of which no number begins with a zero.
fn check_prerelease(pre: &str) -> Result<(), InvalidVersion> {
    if pre.is_empty() {
        return Ok(());
    }
    for part in pre.split('.') {
        if !is_identifiers(part) {
            return Err(InvalidVersion::Prerelease);
        }
        if part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidVersion::LeadingZero);
        }
    }
    Ok(())
}

fn check_metadata(metadata: &str) -> Result<(), InvalidVersion> {
    if is_identifiers(metadata) { Ok(()) } else { Err(InvalidVersion::Metadata) }
}

/// Part by part: numbers by value and before words, words by their bytes, fewer parts before more.
fn compare_prereleases(one: &str, other: &str) -> Ordering {
    let mut parts = (one.split('.'), other.split('.'));
    loop {
        let order = match (parts.0.next(), parts.1.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(one), Some(other)) => compare_parts(one, other),
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Digits beyond 64 bits count as a word, as in Go.
fn compare_parts(one: &str, other: &str) -> Ordering {
    match (one.parse::<u64>(), other.parse::<u64>()) {
        (Ok(one), Ok(other)) => one.cmp(&other),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => one.cmp(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text, what strict and lenient reading give, as real Masterminds/semver 3.5.0 prints them.
    const TABLE: &[(&str, &str, &str)] = &[
        ("1.2.3", "1.2.3", "1.2.3"),
        ("v1.2.3", "invalid characters in version", "1.2.3"),
        ("V1.2.3", "invalid characters in version", "invalid semantic version"),
        ("1", "invalid semantic version", "1.0.0"),
        ("v1.2", "invalid semantic version", "1.2.0"),
        ("1.2-beta", "invalid semantic version", "1.2.0-beta"),
        ("1.2.3-beta.1+b.2", "1.2.3-beta.1+b.2", "1.2.3-beta.1+b.2"),
        ("1.2.3+a-b", "1.2.3+a-b", "1.2.3+a-b"),
        ("01.2.3", "version segment starts with 0", "1.2.3"),
        ("1.2.3-01", "version segment starts with 0", "version segment starts with 0"),
        ("1.2.3-0a", "1.2.3-0a", "1.2.3-0a"),
        ("1.2.3-", "invalid prerelease string", "invalid semantic version"),
        ("1.2.3+", "invalid metadata string", "invalid semantic version"),
        ("1.2.3-a..b", "invalid prerelease string", "invalid semantic version"),
        ("1.2.3+a..b", "invalid metadata string", "invalid semantic version"),
        ("1.2.3-a_b", "invalid prerelease string", "invalid semantic version"),
        ("1.2.3.4", "invalid characters in version", "invalid semantic version"),
        ("1..3", "strconv.ParseUint: parsing \"\": invalid syntax", "invalid semantic version"),
        (" 1.2.3", "invalid characters in version", "invalid semantic version"),
        ("1.2.3\n", "invalid characters in version", "invalid semantic version"),
        ("1.x", "invalid semantic version", "invalid semantic version"),
        ("", "version string empty", "invalid semantic version"),
        (
            "99999999999999999999.0.0",
            "strconv.ParseUint: parsing \"99999999999999999999\": value out of range",
            "error parsing version segment: strconv.ParseUint: parsing \"99999999999999999999\": value out of range",
        ),
    ];

    #[test]
    fn strict_and_lenient_reading_say_what_masterminds_semver_says() {
        let told = |read: Result<Version, InvalidVersion>| read.map_or_else(|error| error.to_string(), |version| version.to_string());
        for (text, strict, lenient) in TABLE {
            assert_eq!(told(Version::parse_strict(text)), *strict, "{text:?} strictly");
            assert_eq!(told(Version::parse(text)), *lenient, "{text:?} leniently");
        }
        let long = format!("1.2.3-{}", "a".repeat(251));
        assert_eq!(told(Version::parse(&long)), "version string is too long (max 256 bytes)");
        assert_eq!(told(Version::parse_strict(&long)), "version string is too long (max 256 bytes)");
    }

    #[test]
    fn precedence_is_that_of_the_specification_with_long_numbers_as_words() {
        let ascending = [
            "0.9.9",
            "1.0.0-1",
            "1.0.0-2",
            "1.0.0-103",
            "1.0.0-99999999999999999999",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.2.0",
            "1.10.0",
            "2.0.0",
        ];
        let versions: Vec<_> = ascending.iter().map(|text| Version::parse(text).expect(text)).collect();
        for (i, one) in versions.iter().enumerate() {
            for (j, other) in versions.iter().enumerate() {
                assert_eq!(one.precedence(other), i.cmp(&j), "{one} and {other}");
            }
        }
        let with = |text| Version::parse(text).expect(text);
        assert!(with("1.2.3+a").precedence(&with("v1.2.3+b")).is_eq());
    }

    #[test]
    fn the_next_version_keeps_the_v_and_drops_what_follows_the_numbers() {
        let next = |text: &str, step: fn(&Version) -> Result<Version, Overflow>| {
            step(&Version::parse(text).expect(text)).map_or_else(|error| error.to_string(), |next| next.original().to_owned())
        };
        assert_eq!(next("v1.2.3", Version::next_patch), "v1.2.4");
        assert_eq!(next("1.2.3-rc.1+7", Version::next_patch), "1.2.3");
        assert_eq!(next("1.2.3+7", Version::next_patch), "1.2.4");
        assert_eq!(next("v1.2.3-rc.1", Version::next_minor), "v1.3.0");
        assert_eq!(next("1.2", Version::next_major), "2.0.0");
        assert_eq!(next("18446744073709551615", Version::next_major), "major version increment would overflow uint64");
        let version = Version::parse("v1.2").expect("a version");
        assert_eq!(version.with_prerelease("rc.1").map(|version| version.original().to_owned()), Ok("v1.2.0-rc.1".to_owned()));
        assert_eq!(version.with_prerelease("a..b"), Err(InvalidVersion::Prerelease));
        assert_eq!(version.with_metadata("7").map(|version| version.to_string()), Ok("1.2.0+7".to_owned()));
        assert_eq!(version.with_metadata("ä"), Err(InvalidVersion::Metadata));
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
            ("vv1.2.3", false),
            ("release-1.2.3", false),
        ] {
            assert_eq!(version_of_tag(tag).is_some(), is, "{tag}");
        }
    }
}
