//! The named points at which an agent may die: each lies between two things that cannot be done at once, such as a write to the cluster and
//! the ledger's note of it. In production nobody stands there, and passing one is a look at an empty option. A test may stand there and kill.

use std::fmt;
use std::sync::Arc;

/// A point between two writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultPoint {
    /// An index was judged good and is not on disk.
    IndexJudged,
    /// It is on disk, as pending or in force, and nothing has followed from it.
    IndexDurable,
    /// Contents are on disk, and the index that they complete is not in force.
    ContentsDurable,
    /// What is about to be created is on disk, and nothing of it was asked.
    IntentDurable,
    /// The API server has applied an object, and the ledger does not know its uid.
    ObjectApplied,
    /// One of several objects is noted in memory, others are on their way.
    BetweenObjects,
    /// The API server has deleted an object, and the ledger does not know.
    ObjectDeleted,
    /// The API server has deleted an object to make room for its next content, and the ledger does not know.
    ObjectReplaced,
    /// A hook's object is made, and the ledger does not know its uid.
    HookStarted,
    /// A hook was seen to end, and the ledger does not know.
    HookEnded,
    /// A hook's object was deleted as its policy says, and the ledger does not know.
    HookDeleted,
    /// The objects of one order are done and on disk.
    OrderDurable,
    /// A turn is over: the next one may find that a wave is healthy.
    BetweenWaves,
    /// The ledger is ahead of its copy in the cluster.
    CopyBehind,
    /// The copy's parts are written, and those that it no longer has are still there.
    CopyWritten,
}

impl FaultPoint {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::IndexJudged,
        Self::IndexDurable,
        Self::ContentsDurable,
        Self::IntentDurable,
        Self::ObjectApplied,
        Self::BetweenObjects,
        Self::ObjectDeleted,
        Self::ObjectReplaced,
        Self::HookStarted,
        Self::HookEnded,
        Self::HookDeleted,
        Self::OrderDurable,
        Self::BetweenWaves,
        Self::CopyBehind,
        Self::CopyWritten,
    ];
}

impl fmt::Display for FaultPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

type Watcher = dyn Fn(FaultPoint) + Send + Sync;

/// Who stands at the points, if anybody does. What is called there may block its thread for ever, as a killed process does.
#[derive(Clone, Default)]
pub struct FaultPoints(Option<Arc<Watcher>>);

impl FaultPoints {
    /// Lets `watcher` stand at every point.
    pub fn watched(watcher: impl Fn(FaultPoint) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(watcher)))
    }

    /// Passes a point.
    pub(crate) fn pass(&self, point: FaultPoint) {
        if let Some(watcher) = &self.0 {
            watcher(point);
        }
    }
}
