//! What several modules need.

use std::path::PathBuf;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request};
use kcp_apimachinery::GroupVersionResource;
use kcp_apis::{conditions, identity, workload::WORKLOAD_CLUSTER};
use kcp_client::{Client, Config, HttpTransport, Transport as _};
use kcp_test_framework::{Cluster, Kcp, Kubectl, until};
use serde_json::Value;

pub(crate) type Result<T = ()> = anyhow::Result<T>;

/// The admin and two people with tokens.
pub(crate) const TOKENS: &str = "alice-token,alice,alice-uid\nbob-token,bob,bob-uid\n";

pub(crate) fn gvr(group: &str, resource: &str) -> GroupVersionResource {
    let version = if group.ends_with("kcp.io") || group.ends_with("kcp.dev") { "v1alpha1" } else { "v1" };
    GroupVersionResource::new(group, version, resource)
}

pub(crate) fn configmaps() -> GroupVersionResource {
    gvr("", "configmaps")
}

pub(crate) fn namespaces() -> GroupVersionResource {
    gvr("", "namespaces")
}

pub(crate) fn deployments() -> GroupVersionResource {
    gvr("apps", "deployments")
}

pub(crate) fn workspaces() -> GroupVersionResource {
    gvr("tenancy.kcp.io", "workspaces")
}

/// A server that knows alice and bob.
pub(crate) async fn kcp_with_people(flags: &[&str]) -> Result<Kcp> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("tokens.csv");
    std::fs::write(&file, TOKENS)?;
    let file = file.display().to_string();
    // The file is read at the start only.
    Kcp::start(&[&["--token-auth-file", &file], flags].concat()).await
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Requests with any path and header, which a client would never send.
pub(crate) struct Raw(HttpTransport);

impl Raw {
    /// With a bearer token, or as nobody when it is empty.
    pub(crate) fn new(kcp: &Kcp, token: &str) -> Result<Self> {
        let token = Some(token.to_owned()).filter(|t| !t.is_empty());
        Ok(Self(HttpTransport::new(&Config { token, ..kcp.config()? })?.0))
    }

    pub(crate) async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer> {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes())?).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Bytes::copy_from_slice(body.as_bytes())).with_context(|| path.to_owned())?;
        let response = self.0.send(request).await.with_context(|| format!("{method} {path}"))?;
        let code = response.status().as_u16();
        let mut stream = response.into_body();
        let mut body = Vec::new();
        while let Some(chunk) = stream.next().await {
            body.extend_from_slice(&chunk?);
        }
        Ok(Answer { code, body: String::from_utf8_lossy(&body).into_owned() })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        self.call("GET", path, &[], "").await
    }
}

/// A workspace of a team with a simulated physical cluster `east` that it syncs to.
pub(crate) struct Team {
    pub(crate) kcp: Kcp,
    pub(crate) cluster: Cluster,
    /// In the workspace.
    pub(crate) kubectl: Kubectl,
    /// In the physical cluster.
    pub(crate) east: Kubectl,
    pub(crate) up: Client,
    pub(crate) down: Client,
}

impl Team {
    pub(crate) const PATH: &'static str = "root:org:team";

    /// Starts everything and waits until deployments have been learned. `resources` are synced besides the usual ones.
    pub(crate) async fn start(kcp_flags: &[&str], resources: &str) -> Result<Self> {
        let kcp = Kcp::start(kcp_flags).await?;
        let env = [("SYNCER_HEARTBEAT_INTERVAL", "500ms"), ("SYNCER_API_IMPORT_POLL_INTERVAL", "2s")];
        let cluster = Cluster::start(&kcp.dir().join("east"), &env).await?;
        let kubectl = kcp.kubectl()?;
        kubectl.ok(&["ws", "use", "root"])?;
        kubectl.ok(&["ws", "create", "org", "--type", "Organization", "--enter"])?;
        kubectl.ok(&["ws", "create", "team", "--enter"])?;
        cluster.join(&kubectl, "east", resources)?;
        let east = cluster.kubectl()?;
        let (up, down) = (kcp.client(Self::PATH)?, cluster.client()?);
        let team = Self { kcp, cluster, kubectl, east, up, down };
        let logs = || format!("{}\n{}", team.cluster.syncer_logs(), team.kcp.log_tail());
        team.until_ready("True").await.with_context(logs)?;
        let crd = gvr("apiextensions.k8s.io", "customresourcedefinitions");
        until(&team.up, &crd, "", "deployments.apps", |o| o.is_some()).await.with_context(logs)?;
        Ok(team)
    }

    /// Waits until the WorkloadCluster's condition Ready has a status.
    pub(crate) async fn until_ready(&self, status: &str) -> Result<Value> {
        let is = |o: Option<&Value>| o.and_then(|o| conditions::get(o, "Ready")).is_some_and(|c| c["status"] == status);
        Ok(until(&self.up, &WORKLOAD_CLUSTER.gvr(), "", "east", is).await?.unwrap_or_default())
    }

    /// Makes a namespace and waits until it has been assigned.
    pub(crate) async fn namespace(&self, name: &str) -> Result {
        self.kubectl.ok(&["create", "namespace", name])?;
        let assigned = |o: Option<&Value>| {
            o.is_some_and(|o| kcp_apimachinery::object::label(o, "workloads.kcp.dev/cluster") == Some("east"))
        };
        until(&self.up, &namespaces(), "", name, assigned).await.map(drop)
    }

    /// Makes a deployment and waits until its status has come back.
    pub(crate) async fn deploy(&self, namespace: &str, name: &str, replicas: u64) -> Result {
        let replicas_flag = format!("--replicas={replicas}");
        let image = "example.org/web:1";
        self.kubectl.ok(&["-n", namespace, "create", "deployment", name, "--image", image, &replicas_flag])?;
        self.available(namespace, name, replicas).await
    }

    /// Waits until a deployment in the workspace says that so many replicas are available.
    pub(crate) async fn available(&self, namespace: &str, name: &str, replicas: u64) -> Result {
        let is = |o: Option<&Value>| o.is_some_and(|o| o["status"]["availableReplicas"] == replicas);
        until(&self.up, &deployments(), namespace, name, is).await.with_context(|| self.cluster.syncer_logs()).map(drop)
    }

    /// The name of a namespace in the physical cluster.
    pub(crate) fn physical(namespace: &str) -> String {
        identity::physical_namespace(Self::PATH, namespace)
    }

    /// Name and resourceVersion of everything of a type in a physical namespace.
    pub(crate) async fn versions(&self, gvr: &GroupVersionResource, namespace: &str) -> Result<Vec<(String, String)>> {
        let list = self.down.list(gvr, &Self::physical(namespace), &kcp_client::ListParams::default()).await?;
        let text = |o: &Value, field: &str| o["metadata"][field].as_str().unwrap_or_default().to_owned();
        Ok(list.items.iter().map(|o| (text(o, "name"), text(o, "resourceVersion"))).collect())
    }
}

/// A kubeconfig for a token, whose one context is a workspace.
pub(crate) fn kubeconfig_for(kcp: &Kcp, token: &str, workspace: &str) -> Result<PathBuf> {
    let path = kcp.dir().join(format!("{token}.kubeconfig"));
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- name: c\n  cluster:\n    server: {}/clusters/{workspace}\n    insecure-skip-tls-verify: true\nusers:\n- name: u\n  user:\n    token: {token}\ncontexts:\n- name: c\n  context:\n    cluster: c\n    user: u\n",
        kcp.url()
    );
    std::fs::write(&path, text)?;
    Ok(path)
}
