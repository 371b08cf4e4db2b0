//! Learning APIs from physical clusters.

use anyhow::{Context as _, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use kcp_apis::{conditions, workload::WORKLOAD_CLUSTER};
use kcp_client::DeleteParams;
use kcp_test_framework::{gone, until};
use serde_json::Value;

use crate::support::{Result, Team, configmaps, gvr};

/// The physical cluster lacks one of the requested types: the others sync, and a condition says which is missing.
#[tokio::test]
async fn a_missing_type_stops_nothing() -> Result {
    let team = Team::start(&[], "services,gadgets.example.org").await?;
    let says = |o: Option<&Value>| {
        o.and_then(|o| conditions::get(o, "SyncerReady")).is_some_and(|c| {
            c["status"] == "False"
                && c["reason"] == "ResourcesMissing"
                && c["message"].as_str().is_some_and(|m| m.contains("gadgets.example.org"))
        })
    };
    until(&team.up, &WORKLOAD_CLUSTER.gvr(), "", "east", says).await?;
    team.namespace("shop").await?;
    team.deploy("shop", "web", 1).await?;
    team.kubectl.ok(&["-n", "shop", "create", "configmap", "prices"])?;
    until(&team.down, &configmaps(), &Team::physical("shop"), "prices", |o| o.is_some()).await?;
    // A core type is learned too, under /api/v1 (1.9).
    team.kubectl.ok(&["-n", "shop", "create", "service", "clusterip", "web", "--tcp=80:80"])?;
    until(&team.down, &gvr("", "services"), &Team::physical("shop"), "web", |o| o.is_some()).await?;

    // When the type appears, nobody has to be told.
    team.east.apply(GADGETS)?;
    let well = |o: Option<&Value>| o.is_some_and(|o| conditions::is_true(o, "SyncerReady"));
    until(&team.up, &WORKLOAD_CLUSTER.gvr(), "", "east", well).await?;
    team.kubectl.apply(
        "apiVersion: example.org/v1\nkind: Gadget\nmetadata:\n  name: g\n  namespace: shop\nspec:\n  size: 3\n",
    )?;
    until(&team.down, &gvr("example.org", "gadgets"), &Team::physical("shop"), "g", |o| {
        o.is_some_and(|o| o["spec"]["size"] == 3)
    })
    .await
    .map(drop)
}

/// What one workspace learned stays there, and goes with the physical cluster that it came from.
#[tokio::test]
async fn what_was_learned_goes_with_the_last_import() -> Result {
    let team = Team::start(&[], "").await?;
    let imports = team.kubectl.run(&["get", "apiresourceimports", "-o", "name"])?.rows();
    ensure!(imports.iter().any(|i| i.ends_with("deployments.east.v1.apps")), "{imports:?}");
    let negotiated = team.kubectl.run(&["get", "negotiatedapiresources", "-o", "name"])?.rows();
    ensure!(negotiated.iter().any(|i| i.ends_with("deployments.v1.apps")), "{negotiated:?}");
    let explained = team.kubectl.ok(&["explain", "deployment.spec.replicas"])?;
    ensure!(explained.contains("<integer>"), "{explained}");

    team.kubectl.ok(&["ws", ".."])?;
    team.kubectl.ok(&["ws", "create", "other", "--enter"])?;
    let refused = team.kubectl.fails(&["get", "deployments"])?;
    ensure!(refused.contains("the server doesn't have a resource type \"deployments\""), "{refused}");

    team.up.delete(&WORKLOAD_CLUSTER.gvr(), "", "east", &DeleteParams::default()).await?;
    let crd = gvr("apiextensions.k8s.io", "customresourcedefinitions");
    gone(&team.up, &WORKLOAD_CLUSTER.gvr(), "", "east").await?;
    gone(&team.up, &crd, "", "deployments.apps").await
}

/// The rules of the command that prints the syncer's manifest (1.7).
#[tokio::test]
async fn the_sync_command_checks_its_arguments() -> Result {
    let kcp = kcp_test_framework::Kcp::start(&[]).await?;
    let kubectl = kcp.kubectl()?;
    kubectl.ok(&["ws", "create", "team", "--enter"])?;
    let sync = ["kcp", "workload", "sync", "east"];
    let image = "--syncer-image=example.org/syncer:1";
    for (flags, error) in [
        (vec![], "a value must be specified for --syncer-image"),
        (vec![image, "--replicas=2"], "only 0 and 1 are allowed as --replicas values"),
        (vec![image, "--replicas=-1"], "a non-negative value must be specified for --replicas"),
        (vec![image, "--kcp-namespace="], "a value must be specified for --kcp-namespace"),
        (vec![image, "--insecure-skip-tls-verify"], "use a context with the certificate authority"),
    ] {
        let text = kubectl.fails(&[&sync[..], &flags].concat())?;
        ensure!(text.contains(error), "{flags:?}: {text}");
    }
    let manifest = kubectl.ok(&[&sync[..], &[image]].concat())?;
    let kinds: Vec<&str> = manifest.lines().filter_map(|l| l.strip_prefix("kind: ")).collect();
    ensure!(
        kinds == ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Secret", "Deployment"],
        "{kinds:?}"
    );
    let again = kubectl.ok(&[&sync[..], &[image]].concat())?;
    let without_token = |text: &str| text.lines().filter(|l| !l.contains("token:")).collect::<Vec<_>>().join("\n");
    ensure!(without_token(&manifest) == without_token(&again), "running it again must print the same");

    // Without a certificate authority in the context, the system's are asked.
    let mut config: Value = serde_json::from_str(&kubectl.ok(&["config", "view", "--raw", "-o", "json"])?)?;
    let mut authority = Value::Null;
    for entry in config["clusters"].as_array_mut().into_iter().flatten() {
        authority = entry["cluster"]["certificate-authority-data"].take();
    }
    let file = kcp.dir().join("system.crt");
    std::fs::write(&file, BASE64_STANDARD.decode(authority.as_str().context("no certificate authority")?)?)?;
    std::fs::write(kubectl.kubeconfig(), config.to_string())?;
    ensure!(!kubectl.fails(&[&sync[..], &[image]].concat())?.is_empty());
    let trusting = kubectl.with_env("SSL_CERT_FILE", file);
    let public = trusting.ok(&[&sync[..], &[image]].concat())?;
    ensure!(public.contains("server: https://") && !public.contains("certificate-authority"), "{public}");
    Ok(())
}

const GADGETS: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: gadgets.example.org
spec:
  group: example.org
  scope: Namespaced
  names: {plural: gadgets, singular: gadget, kind: Gadget, listKind: GadgetList}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {size: {type: integer}}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
";
