//! Whether one structural schema can stand for another, and the least common denominator of the two.
//!
//! A schema that several physical clusters have to take must refuse what any of them refuses. [`lcd`] compares an
//! existing schema with a new one: without narrowing it says whether every object that the existing one takes is taken
//! by the new one too; with narrowing it returns the part of the existing schema for which that is so. What the
//! comparison does not understand must be equal in both.
//!
//! [`import`] makes such a schema from the OpenAPI document of another cluster.

mod import;

pub use import::{ImportError, import};

use std::collections::BTreeSet;

use kcp_apimachinery::{FieldError, FieldPath, field::FieldErrors, validation};
use serde_json::{Map, Value};

/// Constraints that are compared as a whole.
const EQUAL: &[&str] = &[
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "multipleOf",
    "maxLength",
    "minLength",
    "pattern",
    "format",
    "maxItems",
    "minItems",
    "maxProperties",
    "minProperties",
    "not",
    "allOf",
    "anyOf",
    "oneOf",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-int-or-string",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
];

const CHANGED: &str = "has been changed in an incompatible way";

/// Compares `new` with `existing`; both are structural schemas of a whole object.
///
/// # Errors
/// Every place where an object that `existing` takes may not be taken by `new`; with `narrow` only those for which
/// there is no common denominator.
pub fn lcd(existing: &Value, new: &Value, narrow: bool) -> Result<Value, FieldErrors> {
    let mut compare = Compare { narrow, errors: Vec::new() };
    let out = compare.schema(&FieldPath::root(), existing, new, true);
    if compare.errors.is_empty() { Ok(out) } else { Err(compare.errors) }
}

/// Removes from the findings about a CustomResourceDefinition those that a type learned from another cluster may have:
/// a group without a dot, or none, in which case its name ends in `core`. Only whoever publishes learned types may
/// create such a definition; once it is there, anybody who may change it can.
pub fn tolerate_learned(crd: &Value, errors: &mut FieldErrors) {
    let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (name, group, plural) = (text("/metadata/name"), text("/spec/group"), text("/spec/names/plural"));
    let expected = format!("{plural}.{}", if group.is_empty() { "core" } else { group });
    if name != expected || !group.is_empty() && !validation::is_dns1123_label(group) {
        return;
    }
    errors.retain(|error| match error.path.as_str() {
        "spec.group" => group.contains('.'),
        "metadata.name" => !group.is_empty(),
        _ => true,
    });
}

struct Compare {
    narrow: bool,
    errors: FieldErrors,
}

impl Compare {
    fn changed(&mut self, path: &FieldPath, field: &str, new: Option<&Value>) {
        let value = new.cloned().unwrap_or(Value::Null);
        self.errors.push(FieldError::invalid(&path.child(field), value, &format!("{field} value {CHANGED}")));
    }

    /// The part of `existing` that `new` takes as well. Depth is bounded: both were parsed from JSON.
    fn schema(&mut self, path: &FieldPath, existing: &Value, new: &Value, root: bool) -> Value {
        let empty = Map::new();
        let old_map = existing.as_object().unwrap_or(&empty);
        let new_map = new.as_object().unwrap_or(&empty);
        let mut out = old_map.clone();
        if !self.types(path, old_map, new_map, &mut out) {
            return out.into();
        }
        for key in EQUAL {
            // The usual anyOf of an int-or-string says nothing that the flag does not say.
            if *key == "anyOf" && flag(old_map, "x-kubernetes-int-or-string") && usual(old_map) && usual(new_map) {
                continue;
            }
            if *key == "anyOf"
                && new_map.get("anyOf").is_none()
                && flag(new_map, "x-kubernetes-int-or-string")
                && usual(old_map)
            {
                continue;
            }
            if differs(old_map.get(*key), new_map.get(*key)) {
                self.changed(path, key, new_map.get(*key));
            }
        }
        self.nullable(path, old_map, new_map, &mut out);
        self.enumeration(path, old_map, new_map, &mut out);
        if differs(old_map.get("default"), new_map.get("default")) && self.narrow {
            // Which default were right? Leaving the field out is right everywhere.
            out.remove("default");
        }
        match old_map.get("type").and_then(Value::as_str) {
            Some("array") => self.array(path, old_map, new_map, &mut out),
            Some("object") => self.object(path, old_map, new_map, &mut out, root),
            _ => {}
        }
        out.into()
    }

    /// Whether the types agree well enough to compare the rest.
    fn types(
        &mut self,
        path: &FieldPath,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        out: &mut Map<String, Value>,
    ) -> bool {
        let text = |map: &Map<String, Value>| map.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let (was, now) = (text(old), text(new));
        match (was.as_str(), now.as_str()) {
            (a, b) if a == b => true,
            // Every integer is a number.
            ("integer", "number") => true,
            ("number", "integer") if self.narrow => {
                out.insert("type".into(), "integer".into());
                true
            }
            _ => {
                let text = format!("The type changed (was {was:?}, now {now:?})");
                self.errors.push(FieldError::invalid(&path.child("type"), now, &text));
                false
            }
        }
    }

    fn nullable(
        &mut self,
        path: &FieldPath,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        out: &mut Map<String, Value>,
    ) {
        if flag(old, "nullable") && !flag(new, "nullable") {
            if self.narrow {
                out.remove("nullable");
            } else {
                self.changed(path, "nullable", new.get("nullable"));
            }
        }
    }

    fn enumeration(
        &mut self,
        path: &FieldPath,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        out: &mut Map<String, Value>,
    ) {
        let list =
            |map: &Map<String, Value>| map.get("enum").and_then(Value::as_array).filter(|l| !l.is_empty()).cloned();
        match (list(old), list(new)) {
            (_, None) => {}
            (None, Some(allowed)) if self.narrow => {
                out.insert("enum".into(), allowed.into());
            }
            (None, Some(_)) => self.changed(path, "enum", new.get("enum")),
            (Some(was), Some(allowed)) => {
                let common: Vec<Value> = was.iter().filter(|v| allowed.contains(v)).cloned().collect();
                if common.len() == was.len() {
                    return;
                }
                if self.narrow && !common.is_empty() {
                    out.insert("enum".into(), common.into());
                } else {
                    self.changed(path, "enum", new.get("enum"));
                }
            }
        }
    }

    fn array(
        &mut self,
        path: &FieldPath,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        out: &mut Map<String, Value>,
    ) {
        if flag(new, "uniqueItems") && !flag(old, "uniqueItems") {
            if self.narrow {
                out.insert("uniqueItems".into(), true.into());
            } else {
                self.changed(path, "uniqueItems", new.get("uniqueItems"));
            }
        }
        // No list type is the same as atomic.
        let list_type = |map: &Map<String, Value>| {
            map.get("x-kubernetes-list-type").and_then(Value::as_str).unwrap_or("atomic").to_owned()
        };
        if list_type(old) != list_type(new) {
            self.changed(path, "x-kubernetes-list-type", new.get("x-kubernetes-list-type"));
        }
        let keys =
            |map: &Map<String, Value>| -> BTreeSet<String> { names(map.get("x-kubernetes-list-map-keys")).collect() };
        if keys(old) != keys(new) {
            self.changed(path, "x-kubernetes-list-map-keys", new.get("x-kubernetes-list-map-keys"));
        }
        match (old.get("items"), new.get("items")) {
            (Some(was), Some(now)) => {
                let items = self.schema(&path.child("items"), was, now, false);
                out.insert("items".into(), items);
            }
            (None, Some(now)) => self.changed(path, "items", Some(now)),
            (_, None) => {}
        }
    }

    fn object(
        &mut self,
        path: &FieldPath,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        out: &mut Map<String, Value>,
        root: bool,
    ) {
        let old_properties = old.get("properties").and_then(Value::as_object).filter(|p| !p.is_empty());
        let new_properties = new.get("properties").and_then(Value::as_object).filter(|p| !p.is_empty());
        let new_additional = new.get("additionalProperties").filter(|v| **v != Value::Bool(false));
        if let Some(properties) = old_properties {
            let mut kept = Map::new();
            let mut removed = Vec::new();
            for (name, was) in properties {
                // What every object has is the same everywhere, whatever a schema repeats of it.
                if root && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                    kept.insert(name.clone(), was.clone());
                    continue;
                }
                let at = path.child("properties").key(name);
                match (new_properties.and_then(|p| p.get(name)), new_additional) {
                    (Some(now), _) => {
                        let child = self.schema(&at, was, now, false);
                        kept.insert(name.clone(), child);
                    }
                    (None, Some(Value::Bool(_))) => {
                        kept.insert(name.clone(), was.clone());
                    }
                    (None, Some(now)) => {
                        let child = self.schema(&at, was, now, false);
                        kept.insert(name.clone(), child);
                    }
                    (None, None) => removed.push(name.clone()),
                }
            }
            let required: BTreeSet<String> = names(old.get("required")).collect();
            let needed: Vec<String> = removed.iter().filter(|name| required.contains(*name)).cloned().collect();
            if !removed.is_empty() && (!self.narrow || !needed.is_empty()) {
                let list = if self.narrow { needed } else { removed };
                self.errors.push(FieldError::invalid(
                    &path.child("properties"),
                    list,
                    "properties have been removed in an incompatible way",
                ));
            }
            out.insert("properties".into(), kept.into());
        }
        match (old.get("additionalProperties").filter(|v| **v != Value::Bool(false)), new_additional) {
            (None, _) | (Some(_), Some(Value::Bool(_))) => {}
            (Some(was), Some(now)) => {
                let child = self.schema(&path.child("additionalProperties"), was, now, false);
                out.insert("additionalProperties".into(), child);
            }
            (Some(_), None) if flag(new, "x-kubernetes-preserve-unknown-fields") => {}
            (Some(_), None) => self.changed(path, "additionalProperties", new.get("additionalProperties")),
        }
        self.required(path, old, new, out, root);
    }

    fn required(
        &mut self,
        path: &FieldPath,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        out: &mut Map<String, Value>,
        root: bool,
    ) {
        let was: BTreeSet<String> = names(old.get("required")).collect();
        let more: Vec<String> = names(new.get("required"))
            .filter(|n| !was.contains(n))
            .filter(|n| !root || !matches!(n.as_str(), "apiVersion" | "kind" | "metadata"))
            .collect();
        if more.is_empty() {
            return;
        }
        let known = |name: &String| out.get("properties").and_then(|p| p.get(name)).is_some();
        if self.narrow && more.iter().all(known) {
            let all: Vec<String> = was.into_iter().chain(more).collect();
            out.insert("required".into(), all.into());
        } else {
            self.changed(path, "required", new.get("required"));
        }
    }
}

fn flag(map: &Map<String, Value>, key: &str) -> bool {
    map.get(key).and_then(Value::as_bool) == Some(true)
}

fn names(list: Option<&Value>) -> impl Iterator<Item = String> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)
}

/// Whether two constraints differ; one that is off is the same as none.
fn differs(a: Option<&Value>, b: Option<&Value>) -> bool {
    let on = |v: &&Value| !matches!(v, Value::Null | Value::Bool(false)) && v.as_array().is_none_or(|l| !l.is_empty());
    a.filter(on) != b.filter(on)
}

/// Whether there is no `anyOf`, or the one that goes with an int-or-string.
fn usual(map: &Map<String, Value>) -> bool {
    let Some(list) = map.get("anyOf").and_then(Value::as_array) else { return true };
    let types: Vec<&str> =
        list.iter().filter_map(|branch| branch.as_object().filter(|o| o.len() == 1)?.get("type")?.as_str()).collect();
    types.len() == list.len() && matches!(types.as_slice(), ["integer", "string"] | ["string", "integer"])
}

#[cfg(test)]
mod tests;
