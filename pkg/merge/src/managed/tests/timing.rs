//! How long the common writes take. Not part of the normal run:
//! `cargo test --release -p kcp-merge -- --ignored --nocapture timing`.

use std::time::Instant;

use super::*;

/// A ConfigMap of about one kilobyte.
fn config_map(keys: usize) -> Value {
    let data: Map<String, Value> = (0..keys).map(|i| (format!("key-{i:02}"), Value::from("v".repeat(40)))).collect();
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "conf", "namespace": "default", "uid": "2f1c6e4e-3f0f-4c1a-9d3e-5e0f3c1a2b3c",
                     "creationTimestamp": NOW, "labels": {"app": "x", "tier": "y"}},
        "data": data,
    })
}

fn measure(what: &str, mut work: impl FnMut()) {
    const ROUNDS: u32 = 20_000;
    for _ in 0..1_000 {
        work();
    }
    let start = Instant::now();
    for _ in 0..ROUNDS {
        work();
    }
    println!("{what:<44} {:>7.2} us", start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
}

#[test]
#[ignore = "measures, asserts nothing"]
fn timing() {
    let schema = Schema::compile(&json!({"type": "object", "properties": {
        "data": {"type": "object", "additionalProperties": {"type": "string"}}}}))
    .unwrap();
    let root = schema.root();
    let reset = ResetFields::none();
    let writer = |manager| Writer { manager, api_version: "v1", subresource: "", now: NOW };
    let fresh = config_map(18);
    println!("object of {} bytes", fresh.to_string().len());

    measure("clone of the object (for comparison)", || drop(std::hint::black_box(fresh.clone())));
    let mut target = fresh;
    measure("create: track_update", || {
        target["metadata"].as_object_mut().unwrap().remove("managedFields");
        track_update(None, &mut target, &writer("creator"), root, &reset);
    });
    let live = target;
    let patch = json!({"data": {"key-03": "changed"}, "metadata": {"labels": {"tier": "z"}}});
    measure("merge patch: clone, merge, track_update", || {
        let mut new = live.clone();
        crate::merge_patch(&mut new, &patch);
        track_update(Some(&live), &mut new, &writer("patcher"), root, &reset);
        std::hint::black_box(&new);
    });
    let configuration = |from: usize, to: usize, value: &str| {
        let data: Map<String, Value> =
            (from..to).map(|i| (format!("key-{i:02}"), Value::from(value.repeat(40)))).collect();
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}, "data": data})
    };
    let (left, right) = (configuration(0, 9, "v"), configuration(9, 18, "v"));
    let live = apply(None, left.clone(), false, &writer("left"), root, &reset).unwrap();
    let live = apply(Some(&live), right, false, &writer("right"), root, &reset).unwrap();
    let changed = configuration(9, 18, "w");
    measure("apply: two managers, no change", || {
        std::hint::black_box(apply(Some(&live), left.clone(), false, &writer("left"), root, &reset).unwrap());
    });
    measure("apply: two managers, nine fields change", || {
        std::hint::black_box(apply(Some(&live), changed.clone(), false, &writer("right"), root, &reset).unwrap());
    });
    let dropped = configuration(9, 17, "v");
    measure("apply: two managers, one field dropped", || {
        std::hint::black_box(apply(Some(&live), dropped.clone(), false, &writer("right"), root, &reset).unwrap());
    });
}
