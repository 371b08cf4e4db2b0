//! A whole schema of a CRD: its rules, its structure, and its defaults, which must be valid and pruned (SC-06).

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath};
use serde_json::Value;

use super::keywords::{says, unsupported};
use super::view::text;
use super::{rules, structural};
use crate::Schema;
use crate::mismatch;
use crate::node::{MAX_DEPTH, NodeRef};
use crate::prune::Pruner;
use crate::validate::{check, embedded, golang};

/// Keywords that the root of a schema may not have beside a status subresource.
const NOT_AT_ROOT: [&str; 18] = [
    "id",
    "$schema",
    "$ref",
    "default",
    "enum",
    "maxProperties",
    "minProperties",
    "allOf",
    "oneOf",
    "anyOf",
    "not",
    "additionalProperties",
    "patternProperties",
    "dependencies",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
];
const AT_ROOT: &str = "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength \
                       MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs \
                       Example XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the \
                       status subresource is enabled";

/// Checks a schema; `path` is the stanza that holds `openAPIV3Schema`.
pub(crate) fn validate_schema(schema: &Value, status: bool, path: &FieldPath) -> FieldErrors {
    let path = path.child("openAPIV3Schema");
    let mut errors = Vec::new();
    let kind = text(schema, "type");
    if status && !matches!(kind, "" | "object") {
        let detail =
            "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        errors.push(FieldError::invalid(&path.child("type"), kind, detail));
    } else if status && NOT_AT_ROOT.iter().any(|keyword| says(schema, keyword)) {
        errors.push(golang::invalid(&path, schema, AT_ROOT));
    }
    if super::view::flag(schema, "nullable") {
        errors.push(FieldError::forbidden(&path.child("nullable"), "nullable cannot be true at the root"));
    }
    errors.extend(rules::validate(schema, &path));
    if unsupported(schema, 0) {
        return errors;
    }
    let found = structural::validate(schema, &path);
    if !found.is_empty() {
        errors.extend(found);
        return errors;
    }
    match Schema::compile(schema) {
        Ok(compiled) => defaults(compiled.root(), schema, &path, false, &mut errors, 0),
        Err(found) if errors.is_empty() => errors.extend(
            found
                .into_iter()
                .map(|error| FieldError { path: FieldPath::new(format!("{path}.{}", error.path)), ..error }),
        ),
        Err(_) => {}
    }
    errors
}

/// Checks the defaults at and below a node; nothing is defaulted inside `additionalProperties`.
fn defaults(
    node: NodeRef<'_>,
    schema: &Value,
    path: &FieldPath,
    inside_meta: bool,
    errors: &mut FieldErrors,
    depth: usize,
) {
    if depth > MAX_DEPTH {
        return;
    }
    let inside_meta = inside_meta && !node.is_embedded();
    if let Some(value) = schema.get("default").filter(|value| !value.is_null()) {
        default(node, value, &path.child("default"), inside_meta, errors);
    }
    if let (Some(below), Some(items)) = (node.items(), schema.get("items")) {
        defaults(below, items, &path.child("items"), inside_meta, errors, depth + 1);
    }
    let envelope = depth == 0 || node.is_embedded();
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let Some(below) = node.property(name) else { continue };
        let meta = inside_meta || (envelope && matches!(name.as_str(), "metadata" | "apiVersion" | "kind"));
        defaults(below, field, &path.child("properties").key(name), meta, errors, depth + 1);
    }
}

fn default(node: NodeRef<'_>, value: &Value, path: &FieldPath, inside_meta: bool, errors: &mut FieldErrors) {
    if !inside_meta {
        let mut pruner = Pruner::new();
        pruner.value(Some(node), &mut value.clone(), false, 0);
        if !pruner.dropped.is_empty() {
            errors.push(golang::invalid(path, value, "must not have unknown fields"));
        }
        if let Some(error) = undecodable(node, value, path) {
            errors.push(error);
            return;
        }
        let before = errors.len();
        embedded::check(node, value, path, false, errors, 0);
        if errors.len() > before {
            return;
        }
    }
    errors.extend(check::Checker::new(path).value(node, value, None, 0).into_errors());
}

/// Metadata of a default's own object that is none.
fn undecodable(node: NodeRef<'_>, value: &Value, path: &FieldPath) -> Option<FieldError> {
    let metadata = value.get("metadata").filter(|_| node.is_embedded())?;
    let mismatch = mismatch::of(node.property("metadata")?, metadata)?;
    Some(golang::invalid(&path.child("metadata"), metadata, &mismatch.to_string()))
}
