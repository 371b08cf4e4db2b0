//! The rules of schemas of CRDs beside structure: forbidden keywords, types, lists and maps, and the form of
//! validation rules (SC-01, SC-08).

use std::collections::HashSet;

use kcp_apimachinery::{FieldError, FieldErrorKind, FieldErrors, FieldPath};
use serde_json::Value;

use super::keywords::{Place, children, says};
use super::view::{flag, text, texts};
use crate::node::MAX_DEPTH;
use crate::validate::golang;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
const META_FIELDS: [&str; 3] = ["metadata", "kind", "apiVersion"];
const NO_CEL: &str = "this server does not support CEL validation rules";

/// What is known from the schemas around.
#[derive(Clone, Default)]
struct Context {
    /// Why defaults are forbidden here.
    no_defaults: Option<String>,
    inside_meta: bool,
    /// The list whose items cannot be told apart, so that no old value is known here.
    uncorrelated: Option<FieldPath>,
}

/// Checks a schema at `path`.
pub(crate) fn validate(schema: &Value, path: &FieldPath) -> FieldErrors {
    let mut errors = Vec::new();
    walk(schema, path, &Context::default(), true, &mut errors, 0);
    errors
}

fn walk(schema: &Value, path: &FieldPath, context: &Context, root: bool, errors: &mut FieldErrors, depth: usize) {
    if depth > MAX_DEPTH {
        errors.push(FieldError::forbidden(path, "the schema is nested too deeply"));
        return;
    }
    keywords(schema, path, context, errors);
    if flag(schema, "uniqueItems") {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(&path.child("uniqueItems"), detail));
    }
    let additional = schema.get("additionalProperties").filter(|v| !v.is_null());
    if additional.is_some_and(|v| v != &Value::Bool(true)) && says(schema, "properties") {
        let detail = "additionalProperties and properties are mutual exclusive";
        errors.push(FieldError::forbidden(&path.child("additionalProperties"), detail));
    }
    for child in children(schema) {
        let mut below = context.clone();
        match child.place {
            Place::Additional if context.inside_meta => {
                below.no_defaults = Some("inside additionalProperties applying to object metadata".to_owned());
            }
            Place::Property(name)
                if (root || flag(schema, "x-kubernetes-embedded-resource")) && META_FIELDS.contains(&name) =>
            {
                below.inside_meta = true;
                if root {
                    below.no_defaults = Some(format!("in top-level {name}"));
                }
            }
            Place::Items if text(schema, "x-kubernetes-list-type") != "map" && context.uncorrelated.is_none() => {
                below.uncorrelated = Some(path.clone());
            }
            _ => {}
        }
        walk(child.schema, &child.place.below(path), &below, false, errors, depth + 1);
    }
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        let at = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(&at, false, "must be true or undefined"));
    }
    list_and_map(schema, path, errors);
    keys(schema, path, errors);
    cel(schema, path, context, errors);
}

/// SC-01.
fn keywords(schema: &Value, path: &FieldPath, context: &Context, errors: &mut FieldErrors) {
    let kind = text(schema, "type");
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("type"), kind, &TYPES));
    }
    if schema.get("default").is_some_and(|d| !d.is_null())
        && let Some(reason) = &context.no_defaults
    {
        errors.push(FieldError::forbidden(&path.child("default"), &format!("must not be set {reason}")));
    }
    let mut forbid = |keyword: &str, detail: &str| errors.push(FieldError::forbidden(&path.child(keyword), detail));
    for keyword in ["id", "additionalItems", "patternProperties", "definitions"] {
        if says(schema, keyword) {
            forbid(keyword, &format!("{keyword} is not supported"));
        }
    }
    if schema.get("dependencies").is_some_and(|d| !d.is_null()) {
        forbid("dependencies", "dependencies is not supported");
    }
    if schema.get("$ref").is_some_and(|r| !r.is_null()) {
        forbid("$ref", "$ref is not supported");
    }
    if kind == "null" {
        forbid("type", "type cannot be set to null, use nullable as an alternative");
    }
    if schema.get("items").is_some_and(Value::is_array) {
        forbid("items", "items must be a schema object and not an array");
    }
    if context.inside_meta && flag(schema, "x-kubernetes-embedded-resource") {
        forbid("x-kubernetes-embedded-resource", "must not be used inside of resource meta");
    }
}

fn list_and_map(schema: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let kind = text(schema, "type");
    let mut must_be = |wanted: &str, keyword: &str| {
        if kind != wanted {
            let detail = format!("must be {wanted} if {keyword} is specified");
            errors.push(match kind {
                "" => FieldError::required(&path.child("type"), &detail),
                other => FieldError::invalid(&path.child("type"), other, &detail),
            });
        }
    };
    let (map_word, list_word) = ("x-kubernetes-map-type", "x-kubernetes-list-type");
    let map_type = schema.get(map_word).and_then(Value::as_str);
    let list_type = schema.get(list_word).and_then(Value::as_str);
    if map_type.is_some() {
        must_be("object", map_word);
    }
    if list_type.is_some() {
        must_be("array", list_word);
    }
    if let Some(other) = map_type.filter(|t| !matches!(*t, "atomic" | "granular")) {
        errors.push(FieldError::not_supported(&path.child(map_word), other, &["atomic", "granular"]));
    }
    if let Some(other) = list_type.filter(|t| !matches!(*t, "atomic" | "set" | "map")) {
        errors.push(FieldError::not_supported(&path.child(list_word), other, &["atomic", "set", "map"]));
    }
    let items = schema.get("items").filter(|items| items.is_object());
    if let (Some("set"), "array", Some(items)) = (list_type, kind, items) {
        let wrong = match text(items, "type") {
            "array" => says(items, list_word).then_some(list_word).filter(|_| text(items, list_word) != "atomic"),
            "object" => (text(items, map_word) != "atomic").then_some(map_word),
            _ => None,
        };
        if let Some(word) = wrong {
            // The list type of the items is what Kubernetes shows in both cases.
            let shown = items.get(list_word).cloned().unwrap_or_default();
            let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
            errors.push(golang::invalid(&path.child("items").child(word), &shown, detail));
        }
    }
}

/// SC-08: the keys of lists of type map.
fn keys(schema: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let (keys_word, list_word) = ("x-kubernetes-list-map-keys", "x-kubernetes-list-type");
    let keys = texts(schema, keys_word);
    let list_type = schema.get(list_word).and_then(Value::as_str);
    let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
    match list_type {
        _ if keys.is_empty() => {}
        None => errors.push(FieldError::required(&path.child(list_word), detail)),
        Some("map") => {}
        Some(other) => errors.push(FieldError::invalid(&path.child(list_word), other, detail)),
    }
    let items = schema.get("items").filter(|items| !items.is_null());
    let at = path.child("items");
    if list_type == Some("map") {
        if keys.is_empty() {
            let detail = "must not be empty if x-kubernetes-list-type is map";
            errors.push(FieldError::required(&path.child(keys_word), detail));
        }
        match items {
            None => errors.push(FieldError::required(&at, "must have a schema if x-kubernetes-list-type is map")),
            Some(Value::Object(_)) => {}
            Some(list) => {
                let detail = "must only have a single schema if x-kubernetes-list-type is map";
                errors.push(golang::invalid(&at, list, detail));
            }
        }
    }
    let Some(items) = items.filter(|items| items.is_object()) else { return };
    let properties = items.get("properties");
    if list_type == Some("map") && text(items, "type") != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(&at.child("type"), text(items, "type"), detail));
    } else if list_type == Some("map") {
        let mut seen = HashSet::new();
        let whole = |detail: &str| FieldError::invalid(&path.child(keys_word), keys.as_slice(), detail);
        for key in &keys {
            match properties.and_then(|p| p.get(*key)) {
                None => errors.push(whole("entries must all be names of item properties")),
                Some(property) if matches!(text(property, "type"), "array" | "object") => {
                    let at = at.child("properties").key(key).child("type");
                    let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                    errors.push(FieldError::invalid(&at, text(items, "type"), detail));
                }
                Some(_) => {}
            }
            if !seen.insert(*key) {
                errors.push(whole("must not contain duplicate entries"));
            }
        }
    }
    let Some(list_type @ ("set" | "map")) = list_type else { return };
    if flag(items, "nullable") {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(FieldError::forbidden(&at.child("nullable"), &detail));
    }
    let required = texts(items, "required");
    for key in keys.iter().filter(|_| list_type == "map") {
        let Some(property) = properties.and_then(|p| p.get(*key)) else { continue };
        let at = at.child("properties").key(key);
        if !required.contains(key) && property.get("default").is_none_or(Value::is_null) {
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(&at.child("default"), detail));
        }
        if flag(property, "nullable") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(&at.child("nullable"), detail));
        }
    }
}

/// The form of validation rules; well-formed ones are refused, because this server evaluates none.
fn cel(schema: &Value, path: &FieldPath, context: &Context, errors: &mut FieldErrors) {
    let Some(rules) = schema.get("x-kubernetes-validations").and_then(Value::as_array) else { return };
    let path = path.child("x-kubernetes-validations");
    let before = errors.len();
    for (index, rule) in rules.iter().enumerate() {
        cel_rule(schema, rule, &path.index(index), context, errors);
    }
    if errors.len() == before && !rules.is_empty() {
        errors.push(FieldError::forbidden(&path, NO_CEL));
    }
}

fn cel_rule(schema: &Value, rule: &Value, at: &FieldPath, context: &Context, errors: &mut FieldErrors) {
    let breaks = |text: &str| text.contains(['\n', '\r']);
    let (source, message) = (text(rule, "rule"), text(rule, "message"));
    if source.trim().is_empty() {
        errors.push(FieldError::required(&at.child("rule"), "rule is not specified"));
    } else if !message.is_empty() && message.trim().is_empty() {
        errors.push(FieldError::invalid(&at.child("message"), message, "must be non-empty if specified"));
    } else if breaks(message.trim()) {
        errors.push(FieldError::invalid(&at.child("message"), message, "must not contain line breaks"));
    } else if breaks(source.trim()) && message.trim().is_empty() {
        errors.push(FieldError::required(&at.child("message"), "must be specified if rule contains line breaks"));
    }
    let expression = text(rule, "messageExpression");
    if !expression.is_empty() && expression.trim().is_empty() {
        errors.push(FieldError::required(&at.child("messageExpression"), "must be non-empty if specified"));
    }
    if let Some(reason) = rule.get("reason").and_then(Value::as_str).filter(|reason| !REASONS.contains(reason)) {
        errors.push(FieldError::not_supported(&at.child("reason"), reason, &REASONS));
    }
    let field = text(rule, "fieldPath");
    if !field.is_empty() {
        let mut complain = |detail: &str| errors.push(FieldError::invalid(&at.child("fieldPath"), field, detail));
        if field.trim().is_empty() {
            complain("must be non-empty if specified");
        }
        if breaks(field) {
            complain("must not contain line breaks");
        }
        if !leads_somewhere(schema, field) {
            complain("must be a valid path");
        }
    }
    if source.trim().is_empty() {
        return;
    }
    let uses_old = source.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).any(|word| word == "oldSelf");
    if let (true, Some(list)) = (uses_old, &context.uncorrelated) {
        let detail = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {list}");
        errors.push(FieldError::invalid(&at.child("rule"), source, &detail));
    } else if let Some(optional) = rule.get("optionalOldSelf").filter(|o| !o.is_null() && !uses_old) {
        let label = format!("Invalid value: {optional}");
        let detail = "may not be set if oldSelf is not used in rule";
        errors.push(FieldError::plain(FieldErrorKind::Invalid, &at.child("optionalOldSelf"), &label, detail));
    }
}

/// Whether a rule's `fieldPath` names a field of the schema.
fn leads_somewhere(schema: &Value, path: &str) -> bool {
    let Some(parsed) = crate::SimplePath::parse(path.trim()) else { return false };
    let mut at = schema;
    for name in parsed.fields() {
        let property = at.get("properties").and_then(|p| p.get(name));
        match property.or_else(|| at.get("additionalProperties").filter(|v| v.is_object())) {
            Some(below) => at = below,
            None => return false,
        }
    }
    true
}
