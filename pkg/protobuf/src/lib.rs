//! Reads Kubernetes' protobuf encoding of built-in kinds and says the same in JSON (N-02).
//!
//! Typed clients, such as `kubectl create deployment`, send their bodies in `application/vnd.kubernetes.protobuf` and know
//! no other way. Everything behind this crate speaks JSON only, so a body is turned into the JSON that the same client
//! would have sent, as far as the encoding still tells: Go writes the empty values of fields that JSON leaves out, and those
//! are left out here; a zero behind a pointer was meant, and stays.
//!
//! The kind is taken from the body itself, never from what serves it: a custom resource that stands in for a
//! built-in type is written by the same clients.
//!
//! Bodies come from outside: nesting, the number of values and every length are bounded, and no input panics.

mod decode;
mod facts;
mod special;
mod wire;

use serde_json::{Map, Value};

use decode::Decoder;
use wire::{Reader, Wire};

/// The media type of these bodies.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// Why a body cannot be read. The text is for the client that sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It does not begin as a body of this encoding does.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NotProtobuf,
    /// The envelope does not say what is inside.
    #[error("Object '{0}' is missing in the protobuf envelope")]
    Unnamed(&'static str),
    /// The envelope says that its content is in another encoding.
    #[error("the protobuf envelope holds {0:?}, which is not understood")]
    Content(String),
    /// A kind whose fields are not known: a custom resource, or one of a version that is not served.
    #[error("kind {kind:?} of version {api_version:?} has no known protobuf encoding")]
    UnknownKind {
        /// The API version that the envelope names.
        api_version: String,
        /// The kind that the envelope names.
        kind: String,
    },
    /// The bytes are not what the field's type wants.
    #[error("proto: {field}: {why}")]
    Malformed {
        /// The message and the field.
        field: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Messages are nested too deep.
    #[error("proto: exceeded max depth")]
    TooDeep,
    /// There are too many values.
    #[error("proto: too many values")]
    TooMany,
    /// The table of known messages cannot be read: the program is broken.
    #[error("the table of protobuf messages is broken: {0}")]
    Facts(String),
}

/// Whether the fields of a kind are known, so that [`to_json`] can read it.
pub fn knows(api_version: &str, kind: &str) -> bool {
    facts::table().is_ok_and(|table| table.kind(api_version, kind).is_some())
}

/// The JSON form of a body, with its `kind` and `apiVersion`.
///
/// # Errors
/// When it is not a body of this encoding, of a kind that is not known, malformed, too deep or too large.
pub fn to_json(body: &[u8]) -> Result<Value, DecodeError> {
    let envelope = Envelope::read(body.strip_prefix(MAGIC).ok_or(DecodeError::NotProtobuf)?)?;
    let table = facts::table()?;
    let Some(message) = table.kind(envelope.api_version, envelope.kind) else {
        return Err(DecodeError::UnknownKind {
            api_version: envelope.api_version.to_owned(),
            kind: envelope.kind.to_owned(),
        });
    };
    let mut object = Map::new();
    Decoder::new(table).message(message, envelope.raw, &mut object, 0)?;
    object.insert("kind".to_owned(), envelope.kind.into());
    object.insert("apiVersion".to_owned(), envelope.api_version.into());
    Ok(Value::Object(object))
}

/// `runtime.Unknown`: what every object is wrapped in.
#[derive(Default)]
struct Envelope<'a> {
    api_version: &'a str,
    kind: &'a str,
    raw: &'a [u8],
}

impl<'a> Envelope<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut envelope = Self::default();
        let mut reader = Reader::new(bytes, "runtime.Unknown");
        while let Some((number, wire)) = reader.tag()? {
            match number {
                1 => {
                    let mut names = Reader::new(reader.bytes(number, wire)?, "runtime.TypeMeta");
                    while let Some((number, wire)) = names.tag()? {
                        match number {
                            1 => envelope.api_version = names.text(number, wire)?,
                            2 => envelope.kind = names.text(number, wire)?,
                            _ => names.skip(number, wire)?,
                        }
                    }
                }
                2 => envelope.raw = reader.bytes(number, wire)?,
                3 | 4 => {
                    let text = reader.text(number, wire)?;
                    if !text.is_empty() && (number == 3 || text != MEDIA_TYPE) {
                        return Err(DecodeError::Content(text.to_owned()));
                    }
                }
                _ => reader.skip(number, wire)?,
            }
        }
        match (envelope.kind, envelope.api_version) {
            ("", _) => Err(DecodeError::Unnamed("Kind")),
            (_, "") => Err(DecodeError::Unnamed("apiVersion")),
            _ => Ok(envelope),
        }
    }
}

const _: () = assert!(Wire::Varint as u8 == 0 && Wire::Fixed32 as u8 == 5, "the numbers of the wire types");
