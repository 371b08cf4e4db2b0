//! `metav1.Status`: the one error type below HTTP, and the only place where a failure becomes one (E-02).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    field::{FieldError, FieldErrors},
    gvk::{GroupKind, GroupResource},
};

/// The machine-readable reason that client libraries branch on.
pub type Reason = &'static str;

/// The reasons of `metav1.StatusReason`.
pub mod reason {
    #![allow(missing_docs, reason = "the names are Kubernetes' own")]
    use super::Reason;
    pub const UNKNOWN: Reason = "";
    pub const UNAUTHORIZED: Reason = "Unauthorized";
    pub const FORBIDDEN: Reason = "Forbidden";
    pub const NOT_FOUND: Reason = "NotFound";
    pub const ALREADY_EXISTS: Reason = "AlreadyExists";
    pub const CONFLICT: Reason = "Conflict";
    pub const GONE: Reason = "Gone";
    pub const EXPIRED: Reason = "Expired";
    pub const INVALID: Reason = "Invalid";
    pub const SERVER_TIMEOUT: Reason = "ServerTimeout";
    pub const TIMEOUT: Reason = "Timeout";
    pub const TOO_MANY_REQUESTS: Reason = "TooManyRequests";
    pub const BAD_REQUEST: Reason = "BadRequest";
    pub const METHOD_NOT_ALLOWED: Reason = "MethodNotAllowed";
    pub const NOT_ACCEPTABLE: Reason = "NotAcceptable";
    pub const REQUEST_ENTITY_TOO_LARGE: Reason = "RequestEntityTooLarge";
    pub const UNSUPPORTED_MEDIA_TYPE: Reason = "UnsupportedMediaType";
    pub const INTERNAL_ERROR: Reason = "InternalError";
    pub const SERVICE_UNAVAILABLE: Reason = "ServiceUnavailable";
    pub const INSUFFICIENT_STORAGE: Reason = "InsufficientStorage";
}

/// One cause in the details of a [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// Machine-readable reason.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Text for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The field, if one is to blame.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// The details of a [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusDetails {
    /// The object's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The group of `kind`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The plural resource, or the kind where Kubernetes says the kind (E-03, E-06).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The object's uid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// What led to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// After how many seconds to try again.
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_no_code(code: &u16) -> bool {
    *code == 0
}

/// A `metav1.Status`. Failures travel as this value from where they are found to where they are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// `Success` or `Failure`.
    pub status: String,
    /// Text for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Machine-readable reason, one of [`reason`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// More facts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<StatusDetails>>,
    /// The HTTP status; 0 is not written, for answers that are no failure and say nothing of it (X-09).
    #[serde(skip_serializing_if = "is_no_code")]
    pub code: u16,
    /// A `continue` token in `metadata` (only for an expired one, L-13).
    #[serde(skip)]
    pub continue_token: Option<Box<str>>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            status: "Failure".into(),
            message: String::new(),
            reason: String::new(),
            details: None,
            code: 500,
            continue_token: None,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

impl Status {
    /// A failure without details.
    pub fn failure(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), message: message.into(), ..Self::default() }
    }

    /// A success.
    pub fn success() -> Self {
        Self { status: "Success".into(), code: 200, ..Self::default() }
    }

    /// With details.
    #[must_use]
    pub fn with_details(mut self, details: StatusDetails) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    fn about(self, resource: &GroupResource, name: &str) -> Self {
        self.with_details(StatusDetails {
            name: name.into(),
            group: resource.group.clone(),
            kind: resource.resource.clone(),
            ..StatusDetails::default()
        })
    }

    /// Adds a cause.
    #[must_use]
    pub fn with_cause(mut self, reason: &str, message: impl Into<String>, field: &str) -> Self {
        self.details.get_or_insert_default().causes.push(Cause {
            reason: reason.into(),
            message: message.into(),
            field: field.into(),
        });
        self
    }

    /// Says after how many seconds to try again; also sent as `Retry-After` (E-11).
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    /// 404 (E-03).
    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Self::failure(404, reason::NOT_FOUND, format!("{resource} {} not found", crate::field::go_quote(name)))
            .about(resource, name)
    }

    /// 409 AlreadyExists (E-04).
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        Self::failure(
            409,
            reason::ALREADY_EXISTS,
            format!("{resource} {} already exists", crate::field::go_quote(name)),
        )
        .about(resource, name)
    }

    /// 409 Conflict (E-05). `detail` is the text after the colon.
    pub fn conflict(resource: &GroupResource, name: &str, detail: &str) -> Self {
        Self::failure(
            409,
            reason::CONFLICT,
            format!("Operation cannot be fulfilled on {resource} {}: {detail}", crate::field::go_quote(name)),
        )
        .about(resource, name)
    }

    /// 409 Conflict because the object has changed since it was read (U-01).
    pub fn modified(resource: &GroupResource, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 422 (E-06). Panics never; an empty list gives a Status that says nothing is wrong, so do not call it with one.
    /// The message says each thing once, the causes have all.
    pub fn invalid(kind: &GroupKind, name: &str, errors: &FieldErrors) -> Self {
        let mut texts: Vec<String> = Vec::with_capacity(errors.len());
        for text in errors.iter().map(FieldError::to_string) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let all = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let causes = errors
            .iter()
            .map(|e| Cause { reason: e.kind.reason().into(), message: e.message.clone(), field: e.path.to_string() })
            .collect();
        Self::failure(422, reason::INVALID, format!("{kind} {} is invalid: {all}", crate::field::go_quote(name)))
            .with_details(StatusDetails {
                name: name.into(),
                group: kind.group.clone(),
                kind: kind.kind.clone(),
                causes,
                ..StatusDetails::default()
            })
    }

    /// 403 on a resource (E-07). `detail` is the text after the colon.
    pub fn forbidden(resource: &GroupResource, name: &str, detail: impl fmt::Display) -> Self {
        let what = match (resource.resource.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {detail}"),
            (false, true) => format!("{resource} is forbidden: {detail}"),
            (false, false) => format!("{resource} {} is forbidden: {detail}", crate::field::go_quote(name)),
        };
        Self::failure(403, reason::FORBIDDEN, what).about(resource, name)
    }

    /// 401 (E-08).
    pub fn unauthorized() -> Self {
        Self::failure(401, reason::UNAUTHORIZED, "Unauthorized")
    }

    /// 400 (E-13).
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, reason::BAD_REQUEST, message)
    }

    /// 405 (E-09).
    pub fn method_not_allowed(resource: &GroupResource, verb: &str) -> Self {
        Self::failure(
            405,
            reason::METHOD_NOT_ALLOWED,
            format!("{verb} is not supported on resources of kind {}", crate::field::go_quote(&resource.to_string())),
        )
        .about(resource, "")
    }

    /// 410 Expired (E-10).
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, reason::EXPIRED, message)
    }

    /// 500 (E-14).
    pub fn internal(detail: impl fmt::Display) -> Self {
        Self::failure(500, reason::INTERNAL_ERROR, format!("Internal error occurred: {detail}")).with_details(
            StatusDetails {
                causes: vec![Cause { message: detail.to_string(), ..Cause::default() }],
                ..StatusDetails::default()
            },
        )
    }

    /// 504 with the cause `ResourceVersionTooLarge` (E-12).
    pub fn too_large_resource_version(requested: u64, current: u64) -> Self {
        Self::failure(
            504,
            reason::TIMEOUT,
            format!("Timeout: Too large resource version: {requested}, current: {current}"),
        )
        .with_cause("ResourceVersionTooLarge", "Too large resource version", "")
        .with_retry_after(1)
    }

    /// 413 (T-07).
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::failure(413, reason::REQUEST_ENTITY_TOO_LARGE, message)
    }

    /// 415 (N-02).
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::failure(415, reason::UNSUPPORTED_MEDIA_TYPE, message)
    }

    /// Whether the reason is `reason`.
    pub fn is(&self, reason: Reason) -> bool {
        self.reason == reason
    }

    /// The wire form as text, its fields in the order that Kubernetes writes them in.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = br#"{"kind":"Status","apiVersion":"v1","metadata":{"#.to_vec();
        if let Some(token) = &self.continue_token {
            out.extend_from_slice(format!("\"continue\":{}", serde_json::Value::from(token.as_ref())).as_bytes());
        }
        out.extend_from_slice(b"},");
        // Writing a struct of texts and numbers cannot fail; it always begins with a brace and the field `status`.
        let fields = serde_json::to_vec(self).unwrap_or_default();
        out.extend_from_slice(fields.get(1..).unwrap_or_default());
        out
    }

    /// The wire form, with kind and apiVersion.
    pub fn to_value(&self) -> serde_json::Value {
        let mut v = serde_json::to_value(self).unwrap_or_default();
        if let Some(map) = v.as_object_mut() {
            map.insert("kind".into(), "Status".into());
            map.insert("apiVersion".into(), "v1".into());
            let mut meta = serde_json::Map::new();
            if let Some(token) = &self.continue_token {
                meta.insert("continue".into(), token.as_ref().into());
            }
            map.insert("metadata".into(), meta.into());
        }
        v
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::FieldPath;

    #[test]
    fn texts_have_kubernetes_order() {
        let s = Status::not_found(&GroupResource::new("", "pods"), "x");
        let text = String::from_utf8(s.to_json()).unwrap();
        assert!(
            text.starts_with(r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"#),
            "{text}"
        );
        assert!(text.ends_with(r#""code":404}"#), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), s.to_value());
    }

    #[test]
    fn not_found_names_the_plural() {
        let s = Status::not_found(&GroupResource::new("example.com", "widgets"), "x");
        assert_eq!(s.message, "widgets.example.com \"x\" not found");
        assert_eq!(s.to_value()["details"]["kind"], "widgets");
    }

    #[test]
    fn invalid_lists_its_causes() {
        let errs = vec![
            FieldError::invalid(&FieldPath::new("spec.x"), 1, "bad"),
            FieldError::required(&FieldPath::root(), ""),
        ];
        let s = Status::invalid(&GroupKind::new("example.com", "Widget"), "x", &errs);
        assert_eq!(
            s.message,
            "Widget.example.com \"x\" is invalid: [spec.x: Invalid value: 1: bad, <nil>: Required value]"
        );
        assert_eq!(s.to_value()["details"]["causes"][1]["field"], "<nil>");
    }
}
