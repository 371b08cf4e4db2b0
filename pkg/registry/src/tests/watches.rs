//! W rows.

use std::{task::Poll, time::Duration};

use kcp_storage::Window;
use serde_json::{Value, json};

use crate::{
    DeleteOptions, ListOptions, PatchKind, WatchEvent, WatchEventType, WatchStream,
    testing::{Fixture, THINGS},
};

/// What is there now; `None` in the end when the stream has ended.
fn ready(stream: &mut WatchStream) -> (Vec<WatchEvent>, bool) {
    let mut all = Vec::new();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        match stream.poll_next(&mut cx) {
            Poll::Ready(Some(events)) => all.extend(events),
            Poll::Ready(None) => return (all, true),
            Poll::Pending => return (all, false),
        }
    }
}

fn shown(events: &[WatchEvent]) -> Vec<String> {
    events
        .iter()
        .map(|e| {
            let object: Value = serde_json::from_slice(&e.object()).unwrap();
            let frame: Value = serde_json::from_slice(&e.frame).unwrap();
            assert_eq!((&frame["type"], &frame["object"]), (&json!(e.kind.as_str()), &object));
            assert!(e.frame.ends_with(b"\n"));
            if matches!(e.kind, WatchEventType::Added | WatchEventType::Modified | WatchEventType::Deleted) {
                assert!(object["kind"].is_string() && object["apiVersion"].is_string());
            }
            format!("{} {}", e.kind.as_str(), object["metadata"]["name"].as_str().unwrap_or("-"))
        })
        .collect()
}

async fn merge(f: &Fixture, name: &str, patch: Value) -> Value {
    let request = f.request(THINGS, "a").named(name);
    let written =
        f.registry.patch(&request, PatchKind::Merge, &crate::Body::from(&patch), &Fixture::options()).await.unwrap();
    serde_json::from_slice(&written.object).unwrap()
}

async fn fixture() -> Fixture {
    let f = Fixture::new().await;
    f.define_things().await;
    for (name, color) in [("a", "red"), ("b", "blue")] {
        f.make(THINGS, "a", json!({"metadata": {"name": name, "labels": {"on": if name == "a" { "y" } else { "n" }}}, "spec": {"color": color}}))
            .await
            .unwrap();
    }
    f
}

#[tokio::test]
async fn first_what_is_then_what_changes() {
    // W-01 … W-04, W-20, X-15
    let f = fixture().await;
    let request = f.request(THINGS, "a");
    for rv in ["", "0"] {
        let options = ListOptions { resource_version: rv.into(), ..ListOptions::default() };
        let mut stream = f.registry.watch(&request, &options).await.unwrap();
        assert_eq!(shown(&ready(&mut stream).0), ["ADDED a", "ADDED b"], "{rv:?}");
    }
    let mut stream = f.registry.watch(&request, &ListOptions::default()).await.unwrap();
    ready(&mut stream);
    let from = f.registry.store().revision();
    f.make(THINGS, "a", json!({"metadata": {"name": "c"}})).await.unwrap();
    merge(&f, "c", json!({"spec": {"size": 4}})).await;
    merge(&f, "c", json!({})).await;
    let before = merge(&f, "c", json!({"spec": {"size": 4}})).await;
    f.registry.delete(&f.request(THINGS, "a").named("c"), &DeleteOptions::default()).await.unwrap();
    f.make("v1/configmaps", "a", json!({"metadata": {"name": "other"}})).await.unwrap();
    let (live, _) = ready(&mut stream);
    assert_eq!(shown(&live), ["ADDED c", "MODIFIED c", "DELETED c"]);
    let last: Value = serde_json::from_slice(&live[2].object()).unwrap();
    assert_eq!(last["spec"]["size"], 4);
    let rv = |o: &Value| o["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(rv(&last) > rv(&before) && rv(&last) == live[2].revision);
    // W-02, W-19: the same again, exactly what comes after.
    let options = ListOptions { resource_version: from.to_string(), ..ListOptions::default() };
    let mut again = f.registry.watch(&request, &options).await.unwrap();
    let (replayed, _) = ready(&mut again);
    assert_eq!(shown(&replayed), shown(&live));
    // One frame for all.
    assert_eq!(replayed[0].frame.as_ptr(), live[0].frame.as_ptr());
}

#[tokio::test]
async fn large_events_come_in_small_stretches() {
    let f = Fixture::new().await;
    let request = f.request("v1/configmaps", "a");
    let mut live = f.registry.watch(&request, &ListOptions::default()).await.unwrap();
    ready(&mut live);
    for i in 0..6 {
        let object = json!({"metadata": {"name": format!("c{i}")}, "data": {"x": "y".repeat(200 << 10)}});
        f.make("v1/configmaps", "a", object).await.unwrap();
    }
    let initial = f.registry.watch(&request, &ListOptions::default()).await.unwrap();
    for mut stream in [live, initial] {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let mut stretches = Vec::new();
        while let Poll::Ready(Some(events)) = stream.poll_next(&mut cx) {
            stretches.push(events.len());
            let over = stretches.iter().sum::<usize>() == 6;
            assert!(over || stream.position() == 0 || stream.position() < f.registry.store().revision());
        }
        assert_eq!(stretches, [2, 2, 2]);
        assert_eq!(stream.position(), f.registry.store().revision());
    }
}

#[tokio::test]
async fn objects_enter_and_leave_a_selection() {
    // S-06, W-21
    let f = fixture().await;
    let request = f.request(THINGS, "a");
    let by_label = ListOptions { label_selector: "on=y".into(), ..ListOptions::default() };
    let by_field = ListOptions { field_selector: "spec.color=red".into(), ..ListOptions::default() };
    let by_name = ListOptions { field_selector: "metadata.name=b".into(), ..ListOptions::default() };
    let mut labelled = f.registry.watch(&request, &by_label).await.unwrap();
    let mut red = f.registry.watch(&request, &by_field).await.unwrap();
    let mut named = f.registry.watch(&request, &by_name).await.unwrap();
    assert_eq!(shown(&ready(&mut labelled).0), ["ADDED a"]);
    assert_eq!(shown(&ready(&mut red).0), ["ADDED a"]);
    assert_eq!(shown(&ready(&mut named).0), ["ADDED b"]);
    merge(&f, "b", json!({"metadata": {"labels": {"on": "y"}}, "spec": {"color": "red"}})).await;
    merge(&f, "b", json!({"spec": {"size": 2}})).await;
    let left = merge(&f, "a", json!({"metadata": {"labels": {"on": null}}, "spec": {"color": "green"}})).await;
    let (events, _) = ready(&mut labelled);
    assert_eq!(shown(&events), ["ADDED b", "MODIFIED b", "DELETED a"]);
    // The old state under the new revision.
    let gone: Value = serde_json::from_slice(&events[2].object()).unwrap();
    assert_eq!((&gone["spec"]["color"], &gone["metadata"]["labels"]["on"]), (&json!("red"), &json!("y")));
    assert_eq!(gone["metadata"]["resourceVersion"], left["metadata"]["resourceVersion"]);
    assert_eq!(shown(&ready(&mut red).0), ["ADDED b", "MODIFIED b", "DELETED a"]);
    assert_eq!(shown(&ready(&mut named).0), ["MODIFIED b", "MODIFIED b"]);
    f.registry.delete(&f.request(THINGS, "a").named("a"), &DeleteOptions::default()).await.unwrap();
    assert!(ready(&mut labelled).0.is_empty());
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    // W-09 … W-12, W-15
    let f = fixture().await;
    let options = |bookmarks, labels: &str| ListOptions {
        send_initial_events: Some(true),
        resource_version_match: "NotOlderThan".into(),
        allow_watch_bookmarks: bookmarks,
        label_selector: labels.into(),
        ..ListOptions::default()
    };
    let request = f.request(THINGS, "a");
    let mut stream = f.registry.watch(&request, &options(true, "")).await.unwrap();
    assert!(stream.bookmark().is_none(), "not before the initial events are over");
    let now = f.registry.store().revision();
    let (events, _) = ready(&mut stream);
    assert_eq!(shown(&events), ["ADDED a", "ADDED b", "BOOKMARK -"]);
    let mark: Value = serde_json::from_slice(&events[2].object()).unwrap();
    assert!(events[2].initial_events_end);
    assert_eq!(
        mark,
        json!({"kind": "Thing", "apiVersion": "example.com/v1", "metadata": {"resourceVersion": now.to_string(), "annotations": {"k8s.io/initial-events-end": "true"}}})
    );
    // W-09: the position moves although nothing happens here.
    f.make("v1/configmaps", "a", json!({"metadata": {"name": "elsewhere"}})).await.unwrap();
    assert!(ready(&mut stream).0.is_empty());
    assert_eq!(stream.bookmark().unwrap().revision, now + 1);
    assert_eq!(stream.position(), now + 1);
    let mut nothing = f.registry.watch(&request, &options(true, "no=ne")).await.unwrap();
    assert_eq!(shown(&ready(&mut nothing).0), ["BOOKMARK -"]);
    let mut unmarked = f.registry.watch(&request, &options(false, "")).await.unwrap();
    assert_eq!(shown(&ready(&mut unmarked).0), ["ADDED a", "ADDED b"]);
    assert!(unmarked.bookmark().is_none());
}

#[tokio::test]
async fn revisions_too_old_and_too_new() {
    // W-05 … W-07, E-10
    let f = Fixture::with_window(Window { max_events: 4, ..Window::default() }).await;
    for i in 0..12 {
        f.make("v1/configmaps", "a", json!({"metadata": {"name": format!("c{i}")}})).await.unwrap();
    }
    let request = f.request("v1/configmaps", "a");
    let at = |rv: &str| ListOptions { resource_version: rv.into(), ..ListOptions::default() };
    let mut old = f.registry.watch(&request, &at("2")).await.unwrap();
    let (events, ended) = ready(&mut old);
    let status: Value = serde_json::from_slice(&events[0].object()).unwrap();
    assert_eq!((events.len(), events[0].kind, ended), (1, WatchEventType::Error, true));
    assert_eq!(
        (&status["kind"], &status["apiVersion"], &status["code"], &status["reason"]),
        (&json!("Status"), &json!("v1"), &json!(410), &json!("Expired"))
    );
    let mut future = f.registry.watch(&request, &at("1000000")).await.unwrap();
    f.make("v1/configmaps", "a", json!({"metadata": {"name": "now"}})).await.unwrap();
    assert_eq!(ready(&mut future).0.len(), 0);
    assert_eq!(f.registry.watch(&request, &at("x1")).await.err().unwrap().code, 500);
}

#[tokio::test]
async fn a_slow_watcher_is_told() {
    // W-18
    let f = Fixture::with_window(Window { max_events: 8, ..Window::default() }).await;
    let mut stream = f.registry.watch(&f.request("v1/configmaps", "a"), &ListOptions::default()).await.unwrap();
    ready(&mut stream);
    for i in 0..40 {
        f.make("v1/configmaps", "a", json!({"metadata": {"name": format!("c{i}")}})).await.unwrap();
    }
    let (events, ended) = ready(&mut stream);
    assert!(ended);
    assert_eq!(events.last().unwrap().kind, WatchEventType::Error);
}

#[tokio::test]
async fn a_watch_wakes() {
    let f = fixture().await;
    let mut stream = f.registry.watch(&f.request(THINGS, "a"), &ListOptions::default()).await.unwrap();
    ready(&mut stream);
    let made = json!({"metadata": {"name": "z"}});
    let (events, _) =
        tokio::time::timeout(Duration::from_secs(5), async { tokio::join!(stream.next(), f.make(THINGS, "a", made)) })
            .await
            .unwrap();
    assert_eq!(shown(&events.unwrap()), ["ADDED z"]);
}

#[tokio::test]
async fn the_end_of_a_type_ends_its_watches() {
    // W-24, W-25
    let f = fixture().await;
    let crds = "apiextensions.k8s.io/v1/customresourcedefinitions";
    let mut stream = f.registry.watch(&f.request(THINGS, "a"), &ListOptions::default()).await.unwrap();
    assert!(!ready(&mut stream).1);
    let request = f.request(crds, "").named("things.example.com");
    // A label changes nothing.
    let label = crate::Body::from(&json!({"metadata": {"labels": {"l": "1"}}}));
    f.registry.patch(&request, PatchKind::Merge, &label, &Fixture::options()).await.unwrap();
    assert!(!ready(&mut stream).1);
    let schema = json!([{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/more", "value": {"type": "string"}}]);
    f.registry.patch(&request, PatchKind::Json, &crate::Body::from(&schema), &Fixture::options()).await.unwrap();
    assert!(ready(&mut stream).1);
    let mut stream = f.registry.watch(&f.request(THINGS, "a"), &ListOptions::default()).await.unwrap();
    ready(&mut stream);
    f.registry.delete(&request, &DeleteOptions::default()).await.unwrap();
    assert!(!ready(&mut stream).1, "it goes on until the instances are gone");
    for name in ["a", "b"] {
        f.registry.delete(&f.request(THINGS, "a").named(name), &DeleteOptions::default()).await.unwrap();
    }
    let free = crate::Body::from(&json!({"metadata": {"finalizers": null}}));
    f.registry.patch(&request, PatchKind::Merge, &free, &Fixture::options()).await.unwrap();
    let (events, ended) = ready(&mut stream);
    assert_eq!((shown(&events), ended), (vec!["DELETED a".to_owned(), "DELETED b".to_owned()], true));
}

#[tokio::test]
async fn the_wildcard_sees_all_logical_clusters() {
    // LC-03, LC-05
    let f = Fixture::new().await;
    let other = kcp_logicalcluster::ClusterName::system_admin();
    let namespaces = f.request_in(&other, "v1/namespaces", "");
    f.registry
        .create(&namespaces, &Fixture::body(&namespaces, json!({"metadata": {"name": "a"}})), &Fixture::options())
        .await
        .unwrap();
    let mut all = f.request("v1/configmaps", "");
    all.scope = crate::Scope::Wildcard;
    let mut stream = f.registry.watch(&all, &ListOptions::default()).await.unwrap();
    ready(&mut stream);
    for cluster in [&f.cluster, &other] {
        let request = f.request_in(cluster, "v1/configmaps", "a");
        f.registry
            .create(&request, &Fixture::body(&request, json!({"metadata": {"name": "x"}})), &Fixture::options())
            .await
            .unwrap();
    }
    let (events, _) = ready(&mut stream);
    let cluster = |bytes: &[u8]| {
        serde_json::from_slice::<Value>(bytes).unwrap()["metadata"]["annotations"]["kcp.io/cluster"].clone()
    };
    assert_eq!(events.iter().map(|e| cluster(&e.object())).collect::<Vec<_>>(), ["root", "system:admin"]);
    let mut list = f.registry.list(&all, &ListOptions { limit: 1, ..ListOptions::default() }).await.unwrap();
    assert_eq!(list.items().map(|i| cluster(&i)).collect::<Vec<_>>(), ["root"]);
    let rest = ListOptions { continue_token: list.meta.continue_token, ..ListOptions::default() };
    let mut list = f.registry.list(&all, &rest).await.unwrap();
    assert_eq!(list.items().map(|i| cluster(&i)).collect::<Vec<_>>(), ["system:admin"]);
    // Nothing of it is stored, and one logical cluster never shows the other's.
    assert!(f.get("v1/configmaps", "a", "x").await.unwrap()["metadata"].get("annotations").is_none());
    let body = crate::Body::json("{}");
    assert_eq!(f.registry.create(&all, &body, &Fixture::options()).await.unwrap_err().code, 405);
}

/// What a watch shows while a stored object comes over the virtual ClusterRole `view`, changes, and goes.
#[tokio::test]
async fn virtual_objects_are_covered_and_uncovered() {
    const ROLES: &str = "rbac.authorization.k8s.io/v1/clusterroles";
    const VIRTUAL: &str = "kubernetes.io/bootstrapping=rbac-defaults";
    let everywhere = crate::Scope::Wildcard;
    let f = Fixture::new().await;
    let here = crate::Scope::Cluster(f.cluster.clone());
    let label = "kubernetes.io/bootstrapping";
    for (scope, selector, labels, want) in [
        (&here, "", json!({"mine": "yes"}), ["MODIFIED mine", "MODIFIED mine", "MODIFIED virtual"]),
        (&here, VIRTUAL, json!({"mine": "yes"}), ["MODIFIED mine", "MODIFIED mine", "MODIFIED virtual"]),
        (&here, VIRTUAL, json!({"mine": "yes", label: null}), ["DELETED virtual", "", "ADDED virtual"]),
        (&here, "mine=yes", json!({"mine": "yes"}), ["ADDED mine", "MODIFIED mine", "DELETED mine"]),
        (&here, "mine=yes", json!({"mine": "no"}), ["", "", ""]),
        // Lists of all logical clusters have no virtual objects.
        (&everywhere, "", json!({"mine": "yes"}), ["ADDED mine", "MODIFIED mine", "DELETED mine"]),
        (&everywhere, VIRTUAL, json!({"mine": "yes", label: null}), ["", "", ""]),
    ] {
        let mut request = f.request(ROLES, "");
        request.scope = scope.clone();
        let options = ListOptions { label_selector: selector.into(), ..ListOptions::default() };
        let mut stream = f.registry.watch(&request, &options).await.unwrap();
        ready(&mut stream);
        let view = f.request(ROLES, "").named("view");
        let patch = async |patch: Value| {
            let body = crate::Body::from(&patch);
            f.registry.patch(&view, PatchKind::Merge, &body, &Fixture::options()).await.unwrap();
        };
        for (step, want) in want.iter().enumerate() {
            match step {
                0 => patch(json!({"metadata": {"labels": labels}})).await,
                1 => patch(json!({"metadata": {"annotations": {"changed": "yes"}}})).await,
                _ => drop(f.registry.delete(&view, &DeleteOptions::default()).await.unwrap()),
            }
            let (events, _) = ready(&mut stream);
            let got: Vec<String> = events
                .iter()
                .map(|e| {
                    let object: Value = serde_json::from_slice(&e.object()).unwrap();
                    let revision = f.registry.store().revision();
                    assert_eq!(
                        (e.revision, &object["metadata"]["resourceVersion"]),
                        (revision, &json!(revision.to_string()))
                    );
                    let whose = if object["metadata"]["labels"].get("mine").is_some() { "mine" } else { "virtual" };
                    format!("{} {whose}", e.kind.as_str())
                })
                .collect();
            assert_eq!(got.join(" "), *want, "{selector} {labels} {step}");
        }
    }
}

/// A virtual object that a watch has shown under a revision of its own can be changed by whoever saw it there.
#[tokio::test]
async fn virtual_objects_are_known_by_the_revisions_they_are_shown_under() {
    let f = Fixture::new().await;
    let view = f.request("rbac.authorization.k8s.io/v1/clusterroles", "").named("view");
    let patch = async |revision: u64, label: &str| {
        let body = json!({"metadata": {"resourceVersion": revision.to_string(), "labels": {"mine": label}}});
        let outcome = f.registry.patch(&view, PatchKind::Merge, &crate::Body::from(&body), &Fixture::options()).await;
        outcome.map(|_| f.registry.store().revision()).map_err(|status| status.code)
    };
    let covered = patch(1, "a").await.unwrap();
    assert_eq!(patch(1, "b").await, Err(409));
    f.registry.delete(&view, &DeleteOptions::default()).await.unwrap();
    let uncovered = f.registry.store().revision();
    for (revision, code) in [(covered, Err(409)), (uncovered + 1, Err(409)), (uncovered, Ok(uncovered + 1))] {
        assert_eq!(patch(revision, "b").await, code, "{revision}");
    }
}
