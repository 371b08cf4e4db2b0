//! Strategic merge patches.
//!
//! A merge patch that knows the schema: lists with a merge key, or of scalars with the merge strategy, are merged
//! item by item. Directives in the patch say what else is to happen: `$patch` (delete, replace) in maps and items,
//! `$retainKeys`, `$setElementOrder/<list>` and `$deleteFromPrimitiveList/<list>`. Null deletes, as in merge patches.

mod error;
mod list;

use kcp_apimachinery::Status;
use kcp_schema::NodeRef;
use serde_json::{Map, Value};

use crate::node::Node;
use error::{Error, go_name};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList";
const ORDER_PREFIX: &str = "$setElementOrder";

type Object = Map<String, Value>;

/// Applies `patch` to `doc` and returns the result.
///
/// Fails with 400 when the patch is no map or a directive is malformed, with the generic 422 for lists of lists,
/// and with a plain 500 for whatever else cannot be merged, as upstream does.
pub fn strategic_merge(doc: &Value, patch: &Value, schema: NodeRef<'_>) -> Result<Value, Status> {
    let Value::Object(patch) = patch else {
        return Err(Status::bad_request("error decoding patch: the patch must be a map"));
    };
    let mut doc = match doc {
        Value::Object(map) => map.clone(),
        _ => Object::new(),
    };
    merge_map(&mut doc, patch, Node::root(schema))?;
    Ok(Value::Object(doc))
}

/// Merges `patch` into `original`.
fn merge_map(original: &mut Object, patch: &Object, node: Node<'_>) -> Result<(), Error> {
    if let Some(directive) = patch.get(PATCH) {
        *original = match directive.as_str() {
            // The rest of the map is the new value.
            Some("replace") => without_directives_below(patch),
            Some("delete") => Object::new(),
            _ => return Err(Error::unknown_directive(directive, patch)),
        };
        return Ok(());
    }
    retain_keys(original, patch)?;
    let ordered = merge_ordered_lists(original, patch, node)?;

    for (key, change) in patch {
        if key == RETAIN_KEYS || key.starts_with(ORDER_PREFIX) || ordered.contains(&key.as_str()) {
            continue;
        }
        let (key, deletes) = match key.strip_prefix(DELETE_PREFIX) {
            Some(rest) => (list_name(rest).ok_or(Error::PrimitiveList)?, true),
            None => (key.as_str(), false),
        };
        if change.is_null() {
            original.remove(key);
            continue;
        }
        let merged = match original.get_mut(key) {
            Some(current) => merge_field(current, change, node, key, deletes)?,
            None => false,
        };
        if !merged && !deletes {
            match cleaned(change) {
                Some(value) => original.insert(key.to_owned(), value),
                None => original.remove(key),
            };
        }
    }
    Ok(())
}

/// Merges a field that both have; false when the patch's value takes its place.
fn merge_field(current: &mut Value, change: &Value, node: Node<'_>, key: &str, deletes: bool) -> Result<bool, Error> {
    let child = node.child(key);
    let strategy = child.typed().map(NodeRef::patch_strategy).unwrap_or_default();
    match (current, change) {
        (Value::Object(current), Value::Object(change)) => {
            if strategy.replace {
                *current = without_directives_below(change);
            } else {
                merge_map(current, change, child)?;
            }
            Ok(true)
        }
        (Value::Array(current), Value::Array(change)) => {
            if strategy.merge {
                list::merge(current, change, child, deletes)?;
            } else if !deletes {
                *current = change.iter().filter_map(cleaned).collect();
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Keeps only the keys that `$retainKeys` names; every key of the patch must be one of them.
fn retain_keys(original: &mut Object, patch: &Object) -> Result<(), Error> {
    let Some(keys) = patch.get(RETAIN_KEYS) else { return Ok(()) };
    let keys = keys.as_array().ok_or(Error::RetainKeys)?;
    let named = |key: &str| keys.iter().any(|k| k.as_str() == Some(key));
    let directive = |key: &str| key == RETAIN_KEYS || key.starts_with(DELETE_PREFIX) || key.starts_with(ORDER_PREFIX);
    if patch.iter().any(|(key, value)| !value.is_null() && !directive(key) && !named(key)) {
        return Err(Error::RetainKeys);
    }
    original.retain(|key, _| named(key));
    Ok(())
}

/// Merges the lists that have a `$setElementOrder`, and returns their names.
fn merge_ordered_lists<'p>(original: &mut Object, patch: &'p Object, node: Node<'_>) -> Result<Vec<&'p str>, Error> {
    let mut done = Vec::new();
    for (key, order) in patch {
        let Some(rest) = key.strip_prefix(ORDER_PREFIX) else { continue };
        let name = list_name(rest).ok_or(Error::ElementOrder)?;
        let as_list = |value: &'p Value| value.as_array().ok_or_else(|| Error::list_wanted(value));
        let order = as_list(order)?;
        let changes = patch.get(name).map(as_list).transpose()?;
        let current = match original.get_mut(name) {
            Some(Value::Array(list)) => Some(list),
            Some(other) => return Err(Error::list_wanted(other)),
            None => None,
        };
        let child = node.child(name);
        let merged = list::merge_ordered(current.map(std::mem::take), changes, order, child)?;
        if let Some(merged) = merged {
            original.insert(name.to_owned(), Value::Array(merged));
            done.push(name);
        }
    }
    Ok(done)
}

/// The list that a directive with the given rest of its name is about.
fn list_name(rest: &str) -> Option<&str> {
    rest.strip_prefix('/')
}

/// A value taken from a patch as a whole: without nulls and directives. `None` when it says that it be deleted.
fn cleaned(value: &Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.get(PATCH).and_then(Value::as_str) == Some("delete") => None,
        Value::Object(map) => Some(Value::Object(without_directives_below(map))),
        Value::Array(list) => Some(Value::Array(list.iter().filter_map(cleaned).collect())),
        other => Some(other.clone()),
    }
}

fn without_directives_below(map: &Object) -> Object {
    let directive = |key: &str| {
        key == PATCH || key == RETAIN_KEYS || key.starts_with(DELETE_PREFIX) || key.starts_with(ORDER_PREFIX)
    };
    map.iter()
        .filter(|(key, value)| !value.is_null() && !directive(key))
        .filter_map(|(key, value)| Some((key.clone(), cleaned(value)?)))
        .collect()
}

/// What two list items must have in common: the Go type of all items.
fn item_type(lists: &[&[Value]]) -> Result<Option<&'static str>, Error> {
    let mut found = None;
    for item in lists.iter().copied().flatten() {
        if item.is_array() {
            return Err(Error::ListOfLists);
        }
        match found {
            None => found = Some(go_name(item)),
            Some(name) if name == go_name(item) => {}
            Some(_) => return Err(Error::mixed_items(lists)),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
