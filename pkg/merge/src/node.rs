//! Schemas as the merge sees them: what a value is (map, scalar or list), and how its parts are told apart.
//!
//! Wraps [`NodeRef`] so that what is unknown has a form too: deduced values have granular maps and atomic lists,
//! opaque ones are atomic altogether (F-12). Unknown fields are allowed below a node that preserves them.

pub(crate) use kcp_schema::Zero;
use kcp_schema::{ListType, NodeRef, ValueKind};
use serde_json::Value;

/// The value is, or may be, a map.
pub(crate) const MAP: u8 = 1;
/// The value is, or may be, a scalar.
pub(crate) const SCALAR: u8 = 2;
/// The value is, or may be, a list.
pub(crate) const LIST: u8 = 4;
const ANY: u8 = MAP | SCALAR | LIST;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Node<'a> {
    Typed { node: NodeRef<'a>, preserve: bool },
    Deduced,
    Opaque,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScalarKind {
    Untyped,
    Numeric,
    Text,
    Boolean,
}

/// What one value is treated as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Map,
    Scalar,
    List,
}

impl<'a> Node<'a> {
    pub(crate) fn root(node: NodeRef<'a>) -> Self {
        Self::Typed { node, preserve: node.preserves_unknown() }
    }

    fn below(node: NodeRef<'a>, preserve: bool) -> Self {
        Self::Typed { node, preserve: preserve || node.preserves_unknown() }
    }

    /// What values are allowed here.
    fn allowed(self) -> u8 {
        match self {
            Self::Deduced | Self::Opaque => ANY,
            Self::Typed { node, .. } => match node.value_kind() {
                ValueKind::Any => ANY,
                ValueKind::Object => MAP,
                ValueKind::Array => LIST,
                ValueKind::String | ValueKind::Integer | ValueKind::Number | ValueKind::Boolean => SCALAR,
            },
        }
    }

    /// What `value` is here: one form when the value has an allowed one, otherwise all that are allowed.
    pub(crate) fn forms(self, value: Option<&Value>) -> u8 {
        let allowed = self.allowed();
        let form = match value {
            None | Some(Value::Null) => 0,
            Some(Value::Object(_)) => MAP,
            Some(Value::Array(_)) => LIST,
            Some(_) => SCALAR,
        };
        if allowed & form != 0 { form } else { allowed }
    }

    /// What a value of these forms is treated as: maps come before scalars, scalars before lists.
    pub(crate) fn shape(forms: u8) -> Shape {
        if forms & MAP != 0 {
            Shape::Map
        } else if forms & SCALAR != 0 {
            Shape::Scalar
        } else {
            Shape::List
        }
    }

    /// The shape of one value here.
    pub(crate) fn shape_of(self, value: &Value) -> Shape {
        Self::shape(self.forms(Some(value)))
    }

    pub(crate) fn scalar(self) -> ScalarKind {
        match self {
            Self::Deduced | Self::Opaque => ScalarKind::Untyped,
            Self::Typed { node, .. } => match node.value_kind() {
                ValueKind::Integer | ValueKind::Number => ScalarKind::Numeric,
                ValueKind::Boolean => ScalarKind::Boolean,
                ValueKind::String if matches!(node.format(), "" | "byte") && !node.is_int_or_string() => {
                    ScalarKind::Text
                }
                _ => ScalarKind::Untyped,
            },
        }
    }

    /// Whether a map here is one value.
    pub(crate) fn map_atomic(self) -> bool {
        match self {
            Self::Typed { node, .. } => node.map_atomic(),
            Self::Deduced => false,
            Self::Opaque => true,
        }
    }

    /// Whether `name` is a field that the schema names.
    pub(crate) fn declares(self, name: &str) -> bool {
        matches!(self, Self::Typed { node, .. } if node.property(name).is_some())
    }

    /// Whether nothing at all is known about the fields of a map here.
    pub(crate) fn is_free_map(self) -> bool {
        match self {
            Self::Deduced => true,
            Self::Opaque => false,
            Self::Typed { node, .. } => node.properties().next().is_none() && node.additional().is_none(),
        }
    }

    /// The field `name` of a map; `None` when the schema forbids it.
    pub(crate) fn known_child(self, name: &str) -> Option<Node<'a>> {
        let (node, preserve) = match self {
            Self::Deduced => return Some(Self::Deduced),
            Self::Opaque => return Some(Self::Opaque),
            Self::Typed { node, preserve } => (node, preserve),
        };
        if let Some(child) = node.property(name).or_else(|| node.additional()) {
            return Some(Self::below(child, preserve));
        }
        let free = preserve
            || node.properties().next().is_none()
            || (node.is_embedded() && matches!(name, "apiVersion" | "kind" | "metadata"));
        free.then_some(Self::Deduced)
    }

    /// The field `name` of a map; deduced when the schema does not know it.
    pub(crate) fn child(self, name: &str) -> Node<'a> {
        self.known_child(name).unwrap_or(Self::Deduced)
    }

    /// The items of a list.
    pub(crate) fn item(self) -> Node<'a> {
        match self {
            Self::Typed { node, preserve } => node.items().map_or(Self::Opaque, |n| Self::below(n, preserve)),
            Self::Deduced | Self::Opaque => Self::Opaque,
        }
    }

    /// How the items of a list are told apart.
    pub(crate) fn list(self) -> ListType<'a> {
        match self {
            Self::Typed { node, .. } => node.list_type(),
            Self::Deduced | Self::Opaque => ListType::Atomic,
        }
    }

    /// The value that an absent key field of a list's items stands for.
    pub(crate) fn key_default(self, name: &str) -> Option<&'a Value> {
        match self {
            Self::Typed { node, .. } => node.property(name)?.default_value(),
            Self::Deduced | Self::Opaque => None,
        }
    }

    /// Whether the value is a container that is owned as a whole.
    pub(crate) fn is_atomic_container(self) -> bool {
        match Self::shape(self.forms(None)) {
            Shape::Map => self.map_atomic(),
            Shape::List => self.list() == ListType::Atomic,
            Shape::Scalar => false,
        }
    }

    /// What the Go type behind a built-in type holds in field `name` when nobody has set it.
    pub(crate) fn zero(self, name: &str) -> Option<Zero<'a>> {
        match self {
            Self::Typed { node, .. } => node.zero(name),
            Self::Deduced | Self::Opaque => None,
        }
    }

    /// The schema node, where there is one.
    pub(crate) fn typed(self) -> Option<NodeRef<'a>> {
        match self {
            Self::Typed { node, .. } => Some(node),
            Self::Deduced | Self::Opaque => None,
        }
    }
}
