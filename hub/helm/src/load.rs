//! From files to a chart: a directory of a source tree or an archive, with the charts in its `charts/`. What is computed with it is left to the
//! rest of the crate.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use hub_gotemplate::Text;
use hub_tree::{EntryKind, InvalidPath, ReadError, Reader, TreePath};

use crate::archive::{self, Allowance, ArchiveError, File};
use crate::ignore::{Ignore, InvalidRule};
use crate::metadata::{InvalidMetadata, Metadata};
use crate::schema::Schema;
use crate::stored::{Stored, Table};
use crate::yaml;

/// The deepest charts in charts. Each level is a directory `charts/` or an archive in an archive; public charts have four.
const NESTING_LIMIT: usize = 16;

/// The deepest directories of a chart, as many as a path of Linux can name.
const DIRECTORY_LIMIT: usize = 128;

/// A chart and those in it, as loaded.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) metadata: Arc<Metadata>,
    /// The files in `templates/`.
    pub(crate) templates: Vec<File>,
    /// What `values.yaml` says.
    pub(crate) values: Table,
    /// What `values.schema.json` says.
    pub(crate) schema: Option<Schema>,
    /// All other files, in the order of the directory or archive.
    pub(crate) files: Vec<File>,
    /// The same by name, as templates see them.
    pub(crate) files_by_name: Arc<BTreeMap<Text, Text>>,
    /// The charts in `charts/`, by the names of their directories or archives.
    pub(crate) dependencies: Vec<Arc<Package>>,
}

/// Why a chart cannot be loaded, in Helm's words where it has some.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChartError {
    /// Nothing is there.
    #[error("there is no chart at {path}; name a directory with a Chart.yaml, or an archive made by `helm package`")]
    NotFound {
        /// What was asked for.
        path: TreePath,
    },
    /// A file cannot be read from the tree.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A path in the chart cannot be.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// The archive is refused.
    #[error("{name}: {error}")]
    Archive {
        /// Which archive.
        name: String,
        /// Why.
        error: ArchiveError,
    },
    /// Directories lead to each other.
    #[error("{path} is a symlink to a directory that it lies in; a chart cannot hold itself")]
    Loop {
        /// The link.
        path: TreePath,
    },
    /// Directories or charts within each other are too many.
    #[error("{path}: more than {limit} {what} within each other; make the chart flatter")]
    TooDeep {
        /// Where.
        path: String,
        /// What.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A file in the directory is too large.
    #[error("chart file {name:?} is larger than the maximum file size {}; list it in .helmignore", archive::FILE_LIMIT)]
    FileSize {
        /// Its name in the chart.
        name: String,
    },
    /// `.helmignore` cannot be read.
    #[error(".helmignore: {0}")]
    Ignore(#[from] InvalidRule),
    /// There is no `Chart.yaml`.
    #[error("Chart.yaml file is missing")]
    NoChartFile,
    /// A chart of a kind that Helm does not install.
    #[error("unsupported chart version: apiVersion {0:?} in Chart.yaml; charts are v1 or v2")]
    ApiVersion(String),
    /// One of the chart's own files cannot be read.
    #[error("cannot load {file}: {message}")]
    File {
        /// `Chart.yaml`, `values.yaml` or the like.
        file: &'static str,
        /// Why.
        message: String,
    },
    /// What `Chart.yaml` says breaks a rule.
    #[error(transparent)]
    Metadata(#[from] InvalidMetadata),
    /// A chart in `charts/` cannot be loaded.
    #[error("error unpacking subchart {name} in {parent}: {error}")]
    Subchart {
        /// Its directory or archive.
        name: String,
        /// The chart it is in.
        parent: String,
        /// Why.
        error: Box<ChartError>,
    },
}

/// What a load says beside its result.
pub(crate) type Warnings = Vec<String>;

/// Loads the chart at `path` of a tree.
pub(crate) fn load(reader: &Reader<'_>, path: &TreePath, warnings: &mut Warnings) -> Result<Package, ChartError> {
    let not_found = || ChartError::NotFound { path: path.clone() };
    let (real, entry) = reader.entry(path)?.ok_or_else(not_found)?;
    match entry.kind {
        EntryKind::Directory => {
            let files = directory(reader, &real)?;
            assemble(files, 0, &mut Allowance::default(), warnings)
        }
        EntryKind::File => {
            let content = reader.read(&real)?;
            from_archive(&content.bytes, path.name(), warnings)
        }
        EntryKind::Submodule => Err(ReadError::Submodule { path: real }.into()),
        EntryKind::Symlink => Err(not_found()),
    }
}

/// Loads the archive `bytes`, called `name` in messages.
pub(crate) fn from_archive(bytes: &[u8], name: &str, warnings: &mut Warnings) -> Result<Package, ChartError> {
    let mut allowance = Allowance::default();
    let files = unpack(bytes, name, &mut allowance)?;
    assemble(files, 0, &mut allowance, warnings)
}

fn unpack(bytes: &[u8], name: &str, allowance: &mut Allowance) -> Result<Vec<File>, ChartError> {
    archive::unpack(bytes, allowance).map_err(|error| ChartError::Archive { name: name.to_owned(), error })
}

/// The files below a directory, by name within each directory, without what `.helmignore` leaves out.
fn directory(reader: &Reader<'_>, top: &TreePath) -> Result<Vec<File>, ChartError> {
    let rules = match reader.file(&top.child(".helmignore"))? {
        Some(content) => Ignore::parse(&String::from_utf8_lossy(&content.bytes))?,
        None => Ignore::parse("")?,
    };
    let mut walk = Walk { reader, rules, files: Vec::new(), inside: Vec::new() };
    walk.directory(top, "")?;
    Ok(walk.files)
}

struct Walk<'a, 'r> {
    reader: &'a Reader<'r>,
    rules: Ignore,
    files: Vec<File>,
    /// The real paths of the directories that are being walked.
    inside: Vec<TreePath>,
}

impl Walk<'_, '_> {
    fn directory(&mut self, path: &TreePath, prefix: &str) -> Result<(), ChartError> {
        let Some((real, entries)) = self.reader.list(path)? else { return Ok(()) };
        if self.inside.contains(&real) {
            return Err(ChartError::Loop { path: path.clone() });
        }
        if self.inside.len() >= DIRECTORY_LIMIT {
            return Err(ChartError::TooDeep { path: path.to_string(), what: "directories", limit: DIRECTORY_LIMIT });
        }
        self.inside.push(real.clone());
        for entry in entries {
            let (child, name) = (real.child(&entry.name), format!("{prefix}{}", entry.name));
            let (target, kind) = match entry.kind {
                EntryKind::Symlink => {
                    // A link that leads nowhere is refused, as Helm does, unless it is left out.
                    match self.reader.entry(&child) {
                        Ok(Some((target, found))) => (target, found.kind),
                        _ if self.rules.leaves_out(&name, false) => continue,
                        Ok(None) => return Err(ChartError::NotFound { path: child }),
                        Err(error) => return Err(error.into()),
                    }
                }
                kind => (child, kind),
            };
            if self.rules.leaves_out(&name, kind == EntryKind::Directory) {
                continue;
            }
            match kind {
                EntryKind::Directory => self.directory(&target, &format!("{name}/"))?,
                EntryKind::Submodule => return Err(ReadError::Submodule { path: target }.into()),
                EntryKind::File | EntryKind::Symlink => {
                    // The entry is looked up through the reader, so that what was read is known.
                    let Some(content) = self.reader.file(&target)? else { return Err(ChartError::NotFound { path: target }) };
                    if content.bytes.len() as u64 > archive::FILE_LIMIT {
                        return Err(ChartError::FileSize { name });
                    }
                    let bytes = archive::without_mark(&content.bytes);
                    let data = if bytes.len() == content.bytes.len() { content.bytes.clone().into() } else { Text::new(bytes) };
                    self.files.push(File { name, data });
                }
            }
        }
        self.inside.pop();
        Ok(())
    }
}

/// A chart of `files`.
fn assemble(files: Vec<File>, depth: usize, allowance: &mut Allowance, warnings: &mut Warnings) -> Result<Package, ChartError> {
    let mut metadata = Metadata::default();
    let chart_file = files.iter().filter(|file| file.name == "Chart.yaml");
    let mut found = false;
    for file in chart_file {
        found = true;
        metadata.read(&document("Chart.yaml", &file.data)?).map_err(|error| unreadable("Chart.yaml", &error))?;
    }
    if !found {
        return Err(ChartError::NoChartFile);
    }
    match metadata.api_version.as_str() {
        // Helm 2 took charts that do not say.
        "" => metadata.api_version = "v1".to_owned(),
        "v1" | "v2" => {}
        // Only the chart as a whole is told apart by its version; Helm takes what is in it for v2.
        other if depth == 0 => return Err(ChartError::ApiVersion(other.to_owned())),
        _ => {}
    }
    let mut parts =
        Parts { metadata, values: Table::new(), schema: None, templates: Vec::new(), files: Vec::new(), charts: BTreeMap::new() };
    for file in files {
        parts.take(file, warnings)?;
    }
    parts.metadata.validate()?;
    let Parts { metadata, values, schema, templates, files, charts } = parts;
    let mut dependencies = Vec::new();
    for (name, files) in charts {
        let loaded = subchart(&name, files, depth + 1, allowance, warnings);
        let loaded = loaded.map_err(|error| ChartError::Subchart { name, parent: metadata.name.clone(), error: Box::new(error) })?;
        dependencies.extend(loaded.map(Arc::new));
    }
    let files_by_name = files.iter().map(|file| (file.name.as_str().into(), file.data.clone())).collect();
    Ok(Package { metadata: Arc::new(metadata), templates, values, schema, files, files_by_name: Arc::new(files_by_name), dependencies })
}

/// The parts of a chart while its files are sorted into them.
struct Parts {
    metadata: Metadata,
    values: Table,
    schema: Option<Schema>,
    templates: Vec<File>,
    files: Vec<File>,
    /// The files in `charts/` by the first name of their path in it.
    charts: BTreeMap<String, Vec<File>>,
}

impl Parts {
    fn take(&mut self, file: File, warnings: &mut Warnings) -> Result<(), ChartError> {
        let is_old = self.metadata.api_version == "v1";
        match file.name.as_str() {
            "Chart.yaml" => {}
            // The lock says what was fetched; what is there is what counts.
            "Chart.lock" => {
                document("Chart.lock", &file.data)?;
            }
            "values.yaml" => {
                let text = file.data.to_str();
                self.values = yaml::read_values(&text).map_err(|message| ChartError::File { file: "values.yaml", message })?;
            }
            "values.schema.json" => self.schema = Some(Schema { text: file.data, compiled: OnceLock::new() }),
            "requirements.yaml" => {
                if !is_old {
                    warnings.push(
                        "Warning: Dependencies are handled in Chart.yaml since apiVersion \"v2\". We recommend migrating dependencies to Chart.yaml."
                            .to_owned(),
                    );
                }
                let document = document("requirements.yaml", &file.data)?;
                self.metadata.read(&document).map_err(|error| unreadable("requirements.yaml", &error))?;
                if is_old {
                    self.files.push(file);
                }
            }
            "requirements.lock" => {
                document("requirements.lock", &file.data)?;
                if is_old {
                    self.files.push(file);
                } else {
                    warnings.push(
                        "Warning: Dependency locking is handled in Chart.lock since apiVersion \"v2\". We recommend migrating to Chart.lock."
                            .to_owned(),
                    );
                }
            }
            name if name.starts_with("templates/") => self.templates.push(file),
            name if name.starts_with("charts/") => {
                if name.ends_with(".prov") {
                    self.files.push(file);
                } else {
                    let inside = name["charts/".len()..].to_owned();
                    let first = inside.split('/').next().unwrap_or_default().to_owned();
                    self.charts.entry(first).or_default().push(File { name: inside, data: file.data });
                }
            }
            _ => self.files.push(file),
        }
        Ok(())
    }
}

/// The chart in `charts/` called `name`; `None` if it is none.
fn subchart(
    name: &str,
    files: Vec<File>,
    depth: usize,
    allowance: &mut Allowance,
    warnings: &mut Warnings,
) -> Result<Option<Package>, ChartError> {
    if name.starts_with(['_', '.']) {
        return Ok(None);
    }
    if depth > NESTING_LIMIT {
        return Err(ChartError::TooDeep { path: name.to_owned(), what: "charts", limit: NESTING_LIMIT });
    }
    let files = if name.ends_with(".tgz") {
        match files.first() {
            Some(file) if file.name == name => unpack(&file.data, name, allowance)?,
            _ => return Err(ChartError::NoChartFile),
        }
    } else {
        // A file that is no chart may lie here; it becomes a chart without Chart.yaml, which is refused, as Helm does.
        let inside = |file: File| file.name.split_once('/').map(|(_, rest)| File { name: rest.to_owned(), data: file.data });
        files.into_iter().filter_map(inside).collect()
    };
    assemble(files, depth, allowance, warnings).map(Some)
}

fn document(file: &'static str, data: &Text) -> Result<Stored, ChartError> {
    yaml::read(&data.to_str()).map_err(|message| ChartError::File { file, message })
}

fn unreadable(file: &'static str, error: &InvalidMetadata) -> ChartError {
    ChartError::File { file, message: error.to_string() }
}
