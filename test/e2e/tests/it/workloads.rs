//! What people do after the story: change and delete what runs in a physical cluster.

use anyhow::ensure;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use kcp_apimachinery::object;
use kcp_client::{Client, Config, ListParams, Patch, WriteParams};
use kcp_test_framework::{gone, until};
use serde_json::{Value, json};

use crate::support::{Result, Team, configmaps, deployments, gvr, namespaces};

#[tokio::test]
async fn objects_go_down_and_status_comes_up() -> Result {
    let team = Team::start(&[], "").await?;
    team.namespace("shop").await?;
    let there = Team::physical("shop");
    team.deploy("shop", "web", 1).await?;

    // Scaling goes through the subresource (B-02), an image through a strategic merge patch.
    team.kubectl.ok(&["-n", "shop", "scale", "deployment", "web", "--replicas=3"])?;
    team.available("shop", "web", 3).await?;
    team.kubectl.ok(&["-n", "shop", "set", "image", "deployment/web", "web=example.org/web:2"])?;
    let image = |o: Option<&Value>| {
        o.and_then(|o| o.pointer("/spec/template/spec/containers/0/image")).is_some_and(|i| i == "example.org/web:2")
    };
    until(&team.down, &deployments(), &there, "web", image).await?;
    team.available("shop", "web", 3).await?;
    let pods = team.east.ok(&["-n", &there, "get", "pods", "-l", "app=web", "--no-headers"])?;
    ensure!(pods.lines().filter(|l| l.contains("Running")).count() >= 3, "{pods}");

    // ConfigMaps and Secrets, made and changed.
    team.kubectl.ok(&["-n", "shop", "create", "configmap", "prices", "--from-literal=apple=1"])?;
    team.kubectl.ok(&["-n", "shop", "create", "secret", "generic", "login", "--from-literal=password=pear"])?;
    let apple = |price: &'static str| move |o: Option<&Value>| o.is_some_and(|o| o["data"]["apple"] == price);
    until(&team.down, &configmaps(), &there, "prices", apple("1")).await?;
    until(&team.down, &gvr("", "secrets"), &there, "login", |o| o.is_some()).await?;
    team.kubectl.ok(&["-n", "shop", "patch", "configmap", "prices", "-p", "{\"data\":{\"apple\":\"2\"}}"])?;
    until(&team.down, &configmaps(), &there, "prices", apple("2")).await?;

    // What somebody changes or deletes down there is put right.
    team.east.ok(&["-n", &there, "patch", "configmap", "prices", "-p", "{\"data\":{\"apple\":\"9\"}}"])?;
    until(&team.down, &configmaps(), &there, "prices", apple("2")).await?;

    // The names that a physical cluster has itself are moved out of the way.
    until(&team.down, &configmaps(), &there, "kcp-root-ca.crt", |o| o.is_some()).await?;
    until(&team.down, &gvr("", "serviceaccounts"), &there, "kcp-default", |o| o.is_some()).await?;

    team.kubectl.ok(&["-n", "shop", "delete", "configmap", "prices"])?;
    gone(&team.down, &configmaps(), &there, "prices").await?;
    team.kubectl.ok(&["-n", "shop", "delete", "deployment", "web"])?;
    gone(&team.down, &deployments(), &there, "web").await?;
    team.kubectl.ok(&["delete", "namespace", "shop"])?;
    gone(&team.down, &namespaces(), "", &there).await
}

/// The manifest of a namespace that opts out of scheduling.
fn unscheduled(name: &str) -> String {
    let disabled = "experimental.workloads.kcp.dev/scheduling-disabled";
    format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels:\n    {disabled}: \"true\"\n")
}

#[tokio::test]
async fn a_namespace_that_opts_out_stays() -> Result {
    let team = Team::start(&[], "").await?;
    team.kubectl.apply(&unscheduled("here"))?;
    team.namespace("there").await?;
    // The one made later was assigned, so the controller has passed by this one.
    let here = team.up.get(&namespaces(), "", "here").await?;
    ensure!(object::label(&here, "workloads.kcp.dev/cluster").is_none(), "{here}");

    // Cordoned: what is there stays, nothing new comes.
    team.kubectl.ok(&["-n", "there", "create", "configmap", "kept"])?;
    until(&team.down, &configmaps(), &Team::physical("there"), "kept", |o| o.is_some()).await?;
    team.kubectl.ok(&["kcp", "workload", "cordon", "east"])?;
    team.kubectl.ok(&["create", "namespace", "later"])?;
    let unschedulable = |o: Option<&Value>| {
        o.and_then(|o| kcp_apis::conditions::get(o, "NamespaceScheduled"))
            .is_some_and(|c| c["status"] == "False" && c["reason"] == "Unschedulable")
    };
    until(&team.up, &namespaces(), "", "later", unschedulable).await?;
    team.up.get(&namespaces(), "", "there").await?;
    team.down.get(&configmaps(), &Team::physical("there"), "kept").await?;
    team.kubectl.ok(&["kcp", "workload", "uncordon", "east"])?;
    let assigned = |o: Option<&Value>| o.is_some_and(|o| object::label(o, "workloads.kcp.dev/cluster") == Some("east"));
    until(&team.up, &namespaces(), "", "later", assigned).await.map(drop)
}

/// What a stolen credential of a syncer is good for: reading what is meant for its cluster and writing status.
#[tokio::test]
async fn a_syncers_credential_is_bounded() -> Result {
    let team = Team::start(&[], "").await?;
    team.namespace("shop").await?;
    team.deploy("shop", "web", 1).await?;
    team.kubectl.apply(&unscheduled("private"))?;
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "canary"}, "stringData": {"a": "b"}});
    team.up.create(&gvr("", "secrets"), "private", &secret, &WriteParams::default()).await?;

    let namespace = kcp_apis::identity::syncer_id(Team::PATH, "east");
    let config = team.down.get(&gvr("", "secrets"), &namespace, "kcp-syncer-config").await?;
    let text = STANDARD.decode(config["data"]["kubeconfig"].as_str().unwrap_or_default())?;
    let text = String::from_utf8(text)?;
    let config = Config::from_kubeconfig_text(&text, "", std::path::Path::new("syncer"))?;
    let server = Client::new(&config)?;
    let syncer = server.cluster(Team::PATH);

    let selector = |s: &str| ListParams { label_selector: Some(s.to_owned()), ..ListParams::default() };
    let mine = selector("workloads.kcp.dev/cluster=east");
    ensure!(!syncer.list(&deployments(), "", &mine).await?.items.is_empty());
    let secrets = gvr("", "secrets");
    for (what, outcome) in [
        ("all secrets", syncer.list(&secrets, "", &ListParams::default()).await.map(drop)),
        ("another's secrets", syncer.list(&secrets, "", &selector("workloads.kcp.dev/cluster=other")).await.map(drop)),
        ("another's secret", syncer.get(&secrets, "private", "canary").await.map(drop)),
        ("roles", syncer.list(&gvr("rbac.authorization.k8s.io", "clusterroles"), "", &mine).await.map(drop)),
        ("another workspace", server.cluster("root:org").list(&configmaps(), "", &mine).await.map(drop)),
        (
            "writing a spec",
            syncer
                .patch(
                    &deployments(),
                    "shop",
                    "web",
                    "",
                    &Patch::Merge(&json!({"spec": {"replicas": 5}})),
                    &WriteParams::default(),
                )
                .await
                .map(drop),
        ),
        (
            "deleting",
            syncer.delete(&deployments(), "shop", "web", &kcp_client::DeleteParams::default()).await.map(drop),
        ),
        ("making", syncer.create(&secrets, "shop", &secret, &WriteParams::default()).await.map(drop)),
    ] {
        let error = outcome.err();
        ensure!(error.as_ref().is_some_and(kcp_client::Error::is_forbidden), "{what} was not refused: {error:?}");
    }
    let status = json!({"status": {"observedGeneration": 1}});
    syncer.patch(&deployments(), "shop", "web", "status", &Patch::Merge(&status), &WriteParams::default()).await?;
    Ok(())
}
