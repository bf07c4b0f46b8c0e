//! A fleet repository on this machine, which a hub reads directly.

use std::path::Path;

use hub_source::{LocalRepository, Reference, SourceSpec};
use shared_model::Timestamp;

/// A bare repository whose branch `main` holds a fleet.
#[derive(Debug, Clone)]
pub struct FleetRepository(LocalRepository);

impl FleetRepository {
    /// Makes one with these files.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn init(path: &Path, files: &[(&str, &str)]) -> anyhow::Result<Self> {
        let repository = Self(LocalRepository::init(path)?);
        let files: Vec<(&str, Option<&str>)> = files.iter().map(|(path, text)| (*path, Some(*text))).collect();
        repository.commit(&files, "the fleet")?;
        Ok(repository)
    }

    /// Commits: each path gets its text, or is removed.
    ///
    /// # Errors
    /// A file to remove is not there, or the directory cannot be written.
    pub fn commit(&self, changes: &[(&str, Option<&str>)], message: &str) -> anyhow::Result<String> {
        let changes: Vec<(&str, Option<&[u8]>)> = changes.iter().map(|(path, text)| (*path, text.map(str::as_bytes))).collect();
        Ok(self.0.commit(&changes, message, "test", Timestamp::now())?)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// How a hub is told of it.
    ///
    /// # Errors
    /// Its path is no text.
    pub fn source(&self) -> anyhow::Result<SourceSpec> {
        Ok(SourceSpec::new("fleet".parse()?, self.path().display().to_string().parse()?, Reference::branch("main")?))
    }
}
