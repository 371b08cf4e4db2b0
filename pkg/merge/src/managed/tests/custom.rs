//! Custom resources: list types, removal, conflicts, status and scale.

use super::*;

fn engine(spec: Value) -> Value {
    json!({"apiVersion": "example.dev/v1", "kind": "Engine", "metadata": {"name": "e1"}, "spec": spec})
}

fn full() -> Value {
    json!({
        "replicas": 1, "title": "t", "tags": ["b", "a"],
        "ports": [{"port": 80}, {"port": 443, "proto": "UDP"}],
        "plain": ["x", "y"], "sel": {"k": "v"}, "opts": {"o": "1"},
        "free": {"l": [1, {"a": 2}], "m": {"n": null, "p": 1.5}},
    })
}

/// What defaulting does after an apply (F-20).
fn defaulted(bench: &mut Bench) {
    if let Some(live) = &mut bench.live {
        bench.schema.default(live);
    }
}

fn conflicts(status: &Status) -> Vec<(String, String)> {
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let causes = &status.details.as_ref().unwrap().causes;
    assert!(causes.iter().all(|c| c.reason == "FieldManagerConflict"));
    causes.iter().map(|c| (c.message.clone(), c.field.clone())).collect()
}

/// F-03, F-12, F-20: every list type; what is defaulted afterwards is not owned.
#[test]
fn create_owns_what_was_sent() {
    let mut b = Bench::custom();
    b.apply("left", engine(full()), false).unwrap();
    defaulted(&mut b);
    let want = json!({"f:spec": {
        "f:free": {"f:l": {}, "f:m": {".": {}, "f:n": {}, "f:p": {}}},
        "f:opts": {"f:o": {}},
        "f:plain": {},
        "f:ports": {
            "k:{\"port\":443,\"proto\":\"UDP\"}": {".": {}, "f:port": {}, "f:proto": {}},
            "k:{\"port\":80,\"proto\":\"TCP\"}": {".": {}, "f:port": {}},
        },
        "f:replicas": {}, "f:sel": {}, "f:tags": {"v:\"a\"": {}, "v:\"b\"": {}}, "f:title": {},
    }});
    assert_eq!(b.fields("left", "Apply"), want);
    assert_eq!(b.object()["spec"]["mode"], "auto");

    // F-17: the same again changes nothing, not even a time.
    let before = b.object().clone();
    b.apply("left", engine(full()), false).unwrap();
    assert_eq!(b.object(), &before);
    assert!(settle(&before, b.live.as_mut().unwrap()));
}

/// F-12: sets and maps are merged, in the applied order where the lists agree.
#[test]
fn lists_of_two_managers() {
    let mut b = Bench::custom();
    b.apply("left", engine(full()), false).unwrap();
    defaulted(&mut b);
    b.apply("right", engine(json!({"tags": ["c", "a"]})), false).unwrap();
    assert_eq!(b.object()["spec"]["tags"], json!(["b", "c", "a"]));
    assert_eq!(b.fields("right", "Apply"), json!({"f:spec": {"f:tags": {"v:\"a\"": {}, "v:\"c\"": {}}}}));

    let ports = json!([{"port": 443, "proto": "UDP", "note": "tls"}, {"port": 80, "proto": "UDP"}]);
    b.apply("right", engine(json!({"tags": ["c", "a"], "ports": ports})), false).unwrap();
    assert_eq!(
        b.object()["spec"]["ports"],
        json!([{"port": 80, "proto": "TCP"}, {"note": "tls", "port": 443, "proto": "UDP"}, {"port": 80, "proto": "UDP"}])
    );

    // Dropping the ports takes away those of nobody else, and of the shared one the note (F-08).
    b.apply("right", engine(json!({"opts": {"p": "2"}, "tags": ["c"]})), false).unwrap();
    assert_eq!(b.object()["spec"]["opts"], json!({"o": "1", "p": "2"}));
    assert_eq!(b.object()["spec"]["ports"], json!([{"port": 80, "proto": "TCP"}, {"port": 443, "proto": "UDP"}]));
    assert_eq!(b.object()["spec"]["tags"], json!(["b", "c", "a"]));

    let less = json!({"replicas": 1, "title": "t", "tags": ["b"], "ports": [{"port": 80}], "mode": "auto"});
    b.apply("left", engine(less), false).unwrap();
    assert_eq!(
        b.object()["spec"],
        json!({"mode": "auto", "opts": {"p": "2"}, "ports": [{"port": 80, "proto": "TCP"}], "replicas": 1,
               "tags": ["b", "c"], "title": "t"})
    );
    assert_eq!(
        b.fields("left", "Apply"),
        json!({"f:spec": {"f:mode": {}, "f:ports": {"k:{\"port\":80,\"proto\":\"TCP\"}": {".": {}, "f:port": {}}},
                          "f:replicas": {}, "f:tags": {"v:\"b\"": {}}, "f:title": {}}})
    );
}

/// F-05: atomic values conflict as a whole, scalars one by one, shared list items not at all.
#[test]
fn conflict_texts() {
    let mut b = Bench::custom();
    b.apply("left", engine(full()), false).unwrap();
    let with = |b: &mut Bench, spec: Value| b.apply("right", engine(spec), false).unwrap_err();
    for (spec, field) in [
        (json!({"plain": ["z"]}), ".spec.plain"),
        (json!({"sel": {"other": "1"}}), ".spec.sel"),
        (json!({"title": null}), ".spec.title"),
        (json!({"opts": {"o": "2"}}), ".spec.opts.o"),
        (json!({"free": {"l": []}}), ".spec.free.l"),
        (json!({"ports": [{"port": 443, "proto": "UDP", "note": "n"}], "replicas": 2}), ".spec.replicas"),
    ] {
        let status = with(&mut b, spec);
        assert_eq!(conflicts(&status), [("conflict with \"left\"".to_owned(), field.to_owned())]);
        assert_eq!(status.message, format!("Apply failed with 1 conflict: conflict with \"left\": {field}"));
    }
    let status = with(&mut b, json!({"replicas": 3, "title": "u", "ports": [{"port": 80, "note": "n"}]}));
    assert_eq!(
        status.message,
        "Apply failed with 2 conflicts: conflicts with \"left\":\n- .spec.replicas\n- .spec.title"
    );
    // F-07: equal values are shared.
    b.apply("right", engine(json!({"title": "t"})), false).unwrap();
    assert_eq!(b.fields("right", "Apply"), json!({"f:spec": {"f:title": {}}}));
}

/// F-05: managers are told apart by name, subresource and, for updaters, version; all are listed in order.
#[test]
fn conflicts_with_several() {
    let mut b = Bench::custom();
    b.apply("zeta", engine(json!({"replicas": 1})), false).unwrap();
    b.apply("alpha", engine(json!({"replicas": 1, "title": "t"})), false).unwrap();
    b.merge("editor", &json!({"spec": {"mode": "x"}}));
    let status = b.apply("new", engine(json!({"replicas": 2, "title": "u", "mode": "y"})), false).unwrap_err();
    assert_eq!(
        status.message,
        "Apply failed with 4 conflicts: conflicts with \"alpha\":\n- .spec.replicas\n- .spec.title\n\
         conflicts with \"editor\" using example.dev/v1:\n- .spec.mode\nconflicts with \"zeta\":\n- .spec.replicas"
    );
    // F-06: force takes them all.
    b.apply("new", engine(json!({"replicas": 2, "title": "u", "mode": "y"})), true).unwrap();
    assert_eq!(b.owners(), ["new/Apply"]);
}

/// F-10: the main endpoint never owns the status, the status endpoint nothing else.
#[test]
fn status_through_its_endpoint() {
    let mut b = Bench::custom();
    b.apply("left", engine(json!({"title": "t"})), false).unwrap();
    let body = |status: Value| json!({"apiVersion": "example.dev/v1", "kind": "Engine", "metadata": {"name": "e1"}, "status": status});
    let before = b.object().clone();
    b.apply("st", body(json!({"seen": 1})), false).unwrap();
    assert_eq!(managed_fields(b.object()), managed_fields(&before), "status on the main endpoint owns nothing");

    b.live = Some(before);
    b.through("status", &["metadata", "spec"]);
    let mut sent = body(json!({"seen": 1, "replicas": 1}));
    sent["spec"] = json!({"title": "t"});
    b.apply("st", sent, false).unwrap();
    assert_eq!(b.fields("st", "Apply"), json!({"f:status": {"f:replicas": {}, "f:seen": {}}}));
    let entry = managed_fields(b.object()).unwrap().as_array().unwrap().iter().find(|e| e["manager"] == "st").unwrap();
    assert_eq!(entry["subresource"], "status");

    let status = b.apply("st2", body(json!({"seen": 3})), false).unwrap_err();
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"st\" with subresource \"status\": .status.seen"
    );
}

/// F-19: scaling owns the replicas of the parent.
#[test]
fn scale_owns_replicas() {
    let mut b = Bench::custom();
    b.apply("left", engine(json!({"replicas": 1, "title": "t"})), false).unwrap();
    b.through("scale", &[]);
    b.merge("scaler", &json!({"spec": {"replicas": 4}}));
    assert_eq!(b.fields("left", "Apply"), json!({"f:spec": {"f:title": {}}}));
    assert_eq!(b.fields("scaler", "Update"), json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(managed_fields(b.object()).unwrap()[1]["subresource"], "scale");

    let parent = kcp_apimachinery::GroupVersionKind::new("example.dev", "v1", "Engine");
    let scale =
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "e1"}, "spec": {"replicas": 2}});
    let body = scale_configuration(&scale, &parent, &["spec", "replicas"]).unwrap();
    assert_eq!(b.apply("ssa", body.clone(), false).unwrap_err().code, 409);
    b.apply("ssa", body, true).unwrap();
    assert_eq!(b.owners(), ["left/Apply", "ssa/Apply"]);
    assert_eq!(b.object()["spec"]["replicas"], 2);
}

/// F-12: what is applied must fit the schema.
#[test]
fn misfits_are_500() {
    let mut b = Bench::custom();
    let status = b.apply("dup", engine(json!({"tags": ["q", "q"]})), false).unwrap_err();
    assert_eq!((status.code, status.reason.as_str()), (500, ""));
    assert_eq!(
        status.message,
        "failed to create typed patch object (/e1; example.dev/v1, Kind=Engine): .spec.tags: duplicate entries for key [=\"q\"]"
    );
    let mut other = engine(json!({}));
    other["apiVersion"] = "example.dev/v2".into();
    assert_eq!(b.apply("x", other, false).unwrap_err().message, "invalid object type: example.dev/v2, Kind=Engine");
    let mut managed = engine(json!({}));
    managed["metadata"]["managedFields"] = json!([]);
    assert_eq!(b.apply("x", managed, false).unwrap_err().message, "metadata.managedFields must be nil");
}

/// F-11: an applier is one in all versions; updaters of other versions stay; dropped versions go.
#[test]
fn versions() {
    let mut b = Bench::custom();
    b.update("tool", engine(json!({"title": "t"})));
    b.api_version = "example.dev/v1beta1";
    let body = |spec: Value| {
        let mut body = engine(spec);
        body["apiVersion"] = "example.dev/v1beta1".into();
        body
    };
    b.apply("x", body(json!({"replicas": 1})), false).unwrap();
    b.api_version = "example.dev/v1";
    b.apply("x", engine(json!({"replicas": 1, "mode": "m"})), false).unwrap();
    assert_eq!(b.owners(), ["x/Apply", "tool/Update"]);
    assert_eq!(managed_fields(b.object()).unwrap()[0]["apiVersion"], "example.dev/v1");
    b.merge("tool", &json!({"spec": {"on": true}}));
    b.api_version = "example.dev/v1beta1";
    b.merge("tool", &json!({"spec": {"opts": {"a": "b"}}}));
    assert_eq!(b.owners(), ["x/Apply", "tool/Update", "tool/Update"]);
    b.reset = ResetFields::new(["status"]).with_versions(["example.dev/v1beta1"]);
    b.merge("tool", &json!({"spec": {"on": false}}));
    assert_eq!(b.owners(), ["tool/Update"], "entries of versions that are gone are dropped");
}

/// F-12: a granular map that became atomic is owned as a whole.
#[test]
fn schema_changes() {
    let mut b = Bench::custom();
    b.apply("left", engine(json!({"opts": {"a": "1", "b": "2"}, "plain": ["x"]})), false).unwrap();
    b.schema = Schema::compile(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "opts": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
        "plain": {"type": "array", "items": {"type": "string"}},
    }}}}))
    .unwrap();
    b.merge("other", &json!({"metadata": {"labels": {"a": "b"}}}));
    assert_eq!(b.fields("left", "Apply"), json!({"f:spec": {"f:opts": {}, "f:plain": {}}}));
}

/// F-17: empty lists and maps, and both forms of a number, are no changes.
#[test]
fn hollow_values_are_stable() {
    let mut b = Bench::custom();
    let spec = json!({"tags": [], "plain": [], "opts": {}, "sel": {}, "ports": [], "free": {"f": 2.0, "i": 1}});
    b.apply("num", engine(spec.clone()), false).unwrap();
    let before = b.object().clone();
    b.apply("num", engine(spec), false).unwrap();
    assert_eq!(b.object(), &before);
    let with_ints = json!({"tags": [], "plain": [], "opts": {}, "sel": {}, "ports": [], "free": {"f": 2, "i": 1.0}});
    b.apply("num", engine(with_ints), false).unwrap();
    assert_eq!(b.object(), &before);
}
