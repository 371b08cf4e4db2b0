//! The verbs over HTTP: what a request's parts mean to the registry, and what its answer looks like on the wire.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{StatusCode, header};
use kcp_apimachinery::{Status, StatusDetails, selectors::FieldSelector};
use kcp_protobuf::DecodeError;
use kcp_registry::{Body, Deleted, PatchKind, ResourceInfo, Scope, Written};

use crate::{
    body::{Body as ReplyBody, RequestBody},
    gate::Request,
    negotiate::{self, BodyEncoding, Endpoint, Form},
    path::ResourcePath,
    reply::Out,
    respond::{self, Reply},
    seams::Cluster,
    server::ApiServer,
    table::{Include, Tables},
    watch::WatchBody,
    websocket, yaml,
};

/// A type that the request's logical cluster serves at the request's path.
pub(crate) struct Served {
    pub(crate) info: Arc<ResourceInfo>,
}

impl ApiServer {
    /// The type behind a path; `None` for the plain 404 of paths that nobody knows.
    ///
    /// # Errors
    /// 404 or 405 as Kubernetes' routers answer, for a type that is there but not like this.
    pub(crate) fn find_type(
        &self,
        request: &Request<'_>,
        path: &ResourcePath<'_>,
        verb: &str,
    ) -> Result<Option<Served>, Status> {
        // A definition that is being deleted no longer offers writes, but refuses them with words of its own, and
        // finalizers must still be removed (CRD-10, CRD-11).
        let mut terminating = false;
        let info = match request.cluster {
            Cluster::One(cluster) => {
                let table = self.registry.types(&cluster.name);
                match table.lookup(&path.group, &path.version, &path.resource) {
                    Some(info) => {
                        terminating = info.custom
                            && table.definition(&info.storage.group_resource).is_some_and(|d| d.terminating);
                        info
                    }
                    None => {
                        // Kubernetes' router knows the versions of built-in groups, and nothing of others (D-17, V-07).
                        let known =
                            path.group.is_empty() || table.iter().any(|i| !i.custom && i.gvk.group == path.group);
                        return if known { Err(respond::unknown_resource()) } else { Ok(None) };
                    }
                }
            }
            Cluster::All => {
                let metadata_only = matches!(
                    negotiate::negotiate(request.accept(), Endpoint::Watch).map(|a| a.form),
                    Ok(Form::Partial(_) | Form::PartialList(_))
                );
                match self.registry.wildcard_type(&path.group, &path.version, &path.resource, metadata_only)? {
                    Some(info) => info,
                    None => return Ok(None),
                }
            }
        };
        let missing = |info: &ResourceInfo| if info.custom { Ok(None) } else { Err(respond::unknown_resource()) };
        if path.excess {
            return missing(&info);
        }
        // The scope of the type decides, whatever the path says (CVE-2019-11247).
        if path.through_namespace && !info.namespaced {
            return missing(&info);
        }
        let across = info.namespaced && path.namespace.is_empty();
        if across && !matches!(verb, "list" | "watch") {
            return if info.custom || !path.name.is_empty() {
                missing(&info)
            } else {
                Err(respond::method_not_allowed())
            };
        }
        if across && !path.name.is_empty() && !path.legacy_watch {
            return missing(&info);
        }
        if !path.subresource.is_empty() {
            let Some(sub) = info.subresource(&path.subresource) else {
                return if info.custom {
                    Err(Status::not_found(&info.group_resource(), &path.name))
                } else {
                    Err(respond::unknown_resource())
                };
            };
            return if sub.verbs.iter().any(|v| v == verb) {
                Ok(Some(Served { info }))
            } else {
                Err(no_verb(&info, verb))
            };
        }
        let named = !path.name.is_empty();
        let fits = match verb {
            "create" => !named,
            "update" | "patch" => named,
            _ => true,
        };
        let offered = info.offers(verb) || (terminating && matches!(verb, "create" | "update" | "patch"));
        if !fits || !offered { Err(no_verb(&info, verb)) } else { Ok(Some(Served { info })) }
    }

    /// Answers every verb but watch. `limit`: how long a streamed answer may take.
    pub(crate) async fn resource(
        &self,
        request: &Request<'_>,
        path: &ResourcePath<'_>,
        verb: &'static str,
        served: Served,
        body: RequestBody,
        limit: Duration,
    ) -> Result<Reply, Status> {
        let info = served.info;
        let endpoint = if info.is_stored() { Endpoint::Resource { custom: info.custom } } else { Endpoint::Virtual };
        let accepted = negotiate::negotiate(request.accept(), endpoint)?;
        // A body in a type that nobody reads is refused before anything else is looked at (N-02).
        let coding = match verb {
            "create" | "update" => {
                Some(BodyCoding::Object(negotiate::body_encoding(request.header(header::CONTENT_TYPE))?))
            }
            "patch" => Some(BodyCoding::Patch(patch_kind(&info, request.header(header::CONTENT_TYPE))?)),
            _ => None,
        };
        if let Some(text) = &info.deprecated_warning {
            request.warnings.add(text.as_str());
        }
        let mut ask = self.ask(request, path, &info);
        ask.metadata_only = matches!(accepted.form, Form::Partial(_) | Form::PartialList(_));
        let out = Out { request, info: &info, subresource: &path.subresource, accepted };
        match verb {
            "get" => {
                let object = self.registry.get(&ask, request.query.get("resourceVersion").unwrap_or_default()).await?;
                out.object(StatusCode::OK, object)
            }
            "list" => {
                let include = out.list_form()?;
                let list = self.registry.list(&ask, &request.query.list_options()?).await?;
                out.list(list, include, limit)
            }
            "delete" => {
                let options = request.query.delete_options(&delete_body(request, body).await?)?;
                match self.registry.delete(&ask, &options).await? {
                    Deleted::Object(object) => out.object(StatusCode::OK, object),
                    Deleted::Status(status) => Ok(out.status(&status)),
                }
            }
            "deletecollection" => {
                let include = out.list_form()?;
                let options = request.query.delete_options(&delete_body(request, body).await?)?;
                let list = self.registry.delete_collection(&ask, &options, &request.query.list_options()?).await?;
                out.list(list, include, limit)
            }
            _ => {
                let Some(coding) = coding else { return Err(respond::method_not_allowed()) };
                let bytes = body.read(request.headers).await?;
                let options = request.query.write_options(request.header(header::USER_AGENT));
                let written = match coding {
                    BodyCoding::Object(encoding) => {
                        let body = decode(bytes, encoding, NOT_YAML)?;
                        if verb == "create" {
                            self.registry.create(&ask, &body, &options).await?
                        } else {
                            self.registry.update(&ask, &body, &options).await?
                        }
                    }
                    BodyCoding::Patch(kind) => {
                        let encoding = if kind == PatchKind::Apply { BodyEncoding::Yaml } else { BodyEncoding::Json };
                        self.registry.patch(&ask, kind, &decode(bytes, encoding, NOT_APPLY)?, &options).await?
                    }
                };
                let Written { object, created } = written;
                out.object(if created { StatusCode::CREATED } else { StatusCode::OK }, object)
            }
        }
    }

    /// Answers a watch (W-01). Its body is polled by the HTTP stream; it owns no task.
    pub(crate) async fn watch(
        &self,
        request: &Request<'_>,
        path: &ResourcePath<'_>,
        served: Served,
        body: RequestBody,
    ) -> Result<Reply, Status> {
        let info = served.info;
        let accepted = negotiate::negotiate(request.accept(), Endpoint::Watch)?;
        let include = Include::parse(request.query.get("includeObject"));
        let tables = match accepted.form {
            Form::Table(version) => Some(Tables::new(&info, &path.subresource, version, include?)),
            _ => None,
        };
        let partial = match accepted.form {
            Form::Partial(version) | Form::PartialList(version) => Some(version),
            _ => None,
        };
        let options = request.query.list_options()?;
        let seconds = request.query.number("timeoutSeconds")?.filter(|s| *s > 0);
        let mut ask = self.ask(request, path, &info);
        ask.metadata_only = partial.is_some();
        if !ask.name.is_empty() {
            contradiction(&options.field_selector, &ask.name)?;
        }
        if let Some(text) = &info.deprecated_warning {
            request.warnings.add(text.as_str());
        }
        let stream = self.registry.watch(&ask, &options).await?;
        let watch = WatchBody::new(self, stream, seconds, tables, partial);
        if let RequestBody::Upgrade(upgrade) = body {
            return websocket::answer(request.headers, upgrade, watch);
        }
        let mut reply = http::Response::new(ReplyBody::stream(watch));
        reply.headers_mut().insert(header::CONTENT_TYPE, respond::JSON);
        Ok(reply)
    }

    /// The registry's view of a request.
    fn ask(&self, request: &Request<'_>, path: &ResourcePath<'_>, info: &Arc<ResourceInfo>) -> kcp_registry::Request {
        kcp_registry::Request {
            scope: match request.cluster {
                Cluster::One(cluster) => Scope::Cluster(cluster.name.clone()),
                Cluster::All => Scope::Wildcard,
            },
            info: Arc::clone(info),
            // `namespaces` are cluster-scoped; the path parser repeats their name as the namespace for authorisation.
            namespace: if info.namespaced { path.namespace.as_ref().to_owned() } else { String::new() },
            name: path.name.as_ref().to_owned(),
            subresource: path.subresource.as_ref().to_owned(),
            user: Arc::clone(&request.user),
            metadata_only: false,
            warnings: request.warnings.clone(),
        }
    }
}

enum BodyCoding {
    Object(BodyEncoding),
    Patch(PatchKind),
}

/// The refusal of a verb: custom resources name it, built-in ones do not (E-09).
fn no_verb(info: &ResourceInfo, verb: &str) -> Status {
    if info.custom { Status::method_not_allowed(&info.group_resource(), verb) } else { respond::method_not_allowed() }
}

/// What kind of patch a Content-Type means. Whether a strategic one suits the type is the registry's to say.
fn patch_kind(info: &ResourceInfo, content_type: Option<&str>) -> Result<PatchKind, Status> {
    match negotiate::media_type(content_type.unwrap_or_default()) {
        "application/json-patch+json" => Ok(PatchKind::Json),
        "application/merge-patch+json" => Ok(PatchKind::Merge),
        "application/strategic-merge-patch+json" => Ok(PatchKind::Strategic),
        "application/apply-patch+yaml" => Ok(PatchKind::Apply),
        _ if info.custom => Err(Status::unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
        )),
        _ => Err(Status::unsupported_media_type("415: Unsupported Media Type").with_details(StatusDetails::default())),
    }
}

/// The refusal of a body that is no YAML.
const NOT_YAML: &str = "error converting YAML to JSON";
/// The refusal of an apply configuration that is no YAML (F-01).
const NOT_APPLY: &str = "error decoding YAML";

/// A body as JSON; `refusal` begins the text for one that is no YAML.
fn decode(bytes: Bytes, encoding: BodyEncoding, refusal: &str) -> Result<Body, Status> {
    match encoding {
        BodyEncoding::Json => Ok(Body::json(bytes)),
        BodyEncoding::Protobuf => match kcp_protobuf::to_json(&bytes) {
            Ok(value) => Ok(Body::from(&value)),
            // A custom resource has no such encoding, unless it stands in for a built-in type.
            Err(DecodeError::UnknownKind { .. }) => Err(negotiate::unknown_format()),
            Err(e) => Err(Status::bad_request(e.to_string())),
        },
        // JSON is YAML; most apply bodies are JSON, and the registry's own parser reads it with better texts.
        BodyEncoding::Yaml if bytes.first() == Some(&b'{') => Ok(Body::json(bytes)),
        BodyEncoding::Yaml => yaml::to_body(&bytes, refusal),
    }
}

async fn delete_body(request: &Request<'_>, body: RequestBody) -> Result<Bytes, Status> {
    let bytes = body.read(request.headers).await?;
    if bytes.is_empty() {
        return Ok(bytes);
    }
    let encoding = negotiate::body_encoding(request.header(header::CONTENT_TYPE))?;
    Ok(decode(bytes, encoding, NOT_YAML)?.json)
}

/// A name in the path and another in the selector contradict each other (S-08).
fn contradiction(field_selector: &str, name: &str) -> Result<(), Status> {
    if field_selector.is_empty() {
        return Ok(());
    }
    let selector = FieldSelector::parse(field_selector).map_err(|e| Status::bad_request(e.to_string()))?;
    match selector.exact("metadata.name") {
        Some(other) if other != name => {
            Err(Status::bad_request("fieldSelector metadata.name doesn't match requested name"))
        }
        _ => Ok(()),
    }
}
