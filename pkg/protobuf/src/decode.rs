//! From messages to JSON, by the table of facts.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use crate::{
    DecodeError,
    facts::{Field, MessageId, Shape, Table, Type},
    special,
    wire::{Reader, Wire},
};

/// The deepest nesting of messages. A schema in a schema takes three of them; JSON itself is not read beyond 128.
const MAX_DEPTH: usize = 200;
/// How many values one body may have. The shortest takes two bytes on the wire and a hundred in memory.
const MAX_VALUES: usize = 500_000;

/// Decodes one body.
pub(crate) struct Decoder {
    table: &'static Table,
    values: usize,
}

impl Decoder {
    pub(crate) fn new(table: &'static Table) -> Self {
        Self { table, values: 0 }
    }

    /// Puts a message's fields into `out`. One that is there twice is merged, as the encoding wants it.
    pub(crate) fn message(
        &mut self,
        id: MessageId,
        bytes: &[u8],
        out: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        if depth > MAX_DEPTH {
            return Err(DecodeError::TooDeep);
        }
        let message = self.table.message(id)?;
        let mut reader = Reader::new(bytes, message.name);
        while let Some((number, wire)) = reader.tag()? {
            self.count()?;
            match message.field(number) {
                None => reader.skip(number, wire)?,
                Some(field) => match field.shape {
                    Shape::One => self.one(field, &mut reader, wire, out, depth)?,
                    Shape::List => self.list(field, &mut reader, wire, out, depth)?,
                    Shape::Map => self.entry(field, &mut reader, wire, out, depth)?,
                },
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), DecodeError> {
        self.values += 1;
        if self.values > MAX_VALUES { Err(DecodeError::TooMany) } else { Ok(()) }
    }

    fn one(
        &mut self,
        field: &Field,
        reader: &mut Reader<'_>,
        wire: Wire,
        out: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        if let Type::Message(id) = field.value {
            let bytes = reader.bytes(field.number, wire)?;
            if field.name.is_empty() {
                return self.message(id, bytes, out, depth + 1);
            }
            if let Value::Object(inner) = out.entry(field.name).or_insert_with(|| Value::Object(Map::new())) {
                self.message(id, bytes, inner, depth + 1)?;
                if field.omit_zero && inner.is_empty() {
                    out.remove(field.name);
                }
            }
            return Ok(());
        }
        match self.value(field.value, field.number, reader, wire, depth)? {
            Some(value) if !(field.omit_empty && empty(field.value, &value)) => {
                out.insert(field.name.to_owned(), value);
            }
            _ => {
                out.remove(field.name);
            }
        }
        Ok(())
    }

    fn list(
        &mut self,
        field: &Field,
        reader: &mut Reader<'_>,
        wire: Wire,
        out: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        let mut found = Vec::new();
        // Numbers may come one by one, or all in one field.
        let packed = match field.value {
            Type::Bool | Type::Int32 | Type::Int64 if wire == Wire::Bytes => Some(Wire::Varint),
            Type::Double if wire == Wire::Bytes => Some(Wire::Fixed64),
            _ => None,
        };
        match packed {
            Some(inner) => {
                let mut all = Reader::new(reader.bytes(field.number, wire)?, "packed list");
                while !all.is_empty() {
                    self.count()?;
                    found.extend(self.value(field.value, field.number, &mut all, inner, depth)?);
                }
            }
            None => {
                found.push(self.value(field.value, field.number, reader, wire, depth)?.unwrap_or_default());
            }
        }
        if !found.is_empty()
            && let Value::Array(list) = out.entry(field.name).or_insert_with(|| Value::Array(Vec::new()))
        {
            list.append(&mut found);
        }
        Ok(())
    }

    /// An entry of a map: a message of a key and a value, either of which may be missing when it is empty.
    fn entry(
        &mut self,
        field: &Field,
        reader: &mut Reader<'_>,
        wire: Wire,
        out: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        let bytes = reader.bytes(field.number, wire)?;
        let mut entry = Reader::new(bytes, "map entry");
        let (mut key, mut value) = ("", None);
        while let Some((number, wire)) = entry.tag()? {
            match number {
                1 => key = entry.text(number, wire)?,
                2 => value = Some(self.value(field.value, number, &mut entry, wire, depth)?.unwrap_or_default()),
                _ => entry.skip(number, wire)?,
            }
        }
        if let Value::Object(map) = out.entry(field.name).or_insert_with(|| Value::Object(Map::new())) {
            map.insert(key.to_owned(), value.unwrap_or_else(|| zero(field.value)));
        }
        Ok(())
    }

    /// One value; `None` for what JSON writes as null.
    pub(crate) fn value(
        &mut self,
        kind: Type,
        number: u32,
        reader: &mut Reader<'_>,
        wire: Wire,
        depth: usize,
    ) -> Result<Option<Value>, DecodeError> {
        let value = match kind {
            Type::String => reader.text(number, wire)?.into(),
            Type::Bytes => STANDARD.encode(reader.bytes(number, wire)?).into(),
            Type::Bool => (reader.varint(number, wire)? != 0).into(),
            // Negative numbers take all ten bytes; what is too long is cut.
            Type::Int32 => (reader.varint(number, wire)? as u32 as i32).into(),
            Type::Int64 => (reader.varint(number, wire)? as i64).into(),
            Type::Double => {
                let number = special::number(reader.double(number, wire)?);
                number.ok_or_else(|| reader.bad(0, "not a number that JSON knows"))?
            }
            Type::Message(id) => {
                let mut map = Map::new();
                self.message(id, reader.bytes(number, wire)?, &mut map, depth + 1)?;
                Value::Object(map)
            }
            Type::Time => return special::time(reader.bytes(number, wire)?, false),
            Type::MicroTime => return special::time(reader.bytes(number, wire)?, true),
            Type::Quantity => special::quantity(reader.bytes(number, wire)?)?,
            Type::IntOrString => special::int_or_string(reader.bytes(number, wire)?)?,
            Type::Raw => return special::raw(reader.bytes(number, wire)?),
            Type::Strings => {
                self.or(reader.bytes(number, wire)?, (None, Some(Type::String)), depth)?.many.unwrap_or_default()
            }
            Type::Schemas => {
                let schema = Type::Message(self.table.schema);
                self.or(reader.bytes(number, wire)?, (Some(schema), Some(schema)), depth)?.many_or_one()
            }
            Type::SchemaOrStrings => {
                let schema = Type::Message(self.table.schema);
                self.or(reader.bytes(number, wire)?, (Some(schema), Some(Type::String)), depth)?.many_or_one()
            }
            Type::SchemaOrBool => self.schema_or_bool(reader.bytes(number, wire)?, depth)?,
        };
        Ok(Some(value))
    }

    /// A message of which field 1 is one thing and field 2 several; or field 1 several when there is no single one.
    fn or(
        &mut self,
        bytes: &[u8],
        (one, many): (Option<Type>, Option<Type>),
        depth: usize,
    ) -> Result<Either, DecodeError> {
        if depth > MAX_DEPTH {
            return Err(DecodeError::TooDeep);
        }
        let mut reader = Reader::new(bytes, "one or several");
        let mut found = Either::default();
        let place = if one.is_some() { 2 } else { 1 };
        while let Some((number, wire)) = reader.tag()? {
            self.count()?;
            match (number, one, many) {
                (1, Some(one), _) => found.one = self.value(one, number, &mut reader, wire, depth + 1)?,
                (n, _, Some(many)) if n == place => {
                    let value = self.value(many, number, &mut reader, wire, depth + 1)?;
                    if let Value::Array(list) = found.many.get_or_insert_with(|| Value::Array(Vec::new())) {
                        list.extend(value);
                    }
                }
                _ => reader.skip(number, wire)?,
            }
        }
        Ok(found)
    }

    fn schema_or_bool(&mut self, bytes: &[u8], depth: usize) -> Result<Value, DecodeError> {
        let mut reader = Reader::new(bytes, "apiextensions.v1.JSONSchemaPropsOrBool");
        let (mut allows, mut schema) = (false, None);
        while let Some((number, wire)) = reader.tag()? {
            match number {
                1 => allows = reader.varint(number, wire)? != 0,
                2 => schema = self.value(Type::Message(self.table.schema), number, &mut reader, wire, depth + 1)?,
                _ => reader.skip(number, wire)?,
            }
        }
        Ok(schema.unwrap_or(Value::Bool(allows)))
    }
}

/// What is in one of the "or" messages.
#[derive(Default)]
struct Either {
    one: Option<Value>,
    many: Option<Value>,
}

impl Either {
    /// Several win over one, as in Go.
    fn many_or_one(self) -> Value {
        self.many.or(self.one).unwrap_or_default()
    }
}

/// Whether JSON leaves out a value that is no message. Times that are empty are no values at all; a quantity and
/// an `IntOrString` are structs to Go, which are never empty.
fn empty(kind: Type, value: &Value) -> bool {
    match kind {
        Type::Quantity | Type::IntOrString => false,
        _ => match value {
            Value::Null | Value::Bool(false) => true,
            Value::Number(n) => n.as_f64() == Some(0.0),
            Value::String(s) => s.is_empty(),
            Value::Array(list) => list.is_empty(),
            _ => false,
        },
    }
}

/// What the value of a map's entry is when the wire has none.
fn zero(kind: Type) -> Value {
    match kind {
        Type::String | Type::Bytes => "".into(),
        Type::Bool => false.into(),
        Type::Int32 | Type::Int64 | Type::Double | Type::IntOrString => 0.into(),
        Type::Quantity => "0".into(),
        Type::Message(_) => Value::Object(Map::new()),
        _ => Value::Null,
    }
}
