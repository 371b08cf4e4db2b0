use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use kcp_client::{BodyStream, BoxFuture, Transport, TransportError};
use kcp_controller::{Found, Kinds, Resource};
use kcp_storage::{Batch, Expect, Op, Options, Stamped};

use super::*;
use crate::context::TokenIssuer;

fn key(name: &str) -> Key {
    Key::object(&GroupResource::new("", "configmaps"), &ClusterName::root(), "a", name).unwrap()
}

fn owner(uid: &str) -> OwnerReference {
    OwnerReference { uid: uid.into(), ..OwnerReference::default() }
}

/// An owner that waits is let go of in three ways, and hears of each.
#[test]
fn owners_that_wait_hear_of_dependents_that_hold_them_no_more() {
    let mut graph = Graph::default();
    graph.waiting.insert(("root".into(), "waits".into()), key("owner"));
    let both = || vec![owner("waits"), owner("stays")];
    assert!(graph.set(&key("d"), "root", both()).is_empty());
    assert_eq!(graph.set(&key("d"), "root", vec![owner("stays")]), [key("owner")], "the reference is gone");
    graph.set(&key("d"), "root", both());
    assert_eq!(graph.remove(&key("d"), "root"), [key("owner")], "the dependent is gone");
    graph.set(&key("d"), "root", both());
    assert!(graph.remove(&key("d"), "other").is_empty(), "elsewhere uids mean nothing");
    assert!(graph.owners.is_empty());
}

/// Takes every request, and tells afterwards which there were.
#[derive(Default)]
struct Requests(Mutex<Vec<(String, Value)>>);

impl Transport for Requests {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<BodyStream>, TransportError>> {
        let name = request.uri().path().rsplit('/').next().unwrap_or_default();
        let body = serde_json::from_slice(request.body()).unwrap();
        self.0.lock().push((format!("{} {name}", request.method()), body));
        let answer = Bytes::from_static(br#"{"metadata":{"resourceVersion":"1000"}}"#);
        let body: BodyStream = Box::pin(stream::iter([Ok(answer)]));
        Box::pin(async { Ok(http::Response::new(body)) })
    }
}

/// ConfigMaps, and one ClusterRole that nobody has stored.
struct Two;

impl Kinds for Two {
    fn resource_of(&self, _: &ClusterName, kind: &GroupVersionKind) -> Option<Resource> {
        let (resource, namespaced) = match kind.kind.as_str() {
            "ConfigMap" => ("configmaps", true),
            "ClusterRole" => ("clusterroles", false),
            _ => return None,
        };
        Some(Resource { storage: GroupResource::new(&kind.group, resource), namespaced })
    }

    fn served(&self, _: &ClusterName, resource: &GroupResource) -> Option<GroupVersionResource> {
        Some(GroupVersionResource::new(&resource.group, "v1", &resource.resource))
    }

    fn virtual_uid(&self, _: &ClusterName, of: &GroupResource, namespace: &str, name: &str) -> Option<String> {
        (of.resource == "clusterroles" && namespace.is_empty() && name == "view").then(|| "uid-of-view".to_owned())
    }
}

struct NoTokens;

impl TokenIssuer for NoTokens {
    fn mint(&self, _: &ClusterName, _: &str, _: &str, _: &str, _: &str) -> Option<String> {
        None
    }
}

/// A ConfigMap `name`; `references` are names of owners, with a `!` when they are blocked.
fn map(name: &str, deleting: bool, finalizers: &[&str], references: &[&str]) -> Value {
    let owners: Vec<Value> = references
        .iter()
        .map(|r| {
            let name = r.trim_start_matches('!');
            let kind = if name == "view" { "ClusterRole" } else { "ConfigMap" };
            let version = if name == "view" { "rbac.authorization.k8s.io/v1" } else { "v1" };
            json!({"apiVersion": version, "kind": kind, "name": name, "uid": format!("uid-of-{name}"),
                "blockOwnerDeletion": r.starts_with('!')})
        })
        .collect();
    let mut map = json!({"metadata": {"name": name, "uid": format!("uid-of-{name}"), "resourceVersion": "7",
        "finalizers": finalizers, "ownerReferences": owners}});
    if deleting {
        map["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    }
    map
}

/// What the collector asks for when it looks at the ConfigMap `subject` among `maps`.
async fn requests(subject: &str, maps: &[Value]) -> Vec<(String, Value)> {
    let store = Store::open(Options::memory()).unwrap();
    let sent = Arc::new(Requests::default());
    let client = Client::over(sent.clone(), "");
    let context = Context {
        store,
        client,
        kinds: Arc::new(Two),
        root_ca: String::new(),
        tokens: Arc::new(NoTokens),
        event_ttl: Duration::from_secs(1),
    };
    let controller = Controller::new(Arc::new(context));
    for map in maps {
        let (key, bytes) = (key(map["metadata"]["name"].as_str().unwrap()), map.to_string());
        let put = Op::Put { key: key.clone(), value: Stamped::plain(bytes.clone()), expect: Expect::Any };
        controller.context.store.commit(Batch { ops: vec![put] }).await.unwrap();
        controller.observe(&Seen::new(&Found::Existing(&key, bytes.as_bytes())));
    }
    controller.reconcile(key(subject)).await.unwrap();
    std::mem::take(&mut *sent.0.lock())
}

#[tokio::test]
async fn owners_that_are_served_without_being_stored_hold() {
    assert_eq!(requests("d", &[map("d", false, &[], &["view"])]).await, []);
    let mut other = map("d", false, &[], &["view"]);
    other["metadata"]["ownerReferences"][0]["uid"] = "another".into();
    assert_eq!(requests("d", &[other]).await[0].0, "DELETE d", "the name alone does not count");
}

/// What the object was given to be deleted with is not overruled, unless an owner waits for all that is below it.
#[tokio::test]
async fn the_policy_follows_the_finalizers() {
    let waits = || map("waits", true, &[FOREGROUND], &[]);
    let below = || map("below", false, &[], &["!d"]);
    for (finalizers, owner, others, policy) in [
        (vec![], "gone", vec![], "Background"),
        (vec!["example.dev/hold"], "gone", vec![below()], "Background"),
        (vec![ORPHAN], "gone", vec![], "Orphan"),
        (vec![FOREGROUND], "gone", vec![], "Foreground"),
        (vec![FOREGROUND, ORPHAN], "gone", vec![], "Orphan"),
        (vec![], "!waits", vec![waits()], "Background"),
        (vec![ORPHAN], "!waits", vec![waits()], "Orphan"),
        (vec![], "!waits", vec![waits(), below()], "Foreground"),
        (vec![ORPHAN], "!waits", vec![waits(), below()], "Foreground"),
    ] {
        let mut maps = vec![map("d", false, &finalizers, &[owner])];
        maps.extend(others);
        let sent = requests("d", &maps).await;
        let [(what, body)] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!((what.as_str(), &body["propagationPolicy"]), ("DELETE d", &json!(policy)), "{maps:?}");
        assert_eq!(body["preconditions"], json!({"uid": "uid-of-d", "resourceVersion": "7"}));
    }
}

/// Of two that own each other, the one that is collected lets the other go.
#[tokio::test]
async fn cycles_are_broken() {
    let circle = [map("a", true, &[FOREGROUND], &["!b"]), map("b", false, &[], &["!a", "!gone"])];
    let sent = requests("b", &circle).await;
    let [(patched, patch), (deleted, body)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((patched.as_str(), deleted.as_str()), ("PATCH b", "DELETE b"));
    assert_eq!(patch["metadata"]["resourceVersion"], "7");
    let owners = patch["metadata"]["ownerReferences"].as_array().unwrap();
    assert_eq!(
        owners.iter().map(|o| (&o["name"], &o["blockOwnerDeletion"])).collect::<Vec<_>>(),
        [(&json!("a"), &json!(false)), (&json!("gone"), &json!(false))]
    );
    assert_eq!(body["propagationPolicy"], "Foreground");
    assert_eq!(body["preconditions"]["resourceVersion"], "1000", "of the patched object");
    // Then nothing holds the first any more.
    let broken = [circle[0].clone(), map("b", true, &[FOREGROUND], &["a"])];
    let sent = requests("a", &broken).await;
    assert_eq!((sent.len(), sent[0].0.as_str(), &sent[0].1["metadata"]["finalizers"]), (1, "PATCH a", &Value::Null));
    assert!(requests("a", &circle).await.is_empty(), "which waited before");
}
