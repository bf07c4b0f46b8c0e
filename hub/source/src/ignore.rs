//! A tree without the files that a source ignores: Flux's default exclusions or the source's own patterns, and `.sourceignore` files at
//! any level, all in `.gitignore` syntax.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gix::bstr::BStr;
use gix::glob::pattern::Case;
use gix::glob::wildmatch::Mode;
use hub_tree::{Content, ContentId, Entry, EntryKind, Lookup, SourceTree, TreePath};
use shared_model::Digest;

/// The file that excludes what is beside and below it.
pub(crate) const FILE: &str = ".sourceignore";

/// The largest such file: 1,000 patterns of 64 bytes.
const FILE_BYTES: u64 = 64 << 10;

/// The most directories of which one tree remembers the rules.
const CACHED_SCOPES: usize = 16_384;

/// What a source excludes if it has no patterns of its own; from Flux's `GitRepository`.
pub const DEFAULT_IGNORE: &str = "\
.git/
.gitignore
.gitmodules
.gitattributes
*.jpg
*.jpeg
*.gif
*.png
*.wmv
*.flv
*.tar.gz
*.zip
.github/
.circleci/
.travis.yml
.gitlab-ci.yml
appveyor.yml
.drone.yml
cloudbuild.yaml
codeship-services.yml
codeship-steps.yml
**/.goreleaser.yml
**/.sops.yaml
**/.flux.yaml
";

/// A view of a tree without what is ignored. As in Git, nothing below an excluded directory comes back. A symlinked `.sourceignore` is
/// not followed and has no effect, as with Git's own ignore files.
pub(crate) struct IgnoringTree {
    inner: Arc<dyn SourceTree>,
    root: Rules,
    /// The source's own patterns, which have the last word.
    own: Option<Patterns>,
    scopes: Mutex<HashMap<TreePath, Scope>>,
}

type Patterns = Arc<Vec<gix::glob::Pattern>>;

/// The rules that hold in a directory: those above it, and its own.
#[derive(Clone)]
struct Rules {
    lists: Vec<(TreePath, Patterns)>,
    /// What the lists say, if they are not the defaults alone. It belongs to a directory's identity: a changed rule above changes what
    /// is visible below, though no object there changed.
    digest: Option<Digest>,
}

#[derive(Clone)]
enum Scope {
    Hidden,
    Visible(Arc<Rules>),
    Unreadable(String),
}

fn parse(text: &[u8]) -> Patterns {
    Arc::new(gix::ignore::parse(text, false).map(|(pattern, _, _)| pattern).collect())
}

impl IgnoringTree {
    /// Hides from `inner` what `ignore`, or [`DEFAULT_IGNORE`] without it, excludes, and what `.sourceignore` files do.
    pub(crate) fn new(inner: Arc<dyn SourceTree>, ignore: Option<&str>) -> Self {
        let (lists, own) = match ignore {
            Some(text) => (Vec::new(), Some(parse(text.as_bytes()))),
            None => (vec![(TreePath::root(), parse(DEFAULT_IGNORE.as_bytes()))], None),
        };
        let digest = ignore.map(|text| Digest::of(text.as_bytes()));
        Self { inner, root: Rules { lists, digest }, own, scopes: Mutex::new(HashMap::new()) }
    }

    /// The rules for what is in the directory at `path`.
    fn scope(&self, path: &TreePath) -> Scope {
        if let Some(scope) = self.scopes.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return scope.clone();
        }
        let scope = match path.parent() {
            None => self.with_file(path, &self.root),
            Some(parent) => match self.scope(&parent) {
                Scope::Visible(rules) if self.hides(&rules, path, true) => Scope::Hidden,
                Scope::Visible(rules) => self.with_file(path, &rules),
                hidden_or_unreadable => hidden_or_unreadable,
            },
        };
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if scopes.len() >= CACHED_SCOPES {
            scopes.clear();
        }
        scopes.insert(path.clone(), scope.clone());
        scope
    }

    fn with_file(&self, directory: &TreePath, above: &Rules) -> Scope {
        let file = directory.child(FILE);
        match self.inner.entry(&file) {
            Lookup::Found(entry) if entry.kind == EntryKind::File => {}
            Lookup::Found(_) | Lookup::Absent => return Scope::Visible(Arc::new(above.clone())),
            Lookup::Unreadable(reason) => return Scope::Unreadable(format!("{file} cannot be read: {reason}")),
        }
        match self.inner.content(&file, FILE_BYTES) {
            Lookup::Found(content) => {
                let mut rules = above.clone();
                let before = above.digest.map(|digest| digest.hex()).unwrap_or_default();
                rules.digest = Some(Digest::of(format!("{before}\0{file}\0{}", content.id).as_bytes()));
                rules.lists.push((directory.clone(), parse(&content.bytes)));
                Scope::Visible(Arc::new(rules))
            }
            Lookup::Absent => Scope::Unreadable(format!("{file} has an entry and no content")),
            Lookup::Unreadable(reason) => Scope::Unreadable(format!("{file} cannot be read: {reason}")),
        }
    }

    /// Whether the last pattern that matches excludes: the source's own before all, then the nearest file.
    fn hides(&self, rules: &Rules, path: &TreePath, is_directory: bool) -> bool {
        let root = TreePath::root();
        let own = self.own.iter().map(|patterns| (&root, patterns));
        let files = rules.lists.iter().rev().map(|(base, patterns)| (base, patterns));
        own.chain(files).find_map(|(base, patterns)| verdict(base, patterns, path, is_directory)).unwrap_or(false)
    }

    fn decorated(mut entry: Entry, rules: &Rules) -> Entry {
        if let (EntryKind::Directory, Some(digest)) = (entry.kind, rules.digest) {
            let mut id = entry.id.as_bytes().to_vec();
            id.extend_from_slice(digest.as_bytes());
            entry.id = ContentId::new(&id);
        }
        entry
    }
}

/// What the patterns of one file, in directory `base`, say about `path`; nothing if none matches.
fn verdict(base: &TreePath, patterns: &Patterns, path: &TreePath, is_directory: bool) -> Option<bool> {
    let relative = path.as_str().strip_prefix(base.as_str())?.trim_start_matches('/');
    let name_at = relative.rfind('/').map(|slash| slash + 1);
    let matching = patterns.iter().rev().find(|pattern| {
        let relative = BStr::new(relative);
        pattern.matches_repo_relative_path(relative, name_at, Some(is_directory), Case::Sensitive, Mode::NO_MATCH_SLASH_LITERAL)
    });
    matching.map(|pattern| !pattern.is_negative())
}

fn is_directory(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::Directory | EntryKind::Submodule)
}

impl SourceTree for IgnoringTree {
    fn entry(&self, path: &TreePath) -> Lookup<Entry> {
        let Some(parent) = path.parent() else {
            return match self.inner.entry(path) {
                Lookup::Found(entry) => Lookup::Found(Self::decorated(entry, &self.root)),
                other => other,
            };
        };
        match self.scope(&parent) {
            Scope::Hidden => Lookup::Absent,
            Scope::Unreadable(reason) => Lookup::Unreadable(reason),
            Scope::Visible(rules) => match self.inner.entry(path) {
                Lookup::Found(entry) if self.hides(&rules, path, is_directory(entry.kind)) => Lookup::Absent,
                Lookup::Found(entry) => Lookup::Found(Self::decorated(entry, &rules)),
                other => other,
            },
        }
    }

    fn list(&self, path: &TreePath) -> Lookup<Vec<Entry>> {
        let entries = match self.inner.list(path) {
            Lookup::Found(entries) => entries,
            other => return other,
        };
        match self.scope(path) {
            Scope::Hidden => Lookup::Absent,
            Scope::Unreadable(reason) => Lookup::Unreadable(reason),
            Scope::Visible(rules) => {
                let shown = |entry: &Entry| !self.hides(&rules, &path.child(&entry.name), is_directory(entry.kind));
                Lookup::Found(entries.into_iter().filter(shown).map(|entry| Self::decorated(entry, &rules)).collect())
            }
        }
    }

    fn content(&self, path: &TreePath, limit: u64) -> Lookup<Content> {
        match path.parent().map(|parent| self.scope(&parent)) {
            Some(Scope::Visible(rules)) if !self.hides(&rules, path, false) => self.inner.content(path, limit),
            Some(Scope::Unreadable(reason)) => Lookup::Unreadable(reason),
            _ => Lookup::Absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use hub_tree::{Budget, MemoryTree, Reader};

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text).expect("valid")
    }

    fn view(files: &[(&str, &str)], ignore: Option<&str>) -> IgnoringTree {
        IgnoringTree::new(Arc::new(MemoryTree::of(files)), ignore)
    }

    /// All visible files, found by listing.
    fn walk(tree: &dyn SourceTree, directory: &TreePath, out: &mut Vec<String>) {
        let Lookup::Found(entries) = tree.list(directory) else { panic!("{directory} has no listing") };
        for entry in entries {
            let path = directory.child(&entry.name);
            match entry.kind {
                EntryKind::Directory => walk(tree, &path, out),
                _ => out.push(path.to_string()),
            }
        }
    }

    /// `.sourceignore` in the root, the source's patterns, files, and those that are visible.
    type Case = (Option<&'static str>, Option<&'static str>, &'static str, &'static str);

    const TABLE: &[Case] = &[
        (None, None, "a.yaml b/c.yaml", "a.yaml b/c.yaml"),
        (None, None, "a.png d/e.zip .github/w.yml d/.sops.yaml a.yaml", "a.yaml"),
        (None, None, ".gitmodules .gitignore x/.gitattributes", ""),
        (None, Some(""), "a.png .github/w.yml", ".github/w.yml a.png"),
        (None, Some("/*\n!/deploy"), "deploy/a.yaml deploy/x/b.yaml src/main.rs README.md", "deploy/a.yaml deploy/x/b.yaml"),
        (None, Some("*.md\n!KEEP.md"), "a.md KEEP.md x/b.md", "KEEP.md"),
        (Some("*.md"), None, "a.md x/b.md c.yaml", "c.yaml"),
        (Some("/docs"), None, "docs/a.yaml x/docs/b.yaml", "x/docs/b.yaml"),
        (Some("docs/"), None, "docs/a.yaml x/docs/b.yaml x/y", "x/y"),
        (Some("docs/"), None, "docs", "docs"),
        (Some("a/**/z"), None, "a/z a/b/z a/b/c/z b/z", "b/z"),
        (Some("x/*\n!x/keep"), None, "x/a x/keep x/b", "x/keep"),
        (Some("x/\n!x/keep"), None, "x/a x/keep", ""),
        (Some("# a comment\n\n\\#x"), None, "#x y", "y"),
        (Some("a?c"), None, "abc a-c ac", "ac"),
        (Some("[ab].yaml"), None, "a.yaml b.yaml c.yaml", "c.yaml"),
        (Some("!*.png"), None, "a.png", "a.png"),
        (Some("*.yaml"), Some("!a.yaml"), "a.yaml b.yaml", "a.yaml"),
    ];

    #[test]
    fn patterns_hide_what_gitignore_syntax_says() {
        for (file, own, files, visible) in TABLE {
            let mut tree: Vec<(&str, &str)> = files.split(' ').map(|path| (path, "x")).collect();
            tree.extend(file.map(|text| (FILE, text)));
            let view = view(&tree, *own);
            let mut seen = Vec::new();
            walk(&view, &TreePath::root(), &mut seen);
            seen.retain(|path| path != FILE);
            let mut visible: Vec<&str> = visible.split(' ').filter(|path| !path.is_empty()).collect();
            visible.sort_unstable();
            seen.sort_unstable();
            assert_eq!(seen, visible, "{file:?} {own:?}");
            for file in files.split(' ') {
                let shown = visible.contains(&file);
                assert_eq!(matches!(view.content(&path(file), 10), Lookup::Found(_)), shown, "{file} of {own:?}");
                assert_eq!(matches!(view.entry(&path(file)), Lookup::Found(_)), shown, "{file} of {own:?}");
            }
        }
    }

    #[test]
    fn a_nearer_file_has_the_last_word_beside_and_below_it() {
        let files = [(FILE, "*.yaml"), ("a/.sourceignore", "!*.yaml\n/x"), ("a/b/c.yaml", ""), ("a/x/d", ""), ("x", ""), ("e.yaml", "")];
        let mut seen = Vec::new();
        walk(&view(&files, None), &TreePath::root(), &mut seen);
        assert_eq!(seen, [".sourceignore", "a/.sourceignore", "a/b/c.yaml", "x"]);
    }

    #[test]
    fn a_changed_rule_changes_the_identity_of_directories_below_it() {
        let read = |tree: &IgnoringTree| {
            let reader = Reader::new(tree, Budget::RENDER);
            reader.list(&path("a/b")).expect("readable").expect("a directory");
            reader.into_read_set()
        };
        let files = |rule| [(FILE, rule), ("a/b/c.yaml", "1"), ("a/b/d.md", "2")];
        let set = read(&view(&files("*.txt"), None));
        assert!(set.still_holds(&view(&files("*.txt"), None)));
        assert!(!set.still_holds(&view(&files("*.md"), None)));
        assert!(!set.still_holds(&view(&files("*.txt"), Some("*.md"))));
        assert!(!set.still_holds(&view(&files("*.txt")[1..], None)));
    }

    #[test]
    fn without_its_rules_nothing_is_known() {
        struct Broken(MemoryTree);
        impl SourceTree for Broken {
            fn entry(&self, path: &TreePath) -> Lookup<Entry> {
                self.0.entry(path)
            }
            fn list(&self, path: &TreePath) -> Lookup<Vec<Entry>> {
                self.0.list(path)
            }
            fn content(&self, path: &TreePath, limit: u64) -> Lookup<Content> {
                if path.name() == FILE { Lookup::Unreadable("damaged".into()) } else { self.0.content(path, limit) }
            }
        }
        let tree = MemoryTree::of(&[("a/.sourceignore", "x"), ("a/b/c", ""), ("d", "")]);
        let view = IgnoringTree::new(Arc::new(Broken(tree)), None);
        for hidden in ["a/b", "a/b/c", "a/nothing"] {
            assert!(matches!(view.entry(&path(hidden)), Lookup::Unreadable(_)), "{hidden}");
        }
        assert!(matches!(view.list(&path("a")), Lookup::Unreadable(_)));
        assert!(matches!(view.entry(&path("d")), Lookup::Found(_)));
    }
}
