//! Compiling OpenAPI v3 documents of built-in types.
//!
//! Every definition becomes one node, shared by all who refer to it, so that the whole set of Kubernetes takes
//! a few thousand nodes. `$ref` and `allOf` with a single `$ref` are the definition itself; keywords beside them
//! that matter (list types, patch strategies, defaults) make a copy of the definition's node that carries them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{flag, hash, list_kind, meta, patch_strategy, text};
use crate::node::{Additional, Arena, Flags, ListKind, MAX_DEPTH, Node, NodeId, Origin, Schema, ValueKind};

const PREFIX: &str = "#/components/schemas/";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const CRD_PACKAGE: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.";

/// The built-in types of one or more OpenAPI documents, compiled into one shared arena.
#[derive(Debug, Default, Clone)]
pub struct Builtins {
    arena: Arc<Arena>,
    types: BTreeMap<Box<str>, NodeId>,
}

impl Builtins {
    /// Compiles every kind (definitions with `x-kubernetes-group-version-kind`) of the given
    /// `components.schemas`, and what they refer to. Definitions of the same name are taken to be the same.
    pub fn compile<'a>(documents: impl IntoIterator<Item = &'a Map<String, Value>>) -> Result<Self, String> {
        let mut all: BTreeMap<&str, &Value> = BTreeMap::new();
        for document in documents {
            all.extend(document.iter().map(|(name, schema)| (name.as_str(), schema)));
        }
        let kinds: Vec<&str> = all
            .iter()
            .filter(|(_, schema)| schema.get("x-kubernetes-group-version-kind").is_some())
            .map(|(name, _)| *name)
            .collect();
        Self::compile_names(&all, &kinds)
    }

    fn compile_names(all: &BTreeMap<&str, &Value>, names: &[&str]) -> Result<Self, String> {
        let mut compiler = Compiler { all, arena: Arena::default(), done: BTreeMap::new(), copies: Vec::new() };
        let mut types = BTreeMap::new();
        for name in names {
            types.insert(Box::from(*name), compiler.definition(name, 0)?);
        }
        compiler.finish();
        compiler.arena.nodes.shrink_to_fit();
        Ok(Self { arena: Arc::new(compiler.arena), types })
    }

    /// The schema of the definition `name` (`io.k8s.api.core.v1.ConfigMap`).
    pub fn schema(&self, name: &str) -> Option<Arc<Schema>> {
        let root = *self.types.get(name)?;
        Some(Arc::new(Schema {
            arena: Arc::clone(&self.arena),
            root,
            origin: Origin::Builtin,
            hash: hash(&[b"builtin", name.as_bytes()]),
            has_cel_rules: false,
        }))
    }

    /// The definitions that have schemas.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(|name| &**name)
    }

    /// How many nodes all types take together.
    pub fn node_count(&self) -> usize {
        self.arena.nodes.len()
    }
}

impl Schema {
    /// Compiles one built-in type of an OpenAPI v3 document's `components.schemas`. For more than one type of a
    /// document use [`Builtins`], which shares their nodes.
    pub fn compile_builtin(components: &Map<String, Value>, name: &str) -> Result<Arc<Schema>, String> {
        let all = components.iter().map(|(name, schema)| (name.as_str(), schema)).collect();
        Builtins::compile_names(&all, &[name])?.schema(name).ok_or_else(|| format!("no definition {name}"))
    }
}

struct Compiler<'a> {
    all: &'a BTreeMap<&'a str, &'a Value>,
    arena: Arena,
    done: BTreeMap<&'a str, NodeId>,
    /// Copies to be filled once the originals are complete.
    copies: Vec<Copy<'a>>,
}

struct Copy<'a> {
    to: NodeId,
    from: NodeId,
    change: Change<'a>,
}

/// What tells a copy from its original.
enum Change<'a> {
    /// Keywords beside the reference.
    Keywords(&'a Value),
    /// A place where a CRD has a schema, or a list of them, or something else. Unknown fields are not reported
    /// there, as upstream decodes these types leniently.
    Lenient { items: Option<NodeId> },
}

/// The definition that a schema refers to, by `$ref` or `allOf` with a single `$ref`.
fn reference(schema: &Value) -> Option<&str> {
    let direct = schema.get("$ref").and_then(Value::as_str);
    let direct = direct.or_else(|| match schema.get("allOf")?.as_array()?.as_slice() {
        [only] => only.get("$ref")?.as_str(),
        _ => None,
    });
    direct?.strip_prefix(PREFIX)
}

/// A default that a zero Go value would have anyway is no news.
fn default(schema: &Value) -> Option<Box<Value>> {
    let value = schema.get("default")?;
    let zero = match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    };
    (!zero).then(|| Box::new(value.clone()))
}

fn opaque(kind: ValueKind) -> Node {
    Node { kind, flags: Flags { preserve_unknown: true, ..Flags::default() }, ..Node::default() }
}

impl<'a> Compiler<'a> {
    /// The node of a definition, made at first use.
    fn definition(&mut self, name: &str, depth: usize) -> Result<NodeId, String> {
        if name == OBJECT_META {
            return Ok(meta::root());
        }
        if let Some(known) = self.done.get(name) {
            return Ok(*known);
        }
        let (name, schema) = self.all.get_key_value(name).ok_or_else(|| format!("no definition {name}"))?;
        // Reserved before its fields are compiled: they may refer back to it.
        let id = self.arena.push(Node::default());
        self.done.insert(name, id);
        let props = format!("{CRD_PACKAGE}JSONSchemaProps");
        let node = match (leaf(name), name.strip_prefix(CRD_PACKAGE)) {
            (Some(node), _) => node,
            (None, Some("JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray")) => {
                let from = self.definition(&props, depth + 1)?;
                self.copies.push(Copy { to: id, from, change: Change::Lenient { items: None } });
                return Ok(id);
            }
            (None, Some("JSONSchemaPropsOrArray")) => {
                let from = self.definition(&props, depth + 1)?;
                self.copies.push(Copy { to: id, from, change: Change::Lenient { items: Some(from) } });
                return Ok(id);
            }
            _ => Node { go_name: go_name(name), ..self.node(schema, depth)? },
        };
        if let Some(slot) = self.arena.nodes.get_mut(id as usize) {
            *slot = node;
        }
        Ok(id)
    }

    fn node(&mut self, schema: &'a Value, depth: usize) -> Result<Node, String> {
        let mut node = Node {
            kind: ValueKind::from_name(text(schema, "type")),
            flags: Flags {
                nullable: flag(schema, "nullable"),
                preserve_unknown: flag(schema, "x-kubernetes-preserve-unknown-fields"),
                embedded: flag(schema, "x-kubernetes-embedded-resource"),
                int_or_string: is_int_or_string(schema),
                map_atomic: text(schema, "x-kubernetes-map-type") == "atomic",
                ..Flags::default()
            },
            patch: patch_strategy(schema),
            list: list_kind(schema),
            default: default(schema),
            merge_key: merge_key(schema),
            format: (!text(schema, "format").is_empty()).then(|| text(schema, "format").into()),
            ..Node::default()
        };
        if let Some(fields) = schema.get("properties").and_then(Value::as_object) {
            let mut properties: Vec<(Box<str>, NodeId)> = Vec::with_capacity(fields.len());
            for (name, field) in fields {
                properties.push((Box::from(name.as_str()), self.place(field, depth + 1)?));
            }
            properties.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            node.properties = properties.into();
            node.zeros = crate::zero::read(schema, fields);
        }
        node.items = match schema.get("items") {
            Some(items) => Some(self.place(items, depth + 1)?),
            None => None,
        };
        node.additional = match schema.get("additionalProperties") {
            Some(Value::Bool(true)) => Additional::Any,
            Some(values @ Value::Object(_)) => Additional::Node(self.place(values, depth + 1)?),
            _ => Additional::None,
        };
        Ok(node)
    }

    /// The node for a place inside a definition.
    fn place(&mut self, schema: &'a Value, depth: usize) -> Result<NodeId, String> {
        if depth > MAX_DEPTH {
            return Err("the schema is nested too deeply".to_owned());
        }
        let Some(name) = reference(schema) else {
            let node = self.node(schema, depth)?;
            return Ok(self.arena.push(node));
        };
        let target = self.definition(name, depth)?;
        let changes = list_kind(schema) != ListKind::Atomic
            || schema.get("x-kubernetes-map-type").is_some()
            || schema.get("x-kubernetes-patch-strategy").is_some()
            || merge_key(schema).is_some()
            || default(schema).is_some();
        if !changes || target & crate::node::META_BIT != 0 {
            return Ok(target);
        }
        let copy = self.arena.push(Node::default());
        self.copies.push(Copy { to: copy, from: target, change: Change::Keywords(schema) });
        Ok(copy)
    }

    fn finish(&mut self) {
        for Copy { to, from, change } in std::mem::take(&mut self.copies) {
            let Some(mut node) = self.arena.nodes.get(from as usize).cloned() else { continue };
            match change {
                Change::Keywords(schema) => {
                    if list_kind(schema) != ListKind::Atomic {
                        node.list = list_kind(schema);
                    }
                    node.flags.map_atomic |= text(schema, "x-kubernetes-map-type") == "atomic";
                    if schema.get("x-kubernetes-patch-strategy").is_some() {
                        node.patch = patch_strategy(schema);
                    }
                    node.merge_key = merge_key(schema).or(node.merge_key);
                    node.default = default(schema).or(node.default);
                }
                Change::Lenient { items } => {
                    node.kind = ValueKind::Any;
                    node.items = items;
                    node.flags.quiet = true;
                }
            }
            if let Some(slot) = self.arena.nodes.get_mut(to as usize) {
                *slot = node;
            }
        }
    }
}

/// `io.k8s.api.core.v1.PodSpec` is `v1.PodSpec` in Go.
fn go_name(definition: &str) -> Option<Box<str>> {
    let (before, name) = definition.rsplit_once('.')?;
    let package = before.rsplit('.').next().unwrap_or_default();
    Some(format!("{package}.{name}").into())
}

fn merge_key(schema: &Value) -> Option<Box<str>> {
    let key = text(schema, "x-kubernetes-patch-merge-key");
    (!key.is_empty()).then(|| key.into())
}

fn is_int_or_string(schema: &Value) -> bool {
    flag(schema, "x-kubernetes-int-or-string") || text(schema, "format") == "int-or-string"
}

/// Definitions that are one value, whatever they look like inside.
fn leaf(name: &str) -> Option<Node> {
    let local = name.strip_prefix("io.k8s.apimachinery.pkg.").or_else(|| name.strip_prefix(CRD_PACKAGE))?;
    match local {
        "api.resource.Quantity" => Some(opaque(ValueKind::Any)),
        "apis.meta.v1.Time" | "apis.meta.v1.MicroTime" => Some(Node {
            kind: ValueKind::String,
            format: Some("date-time".into()),
            flags: Flags { nullable: true, ..Flags::default() },
            ..Node::default()
        }),
        "apis.meta.v1.FieldsV1" | "runtime.RawExtension" => Some(opaque(ValueKind::Object)),
        "JSON" => Some(opaque(ValueKind::Any)),
        _ => None,
    }
}
