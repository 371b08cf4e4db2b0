//! What a request wants to do, as far as authorization cares.

use kcp_apimachinery::UserInfo;

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
        }
    }
}
