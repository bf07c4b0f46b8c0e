//! Which version of a chart is wanted, and which one of those that are there is it: as `helm` chooses.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use hub_version::{InvalidRange, Version, VersionRange};
use shared_model::Digest;

/// How many versions a message names.
const NEWEST: usize = 5;

/// The longest text of a version in an index: three numbers of 20 digits, and room for a branch and a commit.
pub(crate) const VERSION_LIMIT: usize = 256;

/// Which version of a chart is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedVersion {
    text: String,
    choice: Choice,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    /// The newest that is in the range; one that is written just like the text before all others.
    Range(VersionRange),
    /// The one with these bytes.
    Digest(Digest),
}

/// The text names no version of a chart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no version of a chart and no range; write for example 1.4.2, \"^1.4\", \">=1.2 <2\", \"*\" or sha256:<digest>")]
pub struct InvalidWantedVersion {
    /// What was read, cut to 80 characters.
    pub text: String,
    /// The rule that it breaks.
    pub source: Option<InvalidRange>,
}

impl WantedVersion {
    /// The newest version that is no pre-release.
    pub fn newest() -> Self {
        Self { text: "*".to_owned(), choice: Choice::Range("*".parse().expect("the range of all versions")) }
    }

    /// The digest that the chart is pinned to: of the manifest in a registry, of the archive elsewhere.
    pub fn digest(&self) -> Option<Digest> {
        match &self.choice {
            Choice::Digest(digest) => Some(*digest),
            Choice::Range(_) => None,
        }
    }

    /// The version that is meant, if it is written without an operator: another can only be it if that one is not there. Helm takes it for the
    /// tag in a registry, also where it is short (`1.2`) or begins with `v`.
    pub(crate) fn exact(&self) -> Option<&str> {
        Version::parse(&self.text).is_ok().then_some(self.text.as_str())
    }

    /// Which of `versions` it is: the one that is written just so, else the newest in the range. Texts that are no versions are passed over.
    /// Of versions that differ in their build alone, the greater text: nothing depends on the order in which they are listed.
    pub(crate) fn pick<'a>(&self, versions: impl Iterator<Item = &'a str> + Clone) -> Option<usize> {
        let Choice::Range(range) = &self.choice else { return None };
        if let Some(same) = versions.clone().position(|version| version == self.text) {
            return Some(same);
        }
        let parsed = versions.enumerate().filter_map(|(at, text)| Some((at, Version::parse(text).ok()?)));
        parsed.filter(|(_, version)| range.contains(version)).max_by(|(_, a), (_, b)| newer(a, b)).map(|(at, _)| at)
    }
}

fn newer(a: &Version, b: &Version) -> Ordering {
    a.precedence(b).then_with(|| a.original().cmp(b.original()))
}

/// The newest of `versions`, for messages.
pub(crate) fn newest_of<'a>(versions: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut parsed: Vec<Version> = versions.filter_map(|text| Version::parse(text).ok()).collect();
    parsed.sort_by(|a, b| newer(b, a));
    parsed.iter().take(NEWEST).map(|version| version.original().to_owned()).collect()
}

/// Whether the text can stand in a file name and in a record: what a version of a chart is made of.
pub(crate) fn is_plain_version(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_');
    !text.is_empty() && text.len() <= VERSION_LIMIT && !text.starts_with('.') && text.chars().all(plain) && Version::parse(text).is_ok()
}

impl FromStr for WantedVersion {
    type Err = InvalidWantedVersion;

    fn from_str(text: &str) -> Result<Self, InvalidWantedVersion> {
        let text = text.trim();
        let invalid = |source| InvalidWantedVersion { text: text.chars().take(80).collect(), source };
        if text.is_empty() {
            return Ok(Self::newest());
        }
        if text.chars().any(char::is_control) {
            return Err(invalid(None));
        }
        let choice = if text.starts_with("sha256:") {
            Choice::Digest(text.parse().map_err(|_| invalid(None))?)
        } else {
            Choice::Range(text.parse().map_err(|error| invalid(Some(error)))?)
        };
        Ok(Self { text: text.to_owned(), choice })
    }
}

impl fmt::Display for WantedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wanted, what is there, what is taken.
    const TABLE: &[(&str, &str, Option<&str>)] = &[
        ("", "1.0.0 1.2.0 1.10.0 2.0.0-rc.1", Some("1.10.0")),
        ("*", "1.0.0 2.0.0-rc.1 1.9.9", Some("1.9.9")),
        ("*", "1.0.0-alpha 1.0.0-beta", None),
        (">0.0.0-0", "1.0.0 2.0.0-rc.1", Some("2.0.0-rc.1")),
        ("1.2.0", "1.3.0 1.2.0 1.2.1", Some("1.2.0")),
        ("1.2.0", "1.2.0+b 1.2.0 1.2.0+a", Some("1.2.0")),
        ("1.2.0", "1.2.0+a 1.2.0+b", Some("1.2.0+b")),
        ("1.2.0", "1.2.0+b 1.2.0+a", Some("1.2.0+b")),
        ("v1.2.0", "1.2.0 v1.2.0", Some("v1.2.0")),
        ("v1.2.0", "1.2.0", Some("1.2.0")),
        ("1.2", "1.2.0 1.2.9 1.3.0", Some("1.2.9")),
        ("^1.2", "1.1.0 1.4.7 2.0.0", Some("1.4.7")),
        ("~1.2.3", "1.2.2 1.2.9 1.3.0", Some("1.2.9")),
        (">=1.2 <2 || 5.x", "1.9.0 4.0.0 5.0.1", Some("5.0.1")),
        ("^1", "0.1.0 2.0.0", None),
        ("^1", "latest main 1.0.0 garbage", Some("1.0.0")),
        (">=2.0.0-0 <3", "2.0.0-rc.2 2.0.0-rc.10 2.0.0-rc.1", Some("2.0.0-rc.10")),
        ("1.0.0-rc.1", "1.0.0 1.0.0-rc.1", Some("1.0.0-rc.1")),
        ("^1.0.0", "1.1.0-rc.1 1.0.5", Some("1.0.5")),
    ];

    #[test]
    fn the_version_is_the_one_that_helm_takes() {
        for (wanted, there, taken) in TABLE {
            let versions: Vec<&str> = there.split(' ').collect();
            let wanted: WantedVersion = wanted.parse().expect("valid");
            let picked = wanted.pick(versions.iter().copied()).map(|at| versions[at]);
            assert_eq!(picked, *taken, "{wanted} among {there}");
            let backwards: Vec<&str> = versions.iter().rev().copied().collect();
            assert_eq!(wanted.pick(backwards.iter().copied()).map(|at| backwards[at]), *taken, "{wanted}: the order is nobody's matter");
        }
    }

    #[test]
    fn a_digest_is_a_version_and_nonsense_is_none() {
        let digest = Digest::of(b"x");
        assert_eq!(digest.to_string().parse::<WantedVersion>().expect("valid").digest(), Some(digest));
        for bad in ["sha256:00", "latest", "1.2.3.4", "^", "a b", "1.0\n2", &"1 ".repeat(600)] {
            assert!(bad.parse::<WantedVersion>().is_err(), "{bad}");
        }
    }

    #[test]
    fn messages_name_the_newest_first() {
        assert_eq!(newest_of(["1.0.0", "x", "1.10.0", "1.2.0"].into_iter()), ["1.10.0", "1.2.0", "1.0.0"]);
    }

    #[test]
    fn a_version_that_could_leave_its_directory_is_none() {
        for bad in ["../1.0.0", "1.0.0/..", "1.0.0 ", "", "1.0.0\n", "latest", &format!("1.0.0-{}", "x".repeat(300))] {
            assert!(!is_plain_version(bad), "{bad}");
        }
        for good in ["1.0.0", "v1.2.3-rc.1+build.7", "1.2"] {
            assert!(is_plain_version(good), "{good}");
        }
    }
}
