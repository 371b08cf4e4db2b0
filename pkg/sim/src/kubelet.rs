//! The kubelet: takes pods from being asked for to running, and out again.
//!
//! A pod whose secrets and config maps are there runs at once. Its containers only say that they run, except known
//! programs, which are processes; one that ends is started again with growing waits, as a kubelet does.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use kcp_apimachinery::{GroupVersionResource, object, time::Timestamp};
use kcp_apis::conditions::{self, ConditionStatus};
use kcp_client::{DeleteParams, Error, WriteParams, gone_or_changed_is_fine};
use kcp_controller::{Action, Backoff, Queue, run};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    CONCURRENCY, Context, NODE,
    objects::number,
    process::{Process, Spec},
    volumes,
};

const MANAGER: &str = "kubelet";
/// How long a container that ended waits before it starts again.
const RESTART: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };
/// How often what a running process reads from files (tokens, secrets) is brought up to date besides when it changes.
const REFRESH: Duration = Duration::from_secs(20 * 60);

/// How long a pod takes to go once it was told to: a kubelet has volumes and networks to take down, and whoever deletes
/// several things in a row relies on the first not being gone before the last was asked for.
const TEARDOWN: Duration = Duration::from_millis(700);

/// Why the containers of a pod do not run.
struct Waiting {
    reason: &'static str,
    message: String,
}

impl From<String> for Waiting {
    fn from(message: String) -> Self {
        Self { reason: "ContainerCreating", message }
    }
}

/// A container that is a process.
#[derive(Default)]
struct Running {
    process: Option<Process>,
    restarts: u32,
    /// Before then it is not started again.
    not_before: Option<tokio::time::Instant>,
    last_exit: Option<i32>,
}

pub(crate) struct Kubelet {
    context: Arc<Context>,
    queue: Queue<(String, String)>,
    /// Pods with processes, by uid: namespace, name, and each container.
    running: Mutex<HashMap<String, BTreeMap<String, Running>>>,
    /// Pods that wait for something in their namespace, or have files from there.
    interested: Mutex<HashMap<(String, String), ()>>,
    /// When pods, by uid, were first seen being deleted.
    ending: Mutex<HashMap<String, tokio::time::Instant>>,
}

fn pods() -> GroupVersionResource {
    GroupVersionResource::new("", "v1", "pods")
}

impl Kubelet {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            queue: Queue::default(),
            running: Mutex::default(),
            interested: Mutex::default(),
            ending: Mutex::default(),
        }
    }

    pub(crate) fn observe(&self, namespace: &str, name: &str, pod: &[u8], gone: bool) {
        let key = (namespace.to_owned(), name.to_owned());
        if gone {
            self.interested.lock().remove(&key);
            // The process of a pod that was removed by force ends too.
            if let Ok(pod) = serde_json::from_slice::<Value>(pod) {
                self.running.lock().remove(object::uid(&pod));
                self.ending.lock().remove(object::uid(&pod));
            }
        } else {
            self.queue.add(key);
        }
    }

    /// A secret, config map or service account of a namespace has changed.
    pub(crate) fn observe_source(&self, namespace: &str) {
        let interested = self.interested.lock();
        self.queue.add_all(interested.keys().filter(|(ns, _)| ns == namespace).cloned());
    }

    pub(crate) async fn run(&self, stop: &CancellationToken) {
        run("kubelet", &self.queue, CONCURRENCY, stop, |key| self.reconcile(key)).await;
        let all = std::mem::take(&mut *self.running.lock());
        for process in all.into_values().flat_map(BTreeMap::into_values).filter_map(|r| r.process) {
            process.stop(Duration::from_secs(2)).await;
        }
    }

    async fn reconcile(&self, key: (String, String)) -> Result<Action, Error> {
        let (namespace, name) = &key;
        let Some(pod) = self.context.get("", "pods", namespace, name) else { return Ok(Action::Done) };
        if object::is_deleting(&pod) {
            return self.end(&pod).await;
        }
        let (waiting, again) = match self.start(&key, &pod).await {
            Ok(again) => (None, again),
            Err(why) => (Some(why), Action::Done),
        };
        let status = self.status(&pod, waiting.as_ref());
        if status["status"] != pod["status"] {
            let params = WriteParams::manager(MANAGER);
            let written = self.context.client.update(&pods(), namespace, name, "status", &status, &params).await;
            gone_or_changed_is_fine(written)?;
        }
        Ok(again)
    }

    /// Ends a pod's processes, then removes it.
    async fn end(&self, pod: &Value) -> Result<Action, Error> {
        let begun = *self.ending.lock().entry(object::uid(pod).to_owned()).or_insert_with(tokio::time::Instant::now);
        let containers = self.running.lock().remove(object::uid(pod)).unwrap_or_default();
        let grace = u64::try_from(number(pod, "/metadata/deletionGracePeriodSeconds", 30)).unwrap_or(0);
        for process in containers.into_values().filter_map(|r| r.process) {
            process.stop(Duration::from_secs(grace)).await;
        }
        if object::finalizers(pod).next().is_some() && grace == 0 {
            return Ok(Action::Done);
        }
        let left = TEARDOWN.saturating_sub(begun.elapsed());
        if grace > 0 && !left.is_zero() {
            return Ok(Action::After(left));
        }
        let params = DeleteParams {
            uid: Some(object::uid(pod).to_owned()),
            grace_period_seconds: Some(0),
            ..DeleteParams::default()
        };
        let (namespace, name) = (object::namespace(pod), object::name(pod));
        gone_or_changed_is_fine(self.context.client.delete(&pods(), namespace, name, &params).await)?;
        Ok(Action::Done)
    }

    /// Brings the pod's files up to date and starts what is to run; `Err` says what the pod waits for.
    async fn start(&self, key: &(String, String), pod: &Value) -> Result<Action, Waiting> {
        let files = match volumes::contents(&self.context, pod) {
            Ok(files) => files,
            Err(missing) => {
                self.interested.lock().insert(key.clone(), ());
                return Err(missing.to_string().into());
            }
        };
        let programs: Vec<&Value> = containers(pod).filter(|c| self.program(c).is_some()).collect();
        if programs.is_empty() {
            return Ok(Action::Done);
        }
        let directory = self.context.directory.join(object::uid(pod));
        let spec = |c: &Value| Spec::of(&self.context, pod, c, self.program(c).unwrap_or_default(), &directory);
        let specs: Vec<Spec> = programs
            .iter()
            .map(|c| spec(c))
            .collect::<Result<_, _>>()
            .map_err(|refused| Waiting { reason: "CreateContainerConfigError", message: refused.to_string() })?;
        self.interested.lock().insert(key.clone(), ());
        for (volume, files) in &files {
            volumes::write(&directory.join("volumes").join(volume), files)
                .map_err(|e| format!("cannot write volume {volume}: {e}"))?;
        }
        let account = directory.join("serviceaccount");
        let token = self.token(pod).await?;
        let own: volumes::Files = [
            ("token".to_owned(), token.into_bytes()),
            ("ca.crt".to_owned(), self.context.ca_pem.clone().into_bytes()),
            ("namespace".to_owned(), object::namespace(pod).as_bytes().to_vec()),
        ]
        .into();
        volumes::write(&account, &own).map_err(|e| format!("cannot write the service account's files: {e}"))?;
        let mut again = REFRESH;
        for (container, spec) in programs.into_iter().zip(&specs) {
            if let Some(wait) = self.ensure(object::uid(pod), key, container, spec)? {
                again = again.min(wait);
            }
        }
        Ok(Action::After(again))
    }

    /// Starts a container's process unless it runs or has to wait; gives how long it has to.
    fn ensure(
        &self,
        uid: &str,
        key: &(String, String),
        container: &Value,
        spec: &Spec,
    ) -> Result<Option<Duration>, String> {
        let name = container["name"].as_str().unwrap_or_default();
        let mut all = self.running.lock();
        let running = all.entry(uid.to_owned()).or_default().entry(name.to_owned()).or_default();
        if let Some(process) = &running.process {
            let Some(code) = process.exit_code() else { return Ok(None) };
            running.process = None;
            running.restarts += 1;
            running.last_exit = Some(code);
            running.not_before = Some(tokio::time::Instant::now() + RESTART.after(running.restarts));
        }
        if let Some(then) = running.not_before {
            let wait = then.saturating_duration_since(tokio::time::Instant::now());
            if !wait.is_zero() {
                return Ok(Some(wait));
            }
        }
        let (queue, key) = (self.queue.clone(), key.clone());
        running.process =
            Some(Process::start(spec, move || queue.add(key)).map_err(|e| format!("cannot start {name}: {e}"))?);
        Ok(None)
    }

    fn program(&self, container: &Value) -> Option<&[std::ffi::OsString]> {
        let command = container["command"].as_array()?.first()?.as_str()?;
        self.context.programs.get(command).map(Vec::as_slice)
    }

    /// A token of the pod's service account.
    async fn token(&self, pod: &Value) -> Result<String, String> {
        let account = pod
            .pointer("/spec/serviceAccountName")
            .and_then(Value::as_str)
            .filter(|s| !s.is_empty())
            .unwrap_or("default");
        let accounts = GroupVersionResource::new("", "v1", "serviceaccounts");
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3607}});
        let answer =
            self.context.client.create_subresource(&accounts, object::namespace(pod), account, "token", &request).await;
        let answer = answer.map_err(|e| format!("no token for service account {account}: {e}"))?;
        Ok(answer.pointer("/status/token").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    fn status(&self, pod: &Value, waiting: Option<&Waiting>) -> Value {
        let running = self.running.lock();
        let processes = running.get(object::uid(pod));
        let states: Vec<(&Value, State)> = containers(pod)
            .map(|c| {
                let process = processes.and_then(|p| p.get(c["name"].as_str().unwrap_or_default()));
                let state = match (waiting, process) {
                    (Some(w), _) => State { ready: false, restarts: 0, reason: Some(w.reason), last_exit: None },
                    (None, Some(r)) if r.process.as_ref().is_none_or(|p| p.exit_code().is_some()) => State {
                        ready: false,
                        restarts: r.restarts,
                        reason: Some("CrashLoopBackOff"),
                        last_exit: r.last_exit,
                    },
                    (None, r) => State {
                        ready: true,
                        restarts: r.map_or(0, |r| r.restarts),
                        reason: None,
                        last_exit: r.and_then(|r| r.last_exit),
                    },
                };
                (c, state)
            })
            .collect();
        with_status(pod, &states, waiting.map(|w| w.message.as_str()), &Timestamp::now().rfc3339())
    }
}

/// How a container is.
struct State {
    ready: bool,
    restarts: u32,
    /// Why it waits.
    reason: Option<&'static str>,
    last_exit: Option<i32>,
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    pod.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten()
}

fn with_status(pod: &Value, states: &[(&Value, State)], waiting: Option<&str>, now: &str) -> Value {
    let mut out = pod.clone();
    let started = pod.pointer("/status/startTime").and_then(Value::as_str).unwrap_or(now).to_owned();
    let old = |name: &Value| {
        let statuses = pod.pointer("/status/containerStatuses").and_then(Value::as_array);
        statuses.and_then(|s| s.iter().find(|s| s["name"] == *name)).cloned().unwrap_or_default()
    };
    let list: Vec<Value> = states
        .iter()
        .map(|(container, state)| {
            let before = old(&container["name"]);
            let mut status = json!({
                "name": container["name"], "image": container["image"], "imageID": "", "containerID": format!("sim://{}/{}", object::uid(pod), container["name"].as_str().unwrap_or_default()),
                "ready": state.ready, "started": state.ready, "restartCount": state.restarts,
            });
            let same_run = before["restartCount"] == state.restarts && before.pointer("/state/running").is_some();
            status["state"] = match state.reason {
                None => json!({"running": {"startedAt": if same_run { before["state"]["running"]["startedAt"].clone() } else { now.into() }}}),
                Some(reason) => match waiting {
                    Some(message) => json!({"waiting": {"reason": reason, "message": message}}),
                    None => json!({"waiting": {"reason": reason}}),
                },
            };
            status["lastState"] = match state.last_exit {
                Some(code) => json!({"terminated": {"exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" }, "startedAt": started, "finishedAt": started}}),
                None => json!({}),
            };
            status
        })
        .collect();
    let ready = states.iter().all(|(_, s)| s.ready);
    let phase = if waiting.is_some() { "Pending" } else { "Running" };
    let status = object::child_mut(&mut out, "status");
    status.insert("phase".into(), phase.into());
    status.insert("startTime".into(), started.into());
    status.insert("hostIP".into(), "127.0.0.1".into());
    if waiting.is_none() {
        // Told apart by uid only; nothing listens there.
        let ip = address(object::uid(pod));
        status.insert("podIP".into(), ip.as_str().into());
        status.insert("podIPs".into(), json!([{"ip": ip}]));
    }
    status.insert("containerStatuses".into(), list.into());
    for (kind, good) in [("PodScheduled", true), ("Initialized", true), ("ContainersReady", ready), ("Ready", ready)] {
        let (reason, message) = if good { ("", "") } else { ("ContainersNotReady", "some containers are not ready") };
        conditions::set_condition(&mut out, kind, ConditionStatus::from(good), reason, message, now);
    }
    object::child_mut(&mut out, "spec").entry("nodeName").or_insert_with(|| NODE.into());
    out
}

/// An address from the range for carriers, made from a uid.
fn address(uid: &str) -> String {
    let n = uid.bytes().fold(0u32, |n, b| n.wrapping_mul(31).wrapping_add(b.into()));
    format!("100.{}.{}.{}", 64 + (n >> 16) % 64, (n >> 8) & 0xff, 1 + (n & 0xff) % 254)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Value {
        json!({"metadata": {"name": "p", "uid": "u"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    }

    #[test]
    fn a_running_pod_is_ready_and_stays_as_it_is() {
        let p = pod();
        let ok =
            || vec![(&p["spec"]["containers"][0], State { ready: true, restarts: 0, reason: None, last_exit: None })];
        let first = with_status(&p, &ok(), None, "t1");
        assert_eq!(first["status"]["phase"], "Running");
        assert!(conditions::is_true(&first, "Ready"));
        let container = first["spec"]["containers"][0].clone();
        let again = with_status(
            &first,
            &[(&container, State { ready: true, restarts: 0, reason: None, last_exit: None })],
            None,
            "t2",
        );
        assert_eq!(again, first);
    }

    #[test]
    fn a_pod_that_waits_says_for_what() {
        let p = pod();
        let s = with_status(
            &p,
            &[(
                &p["spec"]["containers"][0],
                State { ready: false, restarts: 0, reason: Some("ContainerCreating"), last_exit: None },
            )],
            Some("secret \"x\" not found"),
            "t",
        );
        assert_eq!(s["status"]["phase"], "Pending");
        assert_eq!(s["status"]["containerStatuses"][0]["state"]["waiting"]["message"], "secret \"x\" not found");
        assert!(!conditions::is_true(&s, "Ready"));
    }
}
