//! W9: from a CustomResourceDefinition to its first object.

use std::time::{Duration, Instant};

use crate::{
    args::Args,
    histogram::Histogram,
    load::Request,
    report::{Figure, Goal},
    target::{GROUP, Target, custom, definition, random_text},
    workloads::kb_each,
};

pub(crate) async fn w9(target: &Target, args: &Args) -> anyhow::Result<Vec<Figure>> {
    let lanes = target.lanes(1)?;
    let namespace = target.namespace(&lanes).await?;
    let collection = format!("{}/apis/apiextensions.k8s.io/v1/customresourcedefinitions", target.home);
    let payload = random_text(600);
    let run = namespace.name.trim_start_matches("bench-").to_owned();
    let (mut made, mut accepted, mut refused) = (Histogram::default(), Histogram::default(), 0u32);
    // One for nothing: the first compiles what all share.
    let (mut before, mut cpu) = (0, Duration::ZERO);
    for i in 0..=args.definitions() {
        let (plural, kind) = (format!("t{run}{i}s"), format!("T{run}{i}"));
        let (first, object) = (definition(&plural, &kind), custom(&kind, "first", &payload));
        let start = Instant::now();
        lanes.send(0, &Request::post(collection.clone(), first.to_string())).await?;
        let created = start.elapsed();
        let post = Request::post(namespace.group(GROUP, &plural), object);
        // The first one must be right: a refusal counts as a defect, then it is tried until it works.
        while let Err(error) = lanes.send(0, &post).await {
            refused += 1;
            anyhow::ensure!(start.elapsed() < Duration::from_secs(30), "the first object is not accepted: {error:#}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if i == 0 {
            (before, cpu) = (target.probe.rss(), target.probe.cpu());
            refused = 0;
            continue;
        }
        made.record(created);
        accepted.record(start.elapsed());
    }
    let mut out = vec![
        Figure::new("CRD to 201: p50", made.ms(50.0), "ms"),
        Figure::new("CRD to first object accepted: p50", accepted.ms(50.0), "ms").most(10.0, 3.0),
        Figure::new("CRD to first object accepted: p99", accepted.ms(99.0), "ms").most(10.0, 3.0),
        Figure::new("first objects refused", f64::from(refused), "").goal(Goal::AtMost(0.0)).target(Goal::AtMost(0.0)),
    ];
    if target.probe.sees() {
        let count = args.definitions();
        out.push(
            Figure::new("RSS per CRD with one object", kb_each(before, target.probe.rss(), count), "KB")
                .target(Goal::AtMost(15.0)),
        );
        let each = (target.probe.cpu() - cpu).as_secs_f64() * 1e3 / count as f64;
        out.push(Figure::new("CPU per CRD with one object", each, "ms").target(Goal::AtMost(0.5)));
    }
    Ok(out)
}
