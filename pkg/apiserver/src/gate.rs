//! The one gate. Every request, on whatever route, passes these steps in this order, and nothing is served beside it:
//!
//! limits → path → authentication → credentials dropped → logical cluster → impersonation → limits of its class →
//! authorisation → handler.
//!
//! Impersonation is decided in the logical cluster of the request, so that is found first. The identity that leaves
//! the gate is an immutable value of this one request.

use std::{
    borrow::Cow,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures_util::FutureExt as _;
use http::{HeaderMap, Method, header, request::Parts};
use kcp_apimachinery::{Status, UserInfo, status::reason, user};
use kcp_authorization::{Attributes, Scope};
use kcp_logicalcluster::ClusterRef;
use kcp_registry::Warnings;

use crate::{
    attributes::{attributes, authorized_name, label_selector, path_verb, request_verb},
    body::{Body, RequestBody},
    gzip, impersonate,
    limits::Class,
    listener::Connection,
    metrics::Group,
    negotiate,
    path::{self, ResourcePath, Target},
    query::Query,
    respond::{self, Reply, Style},
    routes,
    seams::{Cluster, Resolved},
    server::ApiServer,
    websocket,
};

/// Who brings a request.
#[derive(Clone)]
pub(crate) enum Caller<'a> {
    /// A connection.
    Remote(&'a Connection),
    /// This process, with credentials in the headers or none.
    Local,
    /// This process, as this user.
    Known(Arc<UserInfo>),
}

/// What is known about a request once it is through the gate. Handlers get this and never the credentials.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) query: &'a Query<'a>,
    pub(crate) user: Arc<UserInfo>,
    pub(crate) cluster: &'a Cluster,
    pub(crate) warnings: Warnings,
}

impl Request<'_> {
    pub(crate) fn header(&self, name: header::HeaderName) -> Option<&str> {
        text_header(self.headers, name)
    }

    pub(crate) fn accept(&self) -> Option<&str> {
        self.header(header::ACCEPT)
    }

    /// Whether to indent JSON (N-08).
    pub(crate) fn pretty(&self) -> bool {
        negotiate::pretty(self.query.get("pretty"), self.header(header::USER_AGENT))
    }

    /// How to write a whole answer in `encoding`.
    pub(crate) fn style(&self, encoding: negotiate::Encoding) -> Style {
        Style { encoding, pretty: self.pretty(), gzip: gzip::accepted(self.headers) }
    }
}

fn text_header(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

/// What metrics want to know about a request.
struct Trace {
    verb: &'static str,
    group: Group,
    watch: bool,
}

impl ApiServer {
    pub(crate) async fn answer(&self, head: Parts, body: RequestBody, caller: Caller<'_>) -> Reply {
        let started = Instant::now();
        let mut trace = Trace { verb: "other", group: Group::None, watch: false };
        let audit_id = respond::audit_id(&head.headers);
        let Parts { method, uri, mut headers, .. } = head;
        let remote = match &caller {
            Caller::Remote(connection) => Some(*connection),
            _ => None,
        };
        let mut warnings = Vec::new();
        let guarded = AssertUnwindSafe(self.pass(&method, &uri, &mut headers, body, caller, &mut trace, &mut warnings));
        let outcome = guarded.catch_unwind().await;
        let mut reply = match outcome {
            Ok(Ok(reply)) => reply,
            Ok(Err(status)) => {
                let style = Style {
                    encoding: negotiate::error_encoding(text_header(&headers, header::ACCEPT)),
                    pretty: negotiate::pretty(
                        pretty_parameter(uri.query()).as_deref(),
                        text_header(&headers, header::USER_AGENT),
                    ),
                    gzip: false,
                };
                respond::status(&status, style)
            }
            Err(_) => {
                // The panic hook has logged where; the connection and all other requests go on (T-01).
                tracing::error!(%method, "a request handler panicked");
                respond::status(
                    &Status::failure(
                        500,
                        reason::INTERNAL_ERROR,
                        "This request caused the server to panic. Look in its log for details.",
                    ),
                    Style::default(),
                )
            }
        };
        respond::warnings(reply.headers_mut(), &warnings);
        respond::common_headers(reply.headers_mut(), audit_id);
        if method == Method::HEAD {
            *reply.body_mut() = Body::empty();
        }
        if reply.status() == http::StatusCode::UNAUTHORIZED
            && let Some(connection) = remote
        {
            // Whoever cannot say who he is gets no connection to play with (T-09).
            connection.close();
        }
        let took = (!trace.watch).then(|| started.elapsed());
        self.metrics.answered(trace.verb, reply.status().as_u16(), trace.group, took);
        reply
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one request and what is to be known about it")]
    async fn pass(
        &self,
        method: &Method,
        uri: &http::Uri,
        headers: &mut HeaderMap,
        body: RequestBody,
        caller: Caller<'_>,
        trace: &mut Trace,
        warnings: &mut Vec<String>,
    ) -> Result<Reply, Status> {
        let _any = self.limits.enter(Class::Any)?;
        let Ok(parsed) = path::parse(uri.path()) else { return Ok(respond::page_not_found()) };
        let query = Query::parse(uri.query())?;
        if matches!(body, RequestBody::Upgrade(_)) {
            websocket::take_token(headers)?;
        }
        let user = self.authenticate(headers, &caller, parsed.cluster.as_ref())?;
        let impersonated = impersonate::requested(headers)?;
        impersonate::strip(headers);

        let route = match &parsed.target {
            Target::Path(path) => {
                trace.verb = "path";
                routes::find(path)
            }
            Target::Resource(_) => None,
        };
        let public = route.is_some_and(|r| r.access == routes::Access::Public);
        let cluster = if public {
            // Health and version are the server's, whatever cluster the path names, even one that there is not.
            Cluster::One(self.resolver.default_cluster())
        } else {
            self.cluster(parsed.cluster.as_ref(), &user, method, &parsed.target)?
        };
        let collected = Warnings::default();
        let verb = request_verb(method, &query, &parsed.target);
        let name = authorized_name(&query, &parsed.target, verb);
        let selector = label_selector(&query, verb);
        let labels = || self.labels(&cluster, &parsed.target);
        let scope = match (&selector, verb) {
            (Some(selector), _) => Scope::Selected(selector),
            (None, "get" | "update" | "patch" | "delete") => Scope::Object(&labels),
            _ => Scope::Unknown,
        };
        let user = match impersonated {
            None => user,
            Some(wanted) => {
                let attributes = Attributes { scope, ..attributes(&user, verb, &name, &parsed.target) };
                impersonate::check(&wanted, &user, &attributes, |q| self.authorizer.authorize(&cluster, q).allowed)?;
                Arc::new(impersonate::settle(wanted.user, &user, &cluster))
            }
        };
        let request = Request { method, headers, query: &query, user, cluster: &cluster, warnings: collected.clone() };
        let outcome = match &parsed.target {
            Target::Path(path) => self.pass_path(&request, path, route).await,
            Target::Resource(resource) => {
                let attributes = Attributes { scope, ..attributes(&request.user, verb, &name, &parsed.target) };
                self.pass_resource(&request, resource, &attributes, verb, body, trace).await
            }
        };
        if let (Cluster::One(Resolved { warning: Some(text), .. }), Ok(_)) = (&cluster, &outcome) {
            // Whoever is refused does not learn that there is such a workspace.
            collected.add(text.as_str());
        }
        *warnings = collected.take();
        outcome
    }

    /// A path that is no resource.
    async fn pass_path(
        &self,
        request: &Request<'_>,
        path: &str,
        route: Option<&'static routes::Route>,
    ) -> Result<Reply, Status> {
        let exempt = request.user.in_group(user::MASTERS);
        let _in_flight = if exempt { None } else { Some(self.limits.enter(Class::ReadOnly)?) };
        let access = route.map_or(routes::Access::Authorized, |r| r.access);
        if access != routes::Access::Public {
            let cluster = match access {
                routes::Access::Server => &Cluster::One(self.resolver.server_cluster()),
                _ => request.cluster,
            };
            let verb = path_verb(request.method);
            self.authorize(cluster, &Attributes::path(&request.user, verb, path))?;
        }
        let Some(route) = route else { return Ok(respond::page_not_found()) };
        if !matches!(*request.method, Method::GET | Method::HEAD) {
            return Err(respond::method_not_allowed());
        }
        let limit = self.time_limit(request, self.options.request_timeout)?;
        timed(limit, self.path(route.handler, path, request)).await
    }

    /// A resource.
    async fn pass_resource(
        &self,
        request: &Request<'_>,
        resource: &ResourcePath<'_>,
        attributes: &Attributes<'_>,
        verb: &'static str,
        body: RequestBody,
        trace: &mut Trace,
    ) -> Result<Reply, Status> {
        trace.verb = verb;
        trace.watch = verb == "watch";
        let mutating = !matches!(verb, "get" | "list" | "watch");
        let _in_flight = if trace.watch || request.user.in_group(user::MASTERS) {
            None
        } else {
            Some(self.limits.enter(if mutating { Class::Mutating } else { Class::ReadOnly })?)
        };
        self.authorize(request.cluster, attributes)?;
        // Only now is said whether such a type exists, and in which scope (CVE-2019-11247, AZ-09).
        let served = self.find_type(request, resource, verb)?;
        let Some(served) = served else { return Ok(respond::page_not_found()) };
        trace.group = if served.info.custom { Group::Custom } else { Group::BuiltIn };
        if trace.watch {
            return self.watch(request, resource, served, body).await;
        }
        let limit =
            self.time_limit(request, if mutating { self.options.write_timeout } else { self.options.request_timeout })?;
        timed(limit, self.resource(request, resource, verb, served, body, limit)).await
    }

    fn time_limit(&self, request: &Request<'_>, most: Duration) -> Result<Duration, Status> {
        Ok(request.query.timeout()?.map_or(most, |asked| asked.min(most)))
    }

    /// Who asks (AN-02): a verified client certificate, else a bearer token, else nobody.
    fn authenticate(
        &self,
        headers: &HeaderMap,
        caller: &Caller<'_>,
        cluster: Option<&ClusterRef>,
    ) -> Result<Arc<UserInfo>, Status> {
        let connection = match caller {
            Caller::Known(user) => return Ok(Arc::clone(user)),
            Caller::Remote(connection) => Some(*connection),
            Caller::Local => None,
        };
        let peer = connection.and_then(|c| c.peer.as_ref());
        if let Some(peer) = peer
            && SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .is_ok_and(|now| now.as_secs() as i64 <= peer.not_after)
        {
            return Ok(Arc::clone(&peer.user));
        }
        let token = match headers.get(header::AUTHORIZATION) {
            None => None,
            Some(value) => {
                let value = value.to_str().map_err(|_| Status::unauthorized())?;
                match value.split_once(' ') {
                    // An empty credential is none (CVE-2023-48312's lesson is the other way round: it never passes).
                    Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                        Some(token.trim()).filter(|t| !t.is_empty())
                    }
                    _ => return Err(Status::unauthorized()),
                }
            }
        };
        if let Some(token) = token {
            return self.authenticator.token(token, cluster).ok_or_else(Status::unauthorized);
        }
        // A certificate that proves nothing, or has expired since, is a failed credential and not a missing one.
        if peer.is_some() || connection.is_some_and(|c| c.bad_certificate) || !self.authenticator.allows_anonymous() {
            return Err(Status::unauthorized());
        }
        Ok(Arc::new(UserInfo::anonymous()))
    }

    /// The logical cluster of the request.
    fn cluster(
        &self,
        reference: Option<&ClusterRef>,
        user: &UserInfo,
        method: &Method,
        target: &Target<'_>,
    ) -> Result<Cluster, Status> {
        let own;
        let reference = match reference {
            Some(reference) => reference,
            None => match user.service_account_cluster().map(ClusterRef::parse) {
                // A service account that knows no prefix is a client in a workspace.
                Some(Ok(home)) => {
                    own = home;
                    &own
                }
                _ => return Ok(Cluster::One(self.resolver.default_cluster())),
            },
        };
        if *reference == ClusterRef::Wildcard {
            return Ok(Cluster::All);
        }
        if let Some(found) = self.resolver.resolve(reference)? {
            return Ok(Cluster::One(found));
        }
        let shown = match reference {
            ClusterRef::Path(path) => path.as_str().to_owned(),
            ClusterRef::System(name) => name.as_str().to_owned(),
            ClusterRef::Wildcard => "*".to_owned(),
        };
        if user.in_group(user::MASTERS) {
            return Err(Status::failure(404, reason::NOT_FOUND, format!("logical cluster {shown:?} not found")));
        }
        // The same words as for one that is there and closed: nobody learns which workspaces exist.
        let why = format!("{shown:?} workspace access not permitted");
        let verb = request_verb(method, &Query::default(), target);
        Err(kcp_authorization::forbidden(&attributes(user, verb, "", target), why))
    }

    /// The labels of the stored object that a request names, for roles that are limited to objects with certain labels.
    fn labels(&self, cluster: &Cluster, target: &Target<'_>) -> Option<serde_json::Value> {
        let (Cluster::One(cluster), Target::Resource(r)) = (cluster, target) else { return None };
        let namespace = if r.through_namespace { r.namespace.as_ref() } else { "" };
        let snapshot = self.registry.store().snapshot();
        let object = self.registry.read_value(&snapshot, &cluster.name, &r.group, &r.resource, namespace, &r.name)?;
        Some(object.pointer("/metadata/labels").cloned().unwrap_or_default())
    }

    fn authorize(&self, cluster: &Cluster, attributes: &Attributes<'_>) -> Result<(), Status> {
        let verdict = self.authorizer.authorize(cluster, attributes);
        if verdict.allowed { Ok(()) } else { Err(kcp_authorization::forbidden(attributes, verdict.reason)) }
    }
}

async fn timed(limit: Duration, work: impl Future<Output = Result<Reply, Status>>) -> Result<Reply, Status> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Status::failure(
            504,
            reason::TIMEOUT,
            "Timeout: request did not complete within requested timeout - context deadline exceeded",
        ))
    })
}

fn pretty_parameter(query: Option<&str>) -> Option<Cow<'_, str>> {
    form_urlencoded::parse(query?.as_bytes()).find(|(k, _)| k == "pretty").map(|(_, v)| v)
}
