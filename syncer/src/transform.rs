//! What an object of the workspace looks like in the physical cluster. Pure functions.

use kcp_apimachinery::{GroupResource, object};
use kcp_apis::workload;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::names;

/// What the transformations need to know besides the object.
pub(crate) struct Surroundings<'a> {
    /// Host and port of the kcp server, for workloads that talk to their API server.
    pub(crate) host: &'a str,
    pub(crate) port: &'a str,
    /// The secret of the workspace that holds the token of a service account, if there is one.
    pub(crate) token_secret: &'a dyn Fn(&str) -> Option<String>,
}

const ACCOUNTS: (&str, &str) = ("", "serviceaccounts");
const API_VOLUME: &str = "kcp-api-access";
const API_MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The type of a secret that holds a service account's token.
pub(crate) const TOKEN_TYPE: &str = "kubernetes.io/service-account-token";
/// Metadata that belongs to the one server that wrote it.
const OWN_METADATA: [&str; 10] = [
    "uid",
    "resourceVersion",
    "managedFields",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "ownerReferences",
    "finalizers",
    "selfLink",
];

/// The object to apply: cleaned, renamed, moved to its physical namespace, changed as its kind needs, with the hash of
/// all that and the uid of its origin in annotations.
pub(crate) fn desired(
    resource: &GroupResource,
    upstream: &Value,
    physical_namespace: &str,
    around: &Surroundings<'_>,
) -> Value {
    let mut desired = upstream.clone();
    let uid = object::uid(upstream).to_owned();
    let meta = object::meta_mut(&mut desired);
    for field in OWN_METADATA {
        meta.remove(field);
    }
    meta.insert("namespace".into(), physical_namespace.into());
    meta.insert("name".into(), names::down(resource, object::name(upstream)).into());
    object::as_map(&mut desired).remove("status");
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("apps", "deployments") => deployment(&mut desired, around),
        ("", "secrets") => secret(&mut desired),
        ("", "serviceaccounts") => service_account(&mut desired),
        _ => {}
    }
    object::set_annotation(&mut desired, workload::UPSTREAM_UID_ANNOTATION, &uid);
    let hash = hash(&desired);
    object::set_annotation(&mut desired, workload::APPLIED_HASH_ANNOTATION, &hash);
    desired
}

fn hash(value: &Value) -> String {
    Sha256::digest(value.to_string()).iter().take(16).fold(String::new(), |mut s, b| {
        use std::fmt::Write as _;
        let _ = write!(s, "{b:02x}");
        s
    })
}

/// A secret that holds a token of the workspace must not look like one of the physical cluster's own.
fn secret(secret: &mut Value) {
    if secret["type"] == TOKEN_TYPE {
        secret["type"] = "Opaque".into();
        if let Some(annotations) = secret.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
            annotations.retain(|k, _| !k.starts_with("kubernetes.io/service-account."));
        }
    }
}

/// The tokens that an account lists are filled in by each cluster itself.
fn service_account(account: &mut Value) {
    object::as_map(account).remove("secrets");
}

/// A workload talks to the workspace as its API server, as its service account there.
fn deployment(deployment: &mut Value, around: &Surroundings<'_>) {
    let Some(pod) = deployment.pointer_mut("/spec/template/spec").filter(|s| s.is_object()) else { return };
    let accounts = GroupResource::new(ACCOUNTS.0, ACCOUNTS.1);
    let account =
        pod.get("serviceAccountName").and_then(Value::as_str).filter(|s| !s.is_empty()).unwrap_or("default").to_owned();
    let token = (around.token_secret)(&account);
    let pod = object::as_map(pod);
    pod.insert("serviceAccountName".into(), names::down(&accounts, &account).into());
    pod.remove("serviceAccount");
    pod.insert("automountServiceAccountToken".into(), false.into());
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in pod.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if !container.is_object() {
                continue;
            }
            let container = object::as_map(container);
            for (name, value) in [
                ("KUBERNETES_SERVICE_PORT", around.port),
                ("KUBERNETES_SERVICE_PORT_HTTPS", around.port),
                ("KUBERNETES_SERVICE_HOST", around.host),
            ] {
                set_named(container, "env", "name", json!({"name": name, "value": value}));
            }
            if token.is_some() {
                set_named(
                    container,
                    "volumeMounts",
                    "mountPath",
                    json!({"name": API_VOLUME, "mountPath": API_MOUNT, "readOnly": true}),
                );
            }
        }
    }
    let Some(token) = token else { return };
    let maps = GroupResource::new("", "configmaps");
    let volume = json!({"name": API_VOLUME, "projected": {"defaultMode": 420, "sources": [
        {"secret": {"name": token, "items": [{"key": "token", "path": "token"}]}},
        {"configMap": {"name": names::down(&maps, "kube-root-ca.crt"), "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}});
    set_named(pod, "volumes", "name", volume);
}

/// Puts `item` into the list `field`, in the place of the one with the same `key`.
fn set_named(map: &mut Map<String, Value>, field: &str, key: &str, item: Value) {
    let list = map.entry(field).or_insert(Value::Null);
    if !list.is_array() {
        *list = json!([]);
    }
    if let Some(list) = list.as_array_mut() {
        match list.iter_mut().find(|i| i.get(key) == item.get(key)) {
            Some(old) => *old = item,
            None => list.push(item),
        }
    }
}

/// Whether everything that `desired` says is so in `current`, which may say more: what its server filled in.
pub(crate) fn is_within(desired: &Value, current: &Value) -> bool {
    match (desired, current) {
        (Value::Object(d), Value::Object(c)) => d.iter().all(|(k, v)| match c.get(k) {
            Some(cv) => is_within(v, cv),
            // A server drops fields that say nothing.
            None => v.is_null() || v.as_object().is_some_and(Map::is_empty) || v.as_array().is_some_and(Vec::is_empty),
        }),
        (Value::Array(d), Value::Array(c)) => d.len() == c.len() && d.iter().zip(c).all(|(d, c)| is_within(d, c)),
        (Value::Number(d), Value::Number(c)) => d == c || d.as_f64() == c.as_f64(),
        _ => desired == current,
    }
}

/// The status to show in the workspace. A generation counts in the physical cluster's own numbers, so it is translated:
/// what was observed there is the workspace's present generation exactly when what was applied is its present state.
pub(crate) fn status(upstream: &Value, downstream: &Value, in_step: bool) -> Option<Value> {
    let mut status = downstream.get("status").filter(|s| s.as_object().is_some_and(|m| !m.is_empty()))?.clone();
    if let Some(observed) = status.get("observedGeneration").and_then(Value::as_i64) {
        let seen = in_step && observed >= object::generation(downstream);
        let known = upstream.pointer("/status/observedGeneration").and_then(Value::as_i64);
        let now = object::generation(upstream);
        status["observedGeneration"] = if seen { now } else { known.unwrap_or(now - 1).min(now - 1).max(0) }.into();
    }
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(token: &'static dyn Fn(&str) -> Option<String>) -> Surroundings<'static> {
        Surroundings { host: "h", port: "6443", token_secret: token }
    }

    #[test]
    fn metadata_of_the_workspace_stays_there() {
        let up = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt", "namespace": "n", "uid": "u", "resourceVersion": "7",
            "labels": {"a": "b"}, "ownerReferences": [{}], "finalizers": ["x/y"]}, "data": {"k": "v"}});
        let d = desired(&GroupResource::new("", "configmaps"), &up, "kcpabc", &around(&|_| None));
        assert_eq!(d["metadata"]["name"], "kcp-root-ca.crt");
        assert_eq!(d["metadata"]["namespace"], "kcpabc");
        assert_eq!(d["metadata"]["labels"], json!({"a": "b"}));
        for gone in ["uid", "resourceVersion", "ownerReferences", "finalizers"] {
            assert!(d["metadata"].get(gone).is_none(), "{gone}");
        }
        assert_eq!(d["metadata"]["annotations"][workload::UPSTREAM_UID_ANNOTATION], "u");
    }

    #[test]
    fn the_hash_depends_on_the_content_only() {
        let r = GroupResource::new("", "configmaps");
        let of = |rv: &str, v: &str| {
            desired(
                &r,
                &json!({"metadata": {"name": "a", "resourceVersion": rv, "uid": "u"}, "data": {"k": v}}),
                "n",
                &around(&|_| None),
            )["metadata"]["annotations"][workload::APPLIED_HASH_ANNOTATION]
                .clone()
        };
        assert_eq!(of("1", "x"), of("2", "x"));
        assert_ne!(of("1", "x"), of("1", "y"));
    }

    #[test]
    fn deployments_use_the_workspace_as_their_api_server() {
        let r = GroupResource::new("apps", "deployments");
        let up = json!({"metadata": {"name": "d", "uid": "u"}, "spec": {"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "KUBERNETES_SERVICE_HOST", "value": "old"}]}]}}}, "status": {"replicas": 1}});
        let d = desired(&r, &up, "n", &around(&|a| (a == "default").then(|| "default-token-x".to_owned())));
        let pod = &d["spec"]["template"]["spec"];
        assert_eq!(pod["serviceAccountName"], "kcp-default");
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["containers"][0]["env"].as_array().map(Vec::len), Some(3));
        assert_eq!(pod["containers"][0]["env"][0], json!({"name": "KUBERNETES_SERVICE_HOST", "value": "h"}));
        assert_eq!(pod["volumes"][0]["projected"]["sources"][0]["secret"]["name"], "default-token-x");
        assert!(d.get("status").is_none());
        let bare = desired(&r, &up, "n", &around(&|_| None));
        assert!(
            bare["spec"]["template"]["spec"].get("volumes").is_none(),
            "a volume of a secret that does not exist would keep pods from starting"
        );
    }

    #[test]
    fn token_secrets_become_plain_ones() {
        let up = json!({"metadata": {"name": "default-token-x", "annotations": {"kubernetes.io/service-account.name": "default", "a": "b"}}, "type": TOKEN_TYPE});
        let d = desired(&GroupResource::new("", "secrets"), &up, "n", &around(&|_| None));
        assert_eq!(d["type"], "Opaque");
        assert!(d["metadata"]["annotations"].get("kubernetes.io/service-account.name").is_none());
        assert_eq!(d["metadata"]["annotations"]["a"], "b");
    }

    #[test]
    fn what_a_server_fills_in_is_no_difference() {
        let d = json!({"spec": {"replicas": 1, "list": [{"a": 1}], "empty": {}}});
        assert!(is_within(&d, &json!({"spec": {"replicas": 1, "list": [{"a": 1, "b": 2}], "more": true}})));
        assert!(!is_within(&d, &json!({"spec": {"replicas": 2, "list": [{"a": 1}]}})));
        assert!(!is_within(&d, &json!({"spec": {"replicas": 1, "list": [{"a": 1}, {"a": 2}]}})));
    }

    #[test]
    fn observed_generations_are_translated() {
        let up = |g: i64| json!({"metadata": {"generation": g}});
        let down = json!({"metadata": {"generation": 5}, "status": {"observedGeneration": 5, "replicas": 1}});
        assert_eq!(status(&up(2), &down, true).map(|s| s["observedGeneration"].clone()), Some(2.into()));
        assert_eq!(status(&up(3), &down, false).map(|s| s["observedGeneration"].clone()), Some(2.into()));
        assert_eq!(status(&up(2), &json!({"status": {}}), true), None);
    }
}
