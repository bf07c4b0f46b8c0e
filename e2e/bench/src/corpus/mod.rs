//! What is built for measuring: a tree of kustomizations like those that people have, made anew from nothing but names, or a directory with real
//! ones. Building them is left to the parts of the benchmark.

mod aggregates;
mod apps;
mod crds;
mod grown;
mod ml;
mod objects;
mod platforms;
mod prose;
mod tenants;
mod variants;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use e2e_oracle::Chance;

pub use grown::grown;
pub use variants::variants;

/// What kind of thing a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// A base of some objects and its overlays.
    App,
    /// A namespace with its rights and quotas.
    Tenant,
    /// Several services with components, generators, replacements and patches per environment.
    Platform,
    /// Custom resources of serving, training and queueing.
    Learning,
    /// Custom resource definitions.
    Definitions,
    /// Many bases in one, as Kubeflow's distribution does it.
    Aggregate,
    /// Somebody's repository.
    Real,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::App => "apps",
            Self::Tenant => "tenants",
            Self::Platform => "platforms",
            Self::Learning => "machine learning",
            Self::Definitions => "definitions",
            Self::Aggregate => "aggregates",
            Self::Real => "real",
        })
    }
}

/// A directory that is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What it is.
    pub family: Family,
    /// Its path in the corpus, with `/`.
    pub dir: String,
}

/// Files and the directories among them that are built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Corpus {
    /// The files by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Symlinks by path, with what they say.
    pub links: BTreeMap<String, String>,
    /// What is built, in this order.
    pub targets: Vec<Target>,
}

impl Corpus {
    /// The corpus that is the same everywhere.
    pub fn made() -> Self {
        let mut corpus = Self::default();
        apps::add(&mut corpus);
        tenants::add(&mut corpus);
        platforms::add(&mut corpus);
        ml::add(&mut corpus);
        crds::add(&mut corpus);
        aggregates::add(&mut corpus);
        corpus
    }

    /// What lies in `directory`, without `.git`; each directory with a kustomization is a target, unless that is a component.
    ///
    /// # Errors
    /// Something there cannot be read.
    pub fn read(directory: &Path) -> anyhow::Result<Self> {
        let mut corpus = Self::default();
        corpus.read_below(directory, "")?;
        Ok(corpus)
    }

    fn read_below(&mut self, root: &Path, dir: &str) -> anyhow::Result<()> {
        let place = root.join(dir);
        let entries = fs::read_dir(&place).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut entries = entries.with_context(|| format!("cannot read {}", place.display()))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if dir.is_empty() { name.clone() } else { format!("{dir}/{name}") };
            let context = || format!("cannot read {path}");
            let kind = entry.file_type().with_context(context)?;
            if kind.is_symlink() {
                let target = fs::read_link(entry.path()).with_context(context)?;
                self.links.insert(path, target.to_string_lossy().into_owned());
            } else if kind.is_dir() && name != ".git" {
                self.read_below(root, &path)?;
            } else if kind.is_file() {
                let bytes = fs::read(entry.path()).with_context(context)?;
                let is_component = || bytes.windows(15).any(|window| window == b"kind: Component");
                if matches!(name.as_str(), "kustomization.yaml" | "kustomization.yml" | "Kustomization") && !is_component() {
                    self.targets.push(Target { family: Family::Real, dir: dir.to_owned() });
                }
                self.files.insert(path, bytes);
            }
        }
        Ok(())
    }

    /// Writes the files below `root`.
    ///
    /// # Errors
    /// Something cannot be written.
    pub fn write(&self, root: &Path) -> anyhow::Result<()> {
        let place = |path: &str| -> anyhow::Result<PathBuf> {
            let place = root.join(path);
            let directory = place.parent().unwrap_or(root);
            fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
            Ok(place)
        };
        for (path, bytes) in &self.files {
            let place = place(path)?;
            fs::write(&place, bytes).with_context(|| format!("cannot write {}", place.display()))?;
        }
        for (path, target) in &self.links {
            let place = place(path)?;
            std::os::unix::fs::symlink(target, &place).with_context(|| format!("cannot link {}", place.display()))?;
        }
        Ok(())
    }

    /// Every `step`th target, so that each family is among them.
    #[must_use]
    pub fn thinned(mut self, step: usize) -> Self {
        self.targets = self.targets.into_iter().step_by(step).collect();
        self
    }

    /// The families that its targets are of.
    pub fn families(&self) -> BTreeSet<Family> {
        self.targets.iter().map(|target| target.family).collect()
    }

    /// The bytes of all files.
    pub fn bytes(&self) -> usize {
        self.files.values().map(Vec::len).sum()
    }

    fn file(&mut self, path: impl Into<String>, text: impl Into<String>) {
        let path = path.into();
        let is_new = self.files.insert(path.clone(), text.into().into_bytes()).is_none();
        assert!(is_new, "BUG: the corpus has {path} twice");
    }

    fn target(&mut self, family: Family, dir: impl Into<String>, kustomization: impl Into<String>) {
        let dir = dir.into();
        self.file(format!("{dir}/kustomization.yaml"), kustomization);
        self.targets.push(Target { family, dir });
    }
}

/// The chance that belongs to `name` alone, so that one part of the corpus can change without the others (FNV-1a).
fn chance(name: &str) -> Chance {
    Chance::of_seed(name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
}

/// A kustomization of `resources` and `more` fields.
fn kustomization<T: AsRef<str>>(resources: &[T], more: &str) -> String {
    let mut text = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n".to_owned();
    for resource in resources {
        text.push_str(&format!("- {}\n", resource.as_ref()));
    }
    text + more
}
