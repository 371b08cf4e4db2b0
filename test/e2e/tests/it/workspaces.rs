//! `kubectl ws`, types of workspaces, and what is apart from what.

use anyhow::{Context as _, ensure};
use kcp_test_framework::{Kcp, Kubectl, poll};

use crate::{lives::WIDGETS, support::Result};

/// Runs `kubectl ws` and gives its one line.
fn ws(kubectl: &Kubectl, args: &[&str]) -> Result<String> {
    Ok(kubectl.ok(&[&["ws"], args].concat())?.trim_end().to_owned())
}

fn ws_fails(kubectl: &Kubectl, args: &[&str]) -> Result<String> {
    kubectl.fails(&[&["ws"], args].concat())
}

#[tokio::test]
async fn going_around() -> Result {
    let kcp = Kcp::start(&[]).await?;
    let kubectl = kcp.kubectl()?;
    for (args, want) in [
        (&["use", "root"][..], "Current workspace is \"root\"."),
        (
            &["create", "telcops", "--type", "Organization"],
            "Workspace \"telcops\" (type \"Organization\") created. Waiting for being ready.",
        ),
        (&["use", "telcops"], "Current workspace is \"root:telcops\" (type \"Organization\")."),
        (
            &["create", "team-a", "--enter"],
            "Workspace \"team-a\" (type \"Universal\") created. Waiting for being ready.\nCurrent workspace is \"root:telcops:team-a\" (type \"Universal\").",
        ),
        (&[], "Current workspace is \"root:telcops:team-a\"."),
        (&["."], "Current workspace is \"root:telcops:team-a\"."),
        (&["current", "--short"], "root:telcops:team-a"),
        (&[".."], "Current workspace is \"root:telcops\"."),
        (&["-"], "Current workspace is \"root:telcops:team-a\"."),
        (&["-"], "Current workspace is \"root:telcops\"."),
        (&["team-a"], "Current workspace is \"root:telcops:team-a\" (type \"Universal\")."),
        (&["..:.."], "Current workspace is \"root\"."),
        (&[":root:telcops"], "Current workspace is \"root:telcops\" (type \"Organization\")."),
        (&["root:telcops:team-a"], "Current workspace is \"root:telcops:team-a\" (type \"Universal\")."),
        (&["use", ".."], "Current workspace is \"root:telcops\"."),
        (&["create", "team-a", "--ignore-existing"], "Workspace \"team-a\" (type \"Universal\") already exists."),
        (&["create-context", "mine"], "Created context \"mine\" and switched to it."),
        (&["create-context", "mine", "--overwrite"], "Updated context \"mine\"."),
    ] {
        ensure!(ws(&kubectl, args)? == want, "ws {args:?}: {}", ws(&kubectl, &[])?);
    }
    let listed = kubectl.run(&["ws", "list"])?.rows();
    ensure!(listed.iter().any(|r| r.starts_with("team-a Universal Ready https://")), "{listed:?}");
    ws(&kubectl, &["use", "root"])?;
    let tree = ws(&kubectl, &["tree"])?;
    for name in ["root", "default", "telcops", "team-a"] {
        ensure!(tree.contains(name), "{tree}");
    }
    for (args, want) in [
        (&["use", "nowhere"][..], "workspace \"root:nowhere\" not found"),
        (&[":root:telcops:nowhere"], "workspace \"root:telcops:nowhere\" not found"),
        (&[".."], "current workspace is \"root\""),
        (&["use", "UPPER CASE"], "invalid workspace path"),
        (&["create", "telcops", "--type", "Organization"], "already exists"),
        (&["create", "telcops", "--type", "Universal", "--ignore-existing"], "already exists with different type"),
        (&["create-context", "mine"], "context \"mine\" already exists in kubeconfig, use --overwrite to update it"),
        (&["delete", "telcops"], "kubectl delete workspace telcops"),
    ] {
        let text = ws_fails(&kubectl, args)?;
        ensure!(text.contains(want), "ws {args:?}: {text}");
    }
    Ok(())
}

/// Contexts of others survive every edit, and the file stays private.
#[tokio::test]
async fn the_kubeconfig_is_edited_with_care() -> Result {
    use std::os::unix::fs::PermissionsExt as _;
    let kcp = Kcp::start(&[]).await?;
    let kubectl = kcp.kubectl()?;
    kubectl.ok(&["config", "set-cluster", "other", "--server=https://other.example.org"])?;
    kubectl.ok(&["config", "set-context", "other", "--cluster=other", "--user=someone"])?;
    kubectl.ok(&["config", "set-credentials", "someone", "--token=secret"])?;
    let before = kubectl.ok(&["config", "get-contexts", "-o", "name"])?;
    ws(&kubectl, &["use", "root"])?;
    ws(&kubectl, &["create", "org", "--type", "organization", "--enter"])?;
    let after = kubectl.ok(&["config", "get-contexts", "-o", "name"])?;
    for context in before.lines() {
        ensure!(after.lines().any(|l| l == context), "{context} is lost: {after}");
    }
    let mut added: Vec<&str> = after.lines().filter(|l| !before.lines().any(|b| b == *l)).collect();
    added.sort_unstable();
    ensure!(added == ["workspace.kcp.io/current", "workspace.kcp.io/previous"], "{added:?}");
    let mode = std::fs::metadata(kubectl.kubeconfig())?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "{mode:o}");
    let text = std::fs::read_to_string(kubectl.kubeconfig())?;
    ensure!(text.contains("secret") && text.contains("https://other.example.org"));
    Ok(())
}

#[tokio::test]
async fn types_say_what_may_be_where() -> Result {
    let kcp = Kcp::start(&[]).await?;
    let kubectl = kcp.kubectl()?;
    ws(&kubectl, &["use", "root"])?;
    let text = ws_fails(&kubectl, &["create", "t", "--type", "Team"])?;
    ensure!(text.contains("root:team only allows [root:organization root:team] workspaces as parents"), "{text}");
    let text = ws_fails(&kubectl, &["create", "t", "--type", "nonsense"])?;
    ensure!(text.contains("\"nonsense\" does not exist"), "{text}");
    ws(&kubectl, &["create", "org", "--type", "ORGANIZATION", "--enter"])?;
    let text = ws_fails(&kubectl, &["create", "o", "--type", "Organization"])?;
    ensure!(text.contains("root:organization only allows [root:root] workspaces as parents"), "{text}");
    ws(&kubectl, &["create", "team", "--type", "Team", "--enter"])?;
    ws(&kubectl, &["create", "sub", "--type", "team"])?;
    ws(&kubectl, &["create", "leaf", "--type", "universal"])?;
    // The type cannot be changed later.
    let patch = r#"{"spec":{"type":{"name":"universal","path":"root"}}}"#;
    let text = kubectl.fails(&["patch", "workspace", "sub", "--type=merge", "-p", patch])?;
    ensure!(text.contains("immutable"), "{text}");
    for name in ["Upper", "a.b", "-a"] {
        let made = kubectl.shell(&format!(
            "printf 'apiVersion: tenancy.kcp.io/v1alpha1\\nkind: Workspace\\nmetadata:\\n  name: \"%s\"\\n' '{name}' | kubectl create -f -"
        ))?;
        ensure!(made.code != 0, "a workspace must not be called {name}");
    }
    Ok(())
}

/// LC-02, D-16: definitions, discovery and schemas are each workspace's own, and right at once.
#[tokio::test]
async fn the_same_crd_can_mean_different_things() -> Result {
    let kcp = Kcp::start(&[]).await?;
    let (a, b) = (kcp.kubectl()?, kcp.kubectl()?);
    ws(&a, &["create", "a", "--enter"])?;
    ws(&b, &["create", "b", "--enter"])?;
    a.apply(WIDGETS)?;
    let text = b.fails(&["get", "widgets"])?;
    ensure!(text.contains("the server doesn't have a resource type \"widgets\""), "{text}");
    b.apply(&WIDGETS.replace("maximum: 100", "maximum: 5"))?;
    let widget = "apiVersion: example.org/v1\nkind: Widget\nmetadata:\n  name: w\nspec:\n  size: 50\n";
    // The type is listed and served when the answer to the CRD is there (D-16); the client may still hold the old list.
    for kubectl in [&a, &b] {
        kubectl.ok(&["wait", "--for=condition=Established", "crd/widgets.example.org"])?;
    }
    a.apply(widget)?;
    b.write("widget.yaml", widget)?;
    let text = b.fails(&["apply", "-f", "widget.yaml"])?;
    ensure!(text.contains("should be less than or equal to 5"), "{text}");
    ensure!(b.ok(&["get", "widgets", "-o", "name"])?.is_empty());
    ensure!(a.ok(&["get", "widgets", "-o", "name"])?.trim() == "widget.example.org/w");
    Ok(())
}

/// A fresh workspace serves what the seed's did, and nothing that needs machines.
#[tokio::test]
async fn a_fresh_workspace_has_no_workload_kinds() -> Result {
    let kcp = Kcp::start(&[]).await?;
    let kubectl = kcp.kubectl()?;
    ws(&kubectl, &["create", "team", "--enter"])?;
    let rows = kubectl.run(&["api-resources"])?.rows();
    for row in [
        "configmaps cm v1 true ConfigMap",
        "secrets v1 true Secret",
        "namespaces ns v1 false Namespace",
        "workspaces ws tenancy.kcp.io/v1alpha1 false Workspace",
        "workloadclusters workload.kcp.dev/v1alpha1 false WorkloadCluster",
        "customresourcedefinitions crd,crds apiextensions.k8s.io/v1 false CustomResourceDefinition",
        "leases coordination.k8s.io/v1 true Lease",
    ] {
        ensure!(rows.iter().any(|r| r == row), "{row:?} is missing:\n{}", rows.join("\n"));
    }
    for kind in ["Pod", "Deployment", "Service", "Node", "Job"] {
        ensure!(!rows.iter().any(|r| r.ends_with(&format!(" {kind}"))), "{kind} is served");
    }
    ensure!(kubectl.fails(&["get", "pods"])?.contains("error: the server doesn't have a resource type \"pods\""));
    Ok(())
}

/// A snapshot taken while serving holds everything, and a server made from it goes on beyond its revision.
#[tokio::test]
async fn snapshots_bring_everything_back() -> Result {
    let mut kcp = Kcp::start(&[]).await?;
    let kubectl = kcp.kubectl()?;
    ws(&kubectl, &["create", "team", "--enter"])?;
    kubectl.ok(&["create", "configmap", "kept", "--from-literal=a=b"])?;
    let dir = kcp.dir().to_owned();
    let kubeconfig = kcp.kubeconfig().display().to_string();
    let run = async |args: &[&str]| {
        let exit = Kcp::run_to_end(args, &dir, &[], std::time::Duration::from_secs(60)).await?;
        ensure!(exit.code == Some(0), "kcp {args:?}: {} {}", exit.stdout, exit.stderr);
        Ok(exit.stdout)
    };
    run(&["snapshot", "save", "backup.kcp", "--kubeconfig", &kubeconfig]).await?;
    kubectl.ok(&["delete", "configmap", "kept"])?;
    kubectl.ok(&["create", "configmap", "late"])?;
    let revision = |text: &str| -> Option<u64> {
        serde_json::from_str::<serde_json::Value>(text).ok()?["metadata"]["resourceVersion"].as_str()?.parse().ok()
    };
    let last = revision(&kubectl.ok(&["get", "configmap", "late", "-o", "json"])?).context("no revision")?;
    kcp.stop().await?;
    run(&["doctor", "--root-directory", "kcp"]).await?;
    std::fs::rename(dir.join("kcp/data"), dir.join("old"))?;
    run(&["snapshot", "restore", "backup.kcp", "--root-directory", "kcp"]).await?;
    kcp.restart().await?;
    ensure!(kubectl.ok(&["get", "configmap", "kept", "-o", "jsonpath={.data.a}"])? == "b");
    ensure!(kubectl.fails(&["get", "configmap", "late"])?.contains("not found"));
    let fresh = poll("a write after the restore", async || {
        kubectl.run(&["create", "configmap", "fresh", "-o", "json"]).map(|o| revision(&o.stdout))
    })
    .await?;
    ensure!(fresh > last, "the revision went back from {last} to {fresh}");
    Ok(())
}
