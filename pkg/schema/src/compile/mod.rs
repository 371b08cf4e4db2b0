//! From OpenAPI schemas to arenas of nodes.
//!
//! `custom` compiles the schema of a CRD version, `builtin` whole OpenAPI v3 documents. Both read the JSON
//! leniently: keywords of a wrong type are as if absent, because the validation of CRDs refuses them before.

pub(crate) mod builtin;
pub(crate) mod custom;
pub(crate) mod meta;

pub use builtin::Builtins;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::node::{ListKind, NodeRef, PatchStrategy};

pub(crate) fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool).unwrap_or(false)
}

pub(crate) fn text<'a>(schema: &'a Value, name: &str) -> &'a str {
    schema.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn list_kind(schema: &Value) -> ListKind {
    match text(schema, "x-kubernetes-list-type") {
        "set" => ListKind::Set,
        "map" => {
            let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
            let keys: Box<[String]> = keys.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            if keys.is_empty() { ListKind::Atomic } else { ListKind::Map(keys) }
        }
        _ => ListKind::Atomic,
    }
}

pub(crate) fn patch_strategy(schema: &Value) -> PatchStrategy {
    let mut strategy = PatchStrategy::default();
    for word in text(schema, "x-kubernetes-patch-strategy").split(',') {
        match word.trim() {
            "merge" => strategy.merge = true,
            "retainKeys" => strategy.retain_keys = true,
            "replace" => strategy.replace = true,
            _ => {}
        }
    }
    strategy
}

pub(crate) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Whether `node` itself makes defaulting, or checks of lists and embedded objects, necessary.
pub(crate) fn below(node: NodeRef<'_>) -> (bool, bool) {
    let data = node.node();
    (
        data.default.is_some() || data.flags.defaults_below,
        data.list != ListKind::Atomic || data.flags.embedded || data.flags.lists_below,
    )
}
