//! Reading and writing the envelope of an object held as a JSON tree.

use serde_json::{Map, Value};

use crate::gvk::{GroupVersion, GroupVersionKind};

/// An object as a JSON tree.
pub type Object = Map<String, Value>;

/// The text at `metadata.<field>`, empty when absent.
pub fn meta_str<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get("metadata").and_then(|m| m.get(field)).and_then(Value::as_str).unwrap_or_default()
}

/// `metadata.name`, empty when absent.
pub fn name(object: &Value) -> &str {
    meta_str(object, "name")
}

/// `metadata.namespace`, empty when absent.
pub fn namespace(object: &Value) -> &str {
    meta_str(object, "namespace")
}

/// `metadata.uid`, empty when absent.
pub fn uid(object: &Value) -> &str {
    meta_str(object, "uid")
}

/// `metadata.resourceVersion`, empty when absent.
pub fn resource_version(object: &Value) -> &str {
    meta_str(object, "resourceVersion")
}

/// `metadata.generation`, 0 when absent.
pub fn generation(object: &Value) -> i64 {
    object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0)
}

/// `metadata.labels[key]`.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("labels")?.get(key)?.as_str()
}

/// `metadata.annotations[key]`.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(key)?.as_str()
}

/// `metadata.finalizers`, as texts.
pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    object.pointer("/metadata/finalizers").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Whether `metadata.deletionTimestamp` is set.
pub fn is_deleting(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(|t| !t.is_null())
}

/// The kind that the object says it has; `None` when `apiVersion` or `kind` is missing or malformed.
pub fn gvk(object: &Value) -> Option<GroupVersionKind> {
    let gv = GroupVersion::parse(object.get("apiVersion")?.as_str()?)?;
    Some(GroupVersionKind::new(gv.group, gv.version, object.get("kind")?.as_str()?))
}

/// The object's `metadata` map, made when it is missing or not a map. A value that is no map becomes one.
pub fn meta_mut(object: &mut Value) -> &mut Object {
    child_mut(object, "metadata")
}

/// The map at `field` of the map `value`; either is made when it is missing or of another type.
pub fn child_mut<'a>(value: &'a mut Value, field: &str) -> &'a mut Object {
    let map = as_map(value);
    as_map(map.entry(field).or_insert_with(|| Value::Object(Map::new())))
}

/// `value` as a map, which it is made when it is none.
pub fn as_map(value: &mut Value) -> &mut Object {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made a map above"),
    }
}

/// Sets `metadata.labels[key]`.
pub fn set_label(object: &mut Value, key: &str, value: &str) {
    let meta = meta_mut(object);
    as_map(meta.entry("labels").or_insert(Value::Null)).insert(key.to_owned(), value.into());
}

/// Sets `metadata.annotations[key]`.
pub fn set_annotation(object: &mut Value, key: &str, value: &str) {
    let meta = meta_mut(object);
    as_map(meta.entry("annotations").or_insert(Value::Null)).insert(key.to_owned(), value.into());
}
