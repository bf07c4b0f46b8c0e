//! The vocabulary of Capstan: typed names, keys, digests, generations, and the words for state (health, drift, gates, reasons).
//! It leaves every format (file, wire, disk, API) to the crate that owns the format and derives no `Serialize`.

mod app_test;
mod clock;
mod digest;
mod generation;
mod health;
mod key;
mod name;
mod reason;
mod service_account;
mod state;

pub use app_test::{AppTest, TestOutcome, TestResult};
pub use clock::Clock;
pub use digest::{Digest, InvalidDigest};
pub use generation::{Epoch, Generation, Sequence};
pub use health::{Freshness, Health, OFFLINE_AFTER, STALE_AFTER};
pub use jiff::Timestamp;
pub use key::{GroupKind, ObjectKey, Scope};
pub use name::{
    AppName, ClusterName, ClusterUid, GroupName, InvalidName, NAME_LIMIT, ProjectName, RegionName, RolloutName, SourceName, StageName,
    TestId, UID_LIMIT,
};
pub use reason::{Reason, Severity};
pub use service_account::{InvalidServiceAccount, ServiceAccount};
pub use state::{AppState, Drift, DriftKind, FieldChange, ObjectState, Revision, TakenOver};
