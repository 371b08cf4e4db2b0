//! Waiting for conditions: by watching where the API lets us, else by asking again for a bounded time.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use kcp_apimachinery::GroupVersionResource;
use kcp_client::{Client, WatchEvent, WatchParams};
use serde_json::Value;

/// How long anything may take on a busy machine before it counts as not happening.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Watches one object until `holds` says so of it; `None` stands for an object that does not exist.
///
/// # Errors
/// When that does not happen within [`PATIENCE`]; the last state seen is in the error.
pub async fn until(
    client: &Client,
    gvr: &GroupVersionResource,
    namespace: &str,
    name: &str,
    holds: impl Fn(Option<&Value>) -> bool,
) -> anyhow::Result<Option<Value>> {
    let mut last: Option<Value> = None;
    let deadline = Instant::now() + PATIENCE;
    let watching = async {
        loop {
            let params = WatchParams {
                field_selector: Some(format!("metadata.name={name}")),
                initial_events: true,
                ..WatchParams::default()
            };
            let mut events = match client.watch(gvr, namespace, &params).await {
                Ok(events) => events,
                // A type that is not served yet, or a server that is just being started again.
                Err(error) if error.is_transient() || error.is_not_found() => {
                    if holds(None) && error.is_not_found() {
                        return Ok(None);
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let mut exists = false;
            while let Some(event) = events.next().await {
                let seen = match event {
                    Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                        exists = true;
                        last = Some(object);
                        last.as_ref()
                    }
                    Ok(WatchEvent::Deleted(_)) => {
                        exists = false;
                        last = None;
                        None
                    }
                    Ok(WatchEvent::Bookmark { initial_events_end: true, .. }) if !exists => {
                        last = None;
                        None
                    }
                    Ok(WatchEvent::Bookmark { .. }) => continue,
                    // Ended by the server: watch again.
                    Err(_) => break,
                };
                if holds(seen) {
                    return anyhow::Ok(last.clone());
                }
            }
        }
    };
    let left = deadline.saturating_duration_since(Instant::now());
    match tokio::time::timeout(left, watching).await {
        Ok(outcome) => outcome,
        Err(_) => {
            // `watching` is gone, so what it saw has to be read again.
            let now = client.find(gvr, namespace, name).await;
            bail!("{} {namespace}/{name} did not become what was expected; it is now {now:?}", gvr.resource)
        }
    }
}

/// Watches until an object does not exist.
///
/// # Errors
/// When it still exists after [`PATIENCE`].
pub async fn gone(client: &Client, gvr: &GroupVersionResource, namespace: &str, name: &str) -> anyhow::Result<()> {
    until(client, gvr, namespace, name, |o| o.is_none()).await.map(drop)
}

/// Asks again until there is an answer, for what no watch tells.
///
/// # Errors
/// When there is none within [`PATIENCE`], with the last reason.
pub async fn poll<T, F: Future<Output = anyhow::Result<Option<T>>>>(
    what: &str,
    ask: impl Fn() -> F,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask().await;
        match answer {
            Ok(Some(found)) => return Ok(found),
            Ok(None) if Instant::now() < deadline => {}
            Err(_) if Instant::now() < deadline => {}
            Ok(None) => bail!("{what} did not happen within {PATIENCE:?}"),
            Err(error) => return Err(error).with_context(|| format!("{what} did not happen within {PATIENCE:?}")),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
