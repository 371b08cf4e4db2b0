//! The fields that field selectors may name, beyond name and namespace (S-05).

use std::borrow::Cow;

use serde_json::Value;

use crate::types::SelectableField;

fn at<'a>(object: &'a Value, pointer: &str) -> Cow<'a, str> {
    match object.pointer(pointer) {
        Some(Value::String(s)) => Cow::Borrowed(s),
        Some(v @ (Value::Bool(_) | Value::Number(_))) => Cow::Owned(v.to_string()),
        _ => Cow::Borrowed(""),
    }
}

/// A field of events under the name of either group: what is stored has the names of core.
macro_rules! event_field {
    ($name:literal, $core:literal, $new:literal) => {
        SelectableField::computed($name, |o| {
            let found = at(o, $core);
            if found.is_empty() { at(o, $new) } else { found }
        })
    };
}

fn bool_field(object: &Value, pointer: &str) -> Cow<'static, str> {
    let set = object.pointer(pointer).and_then(Value::as_bool).unwrap_or(false);
    Cow::Borrowed(if set { "true" } else { "false" })
}

/// The selectable fields of a built-in resource.
pub(super) fn selectable(group: &str, resource: &str) -> Vec<SelectableField> {
    let paths: &[&str] = match (group, resource) {
        ("", "pods") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        ("", "secrets") => &["type"],
        ("", "namespaces") => &["status.phase"],
        ("", "services") => &["spec.clusterIP", "spec.type"],
        ("", "replicationcontrollers") | ("apps", "replicasets") => &["status.replicas"],
        ("certificates.k8s.io", _) => &["spec.signerName"],
        _ => &[],
    };
    let mut fields: Vec<SelectableField> = paths.iter().map(|p| SelectableField::at(p)).collect();
    match (group, resource) {
        ("", "pods") => {
            fields.push(SelectableField::computed("spec.hostNetwork", |o| bool_field(o, "/spec/hostNetwork")));
            fields.push(SelectableField::computed("spec.host", |o| at(o, "/spec/nodeName")));
            fields.push(SelectableField::computed("status.podIPs", |o| at(o, "/status/podIPs/0/ip")));
        }
        ("", "nodes") => {
            fields.push(SelectableField::computed("spec.unschedulable", |o| bool_field(o, "/spec/unschedulable")));
        }
        // The name as it was called before fields had paths.
        ("", "namespaces") => fields.push(SelectableField::computed("name", |o| at(o, "/metadata/name"))),
        ("batch", "jobs") => {
            fields.push(SelectableField::computed("status.successful", |o| match o.pointer("/status/succeeded") {
                Some(n) => Cow::Owned(n.to_string()),
                None => Cow::Borrowed("0"),
            }));
        }
        ("", "events") => fields.extend([
            event_field!("involvedObject.kind", "/involvedObject/kind", "/regarding/kind"),
            event_field!("involvedObject.namespace", "/involvedObject/namespace", "/regarding/namespace"),
            event_field!("involvedObject.name", "/involvedObject/name", "/regarding/name"),
            event_field!("involvedObject.uid", "/involvedObject/uid", "/regarding/uid"),
            event_field!("involvedObject.apiVersion", "/involvedObject/apiVersion", "/regarding/apiVersion"),
            event_field!(
                "involvedObject.resourceVersion",
                "/involvedObject/resourceVersion",
                "/regarding/resourceVersion"
            ),
            event_field!("involvedObject.fieldPath", "/involvedObject/fieldPath", "/regarding/fieldPath"),
            SelectableField::at("reason"),
            event_field!("reportingComponent", "/reportingComponent", "/reportingController"),
            SelectableField::computed("source", event_source),
            SelectableField::at("type"),
        ]),
        ("events.k8s.io", "events") => fields.extend([
            event_field!("regarding.kind", "/involvedObject/kind", "/regarding/kind"),
            event_field!("regarding.namespace", "/involvedObject/namespace", "/regarding/namespace"),
            event_field!("regarding.name", "/involvedObject/name", "/regarding/name"),
            event_field!("regarding.uid", "/involvedObject/uid", "/regarding/uid"),
            event_field!("regarding.apiVersion", "/involvedObject/apiVersion", "/regarding/apiVersion"),
            event_field!("regarding.resourceVersion", "/involvedObject/resourceVersion", "/regarding/resourceVersion"),
            event_field!("regarding.fieldPath", "/involvedObject/fieldPath", "/regarding/fieldPath"),
            SelectableField::at("reason"),
            event_field!("reportingController", "/reportingComponent", "/reportingController"),
            SelectableField::at("type"),
        ]),
        _ => {}
    }
    fields
}

fn event_source(event: &Value) -> Cow<'_, str> {
    ["/source/component", "/deprecatedSource/component", "/reportingComponent", "/reportingController"]
        .into_iter()
        .map(|pointer| at(event, pointer))
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(group: &str, resource: &str, path: &str, object: &Value) -> Option<String> {
        selectable(group, resource).iter().find(|f| f.path == path).map(|f| f.value(object).into_owned())
    }

    /// S-05: what controllers and `kubectl describe` select by.
    #[test]
    fn built_in_fields() {
        let event = json!({"involvedObject": {"name": "thing"}, "reportingComponent": "e.dev/c", "source": {"component": "tool"}});
        for (group, resource, path, object, want) in [
            ("", "events", "involvedObject.name", &event, Some("thing")),
            ("events.k8s.io", "events", "regarding.name", &event, Some("thing")),
            ("events.k8s.io", "events", "reportingController", &event, Some("e.dev/c")),
            ("", "events", "source", &event, Some("tool")),
            ("", "events", "regarding.name", &event, None),
            ("", "namespaces", "status.phase", &json!({"status": {"phase": "Active"}}), Some("Active")),
            ("", "secrets", "type", &json!({"type": "Opaque"}), Some("Opaque")),
            ("", "nodes", "spec.unschedulable", &json!({}), Some("false")),
            ("batch", "jobs", "status.successful", &json!({"status": {"succeeded": 2}}), Some("2")),
            ("", "pods", "spec.nodeName", &json!({"spec": {"nodeName": "n"}}), Some("n")),
            ("", "configmaps", "data", &json!({}), None),
        ] {
            assert_eq!(value(group, resource, path, object).as_deref(), want, "{resource} {path}");
        }
    }
}
