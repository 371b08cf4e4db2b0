//! One pass from text, JSON or YAML, to a tree, noting keys that occur twice (C-12).
//!
//! Whoever walks a tree carries the path of where it is, so the length of a path is bounded when the tree is made: a
//! body must not cost more than its size.

use std::fmt;

use kcp_apimachinery::{Status, status::reason};
use kcp_merge::MAX_DEPTH;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How many duplicates are noted at most, as in Kubernetes' strict decoder.
const MAX_NOTED: usize = 100;
/// The longest path of a field, in bytes of keys.
const MAX_PATH: usize = 4096;
const TOO_LONG: &str = "the path of a field is longer than 4096 bytes";

/// Reads a tree. Of equal keys the last counts; the paths of the others are put into `duplicates`, each once, up to a
/// bound.
///
/// # Errors
/// What the deserializer says, or that the tree is deeper than [`MAX_DEPTH`] or a path in it longer than 4096 bytes.
pub fn read_tree<'de, D: Deserializer<'de>>(deserializer: D, duplicates: &mut Vec<String>) -> Result<Value, D::Error> {
    Tree { at: None, room: MAX_DEPTH, duplicates }.deserialize(deserializer)
}

/// As [`read_tree`] refuses paths, for a tree that was not read but put together.
///
/// # Errors
/// 422 when a path is longer than 4096 bytes.
pub(crate) fn check_paths(value: &Value) -> Result<(), Status> {
    fn fits(value: &Value, length: usize) -> bool {
        match value {
            Value::Array(items) => items.iter().all(|item| fits(item, length)),
            Value::Object(map) => map.iter().all(|(key, field)| {
                let length = length + key.len();
                length <= MAX_PATH && fits(field, length)
            }),
            _ => true,
        }
    }
    if fits(value, 0) { Ok(()) } else { Err(Status::failure(422, reason::INVALID, TOO_LONG)) }
}

/// Where the parser is: a list of frames on its stack, turned into text only when there is something to report.
#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

#[derive(Clone, Copy)]
struct Frame<'a> {
    step: Step<'a>,
    above: Option<&'a Frame<'a>>,
    /// The bytes of the keys from the root to here.
    length: usize,
}

impl fmt::Display for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            above.fmt(f)?;
        }
        match self.step {
            Step::Key(key) if self.above.is_some() => write!(f, ".{key}"),
            Step::Key(key) => f.write_str(key),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

struct Tree<'a, 'd> {
    at: Option<&'a Frame<'a>>,
    /// How many levels may follow.
    room: usize,
    duplicates: &'d mut Vec<String>,
}

impl Tree<'_, '_> {
    fn descend<E: serde::de::Error>(&self) -> Result<usize, E> {
        self.room.checked_sub(1).ok_or_else(|| E::custom("exceeded max depth"))
    }

    fn length(&self) -> usize {
        self.at.map_or(0, |frame| frame.length)
    }

    fn note(&mut self, frame: &Frame<'_>) {
        if self.duplicates.len() >= MAX_NOTED {
            return;
        }
        let path = frame.to_string();
        if !self.duplicates.contains(&path) {
            self.duplicates.push(path);
        }
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_, '_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Number::from_f64(v).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }
    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        self.deserialize(d)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(64));
        let (room, length) = (self.descend()?, self.length());
        loop {
            let frame = Frame { step: Step::Index(list.len()), above: self.at, length };
            match seq.next_element_seed(Tree { at: Some(&frame), room, duplicates: self.duplicates })? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let room = self.descend()?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let length = self.length() + key.len();
            if length > MAX_PATH {
                return Err(A::Error::custom(TOO_LONG));
            }
            let frame = Frame { step: Step::Key(&key), above: self.at, length };
            let value = access.next_value_seed(Tree { at: Some(&frame), room, duplicates: self.duplicates })?;
            if map.contains_key(&key) {
                self.note(&frame);
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duplicates(text: &str) -> Vec<String> {
        let mut duplicates = Vec::new();
        read_tree(&mut serde_json::Deserializer::from_str(text), &mut duplicates).unwrap();
        duplicates
    }

    #[test]
    fn equal_keys_are_noted_once_and_in_bounds_c12() {
        assert_eq!(duplicates(r#"{"a":1,"m":{"x":1,"x":2,"x":3},"l":[{"y":1,"y":3}],"a":2}"#), ["m.x", "l[0].y", "a"]);
        let many: String = (0..5000).flat_map(|i| [i, i]).map(|i| format!("\"k{i}\":0,")).collect();
        assert_eq!(duplicates(&format!("{{{}\"end\":0}}", many)).len(), MAX_NOTED);
    }

    #[test]
    fn long_paths_are_refused_wherever_they_come_from() {
        let half = "k".repeat(MAX_PATH / 2);
        for (text, fits) in [
            (format!(r#"{{"{half}":[{{"{half}":0}}], "{half}x":0}}"#), true),
            (format!(r#"{{"{half}":[{{"{half}x":0}}]}}"#), false),
            (format!(r#"{{"{half}{half}x":0}}"#), false),
        ] {
            let read = read_tree(&mut serde_json::Deserializer::from_str(&text), &mut Vec::new());
            assert_eq!(read.as_ref().is_ok_and(|value| check_paths(value).is_ok()), fits);
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(check_paths(&value).is_ok(), fits);
        }
    }
}
