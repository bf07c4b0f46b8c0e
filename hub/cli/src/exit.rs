//! The exit codes, which scripts rely on and which never change.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, and nothing differs.
    Ok,
    /// 1: `diff` found a difference, `status --exit-code` something that is not healthy and in sync, `refresh` a source that cannot be
    /// fetched, `build`, `template` or `render` a problem, `test` a test that failed.
    Differs,
    /// 2: wrong usage, or a failure that has no code of its own.
    Error,
    /// 4: the hub does not take the token.
    Unauthorised,
    /// 5: nothing of that name.
    NotFound,
    /// 6: the hub cannot be reached.
    Unreachable,
    /// 7: it took too long.
    TimedOut,
    /// 8: the hub understands and will not.
    Refused,
}

impl Exit {
    /// The number that the process ends with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Differs => 1,
            Self::Error => 2,
            Self::Unauthorised => 4,
            Self::NotFound => 5,
            Self::Unreachable => 6,
            Self::TimedOut => 7,
            Self::Refused => 8,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
