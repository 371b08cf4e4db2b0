//! The schema of ObjectMeta, one arena for the whole process.
//!
//! Nodes elsewhere point into it with ids that carry [`crate::node::META_BIT`].

use std::sync::LazyLock;

use crate::node::{Additional, Arena, Flags, ListKind, META_BIT, Node, NodeId, PatchStrategy, ValueKind};

static META: LazyLock<(Arena, NodeId)> = LazyLock::new(build);
static NOTHING: LazyLock<Node> = LazyLock::new(Node::default);

/// The node with index `index` of the shared arena.
pub(crate) fn node(index: NodeId) -> &'static Node {
    META.0.nodes.get(index as usize).unwrap_or(&NOTHING)
}

/// The id of ObjectMeta itself.
pub(crate) fn root() -> NodeId {
    META.1 | META_BIT
}

struct Builder {
    arena: Arena,
}

impl Builder {
    fn push(&mut self, node: Node) -> NodeId {
        self.arena.push(node) | META_BIT
    }

    fn leaf(&mut self, kind: ValueKind, format: &str) -> NodeId {
        let format = (!format.is_empty()).then(|| format.into());
        self.push(Node { kind, format, ..Node::default() })
    }

    fn map_of(&mut self, value: NodeId) -> NodeId {
        self.push(Node { kind: ValueKind::Object, additional: Additional::Node(value), ..Node::default() })
    }

    fn object(&mut self, go_name: &str, mut fields: Vec<(&str, NodeId)>, flags: Flags) -> NodeId {
        fields.sort_unstable_by_key(|(name, _)| *name);
        let properties = fields.into_iter().map(|(name, id)| (name.into(), id)).collect();
        let go_name = Some(go_name.into());
        self.push(Node { kind: ValueKind::Object, flags, properties, go_name, ..Node::default() })
    }
}

fn build() -> (Arena, NodeId) {
    let mut b = Builder { arena: Arena::default() };
    let string = b.leaf(ValueKind::String, "");
    let boolean = b.leaf(ValueKind::Boolean, "");
    let int64 = b.leaf(ValueKind::Integer, "int64");
    let time = b.push(Node {
        kind: ValueKind::String,
        format: Some("date-time".into()),
        flags: Flags { nullable: true, ..Flags::default() },
        ..Node::default()
    });
    let strings = b.map_of(string);
    let finalizers = b.push(Node {
        kind: ValueKind::Array,
        list: ListKind::Set,
        items: Some(string),
        patch: PatchStrategy { merge: true, ..PatchStrategy::default() },
        ..Node::default()
    });
    let owner = b.object(
        "v1.OwnerReference",
        vec![
            ("apiVersion", string),
            ("kind", string),
            ("name", string),
            ("uid", string),
            ("controller", boolean),
            ("blockOwnerDeletion", boolean),
        ],
        Flags { map_atomic: true, ..Flags::default() },
    );
    let owners = b.push(Node {
        kind: ValueKind::Array,
        list: ListKind::Map(Box::new(["uid".to_owned()])),
        items: Some(owner),
        patch: PatchStrategy { merge: true, ..PatchStrategy::default() },
        merge_key: Some("uid".into()),
        ..Node::default()
    });
    let opaque = b.push(Node {
        kind: ValueKind::Object,
        flags: Flags { preserve_unknown: true, ..Flags::default() },
        ..Node::default()
    });
    let manager = b.object(
        "v1.ManagedFieldsEntry",
        vec![
            ("manager", string),
            ("operation", string),
            ("apiVersion", string),
            ("time", time),
            ("fieldsType", string),
            ("fieldsV1", opaque),
            ("subresource", string),
        ],
        Flags::default(),
    );
    let managers = b.push(Node { kind: ValueKind::Array, items: Some(manager), ..Node::default() });
    let meta = b.object(
        "v1.ObjectMeta",
        vec![
            ("name", string),
            ("generateName", string),
            ("namespace", string),
            ("selfLink", string),
            ("uid", string),
            ("resourceVersion", string),
            ("generation", int64),
            ("creationTimestamp", time),
            ("deletionTimestamp", time),
            ("deletionGracePeriodSeconds", int64),
            ("labels", strings),
            ("annotations", strings),
            ("ownerReferences", owners),
            ("finalizers", finalizers),
            ("managedFields", managers),
        ],
        Flags::default(),
    );
    (b.arena, meta & !META_BIT)
}
