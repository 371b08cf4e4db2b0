//! Identities of API types. The core group is the empty string, as on the wire.

use std::{cmp::Ordering, fmt};

macro_rules! fields {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident),+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name { $($(#[$fdoc])* pub $field: String),+ }
        impl $name {
            /// Puts the parts together; they are not validated.
            pub fn new($($field: impl Into<String>),+) -> Self { Self { $($field: $field.into()),+ } }
        }
    };
}

fields!(/// An API group and one of its versions.
    GroupVersion { /// The group, empty for core.
        group, /// The version, such as `v1beta1`.
        version });
fields!(/// A kind, whatever its version.
    GroupKind { /// The group, empty for core.
        group, /// The kind, such as `Deployment`.
        kind });
fields!(/// A resource, whatever its version: what a storage key starts with.
    GroupResource { /// The group, empty for core.
        group, /// The plural, such as `deployments`.
        resource });
fields!(/// A kind in one version.
    GroupVersionKind { /// The group, empty for core.
        group, /// The version.
        version, /// The kind.
        kind });
fields!(/// A resource in one version: what a URL names.
    GroupVersionResource { /// The group, empty for core.
        group, /// The version.
        version, /// The plural.
        resource });

impl GroupVersion {
    /// Parses `v1` or `apps/v1`; `None` when there is more than one slash or nothing at all.
    pub fn parse(api_version: &str) -> Option<Self> {
        match api_version.split_once('/') {
            None if api_version.is_empty() => None,
            None => Some(Self::new("", api_version)),
            Some((g, v)) if !g.is_empty() && !v.is_empty() && !v.contains('/') => Some(Self::new(g, v)),
            Some(_) => None,
        }
    }
}

impl fmt::Display for GroupVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(&self.version) } else { write!(f, "{}/{}", self.group, self.version) }
    }
}

/// `deployments.apps`, or `configmaps` in the core group: the form of error messages and CRD names.
impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        dotted(f, &self.resource, &self.group)
    }
}

/// `Deployment.apps`, or `ConfigMap` in the core group.
impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        dotted(f, &self.kind, &self.group)
    }
}

/// `apps/v1, Kind=Deployment`.
impl fmt::Display for GroupVersionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, Kind={}", self.group_version(), self.kind)
    }
}

/// `apps/v1, Resource=deployments`.
impl fmt::Display for GroupVersionResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, Resource={}", self.group_version(), self.resource)
    }
}

fn dotted(f: &mut fmt::Formatter<'_>, first: &str, group: &str) -> fmt::Result {
    if group.is_empty() { f.write_str(first) } else { write!(f, "{first}.{group}") }
}

impl GroupVersionKind {
    /// Without the kind.
    pub fn group_version(&self) -> GroupVersion {
        GroupVersion::new(&self.group, &self.version)
    }
    /// Without the version.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(&self.group, &self.kind)
    }
    /// The `apiVersion` of an object of this kind.
    pub fn api_version(&self) -> String {
        self.group_version().to_string()
    }
}

impl GroupVersionResource {
    /// Without the resource.
    pub fn group_version(&self) -> GroupVersion {
        GroupVersion::new(&self.group, &self.version)
    }
    /// Without the version.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(&self.group, &self.resource)
    }
}

/// Kubernetes-aware order of versions, the preferred one first: GA before beta before alpha, higher numbers first,
/// anything else after them in alphabetical order (D-08).
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    fn parse(v: &str) -> Option<(u8, u64, u64)> {
        let rest = v.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: u64 = rest[..digits].parse().ok()?;
        let tail = &rest[digits..];
        if tail.is_empty() {
            return Some((2, major, 0));
        }
        let (rank, number) = match (tail.strip_prefix("beta"), tail.strip_prefix("alpha")) {
            (Some(n), _) => (1, n),
            (_, Some(n)) => (0, n),
            _ => return None,
        };
        Some((rank, major, number.parse().ok()?))
    }
    match (parse(a), parse(b)) {
        (Some(x), Some(y)) => y.cmp(&x),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_order() {
        let mut v = vec!["foo1", "v1alpha1", "v2", "v10beta3", "v1", "v3beta1", "foo10", "v11alpha2", "v12alpha1"];
        v.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(v, ["v2", "v1", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "v1alpha1", "foo1", "foo10"]);
    }

    #[test]
    fn group_versions_are_parsed() {
        assert_eq!(GroupVersion::parse("v1"), Some(GroupVersion::new("", "v1")));
        assert_eq!(GroupVersion::parse("apps/v1"), Some(GroupVersion::new("apps", "v1")));
        for bad in ["", "/", "a/", "/v1", "a/b/c"] {
            assert_eq!(GroupVersion::parse(bad), None, "{bad}");
        }
    }
}
