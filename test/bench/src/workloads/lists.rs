//! W7: lists of ten thousand objects.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    args::Args,
    histogram::Histogram,
    load::{Request, closed},
    report::{Figure, Goal},
    target::{PAYLOAD, Target, random_text},
};

pub(crate) async fn w7(target: &Target, args: &Args) -> anyhow::Result<Vec<Figure>> {
    let lanes = target.lanes(8)?;
    let namespace = target.namespace(&lanes).await?;
    let total = args.list_objects();
    let payloads: Vec<String> = (0..64).map(|_| random_text(PAYLOAD)).collect();
    let path = namespace.core("configmaps");
    let collection = path.clone();
    let make = move |i: usize| {
        let pick = if i.is_multiple_of(100) { "yes" } else { "no" };
        let body = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"w-{i:07}","labels":{{"pick":"{pick}"}}}},"data":{{"payload":"{}"}}}}"#,
            payloads[i % 64]
        );
        Request::post(collection.clone(), body)
    };
    closed(&lanes, 64, total, make, |_| true).await?;
    // The whole list once, looked at: everything is there.
    let whole: Value = serde_json::from_slice(&lanes.send(0, &Request::get(path.clone())).await?)?;
    let count = |list: &Value, what: &str| {
        list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|i| i["metadata"]["name"].as_str().is_some_and(|n| n.starts_with(what)))
            .count()
    };
    anyhow::ensure!(count(&whole, "w-") == total, "the list is not complete");
    drop(whole);
    tokio::time::sleep(args.settle()).await;

    let before = target.probe.rss();
    let peak = target.probe.watch_rss();
    let cpu = target.probe.cpu();
    let (mut times, mut first, mut bytes) = (Histogram::default(), Histogram::default(), 0);
    for _ in 0..args.lists() {
        let start = Instant::now();
        let (head, length) = lanes.drain(0, &Request::get(path.clone())).await?;
        times.record(start.elapsed());
        first.record(head);
        bytes = length;
    }
    let cpu = (target.probe.cpu() - cpu).as_secs_f64() * 1e3 / args.lists() as f64;
    let extra = peak.bytes().saturating_sub(before) as f64 / 1e6;
    drop(peak);

    let peak = target.probe.watch_rss();
    let mut parallel = Histogram::default();
    let mut readers = JoinSet::new();
    for lane in 0..8 {
        let (lanes, request) = (lanes.clone(), Request::get(path.clone()));
        readers.spawn(async move {
            let start = Instant::now();
            lanes.drain(lane, &request).await.map(|_| start.elapsed())
        });
    }
    while let Some(done) = readers.join_next().await {
        parallel.record(done.context("a reader was lost")??);
    }
    let extra_parallel = peak.bytes().saturating_sub(before) as f64 / 1e6;
    drop(peak);

    let mut pages = Histogram::default();
    for _ in 0..args.lists() / 3 + 1 {
        pages.record(paged(&lanes, &path, total).await?);
    }
    let selected = |selector: &'static str, want: usize| {
        let (lanes, path) = (lanes.clone(), path.clone());
        async move {
            let mut times = Histogram::default();
            for _ in 0..args.lists() {
                let start = Instant::now();
                let body = lanes.send(0, &Request::get(format!("{path}?labelSelector={selector}"))).await?;
                times.record(start.elapsed());
                let found = memchr::memmem::find_iter(&body, b"\"pick\":\"yes\"").count();
                anyhow::ensure!(found == want, "{selector} finds {found} objects instead of {want}");
            }
            anyhow::Ok(times)
        }
    };
    let (none, some) = (selected("never%3Dthere", 0).await?, selected("pick%3Dyes", total.div_ceil(100)).await?);

    let scale = total as f64 / 10_000.0;
    let mut out = vec![
        Figure::new(format!("{total} objects, {:.1} MB: p50", bytes as f64 / 1e6), times.ms(50.0), "ms")
            .most(30.0 * scale, 12.0 * scale),
        Figure::new("first byte: p50", first.ms(50.0), "ms").target(Goal::AtMost(1.0)),
        Figure::new("8 readers at once: p50", parallel.ms(50.0), "ms"),
        Figure::new("in pages of 500: p50 of the whole", pages.ms(50.0), "ms"),
        Figure::new("selector that matches nothing: p50", none.ms(50.0), "ms").target(Goal::AtMost(0.1)),
        Figure::new("selector that matches 1 %: p50", some.ms(50.0), "ms"),
    ];
    if target.probe.sees() {
        out.push(Figure::new("CPU of one list", cpu, "ms"));
        out.push(Figure::new("RSS at the peak, more than before", extra, "MB").most(8.0, 4.0));
        out.push(Figure::new("the same with 8 readers", extra_parallel, "MB"));
    }
    Ok(out)
}

/// Reads everything page by page.
async fn paged(lanes: &crate::load::Lanes, path: &str, total: usize) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let (mut token, mut seen) = (String::new(), 0);
    loop {
        let body = lanes.send(0, &Request::get(format!("{path}?limit=500&continue={token}"))).await?;
        seen += memchr::memmem::find_iter(&body, b"\"name\":\"w-").count();
        // The token stands at the end or the beginning, so only a small part is decoded.
        token = continue_token(&body).unwrap_or_default();
        if token.is_empty() {
            break;
        }
    }
    let took = start.elapsed();
    anyhow::ensure!(seen == total, "pages hold {seen} objects instead of {total}");
    Ok(took)
}

fn continue_token(body: &[u8]) -> Option<String> {
    let mark = b"\"continue\":\"";
    let at = memchr::memmem::find(body, mark)? + mark.len();
    let end = memchr::memchr(b'"', &body[at..])?;
    let token = String::from_utf8_lossy(&body[at..at + end]).into_owned();
    // Base64 may hold characters that mean something in a query.
    Some(token.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"))
}
