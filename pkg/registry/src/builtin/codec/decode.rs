//! The walk over a tree, with Go's texts where a value has the wrong type.

use base64::{Engine, engine::general_purpose::STANDARD};
use kcp_apimachinery::quantity::Quantity;
use serde_json::{Map, Value};

use super::{Field, Struct, Ty, Zero, lookup, time};

/// The fields above the value at hand, for the text of an error.
type Stack<'a> = Vec<&'a str>;

const QUANTITY: &str = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// The word for a JSON value in the decoder's texts.
pub(super) fn json_type(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => "string".into(),
        Value::Array(_) => "array".into(),
        Value::Object(_) => "object".into(),
    }
}

fn go_type(ty: &Ty) -> String {
    match ty {
        Ty::String | Ty::Time | Ty::MicroTime | Ty::Quantity | Ty::IntOrString => "string".into(),
        Ty::Bytes => "[]uint8".into(),
        Ty::Bool => "bool".into(),
        Ty::Int32 => "int32".into(),
        Ty::Int64 => "int64".into(),
        Ty::Number => "float64".into(),
        Ty::Raw => "interface {}".into(),
        Ty::List(item) => format!("[]{}", go_type(item)),
        Ty::Map(item) => format!("map[string]{}", go_type(item)),
        Ty::Struct(name) => {
            let mut parts = name.rsplit('.');
            let (kind, package) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            format!("{package}.{kind}")
        }
    }
}

fn mismatch(owner: &Struct, stack: &Stack<'_>, found: &str, ty: &Ty) -> String {
    format!(
        "json: cannot unmarshal {found} into Go struct field {}.{} of type {}",
        owner.go_name,
        stack.join("."),
        go_type(ty)
    )
}

/// Decodes and completes one struct.
pub(super) fn structure<'a>(
    def: &'a Struct,
    map: &mut Map<String, Value>,
    stack: &mut Stack<'a>,
) -> Result<(), String> {
    let mut gone: Vec<String> = Vec::new();
    for (name, value) in map.iter_mut() {
        let Some(field) = def.field(name) else { continue };
        if value.is_null() {
            gone.push(name.clone());
            continue;
        }
        stack.push(&field.name);
        field_value(def, &field.ty, value, stack)?;
        stack.pop();
        let empty = match (&field.ty, &*value) {
            (Ty::List(_), Value::Array(items)) => items.is_empty(),
            (Ty::Map(_), Value::Object(entries)) => entries.is_empty(),
            _ => false,
        };
        // What is always written keeps an emptiness that was sent; that of managedFields means something (F-15).
        if empty && matches!(field.zero, Zero::Omit) && &**name != "managedFields" {
            gone.push(name.clone());
        }
    }
    for name in gone {
        map.remove(&name);
    }
    for field in &def.fields {
        if !map.contains_key(&*field.name)
            && let Some(value) = zero(field)
        {
            map.insert(field.name.to_string(), value);
        }
    }
    Ok(())
}

fn zero(field: &Field) -> Option<Value> {
    match &field.zero {
        Zero::Omit => None,
        Zero::Null => Some(Value::Null),
        Zero::Value(value) => Some(value.clone()),
        Zero::Struct => {
            let mut inner = Map::new();
            if let Ty::Struct(name) = &field.ty
                && let Some(def) = lookup(name)
            {
                for f in &def.fields {
                    if let Some(value) = zero(f) {
                        inner.insert(f.name.to_string(), value);
                    }
                }
            }
            Some(Value::Object(inner))
        }
    }
}

fn field_value(owner: &Struct, ty: &Ty, value: &mut Value, stack: &mut Stack<'_>) -> Result<(), String> {
    match (ty, &mut *value) {
        (Ty::Raw, _) | (Ty::String, Value::String(_)) | (Ty::Bool, Value::Bool(_)) | (Ty::Number, Value::Number(_)) => {
        }
        (Ty::Int32 | Ty::Int64, Value::Number(n)) => {
            let fits = n.as_i64().is_some_and(|i| matches!(ty, Ty::Int64) || i32::try_from(i).is_ok());
            if !fits {
                return Err(mismatch(owner, stack, &format!("number {n}"), ty));
            }
        }
        (Ty::IntOrString, Value::String(_)) => {}
        (Ty::IntOrString, Value::Number(n)) => {
            if n.as_i64().and_then(|i| i32::try_from(i).ok()).is_none() {
                return Err(format!("json: cannot unmarshal number {n} into Go value of type int32"));
            }
        }
        (Ty::IntOrString, other) => {
            return Err(format!("json: cannot unmarshal {} into Go value of type int32", json_type(other)));
        }
        (Ty::Time, Value::String(s)) => *s = time::canonical_time(s)?,
        (Ty::MicroTime, Value::String(s)) => *s = time::canonical_micro(s)?,
        (Ty::Time | Ty::MicroTime, other) => {
            return Err(format!("json: cannot unmarshal {} into Go value of type string", json_type(other)));
        }
        (Ty::Quantity, Value::String(_) | Value::Number(_)) => {
            let text = match &*value {
                Value::String(s) => s.clone(),
                other => other.to_string(),
            };
            let quantity = Quantity::parse(&text).ok_or_else(|| QUANTITY.to_owned())?;
            *value = Value::String(quantity.to_string());
        }
        (Ty::Quantity, _) => return Err(QUANTITY.to_owned()),
        (Ty::Bytes, Value::String(s)) => *s = bytes(s)?,
        (Ty::List(item), Value::Array(items)) => {
            for v in items.iter_mut() {
                list_item(owner, item, v, stack)?;
            }
        }
        (Ty::Map(item), Value::Object(entries)) => {
            for v in entries.values_mut() {
                list_item(owner, item, v, stack)?;
            }
        }
        (Ty::Struct(name), Value::Object(map)) => {
            if let Some(def) = lookup(name) {
                // The definitions live as long as the process, but behind a lock: the names on the stack are copied
                // only on the way to an error.
                let mut inner: Stack<'_> = stack.clone();
                structure(&def, map, &mut inner)?;
            }
        }
        (Ty::Struct(name), other) => {
            // Structs without fields of their own in the recording take any JSON.
            if lookup(name).is_some() {
                return Err(mismatch(owner, stack, &json_type(other), ty));
            }
        }
        (_, other) => return Err(mismatch(owner, stack, &json_type(other), ty)),
    }
    Ok(())
}

fn list_item(owner: &Struct, ty: &Ty, value: &mut Value, stack: &mut Stack<'_>) -> Result<(), String> {
    if !value.is_null() {
        return field_value(owner, ty, value, stack);
    }
    // null decodes to the zero value of the item.
    *value = match ty {
        Ty::String | Ty::Bytes => Value::String(String::new()),
        Ty::Bool => Value::Bool(false),
        Ty::Int32 | Ty::Int64 | Ty::Number | Ty::IntOrString => Value::from(0),
        Ty::Quantity => Value::String("0".into()),
        Ty::Struct(_) => {
            let mut empty = Value::Object(Map::new());
            field_value(owner, ty, &mut empty, stack)?;
            empty
        }
        Ty::Time | Ty::MicroTime | Ty::Raw | Ty::List(_) | Ty::Map(_) => Value::Null,
    };
    Ok(())
}

/// Base64 as Go reads it: line breaks are skipped, everything else must be right.
fn bytes(text: &str) -> Result<String, String> {
    let clean: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    match STANDARD.decode(&clean) {
        Ok(raw) => Ok(STANDARD.encode(raw)),
        Err(error) => {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _) => at,
                _ => clean.len(),
            };
            Err(format!("illegal base64 data at input byte {at}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::apply;

    const CONFIG_MAP: &str = "io.k8s.api.core.v1.ConfigMap";
    const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";

    /// E-13: what the decoder says about a value of the wrong type.
    #[test]
    fn wrong_types() {
        let secret = "io.k8s.api.core.v1.Secret";
        for (codec, object, text) in [
            (
                CONFIG_MAP,
                json!({"data": {"a": 1}}),
                "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
            ),
            (
                CONFIG_MAP,
                json!({"data": "x"}),
                "json: cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string",
            ),
            (
                CONFIG_MAP,
                json!({"metadata": {"labels": {"a": true}}}),
                "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
            ),
            (
                CONFIG_MAP,
                json!({"metadata": "x"}),
                "json: cannot unmarshal string into Go struct field ConfigMap.metadata of type v1.ObjectMeta",
            ),
            (
                DEPLOYMENT,
                json!({"spec": {"replicas": "3"}}),
                "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                DEPLOYMENT,
                json!({"spec": {"replicas": 1.5}}),
                "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                DEPLOYMENT,
                json!({"spec": {"template": {"spec": {"containers": [{"env": [{"value": 1}]}]}}}}),
                "json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string",
            ),
            (secret, json!({"data": {"a": "***"}}), "illegal base64 data at input byte 0"),
        ] {
            let mut object = object;
            assert_eq!(apply(codec, &mut object).unwrap_err(), text);
        }
    }

    /// What a client reads back of what it wrote.
    #[test]
    fn zero_values() {
        let quota = "io.k8s.api.core.v1.ResourceQuota";
        let event = "io.k8s.api.core.v1.Event";
        let role = "io.k8s.api.rbac.v1.Role";
        for (codec, given, want) in [
            (
                CONFIG_MAP,
                json!({"metadata": {"name": "a", "labels": {}, "creationTimestamp": null}, "data": {}}),
                json!({"metadata": {"name": "a"}}),
            ),
            (
                quota,
                json!({"metadata": {}, "spec": {"hard": {"cpu": "1.5", "secrets": 2}}}),
                json!({"metadata": {}, "spec": {"hard": {"cpu": "1500m", "secrets": "2"}}, "status": {}}),
            ),
            (CONFIG_MAP, json!({"metadata": {"managedFields": []}}), json!({"metadata": {"managedFields": []}})),
            (role, json!({"metadata": {}}), json!({"metadata": {}, "rules": null})),
            (
                event,
                json!({"metadata": {}, "involvedObject": {}, "firstTimestamp": "2024-05-06T09:08:09+02:00"}),
                json!({
                    "metadata": {}, "involvedObject": {}, "eventTime": null, "firstTimestamp": "2024-05-06T07:08:09Z",
                    "lastTimestamp": null, "reportingComponent": "", "reportingInstance": "", "source": {}
                }),
            ),
            (
                DEPLOYMENT,
                json!({"metadata": {}, "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "c"}], "volumes": [{"name": "v", "emptyDir": {}}]}}}}),
                json!({
                    "metadata": {}, "status": {},
                    "spec": {
                        "selector": {}, "strategy": {},
                        "template": {"metadata": {}, "spec": {
                            "containers": [{"name": "c", "resources": {}}],
                            "volumes": [{"name": "v", "emptyDir": {}}]
                        }}
                    }
                }),
            ),
        ] {
            let mut object = given;
            apply(codec, &mut object).unwrap();
            assert_eq!(object, want);
            let before = object.clone();
            apply(codec, &mut object).unwrap();
            assert_eq!(object, before, "a second pass changes nothing");
        }
    }
}
