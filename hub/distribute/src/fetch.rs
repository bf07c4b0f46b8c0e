//! The bulk lane: objects by digest, a few at a time, as fast as the agent reads.

use std::sync::Arc;

use shared_model::Digest;
use shared_proto::{chunks, wire};
use tokio::sync::mpsc;
use tonic::Status;

use crate::connection::Connection;
use crate::handle::Shared;

/// Objects that are read from the desk at once: usually 2 KB each, at worst 8 × 16 MiB.
const SLICE: usize = 8;

/// Chunks that wait for an agent to read: 2 × 1 MiB.
pub(crate) const CHUNK_QUEUE: usize = 2;

/// Sends the objects `wanted` in order; those that the agent's own index does not reach are said to be absent.
pub(crate) async fn send_objects(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    wanted: Vec<Digest>,
    out: mpsc::Sender<Result<wire::ObjectChunk, Status>>,
) {
    for slice in wanted.chunks(SLICE) {
        if let Err(status) = send_slice(&shared, &connection, slice, &out).await {
            let _: Result<(), _> = out.send(Err(status)).await;
            return;
        }
    }
}

async fn send_slice(
    shared: &Shared,
    connection: &Connection,
    slice: &[Digest],
    out: &mpsc::Sender<Result<wire::ObjectChunk, Status>>,
) -> Result<(), Status> {
    connection.must_be_admitted()?;
    let objects = {
        let _permit = shared.fetches.acquire().await.map_err(|_| Status::unavailable("the hub stops"))?;
        let objects = shared.desk.objects(&connection.peer.identity, slice).await;
        objects.map_err(|error| Status::unavailable(error.to_string()))?
    };
    if objects.len() != slice.len() {
        return Err(Status::internal("BUG: the desk answered for another number of objects"));
    }
    for chunk in slice.iter().zip(objects).flat_map(|(digest, content)| chunks(*digest, content)) {
        // The agent hung up: nothing more to do.
        if out.send(Ok(chunk)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
