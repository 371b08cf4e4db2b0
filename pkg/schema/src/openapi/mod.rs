//! OpenAPI documents: what clients learn types from (O-01 to O-18).
//!
//! There is one source for everything: an OpenAPI v3 document for each group and version. For custom resources
//! [`v3_document`] builds it, for built-in ones [`filter_builtin`] cuts what is served out of the recorded document,
//! and [`merge_documents`] joins both where a group has both. [`v2_document`] converts all of them into the one
//! Swagger 2.0 document that older clients read, and [`gnostic`] encodes that as the protobuf message that the oldest
//! read. Everything here is a pure function; who calls caches by what went in.

mod builtin;
mod definition;
pub mod gnostic;
mod operations;
mod v2;

pub use builtin::{Served, ServedSubresource, filter_builtin};
pub use definition::component_name;
pub use v2::v2_document;

use std::fmt::Write as _;

use kcp_apimachinery::{GroupVersion, GroupVersionKind};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512};

/// The media type of an OpenAPI v2 document as protobuf in a response (O-02).
pub const GNOSTIC_V2_MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Where references to components start.
const REF_PREFIX: &str = "#/components/schemas/";

/// A custom resource in one version, as far as its documents need it.
#[derive(Debug, Clone)]
pub struct ResourceDoc<'a> {
    /// The kind.
    pub gvk: GroupVersionKind,
    /// The plural, as in URLs.
    pub plural: &'a str,
    /// The kind of lists.
    pub list_kind: &'a str,
    /// Whether objects are in namespaces.
    pub namespaced: bool,
    /// The verbs that are served, as in discovery; a CRD that is being deleted lacks some (D-06).
    pub verbs: &'a [String],
    /// Whether there is `/status`.
    pub status: bool,
    /// Whether there is `/scale`.
    pub scale: bool,
    /// The `openAPIV3Schema`; `None` when the version has none.
    pub schema: Option<&'a Value>,
    /// The paths that field selectors may use besides name and namespace, as in the CRD (O-16).
    pub selectable_fields: &'a [String],
    /// Whether a strategic merge patch is understood: for built-in types that were imported from elsewhere.
    pub strategic_merge: bool,
}

/// The document of one group and version that custom resources are served in; those of others are left out (O-05, O-06, O-09, O-10, O-14, O-16).
pub fn v3_document(group_version: &GroupVersion, resources: &[ResourceDoc<'_>]) -> Value {
    let mut paths = Map::new();
    let mut schemas = definition::meta_components();
    for resource in resources.iter().filter(|r| r.gvk.group_version() == *group_version) {
        operations::add_paths(resource, &mut paths);
        definition::add_components(resource, &mut schemas);
    }
    document(paths, schemas)
}

fn document(paths: Map<String, Value>, schemas: Map<String, Value>) -> Value {
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "1.36"},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"BearerToken": {
                "type": "apiKey", "in": "header", "name": "authorization",
                "description": "Bearer Token authentication",
            }},
        },
    })
}

/// Joins documents of the same group and version. Where two have a path or a component of the same name the first
/// one's counts, save that the kinds a component stands for are united.
pub fn merge_documents(documents: impl IntoIterator<Item = Value>) -> Value {
    let mut documents = documents.into_iter();
    let Some(mut first) = documents.next() else { return document(Map::new(), Map::new()) };
    for mut next in documents {
        for pointer in ["/paths", "/components/schemas"] {
            let Some(Value::Object(from)) = next.pointer_mut(pointer).map(Value::take) else { continue };
            let Some(Value::Object(into)) = first.pointer_mut(pointer) else { continue };
            for (name, value) in from {
                match into.get_mut(&name) {
                    Some(known) => unite_kinds(known, &value),
                    None => {
                        into.insert(name, value);
                    }
                }
            }
        }
    }
    first
}

/// Adds the kinds that `from` says it stands for to those of `into`.
fn unite_kinds(into: &mut Value, from: &Value) {
    let Some(kinds) = from.get(GVK).and_then(Value::as_array) else { return };
    let Some(known) = into.get_mut(GVK).and_then(Value::as_array_mut) else { return };
    for kind in kinds {
        if !known.contains(kind) {
            known.push(kind.clone());
        }
    }
}

/// The index at `/openapi/v3`: the documents' keys (`api/v1`, `apis/apps/v1`, `version`) with their hashes (O-11).
///
/// The URLs start with `/openapi/v3` even under a `/clusters/` prefix: only then do clients keep their own (O-13).
pub fn v3_index<K: AsRef<str>, H: AsRef<str>>(entries: impl IntoIterator<Item = (K, H)>) -> Value {
    let paths: Map<String, Value> = entries
        .into_iter()
        .map(|(key, hash)| {
            let (key, hash) = (key.as_ref(), hash.as_ref());
            (key.to_owned(), json!({"serverRelativeURL": format!("/openapi/v3/{key}?hash={hash}")}))
        })
        .collect();
    json!({"paths": paths})
}

/// `api/v1` or `apis/<group>/<version>`: the key of a document in the index, and what its paths start with.
pub fn document_key(group_version: &GroupVersion) -> String {
    match group_version.group.as_str() {
        "" => format!("api/{}", group_version.version),
        group => format!("apis/{group}/{}", group_version.version),
    }
}

/// The hash that stands in URLs and ETags: SHA-512 in upper-case hexadecimal (O-04, O-11, D-13).
pub fn content_hash(bytes: &[u8]) -> String {
    Sha512::digest(bytes).iter().fold(String::with_capacity(128), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02X}");
        out
    })
}

const GVK: &str = "x-kubernetes-group-version-kind";

fn gvk_value(gvk: &GroupVersionKind) -> Value {
    json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind})
}

fn reference(component: &str) -> Value {
    json!({"$ref": format!("{REF_PREFIX}{component}")})
}

#[cfg(test)]
mod tests;
