//! Embedded resources: objects inside objects (SC-07).

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath, GroupVersion, validation};
use serde_json::Value;

use super::golang::invalid;
use crate::node::{MAX_DEPTH, NodeRef};

/// Checks the type and metadata of embedded resources at and below `value`; `own` says whether `value` itself is
/// one beside what the node says.
pub(crate) fn check(
    node: NodeRef<'_>,
    value: &Value,
    path: &FieldPath,
    own: bool,
    errors: &mut FieldErrors,
    depth: usize,
) {
    let embedded = own || node.is_embedded();
    if depth > MAX_DEPTH || node.is_meta() || !(embedded || node.node().flags.lists_below) {
        return;
    }
    match value {
        Value::Object(map) => {
            if embedded {
                resource(value, path, errors);
            }
            for (name, field) in map {
                if let Some(below) = node.property(name) {
                    check(below, field, &path.child(name), false, errors, depth + 1);
                } else if let Some(below) = node.additional() {
                    check(below, field, &path.key(name), false, errors, depth + 1);
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = node.items() {
                for (index, item) in items.iter().enumerate() {
                    check(below, item, &path.index(index), false, errors, depth + 1);
                }
            }
        }
        _ => {}
    }
}

fn resource(value: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let at = path.child("apiVersion");
    match value.get("apiVersion") {
        None => errors.push(FieldError::required(&at, "")),
        Some(Value::String(text)) if text.is_empty() => errors.push(FieldError::required(&at, "")),
        Some(Value::String(text)) if GroupVersion::parse(text).is_none() => {
            errors.push(FieldError::invalid(&at, text.as_str(), &format!("unexpected GroupVersion string: {text}")));
        }
        Some(Value::String(_)) => {}
        Some(other) => errors.push(invalid(&at, other, "must be a string")),
    }
    let at = path.child("kind");
    match value.get("kind") {
        None => errors.push(FieldError::required(&at, "")),
        Some(Value::String(text)) if text.is_empty() => errors.push(FieldError::required(&at, "")),
        Some(Value::String(text)) => {
            let problems = validation::dns1035_label(&text.to_ascii_lowercase());
            if !problems.is_empty() {
                let detail = format!("may have mixed case, but should otherwise match: {}", problems.join(","));
                errors.push(FieldError::invalid(&at, text.as_str(), &detail));
            }
        }
        Some(other) => errors.push(invalid(&at, other, "must be a string")),
    }
    if let Some(metadata) = value.get("metadata") {
        object_meta(metadata, &path.child("metadata"), errors);
    }
}

/// Metadata of an embedded resource: like that of any object, but it need not have a name.
fn object_meta(metadata: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    if !metadata.is_object() {
        errors.push(invalid(path, metadata, "must be a map"));
        return;
    }
    let mut metadata = metadata.clone();
    if metadata.get("name").and_then(Value::as_str).unwrap_or_default().is_empty() {
        metadata["name"] = "fakename".into();
    }
    let namespaced = metadata.get("namespace").and_then(Value::as_str).is_some_and(|n| !n.is_empty());
    errors.extend(validation::validate_object_meta(&metadata, namespaced, validation::name_is_path_segment, path));
}
