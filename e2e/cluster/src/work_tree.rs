//! A clone to commit and push from, by the git program, untouched by the configuration of the user and the system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use tempfile::TempDir;

/// A checked-out clone in a directory of its own; dropping it removes the directory.
#[derive(Debug)]
pub struct WorkTree {
    directory: TempDir,
}

impl WorkTree {
    /// Clones `url`. An empty repository gives an empty tree on the branch `main`.
    ///
    /// # Errors
    /// What git says: no such repository, refused password, unreachable server.
    pub fn clone(url: &str) -> anyhow::Result<Self> {
        let tree = Self { directory: tempfile::Builder::new().prefix("capstan-work-tree-").tempdir()? };
        tree.git(&["-c", "init.defaultBranch=main", "clone", "--quiet", url, "."])?;
        Ok(tree)
    }

    /// Where the files are.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file, with the directories above it.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn write(&self, path: &str, content: &str) -> anyhow::Result<()> {
        let file = self.inside(path);
        let parent = file.parent().unwrap_or(self.path());
        fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        fs::write(&file, content).with_context(|| file.display().to_string())
    }

    /// Removes a file or a directory with all that is in it.
    ///
    /// # Errors
    /// There is none.
    pub fn remove(&self, path: &str) -> anyhow::Result<()> {
        let file = self.inside(path);
        let removed = if file.is_dir() { fs::remove_dir_all(&file) } else { fs::remove_file(&file) };
        removed.with_context(|| file.display().to_string())
    }

    /// Commits everything in the tree, also if nothing has changed, and returns the commit's id.
    ///
    /// # Errors
    /// What git says.
    pub fn commit(&self, message: &str) -> anyhow::Result<String> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message])?;
        self.head()
    }

    /// The id of the checked-out commit.
    ///
    /// # Errors
    /// There is none yet.
    pub fn head(&self) -> anyhow::Result<String> {
        Ok(self.git(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// Pushes the checked-out branch.
    ///
    /// # Errors
    /// What git says: the server refuses, or has commits that are not here.
    pub fn push(&self) -> anyhow::Result<()> {
        self.git(&["push", "--quiet", "origin", "HEAD"]).map(drop)
    }

    /// Pushes the checked-out branch over whatever the server has.
    ///
    /// # Errors
    /// What git says.
    pub fn force_push(&self) -> anyhow::Result<()> {
        self.git(&["push", "--quiet", "--force", "origin", "HEAD"]).map(drop)
    }

    /// Commits everything and pushes it; returns the commit's id.
    ///
    /// # Errors
    /// As [`Self::commit`] and [`Self::push`].
    pub fn commit_and_push(&self, message: &str) -> anyhow::Result<String> {
        let id = self.commit(message)?;
        self.push()?;
        Ok(id)
    }

    /// Runs git in the tree, for branches, tags and everything else; returns what it printed.
    ///
    /// # Errors
    /// git failed; the message is what it wrote to stderr.
    pub fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = git_command(self.path()).args(arguments).output().context("cannot run git")?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "git {} failed: {}", arguments.join(" "), stderr.trim_end());
        Ok(String::from_utf8(output.stdout)?)
    }

    fn inside(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }
}

/// A git program that sees no configuration but that of the repository, asks nobody, and commits as a fixed author.
pub(crate) fn git_command(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(hermetic_environment(directory));
    command
}

/// The variables that make git independent of where it runs.
pub(crate) fn hermetic_environment(home: &Path) -> Vec<(&'static str, String)> {
    let fixed = [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_AUTHOR_NAME", "Test Author"),
        ("GIT_AUTHOR_EMAIL", "author@example.test"),
        ("GIT_COMMITTER_NAME", "Test Author"),
        ("GIT_COMMITTER_EMAIL", "author@example.test"),
        ("LC_ALL", "C"),
    ];
    let fixed = fixed.into_iter().map(|(name, value)| (name, value.to_owned()));
    fixed.chain([("HOME", home.display().to_string())]).collect()
}
