//! Workspaces: birth, paths, types.

use std::sync::Arc;

use kcp_apimachinery::{UserInfo, user};
use kcp_apis::tenancy::WORKSPACE;
use kcp_logicalcluster::{ClusterName, ClusterRef};
use kcp_storage::{Batch, Expect, Key};
use serde_json::{Value, json};

use crate::{Registry, Request, testing::Fixture};

const WORKSPACES: &str = "tenancy.kcp.io/v1alpha1/workspaces";

async fn make_in(f: &Fixture, path: &str, name: &str, spec: Value) -> Result<Value, kcp_apimachinery::Status> {
    let cluster = resolve(&f.registry, path).unwrap();
    let request = f.request_in(&cluster, WORKSPACES, "");
    let body = Fixture::body(&request, json!({"metadata": {"name": name}, "spec": spec}));
    let written = f.registry.create(&request, &body, &Fixture::options()).await?;
    Ok(serde_json::from_slice(&written.object).unwrap())
}

fn resolve(registry: &Registry, path: &str) -> Option<ClusterName> {
    registry.tenancy().resolve(&ClusterRef::parse(path).unwrap()).map(|r| r.name)
}

fn read(f: &Fixture, cluster: &ClusterName, what: &str, namespace: &str, name: &str) -> Option<Value> {
    let request: Request = f.request_in(cluster, what, namespace).named(name);
    f.registry.read_one(&request).ok().map(|b| serde_json::from_slice(&b).unwrap())
}

/// What the deletion controller does at the end.
async fn purge(f: &Fixture, name: &str) {
    let child = resolve(&f.registry, &format!("root:{name}")).unwrap();
    let key = Key::object(&WORKSPACE.group_resource(), &f.cluster, "", name).unwrap();
    f.registry.store().commit(Batch::new().purge(child).delete(key, Expect::Any)).await.unwrap();
}

#[tokio::test]
async fn a_workspace_is_born_ready() {
    let f = Fixture::new().await;
    let before = f.registry.store().revision();
    let made = make_in(&f, "root", "telcops", json!({})).await.unwrap();
    assert_eq!(f.registry.store().revision(), before + 1, "one batch");
    assert_eq!(made["spec"]["type"], json!({"name": "organization", "path": "root"}));
    assert_eq!(made["spec"]["URL"], "https://kcp.test:6443/clusters/root:telcops");
    assert_eq!(
        (&made["status"]["phase"], &made["metadata"]["labels"]["tenancy.kcp.io/phase"]),
        (&json!("Ready"), &json!("Ready"))
    );
    let owner: UserInfo =
        serde_json::from_str(made["metadata"]["annotations"]["experimental.tenancy.kcp.io/owner"].as_str().unwrap())
            .unwrap();
    assert_eq!(owner.username, "tester");
    assert_eq!(made["metadata"]["finalizers"], json!(["core.kcp.io/logicalcluster"]));
    let child = resolve(&f.registry, "root:telcops").unwrap();
    assert_eq!(made["spec"]["cluster"], child.as_str());
    assert_eq!(resolve(&f.registry, child.as_str()), Some(child.clone()));
    assert_eq!(f.registry.tenancy().path(&child).unwrap().as_str(), "root:telcops");
    assert_eq!(f.registry.tenancy().owner(&child).as_deref(), Some("tester"));
    let logical = read(&f, &child, "core.kcp.io/v1alpha1/logicalclusters", "", "cluster").unwrap();
    assert_eq!(logical["spec"]["owner"]["uid"], made["metadata"]["uid"]);
    assert_eq!(logical["metadata"]["annotations"]["kcp.io/path"], "root:telcops");
    assert_eq!(logical["metadata"]["annotations"]["internal.tenancy.kcp.io/type"], "root:organization");
    for (what, namespace, name) in [
        ("v1/namespaces", "", "default"),
        ("v1/serviceaccounts", "default", "default"),
        ("v1/configmaps", "default", "kube-root-ca.crt"),
        ("rbac.authorization.k8s.io/v1/clusterrolebindings", "", "workspace-admin"),
    ] {
        assert!(read(&f, &child, what, namespace, name).is_some(), "{what}");
    }
    let user = UserInfo { username: "tester".into(), ..UserInfo::default() };
    let may = |cluster: &ClusterName| {
        let attributes = kcp_authorization::Attributes::resource(&user, "delete", "", "secrets");
        f.registry.rbac().policy(cluster).authorize(&attributes).is_allowed()
    };
    assert!(may(&child) && !may(&f.cluster));
}

#[tokio::test]
async fn types_say_where_workspaces_may_be() {
    let f = Fixture::new().await;
    make_in(&f, "root", "org", json!({"type": {"name": "organization"}})).await.unwrap();
    let team = make_in(&f, "root:org", "team-a", json!({"type": {"name": "team", "path": "root"}})).await.unwrap();
    assert_eq!(team["spec"]["URL"], "https://kcp.test:6443/clusters/root:org:team-a");
    let universal = make_in(&f, "root:org:team-a", "u", json!({})).await.unwrap();
    assert_eq!(universal["spec"]["type"]["name"], "universal");
    assert_eq!(universal["metadata"]["labels"]["workloads.kcp.dev/schedulable"], "true");
    for (path, kind) in [("root", "team"), ("root:org", "organization"), ("root:org", "root"), ("root:org", "nonsense")]
    {
        let error = make_in(&f, path, "x", json!({"type": {"name": kind}})).await.unwrap_err();
        assert_eq!(error.code, 403, "{path} {kind}: {error}");
    }
    assert_eq!(make_in(&f, "root", "Bad.Name", json!({})).await.unwrap_err().code, 422);
    assert_eq!(make_in(&f, "root", "org", json!({})).await.unwrap_err().code, 409);
    assert_eq!(resolve(&f.registry, "root:org:nothing"), None);
    assert_eq!(resolve(&f.registry, "nothing"), None);
    assert_eq!(resolve(&f.registry, "system:admin").unwrap().as_str(), "system:admin");
}

#[tokio::test]
async fn initializers_are_waited_for() {
    let f = Fixture::new().await;
    let types = f.request("tenancy.kcp.io/v1alpha1/workspacetypes", "");
    let body = Fixture::body(
        &types,
        json!({"metadata": {"name": "slow"}, "spec": {"initializer": true, "extend": {"with": [{"name": "universal", "path": "root"}]}}}),
    );
    f.registry.create(&types, &body, &Fixture::options()).await.unwrap();
    let made = make_in(&f, "root", "w", json!({"type": {"name": "slow"}})).await.unwrap();
    assert_eq!(
        (&made["status"]["phase"], &made["status"]["initializers"]),
        (&json!("Initializing"), &json!(["root:slow"]))
    );
    assert_eq!(made["metadata"]["labels"]["workloads.kcp.dev/schedulable"], "true", "of the type that it extends");
    // Who may write the status in the parent still does not say when it is done; the server does.
    let status = f.request(WORKSPACES, "").named("w").at_subresource("status");
    let patch = async |request: &Request, status: Value| {
        let body = crate::Body::from(&json!({"status": status}));
        f.registry.patch(request, crate::PatchKind::Merge, &body, &Fixture::options()).await
    };
    for (change, want) in [
        (json!({"phase": "Ready"}), "status.phase is set by the server"),
        (json!({"phase": "Deleting"}), "status.phase is set by the server"),
        (json!({"phase": null}), "cannot transition from \"Initializing\" to \"\""),
        (json!({"initializers": []}), "status.initializers is set by the server"),
        (json!({"initializers": ["root:slow", "root:more"]}), "status.initializers is set by the server"),
    ] {
        let error = patch(&status, change.clone()).await.unwrap_err();
        assert!(error.code == 403 && error.message.ends_with(want), "{change}: {error}");
    }
    let condition = json!([{"type": "Seen", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    patch(&status, json!({"conditions": condition})).await.unwrap();
    let server = UserInfo { groups: vec!["system:masters".into()], ..UserInfo::default() };
    let server = Request { user: server.into(), ..status.clone() };
    let ready = patch(&server, json!({"phase": "Ready", "initializers": []})).await.unwrap();
    let ready: Value = serde_json::from_slice(&ready.object).unwrap();
    assert_eq!(
        (&ready["status"]["phase"], &ready["metadata"]["labels"]["tenancy.kcp.io/phase"]),
        (&json!("Ready"), &json!("Ready"))
    );
}

#[tokio::test]
async fn what_the_server_sets_stays() {
    let f = Fixture::new().await;
    let made = make_in(&f, "root", "w", json!({})).await.unwrap();
    let request = f.request(WORKSPACES, "").named("w");
    let patch = |p: Value| {
        let (f, request) = (&f, &request);
        async move { f.registry.patch(request, crate::PatchKind::Merge, &crate::Body::from(&p), &Fixture::options()).await }
    };
    let error = patch(json!({"spec": {"cluster": "root"}})).await.unwrap_err();
    assert!(error.code == 422 && error.message.contains("spec.cluster"), "{error}");
    let error = patch(json!({"spec": {"type": {"name": "universal"}}})).await.unwrap_err();
    assert!(error.code == 403 && error.message.ends_with("spec.type is immutable"), "{error}");
    // As people write it in files that they apply again.
    patch(json!({"spec": {"type": {"name": "organization", "path": null}}})).await.unwrap();
    let kept = patch(json!({"spec": null, "metadata": {"annotations": null}})).await.unwrap();
    let kept: Value = serde_json::from_slice(&kept.object).unwrap();
    assert_eq!(kept["spec"], made["spec"]);
    assert_eq!(kept["metadata"]["annotations"], made["metadata"]["annotations"]);
}

#[tokio::test]
async fn a_path_outlives_its_logical_cluster() {
    let f = Fixture::new().await;
    make_in(&f, "root", "w", json!({})).await.unwrap();
    let first = resolve(&f.registry, "root:w").unwrap();
    let request = f.request(WORKSPACES, "").named("w");
    f.registry.delete(&request, &crate::DeleteOptions::default()).await.unwrap();
    assert_eq!(
        make_in(&f, "root:w", "child", json!({})).await.unwrap_err().code,
        403,
        "no children for a workspace that goes"
    );
    let free = crate::Body::from(&json!({"metadata": {"finalizers": null}}));
    f.registry.patch(&request, crate::PatchKind::Merge, &free, &Fixture::options()).await.unwrap();
    assert!(request.warnings.take()[0].contains("core.kcp.io/logicalcluster"));
    assert_eq!(resolve(&f.registry, "root:w"), Some(first.clone()), "nothing is left behind where nobody finds it");
    purge(&f, "w").await;
    assert_eq!(resolve(&f.registry, "root:w"), None);
    make_in(&f, "root", "w", json!({})).await.unwrap();
    assert_ne!(resolve(&f.registry, "root:w").unwrap(), first);
    // The index is rebuilt from what is stored.
    let again = crate::Tenancy::new(f.registry.store());
    assert_eq!(again.resolve(&ClusterRef::parse("root:w").unwrap()).map(|r| r.name), resolve(&f.registry, "root:w"));
    let _: Arc<crate::Tenancy> = again;
}

/// A create that was authorised before a workspace's end does not outlive it.
#[tokio::test]
async fn nothing_is_made_in_a_workspace_that_is_gone() {
    let f = Fixture::new().await;
    make_in(&f, "root", "w", json!({})).await.unwrap();
    let child = resolve(&f.registry, "root:w").unwrap();
    let make = |what: &str, namespace: &str, object: Value| {
        let request = f.request_in(&child, what, namespace);
        let body = Fixture::body(&request, object);
        let registry = f.registry.clone();
        async move { registry.create(&request, &body, &Fixture::options()).await.map(drop).map_err(|e| e.code) }
    };
    let role = || json!({"metadata": {"generateName": "r-"}, "rules": []});
    let (roles, maps) = ("rbac.authorization.k8s.io/v1/clusterroles", "v1/configmaps");
    assert_eq!(make(roles, "", role()).await, Ok(()));
    let request = f.request(WORKSPACES, "").named("w");
    f.registry.delete(&request, &crate::DeleteOptions::default()).await.unwrap();
    let logical = read(&f, &child, "core.kcp.io/v1alpha1/logicalclusters", "", "cluster").unwrap();
    assert!(logical["metadata"]["deletionTimestamp"].is_string(), "marked with its Workspace");
    assert_eq!(logical["status"]["phase"], "Deleting");
    assert_eq!(read(&f, &f.cluster, WORKSPACES, "", "w").unwrap()["status"]["phase"], "Deleting");
    assert_eq!(make(roles, "", role()).await, Err(403));
    assert_eq!(make(maps, "default", json!({"metadata": {"name": "m"}})).await, Err(403));
    // Who works finalizers off says so.
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}});
    assert_eq!(make("v1/events", "default", event).await, Ok(()));
    assert_eq!(make("coordination.k8s.io/v1/leases", "default", json!({"metadata": {"name": "l"}})).await, Ok(()));
    purge(&f, "w").await;
    assert_eq!(make(roles, "", role()).await, Err(404));
    assert!(f.registry.store().resources(&child).is_empty(), "nothing is left");
}

/// Creates and the end of their workspace, at the same time: whatever the order, nothing is left behind.
#[tokio::test]
async fn creates_race_the_end_of_their_workspace() {
    let f = Fixture::new().await;
    for round in 0..20 {
        let name = format!("w{round}");
        make_in(&f, "root", &name, json!({})).await.unwrap();
        let child = resolve(&f.registry, &format!("root:{name}")).unwrap();
        let mut work = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let request = f.request_in(&child, "rbac.authorization.k8s.io/v1/clusterroles", "");
            let body = Fixture::body(&request, json!({"metadata": {"generateName": "r-"}, "rules": []}));
            let registry = f.registry.clone();
            work.spawn(async move { registry.create(&request, &body, &Fixture::options()).await.map(drop) });
        }
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        purge(&f, &name).await;
        while let Some(done) = work.join_next().await {
            if let Err(status) = done.unwrap() {
                assert_eq!(status.code, 404, "{status}");
            }
        }
        assert!(f.registry.store().resources(&child).is_empty(), "round {round}");
    }
}

/// The object that describes a workspace from inside is not its administrator's to rewrite.
#[tokio::test]
async fn logical_clusters_are_the_servers() {
    let f = Fixture::new().await;
    let types = f.request("tenancy.kcp.io/v1alpha1/workspacetypes", "");
    let slow = json!({"metadata": {"name": "slow"}, "spec": {"initializer": true}});
    f.registry.create(&types, &Fixture::body(&types, slow), &Fixture::options()).await.unwrap();
    make_in(&f, "root", "w", json!({"type": {"name": "slow"}})).await.unwrap();
    let child = resolve(&f.registry, "root:w").unwrap();
    assert!(f.registry.tenancy().is_initializing(&child));
    let request = f.request_in(&child, "core.kcp.io/v1alpha1/logicalclusters", "").named("cluster");
    let patch = |subresource: &str, p: Value| {
        let request = request.clone().at_subresource(subresource);
        let registry = f.registry.clone();
        async move { registry.patch(&request, crate::PatchKind::Merge, &crate::Body::from(&p), &Fixture::options()).await }
    };
    for (subresource, change, want) in [
        ("", json!({"spec": {"directlyDeletable": true}}), "spec is set by the server"),
        ("", json!({"spec": {"owner": null}}), "spec is set by the server"),
        ("status", json!({"status": {"phase": "Ready"}}), "status.phase is set by the server"),
        (
            "status",
            json!({"status": {"phase": "Scheduling"}}),
            "cannot transition from \"Initializing\" to \"Scheduling\"",
        ),
        ("status", json!({"status": {"URL": "https://elsewhere"}}), "status.URL is set by the server"),
        (
            "status",
            json!({"status": {"initializers": ["root:slow", "root:more"]}}),
            "status.initializers must not grow",
        ),
    ] {
        let error = patch(subresource, change.clone()).await.unwrap_err();
        assert!(error.code == 403 && error.message.ends_with(want), "{change}: {error}");
    }
    let kept = patch("", json!({"metadata": {"annotations": null}})).await.unwrap();
    let kept: Value = serde_json::from_slice(&kept.object).unwrap();
    assert_eq!(kept["metadata"]["annotations"]["internal.tenancy.kcp.io/type"], "root:slow");
    let error = f.registry.delete(&request, &crate::DeleteOptions::default()).await.unwrap_err();
    assert!(error.code == 403 && error.message.ends_with("LogicalCluster cannot be deleted"), "{error}");
    let another = Fixture::body(&request, json!({"metadata": {"name": "another"}}));
    let collection = f.request_in(&child, "core.kcp.io/v1alpha1/logicalclusters", "");
    assert_eq!(f.registry.create(&collection, &another, &Fixture::options()).await.unwrap_err().code, 403);
    // Whoever may initialize workspaces of the type signs off; here nobody says no.
    let done = patch("status", json!({"status": {"initializers": []}})).await.unwrap();
    let done: Value = serde_json::from_slice(&done.object).unwrap();
    assert_eq!(done["status"]["initializers"], json!([]));
}

#[tokio::test]
async fn some_names_are_reserved() {
    let f = Fixture::new().await;
    for name in ["root", "system", "users"] {
        let error = make_in(&f, "root", name, json!({})).await.unwrap_err();
        assert!(error.code == 422 && error.message.contains("reserved"), "{error}");
    }
    make_in(&f, "root", "w", json!({})).await.unwrap();
    make_in(&f, "root:w", "users", json!({})).await.unwrap();
}

/// A service account has another name in the workspace that it makes, where its own is free for everybody.
#[tokio::test]
async fn a_service_account_owns_what_it_makes() {
    let f = Fixture::new().await;
    let account = UserInfo {
        username: "system:serviceaccount:a:bot".into(),
        groups: vec![user::AUTHENTICATED.into()],
        extra: [(user::EXTRA_CLUSTER.to_owned(), vec!["root".to_owned()])].into(),
        ..UserInfo::default()
    };
    let mut request = f.request(WORKSPACES, "");
    request.user = Arc::new(account.clone());
    let body = Fixture::body(&request, json!({"metadata": {"name": "w"}}));
    f.registry.create(&request, &body, &Fixture::options()).await.unwrap();
    let child = resolve(&f.registry, "root:w").unwrap();
    let binding = read(&f, &child, "rbac.authorization.k8s.io/v1/clusterrolebindings", "", "workspace-admin").unwrap();
    assert_eq!(binding["subjects"][0]["name"], "system:kcp:serviceaccount:root:a:bot");
    let tenancy = f.registry.tenancy();
    assert!(tenancy.is_owner(&child, &account));
    let person = UserInfo { extra: [].into(), ..account.clone() };
    let elsewhere = UserInfo { extra: [(user::EXTRA_CLUSTER.to_owned(), vec!["x".to_owned()])].into(), ..account };
    assert!(!tenancy.is_owner(&child, &person) && !tenancy.is_owner(&child, &elsewhere));
}

#[tokio::test]
async fn everybody_has_a_home() {
    let f = Fixture::new().await;
    let home = |name: &str, extra: Option<&str>| {
        let mut request = f.request(WORKSPACES, "").named("~");
        request.user = Arc::new(UserInfo {
            username: name.into(),
            groups: vec![user::AUTHENTICATED.into()],
            extra: extra.map(|e| (user::EXTRA_CLUSTER.to_owned(), vec![e.to_owned()])).into_iter().collect(),
            ..UserInfo::default()
        });
        let registry = f.registry.clone();
        async move { registry.get(&request, "").await.map(|b| serde_json::from_slice::<Value>(&b).unwrap()) }
    };
    let alice = home("alice", None).await.unwrap();
    assert_eq!(alice["spec"]["URL"], "https://kcp.test:6443/clusters/root:users:alice");
    assert_eq!((&alice["spec"]["type"]["name"], &alice["status"]["phase"]), (&json!("home"), &json!("Ready")));
    let revision = f.registry.store().revision();
    assert_eq!(home("alice", None).await.unwrap(), alice);
    assert_eq!(f.registry.store().revision(), revision, "the second time it is there");
    let child = resolve(&f.registry, "root:users:alice").unwrap();
    let logical = read(&f, &child, "core.kcp.io/v1alpha1/logicalclusters", "", "cluster").unwrap();
    assert_eq!(logical["spec"]["directlyDeletable"], true);
    let mail = home("alice@example.com", None).await.unwrap();
    assert_ne!(mail["spec"]["cluster"], alice["spec"]["cluster"]);
    assert_eq!(home("system:serviceaccount:a:b", Some("root")).await.unwrap_err().code, 403);
    // A workspace of the name that is somebody else's is nobody's home.
    let error = make_in(&f, "root:users", "bob", json!({"type": {"name": "home", "path": "root"}})).await.map(drop);
    assert_eq!(error, Ok(()), "without authorisation, as here");
    assert_eq!(home("bob", None).await.unwrap_err().code, 403);
    // Elsewhere there are no homes.
    assert_eq!(make_in(&f, "root", "h", json!({"type": {"name": "home"}})).await.unwrap_err().code, 403);
    // Who owns it deletes it from inside.
    let request = f.request_in(&child, "core.kcp.io/v1alpha1/logicalclusters", "").named("cluster");
    f.registry.delete(&request, &crate::DeleteOptions::default()).await.unwrap();
    let logical = read(&f, &child, "core.kcp.io/v1alpha1/logicalclusters", "", "cluster").unwrap();
    assert!(logical["metadata"]["deletionTimestamp"].is_string(), "the controller does the rest");
}

#[tokio::test]
async fn watches_end_with_their_logical_cluster() {
    // LC-08
    let f = Fixture::new().await;
    make_in(&f, "root", "w", json!({})).await.unwrap();
    let child = resolve(&f.registry, "root:w").unwrap();
    let request = f.request_in(&child, "v1/configmaps", "");
    let mut stream = f.registry.watch(&request, &crate::ListOptions::default()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().len(), 1);
    f.registry.store().commit(kcp_storage::Batch::new().purge(child)).await.unwrap();
    let last = stream.next().await.unwrap();
    assert_eq!((last.len(), last[0].kind), (1, crate::WatchEventType::Deleted));
    assert!(stream.next().await.is_none());
}
