//! What a source follows, and which commit of a repository that is. Reading a repository's references is left to the callers.

use std::fmt;
use std::str::FromStr;

use gix::ObjectId;
use hub_version::{InvalidRange, VersionRange, version_of_tag};

/// What a source follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// The tip of a branch, by its short name.
    Branch(String),
    /// A tag, by its short name.
    Tag(String),
    /// The newest version in a range, among the tags.
    Semver(VersionRange),
    /// One commit, for ever.
    Commit(ObjectId),
    /// A reference by its full name, `refs/pull/7/head`, or `HEAD`.
    Name(String),
}

/// The text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// Not a name that Git allows.
    #[error("\"{text}\" is no name of a {what} that Git allows: {detail}")]
    Name {
        /// The kind of reference.
        what: &'static str,
        /// What was read, cut to 80 characters.
        text: String,
        /// What Git says.
        detail: String,
    },
    /// Not a commit id.
    #[error("\"{text}\" is no commit; write all 40 hexadecimal digits, because an abbreviation can become ambiguous")]
    Commit {
        /// What was read, cut to 80 characters.
        text: String,
    },
    /// Not a full name.
    #[error("\"{text}\" is no full reference name; one begins with \"refs/\", or is HEAD")]
    NotFull {
        /// What was read, cut to 80 characters.
        text: String,
    },
    /// Not a range.
    #[error("\"{text}\" is no range of versions: {rule}; write for example \">=1.2 <2\", \"~1.4\", \"^2.0.0\", \"1.x || 3.x\"")]
    Range {
        /// What was read, cut to 80 characters.
        text: String,
        /// What is wrong with it.
        rule: InvalidRange,
    },
    /// An unknown kind.
    #[error("\"{kind}\" is no kind of reference; write branch=, tag=, semver=, commit= or name=")]
    Kind {
        /// What stood before the `=`.
        kind: String,
    },
}

/// The fields with which a Flux `GitRepository` and a source of Capstan say what they follow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReferenceFields {
    /// `commit`.
    pub commit: Option<String>,
    /// `name`.
    pub name: Option<String>,
    /// `semver`.
    pub semver: Option<String>,
    /// `tag`.
    pub tag: Option<String>,
    /// `branch`.
    pub branch: Option<String>,
}

impl ReferenceFields {
    /// The one that counts, in Flux's order (commit, name, semver, tag, branch); the branch `main` if none is set.
    pub fn choose(&self) -> Result<Reference, InvalidReference> {
        match self {
            Self { commit: Some(commit), .. } => Reference::commit(commit),
            Self { name: Some(name), .. } => Reference::name(name),
            Self { semver: Some(range), .. } => Reference::semver(range),
            Self { tag: Some(tag), .. } => Reference::tag(tag),
            Self { branch: Some(branch), .. } => Reference::branch(branch),
            _ => Reference::branch("main"),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

fn checked(what: &'static str, full: &str, text: &str) -> Result<(), InvalidReference> {
    gix::validate::reference::name(full.into()).map(|_| ()).map_err(|error| InvalidReference::Name {
        what,
        text: cut(text),
        detail: error.to_string(),
    })
}

impl Reference {
    /// The branch with this short name.
    pub fn branch(name: &str) -> Result<Self, InvalidReference> {
        checked("branch", &format!("refs/heads/{name}"), name).map(|()| Self::Branch(name.to_owned()))
    }

    /// The tag with this short name.
    pub fn tag(name: &str) -> Result<Self, InvalidReference> {
        checked("tag", &format!("refs/tags/{name}"), name).map(|()| Self::Tag(name.to_owned()))
    }

    /// The newest tag in a range of versions.
    pub fn semver(range: &str) -> Result<Self, InvalidReference> {
        range.parse().map(Self::Semver).map_err(|rule| InvalidReference::Range { text: cut(range), rule })
    }

    /// A commit by its 40 hexadecimal digits.
    pub fn commit(id: &str) -> Result<Self, InvalidReference> {
        ObjectId::from_hex(id.as_bytes()).map(Self::Commit).map_err(|_| InvalidReference::Commit { text: cut(id) })
    }

    /// A full reference name, or `HEAD`.
    pub fn name(name: &str) -> Result<Self, InvalidReference> {
        if name != "HEAD" && !name.starts_with("refs/") {
            return Err(InvalidReference::NotFull { text: cut(name) });
        }
        checked("reference", name, name).map(|()| Self::Name(name.to_owned()))
    }

    /// The beginning that all references share among which this one is looked for.
    pub(crate) fn prefix(&self) -> &str {
        match self {
            Self::Branch(_) => "refs/heads/",
            Self::Tag(_) | Self::Semver(_) => "refs/tags/",
            Self::Commit(_) => "refs/",
            Self::Name(name) if name == "HEAD" => "HEAD",
            Self::Name(name) => name.rfind('/').map_or("refs/", |slash| &name[..=slash]),
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    /// `branch=main`, `tag=v1`, `semver=>=1 <2`, `commit=<40 digits>`, `name=refs/…`; without a kind, `refs/…` and `HEAD` are names, 40
    /// hexadecimal digits a commit, and all else a branch.
    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        match text.split_once('=') {
            Some(("branch", branch)) => Self::branch(branch),
            Some(("tag", tag)) => Self::tag(tag),
            Some(("semver", range)) => Self::semver(range),
            Some(("commit", commit)) => Self::commit(commit),
            Some(("name", name)) => Self::name(name),
            Some((kind, _)) => Err(InvalidReference::Kind { kind: cut(kind) }),
            None if text == "HEAD" || text.starts_with("refs/") => Self::name(text),
            None if text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit()) => Self::commit(text),
            None => Self::branch(text),
        }
    }
}

impl fmt::Display for Reference {
    /// In the form that parses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Branch(name) => write!(f, "branch={name}"),
            Self::Tag(name) => write!(f, "tag={name}"),
            Self::Semver(range) => write!(f, "semver={range}"),
            Self::Commit(id) => write!(f, "commit={id}"),
            Self::Name(name) => write!(f, "name={name}"),
        }
    }
}

/// A reference that a repository has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its full name.
    pub(crate) name: String,
    /// The object that it leads to, tags followed.
    pub(crate) object: ObjectId,
}

/// What a reference means in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// How people call it: the branch, the tag, the full name or the commit.
    pub(crate) label: String,
    /// What to ask a remote for: a full name, or the digits of a commit.
    pub(crate) source: String,
    /// The object.
    pub(crate) object: ObjectId,
}

/// A repository has nothing of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// No such reference; the similar names that there are.
    Unknown { similar: Vec<String> },
    /// No tag is in the range; the newest versions that there are.
    NoVersion { newest: Vec<String> },
}

/// The most names that an error suggests.
const SUGGESTIONS: usize = 3;

/// Which object `reference` means, among the references of a repository.
pub(crate) fn resolve(reference: &Reference, listed: &[Listed]) -> Result<Target, Unresolved> {
    let exact = |full: &str, label: &str| {
        let found = listed.iter().find(|listed| listed.name == full);
        found.map(|found| Target { label: label.to_owned(), source: full.to_owned(), object: found.object }).ok_or_else(|| {
            let names = listed.iter().filter_map(|listed| match full.strip_prefix(reference.prefix()) {
                Some(_) if reference.prefix() != "refs/" && matches!(reference, Reference::Branch(_) | Reference::Tag(_)) => {
                    listed.name.strip_prefix(reference.prefix())
                }
                _ => Some(listed.name.as_str()),
            });
            Unresolved::Unknown { similar: similar_names(label, names) }
        })
    };
    match reference {
        Reference::Branch(name) => exact(&format!("refs/heads/{name}"), name),
        Reference::Tag(name) => exact(&format!("refs/tags/{name}"), name),
        Reference::Name(name) => exact(name, name),
        Reference::Commit(id) => Ok(Target { label: id.to_string(), source: id.to_string(), object: *id }),
        Reference::Semver(range) => newest_version(range, listed),
    }
}

fn newest_version(range: &VersionRange, listed: &[Listed]) -> Result<Target, Unresolved> {
    let mut versions: Vec<_> = listed
        .iter()
        .filter_map(|listed| {
            let tag = listed.name.strip_prefix("refs/tags/")?;
            Some((version_of_tag(tag)?, tag, listed))
        })
        .collect();
    versions.sort_by(|(a, a_tag, _), (b, b_tag, _)| b.precedence(a).then_with(|| a_tag.cmp(b_tag)));
    match versions.iter().find(|(version, _, _)| range.contains(version)) {
        Some((_, tag, listed)) => Ok(Target { label: (*tag).to_owned(), source: listed.name.clone(), object: listed.object }),
        None => Err(Unresolved::NoVersion { newest: versions.iter().take(SUGGESTIONS).map(|(_, tag, _)| (*tag).to_owned()).collect() }),
    }
}

/// The names that someone who wrote `wanted` may have meant: a third of its letters may differ; if there are hardly any names, all.
pub(crate) fn similar_names<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut ranked: Vec<(usize, &str)> = names.map(|name| (distance(wanted, name), name)).collect();
    ranked.sort_unstable();
    let few = ranked.len() <= SUGGESTIONS;
    let close = |distance: usize| few || distance <= (wanted.chars().count() / 3).max(1);
    ranked.into_iter().filter(|(distance, _)| close(*distance)).take(SUGGESTIONS).map(|(_, name)| name.to_owned()).collect()
}

/// Levenshtein's distance, without regard to case.
fn distance(a: &str, b: &str) -> usize {
    let letters = |text: &str| text.chars().flat_map(char::to_lowercase).take(200).collect::<Vec<_>>();
    let (a, b) = (letters(a), letters(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(names: &[&str]) -> Vec<Listed> {
        let object = |n: usize| ObjectId::from_hex(format!("{n:040x}").as_bytes()).expect("hex");
        names.iter().enumerate().map(|(n, name)| Listed { name: (*name).to_owned(), object: object(n + 1) }).collect()
    }

    #[test]
    fn a_reference_is_printed_in_the_form_that_parses() {
        let commit = "3f2a9c1b04de3f2a9c1b04de3f2a9c1b04de3f2a";
        for (text, printed) in [
            ("main", "branch=main"),
            ("branch=release/1.2", "branch=release/1.2"),
            ("tag=v1", "tag=v1"),
            ("semver=>=1.2 <2", "semver=>=1.2 <2"),
            (commit, &format!("commit={commit}") as &str),
            ("refs/pull/7/head", "name=refs/pull/7/head"),
            ("HEAD", "name=HEAD"),
        ] {
            let reference: Reference = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(reference.to_string(), printed);
            assert_eq!(printed.parse(), Ok(reference));
        }
        for bad in [
            "",
            "a b",
            "branch=",
            "branch=a..b",
            "tag=x~1",
            "branch=../x",
            "commit=abc",
            "name=main",
            "semver=x y",
            "colour=red",
            "a\nb",
            "refs/heads/.x",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn fields_count_in_the_order_of_flux() {
        let commit = "a".repeat(40);
        let mut fields = ReferenceFields {
            commit: Some(commit.clone()),
            name: Some("refs/x/y".into()),
            semver: Some("1.x".into()),
            tag: Some("t".into()),
            branch: Some("b".into()),
        };
        let mut seen = Vec::new();
        for cleared in 0..6 {
            seen.push(fields.choose().expect("valid").to_string());
            let first = [&mut fields.commit, &mut fields.name, &mut fields.semver, &mut fields.tag, &mut fields.branch];
            if let Some(field) = first.into_iter().nth(cleared) {
                *field = None;
            }
        }
        assert_eq!(seen, [&format!("commit={commit}") as &str, "name=refs/x/y", "semver=1.x", "tag=t", "branch=b", "branch=main"]);
    }

    #[test]
    fn the_newest_version_in_the_range_is_chosen_and_not_the_last_in_the_alphabet() {
        let tags = listed(&["refs/tags/v1.9.0", "refs/tags/v1.10.0", "refs/tags/v2.0.0-rc.1", "refs/tags/v1", "refs/tags/nightly"]);
        let reference = Reference::semver(">=1").expect("valid");
        assert_eq!(resolve(&reference, &tags).expect("found").label, "v1.10.0");
        let reference = Reference::semver("3.x").expect("valid");
        let newest = ["v2.0.0-rc.1", "v1.10.0", "v1.9.0"].map(str::to_owned).to_vec();
        assert_eq!(resolve(&reference, &tags), Err(Unresolved::NoVersion { newest }));
    }

    #[test]
    fn a_missing_name_suggests_those_that_are_near() {
        let heads =
            listed(&["refs/heads/main", "refs/heads/production", "refs/heads/staging", "refs/heads/feature/a", "refs/heads/Prodution"]);
        let unknown = |name: &str| match resolve(&Reference::branch(name).expect("valid"), &heads) {
            Err(Unresolved::Unknown { similar }) => similar,
            other => panic!("{other:?}"),
        };
        assert_eq!(unknown("prodution"), ["Prodution", "production"]);
        assert_eq!(unknown("mian"), Vec::<String>::new());
        assert_eq!(unknown("maim"), ["main"]);
        assert_eq!(unknown("zzzzzz"), Vec::<String>::new());
    }
}
