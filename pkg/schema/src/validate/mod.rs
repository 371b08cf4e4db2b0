//! Validating values (SC-07 … SC-13) with the texts of Kubernetes.
//!
//! The order of checks, what counts as a match when the best branch of an anyOf is chosen, and the empty paths of
//! some findings follow the validator that Kubernetes uses, because clients and tests read these texts.
//!
//! On update unchanged values are tolerated (ratcheting, SC-13): findings at or below a value that equals its
//! correlated old value are dropped. Values correlate by field, by key in lists of type map, by index in lists
//! without a type, and not at all inside atomic lists and sets.

pub(crate) mod check;
pub(crate) mod embedded;
pub(crate) mod formats;
pub(crate) mod golang;
mod junctors;
pub(crate) mod lists;
mod numeric;
pub(crate) mod pattern;
pub(crate) mod rules;

use kcp_apimachinery::{FieldError, FieldErrorKind, FieldErrors, FieldPath};
use serde_json::Value;

use crate::node::{Origin, Schema};

const NOT_CHECKED: &str = "some validation rules were not checked because the object was invalid; \
                           correct the existing errors to complete validation";

impl Schema {
    /// Validates an object, or its update when `old` is given. The metadata of the object itself is checked only
    /// as far as the schema narrows it; its own rules are those of every object.
    pub fn validate(&self, new: &Value, old: Option<&Value>) -> FieldErrors {
        if self.origin == Origin::Untyped {
            return Vec::new();
        }
        let errors = self.validate_at(&FieldPath::root(), new, old);
        self.finish(errors, new, old)
    }

    /// Validates an update through `/status`: of the values only those of the status (SC-14).
    pub fn validate_status(&self, new: &Value, old: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        if let (Some(node), Some(status)) = (self.root().property("status"), new.get("status")) {
            // The status is validated as an object of its own: texts name fields below it.
            let at = FieldPath::new("status");
            errors = check::Checker::new(&at).value(node, status, old.get("status"), 0).into_errors();
        }
        self.finish(errors, new, Some(old))
    }

    /// The checks beside values: embedded resources, sets and map lists.
    fn finish(&self, mut errors: FieldErrors, new: &Value, old: Option<&Value>) -> FieldErrors {
        let root = FieldPath::root();
        let was_fine = |old: &Value| {
            let mut before = Vec::new();
            lists::check(self.root(), old, &root, &mut before, 0);
            before.is_empty()
        };
        if self.root().node().flags.lists_below {
            embedded::check(self.root(), new, &root, false, &mut errors, 0);
            if old.is_none_or(was_fine) {
                lists::check(self.root(), new, &root, &mut errors, 0);
            }
        }
        if self.has_cel_rules && errors.iter().any(blocks_rules) {
            errors.push(FieldError::plain(FieldErrorKind::Invalid, &root, "Invalid value: null", NOT_CHECKED));
        }
        errors
    }

    /// Checks the value rules only; `at` is put before the paths of findings.
    pub(crate) fn validate_at(&self, at: &FieldPath, new: &Value, old: Option<&Value>) -> FieldErrors {
        let mut checker = check::Checker::new(at);
        checker.value(self.root(), new, old, 0).into_errors()
    }
}

/// Whether a finding keeps validation rules from being evaluated.
fn blocks_rules(error: &FieldError) -> bool {
    matches!(
        error.kind,
        FieldErrorKind::NotSupported
            | FieldErrorKind::Required
            | FieldErrorKind::TooLong
            | FieldErrorKind::TooMany
            | FieldErrorKind::TypeInvalid
    )
}
