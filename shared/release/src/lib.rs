//! What a hub publishes and an agent runs: objects (plain or sealed), releases, the signed index of a cluster, its freshness, and the root
//! document that names the keys. This crate owns their encodings, digests, limits and signatures; it decides nothing about what to publish.
//!
//! Every encoding is canonical JSON (sorted keys, no white space) and names its format and version; a reader refuses a newer one by name.

mod budget;
mod envelope;
mod format;
mod freshness;
mod index;
mod object;
mod release;
mod root;
mod seal;

pub use budget::{deletion_budget, waits_always};
pub use envelope::{KeyId, PublicKey, Signed, SigningKey, VerifyError};
pub use format::{DecodeError, Format};
pub use freshness::{Freshness, SignedFreshness};
pub use index::{Approval, Index, IndexApp, SignedIndex, Withdrawal};
pub use object::{OBJECT_LIMIT, ObjectError, decode_object, encode_object};
pub use release::{Entry, Existing, FEATURE_HOOKS, Heal, Hook, HookDelete, Phase, Policy, Prune, Release, SUPPORTED_FEATURES};
pub use root::{Root, RootError, SignedRoot};
pub use seal::{AppKey, DataKey, SealError};
