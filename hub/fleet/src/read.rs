//! Finding the documents of a fleet in a tree: which files may hold them, which of those can be read, and what stands in the wrong place.
//! What one file says is read by `document`; how the documents fit together is judged by `link`.
//!
//! The places are `fleet.yaml`, everything below `regions/`, `rollouts/` and `projects/`, and every `app.yaml` below `apps/` but below
//! charts; each also with the ending `.yml`, and none that is hidden. All other files below `apps/` are content of apps.

use std::collections::BTreeMap;
use std::sync::Arc;

use hub_tree::{Budget, ContentId, Entry, EntryKind, ReadError, Reader, TreePath};
use shared_model::{RegionName, Severity};

use crate::document::{Document, ParsedFile, parse_file};
use crate::fleet::Fleet;
use crate::link::{Placed, Report, link};
use crate::problem::{Blocks, Location, Problem, ProblemCode};
use crate::table::{Finding, Mark};

/// What reading a fleet may take: 1 MiB a file (as its YAML budget), 64 MiB in all and 200,000 reads, which is 10,000 apps of 6 KiB with 10
/// directories each, twice.
pub const FLEET_BUDGET: Budget = Budget { file_bytes: 1 << 20, total_bytes: 64 << 20, reads: 200_000 };

/// How deep directories are looked into. Deeper ones are reported, so that nothing is overlooked in silence.
const DEPTH_LIMIT: usize = 16;

/// Where the one Fleet document stands. It has a place of its own so that a broken file elsewhere cannot hide it.
const FLEET_FILES: [&str; 2] = ["fleet.yaml", "fleet.yml"];

/// Directories whose every YAML file holds documents of ours.
const OURS: [&str; 3] = ["regions", "rollouts", "projects"];

/// Reads the fleet of a tree. All that is wrong is in the problems, in the order of files; what is not wrong is in the fleet.
pub fn read_fleet(reader: &Reader<'_>) -> (Fleet, Vec<Problem>) {
    FleetFiles::default().read(reader)
}

/// Files of one fleet repository that were parsed before, by content: reading the next commit parses only what changed.
#[derive(Debug, Default)]
pub struct FleetFiles {
    parsed: BTreeMap<ContentId, Arc<ParsedFile>>,
}

impl FleetFiles {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many different files are kept: those of the last read.
    pub fn len(&self) -> usize {
        self.parsed.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.parsed.is_empty()
    }

    /// Reads the fleet of a tree. All trees must be revisions of one repository, as content ids are compared.
    pub fn read(&mut self, reader: &Reader<'_>) -> (Fleet, Vec<Problem>) {
        let mut search = Search {
            reader,
            before: std::mem::take(&mut self.parsed),
            after: BTreeMap::new(),
            report: Report::default(),
            docs: Vec::new(),
            stopped: false,
        };
        search.whole_tree();
        self.parsed = search.after;
        let (docs, mut report) = (search.docs, search.report);
        if docs.is_empty() && report.problems.is_empty() {
            let at = Location { file: TreePath::root(), line: 1, column: 1 };
            let message =
                "there is no document of the fleet language: no fleet.yaml, regions/, rollouts/, projects/ or apps/**/app.yaml".to_owned();
            let hint = Some("is this the right repository, branch and directory?".to_owned());
            report.add(at, Severity::Error, ProblemCode::NoFleet, message, hint, None);
        }
        link(docs, report)
    }
}

struct Search<'r, 't> {
    reader: &'r Reader<'t>,
    before: BTreeMap<ContentId, Arc<ParsedFile>>,
    after: BTreeMap<ContentId, Arc<ParsedFile>>,
    report: Report,
    docs: Vec<Placed>,
    /// The budget is used up: every further read would fail in the same way.
    stopped: bool,
}

/// Where a file lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Only documents of ours may stand here.
    Ours,
    /// Manifests may have the same file name.
    BelowApps,
}

impl Search<'_, '_> {
    fn whole_tree(&mut self) {
        for name in FLEET_FILES {
            self.file(&TreePath::root().child(name), Place::Ours);
        }
        for name in OURS {
            self.directory(&TreePath::root().child(name), Place::Ours, 0);
        }
        self.directory(&TreePath::root().child("apps"), Place::BelowApps, 0);
    }

    fn directory(&mut self, path: &TreePath, place: Place, depth: usize) {
        if self.stopped {
            return;
        }
        if depth > DEPTH_LIMIT {
            self.gap(path, format!("it lies more than {DEPTH_LIMIT} directories deep, and is not looked into"));
            return;
        }
        let entries = match self.reader.list(path) {
            Ok(Some((_, entries))) => entries,
            Ok(None) => return,
            Err(error) => return self.unreadable(path, &error),
        };
        for entry in &entries {
            if entry.kind != EntryKind::Directory && is_candidate(&entry.name, place) {
                self.file(&path.child(&entry.name), place);
            }
        }
        let chart = place == Place::BelowApps && entries.iter().any(|entry| entry.name == "Chart.yaml");
        for entry in entries.iter().filter(|_| !chart) {
            self.below(path, entry, place, depth);
        }
    }

    fn below(&mut self, path: &TreePath, entry: &Entry, place: Place, depth: usize) {
        let child = path.child(&entry.name);
        match (entry.kind, place) {
            (EntryKind::Directory, _) => self.directory(&child, place, depth + 1),
            (EntryKind::Submodule, _) => {
                self.unfollowed(&child, "is a Git submodule, which is not fetched");
            }
            // A link among the files of an app is content of the app. Among ours it would be overlooked.
            (EntryKind::Symlink, Place::Ours) if !is_yaml(&entry.name) => {
                self.unfollowed(&child, "is a symlink, and is not looked into");
            }
            (EntryKind::Symlink | EntryKind::File, _) => {}
        }
    }

    fn unfollowed(&mut self, path: &TreePath, why: &str) {
        let hint = Some("put the documents themselves there".to_owned());
        self.report.add(start_of(path), Severity::Warning, ProblemCode::NotHonoured, format!("{path} {why}"), hint, None);
    }

    fn file(&mut self, path: &TreePath, place: Place) {
        if self.stopped {
            return;
        }
        match self.parsed(path) {
            Ok(None) => {}
            Ok(Some(parsed)) => self.take(path, &parsed, place),
            Err(error) => self.unreadable(path, &error),
        }
    }

    /// The file at `path`, parsed now or before; `None` if there is none.
    fn parsed(&mut self, path: &TreePath) -> Result<Option<Arc<ParsedFile>>, ReadError> {
        let Some((_, entry)) = self.reader.entry(path)? else { return Ok(None) };
        if entry.kind == EntryKind::File
            && let Some(known) = self.after.get(&entry.id).or_else(|| self.before.get(&entry.id)).cloned()
        {
            self.after.insert(entry.id, known.clone());
            return Ok(Some(known));
        }
        let Some(content) = self.reader.file(path)? else { return Ok(None) };
        let parsed = Arc::new(match content.text() {
            Some(text) => parse_file(text),
            None => ParsedFile::Broken(Finding {
                mark: Mark { line: 1, column: 1 },
                severity: Severity::Error,
                code: ProblemCode::InvalidYaml,
                message: "the file is not UTF-8 text".to_owned(),
                hint: Some("save it as UTF-8".to_owned()),
            }),
        });
        self.after.insert(content.id, parsed.clone());
        Ok(Some(parsed))
    }

    fn take(&mut self, path: &TreePath, parsed: &ParsedFile, place: Place) {
        let documents = match parsed {
            ParsedFile::Broken(finding) => return self.undefined(path, finding),
            ParsedFile::Documents(documents) => documents,
        };
        if documents.is_empty() {
            let message = format!("{path} holds no document");
            let hint = Some("remove the file, or write its document again".to_owned());
            self.report.add(start_of(path), Severity::Warning, ProblemCode::EmptyFile, message, hint, None);
        }
        let any_ours = documents.iter().any(|document| matches!(document, Document::Ours(_)));
        for document in documents {
            match document {
                Document::Foreign { finding, suspicious, .. } => {
                    if place == Place::Ours || *suspicious || any_ours {
                        self.undefined(path, finding);
                    }
                }
                Document::Ours(ours) => {
                    let mark = ours.name.as_ref().map_or(ours.mark, |name| Mark { line: name.line, column: name.column });
                    self.docs.push(Placed {
                        location: Location { file: path.clone(), line: mark.line, column: mark.column },
                        kind: ours.kind,
                        name: ours.name.as_ref().map(|name| name.value.clone()),
                        region: region_of(path),
                        body: ours.body.clone(),
                        findings: ours.findings.clone(),
                    });
                }
            }
        }
    }

    /// Something that may have been a document of ours: what it would define is not known.
    fn undefined(&mut self, path: &TreePath, finding: &Finding) {
        let at = Location { file: path.clone(), line: finding.mark.line, column: finding.mark.column };
        self.hidden(at, finding.code, finding.message.clone(), finding.hint.clone());
    }

    fn unreadable(&mut self, path: &TreePath, error: &ReadError) {
        self.stopped |= matches!(error, ReadError::Budget { .. });
        self.gap(path, error.to_string());
    }

    fn gap(&mut self, path: &TreePath, message: String) {
        self.hidden(start_of(path), ProblemCode::Unreadable, message, None);
    }

    /// Without the fleet's defaults nothing can be said about any app.
    fn hidden(&mut self, at: Location, code: ProblemCode, message: String, hint: Option<String>) {
        let file = at.file.clone();
        self.report.missing(&file, &message);
        let blocks = if is_fleet_file(&file) { Blocks::Fleet } else { Blocks::File(file) };
        self.report.add(at, Severity::Error, code, message, hint, Some(blocks));
    }
}

/// Whether the Fleet document may stand in this file.
pub(crate) fn is_fleet_file(path: &TreePath) -> bool {
    FLEET_FILES.contains(&path.as_str())
}

fn start_of(path: &TreePath) -> Location {
    Location { file: path.clone(), line: 1, column: 1 }
}

fn is_yaml(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}

fn is_candidate(name: &str, place: Place) -> bool {
    match place {
        Place::Ours => is_yaml(name) && !name.starts_with('.'),
        Place::BelowApps => matches!(name, "app.yaml" | "app.yml"),
    }
}

/// The region whose directory a file lies in.
fn region_of(path: &TreePath) -> Option<RegionName> {
    let mut segments = path.segments();
    let (first, second, third) = (segments.next()?, segments.next()?, segments.next());
    if first == "regions" && third.is_some() { second.parse().ok() } else { None }
}
