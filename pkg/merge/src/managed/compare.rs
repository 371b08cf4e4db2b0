//! What changed between two states of an object, as field sets.
//!
//! A field that was added or modified is *changed*, one that is gone is *removed*. Maps and associative lists are
//! compared item by item, atomic ones as one value. Objects of built-in types are compared as their Go types
//! would be: null means absent, and fields that a Go type always has are always there ([`Side::Zero`]).

use serde_json::{Map, Value};

use super::element::Element;
use super::items;
use super::set::{FieldNode, FieldSet};
use crate::go;
use crate::node::{MAP, Node, Shape, Zero};

/// The fields that differ.
#[derive(Debug, Default, Clone)]
pub(crate) struct Diff<'a> {
    /// Added or modified.
    pub(crate) changed: FieldSet<'a>,
    /// In the old state only.
    pub(crate) removed: FieldSet<'a>,
}

/// Compares two objects. `old` is `None` for an object that is created. `typed` says that the objects are of a
/// built-in type and came through its decoder.
pub(crate) fn objects<'a>(root: Node<'a>, old: Option<&'a Value>, new: &'a Value, typed: bool) -> Diff<'a> {
    let mut levels = Levels::default();
    let old = if old.is_none() { Side::Zero } else { Side::new(old) };
    Walk { typed }.fields(root, old, Side::Value(new), &mut levels);
    Diff { changed: FieldSet::from_nodes(levels.changed), removed: FieldSet::from_nodes(levels.removed) }
}

/// One side of the comparison of a field.
#[derive(Debug, Clone, Copy)]
enum Side<'a> {
    Absent,
    Value(&'a Value),
    /// A map that is there although nobody wrote it.
    Zero,
}

impl<'a> Side<'a> {
    fn new(value: Option<&'a Value>) -> Self {
        value.map_or(Self::Absent, Self::Value)
    }

    fn value(self) -> Option<&'a Value> {
        match self {
            Self::Value(v) => Some(v),
            Self::Absent | Self::Zero => None,
        }
    }

    fn is_absent(self) -> bool {
        matches!(self, Self::Absent)
    }

    fn map(self) -> Option<&'a Map<String, Value>> {
        self.value().and_then(Value::as_object)
    }

    fn list(self) -> &'a [Value] {
        self.value().and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn forms(self, node: Node<'_>) -> u8 {
        match self {
            Self::Zero => MAP,
            Self::Value(v) => node.forms(Some(v)),
            Self::Absent => node.forms(None),
        }
    }

    fn equals(self, other: Self) -> bool {
        match (self, other) {
            (Self::Value(a), Self::Value(b)) => go::equal(a, b),
            (Self::Zero, Self::Value(v)) | (Self::Value(v), Self::Zero) => v.as_object().is_some_and(Map::is_empty),
            (Self::Zero, Self::Zero) | (Self::Absent, Self::Absent) => true,
            _ => false,
        }
    }
}

/// How one path and what is below it differ.
#[derive(Default)]
struct Here<'a> {
    changed: bool,
    removed: bool,
    below: Levels<'a>,
}

impl Here<'_> {
    fn leaf(&mut self, old: Side<'_>, new: Side<'_>) {
        match (old, new) {
            (Side::Absent, Side::Absent) => {}
            (Side::Absent, _) => self.changed = true,
            (_, Side::Absent) => self.removed = true,
            (old, new) => self.changed |= !old.equals(new),
        }
    }
}

#[derive(Default)]
struct Levels<'a> {
    changed: Vec<FieldNode<'a>>,
    removed: Vec<FieldNode<'a>>,
}

impl<'a> Levels<'a> {
    fn push(&mut self, element: Element<'a>, here: Here<'a>) {
        let changed = FieldSet::from_nodes(here.below.changed);
        let removed = FieldSet::from_nodes(here.below.removed);
        let changes = here.changed || !changed.is_empty();
        let removes = here.removed || !removed.is_empty();
        if changes && removes {
            let element = element.clone();
            self.changed.push(FieldNode { element, member: here.changed, children: changed });
        } else if changes {
            self.changed.push(FieldNode { element, member: here.changed, children: changed });
            return;
        }
        if removes {
            self.removed.push(FieldNode { element, member: here.removed, children: removed });
        }
    }
}

struct Walk {
    typed: bool,
}

impl Walk {
    fn compare<'a>(&self, node: Node<'a>, old: Side<'a>, new: Side<'a>) -> Here<'a> {
        let mut here = Here::default();
        let in_leaf = if new.is_absent() {
            self.as_shape(Node::shape(old.forms(node)), node, old, new, &mut here)
        } else {
            let (was, is) = (old.forms(node), new.forms(node));
            if !old.is_absent() && was != is {
                // A value that became another kind of value is compared as either.
                self.as_shape(Node::shape(was), node, old, new, &mut here);
            }
            self.as_shape(Node::shape(is), node, old, new, &mut here)
        };
        if !in_leaf {
            here.changed |= old.is_absent();
            here.removed |= new.is_absent();
        }
        here
    }

    /// Compares as one shape; tells whether the value is one leaf.
    fn as_shape<'a>(&self, shape: Shape, node: Node<'a>, old: Side<'a>, new: Side<'a>, here: &mut Here<'a>) -> bool {
        match shape {
            Shape::Map => {
                let empty = |side: Side<'a>| side.map().is_none_or(Map::is_empty);
                if node.map_atomic() || (empty(old) && empty(new)) {
                    here.leaf(old, new);
                    return true;
                }
                self.fields(node, old, new, &mut here.below);
                false
            }
            Shape::Scalar => {
                here.leaf(old, new);
                true
            }
            Shape::List => {
                let (was, is) = (old.list(), new.list());
                if node.list() == kcp_schema::ListType::Atomic || (was.is_empty() && is.is_empty()) {
                    here.leaf(old, new);
                    return true;
                }
                self.items(node, was, is, &mut here.below);
                false
            }
        }
    }

    fn fields<'a>(&self, node: Node<'a>, old: Side<'a>, new: Side<'a>, levels: &mut Levels<'a>) {
        let (was, is) = (old.map(), new.map());
        for (name, value) in is.into_iter().flatten() {
            let before = was.and_then(|m| m.get(name));
            // Most fields are as they were.
            if before == Some(value) {
                continue;
            }
            let (old, new) = (self.side(node, name, before, old), self.side(node, name, Some(value), new));
            self.field(node, name, old, new, levels);
        }
        for (name, value) in was.into_iter().flatten() {
            if !is.is_some_and(|m| m.contains_key(name)) {
                let (old, new) = (self.side(node, name, Some(value), old), self.side(node, name, None, new));
                self.field(node, name, old, new, levels);
            }
        }
    }

    fn field<'a>(&self, node: Node<'a>, name: &'a str, old: Side<'a>, new: Side<'a>, levels: &mut Levels<'a>) {
        if !(old.is_absent() && new.is_absent()) {
            levels.push(Element::field(name), self.compare(node.child(name), old, new));
        }
    }

    /// The field `name` of one side, whose map is `parent`.
    fn side<'a>(&self, node: Node<'a>, name: &str, value: Option<&'a Value>, parent: Side<'a>) -> Side<'a> {
        match value {
            Some(v) if !self.typed || !v.is_null() => Side::Value(v),
            _ if !self.typed || parent.is_absent() => Side::Absent,
            _ => match node.zero(name) {
                None => Side::Absent,
                Some(Zero::Map) => Side::Zero,
                Some(Zero::Value(v)) => Side::Value(v),
            },
        }
    }

    fn items<'a>(&self, node: Node<'a>, old: &'a [Value], new: &'a [Value], levels: &mut Levels<'a>) {
        let (was, is) = (items::sorted(node, old), items::sorted(node, new));
        let (mut was, mut is) = (was.as_slice(), is.as_slice());
        let item = node.item();
        loop {
            let element = match (was.first(), is.first()) {
                (None, None) => return,
                (Some((e, _)), None) | (None, Some((e, _))) => e,
                (Some((a, _)), Some((b, _))) => a.min(b),
            }
            .clone();
            let (before, after) = (split_run(&mut was, &element), split_run(&mut is, &element));
            let here = match (before, after) {
                ([] | [_], [] | [_]) => {
                    let side = |run: &[(Element<'a>, &'a Value)]| Side::new(run.first().map(|(_, v)| *v));
                    self.compare(item, side(before), side(after))
                }
                ([_, _, ..], [_, _, ..]) => {
                    // Duplicates are compared as one atomic list.
                    let same =
                        before.len() == after.len() && before.iter().zip(after).all(|((_, a), (_, b))| go::equal(a, b));
                    Here { changed: !same, ..Here::default() }
                }
                ([_, _, ..], after) => {
                    let mut here = after
                        .first()
                        .map_or_else(Here::default, |(_, v)| self.compare(item, Side::Absent, Side::Value(v)));
                    here.removed = true;
                    here
                }
                (before, _) => {
                    let mut here = before
                        .first()
                        .map_or_else(Here::default, |(_, v)| self.compare(item, Side::Value(v), Side::Absent));
                    here.changed = true;
                    here
                }
            };
            levels.push(element, here);
        }
    }
}

/// Splits off the items with `element` from the front of a sorted list.
fn split_run<'l, 'a>(
    list: &mut &'l [(Element<'a>, &'a Value)],
    element: &Element<'_>,
) -> &'l [(Element<'a>, &'a Value)] {
    let end = list.iter().take_while(|(e, _)| e == element).count();
    let (run, rest) = list.split_at(end);
    *list = rest;
    run
}
