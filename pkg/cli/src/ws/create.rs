//! Making workspaces.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use kcp_apis::tenancy::WORKSPACE;
use kcp_client::{Client, WriteParams};
use kcp_logicalcluster::ClusterPath;
use serde_json::{Value, json};

use super::{Found, current_line, find, go};
use crate::{args::Create, session::Session};

/// How long a workspace may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes a workspace and waits until it is ready.
pub(crate) async fn create(session: &mut Session<'_>, args: &Create) -> Result<()> {
    let mut kubeconfig = session.kubeconfig()?;
    let here = session.here(&kubeconfig)?;
    let parent = session.place(&here, args.workspace.as_deref())?;
    let client = session.server(&kubeconfig, &here)?.at(&parent);
    let name = args.name.as_str();
    if args.use_ {
        session.note("--use is deprecated, use --enter");
    }
    let wanted = args.kind.as_deref().map(wanted_type).transpose()?;
    let (mut found, created) = match make(&client, name, wanted.as_ref()).await {
        Ok(made) => (Found::from_value(&made), true),
        Err(e) if e.is_already_exists() && args.ignore_existing => match find(&client, name).await? {
            Some(found) => (found, false),
            None => return Err(e.into()),
        },
        Err(e) => return Err(e.into()),
    };
    if !created && wanted.as_ref().is_some_and(|wanted| !is_of(&found, wanted)) {
        bail!("workspace {name:?} already exists with different type {:?}", found.kind);
    }
    let kind = if found.kind.is_empty() { String::new() } else { format!(" (type {:?})", found.kind) };
    match (created, found.is_ready()) {
        (true, _) => session.say(format!("Workspace {name:?}{kind} created. Waiting for being ready."))?,
        (false, false) => session.say(format!("Workspace {name:?}{kind} already exists. Waiting for being ready."))?,
        (false, true) => session.say(format!("Workspace {name:?}{kind} already exists."))?,
    }
    if !found.is_ready() {
        found = wait(&client, name).await?;
    }
    let server = here.url.at(&parent.walk(&[name.to_owned()])?);
    if args.enter || args.use_ {
        go::enter(&mut kubeconfig, &here, &server)?;
        session.say(current_line(&server, &found.kind))?;
    }
    if let Some(context) = &args.create_context {
        let line = go::write_context(&mut kubeconfig, &here, context, &server, false)?;
        session.say(line)?;
    }
    Ok(())
}

/// The reference to a type that `--type` names: a name, in any case, with the path of the workspace that has it or
/// without.
fn wanted_type(text: &str) -> Result<Value> {
    let text = text.to_lowercase();
    let text = text.trim_start_matches(':');
    let (path, name) = match text.rsplit_once(':') {
        Some((path, name)) => (Some(path), name),
        None => (None, text),
    };
    let fine = ClusterPath::new(text).is_ok();
    match (fine, path) {
        (false, _) => bail!("invalid workspace type {text:?}"),
        (true, None) => Ok(json!({"name": name})),
        (true, Some(path)) => Ok(json!({"name": name, "path": path})),
    }
}

fn is_of(found: &Found, wanted: &Value) -> bool {
    let text = |field: &str| wanted.get(field).and_then(Value::as_str).unwrap_or_default();
    found.kind.eq_ignore_ascii_case(text("name")) && (text("path").is_empty() || text("path") == found.kind_path)
}

async fn make(client: &Client, name: &str, kind: Option<&Value>) -> Result<Value, kcp_client::Error> {
    let spec = kind.map_or_else(|| json!({}), |kind| json!({"type": kind}));
    let object = json!({
        "apiVersion": WORKSPACE.api_version(), "kind": WORKSPACE.kind, "metadata": {"name": name}, "spec": spec,
    });
    client.create(&WORKSPACE.gvr(), "", &object, &WriteParams::manager("kubectl-ws")).await
}

/// Waits until the workspace is ready.
async fn wait(client: &Client, name: &str) -> Result<Found> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(20);
    let mut kind = String::new();
    while start.elapsed() < PATIENCE {
        match find(client, name).await? {
            Some(found) if found.is_ready() => return Ok(found),
            Some(found) => kind = found.kind,
            None => bail!("workspace {name:?} was deleted while waiting for it"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
    bail!("workspace {name:?} (type {kind:?}) created but not ready")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_in_any_case() {
        assert_eq!(wanted_type("Organization").unwrap(), json!({"name": "organization"}));
        assert_eq!(wanted_type("root:Org:MyType").unwrap(), json!({"name": "mytype", "path": "root:org"}));
        assert_eq!(wanted_type(":root:team").unwrap(), json!({"name": "team", "path": "root"}));
        for bad in ["", "a b", "root:", "a/b"] {
            assert!(wanted_type(bad).is_err(), "{bad}");
        }
    }
}
