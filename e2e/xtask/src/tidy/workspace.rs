//! The workspace as the rules see it: its crates as cargo tells them, and the text of its files. It judges nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

/// Directories that hold nothing of ours, wherever they are.
const NOT_OURS: [&str; 3] = ["target", ".git", ".cache"];

/// A workspace.
pub(super) struct Workspace {
    /// Its crates, by path.
    pub(super) crates: Vec<Crate>,
    /// Every text file by its path relative to the workspace, with `/`. Files that are no UTF-8 are left out.
    pub(super) files: BTreeMap<String, String>,
}

/// A crate.
pub(super) struct Crate {
    /// Its folder relative to the workspace: `hub/plan`.
    pub(super) path: String,
    /// Its name: `hub-plan`.
    pub(super) name: String,
    /// The root files of its targets, relative to the workspace.
    pub(super) roots: Vec<String>,
    /// What its manifest names.
    pub(super) dependencies: Vec<Dependency>,
}

/// A dependency as a manifest names it.
pub(super) struct Dependency {
    /// The package's name.
    pub(super) name: String,
    /// The key in the manifest, which differs when the package is renamed.
    pub(super) key: String,
    /// For tests only.
    pub(super) for_tests: bool,
    /// Its folder relative to the workspace, if it is a crate of ours.
    pub(super) ours: Option<String>,
}

impl Crate {
    /// The path of its manifest.
    pub(super) fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.path)
    }

    /// The first of `hub`, `agent`, `shared`, `e2e`: the process that it belongs to.
    pub(super) fn top(&self) -> &str {
        top(&self.path)
    }
}

/// The first segment of a path.
pub(super) fn top(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

impl Workspace {
    /// Reads the workspace at `root`. No lock file, network or built crate is needed.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let root = root.canonicalize().with_context(|| format!("cannot read {}", root.display()))?;
        let mut files = BTreeMap::new();
        read_files(&root, &root, &mut files)?;
        let metadata = metadata(&root)?;
        let packages = metadata["packages"].as_array().context("cargo metadata tells of no packages")?;
        let mut crates = packages.iter().map(|package| read_crate(&root, package)).collect::<anyhow::Result<Vec<_>>>()?;
        crates.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { crates, files })
    }

    /// The text of a file, empty if there is none.
    pub(super) fn text(&self, path: &str) -> &str {
        self.files.get(path).map_or("", String::as_str)
    }

    /// The crate in whose folder the file is.
    pub(super) fn crate_of(&self, path: &str) -> Option<&Crate> {
        self.crates.iter().find(|of| path.strip_prefix(&of.path).is_some_and(|rest| rest.starts_with('/')))
    }

    /// The line of the manifest that names a dependency; 1 if it cannot be found.
    pub(super) fn line_of_dependency(&self, of: &Crate, dependency: &Dependency) -> usize {
        let names = |line: &str| {
            let key = line.split(['.', '=', ' ']).next().unwrap_or_default();
            key == dependency.key || line.ends_with(&format!("dependencies.{}]", dependency.key))
        };
        let section = |line: &str| line.starts_with('[').then(|| line.contains("dev-dependencies") == dependency.for_tests);
        let mut right_section = false;
        for (number, line) in (1..).zip(self.text(&of.manifest()).lines().map(str::trim)) {
            right_section = section(line).unwrap_or(right_section);
            if right_section && names(line) {
                return number;
            }
        }
        1
    }
}

fn metadata(root: &Path) -> anyhow::Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("cannot read what cargo metadata says")
}

fn read_crate(root: &Path, package: &Value) -> anyhow::Result<Crate> {
    let text = |value: &Value, what: &str| value.as_str().map(str::to_owned).with_context(|| format!("cargo metadata lacks {what}"));
    let manifest = PathBuf::from(text(&package["manifest_path"], "manifest_path")?);
    let folder = manifest.parent().context("a manifest lies nowhere")?;
    let roots = package["targets"].as_array().context("a package without targets")?;
    let dependencies = package["dependencies"].as_array().context("a package without dependencies")?;
    Ok(Crate {
        path: relative(root, folder),
        name: text(&package["name"], "name")?,
        roots: roots
            .iter()
            .map(|target| Ok(relative(root, Path::new(&text(&target["src_path"], "src_path")?))))
            .collect::<anyhow::Result<_>>()?,
        dependencies: dependencies
            .iter()
            .map(|dependency| {
                let name = text(&dependency["name"], "a dependency's name")?;
                Ok(Dependency {
                    key: dependency["rename"].as_str().unwrap_or(&name).to_owned(),
                    for_tests: dependency["kind"].as_str() == Some("dev"),
                    ours: dependency["path"].as_str().map(|path| relative(root, Path::new(path))),
                    name,
                })
            })
            .collect::<anyhow::Result<_>>()?,
    })
}

fn read_files(root: &Path, directory: &Path, files: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", directory.display()))?;
        let kind = entry.file_type().with_context(|| format!("cannot look at {}", entry.path().display()))?;
        if kind.is_dir() && !NOT_OURS.iter().any(|name| entry.file_name() == *name) {
            read_files(root, &entry.path(), files)?;
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path()).with_context(|| format!("cannot read {}", entry.path().display()))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.insert(relative(root, &entry.path()), text);
            }
        }
    }
    Ok(())
}

fn relative(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}
