//! Removing fields that an applier has dropped (F-08).

use kcp_schema::ListType;
use serde_json::Value;

use super::element::Element;
use super::fields;
use super::items;
use super::set::FieldSet;
use crate::node::{Node, Shape};

/// Takes from `merged` what the manager applied last time, does not apply now, and nobody else owns.
///
/// `last` is what the manager owned, `owned` what all managers own now. An item goes as a whole only if nothing
/// of it is owned by others; fields that nobody owns stay unless they were the manager's.
pub(crate) fn prune(root: Node<'_>, merged: &mut Value, last: &FieldSet<'_>, owned: &FieldSet<'_>) {
    let mut last = last.clone();
    fields::with_named_parents(root, &mut last);
    let mut owned = owned.clone();
    fields::with_named_parents(root, &mut owned);
    let present = named(root, merged);

    // Everything of the last time goes, with all that is below it; what has an owner comes back.
    let mut rest = merged.clone();
    remove(root, &mut rest, &last);
    let mut kept = named(root, &rest).into_owned();
    kept.unite(owned.into_owned());
    let mut unowned = present.clone();
    unowned.subtract(&kept);
    let mut rest = merged.clone();
    remove(root, &mut rest, &unowned);

    // And so does what nobody owns and this manager never had.
    let mut gone = present;
    gone.subtract(&named(root, &rest));
    let gone = gone.intersection(&last).into_owned();
    remove(root, merged, &gone);
}

fn named<'a>(root: Node<'a>, object: &'a Value) -> FieldSet<'a> {
    let mut set = fields::of_object(root, object);
    fields::with_named_parents(root, &mut set);
    set
}

/// Removes the fields and items in `set`. Maps and lists that become empty go too.
fn remove(node: Node<'_>, value: &mut Value, set: &FieldSet<'_>) {
    match (node.shape_of(value), value) {
        (Shape::Map, Value::Object(map)) if !node.map_atomic() => {
            for below in set.nodes() {
                let Element::Field(name) = &below.element else { continue };
                if below.member {
                    map.remove(name.as_ref());
                } else if let Some(field) = map.get_mut(name.as_ref())
                    && remove_below(node.child(name), field, &below.children)
                {
                    map.remove(name.as_ref());
                }
            }
        }
        (Shape::List, Value::Array(list)) if node.list() != ListType::Atomic => {
            let item = node.item();
            list.retain_mut(|value| {
                let Some((member, children)) = items::element(node, value)
                    .ok()
                    .and_then(|element| set.node(&element))
                    .map(|found| (found.member, &found.children))
                else {
                    return true;
                };
                !member && !remove_below(item, value, children)
            });
        }
        _ => {}
    }
}

/// Removes below a value; tells whether the value has become empty by it.
fn remove_below(node: Node<'_>, value: &mut Value, set: &FieldSet<'_>) -> bool {
    let hollow = |v: &Value| match v {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    let was = hollow(value);
    remove(node, value, set);
    !was && hollow(value)
}
