use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::stream;
use kcp_client::{BodyStream, BoxFuture, Client, Transport, TransportError};
use serde_json::json;

use crate::{
    kubeconfig::{Kubeconfig, Section, Source},
    run::{World, dispatch},
};

/// A server of workspaces: paths and phases. `locked` ones refuse everybody.
#[derive(Default)]
struct Fake {
    workspaces: Mutex<BTreeMap<String, (String, &'static str)>>,
    locked: Vec<String>,
    asked: Mutex<Vec<String>>,
}

impl Fake {
    fn workspace(&self, path: &str) -> Option<serde_json::Value> {
        let all = self.workspaces.lock().unwrap();
        let (kind, phase) = all.get(path)?;
        let name = path.rsplit(':').next().unwrap();
        Some(
            json!({"metadata": {"name": name}, "spec": {"type": {"name": kind, "path": "root"}, "URL": format!("https://h:6443/clusters/{path}")}, "status": {"phase": phase}}),
        )
    }

    fn answer(&self, method: &str, path: &str, body: &[u8]) -> (u16, serde_json::Value) {
        let status = |code: u16, reason: &str| {
            (code, json!({"kind": "Status", "status": "Failure", "reason": reason, "message": reason, "code": code}))
        };
        let (cluster, rest) = path.strip_prefix("/clusters/").and_then(|p| p.split_once('/')).unwrap();
        let rest = rest.split('?').next().unwrap();
        let known = cluster == "root" || self.workspace(cluster).is_some();
        if self.locked.iter().any(|l| l == cluster) || !known {
            return status(403, "Forbidden");
        }
        let Some(name) = rest.strip_prefix("apis/tenancy.kcp.io/v1alpha1/workspaces") else { return (200, json!({})) };
        let name = name.trim_start_matches('/');
        let child = format!("{cluster}:{name}");
        match (method, name) {
            ("GET", "") => {
                let names: Vec<String> = self.workspaces.lock().unwrap().keys().cloned().collect();
                let own = names.iter().filter(|n| n.rsplit_once(':').is_some_and(|(parent, _)| parent == cluster));
                let items: Vec<_> = own.filter_map(|n| self.workspace(n)).collect();
                let rows: Vec<_> =
                    items.iter().map(|w| json!({"cells": [w["metadata"]["name"], w["status"]["phase"]]})).collect();
                (
                    200,
                    json!({"items": items, "metadata": {}, "columnDefinitions": [{"name": "Name"}, {"name": "Phase"}], "rows": rows}),
                )
            }
            ("GET", "~") => (
                200,
                json!({"metadata": {"name": "~"}, "spec": {"type": {"name": "home"}, "URL": "https://h:6443/clusters/user:jane"}, "status": {"phase": "Ready"}}),
            ),
            ("GET", _) => self.workspace(&child).map_or_else(|| status(404, "NotFound"), |w| (200, w)),
            ("POST", _) => {
                let wanted: serde_json::Value = serde_json::from_slice(body).unwrap();
                let child = format!("{cluster}:{}", wanted["metadata"]["name"].as_str().unwrap());
                if self.workspace(&child).is_some() {
                    return status(409, "AlreadyExists");
                }
                let kind = wanted["spec"]["type"]["name"].as_str().unwrap_or("universal").to_owned();
                self.workspaces.lock().unwrap().insert(child.clone(), (kind, "Ready"));
                (201, self.workspace(&child).unwrap())
            }
            _ => status(405, "MethodNotAllowed"),
        }
    }
}

impl Transport for Fake {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<BodyStream>, TransportError>> {
        let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        self.asked.lock().unwrap().push(format!("{} {path}", request.method()));
        let (code, value) = self.answer(request.method().as_str(), &path, request.body());
        let body: BodyStream = Box::pin(stream::iter([Ok(Bytes::from(value.to_string()))]));
        Box::pin(async move { Ok(http::Response::builder().status(code).body(body).unwrap()) })
    }
}

struct Desk {
    _dir: tempfile::TempDir,
    config: PathBuf,
    fake: Arc<Fake>,
}

impl Desk {
    fn new(workspaces: &[(&str, &str, &'static str)], locked: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config");
        let text = "contexts: [{name: default, context: {cluster: default, user: admin, namespace: ns}}]\nclusters: [{name: default, cluster: {server: 'https://h:6443/clusters/root:default', insecure-skip-tls-verify: true}}]\nusers: [{name: admin, user: {token: t}}]\ncurrent-context: default\n";
        std::fs::write(&config, text).unwrap();
        let all = workspaces.iter().map(|(p, k, s)| ((*p).to_owned(), ((*k).to_owned(), *s))).collect();
        let locked = locked.iter().map(|l| (*l).to_owned()).collect();
        let fake = Fake { workspaces: Mutex::new(all), locked, asked: Mutex::default() };
        Self { _dir: dir, config, fake: Arc::new(fake) }
    }

    /// Runs a command line; gives what it printed, or its error.
    fn run(&self, line: &str) -> Result<String, String> {
        let config = self.config.clone();
        let fake = Arc::clone(&self.fake);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut world = World {
            args: line.split(' ').map(OsString::from).collect(),
            env: &|name| match name {
                "KUBECONFIG" => Some(config.clone().into()),
                "HOME" => Some("/home/jane".into()),
                _ => None,
            },
            connect: &|| {
                let fake = Arc::clone(&fake);
                Box::new(move |_| Ok(Client::over(Arc::clone(&fake) as _, "")))
            },
            out: &mut out,
            err: &mut err,
            color: false,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let result = runtime.block_on(dispatch(&mut world));
        let out = String::from_utf8(out).unwrap().trim_end().to_owned();
        match result {
            Ok(code) if code == ExitCode::SUCCESS => Ok(out),
            Ok(_) => Err(String::from_utf8(err).unwrap()),
            Err(e) => Err(format!("{e:#}")),
        }
    }

    fn kubeconfig(&self) -> Kubeconfig {
        Kubeconfig::load(&Source::explicit(&self.config)).unwrap()
    }
}

fn telcops() -> Desk {
    Desk::new(
        &[
            ("root:default", "organization", "Ready"),
            ("root:telcops", "organization", "Ready"),
            ("root:telcops:team-a", "universal", "Ready"),
            ("root:slow", "universal", "Initializing"),
            ("root:shut", "universal", "Ready"),
        ],
        &["root:shut"],
    )
}

#[test]
fn the_story() {
    let desk = Desk::new(&[("root:default", "organization", "Ready")], &[]);
    let lines = [
        ("kubectl-ws", "Current workspace is \"root:default\"."),
        ("kubectl-ws use root", "Current workspace is \"root\"."),
        (
            "kubectl-ws create telcops --type Organization",
            "Workspace \"telcops\" (type \"Organization\") created. Waiting for being ready.",
        ),
        ("kubectl-ws use telcops", "Current workspace is \"root:telcops\" (type \"Organization\")."),
        ("kubectl-ws create team-a", "Workspace \"team-a\" (type \"Universal\") created. Waiting for being ready."),
        ("kubectl-ws use team-a", "Current workspace is \"root:telcops:team-a\" (type \"Universal\")."),
        ("kubectl-ws ..", "Current workspace is \"root:telcops\"."),
        (
            "kubectl-ws create team-b --enter",
            "Workspace \"team-b\" (type \"Universal\") created. Waiting for being ready.\nCurrent workspace is \"root:telcops:team-b\" (type \"Universal\").",
        ),
        ("kubectl-ws -", "Current workspace is \"root:telcops\"."),
        ("kubectl-ws -", "Current workspace is \"root:telcops:team-b\"."),
        ("kubectl-ws current --short", "root:telcops:team-b"),
        ("kubectl-kcp ws ..:team-a", "Current workspace is \"root:telcops:team-a\" (type \"Universal\")."),
        ("kubectl-ws /root/telcops", "Current workspace is \"root:telcops\" (type \"Organization\")."),
        ("kubectl-workspaces .", "Current workspace is \"root:telcops\"."),
        ("kubectl-ws /home/jane", "Current workspace is \"user:jane\" (type \"Home\")."),
        ("kubectl-ws :root", "Current workspace is \"root\"."),
        ("kubectl-ws list", "NAME      PHASE\ndefault   Ready\ntelcops   Ready"),
        ("kubectl-ws tree", ".\n└── root\n    ├── default\n    └── telcops\n        ├── team-a\n        └── team-b"),
        (
            "kubectl-ws tree --full -w telcops",
            ".\n└── root:telcops\n    ├── root:telcops:team-a\n    └── root:telcops:team-b",
        ),
        (
            "kubectl-create-workspace deep -w telcops:team-a",
            "Workspace \"deep\" (type \"Universal\") created. Waiting for being ready.",
        ),
    ];
    for (line, want) in lines {
        assert_eq!(desk.run(line).as_deref(), Ok(want), "{line}");
    }
    let config = desk.kubeconfig();
    assert_eq!(config.names(Section::Contexts), ["default", "workspace.kcp.io/current", "workspace.kcp.io/previous"]);
    assert_eq!(config.resolve("default").unwrap().context["namespace"], "ns", "what was there is as it was");
    let current = config.resolve("workspace.kcp.io/current").unwrap();
    assert_eq!((current.context["user"].as_str(), current.context.get("namespace")), (Some("admin"), None));
}

#[test]
fn mistakes_are_named() {
    let desk = telcops();
    let before = std::fs::read_to_string(&desk.config).unwrap();
    let lines = [
        ("kubectl-ws -", "no previous workspace found in kubeconfig"),
        ("kubectl-ws root:slow", "workspace \"slow\" is not ready"),
        ("kubectl-ws root:none", "workspace \"root:none\" not found"),
        ("kubectl-ws root:shut", "access to workspace \"root:shut\" denied"),
        ("kubectl-ws root:shut:x", "access to workspace \"root:shut:x\" denied"),
        ("kubectl-ws A", "invalid workspace path: A"),
        ("kubectl-ws --context no", "the kubeconfig has no context \"no\""),
        ("kubectl-ws ../../..", "current workspace is \"root\""),
        ("kubectl-ws create telcops -w root", "AlreadyExists"),
        (
            "kubectl-ws create telcops -w root --type Team --ignore-existing",
            "workspace \"telcops\" already exists with different type \"Organization\"",
        ),
        ("kubectl-ws create x --type a/b", "invalid workspace type \"a/b\""),
        ("kubectl-ws delete x", "\"kubectl ws delete\" is gone; run: kubectl delete workspace x"),
        (
            "kubectl-ws create-context default",
            "context \"default\" already exists in kubeconfig, use --overwrite to update it",
        ),
        ("kubectl-kcp workload sync e", "a value must be specified for --syncer-image"),
        ("kubectl-kcp workload sync e --syncer-image i --replicas 2", "only 0 and 1 are allowed as --replicas values"),
    ];
    for (line, want) in lines {
        assert_eq!(desk.run(line), Err(want.to_owned()), "{line}");
    }
    assert_eq!(std::fs::read_to_string(&desk.config).unwrap(), before, "a command that fails changes nothing");
    let url = desk.run("kubectl-ws --server https://h:6443").unwrap();
    assert_eq!(url, "Current workspace is the URL \"https://h:6443\".");
    let none = desk.run("kubectl-ws list --server https://h:6443").unwrap_err();
    assert_eq!(none, "current URL \"https://h:6443\" does not point to cluster workspace");
    assert!(desk.run("kubectl-kcp workload sync").unwrap_err().contains("--syncer-image"));
    assert!(desk.run("kubectl-ws a b").unwrap_err().contains("Usage: kubectl ws"));
    assert!(desk.run("kubectl-ws --help").unwrap().contains("kubectl ws create team-a --enter"));
}

#[test]
fn existing_workspaces_may_be_fine() {
    let desk = telcops();
    let lines = [
        (
            "kubectl-ws create telcops -w root --ignore-existing",
            "Workspace \"telcops\" (type \"Organization\") already exists.",
        ),
        (
            "kubectl-ws create telcops -w root --type root:ORGANIZATION --ignore-existing --use",
            "Workspace \"telcops\" (type \"Organization\") already exists.\nCurrent workspace is \"root:telcops\" (type \"Organization\").",
        ),
        ("kubectl-ws create-context", "Created context \"root:telcops\" and switched to it."),
        ("kubectl-ws create-context --overwrite", "Updated context \"root:telcops\"."),
        ("kubectl-ws create-context default --overwrite", "Updated context \"default\" and switched to it."),
        (
            "kubectl-ws create team-c --create-context c",
            "Workspace \"team-c\" (type \"Universal\") created. Waiting for being ready.\nCreated context \"c\" and switched to it.",
        ),
    ];
    for (line, want) in lines {
        assert_eq!(desk.run(line).as_deref(), Ok(want), "{line}");
    }
    assert_eq!(desk.kubeconfig().resolve("c").unwrap().server, "https://h:6443/clusters/root:telcops:team-c");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&desk.config).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

/// A workspace that may be entered but not seen from its parent.
#[test]
fn closed_parents_do_not_matter() {
    let desk =
        Desk::new(&[("root:shut", "organization", "Ready"), ("root:shut:mine", "universal", "Ready")], &["root:shut"]);
    assert_eq!(desk.run("kubectl-ws root:shut:mine").as_deref(), Ok("Current workspace is \"root:shut:mine\"."));
    assert_eq!(desk.run("kubectl-ws tree -w root").as_deref(), Ok(".\n└── root\n    └── shut"));
}

#[test]
fn kubectl_is_told_candidates() {
    let desk = telcops();
    let words = |line: &str| -> Vec<String> {
        let out = desk.run(line).unwrap();
        out.lines().map(|l| l.split('\t').next().unwrap().to_owned()).collect()
    };
    assert_eq!(words("kubectl_complete-ws cr"), ["create", "create-context", ":4"]);
    assert_eq!(words("kubectl_complete-ws root:t"), ["root:telcops", ":4"]);
    assert_eq!(words("kubectl_complete-ws use root:telcops/"), ["root:telcops/team-a", ":4"]);
    assert_eq!(words("kubectl_complete-ws current --s"), ["--short", "--server", ":4"].map(str::to_owned));
    assert_eq!(words("kubectl_complete-kcp workload un"), ["uncordon", "unsync", ":4"]);
    assert!(desk.run("kubectl-ws completion bash").unwrap().contains("kubectl-ws"));
}
