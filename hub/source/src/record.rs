//! What a mirror remembers across restarts: the last good revision and rewritten histories. One small file, replaced atomically.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use shared_model::{Revision, Timestamp};

/// The first line of the file. The number rises when an older hub could no longer read it.
const FORMAT: &str = "capstan-mirror";
const VERSION: u32 = 1;
const FILE: &str = "mirror";

/// The most rewritten histories that are remembered: an operator looks at the latest, and 16 × about 150 bytes stay small.
pub(crate) const REWRITE_LIMIT: usize = 16;

/// A history that was rewritten: the branch no longer leads to what it led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// The commit that is no longer part of the history.
    pub lost_commit: String,
    /// What replaced it.
    pub revision: Revision,
    /// When that was seen.
    pub seen: Timestamp,
}

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) url: String,
    pub(crate) reference: String,
    /// The number of the directory with the clone.
    pub(crate) clone: u64,
    pub(crate) last_good: Option<(Revision, Timestamp)>,
    pub(crate) rewrites: Vec<Rewrite>,
}

/// Why a record could not be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    Newer { version: u32 },
    Damaged { line: String },
    Io(io::Error),
}

impl Record {
    /// Reads the record in `dir`; none is there before the first good refresh.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, Unusable> {
        match fs::read(dir.join(FILE)) {
            Ok(bytes) => Self::decode(&String::from_utf8_lossy(&bytes)).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Unusable::Io(error)),
        }
    }

    /// Replaces the record in `dir`, durably: after a crash there is the old one or this one.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        let temporary = dir.join(format!("{FILE}.new"));
        let mut file = File::create(&temporary)?;
        file.write_all(self.encode().as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, dir.join(FILE))?;
        File::open(dir)?.sync_all()
    }

    /// Puts a record that cannot be read aside.
    pub(crate) fn set_aside(dir: &Path) -> io::Result<()> {
        fs::rename(dir.join(FILE), dir.join(format!("{FILE}.damaged")))
    }

    fn encode(&self) -> String {
        let mut out = format!("{FORMAT} {VERSION}\nurl {}\nreference {}\nclone {}\n", self.url, self.reference, self.clone);
        if let Some((revision, at)) = &self.last_good {
            out.push_str(&format!("good {} {} {at}\n", revision.commit, revision.reference));
        }
        for Rewrite { lost_commit, revision, seen } in &self.rewrites {
            out.push_str(&format!("rewrite {lost_commit} {} {} {seen}\n", revision.commit, revision.reference));
        }
        out
    }

    fn decode(text: &str) -> Result<Self, Unusable> {
        let damaged = |line: &str| Unusable::Damaged { line: line.chars().take(80).collect() };
        let mut lines = text.lines();
        let head = lines.next().unwrap_or_default();
        match head.strip_prefix(FORMAT).and_then(|version| version.trim().parse::<u32>().ok()) {
            Some(VERSION) => {}
            Some(version) => return Err(Unusable::Newer { version }),
            None => return Err(damaged(head)),
        }
        let mut record = Self { url: String::new(), reference: String::new(), clone: 0, last_good: None, rewrites: Vec::new() };
        let mut ends_whole = text.ends_with('\n');
        for line in lines {
            let (key, value) = line.split_once(' ').ok_or_else(|| damaged(line))?;
            let words: Vec<&str> = value.split(' ').collect();
            match (key, words.as_slice()) {
                ("url", _) => record.url = value.to_owned(),
                ("reference", _) => record.reference = value.to_owned(),
                ("clone", [number]) => record.clone = number.parse().map_err(|_| damaged(line))?,
                ("good", [commit, reference, at]) => {
                    record.last_good = Some((revision(commit, reference), at.parse().map_err(|_| damaged(line))?));
                }
                ("rewrite", [lost, commit, reference, seen]) => record.rewrites.push(Rewrite {
                    lost_commit: (*lost).to_owned(),
                    revision: revision(commit, reference),
                    seen: seen.parse().map_err(|_| damaged(line))?,
                }),
                _ => ends_whole = false,
            }
        }
        if ends_whole { Ok(record) } else { Err(damaged("the end")) }
    }
}

fn revision(commit: &str, reference: &str) -> Revision {
    Revision { reference: reference.to_owned(), commit: commit.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let at: Timestamp = "2026-11-21T10:00:00.5Z".parse().expect("a time");
        let now = revision(&"b".repeat(40), "main");
        Record {
            url: "https://git.example.com/a b.git".into(),
            reference: "semver=>=1 <2".into(),
            clone: 7,
            last_good: Some((now.clone(), at)),
            rewrites: vec![Rewrite { lost_commit: "a".repeat(40), revision: now, seen: at }],
        }
    }

    #[test]
    fn a_record_reads_back_what_was_written() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(matches!(Record::read(dir.path()), Ok(None)));
        record().write(dir.path()).expect("written");
        assert_eq!(Record::read(dir.path()).expect("readable"), Some(record()));
    }

    #[test]
    fn a_newer_or_damaged_record_is_not_read() {
        let whole = record().encode();
        assert!(matches!(Record::decode(&whole.replace("mirror 1", "mirror 2")), Err(Unusable::Newer { version: 2 })));
        for damaged in ["", "x", &whole[..whole.len() - 1], &whole.replace("clone 7", "clone x"), &whole.replace("good", "bad")] {
            assert!(matches!(Record::decode(damaged), Err(Unusable::Damaged { .. })), "{damaged}");
        }
    }
}
