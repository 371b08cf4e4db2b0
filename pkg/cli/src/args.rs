//! The commands, their flags and their help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::kubeconfig::Overrides;

/// Flags of every command.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Global {
    /// The kubeconfig file to use [default: $KUBECONFIG, then ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context to use instead of the current one
    #[arg(long, global = true, value_name = "NAME", help_heading = "Connection")]
    pub(crate) context: Option<String>,
    /// The cluster to use instead of the context's
    #[arg(long, global = true, value_name = "NAME", help_heading = "Connection")]
    pub(crate) cluster: Option<String>,
    /// The user to use instead of the context's
    #[arg(long, global = true, value_name = "NAME", help_heading = "Connection")]
    pub(crate) user: Option<String>,
    /// The server to use instead of the cluster's
    #[arg(long, short = 's', global = true, value_name = "URL", help_heading = "Connection")]
    pub(crate) server: Option<String>,
    /// A bearer token to use instead of the user's credentials
    #[arg(long, global = true, value_name = "TOKEN", hide_env_values = true, help_heading = "Connection")]
    pub(crate) token: Option<String>,
    /// Do not check the server's certificate
    #[arg(long, global = true, help_heading = "Connection")]
    pub(crate) insecure_skip_tls_verify: bool,
}

impl Global {
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
            server: self.server.clone(),
            insecure: self.insecure_skip_tls_verify,
            token: self.token.clone(),
        }
    }
}

const WS_EXAMPLES: &str = "\
How to name a workspace:
  team-a        the child \"team-a\" of the current workspace; team-a:dev or team-a/dev its child
  ..            the parent; ..:.. or ../.. its parent; ../team-b a sibling
  root:org      an absolute path; :root:org and /root/org are the same
  -             the previous workspace          ~   your own workspace          .   the current one

Examples:
  kubectl ws                              Show the current workspace
  kubectl ws root:telcops                 Go to a workspace
  kubectl ws create team-a --enter        Make a workspace and go there
  kubectl ws tree                         Show all workspaces below the current one
  kubectl ws create-context team-a        Keep a context for the current workspace

Going somewhere changes the contexts \"workspace.kcp.io/current\" and
\"workspace.kcp.io/previous\" of the kubeconfig and nothing else in it.";

/// Go to, list and make workspaces
#[derive(Debug, Parser)]
#[command(
    name = "kubectl ws",
    bin_name = "kubectl ws",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    max_term_width = 110,
    after_help = WS_EXAMPLES
)]
pub(crate) struct Ws {
    #[command(flatten)]
    pub(crate) what: WsArgs,
    #[command(flatten)]
    pub(crate) global: Global,
}

#[derive(Debug, Args)]
pub(crate) struct WsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<WsCommand>,
    /// The workspace to go to; without it the current one is shown
    pub(crate) workspace: Option<String>,
    /// Print the path of the workspace only
    #[arg(long)]
    pub(crate) short: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WsCommand {
    /// Go to a workspace
    #[command(alias = "cd")]
    Use {
        /// The workspace
        #[arg(default_value = "~")]
        workspace: String,
        /// Print the path of the workspace only
        #[arg(long)]
        short: bool,
    },
    /// Show the current workspace
    Current {
        /// Print its path only
        #[arg(long)]
        short: bool,
    },
    /// List the children of the current workspace
    #[command(alias = "ls")]
    List {
        /// Of another workspace than the current one
        #[arg(long, short = 'w', value_name = "PATH")]
        workspace: Option<String>,
    },
    /// Show the workspaces below the current one as a tree
    Tree(Tree),
    /// Make a workspace
    Create(Create),
    /// Make a context for the current workspace
    CreateContext {
        /// Its name [default: the path of the workspace]
        name: Option<String>,
        /// Replace a context of that name
        #[arg(long)]
        overwrite: bool,
    },
    /// Say how to delete a workspace
    Delete {
        /// The workspace
        name: Option<String>,
    },
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Tree {
    /// Show whole paths
    #[arg(long, short = 'f')]
    pub(crate) full: bool,
    /// Show type and phase too
    #[arg(long)]
    pub(crate) wide: bool,
    /// Start at another workspace than the current one
    #[arg(long, short = 'w', value_name = "PATH")]
    pub(crate) workspace: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubectl ws create team-a
  kubectl ws create telcops --type Organization --enter
  kubectl ws create team-a --ignore-existing --enter      Go there, make it first if need be")]
pub(crate) struct Create {
    /// The name of the workspace
    pub(crate) name: String,
    /// Its type, in upper or lower case, such as Organization, Team, Universal, or root:org:mytype
    /// [default: what the parent says]
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Go there when it is ready
    #[arg(long)]
    pub(crate) enter: bool,
    /// The same as --enter
    #[arg(long = "use", hide = true)]
    pub(crate) use_: bool,
    /// It is fine if it exists already
    #[arg(long)]
    pub(crate) ignore_existing: bool,
    /// Make a context of this name for it
    #[arg(long, value_name = "NAME")]
    pub(crate) create_context: Option<String>,
    /// Below another workspace than the current one
    #[arg(long, short = 'w', value_name = "PATH")]
    pub(crate) workspace: Option<String>,
}

/// Make a workspace
#[derive(Debug, Parser)]
#[command(
    name = "kubectl create workspace",
    bin_name = "kubectl create workspace",
    version,
    disable_help_subcommand = true,
    max_term_width = 110
)]
pub(crate) struct CreateWorkspace {
    #[command(flatten)]
    pub(crate) create: Create,
    #[command(flatten)]
    pub(crate) global: Global,
}

/// Work with workspaces and physical clusters
#[derive(Debug, Parser)]
#[command(
    name = "kubectl kcp",
    bin_name = "kubectl kcp",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 110,
    after_help = "\
Examples:
  kubectl kcp ws root                         The same as \"kubectl ws root\"
  kubectl kcp workload sync east --syncer-image IMAGE > syncer.yaml
                                              Let the workspace know a physical cluster
  kubectl --kubeconfig EAST apply -f syncer.yaml
                                              Start its syncer there"
)]
pub(crate) struct Kcp {
    #[command(subcommand)]
    pub(crate) command: KcpCommand,
    #[command(flatten)]
    pub(crate) global: Global,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KcpCommand {
    /// Go to, list and make workspaces
    #[command(
        visible_aliases = ["ws", "workspaces"],
        args_conflicts_with_subcommands = true,
        disable_help_subcommand = true,
        after_help = WS_EXAMPLES
    )]
    Workspace(WsArgs),
    /// Make physical clusters run what is in the workspace
    #[command(subcommand, disable_help_subcommand = true, arg_required_else_help = true)]
    Workload(Workload),
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Workload {
    /// Register a physical cluster and print the manifests of its syncer
    Sync(Sync),
    /// Show the physical clusters of the workspace
    List,
    /// Assign no more namespaces to a physical cluster
    Cordon {
        /// The WorkloadCluster
        name: String,
    },
    /// Assign namespaces to a physical cluster again
    Uncordon {
        /// The WorkloadCluster
        name: String,
    },
    /// Move everything away from a physical cluster, and assign nothing to it
    Drain {
        /// The WorkloadCluster
        name: String,
    },
    /// Forget a physical cluster: what the workspace has there is removed by its syncer
    Unsync {
        /// The WorkloadCluster
        name: String,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Running it again prints the same. In the workspace it makes the WorkloadCluster and an identity
for the syncer, which may read what is meant for this physical cluster and write its status,
and nothing else.

Example:
  kubectl kcp workload sync east --syncer-image quay.io/example/syncer:latest > syncer-east.yaml
  kubectl --kubeconfig east.kubeconfig apply -f syncer-east.yaml
  kubectl get workloadclusters")]
pub(crate) struct Sync {
    /// The name of the WorkloadCluster
    pub(crate) name: Option<String>,
    /// The image of the syncer
    #[arg(long, default_value = "", value_name = "IMAGE", hide_default_value = true)]
    pub(crate) syncer_image: String,
    /// More types to sync, such as services or ingresses.networking.k8s.io; configmaps, deployments.apps, secrets and
    /// serviceaccounts always are
    #[arg(long, value_delimiter = ',', value_name = "TYPES")]
    pub(crate) resources: Vec<String>,
    /// 1, or 0 to start it later
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    pub(crate) replicas: i64,
    /// The namespace in the workspace for the syncer's service account
    #[arg(long, default_value = "default", value_name = "NAMESPACE")]
    pub(crate) kcp_namespace: String,
    /// Write the manifests to a file; - is standard output
    #[arg(long, short = 'o', value_name = "FILE")]
    pub(crate) output_file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        Ws::command().debug_assert();
        CreateWorkspace::command().debug_assert();
        Kcp::command().debug_assert();
    }

    #[test]
    fn workspaces_and_subcommands_are_told_apart() {
        let parse = |args: &[&str]| Ws::try_parse_from([&["kubectl ws"], args].concat());
        for path in ["..", "-", "~", ".", ":root:a", "root", "a/b"] {
            let ws = parse(&[path]).unwrap();
            assert_eq!(ws.what.workspace.as_deref(), Some(path));
        }
        assert!(
            matches!(parse(&["use", "list"]).unwrap().what.command, Some(WsCommand::Use { workspace, .. }) if workspace == "list")
        );
        assert!(matches!(
            parse(&["current", "--short"]).unwrap().what.command,
            Some(WsCommand::Current { short: true })
        ));
        let create = parse(&["create", "a", "--type", "Team", "--kubeconfig", "f"]).unwrap();
        assert_eq!(create.global.kubeconfig, Some("f".into()));
        assert!(parse(&["a", "b"]).is_err());
        assert!(Kcp::try_parse_from(["kubectl kcp", "ws", ".."]).is_ok());
        assert!(Kcp::try_parse_from(["kubectl kcp", "workspaces", "create", "x"]).is_ok());
        let sync = Kcp::try_parse_from([
            "kubectl kcp",
            "workload",
            "sync",
            "e",
            "--resources",
            "a,b",
            "--resources=c",
            "--replicas",
            "-1",
        ]);
        assert!(
            matches!(sync.unwrap().command, KcpCommand::Workload(Workload::Sync(s)) if s.resources == ["a", "b", "c"] && s.replicas == -1)
        );
    }
}
