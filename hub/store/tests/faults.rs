//! What a store on disk does when its disk is full, its files are damaged, or somebody else has them.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use hub_store::{
    COMMIT_BYTES, Commit, CommitOutcome, Condition, Damage, Flaw, Key, OpenError, Operation, PAGE_LIMIT, Prefix, Scope, SledConfig,
    SledStore, Store, StoreError, VALUE_LIMIT, WhenDamaged,
};
use shared_model::Digest;

fn config() -> SledConfig {
    SledConfig { ballast_bytes: 0, ..SledConfig::default() }
}

fn open(path: &Path) -> Result<SledStore, OpenError> {
    SledStore::open(path, config())
}

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

async fn put(store: &SledStore, name: &str, value: impl Into<Bytes>) -> Result<CommitOutcome, StoreError> {
    store.commit(Commit { operations: vec![Operation::Put(key(name), value.into())], ..Commit::default() }).await
}

/// A closed store with records of one and of several pieces and blobs inside and outside the engine.
async fn filled(path: &Path) -> (Digest, Digest) {
    let store = open(path).unwrap();
    for at in 0..20 {
        let _ = put(&store, &format!("t/{at:02}"), format!("value {at}")).await.unwrap();
    }
    let _ = put(&store, "t/large", vec![5; VALUE_LIMIT]).await.unwrap();
    let digests = store.put_blobs(vec![Bytes::from("small"), Bytes::from(vec![9; 200_000])]).await.unwrap();
    (digests[0], digests[1])
}

/// The bare engine of a closed store, once the threads of its last user have let go of it.
fn engine(path: &Path) -> sled::Result<sled::Db> {
    loop {
        match sled::open(path.join("sled")) {
            Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock") => std::thread::yield_now(),
            opened => return opened,
        }
    }
}

/// Changes a closed store's engine behind its back.
fn tamper(path: &Path, change: impl FnOnce(&sled::Tree)) {
    let db = engine(path).unwrap();
    change(&db.open_tree("items").unwrap());
    db.flush().unwrap();
}

fn flip_last_byte(items: &sled::Tree, name: &[u8]) {
    let mut value = items.get(name).unwrap().unwrap().to_vec();
    *value.last_mut().unwrap() ^= 1;
    items.insert(name, value).unwrap();
}

fn damages(refused: Result<SledStore, OpenError>) -> Vec<Damage> {
    match refused.map(drop) {
        Err(OpenError::Damaged { damages, .. }) => damages,
        other => panic!("not refused as damaged: {other:?}"),
    }
}

#[tokio::test]
async fn below_the_disk_floor_writes_are_refused_and_reads_and_removals_work() {
    let directory = tempfile::tempdir().unwrap();
    let (small, _) = filled(directory.path()).await;
    let store = SledStore::open(directory.path(), SledConfig { disk_floor_bytes: u64::MAX, ..config() }).unwrap();
    assert!(matches!(put(&store, "t/new", "x").await, Err(StoreError::DiskFloor { floor: u64::MAX, free: 1.. })));
    assert!(matches!(store.put_blobs(vec!["x".into()]).await, Err(StoreError::DiskFloor { .. })));
    assert!(matches!(store.acquire_term().await, Err(StoreError::DiskFloor { .. })));
    assert!(matches!(store.import(Box::new(&b""[..])).await, Err(StoreError::DiskFloor { .. })));
    assert_eq!(store.get(&key("t/00")).await.unwrap().unwrap().value, "value 0");
    assert_eq!(store.get_blob(small).await.unwrap().unwrap(), "small");
    assert!(!store.check(Scope::Quick).await.unwrap().is_ready());

    let removal = Commit { operations: vec![Operation::Delete(key("t/00"))], ..Commit::default() };
    assert!(matches!(store.commit(removal).await, Ok(CommitOutcome::Committed(_))));
    let blobs = store.list_blobs(None, 10).await.unwrap().blobs;
    assert_eq!(store.delete_blobs(None, blobs).await, Ok(2));
}

/// A small file system in memory, gone with the value. `None` where mounting is not allowed.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(megabytes: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"]).arg(directory.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because the engine's threads may hold its files a moment longer.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_disk_that_others_filled_stops_the_store_and_the_ballast_lets_it_open_again_with_all_that_was_acknowledged() {
    let Some(disk) = SmallDisk::mount(64) else {
        println!("SKIPPED: a small file system cannot be mounted here");
        return;
    };
    let path = disk.0.path().join("store");
    let config = || SledConfig { disk_floor_bytes: 0, ballast_bytes: 8 << 20, ..SledConfig::default() };
    let store = SledStore::open(&path, config()).unwrap();
    assert_eq!(fs::metadata(path.join("ballast")).unwrap().len(), 8 << 20);
    let mut acknowledged = 0;
    let refused = loop {
        let value = vec![acknowledged as u8; VALUE_LIMIT];
        match put(&store, &format!("t/{acknowledged:04}"), value).await {
            Ok(_) => acknowledged += 1,
            Err(refused) => break refused,
        }
        assert!(acknowledged < 10_000, "the disk never fills");
    };
    let full = matches!(refused, StoreError::Stopped { .. } | StoreError::DiskFloor { .. });
    assert!(full, "{refused:?}");
    drop(store);
    let rest = vec![0; 1 << 16];
    let mut filler = fs::File::create(disk.0.path().join("filler")).unwrap();
    while std::io::Write::write_all(&mut filler, &rest).is_ok() {}

    let store = SledStore::open(&path, config()).unwrap();
    assert!(!path.join("ballast").exists());
    for at in 0..acknowledged {
        assert_eq!(store.get(&key(&format!("t/{at:04}"))).await.unwrap().unwrap().value, vec![at as u8; VALUE_LIMIT]);
    }
    drop((store, filler));
    fs::remove_file(disk.0.path().join("filler")).unwrap();
    let store = SledStore::open(&path, config()).unwrap();
    assert!(matches!(put(&store, "t/again", "x").await, Ok(CommitOutcome::Committed(_))));
}

#[tokio::test]
async fn a_damaged_value_is_named_while_the_store_runs_and_never_absent() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path()).await;
    tamper(directory.path(), |items| {
        flip_last_byte(items, b"rt/07");
        flip_last_byte(items, b"pt/large\0\0\x03");
    });
    let read_only = || SledConfig { when_damaged: WhenDamaged::ReadOnly, ..config() };
    let store = SledStore::open(directory.path(), read_only()).unwrap();
    for name in ["t/07", "t/large"] {
        assert_eq!(store.get(&key(name)).await, Err(StoreError::Corrupt { key: key(name), flaw: Flaw::Checksum }));
    }
    let range = store.range(&Prefix::tree("t").unwrap(), None, PAGE_LIMIT).await;
    assert!(matches!(range, Err(StoreError::Corrupt { .. })));
    let compare = Commit::put(Condition::Absent(key("t/07")), key("t/07"), "new");
    assert_eq!(store.commit(compare).await, Err(StoreError::Corrupt { key: key("t/07"), flaw: Flaw::Checksum }));
    assert_eq!(store.get(&key("t/08")).await.unwrap().unwrap().value, "value 8");
    assert_eq!(put(&store, "t/new", "x").await, Err(StoreError::ReadOnly));
    assert!(matches!(store.export(Box::new(std::io::sink())).await, Err(StoreError::Corrupt { .. })));
    let report = store.check(Scope::Quick).await.unwrap();
    assert!(!report.is_ready() && report.damage_count == 3, "{report:?}");
}

#[tokio::test]
async fn whatever_was_lost_or_changed_behind_its_back_the_store_refuses_to_open_and_names_it() {
    let checksum = |name| Damage::Record(key(name), Flaw::Checksum);
    let fewer = Damage::Tree { tree: "t".to_owned(), expected: 21, found: 20 };
    let zero = Damage::Tree { tree: "t".to_owned(), expected: 21, found: 0 };
    let older = Damage::Tree { tree: "t".to_owned(), expected: 21, found: 21 };
    let gone = Damage::RolledBack { acknowledged: 22, found: 0 };
    let inline = Digest::of(b"small");
    type Change = Box<dyn Fn(&sled::Tree)>;
    let cases: Vec<(&str, Change, Vec<Damage>)> = vec![
        ("a flipped value", Box::new(|items| flip_last_byte(items, b"rt/07")), vec![checksum("t/07"), fewer.clone()]),
        ("a lost record", Box::new(|items| drop(items.remove(b"rt/07"))), vec![fewer.clone()]),
        (
            "a lost piece",
            Box::new(|items| drop(items.remove(b"pt/large\0\0\x09"))),
            vec![Damage::Record(key("t/large"), Flaw::Missing), fewer],
        ),
        (
            "a record under another's name",
            Box::new(|items| drop(items.insert(b"rt/07", items.get(b"rt/08").unwrap().unwrap()))),
            vec![checksum("t/07"), Damage::Tree { tree: "t".to_owned(), expected: 21, found: 20 }],
        ),
        (
            "a lost blob",
            Box::new(move |items| drop(items.remove([b"b", &inline.as_bytes()[..]].concat()))),
            vec![Damage::Blobs { expected: 2, found: 1 }],
        ),
        ("a lost account", Box::new(|items| drop(items.remove(b"mroot"))), vec![Damage::Manifest(Flaw::Missing), gone.clone()]),
        ("everything lost", Box::new(|items| items.clear().unwrap()), vec![Damage::Manifest(Flaw::Missing), gone]),
        (
            "all records lost",
            Box::new(|items| items.scan_prefix(b"r").keys().for_each(|name| drop(items.remove(name.unwrap())))),
            vec![zero],
        ),
    ];
    for (name, change, expected) in cases {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path()).await;
        tamper(directory.path(), change);
        assert_eq!(damages(open(directory.path())), expected, "{name}");
        assert_eq!(damages(open(directory.path())), expected, "{name}, and opening changes nothing");
    }

    // A record of an older version, as an engine that lost its newest overwrite would show.
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path()).await;
    let mut old = None;
    tamper(directory.path(), |items| old = items.get(b"rt/07").unwrap());
    let store = open(directory.path()).unwrap();
    let _ = put(&store, "t/07", "newer").await.unwrap();
    drop(store);
    tamper(directory.path(), |items| drop(items.insert(b"rt/07", old.unwrap())));
    assert_eq!(damages(open(directory.path())), [older]);
}

#[tokio::test]
async fn an_engine_that_has_forgotten_its_newest_writes_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path()).await;
    let copy = tempfile::tempdir().unwrap();
    let copied = |from: &Path, to: &Path| assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    copied(&directory.path().join("sled"), copy.path());
    let store = open(directory.path()).unwrap();
    let _ = put(&store, "t/new", "acknowledged").await.unwrap();
    drop(store);
    fs::remove_dir_all(directory.path().join("sled")).unwrap();
    copied(&copy.path().join("sled"), directory.path());
    assert_eq!(damages(open(directory.path())), [Damage::RolledBack { acknowledged: 23, found: 22 }]);
}

#[tokio::test]
async fn a_flipped_byte_or_a_cut_anywhere_in_the_log_is_harmless_or_refused_but_never_loses_a_record() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path()).await;
    let log = directory.path().join("sled/db");
    let length = fs::metadata(&log).unwrap().len();
    let (mut harmless, mut refused) = (0, 0);
    let whole = fs::read(&log).unwrap();
    let used = whole.iter().rposition(|&byte| byte != 0).unwrap() as u64 + 1;
    for round in 0..61_u64 {
        let trial = tempfile::tempdir().unwrap();
        let path = trial.path().join("store");
        assert!(Command::new("cp").arg("-a").arg(directory.path()).arg(&path).status().unwrap().success());
        let file = fs::OpenOptions::new().write(true).open(path.join("sled/db")).unwrap();
        let at = (round * 0x9e37_79b9_7f4a) % used;
        if round == 0 {
            // The copy itself must open, or refusing the others would say nothing.
        } else if round % 4 == 3 {
            file.set_len(at.min(length - 1)).unwrap();
        } else {
            file.write_all_at(&[whole[at as usize] ^ 0x20], at).unwrap();
        }
        match open(&path) {
            Err(OpenError::Damaged { .. } | OpenError::Engine { .. }) => refused += 1,
            Err(other) => panic!("round {round}, byte {at}: {other}"),
            Ok(store) => {
                harmless += 1;
                for record in 0..20 {
                    let found = store.get(&key(&format!("t/{record:02}"))).await.unwrap();
                    assert_eq!(found.map(|entry| entry.value), Some(format!("value {record}").into()), "round {round}, byte {at}");
                }
                assert_eq!(store.get(&key("t/large")).await.unwrap().unwrap().value, vec![5; VALUE_LIMIT]);
            }
        }
    }
    println!("{harmless} harmless, {refused} refused");
    assert!(harmless > 0 && refused > 0, "{harmless} harmless, {refused} refused");
}

#[tokio::test]
async fn a_damaged_blob_is_named_and_repaired_by_putting_it_again() {
    let directory = tempfile::tempdir().unwrap();
    let (small, large) = filled(directory.path()).await;
    let piece = [b"d", &small.as_bytes()[..], &[0, 0]].concat();
    tamper(directory.path(), |items| flip_last_byte(items, &piece));
    let hex = large.hex();
    let file = directory.path().join("blobs").join(&hex[..2]).join(&hex[2..]);
    fs::OpenOptions::new().write(true).open(&file).unwrap().write_all_at(&[1], 777).unwrap();

    let store = open(directory.path()).unwrap();
    assert_eq!(store.get_blob(small).await, Err(StoreError::CorruptBlob { digest: small, flaw: Flaw::Checksum }));
    assert_eq!(store.get_blob(large).await, Err(StoreError::CorruptBlob { digest: large, flaw: Flaw::Digest }));
    let report = store.check(Scope::Full).await.unwrap();
    assert_eq!(report.damage_count, 2);
    assert!(!store.check(Scope::Quick).await.unwrap().is_ready(), "what a full check found is remembered");
    store.put_blobs(vec![Bytes::from("small"), Bytes::from(vec![9; 200_000])]).await.unwrap();
    assert_eq!(store.get_blob(small).await.unwrap().unwrap(), "small");
    assert_eq!(store.get_blob(large).await.unwrap().unwrap().len(), 200_000);
    assert_eq!(store.check(Scope::Full).await.unwrap().damages, []);
    drop(store);

    fs::remove_file(&file).unwrap();
    assert_eq!(damages(open(directory.path())), [Damage::Blob(large, Flaw::Missing)]);
}

#[tokio::test]
async fn leftovers_of_a_crash_are_put_aside_or_removed_at_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    filled(path).await;
    fs::write(path.join("incoming/spool-7"), b"half an export").unwrap();
    let orphan = Digest::of(b"never acknowledged");
    let orphan = path.join("blobs").join(&orphan.hex()[..2]).join(&orphan.hex()[2..]);
    fs::create_dir_all(orphan.parent().unwrap()).unwrap();
    fs::write(&orphan, b"never acknowledged").unwrap();
    tamper(path, |items| drop(items.insert(b"pt/07\0\0\x01", b"a piece of an earlier value")));
    let snapshot = path.join("sled/snap.7FFFFFFFFFFFFFFF.generating");
    fs::write(&snapshot, b"half a snapshot").unwrap();
    assert!(engine(path).is_err(), "sled copes with its leftovers by now");

    let store = open(path).unwrap();
    assert!(!snapshot.exists() && path.join("quarantine/snapshot").exists());
    assert!(!path.join("incoming/spool-7").exists() && !orphan.exists());
    assert_eq!(store.check(Scope::Full).await.unwrap().damages, []);
    drop(store);
    tamper(path, |items| assert_eq!(items.get(b"pt/07\0\0\x01").unwrap(), None));
}

#[tokio::test]
async fn an_import_that_was_cut_short_leaves_an_empty_store() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path()).await;
    // What the store writes before the first record of an import: a sealed value without payload.
    let mark = [&[1][..], &crc32fast::hash(b"mimporting").to_be_bytes()].concat();
    tamper(directory.path(), |items| drop(items.insert(b"mimporting", mark)));
    let store = open(directory.path()).unwrap();
    let report = store.check(Scope::Full).await.unwrap();
    assert_eq!((report.records, report.blobs, report.damage_count), (0, 0, 0));
    assert!(fs::read_dir(directory.path().join("blobs")).unwrap().all(|ab| fs::read_dir(ab.unwrap().path()).unwrap().next().is_none()));
    let _ = put(&store, "t/a", "again").await.unwrap();
    drop(store);
    assert_eq!(open(directory.path()).unwrap().check(Scope::Quick).await.unwrap().records, 1);
}

#[tokio::test]
async fn a_newer_or_foreign_directory_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path()).await;
    let format = directory.path().join("FORMAT");
    assert_eq!(fs::read_to_string(&format).unwrap(), "capstan-store 1\n");
    fs::write(&format, "capstan-store 2\n").unwrap();
    let error = open(directory.path()).err().unwrap();
    assert!(matches!(error, OpenError::NewerFormat { found: 2, .. }));
    assert!(error.to_string().contains("run the newer Capstan"), "{error}");
    fs::write(&format, "something else\n").unwrap();
    assert!(matches!(open(directory.path()), Err(OpenError::NotAStore { .. })));
    let foreign = tempfile::tempdir().unwrap();
    fs::write(foreign.path().join("FORMAT"), "something else\n").unwrap();
    assert!(matches!(open(foreign.path()), Err(OpenError::NotAStore { .. })));
    assert_eq!(fs::read_dir(foreign.path()).unwrap().count(), 1, "nothing was made in a directory of something else");
    fs::write(&format, "capstan-store 1\n").unwrap();
    assert_eq!(open(directory.path()).unwrap().check(Scope::Quick).await.unwrap().records, 21);
    tamper(directory.path(), |items| {
        let mut newer = items.get(b"rt/07").unwrap().unwrap().to_vec();
        newer[0] = 2;
        items.insert(b"rt/07", newer).unwrap();
    });
    assert_eq!(damages(open(directory.path()))[0], Damage::Record(key("t/07"), Flaw::Format(2)));
}

#[tokio::test]
async fn a_second_open_is_refused_until_the_first_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path()).unwrap();
    assert!(matches!(open(directory.path()), Err(OpenError::InUse { .. })));
    let _ = put(&first, "t/a", "still works").await.unwrap();
    drop(first);
    for round in 0..20 {
        let again = open(directory.path()).unwrap();
        let _ = put(&again, "t/a", vec![round; VALUE_LIMIT]).await.unwrap();
    }
}

#[tokio::test]
async fn a_first_start_that_was_cut_short_starts_over_but_a_known_store_never_does() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("sled/db");
    fs::create_dir_all(&log).unwrap();
    drop(open(directory.path()).unwrap());
    assert!(log.is_file() && directory.path().join("quarantine/sled/db").is_dir());
    fs::remove_file(&log).unwrap();
    fs::create_dir(&log).unwrap();
    let error = open(directory.path()).err().unwrap();
    assert!(matches!(error, OpenError::Engine { .. }));
    assert!(error.to_string().contains("restore the latest backup"), "{error}");
}

#[tokio::test]
async fn a_path_that_is_no_directory_is_refused_with_its_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = open(file.path()).err().unwrap();
    assert!(matches!(&error, OpenError::Directory { path, .. } if path == file.path()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_wait_together_share_a_flush_and_are_all_there() {
    let directory = tempfile::tempdir().unwrap();
    let store = std::sync::Arc::new(open(directory.path()).unwrap());
    let value = Bytes::from(vec![3; COMMIT_BYTES / 64]);
    let commits: Vec<_> = (0..200)
        .map(|at| {
            let (store, value) = (store.clone(), value.clone());
            tokio::spawn(async move { put(&store, &format!("t/{at}"), value).await })
        })
        .collect();
    let mut versions = std::collections::BTreeSet::new();
    for commit in commits {
        match commit.await.unwrap().unwrap() {
            CommitOutcome::Committed(version) => assert!(versions.insert(version), "each commit has a version of its own"),
            conflict @ CommitOutcome::Conflict { .. } => panic!("{conflict:?}"),
        }
    }
    drop(std::sync::Arc::into_inner(store).unwrap());
    let report = open(directory.path()).unwrap().check(Scope::Full).await.unwrap();
    assert_eq!((report.records, report.damage_count), (200, 0));
}
