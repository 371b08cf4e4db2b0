//! The metadata of an object.

use serde_json::{Value, json};

use super::{NameFn, dns1123_label, label_value, qualified_name};
use crate::field::{FieldError, FieldErrors, FieldPath, go_quote};

/// All annotations of an object together.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;
const IMMUTABLE: &str = "field is immutable";
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", ORPHAN, FOREGROUND];

fn text<'a>(meta: &'a Value, field: &str) -> &'a str {
    meta.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn texts<'a>(meta: &'a Value, field: &str) -> Vec<&'a str> {
    meta.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Checks the `metadata` of an object to be written (C-05, C-06). `path` is where it stands, usually `metadata`.
///
/// `name_fn` knows what names of the kind look like. Finalizers of built-in kinds need
/// [`validate_core_finalizers`] as well.
pub fn validate_object_meta(meta: &Value, namespaced: bool, name_fn: NameFn, path: &FieldPath) -> FieldErrors {
    let mut errors = Vec::new();
    let mut complain = |field: &str, value: &str, messages: Vec<String>| {
        errors.extend(messages.iter().map(|m| FieldError::invalid(&path.child(field), value, m)));
    };
    let (name, generate, namespace) = (text(meta, "name"), text(meta, "generateName"), text(meta, "namespace"));
    if !generate.is_empty() {
        complain("generateName", generate, name_fn(generate, true));
    }
    if !name.is_empty() {
        complain("name", name, name_fn(name, false));
    }
    if namespaced && !namespace.is_empty() {
        complain("namespace", namespace, dns1123_label(namespace));
    }
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), "name or generateName is required"));
    }
    match (namespaced, namespace.is_empty()) {
        (true, true) => errors.push(FieldError::required(&path.child("namespace"), "")),
        (false, false) => errors.push(FieldError::forbidden(&path.child("namespace"), "not allowed on this type")),
        _ => {}
    }
    if let Some(generation) = meta.get("generation").and_then(Value::as_i64).filter(|g| *g < 0) {
        errors.push(FieldError::invalid(&path.child("generation"), generation, "must be greater than or equal to 0"));
    }
    validate_maps(meta, path, &mut errors);
    errors.extend(finalizers(meta, &path.child("finalizers")));
    errors.extend(managed_fields(meta.get("managedFields"), &path.child("managedFields")));
    errors
}

/// Checks that an update does not change what may not change (U-09), and what it may. The resourceVersion is the
/// store's concern (U-01, U-02).
pub fn validate_object_meta_update(new: &Value, old: &Value, path: &FieldPath) -> FieldErrors {
    let mut errors = Vec::new();
    if old.get("deletionTimestamp").is_some_and(|t| !t.is_null()) {
        let had = texts(old, "finalizers");
        let mut extra: Vec<String> =
            texts(new, "finalizers").into_iter().filter(|f| !had.contains(f)).map(go_quote).collect();
        extra.sort();
        extra.dedup();
        if !extra.is_empty() {
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                extra.join(", ")
            );
            errors.push(FieldError::forbidden(&path.child("finalizers"), &detail));
        }
    }
    let generation = |meta: &Value| meta.get("generation").and_then(Value::as_i64).unwrap_or(0);
    if generation(new) < generation(old) {
        errors.push(FieldError::invalid(&path.child("generation"), generation(new), "must not be decremented"));
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (new, old) = (new.get(field).unwrap_or(&Value::Null), old.get(field).unwrap_or(&Value::Null));
        let absent = |v: &Value| v.is_null() || v.as_str() == Some("");
        if new != old && !(absent(new) && absent(old)) {
            errors.push(FieldError::invalid(&path.child(field), new.clone(), IMMUTABLE));
        }
    }
    validate_maps(new, path, &mut errors);
    errors.extend(managed_fields(new.get("managedFields"), &path.child("managedFields")));
    errors
}

fn validate_maps(meta: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let of = |field: &str| meta.get(field).unwrap_or(&Value::Null);
    errors.extend(validate_labels(of("labels"), &path.child("labels")));
    errors.extend(validate_annotations(of("annotations"), &path.child("annotations")));
    errors.extend(validate_owner_references(of("ownerReferences"), &path.child("ownerReferences")));
}

/// Checks a map of labels.
pub fn validate_labels(labels: &Value, path: &FieldPath) -> FieldErrors {
    let mut errors = Vec::new();
    for (key, value) in labels.as_object().into_iter().flatten() {
        errors.extend(qualified_name(key).iter().map(|m| FieldError::invalid(path, key.as_str(), m)));
        let value = value.as_str().unwrap_or_default();
        errors.extend(label_value(value).iter().map(|m| FieldError::invalid(path, value, m)));
    }
    errors
}

/// Checks a map of annotations: keys and total size.
pub fn validate_annotations(annotations: &Value, path: &FieldPath) -> FieldErrors {
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in annotations.as_object().into_iter().flatten() {
        let messages = qualified_name(&key.to_lowercase());
        errors.extend(messages.iter().map(|m| FieldError::invalid(path, key.as_str(), m)));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_LIMIT {
        errors.push(FieldError::too_long(path, ANNOTATIONS_LIMIT));
    }
    errors
}

/// Checks a list of owner references: complete, at most one controller, no Event.
pub fn validate_owner_references(references: &Value, path: &FieldPath) -> FieldErrors {
    let mut errors = Vec::new();
    let mut controller: Option<String> = None;
    for reference in references.as_array().into_iter().flatten() {
        let api_version = text(reference, "apiVersion");
        let version = crate::gvk::GroupVersion::parse(api_version);
        if version.is_none() {
            errors.push(FieldError::invalid(&path.child("apiVersion"), api_version, "version must not be empty"));
        }
        for field in ["kind", "name", "uid"] {
            if text(reference, field).is_empty() {
                errors.push(FieldError::invalid(&path.child(field), "", "must not be empty"));
            }
        }
        let kind = text(reference, "kind");
        if api_version == "v1" && kind == "Event" {
            errors.push(FieldError::invalid(
                path,
                reference.clone(),
                "/v1, Kind=Event is disallowed from being an owner",
            ));
        }
        if reference.get("controller") == Some(&Value::Bool(true)) {
            let this = format!("{kind}/{}", text(reference, "name"));
            match &controller {
                Some(first) => errors.push(FieldError::invalid(path, references.clone(), &format!("Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"))),
                None => controller = Some(this),
            }
        }
    }
    errors
}

fn finalizers(meta: &Value, path: &FieldPath) -> FieldErrors {
    let list = texts(meta, "finalizers");
    let mut errors = Vec::new();
    for finalizer in &list {
        errors.extend(qualified_name(finalizer).iter().map(|m| FieldError::invalid(path, *finalizer, m)));
    }
    if list.contains(&ORPHAN) && list.contains(&FOREGROUND) {
        let detail = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        errors.push(FieldError::invalid(path, json!(list), &detail));
    }
    errors
}

/// Checks finalizers as built-in kinds do: standard ones or with a domain. `path` is the list's.
pub fn validate_core_finalizers(finalizers: &Value, path: &FieldPath) -> FieldErrors {
    let list = finalizers.as_array().into_iter().flatten().enumerate();
    list.filter_map(|(i, f)| Some((i, f.as_str()?)))
        .filter(|(_, f)| !f.contains('/') && !STANDARD_FINALIZERS.contains(f))
        .map(|(i, f)| {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            FieldError::invalid(&path.index(i), f, detail)
        })
        .collect()
}

/// Warnings about finalizers without a domain, for custom resources (C-06).
pub fn finalizer_warnings(finalizers: &Value) -> Vec<String> {
    let list = finalizers.as_array().into_iter().flatten().filter_map(Value::as_str);
    list.filter(|f| !f.contains('/') && !STANDARD_FINALIZERS.contains(f))
        .map(|f| {
            format!(
                "metadata.finalizers: {}: prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers",
                go_quote(f)
            )
        })
        .collect()
}

/// Checks the name of a field manager (C-10). `path` is the parameter's or the field's.
pub fn validate_field_manager(manager: &str, path: &FieldPath) -> FieldErrors {
    let mut errors = Vec::new();
    if manager.len() > 128 {
        errors.push(FieldError::too_long(path, 128));
    }
    for (at, c) in manager.char_indices() {
        // The server's notion of "printable" is Go's: letters, marks, numbers, punctuation, symbols and the space.
        if c.is_control() || (c.is_whitespace() && c != ' ') {
            let detail = format!("invalid character U+{:04X} (at position {at})", c as u32);
            errors.push(FieldError::invalid(path, manager, &detail));
        }
    }
    errors
}

fn managed_fields(entries: Option<&Value>, path: &FieldPath) -> FieldErrors {
    let mut errors = Vec::new();
    for (i, entry) in entries.and_then(Value::as_array).into_iter().flatten().enumerate() {
        let path = path.index(i);
        let operation = text(entry, "operation");
        if !matches!(operation, "Apply" | "Update") {
            errors.push(FieldError::invalid(&path.child("operation"), operation, "must be `Apply` or `Update`"));
        }
        let kind = text(entry, "fieldsType");
        if !matches!(kind, "" | "FieldsV1") {
            errors.push(FieldError::invalid(&path.child("fieldsType"), kind, "must be `FieldsV1`"));
        }
        errors.extend(validate_field_manager(text(entry, "manager"), &path.child("manager")));
        if text(entry, "subresource").len() > 256 {
            errors.push(FieldError::too_long(&path.child("subresource"), 256));
        }
    }
    errors
}

#[cfg(test)]
#[path = "meta_tests.rs"]
mod tests;
