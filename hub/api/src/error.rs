//! The one shape of every error answer.

use serde::{Deserialize, Serialize};

use crate::API_VERSION;

/// What an error answer says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// Always [`API_VERSION`].
    pub api_version: String,
    /// Always `Error`.
    pub kind: String,
    /// CamelCase, stable: one of [`ErrorCode`]'s words, or the hub's own word for why it refuses.
    pub code: String,
    /// What is wrong, with the facts.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ErrorBody {
    /// An error of `code`.
    pub fn new(code: impl Into<String>, message: impl Into<String>, hint: Option<String>) -> Self {
        Self { api_version: API_VERSION.to_owned(), kind: "Error".to_owned(), code: code.into(), message: message.into(), hint }
    }
}

/// The codes that the web server itself gives. What the hub refuses carries a code of its own with status 409.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// 401: no token, or none that the hub knows.
    Unauthorised,
    /// 403: the token is known, and does not let its holder do this.
    Forbidden,
    /// 429: too many wrong tokens from one address.
    TooManyWrongTokens,
    /// 404: nothing of that name.
    NotFound,
    /// 404: no such path.
    NoSuchPath,
    /// 405: the path does not take the method.
    MethodNotAllowed,
    /// 400: the request cannot be understood.
    InvalidRequest,
    /// 413: the request is too large.
    TooLarge,
    /// 503: the hub cannot answer now.
    Unavailable,
    /// 503: too many requests at once.
    Overloaded,
    /// 504: the answer took too long.
    TimedOut,
    /// 500: a fault of the hub.
    Internal,
}

impl ErrorCode {
    /// The word in the body.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorised => "Unauthorised",
            Self::Forbidden => "Forbidden",
            Self::TooManyWrongTokens => "TooManyWrongTokens",
            Self::NotFound => "NotFound",
            Self::NoSuchPath => "NoSuchPath",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::InvalidRequest => "InvalidRequest",
            Self::TooLarge => "TooLarge",
            Self::Unavailable => "Unavailable",
            Self::Overloaded => "Overloaded",
            Self::TimedOut => "TimedOut",
            Self::Internal => "Internal",
        }
    }
}
