//! What a call can end with besides success.

use kcp_apimachinery::{Status, status::reason};

use crate::transport::TransportError;

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused, and said why.
    #[error("{0}")]
    Status(Box<Status>),
    /// The server could not be reached, or the connection broke.
    #[error("{0}")]
    Transport(#[from] TransportError),
    /// The answer was not what the API promises.
    #[error("unexpected answer from {path}: {detail}")]
    Protocol {
        /// The path that was asked.
        path: String,
        /// What was wrong with the answer.
        detail: String,
    },
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl Error {
    /// The server's Status, if it sent one.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Status(s) => Some(s),
            Self::Transport(_) | Self::Protocol { .. } => None,
        }
    }

    fn has_reason(&self, reason: &str) -> bool {
        self.status().is_some_and(|s| s.reason == reason)
    }

    /// 404.
    pub fn is_not_found(&self) -> bool {
        self.has_reason(reason::NOT_FOUND)
    }
    /// 409 AlreadyExists.
    pub fn is_already_exists(&self) -> bool {
        self.has_reason(reason::ALREADY_EXISTS)
    }
    /// 409 Conflict.
    pub fn is_conflict(&self) -> bool {
        self.has_reason(reason::CONFLICT)
    }
    /// 403.
    pub fn is_forbidden(&self) -> bool {
        self.has_reason(reason::FORBIDDEN)
    }
    /// 410: a resourceVersion or continue token is too old.
    pub fn is_expired(&self) -> bool {
        self.status().is_some_and(|s| s.code == 410)
    }
    /// 504: the server has not reached a resourceVersion, nor does it within seconds (E-12).
    pub fn is_too_large_resource_version(&self) -> bool {
        let details = self.status().and_then(|s| s.details.as_ref());
        details.is_some_and(|d| d.causes.iter().any(|c| c.reason == "ResourceVersionTooLarge"))
    }
    /// 422.
    pub fn is_invalid(&self) -> bool {
        self.has_reason(reason::INVALID)
    }

    /// After how many seconds the server asks to be asked again (429, 503 with `Retry-After`).
    pub fn retry_after(&self) -> Option<u32> {
        let s = self.status()?;
        let seconds = s.details.as_ref().map_or(0, |d| d.retry_after_seconds);
        (s.code == 429 || seconds > 0).then_some(seconds.max(1))
    }

    /// Whether the same call may succeed later without anything being changed by the caller.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport(_) => true,
            Self::Status(s) => s.code == 429 || s.code >= 500,
            Self::Protocol { .. } => false,
        }
    }
}

/// An error and its causes in one line, each said once: many say their cause in their own text already.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        let more = e.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = e.source();
    }
    text
}

/// For a write to an object that may be gone by now: one that is gone (404) needs nothing.
///
/// # Errors
/// Every failure but 404.
pub fn gone_is_fine<T>(result: Result<T, Error>) -> Result<(), Error> {
    match result {
        Err(e) if !e.is_not_found() => Err(e),
        _ => Ok(()),
    }
}

/// For a write that holds only for the object that was seen: one that is gone (404) or has changed (409) needs nothing,
/// its event brings it back.
///
/// # Errors
/// Every failure but 404 and 409.
pub fn gone_or_changed_is_fine<T>(result: Result<T, Error>) -> Result<(), Error> {
    match result {
        Err(e) if !e.is_not_found() && !e.is_conflict() => Err(e),
        _ => Ok(()),
    }
}
