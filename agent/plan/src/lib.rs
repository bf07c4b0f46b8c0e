//! What an agent does next: desired × inventory × observed → an ordered list of steps, the state of every app, and why not.
//!
//! A plan leaves its executor nothing to choose. It is made anew from the whole present state whenever something changed; nothing is kept
//! between two plans but what the inventory and [`Attempts`] hold.

mod accept;
mod attempts;
mod compare;
mod excluded;
mod governed;
mod guardrail;
mod hook;
mod ignored;
mod inventory;
mod observed;
mod order;
mod owners;
mod ownership;
mod place;
mod plan;
mod prune;
mod queued;
mod rehearsal;
mod removal;
mod replace;
mod testing;
mod tracking;

pub use agent_health::{End, Ending};

pub use accept::{IndexRefusal, Standpoint, judge_index};
pub use attempts::{Attempts, FIGHT_AFTER, RETRY_CAP};
pub use compare::{Comparison, compare, prepare};
pub use excluded::make_way;
pub use guardrail::{AccountPattern, AccountRule, Guardrail, InvalidAccountPattern, InvalidKindPattern, KindPattern, Pattern};
pub use inventory::{AppInventory, HookRun, HookRuns, Inventory, Owned, RemovalRuns, TestEnd, TestRuns};
pub use observed::{Compared, KindState, Kinds, Observed, Present};
pub use ownership::{Holder, field_name, fingerprint, given_up, holder, kept, kept_by, take_over};
pub use plan::{AppPlan, Desired, DesiredApp, ForgetCause, Input, Plan, Planning, Step, StepKind, plan};
pub use prune::PrunePermit;
pub use removal::DesiredRemoval;
pub use replace::replaceable;
pub use testing::TestNote;
pub use tracking::{TRACKING_ANNOTATION, Tracking};
