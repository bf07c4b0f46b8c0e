//! What the link needs from the agent's core, in the agent's own words.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use shared_identity::AgentCertificate;
use shared_model::{Digest, Reason};
use shared_session::{Answer, FreshnessDocument, Held, IndexDocument, KeySet, LogQuestion, Question, RootDocument, Status, Verdict};
use tokio::sync::watch;
use tokio_stream::Stream;

/// An answer that takes a while.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A log as it is read: pieces of at most [`shared_session::LOG_CHUNK_LIMIT`] bytes, cut anywhere. An error is the last item. Dropping it ends the
/// reading.
pub type LogSource = Pin<Box<dyn Stream<Item = Result<Bytes, Reason>> + Send>>;

/// The agent's core as the link sees it. The hub is not trusted here: everything signed is verified behind these calls.
pub trait Site: Send + Sync + 'static {
    /// What is held durably; changes when that changes. Up to date when any of the calls below returns.
    fn held(&self) -> watch::Receiver<Held>;

    /// The status; changes when that changes.
    fn status(&self) -> watch::Receiver<Status>;

    /// Verifies a root document against the one held and makes it durable. One that is not accepted shows in the status, not here.
    fn take_root(&self, root: RootDocument) -> Later<'_, ()>;

    /// Replaces the keys held.
    fn take_keys(&self, keys: Arc<KeySet>) -> Later<'_, ()>;

    /// Verifies a freshness statement and makes it durable.
    fn take_freshness(&self, freshness: FreshnessDocument) -> Later<'_, ()>;

    /// Judges an index; when this says accepted, the index is durable and nothing older will ever be accepted again.
    fn judge(&self, index: IndexDocument) -> Later<'_, Verdict>;

    /// Up to `limit` releases and objects that the index held needs and that are not stored yet, most urgent first.
    fn missing(&self, limit: usize) -> Later<'_, Vec<Digest>>;

    /// Stores content whose digests were verified. When this returns `Ok`, it is durable.
    fn store(&self, content: Vec<(Digest, Bytes)>) -> Later<'_, Result<(), Reason>>;

    /// The hub does not have these for this agent now. They are asked for again.
    fn unobtainable(&self, digests: Vec<Digest>);

    /// Answers a question about an app's objects, redacted and cut to what travels. [`Question::Log`] comes as [`Site::read_log`] instead.
    fn answer(&self, question: Question) -> Later<'_, Result<Answer, Reason>>;

    /// Begins to read the log of a pod of an app.
    fn read_log(&self, question: LogQuestion) -> Later<'_, Result<LogSource, Reason>>;

    /// Stores a new certificate. It is used once this returns `Ok`.
    fn certified<'a>(&'a self, certificate: &'a AgentCertificate) -> Later<'a, Result<(), Reason>>;
}
