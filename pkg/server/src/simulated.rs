//! A simulated physical cluster: a server of its own with the workload kinds, and what makes workloads run.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use kcp_logicalcluster::ClusterName;

use crate::{
    error::StartError,
    options::{LogOptions, Options},
    start::{Running, start},
};

/// Starts a cluster whose files are below `directory`. The command of the syncer's image runs this very program.
///
/// # Errors
/// As [`start`].
pub async fn start_cluster(options: Options) -> Result<Running, StartError> {
    let directory = options.root_directory.join("pods");
    let mut running = start(options).await?;
    let rest = running.url().trim_start_matches("https://").to_owned();
    let (host, port) = rest.rsplit_once(':').ok_or_else(|| StartError::Internal(format!("no port in {rest}")))?;
    let context = kcp_sim::Context {
        store: running.store.clone(),
        client: running.client.clone(),
        cluster: ClusterName::system_admin(),
        directory,
        server: (host.trim_matches(['[', ']']).to_owned(), port.parse().unwrap_or_default()),
        ca_pem: running.ca_pem.clone(),
        programs: programs()?,
    };
    running.tasks.spawn(kcp_sim::run(context, running.stop.clone()));
    Ok(running)
}

/// As [`start_cluster`] with the options that suit a playground.
///
/// # Errors
/// As [`start`].
pub async fn start_in(name: &str, directory: PathBuf, log: LogOptions) -> Result<Running, StartError> {
    tracing::debug!(cluster = name, "starting a simulated physical cluster");
    start_cluster(Options::simulated(directory, log)).await
}

/// The commands in containers that are programs we have.
fn programs() -> Result<BTreeMap<String, Vec<OsString>>, StartError> {
    let here = std::env::current_exe().map_err(|source| StartError::File {
        what: "cannot find",
        path: "this program".into(),
        source,
    })?;
    let sibling = here.with_file_name("syncer");
    let argv = if here.file_stem().is_some_and(|n| n == "kcp") {
        vec![here.into(), "syncer".into()]
    } else {
        vec![sibling.into()]
    };
    Ok(BTreeMap::from([("/ko-app/syncer".to_owned(), argv)]))
}
