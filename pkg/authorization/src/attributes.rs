//! What a request wants to do, as far as authorization cares.

use std::fmt;

use kcp_apimachinery::{UserInfo, selectors::LabelSelector};
use serde_json::Value;

/// A question to the authorizer. Borrowed: it lives as long as the request's parts.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// Who asks.
    pub user: &'a UserInfo,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or the HTTP verb in lower
    /// case when this is about a path.
    pub verb: &'a str,
    /// The API group, empty for core.
    pub group: &'a str,
    /// The API version. No rule looks at it.
    pub version: &'a str,
    /// The plural resource.
    pub resource: &'a str,
    /// The subresource, or empty.
    pub subresource: &'a str,
    /// The object's name; empty for create (AZ-10) and for collections without `metadata.name` selector (T-05).
    pub name: &'a str,
    /// The namespace, or empty.
    pub namespace: &'a str,
    /// The path, when this is not about a resource.
    pub path: &'a str,
    /// Whether this is about a resource; otherwise about a path.
    pub is_resource: bool,
    /// Which objects are meant, as far as labels say. Only roles that are limited to some look at it; without it they
    /// grant nothing.
    pub scope: Scope<'a>,
}

/// Which objects a question is about, by their labels.
#[derive(Clone, Copy, Default)]
pub enum Scope<'a> {
    /// Not known: those of a create, or a question nobody knows more about.
    #[default]
    Unknown,
    /// Those that the label selector of a list, watch or deletecollection matches.
    Selected(&'a LabelSelector),
    /// One object, by name. The function gives its `metadata.labels`, `None` when there is no such object: it may then be
    /// read, so that a 404 can be told from a 403. It is called only when a limited role would allow the request.
    Object(&'a (dyn Fn() -> Option<Value> + Send + Sync)),
}

impl Scope<'_> {
    /// Whether all objects meant are among those that `limit` matches.
    pub(crate) fn within(&self, limit: &LabelSelector, verb: &str) -> bool {
        match self {
            Self::Unknown => false,
            Self::Selected(selector) => selector.includes(limit),
            Self::Object(labels) => labels().map_or(verb == "get", |labels| limit.matches(&labels)),
        }
    }
}

impl fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("Unknown"),
            Self::Selected(selector) => write!(f, "Selected({selector})"),
            Self::Object(_) => f.write_str("Object"),
        }
    }
}

impl<'a> Attributes<'a> {
    /// A question about a path.
    pub fn path(user: &'a UserInfo, verb: &'a str, path: &'a str) -> Self {
        Self { path, is_resource: false, ..Self::resource(user, verb, "", "") }
    }

    /// A question about a resource in all namespaces, or without any.
    pub fn resource(user: &'a UserInfo, verb: &'a str, group: &'a str, resource: &'a str) -> Self {
        Self {
            user,
            verb,
            group,
            version: "",
            resource,
            subresource: "",
            name: "",
            namespace: "",
            path: "",
            is_resource: true,
            scope: Scope::Unknown,
        }
    }

    /// The same question about one object.
    #[must_use]
    pub fn named(self, namespace: &'a str, name: &'a str) -> Self {
        Self { namespace, name, ..self }
    }
}

/// A question that owns its parts, for those that come out of a review.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnedAttributes {
    /// Who is asked about.
    pub user: UserInfo,
    /// See [`Attributes::verb`].
    pub verb: String,
    /// See [`Attributes::group`].
    pub group: String,
    /// See [`Attributes::version`].
    pub version: String,
    /// See [`Attributes::resource`].
    pub resource: String,
    /// See [`Attributes::subresource`].
    pub subresource: String,
    /// See [`Attributes::name`].
    pub name: String,
    /// See [`Attributes::namespace`].
    pub namespace: String,
    /// See [`Attributes::path`].
    pub path: String,
    /// See [`Attributes::is_resource`].
    pub is_resource: bool,
}

impl OwnedAttributes {
    /// The question, borrowed.
    pub fn borrow(&self) -> Attributes<'_> {
        Attributes {
            user: &self.user,
            verb: &self.verb,
            group: &self.group,
            version: &self.version,
            resource: &self.resource,
            subresource: &self.subresource,
            name: &self.name,
            namespace: &self.namespace,
            path: &self.path,
            is_resource: self.is_resource,
            scope: Scope::Unknown,
        }
    }
}
