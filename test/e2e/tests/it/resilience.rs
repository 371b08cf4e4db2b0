//! Either side goes away: nothing is written twice, nothing is lost, and people are told.

use anyhow::{Context as _, ensure};
use kcp_apimachinery::time::{Timestamp, parse_rfc3339};
use kcp_apis::conditions;
use kcp_test_framework::{Signal, poll, signal, until};
use serde_json::Value;

use crate::support::{Result, Team, configmaps, deployments, gvr, namespaces};

/// W14: what is in step stays untouched when a syncer starts again.
#[tokio::test]
async fn a_syncer_that_is_killed_writes_nothing_twice() -> Result {
    let team = Team::start(&[], "").await?;
    team.namespace("shop").await?;
    team.deploy("shop", "web", 2).await?;
    let there = Team::physical("shop");
    for i in 0..20 {
        team.kubectl.ok(&["-n", "shop", "create", "configmap", &format!("c{i}")])?;
    }
    until(&team.down, &configmaps(), &there, "c19", |o| o.is_some()).await?;
    let types = [configmaps(), deployments(), gvr("", "secrets"), gvr("", "serviceaccounts"), gvr("", "pods")];
    let mut before = Vec::new();
    for gvr in &types {
        before.push(team.versions(gvr, "shop").await?);
    }
    let upstream = team.up.get(&deployments(), "shop", "web").await?;

    let killed = team.cluster.syncers();
    ensure!(killed.len() == 1, "one syncer should run, not {killed:?}");
    signal(killed[0], Signal::KILL)?;
    poll("the kubelet starting the syncer again", async || {
        Ok(team.cluster.syncers().into_iter().find(|id| !killed.contains(id)))
    })
    .await?;
    // Something new passes, so the new syncer has gone through everything that was there.
    team.kubectl.ok(&["-n", "shop", "create", "configmap", "fresh"])?;
    until(&team.down, &configmaps(), &there, "fresh", |o| o.is_some()).await?;
    for (gvr, before) in types.iter().zip(before) {
        let mut after = team.versions(gvr, "shop").await?;
        after.retain(|(name, _)| name != "fresh");
        ensure!(after == before, "{} were written again: {before:?} became {after:?}", gvr.resource);
    }
    let now = team.up.get(&deployments(), "shop", "web").await?;
    ensure!(
        now["metadata"]["resourceVersion"] == upstream["metadata"]["resourceVersion"],
        "the status was written again"
    );
    Ok(())
}

/// Nothing is deleted before a complete list of the other side is held; what was deleted meanwhile goes.
#[tokio::test]
async fn what_changes_while_the_syncer_is_away_is_made_up_for() -> Result {
    let team = Team::start(&[], "").await?;
    team.namespace("shop").await?;
    let there = Team::physical("shop");
    for name in ["kept", "changed", "removed"] {
        team.kubectl.ok(&["-n", "shop", "create", "configmap", name, "--from-literal=n=1"])?;
        until(&team.down, &configmaps(), &there, name, |o| o.is_some()).await?;
    }
    let syncer = *team.cluster.syncers().first().context("no syncer runs")?;
    signal(syncer, Signal::STOP)?;
    team.kubectl.ok(&["-n", "shop", "delete", "configmap", "removed"])?;
    team.kubectl.ok(&["-n", "shop", "patch", "configmap", "changed", "-p", "{\"data\":{\"n\":\"2\"}}"])?;
    signal(syncer, Signal::KILL)?;
    kcp_test_framework::gone(&team.down, &configmaps(), &there, "removed").await?;
    until(&team.down, &configmaps(), &there, "changed", |o| o.is_some_and(|o| o["data"]["n"] == "2")).await?;
    team.down.get(&configmaps(), &there, "kept").await.map(drop).context("a ConfigMap that nobody deleted is gone")
}

#[tokio::test]
async fn a_physical_cluster_that_is_away_is_shown() -> Result {
    let team = Team::start(&["--workload-cluster-heartbeat-threshold", "3s"], "").await?;
    team.namespace("shop").await?;
    team.deploy("shop", "web", 1).await?;

    team.cluster.freeze()?;
    let away = team.until_ready("False").await?;
    let ready = conditions::get(&away, "Ready").cloned().unwrap_or_default();
    ensure!(ready["reason"] == "ErrorHeartbeat", "{ready}");
    let message = ready["message"].as_str().unwrap_or_default();
    let heard = away["status"]["lastSyncerHeartbeatTime"].as_str().unwrap_or_default();
    ensure!(!heard.is_empty() && message.starts_with("No heartbeat since "), "{ready}");
    let shown = team.kubectl.run(&["get", "workloadclusters"])?.rows();
    ensure!(shown.iter().any(|r| r == "east east False"), "{shown:?}");

    team.cluster.thaw()?;
    team.until_ready("True").await?;
    team.kubectl.ok(&["-n", "shop", "scale", "deployment", "web", "--replicas=2"])?;
    team.available("shop", "web", 2).await
}

/// While kcp is stopped nobody can be heard. Whoever stays away is told nevertheless, once there was time to come back.
#[tokio::test]
async fn a_stop_of_kcp_is_nobodys_silence() -> Result {
    let team = Team::start(&["--workload-cluster-heartbeat-threshold", "3s"], "").await?;
    let kcp = team.kcp.pid().context("kcp does not run")?;
    team.cluster.freeze()?;
    signal(kcp, Signal::STOP)?;
    let stopped = Timestamp::now();
    poll("the last heartbeat being out of date", async || {
        Ok((Timestamp::now().seconds_since(stopped) > 4).then_some(()))
    })
    .await?;
    signal(kcp, Signal::CONT)?;
    let resumed = Timestamp::now();
    let away = team.until_ready("False").await?;
    let told = conditions::get(&away, "Ready").and_then(|c| parse_rfc3339(c["lastTransitionTime"].as_str()?));
    let waited = told.context("no time of transition")?.seconds_since(resumed);
    ensure!(waited >= 2, "it was told {waited} s after kcp went on");
    team.cluster.thaw()?;
    team.until_ready("True").await.map(drop)
}

#[tokio::test]
async fn kcp_is_killed_and_started_again() -> Result {
    let mut team = Team::start(&[], "").await?;
    team.namespace("shop").await?;
    team.deploy("shop", "web", 1).await?;
    let there = Team::physical("shop");
    team.kubectl.ok(&["-n", "shop", "create", "configmap", "prices", "--from-literal=apple=1"])?;
    until(&team.down, &configmaps(), &there, "prices", |o| o.is_some()).await?;
    let versions = team.versions(&deployments(), "shop").await?;
    let workspace = |v: &Value| v["spec"]["cluster"].clone();
    let before = team.kcp.client("root:org")?.get(&crate::support::workspaces(), "", "team").await?;

    team.kcp.kill().await?;
    team.kcp.restart().await?;
    // Everything is there, under the same identity, and the old connection's client finds the server again.
    let after = team.kcp.client("root:org")?.get(&crate::support::workspaces(), "", "team").await?;
    ensure!(workspace(&before) == workspace(&after));
    let rows = team.kubectl.run(&["-n", "shop", "get", "deployments,configmaps", "-o", "name"])?.rows();
    for name in ["deployment.apps/web", "configmap/prices"] {
        ensure!(rows.iter().any(|r| r == name), "{name} is missing: {rows:?}");
    }
    // The syncer comes back by itself and goes on, without having touched anything.
    team.kubectl.ok(&["-n", "shop", "create", "configmap", "fresh"])?;
    until(&team.down, &configmaps(), &there, "fresh", |o| o.is_some())
        .await
        .with_context(|| team.cluster.syncer_logs())?;
    ensure!(team.versions(&deployments(), "shop").await? == versions, "the deployment was written again");
    team.kubectl.ok(&["-n", "shop", "scale", "deployment", "web", "--replicas=2"])?;
    team.available("shop", "web", 2).await?;
    ensure!(team.kcp.stop().await? == Some(0), "SIGTERM must end it cleanly");
    Ok(())
}

/// The running syncer holds a credential of the earlier registration: applying the new manifest replaces it.
#[tokio::test]
async fn a_cluster_that_is_registered_anew_is_served() -> Result {
    let team = Team::start(&[], "").await?;
    team.namespace("shop").await?;
    team.kubectl.ok(&["-n", "shop", "create", "configmap", "prices"])?;
    let there = Team::physical("shop");
    until(&team.down, &configmaps(), &there, "prices", |o| o.is_some()).await?;
    team.kubectl.ok(&["delete", "workloadcluster", "east"])?;
    kcp_test_framework::gone(&team.down, &namespaces(), "", &there).await?;

    team.cluster.join(&team.kubectl, "east", "")?;
    let logs = || team.cluster.syncer_logs();
    team.until_ready("True").await.with_context(logs)?;
    until(&team.down, &configmaps(), &there, "prices", |o| o.is_some()).await.with_context(logs).map(drop)
}
