//! The interactive lane: answers what operators ask through the hub, a few at a time, each within its deadline. Logs get calls and turns of their
//! own, so that one which is read slowly holds up neither questions nor the other lanes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared_model::{Reason, Severity};
use shared_proto::{LogPiece, WireError, read_question, wire, write_answer, write_log_chunk};
use shared_session::{Answer, AnswerError, LOG_CHUNK_LIMIT, LOG_LIMIT, LOG_LONGEST, LOGS_AT_ONCE, LogQuestion, Question};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tracing::debug;

use crate::site::{LogSource, Site};

/// Questions in work at once; the others wait their turn.
const AT_ONCE: usize = 4;

/// Questions that are in work or wait, logs included: a hub asks at most 16 at a time, and what nobody waits for any more ends by its deadline.
const OPEN_LIMIT: usize = 64;

/// No question is worked on for longer than this, whatever its deadline says.
const LONGEST: Duration = Duration::from_secs(120);

/// How long a hub may take to close a log's call after its last piece.
const LAST_WORD: Duration = Duration::from_secs(10);

type Client = wire::session_client::SessionClient<Channel>;

/// Runs for as long as the connection lives.
pub(crate) async fn answer_for_ever(mut client: Client, site: Arc<dyn Site>) {
    let (replies, outgoing) = mpsc::channel(AT_ONCE);
    let mut requests = match client.interactive(ReceiverStream::new(outgoing)).await {
        Ok(response) => response.into_inner(),
        Err(error) => return debug!(%error, "the hub has no interactive lane"),
    };
    let answering = Answering { client, site, replies, turns: Semaphore::new(AT_ONCE), logs: Semaphore::new(LOGS_AT_ONCE) };
    let answering = Arc::new(answering);
    let mut open = tokio::task::JoinSet::new();
    while let Ok(Some(request)) = requests.message().await {
        while open.try_join_next().is_some() {}
        if open.len() >= OPEN_LIMIT {
            answering.reply(request.id, Err(refused("Busy", "the agent has too many requests open already; try again"))).await;
            continue;
        }
        let answering = Arc::clone(&answering);
        open.spawn(async move { answering.take(request).await });
    }
}

fn refused(code: &str, message: impl Into<String>) -> AnswerError {
    AnswerError::Refused(Reason::new(Severity::Error, code, message))
}

/// What all answers of one connection share.
struct Answering {
    client: Client,
    site: Arc<dyn Site>,
    replies: mpsc::Sender<wire::InteractiveReply>,
    turns: Semaphore,
    logs: Semaphore,
}

impl Answering {
    async fn take(&self, request: wire::InteractiveRequest) {
        let id = request.id;
        let (deadline, question) = match read_question(&request) {
            Ok((deadline, question)) => (Instant::now() + deadline.min(LONGEST), question),
            Err(WireError::UnknownKind) => return self.reply(id, Err(AnswerError::UnknownQuestion)).await,
            Err(error) => return self.reply(id, Err(refused("BadRequest", error.to_string()))).await,
        };
        match question {
            Question::Log(question) => {
                if let Err(error) = self.log(id, deadline, question).await {
                    self.reply(id, Err(error)).await;
                }
            }
            question => self.reply(id, self.answer(deadline, question).await).await,
        }
    }

    async fn reply(&self, id: u64, answer: Result<Answer, AnswerError>) {
        // A hub that hung up needs no answer.
        let _: Result<(), _> = self.replies.send(write_answer(id, answer)).await;
    }

    async fn answer(&self, deadline: Instant, question: Question) -> Result<Answer, AnswerError> {
        let answer = async {
            let _turn = self.turns.acquire().await;
            self.site.answer(question).await
        };
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(answer) => answer.map_err(AnswerError::Refused),
            Err(_) => Err(refused("TimedOut", "the cluster did not answer in time")),
        }
    }

    /// Sends a log until it ends, nobody reads it any more, or a limit is reached. An error is why it could not begin.
    async fn log(&self, id: u64, deadline: Instant, question: LogQuestion) -> Result<(), AnswerError> {
        let Ok(_turn) = self.logs.try_acquire() else {
            return Err(refused("TooManyLogs", format!("{LOGS_AT_ONCE} logs of this cluster are read already; end one of them")));
        };
        let source = match tokio::time::timeout_at(deadline, self.site.read_log(question)).await {
            Ok(source) => source.map_err(AnswerError::Refused)?,
            Err(_) => return Err(refused("TimedOut", "the cluster did not answer in time")),
        };
        let (chunks, outgoing) = mpsc::channel(1);
        let mut client = self.client.clone();
        let mut call = std::pin::pin!(client.logs(ReceiverStream::new(outgoing)));
        tokio::select! {
            // The hub ended the call: nobody reads any more.
            _ = &mut call => return Ok(()),
            () = feed(id, source, chunks) => {}
        }
        if tokio::time::timeout(LAST_WORD, call).await.is_err() {
            debug!("the hub does not read the end of a log");
        }
        Ok(())
    }
}

/// Sends the pieces of a log on; waits whenever the hub does not read.
async fn feed(id: u64, mut source: LogSource, chunks: mpsc::Sender<wire::LogChunk>) {
    let until = Instant::now() + LOG_LONGEST;
    let cut_short = |code: &str, message: String| LogPiece::CutShort(Reason::new(Severity::Wait, code, message));
    // Tells the hub which log this is before there is anything to read.
    let mut next = Some(LogPiece::Data(Bytes::new()));
    let (mut id, mut sent) = (id, 0_u64);
    while let Some(piece) = next {
        let is_last = matches!(piece, LogPiece::CutShort(_));
        if chunks.send(write_log_chunk(std::mem::take(&mut id), &piece)).await.is_err() || is_last {
            return;
        }
        next = match tokio::time::timeout_at(until, source.next()).await {
            Err(_) => {
                Some(cut_short("LogTooLong", format!("a log is followed for at most {} minutes; ask again", LOG_LONGEST.as_secs() / 60)))
            }
            Ok(None) => None,
            Ok(Some(Err(reason))) => Some(LogPiece::CutShort(reason)),
            Ok(Some(Ok(data))) => {
                sent += data.len() as u64;
                if sent > LOG_LIMIT {
                    let message = format!("a log is sent up to {} MiB; ask for less with --tail or --since", LOG_LIMIT >> 20);
                    Some(cut_short("LogTooLarge", message))
                } else {
                    debug_assert!(data.len() <= LOG_CHUNK_LIMIT, "a source gives pieces of at most LOG_CHUNK_LIMIT bytes");
                    Some(LogPiece::Data(data.slice(..data.len().min(LOG_CHUNK_LIMIT))))
                }
            }
        };
    }
}
