//! The table of known messages, read once from `data/` when the first body arrives.

use std::{collections::HashMap, sync::OnceLock};

use crate::DecodeError;

static KINDS: &str = include_str!("../data/kinds.txt");
static MESSAGES: &str = include_str!("../data/messages.txt");

/// A message's place in the table.
pub(crate) type MessageId = usize;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    String,
    Bytes,
    Bool,
    Int32,
    Int64,
    Double,
    /// `metav1.Time`.
    Time,
    /// `metav1.MicroTime`.
    MicroTime,
    /// `resource.Quantity`.
    Quantity,
    /// `intstr.IntOrString`.
    IntOrString,
    /// A message of bytes that hold JSON.
    Raw,
    /// A message of strings.
    Strings,
    /// A schema or several.
    Schemas,
    /// A schema or a switch.
    SchemaOrBool,
    /// A schema or names.
    SchemaOrStrings,
    Message(MessageId),
}

/// How often a value occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    One,
    List,
    /// With strings as keys.
    Map,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// Its name in JSON, empty when inlined.
    pub(crate) name: &'static str,
    pub(crate) value: Type,
    pub(crate) shape: Shape,
    /// Whether JSON leaves it out when it is empty.
    pub(crate) omit_empty: bool,
    /// Whether JSON leaves it out when it is a message with nothing in it.
    pub(crate) omit_zero: bool,
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: &'static str,
    /// By number.
    fields: Vec<Field>,
}

impl Message {
    pub(crate) fn field(&self, number: u32) -> Option<&Field> {
        self.fields.binary_search_by_key(&number, |f| f.number).ok().and_then(|at| self.fields.get(at))
    }
}

/// Everything that is known.
#[derive(Debug)]
pub(crate) struct Table {
    kinds: HashMap<(&'static str, &'static str), MessageId>,
    messages: Vec<Message>,
    /// The schema of a CustomResourceDefinition, which the "or" types hold.
    pub(crate) schema: MessageId,
}

/// The table.
///
/// # Errors
/// When the data of this crate is broken, which a test rules out.
pub(crate) fn table() -> Result<&'static Table, DecodeError> {
    static TABLE: OnceLock<Result<Table, DecodeError>> = OnceLock::new();
    TABLE.get_or_init(|| Table::read(KINDS, MESSAGES).map_err(DecodeError::Facts)).as_ref().map_err(Clone::clone)
}

impl Table {
    fn read(kinds: &'static str, messages: &'static str) -> Result<Self, String> {
        let name = |line: &'static str| line.split(' ').next().unwrap_or_default();
        let ids: HashMap<&str, MessageId> = messages.lines().map(name).enumerate().map(|(i, n)| (n, i)).collect();
        let find = |name: &str| ids.get(name).copied().ok_or_else(|| format!("no message {name:?}"));
        let messages = messages
            .lines()
            .map(|line| {
                let fields: Vec<Field> =
                    line.split(' ').skip(1).map(|text| field(text, &find)).collect::<Result<_, _>>()?;
                let message = Message { name: name(line), fields };
                let sorted = message.fields.iter().zip(message.fields.iter().skip(1)).all(|(a, b)| a.number < b.number);
                if sorted { Ok(message) } else { Err(format!("the fields of {} are not sorted", message.name)) }
            })
            .collect::<Result<_, String>>()?;
        let kinds = kinds
            .lines()
            .map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
                [version, kind, message] => Ok(((version, kind), find(message)?)),
                _ => Err(format!("the kind {line:?}")),
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { kinds, messages, schema: find("apiextensions.v1.JSONSchemaProps")? })
    }

    /// The message of a kind.
    pub(crate) fn kind(&self, api_version: &str, kind: &str) -> Option<MessageId> {
        self.kinds.get(&(api_version, kind)).or_else(|| self.kinds.get(&("*", kind))).copied()
    }

    /// A message.
    ///
    /// # Errors
    /// Never: all numbers come from this table.
    pub(crate) fn message(&self, id: MessageId) -> Result<&Message, DecodeError> {
        self.messages.get(id).ok_or_else(|| DecodeError::Facts(format!("no message {id}")))
    }
}

/// Reads `<number>:<JSON name>:<type>[:<flags>]`.
fn field(text: &'static str, find: &impl Fn(&str) -> Result<MessageId, String>) -> Result<Field, String> {
    let bad = || format!("the field {text:?}");
    let mut parts = text.split(':');
    let (Some(number), Some(name), Some(kind), flags, None) =
        (parts.next(), parts.next(), parts.next(), parts.next().unwrap_or_default(), parts.next())
    else {
        return Err(bad());
    };
    let inside = |head: &str| kind.strip_prefix(head).and_then(|k| k.strip_suffix('>'));
    let (shape, kind) = match (inside("list<"), inside("map<")) {
        (Some(of), _) => (Shape::List, of),
        (_, Some(of)) => (Shape::Map, of),
        _ => (Shape::One, kind),
    };
    let value = match kind {
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "bool" => Type::Bool,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "double" => Type::Double,
        "time" => Type::Time,
        "microtime" => Type::MicroTime,
        "quantity" => Type::Quantity,
        "intstr" => Type::IntOrString,
        "raw" => Type::Raw,
        "strings" => Type::Strings,
        "schemas" => Type::Schemas,
        "schemaorbool" => Type::SchemaOrBool,
        "schemaorstrings" => Type::SchemaOrStrings,
        name => Type::Message(find(name.strip_prefix('.').ok_or_else(bad)?)?),
    };
    if flags.contains('i') != name.is_empty() || flags.contains(|c| !"priz".contains(c)) {
        return Err(bad());
    }
    Ok(Field {
        number: number.parse().map_err(|_| bad())?,
        name,
        value,
        shape,
        omit_empty: !flags.contains(['p', 'r']),
        omit_zero: flags.contains('z'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_can_be_read() {
        let table = table().unwrap();
        assert!(table.messages.len() > 500 && table.kinds.len() > 100);
        for (version, kind) in [
            ("v1", "Namespace"),
            ("v1", "DeleteOptions"),
            ("apps/v1", "DeleteOptions"),
            ("apps/v1", "Deployment"),
            ("batch/v1", "CronJob"),
            ("autoscaling/v2", "HorizontalPodAutoscaler"),
            ("policy/v1", "Eviction"),
            ("authentication.k8s.io/v1", "TokenRequest"),
            ("authorization.k8s.io/v1", "SelfSubjectAccessReview"),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
            ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
        ] {
            assert!(table.kind(version, kind).is_some(), "{version} {kind}");
        }
        assert_eq!(table.kind("apps/v1", "Namespace"), None);
    }

    #[test]
    fn broken_data_is_found() {
        let schema = "\napiextensions.v1.JSONSchemaProps";
        for (kinds, messages, good) in [
            ("v1 A a", "a 1:x:string:r", true),
            ("v1 A b", "a 1:x:string", false),
            ("v1 A", "a 1:x:string", false),
            ("v1 A a", "a 1:x:.b", false),
            ("v1 A a", "a 1:x:text", false),
            ("v1 A a", "a 2:x:string 1:y:string", false),
            ("v1 A a", "a x:x:string", false),
            ("v1 A a", "a 1::string", false),
            ("v1 A a", "a 1:x:string:q", false),
            ("v1 A a", "a 1:x", false),
            ("v1 A a", "a 1:x:string:p:r", false),
        ] {
            let messages: &'static str = Box::leak(format!("{messages}{schema}").into_boxed_str());
            assert_eq!(Table::read(kinds, messages).is_ok(), good, "{kinds} / {messages}");
        }
    }
}
