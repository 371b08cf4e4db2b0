//! Workload controllers and what goes with them.

use kcp_apimachinery::{quantity::Quantity, time::Timestamp};
use serde_json::Value;

use super::helpers::*;

fn template(o: &Value) -> (Value, Value) {
    containers(o.pointer("/spec/template/spec"))
}

/// A fraction: `ready/desired`.
fn of(ready: i64, desired: i64) -> Value {
    format!("{ready}/{desired}").into()
}

pub(super) fn pod_template(o: &Value, _: Timestamp) -> Vec<Value> {
    let (names, images) = containers(o.pointer("/template/spec"));
    vec![name(o), names, images, labels(map(o, "/template/metadata/labels")).into()]
}

pub(super) fn replication_controller(o: &Value, now: Timestamp) -> Vec<Value> {
    replicas(o, now, labels(map(o, "/spec/selector")))
}

pub(super) fn replica_set(o: &Value, now: Timestamp) -> Vec<Value> {
    replicas(o, now, selector(o.pointer("/spec/selector")))
}

fn replicas(o: &Value, now: Timestamp, selector: String) -> Vec<Value> {
    let (names, images) = template(o);
    vec![
        name(o),
        int(o, "/spec/replicas").into(),
        int(o, "/status/replicas").into(),
        int(o, "/status/readyReplicas").into(),
        age(o, now),
        names,
        images,
        selector.into(),
    ]
}

pub(super) fn deployment(o: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = template(o);
    vec![
        name(o),
        of(int(o, "/status/readyReplicas"), int(o, "/spec/replicas")),
        int(o, "/status/updatedReplicas").into(),
        int(o, "/status/availableReplicas").into(),
        age(o, now),
        names,
        images,
        selector(o.pointer("/spec/selector")).into(),
    ]
}

pub(super) fn stateful_set(o: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = template(o);
    vec![name(o), of(int(o, "/status/readyReplicas"), int(o, "/spec/replicas")), age(o, now), names, images]
}

pub(super) fn daemon_set(o: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = template(o);
    vec![
        name(o),
        int(o, "/status/desiredNumberScheduled").into(),
        int(o, "/status/currentNumberScheduled").into(),
        int(o, "/status/numberReady").into(),
        int(o, "/status/updatedNumberScheduled").into(),
        int(o, "/status/numberAvailable").into(),
        labels(map(o, "/spec/template/spec/nodeSelector")).into(),
        age(o, now),
        names,
        images,
        selector(o.pointer("/spec/selector")).into(),
    ]
}

pub(super) fn controller_revision(o: &Value, now: Timestamp) -> Vec<Value> {
    let owner = list(o, "/metadata/ownerReferences").iter().find(|r| flag(r, "/controller"));
    let shown = |r: &Value| {
        let kind = text(r, "/kind").to_lowercase();
        match text(r, "/apiVersion").split_once('/') {
            Some((group, _)) => format!("{kind}.{group}/{}", text(r, "/name")),
            None => format!("{kind}/{}", text(r, "/name")),
        }
    };
    let controller = owner.map_or_else(|| "<none>".to_owned(), shown);
    vec![name(o), controller.into(), int(o, "/revision").into(), age(o, now)]
}

pub(super) fn job(o: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = template(o);
    let succeeded = int(o, "/status/succeeded");
    let completions = match o.pointer("/spec/completions").and_then(Value::as_i64) {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None => match int(o, "/spec/parallelism") {
            p if p > 1 => format!("{succeeded}/1 of {p}"),
            _ => format!("{succeeded}/1"),
        },
    };
    let is = |condition: &str| condition_is(o, condition) == Some("True");
    let status = if is("Complete") {
        "Complete"
    } else if is("Failed") {
        "Failed"
    } else if !text(o, "/metadata/deletionTimestamp").is_empty() {
        "Terminating"
    } else if is("Suspended") {
        "Suspended"
    } else if is("FailureTarget") {
        "FailureTarget"
    } else if is("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    };
    let duration = match (text(o, "/status/startTime"), text(o, "/status/completionTime")) {
        ("", _) => None,
        (start, "") => until_now(start, now),
        (start, end) => between(start, end),
    };
    vec![
        name(o),
        status.into(),
        completions.into(),
        duration.unwrap_or_default().into(),
        age(o, now),
        names,
        images,
        selector(o.pointer("/spec/selector")).into(),
    ]
}

pub(super) fn cron_job(o: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(o.pointer("/spec/jobTemplate/spec/template/spec"));
    let suspend = match o.pointer("/spec/suspend").and_then(Value::as_bool) {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let last = match text(o, "/status/lastScheduleTime") {
        "" => "<none>".to_owned(),
        at => since(at, now),
    };
    vec![
        name(o),
        text(o, "/spec/schedule").into(),
        text_or(o, "/spec/timeZone", "<none>").into(),
        suspend.into(),
        list(o, "/status/active").len().into(),
        last.into(),
        age(o, now),
        names,
        images,
        selector(o.pointer("/spec/jobTemplate/spec/selector")).into(),
    ]
}

pub(super) fn disruption_budget(o: &Value, now: Timestamp) -> Vec<Value> {
    let amount = |pointer: &str| match o.pointer(pointer) {
        Some(Value::String(s)) => s.clone(),
        Some(Value::Number(n)) => n.to_string(),
        _ => "N/A".into(),
    };
    vec![
        name(o),
        amount("/spec/minAvailable").into(),
        amount("/spec/maxUnavailable").into(),
        int(o, "/status/disruptionsAllowed").into(),
        age(o, now),
    ]
}

/// Both versions: the first has one metric, in fields of its own.
pub(super) fn autoscaler(o: &Value, now: Timestamp) -> Vec<Value> {
    let reference = format!("{}/{}", text(o, "/spec/scaleTargetRef/kind"), text(o, "/spec/scaleTargetRef/name"));
    let targets = match o.pointer("/spec/targetCPUUtilizationPercentage").and_then(Value::as_i64) {
        Some(target) => {
            let now = o.pointer("/status/currentCPUUtilizationPercentage").and_then(Value::as_i64);
            format!("cpu: {}/{target}%", now.map_or_else(|| "<unknown>".into(), |n| format!("{n}%")))
        }
        None => metrics(o),
    };
    let min = o.pointer("/spec/minReplicas").and_then(Value::as_i64);
    vec![
        name(o),
        reference.into(),
        targets.into(),
        min.map_or_else(|| "<unset>".into(), |m| m.to_string()).into(),
        int(o, "/spec/maxReplicas").into(),
        int(o, "/status/currentReplicas").into(),
        age(o, now),
    ]
}

/// The targets of an autoscaler: at most two are shown.
fn metrics(o: &Value) -> String {
    let specs = list(o, "/spec/metrics");
    if specs.is_empty() {
        return "<none>".into();
    }
    let statuses = list(o, "/status/currentMetrics");
    let mut shown: Vec<String> = specs.iter().enumerate().take(2).map(|(i, m)| metric(m, statuses.get(i))).collect();
    if specs.len() > 2 {
        let rest = format!(" + {} more...", specs.len() - 2);
        if let Some(last) = shown.last_mut() {
            last.push_str(&rest);
        }
    }
    shown.join(", ")
}

fn metric(spec: &Value, status: Option<&Value>) -> String {
    let (field, prefix) = match text(spec, "/type") {
        "Resource" => ("resource", format!("{}: ", text(spec, "/resource/name"))),
        "ContainerResource" => ("containerResource", format!("{}: ", text(spec, "/containerResource/name"))),
        "Pods" => ("pods", String::new()),
        "Object" => ("object", String::new()),
        "External" => ("external", String::new()),
        _ => return "<unknown type>".into(),
    };
    let current = |value: &str| {
        status.and_then(|s| s.get(field)).and_then(|s| s.get("current")).and_then(|c| c.get(value)).cloned()
    };
    let shown = |value: Option<Value>| match value {
        Some(Value::String(s)) => Quantity::parse(&s).map_or(s, |q| q.to_string()),
        Some(other) => other.to_string(),
        None => "<unknown>".into(),
    };
    let target = spec.get(field).and_then(|s| s.get("target"));
    let wanted = |value: &str| target.and_then(|t| t.get(value)).cloned();
    let pair = if let Some(percent) = wanted("averageUtilization").filter(|_| !prefix.is_empty()) {
        let now = current("averageUtilization").map_or_else(|| "<unknown>".into(), |n| format!("{n}%"));
        format!("{now}/{percent}%")
    } else if let Some(average) = wanted("averageValue") {
        let suffix = if matches!(field, "object" | "external") { " (avg)" } else { "" };
        format!("{}/{}{suffix}", shown(current("averageValue")), shown(Some(average)))
    } else {
        format!("{}/{}", shown(current("value")), shown(wanted("value")))
    };
    format!("{prefix}{pair}")
}

#[cfg(test)]
mod tests {
    use kcp_apimachinery::time::parse_rfc3339;
    use serde_json::json;

    use super::*;

    /// P-07: workloads as `kubectl get -o wide` shows them.
    #[test]
    fn cells_of_workloads() {
        let now = parse_rfc3339("2024-05-06T08:00:00Z").unwrap();
        let meta = json!({"name": "w", "creationTimestamp": "2024-05-06T07:00:00Z"});
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j"}]}});
        let sel = json!({"matchLabels": {"app": "w"}});
        let cases: Vec<(super::super::Cells, Value, Value)> = vec![
            (
                deployment,
                json!({"metadata": meta, "spec": {"replicas": 3, "selector": sel, "template": pod},
                    "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1}}),
                json!(["w", "2/3", 3, 1, "60m", "a,b", "i:1,j", "app=w"]),
            ),
            (
                replica_set,
                json!({"metadata": meta, "spec": {"replicas": 2, "selector": sel, "template": pod}, "status": {"replicas": 1}}),
                json!(["w", 2, 1, 0, "60m", "a,b", "i:1,j", "app=w"]),
            ),
            (
                job,
                json!({"metadata": meta, "spec": {"completions": 2, "template": pod, "selector": sel}, "status": {"succeeded": 2,
                    "conditions": [{"type": "Complete", "status": "True"}],
                    "startTime": "2024-05-06T07:00:00Z", "completionTime": "2024-05-06T07:00:42Z"}}),
                json!(["w", "Complete", "2/2", "42s", "60m", "a,b", "i:1,j", "app=w"]),
            ),
            (
                cron_job,
                json!({"metadata": meta, "spec": {"schedule": "@daily", "suspend": false, "jobTemplate": {"spec": {"template": pod}}}}),
                json!(["w", "@daily", "<none>", "False", 0, "<none>", "60m", "a,b", "i:1,j", "<none>"]),
            ),
            (
                disruption_budget,
                json!({"metadata": meta, "spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 1}}),
                json!(["w", "50%", "N/A", 1, "60m"]),
            ),
            (
                autoscaler,
                json!({"metadata": meta, "spec": {"maxReplicas": 4, "scaleTargetRef": {"kind": "Deployment", "name": "d"}, "metrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
                ]}}),
                json!(["w", "Deployment/d", "cpu: <unknown>/80%", "<unset>", 4, 0, "60m"]),
            ),
            (
                controller_revision,
                json!({"metadata": {"name": "w", "ownerReferences": [{"controller": true, "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s"}]}, "revision": 2}),
                json!(["w", "statefulset.apps/s", 2, "<unknown>"]),
            ),
        ];
        for (printer, object, want) in cases {
            assert_eq!(Value::Array(printer(&object, now)), want);
        }
    }
}
