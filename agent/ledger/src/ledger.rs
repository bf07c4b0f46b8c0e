//! The ledger itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent_plan::Inventory;
use serde::Serialize;
use shared_model::{AppName, Digest, Generation};
use shared_release::{AppKey, SignedIndex, SignedRoot};

use crate::contents::Contents;
use crate::copied::{Copied, contents_digest};
use crate::disk::{read, sync_directory, write_durably};
use crate::format::{Document, Identity, LedgerError, State, decode_inventory, encode_inventory};
use crate::mirror::{Parts, Pieces, unpack};
use crate::settled::Settled;

const STATE: &str = "state.json";
const INVENTORY: &str = "inventory.json";
const PROBE: &str = "probe";
const DAMAGED: &str = "damaged";

/// Bytes of contents that are in memory at once while an empty disk is filled from the copy. Each write synchronises the directory once.
const RESTORE_AT_ONCE: usize = 1 << 20;

/// What an agent must not forget. Every change is on disk when its call returns.
#[derive(Debug)]
pub struct Ledger {
    directory: PathBuf,
    state: State,
    inventory: Arc<Inventory>,
    inventory_revision: u64,
    contents: Contents,
}

/// What came of reading the copy.
#[derive(Debug, Default)]
pub struct Restored {
    /// Whether anything was taken over from it.
    pub taken: bool,
    /// [`contents_digest`] of the contents that it holds; `None` if these are damaged.
    pub contents: Option<Digest>,
    /// Parts that were damaged and left out.
    pub damaged: Vec<LedgerError>,
}

/// An opened ledger and what was found wrong with it.
#[derive(Debug)]
pub struct Opened {
    /// The ledger.
    pub ledger: Ledger,
    /// Documents that were damaged and set aside; the copy in the cluster should replace them.
    pub damaged: Vec<LedgerError>,
}

impl Ledger {
    /// Opens the ledger in `directory`, which is made if it is not there. A damaged document is set aside under `damaged/`; one of a newer
    /// format stops the agent.
    pub fn open(directory: &Path) -> Result<Opened, LedgerError> {
        let failed = |source| LedgerError::Disk { path: directory.to_owned(), action: "read", source };
        let contents = Contents::open(directory)?;
        sync_directory(directory).map_err(failed)?;
        let mut damaged = Vec::new();
        let state = load(directory, STATE, State::decode, &mut damaged)?.unwrap_or_default();
        let (inventory_revision, inventory) = load(directory, INVENTORY, decode_inventory, &mut damaged)?.unwrap_or_default();
        let ledger = Self { directory: directory.to_owned(), state, inventory: Arc::new(inventory), inventory_revision, contents };
        Ok(Opened { ledger, damaged })
    }

    /// Whether nothing was ever written, so that the copy in the cluster is all there can be.
    pub fn is_blank(&self) -> bool {
        self.state.revision == 0 && self.inventory_revision == 0
    }

    /// Who the agent is, once it is enrolled.
    pub fn identity(&self) -> Option<&Identity> {
        self.state.identity.as_ref()
    }

    /// Remembers who the agent is.
    pub fn set_identity(&mut self, identity: Identity) -> Result<(), LedgerError> {
        self.update(|state| state.identity = Some(identity))
    }

    /// The trusted root document.
    pub fn root(&self) -> Option<&SignedRoot> {
        self.state.root.as_ref()
    }

    /// Trusts another root document; the caller has verified it.
    pub fn set_root(&mut self, root: SignedRoot) -> Result<(), LedgerError> {
        self.update(|state| state.root = Some(root))
    }

    /// The index in force: the newest that was accepted and whose content is all here.
    pub fn index(&self) -> Option<&SignedIndex> {
        self.state.index.as_ref()
    }

    /// The index that was accepted after it and whose content is still on its way. The one in force stays until then.
    pub fn pending(&self) -> Option<&SignedIndex> {
        self.state.pending.as_ref()
    }

    /// The newest accepted index, be its content here or not.
    pub fn newest(&self) -> Option<&SignedIndex> {
        self.state.pending.as_ref().or(self.state.index.as_ref())
    }

    /// Rises with every change of identity, root, indexes and keys.
    pub fn revision(&self) -> u64 {
        self.state.revision
    }

    /// The generation below which nothing is accepted any more.
    pub fn floor(&self) -> Generation {
        self.state.floor
    }

    /// Accepts an index and puts it in force; the caller has verified it, and all its content is in the ledger. Index and floor are one
    /// write.
    pub fn accept(&mut self, index: SignedIndex, generation: Generation) -> Result<(), LedgerError> {
        self.update(|state| {
            state.index = Some(index);
            state.pending = None;
            state.floor = state.floor.max(generation);
        })
    }

    /// Accepts an index whose content is not all here yet: nothing older is accepted from now on, and the one in force stays in force. It
    /// takes the place of an earlier pending one.
    pub fn accept_pending(&mut self, index: SignedIndex, generation: Generation) -> Result<(), LedgerError> {
        self.update(|state| {
            state.pending = Some(index);
            state.floor = state.floor.max(generation);
        })
    }

    /// Puts the pending index in force; the caller has seen that all its content is here. Nothing happens without a pending one.
    pub fn promote(&mut self) -> Result<(), LedgerError> {
        match &self.state.pending {
            None => Ok(()),
            Some(_) => self.update(|state| state.index = state.pending.take()),
        }
    }

    /// Proves that the disk can be written.
    pub fn check_writable(&self) -> Result<(), LedgerError> {
        let path = self.directory.join(PROBE);
        write_durably(&path, |_| Ok(())).map_err(|source| LedgerError::Disk { path: path.clone(), action: "written", source })?;
        fs::remove_file(&path).map_err(|source| LedgerError::Disk { path, action: "written", source })
    }

    /// The keys that open sealed objects.
    pub fn keys(&self) -> &BTreeMap<AppName, AppKey> {
        &self.state.keys
    }

    /// Replaces the keys, if they differ.
    pub fn set_keys(&mut self, keys: BTreeMap<AppName, AppKey>) -> Result<(), LedgerError> {
        let same = keys.len() == self.state.keys.len()
            && keys.iter().all(|(app, key)| self.state.keys.get(app).is_some_and(|k| k.id() == key.id()));
        if same { Ok(()) } else { self.update(|state| state.keys = keys) }
    }

    /// What the agent owns.
    pub fn inventory(&self) -> &Arc<Inventory> {
        &self.inventory
    }

    /// Remembers what the agent owns, if it differs.
    pub fn set_inventory(&mut self, inventory: impl Into<Arc<Inventory>>) -> Result<(), LedgerError> {
        let inventory = inventory.into();
        // What is the same value is not even compared.
        if inventory == self.inventory {
            return Ok(());
        }
        let revision = self.inventory_revision + 1;
        self.write(INVENTORY, &encode_inventory(revision, &inventory))?;
        self.inventory = inventory;
        self.inventory_revision = revision;
        Ok(())
    }

    /// What was found as wanted before this start.
    pub fn settled(&self) -> Settled {
        Settled::read(&self.directory)
    }

    /// Remembers what was found as wanted. It need not survive.
    pub fn set_settled(&self, settled: &Settled) -> Result<(), LedgerError> {
        settled.write(&self.directory)
    }

    /// What was known of the copy before this start.
    pub fn copied(&self) -> Copied {
        Copied::read(&self.directory)
    }

    /// Remembers what is known of the copy. It need not survive.
    pub fn set_copied(&self, copied: &Copied) -> Result<(), LedgerError> {
        copied.write(&self.directory)
    }

    /// Releases and objects. They have files of their own, so that they are read and written without holding the ledger.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Rises with every change of what [`Ledger::core_parts`] gives: of identity, root, indexes and keys, and of what is owned.
    pub fn core_revision(&self) -> (u64, u64) {
        (self.state.revision, self.inventory_revision)
    }

    /// The copy of everything but contents: small, and written after each wave.
    pub fn core_parts(&self) -> Parts {
        let mut parts = Parts::new();
        let mut take = |name, bytes| {
            parts.insert(name, bytes);
            Ok(())
        };
        let written = self.write_core_parts(&mut take);
        written.unwrap_or_else(|error| unreachable!("BUG: memory can be written: {error}"));
        parts
    }

    fn write_core_parts(&self, mut take: impl FnMut(String, Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        let mut pieces = Pieces::new("state", &mut take);
        self.state.encode().write_to(&mut pieces)?;
        pieces.finish()?;
        let mut pieces = Pieces::new("inventory", take);
        encode_inventory(self.inventory_revision, &self.inventory).write_to(&mut pieces)?;
        pieces.finish()
    }

    /// Takes over from the copy whatever is newer there than here, and every content that is missing. A damaged part is named and left out;
    /// what that means for an agent whose disk is empty too is the caller's to decide.
    pub fn restore(&mut self, parts: &Parts) -> Result<Restored, LedgerError> {
        let mut restored = Restored::default();
        if let Some(copy) = restored.part(parts, "state", State::decode)?
            && copy.revision > self.state.revision
        {
            self.state = State { floor: self.state.floor.max(copy.floor), ..copy };
            self.write(STATE, &self.state.encode())?;
            restored.taken = true;
        }
        if let Some((revision, inventory)) = restored.part(parts, "inventory", decode_inventory)?
            && revision > self.inventory_revision
        {
            self.write(INVENTORY, &encode_inventory(revision, &inventory))?;
            self.inventory = Arc::new(inventory);
            self.inventory_revision = revision;
            restored.taken = true;
        }
        self.restore_contents(parts, &mut restored)?;
        Ok(restored)
    }

    /// Unpacks the contents of the copy, and writes those that are not here a few at a time: together they are too much for an agent's memory.
    fn restore_contents(&self, parts: &Parts, restored: &mut Restored) -> Result<(), LedgerError> {
        let mut all = BTreeSet::new();
        let (mut missing, mut bytes) = (Vec::new(), 0);
        let mut failure = None;
        let mut taken = false;
        let mut pieces = chunks(parts, "content").peekable();
        if pieces.peek().is_none() {
            return Ok(());
        }
        let outcome = unpack(InPieces { piece: &[], rest: pieces }, |digest, blob| {
            all.insert(digest);
            if !self.contents.has(&digest) {
                bytes += blob.len();
                missing.push((digest, blob));
            }
            if bytes < RESTORE_AT_ONCE {
                return Ok(());
            }
            (bytes, taken) = (0, true);
            self.contents.write(&std::mem::take(&mut missing)).map_err(|error| {
                let text = error.to_string();
                failure = Some(error);
                text
            })
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        // What came before the damage was checked, blob by blob.
        restored.taken |= taken || !missing.is_empty();
        if !missing.is_empty() {
            self.contents.write(&missing)?;
        }
        match outcome {
            Ok(()) => restored.contents = Some(contents_digest(&all)),
            Err(detail) => restored.damaged.push(LedgerError::Damaged { what: "content", detail }),
        }
        Ok(())
    }

    fn update(&mut self, change: impl FnOnce(&mut State)) -> Result<(), LedgerError> {
        let mut next = self.state.clone();
        change(&mut next);
        next.revision += 1;
        self.write(STATE, &next.encode())?;
        self.state = next;
        Ok(())
    }

    fn write(&self, name: &str, document: &Document<impl Serialize>) -> Result<(), LedgerError> {
        let path = self.directory.join(name);
        write_durably(&path, |file| document.write_to(file)).map_err(|source| LedgerError::Disk { path, action: "written", source })
    }
}

impl Restored {
    /// Reads one part of the copy; `None` if it is not there or damaged.
    fn part<T>(&mut self, parts: &Parts, name: &str, decode: impl Fn(&[u8]) -> Result<T, LedgerError>) -> Result<Option<T>, LedgerError> {
        match join(parts, name).map(|bytes| decode(&bytes)).transpose() {
            Err(error @ LedgerError::Damaged { .. }) => {
                self.damaged.push(error);
                Ok(None)
            }
            other => other,
        }
    }
}

/// The parts `name-0`, `name-1` and so on.
fn chunks<'a>(parts: &'a Parts, name: &str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let name = name.to_owned();
    (0..).map_while(move |n| parts.get(&format!("{name}-{n}")).map(Vec::as_slice))
}

/// Reads one piece of bytes after the other.
struct InPieces<'a, I: Iterator<Item = &'a [u8]>> {
    piece: &'a [u8],
    rest: I,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Read for InPieces<'a, I> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.rest.next() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        self.piece.read(into)
    }
}

fn join(parts: &Parts, name: &str) -> Option<Vec<u8>> {
    let chunks: Vec<&[u8]> = chunks(parts, name).collect();
    (!chunks.is_empty()).then(|| chunks.concat())
}

/// Reads one document. A damaged one is moved aside, so that it is neither believed nor lost.
fn load<T>(
    directory: &Path,
    name: &str,
    decode: impl Fn(&[u8]) -> Result<T, LedgerError>,
    damaged: &mut Vec<LedgerError>,
) -> Result<Option<T>, LedgerError> {
    let path = directory.join(name);
    let failed = |source: io::Error| LedgerError::Disk { path: path.clone(), action: "read", source };
    let Some(bytes) = read(&path).map_err(failed)? else { return Ok(None) };
    match decode(&bytes) {
        Ok(document) => Ok(Some(document)),
        Err(error @ LedgerError::Damaged { .. }) => {
            fs::create_dir_all(directory.join(DAMAGED)).map_err(failed)?;
            fs::rename(&path, directory.join(DAMAGED).join(name)).map_err(failed)?;
            damaged.push(error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use agent_plan::{End, HookRun, Owned, TestEnd, TestRuns};
    use shared_model::{ClusterName, GroupKind, ObjectKey, Timestamp};
    use shared_release::{Index, SigningKey};

    use super::*;

    fn open(directory: &Path) -> Ledger {
        Ledger::open(directory).expect("opens").ledger
    }

    fn index(sequence: u64) -> (SignedIndex, Generation) {
        let cluster: ClusterName = "gpu-a".parse().expect("valid");
        let generation = Generation::new(1, sequence);
        let index = Index { cluster, uid: "u-1".parse().expect("valid"), generation, parent: None, apps: BTreeMap::new() };
        (index.sign(&SigningKey::from_seed([7; 32])), generation)
    }

    fn inventory() -> Inventory {
        let mut inventory = Inventory::default();
        let key = Arc::new(ObjectKey::new(GroupKind::new("apps", "Deployment"), Some("web"), "api"));
        *inventory.entry(&"web".parse().expect("valid"), &key) =
            Owned { uid: Some("x".into()), applied: Some(Digest::of(b"a")), ..Owned::default() };
        for (name, end) in [("seed", End::Succeeded), ("train", End::Failed("exit code 2".into()))] {
            let key = Arc::new(ObjectKey::new(GroupKind::new("batch", "Job"), Some("web"), name));
            *inventory.entry(&"web".parse().expect("valid"), &key) = Owned { ended: Some(end), ..Owned::default() };
        }
        let at = Timestamp::from_second(1_000).expect("valid");
        let smoke = ObjectKey::new(GroupKind::new("", "Pod"), Some("web"), "smoke");
        let end = Some(End::Failed("exit code 3".into()));
        let run = HookRun { uid: Some("y".into()), end, expires: Some(at), began: Some(at), ended: Some(at), ..HookRun::default() };
        let tests = TestRuns {
            request: "7f3a".parse().expect("valid"),
            release: Digest::of(b"r"),
            seen: at,
            until: at,
            runs: BTreeMap::from([(Arc::new(smoke), run)]),
            end: Some((TestEnd::Cancelled("a new release came".into()), at)),
        };
        inventory.app(&"web".parse().expect("valid")).tests = Some(tests);
        inventory
    }

    fn fill(ledger: &mut Ledger) -> Digest {
        let (index, generation) = index(4);
        let app: AppName = "web".parse().expect("valid");
        let blob = Digest::of(b"content");
        ledger.contents().write(&[(blob, b"content".to_vec())]).expect("written");
        ledger.accept(index, generation).expect("written");
        ledger.set_keys(BTreeMap::from([(app.clone(), AppKey::from_bytes(app, [9; 32]))])).expect("written");
        ledger.set_inventory(inventory()).expect("written");
        blob
    }

    #[test]
    fn what_was_written_is_there_after_opening_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let blob = fill(&mut open(directory.path()));
        let ledger = open(directory.path());
        assert_eq!(ledger.floor(), Generation::new(1, 4));
        assert_eq!(ledger.index().map(SignedIndex::digest), Some(index(4).0.digest()));
        assert_eq!(**ledger.inventory(), inventory());
        assert_eq!(ledger.keys().len(), 1);
        assert_eq!(ledger.contents().read(&blob).expect("there"), b"content");
    }

    #[test]
    fn an_empty_disk_is_filled_from_the_copy() {
        let (first, second) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let mut ledger = open(first.path());
        let blob = fill(&mut ledger);
        let mut parts = ledger.core_parts();
        let take = |name, bytes| {
            parts.insert(name, bytes);
            Ok(())
        };
        assert!(ledger.contents().pack(&BTreeSet::from([blob]), take).expect("readable"));
        let mut blank = open(second.path());
        assert!(blank.is_blank());
        assert!(blank.restore(&parts).expect("restored").taken);
        assert_eq!((blank.floor(), blank.inventory()), (ledger.floor(), ledger.inventory()));
        assert_eq!(blank.contents().read(&blob).expect("there"), b"content");
    }

    #[test]
    fn an_older_copy_never_replaces_what_is_here() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut ledger = open(directory.path());
        fill(&mut ledger);
        let old = ledger.core_parts();
        let (newer, generation) = index(9);
        ledger.accept(newer, generation).expect("written");
        assert!(!ledger.restore(&old).expect("read").taken);
        assert_eq!(ledger.floor(), Generation::new(1, 9));
    }

    #[test]
    fn a_pending_index_raises_the_floor_and_leaves_the_one_in_force_until_it_is_promoted() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut ledger = open(directory.path());
        fill(&mut ledger);
        for sequence in [6, 7] {
            let (pending, generation) = index(sequence);
            ledger.accept_pending(pending, generation).expect("written");
        }
        let mut again = open(directory.path());
        assert_eq!(again.index().map(SignedIndex::digest), Some(index(4).0.digest()));
        assert_eq!(again.pending().map(SignedIndex::digest), Some(index(7).0.digest()), "a newer pending one takes the place of an older");
        assert_eq!(again.floor(), Generation::new(1, 7));
        again.promote().expect("written");
        let last = open(directory.path());
        assert_eq!((last.index().map(SignedIndex::digest), last.pending()), (Some(index(7).0.digest()), None));
    }

    #[test]
    fn the_copy_holds_the_pending_index_too() {
        let (first, second) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let mut ledger = open(first.path());
        fill(&mut ledger);
        let (pending, generation) = index(6);
        ledger.accept_pending(pending, generation).expect("written");
        let mut blank = open(second.path());
        blank.restore(&ledger.core_parts()).expect("restored");
        assert_eq!(blank.newest().map(SignedIndex::digest), Some(index(6).0.digest()));
        assert_eq!((blank.floor(), blank.index().is_some()), (generation, true));
    }

    #[test]
    fn a_damaged_part_of_the_copy_is_named_and_the_others_are_taken() {
        let (first, second) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let mut ledger = open(first.path());
        fill(&mut ledger);
        let mut parts = ledger.core_parts();
        parts.insert("content-0".into(), b"half an archive".to_vec());
        let mut blank = open(second.path());
        let restored = blank.restore(&parts).expect("readable");
        assert!(matches!(restored.damaged[..], [LedgerError::Damaged { what: "content", .. }]));
        assert_eq!((blank.floor(), blank.inventory()), (ledger.floor(), ledger.inventory()));
    }

    #[test]
    fn a_damaged_document_is_set_aside_and_named() {
        let directory = tempfile::tempdir().expect("a directory");
        fill(&mut open(directory.path()));
        let path = directory.path().join(INVENTORY);
        let mut bytes = fs::read(&path).expect("there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).expect("written");
        let opened = Ledger::open(directory.path()).expect("opens");
        assert!(matches!(opened.damaged[..], [LedgerError::Damaged { what: "inventory", .. }]));
        assert!(directory.path().join(DAMAGED).join(INVENTORY).is_file());
        assert_eq!(opened.ledger.floor(), Generation::new(1, 4), "the other document is untouched");
    }

    #[test]
    fn a_newer_ledger_is_refused_with_its_version() {
        let directory = tempfile::tempdir().expect("a directory");
        fill(&mut open(directory.path()));
        let path = directory.path().join(STATE);
        let text = fs::read_to_string(&path).expect("there").replace("ledger-state.v1", "ledger-state.v2");
        fs::write(&path, text).expect("written");
        let error = Ledger::open(directory.path()).expect_err("refused");
        assert!(error.to_string().contains("version 2"), "{error}");
    }

    #[test]
    fn a_changed_blob_is_not_served() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut ledger = open(directory.path());
        let blob = fill(&mut ledger);
        fs::write(ledger.contents().path(&blob), b"c0ntent").expect("written");
        assert!(matches!(ledger.contents().read(&blob), Err(LedgerError::NoBlob { .. })));
    }
}
