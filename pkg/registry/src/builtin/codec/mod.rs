//! What Kubernetes' Go types do to JSON, as data: which values a field takes, which zero values are always written,
//! which empty ones never are.
//!
//! A built-in object is decoded into a struct and encoded again, and clients see the difference: a wrong type is 400
//! with a text of its own, `"1.5"` comes back as `1500m`, an empty list vanishes, `eventTime` is `null` rather than
//! absent. [`apply`] does the same to a JSON tree, in one pass, from the recorded schemas.

mod decode;
mod time;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use parking_lot::RwLock;
use serde_json::{Map, Value};

/// The type of a value.
#[derive(Debug, Clone)]
enum Ty {
    String,
    Bytes,
    Bool,
    Int32,
    Int64,
    Number,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    /// Anything: raw JSON.
    Raw,
    List(Box<Ty>),
    Map(Box<Ty>),
    Struct(Box<str>),
}

/// What stands in for a field that is absent.
#[derive(Debug, Clone)]
enum Zero {
    /// Nothing: the field is left out.
    Omit,
    /// A struct that is always written.
    Struct,
    /// `null`: a list, map, pointer or time that is always written.
    Null,
    /// A zero scalar, or a default of the schema.
    Value(Value),
}

#[derive(Debug)]
struct Field {
    name: Box<str>,
    ty: Ty,
    zero: Zero,
}

/// A Go struct.
#[derive(Debug)]
pub(crate) struct Struct {
    /// The Go name: the last part of the component's.
    go_name: Box<str>,
    /// By name.
    fields: Vec<Field>,
}

impl Struct {
    fn field(&self, name: &str) -> Option<&Field> {
        self.fields.binary_search_by(|f| (*f.name).cmp(name)).ok().map(|i| &self.fields[i])
    }
}

/// All structs of the packages used so far, shared by everything in the process: facts, not state.
static STRUCTS: LazyLock<RwLock<HashMap<Box<str>, Arc<Struct>>>> = LazyLock::new(RwLock::default);

fn lookup(component: &str) -> Option<Arc<Struct>> {
    if let Some(found) = STRUCTS.read().get(component) {
        return Some(found.clone());
    }
    let components = super::data::components_of(super::data::package_of(component)?);
    let mut structs = STRUCTS.write();
    for (name, schema) in &components {
        if let Some(compiled) = compile(name, schema) {
            structs.entry(name.as_str().into()).or_insert_with(|| Arc::new(compiled));
        }
    }
    structs.get(component).cloned()
}

/// Fields that Go writes although they are optional, as `null` when unset: (struct, field).
const NULLS: [(&str, &str); 17] = [
    ("io.k8s.api.core.v1.Event", "eventTime"),
    ("io.k8s.api.core.v1.Event", "firstTimestamp"),
    ("io.k8s.api.core.v1.Event", "lastTimestamp"),
    ("io.k8s.api.core.v1.EventSeries", "lastObservedTime"),
    ("io.k8s.api.core.v1.ContainerStateRunning", "startedAt"),
    ("io.k8s.api.core.v1.ContainerStateTerminated", "startedAt"),
    ("io.k8s.api.core.v1.ContainerStateTerminated", "finishedAt"),
    ("io.k8s.api.events.v1.Event", "eventTime"),
    ("io.k8s.api.events.v1.Event", "deprecatedFirstTimestamp"),
    ("io.k8s.api.events.v1.Event", "deprecatedLastTimestamp"),
    ("io.k8s.api.storage.v1.VolumeError", "time"),
    ("io.k8s.api.rbac.v1.Role", "rules"),
    ("io.k8s.api.rbac.v1.ClusterRole", "rules"),
    ("io.k8s.api.authentication.v1.TokenRequestSpec", "boundObjectRef"),
    ("io.k8s.api.authentication.v1.TokenRequestSpec", "expirationSeconds"),
    ("io.k8s.api.authentication.v1.TokenRequestSpec", "audiences"),
    ("io.k8s.api.apps.v1.ControllerRevision", "data"),
];

fn compile(component: &str, schema: &Value) -> Option<Struct> {
    let properties = schema.get("properties")?.as_object()?;
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut fields: Vec<Field> = properties
        .iter()
        .map(|(name, property)| {
            let ty = type_of(property);
            let zero = match property.get("default") {
                Some(Value::Object(m)) if m.is_empty() => Zero::Struct,
                Some(value) => Zero::Value(value.clone()),
                None if required.contains(&name.as_str()) || NULLS.contains(&(component, name)) => Zero::Null,
                // The times of conditions are structs in Go, which are always written.
                None if component.ends_with("Condition") && matches!(ty, Ty::Time) => Zero::Null,
                None => Zero::Omit,
            };
            Field { name: name.as_str().into(), ty, zero }
        })
        .collect();
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    Some(Struct { go_name: component.rsplit('.').next().unwrap_or(component).into(), fields })
}

fn type_of(schema: &Value) -> Ty {
    let reference = schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref")).and_then(Value::as_str);
    if let Some(reference) = reference {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        return match name.rsplit('.').next().unwrap_or(name) {
            "Time" => Ty::Time,
            "MicroTime" => Ty::MicroTime,
            "Quantity" => Ty::Quantity,
            "IntOrString" => Ty::IntOrString,
            "RawExtension"
            | "FieldsV1"
            | "JSON"
            | "JSONSchemaPropsOrArray"
            | "JSONSchemaPropsOrBool"
            | "JSONSchemaPropsOrStringArray"
            | "Unstructured" => Ty::Raw,
            _ => Ty::Struct(name.into()),
        };
    }
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    match schema.get("type").and_then(Value::as_str) {
        Some("string") if format == "byte" => Ty::Bytes,
        Some("string") => Ty::String,
        Some("boolean") => Ty::Bool,
        Some("integer") if format == "int32" => Ty::Int32,
        Some("integer") => Ty::Int64,
        Some("number") => Ty::Number,
        Some("array") => Ty::List(Box::new(schema.get("items").map_or(Ty::Raw, type_of))),
        Some("object") => match schema.get("additionalProperties") {
            Some(values) => Ty::Map(Box::new(type_of(values))),
            None => Ty::Raw,
        },
        _ => Ty::Raw,
    }
}

/// Checks the types of all fields of an object and writes it as Go would: times, quantities and bytes in their canonical
/// form, zero values where they are always written, empty lists and maps nowhere. `component` names the type, such as
/// `io.k8s.api.core.v1.ConfigMap`.
///
/// # Errors
/// The decoder's text, which the caller puts after `… cannot be handled as a …: `.
pub(crate) fn apply(component: &str, object: &mut Value) -> Result<(), String> {
    let Some(root) = lookup(component) else { return Ok(()) };
    match object {
        Value::Object(map) => decode::structure(&root, map, &mut Vec::new()),
        other => {
            let found = decode::json_type(other);
            Err(format!("json: cannot unmarshal {found} into Go value of type {}", root.go_name))
        }
    }
}

/// Writes the zero values of a struct inside an object again, after defaults have added to it.
pub(crate) fn complete(component: &str, map: &mut Map<String, Value>) {
    if let Some(found) = lookup(component) {
        // What was decoded before cannot fail; a failure would leave the value as it is, which is right too.
        let _ = decode::structure(&found, map, &mut Vec::new());
    }
}
