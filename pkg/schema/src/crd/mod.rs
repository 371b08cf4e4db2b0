//! The rules of CustomResourceDefinitions (CRD-01 … CRD-22, SC-01, SC-02), as pure functions of JSON trees.
//!
//! [`default_crd`] and [`prepare_create`] / [`prepare_update`] come first, then [`validate_create`] or
//! [`validate_update`], and [`status`] computes what the controllers of CRDs would write. Error paths are those of
//! Kubernetes: settings that are the same in all versions are reported at the top of the spec
//! (`spec.validation.openAPIV3Schema`), others at their version.
//!
//! Conversion webhooks and CEL rules are checked for form and then refused: this server runs neither.

pub mod approval;
mod conversion;
mod defaults;
mod keywords;
mod rules;
mod spec;
pub mod status;
mod structural;
mod surface;
mod values;
mod view;

pub use defaults::{default_crd, prepare_create, prepare_update};
pub use surface::{deprecation_warning, format_warnings};

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath, validation};
use serde_json::Value;

use view::{View, text};

/// The finalizer that keeps a deleted CRD until its objects are gone (CRD-10).
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

const NAME_RULE: &str = "must be spec.names.plural+\".\"+spec.group";
const IMMUTABLE: &str = "field is immutable";

/// Checks a new CRD, defaulted and prepared.
pub fn validate_create(crd: &Value) -> FieldErrors {
    let view = View::of(crd);
    let null = Value::Null;
    let meta = crd.get("metadata").unwrap_or(&null);
    let path = FieldPath::new("metadata");
    let mut errors = validation::validate_object_meta(meta, false, validation::name_is_subdomain, &path);
    for field in ["name", "generateName"] {
        let name = text(meta, field);
        if !name.is_empty() && name != format!("{}.{}", view.names.plural, view.group) {
            errors.push(FieldError::invalid(&path.child(field), name, NAME_RULE));
        }
    }
    errors.extend(spec::validate(&view));
    errors.extend(validate_status(crd, &view));
    errors.extend(approval::validate(crd, None));
    if view.preserve_unknown {
        errors.push(preserve_unknown());
    }
    errors
}

/// Checks an update of a CRD, defaulted and prepared.
///
/// What is wrong with the stored schemas already is tolerated: an old CRD can still be changed elsewhere.
pub fn validate_update(new: &Value, old: &Value) -> FieldErrors {
    let (view, before) = (View::of(new), View::of(old));
    let meta = |crd: &'_ Value| crd.get("metadata").cloned().unwrap_or_default();
    let path = FieldPath::new("spec");
    let mut errors = validation::validate_object_meta_update(&meta(new), &meta(old), &FieldPath::new("metadata"));
    let mut found = spec::validate(&view);
    if !found.is_empty() {
        let known = spec::validate(&before);
        found.retain(|error| !(error.path.as_str().contains("openAPIV3Schema") && known.contains(error)));
    }
    errors.extend(found);
    let mut immutable = |at: FieldPath, new: &str, old: &str| {
        if new != old {
            errors.push(FieldError::invalid(&at, new, IMMUTABLE));
        }
    };
    if status::is_true(old, "Established") {
        immutable(path.child("scope"), view.scope, before.scope);
        immutable(path.child("names").child("kind"), view.names.kind, before.names.kind);
    }
    immutable(path.child("group"), view.group, before.group);
    immutable(path.child("names").child("plural"), view.names.plural, before.names.plural);
    errors.extend(validate_status(new, &view));
    errors.extend(approval::validate(new, Some(old)));
    if view.preserve_unknown && !before.preserve_unknown {
        errors.push(preserve_unknown());
    }
    errors
}

/// Checks an update of a CRD's `/status`, which may name any stored versions (B-08).
pub fn validate_status_update(new: &Value, old: &Value) -> FieldErrors {
    let meta = |crd: &'_ Value| crd.get("metadata").cloned().unwrap_or_default();
    let mut errors = validation::validate_object_meta_update(&meta(new), &meta(old), &FieldPath::new("metadata"));
    errors.extend(accepted_names(new));
    errors
}

fn accepted_names(crd: &Value) -> FieldErrors {
    let names = crd.get("status").and_then(|status| status.get("acceptedNames"));
    let path = FieldPath::new("status").child("acceptedNames");
    names.map(|names| spec::names(&view::Names::of(names), &path)).unwrap_or_default()
}

/// CRD-07: what was stored once must stay known.
fn validate_status(crd: &Value, view: &View<'_>) -> FieldErrors {
    let mut errors = accepted_names(crd);
    let path = FieldPath::new("status").child("storedVersions");
    let stored = view::texts(crd.get("status").unwrap_or(&Value::Null), "storedVersions");
    if stored.is_empty() {
        errors.push(FieldError::invalid(&path, Value::Null, "must have at least one stored version"));
        return errors;
    }
    for version in &view.versions {
        if version.storage && !stored.contains(&version.name) {
            let detail = format!("must have the storage version {}", version.name);
            errors.push(FieldError::invalid(&path, stored.as_slice(), &detail));
        }
    }
    for (index, name) in stored.iter().enumerate() {
        // Of a name that occurs twice the last one counts.
        let last = !stored.iter().skip(index + 1).any(|later| later == name);
        if last && !view.versions.iter().any(|version| version.name == *name) {
            let detail = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {name} and removes {name} from \
                 status.storedVersions"
            );
            errors.push(FieldError::invalid(&path.index(index), *name, &detail));
        }
    }
    errors
}

fn preserve_unknown() -> FieldError {
    let path = FieldPath::new("spec").child("preserveUnknownFields");
    let detail =
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
    FieldError::invalid(&path, true, detail)
}

#[cfg(test)]
mod tests;
