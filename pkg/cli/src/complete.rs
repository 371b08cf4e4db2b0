//! Completion: scripts for shells, and answers to kubectl, which runs `kubectl_complete-<plug-in>` for its plug-ins.
//!
//! kubectl hands over the words typed so far, the last one unfinished, and reads candidates, one in a line, and a last line
//! `:<directive>`.

use std::time::Duration;

use clap::{Command, CommandFactory as _};
use kcp_apimachinery::object;
use kcp_apis::tenancy::WORKSPACE;
use kcp_client::ListParams;

use crate::{
    args::{CreateWorkspace, Kcp, Ws},
    session::Session,
    workspace_path::Target,
};

/// Do not complete file names.
const NO_FILES: &str = ":4";
/// How long completion may keep somebody waiting.
const PATIENCE: Duration = Duration::from_secs(2);

/// The candidates for the last of `words`, and the directive. `plugin` is the plug-in's name, such as `ws`.
pub(crate) async fn complete(session: &mut Session<'_>, plugin: &str, words: &[String]) -> Vec<String> {
    let mut command = match plugin {
        "kcp" => Kcp::command(),
        "create-workspace" => CreateWorkspace::command(),
        _ => Ws::command(),
    };
    command.build();
    let (word, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut at_workspace = matches!(plugin, "ws" | "workspace" | "workspaces");
    for step in before.iter().filter(|w| !w.starts_with('-')) {
        let Some(next) = command.find_subcommand(step).cloned() else { break };
        at_workspace = matches!(next.get_name(), "workspace" | "use");
        command = next;
    }
    let mut found = candidates(&command, word);
    if at_workspace && !word.starts_with('-') {
        // Without an answer there is nothing to offer, and nobody to tell.
        if let Ok(Some(names)) = tokio::time::timeout(PATIENCE, workspaces(session, word)).await {
            found.extend(names);
        }
    }
    found.push(NO_FILES.to_owned());
    found
}

fn candidates(command: &Command, word: &str) -> Vec<String> {
    if word.starts_with('-') {
        let flags = command.get_arguments().filter(|a| !a.is_hide_set());
        let flags = flags.filter_map(|a| Some((format!("--{}", a.get_long()?), a.get_help())));
        return flags.filter(|(f, _)| f.starts_with(word)).map(|(f, help)| described(&f, help)).collect();
    }
    let commands = command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name().starts_with(word));
    commands.map(|c| described(c.get_name(), c.get_about())).collect()
}

fn described(name: &str, help: Option<&clap::builder::StyledStr>) -> String {
    let help = help.map(ToString::to_string).unwrap_or_default();
    match help.lines().next().unwrap_or_default() {
        "" => name.to_owned(),
        line => format!("{name}\t{line}"),
    }
}

/// The workspaces that `word` may become: those in the workspace that all but its last segment names.
async fn workspaces(session: &Session<'_>, word: &str) -> Option<Vec<String>> {
    let cut = word.rfind([':', '/']).map_or(0, |at| at + 1);
    let (stem, _) = word.split_at(cut);
    let kubeconfig = session.kubeconfig().ok()?;
    let here = session.here(&kubeconfig).ok()?;
    let place = match Target::parse(stem).ok()? {
        Target::Absolute(place) => place,
        Target::Relative(steps) => here.url.workspace().ok()?.walk(&steps).ok()?,
        Target::Current => here.url.workspace().ok()?.clone(),
        Target::Home(_) | Target::Previous => return None,
    };
    let client = session.server(&kubeconfig, &here).ok()?.at(&place);
    let list = client.list_all(&WORKSPACE.gvr(), "", &ListParams::default()).await.ok()?;
    let names = list.items.iter().map(|w| format!("{stem}{}", object::name(w)));
    Some(names.filter(|n| n.starts_with(word)).collect())
}

/// Writes the completion script of `command` for `shell`.
pub(crate) fn script(shell: clap_complete::Shell, mut command: Command, name: &str, out: &mut dyn std::io::Write) {
    clap_complete::generate(shell, &mut command, name, &mut { out });
}
