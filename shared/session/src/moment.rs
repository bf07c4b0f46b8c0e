//! The time as a session is told it.

use std::time::Duration;

use shared_model::Timestamp;

/// A moment on both clocks: one that never jumps for waiting, one for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Time since an origin of the caller's choosing; never goes back.
    pub uptime: Duration,
    /// The wall clock; may jump, nothing is decided by it.
    pub wall: Timestamp,
}
