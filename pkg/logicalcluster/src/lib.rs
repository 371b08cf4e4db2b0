//! Logical clusters: their immutable ids, the paths people use, and the one parser for both.
//!
//! A *logical cluster* is one Kubernetes API server among many in this process. Its [`ClusterName`] is immutable and
//! is what storage keys, RBAC and tokens contain. A workspace *path* such as `root:org:team` is what people type; the
//! map from path to name is an index kept elsewhere. [`ClusterRef::parse`] is the only way from text to either.

mod name;
mod path;

pub use name::{ClusterName, NameError};
pub use path::{ClusterPath, ClusterRef, PathError};
