//! Workspaces: birth, paths, types.

use std::sync::Arc;

use kcp_apimachinery::UserInfo;
use kcp_logicalcluster::{ClusterName, ClusterRef};
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
    assert_eq!(resolve(&f.registry, "root:w"), None);
    make_in(&f, "root", "w", json!({})).await.unwrap();
    assert_ne!(resolve(&f.registry, "root:w").unwrap(), first);
    // The index is rebuilt from what is stored.
    let again = crate::Tenancy::new(f.registry.store());
    assert_eq!(again.resolve(&ClusterRef::parse("root:w").unwrap()).map(|r| r.name), resolve(&f.registry, "root:w"));
    let _: Arc<crate::Tenancy> = again;
}
