//! Trees beside the main one, mounted read-only: what another repository holds, or a chart. Nothing in a mount leads out of it, and nothing leads
//! in but its name: a path in it is of another kind than one in the main tree. Who fetches them, and who may, is left to who offers them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use shared_model::Digest;

use crate::{Content, ContentId, Entry, Lookup, SourceTree, TreePath};

/// What a mounted tree is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mount {
    /// A Git repository, as a manifest refers to it.
    Repository {
        /// Where it is.
        repository: Repository,
        /// The branch, tag or commit that is asked for; `None` is whatever is followed there.
        reference: Option<String>,
    },
    /// A source of the hub.
    Source {
        /// Its name.
        name: String,
    },
    /// A chart of a repository of charts.
    Chart {
        /// The repository's address, or the name of the source that it is.
        repository: String,
        /// The chart.
        name: String,
        /// The version or range of versions; empty is the newest.
        version: String,
    },
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository { repository, reference: None } => write!(f, "{repository}"),
            Self::Repository { repository, reference: Some(reference) } => write!(f, "{repository}?ref={reference}"),
            Self::Source { name } => write!(f, "{name}:"),
            Self::Chart { repository, name, version } if version.is_empty() => write!(f, "{repository}/{name}"),
            Self::Chart { repository, name, version } => write!(f, "{repository}/{name}:{version}"),
        }
    }
}

/// Where a Git repository is, whatever the way there: host, port if it is not the scheme's own, and path without `.git`. The same repository by
/// https and by ssh is one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository(String);

impl Repository {
    /// The repository at a URL (`https`, `http`, `ssh`, `git`) or at `user@host:path`. Users and passwords are passed over.
    pub fn parse(url: &str) -> Option<Self> {
        let (authority, path, own_port) = match url.split_once("://") {
            Some((scheme, rest)) => {
                let own_port = match scheme.to_ascii_lowercase().as_str() {
                    "https" => "443",
                    "http" => "80",
                    "ssh" => "22",
                    "git" => "9418",
                    _ => return None,
                };
                let (authority, path) = rest.split_once('/')?;
                (authority, path, own_port)
            }
            None => {
                let (authority, path) = url.split_once(':').filter(|(authority, _)| !authority.contains('/'))?;
                (authority, path, "")
            }
        };
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
        let host = match host.rsplit_once(':') {
            Some((name, port)) if port == own_port && !name.is_empty() => name.to_owned(),
            _ => host,
        };
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let is_bad = |text: &str| text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace());
        if is_bad(&host) || is_bad(path) {
            return None;
        }
        Some(Self(format!("{host}/{path}")))
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why nothing is mounted under a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MountRefusal {
    /// Nobody offers it.
    #[error("nobody fetches it beforehand")]
    NotOffered,
    /// Another branch, tag or commit of it is offered.
    #[error("it asks for {}, and the hub fetches {}", what_is_asked(.asked), .followed.join(", "))]
    OtherReference {
        /// What is asked for.
        asked: Option<String>,
        /// What there is, each with its source.
        followed: Vec<String>,
    },
    /// It is offered, and this app may not have it.
    #[error("{reason}")]
    NotPermitted {
        /// Why.
        reason: String,
    },
    /// It is offered and not there yet.
    #[error("it was not fetched so far ({reason}); it is used as soon as it is there")]
    NotFetched {
        /// Which source, and why.
        reason: String,
    },
}

fn what_is_asked(reference: &Option<String>) -> String {
    reference.as_ref().map_or_else(|| "no ref".to_owned(), |reference| format!("the ref \"{reference}\""))
}

/// A repository that may be mounted.
#[derive(Clone)]
pub struct Offer {
    /// The source that it is, for messages.
    pub source: String,
    /// Where it is.
    pub repository: Repository,
    /// What is followed there, as a reference may write it: `main`, `refs/heads/main`.
    pub references: Vec<String>,
    /// Its tree, or why there is none.
    pub tree: Result<Arc<dyn SourceTree>, MountRefusal>,
}

/// Everything that may be mounted for one render.
#[derive(Clone, Default)]
pub struct Mounts {
    repositories: Vec<Offer>,
    trees: BTreeMap<Mount, Result<Arc<dyn SourceTree>, MountRefusal>>,
}

impl Mounts {
    /// Offers a repository to whoever refers to it.
    pub fn offer(&mut self, offer: Offer) {
        self.repositories.push(offer);
    }

    /// Mounts `tree` as `mount`, or says why not.
    pub fn insert(&mut self, mount: Mount, tree: Result<Arc<dyn SourceTree>, MountRefusal>) {
        self.trees.insert(mount, tree);
    }

    fn find(&self, mount: &Mount) -> Result<&dyn SourceTree, MountRefusal> {
        let tree = match (self.trees.get(mount), mount) {
            (Some(tree), _) => tree,
            (None, Mount::Repository { repository, reference }) => &self.repository(repository, reference.as_deref())?.tree,
            (None, _) => return Err(MountRefusal::NotOffered),
        };
        tree.as_deref().map_err(Clone::clone)
    }

    /// The offer that a reference means: one that follows what it asks for; where it asks for nothing, the only one.
    fn repository(&self, repository: &Repository, reference: Option<&str>) -> Result<&Offer, MountRefusal> {
        let offers: Vec<&Offer> = self.repositories.iter().filter(|offer| offer.repository == *repository).collect();
        let meant: Vec<&Offer> = match reference {
            Some(reference) => offers.iter().copied().filter(|offer| offer.references.iter().any(|name| name == reference)).collect(),
            None if offers.len() == 1 => offers.clone(),
            None => Vec::new(),
        };
        let best = meant.iter().find(|offer| offer.tree.is_ok()).or(meant.first());
        match best {
            Some(offer) => Ok(offer),
            None if offers.is_empty() => Err(MountRefusal::NotOffered),
            None => {
                let followed = |offer: &&Offer| {
                    let name = offer.references.first().map_or("", String::as_str);
                    format!("\"{name}\" (source {})", offer.source)
                };
                let followed = offers.iter().map(followed).collect();
                Err(MountRefusal::OtherReference { asked: reference.map(str::to_owned), followed })
            }
        }
    }

    /// The roots of all trees.
    fn roots(&self) -> impl Iterator<Item = ContentId> {
        let offered = self.repositories.iter().map(|offer| &offer.tree);
        offered.chain(self.trees.values()).filter_map(|tree| match tree.as_ref().ok()?.entry(&TreePath::root()) {
            Lookup::Found(entry) => Some(entry.id),
            Lookup::Absent | Lookup::Unreadable(_) => None,
        })
    }
}

/// A tree with others beside it. Paths that do not say otherwise are in the main one.
#[derive(Clone)]
pub struct MountedTree {
    main: Arc<dyn SourceTree>,
    mounts: Arc<Mounts>,
}

impl MountedTree {
    /// `main` with `mounts`.
    pub fn new(main: Arc<dyn SourceTree>, mounts: Arc<Mounts>) -> Self {
        Self { main, mounts }
    }

    /// The identity of everything that could be read: equal ids mean equal trees, in the main one and in all mounts.
    pub fn identity(&self) -> ContentId {
        let mut bytes = Vec::new();
        let main = match self.main.entry(&TreePath::root()) {
            Lookup::Found(entry) => Some(entry.id),
            Lookup::Absent | Lookup::Unreadable(_) => None,
        };
        for id in main.into_iter().chain(self.mounts.roots()) {
            bytes.extend_from_slice(&(id.as_bytes().len() as u64).to_be_bytes());
            bytes.extend_from_slice(id.as_bytes());
        }
        ContentId::new(Digest::of(&bytes).as_bytes())
    }
}

impl SourceTree for MountedTree {
    fn entry(&self, path: &TreePath) -> Lookup<Entry> {
        self.main.entry(path)
    }

    fn list(&self, path: &TreePath) -> Lookup<Vec<Entry>> {
        self.main.list(path)
    }

    fn content(&self, path: &TreePath, limit: u64) -> Lookup<Content> {
        self.main.content(path, limit)
    }

    fn mount(&self, mount: &Mount) -> Result<&dyn SourceTree, MountRefusal> {
        self.mounts.find(mount)
    }
}

/// Looks `path` up in the tree where it lies.
pub(crate) fn look<T>(tree: &dyn SourceTree, path: &TreePath, ask: impl FnOnce(&dyn SourceTree, &TreePath) -> Lookup<T>) -> Lookup<T> {
    let Some(mount) = path.mount() else { return ask(tree, path) };
    match tree.mount(mount) {
        Ok(mounted) => ask(mounted, &path.inside()),
        Err(refusal @ MountRefusal::NotFetched { .. }) => Lookup::Unreadable(refusal.to_string()),
        Err(_) => Lookup::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Budget, MemoryTree, Observation, ReadError, Reader};

    fn repository(url: &str) -> Repository {
        Repository::parse(url).unwrap_or_else(|| panic!("{url}"))
    }

    fn offer(source: &str, reference: &str, files: &[(&str, &str)]) -> Offer {
        let tree: Arc<dyn SourceTree> = Arc::new(MemoryTree::of(files));
        Offer {
            source: source.to_owned(),
            repository: repository("https://git.example.com/base.git"),
            references: vec![reference.to_owned(), format!("refs/heads/{reference}")],
            tree: Ok(tree),
        }
    }

    fn mounted(main: MemoryTree, offers: Vec<Offer>) -> MountedTree {
        let mut mounts = Mounts::default();
        offers.into_iter().for_each(|offer| mounts.offer(offer));
        MountedTree::new(Arc::new(main), Arc::new(mounts))
    }

    fn base(reference: Option<&str>) -> Mount {
        Mount::Repository { repository: repository("git@git.example.com:base"), reference: reference.map(str::to_owned) }
    }

    #[test]
    fn one_repository_has_one_name_whatever_the_way_there() {
        for url in [
            "https://github.com/org/repo",
            "https://github.com/org/repo.git",
            "https://GitHub.com:443/org/repo/",
            "https://user:hunter2@github.com/org/repo",
            "ssh://git@github.com/org/repo.git",
            "ssh://git@github.com:22/org/repo",
            "git@github.com:org/repo.git",
            "github.com:org/repo",
        ] {
            assert_eq!(repository(url).to_string(), "github.com/org/repo", "{url}");
        }
        assert_eq!(repository("http://127.0.0.1:8080/a").to_string(), "127.0.0.1:8080/a");
        assert_ne!(repository("https://github.com/org/repo"), repository("https://github.com/Org/repo"));
        for none in
            ["", "github.com/org/repo", "/srv/git/x", "file:///srv/x", "https://github.com", "https:///x", "ftp://h/x", "https://h/a b"]
        {
            assert_eq!(Repository::parse(none), None, "{none}");
        }
    }

    #[test]
    fn a_mount_is_reached_by_its_name_alone_and_left_by_nothing() {
        let mut files = MemoryTree::of(&[("deploy/a.yaml", "theirs")]);
        files.insert_link(TreePath::parse("deploy/up").expect("valid"), "../../secret");
        files.insert_link(TreePath::parse("deploy/here").expect("valid"), "a.yaml");
        let mut theirs = offer("base", "main", &[]);
        theirs.tree = Ok(Arc::new(files));
        let tree = mounted(MemoryTree::of(&[("secret", "ours"), ("deploy/a.yaml", "ours")]), vec![theirs]);
        let reader = Reader::new(&tree, Budget::RENDER);
        let root = reader.mount(base(Some("main"))).expect("mounted");
        let text = |path: &TreePath| reader.file(path).expect("readable").and_then(|file| file.text().map(str::to_owned));
        assert_eq!(text(&root.join("deploy/a.yaml").expect("inside")).as_deref(), Some("theirs"));
        assert_eq!(text(&root.join("deploy/here").expect("inside")).as_deref(), Some("theirs"));
        assert_eq!(text(&root.join("secret").expect("inside")), None);
        assert_eq!(text(&TreePath::parse("deploy/a.yaml").expect("valid")).as_deref(), Some("ours"));
        assert!(root.join("..").is_err() && root.join("deploy/../../secret").is_err() && root.parent().is_none());
        let up = root.join("deploy/up").expect("inside");
        assert!(matches!(reader.file(&up), Err(ReadError::LinkEscapes { .. })));
        assert_eq!(up.to_string(), "git.example.com/base?ref=main//deploy/up");
        assert!(!up.is_within(&TreePath::root()) && !TreePath::parse("deploy").expect("valid").is_within(&root) && up.is_within(&root));
    }

    #[test]
    fn what_was_read_in_a_mount_is_remembered_by_content() {
        let tree = |theirs: &str| mounted(MemoryTree::of(&[("x", "1")]), vec![offer("base", "main", &[("a", theirs), ("b", "2")])]);
        let before = tree("1");
        let reader = Reader::new(&before, Budget::RENDER);
        let root = reader.mount(base(None)).expect("the only one");
        reader.file(&root.join("a").expect("inside")).expect("readable").expect("there");
        let set = reader.into_read_set();
        assert!(set.still_holds(&before) && set.holds_in_mounts(&before));
        assert!(!set.still_holds(&tree("2")) && !set.holds_in_mounts(&tree("2")));
        assert!(!set.still_holds(&MemoryTree::of(&[("x", "1"), ("a", "1")])), "the main tree does not answer for a mount");
        assert_ne!(before.identity(), tree("2").identity());
    }

    #[test]
    fn a_refusal_names_its_cause_and_holds_until_it_would_be_another() {
        let ask = |offers: &[Offer], reference| {
            let tree = mounted(MemoryTree::new(), offers.to_vec());
            let reader = Reader::new(&tree, Budget::RENDER);
            let refusal = reader.mount(base(reference)).expect_err("refused");
            (refusal.to_string(), reader.into_read_set())
        };
        let (main, next) = (offer("base", "main", &[]), offer("next", "v2", &[]));
        let (text, set) = ask(&[], Some("main"));
        assert_eq!(text, "nobody fetches it beforehand");
        assert!(set.still_holds(&MemoryTree::new()) && !set.still_holds(&mounted(MemoryTree::new(), vec![main.clone()])));
        let (text, _) = ask(&[main.clone(), next.clone()], Some("v3"));
        assert_eq!(text, "it asks for the ref \"v3\", and the hub fetches \"main\" (source base), \"v2\" (source next)");
        let (text, _) = ask(&[main.clone(), next], None);
        assert!(text.starts_with("it asks for no ref"), "{text}");
        let away = Offer { tree: Err(MountRefusal::NotFetched { reason: "source base".to_owned() }), ..main };
        let (text, set) = ask(&[away], Some("refs/heads/main"));
        assert!(text.contains("not fetched so far (source base)"), "{text}");
        assert!(set.iter().all(|(_, observation)| *observation == Observation::Unreadable), "unreadable is never absent");
    }
}
