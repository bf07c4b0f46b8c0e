//! Reading files and directories for one kustomization: paths are relative to its directory, files must lie in or below it, and a directory
//! that is being built already cannot be entered again.

use std::borrow::Cow;
use std::sync::Arc;

use hub_tree::{ContentId, EntryKind, MountRefusal, ReadError, Reader, TreePath};
use shared_manifest::{Node, YamlBudget, YamlError, YamlMode, YamlProblem, parse_yaml_spanned};

use crate::documents::{first_is_empty, parse_resources, placed};
use crate::files::{BaseKey, Content, Files, Form};
use crate::generate::helm_chart::Inflate;
use crate::kustomization::{Kustomization, Noted};
use crate::problem::{Fault, Reason};
use crate::remote::{Remote, refusal};
use crate::resource::Resource;
use crate::{BuildOptions, LoadRestriction};

/// How many kustomizations may include each other: kustomize has no limit, and the deepest of the corpora that we know is 9.
const DEPTH_LIMIT: usize = 64;

/// The names that a kustomization file may have.
pub(crate) const KUSTOMIZATION_FILES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// What a resource path leads to.
pub(crate) enum Found<'a> {
    /// A file.
    File(File),
    /// A directory.
    Directory(Loader<'a>),
}

/// A file that may be read from here.
pub(crate) struct File {
    /// As it was named, from the root of the tree.
    pub(crate) path: TreePath,
    /// Behind all symlinks.
    real: TreePath,
    id: ContentId,
}

/// A view from one directory.
#[derive(Clone)]
pub(crate) struct Loader<'a> {
    pub(crate) reader: &'a Reader<'a>,
    pub(crate) files: &'a Files,
    /// Who renders charts; without it they are refused.
    pub(crate) charts: Option<&'a dyn Inflate>,
    pub(crate) root: TreePath,
    /// The directories on the way here, this one last.
    visited: Vec<TreePath>,
    /// Whether files must lie in or below the root.
    root_only: bool,
}

impl<'a> Loader<'a> {
    /// The view from the directory `root`, through symlinks.
    pub(crate) fn new(reader: &'a Reader<'a>, files: &'a Files, root: &TreePath, options: &BuildOptions<'a>) -> Result<Self, Fault> {
        let (charts, root_only) = (options.charts, options.load_restriction == LoadRestriction::RootOnly);
        match reader.entry(root).map_err(Reason::Read)? {
            Some((real, entry)) if entry.kind == EntryKind::Directory => {
                Ok(Self { reader, files, charts, visited: vec![real.clone()], root: real, root_only })
            }
            _ => Err(Fault::from(Reason::Missing { path: root.clone(), field: "the path to build" }).in_file(root)),
        }
    }

    /// What `written` in the list `field` leads to.
    pub(crate) fn resource(&self, written: &str, field: &'static str) -> Result<Found<'a>, Reason> {
        if is_url(written) {
            return self.remote(written, field).map(Found::Directory);
        }
        let path = self.path(written)?;
        match self.reader.entry(&path)? {
            Some((real, entry)) if entry.kind == EntryKind::Directory => self.enter(real).map(Found::Directory),
            Some((real, entry)) => self.admit(path, real, entry.kind, entry.id).map(Found::File),
            None if looks_remote(written) => self.remote(written, field).map(Found::Directory),
            None => Err(Reason::Missing { path, field }),
        }
    }

    /// The directory of another repository that `written` refers to, where that is mounted. From there on nothing leads back.
    fn remote(&self, written: &str, field: &'static str) -> Result<Self, Reason> {
        let not_offered = || refusal(written, &MountRefusal::NotOffered);
        let remote = Remote::parse(written).ok_or_else(not_offered)?;
        let mount = remote.mount().ok_or_else(not_offered)?;
        let root = self.reader.mount(mount).map_err(|refused| refusal(written, &refused))?;
        let path = root.join(&remote.path).map_err(ReadError::Path)?;
        match self.reader.entry(&path)? {
            Some((real, entry)) if entry.kind == EntryKind::Directory => self.enter(real),
            Some((real, entry)) if entry.kind == EntryKind::Submodule => Err(ReadError::Submodule { path: real }.into()),
            Some(_) => Err(Reason::RemoteFile { path }),
            None => Err(Reason::Missing { path, field }),
        }
    }

    /// The file that `written` in `field` leads to.
    pub(crate) fn file(&self, written: &str, field: &'static str) -> Result<File, Reason> {
        let path = self.path(written)?;
        match self.reader.entry(&path)? {
            Some((_, entry)) if entry.kind == EntryKind::Directory => Err(Reason::NotAFile { path, field }),
            Some((real, entry)) => self.admit(path, real, entry.kind, entry.id),
            None => Err(Reason::Missing { path, field }),
        }
    }

    fn admit(&self, path: TreePath, real: TreePath, kind: EntryKind, id: ContentId) -> Result<File, Reason> {
        if kind == EntryKind::Submodule {
            return Err(ReadError::Submodule { path: real }.into());
        }
        if self.root_only && !real.is_within(&self.root) {
            return Err(Reason::OutsideRoot { path: real, root: self.root.clone() });
        }
        Ok(File { path, real, id })
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, file: &File) -> Result<Arc<[u8]>, Reason> {
        Ok(self.reader.read(&file.real)?.shared())
    }

    /// The bytes of the file that `written` in `field` leads to.
    pub(crate) fn bytes_at(&self, written: &str, field: &'static str) -> Result<Arc<[u8]>, Reason> {
        self.bytes(&self.file(written, field)?)
    }

    /// The resources in a file.
    pub(crate) fn resources(&self, file: &File) -> Result<Vec<Arc<Resource>>, Fault> {
        let parse = |text: &str| parse_resources(text).map(|parsed| Content::Resources(parsed.into()));
        match self.parsed(file, Form::Resources, parse)? {
            Content::Resources(parsed) => Ok(placed(&parsed, &file.path, 0)),
            _ => Ok(Vec::new()),
        }
    }

    /// The file as `parse` reads its text, without reading it again if it is known.
    pub(crate) fn parsed(&self, file: &File, form: Form, parse: impl FnOnce(&str) -> Result<Content, Fault>) -> Result<Content, Fault> {
        if let Some((content, bytes)) = self.files.get(&file.id, form) {
            self.reader.count_known(&file.real, bytes).map_err(Reason::Read)?;
            return Ok(content);
        }
        let bytes = self.bytes(file)?;
        let content = parse(text_in(&bytes, &file.path)?).map_err(|fault| fault.in_file(&file.path))?;
        self.files.put(&file.id, form, bytes.len(), content.clone());
        Ok(content)
    }

    /// The first document of a file.
    pub(crate) fn document(&self, file: &File) -> Result<Option<Node>, Fault> {
        let bytes = self.bytes(file)?;
        let documents = parse_yaml_spanned(text_in(&bytes, &file.path)?, YamlMode::Kubernetes, YamlBudget::MANIFEST);
        let documents = documents.map_err(|error| Fault::from(error).in_file(&file.path))?;
        Ok(documents.into_iter().next())
    }

    /// The path that `written` means here.
    pub(crate) fn path(&self, written: &str) -> Result<TreePath, Reason> {
        if is_url(written) {
            return Err(refusal(written, &MountRefusal::NotOffered));
        }
        Ok(self.root.join(written).map_err(ReadError::Path)?)
    }

    /// The kustomization of this directory, its file, and what is worth a look in it.
    pub(crate) fn kustomization(&self) -> Result<(TreePath, Arc<Noted>), Fault> {
        let mut found = Vec::new();
        for name in KUSTOMIZATION_FILES {
            let path = self.root.child(name);
            match self.reader.entry(&path).map_err(Reason::Read)? {
                Some((real, entry)) if entry.kind != EntryKind::Directory => found.push((name, path, real, entry)),
                _ => {}
            }
        }
        if let [_, _, ..] = found.as_slice() {
            let names = found.iter().map(|(name, ..)| (*name).to_owned()).collect();
            return Err(Fault::from(Reason::SeveralKustomizations { names }).in_file(&self.root));
        }
        let none = || Fault::from(Reason::NoKustomization { directory: self.root.clone() }).in_file(&self.root);
        let (_, path, real, entry) = found.pop().ok_or_else(none)?;
        let file = self.admit(path, real, entry.kind, entry.id)?;
        let content = self.parsed(&file, Form::Kustomization, |text| {
            let (first, mut notes) = first_document(text)?;
            let kustomization = Kustomization::read(&first, &mut notes)?;
            Ok(Content::Kustomization(Arc::new((kustomization, notes))))
        })?;
        match content {
            Content::Kustomization(kustomization) => Ok((file.path, kustomization)),
            _ => Err(none()),
        }
    }

    /// How many kustomizations lead here, this one among them.
    pub(crate) fn depth(&self) -> usize {
        self.visited.len()
    }

    /// Whether a kustomization `below` levels below this one could enter `directory`, as far as it depends on the way here.
    pub(crate) fn could_enter(&self, directory: &TreePath, below: usize) -> bool {
        let is_own = below == 0;
        self.visited.len() + below <= DEPTH_LIMIT && (is_own || !self.visited.iter().any(|visited| visited.is_within(directory)))
    }

    /// What the kustomization of this directory is kept by once it is built.
    pub(crate) fn base_key(&self, has_used_built_in: bool) -> BaseKey {
        let kustomization = KUSTOMIZATION_FILES.map(|name| self.reader.peek(&self.root.child(name)));
        BaseKey { directory: self.root.clone(), kustomization, root_only: self.root_only, has_used_built_in }
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
        Ok(Self { root: directory, visited, ..self.clone() })
    }
}

/// The text of a file.
fn text_in<'b>(bytes: &'b [u8], path: &TreePath) -> Result<&'b str, Reason> {
    let text = std::str::from_utf8(bytes).map_err(|_| Reason::NotText { path: path.clone() })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The document of a kustomization file, and what is worth a look in it.
fn first_document(text: &str) -> Result<(Node, Vec<String>), Fault> {
    if first_is_empty(text) {
        return Err(Reason::EmptyKustomization.into());
    }
    let (documents, mut notes) = parse_with_repeated_keys(text)?;
    let mut documents = documents.into_iter();
    let first = documents.next().ok_or(Reason::EmptyKustomization)?;
    if documents.next().is_some() {
        notes.push("only the first document of the file is read, as kustomize does".to_owned());
    }
    Ok((first, notes))
}

/// Reads a kustomization file, in which kustomize takes the last of several equal keys. The earlier ones are taken out of the text, line for line,
/// so that all lines keep their number; each is reported.
fn parse_with_repeated_keys(text: &str) -> Result<(Vec<Node>, Vec<String>), YamlError> {
    /// Each takes a parse of its own; nobody repeats more keys by accident.
    const REPEATED_KEY_LIMIT: usize = 8;
    let mut notes = Vec::new();
    let mut text = Cow::Borrowed(text);
    loop {
        let error = match parse_yaml_spanned(&text, YamlMode::Kubernetes, YamlBudget::MANIFEST) {
            Ok(documents) => return Ok((documents, notes)),
            Err(error) => error,
        };
        let Some((shorter, note)) = without_first_use(&text, &error).filter(|_| notes.len() < REPEATED_KEY_LIMIT) else {
            return Err(error);
        };
        notes.push(note);
        text = Cow::Owned(shorter);
    }
}

/// The text without the first of two equal keys that `error` is about, all lines where they were, and what to say of it: as tools read that take
/// the last of them. Nothing if it is about something else.
pub fn without_first_use(text: &str, error: &YamlError) -> Option<(String, String)> {
    let YamlProblem::DuplicateKey { key, first_line } = &error.problem else { return None };
    let shorter = without_entry(text, *first_line, error.column)?;
    Some((shorter, format!("line {first_line}: \"{key}\" is set again in line {}, and only the last counts", error.line)))
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
    Remote::parse(written).is_some()
        || written.contains("?ref=")
        || written.contains(".git")
        || hosts.iter().any(|host| written.starts_with(host))
}
