//! Defaults and nulls (SC-05, SC-06).
//!
//! An absent field gets its default, and so does a null where null is no value; without a default such a null
//! is dropped. Nothing is defaulted inside absent parents, nor under the object's own metadata.

use serde_json::Value;

use crate::node::{MAX_DEPTH, NodeRef, Origin, Schema};

impl Schema {
    /// Sets the defaults of absent fields and removes nulls that are no values.
    pub fn default(&self, object: &mut Value) {
        match self.origin {
            Origin::Untyped => {}
            Origin::Builtin => apply(self.root(), object, 0),
            Origin::Custom => {
                apply(self.root(), object, 0);
                drop_nulls(self.root(), object, 0);
            }
        }
    }
}

/// Sets defaults below `value`.
pub(crate) fn apply(node: NodeRef<'_>, value: &mut Value, depth: usize) {
    if depth > MAX_DEPTH || node.is_meta() {
        return;
    }
    match value {
        Value::Object(map) => {
            for (name, field) in node.properties() {
                let Some(default) = field.default_value() else { continue };
                match map.get_mut(name) {
                    None => {
                        map.insert(name.to_owned(), default.clone());
                    }
                    Some(present) if present.is_null() && !field.nullable() => *present = default.clone(),
                    Some(_) => {}
                }
            }
            for (name, present) in map.iter_mut() {
                let Some(field) = node.field(name) else { continue };
                if present.is_null()
                    && !field.nullable()
                    && node.property(name).is_none()
                    && let Some(default) = field.default_value()
                {
                    *present = default.clone();
                }
                apply(field, present, depth + 1);
            }
        }
        Value::Array(items) => {
            let Some(below) = node.items() else { return };
            for item in items {
                if item.is_null()
                    && !below.nullable()
                    && let Some(default) = below.default_value()
                {
                    *item = default.clone();
                }
                apply(below, item, depth + 1);
            }
        }
        _ => {}
    }
}

/// Removes the nulls of fields that are not nullable and have no default.
pub(crate) fn drop_nulls(node: NodeRef<'_>, value: &mut Value, depth: usize) {
    if depth > MAX_DEPTH || node.is_meta() {
        return;
    }
    match value {
        Value::Object(map) => map.retain(|name, present| {
            let Some(field) = node.field(name) else { return true };
            if present.is_null() && !field.nullable() && field.default_value().is_none() && !field.is_meta() {
                return false;
            }
            drop_nulls(field, present, depth + 1);
            true
        }),
        Value::Array(items) => {
            if let Some(below) = node.items() {
                for item in items {
                    drop_nulls(below, item, depth + 1);
                }
            }
        }
        _ => {}
    }
}
