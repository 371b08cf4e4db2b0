//! The flags of `kcp start`, each with an environment variable, and their meaning once checked.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};

use crate::error::StartError;

/// Which built-in kinds a server has and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Workspaces under `/clusters/<path>`; no workload kinds.
    Workspaces,
    /// One cluster with the workload kinds, as a simulated physical cluster.
    Physical,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Flags of `kcp start`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Folder for everything the server stores: data, keys, kubeconfig. Removing it is a factory reset
    #[arg(long, env = "KCP_ROOT_DIRECTORY", default_value = ".kcp", value_name = "DIR", help_heading = "Files")]
    pub root_directory: PathBuf,
    /// Where to write the admin's kubeconfig; a relative path counts from the root directory
    #[arg(
        long,
        env = "KCP_KUBECONFIG_PATH",
        default_value = "admin.kubeconfig",
        value_name = "FILE",
        help_heading = "Files"
    )]
    pub kubeconfig_path: PathBuf,
    /// Where to keep the hash of the admin's token; a relative path counts from the root directory
    #[arg(
        long,
        env = "KCP_AUTHENTICATION_ADMIN_TOKEN_PATH",
        default_value = ".admin-token-store",
        value_name = "FILE",
        help_heading = "Files"
    )]
    pub authentication_admin_token_path: PathBuf,

    /// Address to listen on
    #[arg(long, env = "KCP_BIND_ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED), value_name = "IP", help_heading = "Serving")]
    pub bind_address: IpAddr,
    /// Port to serve HTTPS on; 0 takes a free one
    #[arg(long, env = "KCP_SECURE_PORT", default_value_t = 6443, value_name = "PORT", help_heading = "Serving")]
    pub secure_port: u16,
    /// Host name or address under which clients reach the server; it stands in workspace URLs and kubeconfigs. Without
    /// it: the bind address if it is a specific one, else the address of the default interface
    #[arg(long, env = "KCP_EXTERNAL_HOSTNAME", value_name = "HOST", help_heading = "Serving")]
    pub external_hostname: Option<String>,
    /// PEM certificate chain to serve with, instead of one issued by the server's own CA
    #[arg(
        long,
        env = "KCP_TLS_CERT_FILE",
        requires = "tls_private_key_file",
        value_name = "FILE",
        help_heading = "Serving"
    )]
    pub tls_cert_file: Option<PathBuf>,
    /// PEM private key of --tls-cert-file
    #[arg(
        long,
        env = "KCP_TLS_PRIVATE_KEY_FILE",
        requires = "tls_cert_file",
        value_name = "FILE",
        help_heading = "Serving"
    )]
    pub tls_private_key_file: Option<PathBuf>,
    /// Requests that only read, served at the same time; more are answered 429. 0 for no limit
    #[arg(long, env = "KCP_MAX_REQUESTS_INFLIGHT", default_value_t = 400, value_name = "N", help_heading = "Serving")]
    pub max_requests_inflight: usize,
    /// Requests that write, served at the same time; more are answered 429. 0 for no limit
    #[arg(
        long,
        env = "KCP_MAX_MUTATING_REQUESTS_INFLIGHT",
        default_value_t = 400,
        value_name = "N",
        help_heading = "Serving"
    )]
    pub max_mutating_requests_inflight: usize,
    /// How long requests under way may take to end when the server stops
    #[arg(long, env = "KCP_SHUTDOWN_GRACE_PERIOD", default_value = "5s", value_parser = parse_duration, value_name = "DURATION", help_heading = "Serving")]
    pub shutdown_grace_period: Duration,

    /// CSV file of static tokens: token,user,uid,"group1,group2"
    #[arg(long, env = "KCP_TOKEN_AUTH_FILE", value_name = "FILE", help_heading = "Authentication")]
    pub token_auth_file: Option<PathBuf>,
    /// PEM bundle of CAs whose client certificates are accepted, besides the server's own
    #[arg(long, env = "KCP_CLIENT_CA_FILE", value_name = "FILE", help_heading = "Authentication")]
    pub client_ca_file: Option<PathBuf>,
    /// Issuer written into service-account tokens
    #[arg(
        long,
        env = "KCP_SERVICE_ACCOUNT_ISSUER",
        default_value = "https://kcp.default.svc",
        value_name = "URL",
        help_heading = "Authentication"
    )]
    pub service_account_issuer: String,

    /// How long a physical cluster may be silent before it counts as not ready
    #[arg(long, env = "KCP_WORKLOAD_CLUSTER_HEARTBEAT_THRESHOLD", default_value = "1m", value_parser = parse_duration, value_name = "DURATION", help_heading = "Workloads")]
    pub workload_cluster_heartbeat_threshold: Duration,
    /// Publish the APIs learnt from physical clusters without being asked for each
    #[arg(long, env = "KCP_AUTO_PUBLISH_APIS", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL", help_heading = "Workloads")]
    pub auto_publish_apis: bool,

    /// How long events are kept
    #[arg(long, env = "KCP_EVENT_TTL", default_value = "1h", value_parser = parse_duration, value_name = "DURATION", help_heading = "Storage")]
    pub event_ttl: Duration,
    /// How long a watch can be away and still resume: changes older than this are forgotten
    #[arg(long, env = "KCP_WATCH_WINDOW_AGE", default_value = "5m", value_parser = parse_duration, value_name = "DURATION", help_heading = "Storage")]
    pub watch_window_age: Duration,
    /// How many changes are kept for watches to resume from
    #[arg(
        long,
        env = "KCP_WATCH_WINDOW_EVENTS",
        default_value_t = 100_000,
        value_name = "N",
        help_heading = "Storage"
    )]
    pub watch_window_events: usize,
    /// How many MiB of earlier states of objects are kept for watches to resume from; never more than half of what is
    /// stored, but 8 MiB in any case
    #[arg(long, env = "KCP_WATCH_WINDOW_MIB", default_value_t = 128, value_name = "MIB", help_heading = "Storage")]
    pub watch_window_mib: u64,
    /// MiB of disk that must stay free; with less, writes are refused with 507 until there is space again
    #[arg(long, env = "KCP_DISK_RESERVE_MIB", default_value_t = 64, value_name = "MIB", help_heading = "Storage")]
    pub disk_reserve_mib: u64,

    #[command(flatten)]
    #[allow(missing_docs, reason = "documented on its type")]
    pub log: LogOptions,

    /// What the server is for; not a flag.
    #[arg(skip = Profile::Workspaces)]
    pub profile: Profile,
    /// Keep everything in memory only; not a flag.
    #[arg(skip = false)]
    pub in_memory: bool,
}

/// Flags of everything that logs.
#[derive(Debug, Clone, Args)]
pub struct LogOptions {
    /// What to log: error, warn, info, debug, trace, or a list such as info,kcp_syncer=debug
    #[arg(long, env = "KCP_LOG_LEVEL", default_value = "info", value_name = "LEVEL", help_heading = "Logging")]
    pub log_level: String,
    /// How log lines look
    #[arg(
        long,
        env = "KCP_LOG_FORMAT",
        value_enum,
        default_value = "text",
        value_name = "FORMAT",
        help_heading = "Logging"
    )]
    pub log_format: LogFormat,
}

impl Options {
    /// The options that a command line without flags gives.
    fn defaults() -> Self {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: Options,
        }
        // The defaults are part of the program; a test parses them.
        <Line as clap::Parser>::parse_from(["kcp"]).options
    }

    /// A server on loopback for a playground, its files below `root_directory`.
    pub fn playground(root_directory: PathBuf, secure_port: u16, log: LogOptions) -> Self {
        let bind_address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self { root_directory, secure_port, bind_address, log, ..Self::defaults() }
    }

    /// A simulated physical cluster on loopback, its data in memory.
    pub fn simulated(root_directory: PathBuf, log: LogOptions) -> Self {
        Self { profile: Profile::Physical, in_memory: true, ..Self::playground(root_directory, 0, log) }
    }

    /// A path of a flag: as it is when absolute, else below the root directory.
    pub(crate) fn below_root(&self, path: &Path) -> PathBuf {
        self.root_directory.join(path)
    }

    /// Checks what the flags' own parsers cannot.
    ///
    /// # Errors
    /// When a value makes no sense.
    pub fn validate(&self) -> Result<(), StartError> {
        let bad = |flag: &'static str, detail: &str| Err(StartError::Flag { flag, detail: detail.to_owned() });
        if let Some(host) = &self.external_hostname
            && (host.is_empty() || host.contains(['/', ' ', '@']) || host.contains("://"))
        {
            return bad("--external-hostname", "give a host name or an address, without scheme, port or path");
        }
        if self.workload_cluster_heartbeat_threshold < Duration::from_secs(1) {
            return bad("--workload-cluster-heartbeat-threshold", "must be at least 1s");
        }
        if self.watch_window_events < 1000 {
            return bad("--watch-window-events", "must be at least 1000, or watches could never keep up");
        }
        Ok(())
    }
}

/// Parses a duration as Go writes it: `1h30m`, `500ms`, `1.5s`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration such as 500ms, 20s, 1m or 1h30m");
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds = match &rest[..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(wrong()),
        };
        total += Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
        rest = &rest[unit..];
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, ms) in [("1m", 60_000), ("1h30m", 5_400_000), ("500ms", 500), ("1.5s", 1500), ("0", 0)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "1", "m", "1x", "-1s", "1s1", "1e9h", "nan s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
