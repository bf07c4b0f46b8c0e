//! Keeps the copy of the ledger in the cluster up to date: one small write after a turn that changed something, the contents when the index
//! changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use agent_cluster::{ClusterError, SecretParts};
use agent_ledger::{Copied, CopiedPart, LedgerError, Marks, Mirror, MirrorError, MirrorFuture, Parts};
use shared_model::{Digest, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::desired::Wanted;
use crate::fault_point::FaultPoint;
use crate::shared::Shared;

/// The pause after a write that failed.
const RETRY: Duration = Duration::from_secs(15);

/// The ledger's copy as Secrets of the agent's namespace.
pub(crate) struct InSecrets(pub(crate) SecretParts);

impl Mirror for InSecrets {
    fn marks(&self) -> MirrorFuture<'_, Marks> {
        Box::pin(async move { self.0.marks().await.map_err(|error| failed("read", &error)) })
    }

    fn read(&self) -> MirrorFuture<'_, (Parts, Marks)> {
        Box::pin(async move { self.0.read().await.map_err(|error| failed("read", &error)) })
    }

    fn write(&self, parts: Parts) -> MirrorFuture<'_, Marks> {
        Box::pin(async move { self.0.write(parts).await.map_err(|error| failed("written", &error)) })
    }

    fn remove(&self, names: Vec<String>) -> MirrorFuture<'_, ()> {
        Box::pin(async move { self.0.remove(&names).await.map_err(|error| failed("written", &error)) })
    }
}

fn failed(action: &'static str, error: &ClusterError) -> MirrorError {
    MirrorError { action, detail: error.to_string() }
}

/// Keeps the copy up to date.
pub(crate) struct Copy {
    mirror: Arc<dyn Mirror>,
    /// What it holds, as it was written or found last.
    known: Copied,
    /// The contents did not fit when they were packed last.
    is_too_much: bool,
    retry_at: Option<Timestamp>,
}

impl Copy {
    pub(crate) fn new(mirror: Arc<dyn Mirror>, known: Copied) -> Self {
        Self { mirror, known, is_too_much: false, retry_at: None }
    }

    /// What was written may not be there any more: everything is written again.
    pub(crate) fn doubt(&mut self) {
        self.known = Copied::default();
        self.retry_at = None;
    }

    pub(crate) fn retry_at(&self) -> Option<Timestamp> {
        self.retry_at
    }

    /// Writes whatever differs from what was written last.
    pub(crate) async fn bring_up_to_date(&mut self, shared: &Arc<Shared>, wanted: &Arc<Wanted>, now: Timestamp) {
        if self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        self.retry_at = None;
        if let Err(error) = self.write(shared, wanted).await {
            tracing::warn!(%error, "the ledger's copy in the cluster is out of date");
            self.retry_at = Some(now + RETRY);
        }
    }

    async fn write(&mut self, shared: &Arc<Shared>, wanted: &Arc<Wanted>) -> Result<(), MirrorError> {
        let core = shared.ledger().core_revision();
        let new_core = self.known.core != Some(core);
        let new_contents = wanted.contents.is_some() && self.known.contents != wanted.contents;
        if !new_core && !new_contents {
            return Ok(());
        }
        if new_core {
            let parts = shared.ledger().core_parts();
            let names = parts.keys().cloned().collect();
            self.put(shared, parts).await?;
            self.remove_others(&names, &["state-", "inventory-"]).await?;
            self.known.core = Some(core);
        }
        if new_contents {
            self.write_contents(shared, wanted).await?;
        }
        if let Err(error) = shared.ledger().set_copied(&self.known) {
            tracing::warn!(%error, "the ledger's copy in the cluster is read again at the next start");
        }
        Ok(())
    }

    /// Packs the contents and writes them part by part, as they come.
    async fn write_contents(&mut self, shared: &Arc<Shared>, wanted: &Arc<Wanted>) -> Result<(), MirrorError> {
        // What was written of them before may be gone in a moment.
        self.known.contents = None;
        let mut names = BTreeSet::new();
        // What was too much before probably is so again, and is not written to be removed again.
        let mut fits = if self.is_too_much { self::fits(pack(shared, wanted, |_, _| Ok(()))).await } else { Some(true) };
        if fits == Some(true) {
            let (give, mut parts) = mpsc::channel(1);
            let packing = pack(shared, wanted, move |name, bytes| give.blocking_send((name, bytes)).map_err(io::Error::other));
            while let Some((name, bytes)) = parts.recv().await {
                names.insert(String::clone(&name));
                self.put(shared, Parts::from([(name, bytes)])).await?;
            }
            fits = self::fits(packing).await;
        }
        // Another index came into force meanwhile, and its contents took the place of these: they are written after the next turn, which reads it.
        let Some(fits) = fits else { return Ok(()) };
        self.is_too_much = !fits;
        if !fits {
            tracing::warn!("the contents are over 8 MiB compressed: give the agent a volume to survive a lost pod without the hub");
            names.clear();
        }
        self.remove_others(&names, &["content-"]).await?;
        self.known.contents = wanted.contents;
        Ok(())
    }

    /// Writes those of `parts` that differ from what is there.
    async fn put(&mut self, shared: &Shared, mut parts: Parts) -> Result<(), MirrorError> {
        let digests: BTreeMap<String, Digest> = parts.iter().map(|(name, bytes)| (name.clone(), Digest::of(bytes))).collect();
        parts.retain(|name, _| self.known.parts.get(name).map(|part| &part.digest) != digests.get(name));
        if parts.is_empty() {
            return Ok(());
        }
        shared.points.pass(FaultPoint::CopyBehind);
        let marks = self.mirror.write(parts).await?;
        shared.points.pass(FaultPoint::CopyWritten);
        for (name, mark) in marks {
            if let Some(digest) = digests.get(&name) {
                self.known.parts.insert(name, CopiedPart { mark: Some(mark), digest: *digest });
            }
        }
        Ok(())
    }

    /// Removes all parts whose names begin with one of `prefixes` but those in `names`.
    async fn remove_others(&mut self, names: &BTreeSet<String>, prefixes: &[&str]) -> Result<(), MirrorError> {
        let is_meant = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
        let stale: Vec<String> = self.known.parts.keys().filter(|name| is_meant(name) && !names.contains(*name)).cloned().collect();
        if !stale.is_empty() {
            self.mirror.remove(stale.clone()).await?;
        }
        for name in stale {
            self.known.parts.remove(&name);
        }
        Ok(())
    }
}

/// Begins to pack the contents on a thread that may block.
fn pack(
    shared: &Arc<Shared>,
    wanted: &Arc<Wanted>,
    take: impl FnMut(String, Vec<u8>) -> io::Result<()> + Send + 'static,
) -> JoinHandle<Result<bool, LedgerError>> {
    let (shared, wanted) = (shared.clone(), wanted.clone());
    tokio::task::spawn_blocking(move || shared.contents().pack(&wanted.digests(), take))
}

/// Whether what was packed fits; `None` if it was not all there.
async fn fits(packing: JoinHandle<Result<bool, LedgerError>>) -> Option<bool> {
    match packing.await {
        Ok(Ok(fits)) => Some(fits),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the contents are not copied now");
            None
        }
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The process ends.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use agent_ledger::Ledger;
    use shared_model::{Generation, GroupKind, ObjectKey};
    use shared_release::{Entry, Index, IndexApp, Phase, Policy, Release, SigningKey};

    use super::*;
    use crate::fault_point::FaultPoints;

    /// A mirror in memory, and what was written to it since somebody asked last.
    #[derive(Default)]
    struct Kept {
        parts: Mutex<Parts>,
        written: Mutex<Vec<String>>,
    }

    impl Kept {
        fn names(&self) -> Vec<String> {
            self.parts.lock().expect("whole").keys().cloned().collect()
        }

        fn contents_written(&self) -> usize {
            std::mem::take(&mut *self.written.lock().expect("whole")).iter().filter(|name| name.starts_with("content-")).count()
        }
    }

    impl Mirror for Kept {
        fn marks(&self) -> MirrorFuture<'_, Marks> {
            unreachable!("a copy that is written is not asked")
        }

        fn read(&self) -> MirrorFuture<'_, (Parts, Marks)> {
            unreachable!("a copy that is written is not read")
        }

        fn write(&self, parts: Parts) -> MirrorFuture<'_, Marks> {
            let marks = parts.keys().map(|name| (name.clone(), "1".to_owned())).collect();
            self.written.lock().expect("whole").extend(parts.keys().cloned());
            self.parts.lock().expect("whole").extend(parts);
            Box::pin(async { Ok(marks) })
        }

        fn remove(&self, names: Vec<String>) -> MirrorFuture<'_, ()> {
            self.parts.lock().expect("whole").retain(|name, _| !names.contains(name));
            Box::pin(async { Ok(()) })
        }
    }

    /// Bytes that cannot be compressed.
    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        (0..length / 8).flat_map(|_| next()).collect()
    }

    /// Puts an index in force that wants one object with these bytes.
    fn want(shared: &Shared, sequence: u64, bytes: &[u8]) -> Arc<Wanted> {
        let digest = Digest::of(bytes);
        let object = ObjectKey::new(GroupKind::new("", "ConfigMap"), Some("web"), "a").into();
        let (phase, policy) = (Phase::Sync, Policy::default());
        let entry = Entry { object, version: "v1".into(), digest, sealed: None, phase, wave: 0, hook: None, policy };
        let (release, encoded) = Release::new("web".parse().expect("valid"), [entry]).encode();
        let generation = Generation::new(1, sequence);
        let app = IndexApp { release: Some(release), ..IndexApp::default() };
        let apps = BTreeMap::from([("web".parse().expect("valid"), app)]);
        let (cluster, uid) = ("gpu-a".parse().expect("valid"), "u-1".parse().expect("valid"));
        let index = Index { cluster, uid, generation, parent: None, apps }.sign(&SigningKey::from_seed([3; 32]));
        shared.contents().write(&[(release, &*encoded), (digest, bytes)]).expect("written");
        let wanted = Wanted::read(Some(&index), shared.contents(), &Wanted::default());
        shared.ledger().accept(index, generation).expect("written");
        Arc::new(wanted)
    }

    #[tokio::test]
    async fn contents_that_do_not_fit_leave_the_copy_and_are_not_written_a_second_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let shared = Arc::new(Shared::new(Ledger::open(directory.path()).expect("opens").ledger, FaultPoints::default()));
        let kept = Arc::new(Kept::default());
        let mut copy = Copy::new(kept.clone(), Copied::default());
        let all = ["content-0", "inventory-0", "state-0"];
        let too_much = agent_ledger::MIRROR_LIMIT + 1024;
        for (sequence, bytes, names, writes) in [
            (1, noise(64, 1), &all[..], 1),
            // Two parts of 700 KiB and what is left of 2 MB.
            (2, noise(2_000_000, 2), &["content-0", "content-1", "content-2", "inventory-0", "state-0"], 3),
            (3, noise(too_much, 3), &all[1..], 12),
            (4, noise(too_much, 4), &all[1..], 0),
            (5, noise(64, 5), &all[..], 1),
        ] {
            let wanted = want(&shared, sequence, &bytes);
            copy.bring_up_to_date(&shared, &wanted, Timestamp::UNIX_EPOCH).await;
            assert_eq!((copy.retry_at(), copy.known.contents), (None, wanted.contents), "index {sequence}");
            assert_eq!(
                (kept.names(), kept.contents_written()),
                (names.iter().map(ToString::to_string).collect(), writes),
                "index {sequence}"
            );
        }
        let elsewhere = tempfile::tempdir().expect("a directory");
        let mut blank = Ledger::open(elsewhere.path()).expect("opens").ledger;
        let parts = kept.parts.lock().expect("whole").clone();
        assert_eq!(blank.restore(&parts).expect("restored").contents, copy.known.contents);
    }
}
