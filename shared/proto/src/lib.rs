//! The wire form of the conversation between hub and agent: `capstan/v1/session.proto`, the code generated from it (checked in), and the only
//! conversions between wire and domain, item by item with limits. It leaves sending and receiving to `hub/distribute` and `agent/link`.

mod certificates;
mod control;
mod field;
#[rustfmt::skip]
#[path = "generated/capstan.v1.rs"]
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::needless_pass_by_value,
    clippy::semicolon_if_nothing_returned,
    reason = "generated"
)]
mod generated;
mod interactive;
mod nodes;
mod objects;
mod redacted;
mod state;
mod status;

/// The generated messages, clients and servers.
pub mod wire {
    pub use crate::generated::*;
}

pub use certificates::{EnrolCall, Issued, ReattestCall, TOKEN_LIMIT};
pub use field::WireError;
pub use interactive::{LogPiece, read_answer, read_log_chunk, read_question, write_answer, write_log_chunk, write_question};
pub use objects::{CHUNK_LIMIT, Collected, Collector, FETCH_LIMIT, OBJECT_LIMIT, chunks, read_fetch, write_fetch};

/// The largest message in either direction, decoded or encoded. The largest content is [`INDEX_LIMIT`]; the rest is room for its wrapping and for
/// a status chunk of one oversized app (2.2 MB, see `shared/session`).
pub const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

/// The largest signed document: an index of 1,000 apps with 64 digits of digest each and 10,000 withdrawals of 250 bytes is 2.6 MB.
pub const INDEX_LIMIT: usize = 3 * 1024 * 1024;

#[cfg(test)]
mod tests {
    const PROTO: &str = include_str!("../capstan/v1/session.proto");

    /// Lines of the block that begins with `head`.
    fn block(head: &str) -> impl Iterator<Item = &'static str> {
        PROTO.lines().skip_while(move |line| !line.starts_with(head)).skip(1).take_while(|line| *line != "}").map(str::trim)
    }

    /// Who an agent is stands in its certificate. A call or field that is added must be looked at here before it passes.
    #[test]
    fn no_message_of_the_session_says_who_the_agent_is() {
        let calls: Vec<&str> = block("service Session ").filter_map(|line| line.strip_prefix("rpc ")?.split('(').next()).collect();
        assert_eq!(
            calls,
            ["Control", "Status", "Fetch", "Interactive", "Logs", "Renew"],
            "a new call needs a test in e2e/session/tests/hostile.rs"
        );
        let messages = PROTO.lines().filter_map(|line| line.strip_prefix("message ")?.split(' ').next());
        for message in messages.filter(|message| !["EnrolRequest", "ReattestRequest"].contains(message)) {
            let head = format!("message {message} ");
            for field in PROTO.lines().skip_while(|line| !line.starts_with(&head)).skip(1).take_while(|line| *line != "}") {
                let names_somebody = ["cluster_", "identity", "_uid", "agent_name", "tenant"].iter().any(|word| field.contains(word));
                assert!(!names_somebody, "{message}: {field}");
            }
        }
    }
}
