//! `kubectl kcp workload`.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use kcp_apimachinery::time::Timestamp;
use kcp_apis::workload::WORKLOAD_CLUSTER;
use kcp_client::{Client, DeleteParams, Patch, WriteParams};
use kcp_workload::{
    manifests::{self, SyncOptions, Upstream},
    registration,
};
use serde_json::{Value, json};

use crate::{
    args::{Sync, Workload},
    session::Session,
    table,
};

const MANAGER: &str = "kubectl-kcp";

/// Runs a sub-command.
pub(crate) async fn run(session: &mut Session<'_>, command: Workload) -> Result<()> {
    match command {
        Workload::Sync(args) => sync(session, args).await,
        Workload::List => list(session).await,
        Workload::Cordon { name } => schedule(session, &name, Wanted::Cordoned).await,
        Workload::Uncordon { name } => schedule(session, &name, Wanted::Uncordoned).await,
        Workload::Drain { name } => schedule(session, &name, Wanted::Drained).await,
        Workload::Unsync { name } => unsync(session, &name).await,
    }
}

/// A client for the current workspace.
fn client(session: &Session<'_>) -> Result<Client> {
    let kubeconfig = session.kubeconfig()?;
    let here = session.here(&kubeconfig)?;
    Ok(session.server(&kubeconfig, &here)?.at(here.url.workspace()?))
}

async fn sync(session: &mut Session<'_>, args: Sync) -> Result<()> {
    let options = SyncOptions {
        workload_cluster: args.name.unwrap_or_default(),
        syncer_image: args.syncer_image,
        resources: args.resources,
        replicas: args.replicas,
        kcp_namespace: args.kcp_namespace,
    };
    options.validate()?;
    let kubeconfig = session.kubeconfig()?;
    let here = session.here(&kubeconfig)?;
    let config = kubeconfig.config(&session.overrides)?;
    if config.insecure && config.ca.is_none() {
        bail!(
            "the context does not check the server's certificate (insecure-skip-tls-verify), and a syncer always does: \
             use a context with the certificate authority of {}",
            here.url.base
        );
    }
    let place = here.url.workspace()?.clone();
    let client = session.server(&kubeconfig, &here)?.at(&place);
    let token = registration::register(&client, &options).await?;
    let upstream = Upstream {
        path: place.to_string(),
        server: here.url.base.clone(),
        ca_data: config.ca.map(|pem| STANDARD.encode(pem)).unwrap_or_default(),
        token,
    };
    let text = manifests::render(&options, &upstream);
    match args.output_file.as_deref() {
        Some(path) if path != Path::new("-") => {
            write_private(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
            session.note(format!(
                "Wrote the manifests of the syncer, which hold its token, to {path}. To start it and see it become ready:\n\n  \
                 KUBECONFIG=<kubeconfig of the physical cluster> kubectl apply -f {path}\n  \
                 kubectl wait --for=condition=Ready workloadcluster/{name}",
                path = path.display(),
                name = options.workload_cluster
            ));
            Ok(())
        }
        _ => session.out.write_all(text.as_bytes()).context("cannot write to standard output"),
    }
}

/// Writes a file that holds a token: for its owner only, whole or not at all.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

async fn list(session: &mut Session<'_>) -> Result<()> {
    let lines = table::list(&client(session)?, &WORKLOAD_CLUSTER.gvr()).await?;
    if lines.is_empty() {
        session.note("No physical clusters. \"kubectl kcp workload sync\" makes the workspace know one.");
    }
    lines.into_iter().try_for_each(|line| session.say(line))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Cordoned,
    Uncordoned,
    Drained,
}

/// What to write to get a WorkloadCluster from `spec` to what is wanted, if anything, and what to say.
fn change(spec: Option<&Value>, wanted: Wanted, now: Timestamp) -> (Option<Value>, &'static str) {
    let is = |field: &str| spec.and_then(|s| s.get(field)).is_some_and(|v| !v.is_null() && *v != false);
    let (cordoned, draining) = (is("unschedulable"), is("evictAfter"));
    match wanted {
        Wanted::Cordoned if cordoned => (None, "already cordoned"),
        Wanted::Cordoned => (Some(json!({"spec": {"unschedulable": true}})), "cordoned"),
        Wanted::Uncordoned if !cordoned && !draining => (None, "already uncordoned"),
        Wanted::Uncordoned => (Some(json!({"spec": {"unschedulable": false, "evictAfter": null}})), "uncordoned"),
        Wanted::Drained if cordoned && draining => (None, "already draining"),
        Wanted::Drained => (Some(json!({"spec": {"unschedulable": true, "evictAfter": now.rfc3339()}})), "draining"),
    }
}

async fn schedule(session: &mut Session<'_>, name: &str, wanted: Wanted) -> Result<()> {
    let client = client(session)?;
    let gvr = WORKLOAD_CLUSTER.gvr();
    let found = client.get(&gvr, "", name).await?;
    let (patch, word) = change(found.get("spec"), wanted, Timestamp::now());
    if let Some(patch) = patch {
        client.patch(&gvr, "", name, "", &Patch::Merge(&patch), &WriteParams::manager(MANAGER)).await?;
    }
    session.say(format!("{name} {word}"))
}

async fn unsync(session: &mut Session<'_>, name: &str) -> Result<()> {
    client(session)?.delete(&WORKLOAD_CLUSTER.gvr(), "", name, &DeleteParams::default()).await?;
    session.say(format!("{name} is being removed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheduling_is_changed_once() {
        let now = Timestamp::from_unix_seconds(0);
        let cases = [
            (json!({}), Wanted::Cordoned, true, "cordoned"),
            (json!({"unschedulable": true}), Wanted::Cordoned, false, "already cordoned"),
            (json!({"unschedulable": false}), Wanted::Uncordoned, false, "already uncordoned"),
            (json!({"unschedulable": true}), Wanted::Uncordoned, true, "uncordoned"),
            (json!({"evictAfter": "t"}), Wanted::Uncordoned, true, "uncordoned"),
            (json!({"unschedulable": true}), Wanted::Drained, true, "draining"),
            (json!({"unschedulable": true, "evictAfter": "t"}), Wanted::Drained, false, "already draining"),
        ];
        for (spec, wanted, writes, word) in cases {
            let (patch, said) = change(Some(&spec), wanted, now);
            assert_eq!((patch.is_some(), said), (writes, word), "{spec} {wanted:?}");
        }
        assert_eq!(change(None, Wanted::Drained, now).0.unwrap()["spec"]["evictAfter"], "1970-01-01T00:00:00Z");
    }
}
