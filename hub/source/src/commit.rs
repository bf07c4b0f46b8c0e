//! Who made a commit, when and why: what an audit log says about a change.

use gix::ObjectId;
use gix::bstr::ByteSlice;
use shared_model::Timestamp;

/// The longest subject and author that are kept, in characters.
const TEXT_LIMIT: usize = 200;

/// The facts about a commit. All of them are what its author claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// `Ann <ann@example.com>`, cut to 200 characters.
    pub author: String,
    /// When it was committed, by the clock of who committed it.
    pub time: Timestamp,
    /// The first line of its message, cut to 200 characters.
    pub subject: String,
}

impl CommitInfo {
    pub(crate) fn read(repository: &gix::Repository, id: ObjectId) -> gix::Result<Self> {
        let commit = repository.find_commit(id)?;
        let author = commit.author()?.trim();
        let seconds = commit.time()?.seconds;
        Ok(Self {
            author: printable(&format!("{} <{}>", author.name.to_str_lossy(), author.email.to_str_lossy())),
            time: Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH),
            subject: printable(commit.message_raw_sloppy().to_str_lossy().trim_start().lines().next().unwrap_or_default()),
        })
    }
}

fn printable(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(TEXT_LIMIT).collect()
}
