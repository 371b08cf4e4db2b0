//! The calls.

use std::{fmt::Write as _, sync::Arc};

use ::http::{Method, Request, Response, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use kcp_apimachinery::{GroupVersionResource, Status};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    config::{Config, ConfigError},
    error::Error,
    http::HttpTransport,
    params::{DeleteParams, ListParams, Patch, WatchParams, WriteParams},
    transport::{BodyStream, Transport},
    watch::WatchStream,
};

/// What must be escaped in a path segment.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// The largest answer that is read into memory: 1 GiB.
const MAX_ANSWER: usize = 1 << 30;

/// One page of objects.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// The objects.
    pub items: Vec<Value>,
    /// The revision at which they were read.
    pub resource_version: String,
    /// Token of the next page, empty on the last.
    pub continue_token: String,
}

/// Talks to one logical cluster. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    prefix: Arc<str>,
    user_agent: Arc<str>,
}

impl Client {
    /// A client over `transport` whose paths all start with `prefix` (empty, or `/clusters/<path>`).
    pub fn over(transport: Arc<dyn Transport>, prefix: &str) -> Self {
        let user_agent = concat!("kcp/", env!("CARGO_PKG_VERSION")).into();
        Self { transport, prefix: prefix.trim_end_matches('/').into(), user_agent }
    }

    /// A client over the wire.
    ///
    /// # Errors
    /// When a certificate, key or CA of `config` cannot be read.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let (transport, prefix) = HttpTransport::new(config)?;
        Ok(Self::over(Arc::new(transport), &prefix))
    }

    /// The same connection with the prefix `/clusters/<cluster>`.
    #[must_use]
    pub fn cluster(&self, cluster: &str) -> Self {
        self.at(&format!("/clusters/{}", utf8_percent_encode(cluster, SEGMENT)))
    }

    /// The same connection with another prefix.
    #[must_use]
    pub fn at(&self, prefix: &str) -> Self {
        Self { prefix: prefix.trim_end_matches('/').into(), ..self.clone() }
    }

    /// The same connection under another user agent.
    #[must_use]
    pub fn with_user_agent(&self, user_agent: &str) -> Self {
        Self { user_agent: user_agent.into(), ..self.clone() }
    }

    /// The prefix of all paths.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The path of a resource, an object (`name` given) or a subresource of it.
    pub fn path(gvr: &GroupVersionResource, namespace: &str, name: &str, subresource: &str) -> String {
        let mut path = if gvr.group.is_empty() {
            format!("/api/{}", gvr.version)
        } else {
            format!("/apis/{}/{}", gvr.group, gvr.version)
        };
        if !namespace.is_empty() {
            let _ = write!(path, "/namespaces/{}", utf8_percent_encode(namespace, SEGMENT));
        }
        let _ = write!(path, "/{}", gvr.resource);
        for part in [name, subresource] {
            if !part.is_empty() {
                let _ = write!(path, "/{}", utf8_percent_encode(part, SEGMENT));
            }
        }
        path
    }

    /// Sends a request and gives the answer as it comes; a failure status becomes an [`Error::Status`].
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn send(
        &self,
        method: Method,
        path_and_query: &str,
        accept: &str,
        body: Option<(&str, Bytes)>,
    ) -> Result<Response<BodyStream>, Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path_and_query}", self.prefix))
            .header(header::USER_AGENT, &*self.user_agent)
            .header(header::ACCEPT, accept);
        if let Some((content_type, _)) = &body {
            request = request.header(header::CONTENT_TYPE, *content_type);
        }
        let request = request
            .body(body.map(|(_, b)| b).unwrap_or_default())
            .map_err(|e| Error::Protocol { path: path_and_query.to_owned(), detail: e.to_string() })?;
        let response = self.transport.send(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let bytes = collect(body).await?;
        Err(failure(head.status, &head.headers, &bytes).into())
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses, or the answer is too large.
    pub async fn raw(
        &self,
        method: Method,
        path_and_query: &str,
        accept: &str,
        body: Option<(&str, Bytes)>,
    ) -> Result<Bytes, Error> {
        let response = self.send(method, path_and_query, accept, body).await?;
        Ok(collect(response.into_body()).await?)
    }

    /// Reads a JSON document at any path.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses, or the answer is no JSON.
    pub async fn get_path(&self, path_and_query: &str) -> Result<Value, Error> {
        let bytes = self.raw(Method::GET, path_and_query, "application/json", None).await?;
        decode(path_and_query, &bytes)
    }

    async fn write(
        &self,
        method: Method,
        path: &str,
        query: String,
        content_type: &str,
        body: &Value,
    ) -> Result<Value, Error> {
        let bytes =
            serde_json::to_vec(body).map_err(|e| Error::Protocol { path: path.to_owned(), detail: e.to_string() })?;
        let target = join(path, &query);
        let bytes = self.raw(method, &target, "application/json", Some((content_type, bytes.into()))).await?;
        decode(&target, &bytes)
    }

    /// Reads one object.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses; a missing object is an error too.
    pub async fn get(&self, gvr: &GroupVersionResource, namespace: &str, name: &str) -> Result<Value, Error> {
        self.get_path(&Self::path(gvr, namespace, name, "")).await
    }

    /// Reads one object; `None` when there is none of that name.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn find(&self, gvr: &GroupVersionResource, namespace: &str, name: &str) -> Result<Option<Value>, Error> {
        match self.get(gvr, namespace, name).await {
            Ok(v) => Ok(Some(v)),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Reads one page of objects; an empty namespace means all of them.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn list(&self, gvr: &GroupVersionResource, namespace: &str, params: &ListParams) -> Result<List, Error> {
        let mut q = Query::default();
        q.opt("labelSelector", params.label_selector.as_deref());
        q.opt("fieldSelector", params.field_selector.as_deref());
        q.opt("continue", params.continue_token.as_deref());
        if let Some(revision) = &params.not_older_than {
            q.set("resourceVersion", revision);
            q.set("resourceVersionMatch", "NotOlderThan");
        }
        if params.limit > 0 {
            q.set("limit", &params.limit.to_string());
        }
        let path = join(&Self::path(gvr, namespace, "", ""), &q.finish());
        let mut list = self.get_path(&path).await?;
        let text = |p: &str| list.pointer(p).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (resource_version, continue_token) = (text("/metadata/resourceVersion"), text("/metadata/continue"));
        let kind = list["kind"].as_str().and_then(|k| k.strip_suffix("List")).unwrap_or_default().to_owned();
        let api_version = list["apiVersion"].clone();
        let items = match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => return Err(Error::Protocol { path, detail: "the list has no items".into() }),
        };
        // Lists of built-in kinds leave kind and apiVersion out of their items (N-10); readers want them.
        let items = items
            .into_iter()
            .map(|mut item| {
                if let Some(map) = item.as_object_mut() {
                    map.entry("kind").or_insert_with(|| kind.clone().into());
                    map.entry("apiVersion").or_insert_with(|| api_version.clone());
                }
                item
            })
            .collect();
        Ok(List { items, resource_version, continue_token })
    }

    /// Reads all objects, page by page.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn list_all(
        &self,
        gvr: &GroupVersionResource,
        namespace: &str,
        params: &ListParams,
    ) -> Result<List, Error> {
        let mut all = self.list(gvr, namespace, params).await?;
        while !all.continue_token.is_empty() {
            let next = ListParams {
                continue_token: Some(std::mem::take(&mut all.continue_token)),
                not_older_than: None,
                ..params.clone()
            };
            let page = self.list(gvr, namespace, &next).await?;
            all.items.extend(page.items);
            all.continue_token = page.continue_token;
        }
        Ok(all)
    }

    /// Creates an object and gives it as stored.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn create(
        &self,
        gvr: &GroupVersionResource,
        namespace: &str,
        object: &Value,
        params: &WriteParams,
    ) -> Result<Value, Error> {
        let path = Self::path(gvr, namespace, "", "");
        self.write(Method::POST, &path, write_query(params).finish(), "application/json", object).await
    }

    /// Creates through a subresource (a token, an eviction).
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn create_subresource(
        &self,
        gvr: &GroupVersionResource,
        namespace: &str,
        name: &str,
        subresource: &str,
        object: &Value,
    ) -> Result<Value, Error> {
        let path = Self::path(gvr, namespace, name, subresource);
        self.write(Method::POST, &path, String::new(), "application/json", object).await
    }

    /// Replaces an object (`subresource` empty) or a subresource of it.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn update(
        &self,
        gvr: &GroupVersionResource,
        namespace: &str,
        name: &str,
        subresource: &str,
        object: &Value,
        params: &WriteParams,
    ) -> Result<Value, Error> {
        let path = Self::path(gvr, namespace, name, subresource);
        self.write(Method::PUT, &path, write_query(params).finish(), "application/json", object).await
    }

    /// Patches an object (`subresource` empty) or a subresource of it.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn patch(
        &self,
        gvr: &GroupVersionResource,
        namespace: &str,
        name: &str,
        subresource: &str,
        patch: &Patch<'_>,
        params: &WriteParams,
    ) -> Result<Value, Error> {
        let path = Self::path(gvr, namespace, name, subresource);
        let mut q = write_query(params);
        if params.force {
            q.set("force", "true");
        }
        self.write(Method::PATCH, &path, q.finish(), patch.content_type(), patch.body()).await
    }

    /// Applies an object server-side as `manager`, taking ownership from others.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn apply(
        &self,
        gvr: &GroupVersionResource,
        namespace: &str,
        name: &str,
        object: &Value,
        manager: &'static str,
    ) -> Result<Value, Error> {
        let params = WriteParams { force: true, ..WriteParams::manager(manager) };
        self.patch(gvr, namespace, name, "", &Patch::Apply(object), &params).await
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses; a missing object is an error too.
    pub async fn delete(
        &self,
        gvr: &GroupVersionResource,
        namespace: &str,
        name: &str,
        params: &DeleteParams,
    ) -> Result<Value, Error> {
        let path = Self::path(gvr, namespace, name, "");
        self.write(Method::DELETE, &path, String::new(), "application/json", &delete_body(params)).await
    }

    /// Deletes all objects that a selector picks.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn delete_collection(
        &self,
        gvr: &GroupVersionResource,
        namespace: &str,
        selectors: &ListParams,
        params: &DeleteParams,
    ) -> Result<(), Error> {
        let mut q = Query::default();
        q.opt("labelSelector", selectors.label_selector.as_deref());
        q.opt("fieldSelector", selectors.field_selector.as_deref());
        let path = Self::path(gvr, namespace, "", "");
        self.write(Method::DELETE, &path, q.finish(), "application/json", &delete_body(params)).await.map(drop)
    }

    /// Watches a resource; an empty namespace means all of them.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses. What comes later arrives in the stream.
    pub async fn watch(
        &self,
        gvr: &GroupVersionResource,
        namespace: &str,
        params: &WatchParams,
    ) -> Result<WatchStream, Error> {
        let mut q = Query::default();
        q.set("watch", "true");
        q.set("allowWatchBookmarks", "true");
        q.opt("labelSelector", params.label_selector.as_deref());
        q.opt("fieldSelector", params.field_selector.as_deref());
        q.opt("resourceVersion", params.resource_version.as_deref());
        if params.initial_events {
            q.set("sendInitialEvents", "true");
            q.set("resourceVersionMatch", "NotOlderThan");
        }
        if let Some(s) = params.timeout_seconds {
            q.set("timeoutSeconds", &s.to_string());
        }
        let path = join(&Self::path(gvr, namespace, "", ""), &q.finish());
        let response = self.send(Method::GET, &path, "application/json", None).await?;
        Ok(WatchStream::new(path, response.into_body()))
    }
}

fn write_query(params: &WriteParams) -> Query {
    let mut q = Query::default();
    q.opt("fieldManager", params.field_manager);
    q.opt("fieldValidation", params.field_validation);
    if params.dry_run {
        q.set("dryRun", "All");
    }
    q
}

fn delete_body(params: &DeleteParams) -> Value {
    let mut body = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
    if let Some(p) = params.propagation_policy {
        body["propagationPolicy"] = p.into();
    }
    if let Some(s) = params.grace_period_seconds {
        body["gracePeriodSeconds"] = s.into();
    }
    if let Some(uid) = &params.uid {
        body["preconditions"]["uid"] = uid.as_str().into();
    }
    if let Some(rv) = &params.resource_version {
        body["preconditions"]["resourceVersion"] = rv.as_str().into();
    }
    body
}

#[derive(Default)]
struct Query(String);

impl Query {
    fn set(&mut self, key: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(key);
        self.0.push('=');
        self.0.extend(form_urlencoded::byte_serialize(value.as_bytes()));
    }
    fn opt(&mut self, key: &str, value: Option<&str>) {
        if let Some(v) = value {
            self.set(key, v);
        }
    }
    fn finish(self) -> String {
        self.0
    }
}

fn join(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

async fn collect(mut body: BodyStream) -> Result<Bytes, crate::transport::TransportError> {
    let mut all = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        if all.len() + chunk.len() > MAX_ANSWER {
            return Err(crate::transport::TransportError::broken("the answer is larger than 1 GiB"));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}

fn decode(path: &str, bytes: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(bytes).map_err(|e| Error::Protocol { path: path.to_owned(), detail: e.to_string() })
}

/// The Status in a failed answer, or one made from the HTTP status when the body holds none.
fn failure(code: StatusCode, headers: &::http::HeaderMap, body: &[u8]) -> Status {
    let retry = headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u32>().ok());
    let mut status = match serde_json::from_slice::<Value>(body) {
        Ok(v) if v["kind"] == "Status" => serde_json::from_value(v).unwrap_or_default(),
        _ => {
            let text = String::from_utf8_lossy(body);
            let reason = match code.as_u16() {
                401 => "Unauthorized",
                403 => "Forbidden",
                404 => "NotFound",
                429 => "TooManyRequests",
                503 => "ServiceUnavailable",
                _ => "",
            };
            let message = if code == StatusCode::NOT_FOUND {
                "the server could not find the requested resource".into()
            } else {
                text.trim().to_owned()
            };
            Status::failure(code.as_u16(), reason, message)
        }
    };
    if status.code == 0 || status.code == 500 {
        status.code = code.as_u16();
    }
    match retry {
        Some(s) => status.with_retry_after(s),
        None => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let cm = GroupVersionResource::new("", "v1", "configmaps");
        let dep = GroupVersionResource::new("apps", "v1", "deployments");
        assert_eq!(Client::path(&cm, "a", "b", ""), "/api/v1/namespaces/a/configmaps/b");
        assert_eq!(Client::path(&cm, "", "", ""), "/api/v1/configmaps");
        assert_eq!(Client::path(&dep, "a", "b", "status"), "/apis/apps/v1/namespaces/a/deployments/b/status");
        assert_eq!(Client::path(&dep, "a", "system:x/y", ""), "/apis/apps/v1/namespaces/a/deployments/system:x%2Fy");
    }

    #[test]
    fn failures_without_a_status_get_one() {
        let s = failure(StatusCode::NOT_FOUND, &::http::HeaderMap::new(), b"404 page not found\n");
        assert_eq!((s.code, s.reason.as_str()), (404, "NotFound"));
        let mut h = ::http::HeaderMap::new();
        h.insert(header::RETRY_AFTER, ::http::HeaderValue::from_static("3"));
        let e = Error::from(failure(StatusCode::TOO_MANY_REQUESTS, &h, b"slow down"));
        assert_eq!(e.retry_after(), Some(3));
        assert!(e.is_transient());
    }
}
