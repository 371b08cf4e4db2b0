//! Going from workspace to workspace, and keeping contexts for them.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use kcp_apis::tenancy::WORKSPACE;

use super::{Found, current_line, find, short_line};
use crate::{
    kubeconfig::{Kubeconfig, Section},
    session::{CURRENT, Here, PREVIOUS, Server, Session},
    workspace_path::{Place, ServerUrl, Target},
};

/// How long a user's own workspace may take to come into being.
const HOME_PATIENCE: Duration = Duration::from_secs(60);

/// Says where we are.
pub(super) fn current(session: &mut Session<'_>, short: bool) -> Result<()> {
    let kubeconfig = session.kubeconfig()?;
    let here = session.here(&kubeconfig)?;
    let server = here.context.server;
    session.say(if short { short_line(&server) } else { current_line(&server, "") })
}

/// Goes to the workspace that `text` means.
pub(super) async fn go(session: &mut Session<'_>, text: &str, short: bool) -> Result<()> {
    let mut kubeconfig = session.kubeconfig()?;
    let here = session.here(&kubeconfig)?;
    let (server, kind) = match Target::parse(text)? {
        Target::Current => return current(session, short),
        Target::Previous => {
            let server = swap(&mut kubeconfig, &here)?;
            return session.say(if short { short_line(&server) } else { current_line(&server, "") });
        }
        Target::Home(steps) => {
            let connection = session.server(&kubeconfig, &here)?;
            let home = home(&connection).await?;
            let place = ServerUrl::parse(&home.url).workspace()?.walk(&steps)?;
            let kind = if steps.is_empty() { home.kind } else { look(&connection, &place).await? };
            (here.url.at(&place), kind)
        }
        Target::Absolute(place) => {
            let kind = look(&session.server(&kubeconfig, &here)?, &place).await?;
            (here.url.at(&place), kind)
        }
        Target::Relative(steps) => {
            let place = here.url.workspace()?.walk(&steps)?;
            // Up is where we came from; nobody need be able to see it from above.
            let up = steps.iter().all(|s| s == "..");
            let kind = if up { String::new() } else { look(&session.server(&kubeconfig, &here)?, &place).await? };
            (here.url.at(&place), kind)
        }
    };
    enter(&mut kubeconfig, &here, &server)?;
    session.say(if short { short_line(&server) } else { current_line(&server, &kind) })
}

/// Makes the workspace at `server` the current one, and where we are the previous one. Being there already changes
/// nothing.
pub(super) fn enter(kubeconfig: &mut Kubeconfig, here: &Here, server: &str) -> Result<()> {
    if here.context.server != server {
        here.context.write_as(kubeconfig, PREVIOUS, &here.context.server);
        here.context.write_as(kubeconfig, CURRENT, server);
        kubeconfig.set_current_context(CURRENT);
        kubeconfig.save()?;
    }
    Ok(())
}

/// Exchanges the current and the previous workspace; gives the URL of the new current one.
fn swap(kubeconfig: &mut Kubeconfig, here: &Here) -> Result<String> {
    if kubeconfig.get(Section::Contexts, PREVIOUS).is_none() {
        bail!("no previous workspace found in kubeconfig");
    }
    let previous = kubeconfig.resolve(PREVIOUS)?;
    here.context.write_as(kubeconfig, PREVIOUS, &here.context.server);
    previous.write_as(kubeconfig, CURRENT, &previous.server);
    kubeconfig.set_current_context(CURRENT);
    kubeconfig.save()?;
    Ok(previous.server)
}

/// Checks that there is a workspace that we may enter. Gives its type; empty when we may enter it but not see it from
/// its parent, or it has none.
pub(super) async fn look(server: &Server, place: &Place) -> Result<String> {
    let parent = match place {
        Place::Path(path) => path.parent().map(|parent| (parent, path.base().to_owned())),
        Place::Other(_) => None,
    };
    // Where there is no parent to ask, the server says what it thinks at the first request.
    let Some((parent, name)) = parent else { return Ok(String::new()) };
    let shown = place.to_string();
    let missing = || anyhow!("workspace {shown:?} not found");
    let kind = match find(&server.at(&Place::Path(parent)), &name).await {
        Ok(Some(found)) if found.is_ready() => found.kind,
        Ok(Some(_)) => bail!("workspace {name:?} is not ready"),
        Ok(None) => return Err(missing()),
        // We may not see it from there, and perhaps be in it.
        Err(e) if e.is_forbidden() => String::new(),
        Err(e) => return Err(e.into()),
    };
    match server.at(place).get_path("/api").await {
        Ok(_) => Ok(kind),
        Err(e) if e.is_forbidden() => bail!("access to workspace {shown:?} denied"),
        Err(e) if e.is_not_found() => Err(missing()),
        Err(e) => Err(e.into()),
    }
}

/// The user's own workspace, which comes into being when it is asked for.
async fn home(server: &Server) -> Result<Found> {
    let start = Instant::now();
    loop {
        match server.root().get(&WORKSPACE.gvr(), "", "~").await {
            Ok(home) => {
                let home = Found::from_value(&home);
                if home.url.is_empty() {
                    bail!("your own workspace has no URL yet; try again in a moment");
                }
                return Ok(home);
            }
            Err(e) if e.is_not_found() => bail!("this server has no workspaces of users' own (\"~\")"),
            Err(e) => match e.retry_after().filter(|_| start.elapsed() < HOME_PATIENCE) {
                Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds.into())).await,
                None => return Err(e.into()),
            },
        }
    }
}

/// Makes a context for the current workspace and chooses it.
pub(super) fn create_context(session: &mut Session<'_>, name: Option<&str>, overwrite: bool) -> Result<()> {
    let mut kubeconfig = session.kubeconfig()?;
    let here = session.here(&kubeconfig)?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => here.url.workspace()?.to_string(),
    };
    let line = write_context(&mut kubeconfig, &here, &name, &here.context.server, overwrite)?;
    session.say(line)
}

/// Writes the context `name` for the workspace at `server` and chooses it; gives the line that says so.
pub(super) fn write_context(
    kubeconfig: &mut Kubeconfig,
    here: &Here,
    name: &str,
    server: &str,
    overwrite: bool,
) -> Result<String> {
    let existed = kubeconfig.get(Section::Contexts, name).is_some();
    if existed && !overwrite {
        bail!("context {name:?} already exists in kubeconfig, use --overwrite to update it");
    }
    let was_current = kubeconfig.current_context() == name;
    here.context.write_as(kubeconfig, name, server);
    kubeconfig.set_current_context(name);
    kubeconfig.save()?;
    Ok(match (existed, was_current) {
        (false, _) => format!("Created context {name:?} and switched to it."),
        (true, false) => format!("Updated context {name:?} and switched to it."),
        (true, true) => format!("Updated context {name:?}."),
    })
}
