//! The bulk lane: objects in chunks, and putting them together again with their digests verified.

use bytes::{Bytes, BytesMut};
use shared_model::Digest;

use crate::field::{WireError, at_most, digest, write_digest};
use crate::wire;

/// The largest chunk: small enough that a lost connection loses little, large enough that the wrapping does not count.
pub const CHUNK_LIMIT: usize = 1024 * 1024;

/// The most objects in one request: 256 × 2 KB of a usual object are half a megabyte; more requests follow.
pub const FETCH_LIMIT: usize = 256;

/// The largest object or release: etcd takes at most 1.5 MiB for an object; a release of 5,000 objects takes about 2 MB.
pub const OBJECT_LIMIT: usize = 16 * 1024 * 1024;

/// A request for `digests`, at most [`FETCH_LIMIT`] of them.
pub fn write_fetch(digests: &[Digest]) -> wire::FetchRequest {
    wire::FetchRequest { digests: digests.iter().take(FETCH_LIMIT).map(write_digest).collect() }
}

/// Reads a request.
pub fn read_fetch(request: &wire::FetchRequest) -> Result<Vec<Digest>, WireError> {
    at_most("digests", &request.digests, FETCH_LIMIT)?;
    request.digests.iter().map(|bytes| digest("digests", bytes)).collect()
}

/// The chunks of one object, or the one that says it is absent. No bytes are copied.
pub fn chunks(digest: Digest, content: Option<Bytes>) -> impl Iterator<Item = wire::ObjectChunk> {
    let absent = content.is_none();
    let mut rest = content.unwrap_or_default();
    let mut first = true;
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let data = rest.split_to(rest.len().min(CHUNK_LIMIT));
        done = rest.is_empty();
        let digest = if std::mem::take(&mut first) { write_digest(&digest) } else { Bytes::new() };
        Some(wire::ObjectChunk { digest, data, last: done, absent })
    })
}

/// What became of one object that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collected {
    /// Here it is; the digest was verified.
    Object(Digest, Bytes),
    /// The hub does not have it for this agent.
    Absent(Digest),
}

/// Puts chunks together.
#[derive(Debug, Default)]
pub struct Collector {
    open: Option<(Digest, BytesMut)>,
}

impl Collector {
    /// Takes the next chunk; gives an object when its last chunk came and its digest is right.
    pub fn take(&mut self, chunk: wire::ObjectChunk) -> Result<Option<Collected>, WireError> {
        if !chunk.digest.is_empty() {
            if self.open.is_some() {
                return Err(WireError::Invalid { field: "chunk.digest", why: "the object before is not complete".into() });
            }
            self.open = Some((digest("chunk.digest", &chunk.digest)?, BytesMut::new()));
        }
        let (wanted, mut content) = self.open.take().ok_or(WireError::Missing("chunk.digest"))?;
        if chunk.absent {
            return Ok(Some(Collected::Absent(wanted)));
        }
        let size = content.len() + chunk.data.len();
        if size > OBJECT_LIMIT {
            return Err(WireError::TooLong { field: "chunk.data", size, limit: OBJECT_LIMIT });
        }
        if chunk.last && content.is_empty() {
            return complete(wanted, chunk.data).map(Some);
        }
        content.extend_from_slice(&chunk.data);
        if chunk.last {
            return complete(wanted, content.freeze()).map(Some);
        }
        self.open = Some((wanted, content));
        Ok(None)
    }
}

fn complete(wanted: Digest, content: Bytes) -> Result<Collected, WireError> {
    let found = Digest::of(&content);
    if found == wanted {
        Ok(Collected::Object(wanted, content))
    } else {
        Err(WireError::Invalid { field: "chunk.data", why: format!("the content has the digest {found}, not {wanted}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(chunks: impl Iterator<Item = wire::ObjectChunk>) -> Result<Vec<Collected>, WireError> {
        let mut collector = Collector::default();
        let mut collected = Vec::new();
        for chunk in chunks {
            collected.extend(collector.take(chunk)?);
        }
        Ok(collected)
    }

    #[test]
    fn objects_of_any_size_arrive_whole() {
        for size in [0, 1, CHUNK_LIMIT - 1, CHUNK_LIMIT, CHUNK_LIMIT + 1, 3 * CHUNK_LIMIT] {
            let content = Bytes::from(vec![7; size]);
            let digest = Digest::of(&content);
            let sent: Vec<_> = chunks(digest, Some(content.clone())).collect();
            assert!(sent.iter().all(|chunk| chunk.data.len() <= CHUNK_LIMIT));
            assert_eq!(sent.len(), size.div_ceil(CHUNK_LIMIT).max(1));
            assert_eq!(collect(sent.into_iter()), Ok(vec![Collected::Object(digest, content)]), "{size}");
        }
        let absent = Digest::of(b"absent");
        assert_eq!(collect(chunks(absent, None)), Ok(vec![Collected::Absent(absent)]));
    }

    #[test]
    fn altered_endless_or_disordered_content_is_refused() {
        let altered = chunks(Digest::of(b"a"), Some(Bytes::from_static(b"b")));
        assert!(matches!(collect(altered), Err(WireError::Invalid { field: "chunk.data", .. })));
        let endless = std::iter::once(wire::ObjectChunk { digest: vec![1; 32].into(), ..wire::ObjectChunk::default() })
            .chain(std::iter::repeat(wire::ObjectChunk { data: vec![0; CHUNK_LIMIT].into(), ..wire::ObjectChunk::default() }));
        assert!(matches!(collect(endless), Err(WireError::TooLong { .. })));
        let headless = wire::ObjectChunk { data: vec![0].into(), ..wire::ObjectChunk::default() };
        assert_eq!(collect([headless].into_iter()), Err(WireError::Missing("chunk.digest")));
    }

    #[test]
    fn a_request_holds_a_bounded_number_of_digests() {
        let digests = vec![Digest::of(b"x"); FETCH_LIMIT + 1];
        assert_eq!(read_fetch(&write_fetch(&digests)).unwrap().len(), FETCH_LIMIT);
        let greedy = wire::FetchRequest { digests: vec![vec![0; 32].into(); FETCH_LIMIT + 1] };
        assert!(matches!(read_fetch(&greedy), Err(WireError::TooMany { .. })));
    }
}
