//! What the verbs cost, apart from the store's commit. Run with
//! `cargo test --release -p kcp-registry hot_path -- --ignored --nocapture`.

use std::time::Instant;

use serde_json::json;

use crate::{
    Body, ListOptions, PatchKind, WriteOptions,
    testing::{Fixture, THINGS},
};

const ROUNDS: u32 = 20_000;

fn report(what: &str, start: Instant, rounds: u32) {
    eprintln!("{what}: {:?}", start.elapsed() / rounds);
}

#[tokio::test]
#[ignore = "measures"]
async fn hot_path() {
    let f = Fixture::new().await;
    f.define_things().await;
    let data = "x".repeat(850);
    for (what, rest) in
        [("v1/configmaps", json!({"data": {"payload": data}})), (THINGS, json!({"spec": {"size": 1, "color": data}}))]
    {
        let request = f.request(what, "a");
        let bodies: Vec<Body> = (0..ROUNDS)
            .map(|i| {
                let mut object = rest.clone();
                object["metadata"] =
                    json!({"name": format!("o{i:06}"), "labels": {"app": "bench", "i": i.to_string()}});
                Fixture::body(&request, object)
            })
            .collect();
        // A dry run does everything but the commit.
        let dry = WriteOptions { dry_run: vec!["All".into()], ..Fixture::options() };
        let start = Instant::now();
        for body in &bodies {
            f.registry.create(&request, body, &dry).await.unwrap();
        }
        report(&format!("{what} create without commit"), start, ROUNDS);
        let start = Instant::now();
        for body in &bodies {
            f.registry.create(&request, body, &Fixture::options()).await.unwrap();
        }
        report(&format!("{what} create in memory"), start, ROUNDS);
        let names: Vec<_> = (0..ROUNDS).map(|i| request.clone().named(&format!("o{i:06}"))).collect();
        let start = Instant::now();
        for one in &names {
            f.registry.get(one, "").await.unwrap();
        }
        report(&format!("{what} get"), start, ROUNDS);
        let patch = Body::from(&json!({"metadata": {"labels": {"seen": "yes"}}}));
        let start = Instant::now();
        for one in &names {
            f.registry.patch(one, PatchKind::Merge, &patch, &dry).await.unwrap();
        }
        report(&format!("{what} merge patch without commit"), start, ROUNDS);
        let apply = WriteOptions { field_manager: "m".into(), force: Some(true), ..dry.clone() };
        let configs: Vec<Body> = (0..ROUNDS)
            .map(|i| {
                Fixture::body(&request, json!({"metadata": {"name": format!("o{i:06}"), "labels": {"applied": "yes"}}}))
            })
            .collect();
        let start = Instant::now();
        for (one, config) in names.iter().zip(&configs) {
            f.registry.patch(one, PatchKind::Apply, config, &apply).await.unwrap();
        }
        report(&format!("{what} apply without commit"), start, ROUNDS);
        for (how, options) in [
            ("list", ListOptions::default()),
            ("list by label, none", ListOptions { label_selector: "app=other".into(), ..ListOptions::default() }),
        ] {
            let start = Instant::now();
            let list = f.registry.list(&request, &options).await.unwrap();
            let bytes: usize = list.into_chunks(256 << 10).map(|c| c.unwrap().len()).sum();
            eprintln!("{what} {how} of {ROUNDS}: {:?} for {bytes} bytes", start.elapsed());
        }
    }
}
