//! W17: killed in the middle of writes and started again, with a hundred thousand objects.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use kcp_apimachinery::GroupVersionResource;
use kcp_client::{Client, ListParams};
use serde_json::json;

use crate::{
    args::Args,
    load::{Request, closed},
    report::{Figure, Goal},
    target::{PAYLOAD, Target, config_map, random_text},
    workloads::mb,
};

/// Objects in each workspace.
const EACH: usize = 100;

fn workspace(i: usize) -> String {
    format!("root:restart:w-{i:07}")
}

fn collection(i: usize) -> String {
    format!("/clusters/{}/api/v1/namespaces/default/configmaps", workspace(i))
}

pub(crate) async fn w17(target: &mut Target, args: &Args) -> anyhow::Result<Vec<Figure>> {
    target.needs_own()?;
    let lanes = target.lanes(2)?;
    let workspaces = (args.restart_objects() / EACH).max(2);
    let total = workspaces * EACH;
    let make = |parent: &'static str| {
        move |name: String| {
            let body =
                json!({"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": name}});
            Request::post(format!("/clusters/{parent}/apis/tenancy.kcp.io/v1alpha1/workspaces"), body.to_string())
        }
    };
    lanes.send(0, &make("root")("restart".into())).await?;
    closed(&lanes, 16, workspaces, move |i| make("root:restart")(format!("w-{i:07}")), |_| true).await?;
    let payloads: Arc<Vec<String>> = Arc::new((0..64).map(|_| random_text(PAYLOAD)).collect());
    let random = payloads.clone();
    let object =
        move |i: usize| Request::post(collection(i % workspaces), config_map(&format!("o-{i:07}"), &random[i % 64]));
    let load = closed(&lanes, 64, total, object, |_| true).await?;
    let size = target.probe.rss();

    // Writes go on while it is killed; every one that was acknowledged is counted.
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut writers = tokio::task::JoinSet::new();
    for worker in 0..8usize {
        let (lanes, acknowledged, payloads) = (lanes.clone(), acknowledged.clone(), payloads.clone());
        writers.spawn(async move {
            let mut mine = 0;
            loop {
                let request = Request::post(
                    collection(worker % workspaces),
                    config_map(&format!("late-{worker}-{mine:07}"), &payloads[mine % 64]),
                );
                if lanes.send(worker, &request).await.is_err() {
                    return (worker, mine);
                }
                mine += 1;
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while acknowledged.load(Ordering::Relaxed) < 500 {
        tokio::task::yield_now().await;
    }
    let kcp = target.needs_own()?;
    kcp.kill().await?;
    let start = Instant::now();
    kcp.restart().await?;
    let ready = start.elapsed();
    target.probe = crate::probe::Probe::new(target.needs_own()?.pid().into_iter().collect::<Vec<_>>());
    let lanes = target.lanes(1)?;
    let get = Instant::now();
    lanes.send(0, &Request::get(format!("{}/o-{:07}", collection(0), 0))).await?;
    let (get, first_get) = (get.elapsed(), start.elapsed());
    let create = Instant::now();
    lanes.send(0, &Request::post(collection(0), config_map("first-after", &payloads[0]))).await?;
    let create = create.elapsed();
    let list = Instant::now();
    let some = total.min(10_000);
    lanes.drain(0, &Request::get(format!("/clusters/*/api/v1/configmaps?limit={some}"))).await?;
    let list = list.elapsed();
    let lost = lost(target, workspaces, total, writers.join_all().await).await?;
    let scale = total as f64 / 1e6;
    Ok(vec![
        Figure::new(format!("{total} objects written, c=64"), load.per_second(), "/s"),
        Figure::new("RSS before the kill", mb(size), "MB"),
        Figure::new("start to ready", ready.as_secs_f64() * 1e3, "ms")
            .target(Goal::AtMost((1_000.0 * scale).max(25.0))),
        Figure::new("start to the first get", first_get.as_secs_f64() * 1e3, "ms"),
        Figure::new("first get", get.as_secs_f64() * 1e3, "ms"),
        Figure::new("first create", create.as_secs_f64() * 1e3, "ms"),
        Figure::new(format!("first list of {some}"), list.as_secs_f64() * 1e3, "ms"),
        Figure::new("RSS after", mb(target.probe.rss()), "MB").target(Goal::AtMost((1_300.0 * scale).max(30.0))),
        Figure::new("acknowledged writes lost", lost as f64, "").goal(Goal::AtMost(0.0)).target(Goal::AtMost(0.0)),
    ])
}

/// How many of the acknowledged objects are not there. `late` is how many each writer had acknowledged.
async fn lost(target: &Target, workspaces: usize, total: usize, late: Vec<(usize, usize)>) -> anyhow::Result<usize> {
    let client = Client::new(&target.config)?;
    let gvr = GroupVersionResource::new("", "v1", "configmaps");
    let mut missing = 0;
    for w in 0..workspaces {
        let all = client.cluster(&workspace(w)).list_all(&gvr, "default", &ListParams::default()).await?;
        let there: std::collections::HashSet<&str> = all.items.iter().map(kcp_apimachinery::object::name).collect();
        missing += (w..total).step_by(workspaces).filter(|i| !there.contains(format!("o-{i:07}").as_str())).count();
        for (worker, count) in late.iter().filter(|(worker, _)| worker % workspaces == w) {
            missing += (0..*count).filter(|i| !there.contains(format!("late-{worker}-{i:07}").as_str())).count();
        }
    }
    Ok(missing)
}
