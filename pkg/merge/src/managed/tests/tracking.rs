//! Ownership after creates, updates and patches.

use super::*;

fn widget(spec: Value) -> Value {
    json!({"apiVersion": "example.dev/v1", "kind": "Engine",
           "metadata": {"name": "w1", "uid": "u", "resourceVersion": "7", "generation": 1}, "spec": spec})
}

/// C-11, F-09: a create owns all it set, but no system fields.
#[test]
fn create() {
    let mut b = Bench::custom();
    let mut body = widget(
        json!({"replicas": 1, "title": "red", "tags": ["x"], "ports": [{"port": 1, "proto": "TCP"}], "opts": {}}),
    );
    body["status"] = json!({"seen": 1});
    body["metadata"]["finalizers"] = json!(["e/hold"]);
    b.update("oracle", body);
    assert_eq!(
        b.fields("oracle", "Update"),
        json!({
            "f:metadata": {"f:finalizers": {".": {}, "v:\"e/hold\"": {}}},
            "f:spec": {
                ".": {}, "f:opts": {}, "f:replicas": {}, "f:title": {},
                "f:ports": {".": {}, "k:{\"port\":1,\"proto\":\"TCP\"}": {".": {}, "f:port": {}, "f:proto": {}}},
                "f:tags": {".": {}, "v:\"x\"": {}},
            },
        })
    );
    let entry = &managed_fields(b.object()).unwrap()[0];
    assert_eq!((&entry["fieldsType"], &entry["time"]), (&json!("FieldsV1"), &json!("2026-01-01T00:00:01Z")));
    assert_eq!(entry.get("subresource"), None);
}

/// F-04: an updater gains what it changes, everybody loses what is removed, and a no-op leaves times alone.
#[test]
fn updates() {
    let mut b = Bench::custom();
    b.update("oracle", widget(json!({"replicas": 1, "title": "red"})));
    let before = b.object().clone();
    b.merge("second", &json!({}));
    assert_eq!(b.object(), &before);
    b.merge("second", &json!({"spec": {"title": "blue", "on": true}}));
    assert_eq!(b.fields("oracle", "Update"), json!({"f:spec": {".": {}, "f:replicas": {}}}));
    assert_eq!(b.fields("second", "Update"), json!({"f:spec": {"f:on": {}, "f:title": {}}}));
    b.merge("third", &json!({"spec": {"on": null}}));
    assert_eq!(b.owners(), ["oracle/Update", "second/Update"], "removing owns nothing");
    assert_eq!(b.fields("second", "Update"), json!({"f:spec": {"f:title": {}}}));
    b.merge("oracle", &json!({"spec": {"title": "red"}}));
    assert_eq!(b.owners(), ["oracle/Update"]);
}

/// F-04: status writes of the same manager have an entry of their own.
#[test]
fn status() {
    let mut b = Bench::custom();
    b.update("oracle", widget(json!({"replicas": 1})));
    b.through("status", &["metadata", "spec"]);
    b.merge("oracle", &json!({"status": {"seen": 1, "selector": "s"}}));
    assert_eq!(b.owners(), ["oracle/Update", "oracle/Update"]);
    let list = managed_fields(b.object()).unwrap();
    assert_eq!(list[1]["subresource"], "status");
    assert_eq!(list[1]["fieldsV1"], json!({"f:status": {".": {}, "f:seen": {}, "f:selector": {}}}));
    let mut new = b.object().clone();
    new["metadata"]["managedFields"] = json!([]);
    b.update("oracle", new);
    assert_eq!(b.owners().len(), 2, "a subresource cannot reset managed fields");
}

/// F-15: sent managed fields replace the stored ones, broken and missing ones do not.
#[test]
fn sent_managed_fields() {
    let start = || {
        let mut b = Bench::custom();
        b.update("oracle", widget(json!({"title": "red"})));
        b
    };
    for (sent, owners) in [
        (json!([]), vec![]),
        (json!([{}]), vec![]),
        (json!(null), vec!["oracle/Update"]),
        (json!([{"manager": "x"}]), vec!["oracle/Update"]),
        (
            json!([{"manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsType": "other"}]),
            vec!["oracle/Update"],
        ),
        (
            json!([{"manager": "x", "operation": "Apply", "apiVersion": "example.dev/v1", "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:spec": {"f:title": {}}}}]),
            vec!["x/Apply"],
        ),
    ] {
        let mut b = start();
        let mut new = b.object().clone();
        new["metadata"]["managedFields"] = sent.clone();
        b.update("oracle", new);
        assert_eq!(b.owners(), owners, "{sent}");
    }
    let mut b = start();
    let mut new = b.object().clone();
    new["metadata"].as_object_mut().unwrap().remove("managedFields");
    b.update("oracle", new);
    assert_eq!(b.owners(), ["oracle/Update"]);
}

/// F-16: the eleventh updater makes the oldest two one.
#[test]
fn ancient_changes() {
    let mut b = Bench::custom();
    b.update("first", widget(json!({"opts": {"z": "0"}})));
    for i in 0..=10 {
        b.merge(&format!("m{i:02}"), &json!({"spec": {"opts": {format!("k{i}"): "1"}}}));
    }
    let owners = b.owners();
    assert_eq!(owners.len(), 10);
    assert_eq!(owners[0], "ancient-changes/Update");
    assert_eq!(
        b.fields("ancient-changes", "Update"),
        json!({"f:spec": {".": {}, "f:opts": {".": {}, "f:k0": {}, "f:k1": {}, "f:z": {}}}})
    );
    assert_eq!(b.fields("m10", "Update"), json!({"f:spec": {"f:opts": {"f:k10": {}}}}));
    b.merge("m11", &json!({"spec": {"opts": {"k11": "1"}}}));
    assert_eq!(b.owners().len(), 10);
    assert_eq!(b.owners().iter().filter(|o| *o == "ancient-changes/Update").count(), 1);
}

/// F-18: appliers first, then by time, then by name.
#[test]
fn order() {
    let mut b = Bench::custom();
    b.update("u1", widget(json!({"title": "t"})));
    b.merge("u0", &json!({"spec": {"on": true}}));
    let body = |spec: Value| json!({"apiVersion": "example.dev/v1", "kind": "Engine", "metadata": {"name": "w1"}, "spec": spec});
    b.apply("z", body(json!({"replicas": 1})), false).unwrap();
    b.apply("a", body(json!({"mode": "m"})), false).unwrap();
    assert_eq!(b.owners(), ["z/Apply", "a/Apply", "u1/Update", "u0/Update"]);
}

/// C-10: the name is never empty.
#[test]
fn unnamed() {
    let mut b = Bench::custom();
    b.update("", widget(json!({"title": "t"})));
    assert_eq!(b.owners(), ["unknown/Update"]);
}

/// Duplicates in a set, which only updates can make, are owned as items and nothing more.
#[test]
fn duplicates() {
    let mut b = Bench::custom();
    b.update("u", widget(json!({"tags": ["a", "a", "b"]})));
    assert_eq!(b.fields("u", "Update")["f:spec"]["f:tags"], json!({".": {}, "v:\"a\"": {}, "v:\"b\"": {}}));
    b.merge("v", &json!({"spec": {"tags": ["a", "b"]}}));
    assert_eq!(b.fields("v", "Update")["f:spec"]["f:tags"], json!({"v:\"a\"": {}}));
}
