//! The flags of the syncer.

use std::{path::PathBuf, time::Duration};

/// Runs in a physical cluster: teaches a workspace that cluster's APIs, brings namespaces and objects down and their
/// status back up.
///
/// Everything is level-triggered: losing either side is survived, and a restart writes nothing when nothing has
/// changed.
#[derive(Debug, Clone, clap::Parser)]
#[command(
    name = "syncer",
    version,
    max_term_width = 110,
    after_help = "\
The syncer is usually started from the YAML that `kubectl kcp workload sync` prints.

Example, outside of a cluster:
  syncer --from-kubeconfig kcp.kubeconfig --from-cluster root:org:team --workload-cluster-name east \\
         --to-kubeconfig east.kubeconfig --resources deployments.apps --resources services"
)]
pub struct Options {
    /// Kubeconfig of the kcp server
    #[arg(long, env = "SYNCER_FROM_KUBECONFIG", value_name = "FILE")]
    pub from_kubeconfig: PathBuf,
    /// Path of the workspace to sync from, such as root:org:team
    #[arg(long, env = "SYNCER_FROM_CLUSTER", value_name = "PATH")]
    pub from_cluster: String,
    /// Kubeconfig of the physical cluster; without it, the cluster that this program runs in
    #[arg(long, env = "SYNCER_TO_KUBECONFIG", value_name = "FILE")]
    pub to_kubeconfig: Option<PathBuf>,
    /// Context of --to-kubeconfig; without it, its current one
    #[arg(long, env = "SYNCER_TO_CONTEXT", default_value = "", requires = "to_kubeconfig", value_name = "NAME")]
    pub to_context: String,
    /// Name of the WorkloadCluster that stands for this physical cluster in the workspace
    #[arg(long, env = "SYNCER_WORKLOAD_CLUSTER_NAME", value_name = "NAME")]
    pub workload_cluster_name: String,
    /// Resources to sync besides configmaps, secrets and serviceaccounts, as plural[.group]; may be repeated
    #[arg(short, long, env = "SYNCER_RESOURCES", value_delimiter = ',', value_name = "RESOURCE")]
    pub resources: Vec<String>,
    /// How often the physical cluster's APIs are read again, besides whenever one of its CRDs changes
    #[arg(long, env = "SYNCER_API_IMPORT_POLL_INTERVAL", default_value = "1m", value_parser = parse_duration, value_name = "DURATION")]
    pub api_import_poll_interval: Duration,
    /// How often the workspace is told that the syncer lives
    #[arg(long, env = "SYNCER_HEARTBEAT_INTERVAL", default_value = "20s", value_parser = parse_duration, value_name = "DURATION")]
    pub heartbeat_interval: Duration,
    /// Address to serve /healthz and /metrics on, by plain HTTP; port 0 takes a free one
    #[arg(long, env = "SYNCER_HEALTH_BIND_ADDRESS", default_value = "0.0.0.0:8081", value_name = "ADDRESS:PORT")]
    pub health_bind_address: std::net::SocketAddr,
    /// What to log: error, warn, info, debug, trace, or a list such as info,kcp_syncer=debug
    #[arg(long, env = "SYNCER_LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    pub log_level: String,
}

/// Parses a duration of one number and one unit (`500ms`, `20s`, `1m`, `1h`).
fn parse_duration(text: &str) -> Result<Duration, String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..at].parse().map_err(|_| format!("{text:?} is not a duration such as 500ms, 20s or 1m"))?;
    let duration = match &text[at..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        "h" => Duration::from_secs(number.saturating_mul(3600)),
        _ => return Err(format!("{text:?} is not a duration such as 500ms, 20s or 1m")),
    };
    if duration.is_zero() { Err("must be more than nothing".into()) } else { Ok(duration) }
}
