//! Tables and bare metadata, cut out of or computed from stored objects (P-01 to P-10).

use std::sync::LazyLock;

use bytes::Bytes;
use kcp_apimachinery::{Status, status::reason, time::Timestamp};
use kcp_registry::{Columns, ListMeta, ResourceInfo, builtin::custom};
use serde_json::{Value, json};

use crate::negotiate::MetaVersion;

/// How much of the object a row carries (P-03).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    Metadata,
    Object,
}

impl Include {
    /// Reads `includeObject`.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Status> {
        match text.unwrap_or_default() {
            "" | "Metadata" => Ok(Self::Metadata),
            "None" => Ok(Self::None),
            "Object" => Ok(Self::Object),
            other => Err(Status::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {}: must be 'Metadata', 'Object', 'None', or empty",
                kcp_apimachinery::field::go_quote(other)
            ))),
        }
    }
}

/// The refusal of a form that does not fit the answer (P-08). `list` says whether the answer is a list.
pub(crate) fn wrong_form(form: &str, info: &ResourceInfo, list: bool) -> Status {
    let kind = if info.custom {
        if list { "*unstructured.UnstructuredList".to_owned() } else { "*unstructured.Unstructured".to_owned() }
    } else {
        let package = match info.gvk.group.split('.').next() {
            None | Some("") => "core",
            Some(first) => first,
        };
        format!("*{package}.{}", if list { &info.list_kind } else { &info.gvk.kind })
    };
    let text = format!(
        "you requested {form}, but the requested object is {} ({kind})",
        if list { "a list" } else { "not a list" }
    );
    Status::failure(406, reason::NOT_ACCEPTABLE, text)
}

/// The `metadata` object of an object's JSON, without parsing the rest. Stored objects have it right after their kind.
pub(crate) fn metadata_of(object: &[u8]) -> Option<&[u8]> {
    let mut at = skip_space(object, 0);
    if object.get(at) != Some(&b'{') {
        return None;
    }
    at += 1;
    loop {
        at = skip_space(object, at);
        if object.get(at) == Some(&b',') {
            at = skip_space(object, at + 1);
        }
        let key_end = value_end(object, at)?;
        let key = object.get(at..key_end)?;
        at = skip_space(object, key_end);
        if object.get(at) != Some(&b':') {
            return None;
        }
        at = skip_space(object, at + 1);
        let end = value_end(object, at)?;
        if key == b"\"metadata\"" {
            return object.get(at..end);
        }
        at = end;
    }
}

fn skip_space(json: &[u8], mut at: usize) -> usize {
    while json.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// The end of the value that starts at `start`.
fn value_end(json: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    let mut depth = 0usize;
    loop {
        match *json.get(at)? {
            b'"' => {
                at += 1;
                loop {
                    match *json.get(at)? {
                        b'\\' => at += 2,
                        b'"' => break,
                        _ => at += 1,
                    }
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return Some(at),
            _ => {
                at += 1;
                continue;
            }
        }
        at += 1;
        // A text, object or array at the outermost level ends here.
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Writes the PartialObjectMetadata of an object.
pub(crate) fn write_partial(out: &mut Vec<u8>, object: &[u8], version: MetaVersion) {
    out.extend_from_slice(br#"{"kind":"PartialObjectMetadata","apiVersion":""#);
    out.extend_from_slice(version.api_version().as_bytes());
    out.extend_from_slice(br#"","metadata":"#);
    out.extend_from_slice(metadata_of(object).unwrap_or(b"{}"));
    out.push(b'}');
}

/// Writes tables of one resource.
#[derive(Debug)]
pub(crate) struct Tables {
    columns: Columns,
    version: MetaVersion,
    include: Include,
}

impl Tables {
    /// Tables of a resource, or of its subresource.
    pub(crate) fn new(info: &ResourceInfo, subresource: &str, version: MetaVersion, include: Include) -> Self {
        let columns = if subresource == "scale" { scale_columns() } else { info.columns.clone() };
        Self { columns, version, include }
    }

    /// Everything before the first row.
    pub(crate) fn write_head(&self, out: &mut Vec<u8>, meta: &ListMeta, columns: bool) {
        out.extend_from_slice(br#"{"kind":"Table","apiVersion":""#);
        out.extend_from_slice(self.version.api_version().as_bytes());
        out.extend_from_slice(br#"","metadata":"#);
        write_list_meta(out, meta);
        out.extend_from_slice(br#","columnDefinitions":"#);
        if columns {
            write_json(out, &*self.columns.definitions);
        } else {
            out.extend_from_slice(b"null");
        }
        out.extend_from_slice(br#","rows":["#);
    }

    /// One row, without a comma.
    pub(crate) fn write_row(&self, out: &mut Vec<u8>, object: &[u8], now: Timestamp) -> Result<(), Status> {
        let value: Value = serde_json::from_slice(object).map_err(Status::internal)?;
        out.extend_from_slice(br#"{"cells":"#);
        write_json(out, &self.columns.printer.cells(&value, now));
        out.extend_from_slice(br#","object":"#);
        match self.include {
            Include::None => out.extend_from_slice(b"null"),
            Include::Metadata => write_partial(out, object, self.version),
            Include::Object => out.extend_from_slice(object),
        }
        out.push(b'}');
        Ok(())
    }

    /// The table of one object.
    pub(crate) fn single(&self, object: &[u8], now: Timestamp, columns: bool) -> Result<Bytes, Status> {
        let mut out = Vec::with_capacity(object.len() + 1024);
        let resource_version = metadata_of(object).and_then(revision_of).unwrap_or_default();
        self.write_head(&mut out, &ListMeta { resource_version, ..ListMeta::default() }, columns);
        self.write_row(&mut out, object, now)?;
        out.extend_from_slice(b"]}");
        Ok(out.into())
    }
}

/// The columns of `autoscaling/v1 Scale`, whatever it scales (B-10).
fn scale_columns() -> Columns {
    static COLUMNS: LazyLock<Columns> = LazyLock::new(|| {
        // What a definition without columns gets is a name and an age.
        let plain = custom::columns(&Value::Null);
        let age = plain.definitions.last().map(|c| c.description.clone()).unwrap_or_default();
        custom::columns(&json!({"additionalPrinterColumns": [
            {"name": "Desired", "type": "integer", "jsonPath": ".spec.replicas", "description": "Number of desired replicas"},
            {"name": "Available", "type": "integer", "jsonPath": ".status.replicas", "description": "Number of actual replicas"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": age},
        ]}))
    });
    COLUMNS.clone()
}

/// `resourceVersion` in a metadata object, as a number.
fn revision_of(metadata: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Meta<'a> {
        #[serde(borrow, default)]
        resource_version: std::borrow::Cow<'a, str>,
    }
    serde_json::from_slice::<Meta<'_>>(metadata).ok()?.resource_version.parse().ok()
}

/// The `metadata` of a list.
pub(crate) fn write_list_meta(out: &mut Vec<u8>, meta: &ListMeta) {
    out.push(b'{');
    if meta.resource_version > 0 {
        out.extend_from_slice(format!(r#""resourceVersion":"{}""#, meta.resource_version).as_bytes());
    }
    if !meta.continue_token.is_empty() {
        out.extend_from_slice(br#","continue":"#);
        write_json(out, &meta.continue_token);
    }
    if let Some(left) = meta.remaining {
        out.extend_from_slice(format!(r#","remainingItemCount":{left}"#).as_bytes());
    }
    out.push(b'}');
}

fn write_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Writing a tree or a text to memory cannot fail.
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_cut_out() {
        // P-08
        for (object, want) in [
            (
                r#"{"kind":"A","apiVersion":"v1","metadata":{"name":"x","labels":{"a":"}\"{"}},"data":{"metadata":{}}}"#,
                Some(r#"{"name":"x","labels":{"a":"}\"{"}}"#),
            ),
            (
                r#"{"data":{"metadata":{"no":1}},"list":[1,[2],{"a":3}],"n":12,"b":true , "metadata" : {"yes":1} }"#,
                Some(r#"{"yes":1}"#),
            ),
            (r#"{"kind":"A"}"#, None),
            (r#"{"kind":"A","metadata":{"a"#, None),
            ("[]", None),
            ("", None),
            (r#"{"a":"\"#, None),
        ] {
            assert_eq!(metadata_of(object.as_bytes()).map(|b| std::str::from_utf8(b).unwrap()), want, "{object}");
        }
        assert_eq!(revision_of(br#"{"name":"x","resourceVersion":"12"}"#), Some(12));
    }

    #[test]
    fn how_much_of_the_object() {
        // P-03
        assert_eq!(Include::parse(None), Ok(Include::Metadata));
        assert_eq!(Include::parse(Some("None")), Ok(Include::None));
        assert_eq!(Include::parse(Some("Everything")).unwrap_err().code, 400);
    }
}
