//! Schemas of Kubernetes objects: compiling, pruning, defaulting and validating, and the rules for
//! CustomResourceDefinitions.
//!
//! Layer 1: pure functions of JSON trees, no I/O and no clock. A [`Schema`] is compiled once from the
//! `openAPIV3Schema` of a CRD version or from the OpenAPI document of built-in types, is immutable afterwards
//! and is shared by `Arc`. Navigation goes through [`NodeRef`], a `Copy` handle.
//!
//! Inputs are hostile: every walk is bounded by [`node::MAX_DEPTH`], nothing panics on any JSON value.

pub mod compat;
pub mod compile;
pub mod crd;
mod default;
pub mod mismatch;
pub mod node;
pub mod numbers;
pub mod openapi;
pub mod path;
mod prune;
pub mod scale;
#[cfg(test)]
mod tests;
mod validate;
mod zero;

pub use compile::Builtins;
pub use mismatch::Mismatch;
pub use node::{ListType, NodeRef, PatchStrategy, Schema, ValueKind};
pub use path::{SelectableField, SimplePath};
pub use scale::ScalePaths;
pub use zero::Zero;
