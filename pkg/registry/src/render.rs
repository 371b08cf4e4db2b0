//! From stored bytes to the bytes of an answer.
//!
//! Nearly always they are the same, and then nothing is copied. Another version of the type whose conversion is `None`
//! differs in its first line; objects that were written under another schema, and kinds that convert, are parsed.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kcp_storage::Revision;
use serde_json::Value;

use crate::{
    encode, scan,
    types::{ResourceInfo, TypeTable},
};

/// Writes the objects of one resource in one version.
#[derive(Debug, Clone)]
pub(crate) struct Renderer {
    info: Arc<ResourceInfo>,
    /// `{"kind":K,"apiVersion":V,` of the version asked for.
    head: Bytes,
    /// The same of the stored version.
    stored: Bytes,
    fixup_before: Revision,
    /// Objects carry the annotation of their logical cluster: in the wildcard.
    annotate: bool,
}

impl Renderer {
    /// For `info`, as the table of its logical cluster has it.
    pub(crate) fn new(info: &Arc<ResourceInfo>, types: &TypeTable) -> Self {
        let heads = info.heads();
        let fixup_before = types.definition(&info.storage.group_resource).map_or(0, |d| d.fixup_before);
        Self {
            info: Arc::clone(info),
            head: heads.shown.clone(),
            stored: heads.stored.clone(),
            fixup_before,
            annotate: false,
        }
    }

    /// For the wildcard: schemas of single logical clusters do not matter, their names are shown.
    pub(crate) fn wildcard(info: &Arc<ResourceInfo>, types: &TypeTable) -> Self {
        Self { annotate: true, fixup_before: 0, ..Self::new(info, types) }
    }

    /// The resource.
    pub(crate) fn info(&self) -> &Arc<ResourceInfo> {
        &self.info
    }

    /// Whether the stored bytes are the answer.
    pub(crate) fn is_plain(&self, revision: Revision, bytes: &[u8]) -> bool {
        !self.annotate
            && !self.info.strategy.converts()
            && revision >= self.fixup_before
            && bytes.starts_with(&self.head)
    }

    /// The bytes of the answer for the stored `bytes`, written at `revision`.
    pub(crate) fn render(&self, cluster: &str, revision: Revision, bytes: &Bytes) -> Bytes {
        if self.is_plain(revision, bytes) {
            return bytes.clone();
        }
        let out = if self.info.strategy.converts() || revision < self.fixup_before {
            self.rewrite(revision, bytes)
        } else if bytes.starts_with(&self.head) {
            bytes.clone()
        } else if bytes.starts_with(&self.stored) && !self.info.reads_by_schema {
            let mut out = BytesMut::with_capacity(bytes.len() + 16);
            out.extend_from_slice(&self.head);
            out.extend_from_slice(bytes.get(self.stored.len()..).unwrap_or_default());
            out.freeze()
        } else {
            self.rewrite(revision, bytes)
        };
        if self.annotate { annotated(&out, cluster) } else { out }
    }

    fn rewrite(&self, revision: Revision, bytes: &Bytes) -> Bytes {
        let tree = self.tree(revision, bytes);
        let shown = kcp_apimachinery::object::resource_version(&tree).parse().unwrap_or(0);
        encode::encode_at(&tree, shown)
    }

    /// The object in the version asked for, as a tree. Bytes that are no JSON, which the store never holds, give an
    /// empty object.
    pub(crate) fn tree(&self, revision: Revision, bytes: &[u8]) -> Value {
        let mut object: Value = serde_json::from_slice(bytes).unwrap_or_default();
        self.convert(&mut object, revision, bytes);
        object
    }

    fn convert(&self, object: &mut Value, revision: Revision, bytes: &[u8]) {
        let foreign = !bytes.starts_with(&self.head);
        if self.info.strategy.converts() {
            self.info.strategy.serve_form(object);
        }
        if foreign && let Some(map) = object.as_object_mut() {
            map.insert("apiVersion".into(), self.info.gvk.api_version().into());
        }
        if self.info.custom && (revision < self.fixup_before || (foreign && self.info.reads_by_schema)) {
            let schema = self.info.schema.get();
            let managed = object.pointer_mut("/metadata/managedFields").map(Value::take);
            schema.prune(object);
            schema.default(object);
            if let (Some(managed), Some(meta)) = (managed, object.get_mut("metadata").and_then(Value::as_object_mut)) {
                meta.insert("managedFields".into(), managed);
            }
        }
    }
}

/// Adds the annotation that tells the objects of a wildcard list apart (LC-05), in place of one that the object claims
/// for itself. Annotations are the first member of the metadata, because keys are sorted.
fn annotated(bytes: &Bytes, cluster: &str) -> Bytes {
    const META: &[u8] = b"\"metadata\":{";
    const ANNOTATIONS: &[u8] = b"\"annotations\":";
    let Some(at) = bytes.windows(META.len()).position(|w| w == META).map(|at| at + META.len()) else {
        return bytes.clone();
    };
    let (before, after) = bytes.split_at(at);
    let key = format!("\"{}\":", kcp_apis::core::CLUSTER_ANNOTATION);
    let mut out = BytesMut::with_capacity(bytes.len() + key.len() + cluster.len() + ANNOTATIONS.len() + 5);
    for part in [before, ANNOTATIONS, b"{", key.as_bytes(), b"\"", cluster.as_bytes(), b"\""] {
        out.extend_from_slice(part);
    }
    match after.strip_prefix(ANNOTATIONS) {
        Some(rest) if memchr::memmem::find(rest, key.as_bytes()).is_some() => {
            let mut end = 0;
            if let Some(own) = scan::value(rest) {
                let others = scan::entries(own).into_iter().flatten();
                for (name, value) in others.filter(|(name, _)| *name != kcp_apis::core::CLUSTER_ANNOTATION.as_bytes()) {
                    for part in [b",\"", name, b"\":", value] {
                        out.extend_from_slice(part);
                    }
                }
                end = own.len();
            }
            out.extend_from_slice(b"}");
            out.extend_from_slice(rest.get(end..).unwrap_or_default());
        }
        Some(rest) => {
            let rest = rest.strip_prefix(b"{").unwrap_or(rest);
            if !rest.starts_with(b"}") {
                out.extend_from_slice(b",");
            }
            out.extend_from_slice(rest);
        }
        None => {
            out.extend_from_slice(if after.starts_with(b"}") { b"}" } else { b"}," });
            out.extend_from_slice(after);
        }
    }
    out.freeze()
}

/// The object in a watch event's line.
pub(crate) fn framed(kind: &str, frame: &Bytes) -> Bytes {
    frame.slice(FRAME_HEAD.len() + kind.len() + FRAME_MIDDLE.len()..frame.len() - FRAME_TAIL.len())
}

const FRAME_HEAD: &[u8] = b"{\"type\":\"";
const FRAME_MIDDLE: &[u8] = b"\",\"object\":";
const FRAME_TAIL: &[u8] = b"}\n";

/// The whole line of a watch event.
pub(crate) fn frame(kind: &str, object: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(object.len() + kind.len() + 24);
    for part in [FRAME_HEAD, kind.as_bytes(), FRAME_MIDDLE, object, FRAME_TAIL] {
        out.extend_from_slice(part);
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_is_annotated_lc05() {
        for (object, want) in [
            (
                r#"{"kind":"K","metadata":{"name":"x"}}"#,
                r#"{"kind":"K","metadata":{"annotations":{"kcp.io/cluster":"c"},"name":"x"}}"#,
            ),
            (
                r#"{"kind":"K","metadata":{"annotations":{"a":"b"},"name":"x"}}"#,
                r#"{"kind":"K","metadata":{"annotations":{"kcp.io/cluster":"c","a":"b"},"name":"x"}}"#,
            ),
            (
                r#"{"kind":"K","metadata":{"annotations":{}}}"#,
                r#"{"kind":"K","metadata":{"annotations":{"kcp.io/cluster":"c"}}}"#,
            ),
            // What an object says of its own place does not count.
            (
                r#"{"kind":"K","metadata":{"annotations":{"kcp.io/cluster":"x"},"name":"x"},"a":"}"}"#,
                r#"{"kind":"K","metadata":{"annotations":{"kcp.io/cluster":"c"},"name":"x"},"a":"}"}"#,
            ),
            (
                r#"{"kind":"K","metadata":{"annotations":{"kcp.io/cluster":"x","z":"}\""}}}"#,
                r#"{"kind":"K","metadata":{"annotations":{"kcp.io/cluster":"c","z":"}\""}}}"#,
            ),
            (
                r#"{"kind":"K","metadata":{"annotations":{"a":"b","kcp.io/cluster":"x\",","z":""}}}"#,
                r#"{"kind":"K","metadata":{"annotations":{"kcp.io/cluster":"c","a":"b","z":""}}}"#,
            ),
            (
                r#"{"kind":"K","metadata":{"annotations":{"a":"b","kcp.io/cluster":"x"},"name":"x"}}"#,
                r#"{"kind":"K","metadata":{"annotations":{"kcp.io/cluster":"c","a":"b"},"name":"x"}}"#,
            ),
            // Elsewhere it is anybody's.
            (
                r#"{"kind":"K","metadata":{"annotations":{"a":"\"kcp.io/cluster\":\"x\""}},"data":{"kcp.io/cluster":"x"}}"#,
                r#"{"kind":"K","metadata":{"annotations":{"kcp.io/cluster":"c","a":"\"kcp.io/cluster\":\"x\""}},"data":{"kcp.io/cluster":"x"}}"#,
            ),
            (
                r#"{"kind":"K","metadata":{"labels":{"kcp.io/cluster":"x"}}}"#,
                r#"{"kind":"K","metadata":{"annotations":{"kcp.io/cluster":"c"},"labels":{"kcp.io/cluster":"x"}}}"#,
            ),
            (r#"{"kind":"K","metadata":{}}"#, r#"{"kind":"K","metadata":{"annotations":{"kcp.io/cluster":"c"}}}"#),
        ] {
            assert_eq!(annotated(&Bytes::from(object), "c"), want);
        }
    }

    #[test]
    fn frames_are_lines() {
        let line = frame("ADDED", b"{\"a\":1}");
        assert_eq!(line, "{\"type\":\"ADDED\",\"object\":{\"a\":1}}\n");
        assert_eq!(framed("ADDED", &line), "{\"a\":1}");
    }
}
