//! The audit log: who did what, in books that are filled by different hands and bounded each for itself, so that nobody who looks a lot pushes out
//! what somebody changed. In each book every record is chained to the one before it by digest; what was dropped from its beginning is counted.

use hub_store::{Commit, CommitOutcome, Operation, Store};
use serde::{Deserialize, Serialize};
use shared_model::{Digest, Timestamp};
use tokio::sync::{Mutex, MutexGuard};

use crate::record::{self, Record, RecordError};

/// The most records of changes: at a hundred a day they reach back more than a year. 50,000 of at most 1 KB are 50 MB.
const CHANGES_LIMIT: u64 = 50_000;

/// The most records of what happens by itself: at 20 indexes a day for each of 200 clusters they reach back twelve days. 50,000 of at most 1 KB are
/// 50 MB.
const ROUTINE_LIMIT: u64 = 50_000;

/// The most records of looks: at a look every ten seconds they reach back more than a day. 10,000 of at most 1 KB are 10 MB.
const LOOKS_LIMIT: u64 = 10_000;

/// How many records are dropped in one commit, well within the 128 parts that it may have. A book holds at most as many more than its limit.
const DROPPED_AT_ONCE: u64 = 64;

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    AgentReattested,
    Approved,
    ClusterAccepted,
    ClusterAdded,
    ClusterEnrolled,
    ClusterRemoved,
    Held,
    HistoryRewritten,
    IndexPublished,
    LookedAt,
    ReadLog,
    Resumed,
    TestsAsked,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::AgentReattested => "AgentReattested",
            Self::Approved => "Approved",
            Self::ClusterAccepted => "ClusterAccepted",
            Self::ClusterAdded => "ClusterAdded",
            Self::ClusterEnrolled => "ClusterEnrolled",
            Self::ClusterRemoved => "ClusterRemoved",
            Self::Held => "Held",
            Self::HistoryRewritten => "HistoryRewritten",
            Self::IndexPublished => "IndexPublished",
            Self::LookedAt => "LookedAt",
            Self::ReadLog => "ReadLog",
            Self::Resumed => "Resumed",
            Self::TestsAsked => "TestsAsked",
        }
    }

    fn book(self) -> Book {
        match self {
            Self::LookedAt | Self::ReadLog => Book::Looks,
            Self::AgentReattested | Self::IndexPublished => Book::Routine,
            Self::Approved
            | Self::ClusterAccepted
            | Self::ClusterAdded
            | Self::ClusterEnrolled
            | Self::ClusterRemoved
            | Self::Held
            | Self::HistoryRewritten
            | Self::Resumed
            | Self::TestsAsked => Book::Changes,
        }
    }
}

/// Where a record stands. What one book holds is never dropped to make room in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Book {
    /// What operators changed, who joined, and histories that were rewritten. Records of hubs before there were books stand here, of all kinds.
    Changes,
    /// What hub and agents do by themselves.
    Routine,
    /// Who looked into clusters.
    Looks,
}

impl Book {
    const ALL: [Self; 3] = [Self::Changes, Self::Routine, Self::Looks];

    /// What stands before the number of a record.
    fn prefix(self) -> &'static str {
        match self {
            Self::Changes => "",
            Self::Routine => "routine/",
            Self::Looks => "looks/",
        }
    }

    fn of_record(name: &str) -> Self {
        let has_prefix = |book: &Self| !book.prefix().is_empty() && name.starts_with(book.prefix());
        Self::ALL.into_iter().find(has_prefix).unwrap_or(Self::Changes)
    }

    fn record(self, number: u64) -> String {
        format!("{}{number:020}", self.prefix())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Changes => "changes",
            Self::Routine => "routine",
            Self::Looks => "looks",
        }
    }
}

/// How many records each book keeps.
#[derive(Debug, Clone, Copy)]
struct Limits {
    changes: u64,
    routine: u64,
    looks: u64,
}

impl Limits {
    const DEFAULT: Self = Self { changes: CHANGES_LIMIT, routine: ROUTINE_LIMIT, looks: LOOKS_LIMIT };

    fn of(self, book: Book) -> u64 {
        match book {
            Book::Changes => self.changes,
            Book::Routine => self.routine,
            Book::Looks => self.looks,
        }
    }
}

/// One accepted change, or one look.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AuditRecord {
    /// When, by the hub's clock.
    pub(crate) at: String,
    /// Who: an operator's token, a cluster's agent, or `hub`.
    pub(crate) actor: String,
    /// What: an [`Action`].
    pub(crate) action: String,
    /// The facts in one sentence.
    pub(crate) message: String,
    /// The digest of the record before this one in its book.
    pub(crate) previous: Option<String>,
}

impl Record for AuditRecord {
    const TREE: &'static str = "audit";
}

impl AuditRecord {
    fn digest(&self) -> Digest {
        Digest::of(&record::encode(self))
    }
}

/// Where a book begins since records of it were dropped. Written with every drop, so that a beginning that somebody took away is told from one
/// that was dropped.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct BeginningRecord {
    /// The number of the first record that is kept, which is how many were dropped.
    first: u64,
    /// The digest of the last one that was dropped.
    previous: Option<String>,
}

impl Record for BeginningRecord {
    const TREE: &'static str = "audit-beginnings";
}

/// The end of a book.
#[derive(Debug, Clone, Copy, Default)]
struct End {
    first: u64,
    next: u64,
    last: Option<Digest>,
}

/// The log.
pub(crate) struct Audit {
    limits: Limits,
    ends: [Mutex<End>; Book::ALL.len()],
}

impl Audit {
    /// Finds the end of each book and checks the chains on the way.
    pub(crate) async fn open(store: &dyn Store) -> Result<Self, RecordError> {
        Self::open_within(store, Limits::DEFAULT).await
    }

    async fn open_within(store: &dyn Store, limits: Limits) -> Result<Self, RecordError> {
        let mut ends = [End::default(); Book::ALL.len()];
        let mut previous: [Option<String>; Book::ALL.len()] = Default::default();
        for book in Book::ALL {
            let beginning = beginning(store, book).await?;
            ends[book as usize] = End { first: beginning.first, next: beginning.first, last: None };
            previous[book as usize] = beginning.previous;
        }
        record::for_each::<AuditRecord>(store, |name, entry| {
            let book = Book::of_record(&name);
            let (end, previous) = (&mut ends[book as usize], &mut previous[book as usize]);
            if entry.previous != *previous || name != book.record(end.next) {
                tracing::error!(record = name, "the audit log's chain is broken here: a record was changed or taken away");
            }
            let number = name.trim_start_matches(book.prefix()).parse().unwrap_or(end.next);
            let digest = entry.digest();
            (end.next, end.last, *previous) = (number + 1, Some(digest), Some(digest.to_string()));
        })
        .await?;
        // A book whose records were all dropped or taken away goes on from its beginning.
        for book in Book::ALL {
            let last = previous[book as usize].as_ref().and_then(|digest| digest.parse().ok());
            ends[book as usize].last = last;
        }
        Ok(Self { limits, ends: ends.map(Mutex::new) })
    }

    /// Appends a record; it is on disk when this returns.
    pub(crate) async fn append(
        &self,
        store: &dyn Store,
        at: Timestamp,
        actor: &str,
        action: Action,
        message: String,
    ) -> Result<(), RecordError> {
        let nothing_else = Commit { fence: None, conditions: Vec::new(), operations: Vec::new() };
        record::won(self.append_with(store, at, actor, action, message, nothing_else).await?).map(|_| ())
    }

    /// Carries out `change` and appends the record of it in one commit, so that a hub that is killed leaves both or neither. Nothing is
    /// appended if somebody was before the change.
    pub(crate) async fn append_with(
        &self,
        store: &dyn Store,
        at: Timestamp,
        actor: &str,
        action: Action,
        message: String,
        change: Commit,
    ) -> Result<CommitOutcome, RecordError> {
        let book = action.book();
        let mut end = self.ends[book as usize].lock().await;
        loop {
            let entry = AuditRecord {
                at: at.to_string(),
                actor: actor.to_owned(),
                action: action.as_str().to_owned(),
                message: message.clone(),
                previous: end.last.map(|digest| digest.to_string()),
            };
            let name = book.record(end.next);
            let appended = record::commit(&name, &entry, None);
            let mut both = change.clone();
            both.conditions.extend(appended.conditions);
            both.operations.extend(appended.operations);
            match store.commit(both).await? {
                CommitOutcome::Conflict { key, .. } if key.tree() == AuditRecord::TREE => {
                    // An append whose asker went away before its answer was carried out all the same: go on after it.
                    let (found, _) = record::read::<AuditRecord>(store, &name).await?.ok_or(RecordError::Lost { key })?;
                    (end.next, end.last) = (end.next + 1, Some(found.digest()));
                }
                outcome @ CommitOutcome::Conflict { .. } => return Ok(outcome),
                outcome @ CommitOutcome::Committed(_) => {
                    tracing::info!(actor, action = action.as_str(), facts = message, "audit");
                    (end.next, end.last) = (end.next + 1, Some(entry.digest()));
                    self.drop_oldest(store, book, end).await;
                    return Ok(outcome);
                }
            }
        }
    }

    /// Drops the oldest records of a book that has too many. What cannot be dropped now is dropped with a later append.
    async fn drop_oldest(&self, store: &dyn Store, book: Book, mut end: MutexGuard<'_, End>) {
        if end.next - end.first < self.limits.of(book) + DROPPED_AT_ONCE {
            return;
        }
        match drop_some(store, book, end.next - self.limits.of(book)).await {
            Ok(first) => end.first = first,
            Err(error) => {
                tracing::warn!(book = book.name(), %error, "old records of the audit log could not be dropped; it is tried again");
            }
        }
    }
}

async fn beginning(store: &dyn Store, book: Book) -> Result<BeginningRecord, RecordError> {
    Ok(record::read(store, book.name()).await?.map(|(beginning, _)| beginning).unwrap_or_default())
}

/// Drops records of `book` before the number `until`, as many as one commit may drop; the number of the first that is left.
async fn drop_some(store: &dyn Store, book: Book, until: u64) -> Result<u64, RecordError> {
    // The store's word, as a drop whose asker went away was carried out all the same.
    let first = beginning(store, book).await?.first;
    let kept = until.min(first + DROPPED_AT_ONCE);
    if kept <= first {
        return Ok(first);
    }
    // Without it the chain is broken already, which the next start says.
    let previous = record::read::<AuditRecord>(store, &book.record(kept - 1)).await?.map(|(entry, _)| entry.digest().to_string());
    let beginning = BeginningRecord { first: kept, previous };
    let mut operations: Vec<Operation> =
        (first..kept).map(|number| Operation::Delete(record::key::<AuditRecord>(&book.record(number)))).collect();
    operations.push(Operation::Put(record::key::<BeginningRecord>(book.name()), record::encode(&beginning).into()));
    record::won(store.commit(Commit { operations, ..Commit::default() }).await?)?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hub_store::MemoryStore;

    use super::*;

    async fn append(audit: &Audit, store: &MemoryStore, action: Action) -> Result<(), RecordError> {
        audit.append(store, Timestamp::UNIX_EPOCH, "hub", action, String::new()).await
    }

    async fn all(store: &MemoryStore) -> Result<Vec<(String, AuditRecord)>, RecordError> {
        record::read_all::<AuditRecord>(store).await
    }

    async fn actions(store: &MemoryStore) -> Result<Vec<String>, RecordError> {
        let shown = |(_, entry): (String, AuditRecord)| format!("{} after {}", entry.action, entry.previous.map_or(0, |_| 1));
        Ok(all(store).await?.into_iter().map(shown).collect())
    }

    #[tokio::test]
    async fn an_append_whose_asker_went_away_stays_and_the_next_one_follows_it() -> Result<(), RecordError> {
        let store = MemoryStore::default();
        let audit = Audit::open(&store).await?;
        // What a dropped append leaves: its record is there, and nobody was told.
        append(&Audit::open(&store).await?, &store, Action::Held).await?;
        append(&audit, &store, Action::Resumed).await?;
        assert_eq!(actions(&store).await?, ["Held after 0", "Resumed after 1"]);
        Ok(())
    }

    #[tokio::test]
    async fn a_change_that_somebody_was_before_is_not_recorded() -> Result<(), RecordError> {
        let store = MemoryStore::default();
        let audit = Audit::open(&store).await?;
        append(&audit, &store, Action::Held).await?;
        let change = record::commit("x", &Elsewhere {}, None);
        record::won(store.commit(change.clone()).await?)?;
        let outcome = audit.append_with(&store, Timestamp::UNIX_EPOCH, "hub", Action::Resumed, String::new(), change).await?;
        assert!(matches!(outcome, CommitOutcome::Conflict { .. }));
        assert_eq!(actions(&store).await?, ["Held after 0"]);
        Ok(())
    }

    /// How many records each book has, and the number of its first; a chain that is broken fails.
    async fn books(store: &MemoryStore) -> Result<BTreeMap<&'static str, (usize, u64)>, RecordError> {
        let mut books: BTreeMap<&'static str, (usize, u64)> = BTreeMap::new();
        let mut previous: BTreeMap<&'static str, Option<String>> = BTreeMap::new();
        for (name, entry) in all(store).await? {
            let book = Book::of_record(&name);
            let begins = beginning(store, book).await?;
            let (count, _) = books.entry(book.name()).or_insert((0, begins.first));
            assert_eq!(name, book.record(begins.first + *count as u64), "numbers follow each other from the beginning");
            *count += 1;
            assert_eq!(entry.previous, *previous.entry(book.name()).or_insert(begins.previous), "{name} follows the one before");
            previous.insert(book.name(), Some(entry.digest().to_string()));
        }
        Ok(books)
    }

    #[tokio::test]
    async fn the_oldest_of_a_full_book_go_and_looks_never_push_out_a_change() -> Result<(), RecordError> {
        let store = MemoryStore::default();
        let limits = Limits { changes: 10, routine: 20, looks: 5 };
        let audit = Audit::open_within(&store, limits).await?;
        append(&audit, &store, Action::Approved).await?;
        for _ in 0..1_000 {
            append(&audit, &store, Action::LookedAt).await?;
        }
        for _ in 0..200 {
            append(&audit, &store, Action::IndexPublished).await?;
        }
        let found = books(&store).await?;
        assert_eq!(found["changes"], (1, 0), "the approval is there");
        for (book, limit, appended) in [("looks", 5, 1_000), ("routine", 20, 200)] {
            let (count, first) = found[book];
            assert!((limit..limit + DROPPED_AT_ONCE).contains(&(count as u64)), "{book} has {count} records");
            assert_eq!(first + count as u64, appended, "what was dropped is counted");
        }
        // After a restart the numbers go on, and nothing is dropped too early.
        let again = Audit::open_within(&store, limits).await?;
        append(&again, &store, Action::ReadLog).await?;
        append(&again, &store, Action::Held).await?;
        let after = books(&store).await?;
        let (count, first) = after["looks"];
        assert_eq!((first + count as u64, after["changes"]), (1_001, (2, 0)));
        Ok(())
    }

    #[tokio::test]
    async fn a_log_that_is_far_too_long_shrinks_and_a_drop_that_nobody_was_told_of_is_taken_in() -> Result<(), RecordError> {
        let store = MemoryStore::default();
        let long = Audit::open_within(&store, Limits { changes: 1_000, ..Limits::DEFAULT }).await?;
        for _ in 0..300 {
            append(&long, &store, Action::Held).await?;
        }
        let limits = Limits { changes: 10, ..Limits::DEFAULT };
        let audit = Audit::open_within(&store, limits).await?;
        assert_eq!(drop_some(&store, Book::Changes, 50).await?, 50, "what a drop leaves whose asker went away");
        for _ in 0..10 {
            append(&audit, &store, Action::Held).await?;
        }
        let (count, first) = books(&store).await?["changes"];
        assert!(count as u64 <= 10 + DROPPED_AT_ONCE && first + count as u64 == 310, "{count} from {first} on");
        Ok(())
    }

    #[tokio::test]
    async fn records_of_a_hub_before_there_were_books_are_changes_and_go_on() -> Result<(), RecordError> {
        let store = MemoryStore::default();
        let mut previous = None;
        for number in 0..3 {
            let entry = AuditRecord {
                at: Timestamp::UNIX_EPOCH.to_string(),
                actor: "token/bootstrap".to_owned(),
                action: "LookedAt".to_owned(),
                message: String::new(),
                previous,
            };
            previous = Some(entry.digest().to_string());
            record::write(&store, &format!("{number:020}"), &entry, None).await?;
        }
        let audit = Audit::open(&store).await?;
        append(&audit, &store, Action::LookedAt).await?;
        append(&audit, &store, Action::Held).await?;
        assert_eq!(books(&store).await?, BTreeMap::from([("changes", (4, 0)), ("looks", (1, 0))]));
        Ok(())
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Elsewhere {}

    impl Record for Elsewhere {
        const TREE: &'static str = "elsewhere";
    }
}
