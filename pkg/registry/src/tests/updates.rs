//! U, A, F and B rows.

use kcp_apimachinery::{Status, object};
use serde_json::{Value, json};

use crate::{
    Body, DeleteOptions, PatchKind, WriteOptions,
    testing::{Fixture, THINGS},
};

struct Object<'a> {
    f: &'a Fixture,
    what: &'static str,
    name: &'static str,
    sub: &'static str,
}

impl Object<'_> {
    fn at(&self, sub: &'static str) -> Object<'_> {
        Object { f: self.f, what: self.what, name: self.name, sub }
    }
    fn request(&self) -> crate::Request {
        self.f.request(self.what, "a").named(self.name).at_subresource(self.sub)
    }
    async fn put(&self, object: Value) -> Result<Value, Status> {
        let request = self.request();
        let body = Fixture::body(&request, object);
        let written = self.f.registry.update(&request, &body, &Fixture::options()).await?;
        Ok(serde_json::from_slice(&written.object).unwrap())
    }
    async fn patch(&self, kind: PatchKind, patch: Value, options: &WriteOptions) -> Result<Value, Status> {
        let written = self.f.registry.patch(&self.request(), kind, &Body::from(&patch), options).await?;
        Ok(serde_json::from_slice(&written.object).unwrap())
    }
    async fn merge(&self, patch: Value) -> Result<Value, Status> {
        self.patch(PatchKind::Merge, patch, &Fixture::options()).await
    }
    async fn apply(&self, manager: &str, force: bool, mut config: Value) -> Result<Value, Status> {
        let info = self.request().info;
        config["kind"] = info.gvk.kind.as_str().into();
        config["apiVersion"] = info.gvk.api_version().into();
        let options =
            WriteOptions { field_manager: manager.into(), force: force.then_some(true), ..WriteOptions::default() };
        self.patch(PatchKind::Apply, config, &options).await
    }
}

async fn thing(f: &Fixture) -> Object<'_> {
    f.define_things().await;
    f.make(THINGS, "a", json!({"metadata": {"name": "t"}, "spec": {"size": 1, "color": "red"}})).await.unwrap();
    Object { f, what: THINGS, name: "t", sub: "" }
}

async fn config_map(f: &Fixture) -> Object<'_> {
    f.make("v1/configmaps", "a", json!({"metadata": {"name": "c", "labels": {"l": "1"}}, "data": {"a": "1"}}))
        .await
        .unwrap();
    Object { f, what: "v1/configmaps", name: "c", sub: "" }
}

fn rv(object: &Value) -> String {
    object::resource_version(object).to_owned()
}

#[tokio::test]
async fn the_revision_is_a_lock() {
    // U-01 … U-03, U-05, A-05
    let f = Fixture::new().await;
    let c = config_map(&f).await;
    let first = c.put(json!({"metadata": {"name": "c"}, "data": {"a": "2"}})).await.unwrap();
    let stale = json!({"metadata": {"name": "c", "resourceVersion": "1"}, "data": {"a": "3"}});
    let error = c.put(stale.clone()).await.unwrap_err();
    assert_eq!(
        error.message,
        "Operation cannot be fulfilled on configmaps \"c\": the object has been modified; please apply your changes to the latest version and try again"
    );
    assert_eq!(c.merge(json!({"metadata": {"resourceVersion": "1"}})).await.unwrap_err().code, 409);
    c.put(json!({"metadata": {"name": "c", "resourceVersion": rv(&first)}, "data": {"a": "3"}})).await.unwrap();
    let error = c.put(json!({"metadata": {"name": "c", "uid": "other"}, "data": {}})).await.unwrap_err();
    assert!(error.code == 409 && error.message.contains("Precondition failed: UID in precondition: other"), "{error}");
    let error = c.put(json!({"metadata": {"name": "d"}})).await.unwrap_err();
    assert_eq!(error.message, "the name of the object (d) does not match the name on the URL (c)");
    let t = thing(&f).await;
    let error = t.put(json!({"metadata": {"name": "t"}, "spec": {}})).await.unwrap_err();
    assert_eq!(
        error.message,
        "things.example.com \"t\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    );
}

#[tokio::test]
async fn nothing_changes_nothing() {
    // U-08, A-11, F-17
    let f = Fixture::new().await;
    let c = config_map(&f).await;
    let first = c.put(json!({"metadata": {"name": "c", "labels": {"l": "1"}}, "data": {"a": "2"}})).await.unwrap();
    let revision = f.registry.store().revision();
    assert_eq!(
        c.put(json!({"metadata": {"name": "c", "labels": {"l": "1"}}, "data": {"a": "2"}})).await.unwrap(),
        first
    );
    assert_eq!(c.merge(json!({})).await.unwrap(), first);
    assert_eq!(c.merge(json!({"data": {"a": "2"}})).await.unwrap(), first);
    assert_eq!(f.registry.store().revision(), revision);
    let applied = c.apply("m", true, json!({"metadata": {"name": "c"}, "data": {"a": "2"}})).await.unwrap();
    let revision = f.registry.store().revision();
    assert_eq!(c.apply("m", true, json!({"metadata": {"name": "c"}, "data": {"a": "2"}})).await.unwrap(), applied);
    assert_eq!(f.registry.store().revision(), revision);
}

#[tokio::test]
async fn generation_counts_what_is_wanted() {
    // U-06, U-07, U-11, U-12, SC-14
    let f = Fixture::new().await;
    let t = thing(&f).await;
    let generation = |o: &Value| object::generation(o);
    let made = f.get(THINGS, "a", "t").await.unwrap();
    assert_eq!(generation(&t.merge(json!({"metadata": {"labels": {"x": "y"}, "generation": 77, "creationTimestamp": "2001-01-01T00:00:00Z"}})).await.unwrap()), 1);
    assert_eq!(generation(&t.merge(json!({"spec": {"size": 2}})).await.unwrap()), 2);
    assert_eq!(generation(&t.merge(json!({"status": {"ready": true}})).await.unwrap()), 2);
    let status = t.at("status");
    let seen = status
        .merge(json!({"status": {"ready": true}, "spec": {"size": 9}, "metadata": {"labels": {"no": "no"}}}))
        .await
        .unwrap();
    assert_eq!((generation(&seen), &seen["status"]["ready"], &seen["spec"]["size"]), (2, &json!(true), &json!(2)));
    assert_eq!(seen["metadata"]["labels"], json!({"x": "y"}));
    assert_eq!(seen["metadata"]["creationTimestamp"], made["metadata"]["creationTimestamp"]);
    let managers = seen["metadata"]["managedFields"].as_array().unwrap();
    assert!(managers.iter().any(|m| m["subresource"] == "status"), "{managers:?}");
    let error = status.merge(json!({"status": {"ready": "maybe"}})).await.unwrap_err();
    assert_eq!(
        error.message,
        "Thing.example.com \"t\" is invalid: status.ready: Invalid value: \"string\": ready in body must be of type boolean: \"string\""
    );
    let put =
        t.put(json!({"metadata": {"name": "t", "resourceVersion": rv(&seen)}, "spec": {"size": 2}})).await.unwrap();
    assert_eq!(put["status"]["ready"], true, "the main endpoint keeps the status");
    let t_none = Object { f: &f, what: THINGS, name: "none", sub: "status" };
    assert_eq!(
        t_none.apply("m", false, json!({"metadata": {"name": "none"}, "status": {}})).await.unwrap_err().code,
        404
    );
}

#[tokio::test]
async fn immutable_metadata() {
    // U-09, A-06, A-12
    let f = Fixture::new().await;
    let c = config_map(&f).await;
    let error = c.merge(json!({"metadata": {"uid": "22222222-2222-2222-2222-222222222222"}})).await.unwrap_err();
    assert_eq!(
        error.message,
        "ConfigMap \"c\" is invalid: metadata.uid: Invalid value: \"22222222-2222-2222-2222-222222222222\": field is immutable"
    );
    assert_eq!(error.details.unwrap().causes.len(), 2);
    for (patch, message) in [
        (json!({"metadata": {"name": "d"}}), "the name of the object (d) does not match the name on the URL (c)"),
        (
            json!({"metadata": {"namespace": "b"}}),
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
    ] {
        let error = c.merge(patch).await.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (400, message));
    }
    let error = c.merge(json!({"metadata": {"labels": {"bad key!": "x"}}})).await.unwrap_err();
    assert_eq!((error.code, error.details.unwrap().causes.len()), (422, 4));
}

#[tokio::test]
async fn the_last_finalizer_deletes() {
    // U-09, U-10, X-08
    let f = Fixture::new().await;
    f.define_things().await;
    f.make(THINGS, "a", json!({"metadata": {"name": "t", "finalizers": ["example.dev/hold"]}, "spec": {}}))
        .await
        .unwrap();
    let t = Object { f: &f, what: THINGS, name: "t", sub: "" };
    f.registry.delete(&t.request(), &DeleteOptions::default()).await.unwrap();
    let marked = f.get(THINGS, "a", "t").await.unwrap();
    let error =
        t.merge(json!({"metadata": {"finalizers": ["example.dev/hold", "example.dev/new"]}})).await.unwrap_err();
    assert!(error.message.contains("no new finalizers can be added if the object is being deleted"), "{error}");
    let kept = t.merge(json!({"metadata": {"deletionTimestamp": null}})).await.unwrap();
    assert_eq!(kept["metadata"]["deletionTimestamp"], marked["metadata"]["deletionTimestamp"]);
    let gone = t.merge(json!({"metadata": {"finalizers": null}})).await.unwrap();
    assert_eq!(rv(&gone), rv(&marked), "the answer shows the old revision");
    assert!(gone["metadata"].get("finalizers").is_none());
    assert_eq!(f.get(THINGS, "a", "t").await.unwrap_err().code, 404);
}

#[tokio::test]
async fn patches() {
    // A-01 … A-04, A-07, A-08, A-13
    let f = Fixture::new().await;
    let c = config_map(&f).await;
    let options = Fixture::options();
    let json_patch =
        json!([{"op": "test", "path": "/data/a", "value": "1"}, {"op": "add", "path": "/data/b", "value": "2"}]);
    let patched = c.patch(PatchKind::Json, json_patch, &options).await.unwrap();
    assert_eq!(patched["data"], json!({"a": "1", "b": "2"}));
    let fails = json!([{"op": "test", "path": "/data/a", "value": "9"}]);
    let error = c.patch(PatchKind::Json, fails, &options).await.unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (422, "the server rejected our request due to an error in our request")
    );
    let strategic = json!({"metadata": {"finalizers": ["example.dev/one"]}, "data": {"b": null}});
    let patched = c.patch(PatchKind::Strategic, strategic, &options).await.unwrap();
    assert_eq!(
        (&patched["data"], &patched["metadata"]["finalizers"]),
        (&json!({"a": "1"}), &json!(["example.dev/one"]))
    );
    let strict = WriteOptions { field_validation: "Strict".into(), ..Fixture::options() };
    let error = c.patch(PatchKind::Merge, json!({"colour": "red"}), &strict).await.unwrap_err();
    assert_eq!(error.code, 422);
    assert!(error.message.starts_with(" \"\" is invalid: patch: Invalid value: \"{"), "{error}");
    assert!(error.message.ends_with("strict decoding error: unknown field \"colour\""), "{error}");
    for (kind, body) in [(PatchKind::Json, "not json"), (PatchKind::Merge, "[1,2"), (PatchKind::Merge, "[1,2]")] {
        let error = f.registry.patch(&c.request(), kind, &Body::json(body), &options).await.unwrap_err();
        assert!(error.code == 400 && error.message.starts_with("error decoding patch: "), "{error}");
    }
    let none = Object { f: &f, what: "v1/configmaps", name: "none", sub: "" };
    assert_eq!(none.merge(json!({})).await.unwrap_err().code, 404);
    let t = thing(&f).await;
    assert_eq!(t.patch(PatchKind::Strategic, json!({}), &options).await.unwrap_err().code, 415);
    let dry = WriteOptions { dry_run: vec!["All".into()], ..Fixture::options() };
    let before = f.get(THINGS, "a", "t").await.unwrap();
    let shown = t.patch(PatchKind::Merge, json!({"spec": {"size": 5}}), &dry).await.unwrap();
    assert_eq!((shown["spec"]["size"].as_i64(), rv(&shown)), (Some(5), rv(&before)));
    assert_eq!(f.get(THINGS, "a", "t").await.unwrap(), before);
}

#[tokio::test]
async fn applying() {
    // F-01, F-05 … F-08, A-06, A-07
    let f = Fixture::new().await;
    let c = Object { f: &f, what: "v1/configmaps", name: "conf", sub: "" };
    let made =
        c.apply("alpha", false, json!({"metadata": {"name": "conf"}, "data": {"a": "1", "b": "1"}})).await.unwrap();
    assert_eq!(made["metadata"]["managedFields"][0]["operation"], "Apply");
    let error = c.apply("beta", false, json!({"metadata": {"name": "conf"}, "data": {"a": "2"}})).await.unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (409, "Apply failed with 1 conflict: conflict with \"alpha\": .data.a")
    );
    let forced = c.apply("beta", true, json!({"metadata": {"name": "conf"}, "data": {"a": "2"}})).await.unwrap();
    assert_eq!(forced["data"], json!({"a": "2", "b": "1"}));
    let removed = c.apply("alpha", false, json!({"metadata": {"name": "conf"}})).await.unwrap();
    assert_eq!(removed["data"], json!({"a": "2"}));
    let wrong = Body::from(&json!({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "conf"}}));
    let options = WriteOptions { field_manager: "x".into(), ..WriteOptions::default() };
    let error = f.registry.patch(&c.request(), PatchKind::Apply, &wrong, &options).await.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (400, "invalid object type: /v2, Kind=ConfigMap"));
    let error = c.apply("x", false, json!({"metadata": {"name": "other"}})).await.unwrap_err();
    assert_eq!(error.message, "the name of the object (other) does not match the name on the URL (conf)");
    let stale = json!({"metadata": {"name": "conf", "resourceVersion": "1", "labels": {"r": "1"}}});
    assert_eq!(c.apply("x", false, stale).await.unwrap_err().code, 409);
    let nowhere = Object { f: &f, what: "v1/configmaps", name: "nothere", sub: "" };
    let error = nowhere.apply("x", false, json!({"metadata": {"name": "nothere", "uid": "u"}})).await.unwrap_err();
    assert_eq!(
        error.message,
        "Operation cannot be fulfilled on configmaps \"nothere\": uid mismatch: the provided object specified uid u, and no existing object was found"
    );
}

#[tokio::test]
async fn puts_that_create() {
    // U-04
    let f = Fixture::new().await;
    let lease = Object { f: &f, what: "coordination.k8s.io/v1/leases", name: "l", sub: "" };
    let request = lease.request();
    let body = Fixture::body(&request, json!({"metadata": {"name": "l"}, "spec": {}}));
    assert!(f.registry.update(&request, &body, &Fixture::options()).await.unwrap().created);
    let none = Object { f: &f, what: "v1/configmaps", name: "none", sub: "" };
    assert_eq!(none.put(json!({"metadata": {"name": "none"}})).await.unwrap_err().code, 404);
}

#[tokio::test]
async fn concurrent_patches_all_count() {
    // U-15
    let f = Fixture::new().await;
    config_map(&f).await;
    let requests = (0..24).map(|i| {
        let f = &f;
        async move {
            let patch = Body::from(&json!({"data": {format!("k{i}"): "v"}}));
            f.registry
                .patch(&f.request("v1/configmaps", "a").named("c"), PatchKind::Merge, &patch, &Fixture::options())
                .await
                .unwrap();
        }
    });
    futures_join(requests.collect()).await;
    assert_eq!(f.get("v1/configmaps", "a", "c").await.unwrap()["data"].as_object().unwrap().len(), 25);
}

/// Polls all futures to their end on this task.
async fn futures_join<F: Future<Output = ()>>(futures: Vec<F>) {
    let mut futures: Vec<_> = futures.into_iter().map(|f| Some(Box::pin(f))).collect();
    std::future::poll_fn(|cx| {
        let mut pending = false;
        for slot in &mut futures {
            if let Some(future) = slot {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(()) => *slot = None,
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
}

#[tokio::test]
async fn scaling() {
    // B-02, F-19
    let f = Fixture::new().await;
    let mut crd = crate::testing::things(json!({"replicas": {"type": "integer"}}));
    crd["spec"]["versions"][0]["subresources"]["scale"] =
        json!({"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"});
    crd["spec"]["versions"][0]["selectableFields"] = json!([]);
    f.make("apiextensions.k8s.io/v1/customresourcedefinitions", "", crd).await.unwrap();
    f.make(THINGS, "a", json!({"metadata": {"name": "t"}, "spec": {"replicas": 1}})).await.unwrap();
    let scale = Object { f: &f, what: THINGS, name: "t", sub: "scale" };
    let before: Value = serde_json::from_slice(&f.registry.get(&scale.request(), "").await.unwrap()).unwrap();
    assert_eq!(
        (&before["kind"], &before["spec"]["replicas"], &before["status"]["replicas"]),
        (&json!("Scale"), &json!(1), &json!(0))
    );
    let after = scale.merge(json!({"spec": {"replicas": 4}})).await.unwrap();
    assert_eq!((&after["kind"], &after["spec"]["replicas"]), (&json!("Scale"), &json!(4)));
    let put = |rv: &str, n: i64| {
        let mut meta = json!({"name": "t", "namespace": "a"});
        if !rv.is_empty() {
            meta["resourceVersion"] = rv.into();
        }
        scale.put(json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": meta, "spec": {"replicas": n}}))
    };
    assert_eq!(put(&rv(&before), 6).await.unwrap_err().code, 409);
    assert_eq!(put("", 6).await.unwrap()["spec"]["replicas"], 6);
    assert_eq!(put("", -1).await.unwrap_err().code, 422);
    let thing = f.get(THINGS, "a", "t").await.unwrap();
    assert_eq!((object::generation(&thing), &thing["spec"]["replicas"]), (3, &json!(6)));
    let options = WriteOptions { field_manager: "ssa".into(), force: Some(true), ..WriteOptions::default() };
    let config =
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "t"}, "spec": {"replicas": 2}});
    let applied = scale.patch(PatchKind::Apply, config, &options).await.unwrap();
    assert_eq!(applied["spec"]["replicas"], 2);
}

#[tokio::test]
async fn two_who_apply_a_new_object_at_the_same_time_both_succeed() {
    let f = Fixture::new().await;
    let c = Object { f: &f, what: "v1/configmaps", name: "new", sub: "" };
    let config = |key: &str| json!({"metadata": {"name": "new"}, "data": {key: "1"}});
    // Both look before either has written.
    let (one, two) = tokio::join!(c.apply("one", false, config("a")), c.apply("two", false, config("b")));
    one.unwrap();
    assert_eq!(two.unwrap()["data"], json!({"a": "1", "b": "1"}));
}
