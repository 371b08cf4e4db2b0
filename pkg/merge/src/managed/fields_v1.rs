//! The wire form of field sets, `fieldsV1` (F-03): a tree of maps whose keys are path elements, with `.` for
//! the path that ends at a node that has others below it.

use serde_json::{Map, Value};

use super::element::Element;
use super::set::{FieldNode, FieldSet};

/// The set that `fields` says. Elements of unknown kinds are dropped; malformed ones are errors.
pub fn decode(fields: &Value) -> Result<FieldSet<'_>, String> {
    match fields {
        Value::Object(map) => decode_level(map),
        Value::Null => Ok(FieldSet::new()),
        _ => Err("error decoding set: fieldsV1 must be a map".to_owned()),
    }
}

fn decode_level(map: &Map<String, Value>) -> Result<FieldSet<'_>, String> {
    let mut nodes = Vec::with_capacity(map.len());
    for (key, below) in map {
        if key == "." {
            continue;
        }
        let Some(element) = Element::from_fields_v1(key).map_err(|e| format!("error decoding set: {e}"))? else {
            continue;
        };
        let (children, dot) = match below {
            Value::Object(below) => (decode_level(below)?, below.contains_key(".")),
            Value::Null => (FieldSet::new(), false),
            _ => return Err(format!("error decoding set: {key} must be a map")),
        };
        nodes.push(FieldNode { element, member: dot || children.is_empty(), children });
    }
    Ok(FieldSet::from_nodes(nodes))
}

/// The wire form of `set`.
pub fn encode(set: &FieldSet<'_>) -> Value {
    Value::Object(encode_level(set, false))
}

fn encode_level(set: &FieldSet<'_>, dot: bool) -> Map<String, Value> {
    let dot = dot.then(|| (".".to_owned(), Value::Object(Map::new())));
    let below = |node: &FieldNode<'_>| {
        let below = encode_level(&node.children, node.member && !node.children.is_empty());
        (node.element.to_fields_v1(), Value::Object(below))
    };
    // Sorted input is built into a map in one go, which is cheaper than inserting.
    dot.into_iter().chain(set.nodes().iter().map(below)).collect()
}

/// Whether `set` is what `fields` says, without decoding it. Forms that are not canonical count as different.
pub(crate) fn same(set: &FieldSet<'_>, fields: &Value) -> bool {
    encode(set) == *fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn wire_form() {
        for (wire, paths) in [
            (json!({}), vec![]),
            (json!({"f:data": {".": {}, "f:a": {}}}), vec![".data", ".data.a"]),
            (json!({"f:data": {}}), vec![".data"]),
            (
                json!({"f:ports": {r#"k:{"port":443,"proto":"UDP"}"#: {".": {}, "f:port": {}},
                                    r#"k:{"port":80,"proto":"TCP"}"#: {}}}),
                vec![
                    r#".ports[port=80,proto="TCP"]"#,
                    r#".ports[port=443,proto="UDP"]"#,
                    r#".ports[port=443,proto="UDP"].port"#,
                ],
            ),
            (json!({"f:tags": {r#"v:"a""#: {}}}), vec![r#".tags[="a"]"#]),
        ] {
            let set = decode(&wire).unwrap();
            assert_eq!(set.paths(), paths);
            assert_eq!(encode(&set), wire);
            assert!(same(&set, &wire));
        }
    }

    #[test]
    fn lenient_and_strict() {
        let wire = json!({"f:a": null, "q:future": {}, ".": {}});
        assert_eq!(decode(&wire).unwrap().paths(), [".a"]);
        for bad in [json!([]), json!({"x": {}}), json!({"f:a": 1}), json!({"k:1": {}})] {
            assert!(decode(&bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn encode_undoes_decode(wire in super::super::tests::any_fields()) {
            let set = decode(&wire).unwrap();
            let again = encode(&set);
            prop_assert_eq!(decode(&again).unwrap(), set);
        }

        #[test]
        fn arbitrary_json_never_panics(v in super::super::tests::any_json()) {
            let _ = decode(&v);
        }
    }
}
