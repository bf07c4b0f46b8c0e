//! Why a client cannot be made or a question is not answered.

use hub_api::ErrorBody;

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The hub's address is no URL.
    #[error("\"{hub}\" is no address of a hub; write it as https://HOST:PORT")]
    BadAddress {
        /// The address as given.
        hub: String,
    },
    /// Plain HTTP to another machine.
    #[error("{hub} is plain http to another machine, where the token would be seen; use https with the hub's certificate authority")]
    Insecure {
        /// The address as given.
        hub: String,
    },
    /// `https` without an authority.
    #[error("{hub} is https and no certificate authority is given to verify it with; give the file that the hub wrote")]
    NoAuthority {
        /// The address as given.
        hub: String,
    },
    /// The authority's file holds no certificate.
    #[error("the certificate authority is no PEM certificate")]
    BadAuthority,
    /// The HTTP client refuses.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// What the hub said in an error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// The stable code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl From<ErrorBody> for Faults {
    fn from(body: ErrorBody) -> Self {
        Self { code: body.code, message: body.message, hint: body.hint }
    }
}

/// A question is not answered.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing answers at the hub's address.
    #[error("the hub at {hub} cannot be reached: {why}")]
    Unreachable {
        /// The hub's address.
        hub: String,
        /// What the system says.
        why: String,
    },
    /// Something answers and is not the hub that the authority vouches for.
    #[error("what answers at {hub} cannot prove to be the hub: {why}")]
    Untrusted {
        /// The hub's address.
        hub: String,
        /// What TLS says.
        why: String,
    },
    /// No answer in time.
    #[error("the hub at {hub} did not answer within {seconds} seconds")]
    TimedOut {
        /// The hub's address.
        hub: String,
        /// How long the client waited.
        seconds: u64,
    },
    /// The hub does not take the token (401), or has had too many wrong ones from here (429).
    #[error("{}", .0.message)]
    Unauthorised(Faults),
    /// Nothing of that name.
    #[error("{}", .0.message)]
    NotFound(Faults),
    /// The hub understands and will not.
    #[error("{}", .0.message)]
    Refused(Faults),
    /// The hub does not understand the request.
    #[error("{}", .0.message)]
    Invalid(Faults),
    /// The hub cannot answer now, or failed.
    #[error("{}", .0.message)]
    HubFailed(Faults),
    /// The answer is none of this API's.
    #[error("what answers at {hub} does not speak this API: {why}")]
    NotTheApi {
        /// The hub's address.
        hub: String,
        /// What does not fit.
        why: String,
    },
}

impl ClientError {
    /// What the hub said, if it said something.
    pub fn faults(&self) -> Option<&Faults> {
        match self {
            Self::Unauthorised(faults)
            | Self::NotFound(faults)
            | Self::Refused(faults)
            | Self::Invalid(faults)
            | Self::HubFailed(faults) => Some(faults),
            Self::Unreachable { .. } | Self::Untrusted { .. } | Self::TimedOut { .. } | Self::NotTheApi { .. } => None,
        }
    }
}
