//! Workspaces as a tree.

use anyhow::Result;
use kcp_apimachinery::object;
use kcp_apis::tenancy::WORKSPACE;
use kcp_client::ListParams;

use super::Found;
use crate::{
    args::Tree,
    session::{Server, Session},
    workspace_path::Place,
};

/// A workspace that is still to be printed.
struct Node {
    place: Place,
    label: String,
    /// What stands before its children.
    indent: String,
    /// What stands before it.
    branch: String,
}

/// Prints the workspaces below the current one, each as soon as it is known.
pub(super) async fn tree(session: &mut Session<'_>, args: &Tree) -> Result<()> {
    let kubeconfig = session.kubeconfig()?;
    let here = session.here(&kubeconfig)?;
    let top = session.place(&here, args.workspace.as_deref())?;
    let server = session.server(&kubeconfig, &here)?;
    session.say(".")?;
    let label = match &top {
        Place::Path(path) if !args.full => path.base().to_owned(),
        other => other.to_string(),
    };
    let mut open = vec![Node { place: top, label, indent: "    ".to_owned(), branch: "└── ".to_owned() }];
    // Depth first, with a stack of our own: trees may be deep.
    while let Some(node) = open.pop() {
        let label = session.bold(&node.label);
        session.say(format!("{}{label}", node.branch))?;
        let children = match children(&server, &node.place, args).await {
            Ok(children) => children,
            Err(e) if e.is_forbidden() || e.is_not_found() => Vec::new(),
            Err(e) => return Err(e.into()),
        };
        let last = children.len().saturating_sub(1);
        for (i, (name, label)) in children.into_iter().enumerate().rev() {
            let (branch, below) = if i == last { ("└── ", "    ") } else { ("├── ", "│   ") };
            open.push(Node {
                place: node.place.walk(&[name])?,
                label,
                indent: format!("{}{below}", node.indent),
                branch: format!("{}{branch}", node.indent),
            });
        }
    }
    Ok(())
}

/// Names and labels of the children, sorted.
async fn children(server: &Server, place: &Place, args: &Tree) -> Result<Vec<(String, String)>, kcp_client::Error> {
    let list = server.at(place).list_all(&WORKSPACE.gvr(), "", &ListParams::default()).await?;
    let mut children: Vec<(String, String)> = Vec::new();
    for workspace in &list.items {
        let name = object::name(workspace).to_owned();
        let mut label = if args.full { format!("{place}:{name}") } else { name.clone() };
        if args.wide {
            let found = Found::from_value(workspace);
            label.push_str(&format!(" ({}, {})", found.kind, found.phase));
        }
        children.push((name, label));
    }
    children.sort();
    Ok(children)
}
