use super::*;
use kcp_schema::Schema;
use proptest::prelude::*;
use serde_json::json;
use std::sync::Arc;

/// A pod-like built-in type.
fn schema() -> Arc<Schema> {
    let text = json!({"type": "string"});
    let meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    let keyed = |name: &str, properties: Value, strategy: &str| {
        json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [name],
               "x-kubernetes-patch-merge-key": name, "x-kubernetes-patch-strategy": strategy,
               "items": {"type": "object", "properties": properties}})
    };
    let definitions = json!({
        meta: {"type": "object", "properties": {}},
        "Pod": {"type": "object", "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "Pod"}],
            "properties": {
            "metadata": {"allOf": [{"$ref": format!("#/components/schemas/{meta}")}], "default": {}},
            "spec": {"type": "object", "properties": {
                "containers": keyed("name", json!({
                    "name": text, "image": text,
                    "env": keyed("name", json!({"name": text, "value": text}), "merge"),
                    "args": {"type": "array", "items": text},
                }), "merge"),
                "volumes": keyed("name", json!({"name": text, "emptyDir": {"type": "object"}, "secret": {"type": "object"}}), "merge,retainKeys"),
                "selector": {"type": "object", "x-kubernetes-patch-strategy": "replace",
                             "properties": {"a": text, "b": text}},
                "strategy": {"type": "object", "x-kubernetes-patch-strategy": "retainKeys",
                             "properties": {"type": text, "rollingUpdate": {"type": "object", "properties": {"maxSurge": text}}}},
                "labels": {"type": "object", "additionalProperties": text},
            }},
        }},
    });
    Schema::compile_builtin(definitions.as_object().unwrap(), "Pod").unwrap()
}

fn merged(doc: &Value, patch: &Value) -> Result<Value, Status> {
    strategic_merge(doc, patch, schema().root())
}

fn in_spec(doc: Value, patch: Value) -> Value {
    merged(&json!({"spec": doc}), &json!({"spec": patch})).unwrap()["spec"].clone()
}

#[test]
fn maps() {
    for (doc, patch, want) in [
        (json!({"labels": {"a": "1"}}), json!({"labels": {"b": "2"}}), json!({"labels": {"a": "1", "b": "2"}})),
        (json!({"labels": {"a": "1"}}), json!({"labels": {"a": null, "c": null}}), json!({"labels": {}})),
        (
            json!({"labels": {"a": "1"}}),
            json!({"labels": {"$patch": "replace", "only": "1"}}),
            json!({"labels": {"only": "1"}}),
        ),
        (json!({"labels": {"a": "1"}}), json!({"labels": {"$patch": "delete"}}), json!({"labels": {}})),
        (json!({"labels": {"a": "1"}}), json!({"labels": null}), json!({})),
        (json!({}), json!({"labels": {"a": null, "b": "1"}}), json!({"labels": {"b": "1"}})),
        (json!({"selector": {"a": "1"}}), json!({"selector": {"b": "2"}}), json!({"selector": {"b": "2"}})),
        (json!({"labels": "text"}), json!({"labels": {"a": "1"}}), json!({"labels": {"a": "1"}})),
    ] {
        assert_eq!(in_spec(doc.clone(), patch.clone()), want, "{doc} + {patch}");
    }
}

#[test]
fn lists_of_maps() {
    let two = json!({"containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "x"}]}, {"name": "b"}]});
    for (patch, want) in [
        (
            json!({"containers": [{"name": "a", "image": "2"}]}),
            json!([{"name": "a", "image": "2", "env": [{"name": "X", "value": "x"}]}, {"name": "b"}]),
        ),
        (
            json!({"containers": [{"name": "a", "env": [{"name": "Y"}, {"name": "X", "$patch": "delete"}]}]}),
            json!([{"name": "a", "image": "1", "env": [{"name": "Y"}]}, {"name": "b"}]),
        ),
        (json!({"containers": [{"name": "a", "$patch": "delete"}]}), json!([{"name": "b"}])),
        (json!({"containers": [{"$patch": "replace"}, {"name": "c"}]}), json!([{"name": "c"}])),
        // New items of the patch come before those that only the server has.
        (
            json!({"containers": [{"name": "c"}, {"name": "b", "image": "3"}]}),
            json!([{"name": "c"}, {"name": "a", "image": "1", "env": [{"name": "X", "value": "x"}]}, {"name": "b", "image": "3"}]),
        ),
        (
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
            json!([{"name": "b"}, {"name": "a", "image": "1", "env": [{"name": "X", "value": "x"}]}]),
        ),
        (
            json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}], "containers": [{"name": "c"}]}),
            json!([{"name": "c"}, {"name": "a", "image": "1", "env": [{"name": "X", "value": "x"}]}, {"name": "b"}]),
        ),
        (
            json!({"containers": [{"name": "b", "args": ["x", null]}]}),
            json!([{"name": "a", "image": "1", "env": [{"name": "X", "value": "x"}]}, {"name": "b", "args": ["x", null]}]),
        ),
    ] {
        assert_eq!(in_spec(two.clone(), patch.clone())["containers"], want, "{patch}");
    }
}

/// Finalizers are a list of scalars with the merge strategy.
#[test]
fn lists_of_scalars() {
    let doc = json!({"metadata": {"finalizers": ["one"]}});
    for (patch, want) in [
        (json!({"finalizers": ["two"]}), json!(["two", "one"])),
        (json!({"finalizers": ["one"]}), json!(["one"])),
        (json!({"$deleteFromPrimitiveList/finalizers": ["one", "x"]}), json!([])),
        (json!({"$setElementOrder/finalizers": ["two", "one"], "finalizers": ["two"]}), json!(["two", "one"])),
        (json!({"$setElementOrder/finalizers": ["one", "two"], "finalizers": ["two"]}), json!(["one", "two"])),
        (json!({"$deleteFromPrimitiveList/finalizers": ["one"], "finalizers": ["three"]}), json!(["three"])),
    ] {
        assert_eq!(merged(&doc, &json!({"metadata": patch})).unwrap()["metadata"]["finalizers"], want, "{patch}");
    }
    let owner = |uid: &str| json!({"apiVersion": "v1", "kind": "X", "name": "n", "uid": uid});
    let doc = json!({"metadata": {"ownerReferences": [owner("1"), owner("2")]}});
    let patch = json!({"metadata": {"ownerReferences": [{"$patch": "delete", "uid": "1"}]}});
    assert_eq!(merged(&doc, &patch).unwrap()["metadata"]["ownerReferences"], json!([owner("2")]));
}

#[test]
fn retained_keys() {
    let doc = json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "1"}},
                     "volumes": [{"name": "v", "emptyDir": {}}]});
    let patch = json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"},
                       "volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {}}]});
    assert_eq!(
        in_spec(doc, patch),
        json!({"strategy": {"type": "Recreate"}, "volumes": [{"name": "v", "secret": {}}]})
    );
}

#[test]
fn failures() {
    let doc = json!({"spec": {"labels": {"a": "1"}, "containers": [{"name": "a"}], "strategy": {}, "volumes": []},
                     "metadata": {"finalizers": ["f"]}});
    for (patch, code, text) in [
        (
            json!({"spec": {"labels": {"$patch": "shuffle"}}}),
            500,
            "unknown patch type: shuffle in map: map[$patch:shuffle]",
        ),
        (
            json!({"spec": {"containers": [{"image": "x"}]}}),
            500,
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (
            json!({"spec": {"containers": [{"$patch": "delete"}]}}),
            500,
            "map: map[$patch:delete] does not contain declared merge key: name",
        ),
        (json!({"spec": {"containers": ["x"]}}), 500, "list element types are not identical: [[map[name:a]] [x]]"),
        (
            json!({"spec": {"containers": [{"$patch": "merge"}]}}),
            500,
            "merging lists cannot yet be specified in the patch",
        ),
        (json!({"spec": {"strategy": {"$retainKeys": "x"}}}), 400, "invalid patch format of retainKeys"),
        (json!({"spec": {"strategy": {"$retainKeys": [], "type": "x"}}}), 400, "invalid patch format of retainKeys"),
        (json!({"spec": {"$setElementOrder": []}}), 400, "invalid patch format of setElementOrder list"),
        (
            json!({"spec": {"$setElementOrder/containers": "x"}}),
            500,
            "expected a []interface {}, but received a string",
        ),
        (json!({"metadata": {"$deleteFromPrimitiveList": []}}), 400, "invalid patch format of primitive list"),
        (
            json!({"metadata": {"$setElementOrder/finalizers": ["a"], "finalizers": ["b"]}}),
            500,
            "The order in patch list:\n[b]\n doesn't match $setElementOrder list:\n[a]\n",
        ),
        (json!([]), 400, "error decoding patch: the patch must be a map"),
    ] {
        let status = merged(&doc, &patch).unwrap_err();
        assert_eq!((status.code, status.message.as_str()), (code, text), "{patch}");
        assert_eq!(status.reason, if code == 500 { "" } else { "BadRequest" });
    }
    let status = merged(&doc, &json!({"metadata": {"finalizers": [["x"]]}})).unwrap_err();
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"), "lists of lists");
}

fn any_pod() -> impl Strategy<Value = Value> {
    let container = ("[abc]", proptest::option::of("[12]")).prop_map(|(name, image)| match image {
        Some(image) => json!({"name": name, "image": image}),
        None => json!({"name": name}),
    });
    let containers = proptest::collection::vec(container, 0..4).prop_map(|list| {
        let mut seen = std::collections::BTreeSet::new();
        let keep = |c: &Value| seen.insert(c["name"].to_string());
        Value::Array(list.into_iter().filter(keep).collect())
    });
    let finalizers = proptest::sample::subsequence(vec!["x", "y", "z"], 0..3).prop_shuffle();
    let labels = proptest::collection::btree_map("[pq]", "[12]", 0..3);
    (containers, finalizers, labels).prop_map(|(containers, finalizers, labels)| {
        json!({"metadata": {"finalizers": finalizers}, "spec": {"containers": containers, "labels": labels}})
    })
}

proptest! {
    /// An object merged with itself, or with nothing, is itself.
    #[test]
    fn identities(doc in any_pod()) {
        prop_assert_eq!(&merged(&doc, &json!({})).unwrap(), &doc);
        prop_assert_eq!(&merged(&doc, &doc).unwrap(), &doc);
        prop_assert_eq!(merged(&json!({}), &doc).unwrap(), doc);
    }

    /// Merging the same patch again changes nothing.
    #[test]
    fn twice_is_once(doc in any_pod(), patch in any_pod()) {
        let once = merged(&doc, &patch).unwrap();
        prop_assert_eq!(merged(&once, &patch).unwrap(), once);
    }

    /// The three-way identity: the patch that kubectl makes from what was applied last and what is applied now
    /// gives, on a live object that has only what was applied last, what is applied now.
    #[test]
    fn three_way(last in any_pod(), now in any_pod()) {
        let names = |pod: &Value| -> Vec<Value> {
            pod["spec"]["containers"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect()
        };
        let (old, new) = (names(&last), names(&now));
        let mut containers: Vec<Value> = now["spec"]["containers"].as_array().unwrap().iter().map(|c| {
            let mut c = c.clone();
            if c.get("image").is_none() {
                c["image"] = Value::Null;
            }
            c
        }).collect();
        containers.extend(old.iter().filter(|n| !new.contains(n)).map(|n| json!({"name": n, "$patch": "delete"})));
        let order: Vec<Value> = new.iter().map(|n| json!({"name": n})).collect();
        let mut labels = now["spec"]["labels"].clone();
        for key in last["spec"]["labels"].as_object().unwrap().keys() {
            if labels.get(key).is_none() {
                labels[key] = Value::Null;
            }
        }
        let gone: Vec<Value> = last["metadata"]["finalizers"].as_array().unwrap().iter()
            .filter(|f| !now["metadata"]["finalizers"].as_array().unwrap().contains(f)).cloned().collect();
        let mut patch = json!({
            "metadata": {"finalizers": now["metadata"]["finalizers"], "$deleteFromPrimitiveList/finalizers": gone},
            "spec": {"containers": containers, "labels": labels},
        });
        if !order.is_empty() {
            patch["spec"]["$setElementOrder/containers"] = Value::Array(order);
        }
        prop_assert_eq!(merged(&last, &patch).unwrap(), now);
    }

    #[test]
    fn never_panics(doc in crate::managed::tests::any_json(), patch in crate::managed::tests::any_json()) {
        let schema = schema();
        for place in ["spec", "metadata"] {
            for list in ["containers", "finalizers", "volumes"] {
                let doc = json!({place: {list: doc.clone()}});
                let order = format!("$setElementOrder/{list}");
                let patch = json!({place: {list: patch.clone(), order: patch.clone()}});
                let _ = strategic_merge(&doc, &patch, schema.root());
            }
            let _ = strategic_merge(&json!({place: doc}), &json!({place: patch}), schema.root());
        }
        let _ = strategic_merge(&doc, &patch, schema.root());
    }
}
