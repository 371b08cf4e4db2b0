//! `/healthz` and `/metrics`, by plain HTTP.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_util::sync::CancellationToken;

use crate::sync::Sync;

/// What is served.
pub(crate) struct Health {
    /// The last heartbeat arrived.
    pub(crate) healthy: AtomicBool,
    pub(crate) sync: Arc<Sync>,
}

/// Binds the address; serving starts with [`serve`].
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<tokio::net::TcpListener> {
    let listener = tokio::net::TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} for /healthz and /metrics: choose another with --health-bind-address")
    })?;
    tracing::info!(address = %listener.local_addr().context("no local address")?, "serving /healthz and /metrics");
    Ok(listener)
}

/// Serves until `stop`.
pub(crate) async fn serve(listener: tokio::net::TcpListener, health: Arc<Health>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let health = health.clone();
        let stop = stop.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let health = health.clone();
                async move { Ok::<_, std::convert::Infallible>(answer(&request, &health)) }
            });
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            tokio::select! {
                () = stop.cancelled() => {}
                _ = server.serve_connection(TokioIo::new(stream), service) => {}
            }
        });
    }
}

fn answer(request: &Request<Incoming>, health: &Health) -> Response<Full<Bytes>> {
    let (code, body) = match request.uri().path() {
        "/healthz" | "/readyz" | "/livez"
            if health.healthy.load(Ordering::Relaxed) || request.uri().path() == "/livez" =>
        {
            (200, "ok".to_owned())
        }
        "/healthz" | "/readyz" => (500, "the workspace does not hear our heartbeat".to_owned()),
        "/metrics" => (200, metrics(&health.sync)),
        _ => (404, "404 page not found\n".to_owned()),
    };
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = hyper::StatusCode::from_u16(code).unwrap_or_default();
    response
}

/// The counters in Prometheus' text form. The set of series is fixed.
fn metrics(sync: &Sync) -> String {
    let c = &sync.counters;
    let mut out = String::new();
    let mut one = |name: &str, kind: &str, help: &str, values: &[(&str, u64)]| {
        out.push_str(&format!("# HELP syncer_{name} {help}\n# TYPE syncer_{name} {kind}\n"));
        for (labels, v) in values {
            out.push_str(&format!("syncer_{name}{labels} {v}\n"));
        }
    };
    let n = |v: &std::sync::atomic::AtomicU64| v.load(Ordering::Relaxed);
    one("applied_total", "counter", "Objects applied in the physical cluster.", &[("", n(&c.applied))]);
    one("deleted_total", "counter", "Objects and namespaces deleted in the physical cluster.", &[("", n(&c.deleted))]);
    one("statuses_total", "counter", "Statuses written to the workspace.", &[("", n(&c.statuses))]);
    one("failures_total", "counter", "Attempts that failed and are tried again.", &[("", n(&c.failures))]);
    one("queue_length", "gauge", "Keys that are queued, wait or are worked on.", &[("", sync.queue.len() as u64)]);
    let sides = [("{side=\"workspace\"}", &sync.up_gate), ("{side=\"physical\"}", &sync.down_gate)];
    one("requests_total", "counter", "Requests made.", &sides.map(|(l, g)| (l, n(&g.requests))));
    one(
        "troubled_requests_total",
        "counter",
        "Requests that met 429, 5xx or a broken connection.",
        &sides.map(|(l, g)| (l, n(&g.troubled))),
    );
    one("allowed_requests", "gauge", "Requests allowed at a time.", &sides.map(|(l, g)| (l, g.allowed() as u64)));
    out
}
