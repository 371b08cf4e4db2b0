//! The syncer: runs in a physical cluster and keeps it and a workspace in step.
//!
//! - `importer`: teaches the workspace the physical cluster's APIs.
//! - `sync`: brings namespaces and objects down and their status up.
//! - `registration`: says in the workspace that it lives, what it syncs and what it cannot.
//!
//! It holds a cache of each synced type on both sides, fed by watches, and one queue of keys. It deletes nothing before
//! it holds complete lists of both sides; what it applied carries a hash, so a restart writes nothing.

mod gate;
mod importer;
mod names;
mod options;
mod registration;
mod resources;
mod serve;
mod sync;
mod transform;
mod types;

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::Context as _;
use kcp_apimachinery::{GroupVersionResource, object, user};
use kcp_apis::{
    apiresource,
    core::{LOGICAL_CLUSTER, LOGICAL_CLUSTER_NAME},
    workload::WORKLOAD_CLUSTER,
};
use kcp_client::{Client, Config, ConfigError, Error};
use kcp_controller::{Change, Reflector, ReflectorOptions, run as work_off};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use options::Options;
use registration::Report;
use sync::{Sides, Sync, Work};

/// How many keys are worked on at a time; how many requests that makes of each side is for its gate to say.
const CONCURRENCY: usize = 256;
/// How long work goes on after a signal to stop.
const GRACE: Duration = Duration::from_millis(1500);
/// How long to wait before something that failed at the start or for the whole syncer is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Runs the syncer until SIGTERM or Ctrl-C. What it brought to the physical cluster stays there.
///
/// # Errors
/// When the flags or the kubeconfigs cannot be used; what goes wrong later is tried again for ever.
pub async fn run(options: Options) -> anyhow::Result<()> {
    init_logging(&options.log_level)?;
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot listen for SIGTERM")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
        signalled.cancel();
    });
    tokio::select! {
        ended = run_until(options, stop.clone()) => ended,
        // A request that hangs is not waited for: everything is tried again after the next start.
        () = async { stop.cancelled().await; tokio::time::sleep(GRACE).await } => {
            tracing::info!("some work did not end in time; it is done at the next start");
            Ok(())
        }
    }
}

fn init_logging(level: &str) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(level).with_context(|| format!("--log-level {level:?}"))?;
    // A second call in one process keeps the first logger.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .try_init();
    Ok(())
}

/// As [`run`], until `stop`.
///
/// # Errors
/// As [`run`].
pub async fn run_until(options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    let from = kubeconfig(&options.from_kubeconfig, "").context("--from-kubeconfig")?;
    let to = match &options.to_kubeconfig {
        Some(path) => kubeconfig(path, &options.to_context).context("--to-kubeconfig")?,
        None => in_cluster().context("no --to-kubeconfig is given")?,
    };
    let agent = concat!("kcp-syncer/", env!("CARGO_PKG_VERSION"));
    let up = Client::new(&from).context("--from-kubeconfig")?.cluster(&options.from_cluster).with_user_agent(agent);
    let down = Client::new(&to).context("the physical cluster")?.with_user_agent(agent);
    let listener = serve::bind(options.health_bind_address).await?;
    tracing::info!(from = %options.from_cluster, workload_cluster = %options.workload_cluster_name, "starting");
    let Some(cluster) = retry("reading who we are", &stop, || own_cluster(&up)).await else { return Ok(()) };

    let selector = resources::selector(&options.workload_cluster_name);
    let namespaces = GroupVersionResource::new("", "v1", "namespaces");
    let labelled = ReflectorOptions { label_selector: Some(selector.clone()), ..ReflectorOptions::default() };
    let (up_reflector, up_namespaces) = Reflector::new(up.clone(), namespaces.clone(), labelled.clone());
    let (down_reflector, down_namespaces) = Reflector::new(down.clone(), namespaces, labelled.clone());
    let named = ReflectorOptions {
        field_selector: Some(format!("metadata.name={}", options.workload_cluster_name)),
        ..ReflectorOptions::default()
    };
    let (own_reflector, own) = Reflector::new(up.clone(), WORKLOAD_CLUSTER.gvr(), named);
    let (import_reflector, _imports) = Reflector::new(up.clone(), apiresource::API_RESOURCE_IMPORT.gvr(), labelled);
    let (host, port) = host_and_port(&from.server);
    let sync = Arc::new(Sync::new(Sides {
        up: up.clone(),
        down: down.clone(),
        path: options.from_cluster.clone(),
        cluster,
        workload_cluster: options.workload_cluster_name.clone(),
        host,
        port,
        up_namespaces: up_namespaces.clone(),
        down_namespaces: down_namespaces.clone(),
    }));
    let health = Arc::new(serve::Health { healthy: false.into(), sync: sync.clone() });
    let types = types::Types::new(sync.clone(), resources::requested(&options.resources), selector);
    // Something about the types on either side, or about our own WorkloadCluster, has changed.
    let (types_changed, own_changed) = (Notify::new(), Notify::new());

    let complain = |what: &'static str| move |e: &Error| tracing::warn!(error = %e, "{what}");
    let on_up_namespace = |c: &Change| sync.queue.add(Work::Namespace(c.name.clone()));
    let on_down_namespace = |c: &Change| {
        if let Some(locator) = c.new.as_ref().or(c.old.as_ref()).and_then(|n| sync.our_locator(n)) {
            sync.queue.add(Work::Namespace(locator.namespace));
        }
        own_changed.notify_one();
    };
    let once_complete = async {
        if up_namespaces.synced().await && down_namespaces.synced().await {
            sync.queue_all_namespaces();
            types.queue_everything();
        }
    };
    tokio::join!(
        serve::serve(listener, health.clone(), stop.clone()),
        up_reflector.run(&stop, on_up_namespace, complain("watching the workspace's namespaces failed")),
        down_reflector.run(&stop, on_down_namespace, complain("watching the physical cluster's namespaces failed")),
        own_reflector.run(&stop, |_| own_changed.notify_one(), complain("watching our WorkloadCluster failed")),
        import_reflector.run(&stop, |_| types_changed.notify_one(), complain("watching the imported APIs failed")),
        until(&stop, once_complete),
        work_off("sync", &sync.queue, CONCURRENCY, &stop, |work| sync.reconcile(work)),
        keep_types(&types, &options, &types_changed, &own_changed, &stop),
        keep_registered(&sync, &types, &options, &own, &own_changed, &health, &stop),
    );
    types.join().await;
    Ok(())
}

/// Follows the physical cluster's APIs: imports them, and syncs what both sides have.
async fn keep_types(
    types: &types::Types,
    options: &Options,
    changed: &Notify,
    tell: &Notify,
    stop: &CancellationToken,
) {
    let definitions = GroupVersionResource::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    let (reflector, _) = Reflector::new(types.sync().down.clone(), definitions, ReflectorOptions::default());
    let follow_definitions = reflector.run(
        stop,
        |_| changed.notify_one(),
        |e| tracing::debug!(error = %e, "watching the physical cluster's CRDs failed"),
    );
    let work = async {
        while !stop.is_cancelled() {
            let imported = importer::import(types.sync(), types.requested()).await;
            let resolved = types.resolve(stop).await;
            types.note(imported, resolved);
            tell.notify_one();
            // The interval is what the flag promises; changes are heard of by watches.
            let wait = if types.is_complete() {
                options.api_import_poll_interval
            } else {
                options.api_import_poll_interval.min(Duration::from_secs(10))
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = changed.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    };
    tokio::join!(follow_definitions, work);
}

/// Sends heartbeats, reports what changes, and keeps the WorkloadCluster from going before its objects have gone.
async fn keep_registered(
    sync: &Sync,
    types: &types::Types,
    options: &Options,
    own: &kcp_controller::Cache,
    changed: &Notify,
    health: &serve::Health,
    stop: &CancellationToken,
) {
    let mut told: Option<Report> = None;
    let mut next = tokio::time::Instant::now();
    while !stop.is_cancelled() {
        let mut failed = false;
        if let Some(cluster) = own.get("", &options.workload_cluster_name)
            && let Err(error) = sync.hold_or_leave(&cluster).await
        {
            // What we know of it was old; what is new is on its way and wakes us.
            failed = !error.is_conflict();
            if failed {
                tracing::warn!(%error, "keeping our WorkloadCluster's finalizer failed, will be tried again");
            } else {
                tracing::debug!(%error, "our WorkloadCluster has changed meanwhile");
            }
        }
        let report = types.report();
        if told.as_ref() != Some(&report) || tokio::time::Instant::now() >= next {
            match sync.heartbeat(&report).await {
                Ok(()) => {
                    told = Some(report);
                    next = tokio::time::Instant::now() + options.heartbeat_interval;
                    health.healthy.store(true, Ordering::Relaxed);
                }
                Err(error) => {
                    failed = true;
                    if error.is_conflict() {
                        tracing::debug!(%error, "our WorkloadCluster has changed meanwhile");
                    } else {
                        health.healthy.store(false, Ordering::Relaxed);
                        tracing::warn!(%error, "the heartbeat did not arrive, will be tried again");
                    }
                }
            }
        }
        let wake = if failed { tokio::time::Instant::now() + RETRY } else { next };
        tokio::select! {
            () = stop.cancelled() => {}
            () = changed.notified(), if !failed => {}
            () = tokio::time::sleep_until(wake) => {}
        }
    }
}

/// The id of the logical cluster that our credential belongs to, or else, for a credential that does not say, of the one
/// that we read: what tells one life of a path from another. Without it, nothing could be deleted safely.
async fn own_cluster(up: &Client) -> Result<String, Error> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let gvr = GroupVersionResource::new("authentication.k8s.io", "v1", "selfsubjectreviews");
    let answer = up.create(&gvr, "", &review, &kcp_client::WriteParams::default()).await?;
    let clusters =
        answer.pointer("/status/userInfo/extra").and_then(|e| e.get(user::EXTRA_CLUSTER)).and_then(Value::as_array);
    if let Some(id) = clusters.and_then(|c| c.first()).and_then(Value::as_str).filter(|id| !id.is_empty()) {
        return Ok(id.to_owned());
    }
    let logical = up.get(&LOGICAL_CLUSTER.gvr(), "", LOGICAL_CLUSTER_NAME).await?;
    Ok(object::uid(&logical).to_owned())
}

/// The folder of the service account, from kubelets that cannot mount it at the usual place. Pods of theirs share the
/// files of one machine.
fn account_folder() -> Option<std::ffi::OsString> {
    std::env::var_os("KUBERNETES_SERVICEACCOUNT_DIR")
}

fn kubeconfig(path: &Path, context: &str) -> Result<Config, ConfigError> {
    let read = if account_folder().is_some() { Config::from_confined_kubeconfig } else { Config::from_kubeconfig };
    read(path, context)
}

/// The configuration of the pod that we run in.
fn in_cluster() -> anyhow::Result<Config> {
    match account_folder() {
        Some(dir) => Ok(Config::from_pod(Path::new(&dir), |k| std::env::var(k).ok())?),
        None => Ok(Config::in_cluster()?),
    }
}

/// Host and port of a server's URL, as workloads are to find them in their environment.
fn host_and_port(url: &str) -> (String, String) {
    let rest = url.split_once("://").map_or(url, |(_, r)| r);
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => {
            (host.trim_matches(['[', ']']).to_owned(), port.to_owned())
        }
        _ => (authority.to_owned(), "443".to_owned()),
    }
}

/// Tries until it succeeds; `None` when `stop` comes first.
async fn retry<T, F: Future<Output = Result<T, Error>>>(
    what: &str,
    stop: &CancellationToken,
    attempt: impl Fn() -> F,
) -> Option<T> {
    let mut wait = RETRY / 4;
    loop {
        match attempt().await {
            Ok(value) => return Some(value),
            Err(error) => tracing::warn!(%error, ?wait, "{what} failed, will be tried again"),
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(Duration::from_secs(15));
    }
}

async fn until(stop: &CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for (url, want) in [
            ("https://h:6443", ("h", "6443")),
            ("https://10.0.0.1:1/clusters/x", ("10.0.0.1", "1")),
            ("https://[::1]:9", ("::1", "9")),
            ("https://h", ("h", "443")),
        ] {
            assert_eq!(host_and_port(url), (want.0.to_owned(), want.1.to_owned()));
        }
    }
}
