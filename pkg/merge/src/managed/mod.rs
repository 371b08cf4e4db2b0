//! Who owns which field: `metadata.managedFields` and server-side apply.
//!
//! Every write names a manager. Creating, updating and patching make the manager own what it changed
//! ([`track_update`]); applying makes it own what it sent, takes away what it no longer sends, and refuses to change
//! what others own ([`apply`]). Entries of other versions of the type are kept: versions differ in their name
//! only, so a field is the same field in all of them (F-11).
//!
//! The caller parses and decodes, calls one of the two, defaults and validates the result, and before it stores
//! it asks [`settle`] whether there is anything to store.

mod apply;
mod check;
mod compare;
mod conflict;
mod element;
mod entries;
mod fields;
pub mod fields_v1;
mod items;
mod last_applied;
mod noop;
mod overlay;
mod remove;
mod scale;
mod set;
#[cfg(test)]
pub(crate) mod tests;
mod update;

pub use apply::{apply, check_type};
pub use element::{Element, Scalar};
pub use noop::{equal_ignoring_managed_times, settle};
pub use scale::scale_configuration;
pub use set::FieldSet;
pub use update::track_update;

use std::borrow::Cow;

use kcp_apimachinery::object::Object;
use serde_json::Value;

/// The field that all of this is about.
const MANAGED_FIELDS: &str = "managedFields";

/// Who writes, how and when.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// The field manager; empty means `unknown`. The caller takes it from the request or the user agent (C-10).
    pub manager: &'a str,
    /// The apiVersion of the endpoint.
    pub api_version: &'a str,
    /// The subresource of the endpoint; empty for the object itself.
    pub subresource: &'a str,
    /// The time of the write, RFC 3339 in UTC with whole seconds.
    pub now: &'a str,
}

impl<'a> Writer<'a> {
    /// The manager as it is recorded.
    fn name(&self) -> &'a str {
        if self.manager.is_empty() { "unknown" } else { self.manager }
    }
}

/// The fields that an endpoint resets, so that its writers never own them (F-10), and the versions of the type.
#[derive(Debug, Clone, Default)]
pub struct ResetFields {
    paths: Vec<Vec<Box<str>>>,
    versions: Vec<Box<str>>,
}

impl ResetFields {
    /// Nothing is reset.
    pub const fn none() -> Self {
        Self { paths: Vec::new(), versions: Vec::new() }
    }

    /// Resets these fields and all below them; a path is names separated by dots: `status`, `metadata.labels`.
    pub fn new<S: AsRef<str>>(paths: impl IntoIterator<Item = S>) -> Self {
        let split = |path: S| path.as_ref().split('.').map(Box::from).collect();
        Self { paths: paths.into_iter().map(split).collect(), versions: Vec::new() }
    }

    /// Says which apiVersions the type is served in. Entries of other versions are dropped at the next write
    /// (F-11); without this all are kept.
    #[must_use]
    pub fn with_versions<S: AsRef<str>>(mut self, versions: impl IntoIterator<Item = S>) -> Self {
        self.versions = versions.into_iter().map(|v| Box::from(v.as_ref())).collect();
        self
    }

    fn set(&self) -> FieldSet<'_> {
        let mut set = FieldSet::new();
        for path in &self.paths {
            set.insert(path.iter().map(|name| Element::Field(Cow::Borrowed(name.as_ref()))));
        }
        set
    }

    fn serves(&self, api_version: &str) -> bool {
        self.versions.is_empty() || self.versions.iter().any(|v| **v == *api_version)
    }
}

/// The fields that nobody owns (F-09).
fn strip(set: &mut FieldSet<'_>) {
    const META: [&str; 9] = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        MANAGED_FIELDS,
        "resourceVersion",
    ];
    set.nodes_mut().retain_mut(|node| {
        let Element::Field(name) = &node.element else { return true };
        match name.as_ref() {
            "apiVersion" | "kind" => node.member = false,
            "metadata" => {
                node.member = false;
                node.children.nodes_mut().retain_mut(|below| {
                    if matches!(&below.element, Element::Field(name) if META.contains(&name.as_ref())) {
                        below.member = false;
                    }
                    below.member || !below.children.is_empty()
                });
            }
            _ => {}
        }
        node.member || !node.children.is_empty()
    });
}

/// `metadata.managedFields` of an object.
fn managed_fields(object: &Value) -> Option<&Value> {
    object.get("metadata")?.get(MANAGED_FIELDS)
}

fn meta_mut(object: &mut Value) -> Option<&mut Object> {
    object.get_mut("metadata").and_then(Value::as_object_mut)
}

/// Takes `metadata.managedFields` out of an object.
fn take_managed_fields(object: &mut Value) -> Option<Value> {
    meta_mut(object)?.remove(MANAGED_FIELDS)
}

fn put_managed_fields(object: &mut Value, list: Option<Value>) {
    if let (Some(meta), Some(list)) = (meta_mut(object), list) {
        meta.insert(MANAGED_FIELDS.to_owned(), list);
    }
}
