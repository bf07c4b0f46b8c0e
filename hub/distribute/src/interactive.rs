//! Asking a connected agent while somebody waits, and the logs that it sends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared_model::{Reason, Severity};
use shared_proto::{LogPiece, read_answer, read_log_chunk, wire, write_question};
use shared_session::{Answer, AnswerError, LOGS_AT_ONCE, LogQuestion, Question};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tonic::{Status, Streaming};

/// Questions that one agent may have open: more than a page of one cluster asks.
const OPEN_LIMIT: usize = 16;

/// Pieces of a log that wait for their reader: 4 × 32 KiB. The rest waits in HTTP/2's window, and then in the cluster.
const LOG_QUEUE: usize = 4;

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
    /// Too many logs at once.
    #[error("{LOGS_AT_ONCE} logs of this cluster are read already; end one of them")]
    TooManyLogs,
    /// The agent says why not.
    #[error("the cluster's agent cannot answer: {0}")]
    Refused(#[from] AnswerError),
    /// The answer cannot be read, or is one to another question.
    #[error("the cluster's agent sent an answer that cannot be read")]
    Unreadable,
}

/// A log as it arrives. Dropping it ends it in the cluster.
#[derive(Debug)]
pub struct LogReader {
    /// `None` says that the log has ended by itself. That the channel ends says nothing: the agent is gone.
    pieces: mpsc::Receiver<Option<LogPiece>>,
    is_over: bool,
    _turn: OwnedSemaphorePermit,
}

impl LogReader {
    /// The next piece; `None` after the last.
    pub async fn next(&mut self) -> Option<LogPiece> {
        if self.is_over {
            return None;
        }
        let piece = self.pieces.recv().await.unwrap_or_else(|| Some(broken()));
        self.is_over = matches!(piece, None | Some(LogPiece::CutShort(_)));
        piece
    }
}

/// The interactive lane of one connection.
pub(crate) struct Asking {
    state: Mutex<State>,
    logs: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    next: u64,
    lane: Option<mpsc::Sender<Result<wire::InteractiveRequest, Status>>>,
    open: BTreeMap<u64, Asker>,
}

/// Who waits.
enum Asker {
    Answer(oneshot::Sender<Result<Answer, AskError>>),
    Log(oneshot::Sender<Result<mpsc::Receiver<Option<LogPiece>>, AskError>>),
}

impl Default for Asking {
    fn default() -> Self {
        Self { state: Mutex::default(), logs: Arc::new(Semaphore::new(LOGS_AT_ONCE)) }
    }
}

impl Asking {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        let Some(asker) = self.state().open.remove(&reply.id) else { return };
        let answer = match read_answer(reply) {
            Ok(answer) => answer.map_err(AskError::from),
            Err(_) => Err(AskError::Unreadable),
        };
        match asker {
            Asker::Answer(waiting) => {
                let _: Result<(), _> = waiting.send(answer);
            }
            Asker::Log(waiting) => {
                // Only a refusal comes here; a log comes as a call of its own.
                let _: Result<(), _> = waiting.send(Err(answer.err().unwrap_or(AskError::Unreadable)));
            }
        }
    }

    /// Asks and waits.
    pub(crate) async fn ask(&self, question: &Question, timeout: Duration) -> Result<Answer, AskError> {
        let (waiting, answer) = oneshot::channel();
        self.wait(question, timeout, Asker::Answer(waiting), answer).await
    }

    /// Asks for a log and waits until it begins.
    pub(crate) async fn log(&self, question: LogQuestion, timeout: Duration) -> Result<LogReader, AskError> {
        let turn = Arc::clone(&self.logs).try_acquire_owned().map_err(|_| AskError::TooManyLogs)?;
        let (waiting, log) = oneshot::channel();
        let pieces = self.wait(&Question::Log(question), timeout, Asker::Log(waiting), log).await?;
        Ok(LogReader { pieces, is_over: false, _turn: turn })
    }

    async fn wait<T>(
        &self,
        question: &Question,
        timeout: Duration,
        asker: Asker,
        answer: oneshot::Receiver<Result<T, AskError>>,
    ) -> Result<T, AskError> {
        let id = {
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
            state.open.insert(id, asker);
            id
        };
        let _waiting = Waiting { asking: self, id };
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(AskError::NotConnected),
            Err(_) => Err(AskError::TimedOut(timeout)),
        }
    }

    /// Takes a log of the agent in until it ends, or until nobody reads it any more. Only a log that somebody waits for is taken.
    pub(crate) async fn take_log(&self, mut chunks: Streaming<wire::LogChunk>) -> Result<(), Status> {
        let first = chunks.message().await?.ok_or_else(|| Status::invalid_argument("a log without its request"))?;
        let (id, mut piece) = read_log_chunk(first).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let asker = {
            let mut state = self.state();
            match state.open.remove(&id) {
                // An answer that somebody waits for is not lost because a log uses its number.
                Some(asker @ Asker::Answer(_)) => {
                    state.open.insert(id, asker);
                    None
                }
                Some(Asker::Log(waiting)) => Some(waiting),
                None => None,
            }
        };
        let Some(waiting) = asker else { return Err(Status::not_found("nobody waits for this log")) };
        let (reader, pieces) = mpsc::channel(LOG_QUEUE);
        if waiting.send(Ok(pieces)).is_err() {
            return Ok(());
        }
        loop {
            let is_last = matches!(piece, LogPiece::CutShort(_));
            let is_nothing = matches!(&piece, LogPiece::Data(data) if data.is_empty());
            if (!is_nothing && reader.send(Some(piece)).await.is_err()) || is_last {
                return Ok(());
            }
            let chunk = tokio::select! {
                chunk = chunks.message() => chunk?,
                () = reader.closed() => return Ok(()),
            };
            let Some(chunk) = chunk else {
                // Whoever reads may have left just now.
                let _: Result<(), _> = reader.send(None).await;
                return Ok(());
            };
            piece = read_log_chunk(chunk).map_err(|error| Status::invalid_argument(error.to_string()))?.1;
        }
    }
}

/// The last piece of a log whose agent went away, or sent something else.
fn broken() -> LogPiece {
    let message = "the connection to the cluster's agent broke; the log goes on in the cluster: ask again";
    LogPiece::CutShort(Reason::new(Severity::Error, "AgentGone", message))
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
