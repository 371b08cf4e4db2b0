//! Paths to fields and the errors that validation finds at them (E-06).

use std::fmt;

use serde_json::Value;

/// A path such as `spec.ports[0].name` or `metadata.labels[a/b]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldPath(String);

impl FieldPath {
    /// The root: the object itself.
    pub fn root() -> Self {
        Self::default()
    }
    /// A path taken as it is.
    pub fn new(path: impl Into<String>) -> Self {
        Self(path.into())
    }
    /// The field `name` below.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self([&self.0, ".", name].concat()) }
    }
    /// Item `index` of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
    /// Entry `key` of this map.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self([&self.0, "[", key, "]"].concat())
    }
    /// The path as text; empty at the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

/// What is wrong with a field; the name is the wire's `reason` of a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// The value is missing.
    Required,
    /// The value is malformed.
    Invalid,
    /// The value is not one of those known.
    NotSupported,
    /// The value may not be given here.
    Forbidden,
    /// The value occurs twice.
    Duplicate,
    /// The text is too long.
    TooLong,
    /// The list has too many items.
    TooMany,
    /// The value has another type.
    TypeInvalid,
    /// Something referred to does not exist.
    NotFound,
    /// The check itself failed.
    InternalError,
}

impl FieldErrorKind {
    /// The reason of a `StatusCause`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::Duplicate => "FieldValueDuplicate",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotFound => "FieldValueNotFound",
            Self::InternalError => "InternalError",
        }
    }
}

/// One finding of a validation.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// What is wrong.
    pub kind: FieldErrorKind,
    /// Where.
    pub path: FieldPath,
    /// The whole text without the path, as people see it: `Invalid value: "x": must be …`.
    pub message: String,
}

/// All findings of a validation, in the order found.
pub type FieldErrors = Vec<FieldError>;

/// The form in which Kubernetes prints a bad value: strings quoted, scalars plain, the rest as JSON.
pub fn display_value(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(s) => go_quote(s),
        other => other.to_string(),
    }
}

/// Quotes `s` as Go's `%q` does.
pub fn go_quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl FieldError {
    fn with_value(kind: FieldErrorKind, path: &FieldPath, label: &str, value: &Value, detail: &str) -> Self {
        let mut message = format!("{label}: {}", display_value(value));
        if !detail.is_empty() {
            message.push_str(": ");
            message.push_str(detail);
        }
        Self { kind, path: path.clone(), message }
    }
    /// `Invalid value: <value>: <detail>`.
    pub fn invalid(path: &FieldPath, value: impl Into<Value>, detail: &str) -> Self {
        Self::with_value(FieldErrorKind::Invalid, path, "Invalid value", &value.into(), detail)
    }
    /// `Invalid value: <value>: <detail>` with the reason for a wrong type.
    pub fn type_invalid(path: &FieldPath, value: impl Into<Value>, detail: &str) -> Self {
        Self::with_value(FieldErrorKind::TypeInvalid, path, "Invalid value", &value.into(), detail)
    }
    /// `Required value: <detail>`.
    pub fn required(path: &FieldPath, detail: &str) -> Self {
        Self::plain(FieldErrorKind::Required, path, "Required value", detail)
    }
    /// `Forbidden: <detail>`.
    pub fn forbidden(path: &FieldPath, detail: &str) -> Self {
        Self::plain(FieldErrorKind::Forbidden, path, "Forbidden", detail)
    }
    /// `Internal error: <detail>`.
    pub fn internal(path: &FieldPath, detail: &str) -> Self {
        Self::plain(FieldErrorKind::InternalError, path, "Internal error", detail)
    }
    /// `Duplicate value: <value>`.
    pub fn duplicate(path: &FieldPath, value: impl Into<Value>) -> Self {
        Self::with_value(FieldErrorKind::Duplicate, path, "Duplicate value", &value.into(), "")
    }
    /// `Not found: <value>`.
    pub fn not_found(path: &FieldPath, value: impl Into<Value>) -> Self {
        Self::with_value(FieldErrorKind::NotFound, path, "Not found", &value.into(), "")
    }
    /// `Too long: may not be more than <max> bytes`.
    pub fn too_long(path: &FieldPath, max: usize) -> Self {
        Self::plain(FieldErrorKind::TooLong, path, "Too long", &format!("may not be more than {max} bytes"))
    }
    /// `Too many: <actual>: must have at most <max> items`.
    pub fn too_many(path: &FieldPath, actual: usize, max: usize) -> Self {
        Self::plain(
            FieldErrorKind::TooMany,
            path,
            &format!("Too many: {actual}"),
            &format!("must have at most {max} items"),
        )
    }
    /// `Unsupported value: <value>: supported values: "a", "b"` (the caller gives them in the order to print).
    pub fn not_supported<S: AsRef<str>>(path: &FieldPath, value: impl Into<Value>, supported: &[S]) -> Self {
        let list: Vec<String> = supported.iter().map(|s| go_quote(s.as_ref())).collect();
        let detail = if list.is_empty() { String::new() } else { format!("supported values: {}", list.join(", ")) };
        Self::with_value(FieldErrorKind::NotSupported, path, "Unsupported value", &value.into(), &detail)
    }
    /// An error whose text is `label` or `label: detail`.
    pub fn plain(kind: FieldErrorKind, path: &FieldPath, label: &str, detail: &str) -> Self {
        let message = if detail.is_empty() { label.to_owned() } else { format!("{label}: {detail}") };
        Self { kind, path: path.clone(), message }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}
