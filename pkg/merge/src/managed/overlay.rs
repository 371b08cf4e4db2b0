//! Merging an applied configuration into a live object (the first half of F-06..F-08).
//!
//! Nothing is removed here. Scalars and atomic values are the applied ones; maps are merged field by field and
//! associative lists item by item, in an order that keeps both lists' own orders where they agree.

use kcp_schema::ListType;
use serde_json::Value;

use super::items;
use crate::node::{Node, Shape};

/// Merges `applied` into `live`.
pub(crate) fn overlay(node: Node<'_>, live: &mut Value, applied: &Value) {
    match node.shape_of(applied) {
        Shape::Map if !node.map_atomic() => fields(node, live, applied),
        Shape::List if node.list() != ListType::Atomic => match (live, applied) {
            (Value::Array(live), Value::Array(applied)) if !(live.is_empty() && applied.is_empty()) => {
                lists(node, live, applied);
            }
            // Null does not empty a list that has items.
            (Value::Array(live), Value::Null) if !live.is_empty() => {}
            (live, applied) => set(live, applied),
        },
        Shape::Map | Shape::List | Shape::Scalar => set(live, applied),
    }
}

/// Most of what is applied is as it was; only the rest is copied.
fn set(live: &mut Value, applied: &Value) {
    if live != applied {
        live.clone_from(applied);
    }
}

fn fields(node: Node<'_>, live: &mut Value, applied: &Value) {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) if !(live.is_empty() && applied.is_empty()) => {
            for (name, value) in applied {
                match live.get_mut(name) {
                    Some(current) => overlay(node.child(name), current, value),
                    None => {
                        live.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        // Null does not empty a map that has fields.
        (Value::Object(live), Value::Null) if !live.is_empty() => {}
        (live, applied) => set(live, applied),
    }
}

/// The live items that an applied one is merged with.
#[derive(Clone, Copy, PartialEq)]
enum Match {
    None,
    One(usize),
    /// Duplicates are not merged but replaced.
    Many,
}

fn lists(node: Node<'_>, list: &mut Vec<Value>, applied: &[Value]) {
    let (to_applied, to_live) = matches(node, list, applied);
    let item = node.item();
    let mut live: Vec<Option<Value>> = std::mem::take(list).into_iter().map(Some).collect();
    let mut merged = vec![false; applied.len()];
    let mut out = Vec::with_capacity(live.len().max(applied.len()));
    // The items that both lists have, in the applied order: the next one decides who waits.
    let mut shared = (0..applied.len()).filter(|r| to_live.get(*r).is_some_and(|m| *m != Match::None));
    let mut next = shared.next();
    let (mut l, mut r) = (0, 0);

    let take_applied = |r: usize, live: &mut Vec<Option<Value>>, merged: &mut Vec<bool>| {
        if let Some(flag) = merged.get_mut(r) {
            *flag = true;
        }
        let new = applied.get(r)?;
        let old = match to_live.get(r) {
            Some(Match::One(l)) => live.get_mut(*l).and_then(Option::take),
            _ => None,
        };
        Some(match old {
            Some(mut old) => {
                overlay(item, &mut old, new);
                old
            }
            None => new.clone(),
        })
    };
    while l < to_applied.len() || r < to_live.len() {
        if l < to_applied.len() && r < to_live.len() {
            let partner = to_applied.get(l).copied().flatten();
            if partner == Some(r) {
                out.extend(take_applied(r, &mut live, &mut merged));
                (l, r) = (l + 1, r + 1);
                next = shared.next();
                continue;
            }
            if partner.is_some() && next.is_some() && next != partner {
                l += 1;
                continue;
            }
        }
        if l < to_applied.len() {
            match to_applied.get(l).copied().flatten() {
                None => {
                    out.extend(live.get_mut(l).and_then(Option::take));
                    l += 1;
                    continue;
                }
                Some(partner) if merged.get(partner) == Some(&true) => l += 1,
                Some(_) => {}
            }
        }
        if r < to_live.len() {
            out.extend(take_applied(r, &mut live, &mut merged));
            if next == Some(r) {
                next = shared.next();
            }
            r += 1;
        }
    }
    *list = out;
}

/// For each live item its applied partner, and for each applied item its live ones.
fn matches(node: Node<'_>, live: &[Value], applied: &[Value]) -> (Vec<Option<usize>>, Vec<Match>) {
    let mut index: Vec<_> =
        applied.iter().enumerate().filter_map(|(i, v)| Some((items::element(node, v).ok()?, i))).collect();
    index.sort_by(|a, b| a.0.cmp(&b.0));
    let mut to_live = vec![Match::None; applied.len()];
    let to_applied = live
        .iter()
        .enumerate()
        .map(|(l, item)| {
            let element = items::element(node, item).ok()?;
            let at = index.binary_search_by(|(e, _)| e.cmp(&element)).ok()?;
            let (_, r) = index.get(at)?;
            if let Some(slot) = to_live.get_mut(*r) {
                *slot = if *slot == Match::None { Match::One(l) } else { Match::Many };
            }
            Some(*r)
        })
        .collect();
    (to_applied, to_live)
}

#[cfg(test)]
mod tests {
    use super::super::tests::schema;
    use super::*;
    use serde_json::json;

    #[test]
    fn order_of_merged_lists() {
        let schema = schema();
        for (live, applied, want) in [
            (json!(["b", "a"]), json!(["c", "a"]), json!(["b", "c", "a"])),
            (json!(["a", "b", "c"]), json!(["c", "a"]), json!(["b", "c", "a"])),
            (json!(["a", "b", "c"]), json!(["c", "b", "a"]), json!(["c", "b", "a"])),
            (json!(["a", "b"]), json!(["x", "y"]), json!(["a", "b", "x", "y"])),
            (json!(["a", "b", "c"]), json!(["a", "x", "c"]), json!(["a", "b", "x", "c"])),
            (json!(["a"]), json!([]), json!(["a"])),
            (json!([]), json!(["a"]), json!(["a"])),
            (json!(["a", "a", "b"]), json!(["a"]), json!(["a", "b"])),
            (json!(["a"]), json!(null), json!(["a"])),
            (json!(null), json!([]), json!([])),
        ] {
            let mut merged = json!({"spec": {"tags": live}});
            overlay(Node::root(schema.root()), &mut merged, &json!({"spec": {"tags": applied}}));
            assert_eq!(merged["spec"]["tags"], want, "{live} + {applied}");
        }
    }

    #[test]
    fn null_and_kinds() {
        let schema = schema();
        for (live, applied, want) in [
            (json!({"opts": {"a": "1"}}), json!({"opts": null}), json!({"opts": {"a": "1"}})),
            (json!({"opts": {"a": "1"}}), json!({"opts": {}}), json!({"opts": {"a": "1"}})),
            (json!({"title": "t"}), json!({"title": null}), json!({"title": null})),
            (json!({"sel": {"k": "v"}}), json!({"sel": {"l": "w"}}), json!({"sel": {"l": "w"}})),
            (json!({"plain": ["x"]}), json!({"plain": ["y"]}), json!({"plain": ["y"]})),
            (json!({"free": {"m": {"a": 1}}}), json!({"free": {"m": 2}}), json!({"free": {"m": 2}})),
            (json!({"free": {"m": [1]}}), json!({"free": {"m": {"a": 1}}}), json!({"free": {"m": {"a": 1}}})),
        ] {
            let mut merged = json!({"spec": live});
            overlay(Node::root(schema.root()), &mut merged, &json!({"spec": applied}));
            assert_eq!(merged["spec"], want, "{live} + {applied}");
        }
    }
}
