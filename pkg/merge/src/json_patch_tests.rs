use super::*;
use proptest::prelude::*;
use serde_json::json;

fn patched(doc: &Value, patch: &Value) -> Result<Value, Status> {
    json_patch(doc, patch.to_string().as_bytes())
}

#[test]
fn operations() {
    let doc = json!({"m": {"a/b": 1, "l": [1, 2, 3]}, "n": null});
    for (patch, want) in [
        (json!([{"op": "add", "path": "/x", "value": 1}]), json!({"m": {"a/b": 1, "l": [1, 2, 3]}, "n": null, "x": 1})),
        (json!([{"op": "add", "path": "/m/l/-", "value": 4}]), json!({"m": {"a/b": 1, "l": [1, 2, 3, 4]}, "n": null})),
        (json!([{"op": "add", "path": "/m/l/1", "value": 9}]), json!({"m": {"a/b": 1, "l": [1, 9, 2, 3]}, "n": null})),
        (json!([{"op": "remove", "path": "/m/l/-1"}]), json!({"m": {"a/b": 1, "l": [1, 2]}, "n": null})),
        (json!([{"op": "remove", "path": "/m/a~1b"}]), json!({"m": {"l": [1, 2, 3]}, "n": null})),
        (json!([{"op": "replace", "path": "/m", "value": {}}]), json!({"m": {}, "n": null})),
        (json!([{"op": "move", "from": "/m/l", "path": "/n"}]), json!({"m": {"a/b": 1}, "n": [1, 2, 3]})),
        (json!([{"op": "copy", "from": "/m/l/0", "path": "/n"}]), json!({"m": {"a/b": 1, "l": [1, 2, 3]}, "n": 1})),
        (json!([{"op": "test", "path": "/m/a~1b", "value": 1}]), doc.clone()),
        (json!([{"op": "test", "path": "/none", "value": null}]), doc.clone()),
        (json!([{"op": "replace", "path": "", "value": {"z": 1}}]), json!({"z": 1})),
        (json!([]), doc.clone()),
    ] {
        assert_eq!(patched(&doc, &patch).unwrap(), want, "{patch}");
    }
}

/// The first heartbeat of a syncer replaces a time that is not there yet.
#[test]
fn replace_of_a_missing_last_key_adds() {
    let doc = json!({"status": {}});
    let patch = json!([{"op": "replace", "path": "/status/lastSyncerHeartbeatTime", "value": "t"}]);
    assert_eq!(patched(&doc, &patch).unwrap(), json!({"status": {"lastSyncerHeartbeatTime": "t"}}));
    let patch = json!([{"op": "replace", "path": "/none/x", "value": "t"}]);
    assert_eq!(patched(&doc, &patch).unwrap_err().code, 422);
}

#[test]
fn failures_are_the_generic_422() {
    let doc = json!({"a": 1, "l": [1]});
    for patch in [
        json!([{"op": "test", "path": "/a", "value": 2}]),
        json!([{"op": "remove", "path": "/b"}]),
        json!([{"op": "add", "path": "/b/c", "value": 1}]),
        json!([{"op": "add", "path": "/a/c", "value": 1}]),
        json!([{"op": "add", "path": "/l/5", "value": 1}]),
        json!([{"op": "replace", "path": "/l/1", "value": 1}]),
        json!([{"op": "move", "from": "/q", "path": "/a"}]),
        json!([{"op": "copy", "from": "/q", "path": "/a"}]),
        json!([{"op": "frobnicate", "path": "/a"}]),
        json!([{"path": "/a"}]),
        json!([{"op": "add", "path": "", "value": 1}]),
        json!([{"op": "replace", "path": "", "value": 1}]),
        json!([{"op": "add", "value": 1}]),
    ] {
        let status = patched(&doc, &patch).unwrap_err();
        assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"), "{patch}");
        assert_eq!(status.message, "the server rejected our request due to an error in our request");
        assert_eq!(status.to_value()["details"], json!({}), "E-15: details without causes");
    }
}

#[test]
fn undecodable_is_400() {
    for patch in ["not json", "{}", "[1]", r#"[{"op":1}]"#, r#"[{"path":[]}]"#] {
        let status = json_patch(&json!({}), patch.as_bytes()).unwrap_err();
        assert_eq!((status.code, status.reason.as_str()), (400, "BadRequest"));
        assert!(status.message.starts_with("error decoding patch: "), "{}", status.message);
    }
}

#[test]
fn limits() {
    let op = r#"{"op":"test","path":"/kind","value":"X"}"#;
    let many = format!("[{}]", vec![op; 10_001].join(","));
    let status = json_patch(&json!({"kind": "X"}), many.as_bytes()).unwrap_err();
    assert_eq!((status.code, status.reason.as_str()), (413, "RequestEntityTooLarge"));
    assert_eq!(
        status.message,
        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    );
    let doc = json!({"a": "x".repeat(1024 * 1024)});
    let copy = |n: usize| {
        let ops: Vec<Value> = (0..n).map(|i| json!({"op": "copy", "from": "/a", "path": format!("/b{i}")})).collect();
        patched(&doc, &Value::Array(ops))
    };
    assert!(copy(2).is_ok());
    assert_eq!(copy(3).unwrap_err().code, 413);
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

#[test]
fn depth_is_limited() {
    // The document is a level of its own.
    let (full, half) = (MAX_DEPTH - 1, MAX_DEPTH / 2);
    let doc = json!({"full": nested(full), "half": nested(half), "map": {"l": [1]}});
    let inside = |levels: usize| format!("/half{}", "/0".repeat(levels));
    for (patch, fits) in [
        (json!([{"op": "add", "path": "/x", "value": nested(full)}]), true),
        (json!([{"op": "add", "path": "/x", "value": nested(full + 1)}]), false),
        (json!([{"op": "replace", "path": "/map", "value": nested(full)}]), true),
        (json!([{"op": "replace", "path": "/map", "value": nested(full + 1)}]), false),
        (json!([{"op": "replace", "path": "", "value": nested(MAX_DEPTH)}]), true),
        (json!([{"op": "replace", "path": "", "value": nested(MAX_DEPTH + 1)}]), false),
        (json!([{"op": "replace", "path": "/map/l/0", "value": nested(full - 2)}]), true),
        (json!([{"op": "replace", "path": "/map/l/0", "value": nested(full - 1)}]), false),
        (json!([{"op": "copy", "from": "/full", "path": "/x"}]), true),
        (json!([{"op": "copy", "from": "/full", "path": "/map/x"}]), false),
        (json!([{"op": "move", "from": "/full", "path": "/x"}]), true),
        (json!([{"op": "move", "from": "/full", "path": "/map/x"}]), false),
        (json!([{"op": "copy", "from": "/half", "path": inside(full - half)}]), true),
        (json!([{"op": "copy", "from": "/half", "path": inside(full - half + 1)}]), false),
    ] {
        let result = patched(&doc, &patch);
        assert_eq!(result.as_ref().map_or_else(|status| status.code, |_| 200), if fits { 200 } else { 422 }, "{patch}");
        if let Ok(value) = result {
            let text = json!({"object": value}).to_string();
            assert!(serde_json::from_str::<Value>(&text).is_ok(), "what is taken can be read again: {patch}");
        }
    }
}

/// Each copy of a value into its own depth doubles it: without a limit these are more than a million levels.
#[test]
fn copies_into_themselves_end() {
    let first = json!({"op": "add", "path": "/x", "value": nested(100)});
    let copies = (0..14).map(|i| json!({"op": "copy", "from": "/x", "path": format!("/x{}", "/0".repeat(100 << i))}));
    let all: Value = std::iter::once(first.clone()).chain(copies).collect();
    assert_eq!(patched(&json!({}), &all).unwrap_err().code, 422);
    assert!(patched(&json!({}), &json!([first])).is_ok());
}

#[test]
fn strict_findings_name_the_operation() {
    let patch = JsonPatch::parse(br#"[{"op":"test","path":"","foo":1,"op":"add","value":1}]"#).unwrap();
    assert_eq!(
        patch.strict_findings(),
        ["json patch unknown field \"[0].foo\"", "json patch duplicate field \"[0].op\""]
    );
}

proptest! {
    #[test]
    fn never_panics(doc in crate::managed::tests::any_json(), path in "(/(a|b|0|1|-1|-|~1|~0)?){0,3}",
                    from in "(/(a|b|0|-1)?){0,2}", value in crate::managed::tests::any_json(),
                    op in "add|remove|replace|move|copy|test|x") {
        let _ = patched(&doc, &json!([{"op": op, "path": path, "from": from, "value": value}]));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = json_patch(&json!({}), &bytes);
    }
}
