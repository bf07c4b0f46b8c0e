//! Why a command did not succeed, as people read it: whose fault, what, and what to do.

use std::fmt;

use hub_client::{ClientError, InvalidToken, SetUpError};

use crate::Exit;
use crate::text::plain;

/// A command that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Whose fault: the word before the colon.
    fault: &'static str,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// The person asked for something that cannot be.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::Error, fault: "error", message: message.into(), hint: Some(hint.into()) }
    }

    /// This machine does not do what it should.
    pub(crate) fn local(message: impl Into<String>) -> Self {
        Self { exit: Exit::Error, fault: "error", message: message.into(), hint: None }
    }

    /// Nothing of that name.
    pub(crate) fn not_found(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::NotFound, fault: "not found", message: message.into(), hint: Some(hint.into()) }
    }

    /// It took too long.
    pub(crate) fn timed_out(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::TimedOut, fault: "timed out", message: message.into(), hint: Some(hint.into()) }
    }

    /// It began well and did not come to its end.
    pub(crate) fn cut_short(message: impl Into<String>) -> Self {
        Self { exit: Exit::Error, fault: "cut short", message: message.into(), hint: None }
    }

    /// It is not permitted.
    pub(crate) fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, fault: "refused", message: message.into(), hint: Some(hint.into()) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.fault, plain(&self.message))?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {}", plain(hint)),
            None => Ok(()),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let late = error.faults().is_some_and(|faults| faults.code == hub_api::ErrorCode::TimedOut.as_str());
        let (exit, fault) = match &error {
            ClientError::Unauthorised(_) => (Exit::Unauthorised, "not authorised"),
            ClientError::NotFound(_) => (Exit::NotFound, "not found"),
            ClientError::Refused(_) => (Exit::Refused, "refused"),
            ClientError::Invalid(_) => (Exit::Error, "error"),
            ClientError::HubFailed(_) if late => (Exit::TimedOut, "timed out"),
            ClientError::HubFailed(_) | ClientError::NotTheApi { .. } => (Exit::Error, "hub error"),
            ClientError::Unreachable { .. } | ClientError::Untrusted { .. } => (Exit::Unreachable, "unreachable"),
            ClientError::TimedOut { .. } => (Exit::TimedOut, "timed out"),
        };
        let hint = match &error {
            ClientError::Unreachable { .. } => Some("is the hub running, and is its address (--hub, CAPSTAN_HUB) right?".to_owned()),
            ClientError::Untrusted { .. } => Some("give the certificate authority of this hub with --ca-file".to_owned()),
            ClientError::NotTheApi { .. } => Some("is the address the hub's API, and is this command as new as the hub?".to_owned()),
            ClientError::TimedOut { .. } => Some("`capstan get sources` shows what the hub is waiting for".to_owned()),
            _ => error.faults().and_then(|faults| faults.hint.clone()),
        };
        let message = match error.faults() {
            // The hub's own word for why it refuses is what scripts and documents name.
            Some(faults) if exit == Exit::Refused => format!("{}: {}", faults.code, faults.message),
            _ => error.to_string(),
        };
        Self { exit, fault, message, hint }
    }
}

impl From<SetUpError> for Failure {
    fn from(error: SetUpError) -> Self {
        let hint = match &error {
            SetUpError::BadAddress { .. } | SetUpError::Insecure { .. } => "set --hub or CAPSTAN_HUB",
            SetUpError::NoAuthority { .. } | SetUpError::BadAuthority => "set --ca-file or CAPSTAN_CA_FILE",
            SetUpError::Client(_) => "report this with the hub's address",
        };
        Self::usage(error.to_string(), hint)
    }
}

impl From<InvalidToken> for Failure {
    fn from(error: InvalidToken) -> Self {
        Self::usage(error.to_string(), "set --token-file to the file that the hub wrote, or CAPSTAN_TOKEN to its content")
    }
}
