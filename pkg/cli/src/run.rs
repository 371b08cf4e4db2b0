//! From the command line to a command: by the name that the program is called by.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _, Write},
    ops::ControlFlow,
    path::Path,
    process::ExitCode,
};

use anyhow::Result;
use clap::{CommandFactory as _, Parser};
use kcp_client::Client;

use crate::{
    args::{CreateWorkspace, Global, Kcp, KcpCommand, Sync, Workload, Ws, WsArgs, WsCommand},
    complete,
    kubeconfig::Source,
    session::{Connect, Session},
    workload, ws,
};

/// Runs the program with the process's arguments and environment.
///
/// The name it is called by decides: `kubectl-ws` and `kubectl-workspaces` are `kubectl ws`, `kubectl-create-workspace` is
/// `kubectl create workspace`, `kubectl_complete-<plug-in>` completes for kubectl, and anything else is `kubectl kcp`.
pub fn run() -> ExitCode {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr());
    let mut world = World {
        args: std::env::args_os().collect(),
        env: &|name| std::env::var_os(name),
        connect: &|| Box::new(|config| Ok(Client::new(config)?)),
        out: &mut out,
        err: &mut err,
        color: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(world.err, &e.into()),
    };
    match runtime.block_on(dispatch(&mut world)) {
        Ok(code) => code,
        Err(e) => fail(world.err, &e),
    }
}

/// What a run gets from outside.
pub(crate) struct World<'io> {
    pub(crate) args: Vec<OsString>,
    pub(crate) env: &'io dyn Fn(&str) -> Option<OsString>,
    pub(crate) connect: &'io dyn Fn() -> Box<Connect>,
    pub(crate) out: &'io mut dyn Write,
    pub(crate) err: &'io mut dyn Write,
    /// Whether to use colours: only for people at a terminal.
    pub(crate) color: bool,
}

fn fail(err: &mut dyn Write, error: &anyhow::Error) -> ExitCode {
    // A reader that has gone away, as in `kubectl ws tree | head`, is no failure worth a word.
    let broken = error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe);
    if !broken {
        let _ = writeln!(err, "Error: {}", kcp_client::chain(error.as_ref()));
    }
    ExitCode::FAILURE
}

/// Runs one command.
pub(crate) async fn dispatch(world: &mut World<'_>) -> Result<ExitCode> {
    let called = world.args.first().map(Path::new).and_then(Path::file_stem).unwrap_or_default();
    let called = called.to_string_lossy().into_owned();
    let args = world.args.get(1..).unwrap_or_default().to_vec();
    if let Some(plugin) = called.strip_prefix("kubectl_complete-") {
        let plugin = plugin.replace('_', "-");
        let words: Vec<String> = args.iter().map(|a| a.to_string_lossy().into_owned()).collect();
        let mut session = session(world, &Global::default());
        let lines = complete::complete(&mut session, &plugin, &words).await;
        lines.into_iter().try_for_each(|line| session.say(line))?;
        return Ok(ExitCode::SUCCESS);
    }
    match called.strip_prefix("kubectl-").unwrap_or(&called) {
        "ws" | "workspace" | "workspaces" => {
            let ws = match parse::<Ws>(world, args)? {
                ControlFlow::Continue(ws) => ws,
                ControlFlow::Break(code) => return Ok(code),
            };
            run_ws(world, &ws.global, ws.what, &|| (Ws::command(), "kubectl-ws")).await
        }
        "create-workspace" | "create_workspace" => {
            let create = match parse::<CreateWorkspace>(world, args)? {
                ControlFlow::Continue(create) => create,
                ControlFlow::Break(code) => return Ok(code),
            };
            let mut session = session(world, &create.global);
            ws::create(&mut session, &create.create).await?;
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            let kcp = match parse::<Kcp>(world, args)? {
                ControlFlow::Continue(kcp) => kcp,
                ControlFlow::Break(code) => return Ok(code),
            };
            run_kcp(world, kcp).await
        }
    }
}

async fn run_kcp(world: &mut World<'_>, kcp: Kcp) -> Result<ExitCode> {
    match kcp.command {
        KcpCommand::Workspace(args) => run_ws(world, &kcp.global, args, &|| (Kcp::command(), "kubectl-kcp")).await,
        KcpCommand::Completion { shell } => {
            complete::script(shell, Kcp::command(), "kubectl-kcp", world.out);
            Ok(ExitCode::SUCCESS)
        }
        KcpCommand::Workload(Workload::Sync(Sync { name: None, .. })) => {
            let mut command = Kcp::command();
            command.build();
            let sync = command.find_subcommand_mut("workload").and_then(|w| w.find_subcommand_mut("sync"));
            let help = sync.map(|s| s.render_help().to_string()).unwrap_or_default();
            write!(world.err, "{help}")?;
            Ok(usage())
        }
        KcpCommand::Workload(command) => {
            let mut session = session(world, &kcp.global);
            workload::run(&mut session, command).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn run_ws(
    world: &mut World<'_>,
    global: &Global,
    mut args: WsArgs,
    command: &dyn Fn() -> (clap::Command, &'static str),
) -> Result<ExitCode> {
    if let Some(WsCommand::Completion { shell }) = args.command {
        let (command, name) = command();
        complete::script(shell, command, name, world.out);
        return Ok(ExitCode::SUCCESS);
    }
    let home = (world.env)("HOME").map(|h| h.to_string_lossy().into_owned());
    for path in [&mut args.workspace].into_iter().flatten() {
        *path = unexpand(path, home.as_deref());
    }
    if let Some(WsCommand::Use { workspace, .. }) = &mut args.command {
        *workspace = unexpand(workspace, home.as_deref());
    }
    let mut session = session(world, global);
    ws::run(&mut session, args).await?;
    Ok(ExitCode::SUCCESS)
}

/// Undoes what shells make of `~` and `~/x` that are not in quotes.
fn unexpand(path: &str, home: Option<&str>) -> String {
    match home.filter(|h| h.len() > 1).and_then(|home| path.strip_prefix(home)) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("~{rest}"),
        _ => path.to_owned(),
    }
}

fn session<'w>(world: &'w mut World<'_>, global: &Global) -> Session<'w> {
    let source = match &global.kubeconfig {
        Some(path) => Source::explicit(path),
        None => Source::from_environment(world.env),
    };
    Session {
        source,
        overrides: global.overrides(),
        connect: (world.connect)(),
        out: world.out,
        err: world.err,
        color: world.color,
    }
}

/// The exit code for a command line that makes no sense.
fn usage() -> ExitCode {
    ExitCode::from(2)
}

/// Parses the arguments, or breaks with the exit code when there is nothing to run: they make no sense, or only help was
/// asked for. What is to be said about that is written then.
fn parse<P: Parser>(world: &mut World<'_>, args: Vec<OsString>) -> Result<ControlFlow<ExitCode, P>> {
    let name = OsString::from(P::command().get_bin_name().unwrap_or_default());
    match P::try_parse_from(std::iter::once(name).chain(args)) {
        Ok(parsed) => Ok(ControlFlow::Continue(parsed)),
        Err(e) => {
            let text = if world.color { e.render().ansi().to_string() } else { e.render().to_string() };
            let (stream, code) =
                if e.use_stderr() { (&mut *world.err, usage()) } else { (&mut *world.out, ExitCode::SUCCESS) };
            stream.write_all(text.as_bytes())?;
            Ok(ControlFlow::Break(code))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_tildes() {
        let home = Some("/home/jane");
        for (typed, want) in
            [("/home/jane", "~"), ("/home/jane/x", "~/x"), ("/home/janet", "/home/janet"), ("~", "~"), ("a", "a")]
        {
            assert_eq!(unexpand(typed, home), want);
        }
        assert_eq!(unexpand("/", Some("/")), "/");
    }
}
