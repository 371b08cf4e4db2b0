//! CRD rows.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use kcp_admission::{Attributes, Chain, Operation, Plugin};
use kcp_apimachinery::{Status, object};
use kcp_storage::{Batch, Expect, Op, Store, Window};
use serde_json::{Value, json};

use crate::{
    Body, DeleteOptions, ListOptions, PatchKind, WriteOptions,
    testing::{Fixture, THINGS, things},
};

const CRDS: &str = "apiextensions.k8s.io/v1/customresourcedefinitions";

async fn patch(f: &Fixture, name: &str, kind: PatchKind, patch: Value) -> Result<Value, kcp_apimachinery::Status> {
    let request = f.request(CRDS, "").named(name);
    let written = f.registry.patch(&request, kind, &Body::from(&patch), &Fixture::options()).await?;
    Ok(serde_json::from_slice(&written.object).unwrap())
}

fn condition<'a>(crd: &'a Value, kind: &str) -> &'a Value {
    crd["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == kind).unwrap()
}

#[tokio::test]
async fn a_type_is_served_when_its_definition_is_answered() {
    // CRD-02, CRD-03, CRD-05, CRD-07, D-16
    let f = Fixture::new().await;
    let other = kcp_logicalcluster::ClusterName::system_admin();
    assert!(f.registry.types(&f.cluster).is_base_only());
    let made = f.make(CRDS, "", things(json!({}))).await;
    // things() selects by a field that this schema lacks.
    assert_eq!(made.unwrap_err().code, 422);
    f.define_things().await;
    let crd = f.get(CRDS, "", "things.example.com").await.unwrap();
    assert_eq!(condition(&crd, "Established")["status"], "True");
    assert_eq!(condition(&crd, "NamesAccepted")["reason"], "NoConflicts");
    assert_eq!(
        crd["status"]["acceptedNames"],
        json!({"kind": "Thing", "listKind": "ThingList", "plural": "things", "singular": "thing"})
    );
    assert_eq!(crd["status"]["storedVersions"], json!(["v1"]));
    f.make(THINGS, "a", json!({"metadata": {"name": "first"}})).await.unwrap();
    assert!(f.registry.types(&other).lookup("example.com", "v1", "things").is_none(), "LC-02");
    let groups: Vec<String> = f.registry.types(&f.cluster).groups().into_iter().map(|g| g.name).collect();
    assert_eq!(groups.last().map(String::as_str), Some("workload.kcp.dev"));
    assert!(groups.iter().any(|g| g == "example.com"));
}

/// Readers of stored metadata expect lists where there are any.
#[tokio::test]
async fn nulls_in_the_metadata_are_not_stored() {
    let f = Fixture::new().await;
    let nulls = json!({"ownerReferences": null, "finalizers": null, "labels": null, "annotations": null});
    let mut definition = things(json!({"color": {"type": "string"}}));
    for (field, null) in nulls.as_object().unwrap() {
        definition["metadata"][field] = null.clone();
    }
    let made = f.make(CRDS, "", definition).await.unwrap();
    let add = |field: &String| json!({"op": "add", "path": format!("/metadata/{field}"), "value": null});
    let patches = nulls.as_object().unwrap().keys().map(add).collect();
    let patched = patch(&f, "things.example.com", PatchKind::Json, patches).await.unwrap();
    for field in nulls.as_object().unwrap().keys() {
        assert_eq!((made["metadata"].get(field), patched["metadata"].get(field)), (None, None), "{field}");
    }
}

#[tokio::test]
async fn equal_definitions_share_one_type() {
    let f = Fixture::new().await;
    f.define_things().await;
    let other = kcp_logicalcluster::ClusterName::system_admin();
    let request = f.request_in(&other, CRDS, "");
    let spec = json!({"size": {"type": "integer"}, "color": {"type": "string"}});
    f.registry.create(&request, &Fixture::body(&request, things(spec)), &Fixture::options()).await.unwrap();
    let of = |c| f.registry.types(c).lookup("example.com", "v1", "things").unwrap();
    assert!(std::sync::Arc::ptr_eq(&of(&f.cluster), &of(&other)));
    assert!(f.registry.wildcard_type("example.com", "v1", "things", false).unwrap().is_some());
    // LC-04
    let request = request.named("things.example.com");
    let more = json!([{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/more", "value": {"type": "string"}}]);
    f.registry.patch(&request, PatchKind::Json, &Body::from(&more), &Fixture::options()).await.unwrap();
    assert_eq!(f.registry.wildcard_type("example.com", "v1", "things", false).unwrap_err().code, 405);
    assert!(f.registry.wildcard_type("example.com", "v1", "things", true).unwrap().is_some());
}

#[tokio::test]
async fn versions_share_their_objects() {
    // CRD-08, CRD-09, CRD-25, F-11, CRD-07
    let f = Fixture::new().await;
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let version = |name: &str, storage: bool| json!({"name": name, "served": true, "storage": storage, "schema": schema, "deprecated": !storage});
    let crd = json!({"metadata": {"name": "boats.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
        "names": {"plural": "boats", "kind": "Boat"}, "versions": [version("v1", true), version("v1beta1", false)]}});
    f.make(CRDS, "", crd).await.unwrap();
    f.make("example.com/v1beta1/boats", "a", json!({"metadata": {"name": "b"}, "spec": {"n": 2}})).await.unwrap();
    let old = f.get("example.com/v1beta1/boats", "a", "b").await.unwrap();
    let new = f.get("example.com/v1/boats", "a", "b").await.unwrap();
    assert_eq!((&old["apiVersion"], &new["apiVersion"]), (&json!("example.com/v1beta1"), &json!("example.com/v1")));
    assert_eq!(new["metadata"]["managedFields"][0]["apiVersion"], "example.com/v1beta1");
    assert_eq!((&old["metadata"], &old["spec"]), (&new["metadata"], &new["spec"]));
    let info = f.request("example.com/v1beta1/boats", "a").info;
    assert_eq!(
        info.deprecated_warning.as_deref(),
        Some("example.com/v1beta1 Boat is deprecated; use example.com/v1 Boat")
    );
    let swap = json!([{"op": "replace", "path": "/spec/versions/1/storage", "value": true}, {"op": "replace", "path": "/spec/versions/0/storage", "value": false}]);
    let swapped = patch(&f, "boats.example.com", PatchKind::Json, swap).await.unwrap();
    assert_eq!(swapped["status"]["storedVersions"], json!(["v1", "v1beta1"]));
    assert_eq!(f.get("example.com/v1beta1/boats", "a", "b").await.unwrap(), old, "stored under the former version");
    let error = patch(&f, "boats.example.com", PatchKind::Json, json!([{"op": "remove", "path": "/spec/versions/0"}]))
        .await
        .unwrap_err();
    assert!(
        error.message.contains("status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions"),
        "{error}"
    );
    patch(
        &f,
        "boats.example.com",
        PatchKind::Json,
        json!([{"op": "replace", "path": "/spec/versions/0/served", "value": false}]),
    )
    .await
    .unwrap();
    assert!(f.registry.types(&f.cluster).lookup("example.com", "v1", "boats").is_none());
}

#[tokio::test]
async fn objects_are_read_by_the_schema_of_now() {
    // SC-04, SC-06, CRD-23
    let f = Fixture::new().await;
    f.define_things().await;
    f.make(THINGS, "a", json!({"metadata": {"name": "old"}, "spec": {"size": 1, "color": "red"}})).await.unwrap();
    let base = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let change = json!([
        {"op": "remove", "path": format!("{base}/size")},
        {"op": "add", "path": format!("{base}/mode"), "value": {"type": "string", "default": "auto"}}
    ]);
    patch(&f, "things.example.com", PatchKind::Json, change).await.unwrap();
    let read = f.get(THINGS, "a", "old").await.unwrap();
    assert_eq!(read["spec"], json!({"color": "red", "mode": "auto"}));
    let mut list = f.registry.list(&f.request(THINGS, "a"), &ListOptions::default()).await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&list.items().next().unwrap()).unwrap(), read);
    f.make(THINGS, "a", json!({"metadata": {"name": "new"}, "spec": {}})).await.unwrap();
    assert_eq!(f.get(THINGS, "a", "new").await.unwrap()["spec"], json!({"mode": "auto"}));
}

#[tokio::test]
async fn names_are_held_by_one() {
    // CRD-03, CRD-04, CRD-10 … CRD-12
    let f = Fixture::new().await;
    f.define_things().await;
    let rival = json!({"metadata": {"name": "others.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
        "names": {"plural": "others", "kind": "Thing", "singular": "thing"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    f.make(CRDS, "", rival).await.unwrap();
    let crd = f.get(CRDS, "", "others.example.com").await.unwrap();
    assert_eq!(
        (&condition(&crd, "NamesAccepted")["status"], &condition(&crd, "Established")["status"]),
        (&json!("False"), &json!("False"))
    );
    assert!(f.registry.types(&f.cluster).lookup("example.com", "v1", "others").is_none());

    f.make(THINGS, "a", json!({"metadata": {"name": "x"}})).await.unwrap();
    let request = f.request(CRDS, "").named("things.example.com");
    f.registry.delete(&request, &DeleteOptions::default()).await.unwrap();
    let marked = f.get(CRDS, "", "things.example.com").await.unwrap();
    assert!(object::is_deleting(&marked) && marked["metadata"].get("deletionGracePeriodSeconds").is_none());
    assert_eq!(marked["metadata"]["finalizers"], json!(["customresourcecleanup.apiextensions.k8s.io"]));
    assert_eq!(condition(&marked, "Terminating")["status"], "True");
    let error = f.make(THINGS, "a", json!({"metadata": {"name": "late"}})).await.unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (
            403,
            "things.example.com \"late\" is forbidden: create not allowed while custom resource definition is terminating"
        )
    );
    assert_eq!(f.get(THINGS, "a", "x").await.unwrap()["metadata"]["name"], "x");
    let verbs = f.request(THINGS, "a").info.verbs.clone();
    assert_eq!(verbs, ["delete", "deletecollection", "get", "list", "watch"], "D-06");

    patch(&f, "things.example.com", PatchKind::Merge, json!({"metadata": {"finalizers": null}})).await.unwrap();
    assert_eq!(f.get(CRDS, "", "things.example.com").await.unwrap_err().code, 404);
    let crd = f.get(CRDS, "", "others.example.com").await.unwrap();
    assert_eq!(
        condition(&crd, "Established")["reason"],
        "InitialNamesAccepted",
        "the loser wins when the winner is gone"
    );
    assert_eq!(f.registry.types(&f.cluster).lookup("example.com", "v1", "others").unwrap().list_kind, "ThingList");
}

#[tokio::test]
async fn a_crash_between_the_two_commits_is_made_good() {
    // CRD-05
    let f = Fixture::new().await;
    f.define_things().await;
    let mut crd = f.get(CRDS, "", "things.example.com").await.unwrap();
    crd["status"]["conditions"] = Value::Null;
    crd["status"]["acceptedNames"] = json!({"kind": "", "plural": ""});
    put(&f, "things.example.com", &crd).await;
    assert!(f.registry.types(&f.cluster).lookup("example.com", "v1", "things").is_none());
    f.registry.recover().await;
    assert!(f.registry.types(&f.cluster).lookup("example.com", "v1", "things").is_some());
}

/// What a definition was found to be before its last change is not what it is.
#[tokio::test]
async fn a_crash_between_the_two_commits_leaves_no_stale_condition() {
    let f = Fixture::new().await;
    f.define_things().await;
    let good = f.get(CRDS, "", "things.example.com").await.unwrap();
    for (what, kind) in [
        ("a schema that is structural now", "NonStructuralSchema"),
        ("an approval that nobody asks for", "KubernetesAPIApprovalPolicyConformant"),
    ] {
        let mut crd = good.clone();
        kcp_schema::crd::status::set_condition(&mut crd, kind, "True", "Violations", "m", "2026-01-01T00:00:00Z");
        put(&f, "things.example.com", &crd).await;
        f.registry.recover().await;
        let now = f.get(CRDS, "", "things.example.com").await.unwrap();
        assert_eq!(now["status"], good["status"], "{what}");
        let revision = f.registry.store().revision();
        f.registry.recover().await;
        assert_eq!(f.registry.store().revision(), revision, "a start writes nothing when nothing has changed");
    }
    let mut renamed = good.clone();
    renamed["spec"]["names"]["shortNames"] = json!(["th"]);
    put(&f, "things.example.com", &renamed).await;
    f.registry.recover().await;
    let now = f.get(CRDS, "", "things.example.com").await.unwrap();
    assert_eq!(now["status"]["acceptedNames"]["shortNames"], json!(["th"]), "a name that was asked for");
}

/// Stores a definition past the registry: the first of the two commits of a change.
async fn put(f: &Fixture, name: &str, crd: &Value) {
    let key = crate::crd::key(&f.cluster, name).unwrap();
    let half = kcp_storage::Batch::new().put(key, crate::encode::encode(crd), kcp_storage::Expect::Any);
    f.registry.store().commit(half).await.unwrap();
}

#[tokio::test]
async fn a_definition_is_served_though_its_maker_did_not_wait() {
    let f = Fixture::new().await;
    let request = f.request(CRDS, "");
    let spec = json!({"size": {"type": "integer"}, "color": {"type": "string"}});
    let (body, options) = (Fixture::body(&request, things(spec)), Fixture::options());
    let mut changes = f.registry.store().watch(&kcp_storage::Prefix::all(), f.registry.store().revision()).unwrap();
    // The client goes after it has asked: its request is dropped.
    let mut create = Box::pin(f.registry.create(&request, &body, &options));
    let asked = std::future::poll_fn(|cx| std::task::Poll::Ready(create.as_mut().poll(cx).is_pending())).await;
    drop(create);
    assert!(asked);
    while f.registry.types(&f.cluster).lookup("example.com", "v1", "things").is_none() {
        changes.next().await.unwrap();
    }
}

/// Changes the definition of things while one of them is being written: the largest size becomes 3, and is raised by
/// each further change.
#[derive(Default)]
struct Meddler {
    store: OnceLock<Store>,
    left: AtomicUsize,
}

impl Plugin for Meddler {
    fn name(&self) -> &'static str {
        "Meddler"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation != Operation::Delete
    }

    fn admit(&self, attributes: &Attributes<'_>, _: &mut Value, _: Option<&Value>) -> Result<(), Status> {
        let armed = || self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if attributes.resource == "things" && armed() {
            let store = self.store.get().unwrap().clone();
            let key = crate::crd::key(attributes.cluster, "things.example.com").unwrap();
            let mut definition: Value = serde_json::from_slice(&store.get(&key).unwrap().value).unwrap();
            let size = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/size";
            let size = definition.pointer_mut(size).unwrap();
            size["maximum"] = size["maximum"].as_i64().map_or(3, |max| max + 1).into();
            let put = Op::Put { key, value: crate::encode::encode(&definition), expect: Expect::Any };
            let commit = move || store.commit_blocking(Batch { ops: vec![put] }).unwrap();
            std::thread::spawn(commit).join().unwrap();
        }
        Ok(())
    }
}

/// What is stored was decided by the definition that is in force when it is stored.
#[tokio::test]
async fn a_write_begins_again_when_its_definition_changes() {
    let meddler = Arc::new(Meddler::default());
    let f = Fixture::with(Window::default(), Chain::new(vec![meddler.clone()])).await;
    assert!(meddler.store.set(f.registry.store().clone()).is_ok());
    f.define_things().await;
    let thing = |size: i64| json!({"metadata": {"name": "t"}, "spec": {"size": size}});
    // Each verb, an object that it starts with, and whether a size of 5 is stored after so many changes: the first makes
    // it wrong, the third right again.
    for (changes, code) in [(0, 200), (1, 422), (2, 422), (3, 200), (50, 409)] {
        for verb in ["create", "update", "patch", "apply", "apply new"] {
            let request = f.request(THINGS, "a");
            let named = request.clone().named("t");
            if !matches!(verb, "create" | "apply new") {
                f.make(THINGS, "a", thing(1)).await.unwrap();
            }
            meddler.left.store(changes, Ordering::SeqCst);
            let body = Fixture::body(&request, thing(5));
            let options = WriteOptions { field_manager: "tester".into(), ..Fixture::options() };
            let forced = WriteOptions { force: Some(true), ..options.clone() };
            let outcome = match verb {
                "create" => f.registry.create(&request, &body, &options).await,
                "update" => {
                    let mut whole = f.get(THINGS, "a", "t").await.unwrap();
                    whole["spec"]["size"] = 5.into();
                    f.registry.update(&named, &Body::from(&whole), &options).await
                }
                "patch" => f.registry.patch(&named, PatchKind::Merge, &Body::from(&thing(5)), &options).await,
                _ => f.registry.patch(&named, PatchKind::Apply, &body, &forced).await,
            };
            meddler.left.store(0, Ordering::SeqCst);
            assert_eq!(outcome.as_ref().map_or_else(|s| s.code, |_| 200), code, "{verb} {changes}: {outcome:?}");
            let size = f.get(THINGS, "a", "t").await.map(|t| t["spec"]["size"].clone());
            match (code, verb) {
                (200, _) => assert_eq!(size.unwrap(), 5),
                (_, "create" | "apply new") => assert_eq!(size.unwrap_err().code, 404),
                _ => assert_eq!(size.unwrap(), 1),
            }
            let _ = f.registry.delete(&named, &DeleteOptions::default()).await;
            let spec = json!({"size": {"type": "integer"}, "color": {"type": "string"}});
            patch(&f, "things.example.com", PatchKind::Merge, json!({"spec": things(spec)["spec"]})).await.unwrap();
        }
    }
}
