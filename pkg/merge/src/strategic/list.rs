//! Merging lists: maps by their merge key, scalars by value, and the order of the result.

use kcp_schema::NodeRef;
use serde_json::Value;

use super::error::Error;
use super::{Object, PATCH, cleaned, item_type, merge_map};
use crate::go;
use crate::node::Node;

/// How items of a list are found again.
#[derive(Clone, Copy)]
enum Key<'k> {
    Field(&'k str),
    Whole,
}

impl<'k> Key<'k> {
    fn of(node: Node<'k>) -> Self {
        node.typed().and_then(NodeRef::merge_key).map_or(Self::Whole, Self::Field)
    }

    /// What tells `item` apart; `None` for an item without its key.
    fn value(self, item: &Value) -> Option<&Value> {
        match self {
            Self::Field(name) => item.get(name),
            Self::Whole => Some(item),
        }
    }

    fn same(self, a: &Value, b: &Value) -> bool {
        match (self.value(a), self.value(b)) {
            (Some(a), Some(b)) => a == b,
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    fn position(self, list: &[Value], item: &Value) -> Option<usize> {
        list.iter().position(|other| self.same(other, item))
    }
}

/// Merges `patch` into `list`; with `deletes` the patch lists scalars to remove.
pub(super) fn merge(list: &mut Vec<Value>, patch: &[Value], node: Node<'_>, deletes: bool) -> Result<(), Error> {
    let Some(kind) = item_type(&[list, patch])? else { return Ok(()) };
    let maps = kind == "map[string]interface {}";
    if !maps && deletes {
        list.retain(|item| !patch.contains(item));
        return Ok(());
    }
    let (merged, server_order, patch_order) = contents(std::mem::take(list), patch, node, maps)?;
    let key = if maps { Key::of(node) } else { Key::Whole };
    *list = ordered(merged, key, &patch_order, &server_order);
    Ok(())
}

/// Merges a list that has a `$setElementOrder`; `None` when neither side has the list.
pub(super) fn merge_ordered(
    list: Option<Vec<Value>>,
    patch: Option<&Vec<Value>>,
    order: &[Value],
    node: Node<'_>,
) -> Result<Option<Vec<Value>>, Error> {
    let key = Key::of(node);
    check_order(patch.map_or(&[][..], Vec::as_slice), order, key)?;
    let server_order = list.clone().unwrap_or_default();
    let merged = match (list, patch) {
        (Some(list), None) => list,
        (None, Some(patch)) => patch.iter().filter_map(cleaned).collect(),
        (Some(list), Some(patch)) => {
            if node.typed().is_some_and(|n| n.patch_strategy().merge) {
                let mut list = list;
                merge(&mut list, patch, node, false)?;
                list
            } else {
                patch.iter().filter_map(cleaned).collect()
            }
        }
        (None, None) => return Ok(None),
    };
    if let (Key::Field(name), Some(bad)) = (key, merged.iter().find(|item| key.value(item).is_none())) {
        return Err(match bad {
            Value::Object(map) => Error::no_merge_key(map, name),
            other => Error::map_wanted(other),
        });
    }
    Ok(Some(ordered(merged, key, order, &server_order)))
}

/// The items of the patch must be in the order that `$setElementOrder` says, and be named there.
fn check_order(patch: &[Value], order: &[Value], key: Key<'_>) -> Result<(), Error> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut rest = order.iter();
    for item in patch {
        if item.get(PATCH).is_some() {
            continue;
        }
        for side in [item, rest.clone().next().unwrap_or(item)] {
            if let (Key::Field(name), None) = (key, key.value(side)) {
                return Err(match side {
                    Value::Object(map) => Error::no_merge_key(map, name),
                    other => Error::map_wanted(other),
                });
            }
        }
        if !rest.any(|ordered| key.same(ordered, item)) {
            return Err(Error::Plain(format!(
                "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
                go::plain(&Value::Array(patch.to_vec())),
                go::plain(&Value::Array(order.to_vec()))
            )));
        }
    }
    Ok(())
}

/// The merged items, and the orders of the server's and the patch's lists.
type Contents = (Vec<Value>, Vec<Value>, Vec<Value>);

fn contents(mut list: Vec<Value>, patch: &[Value], node: Node<'_>, maps: bool) -> Result<Contents, Error> {
    if !maps {
        let server = list.clone();
        for item in patch {
            if !list.contains(item) {
                list.push(item.clone());
            }
        }
        let mut unique: Vec<Value> = Vec::with_capacity(list.len());
        for item in list {
            if !unique.contains(&item) {
                unique.push(item);
            }
        }
        return Ok((unique, server, patch.to_vec()));
    }
    let Key::Field(name) = Key::of(node) else {
        return Err(Error::Plain("cannot merge lists without merge key for type struct".to_owned()));
    };
    let mut plain: Vec<&Object> = Vec::with_capacity(patch.len());
    let mut replace = false;
    for map in patch.iter().filter_map(Value::as_object) {
        match map.get(PATCH) {
            None => plain.push(map),
            Some(Value::String(directive)) if directive == "delete" => {
                let value = map.get(name).ok_or_else(|| Error::no_merge_key(map, name))?;
                list.retain(|item| item.get(name) != Some(value));
            }
            Some(Value::String(directive)) if directive == "replace" => replace = true,
            Some(Value::String(directive)) if directive == "merge" => {
                return Err(Error::Plain("merging lists cannot yet be specified in the patch".to_owned()));
            }
            Some(directive) => return Err(Error::unknown_directive(directive, map)),
        }
    }
    if replace {
        let list: Vec<Value> = plain.into_iter().filter_map(|m| cleaned(&Value::Object(m.clone()))).collect();
        return Ok((list.clone(), list, Vec::new()));
    }
    let server: Vec<Value> = list.iter().map(|item| key_only(item, name)).collect();
    let mut order = Vec::with_capacity(plain.len());
    for map in plain {
        let value = map.get(name).ok_or_else(|| Error::no_merge_key(map, name))?;
        order.push(Value::Object(Object::from_iter([(name.to_owned(), value.clone())])));
        match list.iter_mut().find(|item| item.get(name) == Some(value)) {
            Some(Value::Object(current)) => merge_map(current, map, node.item())?,
            _ => list.extend(cleaned(&Value::Object(map.clone()))),
        }
    }
    if let Some(Value::Object(map)) = list.iter().find(|item| item.get(name).is_none()) {
        return Err(Error::no_merge_key(map, name));
    }
    Ok((list, server, order))
}

/// An item reduced to its key, which is all that orders need.
fn key_only(item: &Value, name: &str) -> Value {
    Value::Object(item.get(name).map(|v| (name.to_owned(), v.clone())).into_iter().collect())
}

/// Puts merged items in order: those of the patch as the patch says, the others as the server had them, and the
/// others before those of the patch that the server had behind them.
fn ordered(merged: Vec<Value>, key: Key<'_>, patch_order: &[Value], server_order: &[Value]) -> Vec<Value> {
    let rank = |order: &[Value], item: &Value| key.position(order, item);
    let (mut of_patch, mut of_server): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| rank(patch_order, item).is_some());
    of_patch.sort_by_key(|item| rank(patch_order, item).unwrap_or(usize::MAX));
    of_server.sort_by_key(|item| rank(server_order, item).unwrap_or(usize::MAX));

    let mut out = Vec::with_capacity(of_patch.len() + of_server.len());
    let (mut patch, mut server) = (of_patch.into_iter().peekable(), of_server.into_iter().peekable());
    while let (Some(p), Some(s)) = (patch.peek(), server.peek()) {
        let server_first = matches!((rank(server_order, s), rank(server_order, p)), (Some(s), Some(p)) if s < p);
        out.extend(if server_first { server.next() } else { patch.next() });
    }
    out.extend(server);
    out.extend(patch);
    out
}
