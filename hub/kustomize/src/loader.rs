//! Reading files and directories for one kustomization: paths are relative to its directory, files must lie in or below it, and a directory
//! that is being built already cannot be entered again.

use hub_tree::{EntryKind, Reader, TreePath};
use shared_manifest::{Node, YamlBudget, YamlError, YamlMode, YamlProblem, parse_yaml_spanned};

use crate::problem::{Fault, Reason};

/// How many kustomizations may include each other: kustomize has no limit, and the deepest of the corpora that we know is 9.
const DEPTH_LIMIT: usize = 64;

/// The names that a kustomization file may have.
const KUSTOMIZATION_FILES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// What a resource path leads to.
pub(crate) enum Found<'a> {
    /// A file and its text.
    File(TreePath, String),
    /// A directory.
    Directory(Loader<'a>),
}

/// A view from one directory.
#[derive(Clone)]
pub(crate) struct Loader<'a> {
    reader: &'a Reader<'a>,
    pub(crate) root: TreePath,
    /// The directories on the way here, this one last.
    visited: Vec<TreePath>,
    /// Whether files must lie in or below the root.
    root_only: bool,
}

impl<'a> Loader<'a> {
    /// The view from the directory `root`, through symlinks.
    pub(crate) fn new(reader: &'a Reader<'a>, root: &TreePath, root_only: bool) -> Result<Self, Fault> {
        match reader.entry(root).map_err(Reason::Read)? {
            Some((real, entry)) if entry.kind == EntryKind::Directory => {
                Ok(Self { reader, visited: vec![real.clone()], root: real, root_only })
            }
            _ => Err(Fault::from(Reason::Missing { path: root.clone(), field: "the path to build" }).in_file(root)),
        }
    }

    /// What `written` in the list `field` leads to: a file's text or a directory.
    pub(crate) fn resource(&self, written: &str, field: &'static str) -> Result<Found<'a>, Reason> {
        let path = self.path(written)?;
        match self.reader.entry(&path)? {
            Some((real, entry)) if entry.kind == EntryKind::Directory => self.enter(real).map(Found::Directory),
            Some(_) => {
                let text = self.text(written, field)?;
                Ok(Found::File(path, text))
            }
            None if looks_remote(written) => Err(Reason::Remote { reference: written.to_owned() }),
            None => Err(Reason::Missing { path, field }),
        }
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, written: &str, field: &'static str) -> Result<std::sync::Arc<[u8]>, Reason> {
        let path = self.path(written)?;
        match self.reader.entry(&path)? {
            Some((_, entry)) if entry.kind == EntryKind::Directory => return Err(Reason::NotAFile { path, field }),
            Some((real, _)) if self.root_only && !real.is_within(&self.root) => {
                return Err(Reason::OutsideRoot { path: real, root: self.root.clone() });
            }
            Some(_) => {}
            None => return Err(Reason::Missing { path, field }),
        }
        let content = self.reader.file(&path)?.ok_or(Reason::Missing { path, field })?;
        Ok(content.shared())
    }

    /// The text of a file.
    pub(crate) fn text(&self, written: &str, field: &'static str) -> Result<String, Reason> {
        let bytes = self.bytes(written, field)?;
        let text =
            std::str::from_utf8(&bytes).map_err(|_| self.path(written).map_or_else(|reason| reason, |path| Reason::NotText { path }))?;
        Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned())
    }

    /// The path that `written` means here.
    pub(crate) fn path(&self, written: &str) -> Result<TreePath, Reason> {
        if is_url(written) {
            return Err(Reason::Remote { reference: written.to_owned() });
        }
        Ok(self.root.join(written).map_err(hub_tree::ReadError::Path)?)
    }

    /// The kustomization file of this directory, and what is worth a look in it.
    pub(crate) fn kustomization(&self) -> Result<(TreePath, Node, Vec<String>), Fault> {
        let mut found = Vec::new();
        for name in KUSTOMIZATION_FILES {
            let path = self.root.child(name);
            if self.reader.file(&path).map_err(Reason::Read)?.is_some() {
                found.push((name, path));
            }
        }
        let (name, path) = match found.as_slice() {
            [] => return Err(Fault::from(Reason::NoKustomization { directory: self.root.clone() }).in_file(&self.root)),
            [(name, path)] => (*name, path.clone()),
            several => {
                let names = several.iter().map(|(name, _)| (*name).to_owned()).collect();
                return Err(Fault::from(Reason::SeveralKustomizations { names }).in_file(&self.root));
            }
        };
        let text = self.text(name, "the kustomization")?;
        let (documents, repeated) = parse_with_repeated_keys(text).map_err(|error| Fault::from(error).in_file(&path))?;
        let mut notes = repeated;
        let mut documents = documents.into_iter();
        let first = documents.next().ok_or_else(|| Fault::from(Reason::EmptyKustomization).in_file(&path))?;
        if documents.next().is_some() {
            notes.push("only the first document of the file is read, as kustomize does".to_owned());
        }
        Ok((path, first, notes))
    }

    fn enter(&self, directory: TreePath) -> Result<Self, Reason> {
        if let Some(visited) = self.visited.iter().find(|visited| visited.is_within(&directory)) {
            return Err(Reason::Cycle { directory, visited: visited.clone() });
        }
        if self.visited.len() >= DEPTH_LIMIT {
            let remedy = "flatten the bases";
            return Err(Reason::TooMuch { what: "kustomizations inside of each other", limit: DEPTH_LIMIT, remedy });
        }
        let mut visited = self.visited.clone();
        visited.push(directory.clone());
        Ok(Self { reader: self.reader, root: directory, visited, root_only: self.root_only })
    }
}

/// Reads a kustomization file, in which kustomize takes the last of several equal keys. The earlier ones are taken out of the text, line for line,
/// so that all lines keep their number; each is reported.
fn parse_with_repeated_keys(mut text: String) -> Result<(Vec<Node>, Vec<String>), YamlError> {
    /// Each takes a parse of its own; nobody repeats more keys by accident.
    const REPEATED_KEY_LIMIT: usize = 20;
    let mut notes = Vec::new();
    loop {
        let error = match parse_yaml_spanned(&text, YamlMode::Kubernetes, YamlBudget::MANIFEST) {
            Ok(documents) => return Ok((documents, notes)),
            Err(error) => error,
        };
        let YamlProblem::DuplicateKey { key, first_line } = &error.problem else { return Err(error) };
        let Some(shorter) = without_entry(&text, *first_line, error.column).filter(|_| notes.len() < REPEATED_KEY_LIMIT) else {
            return Err(error);
        };
        notes.push(format!("line {first_line}: \"{key}\" is set again in line {}, and only the last counts", error.line));
        text = shorter;
    }
}

/// The text with the lines of a block entry blank that begins in `line` at `column`; nothing if another thing begins there.
fn without_entry(text: &str, line: u32, column: u32) -> Option<String> {
    let first = usize::try_from(line).ok()?.checked_sub(1)?;
    let indent = usize::try_from(column).ok()?.checked_sub(1)?;
    let lines: Vec<&str> = text.split('\n').collect();
    let depth = |line: &str| line.len() - line.trim_start_matches(' ').len();
    if depth(lines.get(first)?) != indent || lines.get(first)?.trim().is_empty() {
        return None;
    }
    let belongs = |line: &&&str| {
        let rest = line.trim_start_matches(' ');
        rest.trim().is_empty() || depth(line) > indent || (depth(line) == indent && (rest.starts_with("- ") || rest.trim_end() == "-"))
    };
    let length = 1 + lines[first + 1..].iter().take_while(belongs).count();
    let kept = lines.iter().enumerate().map(|(index, line)| if (first..first + length).contains(&index) { "" } else { *line });
    Some(kept.collect::<Vec<_>>().join("\n"))
}

/// What can only be an address elsewhere.
fn is_url(written: &str) -> bool {
    written.contains("://") || written.starts_with("git@") || written.starts_with("git::")
}

/// What kustomize would try to clone, if nothing of this name is in the tree.
fn looks_remote(written: &str) -> bool {
    let hosts = ["github.com/", "github.com:", "gitlab.com/", "bitbucket.org/"];
    written.contains("?ref=") || written.contains(".git") || hosts.iter().any(|host| written.starts_with(host))
}
