//! Compiled schemas: an arena of nodes and the handle to walk it.
//!
//! Invariants: node ids are indices into one arena, except that ids with `META_BIT` set point into the one
//! shared arena of ObjectMeta, so that a thousand CRDs do not hold a thousand copies of it. Properties are
//! sorted by name. A node never changes after compilation; recursion is an id that occurs below itself.

use std::sync::Arc;

use serde_json::Value;

use crate::compile::meta;
use crate::validate::rules::Rules;
use crate::zero::ZeroKind;

/// How deep any walk goes. JSON parsers stop at 128 levels; deeper trees are not of this world.
pub const MAX_DEPTH: usize = 160;

/// So many properties are faster looked through than searched.
const FEW: usize = 16;

/// Ids with this bit belong to the shared arena of ObjectMeta.
pub(crate) const META_BIT: u32 = 1 << 31;

pub(crate) type NodeId = u32;

/// The JSON type that a node demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum ValueKind {
    /// No demand (also int-or-string).
    #[default]
    Any,
    /// A map.
    Object,
    /// A list.
    Array,
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A truth value.
    Boolean,
}

impl ValueKind {
    /// The name in OpenAPI; empty for [`ValueKind::Any`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "",
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    /// The reverse of [`ValueKind::name`]; unknown names mean [`ValueKind::Any`].
    pub fn from_name(name: &str) -> Self {
        match name {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => Self::Any,
        }
    }
}

/// How the items of a list are told apart (`x-kubernetes-list-type`, F-12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListType<'a> {
    /// The list is one value.
    Atomic,
    /// Items are their own keys.
    Set,
    /// Items are maps, told apart by these fields.
    Map(&'a [String]),
}

/// What a strategic merge patch does with a field (`x-kubernetes-patch-strategy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PatchStrategy {
    /// Lists are merged, by key or as sets.
    pub merge: bool,
    /// Keys of the map that the patch does not name in `$retainKeys` go away.
    pub retain_keys: bool,
    /// The value is replaced as a whole.
    pub replace: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum ListKind {
    #[default]
    Atomic,
    Set,
    Map(Box<[String]>),
}

/// What is known about the values of a map beside its properties.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Additional {
    /// Unknown keys are not allowed (pruned).
    #[default]
    None,
    /// `additionalProperties: true`: keys stay, nothing is known about their values.
    Any,
    /// Values follow this node.
    Node(NodeId),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) nullable: bool,
    pub(crate) preserve_unknown: bool,
    pub(crate) embedded: bool,
    pub(crate) int_or_string: bool,
    pub(crate) map_atomic: bool,
    /// The schema names a list type, if only `atomic`; lists without one correlate by index.
    pub(crate) list_declared: bool,
    /// Unknown fields below are dropped but not reported (upstream decodes these leniently).
    pub(crate) quiet: bool,
    /// The node or one below has a default.
    pub(crate) defaults_below: bool,
    /// The node or one below is a set, a map list or an embedded resource.
    pub(crate) lists_below: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    pub(crate) kind: ValueKind,
    pub(crate) flags: Flags,
    pub(crate) patch: PatchStrategy,
    pub(crate) list: ListKind,
    pub(crate) additional: Additional,
    pub(crate) items: Option<NodeId>,
    pub(crate) properties: Box<[(Box<str>, NodeId)]>,
    /// What fields of a built-in type hold that nobody set, sorted by name.
    pub(crate) zeros: Box<[(Box<str>, ZeroKind)]>,
    pub(crate) default: Option<Box<Value>>,
    pub(crate) merge_key: Option<Box<str>>,
    pub(crate) format: Option<Box<str>>,
    /// The Go type behind a built-in definition: `v1.PodSpec`.
    pub(crate) go_name: Option<Box<str>>,
    pub(crate) rules: Option<Box<Rules>>,
}

#[derive(Debug, Default)]
pub(crate) struct Arena {
    pub(crate) nodes: Vec<Node>,
}

impl Arena {
    pub(crate) fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        (self.nodes.len() - 1) as NodeId
    }
}

/// Where a schema comes from; it decides how objects of it are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Custom,
    Builtin,
    Untyped,
}

/// A compiled schema of one type.
#[derive(Debug)]
pub struct Schema {
    pub(crate) arena: Arc<Arena>,
    pub(crate) root: NodeId,
    pub(crate) origin: Origin,
    pub(crate) hash: [u8; 32],
    pub(crate) has_cel_rules: bool,
}

impl Schema {
    /// The node of the object itself.
    pub fn root(&self) -> NodeRef<'_> {
        NodeRef { arena: &self.arena, id: self.root }
    }

    /// A hash of what the schema was compiled from: equal schemas have equal hashes.
    pub fn content_hash(&self) -> [u8; 32] {
        self.hash
    }

    /// How many nodes the schema's arena has (shared by all types compiled together).
    pub fn node_count(&self) -> usize {
        self.arena.nodes.len()
    }
}

/// A handle to a node of a [`Schema`].
///
/// Where nothing is known about a field, navigation answers `None`: such values are treated as deduced, their
/// maps granular and their lists atomic (F-12).
#[derive(Clone, Copy)]
pub struct NodeRef<'a> {
    pub(crate) arena: &'a Arena,
    pub(crate) id: NodeId,
}

impl std::fmt::Debug for NodeRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NodeRef({}, {:?})", self.id, self.value_kind())
    }
}

impl<'a> NodeRef<'a> {
    pub(crate) fn node(self) -> &'a Node {
        if self.id & META_BIT != 0 { meta::node(self.id & !META_BIT) } else { &self.arena.nodes[self.id as usize] }
    }

    pub(crate) fn at(self, id: NodeId) -> NodeRef<'a> {
        NodeRef { arena: self.arena, id }
    }

    /// Whether the node belongs to the ObjectMeta that every object has.
    pub fn is_meta(self) -> bool {
        self.id & META_BIT != 0
    }

    /// A number that identifies the node within its schema, for caches and cycle checks.
    pub fn id(self) -> u32 {
        self.id
    }

    /// The node of field `name`: a property of that name, else the map's value schema.
    pub fn field(self, name: &str) -> Option<NodeRef<'a>> {
        self.property(name).or_else(|| self.additional())
    }

    /// The node of the named property only.
    pub fn property(self, name: &str) -> Option<NodeRef<'a>> {
        let properties = &self.node().properties;
        let found = if properties.len() <= FEW {
            // Most differ in length already.
            properties.iter().find(|(key, _)| **key == *name)
        } else {
            properties.binary_search_by(|(key, _)| (**key).cmp(name)).ok().and_then(|found| properties.get(found))
        };
        found.map(|(_, id)| self.at(*id))
    }

    /// The named properties, sorted by name.
    pub fn properties(self) -> impl Iterator<Item = (&'a str, NodeRef<'a>)> {
        self.node().properties.iter().map(move |(name, id)| (&**name, self.at(*id)))
    }

    /// The node of a map's values.
    pub fn additional(self) -> Option<NodeRef<'a>> {
        match self.node().additional {
            Additional::Node(id) => Some(self.at(id)),
            Additional::None | Additional::Any => None,
        }
    }

    /// The node of a list's items.
    pub fn items(self) -> Option<NodeRef<'a>> {
        self.node().items.map(|id| self.at(id))
    }

    /// How items of this list are told apart; atomic unless said otherwise.
    pub fn list_type(self) -> ListType<'a> {
        match &self.node().list {
            ListKind::Atomic => ListType::Atomic,
            ListKind::Set => ListType::Set,
            ListKind::Map(keys) => ListType::Map(keys),
        }
    }

    /// Whether the map is one value (`x-kubernetes-map-type: atomic`).
    pub fn map_atomic(self) -> bool {
        self.node().flags.map_atomic
    }

    /// Whether fields without a schema are kept.
    pub fn preserves_unknown(self) -> bool {
        self.node().flags.preserve_unknown
    }

    /// Whether the value is an object with its own apiVersion, kind and metadata.
    pub fn is_embedded(self) -> bool {
        self.node().flags.embedded
    }

    /// Whether both integers and texts are allowed.
    pub fn is_int_or_string(self) -> bool {
        self.node().flags.int_or_string
    }

    /// Whether null is a value here.
    pub fn nullable(self) -> bool {
        self.node().flags.nullable
    }

    /// The value that an absent field gets. Zero values of built-in types (`""`, `{}`, `0`) are not kept.
    pub fn default_value(self) -> Option<&'a Value> {
        self.node().default.as_deref()
    }

    /// The field that tells items apart in a strategic merge patch.
    pub fn merge_key(self) -> Option<&'a str> {
        self.node().merge_key.as_deref()
    }

    /// What a strategic merge patch does here.
    pub fn patch_strategy(self) -> PatchStrategy {
        self.node().patch
    }

    /// The OpenAPI name of the type; empty when any is allowed.
    pub fn type_name(self) -> &'static str {
        self.node().kind.name()
    }

    /// The JSON type demanded here.
    pub fn value_kind(self) -> ValueKind {
        self.node().kind
    }

    /// The OpenAPI `format`; empty when there is none.
    pub fn format(self) -> &'a str {
        self.node().format.as_deref().unwrap_or_default()
    }
}
