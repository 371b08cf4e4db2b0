//! C rows.

use kcp_apimachinery::object;
use serde_json::json;

use crate::{
    Body, WriteOptions,
    testing::{Fixture, THINGS},
};

#[tokio::test]
async fn system_fields_are_the_servers() {
    // C-01, C-04, C-11
    let f = Fixture::new().await;
    let sent = json!({"metadata": {"name": "x", "uid": "u", "creationTimestamp": "2001-01-01T00:00:00Z",
        "deletionTimestamp": "2001-01-01T00:00:00Z", "deletionGracePeriodSeconds": 7, "selfLink": "/x"}, "data": {"a": "1"}});
    let made = f.make("v1/configmaps", "a", sent).await.unwrap();
    let meta = &made["metadata"];
    assert_eq!(meta["uid"].as_str().unwrap().len(), 36);
    assert_ne!(meta["creationTimestamp"], "2001-01-01T00:00:00Z");
    for gone in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        assert!(meta.get(gone).is_none(), "{gone}");
    }
    assert_eq!(meta["namespace"], "a");
    assert_eq!(meta["managedFields"][0]["manager"], "test");
    assert_eq!(meta["managedFields"][0]["fieldsV1"], json!({"f:data": {".": {}, "f:a": {}}}));
    let rv: u64 = object::resource_version(&made).parse().unwrap();
    assert_eq!(rv, f.registry.store().revision());
    assert_eq!(f.get("v1/configmaps", "a", "x").await.unwrap(), made);
}

#[tokio::test]
async fn names_are_generated() {
    // C-04
    let f = Fixture::new().await;
    let made = f.make("v1/configmaps", "a", json!({"metadata": {"generateName": "gen-"}})).await.unwrap();
    let name = object::name(&made);
    assert!(name.starts_with("gen-") && name.len() == 9, "{name}");
    let made =
        f.make("v1/configmaps", "a", json!({"metadata": {"generateName": "gen-", "name": "fixed"}})).await.unwrap();
    assert_eq!(object::name(&made), "fixed");
}

#[tokio::test]
async fn refusals() {
    let f = Fixture::new().await;
    f.make("v1/configmaps", "a", json!({"metadata": {"name": "there"}})).await.unwrap();
    for (namespace, sent, code, message) in [
        (
            "a",
            json!({"metadata": {}}),
            422,
            "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
        ),
        ("a", json!({"metadata": {"name": "there"}}), 409, "configmaps \"there\" already exists"),
        (
            "a",
            json!({"metadata": {"name": "x", "namespace": "b"}}),
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        ("nowhere", json!({"metadata": {"name": "x"}}), 404, "namespaces \"nowhere\" not found"),
        (
            "a",
            json!({"metadata": {"name": "x", "resourceVersion": "5"}}),
            500,
            "resourceVersion should not be set on objects to be created",
        ),
    ] {
        let error = f.make("v1/configmaps", namespace, sent.clone()).await.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (code, message), "{sent}");
    }
}

#[tokio::test]
async fn a_dry_run_stores_nothing() {
    // C-09
    let f = Fixture::new().await;
    let before = f.registry.store().revision();
    let request = f.request("v1/configmaps", "a");
    let options = WriteOptions { dry_run: vec!["All".into()], ..Fixture::options() };
    let body = Fixture::body(&request, json!({"metadata": {"name": "dry"}}));
    let written = f.registry.create(&request, &body, &options).await.unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&written.object).unwrap();
    assert!(shown["metadata"]["uid"].is_string() && shown["metadata"].get("resourceVersion").is_none());
    assert_eq!(f.registry.store().revision(), before);
    assert_eq!(f.get("v1/configmaps", "a", "dry").await.unwrap_err().code, 404);
}

#[tokio::test]
async fn unknown_and_duplicate_fields() {
    // C-12, N-04, N-14
    let f = Fixture::new().await;
    f.define_things().await;
    for (what, kind, text, strict) in [
        (
            "v1/configmaps",
            "ConfigMap",
            r#"{"metadata":{"name":"NAME","bar":"x"},"data":{"a":"1","a":"2"},"foo":1}"#,
            r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: duplicate field "data.a", unknown field "metadata.bar", unknown field "foo""#,
        ),
        (
            THINGS,
            "Thing",
            r#"{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"name":"NAME"},"spec":{"size":1,"extra":true},"bogus":1}"#,
            r#"Thing in version "v1" cannot be handled as a Thing: strict decoding error: unknown field "bogus", unknown field "spec.extra""#,
        ),
    ] {
        let request = f.request(what, "a");
        let body = |name: &str| Body::json(text.replace("NAME", name));
        let options = |v: &str| WriteOptions { field_validation: v.into(), ..Fixture::options() };
        let error = f.registry.create(&request, &body("s"), &options("Strict")).await.unwrap_err();
        let sorted = |text: &str| {
            let (head, list) = text.split_once("strict decoding error: ").unwrap();
            let mut list: Vec<String> = list.split(", ").map(str::to_owned).collect();
            list.sort();
            (head.to_owned(), list)
        };
        assert_eq!((error.code, sorted(&error.message)), (400, sorted(strict)), "{kind}");
        f.registry.create(&request, &body("w"), &options("")).await.unwrap();
        assert!(request.warnings.take().len() >= 2, "{kind}");
        f.registry.create(&request, &body("i"), &options("Ignore")).await.unwrap();
        assert!(request.warnings.take().is_empty(), "{kind}");
        let stored = f.get(what, "a", "w").await.unwrap();
        assert!(stored.get("foo").is_none() && stored.get("bogus").is_none());
    }
}

#[tokio::test]
async fn custom_resources_say_what_they_are() {
    // N-13, C-05, C-07, C-08
    let f = Fixture::new().await;
    f.define_things().await;
    let request = f.request(THINGS, "a");
    for (text, code, message) in [
        (
            r#"{"metadata": {"name": "x"}, "spec": {}}"#,
            400,
            r#"the object provided is unrecognized (must be of type Thing): Object 'Kind' is missing in '{"metadata": {"name": "x"}, "spec": {}}' ({"metadata": {"name": "x"}, "s ...)"#,
        ),
        (
            r#"{"apiVersion":"example.com/v2","kind":"Thing","metadata":{"name":"x"}}"#,
            400,
            "the API version in the data (example.com/v2) does not match the expected API version (example.com/v1)",
        ),
        (
            r#"{"apiVersion":"example.com/v1","kind":"Other","metadata":{"name":"x"}}"#,
            422,
            "Other.example.com \"x\" is invalid: kind: Invalid value: \"Other\": must be Thing",
        ),
    ] {
        let error = f.registry.create(&request, &Body::json(text), &WriteOptions::default()).await.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (code, message));
    }
    let made = f
        .make(THINGS, "a", json!({"metadata": {"name": "x"}, "spec": {"size": 1}, "status": {"ready": true}}))
        .await
        .unwrap();
    assert_eq!(made["metadata"]["generation"], 1);
    assert!(made.get("status").is_none());
    let error = f.make(THINGS, "a", json!({"metadata": {"name": "y"}, "spec": {"size": "big"}})).await.unwrap_err();
    assert_eq!(error.code, 422, "{error}");
}

#[tokio::test]
async fn nothing_is_made_in_a_namespace_that_goes() {
    // C-14, G-01, G-02, G-05
    let f = Fixture::new().await;
    let made = f.get("v1/namespaces", "", "a").await.unwrap();
    assert_eq!(made["metadata"]["labels"]["kubernetes.io/metadata.name"], "a");
    assert_eq!((&made["status"]["phase"], &made["spec"]["finalizers"]), (&json!("Active"), &json!(["kubernetes"])));
    let request = f.request("v1/namespaces", "").named("a");
    f.registry.delete(&request, &crate::DeleteOptions::default()).await.unwrap();
    let error = f.make("v1/configmaps", "a", json!({"metadata": {"name": "x"}})).await.unwrap_err();
    assert_eq!(error.code, 403);
    assert_eq!(error.details.unwrap().causes[0].reason, "NamespaceTerminating");
    let error = f.make("v1/namespaces", "", json!({"metadata": {"name": "a"}})).await.unwrap_err();
    assert_eq!(error.message, "object is being deleted: namespaces \"a\" already exists");
    let finalize = f.request("v1/namespaces", "").named("a").at_subresource("finalize");
    let body = Fixture::body(&finalize, json!({"metadata": {"name": "a"}, "spec": {"finalizers": []}}));
    f.registry.update(&finalize, &body, &Fixture::options()).await.unwrap();
    assert_eq!(f.get("v1/namespaces", "", "a").await.unwrap_err().code, 404);
}
