//! The components of a custom resource: its schema with what every object has added, and its list (O-09, O-14).

use std::sync::LazyLock;

use kcp_apimachinery::GroupVersionKind;
use serde_json::{Map, Value, json};

use super::{GVK, ResourceDoc, gvk_value, reference};

pub(super) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
pub(super) const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
pub(super) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
pub(super) const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";

const API_VERSION_TEXT: &str = "APIVersion defines the versioned schema of this representation of an object. Servers \
    should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND_TEXT: &str = "Kind is a string value representing the REST resource this object represents. Servers may \
    infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const METADATA_TEXT: &str = "Standard object's metadata. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const LIST_METADATA_TEXT: &str = "Standard list metadata. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/// The components that every document of custom resources needs, recorded from a Kubernetes 1.36 API server.
#[expect(clippy::expect_used, reason = "the text is part of the program and every test of a document reads it")]
static META: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("meta.json")).expect("the embedded components are JSON"));

pub(super) fn meta_components() -> Map<String, Value> {
    META.clone()
}

/// The name of a kind's component: the group's labels reversed, the version, the kind (`io.example.v1.Widget`).
pub fn component_name(gvk: &GroupVersionKind) -> String {
    let group: Vec<&str> = match gvk.group.as_str() {
        "" => vec!["core"],
        group => group.rsplit('.').collect(),
    };
    format!("{}.{}.{}", group.join("."), gvk.version, gvk.kind)
}

pub(super) fn list_gvk(resource: &ResourceDoc<'_>) -> GroupVersionKind {
    GroupVersionKind { kind: resource.list_kind.to_owned(), ..resource.gvk.clone() }
}

/// Adds the components of `resource`.
pub(super) fn add_components(resource: &ResourceDoc<'_>, into: &mut Map<String, Value>) {
    let list = list_gvk(resource);
    let kind = &resource.gvk.kind;
    into.insert(component_name(&resource.gvk), object_schema(resource));
    into.insert(
        component_name(&list),
        json!({
            "description": format!("{} is a list of {kind}", list.kind),
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": {"description": API_VERSION_TEXT, "type": "string"},
                "kind": {"description": KIND_TEXT, "type": "string"},
                "metadata": described(LIST_METADATA_TEXT, LIST_META),
                "items": {
                    "description": format!(
                        "List of {}. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md",
                        resource.plural
                    ),
                    "type": "array",
                    "items": reference(&component_name(&resource.gvk)),
                },
            },
            GVK: [gvk_value(&list)],
        }),
    );
}

fn described(text: &str, component: &str) -> Value {
    json!({"description": text, "allOf": [reference(component)]})
}

fn object_schema(resource: &ResourceDoc<'_>) -> Value {
    let mut schema = match resource.schema {
        Some(Value::Object(schema)) => Value::Object(schema.clone()),
        // Without a schema there is nothing to tell, not even what every object has: older clients would take the
        // few properties for all there are.
        _ => json!({"type": "object"}),
    };
    if resource.schema.is_some_and(Value::is_object) {
        embed(&mut schema);
        add_object_properties(&mut schema, false);
    }
    if let Value::Object(map) = &mut schema {
        map.insert(GVK.into(), json!([gvk_value(&resource.gvk)]));
        if !resource.selectable_fields.is_empty() {
            let fields: Vec<Value> = resource
                .selectable_fields
                .iter()
                .map(|path| json!({"fieldPath": path.strip_prefix('.').unwrap_or(path)}))
                .collect();
            map.insert("x-kubernetes-selectable-fields".into(), fields.into());
        }
    }
    schema
}

/// Completes every embedded object below `schema`. The depth of a JSON tree that was parsed is bounded.
fn embed(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    for value in map.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(|p| p.values_mut()) {
        embed_child(value);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(value) = map.get_mut(key) {
            embed_child(value);
        }
    }
}

fn embed_child(schema: &mut Value) {
    embed(schema);
    if schema.get("x-kubernetes-embedded-resource").and_then(Value::as_bool) == Some(true) {
        add_object_properties(schema, true);
    }
}

fn add_object_properties(schema: &mut Value, require_type: bool) {
    let Value::Object(map) = schema else { return };
    let properties = map.entry("properties").or_insert_with(|| json!({}));
    if let Value::Object(properties) = properties {
        properties.insert("apiVersion".into(), json!({"description": API_VERSION_TEXT, "type": "string"}));
        properties.insert("kind".into(), json!({"description": KIND_TEXT, "type": "string"}));
        properties.insert("metadata".into(), described(METADATA_TEXT, OBJECT_META));
    }
    if require_type {
        let required = map.entry("required").or_insert_with(|| json!([]));
        if let Value::Array(list) = required {
            for name in ["kind", "apiVersion"] {
                if !list.iter().any(|n| n == name) {
                    list.push(name.into());
                }
            }
        }
    }
}
