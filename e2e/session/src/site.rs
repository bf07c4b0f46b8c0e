//! An agent's core in memory. Its indexes are text: a line with the generation, then a digest a line.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use agent_link::{Later, LogSource, Site};
use bytes::Bytes;
use shared_identity::AgentCertificate;
use shared_model::{AppState, Digest, Generation, Health, Reason, Severity};
use shared_session::{
    Answer, ClusterFacts, FreshnessDocument, Held, IndexDocument, KeySet, LogQuestion, ObjectDiff, Question, RootDocument, Status, Verdict,
};
use tokio::sync::watch;
use tokio_stream::Stream;

use crate::place::index_generation;
use crate::wait::until;

/// Everything that the site holds and was told.
#[derive(Debug, Clone, Default)]
pub struct SiteState {
    /// Digests that the index held reaches.
    pub wanted: Vec<Digest>,
    /// Content that is stored.
    pub content: BTreeMap<Digest, Bytes>,
    /// How many bytes were stored, ever.
    pub stored: usize,
    /// Indexes that were judged, in order.
    pub judged: Vec<Digest>,
    /// Indexes that are refused, with the reason's code.
    pub refuse: BTreeMap<Digest, String>,
    /// What the hub did not have.
    pub unobtainable: Vec<Digest>,
    /// The keys held, by id.
    pub keys: Vec<String>,
    /// Certificates that were stored.
    pub certificates: Vec<AgentCertificate>,
    /// Whether storing waits.
    pub full: bool,
    /// The answer to the next diff.
    pub diff: Option<Vec<ObjectDiff>>,
    /// What the pods say, in pieces.
    pub log: Option<Vec<Bytes>>,
    /// How many logs were asked for.
    pub logs_opened: usize,
    /// Which of them are not read any more.
    pub logs_ended: Vec<usize>,
}

/// A log that is being read.
struct Reading {
    state: watch::Sender<SiteState>,
    number: usize,
    pieces: VecDeque<Bytes>,
    follow: bool,
}

impl Stream for Reading {
    type Item = Result<Bytes, Reason>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.pieces.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(piece))),
            // Nobody says anything any more, and nobody will.
            None if self.follow => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.state.send_modify(|state| state.logs_ended.push(self.number));
    }
}

/// The site.
pub struct SiteDouble {
    state: watch::Sender<SiteState>,
    held: watch::Sender<Held>,
    status: watch::Sender<Status>,
}

impl SiteDouble {
    /// A site that holds nothing.
    pub fn new() -> Arc<Self> {
        let facts = ClusterFacts { kubernetes: "v1.34.1".into(), ..ClusterFacts::default() };
        Arc::new(Self {
            state: watch::Sender::default(),
            held: watch::Sender::default(),
            status: watch::Sender::new(Status::new(facts, [])),
        })
    }

    /// The state now.
    pub fn state(&self) -> SiteState {
        self.state.borrow().clone()
    }

    /// What is held now.
    pub fn held_now(&self) -> Held {
        self.held.borrow().clone()
    }

    /// The status now.
    pub fn status_now(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Changes what the site holds.
    pub fn change(&self, change: impl FnOnce(&mut SiteState)) {
        self.state.send_modify(change);
    }

    /// Reports an app with so many objects.
    pub fn report(&self, app: &str, objects: u32) {
        let state = AppState {
            wanted: None,
            applied: None,
            health: Health::Healthy,
            reason: None,
            objects,
            unhealthy: vec![],
            drift: vec![],
            awaiting_approval: vec![],
            withdrawn: vec![],
            removed: false,
            taken_over: vec![],
            test: None,
        };
        self.status.send_modify(|status| *status = status.clone().with(app.parse().unwrap(), Some(state)));
    }

    /// Reports an app as gone.
    pub fn withdraw(&self, app: &str) {
        self.status.send_modify(|status| *status = status.clone().with(app.parse().unwrap(), None));
    }

    /// Waits for something that the site is told.
    pub async fn until(&self, what: &str, holds: impl FnMut(&SiteState) -> bool) {
        until(&mut self.state.subscribe(), what, holds).await;
    }

    /// Waits until this is the index held and all that it reaches is stored.
    pub async fn until_holds(&self, index: &IndexDocument) {
        let wanted = Some(index.digest());
        until(&mut self.held.subscribe(), "the index", |held| held.index == wanted).await;
        self.until("the content", |state| state.wanted.iter().all(|digest| state.content.contains_key(digest))).await;
    }

    fn done<T: Send + 'static>(value: T) -> Later<'static, T> {
        Box::pin(async { value })
    }
}

impl Site for SiteDouble {
    fn held(&self) -> watch::Receiver<Held> {
        self.held.subscribe()
    }

    fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    fn take_root(&self, root: RootDocument) -> Later<'_, ()> {
        self.held.send_modify(|held| held.root = Some(root.digest()));
        Self::done(())
    }

    fn take_keys(&self, keys: Arc<KeySet>) -> Later<'_, ()> {
        self.change(|state| state.keys = keys.iter().map(|(id, _)| id.to_owned()).collect());
        self.held.send_modify(|held| held.keys = Some(keys.digest()));
        Self::done(())
    }

    fn take_freshness(&self, freshness: FreshnessDocument) -> Later<'_, ()> {
        self.held.send_modify(|held| held.freshness = Some(freshness.digest()));
        Self::done(())
    }

    fn judge(&self, index: IndexDocument) -> Later<'_, Verdict> {
        let refused = |code: &str| Verdict::Refused(Reason::new(Severity::Error, code, "the facts of the refusal"));
        let (generation, wanted): (Generation, Vec<Digest>) = index_generation(&index);
        let mut verdict = Verdict::Accepted(generation);
        self.change(|state| {
            state.judged.push(index.digest());
            if let Some(code) = state.refuse.get(&index.digest()) {
                verdict = refused(code);
            } else if generation < self.held.borrow().generation {
                verdict = refused("OlderIndex");
            } else {
                state.wanted = wanted;
            }
        });
        if let Verdict::Accepted(generation) = verdict {
            self.held.send_modify(|held| {
                held.generation = generation;
                held.index = Some(index.digest());
            });
        }
        Self::done(verdict)
    }

    fn missing(&self, limit: usize) -> Later<'_, Vec<Digest>> {
        let state = self.state.borrow();
        let missing = state.wanted.iter().filter(|digest| !state.content.contains_key(*digest)).take(limit).copied().collect::<Vec<_>>();
        Self::done(missing)
    }

    fn store(&self, content: Vec<(Digest, Bytes)>) -> Later<'_, Result<(), Reason>> {
        Box::pin(async move {
            self.until("room to store", |state| !state.full).await;
            self.change(|state| {
                for (digest, bytes) in content {
                    state.stored += bytes.len();
                    state.content.insert(digest, bytes);
                }
            });
            Ok(())
        })
    }

    fn unobtainable(&self, digests: Vec<Digest>) {
        self.change(|state| state.unobtainable.extend(digests));
    }

    fn answer(&self, question: Question) -> Later<'_, Result<Answer, Reason>> {
        let no_app = || Self::done(Err(Reason::new(Severity::Error, "NoSuchApp", "no such app here")));
        let Question::Diff { app } = question else { return no_app() };
        let diff = self.state.borrow().diff.clone();
        match diff {
            Some(diff) => Self::done(Ok(Answer::diff(diff))),
            None if app.as_str() == "slow" => Box::pin(std::future::pending()),
            None => no_app(),
        }
    }

    fn read_log(&self, question: LogQuestion) -> Later<'_, Result<LogSource, Reason>> {
        let number = {
            let mut number = 0;
            self.change(|state| {
                state.logs_opened += 1;
                number = state.logs_opened;
            });
            number
        };
        let Some(pieces) = self.state.borrow().log.clone() else {
            return Self::done(Err(Reason::new(Severity::Error, "NoSuchPod", "no such pod here")));
        };
        let reading = Reading { state: self.state.clone(), number, pieces: pieces.into(), follow: question.follow };
        Self::done(Ok(Box::pin(reading) as LogSource))
    }

    fn certified<'a>(&'a self, certificate: &'a AgentCertificate) -> Later<'a, Result<(), Reason>> {
        self.change(|state| state.certificates.push(certificate.clone()));
        Self::done(Ok(()))
    }
}
