//! The fields of one object as a set, and sets made to fit a schema.

use kcp_schema::ListType;
use serde_json::Value;

use super::element::Element;
use super::items;
use super::set::{FieldNode, FieldSet};
use crate::node::{Node, Shape};

/// Every leaf field and every list item that `object` mentions: what an applier owns.
pub(crate) fn of_object<'a>(root: Node<'a>, object: &'a Value) -> FieldSet<'a> {
    below(root, object).1
}

/// Whether `value` itself is a member, and its fields.
fn below<'a>(node: Node<'a>, value: &'a Value) -> (bool, FieldSet<'a>) {
    match node.shape_of(value) {
        Shape::Scalar => (true, FieldSet::new()),
        Shape::Map if node.map_atomic() => (true, FieldSet::new()),
        Shape::Map => {
            let Some(map) = value.as_object() else { return (false, FieldSet::new()) };
            let mut nodes = Vec::with_capacity(map.len());
            for (name, value) in map {
                let (mut member, children) = below(node.child(name), value);
                // Null and empty maps have no leaves of their own; keys of free maps are items themselves.
                let hollow = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
                member |= hollow || !node.declares(name);
                nodes.push(FieldNode { element: Element::field(name), member, children });
            }
            (false, FieldSet::from_nodes(nodes))
        }
        Shape::List if node.list() == ListType::Atomic => (true, FieldSet::new()),
        Shape::List => {
            let Some(list) = value.as_array() else { return (false, FieldSet::new()) };
            let sorted = items::sorted(node, list);
            let item = node.item();
            let mut nodes: Vec<FieldNode<'a>> = Vec::with_capacity(sorted.len());
            for (element, value) in sorted {
                match nodes.last_mut() {
                    // Of duplicates nothing but the item as such is owned.
                    Some(last) if last.element == element => last.children = FieldSet::new(),
                    _ => nodes.push(FieldNode { element, member: true, children: below(item, value).1 }),
                }
            }
            (false, FieldSet::from_nodes(nodes))
        }
    }
}

/// Adds the named fields on the way to other fields, so that a struct goes away with its last field.
pub(crate) fn with_named_parents(node: Node<'_>, set: &mut FieldSet<'_>) {
    for below in set.nodes_mut() {
        let child = match &below.element {
            Element::Field(name) => {
                below.member |= !below.children.is_empty() && node.declares(name);
                node.child(name)
            }
            Element::Key(_) | Element::Value(_) | Element::Index(_) => node.item(),
        };
        with_named_parents(child, &mut below.children);
    }
}

/// Makes a stored set fit the schema of today: what became atomic since is owned as a whole (F-12).
pub(crate) fn reconcile(node: Node<'_>, set: &mut FieldSet<'_>) {
    if node.is_free_map() {
        return;
    }
    for below in set.nodes_mut() {
        let child = match &below.element {
            Element::Field(name) => match node.known_child(name) {
                Some(child) => child,
                None => continue,
            },
            Element::Key(_) | Element::Value(_) | Element::Index(_) => node.item(),
        };
        if below.children.is_empty() {
            continue;
        }
        if child.is_atomic_container() {
            below.member = true;
            below.children = FieldSet::new();
        } else {
            reconcile(child, &mut below.children);
        }
    }
}
