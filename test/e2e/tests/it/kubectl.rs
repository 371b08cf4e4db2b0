//! The smoke script of what `kubectl` needs: each line exercises rows of its own. Run with the `kubectl` on the PATH and with a
//! second version where there is one (`KCP_KUBECTL_2`, or what `./test/setup` fetched).

use std::path::Path;

use anyhow::{Context as _, ensure};
use kcp_test_framework::{Kcp, Kubectl, other_kubectl, poll};
use serde_json::Value;

use crate::{lives::WIDGETS, support::Result};

/// The minor version of a `kubectl`.
fn minor(kubectl: &Kubectl) -> Result<u32> {
    let text = kubectl.ok(&["version", "--client", "-o", "json"])?;
    let version: Value = serde_json::from_str(&text)?;
    let minor = version["clientVersion"]["minor"].as_str().unwrap_or_default();
    minor.trim_matches(|c: char| !c.is_ascii_digit()).parse().with_context(|| text)
}

#[tokio::test]
async fn smoke_with_the_kubectl_on_the_path() -> Result {
    let kcp = Kcp::start(&[]).await?;
    let kubectl = kcp.kubectl()?;
    smoke(&kubectl).await
}

#[tokio::test]
async fn smoke_with_another_version() -> Result {
    let Some(program) = other_kubectl() else {
        // Said in the test's output; `./test/setup` fetches one wherever the package manager has it.
        println!("there is no second kubectl: set KCP_KUBECTL_2");
        return Ok(());
    };
    let kcp = Kcp::start(&[]).await?;
    let kubectl = kcp.kubectl()?.with_program(&program);
    smoke(&kubectl).await
}

fn widget(name: &str, size: u32, colour: &str) -> String {
    format!(
        "apiVersion: example.org/v1\nkind: Widget\nmetadata:\n  name: {name}\n  namespace: a\nspec:\n  size: {size}\n  colour: {colour}\n"
    )
}

fn has(text: &str, what: &str) -> Result {
    ensure!(text.contains(what), "{what:?} is not in:\n{text}");
    Ok(())
}

async fn smoke(kubectl: &Kubectl) -> Result {
    let minor = minor(kubectl)?;
    discovery(kubectl, minor)?;
    let log = kubectl.dir().join("watch.log");
    let program = kubectl.run(&["version", "--client"])?;
    ensure!(program.code == 0);
    kubectl.write("one.yaml", &widget("one", 3, "red"))?;
    kubectl.write("two.yaml", &widget("two", 1, "green"))?;
    kubectl.write("changed.yaml", &widget("one", 4, "red"))?;
    applying(kubectl, minor)?;
    let mut watch = kubectl.spawn(&["get", "widgets", "-A", "-w"], &log)?;
    poll("the watch printing what exists", async || Ok(lines(&log)?.iter().any(|l| l.contains("two")).then_some(())))
        .await?;
    reading(kubectl, minor)?;
    patching(kubectl)?;
    // W-07, P-06: the header once, then a line for each change.
    poll("the watch printing changes", async || Ok((lines(&log)?.len() > 4).then_some(()))).await?;
    let _ = watch.kill();
    let _ = watch.wait();
    let printed = lines(&log)?;
    ensure!(printed.iter().filter(|l| l.contains("NAMESPACE")).count() == 1, "{printed:?}");
    access(kubectl, minor)?;
    builtin(kubectl)?;
    ending(kubectl)
}

fn lines(path: &Path) -> Result<Vec<String>> {
    Ok(std::fs::read_to_string(path)?.lines().map(str::to_owned).collect())
}

/// V-01, D-01..D-10, O-11..O-14, CRD-*.
fn discovery(kubectl: &Kubectl, minor: u32) -> Result {
    has(&kubectl.ok(&["version"])?, "Server Version")?;
    has(&kubectl.ok(&["api-resources"])?, "configmaps")?;
    has(&kubectl.ok(&["api-versions"])?, "rbac.authorization.k8s.io/v1\n")?;
    has(&kubectl.ok(&["get", "--raw", "/readyz"])?, "ok")?;
    kubectl.ok(&["create", "ns", "a"])?;
    kubectl.apply(WIDGETS)?;
    kubectl.ok(&["wait", "--for=condition=Established", "--timeout=30s", "crd/widgets.example.org"])?;
    // kubectl keeps what it discovered; a new type is found when a command asks for one that is not known.
    let explained = kubectl.ok(&["explain", "widgets.spec"])?;
    has(&explained, "What is wanted.")?;
    has(&explained, "replicas")?;
    if minor >= 27 {
        has(&explained, "enum: ")?;
    }
    has(&kubectl.ok(&["explain", "configmaps.data"])?, "map[string]string")
}

/// C-*, U-*, A-*, F-*, C-09: every way of applying, and that a dry run changes nothing.
fn applying(kubectl: &Kubectl, minor: u32) -> Result {
    has(&kubectl.ok(&["apply", "-f", "one.yaml"])?, "widget.example.org/one created")?;
    has(&kubectl.ok(&["apply", "-f", "one.yaml"])?, "widget.example.org/one unchanged")?;
    has(&kubectl.ok(&["apply", "-f", "two.yaml"])?, "created")?;
    let version = || kubectl.ok(&["-n", "a", "get", "widget", "one", "-o", "jsonpath={.metadata.resourceVersion}"]);
    let before = version()?;
    let diff = kubectl.run(&["diff", "-f", "changed.yaml"])?;
    ensure!(diff.code == 1, "diff must exit with 1 when there are differences: {}", diff.all());
    has(&diff.stdout, "+  size: 4")?;
    kubectl.ok(&["apply", "--dry-run=server", "-f", "changed.yaml"])?;
    kubectl.ok(&["apply", "--dry-run=client", "-f", "changed.yaml"])?;
    ensure!(version()? == before, "a dry run has written");
    has(&kubectl.ok(&["apply", "-f", "changed.yaml"])?, "configured")?;
    // What was applied by the client before is taken over (F-13); what another manager owns is not.
    kubectl.ok(&["apply", "--server-side", "-f", "one.yaml"])?;
    let conflict = kubectl.fails(&["apply", "--server-side", "--field-manager=other", "-f", "changed.yaml"])?;
    has(&conflict, "conflict with \"kubectl\"")?;
    kubectl.ok(&["apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "changed.yaml"])?;
    kubectl.ok(&["apply", "--server-side", "--force-conflicts", "-f", "one.yaml"])?;
    let diff = kubectl.run(&["diff", "--server-side", "--force-conflicts", "-f", "one.yaml"])?;
    ensure!(diff.code == 0, "what was applied must not differ: {}", diff.all());
    // SC-04, SC-07: unknown fields and wrong values are refused, by the server or by kubectl.
    kubectl.write("typo.yaml", &widget("one", 3, "red").replace("colour:", "color:"))?;
    if minor >= 25 {
        has(&kubectl.fails(&["apply", "-f", "typo.yaml"])?, "unknown field \"spec.color\"")?;
        has(
            &kubectl.run(&["apply", "--validate=warn", "--dry-run=server", "-f", "typo.yaml"])?.stderr,
            "unknown field \"spec.color\"",
        )?;
    } else {
        has(&kubectl.fails(&["apply", "-f", "typo.yaml"])?, "unknown field \"color\"")?;
    }
    kubectl.write("wrong.yaml", &widget("wrong", 200, "blue"))?;
    let refused = kubectl.fails(&["apply", "-f", "wrong.yaml", "--validate=false"])?;
    has(&refused, "spec.size: Invalid value: 200: spec.size in body should be less than or equal to 100")?;
    has(&refused, "spec.colour: Unsupported value: \"blue\": supported values: \"red\", \"green\"")
}

/// P-*, S-*, B-10.
fn reading(kubectl: &Kubectl, minor: u32) -> Result {
    let wide = kubectl.run(&["-n", "a", "get", "widgets", "-o", "wide"])?.rows();
    ensure!(wide[0] == "NAME SIZE COLOUR" && wide[1..] == ["one 3 red", "two 1 green"], "{wide:?}");
    let sorted = kubectl.run(&["-n", "a", "get", "widgets", "--sort-by=.spec.size"])?.rows();
    ensure!(sorted == ["NAME SIZE", "two 1", "one 3"], "{sorted:?}");
    let all = kubectl.run(&["-n", "a", "get", "all", "-o", "name"])?.rows();
    ensure!(all.iter().any(|r| r == "widget.example.org/one"), "{all:?}");
    for short in ["wg", "widget", "widgets.example.org", "widgets.v1.example.org"] {
        has(&kubectl.ok(&["-n", "a", "get", short, "one"])?, "one")?;
    }
    let by_name =
        kubectl.run(&["-n", "a", "get", "widgets", "--field-selector=metadata.name=two", "-o", "name"])?.rows();
    ensure!(by_name == ["widget.example.org/two"], "{by_name:?}");
    has(&kubectl.ok(&["-n", "a", "get", "widget", "one", "-o", "yaml"])?, "replicas: 1")?;
    has(
        &kubectl.fails(&["-n", "a", "get", "widget", "none"])?,
        "Error from server (NotFound): widgets.example.org \"none\" not found",
    )?;
    has(&kubectl.ok(&["-n", "a", "describe", "widget", "one"])?, "Kind:         Widget")?;
    if minor >= 24 {
        has(&kubectl.ok(&["-n", "a", "get", "widget", "one", "--subresource=status"])?, "one")?;
    }
    if minor >= 26 {
        kubectl.ok(&["-n", "a", "events"])?;
    }
    kubectl.ok(&["-n", "a", "get", "events"]).map(drop)
}

/// A-01..A-08, B-02.
fn patching(kubectl: &Kubectl) -> Result {
    let get = |path: &str| kubectl.ok(&["-n", "a", "get", "widget", "one", "-o", &format!("jsonpath={path}")]);
    kubectl.ok(&["-n", "a", "label", "widget", "one", "k=v"])?;
    kubectl.ok(&["-n", "a", "annotate", "widget", "one", "note=this"])?;
    let selected = kubectl.run(&["-n", "a", "get", "widgets", "-l", "k in (v,w),!x", "-o", "name"])?.rows();
    ensure!(selected == ["widget.example.org/one"], "{selected:?}");
    kubectl.ok(&["-n", "a", "patch", "widget", "one", "--type=merge", "-p", "{\"spec\":{\"size\":7}}"])?;
    ensure!(get("{.spec.size}")? == "7");
    kubectl.ok(&[
        "-n",
        "a",
        "patch",
        "widget",
        "one",
        "--type=json",
        "-p",
        "[{\"op\":\"replace\",\"path\":\"/spec/size\",\"value\":8}]",
    ])?;
    ensure!(get("{.spec.size}")? == "8");
    let refused = kubectl.fails(&["-n", "a", "patch", "widget", "one", "-p", "{\"spec\":{\"size\":9}}"])?;
    // A-04; the words around it are the client's.
    has(&refused, "accepted media types include: application/json-patch+json, application/merge-patch+json")?;
    let edited =
        kubectl.shell_with("kubectl -n a edit widget one", &[("KUBE_EDITOR", "sed -i s/size:.8/size:\\ 9/")])?;
    ensure!(edited.code == 0, "{}", edited.all());
    ensure!(get("{.spec.size}")? == "9", "{}", edited.all());
    let text = kubectl.ok(&["-n", "a", "get", "widget", "one", "-o", "yaml"])?;
    kubectl.write("replace.yaml", &text.replace("size: 9", "size: 10"))?;
    has(&kubectl.ok(&["replace", "-f", "replace.yaml"])?, "replaced")?;
    // The same file again carries a resourceVersion that is gone (U-03).
    has(&kubectl.fails(&["replace", "-f", "replace.yaml"])?, "the object has been modified")?;
    has(&kubectl.ok(&["-n", "a", "scale", "widget", "one", "--replicas=3"])?, "scaled")?;
    ensure!(get("{.spec.replicas}")? == "3");
    has(
        &kubectl.fails(&["-n", "a", "scale", "widget", "one", "--current-replicas=1", "--replicas=5"])?,
        "xpected replicas to be 1",
    )
}

/// AZ-*, AN-08, B-04.
fn access(kubectl: &Kubectl, minor: u32) -> Result {
    has(&kubectl.ok(&["auth", "can-i", "create", "widgets"])?, "yes")?;
    // carol may not even enter the workspace to ask.
    kubectl.fails(&["auth", "can-i", "create", "widgets", "--as", "carol"])?;
    has(&kubectl.ok(&["auth", "can-i", "--list"])?, "*.*")?;
    kubectl.ok(&["-n", "a", "create", "role", "reader", "--verb=get,list", "--resource=widgets.example.org"])?;
    kubectl.ok(&["-n", "a", "create", "rolebinding", "reader", "--role=reader", "--serviceaccount=a:default"])?;
    let account = "--as=system:serviceaccount:a:default";
    has(&kubectl.ok(&["-n", "a", "auth", "can-i", "list", "widgets", account])?, "yes")?;
    has(&kubectl.run(&["-n", "a", "auth", "can-i", "delete", "widgets", account])?.stdout, "no")?;
    if minor >= 24 {
        let token = kubectl.ok(&["-n", "a", "create", "token", "default"])?;
        ensure!(token.trim().split('.').count() == 3, "{token}");
    }
    if minor >= 27 {
        has(&kubectl.ok(&["auth", "whoami"])?, "kcp-admin")?;
    }
    Ok(())
}

/// Built-in kinds: generators, strategic merge on apply, describe.
fn builtin(kubectl: &Kubectl) -> Result {
    kubectl.ok(&["-n", "a", "create", "configmap", "c", "--from-literal=a=1"])?;
    kubectl.ok(&["-n", "a", "create", "secret", "generic", "s", "--from-literal=a=1"])?;
    kubectl.ok(&["-n", "a", "create", "serviceaccount", "robot"])?;
    kubectl.ok(&["-n", "a", "create", "quota", "q", "--hard=configmaps=10"])?;
    let config =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: applied\n  namespace: a\ndata:\n  a: \"1\"\n  b: \"2\"\n";
    kubectl.apply(config)?;
    kubectl.apply(&config.replace("  b: \"2\"\n", ""))?;
    ensure!(kubectl.ok(&["-n", "a", "get", "configmap", "applied", "-o", "jsonpath={.data}"])? == "{\"a\":\"1\"}");
    kubectl.ok(&["-n", "a", "patch", "configmap", "applied", "-p", "{\"data\":{\"c\":\"3\"}}"])?;
    has(&kubectl.ok(&["-n", "a", "describe", "configmap", "applied"])?, "Events:  <none>")?;
    has(&kubectl.ok(&["-n", "a", "describe", "secret", "s"])?, "a:  1 bytes")?;
    let rows = kubectl.run(&["get", "namespaces"])?.rows();
    ensure!(rows.iter().any(|r| r.starts_with("a Active ")), "{rows:?}");
    // Versions differ in what they say before it: "Error from server (AlreadyExists)" or "failed to create configmap".
    has(&kubectl.fails(&["-n", "a", "create", "configmap", "c"])?, "configmaps \"c\" already exists")?;
    has(&kubectl.fails(&["-n", "gone", "create", "configmap", "c"])?, "namespaces \"gone\" not found")
}

/// X-*, G-*, CRD finalization.
fn ending(kubectl: &Kubectl) -> Result {
    has(&kubectl.ok(&["-n", "a", "delete", "widget", "two", "--wait"])?, "widget.example.org \"two\" deleted")?;
    kubectl.ok(&["-n", "a", "delete", "configmaps", "--all"])?;
    has(&kubectl.fails(&["-n", "a", "delete", "configmap", "c"])?, "not found")?;
    kubectl.ok(&["-n", "a", "delete", "configmap", "c", "--ignore-not-found"])?;
    kubectl.ok(&["delete", "crd", "widgets.example.org", "--timeout=30s"])?;
    // A client that still holds the old discovery hears of it from the server.
    kubectl.fails(&["-n", "a", "get", "widgets"])?;
    kubectl.ok(&["delete", "ns", "a", "--timeout=30s"])?;
    has(&kubectl.fails(&["get", "ns", "a"])?, "namespaces \"a\" not found")?;
    has(&kubectl.fails(&["delete", "ns", "default"])?, "orbidden")
}
