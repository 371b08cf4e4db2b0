//! JSON merge patches (RFC 7386).

use serde_json::{Map, Value};

/// Merges `patch` into `doc`: null deletes a key, maps are merged, everything else is replaced whole.
pub fn merge_patch(doc: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *doc = patch.clone();
        return;
    };
    if !doc.is_object() {
        *doc = Value::Object(Map::new());
    }
    let Value::Object(map) = doc else { return };
    for (key, change) in changes {
        match (change, map.get_mut(key)) {
            (Value::Null, Some(_)) => {
                map.remove(key);
            }
            (Value::Null, None) => {}
            (change, Some(current)) => merge_patch(current, change),
            (change, None) => {
                let mut fresh = Value::Null;
                merge_patch(&mut fresh, change);
                map.insert(key.clone(), fresh);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn examples_of_the_rfc() {
        for (doc, patch, want) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut got = doc.clone();
            merge_patch(&mut got, &patch);
            assert_eq!(got, want, "{doc} + {patch}");
        }
    }

    proptest! {
        #[test]
        fn twice_is_once(doc in crate::managed::tests::any_json(), patch in crate::managed::tests::any_json()) {
            let mut once = doc;
            merge_patch(&mut once, &patch);
            let mut twice = once.clone();
            merge_patch(&mut twice, &patch);
            prop_assert_eq!(once, twice);
        }
    }
}
