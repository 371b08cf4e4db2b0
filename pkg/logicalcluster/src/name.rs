//! The immutable id of a logical cluster.

use std::{fmt, sync::Arc};

use rand::RngExt as _;

/// Why a text is not the name of a logical cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the name of a logical cluster: it must match ^[a-z0-9]([a-z0-9-]{{0,61}}[a-z0-9])?$ or be `system:<name>`"
)]
pub struct NameError(pub String);

/// The immutable id of a logical cluster: `root`, `system:admin`, or 16 characters of `[a-z0-9]` drawn at random.
///
/// Cheap to clone. Contains no NUL, slash or percent sign, so it can be part of a storage key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterName(Arc<str>);

impl ClusterName {
    /// The name of the root workspace's logical cluster.
    pub const ROOT: &'static str = "root";
    /// The name of the logical cluster that requests without a `/clusters/` prefix reach.
    pub const SYSTEM_ADMIN: &'static str = "system:admin";

    /// The logical cluster of the workspace `root`.
    pub fn root() -> Self {
        Self(Arc::from(Self::ROOT))
    }

    /// The logical cluster of requests without a `/clusters/` prefix.
    pub fn system_admin() -> Self {
        Self(Arc::from(Self::SYSTEM_ADMIN))
    }

    /// Draws a new name: 16 base36 characters, the first a letter, so that it can never be read as a number.
    pub fn generate() -> Self {
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let mut rng = rand::rng();
        let text: String =
            (0..16).map(|i| char::from(ALPHABET[rng.random_range(0..if i == 0 { 26 } else { 36 })])).collect();
        Self(text.into())
    }

    /// Validates `text`.
    ///
    /// # Errors
    /// When `text` is not of the form that the type's documentation gives.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let bare = text.strip_prefix("system:").unwrap_or(text);
        if is_segment(bare) { Ok(Self(text.into())) } else { Err(NameError(text.to_owned())) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is one of the clusters whose name starts with `system:`.
    pub fn is_system(&self) -> bool {
        self.0.starts_with("system:")
    }
}

/// Whether `text` can be a workspace's name: `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`.
pub(crate) fn is_segment(text: &str) -> bool {
    let b = text.as_bytes();
    let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&b.len()) && edge(b[0]) && edge(b[b.len() - 1]) && b.iter().all(|&c| edge(c) || c == b'-')
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["root", "system:admin", "a", "a1-b", "0abc"] {
            assert!(ClusterName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "system:", "A", "a_b", "-a", "a-", "a:b", "a/b", "a%b", "a\0", "system:system:a", "*", ".."] {
            assert!(ClusterName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn generated_names_are_valid_and_differ() {
        let (a, b) = (ClusterName::generate(), ClusterName::generate());
        assert_ne!(a, b);
        assert_eq!(ClusterName::new(a.as_str()).as_ref(), Ok(&a));
        assert_eq!(a.as_str().len(), 16);
    }
}
