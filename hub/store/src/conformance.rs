//! What every store must do, as code that each implementation's tests run. It panics where a store differs. Durability across crashes is
//! left to the tests of the durable store.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use shared_model::Digest;

use crate::{
    BLOB_LIMIT, BLOBS_PER_CALL, Bound, COMMIT_BYTES, COMMIT_PARTS, Commit, CommitOutcome, Condition, INLINE_LIMIT, KEY_LIMIT, Key,
    MemoryStore, Operation, PAGE_LIMIT, Page, Prefix, Scope, Store, StoreError, StreamFlaw, Summary, VALUE_LIMIT, Version,
};

/// A check under way.
type Checking = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One promise: its name, and the code that checks it on a new, empty store.
pub struct Promise {
    /// The promise as a sentence.
    pub name: &'static str,
    check: fn(Arc<dyn Store>) -> Checking,
}

macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        &[$(Promise { name: stringify!($name), check: |store| Box::pin($name(store)) }),*]
    };
}

/// All promises.
pub const PROMISES: &[Promise] = promises![
    an_absent_key_has_no_value,
    a_value_is_read_back_at_its_version_until_it_is_replaced_or_deleted,
    a_lost_compare_names_the_key_and_what_it_has,
    several_keys_change_together_or_not_at_all,
    of_racing_compares_exactly_one_wins,
    values_of_every_size_shrink_and_grow,
    a_value_that_shrinks_and_grows_in_one_breath_stays_whole,
    a_commit_at_its_limits_passes_and_one_beyond_is_refused,
    a_range_comes_in_pages_in_the_order_of_bytes,
    a_page_ends_early_when_its_values_are_large,
    an_older_term_is_fenced_and_nothing_is_written,
    a_watch_holds_the_latest_version_of_its_prefix_only,
    blobs_are_found_by_digest_whatever_their_size,
    a_blob_that_was_put_again_is_not_removed,
    blob_calls_at_their_limits_pass_and_one_beyond_is_refused,
    an_export_fills_another_store_with_the_same_content,
    a_damaged_stream_leaves_the_store_empty,
    import_into_a_store_that_has_something_is_refused,
    random_commits_agree_with_a_plain_map,
    everything_is_well_after_all_that,
];

/// Checks every promise on a store of its own from `new_store`. Panics at the first that does not hold.
pub async fn check<F>(mut new_store: impl FnMut() -> F)
where
    F: Future<Output = Arc<dyn Store>>,
{
    for promise in PROMISES {
        (promise.check)(new_store().await).await;
    }
}

impl Promise {
    /// Checks this promise on `store`, which must be empty.
    pub async fn check(&self, store: Arc<dyn Store>) {
        (self.check)(store).await;
    }
}

fn key(text: &str) -> Key {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn tree(name: &str) -> Prefix {
    Prefix::tree(name).unwrap_or_else(|error| panic!("{error}"))
}

fn put(name: &str, value: impl Into<Bytes>) -> Operation {
    Operation::Put(key(name), value.into())
}

fn all(operations: impl IntoIterator<Item = Operation>) -> Commit {
    Commit { operations: operations.into_iter().collect(), ..Commit::default() }
}

/// Bytes that differ along the value and between seeds.
fn pattern(length: usize, seed: u64) -> Bytes {
    (0..length as u64).map(|at| (at.wrapping_mul(31).wrapping_add(seed * 7) ^ (at >> 8)) as u8).collect()
}

async fn committed(store: &Arc<dyn Store>, commit: Commit) -> Version {
    match store.commit(commit).await {
        Ok(CommitOutcome::Committed(version)) => version,
        other => panic!("not committed: {other:?}"),
    }
}

async fn value(store: &Arc<dyn Store>, name: &str) -> Option<Bytes> {
    store.get(&key(name)).await.unwrap_or_else(|error| panic!("{error}")).map(|entry| entry.value)
}

async fn pages(store: &Arc<dyn Store>, prefix: &Prefix, limit: usize) -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    loop {
        let after = pages.last().and_then(|page| page.next.clone());
        pages.push(store.range(prefix, after.as_ref(), limit).await.unwrap_or_else(|error| panic!("{error}")));
        if pages.last().is_none_or(|page| page.next.is_none()) {
            return pages;
        }
    }
}

async fn contents(store: &Arc<dyn Store>, prefix: &Prefix) -> Vec<(String, Version, Bytes)> {
    let entries = pages(store, prefix, PAGE_LIMIT).await.into_iter().flat_map(|page| page.entries);
    entries.map(|(key, entry)| (key.to_string(), entry.version, entry.value)).collect()
}

async fn an_absent_key_has_no_value(store: Arc<dyn Store>) {
    assert_eq!(store.get(&key("t/none")).await, Ok(None));
    assert_eq!(store.range(&tree("t"), None, 10).await, Ok(Page::default()));
    assert_eq!(committed(&store, all([Operation::Delete(key("t/none"))])).await, Version(0), "deleting nothing changes nothing");
}

async fn a_value_is_read_back_at_its_version_until_it_is_replaced_or_deleted(store: Arc<dyn Store>) {
    let first = committed(&store, all([put("t/a", "one")])).await;
    let second = committed(&store, all([put("t/a", "two"), put("t/b", "")])).await;
    assert!(second > first);
    let entry = store.get(&key("t/a")).await.unwrap().unwrap();
    assert_eq!((entry.value, entry.version), (Bytes::from("two"), second));
    assert_eq!(value(&store, "t/b").await, Some(Bytes::new()), "an empty value is a value");
    committed(&store, all([Operation::Delete(key("t/a"))])).await;
    assert_eq!(value(&store, "t/a").await, None);
    let third = committed(&store, all([put("t/a", "three")])).await;
    assert!(third > second, "a version never comes back");
}

async fn a_lost_compare_names_the_key_and_what_it_has(store: Arc<dyn Store>) {
    let version = committed(&store, all([put("t/a", "one")])).await;
    let cases = [
        (Condition::Absent(key("t/a")), Some(version)),
        (Condition::Version(key("t/a"), Version(version.0 + 1)), Some(version)),
        (Condition::Version(key("t/b"), version), None),
        (Condition::Exists(key("t/b")), None),
    ];
    for (condition, found) in cases {
        let lost = CommitOutcome::Conflict { key: condition.key().clone(), found };
        let holds = Condition::Exists(key("t/a"));
        let commit = Commit { conditions: vec![holds, condition.clone()], ..all([put("t/a", "lost"), put("t/c", "lost")]) };
        assert_eq!(store.commit(commit).await, Ok(lost), "{condition:?}");
        assert_eq!(contents(&store, &tree("t")).await, [("t/a".to_owned(), version, Bytes::from("one"))]);
    }
    let won = committed(&store, Commit::put(Condition::Version(key("t/a"), version), key("t/a"), "two")).await;
    committed(&store, Commit::put(Condition::Exists(key("t/a")), key("t/a"), "three")).await;
    committed(&store, Commit::put(Condition::Absent(key("t/b")), key("t/b"), "new")).await;
    assert!(won > version);
}

async fn several_keys_change_together_or_not_at_all(store: Arc<dyn Store>) {
    committed(&store, all([put("a/1", "old"), put("b/1", "old")])).await;
    let version = committed(&store, all([put("a/1", "new"), Operation::Delete(key("b/1")), put("c/1", "new")])).await;
    for name in ["a/1", "c/1"] {
        assert_eq!(store.get(&key(name)).await.unwrap().unwrap().version, version);
    }
    assert_eq!(value(&store, "b/1").await, None);
    let twice = all([put("a/1", "first"), put("d/1", "x"), put("a/1", "second")]);
    assert_eq!(store.commit(twice).await, Err(StoreError::Repeated { key: key("a/1") }));
    assert_eq!(value(&store, "d/1").await, None);

    // A reader never sees one key without the other.
    let writing = async {
        for round in 0..40 {
            committed(&store, all([put("pair/a", round.to_string()), put("pair/b", round.to_string())])).await;
        }
    };
    let reading = async {
        for _ in 0..40 {
            let pair = contents(&store, &tree("pair")).await;
            assert!(pair.is_empty() || (pair.len() == 2 && pair[0].2 == pair[1].2), "{pair:?}");
        }
    };
    both(writing, reading).await;
}

/// Drives two futures in turn until both are done.
async fn both(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    tokio::join!(one, other);
}

async fn of_racing_compares_exactly_one_wins(store: Arc<dyn Store>) {
    let start = committed(&store, all([put("t/register", "start")])).await;
    let racers = (0..40).map(|racer| {
        let store = store.clone();
        tokio::spawn(async move {
            let commit = Commit::put(Condition::Version(key("t/register"), start), key("t/register"), racer.to_string());
            (racer, store.commit(commit).await.unwrap())
        })
    });
    let mut winners = Vec::new();
    for racer in racers.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            (racer, CommitOutcome::Committed(version)) => winners.push((racer, version)),
            (_, CommitOutcome::Conflict { found, .. }) => assert!(found > Some(start)),
        }
    }
    let [(winner, version)] = winners[..] else { panic!("{winners:?}") };
    let entry = store.get(&key("t/register")).await.unwrap().unwrap();
    assert_eq!((entry.value, entry.version), (Bytes::from(winner.to_string()), version));
}

async fn values_of_every_size_shrink_and_grow(store: Arc<dyn Store>) {
    let sizes = [0, 1, 4_095, 4_096, 4_097, 8_192, VALUE_LIMIT, 8_193, 3, VALUE_LIMIT - 1, 0, 40_960];
    for (seed, size) in sizes.into_iter().enumerate() {
        let wanted = pattern(size, seed as u64);
        committed(&store, all([put("t/a", wanted.clone()), put(&format!("each/{size}"), wanted.clone())])).await;
        assert_eq!(value(&store, "t/a").await, Some(wanted), "{size} bytes");
    }
    committed(&store, all([Operation::Delete(key("t/a"))])).await;
    committed(&store, all([put("t/a", "short")])).await;
    assert_eq!(value(&store, "t/a").await, Some("short".into()));
    for size in sizes {
        assert_eq!(value(&store, &format!("each/{size}")).await.map(|value| value.len()), Some(size));
    }
}

async fn a_value_that_shrinks_and_grows_in_one_breath_stays_whole(store: Arc<dyn Store>) {
    for _ in 0..5 {
        let writers = (0..40).map(|writer| {
            let (store, value) = (store.clone(), pattern([20_000, 10][writer as usize % 2], writer));
            tokio::spawn(async move { (committed(&store, all([put("t/a", value.clone())])).await, value) })
        });
        let mut written = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            written.push(writer.await.unwrap());
        }
        let (version, last) = written.into_iter().max_by_key(|(version, _)| *version).unwrap();
        let entry = store.get(&key("t/a")).await.unwrap().unwrap();
        assert_eq!((entry.version, entry.value), (version, last));
    }
}

async fn a_commit_at_its_limits_passes_and_one_beyond_is_refused(store: Arc<dyn Store>) {
    let conditions = |count| (0..count).map(|at| Condition::Absent(key(&format!("t/{at}")))).collect();
    let full = Commit { conditions: conditions(COMMIT_PARTS / 2), ..all((0..COMMIT_PARTS / 2).map(|at| put(&format!("t/{at}"), "x"))) };
    committed(&store, full.clone()).await;
    let beyond = Commit { conditions: conditions(COMMIT_PARTS / 2 + 1), ..full };
    refused(&store, beyond, Bound::CommitParts, COMMIT_PARTS).await;

    let largest = pattern(VALUE_LIMIT, 1);
    committed(&store, all([put("big/one", largest.clone())])).await;
    refused(&store, all([put("big/two", pattern(VALUE_LIMIT + 1, 1))]), Bound::ValueBytes, VALUE_LIMIT).await;

    let whole = COMMIT_BYTES / VALUE_LIMIT;
    let rest = COMMIT_BYTES - whole * VALUE_LIMIT;
    let heaviest =
        |rest| all((0..whole).map(|at| put(&format!("heavy/{at}"), largest.clone())).chain([put("heavy/rest", pattern(rest, 2))]));
    committed(&store, heaviest(rest)).await;
    refused(&store, heaviest(rest + 1), Bound::CommitBytes, COMMIT_BYTES).await;
    committed(&store, all((0..COMMIT_PARTS).map(|at| put(&format!("wide{at}/a"), pattern(COMMIT_BYTES / COMMIT_PARTS, 3))))).await;
    committed(&store, all((0..COMMIT_PARTS).map(|at| Operation::Delete(key(&format!("wide{at}/a")))))).await;

    let longest = format!("t/{}", "n".repeat(KEY_LIMIT - 2));
    committed(&store, all([put(&longest, largest)])).await;
    assert_eq!(value(&store, &longest).await.map(|value| value.len()), Some(VALUE_LIMIT));
}

async fn refused(store: &Arc<dyn Store>, commit: Commit, bound: Bound, limit: usize) {
    let got = limit as u64 + 1;
    assert_eq!(store.commit(commit).await, Err(StoreError::Limit { bound, got, limit: limit as u64 }));
}

async fn a_range_comes_in_pages_in_the_order_of_bytes(store: Arc<dyn Store>) {
    let mut names: Vec<String> = (0..25).map(|at| format!("t/{at:02}")).chain(["t/ä", "t/Z", "t/0", "t/00x"].map(String::from)).collect();
    committed(&store, all(names.iter().map(|name| put(name, name.clone())).chain([put("s/z", ""), put("t-/x", ""), put("u/a", "")]))).await;
    names.sort();
    for limit in [1, 2, 7, names.len(), PAGE_LIMIT] {
        let pages = pages(&store, &tree("t"), limit).await;
        assert_eq!(pages.len(), names.len().div_ceil(limit), "pages of {limit}");
        let found: Vec<_> = pages.into_iter().flat_map(|page| page.entries).map(|(key, _)| key.to_string()).collect();
        assert_eq!(found, names, "pages of {limit}");
    }
    let below = contents(&store, &Prefix::new("t", "0").unwrap()).await;
    assert_eq!(below.len(), 12);
    let before = store.range(&tree("t"), Some(&key("s/z")), 1).await.unwrap();
    assert_eq!(before.entries[0].0, key(&names[0]), "a start before the prefix is the prefix");
    assert_eq!(store.range(&tree("t"), Some(&key("u/a")), 1).await, Ok(Page::default()));
    let beyond = store.range(&tree("t"), None, PAGE_LIMIT + 1).await;
    assert!(matches!(beyond, Err(StoreError::Limit { bound: Bound::PageEntries, .. })));
}

async fn a_page_ends_early_when_its_values_are_large(store: Arc<dyn Store>) {
    let largest = pattern(VALUE_LIMIT, 5);
    for at in 0..6 {
        committed(&store, all((0..10).map(|next| put(&format!("t/{at}{next}"), largest.clone())))).await;
    }
    let pages = pages(&store, &tree("t"), PAGE_LIMIT).await;
    assert_eq!(pages.iter().map(|page| page.entries.len()).collect::<Vec<_>>(), [41, 19]);
}

async fn an_older_term_is_fenced_and_nothing_is_written(store: Arc<dyn Store>) {
    let first = store.acquire_term().await.unwrap();
    committed(&store, all([put("t/a", "by the first")]).fenced(first)).await;
    let second = store.acquire_term().await.unwrap();
    assert!(second > first);
    let fenced = StoreError::Fenced { held: first, highest: second };
    assert_eq!(store.commit(all([put("t/a", "too late")]).fenced(first)).await, Err(fenced.clone()));
    let digests = store.put_blobs(vec!["blob".into()]).await.unwrap();
    let blobs = store.list_blobs(None, 1).await.unwrap().blobs;
    assert_eq!(store.delete_blobs(Some(first), blobs).await, Err(fenced));
    assert_eq!(store.has_blobs(digests).await, Ok(vec![true]));
    assert_eq!(value(&store, "t/a").await, Some("by the first".into()));
    committed(&store, all([put("t/a", "by the second")]).fenced(second)).await;
    committed(&store, all([put("t/a", "by nobody in particular")])).await;
    let unknown = crate::Term(second.0 + 1);
    assert_eq!(store.commit(all([]).fenced(unknown)).await, Err(StoreError::Fenced { held: unknown, highest: second }));
}

async fn a_watch_holds_the_latest_version_of_its_prefix_only(store: Arc<dyn Store>) {
    let mut whole = store.watch(&tree("t"));
    let mut part = store.watch(&Prefix::new("t", "a/").unwrap());
    let mut one = store.watch(&Prefix::from(&key("t/b")));
    let mut second = store.watch(&tree("t"));
    assert!(!whole.has_changed().unwrap(), "the first value counts as seen");
    committed(&store, all([put("t/a/1", "")])).await;
    let latest = committed(&store, all([put("t/a/2", "")])).await;
    committed(&store, all([put("other/a", "")])).await;
    for watch in [&mut whole, &mut part, &mut second] {
        watch.changed().await.unwrap();
        assert_eq!(*watch.borrow_and_update(), latest.0);
        assert!(!watch.has_changed().unwrap(), "two changes are one notice");
    }
    assert!(!one.has_changed().unwrap());
    committed(&store, all([Operation::Delete(key("t/none"))])).await;
    let lost = Commit::put(Condition::Exists(key("t/none")), key("t/b"), "");
    assert!(matches!(store.commit(lost).await, Ok(CommitOutcome::Conflict { .. })));
    assert!(!whole.has_changed().unwrap() && !one.has_changed().unwrap(), "what changes nothing is no news");
    let created = committed(&store, all([put("t/b", "")])).await;
    one.changed().await.unwrap();
    assert_eq!(*one.borrow_and_update(), created.0);
    let removed = committed(&store, all([Operation::Delete(key("t/b"))])).await;
    one.changed().await.unwrap();
    assert_eq!(*one.borrow(), removed.0);
}

async fn blobs_are_found_by_digest_whatever_their_size(store: Arc<dyn Store>) {
    let sizes = [0, 1, 4_096, 4_097, 50_000, INLINE_LIMIT, INLINE_LIMIT + 1, 1_000_000];
    let blobs: Vec<Bytes> =
        sizes.iter().map(|&size| pattern(size, 3)).chain((0..1_500).map(|at| Bytes::from(format!("small {at}")))).collect();
    let absent = Digest::of(b"absent");
    assert_eq!(store.get_blob(absent).await, Ok(None));
    assert_eq!(store.put_blobs(Vec::new()).await, Ok(Vec::new()));
    let digests = store.put_blobs(blobs.clone()).await.unwrap();
    for (digest, blob) in digests.iter().zip(&blobs) {
        assert_eq!(*digest, Digest::of(blob));
        assert_eq!(store.get_blob(*digest).await, Ok(Some(blob.clone())));
    }
    assert_eq!(store.has_blobs(vec![digests[0], absent, digests[7]]).await, Ok(vec![true, false, true]));

    let mut listed = Vec::new();
    loop {
        let after = listed.last().map(|blob: &crate::BlobInfo| blob.digest);
        let page = store.list_blobs(after, 400).await.unwrap();
        listed.extend(page.blobs);
        if page.next.is_none() {
            break;
        }
    }
    let expected: BTreeSet<_> = blobs.iter().map(|blob| (Digest::of(blob), blob.len() as u64)).collect();
    assert_eq!(listed.iter().map(|blob| (blob.digest, blob.length)).collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
    assert_eq!(store.check(Scope::Quick).await.unwrap().blobs, listed.len() as u64);

    let (some, others) = listed.split_at(700);
    let twice: Vec<_> = some.iter().chain(&some[..100]).copied().collect();
    assert_eq!(store.delete_blobs(None, twice).await, Ok(700));
    assert_eq!(store.get_blob(some[0].digest).await, Ok(None));
    assert_eq!(store.get_blob(others[0].digest).await.map(|blob| blob.is_some()), Ok(true));
    assert_eq!(store.delete_blobs(None, others.to_vec()).await, Ok(others.len() as u64));
    assert_eq!(store.list_blobs(None, 1).await.unwrap().blobs, []);
}

async fn a_blob_that_was_put_again_is_not_removed(store: Arc<dyn Store>) {
    let contents = vec![Bytes::from("small"), pattern(INLINE_LIMIT + 1, 1)];
    let digests = store.put_blobs(contents.clone()).await.unwrap();
    let listed = store.list_blobs(None, 10).await.unwrap().blobs;
    store.put_blobs(contents).await.unwrap();
    assert_eq!(store.delete_blobs(None, listed).await, Ok(0));
    assert_eq!(store.has_blobs(digests).await, Ok(vec![true, true]));
    let listed = store.list_blobs(None, 10).await.unwrap().blobs;
    assert_eq!(store.delete_blobs(None, listed).await, Ok(2));
}

async fn blob_calls_at_their_limits_pass_and_one_beyond_is_refused(store: Arc<dyn Store>) {
    let small = |count: usize| (0..count).map(|at| Bytes::from(at.to_string())).collect::<Vec<_>>();
    assert_eq!(store.put_blobs(small(BLOBS_PER_CALL)).await.unwrap().len(), BLOBS_PER_CALL);
    let refused = |bound, limit: usize| StoreError::Limit { bound, got: limit as u64 + 1, limit: limit as u64 };
    assert_eq!(store.put_blobs(small(BLOBS_PER_CALL + 1)).await, Err(refused(Bound::Blobs, BLOBS_PER_CALL)));
    let digests = vec![Digest::of(b""); BLOBS_PER_CALL + 1];
    assert_eq!(store.has_blobs(digests).await, Err(refused(Bound::Blobs, BLOBS_PER_CALL)));
    let largest = Bytes::from(vec![7; BLOB_LIMIT]);
    let digests = store.put_blobs(vec![largest.clone()]).await.unwrap();
    assert_eq!(store.get_blob(digests[0]).await, Ok(Some(largest.clone())));
    assert_eq!(store.put_blobs(vec![largest, Bytes::from("x")]).await, Err(refused(Bound::BlobCallBytes, BLOB_LIMIT)));
    assert_eq!(store.put_blobs(vec![vec![7; BLOB_LIMIT + 1].into()]).await, Err(refused(Bound::BlobBytes, BLOB_LIMIT)));
    let page = store.list_blobs(None, PAGE_LIMIT).await.unwrap();
    assert_eq!((page.blobs.len(), page.next), (PAGE_LIMIT, page.blobs.last().map(|blob| blob.digest)));
    let mut blobs = page.blobs;
    blobs.push(blobs[0]);
    assert_eq!(store.delete_blobs(None, blobs.clone()).await, Err(refused(Bound::Blobs, PAGE_LIMIT)));
    blobs.pop();
    assert_eq!(store.delete_blobs(None, blobs).await, Ok(PAGE_LIMIT as u64));
}

/// A buffer whose content is still there after a store has dropped its handle.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn exported(store: &Arc<dyn Store>) -> (Summary, Vec<u8>) {
    let buffer = Shared::default();
    let summary = store.export(Box::new(buffer.clone())).await.unwrap();
    let bytes = buffer.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(summary.bytes, bytes.len() as u64);
    (summary, bytes)
}

async fn import(store: &Arc<dyn Store>, bytes: Vec<u8>) -> Result<Summary, StoreError> {
    store.import(Box::new(io::Cursor::new(bytes))).await
}

async fn filled(store: &Arc<dyn Store>) {
    store.acquire_term().await.unwrap();
    store.acquire_term().await.unwrap();
    for at in 0..30_usize {
        committed(store, all((0..40).map(|next| put(&format!("t{}/{at}-{next}", at % 3), pattern(at * 97 + next, at as u64))))).await;
    }
    committed(store, all([put("large/a", pattern(VALUE_LIMIT, 1)), put("large/b", pattern(5_000, 1))])).await;
    let blobs = [0, 10, 4_096, INLINE_LIMIT, INLINE_LIMIT + 1, 300_000].map(|size| pattern(size, 9));
    store.put_blobs(blobs.into_iter().chain((0..200).map(|at| Bytes::from(format!("blob {at}")))).collect()).await.unwrap();
}

async fn an_export_fills_another_store_with_the_same_content(store: Arc<dyn Store>) {
    let other: Arc<dyn Store> = Arc::new(MemoryStore::new());
    filled(&other).await;
    let (from_memory, bytes) = exported(&other).await;
    let mut watch = store.watch(&tree("t1"));
    assert_eq!(import(&store, bytes.clone()).await, Ok(from_memory));
    watch.changed().await.unwrap();
    for name in ["t0", "t1", "t2", "large"] {
        assert_eq!(contents(&store, &tree(name)).await, contents(&other, &tree(name)).await);
    }
    let blobs = store.list_blobs(None, PAGE_LIMIT).await.unwrap().blobs;
    assert_eq!(blobs.len() as u64, from_memory.blobs);
    for blob in &blobs {
        assert_eq!(store.get_blob(blob.digest).await, other.get_blob(blob.digest).await);
    }
    assert_eq!(store.check(Scope::Full).await.unwrap().damages, []);
    let term = store.acquire_term().await.unwrap();
    assert!(term > from_memory.term);
    let version = committed(&store, all([put("t0/new", "")])).await;
    assert!(version > from_memory.version);

    let back: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (summary, bytes) = exported(&store).await;
    assert_eq!(import(&back, bytes).await, Ok(summary));
    assert_eq!(contents(&back, &tree("t0")).await, contents(&store, &tree("t0")).await);
    assert_eq!(summary.records, from_memory.records + 1);
}

async fn a_damaged_stream_leaves_the_store_empty(store: Arc<dyn Store>) {
    let other: Arc<dyn Store> = Arc::new(MemoryStore::new());
    filled(&other).await;
    let (summary, bytes) = exported(&other).await;
    for cut in [0, 13, 35, bytes.len() / 2, bytes.len() - 1] {
        let flaw = StreamFlaw::Truncated;
        assert_eq!(import(&store, bytes[..cut].to_vec()).await, Err(StoreError::Import { offset: cut as u64, flaw }));
    }
    for at in [3, 20, 60, bytes.len() / 2, bytes.len() - 30] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        assert!(matches!(import(&store, flipped).await, Err(StoreError::Import { .. })), "byte {at}");
    }
    let report = store.check(Scope::Full).await.unwrap();
    assert_eq!((report.records, report.blobs), (0, 0));
    assert_eq!(import(&store, bytes).await, Ok(summary), "the store takes the whole stream afterwards");
}

async fn import_into_a_store_that_has_something_is_refused(store: Arc<dyn Store>) {
    let other: Arc<dyn Store> = Arc::new(MemoryStore::new());
    filled(&other).await;
    let (_, bytes) = exported(&other).await;
    committed(&store, all([put("t/a", "mine")])).await;
    assert_eq!(import(&store, bytes.clone()).await, Err(StoreError::NotEmpty { records: 1, blobs: 0 }));
    assert_eq!(value(&store, "t/a").await, Some("mine".into()));
    committed(&store, all([Operation::Delete(key("t/a"))])).await;
    store.put_blobs(vec!["mine".into()]).await.unwrap();
    assert_eq!(import(&store, bytes).await, Err(StoreError::NotEmpty { records: 0, blobs: 1 }));
}

async fn random_commits_agree_with_a_plain_map(store: Arc<dyn Store>) {
    let plain = MemoryStore::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for _ in 0..300 {
        let mut commit = Commit::default();
        let mut used = BTreeSet::new();
        for _ in 0..random(6) {
            let name = key(&format!("t{}/{}", random(2), random(12)));
            if used.insert(name.clone()) {
                let size = [0, 10, 4_096, 9_000][random(4) as usize];
                let value = pattern(size, random(100));
                commit.operations.push(if random(3) == 0 { Operation::Delete(name) } else { Operation::Put(name, value) });
            }
        }
        let name = key(&format!("t{}/{}", random(2), random(12)));
        commit.conditions = match random(4) {
            0 => vec![Condition::Absent(name)],
            1 => vec![Condition::Exists(name)],
            2 => plain.get(&name).await.unwrap().map(|entry| Condition::Version(name, entry.version)).into_iter().collect(),
            _ => Vec::new(),
        };
        assert_eq!(store.commit(commit.clone()).await, plain.commit(commit).await);
    }
    for name in ["t0", "t1"] {
        assert_eq!(store.range(&tree(name), None, PAGE_LIMIT).await, plain.range(&tree(name), None, PAGE_LIMIT).await);
    }
}

async fn everything_is_well_after_all_that(store: Arc<dyn Store>) {
    filled(&store).await;
    for scope in [Scope::Quick, Scope::Full] {
        let report = store.check(scope).await.unwrap();
        assert_eq!((report.records, report.blobs, report.damage_count), (1_202, 206, 0));
        assert!(report.is_ready());
    }
}
