//! X rows.

use serde_json::{Value, json};

use crate::{
    DeleteOptions, Deleted, ListOptions,
    testing::{Fixture, THINGS},
};

fn object(deleted: Deleted) -> Value {
    match deleted {
        Deleted::Object(bytes) => serde_json::from_slice(&bytes).unwrap(),
        Deleted::Status(status) => panic!("{status:?}"),
    }
}

#[tokio::test]
async fn what_is_gone_and_what_is_said_of_it() {
    //
    let f = Fixture::new().await;
    f.make("v1/configmaps", "a", json!({"metadata": {"name": "x"}})).await.unwrap();
    f.make("v1/serviceaccounts", "a", json!({"metadata": {"name": "x"}})).await.unwrap();
    let request = f.request("v1/configmaps", "a").named("x");
    let Deleted::Status(status) = f.registry.delete(&request, &DeleteOptions::default()).await.unwrap() else {
        panic!()
    };
    let body = status.to_value();
    assert_eq!(
        (&body["status"], &body["details"]["kind"], body.get("code")),
        (&json!("Success"), &json!("configmaps"), None)
    );
    assert_eq!(body["details"]["uid"].as_str().unwrap().len(), 36);
    assert_eq!(f.registry.delete(&request, &DeleteOptions::default()).await.unwrap_err().code, 404);
    let request = f.request("v1/serviceaccounts", "a").named("x");
    assert_eq!(object(f.registry.delete(&request, &DeleteOptions::default()).await.unwrap())["kind"], "ServiceAccount");
}

#[tokio::test]
async fn preconditions() {
    //
    let f = Fixture::new().await;
    f.define_things().await;
    let made = f.make(THINGS, "a", json!({"metadata": {"name": "x"}})).await.unwrap();
    let request = f.request(THINGS, "a").named("x");
    let uid = made["metadata"]["uid"].as_str().unwrap();
    let with = |uid: Option<&str>, rv: Option<&str>| DeleteOptions {
        uid: uid.map(Into::into),
        resource_version: rv.map(Into::into),
        ..DeleteOptions::default()
    };
    let error = f.registry.delete(&request, &with(Some("other"), None)).await.unwrap_err();
    assert_eq!(
        error.message,
        format!(
            "Operation cannot be fulfilled on Thing.example.com \"x\": the UID in the precondition (other) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
        )
    );
    assert_eq!(f.registry.delete(&request, &with(None, Some("1"))).await.unwrap_err().code, 409);
    let rv = made["metadata"]["resourceVersion"].as_str().unwrap();
    f.registry.delete(&request, &with(Some(uid), Some(rv))).await.unwrap();
}

#[tokio::test]
async fn finalizers_hold() {
    // X-05 … X-08
    let f = Fixture::new().await;
    f.define_things().await;
    for (name, policy, want) in [
        ("b", "", vec!["example.dev/hold"]),
        ("f", "Foreground", vec!["example.dev/hold", "foregroundDeletion"]),
        ("o", "Orphan", vec!["example.dev/hold", "orphan"]),
    ] {
        f.make(THINGS, "a", json!({"metadata": {"name": name, "finalizers": ["example.dev/hold"]}, "spec": {}}))
            .await
            .unwrap();
        let request = f.request(THINGS, "a").named(name);
        let options = DeleteOptions {
            propagation_policy: policy.into(),
            grace_period_seconds: Some(30),
            ..DeleteOptions::default()
        };
        let marked = object(f.registry.delete(&request, &options).await.unwrap());
        let meta = &marked["metadata"];
        assert_eq!(
            (&meta["finalizers"], &meta["deletionGracePeriodSeconds"], &meta["generation"]),
            (&json!(want), &json!(0), &json!(2))
        );
        let revision = f.registry.store().revision();
        assert_eq!(
            object(f.registry.delete(&request, &DeleteOptions::default()).await.unwrap()),
            marked,
            "once more is nothing"
        );
        assert_eq!(f.registry.store().revision(), revision);
    }
    let request = f.request(THINGS, "a").named("f");
    let background = DeleteOptions { propagation_policy: "Background".into(), ..DeleteOptions::default() };
    assert_eq!(
        object(f.registry.delete(&request, &background).await.unwrap())["metadata"]["finalizers"],
        json!(["example.dev/hold"])
    );
    // Foreground without other finalizers waits for the dependents.
    f.make("v1/configmaps", "a", json!({"metadata": {"name": "x"}})).await.unwrap();
    let foreground = DeleteOptions { propagation_policy: "Foreground".into(), ..DeleteOptions::default() };
    let request = f.request("v1/configmaps", "a").named("x");
    assert_eq!(
        object(f.registry.delete(&request, &foreground).await.unwrap())["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
}

#[tokio::test]
async fn dry_runs_delete_nothing() {
    // C-09
    let f = Fixture::new().await;
    f.make("v1/configmaps", "a", json!({"metadata": {"name": "x"}})).await.unwrap();
    let dry = DeleteOptions { dry_run: vec!["All".into()], ..DeleteOptions::default() };
    f.registry.delete(&f.request("v1/configmaps", "a").named("x"), &dry).await.unwrap();
    f.get("v1/configmaps", "a", "x").await.unwrap();
    let gone = object(f.registry.delete(&f.request("v1/namespaces", "").named("a"), &dry).await.unwrap());
    assert_eq!(gone["status"]["phase"], "Terminating");
    assert_eq!(f.get("v1/namespaces", "", "a").await.unwrap()["status"]["phase"], "Active");
    let error = f
        .registry
        .delete(&f.request("v1/namespaces", "").named("default"), &DeleteOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.code, 403, "G-06");
}

#[tokio::test]
async fn collections() {
    // X-13, S-07
    let f = Fixture::new().await;
    f.define_things().await;
    for i in 0..300 {
        let labels = json!({"set": if i % 100 == 0 { "u" } else { "v" }});
        let finalizers = if i == 7 { json!(["example.dev/hold"]) } else { json!([]) };
        f.make(
            THINGS,
            "a",
            json!({"metadata": {"name": format!("m{i:03}"), "labels": labels, "finalizers": finalizers}}),
        )
        .await
        .unwrap();
    }
    let request = f.request(THINGS, "a");
    let some = ListOptions { label_selector: "set=u".into(), ..ListOptions::default() };
    let dry = DeleteOptions { dry_run: vec!["All".into()], ..DeleteOptions::default() };
    let mut list = f.registry.delete_collection(&request, &dry, &some).await.unwrap();
    assert_eq!(list.items().count(), 3);
    let mut list = f.registry.delete_collection(&request, &DeleteOptions::default(), &some).await.unwrap();
    assert_eq!(list.items().count(), 3);
    assert_eq!(f.names(THINGS, "a", ListOptions::default()).await.unwrap().len(), 297);
    let before = f.registry.store().revision();
    let mut list =
        f.registry.delete_collection(&request, &DeleteOptions::default(), &ListOptions::default()).await.unwrap();
    assert_eq!(list.items().count(), 297);
    assert!(f.registry.store().revision() - before < 10, "in batches");
    assert_eq!(f.names(THINGS, "a", ListOptions::default()).await.unwrap(), ["m007"]);
    assert_eq!(f.get(THINGS, "a", "m007").await.unwrap()["metadata"]["deletionGracePeriodSeconds"], 0);
}

/// Names of roles may hold nearly anything.
#[tokio::test]
async fn names_that_are_escaped_are_deleted() {
    let f = Fixture::new().await;
    let roles = "rbac.authorization.k8s.io/v1/roles";
    let names = ["a\"b", "a\\b", "a:b c", "\u{fffd}"];
    let make_all = || async {
        for name in names {
            f.make(roles, "a", json!({"metadata": {"name": name}})).await.unwrap();
        }
    };
    make_all().await;
    for name in names {
        f.get(roles, "a", name).await.unwrap();
        f.registry.delete(&f.request(roles, "a").named(name), &DeleteOptions::default()).await.unwrap();
    }
    assert!(f.names(roles, "a", ListOptions::default()).await.unwrap().is_empty());
    make_all().await;
    // Those with finalizers go another way.
    f.make(roles, "a", json!({"metadata": {"name": "held\\", "finalizers": ["example.dev/hold"]}})).await.unwrap();
    f.registry
        .delete_collection(&f.request(roles, ""), &DeleteOptions::default(), &ListOptions::default())
        .await
        .unwrap();
    assert_eq!(f.names(roles, "a", ListOptions::default()).await.unwrap(), ["held\\"]);
    assert!(f.get(roles, "a", "held\\").await.unwrap()["metadata"]["deletionTimestamp"].is_string());
}
