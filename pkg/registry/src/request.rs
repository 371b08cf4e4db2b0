//! What a verb is asked and what it answers, independent of HTTP.
//!
//! Texts of query parameters are taken as they came; the verbs parse and refuse them, so that every entrance (HTTP,
//! in-process) refuses the same things with the same words.

use std::sync::Arc;

use bytes::Bytes;
use kcp_apimachinery::{Status, UserInfo};
use kcp_logicalcluster::ClusterName;
use kcp_storage::Revision;
use parking_lot::Mutex;

use crate::types::ResourceInfo;

/// Collects what the client is to be warned of (N-14). Shared between the gate and the verbs of one request.
#[derive(Debug, Clone, Default)]
pub struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Adds a warning unless the same one is there already.
    pub fn add(&self, text: impl Into<String>) {
        let text = text.into();
        let mut all = self.0.lock();
        if !all.contains(&text) {
            all.push(text);
        }
    }
    /// Takes all warnings out, in the order they came.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One logical cluster.
    Cluster(ClusterName),
    /// All of them: `/clusters/*`, list and watch only.
    Wildcard,
}

/// A request for a resource, after routing and authorisation.
#[derive(Debug, Clone)]
pub struct Request {
    /// The logical cluster.
    pub scope: Scope,
    /// The resource in the version of the URL.
    pub info: Arc<ResourceInfo>,
    /// The namespace of the URL, empty for none.
    pub namespace: String,
    /// The name of the URL, empty for a collection.
    pub name: String,
    /// The subresource of the URL, empty for none.
    pub subresource: String,
    /// Who asks.
    pub user: Arc<UserInfo>,
    /// Only the metadata will be shown (PartialObjectMetadata): permits wildcards over different schemas.
    pub metadata_only: bool,
    /// Where warnings go.
    pub warnings: Warnings,
}

impl Request {
    /// A request for `info` in `cluster`, by `user`, for the whole collection.
    pub fn new(cluster: ClusterName, info: Arc<ResourceInfo>, user: Arc<UserInfo>) -> Self {
        Self {
            scope: Scope::Cluster(cluster),
            info,
            namespace: String::new(),
            name: String::new(),
            subresource: String::new(),
            user,
            metadata_only: false,
            warnings: Warnings::default(),
        }
    }
    /// The same in a namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }
    /// The same for one object.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }
    /// The same for a subresource.
    #[must_use]
    pub fn at_subresource(mut self, subresource: &str) -> Self {
        subresource.clone_into(&mut self.subresource);
        self
    }
    /// The logical cluster.
    ///
    /// # Errors
    /// 405 in the wildcard.
    pub fn cluster(&self) -> Result<&ClusterName, Status> {
        match &self.scope {
            Scope::Cluster(cluster) => Ok(cluster),
            Scope::Wildcard => {
                let mut s = Status::method_not_allowed(&self.info.group_resource(), "this verb");
                s.message.push_str(" in the `*` logical cluster");
                Err(s)
            }
        }
    }
}

/// A body, as JSON.
#[derive(Debug, Clone, Default)]
pub struct Body {
    /// The JSON text. YAML is turned into JSON by the caller.
    pub json: Bytes,
    /// Keys that occurred twice in a body that was not JSON, as paths.
    pub duplicates: Vec<String>,
}

impl Body {
    /// A JSON body.
    pub fn json(json: impl Into<Bytes>) -> Self {
        Self { json: json.into(), duplicates: Vec::new() }
    }
}

impl From<&serde_json::Value> for Body {
    fn from(value: &serde_json::Value) -> Self {
        Self::json(value.to_string())
    }
}

/// The options of create, update and patch, as in the query.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// `dryRun`, every occurrence.
    pub dry_run: Vec<String>,
    /// `fieldManager`, empty when absent.
    pub field_manager: String,
    /// `fieldValidation`, empty when absent.
    pub field_validation: String,
    /// `force`, for apply.
    pub force: Option<bool>,
    /// The `User-Agent` header: what the field manager defaults to (C-10).
    pub user_agent: String,
}

/// What a PATCH body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// `application/json-patch+json`.
    Json,
    /// `application/merge-patch+json`.
    Merge,
    /// `application/strategic-merge-patch+json`.
    Strategic,
    /// `application/apply-patch+yaml` (the body as JSON).
    Apply,
}

impl PatchKind {
    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

/// The options of delete and deletecollection. Those of the body win over those of the query.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// `dryRun`, every occurrence.
    pub dry_run: Vec<String>,
    /// `propagationPolicy`, empty when absent.
    pub propagation_policy: String,
    /// `orphanDependents`.
    pub orphan_dependents: Option<bool>,
    /// `gracePeriodSeconds`.
    pub grace_period_seconds: Option<i64>,
    /// `preconditions.uid`.
    pub uid: Option<String>,
    /// `preconditions.resourceVersion`.
    pub resource_version: Option<String>,
}

/// The options of list and watch, as in the query.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// `labelSelector`.
    pub label_selector: String,
    /// `fieldSelector`.
    pub field_selector: String,
    /// `limit`; 0 for none.
    pub limit: i64,
    /// `continue`.
    pub continue_token: String,
    /// `resourceVersion`.
    pub resource_version: String,
    /// `resourceVersionMatch`.
    pub resource_version_match: String,
    /// `sendInitialEvents`.
    pub send_initial_events: Option<bool>,
    /// `allowWatchBookmarks`.
    pub allow_watch_bookmarks: bool,
}

/// The answer to a write.
#[derive(Debug, Clone)]
pub struct Written {
    /// The object in the version of the request, final JSON.
    pub object: Bytes,
    /// It was created: 201.
    pub created: bool,
}

/// The answer to a delete.
#[derive(Debug, Clone)]
pub enum Deleted {
    /// The object: it lives on for its finalizers, or its kind is one that is shown.
    Object(Bytes),
    /// It is gone.
    Status(Box<Status>),
}

/// The metadata of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListMeta {
    /// The revision that the list shows.
    pub resource_version: Revision,
    /// Where the next page starts; empty on the last page.
    pub continue_token: String,
    /// How many items are left, when that is known (L-14).
    pub remaining: Option<u64>,
}
