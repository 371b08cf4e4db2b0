//! One workspace never sees another: every route of the table, called by everybody who must not get in.
//!
//! The routes come from the table by which the server dispatches, so a route that is added is tested without anybody having to
//! think of it (CVE-2026-39429, LC-02).

use anyhow::ensure;
use futures_util::{StreamExt as _, TryStreamExt as _};
use kcp_apiserver::routes::{self, Example};
use kcp_client::WriteParams;
use kcp_registry::builtin::{self, Profile};
use kcp_test_framework::Kcp;
use serde_json::json;

use crate::{
    lives::WIDGETS,
    support::{Answer, Raw, Result, configmaps, gvr, kcp_with_people, workspaces},
};

/// How many requests are under way at a time: the routes that watch take a second each.
const AT_A_TIME: usize = 32;

/// Sends everything and looks at each answer: method, path, content type, body.
async fn call_all(
    raw: &Raw,
    all: Vec<(&'static str, String, &'static str, &'static str)>,
    look: impl Fn(&str, &str, &Answer) -> Result,
) -> Result {
    let answers = futures_util::stream::iter(all).map(async |(method, path, content_type, body)| {
        let answer = raw.call(method, &path, &[("Content-Type", content_type)], body).await?;
        look(method, &path, &answer)
    });
    answers.buffer_unordered(AT_A_TIME).try_collect().await
}

/// What must be seen nowhere.
const CANARY: &str = "canary-of-a";
/// The name of what holds it, which a refusal may repeat.
const NAME: &str = "treasure";

/// Two workspaces whose names are prefixes of each other, alice's `root:org:a` with a canary in every corner, and bob's
/// `root:org:a1`.
async fn neighbours() -> Result<Kcp> {
    let kcp = kcp_with_people(&[]).await?;
    let admin = kcp.kubectl()?;
    admin.ok(&["ws", "use", "root"])?;
    admin.ok(&["ws", "create", "org", "--type", "organization", "--enter"])?;
    let org = kcp.client("root:org")?;
    for (name, user) in [("a", "alice"), ("a1", "bob")] {
        let object = json!({"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": name}});
        org.create(&workspaces(), "", &object, &WriteParams::default()).await?;
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
            "rules": [{"apiGroups": ["tenancy.kcp.io"], "resources": ["workspaces/content"], "resourceNames": [name], "verbs": ["admin", "access"]}],
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        });
        org.create(&gvr("rbac.authorization.k8s.io", "clusterroles"), "", &role, &WriteParams::default()).await?;
        org.create(&gvr("rbac.authorization.k8s.io", "clusterrolebindings"), "", &binding, &WriteParams::default())
            .await?;
    }
    admin.ok(&["ws", "use", "a"])?;
    admin.apply(WIDGETS)?;
    admin.ok(&["create", "namespace", CANARY])?;
    let a = kcp.client("root:org:a")?;
    let meta = json!({"name": NAME, "labels": {"l": CANARY}, "annotations": {"a": CANARY}});
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"k": CANARY}});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"k": CANARY}});
    for namespace in ["default", CANARY] {
        a.create(&configmaps(), namespace, &config, &WriteParams::default()).await?;
        a.create(&gvr("", "secrets"), namespace, &secret, &WriteParams::default()).await?;
    }
    let role =
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": meta, "rules": []});
    a.create(&gvr("rbac.authorization.k8s.io", "clusterroles"), "", &role, &WriteParams::default()).await?;
    let widget = json!({"apiVersion": "example.org/v1", "kind": "Widget", "metadata": meta, "spec": {"size": 1}});
    a.create(&gvr("example.org", "widgets"), "default", &widget, &WriteParams::default()).await?;
    Ok(kcp)
}

fn examples(name: &str) -> Vec<Example> {
    let table = builtin::base_table(Profile::Workspace, &kcp_registry::strategies());
    let mut all = routes::enumerate(&table, "default", name);
    // And the routes of a custom resource, which the base table does not know.
    let widgets = "/apis/example.org/v1/namespaces/default/widgets".to_owned();
    for (method, path) in [
        ("GET", "/apis/example.org/v1".to_owned()),
        ("GET", widgets.clone()),
        ("POST", widgets.clone()),
        ("DELETE", widgets.clone()),
        ("GET", format!("{widgets}/{name}")),
        ("PUT", format!("{widgets}/{name}")),
        ("PATCH", format!("{widgets}/{name}/status")),
        ("GET", format!("{widgets}/{name}/scale")),
        ("GET", "/apis/example.org/v1/widgets?watch=1&timeoutSeconds=1".to_owned()),
    ] {
        all.push(Example { method, path, public: false });
    }
    all
}

#[tokio::test]
async fn every_route_is_closed_to_strangers() -> Result {
    let kcp = neighbours().await?;
    let everybody = [("nobody", Raw::new(&kcp, "")?), ("bob", Raw::new(&kcp, "bob-token")?)];
    let before = state(&kcp).await?;
    let all = examples(NAME);
    ensure!(all.len() > 200, "the table of routes gives {} examples only", all.len());
    for (who, raw) in &everybody {
        for example in &all {
            // Refused at once, so one after the other is quick.
            let path = format!("/clusters/root:org:a{}", example.path);
            let answer = raw.call(example.method, &path, &[("Content-Type", "application/json")], "{}").await?;
            if example.public {
                ensure!(answer.code == 200, "{who} {example:?}: {}", answer.code);
            } else {
                ensure!(answer.code == 403, "{who} {example:?}: {} {}", answer.code, answer.body);
            }
            ensure!(!answer.body.contains(CANARY), "{who} {example:?}: {}", answer.body);
        }
    }
    ensure!(state(&kcp).await? == before, "a stranger has changed something");
    Ok(())
}

/// bob in his own workspace, whose name begins like alice's: no list, watch, search or document shows what is hers.
#[tokio::test]
async fn a_name_that_is_a_prefix_is_another_name() -> Result {
    let kcp = neighbours().await?;
    let bob = Raw::new(&kcp, "bob-token")?;
    let before = state(&kcp).await?;
    let all = examples("no-such-thing")
        .into_iter()
        .map(|e| (e.method, format!("/clusters/root:org:a1{}", e.path), "application/json", "{}"))
        .collect();
    call_all(&bob, all, |method, path, answer| {
        ensure!(answer.code < 500, "{method} {path}: {} {}", answer.code, answer.body);
        ensure!(!answer.body.contains(CANARY), "{method} {path}: {}", answer.body);
        Ok(())
    })
    .await?;
    for path in ["/openapi/v2", "/openapi/v3", "/apis", "/api/v1/namespaces", "/api/v1/secrets", "/api/v1/configmaps"] {
        let answer = bob.get(&format!("/clusters/root:org:a1{path}")).await?;
        ensure!(answer.code == 200 && !answer.body.contains(CANARY), "{path}: {}", answer.code);
        ensure!(!answer.body.contains("example.org"), "{path} shows another workspace's type");
    }
    ensure!(state(&kcp).await? == before, "a neighbour has changed something");
    Ok(())
}

/// Paths that look like something else than they are: encoded, doubled, nested, with dots.
#[tokio::test]
async fn paths_cannot_be_disguised() -> Result {
    let kcp = neighbours().await?;
    let everybody = [("nobody", Raw::new(&kcp, "")?), ("bob", Raw::new(&kcp, "bob-token")?)];
    let secret = format!("api/v1/namespaces/default/secrets/{NAME}");
    for (who, raw) in &everybody {
        for path in [
            format!("/clusters/root:org:%61/{secret}"),
            format!("/clusters/root%3Aorg%3Aa/{secret}"),
            format!("/clusters//root:org:a/{secret}"),
            format!("//clusters/root:org:a/{secret}"),
            format!("/clusters/root:org:a//{secret}"),
            format!("/clusters/root:org:a1/../root:org:a/{secret}"),
            format!("/clusters/root:org:a1/%2e%2e/root:org:a/{secret}"),
            format!("/clusters/root:org:a1%2f..%2froot:org:a/{secret}"),
            format!("/clusters/root:org:a1/clusters/root:org:a/{secret}"),
            format!("/clusters/root:org:a1/{}", secret.replace("default", "..%2f..%2fa%2fdefault")),
            format!("/clusters/root:org:a1/api/v1/namespaces/default/secrets/..%2f{NAME}"),
            format!("/clusters/root:org:a%00/{secret}"),
            format!("/clusters/root:org:A/{secret}"),
            format!("/clusters/root:org:a:/{secret}"),
            format!("/clusters/:root:org:a/{secret}"),
            format!("/clusters/*/{secret}"),
            "/clusters/*/api/v1/secrets".to_owned(),
            "/clusters/%2A/api/v1/secrets".to_owned(),
            "/clusters/*/api/v1/secrets?watch=1&timeoutSeconds=1".to_owned(),
            format!("/clusters/system:admin/{secret}"),
            format!("/{secret}"),
            "/api/v1/secrets".to_owned(),
            "/metrics".to_owned(),
            "/snapshot".to_owned(),
            "/debug/pprof/".to_owned(),
        ] {
            for method in ["GET", "DELETE"] {
                let headers = [("X-Kubernetes-Cluster", "root:org:a")];
                let answer = raw.call(method, &path, &headers, "").await?;
                ensure!((400..500).contains(&answer.code), "{who} {method} {path}: {} {}", answer.code, answer.body);
                ensure!(!answer.body.contains(CANARY), "{who} {method} {path}: {}", answer.body);
            }
        }
    }
    Ok(())
}

/// L-12: a continue token of one workspace is worth nothing in another.
#[tokio::test]
async fn continue_tokens_stay_in_their_workspace() -> Result {
    let kcp = neighbours().await?;
    let list = |token: &str| format!("api/v1/configmaps?limit=1&continue={token}");
    let alice = Raw::new(&kcp, "alice-token")?;
    let first = alice.get(&format!("/clusters/root:org:a/{}", list(""))).await?;
    let token = first.json()["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
    ensure!(!token.is_empty(), "{}", first.body);
    let stolen = Raw::new(&kcp, "bob-token")?.get(&format!("/clusters/root:org:a1/{}", list(&token))).await?;
    ensure!((400..500).contains(&stolen.code), "{} {}", stolen.code, stolen.body);
    ensure!(!stolen.body.contains(CANARY), "{}", stolen.body);
    Ok(())
}

/// Whatever an admin sends anywhere, the server does not break.
#[tokio::test]
async fn no_route_answers_500() -> Result {
    let kcp = neighbours().await?;
    let admin = Raw::new(&kcp, &kcp.config()?.token.unwrap_or_default())?;
    let mut all = Vec::new();
    for example in examples("no-such-thing") {
        // Emptying whole types is not what this is about.
        if example.method == "DELETE" && !example.path.contains("no-such-thing") {
            continue;
        }
        for (content_type, body) in [
            ("application/json", "{}"),
            ("application/json", "[1,"),
            ("application/json", "{\"metadata\":{\"name\":5,\"labels\":[]},\"spec\":\"x\"}"),
            ("application/yaml", "a: [b"),
            ("application/merge-patch+json", "null"),
            ("application/json-patch+json", "[{\"op\":\"test\"}]"),
            ("application/strategic-merge-patch+json", "{\"$patch\":\"nonsense\"}"),
            ("application/apply-patch+yaml", "{}"),
            ("text/plain", "\u{feff}"),
        ] {
            if example.method != "GET" || body == "{}" {
                all.push((example.method, format!("/clusters/root:org:a1{}", example.path), content_type, body));
            }
        }
    }
    call_all(&admin, all, |method, path, answer| {
        ensure!(answer.code < 500, "{method} {path}: {} {}", answer.code, answer.body);
        Ok(())
    })
    .await
}

/// Everything that is alice's: what must not have changed.
async fn state(kcp: &Kcp) -> Result<Vec<String>> {
    let admin = Raw::new(kcp, &kcp.config()?.token.unwrap_or_default())?;
    let mut all = Vec::new();
    for path in [
        "api/v1/configmaps",
        "api/v1/secrets",
        "api/v1/namespaces",
        "apis/example.org/v1/widgets",
        "apis/rbac.authorization.k8s.io/v1/clusterroles",
        "apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    ] {
        let answer = admin.get(&format!("/clusters/root:org:a/{path}")).await?.json();
        for item in answer["items"].as_array().into_iter().flatten() {
            all.push(format!("{path} {} {}", item["metadata"]["name"], item["metadata"]["resourceVersion"]));
        }
    }
    ensure!(all.len() > 5, "{all:?}");
    Ok(all)
}
