//! What `kubectl kcp workload sync` writes into the workspace: the WorkloadCluster and the identity of its syncer.
//!
//! The syncer is nobody's admin. One role lets it speak for its own WorkloadCluster and bring in types; the other is
//! limited by [`REQUIRED_SELECTOR_ANNOTATION`] to what carries the label of its cluster: reading it, and writing its
//! status. Its token is kept in a Secret of its own, so that the command prints the same each time it is run, and the
//! token dies with the service account.

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use kcp_apimachinery::{GroupVersionResource, object, time::Timestamp};
use kcp_apis::{
    apiresource::API_RESOURCE_IMPORT,
    workload::{CLUSTER_LABEL, REQUIRED_SELECTOR_ANNOTATION, WORKLOAD_CLUSTER, syncer_name},
};
use kcp_client::{Client, DeleteParams, Error, Patch, WriteParams};
use serde_json::{Value, json};

use crate::{manifests::SyncOptions, read::text};

const MANAGER: &str = "kubectl-kcp";
/// Ten years: a syncer's kubeconfig is not renewed. Deleting the service account ends it at once.
const TOKEN_SECONDS: i64 = 10 * 365 * 24 * 3600;
/// A token with less than this left is replaced.
const TOKEN_MARGIN: i64 = 30 * 24 * 3600;

fn rbac(resource: &str) -> GroupVersionResource {
    GroupVersionResource::new("rbac.authorization.k8s.io", "v1", resource)
}

fn core(resource: &str) -> GroupVersionResource {
    GroupVersionResource::new("", "v1", resource)
}

/// An object to bring about.
struct Wanted {
    gvr: GroupVersionResource,
    namespace: String,
    object: Value,
}

/// Makes sure that the WorkloadCluster and its syncer's identity exist in the client's workspace, and gives the
/// syncer's token. Running it again changes nothing and gives the same token while that is good.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub async fn register(client: &Client, options: &SyncOptions) -> Result<String, Error> {
    let gvr = WORKLOAD_CLUSTER.gvr();
    let name = &options.workload_cluster;
    let cluster = match client.find(&gvr, "", name).await? {
        Some(found) => found,
        None => {
            let object = json!({
                "apiVersion": WORKLOAD_CLUSTER.api_version(), "kind": WORKLOAD_CLUSTER.kind, "metadata": {"name": name},
            });
            client.create(&gvr, "", &object, &WriteParams::manager(MANAGER)).await?
        }
    };
    let mut account = Value::Null;
    let mut secret = Value::Null;
    for wanted in wanted(options, &cluster) {
        let stored = ensure(client, &wanted).await?;
        match wanted.gvr.resource.as_str() {
            "serviceaccounts" => account = stored,
            "secrets" => secret = stored,
            _ => {}
        }
    }
    if let Some(token) = good_token(&secret, object::uid(&account), Timestamp::now()) {
        return Ok(token);
    }
    let (namespace, account_name) = (&options.kcp_namespace, object::name(&account));
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": TOKEN_SECONDS},
    });
    let answer =
        client.create_subresource(&core("serviceaccounts"), namespace, account_name, "token", &request).await?;
    let token = text(&answer, "/status/token").to_owned();
    if token.is_empty() {
        let path = Client::path(&core("serviceaccounts"), namespace, account_name, "token");
        return Err(Error::Protocol { path, detail: "the answer has no token".into() });
    }
    let patch = json!({"data": {"token": BASE64_STANDARD.encode(&token)}});
    let params = WriteParams::manager(MANAGER);
    client.patch(&core("secrets"), namespace, object::name(&secret), "", &Patch::Merge(&patch), &params).await?;
    Ok(token)
}

/// The objects of the syncer's identity.
fn wanted(options: &SyncOptions, cluster: &Value) -> Vec<Wanted> {
    let name = syncer_name(&options.workload_cluster);
    let limited = format!("{name}-objects");
    let owner = json!([{
        "apiVersion": WORKLOAD_CLUSTER.api_version(), "kind": WORKLOAD_CLUSTER.kind,
        "name": object::name(cluster), "uid": object::uid(cluster),
    }]);
    let namespace = &options.kcp_namespace;
    let at = |resource: &str, object: Value| Wanted { gvr: core(resource), namespace: namespace.clone(), object };
    let global = |resource: &str, object: Value| Wanted { gvr: rbac(resource), namespace: String::new(), object };
    let binding = |name: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": name, "ownerReferences": owner},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": syncer_name(&options.workload_cluster), "namespace": namespace}],
        })
    };
    let own = [options.workload_cluster.as_str()];
    let mut limited_rules = vec![
        json!({"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]}),
        json!({
            "apiGroups": [API_RESOURCE_IMPORT.group], "resources": [API_RESOURCE_IMPORT.resource],
            "verbs": ["delete", "list", "patch", "update", "watch"],
        }),
    ];
    for (group, resources) in options.by_group() {
        let statuses: Vec<String> = resources.iter().map(|r| format!("{r}/status")).collect();
        limited_rules.push(json!({"apiGroups": [group], "resources": resources, "verbs": ["get", "list", "watch"]}));
        limited_rules.push(json!({"apiGroups": [group], "resources": statuses, "verbs": ["get", "patch", "update"]}));
    }
    let role = |name: &str, annotations: Value, rules: Value| {
        let mut role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name, "ownerReferences": owner}, "rules": rules,
        });
        if !annotations.is_null() {
            object::meta_mut(&mut role).insert("annotations".into(), annotations);
        }
        role
    };
    let own_rules = json!([
        {
            "apiGroups": [WORKLOAD_CLUSTER.group], "resources": [WORKLOAD_CLUSTER.resource], "resourceNames": own,
            "verbs": ["get", "list", "patch", "watch"],
        },
        {
            "apiGroups": [WORKLOAD_CLUSTER.group], "resources": [format!("{}/status", WORKLOAD_CLUSTER.resource)],
            "resourceNames": own, "verbs": ["get", "patch", "update"],
        },
        {
            // To find out that one is not there yet is not limited to any label.
            "apiGroups": [API_RESOURCE_IMPORT.group], "resources": [API_RESOURCE_IMPORT.resource],
            "verbs": ["create", "get"],
        },
    ]);
    let selector = json!({REQUIRED_SELECTOR_ANNOTATION: format!("{CLUSTER_LABEL}={}", options.workload_cluster)});
    vec![
        at(
            "serviceaccounts",
            json!({
                "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "ownerReferences": owner},
            }),
        ),
        global("clusterroles", role(&name, Value::Null, own_rules)),
        global("clusterroles", role(&limited, selector, limited_rules.into())),
        global("clusterrolebindings", binding(&name)),
        global("clusterrolebindings", binding(&limited)),
        at(
            "secrets",
            json!({
                "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
                "metadata": {"name": format!("{name}-token"), "ownerReferences": owner},
            }),
        ),
    ]
}

async fn ensure(client: &Client, wanted: &Wanted) -> Result<Value, Error> {
    let (gvr, namespace, name) = (&wanted.gvr, wanted.namespace.as_str(), object::name(&wanted.object));
    let params = WriteParams::manager(MANAGER);
    let Some(found) = client.find(gvr, namespace, name).await? else {
        return client.create(gvr, namespace, &wanted.object, &params).await;
    };
    if found.get("roleRef") != wanted.object.get("roleRef") {
        // What a binding points to cannot be changed.
        let only = DeleteParams { uid: Some(object::uid(&found).to_owned()), ..DeleteParams::default() };
        client.delete(gvr, namespace, name, &only).await?;
        return client.create(gvr, namespace, &wanted.object, &params).await;
    }
    match difference(&found, &wanted.object) {
        None => Ok(found),
        Some(patch) => client.patch(gvr, namespace, name, "", &Patch::Merge(&patch), &params).await,
    }
}

/// The merge patch that makes `found` say what `wanted` says; `None` when it does. Other owners stay, but not those of
/// an earlier life of the WorkloadCluster.
fn difference(found: &Value, wanted: &Value) -> Option<Value> {
    let mut patch = json!({});
    let map = object::as_map(&mut patch);
    for field in ["rules", "subjects"] {
        if let Some(value) = wanted.get(field).filter(|value| found.get(field) != Some(*value)) {
            map.insert(field.into(), value.clone());
        }
    }
    let owners =
        |o: &Value| o.pointer("/metadata/ownerReferences").and_then(Value::as_array).cloned().unwrap_or_default();
    let ours = owners(wanted);
    let same = |a: &Value, b: &Value| text(a, "/kind") == text(b, "/kind") && text(a, "/name") == text(b, "/name");
    let is_there = |ours: &Value| owners(found).iter().any(|o| same(o, ours) && text(o, "/uid") == text(ours, "/uid"));
    let mut metadata = json!({});
    let meta = object::as_map(&mut metadata);
    if !ours.iter().all(is_there) {
        let kept = owners(found).into_iter().filter(|o| !ours.iter().any(|w| same(o, w)));
        meta.insert("ownerReferences".into(), kept.chain(ours.iter().cloned()).collect());
    }
    for (key, value) in wanted.pointer("/metadata/annotations").and_then(Value::as_object).into_iter().flatten() {
        if object::annotation(found, key) != value.as_str() {
            meta.insert("annotations".into(), json!({key: value}));
        }
    }
    if !meta.is_empty() {
        map.insert("metadata".into(), metadata);
    }
    (!map.is_empty()).then_some(patch)
}

/// The token in the Secret, if it is for this service account and lasts.
fn good_token(secret: &Value, account_uid: &str, now: Timestamp) -> Option<String> {
    let token = String::from_utf8(BASE64_STANDARD.decode(text(secret, "/data/token")).ok()?).ok()?;
    let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?).ok()?;
    let lasts = claims.get("exp").and_then(Value::as_i64)? - now.unix_seconds() > TOKEN_MARGIN;
    let own = claims.get("kubernetes.io").is_some_and(|k| text(k, "/serviceaccount/uid") == account_uid);
    (lasts && own && !account_uid.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> SyncOptions {
        SyncOptions {
            workload_cluster: "east".into(),
            syncer_image: "i".into(),
            resources: Vec::new(),
            replicas: 1,
            kcp_namespace: "default".into(),
        }
    }

    fn cluster(uid: &str) -> Value {
        json!({"metadata": {"name": "east", "uid": uid}})
    }

    /// The syncer reads only what is labelled for its cluster and writes only status.
    #[test]
    fn the_identity_is_limited() {
        let all = wanted(&options(), &cluster("u"));
        let names: Vec<(&str, &str)> = all.iter().map(|w| (w.gvr.resource.as_str(), object::name(&w.object))).collect();
        assert_eq!(
            names,
            [
                ("serviceaccounts", "syncer-east"),
                ("clusterroles", "syncer-east"),
                ("clusterroles", "syncer-east-objects"),
                ("clusterrolebindings", "syncer-east"),
                ("clusterrolebindings", "syncer-east-objects"),
                ("secrets", "syncer-east-token"),
            ]
        );
        for w in &all {
            assert_eq!(w.object["metadata"]["ownerReferences"][0]["uid"], "u");
        }
        let limited = &all[2].object;
        assert_eq!(limited["metadata"]["annotations"][REQUIRED_SELECTOR_ANNOTATION], "workloads.kcp.dev/cluster=east");
        for rule in limited["rules"].as_array().unwrap() {
            let writes =
                rule["verbs"].as_array().unwrap().iter().any(|v| !matches!(v.as_str(), Some("get" | "list" | "watch")));
            let what = rule["resources"].as_array().unwrap();
            let harmless = what.iter().all(|r| r.as_str().unwrap().ends_with("/status") || r == "apiresourceimports");
            assert!(!writes || harmless, "{rule}");
        }
        for rule in all[1].object["rules"].as_array().unwrap() {
            let own = rule["resourceNames"] == json!(["east"]);
            assert!(own || rule["verbs"] == json!(["create", "get"]), "{rule}");
        }
    }

    #[test]
    fn nothing_is_written_twice() {
        let all = wanted(&options(), &cluster("u"));
        for w in &all {
            assert_eq!(difference(&w.object, &w.object), None);
        }
        let other = json!({"kind": "Other", "name": "x", "uid": "o"});
        let mut old = wanted(&options(), &cluster("before"))[0].object.clone();
        old["metadata"]["ownerReferences"].as_array_mut().unwrap().push(other.clone());
        let patch = difference(&old, &all[0].object).unwrap();
        let owners = patch["metadata"]["ownerReferences"].as_array().unwrap();
        assert_eq!(owners.len(), 2);
        assert_eq!((&owners[0], owners[1]["uid"].as_str()), (&other, Some("u")));
    }

    #[test]
    fn tokens_are_kept_while_they_are_good() {
        let now = Timestamp::from_unix_seconds(1_700_000_000);
        let secret = |exp: i64, uid: &str| {
            let claims = json!({"exp": exp, "kubernetes.io": {"serviceaccount": {"uid": uid}}});
            let token = format!("h.{}.s", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()));
            json!({"data": {"token": BASE64_STANDARD.encode(token)}})
        };
        let later = now.unix_seconds() + TOKEN_SECONDS;
        assert!(good_token(&secret(later, "u"), "u", now).is_some());
        for (secret, uid) in [
            (secret(later, "other"), "u"),
            (secret(now.unix_seconds() + 10, "u"), "u"),
            (secret(later, ""), ""),
            (json!({}), "u"),
            (json!({"data": {"token": "!"}}), "u"),
            (json!({"data": {"token": BASE64_STANDARD.encode("a.b.c")}}), "u"),
        ] {
            assert_eq!(good_token(&secret, uid, now), None, "{secret}");
        }
    }
}
