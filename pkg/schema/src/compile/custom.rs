//! Compiling the `openAPIV3Schema` of a CRD version.
//!
//! The root and embedded resources get `apiVersion`, `kind` and `metadata`. A schema of the metadata itself may
//! only narrow name and generateName (SC-02, SC-16); everything else of it is the shared ObjectMeta.

use std::sync::Arc;

use serde_json::Value;

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath};

use super::{below, flag, hash, list_kind, meta, patch_strategy, text};
use crate::node::{Additional, Arena, Flags, MAX_DEPTH, Node, NodeId, NodeRef, Origin, Schema, ValueKind};
use crate::validate::rules::Rules;

impl Schema {
    /// Compiles the schema of a CRD version. It should have passed `crd::validate_create`; what remains to
    /// fail are patterns that are no regular expressions and schemas too deep.
    pub fn compile(openapi_v3_schema: &Value) -> Result<Arc<Schema>, FieldErrors> {
        let mut compiler = Compiler { arena: Arena::default(), errors: Vec::new(), cel: false };
        let root = compiler.node(openapi_v3_schema, &FieldPath::root(), Place::Root, 0);
        if !compiler.errors.is_empty() {
            return Err(compiler.errors);
        }
        compiler.arena.nodes.shrink_to_fit();
        let text = serde_json::to_vec(openapi_v3_schema).unwrap_or_default();
        Ok(Arc::new(Schema {
            arena: Arc::new(compiler.arena),
            root,
            origin: Origin::Custom,
            hash: hash(&[b"custom", &text]),
            has_cel_rules: compiler.cel,
        }))
    }

    /// The schema of which nothing is known: everything is kept, maps are granular, lists atomic.
    pub fn untyped() -> Arc<Schema> {
        let mut arena = Arena::default();
        let flags = Flags { preserve_unknown: true, ..Flags::default() };
        let properties = envelope(&mut arena).into_iter().collect();
        let root = arena.push(Node { kind: ValueKind::Object, flags, properties, ..Node::default() });
        Arc::new(Schema {
            arena: Arc::new(arena),
            root,
            origin: Origin::Untyped,
            hash: hash(&[b"untyped"]),
            has_cel_rules: false,
        })
    }
}

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The object itself.
    Root,
    /// The object's metadata.
    Metadata,
    /// Anything below.
    Field,
    /// Inside allOf, anyOf, oneOf or not: no structure, only rules.
    Junctor,
}

struct Compiler {
    arena: Arena,
    errors: FieldErrors,
    cel: bool,
}

/// `apiVersion`, `kind` and `metadata`, sorted.
fn envelope(arena: &mut Arena) -> [(Box<str>, NodeId); 3] {
    let string = arena.push(Node { kind: ValueKind::String, ..Node::default() });
    [("apiVersion".into(), string), ("kind".into(), string), ("metadata".into(), meta::root())]
}

impl Compiler {
    fn node(&mut self, schema: &Value, path: &FieldPath, place: Place, depth: usize) -> NodeId {
        if depth > MAX_DEPTH {
            self.errors.push(FieldError::forbidden(path, "the schema is nested too deeply"));
            return self.arena.push(Node::default());
        }
        let mut flags = Flags {
            nullable: flag(schema, "nullable"),
            preserve_unknown: flag(schema, "x-kubernetes-preserve-unknown-fields"),
            embedded: flag(schema, "x-kubernetes-embedded-resource"),
            int_or_string: flag(schema, "x-kubernetes-int-or-string"),
            map_atomic: text(schema, "x-kubernetes-map-type") == "atomic",
            list_declared: schema.get("x-kubernetes-list-type").is_some(),
            ..Flags::default()
        };
        self.cel |= schema.get("x-kubernetes-validations").and_then(Value::as_array).is_some_and(|r| !r.is_empty());

        let mut properties: Vec<(Box<str>, NodeId)> = Vec::new();
        if let Some(fields) = schema.get("properties").and_then(Value::as_object) {
            let path = path.child("properties");
            for (name, field) in fields {
                let inner = match place {
                    Place::Junctor => Place::Junctor,
                    Place::Root if name == "metadata" => Place::Metadata,
                    _ => Place::Field,
                };
                properties.push((name.as_str().into(), self.node(field, &path.key(name), inner, depth + 1)));
            }
        }
        if place == Place::Metadata {
            properties = metadata_properties(properties);
        }
        let whole = place != Place::Junctor && (place == Place::Root || flags.embedded);
        if whole {
            for (name, id) in envelope(&mut self.arena) {
                if !properties.iter().any(|(known, _)| *known == name) {
                    properties.push((name, id));
                }
            }
        }
        properties.sort_unstable_by(|a, b| a.0.cmp(&b.0));

        let additional = match schema.get("additionalProperties") {
            Some(Value::Bool(allowed)) if *allowed => Additional::Any,
            Some(value @ Value::Object(_)) => {
                let place = if place == Place::Junctor { place } else { Place::Field };
                Additional::Node(self.node(value, &path.child("additionalProperties"), place, depth + 1))
            }
            _ => Additional::None,
        };
        let items = schema.get("items").filter(|v| v.is_object()).map(|items| {
            let place = if place == Place::Junctor { place } else { Place::Field };
            self.node(items, &path.child("items"), place, depth + 1)
        });
        let rules = self.rules(schema, path, depth);

        for id in properties.iter().map(|(_, id)| *id).chain(items).chain(match additional {
            Additional::Node(id) => Some(id),
            _ => None,
        }) {
            let (defaults, lists) = below(NodeRef { arena: &self.arena, id });
            flags.defaults_below |= defaults;
            flags.lists_below |= lists && id & crate::node::META_BIT == 0;
        }
        let format = text(schema, "format");
        // Types that were imported from another cluster keep what strategic merge patch needs.
        let merge_key = text(schema, "x-kubernetes-patch-merge-key");
        self.arena.push(Node {
            kind: ValueKind::from_name(text(schema, "type")),
            flags,
            patch: patch_strategy(schema),
            list: list_kind(schema),
            additional,
            items,
            properties: properties.into(),
            default: schema.get("default").filter(|_| place != Place::Junctor).map(|v| Box::new(v.clone())),
            merge_key: (!merge_key.is_empty()).then(|| merge_key.into()),
            format: (!format.is_empty()).then(|| format.into()),
            rules,
            go_name: (place == Place::Metadata).then(|| "v1.ObjectMeta".into()),
            ..Node::default()
        })
    }

    fn rules(&mut self, schema: &Value, path: &FieldPath, depth: usize) -> Option<Box<Rules>> {
        let mut rules = match Rules::read(schema) {
            Ok(rules) => rules,
            Err(error) => {
                let path = path.child("pattern");
                self.errors.push(FieldError::invalid(&path, text(schema, "pattern"), &error));
                return None;
            }
        };
        for (name, into) in [("allOf", 0), ("anyOf", 1), ("oneOf", 2)] {
            let branches = schema.get(name).and_then(Value::as_array).into_iter().flatten();
            for (index, branch) in branches.enumerate() {
                let id = self.node(branch, &path.child(name).index(index), Place::Junctor, depth + 1);
                match into {
                    0 => rules.all_of.push(id),
                    1 => rules.any_of.push(id),
                    _ => rules.one_of.push(id),
                }
            }
        }
        if let Some(not) = schema.get("not").filter(|v| v.is_object()) {
            rules.not = Some(self.node(not, &path.child("not"), Place::Junctor, depth + 1));
        }
        rules.settle();
        (!rules.is_empty()).then(|| Box::new(rules))
    }
}

/// The fields of ObjectMeta, those that the schema narrows replaced.
fn metadata_properties(narrowed: Vec<(Box<str>, NodeId)>) -> Vec<(Box<str>, NodeId)> {
    let known = meta::node(meta::root() & !crate::node::META_BIT);
    let pick = |name: &str| narrowed.iter().find(|(n, _)| &**n == name).map(|(_, id)| *id);
    known.properties.iter().map(|(name, id)| (name.clone(), pick(name).unwrap_or(*id))).collect()
}
