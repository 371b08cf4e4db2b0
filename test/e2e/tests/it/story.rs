//! The story, as `kcp playground --run-story` types it.

use std::time::Duration;

use anyhow::ensure;
use kcp_test_framework::{Kcp, plugins};

use crate::support::Result;

/// What the story's transcript shows, command by command: a command, and lines that must follow it. `$HOST` is the server.
/// The program has expectations of its own; these are kept apart from it on purpose.
const TRANSCRIPT: &[(&str, &[&str])] = &[
    ("kubectl ws use root", &["Current workspace is \"root\"."]),
    ("kubectl get workspaces", &["NAME TYPE PHASE URL", "default Organization Ready $HOST/clusters/root:default"]),
    (
        "curl -sk $HOST/clusters/root:default/",
        &[
            "\"kind\": \"Status\",",
            "\"metadata\": {},",
            "\"message\": \"forbidden: User \\\"system:anonymous\\\" cannot get path \\\"/\\\": \\\"root:default\\\" workspace access not permitted\",",
            "\"reason\": \"Forbidden\",",
            "\"details\": {},",
            "\"code\": 403",
        ],
    ),
    ("kubectl get workspaces", &["telcops Organization Ready $HOST/clusters/root:telcops"]),
    ("kubectl get workspaces", &["team-a Universal Ready $HOST/clusters/root:telcops:team-a"]),
    (
        "kubectl api-resources",
        &["configmaps cm v1 true ConfigMap", "workloadclusters workload.kcp.dev/v1alpha1 false WorkloadCluster"],
    ),
    ("kubectl get deployments", &["error: the server doesn't have a resource type \"deployments\""]),
    (
        "cat syncer-ocp-sno.yaml | grep '\\--resource'",
        &[
            "- --resources=configmaps",
            "- --resources=deployments.apps",
            "- --resources=secrets",
            "- --resources=serviceaccounts",
        ],
    ),
    ("kubectl api-resources | grep -i deployment", &["deployments deploy apps/v1 true Deployment"]),
    ("kubectl get namespace reverse-words -o jsonpath", &["ocp-sno"]),
    ("kubectl get pods", &["error: the server doesn't have a resource type \"pods\""]),
    (
        "kubectl -n reverse-words describe deployment reversewords",
        &[
            "Name: reversewords",
            "Namespace: reverse-words",
            "Labels: app=reversewords",
            "workloads.kcp.dev/cluster=ocp-sno",
            "Annotations: <none>",
            "Selector: app=reversewords",
            "Replicas: 1 desired | 1 updated | 1 total | 1 available | 0 unavailable",
            "StrategyType:",
            "MinReadySeconds: 0",
            "Image: quay.io/mavazque/reversewords:latest",
            "Available True MinimumReplicasAvailable",
            "Progressing True NewReplicaSetAvailable",
            "Events: <none>",
        ],
    ),
    (
        "kubectl --kubeconfig $SNO get pods -A -l app=reversewords",
        &["kcp3afd937aa61b43734af460119cd405930ccbdeade88b713fc804a0d6 reversewords-*"],
    ),
    ("kubectl get deployments", &["error: the server doesn't have a resource type \"deployments\""]),
    ("kubectl get namespace reverse-words -o jsonpath", &["ocp-ztp"]),
    (
        "kubectl --kubeconfig $ZTP get pods -A -l app=reversewords",
        &["kcpeed022296263aa537060763c3934139fb84185e2a39a8dcf8695c89e reversewords-*"],
    ),
];

#[tokio::test]
async fn the_story_runs() -> Result {
    let dir = tempfile::tempdir()?;
    plugins(&dir.path().join("bin"))?;
    let path = format!("{}:{}", dir.path().join("bin").display(), std::env::var("PATH")?);
    let exit = Kcp::run_to_end(
        &["playground", "--run-story"],
        dir.path(),
        &[("PATH", &path), ("NO_COLOR", "1")],
        Duration::from_secs(240),
    )
    .await?;
    ensure!(exit.code == Some(0), "the story ended with {:?}:\n{}\n{}", exit.code, exit.stdout, exit.stderr);

    let fold = |s: &str| s.split_whitespace().collect::<Vec<_>>().join(" ");
    let host = exit
        .stdout
        .split_whitespace()
        .find_map(|w| w.strip_suffix("/clusters/root:default").filter(|w| w.starts_with("https://")))
        .unwrap_or_default()
        .to_owned();
    // Blocks: a line "[ 1/41] $ command", then what it printed.
    let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
    for line in exit.stdout.lines() {
        // What a command prints need not end with a line break.
        let (printed, command) = match line.split_once("] $ ") {
            Some((head, command)) => (head.rsplit_once('[').map_or("", |(printed, _)| printed), Some(command)),
            None => (line, None),
        };
        if let Some(block) = blocks.last_mut().filter(|_| !printed.is_empty()) {
            block.1.push(fold(printed));
        }
        blocks.extend(command.map(|c| (c.to_owned(), Vec::new())));
    }
    let mut at = 0;
    for (command, lines) in TRANSCRIPT {
        let wanted: Vec<String> = lines.iter().map(|l| l.replace("$HOST", &host)).collect();
        let shows = |block: &(String, Vec<String>)| {
            block.0.starts_with(command)
                && wanted.iter().all(|w| match w.strip_suffix('*') {
                    Some(start) => block.1.iter().any(|l| l.starts_with(start)),
                    None => block.1.contains(w),
                })
        };
        let found = blocks[at..].iter().position(shows);
        let Some(found) = found else {
            panic!("after step {at}, `{command}` never shows {wanted:#?}:\n{}", exit.stdout)
        };
        at += found + 1;
    }
    ensure!(exit.stdout.contains("all as they should be."), "the story does not end:\n{}", exit.stdout);
    Ok(())
}
