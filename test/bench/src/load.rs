//! The load generator: requests over several HTTP/2 connections, in a closed loop (so many at a time) or an open one (so
//! many a second, whatever the answers do).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::Method;
use kcp_client::{BodyStream, Config, HttpTransport, Transport as _};
use tokio::task::JoinSet;

use crate::histogram::Histogram;

/// A request to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

impl Request {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), content_type: "", body: Bytes::new() }
    }
    pub(crate) fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, path: path.into(), content_type: "application/json", body: body.into() }
    }
    pub(crate) fn patch(path: impl Into<String>, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { method: Method::PATCH, path: path.into(), content_type, body: body.into() }
    }
    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self { method: Method::DELETE, path: path.into(), content_type: "", body: Bytes::new() }
    }
}

/// Several connections to one server.
pub(crate) struct Lanes {
    lanes: Vec<HttpTransport>,
    prefix: String,
}

impl Lanes {
    /// # Errors
    /// When the configuration cannot be used.
    pub(crate) fn new(config: &Config, count: usize) -> anyhow::Result<Arc<Self>> {
        let mut lanes = Vec::with_capacity(count);
        let mut prefix = String::new();
        for _ in 0..count.max(1) {
            let (lane, path) = HttpTransport::new(config)?;
            lanes.push(lane);
            prefix = path;
        }
        Ok(Arc::new(Self { lanes, prefix }))
    }

    /// Sends a request on a connection and gives the answer's head.
    ///
    /// # Errors
    /// When no answer comes, or one that is no success.
    pub(crate) async fn open(&self, lane: usize, request: &Request) -> anyhow::Result<BodyStream> {
        let mut builder = http::Request::builder()
            .method(request.method.clone())
            .uri(format!("{}{}", self.prefix, request.path))
            .header("accept", "application/json")
            .header("user-agent", "kcp-bench");
        if !request.content_type.is_empty() {
            builder = builder.header("content-type", request.content_type);
        }
        let lane = &self.lanes[lane % self.lanes.len()];
        let response = lane.send(builder.body(request.body.clone())?).await?;
        let code = response.status();
        if code.is_success() {
            return Ok(response.into_body());
        }
        let mut body = response.into_body();
        let mut text = BytesMut::new();
        while let Some(Ok(chunk)) = body.next().await {
            text.extend_from_slice(&chunk);
        }
        bail!("{} {}: {code} {}", request.method, request.path, String::from_utf8_lossy(&text))
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// As [`Lanes::open`].
    pub(crate) async fn send(&self, lane: usize, request: &Request) -> anyhow::Result<Bytes> {
        let mut body = self.open(lane, request).await?;
        let mut first: Option<Bytes> = None;
        let mut all = BytesMut::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            // Most answers are one chunk, which needs no copy.
            match &first {
                None => first = Some(chunk),
                Some(head) => {
                    if all.is_empty() {
                        all.extend_from_slice(head);
                    }
                    all.extend_from_slice(&chunk);
                }
            }
        }
        Ok(if all.is_empty() { first.unwrap_or_default() } else { all.freeze() })
    }

    /// Sends a request and throws the answer away: the time to its first byte, and its length.
    ///
    /// # Errors
    /// As [`Lanes::open`].
    pub(crate) async fn drain(&self, lane: usize, request: &Request) -> anyhow::Result<(Duration, usize)> {
        let start = Instant::now();
        let mut body = self.open(lane, request).await?;
        let (mut first, mut length) = (None, 0);
        while let Some(chunk) = body.next().await {
            length += chunk?.len();
            first.get_or_insert_with(|| start.elapsed());
        }
        Ok((first.unwrap_or_else(|| start.elapsed()), length))
    }
}

/// What a loop did.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) latency: Histogram,
    pub(crate) elapsed: Duration,
}

impl Run {
    pub(crate) fn per_second(&self) -> f64 {
        self.latency.len() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// Sends requests `0..total`, `concurrency` at a time. `check` looks at each answer.
///
/// # Errors
/// When any request fails or its answer is not as it must be.
pub(crate) async fn closed(
    lanes: &Arc<Lanes>,
    concurrency: usize,
    total: usize,
    make: impl Fn(usize) -> Request + Send + Sync + 'static,
    check: impl Fn(&[u8]) -> bool + Send + Sync + 'static,
) -> anyhow::Result<Run> {
    let (make, check) = (Arc::new(make), Arc::new(check));
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for worker in 0..concurrency.min(total) {
        let (lanes, make, check, next) = (lanes.clone(), make.clone(), check.clone(), next.clone());
        workers.spawn(async move {
            let mut latency = Histogram::default();
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= total {
                    return anyhow::Ok(latency);
                }
                let request = make(i);
                let sent = Instant::now();
                let answer = lanes.send(worker, &request).await?;
                latency.record(sent.elapsed());
                anyhow::ensure!(check(&answer), "{}: {}", request.path, String::from_utf8_lossy(&answer));
            }
        });
    }
    let mut run = Run::default();
    while let Some(done) = workers.join_next().await {
        run.latency.merge(&done.context("a worker was lost")??);
    }
    run.elapsed = start.elapsed();
    Ok(run)
}

/// Sends `rate` requests a second for `time`. A latency counts from the moment at which the request was due.
///
/// # Errors
/// When any request fails.
pub(crate) async fn open(
    lanes: &Arc<Lanes>,
    rate: usize,
    time: Duration,
    make: impl Fn(usize) -> Request,
) -> anyhow::Result<Run> {
    let total = (time.as_secs_f64() * rate as f64) as usize;
    let gap = Duration::from_secs_f64(1.0 / rate as f64);
    let start = Instant::now();
    let mut flying = JoinSet::new();
    for i in 0..total {
        let due = start + gap * u32::try_from(i).unwrap_or(u32::MAX);
        tokio::time::sleep_until(due.into()).await;
        let (lanes, request) = (lanes.clone(), make(i));
        flying.spawn(async move {
            lanes.send(i, &request).await?;
            anyhow::Ok(due.elapsed())
        });
    }
    let mut run = Run::default();
    while let Some(done) = flying.join_next().await {
        run.latency.record(done.context("a request was lost")??);
    }
    run.elapsed = start.elapsed();
    Ok(run)
}
