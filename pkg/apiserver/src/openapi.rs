//! OpenAPI over HTTP (O-01 to O-18): the index and one document for each group and version, and the old document of
//! everything, as JSON and as the protobuf message that old kubectls want.
//!
//! A document is keyed by what it is made of, not by the logical cluster: those of the built-in groups are made once,
//! whatever CRDs a logical cluster has. The hash in the index is derived from that key, so the index costs nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use kcp_apimachinery::{GroupVersion, Status, status::reason};
use kcp_registry::{ResourceInfo, TypeTable, VersionInfo};
use kcp_schema::openapi::{self, ResourceDoc, Served, ServedSubresource};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256, Sha512};

use crate::{
    gate::Request,
    negotiate,
    respond::{self, Reply},
    routes::Handler,
    server::ApiServer,
};

const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, immutable");
const VARY: &str = "Accept-Encoding, Accept";
/// What the version of our documents is called in them.
const VERSION: &str = "v1.36.0";

impl ApiServer {
    pub(crate) fn openapi(
        &self,
        handler: Handler,
        path: &str,
        request: &Request<'_>,
        table: &TypeTable,
    ) -> Result<Reply, Status> {
        match handler {
            Handler::OpenApiIndex => self.openapi_index(request, table),
            Handler::OpenApiV2 => self.openapi_v2(request, table),
            _ => self.openapi_v3(path.strip_prefix("/openapi/v3/").unwrap_or_default(), request, table),
        }
    }

    fn openapi_index(&self, request: &Request<'_>, table: &TypeTable) -> Result<Reply, Status> {
        let document = self.documents.get(table.generation(), "openapi index", || {
            let entries: BTreeMap<String, String> = versions(table)
                .into_iter()
                .map(|(gv, version)| (openapi::document_key(&gv), hash(&key(&gv, &version))))
                .collect();
            to_bytes(&openapi::v3_index(entries))
        })?;
        if request.pretty() {
            return respond::json(StatusCode::OK, document.bytes.clone(), request.style(negotiate::Encoding::Json));
        }
        document.answer(request.headers, "application/json", VARY, true)
    }

    fn openapi_v3(&self, name: &str, request: &Request<'_>, table: &TypeTable) -> Result<Reply, Status> {
        let found = versions(table).into_iter().find(|(gv, _)| openapi::document_key(gv) == name);
        let Some((gv, version)) = found else { return Ok(respond::page_not_found()) };
        if !accepts_json(request.accept()) {
            return Err(not_acceptable());
        }
        let key = key(&gv, &version);
        let right = hash(&key);
        let asked = request.query.get("hash");
        if asked.is_some_and(|h| h != right) {
            let mut reply = respond::text(StatusCode::MOVED_PERMANENTLY, Bytes::new());
            if let Ok(value) = HeaderValue::from_str(&format!("/openapi/v3/{name}?hash={right}")) {
                reply.headers_mut().insert(header::LOCATION, value);
            }
            return Ok(reply);
        }
        let document = self.documents.get(&key, "openapi v3", || to_bytes(&build(&gv, &version)))?;
        if request.pretty() {
            return respond::json(StatusCode::OK, document.bytes.clone(), request.style(negotiate::Encoding::Json));
        }
        let mut reply = document.answer(request.headers, "application/json", VARY, true)?;
        if asked.is_some() {
            // The URL names the content: it never means anything else (O-12).
            reply.headers_mut().insert(header::CACHE_CONTROL, IMMUTABLE);
            reply.headers_mut().insert(header::EXPIRES, HeaderValue::from_static("Fri, 01 Jan 2100 00:00:00 GMT"));
        }
        Ok(reply)
    }

    fn openapi_v2(&self, request: &Request<'_>, table: &TypeTable) -> Result<Reply, Status> {
        let protobuf = wants_gnostic(request.accept());
        if !protobuf && !accepts_json(request.accept()) {
            return Err(not_acceptable());
        }
        let make = || {
            let documents: Vec<Value> = versions(table).iter().map(|(gv, version)| build(gv, version)).collect();
            openapi::v2_document(&documents, VERSION)
        };
        let (name, kind) = if protobuf {
            ("openapi v2 protobuf", openapi::GNOSTIC_V2_MEDIA_TYPE)
        } else {
            ("openapi v2", "application/json")
        };
        let document = self.documents.get(table.generation(), name, || {
            if protobuf { Ok(openapi::gnostic::encode(&make()).into()) } else { to_bytes(&make()) }
        })?;
        if request.pretty() && !protobuf {
            return respond::json(StatusCode::OK, document.bytes.clone(), request.style(negotiate::Encoding::Json));
        }
        document.answer(request.headers, kind, VARY, true)
    }
}

fn to_bytes(value: &Value) -> Result<Bytes, Status> {
    serde_json::to_vec(value).map(Bytes::from).map_err(Status::internal)
}

fn not_acceptable() -> Status {
    Status::failure(406, reason::NOT_ACCEPTABLE, "only the following media types are accepted: application/json")
}

fn accepts_json(accept: Option<&str>) -> bool {
    let Some(accept) = accept.filter(|a| !a.is_empty()) else { return true };
    accept.split(',').any(|c| matches!(negotiate::media_type(c), "application/json" | "application/*" | "*/*" | "*"))
}

/// Whether the first clause that we know is the protobuf one (O-02).
fn wants_gnostic(accept: Option<&str>) -> bool {
    accept.unwrap_or_default().split(',').map(negotiate::media_type).find_map(|media| match media {
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf" | openapi::GNOSTIC_V2_MEDIA_TYPE => Some(true),
        "application/json" | "application/*" | "*/*" | "*" => Some(false),
        _ => None,
    }) == Some(true)
}

/// Every group and version of a table.
fn versions(table: &TypeTable) -> Vec<(GroupVersion, VersionInfo)> {
    table
        .groups()
        .into_iter()
        .flat_map(|g| {
            let name = g.name;
            g.versions.into_iter().map(move |v| (GroupVersion::new(name.as_str(), v.version.as_str()), v))
        })
        .collect()
}

/// What the document of a group and version depends on.
fn key(gv: &GroupVersion, version: &VersionInfo) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(gv.to_string());
    for info in &version.resources {
        hash.update([0]);
        hash.update(&info.resource);
        hash.update([u8::from(info.custom), u8::from(info.namespaced)]);
        hash.update(info.content_hash);
        for verb in &info.verbs {
            hash.update(verb);
        }
        for sub in &info.subresources {
            hash.update([1]);
            hash.update(&sub.name);
        }
    }
    hash.finalize().into()
}

/// The hash that URLs show: upper-case hex of 512 bits (O-11).
fn hash(key: &[u8; 32]) -> String {
    Sha512::new()
        .chain_update(env!("CARGO_PKG_VERSION"))
        .chain_update(key)
        .finalize()
        .iter()
        .map(|b| format!("{b:02X}"))
        .collect()
}

/// The OpenAPI v3 document of a group and version.
fn build(gv: &GroupVersion, version: &VersionInfo) -> Value {
    let (custom, built_in): (Vec<_>, Vec<_>) = version.resources.iter().partition(|r| r.custom);
    let mut documents = Vec::new();
    if !built_in.is_empty() {
        documents.push(built_in_document(gv, &built_in));
    }
    if !custom.is_empty() {
        let selectable: Vec<Vec<String>> =
            custom.iter().map(|r| r.selectable.iter().map(|f| format!(".{}", f.path)).collect()).collect();
        let docs: Vec<ResourceDoc<'_>> = custom
            .iter()
            .zip(&selectable)
            .map(|(info, fields)| resource_doc(info, fields, info.strategic_merge))
            .collect();
        documents.push(openapi::v3_document(gv, &docs));
    }
    openapi::merge_documents(documents)
}

fn resource_doc<'a>(info: &'a ResourceInfo, selectable: &'a [String], strategic_merge: bool) -> ResourceDoc<'a> {
    ResourceDoc {
        gvk: info.gvk.clone(),
        plural: &info.resource,
        list_kind: &info.list_kind,
        namespaced: info.namespaced,
        verbs: &info.verbs,
        status: info.subresource("status").is_some(),
        scale: info.subresource("scale").is_some(),
        schema: Some(&*info.openapi).filter(|s| !s.is_null()),
        selectable_fields: selectable,
        strategic_merge,
    }
}

/// Built-in types: the paths follow from their verbs as those of custom ones do; their components are the recorded
/// ones, under their own names.
fn built_in_document(gv: &GroupVersion, resources: &[&std::sync::Arc<ResourceInfo>]) -> Value {
    let docs: Vec<ResourceDoc<'_>> = resources.iter().map(|info| resource_doc(info, &[], true)).collect();
    let mut document = openapi::v3_document(gv, &docs);
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut recorded = Map::new();
    for info in resources.iter().filter(|i| !i.openapi_name.is_empty()) {
        let made = openapi::component_name(&info.gvk);
        let mut list = info.gvk.clone();
        list.kind.clone_from(&info.list_kind);
        names.insert(openapi::component_name(&list), format!("{}List", info.openapi_name));
        names.insert(made, info.openapi_name.clone());
        if !recorded.contains_key(&info.openapi_name) {
            recorded.extend(kcp_registry::builtin::data::components(&info.openapi_name));
        }
    }
    rename(&mut document, &names);
    if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") {
        schemas.extend(recorded);
    }
    let subs: Vec<Vec<ServedSubresource<'_>>> = resources
        .iter()
        .map(|i| i.subresources.iter().map(|s| ServedSubresource { name: &s.name, verbs: &s.verbs }).collect())
        .collect();
    let served: Vec<Served<'_>> = resources
        .iter()
        .zip(&subs)
        .map(|(i, subs)| Served { plural: &i.resource, verbs: &i.verbs, subresources: subs })
        .collect();
    // Drops what nothing refers to.
    openapi::filter_builtin(&document, &served)
}

/// Gives components other names, where they are defined and where they are referred to.
fn rename(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|v| rename(v, names)),
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get_mut("$ref")
                && let Some((stem, name)) = reference.rsplit_once('/')
                && let Some(other) = names.get(name)
            {
                *reference = format!("{stem}/{other}");
            }
            if let Some(Value::Object(schemas)) = map.get_mut("schemas") {
                for (old, new) in names {
                    if let Some(schema) = schemas.remove(old) {
                        schemas.insert(new.clone(), schema);
                    }
                }
            }
            map.values_mut().for_each(|v| rename(v, names));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_form_of_v2() {
        // O-02
        for (accept, protobuf, json) in [
            (None, false, true),
            (Some("application/com.github.proto-openapi.spec.v2@v1.0+protobuf"), true, false),
            (Some("application/com.github.proto-openapi.spec.v2.v1.0+protobuf,application/json"), true, true),
            (Some("application/json"), false, true),
            (Some("text/html"), false, false),
        ] {
            assert_eq!((wants_gnostic(accept), accepts_json(accept)), (protobuf, json), "{accept:?}");
        }
    }

    #[test]
    fn components_are_renamed_everywhere() {
        let mut document = serde_json::json!({
            "paths": {"/a": {"schema": {"$ref": "#/components/schemas/io.v1.A"}}},
            "components": {"schemas": {"io.v1.A": {"x": 1}, "io.v1.AB": {"$ref": "#/components/schemas/io.v1.AB"}}},
        });
        rename(&mut document, &BTreeMap::from([("io.v1.A".to_owned(), "io.k8s.A".to_owned())]));
        assert_eq!(document["paths"]["/a"]["schema"]["$ref"], "#/components/schemas/io.k8s.A");
        assert_eq!(document["components"]["schemas"]["io.k8s.A"]["x"], 1);
        assert_eq!(document["components"]["schemas"]["io.v1.AB"]["$ref"], "#/components/schemas/io.v1.AB");
    }
}
