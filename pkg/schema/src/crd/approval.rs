//! The approval policy of Kubernetes' own API groups (CRD-15).

use kcp_apimachinery::object::annotation;
use kcp_apimachinery::{FieldError, FieldErrors, FieldPath};
use serde_json::Value;

use super::view::text;

/// The annotation that names where an API was approved.
pub const ANNOTATION: &str = "api-approved.kubernetes.io";
const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// What the annotation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// There is none.
    Missing,
    /// A URL.
    Approved,
    /// A reason that begins with `unapproved`.
    Bypassed,
    /// Anything else.
    Invalid,
}

/// Whether CRDs of a group need approval.
pub fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|owner| group == *owner || group.strip_suffix(owner).is_some_and(|rest| rest.ends_with('.')))
}

/// The state of a CRD's approval and the sentence about it.
pub fn state(crd: &Value) -> (Approval, String) {
    let given = annotation(crd, ANNOTATION).unwrap_or_default();
    let url = given.split_once("://").is_some_and(|(scheme, rest)| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        !scheme.is_empty() && !host.is_empty() && !given.contains(char::is_whitespace)
    });
    if given.is_empty() {
        (Approval::Missing, format!("protected groups must have approval annotation {ANNOTATION:?}, {SEE}"))
    } else if given.starts_with("unapproved") {
        (Approval::Bypassed, format!("not approved: {given:?}"))
    } else if url {
        (Approval::Approved, format!("approved in {given}"))
    } else {
        let either = "with either a URL or a reason starting with \"unapproved\"";
        (Approval::Invalid, format!("protected groups must have approval annotation {ANNOTATION:?} {either}, {SEE}"))
    }
}

/// Refuses CRDs of protected groups without a valid annotation; an unchanged state is tolerated.
pub(crate) fn validate(new: &Value, old: Option<&Value>) -> FieldErrors {
    let group = new.get("spec").map(|spec| text(spec, "group")).unwrap_or_default();
    if !is_protected(group) {
        return Vec::new();
    }
    let (approval, reason) = state(new);
    if old.is_some_and(|old| state(old).0 == approval) {
        return Vec::new();
    }
    let path = FieldPath::new("metadata").child("annotations").key(ANNOTATION);
    match approval {
        Approval::Missing => vec![FieldError::required(&path, &reason)],
        Approval::Invalid => {
            vec![FieldError::invalid(&path, annotation(new, ANNOTATION).unwrap_or_default(), &reason)]
        }
        Approval::Approved | Approval::Bypassed => Vec::new(),
    }
}
