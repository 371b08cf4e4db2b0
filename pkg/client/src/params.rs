//! Options of calls, each only as far as our own controllers and tools need it.

use serde_json::Value;

/// Options of a list.
#[derive(Debug, Clone, Default)]
pub struct ListParams {
    /// Label selector.
    pub label_selector: Option<String>,
    /// Field selector.
    pub field_selector: Option<String>,
    /// Page size; 0 for everything.
    pub limit: u32,
    /// Token of the next page.
    pub continue_token: Option<String>,
    /// Show a state that is not older than this revision.
    pub not_older_than: Option<String>,
}

/// Options of a watch. Bookmarks are always asked for.
#[derive(Debug, Clone, Default)]
pub struct WatchParams {
    /// Label selector.
    pub label_selector: Option<String>,
    /// Field selector.
    pub field_selector: Option<String>,
    /// Start after this revision; unset with `initial_events` for a consistent start.
    pub resource_version: Option<String>,
    /// Send what exists first, then a bookmark that marks its end (W-10).
    pub initial_events: bool,
    /// The server ends the stream after so many seconds.
    pub timeout_seconds: Option<u32>,
}

/// Options of a write.
#[derive(Debug, Clone, Default)]
pub struct WriteParams {
    /// Who owns the fields that are written.
    pub field_manager: Option<&'static str>,
    /// Take ownership from others (server-side apply).
    pub force: bool,
    /// Carry out everything but the storing.
    pub dry_run: bool,
    /// `Strict`, `Warn` or `Ignore`.
    pub field_validation: Option<&'static str>,
}

impl WriteParams {
    /// A write by `manager`.
    pub fn manager(manager: &'static str) -> Self {
        Self { field_manager: Some(manager), ..Self::default() }
    }
}

/// Options of a delete.
#[derive(Debug, Clone, Default)]
pub struct DeleteParams {
    /// Delete only the object with this uid.
    pub uid: Option<String>,
    /// Delete only this version of the object.
    pub resource_version: Option<String>,
    /// `Background`, `Foreground` or `Orphan`.
    pub propagation_policy: Option<&'static str>,
    /// Seconds of grace.
    pub grace_period_seconds: Option<i64>,
}

/// A change to an object.
#[derive(Debug, Clone)]
pub enum Patch<'a> {
    /// RFC 7386.
    Merge(&'a Value),
    /// RFC 6902.
    Json(&'a Value),
    /// Strategic merge, built-in kinds only.
    Strategic(&'a Value),
    /// Server-side apply.
    Apply(&'a Value),
}

impl Patch<'_> {
    pub(crate) fn content_type(&self) -> &'static str {
        match self {
            Self::Merge(_) => "application/merge-patch+json",
            Self::Json(_) => "application/json-patch+json",
            Self::Strategic(_) => "application/strategic-merge-patch+json",
            Self::Apply(_) => "application/apply-patch+yaml",
        }
    }
    pub(crate) fn body(&self) -> &Value {
        match self {
            Self::Merge(v) | Self::Json(v) | Self::Strategic(v) | Self::Apply(v) => v,
        }
    }
}
