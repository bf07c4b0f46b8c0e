//! Every answer that is no success, in one shape: status, code, message, hint.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hub_api::{ErrorBody, ErrorCode};

use crate::HubError;
use crate::routes::json;

/// A request that is not answered as asked.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    body: Box<ErrorBody>,
    retry_after: Option<Duration>,
}

impl Refusal {
    fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>, hint: &str) -> Self {
        Self { status, body: Box::new(ErrorBody::new(code.as_str(), message, Some(hint.to_owned()))), retry_after: None }
    }

    pub(crate) fn no_token() -> Self {
        let hint = "send \"Authorization: Bearer <token>\"; the capstan command takes --token-file or CAPSTAN_TOKEN";
        Self::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorised, "the request carries no token", hint)
    }

    pub(crate) fn wrong_token() -> Self {
        let hint = "take the hub's bootstrap token, or one made since; it may have been replaced";
        Self::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorised, "the hub does not know this token", hint)
    }

    pub(crate) fn forbidden(what: &str) -> Self {
        let message = format!("this token does not let its holder {what}");
        Self::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, message, "ask whoever runs the hub for a token that does")
    }

    pub(crate) fn too_many_wrong_tokens(wait: Duration) -> Self {
        let message =
            format!("too many wrong tokens came from this address; asked again in {} seconds, the hub answers", wait.as_secs() + 1);
        let hint = "stop whatever still uses the wrong token";
        Self { retry_after: Some(wait), ..Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyWrongTokens, message, hint) }
    }

    pub(crate) fn no_such_path() -> Self {
        let hint = "is the hub's address right, and is this client as new as the hub?";
        Self::new(StatusCode::NOT_FOUND, ErrorCode::NoSuchPath, "the hub has nothing at this path", hint)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let hint = "is this client as new as the hub?";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::MethodNotAllowed, "this path does not take this method", hint)
    }

    pub(crate) fn invalid(message: impl Into<String>, hint: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest, message, hint)
    }

    pub(crate) fn too_large() -> Self {
        let message = format!("the request's body is larger than {} bytes", crate::config::BODY_BYTES_LIMIT);
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::TooLarge, message, "send less at once")
    }

    pub(crate) fn overloaded() -> Self {
        let message = format!("{} requests are being answered already", crate::config::REQUESTS_LIMIT);
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Overloaded, message, "ask again in a moment");
        Self { retry_after: Some(Duration::from_secs(1)), ..refusal }
    }

    pub(crate) fn timed_out(limit: Duration) -> Self {
        let message = format!("the answer took longer than {} seconds", limit.as_secs());
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            ErrorCode::TimedOut,
            message,
            "ask again; a fetch goes on in the hub and shows under sources",
        )
    }
}

impl From<HubError> for Refusal {
    fn from(error: HubError) -> Self {
        let message = error.to_string();
        match error {
            HubError::NotFound { what, .. } => {
                let hint = format!("`capstan get {what}s` lists those there are");
                Self::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, message, &hint)
            }
            HubError::Refused { code, hint, .. } => {
                Self { status: StatusCode::CONFLICT, body: Box::new(ErrorBody::new(code, message, hint)), retry_after: None }
            }
            HubError::Cluster(reason) => {
                // What the cluster does not have is told apart from what it refuses.
                let is_absent = ["NoSuchApp", "NoSuchObject", "NoPods", "Gone"].contains(&reason.code.as_str());
                let status = if is_absent { StatusCode::NOT_FOUND } else { StatusCode::CONFLICT };
                Self { status, body: Box::new(ErrorBody::new(reason.code, message, None)), retry_after: None }
            }
            HubError::Unavailable { hint, .. } => Self {
                status: StatusCode::SERVICE_UNAVAILABLE,
                body: Box::new(ErrorBody::new(ErrorCode::Unavailable.as_str(), message, hint)),
                retry_after: None,
            },
            HubError::Internal { message } => {
                static INCIDENTS: AtomicU64 = AtomicU64::new(1);
                let incident = INCIDENTS.fetch_add(1, Ordering::Relaxed);
                tracing::error!(incident, error = message, "BUG: a request failed");
                let hint = format!("the hub's log has the cause, at incident={incident}");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal, "the hub failed", &hint)
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = json(self.status, &*self.body);
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        response
    }
}
