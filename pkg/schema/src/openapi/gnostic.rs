//! A Swagger 2.0 document as the protobuf message `openapi.v2.Document` (O-02).
//!
//! `kubectl` up to 1.26 asks for nothing else. The encoder is written by hand: the message is a plain image of the
//! document, and only the fields that Kubernetes' documents use are there. Values of any type travel as YAML, of which
//! JSON is a part.

use serde_json::Value;

/// Encodes a document that [`super::v2_document`] made.
pub fn encode(document: &Value) -> Vec<u8> {
    let mut m = Message::default();
    m.text(1, document.get("swagger"));
    m.message(2, document.get("info"), |m, info| {
        m.text(1, info.get("title"));
        m.text(2, info.get("version"));
        m.text(3, info.get("description"));
    });
    m.message(8, document.get("paths"), |m, paths| {
        m.map(2, paths, path_item);
    });
    m.message(9, document.get("definitions"), |m, definitions| m.map(1, definitions, schema));
    for requirement in array(document.get("security")) {
        m.message(12, Some(requirement), |m, requirement| m.map(1, requirement, |m, scopes| m.texts(1, Some(scopes))));
    }
    m.message(13, document.get("securityDefinitions"), |m, definitions| {
        // Kubernetes has none but API keys.
        m.map(1, definitions, |m, key| {
            m.message(2, Some(key), |m, key| {
                m.text(1, key.get("type"));
                m.text(2, key.get("name"));
                m.text(3, key.get("in"));
                m.text(4, key.get("description"));
            });
        });
    });
    m.extensions(16, document);
    m.bytes
}

fn path_item(m: &mut Message, item: &Value) {
    for (field, method) in
        [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (6, "options"), (7, "head"), (8, "patch")]
    {
        m.message(field, item.get(method), operation);
    }
    for p in array(item.get("parameters")) {
        m.message(9, Some(p), parameters_item);
    }
    m.extensions(10, item);
}

fn operation(m: &mut Message, op: &Value) {
    m.texts(1, op.get("tags"));
    m.text(2, op.get("summary"));
    m.text(3, op.get("description"));
    m.text(5, op.get("operationId"));
    m.texts(6, op.get("produces"));
    m.texts(7, op.get("consumes"));
    for p in array(op.get("parameters")) {
        m.message(8, Some(p), parameters_item);
    }
    m.message(9, op.get("responses"), |m, responses| {
        m.map(1, responses, |m, value| {
            m.message(1, Some(value), |m, response| {
                m.text(1, response.get("description"));
                m.message(2, response.get("schema"), |m, value| m.message(1, Some(value), schema));
            });
        });
    });
    m.texts(10, op.get("schemes"));
    m.flag(11, op.get("deprecated"));
    m.extensions(13, op);
}

fn parameters_item(m: &mut Message, value: &Value) {
    m.message(1, Some(value), |m, p| {
        let kind = p.get("in").and_then(Value::as_str).unwrap_or_default();
        if kind == "body" {
            m.message(1, Some(p), |m, p| {
                m.text(1, p.get("description"));
                m.text(2, p.get("name"));
                m.text(3, p.get("in"));
                m.flag(4, p.get("required"));
                m.message(5, p.get("schema"), schema);
                m.extensions(6, p);
            });
            return;
        }
        // The messages of query and form parameters have one field more, which shifts the numbers after it.
        let (variant, shift) = match kind {
            "header" => (1, 0),
            "formData" => (2, 1),
            "query" => (3, 1),
            _ => (4, 0),
        };
        m.message(2, Some(p), |m, p| {
            m.message(variant, Some(p), |m, p| {
                m.flag(1, p.get("required"));
                m.text(2, p.get("in"));
                m.text(3, p.get("description"));
                m.text(4, p.get("name"));
                m.text(5 + shift, p.get("type"));
                m.text(6 + shift, p.get("format"));
                m.flag(19 + shift, p.get("uniqueItems"));
                m.extensions(22 + shift, p);
            });
        });
    });
}

fn schema(m: &mut Message, s: &Value) {
    m.text(1, s.get("$ref"));
    m.text(2, s.get("format"));
    m.text(3, s.get("title"));
    m.text(4, s.get("description"));
    m.any(5, s.get("default"));
    m.double(6, s.get("multipleOf"));
    m.double(7, s.get("maximum"));
    m.flag(8, s.get("exclusiveMaximum"));
    m.double(9, s.get("minimum"));
    m.flag(10, s.get("exclusiveMinimum"));
    m.integer(11, s.get("maxLength"));
    m.integer(12, s.get("minLength"));
    m.text(13, s.get("pattern"));
    m.integer(14, s.get("maxItems"));
    m.integer(15, s.get("minItems"));
    m.flag(16, s.get("uniqueItems"));
    m.integer(17, s.get("maxProperties"));
    m.integer(18, s.get("minProperties"));
    m.texts(19, s.get("required"));
    for value in array(s.get("enum")) {
        m.any(20, Some(value));
    }
    m.message(21, s.get("additionalProperties"), |m, value| match value {
        Value::Bool(_) => m.flag(2, Some(value)),
        value => m.message(1, Some(value), schema),
    });
    m.message(22, s.get("type"), |m, value| match value {
        Value::String(_) => m.text(1, Some(value)),
        value => m.texts(1, Some(value)),
    });
    m.message(23, s.get("items"), |m, value| m.message(1, Some(value), schema));
    for value in array(s.get("allOf")) {
        m.message(24, Some(value), schema);
    }
    m.message(25, s.get("properties"), |m, properties| m.map(1, properties, schema));
    m.text(26, s.get("discriminator"));
    m.flag(27, s.get("readOnly"));
    m.any(30, s.get("example"));
    m.extensions(31, s);
}

fn array(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const DELIMITED: u64 = 2;

/// A protobuf message being written. Absent values, and those of the wrong type, write nothing.
#[derive(Default)]
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            // The low seven bits, with the mark that more follow.
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn tag(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    fn delimited(&mut self, field: u64, bytes: &[u8]) {
        self.tag(field, DELIMITED);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u64, value: Option<&Value>) {
        if let Some(text) = value.and_then(Value::as_str).filter(|t| !t.is_empty()) {
            self.delimited(field, text.as_bytes());
        }
    }

    fn texts(&mut self, field: u64, value: Option<&Value>) {
        for text in array(value).filter_map(Value::as_str) {
            self.delimited(field, text.as_bytes());
        }
    }

    fn flag(&mut self, field: u64, value: Option<&Value>) {
        if value.and_then(Value::as_bool) == Some(true) {
            self.tag(field, VARINT);
            self.varint(1);
        }
    }

    fn integer(&mut self, field: u64, value: Option<&Value>) {
        if let Some(number) = value.and_then(Value::as_i64).filter(|n| *n != 0) {
            self.tag(field, VARINT);
            self.varint(number.cast_unsigned());
        }
    }

    fn double(&mut self, field: u64, value: Option<&Value>) {
        if let Some(number) = value.and_then(Value::as_f64).filter(|n| *n != 0.0) {
            self.tag(field, FIXED64);
            self.bytes.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn message(&mut self, field: u64, value: Option<&Value>, write: impl FnOnce(&mut Self, &Value)) {
        if let Some(value) = value {
            let mut inner = Self::default();
            write(&mut inner, value);
            self.delimited(field, &inner.bytes);
        }
    }

    /// A map as a list of messages with the name in field 1 and the value in field 2.
    fn map(&mut self, field: u64, value: &Value, write: impl Fn(&mut Self, &Value)) {
        for (name, value) in value.as_object().into_iter().flatten() {
            let mut entry = Self::default();
            entry.delimited(1, name.as_bytes());
            entry.message(2, Some(value), &write);
            self.delimited(field, &entry.bytes);
        }
    }

    fn any(&mut self, field: u64, value: Option<&Value>) {
        if let Some(value) = value {
            let mut any = Self::default();
            any.delimited(2, yaml(value).as_bytes());
            self.delimited(field, &any.bytes);
        }
    }

    fn extensions(&mut self, field: u64, holder: &Value) {
        for (name, value) in holder.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("x-")) {
            let mut named = Self::default();
            named.delimited(1, name.as_bytes());
            named.any(2, Some(value));
            self.delimited(field, &named.bytes);
        }
    }
}

/// One line of YAML; readers expect it to end.
fn yaml(value: &Value) -> String {
    format!("{value}\n")
}
