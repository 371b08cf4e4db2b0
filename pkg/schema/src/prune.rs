//! Dropping fields that a schema does not know (SC-04), with their paths for strict decoding (C-12).
//!
//! Below `x-kubernetes-preserve-unknown-fields` unknown fields stay, but known ones are pruned inside. The
//! metadata of the object and of embedded resources is always pruned to ObjectMeta.

use std::fmt::Write as _;

use serde_json::Value;

use crate::node::{Additional, MAX_DEPTH, NodeRef, Origin, Schema};
use crate::numbers;

/// How many dropped fields are reported at most, as in Kubernetes' strict decoder.
const MAX_REPORTED: usize = 100;

impl Schema {
    /// Drops the fields that the schema does not know and returns their paths (`spec.x`,
    /// `spec.list[0].y`), those of the metadata first, then sorted. Numbers of custom objects get their one form on the way.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        if self.origin == Origin::Untyped {
            return Vec::new();
        }
        if self.origin == Origin::Custom {
            numbers::normalize(object);
        }
        let mut pruner = Pruner { path: String::new(), dropped: Vec::new(), quiet: false };
        pruner.value(Some(self.root()), object, false, 0);
        // The metadata is decoded on its own and comes first.
        pruner.dropped.sort_unstable_by(|a, b| (!in_metadata(a), a).cmp(&(!in_metadata(b), b)));
        pruner.dropped
    }
}

fn in_metadata(path: &str) -> bool {
    path.starts_with("metadata.")
}

pub(crate) struct Pruner {
    path: String,
    pub(crate) dropped: Vec<String>,
    quiet: bool,
}

impl Pruner {
    /// A pruner for a value of its own, such as a default.
    pub(crate) fn new() -> Self {
        Self { path: String::new(), dropped: Vec::new(), quiet: false }
    }

    /// Prunes `value`; without a node nothing is known, and maps lose everything. `kept` says that the value is an
    /// item of a list that preserves unknown fields.
    pub(crate) fn value(&mut self, node: Option<NodeRef<'_>>, value: &mut Value, kept: bool, depth: usize) {
        if depth > MAX_DEPTH || !(value.is_object() || value.is_array()) {
            return;
        }
        let was_quiet = self.quiet;
        self.quiet |= node.is_some_and(|n| n.node().flags.quiet);
        let preserve = kept || node.is_some_and(NodeRef::preserves_unknown);
        let mark = self.path.len();
        match value {
            Value::Object(map) => map.retain(|name, field| {
                self.path.truncate(mark);
                if mark > 0 {
                    self.path.push('.');
                }
                self.path.push_str(name);
                let known = node.and_then(|n| n.property(name));
                let additional = node.map_or(Additional::None, |n| n.node().additional);
                match (known, additional) {
                    (Some(known), _) => self.value(Some(known), field, false, depth + 1),
                    (None, Additional::Node(_)) => {
                        self.value(node.and_then(NodeRef::additional), field, false, depth + 1);
                    }
                    (None, _) if preserve => {}
                    (None, Additional::Any) => self.value(None, field, false, depth + 1),
                    (None, Additional::None) => {
                        if !self.quiet && self.dropped.len() < MAX_REPORTED {
                            self.dropped.push(self.path.clone());
                        }
                        return false;
                    }
                }
                true
            }),
            Value::Array(items) => {
                let below = node.and_then(NodeRef::items);
                if below.is_some() || !preserve {
                    for (index, item) in items.iter_mut().enumerate() {
                        self.path.truncate(mark);
                        let _ = write!(self.path, "[{index}]");
                        self.value(below, item, preserve, depth + 1);
                    }
                }
            }
            _ => {}
        }
        self.path.truncate(mark);
        self.quiet = was_quiet;
    }
}
