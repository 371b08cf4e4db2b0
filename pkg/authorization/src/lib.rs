//! Role-based access control: the decision, its reason, and the rules around changing the rules.
//!
//! Pure: no I/O, no clock. A [`RbacIndex`] is compiled from the roles and bindings of one logical cluster over a
//! [`Layer`] of bootstrap policy that all clusters share; it answers who may do what in time proportional to the
//! bindings of the user who asks, whatever others the cluster has. It is immutable: a change makes a new one.
//!
//! A role may be limited to objects with certain labels by an annotation
//! ([`REQUIRED_SELECTOR_ANNOTATION`](kcp_apis::workload::REQUIRED_SELECTOR_ANNOTATION)): see [`Scope`].
//!
//! Texts that clients see (reasons, refusals, validation) are those of Kubernetes.

mod aggregate;
mod attributes;
mod escalation;
mod forbidden;
mod index;
mod layer;
pub mod review;
mod rule;

pub use aggregate::aggregate;
pub use attributes::{Attributes, OwnedAttributes, Scope};
pub use forbidden::{forbidden, forbidden_message};
pub use index::{Decision, RbacIndex, Reason, UserRules};
pub use layer::Layer;
pub use rule::PolicyRule;

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// Whether `user` is in the group that no authorizer stops.
pub fn is_superuser(user: &kcp_apimachinery::UserInfo) -> bool {
    user.in_group(kcp_apimachinery::user::MASTERS)
}
