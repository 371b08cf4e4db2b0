//! A structural schema out of the OpenAPI document of another cluster.

use kcp_apimachinery::{FieldPath, GroupVersionKind};
use serde_json::{Map, Value, json};

/// More nodes than this no type of Kubernetes has by far.
const MAX_NODES: usize = 100_000;

/// Why a type cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The document describes no such kind.
    #[error("the OpenAPI document has no definition of {0}")]
    NotFound(GroupVersionKind),
    /// A type contains itself: a structural schema would have no end.
    #[error("{path}: the schema is recursive: {name} contains itself")]
    Recursive {
        /// Where it does.
        path: String,
        /// Which type.
        name: String,
    },
    /// A reference leads nowhere.
    #[error("{path}: {target} is not in the OpenAPI document")]
    Unresolved {
        /// Where it stands.
        path: String,
        /// The reference.
        target: String,
    },
    /// The schema, written out, is too large.
    #[error("the schema has more than {MAX_NODES} fields")]
    TooLarge,
}

/// Converts the definition of `gvk` in an OpenAPI v2 or v3 document into the structural schema of a CRD version.
///
/// References are written out, types of Kubernetes that a structural schema cannot express get fixed schemas, lists get
/// the list type that strategic merge patch treats them by (the patch extensions stay, so that such patches work), and
/// defaults are dropped: the cluster that the type comes from applies its own. The keys of a list of type map keep or
/// get a default when they are optional, because without one such a list is not structural.
///
/// # Errors
/// When the kind is missing, refers to something missing, or is recursive.
pub fn import(document: &Value, gvk: &GroupVersionKind) -> Result<Value, ImportError> {
    let definitions = document
        .get("definitions")
        .or_else(|| document.pointer("/components/schemas"))
        .and_then(Value::as_object)
        .ok_or_else(|| ImportError::NotFound(gvk.clone()))?;
    let (name, schema) = definitions
        .iter()
        .find(|(_, schema)| stands_for(schema, gvk))
        .ok_or_else(|| ImportError::NotFound(gvk.clone()))?;
    let mut import = Import { definitions, open: vec![name.clone()], nodes: 0 };
    let mut root = import.schema(&FieldPath::root(), schema)?;
    if let Value::Object(map) = &mut root {
        map.insert("type".into(), "object".into());
        let properties = map.entry("properties").or_insert_with(|| json!({}));
        if let Value::Object(properties) = properties
            && properties.contains_key("metadata")
        {
            // The server knows the metadata of an object; a schema may say nothing about it.
            properties.insert("metadata".into(), json!({"type": "object"}));
        }
        if let Some(Value::Array(required)) = map.get_mut("required") {
            required.retain(|n| !matches!(n.as_str(), Some("apiVersion" | "kind" | "metadata")));
        }
    }
    Ok(root)
}

fn stands_for(schema: &Value, gvk: &GroupVersionKind) -> bool {
    let kinds = schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
    let text = |kind: &Value, key: &str| kind.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    // A definition of several kinds is one of the helpers that every group has.
    kinds.is_some_and(|kinds| {
        matches!(kinds.as_slice(), [k] if text(k, "group") == gvk.group && text(k, "version") == gvk.version && text(k, "kind") == gvk.kind)
    })
}

struct Import<'a> {
    definitions: &'a Map<String, Value>,
    /// The definitions that are being written out.
    open: Vec<String>,
    nodes: usize,
}

impl Import<'_> {
    fn schema(&mut self, path: &FieldPath, schema: &Value) -> Result<Value, ImportError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(ImportError::TooLarge);
        }
        let Value::Object(from) = schema else { return Ok(anything()) };
        if let Some(target) = reference(from) {
            let mut out = self.referenced(path, target)?;
            if let Value::Object(out) = &mut out {
                for (key, value) in from {
                    if key == "description" || key == "nullable" || is_kept_extension(key) {
                        out.insert(key.clone(), value.clone());
                    }
                }
                list_type(out);
            }
            return Ok(out);
        }
        self.plain(path, from)
    }

    fn referenced(&mut self, path: &FieldPath, target: &str) -> Result<Value, ImportError> {
        let name = target.rsplit('/').next().unwrap_or(target);
        if let Some(fixed) = fixed(name) {
            return Ok(fixed);
        }
        if self.open.iter().any(|open| open == name) {
            return Err(ImportError::Recursive { path: path.to_string(), name: name.to_owned() });
        }
        let Some(schema) = self.definitions.get(name) else {
            return Err(ImportError::Unresolved { path: path.to_string(), target: target.to_owned() });
        };
        self.open.push(name.to_owned());
        let out = self.schema(path, schema);
        self.open.pop();
        out
    }

    fn plain(&mut self, path: &FieldPath, from: &Map<String, Value>) -> Result<Value, ImportError> {
        let mut out = Map::new();
        for (key, value) in from {
            match key.as_str() {
                "properties" => {
                    let mut properties = Map::new();
                    for (name, child) in value.as_object().into_iter().flatten() {
                        properties.insert(name.clone(), self.schema(&path.child(name), child)?);
                    }
                    out.insert(key.clone(), properties.into());
                }
                "items" => {
                    out.insert(key.clone(), self.schema(&path.child("items"), value)?);
                }
                "additionalProperties" if value.is_object() => {
                    out.insert(key.clone(), self.schema(&path.child("additionalProperties"), value)?);
                }
                "format" if value == "int-or-string" => return Ok(int_or_string()),
                _ if is_kept(key) || is_kept_extension(key) => {
                    out.insert(key.clone(), value.clone());
                }
                _ => {}
            }
        }
        let is_int_or_string = out.get("x-kubernetes-int-or-string").and_then(Value::as_bool) == Some(true);
        match out.get("type").and_then(Value::as_str) {
            None if is_int_or_string => {}
            None if out.contains_key("properties") => {
                out.insert("type".into(), "object".into());
            }
            None => {
                out.retain(|key, _| key == "description" || key == "nullable");
                out.insert("x-kubernetes-preserve-unknown-fields".into(), true.into());
            }
            Some("array") if !out.contains_key("items") => {
                out.insert("items".into(), anything());
            }
            Some("object") if !out.contains_key("properties") && !out.contains_key("additionalProperties") => {
                out.insert("x-kubernetes-preserve-unknown-fields".into(), true.into());
            }
            Some(_) => {}
        }
        list_type(&mut out);
        Ok(out.into())
    }
}

/// The target of a reference that stands alone or, so that it may have siblings, in `allOf`.
fn reference(from: &Map<String, Value>) -> Option<&str> {
    if let Some(target) = from.get("$ref").and_then(Value::as_str) {
        return Some(target);
    }
    match from.get("allOf")?.as_array()?.as_slice() {
        [one] if !from.contains_key("properties") => one.get("$ref")?.as_str(),
        _ => None,
    }
}

fn is_kept(key: &str) -> bool {
    matches!(
        key,
        "type"
            | "format"
            | "description"
            | "title"
            | "nullable"
            | "enum"
            | "required"
            | "maximum"
            | "exclusiveMaximum"
            | "minimum"
            | "exclusiveMinimum"
            | "multipleOf"
            | "maxLength"
            | "minLength"
            | "pattern"
            | "maxItems"
            | "minItems"
            | "maxProperties"
            | "minProperties"
            | "uniqueItems"
            | "additionalProperties"
            | "allOf"
            | "anyOf"
            | "oneOf"
            | "not"
    )
}

fn is_kept_extension(key: &str) -> bool {
    matches!(
        key,
        "x-kubernetes-patch-strategy"
            | "x-kubernetes-patch-merge-key"
            | "x-kubernetes-list-type"
            | "x-kubernetes-list-map-keys"
            | "x-kubernetes-map-type"
            | "x-kubernetes-int-or-string"
            | "x-kubernetes-preserve-unknown-fields"
            | "x-kubernetes-embedded-resource"
    )
}

fn anything() -> Value {
    json!({"x-kubernetes-preserve-unknown-fields": true})
}

fn any_object() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn int_or_string() -> Value {
    json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]})
}

const QUANTITY: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// The schemas of types that a document describes too loosely, or by recursion.
fn fixed(name: &str) -> Option<Value> {
    let meta = name.strip_prefix("io.k8s.apimachinery.pkg.");
    let schema = match meta.unwrap_or(name) {
        "apis.meta.v1.ObjectMeta" | "apis.meta.v1.FieldsV1" | "apis.meta.v1.ListMeta" | "runtime.RawExtension" => {
            any_object()
        }
        "apis.meta.v1.Time" | "apis.meta.v1.MicroTime" => json!({"type": "string", "format": "date-time"}),
        "apis.meta.v1.Duration" => json!({"type": "string"}),
        "api.resource.Quantity" => {
            let mut quantity = int_or_string();
            if let Value::Object(map) = &mut quantity {
                map.insert("pattern".into(), QUANTITY.into());
            }
            quantity
        }
        "util.intstr.IntOrString" => int_or_string(),
        "io.k8s.api.core.v1.Protocol" => json!({"type": "string", "default": "TCP"}),
        other => {
            let json = other.strip_prefix("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.")?;
            match json.split_once('.')?.1 {
                "JSONSchemaProps" => any_object(),
                "JSON" | "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray" => {
                    anything()
                }
                _ => return None,
            }
        }
    };
    Some(schema)
}

/// Sets the list type of an array from how it is patched, and makes sure that the keys of a map are always there.
fn list_type(schema: &mut Map<String, Value>) {
    if schema.get("type").and_then(Value::as_str) != Some("array") {
        return;
    }
    let text = |key: &str| schema.get(key).and_then(Value::as_str).map(str::to_owned);
    let merges = text("x-kubernetes-patch-strategy").is_some_and(|s| s.split(',').any(|s| s == "merge"));
    let (list_type, keys) = match (text("x-kubernetes-list-type").as_deref(), text("x-kubernetes-patch-merge-key")) {
        (Some("map"), _) => ("map", schema.get("x-kubernetes-list-map-keys").cloned().unwrap_or_else(|| json!([]))),
        (Some("set"), _) => ("set", Value::Null),
        (Some(_), _) => ("atomic", Value::Null),
        (None, Some(key)) if merges => {
            ("map", schema.get("x-kubernetes-list-map-keys").cloned().unwrap_or_else(|| json!([key])))
        }
        (None, None) if merges => ("set", Value::Null),
        (None, _) => ("atomic", Value::Null),
    };
    let keys: Vec<String> =
        keys.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let scalar_items = matches!(
        schema.get("items").and_then(|i| i.get("type")).and_then(Value::as_str),
        Some("string" | "integer" | "number" | "boolean")
    );
    schema.remove("x-kubernetes-list-map-keys");
    let decided = match list_type {
        "map" if !keys.is_empty() && schema.get_mut("items").is_some_and(|items| complete_keys(items, &keys)) => {
            schema.insert("x-kubernetes-list-map-keys".into(), keys.into());
            "map"
        }
        "set" if scalar_items => "set",
        _ => "atomic",
    };
    schema.insert("x-kubernetes-list-type".into(), decided.into());
}

/// Makes each key required or gives it a default. Whether all are there, as scalars.
fn complete_keys(items: &mut Value, keys: &[String]) -> bool {
    let Value::Object(items) = items else { return false };
    let required: Vec<String> = items
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let Some(Value::Object(properties)) = items.get_mut("properties") else { return false };
    let scalar = |p: Option<&Value>| {
        matches!(
            p.and_then(|p| p.get("type")).and_then(Value::as_str),
            Some("string" | "integer" | "number" | "boolean")
        )
    };
    if !keys.iter().all(|key| scalar(properties.get(key))) {
        return false;
    }
    for key in keys.iter().filter(|key| !required.contains(key)) {
        let Some(Value::Object(property)) = properties.get_mut(key) else { continue };
        let default = match property.get("type").and_then(Value::as_str) {
            Some("string") if key == "protocol" => json!("TCP"),
            Some("string") => json!(""),
            Some("boolean") => json!(false),
            _ => json!(0),
        };
        property.entry("default").or_insert(default);
    }
    true
}
