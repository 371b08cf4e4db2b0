//! What a command works with: the kubeconfig, the server, and where its words go.

use std::io::Write;

use anyhow::{Context as _, Result};
use kcp_client::{Client, Config};
use kcp_logicalcluster::ClusterPath;

use crate::{
    kubeconfig::{Kubeconfig, Overrides, ResolvedContext, Source},
    workspace_path::{PathError, Place, ServerUrl, Target},
};

/// The context that `kubectl ws` writes for where we are.
pub(crate) const CURRENT: &str = "workspace.kcp.io/current";
/// The context that it writes for where we were before.
pub(crate) const PREVIOUS: &str = "workspace.kcp.io/previous";

/// Makes a client of a configuration; another one in tests.
pub(crate) type Connect = dyn Fn(&Config) -> Result<Client>;

/// One run of a command.
pub(crate) struct Session<'io> {
    pub(crate) source: Source,
    pub(crate) overrides: Overrides,
    pub(crate) connect: Box<Connect>,
    pub(crate) out: &'io mut dyn Write,
    pub(crate) err: &'io mut dyn Write,
    pub(crate) color: bool,
}

/// Where we are: the context and what its server URL says.
pub(crate) struct Here {
    pub(crate) context: ResolvedContext,
    pub(crate) url: ServerUrl,
}

/// A connection for all workspaces of a server.
pub(crate) struct Server {
    client: Client,
    base: String,
}

impl Server {
    /// A client for one workspace.
    pub(crate) fn at(&self, place: &Place) -> Client {
        self.client.at(&format!("{}/clusters/{place}", path_of(&self.base)))
    }

    /// A client for the workspace `root`.
    pub(crate) fn root(&self) -> Client {
        self.at(&Place::Path(ClusterPath::root()))
    }
}

impl Session<'_> {
    pub(crate) fn kubeconfig(&self) -> Result<Kubeconfig> {
        Ok(Kubeconfig::load(&self.source)?)
    }

    /// Where we are.
    pub(crate) fn here(&self, kubeconfig: &Kubeconfig) -> Result<Here> {
        let name = self.overrides.context.as_deref().unwrap_or_else(|| kubeconfig.current_context());
        let mut context = kubeconfig.resolve(name)?;
        if let Some(server) = &self.overrides.server {
            context.server.clone_from(server);
        }
        let url = ServerUrl::parse(&context.server);
        Ok(Here { context, url })
    }

    /// A connection to the server where we are.
    pub(crate) fn server(&self, kubeconfig: &Kubeconfig, here: &Here) -> Result<Server> {
        let mut config = kubeconfig.config(&self.overrides)?;
        config.server.clone_from(&here.url.base);
        let client = (self.connect)(&config).with_context(|| format!("cannot talk to {}", here.url.base))?;
        Ok(Server {
            client: client.with_user_agent(concat!("kubectl-kcp/", env!("CARGO_PKG_VERSION"))),
            base: config.server,
        })
    }

    /// The workspace that a `--workspace` flag means, or the current one.
    pub(crate) fn place(&self, here: &Here, flag: Option<&str>) -> Result<Place> {
        let place = match Target::parse(flag.unwrap_or_default())? {
            Target::Current => here.url.workspace()?.clone(),
            Target::Absolute(place) => place,
            Target::Relative(steps) => here.url.workspace()?.walk(&steps)?,
            Target::Previous | Target::Home(_) => {
                return Err(PathError::Invalid(flag.unwrap_or_default().to_owned()).into());
            }
        };
        Ok(place)
    }

    /// `text` so that it stands out, where there are colours.
    pub(crate) fn bold(&self, text: impl std::fmt::Display) -> String {
        if self.color { format!("\x1b[1m{text}\x1b[0m") } else { text.to_string() }
    }

    /// Writes a line to standard output.
    pub(crate) fn say(&mut self, line: impl std::fmt::Display) -> Result<()> {
        writeln!(self.out, "{line}").context("cannot write to standard output")
    }

    /// Writes a line to standard error. It is no failure when nobody reads it.
    pub(crate) fn note(&mut self, line: impl std::fmt::Display) {
        let _ = writeln!(self.err, "{line}");
    }
}

/// The path of a URL, without trailing slash.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("", |at| rest[at..].trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::path_of;

    #[test]
    fn urls_have_paths() {
        for (url, want) in [("https://h:1", ""), ("https://h/", ""), ("https://h/a/b/", "/a/b"), ("h", "")] {
            assert_eq!(path_of(url), want, "{url}");
        }
    }
}
