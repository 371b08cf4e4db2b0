//! The pod, whose STATUS is told from all that its containers say.

use kcp_apimachinery::time::Timestamp;
use serde_json::Value;

use super::helpers::*;

/// What has been gathered from the container statuses.
struct Summary<'a> {
    reason: String,
    ready: usize,
    restarts: i64,
    last_restart: &'a str,
}

impl<'a> Summary<'a> {
    fn saw_restart(&mut self, status: &'a Value) {
        let at = text(status, "/lastState/terminated/finishedAt");
        // RFC 3339 in UTC sorts as time does.
        if at > self.last_restart {
            self.last_restart = at;
        }
    }
}

/// `ExitCode:1` or `Signal:9`, when the container gives no reason.
fn ended(terminated: &Value) -> String {
    match (text(terminated, "/reason"), int(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", int(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn is_true(o: &Value, condition: &str) -> bool {
    condition_is(o, condition) == Some("True")
}

/// The init containers; whether the pod is still busy with them.
fn init<'a>(o: &'a Value, s: &mut Summary<'a>, sidecars: &[&str], sidecar_restarts: &mut i64) -> bool {
    let total = list(o, "/spec/initContainers").len();
    for (i, status) in list(o, "/status/initContainerStatuses").iter().enumerate() {
        s.restarts += int(status, "/restartCount");
        s.saw_restart(status);
        let sidecar = sidecars.contains(&text(status, "/name"));
        if sidecar {
            *sidecar_restarts += int(status, "/restartCount");
        }
        let terminated = status.pointer("/state/terminated");
        if terminated.is_some_and(|t| int(t, "/exitCode") == 0) {
            continue;
        }
        if sidecar && flag(status, "/started") {
            s.ready += usize::from(flag(status, "/ready"));
            continue;
        }
        let waiting = text(status, "/state/waiting/reason");
        s.reason = match terminated {
            Some(t) => format!("Init:{}", ended(t)),
            None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
            None => format!("Init:{i}/{total}"),
        };
        return true;
    }
    false
}

fn main_containers<'a>(o: &'a Value, s: &mut Summary<'a>) {
    let mut running = false;
    for status in list(o, "/status/containerStatuses").iter().rev() {
        s.restarts += int(status, "/restartCount");
        s.saw_restart(status);
        let waiting = text(status, "/state/waiting/reason");
        if !waiting.is_empty() {
            s.reason = waiting.to_owned();
        } else if let Some(t) = status.pointer("/state/terminated") {
            s.reason = ended(t);
        } else if flag(status, "/ready") && status.pointer("/state/running").is_some() {
            running = true;
            s.ready += 1;
        }
    }
    if s.reason == "Completed" && running {
        s.reason = if is_true(o, "Ready") { "Running".into() } else { "NotReady".into() };
    }
}

pub(super) fn pod(o: &Value, now: Timestamp) -> Vec<Value> {
    let phase = text(o, "/status/phase");
    let mut s =
        Summary { reason: text_or(o, "/status/reason", phase).to_owned(), ready: 0, restarts: 0, last_restart: "" };
    if list(o, "/status/conditions")
        .iter()
        .any(|c| text(c, "/type") == "PodScheduled" && text(c, "/reason") == "SchedulingGated")
    {
        s.reason = "SchedulingGated".into();
    }
    let sidecars: Vec<&str> = list(o, "/spec/initContainers")
        .iter()
        .filter(|c| text(c, "/restartPolicy") == "Always")
        .map(|c| text(c, "/name"))
        .collect();
    let mut sidecar_restarts = 0;
    let initializing = init(o, &mut s, &sidecars, &mut sidecar_restarts);
    if !initializing || is_true(o, "Initialized") {
        s.restarts = sidecar_restarts;
        main_containers(o, &mut s);
    }
    if !text(o, "/metadata/deletionTimestamp").is_empty() {
        if text(o, "/status/reason") == "NodeLost" {
            s.reason = "Unknown".into();
        } else if !matches!(phase, "Succeeded" | "Failed") {
            s.reason = "Terminating".into();
        }
    }
    let restarts = match (s.restarts, s.last_restart) {
        (0, _) | (_, "") => s.restarts.to_string(),
        (n, at) => format!("{n} ({} ago)", since(at, now)),
    };
    let gates = list(o, "/spec/readinessGates");
    let gates_cell = if gates.is_empty() {
        "<none>".to_owned()
    } else {
        let open = gates.iter().filter(|g| is_true(o, text(g, "/conditionType"))).count();
        format!("{open}/{}", gates.len())
    };
    let total = list(o, "/spec/containers").len() + sidecars.len();
    vec![
        name(o),
        format!("{}/{total}", s.ready).into(),
        s.reason.into(),
        restarts.into(),
        age(o, now),
        text_or(o, "/status/podIPs/0/ip", text_or(o, "/status/podIP", "<none>")).into(),
        text_or(o, "/spec/nodeName", "<none>").into(),
        text_or(o, "/status/nominatedNodeName", "<none>").into(),
        gates_cell.into(),
    ]
}

#[cfg(test)]
mod tests {
    use kcp_apimachinery::time::parse_rfc3339;
    use serde_json::json;

    use super::*;

    /// P-07: READY, STATUS and RESTARTS of pods in the states that people meet.
    #[test]
    fn states() {
        let now = parse_rfc3339("2024-05-06T08:00:00Z").unwrap();
        let run = json!({"running": {"startedAt": "2024-05-06T07:00:00Z"}});
        for (about, object, want) in [
            (
                "running",
                json!({"spec": {"containers": [{}]}, "status": {"phase": "Running", "podIP": "10.0.0.1",
                    "containerStatuses": [{"ready": true, "state": run, "restartCount": 0}]}}),
                ["1/1", "Running", "0"],
            ),
            (
                "pending",
                json!({"spec": {"containers": [{}, {}]}, "status": {"phase": "Pending"}}),
                ["0/2", "Pending", "0"],
            ),
            (
                "crash loop",
                json!({"spec": {"containers": [{}]}, "status": {"phase": "Running", "containerStatuses": [{
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 3,
                    "lastState": {"terminated": {"finishedAt": "2024-05-06T07:59:00Z"}}
                }]}}),
                ["0/1", "CrashLoopBackOff", "3 (60s ago)"],
            ),
            (
                "exit code",
                json!({"spec": {"containers": [{}]}, "status": {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 2}}}]}}),
                ["0/1", "ExitCode:2", "0"],
            ),
            (
                "init",
                json!({"spec": {"initContainers": [{}, {}], "containers": [{}]}, "status": {"phase": "Pending", "initContainerStatuses": [
                    {"state": {"terminated": {"exitCode": 0}}}, {"state": {"waiting": {"reason": "PodInitializing"}}}
                ]}}),
                ["0/1", "Init:1/2", "0"],
            ),
            (
                "init failed",
                json!({"spec": {"initContainers": [{}], "containers": [{}]}, "status": {"phase": "Pending", "initContainerStatuses": [
                    {"state": {"terminated": {"exitCode": 1, "reason": "Error"}}}
                ]}}),
                ["0/1", "Init:Error", "0"],
            ),
            (
                "deleting",
                json!({"metadata": {"deletionTimestamp": "2024-05-06T07:00:00Z"}, "spec": {"containers": [{}]}, "status": {"phase": "Running"}}),
                ["0/1", "Terminating", "0"],
            ),
            (
                "done beside a runner",
                json!({"spec": {"containers": [{}, {}]}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}],
                    "containerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}, {"ready": true, "state": run}]}}),
                ["1/2", "NotReady", "0"],
            ),
        ] {
            let cells = pod(&object, now);
            assert_eq!([&cells[1], &cells[2], &cells[3]], want, "{about}");
        }
    }
}
