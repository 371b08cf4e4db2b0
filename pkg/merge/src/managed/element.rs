//! One step of a field path: a field's name, the key of a list item, the value of a set item, or an index.
//!
//! Elements borrow from the objects and the `fieldsV1` they were found in, so that making a field set copies
//! nothing. Their order is the canonical one of FieldsV1: fields, keys, values, indices.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write as _;

use kcp_apimachinery::field::go_quote;
use serde_json::Value;

use crate::go::{self, Num};

/// One step of a field path.
#[derive(Debug, Clone)]
pub enum Element<'a> {
    /// A field of a map.
    Field(Cow<'a, str>),
    /// A list item by its key fields, sorted by name.
    Key(Box<[(Cow<'a, str>, Scalar<'a>)]>),
    /// A set item.
    Value(Scalar<'a>),
    /// A list item by its place.
    Index(i64),
}

/// The value of a key field or of a set item.
#[derive(Debug, Clone)]
pub struct Scalar<'a>(Inner<'a>);

#[derive(Debug, Clone)]
enum Inner<'a> {
    Text(Cow<'a, str>),
    Int(i64),
    Float(f64),
    /// Anything else; clients may write what they want.
    Json(Cow<'a, Value>),
}

impl<'a> Scalar<'a> {
    /// The scalar form of `value`.
    pub fn new(value: &'a Value) -> Self {
        Self(match value {
            Value::String(s) => Inner::Text(Cow::Borrowed(s)),
            Value::Number(n) => match Num::from(n) {
                Num::Int(i) => Inner::Int(i),
                Num::Float(f) => Inner::Float(f),
            },
            other => Inner::Json(Cow::Borrowed(other)),
        })
    }

    fn text(text: &'a str) -> Self {
        Self(Inner::Text(Cow::Borrowed(text)))
    }

    fn owned(value: Value) -> Self {
        Self(match value {
            Value::String(s) => Inner::Text(Cow::Owned(s)),
            Value::Number(n) => match Num::from(&n) {
                Num::Int(i) => Inner::Int(i),
                Num::Float(f) => Inner::Float(f),
            },
            other => Inner::Json(Cow::Owned(other)),
        })
    }

    fn into_owned(self) -> Scalar<'static> {
        Scalar(match self.0 {
            Inner::Text(s) => Inner::Text(Cow::Owned(s.into_owned())),
            Inner::Int(i) => Inner::Int(i),
            Inner::Float(f) => Inner::Float(f),
            Inner::Json(v) => Inner::Json(Cow::Owned(v.into_owned())),
        })
    }

    fn number(&self) -> Option<Num> {
        match self.0 {
            Inner::Int(i) => Some(Num::Int(i)),
            Inner::Float(f) => Some(Num::Float(f)),
            _ => None,
        }
    }

    fn write_json(&self, out: &mut String) {
        match &self.0 {
            Inner::Text(s) => go::write_json_str(s, out),
            Inner::Int(i) => Num::Int(*i).write(out),
            Inner::Float(f) => Num::Float(*f).write(out),
            Inner::Json(v) => go::write_json(v, out),
        }
    }

    fn write_text(&self, out: &mut String) {
        match &self.0 {
            Inner::Text(s) => out.push_str(&go_quote(s)),
            Inner::Int(i) => Num::Int(*i).write(out),
            Inner::Float(f) => Num::Float(*f).write(out),
            Inner::Json(v) => write_value_text(v, out),
        }
    }
}

fn write_value_text(v: &Value, out: &mut String) {
    match v {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                Scalar::new(item).write_text(out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            for (k, v) in map {
                out.push_str(k);
                out.push('=');
                Scalar::new(v).write_text(out);
            }
        }
        Value::Null => out.push_str("null"),
        other => out.push_str(&go::plain(other)),
    }
}

impl Ord for Scalar<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        fn kind(s: &Scalar<'_>) -> u8 {
            match &s.0 {
                Inner::Int(_) | Inner::Float(_) => 0,
                Inner::Text(_) => 1,
                Inner::Json(v) => go::rank(v),
            }
        }
        match (&self.0, &other.0) {
            (Inner::Text(a), Inner::Text(b)) => a.cmp(b),
            (Inner::Json(a), Inner::Json(b)) => go::compare(a, b),
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => a.cmp(b),
                _ => kind(self).cmp(&kind(other)),
            },
        }
    }
}

impl<'a> Element<'a> {
    /// The element of a field.
    pub fn field(name: &'a str) -> Self {
        Self::Field(Cow::Borrowed(name))
    }

    /// The element of a list item; `keys` need not be sorted.
    pub fn key(mut keys: Vec<(Cow<'a, str>, Scalar<'a>)>) -> Self {
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        Self::Key(keys.into())
    }

    /// The element on its own, borrowing nothing.
    pub fn into_owned(self) -> Element<'static> {
        match self {
            Self::Field(name) => Element::Field(Cow::Owned(name.into_owned())),
            Self::Key(keys) => Element::Key(
                keys.into_iter().map(|(name, value)| (Cow::Owned(name.into_owned()), value.into_owned())).collect(),
            ),
            Self::Value(value) => Element::Value(value.into_owned()),
            Self::Index(i) => Element::Index(i),
        }
    }

    /// The element as a key of FieldsV1 (F-03).
    pub fn to_fields_v1(&self) -> String {
        let mut out;
        match self {
            Self::Field(name) => {
                out = String::with_capacity(name.len() + 2);
                out.push_str("f:");
                out.push_str(name);
            }
            Self::Key(keys) => {
                out = String::with_capacity(32);
                out.push_str("k:{");
                for (i, (name, value)) in keys.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    go::write_json_str(name, &mut out);
                    out.push(':');
                    value.write_json(&mut out);
                }
                out.push('}');
            }
            Self::Value(value) => {
                out = String::with_capacity(16);
                out.push_str("v:");
                value.write_json(&mut out);
            }
            Self::Index(i) => {
                out = String::from("i:");
                Num::Int(*i).write(&mut out);
            }
        }
        out
    }

    /// Reads a key of FieldsV1. `Ok(None)` for kinds of elements that are not known, which are dropped.
    pub fn from_fields_v1(text: &'a str) -> Result<Option<Self>, String> {
        let Some((kind, rest)) = text.split_at_checked(2) else {
            return Err("key must be 2 characters long:".to_owned());
        };
        match kind {
            "f:" => Ok(Some(Self::field(rest))),
            "v:" => Ok(Some(Self::Value(parse_value(rest)?))),
            "k:" => Ok(Some(Self::key(parse_key(rest)?))),
            "i:" => rest.parse().map(|i| Some(Self::Index(i))).map_err(|e| e.to_string()),
            _ if kind.ends_with(':') => Ok(None),
            _ => Err(format!("missing colon: {text}")),
        }
    }

    /// Appends the element as people see it: `.name`, `[port=80,proto="TCP"]`, `[="x"]`, `[0]`.
    pub fn write_path(&self, out: &mut String) {
        match self {
            Self::Field(name) => {
                out.push('.');
                out.push_str(name);
            }
            Self::Key(keys) => {
                out.push('[');
                for (i, (name, value)) in keys.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    out.push_str(name);
                    out.push('=');
                    value.write_text(out);
                }
                out.push(']');
            }
            Self::Value(value) => {
                out.push_str("[=");
                value.write_text(out);
                out.push(']');
            }
            Self::Index(i) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "[{i}]");
            }
        }
    }
}

/// The inside of a JSON string that needs no decoding, and what follows it.
fn simple_string(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix('"')?;
    let end = rest.find(['"', '\\'])?;
    let after = rest.get(end..)?.strip_prefix('"')?;
    Some((rest.get(..end)?, after))
}

fn parse_value(text: &str) -> Result<Scalar<'_>, String> {
    if let Some((inside, "")) = simple_string(text) {
        return Ok(Scalar::text(inside));
    }
    serde_json::from_str(text).map(Scalar::owned).map_err(|e| e.to_string())
}

fn parse_key(text: &str) -> Result<Vec<(Cow<'_, str>, Scalar<'_>)>, String> {
    if let Some(keys) = simple_key(text) {
        return Ok(keys);
    }
    let map: serde_json::Map<String, Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    Ok(map.into_iter().map(|(k, v)| (Cow::Owned(k), Scalar::owned(v))).collect())
}

/// Keys as this server writes them: no white space, no escapes, texts and whole numbers.
fn simple_key(text: &str) -> Option<Vec<(Cow<'_, str>, Scalar<'_>)>> {
    let mut rest = text.strip_prefix('{')?;
    let mut keys = Vec::with_capacity(2);
    loop {
        let (name, after) = simple_string(rest)?;
        let after = after.strip_prefix(':')?;
        let (value, after) = match simple_string(after) {
            Some((inside, after)) => (Scalar::text(inside), after),
            None => {
                let end = after.find([',', '}'])?;
                let (digits, after) = after.split_at_checked(end)?;
                (Scalar(Inner::Int(digits.parse().ok()?)), after)
            }
        };
        keys.push((Cow::Borrowed(name), value));
        match after {
            "}" => return Some(keys),
            _ => rest = after.strip_prefix(',')?,
        }
    }
}

impl Ord for Element<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        fn kind(e: &Element<'_>) -> u8 {
            match e {
                Element::Field(_) => 0,
                Element::Key(_) => 1,
                Element::Value(_) => 2,
                Element::Index(_) => 3,
            }
        }
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => a.cmp(b),
            (Self::Value(a), Self::Value(b)) => a.cmp(b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            _ => kind(self).cmp(&kind(other)),
        }
    }
}

macro_rules! by_cmp {
    ($($name:ident),+) => {$(
        impl PartialOrd for $name<'_> {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl PartialEq for $name<'_> {
            fn eq(&self, other: &Self) -> bool {
                self.cmp(other).is_eq()
            }
        }
        impl Eq for $name<'_> {}
    )+};
}
by_cmp!(Scalar, Element);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Element<'_> {
        Element::from_fields_v1(text).unwrap().unwrap()
    }

    #[test]
    fn canonical_form() {
        for (text, canonical, path) in [
            ("f:name", "f:name", ".name"),
            ("f:", "f:", "."),
            (r#"k:{"name":"x"}"#, r#"k:{"name":"x"}"#, r#"[name="x"]"#),
            (r#"k:{"proto":"TCP","port":80}"#, r#"k:{"port":80,"proto":"TCP"}"#, r#"[port=80,proto="TCP"]"#),
            (r#"k:{ "port" : 1.0 }"#, r#"k:{"port":1}"#, "[port=1]"),
            (r#"k:{"a":"q\"uote"}"#, r#"k:{"a":"q\"uote"}"#, r#"[a="q\"uote"]"#),
            (r#"v:"a""#, r#"v:"a""#, r#"[="a"]"#),
            ("v:true", "v:true", "[=true]"),
            ("v:null", "v:null", "[=null]"),
            ("v:[1,{\"x\":2}]", "v:[1,{\"x\":2}]", "[=[1,x=2]]"),
            ("i:3", "i:3", "[3]"),
        ] {
            let element = read(text);
            assert_eq!(element.to_fields_v1(), canonical, "{text}");
            let mut shown = String::new();
            element.write_path(&mut shown);
            assert_eq!(shown, path, "{text}");
        }
    }

    #[test]
    fn order_is_by_kind_and_value() {
        let sorted =
            ["f:a", "f:b", r#"k:{"port":80}"#, r#"k:{"port":443}"#, "v:2", "v:10", r#"v:"a""#, "v:false", "i:0"];
        for pair in sorted.windows(2) {
            assert!(read(pair[0]) < read(pair[1]), "{pair:?}");
        }
        assert_eq!(read("v:1"), read("v:1.0"));
    }

    #[test]
    fn malformed_ones() {
        assert!(Element::from_fields_v1("z:1").unwrap().is_none(), "unknown kinds are dropped");
        for text in ["", "f", "fx", "é", "v:", "v:x", "k:1", "k:{", "i:x", "fé"] {
            assert!(Element::from_fields_v1(text).is_err(), "{text}");
        }
    }
}
