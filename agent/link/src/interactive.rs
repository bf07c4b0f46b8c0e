//! The interactive lane: answers what operators ask through the hub, a few at a time, each within its deadline.

use std::sync::Arc;
use std::time::Duration;

use shared_model::{Reason, Severity};
use shared_proto::{WireError, read_question, wire, write_answer};
use shared_session::{Answer, AnswerError, Question};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tracing::debug;

use crate::site::Site;

/// Questions in work at once; the others wait their turn.
const AT_ONCE: usize = 4;

/// No question is worked on for longer than this, whatever its deadline says.
const LONGEST: Duration = Duration::from_secs(120);

/// Runs for as long as the connection lives.
pub(crate) async fn answer_for_ever(mut client: wire::session_client::SessionClient<Channel>, site: Arc<dyn Site>) {
    let (replies, outgoing) = mpsc::channel(AT_ONCE);
    let mut requests = match client.interactive(ReceiverStream::new(outgoing)).await {
        Ok(response) => response.into_inner(),
        Err(error) => return debug!(%error, "the hub has no interactive lane"),
    };
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut answers = tokio::task::JoinSet::new();
    while let Ok(Some(request)) = requests.message().await {
        while answers.try_join_next().is_some() {}
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return };
        let (site, replies) = (Arc::clone(&site), replies.clone());
        answers.spawn(async move {
            let reply = write_answer(request.id, answer(site.as_ref(), &request).await);
            // A hub that hung up needs no answer.
            let _: Result<(), _> = replies.send(reply).await;
            drop(turn);
        });
    }
}

async fn answer(site: &dyn Site, request: &wire::InteractiveRequest) -> Result<Answer, AnswerError> {
    let refused = |code: &str, message: String| AnswerError::Refused(Reason::new(Severity::Error, code, message));
    let (deadline, question) = match read_question(request) {
        Ok(read) => read,
        Err(WireError::UnknownKind) => return Err(AnswerError::UnknownQuestion),
        Err(error) => return Err(refused("BadRequest", error.to_string())),
    };
    let Question::Diff { app } = question;
    match tokio::time::timeout(deadline.min(LONGEST), site.diff(app)).await {
        Ok(Ok(objects)) => Ok(Answer::diff(objects)),
        Ok(Err(reason)) => Err(AnswerError::Refused(reason)),
        Err(_) => Err(refused("TimedOut", "the cluster did not answer in time".into())),
    }
}
