//! What each cluster should run next and why not more: from rendered objects to a release (`assemble`), from wanted apps to the content of a
//! cluster's next index (`Asked`, `plan_cluster`), from a rollout and what agents report to who may move (`advance`), and what changed (`difference`).
//!
//! Everything here is a function from values to a value. It leaves placement and suspicion to `hub-fleet`, signing and storing to the hub's
//! process, and deleting to agents: an index only says what an app no longer has.

mod again;
mod annotation;
mod approval;
mod asked;
mod assemble;
mod cluster;
mod conflict;
mod difference;
mod gate;
mod memory;
mod progress;
mod rollout;
mod stored;
mod wanted;

pub use again::LastPlan;
pub use approval::{Approved, Sanction, StageApproval, stage_digest};
pub use asked::{Asked, RenderedApp, RenderedApps};
pub use assemble::{AGENT_NAMESPACE, AssembleError, Assembled, LeftOut, LeftOutCause, assemble};
pub use cluster::{AppDecision, ClusterInput, ClusterPlan, Deletions, HeldChange, VoidApproval, WITHDRAWAL_LIMIT, plan_cluster};
pub use difference::{AppDifference, difference};
pub use gate::{Gate, Lag};
pub use memory::{Leftover, MEMORY_VERSION, Memory};
pub use progress::{PROGRESS_VERSION, Progress, RolloutState};
pub use rollout::{Heard, Member, Permission, RolloutInput, RolloutPlan, advance};
pub use stored::InvalidStored;
pub use wanted::{Gone, Wanted, WantedApp, WantedRelease, WantedTest, claims};
