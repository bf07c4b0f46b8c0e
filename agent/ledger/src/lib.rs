//! What an agent must not forget: who it is, whom it trusts, what it should run, and what it owns. A directory on disk, every change of
//! which is durable before the call returns, and a copy that fits into Secrets, for the day the disk is gone.
//!
//! What to write when is decided by `agent/agentd`; where the copy is kept is the business of whoever implements [`Mirror`].

mod contents;
mod copied;
mod disk;
mod format;
mod ledger;
mod mirror;
mod settled;
mod shortcut;

pub use contents::Contents;
pub use copied::{Copied, CopiedPart, contents_digest};
pub use format::{Certified, Identity, LedgerError};
pub use ledger::{Ledger, Opened, Restored};
pub use mirror::{MIRROR_LIMIT, Marks, Mirror, MirrorError, MirrorFuture, PART_LIMIT, Parts};
pub use settled::Settled;
