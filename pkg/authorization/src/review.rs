//! Access reviews (AZ-06): what they ask, whether they may ask it so, and the form of the answer.
//!
//! Whoever serves them asks the authorizer itself, so that every stage has its say.

use std::collections::BTreeMap;

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath, GroupKind, Status, UserInfo};
use serde_json::{Map, Value, json};

use crate::OwnedAttributes;

/// Which of the three access reviews it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewKind {
    /// `SubjectAccessReview`: about anybody, anywhere.
    Subject,
    /// `LocalSubjectAccessReview`: about anybody, in the namespace of the review.
    LocalSubject,
    /// `SelfSubjectAccessReview`: about who asks.
    SelfSubject,
}

/// Reads what a review asks. `caller` is who asks, and whom a self review is about.
///
/// # Errors
/// With the 422 to answer.
pub fn question(kind: ReviewKind, review: &Value, caller: &UserInfo) -> Result<OwnedAttributes, Status> {
    let errors = validate(kind, review);
    if !errors.is_empty() {
        // The reviews' own kind is missing in Kubernetes' answers too.
        return Err(Status::invalid(&GroupKind::new("authorization.k8s.io", ""), "", &errors));
    }
    let spec = &review["spec"];
    let user = if kind == ReviewKind::SelfSubject { caller.clone() } else { subject(spec) };
    let mut attributes = OwnedAttributes { user, ..OwnedAttributes::default() };
    if let Some(resource) = present(spec, "resourceAttributes") {
        let text = |field: &str| text(resource, field).to_owned();
        attributes.is_resource = true;
        attributes.verb = text("verb");
        attributes.group = text("group");
        attributes.version = text("version");
        attributes.resource = text("resource");
        attributes.subresource = text("subresource");
        attributes.name = text("name");
        attributes.namespace = text("namespace");
    } else if let Some(path) = present(spec, "nonResourceAttributes") {
        attributes.verb = text(path, "verb").to_owned();
        attributes.path = text(path, "path").to_owned();
    }
    Ok(attributes)
}

/// The `status` of a review. `denied` says that an authorizer forbids it, not only that none allows it.
pub fn status(allowed: bool, denied: bool, reason: &str, evaluation_error: &str) -> Value {
    let mut status = Map::new();
    status.insert("allowed".into(), allowed.into());
    if denied {
        status.insert("denied".into(), true.into());
    }
    for (field, text) in [("reason", reason), ("evaluationError", evaluation_error)] {
        if !text.is_empty() {
            status.insert(field.into(), text.into());
        }
    }
    Value::Object(status)
}

fn validate(kind: ReviewKind, review: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let path = FieldPath::new("spec");
    let spec = &review["spec"];
    let (resource, other) = (present(spec, "resourceAttributes"), present(spec, "nonResourceAttributes"));
    if let (Some(_), Some(other)) = (resource, other) {
        let detail = "cannot be specified in combination with resourceAttributes";
        errors.push(FieldError::invalid(&path.child("nonResourceAttributes"), go_path(other), detail));
    }
    if resource.is_none() && other.is_none() {
        let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        errors.push(FieldError::invalid(&path.child("resourceAttributes"), Value::Null, detail));
    }
    let no_groups = spec.get("groups").and_then(Value::as_array).is_none_or(Vec::is_empty);
    if kind != ReviewKind::SelfSubject && text(spec, "user").is_empty() && no_groups {
        errors.push(FieldError::invalid(&path.child("user"), "", "at least one of user or group must be specified"));
    }
    for (field, selector) in ["fieldSelector", "labelSelector"].iter().filter_map(|f| Some((f, present(resource?, f)?)))
    {
        let at = path.child("resourceAttributes").child(field);
        let raw = text(selector, "rawSelector");
        let none = selector.get("requirements").and_then(Value::as_array).is_none_or(Vec::is_empty);
        match (raw.is_empty(), none) {
            (false, false) => {
                let detail = "may not specified at the same time as requirements";
                errors.push(FieldError::invalid(&at.child("rawSelector"), raw, detail));
            }
            (true, true) => {
                let detail = format!("when {at} is specified, requirements or rawSelector is required");
                errors.push(FieldError::required(&at.child("requirements"), &detail));
            }
            _ => {}
        }
    }
    let meta = review.get("metadata").and_then(Value::as_object);
    let namespace = meta.and_then(|m| m.get("namespace")).and_then(Value::as_str).unwrap_or_default();
    let local = kind == ReviewKind::LocalSubject;
    let extra = meta.into_iter().flatten().any(|(field, value)| {
        // What the server itself puts there does not count.
        let own = matches!(field.as_str(), "managedFields" | "creationTimestamp") || local && field == "namespace";
        !own && !is_empty(value)
    });
    if extra {
        let detail = if local { "must be empty except for namespace" } else { "must be empty" };
        errors.push(FieldError::invalid(&FieldPath::new("metadata"), review["metadata"].clone(), detail));
    }
    if local {
        if let Some(asked) = resource.map(|r| text(r, "namespace")).filter(|asked| *asked != namespace) {
            let at = path.child("resourceAttributes").child("namespace");
            errors.push(FieldError::invalid(&at, asked, "must match metadata.namespace"));
        }
        if let Some(other) = other {
            let detail = "disallowed on this kind of request";
            errors.push(FieldError::invalid(&path.child("nonResourceAttributes"), go_path(other), detail));
        }
    }
    errors
}

fn subject(spec: &Value) -> UserInfo {
    let list = |value: Option<&Value>| -> Vec<String> {
        let items = value.and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let extra = spec.get("extra").and_then(Value::as_object).into_iter().flatten();
    UserInfo {
        username: text(spec, "user").to_owned(),
        uid: text(spec, "uid").to_owned(),
        groups: list(spec.get("groups")),
        extra: extra.map(|(k, v)| (k.clone(), list(Some(v)))).collect::<BTreeMap<_, _>>(),
    }
}

fn present<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    value.get(field).filter(|v| !v.is_null())
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(m) => m.is_empty(),
        Value::Number(n) => n.as_i64() == Some(0),
        Value::Bool(b) => !b,
    }
}

/// The attributes as Kubernetes prints them: with the names of its Go fields.
fn go_path(other: &Value) -> Value {
    json!({"Path": text(other, "path"), "Verb": text(other, "verb")})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: ReviewKind, review: Value) -> String {
        question(kind, &review, &UserInfo::default()).unwrap_err().message
    }

    #[test]
    fn questions_are_read_az06() {
        let review = json!({"metadata": {"managedFields": [{}]}, "spec": {"user": "u", "groups": ["g"], "uid": "1", "extra": {"k": ["v"]},
            "resourceAttributes": {"verb": "get", "group": "apps", "resource": "deployments", "subresource": "scale", "name": "n", "namespace": "ns"}}});
        let asked = question(ReviewKind::Subject, &review, &UserInfo::default()).unwrap();
        assert_eq!(
            (asked.user.username.as_str(), asked.verb.as_str(), asked.subresource.as_str()),
            ("u", "get", "scale")
        );
        assert_eq!(asked.user.extra["k"], ["v"]);
        assert!(asked.borrow().is_resource);
        let caller = UserInfo { username: "me".into(), ..UserInfo::default() };
        let own = json!({"spec": {"nonResourceAttributes": {"verb": "get", "path": "/x"}, "user": "other"}});
        let asked = question(ReviewKind::SelfSubject, &own, &caller).unwrap();
        assert_eq!((asked.user.username.as_str(), asked.path.as_str(), asked.is_resource), ("me", "/x", false));
    }

    #[test]
    fn malformed_questions_have_kubernetes_texts_az06() {
        let both = json!({"spec": {"resourceAttributes": {"verb": "get"}, "nonResourceAttributes": {"path": "/"}}});
        let cases = [
            (
                ReviewKind::SelfSubject,
                both,
                ".authorization.k8s.io \"\" is invalid: spec.nonResourceAttributes: Invalid value: {\"Path\":\"/\",\"Verb\":\"\"}: cannot be specified in combination with resourceAttributes",
            ),
            (
                ReviewKind::SelfSubject,
                json!({"spec": {}}),
                ".authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
            ),
            (
                ReviewKind::Subject,
                json!({"spec": {"resourceAttributes": {}}}),
                ".authorization.k8s.io \"\" is invalid: spec.user: Invalid value: \"\": at least one of user or group must be specified",
            ),
            (
                ReviewKind::LocalSubject,
                json!({"metadata": {"namespace": "ns"}, "spec": {"user": "u", "resourceAttributes": {"namespace": "default"}}}),
                ".authorization.k8s.io \"\" is invalid: spec.resourceAttributes.namespace: Invalid value: \"default\": must match metadata.namespace",
            ),
            (
                ReviewKind::LocalSubject,
                json!({"metadata": {"namespace": "ns"}, "spec": {"user": "u", "nonResourceAttributes": {"path": "/"}}}),
                ".authorization.k8s.io \"\" is invalid: spec.nonResourceAttributes: Invalid value: {\"Path\":\"/\",\"Verb\":\"\"}: disallowed on this kind of request",
            ),
            (
                ReviewKind::Subject,
                json!({"metadata": {"name": "x"}, "spec": {"user": "u", "resourceAttributes": {}}}),
                ".authorization.k8s.io \"\" is invalid: metadata: Invalid value: {\"name\":\"x\"}: must be empty",
            ),
        ];
        for (kind, review, want) in cases {
            assert_eq!(message(kind, review), want);
        }
    }

    #[test]
    fn answers_leave_out_what_is_empty() {
        assert_eq!(status(false, false, "", ""), json!({"allowed": false}));
        assert_eq!(status(true, false, "because", ""), json!({"allowed": true, "reason": "because"}));
    }
}
