//! The server that is measured.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use bytes::Bytes;
use kcp_client::{Client, Config};
use kcp_test_framework::Kcp;
use rand::Rng as _;
use serde_json::{Value, json};

use crate::{
    args::Args,
    load::{Lanes, Request},
    probe::Probe,
    report::absent,
};

/// A server, ours or another's.
pub(crate) struct Target {
    pub(crate) config: Config,
    pub(crate) probe: Probe,
    /// Ours, in a process that we may kill.
    pub(crate) own: Option<Kcp>,
    /// `/clusters/root:default` on a server with workspaces, else empty.
    pub(crate) home: String,
    _dir: Option<tempfile::TempDir>,
}

impl Target {
    /// Starts ours, or takes the one given.
    ///
    /// # Errors
    /// When it does not start or cannot be reached.
    pub(crate) async fn open(server: &str, config: Option<&Config>, args: &Args) -> anyhow::Result<Self> {
        let Some(config) = config else {
            let dir = tempfile::Builder::new().prefix("kcp-bench-").tempdir_in(args.dir()?)?;
            let kcp = Kcp::start_in(dir.path(), &["--log-level", "warn"]).await?;
            let config = kcp.config()?;
            let probe = Probe::new(kcp.pid().into_iter().collect::<Vec<_>>());
            return Ok(Self { config, probe, own: Some(kcp), home: "/clusters/root:default".into(), _dir: Some(dir) });
        };
        let pids = if server == "peer" { &args.peer_pid } else { &args.pid };
        let client = Client::new(config)?;
        let groups = client.get_path("/apis").await.context("the server cannot be reached")?;
        let kcp = groups["groups"].as_array().is_some_and(|g| g.iter().any(|g| g["name"] == "tenancy.kcp.io"));
        let (mut config, mut home) = (config.clone(), String::new());
        if kcp && let Some(at) = config.server.find("/clusters/") {
            home = config.server[at..].to_owned();
            config.server.truncate(at);
        }
        Ok(Self { config, probe: Probe::new(pids.clone()), own: None, home, _dir: None })
    }

    /// Whether it has workspaces; those workloads are absent elsewhere.
    ///
    /// # Errors
    /// When it has none.
    pub(crate) fn needs_workspaces(&self) -> anyhow::Result<()> {
        if self.home.is_empty() { absent("this server has no workspaces") } else { Ok(()) }
    }

    /// Our own process, for workloads that kill it or need files of it.
    ///
    /// # Errors
    /// When the server is not started by us.
    pub(crate) fn needs_own(&mut self) -> anyhow::Result<&mut Kcp> {
        match &mut self.own {
            Some(kcp) => Ok(kcp),
            None => absent("only measured on a server that this program starts"),
        }
    }

    /// A client in the workspace that the load goes to.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let client = Client::new(&self.config)?;
        Ok(if self.home.is_empty() { client } else { client.at(&self.home) })
    }

    /// Connections.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub(crate) fn lanes(&self, count: usize) -> anyhow::Result<Arc<Lanes>> {
        Lanes::new(&self.config, count)
    }

    /// Makes a namespace with a new name and gives the path of a resource in it.
    ///
    /// # Errors
    /// When the server refuses.
    pub(crate) async fn namespace(&self, lanes: &Lanes) -> anyhow::Result<Namespace> {
        let name = format!("bench-{:08x}", rand::rng().next_u32());
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        lanes.send(0, &Request::post(format!("{}/api/v1/namespaces", self.home), body.to_string())).await?;
        Ok(Namespace { home: self.home.clone(), name })
    }

    /// The number of series in `/metrics`.
    ///
    /// # Errors
    /// When it is not served.
    pub(crate) async fn metric_series(&self) -> anyhow::Result<usize> {
        let text = self.lanes(1)?.send(0, &Request::get("/metrics")).await?;
        Ok(text.split(|b| *b == b'\n').filter(|l| !l.is_empty() && !l.starts_with(b"#")).count())
    }
}

/// A namespace for the load.
#[derive(Debug, Clone)]
pub(crate) struct Namespace {
    home: String,
    pub(crate) name: String,
}

impl Namespace {
    /// The path of a resource in the core group.
    pub(crate) fn core(&self, resource: &str) -> String {
        format!("{}/api/v1/namespaces/{}/{resource}", self.home, self.name)
    }
    /// The path of a resource in another group, version `v1`.
    pub(crate) fn group(&self, group: &str, resource: &str) -> String {
        format!("{}/apis/{group}/v1/namespaces/{}/{resource}", self.home, self.name)
    }
}

/// Random text of a length: nothing that compresses flatters a disk.
pub(crate) fn random_text(length: usize) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
    let mut bytes = vec![0u8; length * 3 / 4 + 3];
    rand::rng().fill_bytes(&mut bytes);
    let mut text = STANDARD_NO_PAD.encode(bytes);
    text.truncate(length);
    text
}

/// A ConfigMap of about 1 KB as it is sent.
pub(crate) fn config_map(name: &str, payload: &str) -> Bytes {
    Bytes::from(format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","labels":{{"app":"bench"}}}},"data":{{"payload":"{payload}"}}}}"#
    ))
}

/// The size of the payload that makes it 1 KB.
pub(crate) const PAYLOAD: usize = 900;

/// A definition of a custom resource with a small structural schema.
pub(crate) fn definition(plural: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}")},
        "spec": {
            "group": GROUP, "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["size"], "properties": {
                        "size": {"type": "integer", "minimum": 0},
                        "mode": {"type": "string", "enum": ["fast", "safe"], "default": "safe"},
                        "payload": {"type": "string", "maxLength": 4096},
                        "tags": {"type": "array", "items": {"type": "string"}},
                    }},
                    "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
                }}},
            }],
        },
    })
}

/// The group of the definitions.
pub(crate) const GROUP: &str = "bench.example.org";

/// A custom resource of about 0.9 KB as it is sent.
pub(crate) fn custom(kind: &str, name: &str, payload: &str) -> Bytes {
    Bytes::from(format!(
        r#"{{"apiVersion":"{GROUP}/v1","kind":"{kind}","metadata":{{"name":"{name}","labels":{{"app":"bench"}}}},"spec":{{"size":3,"tags":["a","b"],"payload":"{payload}"}}}}"#
    ))
}

/// A folder of ours that lives as long as the workload.
pub(crate) fn scratch(args: &Args) -> anyhow::Result<(tempfile::TempDir, PathBuf)> {
    let dir = tempfile::Builder::new().prefix("kcp-bench-").tempdir_in(args.dir()?)?;
    let path = dir.path().to_owned();
    Ok((dir, path))
}
