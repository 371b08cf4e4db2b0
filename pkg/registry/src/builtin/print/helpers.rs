//! Reading objects and forming the words that several printers share.

use kcp_apimachinery::{
    selectors::LabelSelector,
    time::{Timestamp, age as human_age, human_duration, parse_rfc3339},
};
use serde_json::{Map, Value};

pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn text_or<'a>(object: &'a Value, pointer: &str, default: &'a str) -> &'a str {
    match text(object, pointer) {
        "" => default,
        found => found,
    }
}

pub(super) fn int(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

pub(super) fn flag(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn map<'a>(object: &'a Value, pointer: &str) -> Option<&'a Map<String, Value>> {
    object.pointer(pointer).and_then(Value::as_object)
}

pub(super) fn name(object: &Value) -> Value {
    text(object, "/metadata/name").into()
}

/// How long ago a time was, `<unknown>` when there is none.
pub(super) fn since(time: &str, now: Timestamp) -> String {
    human_age(time, now)
}

pub(super) fn age(object: &Value, now: Timestamp) -> Value {
    since(text(object, "/metadata/creationTimestamp"), now).into()
}

/// The time between two, as people say it.
pub(super) fn between(from: &str, to: &str) -> Option<String> {
    let seconds = |t: &str| parse_rfc3339(t).map(|t| t.unix_seconds());
    Some(human_duration(seconds(to)? - seconds(from)?))
}

pub(super) fn until_now(from: &str, now: Timestamp) -> Option<String> {
    parse_rfc3339(from).map(|t| human_duration(now.unix_seconds() - t.unix_seconds()))
}

/// `a=b,c=d`, or `<none>`.
pub(super) fn labels(labels: Option<&Map<String, Value>>) -> String {
    let mut pairs: Vec<String> =
        labels.into_iter().flatten().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    pairs.sort();
    if pairs.is_empty() { "<none>".into() } else { pairs.join(",") }
}

/// A label selector in the form that `-l` takes, or `<none>`.
pub(super) fn selector(selector: Option<&Value>) -> String {
    match selector.map(LabelSelector::from_object) {
        Some(Ok(found)) if !found.is_empty() => found.to_string(),
        Some(Err(_)) => "<error>".into(),
        Some(Ok(_)) | None => "<none>".into(),
    }
}

/// The names and the images of the containers in a pod spec.
pub(super) fn containers(pod_spec: Option<&Value>) -> (Value, Value) {
    let all = pod_spec.map_or(&[][..], |s| list(s, "/containers"));
    let join = |field: &str| all.iter().map(|c| text(c, field)).collect::<Vec<_>>().join(",");
    (join("/name").into(), join("/image").into())
}

/// Joined, at most `max`, with the number of those left out.
pub(super) fn few(items: &[String], max: usize, none: &str) -> String {
    if items.is_empty() {
        return none.into();
    }
    let shown = items.iter().take(max).cloned().collect::<Vec<_>>().join(",");
    if items.len() > max { format!("{shown} + {} more...", items.len() - max) } else { shown }
}

/// `True` of a condition's status.
pub(super) fn condition_is<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    list(object, "/status/conditions").iter().find(|c| text(c, "/type") == kind).map(|c| text(c, "/status"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_and_labels() {
        for (given, want) in [
            (json!({}), "<none>"),
            (json!({"matchLabels": {"b": "2", "a": "1"}}), "a=1,b=2"),
            (
                json!({"matchLabels": {"z": "1"}, "matchExpressions": [
                    {"key": "t", "operator": "In", "values": ["y", "x"]}, {"key": "n", "operator": "DoesNotExist"}
                ]}),
                "!n,t in (x,y),z=1",
            ),
            (json!({"matchExpressions": [{"key": "t", "operator": "Like"}]}), "<error>"),
        ] {
            assert_eq!(selector(Some(&given)), want);
        }
        assert_eq!(selector(None), "<none>");
        assert_eq!(labels(json!({"b": "2", "a": ""}).as_object()), "a=,b=2");
    }

    #[test]
    fn lists_are_cut() {
        let items: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        assert_eq!(few(&items, 3, "<none>"), "a,b,c + 2 more...");
        assert_eq!(few(&items[..2], 3, "<none>"), "a,b");
        assert_eq!(few(&[], 3, "<none>"), "<none>");
    }
}
