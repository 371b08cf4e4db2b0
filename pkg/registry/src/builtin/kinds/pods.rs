//! Pods and pod templates: what is filled in for their authors, and how a pod ends.

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath, Status, object, quantity::Quantity};
use serde_json::{Map, Value, json};

use super::{built_in, each, entries, list, pod_checks, set, set_default, set_default_text, text, within};
use crate::{
    builtin::codec,
    strategy::{Strategy, StrategyContext},
};

type Tree = Map<String, Value>;

pub(super) struct Pods;
pub(super) struct PodTemplates;

impl Strategy for Pods {
    built_in!(shown_when_deleted);

    fn default(&self, pod: &mut Value, _: &StrategyContext<'_>) {
        let spec = object::child_mut(pod, "spec");
        default_pod(spec);
        spec_defaults(spec);
    }

    fn prepare_create(&self, new: &mut Value, _: &StrategyContext<'_>) -> Result<(), Status> {
        let class = quality_of_service(new);
        set(new, "status", json!({"phase": "Pending", "qosClass": class}));
        // What the admission plug-in for service accounts does.
        let spec = object::child_mut(new, "spec");
        set_default_text(spec, "serviceAccountName", "default");
        mirror_service_account(spec);
        Ok(())
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        if ctx.subresource.is_empty() {
            let spec = object::child_mut(new, "spec");
            for field in ["serviceAccountName", "serviceAccount"] {
                if let Some(value) = old.pointer(&format!("/spec/{field}")) {
                    set_default(spec, field, value.clone());
                }
            }
        }
        Ok(())
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        let mut errors = FieldErrors::new();
        if let Some(spec) = new.get("spec") {
            pod_checks::pod_spec(spec, &FieldPath::new("spec"), &mut errors);
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        if ctx.subresource == "status" { FieldErrors::new() } else { update(new, old) }
    }

    /// a pod that runs is given the time it asks for; one that never started or has ended goes at once.
    fn grace_seconds(&self, pod: &Value, requested: Option<i64>) -> i64 {
        if text(pod, "/spec/nodeName").is_empty() || matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
            return 0;
        }
        let own = pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
        match requested.or(own).unwrap_or(30) {
            negative if negative < 0 => 1,
            seconds => seconds,
        }
    }
}

impl Strategy for PodTemplates {
    built_in!(shown_when_deleted);

    fn default(&self, object: &mut Value, _: &StrategyContext<'_>) {
        template_defaults(object::as_map(object));
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        let mut errors = FieldErrors::new();
        if let Some(template) = new.get("template") {
            pod_checks::template(template, &FieldPath::new("template"), &[], &mut errors);
        }
        errors
    }

    fn validate_update(&self, new: &Value, _: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        self.validate_create(new, ctx)
    }
}

/// What only pods get, not the templates of them.
fn default_pod(spec: &mut Tree) {
    set_default(spec, "enableServiceLinks", true);
    for field in ["containers", "initContainers"] {
        each(spec, field, |container| {
            within(container, "resources", |resources| {
                // A limit without request is the request too.
                let Some(Value::Object(limits)) = resources.get("limits").cloned() else { return };
                let requests = object::as_map(resources.entry("requests").or_insert(Value::Null));
                for (name, amount) in limits {
                    set_default(requests, &name, amount);
                }
            });
        });
    }
}

/// The defaults of the template at `template` in `owner`.
pub(super) fn template_defaults(owner: &mut Tree) {
    within(owner, "template", |template| within(template, "spec", spec_defaults));
}

fn mirror_service_account(spec: &mut Tree) {
    let name = ["serviceAccountName", "serviceAccount"]
        .iter()
        .find_map(|f| spec.get(*f).and_then(Value::as_str).filter(|n| !n.is_empty()))
        .map(str::to_owned);
    if let Some(name) = name {
        spec.insert("serviceAccountName".into(), name.as_str().into());
        spec.insert("serviceAccount".into(), name.into());
    }
}

/// The defaults of a pod's spec, wherever it stands.
pub(super) fn spec_defaults(spec: &mut Tree) {
    set_default_text(spec, "restartPolicy", "Always");
    set_default_text(spec, "dnsPolicy", "ClusterFirst");
    set_default_text(spec, "schedulerName", "default-scheduler");
    set_default(spec, "terminationGracePeriodSeconds", 30);
    set_default(spec, "securityContext", json!({}));
    mirror_service_account(spec);
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for field in ["containers", "initContainers", "ephemeralContainers"] {
        each(spec, field, |c| container_defaults(c, host_network));
    }
    each(spec, "volumes", volume_defaults);
    codec::complete("io.k8s.api.core.v1.PodSpec", spec);
}

/// Whether the image has a tag other than `latest`, or a digest.
fn is_pinned(image: &str) -> bool {
    if image.contains('@') {
        return true;
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split_once(':').is_some_and(|(_, tag)| tag != "latest")
}

fn container_defaults(container: &mut Tree, host_network: bool) {
    set_default_text(container, "terminationMessagePath", "/dev/termination-log");
    set_default_text(container, "terminationMessagePolicy", "File");
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let policy = if is_pinned(image) { "IfNotPresent" } else { "Always" };
    set_default_text(container, "imagePullPolicy", policy);
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        within(container, probe, |p| {
            for (field, value) in
                [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
            {
                if p.get(field).and_then(Value::as_i64).unwrap_or(0) == 0 {
                    p.insert(field.into(), value.into());
                }
            }
            within(p, "httpGet", http_defaults);
            within(p, "grpc", |g| set_default(g, "service", ""));
        });
    }
    within(container, "lifecycle", |l| {
        for hook in ["postStart", "preStop"] {
            within(l, hook, |h| within(h, "httpGet", http_defaults));
        }
    });
    each(container, "env", |e| {
        within(e, "valueFrom", |v| within(v, "fieldRef", |f| set_default_text(f, "apiVersion", "v1")));
    });
    each(container, "ports", |p| {
        set_default_text(p, "protocol", "TCP");
        if host_network && let Some(port) = p.get("containerPort").cloned() {
            set_default(p, "hostPort", port);
        }
    });
}

fn http_defaults(get: &mut Tree) {
    set_default_text(get, "path", "/");
    set_default_text(get, "scheme", "HTTP");
}

/// Read for all, written for the owner.
const MODE: i64 = 0o644;

fn volume_defaults(volume: &mut Tree) {
    let items = |map: &mut Tree| {
        each(map, "items", |i| within(i, "fieldRef", |f| set_default_text(f, "apiVersion", "v1")));
    };
    // Only the name: a directory that lives as long as the pod.
    if volume.keys().all(|k| k == "name") {
        volume.insert("emptyDir".into(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI"] {
        within(volume, source, |s| {
            set_default(s, "defaultMode", MODE);
            items(s);
        });
    }
    within(volume, "projected", |p| {
        set_default(p, "defaultMode", MODE);
        each(p, "sources", |s| {
            within(s, "serviceAccountToken", |t| set_default(t, "expirationSeconds", 3600));
            within(s, "downwardAPI", items);
        });
    });
    within(volume, "hostPath", |h| set_default(h, "type", ""));
    within(volume, "ephemeral", |e| {
        within(e, "volumeClaimTemplate", |t| within(t, "spec", |s| set_default_text(s, "volumeMode", "Filesystem")));
    });
}

/// `Guaranteed`, `Burstable` or `BestEffort`, told from the containers' requests and limits of CPU and memory.
fn quality_of_service(pod: &Value) -> &'static str {
    let (mut any, mut all_equal) = (false, true);
    for container in list(pod, "/spec/containers").iter().chain(list(pod, "/spec/initContainers")) {
        for resource in ["cpu", "memory"] {
            let read = |field: &str| {
                entries(container, &format!("/resources/{field}"))
                    .find(|(name, _)| *name == resource)
                    .and_then(|(_, amount)| amount.as_str().and_then(Quantity::parse))
                    .filter(|q| q.milli_value() != 0)
            };
            let (request, limit) = (read("requests"), read("limits"));
            any |= request.is_some() || limit.is_some();
            all_equal &= limit.is_some() && request == limit;
        }
    }
    match (any, all_equal) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// U-14: of a pod's spec nearly nothing can be changed. A pod without node may be given one.
fn update(new: &Value, old: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let fixed = |o: &Value| {
        let mut spec = o.get("spec").cloned().unwrap_or(Value::Null);
        let map = object::as_map(&mut spec);
        for field in ["activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations"] {
            map.remove(field);
        }
        if text(old, "/spec/nodeName").is_empty() {
            map.remove("nodeName");
        }
        for field in ["containers", "initContainers"] {
            each(map, field, |c| {
                c.remove("image");
            });
        }
        spec
    };
    let path = FieldPath::new("spec");
    for field in ["containers", "initContainers"] {
        for (i, c) in list(new, &format!("/spec/{field}")).iter().enumerate() {
            if text(c, "/image").is_empty() {
                errors.push(FieldError::required(&path.child(field).index(i).child("image"), ""));
            }
        }
    }
    if fixed(new) != fixed(old) {
        errors.push(FieldError::forbidden(
            &path,
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
             `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
             `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        ));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The defaults that `kubectl get -o yaml` shows of every pod.
    #[test]
    fn defaults() {
        let mut spec = json!({
            "containers": [{"name": "c", "image": "registry:5000/app", "ports": [{"containerPort": 80}],
                "readinessProbe": {"httpGet": {"port": 80}}, "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]}],
            "volumes": [{"name": "v"}, {"name": "s", "secret": {"secretName": "x"}}],
            "serviceAccountName": "bot"
        });
        spec_defaults(object::as_map(&mut spec));
        assert_eq!(
            spec,
            json!({
                "containers": [{"name": "c", "image": "registry:5000/app", "imagePullPolicy": "Always", "resources": {},
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "readinessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10,
                        "successThreshold": 1, "failureThreshold": 3},
                    "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x", "apiVersion": "v1"}}}],
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
                "volumes": [{"name": "v", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "x", "defaultMode": 420}}],
                "serviceAccountName": "bot", "serviceAccount": "bot", "restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
                "schedulerName": "default-scheduler", "terminationGracePeriodSeconds": 30, "securityContext": {}
            })
        );
    }

    #[test]
    fn pull_policy_follows_the_tag() {
        for (image, pinned) in
            [("a", false), ("a:latest", false), ("h:1/a", false), ("h:1/a:v1", true), ("a@sha256:x", true)]
        {
            assert_eq!(is_pinned(image), pinned, "{image}");
        }
    }

    ///
    #[test]
    fn grace() {
        let running =
            json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 7}, "status": {"phase": "Running"}});
        for (pod, requested, want) in [
            (&running, None, 7),
            (&running, Some(0), 0),
            (&running, Some(-1), 1),
            (&json!({"spec": {}, "status": {"phase": "Pending"}}), None, 0),
            (&json!({"spec": {"nodeName": "n"}, "status": {"phase": "Failed"}}), Some(30), 0),
        ] {
            assert_eq!(Pods.grace_seconds(pod, requested), want);
        }
    }

    #[test]
    fn classes() {
        let pod = |resources: Value| json!({"spec": {"containers": [{"resources": resources}]}});
        let both = json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(quality_of_service(&pod(json!({}))), "BestEffort");
        assert_eq!(quality_of_service(&pod(json!({"requests": {"cpu": "1"}}))), "Burstable");
        assert_eq!(quality_of_service(&pod(json!({"requests": both, "limits": both}))), "Guaranteed");
    }

    #[test]
    fn only_images_change() {
        let pod = |image: &str, command: &str| json!({"spec": {"containers": [{"name": "c", "image": image, "command": [command]}]}});
        assert!(update(&pod("b", "x"), &pod("a", "x")).is_empty());
        assert_eq!(update(&pod("a", "y"), &pod("a", "x")).len(), 1);
        let bound = json!({"spec": {"nodeName": "n"}});
        assert!(update(&bound, &json!({"spec": {}})).is_empty());
        assert_eq!(update(&json!({"spec": {"nodeName": "m"}}), &bound).len(), 1);
    }
}
