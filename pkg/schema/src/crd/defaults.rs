//! What a CRD gets before it is validated (CRD-02).
//!
//! Upstream decodes CRDs into Go structs; what that loses or adds is done here: nulls are absent, empty optional
//! settings vanish, `served` and `storage` are always there.

use kcp_apimachinery::object::as_map;
use serde_json::{Map, Value, json};

use super::view::{flag, text, texts};
use crate::node::MAX_DEPTH;

/// Fills in what the author of a CRD may leave out.
pub fn default_crd(crd: &mut Value) {
    let Some(Value::Object(spec)) = crd.get_mut("spec") else { return };
    spec.retain(|_, value| !value.is_null());
    drop_false(spec, &["preserveUnknownFields"]);
    if let Some(Value::Object(names)) = spec.get_mut("names") {
        default_names(names);
    }
    let conversion = as_map(spec.entry("conversion").or_insert_with(|| json!({"strategy": "None"})));
    conversion.retain(|_, value| !value.is_null());
    if let Some(service) = conversion
        .get_mut("webhook")
        .and_then(|webhook| webhook.get_mut("clientConfig"))
        .and_then(|config| config.get_mut("service"))
        .and_then(Value::as_object_mut)
    {
        service.entry("port").or_insert(443.into());
    }
    for version in spec.get_mut("versions").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::Object(version) = version {
            default_version(version);
        }
    }
}

fn default_names(names: &mut Map<String, Value>) {
    names.retain(|_, value| !value.is_null());
    drop_empty(names, &["shortNames", "categories"]);
    let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let missing = |names: &Map<String, Value>, field: &str| {
        names.get(field).is_none_or(|value| value.as_str().is_some_and(str::is_empty))
    };
    if missing(names, "singular") && !kind.is_empty() {
        names.insert("singular".to_owned(), kind.to_lowercase().into());
    }
    if missing(names, "listKind") && !kind.is_empty() {
        names.insert("listKind".to_owned(), format!("{kind}List").into());
    }
}

fn default_version(version: &mut Map<String, Value>) {
    version.retain(|_, value| !value.is_null());
    drop_false(version, &["deprecated"]);
    drop_empty(version, &["additionalPrinterColumns", "selectableFields"]);
    for field in ["served", "storage"] {
        version.entry(field).or_insert(false.into());
    }
    for column in version.get_mut("additionalPrinterColumns").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::Object(column) = column {
            column.retain(|name, value| {
                let empty =
                    value.as_str().is_some_and(str::is_empty) && matches!(name.as_str(), "format" | "description");
                !(value.is_null() || empty || (name == "priority" && value.as_i64() == Some(0)))
            });
        }
    }
    if let Some(schema) = version.get_mut("schema").and_then(|schema| schema.get_mut("openAPIV3Schema")) {
        canonical(schema, 0);
    }
}

/// Keywords whose false says nothing.
const FLAGS: [&str; 6] = [
    "nullable",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "uniqueItems",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
];
/// Keywords whose empty value says nothing.
const LISTS: [&str; 9] = [
    "required",
    "enum",
    "allOf",
    "anyOf",
    "oneOf",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
    "properties",
    "patternProperties",
];
const TEXTS: [&str; 6] = ["type", "format", "title", "description", "pattern", "id"];

fn canonical(schema: &mut Value, depth: usize) {
    let Value::Object(schema) = schema else { return };
    if depth > MAX_DEPTH {
        return;
    }
    schema.retain(|_, value| !value.is_null());
    drop_false(schema, &FLAGS);
    drop_empty(schema, &LISTS);
    for name in TEXTS {
        if schema.get(name).and_then(Value::as_str).is_some_and(str::is_empty) {
            schema.remove(name);
        }
    }
    for name in ["items", "additionalProperties", "not", "additionalItems"] {
        if let Some(below) = schema.get_mut(name) {
            canonical(below, depth + 1);
        }
    }
    for name in ["properties", "patternProperties", "definitions"] {
        for below in schema.get_mut(name).and_then(Value::as_object_mut).into_iter().flat_map(|map| map.values_mut()) {
            canonical(below, depth + 1);
        }
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for below in schema.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
            canonical(below, depth + 1);
        }
    }
}

fn drop_false(map: &mut Map<String, Value>, fields: &[&str]) {
    for field in fields {
        if map.get(*field) == Some(&Value::Bool(false)) {
            map.remove(*field);
        }
    }
}

fn drop_empty(map: &mut Map<String, Value>, fields: &[&str]) {
    for field in fields {
        let empty = match map.get(*field) {
            Some(Value::Array(list)) => list.is_empty(),
            Some(Value::Object(fields)) => fields.is_empty(),
            _ => false,
        };
        if empty {
            map.remove(*field);
        }
    }
}

/// Gives a new CRD its status: no names accepted yet, the storage version stored.
pub fn prepare_create(crd: &mut Value) {
    let status = json!({"conditions": null, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": null});
    as_map(crd).insert("status".to_owned(), status);
    store_version(crd);
}

/// Keeps the status of a CRD through an update of its spec; a new storage version becomes a stored one (CRD-07).
pub fn prepare_update(new: &mut Value, old: &Value) {
    let map = as_map(new);
    match old.get("status") {
        Some(status) => map.insert("status".to_owned(), status.clone()),
        None => map.remove("status"),
    };
    store_version(new);
}

fn store_version(crd: &mut Value) {
    let versions = crd.get("spec").and_then(|spec| spec.get("versions")).and_then(Value::as_array);
    let storage = versions.into_iter().flatten().find(|version| flag(version, "storage"));
    let Some(name) = storage.map(|version| text(version, "name").to_owned()) else { return };
    let stored = crd.get("status").map(|status| texts(status, "storedVersions").contains(&name.as_str()));
    if stored == Some(true) {
        return;
    }
    let status = as_map(as_map(crd).entry("status").or_insert(Value::Null));
    match status.get_mut("storedVersions") {
        Some(Value::Array(list)) => list.push(name.into()),
        _ => {
            status.insert("storedVersions".to_owned(), json!([name]));
        }
    }
}
