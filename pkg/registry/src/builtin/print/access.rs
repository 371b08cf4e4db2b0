//! Configuration, access, events and leases.

use kcp_apimachinery::time::Timestamp;
use serde_json::Value;

use super::helpers::*;

pub(super) fn age_only(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(o), age(o, now)]
}

/// Name and creation time, unformatted: kinds without a printer of their own.
pub(super) fn created_at(o: &Value, _: Timestamp) -> Vec<Value> {
    vec![name(o), text(o, "/metadata/creationTimestamp").into()]
}

fn entries(o: &Value, pointer: &str) -> usize {
    map(o, pointer).map_or(0, serde_json::Map::len)
}

pub(super) fn config_map(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(o), (entries(o, "/data") + entries(o, "/binaryData")).into(), age(o, now)]
}

pub(super) fn secret(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(o), text(o, "/type").into(), entries(o, "/data").into(), age(o, now)]
}

pub(super) fn namespace(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(o), text(o, "/status/phase").into(), age(o, now)]
}

pub(super) fn lease(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(o), text(o, "/spec/holderIdentity").into(), age(o, now)]
}

pub(super) fn resource_quota(o: &Value, now: Timestamp) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let mut hard: Vec<(&String, &Value)> = map(o, "/status/hard").into_iter().flatten().collect();
    hard.sort_by_key(|(resource, _)| *resource);
    for (resource, amount) in hard {
        let used = o.pointer("/status/used").and_then(|u| u.get(resource)).and_then(Value::as_str).unwrap_or("0");
        let cell = format!("{resource}: {used}/{}", amount.as_str().unwrap_or_default());
        if resource.starts_with("limits.") { limits.push(cell) } else { requests.push(cell) }
    }
    vec![name(o), requests.join(", ").into(), limits.join(", ").into(), age(o, now)]
}

/// Both forms of events: the columns are the same, the fields have other names in `events.k8s.io`.
pub(super) fn event(o: &Value, now: Timestamp) -> Vec<Value> {
    let either = |a: &'static str, b: &'static str| match text(o, a) {
        "" => text(o, b),
        found => found,
    };
    let event_time = text(o, "/eventTime");
    let first_seen = match either("/firstTimestamp", "/deprecatedFirstTimestamp") {
        "" => since(event_time, now),
        time => since(time, now),
    };
    let mut last_seen = match either("/lastTimestamp", "/deprecatedLastTimestamp") {
        "" => first_seen.clone(),
        time => since(time, now),
    };
    let mut count = int(o, "/count").max(int(o, "/deprecatedCount"));
    match o.get("series").filter(|s| s.is_object()) {
        Some(series) => {
            last_seen = since(text(series, "/lastObservedTime"), now);
            count = int(series, "/count");
        }
        None if count == 0 => count = 1,
        None => {}
    }
    let kind = either("/involvedObject/kind", "/regarding/kind").to_lowercase();
    let target = match either("/involvedObject/name", "/regarding/name") {
        "" => kind,
        object => format!("{kind}/{object}"),
    };
    let (mut component, mut instance) =
        (either("/source/component", "/deprecatedSource/component"), either("/source/host", "/deprecatedSource/host"));
    if component.is_empty() {
        component = either("/reportingComponent", "/reportingController");
        instance = text(o, "/reportingInstance");
    }
    let source = if instance.is_empty() { component.to_owned() } else { format!("{component}, {instance}") };
    vec![
        last_seen.into(),
        text(o, "/type").into(),
        text(o, "/reason").into(),
        target.into(),
        either("/involvedObject/fieldPath", "/regarding/fieldPath").into(),
        source.into(),
        either("/message", "/note").trim().into(),
        first_seen.into(),
        count.into(),
        name(o),
    ]
}

pub(super) fn binding(o: &Value, now: Timestamp) -> Vec<Value> {
    let of = |kind: &str| {
        list(o, "/subjects")
            .iter()
            .filter(|s| text(s, "/kind") == kind)
            .map(|s| match (kind, text(s, "/namespace")) {
                ("ServiceAccount", ns) => format!("{ns}/{}", text(s, "/name")),
                _ => text(s, "/name").to_owned(),
            })
            .collect::<Vec<_>>()
            .join(", ")
    };
    let role = format!("{}/{}", text(o, "/roleRef/kind"), text(o, "/roleRef/name"));
    vec![name(o), role.into(), age(o, now), of("User").into(), of("Group").into(), of("ServiceAccount").into()]
}

pub(super) fn signing_request(o: &Value, now: Timestamp) -> Vec<Value> {
    let has = |kind: &str| list(o, "/status/conditions").iter().any(|c| text(c, "/type") == kind);
    // A request that is both is denied.
    let mut condition = match (has("Approved"), has("Denied")) {
        (_, true) => "Denied".to_owned(),
        (true, false) => "Approved".to_owned(),
        (false, false) => "Pending".to_owned(),
    };
    if has("Failed") {
        condition.push_str(",Failed");
    }
    if !text(o, "/status/certificate").is_empty() {
        condition.push_str(",Issued");
    }
    let duration = match o.pointer("/spec/expirationSeconds").and_then(Value::as_i64) {
        Some(seconds) => kcp_apimachinery::time::human_duration(seconds),
        None => "<none>".into(),
    };
    vec![
        name(o),
        age(o, now),
        text_or(o, "/spec/signerName", "<none>").into(),
        text(o, "/spec/username").into(),
        duration.into(),
        condition.into(),
    ]
}

#[cfg(test)]
mod tests {
    use kcp_apimachinery::time::parse_rfc3339;
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        parse_rfc3339("2024-05-06T08:00:00Z").unwrap()
    }

    /// P-07: what people see of the kinds that every workspace has.
    #[test]
    fn cells_of_configuration() {
        let born = "2024-05-06T07:59:30Z";
        let meta = |n: &str| json!({"name": n, "creationTimestamp": born});
        let cases: Vec<(super::super::Cells, Value, Value)> = vec![
            (
                config_map,
                json!({"metadata": meta("c"), "data": {"a": "1"}, "binaryData": {"b": ""}}),
                json!(["c", 2, "30s"]),
            ),
            (secret, json!({"metadata": meta("s"), "type": "Opaque"}), json!(["s", "Opaque", 0, "30s"])),
            (namespace, json!({"metadata": meta("n"), "status": {"phase": "Active"}}), json!(["n", "Active", "30s"])),
            (age_only, json!({"metadata": {"name": "x"}}), json!(["x", "<unknown>"])),
            (created_at, json!({"metadata": meta("r")}), json!(["r", born])),
            (
                resource_quota,
                json!({"metadata": meta("q"), "status": {"hard": {"secrets": "2", "limits.cpu": "1"}, "used": {"secrets": "1"}}}),
                json!(["q", "secrets: 1/2", "limits.cpu: 0/1", "30s"]),
            ),
            (
                binding,
                json!({"metadata": meta("b"), "roleRef": {"kind": "Role", "name": "r"}, "subjects": [
                    {"kind": "User", "name": "ann"}, {"kind": "User", "name": "bob"},
                    {"kind": "ServiceAccount", "namespace": "n", "name": "bot"}
                ]}),
                json!(["b", "Role/r", "30s", "ann, bob", "", "n/bot"]),
            ),
            (
                signing_request,
                json!({"metadata": meta("c"), "spec": {"signerName": "e.dev/x", "username": "ann"},
                    "status": {"conditions": [{"type": "Approved"}], "certificate": "eA=="}}),
                json!(["c", "30s", "e.dev/x", "ann", "<none>", "Approved,Issued"]),
            ),
        ];
        for (printer, object, want) in cases {
            assert_eq!(Value::Array(printer(&object, now())), want);
        }
    }

    /// Y-04, Y-05: both groups print the same.
    #[test]
    fn events() {
        let core = json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "ConfigMap", "name": "thing"}, "type": "Normal",
            "reason": "Tested", "message": " hello ", "source": {"component": "tool"}, "count": 2,
            "firstTimestamp": "2024-05-06T07:00:00Z", "lastTimestamp": "2024-05-06T07:59:00Z"});
        assert_eq!(
            Value::Array(event(&core, now())),
            json!(["60s", "Normal", "Tested", "configmap/thing", "", "tool", "hello", "60m", 2, "e"])
        );
        let new = json!({"metadata": {"name": "n"}, "regarding": {"kind": "Pod", "name": "p"}, "type": "Warning", "reason": "Done",
            "note": "n", "eventTime": "2024-05-06T07:59:50.000000Z", "reportingController": "e.dev/c", "reportingInstance": "i",
            "series": {"count": 3, "lastObservedTime": "2024-05-06T07:59:55.000000Z"}});
        assert_eq!(
            Value::Array(event(&new, now())),
            json!(["5s", "Warning", "Done", "pod/p", "", "e.dev/c, i", "n", "10s", 3, "n"])
        );
    }
}
