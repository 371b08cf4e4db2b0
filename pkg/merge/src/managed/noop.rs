//! Writes that change nothing (U-08, F-17).

use serde_json::{Map, Value};

use super::MANAGED_FIELDS;
use crate::go;

/// Whether two states of an object differ in nothing but the times in managedFields. `metadata.resourceVersion`
/// does not count either: the store assigns it. Numbers are equal in either form.
pub fn equal_ignoring_managed_times(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a == b };
    same_fields(a, b, &[], |name, x, y| match name {
        "metadata" => match (x.as_object(), y.as_object()) {
            (Some(x), Some(y)) => same_fields(x, y, &["resourceVersion"], |name, x, y| match name {
                MANAGED_FIELDS => same_entries(x, y),
                _ => go::equal(x, y),
            }),
            _ => go::equal(x, y),
        },
        _ => go::equal(x, y),
    })
}

/// If `new` differs from `live` in nothing but times in managedFields, gives `new` the managedFields and the
/// resourceVersion of `live` and says true: nothing needs to be written.
pub fn settle(live: &Value, new: &mut Value) -> bool {
    if !equal_ignoring_managed_times(live, new) {
        return false;
    }
    let Some(meta) = new.get_mut("metadata").and_then(Value::as_object_mut) else { return true };
    for name in [MANAGED_FIELDS, "resourceVersion"] {
        match live.get("metadata").and_then(|m| m.get(name)) {
            Some(value) => {
                meta.insert(name.to_owned(), value.clone());
            }
            None => {
                meta.remove(name);
            }
        }
    }
    true
}

/// Whether two states of an object are the same but for managedFields, values being compared by `same`.
pub(crate) fn same_but_managed(a: &Value, b: &Value, same: fn(&Value, &Value) -> bool) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a == b };
    same_fields(a, b, &[], |name, x, y| match (name, x.as_object(), y.as_object()) {
        ("metadata", Some(x), Some(y)) => same_fields(x, y, &[MANAGED_FIELDS], |_, x, y| same(x, y)),
        _ => same(x, y),
    })
}

fn same_fields(
    a: &Map<String, Value>,
    b: &Map<String, Value>,
    skip: &[&str],
    same: impl Fn(&str, &Value, &Value) -> bool,
) -> bool {
    let count = |m: &Map<String, Value>| m.len() - skip.iter().filter(|s| m.contains_key(**s)).count();
    count(a) == count(b)
        && a.iter()
            .filter(|(name, _)| !skip.contains(&name.as_str()))
            .all(|(name, x)| b.get(name).is_some_and(|y| same(name, x, y)))
}

fn same_entries(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_array(), b.as_array()) else { return a == b };
    // A new time may have moved an entry.
    a.len() == b.len() && a.iter().all(|x| b.iter().any(|y| same_entry(x, y)))
}

fn same_entry(a: &Value, b: &Value) -> bool {
    match (a.as_object(), b.as_object()) {
        (Some(a), Some(b)) => same_fields(a, b, &["time"], |_, x, y| x == y),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(time: &str, data: Value) -> Value {
        json!({"metadata": {"name": "x", "resourceVersion": time, "managedFields": [
            {"manager": "a", "operation": "Update", "time": time, "fieldsV1": {"f:data": {}}}
        ]}, "data": data})
    }

    #[test]
    fn only_times_differ() {
        let live = object("1", json!({"a": 1}));
        let mut new = object("2", json!({"a": 1.0}));
        assert!(settle(&live, &mut new));
        assert_eq!(new["metadata"], live["metadata"]);
        let mut new = object("2", json!({"a": 2}));
        assert!(!settle(&live, &mut new));
        assert_eq!(new["metadata"]["resourceVersion"], "2");
        let mut new = live.clone();
        new["metadata"]["managedFields"][0]["manager"] = "b".into();
        assert!(!equal_ignoring_managed_times(&live, &new));
        let mut new = live.clone();
        new["metadata"]["labels"] = json!({});
        assert!(!equal_ignoring_managed_times(&live, &new));
    }

    #[test]
    fn an_unset_resource_version_is_no_difference() {
        let live = object("1", json!({}));
        let mut new = live.clone();
        new["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        assert!(settle(&live, &mut new));
        assert_eq!(new, live);
    }
}
