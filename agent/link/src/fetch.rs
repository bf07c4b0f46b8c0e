//! The bulk lane: gets what the site lacks, in bounded batches, and hands on only what has the digest that was asked for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared_identity::random_seed;
use shared_model::{Digest, Reason};
use shared_proto::{Collected, Collector, FETCH_LIMIT, WireError, wire, write_fetch};
use shared_session::reconnect_delay;
use tokio::sync::Notify;
use tonic::Status;
use tonic::transport::Channel;
use tracing::{debug, warn};

use crate::site::Site;

/// Content is stored whenever this much is in memory: small against the agent's 50 MiB, large against the cost of one fsync.
const STORE_BYTES: usize = 2 * 1024 * 1024;

/// The site is asked this often, although it is woken by each new index: a site that lost content says so only when asked.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// The hub may take this long between two chunks.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(60);

/// A fetch did not end well. What was stored before stays.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the hub refused: {0}")]
    Refused(#[from] Status),
    #[error("the hub sent something wrong: {0}")]
    Wrong(#[from] WireError),
    #[error("the hub sent {0}, which was not asked for")]
    NotAsked(Digest),
    #[error("the hub stopped sending")]
    Stalled,
    #[error("the content could not be stored: {0}")]
    Store(Reason),
}

/// Runs for as long as the connection lives; `wake` says that there may be something to fetch.
pub(crate) async fn fetch_for_ever(mut client: wire::session_client::SessionClient<Channel>, site: Arc<dyn Site>, wake: Arc<Notify>) {
    let mut fruitless = 0;
    loop {
        let missing = site.missing(FETCH_LIMIT).await;
        let wait = if missing.is_empty() {
            fruitless = 0;
            ASK_AGAIN
        } else {
            let mut stored = 0;
            match fetch(&mut client, site.as_ref(), &missing, &mut stored).await {
                Ok(absent) if !absent.is_empty() => {
                    debug!(absent = absent.len(), "the hub does not have everything that was asked for");
                    site.unobtainable(absent);
                }
                Ok(_) => {}
                Err(error) => warn!(%error, missing = missing.len(), stored, "fetching failed"),
            }
            if stored > 0 {
                fruitless = 0;
                continue;
            }
            fruitless += 1;
            reconnect_delay(fruitless, random_seed())
        };
        let _: Result<(), _> = tokio::time::timeout(wait, wake.notified()).await;
    }
}

/// Fetches one batch; gives what the hub does not have. `stored` counts what became durable.
async fn fetch(
    client: &mut wire::session_client::SessionClient<Channel>,
    site: &dyn Site,
    missing: &[Digest],
    stored: &mut usize,
) -> Result<Vec<Digest>, FetchError> {
    let mut open: BTreeSet<Digest> = missing.iter().copied().collect();
    let mut chunks = client.fetch(write_fetch(missing)).await?.into_inner();
    let mut collector = Collector::default();
    let mut absent = Vec::new();
    let mut batch = Batch::default();
    while let Some(chunk) = tokio::time::timeout(CHUNK_TIMEOUT, chunks.message()).await.map_err(|_| FetchError::Stalled)?? {
        let Some(collected) = collector.take(chunk)? else { continue };
        let (Collected::Object(digest, _) | Collected::Absent(digest)) = &collected;
        if !open.remove(digest) {
            return Err(FetchError::NotAsked(*digest));
        }
        match collected {
            Collected::Object(digest, content) => {
                batch.add(digest, content);
                if batch.bytes >= STORE_BYTES {
                    *stored += batch.store(site).await?;
                }
            }
            Collected::Absent(digest) => absent.push(digest),
        }
    }
    *stored += batch.store(site).await?;
    Ok(absent)
}

/// Content that is verified and not yet stored.
#[derive(Default)]
struct Batch {
    content: Vec<(Digest, Bytes)>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, digest: Digest, content: Bytes) {
        self.bytes += content.len();
        self.content.push((digest, content));
    }

    async fn store(&mut self, site: &dyn Site) -> Result<usize, FetchError> {
        let content = std::mem::take(self).content;
        let count = content.len();
        if count > 0 {
            site.store(content).await.map_err(FetchError::Store)?;
        }
        Ok(count)
    }
}
