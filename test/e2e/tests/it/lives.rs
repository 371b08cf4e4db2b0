//! The lives of workspaces: born ready, emptied when they are deleted, and new in every respect when made again.

use std::collections::HashSet;

use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;
use kcp_apimachinery::GroupVersionResource;
use kcp_apis::{conditions, core::LOGICAL_CLUSTER};
use kcp_client::{DeleteParams, ListParams, Patch, WatchParams, WriteParams};
use kcp_test_framework::{Kcp, PATIENCE, gone, poll, until};
use serde_json::{Value, json};

use crate::support::{Raw, Result, Team, configmaps, gvr, namespaces, workspaces};

/// A workspace whose type has no initializer is ready in the answer to its creation, and works at once.
#[tokio::test]
async fn a_workspace_is_born_ready() -> Result {
    let kcp = Kcp::start(&[]).await?;
    let parent = kcp.client("root:default")?;
    let object = json!({"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": "team"}});
    let made = parent.create(&workspaces(), "", &object, &WriteParams::default()).await?;
    ensure!(made["status"]["phase"] == "Ready", "{made}");
    ensure!(made["spec"]["URL"] == format!("{}/clusters/root:default:team", kcp.url()), "{made}");
    let inside = kcp.client("root:default:team")?;
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
    inside.create(&configmaps(), "default", &config, &WriteParams::default()).await?;
    // By its id it is the same workspace (LC-01).
    let id = made["spec"]["cluster"].as_str().context("no id")?;
    kcp.client(id)?.get(&configmaps(), "default", "c").await?;
    // Things that charts wait for are there at once.
    inside.get(&gvr("", "serviceaccounts"), "default", "default").await?;
    inside.get(&configmaps(), "default", "kube-root-ca.crt").await.map(drop)?;
    Ok(())
}

#[tokio::test]
async fn deleted_and_made_again_is_new() -> Result {
    let kcp = Kcp::start(&[]).await?;
    let kubectl = kcp.kubectl()?;
    kubectl.ok(&["ws", "create", "team", "--enter"])?;
    kubectl.ok(&["create", "configmap", "old"])?;
    kubectl.apply(WIDGETS)?;
    kubectl.ok(&["create", "clusterrolebinding", "old", "--clusterrole=view", "--user=carol"])?;
    kubectl.ok(&["ws", "create", "child"])?;
    let parent = kcp.client("root:default")?;
    let first = parent.get(&workspaces(), "", "team").await?;
    let inside = kcp.client("root:default:team")?;
    let mut watch = inside.watch(&configmaps(), "default", &WatchParams::default()).await?;

    kubectl.ok(&["ws", ".."])?;
    kubectl.ok(&["delete", "workspace", "team"])?;
    gone(&parent, &workspaces(), "", "team").await?;
    // LC-08: watches end, and the id is nobody's.
    let ended = async { while let Some(Ok(_)) = watch.next().await {} };
    tokio::time::timeout(PATIENCE, ended).await.context("a watch in a workspace that is gone goes on")?;
    let id = first["spec"]["cluster"].as_str().context("no id")?.to_owned();
    let by_id = kcp.client(&id)?.get(&configmaps(), "default", "old").await;
    ensure!(by_id.as_ref().is_err_and(|e| e.is_not_found() || e.is_forbidden()), "{by_id:?}");

    kubectl.ok(&["ws", "create", "team", "--enter"])?;
    let second = parent.get(&workspaces(), "", "team").await?;
    for field in ["/spec/cluster", "/metadata/uid"] {
        ensure!(first.pointer(field) != second.pointer(field), "{field} is the same");
    }
    ensure!(inside.find(&configmaps(), "default", "old").await?.is_none());
    let refused = kubectl.fails(&["get", "widgets"])?;
    ensure!(refused.contains("the server doesn't have a resource type \"widgets\""), "{refused}");
    let bindings = gvr("rbac.authorization.k8s.io", "clusterrolebindings");
    ensure!(inside.find(&bindings, "", "old").await?.is_none());
    ensure!(inside.list(&workspaces(), "", &ListParams::default()).await?.items.is_empty());
    Ok(())
}

/// What must be done first is respected, and a condition says what remains.
#[tokio::test]
async fn finalizers_inside_hold_a_workspace() -> Result {
    let kcp = Kcp::start(&[]).await?;
    let kubectl = kcp.kubectl()?;
    kubectl.ok(&["ws", "create", "team", "--enter"])?;
    kubectl.apply("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: held\n  finalizers: [example.org/hold]\n")?;
    kubectl.ok(&["ws", ".."])?;
    kubectl.ok(&["delete", "workspace", "team", "--wait=false"])?;
    let parent = kcp.client("root:default")?;
    let says = |o: Option<&Value>| {
        o.and_then(|o| conditions::get(o, "WorkspaceContentDeleted")).is_some_and(|c| {
            c["status"] == "False" && c["message"].as_str().is_some_and(|m| m.contains("example.org/hold"))
        })
    };
    until(&parent, &workspaces(), "", "team", says).await?;
    // Nothing new is let in meanwhile.
    let inside = kcp.client("root:default:team")?;
    let child = json!({"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": "late"}});
    let late = inside.create(&workspaces(), "", &child, &WriteParams::default()).await;
    ensure!(late.as_ref().is_err_and(kcp_client::Error::is_forbidden), "{late:?}");
    let release = json!({"metadata": {"finalizers": null}});
    inside.patch(&configmaps(), "default", "held", "", &Patch::Merge(&release), &WriteParams::default()).await?;
    gone(&parent, &workspaces(), "", "team").await
}

/// Deletions reach what is stored in a version that is served no more (CRD-10, G-02, H-01).
#[tokio::test]
async fn what_was_stored_in_an_older_version_goes_too() -> Result {
    let kcp = Kcp::start(&[]).await?;
    let kubectl = kcp.kubectl()?;
    kubectl.ok(&["ws", "create", "team", "--enter"])?;
    kubectl.apply(WIDGETS)?;
    kubectl.ok(&["create", "namespace", "shop"])?;
    let inside = kcp.client("root:default:team")?;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}});
    let owner = inside.create(&configmaps(), "default", &owner, &WriteParams::default()).await?;
    let widget = |name: &str, meta: Value| {
        let mut widget = json!({"apiVersion": "example.org/v1", "kind": "Widget", "metadata": meta});
        widget["metadata"]["name"] = name.into();
        widget
    };
    let reference = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]});
    let (v1, v2) = (gvr("example.org", "widgets"), GroupVersionResource::new("example.org", "v2", "widgets"));
    for (namespace, object) in [
        ("shop", widget("a", json!({}))),
        ("default", widget("owned", json!({"ownerReferences": [reference]}))),
        ("default", widget("held", json!({"finalizers": ["example.org/hold"]}))),
        ("default", widget("free", json!({}))),
    ] {
        inside.create(&v1, namespace, &object, &WriteParams::default()).await?;
    }
    let crds = gvr("apiextensions.k8s.io", "customresourcedefinitions");
    let versions = |second_served: bool| {
        let version = |name: &str, served: bool, storage: bool| {
            json!({
                "name": name, "served": served, "storage": storage,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            })
        };
        json!({"spec": {"versions": [version("v1", false, false), version("v2", second_served, true)]}})
    };
    let change = async |second_served: bool| {
        let (patch, params) = (versions(second_served), WriteParams::default());
        inside.patch(&crds, "", "widgets.example.org", "", &Patch::Merge(&patch), &params).await.map(drop)
    };
    change(true).await?;
    inside.delete(&namespaces(), "", "shop", &DeleteParams::default()).await?;
    gone(&inside, &namespaces(), "", "shop").await.context("the namespace is stuck")?;
    inside.delete(&configmaps(), "default", "owner", &DeleteParams::default()).await?;
    gone(&inside, &v2, "default", "owned").await.context("the dependent is stuck")?;
    // With no version served nothing can be reached, but what nobody holds can go.
    change(false).await?;
    inside.delete(&crds, "", "widgets.example.org", &DeleteParams::default()).await?;
    until(&inside, &crds, "", "widgets.example.org", |o| {
        o.and_then(|o| conditions::get(o, "Terminating"))
            .is_some_and(|c| c["message"] == "CustomResource deletion is in progress: 1 instances remain")
    })
    .await?;
    change(true).await?;
    let release = json!({"metadata": {"finalizers": null}});
    inside.patch(&v2, "default", "held", "", &Patch::Merge(&release), &WriteParams::default()).await?;
    gone(&inside, &crds, "", "widgets.example.org").await.context("the definition is stuck")?;
    // The same for a workspace.
    kubectl.apply(WIDGETS)?;
    let held = widget("held", json!({"finalizers": ["example.org/hold"]}));
    inside.create(&v1, "default", &held, &WriteParams::default()).await?;
    change(true).await?;
    let parent = kcp.client("root:default")?;
    parent.delete(&workspaces(), "", "team", &DeleteParams::default()).await?;
    until(&inside, &v2, "default", "held", |o| o.is_some_and(kcp_apimachinery::object::is_deleting)).await?;
    inside.patch(&v2, "default", "held", "", &Patch::Merge(&release), &WriteParams::default()).await?;
    gone(&parent, &workspaces(), "", "team").await
}

/// An owner may be named by any group that serves it (H-02).
#[tokio::test]
async fn owners_are_found_whichever_group_names_them() -> Result {
    let kcp = Kcp::start(&[]).await?;
    let client = kcp.client("root:default")?;
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "type": "Normal", "reason": "R",
        "action": "A", "reportingController": "c.example.org/c", "reportingInstance": "i",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "regarding": {"kind": "Namespace", "name": "default", "namespace": "default"},
    });
    let event = client.create(&gvr("events.k8s.io", "events"), "default", &event, &WriteParams::default()).await?;
    for (name, uid) in [("kept", event["metadata"]["uid"].clone()), ("collected", "nobody's".into())] {
        let owner = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "name": "e", "uid": uid});
        let owned = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": [owner]},
        });
        client.create(&configmaps(), "default", &owned, &WriteParams::default()).await?;
    }
    // What came later is gone: so the other was looked at.
    gone(&client, &configmaps(), "default", "collected").await?;
    client.get(&configmaps(), "default", "kept").await.map(drop)?;
    Ok(())
}

/// An initializer of a type keeps its workspaces Initializing until somebody takes it away.
#[tokio::test]
async fn initializers_are_waited_for() -> Result {
    let kcp = Kcp::start(&[]).await?;
    let kubectl = kcp.kubectl()?;
    kubectl.ok(&["ws", "create", "dev", "--enter"])?;
    kubectl.apply(
        "apiVersion: tenancy.kcp.io/v1alpha1\nkind: WorkspaceType\nmetadata:\n  name: slow\nspec:\n  initializer: true\n",
    )?;
    let parent = kcp.client("root:default:dev")?;
    let object = json!({
        "apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": "team"},
        "spec": {"type": {"name": "slow", "path": "root:default:dev"}},
    });
    let made = parent.create(&workspaces(), "", &object, &WriteParams::default()).await?;
    ensure!(made["status"]["phase"] == "Initializing", "{made}");
    ensure!(made["status"]["initializers"] == json!(["root:default:dev:slow"]), "{made}");
    let refused = kubectl.fails(&["ws", "use", "team"])?;
    ensure!(refused.contains("workspace \"team\" is not ready"), "{refused}");
    let inside = kcp.client("root:default:dev:team")?;
    let done = json!({"status": {"initializers": []}});
    let params = WriteParams::default();
    inside.patch(&LOGICAL_CLUSTER.gvr(), "", "cluster", "status", &Patch::Merge(&done), &params).await?;
    until(&parent, &workspaces(), "", "team", |o| o.is_some_and(|o| o["status"]["phase"] == "Ready")).await?;
    kubectl.ok(&["ws", "use", "team"]).map(drop)
}

/// What a workspace had in physical clusters goes with it.
#[tokio::test]
async fn physical_objects_go_with_their_workspace() -> Result {
    let team = Team::start(&[], "").await?;
    team.namespace("shop").await?;
    team.deploy("shop", "web", 1).await?;
    let physical = Team::physical("shop");
    team.down.get(&namespaces(), "", &physical).await?;
    team.kubectl.ok(&["ws", ".."])?;
    team.kubectl.ok(&["delete", "workspace", "team", "--wait=false"])?;
    gone(&team.down, &namespaces(), "", &physical).await.with_context(|| team.cluster.syncer_logs())?;
    gone(&team.kcp.client("root:org")?, &workspaces(), "", "team").await
}

/// A whole tree goes at once, and nothing of it is left behind.
#[tokio::test]
async fn a_tree_is_deleted_with_its_root() -> Result {
    let kcp = Kcp::start(&[]).await?;
    let mut paths = vec!["root:default:top".to_owned()];
    let make = async |parent: &str, name: &str| -> Result<String> {
        let client = kcp.client(parent)?;
        let object = json!({"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": name}});
        client.create(&workspaces(), "", &object, &WriteParams::default()).await?;
        Ok(format!("{parent}:{name}"))
    };
    make("root:default", "top").await?;
    for depth in 0..3 {
        for parent in paths.clone().iter().filter(|p| p.matches(':').count() == depth + 2) {
            for name in ["a", "b"] {
                paths.push(make(parent, name).await?);
            }
        }
    }
    ensure!(paths.iter().collect::<HashSet<_>>().len() == 15);
    let parent = kcp.client("root:default")?;
    parent.delete(&workspaces(), "", "top", &DeleteParams::default()).await?;
    gone(&parent, &workspaces(), "", "top").await?;
    let raw = Raw::new(&kcp, &kcp.config()?.token.unwrap_or_default())?;
    for path in &paths {
        let answer = raw.get(&format!("/clusters/{path}/api/v1/namespaces")).await?;
        ensure!(answer.code == 404 || answer.code == 403, "{path} still answers {}", answer.code);
    }
    poll("an empty list over all workspaces", async || {
        let all = raw.get("/clusters/*/apis/core.kcp.io/v1alpha1/logicalclusters").await?.json();
        let left = all["items"].as_array().map_or(0, Vec::len);
        // root and root:default
        Ok((left == 2).then_some(()))
    })
    .await
}

pub(crate) const WIDGETS: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: widgets.example.org
spec:
  group: example.org
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList, shortNames: [wg], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Colour, type: string, jsonPath: .spec.colour, priority: 1}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            description: What is wanted.
            type: object
            properties:
              size: {type: integer, minimum: 0, maximum: 100}
              replicas: {type: integer, default: 1}
              colour: {type: string, enum: [red, green]}
          status: {type: object, properties: {replicas: {type: integer}}}
";
