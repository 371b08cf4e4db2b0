//! `kubectl ws`.

mod create;
mod go;
mod tree;

use anyhow::{Result, bail};
use kcp_apis::tenancy::{WORKSPACE, display_type};
use kcp_client::Client;
use serde_json::Value;

use crate::{
    args::{WsArgs, WsCommand},
    session::Session,
    table,
    workspace_path::{Place, ServerUrl},
};

pub(crate) use create::create;

/// Runs a sub-command; `completion` is not one for here.
pub(crate) async fn run(session: &mut Session<'_>, args: WsArgs) -> Result<()> {
    match args.command {
        None => match args.workspace {
            None => go::current(session, args.short),
            Some(workspace) => go::go(session, &workspace, args.short).await,
        },
        Some(WsCommand::Use { workspace, short }) => go::go(session, &workspace, short).await,
        Some(WsCommand::Current { short }) => go::current(session, short),
        Some(WsCommand::List { workspace }) => list(session, workspace.as_deref()).await,
        Some(WsCommand::Tree(args)) => tree::tree(session, &args).await,
        Some(WsCommand::Create(args)) => create(session, &args).await,
        Some(WsCommand::CreateContext { name, overwrite }) => go::create_context(session, name.as_deref(), overwrite),
        Some(WsCommand::Delete { name }) => {
            let name = name.as_deref().unwrap_or("<workspace-name>");
            bail!("\"kubectl ws delete\" is gone; run: kubectl delete workspace {name}")
        }
        Some(WsCommand::Completion { .. }) => Ok(()),
    }
}

async fn list(session: &mut Session<'_>, flag: Option<&str>) -> Result<()> {
    let kubeconfig = session.kubeconfig()?;
    let here = session.here(&kubeconfig)?;
    let place = session.place(&here, flag)?;
    let client = session.server(&kubeconfig, &here)?.at(&place);
    let lines = table::list(&client, &WORKSPACE.gvr()).await?;
    if lines.is_empty() {
        session.note(format!("No workspaces in {:?}.", place.to_string()));
    }
    lines.into_iter().try_for_each(|line| session.say(line))
}

/// A Workspace as far as the commands care.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    /// Its type as people see it, such as `Organization`; empty when not known.
    kind: String,
    /// The path of the workspace that has its type; empty when not said.
    kind_path: String,
    phase: String,
    /// Its URL; empty when it has none yet.
    url: String,
}

impl Found {
    fn from_value(workspace: &Value) -> Self {
        let text = |pointer: &str| workspace.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            kind: display_type(&text("/spec/type/name")),
            kind_path: text("/spec/type/path"),
            phase: text("/status/phase"),
            url: text("/spec/URL"),
        }
    }

    fn is_ready(&self) -> bool {
        self.phase == "Ready"
    }
}

async fn find(client: &Client, name: &str) -> Result<Option<Found>, kcp_client::Error> {
    Ok(client.find(&WORKSPACE.gvr(), "", name).await?.map(|w| Found::from_value(&w)))
}

/// The line that says where we are. `kind` is empty when the type is not known.
fn current_line(server: &str, kind: &str) -> String {
    let url = ServerUrl::parse(server);
    match &url.place {
        None => format!("Current workspace is the URL {:?}.", url.as_str()),
        Some(place) if kind.is_empty() => format!("Current workspace is {:?}.", place.to_string()),
        Some(place) => format!("Current workspace is {:?} (type {kind:?}).", place.to_string()),
    }
}

/// What `--short` prints: the path, or the URL where there is none.
fn short_line(server: &str) -> String {
    let url = ServerUrl::parse(server);
    url.place.as_ref().map_or_else(|| url.as_str().to_owned(), Place::to_string)
}

#[cfg(test)]
mod tests;
