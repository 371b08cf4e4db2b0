//! Label and field selectors (S-01, S-02): the one parser and the one matcher for both.
//!
//! Texts of errors are those of Kubernetes, because clients show them. A parsed selector is immutable and cheap to
//! match: no allocation per object.

mod field;
mod label;
mod lexer;

pub use field::{FieldOperator, FieldRequirement, FieldSelector};
pub use label::{LabelOperator, LabelRequirement, LabelSelector};

/// Why a text or an object is no selector. The message is the one Kubernetes gives; it goes into a 400 (E-13).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub String);
