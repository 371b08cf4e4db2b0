//! What a version shows beside its schema: subresources, columns, selectable fields, deprecation
//! (CRD-09, CRD-16, CRD-17, CRD-18).

use std::collections::BTreeSet;

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath};
use serde_json::Value;

use super::view::{Version, View, text};
use crate::node::MAX_DEPTH;
use crate::validate::formats;

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const MAX_SELECTABLE: usize = 8;

fn simple_path(path: &str, at: &FieldPath) -> Option<FieldError> {
    if path.is_empty() {
        Some(FieldError::invalid(at, path, "must not be empty"))
    } else if !path.starts_with('.') {
        Some(FieldError::invalid(at, path, "must be a simple json path starting with ."))
    } else {
        None
    }
}

/// CRD-17.
pub(crate) fn subresources(value: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(scale) = value.get("scale").filter(|scale| !scale.is_null()) else { return };
    for (field, below) in [("specReplicasPath", "spec"), ("statusReplicasPath", "status")] {
        let at = path.child("scale").child(field);
        let given = text(scale, field);
        if given.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if let Some(error) = simple_path(given, &at) {
            errors.push(error);
        } else if !given.starts_with(&format!(".{below}.")) {
            errors.push(FieldError::invalid(&at, given, &format!("should be a json path under .{below}")));
        }
    }
    let given = text(scale, "labelSelectorPath");
    if !given.is_empty() {
        let at = path.child("scale").child("labelSelectorPath");
        if let Some(error) = simple_path(given, &at) {
            errors.push(error);
        } else if !given.starts_with(".spec.") && !given.starts_with(".status.") {
            errors.push(FieldError::invalid(&at, given, "should be a json path under either .spec or .status"));
        }
    }
}

/// CRD-16.
pub(crate) fn column(column: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    if text(column, "name").is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    let types = format!("must be one of {}", COLUMN_TYPES.join(","));
    match text(column, "type") {
        "" => errors.push(FieldError::required(&path.child("type"), &types)),
        known if COLUMN_TYPES.contains(&known) => {}
        other => errors.push(FieldError::invalid(&path.child("type"), other, &types)),
    }
    let format = text(column, "format");
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        let detail = format!("must be one of {}", COLUMN_FORMATS.join(","));
        errors.push(FieldError::invalid(&path.child("format"), format, &detail));
    }
    let at = path.child("JSONPath");
    match text(column, "jsonPath") {
        "" => errors.push(FieldError::required(&at, "")),
        given => errors.extend(simple_path(given, &at)),
    }
}

/// CRD-18.
pub(crate) fn selectable(fields: &Value, schema: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for (index, field) in fields.as_array().into_iter().flatten().enumerate() {
        let at = path.index(index).child("jsonPath");
        let given = text(field, "jsonPath");
        if given.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        let (names, leaf) = match resolve(given, schema) {
            Ok(found) => found,
            Err(reason) => {
                errors.push(FieldError::invalid(&at, given, &format!("is an invalid path: {reason}")));
                continue;
            }
        };
        if names.first() == Some(&"metadata") {
            errors.push(FieldError::invalid(&path.index(index), given, "must not point to fields in metadata"));
        }
        if !matches!(text(leaf, "type"), "string" | "boolean" | "integer") {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                          formats are allowed.";
            errors.push(FieldError::invalid(&at, given, detail));
        }
        if !seen.insert(names.join(".")) {
            errors.push(FieldError::duplicate(&at, names.join(".")));
        }
    }
    if seen.len() > MAX_SELECTABLE {
        errors.push(FieldError::too_many(path, seen.len(), MAX_SELECTABLE));
    }
}

/// The schema that a path of field names leads to.
fn resolve<'a>(path: &'a str, schema: &'a Value) -> Result<(Vec<&'a str>, &'a Value), String> {
    let Some(body) = path.strip_prefix('.') else {
        let word = path.split(['.', '[']).next().filter(|word| !word.is_empty());
        return Err(match word {
            Some(word) => format!("expected [ or . but got: {word}"),
            None => "array notation is not allowed".to_owned(),
        });
    };
    if body.contains('[') {
        return Err("array notation is not allowed".to_owned());
    }
    let mut names = Vec::new();
    let mut at = schema;
    for name in body.split('.') {
        let property = at.get("properties").and_then(|properties| properties.get(name));
        let below = property.or_else(|| at.get("additionalProperties").filter(|values| values.is_object()));
        at = below.ok_or_else(|| "does not refer to a valid field".to_owned())?;
        names.push(name);
    }
    Ok((names, at))
}

/// CRD-09: a warning needs a deprecated version, and must be printable.
pub(crate) fn deprecation(version: &Version<'_>, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(warning) = version.deprecation_warning else { return };
    let at = path.child("deprecationWarning");
    let mut complain = |detail: &str| errors.push(FieldError::invalid(&at, warning, detail));
    if !version.deprecated {
        complain("can only be set for deprecated versions");
        return;
    }
    if warning.len() > 256 {
        complain("must be <= 256 characters long");
    }
    if warning.is_empty() {
        complain("must not be an empty string");
    }
    if let Some((index, _)) = warning.char_indices().find(|(_, c)| c.is_control()) {
        let detail =
            format!("must only contain printable UTF-8 characters; non-printable character found at index {index}");
        complain(&detail);
    }
}

/// The warning that every request to a deprecated version gets (CRD-09).
pub fn deprecation_warning(crd: &Value, version: &str) -> Option<String> {
    let view = View::of(crd);
    let found = view.versions.iter().find(|v| v.name == version).filter(|v| v.deprecated)?;
    if let Some(warning) = found.deprecation_warning {
        return Some(warning.to_owned());
    }
    let (group, kind) = (view.group, view.names.kind);
    let newer = view
        .versions
        .iter()
        .filter(|v| v.served && !v.deprecated && kcp_apimachinery::gvk::compare_versions(v.name, version).is_lt())
        .min_by(|a, b| kcp_apimachinery::gvk::compare_versions(a.name, b.name));
    let use_instead = newer.map(|v| format!("; use {group}/{} {kind}", v.name)).unwrap_or_default();
    Some(format!("{group}/{version} {kind} is deprecated{use_instead}"))
}

/// Warnings about formats that nobody checks (SC-10); formats that `old` has already are not mentioned again.
pub fn format_warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let collect = |crd: &Value| {
        let mut found = BTreeSet::new();
        for version in &View::of(crd).versions {
            if let Some(schema) = version.whole.open_api() {
                unknown_formats(schema, &mut found, 0);
            }
        }
        found
    };
    let known = old.map(collect).unwrap_or_default();
    collect(new).difference(&known).map(|format| format!("unrecognized format {format:?}")).collect()
}

fn unknown_formats(schema: &Value, found: &mut BTreeSet<String>, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    let format = text(schema, "format");
    if !format.is_empty() && text(schema, "type") == "string" && !formats::is_known(format) {
        found.insert(format.to_owned());
    }
    super::keywords::children(schema).for_each(|child| unknown_formats(child.schema, found, depth + 1));
}
