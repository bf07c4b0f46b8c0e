//! The door through which everything from the hub comes in: root documents, indexes, contents, keys, freshness. What is not verified here
//! is not used anywhere. Its calls write files: make them on threads that may block.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_ledger::LedgerError;
use agent_plan::{Standpoint, judge_index};
use shared_model::{AppName, ClusterName, ClusterUid, Digest, Generation, Reason, Severity, Timestamp};
use shared_release::{AppKey, Index, Root, RootError, SignedFreshness, SignedIndex, SignedRoot};

use crate::fault_point::FaultPoint;
use crate::reach::Reach;
use crate::shared::{Confirmed, Part, Shared};

/// An index that was accepted: it is on disk, and nothing older is accepted any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its number.
    pub generation: Generation,
    /// The contents that are missing, as far as they are known. With none it is in force; otherwise it comes into force when they are
    /// stored, and the one before it stays until then.
    pub missing: Vec<Digest>,
}

/// The door of one agent. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    shared: Arc<Shared>,
    cluster: ClusterName,
    uid: ClusterUid,
}

impl Intake {
    pub(crate) fn new(shared: Arc<Shared>, cluster: ClusterName, uid: ClusterUid) -> Self {
        Self { shared, cluster, uid }
    }

    /// The digest of the newest accepted index, in force or not.
    pub fn held(&self) -> Option<Digest> {
        self.shared.ledger().newest().map(SignedIndex::digest)
    }

    /// The digest of the trusted root.
    pub fn root(&self) -> Option<Digest> {
        self.shared.ledger().root().map(SignedRoot::digest)
    }

    /// Takes the first root on trust (it came through the pinned enrolment connection), and a later one if it succeeds the trusted one.
    pub fn offer_root(&self, offered: &SignedRoot) -> Result<(), Reason> {
        let mut ledger = self.shared.ledger();
        let verified = match ledger.root() {
            None => offered.trust_first().map(|_| ()),
            Some(current) if current == offered => return Ok(()),
            Some(current) => current.trust_first().and_then(|root| offered.succeed(&root, &current.digest())).map(|_| ()),
        };
        verified.map_err(|error: RootError| Reason::new(Severity::Error, "RootNotTrusted", error.to_string()))?;
        let outcome = ledger.set_root(offered.clone());
        drop(ledger);
        self.written(outcome)?;
        tracing::info!(digest = %offered.digest().short(), "root document accepted");
        self.shared.nudge();
        Ok(())
    }

    /// Judges an index. An accepted one is durable when this returns, whether its content is here or not. The same one again is accepted
    /// without a write.
    pub fn offer_index(&self, signed: &SignedIndex) -> Result<Accepted, Reason> {
        let mut reach = self.shared.storing();
        let root = self.trusted_root()?;
        let (floor, newest, is_pending) = {
            let ledger = self.shared.ledger();
            (ledger.floor(), ledger.newest().cloned(), ledger.pending().is_some())
        };
        let held = newest.as_ref().map(SignedIndex::digest);
        let standpoint = Standpoint { cluster: &self.cluster, uid: &self.uid, root: &root, floor, held };
        let index = judge_index(signed, &standpoint).map_err(|refusal| refusal.reason())?;
        let generation = index.generation;
        let missing = reach.missing(self.shared.contents(), &index);
        let in_force = missing.is_empty();
        if newest.as_ref() != Some(signed) || (is_pending && in_force) {
            self.shared.points.pass(FaultPoint::IndexJudged);
            let mut ledger = self.shared.ledger();
            let outcome =
                if in_force { ledger.accept(signed.clone(), generation) } else { ledger.accept_pending(signed.clone(), generation) };
            drop(ledger);
            self.written(outcome)?;
            self.shared.points.pass(FaultPoint::IndexDurable);
            tracing::info!(%generation, digest = %signed.digest().short(), missing = missing.len(), "index accepted");
            if in_force {
                self.collect(&mut reach);
            }
            self.shared.nudge();
        }
        Ok(Accepted { generation, missing })
    }

    /// Stores fetched contents. Each is checked against its digest; a wrong one is refused and named. The pending index comes into force
    /// with the last of its contents.
    pub fn store(&self, contents: &[(Digest, impl AsRef<[u8]>)]) -> Result<(), Reason> {
        if let Some((digest, _)) = contents.iter().find(|(digest, bytes)| Digest::of(bytes.as_ref()) != *digest) {
            return Err(Reason::new(Severity::Error, "WrongContent", format!("the hub sent another content for {digest}")));
        }
        let mut reach = self.shared.storing();
        self.written(self.shared.contents().write(contents))?;
        self.shared.points.pass(FaultPoint::ContentsDurable);
        self.promote(&mut reach)?;
        // Also what was lost and is here again is worth a look.
        self.shared.nudge();
        Ok(())
    }

    /// At most `limit` contents that are missing: those of the newest index first, and of that its releases.
    pub fn missing(&self, limit: usize) -> Vec<Digest> {
        let mut reach = self.shared.storing();
        let (pending, in_force) = self.indexes();
        let mut missing = Vec::new();
        for index in [pending, in_force].into_iter().flatten() {
            for digest in reach.missing(self.shared.contents(), &index) {
                if missing.len() < limit && !missing.contains(&digest) {
                    missing.push(digest);
                }
            }
        }
        missing
    }

    /// Puts a pending index in force whose contents turn out to be here: a copy of the ledger may hold newer contents than state.
    pub(crate) fn settle(&self) -> Result<(), Reason> {
        self.promote(&mut self.shared.storing())
    }

    /// Replaces the keys that open sealed objects.
    pub fn set_keys(&self, keys: BTreeMap<AppName, AppKey>) -> Result<(), Reason> {
        let outcome = self.shared.ledger().set_keys(keys);
        self.written(outcome)?;
        self.shared.nudge();
        Ok(())
    }

    /// Takes in that the hub still wants an index. Its age is measured here from now on; a word older than the last one is not believed.
    pub fn confirm(&self, statement: &SignedFreshness, now: Timestamp) -> Result<(), Reason> {
        let not_trusted = |error: String| Reason::new(Severity::Error, "FreshnessNotTrusted", error);
        let root = self.trusted_root()?;
        let freshness = statement.verify(&root.keys).map_err(|error| not_trusted(error.to_string()))?;
        if freshness.uid != self.uid {
            return Err(not_trusted(format!("the statement is about the cluster with uid {}", freshness.uid)));
        }
        match self.shared.confirm(Confirmed { index: freshness.index, received: now, said: freshness.at }) {
            true => Ok(()),
            false => Err(not_trusted(format!("the statement of {} is older than the one before it", freshness.at))),
        }
    }

    fn trusted_root(&self) -> Result<Root, Reason> {
        match self.shared.ledger().root().map(SignedRoot::trust_first) {
            Some(Ok(root)) => Ok(root),
            Some(Err(error)) => Err(Reason::new(Severity::Error, "RootNotTrusted", error.to_string())),
            None => Err(Reason::new(Severity::Error, "NoRoot", "no root document is trusted yet: enrol this agent first")),
        }
    }

    /// The pending index and the one in force. Both were verified before they were written.
    fn indexes(&self) -> (Option<Index>, Option<Index>) {
        let ledger = self.shared.ledger();
        let read = |signed: Option<&SignedIndex>| signed.and_then(|signed| signed.read_own().ok());
        (read(ledger.pending()), read(ledger.index()))
    }

    fn promote(&self, reach: &mut Reach) -> Result<(), Reason> {
        let (Some(pending), _) = self.indexes() else { return Ok(()) };
        if !reach.missing(self.shared.contents(), &pending).is_empty() {
            return Ok(());
        }
        let outcome = self.shared.ledger().promote();
        self.written(outcome)?;
        tracing::info!(generation = %pending.generation, "the index is complete and in force");
        self.collect(reach);
        Ok(())
    }

    /// Removes contents that nothing reaches any more. They are only room: failing to free it harms nothing.
    fn collect(&self, reach: &mut Reach) {
        let (pending, in_force) = self.indexes();
        let indexes: Vec<Index> = pending.into_iter().chain(in_force).collect();
        let keep = reach.all(self.shared.contents(), &indexes);
        if let Err(error) = self.shared.contents().keep(&keep) {
            tracing::warn!(%error, "old contents could not be removed");
        }
    }

    /// Notes whether the disk works.
    fn written<T>(&self, outcome: Result<T, LedgerError>) -> Result<T, Reason> {
        self.shared.set_problem(Part::Ledger, outcome.as_ref().err().map(ToString::to_string));
        outcome.map_err(|error| Reason::new(Severity::Error, "LedgerNotWritable", error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use agent_ledger::Ledger;
    use shared_model::{Epoch, GroupKind, ObjectKey};
    use shared_release::{Entry, Freshness, IndexApp, Phase, Policy, Release, SigningKey};

    use super::*;
    use crate::fault_point::FaultPoints;

    struct Door {
        intake: Intake,
        key: SigningKey,
        _disk: tempfile::TempDir,
    }

    type Contents = Vec<(Digest, Vec<u8>)>;

    impl Door {
        fn new() -> Self {
            let disk = tempfile::tempdir().expect("a directory");
            let ledger = Ledger::open(disk.path()).expect("opens").ledger;
            let intake = Intake::new(
                Arc::new(Shared::new(ledger, FaultPoints::default())),
                "gpu-a".parse().expect("valid"),
                "u-1".parse().expect("valid"),
            );
            let key = SigningKey::from_seed([3; 32]);
            let root = Root { version: 1, epoch: Epoch(1), keys: vec![key.public()], authorities: Vec::new(), previous: None };
            intake.offer_root(&root.sign(&[&key])).expect("trusted");
            Self { intake, key, _disk: disk }
        }

        /// An index of one app with one object of this text.
        fn index(&self, sequence: u64, text: &str) -> (SignedIndex, Contents) {
            let app: AppName = "web".parse().expect("valid");
            let object = Digest::of(text.as_bytes());
            let entry = Entry {
                object: ObjectKey::new(GroupKind::new("", "ConfigMap"), Some("web"), "a").into(),
                version: "v1".into(),
                digest: object,
                sealed: None,
                phase: Phase::Sync,
                wave: 0,
                hook: None,
                policy: Policy::default(),
            };
            let (release, bytes) = Release::new(app.clone(), [entry]).encode();
            let index = Index {
                cluster: "gpu-a".parse().expect("valid"),
                uid: "u-1".parse().expect("valid"),
                generation: Generation::new(1, sequence),
                parent: None,
                apps: BTreeMap::from([(app, IndexApp { release: Some(release), ..IndexApp::default() })]),
            };
            (index.sign(&self.key), vec![(release, bytes), (object, text.as_bytes().to_vec())])
        }

        fn in_force(&self) -> Option<Digest> {
            self.intake.shared.ledger().index().map(SignedIndex::digest)
        }

        fn revision(&self) -> u64 {
            self.intake.shared.ledger().revision()
        }
    }

    #[test]
    fn an_index_comes_into_force_with_the_last_of_its_contents_and_the_same_one_again_writes_nothing() {
        let door = Door::new();
        let (index, contents) = door.index(1, "a");
        let release = contents[0].0;
        assert_eq!(door.intake.offer_index(&index), Ok(Accepted { generation: Generation::new(1, 1), missing: vec![release] }));
        door.intake.store(&contents[..1]).expect("stored");
        assert_eq!((door.in_force(), door.intake.missing(10)), (None, vec![contents[1].0]));
        let before = door.revision();
        assert!(door.intake.offer_index(&index).is_ok());
        assert_eq!(door.revision(), before, "the pending one again");
        door.intake.store(&contents[1..]).expect("stored");
        assert_eq!((door.in_force(), door.intake.missing(10)), (Some(index.digest()), Vec::new()));
        let before = door.revision();
        assert_eq!(door.intake.offer_index(&index), Ok(Accepted { generation: Generation::new(1, 1), missing: Vec::new() }));
        assert_eq!(door.revision(), before, "the one in force again");
    }

    #[test]
    fn contents_are_kept_while_an_index_reaches_them_and_no_longer() {
        let door = Door::new();
        let [(first, old), (second, skipped), (third, new)] =
            [(1, "a"), (2, "b"), (3, "c")].map(|(sequence, text)| door.index(sequence, text));
        let all_here = |contents: &Contents| contents.iter().all(|(digest, _)| door.intake.shared.contents().has(digest));
        let none_here = |contents: &Contents| !contents.iter().any(|(digest, _)| door.intake.shared.contents().has(digest));
        door.intake.offer_index(&first).expect("accepted");
        door.intake.store(&old).expect("stored");
        door.intake.offer_index(&second).expect("accepted");
        door.intake.store(&skipped[..1]).expect("stored");
        door.intake.offer_index(&third).expect("accepted");
        assert!(all_here(&old), "the index in force is still healed");
        assert_eq!(door.in_force(), Some(first.digest()));
        door.intake.store(&new).expect("stored");
        assert_eq!(door.in_force(), Some(third.digest()));
        assert!(all_here(&new) && none_here(&old) && none_here(&skipped));
        let refused = door.intake.offer_index(&second).expect_err("older");
        assert_eq!(refused.code, "IndexOlder");
    }

    #[test]
    fn a_content_that_is_lost_is_asked_for_again_and_another_one_is_not_taken_for_it() {
        let door = Door::new();
        let (index, contents) = door.index(1, "a");
        door.intake.store(&contents).expect("stored");
        assert!(door.intake.offer_index(&index).expect("accepted").missing.is_empty(), "with all content here it is in force at once");
        let lost = contents[1].0;
        door.intake.shared.contents().discard(&lost);
        door.intake.shared.storing().doubt();
        assert_eq!(door.intake.missing(10), [lost]);
        let wrong = door.intake.store(&[(lost, b"b".to_vec())]).expect_err("refused");
        assert_eq!(wrong.code, "WrongContent");
        door.intake.store(&contents[1..]).expect("stored");
        assert_eq!(door.intake.missing(10), []);
    }

    #[test]
    fn a_word_of_freshness_counts_if_it_is_signed_about_this_cluster_and_not_older_than_the_last() {
        let door = Door::new();
        let at = |seconds| Timestamp::from_second(seconds).expect("valid");
        let say = |uid: &str, seconds, key: &SigningKey| {
            let word = Freshness { uid: uid.parse().expect("valid"), index: Digest::of(b"i"), at: at(seconds) };
            door.intake.confirm(&word.sign(key), at(100))
        };
        assert_eq!(say("u-1", 10, &door.key), Ok(()));
        assert_eq!(say("u-1", 10, &door.key), Ok(()), "the same word again, after a reconnect");
        for refused in [say("u-1", 9, &door.key), say("u-2", 11, &door.key), say("u-1", 11, &SigningKey::from_seed([4; 32]))] {
            assert_eq!(refused.expect_err("refused").code, "FreshnessNotTrusted");
        }
    }
}
