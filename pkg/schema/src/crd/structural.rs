//! Structural schemas (SC-02): every field has one type, rules do not invent structure.

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath};
use serde_json::{Value, json};

use super::keywords::says;
use super::view::{flag, text};
use crate::node::MAX_DEPTH;
use crate::validate::pattern::Pattern;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Checks that a schema at `path` is structural; findings are sorted by their texts.
pub(crate) fn validate(schema: &Value, path: &FieldPath) -> FieldErrors {
    let mut errors = Vec::new();
    invariants(schema, Level::Root, path, &mut errors, 0);
    completeness(schema, path, &mut errors, 0);
    errors.sort_by_cached_key(ToString::to_string);
    errors
}

fn object<'a>(schema: &'a Value, keyword: &str) -> Option<&'a Value> {
    schema.get(keyword).filter(|value| value.is_object())
}

fn list<'a>(schema: &'a Value, keyword: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    schema.get(keyword).and_then(Value::as_array).into_iter().flatten().enumerate()
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn invariants(schema: &Value, level: Level, path: &FieldPath, errors: &mut FieldErrors, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    let kind = text(schema, "type");
    if kind == "array" && object(schema, "items").is_none() {
        errors.push(FieldError::required(&path.child("items"), "must be specified"));
    }
    if let Some(items) = object(schema, "items") {
        invariants(items, Level::Item, &path.child("items"), errors, depth + 1);
    }
    for (name, field) in properties(schema) {
        invariants(field, Level::Field, &path.child("properties").key(name), errors, depth + 1);
    }
    let additional = schema.get("additionalProperties").filter(|v| !v.is_null());
    let at = path.child("additionalProperties");
    if additional.is_some() && level == Level::Root {
        errors.push(FieldError::forbidden(&at, "must not be used at the root"));
    }
    if let Some(values) = additional.filter(|v| v.is_object()) {
        invariants(values, Level::Field, &at, errors, depth + 1);
    }
    let preserve = flag(schema, "x-kubernetes-preserve-unknown-fields");
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    let int_or_string = flag(schema, "x-kubernetes-int-or-string");
    for (given, word) in
        [(preserve, "x-kubernetes-preserve-unknown-fields"), (embedded, "x-kubernetes-embedded-resource")]
    {
        if int_or_string && given {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            errors.push(FieldError::invalid(&path.child(word), true, detail));
        }
    }
    let any_of = is_int_or_string(schema.get("anyOf"));
    let first_all_of = list(schema, "allOf").next().is_some_and(|(_, first)| is_int_or_string(first.get("anyOf")));
    rules(schema, any_of, first_all_of, path, errors, depth);

    let at = path.child("type");
    if embedded && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(match kind {
            "" => FieldError::required(&at, detail),
            other => FieldError::invalid(&at, other, detail),
        });
    } else if kind.is_empty() && !int_or_string && !preserve {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(&at, detail));
    }
    if embedded && additional.is_some() {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(&path.child("additionalProperties"), detail));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(&at, kind, "must be object at the root"));
    }
    metadata(schema, level, embedded, path, errors);
    if embedded && !preserve && !says(schema, "properties") {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(&path.child("properties"), detail));
    }
}

/// The envelope of objects may only be narrowed: kind and apiVersion are texts, metadata has its own schema.
fn metadata(schema: &Value, level: Level, embedded: bool, path: &FieldPath, errors: &mut FieldErrors) {
    let check = level == Level::Root || embedded;
    let property = |name: &str| schema.get("properties").and_then(|p| p.get(name));
    let at = path.child("properties");
    for name in ["kind", "apiVersion"] {
        if let Some(field) = property(name).filter(|field| check && text(field, "type") != "string") {
            let kind = text(field, "type");
            errors.push(FieldError::invalid(&at.key(name).child("type"), kind, "must be string"));
        }
    }
    let Some(metadata) = property("metadata") else { return };
    let at = at.key("metadata");
    if check && text(metadata, "type") != "object" {
        errors.push(FieldError::invalid(&at.child("type"), text(metadata, "type"), "must be object"));
    }
    if level == Level::Root {
        let names_only = properties(metadata).all(|(name, _)| name == "name" || name == "generateName");
        let other = metadata.as_object().into_iter().flatten().any(|(keyword, _)| {
            !matches!(keyword.as_str(), "type" | "properties" | "default") && says(metadata, keyword)
        });
        if !names_only || other {
            let detail =
                "must not specify anything other than name and generateName, but metadata is implicitly specified";
            errors.push(FieldError::forbidden(&at, detail));
        }
    }
}

fn is_int_or_string(any_of: Option<&Value>) -> bool {
    any_of == Some(&json!([{"type": "integer"}, {"type": "string"}]))
}

/// The junctors and the pattern of a schema.
fn rules(
    schema: &Value,
    skip_any_of: bool,
    skip_first_all_of: bool,
    path: &FieldPath,
    errors: &mut FieldErrors,
    depth: usize,
) {
    for keyword in ["anyOf", "allOf", "oneOf"] {
        if keyword == "anyOf" && skip_any_of {
            continue;
        }
        for (index, branch) in list(schema, keyword) {
            let skip = keyword == "allOf" && index == 0 && skip_first_all_of;
            nested(branch, skip, &path.child(keyword).index(index), errors, depth + 1);
        }
    }
    if let Some(not) = object(schema, "not") {
        nested(not, false, &path.child("not"), errors, depth + 1);
    }
    let pattern = text(schema, "pattern");
    if !pattern.is_empty()
        && let Err(error) = Pattern::check(pattern)
    {
        let detail = format!("must be a valid regular expression, but isn't: {error}");
        errors.push(FieldError::invalid(&path.child("pattern"), pattern, &detail));
    }
}

/// A schema inside a junctor: rules only.
fn nested(schema: &Value, skip_any_of: bool, path: &FieldPath, errors: &mut FieldErrors, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    rules(schema, skip_any_of, false, path, errors, depth);
    if let Some(items) = object(schema, "items") {
        nested(items, false, &path.child("items"), errors, depth + 1);
    }
    for (name, field) in properties(schema) {
        nested(field, false, &path.child("properties").key(name), errors, depth + 1);
    }
    for (keyword, detail) in [
        ("type", "must be empty to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
        ("nullable", "must be false to be structural"),
        ("externalDocs", "must be undefined to be structural"),
        ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
        ("x-kubernetes-embedded-resource", "must be false to be structural"),
        ("x-kubernetes-int-or-string", "must be false to be structural"),
        ("x-kubernetes-list-map-keys", "must be empty to be structural"),
        ("x-kubernetes-list-type", "must be undefined to be structural"),
        ("x-kubernetes-map-type", "must be undefined to be structural"),
        ("x-kubernetes-validations", "must be empty to be structural"),
    ] {
        if says(schema, keyword) {
            errors.push(FieldError::forbidden(&path.child(keyword), detail));
        }
    }
    for keyword in ["additionalProperties", "default"] {
        if schema.get(keyword).is_some_and(|value| !value.is_null()) {
            errors.push(FieldError::forbidden(&path.child(keyword), "must be undefined to be structural"));
        }
    }
    if schema.get("properties").is_some_and(|p| p.get("metadata").is_some()) {
        let at = path.child("properties").key("metadata");
        errors.push(FieldError::forbidden(&at, "must not be specified in a nested context"));
    }
}

/// Every field that a rule names must be a field of the structure.
fn completeness(schema: &Value, path: &FieldPath, errors: &mut FieldErrors, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    branches(schema, Some(schema), path, path, errors, depth);
    if let Some(items) = object(schema, "items") {
        completeness(items, &path.child("items"), errors, depth + 1);
    }
    for (name, field) in properties(schema) {
        completeness(field, &path.child("properties").key(name), errors, depth + 1);
    }
    if let Some(values) = object(schema, "additionalProperties") {
        completeness(values, &path.child("additionalProperties"), errors, depth + 1);
    }
}

fn branches(
    rule: &Value,
    structure: Option<&Value>,
    at: &FieldPath,
    rule_at: &FieldPath,
    errors: &mut FieldErrors,
    depth: usize,
) {
    if let Some(not) = object(rule, "not") {
        complete(not, structure, at, &rule_at.child("not"), errors, depth + 1);
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for (index, branch) in list(rule, keyword) {
            complete(branch, structure, at, &rule_at.child(keyword).index(index), errors, depth + 1);
        }
    }
}

fn complete(
    rule: &Value,
    structure: Option<&Value>,
    at: &FieldPath,
    rule_at: &FieldPath,
    errors: &mut FieldErrors,
    depth: usize,
) {
    if depth > MAX_DEPTH {
        return;
    }
    let Some(known) = structure else {
        errors.push(FieldError::required(at, &format!("because it is defined in {rule_at}")));
        return;
    };
    branches(rule, structure, at, rule_at, errors, depth);
    if let Some(items) = object(rule, "items") {
        complete(items, object(known, "items"), &at.child("items"), &rule_at.child("items"), errors, depth + 1);
    }
    for (name, field) in properties(rule) {
        let (at, rule_at) = (at.child("properties").key(name), rule_at.child("properties").key(name));
        let known = known.get("properties").and_then(|p| p.get(name));
        complete(field, known, &at, &rule_at, errors, depth + 1);
    }
}
