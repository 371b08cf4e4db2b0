//! W6: create, get, merge patch, server-side apply and delete of small objects.

use std::sync::Arc;

use crate::{
    args::Args,
    load::{Lanes, Request, closed, open},
    report::{Figure, Goal},
    target::{GROUP, PAYLOAD, Target, config_map, custom, definition, random_text},
};

/// What is at work at a time.
const CONCURRENCY: [usize; 3] = [1, 32, 256];
/// Payloads to choose from: making one for each request would measure the generator.
const PAYLOADS: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Create,
    Get,
    Patch,
    Apply,
    Delete,
}

impl Operation {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Create, "create"),
        (Self::Get, "get"),
        (Self::Patch, "merge patch"),
        (Self::Apply, "apply"),
        (Self::Delete, "delete"),
    ];

    /// The CPU of one, µs: what is to be reached now and in the end.
    fn goals(self) -> (Option<f64>, Option<f64>) {
        match self {
            Self::Create => (Some(90.0), Some(45.0)),
            Self::Get => (Some(25.0), Some(12.0)),
            Self::Patch => (None, Some(60.0)),
            Self::Apply => (None, Some(80.0)),
            Self::Delete => (None, None),
        }
    }
}

/// A kind of object.
struct Kind {
    name: &'static str,
    path: String,
    payloads: Vec<String>,
    body: fn(&str, &str) -> bytes::Bytes,
}

pub(crate) async fn w6(target: &Target, args: &Args) -> anyhow::Result<Vec<Figure>> {
    // A connection carries a hundred requests at a time.
    let lanes = target.lanes(4)?;
    let namespace = target.namespace(&lanes).await?;
    let definitions = format!("{}/apis/apiextensions.k8s.io/v1/customresourcedefinitions", target.home);
    // It stays on a peer from an earlier run.
    let _ = lanes.send(0, &Request::post(definitions, definition("records", "Record").to_string())).await;
    let payloads = |size: usize| (0..PAYLOADS).map(|_| random_text(size)).collect();
    let kinds = [
        Kind {
            name: "ConfigMap 1 KB",
            path: namespace.core("configmaps"),
            payloads: payloads(PAYLOAD),
            body: config_map,
        },
        Kind {
            name: "CR 0.9 KB",
            path: namespace.group(GROUP, "records"),
            payloads: payloads(PAYLOAD - 200),
            body: |name, payload| custom("Record", name, payload),
        },
    ];
    let mut out = Vec::new();
    for kind in kinds {
        let kind = Arc::new(kind);
        // Warm up, and find out whether the kind is served.
        drop(run(&lanes, &kind, Operation::Create, "warm", 8, 200).await?);
        for concurrency in CONCURRENCY {
            let total = if concurrency == 1 { args.operations() / 10 } else { args.operations() };
            let keys = format!("c{concurrency}");
            for (operation, name) in Operation::ALL {
                let cpu = target.probe.cpu();
                let done = run(&lanes, &kind, operation, &keys, concurrency, total).await?;
                let cpu = (target.probe.cpu() - cpu).as_secs_f64() * 1e6 / total as f64;
                let label = |what: &str| format!("{} {name} c={concurrency}: {what}", kind.name);
                let mut rate = Figure::new(label("rate"), done.per_second(), "/s");
                if concurrency == 256 && kind.path.ends_with("configmaps") {
                    rate = match operation {
                        Operation::Create => rate.target(Goal::AtLeast(20_000.0)),
                        Operation::Get => rate.target(Goal::AtLeast(60_000.0)),
                        _ => rate,
                    };
                }
                out.push(rate);
                out.push(Figure::new(label("p50"), done.latency.ms(50.0), "ms"));
                out.push(Figure::new(label("p99"), done.latency.ms(99.0), "ms"));
                if target.probe.sees() {
                    let mut figure = Figure::new(label("CPU"), cpu, "µs");
                    let (goal, end) = operation.goals();
                    if concurrency == 32 {
                        figure = goal.into_iter().fold(figure, |f, g| f.goal(Goal::AtMost(g)));
                        figure = end.into_iter().fold(figure, |f, g| f.target(Goal::AtMost(g)));
                    }
                    out.push(figure);
                }
            }
        }
        let rate = 1_000;
        let load = open(&lanes, rate, args.open_loop(), |i| request(&kind, Operation::Create, "open", i)).await?;
        out.push(Figure::new(format!("{} create, open loop at {rate}/s: p99", kind.name), load.latency.ms(99.0), "ms"));
        let load = open(&lanes, rate, args.open_loop(), |i| request(&kind, Operation::Get, "open", i)).await?;
        out.push(Figure::new(format!("{} get, open loop at {rate}/s: p99", kind.name), load.latency.ms(99.0), "ms"));
    }
    Ok(out)
}

fn request(kind: &Kind, operation: Operation, keys: &str, i: usize) -> Request {
    let name = format!("{keys}-w-{i:07}");
    let payload = &kind.payloads[i % PAYLOADS];
    let path = format!("{}/{name}", kind.path);
    match operation {
        Operation::Create => Request::post(kind.path.clone(), (kind.body)(&name, payload)),
        Operation::Get => Request::get(path),
        Operation::Patch => {
            Request::patch(path, "application/merge-patch+json", r#"{"metadata":{"labels":{"changed":"yes"}}}"#)
        }
        Operation::Apply => {
            let body = (kind.body)(&name, &kind.payloads[(i + 1) % PAYLOADS]);
            Request::patch(format!("{path}?fieldManager=bench&force=true"), "application/apply-patch+yaml", body)
        }
        Operation::Delete => Request::delete(path),
    }
}

async fn run(
    lanes: &Arc<Lanes>,
    kind: &Arc<Kind>,
    operation: Operation,
    keys: &str,
    concurrency: usize,
    total: usize,
) -> anyhow::Result<crate::load::Run> {
    let (kind, keys) = (kind.clone(), keys.to_owned());
    // An answer must be about the object that was asked for; of a deletion only that it was one.
    let check =
        move |body: &[u8]| operation == Operation::Delete || memchr::memmem::find(body, b"\"payload\"").is_some();
    closed(lanes, concurrency, total, move |i| request(&kind, operation, &keys, i), check).await
}
