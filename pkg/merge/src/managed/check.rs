//! Whether an applied configuration fits the schema, before anything is merged (F-12).
//!
//! Only the structure counts: kinds of values, declared fields, keys of list items and their uniqueness. The
//! texts are those of structured-merge-diff, which clients show as they are.

use kcp_schema::ListType;
use serde_json::Value;

use super::element::Element;
use super::items;
use crate::go;
use crate::node::{Node, ScalarKind, Shape};

/// The text of all findings, or nothing.
pub(crate) fn check(root: Node<'_>, object: &Value) -> Result<(), String> {
    let mut check = Check { path: String::new(), errors: Vec::new() };
    check.value(root, object);
    match check.errors.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("errors:\n  {}", many.join("\n  "))),
    }
}

struct Check {
    path: String,
    errors: Vec<String>,
}

impl Check {
    fn error(&mut self, text: impl std::fmt::Display) {
        let path = &self.path;
        self.errors.push(if path.is_empty() { text.to_string() } else { format!("{path}: {text}") });
    }

    fn below(&mut self, element: &Element<'_>, node: Node<'_>, value: &Value) {
        let length = self.path.len();
        element.write_path(&mut self.path);
        self.value(node, value);
        self.path.truncate(length);
    }

    fn value(&mut self, node: Node<'_>, value: &Value) {
        if value.is_null() {
            return;
        }
        match node.shape_of(value) {
            Shape::Map => match value {
                Value::Object(map) => {
                    for (name, value) in map {
                        let element = Element::field(name);
                        match node.known_child(name) {
                            Some(child) => self.below(&element, child, value),
                            None => {
                                let length = self.path.len();
                                element.write_path(&mut self.path);
                                self.error("field not declared in schema");
                                self.path.truncate(length);
                            }
                        }
                    }
                }
                other => self.error(format_args!("expected map, got &{{{}}}", go::plain(other))),
            },
            Shape::List => match value {
                Value::Array(list) => self.list(node, list),
                other => self.error(format_args!("expected list, got &{{{}}}", go::plain(other))),
            },
            Shape::Scalar => self.scalar(node.scalar(), value),
        }
    }

    fn list(&mut self, node: Node<'_>, list: &[Value]) {
        let item = node.item();
        if node.list() == ListType::Atomic {
            for (i, value) in (0..).zip(list) {
                self.below(&Element::Index(i), item, value);
            }
            return;
        }
        let mut seen: Vec<Element<'_>> = Vec::with_capacity(list.len());
        for (i, value) in list.iter().enumerate() {
            let element = match items::element(node, value) {
                Ok(element) => element,
                Err(text) => return self.error(format_args!("element {i}: {text}")),
            };
            match seen.binary_search(&element) {
                Ok(_) => {
                    let mut key = String::new();
                    element.write_path(&mut key);
                    self.error(format_args!("duplicate entries for key {key}"));
                }
                Err(at) => seen.insert(at, element.clone()),
            }
            self.below(&element, item, value);
        }
    }

    fn scalar(&mut self, kind: ScalarKind, value: &Value) {
        match (kind, value) {
            (ScalarKind::Numeric, Value::Number(_))
            | (ScalarKind::Text, Value::String(_))
            | (ScalarKind::Boolean, Value::Bool(_))
            | (ScalarKind::Untyped, Value::Number(_) | Value::String(_) | Value::Bool(_)) => {}
            (ScalarKind::Numeric, v) => {
                self.error(format_args!("expected numeric (int or float), got {}", go::type_name(v)));
            }
            (ScalarKind::Text, v) => {
                self.error(format_args!("expected string, got &value.valueUnstructured{{Value:{}}}", go::syntax(v)));
            }
            (ScalarKind::Boolean, v) => self.error(format_args!("expected boolean, got &{{{}}}", go::plain(v))),
            (ScalarKind::Untyped, v) => self.error(format_args!("expected any scalar, got &{{{}}}", go::plain(v))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::schema;
    use super::*;
    use serde_json::json;

    #[test]
    fn texts() {
        let schema = schema();
        for (spec, want) in [
            (json!({"replicas": 1, "title": null, "tags": ["a"], "free": {"x": [1]}}), None),
            (json!({"replicas": "three"}), Some(".spec.replicas: expected numeric (int or float), got string")),
            (json!({"title": 1}), Some(".spec.title: expected string, got &value.valueUnstructured{Value:1}")),
            (json!({"on": "yes"}), Some(".spec.on: expected boolean, got &{yes}")),
            (json!({"opts": [1, 2]}), Some(".spec.opts: expected map, got &{[1 2]}")),
            (json!({"plain": {"a": 1}}), Some(".spec.plain: expected list, got &{map[a:1]}")),
            (json!({"nope": 1}), Some(".spec.nope: field not declared in schema")),
            (json!({"tags": ["q", "q"]}), Some(".spec.tags: duplicate entries for key [=\"q\"]")),
            (
                json!({"ports": [{"port": 1}, {"port": 1, "proto": "TCP"}]}),
                Some(".spec.ports: duplicate entries for key [port=1,proto=\"TCP\"]"),
            ),
            (json!({"ports": [{"note": "x"}]}), None),
            (
                json!({"ports": [7]}),
                Some(".spec.ports: element 0: associative list with keys may not have non-map elements"),
            ),
            (
                json!({"ports": [{"port": 1, "note": 2}]}),
                Some(".spec.ports[port=1,proto=\"TCP\"].note: expected string, got &value.valueUnstructured{Value:2}"),
            ),
            (json!({"plain": [1]}), Some(".spec.plain[0]: expected string, got &value.valueUnstructured{Value:1}")),
            (
                json!({"names": [{"x": 1}]}),
                Some(
                    ".spec.names: element 0: associative list with keys has an element that omits all key fields [\"name\"] (and doesn't have default values for any key fields)",
                ),
            ),
            (
                json!({"on": 1, "replicas": true}),
                Some(
                    "errors:\n  .spec.on: expected boolean, got &{1}\n  .spec.replicas: expected numeric (int or float), got bool",
                ),
            ),
        ] {
            let got = check(Node::root(schema.root()), &json!({"spec": spec}));
            assert_eq!(got.err().as_deref(), want, "{spec}");
        }
    }
}
