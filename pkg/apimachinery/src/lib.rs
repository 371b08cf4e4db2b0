//! The words of the Kubernetes API: identities of types, objects, users, errors, selectors, tables and times.
//!
//! Layer 0: no I/O. The clock is read only in [`time::Timestamp::now`].

pub mod field;
pub mod gvk;
pub mod jsonpath;
pub mod names;
pub mod object;
pub mod quantity;
pub mod selectors;
pub mod status;
pub mod table;
pub mod time;
pub mod user;
pub mod validation;

pub use field::{FieldError, FieldErrorKind, FieldErrors, FieldPath};
pub use gvk::{GroupKind, GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
pub use status::{Cause, Reason, Status, StatusDetails};
pub use user::UserInfo;
