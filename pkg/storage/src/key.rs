//! Keys and prefixes: built from validated parts only, each part closed by a terminator that no part can contain.
//!
//! The text of a key is `<resource>.<group> NUL <cluster> NUL <namespace> NUL <name> NUL`; the group of the core API
//! is empty (`configmaps.`), so is the namespace of a cluster-scoped object. Because every prefix ends at a terminator,
//! the prefix of `a` never matches anything of `a1`, and there is no text that a caller could smuggle in to leave its
//! own range. Keys order by resource, cluster, namespace and name (L-15).

use std::{borrow::Borrow, fmt, ops::Bound, sync::Arc};

use kcp_apimachinery::GroupResource;
use kcp_logicalcluster::ClusterName;

/// Longest allowed part of a key, in bytes.
const MAX_PART: usize = 512;
/// Closes every part.
const NUL: &str = "\0";

/// Why a key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A part that must not be empty is.
    #[error("the {0} of a key may not be empty")]
    Empty(&'static str),
    /// A part holds a character that no key may hold, or is `.` or `..`.
    #[error("{1:?} cannot be the {0} of a key")]
    Illegal(&'static str, String),
    /// A part is longer than 512 bytes.
    #[error("the {0} of a key may have at most 512 bytes, not {1}")]
    TooLong(&'static str, usize),
    /// A stored key is not of the form that this module writes.
    #[error("not the text of a key: {0:?}")]
    Malformed(String),
}

/// The name of one object in the store. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

/// What a [`Key`] consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyParts<'a> {
    /// The API group, empty for core.
    pub group: &'a str,
    /// The resource's plural.
    pub resource: &'a str,
    /// The logical cluster.
    pub cluster: &'a str,
    /// The namespace, empty for a cluster-scoped object.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
}

impl Key {
    /// The key of an object; `namespace` is empty for a cluster-scoped one.
    ///
    /// # Errors
    /// When a part is empty that must not be, is too long, or holds NUL, another control character, `/` or `%`, or
    /// is `.` or `..`.
    pub fn object(
        resource: &GroupResource,
        cluster: &ClusterName,
        namespace: &str,
        name: &str,
    ) -> Result<Self, KeyError> {
        check_resource(resource)?;
        check("cluster", cluster.as_str())?;
        if !namespace.is_empty() {
            check("namespace", namespace)?;
        }
        check("name", name)?;
        let GroupResource { group, resource } = resource;
        Ok(Self(text(&[resource, ".", group, NUL, cluster.as_str(), NUL, namespace, NUL, name, NUL])))
    }

    /// Reads back what [`Key::as_str`] gave, with the same checks as [`Key::object`].
    ///
    /// # Errors
    /// When the text is not that of a key.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed(text.to_owned());
        let mut fields = text.split('\0');
        let (Some(typed), Some(cluster), Some(namespace), Some(name), Some(""), None) =
            (fields.next(), fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(malformed());
        };
        let (resource, group) = typed.split_once('.').ok_or_else(malformed)?;
        let cluster = ClusterName::new(cluster).map_err(|_| malformed())?;
        let key = Self::object(&GroupResource::new(group, resource), &cluster, namespace, name)?;
        if &*key.0 == text { Ok(key) } else { Err(malformed()) }
    }

    /// The key's text, terminators included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same key in memory of its own.
    pub(crate) fn copied(&self) -> Self {
        Self(Arc::from(self.as_str()))
    }

    /// The parts it was built from.
    pub fn parts(&self) -> KeyParts<'_> {
        let mut fields = self.0.split('\0');
        let mut next = || fields.next().unwrap_or_default();
        let (typed, cluster, namespace, name) = (next(), next(), next(), next());
        let (resource, group) = typed.split_once('.').unwrap_or((typed, ""));
        KeyParts { group, resource, cluster, namespace, name }
    }

    /// Whether the key lies in the range that `prefix` names.
    pub fn starts_with(&self, prefix: &Prefix) -> bool {
        self.0.starts_with(&*prefix.0)
    }

    /// The text of every prefix that the key lies in, from all keys down to the key itself.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = &str> {
        let ends = self.0.bytes().enumerate().filter(|&(_, b)| b == 0).map(|(at, _)| at + 1);
        std::iter::once(0).chain(ends).map(|end| &self.0[..end])
    }

    /// The text of the prefix of its resource.
    pub(crate) fn resource_prefix(&self) -> &str {
        self.0.split_inclusive('\0').next().unwrap_or_default()
    }
}

/// A contiguous range of keys: all of them, a resource's, or a resource's in one logical cluster, one namespace, or
/// one object. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix(Arc<str>);

impl Prefix {
    /// Every key.
    pub fn all() -> Self {
        Self("".into())
    }

    /// A resource in all logical clusters.
    ///
    /// # Errors
    /// As [`Key::object`].
    pub fn resource(resource: &GroupResource) -> Result<Self, KeyError> {
        check_resource(resource)?;
        Ok(Self(text(&[&resource.resource, ".", &resource.group, NUL])))
    }

    /// A resource in one logical cluster, whatever the namespace.
    ///
    /// # Errors
    /// As [`Key::object`].
    pub fn cluster(resource: &GroupResource, cluster: &ClusterName) -> Result<Self, KeyError> {
        check_resource(resource)?;
        Ok(Self(text(&[&resource.resource, ".", &resource.group, NUL, cluster.as_str(), NUL])))
    }

    /// A resource in one namespace of one logical cluster; the empty namespace holds the cluster-scoped objects.
    ///
    /// # Errors
    /// As [`Key::object`].
    pub fn namespace(resource: &GroupResource, cluster: &ClusterName, namespace: &str) -> Result<Self, KeyError> {
        check_resource(resource)?;
        if !namespace.is_empty() {
            check("namespace", namespace)?;
        }
        Ok(Self(text(&[&resource.resource, ".", &resource.group, NUL, cluster.as_str(), NUL, namespace, NUL])))
    }

    /// One object.
    pub fn object(key: &Key) -> Self {
        Self(Arc::clone(&key.0))
    }

    /// The prefix's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The text of the prefix of the resource that it lies in; `None` for all keys.
    pub(crate) fn resource_prefix(&self) -> Option<&str> {
        self.0.split_inclusive('\0').next()
    }
}

/// The keys of a prefix, as bounds. `end` is memory for the upper one.
///
/// A prefix ends with NUL, so the first text beyond it is the same with U+0001 in that place.
pub(crate) fn bounds<'a>(
    prefix: &'a str,
    after: Option<&'a Key>,
    end: &'a mut String,
) -> (Bound<&'a str>, Bound<&'a str>) {
    let lower = match after {
        Some(key) if key.as_str() >= prefix => Bound::Excluded(key.as_str()),
        _ => Bound::Included(prefix),
    };
    if prefix.is_empty() {
        return (lower, Bound::Unbounded);
    }
    end.clear();
    end.push_str(&prefix[..prefix.len() - 1]);
    end.push('\u{1}');
    // A start beyond the end is an empty range, which ordered maps refuse to be asked for.
    match lower {
        Bound::Excluded(start) if start >= end.as_str() => {
            (Bound::Included(end.as_str()), Bound::Excluded(end.as_str()))
        }
        _ => (lower, Bound::Excluded(end.as_str())),
    }
}

/// The text of a key, made with every request several times.
fn text(parts: &[&str]) -> Arc<str> {
    parts.concat().into()
}

fn check_resource(resource: &GroupResource) -> Result<(), KeyError> {
    check("resource", &resource.resource)?;
    if resource.resource.contains('.') {
        return Err(KeyError::Illegal("resource", resource.resource.clone()));
    }
    if resource.group.is_empty() { Ok(()) } else { check("group", &resource.group) }
}

fn check(what: &'static str, part: &str) -> Result<(), KeyError> {
    if part.is_empty() {
        return Err(KeyError::Empty(what));
    }
    if part.len() > MAX_PART {
        return Err(KeyError::TooLong(what, part.len()));
    }
    let illegal = |c: char| c == '/' || c == '%' || c.is_control();
    let illegal = if part.is_ascii() { part.bytes().any(|b| illegal(b.into())) } else { part.chars().any(illegal) };
    let illegal = illegal || part == "." || part == "..";
    if illegal { Err(KeyError::Illegal(what, part.to_owned())) } else { Ok(()) }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// For people: the parts with slashes between, as in `configmaps./root/default/a`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        readable(f, self.0.strip_suffix('\0').unwrap_or(&self.0))
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        readable(f, &self.0)
    }
}

fn readable(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.chars().try_for_each(|c| fmt::Write::write_char(f, if c == '\0' { '/' } else { c }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gr(text: &str) -> GroupResource {
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        GroupResource::new(group, resource)
    }

    fn key(resource: &str, cluster: &str, namespace: &str, name: &str) -> Key {
        Key::object(&gr(resource), &ClusterName::new(cluster).unwrap(), namespace, name).unwrap()
    }

    #[test]
    fn keys_come_apart_as_they_were_put_together() {
        for (resource, cluster, namespace, name) in [
            ("configmaps", "root", "default", "a"),
            ("deployments.apps", "system:admin", "ns-1", "a.b-c_d"),
            ("clusterroles.rbac.authorization.k8s.io", "root", "", "system:controller:x"),
        ] {
            let key = key(resource, cluster, namespace, name);
            let parts = key.parts();
            let got = (GroupResource::new(parts.group, parts.resource), parts.cluster, parts.namespace, parts.name);
            assert_eq!(got, (gr(resource), cluster, namespace, name));
            assert_eq!(Key::from_text(key.as_str()), Ok(key));
        }
    }

    #[test]
    fn parts_that_could_leave_their_range_are_refused() {
        let root = ClusterName::root();
        for bad in ["", ".", "..", "a/b", "a%2fb", "a\0b", "a\nb", "\u{7f}"] {
            assert!(Key::object(&gr("configmaps"), &root, "default", bad).is_err(), "name {bad:?}");
            assert!(Key::object(&GroupResource::new("", bad), &root, "default", "a").is_err(), "resource {bad:?}");
            if !bad.is_empty() {
                assert!(Key::object(&gr("configmaps"), &root, bad, "a").is_err(), "namespace {bad:?}");
                assert!(Prefix::namespace(&gr("configmaps"), &root, bad).is_err(), "namespace {bad:?}");
                assert!(Prefix::resource(&GroupResource::new(bad, "configmaps")).is_err(), "group {bad:?}");
            }
        }
        assert!(
            Key::object(&GroupResource::new("", "a.b"), &root, "", "a").is_err(),
            "a dot would move into the group"
        );
        assert!(Key::object(&gr("configmaps"), &root, "", &"a".repeat(513)).is_err());
        for bad in
            ["", "a", "configmaps.\0root\0\0a", "configmaps.\0root\0\0a\0\0", "configmaps\0root\0\0a\0", "a.\0A\0\0a\0"]
        {
            assert!(Key::from_text(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_prefix_never_matches_a_longer_name() {
        let root = ClusterName::root();
        let a = key("configmaps", "root", "a", "x");
        let a1 = key("configmaps", "root", "a1", "x");
        let prefix = Prefix::namespace(&gr("configmaps"), &root, "a").unwrap();
        assert!(a.starts_with(&prefix) && !a1.starts_with(&prefix));
        assert!(!key("configmaps", "root", "a", "x1").starts_with(&Prefix::object(&a)));
        let cluster = Prefix::cluster(&gr("configmaps"), &ClusterName::new("a").unwrap()).unwrap();
        assert!(!key("configmaps", "a1", "", "x").starts_with(&cluster));
        assert!(!key("configmaps.x", "a", "", "x").starts_with(&cluster));
        assert_eq!(
            a.prefixes().collect::<Vec<_>>(),
            ["", "configmaps.\0", "configmaps.\0root\0", "configmaps.\0root\0a\0", "configmaps.\0root\0a\0x\0"]
        );
    }

    #[test]
    fn order_is_by_namespace_then_name() {
        let mut keys = [
            key("configmaps", "root", "a1", "a"),
            key("configmaps", "root", "a", "b"),
            key("configmaps", "root", "a", "a-b"),
            key("configmaps", "root", "a", "a.b"),
            key("configmaps", "root", "a", "a"),
            key("configmaps", "root", "a-b", "a"),
        ];
        keys.sort();
        let order: Vec<_> = keys.iter().map(|k| (k.parts().namespace, k.parts().name)).collect();
        assert_eq!(order, [("a", "a"), ("a", "a-b"), ("a", "a.b"), ("a", "b"), ("a-b", "a"), ("a1", "a")]);
    }
}
