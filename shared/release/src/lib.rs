//! What a hub publishes and an agent runs: objects (plain or sealed), releases, the signed index of a cluster, its freshness, and the root
//! document that names the keys. This crate owns their encodings, digests, limits and signatures; it decides nothing about what to publish.
//!
//! Every encoding is canonical JSON (sorted keys, no white space) and names its format and version; a reader refuses a newer one by name.

mod budget;
mod envelope;
mod format;
mod freshness;
mod health;
mod ignore;
mod index;
mod object;
mod release;
mod root;
mod seal;

pub use budget::{deletion_budget, waits_always};
pub use envelope::{KeyId, PublicKey, Signed, SigningKey, VerifyError};
pub use format::{DecodeError, Format};
pub use freshness::{Freshness, SignedFreshness};
pub use health::{HealthRule, health_rule};
pub use ignore::Ignore;
pub use index::{Approval, Hold, Index, IndexApp, Removal, SignedIndex, TestRequest, Withdrawal};
pub use object::{OBJECT_LIMIT, ObjectError, decode_object, encode_object};
pub use release::{
    Apply, Conflicts, Entry, Existing, FEATURE_CONFLICTS, FEATURE_HEALTH, FEATURE_HOOKS, FEATURE_IGNORE, FEATURE_LENIENCE, FEATURE_REMOVAL,
    FEATURE_TESTS, FEATURE_TRANSACTIONAL, Heal, Hook, HookDelete, Phase, Policy, Prune, Release, SUPPORTED_FEATURES,
};
pub use root::{Root, RootError, SignedRoot};
pub use seal::{AppKey, DataKey, SealError};
