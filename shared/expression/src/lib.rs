//! The two small languages in which an app says things about its objects: places in them in jq's words ([`jq`]), and their health in CEL
//! ([`cel`]). Both are read at the hub, so that a mistake is a problem with a file and a line, and evaluated by agents. Both are for strangers'
//! text: size, depth and steps are bounded, and nothing recurses without a limit.

pub mod cel;
mod cursor;
mod health;
pub mod jq;

pub use health::{HealthExpressions, Judgement};
