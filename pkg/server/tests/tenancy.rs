//! Workspaces on a whole server, over the wire: their lives, their homes, and who is who in them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderName, HeaderValue, Request, Response};
use kcp_apimachinery::{GroupVersionResource, object};
use kcp_client::{
    BodyStream, BoxFuture, Client, Config, DeleteParams, Error, HttpTransport, ListParams, Patch, Transport,
    TransportError, WatchEvent, WatchParams, WriteParams,
};
use kcp_server::{LogFormat, LogOptions, Options, Running, start};
use serde_json::{Value, json};

/// Ends a test that waits for what does not come.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    running: Running,
    _dir: tempfile::TempDir,
}

fn options(dir: &Path) -> Options {
    let tokens = dir.join("tokens.csv");
    std::fs::write(&tokens, "alice-token,alice,1\nbob-token,bob,2\nmail-token,carol@example.com,3\n").unwrap();
    let log = LogOptions { log_level: "error".into(), log_format: LogFormat::Text };
    Options { token_auth_file: Some(tokens), in_memory: true, ..Options::playground(dir.join("kcp"), 0, log) }
}

impl Server {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { running: start(options(dir.path())).await.unwrap(), _dir: dir }
    }

    /// A client in a workspace: with a token, and as somebody else if there are headers.
    fn over(&self, cluster: &str, token: &str, headers: &[(&'static str, &str)]) -> Client {
        let admin = Config::from_kubeconfig(self.running.kubeconfig_path(), "").unwrap();
        let token = if token.is_empty() { admin.token.clone() } else { Some(token.to_owned()) };
        let (http, _) = HttpTransport::new(&Config { token, ..admin }).unwrap();
        let headers = headers.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap())).collect();
        Client::over(Arc::new(With { http, headers }), "").cluster(cluster)
    }

    fn admin(&self, cluster: &str) -> Client {
        self.over(cluster, "", &[])
    }

    fn user(&self, cluster: &str, name: &str) -> Client {
        self.over(cluster, &format!("{name}-token"), &[])
    }
}

/// Adds headers to every request.
struct With {
    http: HttpTransport,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Transport for With {
    fn send(&self, mut request: Request<Bytes>) -> BoxFuture<'_, Result<Response<BodyStream>, TransportError>> {
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        self.http.send(request)
    }
}

fn gvr(group: &str, version: &str, resource: &str) -> GroupVersionResource {
    GroupVersionResource::new(group, version, resource)
}

fn workspaces() -> GroupVersionResource {
    gvr("tenancy.kcp.io", "v1alpha1", "workspaces")
}

fn logical() -> GroupVersionResource {
    gvr("core.kcp.io", "v1alpha1", "logicalclusters")
}

fn maps() -> GroupVersionResource {
    gvr("", "v1", "configmaps")
}

fn rbac(resource: &str) -> GroupVersionResource {
    gvr("rbac.authorization.k8s.io", "v1", resource)
}

async fn make(
    client: &Client,
    gvr: &GroupVersionResource,
    kind: &str,
    namespace: &str,
    mut o: Value,
) -> Result<Value, Error> {
    o["kind"] = kind.into();
    o["apiVersion"] = gvr.group_version().to_string().into();
    client.create(gvr, namespace, &o, &WriteParams::default()).await
}

async fn workspace(client: &Client, name: &str, kind: &str) -> Result<Value, Error> {
    let spec = if kind.is_empty() { json!({}) } else { json!({"type": {"name": kind}}) };
    make(client, &workspaces(), "Workspace", "", json!({"metadata": {"name": name}, "spec": spec})).await
}

/// Lets a user do things: a cluster role and its binding.
async fn grant(client: &Client, name: &str, user: &str, rule: Value) {
    let role = json!({"metadata": {"name": name}, "rules": [rule]});
    make(client, &rbac("clusterroles"), "ClusterRole", "", role).await.unwrap();
    let binding = json!({
        "metadata": {"name": name}, "roleRef": {"kind": "ClusterRole", "name": name, "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "User", "name": user}],
    });
    make(client, &rbac("clusterrolebindings"), "ClusterRoleBinding", "", binding).await.unwrap();
}

fn content(workspace: &str, verb: &str) -> Value {
    json!({"apiGroups": ["tenancy.kcp.io"], "resources": ["workspaces/content"], "resourceNames": [workspace], "verbs": [verb]})
}

/// Waits until a Workspace is as wanted; `None` stands for one that is gone.
async fn until(client: &Client, name: &str, what: &str, wanted: impl Fn(Option<&Value>) -> bool) -> Option<Value> {
    let watching = async {
        let params = WatchParams {
            field_selector: Some(format!("metadata.name={name}")),
            initial_events: true,
            ..WatchParams::default()
        };
        let mut events = client.watch(&workspaces(), "", &params).await.unwrap();
        let mut exists = false;
        while let Some(event) = events.next().await {
            let seen = match event.unwrap() {
                WatchEvent::Added(v) | WatchEvent::Modified(v) => Some(v),
                WatchEvent::Deleted(_) => None,
                WatchEvent::Bookmark { initial_events_end: true, .. } if !exists => None,
                WatchEvent::Bookmark { .. } => continue,
            };
            exists |= seen.is_some();
            if wanted(seen.as_ref()) {
                return seen;
            }
        }
        panic!("the watch ended");
    };
    tokio::time::timeout(PATIENCE, watching).await.unwrap_or_else(|_| panic!("{name} never was {what}"))
}

async fn delete(client: &Client, name: &str) {
    client.delete(&workspaces(), "", name, &DeleteParams::default()).await.unwrap();
}

fn code<T>(result: Result<T, Error>) -> u16 {
    result.err().and_then(|e| e.status().map(|s| s.code)).unwrap_or(200)
}

async fn token(client: &Client, namespace: &str, account: &str) -> String {
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let answer = client
        .create_subresource(&gvr("", "v1", "serviceaccounts"), namespace, account, "token", &request)
        .await
        .unwrap();
    answer["status"]["token"].as_str().unwrap().to_owned()
}

async fn who(client: &Client) -> Result<Value, Error> {
    let gvr = gvr("authentication.k8s.io", "v1", "selfsubjectreviews");
    let answer = make(client, &gvr, "SelfSubjectReview", "", json!({})).await?;
    Ok(answer["status"]["userInfo"].clone())
}

/// A workspace is emptied, children first; what holds it up is said; under the same name comes something new.
#[tokio::test]
async fn deletion_and_a_second_life() {
    let server = Server::new().await;
    let root = server.admin("root");
    let first = workspace(&root, "acme", "organization").await.unwrap();
    let acme = server.admin("root:acme");
    workspace(&acme, "team", "team").await.unwrap();
    let team = server.admin("root:acme:team");
    make(
        &team,
        &maps(),
        "ConfigMap",
        "default",
        json!({"metadata": {"name": "held", "finalizers": ["example.com/f"]}}),
    )
    .await
    .unwrap();
    make(&acme, &maps(), "ConfigMap", "default", json!({"metadata": {"name": "old"}})).await.unwrap();
    let old_token = token(&acme, "default", "default").await;
    assert_eq!(
        who(&server.over("root:acme", &old_token, &[])).await.unwrap()["username"],
        "system:serviceaccount:default:default"
    );

    delete(&root, "acme").await;
    let condition = |w: Option<&Value>, reason: &str| {
        let all = w.and_then(|w| w["status"]["conditions"].as_array().cloned()).unwrap_or_default();
        all.iter().any(|c| c["type"] == "WorkspaceContentDeleted" && c["status"] == "False" && c["reason"] == reason)
    };
    let waits = until(&root, "acme", "waiting for its child", |w| condition(w, "ChildWorkspacesRemain")).await.unwrap();
    assert_eq!(waits["status"]["phase"], "Deleting");
    let held = until(&acme, "team", "held up", |w| condition(w, "SomeFinalizersRemain")).await.unwrap();
    assert!(held["status"]["conditions"].to_string().contains("example.com/f in 1 resource instances"), "{held}");
    // Nothing new meanwhile; what is there can be worked on.
    let refused = make(&team, &maps(), "ConfigMap", "default", json!({"metadata": {"name": "new"}})).await;
    assert_eq!(code(refused), 403);
    assert_eq!(code(workspace(&acme, "another", "").await), 403);
    assert_eq!(code(workspace(&root, "acme", "organization").await), 409);
    let free = json!({"metadata": {"finalizers": null}});
    team.patch(&maps(), "default", "held", "", &Patch::Merge(&free), &WriteParams::default()).await.unwrap();
    until(&root, "acme", "gone", |w| w.is_none()).await;
    assert_eq!(code(acme.get_path("/api").await), 404);

    let second = workspace(&root, "acme", "organization").await.unwrap();
    assert_ne!(object::uid(&first), object::uid(&second));
    assert_ne!(first["spec"]["cluster"], second["spec"]["cluster"]);
    assert_eq!(code(acme.get(&maps(), "default", "old").await), 404);
    assert!(acme.find(&workspaces(), "", "team").await.unwrap().is_none());
    assert_eq!(code(who(&server.over("root:acme", &old_token, &[])).await), 401, "tokens of the first life are dead");
    assert_eq!(code(server.admin(first["spec"]["cluster"].as_str().unwrap()).get_path("/api").await), 404);
    server.running.shutdown(Duration::from_secs(5)).await;
}

/// A Workspace stays Initializing until somebody who may has signed off in its LogicalCluster.
#[tokio::test]
async fn initializers() {
    let server = Server::new().await;
    let root = server.admin("root");
    let types = gvr("tenancy.kcp.io", "v1alpha1", "workspacetypes");
    make(&root, &types, "WorkspaceType", "", json!({"metadata": {"name": "slow"}, "spec": {"initializer": true}}))
        .await
        .unwrap();
    let rule = |resource: &str, verbs: &[&str]| json!({"apiGroups": ["tenancy.kcp.io"], "resources": [resource], "verbs": verbs});
    grant(&root, "maker", "alice", rule("workspaces", &["create"])).await;
    grant(&root, "user", "alice", rule("workspacetypes", &["use"])).await;
    let made = workspace(&server.user("root", "alice"), "w", "slow").await.unwrap();
    assert_eq!(made["status"]["phase"], "Initializing");
    // Whoever made it is its admin, and yet does not sign off.
    let alice = server.user("root:w", "alice");
    let sign = json!({"status": {"initializers": []}});
    let signed = |client: Client| {
        let sign = sign.clone();
        async move { client.patch(&logical(), "", "cluster", "status", &Patch::Merge(&sign), &WriteParams::default()).await }
    };
    let refused = signed(alice).await.unwrap_err();
    assert!(refused.is_forbidden() && refused.to_string().contains("root:slow"), "{refused}");
    // Somebody else is not let in before he may initialize such workspaces.
    let bob = server.user("root:w", "bob");
    assert_eq!(code(bob.get_path("/api").await), 403);
    grant(&root, "initializer", "bob", rule("workspacetypes", &["initialize"])).await;
    make(&bob, &maps(), "ConfigMap", "default", json!({"metadata": {"name": "content"}})).await.unwrap();
    signed(bob.clone()).await.unwrap();
    until(&root, "w", "Ready", |w| w.is_some_and(|w| w["status"]["phase"] == "Ready")).await;
    let logical = server.admin("root:w").get(&logical(), "", "cluster").await.unwrap();
    let initialized =
        logical["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "WorkspaceInitialized");
    assert_eq!(initialized.unwrap()["status"], "True");
    assert_eq!(code(bob.get_path("/api").await), 403, "his work is done");
    server.running.shutdown(Duration::from_secs(5)).await;
}

/// Everybody gets a workspace of his own for the asking, and nobody anybody else's.
#[tokio::test]
async fn homes() {
    let server = Server::new().await;
    let home = async |name: &str| server.user("root", name).get(&workspaces(), "", "~").await;
    let (alice, carol) = (home("alice").await.unwrap(), home("mail").await.unwrap());
    let path = |w: &Value| w["spec"]["URL"].as_str().unwrap().rsplit_once("/clusters/").unwrap().1.to_owned();
    assert_eq!(path(&alice), "root:users:alice");
    assert!(path(&carol).starts_with("root:users:carol-example-com-"), "{carol}");
    let mine = server.user(&path(&alice), "alice");
    make(&mine, &maps(), "ConfigMap", "default", json!({"metadata": {"name": "c"}})).await.unwrap();
    workspace(&mine, "below", "").await.unwrap();
    for (path, name) in [(path(&alice), "bob"), (path(&carol), "alice"), ("root:users".into(), "alice")] {
        assert_eq!(code(server.user(&path, name).get_path("/api").await), 403, "{name} in {path}");
    }
    assert_eq!(code(server.over("root", "no-token", &[]).get(&workspaces(), "", "~").await), 401);
    // Nobody else sees it in lists, and nothing else of root is open by that.
    assert_eq!(code(server.user("root", "alice").list(&workspaces(), "", &ListParams::default()).await), 403);
    // It is deleted from inside, with what is below, and made anew.
    mine.delete(&logical(), "", "cluster", &DeleteParams::default()).await.unwrap();
    until(&server.admin("root:users"), "alice", "gone", |w| w.is_none()).await;
    let again = home("alice").await.unwrap();
    assert_ne!(again["spec"]["cluster"], alice["spec"]["cluster"]);
    assert_eq!(code(mine.get(&maps(), "default", "c").await), 404);
    server.running.shutdown(Duration::from_secs(5)).await;
}

/// Who administers a workspace borrows identities in it, and none that means more than it (GHSA-c7xh-gjv4-4jgv).
#[tokio::test]
async fn impersonation() {
    let server = Server::new().await;
    let root = server.admin("root");
    let rule = json!({"apiGroups": ["tenancy.kcp.io"], "resources": ["workspaces"], "verbs": ["create"]});
    grant(&root, "maker", "alice", rule).await;
    workspace(&server.user("root", "alice"), "acme", "organization").await.unwrap();
    grant(&root, "boss", "bob", json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})).await;
    let id = root.get(&workspaces(), "", "acme").await.unwrap()["spec"]["cluster"].clone();
    let as_user = |name: &str| server.over("root:acme", "alice-token", &[("impersonate-user", name)]);

    let bot = who(&as_user("system:serviceaccount:default:default")).await.unwrap();
    assert_eq!(bot["extra"]["authentication.kcp.io/cluster-name"], json!([id]));
    let bob = who(&as_user("bob")).await.unwrap();
    assert_eq!(
        (&bob["username"], &bob["extra"]["authentication.kcp.io/scopes"][0]),
        (&json!("bob"), &json!(format!("cluster:{}", id.as_str().unwrap())))
    );
    // bob may use any type of root; alice, as bob, may not.
    let types = gvr("tenancy.kcp.io", "v1alpha1", "workspacetypes");
    make(
        &root,
        &types,
        "WorkspaceType",
        "",
        json!({"metadata": {"name": "secret"}, "spec": {"extend": {"with": [{"name": "universal", "path": "root"}]}}}),
    )
    .await
    .unwrap();
    let wanted = |name: &str| json!({"metadata": {"name": name}, "spec": {"type": {"name": "secret", "path": "root"}}});
    let borrowed = make(&as_user("bob"), &workspaces(), "Workspace", "", wanted("x")).await.unwrap_err();
    assert!(borrowed.to_string().contains("missing verb='use' permission on workspacetype"), "{borrowed}");
    make(&server.user("root:acme", "bob"), &workspaces(), "Workspace", "", wanted("y")).await.unwrap();

    for headers in [
        &[("impersonate-user", "bob"), ("impersonate-group", "system:masters")][..],
        &[("impersonate-user", "bob"), ("impersonate-group", "system:kcp:workspace:admin")],
        &[("impersonate-user", "system:kcp-controllers")],
        &[
            ("impersonate-user", "system:serviceaccount:default:default"),
            ("impersonate-extra-authentication.kcp.io%2fcluster-name", "root"),
        ],
        &[("impersonate-user", "bob"), ("impersonate-extra-authentication.kcp.io%2fscopes", "cluster:root")],
    ] {
        assert_eq!(code(who(&server.over("root:acme", "alice-token", headers)).await), 403, "{headers:?}");
    }
    assert_eq!(
        code(who(&server.over("root", "alice-token", &[("impersonate-user", "bob")])).await),
        403,
        "not outside"
    );
    // Whoever may do everything borrows whole identities.
    let whole = who(&server.over("root:acme", "", &[("impersonate-user", "alice")])).await.unwrap();
    assert_eq!(whole.get("extra"), None);
    server.running.shutdown(Duration::from_secs(5)).await;
}

/// `admin` in the parent administers, down the tree, and goes as it came.
#[tokio::test]
async fn administrators_by_the_parents_word() {
    let server = Server::new().await;
    let root = server.admin("root");
    workspace(&root, "acme", "organization").await.unwrap();
    workspace(&server.admin("root:acme"), "team", "team").await.unwrap();
    let (acme, team) = (server.user("root:acme", "bob"), server.user("root:acme:team", "bob"));
    assert_eq!((code(acme.get_path("/api").await), code(team.get_path("/api").await)), (403, 403));
    grant(&root, "acme-admin", "bob", content("acme", "admin")).await;
    let role = |name: &str| json!({"metadata": {"name": name}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]});
    for client in [&acme, &team] {
        make(client, &rbac("clusterroles"), "ClusterRole", "", role("everything")).await.unwrap();
        let all = client.list(&rbac("clusterrolebindings"), "", &ListParams::default()).await.unwrap();
        assert!(all.items.iter().any(|b| object::name(b) == "system:kcp:workspace:admin"));
    }
    let review = gvr("authorization.k8s.io", "v1", "selfsubjectaccessreviews");
    let question = json!({"spec": {"resourceAttributes": {"verb": "delete", "resource": "secrets"}}});
    let answer = make(&team, &review, "SelfSubjectAccessReview", "", question).await.unwrap();
    assert_eq!(answer["status"]["allowed"], true, "{answer}");
    let reason = answer["status"]["reason"].as_str().unwrap();
    assert!(reason.contains("system:kcp:workspace:admin") && reason.contains("cluster-admin"), "{reason}");
    root.delete(&rbac("clusterrolebindings"), "", "acme-admin", &DeleteParams::default()).await.unwrap();
    assert_eq!((code(acme.get_path("/api").await), code(team.get_path("/api").await)), (403, 403));
    server.running.shutdown(Duration::from_secs(5)).await;
}

/// URLs follow a server that moves, and nothing is written by one that does not.
#[tokio::test]
async fn urls_follow_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let disk = |host: Option<&str>| Options {
        in_memory: false,
        external_hostname: host.map(str::to_owned),
        ..options(dir.path())
    };
    let mut before = None;
    for (host, moves) in [(None, false), (Some("kcp.example"), true), (Some("kcp.example"), true)] {
        let running = start(disk(host)).await.unwrap();
        let client = running.client().clone();
        let root = client.cluster("root");
        if before.is_none() {
            workspace(&root, "acme", "organization").await.unwrap();
            workspace(&client.cluster("root:acme"), "team", "").await.unwrap();
        }
        let base = running.url().to_owned();
        assert_eq!(base.starts_with("https://kcp.example:"), moves);
        for path in ["root", "root:default", "root:acme", "root:acme:team"] {
            let url = format!("{base}/clusters/{path}");
            let own = client.cluster(path).get(&logical(), "", "cluster").await.unwrap();
            assert_eq!(own["status"]["URL"], url);
            if let Some((parent, name)) = path.rsplit_once(':') {
                let w = client.cluster(parent).get(&workspaces(), "", name).await.unwrap();
                assert_eq!(w["spec"]["URL"], url);
                before = Some(object::resource_version(&w).to_owned());
            }
        }
        running.shutdown(Duration::from_secs(5)).await;
    }
    assert!(before.is_some());
}
