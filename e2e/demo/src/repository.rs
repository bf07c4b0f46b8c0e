//! The fleet repository of the demo: a bare Git repository, and a plain directory beside it of which every change is committed, so that
//! nobody needs a git program.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hub_source::LocalRepository;
use shared_model::Timestamp;

use crate::fleet::FILES;

/// Files larger than this are no manifests and are not committed: 1 MiB, what Kubernetes takes as an object.
const FILE_BYTES: u64 = 1 << 20;

type Files = BTreeMap<String, Vec<u8>>;

/// The repository and its working directory.
pub(crate) struct Repository {
    git: LocalRepository,
    directory: PathBuf,
    committed: Files,
}

impl Repository {
    /// Makes both in `place`, filled with the demo's fleet.
    pub(crate) fn make(place: &Path) -> anyhow::Result<Self> {
        let directory = place.join("fleet");
        for (path, text) in FILES {
            let file = directory.join(path);
            fs::create_dir_all(file.parent().unwrap_or(&directory)).with_context(|| format!("{} cannot be made", file.display()))?;
            fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
        }
        let git = LocalRepository::init(&place.join("fleet.git"))?;
        let mut repository = Self { git, directory, committed: Files::new() };
        repository.commit_changes("The fleet")?.context("BUG: there was nothing to commit")?;
        Ok(repository)
    }

    /// The bare repository, which the hub reads.
    pub(crate) fn git(&self) -> &Path {
        self.git.path()
    }

    /// Commits what differs between the directory and the last commit. Gives the commit and its paths, or nothing if nothing differs.
    pub(crate) fn commit_changes(&mut self, message: &str) -> anyhow::Result<Option<Commit>> {
        let now = files_below(&self.directory)?;
        let gone = self.committed.keys().filter(|path| !now.contains_key(*path)).map(|path| (path.as_str(), None));
        let new = now.iter().filter(|(path, bytes)| self.committed.get(*path) != Some(bytes));
        let changes: Vec<(&str, Option<&[u8]>)> = gone.chain(new.map(|(path, bytes)| (path.as_str(), Some(bytes.as_slice())))).collect();
        if changes.is_empty() {
            return Ok(None);
        }
        let id = self.git.commit(&changes, message, "demo", Timestamp::now())?;
        let paths = changes.iter().map(|(path, _)| (*path).to_owned()).collect();
        self.committed = now;
        Ok(Some(Commit { id, paths }))
    }

    /// Replaces text in a file of the directory. That the text is there is checked.
    pub(crate) fn replace(&self, path: &str, before: &str, after: &str) -> anyhow::Result<()> {
        let file = self.directory.join(path);
        let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        anyhow::ensure!(text.contains(before), "{} does not hold {before:?}", file.display());
        fs::write(&file, text.replace(before, after)).with_context(|| format!("{} cannot be written", file.display()))
    }
}

/// A commit that was made.
pub(crate) struct Commit {
    pub(crate) id: String,
    /// The files that it changes.
    pub(crate) paths: Vec<String>,
}

/// All files below a directory, without those that editors make beside what they edit.
fn files_below(directory: &Path) -> anyhow::Result<Files> {
    let mut files = Files::new();
    let mut todo = vec![(directory.to_owned(), String::new())];
    while let Some((place, prefix)) = todo.pop() {
        for entry in fs::read_dir(&place).with_context(|| format!("{} cannot be read", place.display()))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') || name.ends_with('~') || name.ends_with(".swp") {
                continue;
            }
            let path = format!("{prefix}{name}");
            let found = match fs::metadata(entry.path()) {
                Ok(found) => found,
                // It went away meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error).with_context(|| format!("{} cannot be read", entry.path().display())),
            };
            if found.is_dir() {
                todo.push((entry.path(), format!("{path}/")));
            } else if found.is_file() && found.len() <= FILE_BYTES {
                match fs::read(entry.path()) {
                    Ok(bytes) => drop(files.insert(path, bytes)),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error).with_context(|| format!("{} cannot be read", entry.path().display())),
                }
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_changed_added_and_removed_in_the_directory_is_one_commit_and_nothing_else_is_one() {
        let place = tempfile::tempdir().expect("a directory");
        let mut repository = Repository::make(place.path()).expect("a repository");
        assert!(repository.commit_changes("nothing").expect("no error").is_none());
        let directory = place.path().join("fleet");
        repository.replace("fleet.yaml", "demo", "test").expect("it is there");
        fs::write(directory.join("new.yaml"), "a: 1\n").expect("written");
        fs::write(directory.join(".new.yaml.swp"), "b").expect("written");
        fs::remove_file(directory.join("apps/training/app.yaml")).expect("it was there");
        let commit = repository.commit_changes("change").expect("no error").expect("a commit");
        assert_eq!(commit.paths, ["apps/training/app.yaml", "fleet.yaml", "new.yaml"]);
        assert_eq!(commit.id.len(), 40);
        assert!(repository.commit_changes("nothing").expect("no error").is_none());
    }

    #[test]
    fn a_replacement_of_what_is_not_there_is_refused() {
        let place = tempfile::tempdir().expect("a directory");
        let repository = Repository::make(place.path()).expect("a repository");
        assert!(repository.replace("fleet.yaml", "not in it", "").is_err());
    }
}
