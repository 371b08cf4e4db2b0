//! What holds for any input.

use super::*;

/// Specs that fit the schema.
fn any_spec() -> impl Strategy<Value = Value> {
    let maybe = |s: BoxedStrategy<Value>| proptest::option::of(s);
    let text = || prop_oneof![Just(json!("x")), Just(json!("y")), Just(Value::Null)].boxed();
    let set =
        proptest::sample::subsequence(vec!["a", "b", "c", "d"], 0..4).prop_shuffle().prop_map(|s| json!(s)).boxed();
    let port =
        (1..3i64, proptest::option::of("TCP|UDP"), proptest::option::of("m|n")).prop_map(|(port, proto, note)| {
            let mut item = json!({"port": port});
            if let Some(proto) = proto {
                item["proto"] = proto.into();
            }
            if let Some(note) = note {
                item["note"] = note.into();
            }
            item
        });
    let ports = proptest::collection::vec(port, 0..4)
        .prop_map(|ports| {
            let mut seen = std::collections::BTreeSet::new();
            let key = |p: &Value| (p["port"].as_i64(), p["proto"].as_str().unwrap_or("TCP").to_owned());
            Value::Array(ports.into_iter().filter(|p| seen.insert(key(p))).collect())
        })
        .boxed();
    let opts = proptest::collection::btree_map("[pq]", "[12]", 0..3).prop_map(|m| json!(m)).boxed();
    let free = any_json().prop_filter("an object", Value::is_object).boxed();
    (maybe(text()), maybe(set.clone()), maybe(ports), maybe(opts.clone()), maybe(opts), maybe(free), maybe(set))
        .prop_map(|(title, tags, ports, opts, sel, free, plain)| {
            let fields = [
                ("title", title),
                ("tags", tags),
                ("ports", ports),
                ("opts", opts),
                ("sel", sel),
                ("free", free),
                ("plain", plain),
            ];
            Value::Object(fields.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))).collect())
        })
}

fn engine(spec: Value) -> Value {
    json!({"apiVersion": "example.dev/v1", "kind": "Engine", "metadata": {"name": "e"}, "spec": spec})
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// F-17: what was just applied is no change.
    #[test]
    fn applying_twice_is_applying_once(live in any_spec(), first in any_spec(), second in any_spec()) {
        let mut b = Bench::custom();
        b.update("base", engine(live));
        b.apply("a", engine(first), true).unwrap();
        b.apply("b", engine(second.clone()), true).unwrap();
        let once = b.object().clone();
        b.apply("b", engine(second), false).unwrap();
        prop_assert_eq!(b.object(), &once);
    }

    /// F-06, F-08: a forced apply gets what it sent, and dropping everything leaves nothing of it behind.
    #[test]
    fn what_is_applied_is_there_and_goes_again(live in any_spec(), spec in any_spec()) {
        let mut b = Bench::custom();
        b.update("base", engine(live));
        b.apply("a", engine(spec.clone()), true).unwrap();
        for (name, value) in spec.as_object().unwrap() {
            if name == "title" || name == "sel" || name == "plain" {
                prop_assert_eq!(&b.object()["spec"][name], value);
            }
        }
        let mut none = engine(json!({}));
        none.as_object_mut().unwrap().remove("spec");
        b.apply("a", none, false).unwrap();
        prop_assert_eq!(b.fields("a", "Apply"), Value::Null);
    }

    /// Every field has an owner after a create, and a second writer of the same object owns nothing.
    #[test]
    fn creating_owns_everything(spec in any_spec()) {
        let mut b = Bench::custom();
        b.update("u", engine(spec.clone()));
        let before = b.object().clone();
        b.merge("v", &json!({"spec": spec}));
        prop_assert!(!b.owners().contains(&"v/Update".to_owned()) || before["spec"] != b.object()["spec"]);
    }

    /// Nothing panics, whatever the object, the managed fields and the schema say.
    #[test]
    fn never_panics(live in any_json(), new in any_json(), fields in any_json(), applied in any_json()) {
        let entry = json!({"manager": "x", "operation": "Apply", "apiVersion": "example.dev/v1",
                           "fieldsType": "FieldsV1", "fieldsV1": fields});
        let object = |spec: Value, managed: bool| {
            let mut object = engine(spec);
            if managed {
                object["metadata"]["managedFields"] = json!([entry]);
            }
            object
        };
        let writer = Writer { manager: "x", api_version: "example.dev/v1", subresource: "", now: NOW };
        for schema in [schema(), Schema::untyped()] {
            let live = object(live.clone(), true);
            let mut updated = object(new.clone(), false);
            track_update(Some(&live), &mut updated, &writer, schema.root(), &ResetFields::none());
            let _ = apply(Some(&live), object(applied.clone(), false), true, &writer, schema.root(), &ResetFields::none());
            let mut raw = new.clone();
            track_update(Some(&live), &mut raw, &writer, schema.root(), &ResetFields::none());
            let _ = apply(None, applied.clone(), false, &writer, schema.root(), &ResetFields::none());
            let _ = settle(&live, &mut raw);
        }
    }
}
