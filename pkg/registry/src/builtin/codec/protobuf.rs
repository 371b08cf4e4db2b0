//! Bodies in the protobuf form of built-in kinds (N-05), read into JSON trees.
//!
//! Typed clients, and kubectl since 1.32, send what they create as protobuf and do not try again when it is refused.
//! Answers are JSON, which the same clients accept. The names and types of fields are those of the recorded schemas;
//! their numbers stand in `data/protobuf.txt`, which is read when the first such body comes.
//!
//! Every length is checked against what is there and nesting is bounded: bodies come from anybody.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use kcp_apimachinery::{GroupVersion, time::Timestamp};
use serde_json::{Map, Value};

use super::{
    Struct, Ty, lookup,
    wire::{Reader, Wire},
};

/// How deep messages are followed; the deepest built-in kind needs a third of it.
const DEEPEST: usize = 48;
/// What every such body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// One field of a message.
#[derive(Debug)]
struct Slot {
    number: u32,
    /// The field's name in JSON; for an inlined message the message's name.
    name: &'static str,
    /// May be absent: then zero means something.
    pointer: bool,
    /// A message whose fields stand in its parent.
    inline: bool,
}

/// The messages by the short names of their types, such as `core.v1.Pod`.
static MESSAGES: LazyLock<HashMap<&'static str, Vec<Slot>>> = LazyLock::new(|| {
    let text = include_str!("../../../data/protobuf.txt");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split(' ');
            let name = words.next()?;
            Some((name, words.filter_map(slot).collect()))
        })
        .collect()
});

fn slot(word: &'static str) -> Option<Slot> {
    let (name, number) = word.split_once('=')?;
    let (inline, name) = name.strip_prefix('+').map_or((false, name), |n| (true, n));
    let (pointer, name) = name.strip_suffix('*').map_or((false, name), |n| (true, n));
    Some(Slot { number: number.parse().ok()?, name, pointer, inline })
}

/// Reads a body: the envelope, then the object that it says it holds.
///
/// # Errors
/// What is wrong with it, for people.
pub fn to_json(body: &[u8]) -> Result<Value, String> {
    let Some(envelope) = body.strip_prefix(MAGIC) else {
        return Err("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]".into());
    };
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    let mut reader = Reader::new(envelope);
    while let Some((number, wire)) = reader.next()? {
        match (number, wire) {
            (1, Wire::Bytes(meta)) => {
                let mut meta = Reader::new(meta);
                while let Some((number, wire)) = meta.next()? {
                    match (number, wire) {
                        (1, Wire::Bytes(text)) => api_version = utf8(text)?,
                        (2, Wire::Bytes(text)) => kind = utf8(text)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            (3, Wire::Bytes(encoding)) if !encoding.is_empty() => {
                return Err("compressed protobuf bodies are not supported".into());
            }
            _ => {}
        }
    }
    let component = component(&api_version, &kind)
        .ok_or_else(|| format!("no kind \"{kind}\" is registered for version \"{api_version}\""))?;
    let def = lookup(component).ok_or_else(|| format!("{kind} cannot be read from protobuf"))?;
    let mut map = message(component, &def, raw, 0)?;
    map.insert("kind".into(), kind.into());
    map.insert("apiVersion".into(), api_version.into());
    Ok(Value::Object(map))
}

/// The type of a kind: of a served one, of a subresource, or of the options of a delete, which come under any group.
fn component(api_version: &str, kind: &str) -> Option<&'static str> {
    match (api_version, kind) {
        (_, "DeleteOptions") => return Some("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"),
        ("authentication.k8s.io/v1", "TokenRequest") => return Some("io.k8s.api.authentication.v1.TokenRequest"),
        ("autoscaling/v1", "Scale") => return Some("io.k8s.api.autoscaling.v1.Scale"),
        _ => {}
    }
    let gv = GroupVersion::parse(api_version)?;
    crate::builtin::table::rows()
        .find(|r| r.kind == kind && r.group == gv.group && r.version == gv.version)
        .map(|r| r.schema)
}

fn short(component: &str) -> &str {
    component
        .strip_prefix("io.k8s.api.")
        .or_else(|| component.strip_prefix("io.k8s.apimachinery.pkg.apis."))
        .unwrap_or(component)
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| "a text is not UTF-8".to_owned())
}

fn message(component: &str, def: &Arc<Struct>, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, String> {
    let mut map = Map::new();
    fill(short(component), def, bytes, &mut map, depth)?;
    Ok(map)
}

/// Reads the message `name` into `map`, an object of the type `def`.
fn fill(name: &str, def: &Arc<Struct>, bytes: &[u8], map: &mut Map<String, Value>, depth: usize) -> Result<(), String> {
    if depth > DEEPEST {
        return Err("messages are nested too deep".into());
    }
    let Some(slots) = MESSAGES.get(name) else { return Ok(()) };
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        let Some(slot) = slots.iter().find(|s| s.number == number) else { continue };
        if slot.inline {
            if let Wire::Bytes(inner) = wire {
                fill(slot.name, def, inner, map, depth + 1)?;
            }
            continue;
        }
        let Some(field) = def.field(slot.name) else { continue };
        match &field.ty {
            Ty::List(item) => {
                let list = map.entry(slot.name).or_insert_with(|| Value::Array(Vec::new()));
                let Value::Array(items) = list else { continue };
                items.extend(list_items(item, wire, depth)?);
            }
            Ty::Map(item) => {
                let entries = map.entry(slot.name).or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(entries) = entries else { continue };
                let (key, value) = entry(item, wire, depth)?;
                entries.insert(key, value);
            }
            ty => {
                let value = single(ty, wire, depth)?;
                if slot.pointer || !is_zero(&value) {
                    map.insert(slot.name.to_owned(), value);
                }
            }
        }
    }
    Ok(())
}

/// Whether a field that is always sent says nothing.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

fn list_items(item: &Ty, wire: Wire<'_>, depth: usize) -> Result<Vec<Value>, String> {
    // Numbers may be packed into one field.
    if let (Ty::Int32 | Ty::Int64, Wire::Bytes(packed)) = (item, wire) {
        let mut reader = Reader::new(packed);
        let mut items = Vec::new();
        while !reader.is_empty() {
            items.push(single(item, Wire::Varint(reader.varint()?), depth)?);
        }
        return Ok(items);
    }
    Ok(vec![single(item, wire, depth)?])
}

fn entry(item: &Ty, wire: Wire<'_>, depth: usize) -> Result<(String, Value), String> {
    let Wire::Bytes(bytes) = wire else { return Err("an entry of a map is no message".into()) };
    let (mut key, mut value) = (String::new(), None);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        match (number, wire) {
            (1, Wire::Bytes(text)) => key = utf8(text)?,
            (2, wire) => value = Some(single(item, wire, depth)?),
            _ => {}
        }
    }
    let empty = || match item {
        Ty::String | Ty::Bytes => Value::String(String::new()),
        Ty::Quantity => Value::String("0".into()),
        Ty::List(_) => Value::Array(Vec::new()),
        Ty::Map(_) | Ty::Struct(_) => Value::Object(Map::new()),
        _ => Value::Null,
    };
    Ok((key, value.unwrap_or_else(empty)))
}

fn single(ty: &Ty, wire: Wire<'_>, depth: usize) -> Result<Value, String> {
    Ok(match (ty, wire) {
        (Ty::String, Wire::Bytes(b)) => Value::String(utf8(b)?),
        (Ty::Bytes, Wire::Bytes(b)) => Value::String(STANDARD.encode(b)),
        (Ty::Bool, Wire::Varint(v)) => Value::Bool(v != 0),
        // Negative numbers are sent as 64 bits whatever the width of the field.
        (Ty::Int32, Wire::Varint(v)) => Value::from(v as i32),
        (Ty::Int64, Wire::Varint(v)) => Value::from(v as i64),
        (Ty::Number, Wire::Fixed64(bits)) => Value::from(f64::from_bits(bits)),
        (Ty::Time, Wire::Bytes(b)) => time(b)?.map_or(Value::Null, |(seconds, _)| Value::String(at(seconds))),
        (Ty::MicroTime, Wire::Bytes(b)) => time(b)?.map_or(Value::Null, |(seconds, nanos)| {
            let text = at(seconds);
            Value::String(format!("{}.{:06}Z", text.trim_end_matches('Z'), nanos / 1_000))
        }),
        (Ty::Quantity, Wire::Bytes(b)) => Value::String(text_of(b)?),
        (Ty::IntOrString, Wire::Bytes(b)) => int_or_string(b)?,
        (Ty::Raw, Wire::Bytes(b)) => raw(b)?,
        (Ty::Struct(name), Wire::Bytes(b)) => match lookup(name) {
            Some(def) => Value::Object(message(name, &def, b, depth + 1)?),
            None => Value::Object(Map::new()),
        },
        // A list as a value of a map is wrapped into a message.
        (Ty::List(item), Wire::Bytes(b)) => {
            let mut items = Vec::new();
            let mut reader = Reader::new(b);
            while let Some((_, wire)) = reader.next()? {
                items.extend(list_items(item, wire, depth + 1)?);
            }
            Value::Array(items)
        }
        _ => return Err("a field has a wire type that it cannot have".into()),
    })
}

fn at(seconds: i64) -> String {
    Timestamp::from_unix_seconds(seconds).rfc3339()
}

/// A time: seconds and nanoseconds; an empty message is none.
fn time(bytes: &[u8]) -> Result<Option<(i64, u32)>, String> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        match (number, wire) {
            (1, Wire::Varint(v)) => seconds = v as i64,
            (2, Wire::Varint(v)) => nanos = (v as u32).min(999_999_999),
            _ => {}
        }
    }
    Ok(Some((seconds, nanos)))
}

/// The text that is a message's only field.
fn text_of(bytes: &[u8]) -> Result<String, String> {
    let mut found = String::new();
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        if let (1, Wire::Bytes(text)) = (number, wire) {
            found = utf8(text)?;
        }
    }
    Ok(found)
}

fn int_or_string(bytes: &[u8]) -> Result<Value, String> {
    let (mut is_text, mut number_value, mut text) = (false, 0, String::new());
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        match (number, wire) {
            (1, Wire::Varint(v)) => is_text = v == 1,
            (2, Wire::Varint(v)) => number_value = v as i32,
            (3, Wire::Bytes(t)) => text = utf8(t)?,
            _ => {}
        }
    }
    Ok(if is_text { Value::String(text) } else { number_value.into() })
}

/// JSON inside a message.
fn raw(bytes: &[u8]) -> Result<Value, String> {
    let mut found = Value::Null;
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.next()? {
        if let (1, Wire::Bytes(json)) = (number, wire)
            && !json.is_empty()
        {
            found = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(base64: &str) -> Result<Value, String> {
        to_json(&STANDARD.decode(base64).unwrap())
    }

    /// N-05: bodies that kubectl 1.32 sends.
    #[test]
    fn bodies_of_kubectl() {
        for (body, want) in [
            (
                "azhzAAoPCgJ2MRIJTmFtZXNwYWNlEhoKEgoCenoSABoAIgAqADIAOABCABIAGgIKABoAIgA=",
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "zz"}, "spec": {}, "status": {}}),
            ),
            (
                "azhzAAoMCgJ2MRIGU2VjcmV0Eh0KEQoBcxIAGgAiACoAMgA4AEIAEgYKAWESAWIaABoAIgA=",
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "Yg=="}}),
            ),
            (
                "azhzAAoTCgJ2MRINUmVzb3VyY2VRdW90YRI0ChEKAXESABoAIgAqADIAOABCABIdCg4KA2NwdRIHCgUxNTAwbQoLCgRwb2RzEgMKATEaABoAIgA=",
                json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
                    "spec": {"hard": {"cpu": "1500m", "pods": "1"}}, "status": {}}),
            ),
            (
                "azhzAAooChhhdXRoZW50aWNhdGlvbi5rOHMuaW8vdjESDFRva2VuUmVxdWVzdBIaChAKABIAGgAiACoAMgA4AEIAEgAaBAoAEgAaACIA",
                json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": {}, "status": {}}),
            ),
            (
                "azhzAAoVCgdhcHBzL3YxEgpEZXBsb3ltZW50ErgBCh8KA3dlYhIAGgAiACoAMgA4AEIAWgoKA2FwcBIDd2ViEoYBCAMSDAoKCgNhcHASA3dlYhpsChwKABIAGgAiACoAMgA4AEIAWgoKA2FwcBIDd2ViEkwSLgoFbmdpbngSBW5naW54KgAyCgoAEAAYUCIAKgBCAGoAcgCAAQCIAQCQAQCiAQAaADIAQgBKAFIAWABgAGgAggEAigEAmgEAwgEAIgIKACgAOAAaDAgAEAAYACAAKAA4ABoAIgA=",
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"app": "web"}},
                    "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "strategy": {}, "template": {
                        "metadata": {"labels": {"app": "web"}},
                        "spec": {"containers": [{"name": "nginx", "image": "nginx", "ports": [{"containerPort": 80}], "resources": {}}]}
                    }},
                    "status": {}}),
            ),
            (
                "azhzAAoNCgJ2MRIHU2VydmljZRJmChsKAXMSABoAIgAqADIAOABCAFoICgNhcHASAXMSQwoeCgc4MC1odHRwEgNUQ1AYUCIKCAEQABoEaHR0cCgAEggKA2FwcBIBcxoAIglDbHVzdGVySVA6AEIAUgBaAGAAaAAaAgoAGgAiAA==",
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "labels": {"app": "s"}},
                    "spec": {"ports": [{"name": "80-http", "port": 80, "protocol": "TCP", "targetPort": "http"}],
                        "selector": {"app": "s"}, "type": "ClusterIP"},
                    "status": {"loadBalancer": {}}}),
            ),
            (
                "azhzAAogCglwb2xpY3kvdjESE1BvZERpc3J1cHRpb25CdWRnZXQSNgoRCgFwEgAaACIAKgAyADgAQgASFQoJCAEQABoDNTAlEggKBgoBYRIBYhoKCAAYACAAKAAwABoAIgA=",
                json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "p"},
                    "spec": {"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}}, "status": {}}),
            ),
        ] {
            assert_eq!(read(body).unwrap(), want);
        }
    }

    /// What no kubectl sends: times, numbers below zero, JSON inside, lists inside maps.
    #[test]
    fn other_values() {
        assert_eq!(single(&Ty::Int32, Wire::Varint(u64::MAX), 0), Ok(json!(-1)));
        assert_eq!(single(&Ty::Time, Wire::Bytes(&[]), 0), Ok(Value::Null));
        assert_eq!(single(&Ty::Time, Wire::Bytes(&[0x08, 0x01]), 0), Ok(json!("1970-01-01T00:00:01Z")));
        assert_eq!(
            single(&Ty::MicroTime, Wire::Bytes(&[0x08, 0x01, 0x10, 0xe8, 0x07]), 0),
            Ok(json!("1970-01-01T00:00:01.000001Z"))
        );
        assert_eq!(single(&Ty::Raw, Wire::Bytes(b"\x0a\x07{\"a\":1}"), 0), Ok(json!({"a": 1})));
        let list = Ty::List(Box::new(Ty::String));
        assert_eq!(single(&list, Wire::Bytes(b"\x0a\x01a\x0a\x01b"), 0), Ok(json!(["a", "b"])));
        assert_eq!(list_items(&Ty::Int32, Wire::Bytes(&[1, 2]), 0), Ok(vec![json!(1), json!(2)]));
        assert_eq!(int_or_string(&[0x08, 0, 0x10, 8, 0x1a, 0]), Ok(json!(8)));
    }

    #[test]
    fn bad_bodies() {
        for (body, text) in [
            (&b"{}"[..], "expected prefix"),
            (b"k8s\0\x0a\xff", "EOF"),
            (b"k8s\0\x0a\x07\x0a\x02v1\x12\x01X", "no kind \"X\" is registered for version \"v1\""),
        ] {
            assert!(to_json(body).unwrap_err().contains(text), "{:?}", to_json(body));
        }
    }

    /// Every message is one of a type that is known, and so is each of its fields.
    #[test]
    fn numbers_are_of_known_fields() {
        assert!(MESSAGES.len() > 400);
        for row in crate::builtin::table::rows().filter(|r| r.group != "apiextensions.k8s.io") {
            let slots = MESSAGES.get(short(row.schema)).unwrap_or_else(|| panic!("{}", row.schema));
            let def = lookup(row.schema).unwrap();
            for slot in slots.iter().filter(|s| !s.inline) {
                assert!(def.field(slot.name).is_some(), "{} {}", row.schema, slot.name);
            }
        }
    }
}
