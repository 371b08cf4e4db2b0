//! Whose a physical namespace is, and what is therefore deleted or left alone.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::StreamExt as _;
use kcp_client::{BodyStream, BoxFuture, Transport, TransportError};
use kcp_controller::{Reflector, ReflectorOptions};
use tokio_util::sync::CancellationToken;

use super::*;

/// A physical cluster with one namespace, that notes what is asked of it. It refuses what is applied: too late to change.
#[derive(Default)]
struct Ledger(Mutex<Vec<String>>, Mutex<Value>);

impl Transport for Ledger {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<BodyStream>, TransportError>> {
        let body = String::from_utf8_lossy(request.body()).into_owned();
        let uid = if body.contains(r#""uid":"p""#) { " uid p" } else { "" };
        self.0.lock().push(format!("{}{uid}", request.method()));
        let (code, answer) = match request.method().as_str() {
            "POST" => (409, Status::failure(409, "AlreadyExists", "it is there").to_value()),
            "GET" => (200, self.1.lock().clone()),
            "PATCH" => (422, Status::failure(422, "Invalid", "spec: Invalid value: field is immutable").to_value()),
            _ => (200, json!({})),
        };
        Box::pin(async move { respond(code, &answer) })
    }
}

fn respond(code: u16, answer: &Value) -> Result<http::Response<BodyStream>, TransportError> {
    let text = answer.to_string();
    let chunks = futures_util::stream::once(async move { Ok(Bytes::from(text)) });
    let answer = http::Response::builder().status(code).body(chunks.boxed());
    answer.map_err(|e| TransportError::not_sent(e.to_string()))
}

/// A server that has these objects and in which nothing happens.
struct Still(Vec<Value>);

impl Transport for Still {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<BodyStream>, TransportError>> {
        if request.uri().query().is_some_and(|q| q.contains("watch=")) {
            return Box::pin(std::future::pending());
        }
        let list = json!({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": self.0});
        Box::pin(async move { respond(200, &list) })
    }
}

/// A cache that holds a complete list of these.
async fn holding(objects: &[Value]) -> Cache {
    let client = Client::over(Arc::new(Still(objects.to_vec())), "");
    let (reflector, cache) = Reflector::new(client, namespaces(), ReflectorOptions::default());
    let stop = CancellationToken::new();
    tokio::select! {
        () = reflector.run(&stop, |_| {}, |_| {}) => {}
        _ = cache.synced() => {}
    }
    cache
}

fn served(resource: &GroupResource) -> Served {
    Served {
        gvr: GroupVersionResource::new(&resource.group, "v1", &resource.resource),
        kind: String::new(),
        singular: String::new(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: true,
        subresources: BTreeSet::new(),
    }
}

/// The namespace `n` is synced, and `up` and `down` of a type.
async fn hold(sync: &mut Sync, resource: &GroupResource, up: &[Value], down: &[Value]) {
    sync.up_namespaces = holding(&[json!({"metadata": {"name": "n", "uid": "u"}})]).await;
    let own = physical_namespace("root:a", "n");
    sync.down_namespaces = holding(&[physical(&own, &locator("root:a", "id1", "east"))]).await;
    let synced = Synced {
        up: served(resource),
        down: served(resource),
        upstream: holding(up).await,
        downstream: holding(down).await,
    };
    sync.types.write().insert(resource.clone(), Arc::new(synced));
}

/// An object as the syncer has applied it.
fn applied(name: &str, uid: &str) -> Value {
    json!({"metadata": {
        "name": name, "namespace": physical_namespace("root:a", "n"), "uid": "p",
        "labels": {workload::CLUSTER_LABEL: "east"},
        "annotations": {workload::UPSTREAM_UID_ANNOTATION: uid, workload::APPLIED_HASH_ANNOTATION: "old"},
    }})
}

fn sync() -> (Sync, Arc<Ledger>) {
    let down = Arc::new(Ledger::default());
    let client = Client::over(down.clone(), "");
    let cache = || Reflector::new(client.clone(), namespaces(), ReflectorOptions::default()).1;
    let sides = Sides {
        up: client.clone(),
        down: client.clone(),
        path: "root:a".into(),
        cluster: "id1".into(),
        workload_cluster: "east".into(),
        host: "h".into(),
        port: "1".into(),
        up_namespaces: cache(),
        down_namespaces: cache(),
    };
    (Sync::new(sides), down)
}

fn locator(path: &str, cluster: &str, workload_cluster: &str) -> Locator {
    Locator {
        path: path.into(),
        namespace: "n".into(),
        cluster: cluster.into(),
        uid: "u".into(),
        workload_cluster: workload_cluster.into(),
    }
}

fn physical(name: &str, locator: &Locator) -> Value {
    json!({"metadata": {"name": name, "uid": "p", "annotations": {
        workload::NAMESPACE_LOCATOR_ANNOTATION: locator.to_annotation(),
    }}})
}

/// Another life of the path, another server with the same path, another WorkloadCluster, a forged annotation: not ours.
#[test]
fn only_this_life_of_this_workspace_is_ours() {
    let (sync, _) = sync();
    let own = physical_namespace("root:a", "n");
    for (why, name, locator, ours) in [
        ("ours", own.as_str(), locator("root:a", "id1", "east"), true),
        ("another life", &own, locator("root:a", "id2", "east"), false),
        ("of unknown life", &own, locator("root:a", "", "east"), false),
        ("another cluster's", &own, locator("root:a", "id1", "west"), false),
        ("another workspace's", &physical_namespace("root:b", "n"), locator("root:b", "id1", "east"), false),
        ("somebody's with our annotation", "precious", locator("root:a", "id1", "east"), false),
    ] {
        assert_eq!(sync.our_locator(&physical(name, &locator)).is_some(), ours, "{why}");
    }
    assert!(sync.our_locator(&json!({"metadata": {"name": own}})).is_none());
}

/// Before complete lists of both sides are held, nothing is asked of the physical cluster at all.
#[tokio::test]
async fn nothing_happens_before_the_lists_are_complete() {
    let (sync, down) = sync();
    sync.leaving.store(true, Ordering::Relaxed);
    for work in [Work::Namespace("n".into()), Work::Object(GroupResource::new("", "secrets"), "n".into(), "s".into())] {
        assert!(matches!(sync.reconcile(work).await, Ok(Action::Done)));
    }
    assert!(down.0.lock().is_empty());
}

/// A namespace of an earlier life is deleted, by its uid, before its name is used; one that is not ours is left alone.
#[tokio::test]
async fn names_of_earlier_lives_are_cleaned_and_never_adopted() {
    let own = physical_namespace("root:a", "n");
    for (why, found, outcome, asked) in [
        ("ours", physical(&own, &locator("root:a", "id1", "east")), Some(true), &["POST", "GET"][..]),
        ("earlier", physical(&own, &locator("root:a", "id0", "east")), Some(false), &["POST", "GET", "DELETE uid p"]),
        ("a stranger's", json!({"metadata": {"name": own, "uid": "p"}}), None, &["POST", "GET"]),
        ("another's", physical(&own, &locator("root:b", "id1", "east")), None, &["POST", "GET"]),
    ] {
        let (sync, down) = sync();
        *down.1.lock() = found;
        let namespace = json!({"metadata": {"name": "n", "uid": "u"}});
        assert_eq!(sync.ensure_namespace(&namespace).await.ok(), outcome, "{why}");
        assert_eq!(*down.0.lock(), asked, "{why}");
    }
}

/// A change that the physical cluster does not take replaces what can be made anew, and leaves what would lose data.
#[tokio::test]
async fn what_holds_data_is_never_replaced() {
    for (group, resource, replaced) in [
        ("", "configmaps", true),
        ("", "secrets", true),
        ("", "services", true),
        ("apps", "deployments", true),
        ("", "persistentvolumeclaims", false),
        ("batch", "jobs", false),
        ("apps", "statefulsets", false),
        ("example.io", "deployments", false),
    ] {
        let (mut sync, down) = sync();
        let kind = GroupResource::new(group, resource);
        let up = json!({"metadata": {"name": "o", "namespace": "n", "uid": "o1"}});
        hold(&mut sync, &kind, &[up], &[applied("o", "o1")]).await;
        let outcome = sync.reconcile(Work::Object(kind.clone(), "n".into(), "o".into())).await;
        assert_eq!(outcome.is_ok(), replaced, "{kind}: a refusal is said");
        let asked = if replaced { &["PATCH", "DELETE uid p"][..] } else { &["PATCH"] };
        assert_eq!(*down.0.lock(), asked, "{kind}");
    }
}

/// An object whose origin went before its physical namespace was known goes as soon as that is.
#[tokio::test]
async fn what_was_deleted_too_early_is_made_up_for() {
    let (mut sync, down) = sync();
    let maps = GroupResource::new("", "configmaps");
    hold(&mut sync, &maps, &[], &[applied("kcp-root-ca.crt", "o1")]).await;
    let known = std::mem::replace(&mut sync.down_namespaces, holding(&[]).await);
    let work = Work::Object(maps, "n".into(), "kube-root-ca.crt".into());
    assert!(sync.reconcile(work.clone()).await.is_ok());
    assert!(down.0.lock().is_empty(), "whose it is cannot be said yet");
    sync.down_namespaces = known;
    assert!(sync.reconcile(Work::Namespace("n".into())).await.is_ok());
    assert_eq!((sync.queue.len(), sync.queue.next().await.as_ref()), (1, Some(&work)));
    assert!(sync.reconcile(work).await.is_ok());
    assert_eq!(*down.0.lock(), ["DELETE uid p"]);
}

fn token_secret(name: &str, account: &str, token: &str) -> Value {
    json!({"type": transform::TOKEN_TYPE, "data": {"token": token}, "metadata": {
        "name": name, "namespace": "n", "uid": "s", "annotations": {"kubernetes.io/service-account.name": account},
    }})
}

/// Only a secret with a token in it is mounted; one that is empty would keep pods from starting.
#[tokio::test]
async fn the_token_of_an_account_is_found() {
    let (mut sync, _) = sync();
    let mut other = token_secret("o", "late", "dA==");
    other["type"] = "Opaque".into();
    let mut beside = token_secret("e", "beside", "dA==");
    beside["metadata"]["namespace"] = "n-1".into();
    let (early, late) = (token_secret("a", "early", "dA=="), token_secret("b", "late", ""));
    let all = [early, late, other, token_secret("d", "bot", "dA=="), beside];
    hold(&mut sync, &secrets(), &all, &[]).await;
    for (account, want) in [("early", Some("a")), ("late", None), ("bot", Some("d")), ("beside", None)] {
        assert_eq!(sync.token_secret("n", account).as_deref(), want, "{account}");
        assert_eq!(sync.token_secret("elsewhere", account), None);
    }
}

/// A deployment is not brought down before its token is known, and again when that comes.
#[tokio::test]
async fn deployments_wait_for_their_tokens() {
    let (mut sync, down) = sync();
    let web = json!({"metadata": {"name": "web", "namespace": "n", "uid": "d"}});
    let work = Work::Object(deployments(), "n".into(), "web".into());
    hold(&mut sync, &deployments(), std::slice::from_ref(&web), &[]).await;
    let unlisted = || Reflector::new(sync.down.clone(), namespaces(), ReflectorOptions::default()).1;
    let synced =
        |upstream| Synced { up: served(&secrets()), down: served(&secrets()), downstream: unlisted(), upstream };
    sync.types.write().insert(secrets(), Arc::new(synced(unlisted())));
    assert!(sync.reconcile(work.clone()).await.is_ok());
    assert!(down.0.lock().is_empty(), "the secrets are not listed yet");
    hold(&mut sync, &secrets(), &[], &[]).await;
    assert!(sync.reconcile(work.clone()).await.is_err());
    assert_eq!(*down.0.lock(), ["PATCH"]);

    let change = |old: Option<Value>, new: Option<Value>| Change {
        namespace: "n".into(),
        name: "s".into(),
        old: old.map(Arc::new),
        new: new.map(Arc::new),
    };
    let (token, plain) = (token_secret("s", "default", "dA=="), json!({"type": "Opaque"}));
    for (why, change, queued) in [
        ("it came", change(None, Some(token.clone())), 1),
        ("it went", change(Some(token.clone()), None), 1),
        ("no token", change(Some(plain.clone()), Some(plain)), 0),
        ("elsewhere", Change { namespace: "m".into(), ..change(None, Some(token)) }, 0),
    ] {
        sync.queue_users(&change);
        assert_eq!(sync.queue.len(), queued, "{why}");
        if queued > 0 {
            let next = sync.queue.next().await;
            assert_eq!(next.as_ref(), Some(&work), "{why}");
            sync.queue.done(&work);
        }
    }
}

/// What leaves with a WorkloadCluster comes again with another one of the same name.
#[tokio::test]
async fn a_workload_cluster_made_anew_is_served() {
    let (mut sync, _) = sync();
    hold(&mut sync, &secrets(), &[], &[]).await;
    let finalizers = json!([workload::SYNCER_FINALIZER]);
    let going = json!({"metadata": {"finalizers": finalizers, "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    assert!(matches!(sync.hold_or_leave(&going).await, Ok(false)), "a physical namespace is left");
    assert!(sync.wanted_namespace("n").is_none());
    while !sync.queue.is_empty() {
        let Some(work) = sync.queue.next().await else { break };
        sync.queue.done(&work);
    }
    let anew = json!({"metadata": {"finalizers": finalizers}});
    assert!(matches!(sync.hold_or_leave(&anew).await, Ok(false)));
    assert!(sync.wanted_namespace("n").is_some());
    assert_eq!(sync.queue.next().await, Some(Work::Namespace("n".into())));
}
