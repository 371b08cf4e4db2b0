//! Workspace paths, and the one parser for what stands after `/clusters/`.

use std::fmt;

use crate::name::{ClusterName, is_segment};

/// Why a text is not a reference to a logical cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid cluster: {0:?} does not match the regex")]
pub struct PathError(pub String);

/// A workspace path such as `root:org:team`: one or more segments joined by colons.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterPath(String);

impl ClusterPath {
    /// The path `root`.
    pub fn root() -> Self {
        Self("root".to_owned())
    }

    /// Validates `text`: segments of `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`, joined by single colons.
    ///
    /// # Errors
    /// When it is empty or a segment is not of that form.
    pub fn new(text: &str) -> Result<Self, PathError> {
        if text.split(':').all(is_segment) { Ok(Self(text.to_owned())) } else { Err(PathError(text.to_owned())) }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, outermost first.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split(':')
    }

    /// The last segment: the workspace's own name.
    pub fn base(&self) -> &str {
        self.0.rsplit(':').next().unwrap_or(&self.0)
    }

    /// The path of the parent, or `None` for a path of one segment.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once(':').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// The path of the child workspace `name`.
    ///
    /// # Errors
    /// When `name` is not a valid segment.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        if is_segment(name) { Ok(Self(format!("{}:{name}", self.0))) } else { Err(PathError(name.to_owned())) }
    }
}

impl fmt::Display for ClusterPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClusterPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What stands between `/clusters/` and the next slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterRef {
    /// `*`: all logical clusters (list and watch only).
    Wildcard,
    /// A `system:` cluster, named directly.
    System(ClusterName),
    /// A path of one or more segments. A single segment other than `root` may be a cluster's name as well as a
    /// path; who resolves it decides.
    Path(ClusterPath),
}

impl ClusterRef {
    /// Parses the text, already percent-decoded.
    ///
    /// # Errors
    /// When it is neither `*`, nor `system:<name>`, nor a path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text == "*" {
            return Ok(Self::Wildcard);
        }
        if text.starts_with("system:") {
            return ClusterName::new(text).map(Self::System).map_err(|_| PathError(text.to_owned()));
        }
        ClusterPath::new(text).map(Self::Path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_parsed() {
        assert_eq!(ClusterRef::parse("*"), Ok(ClusterRef::Wildcard));
        assert_eq!(ClusterRef::parse("system:admin"), Ok(ClusterRef::System(ClusterName::system_admin())));
        assert!(matches!(ClusterRef::parse("root:a:b"), Ok(ClusterRef::Path(p)) if p.base() == "b"));
        for bad in
            ["", ":", "root:", ":root", "root::a", "Root", "root:a/b", "root:*", "**", "system:", "a b", "..", "%2e"]
        {
            assert!(ClusterRef::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parents_and_children() {
        let p = ClusterPath::new("root:a").unwrap();
        assert_eq!(p.parent(), Some(ClusterPath::root()));
        assert_eq!(p.join("b").unwrap().as_str(), "root:a:b");
        assert!(p.join("b:c").is_err());
        assert_eq!(ClusterPath::root().parent(), None);
    }
}
