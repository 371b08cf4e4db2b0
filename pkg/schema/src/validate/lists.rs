//! Uniqueness in lists of type set and map (SC-08).

use std::collections::HashMap;

use kcp_apimachinery::{FieldError, FieldErrorKind, FieldErrors, FieldPath};
use serde_json::{Map, Value};

use super::{
    check::MAX_FINDINGS,
    golang::{display, invalid, json},
};
use crate::node::{ListType, MAX_DEPTH, NodeRef};

/// Reports items that occur twice in sets and map lists at and below `value`.
pub(crate) fn check(node: NodeRef<'_>, value: &Value, path: &FieldPath, errors: &mut FieldErrors, depth: usize) {
    let flags = node.node().flags;
    if depth > MAX_DEPTH || node.is_meta() || (node.list_type() == ListType::Atomic && !flags.lists_below) {
        return;
    }
    match value {
        Value::Object(map) => {
            for (name, field) in map {
                if let Some(below) = node.property(name) {
                    check(below, field, &path.child(name), errors, depth + 1);
                } else if let Some(below) = node.additional() {
                    check(below, field, &path.key(name), errors, depth + 1);
                }
            }
        }
        Value::Array(items) => {
            match node.list_type() {
                ListType::Atomic => {}
                ListType::Set => duplicates(items.iter().map(json), path, errors, |index| {
                    items.get(index).map(display).unwrap_or_default()
                }),
                ListType::Map(keys) => map_list(keys, items, path, errors),
            }
            if let Some(below) = node.items() {
                for (index, item) in items.iter().enumerate() {
                    check(below, item, &path.index(index), errors, depth + 1);
                }
            }
        }
        _ => {}
    }
}

fn map_list(keys: &[String], items: &[Value], path: &FieldPath, errors: &mut FieldErrors) {
    if let Some((index, item)) = items.iter().enumerate().find(|(_, item)| !item.is_object() && !item.is_null()) {
        errors.push(invalid(&path.index(index), item, "must be an object for an array of list-type map"));
        return;
    }
    let identity = |item: &Value| {
        let fields = keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
        json(&Value::Object(fields.collect::<Map<_, _>>()))
    };
    duplicates(items.iter().map(identity), path, errors, |index| items.get(index).map(identity).unwrap_or_default());
}

/// Reports the first repetition of each value.
fn duplicates(
    values: impl ExactSizeIterator<Item = String>,
    path: &FieldPath,
    errors: &mut FieldErrors,
    shown: impl Fn(usize) -> String,
) {
    if values.len() < 2 {
        return;
    }
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(values.len());
    for (index, value) in values.enumerate() {
        let times = seen.entry(value).or_insert(0);
        *times += 1;
        if *times == 2 && errors.len() < MAX_FINDINGS {
            let label = format!("Duplicate value: {}", shown(index));
            errors.push(FieldError::plain(FieldErrorKind::Duplicate, &path.index(index), &label, ""));
        }
    }
}
