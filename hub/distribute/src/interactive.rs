//! Asking a connected agent while somebody waits.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared_proto::{read_answer, wire, write_question};
use shared_session::{Answer, AnswerError, ObjectDiff, Question};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

/// Questions that one agent may have open: more than a page of one cluster asks.
const OPEN_LIMIT: usize = 16;

/// How the objects of an app differ from what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// The differing objects.
    pub objects: Vec<ObjectDiff>,
    /// How many more differ.
    pub left_out: u32,
}

/// A question got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The agent is not connected to this hub.
    #[error("the cluster's agent is not connected; look at `capstan get clusters`")]
    NotConnected,
    /// It did not answer in time.
    #[error("the cluster's agent did not answer within {} seconds", .0.as_secs_f32())]
    TimedOut(Duration),
    /// Too many questions at once.
    #[error("the cluster's agent has {OPEN_LIMIT} requests open already; try again")]
    Busy,
    /// The agent says why not.
    #[error("the cluster's agent cannot answer: {0}")]
    Refused(#[from] AnswerError),
    /// The answer cannot be read.
    #[error("the cluster's agent sent an answer that cannot be read")]
    Unreadable,
}

/// The interactive lane of one connection.
#[derive(Default)]
pub(crate) struct Asking(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    lane: Option<mpsc::Sender<Result<wire::InteractiveRequest, Status>>>,
    open: BTreeMap<u64, oneshot::Sender<Result<Answer, AskError>>>,
}

impl Asking {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the lane; a lane before is closed.
    pub(crate) fn open(&self) -> mpsc::Receiver<Result<wire::InteractiveRequest, Status>> {
        let (lane, requests) = mpsc::channel(OPEN_LIMIT);
        self.state().lane = Some(lane);
        requests
    }

    /// Closes the lane; whoever waits is told.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.lane = None;
        state.open.clear();
    }

    /// Takes a reply of the agent. One to a question that nobody waits for any more is dropped.
    pub(crate) fn replied(&self, reply: wire::InteractiveReply) {
        if let Some(waiting) = self.state().open.remove(&reply.id) {
            let answer = match read_answer(reply) {
                Ok(answer) => answer.map_err(AskError::from),
                Err(_) => Err(AskError::Unreadable),
            };
            let _: Result<(), _> = waiting.send(answer);
        }
    }

    /// Asks and waits.
    pub(crate) async fn ask(&self, question: &Question, timeout: Duration) -> Result<Answer, AskError> {
        let (id, answer) = {
            let mut state = self.state();
            let lane = state.lane.clone().ok_or(AskError::NotConnected)?;
            if state.open.len() >= OPEN_LIMIT {
                return Err(AskError::Busy);
            }
            state.next += 1;
            let id = state.next;
            lane.try_send(Ok(write_question(id, timeout, question))).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => AskError::Busy,
                mpsc::error::TrySendError::Closed(_) => AskError::NotConnected,
            })?;
            let (waiting, answer) = oneshot::channel();
            state.open.insert(id, waiting);
            (id, answer)
        };
        let _waiting = Waiting { asking: self, id };
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(AskError::NotConnected),
            Err(_) => Err(AskError::TimedOut(timeout)),
        }
    }
}

/// Forgets a question when its asker stops to wait, for whatever cause.
struct Waiting<'a> {
    asking: &'a Asking,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.asking.state().open.remove(&self.id);
    }
}
